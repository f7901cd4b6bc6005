package cpu

// Attention of the fast device. Keys come in spans of 256: for each, two products
// with a softmax between, whose largest score is the span's own; spans are merged
// in ascending order.

import (
	"math"
	"slices"
	"sync/atomic"

	"github.com/godwit-ml/godwit/cpu/simd"
	"github.com/godwit-ml/godwit/quant"
	"github.com/godwit-ml/godwit/runtime"
)

// fastAttention is the job of one Attention. A task is a tile, some queries of a
// sequence with all query heads of one KV head, and some spans of their keys.
//
// The rows of a tile are its queries, and of each the heads. The bits of a row
// depend on its own query and on which keys it sees, nothing else: each product
// sums in ascending order, each span by itself.
type fastAttention struct {
	attention
	kernel *simd.Kernels
	step   int     // rows that are brought through a span at once
	panels int     // of 32 features of values
	wide   int     // their features
	mixed  bool    // scores are more than scaled products
	factor float32 // of scores, in powers of 2
	keys   cacheBlocks
	values cacheBlocks
	direct *simd.Direct // for few rows; nil where there is none

	pieces   []piece
	shares   []share
	partials []float32
}

// piece is a task: spans from ≤ s < to of a tile and a KV head.
type piece struct {
	tile, kv, from, to int32
	share              int32 // of the tile and head, -1 if the piece has all spans
}

// share is a tile and head that several pieces work on; the last to end merges.
type share struct {
	left  atomic.Int32
	at    int // partials of the first span
	first int // that span
	spans int
}

// attending is a worker's scratch for attention.
type attending struct {
	memory    []byte
	s         []float32 // [16][Span]
	q         []float32 // queries, ldq floats from row to row
	ldq       int
	copied    []float32 // [rows][d], if they do not lie so
	part      []float32 // [16][wide]
	state     []float32 // acc, peak and sum
	acc       []float32 // [rows][wide]
	keys      []float32 // panels [Span/32][d][32]
	values    []float32 // panels [wide/32][Span][32]
	peak, sum []float32 // of a row
	peaks     []float32 // of a row and span, for Probs
	rows      simd.Seen

	// Of direct products: where groups of keys and of values lie, and the keys of what
	// comes next.
	at, valueAt, ahead [simd.Span / simd.Lanes]int
}

const (
	attentionRows = 384 // most rows of a tile, about: with a span of keys and values they stay in the second-level cache
	leastRows     = 48
	fewRows       = 32 // most rows of a tile whose spans are shared out
)

func (j *fastAttention) run(d *Device, o *runtime.Attention) error {
	j.op, j.kernel, j.d, j.dv, j.group = o, d.k, o.Q.Cols/o.Heads, o.Out.Cols/o.Heads, o.Heads/o.KVHeads
	j.bind(o)
	if err := j.split(o, j.queriesOfTile(o, len(d.pool.workers))); err != nil {
		return err
	}
	if err := j.checkIndices(o); err != nil {
		return err
	}
	j.step = simd.SpanRows / j.kernel.Height * j.kernel.Height
	j.panels = (j.dv + simd.Panel - 1) / simd.Panel
	j.wide = j.panels * simd.Panel
	j.mixed = !(o.Scale >= 0) || o.SoftCap != 0 || j.slopes != nil || j.keyBias.present() || j.relIndex != nil
	j.factor = math.Log2E
	if !j.mixed {
		j.factor *= scale(o.Scale)
	}
	j.direct = nil
	if j.blocks != nil {
		j.keys.bind(&o.K, o.BlockSize, o.KVHeads, true)
		j.values.bind(&o.V, o.BlockSize, o.KVHeads, false)
		j.direct = j.directKernels()
	}
	j.cut(o, len(d.pool.workers))
	work := int64(0)
	for i := range j.tiles {
		work += int64(j.tiles[i].n) * int64(j.tiles[i].hi-j.tiles[i].lo)
	}
	return d.pool.run(j, len(j.pieces), work*int64(o.Heads)*int64(4+(j.d+j.dv)/16)/4)
}

