package ptx

// Decoders of comparisons, selections and moves.

import "math/bits"

// comparison gives the function of a comparison of type t.
func (d *dec) comparison(t ptype) func(a, b uint64) bool {
	names := []string{"eq", "ne"}
	switch {
	case t.float():
		names = []string{"eq", "ne", "lt", "le", "gt", "ge", "equ", "neu", "ltu", "leu", "gtu", "geu", "num", "nan"}
	case t.kind == 'u':
		names = []string{"eq", "ne", "lt", "le", "gt", "ge", "lo", "ls", "hi", "hs"}
	case t.kind == 's':
		names = []string{"eq", "ne", "lt", "le", "gt", "ge"}
	}
	op := d.cmp
	ok := false
	for _, n := range names {
		ok = ok || n == op
	}
	if !ok {
		d.fail("comparison .%s of type .%s", op, t)
	}
	switch op {
	case "lo":
		op = "lt"
	case "ls":
		op = "le"
	case "hi":
		op = "gt"
	case "hs":
		op = "ge"
	}
	if t.float() {
		return compareFloat(op, t)
	}
	sign := t.kind == 's'
	order := func(a, b uint64) int {
		if sign {
			x, y := signed(a, t.bits), signed(b, t.bits)
			switch {
			case x < y:
				return -1
			case x > y:
				return 1
			}
			return 0
		}
		switch {
		case a < b:
			return -1
		case a > b:
			return 1
		}
		return 0
	}
	switch op {
	case "eq":
		return func(a, b uint64) bool { return a == b }
	case "ne":
		return func(a, b uint64) bool { return a != b }
	case "lt":
		return func(a, b uint64) bool { return order(a, b) < 0 }
	case "le":
		return func(a, b uint64) bool { return order(a, b) <= 0 }
	case "gt":
		return func(a, b uint64) bool { return order(a, b) > 0 }
	}
	return func(a, b uint64) bool { return order(a, b) >= 0 }
}

// compareFloat is a comparison of numbers; those that end in u hold for NaN.
func compareFloat(op string, t ptype) func(a, b uint64) bool {
	unordered := len(op) == 3 && op[2] == 'u'
	test := map[string]func(x, y float64) bool{
		"eq": func(x, y float64) bool { return x == y },
		"ne": func(x, y float64) bool { return x < y || x > y },
		"lt": func(x, y float64) bool { return x < y },
		"le": func(x, y float64) bool { return x <= y },
		"gt": func(x, y float64) bool { return x > y },
		"ge": func(x, y float64) bool { return x >= y },
		"nu": func(x, y float64) bool { return x == x && y == y },
		"na": func(x, y float64) bool { return x != x || y != y },
	}[op[:2]]
	if op == "num" || op == "nan" {
		unordered = false
	}
	return func(a, b uint64) bool {
		x, y := t.decode(a), t.decode(b)
		if unordered && (x != x || y != y) {
			return true
		}
		return test(x, y)
	}
}

// compared reads the modifiers of set and setp up to the first type.
func (d *dec) compared() (op string, ftz bool) {
	d.cmp = d.need("eq", "ne", "lt", "le", "gt", "ge", "lo", "ls", "hi", "hs", "equ", "neu", "ltu", "leu", "gtu", "geu", "num", "nan")
	op = d.opt("and", "or", "xor")
	return op, d.has("ftz")
}

func decodeSetp(d *dec) {
	op, ftz := d.compared()
	t := d.typ()
	if t.bits == 8 || t.kind == 't' || t.kind == 'p' || t.pair && !t.float() {
		d.fail("type .%s", t)
	}
	n := 3
	if op != "" {
		n = 4
	}
	d.operands(n, n)
	a, b := d.src(d.arg(1), t), d.src(d.arg(2), t)
	var c int32
	var not bool
	if op != "" {
		c, not = d.predOr(d.arg(3))
	}
	dst := d.arg(0)
	q := int32(-1)
	if len(dst.list) == 1 {
		q = d.predDst(&dst.list[0])
	}
	if t.pair {
		d.setpPair(t, op, c, not, a, b, dst, q)
		return
	}
	row := d.compareRow(t, ftz, a, b)
	p := d.predDst(dst)
	d.in.exec = func(w *warp, m uint32) {
		v := row(w)
		u := ^v
		if op != "" {
			x := w.predicate(c, not)
			v, u = combine(op, v, x), combine(op, u, x)
		}
		w.putPred(p, m, v)
		w.putPred(q, m, u)
	}
}

func combine(op string, v, x uint32) uint32 {
	switch op {
	case "and":
		return v & x
	case "or":
		return v | x
	}
	return v ^ x
}

