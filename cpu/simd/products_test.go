package simd

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"
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
	half                   []uint16 // b as MulF16 takes it
	brain                  []uint16 // as MulBF16 does; b is what both can hold
}

func newProduct(r *rand.Rand, m, k, panels int) *product {
	p := &product{m: m, k: k, panels: panels, lda: k + r.IntN(5), ldc: panels*Panel + r.IntN(5)}
	p.a = matrix(m, k, p.lda, func(int, int) float32 { return float32(r.NormFloat64()) })
	p.b = randoms(r, panels*k*Panel)
	p.half = make([]uint16, len(p.b))
	deep := (k + 31) &^ 31
	p.brain = make([]uint16, panels*deep*Panel)
	for i, x := range p.b { // 8 bits of a float16 with a small exponent
		p.half[i] = uint16(math.Float32bits(x)>>16&0x8000) | uint16(10+r.IntN(8))<<10 | uint16(r.IntN(128))<<3
		widenF16(p.b[i:i+1], p.half[i:i+1])
		q, j := i/Panel/k, i%Panel
		p.brain[(q*deep+i/Panel%k&^1)*Panel+2*j+i/Panel%k&1] = uint16(math.Float32bits(p.b[i]) >> 16)
	}
	p.before = matrix(m, panels*Panel, p.ldc, func(int, int) float32 { return float32(r.NormFloat64()) })
	return p
}

// weight is b of panel q, k number i, output j.
func (p *product) weight(q, i, j int) float32 { return p.b[(q*p.k+i)*Panel+j] }

// rows is b as MulRowsF32 takes it, rows five elements longer than they need be.
func (p *product) rows() []float32 {
	n := p.panels * Panel
	return matrix(p.k, n, n+5, func(i, j int) float32 { return p.weight(j/Panel, i, j%Panel) })
}

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

// shapes calls f with products of all heights and of sizes around those of loops.
func shapes(height int, f func(p *product)) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, k := range []int{1, 2, 3, 4, 5, 7, 31, 64, 67, 130} {
		for _, panels := range []int{1, 2, 3, 4, 5, 7, 9} {
			for m := 1; m <= height; m++ {
				f(newProduct(r, m, k, panels))
			}
		}
	}
}

func TestMulFloats(t *testing.T) {
	eachPath(t, func(t *testing.T, kernels *Kernels) {
		shapes(kernels.Height, func(p *product) {
			for _, add := range []bool{false, true} {
				what := fmt.Sprintf("m=%d k=%d panels=%d add=%v", p.m, p.k, p.panels, add)
				c := append([]float32(nil), p.before...)
				kernels.MulF32(c, p.ldc, p.a, p.lda, p.b, p.k, p.m, p.panels, add)
				p.check(t, c, add, same)
				for i := range p.m { // the row alone, panel by panel
					row := append([]float32(nil), p.before[i*p.ldc:][:p.panels*Panel]...)
					for q := range p.panels {
						kernels.MulF32(row[q*Panel:], Panel, p.a[i*p.lda:], p.lda, p.b[q*p.k*Panel:], p.k, 1, 1, add)
					}
					sameBits(t, fmt.Sprintf("%s row %d", what, i), c[i*p.ldc:][:p.panels*Panel], row)
				}
				if p.panels == 1 {
					next := append([]float32(nil), p.before...)
					kernels.MulNextF32(next, p.ldc, p.a, p.lda, p.b, p.k, p.m, add, (*byte)(unsafe.Pointer(&p.b[0])), 64)
					sameBits(t, what+" with a hint", next, c)
				}
				rows := append([]float32(nil), p.before...)
				kernels.MulRowsF32(rows, p.ldc, p.a, p.lda, p.rows(), p.panels*Panel+5, p.k, p.m, p.panels, add)
				sameBits(t, what+" by rows", rows, c)
				half := append([]float32(nil), p.before...)
				kernels.MulF16(half, p.ldc, p.a, p.lda, p.half, p.k, p.m, p.panels, add)
				sameBits(t, what+" of F16", half, c)
				brain := append([]float32(nil), p.before...)
				kernels.MulBF16(brain, p.ldc, p.a, p.lda, p.brain, p.k, p.m, p.panels, add)
				sameBits(t, what+" of BF16", brain, c)
			}
		})
	})
}

