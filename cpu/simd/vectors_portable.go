package simd

// Functions on rows of floats in plain Go: in float64, rounded once.

import "math"

func portableVectors() Vectors {
	return Vectors{
		Map: [...]func(*Rows){
			func(r *Rows) { r.each(Identity) },
			func(r *Rows) { r.each(Relu) },
			func(r *Rows) { r.each(Gelu) },
			func(r *Rows) { r.each(GeluTanh) },
			func(r *Rows) { r.each(Silu) },
			func(r *Rows) { r.each(Tanh) },
			func(r *Rows) { r.each(Sigmoid) },
		},
		Norm: func(r *NormRows) {
			for i := range r.M {
				row := *r
				row.X, row.Out = r.X[i*r.LdX:], r.Out[i*r.LdOut:]
				row.normRow()
			}
		},
		RoPE: rope, RoPEPairs: ropePairs,
		Combine: combine,
		Max:     largest, ExpSum: expSum, Above: above,
		FromF16: widenF16, FromBF16: widenBF16, ToF16: narrowF16, ToBF16: narrowBF16,
	}
}

// each applies f to pieces of rows.
func (r *Rows) each(f Function) {
	var piece [64]float32
	for i := range r.M {
		for at := 0; at < r.N; at += len(piece) {
			v := piece[:min(len(piece), r.N-at)]
			for c, x := range r.X[i*r.LdX+at:][:len(v)] {
				v[c] = r.In * x
			}
			if r.Bias != nil {
				for c, x := range r.Bias[at:][:len(v)] {
					v[c] += x
				}
			}
			f.apply(v)
			r.finish(v, i, at)
		}
	}
}

// apply sets v[i] = f(v[i]).
func (f Function) apply(v []float32) {
	switch f {
	case Relu:
		relu(v)
	case Gelu:
		gelu(v)
	case GeluTanh:
		geluTanh(v)
	case Silu:
		silu(v)
	case Tanh:
		tanh(v)
	case Sigmoid:
		sigmoid(v)
	}
}

// finish does what comes after the function, for columns from at on of row i.
func (r *Rows) finish(v []float32, i, at int) {
	if r.Alpha != 1 {
		for c := range v {
			v[c] *= r.Alpha
		}
	}
	if r.Mul != nil {
		mul := r.Mul[i*r.LdMul+at:][:len(v)]
		if r.MulBias == nil {
			for c, x := range mul {
				v[c] *= x
			}
		} else {
			for c, x := range r.MulBias[at:][:len(v)] {
				v[c] *= mul[c] + x
			}
		}
	}
	out := r.Out[i*r.LdOut+at:][:len(v)]
	if r.Add == nil {
		copy(out, v)
		return
	}
	for c, x := range r.Add[i*r.LdAdd+at:][:len(v)] {
		out[c] = x + v[c]
	}
}

const (
	log2e = 1.44269504088896340736
	ln2   = 0.693147180559945309417
)

// split is x = n·ln 2 + r, |r| ≤ ln(2)/2, as 2^n and e^r - 1, for |x| < 700. The
// polynomial has a relative error of 1.2e-12.
func split(x float64) (power, less float64) {
	const round = 3 << 51 // what is added to it is rounded to an integer, in the low bits
	biased := x*log2e + round
	r := x - (biased-round)*ln2
	q := 0.0001990900646974425 + r*2.4708196439683535e-05
	q = 0.008333281705309632 + r*(0.0013889197744597864+r*q)
	q = 0.5000000000428516 + r*(0.1666666678479405+r*(0.04166666439830523+r*q))
	return math.Float64frombits((math.Float64bits(biased) + 1023) << 52), r + r*r*q
}

// exp is e^x, 0 below -700 and infinite above 700.
func exp(x float64) float64 {
	if x > -700 && x < 700 {
		power, less := split(x)
		return power + power*less
	}
	switch {
	case x > 0:
		return math.Inf(1)
	case x < 0:
		return 0
	}
	return x
}

func relu(v []float32) {
	for i, x := range v {
		if x < 0 { // a NaN stays
			v[i] = 0
		}
	}
}

// gelu is x·Φ(x): Φ(-t) = e^(-t²/2)·g(t) for t ≥ 0, g a polynomial in
// (t-3.5)/(t+3.5) with a relative error of 4.5e-11.
func gelu(v []float32) {
	for i, x32 := range v {
		x := float64(x32)
		t := min(math.Abs(x), 14.5)
		z := (t - 3.5) / (t + 3.5)
		g := -1.9649232717681603e-05 + z*(6.5822262013074695e-06+z*3.0384621411378038e-06)
		g = 0.000391661348831147 + z*(0.0001314550485284252+z*(-5.746071975908753e-05+z*g))
		g = 0.019065532940404677 + z*(-0.0015616020870312364+z*(-0.0013807221764384036+z*g))
		g = 0.1258552553804733 + z*(-0.06163941802805559+z*g)
		g = 0.10634515363128805 + z*(-0.18713969870894778+z*g)
		v[i] = float32(gated(x, t, g*exp(-t*t/2)))
	}
}

// gated is x·(1-e) for x ≥ 0 and x·e below, t = |x|.
func gated(x, t, e float64) float64 { return max(x, 0) - t*e }