// setpPair compares both halves: p is the low one, q the high one.
func (d *dec) setpPair(t ptype, op string, c int32, not bool, a, b col, dst *arg, q int32) {
	one := ptype{t.kind, 16, false}
	f := d.comparison(one)
	p := d.predDst(dst)
	d.in.exec = func(w *warp, m uint32) {
		A, B := w.load(a, 0), w.load(b, 1)
		var v, u uint32
		for i := range A {
			if f(A[i]&0xffff, B[i]&0xffff) {
				v |= 1 << i
			}
			if f(A[i]>>16, B[i]>>16) {
				u |= 1 << i
			}
		}
		if op != "" {
			x := w.predicate(c, not)
			v, u = combine(op, v, x), combine(op, u, x)
		}
		w.putPred(p, m, v)
		w.putPred(q, m, u)
	}
}

// compareRow compares all lanes; the commonest types have loops of their own.
func (d *dec) compareRow(t ptype, ftz bool, a, b col) func(w *warp) uint32 {
	f := d.comparison(t)
	if op := d.cmp; t == types["f32"] && !ftz {
		return func(w *warp) uint32 {
			less, equal, greater := compareF32(w.c32(a.idx), w.c32(b.idx))
			return choose(op, less, equal, greater)
		}
	}
	if t.integer() && t.bits >= 32 {
		flip := uint64(0)
		if t.kind == 's' {
			flip = 1 << (t.bits - 1)
		}
		less, not := false, false // else equal
		switch d.cmp {
		case "ne":
			not = true
		case "lt", "lo":
			less = true
		case "ge", "hs":
			less, not = true, true
		case "gt", "hi":
			a, b = b, a
			less = true
		case "le", "ls":
			a, b = b, a
			less, not = true, true
		}
		if t.bits == 32 {
			return compareInt32(a, b, uint32(flip), less, not)
		}
		return func(w *warp) uint32 {
			A, B := w.load(a, 0), w.load(b, 1)
			var v uint32
			if less {
				for i := range A {
					_, borrow := bits.Sub64(A[i]^flip, B[i]^flip, 0)
					v |= uint32(borrow) << i
				}
			} else {
				for i := range A {
					if A[i] == B[i] {
						v |= 1 << i
					}
				}
			}
			if not {
				return ^v
			}
			return v
		}
	}
	return func(w *warp) uint32 {
		A, B := w.load(a, 0), w.load(b, 1)
		var v uint32
		for i := range A {
			x, y := A[i], B[i]
			if ftz {
				x, y = t.flush(x), t.flush(y)
			}
			if f(x, y) {
				v |= 1 << i
			}
		}
		return v
	}
}

// decodeSet is set: a comparison with all ones or 1.0 for true.
func decodeSet(d *dec) {
	op, ftz := d.compared()
	r := d.typeOf("u32 s32 f32 f16 bf16 f16x2 bf16x2 u16 s16")
	t := d.typ()
	if t.bits == 8 || t.kind == 't' || t.kind == 'p' || t.pair && !t.float() {
		d.fail("type .%s", t)
	}
	n := 3
	if op != "" {
		n = 4
	}
	d.operands(n, n)
	a, b := d.src(d.arg(1), t), d.src(d.arg(2), t)
	var c int32
	var not bool
	if op != "" {
		c, not = d.predOr(d.arg(3))
	}
	dst := d.dst(d.arg(0), r)
	yes := low(^uint64(0), r.bits)
	if t.pair {
		yes = 0xffff
	}
	switch {
	case r.kind == 'h':
		yes = 0x3f80
	case r.kind == 'f' && (r.pair || r.bits == 16):
		yes = 0x3c00
	case r.kind == 'f':
		yes = 0x3f800000
	}
	one := t
	if t.pair {
		one = ptype{t.kind, 16, false}
	}
	f := d.comparison(one)
	d.in.exec = func(w *warp, m uint32) {
		A, B := w.load(a, 0), w.load(b, 1)
		x := w.predicate(c, not)
		test := func(a, b uint64, i int) uint64 {
			if ftz {
				a, b = t.flush(a), t.flush(b)
			}
			v := uint32(0)
			if f(a, b) {
				v = 1
			}
			if op != "" {
				v = combine(op, v, x>>i&1)
			}
			if v&1 != 0 {
				return yes
			}
			return 0
		}
		for i := range A {
			if t.pair {
				w.tmp6[i] = test(A[i]&0xffff, B[i]&0xffff, i) | test(A[i]>>16, B[i]>>16, i)<<16
			} else {
				w.tmp6[i] = test(A[i], B[i], i)
			}
		}
		scatter(w, dst, m, &w.tmp6)
	}
}

