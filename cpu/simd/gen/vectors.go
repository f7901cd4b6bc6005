package main

// Functions on rows of floats: what is common to them. Each is written once, for
// vectors of 8 floats in AVX2 and of 16 in AVX-512.

import (
	"fmt"
	"go/token"
	"go/types"
	"math"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/gotypes"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// vectors writes all of them.
func vectors(c *build.Context) {
	data := &constants{c: c, made: map[string]operand.Mem{}}
	for _, wide := range []bool{false, true} {
		m := &lanes{Context: c, data: data, wide: wide, name: "AVX2", n: 8}
		if wide {
			m.name, m.n = "AVX512", 16
		}
		for _, f := range maps {
			m.mapped(f)
		}
		m.norm(true)
		m.norm(false)
		m.rope()
		m.ropePairs()
		m.combine()
		m.largest()
		m.expSum()
		m.above()
		m.widenF16()
		m.widenBF16()
		m.narrowF16()
		m.narrowBF16()
	}
}

// constants are numbers in the data section, one copy of each.
type constants struct {
	c    *build.Context
	made map[string]operand.Mem
}

// words is a table of 32-bit words.
func (d *constants) words(name string, v ...uint32) operand.Mem {
	if m, ok := d.made[name]; ok {
		return m
	}
	m := d.c.StaticGlobal(name)
	d.c.DataAttributes(attr.RODATA | attr.NOPTR)
	for i, x := range v {
		d.c.AddDatum(4*i, operand.U32(x))
	}
	d.made[name] = m
	return m
}

// repeated is a vector of one word.
func (d *constants) repeated(x uint32) operand.Mem {
	return d.words(fmt.Sprintf("lanes_%08x", x), x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x)
}

// lanes writes functions for vectors of one size.
type lanes struct {
	*build.Context
	data *constants
	wide bool
	name string // what the names of its functions end in
	n    int    // floats of a vector

	// Of the function being written.
	labels int
	held   map[uint32]reg.VecVirtual // constants in registers
	kMask  reg.OpmaskVirtual         // lanes of the last, partial vector
	yMask  reg.VecVirtual
}

// size is the size of a vector, bytes.
func (m *lanes) size() int { return 4 * m.n }

// begin starts a function. One of rows takes a pointer to a struct of that name.
func (m *lanes) begin(name, signature, doc string) {
	name += m.name
	m.Function(name)
	m.Attributes(attr.NOSPLIT)
	m.Pragma("noescape")
	m.SignatureExpr(signature)
	m.Doc(name + " " + doc)
	m.labels, m.held = 0, map[uint32]reg.VecVirtual{}
	m.kMask, m.yMask = nil, nil
}

// takes changes the function's signature to that of one which takes a pointer
// named r to the type, and returns the result.
func (m *lanes) takes(typeName string, result *types.Tuple) {
	pkg := types.NewPackage("simd", "simd")
	named := types.NewNamed(types.NewTypeName(token.NoPos, pkg, typeName, nil), types.NewStruct(nil, nil), nil)
	param := types.NewTuple(types.NewParam(token.NoPos, pkg, "r", types.NewPointer(named)))
	m.Signature(gotypes.NewSignature(pkg, types.NewSignatureType(nil, nil, nil, param, result, false)))
}

// end ends it.
func (m *lanes) end() {
	m.VZEROUPPER()
	m.RET()
}

// label is a new label of the function.
func (m *lanes) label(name string) string {
	m.labels++
	return fmt.Sprintf("%s%d", name, m.labels)
}

func to(label string) operand.LabelRef { return operand.LabelRef(label) }

// reg is a vector register.
func (m *lanes) reg() reg.VecVirtual {
	if m.wide {
		return m.ZMM()
	}
	return m.YMM()
}

// hold puts constants into registers, where there are enough of them.
func (m *lanes) hold(v ...float32) {
	for _, x := range v {
		m.holdBits(math.Float32bits(x))
	}
}

func (m *lanes) holdBits(bits uint32) {
	if !m.wide || m.held[bits] != nil {
		return
	}
	r := m.reg()
	m.VBROADCASTSS(m.data.repeated(bits), r)
	m.held[bits] = r
}

// k is a constant in all lanes, as the first operand of an instruction.
func (m *lanes) k(x float32) operand.Op { return m.bits(math.Float32bits(x)) }

// bits is k of a word.
func (m *lanes) bits(x uint32) operand.Op {
	if r := m.held[x]; r != nil {
		return r
	}
	return m.data.repeated(x)
}

// broadcast is a float in memory, in all lanes.
func (m *lanes) broadcast(x operand.Mem) reg.VecVirtual {
	r := m.reg()
	m.VBROADCASTSS(x, r)
	return r
}

// zero is a register of zeros.
func (m *lanes) zero() reg.VecVirtual {
	r := m.reg()
	if m.wide {
		m.VPXORD(r, r, r)
	} else {
		m.VXORPS(r, r, r)
	}
	return r
}

// copyOf is another register with the same contents.
func (m *lanes) copyOf(x reg.VecVirtual) reg.VecVirtual {
	r := m.reg()
	m.VMOVAPS(x, r)
	return r
}

// mask makes the mask of the last vector of n floats, and what is left of n
// without it, in bytes. It takes CX.
func (m *lanes) mask(n reg.GPVirtual) (whole reg.GPVirtual) {
	whole = m.GP64()
	m.MOVQ(n, whole)
	m.ANDQ(operand.I32(int32(-m.n)), whole)
	m.MOVQ(n, reg.RCX)
	m.SUBQ(whole, reg.RCX)
	m.SHLQ(operand.U8(2), whole)
	if m.wide {
		bits := m.GP32()
		m.MOVL(operand.I32(-1), bits)
		m.SHLL(reg.CL, bits)
		m.NOTL(bits)
		m.kMask = m.K()
		m.KMOVW(bits, m.kMask)
		return whole
	}
	table, at := m.data.words("lanes_first", ones(8)...), m.GP64()
	m.LEAQ(table, at)
	m.SHLQ(operand.U8(2), reg.RCX)
	m.SUBQ(reg.RCX, at)
	m.yMask = m.YMM()
	m.VMOVUPS(operand.Mem{Base: at, Disp: 32}, m.yMask)
	return whole
}

// ones are n words of ones and n of zeros.
func ones(n int) []uint32 {
	v := make([]uint32, 2*n)
	for i := range n {
		v[i] = ^uint32(0)
	}
	return v
}

// load loads a vector; the lanes that a partial one lacks are zero.
func (m *lanes) load(x operand.Mem, partial bool) reg.VecVirtual {
	r := m.reg()
	switch {
	case !partial:
		m.VMOVUPS(x, r)
	case m.wide:
		m.VMOVUPS_Z(x, m.kMask, r)
	default:
		m.VMASKMOVPS(x, m.yMask, r)
	}
	return r
}

// store stores a vector, or the lanes that a partial one has.
func (m *lanes) store(r reg.VecVirtual, x operand.Mem, partial bool) {
	switch {
	case !partial:
		m.VMOVUPS(r, x)
	case m.wide:
		m.VMOVUPS(r, m.kMask, x)
	default:
		m.VMASKMOVPS(r, m.yMask, x)
	}
}

// clear zeroes the lanes that a partial vector lacks.
func (m *lanes) clear(r reg.VecVirtual, partial bool) {
	switch {
	case !partial:
	case m.wide:
		m.VMOVAPS_Z(r, m.kMask, r)
	default:
		m.VANDPS(m.yMask, r, r)
	}
}

// each runs body for all vectors of a row: at is the offset in bytes. Whole is
// from mask.
func (m *lanes) each(whole reg.GPVirtual, body func(at reg.GPVirtual, partial bool)) {
	m.eachFrom(nil, whole, body)
}

// eachFrom is each from an offset on; nil: from 0.
func (m *lanes) eachFrom(at, whole reg.GPVirtual, body func(at reg.GPVirtual, partial bool)) {
	loop, last, done := m.label("vector"), m.label("last"), m.label("done")
	if at == nil {
		at = m.GP64()
		m.XORQ(at, at)
	}
	m.Label(loop)
	m.CMPQ(at, whole)
	m.JGE(to(last))
	body(at, false)
	m.ADDQ(operand.I32(int32(m.size())), at)
	m.JMP(to(loop))
	m.Label(last)
	if m.wide {
		m.KORTESTW(m.kMask, m.kMask)
		m.JZ(to(done))
	} else {
		bits := m.GP32()
		m.VMOVMSKPS(m.yMask, bits)
		m.TESTL(bits, bits)
		m.JZ(to(done))
	}
	body(at, true)
	m.Label(done)
}

// unrolled is each with some vectors at once first: i is the vector's number among
// them.
func (m *lanes) unrolled(vectors int, whole reg.GPVirtual, body func(at reg.GPVirtual, i int, partial bool)) {
	loop, rest := m.label("some"), m.label("rest")
	at, end := m.GP64(), m.GP64()
	m.XORQ(at, at)
	m.MOVQ(whole, end)
	m.ANDQ(operand.I32(int32(-vectors*m.size())), end)
	m.Label(loop)
	m.CMPQ(at, end)
	m.JGE(to(rest))
	for i := range vectors {
		body(at, i, false)
	}
	m.ADDQ(operand.I32(int32(vectors*m.size())), at)
	m.JMP(to(loop))
	m.Label(rest)
	m.eachFrom(at, whole, func(at reg.GPVirtual, partial bool) { body(at, 0, partial) })
}

// given runs body if the pointer is not nil.
func (m *lanes) given(p reg.GPVirtual, body func()) { m.either(p, body, nil) }

// either runs one of two bodies: the first if the pointer is not nil.
func (m *lanes) either(p reg.GPVirtual, with, without func()) {
	absent := m.label("without")
	m.TESTQ(p, p)
	m.JZ(to(absent))
	with()
	if without == nil {
		m.Label(absent)
		return
	}
	done := m.label("either")
	m.JMP(to(done))
	m.Label(absent)
	without()
	m.Label(done)
}

// vectorAt is vector i after the offset.
func (m *lanes) vectorAt(base, at reg.GPVirtual, i int) operand.Mem {
	return operand.Mem{Base: base, Index: at, Scale: 1, Disp: i * m.size()}
}

// sum64 is the sum of the lanes of four accumulators, in float64. They are lost.
func (m *lanes) sum64(acc []reg.VecVirtual) reg.VecVirtual {
	m.VADDPS(acc[1], acc[0], acc[0])
	m.VADDPS(acc[3], acc[2], acc[2])
	m.VADDPS(acc[2], acc[0], acc[0])
	y := m.YMM()
	if m.wide {
		low, high, upper := m.ZMM(), m.ZMM(), m.YMM()
		m.VEXTRACTF64X4(operand.U8(1), acc[0], upper)
		m.VCVTPS2PD(acc[0].AsY(), low)
		m.VCVTPS2PD(upper, high)
		m.VADDPD(high, low, low)
		m.VEXTRACTF64X4(operand.U8(1), low, upper)
		m.VADDPD(upper, low.AsY(), y)
	} else {
		high, upper := m.YMM(), m.XMM()
		m.VEXTRACTF128(operand.U8(1), acc[0], upper)
		m.VCVTPS2PD(acc[0].AsX(), y)
		m.VCVTPS2PD(upper, high)
		m.VADDPD(high, y, y)
	}
	x, upper := m.XMM(), m.XMM()
	m.upper(y, upper)
	m.VADDPD(upper, y.AsX(), x)
	m.VUNPCKHPD(x, x, upper)
	m.VADDSD(upper, x, x)
	return x
}

// upper is the upper half of a Y register. The form of AVX2 does not know all
// registers that AVX-512 has.
func (m *lanes) upper(y, x reg.VecVirtual) {
	if m.wide {
		m.VEXTRACTF64X2(operand.U8(1), y, x)
		return
	}
	m.VEXTRACTF128(operand.U8(1), y, x)
}

// accumulators are four registers of zeros.
func (m *lanes) accumulators() []reg.VecVirtual {
	return []reg.VecVirtual{m.zero(), m.zero(), m.zero(), m.zero()}
}
