package main

// The elementwise functions, and what stands around them.

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// mapFunction is f of a vector.
type mapFunction struct {
	name  string
	holds []float32
	f     func(m *lanes, x reg.VecVirtual) reg.VecVirtual
	cheap bool // takes less time than a test for each vector
}

var maps = []mapFunction{
	{"mapIdentity", nil, func(_ *lanes, x reg.VecVirtual) reg.VecVirtual { return x }, true},
	{"mapRelu", []float32{}, (*lanes).relu, true},
	{"mapGelu", append(append([]float32{geluCentre, geluMost, 0.5, log2e / 2}, geluTerms[:5]...), expHolds...), (*lanes).gelu, false},
	{"mapGeluTanh", append([]float32{log2e, geluTanhMost, geluTanhLinear, geluTanhCubic}, expHolds...), (*lanes).geluTanh, false},
	{"mapSilu", append([]float32{log2e, sigmoidMost}, expHolds...), (*lanes).silu, false},
	{"mapTanh", append([]float32{log2e, 2, tanhMost}, expHolds...), (*lanes).tanh, false},
	{"mapSigmoid", append([]float32{log2e, sigmoidMost}, expHolds...), (*lanes).sigmoid, false},
}

// Offsets in simd.Rows.
const (
	rowsX, rowsOut, rowsBias, rowsMul, rowsMulBias, rowsAdd = 0, 24, 48, 72, 96, 120
	rowsLdX, rowsLdOut, rowsLdMul, rowsLdAdd                = 144, 152, 160, 168
	rowsM, rowsN, rowsIn, rowsAlpha                         = 176, 184, 192, 196
)

// mapped writes Add + Alpha·f(In·X + Bias)·(Mul + MulBias).
func (m *lanes) mapped(f mapFunction) {
	m.begin(f.name, "func()", "is Rows with this function.")
	m.takes("Rows", nil)
	m.hold(f.holds...)
	if len(f.holds) > 0 {
		m.holdBits(absolute)
	}
	r := m.Load(m.Param("r"), m.GP64()).(reg.GPVirtual)
	field := func(offset int) reg.GPVirtual {
		p := m.GP64()
		m.MOVQ(operand.Mem{Base: r, Disp: offset}, p)
		return p
	}
	x, out, bias, mul, mulBias, add := field(rowsX), field(rowsOut), field(rowsBias), field(rowsMul), field(rowsMulBias), field(rowsAdd)
	in, alpha := m.broadcast(operand.Mem{Base: r, Disp: rowsIn}), m.broadcast(operand.Mem{Base: r, Disp: rowsAlpha})
	left := field(rowsM)
	whole := m.mask(field(rowsN))
	row, done := m.label("row"), m.label("end")
	m.TESTQ(left, left)
	m.JLE(to(done))
	m.Label(row)
	body := func(bias, add reg.GPVirtual, given func(p reg.GPVirtual, with, without func())) func(at reg.GPVirtual, i int, partial bool) {
		return func(at reg.GPVirtual, i int, partial bool) {
			v := m.load(m.vectorAt(x, at, i), partial)
			given(bias, func() { m.VFMADD213PS(m.load(m.vectorAt(bias, at, i), partial), in, v) }, func() { m.VMULPS(in, v, v) })
			v = f.f(m, v)
			m.VMULPS(alpha, v, v)
			given(mul, func() {
				u := m.load(m.vectorAt(mul, at, i), partial)
				m.given(mulBias, func() { m.VADDPS(m.load(m.vectorAt(mulBias, at, i), partial), u, u) })
				m.VMULPS(u, v, v)
			}, nil)
			given(add, func() { m.VADDPS(m.load(m.vectorAt(add, at, i), partial), v, v) }, nil)
			m.store(v, m.vectorAt(out, at, i), partial)
		}
	}
	asking := func() {
		one := body(bias, add, m.either)
		m.each(whole, func(at reg.GPVirtual, partial bool) { one(at, 0, partial) })
	}
	if f.cheap {
		// Asking for operands would take as long as the rest: ask once a row. Rows
		// are mostly of 32 floats, a panel.
		known := func(p reg.GPVirtual, with, without func()) {
			switch {
			case p != nil && p != mul:
				with()
			case without != nil:
				without()
			}
		}
		m.either(mul, asking, func() {
			m.either(bias, func() {
				m.either(add, func() { m.unrolled(32/m.n, whole, body(bias, add, known)) }, func() { m.unrolled(32/m.n, whole, body(bias, nil, known)) })
			}, func() {
				m.either(add, func() { m.unrolled(32/m.n, whole, body(nil, add, known)) }, func() { m.unrolled(32/m.n, whole, body(nil, nil, known)) })
			})
		})
	} else {
		asking()
	}
	step := m.GP64()
	advance := func(p reg.GPVirtual, offset int) {
		m.MOVQ(operand.Mem{Base: r, Disp: offset}, step)
		m.LEAQ(operand.Mem{Base: p, Index: step, Scale: 4}, p)
	}
	advance(x, rowsLdX)
	advance(out, rowsLdOut)
	m.given(mul, func() { advance(mul, rowsLdMul) })
	m.given(add, func() { advance(add, rowsLdAdd) })
	m.DECQ(left)
	m.JNZ(to(row))
	m.Label(done)
	m.end()
}

