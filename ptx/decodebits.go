package ptx

// Decoders of logic, shifts and the manipulation of bits.

import "math/bits"

// decodeLogic is and, or, xor, not and cnot, of bits or predicates.
func decodeLogic(d *dec) {
	op, _, _ := cutOp(d.st.op)
	t := d.typeOf("pred b16 b32 b64")
	if t.kind == 'p' {
		d.logicPred(op)
		return
	}
	if op == "not" || op == "cnot" {
		dst, a := d.one(t)
		d.in.exec = lanes1(dst, a, func(a uint64) uint64 {
			if op == "cnot" {
				if a == 0 {
					return 1
				}
				return 0
			}
			return low(^a, t.bits)
		})
		return
	}
	dst, a, b := d.two(t)
	if t.bits == 32 {
		d.in.exec = rows2(dst, a, b, map[string]func(d, a, b *row32){"and": and32, "or": or32, "xor": xor32}[op])
		return
	}
	d.in.exec = lanes2(dst, a, b, map[string]fn2{
		"and": func(a, b uint64) uint64 { return a & b },
		"or":  func(a, b uint64) uint64 { return a | b },
		"xor": func(a, b uint64) uint64 { return a ^ b },
	}[op])
}

func cutOp(op string) (base, rest string, ok bool) {
	for i := range len(op) {
		if op[i] == '.' {
			return op[:i], op[i+1:], true
		}
	}
	return op, "", false
}

func (d *dec) logicPred(op string) {
	n := 3
	switch op {
	case "not":
		n = 2
	case "cnot":
		d.fail("type .pred")
	}
	d.operands(n, n)
	a, na := d.predOr(d.arg(1))
	b, nb := int32(0), false
	if n == 3 {
		b, nb = d.predOr(d.arg(2))
	}
	p := d.predDst(d.arg(0))
	d.in.exec = func(w *warp, m uint32) {
		x := w.predicate(a, na)
		switch op {
		case "not":
			x = ^x
		case "and":
			x &= w.predicate(b, nb)
		case "or":
			x |= w.predicate(b, nb)
		case "xor":
			x ^= w.predicate(b, nb)
		}
		w.putPred(p, m, x)
	}
}

// predOr is a predicate operand, or a constant: -1 is false, so !-1 is true.
func (d *dec) predOr(a *arg) (int32, bool) {
	if a.kind == argImm {
		return -1, (a.imm != 0) != a.neg
	}
	return d.pred(a)
}

func (w *warp) predicate(p int32, not bool) uint32 {
	var v uint32
	if p >= 0 {
		v = w.pred[p]
	}
	if not {
		return ^v
	}
	return v
}

func (w *warp) putPred(p int32, m, v uint32) {
	if p >= 0 {
		w.pred[p] = w.pred[p]&^m | v&m
	}
}

// decodeLop3 is lop3: any function of three bits, by its truth table.
func decodeLop3(d *dec) {
	if op := d.opt("and", "or"); op != "" {
		d.fail("the form with a predicate is not supported")
	}
	t := d.typeOf("b32")
	d.operands(5, 5)
	a, b, c := d.src(d.arg(1), t), d.src(d.arg(2), t), d.src(d.arg(3), t)
	if d.arg(4).kind != argImm || d.arg(4).imm > 255 {
		d.fail("the table is no number from 0 to 255")
	}
	table := d.arg(4).imm
	d.in.exec = lanes3(d.dst(d.arg(0), t), a, b, c, func(a, b, c uint64) uint64 {
		var v uint64
		for i := range uint64(8) {
			if table>>i&1 != 0 {
				x, y, z := a, b, c
				if i&4 == 0 {
					x = ^x
				}
				if i&2 == 0 {
					y = ^y
				}
				if i&1 == 0 {
					z = ^z
				}
				v |= x & y & z
			}
		}
		return low(v, 32)
	})
}

