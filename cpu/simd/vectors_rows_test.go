package simd

// Functions on whole rows, and that an element's bits do not depend on where it
// stands; nothing is written beside what is to be.

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"testing"
)

// lengths have tails of every kind.
var lengths = []int{0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 63, 64, 65, 100, 127, 128, 129, 255, 577, 1000, 4097}

const untouched = -123.25

// guarded is n floats of f between sentinels, and a check that they still stand.
func guarded(t *testing.T, n int, f func(i int) float32) (v []float32, check func(what string)) {
	const margin = 40
	all := make([]float32, n+2*margin)
	for i := range all {
		all[i] = untouched
	}
	v = all[margin : margin+n : margin+n]
	for i := range v {
		v[i] = f(i)
	}
	return v, func(what string) {
		t.Helper()
		for i, x := range all {
			if (i < margin || i >= margin+n) && x != untouched {
				t.Fatalf("%s: wrote element %d of %d", what, i-margin, n)
			}
		}
	}
}

func normal(rng *rand.Rand) func(int) float32 {
	return func(int) float32 { return float32(rng.NormFloat64()) }
}

// TestMapOperands runs all combinations of operands, in rows of all lengths, and
// compares each element with the same in a row of its own.
func TestMapOperands(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 3))
	vectorPaths(t, func(t *testing.T, v Vectors) {
		for f := range v.Map {
			for _, n := range lengths[1:] {
				for operands := range 32 {
					m, ld := 1+rng.IntN(4), n+rng.IntN(5)
					if n > 200 {
						m = 2
					}
					x, checkX := guarded(t, m*ld, normal(rng))
					out, checkOut := guarded(t, m*ld, normal(rng))
					a, b, c, d := make([]float32, n), make([]float32, m*ld), make([]float32, n), make([]float32, m*ld)
					for _, s := range [][]float32{a, b, c, d} {
						for i := range s {
							s[i] = normal(rng)(i)
						}
					}
					r := Rows{X: x, Out: out, LdX: ld, LdOut: ld, LdMul: ld, LdAdd: ld, M: m, N: n, In: 1, Alpha: 1}
					single := Rows{LdX: 1, LdOut: 1, LdMul: 1, LdAdd: 1, M: 1, N: 1, In: 1, Alpha: 1}
					if operands&1 > 0 {
						r.Bias = a
					}
					if operands&2 > 0 {
						r.Mul = b
					}
					if operands&4 > 0 {
						r.MulBias = c
					}
					if operands&8 > 0 {
						r.Add = d
					}
					if operands&16 > 0 {
						r.In, r.Alpha, single.In, single.Alpha = 0.75, -1.5, 0.75, -1.5
					}
					before := slices.Clone(out)
					v.Map[f](&r)
					what := fmt.Sprintf("function %d, %d×%d, operands %05b", f, m, n, operands)
					checkX(what)
					checkOut(what)
					step := 1
					if n > 200 {
						step = 61
					}
					for i := range m {
						for j := n; j < ld && i*ld+j < len(out); j++ {
							if out[i*ld+j] != before[i*ld+j] {
								t.Fatalf("%s: wrote beyond row %d", what, i)
							}
						}
						for j := 0; j < n; j += step {
							one := []float32{0}
							at := i*ld + j
							single.X, single.Out = x[at:], one
							single.Bias, single.Mul, single.MulBias, single.Add = nil, nil, nil, nil
							want := float64(r.In) * float64(x[at])
							if r.Bias != nil {
								single.Bias = a[j:]
								want += float64(a[j])
							}
							want = mapped[f].f(want) * float64(r.Alpha)
							if r.Mul != nil {
								single.Mul = b[at:]
								up := float64(b[at])
								if r.MulBias != nil {
									single.MulBias = c[j:]
									up += float64(c[j])
								}
								want *= up
							} else if r.MulBias != nil {
								single.MulBias = c[j:]
							}
							if r.Add != nil {
								single.Add = d[at:]
								want += float64(d[at])
							}
							v.Map[f](&single)
							if math.Float32bits(one[0]) != math.Float32bits(out[at]) {
								t.Fatalf("%s: element %d,%d is %g, alone %g", what, i, j, out[at], one[0])
							}
							if math.Abs(want-float64(out[at])) > 4e-6*max(1, math.Abs(want)) {
								t.Fatalf("%s: element %d,%d is %g, want %g", what, i, j, out[at], want)
							}
						}
					}
				}
			}
		}
	})
}

