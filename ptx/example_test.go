package ptx_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log"
	"strings"

	"github.com/godwit-ml/godwit/ptx"
)

// reverse writes 64 numbers in reverse order, by way of shared memory.
const reverse = `.version 6.3
.target sm_75
.address_size 64
.visible .entry reverse(.param .u64 p)
{
	.reg .b32 %r<6>;
	.reg .b64 %rd<4>;
	.shared .align 4 .b8 tile[256];
	ld.param.u64 %rd1, [p];
	mov.u32 %r1, %tid.x;
	mul.wide.u32 %rd2, %r1, 4;
	add.s64 %rd3, %rd1, %rd2;
	ld.global.u32 %r2, [%rd3];
	shl.b32 %r3, %r1, 2;
	mov.u32 %r4, tile;
	add.s32 %r5, %r4, %r3;
	st.shared.u32 [%r5], %r2;
	BARRIER
	sub.s32 %r5, %r4, %r3;
	ld.shared.u32 %r2, [%r5+252];
	st.global.u32 [%rd3], %r2;
	ret;
}
`

func launch(barrier string, cfg ptx.Config) ([]byte, *ptx.Counts, error) {
	m, err := ptx.Parse("reverse.ptx", []byte(strings.ReplaceAll(reverse, "BARRIER", barrier)))
	if err != nil {
		return nil, nil, err
	}
	mem := ptx.NewMemory(0)
	p, err := mem.Alloc(256)
	if err != nil {
		return nil, nil, err
	}
	b, err := mem.Bytes(p, 256)
	if err != nil {
		return nil, nil, err
	}
	for i := range 64 {
		binary.LittleEndian.PutUint32(b[4*i:], uint32(i*i))
	}
	counts, err := ptx.Run(context.Background(), m.Kernel("reverse"), mem, ptx.Launch{
		Grid: [3]int{1, 1, 1}, Block: [3]int{64, 1, 1},
		Params: binary.LittleEndian.AppendUint64(nil, p),
	}, cfg)
	return b, counts, err
}

func ExampleRun() {
	b, counts, err := launch("bar.sync 0;", ptx.Config{Count: true})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:]))
	fmt.Println("instructions:", counts.Issues)
	fmt.Println("sectors read:", counts.GlobalLoads.Sectors)
	fmt.Println("shared wavefronts:", counts.Wavefronts(), "of", counts.IdealWavefronts())
	// Output:
	// 3969 3844
	// instructions: 28
	// sectors read: 8
	// shared wavefronts: 4 of 4
}

// Without its barrier the kernel reads what nobody wrote yet, or what another
// warp may write at the same time, depending on who is first.
func ExampleFault() {
	_, _, err := launch("", ptx.Config{})
	var f *ptx.Fault
	if errors.As(err, &f) {
		fmt.Println(f.Kind, "in line", f.Line, "by thread", f.Thread)
	}
	// Output:
	// uninitialised read in line 20 by thread [0 0 0]
}

func ExampleModes() {
	for _, cfg := range ptx.Modes() {
		if _, _, err := launch("bar.sync 0;", cfg); err != nil {
			fmt.Println(cfg.Order, err)
		}
	}
	fmt.Println("right in every mode")
	// Output:
	// right in every mode
}

func ExampleParse() {
	_, err := ptx.Parse("new.ptx", []byte(".version 8.0\n.target sm_90\n.address_size 64\n.entry k() {\n\twgmma.fence.sync.aligned;\n}\n"))
	fmt.Println(err)
	// Output:
	// new.ptx:5: unknown instruction wgmma.fence.sync.aligned
}