// queriesOfTile is how many queries a tile has at most: fewer where all threads
// would not have work else. It changes no bit.
func (j *fastAttention) queriesOfTile(o *runtime.Attention, threads int) int {
	rows := attentionRows
	for rows > leastRows && threads > 1 && o.Q.Rows*o.Heads < 4*threads*rows {
		rows /= 2
	}
	return max(rows/j.group, 1)
}

// directKernels are those for the order of the cache; nil if there are none.
func (j *fastAttention) directKernels() *simd.Direct {
	if !j.keys.ordered || !j.values.ordered || j.dv%simd.Lanes != 0 || j.d%2 != 0 {
		return nil
	}
	switch j.op.K.DType {
	case runtime.F32:
		return j.kernel.DirectF32
	case runtime.F16:
		return j.kernel.DirectF16
	case runtime.BF16:
		return j.kernel.DirectBF16
	case quant.Q8_0:
		if j.d%q8Block == 0 {
			return j.kernel.DirectQ8
		}
	}
	return nil
}

// cut makes the pieces: long ones first, so that workers end together, and spans
// of their own where there would be fewer than a few a worker.
func (j *fastAttention) cut(o *runtime.Attention, threads int) {
	j.pieces, j.shares = j.pieces[:0], j.shares[:0]
	long := 0
	for i := range j.tiles {
		long = max(long, j.tiles[i].n)
	}
	if long > 1 {
		slices.SortStableFunc(j.tiles, func(a, b queries) int { return b.n*(b.hi-b.lo) - a.n*(a.hi-a.lo) })
	}
	whole, wanted, at := len(j.tiles)*o.KVHeads, 4*threads, 0
	for i := range j.tiles {
		t := &j.tiles[i]
		first, end := t.lo/simd.Span, (t.hi+simd.Span-1)/simd.Span
		each := end - first // spans of a piece
		if threads > 1 && whole < wanted && t.n*j.group <= fewRows {
			pieces := min((wanted+whole-1)/whole, each)
			each = (each + max(pieces, 1) - 1) / max(pieces, 1)
		}
		for kv := range o.KVHeads {
			p := piece{tile: int32(i), kv: int32(kv), from: int32(first), to: int32(end), share: -1}
			if each >= end-first {
				j.pieces = append(j.pieces, p)
				continue
			}
			p.share = int32(len(j.shares))
			j.shares = append(j.shares, share{at: at, first: first, spans: end - first})
			at += (end - first) * j.partial(t)
			for from := first; from < end; from += each {
				p.from, p.to = int32(from), int32(min(from+each, end))
				j.pieces = append(j.pieces, p)
				j.shares[p.share].left.Add(1)
			}
		}
	}
	if at > 0 {
		j.partials = floatsFor(&j.partials, at)
	}
}

// partial is how many floats a span of a tile leaves: of each row its sums, peak,
// and sum of exponentials.
func (j *fastAttention) partial(t *queries) int { return j.padded(t) * (j.wide + 2) }

// padded is the number of rows of a tile, to whole calls.
func (j *fastAttention) padded(t *queries) int {
	return (t.n*j.group + simd.SpanRows - 1) / simd.SpanRows * simd.SpanRows
}

func (j *fastAttention) task(w *worker, i int) {
	p := &j.pieces[i]
	t, a := &j.tiles[p.tile], &w.attending
	j.prepare(a, t)
	j.fetchQueries(a, t, int(p.kv))
	if p.share >= 0 {
		sh := &j.shares[p.share]
		for s := int(p.from); s < int(p.to); s++ {
			j.span(w, t, int(p.kv), s, j.partials[sh.at+(s-sh.first)*j.partial(t):][:j.partial(t)])
		}
		if sh.left.Add(-1) == 0 {
			j.start(a, t, int(p.kv))
			for s := range sh.spans {
				j.mergeAll(a, t, s, j.partials[sh.at+s*j.partial(t):][:j.partial(t)])
			}
			j.finish(a, t, int(p.kv))
		}
		return
	}
	if p.to-p.from == 1 && j.sinks == nil { // what it leaves is all there is
		j.span(w, t, int(p.kv), int(p.from), a.state)
		j.finish(a, t, int(p.kv))
		return
	}
	j.start(a, t, int(p.kv))
	for s := int(p.from); s < int(p.to); s++ {
		j.span(w, t, int(p.kv), s, nil)
	}
	j.finish(a, t, int(p.kv))
}