// TestMapInPlace writes to each operand that it may.
func TestMapInPlace(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 3))
	vectorPaths(t, func(t *testing.T, v Vectors) {
		const n = 77
		x, mul, add := make([]float32, n), make([]float32, n), make([]float32, n)
		for i := range n {
			x[i], mul[i], add[i] = normal(rng)(i), normal(rng)(i), normal(rng)(i)
		}
		for f := range v.Map {
			want := make([]float32, n)
			v.Map[f](&Rows{X: x, Mul: mul, Add: add, Out: want, M: 1, N: n, In: 1, Alpha: 2})
			for i := range 3 {
				o := [3][]float32{slices.Clone(x), slices.Clone(mul), slices.Clone(add)}
				v.Map[f](&Rows{X: o[0], Mul: o[1], Add: o[2], Out: o[i], M: 1, N: n, In: 1, Alpha: 2})
				if !slices.Equal(o[i], want) {
					t.Errorf("function %d differs in place of operand %d", f, i)
				}
			}
		}
	})
}

func TestNorm(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	draws := map[string]func(int) float32{
		"normal":      normal(rng),
		"far":         func(int) float32 { return float32(1000 + rng.NormFloat64()) },
		"very far":    func(int) float32 { return float32(1e6 + rng.NormFloat64()) },
		"tiny":        func(int) float32 { return float32(1e-25 * rng.NormFloat64()) },
		"huge":        func(int) float32 { return float32(1e30 * rng.NormFloat64()) },
		"zero":        func(int) float32 { return 0 },
		"constant":    func(int) float32 { return 1e7 },
		"one element": func(i int) float32 { return float32(1e4 * float64(1/(1+i))) },
	}
	vectorPaths(t, func(t *testing.T, v Vectors) {
		for name, draw := range draws {
			for _, n := range lengths[1:] {
				for kind := range 12 {
					m, ld := 1+rng.IntN(4), n+rng.IntN(4)
					x, checkX := guarded(t, m*ld, draw)
					out, checkOut := guarded(t, m*ld, normal(rng))
					r := NormRows{X: x, Out: out, LdX: ld, LdOut: ld, M: m, N: n, Share: 1 / float64(n), Eps: 1e-5}
					switch kind % 3 {
					case 0:
						r.Centred = true
					case 2:
						r.Share, r.Eps, r.Least = 1, 0, 1e-12
					}
					if name == "tiny" && n > 7 { // no variance of one
						r.Eps, r.Least = 0, 0
					}
					if kind/3&1 > 0 {
						r.Weight, _ = guarded(t, n, normal(rng))
					}
					if kind/6&1 > 0 {
						r.Bias, _ = guarded(t, n, normal(rng))
					}
					was, want := r, make([]float32, m*ld)
					v.Norm(&r)
					what := fmt.Sprintf("%s, kind %d of %d×%d", name, kind, m, n)
					checkX(what)
					checkOut(what)
					if len(r.X) != len(was.X) || len(r.Out) != len(was.Out) || r.M != was.M {
						t.Fatalf("%s: the operands changed", what)
					}
					for i := range m {
						row := was
						row.X, row.Out = x[i*ld:], want[i*ld:]
						row.normRow()
						alone := make([]float32, n)
						row.Out, row.M = alone, 1
						v.Norm(&row)
						for j := range n {
							got, exact := out[i*ld+j], want[i*ld+j]
							if math.Abs(float64(got)-float64(exact)) > 3e-6*max(1, math.Abs(float64(exact))) || got != got {
								t.Fatalf("%s: element %d,%d is %g, want %g", what, i, j, got, exact)
							}
							if math.Float32bits(got) != math.Float32bits(alone[j]) {
								t.Fatalf("%s: element %d,%d is %g, its row alone %g", what, i, j, got, alone[j])
							}
						}
					}
				}
			}
		}
	})
}

