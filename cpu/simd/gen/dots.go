package main

// Dot products of rows with one vector.

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// dots writes every function.
func dots(c *build.Context) {
	dotRows(c, "AVX2", 8, ymm)
	dotRows(c, "AVX512", 16, zmm)
}

// dotRows takes four rows at once, then one; each has two vectors of sums, which
// end in one, so that a row's bits are the same in both.
func dotRows(c *build.Context, set string, lanes int, v []reg.VecPhysical) {
	xmm := []reg.VecPhysical{reg.X0, reg.X1, reg.X2, reg.X3, reg.X4, reg.X5, reg.X6, reg.X7, reg.X8}
	y, stride, a, x, m, n := reg.RDI, reg.RDX, reg.RSI, reg.R8, reg.R9, reg.R10
	rows, at, left, thrice := reg.R11, reg.RBX, reg.RCX, reg.R12
	c.Function("dotRows" + set)
	c.Attributes(attr.NOSPLIT)
	c.SignatureExpr("func(y, a []float32, lda int, x []float32, m, n int)")
	c.Doc(fmt.Sprintf("dotRows%s is Products.DotRows.", set))
	c.Load(c.Param("y").Base(), y)
	c.Load(c.Param("a").Base(), a)
	c.Load(c.Param("lda"), stride)
	c.SHLQ(operand.U8(2), stride)
	c.LEAQ(operand.Mem{Base: stride, Index: stride, Scale: 2}, thrice)
	c.Load(c.Param("x").Base(), x)
	c.Load(c.Param("m"), m)
	c.Load(c.Param("n"), n)
	for _, count := range []int{4, 1} {
		label := func(s string) string { return fmt.Sprintf("%s%d", s, count) }
		row := func(r int) operand.Mem {
			return [4]operand.Mem{{Base: rows}, {Base: rows, Index: stride, Scale: 1}, {Base: rows, Index: stride, Scale: 2}, {Base: rows, Index: thrice, Scale: 1}}[r]
		}
		c.Label(label("next"))
		c.CMPQ(m, operand.U8(count))
		c.JLT(operand.LabelRef(label("fewer")))
		for i := range 2 * count {
			if lanes == 16 {
				c.VPXORD(v[i], v[i], v[i])
			} else {
				c.VXORPS(v[i], v[i], v[i])
			}
		}
		c.MOVQ(a, rows)
		c.MOVQ(x, at)
		c.MOVQ(n, left)
		c.SUBQ(operand.U8(2*lanes), left)
		c.JLT(operand.LabelRef(label("tail")))
		c.Label(label("main"))
		for i := range 2 {
			c.VMOVUPS(operand.Mem{Base: at, Disp: 4 * lanes * i}, v[8+i])
			for r := range count {
				from := row(r)
				from.Disp = 4 * lanes * i
				c.VFMADD231PS(from, v[8+i], v[2*r+i])
			}
		}
		c.ADDQ(operand.U32(8*lanes), rows)
		c.ADDQ(operand.U32(8*lanes), at)
		c.SUBQ(operand.U8(2*lanes), left)
		c.JGE(operand.LabelRef(label("main")))
		c.Label(label("tail"))
		for r := range count {
			c.VADDPS(v[2*r+1], v[2*r], v[2*r])
			if lanes == 16 {
				c.VEXTRACTF64X4(operand.U8(1), v[2*r], ymm[2*r+1])
				c.VADDPS(ymm[2*r+1], ymm[2*r], ymm[2*r])
			}
			c.VEXTRACTF128(operand.U8(1), ymm[2*r], xmm[2*r+1])
			c.VADDPS(xmm[2*r+1], xmm[2*r], xmm[2*r])
			c.VHADDPS(xmm[2*r], xmm[2*r], xmm[2*r])
			c.VHADDPS(xmm[2*r], xmm[2*r], xmm[2*r])
		}
		c.ADDQ(operand.U8(2*lanes), left)
		c.JEQ(operand.LabelRef(label("store")))
		c.Label(label("one"))
		c.VMOVSS(operand.Mem{Base: at}, xmm[8])
		for r := range count {
			c.VFMADD231SS(row(r), xmm[8], xmm[2*r])
		}
		c.ADDQ(operand.U8(4), rows)
		c.ADDQ(operand.U8(4), at)
		c.SUBQ(operand.U8(1), left)
		c.JNE(operand.LabelRef(label("one")))
		c.Label(label("store"))
		for r := range count {
			c.VMOVSS(xmm[2*r], operand.Mem{Base: y, Disp: 4 * r})
			c.ADDQ(stride, a)
		}
		c.ADDQ(operand.U8(4*count), y)
		c.SUBQ(operand.U8(count), m)
		c.JMP(operand.LabelRef(label("next")))
		c.Label(label("fewer"))
	}
	c.VZEROUPPER()
	c.RET()
}
