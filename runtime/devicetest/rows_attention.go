package devicetest

// Rows of Attention, StoreKV and CopyBlocks. A cache is filled by StoreKV and
// read by Attention, as what lies in it is the device's own affair.

import (
	"fmt"
	"math"

	"github.com/godwit-ml/godwit/runtime"
)

// sequence is one sequence of a step: queries, and keys with the new ones.
type sequence struct{ queries, keys int }

// scene describes a step of attention.
type scene struct {
	name           string
	heads, kv      int // 0: 1
	d, dv          int // of a head; dv 0: d
	seqs           []sequence
	padding        int           // rows after the last sequence
	left, right    int           //
	scale, cap     float32       //
	loud           float64       // deviation of the queries; 0: 1
	block          int           // tokens of a block; 0: contiguous keys
	dtype          runtime.DType // of the cache
	slopes, keys   bool          // Slopes, KeyBias
	reach          int           // M of RelIndex
	rel, qrel, krl bool          // RelBias, QRel, KRel
	sinks, probs   bool          //
	limit          float64       // 0: that of the cache's type
	nan            bool          // some output is NaN
	change         func(c *Case, o *runtime.Attention)
}

const (
	all     = runtime.Unlimited
	buckets = 5 // R
)

// mixed is a step of everything at once: decoding, chunks, whole prompts, and a
// sequence that is only there to fill the batch.
var mixed = []sequence{{1, 37}, {7, 20}, {16, 16}, {0, 0}, {1, 1}, {5, 64}}