func TestNormOfNaN(t *testing.T) {
	vectorPaths(t, func(t *testing.T, v Vectors) {
		for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			for _, centred := range []bool{false, true} {
				const n = 70
				x := make([]float32, 3*n)
				for i := range x {
					x[i] = float32(i % 5)
				}
				x[n+69] = float32(bad)
				r := &NormRows{X: x, Out: x, LdX: n, LdOut: n, M: 3, N: n, Share: 1. / n, Eps: 1e-5, Centred: centred}
				v.Norm(r)
				for i, y := range x {
					if infected := i/n == 1; infected && math.IsNaN(bad) && y == y || !infected && y != y {
						t.Fatalf("element %d of row %d is %g", i%n, i/n, y)
					}
				}
				if x[n+69] == x[n+69] {
					t.Errorf("%g gives %g", bad, x[n+69])
				}
			}
		}
	})
}

func TestRotations(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 3))
	vectorPaths(t, func(t *testing.T, v Vectors) {
		for half := 1; half < 140; half++ {
			for _, pairs := range []bool{false, true} {
				heads, dim := 1+rng.IntN(3), 2*half+rng.IntN(4)
				x, check := guarded(t, heads*dim, normal(rng))
				cos, checkCos := guarded(t, half, normal(rng))
				sin, checkSin := guarded(t, half, normal(rng))
				was := slices.Clone(x)
				rotate, a, b, step := v.RoPE, 0, half, 1
				if pairs {
					rotate, b, step = v.RoPEPairs, 1, 2
				}
				rotate(x, cos, sin, heads, dim)
				what := fmt.Sprintf("half %d, pairs %v", half, pairs)
				check(what)
				checkCos(what)
				checkSin(what)
				for h := range heads {
					want := make([]float64, dim)
					for i := range want {
						want[i] = float64(was[h*dim+i])
					}
					for i := range half {
						p, q := want[a+step*i], want[b+step*i]
						c, s := float64(cos[i]), float64(sin[i])
						want[a+step*i], want[b+step*i] = p*c-q*s, q*c+p*s
					}
					for i, y := range want {
						if math.Abs(float64(x[h*dim+i])-y) > 5e-7*(1+math.Abs(y)) {
							t.Fatalf("%s: element %d of head %d is %g, want %g", what, i, h, x[h*dim+i], y)
						}
					}
				}
			}
		}
	})
}

func TestCombine(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 3))
	vectorPaths(t, func(t *testing.T, v Vectors) {
		for _, n := range lengths {
			for _, k := range []int{0, 1, 2, 8} {
				ld := n + rng.IntN(3)
				x, _ := guarded(t, max(k, 1)*ld, normal(rng))
				w, _ := guarded(t, k, normal(rng))
				out, check := guarded(t, n, normal(rng))
				add := out
				if n%2 == 0 {
					add = nil
				}
				want := make([]float64, n)
				for c := range want {
					if add != nil {
						want[c] = float64(add[c])
					}
					for i, f := range w {
						want[c] += float64(f) * float64(x[i*ld+c])
					}
				}
				v.Combine(out, x, ld, w, add)
				check("combine")
				for c, y := range want {
					if math.Abs(float64(out[c])-y) > 2e-6*(1+math.Abs(y)) {
						t.Fatalf("%d of %d: element %d is %g, want %g", k, n, c, out[c], y)
					}
				}
			}
		}
	})
}

