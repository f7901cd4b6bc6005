package cpu

// The operations that work on rows by themselves: Gather, Norm, Pointwise, RoPE
// and Combine.

import (
	"math"

	"github.com/godwit-ml/godwit/runtime"
)

// chunk is how many elements a task of these operations has, about.
const chunk = 4096

// rowsPerTask is how many rows of cols elements make a chunk.
func rowsPerTask(cols int) int { return max(1, chunk/max(cols, 1)) }

// tasks is how many tasks of per rows there are.
func tasks(rows, per int) int { return (rows + per - 1) / per }

// plane is an F32 operand.
type plane struct {
	v      []float32
	stride int
}

func planeOf(t *runtime.Tensor) plane {
	if t.IsZero() {
		return plane{}
	}
	return plane{t.F32s(), max(t.Stride, t.Cols)}
}

// vectorOf is an operand of one row that is used for all rows.
func vectorOf(t *runtime.Tensor) plane {
	p := planeOf(t)
	if t.Rows == 1 {
		p.stride = 0
	}
	return p
}

func (p plane) present() bool { return p.v != nil }

// row is elements from … from+n of row i.
func (p plane) row(i, from, n int) []float32 { return p.v[i*p.stride+from:][:n] }

// gather is the job of one Gather.
type gather struct {
	op    *runtime.Gather
	ids   []int32
	table matrix
	out   plane
	scale float32
	per   int
}

func (j *gather) run(p *pool, o *runtime.Gather) error {
	j.op, j.ids, j.table, j.out, j.scale = o, o.IDs.I32s(), viewOf(&o.Table), planeOf(&o.Out), scale(o.Scale)
	if err := checkInts("Gather", "IDs", j.ids, 0, o.Table.Rows); err != nil {
		return err
	}
	j.per = rowsPerTask(o.Out.Cols)
	return p.run(j, tasks(o.Out.Rows, j.per), int64(o.Out.Rows)*int64(o.Out.Cols))
}

func (j *gather) task(w *worker, i int) {
	d := j.op.Out.Cols
	for r := i * j.per; r < min((i+1)*j.per, len(j.ids)); r++ {
		out, id := j.out.row(r, 0, d), int(j.ids[r])
		var row []float32
		if j.table.dtype == runtime.F32 {
			row = j.table.f32[id*j.table.stride:][:d]
		} else {
			row = grow(&w.weights, d)
			j.table.decode(row, id)
		}
		for c, x := range row {
			if j.scale != 1 {
				x *= j.scale
			}
			if j.op.Add {
				x += out[c]
			}
			out[c] = x
		}
	}
}

// norm is the job of one Norm. Statistics are float64 and take two passes: the
// mean, then the squares of distances from it.
type norm struct {
	op                   *runtime.Norm
	out, x, weight, bias plane
	groups, n, per       int
}

func (j *norm) run(p *pool, o *runtime.Norm) error {
	j.op, j.groups = o, max(o.Groups, 1)
	j.n = o.X.Cols / j.groups
	j.out, j.x, j.weight, j.bias = planeOf(&o.Out), planeOf(&o.X), planeOf(&o.Weight), planeOf(&o.Bias)
	j.per = rowsPerTask(o.X.Cols)
	return p.run(j, tasks(o.X.Rows, j.per), 4*int64(o.X.Rows)*int64(o.X.Cols))
}

func (j *norm) task(_ *worker, i int) {
	for r := i * j.per; r < min((i+1)*j.per, j.op.X.Rows); r++ {
		for g := range j.groups {
			j.part(j.out.row(r, g*j.n, j.n), j.x.row(r, g*j.n, j.n))
		}
	}
}

// part normalises one part of a row.
func (j *norm) part(out, x []float32) {
	mean, inverse := j.statistics(x)
	for c, v := range x {
		y := (float64(v) - mean) * inverse
		if j.weight.present() {
			y *= float64(j.weight.v[c])
		}
		if j.bias.present() {
			y += float64(j.bias.v[c])
		}
		out[c] = float32(y)
	}
}

// statistics is what to subtract from x, and then what to multiply by.
func (j *norm) statistics(x []float32) (mean, inverse float64) {
	n, eps := float64(len(x)), float64(j.op.Eps)
	if j.op.Kind == runtime.LayerNorm {
		for _, v := range x {
			mean += float64(v)
		}
		mean /= n
	}
	squares := 0.0
	for _, v := range x {
		d := float64(v) - mean
		squares += d * d
	}
	if j.op.Kind == runtime.L2Norm {
		return 0, 1 / max(math.Sqrt(squares), eps)
	}
	return mean, 1 / math.Sqrt(squares/n+eps)
}

