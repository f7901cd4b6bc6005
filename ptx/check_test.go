package ptx_test

// Every check: a kernel that trips it, and its twin that does not.

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/godwit-ml/godwit/ptx"
)

// body is a kernel with one pointer parameter in %rd1 (global), %r1 = tid.x,
// %r2 = 4·tid.x, %r3 = laneid, %rd2 = p + 4·tid.x, and 1024 bytes of shared
// memory buf.
func body(text string) string {
	return `.version 7.0
.target sm_80
.address_size 64
.visible .entry k(.param .u64 p)
{
	.reg .pred %p<9>;
	.reg .b16 %h<9>;
	.reg .b32 %r<30>;
	.reg .f32 %f<9>;
	.reg .b64 %rd<20>;
	.shared .align 16 .b8 buf[1024];
	ld.param.u64 %rd1, [p];
	mov.u32 %r1, %tid.x;
	shl.b32 %r2, %r1, 2;
	mov.u32 %r3, %laneid;
	cvt.u64.u32 %rd3, %r2;
	add.s64 %rd2, %rd1, %rd3;
	mov.u32 %r4, buf;
	add.s32 %r5, %r4, %r2;
` + text + "\n\tret;\n}\n"
}

// run executes body(text) with a block of threads and 1024 bytes at p.
func run(t *testing.T, text string, threads int, cfg ptx.Config) ([]byte, error) {
	t.Helper()
	m, err := ptx.Parse("check.ptx", []byte(body(text)))
	if err != nil {
		t.Fatalf("%s\n%v", text, err)
	}
	d := device{t, ptx.NewMemory(0)}
	p := d.alloc(1024)
	_, err = ptx.Run(context.Background(), m.Kernels[0], d.mem, ptx.Launch{Grid: [3]int{1, 1, 1}, Block: [3]int{threads, 1, 1}, Params: args(p)}, cfg)
	return d.bytes(p, 1024), err
}