func TestDotRows(t *testing.T) {
	eachPath(t, func(t *testing.T, kernels *Kernels) {
		r := rand.New(rand.NewPCG(9, 10))
		for m := range 10 {
			for n := range 80 {
				lda := n + r.IntN(5)
				a := matrix(m, n, lda, func(int, int) float32 { return float32(r.NormFloat64()) })
				x, y := randoms(r, n), randoms(r, m+1)
				y[m] = sentinel
				kernels.DotRows(y, a, lda, x, m, n)
				for i, v := range y {
					var want, size float64
					if i == m {
						want = float64(sentinel)
					} else {
						for j, w := range x {
							want += float64(a[i*lda+j]) * float64(w)
							size += math.Abs(float64(a[i*lda+j]) * float64(w))
						}
					}
					if !(math.Abs(float64(v)-want) <= 1e-6*size) {
						t.Fatalf("m=%d n=%d: row %d is %v, want %v", m, n, i, v, want)
					}
				}
				for i := range m { // a row alone
					one := []float32{0}
					kernels.DotRows(one, a[i*lda:], lda, x, 1, n)
					sameBits(t, fmt.Sprintf("m=%d n=%d row %d", m, n, i), one, y[i:i+1])
				}
			}
		}
	})
}

// TestMulPieces: k in pieces gives the bits of k at once.
func TestMulPieces(t *testing.T) {
	eachPath(t, func(t *testing.T, kernels *Kernels) {
		r := rand.New(rand.NewPCG(3, 4))
		for range 50 {
			p := newProduct(r, 1+r.IntN(kernels.Height), 2+r.IntN(200), 1)
			c, pieces := append([]float32(nil), p.before...), append([]float32(nil), p.before...)
			kernels.MulF32(c, p.ldc, p.a, p.lda, p.b, p.k, p.m, 1, false)
			cut := 1 + r.IntN(p.k-1)
			kernels.MulF32(pieces, p.ldc, p.a, p.lda, p.b, cut, p.m, 1, false)
			kernels.MulF32(pieces, p.ldc, p.a[cut:], p.lda, p.b[cut*Panel:], p.k-cut, p.m, 1, true)
			sameBits(t, fmt.Sprintf("m=%d k=%d cut at %d", p.m, p.k, cut), pieces, c)
		}
	})
}

// TestMulNothing: sums of nothing are zero, or what was there.
func TestMulNothing(t *testing.T) {
	eachPath(t, func(t *testing.T, kernels *Kernels) {
		for _, add := range []bool{false, true} {
			want := []float32{0, 7}[map[bool]int{true: 1}[add]]
			for m := range kernels.Height {
				c := make([]float32, (m+1)*3*Panel)
				for i := range c {
					c[i] = 7
				}
				kernels.MulF32(c, 3*Panel, nil, 0, nil, 0, m+1, 3, add)
				for i, v := range c {
					if v != want {
						t.Fatalf("m=%d add=%v: element %d is %v, want %v", m+1, add, i, v, want)
					}
				}
			}
		}
	})
}

func TestDotBF16(t *testing.T) {
	eachPath(t, func(t *testing.T, kernels *Kernels) {
		if kernels.DotBF16 == nil {
			if kernels.Path >= VNNI {
				t.Fatal("no DotBF16")
			}
			t.Skip("no such instruction")
		}
		round := func(x float32) float32 {
			var h [1]uint16
			roundBF16(h[:], []float32{x})
			return math.Float32frombits(uint32(h[0]) << 16)
		}
		shapes(kernels.Height, func(p *product) {
			k := (p.k + 31) &^ 31
			lda := k + p.lda - p.k
			a := make([]uint16, p.m*lda)
			for r := range p.m {
				kernels.RoundBF16(a[r*lda:][:p.k], p.a[r*p.lda:])
			}
			for _, add := range []bool{false, true} {
				c := append([]float32(nil), p.before...)
				kernels.DotBF16(c, p.ldc, a, lda, p.brain, k, p.m, p.panels, add)
				p.check(t, c, add, round)
				for i := range p.m {
					row := append([]float32(nil), p.before[i*p.ldc:][:p.panels*Panel]...)
					for q := range p.panels {
						kernels.DotBF16(row[q*Panel:], Panel, a[i*lda:], lda, p.brain[q*k*Panel:], k, 1, 1, add)
					}
					sameBits(t, fmt.Sprintf("m=%d k=%d panels=%d add=%v row %d", p.m, p.k, p.panels, add, i), c[i*p.ldc:][:p.panels*Panel], row)
				}
			}
		})
	})
}

