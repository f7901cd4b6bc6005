package ptx

// The table of opcodes, and the decoders of integer arithmetic.

import "math/bits"

// opcodes is a decoder for every base opcode.
var opcodes = map[string]func(*dec){
	"ld": decodeLoad, "ldu": decodeLoad, "st": decodeStore, "cvta": decodeCvta, "isspacep": decodeIsspacep,
	"membar": decodeFence, "fence": decodeFence, "prefetch": decodePrefetch, "prefetchu": decodePrefetch,
	"atom": decodeAtom, "red": decodeAtom,
	"mov": decodeMov, "selp": decodeSelp, "slct": decodeSlct, "setp": decodeSetp, "set": decodeSet,
	"add": decodeAdd, "sub": decodeAdd, "addc": decodeCarry, "subc": decodeCarry,
	"mul": decodeMul, "mad": decodeMad, "madc": decodeMadCarry, "mul24": decodeMul24, "mad24": decodeMul24,
	"div": decodeDiv, "rem": decodeRem, "abs": decodeAbs, "neg": decodeAbs, "min": decodeMin, "max": decodeMin,
	"sad": decodeSad, "dp4a": decodeDot, "dp2a": decodeDot,
	"and": decodeLogic, "or": decodeLogic, "xor": decodeLogic, "not": decodeLogic, "cnot": decodeLogic,
	"lop3": decodeLop3, "shl": decodeShift, "shr": decodeShift, "shf": decodeFunnel, "prmt": decodePrmt,
	"popc": decodeCount, "clz": decodeCount, "brev": decodeCount, "bfind": decodeFind, "fns": decodeFns,
	"bfe": decodeExtract, "bfi": decodeInsert, "bmsk": decodeBmsk, "szext": decodeSzext,
	"fma": decodeFma, "rcp": decodeApprox, "sqrt": decodeApprox, "rsqrt": decodeApprox, "sin": decodeApprox, "cos": decodeApprox,
	"lg2": decodeApprox, "ex2": decodeApprox, "tanh": decodeApprox, "testp": decodeTestp, "copysign": decodeCopysign,
	"cvt": decodeCvt,
	"bra": decodeBranch, "brx": decodeTable, "ret": decodeExit, "exit": decodeExit, "trap": decodeExit, "brkpt": decodeExit, "nanosleep": decodeSleep,
	"bar": decodeBar, "barrier": decodeBar, "shfl": decodeShfl, "vote": decodeVote, "activemask": decodeActive,
	"match": decodeMatch, "redux": decodeRedux, "elect": decodeElect,
	"cp": decodeCopy, "ldmatrix": decodeLdmatrix, "mma": decodeMma,
}

const intTypes = "u16 u32 u64 s16 s32 s64"

// two reads the types and operands of "op.t d, a, b".
func (d *dec) two(t ptype) (dst, a, b col) {
	d.operands(3, 3)
	a, b = d.src(d.arg(1), t), d.src(d.arg(2), t)
	return d.dst(d.arg(0), t), a, b
}

func (d *dec) one(t ptype) (dst, a col) {
	d.operands(2, 2)
	a = d.src(d.arg(1), t)
	return d.dst(d.arg(0), t), a
}

// extend reads an n-bit integer of type t as 64 bits.
func (t ptype) extend(v uint64) uint64 {
	if t.kind == 's' {
		return uint64(signed(v, t.bits))
	}
	return low(v, t.bits)
}

