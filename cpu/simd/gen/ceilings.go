package main

// Loops that do one thing as fast as a core can: what others are measured against.

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// ceilings writes every function. The accumulators of a loop are as many as hide
// how long an instruction takes.
func ceilings(c *build.Context) {
	w := ceilingWriter{c}
	for _, set := range []vectorSet{setAVX2, setAVX512} {
		w.multiply("ceilingF32", set, func(a, b, sum reg.VecPhysical) { c.VFMADD231PS(b, a, sum) })
		w.exp(set)
		w.read(set, 1)
		w.read(set, 4)
	}
	w.multiply("ceilingBF16", setAVX512, func(a, b, sum reg.VecPhysical) { emitEVEX(c, opVDPBF16PS, b, a, sum) })
	w.multiply("ceilingInt8", setAVX512, func(a, b, sum reg.VecPhysical) { c.VPDPBUSD(b, a, sum) })
	w.tiles("ceilingTileBF16", tdpbf16ps)
	w.tiles("ceilingTileInt8", tdpbusd)
}

// ceilingWriter writes them.
type ceilingWriter struct{ *build.Context }

func (w ceilingWriter) begin(name, signature, doc string) {
	w.Function(name)
	w.Attributes(attr.NOSPLIT)
	w.Pragma("noescape")
	w.SignatureExpr(signature)
	w.Doc(name + " " + doc)
}

// loop writes a body that runs rounds times, at least once.
func (w ceilingWriter) loop(body func()) {
	w.Load(w.Param("rounds"), reg.RCX)
	w.Label("loop")
	body()
	w.DECQ(reg.RCX)
	w.JNZ(operand.LabelRef("loop"))
}

func (w ceilingWriter) end() {
	w.VZEROUPPER()
	w.RET()
}

// constant puts the bits of a float32 into all lanes.
func (w ceilingWriter) constant(bits uint32, to reg.VecPhysical) {
	w.MOVL(operand.U32(bits), reg.EAX)
	w.VMOVD(reg.EAX, to.AsX())
	w.VPBROADCASTD(to.AsX(), to)
}

// multiply writes a loop of 48 multiplications a round.
func (w ceilingWriter) multiply(name string, set vectorSet, op func(a, b, sum reg.VecPhysical)) {
	if name == "ceilingF32" {
		name += set.name
	}
	w.begin(name, "func(rounds int)", fmt.Sprintf("runs 48 multiplications with an addition on vectors of %d bits a round.", 32*set.lanes))
	n := len(set.registers) / 4 * 3
	sums, a, b := set.registers[:n], set.registers[n], set.registers[n+1]
	for _, sum := range sums {
		w.VXORPS(sum.AsY(), sum.AsY(), sum.AsY())
	}
	w.constant(0x3c013c01, a) // 0.0079, also as pairs of bf16
	w.constant(0x3c023c02, b)
	w.loop(func() {
		for i := range 48 {
			op(a, b, sums[i%n])
		}
	})
	w.end()
}

// exp writes a loop of six times e^x a round, as 2^n·p(r) with p of degree 5, the
// least that an error of one or two units takes.
func (w ceilingWriter) exp(set vectorSet) {
	w.begin("ceilingExp"+set.name, "func(rounds int)", "computes e^x of six vectors a round, in registers, with a polynomial of degree 5.")
	all := set.registers
	log2e, ln2, x, polynomial := all[0], all[1], all[2], all[3:8]
	w.constant(0x3fb8aa3b, log2e)
	w.constant(0x3f317218, ln2)
	w.constant(0xc019999a, x)                                                                   // -2.4
	for i, bits := range []uint32{0x3c088889, 0x3d2aaaab, 0x3e2aaaab, 0x3f000000, 0x3f800000} { // 1/120, 1/24, 1/6, 1/2, 1
		w.constant(bits, polynomial[i])
	}
	w.loop(func() {
		for i := range 6 {
			n, r, p := all[8+3*(i%2)], all[9+3*(i%2)], all[10+3*(i%2)]
			w.VMULPS(log2e, x, n)
			if set.lanes == 16 {
				w.VRNDSCALEPS(operand.U8(0), n, n)
			} else {
				w.VROUNDPS(operand.U8(0), n, n)
			}
			w.VMOVAPS(x, r)
			w.VFNMADD231PS(ln2, n, r)
			w.VMOVAPS(polynomial[0], p)
			for _, c := range append(polynomial[1:5:5], polynomial[4]) {
				w.VFMADD213PS(c, r, p)
			}
			if set.lanes == 16 {
				w.VSCALEFPS(n, p, p)
				continue
			}
			w.VCVTPS2DQ(n, n)
			w.VPSLLD(operand.U8(23), n, n)
			w.VPADDD(n, p, p)
		}
	})
	w.end()
}

// read writes a loop that reads memory, at so many places in turn.
func (w ceilingWriter) read(set vectorSet, streams int) {
	width := 4 * set.lanes
	w.begin(fmt.Sprintf("ceilingRead%d%s", streams, set.name), "func(b *byte, apart, rounds int)",
		[]string{1: "reads 256 bytes a round.", 4: "reads 256 bytes a round, 64 each at b, b+apart, b+2·apart and b+3·apart."}[streams])
	places := []reg.Register{reg.RAX, reg.RBX, reg.RDX, reg.RSI}[:streams]
	w.Load(w.Param("b"), places[0])
	w.Load(w.Param("apart"), reg.RDI)
	for i := 1; i < streams; i++ {
		w.LEAQ(operand.Mem{Base: places[i-1], Index: reg.RDI, Scale: 1}, places[i])
	}
	sums := set.registers[:4]
	w.loop(func() {
		for i, place := range places {
			for at := 0; at < 256/streams; at += width {
				from, sum := operand.Mem{Base: place, Disp: at}, sums[(at/width+i)%len(sums)]
				if set.lanes == 16 {
					w.VPORD(from, sum, sum)
				} else {
					w.VPOR(from, sum, sum)
				}
			}
		}
		for _, place := range places {
			w.ADDQ(operand.U32(256/streams), place)
		}
	})
	w.end()
}

// tiles writes a loop of four products of tiles a round.
func (w ceilingWriter) tiles(name string, op tileDot) {
	w.begin(name, "func(tiles *[64]byte, data *byte, rounds int)", "multiplies four pairs of tiles a round, of which each is the 1,024 bytes at data.")
	t := tileContext{w.Context}
	w.Load(w.Param("tiles"), reg.RAX)
	t.configure(operand.Mem{Base: reg.RAX})
	w.Load(w.Param("data"), reg.RAX)
	w.MOVQ(operand.U32(64), reg.RDX)
	for i := range tmm(8) {
		if i < 4 {
			t.zero(i)
			continue
		}
		t.load(operand.Mem{Base: reg.RAX, Index: reg.RDX, Scale: 1}, i)
	}
	w.loop(func() {
		for i := range tmm(4) {
			t.dot(op, i, 4+i/2, 6+i%2)
		}
	})
	t.release()
	w.RET()
}