// prepare makes the scratch for a tile.
func (j *fastAttention) prepare(a *attending, t *queries) {
	rows, copied, peaks := j.padded(t), 0, 0
	if j.group > 1 && t.n > 1 {
		copied = rows * j.d
	}
	if j.probs.present() {
		peaks = rows * ((t.hi+simd.Span-1)/simd.Span - t.lo/simd.Span)
	}
	// Each begins at a multiple of 64 bytes: rows are a multiple of 16.
	v := floatsAt(alignedTo(&a.memory, 4*(copied+simd.SpanRows*(simd.Span+j.wide)+simd.Span*(j.d+j.wide)+peaks+rows*(j.wide+2))))
	take := func(n int) []float32 {
		part := v[:n:n]
		v = v[n:]
		return part
	}
	a.copied, a.s, a.part = take(copied), take(simd.SpanRows*simd.Span), take(simd.SpanRows*j.wide)
	a.keys, a.values, a.peaks = take(simd.Span*j.d), take(simd.Span*j.wide), take(peaks)
	a.state = v
	a.acc, a.peak, a.sum = take(rows*j.wide), take(rows), take(rows)
}

// fetchQueries finds the queries of the tile, row by row. Heads of a group lie side
// by side: rows are at equal distances if there is one head, or one query.
func (j *fastAttention) fetchQueries(a *attending, t *queries, kv int) {
	n := j.group * j.d
	switch {
	case j.group == 1:
		a.q, a.ldq = j.q.v[t.row*j.q.stride+kv*n:], j.q.stride
	case t.n == 1:
		a.q, a.ldq = j.q.row(t.row, kv*n, n), j.d
	default:
		a.q, a.ldq = a.copied, j.d
		for i := range t.n {
			copy(a.q[i*n:][:n], j.q.row(t.row+i, kv*n, n))
		}
	}
}

// start sets what rows have before their first key: nothing, or a sink.
func (j *fastAttention) start(a *attending, t *queries, kv int) {
	rows := t.n * j.group
	clear(a.acc[:rows*j.wide])
	for i := range rows {
		a.peak[i], a.sum[i] = float32(math.Inf(-1)), 0
		if j.sinks == nil {
			continue
		}
		sink := float64(j.sinks[kv*j.group+i%j.group]) * math.Log2E
		peak := float32(sink)
		switch {
		case sink != sink:
			a.sum[i] = peak
		case !math.IsInf(sink, -1):
			a.peak[i], a.sum[i] = peak, float32(math.Exp2(sink-float64(peak)))
		}
	}
}

// sight is the keys of a span that rows of a tile see.
type sight struct {
	from, to int  // some row sees them
	even     bool // and all rows
}

// look sets what the m rows from first on see of the span at base.
func (j *fastAttention) look(r *simd.Seen, t *queries, first, m, base int) sight {
	g := sight{from: simd.Span, even: true}
	for i := 0; i < m; {
		lo, hi := j.visible(t.pos+(first+i)/j.group, t.keys)
		lo, hi = max(lo-base, 0), min(hi-base, simd.Span)
		if lo >= hi {
			lo, hi = 0, 0
		} else {
			g.from, g.to = min(g.from, lo), max(g.to, hi)
		}
		if i > 0 && (int(r.From[i-1]) != lo || int(r.To[i-1]) != hi) {
			g.even = false
		}
		end := min(m, i+j.group-(first+i)%j.group) // of the rows of this query
		if j.op.Left == runtime.Unlimited && j.op.Right == runtime.Unlimited {
			end = m
		}
		for ; i < end; i++ {
			r.From[i], r.To[i] = int32(lo), int32(hi)
		}
	}
	return g
}

