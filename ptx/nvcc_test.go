package ptx_test

// Kernels as nvcc writes them, against their formulas. The files of testdata are
// what nvcc 13.5 -ptx -lineinfo -O3 -std=c++17 makes for compute_75, or
// compute_80 of math.cu and mma.cu, with .version lowered and .file cut to names.

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"math/bits"
	"os"
	"strings"
	"testing"

	"github.com/godwit-ml/godwit/ptx"
)

func parseFile(tb testing.TB, name string) *ptx.Module {
	tb.Helper()
	src, err := os.ReadFile("testdata/" + name)
	if err != nil {
		tb.Fatal(err)
	}
	m, err := ptx.Parse(name, src)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

// device is a Memory with helpers that fail the test.
type device struct {
	tb  testing.TB
	mem *ptx.Memory
}

func (d device) alloc(n int) uint64 {
	d.tb.Helper()
	a, err := d.mem.Alloc(int64(n))
	if err != nil {
		d.tb.Fatal(err)
	}
	return a
}

func (d device) bytes(a uint64, n int) []byte {
	d.tb.Helper()
	b, err := d.mem.Bytes(a, int64(n))
	if err != nil {
		d.tb.Fatal(err)
	}
	return b
}

func (d device) floats(v []float32) uint64 {
	a := d.alloc(4 * len(v))
	b := d.bytes(a, 4*len(v))
	for i, x := range v {
		binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(x))
	}
	return a
}

func (d device) read(a uint64, n int) []float32 {
	b := d.bytes(a, 4*n)
	v := make([]float32, n)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return v
}

func args(v ...uint64) []byte {
	var b []byte
	for _, x := range v {
		b = binary.LittleEndian.AppendUint64(b, x)
	}
	return b
}

func noise(n int, seed uint32) []float32 {
	v := make([]float32, n)
	for i := range v {
		seed = seed*1664525 + 1013904223
		v[i] = float32(int32(seed)) / (1 << 31)
	}
	return v
}

func TestSgemm(t *testing.T) {
	k := parseFile(t, "sgemm.ptx").Kernel("sgemm")
	const m, n, kk = 128, 256, 64
	a, b := noise(m*kk, 1), noise(kk*n, 2)
	var first []float32
	for _, cfg := range ptx.Modes() {
		d := device{t, ptx.NewMemory(0)}
		pa, pb, pc := d.floats(a), d.floats(b), d.alloc(4*m*n)
		_, err := ptx.Run(context.Background(), k, d.mem, ptx.Launch{Grid: [3]int{n / 128, m / 128, 1}, Block: [3]int{256, 1, 1}, Params: args(pa, pb, pc, m, n, kk)}, cfg)
		if err != nil {
			t.Fatalf("%+v: %v", cfg, err)
		}
		c := d.read(pc, m*n)
		for i := range m {
			for j := range n {
				var want float64
				for l := range kk {
					want += float64(a[i*kk+l]) * float64(b[l*n+j])
				}
				if got := float64(c[i*n+j]); !(math.Abs(got-want) < 1e-4) {
					t.Fatalf("%+v: C[%d,%d] = %g, want %g", cfg, i, j, got, want)
				}
			}
		}
		if first == nil {
			first = c
		}
		for i := range c {
			if c[i] != first[i] {
				t.Fatalf("%+v: element %d has other bits", cfg, i)
			}
		}
	}
}