// The exponential: e^x = 2^n·e^r, n the integer nearest to x/ln 2, e^r = 1 + r +
// r²·q(r) on |r| ≤ ln(2)/2, q of least relative error 3.2e-9.
const (
	log2e    = 1.44269504088896340736
	ln2High  = 0x1.62e4p-1 // n·ln2High is exact
	ln2Low   = 0x1.7f7d1cf79abcap-20
	expRound = 3 << 22 // x + expRound is the integer nearest to x, above 2^23
	expMost  = 89      // infinity from 88.73 on
	expLeast = -105    // zero from -103.98 on

	absolute = 0x7fffffff // the bits of |x|
)

var (
	expTerms = []float32{0x1.fffffcp-2, 0x1.555492p-3, 0x1.5558bp-5, 0x1.12398ep-7, 0x1.6a4d6p-10}
	expHolds = append([]float32{ln2High, ln2Low, expRound, 1}, expTerms...)
)

// exponent splits x into n·ln 2 + r: n, in float and with expRound added, and r.
func (m *lanes) exponent(x reg.VecVirtual) (n, biased, r reg.VecVirtual) {
	biased, n, r = m.reg(), m.reg(), m.copyOf(x)
	m.VMOVUPS(m.k(expRound), biased)
	m.VFMADD231PS(m.k(log2e), x, biased)
	m.VSUBPS(m.k(expRound), biased, n)
	m.VFNMADD231PS(m.k(ln2High), n, r)
	m.VFNMADD231PS(m.k(ln2Low), n, r)
	return n, biased, r
}

// exponentBelow is exponent of -t, with -r for r.
func (m *lanes) exponentBelow(t reg.VecVirtual) (n, biased, s reg.VecVirtual) {
	biased, n, s = m.reg(), m.reg(), m.copyOf(t)
	m.VMOVUPS(m.k(expRound), biased)
	m.VFNMADD231PS(m.k(log2e), t, biased)
	m.VSUBPS(m.k(expRound), biased, n)
	m.VFMADD231PS(m.k(ln2High), n, s)
	m.VFMADD231PS(m.k(ln2Low), n, s)
	return n, biased, s
}

// expm1 is e^r - 1.
func (m *lanes) expm1(r reg.VecVirtual) reg.VecVirtual {
	q, square := m.reg(), m.reg()
	m.VMOVUPS(m.k(expTerms[4]), q)
	m.VMULPS(r, r, square)
	for i := 3; i >= 0; i-- {
		m.VFMADD213PS(m.k(expTerms[i]), r, q)
	}
	m.VFMADD213PS(r, square, q)
	return q
}

// expm1Below is e^-s - 1.
func (m *lanes) expm1Below(s reg.VecVirtual) reg.VecVirtual {
	q, square := m.reg(), m.reg()
	m.VMOVUPS(m.k(expTerms[4]), q)
	m.VMULPS(s, s, square)
	m.VFMSUB213PS(m.k(expTerms[3]), s, q)
	m.VFMADD213PS(m.k(expTerms[2]), s, q)
	m.VFMSUB213PS(m.k(expTerms[1]), s, q)
	m.VFMADD213PS(m.k(expTerms[0]), s, q)
	m.VFMSUB213PS(s, square, q)
	return q
}

