package simd

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
	"unsafe"
)

// blockKind is a product of blocks of one type.
type blockKind struct {
	name   string
	size   int
	mul    func(*Blocks) MulBlocks
	floats func(*Blocks) func(dst []float32, b []byte, blocks int)
	unpack func(w *[32][Panel]uint8, b []byte) int32
}

var blockKinds = []blockKind{
	{"Q4_0", SizeQ4x0, func(b *Blocks) MulBlocks { return b.MulQ4x0 }, func(b *Blocks) func([]float32, []byte, int) { return b.FloatQ4x0 }, unpackQ4x0},
	{"Q4_1", SizeQ4x1, func(b *Blocks) MulBlocks { return b.MulQ4x1 }, func(b *Blocks) func([]float32, []byte, int) { return b.FloatQ4x1 }, unpackQ4x1},
	{"Q8_0", SizeQ8x0, func(b *Blocks) MulBlocks { return b.MulQ8x0 }, func(b *Blocks) func([]float32, []byte, int) { return b.FloatQ8x0 }, unpackQ8x0},
}

// panels is random blocks of panels with scales of some 1/16.
func (k *blockKind) panels(rng *rand.Rand, n int) []byte {
	b := make([]byte, n*k.size)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	for i := range n {
		scales := b[(i+1)*k.size-2*Panel:][:2*Panel]
		if k.size == SizeQ4x1 {
			scales = b[(i+1)*k.size-4*Panel:][:4*Panel]
		}
		for j := 0; j < len(scales); j += 2 {
			scales[j+1] = scales[j+1]&0x83 | byte(9+rng.IntN(4))<<2
		}
	}
	return b
}

func alignedBytes(n int) []byte {
	b := make([]byte, n+63)
	skip := -uintptr(unsafe.Pointer(unsafe.SliceData(b))) & 63
	return b[skip:][:n:n]
}

// formed is m random rows in their form. Block sizes of very different magnitude,
// zeros among them.
func formed(rng *rand.Rand, m, k int) (a []byte, step int) {
	step = FormSize(k)
	a = alignedBytes(m * step)
	x := make([]float32, k)
	for r := range m {
		for b := 0; b < k; b += 32 {
			scale := float32(math.Exp2(float64(rng.IntN(12) - 6)))
			if rng.IntN(8) == 0 {
				scale = 0
			}
			for i := range 32 {
				x[b+i] = scale * float32(rng.NormFloat64())
			}
		}
		quantize(a[r*step:], x)
	}
	return a, step
}

func eachBlockPath(t *testing.T, f func(t *testing.T, b *Blocks)) {
	for p := Portable; p <= Best(); p++ {
		t.Run(p.String(), func(t *testing.T) { f(t, &For(p).Blocks) })
	}
}

// TestMulBlocks: the same bits on every path and for every number of rows, and
// nothing written beside them.
func TestMulBlocks(t *testing.T) {
	eachBlockPath(t, func(t *testing.T, b *Blocks) {
		for _, kind := range blockKinds {
			rng := rand.New(rand.NewPCG(3, uint64(kind.size)))
			for range 60 {
				m, blocks, panels := 1+rng.IntN(9), 1+rng.IntN(6), 1+rng.IntN(3)
				if rng.IntN(6) == 0 {
					m = 1 + rng.IntN(70)
				}
				a, step := formed(rng, m, 32*blocks)
				w := kind.panels(rng, blocks*panels)
				ldc := panels*Panel + rng.IntN(5)
				want, got := make([]float32, m*ldc+8), make([]float32, m*ldc+8)
				for i := range want {
					want[i], got[i] = float32(i), float32(i)
				}
				mulBlocks(want, ldc, a, step, w, blocks, m, panels, kind.size, kind.unpack)
				kind.mul(b)(got, ldc, a, step, w, blocks, m, panels)
				if err := bitsDiffer(got, want); err != nil {
					t.Fatalf("%s %d rows, %d blocks, %d panels: %v", kind.name, m, blocks, panels, err)
				}
				r, p := rng.IntN(m), rng.IntN(panels)
				one := make([]float32, Panel)
				kind.mul(b)(one, Panel, a[r*step:], step, w[p*blocks*kind.size:], blocks, 1, 1)
				if err := bitsDiffer(one, want[r*ldc+p*Panel:][:Panel]); err != nil {
					t.Fatalf("%s: row %d of %d alone: %v", kind.name, r, m, err)
				}
			}
			none := []float32{1, 2, 3}
			kind.mul(b)(none, 0, nil, 0, kind.panels(rng, 4), 4, 0, 1)
			kind.mul(b)(none, 0, nil, 0, nil, 4, 3, 0)
			zeros := make([]float32, 2*Panel)
			zeros[Panel+3] = 1
			kind.mul(b)(zeros, Panel, make([]byte, 64), 0, nil, 0, 2, 1)
			if none[0] != 1 || zeros[Panel+3] != 0 {
				t.Errorf("%s of nothing", kind.name)
			}
		}
	})
}

