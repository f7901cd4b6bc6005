package main

// Instructions on the tiles of AMX, which neither avo nor Go's assembler knows,
// as bytes. Registers of addresses are physical: avo does not see who reads them.

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// tmm is the number of a tile register, 0 to 7.
type tmm uint8

// The prefixes that tell instructions of one opcode apart, as VEX has them.
const (
	prefixNone = iota
	prefix66
	prefixF3
	prefixF2
)

// tileDot is an instruction that multiplies two tiles and adds to a third.
type tileDot struct {
	name           string
	prefix, opcode byte
}

var (
	tdpbf16ps = tileDot{"TDPBF16PS", prefixF3, 0x5c} // bf16 by bf16 to float32
	tdpbssd   = tileDot{"TDPBSSD", prefixF2, 0x5e}   // signed by signed bytes to int32
	tdpbsud   = tileDot{"TDPBSUD", prefixF3, 0x5e}   // signed by unsigned
	tdpbusd   = tileDot{"TDPBUSD", prefix66, 0x5e}   // unsigned by signed
	tdpbuud   = tileDot{"TDPBUUD", prefixNone, 0x5e} // unsigned by unsigned
)

// vex is an instruction of map 0F38 with a VEX prefix of three bytes, 128 bits
// and W 0, between registers: reg, vvvv and rm are their numbers.
func vex(prefix, opcode byte, reg, vvvv, rm uint8) []byte {
	return []byte{0xc4, 0xe2, ^vvvv&15<<3 | prefix, opcode, 0xc0 | reg<<3 | rm}
}

// vexMemory is the same with one register and memory, with a SIB byte always, as
// instructions that read their index as a stride want it.
func vexMemory(prefix, opcode byte, r uint8, m operand.Mem) []byte {
	base, index, scale := m.Base.(reg.Physical).PhysicalIndex(), reg.Index(4), uint8(0)
	if m.Index != nil {
		index = m.Index.(reg.Physical).PhysicalIndex()
		scale = map[uint8]uint8{1: 0, 2: 1, 4: 2, 8: 3}[m.Scale]
		if index == 4 {
			panic("gen: SP as an index")
		}
	}
	mod, disp := byte(0), []byte(nil)
	switch {
	case m.Disp == 0 && base&7 != 5:
	case m.Disp == int(int8(m.Disp)):
		mod, disp = 1, []byte{byte(m.Disp)}
	default:
		mod, disp = 2, binary.LittleEndian.AppendUint32(nil, uint32(int32(m.Disp)))
	}
	x, b := byte(index>>3&1), byte(base>>3&1)
	return append([]byte{0xc4, 0x80 | (1-x)<<6 | (1-b)<<5 | 2, 15<<3 | prefix, opcode,
		mod<<6 | r<<3 | 4, scale<<6 | byte(index&7)<<3 | byte(base&7)}, disp...)
}

func encodeLDTILECFG(m operand.Mem) []byte { return vexMemory(prefixNone, 0x49, 0, m) }

func encodeTILERELEASE() []byte { return vex(prefixNone, 0x49, 0, 0, 0) }

func encodeTILEZERO(t tmm) []byte { return vex(prefixF2, 0x49, uint8(t), 0, 0) }

func encodeTILELOADD(t tmm, m operand.Mem) []byte { return vexMemory(prefixF2, 0x4b, uint8(t), m) }

func encodeTILELOADDT1(t tmm, m operand.Mem) []byte { return vexMemory(prefix66, 0x4b, uint8(t), m) }

func encodeTILESTORED(m operand.Mem, t tmm) []byte { return vexMemory(prefixF3, 0x4b, uint8(t), m) }

// encode is c += a·b.
func (d tileDot) encode(c, a, b tmm) []byte {
	return vex(d.prefix, d.opcode, uint8(c), uint8(b), uint8(a))
}

// tileContext is a context that can emit them.
type tileContext struct{ *build.Context }

// raw emits an instruction as bytes on one line, behind them what it is. Avo knows
// of no operand that is many bytes; of the name of a label it prints what it says.
func (c tileContext) raw(b []byte, comment string, args ...any) {
	var s strings.Builder
	for i, b := range b {
		if i > 0 {
			s.WriteString("; BYTE ")
		}
		fmt.Fprintf(&s, "$%#02x", b)
	}
	fmt.Fprintf(&s, " // "+comment, args...)
	c.Instruction(&ir.Instruction{Opcode: "BYTE", Operands: []operand.Op{operand.LabelRef(s.String())}})
}

// configure sets up the tiles as the 64 bytes at m say.
func (c tileContext) configure(m operand.Mem) { c.raw(encodeLDTILECFG(m), "LDTILECFG %s", m.Asm()) }

// release gives the tiles back: a thread that holds none is cheaper to switch.
func (c tileContext) release() { c.raw(encodeTILERELEASE(), "TILERELEASE") }

// zero makes a tile zero.
func (c tileContext) zero(t tmm) { c.raw(encodeTILEZERO(t), "TILEZERO T%d", t) }

// load reads a tile whose rows are the index apart.
func (c tileContext) load(m operand.Mem, t tmm) {
	c.raw(encodeTILELOADD(t, m), "TILELOADD %s, T%d", m.Asm(), t)
}

func (c tileContext) store(t tmm, m operand.Mem) {
	c.raw(encodeTILESTORED(m, t), "TILESTORED T%d, %s", t, m.Asm())
}

// dot is c += a·b.
func (c tileContext) dot(d tileDot, sum, a, b tmm) {
	c.raw(d.encode(sum, a, b), "%s T%d, T%d, T%d", d.name, b, a, sum)
}
