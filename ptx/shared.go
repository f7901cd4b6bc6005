package ptx

// Shared memory and its checks. A cell for every few bytes remembers the last
// write and the reads since. Barriers give vector clocks over the warps of a
// CTA (FastTrack, Flanagan and Freund, 2009); inside a warp, bar.warp.sync
// orders the lanes.

import "math/bits"

// cell is the history of one granule. A stamp holds, from the top: 11 bits of
// phase, 9 of sub-phase, a flag, a flag, 5 bits of warp, 5 of lane.
type cell struct {
	write   uint32 // 0: nobody wrote
	read    uint32
	readers uint32 // warps
}

const (
	stampAtomic  = 1 << 11 // write
	stampPending = 1 << 10 // write: an asynchronous copy that was not waited for
	stampMany    = 1 << 11 // read: by several lanes of one warp
	stampAll     = 1 << 10 // read: by the warp as one, as ldmatrix does
	phaseShift   = 21
	subShift     = 12
	maxPhase     = 1<<11 - 2 // the one above marks pending copies
	maxSub       = 1<<9 - 1
	phasePending = 1<<11 - 1
)

// stamp is the time of an access by a lane.
func (w *warp) stamp(lane int) uint32 {
	return w.phase<<phaseShift | w.sub<<subShift | uint32(w.index)<<5 | uint32(lane)
}

// join orders everything the warps of a barrier did before all they do after.
func (c *cta) join(s *barState) {
	if c.phase >= maxPhase {
		c.forget()
	}
	var known [warpSize]uint32
	for _, w := range c.warps {
		if s.joined&w.bit == 0 {
			continue
		}
		for i, v := range w.known {
			known[i] = max(known[i], v)
		}
		known[w.index] = max(known[w.index], w.phase)
	}
	c.phase++
	for _, w := range s.waiting {
		w.known = known
		w.phase, w.sub = c.phase, 1
		w.min = known[0]
		for i := range c.warps {
			w.min = min(w.min, known[i])
		}
	}
	// Those that only arrived have published what they did; their next phase
	// is a new one, but they know nothing of the others.
	for _, w := range c.warps {
		if s.joined&w.bit != 0 && w.state != warpWaits {
			w.known[w.index] = w.phase
			w.phase, w.sub = c.phase, 1
		}
	}
}

// forget starts the phases again when they run out of bits: all that was
// before counts as ordered.
func (c *cta) forget() {
	for i := range c.cells {
		s := &c.cells[i]
		if s.write != 0 && s.write&stampPending == 0 {
			s.write = 1<<phaseShift | s.write&(1<<subShift-1)&^stampAtomic
		}
		s.read, s.readers = 0, 0
	}
	c.phase = 1
	for _, w := range c.warps {
		w.phase, w.sub, w.min = 1, 1, 1
		for i := range w.known {
			w.known[i] = 1
		}
	}
	c.phase = 2
	for _, w := range c.warps {
		w.phase = 2
	}
}

// syncWarp is bar.warp.sync: it orders the lanes of the warp.
func (w *warp) syncWarp() {
	if w.sub < maxSub {
		w.sub++
		return
	}
	for i := range w.c.cells { // out of bits: older accesses of this phase become sub-phase 0
		s := &w.c.cells[i]
		if s.write>>phaseShift == w.phase && s.write>>5&31 == uint32(w.index) {
			s.write &^= maxSub << subShift
		}
		if s.read>>phaseShift == w.phase && s.readers == w.bit {
			s.read &^= maxSub << subShift
		}
	}
	w.sub = 1
}

// ordered says whether the write of a stamp happened before what the lane
// does now.
func (w *warp) ordered(stamp uint32, lane int) bool {
	if stamp&stampPending != 0 {
		return false
	}
	by := stamp >> 5 & 31
	if w.known[by] >= stamp>>phaseShift {
		return true
	}
	return by == uint32(w.index) && (stamp&31 == uint32(lane) || stamp>>subShift&maxSub < w.sub)
}

