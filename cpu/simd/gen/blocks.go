package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/gotypes"
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
		p := &dotProduct{blockProduct{Context: c, blockType: t, path: "VNNI", groups: []int{6, 4, 2, 1}}}
		if t.minima {
			p.groups[0] = 5 // two registers less
		}
		p.emit(p)
	}
	for _, t := range blockTypes {
		for _, p := range []*pairProduct{
			{blockProduct: blockProduct{path: "AVX512", groups: []int{4, 2, 1}}, v: zmm, lanes: 16, at: 2},
			{blockProduct: blockProduct{path: "AVX2", groups: []int{2, 1}}, v: ymm, lanes: 8, at: t.vectorsAVX2()},
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
	path   string
	groups []int // numbers of rows that are multiplied at a time: from at most 6 down to 1

	form, d, z stride // of the first row of the group: its q, d and zero point at the block
	c          stride // its outputs
	b          reg.GPVirtual
}

// stride is an address of a row, and the distance to the next, threefold and
// fivefold, too. Addresses may share the distances.
type stride struct{ at, step, step3, step5 reg.GPVirtual }

// row is memory in row r from the address on.
func (s stride) row(r, disp int) operand.Mem {
	m := operand.Mem{Base: s.at, Disp: disp, Scale: 1}
	switch r {
	case 0:
		m.Scale = 0
	case 1, 2, 4:
		m.Index, m.Scale = s.step, uint8(r)
	case 3:
		m.Index = s.step3
	case 5:
		m.Index = s.step5
	}
	return m
}

// multiplier is the steps of a blockProduct: to unpack a block at b, and to
// multiply some rows by it.
type multiplier interface {
	unpack()
	rows(n int)
}

func (k *blockProduct) emit(to multiplier) {
	name := "mul" + k.name + k.path
	k.Function(name)
	k.SignatureExpr("func(c []float32, ldc int, a []byte, step int, b []byte, blocks, m, panels int)")
	k.Doc(name + " is a MulBlocks for m ≥ 1, blocks ≥ 1, panels ≥ 1.")
	k.begin()
	k.Label("panel")
	k.clear()
	block := k.GP64()
	k.XORQ(block, block)

	k.Label("block")
	k.prefetch()
	to.unpack()
	k.ADDQ(operand.U32(k.size()), k.b)
	k.place(block)
	rows := k.GP64()
	k.Load(k.Param("m"), rows)
	for i, n := range k.groups {
		k.Label(fmt.Sprintf("rows%d", n))
		k.CMPQ(rows, operand.Imm(uint64(n)))
		k.JLT(operand.LabelRef(fmt.Sprintf("less%d", n)))
		to.rows(n)
		k.next(n)
		k.SUBQ(operand.Imm(uint64(n)), rows)
		if i == 0 {
			k.JMP(operand.LabelRef(fmt.Sprintf("rows%d", n)))
		}
		k.Label(fmt.Sprintf("less%d", n))
	}
	k.INCQ(block)
	k.CMPQ(block, k.argument("blocks"))
	k.JLT(operand.LabelRef("block"))
	k.ADDQ(operand.U32(128), k.base("c"))
	k.DECQ(k.argument("panels"))
	k.JNZ(operand.LabelRef("panel"))
	k.VZEROUPPER()
	k.RET()
}

// argument is the memory of an argument, which may be changed.
func (k *blockProduct) argument(name string) operand.Op { return address(k.Param(name)) }

// base is the memory of the address of a slice.
func (k *blockProduct) base(name string) operand.Op { return address(k.Param(name).Base()) }

func address(c gotypes.Component) operand.Op {
	b, err := c.Resolve()
	if err != nil {
		panic(err)
	}
	return b.Addr
}

// begin reads what does not change.
func (k *blockProduct) begin() {
	multiples := func() stride {
		s := stride{k.GP64(), k.GP64(), k.GP64(), nil}
		if k.groups[0] > 5 {
			s.step5 = k.GP64()
		}
		return s
	}
	k.form, k.c, k.b = multiples(), multiples(), k.GP64()
	k.d, k.z = k.form, k.form
	k.d.at, k.z.at = k.GP64(), k.GP64()
	k.Load(k.Param("step"), k.form.step)
	k.Load(k.Param("ldc"), k.c.step)
	k.SHLQ(operand.Imm(2), k.c.step)
	for _, s := range []stride{k.form, k.c} {
		k.LEAQ(operand.Mem{Base: s.step, Index: s.step, Scale: 2}, s.step3)
		if s.step5 != nil {
			k.LEAQ(operand.Mem{Base: s.step, Index: s.step, Scale: 4}, s.step5)
		}
	}
	k.Load(k.Param("b").Base(), k.b)
}

// place sets the addresses of the first row at a block: form = a + 32·block,
// d = a + 32·blocks + 4·block, z = d + 4·zero·blocks.
func (k *blockProduct) place(block reg.Register) {
	n := k.GP64()
	k.Load(k.Param("a").Base(), k.form.at)
	k.Load(k.Param("blocks"), n)
	k.MOVQ(n, k.d.at)
	k.SHLQ(operand.Imm(5), k.d.at)
	k.ADDQ(k.form.at, k.d.at)
	k.LEAQ(operand.Mem{Base: k.d.at, Index: block, Scale: 4}, k.d.at)
	if k.minima {
		k.LEAQ(operand.Mem{Base: k.d.at, Index: n, Scale: 4}, k.z.at) // d·Σq
	} else {
		k.IMUL3Q(operand.Imm(uint64(4*k.zero)), n, k.z.at)
		k.ADDQ(k.d.at, k.z.at)
	}
	k.MOVQ(block, n)
	k.SHLQ(operand.Imm(5), n)
	k.ADDQ(n, k.form.at)
	k.Load(k.Param("c").Base(), k.c.at)
}

// clear sets the accumulators of a panel to zero.
func (k *blockProduct) clear() {
	rows := k.GP64()
	k.Load(k.Param("m"), rows)
	k.Load(k.Param("c").Base(), k.c.at)
	k.VPXOR(ymm[0], ymm[0], ymm[0])
	k.Label("clear")
	for i := range 4 {
		k.VMOVUPS(ymm[0], operand.Mem{Base: k.c.at, Disp: 32 * i})
	}
	k.ADDQ(k.c.step, k.c.at)
	k.DECQ(rows)
	k.JNZ(operand.LabelRef("clear"))
}

// ahead is how far before its use memory of a panel is asked for, bytes.
const ahead = 8192

// streaming is the most rows of which products wait for panels to come from
// memory. With more, asking for them early costs more than it saves.
const streaming = 8

// prefetch asks for what comes after the block.
func (k *blockProduct) prefetch() {
	k.CMPQ(k.argument("m"), operand.Imm(streaming))
	k.JGT(operand.LabelRef("computing"))
	for at := 0; at < k.size(); at += 64 {
		k.PREFETCHT0(operand.Mem{Base: k.b, Disp: ahead + at})
	}
	k.Label("computing")
}

// next goes on by n rows.
func (k *blockProduct) next(n int) {
	for _, s := range []stride{k.form, k.d, k.z, k.c} {
		for bit := 1; bit <= n; bit *= 2 {
			if n&bit != 0 {
				k.LEAQ(operand.Mem{Base: s.at, Index: s.step, Scale: uint8(bit)}, s.at)
			}
		}
	}
}

// dotProduct is the product on VNNI. The weights of a block are unpacked to
// Z0-Z15, two registers of 16 outputs for each four k, and stay there for all
// rows.
type dotProduct struct{ blockProduct }

// scale, minimum and integer name registers: of the weight's d and m by the half
// of the panel, and of the integer sums by row and half. The last two are left.
func (k *dotProduct) scale(half int) reg.Register   { return zmm[16+half] }
func (k *dotProduct) minimum(half int) reg.Register { return zmm[18+half] }
func (k *dotProduct) integer(row, half int) reg.Register {
	if k.minima {
		return zmm[20+2*row+half]
	}
	return zmm[18+2*row+half]
}

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
	for r := range n {
		for half := range 2 {
			if k.zero == 0 {
				k.VPXORD(k.integer(r, half), k.integer(r, half), k.integer(r, half))
			} else {
				k.VPBROADCASTD(k.z.row(r, 0), k.integer(r, half))
			}
		}
	}
	for g := range 8 {
		for r := range n {
			x := zmm[30+r%2]
			k.VPBROADCASTD(k.form.row(r, 4*g), x)
			for half := range 2 {
				k.VPDPBUSD(x, zmm[2*g+half], k.integer(r, half))
			}
		}
	}
	for r := range n {
		for half := range 2 {
			out := k.c.row(r, 64*half)
			d := zmm[30+half]
			k.VCVTDQ2PS(k.integer(r, half), k.integer(r, half))
			k.VMULPS_BCST(k.d.row(r, 0), k.scale(half), d)
			k.VFMADD213PS(out, d, k.integer(r, half))
			if k.minima {
				k.VFMADD231PS_BCST(k.z.row(r, 0), k.minimum(half), k.integer(r, half))
			}
			k.VMOVUPS(k.integer(r, half), out)
		}
	}
}