func TestMaxAndSum(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 3))
	vectorPaths(t, func(t *testing.T, v Vectors) {
		for _, n := range lengths {
			x, check := guarded(t, n, normal(rng))
			want := float32(math.Inf(-1))
			for _, y := range x {
				want = max(want, y)
			}
			if got := v.Max(x); got != want {
				t.Fatalf("largest of %d: %g, want %g", n, got, want)
			}
			out, checkOut := guarded(t, n, normal(rng))
			sum, exact := v.ExpSum(out, x, 0.5), 0.0
			check("ExpSum reads")
			checkOut("ExpSum")
			for i, y := range x {
				exact += math.Exp(float64(y) - 0.5)
				if one := out[i : i+1 : i+1]; n > 0 {
					alone := []float32{0}
					v.ExpSum(alone, x[i:i+1], 0.5)
					if alone[0] != one[0] {
						t.Fatalf("exponential %d of %d: %g, alone %g", i, n, one[0], alone[0])
					}
				}
			}
			if math.Abs(sum-exact) > 1e-6*exact {
				t.Fatalf("sum of %d: %g, want %g", n, sum, exact)
			}
			for i := range x { // wherever NaN is
				y := x[i]
				x[i] = float32(math.NaN())
				if got := v.Max(x); got == got {
					t.Fatalf("largest of %d with NaN at %d: %g", n, i, got)
				}
				x[i] = y
			}
			for i := range x {
				x[i] = float32(math.Inf(-1))
			}
			if got := v.Max(x); !math.IsInf(float64(got), -1) {
				t.Fatalf("largest of -Inf: %g", got)
			}
		}
	})
}

func TestAbove(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 3))
	vectorPaths(t, func(t *testing.T, v Vectors) {
		for _, n := range lengths {
			for _, bound := range []float32{-100, -0.5, 0, 1, 2.5, float32(math.Inf(-1)), float32(math.Inf(1))} {
				for _, room := range []int{64, 65, 100, 256, 5000} {
					x, _ := guarded(t, n, func(i int) float32 {
						switch rng.IntN(20) {
						case 0:
							return float32(math.NaN())
						case 1:
							return bound
						case 2:
							return float32(math.Inf(-1))
						}
						return normal(rng)(i)
					})
					var got, want []int32
					for i, y := range x {
						if y > bound {
							want = append(want, int32(i))
						}
					}
					for at := 0; at < n; {
						all := make([]int32, room+32)
						for i := range all {
							all[i] = -7
						}
						found, seen := v.Above(all[16:16+room:16+room], x[at:], bound)
						for i := range 16 {
							if all[i] != -7 || all[16+room+i] != -7 {
								t.Fatalf("wrote beside the list of %d", room)
							}
						}
						if seen == 0 {
							t.Fatalf("no progress at %d of %d", at, n)
						}
						for _, id := range all[16:][:found] {
							got = append(got, int32(at)+id)
						}
						at += seen
					}
					if !slices.Equal(got, want) {
						t.Fatalf("above %g of %d, room %d: %v, want %v", bound, n, room, got, want)
					}
				}
			}
		}
	})
}