func TestChecks(t *testing.T) {
	const copy16 = "shl.b32 %r10, %r1, 4; add.s32 %r10, %r10, %r4; cvt.u64.u32 %rd5, %r1; shl.b64 %rd5, %rd5, 4; add.s64 %rd5, %rd5, %rd1; cp.async.cg.shared.global [%r10], [%rd5], 16;"
	const fill = "shl.b32 %r10, %r1, 4; add.s32 %r10, %r10, %r4; st.shared.v4.u32 [%r10], {%r1, %r1, %r1, %r1}; bar.sync 0;"
	// Neighbours exchange values in loops that are longer than clocks have bits.
	const many = "mov.u32 %r20, 0; M: st.shared.u32 [%r5], %r20; bar.sync 0; xor.b32 %r10, %r2, 128; add.s32 %r10, %r10, %r4; ld.shared.u32 %r11, [%r10]; setp.ne.u32 %p1, %r11, %r20; @%p1 trap; bar.sync 0; add.u32 %r20, %r20, 1; setp.lt.u32 %p1, %r20, 2100; @%p1 bra M; "
	const lanes = "mov.u32 %r20, 0; N: st.shared.u32 [%r5], %r20; bar.warp.sync -1; xor.b32 %r10, %r2, 4; add.s32 %r10, %r10, %r4; ld.shared.u32 %r11, [%r10]; setp.ne.u32 %p1, %r11, %r20; @%p1 trap; bar.warp.sync -1; add.u32 %r20, %r20, 1; setp.lt.u32 %p1, %r20, 700; @%p1 bra N; "
	// Warps 0 and 1 read; p1, p2 and p3 are warps 0, 1 and 2.
	const readers = "setp.eq.u32 %p4, %r1, 0; @%p4 st.shared.u32 [%r4], 1; bar.sync 0; setp.lt.u32 %p1, %r1, 32; setp.ge.u32 %p3, %r1, 64; setp.lt.and.u32 %p2, %r1, 64, !%p1; @%p2 ld.shared.u32 %r10, [%r4]; @%p4 ld.shared.u32 %r10, [%r4]; "
	for _, c := range []struct {
		name    string
		kind    ptx.Kind
		threads int
		bad     string
		good    string
		detail  string // in the fault of bad
	}{
		{"past the end", ptx.OutOfBounds, 32, "ld.global.u32 %r10, [%rd2+900];", "ld.global.u32 %r10, [%rd2+896];", "0 bytes after the allocation of 1024 bytes"},
		{"before the start", ptx.OutOfBounds, 32, "st.global.u32 [%rd2+-4], %r1;", "st.global.u32 [%rd2], %r1;", "4 bytes before the allocation"},
		{"vector past the end", ptx.OutOfBounds, 1, "ld.global.v4.u32 {%r10,%r11,%r12,%r13}, [%rd2+1024];", "ld.global.v4.u32 {%r10,%r11,%r12,%r13}, [%rd2+1008];", ""},
		{"null", ptx.OutOfBounds, 1, "mov.u64 %rd5, 16; ld.global.u32 %r10, [%rd5];", "mov.u64 %rd5, 16; add.s64 %rd5, %rd5, %rd1; ld.global.u32 %r10, [%rd5];", "null"},
		{"generic", ptx.OutOfBounds, 32, "ld.u32 %r10, [%rd2+4096];", "ld.u32 %r10, [%rd2];", ""},
		{"misaligned", ptx.Misaligned, 1, "ld.global.u32 %r10, [%rd2+2];", "ld.global.u32 %r10, [%rd2+4];", "multiple of 4"},
		{"misaligned vector", ptx.Misaligned, 32, "ld.global.v4.u32 {%r10,%r11,%r12,%r13}, [%rd2];", "and.b32 %r10, %r1, 28; mul.wide.u32 %rd5, %r10, 4; add.s64 %rd5, %rd1, %rd5; ld.global.v4.u32 {%r10,%r11,%r12,%r13}, [%rd5];", "multiple of 16"},
		{"misaligned atomic", ptx.Misaligned, 1, "atom.global.add.u32 %r10, [%rd2+1], 1;", "atom.global.add.u32 %r10, [%rd2], 1;", ""},
		{"shared past the end", ptx.OutOfBounds, 32, "st.shared.u32 [%r5+1020], %r1;", "st.shared.u32 [%r5+896], %r1;", "which has 1024"},
		{"shared misaligned", ptx.Misaligned, 1, "st.shared.u32 [%r5+1], %r1;", "st.shared.u32 [%r5], %r1;", ""},
		{"shared load misaligned", ptx.Misaligned, 1, "st.shared.v2.u32 [%r5], {%r1, %r1}; ld.shared.u32 %r10, [%r5+2];", "st.shared.v2.u32 [%r5], {%r1, %r1}; ld.shared.u32 %r10, [%r5+4];", ""},
		{"shared load past the end", ptx.OutOfBounds, 1, "ld.shared.u32 %r10, [%r5+1024];", "st.shared.u32 [%r5+1020], %r1; ld.shared.u32 %r10, [%r5+1020];", ""},
		{"parameter", ptx.OutOfBounds, 1, "ld.param.u64 %rd5, [p+8];", "ld.param.u64 %rd5, [p];", ""},
		{"uninitialised", ptx.Uninitialised, 32, "ld.shared.u32 %r10, [%r5];", "st.shared.u32 [%r5], %r1; ld.shared.u32 %r10, [%r5];", "nobody wrote"},
		{"partly uninitialised", ptx.Uninitialised, 1, "st.shared.u16 [%r5], 7; ld.shared.u32 %r10, [%r5];", "st.shared.u16 [%r5], 7; st.shared.u16 [%r5+2], 7; ld.shared.u32 %r10, [%r5];", ""},
		{"read after write", ptx.Race, 64, "st.shared.u32 [%r5], 0; bar.sync 0; st.shared.u32 [%r5], %r1; xor.b32 %r10, %r2, 128; add.s32 %r10, %r10, %r4; ld.shared.u32 %r11, [%r10];",
			"st.shared.u32 [%r5], 0; bar.sync 0; st.shared.u32 [%r5], %r1; bar.sync 0; xor.b32 %r10, %r2, 128; add.s32 %r10, %r10, %r4; ld.shared.u32 %r11, [%r10];", ""},
		{"write after read", ptx.Race, 64, "st.shared.u32 [%r5], %r1; bar.sync 0; xor.b32 %r10, %r2, 128; add.s32 %r10, %r10, %r4; ld.shared.u32 %r11, [%r10]; st.shared.u32 [%r5], %r11;",
			"st.shared.u32 [%r5], %r1; bar.sync 0; xor.b32 %r10, %r2, 128; add.s32 %r10, %r10, %r4; ld.shared.u32 %r11, [%r10]; bar.sync 0; st.shared.u32 [%r5], %r11;", ""},
		{"write after write", ptx.Race, 64, "and.b32 %r10, %r2, 127; add.s32 %r10, %r10, %r4; st.shared.u32 [%r10], %r3;", "st.shared.u32 [%r5], %r3;", "another warp"},
		{"neighbouring halves", ptx.Race, 64, "shr.u32 %r10, %r1, 5; shl.b32 %r10, %r10, 1; add.s32 %r10, %r10, %r4; setp.eq.u32 %p1, %r3, 0; @%p1 st.shared.u32 [%r4], 3; @%p1 st.shared.u16 [%r10], 7;",
			"shr.u32 %r10, %r1, 5; shl.b32 %r10, %r10, 1; add.s32 %r10, %r10, %r4; setp.eq.u32 %p1, %r3, 0; @%p1 st.shared.u16 [%r10], 7;", ""},
		{"lanes of a warp", ptx.Race, 32, "st.shared.u32 [%r5], %r1; xor.b32 %r10, %r2, 4; add.s32 %r10, %r10, %r4; ld.shared.u32 %r11, [%r10];",
			"st.shared.u32 [%r5], %r1; bar.warp.sync 0xffffffff; xor.b32 %r10, %r2, 4; add.s32 %r10, %r10, %r4; ld.shared.u32 %r11, [%r10];", "bar.warp.sync"},
		{"lanes of a warp, write after read", ptx.Race, 32, "st.shared.u32 [%r5], %r1; bar.warp.sync 0xffffffff; xor.b32 %r10, %r2, 4; add.s32 %r10, %r10, %r4; ld.shared.u32 %r11, [%r10]; st.shared.u32 [%r5], %r11;",
			"st.shared.u32 [%r5], %r1; bar.warp.sync 0xffffffff; xor.b32 %r10, %r2, 4; add.s32 %r10, %r10, %r4; ld.shared.u32 %r11, [%r10]; bar.warp.sync 0xffffffff; st.shared.u32 [%r5], %r11;", "bar.warp.sync"},
		{"one generic address, many values", ptx.Race, 32, "cvt.u64.u32 %rd5, %r4; cvta.shared.u64 %rd5, %rd5; st.u32 [%rd5], %r1;", "cvt.u64.u32 %rd5, %r4; cvta.shared.u64 %rd5, %rd5; st.u32 [%rd5], 7;", "another value"},
		{"addresses in another order", ptx.Race, 32, "xor.b32 %r10, %r2, 124; and.b32 %r10, %r10, 60; add.s32 %r10, %r10, %r4; st.shared.u32 [%r10], %r1;", "xor.b32 %r10, %r2, 124; add.s32 %r10, %r10, %r4; st.shared.u32 [%r10], %r1;", "another value"},
		{"a write after all lanes read", ptx.Race, 32, "setp.eq.u32 %p1, %r1, 0; @%p1 st.shared.u32 [%r4], 1; bar.warp.sync -1; ld.shared.u32 %r10, [%r4]; @%p1 st.shared.u32 [%r4], 2;",
			"setp.eq.u32 %p1, %r1, 0; @%p1 st.shared.u32 [%r4], 1; bar.warp.sync -1; @%p1 ld.shared.u32 %r10, [%r4]; @%p1 st.shared.u32 [%r4], 2;", "bar.warp.sync"},
		{"a race after thousands of barriers", ptx.Race, 64, many + "bar.sync 0; st.shared.u32 [%r5], %r1; xor.b32 %r10, %r2, 128; add.s32 %r10, %r10, %r4; ld.shared.u32 %r11, [%r10];", many, ""},
		{"a race of lanes after many bar.warp.sync", ptx.Race, 32, lanes + "st.shared.u32 [%r5], %r1; xor.b32 %r10, %r2, 4; add.s32 %r10, %r10, %r4; ld.shared.u32 %r11, [%r10];", lanes, "bar.warp.sync"},
		{"one address, many values", ptx.Race, 32, "st.shared.u32 [%r4], %r1;", "st.shared.u32 [%r4], 7;", "another value"},
		{"atomics and a plain read", ptx.Race, 64, "setp.eq.u32 %p1, %r1, 0; @%p1 st.shared.u32 [%r4], 0; bar.sync 0; atom.shared.add.u32 %r10, [%r4], 1; ld.shared.u32 %r11, [%r4];",
			"setp.eq.u32 %p1, %r1, 0; @%p1 st.shared.u32 [%r4], 0; bar.sync 0; atom.shared.add.u32 %r10, [%r4], 1; bar.sync 0; ld.shared.u32 %r11, [%r4];", ""},
		{"copy not waited for", ptx.Race, 32, copy16 + "cp.async.commit_group; ld.shared.u32 %r11, [%r10];", copy16 + "cp.async.commit_group; cp.async.wait_group 0; ld.shared.u32 %r11, [%r10];", "has not been waited for"},
		{"barrier but no wait", ptx.Race, 64, fill + copy16 + "cp.async.commit_group; bar.sync 0; xor.b32 %r10, %r10, 512; ld.shared.u32 %r11, [%r10];",
			fill + copy16 + "cp.async.commit_group; cp.async.wait_group 0; bar.sync 0; xor.b32 %r10, %r10, 512; ld.shared.u32 %r11, [%r10];", "has not been waited for"},
		{"copy over what others read", ptx.Race, 64, fill + "xor.b32 %r10, %r10, 512; ld.shared.u32 %r11, [%r10];" + copy16 + "cp.async.wait_all;",
			fill + "xor.b32 %r10, %r10, 512; ld.shared.u32 %r11, [%r10]; bar.sync 0;" + copy16 + "cp.async.wait_all;", ""},
		{"a write that one of two readers does not know of", ptx.Race, 96, readers + "@%p3 bar.sync 1, 64; @%p1 bar.sync 1, 64; @%p1 st.shared.u32 [%r4], 2;",
			readers + "bar.sync 1, 96; @%p1 st.shared.u32 [%r4], 2;", ""},
		{"copy not committed", ptx.Race, 32, copy16 + "cp.async.wait_group 0; ld.shared.u32 %r11, [%r10];", copy16 + "cp.async.wait_all; ld.shared.u32 %r11, [%r10];", "has not been waited for"},
		{"copy of another warp", ptx.Race, 64, fill + copy16 + "cp.async.wait_all; xor.b32 %r10, %r10, 512; ld.shared.u32 %r11, [%r10];", fill + copy16 + "cp.async.wait_all; bar.sync 0; xor.b32 %r10, %r10, 512; ld.shared.u32 %r11, [%r10];", ""},
		{"copy past the end", ptx.OutOfBounds, 64, strings.Replace(copy16, "[%rd5]", "[%rd5+16]", 1) + "cp.async.wait_all;", copy16 + "cp.async.wait_all;", ""},
		{"matrix that nobody wrote", ptx.Uninitialised, 32, "shl.b32 %r10, %r1, 4; add.s32 %r10, %r10, %r4; ldmatrix.sync.aligned.m8n8.x1.shared.b16 %r11, [%r10];",
			fill + "ldmatrix.sync.aligned.m8n8.x1.shared.b16 %r11, [%r10];", ""},
		{"matrix that another warp writes", ptx.Race, 64, fill + "setp.lt.u32 %p1, %r1, 32; xor.b32 %r10, %r10, 512; ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r11,%r12,%r13,%r14}, [%r10]; xor.b32 %r10, %r10, 512; st.shared.u32 [%r10], %r11;",
			fill + "setp.lt.u32 %p1, %r1, 32; xor.b32 %r10, %r10, 512; ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r11,%r12,%r13,%r14}, [%r10]; xor.b32 %r10, %r10, 512; bar.sync 0; st.shared.u32 [%r10], %r11;", ""},
		{"matrix row misaligned", ptx.Misaligned, 32, fill + "add.u32 %r10, %r10, 8; ldmatrix.sync.aligned.m8n8.x1.shared.b16 %r11, [%r10];", fill + "ldmatrix.sync.aligned.m8n8.x1.shared.b16 %r11, [%r10];", ""},
		{"barrier of some", ptx.Barrier, 64, "setp.lt.u32 %p1, %r1, 32; @%p1 bar.sync 0;", "setp.lt.u32 %p1, %r1, 32; bar.sync 0;", "exited"},
		{"barrier of half a warp", ptx.Barrier, 32, "setp.lt.u32 %p1, %r1, 16; @%p1 bra L; ret; L: bar.sync 0;", "setp.lt.u32 %p1, %r1, 16; @%p1 bra L; L: bar.sync 0;", "exited"},
		{"two barriers", ptx.Barrier, 32, "setp.lt.u32 %p1, %r1, 16; @%p1 bra L; bar.sync 0; ret; L: bar.sync 0;", "bar.sync 0; bar.sync 0;", ""},
		{"barriers of two warps", ptx.Barrier, 64, "setp.lt.u32 %p1, %r1, 32; @%p1 bra L; bar.sync 0; ret; L: bar.sync 0;", "setp.lt.u32 %p1, %r1, 64; @%p1 bra L; bar.sync 0; ret; L: bar.sync 0;", ""},
		{"too few for the barrier", ptx.Barrier, 64, "bar.sync 1, 96;", "bar.sync 1, 64;", ""},
		{"shuffle with those that left", ptx.Shuffle, 32, "setp.lt.u32 %p1, %r1, 16; @%p1 ret; shfl.sync.bfly.b32 %r10, %r1, 1, 31, -1;", "setp.lt.u32 %p1, %r1, 16; @%p1 ret; shfl.sync.bfly.b32 %r10, %r1, 1, 31, 0xffff0000;", "exited"},
		{"shuffle in half a warp", ptx.Shuffle, 32, "setp.lt.u32 %p1, %r1, 16; @%p1 shfl.sync.bfly.b32 %r10, %r1, 1, 31, -1;", "setp.lt.u32 %p1, %r1, 16; @%p1 shfl.sync.bfly.b32 %r10, %r1, 1, 31, 0xffff;", ""},
		{"shuffle by a lane not in the mask", ptx.Shuffle, 32, "shfl.sync.bfly.b32 %r10, %r1, 1, 31, 0xfffffffe;", "shfl.sync.bfly.b32 %r10, %r1, 1, 31, 0xffffffff;", "leaves out"},
		{"shuffle from outside the mask", ptx.Shuffle, 32, "setp.lt.u32 %p1, %r1, 16; @%p1 shfl.sync.bfly.b32 %r10, %r1, 16, 31, 0xffff;", "setp.lt.u32 %p1, %r1, 16; @%p1 shfl.sync.bfly.b32 %r10, %r1, 8, 31, 0xffff;", "does not take part"},
		{"shuffle in a small block", ptx.Shuffle, 16, "shfl.sync.down.b32 %r10, %r1, 1, 31, -1;", "shfl.sync.down.b32 %r10, %r1, 1, 0x101f, 0xffff;", "does not exist"},
		{"vote", ptx.Shuffle, 32, "setp.lt.u32 %p1, %r1, 16; @%p1 vote.sync.any.pred %p2, %p1, -1;", "setp.lt.u32 %p1, %r1, 16; vote.sync.any.pred %p2, %p1, -1;", ""},
		{"endless loop", ptx.TooManySteps, 32, "L: bra L;", "mov.u32 %r10, 0; L: add.u32 %r10, %r10, 1; setp.lt.u32 %p1, %r10, 1000; @%p1 bra L;", ""},
		{"trap", ptx.Trapped, 32, "setp.eq.u32 %p1, %r1, 3; @%p1 trap;", "setp.eq.u32 %p1, %r1, 32; @%p1 trap;", ""},
		{"store to constants", ptx.ReadOnly, 1, "mov.b64 %rd5, p; cvta.param.u64 %rd5, %rd5; st.u64 [%rd5], %rd1;", "mov.b64 %rd5, p; cvta.param.u64 %rd5, %rd5; ld.u64 %rd6, [%rd5];", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, cfg := range ptx.Modes() {
				cfg.Steps = 100000
				_, err := run(t, c.bad, c.threads, cfg)
				var f *ptx.Fault
				if !errors.As(err, &f) || f.Kind != c.kind || !strings.Contains(f.Detail, c.detail) {
					t.Errorf("%v eager %v: %v, want %s: …%s…", cfg.Order, cfg.Eager, err, c.kind, c.detail)
				}
				if _, err := run(t, c.good, c.threads, cfg); err != nil {
					t.Errorf("%v eager %v: the twin: %v", cfg.Order, cfg.Eager, err)
				}
			}
		})
	}
}

