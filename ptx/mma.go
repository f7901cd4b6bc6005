package ptx

// Tensor cores: ldmatrix and mma.sync. Products are exact and sums are kept
// in float64 and rounded once, which is better than the hardware: results
// agree with a GPU's within the error of its own sums.

import "encoding/binary"

// decodeLdmatrix is ldmatrix: 8×8 matrices of 16-bit elements, a row an
// address; lane l gets elements 2(l mod 4) and the next of row l/4.
func decodeLdmatrix(d *dec) {
	d.need("sync")
	d.need("aligned")
	d.need("m8n8")
	n := map[string]int{"x1": 1, "x2": 2, "x4": 4}[d.need("x1", "x2", "x4")]
	trans := d.has("trans")
	x := &access{n: 16, regs: make([]col, 1)}
	s := d.space("shared", "shared::cta")
	d.typeOf("b16")
	d.operands(2, 2)
	d.aligned()
	x.addr, x.off, x.space = d.address(d.arg(1), s)
	list := []arg{*d.arg(0)}
	if d.arg(0).kind == argVec {
		list = d.arg(0).list
	}
	if len(list) != n {
		d.fail("%d registers, want %d", len(list), n)
	}
	dst := make([]col, n)
	for i := range list {
		dst[i] = d.dst(&list[i], types["b32"])
	}
	d.sharedGrain(spaceShared, 4)
	d.in.exec = func(w *warp, m uint32) {
		a := *x.addresses(w)
		for l := range 8 * n {
			if s, o := window(a[l]); x.space == spaceGeneric && s == spaceShared {
				a[l] = o
			}
			if !w.inside(spaceShared, a[l], 16, len(w.c.shared), l) || !w.noteRead(uint32(a[l]), 16, l, stampAll) {
				return
			}
		}
		if w.counts != nil {
			y := *x
			y.space = spaceShared
			y.account(w, &a, uint32(uint64(1)<<(8*n)-1))
		}
		for i := range n {
			D := &w.r32[dst[i].idx]
			for l := range D {
				if !trans {
					D[l] = binary.LittleEndian.Uint32(w.c.shared[a[8*i+l/4]+uint64(l%4*4):])
					continue
				}
				lo := binary.LittleEndian.Uint16(w.c.shared[a[8*i+l%4*2]+uint64(l/4*2):])
				hi := binary.LittleEndian.Uint16(w.c.shared[a[8*i+l%4*2+1]+uint64(l/4*2):])
				D[l] = uint32(lo) | uint32(hi)<<16
			}
		}
	}
}

// fragment says which lane and element hold entry (row, column) of a matrix.
type fragment struct {
	rows, cols int
	lane       []uint8
	elem       []uint8
}

// fragmentA is the layout of A, m16×k, with g elements of a register side by
// side: lane 4r+c holds rows r and r+8, columns g·c… of each half of k.
func fragmentA(k, g int) fragment {
	f := fragment{rows: 16, cols: k}
	half := 4 * g
	for r := range 16 {
		for c := range k {
			f.lane = append(f.lane, uint8(r%8*4+c%half/g))
			f.elem = append(f.elem, uint8(c/half*2*g+r/8*g+c%g))
		}
	}
	return f
}

// fragmentB is B, k×n8: lane 4c+r/g holds rows of column c.
func fragmentB(k, g int) fragment {
	f := fragment{rows: k, cols: 8}
	half := 4 * g
	for r := range k {
		for c := range 8 {
			f.lane = append(f.lane, uint8(c*4+r%half/g))
			f.elem = append(f.elem, uint8(r/half*g+r%g))
		}
	}
	return f
}

// fragmentC is C and D, m16×n8, two columns a lane.
func fragmentC() fragment {
	f := fragment{rows: 16, cols: 8}
	for r := range 16 {
		for c := range 8 {
			f.lane = append(f.lane, uint8(r%8*4+c/2))
			f.elem = append(f.elem, uint8(r/8*2+c%2))
		}
	}
	return f
}

