package simd

// Functions on rows, of every path against float64.

import (
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"
)

// vectorPaths runs f for the vectors of each path whose functions are its own.
func vectorPaths(t *testing.T, f func(t *testing.T, v Vectors)) {
	for p := Portable; p <= min(Best(), AVX512); p++ {
		t.Run(p.String(), func(t *testing.T) { f(t, vectors(p)) })
	}
}

// TestOffsets compares the structs with what assembly believes.
func TestOffsets(t *testing.T) {
	var r Rows
	var n NormRows
	for i, c := range [][2]uintptr{
		{unsafe.Offsetof(r.X), 0}, {unsafe.Offsetof(r.Out), 24}, {unsafe.Offsetof(r.Bias), 48}, {unsafe.Offsetof(r.Mul), 72}, {unsafe.Offsetof(r.MulBias), 96}, {unsafe.Offsetof(r.Add), 120},
		{unsafe.Offsetof(r.LdX), 144}, {unsafe.Offsetof(r.LdOut), 152}, {unsafe.Offsetof(r.LdMul), 160}, {unsafe.Offsetof(r.LdAdd), 168},
		{unsafe.Offsetof(r.M), 176}, {unsafe.Offsetof(r.N), 184}, {unsafe.Offsetof(r.In), 192}, {unsafe.Offsetof(r.Alpha), 196},
		{unsafe.Offsetof(n.X), 0}, {unsafe.Offsetof(n.Out), 24}, {unsafe.Offsetof(n.Weight), 48}, {unsafe.Offsetof(n.Bias), 72}, {unsafe.Offsetof(n.LdX), 96}, {unsafe.Offsetof(n.LdOut), 104},
		{unsafe.Offsetof(n.M), 112}, {unsafe.Offsetof(n.N), 120}, {unsafe.Offsetof(n.Share), 128}, {unsafe.Offsetof(n.Eps), 136}, {unsafe.Offsetof(n.Least), 144},
	} {
		if c[0] != c[1] && unsafe.Sizeof(uintptr(0)) == 8 {
			t.Errorf("field %d stands at %d, want %d", i, c[0], c[1])
		}
	}
}

// units is |got-want| in units of the last place of want as a float32.
func units(got float32, want float64) float64 {
	if w := float32(want); got == w || got != got && w != w {
		return 0
	}
	if math.IsInf(float64(got), 0) || got != got || want != want || math.IsInf(want, 0) {
		return math.Inf(1)
	}
	_, e := math.Frexp(want)
	return math.Abs(float64(got)-want) / math.Ldexp(1, max(e-24, -149))
}

// inputs are floats all over the line, dense between -most and most.
func inputs(most float64) []float32 {
	rng := rand.New(rand.NewPCG(1, 2))
	var v []float32
	for i := range 400001 {
		v = append(v, float32(most*(float64(i)/200000-1)))
	}
	for range 100000 {
		v = append(v, math.Float32frombits(rng.Uint32()), float32(rng.NormFloat64()), float32(most*(2*rng.Float64()-1)))
	}
	for e := -149; e < 128; e++ {
		x := float32(math.Ldexp(1, e))
		v = append(v, x, -x, math.Nextafter32(x, 0), -math.Nextafter32(x, 0))
	}
	inf := float32(math.Inf(1))
	return append(v, 0, float32(math.Copysign(0, -1)), inf, -inf, float32(math.NaN()))
}

func erfGelu(x float64) float64 {
	if math.IsInf(x, -1) {
		return 0
	}
	return x / 2 * math.Erfc(-x/math.Sqrt2)
}

// tanhU is u of GeluTanh.
func tanhU(x float64) float64 { return 0.79788456080286535588 * (x + 0.044715*x*x*x) }

var mapped = []struct {
	name  string
	f     func(x float64) float64
	units func(x float64) float64
}{
	{"Identity", func(x float64) float64 { return x }, func(float64) float64 { return 0 }},
	{"Relu", func(x float64) float64 { return max(x, 0) }, func(float64) float64 { return 0 }},
	{"Gelu", erfGelu, func(x float64) float64 {
		if x > -5 {
			return 4
		}
		return 8
	}},
	{"GeluTanh", func(x float64) float64 {
		if math.IsInf(x, -1) {
			return 0
		}
		return x / (1 + math.Exp(-2*tanhU(x)))
	}, func(x float64) float64 { return 4 + 5*math.Abs(min(tanhU(x), 0)) }},
	{"Silu", func(x float64) float64 {
		if math.IsInf(x, -1) {
			return 0
		}
		return x / (1 + math.Exp(-x))
	}, func(float64) float64 { return 4 }},
	{"Tanh", math.Tanh, func(float64) float64 { return 4 }},
	{"Sigmoid", func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }, func(float64) float64 { return 4 }},
}

func TestMapAccuracy(t *testing.T) {
	x := inputs(30)
	vectorPaths(t, func(t *testing.T, v Vectors) {
		out := make([]float32, len(x))
		for f, c := range mapped {
			v.Map[f](&Rows{X: x, Out: out, M: 1, N: len(x), In: 1, Alpha: 1})
			worst, at, bad := 0.0, float32(0), 0
			for i, got := range out {
				u := units(got, c.f(float64(x[i])))
				if u > worst {
					worst, at = u, x[i]
				}
				if u > c.units(float64(x[i])) && math.Abs(float64(got)-c.f(float64(x[i]))) > 0x1p-139 {
					if bad++; bad < 4 {
						t.Errorf("%s(%g) = %g, want %g: %.2f units", c.name, x[i], got, c.f(float64(x[i])), u)
					}
				}
			}
			t.Logf("%s: %.2f units at %g", c.name, worst, at)
		}
	})
}

func TestExpSum(t *testing.T) {
	x := inputs(110)
	vectorPaths(t, func(t *testing.T, v Vectors) {
		out := make([]float32, len(x))
		v.ExpSum(out, x, 0)
		worst := 0.0
		for i, got := range out {
			u := units(got, math.Exp(float64(x[i])))
			worst = max(worst, u)
			if u > 1.1 {
				t.Fatalf("exp(%g) = %g, want %g: %.2f units", x[i], got, math.Exp(float64(x[i])), u)
			}
		}
		t.Logf("%.2f units", worst)
	})
}
