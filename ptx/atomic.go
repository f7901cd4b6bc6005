package ptx

// Atomics, on global memory with the host's own, so that CTAs on several
// goroutines may share it.

import (
	"math/bits"
	"sync/atomic"
	"unsafe"
)

// reduction is the function of an atomic: old value, operand, and the second
// operand of cas. nil if the type has no such operation.
func reduction(op string, t ptype) fn3 {
	sign := t.kind == 's'
	less := func(a, b uint64) bool {
		if sign {
			return signed(a, t.bits) < signed(b, t.bits)
		}
		return a < b
	}
	if t.float() {
		return reductionFloat(op, t)
	}
	switch op {
	case "add":
		return func(a, b, _ uint64) uint64 { return low(a+b, t.bits) }
	case "min":
		return func(a, b, _ uint64) uint64 {
			if less(b, a) {
				return b
			}
			return a
		}
	case "max":
		return func(a, b, _ uint64) uint64 {
			if less(a, b) {
				return b
			}
			return a
		}
	case "and":
		return func(a, b, _ uint64) uint64 { return a & b }
	case "or":
		return func(a, b, _ uint64) uint64 { return a | b }
	case "xor":
		return func(a, b, _ uint64) uint64 { return a ^ b }
	case "exch":
		return func(_, b, _ uint64) uint64 { return b }
	case "cas":
		return func(a, b, c uint64) uint64 {
			if a == b {
				return c
			}
			return a
		}
	case "inc":
		return func(a, b, _ uint64) uint64 {
			if a >= b {
				return 0
			}
			return a + 1
		}
	case "dec":
		return func(a, b, _ uint64) uint64 {
			if a == 0 || a > b {
				return b
			}
			return a - 1
		}
	}
	return nil
}

func reductionFloat(op string, t ptype) fn3 {
	half := t.bits == 16 || t.pair
	switch {
	case op == "add" && half:
		return halfOp(t, false, false, false, func(a, b, _ float64) float64 { return sumOdd(a, b) })
	case op == "add" && t.bits == 32:
		return func(a, b, _ uint64) uint64 { return uint64(canon(f32w(a) + f32w(b))) }
	case op == "add":
		return func(a, b, _ uint64) uint64 { return b64(f64(a) + f64(b)) }
	case half && (op == "min" || op == "max"):
		one := ptype{t.kind, 16, false}
		return func(a, b, _ uint64) uint64 {
			v := minFloat(one, a&0xffff, b&0xffff, op == "min", false, false, false)
			if t.pair {
				v |= minFloat(one, a>>16, b>>16, op == "min", false, false, false) << 16
			}
			return v
		}
	}
	return nil
}

var atomicTypes = map[string]string{
	"add": "u32 s32 u64 f32 f64 f16 f16x2 bf16 bf16x2", "min": "u32 s32 u64 s64 f16 f16x2 bf16 bf16x2", "max": "u32 s32 u64 s64 f16 f16x2 bf16 bf16x2",
	"and": "b32 b64", "or": "b32 b64", "xor": "b32 b64", "exch": "b32 b64", "cas": "b16 b32 b64", "inc": "u32", "dec": "u32",
}

// decodeAtom is atom and red.
func decodeAtom(d *dec) {
	red := d.st.op[:3] == "red"
	d.opt("relaxed", "acquire", "release", "acq_rel")
	d.opt("cta", "cluster", "gpu", "sys")
	s := d.space("global", "shared", "shared::cta")
	op := d.need("add", "min", "max", "and", "or", "xor", "exch", "cas", "inc", "dec")
	d.opt("noftz")
	if d.has("L2::cache_hint") {
		d.fail("cache hints of atomics are not supported")
	}
	t := d.typeOf(atomicTypes[op])
	x := &access{n: int(t.bytes()), write: true, strong: true, regs: make([]col, 1)}
	args := d.st.args
	if !red {
		if len(args) == 0 {
			d.fail("operands are missing")
		}
		args = args[1:]
	}
	n := 2
	if op == "cas" {
		n = 3
	}
	if len(args) != n || red && (op == "exch" || op == "cas") {
		d.fail("%d operands", len(d.st.args))
	}
	x.addr, x.off, x.space = d.address(&args[0], s)
	b := d.src(&args[1], t)
	c := b
	if op == "cas" {
		c = d.src(&args[2], t)
	}
	dst := col{-1, false}
	if !red && d.arg(0).kind != argSink {
		dst = d.dst(d.arg(0), t)
	}
	d.sharedGrain(x.space, x.n)
	if t.float() {
		d.in.flops = 1
	}
	f := reduction(op, t)
	d.in.exec = func(w *warp, m uint32) { x.atomic(w, m, f, dst, b, c) }
}

func (x *access) atomic(w *warp, m uint32, f fn3, dst, b, c col) {
	a := *x.addresses(w)
	if w.counts != nil {
		x.account(w, &a, m)
	}
	for mm := m; mm != 0; mm &= mm - 1 {
		lane := bits.TrailingZeros32(mm)
		s, addr := x.space, a[lane]
		if s == spaceGeneric {
			s, addr = window(addr)
		}
		vb, vc := w.get(b, lane), w.get(c, lane)
		var old uint64
		if s == spaceGlobal {
			p := w.global(addr, x.n, lane, true)
			if p == nil {
				return
			}
			old = update(p, x.n, func(v uint64) uint64 { return f(v, vb, vc) })
		} else {
			if s == spaceShared && w.inside(s, addr, x.n, len(w.c.shared), lane) && !w.noteRead(uint32(addr), x.n, lane, stampAtomic) {
				return
			}
			p := x.at(w, a[lane], lane)
			if p == nil {
				return
			}
			old = get(p, x.n)
			put(p, x.n, f(old, vb, vc))
		}
		if dst.idx >= 0 {
			w.set(dst, lane, old)
		}
	}
}

// update replaces the aligned value at p in one step and gives the old one.
func update(p []byte, n int, f func(uint64) uint64) uint64 {
	if n == 8 {
		q := (*uint64)(unsafe.Pointer(&p[0]))
		for {
			old := atomic.LoadUint64(q)
			if atomic.CompareAndSwapUint64(q, old, f(old)) {
				return old
			}
		}
	}
	at := uintptr(unsafe.Pointer(&p[0]))
	shift := uint(at&3) * 8 // of a 16-bit value in its word; hosts are little-endian
	q := (*uint32)(unsafe.Pointer(uintptr(unsafe.Pointer(&p[0])) &^ 3))
	mask := uint32(low(^uint64(0), n*8)) << shift
	for {
		word := atomic.LoadUint32(q)
		old := uint64(word & mask >> shift)
		if atomic.CompareAndSwapUint32(q, word, word&^mask|uint32(f(old))<<shift&mask) {
			return old
		}
	}
}
