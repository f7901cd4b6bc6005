package main

// Functions on rows of floats: what is above a bound, and 16-bit floats.

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// above writes the search for elements above a bound.
func (m *lanes) above() {
	m.begin("above", "func(ids []int32, x []float32, bound float32) (found, seen int)", "is Vectors.Above.")
	ids := m.Load(m.Param("ids").Base(), m.GP64()).(reg.GPVirtual)
	room := m.Load(m.Param("ids").Len(), m.GP64()).(reg.GPVirtual)
	m.SUBQ(operand.I32(int32(4*m.n)), room)
	x := m.Load(m.Param("x").Base(), m.GP64()).(reg.GPVirtual)
	whole := m.mask(m.Load(m.Param("x").Len(), m.GP64()).(reg.GPVirtual))
	single := m.Load(m.Param("bound"), m.XMM()).(reg.VecVirtual)
	bound := m.reg()
	m.VBROADCASTSS(single, bound)
	found, at, end := m.GP64(), m.GP64(), m.GP64()
	m.XORQ(found, found)
	m.XORQ(at, at)
	m.MOVQ(whole, end)
	m.ANDQ(operand.I32(int32(-4*m.size())), end)
	lane := m.reg()
	if m.wide {
		m.VMOVUPS(m.data.words("lanes_count", 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), lane)
	}
	loop, next, rest, full := m.label("four"), m.label("next"), m.label("rest"), m.label("full")
	m.Label(loop)
	m.CMPQ(at, end)
	m.JGE(to(rest))
	some := make([]reg.Register, 4)
	for i := range some {
		if m.wide {
			k := m.K()
			m.VCMPPS(operand.U8(14), bound, m.load(m.vectorAt(x, at, i), false), k) // greater, ordered
			some[i] = k
			continue
		}
		t := m.reg()
		m.VCMPPS(operand.U8(1), m.vectorAt(x, at, i), bound, t) // less, ordered
		some[i] = t
	}
	if m.wide {
		a, b := m.K(), m.K()
		m.KORW(some[0], some[1], a)
		m.KORW(some[2], some[3], b)
		m.KORTESTW(a, b)
	} else {
		a, b := m.reg(), m.reg()
		m.VORPS(some[0], some[1], a)
		m.VORPS(some[2], some[3], b)
		m.VORPS(a, b, a)
		m.VPTEST(a, a)
	}
	m.JZ(to(next))
	m.CMPQ(found, room) // must hold all lanes of all four
	m.JG(to(full))
	for i := range some {
		m.list(ids, found, at, i, some[i], lane)
	}
	m.Label(next)
	m.ADDQ(operand.I32(int32(4*m.size())), at)
	m.JMP(to(loop))
	m.Label(rest)
	m.CMPQ(found, room)
	m.JG(to(full))
	m.eachFrom(at, whole, func(at reg.GPVirtual, partial bool) {
		v := m.load(m.vectorAt(x, at, 0), partial)
		if m.wide {
			k := m.K()
			m.VCMPPS(operand.U8(14), bound, v, k)
			if partial {
				m.KANDW(m.kMask, k, k)
			}
			m.list(ids, found, at, 0, k, lane)
			return
		}
		m.VCMPPS(operand.U8(1), v, bound, v)
		m.clear(v, partial)
		m.list(ids, found, at, 0, v, lane)
	})
	m.Store(found, m.ReturnIndex(0))
	m.Store(m.Load(m.Param("x").Len(), m.GP64()), m.ReturnIndex(1))
	m.end()
	m.Label(full)
	m.SHRQ(operand.U8(2), at)
	m.Store(found, m.ReturnIndex(0))
	m.Store(at, m.ReturnIndex(1))
	m.end()
}

// list appends the numbers of the lanes of vector i that are set.
func (m *lanes) list(ids, found, at reg.GPVirtual, i int, some reg.Register, lane reg.VecVirtual) {
	first := m.GP32()
	m.MOVL(at.As32(), first)
	m.SHRL(operand.U8(2), first)
	if i > 0 {
		m.ADDL(operand.I32(int32(i*m.n)), first)
	}
	if m.wide {
		v, bits, count := m.ZMM(), m.GP32(), m.GP32()
		m.VPBROADCASTD(first, v)
		m.VPADDD(lane, v, v)
		m.VPCOMPRESSD(v, some, v)
		m.VMOVDQU32(v, operand.Mem{Base: ids, Index: found, Scale: 4})
		m.KMOVW(some, bits)
		m.POPCNTL(bits, count)
		m.ADDQ(count.As64(), found)
		return
	}
	bits, bit, loop, done := m.GP32(), m.GP32(), m.label("lane"), m.label("lanes")
	m.VMOVMSKPS(some, bits)
	m.Label(loop)
	m.TESTL(bits, bits)
	m.JZ(to(done))
	m.BSFL(bits, bit)
	m.ADDL(first, bit)
	m.MOVL(bit, operand.Mem{Base: ids, Index: found, Scale: 4})
	m.INCQ(found)
	m.MOVL(bits, bit)
	m.DECL(bit)
	m.ANDL(bit, bits)
	m.JMP(to(loop))
	m.Label(done)
}

