package ptx_test

// Launches, memory, counts.

import (
	"context"
	"encoding/binary"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/godwit-ml/godwit/ptx"
)

func mustParse(t *testing.T, src string) *ptx.Module {
	t.Helper()
	m, err := ptx.Parse("test.ptx", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestLaunchErrors(t *testing.T) {
	k := parseFile(t, "sgemm.ptx").Kernel("sgemm")
	good := ptx.Launch{Grid: [3]int{1, 1, 1}, Block: [3]int{256, 1, 1}, Params: make([]byte, 48)}
	for _, c := range []struct {
		change func(l *ptx.Launch)
		want   string
	}{
		{func(l *ptx.Launch) { l.Grid[1] = 0 }, "grid"},
		{func(l *ptx.Launch) { l.Grid[2] = 65536 }, "grid"},
		{func(l *ptx.Launch) { l.Block[0] = 0 }, "block"},
		{func(l *ptx.Launch) { l.Block[2] = 65 }, "block"},
		{func(l *ptx.Launch) { l.Block = [3]int{64, 32, 1} }, "2048 threads"},
		{func(l *ptx.Launch) { l.Block = [3]int{512, 1, 1} }, "the kernel allows 256"},
		{func(l *ptx.Launch) { l.Params = l.Params[1:] }, "47 bytes of parameters, want 48"},
		{func(l *ptx.Launch) { l.Shared = -1 }, "shared"},
		{func(l *ptx.Launch) { l.Shared = 227 << 10 }, "shared"},
	} {
		l := good
		c.change(&l)
		_, err := ptx.Run(context.Background(), k, ptx.NewMemory(0), l, ptx.Config{})
		var f *ptx.Fault
		if err == nil || errors.As(err, &f) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "sgemm") {
			t.Errorf("%v, want …%s…", err, c.want)
		}
	}
	req := mustParse(t, header+".entry k() .reqntid 32, 2 { ret; }\n.extern .global .b32 far;\n.entry e() { .reg .b64 %r; mov.u64 %r, far; ret; }")
	if k := req.Kernel("k"); k.ReqThreads != [3]int{32, 2, 1} || k.MaxThreads != 64 {
		t.Errorf("%v %d", k.ReqThreads, k.MaxThreads)
	}
	l := ptx.Launch{Grid: [3]int{1, 1, 1}, Block: [3]int{64, 1, 1}}
	if _, err := ptx.Run(context.Background(), req.Kernel("k"), ptx.NewMemory(0), l, ptx.Config{}); err == nil {
		t.Error("a block that .reqntid forbids ran")
	}
	if _, err := ptx.Run(context.Background(), req.Kernel("e"), ptx.NewMemory(0), l, ptx.Config{}); err == nil || !strings.Contains(err.Error(), "far") {
		t.Errorf("extern variable: %v", err)
	}
}

func TestMemory(t *testing.T) {
	m := ptx.NewMemory(1000)
	a, err := m.Alloc(600)
	if err != nil || a%256 != 0 {
		t.Fatal(a, err)
	}
	if _, err := m.Alloc(401); !errors.Is(err, ptx.ErrOutOfMemory) {
		t.Errorf("%v, want out of memory", err)
	}
	b, err := m.Alloc(400)
	if err != nil || b%256 != 0 || b < a+600+64<<10 {
		t.Errorf("%#x after %#x: %v", b, a, err)
	}
	if m.Used() != 1000 {
		t.Errorf("%d in use", m.Used())
	}
	for _, n := range []int64{-1, 601} {
		if _, err := m.Bytes(a, n); err == nil {
			t.Errorf("%d bytes of 600", n)
		}
	}
	if _, err := m.Bytes(a-1, 1); err == nil {
		t.Error("a byte before the allocation")
	}
	v, err := m.Bytes(a+10, 590)
	if err != nil || len(v) != 590 || cap(v) != 590 || v[0] != 0xff {
		t.Errorf("%d bytes: %v", len(v), err)
	}
	if m.Free(a+4) == nil || m.Free(a) != nil || m.Free(a) == nil {
		t.Error("Free of a part, of the whole, of it again")
	}
	if _, err := m.Bytes(a, 1); err == nil {
		t.Error("bytes of freed memory")
	}
	c, err := m.Alloc(600)
	if err != nil || c == a {
		t.Errorf("address %#x is used again: %v", c, err)
	}
	if _, err := m.Alloc(0); err == nil {
		t.Error("an allocation of nothing")
	}
}

func TestCancel(t *testing.T) {
	m := mustParse(t, header+".entry k() { L: bra L; }")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := ptx.Run(ctx, m.Kernels[0], ptx.NewMemory(0), ptx.Launch{Grid: [3]int{100, 1, 1}, Block: [3]int{64, 1, 1}}, ptx.Config{})
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 10*time.Second {
		t.Errorf("%v after %v", err, time.Since(start))
	}
}

// Every CTA runs once in every order, and every thread has its own numbers.
func TestGrid(t *testing.T) {
	m := mustParse(t, header+`.entry k(.param .u64 p) { .reg .b32 %r<40>; .reg .b64 %rd<9>;
	mov.u32 %r1, %ctaid.x; mov.u32 %r2, %ctaid.y; mov.u32 %r3, %ctaid.z; mov.u32 %r4, %nctaid.x; mov.u32 %r5, %nctaid.y;
	mad.lo.u32 %r6, %r3, %r5, %r2; mad.lo.u32 %r6, %r6, %r4, %r1;
	mov.u32 %r7, %tid.x; mov.u32 %r8, %tid.y; mov.u32 %r9, %tid.z; mov.u32 %r10, %ntid.x; mov.u32 %r11, %ntid.y; mov.u32 %r12, %ntid.z;
	mad.lo.u32 %r13, %r9, %r11, %r8; mad.lo.u32 %r13, %r13, %r10, %r7;
	mul.lo.u32 %r14, %r10, %r11; mul.lo.u32 %r14, %r14, %r12; mad.lo.u32 %r15, %r6, %r14, %r13;
	ld.param.u64 %rd1, [p]; mul.wide.u32 %rd2, %r15, 4; add.u64 %rd1, %rd1, %rd2; red.global.add.u32 [%rd1], 1; ret; }`)
	l := ptx.Launch{Grid: [3]int{5, 3, 7}, Block: [3]int{3, 7, 2}}
	n := 5 * 3 * 7 * 3 * 7 * 2
	for _, cfg := range append(ptx.Modes(), ptx.Config{Order: ptx.Random, Seed: 12345, Workers: 3}) {
		d := device{t, ptx.NewMemory(0)}
		p := d.alloc(4 * n)
		clear(d.bytes(p, 4*n))
		l.Params = args(p)
		if _, err := ptx.Run(context.Background(), m.Kernels[0], d.mem, l, cfg); err != nil {
			t.Fatal(err)
		}
		for i, b := 0, d.bytes(p, 4*n); i < n; i++ {
			if v := binary.LittleEndian.Uint32(b[4*i:]); v != 1 {
				t.Fatalf("%v: thread %d ran %d times", cfg.Order, i, v)
			}
		}
	}
}

// A race that one order hides, the other shows by its result.
func TestOrders(t *testing.T) {
	m := mustParse(t, body("mov.u32 %r10, %ctaid.x; mad.lo.u32 %r10, %r10, 1000, %r1; st.volatile.global.u32 [%rd1], %r10;"))
	for _, cfg := range ptx.Modes() {
		cfg.Workers = 1
		d := device{t, ptx.NewMemory(0)}
		p := d.alloc(1024)
		if _, err := ptx.Run(context.Background(), m.Kernels[0], d.mem, ptx.Launch{Grid: [3]int{3, 1, 1}, Block: [3]int{256, 1, 1}, Params: args(p)}, cfg); err != nil {
			t.Fatal(err)
		}
		got := binary.LittleEndian.Uint32(d.bytes(p, 4))
		if cfg.Order == ptx.Forward && got != 2255 || cfg.Order == ptx.Reversed && got != 31 {
			t.Errorf("%v: the last store is thread %d's", cfg.Order, got)
		}
	}
}

// counts runs a kernel of body with 32 threads and counts.
func counts(t *testing.T, text string, threads int) *ptx.Counts {
	t.Helper()
	m := mustParse(t, body(text))
	d := device{t, ptx.NewMemory(0)}
	p := d.alloc(1 << 16)
	c, err := ptx.Run(context.Background(), m.Kernels[0], d.mem, ptx.Launch{Grid: [3]int{1, 1, 1}, Block: [3]int{threads, 1, 1}, Params: args(p)}, ptx.Config{Count: true})
	if err != nil {
		t.Fatalf("%s\n%v", text, err)
	}
	return c
}

func TestGlobalCounts(t *testing.T) {
	addr := func(s string) string { // p + lane·s
		return "mul.wide.u32 %rd5, %r3, " + s + "; add.u64 %rd5, %rd5, %rd1; "
	}
	for _, c := range []struct {
		text           string
		bytes, sectors int64
	}{
		{addr("4") + "ld.global.u32 %r10, [%rd5];", 128, 4},
		{addr("4") + "ld.global.u32 %r10, [%rd5+4];", 128, 5},
		{addr("32") + "ld.global.u32 %r10, [%rd5];", 128, 32},
		{addr("0") + "ld.global.u32 %r10, [%rd5];", 128, 1},
		{addr("2") + "ld.global.u16 %h1, [%rd5];", 64, 2},
		{addr("8") + "ld.global.v2.u32 {%r10,%r11}, [%rd5];", 256, 8},
		{addr("16") + "ld.global.v4.u32 {%r10,%r11,%r12,%r13}, [%rd5];", 512, 16},
		{addr("0") + "ld.global.v4.u32 {%r10,%r11,%r12,%r13}, [%rd5];", 512, 4}, // a quarter warp at a time
		{addr("4") + "setp.lt.u32 %p1, %r3, 8; @%p1 ld.global.u32 %r10, [%rd5];", 32, 1},
		{addr("4") + "ld.u32 %r10, [%rd5];", 128, 4},
	} {
		w := counts(t, c.text, 32)
		if got := w.GlobalLoads; got != (ptx.Access{Requests: 1, Bytes: c.bytes, Sectors: c.sectors}) {
			t.Errorf("%s: %+v, want %d bytes, %d sectors", c.text, got, c.bytes, c.sectors)
		}
		if w.GlobalStores.Requests != 0 {
			t.Errorf("%s: stores", c.text)
		}
	}
	w := counts(t, addr("64")+"st.global.u32 [%rd5], %r1; red.global.add.u32 [%rd1], 1;", 32)
	if want := (ptx.Access{Requests: 2, Bytes: 256, Sectors: 33}); w.GlobalStores != want {
		t.Errorf("%+v, want %+v", w.GlobalStores, want)
	}
}

func TestBankConflicts(t *testing.T) {
	fill := ".shared .align 16 .b8 big[32768]; mov.u32 %r14, big; "
	addr := func(expr string) string { return fill + expr + " add.u32 %r10, %r10, %r14; " }
	for _, c := range []struct {
		text              string
		wavefronts, ideal int64
	}{
		{addr("shl.b32 %r10, %r3, 2;") + "st.shared.u32 [%r10], %r1;", 1, 1},
		{addr("shl.b32 %r10, %r3, 3;") + "st.shared.u32 [%r10], %r1;", 2, 1},
		{addr("shl.b32 %r10, %r3, 7;") + "st.shared.u32 [%r10], %r1;", 32, 1},
		{addr("mul.lo.u32 %r10, %r3, 132;") + "st.shared.u32 [%r10], %r1;", 1, 1}, // padded column
		{addr("mov.u32 %r10, 0;") + "st.shared.u32 [%r10], 5;", 1, 1},             // one word
		{addr("shl.b32 %r10, %r3, 1;") + "st.shared.u16 [%r10], 5;", 1, 1},        // two lanes a word
		{addr("shl.b32 %r10, %r3, 3;") + "st.shared.v2.u32 [%r10], {%r1,%r1};", 2, 2},
		{addr("shl.b32 %r10, %r3, 4;") + "st.shared.v2.u32 [%r10], {%r1,%r1};", 4, 2},
		{addr("shl.b32 %r10, %r3, 4;") + "st.shared.v4.u32 [%r10], {%r1,%r1,%r1,%r1};", 4, 4},
		{addr("shl.b32 %r10, %r3, 5;") + "st.shared.v4.u32 [%r10], {%r1,%r1,%r1,%r1};", 8, 4},
		{addr("shl.b32 %r10, %r3, 7;") + "setp.lt.u32 %p1, %r3, 4; @%p1 st.shared.v4.u32 [%r10], {%r1,%r1,%r1,%r1};", 4, 1},
	} {
		w := counts(t, c.text, 32)
		if got := w.SharedStores; got.Requests != 1 || got.Wavefronts != c.wavefronts || got.Ideal != c.ideal {
			t.Errorf("%s: %+v, want %d wavefronts, ideal %d", c.text, got, c.wavefronts, c.ideal)
		}
	}
	w := counts(t, fill+"shl.b32 %r10, %r3, 4; add.u32 %r10, %r10, %r14; st.shared.v4.u32 [%r10], {%r1,%r1,%r1,%r1}; bar.warp.sync -1; ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r20,%r21,%r22,%r23}, [%r10];", 32)
	if got := w.SharedLoads; got.Wavefronts != 4 || got.Ideal != 4 || got.Bytes != 512 {
		t.Errorf("ldmatrix: %+v", got)
	}
}

func TestCounts(t *testing.T) {
	text := `mov.u32 %r10, 0;
L:	fma.rn.f32 %f1, %f1, %f1, %f1;
	add.f32 %f2, %f1, %f1;
	add.u32 %r10, %r10, 1;
	setp.lt.u32 %p1, %r10, 10;
	@%p1 bra L;
	setp.lt.u32 %p2, %r1, 5;
	@%p2 fma.rn.f32 %f1, %f1, %f1, %f1;`
	c := counts(t, text, 48)
	if c.Ops["fma.rn.f32"] != 22 || c.Ops["bra"] != 20 || c.CTAs != 1 {
		t.Errorf("%v", c.Ops)
	}
	if want := int64(48*10*3 + 5*2); c.FLOPs != want {
		t.Errorf("%d FLOPs, want %d", c.FLOPs, want)
	}
	loop := c.MainLoop()
	if loop.Issues != 2*10*5 || loop.Threads != 48*(10*4+9) {
		t.Errorf("main loop: %+v", loop)
	}
	var sum ptx.Work
	for i := range c.Lines {
		sum.Add(&c.Lines[i].Work)
	}
	if sum != c.Work {
		t.Errorf("lines sum to %+v, total %+v", sum, c.Work)
	}
	// Lanes that branched apart are one again where the paths meet.
	c = counts(t, "setp.lt.u32 %p1, %r1, 7; @%p1 bra A; add.u32 %r10, %r1, 1; A: xor.b32 %r11, %r1, 1; xor.b32 %r11, %r1, 2;", 32)
	if c.Ops["xor.b32"] != 2 || c.Ops["add.u32"] != 1 {
		t.Errorf("after a branch: %v", c.Ops)
	}
	// A mma of 16·8·16 multiply-adds.
	if c := counts(t, "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%f1,%f2,%f3,%f4}, {%r10,%r11,%r12,%r13}, {%r10,%r11}, {%f1,%f2,%f3,%f4};", 32); c.FLOPs != 2*16*8*16 {
		t.Errorf("mma: %d FLOPs", c.FLOPs)
	}
}

// The counts of a real kernel: the same in every mode and with any number of
// workers; by source line; as the tiling says.
func TestSgemmCounts(t *testing.T) {
	k := parseFile(t, "sgemm.ptx").Kernel("sgemm")
	const m, n, kk = 256, 256, 32
	var first *ptx.Counts
	for i, cfg := range ptx.Modes() {
		cfg.Count, cfg.Workers = true, i%3+1
		d := device{t, ptx.NewMemory(0)}
		l := ptx.Launch{Grid: [3]int{n / 128, m / 128, 1}, Block: [3]int{256, 1, 1}, Params: args(d.floats(noise(m*kk, 1)), d.floats(noise(kk*n, 2)), d.alloc(4*m*n), m, n, kk)}
		c, err := ptx.Run(context.Background(), k, d.mem, l, cfg)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = c
		}
		if !reflect.DeepEqual(c, first) {
			t.Errorf("%v: other counts", cfg.Order)
		}
	}
	if first.FLOPs != 2*m*n*kk {
		t.Errorf("%d FLOPs", first.FLOPs)
	}
	if want := int64(4 * (m/128*kk*n + n/128*m*kk)); first.GlobalLoads.Bytes != want || first.GlobalLoads.Sectors != want/32 {
		t.Errorf("%+v, want %d bytes", first.GlobalLoads, want)
	}
	if want := int64(4 * m * n); first.GlobalStores.Bytes != want || first.GlobalStores.Sectors != want/32 {
		t.Errorf("%+v, want %d bytes", first.GlobalStores, want)
	}
	fma := first.Within("sgemm.cu", 21, 21)
	if fma.FLOPs != first.FLOPs {
		t.Errorf("line 21 has %d FLOPs", fma.FLOPs)
	}
	loop := first.MainLoop()
	if loop.FLOPs != first.FLOPs || loop.Wavefronts() != loop.IdealWavefronts() {
		t.Errorf("main loop: %+v", loop)
	}
	var total ptx.Work
	for _, s := range first.Sources() {
		total.Add(&s.Work)
	}
	if total != first.Work {
		t.Error("source lines do not sum to the total")
	}
}

