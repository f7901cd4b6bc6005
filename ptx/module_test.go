package ptx_test

// Parsing: what a module holds, what is refused and where, hostile files.

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/godwit-ml/godwit/ptx"
)

func TestModule(t *testing.T) {
	m := parseFile(t, "sgemm.ptx")
	if m.Version != "7.0" || m.Target != "sm_75" || len(m.Kernels) != 1 {
		t.Errorf("version %q, target %q, %d kernels", m.Version, m.Target, len(m.Kernels))
	}
	k := m.Kernel("sgemm")
	if k == nil || m.Kernel("other") != nil {
		t.Fatal("Kernel does not find by name")
	}
	if k.StaticShared != 8448+8192 || k.MaxThreads != 256 || k.ParamBytes() != 48 || k.Dynamic || k.Local != 0 {
		t.Errorf("shared %d, threads %d, parameters %d", k.StaticShared, k.MaxThreads, k.ParamBytes())
	}
	if want := (ptx.Param{Name: "sgemm_param_2", Type: "u64", Size: 8, Align: 8, Offset: 16}); k.Params[2] != want {
		t.Errorf("%+v, want %+v", k.Params[2], want)
	}
	h := parseFile(t, "math.ptx").Kernel("halfs")
	if last := h.Params[4]; last.Size != 24 || last.Type != "b8" || last.Align != 8 || h.ParamBytes() != 56 {
		t.Errorf("struct by value: %+v of %d bytes", last, h.ParamBytes())
	}
	if hm := parseFile(t, "mma.ptx").Kernel("hm"); !hm.Dynamic || hm.StaticShared != 512 {
		t.Errorf("dynamic %v, static %d", hm.Dynamic, hm.StaticShared)
	}
}

// A fault names the line of the .cu, through inlined functions too.
func TestSourceLine(t *testing.T) {
	m := parseFile(t, "math.ptx")
	for _, c := range []struct {
		kernel, line string
		args         []byte
		stop         ptx.Kind
	}{
		{"maths", "math.cu:8", args(0, 0, 9, 0), ptx.OutOfBounds},
		{"halfs", "math.cu:15", append(args(0, 0, 0, 0), make([]byte, 24)...), ptx.OutOfBounds},
		{"callk", "math.cu:23", args(0), ptx.OutOfBounds},
	} {
		_, err := ptx.Run(context.Background(), m.Kernel(c.kernel), ptx.NewMemory(0), ptx.Launch{Grid: [3]int{1, 1, 1}, Block: [3]int{32, 1, 1}, Params: c.args}, ptx.Config{})
		var f *ptx.Fault
		if !errors.As(err, &f) || f.Kind != c.stop {
			t.Errorf("%s: %v", c.kernel, err)
			continue
		}
		if c.line == "math.cu:8" { // the load is on the line after the test of i
			c.line = "math.cu:9"
		}
		if f.Source != c.line {
			t.Errorf("%s: %v: source %q, want %q", c.kernel, f, f.Source, c.line)
		}
	}
}

// Inlined code: the innermost line in the kernel's file, else the call.
func TestInlinedLine(t *testing.T) {
	for _, c := range []struct{ loc, want string }{
		{".loc 1 8 2\n", "x.cu:8"},
		{".loc 1 8 2\n.loc 1 20 3, function_name $L, inlined_at 1 8 2\n", "x.cu:20"},
		{".loc 1 8 2\n.loc 2 99 1, function_name $L, inlined_at 1 8 2\n", "x.cu:8"},
		{".loc 1 8 2\n.loc 1 20 3, function_name $L, inlined_at 1 8 2\n.loc 2 99 1, function_name $L + 4, inlined_at 1 20 3\n", "x.cu:20"},
		{".loc 2 99 1, function_name $L, inlined_at 1 9 2\n", "x.cu:9"},
		{".loc 1 8 2\n.loc 1 0 2\n", "x.cu:8"},
		{".loc 2 7 2\n", "math.h:7"},
		{"", "x.cu:5"},
	} {
		m := mustParse(t, header+".entry k() {\n.loc 1 5 0\n"+c.loc+"trap;\n}\n.file 1 \"/some/where/x.cu\"\n.file 2 \"math.h\", 123, 456\n.section .debug_str\n{\n$L:\n.b8 1,2\n}\n")
		_, err := ptx.Run(context.Background(), m.Kernels[0], ptx.NewMemory(0), ptx.Launch{Grid: [3]int{1, 1, 1}, Block: [3]int{1, 1, 1}}, ptx.Config{})
		var f *ptx.Fault
		if !errors.As(err, &f) || f.Source != c.want {
			t.Errorf("%q: %v, want %s", c.loc, err, c.want)
		}
	}
}

