package quant

import (
	"fmt"
	"strings"
)

// Type says how the elements of a tensor are stored. The numbers are those of
// GGUF (ggml_type in ggml.h), so a type read from a file needs no translation.
// A block type stores BlockSize consecutive elements of a row in TypeSize
// bytes; all other types are blocks of one.
type Type uint32

// The types of GGUF. Q8_1 (9) and Q8_K (15) are absent: they hold activations
// in the middle of a product and never occur in files. Numbers 4, 5, 31 to 33
// and 36 to 38 belonged to layouts that were withdrawn.
const (
	F32     Type = 0  // IEEE 754 binary32
	F16     Type = 1  // IEEE 754 binary16
	Q4_0    Type = 2  // 4 bits, scale
	Q4_1    Type = 3  // 4 bits, scale and minimum
	Q5_0    Type = 6  // 5 bits, scale
	Q5_1    Type = 7  // 5 bits, scale and minimum
	Q8_0    Type = 8  // 8 bits, scale
	Q2_K    Type = 10 // 2 bits, 16 sub-blocks with 4-bit scale and minimum
	Q3_K    Type = 11 // 3 bits, 16 sub-blocks with 6-bit scale
	Q4_K    Type = 12 // 4 bits, 8 sub-blocks with 6-bit scale and minimum
	Q5_K    Type = 13 // 5 bits, 8 sub-blocks with 6-bit scale and minimum
	Q6_K    Type = 14 // 6 bits, 16 sub-blocks with 8-bit scale
	IQ2_XXS Type = 16 // 2.06 bits: grid of 256 points, signs of even parity
	IQ2_XS  Type = 17 // 2.31 bits: grid of 512 points, signs of even parity
	IQ3_XXS Type = 18 // 3.06 bits: grid of 256 points, signs of even parity
	IQ1_S   Type = 19 // 1.56 bits: grid of 2048 ternary points
	IQ4_NL  Type = 20 // 4 bits, 16 fixed levels
	IQ3_S   Type = 21 // 3.44 bits: grid of 512 points, free signs
	IQ2_S   Type = 22 // 2.56 bits: grid of 1024 points, free signs
	IQ4_XS  Type = 23 // 4.25 bits: the levels of IQ4_NL, 8 sub-blocks with 6-bit scale
	I8      Type = 24 // signed integer, 8 bits
	I16     Type = 25 // signed integer, 16 bits
	I32     Type = 26 // signed integer, 32 bits
	I64     Type = 27 // signed integer, 64 bits
	F64     Type = 28 // IEEE 754 binary64
	IQ1_M   Type = 29 // 1.75 bits: the grid of IQ1_S, 16 sub-blocks with 3-bit scale
	BF16    Type = 30 // the upper half of a binary32
	TQ1_0   Type = 34 // 1.69 bits: ternary, five digits a byte
	TQ2_0   Type = 35 // 2.06 bits: ternary, four digits a byte
	MXFP4   Type = 39 // OCP microscaling: E2M1 elements, one E8M0 scale for 32
	NVFP4   Type = 40 // E2M1 elements, one unsigned E4M3 scale for 16
)

// Types of safetensors buffers that GGUF lacks. Their numbers are our own and
// lie beyond GGUF's range.
const (
	Bool Type = 1<<16 + iota // one byte, 0 or 1
	U8                       // unsigned integer, 8 bits
	U16                      // unsigned integer, 16 bits
	U32                      // unsigned integer, 32 bits
	U64                      // unsigned integer, 64 bits
)

// layout is a row of the tables below; a zero size marks an unassigned number.
type layout struct {
	name  string
	block uint16 // elements
	size  uint16 // bytes
}

