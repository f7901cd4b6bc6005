package simd

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// eachScores runs f with the score functions of every path there is here.
func eachScores(t *testing.T, f func(t *testing.T, k *Kernels)) {
	for p := Portable; p <= min(Best(), AVX512); p++ {
		t.Run(p.String(), func(t *testing.T) { f(t, For(p)) })
	}
}

func normals(r *rand.Rand, n int, loud float64) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(r.NormFloat64() * loud)
	}
	return v
}

func bitsOf(v []float32) []uint32 {
	b := make([]uint32, len(v))
	for i, x := range v {
		b[i] = math.Float32bits(x)
	}
	return b
}

// ulps is the distance of got from want, in units of the last place of want.
func ulps(got float32, want float64) float64 {
	if want < 0x1p-126 {
		return math.Abs(float64(got)-want) / 0x1p-126
	}
	return math.Abs(float64(got)-want) / math.Ldexp(1, math.Ilogb(want)-23)
}

func TestSoften(t *testing.T) {
	const guard = 123
	eachScores(t, func(t *testing.T, k *Kernels) {
		r := rand.New(rand.NewPCG(1, 2))
		worst := 0.0
		for round := range 300 {
			m, loud := 1+r.IntN(SpanRows), []float64{1, 20, 1000}[round%3]
			s := append(normals(r, m*Span, loud), guard)
			before := append([]float32(nil), s...)
			from := r.IntN(4) * 64
			to := from + 16 + r.IntN((Span-from)/16)*16
			c := float32(math.Abs(r.NormFloat64()) + 0.01)
			var seen Seen
			for i := range m {
				a, b := from+r.IntN(to-from+1), from+r.IntN(to-from+1)
				seen.From[i], seen.To[i] = int32(min(a, b)), int32(max(a, b))
				if i%5 == 4 {
					seen.From[i], seen.To[i] = 0, 0
				}
				if i%5 == 3 {
					seen.From[i], seen.To[i] = int32(from), int32(to)
				}
				for j := range Span { // what is not seen counts for nothing
					if j < int(seen.From[i]) || j >= int(seen.To[i]) {
						s[i*Span+j] = float32(math.NaN())
					}
				}
			}
			if round%2 == 0 {
				for i := range m {
					if seen.From[i] < seen.To[i] {
						s[i*Span+int(seen.From[i])] = float32(math.Inf(-1)) * c
						before[i*Span+int(seen.From[i])] = s[i*Span+int(seen.From[i])]
					}
				}
			}
			k.Soften(s, from, to, c, &seen, m)
			if s[m*Span] != guard {
				t.Fatal("wrote beyond the rows")
			}
			for i := range m {
				lo, hi := int(seen.From[i]), int(seen.To[i])
				peak, sum := math.Inf(-1), 0.0
				for _, x := range before[i*Span+lo : i*Span+hi] {
					peak = max(peak, float64(c*x))
				}
				if float64(seen.Peak[i]) != peak {
					t.Fatalf("row %d: peak %v, want %v", i, seen.Peak[i], peak)
				}
				for j := range Span {
					if got := s[i*Span+j]; j < from || j >= to {
						if got == got {
							t.Fatalf("row %d: wrote key %d of %d to %d", i, j, from, to)
						}
						continue
					}
					got := s[i*Span+j]
					if j < lo || j >= hi {
						if math.Float32bits(got) != 0 {
							t.Fatalf("row %d, key %d of %d to %d: %v, want 0", i, j, lo, hi, got)
						}
						continue
					}
					u := float64(c)*float64(before[i*Span+j]) - peak
					if math.IsInf(peak, -1) {
						u = math.Inf(-1)
					}
					want := math.Exp2(float64(float32(u))) // the exponent is rounded once
					if want < 0x1p-126 && got == 0 {
						want = 0
					}
					worst = max(worst, ulps(got, want))
					sum += float64(got)
				}
				if math.Abs(float64(seen.Sum[i])-sum) > 1e-5*sum {
					t.Fatalf("row %d: sum %v, want %v", i, seen.Sum[i], sum)
				}
			}
		}
		if worst > 1.1 {
			t.Errorf("exponentials are up to %.2f units of the last place off", worst)
		}
	})
}

func TestSoftenKeepsNaN(t *testing.T) {
	eachScores(t, func(t *testing.T, k *Kernels) {
		for at := range 64 {
			for _, bits := range []uint32{0xffffffff, 0x7fc00000, 0x7f800001} {
				s := make([]float32, Span)
				s[at] = math.Float32frombits(bits)
				var seen Seen
				seen.To[0] = 64
				k.Soften(s, 0, 64, 1, &seen, 1)
				if x := s[at]; x == x || seen.Sum[0] == seen.Sum[0] || seen.Peak[0] != 0 {
					t.Fatalf("NaN %x at %d: exponential %v, sum %v, peak %v", bits, at, x, seen.Sum[0], seen.Peak[0])
				}
			}
		}
	})
}

