package main

// Products of few rows with keys and values as they lie in a cache. Numbers that
// come out are those of products with panels, bit for bit.

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// rowsAtOnce is how many rows share what is read.
func (m *lanes) rowsAtOnce() int {
	if m.wide {
		return 4
	}
	return 2
}

// kept is a variable on the stack; there are not enough registers for all.
type kept struct {
	m  *lanes
	at operand.Mem
}

// keep keeps what x holds.
func (m *lanes) keep(x reg.GPVirtual) kept {
	k := kept{m, m.AllocLocal(8)}
	m.MOVQ(x, k.at)
	return k
}

// get is its value in a register.
func (k kept) get() reg.GPVirtual {
	r := k.m.GP64()
	k.m.MOVQ(k.at, r)
	return r
}

// byRows writes body for each number of rows at once, and the loops around it:
// next is what is done before the next. The function's parameter m counts.
func (m *lanes) byRows(body func(rows int, name string), next func(rows int)) {
	most, count := m.rowsAtOnce(), m.keep(m.value("m"))
	m.Label("next")
	for n := most; n > 0; n-- {
		name := fmt.Sprintf("rows%d", n)
		if n < most {
			m.Label(name)
		}
		rest := count.get()
		if n > 1 {
			m.CMPQ(rest, operand.U8(n))
			m.JLT(to(fmt.Sprintf("rows%d", n-1)))
		} else {
			m.TESTQ(rest, rest)
			m.JZ(to("end"))
		}
		body(n, name)
		next(n)
		m.SUBQ(operand.U8(n), count.at)
		m.JMP(to("next"))
	}
	m.Label("end")
	m.end()
}

// dot writes Direct.Dot of a type.
func (m *lanes) dot(t directType) {
	m.begin("dot"+t.name, "func(s, q []float32, d, m int, cache []byte, at []int)", "is Direct.Dot of "+t.name+".")
	s, q := m.keep(m.base("s")), m.keep(m.base("q"))
	width := m.value("d") // bytes of a row of q
	m.SHLQ(operand.U8(2), width)
	m.byRows(func(rows int, name string) {
		at, out, left := m.base("at"), s.get(), m.GP64()
		m.Load(m.Param("at").Len(), left)
		groups := 4
		if !m.wide {
			groups = 2
		}
		for n := groups; n > 0; n = min(n-1, 1) {
			loop, next := fmt.Sprintf("%sgroups%d", name, n), fmt.Sprintf("%sfewer%d", name, n)
			m.Label(loop)
			m.CMPQ(left, operand.U8(n))
			m.JLT(to(next))
			m.dotGroups(t, rows, n, loop, q, width, at, out)
			m.ADDQ(operand.U32(8*n), at)
			m.ADDQ(operand.U32(64*n), out)
			m.SUBQ(operand.U8(n), left)
			m.JMP(to(loop))
			m.Label(next)
		}
	}, func(rows int) {
		m.ADDQ(operand.U32(rows*spanBytes), s.at)
		for range rows {
			m.ADDQ(width, q.at)
		}
	})
}

// dotGroups writes the products of some rows with some groups.
func (m *lanes) dotGroups(t directType, rows, groups int, name string, q kept, width, at, out reg.GPVirtual) {
	parts, cache := 16/m.n, m.base("cache")
	var keys []reg.GPVirtual
	for g := range groups {
		k := m.GP64()
		m.MOVQ(operand.Mem{Base: at, Disp: 8 * g}, k)
		m.ADDQ(cache, k)
		keys = append(keys, k)
	}
	acc := make([]reg.VecVirtual, rows*groups*parts)
	for i := range acc {
		acc[i] = m.everyLane(m.data.repeated(0)) // an exclusive or would count as a use
	}
	query, thrice, count := q.get(), m.GP64(), m.value("d")
	m.LEAQ(operand.Mem{Base: width, Index: width, Scale: 2}, thrice)
	queries := []operand.Mem{{Base: query}, {Base: query, Index: width, Scale: 1}, {Base: query, Index: width, Scale: 2}, {Base: query, Index: thrice, Scale: 1}}
	var scales []reg.VecVirtual
	inner := name + "d"
	if t.name == "Q8" {
		m.Label(name + "block")
		for _, k := range keys {
			for p := range parts {
				scales = append(scales, m.widen(directTypes[1], operand.Mem{Base: k, Disp: 512 + 2*p*m.n}))
			}
		}
		m.MOVQ(operand.I32(32), count)
	}
	m.Label(inner)
	var x []reg.VecVirtual
	for r := range rows {
		x = append(x, m.broadcast(queries[r]))
	}
	for g, k := range keys {
		for p := range parts {
			v := m.widen(t, operand.Mem{Base: k, Disp: p * m.n * t.size})
			if scales != nil {
				m.VMULPS(scales[g*parts+p], v, v)
			}
			for r := range rows {
				m.VFMADD231PS(x[r], v, acc[(r*groups+g)*parts+p])
			}
		}
		m.ADDQ(operand.U8(16*t.size), k)
	}
	m.ADDQ(operand.U8(4), query)
	m.DECQ(count)
	m.JNZ(to(inner))
	if t.name == "Q8" {
		for _, k := range keys {
			m.ADDQ(operand.U8(32), k)
		}
		end := q.get()
		m.ADDQ(width, end)
		m.CMPQ(query, end)
		m.JLT(to(name + "block"))
	}
	for r := range rows {
		for i := range groups * parts {
			m.VMOVUPS(acc[r*groups*parts+i], operand.Mem{Base: out, Disp: r*spanBytes + i*m.size()})
		}
	}
}