// scale is p·2^n, rounded once.
func (m *lanes) scale(p, n, biased reg.VecVirtual) {
	if m.wide {
		m.VSCALEFPS(n, p, p)
		return
	}
	// In two steps, as 2^n may be no normal number: 2^⌊n/2⌋ and the rest. The
	// integer n stands in the low bits of biased.
	half, rest := m.reg(), m.reg()
	m.VPSUBD(m.k(expRound), biased, rest)
	m.VPSRAD(operand.U8(1), rest, half)
	m.VPSUBD(half, rest, rest)
	m.VPSLLD(operand.U8(23), half, half)
	m.VPSLLD(operand.U8(23), rest, rest)
	m.VPADDD(m.bits(127<<23), half, half)
	m.VPADDD(m.bits(127<<23), rest, rest)
	m.VMULPS(half, p, p)
	m.VMULPS(rest, p, p)
}

// exp is e^x for x between expLeast and expMost, or NaN.
func (m *lanes) exp(x reg.VecVirtual) reg.VecVirtual {
	n, biased, r := m.exponent(x)
	p := m.expm1(r)
	m.VADDPS(m.k(1), p, p)
	m.scale(p, n, biased)
	return p
}

// expBelow is e^-t for t between 0 and -expLeast, or NaN.
func (m *lanes) expBelow(t reg.VecVirtual) reg.VecVirtual {
	n, biased, s := m.exponentBelow(t)
	p := m.expm1Below(s)
	m.VADDPS(m.k(1), p, p)
	m.scale(p, n, biased)
	return p
}

// clamped is x between expLeast and expMost; NaN stays.
func (m *lanes) clamped(x reg.VecVirtual) reg.VecVirtual {
	least, most := m.reg(), m.reg()
	m.VMOVUPS(m.k(expMost), most)
	m.VMINPS(x, most, most)
	m.VMOVUPS(m.k(expLeast), least)
	m.VMAXPS(most, least, least)
	return least
}

// reciprocal is 1/x, for x whose inverse is a normal number.
func (m *lanes) reciprocal(x reg.VecVirtual) reg.VecVirtual {
	y := m.reg()
	if !m.wide {
		m.VMOVUPS(m.k(1), y)
		m.VDIVPS(x, y, y)
		return y
	}
	e := m.reg()
	m.VRCP14PS(x, y)
	m.VMOVUPS(m.k(1), e)
	m.VFNMADD231PS(x, y, e)
	m.VFMADD231PS(e, y, y)
	return y
}

// magnitude is the smaller of |x| and most; NaN stays.
func (m *lanes) magnitude(x reg.VecVirtual, most float32) reg.VecVirtual {
	t, limit := m.reg(), m.reg()
	if m.wide {
		m.VPANDD(m.bits(absolute), x, t)
	} else {
		m.VANDPS(m.bits(absolute), x, t)
	}
	m.VMOVUPS(m.k(most), limit)
	m.VMINPS(t, limit, t)
	return t
}

// relu is max(x, 0); NaN stays.
func (m *lanes) relu(x reg.VecVirtual) reg.VecVirtual {
	y := m.zero()
	m.VMAXPS(x, y, y)
	return y
}

// gated is max(x, 0) - t·e, which is x·(1-e) for x ≥ 0 and x·e below, t = |x|.
func (m *lanes) gated(x, t, e reg.VecVirtual) reg.VecVirtual {
	y := m.relu(x)
	m.VFNMADD231PS(t, e, y)
	return y
}

// tail is e^-t/(1+e^-t), which is sigmoid(-t), for 0 ≤ t.
func (m *lanes) tail(t reg.VecVirtual) reg.VecVirtual {
	e, d := m.expBelow(t), m.reg()
	m.VADDPS(m.k(1), e, d)
	y := m.reciprocal(d)
	m.VMULPS(e, y, y)
	return y
}

const sigmoidMost = 105 // e^-105 is zero

func (m *lanes) silu(x reg.VecVirtual) reg.VecVirtual {
	t := m.magnitude(x, sigmoidMost)
	return m.gated(x, t, m.tail(t))
}

// sigmoid is 1/(1+e^-t) for x = t ≥ 0, and that times e^-t for x = -t.
func (m *lanes) sigmoid(x reg.VecVirtual) reg.VecVirtual {
	e, d := m.expBelow(m.magnitude(x, sigmoidMost)), m.reg()
	m.VADDPS(m.k(1), e, d)
	y, z := m.reciprocal(d), m.reg()
	m.VMULPS(e, y, z)
	if m.wide {
		below := m.K()
		m.VPMOVD2M(x, below)
		m.VMOVAPS(z, below, y)
	} else {
		m.VBLENDVPS(x, z, y, y)
	}
	return y
}

