package cpu

// Attention: for some queries and heads of one sequence, the keys and values
// they may see are gathered side by side; two products and a softmax between.

import (
	"fmt"
	"math"

	"github.com/godwit-ml/godwit/runtime"
)

// attention is the job of one Attention.
type attention struct {
	op            *runtime.Attention
	d, dv         int
	group         int // query heads of a KV head
	heads, splits int // query heads of a task; tasks of a group
	tiles         []queries

	out, q, k, v       plane
	cacheK, cacheV     cacheRows // paged
	kStarts, blocks    []int32
	slopes, sinks      []float32
	keyBias, relBias   plane
	qRel, kRel, probs  plane
	relIndex           []int32
	relCount, relReach int // R, and M
	maxK               int // columns of Probs a head
}

// queries are some rows of one sequence.
type queries struct {
	seq, row, n int // first row of Q, number of rows
	pos, keys   int // position of the first; keys of the sequence
	lo, hi      int // keys that any of them may see
}

func (j *attention) run(p *pool, o *runtime.Attention) error {
	j.op, j.d, j.dv, j.group = o, o.Q.Cols/o.Heads, o.Out.Cols/o.Heads, o.Heads/o.KVHeads
	j.bind(o)
	if err := j.split(o, tileRows); err != nil {
		return err
	}
	if err := j.checkIndices(o); err != nil {
		return err
	}
	// A step of one sequence has few tasks: cut the groups of heads too.
	j.heads = j.group
	for j.heads > 1 && len(j.tiles)*o.Heads/j.heads < 2*len(p.workers) {
		j.heads = (j.heads + 1) / 2
	}
	j.splits = tasks(j.group, j.heads)
	work := int64(0)
	for _, t := range j.tiles {
		work += int64(t.n) * int64(t.hi-t.lo)
	}
	return p.run(j, len(j.tiles)*o.KVHeads*j.splits, work*int64(o.Heads)*int64(10+(j.d+j.dv)/4))
}

// bind takes the host's views of the operands.
func (j *attention) bind(o *runtime.Attention) {
	j.out, j.q = planeOf(&o.Out), planeOf(&o.Q)
	j.kStarts, j.blocks = nil, nil
	if o.Blocks.IsZero() {
		j.k, j.v, j.kStarts = planeOf(&o.K), planeOf(&o.V), o.KStarts.I32s()
	} else {
		j.cacheK, j.cacheV, j.blocks = cacheOf(&o.K), cacheOf(&o.V), o.Blocks.I32s()
	}
	j.slopes, j.sinks = planeOf(&o.Slopes).v, planeOf(&o.Sinks).v
	j.keyBias, j.relBias = planeOf(&o.KeyBias), planeOf(&o.RelBias)
	j.qRel, j.kRel, j.probs = planeOf(&o.QRel), planeOf(&o.KRel), planeOf(&o.Probs)
	j.relIndex, j.relCount, j.relReach = nil, 0, 0
	if !o.RelIndex.IsZero() {
		j.relIndex = o.RelIndex.I32s()
		j.relReach = len(j.relIndex) / 2
	}
	j.maxK = o.Probs.Cols / o.Heads
}

// split cuts the sequences into tiles of some rows and checks the integers that
// say where they lie.
func (j *attention) split(o *runtime.Attention, most int) error {
	j.tiles = j.tiles[:0]
	starts, lens := o.QStarts.I32s(), o.KLens.I32s()
	end := 0
	for n, start := range starts {
		if int(start) < end || int(start) > o.Q.Rows || n == 0 && start < 0 {
			return bad("QStarts", n, start, "want ascending rows of Q, of which there are %d", o.Q.Rows)
		}
		end = int(start)
	}
	for n, l := range lens {
		keys := int(l)
		if err := j.checkKeys(o, n, keys); err != nil {
			return err
		}
		rows := int(starts[n+1] - starts[n])
		for i := 0; i < rows; i += most {
			t := queries{seq: n, row: int(starts[n]) + i, n: min(most, rows-i), pos: keys - rows + i, keys: keys}
			t.lo, _ = j.visible(t.pos, keys)
			_, t.hi = j.visible(t.pos+t.n-1, keys)
			t.hi = max(t.hi, t.lo)
			j.tiles = append(j.tiles, t)
		}
	}
	return j.checkBlocks(o)
}