func TestMerge(t *testing.T) {
	inf := float32(math.Inf(-1))
	eachScores(t, func(t *testing.T, k *Kernels) {
		r := rand.New(rand.NewPCG(3, 4))
		for m := 1; m <= SpanRows; m++ {
			for _, n := range []int{32, 96, 128} {
				acc, part := normals(r, m*n+1, 1), normals(r, m*n, 1)
				peak, sum := normals(r, SpanRows, 9), normals(r, SpanRows, 1)
				var seen Seen
				copy(seen.Peak[:], normals(r, SpanRows, 9))
				copy(seen.Sum[:], normals(r, SpanRows, 1))
				peak[0], seen.Peak[m/2] = inf, inf
				was, peakWas, sumWas := append([]float32(nil), acc...), append([]float32(nil), peak...), append([]float32(nil), sum...)
				k.Merge(acc, part, n, peak, sum, &seen, m)
				for i := range SpanRows {
					if i >= m {
						if peak[i] != peakWas[i] || sum[i] != sumWas[i] {
							t.Fatalf("row %d of %d is written", i, m)
						}
						continue
					}
					top := max(peakWas[i], seen.Peak[i])
					a, b := math.Exp2(float64(peakWas[i]-top)), math.Exp2(float64(seen.Peak[i]-top))
					if top == inf {
						a, b = 0, 0
					}
					if peak[i] != top || math.Abs(float64(sum[i])-float64(sumWas[i])*a-float64(seen.Sum[i])*b) > 1e-6 {
						t.Fatalf("row %d: peak %v, sum %v", i, peak[i], sum[i])
					}
					for j := range n {
						if want := float64(was[i*n+j])*a + float64(part[i*n+j])*b; math.Abs(want-float64(acc[i*n+j])) > 1e-6 {
							t.Fatalf("row %d of %d, column %d of %d: %v, want %v", i, m, j, n, acc[i*n+j], want)
						}
					}
				}
				if acc[m*n] != was[m*n] {
					t.Fatal("wrote beyond the rows")
				}
			}
		}
	})
}

func TestScoreRows(t *testing.T) {
	eachScores(t, func(t *testing.T, k *Kernels) {
		r := rand.New(rand.NewPCG(5, 6))
		for n := range 100 {
			src, dst := normals(r, n, 1), make([]float32, n+1)
			dst[n] = 7
			k.Divide(dst[:n], src, 3)
			s := append([]float32(nil), src...)
			k.Slope(s, 1.5, -0.25, n-50)
			for i, x := range src {
				if math.Abs(float64(dst[i])-float64(x)/3) > 1e-6 {
					t.Fatalf("%v divided by 3 is %v", x, dst[i])
				}
				if want := 1.5*float64(x) - 0.25*float64(n-50+i); math.Abs(float64(s[i])-want) > 1e-5 {
					t.Fatalf("slope gives %v, want %v", s[i], want)
				}
			}
			if dst[n] != 7 {
				t.Fatal("wrote beyond the row")
			}
		}
		v := normals(r, 128, 1e30)
		if !k.Finite(v) || !k.Finite(nil) {
			t.Error("finite numbers are not")
		}
		for i := range v {
			for _, x := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
				w := append([]float32(nil), v...)
				w[i] = float32(x)
				if k.Finite(w) {
					t.Errorf("%v at %d is finite", x, i)
				}
			}
		}
	})
}

// TestWiden compares with plain Go, bit for bit; numbers are exact.
func TestWiden(t *testing.T) {
	plain := portableScores()
	eachScores(t, func(t *testing.T, k *Kernels) {
		r := rand.New(rand.NewPCG(7, 8))
		src := make([]byte, 1<<14)
		for i := range src {
			src[i] = byte(r.Uint32())
		}
		same := func(name string, f func(k *Scores, dst []float32)) {
			t.Helper()
			got, want := make([]float32, 4096), make([]float32, 4096)
			f(&k.Scores, got)
			f(&plain, want)
			for i, x := range want {
				y := got[i]
				if math.Float32bits(x) != math.Float32bits(y) && (x == x || y == y) { // a NaN becomes quiet
					t.Fatalf("%s: element %d is %v, want %v", name, i, y, x)
				}
			}
		}
		for _, n := range []int{1, 2, 3, 16, 37} {
			for _, lds := range []int{64, 34, 68, 132} {
				same(fmt.Sprintf("Q8 %d %d", n, lds), func(k *Scores, dst []float32) { k.WidenQ8(dst, 40, src, lds, n) })
				same(fmt.Sprintf("F16 %d %d", n, lds), func(k *Scores, dst []float32) { k.WidenF16(dst, 32, src[1:], lds, n) })
				same(fmt.Sprintf("BF16 %d %d", n, lds), func(k *Scores, dst []float32) { k.WidenBF16(dst, 32, src[1:], lds, n) })
				same(fmt.Sprintf("F32 %d %d", n, lds), func(k *Scores, dst []float32) { k.WidenF32(dst, 17, src, lds, n) })
			}
			same("keys Q8", func(k *Scores, dst []float32) { k.WidenKeysQ8(dst, src[2:], src[999:], n) })
			values := normals(r, 16*50, 1)
			same("panel of keys", func(k *Scores, dst []float32) { k.PanelKeys(dst, Panel, values, 50, n) })
			same("group of keys", func(k *Scores, dst []float32) { k.PanelKeys(dst, Lanes, values, 50, n) })
		}
	})
}

