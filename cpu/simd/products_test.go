package simd

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// eachPath runs f on the kernels of every path there is here.
func eachPath(t *testing.T, f func(t *testing.T, k *Kernels)) {
	t.Helper()
	for p := Portable; p <= Best(); p++ {
		t.Run(p.String(), func(t *testing.T) { f(t, For(p)) })
	}
}

// sentinel is what stands around outputs and between rows.
const sentinel = float32(-12345.5)

// randoms are n values of about 1.
func randoms(r *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(r.NormFloat64())
	}
	return v
}

// matrix is m rows of n values, ld apart, with sentinels between and after them.
func matrix(m, n, ld int, value func(r, c int) float32) []float32 {
	v := make([]float32, m*ld+7)
	for i := range v {
		v[i] = sentinel
	}
	for r := range m {
		for c := range n {
			v[r*ld+c] = value(r, c)
		}
	}
	return v
}

// product is random operands of one call.
type product struct {
	m, k, panels, lda, ldc int
	a, b, before           []float32
}

func newProduct(r *rand.Rand, m, k, panels int) *product {
	p := &product{m: m, k: k, panels: panels, lda: k + r.IntN(5), ldc: panels*Panel + r.IntN(5)}
	p.a = matrix(m, k, p.lda, func(int, int) float32 { return float32(r.NormFloat64()) })
	p.b = randoms(r, panels*k*Panel)
	p.before = matrix(m, panels*Panel, p.ldc, func(int, int) float32 { return float32(r.NormFloat64()) })
	return p
}

// weight is b of panel q, k number i, output j.
func (p *product) weight(q, i, j int) float32 { return p.b[(q*p.k+i)*Panel+j] }

// check compares c with sums in float64 of operands that round has seen.
func (p *product) check(t *testing.T, c []float32, add bool, round func(float32) float32) {
	t.Helper()
	for i, v := range c {
		r, col := i/p.ldc, i%p.ldc
		if r >= p.m || col >= p.panels*Panel {
			if v != sentinel {
				t.Fatalf("m=%d k=%d panels=%d: c[%d] beside the result is %v", p.m, p.k, p.panels, i, v)
			}
			continue
		}
		var want, size float64
		if add {
			want = float64(p.before[i])
			size = math.Abs(want)
		}
		for k := range p.k {
			x := float64(round(p.a[r*p.lda+k])) * float64(p.weight(col/Panel, k, col%Panel))
			want += x
			size += math.Abs(x)
		}
		if d := math.Abs(float64(v) - want); !(d <= size*1e-6*(1+float64(p.k)/64)) {
			t.Fatalf("m=%d k=%d panels=%d add=%v: row %d, output %d is %v, want %v", p.m, p.k, p.panels, add, r, col, v, want)
		}
	}
}

func same(x float32) float32 { return x }

// sameBits fails if what is not row r alone of two results differs.
func sameBits(t *testing.T, what string, got, want []float32) {
	t.Helper()
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("%s: element %d is %v, want %v", what, i, got[i], want[i])
		}
	}
}

func TestMulF32(t *testing.T) {
	eachPath(t, func(t *testing.T, kernels *Kernels) {
		r := rand.New(rand.NewPCG(1, 2))
		for _, k := range []int{1, 2, 3, 4, 5, 31, 64, 67, 130} {
			for _, panels := range []int{1, 2, 3, 4, 5, 7, 9} {
				for m := 1; m <= kernels.Height; m++ {
					p := newProduct(r, m, k, panels)
					for _, add := range []bool{false, true} {
						c := append([]float32(nil), p.before...)
						kernels.MulF32(c, p.ldc, p.a, p.lda, p.b, k, m, panels, add)
						p.check(t, c, add, same)
						for i := range m { // the row alone, panel by panel
							row := append([]float32(nil), p.before[i*p.ldc:][:panels*Panel]...)
							for q := range panels {
								kernels.MulF32(row[q*Panel:], Panel, p.a[i*p.lda:], p.lda, p.b[q*k*Panel:], k, 1, 1, add)
							}
							sameBits(t, fmt.Sprintf("m=%d k=%d panels=%d add=%v row %d", m, k, panels, add, i), c[i*p.ldc:][:panels*Panel], row)
						}
					}
				}
			}
		}
	})
}

// BenchmarkMulF32 multiplies rows by a weight, over all k at once.
func BenchmarkMulF32(b *testing.B) {
	for _, s := range []struct{ k, n int }{{384, 32}, {576, 1536}, {576, 49152}} {
		for p := Best(); p > Portable; p-- {
			kernels := For(p)
			r := rand.New(rand.NewPCG(1, 2))
			w := randoms(r, s.k*s.n)
			for _, m := range []int{1, 2, 3, 4, 6, 8, 12} {
				if m > kernels.Height {
					continue
				}
				a, c := randoms(r, m*s.k), make([]float32, m*s.n)
				b.Run(fmt.Sprintf("%v/%dx%d/m=%d", p, s.k, s.n, m), func(b *testing.B) {
					b.SetBytes(int64(4 * s.k * s.n))
					for b.Loop() {
						kernels.MulF32(c, s.n, a, s.k, w, s.k, m, s.n/Panel, false)
					}
					b.ReportMetric(2*float64(m*s.k*s.n)*float64(b.N)/1e9/b.Elapsed().Seconds(), "GFLOP/s")
				})
			}
			if p == AVX512 || p > AVX512 {
				p = AVX512
			}
		}
	}
}