// visible are the keys lo ≤ j < hi that position pos sees; lo may exceed hi.
func (j *attention) visible(pos, keys int) (lo, hi int) {
	hi = keys
	if l := j.op.Left; l != runtime.Unlimited {
		lo = max(0, pos-l)
	}
	if r := j.op.Right; r != runtime.Unlimited {
		hi = min(keys, pos+min(r, math.MaxInt32)+1)
	}
	return min(lo, keys), hi
}

// checkKeys checks the number and place of the keys of sequence n.
func (j *attention) checkKeys(o *runtime.Attention, n, keys int) error {
	switch {
	case keys < 0:
		return bad("KLens", n, int32(keys), "want no negative number")
	case o.MaxK > 0 && keys > o.MaxK:
		return bad("KLens", n, int32(keys), "want at most MaxK, %d", o.MaxK)
	case j.probs.present() && keys > j.maxK:
		return bad("KLens", n, int32(keys), "want at most what Probs holds, %d", j.maxK)
	case j.keyBias.present() && keys > o.KeyBias.Cols:
		return bad("KLens", n, int32(keys), "want at most what KeyBias holds, %d", o.KeyBias.Cols)
	case j.blocks != nil && keys > o.Blocks.Cols*o.BlockSize:
		return bad("KLens", n, int32(keys), "want at most what the block table holds, %d", o.Blocks.Cols*o.BlockSize)
	case j.kStarts != nil && keys > 0 && (j.kStarts[n] < 0 || int(j.kStarts[n])+keys > o.K.Rows):
		return bad("KStarts", n, j.kStarts[n], "with %d keys, want rows of K, of which there are %d", keys, o.K.Rows)
	}
	return nil
}

// checkBlocks checks the entries of the block table that will be read.
func (j *attention) checkBlocks(o *runtime.Attention) error {
	if j.blocks == nil {
		return nil
	}
	limit := o.K.Rows / o.BlockSize
	for _, t := range j.tiles {
		for b := t.lo / o.BlockSize; b*o.BlockSize < t.hi; b++ {
			i := t.seq*o.Blocks.Cols + b
			if x := j.blocks[i]; x < 0 || int(x) >= limit {
				return outside("Attention", "Blocks", i, x, limit)
			}
		}
	}
	return nil
}

// checkIndices checks RelIndex against what it selects from.
func (j *attention) checkIndices(o *runtime.Attention) error {
	limit := math.MaxInt
	if j.relBias.present() {
		limit = o.RelBias.Rows
	}
	for _, t := range []*runtime.Tensor{&o.QRel, &o.KRel} {
		if !t.IsZero() {
			j.relCount = t.Cols / o.Heads
			limit = min(limit, j.relCount)
		}
	}
	return checkInts("Attention", "RelIndex", j.relIndex, 0, limit)
}

func bad(operand string, i int, v int32, want string, args ...any) error {
	return &runtime.OpError{Op: "Attention", Operand: operand, Reason: fmt.Sprintf("element %d is %d, "+want, append([]any{i, v}, args...)...)}
}

func (j *attention) task(w *worker, i int) {
	part, i := i%j.splits, i/j.splits
	kv, t := i%j.op.KVHeads, &j.tiles[i/j.op.KVHeads]
	n := t.hi - t.lo
	// Rows of keys are padded to 16 bytes, so that a dot product has the same
	// order of summation whichever key the tile begins with.
	ldk := (j.d + 3) &^ 3
	keys, values := grow(&w.keys, n*ldk), grow(&w.values, n*j.dv)
	j.collect(w, t, kv, keys, ldk, values)
	scores := grow(&w.scores, t.n*n)
	first := kv*j.group + part*j.heads
	for h := first; h < min(first+j.heads, (kv+1)*j.group); h++ {
		if n > 0 {
			gemmNT(t.n, n, j.d, j.q.v[t.row*j.q.stride+h*j.d:], j.q.stride, keys, ldk, scores, n)
		}
		for r := range t.n {
			j.softmax(w, scores[r*n:][:n], t, r, h)
		}
		j.weigh(t, h, scores, values)
	}
}

