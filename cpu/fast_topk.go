package cpu

// TopK on kernels: rows are cut into pieces, and pieces are searched for what is
// above the least of those kept, which becomes rare soon.

import (
	"math"
	"sync/atomic"

	"github.com/godwit-ml/godwit/cpu/simd"
	"github.com/godwit-ml/godwit/runtime"
)

const (
	topPiece = 8192 // elements of a piece; sums of exponentials are those of pieces
	topMost  = 256  // most elements wanted of a row that is searched in pieces
	topList  = 256  // found at once
)

// fastTopK is the job of one TopK: a piece of a row a task, or some whole rows.
type fastTopK struct {
	k                    *simd.Kernels
	op                   *runtime.TopK
	x, values, lse, also plane
	ids, wanted          []int32
	n, count             int  // of a row, and wanted of it
	sums                 bool // whether those of exponentials are
	pieces               int  // of a row, if its pieces are tasks; else 0
	per                  int  // whole rows of a task

	// By row and piece.
	kept   []candidate // count of each
	filled []int32
	peaks  []float32
	totals []float64
	// By row: a number that at least count elements reach, as order gives it.
	bounds  []atomic.Uint32
	merging merging
}

func (j *fastTopK) run(d *Device, o *runtime.TopK) error {
	j.k, j.op = d.k, o
	j.x, j.values, j.lse, j.also = planeOf(&o.X), planeOf(&o.Values), planeOf(&o.LSE), planeOf(&o.AlsoValue)
	j.ids, j.wanted = o.IDs.I32s(), nil
	if !o.Also.IsZero() {
		j.wanted = o.Also.I32s()
		if err := checkInts("TopK", "Also", j.wanted, -1, o.X.Cols); err != nil {
			return err
		}
	}
	rows := o.X.Rows
	j.n, j.count = o.X.Cols, o.Values.Cols
	j.sums = o.Norm == runtime.SoftmaxAll || j.lse.present()
	work := rowWork(d.k, int64(rows)*int64(j.n))
	if j.sums {
		work += mapWork(d.k, runtime.Silu, int64(rows)*int64(j.n))
	}
	if j.pieces = 0; j.n <= topPiece || j.count > topMost {
		j.per = rowsPerTask(j.n)
		return d.pool.run(j, tasks(rows, j.per), work+int64(rows)*int64(50+20*j.count))
	}
	j.pieces = tasks(j.n, topPiece)
	all := rows * j.pieces
	grow(&j.kept, all*j.count)
	grow(&j.filled, all)
	grow(&j.peaks, all)
	grow(&j.totals, all)
	for i := range grow(&j.bounds, rows) {
		j.bounds[i].Store(0)
	}
	if err := d.pool.run(j, all, work); err != nil {
		return err
	}
	j.merging = merging{j}
	return d.pool.run(&j.merging, rows, int64(rows)*int64(200+20*j.count))
}

func (j *fastTopK) task(w *worker, i int) {
	if j.pieces > 0 {
		r, p := i/j.pieces, i%j.pieces
		from := p * topPiece
		x := j.x.row(r, from, min(topPiece, j.n-from))
		kept := j.collect(w, j.kept[i*j.count:][:0:j.count], x, int32(from), &j.bounds[r])
		j.filled[i] = int32(len(kept))
		if j.sums {
			j.peaks[i], j.totals[i] = j.sum(w, x)
		}
		return
	}
	for r := i * j.per; r < min((i+1)*j.per, j.op.X.Rows); r++ {
		x := j.x.row(r, 0, j.n)
		peak, sum := math.Inf(-1), 0.0
		for from := 0; j.sums && from < j.n; from += topPiece {
			p, s := j.sum(w, x[from:min(from+topPiece, j.n)])
			peak, sum = merge(peak, sum, p, s)
		}
		j.finish(r, j.collect(w, grow(&w.heap, j.count)[:0], x, 0, nil), peak, sum)
	}
}

// sum is the largest element, and Σ e^(x-largest).
func (j *fastTopK) sum(w *worker, x []float32) (peak float32, sum float64) {
	peak = j.k.Max(x)
	if peak != peak || math.IsInf(float64(peak), 0) {
		return peak, 1
	}
	return peak, j.k.ExpSum(grow(&w.rows, len(x)), x, peak)
}

// merge adds a piece to the largest and the sum of the pieces before it. The sum
// is 1 where all are -Inf, so that their log-sum is -Inf.
func merge(peak, sum float64, p float32, s float64) (float64, float64) {
	next := max(peak, float64(p)) // NaN stays
	if math.IsInf(next, 0) || next != next {
		return next, 1
	}
	return next, sum*math.Exp(peak-next) + s*math.Exp(float64(p)-next)
}

