package main

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// blockType is a type of panels with blocks of 32: Q4_0, Q4_1 or Q8_0.
type blockType struct {
	name    string
	weights int // bytes of the weights of a block of a panel
	scales  int // bytes of its scales, and of its minima
	nibbles bool
	minima  bool
	zero    int // place of the zero point's array in the form of a row, after d; 0: none
}

var blockTypes = []blockType{
	{name: "Q4x0", weights: 512, scales: 64, nibbles: true, zero: 3},
	{name: "Q4x1", weights: 512, scales: 128, nibbles: true, minima: true},
	{name: "Q8x0", weights: 1024, scales: 64, zero: 4},
}

func (t blockType) size() int { return t.weights + t.scales }

// blocks is the products of int8 with panels of blocks.
func blocks(c *build.Context) {
	for _, t := range blockTypes {
		p := &dotProduct{blockProduct{Context: c, blockType: t, path: "VNNI", group: 4}}
		p.emit(p)
	}
	for _, t := range blockTypes {
		for _, p := range []*pairProduct{
			{blockProduct: blockProduct{path: "AVX512", group: 4}, v: zmm, lanes: 16, at: 2},
			{blockProduct: blockProduct{path: "AVX2", group: 2}, v: ymm, lanes: 8, at: t.vectorsAVX2()},
		} {
			p.Context, p.blockType = c, t
			p.emit(p)
		}
		(&blockFloats{c, t, "AVX512", zmm, 16}).emit()
		(&blockFloats{c, t, "AVX2", ymm, 8}).emit()
	}
}

// blockProduct emits a product: for each panel, for each of its blocks, unpacks
// the block, and multiplies all rows by it, a group at a time. The accumulators
// are what c holds.
type blockProduct struct {
	*build.Context
	blockType
	path  string
	group int // rows that are multiplied at a time: at most 4

	form  reg.GPVirtual // of the first row of the group, at the block's q
	c     reg.GPVirtual // its outputs
	d, z  reg.GPVirtual // its d, and its zero point, at the block
	step  reg.GPVirtual // from form to form
	step3 reg.GPVirtual
	ldc   reg.GPVirtual // bytes
	ldc3  reg.GPVirtual
	b     reg.GPVirtual
}

// multiplier is the steps of a blockProduct: to unpack a block at b, and to
// multiply some rows by it.
type multiplier interface {
	unpack()
	rows(n int)
}

// row is the memory of row r of the group.
func (k *blockProduct) row(r int, base, step, step3 reg.Register, disp int) operand.Mem {
	m := operand.Mem{Base: base, Disp: disp}
	switch r {
	case 1, 2:
		m.Index, m.Scale = step, uint8(r)
	case 3:
		m.Index, m.Scale = step3, 1
	}
	return m
}

func (k *blockProduct) emit(to multiplier) {
	name := "mul" + k.name + k.path
	k.Function(name)
	k.SignatureExpr("func(c []float32, ldc int, a []byte, step int, b []byte, blocks, m, panels int)")
	k.Doc(name + " is a MulBlocks for m ≥ 1, blocks ≥ 1, panels ≥ 1.")
	k.begin()
	column, panel := k.GP64(), k.GP64()
	k.Load(k.Param("c").Base(), column)
	k.Load(k.Param("panels"), panel)

	k.Label("panel")
	k.clear(column)
	block := k.GP64()
	k.XORQ(block, block)

	k.Label("block")
	k.prefetch()
	to.unpack()
	k.ADDQ(operand.U32(k.size()), k.b)
	// form = a + 32·block, d = a + 32·blocks + 4·block, z = d + 4·zero·blocks.
	n := k.GP64()
	k.Load(k.Param("a").Base(), k.form)
	k.Load(k.Param("blocks"), n)
	k.MOVQ(n, k.d)
	k.SHLQ(operand.Imm(5), k.d)
	k.ADDQ(k.form, k.d)
	k.LEAQ(operand.Mem{Base: k.d, Index: block, Scale: 4}, k.d)
	if k.minima {
		k.LEAQ(operand.Mem{Base: k.d, Index: n, Scale: 4}, k.z) // d·Σq
	} else {
		k.IMUL3Q(operand.Imm(uint64(4*k.zero)), n, k.z)
		k.ADDQ(k.d, k.z)
	}
	k.MOVQ(block, n)
	k.SHLQ(operand.Imm(5), n)
	k.ADDQ(n, k.form)
	k.MOVQ(column, k.c)
	rows := k.GP64()
	k.Load(k.Param("m"), rows)
	k.SUBQ(operand.Imm(uint64(k.group)), rows)
	k.JLT(operand.LabelRef("single"))

	k.Label("rows")
	to.rows(k.group)
	k.next(k.group)
	k.SUBQ(operand.Imm(uint64(k.group)), rows)
	k.JGE(operand.LabelRef("rows"))

	k.Label("single")
	k.ADDQ(operand.Imm(uint64(k.group)), rows)
	k.JZ(operand.LabelRef("done"))
	k.Label("row")
	to.rows(1)
	k.next(1)
	k.DECQ(rows)
	k.JNZ(operand.LabelRef("row"))

	k.Label("done")
	k.INCQ(block)
	k.Load(k.Param("blocks"), n)
	k.CMPQ(block, n)
	k.JLT(operand.LabelRef("block"))
	k.ADDQ(operand.U32(128), column)
	k.DECQ(panel)
	k.JNZ(operand.LabelRef("panel"))
	k.VZEROUPPER()
	k.RET()
}

