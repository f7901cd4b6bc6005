package ptx

// Loads and stores: addresses, checks and the movement of bytes.

import (
	"encoding/binary"
	"math/bits"
)

// access is a decoded load or store.
type access struct {
	space  space
	n      int // bytes of an element
	regs   []col
	keep   []uint8 // bits of each register that a load writes
	skip   []bool  // elements that go nowhere (_)
	signed bool
	addr   col
	off    int64
	narrow bool // at most four registers, all of 32 bits
	strong bool // volatile, relaxed …: not a race with its like
	write  bool
}

func (x *access) size() int { return x.n * len(x.regs) }

// addresses is the address of each lane.
func (x *access) addresses(w *warp) *row64 {
	if x.addr.wide {
		from := w.c64(x.addr.idx)
		if x.off == 0 {
			return from
		}
		off := uint64(x.off)
		for i := range from {
			w.addr[i] = from[i] + off
		}
		return &w.addr
	}
	from, off := w.c32(x.addr.idx), uint32(x.off)
	for i := range from {
		w.addr[i] = uint64(from[i] + off)
	}
	return &w.addr
}

// window turns a generic address into one of a space.
func window(a uint64) (space, uint64) {
	switch a >> 32 {
	case sharedWindow >> 32:
		return spaceShared, a - sharedWindow
	case localWindow >> 32:
		return spaceLocal, a - localWindow
	case paramWindow >> 32:
		return spaceParam, a - paramWindow
	}
	return spaceGlobal, a
}

// global is the bytes of a global access, nil after a fault.
func (w *warp) global(a uint64, n int, lane int, write bool) []byte {
	r := w.last
	if o := a - r.base; o >= uint64(len(r.data)) || uint64(len(r.data))-o < uint64(n) {
		r = find(w.c.l.mem.blocks, a)
		if r == nil || uint64(len(r.data))-(a-r.base) < uint64(n) {
			kind, what := w.c.l.mem.explain(a, int64(n))
			w.stop(kind, lane, a, "%s", what)
			return nil
		}
		w.last = r
	}
	if a&uint64(n-1) != 0 {
		w.stop(Misaligned, lane, a, "address %#x is no multiple of %d", a, n)
		return nil
	}
	if write && r.readOnly {
		w.stop(ReadOnly, lane, a, "%s is constant", r)
		return nil
	}
	o := a - r.base
	return r.data[o : o+uint64(n)]
}

// inside checks an access of a small memory with addresses from 0.
func (w *warp) inside(what space, a uint64, n, size int, lane int) bool {
	if a >= uint64(size) || uint64(size)-a < uint64(n) {
		w.stop(OutOfBounds, lane, a, "%d bytes at address %d of %s memory, which has %d", n, int64(a), what, size)
		return false
	}
	if a&uint64(n-1) != 0 {
		w.stop(Misaligned, lane, a, "%s address %d is no multiple of %d", what, a, n)
		return false
	}
	return true
}

// at is the bytes that a lane accesses in any space, nil after a fault.
// Shared accesses are checked and recorded.
func (x *access) at(w *warp, a uint64, lane int) []byte {
	n := x.size()
	s := x.space
	if s == spaceGeneric {
		s, a = window(a)
	}
	switch s {
	case spaceShared:
		if !w.inside(s, a, n, len(w.c.shared), lane) {
			return nil
		}
		var flags uint32
		if x.strong {
			flags = stampAtomic
		}
		if x.write && !w.noteWrite(uint32(a), n, lane, flags) || !x.write && !w.noteRead(uint32(a), n, lane, flags) {
			return nil
		}
		return w.c.shared[a : a+uint64(n)]
	case spaceLocal:
		if !w.inside(s, a, n, w.k.Local, lane) {
			return nil
		}
		a += uint64(lane * w.k.Local)
		return w.local[a : a+uint64(n)]
	case spaceParam:
		if !w.inside(s, a, n, len(w.c.l.Params), lane) {
			return nil
		}
		if x.write {
			w.stop(ReadOnly, lane, a, "store to the parameters")
			return nil
		}
		return w.c.l.Params[a : a+uint64(n)]
	}
	return w.global(a, n, lane, x.write)
}

func get(b []byte, n int) uint64 {
	switch n {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(binary.LittleEndian.Uint16(b))
	case 4:
		return uint64(binary.LittleEndian.Uint32(b))
	}
	return binary.LittleEndian.Uint64(b)
}

func put(b []byte, n int, v uint64) {
	switch n {
	case 1:
		b[0] = byte(v)
	case 2:
		binary.LittleEndian.PutUint16(b, uint16(v))
	case 4:
		binary.LittleEndian.PutUint32(b, uint32(v))
	default:
		binary.LittleEndian.PutUint64(b, v)
	}
}

// load is ld of any kind.
func (x *access) load(w *warp, m uint32) {
	a := x.addresses(w)
	if w.counts != nil {
		x.account(w, a, m)
	}
	if x.n == 4 && !x.signed && x.narrow {
		if x.space == spaceGlobal {
			x.loadGlobal4(w, a, m)
			return
		}
		if x.space == spaceShared && !x.strong {
			x.loadShared4(w, a, m)
			return
		}
	}
	for mm := m; mm != 0; mm &= mm - 1 {
		lane := bits.TrailingZeros32(mm)
		b := x.at(w, a[lane&31], lane)
		if b == nil {
			return
		}
		for i, r := range x.regs {
			if x.skip[i] {
				continue
			}
			v := get(b[i*x.n:], x.n)
			if x.signed {
				v = low(uint64(signed(v, x.n*8)), int(x.keep[i]))
			}
			w.set(r, lane, v)
		}
	}
}

