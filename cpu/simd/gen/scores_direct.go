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

// set changes it.
func (k kept) set(x reg.GPVirtual) { k.m.MOVQ(x, k.at) }

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
	m.begin("dot"+t.name, "func(s, q []float32, d, m int, cache []byte, at []int, next []byte, ahead []int)", "is Direct.Dot of "+t.name+".")
	s, q := m.keep(m.base("s")), m.keep(m.base("q"))
	at, ahead, out, left := kept{m, m.AllocLocal(8)}, kept{m, m.AllocLocal(8)}, kept{m, m.AllocLocal(8)}, kept{m, m.AllocLocal(8)}
	width := m.value("d") // bytes of a row of q
	m.SHLQ(operand.U8(2), width)
	m.byRows(func(rows int, name string) {
		n := m.GP64()
		m.Load(m.Param("at").Len(), n)
		at.set(m.base("at"))
		ahead.set(m.base("ahead"))
		out.set(s.get())
		left.set(n)
		groups := 4
		if !m.wide {
			groups = 2
		}
		for n := groups; n > 0; n = min(n-1, 1) {
			loop, next := fmt.Sprintf("%sgroups%d", name, n), fmt.Sprintf("%sfewer%d", name, n)
			m.Label(loop)
			m.CMPQ(left.at, operand.U8(n))
			m.JLT(to(next))
			m.dotGroups(t, rows, n, loop, q, width, at, ahead, out)
			m.ADDQ(operand.U32(8*n), at.at)
			m.ADDQ(operand.U32(8*n), ahead.at)
			m.ADDQ(operand.U32(64*n), out.at)
			m.SUBQ(operand.U8(n), left.at)
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

// places are groups that begin at bytes of a slice.
func (m *lanes) places(slice string, at kept, n int) []reg.GPVirtual {
	list, base := at.get(), m.base(slice)
	var p []reg.GPVirtual
	for g := range n {
		x := m.GP64()
		m.MOVQ(operand.Mem{Base: list, Disp: 8 * g}, x)
		m.ADDQ(base, x)
		p = append(p, x)
	}
	return p
}

// dotGroups writes the products of some rows with some groups. A round takes as
// many elements as share a line of the cache, and fetches such a line of each of
// the groups ahead.
func (m *lanes) dotGroups(t directType, rows, groups int, name string, q kept, width reg.GPVirtual, at, ahead, out kept) {
	const line = 64
	parts, each := 16/m.n, line/(16*t.size)
	keys, soon := m.places("cache", at, groups), m.places("next", ahead, groups)
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
	for i := range each {
		var x []reg.VecVirtual
		for r := range rows {
			y := queries[r]
			y.Disp = 4 * i
			x = append(x, m.broadcast(y))
		}
		for g, k := range keys {
			for p := range parts {
				v := m.widen(t, operand.Mem{Base: k, Disp: (16*i + p*m.n) * t.size})
				if scales != nil {
					m.VMULPS(scales[g*parts+p], v, v)
				}
				for r := range rows {
					m.VFMADD231PS(x[r], v, acc[(r*groups+g)*parts+p])
				}
			}
		}
	}
	for g, k := range keys {
		m.PREFETCHT1(operand.Mem{Base: soon[g]})
		m.ADDQ(operand.U8(line), soon[g])
		m.ADDQ(operand.U8(line), k)
	}
	m.ADDQ(operand.U8(4*each), query)
	m.SUBQ(operand.U8(each), count)
	m.JNZ(to(inner))
	if t.name == "Q8" {
		for g, k := range keys {
			m.ADDQ(operand.U8(32), k)
			m.ADDQ(operand.U8(32), soon[g])
		}
		end := q.get()
		m.ADDQ(width, end)
		m.CMPQ(query, end)
		m.JLT(to(name + "block"))
	}
	row := out.get()
	for r := range rows {
		for i := range groups * parts {
			m.VMOVUPS(acc[r*groups*parts+i], operand.Mem{Base: row, Disp: r*spanBytes + i*m.size()})
		}
	}
}

// weigh writes Direct.Weigh of a type.
func (m *lanes) weigh(t directType) {
	m.begin("weigh"+t.name, "func(out []float32, ldo int, p []float32, dv, m int, cache []byte, at []int, from, to int, next []byte, ahead []int)", "is Direct.Weigh of "+t.name+".")
	out, p := m.keep(m.base("out")), m.keep(m.base("p"))
	column, sums, left := kept{m, m.AllocLocal(8)}, kept{m, m.AllocLocal(8)}, kept{m, m.AllocLocal(8)}
	step := m.value("dv") // bytes of a value
	if t.name == "Q8" {
		m.IMUL3Q(operand.I32(34), step, step)
		m.SHRQ(operand.U8(5), step)
	} else {
		m.IMUL3Q(operand.I32(int32(t.size)), step, step)
	}
	m.byRows(func(rows int, name string) {
		none := m.GP64()
		m.XORQ(none, none)
		column.set(none)
		sums.set(out.get())
		left.set(m.value("dv"))
		for n := 4; n*m.n >= 16; n /= 2 {
			if t.name == "Q8" && n*m.n < 32 {
				break
			}
			loop, next := fmt.Sprintf("%scolumns%d", name, n), fmt.Sprintf("%sfewer%d", name, n)
			m.Label(loop)
			m.CMPQ(left.at, operand.U8(n*m.n))
			m.JLT(to(next))
			bytes := n * m.n * t.size
			if t.name == "Q8" {
				bytes = n * m.n / 32 * 34
			}
			m.weighColumns(t, rows, n, bytes, loop, p.get(), step, column, sums)
			m.ADDQ(operand.U32(bytes), column.at)
			m.ADDQ(operand.U32(n*m.size()), sums.at)
			m.SUBQ(operand.U8(n*m.n), left.at)
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

// weighColumns writes the sums of some rows in some vectors of features, and
// fetches as many bytes of groups ahead.
func (m *lanes) weighColumns(t directType, rows, vectors, bytes int, name string, p, step reg.GPVirtual, column, sums kept) {
	acc := make([]reg.VecVirtual, rows*vectors)
	for i := range acc {
		acc[i] = m.everyLane(m.data.repeated(0)) // an exclusive or would count as a use
	}
	key, end := m.value("from"), m.GP64()
	m.Label(name + "group")
	group, first := m.GP64(), column.get()
	m.MOVQ(key, group)
	m.SHRQ(operand.U8(4), group)
	m.MOVQ(key, end)
	m.ANDQ(operand.I32(15), end)
	m.IMULQ(step, end)
	m.ADDQ(end, first)
	v, soon := m.base("at"), m.base("ahead")
	m.MOVQ(operand.Mem{Base: v, Index: group, Scale: 8}, v)
	m.MOVQ(operand.Mem{Base: soon, Index: group, Scale: 8}, soon)
	m.ADDQ(first, v)
	m.ADDQ(first, soon)
	m.ADDQ(m.base("cache"), v)
	m.ADDQ(m.base("next"), soon)
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
	for i := 0; i < bytes; i += 64 {
		m.PREFETCHT1(operand.Mem{Base: soon, Disp: i})
	}
	m.ADDQ(step, v)
	m.ADDQ(step, soon)
	m.INCQ(key)
	m.CMPQ(key, end)
	m.JLT(to(name + "key"))
	m.CMPQ(key, m.value("to"))
	m.JLT(to(name + "group"))
	row, ldo := sums.get(), m.value("ldo")
	for r := range rows {
		for i := range vectors {
			m.VMOVUPS(acc[r*vectors+i], operand.Mem{Base: row, Disp: i * m.size()})
		}
		m.LEAQ(operand.Mem{Base: row, Index: ldo, Scale: 4}, row)
	}
}