func decodeSelp(d *dec) {
	t := d.typ()
	if t.bits == 8 || t.pair || t.kind == 'h' || t.kind == 't' || t.kind == 'p' {
		d.fail("type .%s", t)
	}
	d.operands(4, 4)
	a, b := d.src(d.arg(1), t), d.src(d.arg(2), t)
	p, not := d.predOr(d.arg(3))
	dst := d.dst(d.arg(0), t)
	if t.bits == 64 {
		d.in.exec = func(w *warp, m uint32) {
			A, B, D := w.c64(a.idx), w.c64(b.idx), &w.r64[dst.idx]
			v := w.predicate(p, not)
			for mm := m; mm != 0; mm &= mm - 1 {
				i := bits.TrailingZeros32(mm) & 31
				x := B[i]
				if v>>i&1 != 0 {
					x = A[i]
				}
				D[i] = x
			}
		}
		return
	}
	d.in.exec = func(w *warp, m uint32) {
		A, B, D := w.c32(a.idx), w.c32(b.idx), &w.r32[dst.idx]
		v := w.predicate(p, not)
		if m == allLanes {
			for i := range D {
				pick := -(v >> i & 1)
				D[i] = A[i]&pick | B[i]&^pick
			}
			return
		}
		for mm := m; mm != 0; mm &= mm - 1 {
			i := bits.TrailingZeros32(mm) & 31
			pick := -(v >> i & 1)
			D[i] = A[i]&pick | B[i]&^pick
		}
	}
}

// decodeSlct is slct: a if c is not negative, else b.
func decodeSlct(d *dec) {
	ftz := d.has("ftz")
	t := d.typ()
	s := d.typeOf("s32 f32")
	d.operands(4, 4)
	a, b, c := d.src(d.arg(1), t), d.src(d.arg(2), t), d.src(d.arg(3), s)
	d.in.exec = lanes3(d.dst(d.arg(0), t), a, b, c, func(a, b, c uint64) uint64 {
		if ftz {
			c = s.flush(c)
		}
		if s.kind == 's' && signed(c, 32) >= 0 || s.kind == 'f' && f32w(c) >= 0 {
			return a
		}
		return b
	})
}

// decodeMov is mov: registers, constants, addresses, packing and unpacking.
func decodeMov(d *dec) {
	t := d.typ()
	if t.bits == 8 || t.pair || t.kind == 'h' || t.kind == 't' {
		d.fail("type .%s", t)
	}
	d.operands(2, 2)
	to, from := d.arg(0), d.arg(1)
	switch {
	case t.kind == 'p':
		a, not := d.predOr(from)
		p := d.predDst(to)
		d.in.exec = func(w *warp, m uint32) { w.putPred(p, m, w.predicate(a, not)) }
	case to.kind == argVec:
		d.unpack(t, to.list, from)
	case from.kind == argVec:
		d.pack(t, to, from.list)
	case from.kind == argSpecial && specials[from.text].value == nil:
		d.clock(t, to, from.text)
	default:
		a := d.src(from, t)
		dst := d.dst(to, t)
		if t.bits == 64 {
			d.in.exec = wide1(dst, a, mov64)
		} else {
			d.in.exec = rows1(dst, a, mov32)
		}
	}
}

// clock reads a clock: the instructions that the warp has executed.
func (d *dec) clock(t ptype, to *arg, name string) {
	if specials[name].bits != t.bits {
		d.fail("%s has %d bits", name, specials[name].bits)
	}
	dst := d.dst(to, t)
	d.in.exec = func(w *warp, m uint32) {
		w.ticks++
		v := w.ticks
		if name == "%clock_hi" || name == "%globaltimer_hi" {
			v >>= 32
		}
		for mm := m; mm != 0; mm &= mm - 1 {
			w.set(dst, bits.TrailingZeros32(mm), v)
		}
	}
}

func (d *dec) pack(t ptype, to *arg, list []arg) {
	part := d.part(t, len(list))
	cols := make([]col, len(list))
	for i := range list {
		cols[i] = d.src(&list[i], part)
	}
	dst := d.dst(to, t)
	d.in.exec = func(w *warp, m uint32) {
		for mm := m; mm != 0; mm &= mm - 1 {
			i := bits.TrailingZeros32(mm) & 31
			var v uint64
			for j, c := range cols {
				v |= w.get(c, i) << (j * part.bits)
			}
			w.tmp6[i] = v
		}
		scatter(w, dst, m, &w.tmp6)
	}
}

func (d *dec) unpack(t ptype, list []arg, from *arg) {
	part := d.part(t, len(list))
	a := d.src(from, t)
	cols := make([]col, len(list))
	skip := make([]bool, len(list))
	for i := range list {
		if skip[i] = list[i].kind == argSink; !skip[i] {
			cols[i] = d.dst(&list[i], part)
		}
	}
	d.in.exec = func(w *warp, m uint32) {
		w.tmp6 = *w.load(a, 0)
		for mm := m; mm != 0; mm &= mm - 1 {
			i := bits.TrailingZeros32(mm) & 31
			for j, c := range cols {
				if !skip[j] {
					w.set(c, i, low(w.tmp6[i]>>(j*part.bits), part.bits))
				}
			}
		}
	}
}

func (d *dec) part(t ptype, n int) ptype {
	if t.kind != 'b' && t.kind != 'u' && t.kind != 's' && t.kind != 'f' || n != 2 && n != 4 || t.bits/n < 8 {
		d.fail("%d parts of type .%s", n, t)
	}
	return ptype{'b', t.bits / n, false}
}
