package ptx

// A warp: 32 lanes that execute one instruction a row at a time. Lanes that
// branched apart form groups; the group at the lowest address runs first and
// groups that meet merge again.

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

const (
	warpSize = 32
	allLanes = 1<<32 - 1
)

func trailing(v uint64) int { return bits.TrailingZeros64(v) }

func put64(b []byte, v uint64) { binary.LittleEndian.PutUint64(b, v) }

// warpState is what the scheduler of the CTA needs to know.
type warpState uint8

const (
	warpReady warpState = iota
	warpWaits           // at a barrier
	warpDone
)

// group is lanes that are at the same instruction.
type group struct {
	pc   int32
	mask uint32
	wait bool // for other lanes, at an instruction that all must execute together
}

type warp struct {
	k     *Kernel
	c     *cta
	code  []inst
	r32   []row32
	r64   []row64
	pred  []uint32
	cc    uint32 // the condition code, a bit a lane
	ticks uint64 // clocks read
	turns uint64 // choices between groups

	pc     int32
	limit  int32 // where the next group waits
	mask   uint32
	live   uint32
	born   uint32
	groups []group
	state  warpState
	steps  int64
	fault  *Fault

	index int
	bit   uint32
	tid   [warpSize][3]int32
	local []byte

	// Ordering of shared memory accesses: see shared.go.
	phase, sub, min uint32
	known           [warpSize]uint32

	last   *region // where the last global access was
	copies copies
	counts []counter
	bar    barWait

	t    [4]row64 // operands, widened
	tmp  row32    // results, before they are blended in
	tmp6 row64
	addr row64
}

// c32 is a column of 32-bit values.
func (w *warp) c32(i int32) *row32 {
	if i >= 0 {
		return &w.r32[i]
	}
	return &w.k.consts32[^i]
}

func (w *warp) c64(i int32) *row64 {
	if i >= 0 {
		return &w.r64[i]
	}
	return &w.k.consts64[^i]
}

// load is a column widened to 64 bits; buffer n may hold it.
func (w *warp) load(c col, n int) *row64 {
	if c.wide {
		return w.c64(c.idx)
	}
	from, to := w.c32(c.idx), &w.t[n]
	for i := range to {
		to[i] = uint64(from[i])
	}
	return to
}

// get is one lane of a column.
func (w *warp) get(c col, lane int) uint64 {
	if c.wide {
		return w.c64(c.idx)[lane]
	}
	return uint64(w.c32(c.idx)[lane])
}

func (w *warp) set(c col, lane int, v uint64) {
	if c.wide {
		w.r64[c.idx][lane] = v
	} else {
		w.r32[c.idx][lane] = uint32(v)
	}
}

// stop records a fault of a lane at the current instruction.
func (w *warp) stop(kind Kind, lane int, addr uint64, format string, args ...any) {
	w.stopAt(w.pc, kind, lane, addr, format, args...)
}

func (w *warp) stopAt(pc int32, kind Kind, lane int, addr uint64, format string, args ...any) {
	if w.fault != nil {
		return
	}
	in := &w.code[pc]
	t := w.tid[lane&31]
	w.fault = &Fault{
		Kind: kind, Kernel: w.k.Name, Line: int(in.line), Source: w.k.sources[in.source],
		CTA: w.c.id, Thread: [3]int{int(t[0]), int(t[1]), int(t[2])}, Addr: addr,
		Detail: fmt.Sprintf(format, args...),
	}
}

// run executes up to budget instructions, until the warp waits, ends or faults.
func (w *warp) run(budget int64) {
	code := w.code
	start := budget
	for budget > 0 {
		in := &code[w.pc]
		m := w.mask
		if in.guard >= 0 {
			p := w.pred[in.guard]
			if in.not {
				p = ^p
			}
			m &= p
		}
		budget--
		if w.counts != nil {
			w.counts[w.pc].issues++
			w.counts[w.pc].lanes += int64(bits.OnesCount32(m))
		}
		if in.ctl == ctlNone {
			if m != 0 {
				in.exec(w, m)
				if w.fault != nil {
					break
				}
			}
			w.pc++
		} else {
			w.control(in, m)
			if w.fault != nil || w.state != warpReady {
				break
			}
		}
		if w.pc >= w.limit {
			w.regroup()
			if w.fault != nil {
				break
			}
		}
	}
	w.steps += start - budget
}