func TestUseAfterFree(t *testing.T) {
	m, err := ptx.Parse("free.ptx", []byte(body("ld.global.u32 %r10, [%rd2];")))
	if err != nil {
		t.Fatal(err)
	}
	d := device{t, ptx.NewMemory(0)}
	p := d.alloc(1024)
	l := ptx.Launch{Grid: [3]int{1, 1, 1}, Block: [3]int{32, 1, 1}, Params: args(p)}
	if _, err := ptx.Run(context.Background(), m.Kernels[0], d.mem, l, ptx.Config{}); err != nil {
		t.Fatal(err)
	}
	if err := d.mem.Free(p); err != nil {
		t.Fatal(err)
	}
	d.alloc(1024)
	_, err = ptx.Run(context.Background(), m.Kernels[0], d.mem, l, ptx.Config{})
	var f *ptx.Fault
	if !errors.As(err, &f) || f.Kind != ptx.UseAfterFree || f.Addr != p {
		t.Fatalf("%v, want use after free of %#x", err, p)
	}
	if err := d.mem.Free(p); err == nil {
		t.Error("second Free gave no error")
	}
}

// The fault names line, CTA and thread, whatever runs first.
func TestFaultPlace(t *testing.T) {
	text := "mov.u32 %r10, %ctaid.y;\n\tsetp.eq.u32 %p1, %r10, 2;\n\tsetp.eq.u32 %p2, %r1, 5;\n\tand.pred %p1, %p1, %p2;\n\t@%p1 ld.global.u32 %r11, [%rd2+5000];"
	src := body(text)
	m, err := ptx.Parse("place.ptx", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	line := strings.Count(src[:strings.Index(src, "@%p1 ld")], "\n") + 1
	for _, cfg := range ptx.Modes() {
		cfg.Workers = 3
		d := device{t, ptx.NewMemory(0)}
		p := d.alloc(1024)
		_, err := ptx.Run(context.Background(), m.Kernels[0], d.mem, ptx.Launch{Grid: [3]int{1, 5, 1}, Block: [3]int{8, 4, 1}, Params: args(p)}, cfg)
		var f *ptx.Fault
		if !errors.As(err, &f) {
			t.Fatal(err)
		}
		if f.Line != line || f.CTA != [3]int{0, 2, 0} || f.Thread != [3]int{5, 0, 0} || f.Addr != p+20+5000 || f.Kernel != "k" {
			t.Errorf("%v at line %d CTA %v thread %v address p+%d, want line %d", f, f.Line, f.CTA, f.Thread, f.Addr-p, line)
		}
		if !strings.Contains(f.Error(), fmt.Sprintf("PTX line %d, CTA (0,2,0), thread (5,0,0)", line)) {
			t.Error(f.Error())
		}
	}
}

// Late copies read their source at the wait, eager ones at once.
func TestEager(t *testing.T) {
	for _, cfg := range ptx.Modes() {
		b, err := run(t, "st.global.u32 [%rd2], 1; cp.async.ca.shared.global [%r5], [%rd2], 4; st.global.u32 [%rd2], 2; cp.async.wait_all; ld.shared.u32 %r10, [%r5]; st.global.u32 [%rd2], %r10;", 32, cfg)
		if err != nil {
			t.Fatal(err)
		}
		want := byte(2)
		if cfg.Eager {
			want = 1
		}
		if b[0] != want {
			t.Errorf("eager %v: %d, want %d", cfg.Eager, b[0], want)
		}
	}
}

// wait_group n leaves the newest n groups of the thread under way.
func TestWaitGroup(t *testing.T) {
	const three = "st.global.u32 [%rd2], 7; cp.async.ca.shared.global [%r5], [%rd2], 4; cp.async.commit_group; cp.async.ca.shared.global [%r5+256], [%rd2], 4; cp.async.commit_group; cp.async.ca.shared.global [%r5+512], [%rd2], 4; cp.async.commit_group; "
	for n, ok := range [][3]bool{{true, true, true}, {true, true, false}, {true, false, false}, {false, false, false}} {
		for i, at := range []string{"%r5", "%r5+256", "%r5+512"} {
			_, err := run(t, three+"cp.async.wait_group "+fmt.Sprint(n)+"; ld.shared.u32 %r10, ["+at+"];", 32, ptx.Config{})
			if (err == nil) != ok[i] {
				t.Errorf("wait_group %d: reading group %d: %v", n, i, err)
			}
		}
	}
}

// Of many CTAs that fault the first in launch order is told, however long it takes.
func TestFirstFault(t *testing.T) {
	// CTA 1 takes its time, CTA 2 more or none.
	for _, second := range []string{"0", "400000"} {
		m := mustParse(t, body("mov.u32 %r10, %ctaid.x; mov.u32 %r11, 0; mov.u32 %r12, 0; setp.eq.u32 %p1, %r10, 1; @%p1 mov.u32 %r12, 100000; setp.eq.u32 %p1, %r10, 2; @%p1 mov.u32 %r12, "+second+
			"; L: add.u32 %r11, %r11, 1; setp.lt.u32 %p2, %r11, %r12; @%p2 bra L; setp.eq.u32 %p1, %r10, 0; @!%p1 trap;"))
		for range 3 {
			d := device{t, ptx.NewMemory(0)}
			_, err := ptx.Run(context.Background(), m.Kernels[0], d.mem, ptx.Launch{Grid: [3]int{40, 1, 1}, Block: [3]int{32, 1, 1}, Params: args(d.alloc(128))}, ptx.Config{Workers: 4})
			var f *ptx.Fault
			if !errors.As(err, &f) || f.Kind != ptx.Trapped || f.CTA != [3]int{1, 0, 0} {
				t.Fatalf("%v, want the trap of CTA 1", err)
			}
		}
	}
}

func TestReadOnly(t *testing.T) {
	m := mustParse(t, header+".const .b32 c = 5;\n.entry k() { .reg .b64 %r; .reg .b32 %v; mov.u64 %r, c; ld.u32 %v, [%r]; st.global.u32 [%r], %v; ret; }")
	_, err := ptx.Run(context.Background(), m.Kernels[0], ptx.NewMemory(0), ptx.Launch{Grid: [3]int{1, 1, 1}, Block: [3]int{1, 1, 1}}, ptx.Config{})
	var f *ptx.Fault
	if !errors.As(err, &f) || f.Kind != ptx.ReadOnly || !strings.Contains(f.Detail, "variable c") {
		t.Fatal(err)
	}
}