func TestRoundBF16(t *testing.T) {
	src := []float32{0, float32(math.Copysign(0, -1)), 1, -1, 1.00390625, 1.01171875, 1.0039064, 3.3895314e38, math.MaxFloat32, -math.MaxFloat32,
		float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()), 0x1p-126, 0x1p-127, -0x1p-149, 0x1.fffffcp-127}
	want := []uint16{0, 0x8000, 0x3f80, 0xbf80, 0x3f80, 0x3f82, 0x3f81, 0x7f7f, 0x7f80, 0xff80,
		0x7f80, 0xff80, 0x7fc0, 0x0080, 0, 0x8000, 0}
	r := rand.New(rand.NewPCG(5, 6))
	for range 999 {
		src = append(src, math.Float32frombits(r.Uint32()))
	}
	eachPath(t, func(t *testing.T, kernels *Kernels) {
		for n := range 40 {
			got := make([]uint16, n+1)
			got[n] = 12345
			kernels.RoundBF16(got[:n], src)
			for i := range min(n, len(want)) {
				if got[i] != want[i] {
					t.Fatalf("%v (%x) becomes %#x, want %#x", src[i], math.Float32bits(src[i]), got[i], want[i])
				}
			}
			if got[n] != 12345 {
				t.Fatalf("writes beyond %d values", n)
			}
		}
		got, plain := make([]uint16, len(src)), make([]uint16, len(src))
		kernels.RoundBF16(got, src)
		roundBF16(plain, src)
		for i := range got {
			if got[i] != plain[i] {
				t.Fatalf("%v (%x) becomes %#x, want %#x", src[i], math.Float32bits(src[i]), got[i], plain[i])
			}
		}
	})
}

func TestUnpack(t *testing.T) {
	src := make([]uint16, 1<<16)
	for i := range src {
		src[i] = uint16(i)
	}
	eachPath(t, func(t *testing.T, kernels *Kernels) {
		for _, k := range []int{0, 1, 2, 3, 31, len(src) / Panel} {
			dst := make([]float32, k*Panel+1)
			dst[k*Panel] = sentinel
			kernels.UnpackBF16(dst, src, k)
			for i, x := range dst[:k*Panel] {
				row, j := i/Panel, i%Panel
				if want := uint32(src[row/2*2*Panel+2*j+row%2]) << 16; math.Float32bits(x) != want {
					t.Fatalf("row %d, output %d is %v, want %v", row, j, x, math.Float32frombits(want))
				}
			}
			if dst[k*Panel] != sentinel {
				t.Fatalf("k=%d: writes beyond", k)
			}
		}
	})
}

func TestFill(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	src := make([]byte, Panel*1000)
	for i := range src {
		src[i] = byte(r.Uint32())
	}
	eachPath(t, func(t *testing.T, kernels *Kernels) {
		for n := range 70 {
			stride := 4*n + r.IntN(9)
			dst := make([]uint32, n*Panel+1)
			dst[n*Panel] = 12345
			kernels.FillWords(dst, src, stride, n)
			for i, x := range dst[:n*Panel] {
				if want := binary.NativeEndian.Uint32(src[i%Panel*stride+4*(i/Panel):]); x != want {
					t.Fatalf("n=%d: element %d of row %d is %#x, want %#x", n, i/Panel, i%Panel, x, want)
				}
			}
			halves := make([]uint16, n*Panel+1)
			halves[n*Panel] = 12345
			kernels.FillHalves(halves, src, stride, n)
			for i, x := range halves[:n*Panel] {
				if want := binary.NativeEndian.Uint16(src[i%Panel*stride+2*(i/Panel):]); x != want {
					t.Fatalf("n=%d: half %d of row %d is %#x, want %#x", n, i/Panel, i%Panel, x, want)
				}
			}
			if dst[n*Panel] != 12345 || halves[n*Panel] != 12345 {
				t.Fatalf("n=%d: writes beyond", n)
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
