package main

// Keys and values on their way into panels of floats, whatever the cache keeps
// them in.

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// transposeKeys takes four features of sixteen keys at a time: a register has those
// of every fourth key, so that the four of them that follow each other become
// vectors of a feature within their quarters.
func (m *lanes) transposeKeys() {
	m.begin("transposeKeys", "func(dst []float32, ldd int, src []float32, lds, n int)", "is Scores.PanelKeys for n a multiple of 4.")
	dst, ldd, stride, n := m.base("dst"), m.value("ldd"), m.value("lds"), m.value("n")
	m.SHLQ(operand.U8(2), ldd)
	m.SHLQ(operand.U8(2), stride)
	thrice := m.GP64()
	m.LEAQ(operand.Mem{Base: stride, Index: stride, Scale: 2}, thrice)
	rows := []reg.GPVirtual{m.base("src")}
	for len(rows) < 4 {
		r := m.GP64()
		m.LEAQ(operand.Mem{Base: rows[len(rows)-1], Index: stride, Scale: 4}, r)
		rows = append(rows, r)
	}
	key := func(i int) operand.Mem {
		x := operand.Mem{Base: rows[i/4]}
		switch i % 4 {
		case 1:
			x.Index, x.Scale = stride, 1
		case 2:
			x.Index, x.Scale = stride, 2
		case 3:
			x.Index, x.Scale = thrice, 1
		}
		return x
	}
	m.Label("loop")
	for part := 0; part < 16/m.n; part++ {
		v := make([]reg.VecVirtual, 4)
		for i := range v {
			v[i] = m.reg()
			m.VMOVUPS(key(part*8+i), v[i].AsX())
			for q := 1; q < m.n/4; q++ {
				if m.wide {
					m.VINSERTF32X4(operand.U8(q), key(4*q+i), v[i], v[i])
				} else {
					m.VINSERTF128(operand.U8(q), key(part*8+4*q+i), v[i], v[i])
				}
			}
		}
		a, b, c, d := m.reg(), m.reg(), m.reg(), m.reg()
		m.VUNPCKLPS(v[1], v[0], a)
		m.VUNPCKHPS(v[1], v[0], b)
		m.VUNPCKLPS(v[3], v[2], c)
		m.VUNPCKHPS(v[3], v[2], d)
		m.VUNPCKLPD(c, a, v[0])
		m.VUNPCKHPD(c, a, v[1])
		m.VUNPCKLPD(d, b, v[2])
		m.VUNPCKHPD(d, b, v[3])
		out := m.GP64()
		m.MOVQ(dst, out)
		for i := range v {
			m.VMOVUPS(v[i], operand.Mem{Base: out, Disp: part * m.size()})
			m.ADDQ(ldd, out)
		}
	}
	for _, r := range rows {
		m.ADDQ(operand.U8(16), r)
	}
	m.LEAQ(operand.Mem{Base: dst, Index: ldd, Scale: 4}, dst)
	m.SUBQ(operand.U8(4), n)
	m.JG(to("loop"))
	m.end()
}

// directType is a type of a cache.
type directType struct {
	name string
	size int // bytes of an element
}

var directTypes = []directType{{"F32", 4}, {"F16", 2}, {"BF16", 2}, {"Q8", 1}}

// widen loads a vector of the type as float32, without scales.
func (m *lanes) widen(t directType, x operand.Mem) reg.VecVirtual {
	r := m.reg()
	switch t.name {
	case "F32":
		m.VMOVUPS(x, r)
	case "F16":
		m.VCVTPH2PS(x, r)
	case "BF16":
		m.VPMOVZXWD(x, r)
		m.VPSLLD(operand.U8(16), r, r)
	case "Q8":
		m.VPMOVSXBD(x, r)
		m.VCVTDQ2PS(r, r)
	}
	return r
}

// blockScale is a scale of Q8_0 in all lanes.
func (m *lanes) blockScale(x operand.Mem) reg.VecVirtual {
	r := m.reg()
	if m.wide {
		y := m.YMM()
		m.VPBROADCASTW(x, y)
		m.VCVTPH2PS(y, r)
		return r
	}
	y := m.XMM()
	m.VPBROADCASTW(x, y)
	m.VCVTPH2PS(y, r)
	return r
}

func (m *lanes) widenRows(t directType) {
	m.begin("widenRows"+t.name, "func(dst []float32, ldd int, src []byte, lds, n int)", "is Scores.Widen"+t.name+".")
	dst, ldd, src, lds, n := m.base("dst"), m.value("ldd"), m.base("src"), m.value("lds"), m.value("n")
	m.SHLQ(operand.U8(2), ldd)
	m.Label("loop")
	for i := 0; i < 16/m.n; i++ {
		m.VMOVUPS(m.widen(t, operand.Mem{Base: src, Disp: i * m.n * t.size}), operand.Mem{Base: dst, Disp: i * m.size()})
	}
	m.ADDQ(ldd, dst)
	m.ADDQ(lds, src)
	m.DECQ(n)
	m.JNZ(to("loop"))
	m.end()
}

func (m *lanes) widenRowsQ8() {
	m.begin("widenRowsQ8", "func(dst []float32, ldd int, src []byte, lds, n int)", "is Scores.WidenQ8.")
	dst, ldd, src, lds, n := m.base("dst"), m.value("ldd"), m.base("src"), m.value("lds"), m.value("n")
	m.SHLQ(operand.U8(2), ldd)
	m.Label("loop")
	d := m.blockScale(operand.Mem{Base: src})
	for i := 0; i < 32/m.n; i++ {
		x := m.widen(directTypes[3], operand.Mem{Base: src, Disp: 2 + i*m.n})
		m.VMULPS(d, x, x)
		m.VMOVUPS(x, operand.Mem{Base: dst, Disp: i * m.size()})
	}
	m.ADDQ(ldd, dst)
	m.ADDQ(lds, src)
	m.DECQ(n)
	m.JNZ(to("loop"))
	m.end()
}

func (m *lanes) widenKeysQ8() {
	m.begin("widenKeysQ8", "func(dst []float32, src, scales []byte, n int)", "is Scores.WidenKeysQ8.")
	dst, src, scales, n := m.base("dst"), m.base("src"), m.base("scales"), m.value("n")
	var d []reg.VecVirtual
	for i := 0; i < 16/m.n; i++ {
		d = append(d, m.widen(directTypes[1], operand.Mem{Base: scales, Disp: 2 * i * m.n}))
	}
	m.Label("loop")
	for i := range d {
		x := m.widen(directTypes[3], operand.Mem{Base: src, Disp: i * m.n})
		m.VMULPS(d[i], x, x)
		m.VMOVUPS(x, operand.Mem{Base: dst, Disp: i * m.size()})
	}
	m.ADDQ(operand.U32(panelBytes), dst)
	m.ADDQ(operand.U8(16), src)
	m.DECQ(n)
	m.JNZ(to("loop"))
	m.end()
}
