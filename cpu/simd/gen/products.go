package main

// Products of rows with float panels: for each path and type of panel one
// function, with a loop of its own for each number of rows.

import (
	"fmt"
	"math/bits"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The registers of all functions here.
var (
	mulC       = reg.RDI                                    // c of row 0, at the present panel
	mulStrideC = reg.RSI                                    // bytes from row to row of c
	mulA       = [3]reg.Register{reg.RAX, reg.RBX, reg.RCX} // a of rows 0, 4, 8, at the present k
	mulStrideA = reg.RDX
	mulThriceA = reg.R12
	mulB       = reg.R8 // b at the present panel
	mulStrideB = reg.R9 // bytes of a panel
	mulThriceB = reg.RCX
	mulK       = reg.R10 // numbers of k, or pairs
	mulPanels  = reg.R11 // panels left
	mulAt      = reg.R15 // b at the present k
	mulCount   = reg.R13 // a counter, or a row of c
	mulNext    = reg.R11 // what is fetched, in place of mulPanels
	mulStep    = reg.R9  // by so many bytes a k, in place of mulStrideB
)

// panelType is how vectors of weights come from a panel.
type panelType struct {
	name  string // at the end of functions' names
	doc   string
	a, b  string // types of elements
	bytes int    // of a k, or of a pair of k where there are pairs
	pairs bool   // a panel has pairs of k
	dot   bool   // and they are multiplied as pairs
	next  bool   // one panel; and while it is multiplied, memory is fetched that the next needs
	apart bool   // not panels, but rows of outputs that are some distance apart
}

var (
	typeF32  = panelType{name: "F32", a: "float32", b: "float32", bytes: 128, doc: "panels [k][32] of float32"}
	typeNext = panelType{name: "NextF32", a: "float32", b: "float32", bytes: 128, next: true, doc: "a panel [k][32] of float32 and fetches what is at next, step bytes a k"}
	typeRows = panelType{name: "RowsF32", a: "float32", b: "float32", bytes: 128, apart: true, doc: "rows of float32, element j of k at b[k·ldb+j]"}
	typeF16  = panelType{name: "F16", a: "float32", b: "uint16", bytes: 64, doc: "panels [k][32] of float16, in float32"}
	typeBF16 = panelType{name: "BF16", a: "float32", b: "uint16", bytes: 128, pairs: true, doc: "panels [k/2][32][2] of bfloat16, in float32"}
	typeDot  = panelType{name: "DotBF16", a: "uint16", b: "uint16", bytes: 128, pairs: true, dot: true, doc: "panels [k/2][32][2] of bfloat16, pair by pair, where k is even"}
)

// vectorSet is a size of vectors, and the tiles that suit its registers.
type vectorSet struct {
	name      string
	lanes     int
	registers []reg.VecPhysical
	tiles     []tileShape // for 1, 2, 3 … rows
	types     []panelType
}

// tileShape is how many outputs are summed at once for a number of rows: vectors
// of each of some panels. There is one accumulator for each vector and row; eight
// or more hide how long an addition takes.
type tileShape struct{ panels, vectors int }

// The registers of 32 and of 64 bytes.
var (
	ymm = []reg.VecPhysical{reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7, reg.Y8, reg.Y9, reg.Y10, reg.Y11, reg.Y12, reg.Y13, reg.Y14, reg.Y15}
	zmm = []reg.VecPhysical{reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7, reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15,
		reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21, reg.Z22, reg.Z23, reg.Z24, reg.Z25, reg.Z26, reg.Z27, reg.Z28, reg.Z29, reg.Z30, reg.Z31}
)

var (
	setAVX2   = vectorSet{"AVX2", 8, ymm, []tileShape{{2, 4}, {1, 4}, {1, 4}, {1, 2}, {1, 2}, {1, 2}}, []panelType{typeF32, typeNext, typeRows, typeF16, typeBF16}}
	setAVX512 = vectorSet{"AVX512", 16, zmm, []tileShape{{4, 2}, {4, 2}, {4, 2}, {2, 2}, {2, 2}, {2, 2}, {1, 2}, {1, 2}, {1, 2}, {1, 2}, {1, 2}, {1, 2}}, []panelType{typeF32, typeNext, typeRows, typeF16, typeBF16, typeDot}}
)

// mulAhead is how many bytes one panel is fetched ahead; several at once keep the
// memory busy as they are.
const mulAhead = 1024

// products writes every function.
func products(c *build.Context) {
	for _, set := range []vectorSet{setAVX2, setAVX512} {
		for _, t := range set.types {
			(&mulWriter{c, set, t, 0}).function()
		}
	}
}

// mulWriter writes one function.
type mulWriter struct {
	*build.Context
	set    vectorSet
	t      panelType
	labels int
}

func (w *mulWriter) function() {
	w.Function("mul" + w.t.name + w.set.name)
	w.Attributes(attr.NOSPLIT)
	rest := "k, m, panels int, add bool"
	if w.t.next {
		rest = "k, m int, add bool, next *byte, step int"
	}
	if w.t.apart {
		rest = "ldb int, " + rest
	}
	w.SignatureExpr(fmt.Sprintf("func(c []float32, ldc int, a []%s, lda int, b []%s, %s)", w.t.a, w.t.b, rest))
	w.Doc(fmt.Sprintf("mul%s%s multiplies m ≤ %d rows with %s.", w.t.name, w.set.name, len(w.set.tiles), w.t.doc))
	w.Load(w.Param("c").Base(), mulC)
	w.Load(w.Param("ldc"), mulStrideC)
	w.SHLQ(operand.U8(2), mulStrideC)
	w.Load(w.Param("lda"), mulStrideA)
	if w.t.dot {
		w.ADDQ(mulStrideA, mulStrideA)
	} else {
		w.SHLQ(operand.U8(2), mulStrideA)
	}
	w.LEAQ(operand.Mem{Base: mulStrideA, Index: mulStrideA, Scale: 2}, mulThriceA)
	w.Load(w.Param("b").Base(), mulB)
	w.Load(w.Param("k"), mulK)
	switch {
	case w.t.apart:
		w.Load(w.Param("ldb"), mulStrideB)
		w.SHLQ(operand.U8(2), mulStrideB)
	case !w.t.next:
		w.MOVQ(mulK, mulStrideB)
	}
	if w.t.pairs {
		w.ADDQ(operand.U8(31), mulStrideB)
		w.ANDQ(operand.I32(-32), mulStrideB)
		w.SHRQ(operand.U8(1), mulStrideB)
		w.SHRQ(operand.U8(1), mulK)
	}
	if !w.t.next && !w.t.apart {
		w.SHLQ(operand.U8(bits.TrailingZeros(uint(w.t.bytes))), mulStrideB)
	}
	if mask, ok := w.mask(); ok {
		ones := w.set.registers[mask]
		w.VPTERNLOGD(operand.U8(255), ones, ones, ones)
		w.VPSLLD(operand.U8(16), ones, ones)
	}
	if w.t.next {
		w.Load(w.Param("next"), mulNext)
		w.Load(w.Param("step"), mulStep)
	} else {
		w.Load(w.Param("panels"), mulPanels)
	}
	w.Load(w.Param("m"), mulCount)
	for m := range w.set.tiles {
		if m+1 < len(w.set.tiles) {
			w.CMPQ(mulCount, operand.U8(m+1))
			w.JEQ(operand.LabelRef(fmt.Sprintf("rows%d", m+1)))
		}
	}
	for m := len(w.set.tiles); m > 0; m-- {
		w.Label(fmt.Sprintf("rows%d", m))
		w.rows(m)
	}
	w.Label("done")
	w.VZEROUPPER()
	w.RET()
}

// rows writes the loops over panels for m rows: the most at once, then halves.
func (w *mulWriter) rows(m int) {
	shape := w.set.tiles[m-1]
	whole := 32 / w.set.lanes
	if w.t.next {
		shape.vectors = min(shape.vectors, 32/w.set.lanes)
		for first := 0; first < whole; first += shape.vectors {
			w.tile(m, 1, first, shape.vectors)
		}
		w.JMP(operand.LabelRef("done"))
		return
	}
	for n := shape.panels; n > 0; n /= 2 {
		loop, next := w.label("panels"), w.label("fewer")
		if n == 1 {
			next = "done"
		}
		w.Label(loop)
		w.CMPQ(mulPanels, operand.U8(n))
		w.JLT(operand.LabelRef(next))
		for first := 0; first < whole; first += shape.vectors {
			w.tile(m, n, first, shape.vectors)
		}
		w.ADDQ(operand.U32(n*128), mulC)
		if w.t.apart {
			w.ADDQ(operand.U32(n*128), mulB)
		}
		for range n {
			if !w.t.apart {
				w.ADDQ(mulStrideB, mulB)
			}
		}
		w.SUBQ(operand.U8(n), mulPanels)
		w.JMP(operand.LabelRef(loop))
		if n > 1 {
			w.Label(next)
		}
	}
}

func (w *mulWriter) label(s string) string {
	w.labels++
	return fmt.Sprintf("%s%d", s, w.labels)
}

// mask is the register with the high halves of all lanes, where there is one.
func (w *mulWriter) mask() (int, bool) {
	return len(w.set.registers) - 1, w.t.pairs && !w.t.dot && w.set.lanes == 16
}

// mulTile is one tile: m rows by vectors of panels.
type mulTile struct {
	*mulWriter
	m, panels, first, vectors int
	sums                      []reg.VecPhysical // of panel, row, vector
	hold                      bool              // all of a's rows in registers, b vector by vector; else the other way
	weights                   []reg.VecPhysical // of b
	rows                      []reg.VecPhysical // of a
}

func (w *mulWriter) tile(m, panels, first, vectors int) {
	all, n := w.set.registers, panels*m*vectors
	if mask, ok := w.mask(); ok {
		all = all[:mask]
	}
	t := &mulTile{mulWriter: w, m: m, panels: panels, first: first, vectors: vectors}
	t.sums = all[:n]
	if t.hold = panels*vectors > 2; t.hold {
		t.rows, t.weights = all[n:n+m], all[n+m:]
	} else {
		t.weights, t.rows = all[n:n+vectors], all[n+vectors:]
	}
	t.begin()
	units := 4 // a round
	if w.t.pairs {
		units = 2
	}
	main, tail, end := w.label("main"), w.label("tail"), w.label("end")
	w.MOVQ(mulK, mulCount)
	w.SUBQ(operand.U8(units), mulCount)
	w.JLT(operand.LabelRef(tail))
	w.Label(main)
	for u := range units {
		t.unit(u)
	}
	t.advance(units)
	w.SUBQ(operand.U8(units), mulCount)
	w.JGE(operand.LabelRef(main))
	w.Label(tail)
	w.ADDQ(operand.U8(units), mulCount)
	w.JEQ(operand.LabelRef(end))
	one := w.label("one")
	w.Label(one)
	t.unit(0)
	t.advance(1)
	w.SUBQ(operand.U8(1), mulCount)
	w.JNE(operand.LabelRef(one))
	w.Label(end)
	if w.t.pairs && !w.t.dot { // the last of an odd number of k
		even := w.label("even")
		w.MOVQ(w.param("k"), mulCount)
		w.TESTQ(operand.U32(1), mulCount)
		w.JEQ(operand.LabelRef(even))
		t.products(0, 0)
		w.Label(even)
	}
	t.eachSum(func(sum reg.VecPhysical, at operand.Mem) { w.VMOVUPS(sum, at) })
}

// begin sets cursors and sums.
func (t *mulTile) begin() {
	zero, ready := t.label("zero"), t.label("ready")
	t.CMPB(t.param("add"), operand.U8(0))
	t.JEQ(operand.LabelRef(zero))
	t.eachSum(func(sum reg.VecPhysical, at operand.Mem) { t.VMOVUPS(at, sum) })
	t.JMP(operand.LabelRef(ready))
	t.Label(zero)
	for _, sum := range t.sums {
		if t.set.lanes == 16 {
			t.VPXORD(sum, sum, sum)
		} else {
			t.VXORPS(sum, sum, sum)
		}
	}
	t.Label(ready)
	t.Load(t.Param("a").Base(), mulA[0])
	for i := 1; i <= (t.m-1)/4; i++ {
		t.LEAQ(operand.Mem{Base: mulA[i-1], Index: mulStrideA, Scale: 4}, mulA[i])
	}
	t.MOVQ(mulB, mulAt)
	if t.panels > 3 && !t.t.apart {
		t.LEAQ(operand.Mem{Base: mulStrideB, Index: mulStrideB, Scale: 2}, mulThriceB)
	}
}

// param is where an argument is.
func (w *mulWriter) param(name string) operand.Mem {
	b, err := w.Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return b.Addr
}

// eachSum calls f for every sum with its place in c.
func (t *mulTile) eachSum(f func(sum reg.VecPhysical, at operand.Mem)) {
	row := mulC
	for r := range t.m {
		for p := range t.panels {
			for v := range t.vectors {
				f(t.sum(p, r, v), operand.Mem{Base: row, Disp: p*128 + (t.first+v)*4*t.set.lanes})
			}
		}
		if r == t.m-1 {
			break
		}
		if r == 0 {
			row = mulCount
			t.MOVQ(mulC, row)
		}
		t.ADDQ(mulStrideC, row)
	}
}

func (t *mulTile) sum(p, r, v int) reg.VecPhysical { return t.sums[(p*t.m+r)*t.vectors+v] }

// unit writes the products of unit u of the round: a k, or a pair of k.
func (t *mulTile) unit(u int) {
	if t.t.apart {
		t.products(u, 0)
		t.ADDQ(mulStrideB, mulAt)
		return
	}
	if t.panels == 1 && t.first == 0 {
		for at := 0; at < t.t.bytes; at += 64 {
			ahead := t.panel(u, 0, 0)
			ahead.Disp += at + mulAhead
			t.PREFETCHT0(ahead)
		}
	}
	if t.t.next && t.first == 0 {
		t.PREFETCHT1(operand.Mem{Base: mulNext})
		t.ADDQ(mulStep, mulNext)
	}
	t.products(u, 0)
	if t.t.pairs && !t.t.dot {
		t.products(u, 1)
	}
}

// products writes those of unit u, or of one half of a pair.
func (t *mulTile) products(u, half int) {
	if !t.hold {
		for v := range t.vectors {
			t.weight(t.weights[v], u, 0, v, half)
		}
		for r := range t.m {
			x := t.rows[r%len(t.rows)]
			t.VBROADCASTSS(t.row(r, u, half), x)
			for v := range t.vectors {
				t.multiply(t.weights[v], x, t.sum(0, r, v))
			}
		}
		return
	}
	for r := range t.m {
		t.VBROADCASTSS(t.row(r, u, half), t.rows[r])
	}
	for p := range t.panels {
		for v := range t.vectors {
			if t.m == 1 && t.t.b == "float32" {
				t.VFMADD231PS(t.panel(u, p, v), t.rows[0], t.sum(p, 0, v))
				continue
			}
			x := t.weights[(p*t.vectors+v)%len(t.weights)]
			t.weight(x, u, p, v, half)
			for r := range t.m {
				t.multiply(x, t.rows[r], t.sum(p, r, v))
			}
		}
	}
}

func (t *mulTile) multiply(b, a, sum reg.VecPhysical) {
	if t.t.dot {
		emitEVEX(t.Context, opVDPBF16PS, b, a, sum)
		return
	}
	t.VFMADD231PS(b, a, sum)
}

// row is where a of row r is, of unit u or of one half of it.
func (t *mulTile) row(r, u, half int) operand.Mem {
	m := operand.Mem{Base: mulA[r/4], Disp: u*t.step() + 4*half}
	switch r % 4 {
	case 1:
		m.Index, m.Scale = mulStrideA, 1
	case 2:
		m.Index, m.Scale = mulStrideA, 2
	case 3:
		m.Index, m.Scale = mulThriceA, 1
	}
	return m
}

// step is how many bytes of a a unit takes.
func (t *mulTile) step() int {
	if t.t.pairs && !t.t.dot {
		return 8
	}
	return 4
}

// panel is where vector v of panel p is, of unit u.
func (t *mulTile) panel(u, p, v int) operand.Mem {
	m := operand.Mem{Base: mulAt, Disp: u*t.t.bytes + (t.first+v)*t.set.lanes*t.t.bytes/32}
	if t.t.apart {
		m.Disp += (p - u) * t.t.bytes
		return m
	}
	switch p {
	case 1:
		m.Index, m.Scale = mulStrideB, 1
	case 2:
		m.Index, m.Scale = mulStrideB, 2
	case 3:
		m.Index, m.Scale = mulThriceB, 1
	}
	return m
}

// weight loads that vector, or one half of its pairs, as float32; pairs that are
// multiplied as such stay as they are.
func (t *mulTile) weight(to reg.VecPhysical, u, p, v, half int) {
	from := t.panel(u, p, v)
	switch mask, ok := t.mask(); {
	case t.t.name == typeF16.name:
		t.VCVTPH2PS(from, to)
	case !t.t.pairs || t.t.dot:
		t.VMOVUPS(from, to)
	case ok && half == 0:
		t.VPSLLD(operand.U8(16), from, to)
	case ok:
		t.VPANDD(from, t.set.registers[mask], to)
	default:
		t.VMOVUPS(from, to)
		if half == 1 {
			t.VPSRLD(operand.U8(16), to, to)
		}
		t.VPSLLD(operand.U8(16), to, to)
	}
}

// advance moves the cursors by n units.
func (t *mulTile) advance(n int) {
	for i := range (t.m + 3) / 4 {
		t.ADDQ(operand.U8(n*t.step()), mulA[i])
	}
	if !t.t.apart {
		t.ADDQ(operand.U32(n*t.t.bytes), mulAt)
	}
}