// collect appends the first count elements of a piece in order to h, or fewer: all
// of a smaller piece, or those that reach the bound. What is full is a heap.
func (j *fastTopK) collect(w *worker, h []candidate, x []float32, first int32, shared *atomic.Uint32) []candidate {
	k := j.count
	if k == 0 {
		return h
	}
	at, limit := 0, float32(0)
	bound, bounded := float32(0), false
	if shared != nil {
		bound, bounded = unorder(shared.Load())
	}
	if !bounded {
		bound, bounded = j.guess(w, x)
	}
	if bounded {
		limit = math.Nextafter32(bound, float32(math.Inf(-1)))
	} else {
		// The first as they are, and on while NaN is among those kept.
		for ; at < len(x) && (len(h) < k || h[0].value != h[0].value); at++ {
			h = offer(h, k, candidate{x[at], first + int32(at)})
		}
		if len(h) == k {
			limit = h[0].value
		}
	}
	list := grow(&w.ids, topList)
	for at < len(x) {
		found, seen := j.k.Above(list, x[at:], limit)
		for _, id := range list[:found] {
			i := at + int(id)
			h = offer(h, k, candidate{x[i], first + int32(i)})
		}
		if at += seen; len(h) == k {
			limit = max(limit, h[0].value)
		}
	}
	if shared != nil && len(h) == k && h[0].value == h[0].value {
		raise(shared, h[0].value)
	}
	return h
}

// guess is a number that at least count elements of x reach: the least of the
// count largest among the largest of so many parts. It is none where x is short.
func (j *fastTopK) guess(w *worker, x []float32) (float32, bool) {
	parts := max(2*j.count, 8)
	size := len(x) / parts
	if size < 32 {
		return 0, false
	}
	h := grow(&w.peaks, j.count)[:0]
	for p := range parts {
		peak := j.k.Max(x[p*size:][:size])
		if peak != peak {
			return 0, false
		}
		h = offer(h, j.count, candidate{peak, int32(p)})
	}
	bound := h[0].value
	return bound, !math.IsInf(float64(bound), -1)
}

// order maps floats to numbers above 0 in the same order.
func order(x float32) uint32 {
	bits := math.Float32bits(x)
	if bits>>31 == 1 {
		return ^bits
	}
	return bits | 1<<31
}

// unorder is the float of a number from order, and whether it is one to begin with.
func unorder(v uint32) (float32, bool) {
	switch {
	case v <= order(float32(math.Inf(-1))):
		return 0, false
	case v>>31 == 1:
		return math.Float32frombits(v &^ (1 << 31)), true
	}
	return math.Float32frombits(^v), true
}

// raise makes the bound at least x.
func raise(bound *atomic.Uint32, x float32) {
	for v := order(x); ; {
		have := bound.Load()
		if have >= v || bound.CompareAndSwap(have, v) {
			return
		}
	}
}

// offer keeps the first k of what it is given, in a heap as soon as they are k.
func offer(h []candidate, k int, c candidate) []candidate {
	switch {
	case len(h) < k:
		if h = append(h, c); len(h) == k {
			for i := k/2 - 1; i >= 0; i-- {
				sink(h, i)
			}
		}
	case c.before(h[0]):
		h[0] = c
		sink(h, 0)
	}
	return h
}

// merging is the job that merges the pieces of each row.
type merging struct{ *fastTopK }

func (j merging) task(w *worker, r int) {
	h := grow(&w.heap, j.count)[:0]
	peak, sum := math.Inf(-1), 0.0
	for i := r * j.pieces; i < (r+1)*j.pieces; i++ {
		if j.sums {
			peak, sum = merge(peak, sum, j.peaks[i], j.totals[i])
		}
		for _, c := range j.kept[i*j.count:][:j.filled[i]] {
			h = offer(h, j.count, c)
		}
	}
	j.finish(r, h, peak, sum)
}

// finish writes the results of a row: h is the heap of its first.
func (j *fastTopK) finish(r int, h []candidate, peak, sum float64) {
	o, k, x := j.op, j.count, j.x.row(r, 0, j.n)
	if j.wanted != nil {
		for i, id := range j.wanted[r*o.Also.Cols:][:o.Also.Cols] {
			if id >= 0 {
				j.also.row(r, i, 1)[0] = x[id]
			}
		}
	}
	for n := k - 1; n > 0; n-- {
		h[0], h[n] = h[n], h[0]
		sink(h[:n], 0)
	}
	values := j.values.row(r, 0, k)
	for i, c := range h {
		values[i], j.ids[r*k+i] = c.value, c.id
	}
	if j.lse.present() {
		j.lse.row(r, 0, 1)[0] = float32(peak + math.Log(sum))
	}
	switch o.Norm {
	case runtime.SoftmaxTop:
		peak, sum = sumExp(values)
	case runtime.Raw:
		return
	}
	for i, v := range values {
		values[i] = float32(math.Exp(float64(v)-peak) / sum)
	}
}
