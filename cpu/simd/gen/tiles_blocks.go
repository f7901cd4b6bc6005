package main

// Products of int8 with panels of blocks, on tiles: a panel is unpacked to tiles
// of signed bytes once, then multiplied with groups of 16 rows. The tile of a
// group and a block, exact integers, goes through memory to vectors, which scale
// it and add it to 16 rows of sums.

import (
	"fmt"

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

// tileRecord is the size of an unpacked block of half a panel: [8][16][4] bytes,
// [16] float32 d and, for Q4_1, m.
func (t blockType) tileRecord() int {
	if t.minima {
		return 512 + 128
	}
	return 512 + 64
}

// unpackBlocks writes the function that unpacks a panel.
func (t tileContext) unpackBlocks(b blockType) {
	t.Function("unpack" + b.name + "Tiles")
	t.Attributes(attr.NOSPLIT)
	t.Pragma("noescape")
	t.SignatureExpr("func(low, high *byte, b *byte, blocks int)")
	t.Doc(fmt.Sprintf("unpack%sTiles unpacks the blocks of a panel to records of %d bytes, those of", b.name, b.tileRecord()),
		"outputs 0 to 15 at low and of 16 to 31 at high.")
	dst := [2]reg.GPPhysical{reg.RDI, reg.RSI}
	src, left, word := reg.RDX, reg.RCX, reg.RAX
	t.Load(t.Param("low"), dst[0])
	t.Load(t.Param("high"), dst[1])
	t.Load(t.Param("b"), src)
	t.Load(t.Param("blocks"), left)
	constant := func(bytes uint32, z reg.Register) {
		t.MOVL(operand.U32(bytes), word.As32())
		t.VPBROADCASTD(word.As32(), z)
	}
	mask, zero := zmm[31], zmm[30]
	if b.nibbles {
		constant(0x0f0f0f0f, mask)
		constant(0x08080808, zero)
	} else {
		constant(0x80808080, zero)
	}
	t.Label("block")
	for at := 0; at < b.weights; at += 64 {
		half, row := at/64%2, at/128
		v, w := zmm[at/64%8], zmm[8+at/64%8]
		t.VMOVDQU64(operand.Mem{Base: src, Disp: at}, v)
		if !b.nibbles {
			t.VPXORD(zero, v, v)
		} else {
			t.VPSRLD(operand.Imm(4), v, w)
			t.VPANDD(mask, v, v)
			t.VPANDD(mask, w, w)
			if b.zero > 0 {
				t.VPSUBB(zero, v, v)
				t.VPSUBB(zero, w, w)
			}
			t.VMOVDQU64(w, operand.Mem{Base: dst[half], Disp: 64 * (4 + row)})
		}
		t.VMOVDQU64(v, operand.Mem{Base: dst[half], Disp: 64 * row})
	}
	for at := 0; at < b.scales; at += 32 {
		v := zmm[16+at/32]
		t.VCVTPH2PS(operand.Mem{Base: src, Disp: b.weights + at}, v)
		t.VMOVUPS(v, operand.Mem{Base: dst[at/32%2], Disp: 512 + at/64*64})
	}
	t.ADDQ(operand.U32(b.size()), src)
	for _, d := range dst {
		t.ADDQ(operand.U32(b.tileRecord()), d)
	}
	t.DECQ(left)
	t.JNZ(operand.LabelRef("block"))
	t.VZEROUPPER()
	t.RET()
}

// blockTiles emits the product of one type. While the vectors take the tile of a
// block from memory, that of the next is written there and that after it computed.
type blockTiles struct {
	tileContext
	blockType
	row, end, out, groups operand.Mem // on the stack: a and its last block, c, groups left
}

// The registers of blockTiles.
var (
	blockNext  = reg.RSI                                             // the rows at the block that is computed
	blockPanel = reg.RDI                                             // the panel at the block that is added
	blockTaken = reg.R8                                              // memory of its tile
	blockGiven = reg.R9                                              // of the next one's
	blockStep  = [4]reg.Register{reg.R10, reg.R11, reg.R12, reg.R13} // 1, 3, 5 and 7 steps from row to row
	blockD     = [2]reg.Register{reg.RBX, reg.RDX}                   // d of rows 0 and 8
	blockS     = [2]reg.Register{reg.RAX, reg.R15}                   // s of rows 0 and 8
	blockLine  = reg.R14                                             // 64
	blockLeft  = reg.RCX
)

// field is memory of a row of the group, at what base says of rows 0 and 8.
func (t *blockTiles) field(base [2]reg.Register, row int) operand.Mem {
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
	t.SignatureExpr("func(tiles *[64]byte, c *float32, ldc int, a *byte, step int, records *byte, blocks, groups int, slots *byte)")
	t.Doc("mul"+t.name+"Tiles multiplies groups of 16 rows with 16 outputs, whose blocks, unpacked, are",
		"at records, with two records more behind them that are read and not used; slots",
		"are 2048 bytes. ldc counts elements, step bytes.")
	frame := t.AllocLocal(32)
	t.row, t.end, t.out, t.groups = frame, frame.Offset(8), frame.Offset(16), frame.Offset(24)
	t.Load(t.Param("tiles"), blockD[0])
	t.configure(operand.Mem{Base: blockD[0]})
	t.Load(t.Param("step"), blockStep[0])
	for i := range 3 {
		t.LEAQ(operand.Mem{Base: [...]reg.Register{blockStep[0], blockStep[1], blockStep[2]}[i], Index: blockStep[0], Scale: 2}, blockStep[i+1])
	}
	t.MOVQ(operand.U32(64), blockLine)
	t.MOVL(operand.U32(0x4b400000), blockLeft.As32())
	t.VPBROADCASTD(blockLeft.As32(), t.magic())
	for _, v := range []struct {
		param string
		to    operand.Mem
	}{{"a", t.row}, {"c", t.out}, {"groups", t.groups}} {
		t.Load(t.Param(v.param), blockLeft)
		t.MOVQ(blockLeft, v.to)
	}

	t.Label("group")
	t.begin()
	t.Label("block")
	t.block()
	t.DECQ(blockLeft)
	t.JNZ(operand.LabelRef("block"))
	t.MOVQ(t.out, blockNext)
	t.Load(t.Param("ldc"), blockLeft)
	for r := range 16 {
		t.VMOVUPS(zmm[r], operand.Mem{Base: blockNext})
		t.LEAQ(operand.Mem{Base: blockNext, Index: blockLeft, Scale: 4}, blockNext)
	}
	t.MOVQ(blockNext, t.out)
	t.MOVQ(blockStep[0], blockLeft)
	t.SHLQ(operand.Imm(4), blockLeft)
	t.ADDQ(blockLeft, t.row)
	t.DECQ(t.groups)
	t.JNZ(operand.LabelRef("group"))
	t.release()
	t.VZEROUPPER()
	t.RET()
}

// magic is 1.5·2²³, which as an integer turns an integer that is added to it into
// a float with this much more.
func (t *blockTiles) magic() reg.VecPhysical { return zmm[31] }

// begin sets the registers for a group and computes the tiles of two blocks.
func (t *blockTiles) begin() {
	t.MOVQ(t.row, blockNext)
	t.Load(t.Param("blocks"), blockLeft)
	t.MOVQ(blockLeft, blockD[0])
	t.SHLQ(operand.Imm(5), blockD[0])
	t.ADDQ(blockNext, blockD[0])
	t.LEAQ(operand.Mem{Base: blockD[0], Disp: -32}, blockD[1])
	t.MOVQ(blockD[1], t.end)
	t.LEAQ(operand.Mem{Base: blockD[0], Index: blockStep[0], Scale: 8}, blockD[1])
	if t.minima {
		for i := range 2 {
			t.LEAQ(operand.Mem{Base: blockD[i], Index: blockLeft, Scale: 4}, blockS[i])
		}
	}
	t.Load(t.Param("records"), blockPanel)
	t.Load(t.Param("slots"), blockTaken)
	t.LEAQ(operand.Mem{Base: blockTaken, Disp: 1024}, blockGiven)
	for r := range 16 {
		t.VPXORD(zmm[r], zmm[r], zmm[r])
	}
	t.multiply(0)
	t.store(blockSum, index(blockTaken, blockLine, 0))
	t.multiply(1)
}

// multiply computes the tile of the next block, which is ahead of that of
// blockPanel, and goes on unless it is the last.
func (t *blockTiles) multiply(ahead int) {
	t.rows()
	t.outputs(ahead)
}

func (t *blockTiles) rows() {
	t.load(index(blockNext, blockStep[0], 0), blockRows)
	t.ADDQ(operand.Imm(32), blockNext)
	t.CMPQ(blockNext, t.end)
	t.CMOVQHI(t.end, blockNext)
}

func (t *blockTiles) outputs(ahead int) {
	t.load(index(blockPanel, blockLine, ahead*t.tileRecord()), blockOutputs)
	t.tileContext.zero(blockSum)
	t.dot(tdpbssd, blockSum, blockRows, blockOutputs)
}

// block adds a block and moves tiles on. Instructions on tiles keep those on
// vectors from starting, and so stand apart.
func (t *blockTiles) block() {
	d, m := zmm[16], zmm[17]
	t.VMOVUPS(operand.Mem{Base: blockPanel, Disp: 512}, d)
	if t.minima {
		t.VMOVUPS(operand.Mem{Base: blockPanel, Disp: 576}, m)
	}
	add := func(from int) {
		for r := from; r < from+4; r++ {
			sum, product := zmm[18+2*(r%6)], zmm[19+2*(r%6)]
			t.VPADDD(operand.Mem{Base: blockTaken, Disp: 64 * r}, t.magic(), sum)
			t.VMULPS_BCST(t.field(blockD, r), d, product)
			t.VSUBPS(t.magic(), sum, sum)
			t.VFMADD231PS(product, sum, zmm[r])
			if t.minima {
				t.VFMADD231PS_BCST(t.field(blockS, r), m, zmm[r])
			}
		}
	}
	add(0)
	t.store(blockSum, index(blockGiven, blockLine, 0))
	add(4)
	t.rows()
	add(8)
	t.outputs(2)
	add(12)
	t.XCHGQ(blockTaken, blockGiven)
	t.ADDQ(operand.U32(t.tileRecord()), blockPanel)
	for i := range 2 {
		t.ADDQ(operand.Imm(4), blockD[i])
		if t.minima {
			t.ADDQ(operand.Imm(4), blockS[i])
		}
	}
}