func attentionScenes() []scene {
	s := []scene{
		{name: "one query, one key", d: 1, seqs: []sequence{{1, 1}}, left: all},
		{name: "causal", heads: 2, kv: 2, d: 7, seqs: []sequence{{9, 9}}, left: all, scale: 0.4},
		{name: "encoder", heads: 3, kv: 3, d: 8, seqs: []sequence{{5, 5}, {1, 1}, {12, 12}}, left: all, right: all, scale: 0.35},
		{name: "mixed step", heads: 4, kv: 2, d: 16, seqs: mixed, padding: 3, left: all, scale: 0.25},
		{name: "groups of three heads, values longer than keys", heads: 6, kv: 2, d: 5, dv: 9, seqs: mixed, left: all, scale: 0.5},
		{name: "one KV head, values shorter than keys", heads: 4, kv: 1, d: 12, dv: 3, seqs: mixed, padding: 1, left: all},
		{name: "cross attention, more queries than keys", heads: 2, kv: 2, d: 6, seqs: []sequence{{20, 5}, {1, 9}, {3, 1}}, left: all, right: all},
		{name: "queries without keys", heads: 2, kv: 1, d: 6, seqs: []sequence{{3, 0}, {2, 4}, {6, 3}}, left: all},
		{name: "more than a tile", heads: 2, kv: 1, d: 10, seqs: []sequence{{130, 300}, {1, 300}}, left: all, scale: 0.3},
		{name: "heads of 80", heads: 3, kv: 1, d: 80, seqs: mixed, left: all, scale: 0.1},
		{name: "heads of 128", heads: 4, kv: 2, d: 128, seqs: mixed, left: all, scale: 0.09, probs: true},
		{name: "heads of 256, values of 64", heads: 2, kv: 1, d: 256, dv: 64, seqs: []sequence{{9, 9}, {1, 66}}, left: all, scale: 0.06},
		{name: "itself alone", heads: 2, kv: 2, d: 4, seqs: []sequence{{6, 6}, {2, 9}}},
		{name: "window of 8", heads: 2, kv: 2, d: 6, seqs: mixed, left: 7, scale: 0.4, probs: true},
		{name: "window of 16", heads: 2, kv: 1, d: 6, seqs: []sequence{{40, 40}, {1, 16}, {1, 17}, {1, 33}, {3, 34}}, left: 15, scale: 0.4},
		{name: "window both ways", heads: 2, kv: 2, d: 6, seqs: []sequence{{21, 21}, {3, 9}, {80, 80}}, left: 3, right: 2, scale: 0.4, probs: true},
		{name: "future alone", heads: 1, kv: 1, d: 6, seqs: []sequence{{9, 9}}, left: 0, right: all},
		{name: "window beyond the keys", heads: 1, kv: 1, d: 6, seqs: mixed, left: 1000, right: 1000},
		{name: "window that sees nothing", heads: 1, kv: 1, d: 4, seqs: []sequence{{9, 2}}, left: 1, right: 1},
		{name: "soft-cap", heads: 2, kv: 1, d: 8, seqs: mixed, left: all, cap: 5, loud: 4, scale: 0.5},
		{name: "soft-cap before biases", heads: 2, kv: 1, d: 8, seqs: mixed, left: all, cap: 3, loud: 4, scale: 0.5, slopes: true, keys: true, probs: true},
		// Without subtracting the largest score, exponentials overflow.
		{name: "huge scores", heads: 2, kv: 2, d: 16, seqs: mixed, left: all, loud: 300, limit: 1e-6},
		{name: "hugely negative scores", heads: 1, kv: 1, d: 4, seqs: []sequence{{4, 9}}, left: all, limit: 1e-6, slopes: true,
			change: func(c *Case, o *runtime.Attention) {
				for j := range 4 {
					for i := range o.Q.Rows {
						c.poke(o.Q, i, j, -200)
					}
				}
			}},
		{name: "slopes", heads: 6, kv: 6, d: 4, seqs: mixed, padding: 2, left: all, slopes: true, scale: 0.5},
		{name: "slopes in a window", heads: 2, kv: 1, d: 4, seqs: mixed, left: 9, slopes: true, scale: 0.5, probs: true},
		// slope·j for slope·(j-i) rounds at 2^13·slope.
		{name: "slopes far from the first key", heads: 1, kv: 1, d: 4, seqs: []sequence{{2, 8200}}, left: all, slopes: true, limit: 1e-11,
			change: func(c *Case, o *runtime.Attention) { c.poke(o.Slopes, 0, 0, 0.7071067811865476) }},
		{name: "a bias a key", heads: 3, kv: 1, d: 6, seqs: mixed, left: all, keys: true, scale: 0.5},
		{name: "a bias a key, both ways", heads: 3, kv: 3, d: 6, seqs: []sequence{{5, 5}, {9, 9}}, left: all, right: all, keys: true, probs: true},
		{name: "relative bias", heads: 3, kv: 1, d: 6, seqs: mixed, left: all, rel: true, reach: 12},
		{name: "relative bias, both ways", heads: 4, kv: 4, d: 6, seqs: []sequence{{23, 23}, {6, 6}}, left: all, right: all, rel: true, reach: 9, probs: true},
		{name: "relative bias, reach 0", heads: 1, kv: 1, d: 3, seqs: []sequence{{3, 3}}, left: all, right: all, rel: true, reach: 0},
		{name: "sinks", heads: 4, kv: 2, d: 6, seqs: mixed, left: all, sinks: true, scale: 0.5, probs: true},
		{name: "sinks in a window, some alone", heads: 2, kv: 2, d: 6, seqs: []sequence{{9, 3}, {20, 30}}, left: 4, sinks: true},
		{name: "sinks above all scores", heads: 2, kv: 1, d: 6, seqs: mixed, left: all, sinks: true,
			change: func(c *Case, o *runtime.Attention) { c.poke(o.Sinks, 0, 0, 30); c.poke(o.Sinks, 0, 1, 100) }},
		{name: "distributions", heads: 4, kv: 2, d: 6, seqs: mixed, padding: 2, left: all, probs: true, scale: 0.5},
		{name: "pooling: queries of zeros", heads: 1, kv: 1, d: 33, seqs: []sequence{{1, 12}, {1, 1}, {1, 70}}, left: all, right: all,
			change: func(c *Case, o *runtime.Attention) {
				for i := range o.Q.Rows {
					for j := range o.Q.Cols {
						c.poke(o.Q, i, j, 0)
					}
				}
			}},
		{name: "NaN in one head of one query", heads: 2, kv: 1, d: 4, seqs: []sequence{{5, 5}, {3, 3}}, left: all, nan: true,
			change: func(c *Case, o *runtime.Attention) { c.poke(o.Q, 3, 1, math.NaN()) }},
	}
	return s
}

