package ptx

// A CTA: its warps, its barriers, and the order in which the warps run.

import "math/bits"

const barriers = 16 // of a CTA

// rng is splitmix64: the seeded source of the random orders.
type rng struct{ state uint64 }

func (r *rng) next() uint64 {
	r.state += 0x9e3779b97f4a7c15
	z := r.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

type cta struct {
	k      *Kernel
	l      *launch
	id     [3]int
	warps  []*warp
	shared []byte
	cells  []cell
	shift  uint8 // log2 of the bytes a cell stands for
	phase  uint32
	bars   [barriers]barState
	random *rng
}

// barrier is a decoded bar or barrier instruction.
type barrier struct {
	id      col
	count   col
	counted bool
	arrive  bool
	reduce  string // popc, and, or
	dst     col    // popc
	pdst    int32  // and, or
	pred    int32
	not     bool
}

// barWait is a warp's place at a barrier.
type barWait struct {
	in   *inst
	mask uint32
}

// barState is a barrier with those who have come.
type barState struct {
	expect  int // threads; 0 while nobody is here
	arrived int
	waiting []*warp
	joined  uint32 // warps, those that only arrived too
	pc      int32
	counted bool
	popc    int
	all     bool
	any     bool
	line    int32
}

// arrive brings a warp to a barrier; all its live lanes are there.
func (w *warp) arrive(in *inst, m uint32) {
	b := in.bar
	c := w.c
	lane := bits.TrailingZeros32(m)
	id := w.get(b.id, lane)
	if id >= barriers {
		w.stop(BadOperand, lane, 0, "barrier %d, a CTA has %d", id, barriers)
		return
	}
	expect := int(c.l.threads)
	came := warpSize
	if b.counted {
		n := w.get(b.count, lane)
		if n == 0 || n%warpSize != 0 || n > 1024 {
			w.stop(BadOperand, lane, 0, "barrier for %d threads, want a multiple of %d", n, warpSize)
			return
		}
		expect = int(n)
	} else {
		came = bits.OnesCount32(m)
		if gone := w.born &^ m; gone != 0 {
			w.stop(Barrier, bits.TrailingZeros32(gone), 0, "the thread exited, but others of its warp wait at %s", in.op)
			return
		}
	}
	s := &c.bars[id]
	if s.expect == 0 {
		*s = barState{expect: expect, pc: w.pc, line: in.line, counted: b.counted, all: true, waiting: s.waiting[:0]}
	}
	if s.expect != expect {
		w.stop(Barrier, lane, 0, "barrier %d for %d threads, but warps wait there for %d (PTX line %d)", id, expect, s.expect, s.line)
		return
	}
	if !b.counted && !s.counted && s.pc != w.pc {
		w.stop(Barrier, lane, 0, "the thread is at this barrier while warp %d waits at the one of PTX line %d", first(s.joined), s.line)
		return
	}
	s.arrived += came
	s.joined |= w.bit
	if b.reduce != "" {
		p := w.pred[b.pred]
		if b.not {
			p = ^p
		}
		n := bits.OnesCount32(p & m)
		s.popc += n
		s.any = s.any || n > 0
		s.all = s.all && n == bits.OnesCount32(m)
	}
	w.pc++
	if !b.arrive {
		w.state = warpWaits
		w.bar = barWait{in, m}
		s.waiting = append(s.waiting, w)
	}
	if s.arrived >= s.expect {
		c.release(s)
	}
}

func first(mask uint32) int { return bits.TrailingZeros32(mask) }

// release lets the warps of a complete barrier go on.
func (c *cta) release(s *barState) {
	c.join(s)
	for _, w := range s.waiting {
		w.state = warpReady
		if b := w.bar.in.bar; b.reduce != "" {
			for mm := w.bar.mask; mm != 0; mm &= mm - 1 {
				lane := bits.TrailingZeros32(mm)
				switch b.reduce {
				case "popc":
					w.set(b.dst, lane, uint64(s.popc))
				case "and":
					w.setPred(b.pdst, lane, s.all)
				case "or":
					w.setPred(b.pdst, lane, s.any)
				}
			}
		}
	}
	*s = barState{waiting: s.waiting[:0]}
}

func (w *warp) setPred(p int32, lane int, v bool) {
	if p < 0 {
		return
	}
	w.pred[p] &^= 1 << lane
	if v {
		w.pred[p] |= 1 << lane
	}
}

// Instructions that a warp executes before another that is ready gets its
// turn, so that warps may wait for each other in a loop.
const quantum = 1 << 14

// run executes the CTA with the given id and gives its fault.
func (c *cta) run(id [3]int, seed uint64) *Fault {
	c.begin(id, seed)
	n := len(c.warps)
	turn := 0
	for {
		if c.l.stopped() {
			return nil
		}
		w := c.pick(&turn)
		if w == nil {
			break
		}
		budget := int64(quantum)
		if c.random != nil {
			budget = int64(1 + c.random.next()%256)
		}
		if left := c.l.steps - w.steps; left < budget {
			if budget = left; budget <= 0 {
				w.stop(TooManySteps, bits.TrailingZeros32(w.mask), 0, "a warp executed %d instructions", w.steps)
				return w.fault
			}
		}
		w.run(budget)
		if w.fault != nil {
			return w.fault
		}
	}
	for i := range n {
		if w := c.warps[i]; w.state == warpWaits {
			return c.stuck(w)
		}
	}
	return nil
}

// pick is the warp that runs next, nil if none can.
func (c *cta) pick(turn *int) *warp {
	n := len(c.warps)
	if c.random != nil {
		at := int(c.random.next() % uint64(n))
		for i := range n {
			if w := c.warps[(at+i)%n]; w.state == warpReady {
				return w
			}
		}
		return nil
	}
	for range n {
		i := *turn % n
		*turn++
		if c.l.cfg.Order == Reversed {
			i = n - 1 - i
		}
		if w := c.warps[i]; w.state == warpReady {
			return w
		}
	}
	return nil
}

// stuck is the fault of a warp that waits for threads that never come.
func (c *cta) stuck(w *warp) *Fault {
	in := w.bar.in
	for _, o := range c.warps {
		if o == w {
			continue
		}
		if o.state == warpDone {
			t := o.tid[first(o.born)]
			w.stopAt(w.pc-1, Barrier, first(w.bar.mask), 0, "the thread waits at %s, but thread (%d,%d,%d) has exited", in.op, t[0], t[1], t[2])
			break
		}
		if o.bar.in != in {
			t := o.tid[first(o.born)]
			w.stopAt(w.pc-1, Barrier, first(w.bar.mask), 0, "the thread waits at %s, but thread (%d,%d,%d) waits at that of PTX line %d", in.op, t[0], t[1], t[2], o.bar.in.line)
			break
		}
	}
	w.stopAt(w.pc-1, Barrier, first(w.bar.mask), 0, "the thread waits at %s for more threads than there are", in.op)
	return w.fault
}

// newCTA gives a worker the state of a CTA: one that an earlier launch of the
// kernel left behind, if its block had as many threads.
func newCTA(l *launch) *cta {
	k := l.k
	c, _ := k.pool.Get().(*cta)
	if warps := (l.threads + warpSize - 1) / warpSize; c == nil || len(c.warps) != warps {
		c = &cta{k: k}
		for c.shift = 0; 1<<c.shift < k.granule; c.shift++ {
		}
		var n [2]int
		for _, s := range k.slots {
			if s.col.wide {
				n[1]++
			} else {
				n[0]++
			}
		}
		for i := range warps {
			c.warps = append(c.warps, &warp{
				k: k, c: c, code: k.code, index: i, bit: 1 << i,
				r32: make([]row32, k.regs32+n[0]), r64: make([]row64, k.regs64+n[1]),
				pred: make([]uint32, k.preds), local: make([]byte, warpSize*k.Local),
			})
		}
	}
	c.bind(l)
	return c
}

// bind readies everything that is the same for all CTAs of a launch.
func (c *cta) bind(l *launch) {
	k := c.k
	c.l, c.random = l, nil
	if l.cfg.Order == Random {
		c.random = &rng{}
	}
	if len(c.shared) != l.shared {
		c.shared = make([]byte, l.shared)
		c.cells = make([]cell, (l.shared+k.granule-1)>>c.shift)
	}
	var counts []counter
	if l.cfg.Count {
		counts = make([]counter, len(k.code))
	}
	for i, w := range c.warps {
		w.counts, w.born = counts, 0
		for lane := range warpSize {
			t, b := i*warpSize+lane, l.Block
			if t >= l.threads {
				break
			}
			w.born |= 1 << lane
			w.tid[lane] = [3]int32{int32(t % b[0]), int32(t / b[0] % b[1]), int32(t / b[0] / b[1])}
		}
		for _, s := range k.slots {
			if s.v != nil || !s.special.cta {
				w.fill(s)
			}
		}
	}
}

// unbind forgets the launch, so that the pool holds none of its memory.
func (c *cta) unbind() {
	for _, w := range c.warps {
		w.counts, w.last, w.fault = nil, nowhere, nil
		w.copies.reset()
	}
	k := c.k
	c.l, c.random = nil, nil
	k.pool.Put(c)
}

// nowhere is a region that holds no address.
var nowhere = &region{}

// begin makes everything ready for a CTA.
func (c *cta) begin(id [3]int, seed uint64) {
	c.id = id
	if c.random != nil {
		c.random.state = seed
	}
	clear(c.cells)
	c.phase = 1
	for i := range c.bars {
		c.bars[i] = barState{waiting: c.bars[i].waiting[:0]}
	}
	for _, w := range c.warps {
		clear(w.r32[:c.k.regs32])
		clear(w.r64[:c.k.regs64])
		clear(w.pred)
		clear(w.local)
		w.pc, w.limit, w.mask, w.live = 0, int32(len(w.code))+1, w.born, w.born
		w.groups, w.state, w.steps, w.fault = w.groups[:0], warpReady, 0, nil
		w.phase, w.sub, w.min, w.known = 1, 1, 0, [warpSize]uint32{}
		w.copies.reset()
		w.cc, w.ticks, w.turns, w.last = 0, 0, 0, nowhere
		for _, s := range c.k.slots {
			if s.v == nil && s.special.cta {
				w.fill(s)
			}
		}
	}
}

// special is a read-only register.
type special struct {
	bits  int
	cta   bool // differs between CTAs
	value func(w *warp, lane int) uint64
}

var specials = func() map[string]*special {
	m := map[string]*special{
		"%laneid":            {32, false, func(_ *warp, l int) uint64 { return uint64(l) }},
		"%warpid":            {32, false, func(w *warp, _ int) uint64 { return uint64(w.index) }},
		"%nwarpid":           {32, false, func(w *warp, _ int) uint64 { return uint64((w.c.l.threads + warpSize - 1) / warpSize) }},
		"%smid":              {32, false, func(*warp, int) uint64 { return 0 }},
		"%nsmid":             {32, false, func(*warp, int) uint64 { return 1 }},
		"%gridid":            {64, false, func(*warp, int) uint64 { return 0 }},
		"%lanemask_eq":       {32, false, func(_ *warp, l int) uint64 { return 1 << l }},
		"%lanemask_lt":       {32, false, func(_ *warp, l int) uint64 { return 1<<l - 1 }},
		"%lanemask_le":       {32, false, func(_ *warp, l int) uint64 { return 2<<l - 1 }},
		"%lanemask_gt":       {32, false, func(_ *warp, l int) uint64 { return allLanes &^ (2<<l - 1) }},
		"%lanemask_ge":       {32, false, func(_ *warp, l int) uint64 { return allLanes &^ (1<<l - 1) }},
		"%dynamic_smem_size": {32, false, func(w *warp, _ int) uint64 { return uint64(w.c.l.Shared) }},
		"%total_smem_size":   {32, false, func(w *warp, _ int) uint64 { return uint64(len(w.c.shared)) }},
		"%clock":             {32, true, nil},
		"%clock64":           {64, true, nil},
		"%globaltimer":       {64, true, nil},
		"%clock_hi":          {32, true, nil},
		"%globaltimer_lo":    {32, true, nil},
		"%globaltimer_hi":    {32, true, nil},
	}
	for i, axis := range []string{".x", ".y", ".z"} {
		m["%tid"+axis] = &special{32, false, func(w *warp, l int) uint64 { return uint64(uint32(w.tid[l][i])) }}
		m["%ntid"+axis] = &special{32, false, func(w *warp, _ int) uint64 { return uint64(w.c.l.Block[i]) }}
		m["%ctaid"+axis] = &special{32, true, func(w *warp, _ int) uint64 { return uint64(w.c.id[i]) }}
		m["%nctaid"+axis] = &special{32, false, func(w *warp, _ int) uint64 { return uint64(w.c.l.Grid[i]) }}
	}
	return m
}()

// fill writes the column of a slot.
func (w *warp) fill(s slot) {
	for lane := range warpSize {
		switch {
		case s.v != nil:
			w.set(s.col, lane, w.c.l.addrs[s.v])
		case s.special.value != nil:
			w.set(s.col, lane, s.special.value(w, lane))
		}
	}
}
