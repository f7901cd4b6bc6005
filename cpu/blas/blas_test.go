package blas

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"
	"gonum.org/v1/gonum/blas/testblas"

	"github.com/godwit-ml/godwit/cpu/simd"
)

// eachPath runs f with the implementation on every path there is here.
func eachPath(t *testing.T, f func(t *testing.T, i Implementation)) {
	t.Helper()
	for p := simd.Portable; p <= simd.Best(); p++ {
		t.Run(p.String(), func(t *testing.T) { f(t, Implementation{Threads: 2, kernels: simd.For(p)}) })
	}
}

// double shows the implementation to gonum's tests, which know float64 only. Each
// call runs gonum's own routine, whose result it returns, and the one under test
// on the same numbers in float32; they must agree, and panic alike.
type double struct {
	t    *testing.T
	impl Implementation
	runs *int
}

func narrow(x []float64) []float32 {
	y := make([]float32, len(x))
	for i, v := range x {
		y[i] = float32(v)
	}
	return y
}

// panicOf is what f panics with.
func panicOf(f func()) (v any) {
	defer func() { v = recover() }()
	f()
	return nil
}

// both runs want, gonum's routine, and got, ours, and compares what they leave in
// out and result.
func (d double) both(name string, want, got func(), out []float64, result []float32) {
	d.t.Helper()
	*d.runs++
	w, g := panicOf(want), panicOf(got)
	if w != g {
		d.t.Errorf("%s panics with %v, gonum's with %v", name, g, w)
	}
	if w != nil {
		panic(w)
	}
	for i, x := range out {
		if v := float64(result[i]); !near(v, x, math.Abs(x)+300) {
			d.t.Errorf("%s: element %d is %v, gonum's %v", name, i, v, x)
		}
	}
}

// near reports whether v is x but for roundings of terms of a size.
func near(v, x, size float64) bool {
	return v == x || math.IsNaN(v) && math.IsNaN(x) || math.Abs(v-x) <= 1e-6*size
}

func (d double) Dgemm(tA, tB blas.Transpose, m, n, k int, alpha float64, a []float64, lda int, b []float64, ldb int, beta float64, c []float64, ldc int) {
	a32, b32, c32 := narrow(a), narrow(b), narrow(c)
	d.both("Sgemm", func() { gonum.Implementation{}.Dgemm(tA, tB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc) },
		func() { d.impl.Sgemm(tA, tB, m, n, k, float32(alpha), a32, lda, b32, ldb, float32(beta), c32, ldc) }, c, c32)
}

func (d double) Dgemv(tA blas.Transpose, m, n int, alpha float64, a []float64, lda int, x []float64, incX int, beta float64, y []float64, incY int) {
	a32, x32, y32 := narrow(a), narrow(x), narrow(y)
	d.both("Sgemv", func() { gonum.Implementation{}.Dgemv(tA, m, n, alpha, a, lda, x, incX, beta, y, incY) },
		func() { d.impl.Sgemv(tA, m, n, float32(alpha), a32, lda, x32, incX, float32(beta), y32, incY) }, y, y32)
}

// TestGonumCases runs gonum's own tests of what is not gonum's own.
func TestGonumCases(t *testing.T) {
	if underRace {
		t.Skip("one goroutine each: the race detector has nothing to see")
	}
	eachPath(t, func(t *testing.T, impl Implementation) {
		for _, c := range []struct {
			name string
			run  func(d double)
			want int // calls: the cases there are
		}{
			{"Sgemm", func(d double) { testblas.TestDgemm(t, d) }, 4 * len(testblas.DgemmCases)},
			{"Sgemv", func(d double) { testblas.DgemvTest(t, d) }, 7 * len(testblas.DgemvCases)},
		} {
			runs := 0
			c.run(double{t, impl, &runs})
			if runs < c.want {
				t.Errorf("%s: %d calls, want %d at least", c.name, runs, c.want)
			}
		}
	})
}

// matrix is rows of random values, ld apart, with sentinels beside them.
func matrix(r *rand.Rand, rows, cols, ld int) []float32 {
	if rows == 0 {
		return nil
	}
	v := make([]float32, (rows-1)*ld+cols)
	for i := range v {
		if v[i] = -12345.5; i%ld < cols {
			v[i] = float32(r.NormFloat64())
		}
	}
	return v
}

// gemmCall is one call of Sgemm on random numbers.
type gemmCall struct {
	tA, tB        blas.Transpose
	m, n, k       int
	alpha, beta   float32
	lda, ldb, ldc int
	a, b, c       []float32
}

