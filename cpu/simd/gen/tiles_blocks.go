package main

// Products of int8 with panels of blocks, on tiles: a panel is unpacked to tiles
// of signed bytes once, then multiplied with groups of 16 rows. The tile of a
// group and a block, exact integers, goes through memory to vectors, which scale
// it and add it to the sums of 16 rows by 16 outputs.

import (
	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Tiles of these products.
const (
	blockSum     tmm = 0
	blockRows    tmm = 1 // 16 rows of 32 bytes
	blockOutputs tmm = 2 // 8 rows, of four k each, of 16 outputs
)

// slotBytes is the memory of the tiles on their way to vectors, two.
const slotBytes = 2048

// record is the size of an unpacked block of half a panel: [8][16][4] bytes, [16]
// float32 d and, for Q4_1, m.
func (t blockType) record() int {
	if t.minima {
		return 512 + 128
	}
	return 512 + 64
}

// blockTiles emits the product of one type. The work of a panel is a sequence of
// tiles: of each half of its outputs, each group of rows, each block. While
// vectors take a tile from memory, the next is written there and that after it
// computed; so there are two places in the sequence, with registers of their own.
type blockTiles struct {
	tileContext
	blockType

	// On the stack.
	panel, panels   operand.Mem // b of the next panel, and how many there are left
	column          operand.Mem // c of the half that is added
	groups, last    operand.Mem // of rows, and a of the last, which may overlap that before it
	between         operand.Mem // bits in which the addresses of the two halves' records differ
	records         operand.Mem // of the half that is added,
	row, out, below operand.Mem // its rows, their c, the groups left, and the blocks left
	left            operand.Mem
	nextRecords     operand.Mem // the same where tiles are computed
	nextRow         operand.Mem
	nextBelow       operand.Mem
	nextEnd         operand.Mem // behind the last block of the rows
}

// The registers of blockTiles.
var (
	blockA     = reg.RSI                                               // the rows where tiles are computed
	blockB     = reg.RCX                                               // the record there
	blockAdded = reg.RDI                                               // the record that is added
	blockTaken = reg.R8                                                // memory of its tile
	blockGiven = reg.R9                                                // of the next one's
	blockStep  = [4]reg.GPPhysical{reg.R10, reg.R11, reg.R12, reg.R13} // 1, 3, 5 and 7 steps from row to row
	blockD     = [2]reg.GPPhysical{reg.RBX, reg.RDX}                   // d of rows 0 and 8
	blockS     = [2]reg.GPPhysical{reg.RAX, reg.R15}                   // s of rows 0 and 8
	blockLine  = reg.R14                                               // 64
)

// field is memory of a row of the group, at what base says of rows 0 and 8.
func (t *blockTiles) field(base [2]reg.GPPhysical, row int) operand.Mem {
	m := operand.Mem{Base: base[row/8]}
	switch row %= 8; row {
	case 0:
	case 1, 2, 4:
		m.Index, m.Scale = blockStep[0], uint8(row)
	case 6:
		m.Index, m.Scale = blockStep[1], 2
	default:
		m.Index, m.Scale = blockStep[row/2], 1
	}
	return m
}

func (t *blockTiles) emit() {
	t.Function("mul" + t.name + "Tiles")
	t.Attributes(attr.NOSPLIT)
	t.Pragma("noescape")
	t.SignatureExpr("func(tiles *[64]byte, scratch *byte, c *float32, ldc int, a *byte, step int, b *byte, blocks, m, panels int)")
	t.Doc("mul" + t.name + "Tiles multiplies m ≥ 16 rows with panels of blocks ≥ 1; ldc counts elements, step bytes.")
	frame := t.AllocLocal(8 * 15)
	for i, m := range []*operand.Mem{&t.panel, &t.panels, &t.column, &t.groups, &t.last, &t.between, &t.records, &t.row, &t.out, &t.below, &t.left,
		&t.nextRecords, &t.nextRow, &t.nextBelow, &t.nextEnd} {
		*m = frame.Offset(8 * i)
	}
	t.start()
	t.Label("panel")
	t.unpack()
	t.first()
	t.Label("group")
	for r := range 16 {
		t.VPXORD(zmm[r], zmm[r], zmm[r])
	}
	t.Label("block")
	t.block()
	t.DECQ(t.left)
	t.JNZ(operand.LabelRef("block"))
	t.finish()
	t.DECQ(t.panels)
	t.JNZ(operand.LabelRef("panel"))
	t.release()
	t.VZEROUPPER()
	t.RET()
	t.turn()
}

// start sets what is the same for all panels.
func (t *blockTiles) start() {
	x, y := reg.RAX, reg.RCX
	t.Load(t.Param("tiles"), x)
	t.configure(operand.Mem{Base: x})
	for _, v := range []struct {
		param string
		to    operand.Mem
	}{{"b", t.panel}, {"panels", t.panels}, {"c", t.column}} {
		t.Load(t.Param(v.param), x)
		t.MOVQ(x, v.to)
	}
	t.Load(t.Param("step"), blockStep[0])
	for i := range 3 {
		t.LEAQ(operand.Mem{Base: blockStep[i], Index: blockStep[0], Scale: 2}, blockStep[i+1])
	}
	t.MOVQ(operand.U32(64), blockLine)
	t.Load(t.Param("m"), x)
	t.LEAQ(operand.Mem{Base: x, Disp: -16}, y)
	t.IMULQ(blockStep[0], y)
	t.Load(t.Param("a"), blockA)
	t.ADDQ(blockA, y)
	t.MOVQ(y, t.last)
	t.ADDQ(operand.Imm(15), x)
	t.SHRQ(operand.Imm(4), x)
	t.MOVQ(x, t.groups)
	t.constant(0x0f0f0f0f, zmm[30])
	t.constant(map[bool]uint32{true: 0x08080808, false: 0x80808080}[t.nibbles], zmm[29])
}

func (t *blockTiles) constant(x uint32, z reg.Register) {
	t.MOVL(operand.U32(x), reg.EAX)
	t.VPBROADCASTD(reg.EAX, z)
}

// unpack unpacks the blocks of a panel to records.
func (t *blockTiles) unpack() {
	low, high, src, left := reg.RDI, reg.RSI, reg.RDX, reg.RCX
	t.Load(t.Param("scratch"), low)
	t.ADDQ(operand.U32(slotBytes), low)
	t.MOVQ(low, t.records)
	t.MOVQ(low, t.nextRecords)
	t.Load(t.Param("blocks"), left)
	t.IMUL3Q(operand.U32(t.record()), left, high)
	t.ADDQ(low, high)
	t.MOVQ(high, src)
	t.XORQ(low, src)
	t.MOVQ(src, t.between)
	t.MOVQ(t.panel, src)
	t.Label("unpack")
	dst := [2]reg.GPPhysical{low, high}
	for at := 0; at < t.weights; at += 64 {
		half, row := at/64%2, at/128
		v, w := zmm[at/64%8], zmm[8+at/64%8]
		t.VMOVDQU64(operand.Mem{Base: src, Disp: at}, v)
		if !t.nibbles {
			t.VPXORD(zmm[29], v, v)
		} else {
			t.VPSRLD(operand.Imm(4), v, w)
			for i, x := range []reg.VecPhysical{v, w} {
				t.VPANDD(zmm[30], x, x)
				if t.blockType.zero > 0 {
					t.VPSUBB(zmm[29], x, x)
				}
				if i == 1 {
					t.VMOVDQU64(w, operand.Mem{Base: dst[half], Disp: 64 * (4 + row)})
				}
			}
		}
		t.VMOVDQU64(v, operand.Mem{Base: dst[half], Disp: 64 * row})
	}
	for at := 0; at < t.scales; at += 32 {
		v := zmm[16+at/32]
		t.VCVTPH2PS(operand.Mem{Base: src, Disp: t.weights + at}, v)
		t.VMOVUPS(v, operand.Mem{Base: dst[at/32%2], Disp: 512 + at/64*64})
	}
	t.ADDQ(operand.U32(t.size()), src)
	for _, d := range dst {
		t.ADDQ(operand.U32(t.record()), d)
	}
	t.DECQ(left)
	t.JNZ(operand.LabelRef("unpack"))
	t.MOVQ(src, t.panel)
}

// first goes to the first tile of a panel and computes two.
func (t *blockTiles) first() {
	t.MOVQ(t.groups, blockA)
	t.MOVQ(blockA, t.nextBelow)
	t.half()
	t.Load(t.Param("a"), blockA)
	t.enterNext()
	t.Load(t.Param("scratch"), blockTaken)
	t.LEAQ(operand.Mem{Base: blockTaken, Disp: 1024}, blockGiven)
	t.rows("first")
	t.outputs()
	t.store(blockSum, index(blockTaken, blockLine, 0))
	t.rows("second")
	t.outputs()
}

// half goes to the first rows of a half that is added.
func (t *blockTiles) half() {
	x := blockD[0]
	t.MOVQ(t.groups, x)
	t.MOVQ(x, t.below)
	t.MOVQ(t.column, x)
	t.MOVQ(x, t.out)
	t.Load(t.Param("a"), x)
	t.MOVQ(x, t.row)
	t.enter()
}

// enter goes to the first block of the rows that are added.
func (t *blockTiles) enter() {
	t.MOVQ(t.row, blockD[0])
	t.Load(t.Param("blocks"), blockD[1])
	t.MOVQ(blockD[1], t.left)
	t.SHLQ(operand.Imm(5), blockD[1])
	t.ADDQ(blockD[1], blockD[0])
	if t.minima {
		t.SHRQ(operand.Imm(3), blockD[1])
		t.LEAQ(operand.Mem{Base: blockD[0], Index: blockD[1], Scale: 1}, blockS[0])
		t.LEAQ(operand.Mem{Base: blockS[0], Index: blockStep[0], Scale: 8}, blockS[1])
	}
	t.LEAQ(operand.Mem{Base: blockD[0], Index: blockStep[0], Scale: 8}, blockD[1])
	t.MOVQ(t.records, blockAdded)
}

// enterNext goes to the first block of the rows at blockA.
func (t *blockTiles) enterNext() {
	t.MOVQ(blockA, t.nextRow)
	t.Load(t.Param("blocks"), blockB)
	t.SHLQ(operand.Imm(5), blockB)
	t.ADDQ(blockA, blockB)
	t.MOVQ(blockB, t.nextEnd)
	t.MOVQ(t.nextRecords, blockB)
}

// rows loads the rows of the next tile that is computed. Behind their last block
// are other rows.
func (t *blockTiles) rows(label string) {
	t.CMPQ(blockA, t.nextEnd)
	t.JEQ(operand.LabelRef(label + "Turn"))
	t.Label(label)
	t.load(index(blockA, blockStep[0], 0), blockRows)
	t.ADDQ(operand.Imm(32), blockA)
}

// outputs loads its outputs and computes it.
func (t *blockTiles) outputs() {
	t.load(index(blockB, blockLine, 0), blockOutputs)
	t.tileContext.zero(blockSum)
	t.dot(tdpbssd, blockSum, blockRows, blockOutputs)
	t.ADDQ(operand.U32(t.record()), blockB)
}

// turn goes on to the next group, for each place that asks for it; behind the
// last group is the first of the other half.
func (t *blockTiles) turn() {
	for _, label := range []string{"first", "second", "next"} {
		t.Label(label + "Turn")
		t.DECQ(t.nextBelow)
		t.JZ(operand.LabelRef(label + "Half"))
		t.MOVQ(blockStep[0], blockA)
		t.SHLQ(operand.Imm(4), blockA)
		t.ADDQ(t.nextRow, blockA)
		t.CMPQ(t.nextBelow, operand.Imm(1))
		t.CMOVQEQ(t.last, blockA)
		t.Label(label + "Enter")
		t.enterNext()
		t.JMP(operand.LabelRef(label))
		t.Label(label + "Half")
		t.MOVQ(t.between, blockA)
		t.XORQ(blockA, t.nextRecords)
		t.MOVQ(t.groups, blockA)
		t.MOVQ(blockA, t.nextBelow)
		t.Load(t.Param("a"), blockA)
		t.JMP(operand.LabelRef(label + "Enter"))
	}
}

// block adds a tile and moves the others on. Instructions on tiles keep those on
// vectors from starting, and so stand apart.
func (t *blockTiles) block() {
	d, m := zmm[16], zmm[17]
	t.VMOVUPS(operand.Mem{Base: blockAdded, Disp: 512}, d)
	if t.minima {
		t.VMOVUPS(operand.Mem{Base: blockAdded, Disp: 576}, m)
	}
	add := func(from int) {
		for r := from; r < from+4; r++ {
			sum, product := zmm[18+2*(r%5)], zmm[19+2*(r%5)]
			t.VCVTDQ2PS(operand.Mem{Base: blockTaken, Disp: 64 * r}, sum)
			t.VMULPS_BCST(t.field(blockD, r), d, product)
			t.VFMADD231PS(product, sum, zmm[r])
			if t.minima {
				t.VFMADD231PS_BCST(t.field(blockS, r), m, zmm[r])
			}
		}
	}
	add(0)
	t.store(blockSum, index(blockGiven, blockLine, 0))
	add(4)
	t.rows("next")
	add(8)
	t.outputs()
	add(12)
	t.XCHGQ(blockTaken, blockGiven)
	t.ADDQ(operand.U32(t.record()), blockAdded)
	for i := range 2 {
		t.ADDQ(operand.Imm(4), blockD[i])
		if t.minima {
			t.ADDQ(operand.Imm(4), blockS[i])
		}
	}
}

// finish writes the sums of a group and goes on to the next, of either half.
func (t *blockTiles) finish() {
	c, ldc := blockD[0], blockD[1]
	t.MOVQ(t.out, c)
	t.Load(t.Param("ldc"), ldc)
	for r := range 16 {
		t.VMOVUPS(zmm[r], operand.Mem{Base: c})
		t.LEAQ(operand.Mem{Base: c, Index: ldc, Scale: 4}, c)
	}
	t.DECQ(t.below)
	t.JZ(operand.LabelRef("half"))
	t.MOVQ(c, t.out)
	t.MOVQ(blockStep[0], c)
	t.SHLQ(operand.Imm(4), c)
	t.ADDQ(t.row, c)
	t.CMPQ(t.below, operand.Imm(1))
	t.JNE(operand.LabelRef("enter"))
	// The last group begins with row m-16.
	t.Load(t.Param("m"), c)
	t.SUBQ(operand.Imm(16), c)
	t.IMULQ(ldc, c)
	t.SHLQ(operand.Imm(2), c)
	t.ADDQ(t.column, c)
	t.MOVQ(c, t.out)
	t.MOVQ(t.last, c)
	t.Label("enter")
	t.MOVQ(c, t.row)
	t.enter()
	t.JMP(operand.LabelRef("group"))

	t.Label("half")
	t.ADDQ(operand.Imm(64), t.column)
	t.MOVQ(t.records, c)
	t.XORQ(t.between, c)
	t.MOVQ(c, t.records)
	t.Load(t.Param("scratch"), ldc)
	t.ADDQ(operand.U32(slotBytes), ldc)
	t.CMPQ(c, ldc)
	t.JEQ(operand.LabelRef("done"))
	t.half()
	t.JMP(operand.LabelRef("group"))
	t.Label("done")
}