// contiguousScenes have operands that go with contiguous keys only.
func contiguousScenes() []scene {
	short := []sequence{{23, 23}, {6, 6}, {1, 1}}
	return []scene{
		{name: "relative bias by content", heads: 2, kv: 2, d: 6, seqs: short, padding: 2, left: all, right: all, qrel: true, krl: true, reach: 7, scale: 0.2, probs: true},
		{name: "relative bias by content of queries", heads: 3, kv: 1, d: 6, seqs: short, left: all, right: all, qrel: true, reach: 7},
		{name: "relative bias by content of keys", heads: 3, kv: 1, d: 6, seqs: short, left: all, right: all, krl: true, reach: 7},
		{name: "all relative biases, cap, causal", heads: 2, kv: 1, d: 6, seqs: mixed, left: all, rel: true, qrel: true, krl: true, reach: 3, cap: 4},
		{name: "keys shared by sequences", heads: 2, kv: 1, d: 6, seqs: []sequence{{2, 9}, {3, 7}}, left: all,
			change: func(c *Case, o *runtime.Attention) {
				first := int32(c.of(o.KStarts).flat(0))
				o.KStarts = c.ints(first, first+1)
			}},
		{name: "NaN in a later key", heads: 2, kv: 2, d: 4, seqs: []sequence{{6, 6}}, left: all, nan: true,
			change: func(c *Case, o *runtime.Attention) {
				c.poke(o.K, 4+int(c.of(o.KStarts).flat(0)), 5, math.NaN())
				c.poke(o.V, 4+int(c.of(o.KStarts).flat(0)), 7, math.NaN())
			}},
	}
}

func attentionRows() []Row {
	var rows []Row
	for _, s := range append(attentionScenes(), contiguousScenes()...) {
		rows = append(rows, s.row())
	}
	// Every scene that may, over blocks: of the usual size, and of odd ones that
	// go round.
	for i, s := range attentionScenes() {
		name := s.name
		for _, block := range []int{16, []int{5, 1, 3}[i%3]} {
			s.block, s.name = block, fmt.Sprintf("%s, blocks of %d", name, block)
			rows = append(rows, s.row())
		}
	}
	return rows
}

func (s scene) row() Row {
	r := Row{Op: "Attention", Name: s.name, DType: s.dtype, Limit: s.limit, NaN: s.nan, build: s.build}
	if r.Limit == 0 {
		r.Limit = cacheLimit(s.dtype)
	}
	return r
}

// build makes the operands of the scene and its operations.
func (s scene) build(c *Case) {
	s.heads, s.kv = max(s.heads, 1), max(s.kv, 1)
	if s.dv == 0 {
		s.dv = s.d
	}
	loud := s.loud
	if loud == 0 {
		loud = 1
	}
	starts, lens, rows, most, longest := []int32{0}, []int32{}, 0, 0, 0
	for _, q := range s.seqs {
		rows += q.queries
		most, longest = max(most, q.queries), max(longest, q.keys)
		starts, lens = append(starts, int32(rows)), append(lens, int32(q.keys))
	}
	rows += s.padding
	o := &runtime.Attention{
		Out: c.stale(rows, s.heads*s.dv), Q: c.normal(rows, s.heads*s.d, 0, loud),
		Heads: s.heads, KVHeads: s.kv, Scale: s.scale, SoftCap: s.cap, Left: s.left, Right: s.right,
		QStarts: c.ints(starts...), KLens: c.ints(lens...), MaxQ: most, MaxK: longest,
	}
	if s.block == 0 {
		s.contiguous(c, o)
	} else {
		s.paged(c, o, longest)
	}
	s.biases(c, o, longest)
	if s.change != nil {
		s.change(c, o)
	}
	c.do(o)
	c.same = append(c.same, func() { o.MaxQ += 9 })
	if limit := s.bound(o, longest); limit > longest {
		c.same = append(c.same, func() { o.MaxK = limit })
	}
}

