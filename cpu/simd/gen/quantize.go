package main

import (
	"math"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// quantize is the int8 form of a row, on ymm and on zmm registers.
func quantize(c *build.Context) {
	(&quantizer{Context: c, wide: true}).emit()
	(&quantizer{Context: c}).emit()
}

// quantizer emits one of them: a block of 32 a round, in two zmm or four ymm.
type quantizer struct {
	*build.Context
	wide bool
}

func (k *quantizer) emit() {
	name := "quantizeAVX2"
	v := ymm
	if k.wide {
		name, v = "quantizeAVX512", zmm
	}
	k.Function(name)
	k.Attributes(attr.NOSPLIT)
	k.SignatureExpr("func(dst []byte, x []float32, blocks int)")
	k.Doc(name + " is Blocks.Quantize for blocks ≥ 1.")
	q, x, d, n, left := k.GP64(), k.GP64(), k.GP64(), k.GP64(), k.GP64()
	k.Load(k.Param("dst").Base(), q)
	k.Load(k.Param("x").Base(), x)
	k.Load(k.Param("blocks"), n)
	k.MOVQ(n, d)
	k.SHLQ(operand.Imm(5), d)
	k.ADDQ(q, d)
	k.MOVQ(n, left)
	n3 := k.GP64()
	k.LEAQ(operand.Mem{Base: n, Index: n, Scale: 2}, n3)

	// Constants: what takes the sign off, 127 and 1, ones of bytes and of words.
	word := k.GP32()
	absolute, top, one, bytes, words, order := v[8], reg.X9, reg.X10, v[11], v[12], v[13]
	for _, c := range []struct {
		bits uint32
		to   reg.VecPhysical
	}{{0x7fffffff, absolute}, {0x01010101, bytes}, {0x00010001, words}} {
		k.MOVL(operand.U32(c.bits), word)
		k.broadcast(word, c.to)
	}
	k.MOVL(operand.U32(math.Float32bits(127)), word)
	k.VMOVD(word, top)
	k.MOVL(operand.U32(math.Float32bits(1)), word)
	k.VMOVD(word, one)
	if !k.wide {
		k.VMOVDQU(k.laneOrder(), order)
	}

	k.Label("block")
	// The largest magnitude, as an integer: NaN is above infinity.
	parts := 4
	if k.wide {
		parts = 2
	}
	size := 128 / parts
	for i := range parts {
		k.VMOVUPS(operand.Mem{Base: x, Disp: size * i}, v[i])
		if k.wide {
			k.VPANDD(v[i], absolute, v[4+i])
		} else {
			k.VPAND(v[i], absolute, v[4+i])
		}
	}
	if k.wide {
		k.VPMAXUD(v[4], v[5], v[4])
		k.VEXTRACTI64X4(operand.Imm(1), zmm[4], reg.Y5)
	} else {
		k.VPMAXUD(v[4], v[5], v[4])
		k.VPMAXUD(v[6], v[7], v[5])
	}
	k.VPMAXUD(reg.Y4, reg.Y5, reg.Y4)
	k.VEXTRACTI128(operand.Imm(1), reg.Y4, reg.X5)
	k.VPMAXUD(reg.X4, reg.X5, reg.X4)
	k.VPSHUFD(operand.Imm(0b01001110), reg.X4, reg.X5)
	k.VPMAXUD(reg.X4, reg.X5, reg.X4)
	k.VPSHUFD(operand.Imm(0b10110001), reg.X4, reg.X5)
	k.VPMAXUD(reg.X4, reg.X5, reg.X4)
	peak, above := k.GP32(), k.GP32()
	k.VMOVD(reg.X4, peak)
	const least = 0x04000000 // 2⁻¹¹⁹
	k.LEAL(operand.Mem{Base: peak, Disp: -least}, above)
	k.CMPL(above, operand.U32(math.Float32bits(math.MaxFloat32)-least))
	k.JHI(operand.LabelRef("special"))

	k.VDIVSS(top, reg.X4, reg.X4)
	k.VMOVSS(reg.X4, operand.Mem{Base: d})
	k.VDIVSS(reg.X4, one, reg.X5)
	k.VBROADCASTSS(reg.X5, v[5])
	for i := range parts {
		k.VMULPS(v[i], v[5], v[i])
		k.VCVTPS2DQ(v[i], v[i])
	}
	sum := k.GP32()
	if k.wide {
		k.VPMOVSDB(zmm[0], reg.X0)
		k.VPMOVSDB(zmm[1], reg.X1)
		k.VMOVDQU(reg.X0, operand.Mem{Base: q})
		k.VMOVDQU(reg.X1, operand.Mem{Base: q, Disp: 16})
		k.VINSERTI128(operand.Imm(1), reg.X1, reg.Y0, reg.Y0)
	} else {
		k.VPACKSSDW(v[1], v[0], v[0])
		k.VPACKSSDW(v[3], v[2], v[2])
		k.VPACKSSWB(v[2], v[0], v[0])
		k.VPERMD(v[0], order, v[0])
		k.VMOVDQU(v[0], operand.Mem{Base: q})
	}
	k.VPMADDUBSW(reg.Y0, bytes.(reg.Vec).AsY(), reg.Y0)
	k.VPMADDWD(reg.Y0, words.(reg.Vec).AsY(), reg.Y0)
	k.VEXTRACTI128(operand.Imm(1), reg.Y0, reg.X1)
	k.VPADDD(reg.X0, reg.X1, reg.X0)
	k.VPSHUFD(operand.Imm(0b01001110), reg.X0, reg.X1)
	k.VPADDD(reg.X0, reg.X1, reg.X0)
	k.VPSHUFD(operand.Imm(0b10110001), reg.X0, reg.X1)
	k.VPADDD(reg.X0, reg.X1, reg.X0)
	k.VMOVD(reg.X0, sum)

	k.Label("sums")
	k.VCVTDQ2PS(reg.X0, reg.X0)
	k.VMULSS(reg.X4, reg.X0, reg.X0)
	k.VMOVSS(reg.X0, operand.Mem{Base: d, Index: n, Scale: 4})
	k.MOVL(sum, operand.Mem{Base: d, Index: n, Scale: 8})
	k.SHLL(operand.Imm(3), sum)
	k.NEGL(sum)
	at := k.GP64()
	k.LEAQ(operand.Mem{Base: d, Index: n3, Scale: 4}, at)
	k.MOVL(sum, operand.Mem{Base: at})
	k.SHLL(operand.Imm(4), sum)
	k.MOVL(sum, operand.Mem{Base: at, Index: n, Scale: 4})
	k.ADDQ(operand.Imm(4), d)
	k.ADDQ(operand.U32(32), q)
	k.ADDQ(operand.U32(128), x)
	k.DECQ(left)
	k.JNZ(operand.LabelRef("block"))
	k.VZEROUPPER()
	k.RET()

	// Below the least: d 0. Not finite: NaN, which is infinity less infinity.
	k.Label("special")
	k.VXORPS(reg.X0, reg.X0, reg.X0)
	k.VMOVDQU(reg.X0, operand.Mem{Base: q})
	k.VMOVDQU(reg.X0, operand.Mem{Base: q, Disp: 16})
	k.XORL(sum, sum)
	k.VXORPS(reg.X4, reg.X4, reg.X4)
	k.CMPL(peak, operand.U32(least))
	k.JCS(operand.LabelRef("kept"))
	k.VDIVSS(reg.X4, reg.X4, reg.X4)
	k.Label("kept")
	k.VMOVSS(reg.X4, operand.Mem{Base: d})
	k.JMP(operand.LabelRef("sums"))
}

// broadcast fills a register with a word.
func (k *quantizer) broadcast(word reg.Register, to reg.VecPhysical) {
	if k.wide {
		k.VPBROADCASTD(word, to)
		return
	}
	x := to.(reg.Vec).AsX()
	k.VMOVD(word, x)
	k.VPBROADCASTD(x, to)
}

// laneOrder is where packing has left the eight words of a block.
func (k *quantizer) laneOrder() operand.Mem {
	m := k.StaticGlobal("laneOrder")
	k.DataAttributes(attr.RODATA | attr.NOPTR)
	for i, w := range []uint32{0, 4, 1, 5, 2, 6, 3, 7} {
		k.AddDatum(4*i, operand.U32(w))
	}
	return m
}
