package cpu

// The operations that work on rows by themselves, on kernels: Gather, Norm,
// Pointwise, RoPE and Combine. Their cost is given to pool.run as it was measured,
// so that one token's rows stay on the caller.

import (
	"unsafe"

	"github.com/godwit-ml/godwit/cpu/simd"
	"github.com/godwit-ml/godwit/runtime"
)

// The functions of package simd are in the order of runtime's.
var _ = [1]struct{}{}[runtime.Sigmoid-runtime.Fn(simd.Sigmoid)+runtime.Gelu-runtime.Fn(simd.Gelu)]

// mapWork is what an elementwise function of n elements costs, in the unit of
// pool.run.
func mapWork(k *simd.Kernels, f runtime.Fn, n int64) int64 {
	simple := f <= runtime.Relu
	switch {
	case k.Path == simd.Portable && simple:
		return 2 * n
	case k.Path == simd.Portable:
		return 8 * n
	case simple:
		return n / 8
	case k.Path == simd.AVX2:
		return n
	}
	return n / 2
}

// rowWork is what reading n elements and a little arithmetic with each cost.
func rowWork(k *simd.Kernels, n int64) int64 {
	if k.Path == simd.Portable {
		return 4 * n
	}
	return n / 12
}

// fastGather is the job of one Gather.
type fastGather struct {
	k     *simd.Kernels
	op    *runtime.Gather
	ids   []int32
	table matrix
	half  []uint16 // the table's elements, if they are F16 or BF16 and aligned
	step  int      // from row to row of half
	out   plane
	scale float32
	per   int
}

// run gathers from o.Table, or from another table that stands for it.
func (j *fastGather) run(d *Device, o *runtime.Gather, table *runtime.Tensor) error {
	j.k, j.op, j.ids, j.table, j.out, j.scale = d.k, o, o.IDs.I32s(), viewOf(table), planeOf(&o.Out), scale(o.Scale)
	if err := checkInts("Gather", "IDs", j.ids, 0, table.Rows); err != nil {
		return err
	}
	j.half = nil
	if b := table.Bytes(); (table.DType == runtime.F16 || table.DType == runtime.BF16) && len(b) > 1 && uintptr(unsafe.Pointer(unsafe.SliceData(b)))%2 == 0 {
		j.half, j.step = unsafe.Slice((*uint16)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/2), int(table.StrideBytes()/2)
	}
	j.per = rowsPerTask(o.Out.Cols)
	n := int64(o.Out.Rows) * int64(o.Out.Cols)
	if table.DType.BlockSize() > 1 {
		n *= 6
	}
	return d.pool.run(j, tasks(o.Out.Rows, j.per), rowWork(d.k, n)+20*int64(o.Out.Rows))
}

func (j *fastGather) task(w *worker, i int) {
	n := j.op.Out.Cols
	for r := i * j.per; r < min((i+1)*j.per, len(j.ids)); r++ {
		out, row := j.out.row(r, 0, n), j.row(w, int(j.ids[r]), n)
		if j.scale == 1 && !j.op.Add {
			copy(out, row)
			continue
		}
		w.rowsOf = simd.Rows{X: row, Out: out, M: 1, N: n, In: 1, Alpha: j.scale}
		if j.op.Add {
			w.rowsOf.Add = out
		}
		j.k.Map[simd.Identity](&w.rowsOf)
	}
}

// row is a row of the table in F32.
func (j *fastGather) row(w *worker, id, n int) []float32 {
	if j.table.dtype == runtime.F32 {
		return j.table.f32[id*j.table.stride:][:n]
	}
	row := grow(&w.weights, n)
	switch {
	case j.half == nil:
		j.table.decode(row, id)
	case j.table.dtype == runtime.F16:
		j.k.FromF16(row, j.half[id*j.step:][:n])
	default:
		j.k.FromBF16(row, j.half[id*j.step:][:n])
	}
	return row
}

// fastNorm is the job of one Norm.
type fastNorm struct {
	k      *simd.Kernels
	r      simd.NormRows // of the whole operand: rows are parts of rows
	rows   int           // of the operand
	groups int
	per    int
}

func (j *fastNorm) run(d *Device, o *runtime.Norm) error {
	j.k, j.rows, j.groups = d.k, o.X.Rows, max(o.Groups, 1)
	n := o.X.Cols / j.groups
	out, x, weight, bias := planeOf(&o.Out), planeOf(&o.X), planeOf(&o.Weight), planeOf(&o.Bias)
	j.r = simd.NormRows{X: x.v, Out: out.v, Weight: weight.v, Bias: bias.v, LdX: x.stride, LdOut: out.stride, N: n,
		Share: 1 / float64(n), Eps: float64(o.Eps), Centred: o.Kind == runtime.LayerNorm}
	if o.Kind == runtime.L2Norm {
		j.r.Share, j.r.Eps, j.r.Least = 1, 0, float64(o.Eps)
	}
	j.per = rowsPerTask(o.X.Cols)
	return d.pool.run(j, tasks(j.rows, j.per), 2*rowWork(d.k, int64(j.rows)*int64(o.X.Cols))+int64(15*j.rows*j.groups))
}

