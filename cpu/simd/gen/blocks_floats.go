package main

import (
	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// blockFloats emits the values of blocks of a panel.
type blockFloats struct {
	*build.Context
	blockType
	path  string
	v     []reg.VecPhysical
	lanes int
}

func (k *blockFloats) emit() {
	name := "float" + k.name + k.path
	k.Function(name)
	k.Attributes(attr.NOSPLIT)
	k.SignatureExpr("func(dst []float32, b []byte, blocks int)")
	k.Doc(name + " is Blocks.Float" + k.name + " for blocks ≥ 1.")
	dst, b, left, word := k.GP64(), k.GP64(), k.GP64(), k.GP32()
	k.Load(k.Param("dst").Base(), dst)
	k.Load(k.Param("b").Base(), b)
	k.Load(k.Param("blocks"), left)
	mask, zero := k.v[14], k.v[15]
	bits, shift := 0xf, 8
	if !k.nibbles {
		bits, shift = 0xff, 128
	}
	k.fill(bits, word, mask)
	if !k.minima {
		k.fill(shift, word, zero)
	}
	k.Label("block")
	vectors := 32 / k.lanes
	for i := range vectors {
		k.VCVTPH2PS(operand.Mem{Base: b, Disp: k.weights + 2*i*k.lanes}, k.scale(i))
		if k.minima {
			k.VCVTPH2PS(operand.Mem{Base: b, Disp: k.weights + 64 + 2*i*k.lanes}, k.minimum(i))
		}
	}
	for g := range k.weights / 128 {
		for i := range vectors {
			k.VMOVUPS(operand.Mem{Base: b, Disp: 128*g + 4*i*k.lanes}, k.v[0])
			for e := range 4 {
				k.value(dst, i, 4*g+e, 8*e)
				if k.nibbles {
					k.value(dst, i, 16+4*g+e, 8*e+4)
				}
			}
		}
	}
	k.ADDQ(operand.U32(k.size()), b)
	k.ADDQ(operand.U32(32*32*4), dst)
	k.DECQ(left)
	k.JNZ(operand.LabelRef("block"))
	k.VZEROUPPER()
	k.RET()
}

func (k *blockFloats) scale(i int) reg.Register   { return k.v[4+i] }
func (k *blockFloats) minimum(i int) reg.Register { return k.v[8+i] }

// fill makes all words of a register the same.
func (k *blockFloats) fill(value int, word reg.Register, to reg.VecPhysical) {
	x := to.(reg.Vec).AsX()
	k.MOVL(operand.U32(value), word)
	k.VMOVD(word, x)
	k.VPBROADCASTD(x, to)
}

// value writes element depth of a vector of outputs, which begins at a bit of
// the words of the first register.
func (k *blockFloats) value(dst reg.Register, vector, depth, bit int) {
	t, mask := k.v[1+depth%3], k.v[14]
	from := k.v[0]
	if bit > 0 {
		k.VPSRLD(operand.Imm(uint64(bit)), from, t)
		from = t
	}
	if k.lanes == 16 {
		k.VPANDD(mask, from, t)
	} else {
		k.VPAND(mask, from, t)
	}
	if k.minima {
		k.VCVTDQ2PS(t, t)
		k.VFMADD213PS(k.minimum(vector), k.scale(vector), t) // the product is exact
	} else {
		k.VPSUBD(k.v[15], t, t)
		k.VCVTDQ2PS(t, t)
		k.VMULPS(k.scale(vector), t, t)
	}
	k.VMOVUPS(t, operand.Mem{Base: dst, Disp: depth*128 + 4*vector*k.lanes})
}