// Nothing of a CTA is left for the next that has its warps: registers that
// were not written are zero, local memory too, shared memory is not initialised.
func TestNothingLeft(t *testing.T) {
	m := mustParse(t, body(`.local .align 8 .b8 depot[8];
	mov.u32 %r10, %ctaid.x; setp.ne.u32 %p1, %r10, %r3; setp.ne.u32 %p2, %r10, 1;
	@!%p1 setp.eq.u32 %p3, %r1, %r1;
	@!%p1 mov.u32 %r11, 3;
	@!%p1 mov.u64 %rd5, 4;
	@!%p1 st.local.u32 [depot], 16;
	@!%p1 st.shared.u32 [%r4], 64;
	bar.warp.sync -1;
	selp.u32 %r20, 8, 0, %p3; add.u32 %r20, %r20, %r11; cvt.u32.u64 %r12, %rd5; add.u32 %r20, %r20, %r12;
	ld.local.u32 %r12, [depot]; add.u32 %r20, %r20, %r12;
	atom.global.add.u32 %r13, [%rd2], %r20;`))
	for _, cfg := range ptx.Modes() {
		cfg.Workers = 1
		d := device{t, ptx.NewMemory(0)}
		p := d.alloc(128)
		clear(d.bytes(p, 128))
		if _, err := ptx.Run(context.Background(), m.Kernels[0], d.mem, ptx.Launch{Grid: [3]int{8, 1, 1}, Block: [3]int{32, 1, 1}, Params: args(p)}, cfg); err != nil {
			t.Fatal(err)
		}
		for i := range 32 {
			want := uint32(0)
			if i < 8 { // lane i did something in CTA i only
				want = 8 + 3 + 4 + 16
			}
			if got := binary.LittleEndian.Uint32(d.bytes(p, 128)[4*i:]); got != want {
				t.Errorf("%v: lane %d sums %d, want %d", cfg.Order, i, got, want)
			}
		}
	}
	shared := mustParse(t, body("mov.u32 %r10, %ctaid.x; setp.eq.u32 %p1, %r10, 0; @%p1 st.shared.u32 [%r5], 1; @!%p1 ld.shared.u32 %r11, [%r5];"))
	d := device{t, ptx.NewMemory(0)}
	_, err := ptx.Run(context.Background(), shared.Kernels[0], d.mem, ptx.Launch{Grid: [3]int{2, 1, 1}, Block: [3]int{32, 1, 1}, Params: args(d.alloc(128))}, ptx.Config{Workers: 1})
	var f *ptx.Fault
	if !errors.As(err, &f) || f.Kind != ptx.Uninitialised || f.CTA[0] != 1 {
		t.Errorf("%v, want an uninitialised read by CTA 1", err)
	}
}
