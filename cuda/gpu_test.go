//go:build cuda && gpu && cgo && linux && (amd64 || arm64)

package cuda

// What only hardware can show; over "cuda:emu" it shows that it would run:
//
//	go test -tags 'cuda gpu' ./cuda/...
//	GODWIT_DEVICE=cuda:emu go test -short -tags 'cuda gpu' ./cuda/...

import (
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/godwit-ml/godwit/kernels"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/runtime/devicetest"
)

// hardware opens the device that GODWIT_DEVICE names, else the first GPU.
func hardware(t *testing.T, cfg Config) *Device {
	t.Helper()
	name := os.Getenv("GODWIT_DEVICE")
	if name == "" {
		name = "cuda"
	}
	var d *Device
	var err error
	switch kind, ordinal, _ := strings.Cut(name, ":"); {
	case kind == "cuda" && ordinal == "emu":
		cfg.MemoryLimit = 256 << 20
		d, err = NewEmu(cfg)
	case kind == "cuda":
		n := 0
		if ordinal != "" {
			if n, err = strconv.Atoi(ordinal); err != nil {
				t.Fatal(err)
			}
		}
		d, err = NewCUDA(n, cfg)
	default:
		t.Fatalf("GODWIT_DEVICE=%s is no CUDA device", name)
	}
	must(t, err)
	t.Cleanup(func() { must(t, d.Close()) })
	return d
}

func emulatedHardware(d *Device) bool { return d.Info().Name == "cuda:emu" }

func TestGPUConformance(t *testing.T) {
	d := hardware(t, Config{})
	t.Log(d.Info().Detail)
	if testing.Short() {
		for _, row := range someRows(t) {
			if err := devicetest.Try(row, devicetest.On(d)); err != nil {
				t.Errorf("%v: %v", row, err)
			}
		}
	} else {
		devicetest.Run(t, d)
	}
	for _, s := range d.Kernels() {
		if s.Out != "" && !strings.Contains(s.Out, "unproven") {
			t.Errorf("%s: %s", s.Entry, s.Out)
		}
	}
}

// TestGPUEveryKernel runs every row on every kernel that takes it, also where
// the device would choose another one.
func TestGPUEveryKernel(t *testing.T) {
	d := hardware(t, Config{})
	most := 1 << 30
	if testing.Short() {
		most = 20
	}
	for _, e := range d.entries {
		if e.out != nil {
			continue
		}
		list, err := trials(map[string]bool{e.kernel.Op: true})
		must(t, err)
		rows := 0
		for _, row := range list {
			if rows == most || !e.takes(row.ops) {
				continue
			}
			if err := d.tryRow(e, row.row); err != nil {
				t.Errorf("%s: %v: %v", e.kernel.Entry, row.row, err)
			}
			rows++
		}
		if rows == 0 {
			t.Logf("skipped %s: no row of devicetest is for it", e.kernel.Entry)
		}
	}
}

// TestGPUUnproven tries the kernels that no interpreter can.
func TestGPUUnproven(t *testing.T) {
	d := hardware(t, Config{Unproven: true})
	for _, k := range kernels.All {
		if k.Unproven != "" && k.Image.Target <= d.Capability() && !emulatedHardware(d) {
			devicetest.Run(t, d)
			return
		}
	}
	t.Skip("no kernel is unproven here")
}

// TestGPUSelfTest: it takes less than a second.
func TestGPUSelfTest(t *testing.T) {
	d := hardware(t, Config{})
	begin := time.Now()
	must(t, d.selfTest(false))
	if took := time.Since(begin); took > time.Second && !emulatedHardware(d) {
		t.Errorf("took %v", took)
	} else {
		t.Logf("took %v", took)
	}
}