// decodeAdd is add and sub, integer or floating.
func decodeAdd(d *dec) {
	sub := d.st.op[:3] == "sub"
	mode := d.rounding("rn", "rz", "rm", "rp")
	ftz := d.has("ftz")
	sat := d.has("sat")
	cc := d.has("cc")
	t := d.typ()
	if t.float() {
		if cc {
			d.fail("carry of floating-point numbers")
		}
		d.addFloat(t, sub, mode, ftz, sat)
		return
	}
	if d.rounded || ftz || sat && t != types["s32"] || t.kind == 'b' || t.bits == 8 || cc && t.bits == 16 {
		d.fail("modifiers that integers do not have")
	}
	if cc {
		d.carry(t, sub, false, true)
		return
	}
	dst, a, b := d.two(t)
	switch {
	case t.pair:
		op := fn2(func(a, b uint64) uint64 { return a + b })
		if sub {
			op = func(a, b uint64) uint64 { return a - b }
		}
		d.in.exec = lanes2(dst, a, b, func(a, b uint64) uint64 {
			return low(op(a, b), 16) | low(op(a>>16, b>>16), 16)<<16
		})
	case sat:
		d.in.exec = lanes2(dst, a, b, func(a, b uint64) uint64 {
			v := signed(a, 32)
			if sub {
				v -= signed(b, 32)
			} else {
				v += signed(b, 32)
			}
			return low(uint64(min(max(v, -1<<31), 1<<31-1)), 32)
		})
	case t.bits == 32 && sub:
		d.in.exec = rows2(dst, a, b, sub32)
	case t.bits == 32:
		d.in.exec = rows2(dst, a, b, add32)
	case t.bits == 64 && sub:
		d.in.exec = wide2(dst, a, b, sub64row)
	case t.bits == 64:
		d.in.exec = wide2(dst, a, b, add64)
	case sub:
		d.in.exec = lanes2(dst, a, b, func(a, b uint64) uint64 { return low(a-b, 16) })
	default:
		d.in.exec = lanes2(dst, a, b, func(a, b uint64) uint64 { return low(a+b, 16) })
	}
}

// decodeCarry is addc and subc.
func decodeCarry(d *dec) {
	cc := d.has("cc")
	t := d.typeOf("u32 s32 u64 s64")
	d.carry(t, d.st.op[:3] == "sub", true, cc)
}

// carry is addition with carry: the condition code is a hidden predicate.
func (d *dec) carry(t ptype, sub, in, out bool) {
	dst, a, b := d.two(t)
	d.in.exec = func(w *warp, m uint32) {
		A, B := w.load(a, 0), w.load(b, 1)
		for mm := m; mm != 0; mm &= mm - 1 {
			i := bits.TrailingZeros32(mm) & 31
			y := B[i]
			c := uint64(0)
			if in {
				c = uint64(w.cc >> i & 1)
			}
			if sub { // a - b is a + ^b + 1; the flag is the borrow
				y, c = low(^y, t.bits), 1-c
			}
			s, o := bits.Add64(A[i], y, c)
			if t.bits == 32 {
				o = s >> 32 & 1
				s = low(s, 32)
			}
			if sub {
				o = 1 - o
			}
			if out {
				w.cc = w.cc&^(1<<i) | uint32(o)<<i
			}
			w.tmp6[i] = s
		}
		scatter(w, dst, m, &w.tmp6)
	}
}

// decodeMul is mul, integer or floating.
func decodeMul(d *dec) {
	mode := d.rounding("rn", "rz", "rm", "rp")
	ftz := d.has("ftz")
	sat := d.has("sat")
	part := d.opt("lo", "hi", "wide")
	t := d.typ()
	if t.float() {
		if part != "" {
			d.fail("modifier .%s of floating-point numbers", part)
		}
		d.mulFloat(t, mode, ftz, sat)
		return
	}
	d.integer(t)
	if part == "" || d.rounded || ftz || sat {
		d.fail("want .lo, .hi or .wide and nothing else")
	}
	d.operands(3, 3)
	a, b := d.src(d.arg(1), t), d.src(d.arg(2), t)
	switch {
	case part == "wide":
		dst := d.dst(d.arg(0), d.twice(t))
		if t.bits == 32 {
			d.in.exec = mulWide(dst, a, b, t.kind == 's')
			return
		}
		d.in.exec = lanes2(dst, a, b, func(a, b uint64) uint64 { return low(t.extend(a)*t.extend(b), 32) })
	case part == "hi":
		d.in.exec = lanes2(d.dst(d.arg(0), t), a, b, func(a, b uint64) uint64 { return mulHigh(a, b, t) })
	case t.bits == 32:
		d.in.exec = rows2(d.dst(d.arg(0), t), a, b, mul32)
	case t.bits == 64:
		d.in.exec = wide2(d.dst(d.arg(0), t), a, b, mul64row)
	default:
		d.in.exec = lanes2(d.dst(d.arg(0), t), a, b, func(a, b uint64) uint64 { return low(a*b, t.bits) })
	}
}

func (d *dec) integer(t ptype) {
	if t.kind != 'u' && t.kind != 's' || t.pair || t.bits < 16 {
		d.fail("type .%s, want an integer of 16, 32 or 64 bits", t)
	}
}

