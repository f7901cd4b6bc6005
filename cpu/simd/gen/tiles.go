package main

// Products on tiles. Tiles belong to a thread of the system and goroutines move
// from one to another, so that every function sets them up and gives them back.

import (
	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The tiles of products of bf16. For many rows, number 2i+j is the results of rows
// i and outputs j, 4+i the rows and 6+j the outputs. For few, 2p+j is the results
// of panel p, 4 the rows, and 5 to 7 in turn outputs.
const (
	manyRows    tmm = 4
	manyOutputs tmm = 6
	fewRows     tmm = 4
	fewOutputs  tmm = 5
)

// The registers of products of bf16.
var (
	tileC       = reg.R8  // c of the panel's first row
	tileStrideC = reg.R9  // bytes from row to row of c
	tileStrideA = reg.R10 // bytes from row to row of a
	tileStrideB = reg.R11 // bytes from pair to pair of k
	tileB       = reg.RDI // the panel
	tileSteps   = reg.R12 // 32 k each, of a panel
	tilePanels  = reg.R13
	tileLeft    = reg.RCX // steps left

	manyGroups = reg.R14 // left in the panel
	manyC      = reg.R15 // c of the group's first row
	manyRow    = reg.RAX // a of it
	manyA      = [2]reg.GPPhysical{reg.RSI, reg.RBX}
	manyB      = reg.RDX // the panel at the present k

	fewA = reg.RSI
	fewB = [2]reg.GPPhysical{reg.RDX, reg.RBX} // panels at the present k
)

// tiles writes every function.
func tiles(c *build.Context) {
	t := tileContext{c}
	t.fewBF16()
	t.manyBF16()
	for _, b := range blockTypes {
		(&blockTiles{tileContext: t, blockType: b}).emit()
	}
}

// index is memory whose rows are a stride apart.
func index(base, stride reg.Register, disp int) operand.Mem {
	return operand.Mem{Base: base, Index: stride, Scale: 1, Disp: disp}
}

// beginBF16 sets the registers of what both have.
func (t tileContext) beginBF16() {
	t.Load(t.Param("tiles"), manyRow)
	t.configure(operand.Mem{Base: manyRow})
	t.Load(t.Param("c"), tileC)
	t.Load(t.Param("ldc"), tileStrideC)
	t.SHLQ(operand.Imm(2), tileStrideC)
	t.Load(t.Param("step"), tileStrideA)
	t.MOVQ(operand.U32(128), tileStrideB)
	t.Load(t.Param("b"), tileB)
	t.Load(t.Param("steps"), tileSteps)
	t.Load(t.Param("panels"), tilePanels)
}

// fewBF16 writes the product of one tile of rows with panels of bf16. It reads
// two panels at once, since memory is faster at several places.
func (t tileContext) fewBF16() {
	t.Function("mulBF16Few")
	t.Attributes(attr.NOSPLIT)
	t.Pragma("noescape")
	t.SignatureExpr("func(tiles *[64]byte, c *float32, ldc int, a *byte, step int, b *byte, steps, panels int)")
	t.Doc("mulBF16Few multiplies the rows of one tile with panels of 32·steps k in bf16; ldc", "counts elements, step bytes.")
	t.beginBF16()
	for _, n := range []int{len(fewB), 1} {
		label := [...]string{1: "one", 2: "two"}[n]
		end := [...]string{1: "end", 2: "one"}[n]
		t.Label(label)
		t.CMPQ(tilePanels, operand.Imm(uint64(n)))
		t.JLT(operand.LabelRef(end))
		t.fewPanels(n, label+"Step")
		t.SUBQ(operand.Imm(uint64(n)), tilePanels)
		t.JMP(operand.LabelRef(label))
	}
	t.Label("end")
	t.release()
	t.RET()
}

// fewPanels multiplies with n panels and goes on to the next.
func (t tileContext) fewPanels(n int, step string) {
	for i := range 2 * n {
		t.zero(tmm(i))
	}
	t.MOVQ(tileSteps, tileLeft)
	t.SHLQ(operand.Imm(11), tileLeft) // bytes of a panel
	t.MOVQ(tileB, fewB[0])
	for p := 1; p < n; p++ {
		t.LEAQ(operand.Mem{Base: fewB[p-1], Index: tileLeft, Scale: 1}, fewB[p])
	}
	t.Load(t.Param("a"), fewA)
	t.MOVQ(tileSteps, tileLeft)
	t.Label(step)
	t.load(index(fewA, tileStrideA, 0), fewRows)
	for p := range n {
		for j := range 2 {
			outputs := fewOutputs + tmm(2*p+j)%3
			t.load(index(fewB[p], tileStrideB, 64*j), outputs)
			t.dot(tdpbf16ps, tmm(2*p+j), fewRows, outputs)
		}
	}
	t.ADDQ(operand.Imm(64), fewA)
	for p := range n {
		t.ADDQ(operand.U32(16*128), fewB[p])
	}
	t.DECQ(tileLeft)
	t.JNZ(operand.LabelRef(step))
	for i := range 2 * n {
		t.store(tmm(i), index(tileC, tileStrideC, 64*i))
	}
	t.MOVQ(fewB[n-1], tileB)
	t.ADDQ(operand.U32(128*n), tileC)
}

// manyBF16 writes the product of groups of rows, of two tiles each, with panels of
// bf16. A panel stays in a cache while groups pass; the results of a group stay in
// tiles for all k.
func (t tileContext) manyBF16() {
	t.Function("mulBF16Many")
	t.Attributes(attr.NOSPLIT)
	t.Pragma("noescape")
	t.SignatureExpr("func(tiles *[64]byte, c *float32, ldc int, a *byte, step int, b *byte, steps, groups, panels int)")
	t.Doc("mulBF16Many multiplies groups of rows, each of two tiles, 32 rows apart, with panels of", "32·steps k in bf16; ldc counts elements, step bytes.")
	t.beginBF16()
	t.Label("panel")
	t.MOVQ(tileC, manyC)
	t.Load(t.Param("a"), manyRow)
	t.Load(t.Param("groups"), manyGroups)
	t.Label("group")
	t.groupBF16()
	for _, p := range [][2]reg.GPPhysical{{manyRow, tileStrideA}, {manyC, tileStrideC}} {
		t.MOVQ(p[1], tileLeft)
		t.SHLQ(operand.Imm(5), tileLeft)
		t.ADDQ(tileLeft, p[0])
	}
	t.DECQ(manyGroups)
	t.JNZ(operand.LabelRef("group"))
	t.MOVQ(manyB, tileB)
	t.ADDQ(operand.U32(128), tileC)
	t.DECQ(tilePanels)
	t.JNZ(operand.LabelRef("panel"))
	t.release()
	t.RET()
}

// groupBF16 multiplies a group with a panel.
func (t tileContext) groupBF16() {
	for i := range 4 {
		t.zero(tmm(i))
	}
	t.MOVQ(manyRow, manyA[0])
	t.MOVQ(tileStrideA, manyA[1])
	t.SHLQ(operand.Imm(4), manyA[1])
	t.ADDQ(manyRow, manyA[1])
	t.MOVQ(tileB, manyB)
	t.MOVQ(tileSteps, tileLeft)
	t.Label("step")
	for i := range tmm(2) {
		t.load(index(manyA[i], tileStrideA, 0), manyRows+i)
		for j := range tmm(2) {
			if i == 0 {
				t.load(index(manyB, tileStrideB, 64*int(j)), manyOutputs+j)
			}
		}
		for j := range tmm(2) {
			t.dot(tdpbf16ps, 2*i+j, manyRows+i, manyOutputs+j)
		}
		t.ADDQ(operand.Imm(64), manyA[i])
	}
	t.ADDQ(operand.U32(16*128), manyB)
	t.DECQ(tileLeft)
	t.JNZ(operand.LabelRef("step"))
	t.MOVQ(manyC, manyA[0])
	t.MOVQ(tileStrideC, manyA[1])
	t.SHLQ(operand.Imm(4), manyA[1])
	t.ADDQ(manyC, manyA[1])
	for i := range 4 {
		t.store(tmm(i), index(manyA[i/2], tileStrideC, 64*(i%2)))
	}
}