// TestConversions converts all 16-bit floats and back, and floats in between and all
// over the line.
func TestConversions(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 3))
	all := make([]uint16, 1<<16)
	for i := range all {
		all[i] = uint16(i)
	}
	vectorPaths(t, func(t *testing.T, v Vectors) {
		for _, c := range []struct {
			name               string
			from               func(dst []float32, src []uint16)
			to                 func(dst []uint16, src []float32)
			value              func(h uint16) float64
			infinity, mantissa uint16
		}{
			{"F16", v.FromF16, v.ToF16, valueF16, 0x7c00, 0x3ff},
			{"BF16", v.FromBF16, v.ToBF16, func(h uint16) float64 { return float64(math.Float32frombits(uint32(h) << 16)) }, 0x7f80, 0x7f},
		} {
			wide, back := make([]float32, len(all)), make([]uint16, len(all))
			c.from(wide, all)
			c.to(back, wide)
			for i, h := range all {
				nan := h&c.infinity == c.infinity && h&c.mantissa != 0
				switch want := c.value(h); {
				case nan && (wide[i] == wide[i] || back[i]&c.infinity != c.infinity || back[i]&c.mantissa == 0):
					t.Fatalf("%s: NaN %04x becomes %g, and %04x", c.name, h, wide[i], back[i])
				case !nan && (float64(wide[i]) != want || back[i] != h || math.Signbit(want) != math.Signbit(float64(wide[i]))):
					t.Fatalf("%s: %04x becomes %g, want %g, and %04x", c.name, h, wide[i], want, back[i])
				}
			}
			// Between neighbours: the nearest, and of two equally near the even one.
			var x []float32
			var want []uint16
			for h := uint16(0); h < c.infinity; h++ {
				low, high := c.value(h), c.value(h+1)
				if h+1 == c.infinity {
					high = 2*low - c.value(h-1)
				}
				middle := float32((low + high) / 2)
				even := h + h&1
				for _, p := range []struct {
					x float32
					h uint16
				}{{math.Nextafter32(middle, 0), h}, {middle, even}, {math.Nextafter32(middle, float32(math.Inf(1))), h + 1}} {
					if float64(p.x) == low {
						continue // a denormal float32 has nothing between
					}
					x, want = append(x, p.x, -p.x), append(want, p.h, p.h|0x8000)
				}
			}
			got := make([]uint16, len(x))
			c.to(got, x)
			for i := range x {
				if got[i] != want[i] {
					t.Fatalf("%s of %g (%08x): %04x, want %04x", c.name, x[i], math.Float32bits(x[i]), got[i], want[i])
				}
			}
			for _, n := range lengths {
				x, check := guarded(t, n, normal(rng))
				h, one := make([]uint16, n+2), []uint16{0}
				h[n], h[n+1] = 0xbeef, 0xbeef
				c.to(h[:n], x)
				if h[n] != 0xbeef || h[n+1] != 0xbeef {
					t.Fatalf("%s: wrote beyond %d", c.name, n)
				}
				for i := range n {
					if c.to(one, x[i:i+1]); one[0] != h[i] {
						t.Fatalf("%s: element %d of %d is %04x, alone %04x", c.name, i, n, h[i], one[0])
					}
				}
				c.from(x, h[:n])
				check(c.name)
				for i := range n {
					if float64(x[i]) != c.value(h[i]) {
						t.Fatalf("%s: element %d of %d is %g, want %g", c.name, i, n, x[i], c.value(h[i]))
					}
				}
			}
		}
	})
}

// valueF16 is the value of a 16-bit float, from its definition.
func valueF16(h uint16) float64 {
	exponent, fraction := int(h>>10&31), float64(h&0x3ff)
	x := math.Ldexp(1+fraction/1024, exponent-15)
	switch {
	case exponent == 31 && fraction > 0:
		return math.NaN()
	case exponent == 31:
		x = math.Inf(1)
	case exponent == 0:
		x = math.Ldexp(fraction, -24)
	}
	if h>>15 == 1 {
		return -x
	}
	return x
}

// TestAVX2NamesNoHighRegisters reads the assembly: a register beyond the sixteenth
// would be taken for AVX-512, which a processor of that path has not.
func TestAVX2NamesNoHighRegisters(t *testing.T) {
	text, err := os.ReadFile("vectors_amd64.s")
	if err != nil {
		t.Fatal(err)
	}
	function := regexp.MustCompile(`(?s)TEXT ·(\w+AVX2)\(SB\).*?\n\n//`)
	high := regexp.MustCompile(`\b([XY](1[6-9]|2\d|3[01])|Z\d+|K[0-7])\b`)
	found := function.FindAllStringSubmatch(string(text), -1)
	if len(found) < 15 {
		t.Fatalf("%d functions for AVX2", len(found))
	}
	for _, f := range found {
		if r := high.FindString(f[0]); r != "" {
			t.Errorf("%s names %s", f[1], r)
		}
	}
}
