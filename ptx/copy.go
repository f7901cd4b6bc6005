package ptx

// cp.async: copies from global to shared memory that complete when a wait
// says so. Late (as the default) they happen at that wait; eager, at once.
// Either way the bytes are out of bounds for everybody until then.

import "math/bits"

// copyOp is one lane's copy that was not waited for.
type copyOp struct {
	lane     uint8
	n        uint8 // bytes of the destination
	take     uint8 // bytes from the source, the others are zero
	to       uint32
	from     uint64
	group    int32
	pc       int32
	complete bool // eager: the bytes are there already
}

// copies is the asynchronous copies of a warp, oldest first.
type copies struct {
	list   []copyOp
	groups [warpSize]int32 // the group of each lane that is open
}

func (c *copies) reset() {
	c.list = c.list[:0]
	c.groups = [warpSize]int32{}
}

// wait completes what lanes m issued in groups before the last n committed.
// n < 0 completes everything, committed or not.
func (c *copies) wait(w *warp, m uint32, n int) {
	keep := c.list[:0]
	for i := range c.list {
		op := &c.list[i]
		lane := int(op.lane)
		if m>>lane&1 == 0 || n >= 0 && op.group >= c.groups[lane]-int32(n) {
			keep = append(keep, *op)
			continue
		}
		if !op.complete && !op.move(w) {
			return
		}
		w.settle(op.to, int(op.n), lane)
	}
	c.list = keep
}

// finish completes everything when the warp ends.
func (c *copies) finish(w *warp) {
	if len(c.list) > 0 {
		c.wait(w, allLanes, -1)
	}
}

// move copies the bytes. The addresses were checked when the copy was issued.
func (op *copyOp) move(w *warp) bool {
	to := w.c.shared[op.to : op.to+uint32(op.n)]
	clear(to)
	if op.take > 0 {
		r := find(w.c.l.mem.blocks, op.from)
		if r == nil {
			return false
		}
		copy(to[:op.take], r.data[op.from-r.base:])
	}
	return true
}

func decodeCopy(d *dec) {
	d.need("async")
	switch d.opt("ca", "cg", "commit_group", "wait_group", "wait_all") {
	case "ca":
		d.copyAsync("4 8 16", true)
	case "cg":
		d.copyAsync("16", false)
	case "commit_group":
		d.operands(0, 0)
		d.in.exec = func(w *warp, m uint32) {
			for mm := m; mm != 0; mm &= mm - 1 {
				w.copies.groups[bits.TrailingZeros32(mm)]++
			}
		}
	case "wait_group":
		d.operands(1, 1)
		n := d.arg(0)
		if n.kind != argImm || n.imm > 1<<20 {
			d.fail("the number of groups is no constant")
		}
		pending := int(n.imm)
		d.in.exec = func(w *warp, m uint32) { w.copies.wait(w, m, pending) }
	case "wait_all":
		d.operands(0, 0)
		d.in.exec = func(w *warp, m uint32) { w.copies.wait(w, m, -1) }
	default:
		d.fail("this form is not supported")
	}
}

func (d *dec) copyAsync(sizes string, small bool) {
	d.need("shared", "shared::cta")
	d.need("global")
	hint := d.has("L2::cache_hint")
	d.opt("L2::64B", "L2::128B", "L2::256B")
	d.operands(3, 5)
	n := d.arg(2)
	if n.kind != argImm || n.imm != 16 && (!small || n.imm != 4 && n.imm != 8) {
		d.fail("the size is none of %s", sizes)
	}
	size := int(n.imm)
	x := &access{n: size, regs: make([]col, 1), write: true}
	from := &access{n: size, regs: make([]col, 1)}
	x.addr, x.off, x.space = d.address(d.arg(0), spaceShared)
	from.addr, from.off, from.space = d.address(d.arg(1), spaceGlobal)
	take := d.literal(uint64(size), false)
	ignore, not := int32(-1), false
	rest := d.st.args[3:]
	if hint {
		if len(rest) == 0 {
			d.fail("the cache hint is missing")
		}
		d.src(&rest[len(rest)-1], types["b64"])
		rest = rest[:len(rest)-1]
	}
	switch {
	case len(rest) > 1:
		d.fail("%d operands", len(d.st.args))
	case len(rest) == 1 && rest[0].kind == argReg && d.regType(&rest[0]).kind == 'p':
		ignore, not = d.pred(&rest[0])
	case len(rest) == 1:
		take = d.src(&rest[0], types["u32"])
	}
	d.sharedGrain(spaceShared, 4)
	d.in.exec = func(w *warp, m uint32) {
		to := *x.addresses(w)
		src := from.addresses(w)
		var zero uint32
		if ignore >= 0 {
			zero = w.predicate(ignore, not)
		}
		T := w.c32(take.idx)
		if w.counts != nil {
			x.account(w, &to, m)
			var read uint32 // lanes that read anything
			for i, n := range T {
				if n != 0 {
					read |= 1 << i
				}
			}
			if read &= m &^ zero; read != 0 {
				from.account(w, src, read)
			}
		}
		for mm := m; mm != 0; mm &= mm - 1 {
			lane := bits.TrailingZeros32(mm) & 31
			n := T[lane]
			if n > uint32(size) {
				w.stop(BadOperand, lane, to[lane], "source of %d bytes for a copy of %d", n, size)
				return
			}
			if zero>>lane&1 != 0 {
				n = 0
			}
			if !x.issue(w, lane, to[lane], src[lane], n) {
				return
			}
		}
	}
}

// issue checks one lane's copy and queues it.
func (x *access) issue(w *warp, lane int, to, from uint64, take uint32) bool {
	n := x.n
	if !w.inside(spaceShared, to, n, len(w.c.shared), lane) {
		return false
	}
	if from&uint64(n-1) != 0 {
		w.stop(Misaligned, lane, from, "address %#x is no multiple of %d", from, n)
		return false
	}
	if take > 0 {
		r := find(w.c.l.mem.blocks, from)
		if r == nil || uint64(len(r.data))-(from-r.base) < uint64(take) {
			kind, what := w.c.l.mem.explain(from, int64(take))
			w.stop(kind, lane, from, "%s", what)
			return false
		}
	}
	if !w.noteWrite(uint32(to), n, lane, stampPending) {
		return false
	}
	op := copyOp{lane: uint8(lane), n: uint8(n), take: uint8(take), to: uint32(to), from: from, group: w.copies.groups[lane], pc: w.pc}
	if w.c.l.cfg.Eager {
		op.complete = op.move(w)
	}
	w.copies.list = append(w.copies.list, op)
	return true
}