// collect copies the keys and values of one KV head that the tile may see.
func (j *attention) collect(w *worker, t *queries, kv int, keys []float32, ldk int, values []float32) {
	o := j.op
	for i := range t.hi - t.lo {
		k, v := keys[i*ldk:][:j.d], values[i*j.dv:][:j.dv]
		if j.blocks == nil {
			row := int(j.kStarts[t.seq]) + t.lo + i
			copy(k, j.k.row(row, kv*j.d, j.d))
			copy(v, j.v.row(row, kv*j.dv, j.dv))
			continue
		}
		at := t.lo + i
		block := int(j.blocks[t.seq*o.Blocks.Cols+at/o.BlockSize])
		row := block*o.BlockSize + at%o.BlockSize
		j.cacheK.load(k, row, kv*j.d, &w.weights)
		j.cacheV.load(v, row, kv*j.dv, &w.weights)
	}
}

// weigh is Out = scores·values for the tile and head h.
func (j *attention) weigh(t *queries, h int, scores, values []float32) {
	n := t.hi - t.lo
	if n == 0 || j.dv == 0 {
		for r := range t.n {
			clear(j.out.row(t.row+r, h*j.dv, j.dv))
		}
		return
	}
	gemmNN(t.n, j.dv, n, scores, n, values, j.dv, j.out.v[t.row*j.out.stride+h*j.dv:], j.out.stride)
}

// softmax turns the products s of query r of the tile with keys t.lo … t.hi
// into probabilities, zero where the query sees no key. Scores, exponentials
// and their sum are float64.
func (j *attention) softmax(w *worker, s []float32, t *queries, r, h int) {
	lo, hi := j.visible(t.pos+r, t.keys)
	if hi <= lo {
		clear(s)
		return
	}
	clear(s[:lo-t.lo])
	clear(s[hi-t.lo:])
	seen := s[lo-t.lo : hi-t.lo]
	e := grow(&w.exps, len(seen))
	j.bias(e, seen, t, r, h, lo)
	peak := math.Inf(-1)
	for _, x := range e {
		peak = max(peak, x) // NaN stays
	}
	sum := 0.0
	if j.sinks != nil {
		sink := float64(j.sinks[h])
		peak = max(peak, sink)
		sum = math.Exp(sink - peak)
	}
	for i, x := range e {
		e[i] = math.Exp(x - peak)
		sum += e[i]
	}
	for i, x := range e {
		seen[i] = float32(x / sum)
	}
	if j.probs.present() {
		copy(j.probs.row(t.row+r, h*j.maxK+lo, len(seen)), seen)
	}
}

// bias writes scaled, capped and biased scores of keys lo … to e.
func (j *attention) bias(e []float64, s []float32, t *queries, r, h, lo int) {
	o := j.op
	factor := float64(scale(o.Scale))
	for i, x := range s {
		e[i] = factor * float64(x)
	}
	if limit := float64(o.SoftCap); limit != 0 {
		for i, x := range e {
			e[i] = limit * math.Tanh(x/limit)
		}
	}
	distance := lo - (t.pos + r) // of the first key from the query
	if j.slopes != nil {
		slope := float64(j.slopes[h])
		for i := range e {
			e[i] += slope * float64(distance+i)
		}
	}
	if j.keyBias.present() {
		for i, x := range j.keyBias.row(h, lo, len(e)) {
			e[i] += float64(x)
		}
	}
	if j.relIndex != nil {
		relate(j, e, t, r, h, lo, distance)
	}
}

// relate adds the biases that RelIndex selects by distance to the scores of keys
// lo … of query r of the tile and head h.
func relate[E float32 | float64](j *attention, scores []E, t *queries, r, h, lo, distance int) {
	var q []float32
	if j.qRel.present() {
		q = j.qRel.row(t.row+r, h*j.relCount, j.relCount)
	}
	for i := range scores {
		m := min(max(distance+i, -j.relReach), j.relReach) + j.relReach
		index := int(j.relIndex[m])
		if j.relBias.present() {
			scores[i] += E(j.relBias.v[index*j.relBias.stride+h])
		}
		if q != nil {
			scores[i] += E(q[index])
		}
		if j.kRel.present() {
			scores[i] += E(j.kRel.row(int(j.kStarts[t.seq])+lo+i, h*j.relCount+index, 1)[0])
		}
	}
}
