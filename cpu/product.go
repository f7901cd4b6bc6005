package cpu

// MatMul on packed weights: bands of rows by pieces of panels, each some calls
// of a multiplier and an epilogue.

import (
	"unsafe"

	"github.com/godwit-ml/godwit/cpu/simd"
	"github.com/godwit-ml/godwit/runtime"
)

// multiplier multiplies rows of activations by panels of one format, in one
// arithmetic. The bits of an element of the result depend on its row and its
// column of W alone: neither on the rows beside it nor on how panels are cut.
type multiplier interface {
	// formSize is the size of a row of k activations in the form that multiply
	// takes, bytes, a multiple of 64; 0: F32 as they are.
	formSize(k int) int
	// form writes this form of x to dst.
	form(dst []byte, x []float32)
	// multiply is c[r·ldc+32p+j] = row r of a times row j of panel p, for r < m and
	// p < n. Scratch is the worker's.
	multiply(w *worker, c []float32, ldc int, a activations, m int, panels []byte, k, n int)
}

// activations are rows as a multiplier takes them.
type activations struct {
	f32  []float32 // if the multiplier has no form of its own
	ld   int       // from row to row, elements
	form []byte
	step int // from row to row, bytes
}

// from is the rows from i on.
func (a activations) from(i int) activations {
	if a.form != nil {
		a.form = a.form[i*a.step:]
		return a
	}
	a.f32 = a.f32[i*a.ld:]
	return a
}

const (
	bandRows  = 192  // most rows of a band: with their columns they stay in the second-level cache
	tileFloat = 8192 // most results of a call of multiply, so that they stay in the first
)

// product is the job of one MatMul on a packed weight. A task is a band by a
// piece; tasks that follow each other share the band, whose rows stay in the
// cache while panels stream by.
type product struct {
	picking
	op       *runtime.MatMul
	k        *simd.Kernels
	w        *weight
	x        []float32
	ldx      int
	out, res plane
	bias     plane
	alpha    float32
	fan      int
	groups   int
	n, depth int // columns of a group of Out, and of X
	cuts     []int
	formed   []byte // the forms of the rows of X, group by group
	formSize int
	forming  forming
}

func (j *product) run(d *Device, o *runtime.MatMul, w *weight) error {
	j.op, j.k, j.w, j.alpha, j.fan, j.groups = o, d.k, w, scale(o.Alpha), max(o.Fan, 1), max(o.Groups, 1)
	j.n, j.depth = o.Out.Cols/j.groups, o.X.Cols/j.groups
	parts, experts := 1, 1
	if o.Gated {
		parts = 2
	}
	if !o.Pick.IsZero() {
		experts = o.W.Rows / (parts * j.n)
		if err := checkInts("MatMul", "Pick", o.Pick.I32s(), -1, experts); err != nil {
			return err
		}
	}
	j.x, j.ldx = o.X.F32s(), max(o.X.Stride, o.X.Cols)
	j.out, j.res, j.bias = planeOf(&o.Out), planeOf(&o.Residual), planeOf(&o.Bias)
	if err := j.formRows(&d.pool); err != nil {
		return err
	}
	j.split(o, experts, len(d.pool.workers))
	rows := int64(o.Out.Rows)
	macs := rows * int64(j.depth) * int64(o.Out.Cols) * int64(parts)
	return d.pool.run(j, len(j.bands)*j.groups*(len(j.cuts)-1), macs/16+mapWork(d.k, o.Act, rows*int64(o.Out.Cols)))
}

// formRows brings the rows of X into the form of the multiplier.
func (j *product) formRows(p *pool) error {
	if j.formSize = j.w.mul.formSize(j.depth); j.formSize == 0 {
		return nil
	}
	rows := j.op.X.Rows * j.groups
	j.formed = alignedTo(&j.formed, rows*j.formSize)
	j.forming = forming{j}
	return p.run(&j.forming, rows, int64(rows)*int64(j.depth)/8)
}

// forming is the job of formRows: a group of a row a task.
type forming struct{ *product }

func (j *forming) task(_ *worker, i int) {
	r, g := i/j.groups, i%j.groups
	j.w.mul.form(j.formed[i*j.formSize:][:j.formSize], j.x[r*j.ldx+g*j.depth:][:j.depth])
}

// split cuts the rows into bands and the columns of a group into pieces.
func (j *product) split(o *runtime.MatMul, experts, threads int) {
	j.cut(o, experts, cutBands)
	// Pieces grow smaller towards the end, so that workers end together. Those of few
	// rows are whole fours, since kernels take four panels at once then.
	const most = 16 // panels
	panels := (j.n + simd.Panel - 1) / simd.Panel
	fours := o.Out.Rows <= 3 && panels >= 8*threads
	j.cuts = append(j.cuts[:0], 0)
	for at := 0; at < panels; {
		n := min(max((panels-at)/(4*threads), 1), most)
		if fours {
			n = (n + 3) &^ 3
		}
		at += n
		j.cuts = append(j.cuts, min(at*simd.Panel, j.n))
	}
}

// cutBands appends bands of about equal height: whole tiles but for the last.
func cutBands(bands []band, matrix, from, to int) []band {
	for n := (to - from + bandRows - 1) / bandRows; n > 0; n-- {
		const tile = 32 // of AMX; those of vectors are lower
		height := min(((to-from+n-1)/n+tile-1)/tile*tile, to-from)
		bands = append(bands, band{matrix, from, from + height})
		from += height
	}
	return bands
}

