package ptx

// Decoders of floating-point arithmetic.

import "math"

// flush turns subnormal float32 into zero; other types are left alone.
func (t ptype) flush(a uint64) uint64 {
	if t.kind == 'f' && t.bits == 32 && !t.pair {
		return uint64(flushBits(uint32(a)))
	}
	return a
}

// arith checks a type of arithmetic.
func (d *dec) arith(t ptype, mode rounding, ftz, sat bool) {
	half := t.bits == 16 || t.pair
	switch {
	case t.kind == 't':
		d.fail("type .tf32 has no arithmetic")
	case half && mode != roundNearest:
		d.fail("half precision rounds to nearest only")
	case t.bits == 64 && (ftz || sat):
		d.fail("modifiers that .f64 does not have")
	case t.kind == 'h' && ftz:
		d.fail("modifier .ftz of .bf16")
	}
}

// half applies f to the number, or to both of a pair. f works on float64 and
// its result is exact or rounded to odd.
func halfOp(t ptype, ftz, sat, relu bool, f func(a, b, c float64) float64) fn3 {
	one := t
	one.pair, one.bits = false, 16
	small := func(h uint64) uint64 {
		if ftz && h&0x7c00 == 0 {
			return h & 0x8000
		}
		return h
	}
	do := func(a, b, c uint64) uint64 {
		x := f(one.decode(small(a)), one.decode(small(b)), one.decode(small(c)))
		switch {
		case sat:
			x = saturate(x)
		case relu && x < 0:
			x = 0
		}
		return small(one.encode(x, roundNearest))
	}
	if !t.pair {
		return do
	}
	return func(a, b, c uint64) uint64 {
		return do(a&0xffff, b&0xffff, c&0xffff) | do(a>>16, b>>16, c>>16)<<16
	}
}

// saturate clamps to [0, 1]; NaN becomes 0.
func saturate(x float64) float64 {
	switch {
	case x >= 1:
		return 1
	case x > 0:
		return x
	}
	return 0
}

// finish32 wraps a float32 function of any rounding with .ftz and .sat.
func finish32(ftz, sat bool, f func(a, b, c float32) float32) fn3 {
	return func(a, b, c uint64) uint64 {
		if ftz {
			a, b, c = uint64(flushBits(uint32(a))), uint64(flushBits(uint32(b))), uint64(flushBits(uint32(c)))
		}
		x := f(f32w(a), f32w(b), f32w(c))
		if sat {
			x = float32(saturate(float64(x)))
		}
		r := canon(x)
		if ftz {
			r = flushBits(r)
		}
		return uint64(r)
	}
}

func (d *dec) addFloat(t ptype, sub bool, mode rounding, ftz, sat bool) {
	d.arith(t, mode, ftz, sat)
	dst, a, b := d.two(t)
	d.in.flops = 1
	sign := float64(1)
	if sub {
		sign = -1
	}
	switch {
	case t.pair:
		d.in.flops = 2
		fallthrough
	case t.bits == 16:
		d.in.exec = lanes3(dst, a, b, b, halfOp(t, ftz, sat, false, func(a, b, _ float64) float64 { return sumOdd(a, sign*b) }))
	case t.bits == 64:
		d.in.exec = lanes2(dst, a, b, func(a, b uint64) uint64 { return b64(sum64(f64(a), sign*f64(b), mode)) })
	case mode == roundNearest && !ftz && !sat && sub:
		d.in.exec = rows2(dst, a, b, subF32)
	case mode == roundNearest && !ftz && !sat:
		d.in.exec = rows2(dst, a, b, addF32)
	default:
		d.in.exec = lanes3(dst, a, b, b, finish32(ftz, sat, func(a, b, _ float32) float32 { return add32f(a, float32(sign)*b, mode) }))
	}
}

// add32f is a + b; the sum of two numbers that cancel is -0 rounding down.
func add32f(a, b float32, mode rounding) float32 {
	s := narrow32(sumOdd(float64(a), float64(b)), mode)
	if s == 0 && mode == roundDown && (a != 0 || math.Signbit(float64(a)) != math.Signbit(float64(b))) {
		return float32(math.Copysign(0, -1))
	}
	return s
}