// weigh writes Direct.Weigh of a type.
func (m *lanes) weigh(t directType) {
	m.begin("weigh"+t.name, "func(out []float32, ldo int, p []float32, dv, m int, cache []byte, at []int, from, to int)", "is Direct.Weigh of "+t.name+".")
	out, p := m.keep(m.base("out")), m.keep(m.base("p"))
	step := m.value("dv") // bytes of a value
	if t.name == "Q8" {
		m.IMUL3Q(operand.I32(34), step, step)
		m.SHRQ(operand.U8(5), step)
	} else {
		m.IMUL3Q(operand.I32(int32(t.size)), step, step)
	}
	m.byRows(func(rows int, name string) {
		column, left, sums := m.GP64(), m.value("dv"), out.get()
		m.Load(m.Param("cache").Base(), column)
		vectors := 4
		for n := vectors; n*m.n >= 16; n /= 2 {
			if t.name == "Q8" && n*m.n < 32 {
				break
			}
			loop, next := fmt.Sprintf("%scolumns%d", name, n), fmt.Sprintf("%sfewer%d", name, n)
			m.Label(loop)
			m.CMPQ(left, operand.U8(n*m.n))
			m.JLT(to(next))
			m.weighColumns(t, rows, n, loop, p.get(), step, column, sums)
			bytes := n * m.n * t.size
			if t.name == "Q8" {
				bytes = n * m.n / 32 * 34
			}
			m.ADDQ(operand.U32(bytes), column)
			m.ADDQ(operand.U32(n*m.size()), sums)
			m.SUBQ(operand.U8(n*m.n), left)
			m.JMP(to(loop))
			m.Label(next)
		}
	}, func(rows int) {
		m.ADDQ(operand.U32(rows*spanBytes), p.at)
		ldo := m.value("ldo")
		m.IMUL3Q(operand.I32(int32(4*rows)), ldo, ldo)
		m.ADDQ(ldo, out.at)
	})
}

// weighColumns writes the sums of some rows in some vectors of features.
func (m *lanes) weighColumns(t directType, rows, vectors int, name string, p, step, column, out reg.GPVirtual) {
	acc := make([]reg.VecVirtual, rows*vectors)
	for i := range acc {
		acc[i] = m.everyLane(m.data.repeated(0)) // an exclusive or would count as a use
	}
	key, end := m.value("from"), m.GP64()
	m.Label(name + "group")
	v, at := m.GP64(), m.base("at")
	m.MOVQ(key, v)
	m.SHRQ(operand.U8(4), v)
	m.MOVQ(operand.Mem{Base: at, Index: v, Scale: 8}, v)
	m.ADDQ(column, v)
	first := m.GP64()
	m.MOVQ(key, first)
	m.ANDQ(operand.I32(15), first)
	m.IMULQ(step, first)
	m.ADDQ(first, v)
	m.MOVQ(key, end)
	m.ORQ(operand.I32(15), end)
	m.INCQ(end)
	limit := m.value("to")
	m.CMPQ(end, limit)
	m.CMOVQGT(limit, end)
	m.Label(name + "key")
	var x []reg.VecVirtual
	for r := range rows {
		x = append(x, m.broadcast(operand.Mem{Base: p, Index: key, Scale: 4, Disp: r * spanBytes}))
	}
	var d reg.VecVirtual
	for i := range vectors {
		at := operand.Mem{Base: v, Disp: i * m.n * t.size}
		if t.name == "Q8" {
			e := i * m.n
			if e%32 == 0 {
				d = m.blockScale(operand.Mem{Base: v, Disp: e / 32 * 34})
			}
			at.Disp = e/32*34 + 2 + e%32
		}
		y := m.widen(t, at)
		if d != nil {
			m.VMULPS(d, y, y)
		}
		for r := range rows {
			m.VFMADD231PS(x[r], y, acc[r*vectors+i])
		}
	}
	m.ADDQ(step, v)
	m.INCQ(key)
	m.CMPQ(key, end)
	m.JLT(to(name + "key"))
	m.CMPQ(key, limit)
	m.JLT(to(name + "group"))
	row, ldo := m.GP64(), m.value("ldo")
	m.MOVQ(out, row)
	for r := range rows {
		for i := range vectors {
			m.VMOVUPS(acc[r*vectors+i], operand.Mem{Base: row, Disp: i * m.size()})
		}
		m.LEAQ(operand.Mem{Base: row, Index: ldo, Scale: 4}, row)
	}
}