// span brings the rows of a tile through one span: merged into what a has of
// them, or, if partial is there, put there.
func (j *fastAttention) span(w *worker, t *queries, kv, s int, partial []float32) {
	a, base := &w.attending, s*simd.Span
	lo, hi := max(t.lo, base)-base, min(t.hi, base+simd.Span)-base
	direct := j.direct != nil && t.n == 1
	if direct {
		j.locate(a, t, kv, base, lo, hi)
		j.lookAhead(a, t, kv, base+simd.Span)
	} else {
		j.collect(w, t, kv, base, lo, hi)
	}
	rows, checked, clean := t.n*j.group, false, false
	for first := 0; first < rows; first += j.step {
		m := min(j.step, rows-first)
		r, part := &a.rows, a.part
		if partial != nil {
			part = partial[first*j.wide:]
		}
		g := j.look(r, t, first, m, base)
		if g.from >= g.to {
			for i := range m {
				r.Peak[i], r.Sum[i] = float32(math.Inf(-1)), 0
			}
			if partial != nil {
				clear(part[:m*j.wide])
			}
		} else {
			j.score(w, t, kv, first, m, base, g, direct)
			switch {
			case direct:
				j.direct.Weigh(part, j.wide, a.s, j.dv, m, j.values.bytes, a.valueAt[:], g.from, g.to, j.keys.bytes, a.ahead[:])
			default:
				if !g.even && !checked {
					clean, checked = j.allFinite(a, lo, hi), true
				}
				j.weighRows(a, part, m, g, g.even || clean)
			}
			if partial == nil {
				j.kernel.Merge(a.acc[first*j.wide:], part, j.wide, a.peak[first:], a.sum[first:], r, m)
			}
		}
		if partial != nil {
			state := partial[j.padded(t)*j.wide:]
			copy(state[first:], r.Peak[:m])
			copy(state[j.padded(t)+first:], r.Sum[:m])
		}
	}
}

// mergeAll merges span number s of the tile, which was put aside.
func (j *fastAttention) mergeAll(a *attending, t *queries, s int, partial []float32) {
	rows, padded := t.n*j.group, j.padded(t)
	state := partial[padded*j.wide:]
	if spans := len(a.peaks) / padded; spans > 0 { // another worker may have kept them
		for i := range rows {
			a.peaks[i*spans+s] = state[i]
		}
	}
	for first := 0; first < rows; first += j.step {
		m := min(j.step, rows-first)
		copy(a.rows.Peak[:m], state[first:])
		copy(a.rows.Sum[:m], state[padded+first:])
		j.kernel.Merge(a.acc[first*j.wide:], partial[first*j.wide:], j.wide, a.peak[first:], a.sum[first:], &a.rows, m)
	}
}

// score makes exponentials of the m rows from first on with the keys of a span.
func (j *fastAttention) score(w *worker, t *queries, kv, first, m, base int, g sight, direct bool) {
	a := &w.attending
	if direct {
		from, to := g.from/simd.Lanes, (g.to+simd.Lanes-1)/simd.Lanes
		j.direct.Dot(a.s[from*simd.Lanes:], a.q[first*a.ldq:], j.d, m, j.keys.bytes, a.at[from:to], j.values.bytes, a.valueAt[from:to])
	} else {
		from, to := g.from/simd.Panel, (g.to+simd.Panel-1)/simd.Panel
		for i := 0; i < m; i += j.kernel.Height {
			j.kernel.MulF32(a.s[i*simd.Span+from*simd.Panel:], simd.Span, a.q[(first+i)*a.ldq:], a.ldq, a.keys[from*simd.Panel*j.d:], j.d, min(j.kernel.Height, m-i), to-from, false)
		}
	}
	if j.mixed {
		for i := range m {
			if from, to := int(a.rows.From[i]), int(a.rows.To[i]); from < to {
				j.bias(w, a.s[i*simd.Span:][from:to], t, (first+i)/j.group, kv*j.group+(first+i)%j.group, base+from)
			}
		}
	}
	j.kernel.Soften(a.s, g.from&^63, (g.to+15)&^15, j.factor, &a.rows, m)
	if j.probs.present() {
		j.keepProbs(a, t, kv, first, m, base)
	}
}

