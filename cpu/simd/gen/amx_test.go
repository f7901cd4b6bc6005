package main

import (
	"encoding/hex"
	"testing"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// TestTileEncodings compares with what the assembler of GNU binutils writes for
// the instruction beside it.
func TestTileEncodings(t *testing.T) {
	at := func(base, index reg.Register, scale uint8, disp int) operand.Mem {
		return operand.Mem{Base: base, Index: index, Scale: scale, Disp: disp}
	}
	plain := func(base reg.Register, disp int) operand.Mem { return operand.Mem{Base: base, Disp: disp} }
	for _, c := range []struct {
		text string
		got  []byte
		want string
	}{
		{"ldtilecfg (%rsp)", encodeLDTILECFG(plain(reg.RSP, 0)), "c4e278490424"},
		{"tilerelease", encodeTILERELEASE(), "c4e27849c0"},
		{"tilezero %tmm0", encodeTILEZERO(0), "c4e27b49c0"},
		{"tilezero %tmm7", encodeTILEZERO(7), "c4e27b49f8"},
		{"tileloadd (%rsi,%r10,1),%tmm4", encodeTILELOADD(4, at(reg.RSI, reg.R10, 1, 0)), "c4a27b4b2416"},
		{"tileloadd 64(%rdi,%r11,1),%tmm7", encodeTILELOADD(7, at(reg.RDI, reg.R11, 1, 64)), "c4a27b4b7c1f40"},
		{"tileloadd 0x400(%r8,%rcx,1),%tmm1", encodeTILELOADD(1, at(reg.R8, reg.RCX, 1, 0x400)), "c4c27b4b8c0800040000"},
		{"tileloadd (%r13,%r9,1),%tmm3", encodeTILELOADD(3, at(reg.R13, reg.R9, 1, 0)), "c4827b4b5c0d00"},
		{"tileloadd -64(%rbp,%rax,4),%tmm2", encodeTILELOADD(2, at(reg.RBP, reg.RAX, 4, -64)), "c4e27b4b5485c0"},
		{"tileloaddt1 (%rbx,%r12,1),%tmm5", encodeTILELOADDT1(5, at(reg.RBX, reg.R12, 1, 0)), "c4a2794b2c23"},
		{"tilestored %tmm0,(%r8,%r9,1)", encodeTILESTORED(at(reg.R8, reg.R9, 1, 0), 0), "c4827a4b0408"},
		{"tilestored %tmm6,1024(%rdx,%r15,2)", encodeTILESTORED(at(reg.RDX, reg.R15, 2, 1024), 6), "c4a27a4bb47a00040000"},
		{"tdpbf16ps %tmm6,%tmm4,%tmm0", tdpbf16ps.encode(0, 4, 6), "c4e24a5cc4"},
		{"tdpbf16ps %tmm7,%tmm5,%tmm3", tdpbf16ps.encode(3, 5, 7), "c4e2425cdd"},
		{"tdpbssd %tmm6,%tmm4,%tmm0", tdpbssd.encode(0, 4, 6), "c4e24b5ec4"},
		{"tdpbsud %tmm7,%tmm5,%tmm1", tdpbsud.encode(1, 5, 7), "c4e2425ecd"},
		{"tdpbusd %tmm1,%tmm2,%tmm3", tdpbusd.encode(3, 2, 1), "c4e2715eda"},
		{"tdpbuud %tmm0,%tmm7,%tmm6", tdpbuud.encode(6, 7, 0), "c4e2785ef7"},
	} {
		if got := hex.EncodeToString(c.got); got != c.want {
			t.Errorf("%s: %s, want %s", c.text, got, c.want)
		}
	}
}