// TestGPUOrder: long chains of launches with copies between, nothing waited for.
func TestGPUOrder(t *testing.T) {
	d := hardware(t, Config{Staging: 1 << 20})
	n, steps := 1<<20, 200
	if testing.Short() {
		n, steps = 1<<12, 20
	}
	a, b := f32(t, d, 1, n, iota32(n)...), f32(t, d, 1, n)
	got := make([][]byte, steps)
	for i := range steps {
		must(t, d.Run(scale(b, a, 2)))
		must(t, d.Run(&runtime.Pointwise{Out: a, X: b, Scale: 0.5}))
		if i%10 == 0 {
			got[i] = make([]byte, 4*n)
			must(t, d.Download(got[i], a))
			must(t, d.Upload(a, runtime.HostF32(1, n, iota32(n)).Bytes()))
		}
	}
	must(t, d.Sync())
	want := runtime.HostF32(1, n, iota32(n)).Bytes()
	for i, b := range got {
		if b != nil && !slices.Equal(b, want) {
			t.Fatalf("step %d: other values", i)
		}
	}
}

// TestGPUMemory: the end of memory is an error that says how much there was, and
// after it everything works.
func TestGPUMemory(t *testing.T) {
	d := hardware(t, Config{})
	free, total, err := d.MemInfo()
	must(t, err)
	t.Logf("%d of %d bytes free", free, total)
	var full *MemoryError
	if _, err := d.Alloc(total + 1); !errors.As(err, &full) || full.Total != total {
		t.Errorf("more than there is: %v", err)
	}
	var held []*runtime.Memory
	piece := total / 10
	for {
		m, err := d.Alloc(piece)
		if err != nil {
			if !errors.As(err, &full) {
				t.Fatal(err)
			}
			break
		}
		if held = append(held, m); len(held) > 10 {
			t.Fatal("more was given than there is")
		}
	}
	for _, m := range held {
		d.Free(m)
	}
	must(t, d.Sync())
	must(t, generation(d, 3))
	// Other sizes fit only when what is kept goes back to the driver.
	m, err := d.Alloc(free / 10 * 8)
	must(t, err)
	d.Free(m)
}

// TestGPUBig: allocations beyond 4 GiB, written and read at both ends.
func TestGPUBig(t *testing.T) {
	d := hardware(t, Config{})
	free, _, err := d.MemInfo()
	must(t, err)
	elements := int64(1<<32 + 1<<20)
	if testing.Short() || emulatedHardware(d) {
		elements = 1 << 22
	}
	if 4*elements > free {
		t.Skipf("%d bytes are free, %d are needed", free, 4*elements)
	}
	m, err := d.Alloc(4 * elements)
	must(t, err)
	defer d.Free(m)
	const n = 1000
	x := runtime.Tensor{Mem: m, DType: runtime.F32, Rows: int(elements / n), Cols: n, Stride: n}
	for _, row := range []int{0, x.Rows / 2, x.Rows - 1} {
		r := x.RowRange(row, row+1)
		must(t, d.Upload(r, runtime.HostF32(1, n, iota32(n)).Bytes()))
		must(t, d.Run(scale(r, r, 3)))
		if got := read(t, d, r); got[n-1] != 3*(n-1) {
			t.Errorf("row %d: %v", row, got[n-1])
		}
	}
}

// TestGPUSameBits: the same work gives the same bits, whatever ran before.
func TestGPUSameBits(t *testing.T) {
	d := hardware(t, Config{})
	rng := rand.New(rand.NewPCG(5, 6))
	rows, n, k := 64, 768, 768
	if testing.Short() {
		rows, n, k = 5, 65, 70
	}
	v := make([]float32, n*k)
	for i := range v {
		v[i] = rng.Float32() - 0.5
	}
	w, err := d.Load(runtime.HostF32(n, k, v), runtime.UseProduct)
	must(t, err)
	x, out := f32(t, d, rows, k, v[:rows*k]...), f32(t, d, rows, n)
	product := &runtime.MatMul{Out: out, X: x, W: w}
	must(t, d.Run(product))
	first := read(t, d, out)
	for range 10 {
		must(t, d.Run(scale(out, out, rng.Float32())))
		must(t, d.Run(product))
		if !slices.Equal(read(t, d, out), first) {
			t.Fatal("other bits")
		}
	}
}