func (j *fastNorm) task(w *worker, i int) {
	from, to := i*j.per, min((i+1)*j.per, j.rows)
	r := &w.normRows
	*r = j.r
	if j.groups == 1 {
		r.X, r.Out, r.M = r.X[from*r.LdX:], r.Out[from*r.LdOut:], to-from
		j.k.Norm(r)
		return
	}
	r.LdX, r.LdOut, r.M = r.N, r.N, j.groups
	for ; from < to; from++ {
		r.X, r.Out = j.r.X[from*j.r.LdX:], j.r.Out[from*j.r.LdOut:]
		j.k.Norm(r)
	}
}

// fastPointwise is the job of one Pointwise. Long rows are cut too: the soft-cap
// of logits is one row of the whole vocabulary.
type fastPointwise struct {
	k          *simd.Kernels
	f          runtime.Fn
	r          simd.Rows // of the whole operands
	rows, cols int       // of a task
	across     int       // tasks a row is cut into
}

func (j *fastPointwise) run(d *Device, o *runtime.Pointwise) error {
	out, x, mul, add := planeOf(&o.Out), planeOf(&o.X), vectorOf(&o.Mul), vectorOf(&o.Add)
	j.k, j.f = d.k, o.F
	j.r = simd.Rows{X: x.v, Out: out.v, Mul: mul.v, Add: add.v, LdX: x.stride, LdOut: out.stride, LdMul: mul.stride, LdAdd: add.stride,
		M: o.X.Rows, N: o.X.Cols, In: scale(o.In), Alpha: scale(o.Scale)}
	j.rows, j.cols = rowsPerTask(o.X.Cols), min(chunk, max(o.X.Cols, 1))
	j.across = tasks(o.X.Cols, j.cols)
	return d.pool.run(j, tasks(o.X.Rows, j.rows)*j.across, mapWork(d.k, o.F, int64(o.X.Rows)*int64(o.X.Cols)))
}

func (j *fastPointwise) task(w *worker, i int) {
	row, col := i/j.across*j.rows, i%j.across*j.cols
	w.rowsOf = block(j.r, row, col, min(j.rows, j.r.M-row), min(j.cols, j.r.N-col))
	j.k.Map[j.f](&w.rowsOf)
}

// block is m rows of n columns of r, from a row and a column on.
func block(r simd.Rows, row, col, m, n int) simd.Rows {
	r.X, r.Out = r.X[row*r.LdX+col:], r.Out[row*r.LdOut+col:]
	if r.Mul != nil {
		r.Mul = r.Mul[row*r.LdMul+col:]
	}
	if r.Add != nil {
		r.Add = r.Add[row*r.LdAdd+col:]
	}
	r.M, r.N = m, n
	return r
}

// fastRoPE is the job of one RoPE.
type fastRoPE struct {
	op          *runtime.RoPE
	rotate      func(x, cos, sin []float32, heads, headDim int)
	x, cos, sin plane
	rows        []int32
	heads, per  int
}

func (j *fastRoPE) run(d *Device, o *runtime.RoPE) error {
	j.op, j.x, j.cos, j.sin, j.rows = o, planeOf(&o.X), planeOf(&o.Cos), planeOf(&o.Sin), o.Rows.I32s()
	if err := checkInts("RoPE", "Rows", j.rows, 0, o.Cos.Rows); err != nil {
		return err
	}
	if j.heads = o.X.Cols / o.HeadDim; j.heads == 0 {
		return nil
	}
	if j.rotate = d.k.RoPE; o.Interleaved {
		j.rotate = d.k.RoPEPairs
	}
	j.per = rowsPerTask(o.X.Cols)
	return d.pool.run(j, tasks(o.X.Rows, j.per), rowWork(d.k, int64(o.X.Rows)*int64(o.X.Cols))+20*int64(o.X.Rows))
}

func (j *fastRoPE) task(_ *worker, i int) {
	half := j.op.Cos.Cols
	for r := i * j.per; r < min((i+1)*j.per, j.op.X.Rows); r++ {
		angle := int(j.rows[r])
		j.rotate(j.x.row(r, 0, j.op.X.Cols), j.cos.row(angle, 0, half), j.sin.row(angle, 0, half), j.heads, j.op.HeadDim)
	}
}

// fastCombine is the job of one Combine.
type fastCombine struct {
	k                    *simd.Kernels
	op                   *runtime.Combine
	out, x, weights, res plane
	per                  int
}

func (j *fastCombine) run(d *Device, o *runtime.Combine) error {
	j.k, j.op = d.k, o
	j.out, j.x, j.weights, j.res = planeOf(&o.Out), planeOf(&o.X), planeOf(&o.Weights), planeOf(&o.Residual)
	j.per = rowsPerTask(o.Out.Cols * max(o.Weights.Cols, 1))
	return d.pool.run(j, tasks(o.Out.Rows, j.per), rowWork(d.k, int64(o.X.Rows)*int64(o.X.Cols)))
}

func (j *fastCombine) task(_ *worker, i int) {
	n, k := j.op.Out.Cols, j.op.Weights.Cols
	for r := i * j.per; r < min((i+1)*j.per, j.op.Out.Rows); r++ {
		var res []float32
		if j.res.present() {
			res = j.res.row(r, 0, n)
		}
		j.k.Combine(j.out.row(r, 0, n), j.x.v[r*k*j.x.stride:], j.x.stride, j.weights.row(r, 0, k), res)
	}
}