func (x *access) loadGlobal4(w *warp, a *row64, m uint32) {
	n := uint64(x.size())
	r := w.last
	var d [4]*row32
	for i, c := range x.regs {
		d[i&3] = &w.tmp
		if !x.skip[i] {
			d[i&3] = &w.r32[c.idx]
		}
	}
	for mm := m; mm != 0; mm &= mm - 1 {
		lane := bits.TrailingZeros32(mm) & 31
		addr := a[lane]
		o := addr - r.base
		if o >= uint64(len(r.data)) || uint64(len(r.data))-o < n || addr&(n-1) != 0 {
			if w.global(addr, int(n), lane, false) == nil {
				return
			}
			r = w.last
			o = addr - r.base
		}
		b := r.data[o : o+n]
		d[0][lane] = binary.LittleEndian.Uint32(b)
		if n >= 8 {
			d[1][lane] = binary.LittleEndian.Uint32(b[4:])
			if n == 16 {
				d[2][lane] = binary.LittleEndian.Uint32(b[8:])
				d[3][lane] = binary.LittleEndian.Uint32(b[12:])
			}
		}
	}
}

func (x *access) loadShared4(w *warp, a *row64, m uint32) {
	n := uint64(x.size())
	var d [4]*row32
	for i, c := range x.regs {
		d[i&3] = &w.tmp
		if !x.skip[i] {
			d[i&3] = &w.r32[c.idx]
		}
	}
	mem := w.c.shared
	last, same := ^uint64(0), 0
	for mm := m; mm != 0; mm &= mm - 1 {
		lane := bits.TrailingZeros32(mm) & 31
		o := a[lane]
		if o == last {
			same++
		} else {
			last, same = o, 0
			if o >= uint64(len(mem)) || uint64(len(mem))-o < n || o&(n-1) != 0 {
				w.inside(spaceShared, o, int(n), len(mem), lane)
				return
			}
		}
		// Two lanes at one address are recorded, more tell nothing new.
		if same < 2 && !w.noteRead(uint32(o), int(n), lane, 0) {
			return
		}
		b := mem[o : o+n]
		d[0][lane] = binary.LittleEndian.Uint32(b)
		if n >= 8 {
			d[1][lane] = binary.LittleEndian.Uint32(b[4:])
			if n == 16 {
				d[2][lane] = binary.LittleEndian.Uint32(b[8:])
				d[3][lane] = binary.LittleEndian.Uint32(b[12:])
			}
		}
	}
}

// store is st of any kind.
func (x *access) store(w *warp, m uint32) {
	a := x.addresses(w)
	if w.counts != nil {
		x.account(w, a, m)
	}
	if x.space == spaceGlobal && x.n == 4 && x.narrow {
		x.storeGlobal4(w, a, m)
		return
	}
	n := uint64(x.size())
	shift := bits.TrailingZeros64(n)
	var seen [4]uint64 // a bit for each address, with 256 of them
	for mm := m; mm != 0; mm &= mm - 1 {
		lane := bits.TrailingZeros32(mm)
		o := a[lane&31]
		s := x.space
		if s == spaceGeneric {
			s, _ = window(o)
		}
		if s == spaceShared {
			at, bit := o>>shift>>6&3, uint64(1)<<(o>>shift&63)
			if seen[at]&bit != 0 { // perhaps an address for the second time
				switch x.clash(w, a, m, lane) {
				case clashSame:
					continue
				case clashFault:
					return
				}
			}
			seen[at] |= bit
		}
		b := x.at(w, o, lane)
		if b == nil {
			return
		}
		for i, r := range x.regs {
			put(b[i*x.n:], x.n, w.get(r, lane))
		}
	}
}

func (x *access) storeGlobal4(w *warp, a *row64, m uint32) {
	n := uint64(x.size())
	r := nowhere // so that the first store is checked in full, for read-only memory too
	var s [4]*row32
	for i, c := range x.regs {
		s[i&3] = w.c32(c.idx)
	}
	for mm := m; mm != 0; mm &= mm - 1 {
		lane := bits.TrailingZeros32(mm) & 31
		addr := a[lane]
		o := addr - r.base
		if o >= uint64(len(r.data)) || uint64(len(r.data))-o < n || addr&(n-1) != 0 {
			if w.global(addr, int(n), lane, true) == nil {
				return
			}
			r = w.last
			o = addr - r.base
		}
		b := r.data[o : o+n]
		binary.LittleEndian.PutUint32(b, s[0][lane])
		if n >= 8 {
			binary.LittleEndian.PutUint32(b[4:], s[1][lane])
			if n == 16 {
				binary.LittleEndian.PutUint32(b[8:], s[2][lane])
				binary.LittleEndian.PutUint32(b[12:], s[3][lane])
			}
		}
	}
}

const (
	clashNone = iota
	clashSame
	clashFault
)

// clash compares a lane's shared store with those of the lanes before it in
// the same instruction. Equal values at one address are harmless.
func (x *access) clash(w *warp, a *row64, m uint32, lane int) int {
	n := uint64(x.size())
	for mm := m & (1<<lane - 1); mm != 0; mm &= mm - 1 {
		o := bits.TrailingZeros32(mm)
		if a[o] >= a[lane]+n || a[lane] >= a[o]+n {
			continue
		}
		same := a[o] == a[lane]
		for _, r := range x.regs {
			same = same && low(w.get(r, o), x.n*8) == low(w.get(r, lane), x.n*8)
		}
		if same {
			return clashSame
		}
		t := w.tid[o]
		w.stop(Race, lane, a[lane], "write to shared address %d, to which thread (%d,%d,%d) writes another value in the same instruction", a[lane], t[0], t[1], t[2])
		return clashFault
	}
	return clashNone
}