func newGemm(r *rand.Rand, m, n, k int) *gemmCall {
	scales := []float32{0, 1, -1, 0.5, 2.25}
	kinds := []blas.Transpose{blas.NoTrans, blas.Trans, blas.ConjTrans}
	g := &gemmCall{tA: kinds[r.IntN(3)], tB: kinds[r.IntN(3)], m: m, n: n, k: k, alpha: scales[r.IntN(5)], beta: scales[r.IntN(5)]}
	operand := func(t blas.Transpose, rows, cols int) ([]float32, int) {
		if t != blas.NoTrans {
			rows, cols = cols, rows
		}
		ld := max(cols, 1) + r.IntN(4)
		return matrix(r, rows, cols, ld), ld
	}
	g.a, g.lda = operand(g.tA, m, k)
	g.b, g.ldb = operand(g.tB, k, n)
	g.c, g.ldc = operand(blas.NoTrans, m, n)
	return g
}

func (g *gemmCall) String() string {
	return fmt.Sprintf("Sgemm(%c, %c, %d, %d, %d, alpha %v, lda %d, ldb %d, beta %v, ldc %d)", g.tA, g.tB, g.m, g.n, g.k, g.alpha, g.lda, g.ldb, g.beta, g.ldc)
}

func (g *gemmCall) run(i Implementation, c []float32) {
	i.Sgemm(g.tA, g.tB, g.m, g.n, g.k, g.alpha, g.a, g.lda, g.b, g.ldb, g.beta, c, g.ldc)
}

func element(t blas.Transpose, x []float32, ld, r, c int) float64 {
	if t != blas.NoTrans {
		r, c = c, r
	}
	return float64(x[r*ld+c])
}

// check compares a result with sums in float64.
func (g *gemmCall) check(t *testing.T, c []float32) {
	t.Helper()
	for i, v := range c {
		r, col := i/g.ldc, i%g.ldc
		if col >= g.n {
			if v != -12345.5 {
				t.Fatalf("%v: row %d: %v beside the result", g, r, v)
			}
			continue
		}
		var want, size float64
		if g.beta != 0 {
			want = float64(g.beta) * float64(g.c[i])
			size = math.Abs(want)
		}
		if g.alpha != 0 {
			for k := range g.k {
				p := float64(g.alpha) * element(g.tA, g.a, g.lda, r, k) * element(g.tB, g.b, g.ldb, k, col)
				want += p
				size += math.Abs(p)
			}
		}
		if !near(float64(v), want, size) {
			t.Fatalf("%v: row %d, column %d is %v, want %v", g, r, col, v, want)
		}
	}
}

func TestSgemm(t *testing.T) {
	if underRace {
		t.Skip("one goroutine each: the race detector has nothing to see")
	}
	eachPath(t, func(t *testing.T, impl Implementation) {
		r := rand.New(rand.NewPCG(1, 2))
		sizes := func() int { return []int{0, 1, 2, 5, 12, 13, 31, 32, 33, 64, 70, 1 + r.IntN(100)}[r.IntN(12)] }
		for range 500 {
			g := newGemm(r, sizes(), sizes(), sizes())
			a, b, c := clone(g.a), clone(g.b), clone(g.c)
			g.run(impl, c)
			g.check(t, c)
			if !same(g.a, a) || !same(g.b, b) {
				t.Fatalf("%v changes an operand", g)
			}
		}
	})
}

// TestSgemmLarge: more than one piece of k, band of rows and task, on one
// goroutine and on several, with the same bits.
func TestSgemmLarge(t *testing.T) {
	eachPath(t, func(t *testing.T, impl Implementation) {
		if impl.kernels.Path == simd.Portable && testing.Short() {
			t.Skip("slow")
		}
		r := rand.New(rand.NewPCG(3, 4))
		for _, s := range [][3]int{{2 * height / 3, 500, depth + 40}, {height + 7, 3*32 + 5, 2*depth + 1}, {400, 33, 90}, {8, 700, 800}, {1, 600, 4000}, {4000, 1, 600}} {
			for range 2 {
				g := newGemm(r, s[0], s[1], s[2])
				one, many := clone(g.c), clone(g.c)
				impl.Threads = 1
				g.run(impl, one)
				impl.Threads = 7
				g.run(impl, many)
				if !same(one, many) {
					t.Fatalf("%v: the number of goroutines shows in the result", g)
				}
				if g.m*g.n*g.k < 10_000_000 {
					g.check(t, one)
				} else {
					g.sample(t, r, one)
				}
			}
		}
	})
}