func (d *dec) mulFloat(t ptype, mode rounding, ftz, sat bool) {
	d.arith(t, mode, ftz, sat)
	dst, a, b := d.two(t)
	d.in.flops = 1
	switch {
	case t.pair:
		d.in.flops = 2
		fallthrough
	case t.bits == 16:
		d.in.exec = lanes3(dst, a, b, b, halfOp(t, ftz, sat, false, func(a, b, _ float64) float64 { return a * b }))
	case t.bits == 64:
		d.in.exec = lanes2(dst, a, b, func(a, b uint64) uint64 { return b64(mul64(f64(a), f64(b), mode)) })
	case mode == roundNearest && !ftz && !sat:
		d.in.exec = rows2(dst, a, b, mulF32)
	default:
		d.in.exec = lanes3(dst, a, b, b, finish32(ftz, sat, func(a, b, _ float32) float32 {
			return narrow32(float64(a)*float64(b), mode)
		}))
	}
}

// decodeFma is fma, and mad of floating-point types.
func decodeFma(d *dec) {
	mode := d.rounding("rn", "rz", "rm", "rp")
	ftz := d.has("ftz")
	sat := d.has("sat")
	relu := d.has("relu")
	t := d.typeOf("f16 f16x2 bf16 bf16x2 f32 f64")
	d.arith(t, mode, ftz, sat)
	d.operands(4, 4)
	if relu && t.bits != 16 && !t.pair {
		d.fail("modifier .relu of .%s", t)
	}
	a, b, c := d.src(d.arg(1), t), d.src(d.arg(2), t), d.src(d.arg(3), t)
	dst := d.dst(d.arg(0), t)
	d.in.flops = 2
	switch {
	case t.pair:
		d.in.flops = 4
		fallthrough
	case t.bits == 16:
		d.in.exec = lanes3(dst, a, b, c, halfOp(t, ftz, sat, relu, func(a, b, c float64) float64 { return sumOdd(a*b, c) }))
	case t.bits == 64:
		if mode != roundNearest {
			d.fail("fma.f64 rounds to nearest only here")
		}
		d.in.exec = lanes3(dst, a, b, c, func(a, b, c uint64) uint64 { return b64(math.FMA(f64(a), f64(b), f64(c))) })
	case mode == roundNearest && !ftz && !sat:
		d.in.exec = rows3(dst, a, b, c, fmaRow)
	default:
		d.in.exec = lanes3(dst, a, b, c, finish32(ftz, sat, func(a, b, c float32) float32 {
			r := fma32(a, b, c, mode)
			if p := float64(a) * float64(b); r == 0 && mode == roundDown && p+float64(c) == 0 && (p != 0 || math.Signbit(p) != math.Signbit(float64(c))) {
				return float32(math.Copysign(0, -1))
			}
			return r
		}))
	}
}

// divOdd is a/b rounded to odd.
func divOdd(a, b float64) float64 {
	q := a / b
	if q-q != 0 || q == 0 {
		return q
	}
	// The remainder is exact, its sign says on which side the quotient lies.
	r := math.FMA(-q, b, a)
	if x := b64(q); r != 0 && x&1 == 0 {
		if (r > 0) == (b > 0) == (q > 0) {
			return f64(x + 1)
		}
		return f64(x - 1)
	}
	return q
}

// sqrtOdd is the square root rounded to odd.
func sqrtOdd(a float64) float64 {
	q := math.Sqrt(a)
	if q-q != 0 || q == 0 {
		return q
	}
	r := math.FMA(-q, q, a)
	if x := b64(q); r != 0 && x&1 == 0 {
		if r > 0 {
			return f64(x + 1)
		}
		return f64(x - 1)
	}
	return q
}