// bound is the largest MaxK that the operands allow.
func (s scene) bound(o *runtime.Attention, longest int) int {
	limit := longest + 100
	if s.block > 0 {
		limit = min(limit, o.Blocks.Cols*s.block)
	}
	if s.probs {
		limit = min(limit, o.Probs.Cols/o.Heads)
	}
	if s.keys {
		limit = min(limit, o.KeyBias.Cols)
	}
	return limit
}

// contiguous lays the keys of the sequences in another order than the
// sequences, with rows of NaN between.
func (s scene) contiguous(c *Case, o *runtime.Attention) {
	const gap = 2
	at, kStarts := gap, make([]int32, len(s.seqs))
	for n := len(s.seqs) - 1; n >= 0; n-- {
		kStarts[n] = int32(at)
		at += s.seqs[n].keys + gap
	}
	used := make([]bool, at)
	for n, q := range s.seqs {
		for j := range q.keys {
			used[int(kStarts[n])+j] = true
		}
	}
	value := func(i, _ int) float64 {
		if !used[i] {
			return math.NaN()
		}
		return c.rng.NormFloat64()
	}
	o.K, o.V = c.fill(at, s.kv*s.d, value), c.fill(at, s.kv*s.dv, value)
	o.KStarts = c.ints(kStarts...)
}

// paged stores the keys of all sequences into shuffled blocks of a poisoned
// cache. Entries of the block table that no key needs are out of range.
func (s scene) paged(c *Case, o *runtime.Attention, longest int) {
	width, total, tokens := (longest+s.block-1)/s.block+2, 3, 0
	for _, q := range s.seqs {
		total += (q.keys + s.block - 1) / s.block
		tokens += q.keys
	}
	free := c.rng.Perm(total)
	blocks, slots := make([]int32, len(s.seqs)*width), []int32{}
	for n, q := range s.seqs {
		for b := range width {
			blocks[n*width+b] = math.MaxInt32
			if b*s.block < q.keys {
				blocks[n*width+b], free = int32(free[0]), free[1:]
			}
		}
		for j := range q.keys {
			slots = append(slots, blocks[n*width+j/s.block]*int32(s.block)+int32(j%s.block))
		}
	}
	// A row that is skipped in the middle, and one at the end, hold NaN.
	const skipped = 2
	slots = append(slots, -1)
	middle := len(slots) / 2
	slots = append(slots[:middle], append([]int32{-1}, slots[middle:]...)...)
	value := func(i, _ int) float64 {
		if slots[i] < 0 {
			return math.NaN()
		}
		return c.rng.NormFloat64()
	}
	poison := byte(0xff) // NaN in every type of cache
	if s.heads%2 == 0 {
		poison = 0x7b // 1e36 in F32 and BF16, 6e4 in F16
	}
	o.K, o.V = c.cache(s.dtype, total*s.block, s.kv*s.d, poison), c.cache(s.dtype, total*s.block, s.kv*s.dv, poison)
	o.Blocks, o.BlockSize = c.table(len(s.seqs), width, blocks), s.block
	c.do(&runtime.StoreKV{
		K: c.fill(tokens+skipped, s.kv*s.d, value), V: c.fill(tokens+skipped, s.kv*s.dv, value),
		CacheK: o.K, CacheV: o.V, Slots: c.ints(slots...), KVHeads: s.kv, BlockSize: s.block,
	})
}

// biases makes the operands that are added to scores.
func (s scene) biases(c *Case, o *runtime.Attention, longest int) {
	if s.slopes {
		o.Slopes = c.fill(1, s.heads, func(_, h int) float64 { return math.Exp2(-float64(h+1) * 1.3) })
	}
	if s.keys {
		o.KeyBias = c.normal(s.heads, longest+3, 0, 1)
	}
	if s.rel || s.qrel || s.krl {
		o.RelIndex = c.ints(c.draw(2*s.reach+1, 0, buckets)...)
	}
	if s.rel {
		o.RelBias = c.normal(buckets, s.heads, 0, 1)
	}
	if s.qrel {
		o.QRel = c.normal(o.Q.Rows, s.heads*buckets, 0, 1)
	}
	if s.krl {
		o.KRel = c.normal(o.K.Rows, s.heads*buckets, 0, 1)
	}
	if s.sinks {
		o.Sinks = c.normal(1, s.heads, 0, 2)
	}
	if s.probs {
		o.Probs = c.uniform(o.Q.Rows, s.heads*(longest+2), 0, 0)
	}
}

