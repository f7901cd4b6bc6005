package main

// Instructions that neither avo nor Go's assembler knows, as bytes.

import (
	"encoding/binary"
	"fmt"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// evexOp is an instruction of 512 bits with the prefix EVEX, of opcode map 0F38,
// on registers, without a mask.
type evexOp struct {
	name   string
	prefix byte // that it has in place of 66, F3 or F2: 1, 2, 3
	opcode byte
	wide   bool // EVEX.W
	unary  bool // vvvv is not used
}

// The instructions of AVX512_BF16.
var (
	opVDPBF16PS      = evexOp{name: "VDPBF16PS", prefix: 2, opcode: 0x52}
	opVCVTNEPS2BF16  = evexOp{name: "VCVTNEPS2BF16", prefix: 2, opcode: 0x72, unary: true}
	opVCVTNE2PS2BF16 = evexOp{name: "VCVTNE2PS2BF16", prefix: 3, opcode: 0x72}
)

// encode is op dst, a, b in Intel's order of operands; a is 0 if op has one source.
// Registers are numbers from 0 to 31.
func (op evexOp) encode(dst, a, b uint) [6]byte {
	const map0F38, long = 2, 2
	// Bits of register numbers beyond the third are stored inverted.
	not := func(n uint, bit uint) byte { return byte(^n >> bit & 1) }
	p0 := not(dst, 3)<<7 | not(b, 4)<<6 | not(b, 3)<<5 | not(dst, 4)<<4 | map0F38
	p1 := byte(^a&15)<<3 | 1<<2 | op.prefix
	if op.wide {
		p1 |= 1 << 7
	}
	p2 := byte(long)<<5 | not(a, 4)<<3
	return [6]byte{0x62, p0, p1, p2, op.opcode, 3<<6 | byte(dst&7)<<3 | byte(b&7)}
}

// emitEVEX writes op with Go's order of operands, the destination last. The
// registers are physical: nobody else knows that the bytes name them.
func emitEVEX(c *build.Context, op evexOp, operands ...reg.VecPhysical) {
	n := len(operands)
	var a, b, dst uint
	b, dst = vecNumber(operands[0]), vecNumber(operands[n-1])
	want := 2
	if !op.unary {
		a, want = vecNumber(operands[1]), 3
	}
	if n != want {
		panic(fmt.Sprintf("gen: %s with %d operands", op.name, n))
	}
	code := op.encode(dst, a, b)
	text := op.name
	for i, r := range operands {
		text += [2]string{" ", ", "}[min(i, 1)] + r.Asm()
	}
	c.Comment(text)
	c.Instruction(&ir.Instruction{Opcode: "LONG", Operands: []operand.Op{operand.U32(binary.LittleEndian.Uint32(code[:]))}})
	c.Instruction(&ir.Instruction{Opcode: "WORD", Operands: []operand.Op{operand.U16(binary.LittleEndian.Uint16(code[4:]))}})
}

// vecNumber is the number of a vector register.
func vecNumber(r reg.VecPhysical) uint { return uint(r.PhysicalIndex()) }
