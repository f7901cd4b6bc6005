package ptx

// Decoders of branches, barriers and the instructions of a whole warp.

import "math/bits"

func decodeBranch(d *dec) {
	d.has("uni")
	d.operands(1, 1)
	if d.st.targets == nil {
		d.fail("the target is no label")
	}
	d.in.ctl, d.in.target = ctlBranch, int32(d.st.targets[0])
}

func decodeTable(d *dec) {
	d.need("idx")
	d.has("uni")
	d.operands(2, 2)
	if d.st.targets == nil {
		d.fail("the second operand is no list of labels")
	}
	d.in.ctl = ctlTable
	d.in.mask = d.src(d.arg(0), types["u32"])
	for _, t := range d.st.targets {
		d.in.targets = append(d.in.targets, int32(t))
	}
}

// decodeExit is ret, exit, trap and brkpt.
func decodeExit(d *dec) {
	if op, _, _ := cutOp(d.st.op); op == "trap" || op == "brkpt" {
		d.in.ctl = ctlTrap
	} else {
		if op == "ret" {
			d.has("uni")
		}
		d.in.ctl = ctlExit
	}
	d.operands(0, 0)
}

func decodeSleep(d *dec) {
	d.typeOf("u32")
	d.operands(1, 1)
	d.src(d.arg(0), types["u32"])
	d.in.exec = nothing
}

// decodeBar is bar and barrier, in all forms but those of clusters.
func decodeBar(d *dec) {
	d.has("cta")
	what := d.need("sync", "arrive", "red", "warp")
	if what == "warp" {
		d.need("sync")
		d.operands(1, 1)
		d.whole(d.arg(0))
		d.in.exec = func(w *warp, _ uint32) { w.syncWarp() }
		return
	}
	b := &barrier{arrive: what == "arrive"}
	u := types["u32"]
	at := 0
	if what == "red" {
		b.reduce = d.need("popc", "and", "or")
	}
	d.has("aligned")
	if what == "red" {
		if b.reduce == "popc" {
			d.typeOf("u32")
			b.dst = d.dst(d.arg(0), u)
		} else {
			d.typeOf("pred")
			b.pdst = d.predDst(d.arg(0))
		}
		at = 1
	}
	b.id = d.src(d.arg(at), u)
	n := at + 1
	last := len(d.st.args)
	if what == "red" {
		last--
		b.pred, b.not = d.predOr(d.arg(last))
	}
	if n < last {
		b.counted = true
		b.count = d.src(d.arg(n), u)
		n++
	}
	if n != last || b.arrive && !b.counted {
		d.fail("%d operands", len(d.st.args))
	}
	d.in.ctl, d.in.bar = ctlBarrier, b
}

// whole makes the current instruction wait for the lanes of a member mask.
func (d *dec) whole(mask *arg) {
	d.in.ctl = ctlSync
	d.in.mask = d.src(mask, types["b32"])
}

// aligned makes it wait for all 32 lanes.
func (d *dec) aligned() {
	d.in.ctl = ctlSync
	d.in.mask = d.literal(allLanes, false)
}

// member checks that a lane is in the mask it gave.
func (w *warp) member(mask uint32, lane int) bool {
	if mask>>lane&1 == 0 {
		w.stop(Shuffle, lane, 0, "%s with mask %#08x, which leaves out the lane itself, %d", w.code[w.pc].op, mask, lane)
		return false
	}
	return true
}

func decodeShfl(d *dec) {
	d.need("sync")
	mode := d.need("up", "down", "bfly", "idx")
	t := d.typeOf("b32")
	d.operands(5, 5)
	a, b, c := d.src(d.arg(1), t), d.src(d.arg(2), t), d.src(d.arg(3), t)
	d.whole(d.arg(4))
	mask := d.in.mask
	p := int32(-1)
	if list := d.arg(0).list; len(list) == 1 {
		p = d.predDst(&list[0])
	}
	plain := *d.arg(0)
	plain.list = nil
	dst := d.dst(&plain, t)
	d.in.exec = func(w *warp, m uint32) {
		A, B, C, M := w.c32(a.idx), w.c32(b.idx), w.c32(c.idx), w.c32(mask.idx)
		var ok uint32
		for mm := m; mm != 0; mm &= mm - 1 {
			lane := bits.TrailingZeros32(mm) & 31
			if !w.member(M[lane], lane) {
				return
			}
			from, in := shuffle(mode, lane, int(B[lane]&31), C[lane])
			if !in {
				from = lane
			} else {
				ok |= 1 << lane
			}
			if m>>from&1 == 0 || M[lane]>>from&1 == 0 {
				w.stop(Shuffle, lane, 0, "%s reads lane %d, which does not take part", w.code[w.pc].op, from)
				return
			}
			w.tmp[lane] = A[from&31]
		}
		blend(&w.r32[dst.idx], &w.tmp, m)
		w.putPred(p, m, ok)
	}
}

// shuffle is the lane to read from and whether it lies in the segment.
func shuffle(mode string, lane, b int, c uint32) (from int, ok bool) {
	clamp, segment := int(c&31), int(c>>8&31)
	most := lane&segment | clamp&^segment
	least := lane & segment
	switch mode {
	case "up":
		from = lane - b
		return from, from >= most
	case "down":
		from = lane + b
		return from, from <= most
	case "bfly":
		from = lane ^ b
		return from, from <= most
	}
	from = least | b&^segment
	return from, from <= most
}