// cacheRows are the rows of StoreKV and CopyBlocks.
func cacheRows() []Row {
	var rows []Row
	for _, dtype := range cacheTypes {
		for _, block := range []int{1, 5, 16} {
			s := scene{name: fmt.Sprintf("blocks of %d", block), heads: 4, kv: 2, d: 16, dv: 32, seqs: mixed, padding: 2, left: all, scale: 0.25, block: block, dtype: dtype, probs: true}
			r := s.row()
			r.Op = "StoreKV"
			rows = append(rows, r)
		}
		one := scene{name: "one token at a time", heads: 2, kv: 1, d: 32, seqs: []sequence{{1, 7}}, left: all, scale: 0.2, dtype: dtype}
		r := one.row()
		r.Op, r.build = "StoreKV", func(c *Case) { c.decode(dtype) }
		rows = append(rows, r)
		r.Op, r.Name, r.build = "CopyBlocks", "fork and go on", func(c *Case) { c.fork(dtype) }
		rows = append(rows, r)
	}
	return rows
}

// steps is a sequence over a cache, one token a step.
func (c *Case) decode(dtype runtime.DType) {
	const heads, kv, d, block = 2, 1, 32, 3
	cacheK, cacheV := c.cache(dtype, 5*block, kv*d, 0xff), c.cache(dtype, 5*block, kv*d, 0xff)
	table := []int32{4, 1, 3}
	for i := range 7 {
		slot := table[i/block]*block + int32(i%block)
		if i == 4 { // written twice: the later counts
			c.store(cacheK, cacheV, kv, block, slot)
		}
		c.store(cacheK, cacheV, kv, block, slot)
		c.do(&runtime.Attention{
			Out: c.stale(1, heads*d), Q: c.normal(1, heads*d, 0, 1), K: cacheK, V: cacheV, Heads: heads, KVHeads: kv, Scale: 0.2, Left: all,
			QStarts: c.ints(0, 1), KLens: c.ints(int32(i + 1)), Blocks: c.table(1, 3, table), BlockSize: block, MaxQ: 1, MaxK: 9,
		})
	}
}

// store stores random rows at the slots.
func (c *Case) store(k, v runtime.Tensor, kv, block int, slots ...int32) {
	c.do(&runtime.StoreKV{K: c.normal(len(slots), k.Cols, 0, 1), V: c.normal(len(slots), v.Cols, 0, 1), CacheK: k, CacheV: v,
		Slots: c.ints(slots...), KVHeads: kv, BlockSize: block})
}

// fork copies blocks of a sequence, lets original and copy go on apart, and
// attends to both.
func (c *Case) fork(dtype runtime.DType) {
	const heads, kv, d, dv, block = 4, 2, 16, 32, 4
	cacheK, cacheV := c.cache(dtype, 7*block, kv*d, 0xff), c.cache(dtype, 7*block, kv*dv, 0xff)
	slots := []int32{}
	for _, b := range []int32{5, 2} {
		for i := range int32(block) {
			slots = append(slots, b*block+i)
		}
	}
	c.store(cacheK, cacheV, kv, block, slots[:6]...)
	for _, m := range []runtime.Tensor{cacheK, cacheV} {
		c.do(&runtime.CopyBlocks{Cache: m, Src: c.ints(2, 5), Dst: c.ints(0, 6), BlockSize: block})
	}
	c.store(cacheK, cacheV, kv, block, 2*block+2, 0*block+2, 0*block+3)
	c.do(&runtime.Attention{
		Out: c.stale(4, heads*dv), Q: c.normal(4, heads*d, 0, 1), K: cacheK, V: cacheV, Heads: heads, KVHeads: kv, Scale: 0.3, Left: all,
		QStarts: c.ints(0, 1, 3, 4), KLens: c.ints(7, 8, 8), Blocks: c.table(3, 2, []int32{5, 2, 5, 0, 6, 0}), BlockSize: block, MaxQ: 2, MaxK: 8,
	})
}