// geluTanh is x·sigmoid(2u), which keeps its digits where 1+tanh(u) loses them.
func geluTanh(v []float32) {
	const twice = 1.59576912160573071176 // 2·√(2/π)
	for i, x32 := range v {
		x := float64(x32)
		t := min(math.Abs(x), 14.5)
		e := exp(-twice * t * (1 + 0.044715*t*t))
		v[i] = float32(gated(x, t, e/(1+e)))
	}
}

func silu(v []float32) {
	for i, x32 := range v {
		x := float64(x32)
		t := min(math.Abs(x), 110)
		e := exp(-t)
		v[i] = float32(gated(x, t, e/(1+e)))
	}
}

// tanh is -u/(2+u) of |x|, u = e^-2|x| - 1.
func tanh(v []float32) {
	for i, x := range v {
		if t := min(math.Abs(float64(x)), 20); t == t {
			power, less := split(-2 * t)
			u := power*less + (power - 1)
			v[i] = float32(math.Copysign(u/(2+u), float64(x)))
		}
	}
}

func sigmoid(v []float32) {
	for i, x := range v {
		v[i] = float32(1 / (1 + exp(-float64(x))))
	}
}

// normRow normalises the first row in float64.
func (r *NormRows) normRow() {
	x, mean, squares := r.X[:r.N], 0.0, 0.0
	if r.Centred {
		for _, v := range x {
			mean += float64(v)
		}
		mean /= float64(r.N)
	}
	for _, v := range x {
		d := float64(v) - mean
		squares += d * d
	}
	inverse := 1 / max(math.Sqrt(r.Share*squares+r.Eps), r.Least)
	out := r.Out[:r.N]
	for c, v := range x {
		y := (float64(v) - mean) * inverse
		if r.Weight != nil {
			y *= float64(r.Weight[c])
		}
		if r.Bias != nil {
			y += float64(r.Bias[c])
		}
		out[c] = float32(y)
	}
}

func rope(x, cos, sin []float32, heads, headDim int) {
	half := len(cos)
	for h := range heads {
		a := x[h*headDim:][:half]
		b := x[h*headDim+half:][:half]
		for i, co := range cos {
			a[i], b[i] = rotated(a[i], b[i], co, sin[i])
		}
	}
}

func ropePairs(x, cos, sin []float32, heads, headDim int) {
	for h := range heads {
		pairs := x[h*headDim:][:2*len(cos)]
		for i, co := range cos {
			pairs[2*i], pairs[2*i+1] = rotated(pairs[2*i], pairs[2*i+1], co, sin[i])
		}
	}
}

func rotated(a, b, co, si float32) (float32, float32) {
	a64, b64, co64, si64 := float64(a), float64(b), float64(co), float64(si)
	return float32(a64*co64 - b64*si64), float32(b64*co64 + a64*si64)
}

func combine(out, x []float32, ldx int, w, add []float32) {
	for c := range out {
		sum := 0.0
		for k, f := range w {
			sum += float64(f) * float64(x[k*ldx+c])
		}
		if add != nil {
			sum += float64(add[c])
		}
		out[c] = float32(sum)
	}
}

func largest(x []float32) float32 {
	peak := float32(math.Inf(-1))
	for _, v := range x {
		peak = max(peak, v) // NaN stays
	}
	return peak
}

func expSum(out, x []float32, shift float32) (sum float64) {
	for i, v := range x {
		e := float32(exp(float64(v) - float64(shift)))
		out[i] = e
		sum += float64(e)
	}
	return sum
}

func above(ids []int32, x []float32, bound float32) (found, seen int) {
	for i, v := range x {
		if v > bound {
			if found == len(ids) {
				return found, i
			}
			ids[found] = int32(i)
			found++
		}
	}
	return found, len(x)
}

func widenF16(dst []float32, src []uint16) {
	for i, h := range src {
		// The bits as those of a float32 stand for x·2^-112. Infinities and NaN
		// would not scale.
		bits := uint32(h&0x7fff) << 13
		if h&0x7c00 == 0x7c00 {
			bits |= 0x7f800000
			if h&0x3ff != 0 {
				bits |= 0x400000
			}
		} else {
			bits = math.Float32bits(math.Float32frombits(bits) * 0x1p112)
		}
		dst[i] = math.Float32frombits(bits | uint32(h&0x8000)<<16)
	}
}

func widenBF16(dst []float32, src []uint16) {
	for i, h := range src {
		dst[i] = math.Float32frombits(uint32(h) << 16)
	}
}

func narrowF16(dst []uint16, src []float32) {
	for i, x := range src {
		bits := math.Float32bits(x)
		sign, size := uint16(bits>>16)&0x8000, bits&0x7fffffff
		switch {
		case size > 0x7f800000: // NaN
			dst[i] = sign | 0x7e00 | uint16(size>>13)&0x3ff
		case size >= 0x477ff000: // from 65520 on
			dst[i] = sign | 0x7c00
		case size < 0x38800000: // below 2^-14: the sum's last bit is worth 2^-24
			dst[i] = sign | uint16(math.Float32bits(math.Float32frombits(size)+0.5)-0x3f000000)
		default:
			dst[i] = sign | uint16((size-(112<<23)+0xfff+size>>13&1)>>13)
		}
	}
}

func narrowBF16(dst []uint16, src []float32) {
	for i, x := range src {
		bits := math.Float32bits(x)
		if x != x {
			dst[i] = uint16(bits>>16) | 0x40
			continue
		}
		dst[i] = uint16((bits + 0x7fff + bits>>16&1) >> 16)
	}
}