// sample checks some rows.
func (g *gemmCall) sample(t *testing.T, r *rand.Rand, c []float32) {
	t.Helper()
	for range 20 {
		row := r.IntN(g.m)
		one := *g
		one.m = 1
		if one.c = g.c[row*g.ldc:][:g.n]; g.tA == blas.NoTrans {
			one.a = g.a[row*g.lda:]
		} else {
			one.a = g.a[row:]
		}
		one.check(t, c[row*g.ldc:][:g.n])
	}
}

func clone(x []float32) []float32 { return append([]float32(nil), x...) }

func same(x, y []float32) bool {
	for i := range x {
		if math.Float32bits(x[i]) != math.Float32bits(y[i]) {
			return false
		}
	}
	return len(x) == len(y)
}

// TestNaN: what is multiplied by a zero alpha or beta is not read, what is
// multiplied by a zero element is.
func TestNaN(t *testing.T) {
	nan := float32(math.NaN())
	fill := func(n int, v float32) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = v
		}
		return x
	}
	eachPath(t, func(t *testing.T, impl Implementation) {
		for _, s := range [][3]int{{3, 5, 4}, {1, 40, 70}, {40, 1, 70}, {14, 64, 400}} {
			m, n, k := s[0], s[1], s[2]
			for _, c := range []struct {
				alpha, beta, a, b, c, want float32
			}{
				{1, 0, 1, 1, nan, float32(k)}, {2, 0, 1, 1, nan, float32(2 * k)}, {0, 0, nan, nan, nan, 0}, {0, 2, nan, nan, 3, 6},
				{0, 1, nan, nan, 3, 3}, {1, 1, 0, nan, 3, nan}, {1, 0, nan, 0, 3, nan}, {2, 1, 1, 1, nan, nan}, {1, 0, 0, float32(math.Inf(1)), 1, nan},
			} {
				for _, tA := range []blas.Transpose{blas.NoTrans, blas.Trans} {
					for _, tB := range []blas.Transpose{blas.NoTrans, blas.Trans} {
						out := fill(m*n, c.c)
						lda, ldb := k, n
						if tA == blas.Trans {
							lda = m
						}
						if tB == blas.Trans {
							ldb = k
						}
						impl.Sgemm(tA, tB, m, n, k, c.alpha, fill(m*k, c.a), lda, fill(k*n, c.b), ldb, c.beta, out, n)
						for i, v := range out {
							if v != c.want && !(v != v && c.want != c.want) {
								t.Fatalf("Sgemm(%c, %c, %v) of %+v: element %d is %v", tA, tB, s, c, i, v)
							}
						}
					}
					rows, cols, y := k, m, fill(m, c.c)
					if tA == blas.NoTrans {
						rows, cols = m, k
					}
					impl.Sgemv(tA, rows, cols, c.alpha, fill(m*k, c.a), cols, fill(k, c.b), 1, c.beta, y, 1)
					for i, v := range y {
						if v != c.want && !(v != v && c.want != c.want) {
							t.Fatalf("Sgemv(%c, %v) of %+v: element %d is %v", tA, s, c, i, v)
						}
					}
				}
			}
		}
	})
}

// TestSgemv: random sizes and strides, forwards and backwards, against gonum's
// Dgemv.
func TestSgemv(t *testing.T) {
	if underRace {
		t.Skip("one goroutine each: the race detector has nothing to see")
	}
	eachPath(t, func(t *testing.T, impl Implementation) {
		r := rand.New(rand.NewPCG(5, 6))
		incs := []int{1, -1, 2, -3, 5}
		for range 400 {
			m, n := r.IntN(300), r.IntN(300)
			if r.IntN(20) == 0 {
				m, n = 2000, 1100 // for several goroutines
			}
			tA := []blas.Transpose{blas.NoTrans, blas.Trans, blas.ConjTrans}[r.IntN(3)]
			lenX, lenY := n, m
			if tA != blas.NoTrans {
				lenX, lenY = m, n
			}
			lda, incX, incY := max(n, 1)+r.IntN(3), incs[r.IntN(5)], incs[r.IntN(5)]
			a, x := matrix(r, m, n, lda), matrix(r, lenX, 1, max(incX, -incX))
			y := matrix(r, lenY, 1, max(incY, -incY))
			alpha, beta := incs[r.IntN(5)], incs[r.IntN(5)]-1
			wide := func(v []float32) []float64 {
				w := make([]float64, len(v))
				for i := range v {
					w[i] = float64(v[i])
				}
				return w
			}
			want := wide(y)
			gonum.Implementation{}.Dgemv(tA, m, n, float64(alpha), wide(a), lda, wide(x), incX, float64(beta), want, incY)
			impl.Sgemv(tA, m, n, float32(alpha), a, lda, x, incX, float32(beta), y, incY)
			for i, v := range y {
				if !near(float64(v), want[i], 30*float64(1+max(m, n))) || v == -12345.5 != (want[i] == -12345.5) {
					t.Fatalf("Sgemv(%c, %d, %d, alpha %d, lda %d, incX %d, beta %d, incY %d): element %d is %v, want %v", tA, m, n, alpha, lda, incX, beta, incY, i, v, want[i])
				}
			}
		}
	})
}

