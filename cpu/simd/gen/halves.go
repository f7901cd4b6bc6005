package main

// Conversions of 16-bit floats, and the transposition that fills panels.

import (
	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// halves writes every function.
func halves(c *build.Context) {
	unpackBF16(c)
	roundBF16(c)
	transpose(c, false)
	transpose(c, true)
}

// countedLoop begins a function whose count is in the argument n, and writes its
// loop.
func countedLoop(c *build.Context, step int, body func(dst, src reg.Register)) {
	c.Load(c.Param("dst").Base(), reg.RDI)
	c.Load(c.Param("src").Base(), reg.RSI)
	c.Load(c.Param("n"), reg.RCX)
	c.SUBQ(operand.U8(step), reg.RCX)
	c.JLT(operand.LabelRef("done"))
	c.Label("loop")
	body(reg.RDI, reg.RSI)
	c.SUBQ(operand.U8(step), reg.RCX)
	c.JGE(operand.LabelRef("loop"))
	c.Label("done")
	c.VZEROUPPER()
	c.RET()
}

func unpackBF16(c *build.Context) {
	c.Function("unpackBF16AVX2")
	c.Attributes(attr.NOSPLIT)
	c.SignatureExpr("func(dst []float32, src []uint16, n int)")
	c.Doc("unpackBF16AVX2 makes n pairs of rows [32][2] of bfloat16 the rows [2][32] of float32.")
	countedLoop(c, 1, func(dst, src reg.Register) {
		for i := range 4 {
			c.VMOVUPS(operand.Mem{Base: src, Disp: 32 * i}, reg.Y0)
			c.VPSLLD(operand.U8(16), reg.Y0, reg.Y1)
			c.VMOVUPS(reg.Y1, operand.Mem{Base: dst, Disp: 32 * i})
			c.VPSRLD(operand.U8(16), reg.Y0, reg.Y0)
			c.VPSLLD(operand.U8(16), reg.Y0, reg.Y0)
			c.VMOVUPS(reg.Y0, operand.Mem{Base: dst, Disp: 128 + 32*i})
		}
		c.ADDQ(operand.U32(128), src)
		c.ADDQ(operand.U32(256), dst)
	})
}

func roundBF16(c *build.Context) {
	c.Function("roundBF16AVX512")
	c.Attributes(attr.NOSPLIT)
	c.SignatureExpr("func(dst []uint16, src []float32, n int)")
	c.Doc("roundBF16AVX512 rounds n float32, a multiple of 16, to bfloat16: to nearest even, those below the normal ones to zero.")
	countedLoop(c, 16, func(dst, src reg.Register) {
		c.VMOVUPS(operand.Mem{Base: src}, reg.Z0)
		emitEVEX(c, opVCVTNEPS2BF16, reg.Z0, reg.Z1)
		c.VMOVUPS(reg.Y1, operand.Mem{Base: dst})
		c.ADDQ(operand.U8(64), src)
		c.ADDQ(operand.U8(32), dst)
	})
}

// transpose writes the transposition of 32 rows, in blocks of 8 by 8.
func transpose(c *build.Context, split bool) {
	name, doc := "transposeAVX2", "transposeAVX2 is dst[32c+r] = row r of src at c, of 32 rows stride bytes apart and n columns, a multiple of 8."
	if split {
		name, doc = "transposeHalvesAVX2", "transposeHalvesAVX2 does so with pairs of 16 bits: dst[32(2c+h)+r] is half h of row r of src at c."
	}
	to := "uint32"
	if split {
		to = "uint16"
	}
	c.Function(name)
	c.Attributes(attr.NOSPLIT)
	c.SignatureExpr("func(dst []" + to + ", src []byte, stride, n int)")
	c.Doc(doc)
	stride, thrice, low, high := reg.R8, reg.R9, reg.R10, reg.R11
	c.Load(c.Param("stride"), stride)
	c.LEAQ(operand.Mem{Base: stride, Index: stride, Scale: 2}, thrice)
	y := []reg.VecPhysical{reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7}
	z := []reg.VecPhysical{reg.Y8, reg.Y9, reg.Y10, reg.Y11, reg.Y12, reg.Y13, reg.Y14, reg.Y15}
	countedLoop(c, 8, func(dst, src reg.Register) {
		c.MOVQ(src, low)
		for block := range 4 {
			if block > 0 {
				c.LEAQ(operand.Mem{Base: low, Index: stride, Scale: 8}, low)
			}
			c.LEAQ(operand.Mem{Base: low, Index: stride, Scale: 4}, high)
			rows := low
			for r := range 8 {
				if r == 4 {
					rows = high
				}
				at := operand.Mem{Base: rows}
				switch r % 4 {
				case 1:
					at.Index, at.Scale = stride, 1
				case 2:
					at.Index, at.Scale = stride, 2
				case 3:
					at.Index, at.Scale = thrice, 1
				}
				c.VMOVUPS(at, y[r])
			}
			for i := range 4 { // z: rows 2i and 2i+1 interleaved, columns 0 1 4 5 and 2 3 6 7
				c.VUNPCKLPS(y[2*i+1], y[2*i], z[2*i])
				c.VUNPCKHPS(y[2*i+1], y[2*i], z[2*i+1])
			}
			for i := range 2 { // y: four rows, column j and j+4
				for j := range 2 {
					c.VSHUFPS(operand.U8(0x44), z[4*i+2+j], z[4*i+j], y[4*i+2*j])
					c.VSHUFPS(operand.U8(0xee), z[4*i+2+j], z[4*i+j], y[4*i+2*j+1])
				}
			}
			for j := range 4 {
				c.VPERM2F128(operand.U8(0x20), y[4+j], y[j], z[j])
				c.VPERM2F128(operand.U8(0x31), y[4+j], y[j], z[4+j])
			}
			for j := range 8 {
				if !split {
					c.VMOVUPS(z[j], operand.Mem{Base: dst, Disp: 128*j + 32*block})
					continue
				}
				// The low halves of all lanes, then the high ones.
				c.VPSLLD(operand.U8(16), z[j], y[0])
				c.VPSRLD(operand.U8(16), y[0], y[0])
				c.VPSRLD(operand.U8(16), z[j], y[1])
				c.VPACKUSDW(y[1], y[0], y[0])
				c.VPERMQ(operand.U8(0xd8), y[0], y[0])
				c.VMOVUPS(reg.X0, operand.Mem{Base: dst, Disp: 128*j + 16*block})
				c.VEXTRACTF128(operand.U8(1), y[0], operand.Mem{Base: dst, Disp: 128*j + 64 + 16*block})
			}
		}
		c.ADDQ(operand.U8(32), src)
		c.ADDQ(operand.U32(1024), dst)
	})
}