// control executes what may change the group that runs.
func (w *warp) control(in *inst, m uint32) {
	switch in.ctl {
	case ctlBranch:
		switch m {
		case 0:
			w.pc++
			return
		case w.mask:
			w.pc = in.target
		default:
			w.groups = append(w.groups, group{pc: in.target, mask: m})
			w.mask &^= m
			w.pc++
		}
		if len(w.groups) > 0 {
			w.regroup()
		}
	case ctlTable:
		w.table(in, m)
	case ctlExit:
		w.live &^= m
		w.mask &^= m
		w.pc++
		if w.mask == 0 {
			if len(w.groups) == 0 {
				w.copies.finish(w)
				w.state = warpDone
				return
			}
			w.regroup()
		}
	case ctlTrap:
		if m != 0 {
			w.stop(Trapped, bits.TrailingZeros32(m), 0, "the kernel stopped itself: trap, or an assertion that failed")
		}
		w.pc++
	case ctlSync:
		if m == 0 {
			w.pc++
			return
		}
		var need uint32
		mask := w.c32(in.mask.idx)
		for mm := m; mm != 0; mm &= mm - 1 {
			need |= mask[bits.TrailingZeros32(mm)&31]
		}
		if !w.gather(in, m, need) {
			return
		}
		in.exec(w, m)
		w.pc++
	case ctlBarrier:
		if m == 0 {
			w.pc++
			return
		}
		if w.gather(in, m, w.live) {
			w.arrive(in, m)
		}
	}
}

// gather says whether the lanes m, which are at an instruction that needs
// those of need, may execute it. If not they wait, or it is a fault.
func (w *warp) gather(in *inst, m, need uint32) bool {
	if gone := need &^ w.live; gone != 0 {
		why := "has exited"
		if lane := bits.TrailingZeros32(gone); w.born>>lane&1 == 0 {
			why = "does not exist"
		}
		w.stop(Shuffle, bits.TrailingZeros32(m), 0, "%s needs lanes %#08x, but lane %d of the warp %s", in.op, need, bits.TrailingZeros32(gone), why)
		return false
	}
	if need&^m == 0 {
		return true
	}
	w.groups = append(w.groups, group{pc: w.pc, mask: m, wait: true})
	if w.mask &^= m; w.mask != 0 {
		w.pc++
	}
	w.regroup()
	return false
}

// regroup puts the current group among the others, merges groups that met and
// goes on with the one at the lowest address that does not wait.
func (w *warp) regroup() {
	if w.mask != 0 {
		w.groups = append(w.groups, group{pc: w.pc, mask: w.mask})
		w.mask = 0
	}
	best := -1
	for i := 0; i < len(w.groups); i++ {
		for j := len(w.groups) - 1; j > i; j-- {
			if w.groups[j].pc == w.groups[i].pc {
				w.groups[i].mask |= w.groups[j].mask
				w.groups[i].wait = false
				w.groups = append(w.groups[:j], w.groups[j+1:]...)
			}
		}
		if g := w.groups[i]; !g.wait && (best < 0 || g.pc < w.groups[best].pc) {
			best = i
		}
	}
	if best < 0 {
		w.diverged()
		return
	}
	if len(w.groups) > 1 {
		best = w.fair(best)
	}
	g := w.groups[best]
	w.groups = append(w.groups[:best], w.groups[best+1:]...)
	w.pc, w.mask, w.limit = g.pc, g.mask, int32(len(w.code))+1
	for _, o := range w.groups {
		if o.pc > w.pc && o.pc < w.limit {
			w.limit = o.pc
		}
	}
}

// fair is the group to go on with: the best one, but now and then another, as
// lanes may wait in a loop for others of their warp. In random order that is
// often.
func (w *warp) fair(best int) int {
	n := uint64(len(w.groups))
	w.turns++
	i := w.turns >> 8 % n
	if r := w.c.random; r != nil {
		if r.next()&7 != 0 {
			return best
		}
		i = r.next() % n
	} else if w.turns&255 != 0 {
		return best
	}
	if w.groups[i].wait {
		return best
	}
	return int(i)
}

// diverged reports lanes that wait for others that never come.
func (w *warp) diverged() {
	g := w.groups[0]
	in := &w.code[g.pc]
	kind := Shuffle
	if in.ctl == ctlBarrier {
		kind = Barrier
	}
	where := "have exited"
	if len(w.groups) > 1 {
		o := w.groups[1]
		where = fmt.Sprintf("%#08x are at %s of PTX line %d", o.mask, w.code[o.pc].op, w.code[o.pc].line)
	}
	w.stopAt(g.pc, kind, bits.TrailingZeros32(g.mask), 0, "lanes %#08x of the warp wait at %s, but others %s", g.mask, in.op, where)
}

// table is brx.idx.
func (w *warp) table(in *inst, m uint32) {
	index := w.c32(in.mask.idx)
	for mm := m; mm != 0; mm &= mm - 1 {
		lane := bits.TrailingZeros32(mm)
		i := index[lane&31]
		if int64(i) >= int64(len(in.targets)) {
			w.stop(BadOperand, lane, 0, "index %d of a table of %d targets", i, len(in.targets))
			return
		}
		w.groups = append(w.groups, group{pc: in.targets[i], mask: 1 << lane})
	}
	w.mask &^= m
	w.pc++
	w.regroup()
}
