package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// pairProduct is the product where there is no VNNI: products of bytes are added
// up in words. Eight pairs of nibbles times int8 stay below 2¹⁵, so bytes are
// multiplied as their two nibbles. A block is unpacked to the stack.
type pairProduct struct {
	blockProduct
	v     []reg.VecPhysical
	lanes int // outputs of a vector
	at    int // vectors of outputs that are summed at a time

	scratch reg.GPVirtual
}

// vectorsAVX2 is pairProduct.at for 16 registers: 8 for sums.
func (t blockType) vectorsAVX2() int {
	if t.nibbles {
		return 4
	}
	return 2
}

// parts are the nibbles of a weight.
func (t blockType) parts() int {
	if t.nibbles {
		return 1
	}
	return 2
}

// Of the scratch: [parts][8][32][4] bytes, then d and m as floats.
func (k *pairProduct) weight(part, g, vector int) operand.Mem {
	return operand.Mem{Base: k.scratch, Disp: (part*8+g)*128 + vector*4*k.lanes}
}

func (k *pairProduct) scale(vector int) operand.Mem {
	return operand.Mem{Base: k.scratch, Disp: k.parts()*1024 + vector*4*k.lanes}
}

func (k *pairProduct) minimum(vector int) operand.Mem {
	return operand.Mem{Base: k.scratch, Disp: k.parts()*1024 + 128 + vector*4*k.lanes}
}

// bits is the constants beside the sums: a mask of nibbles, ones and sixteens of
// words.
func (k *pairProduct) mask() reg.VecPhysical    { return k.v[15] }
func (k *pairProduct) ones() reg.VecPhysical    { return k.v[14] }
func (k *pairProduct) sixteen() reg.VecPhysical { return k.v[13] }

func (k *pairProduct) unpack() {
	const align = 64
	local := k.AllocLocal(k.parts()*1024 + 256 + align)
	k.scratch = k.GP64()
	k.LEAQ(local, k.scratch)
	k.ADDQ(operand.Imm(align-1), k.scratch)
	k.ANDQ(operand.I32(-align), k.scratch)
	word := k.GP32()
	for _, c := range []struct {
		bits uint32
		to   reg.VecPhysical
	}{{0x0f0f0f0f, k.mask()}, {0x00010001, k.ones()}, {0x00100010, k.sixteen()}} {
		k.MOVL(operand.U32(c.bits), word)
		x := c.to.(reg.Vec).AsX()
		k.VMOVD(word, x)
		k.VPBROADCASTD(x, c.to)
	}
	groups, high := 4, func(g int) (part, group int) { return 0, 4 + g }
	if !k.nibbles {
		groups, high = 8, func(g int) (part, group int) { return 1, g }
	}
	for g := range groups {
		for vector := range 32 / k.lanes {
			k.VMOVUPS(operand.Mem{Base: k.b, Disp: g*128 + vector*4*k.lanes}, k.v[0])
			k.and(k.mask(), k.v[0], k.v[1])
			k.VMOVUPS(k.v[1], k.weight(0, g, vector))
			k.VPSRLW(operand.Imm(4), k.v[0], k.v[0])
			k.and(k.mask(), k.v[0], k.v[0])
			part, group := high(g)
			k.VMOVUPS(k.v[0], k.weight(part, group, vector))
		}
	}
	for vector := range 32 / k.lanes {
		k.VCVTPH2PS(operand.Mem{Base: k.b, Disp: k.weights + vector*2*k.lanes}, k.v[0])
		k.VMOVUPS(k.v[0], k.scale(vector))
		if k.minima {
			k.VCVTPH2PS(operand.Mem{Base: k.b, Disp: k.weights + 64 + vector*2*k.lanes}, k.v[0])
			k.VMOVUPS(k.v[0], k.minimum(vector))
		}
	}
}

func (k *pairProduct) and(a, b, to reg.Register) {
	if k.lanes == 16 {
		k.VPANDD(a, b, to)
	} else {
		k.VPAND(a, b, to)
	}
}

// sum is the register of the sums of words of a row, a vector and a part.
func (k *pairProduct) sum(row, vector, part int) reg.VecPhysical {
	i := (row*k.at+vector)*k.parts() + part
	if i >= 8 {
		i += 8 // beyond the constants
	}
	return k.v[i]
}

func (k *pairProduct) rows(n int) {
	for from := 0; from < 32/k.lanes; from += k.at {
		k.sums(n, from)
		for r := range n {
			for vector := range k.at {
				k.finish(r, from, vector)
			}
		}
	}
}

// sums adds the products of n rows and some vectors of outputs.
func (k *pairProduct) sums(n, from int) {
	w := k.v[8]
	x := []reg.VecPhysical{k.v[9], k.v[10], k.v[11], k.v[12]}
	for g := range 8 {
		for r := range n {
			k.VPBROADCASTD(k.form.row(r, 4*g), x[r])
		}
		for vector := range k.at {
			for part := range k.parts() {
				k.VMOVUPS(k.weight(part, g, from+vector), w)
				for r := range n {
					if g == 0 {
						k.VPMADDUBSW(x[r], w, k.sum(r, vector, part))
						continue
					}
					t := k.temporary(r)
					k.VPMADDUBSW(x[r], w, t)
					k.VPADDW(t, k.sum(r, vector, part), k.sum(r, vector, part))
				}
			}
		}
	}
}

// temporary is a register for a product, where the mask of nibbles is no more
// needed.
func (k *pairProduct) temporary(r int) reg.VecPhysical {
	if k.lanes == 16 {
		return k.v[28+r]
	}
	return []reg.VecPhysical{k.v[15], k.v[11]}[r]
}

// finish adds the sums of a row and a vector to its accumulator.
func (k *pairProduct) finish(r, from, vector int) {
	s, t := k.sum(r, vector, 0), k.v[8]
	k.VPMADDWD(k.ones(), s, s)
	if k.parts() == 2 {
		high := k.sum(r, vector, 1)
		k.VPMADDWD(k.sixteen(), high, high)
		k.VPADDD(high, s, s)
	}
	if k.zero != 0 {
		k.VPBROADCASTD(k.z.row(r, 0), t)
		k.VPADDD(t, s, s)
	}
	k.VCVTDQ2PS(s, s)
	k.VBROADCASTSS(k.d.row(r, 0), t)
	k.VMULPS(k.scale(from+vector), t, t)
	out := k.c.row(r, (from+vector)*4*k.lanes)
	k.VFMADD213PS(out, t, s)
	if k.minima {
		k.VBROADCASTSS(k.z.row(r, 0), t)
		k.VFMADD231PS(k.minimum(from+vector), t, s)
	}
	k.VMOVUPS(s, out)
}