const tanhMost = 16 // from 9.02 on it is 1

// tanh is -u/(2+u) of |x|, u = e^-2|x| - 1, with the sign of x.
func (m *lanes) tanh(x reg.VecVirtual) reg.VecVirtual {
	t := m.magnitude(x, tanhMost)
	m.VADDPS(t, t, t)
	n, biased, s := m.exponentBelow(t)
	p, power, less := m.expm1Below(s), m.reg(), m.reg()
	m.VMOVUPS(m.k(1), power)
	m.scale(power, n, biased)
	m.VSUBPS(m.k(1), power, less)
	m.VFMADD213PS(less, power, p) // u = 2^n·(e^-s-1) + (2^n-1)
	d := m.reg()
	m.VADDPS(m.k(2), p, d)
	y := m.reciprocal(d)
	m.VMULPS(p, y, y)
	if m.wide {
		m.VPTERNLOGD(operand.U8(0xe4), m.bits(absolute), x, y) // below
	} else {
		sign := m.reg()
		m.VANDPS(m.bits(absolute), y, y)
		m.VMOVUPS(m.bits(absolute), sign)
		m.VANDNPS(x, sign, sign)
		m.VORPS(sign, y, y)
	}
	return y
}

// The Gaussian error function: for t ≥ 0, Φ(-t) = e^(-t²/2)·g(t), where g is a
// polynomial in (t-c)/(t+c) with a relative error of 1.1e-8.
const (
	geluCentre = 3
	geluMost   = 14.5 // Φ(-14.5) is zero
)

var geluTerms = [...]float32{0.12151394784450531, -0.20640261471271515, 0.12322501838207245, -0.046213336288928986, 0.006132151000201702,
	0.0029047003481537104, -0.0009838864207267761, -0.00033964839531108737, 0.00011556037497939542, 5.368592246668413e-05}

// gelu is x·Φ(x).
func (m *lanes) gelu(x reg.VecVirtual) reg.VecVirtual {
	t := m.magnitude(x, geluMost)
	d := m.reg()
	m.VADDPS(m.k(geluCentre), t, d)
	z := m.reciprocal(d)
	g := m.reg()
	m.VSUBPS(m.k(geluCentre), t, d)
	m.VMULPS(d, z, z)
	last := len(geluTerms) - 1
	m.VMOVUPS(m.k(geluTerms[last]), g)
	for i := last - 1; i >= 0; i-- {
		m.VFMADD213PS(m.k(geluTerms[i]), z, g)
	}
	// t² stands in an exponent, so what its rounding lost counts too: with it, t²/2
	// is n·ln 2 + s.
	square, low, n, biased, s := m.reg(), m.reg(), m.reg(), m.reg(), m.reg()
	m.VMULPS(t, t, square)
	m.VMOVAPS(square, low)
	m.VFMSUB231PS(t, t, low)
	m.VMOVUPS(m.k(expRound), biased)
	m.VFNMADD231PS(m.k(log2e/2), square, biased)
	m.VSUBPS(m.k(expRound), biased, n)
	m.VMULPS(m.k(ln2High), n, s)
	m.VFMADD231PS(m.k(0.5), square, s)
	m.VFMADD231PS(m.k(0.5), low, s)
	m.VFMADD231PS(m.k(ln2Low), n, s)
	e := m.expm1Below(s)
	m.VFMADD213PS(g, g, e) // g·(1 + e)
	m.scale(e, n, biased)
	return m.gated(x, t, e)
}

// The approximation with tanh is x·sigmoid(2u), 2u = x·(linear + cubic·x²).
const (
	geluTanhMost   = 11                                           // sigmoid(-112) is zero
	geluTanhLinear = 1.59576912160573071176                       // 2·√(2/π)
	geluTanhCubic  = 1.59576912160573071176 * 0.04471500000000000 //
)

func (m *lanes) geluTanh(x reg.VecVirtual) reg.VecVirtual {
	t := m.magnitude(x, geluTanhMost)
	u, square := m.reg(), m.reg()
	m.VMULPS(t, t, square)
	m.VMOVUPS(m.k(geluTanhLinear), u)
	m.VFMADD231PS(m.k(geluTanhCubic), square, u)
	m.VMULPS(t, u, u)
	return m.gated(x, t, m.tail(u))
}