func decodeDiv(d *dec) {
	kind := d.opt("approx", "full", "rn", "rz", "rm", "rp")
	ftz := d.has("ftz")
	t := d.typ()
	if t.integer() {
		d.integer(t)
		if kind != "" || ftz {
			d.fail("modifiers that integers do not have")
		}
		dst, a, b := d.two(t)
		d.in.exec = lanes2(dst, a, b, divide(t))
		return
	}
	mode := roundings[kind]
	dst, a, b := d.two(t)
	d.in.flops = 1
	switch {
	case t == types["f64"]:
		if kind != "rn" || ftz {
			d.fail("div.f64 is div.rn.f64 here")
		}
		d.in.exec = lanes2(dst, a, b, func(a, b uint64) uint64 { return b64(f64(a) / f64(b)) })
	case t == types["f32"] && kind != "":
		d.in.exec = lanes3(dst, a, b, b, finish32(ftz, false, func(a, b, _ float32) float32 {
			if mode == roundNearest {
				return a / b
			}
			return narrow32(divOdd(float64(a), float64(b)), mode)
		}))
	default:
		d.fail("want div with .approx, .full or a rounding mode, of .f32 or .f64")
	}
}

// pick32 is min or max of float32 where they are equal or a NaN is among them.
func pick32(a, b uint64, less, nan bool) uint64 {
	x, y := f32w(a), f32w(b)
	switch {
	case x != x && y != y, nan && (x != x || y != y):
		return nanF32
	case x != x:
		return b
	case y != y:
		return a
	case x == y: // -0 is below +0
		if less == (a>>31 != 0) {
			return a
		}
		return b
	case (x < y) == less:
		return a
	}
	return b
}

// decodeMin is min and max.
func decodeMin(d *dec) {
	less := d.st.op[:3] == "min"
	ftz := d.has("ftz")
	nan := d.has("NaN")
	xor := d.has("xorsign")
	if xor {
		d.need("abs")
	}
	relu := d.has("relu")
	t := d.typ()
	if t.integer() {
		if ftz || nan || xor || t.kind == 'b' || t.bits == 8 {
			d.fail("modifiers that integers do not have")
		}
		d.minInt(t, less, relu)
		return
	}
	if t.kind == 't' || t.bits == 64 && (ftz || nan || xor) || relu {
		d.fail("modifiers that .%s does not have here", t)
	}
	d.operands(3, 3)
	dst, a, b := d.two(t)
	if t == types["f32"] && !nan && !ftz && !xor {
		d.in.exec = rows2(dst, a, b, map[bool]func(d, a, b *row32){true: minF32, false: maxF32}[less])
		return
	}
	one := t
	if t.pair {
		one = ptype{t.kind, 16, false}
	}
	f := func(a, b uint64) uint64 { return minFloat(one, a, b, less, nan, ftz, xor) }
	if t.pair {
		g := f
		f = func(a, b uint64) uint64 { return g(a&0xffff, b&0xffff) | g(a>>16, b>>16)<<16 }
	}
	d.in.exec = lanes2(dst, a, b, f)
}

func minFloat(t ptype, a, b uint64, less, nan, ftz, xor bool) uint64 {
	if ftz {
		a, b = t.flush(a), t.flush(b)
		if t.bits == 16 {
			if a&0x7c00 == 0 {
				a &= 0x8000
			}
			if b&0x7c00 == 0 {
				b &= 0x8000
			}
		}
	}
	sign := uint64(1) << (t.bits - 1)
	s := uint64(0)
	if xor {
		s = (a ^ b) & sign
		a, b = a&^sign, b&^sign
	}
	x, y := t.decode(a), t.decode(b)
	var r uint64
	switch {
	case x != x && y != y, nan && (x != x || y != y):
		return map[int]uint64{16: nanF16, 32: nanF32, 64: 0x7fffffffffffffff}[t.bits]
	case x != x:
		r = b
	case y != y:
		r = a
	case x == y:
		r = b
		if less == (a&sign != 0) {
			r = a
		}
	case (x < y) == less:
		r = a
	default:
		r = b
	}
	return r | s
}

func (d *dec) minInt(t ptype, less, relu bool) {
	if relu && t != types["s32"] && t != types["s16x2"] {
		d.fail("modifier .relu of .%s", t)
	}
	one := t
	if t.pair {
		one = ptype{t.kind, 16, false}
	}
	f := func(a, b uint64) uint64 {
		x, y := one.extend(a), one.extend(b)
		small := x < y
		if t.kind == 's' {
			small = int64(x) < int64(y)
		}
		if small != less {
			x = y
		}
		if relu && int64(x) < 0 {
			x = 0
		}
		return low(x, one.bits)
	}
	if t.pair {
		g := f
		f = func(a, b uint64) uint64 { return g(a, b) | g(a>>16, b>>16)<<16 }
	}
	dst, a, b := d.two(t)
	d.in.exec = lanes2(dst, a, b, f)
}