func (d *dec) twice(t ptype) ptype {
	if t.bits == 64 {
		d.fail("there is no type twice as wide")
	}
	return ptype{t.kind, 2 * t.bits, false}
}

func mulWide(dst, a, b col, sign bool) func(w *warp, m uint32) {
	return func(w *warp, m uint32) {
		A, B, D := w.c32(a.idx), w.c32(b.idx), &w.tmp6
		if m == allLanes {
			D = &w.r64[dst.idx]
		}
		if sign {
			for i := range D {
				D[i] = uint64(int64(int32(A[i])) * int64(int32(B[i])))
			}
		} else {
			for i := range D {
				D[i] = uint64(A[i]) * uint64(B[i])
			}
		}
		if m != allLanes {
			scatter(w, dst, m, D)
		}
	}
}

// decodeMad is mad: integer, or fma under its old name.
func decodeMad(d *dec) {
	part := d.opt("lo", "hi", "wide")
	if part == "" {
		decodeFma(d)
		return
	}
	sat := d.has("sat")
	cc := d.has("cc")
	t := d.typ()
	d.integer(t)
	d.operands(4, 4)
	if sat && (part != "hi" || t != types["s32"]) {
		d.fail(".sat is for mad.hi.s32")
	}
	if cc {
		d.madCarry(part, t, false, true)
		return
	}
	a, b := d.src(d.arg(1), t), d.src(d.arg(2), t)
	if part == "wide" {
		c := d.src(d.arg(3), d.twice(t))
		d.in.exec = lanes3(d.dst(d.arg(0), d.twice(t)), a, b, c, func(a, b, c uint64) uint64 {
			return low(t.extend(a)*t.extend(b)+c, 2*t.bits)
		})
		return
	}
	c := d.src(d.arg(3), t)
	dst := d.dst(d.arg(0), t)
	switch {
	case part == "lo" && t.bits == 32:
		d.in.exec = rows3(dst, a, b, c, mad32)
	case part == "lo":
		d.in.exec = lanes3(dst, a, b, c, func(a, b, c uint64) uint64 { return low(a*b+c, t.bits) })
	case sat:
		d.in.exec = lanes3(dst, a, b, c, func(a, b, c uint64) uint64 {
			v := signed(mulHigh(a, b, t), 32) + signed(c, 32)
			return low(uint64(min(max(v, -1<<31), 1<<31-1)), 32)
		})
	default:
		d.in.exec = lanes3(dst, a, b, c, func(a, b, c uint64) uint64 { return low(mulHigh(a, b, t)+c, t.bits) })
	}
}

func decodeMadCarry(d *dec) {
	part := d.need("lo", "hi")
	cc := d.has("cc")
	t := d.typeOf("u32 s32 u64 s64")
	d.madCarry(part, t, true, cc)
}

func (d *dec) madCarry(part string, t ptype, in, out bool) {
	if part == "wide" || t.bits == 16 {
		d.fail("carry of this form")
	}
	d.operands(4, 4)
	a, b, c := d.src(d.arg(1), t), d.src(d.arg(2), t), d.src(d.arg(3), t)
	dst := d.dst(d.arg(0), t)
	d.in.exec = func(w *warp, m uint32) {
		A, B, C := w.load(a, 0), w.load(b, 1), w.load(c, 2)
		for mm := m; mm != 0; mm &= mm - 1 {
			i := bits.TrailingZeros32(mm) & 31
			p := low(A[i]*B[i], t.bits)
			if part == "hi" {
				p = mulHigh(A[i], B[i], t)
			}
			carry := uint64(0)
			if in {
				carry = uint64(w.cc >> i & 1)
			}
			s, o := bits.Add64(p, C[i], carry)
			if t.bits == 32 {
				s, o = low(s, 32), s>>32&1
			}
			if out {
				w.cc = w.cc&^(1<<i) | uint32(o)<<i
			}
			w.tmp6[i] = s
		}
		scatter(w, dst, m, &w.tmp6)
	}
}