// decodeShift is shl and shr; amounts past the width shift everything out.
func decodeShift(d *dec) {
	left := d.st.op[:3] == "shl"
	t := d.typ()
	if !t.integer() || t.pair || t.bits == 8 || left && t.kind != 'b' {
		d.fail("type .%s", t)
	}
	d.operands(3, 3)
	a, b := d.src(d.arg(1), t), d.src(d.arg(2), types["u32"])
	dst := d.dst(d.arg(0), t)
	switch {
	case t.bits == 32 && left:
		d.in.exec = rows2(dst, a, b, shl32)
	case t.bits == 32 && t.kind == 's':
		d.in.exec = rows2(dst, a, b, sra32)
	case t.bits == 32:
		d.in.exec = rows2(dst, a, b, shr32)
	case t.bits == 64 && left:
		d.in.exec = shiftWide(dst, a, b, shl64)
	case t.bits == 64 && t.kind == 's':
		d.in.exec = shiftWide(dst, a, b, sra64)
	case t.bits == 64:
		d.in.exec = shiftWide(dst, a, b, shr64)
	case left:
		d.in.exec = lanes2(dst, a, b, func(a, b uint64) uint64 { return low(a<<b, t.bits) })
	case t.kind == 's':
		d.in.exec = lanes2(dst, a, b, func(a, b uint64) uint64 { return low(uint64(signed(a, t.bits)>>b), t.bits) })
	default:
		d.in.exec = lanes2(dst, a, b, func(a, b uint64) uint64 { return a >> b })
	}
}

// decodeFunnel is shf: a shift of two registers joined.
func decodeFunnel(d *dec) {
	left := d.need("l", "r") == "l"
	clamp := d.need("clamp", "wrap") == "clamp"
	t := d.typeOf("b32")
	d.operands(4, 4)
	a, b, c := d.src(d.arg(1), t), d.src(d.arg(2), t), d.src(d.arg(3), types["u32"])
	d.in.exec = lanes3(d.dst(d.arg(0), t), a, b, c, func(a, b, c uint64) uint64 {
		if clamp {
			c = min(c, 32)
		} else {
			c &= 31
		}
		v := b<<32 | a
		if left {
			return low(v<<c>>32, 32)
		}
		return low(v>>c, 32)
	})
}

// decodePrmt is prmt: a choice of four bytes out of eight.
func decodePrmt(d *dec) {
	mode := "b32"
	t := d.typeOf("b32")
	if m := d.opt("f4e", "b4e", "rc8", "ecl", "ecr", "rc16"); m != "" {
		mode = m
	}
	d.operands(4, 4)
	a, b, c := d.src(d.arg(1), t), d.src(d.arg(2), t), d.src(d.arg(3), t)
	d.in.exec = lanes3(d.dst(d.arg(0), t), a, b, c, func(a, b, c uint64) uint64 {
		all := b<<32 | a
		var v uint64
		for i := range uint64(4) {
			s := c >> (4 * i) & 15
			switch k := c & 3; mode {
			case "f4e":
				s = (k + i) & 7
			case "b4e":
				s = (k - i) & 7
			case "rc8":
				s = k
			case "ecl":
				s = max(k, i)
			case "ecr":
				s = min(k, i)
			case "rc16":
				s = c&1*2 + i&1
			}
			x := all >> (8 * (s & 7)) & 255
			if s&8 != 0 { // the sign of the byte, eight times
				x = uint64(signed(x, 8)>>7) & 255
			}
			v |= x << (8 * i)
		}
		return v
	})
}

func decodeCount(d *dec) {
	op, _, _ := cutOp(d.st.op)
	t := d.typeOf("b32 b64")
	d.operands(2, 2)
	a := d.src(d.arg(1), t)
	r := types["u32"]
	if op == "brev" {
		r = t
	}
	d.in.exec = lanes1(d.dst(d.arg(0), r), a, func(a uint64) uint64 {
		switch op {
		case "popc":
			return uint64(bits.OnesCount64(a))
		case "clz":
			return uint64(bits.LeadingZeros64(a) - 64 + t.bits)
		}
		return bits.Reverse64(a) >> (64 - t.bits)
	})
}