// approx is the functions that the hardware approximates. Here they are
// correctly rounded or nearly so: results differ from a GPU's in the last bits.
var approx = map[string]func(float64) float64{
	"rcp":   func(x float64) float64 { return 1 / x },
	"sqrt":  math.Sqrt,
	"rsqrt": func(x float64) float64 { return 1 / math.Sqrt(x) },
	"sin":   math.Sin,
	"cos":   math.Cos,
	"lg2":   math.Log2,
	"ex2":   math.Exp2,
	"tanh":  math.Tanh,
}

// decodeApprox is rcp, sqrt, rsqrt, sin, cos, lg2, ex2 and tanh.
func decodeApprox(d *dec) {
	op, _, _ := cutOp(d.st.op)
	f := approx[op]
	kind := d.need("approx", "rn", "rz", "rm", "rp")
	ftz := d.has("ftz")
	t := d.typeOf("f32 f64 f16 f16x2 bf16 bf16x2")
	exact := kind != "approx"
	mode := roundings[kind]
	half := t.bits == 16 || t.pair
	switch {
	case exact && op != "rcp" && op != "sqrt", half && op != "ex2" && op != "tanh":
		d.fail("no such form")
	case t.bits == 64 && op != "rcp" && op != "sqrt" && op != "rsqrt", t.bits == 64 && exact && mode != roundNearest:
		d.fail("no such form of .f64 here")
	}
	dst, a := d.one(t)
	d.in.flops = 1
	switch {
	case half:
		g := halfOp(t, ftz, false, false, func(a, _, _ float64) float64 { return f(a) })
		d.in.exec = lanes1(dst, a, func(a uint64) uint64 { return g(a, a, a) })
	case t.bits == 64:
		d.in.exec = lanes1(dst, a, func(a uint64) uint64 { return b64(f(f64(a))) })
	default:
		if exact && mode != roundNearest {
			f = map[string]func(float64) float64{"rcp": func(x float64) float64 { return divOdd(1, x) }, "sqrt": sqrtOdd}[op]
		}
		d.in.exec = lanes1(dst, a, func(a uint64) uint64 {
			if ftz {
				a = uint64(flushBits(uint32(a)))
			}
			r := canon(narrow32(f(float64(f32w(a))), mode))
			if ftz {
				r = flushBits(r)
			}
			return uint64(r)
		})
	}
}

// decodeTestp is testp: the class of a number.
func decodeTestp(d *dec) {
	what := d.need("finite", "infinite", "number", "notanumber", "normal", "subnormal")
	t := d.typeOf("f32 f64")
	d.operands(2, 2)
	a := d.src(d.arg(1), t)
	p := d.predDst(d.arg(0))
	tiny := 0x1p-126
	if t.bits == 64 {
		tiny = 0x1p-1022
	}
	test := map[string]func(x float64) bool{
		"finite":     func(x float64) bool { return x-x == 0 },
		"infinite":   func(x float64) bool { return math.IsInf(x, 0) },
		"number":     func(x float64) bool { return x == x },
		"notanumber": func(x float64) bool { return x != x },
		"normal":     func(x float64) bool { return x-x == 0 && math.Abs(x) >= tiny },
		"subnormal":  func(x float64) bool { return x != 0 && math.Abs(x) < tiny },
	}[what]
	d.in.exec = func(w *warp, m uint32) {
		A := w.load(a, 0)
		var v uint32
		for i := range A {
			if test(t.decode(A[i])) {
				v |= 1 << i
			}
		}
		w.putPred(p, m, v)
	}
}

// decodeCopysign is copysign: the sign of a on the magnitude of b.
func decodeCopysign(d *dec) {
	t := d.typeOf("f32 f64")
	dst, a, b := d.two(t)
	sign := uint64(1) << (t.bits - 1)
	d.in.exec = lanes2(dst, a, b, func(a, b uint64) uint64 { return a&sign | b&^sign })
}