func (w *warp) race(what string, stamp uint32, lane int, addr uint32) {
	o := w.c.warps[stamp>>5&31]
	t := o.tid[stamp&31]
	switch {
	case stamp&stampPending != 0:
		w.stop(Race, lane, uint64(addr), "%s shared address %d while a cp.async of thread (%d,%d,%d) to it has not been waited for", what, addr, t[0], t[1], t[2])
	case o == w:
		w.stop(Race, lane, uint64(addr), "%s shared address %d after a write by thread (%d,%d,%d) of the same warp, with no bar.warp.sync between", what, addr, t[0], t[1], t[2])
	default:
		w.stop(Race, lane, uint64(addr), "%s shared address %d after a write by thread (%d,%d,%d) of another warp, with no barrier between", what, addr, t[0], t[1], t[2])
	}
}

// noteRead checks and records a read of n bytes at addr, which lie in shared
// memory. flags is stampAtomic for atomic and volatile reads, stampAll for
// reads of a whole warp.
func (w *warp) noteRead(addr uint32, n int, lane int, flags uint32) bool {
	from, to := addr>>w.c.shift, (addr+uint32(n)-1)>>w.c.shift
	now := w.stamp(lane)
	for at := from; at <= to; at++ {
		s := &w.c.cells[at]
		if s.write>>phaseShift > w.min || s.write == 0 {
			if s.write == 0 {
				w.stop(Uninitialised, lane, uint64(addr), "read of shared address %d, which nobody wrote", max(addr, at<<w.c.shift))
				return false
			}
			if !w.ordered(s.write, lane) && (s.write&stampPending != 0 || flags&stampAtomic == 0 || s.write&stampAtomic == 0) {
				w.race("read of", s.write, lane, max(addr, at<<w.c.shift))
				return false
			}
		}
		if flags&stampAtomic != 0 {
			continue // its write is what others see
		}
		switch old := s.read; {
		case s.readers == w.bit && (old^now)&^(stampMany|stampAll|31) == 0: // again, in the same sub-phase
			if (old^now)&31 != 0 {
				s.read |= stampMany
			}
			s.read = s.read&^stampAll | s.read&flags
		case old>>phaseShift == w.phase && s.readers&^w.bit != 0:
			s.readers |= w.bit
		default:
			if keep := w.unordered(s); keep != 0 {
				s.readers = keep | w.bit
				continue
			}
			s.read, s.readers = now|flags, w.bit
		}
	}
	return true
}

// unordered is the warps whose reads of a cell did not happen before now.
func (w *warp) unordered(s *cell) uint32 {
	if s.read>>phaseShift <= w.min {
		return 0
	}
	var keep uint32
	for m := s.readers &^ w.bit; m != 0; m &= m - 1 {
		if r := bits.TrailingZeros32(m); w.known[r] < s.read>>phaseShift {
			keep |= 1 << r
		}
	}
	return keep
}

// noteWrite checks and records a write. flags is stampAtomic for atomics,
// stampPending for asynchronous copies that begin.
func (w *warp) noteWrite(addr uint32, n int, lane int, flags uint32) bool {
	from, to := addr>>w.c.shift, (addr+uint32(n)-1)>>w.c.shift
	now := w.stamp(lane) | flags
	if flags&stampPending != 0 {
		now |= phasePending << phaseShift
	}
	for at := from; at <= to; at++ {
		s := &w.c.cells[at]
		if s.write>>phaseShift > w.min && !w.ordered(s.write, lane) && (s.write&stampPending != 0 || flags&s.write&stampAtomic == 0) {
			w.race("write to", s.write, lane, max(addr, at<<w.c.shift))
			return false
		}
		if s.read>>phaseShift > w.min {
			if others := w.unordered(s); others != 0 {
				r := first(others)
				w.stop(Race, lane, uint64(addr), "write to shared address %d after a read by warp %d, with no barrier between", max(addr, at<<w.c.shift), r)
				return false
			}
			if s.readers == w.bit && s.read>>phaseShift == w.phase && s.read>>subShift&maxSub == w.sub && s.read&stampAll == 0 &&
				(s.read&stampMany != 0 || s.read&31 != uint32(lane)) {
				w.stop(Race, lane, uint64(addr), "write to shared address %d after a read by another thread of the same warp, with no bar.warp.sync between", max(addr, at<<w.c.shift))
				return false
			}
		}
		s.write, s.read, s.readers = now, 0, 0
	}
	return true
}

// settle turns the mark of an asynchronous copy into a write of now.
func (w *warp) settle(addr uint32, n int, lane int) {
	now := w.stamp(lane)
	for at := addr >> w.c.shift; at <= (addr+uint32(n)-1)>>w.c.shift; at++ {
		w.c.cells[at].write = now
	}
}
