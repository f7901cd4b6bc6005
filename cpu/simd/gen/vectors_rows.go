package main

// Functions on whole rows: norms, rotations, sums, searches.

import (
	"go/token"
	"go/types"
	"math"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Offsets in simd.NormRows.
const (
	normX, normOut, normWeight, normBias = 0, 24, 48, 72
	normLdX, normLdOut, normM, normN     = 96, 104, 112, 120
	normShare, normEps, normLeast        = 128, 136, 144
)

// norm writes LayerNorm, centred, or else the two that only scale.
func (m *lanes) norm(centred bool) {
	if centred {
		m.begin("layerNorm", "func()", "is NormRows about the mean.")
	} else {
		m.begin("scaleNorm", "func()", "is NormRows about zero.")
	}
	m.takes("NormRows", types.NewTuple(types.NewParam(token.NoPos, nil, "done", types.Typ[types.Int])))
	r := m.Load(m.Param("r"), m.GP64()).(reg.GPVirtual)
	field := func(offset int) reg.GPVirtual {
		p := m.GP64()
		m.MOVQ(operand.Mem{Base: r, Disp: offset}, p)
		return p
	}
	x, out, weight, bias := field(normX), field(normOut), field(normWeight), field(normBias)
	n := field(normN)
	whole := m.mask(n)
	count := m.XMM()
	m.VXORPS(count, count, count)
	m.VCVTSI2SDQ(n, count, count)
	row := m.GP64()
	m.XORQ(row, row)
	next, done := m.label("row"), m.label("end")
	m.Label(next)
	m.CMPQ(row, operand.Mem{Base: r, Disp: normM})
	m.JGE(to(done))
	mean := m.reg()
	if centred {
		acc := m.accumulators()
		m.unrolled(4, whole, func(at reg.GPVirtual, i int, partial bool) {
			if partial {
				m.VADDPS(m.load(m.vectorAt(x, at, i), true), acc[i], acc[i])
				return
			}
			m.VADDPS(m.vectorAt(x, at, i), acc[i], acc[i])
		})
		sum := m.sum64(acc)
		m.VDIVSD(count, sum, sum)
		m.VCVTSD2SS(sum, sum, sum)
		m.VBROADCASTSS(sum, mean)
	}
	shift, factor := m.statistics(r, x, whole, count, mean, centred, done)
	write := func(weight, bias reg.GPVirtual) func() {
		return func() {
			m.unrolled(4, whole, func(at reg.GPVirtual, i int, partial bool) {
				v := m.load(m.vectorAt(x, at, i), partial)
				if centred {
					m.VSUBPS(mean, v, v)
					m.VFMADD213PS(shift, factor, v)
				} else {
					m.VMULPS(factor, v, v)
				}
				switch {
				case weight != nil && bias != nil:
					m.VFMADD213PS(m.load(m.vectorAt(bias, at, i), partial), m.load(m.vectorAt(weight, at, i), partial), v)
				case weight != nil:
					m.VMULPS(m.load(m.vectorAt(weight, at, i), partial), v, v)
				case bias != nil:
					m.VADDPS(m.load(m.vectorAt(bias, at, i), partial), v, v)
				}
				m.store(v, m.vectorAt(out, at, i), partial)
			})
		}
	}
	m.either(weight,
		func() { m.either(bias, write(weight, bias), write(weight, nil)) },
		func() { m.either(bias, write(nil, bias), write(nil, nil)) })
	step := m.GP64()
	m.MOVQ(operand.Mem{Base: r, Disp: normLdX}, step)
	m.LEAQ(operand.Mem{Base: x, Index: step, Scale: 4}, x)
	m.MOVQ(operand.Mem{Base: r, Disp: normLdOut}, step)
	m.LEAQ(operand.Mem{Base: out, Index: step, Scale: 4}, out)
	m.INCQ(row)
	m.JMP(to(next))
	m.Label(done)
	m.Store(row, m.ReturnIndex(0))
	m.end()
}

// statistics is what to multiply a row by, and what to add then: what the mean's
// rounding left. It goes to stop if the sum of squares is none to trust.
func (m *lanes) statistics(r, x, whole reg.GPVirtual, count, mean reg.VecVirtual, centred bool, stop string) (shift, factor reg.VecVirtual) {
	squares := m.accumulators()
	var sums []reg.VecVirtual
	if centred {
		sums = m.accumulators()
	}
	m.unrolled(4, whole, func(at reg.GPVirtual, i int, partial bool) {
		v := m.load(m.vectorAt(x, at, i), partial)
		if centred {
			m.VSUBPS(mean, v, v)
			m.clear(v, partial)
			m.VADDPS(v, sums[i], sums[i])
		}
		m.VFMADD231PS(v, v, squares[i])
	})
	square, delta := m.sum64(squares), reg.VecVirtual(nil)
	// Squares of a sum below 1e-30 may have been too small for a float32.
	m.VUCOMISD(m.float64("norm_least", 1e-30), square)
	m.JCS(to(stop)) // below, or NaN
	m.VUCOMISD(m.float64("norm_most", math.MaxFloat32), square)
	m.JHI(to(stop))
	if centred {
		delta = m.sum64(sums)
		m.VDIVSD(count, delta, delta)
	}
	m.VMULSD(operand.Mem{Base: r, Disp: normShare}, square, square)
	if centred {
		t := m.XMM()
		m.VMULSD(delta, delta, t)
		m.VSUBSD(t, square, square)
		m.VXORPS(t, t, t)
		m.VMAXSD(t, square, square)
	}
	m.VADDSD(operand.Mem{Base: r, Disp: normEps}, square, square)
	m.VSQRTSD(square, square, square)
	m.VMAXSD(operand.Mem{Base: r, Disp: normLeast}, square, square)
	one, factor32 := m.XMM(), m.XMM()
	m.VMOVSD(m.float64("one", 1), one)
	m.VDIVSD(square, one, one)
	factor = m.reg()
	m.VCVTSD2SS(one, one, factor32)
	m.VBROADCASTSS(factor32, factor)
	if centred {
		shift = m.reg()
		t := m.XMM()
		m.VXORPS(t, t, t)
		m.VFNMADD231SD(one, delta, t)
		m.VCVTSD2SS(t, t, t)
		m.VBROADCASTSS(t, shift)
	}
	return shift, factor
}

// float64 is a float64 in memory.
func (m *lanes) float64(name string, x float64) operand.Mem {
	bits := math.Float64bits(x)
	return m.data.words(name, uint32(bits), uint32(bits>>32))
}

// rope writes the rotation of halves.
func (m *lanes) rope() {
	m.begin("rope", "func(x, cos, sin []float32, heads, headDim int)", "is Vectors.RoPE.")
	x, cos, sin, heads, dim := m.ropeOperands()
	half := m.Load(m.Param("cos").Len(), m.GP64()).(reg.GPVirtual)
	whole := m.mask(half)
	second := m.GP64()
	m.LEAQ(operand.Mem{Base: x, Index: half, Scale: 4}, second)
	m.each(whole, func(at reg.GPVirtual, partial bool) {
		co, si := m.load(m.vectorAt(cos, at, 0), partial), m.load(m.vectorAt(sin, at, 0), partial)
		p, q, left, loop := m.GP64(), m.GP64(), m.GP64(), m.label("head")
		m.LEAQ(m.vectorAt(x, at, 0), p)
		m.LEAQ(m.vectorAt(second, at, 0), q)
		m.MOVQ(heads, left)
		m.Label(loop)
		a, b := m.load(operand.Mem{Base: p}, partial), m.load(operand.Mem{Base: q}, partial)
		t, u := m.reg(), m.reg()
		m.VMULPS(si, b, t)
		m.VMULPS(si, a, u)
		m.VFMSUB213PS(t, co, a)
		m.VFMADD213PS(u, co, b)
		m.store(a, operand.Mem{Base: p}, partial)
		m.store(b, operand.Mem{Base: q}, partial)
		m.ADDQ(dim, p)
		m.ADDQ(dim, q)
		m.DECQ(left)
		m.JNZ(to(loop))
	})
	m.end()
}

// ropeOperands loads what both rotations have: the size of a head in bytes.
func (m *lanes) ropeOperands() (x, cos, sin, heads, dim reg.GPVirtual) {
	x = m.Load(m.Param("x").Base(), m.GP64()).(reg.GPVirtual)
	cos = m.Load(m.Param("cos").Base(), m.GP64()).(reg.GPVirtual)
	sin = m.Load(m.Param("sin").Base(), m.GP64()).(reg.GPVirtual)
	heads = m.Load(m.Param("heads"), m.GP64()).(reg.GPVirtual)
	dim = m.Load(m.Param("headDim"), m.GP64()).(reg.GPVirtual)
	m.SHLQ(operand.U8(2), dim)
	return x, cos, sin, heads, dim
}

// ropePairs writes the rotation of neighbours. Each number of the tables is used
// for two lanes, so a vector takes half a vector of them.
func (m *lanes) ropePairs() {
	m.begin("ropePairs", "func(x, cos, sin []float32, heads, headDim int)", "is Vectors.RoPEPairs.")
	x, cos, sin, heads, dim := m.ropeOperands()
	n := m.Load(m.Param("cos").Len(), m.GP64()).(reg.GPVirtual)
	m.ADDQ(n, n)
	whole := m.mask(n)
	twice := m.reg()
	m.VMOVUPS(m.data.words("lanes_twice", 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7), twice)
	table := func(base, at reg.GPVirtual, partial bool) reg.VecVirtual {
		half := operand.Mem{Base: base, Index: at, Scale: 1}
		if !m.wide {
			v := m.YMM()
			if partial {
				m.VMASKMOVPS(half, m.pairMask(), v.AsX())
			} else {
				m.VMOVUPS(half, v.AsX())
			}
			m.VPERMPS(v, twice, v)
			return v
		}
		v := m.ZMM()
		if partial {
			m.VMOVUPS_Z(half, m.pairKMask(), v.AsY())
		} else {
			m.VMOVUPS(half, v.AsY())
		}
		m.VPERMPS(v, twice, v)
		return v
	}
	halfAt := m.GP64()
	m.each(whole, func(at reg.GPVirtual, partial bool) {
		m.MOVQ(at, halfAt)
		m.SHRQ(operand.U8(1), halfAt)
		co, si := table(cos, halfAt, partial), table(sin, halfAt, partial)
		p, left, loop := m.GP64(), m.GP64(), m.label("head")
		m.LEAQ(m.vectorAt(x, at, 0), p)
		m.MOVQ(heads, left)
		m.Label(loop)
		a, t := m.load(operand.Mem{Base: p}, partial), m.reg()
		m.VPERMILPS(operand.U8(0xb1), a, t)
		m.VMULPS(si, t, t)
		m.VFMADDSUB213PS(t, co, a)
		m.store(a, operand.Mem{Base: p}, partial)
		m.ADDQ(dim, p)
		m.DECQ(left)
		m.JNZ(to(loop))
	})
	m.end()
}

// pairMask is every other lane of the mask, for half a vector.
func (m *lanes) pairMask() reg.VecVirtual {
	low, high := m.XMM(), m.XMM()
	m.VEXTRACTF128(operand.U8(1), m.yMask, high)
	m.VSHUFPS(operand.U8(0x88), high, m.yMask.AsX(), low)
	return low
}

func (m *lanes) pairKMask() reg.OpmaskVirtual {
	bits, count, k := m.GP32(), m.GP32(), m.K()
	m.KMOVW(m.kMask, bits)
	m.POPCNTL(bits, count)
	m.SHRL(operand.U8(1), count)
	m.MOVL(count, reg.ECX)
	m.MOVL(operand.I32(-1), bits)
	m.SHLL(reg.CL, bits)
	m.NOTL(bits)
	m.KMOVW(bits, k)
	return k
}

// combine writes the weighted sum of rows.
func (m *lanes) combine() {
	m.begin("combine", "func(out, x []float32, ldx int, w, add []float32)", "is Vectors.Combine.")
	out := m.Load(m.Param("out").Base(), m.GP64()).(reg.GPVirtual)
	x := m.Load(m.Param("x").Base(), m.GP64()).(reg.GPVirtual)
	step := m.Load(m.Param("ldx"), m.GP64()).(reg.GPVirtual)
	m.SHLQ(operand.U8(2), step)
	w := m.Load(m.Param("w").Base(), m.GP64()).(reg.GPVirtual)
	rows := m.Load(m.Param("w").Len(), m.GP64()).(reg.GPVirtual)
	add := m.Load(m.Param("add").Base(), m.GP64()).(reg.GPVirtual)
	whole := m.mask(m.Load(m.Param("out").Len(), m.GP64()).(reg.GPVirtual))
	m.each(whole, func(at reg.GPVirtual, partial bool) {
		p, i, loop, done := m.GP64(), m.GP64(), m.label("term"), m.label("terms")
		sum := m.zero()
		m.LEAQ(m.vectorAt(x, at, 0), p)
		m.XORQ(i, i)
		m.Label(loop)
		m.CMPQ(i, rows)
		m.JGE(to(done))
		m.VFMADD231PS(m.load(operand.Mem{Base: p}, partial), m.broadcast(operand.Mem{Base: w, Index: i, Scale: 4}), sum)
		m.ADDQ(step, p)
		m.INCQ(i)
		m.JMP(to(loop))
		m.Label(done)
		m.given(add, func() { m.VADDPS(m.load(m.vectorAt(add, at, 0), partial), sum, sum) })
		m.store(sum, m.vectorAt(out, at, 0), partial)
	})
	m.end()
}

// largest writes the maximum of a row.
func (m *lanes) largest() {
	m.begin("largest", "func(x []float32) float32", "is Vectors.Max.")
	x := m.Load(m.Param("x").Base(), m.GP64()).(reg.GPVirtual)
	whole := m.mask(m.Load(m.Param("x").Len(), m.GP64()).(reg.GPVirtual))
	var acc []reg.VecVirtual
	for range 4 {
		r := m.reg()
		m.VMOVUPS(m.k(float32(math.Inf(-1))), r)
		acc = append(acc, r)
	}
	least, nan := m.copyOf(acc[0]), m.zero() // lanes become NaN if an element is
	m.unrolled(4, whole, func(at reg.GPVirtual, i int, partial bool) {
		v := m.load(m.vectorAt(x, at, i), partial)
		switch {
		case !partial:
		case m.wide:
			t := m.copyOf(least)
			m.VMOVAPS(v, m.kMask, t)
			v = t
		default:
			m.VBLENDVPS(m.yMask, v, least, v)
		}
		m.VMAXPS(v, acc[i], acc[i])
		// 0·x + nan is NaN for infinities too: ask which is unordered instead.
		if m.wide {
			k := m.K()
			m.VCMPPS(operand.U8(3), v, v, k)
			m.VMOVAPS(v, k, nan)
		} else {
			t := m.reg()
			m.VCMPPS(operand.U8(3), v, v, t)
			m.VORPS(t, nan, nan)
		}
	})
	m.VMAXPS(acc[1], acc[0], acc[0])
	m.VMAXPS(acc[3], acc[2], acc[2])
	m.VMAXPS(acc[2], acc[0], acc[0])
	m.VADDPS(nan, acc[0], acc[0]) // all ones is a NaN
	result := m.horizontalMax(acc[0])
	m.Store(result, m.ReturnIndex(0))
	m.end()
}

// horizontalMax is the largest lane, or NaN.
func (m *lanes) horizontalMax(v reg.VecVirtual) reg.VecVirtual {
	y := v
	if m.wide {
		upper, low := m.YMM(), m.YMM()
		m.VEXTRACTF64X4(operand.U8(1), v, upper)
		m.maxNaN(v.AsY(), upper, low)
		y = low
	}
	upper, x := m.XMM(), m.XMM()
	m.upper(y, upper)
	m.maxNaN(y.AsX(), upper, x)
	for _, shuffle := range []uint8{0x4e, 0xb1} {
		other, t := m.XMM(), m.XMM()
		m.VPERMILPS(operand.U8(shuffle), x, other)
		m.maxNaN(x, other, t)
		x = t
	}
	return x
}

// maxNaN is the larger of two, or NaN if one is: a sum is NaN where the maximum
// forgets it, and is else dropped.
func (m *lanes) maxNaN(a, b, out reg.Register) {
	// max gives b if either is NaN; so a's NaN is lost unless it is asked first.
	var t reg.VecVirtual
	if out.Size() == 32 {
		t = m.YMM()
	} else {
		t = m.XMM()
	}
	if m.wide {
		k := m.K()
		m.VMAXPS(b, a, out)
		m.VCMPPS(operand.U8(3), a, a, k)
		m.VMOVAPS(a, k, out)
		return
	}
	m.VCMPPS(operand.U8(3), a, a, t)
	m.VMAXPS(b, a, out)
	m.VBLENDVPS(t, a, out, out)
}

// expSum writes exponentials and their sum.
func (m *lanes) expSum() {
	m.begin("expSum", "func(out, x []float32, shift float32) float64", "is Vectors.ExpSum.")
	out := m.Load(m.Param("out").Base(), m.GP64()).(reg.GPVirtual)
	x := m.Load(m.Param("x").Base(), m.GP64()).(reg.GPVirtual)
	whole := m.mask(m.Load(m.Param("x").Len(), m.GP64()).(reg.GPVirtual))
	single := m.Load(m.Param("shift"), m.XMM()).(reg.VecVirtual)
	shift := m.reg()
	m.VBROADCASTSS(single, shift)
	m.hold(append([]float32{log2e, expMost, expLeast}, expHolds...)...)
	acc := m.accumulators()
	m.unrolled(4, whole, func(at reg.GPVirtual, i int, partial bool) {
		v := m.load(m.vectorAt(x, at, i), partial)
		m.VSUBPS(shift, v, v)
		e := m.exp(m.clamped(v))
		m.store(e, m.vectorAt(out, at, i), partial)
		m.clear(e, partial)
		m.VADDPS(e, acc[i], acc[i])
	})
	m.Store(m.sum64(acc), m.ReturnIndex(0))
	m.end()
}
