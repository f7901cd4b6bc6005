package main

// Functions on attention: exponentials of scores, and the merging of spans. Keys
// and values are brought into panels in scores_widen.go; products with a cache are in
// scores_direct.go.

import (
	"go/token"
	"go/types"
	"math"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/gotypes"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Where the fields of simd.Seen lie, and the bytes of a row of scores.
const (
	seenFrom, seenTo, seenPeak, seenSum = 0, 64, 128, 192
	spanBytes                           = 4 * 256
	panelBytes                          = 4 * 32
)

// scores writes all of them.
func scores(c *build.Context) {
	data := &constants{c: c, made: map[string]operand.Mem{}}
	for _, wide := range []bool{false, true} {
		m := &lanes{Context: c, data: data, wide: wide, name: "AVX2", n: 8}
		if wide {
			m.name, m.n = "AVX512", 16
		}
		m.soften()
		m.mergeSpan()
		m.divideRow()
		m.slopeScores()
		m.allFinite()
		m.transposeKeys()
		for _, t := range directTypes {
			if t.name != "Q8" {
				m.widenRows(t)
			}
		}
		m.widenRowsQ8()
		m.widenKeysQ8()
		for _, t := range directTypes {
			m.dot(t)
			m.weigh(t)
		}
	}
}

var simdPackage = types.NewPackage("simd", "simd")

// parameters gives the function parameters whose types an expression cannot name.
func (m *lanes) parameters(v ...*types.Var) {
	m.Signature(gotypes.NewSignature(simdPackage, types.NewSignatureType(nil, nil, nil, types.NewTuple(v...), nil, false)))
}

func floats(name string) *types.Var {
	return types.NewVar(token.NoPos, nil, name, types.NewSlice(types.Typ[types.Float32]))
}

func number(name string) *types.Var {
	return types.NewVar(token.NoPos, nil, name, types.Typ[types.Int])
}

func float(name string) *types.Var {
	return types.NewVar(token.NoPos, nil, name, types.Typ[types.Float32])
}

func seen(name string) *types.Var {
	named := types.NewNamed(types.NewTypeName(token.NoPos, simdPackage, "Seen", nil), types.NewStruct(nil, nil), nil)
	return types.NewVar(token.NoPos, nil, name, types.NewPointer(named))
}

// base is the pointer of a slice.
func (m *lanes) base(name string) reg.GPVirtual {
	r := m.GP64()
	m.Load(m.Param(name).Base(), r)
	return r
}

// value is an integer parameter.
func (m *lanes) value(name string) reg.GPVirtual {
	r := m.GP64()
	m.Load(m.Param(name), r)
	return r
}

// exp2Terms are the coefficients of simd's exp2OfScore, the highest first.
var exp2Terms = []float32{0x1.41fbbcp-13, 0x1.5f3e54p-10, 0x1.3b2d4cp-7, 0x1.c6aee8p-5, 0x1.ebfbdcp-3, 0x1.62e430p-1, 1}

const leastExponent = -126 // of normal numbers

func (m *lanes) holdExp2() {
	m.hold(leastExponent)
	m.hold(exp2Terms...)
}

// exp2 is 2^u, zero where that is no normal number and where seen, if it is not
// nil, has no bit; u is lost.
func (m *lanes) exp2(u reg.VecVirtual, seen reg.Virtual) reg.VecVirtual {
	const notBelow = 0x15 // or not a number
	n, p := m.reg(), m.reg()
	if m.wide {
		k := m.K()
		if seen != nil {
			m.VCMPPS(operand.U8(notBelow), m.k(leastExponent), u, seen, k)
		} else {
			m.VCMPPS(operand.U8(notBelow), m.k(leastExponent), u, k)
		}
		m.VRNDSCALEPS(operand.U8(8), u, n)
		m.VSUBPS(n, u, u)
		m.terms(p, u)
		m.VSCALEFPS_Z(n, p, k, p)
		return p
	}
	normal := m.reg()
	m.VCMPPS(operand.U8(notBelow), m.k(leastExponent), u, normal)
	if seen != nil {
		m.VANDPS(seen, normal, normal)
	}
	m.VROUNDPS(operand.U8(8), u, n)
	m.VSUBPS(n, u, u)
	m.terms(p, u)
	m.VCVTPS2DQ(n, n)
	m.VPSLLD(operand.U8(23), n, n)
	m.VPADDD(n, p, p)
	m.VANDPS(normal, p, p)
	return p
}

// terms is the polynomial at f.
func (m *lanes) terms(p, f reg.VecVirtual) {
	if m.wide {
		m.VMOVAPS(m.k(exp2Terms[0]), p)
	} else {
		m.VBROADCASTSS(m.k(exp2Terms[0]), p)
	}
	for _, c := range exp2Terms[1:] {
		m.VFMADD213PS(m.k(c), f, p)
	}
}

// iota is 0, 1, 2 … in the lanes.
func (m *lanes) iota() reg.VecVirtual {
	r := m.reg()
	v := make([]uint32, 16)
	for i := range v {
		v[i] = uint32(i)
	}
	m.VMOVUPS(m.data.words("scores_iota", v...), r)
	return r
}

// everyLane is a 32-bit word of memory or a register in all lanes.
func (m *lanes) everyLane(x operand.Op) reg.VecVirtual {
	r := m.reg()
	m.VPBROADCASTD(x, r)
	return r
}

// everyInt is an integer register in all lanes.
func (m *lanes) everyInt(x reg.GPVirtual) reg.VecVirtual {
	if m.wide {
		return m.everyLane(x.As32())
	}
	low, r := m.XMM(), m.reg()
	m.VMOVD(x.As32(), low)
	m.VPBROADCASTD(low, r)
	return r
}

// greater is whether lanes of the one are greater than those of the other.
func (m *lanes) greater(a, b reg.VecVirtual) reg.Virtual {
	if m.wide {
		k := m.K()
		m.VPCMPGTD(b, a, k)
		return k
	}
	r := m.reg()
	m.VPCMPGTD(b, a, r)
	return r
}

// fold combines the lanes of four accumulators into all lanes of one register.
func (m *lanes) fold(acc []reg.VecVirtual, op func(a, b, to operand.Op)) reg.VecVirtual {
	op(acc[1], acc[0], acc[0])
	op(acc[3], acc[2], acc[2])
	op(acc[2], acc[0], acc[0])
	half, quarter := m.YMM(), m.XMM()
	y := acc[0].AsY()
	if m.wide {
		m.VEXTRACTF64X4(operand.U8(1), acc[0], half)
		op(half, y, half)
		m.VEXTRACTF32X4(operand.U8(1), half, quarter)
		y = half
	} else {
		m.VEXTRACTF128(operand.U8(1), y, quarter)
	}
	x, t, all := m.XMM(), m.XMM(), m.reg()
	op(quarter, y.(reg.VecVirtual).AsX(), x)
	for _, order := range []uint8{0x4e, 0xb1} {
		m.VSHUFPS(operand.U8(order), x, x, t)
		op(t, x, x)
	}
	m.VBROADCASTSS(x, all)
	return all
}

// shifted makes a shift of a peak: zero where it is -Inf.
func (m *lanes) shifted(peak reg.VecVirtual) reg.VecVirtual {
	const differs = 4
	r := m.reg()
	if m.wide {
		k := m.K()
		m.VCMPPS(operand.U8(differs), m.k(float32(math.Inf(-1))), peak, k)
		m.VMOVAPS_Z(peak, k, r)
		return r
	}
	m.VCMPPS(operand.U8(differs), m.k(float32(math.Inf(-1))), peak, r)
	m.VANDPS(peak, r, r)
	return r
}

func (m *lanes) soften() {
	m.begin("soften", "func()", "is Scores.Soften.")
	m.parameters(floats("s"), number("from"), number("to"), float("c"), seen("r"), number("m"))
	s, begin, end, r, rows := m.base("s"), m.value("from"), m.value("to"), m.value("r"), m.value("m")
	m.SHLQ(operand.U8(2), begin)
	m.SHLQ(operand.U8(2), end)
	c, _ := m.Param("c").Resolve()
	factor := m.broadcast(c.Addr)
	m.holdExp2()
	m.hold(float32(math.Inf(-1)))
	numbers := m.iota()

	// Largest scores of all rows come first: an exponential would wait for its row's.
	for _, pass := range []string{"largest", "exps"} {
		m.softenRows(pass, s, begin, end, r, rows, factor, numbers)
	}
	m.end()
}

// softenRows writes a pass over all rows.
func (m *lanes) softenRows(pass string, s, begin, end, r, rows reg.GPVirtual, factor, numbers reg.VecVirtual) {
	row, state, left := m.GP64(), m.GP64(), m.GP64()
	m.MOVQ(s, row)
	m.MOVQ(r, state)
	m.MOVQ(rows, left)
	m.Label(pass + "row")
	lo, hi, at := m.GP64(), m.GP64(), m.GP64()
	m.MOVLQSX(operand.Mem{Base: state, Disp: seenFrom}, lo)
	m.MOVLQSX(operand.Mem{Base: state, Disp: seenTo}, hi)
	below, until := m.GP64(), m.everyInt(hi)
	m.LEAQ(operand.Mem{Base: lo, Disp: -1}, below)
	since := m.everyInt(below)
	m.SHLQ(operand.U8(2), lo)
	m.SHLQ(operand.U8(2), hi)
	m.SUBQ(operand.U32(256), hi) // the last group that is seen as a whole

	acc := make([]reg.VecVirtual, 4)
	first, shift := float32(0), reg.VecVirtual(nil)
	if pass == "largest" {
		first = float32(math.Inf(-1))
	} else {
		shift = m.shifted(m.broadcast(operand.Mem{Base: state, Disp: seenPeak}))
	}
	for i := range acc {
		acc[i] = m.everyLane(m.data.repeated(math.Float32bits(first)))
	}
	body := func(i int, x operand.Mem, seen reg.Virtual) {
		a := acc[i%4]
		if pass == "exps" {
			u := m.reg()
			m.VMOVUPS(x, u)
			m.VFMSUB213PS(shift, factor, u)
			p := m.exp2(u, seen)
			m.VMOVUPS(p, x)
			m.VADDPS(p, a, a)
			return
		}
		y := m.reg()
		m.VMOVUPS(x, y)
		switch { // a stays where y is not a number
		case seen == nil:
			m.VMAXPS(a, y, a)
		case m.wide:
			m.VMAXPS(a, y, seen, a)
		default:
			b := m.reg()
			m.VMAXPS(a, y, b)
			m.VBLENDVPS(seen, b, a, a)
		}
	}
	each := 64 / m.n
	m.MOVQ(begin, at)
	m.Label(pass)
	m.CMPQ(at, lo)
	m.JLT(to(pass + "part"))
	m.CMPQ(at, hi)
	m.JGT(to(pass + "part"))
	for i := range each {
		body(i, m.vectorAt(row, at, i), nil)
	}
	m.JMP(to(pass + "next"))
	m.Label(pass + "part")
	number := m.GP64()
	m.MOVQ(at, number)
	m.SHRQ(operand.U8(2), number)
	j, step := m.everyInt(number), m.reg()
	m.VPADDD(numbers, j, j)
	m.VBROADCASTSS(m.data.repeated(uint32(m.n)), step)
	for i := range each {
		if i > 0 && i*m.n%16 == 0 {
			stop := m.GP64()
			m.LEAQ(operand.Mem{Base: at, Disp: i * m.size()}, stop)
			m.CMPQ(stop, end)
			m.JGE(to(pass + "next"))
		}
		body(i, m.vectorAt(row, at, i), m.between(since, j, until))
		m.VPADDD(step, j, j)
	}
	m.Label(pass + "next")
	m.ADDQ(operand.U32(256), at)
	m.CMPQ(at, end)
	m.JLT(to(pass))

	if pass == "largest" {
		peak := m.fold(acc, func(a, b, to operand.Op) { m.VMAXPS(a, b, to) })
		m.VMULSS(factor.AsX(), peak.AsX(), peak.AsX())
		m.VMOVSS(peak.AsX(), operand.Mem{Base: state, Disp: seenPeak})
	} else {
		sum := m.fold(acc, func(a, b, to operand.Op) { m.VADDPS(a, b, to) })
		m.VMOVSS(sum.AsX(), operand.Mem{Base: state, Disp: seenSum})
	}
	m.ADDQ(operand.U32(spanBytes), row)
	m.ADDQ(operand.U8(4), state)
	m.DECQ(left)
	m.JNZ(to(pass + "row"))
}

// between is whether lanes of j are above since and below until.
func (m *lanes) between(since, j, until reg.VecVirtual) reg.Virtual {
	if m.wide {
		k := m.K()
		m.VPCMPGTD(since, j, k)
		m.VPCMPGTD(j, until, k, k)
		return k
	}
	a, b := m.reg(), m.reg()
	m.VPCMPGTD(since, j, a)
	m.VPCMPGTD(j, until, b)
	m.VANDPS(b, a, a)
	return a
}

func (m *lanes) mergeSpan() {
	m.begin("mergeSpan", "func()", "is Scores.Merge.")
	m.parameters(floats("acc"), floats("part"), number("n"), floats("peak"), floats("sum"), seen("r"), number("m"))
	acc, part, n := m.base("acc"), m.base("part"), m.value("n")
	peaks, sums, r, rows := m.base("peak"), m.base("sum"), m.value("r"), m.value("m")
	factors := m.AllocLocal(2 * 64) // of acc, and of part
	m.holdExp2()
	m.hold(float32(math.Inf(-1)))
	count, numbers := m.everyInt(rows), m.iota()
	for i := 0; i < 16/m.n; i++ {
		at := i * m.size()
		here := m.greater(count, numbers)
		load := func(base reg.GPVirtual, disp int) reg.VecVirtual {
			v, x := m.reg(), operand.Mem{Base: base, Disp: disp + at}
			if m.wide {
				m.VMOVUPS_Z(x, here, v)
			} else {
				m.VMASKMOVPS(x, here, v)
			}
			return v
		}
		store := func(v reg.VecVirtual, base reg.GPVirtual) {
			x := operand.Mem{Base: base, Disp: at}
			if m.wide {
				m.VMOVUPS(v, here, x)
			} else {
				m.VMASKMOVPS(v, here, x)
			}
		}
		a, b, top := load(peaks, 0), load(r, seenPeak), m.reg()
		m.VMAXPS(a, b, top)
		store(top, peaks)
		shift := m.shifted(top)
		m.VSUBPS(shift, a, a)
		m.VSUBPS(shift, b, b)
		fa, fb := m.exp2(a, nil), m.exp2(b, nil)
		sum, more := load(sums, 0), load(r, seenSum)
		m.VMULPS(fb, more, more)
		m.VFMADD213PS(more, fa, sum)
		store(sum, sums)
		m.VMOVUPS(fa, factors.Offset(at))
		m.VMOVUPS(fb, factors.Offset(64+at))
		if !m.wide {
			m.VPADDD(m.data.repeated(8), numbers, numbers)
		}
	}
	m.SHLQ(operand.U8(2), n)
	factor := m.GP64()
	m.LEAQ(factors, factor)
	m.Label("row")
	a, b := m.broadcast(operand.Mem{Base: factor}), m.broadcast(operand.Mem{Base: factor, Disp: 64})
	at := m.GP64()
	m.XORQ(at, at)
	m.Label("columns")
	for i := 0; i < 32/m.n; i++ {
		x, y := m.reg(), m.reg()
		m.VMULPS(m.vectorAt(part, at, i), b, x)
		m.VMOVUPS(m.vectorAt(acc, at, i), y)
		m.VFMADD213PS(x, a, y)
		m.VMOVUPS(y, m.vectorAt(acc, at, i))
	}
	m.ADDQ(operand.U32(panelBytes), at)
	m.CMPQ(at, n)
	m.JLT(to("columns"))
	m.ADDQ(n, acc)
	m.ADDQ(n, part)
	m.ADDQ(operand.U8(4), factor)
	m.DECQ(rows)
	m.JNZ(to("row"))
	m.end()
}

func (m *lanes) divideRow() {
	m.begin("divideRow", "func(dst, src []float32, by float32)", "is Scores.Divide.")
	dst, src, n := m.base("dst"), m.base("src"), m.GP64()
	m.Load(m.Param("src").Len(), n)
	by, _ := m.Param("by").Resolve()
	one, inverse := m.reg(), m.broadcast(by.Addr)
	m.VBROADCASTSS(m.data.repeated(math.Float32bits(1)), one)
	m.VDIVPS(inverse, one, inverse)
	zero, whole := m.zero(), m.mask(n)
	m.each(whole, func(at reg.GPVirtual, partial bool) {
		x := m.load(m.vectorAt(src, at, 0), partial)
		m.VFMADD213PS(zero, inverse, x)
		m.store(x, m.vectorAt(dst, at, 0), partial)
	})
	m.end()
}

func (m *lanes) slopeScores() {
	m.begin("slopeScores", "func(s []float32, c, slope float32, first int)", "is Scores.Slope.")
	s, n := m.base("s"), m.GP64()
	m.Load(m.Param("s").Len(), n)
	ca, _ := m.Param("c").Resolve()
	sa, _ := m.Param("slope").Resolve()
	c, slope := m.broadcast(ca.Addr), m.broadcast(sa.Addr)
	j, step, whole := m.everyInt(m.value("first")), m.reg(), m.mask(n)
	m.VPADDD(m.iota(), j, j)
	m.VBROADCASTSS(m.data.repeated(uint32(m.n)), step)
	m.each(whole, func(at reg.GPVirtual, partial bool) {
		x, y := m.load(m.vectorAt(s, at, 0), partial), m.reg()
		m.VCVTDQ2PS(j, y)
		m.VMULPS(y, slope, y)
		m.VFMADD213PS(y, c, x)
		m.store(x, m.vectorAt(s, at, 0), partial)
		m.VPADDD(step, j, j)
	})
	m.end()
}

func (m *lanes) allFinite() {
	m.begin("allFinite", "func(v []float32) bool", "is Scores.Finite of a multiple of 32 floats.")
	v, n := m.base("v"), m.GP64()
	m.Load(m.Param("v").Len(), n)
	m.SHLQ(operand.U8(2), n)
	at, found := m.GP64(), m.GP32()
	m.XORQ(at, at)
	m.XORL(found, found)
	var bits reg.VecVirtual
	if !m.wide {
		bits = m.zero()
	}
	m.Label("loop")
	m.CMPQ(at, n)
	m.JGE(to("done"))
	if m.wide {
		const notFinite = 0x99
		a, b := m.K(), m.K()
		m.VFPCLASSPSZ(operand.U8(notFinite), m.vectorAt(v, at, 0), a)
		m.VFPCLASSPSZ(operand.U8(notFinite), m.vectorAt(v, at, 1), b)
		m.KORTESTW(b, a)
		m.JNZ(to("bad"))
	} else {
		for i := range 4 {
			x := m.reg()
			m.VMOVUPS(m.vectorAt(v, at, i), x)
			m.VSUBPS(x, x, x) // zero, or not a number
			m.VORPS(x, bits, bits)
		}
	}
	m.ADDQ(operand.U32(panelBytes), at)
	m.JMP(to("loop"))
	m.Label("done")
	if !m.wide {
		m.VXORPS(m.zero(), bits, bits)
		m.VCMPPS(operand.U8(3), bits, bits, bits)
		m.VMOVMSKPS(bits, found)
		m.TESTL(found, found)
		m.JNZ(to("bad"))
	}
	yes := m.GP8()
	m.MOVB(operand.U8(1), yes)
	m.Store(yes, m.ReturnIndex(0))
	m.end()
	m.Label("bad")
	no := m.GP8()
	m.XORB(no, no)
	m.Store(no, m.ReturnIndex(0))
	m.end()
}