// converts writes a loop over elements of which one side is 16-bit floats. AVX2
// has no loads and stores of some 16-bit lanes, so it ends one by one.
func (m *lanes) converts(toF32 bool, vector func(src, dst operand.Mem, partial bool), single func(src, dst operand.Mem)) {
	src := m.Load(m.Param("src").Base(), m.GP64()).(reg.GPVirtual)
	dst := m.Load(m.Param("dst").Base(), m.GP64()).(reg.GPVirtual)
	n := m.Load(m.Param("src").Len(), m.GP64()).(reg.GPVirtual)
	scaleIn, scaleOut := uint8(4), uint8(2)
	if toF32 {
		scaleIn, scaleOut = 2, 4
	}
	mem := func(base, i reg.GPVirtual, scale uint8) operand.Mem {
		return operand.Mem{Base: base, Index: i, Scale: scale}
	}
	whole := m.mask(n)
	m.SHRQ(operand.U8(2), whole)
	i, loop, rest, done := m.GP64(), m.label("vector"), m.label("rest"), m.label("end")
	m.XORQ(i, i)
	m.Label(loop)
	m.CMPQ(i, whole)
	m.JGE(to(rest))
	vector(mem(src, i, scaleIn), mem(dst, i, scaleOut), false)
	m.ADDQ(operand.I32(int32(m.n)), i)
	m.JMP(to(loop))
	m.Label(rest)
	m.CMPQ(i, n)
	m.JGE(to(done))
	if m.wide {
		vector(mem(src, i, scaleIn), mem(dst, i, scaleOut), true)
	} else {
		single(mem(src, i, scaleIn), mem(dst, i, scaleOut))
		m.INCQ(i)
		m.JMP(to(rest))
	}
	m.Label(done)
	m.end()
}

func (m *lanes) widenF16() {
	m.begin("widenF16", "func(dst []float32, src []uint16)", "is Vectors.FromF16.")
	m.converts(true, func(src, dst operand.Mem, partial bool) {
		v := m.reg()
		if partial {
			m.VCVTPH2PS_Z(src, m.kMask, v)
		} else {
			m.VCVTPH2PS(src, v)
		}
		m.store(v, dst, partial)
	}, func(src, dst operand.Mem) {
		word, v := m.GP32(), m.XMM()
		m.MOVWLZX(src, word)
		m.VMOVD(word, v)
		m.VCVTPH2PS(v, v)
		m.VMOVSS(v, dst)
	})
}

func (m *lanes) widenBF16() {
	m.begin("widenBF16", "func(dst []float32, src []uint16)", "is Vectors.FromBF16.")
	m.converts(true, func(src, dst operand.Mem, partial bool) {
		v := m.reg()
		if partial {
			m.VPMOVZXWD_Z(src, m.kMask, v)
		} else {
			m.VPMOVZXWD(src, v)
		}
		m.VPSLLD(operand.U8(16), v, v)
		m.store(v, dst, partial)
	}, func(src, dst operand.Mem) {
		word := m.GP32()
		m.MOVWLZX(src, word)
		m.SHLL(operand.U8(16), word)
		m.MOVL(word, dst)
	})
}

func (m *lanes) narrowF16() {
	m.begin("narrowF16", "func(dst []uint16, src []float32)", "is Vectors.ToF16.")
	m.converts(false, func(src, dst operand.Mem, partial bool) {
		v := m.load(src, partial)
		if partial {
			m.VCVTPS2PH(operand.U8(0), v, m.kMask, dst)
		} else {
			m.VCVTPS2PH(operand.U8(0), v, dst)
		}
	}, func(src, dst operand.Mem) {
		v, word := m.XMM(), m.GP32()
		m.VMOVSS(src, v)
		m.VCVTPS2PH(operand.U8(0), v, v)
		m.VMOVD(v, word)
		m.MOVW(word.As16(), dst)
	})
}

// narrowBF16 adds to the bits half of what is cut off, less one bit if what stays
// is even. A NaN keeps its upper bits and becomes quiet.
func (m *lanes) narrowBF16() {
	m.begin("narrowBF16", "func(dst []uint16, src []float32)", "is Vectors.ToBF16.")
	m.holdBits(1)
	m.holdBits(0x7fff)
	m.holdBits(0x400000)
	round := func(v reg.VecVirtual, sized func() reg.VecVirtual) reg.VecVirtual {
		low, nan := sized(), sized()
		m.VPSRLD(operand.U8(16), v, low)
		if m.wide {
			k := m.K()
			m.VCMPPS(operand.U8(3), v, v, k)
			m.VPORD(m.bits(0x400000), v, nan)
			m.VPANDD(m.bits(1), low, low)
			m.VPADDD(m.bits(0x7fff), low, low)
			m.VPADDD(low, v, v)
			m.VMOVDQA32(nan, k, v)
		} else {
			is := sized()
			m.VCMPPS(operand.U8(3), v, v, is)
			m.VPOR(m.bits(0x400000), v, nan)
			m.VPAND(m.bits(1), low, low)
			m.VPADDD(m.bits(0x7fff), low, low)
			m.VPADDD(low, v, v)
			m.VBLENDVPS(is, nan, v, v)
		}
		m.VPSRLD(operand.U8(16), v, v)
		return v
	}
	m.converts(false, func(src, dst operand.Mem, partial bool) {
		v := round(m.load(src, partial), m.reg)
		switch {
		case partial:
			m.VPMOVDW(v, m.kMask, dst)
		case m.wide:
			m.VPMOVDW(v, dst)
		default:
			upper := m.XMM()
			m.VEXTRACTI128(operand.U8(1), v, upper)
			m.VPACKUSDW(upper, v.AsX(), upper)
			m.VMOVDQU(upper, dst)
		}
	}, func(src, dst operand.Mem) {
		v, word := m.XMM(), m.GP32()
		m.VMOVSS(src, v)
		v = round(v, m.XMM)
		m.VMOVD(v, word)
		m.MOVW(word.As16(), dst)
	})
}
