package main

// Products on tiles. Tiles belong to a thread of the system and goroutines move
// from one to another, so that every function sets them up and gives them back.

import (
	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The tiles of a product of bf16: number 2i+j is the results of rows i and outputs
// j, 4+i the rows, 6+j the outputs.
const (
	tileRows    tmm = 4
	tileOutputs tmm = 6
)

// The registers of tileBF16.
var (
	tileC       = reg.R8  // c of the panel's first row
	tileStrideC = reg.R9  // bytes from row to row of c
	tileStrideA = reg.R10 // bytes from row to row of a
	tileStrideB = reg.R11 // bytes from pair to pair of k
	tileB       = reg.RDI // the panel
	tileSteps   = reg.R12 // 32 k each, of a panel
	tilePanels  = reg.R13
	tileGroups  = reg.R14 // left in the panel
	tileCRow    = reg.R15 // c of the group's first row
	tileARow    = reg.RAX // a of it
	tileA       = [2]reg.Register{reg.RSI, reg.RBX}
	tileBStep   = reg.RDX // the panel at the present k
	tileLeft    = reg.RCX // steps left
)

// tiles writes every function.
func tiles(c *build.Context) {
	t := tileContext{c}
	t.bf16("mulBF16Tile", 1)
	t.bf16("mulBF16Tiles", 2)
	for _, b := range blockTypes {
		(&blockTiles{tileContext: t, blockType: b}).emit()
	}
}

// index is memory whose rows are a stride apart.
func index(base, stride reg.Register, disp int) operand.Mem {
	return operand.Mem{Base: base, Index: stride, Scale: 1, Disp: disp}
}

// bf16 writes the product of groups of rows, each of high tiles of rows, with
// panels of bf16. A panel stays in a cache while groups pass; the results of a
// group stay in tiles for all k.
func (t tileContext) bf16(name string, high int) {
	t.Function(name)
	t.Attributes(attr.NOSPLIT)
	t.Pragma("noescape")
	t.SignatureExpr("func(tiles *[64]byte, c *float32, ldc int, a *byte, step int, b *byte, steps, groups, panels int)")
	t.Doc(name+" multiplies groups of rows, each of "+[]string{"", "one tile", "two tiles"}[high]+", with panels of",
		"32·steps k in bf16; groups are 16 rows a tile apart, ldc counts elements, step bytes.")
	config := tileARow
	t.Load(t.Param("tiles"), config)
	t.configure(operand.Mem{Base: config})
	t.Load(t.Param("c"), tileC)
	t.Load(t.Param("ldc"), tileStrideC)
	t.SHLQ(operand.Imm(2), tileStrideC)
	t.Load(t.Param("step"), tileStrideA)
	t.MOVQ(operand.U32(128), tileStrideB)
	t.Load(t.Param("b"), tileB)
	t.Load(t.Param("steps"), tileSteps)
	t.Load(t.Param("panels"), tilePanels)

	t.Label("panel")
	t.MOVQ(tileC, tileCRow)
	t.Load(t.Param("a"), tileARow)
	t.Load(t.Param("groups"), tileGroups)
	t.Label("group")
	t.groupBF16(high)
	t.next(tileARow, tileStrideA, high)
	t.next(tileCRow, tileStrideC, high)
	t.DECQ(tileGroups)
	t.JNZ(operand.LabelRef("group"))
	t.MOVQ(tileBStep, tileB)
	t.ADDQ(operand.U32(128), tileC)
	t.DECQ(tilePanels)
	t.JNZ(operand.LabelRef("panel"))
	t.release()
	t.RET()
}

// next moves on by tiles of 16 rows.
func (t tileContext) next(p, stride reg.GPPhysical, high int) {
	t.MOVQ(stride, tileLeft)
	t.SHLQ(operand.U8(3+high), tileLeft)
	t.ADDQ(tileLeft, p)
}

// groupBF16 multiplies a group with a panel.
func (t tileContext) groupBF16(high int) {
	for i := range 2 * high {
		t.zero(tmm(i))
	}
	t.MOVQ(tileARow, tileA[0])
	if high == 2 {
		t.MOVQ(tileStrideA, tileA[1])
		t.SHLQ(operand.Imm(4), tileA[1])
		t.ADDQ(tileARow, tileA[1])
	}
	t.MOVQ(tileB, tileBStep)
	t.MOVQ(tileSteps, tileLeft)
	t.Label("step")
	for i := range high {
		t.load(index(tileA[i], tileStrideA, 0), tileRows+tmm(i))
		for j := range 2 {
			if i == 0 {
				t.load(index(tileBStep, tileStrideB, 64*j), tileOutputs+tmm(j))
			}
		}
		for j := range 2 {
			t.dot(tdpbf16ps, tmm(2*i+j), tileRows+tmm(i), tileOutputs+tmm(j))
		}
		t.ADDQ(operand.Imm(64), tileA[i])
	}
	t.ADDQ(operand.U32(16*128), tileBStep)
	t.DECQ(tileLeft)
	t.JNZ(operand.LabelRef("step"))
	t.MOVQ(tileCRow, tileA[0])
	for i := range high {
		for j := range 2 {
			t.store(tmm(2*i+j), index(tileA[0], tileStrideC, 64*j))
		}
		if i+1 < high {
			t.MOVQ(tileStrideC, tileLeft)
			t.SHLQ(operand.Imm(4), tileLeft)
			t.ADDQ(tileLeft, tileA[0])
		}
	}
}