// TestPanics: a call with one argument spoilt panics as gonum's does, and writes
// nothing.
func TestPanics(t *testing.T) {
	impl := Implementation{}
	for _, tA := range []blas.Transpose{blas.NoTrans, blas.Trans, 'x'} {
		for _, tB := range []blas.Transpose{blas.NoTrans, blas.Trans, 0} {
			// Sizes around those of slices of 12, 20 and 15 elements.
			for _, m := range []int{-1, 0, 1, 3} {
				for _, n := range []int{-1, 0, 1, 5} {
					for _, k := range []int{-1, 0, 1, 4} {
						for _, ld := range [][3]int{{0, 9, 9}, {9, 0, 9}, {9, 9, 0}, {3, 4, 5}, {4, 5, 5}, {5, 5, 5}, {4, 6, 5}, {4, 5, 6}, {9, 9, 9}} {
							for _, scales := range [][2]float32{{1, 1}, {0, 2}} {
								c, d := make([]float32, 15), make([]float32, 15)
								for i := range c {
									c[i], d[i] = 7, 7
								}
								got := panicOf(func() {
									impl.Sgemm(tA, tB, m, n, k, scales[0], make([]float32, 12), ld[0], make([]float32, 20), ld[1], scales[1], c, ld[2])
								})
								want := panicOf(func() {
									gonum.Implementation{}.Sgemm(tA, tB, m, n, k, scales[0], make([]float32, 12), ld[0], make([]float32, 20), ld[1], scales[1], d, ld[2])
								})
								if got != want || !same(c, d) {
									t.Fatalf("Sgemm(%d, %d, %d, %d, %d, %v, %v) panics with %v and leaves %v; gonum's with %v and %v", tA, tB, m, n, k, scales, ld, got, c, want, d)
								}
							}
						}
					}
				}
			}
		}
		for _, m := range []int{-1, 0, 1, 3} {
			for _, n := range []int{-1, 0, 1, 4} {
				for _, lda := range []int{0, 3, 4, 5} {
					for _, inc := range [][2]int{{0, 1}, {1, 0}, {1, 1}, {-1, 2}, {2, -1}, {-2, -2}} {
						c, d := make([]float32, 4), make([]float32, 4)
						got := panicOf(func() { impl.Sgemv(tA, m, n, 1, make([]float32, 12), lda, make([]float32, 4), inc[0], 1, c, inc[1]) })
						want := panicOf(func() {
							gonum.Implementation{}.Sgemv(tA, m, n, 1, make([]float32, 12), lda, make([]float32, 4), inc[0], 1, d, inc[1])
						})
						if got != want {
							t.Fatalf("Sgemv(%d, %d, %d, %d, %v) panics with %v, gonum's with %v", tA, m, n, lda, inc, got, want)
						}
					}
				}
			}
		}
	}
}

// BenchmarkSgemm multiplies by a weight as it is stored, and transposed.
func BenchmarkSgemm(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, s := range [][3]int{{1, 1536, 576}, {16, 1536, 576}, {512, 1536, 576}, {1024, 1024, 1024}} {
		m, n, k := s[0], s[1], s[2]
		x, w, c := matrix(r, m, k, k), matrix(r, n, k, k), matrix(r, m, n, n)
		for _, impl := range []struct {
			name string
			blas.Float32
		}{{"godwit", Implementation{}}, {"gonum", gonum.Implementation{}}} {
			for _, t := range []blas.Transpose{blas.NoTrans, blas.Trans} {
				ldb := n
				if t == blas.Trans {
					ldb = k
				}
				b.Run(fmt.Sprintf("%s/%dx%dx%d/%c", impl.name, m, n, k, t), func(b *testing.B) {
					for b.Loop() {
						impl.Sgemm(blas.NoTrans, t, m, n, k, 1, x, k, w, ldb, 0, c, n)
					}
					b.ReportMetric(2*float64(m*n*k)*float64(b.N)/1e9/b.Elapsed().Seconds(), "GFLOP/s")
				})
			}
		}
	}
}