func (j *product) task(w *worker, i int) {
	pieces := len(j.cuts) - 1
	b, col := j.bands[i/(j.groups*pieces)], i%(j.groups*pieces)
	g, from, to := col/pieces, j.cuts[col%pieces], j.cuts[col%pieces+1]
	if b.matrix < 0 {
		j.rest(b, g*j.n+from, to-from)
		return
	}
	m := b.to - b.from
	a := j.operand(w, b, g)
	first := b.matrix * j.n
	if j.op.Gated {
		first *= 2
	}
	first += g * j.n // row of W
	step := max(tileFloat/(m*simd.Panel), 1) * simd.Panel
	for ; from < to; from += step {
		n := min(step, to-from)
		y, ldy := j.multiply(w, &w.tile, a, m, first+from, n)
		var up []float32
		ldu := 0
		if j.op.Gated {
			up, ldu = j.multiply(w, &w.up, a, m, first+j.n+from, n)
		}
		j.epilogue(w, y, ldy, up, ldu, b, g*j.n+from, n)
	}
}

// operand is the rows of X that the band multiplies, of group g.
func (j *product) operand(w *worker, b band, g int) activations {
	m := b.to - b.from
	direct := j.fan == 1 && j.op.Pick.IsZero()
	if j.formSize > 0 {
		step := j.groups * j.formSize
		if direct {
			return activations{form: j.formed[b.from*step+g*j.formSize:], step: step}
		}
		rows := alignedTo(&w.formed, m*j.formSize)
		for r := range m {
			copy(rows[r*j.formSize:][:j.formSize], j.formed[j.row(b.from+r)/j.fan*step+g*j.formSize:])
		}
		return activations{form: rows, step: j.formSize}
	}
	if direct {
		return activations{f32: j.x[b.from*j.ldx+g*j.depth:], ld: j.ldx}
	}
	rows := grow(&w.rows, m*j.depth)
	for r := range m {
		copy(rows[r*j.depth:][:j.depth], j.x[j.row(b.from+r)/j.fan*j.ldx+g*j.depth:])
	}
	return activations{f32: rows, ld: j.depth}
}

// multiply is the products of m rows with n rows of W from first on, in scratch:
// of all panels they touch, from the first wanted column on.
func (j *product) multiply(w *worker, scratch *[]float32, a activations, m, first, n int) (c []float32, ld int) {
	panel := first / simd.Panel
	skip := first - panel*simd.Panel
	panels := (skip + n + simd.Panel - 1) / simd.Panel
	ld = panels * simd.Panel
	c = grow(scratch, m*ld)
	j.w.mul.multiply(w, c, ld, a, m, j.w.panel(panel, panels), j.depth, panels)
	return c[skip:], ld
}

// epilogue makes Residual + Alpha·Act(v + bias), or Residual + Alpha·Act(v +
// bias)·(up + bias), of the rows of a band and n columns, and writes them.
func (j *product) epilogue(w *worker, v []float32, ldv int, up []float32, ldu int, b band, from, n int) {
	r := &w.rowsOf
	*r = simd.Rows{X: v, Mul: up, LdX: ldv, LdMul: ldu, LdOut: j.out.stride, LdAdd: j.res.stride, M: b.to - b.from, N: n, In: 1, Alpha: j.alpha}
	if j.bias.present() {
		if r.Bias = j.bias.row(b.matrix, from, n); up != nil {
			r.MulBias = j.bias.row(b.matrix, j.n+from, n)
		}
	}
	if j.op.Pick.IsZero() {
		j.write(r, b.from, from)
		return
	}
	// Rows that pick a matrix stand anywhere.
	r.M = 1
	for i := b.from; i < b.to; i++ {
		at := i - b.from
		if r.X = v[at*ldv:]; up != nil {
			r.Mul = up[at*ldu:]
		}
		j.write(r, j.row(i), from)
	}
}

// write runs the epilogue for rows of Out from one on.
func (j *product) write(r *simd.Rows, row, from int) {
	if r.Out = j.out.v[row*j.out.stride+from:]; j.res.present() {
		r.Add = j.res.v[row*j.res.stride+from:]
	}
	j.k.Map[j.op.Act](r)
}

// rest writes the rows that pick no matrix.
func (j *product) rest(b band, from, n int) {
	for i := b.from; i < b.to; i++ {
		out := j.out.row(j.row(i), from, n)
		if j.res.present() {
			copy(out, j.res.row(j.row(i), from, n))
		} else {
			clear(out)
		}
	}
}

// alignedTo makes *s at least n bytes long, beginning at a multiple of 64; what
// it held is lost.
func alignedTo(s *[]byte, n int) []byte {
	if cap(*s) < n {
		*s = runtime.AlignedBytes(int64(n + n/4))
	}
	*s = (*s)[:cap(*s)]
	return (*s)[:n]
}

// floatsAt is b as floats.
func floatsAt(b []byte) []float32 {
	if len(b) == 0 {
		return nil // a pointer to no float may point behind its memory
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/4)
}

// bytesOf is v as bytes.
func bytesOf(v []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), len(v)*4)
}