const header = ".version 7.0\n.target sm_80\n.address_size 64\n"

// runText runs the kernel k of a module with one parameter p of 1024 bytes.
func runText(t *testing.T, src string, threads int) []uint32 {
	t.Helper()
	m, err := ptx.Parse("text.ptx", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	d := device{t, ptx.NewMemory(0)}
	p := d.alloc(1024)
	for range 2 { // the second launch finds the variables of the first
		if _, err := ptx.Run(context.Background(), m.Kernel("k"), d.mem, ptx.Launch{Grid: [3]int{1, 1, 1}, Block: [3]int{threads, 1, 1}, Params: args(p)}, ptx.Config{}); err != nil {
			t.Fatal(err)
		}
	}
	v := make([]uint32, 256)
	for i := range v {
		v[i] = binary.LittleEndian.Uint32(d.bytes(p, 1024)[4*i:])
	}
	return v
}

func TestVariables(t *testing.T) {
	got := runText(t, header+`
.global .align 4 .u32 counter;
.const .align 4 .f32 table[3] = {1.0, 0f40000000, -3.5};
.global .u64 pointers[2] = {counter, generic(table)+4};
.global .s16 grid[2][2] = {{1, -2}, {3, 0x7f}};
.visible .entry k(.param .u64 p) {
	.reg .b32 %r<9>; .reg .b64 %rd<9>; .reg .f32 %f<4>;
	ld.param.u64 %rd1, [p];
	ld.const.f32 %f1, [table+8]; st.global.f32 [%rd1], %f1;
	mov.u64 %rd2, pointers; ld.global.u64 %rd3, [%rd2+8]; ld.f32 %f2, [%rd3]; st.global.f32 [%rd1+4], %f2;
	ld.global.u64 %rd4, [pointers]; atom.global.add.u32 %r1, [%rd4], 1; ld.global.u32 %r2, [counter]; st.global.u32 [%rd1+8], %r2;
	ld.global.s16 %r3, [grid+2]; st.global.u32 [%rd1+12], %r3;
	ld.global.s16 %r3, [grid+6]; st.global.u32 [%rd1+16], %r3;
	ret; }`, 1)
	want := []uint32{math.Float32bits(-3.5), 0x40000000, 2, 0xfffffffe, 0x7f}
	if !reflect.DeepEqual(got[:5], want) {
		t.Errorf("%x, want %x", got[:5], want)
	}
}

// Shared and local variables lie where their alignment says, dynamic shared
// memory after them.
func TestPlaces(t *testing.T) {
	m := mustParse(t, header+`.extern .shared .align 8 .b8 dynamic[];
.shared .b8 one;
.visible .entry k(.param .u64 p) {
	.reg .b32 %r<9>; .reg .b64 %rd<9>;
	.shared .align 16 .b8 two[20]; .shared .b16 three; .shared .b64 four;
	.local .b8 five[3]; .local .align 8 .b8 six[8];
	ld.param.u64 %rd1, [p];
	mov.u32 %r1, one; mov.u32 %r2, two; st.global.v2.u32 [%rd1], {%r1, %r2};
	mov.u32 %r1, three; mov.u32 %r2, four; st.global.v2.u32 [%rd1+8], {%r1, %r2};
	mov.u32 %r1, dynamic; st.shared.u32 [dynamic+28], %r1; st.global.u32 [%rd1+16], %r1;
	mov.u64 %rd2, five; mov.u64 %rd3, six; st.global.v2.u64 [%rd1+32], {%rd2, %rd3}; st.local.u64 [%rd3], %rd1;
	ret; }`)
	k := m.Kernel("k")
	if k.StaticShared != 48 || k.Local != 16 || !k.Dynamic {
		t.Errorf("static %d, local %d", k.StaticShared, k.Local)
	}
	d := device{t, ptx.NewMemory(0)}
	p := d.alloc(64)
	l := ptx.Launch{Grid: [3]int{1, 1, 1}, Block: [3]int{1, 1, 1}, Shared: 32, Params: args(p)}
	if _, err := ptx.Run(context.Background(), k, d.mem, l, ptx.Config{}); err != nil {
		t.Fatal(err)
	}
	b := d.bytes(p, 64)
	for i, want := range map[int]uint32{0: 0, 4: 16, 8: 36, 12: 40, 16: 48, 32: 0, 40: 8} {
		if got := binary.LittleEndian.Uint32(b[i:]); got != want {
			t.Errorf("byte %d: place %d, want %d", i, got, want)
		}
	}
	l.Shared = 28
	if _, err := ptx.Run(context.Background(), k, d.mem, l, ptx.Config{}); err == nil {
		t.Error("a store past dynamic shared memory was allowed")
	}
}

func TestFunctions(t *testing.T) {
	got := runText(t, header+`
.func (.param .b32 out) twice(.param .b32 a)
{ .reg .b32 %r<4>; ld.param.u32 %r1, [a]; add.u32 %r1, %r1, %r1; st.param.b32 [out], %r1; ret; }
.func (.param .b32 out) clamped(.param .b32 a, .param .align 8 .b8 lim[16])
{
	.reg .b32 %r<9>; .reg .pred %p<3>;
	ld.param.u32 %r1, [a]; ld.param.u32 %r2, [lim+8];
	setp.lt.u32 %p1, %r1, %r2; @%p1 bra small;
	st.param.b32 [out], %r2; ret;
small:
	{ .param .b32 x; .param .b32 y; st.param.b32 [x], %r1; call.uni (y), twice, (x); ld.param.b32 %r3, [y]; }
	st.param.b32 [out], %r3;
	ret;
}
.visible .entry k(.param .u64 p) {
	.reg .b32 %r<9>; .reg .b64 %rd<9>; .reg .pred %p<3>;
	ld.param.u64 %rd1, [p]; mov.u32 %r1, %tid.x; mul.wide.u32 %rd2, %r1, 4; add.u64 %rd1, %rd1, %rd2;
	mov.u32 %r5, 1; setp.ne.u32 %p1, %r1, 3; mov.u32 %r6, 20;
	{ .param .b32 a0; .param .align 8 .b8 a1[16]; .param .b32 r0; st.param.b32 [a0], %r1; st.param.b32 [a1+8], %r6;
	@%p1 call (r0), clamped, (a0, a1);
	@%p1 ld.param.b32 %r5, [r0]; }
	st.global.u32 [%rd1], %r5; ret; }`, 32)
	for i := range 32 {
		want := 2 * i
		if i >= 20 {
			want = 20
		}
		if i == 3 {
			want = 1
		}
		if got[i] != uint32(want) {
			t.Errorf("thread %d: %d, want %d", i, got[i], want)
		}
	}
}

// Refusals, with the line that is to blame.
func TestSyntaxErrors(t *testing.T) {
	const open = header + ".visible .entry k(.param .u64 p)\n{\n.reg .b32 %r<9>; .reg .b64 %rd<9>; .reg .pred %p<4>; .reg .f32 %f<4>;\n"
	in := func(s string) string { return open + s + "\nret;\n}\n" }
	for _, c := range []struct {
		src    string
		line   int
		reason string
	}{
		{"", 1, "not a PTX file"},
		{"hello", 1, "not a PTX file"},
		{".version x\n.target sm_80", 1, "not a number"},
		{".version 7.0\n.target avx512\n", 2, "architecture"},
		{header + ".address_size 32\n", 4, "64"},
		{header + ".entry k(", 4, ".param"},
		{header + ".entry k()\n{", 5, "not closed"},
		{header + "/* x", 4, "comment"},
		{header + ".file 1 \"x", 4, "string"},
		{header + "\x00", 4, "0x00"},
		{header + ".global .b8 x[99999999999999999999];", 4, "integer"},
		{header + ".global .b8 x[9999999999];", 4, "dimension"},
		{header + ".global .b32 x[99999999][99999999];", 4, "larger"},
		{header + ".global .b8 x[1000000000];\n.global .b8 y[1000000000];", 5, "variables of the module"},
		{header + ".global .b32 x = y;", 4, "address"},
		{header + ".global .b64 x = y;", 4, "no variable"},
		{header + ".global .b32 x[2] = {1,2,3};", 4, "initialiser"},
		{header + ".global .b32 x; .global .b32 x;", 4, "twice"},
		{header + ".shared .align 3 .b8 x[4];", 4, "power of two"},
		{header + ".entry k() .maxclusterrank 4 {}", 4, "unknown directive"},
		{in("frobnicate.b32 %r1, %r2;"), 7, "unknown instruction frobnicate"},
		{in("add.s33 %r1, %r2, %r3;"), 7, "modifier .s33"},
		{in("add.rn.s32 %r1, %r2, %r3;"), 7, "modifiers"},
		{in("add.s32.foo %r1, %r2, %r3;"), 7, ".foo"},
		{in("\nadd.s32 %r1, %r2;"), 8, "2 operands, want 3"},
		{in("add.s32 %r1, %r2, %rd3;"), 7, ".b64 where .s32"},
		{in("add.s32 %r1, %r2, %r9;"), 7, "unknown register %r9"},
		{in("add.f32 %f1, %f2, %r3 %r4;"), 7, "expected"},
		{in("bra nowhere;"), 7, "nowhere is not defined"},
		{in("x: x: ret;"), 7, "twice"},
		{in("@%r1 ret;"), 7, "predicate"},
		{in("ld.global.u32 %r1, [%r2];"), 7, "64 bits"},
		{in("ld.global.v3.u32 %r1, [%rd2];"), 7, ".v3"},
		{in("ld.global.v2.u32 {%r1}, [%rd2];"), 7, "1 registers for 2"},
		{in("ld.shared.u32 %r1, [nothing];"), 7, "nothing is not defined"},
		{in("st.param.u32 [p], %r1;"), 7, "cannot be written"},
		{in("call (x), f, (y);"), 7, "no function"},
		{in("wgmma.fence.sync.aligned;"), 7, "unknown instruction"},
		{in("mma.sync.aligned.m8n8k4.row.col.f32.f16.f16.f32 {%f1}, {%r1}, {%r2}, {%f1};"), 7, ".m16n8k16"},
		{in("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%f1,%f2,%f3,%f1}, {%r1,%r2}, {%r2,%r3}, {%f1,%f2,%f3,%f1};"), 7, "2 registers, want 4"},
		{in("mov.u32 %r1, %tid.w;"), 7, "%tid.w"},
		{in("mov.u32 %r1, 0x;"), 7, "bad number"},
		{in("cvt.s32.f32 %r1, %f1;"), 7, "want .rni"},
		{in("cvt.f32.s32 %f1, %r1;"), 7, "want .rn"},
		{in("shfl.bfly.b32 %r1, %r2, 1, 31;"), 7, "want one of .sync"},
		{in(".shared .b8 big[300000]; st.shared.u32 [big], 1;"), 7, "227"},
		{in("{ .reg .b32 x; } mov.u32 x, 1;"), 7, ""},
		{header + ".func f() { call f; ret; }\n.entry k() { call f; ret; }", 4, "recursion"},
		{in(strings.Repeat("{", 100)), 7, "too deep"},
	} {
		reason := strings.ReplaceAll(c.reason, "227", fmt.Sprint(227<<10))
		_, err := ptx.Parse("bad.ptx", []byte(c.src))
		var e *ptx.SyntaxError
		if !errors.As(err, &e) || e.Line != c.line || !strings.Contains(e.Reason, reason) || e.File != "bad.ptx" {
			t.Errorf("%.60q: %v, want line %d: …%s…", strings.TrimPrefix(strings.TrimPrefix(c.src, open), header), err, c.line, reason)
		}
	}
}

// Every file cut anywhere is an error with a line in the file, quickly.
func TestTruncated(t *testing.T) {
	for _, name := range []string{"sgemm.ptx", "math.ptx", "mma.ptx"} {
		src, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		for cut := 0; cut < len(src); cut += 97 {
			_, err := ptx.Parse(name, src[:cut])
			var e *ptx.SyntaxError
			if err != nil && !errors.As(err, &e) {
				t.Fatalf("%s cut at %d: %v", name, cut, err)
			}
			if e != nil && (e.Line < 1 || e.Line > strings.Count(string(src[:cut]), "\n")+1) {
				t.Fatalf("%s cut at %d: line %d", name, cut, e.Line)
			}
		}
	}
}

// Large and odd files take bounded time.
func TestHostile(t *testing.T) {
	open := header + ".entry k()\n{\n.reg .b32 %r<1000000000>; .reg .pred %p<1000000000>;\n"
	var regs, branches, consts strings.Builder
	for i := range 50000 {
		fmt.Fprintf(&regs, "mov.u32 %%r%d, %%r%d;", i+1, i)
		fmt.Fprintf(&branches, "L%d: @%%p%d bra L%d;", i, i, 49999-i)
		fmt.Fprintf(&consts, "mov.u32 %%r1, %d;", i)
	}
	for name, src := range map[string]string{
		"registers":  open + regs.String() + "}",
		"branches":   open + branches.String() + "}",
		"constants":  open + consts.String() + "}",
		"semicolons": header + strings.Repeat(";", 1<<20),
		"braces":     header + strings.Repeat("{", 1<<20),
		"parens":     header + ".global .b32 x = " + strings.Repeat("{", 1<<20),
		"negations":  open + "mov.u32 %r1, " + strings.Repeat("-", 1<<20),
		"word":       header + strings.Repeat("a", 1<<22),
		"section":    header + ".section .debug {" + strings.Repeat("{", 1<<20),
		"calls":      header + calls(40) + ".entry k() { call f39; ret; }",
	} {
		start := time.Now()
		_, err := ptx.Parse(name, []byte(src))
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("%s took %v (%.80v)", name, took, err)
		}
		if _, ok := map[string]bool{"registers": true, "branches": true, "constants": true, "semicolons": true}[name]; !ok && err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

// calls is functions of which each calls the one before twice.
func calls(n int) string {
	var b strings.Builder
	b.WriteString(".func f0() { .reg .b32 %r<2>; mov.u32 %r1, 0; ret; }\n")
	for i := 1; i < n; i++ {
		fmt.Fprintf(&b, ".func f%d() { call f%d; call f%d; ret; }\n", i, i-1, i-1)
	}
	return b.String()
}

func FuzzParse(f *testing.F) {
	for _, name := range []string{"sgemm.ptx", "math.ptx", "mma.ptx"} {
		src, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(src)
	}
	f.Add([]byte(body("ld.global.u32 %r10, [%rd2]; bar.sync 0; shfl.sync.bfly.b32 %r10, %r1, 1, 31, -1;")))
	f.Add([]byte(header + calls(3) + ".entry k() { call f2; ret; }"))
	f.Fuzz(func(t *testing.T, src []byte) {
		m, err := ptx.Parse("fuzz.ptx", src)
		if err != nil {
			var e *ptx.SyntaxError
			if !errors.As(err, &e) || e.Line < 1 {
				t.Fatalf("%v", err)
			}
			return
		}
		// What parses also runs, or gives an error.
		for _, k := range m.Kernels {
			mem := ptx.NewMemory(1 << 20)
			p, err := mem.Alloc(4096)
			if err != nil {
				t.Fatal(err)
			}
			params := make([]byte, k.ParamBytes())
			for i := 0; i+8 <= len(params); i += 8 {
				binary.LittleEndian.PutUint64(params[i:], p)
			}
			_, _ = ptx.Run(context.Background(), k, mem, ptx.Launch{Grid: [3]int{1, 1, 1}, Block: [3]int{33, 1, 1}, Shared: 64, Params: params}, ptx.Config{Workers: 1, Steps: 2000, Count: true})
		}
	})
}