func bitsDiffer(got, want []float32) error {
	for i := range want {
		if g, w := math.Float32bits(got[i]), math.Float32bits(want[i]); g != w && !(got[i] != got[i] && want[i] != want[i]) {
			return fmt.Errorf("element %d is %v (%#x), want %v (%#x)", i, got[i], g, want[i], w)
		}
	}
	return nil
}

// TestMulBlocksOracle holds the portable product against float64 products of
// the values of weights and activations.
func TestMulBlocksOracle(t *testing.T) {
	const m, blocks, panels = 3, 5, 2
	for _, kind := range blockKinds {
		rng := rand.New(rand.NewPCG(4, uint64(kind.size)))
		a, step := formed(rng, m, 32*blocks)
		w := kind.panels(rng, blocks*panels)
		b := portableBlocks()
		c, values := make([]float32, m*panels*Panel), make([]float32, panels*blocks*32*Panel)
		kind.mul(&b)(c, panels*Panel, a, step, w, blocks, m, panels)
		kind.floats(&b)(values, w, panels*blocks)
		var sum, norm float64
		for r := range m {
			f := formOf(a[r*step:], 32*blocks)
			for n := range panels * Panel {
				var want float64
				for k := range 32 * blocks {
					want += float64(f.q[k]) * float64(f.d[k/32]) * float64(values[(n/Panel*32*blocks+k)*Panel+n%Panel])
				}
				e := float64(c[r*panels*Panel+n]) - want
				sum, norm = sum+e*e, norm+want*want
			}
		}
		if nmse := sum / norm; !(nmse < 1e-12) {
			t.Errorf("%s: NMSE %g against float64", kind.name, nmse)
		}
	}
}

// TestMulBlocksNaN: a row that is not finite poisons itself alone.
func TestMulBlocksNaN(t *testing.T) {
	const m, k = 6, 96
	eachBlockPath(t, func(t *testing.T, b *Blocks) {
		for _, kind := range blockKinds {
			for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
				rng := rand.New(rand.NewPCG(5, 5))
				w, step := kind.panels(rng, k/32), FormSize(k)
				a, x := alignedBytes(m*step), make([]float32, k)
				for r := range m {
					for i := range x {
						x[i] = float32(rng.NormFloat64())
					}
					if r == 4 {
						x[40] = bad
					}
					b.Quantize(a[r*step:], x)
				}
				c := make([]float32, m*Panel)
				kind.mul(b)(c, Panel, a, step, w, k/32, m, 1)
				for i, v := range c {
					if isNaN := v != v; isNaN != (i/Panel == 4) {
						t.Fatalf("%s: %v in row 4 gives %v in row %d", kind.name, bad, v, i/Panel)
					}
				}
			}
		}
	})
}

// TestQuantize: the same bytes on every path, also of numbers at the edges.
func TestQuantize(t *testing.T) {
	eachBlockPath(t, func(t *testing.T, b *Blocks) {
		rng := rand.New(rand.NewPCG(6, 6))
		for n := range 300 {
			k := 32 * (1 + rng.IntN(70))
			x := make([]float32, k)
			for i := range x {
				if i%32 == 0 && rng.IntN(6) == 0 {
					n = rng.IntN(1000)
				}
				switch n % 5 {
				case 0: // ties between integers
					x[i] = float32(rng.IntN(255)-127) / 2
				case 1:
					x[i] = math.Float32frombits(rng.Uint32())
				case 2:
					x[i] = float32(rng.NormFloat64()) * tiny
				default:
					x[i] = float32(rng.NormFloat64())
				}
			}
			size := FormSize(k)
			want, got := alignedBytes(size+64), alignedBytes(size+64)
			for i := range want {
				want[i], got[i] = byte(i), byte(i)
			}
			quantize(want, x)
			b.Quantize(got, x)
			f, g := formOf(want, k), formOf(got, k)
			for i := range f.d {
				if (f.d[i] != f.d[i]) != (g.d[i] != g.d[i]) {
					t.Fatalf("d of block %d is %v, want %v", i, g.d[i], f.d[i])
				}
				if f.d[i] != f.d[i] { // any NaN will do
					f.d[i], f.s[i], g.d[i], g.s[i] = 0, 0, 0, 0
				}
			}
			for i := range want {
				if want[i] != got[i] {
					t.Fatalf("byte %d of the form of %d elements (%d) is %#x, want %#x", i, k, size, got[i], want[i])
				}
			}
		}
		b.Quantize(nil, nil)
	})
}