// pointwise is the job of one Pointwise. Long rows are cut too: the soft-cap of
// logits is one row of the whole vocabulary.
type pointwise struct {
	op               *runtime.Pointwise
	out, x, mul, add plane
	in, scale        float32
	rows, cols       int // of a task
	across           int // tasks a row is cut into
}

func (j *pointwise) run(p *pool, o *runtime.Pointwise) error {
	j.op, j.in, j.scale = o, scale(o.In), scale(o.Scale)
	j.out, j.x, j.mul, j.add = planeOf(&o.Out), planeOf(&o.X), vectorOf(&o.Mul), vectorOf(&o.Add)
	j.rows, j.cols = rowsPerTask(o.X.Cols), min(chunk, max(o.X.Cols, 1))
	j.across = tasks(o.X.Cols, j.cols)
	elements := int64(o.X.Rows) * int64(o.X.Cols)
	return p.run(j, tasks(o.X.Rows, j.rows)*j.across, elements*(1+work(o.F)))
}

func (j *pointwise) task(w *worker, i int) {
	from := i % j.across * j.cols
	n := min(j.cols, j.op.X.Cols-from)
	v := grow(&w.rows, n)
	first := i / j.across * j.rows
	for r := first; r < min(first+j.rows, j.op.X.Rows); r++ {
		for c, x := range j.x.row(r, from, n) {
			v[c] = j.in * x
		}
		apply(j.op.F, v)
		if j.scale != 1 {
			for c := range v {
				v[c] *= j.scale
			}
		}
		if j.mul.present() {
			for c, x := range j.mul.row(r, from, n) {
				v[c] *= x
			}
		}
		if j.add.present() {
			for c, x := range j.add.row(r, from, n) {
				v[c] += x
			}
		}
		copy(j.out.row(r, from, n), v)
	}
}

// rope is the job of one RoPE.
type rope struct {
	op          *runtime.RoPE
	x, cos, sin plane
	rows        []int32
	per         int
}

func (j *rope) run(p *pool, o *runtime.RoPE) error {
	j.op, j.x, j.cos, j.sin, j.rows = o, planeOf(&o.X), planeOf(&o.Cos), planeOf(&o.Sin), o.Rows.I32s()
	if err := checkInts("RoPE", "Rows", j.rows, 0, o.Cos.Rows); err != nil {
		return err
	}
	j.per = rowsPerTask(o.X.Cols)
	return p.run(j, tasks(o.X.Rows, j.per), 2*int64(o.X.Rows)*int64(o.X.Cols))
}

func (j *rope) task(_ *worker, i int) {
	half := j.op.Cos.Cols
	for r := i * j.per; r < min((i+1)*j.per, j.op.X.Rows); r++ {
		angle := int(j.rows[r])
		cos, sin := j.cos.row(angle, 0, half), j.sin.row(angle, 0, half)
		for at := 0; at < j.op.X.Cols; at += j.op.HeadDim {
			x := j.x.row(r, at, j.op.HeadDim)
			first, second, step := 0, half, 1
			if j.op.Interleaved {
				second, step = 1, 2
			}
			for c := range half {
				a, b := float64(x[first]), float64(x[second])
				co, si := float64(cos[c]), float64(sin[c])
				x[first] = float32(a*co - b*si)
				x[second] = float32(b*co + a*si)
				first, second = first+step, second+step
			}
		}
	}
}

// combine is the job of one Combine.
type combine struct {
	op                   *runtime.Combine
	out, x, weights, res plane
	per                  int
}

func (j *combine) run(p *pool, o *runtime.Combine) error {
	j.op = o
	j.out, j.x, j.weights, j.res = planeOf(&o.Out), planeOf(&o.X), planeOf(&o.Weights), planeOf(&o.Residual)
	j.per = rowsPerTask(o.Out.Cols)
	return p.run(j, tasks(o.Out.Rows, j.per), int64(o.X.Rows)*int64(o.X.Cols))
}

func (j *combine) task(w *worker, i int) {
	d, k := j.op.Out.Cols, j.op.Weights.Cols
	sum := grow(&w.exps, d)
	for r := i * j.per; r < min((i+1)*j.per, j.op.Out.Rows); r++ {
		clear(sum)
		for e, weight := range j.weights.row(r, 0, k) {
			for c, x := range j.x.row(r*k+e, 0, d) {
				sum[c] += float64(weight) * float64(x)
			}
		}
		out := j.out.row(r, 0, d)
		if j.res.present() {
			for c, x := range j.res.row(r, 0, d) {
				sum[c] += float64(x)
			}
		}
		for c, s := range sum {
			out[c] = float32(s)
		}
	}
}
