package cpu

// TopK on kernels: rows are searched for what is above the least of those kept,
// which becomes rare soon. A row alone is cut for the workers.

import (
	"math"
	"sync/atomic"

	"github.com/godwit-ml/godwit/cpu/simd"
	"github.com/godwit-ml/godwit/runtime"
)

const (
	topPiece = 8192 // elements of which exponentials are summed at once
	topList  = 256  // found at once
)

// fastTopK is the job of one TopK. A task is some rows, or a span of a row: some
// pieces of it.
type fastTopK struct {
	k                    *simd.Kernels
	op                   *runtime.TopK
	x, values, lse, also plane
	ids, wanted          []int32
	n, count             int  // of a row, and wanted of it
	sums                 bool // whether those of exponentials are wanted
	pieces, spans        int  // of a row
	per                  int  // rows of a task, if a row is one span

	// By row: a number that at least count elements reach, as order gives it.
	bounds []atomic.Uint32
	// By row and span: count each.
	kept   []candidate
	filled []int32
	// By row and piece.
	peaks   []float32
	totals  []float64
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
	j.pieces = tasks(j.n, topPiece)
	for i := range grow(&j.bounds, rows) {
		j.bounds[i].Store(0)
	}
	if j.sums {
		grow(&j.peaks, rows*j.pieces)
		grow(&j.totals, rows*j.pieces)
	}
	work := j.work(int64(rows))
	if j.spans = 1; rows < len(d.pool.workers) && work > 2*workPerThread {
		j.spans = min(2*len(d.pool.workers), j.pieces)
	}
	if j.spans == 1 {
		j.per = rowsPerTask(j.n)
		return d.pool.run(j, tasks(rows, j.per), work)
	}
	grow(&j.kept, rows*j.spans*j.count)
	grow(&j.filled, rows*j.spans)
	if err := d.pool.run(j, rows*j.spans, work); err != nil {
		return err
	}
	j.merging = merging{j}
	return d.pool.run(&j.merging, rows, int64(rows)*int64(100+20*j.count))
}

// work is what the search of rows costs, in the unit of pool.run.
func (j *fastTopK) work(rows int64) int64 {
	elements := rows * int64(j.n)
	work := elements/30 + rows*int64(50+60*j.count)
	if j.k.Path == simd.Portable {
		work += elements / 2
	}
	if j.sums {
		work += mapWork(j.k, runtime.Silu, elements)
	}
	return work
}

func (j *fastTopK) task(w *worker, i int) {
	if j.spans > 1 {
		r, s := i/j.spans, i%j.spans
		kept := j.search(w, j.kept[i*j.count:][:0:j.count], r, s*j.pieces/j.spans, (s+1)*j.pieces/j.spans)
		j.filled[i] = int32(len(kept))
		return
	}
	for r := i * j.per; r < min((i+1)*j.per, j.op.X.Rows); r++ {
		j.finish(r, j.search(w, grow(&w.heap, j.count)[:0], r, 0, j.pieces))
	}
}

// search collects from some pieces of a row, and sums their exponentials.
func (j *fastTopK) search(w *worker, h []candidate, r, from, to int) []candidate {
	for p := from; p < to; p++ {
		at := p * topPiece
		x := j.x.row(r, at, min(topPiece, j.n-at))
		h = j.collect(w, h, x, int32(at), &j.bounds[r])
		if j.sums {
			j.peaks[r*j.pieces+p], j.totals[r*j.pieces+p] = j.sum(w, x)
		}
	}
	return h
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

// collect adds what a piece of a row has to the first count elements of the row in
// order: to a heap, or, while they are fewer, to all there were that may be among
// them. Shared is a number that count elements of the row reach; what does not
// reach it is left out.
func (j *fastTopK) collect(w *worker, h []candidate, x []float32, first int32, shared *atomic.Uint32) []candidate {
	k := j.count
	if k == 0 {
		return h
	}
	bound, bounded := unorder(shared.Load())
	if !bounded && len(h) == 0 {
		if bound, bounded = j.guess(w, x); bounded {
			raise(shared, bound)
		}
	}
	at, limit := 0, math.Nextafter32(bound, float32(math.Inf(-1)))
	if !bounded {
		// The first as they are, and on while NaN is among those kept.
		for ; at < len(x) && (len(h) < k || h[0].value != h[0].value); at++ {
			h = offer(h, k, candidate{x[at], first + int32(at)})
		}
		limit = h[0].value
	}
	list := grow(&w.ids, topList)
	for at < len(x) {
		if len(h) == k && !(h[0].value < limit) && h[0].value == h[0].value {
			limit = h[0].value
		}
		found, seen := j.k.Above(list, x[at:], limit)
		for _, id := range list[:found] {
			i := at + int(id)
			h = offer(h, k, candidate{x[i], first + int32(i)})
		}
		at += seen
	}
	if len(h) == k && h[0].value == h[0].value {
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

// merging is the job that merges the spans of each row.
type merging struct{ *fastTopK }

func (j merging) task(w *worker, r int) {
	h := grow(&w.heap, j.count)[:0]
	for i := r * j.spans; i < (r+1)*j.spans; i++ {
		for _, c := range j.kept[i*j.count:][:j.filled[i]] {
			h = offer(h, j.count, c)
		}
	}
	j.finish(r, h)
}

// finish writes the results of a row: h is the heap of its first.
func (j *fastTopK) finish(r int, h []candidate) {
	o, k, x := j.op, j.count, j.x.row(r, 0, j.n)
	peak, sum := math.Inf(-1), 0.0
	for p := r * j.pieces; j.sums && p < (r+1)*j.pieces; p++ {
		peak, sum = merge(peak, sum, j.peaks[p], j.totals[p])
	}
	if j.wanted != nil {
		for i, id := range j.wanted[r*o.Also.Cols:][:o.Also.Cols] {
			if id >= 0 {
				j.also.row(r, i, 1)[0] = x[id]
			}
		}
	}
	unheap(h)
	writeTop(o.Norm, j.values.row(r, 0, k), j.ids[r*k:][:k], j.lse, r, h, peak, sum)
}