func BenchmarkSgemm(b *testing.B) {
	k := parseFile(b, "sgemm.ptx").Kernel("sgemm")
	const m, n, kk = 256, 256, 256
	d := device{b, ptx.NewMemory(0)}
	l := ptx.Launch{Grid: [3]int{n / 128, m / 128, 1}, Block: [3]int{256, 1, 1}, Params: args(d.floats(noise(m*kk, 1)), d.floats(noise(kk*n, 2)), d.alloc(4*m*n), m, n, kk)}
	for b.Loop() {
		if _, err := ptx.Run(context.Background(), k, d.mem, l, ptx.Config{}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*m*n*kk/b.Elapsed().Seconds()/1e6, "MMAC/s")
}

func TestMath(t *testing.T) {
	k := parseFile(t, "math.ptx").Kernel("maths")
	x := []float32{0.001, 0.3, 1, 2.5, 17, 1e5, 3e7, 1e-3, 88}
	d := device{t, ptx.NewMemory(0)}
	px, py := d.floats(x), d.alloc(4*24*len(x))
	if _, err := ptx.Run(context.Background(), k, d.mem, ptx.Launch{Grid: [3]int{1, 1, 1}, Block: [3]int{32, 1, 1}, Params: args(px, py, uint64(len(x)), math.Float64bits(3))}, ptx.Config{}); err != nil {
		t.Fatal(err)
	}
	y := d.read(py, 24*len(x))
	for i, v := range x {
		f := float64(v)
		tab := []float64{1, 2, 3, 4}
		want := []float64{
			math.Exp(f), math.Log(f), math.Tanh(f), math.Erf(f), math.Sqrt(f), f / 3, math.Sin(f), math.Cos(f),
			1 / math.Sqrt(f), math.Pow(f, 0.37), math.Exp2(f), math.Log2(f), math.Floor(f), math.Round(f), math.RoundToEven(f), math.Mod(f, 3),
			math.Max(f, tab[i&3]), math.Exp(f), f / 3, math.Erfc(f), math.Log1p(f), math.Expm1(f), math.Cbrt(f), 1 / f,
		}
		for j, w := range want {
			got := float64(y[24*i+j])
			w32 := float64(float32(w))
			if !(math.Abs(got-w32) <= 3e-6*math.Abs(w32)+1e-7*math.Abs(w32)+1e-37) && got != w32 {
				t.Errorf("x = %g: function %d is %g, want %g", v, j, got, w)
			}
		}
	}
}

// halfs of math.cu: conversions, atomics, intrinsics, division, votes, a
// struct by value and a variable of the module.
func TestHalfs(t *testing.T) {
	k := parseFile(t, "math.ptx").Kernel("halfs")
	half := func(x float64) float64 { return halfValue(uint16(kinds[0].round(x, "rn"))) }
	for _, cfg := range ptx.Modes() {
		d := device{t, ptx.NewMemory(0)}
		px, py, pz, pc := d.alloc(128), d.alloc(64), d.alloc(4*96), d.alloc(4*232)
		x := make([]float64, 64)
		for i := range x {
			h := uint16(0x2c00 + 157*i)
			x[i] = halfValue(h)
			binary.LittleEndian.PutUint16(d.bytes(px, 128)[2*i:], h)
		}
		clear(d.bytes(pc, 4*232))
		params := args(px, py, pz, pc)
		params = binary.LittleEndian.AppendUint32(params, 2)
		for _, b := range []float32{1, 0.5, 7} {
			params = binary.LittleEndian.AppendUint32(params, math.Float32bits(b))
		}
		params = append(params, args(3)...)
		if _, err := ptx.Run(context.Background(), k, d.mem, ptx.Launch{Grid: [3]int{1, 1, 1}, Block: [3]int{32, 1, 1}, Params: params}, cfg); err != nil {
			t.Fatal(err)
		}
		z := d.read(pz, 96)
		c := func(i int) uint32 { return binary.LittleEndian.Uint32(d.bytes(pc, 4*232)[4*i:]) }
		for i := range 32 {
			y := kinds[1].round(x[i]*0.5+2, "rn")
			if got := uint64(binary.LittleEndian.Uint16(d.bytes(py, 64)[2*i:])); got != y {
				t.Errorf("y[%d] = %#x, want %#x", i, got, y)
			}
			want := float32(float64(float32(bfloatValue(uint16(y))+half(x[i]*x[i]+1))) + 3)
			if i == 0 {
				want += 32
			}
			if z[i] != want {
				t.Errorf("z[%d] = %g, want %g", i, z[i], want)
			}
			sq := half(x[2*i] * x[2*i])
			if w := float32(half(sq + sq)); z[64+i] != w {
				t.Errorf("z[%d] = %g, want %g", 64+i, z[64+i], w)
			}
			v := uint32(i)
			perm := uint64(3*i)<<32 | uint64(i)
			ints := uint32(bits.OnesCount32(v)) + uint32(bits.LeadingZeros32(v)) + bits.Reverse32(v) + uint32((bits.TrailingZeros32(v)+1)%33) +
				uint32(perm>>32&255|perm>>24&255<<8|perm>>16&255<<16|perm>>8&255<<24) + (v*v + 3) + v<<5 + v/7 + v%13 + min(v, 3) +
				uint32(max(i-5, 5-i)) + uint32(i*123456789>>32)
			if c(4+i) != ints {
				t.Errorf("c[%d] = %d, want %d", 4+i, c(4+i), ints)
			}
			if w := uint32(i*i/4 + i%5); c(100+i) != w {
				t.Errorf("c[%d] = %d, want %d", 100+i, c(100+i), w)
			}
			down, up := i, i
			if i+2 < 32 {
				down += 2
			}
			if i%8 >= 2 {
				up -= 2
			}
			w := uint32(0xaaaaaaaa) + uint32(i^3+down+up+5) + 1 + 1 + math.MaxUint32 + 496 + 0x11111111<<(i%4)
			if c(200+i) != w {
				t.Errorf("c[%d] = %#x, want %#x", 200+i, c(200+i), w)
			}
		}
		if c(0) != 32 || c(1) != 31 || c(2) != 1 || c(3) != 4 {
			t.Errorf("atomics: %d %d %d %d", c(0), c(1), c(2), c(3))
		}
	}
}

// hm of mma.cu multiplies 16×16 by 16×8 with cp.async, ldmatrix and mma.
func TestHm(t *testing.T) {
	k := parseFile(t, "mma.ptx").Kernel("hm")
	for _, cfg := range ptx.Modes() {
		d := device{t, ptx.NewMemory(0)}
		pa, pb, pc := d.alloc(512), d.alloc(512), d.alloc(512)
		a := make([]float64, 256)
		for i := range a {
			h := uint16(0x3000 + i*31%0x800)
			a[i] = halfValue(h)
			binary.LittleEndian.PutUint16(d.bytes(pa, 512)[2*i:], h)
		}
		if _, err := ptx.Run(context.Background(), k, d.mem, ptx.Launch{Grid: [3]int{1, 1, 1}, Block: [3]int{32, 1, 1}, Shared: 4096, Params: args(pa, pb, pc)}, cfg); err != nil {
			t.Fatal(err)
		}
		c := d.read(pc, 128)
		for lane := range 32 {
			for e := range 4 {
				row, col := lane/4+e/2*8, lane%4*2+e%2
				var want float64
				for i := range 16 { // B is the first eight columns of A, loaded transposed
					want += a[16*row+i] * a[16*i+col]
				}
				if got := float64(c[4*lane+e]); !(math.Abs(got-want) < 1e-5) {
					t.Fatalf("C[%d][%d] = %g, want %g", row, col, got, want)
				}
			}
		}
	}
}

func TestCall(t *testing.T) {
	d := device{t, ptx.NewMemory(0)}
	x := noise(32, 5)
	p := d.floats(x)
	if _, err := ptx.Run(context.Background(), parseFile(t, "math.ptx").Kernel("callk"), d.mem, ptx.Launch{Grid: [3]int{1, 1, 1}, Block: [3]int{32, 1, 1}, Params: args(p)}, ptx.Config{}); err != nil {
		t.Fatal(err)
	}
	for i, got := range d.read(p, 32) {
		if want := float64(x[i])*2 + math.Sin(2); !(math.Abs(float64(got)-want) < 1e-6) {
			t.Errorf("%d: %g, want %g", i, got, want)
		}
	}
}

// A barrier or a wait taken out of a compiled kernel is seen in every mode.
func TestBrokenKernels(t *testing.T) {
	source := func(name string) string {
		b, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	sgemm := func(m *ptx.Module, cfg ptx.Config) error {
		const n, kk = 128, 32
		d := device{t, ptx.NewMemory(0)}
		_, err := ptx.Run(context.Background(), m.Kernels[0], d.mem, ptx.Launch{Grid: [3]int{1, 1, 1}, Block: [3]int{256, 1, 1}, Params: args(d.floats(noise(n*kk, 1)), d.floats(noise(kk*n, 2)), d.alloc(4*n*n), n, n, kk)}, cfg)
		return err
	}
	hm := func(m *ptx.Module, cfg ptx.Config) error {
		d := device{t, ptx.NewMemory(0)}
		_, err := ptx.Run(context.Background(), m.Kernels[0], d.mem, ptx.Launch{Grid: [3]int{1, 1, 1}, Block: [3]int{32, 1, 1}, Shared: 4096, Params: args(d.alloc(512), d.alloc(512), d.alloc(512))}, cfg)
		return err
	}
	src := source("sgemm.ptx")
	first := strings.Index(src, "bar.sync")
	second := strings.LastIndex(src, "bar.sync")
	for _, c := range []struct {
		name, src string
		run       func(m *ptx.Module, cfg ptx.Config) error
	}{
		{"sgemm without its first barrier", src[:first] + strings.Replace(src[first:], "bar.sync \t0;", "", 1), sgemm},
		{"sgemm without the barrier of its loop", src[:second] + strings.Replace(src[second:], "bar.sync \t0;", "", 1), sgemm},
		{"sgemm with one buffer", strings.Replace(src, "xor.b32  \t", "and.b32 \t", 1), sgemm},
		{"hm without its waits", strings.ReplaceAll(source("mma.ptx"), "cp.async.wait_group 0;", ""), hm},
		{"hm without its barrier", strings.Replace(source("mma.ptx"), "bar.sync \t0;", "", 1), hm},
	} {
		m, err := ptx.Parse(c.name, []byte(c.src))
		if err != nil || c.src == src || c.src == source("mma.ptx") {
			t.Errorf("%s: not broken: %v", c.name, err)
			continue
		}
		for _, cfg := range ptx.Modes() {
			if err := c.run(m, cfg); err == nil {
				t.Errorf("%s, %v eager %v: not seen", c.name, cfg.Order, cfg.Eager)
			}
		}
	}
}

func TestAssert(t *testing.T) {
	k := parseFile(t, "assert.ptx").Kernel("k")
	for _, c := range []struct {
		n    uint32 // threads below it are fine
		x    uint32
		line string // of the trap
		want int    // thread that faults, -1 none
	}{{32, 0, "", -1}, {20, 0, "assert.cu:2", 20}, {32, 7, "assert.cu:2", 9}} {
		d := device{t, ptx.NewMemory(0)}
		p := d.alloc(128)
		clear(d.bytes(p, 128))
		binary.LittleEndian.PutUint32(d.bytes(p, 128)[36:], c.x)
		_, err := ptx.Run(context.Background(), k, d.mem, ptx.Launch{Grid: [3]int{1, 1, 1}, Block: [3]int{32, 1, 1}, Params: binary.LittleEndian.AppendUint32(args(p), c.n)}, ptx.Config{})
		var f *ptx.Fault
		switch {
		case c.want < 0:
			if err != nil {
				t.Error(err)
			}
		case !errors.As(err, &f) || f.Kind != ptx.Trapped || f.Thread[0] != c.want || f.Source != c.line:
			t.Errorf("%v, want a trap of thread %d", err, c.want)
		}
	}
}