var ggufLayouts = [...]layout{
	F32: {"F32", 1, 4}, F16: {"F16", 1, 2}, BF16: {"BF16", 1, 2}, F64: {"F64", 1, 8},
	I8: {"I8", 1, 1}, I16: {"I16", 1, 2}, I32: {"I32", 1, 4}, I64: {"I64", 1, 8},
	Q4_0: {"Q4_0", 32, 18}, Q4_1: {"Q4_1", 32, 20}, Q5_0: {"Q5_0", 32, 22}, Q5_1: {"Q5_1", 32, 24},
	Q8_0: {"Q8_0", 32, 34},
	Q2_K: {"Q2_K", 256, 84}, Q3_K: {"Q3_K", 256, 110}, Q4_K: {"Q4_K", 256, 144},
	Q5_K: {"Q5_K", 256, 176}, Q6_K: {"Q6_K", 256, 210},
	IQ2_XXS: {"IQ2_XXS", 256, 66}, IQ2_XS: {"IQ2_XS", 256, 74}, IQ2_S: {"IQ2_S", 256, 82},
	IQ3_XXS: {"IQ3_XXS", 256, 98}, IQ3_S: {"IQ3_S", 256, 110},
	IQ1_S: {"IQ1_S", 256, 50}, IQ1_M: {"IQ1_M", 256, 56},
	IQ4_NL: {"IQ4_NL", 32, 18}, IQ4_XS: {"IQ4_XS", 256, 136},
	TQ1_0: {"TQ1_0", 256, 54}, TQ2_0: {"TQ2_0", 256, 66},
	MXFP4: {"MXFP4", 32, 17}, NVFP4: {"NVFP4", 64, 36},
}

var bufferLayouts = [...]layout{
	{"BOOL", 1, 1}, {"U8", 1, 1}, {"U16", 1, 2}, {"U32", 1, 4}, {"U64", 1, 8},
}

// layout returns t's row, or the zero layout.
func (t Type) layout() layout {
	if t < Type(len(ggufLayouts)) {
		return ggufLayouts[t]
	}
	if i := t - Bool; i < Type(len(bufferLayouts)) {
		return bufferLayouts[i]
	}
	return layout{}
}

// Valid reports whether t is one of the constants above.
func (t Type) Valid() bool { return t.layout().size != 0 }

// String returns the name GGUF and safetensors give the type, such as "Q4_K",
// and "Type(n)" for one that is not Valid.
func (t Type) String() string {
	if l := t.layout(); l.size != 0 {
		return l.name
	}
	return fmt.Sprintf("Type(%d)", uint32(t))
}

// BlockSize returns the number of elements in a block: 32, 64 or 256 for block
// types, 1 for plain ones, 0 if t is not Valid.
func (t Type) BlockSize() int { return int(t.layout().block) }

// TypeSize returns the number of bytes in a block, which for plain types is
// the width of an element, and 0 if t is not Valid.
func (t Type) TypeSize() int { return int(t.layout().size) }

// Bytes returns the size of a row of n elements. It returns -1 if n is
// negative, not a multiple of BlockSize, so large that the size overflows, or
// if t is not Valid.
func (t Type) Bytes(n int) int {
	l := t.layout()
	if l.size == 0 || n < 0 || n%int(l.block) != 0 {
		return -1
	}
	const maxInt = int(^uint(0) >> 1)
	if blocks := n / int(l.block); blocks <= maxInt/int(l.size) {
		return blocks * int(l.size)
	}
	return -1
}

// Types returns every Valid type: GGUF's by number, then the buffers.
func Types() []Type {
	var all []Type
	for i, l := range ggufLayouts {
		if l.size != 0 {
			all = append(all, Type(i))
		}
	}
	for i := range bufferLayouts {
		all = append(all, Bool+Type(i))
	}
	return all
}

// ParseType returns the type of that name, in either case ("q8_0", "BF16").
// The error lists the names there are.
func ParseType(name string) (Type, error) {
	all := Types()
	names := make([]string, len(all))
	for i, t := range all {
		if names[i] = t.String(); strings.EqualFold(names[i], name) {
			return t, nil
		}
	}
	return 0, fmt.Errorf("quant: unknown type %.40q, want one of %s", name, strings.Join(names, " "))
}
