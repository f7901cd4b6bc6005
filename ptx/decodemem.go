package ptx

// Decoders of ld, st, cvta, prefetch and fences.

import "math/bits"

// address reads "[base+offset]" of a space; parameters of inlined functions
// turn .param into .local.
func (d *dec) address(a *arg, s space) (col, int64, space) {
	if a.kind != argAddr {
		d.fail("operand is no address")
	}
	base := &a.list[0]
	switch base.kind {
	case argReg:
		r := d.regType(base)
		if !r.integer() || r.bits < 32 || base.list != nil || base.neg {
			d.fail("the address is in a register of type .%s", r)
		}
		if r.bits == 32 && (s == spaceGlobal || s == spaceGeneric || s == spaceConst) {
			d.fail("a %s address has 64 bits", s)
		}
		return col{d.use(base.reg), r.bits == 64}, a.off, s
	case argImm:
		return d.literal(base.imm, true), a.off, s
	case argSym:
		v := d.variable(base)
		if s == spaceParam && v.space == spaceLocal {
			s = spaceLocal
		}
		if s == spaceGeneric && (v.space == spaceGlobal || v.space == spaceConst) || s == spaceGlobal && v.space == spaceConst || s == spaceConst && v.space == spaceGlobal {
			s = v.space
		}
		if v.space != s {
			d.fail("%s is in %s memory", v.name, v.space)
		}
		if s == spaceGlobal || s == spaceConst {
			return d.symbol(base, types["u64"]), a.off, s
		}
		return d.literal(uint64(d.home(v)), true), a.off, s
	}
	d.fail("operand is no address")
	return col{}, 0, s
}

func (d *dec) space(names ...string) space {
	switch n := d.opt(names...); n {
	case "global":
		return spaceGlobal
	case "shared", "shared::cta":
		return spaceShared
	case "local":
		return spaceLocal
	case "param", "param::entry", "param::func":
		return spaceParam
	case "const":
		return spaceConst
	}
	return spaceGeneric
}

// order takes .volatile, .relaxed.gpu and the like; true for a strong access.
func (d *dec) order(names ...string) bool {
	switch d.opt(names...) {
	case "", "weak":
		return false
	case "volatile", "mmio":
		return true
	}
	d.need("cta", "cluster", "gpu", "sys")
	return true
}

// hints takes cache operators and levels; they change nothing here.
func (d *dec) hints(ops ...string) bool {
	d.opt(ops...)
	d.opt("L1::evict_normal", "L1::evict_unchanged", "L1::evict_first", "L1::evict_last", "L1::no_allocate")
	hint := d.has("L2::cache_hint")
	d.opt("L2::evict_last", "L2::evict_normal", "L2::evict_first")
	d.opt("L2::64B", "L2::128B", "L2::256B")
	return hint
}

func decodeLoad(d *dec) {
	x := &access{}
	x.strong = d.order("weak", "volatile", "relaxed", "acquire", "mmio")
	x.space = d.space("global", "shared", "shared::cta", "local", "param", "param::entry", "param::func", "const")
	nc := d.has("nc")
	hint := d.hints("ca", "cg", "cs", "lu", "cv")
	if nc && x.space != spaceGlobal {
		d.fail(".nc is for global memory")
	}
	d.moved(x, hint)
	x.addr, x.off, x.space = d.address(d.arg(1), x.space)
	d.elements(x, d.arg(0), d.dstLoose)
	d.in.exec = x.load
	d.in.flops = 0
}

func decodeStore(d *dec) {
	x := &access{write: true}
	x.strong = d.order("weak", "volatile", "relaxed", "release", "mmio")
	x.space = d.space("global", "shared", "shared::cta", "local", "param", "param::func")
	hint := d.hints("wb", "cg", "cs", "wt")
	d.moved(x, hint)
	x.addr, x.off, x.space = d.address(d.arg(0), x.space)
	if x.space == spaceParam {
		d.fail("parameters of a kernel cannot be written")
	}
	d.elements(x, d.arg(1), d.srcLoose)
	d.in.exec = x.store
}

// moved reads vector and type.
func (d *dec) moved(x *access, hint bool) {
	n := map[string]int{"": 1, "v2": 2, "v4": 4, "v8": 8}[d.opt("v2", "v4", "v8")]
	t := d.typ()
	if t.pair || t.kind == 'h' || t.kind == 't' || t.kind == 'p' {
		d.fail("type .%s cannot be moved", t)
	}
	x.n = int(t.bytes())
	x.signed = t.kind == 's'
	x.regs = make([]col, n)
	x.keep = make([]uint8, n)
	x.skip = make([]bool, n)
	if x.size() > 32 || n == 8 && x.space != spaceGlobal {
		d.fail("vector of %d bytes", x.size())
	}
	if hint {
		d.operands(3, 3)
		d.src(d.arg(2), types["b64"])
	} else {
		d.operands(2, 2)
	}
	d.sharedGrain(x.space, x.n)
}