// TestDirect compares products with a cache with products with panels, bit for
// bit.
func TestDirect(t *testing.T) {
	eachScores(t, func(t *testing.T, k *Kernels) {
		r := rand.New(rand.NewPCG(9, 10))
		for name, c := range map[string]struct {
			d     *Direct
			size  int // of 32 elements
			widen Widen
		}{"F32": {k.DirectF32, 128, k.WidenF32}, "F16": {k.DirectF16, 64, k.WidenF16}, "BF16": {k.DirectBF16, 64, k.WidenBF16}, "Q8": {k.DirectQ8, 34, nil}} {
			if c.d == nil {
				continue
			}
			for round := range 60 {
				d, dv, m := 1+r.IntN(130), 16*(1+r.IntN(9)), 1+r.IntN(9)
				if name != "F32" {
					d += d % 2
				}
				if name == "Q8" {
					d, dv = 32*(1+d%4), 32*(1+dv%5)
				}
				keyBytes, valueBytes := 16*d*c.size/32, 16*dv*c.size/32
				cache := make([]byte, 40*max(keyBytes, valueBytes))
				fill(cache, name, r)
				n := 1 + r.IntN(Span/Lanes)
				at, valueAt := make([]int, n), make([]int, n)
				for g := range at {
					at[g], valueAt[g] = r.IntN(40)*keyBytes, r.IntN(40)*valueBytes
				}
				q, p := normals(r, m*d, 1), normals(r, m*Span, 1)
				s, want := make([]float32, m*Span+1), make([]float32, m*Span)
				c.d.Dot(s, q, d, m, cache, at, cache, at)
				panel := make([]float32, (n+1)/2*2*16*d)
				for g, a := range at {
					dst := panel[g/2*Panel*d+g%2*Lanes:]
					if name != "Q8" {
						c.widen(dst, Panel, cache[a:], keyBytes/d, d)
						continue
					}
					for b := 0; b < d; b += 32 {
						k.WidenKeysQ8(dst[b*Panel:], cache[a+b*17:], cache[a+b*17+512:], 32)
					}
				}
				for i := 0; i < m; i += k.Height {
					k.MulF32(want[i*Span:], Span, q[i*d:], d, panel, d, min(k.Height, m-i), (n+1)/2, false)
				}
				for i := range m {
					for j := range n * Lanes {
						if math.Float32bits(s[i*Span+j]) != math.Float32bits(want[i*Span+j]) {
							t.Fatalf("%s, round %d: row %d of %d, key %d of %d, d %d: %v, want %v", name, round, i, m, j, n*Lanes, d, s[i*Span+j], want[i*Span+j])
						}
					}
				}
				from := r.IntN(n * Lanes)
				to := from + 1 + r.IntN(n*Lanes-from)
				wide := (dv + Panel - 1) / Panel * Panel
				out, sums := make([]float32, m*wide), make([]float32, m*wide)
				c.d.Weigh(out, wide, p, dv, m, cache, valueAt, from, to, cache, at)
				values := make([]float32, wide*Span)
				for j := from; j < to; j++ {
					a := valueAt[j/16] + j%16*valueBytes/16
					for e := 0; e < dv; e += Lanes {
						dst := values[(e/Panel*Span+j)*Panel+e%Panel:]
						if name != "Q8" {
							c.widen(dst, Panel, cache[a+e*c.size/32:], 0, 1)
						} else if e%32 == 0 {
							k.WidenQ8(dst, Panel, cache[a+e/32*34:], 0, 1)
						}
					}
				}
				for i := 0; i < m; i += k.Height {
					for e := 0; e < wide; e += Panel {
						k.MulF32(sums[i*wide+e:], wide, p[i*Span+from:], Span, values[(e*Span/Panel+from)*Panel:], to-from, min(k.Height, m-i), 1, false)
					}
				}
				for i, x := range bitsOf(sums) {
					if math.Float32bits(out[i]) != x {
						t.Fatalf("%s, round %d: row %d of %d, feature %d of %d, keys %d to %d: %v, want %v", name, round, i/wide, m, i%wide, dv, from, to, out[i], sums[i])
					}
				}
			}
		}
	})
}

// fill writes finite numbers of a type.
func fill(b []byte, name string, r *rand.Rand) {
	for i := range b {
		b[i] = byte(r.Uint32())
		switch {
		case name == "F32" && i%4 == 3, name == "BF16" && i%2 == 1:
			b[i] = byte(0x3e+r.IntN(2)) | b[i]&0x80
		case name == "F16" && i%2 == 1:
			b[i] &= 0xbb
		case name == "Q8":
			b[i] &= 0x3b // as a scale, below 1
		}
	}
}