// decodeMma is mma.sync of the shapes m16n8k16 and m16n8k8 (f16, bf16) and
// m16n8k8 and m16n8k4 (tf32), row.col, accumulating in f32 or f16.
func decodeMma(d *dec) {
	d.need("sync")
	d.need("aligned")
	shape := d.need("m16n8k16", "m16n8k8", "m16n8k4")
	d.need("row")
	d.need("col")
	td := d.typeOf("f32 f16")
	ta := d.typeOf("f16 bf16 tf32")
	tb := d.typ()
	tc := d.typeOf("f32 f16")
	k := map[string]int{"m16n8k16": 16, "m16n8k8": 8, "m16n8k4": 4}[shape]
	switch {
	case ta != tb, ta.kind != 'f' && (td.bits == 16 || tc.bits == 16), ta.kind == 't' && k == 16, ta.kind != 't' && k == 4:
		d.fail("no such combination of shape and types")
	}
	d.operands(4, 4)
	d.aligned()
	g := 32 / ta.bits // elements of a register
	na, nb := 16*k/32/g, 8*k/32/g
	list := func(i, n int, f func(a *arg) col) []col {
		a := d.arg(i)
		args := []arg{*a}
		if a.kind == argVec {
			args = a.list
		}
		if len(args) != n {
			d.fail("operand %d has %d registers, want %d", i+1, len(args), n)
		}
		cols := make([]col, n)
		for j := range args {
			cols[j] = f(&args[j])
		}
		return cols
	}
	count := func(t ptype) int { return 4 * t.bits / 32 }
	src := func(t ptype) func(a *arg) col { return func(a *arg) col { return d.src(a, t) } }
	b32, f32 := types["b32"], types["f32"]
	accum := func(t ptype) ptype {
		if t.bits == 16 {
			return b32
		}
		return f32
	}
	u := &mma{k: k, ta: ta, tc: tc, td: td, fa: fragmentA(k, g), fb: fragmentB(k, g), fc: fragmentC()}
	u.a = list(1, na, src(b32))
	u.b = list(2, nb, src(b32))
	u.c = list(3, count(tc), src(accum(tc)))
	u.d = list(0, count(td), func(a *arg) col { return d.dst(a, accum(td)) })
	d.in.flops = uint16(2 * 16 * 8 * k / warpSize)
	d.in.exec = u.run
}

type mma struct {
	k          int
	ta, tc, td ptype
	fa, fb, fc fragment
	a, b, c, d []col
}

// gather reads a matrix out of the registers of the warp.
func (f *fragment) gather(w *warp, regs []col, t ptype, to []float32) {
	for i := range to {
		lane, e := f.lane[i], int(f.elem[i])
		if t.bits == 32 {
			v := w.c32(regs[e].idx)[lane&31]
			if t.kind == 't' {
				v &^= 0x1fff
			}
			to[i] = f32(v)
			continue
		}
		v := w.c32(regs[e/2].idx)[lane&31] >> (e % 2 * 16) & 0xffff
		if t.kind == 'h' {
			to[i] = bfloatToF32(v)
		} else {
			to[i] = halfToF32(v)
		}
	}
}

func (u *mma) run(w *warp, _ uint32) {
	var A [16 * 16]float32
	var B [16 * 8]float32
	var C [16 * 8]float32
	k := u.k
	u.fa.gather(w, u.a, u.ta, A[:16*k])
	u.fb.gather(w, u.b, u.ta, B[:k*8])
	u.fc.gather(w, u.c, u.tc, C[:])
	for r := range 16 {
		var sum [8]float64
		for i := range k {
			x := float64(A[r*k+i])
			row := B[i*8 : i*8+8]
			for c := range sum {
				sum[c] += x * float64(row[c])
			}
		}
		for c := range sum {
			C[r*8+c] = float32(sum[c] + float64(C[r*8+c]))
		}
	}
	for i, v := range C {
		lane, e := u.fc.lane[i]&31, int(u.fc.elem[i])
		if u.td.bits == 32 {
			w.r32[u.d[e].idx][lane] = canon(v)
			continue
		}
		p := &w.r32[u.d[e/2].idx][lane]
		shift := e % 2 * 16
		*p = *p&^(0xffff<<shift) | halfFrom(float64(v), roundNearest)<<shift
	}
}