// weighRows is part = exponentials·values. Where rows see different keys, the
// exponentials of those they do not see are zero, which counts for nothing as long
// as values are finite.
func (j *fastAttention) weighRows(a *attending, part []float32, m int, g sight, together bool) {
	height := j.kernel.Height
	if !together {
		height = 1
	}
	for i := 0; i < m; i += height {
		n, from, to := min(height, m-i), g.from, g.to
		if !together {
			from, to = int(a.rows.From[i]), int(a.rows.To[i])
		}
		for p := range j.panels {
			j.kernel.MulF32(part[i*j.wide+p*simd.Panel:], j.wide, a.s[i*simd.Span+from:], simd.Span, a.values[(p*simd.Span+from)*simd.Panel:], to-from, n, 1, false)
		}
	}
}

// allFinite reports whether the values of keys lo ≤ j < hi of the span are.
func (j *fastAttention) allFinite(a *attending, lo, hi int) bool {
	for p := range j.panels {
		if !j.kernel.Finite(a.values[(p*simd.Span+lo)*simd.Panel : (p*simd.Span+hi)*simd.Panel]) {
			return false
		}
	}
	return true
}

// finish divides by the sums of exponentials and writes the rows of Out.
func (j *fastAttention) finish(a *attending, t *queries, kv int) {
	for i := range t.n {
		lo, hi := j.visible(t.pos+i, t.keys)
		for g := range j.group {
			row, h := i*j.group+g, kv*j.group+g
			out := j.out.row(t.row+i, h*j.dv, j.dv)
			if lo >= hi {
				clear(out)
				continue
			}
			j.kernel.Divide(out, a.acc[row*j.wide:][:j.dv], a.sum[row])
			if j.probs.present() {
				j.finishProbs(a, t, row, h, lo, hi)
			}
		}
	}
}

// keepProbs writes the exponentials to Probs, and keeps the largest score.
func (j *fastAttention) keepProbs(a *attending, t *queries, kv, first, m, base int) {
	spans := len(a.peaks) / j.padded(t)
	for i := range m {
		row := first + i
		from, to := int(a.rows.From[i]), int(a.rows.To[i])
		copy(j.probs.row(t.row+row/j.group, (kv*j.group+row%j.group)*j.maxK+base+from, to-from), a.s[i*simd.Span+from:])
		a.peaks[row*spans+base/simd.Span-t.lo/simd.Span] = a.rows.Peak[i]
	}
}

// finishProbs turns exponentials of keys lo ≤ j < hi into probabilities.
func (j *fastAttention) finishProbs(a *attending, t *queries, row, h, lo, hi int) {
	spans := len(a.peaks) / j.padded(t)
	for at := lo; at < hi; {
		s := at / simd.Span
		end := min((s+1)*simd.Span, hi)
		factor := float32(math.Exp2(float64(a.peaks[row*spans+s-t.lo/simd.Span])-float64(a.peak[row])) / float64(a.sum[row]))
		p := j.probs.row(t.row+row/j.group, h*j.maxK+at, end-at)
		for i := range p {
			p[i] *= factor
		}
		at = end
	}
}

// bias turns products s of query r of the tile and head h with the keys from key
// on into scores.
func (j *fastAttention) bias(w *worker, s []float32, t *queries, r, h, key int) {
	o := j.op
	factor, distance := scale(o.Scale), key-(t.pos+r)
	if o.SoftCap != 0 {
		w.rowsOf = simd.Rows{X: s, Out: s, M: 1, N: len(s), In: factor / o.SoftCap, Alpha: o.SoftCap}
		j.kernel.Map[simd.Tanh](&w.rowsOf)
		factor = 1
	}
	slope := float32(0)
	if j.slopes != nil {
		slope = j.slopes[h]
	}
	if slope != 0 || factor != 1 {
		j.kernel.Slope(s, factor, slope, distance)
	}
	if j.keyBias.present() {
		for i, x := range j.keyBias.row(h, key, len(s)) {
			s[i] += x
		}
	}
	if j.relIndex != nil {
		relate(&j.attention, s, t, r, h, key, distance)
	}
}

// floatsFor makes *s at least n floats long, beginning at a multiple of 64 bytes;
// what it held is lost.
func floatsFor(s *[]float32, n int) []float32 {
	if cap(*s) < n {
		*s = floatsAt(runtime.AlignedBytes(int64(n+n/4) * 4))
	}
	return (*s)[:n]
}