// TestQuantizeOracle: q is the nearest integer, sums are sums.
func TestQuantizeOracle(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	x := make([]float32, 32*50)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	dst := alignedBytes(FormSize(len(x)))
	quantize(dst, x)
	f := formOf(dst, len(x))
	for b, d := range f.d {
		peak, sum := 0.0, 0
		for i := range 32 {
			v, q := float64(x[32*b+i]), float64(f.q[32*b+i])
			peak, sum = max(peak, math.Abs(v)), sum+int(q)
			if math.Abs(v-q*float64(d)) > 0.50001*float64(d) {
				t.Fatalf("%v is %v·%v", v, q, d)
			}
		}
		if float32(peak/127) != d || int(f.sum[b]) != sum || int(f.sum8[b]) != -8*sum || int(f.sum80[b]) != -128*sum || f.s[b] != d*float32(sum) {
			t.Fatalf("block %d: d %v of peak %v, sums %d %d %d %v, want %d", b, d, peak, f.sum[b], f.sum8[b], f.sum80[b], f.s[b], sum)
		}
	}
}

// TestFloatBlocks: the same values on every path.
func TestFloatBlocks(t *testing.T) {
	eachBlockPath(t, func(t *testing.T, b *Blocks) {
		for _, kind := range blockKinds {
			rng := rand.New(rand.NewPCG(8, 8))
			for blocks := range 4 {
				w := kind.panels(rng, blocks)
				want, got := make([]float32, blocks*32*Panel+8), make([]float32, blocks*32*Panel+8)
				floatBlocks(want, w, blocks, kind.size, kind.unpack)
				kind.floats(b)(got, w, blocks)
				if err := bitsDiffer(got, want); err != nil {
					t.Fatalf("%s, %d blocks: %v", kind.name, blocks, err)
				}
			}
		}
	})
}

// TestFMA holds fma against big floats, ties and cancellation among them.
func TestFMA(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	for i := range 200_000 {
		x, y := float32(rng.NormFloat64()), float32(rng.NormFloat64())
		z := float32(rng.NormFloat64() * math.Exp2(float64(rng.IntN(60)-30)))
		switch i % 4 {
		case 0: // near a tie: the product is half a unit of z's last place, nearly
			z = 1 + float32(rng.IntN(1<<23))*0x1p-23
			x, y = 0x1p-24*(1+float32(rng.IntN(3)-1)*0x1p-23), 1+float32(rng.IntN(3)-1)*0x1p-23
		case 1:
			z = -x * y
		case 2:
			x, y, z = x*0x1p-70, y*0x1p-70, z*0x1p-140
		}
		p := new(big.Float).SetPrec(2000).SetFloat64(float64(x) * float64(y))
		want, _ := p.Add(p, big.NewFloat(float64(z))).Float32()
		if got := fma(x, y, z); got != want {
			t.Fatalf("fma(%v, %v, %v) = %v, want %v", x, y, z, got, want)
		}
	}
	inf := float32(math.Inf(1))
	if fma(inf, 1, 2) != inf || fma(1, 2, -inf) != -inf || !math.IsNaN(float64(fma(inf, 1, -inf))) || !math.IsNaN(float64(fma(float32(math.NaN()), 1, 1))) {
		t.Error("fma of infinities and NaN")
	}
}

// TestHalves: every binary16 number.
func TestHalves(t *testing.T) {
	for h := range 1 << 16 {
		got := halfAt([]byte{byte(h), byte(h >> 8)}, 0)
		exp, man := h>>10&31, float64(h&1023)
		want := math.Ldexp(1024+man, exp-25)
		switch exp {
		case 0:
			want = math.Ldexp(man, -24)
		case 31:
			if want = math.Inf(1); man != 0 {
				want = math.NaN()
			}
		}
		if h>>15 == 1 {
			want = -want
		}
		if math.Float32bits(got)>>31 != uint32(h>>15) || float64(got) != want && !(got != got && want != want) {
			t.Fatalf("%#04x is %v, want %v", h, got, want)
		}
	}
}