func decodeMul24(d *dec) {
	part := d.need("lo", "hi")
	t := d.typeOf("u32 s32")
	mad := d.st.op[:3] == "mad"
	e := ptype{t.kind, 24, false}
	product := func(a, b uint64) uint64 {
		p := e.extend(a) * e.extend(b)
		if part == "hi" {
			p >>= 16
		}
		return p
	}
	if !mad {
		dst, a, b := d.two(t)
		d.in.exec = lanes2(dst, a, b, func(a, b uint64) uint64 { return low(product(a, b), 32) })
		return
	}
	d.operands(4, 4)
	a, b, c := d.src(d.arg(1), t), d.src(d.arg(2), t), d.src(d.arg(3), t)
	d.in.exec = lanes3(d.dst(d.arg(0), t), a, b, c, func(a, b, c uint64) uint64 { return low(product(a, b)+c, 32) })
}

// decodeRem is rem. The hardware's result for a divisor of zero is a.
func decodeRem(d *dec) {
	t := d.typ()
	d.integer(t)
	dst, a, b := d.two(t)
	d.in.exec = lanes2(dst, a, b, func(a, b uint64) uint64 {
		x, y := t.extend(a), t.extend(b)
		switch {
		case y == 0:
			return a
		case t.kind == 's' && int64(y) == -1:
			return 0
		case t.kind == 's':
			return low(uint64(int64(x)%int64(y)), t.bits)
		}
		return x % y
	})
}

// divide is integer division. By zero it is all ones, as on the hardware.
func divide(t ptype) fn2 {
	return func(a, b uint64) uint64 {
		x, y := t.extend(a), t.extend(b)
		switch {
		case y == 0:
			return low(^uint64(0), t.bits)
		case t.kind == 's' && int64(y) == -1:
			return low(-x, t.bits)
		case t.kind == 's':
			return low(uint64(int64(x)/int64(y)), t.bits)
		}
		return x / y
	}
}

// decodeAbs is abs and neg.
func decodeAbs(d *dec) {
	abs := d.st.op[:3] == "abs"
	ftz := d.has("ftz")
	t := d.typ()
	if !t.float() {
		if t.kind != 's' || t.pair || t.bits == 8 || ftz {
			d.fail("type .%s, want a signed integer or a float", t)
		}
		dst, a := d.one(t)
		d.in.exec = lanes1(dst, a, func(a uint64) uint64 {
			if v := signed(a, t.bits); !abs || v < 0 {
				return low(uint64(-v), t.bits)
			}
			return a
		})
		return
	}
	if t.kind == 't' {
		d.fail("type .tf32 has no arithmetic")
	}
	sign := uint64(1) << (t.bits - 1)
	if t.pair {
		sign = 0x80008000
	}
	dst, a := d.one(t)
	if t == types["f32"] && !ftz {
		d.in.exec = rows1(dst, a, map[bool]func(d, a *row32){true: abs32f, false: neg32f}[abs])
		return
	}
	d.in.exec = lanes1(dst, a, func(a uint64) uint64 {
		if ftz {
			a = t.flush(a)
		}
		if abs {
			return a &^ sign
		}
		return a ^ sign
	})
}

func decodeSad(d *dec) {
	t := d.typ()
	d.integer(t)
	d.operands(4, 4)
	a, b, c := d.src(d.arg(1), t), d.src(d.arg(2), t), d.src(d.arg(3), t)
	d.in.exec = lanes3(d.dst(d.arg(0), t), a, b, c, func(a, b, c uint64) uint64 {
		x, y := t.extend(a), t.extend(b)
		if t.kind == 's' && int64(x) < int64(y) || t.kind != 's' && x < y {
			x, y = y, x
		}
		return low(c+x-y, t.bits)
	})
}

// decodeDot is dp4a and dp2a.
func decodeDot(d *dec) {
	two := d.st.op[:4] == "dp2a"
	shift := 0
	if two && d.need("lo", "hi") == "hi" {
		shift = 16
	}
	ta, tb := d.typeOf("u32 s32"), d.typeOf("u32 s32")
	d.operands(4, 4)
	a, b := d.src(d.arg(1), ta), d.src(d.arg(2), tb)
	c := d.src(d.arg(3), types["b32"])
	n, wa := 4, 8
	if two {
		n, wa = 2, 16
	}
	ea, eb := ptype{ta.kind, wa, false}, ptype{tb.kind, 8, false}
	d.in.exec = lanes3(d.dst(d.arg(0), types["b32"]), a, b, c, func(a, b, c uint64) uint64 {
		b >>= shift
		for i := range n {
			c += ea.extend(a>>(wa*i)) * eb.extend(b>>(8*i))
		}
		return low(c, 32)
	})
}
