package ptx

// Rounding: float32 fused multiply-add, half precision, tf32 and directed
// modes, all from float64 rounded to odd, so that the second rounding is exact.

import (
	"math"
	"math/bits"
)

// rounding is a PTX rounding mode.
type rounding uint8

const (
	roundNearest rounding = iota // ties to even
	roundZero
	roundDown
	roundUp
	roundAway // nearest, ties away from zero
)

var roundings = map[string]rounding{"rn": roundNearest, "rz": roundZero, "rm": roundDown, "rp": roundUp, "rna": roundAway}

func f32(b uint32) float32  { return math.Float32frombits(b) }
func b32(f float32) uint32  { return math.Float32bits(f) }
func f64(b uint64) float64  { return math.Float64frombits(b) }
func b64(f float64) uint64  { return math.Float64bits(f) }
func f32w(b uint64) float32 { return math.Float32frombits(uint32(b)) }
func b32w(f float32) uint64 { return uint64(math.Float32bits(f)) }

const (
	nanF32  = 0x7fffffff // the NaN that the hardware makes
	nanF16  = 0x7fff
	nanBF16 = 0x7fff
)

// flushBits turns a subnormal float32 into zero of its sign.
func flushBits(b uint32) uint32 {
	if b&0x7f800000 == 0 {
		return b & 0x80000000
	}
	return b
}

// sumOdd is p + c rounded to odd: the exact sum if that is a float64, else the
// neighbour with the odd last bit. Rounding that to 51 bits or fewer equals
// rounding the exact sum (Boldo and Melquiond, 2008).
func sumOdd(p, c float64) float64 {
	s := p + c
	if s-s != 0 {
		return s
	}
	v := s - p
	e := (p - (s - v)) + (c - v)
	if b := b64(s); e != 0 && b&1 == 0 {
		if (e > 0) == (s > 0) {
			return f64(b + 1)
		}
		return f64(b - 1)
	}
	return s
}

// format is a binary floating-point format narrower than float64.
type format struct {
	precision int // bits of the significand, the hidden one counted
	emin      int // exponent of the smallest normal number
	max       float64
}

var (
	formatF16  = format{11, -14, 65504}
	formatBF16 = format{8, -126, 0x1.fep127}
	formatTF32 = format{11, -126, 0x1.ffcp127}
)

// round is x in the format, as a float64. x is exact or rounded to odd.
func (f format) round(x float64, mode rounding) float64 {
	if x == 0 || x-x != 0 {
		return x
	}
	e := int(b64(x)>>52&0x7ff) - 1023
	if e < -1000 { // subnormal in float64: far below every format's range
		e = -1000
		x = math.Copysign(0x1p-1000, x)
	}
	shift := max(e, f.emin) - f.precision + 1
	q := math.Ldexp(x, -shift)
	switch mode {
	case roundNearest:
		q = math.RoundToEven(q)
	case roundZero:
		q = math.Trunc(q)
	case roundDown:
		q = math.Floor(q)
	case roundUp:
		q = math.Ceil(q)
	case roundAway:
		q = math.Round(q)
	}
	y := math.Ldexp(q, shift)
	if math.Abs(y) > f.max {
		switch {
		case mode == roundZero, mode == roundDown && y > 0, mode == roundUp && y < 0:
			return math.Copysign(f.max, y)
		}
		return math.Inf(int(math.Copysign(1, y)))
	}
	return y
}

// narrow32 rounds x, exact or rounded to odd, to float32.
func narrow32(x float64, mode rounding) float32 {
	r := float32(x)
	switch y := float64(r); {
	case mode == roundNearest || y == x || x-x != 0:
	case mode == roundDown && y > x, mode == roundZero && x > 0 && y > x:
		return below(r)
	case mode == roundUp && y < x, mode == roundZero && x < 0 && y < x:
		return -below(-r)
	}
	return r
}

// below is the largest float32 under r.
func below(r float32) float32 {
	switch b := b32(r); {
	case r > 0:
		return f32(b - 1)
	case r == 0:
		return f32(1<<31 | 1)
	default:
		return f32(b + 1)
	}
}

// fma32 is a·b + c rounded once.
func fma32(a, b, c float32, mode rounding) float32 {
	return narrow32(sumOdd(float64(a)*float64(b), float64(c)), mode)
}

