package ptx_test

// Kernels as nvcc writes them, against their formulas.

import (
	"context"
	"encoding/binary"
	"math"
	"os"
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