// decodeFind is bfind: the highest bit that differs from the sign.
func decodeFind(d *dec) {
	amount := d.has("shiftamt")
	t := d.typeOf("u32 u64 s32 s64")
	d.operands(2, 2)
	a := d.src(d.arg(1), t)
	d.in.exec = lanes1(d.dst(d.arg(0), types["u32"]), a, func(a uint64) uint64 {
		if t.kind == 's' && signed(a, t.bits) < 0 {
			a = low(^a, t.bits)
		}
		at := bits.Len64(a) - 1
		if at < 0 {
			return allLanes
		}
		if amount {
			at = t.bits - 1 - at
		}
		return uint64(at)
	})
}

// decodeFns is fns: the n-th set bit from a base.
func decodeFns(d *dec) {
	d.typeOf("b32")
	d.operands(4, 4)
	u, s := types["u32"], types["s32"]
	a, b, c := d.src(d.arg(1), u), d.src(d.arg(2), u), d.src(d.arg(3), s)
	d.in.exec = lanes3(d.dst(d.arg(0), u), a, b, c, func(mask, base, offset uint64) uint64 {
		n, step := signed(offset, 32), int64(1)
		at := int64(base & 31)
		if n == 0 {
			if mask>>at&1 != 0 {
				return uint64(at)
			}
			return allLanes
		}
		if n < 0 {
			n, step = -n, -1
		}
		for ; at >= 0 && at < 32; at += step {
			if mask>>at&1 != 0 {
				if n--; n == 0 {
					return uint64(at)
				}
			}
		}
		return allLanes
	})
}

func decodeExtract(d *dec) {
	t := d.typeOf("u32 u64 s32 s64")
	d.operands(4, 4)
	u := types["u32"]
	a, b, c := d.src(d.arg(1), t), d.src(d.arg(2), u), d.src(d.arg(3), u)
	d.in.exec = lanes3(d.dst(d.arg(0), t), a, b, c, func(a, pos, n uint64) uint64 {
		pos, n = pos&255, n&255
		sign := uint64(0)
		if t.kind == 's' && n > 0 {
			sign = a >> min(pos+n-1, uint64(t.bits-1)) & 1
		}
		v := a >> pos
		if pos+n > uint64(t.bits) { // bits from past the top are copies of the sign
			n = uint64(max(0, t.bits-int(pos)))
		}
		if n < 64 {
			v &= 1<<n - 1
			if sign != 0 {
				v |= ^uint64(0) << n
			}
		}
		return low(v, t.bits)
	})
}

func decodeInsert(d *dec) {
	t := d.typeOf("b32 b64")
	d.operands(5, 5)
	u := types["u32"]
	a, b, c, n := d.src(d.arg(1), t), d.src(d.arg(2), t), d.src(d.arg(3), u), d.src(d.arg(4), u)
	dst := d.dst(d.arg(0), t)
	d.in.exec = func(w *warp, m uint32) {
		A, B, C, N := w.load(a, 0), w.load(b, 1), w.load(c, 2), w.load(n, 3)
		for mm := m; mm != 0; mm &= mm - 1 {
			i := bits.TrailingZeros32(mm) & 31
			mask := (uint64(1)<<(N[i]&255) - 1) << (C[i] & 255)
			w.tmp6[i] = low(B[i]&^mask|A[i]<<(C[i]&255)&mask, t.bits)
		}
		scatter(w, dst, m, &w.tmp6)
	}
}

func decodeBmsk(d *dec) {
	clamp := d.need("clamp", "wrap") == "clamp"
	t := d.typeOf("b32")
	dst, a, b := d.two(t)
	d.in.exec = lanes2(dst, a, b, func(a, b uint64) uint64 {
		if !clamp {
			a, b = a&31, b&31
		}
		return low((uint64(1)<<min(b, 32)-1)<<min(a, 32), 32)
	})
}

func decodeSzext(d *dec) {
	clamp := d.need("clamp", "wrap") == "clamp"
	t := d.typeOf("u32 s32")
	dst, a, b := d.two(t)
	d.in.exec = lanes2(dst, a, b, func(a, n uint64) uint64 {
		if !clamp {
			n &= 31
		}
		switch {
		case n >= 32:
			return a
		case n == 0:
			return 0
		case t.kind == 's':
			return low(uint64(signed(a, int(n))), 32)
		}
		return low(a, int(n))
	})
}