// sharedGrain keeps the finest access of shared memory.
func (d *dec) sharedGrain(s space, n int) {
	if s == spaceShared || s == spaceGeneric {
		d.grain = min(d.grain, n)
	}
}

// elements reads the register or vector that is moved.
func (d *dec) elements(x *access, a *arg, f func(a *arg, n int) (col, int)) {
	list := []arg{*a}
	if a.kind == argVec {
		list = a.list
	}
	if len(list) != len(x.regs) {
		d.fail("%d registers for %d elements", len(list), len(x.regs))
	}
	x.narrow = len(list) <= 4
	for i := range list {
		if list[i].kind == argSink && !x.write {
			x.skip[i] = true
			continue
		}
		c, keep := f(&list[i], x.n*8)
		x.regs[i], x.keep[i] = c, uint8(keep)
		x.narrow = x.narrow && !c.wide
	}
}

// dstLoose is a register of n bits or more.
func (d *dec) dstLoose(a *arg, n int) (col, int) {
	if a.kind != argReg || a.list != nil || a.neg {
		d.fail("the result is no register")
	}
	r := d.regType(a)
	if r.kind == 'p' || r.bits < n {
		d.fail("register of type .%s for %d bits", r, n)
	}
	return col{d.def(a.reg), r.bits == 64}, r.bits
}

// srcLoose is an operand of n bits or more.
func (d *dec) srcLoose(a *arg, n int) (col, int) {
	if a.kind == argReg && a.list == nil && !a.neg {
		r := d.regType(a)
		if r.kind == 'p' || r.bits < n {
			d.fail("register of type .%s for %d bits", r, n)
		}
		return col{d.use(a.reg), r.bits == 64}, r.bits
	}
	kind := byte('b')
	if a.kind == argFloat && n >= 32 {
		kind = 'f'
	}
	return d.src(a, ptype{kind, n, false}), n
}

// decodeCvta is cvta: it moves an address between a space and the generic one.
func decodeCvta(d *dec) {
	to := d.has("to")
	s := d.space("global", "shared", "shared::cta", "local", "const", "param", "param::entry")
	t := d.typeOf("u64 u32")
	d.operands(2, 2)
	if s == spaceGeneric {
		d.fail("the space is missing")
	}
	if t.bits != 64 {
		d.fail("generic addresses have 64 bits")
	}
	base := map[space]uint64{spaceShared: sharedWindow, spaceLocal: localWindow, spaceParam: paramWindow}[s]
	a := d.src(d.arg(1), t)
	dst := d.dst(d.arg(0), t)
	if to {
		base = -base
	}
	d.in.exec = func(w *warp, m uint32) {
		from, to := w.c64(a.idx), &w.r64[dst.idx]
		for mm := m; mm != 0; mm &= mm - 1 {
			i := bits.TrailingZeros32(mm) & 31
			to[i] = from[i] + base
		}
	}
}

// decodeIsspacep is isspacep: whether a generic address lies in a space.
func decodeIsspacep(d *dec) {
	s := d.space("global", "shared", "shared::cta", "local", "const", "param", "param::entry")
	d.operands(2, 2)
	a := d.src(d.arg(1), types["u64"])
	p := d.predDst(d.arg(0))
	d.in.exec = func(w *warp, m uint32) {
		for mm := m; mm != 0; mm &= mm - 1 {
			i := bits.TrailingZeros32(mm)
			in, addr := window(w.c64(a.idx)[i])
			if r := find(w.c.l.mem.blocks, addr); in == spaceGlobal && r != nil && r.readOnly {
				in = spaceConst
			}
			w.setPred(p, i, in == s)
		}
	}
}

// decodeFence is membar and fence: warps run one at a time, so there is
// nothing to order.
func decodeFence(d *dec) {
	for d.opt("proxy", "async", "alias", "acq_rel", "sc", "cta", "gl", "sys", "gpu", "cluster", "global", "shared::cta") != "" {
		continue
	}
	d.operands(0, 0)
	d.in.exec = nothing
}

func nothing(*warp, uint32) {}

// decodePrefetch is prefetch and prefetchu: the address is not even checked,
// as on the hardware.
func decodePrefetch(d *dec) {
	s := d.space("global", "local")
	d.opt("L1", "L2", "L2::evict_last", "L2::evict_normal")
	d.operands(1, 1)
	d.address(d.arg(0), s)
	d.in.exec = nothing
}
