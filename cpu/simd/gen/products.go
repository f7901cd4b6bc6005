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
)

// panelType is how one k, or one pair of k, of a panel becomes vectors.
type panelType struct {
	name  string // of the function's ending
	doc   string
	a, b  string // types of elements
	bytes int    // of a k, or of a pair of k
	pairs bool   // a panel has pairs of k
	dot   bool   // and pairs are multiplied as such
}

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

var (
	typeF32  = panelType{name: "F32", a: "float32", b: "float32", bytes: 128, doc: "panels [k][32] of float32"}
	ymm      = []reg.VecPhysical{reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7, reg.Y8, reg.Y9, reg.Y10, reg.Y11, reg.Y12, reg.Y13, reg.Y14, reg.Y15}
	zmm      = []reg.VecPhysical{reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7, reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15, reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21, reg.Z22, reg.Z23, reg.Z24, reg.Z25, reg.Z26, reg.Z27, reg.Z28, reg.Z29, reg.Z30, reg.Z31}
	setAVX2  = vectorSet{"AVX2", 8, ymm, []tileShape{{2, 4}, {1, 4}, {1, 4}, {1, 2}, {1, 2}, {1, 2}}, []panelType{typeF32}}
	setAVX5  = vectorSet{"AVX512", 16, zmm, []tileShape{{4, 2}, {4, 2}, {4, 2}, {2, 2}, {2, 2}, {2, 2}, {1, 2}, {1, 2}, {1, 2}, {1, 2}, {1, 2}, {1, 2}}, []panelType{typeF32}}
	mulUnits = 4 // k, or pairs of k, a round of the inner loop
)

// products writes every function.
func products(c *build.Context) {
	for _, set := range []vectorSet{setAVX2, setAVX5} {
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
	w.SignatureExpr(fmt.Sprintf("func(c []float32, ldc int, a []%s, lda int, b []%s, k, m, panels int, add bool)", w.t.a, w.t.b))
	w.Doc(fmt.Sprintf("mul%s%s multiplies m ≤ %d rows with %s.", w.t.name, w.set.name, len(w.set.tiles), w.t.doc))
	w.Load(w.Param("c").Base(), mulC)
	w.Load(w.Param("ldc"), mulStrideC)
	w.SHLQ(operand.U8(2), mulStrideC)
	w.Load(w.Param("lda"), mulStrideA)
	w.SHLQ(operand.U8(2), mulStrideA)
	w.LEAQ(operand.Mem{Base: mulStrideA, Index: mulStrideA, Scale: 2}, mulThriceA)
	w.Load(w.Param("b").Base(), mulB)
	w.Load(w.Param("k"), mulK)
	w.MOVQ(mulK, mulStrideB)
	w.SHLQ(operand.U8(bits.TrailingZeros(uint(w.t.bytes))), mulStrideB)
	w.Load(w.Param("panels"), mulPanels)
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
		for range n {
			w.ADDQ(mulStrideB, mulB)
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
	t := &mulTile{mulWriter: w, m: m, panels: panels, first: first, vectors: vectors}
	t.sums = all[:n]
	if t.hold = panels*vectors > 2; t.hold {
		t.rows, t.weights = all[n:n+m], all[n+m:]
	} else {
		t.weights, t.rows = all[n:n+vectors], all[n+vectors:]
	}
	t.begin()
	main, tail, end := w.label("main"), w.label("tail"), w.label("end")
	w.MOVQ(mulK, mulCount)
	w.SUBQ(operand.U8(mulUnits), mulCount)
	w.JLT(operand.LabelRef(tail))
	w.Label(main)
	for u := range mulUnits {
		t.unit(u)
	}
	t.advance(mulUnits)
	w.SUBQ(operand.U8(mulUnits), mulCount)
	w.JGE(operand.LabelRef(main))
	w.Label(tail)
	w.ADDQ(operand.U8(mulUnits), mulCount)
	w.JEQ(operand.LabelRef(end))
	one := w.label("one")
	w.Label(one)
	t.unit(0)
	t.advance(1)
	w.SUBQ(operand.U8(1), mulCount)
	w.JNE(operand.LabelRef(one))
	w.Label(end)
	t.eachSum(func(sum reg.VecPhysical, at operand.Mem) { w.VMOVUPS(sum, at) })
}

// begin sets cursors and sums.
func (t *mulTile) begin() {
	zero, ready := t.label("zero"), t.label("ready")
	t.CMPB(t.addParam(), operand.U8(0))
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
	if t.panels > 3 {
		t.LEAQ(operand.Mem{Base: mulStrideB, Index: mulStrideB, Scale: 2}, mulThriceB)
	}
}

func (t *mulTile) addParam() operand.Mem {
	b, err := t.Param("add").Resolve()
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

// unit writes the products of k number u of the round.
func (t *mulTile) unit(u int) {
	if !t.hold {
		for v := range t.vectors {
			t.weight(t.weights[v], u, 0, v)
		}
		for r := range t.m {
			x := t.rows[r%len(t.rows)]
			t.VBROADCASTSS(t.row(r, u), x)
			for v := range t.vectors {
				t.VFMADD231PS(t.weights[v], x, t.sum(0, r, v))
			}
		}
		return
	}
	for r := range t.m {
		t.VBROADCASTSS(t.row(r, u), t.rows[r])
	}
	for p := range t.panels {
		for v := range t.vectors {
			if t.m == 1 {
				t.VFMADD231PS(t.panel(u, p, v), t.rows[0], t.sum(p, 0, v))
				continue
			}
			x := t.weights[(p*t.vectors+v)%len(t.weights)]
			t.weight(x, u, p, v)
			for r := range t.m {
				t.VFMADD231PS(x, t.rows[r], t.sum(p, r, v))
			}
		}
	}
}

// row is where a of row r and of k number u of the round is.
func (t *mulTile) row(r, u int) operand.Mem {
	m := operand.Mem{Base: mulA[r/4], Disp: 4 * u}
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

// panel is where vector v of panel p and of k number u of the round is.
func (t *mulTile) panel(u, p, v int) operand.Mem {
	m := operand.Mem{Base: mulAt, Disp: u*t.t.bytes + (t.first+v)*t.set.lanes*t.t.bytes/32}
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

// weight loads that vector as float32.
func (t *mulTile) weight(to reg.VecPhysical, u, p, v int) {
	t.VMOVUPS(t.panel(u, p, v), to)
}

// advance moves the cursors by n k.
func (t *mulTile) advance(n int) {
	for i := range (t.m + 3) / 4 {
		t.ADDQ(operand.U8(4*n), mulA[i])
	}
	t.ADDQ(operand.U32(n*t.t.bytes), mulAt)
}