func decodeVote(d *dec) {
	d.need("sync")
	what := d.need("all", "any", "uni", "ballot")
	t := d.typeOf("pred b32")
	if (what == "ballot") != (t.kind == 'b') {
		d.fail("type .%s", t)
	}
	d.operands(3, 3)
	a, not := d.predOr(d.arg(1))
	d.whole(d.arg(2))
	mask := d.in.mask
	var dst col
	p := int32(-1)
	if what == "ballot" {
		dst = d.dst(d.arg(0), t)
	} else {
		p = d.predDst(d.arg(0))
	}
	d.in.exec = func(w *warp, m uint32) {
		v := w.predicate(a, not)
		M := w.c32(mask.idx)
		for mm := m; mm != 0; mm &= mm - 1 {
			lane := bits.TrailingZeros32(mm) & 31
			if !w.member(M[lane], lane) {
				return
			}
			yes := v & M[lane]
			switch what {
			case "ballot":
				w.r32[dst.idx][lane] = yes
			case "any":
				w.setPred(p, lane, yes != 0)
			case "all":
				w.setPred(p, lane, yes == M[lane])
			case "uni":
				w.setPred(p, lane, yes == 0 || yes == M[lane])
			}
		}
	}
}

func decodeActive(d *dec) {
	t := d.typeOf("b32")
	d.operands(1, 1)
	dst := d.dst(d.arg(0), t)
	d.in.exec = func(w *warp, m uint32) {
		for mm := m; mm != 0; mm &= mm - 1 {
			w.r32[dst.idx][bits.TrailingZeros32(mm)] = m
		}
	}
}

func decodeMatch(d *dec) {
	all := d.need("any", "all") == "all"
	d.need("sync")
	t := d.typeOf("b32 b64")
	d.operands(3, 3)
	a := d.src(d.arg(1), t)
	d.whole(d.arg(2))
	mask := d.in.mask
	p := int32(-1)
	to := *d.arg(0)
	if len(to.list) == 1 && all {
		p = d.predDst(&to.list[0])
		to.list = nil
	}
	dst := d.dst(&to, types["b32"])
	d.in.exec = func(w *warp, m uint32) {
		A, M := w.load(a, 0), w.c32(mask.idx)
		for mm := m; mm != 0; mm &= mm - 1 {
			lane := bits.TrailingZeros32(mm) & 31
			if !w.member(M[lane], lane) {
				return
			}
			var same uint32
			for n := M[lane]; n != 0; n &= n - 1 {
				if o := bits.TrailingZeros32(n); A[o] == A[lane] {
					same |= 1 << o
				}
			}
			if all {
				w.setPred(p, lane, same == M[lane])
				if same != M[lane] {
					same = 0
				}
			}
			w.tmp[lane] = same
		}
		blend(&w.r32[dst.idx], &w.tmp, m)
	}
}

func decodeRedux(d *dec) {
	d.need("sync")
	op := d.need("add", "min", "max", "and", "or", "xor")
	t := d.typeOf("u32 s32 b32")
	if (t.kind == 'b') != (op == "and" || op == "or" || op == "xor") {
		d.fail("type .%s", t)
	}
	d.operands(3, 3)
	a := d.src(d.arg(1), t)
	d.whole(d.arg(2))
	mask := d.in.mask
	dst := d.dst(d.arg(0), t)
	f := reduction(op, t)
	d.in.exec = func(w *warp, m uint32) {
		A, M := w.c32(a.idx), w.c32(mask.idx)
		for mm := m; mm != 0; mm &= mm - 1 {
			lane := bits.TrailingZeros32(mm) & 31
			if !w.member(M[lane], lane) {
				return
			}
			n := M[lane]
			v := uint64(A[bits.TrailingZeros32(n)])
			for n &= n - 1; n != 0; n &= n - 1 {
				v = f(v, uint64(A[bits.TrailingZeros32(n)]), 0)
			}
			w.tmp[lane] = uint32(v)
		}
		blend(&w.r32[dst.idx], &w.tmp, m)
	}
}

// decodeElect is elect.sync: the lowest lane of the mask is chosen.
func decodeElect(d *dec) {
	d.need("sync")
	d.operands(2, 2)
	d.whole(d.arg(1))
	mask := d.in.mask
	to := d.arg(0)
	if len(to.list) != 1 {
		d.fail("want d|p")
	}
	p := d.predDst(&to.list[0])
	plain := *to
	plain.list = nil
	dst := int32(-1)
	if to.kind != argSink {
		dst = d.dst(&plain, types["b32"]).idx
	}
	d.in.exec = func(w *warp, m uint32) {
		M := w.c32(mask.idx)
		for mm := m; mm != 0; mm &= mm - 1 {
			lane := bits.TrailingZeros32(mm) & 31
			if !w.member(M[lane], lane) {
				return
			}
			leader := bits.TrailingZeros32(M[lane])
			w.setPred(p, lane, leader == lane)
			if dst >= 0 {
				w.r32[dst][lane] = uint32(leader)
			}
		}
	}
}
