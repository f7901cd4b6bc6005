package cpu

// TopK: the K first of a row in a total order, kept in a heap.

import (
	"math"

	"github.com/godwit-ml/godwit/runtime"
)

// candidate is an element of a row.
type candidate struct {
	value float32
	id    int32
}

// before is the order of results: larger first, NaN last, ties to the lower id.
func (a candidate) before(b candidate) bool {
	switch aNaN, bNaN := a.value != a.value, b.value != b.value; {
	case aNaN || bNaN:
		if aNaN != bNaN {
			return bNaN
		}
	case a.value != b.value:
		return a.value > b.value
	}
	return a.id < b.id
}

// topK is the job of one TopK: a row a task.
type topK struct {
	op                   *runtime.TopK
	x, values, lse, also plane
	ids, wanted          []int32
}

func (j *topK) run(p *pool, o *runtime.TopK) error {
	j.op = o
	j.x, j.values, j.lse, j.also = planeOf(&o.X), planeOf(&o.Values), planeOf(&o.LSE), planeOf(&o.AlsoValue)
	j.ids, j.wanted = o.IDs.I32s(), nil
	if !o.Also.IsZero() {
		j.wanted = o.Also.I32s()
		if err := checkInts("TopK", "Also", j.wanted, -1, o.X.Cols); err != nil {
			return err
		}
	}
	work := int64(o.X.Rows) * int64(o.X.Cols)
	if o.Norm == runtime.SoftmaxAll || j.lse.present() {
		work *= 10
	}
	return p.run(j, o.X.Rows, work)
}

func (j *topK) task(w *worker, r int) {
	o := j.op
	k := o.Values.Cols
	x := j.x.row(r, 0, o.X.Cols)
	for i, id := range j.wanted[r*o.Also.Cols : (r+1)*o.Also.Cols] {
		if id >= 0 {
			j.also.row(r, i, 1)[0] = x[id]
		}
	}
	top := first(grow(&w.heap, k), x)
	peak, sum := 0.0, 0.0
	if o.Norm == runtime.SoftmaxAll || j.lse.present() {
		peak, sum = sumExp(x)
	}
	writeTop(o.Norm, j.values.row(r, 0, k), j.ids[r*k:][:k], j.lse, r, top, peak, sum)
}

// writeTop writes what was found in row r, in order. Peak and sum are the row's
// largest element and Σ exp(x - peak), where they are wanted.
func writeTop(norm runtime.TopKNorm, values []float32, ids []int32, lse plane, r int, top []candidate, peak, sum float64) {
	for i, c := range top {
		values[i], ids[i] = c.value, c.id
	}
	if lse.present() {
		lse.row(r, 0, 1)[0] = float32(peak + math.Log(sum))
	}
	switch norm {
	case runtime.SoftmaxTop:
		peak, sum = sumExp(values)
	case runtime.Raw:
		return
	}
	for i, v := range values {
		values[i] = float32(math.Exp(float64(v)-peak) / sum)
	}
}

// sumExp is the largest of x and Σ exp(x - largest). The sum is 1 where all are
// -Inf, so that their log-sum is -Inf, and NaN where one is NaN.
func sumExp(x []float32) (peak, sum float64) {
	peak = math.Inf(-1)
	for _, v := range x {
		peak = max(peak, float64(v)) // NaN stays
	}
	if math.IsInf(peak, 0) {
		return peak, 1
	}
	for _, v := range x {
		sum += math.Exp(float64(v) - peak)
	}
	return peak, sum
}

// first fills h with the first len(h) elements of x in order.
func first(h []candidate, x []float32) []candidate {
	k := len(h)
	if k == 0 {
		return h
	}
	for i := range h {
		h[i] = candidate{x[i], int32(i)}
	}
	for i := k/2 - 1; i >= 0; i-- {
		sink(h, i)
	}
	for i := k; i < len(x); i++ { // h[0] is the last in order of those kept
		if c := (candidate{x[i], int32(i)}); c.before(h[0]) {
			h[0] = c
			sink(h, 0)
		}
	}
	unheap(h)
	return h
}

// unheap puts a heap in order.
func unheap(h []candidate) {
	for n := len(h) - 1; n > 0; n-- {
		h[0], h[n] = h[n], h[0]
		sink(h[:n], 0)
	}
}

// sink restores the heap below i, whose root is last in order.
func sink(h []candidate, i int) {
	for {
		c := 2*i + 1
		if c >= len(h) {
			return
		}
		if c+1 < len(h) && h[c].before(h[c+1]) {
			c++
		}
		if !h[i].before(h[c]) {
			return
		}
		h[i], h[c] = h[c], h[i]
		i = c
	}
}