// begin reads what does not change.
func (k *blockProduct) begin() {
	k.form, k.c, k.d, k.z, k.step, k.step3, k.ldc, k.ldc3, k.b =
		k.GP64(), k.GP64(), k.GP64(), k.GP64(), k.GP64(), k.GP64(), k.GP64(), k.GP64(), k.GP64()
	k.Load(k.Param("step"), k.step)
	k.Load(k.Param("ldc"), k.ldc)
	k.SHLQ(operand.Imm(2), k.ldc)
	k.LEAQ(operand.Mem{Base: k.step, Index: k.step, Scale: 2}, k.step3)
	k.LEAQ(operand.Mem{Base: k.ldc, Index: k.ldc, Scale: 2}, k.ldc3)
	k.Load(k.Param("b").Base(), k.b)
}

// clear sets the accumulators of a panel to zero.
func (k *blockProduct) clear(column reg.GPVirtual) {
	rows, at := k.GP64(), k.GP64()
	k.Load(k.Param("m"), rows)
	k.MOVQ(column, at)
	k.VPXOR(ymm[0], ymm[0], ymm[0])
	k.Label("clear")
	for i := range 4 {
		k.VMOVUPS(ymm[0], operand.Mem{Base: at, Disp: 32 * i})
	}
	k.ADDQ(k.ldc, at)
	k.DECQ(rows)
	k.JNZ(operand.LabelRef("clear"))
}

// ahead is how far before its use memory of a panel is asked for, bytes.
const ahead = 4096

// prefetch asks for what comes after the block.
func (k *blockProduct) prefetch() {
	for at := 0; at < k.size(); at += 64 {
		k.PREFETCHT0(operand.Mem{Base: k.b, Disp: ahead + at})
	}
}

// next goes on by n rows.
func (k *blockProduct) next(n int) {
	for _, p := range []reg.GPVirtual{k.form, k.d, k.z} {
		k.LEAQ(operand.Mem{Base: p, Index: k.step, Scale: uint8(n)}, p)
	}
	k.LEAQ(operand.Mem{Base: k.c, Index: k.ldc, Scale: uint8(n)}, k.c)
}

// dotProduct is the product on VNNI. The weights of a block are unpacked to
// Z0-Z15, two registers of 16 outputs for each four k, and stay there for all
// rows.
type dotProduct struct{ blockProduct }

// scale, minimum and integer name registers: of the weight's d and m by the half
// of the panel, and of the integer sums by row and half.
func (k *dotProduct) scale(half int) reg.Register        { return zmm[16+half] }
func (k *dotProduct) minimum(half int) reg.Register      { return zmm[18+half] }
func (k *dotProduct) integer(row, half int) reg.Register { return zmm[20+2*row+half] }

// unpack reads a block of a panel.
func (k *dotProduct) unpack() {
	if k.nibbles {
		mask := zmm[31]
		ones := k.GP32()
		k.MOVL(operand.U32(0x0f0f0f0f), ones)
		k.VPBROADCASTD(ones, mask)
		for i := range 8 {
			k.VMOVDQU64(operand.Mem{Base: k.b, Disp: 64 * i}, zmm[30])
			k.VPANDD(mask, zmm[30], zmm[i])
			k.VPSRLW(operand.Imm(4), zmm[30], zmm[30])
			k.VPANDD(mask, zmm[30], zmm[8+i])
		}
	} else {
		for i := range 16 {
			k.VMOVDQU64(operand.Mem{Base: k.b, Disp: 64 * i}, zmm[i])
		}
	}
	for half := range 2 {
		k.VCVTPH2PS(operand.Mem{Base: k.b, Disp: k.weights + 32*half}, k.scale(half))
		if k.minima {
			k.VCVTPH2PS(operand.Mem{Base: k.b, Disp: k.weights + 64 + 32*half}, k.minimum(half))
		}
	}
}

// rows multiplies n rows by the block.
func (k *dotProduct) rows(n int) {
	x := zmm[28]
	for r := range n {
		for half := range 2 {
			if k.zero == 0 {
				k.VPXORD(k.integer(r, half), k.integer(r, half), k.integer(r, half))
			} else {
				k.VPBROADCASTD(k.row(r, k.z, k.step, k.step3, 0), k.integer(r, half))
			}
		}
	}
	for g := range 8 {
		for r := range n {
			x = zmm[28+r%4]
			k.VPBROADCASTD(k.row(r, k.form, k.step, k.step3, 4*g), x)
			for half := range 2 {
				k.VPDPBUSD(x, zmm[2*g+half], k.integer(r, half))
			}
		}
	}
	for r := range n {
		for half := range 2 {
			out := k.row(r, k.c, k.ldc, k.ldc3, 64*half)
			d := zmm[28+half]
			k.VCVTDQ2PS(k.integer(r, half), k.integer(r, half))
			k.VMULPS_BCST(k.row(r, k.d, k.step, k.step3, 0), k.scale(half), d)
			k.VFMADD213PS(out, d, k.integer(r, half))
			if k.minima {
				k.VFMADD231PS_BCST(k.row(r, k.z, k.step, k.step3, 0), k.minimum(half), k.integer(r, half))
			}
			k.VMOVUPS(k.integer(r, half), out)
		}
	}
}