// sum64 and mul64 are float64 arithmetic in any rounding mode.
func sum64(a, b float64, mode rounding) float64 {
	s := a + b
	if mode == roundNearest || s-s != 0 {
		if s == 0 && mode == roundDown && (a != 0 || b != 0 || math.Signbit(a) != math.Signbit(b)) {
			return math.Copysign(0, -1)
		}
		return s
	}
	v := s - a
	e := (a - (s - v)) + (b - v)
	if s == 0 && e == 0 && mode == roundDown && (a != 0 || math.Signbit(a) != math.Signbit(b)) {
		return math.Copysign(0, -1)
	}
	return nudge(s, e, mode)
}

func mul64(a, b float64, mode rounding) float64 {
	p := a * b
	if mode == roundNearest || p-p != 0 {
		return p
	}
	return nudge(p, math.FMA(a, b, -p), mode)
}

// nudge moves s, rounded to nearest with the error e, to the value of a
// directed mode.
func nudge(s, e float64, mode rounding) float64 {
	switch {
	case e == 0:
	case mode == roundUp && e > 0, mode == roundZero && s < 0 && e > 0:
		return math.Nextafter(s, math.Inf(1))
	case mode == roundDown && e < 0, mode == roundZero && s > 0 && e < 0:
		return math.Nextafter(s, math.Inf(-1))
	}
	return s
}

// halfToF32 is exact.
func halfToF32(h uint32) float32 {
	sign := h & 0x8000 << 16
	if h&0x7c00 == 0x7c00 {
		if h&0x3ff != 0 {
			return f32(nanF32)
		}
		return f32(sign | 0x7f800000)
	}
	return f32(sign | b32(f32(h&0x7fff<<13)*0x1p112))
}

// halfFrom rounds x, exact or rounded to odd, to an f16.
func halfFrom(x float64, mode rounding) uint32 {
	y := formatF16.round(x, mode)
	if y != y {
		return nanF16
	}
	sign := uint32(b64(y)>>48) & 0x8000
	switch a := math.Abs(y); {
	case a > 65504:
		return sign | 0x7c00
	case a < 0x1p-14:
		return sign | uint32(a*0x1p24)
	default:
		b := b64(a)
		return sign | uint32(int(b>>52)-1023+15)<<10 | uint32(b>>42)&0x3ff
	}
}

// bfloatToF32 is exact.
func bfloatToF32(h uint32) float32 { return f32(h << 16) }

// bfloatFrom rounds x, exact or rounded to odd, to a bf16.
func bfloatFrom(x float64, mode rounding) uint32 {
	y := formatBF16.round(x, mode)
	if y != y {
		return nanBF16
	}
	return b32(float32(y)) >> 16
}

// tf32From rounds to tf32, held in 32 bits.
func tf32From(x float64, mode rounding) uint32 {
	y := formatTF32.round(x, mode)
	if y != y {
		return nanF32
	}
	return b32(float32(y))
}

// decode is the value of the low bits of b as a float of type t.
func (t ptype) decode(b uint64) float64 {
	switch {
	case t.kind == 'h':
		return float64(bfloatToF32(uint32(b) & 0xffff))
	case t.kind == 't':
		return float64(f32(uint32(b) &^ 0x1fff))
	case t.bits == 16:
		return float64(halfToF32(uint32(b) & 0xffff))
	case t.bits == 32:
		return float64(f32w(b))
	}
	return f64(b)
}

// encode rounds x, exact or rounded to odd, to type t.
func (t ptype) encode(x float64, mode rounding) uint64 {
	switch {
	case t.kind == 'h':
		return uint64(bfloatFrom(x, mode))
	case t.kind == 't':
		return uint64(tf32From(x, mode))
	case t.bits == 16:
		return uint64(halfFrom(x, mode))
	case t.bits == 32:
		if x != x {
			return nanF32
		}
		return b32w(narrow32(x, mode))
	}
	return b64(x)
}

// signed extends the low n bits of v.
func signed(v uint64, n int) int64 { return int64(v<<(64-n)) >> (64 - n) }

// low keeps the low n bits.
func low(v uint64, n int) uint64 { return v << (64 - n) >> (64 - n) }

// mulHigh is the upper half of the product of two n-bit integers.
func mulHigh(a, b uint64, t ptype) uint64 {
	if t.bits < 64 {
		if t.kind == 's' {
			return low(uint64(signed(a, t.bits)*signed(b, t.bits)>>t.bits), t.bits)
		}
		return low(a, t.bits) * low(b, t.bits) >> t.bits
	}
	hi, _ := bits.Mul64(a, b)
	if t.kind == 's' {
		if int64(a) < 0 {
			hi -= b
		}
		if int64(b) < 0 {
			hi -= a
		}
	}
	return hi
}
