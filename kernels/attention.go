package kernels

// Softmax attention, fused: no score leaves the chip.

import (
	_ "embed"
	"math"

	"github.com/godwit-ml/godwit/runtime"
)

//go:embed ptx/attention.ptx
var attentionPTX string

var attentionImage = &Image{Name: "attention", PTX: attentionPTX, Target: 75}

var attentionParams = []Param{
	{"out", Pointer}, {"q", Pointer}, {"k", Pointer}, {"v", Pointer}, {"qStarts", Pointer}, {"kLens", Pointer}, {"kStarts", Pointer},
	{"blocks", Pointer}, {"slopes", Pointer}, {"keyBias", Pointer}, {"relIndex", Pointer}, {"relBias", Pointer}, {"qRel", Pointer},
	{"kRel", Pointer}, {"sinks", Pointer}, {"probs", Pointer}, {"heads", Int}, {"kvHeads", Int}, {"d", Int}, {"dv", Int}, {"outStride", Int},
	{"qStride", Int}, {"kRow", Int}, {"vRow", Int}, {"type", Int}, {"wide", Int}, {"tableColumns", Int}, {"blockSize", Int}, {"left", Int},
	{"right", Int}, {"keyBiasStride", Int}, {"relReach", Int}, {"relBiasStride", Int}, {"relCount", Int}, {"qRelStride", Int},
	{"kRelStride", Int}, {"probsColumns", Int}, {"probsStride", Int}, {"scale", Float}, {"softCap", Float},
}

// attention64 is softmax(Scale·Q·Kᵀ + biases, masked)·V for heads of at most 64
// features, every field of runtime.Attention but Probs. A CTA takes one sequence
// and one KV head: 64 rows (queries × heads of the group), or all rows of a
// sequence that has at most 8 of them.
//
// Tiles of rows pass over tiles of 64 keys at multiples of 64 of the sequence,
// with running maximum and sum (Dao et al., 2022; Milakov and Gimelshein, 2018);
// tiles that no row sees are skipped. A thread has 8 × 4 scores and 8 rows × 4
// columns of Out: 256 FMAs go with 24 reads of 16 bytes from shared memory, free of
// conflicts. FLOPs 2·(D+Dv) for each query, head and key it sees. Bytes: Q, Out
// and the keys once; asked for: Out once, and with every tile of 64 rows the keys
// that it sees, and Q once for every 64 of these. 64 rows × 64 keys are 2^20
// FLOPs for 48 kB of F32: 21 a byte, where the second-level cache of A100, H100 and
// H200 wants less than 7. So FP32 is the roof: 4,096 causal queries of 32 heads of
// 64, 69 GFLOP, take 3.5 / 1.03 / 1.03 ms at 19.5 / 66.9 / 66.9 TFLOP/s. FMAs
// are 58 % of the instructions, exponentials 8 %: H100 and H200, which start an
// FMA in every slot, reach at best 58 % of it; A100, which starts one in every
// second, about 90 %.
//
// Few rows are decoding: each of the 4 warps takes every fourth tile of 32 keys
// and streams K and V from memory once for all heads of the group, with 2 to 4 kB
// under way; the warps' parts are joined in their order. FLOPs as above, bytes
// (D+Dv) elements a key and KV head: with 4 heads a group and F16 4 FLOPs a byte, so
// bandwidth is the roof: 16 sequences of 4,096 keys, 8 KV heads of 64 are 134 MB,
// 86 / 40 / 28 µs on A100 (40 GB), H100, H200, where sequences × KV heads fill the
// SMs; on H200 the instructions of heads this short take 33. A single sequence
// leaves most SMs idle.
//
// A query's result does not depend on MaxQ, MaxK or the other sequences, and on
// the other queries of its own only by whether there are more than 8 rows.
var attention64 = attentionTiles{entry: "attention_64", most: 64, ctas: 3}.kernel(
	whole("256 causal queries, 4·64 on 2·64 F32", 256, 4, 2, 64),
	paged("4 sequences of 512, 8·64 on 2·64 F16", 4, 1, 512, 8, 2, 64),
	paged("4,096 causal queries, 32·64 on 8·64 F16", 1, 4096, 4096, 32, 8, 64),
	paged("16 sequences of 4,096, 32·64 on 8·64 F16", 16, 1, 4096, 32, 8, 64),
)

// attention128 is attention64 for heads of at most 128 features: a thread has 8
// columns of Out, P and V come 16 keys at a time. Bytes, asked for and FLOPs are by
// the formulas there. FP32 is the roof of tiles: 4,096 causal queries of 32 heads
// of 128, 137 GFLOP, take 7.1 / 2.1 / 2.1 ms on A100, H100, H200; 63 % of the
// instructions are FMAs, which bounds H100 and H200. 168 registers, three CTAs an
// SM. Bandwidth is the roof of few rows: 16 sequences of 4,096 keys, 8 KV heads of
// 128 F16, 268 MB, 173 / 80 / 56 µs; instructions take less on all three.
var attention128 = attentionTiles{entry: "attention_128", least: 65, most: 128, ctas: 3}.kernel(
	whole("128 causal queries, 4·128 on 2·128 F32", 128, 4, 2, 128),
	paged("4 sequences of 512, 8·128 on 2·128 F16", 4, 1, 512, 8, 2, 128),
	paged("4,096 causal queries, 32·128 on 8·128 F16", 1, 4096, 4096, 32, 8, 128),
	paged("16 sequences of 4,096, 32·128 on 8·128 F16", 16, 1, 4096, 32, 8, 128),
)

// attention256 is attention64 for heads of at most 256 features, and writes Probs
// for heads of any size: then it passes over the keys twice, as a probability is
// known when all scores have been seen, so Q and K are asked for twice, and 4
// bytes for each query, head and key written. 16 columns of Out take 128
// registers a thread, two CTAs fit an SM. FP32 is the roof of tiles: 4,096 causal
// queries of 16 heads of 256, 137 GFLOP, take 7.1 / 2.1 / 2.1 ms on A100, H100,
// H200, 69 % of instructions are FMAs; eight warps an SM hide less of the memory's
// latency. Bandwidth is the roof of few rows: 16 sequences of 4,096 keys, 8 KV
// heads of 256 F16, 537 MB, 345 / 160 / 112 µs.
var attention256 = attentionTiles{entry: "attention_256", least: 129, most: 256, ctas: 2, probs: true}.kernel(
	whole("128 causal queries, 2·256 on 1·256 F32", 128, 2, 1, 256),
	paged("2 sequences of 256, 4·256 on 1·256 F16", 2, 1, 256, 4, 1, 256),
	probs("128 causal queries, 2·128 on 1·128 F32, with Probs", 128, 2, 1, 128),
	paged("4,096 causal queries, 16·256 on 8·256 F16", 1, 4096, 4096, 16, 8, 256),
	paged("16 sequences of 4,096, 32·256 on 8·256 F16", 16, 1, 4096, 32, 8, 256),
)

const (
	attentionThreads = 128
	attentionRows    = 64 // of a tile
	attentionKeys    = 64
	attentionFew     = 8 // rows that go without tiles
	attentionFewKeys = 32
)

// What the bits of the kernel's parameter `wide` say.
const (
	wideQ = 1 << iota
	wideK
	wideV
	wideOut
)

var (
	errHeadSize = unfit("heads of other sizes than the kernel's")
	errProbs    = unfit("Probs are wanted")
	errGridSize = unfit("more tiles of queries than a grid has")
)

// attentionTiles is an entry point of attention.cu.
type attentionTiles struct {
	entry string
	least int // features of a head, which smaller kernels do not take
	most  int
	ctas  int
	probs bool // Probs too, of heads of any size
}

func (t attentionTiles) kernel(shapes ...Shape) *Kernel {
	// A chunk of Q and of K, 64 × 32 each; or P and V; and the index of rows.
	keys := 16
	if t.most == 64 {
		keys = 32
	}
	shared := max(4*2*64*32, 4*keys*(attentionRows+t.most)) + 4*3*64
	return &Kernel{
		Op: "Attention", Entry: t.entry, Image: attentionImage, Params: attentionParams,
		Threads: attentionThreads, CTAs: t.ctas, Shared: shared,
		Launch: t.launch, Cost: t.cost, Shapes: shapes,
	}
}

// headSizes are the features of a head of Q and K, and of V.
func headSizes(o *runtime.Attention) (d, dv int) { return o.Q.Cols / o.Heads, o.Out.Cols / o.Heads }

// reach is a Left or Right that the kernel can add to a position.
func reach(n int) int { return min(n, 1<<30) }

// most is the largest number of queries that a sequence can have.
func mostQueries(o *runtime.Attention) int {
	if o.MaxQ == 0 {
		return o.Q.Rows
	}
	return min(o.MaxQ, o.Q.Rows)
}

func (t attentionTiles) launch(op runtime.Op, l *Launch) error {
	o := op.(*runtime.Attention)
	d, dv := headSizes(o)
	dtype, ok := cacheTypes[o.K.DType]
	tiles := ceil(mostQueries(o)*(o.Heads/o.KVHeads), attentionRows)
	switch {
	case !ok:
		return errNotCache
	case !o.Probs.IsZero() && !t.probs:
		return errProbs
	case max(d, dv) > t.most, max(d, dv) < t.least && o.Probs.IsZero():
		return errHeadSize
	case max(tiles, o.KVHeads) > 65535:
		return errGridSize
	}
	l.Block = [3]int{attentionThreads, 1, 1}
	l.Grid = [3]int{o.KLens.Rows * o.KLens.Cols, o.KVHeads, tiles}
	for _, operand := range []runtime.Tensor{
		o.Out, o.Q, o.K, o.V, o.QStarts, o.KLens, o.KStarts, o.Blocks, o.Slopes, o.KeyBias, o.RelIndex, o.RelBias, o.QRel, o.KRel, o.Sinks, o.Probs,
	} {
		l.Ptr(operand)
	}
	relCount := 0
	for _, m := range []*runtime.Tensor{&o.QRel, &o.KRel} {
		if !m.IsZero() {
			relCount = m.Cols / o.Heads
		}
	}
	for _, v := range []int{
		o.Heads, o.KVHeads, d, dv, o.Out.Stride, o.Q.Stride, int(o.K.StrideBytes()), int(o.V.StrideBytes()), dtype, wideOperands(o, d, dv),
		o.Blocks.Cols, o.BlockSize, reach(o.Left), reach(o.Right), o.KeyBias.Stride, o.RelIndex.Rows * o.RelIndex.Cols / 2, o.RelBias.Stride,
		relCount, o.QRel.Stride, o.KRel.Stride, o.Probs.Cols / o.Heads, o.Probs.Stride,
	} {
		l.Int(v)
	}
	l.Float(or1(o.Scale))
	l.Float(o.SoftCap)
	return nil
}

func wideOperands(o *runtime.Attention, d, dv int) int {
	flags := 0
	for _, m := range []struct {
		t    *runtime.Tensor
		d    int
		flag int
	}{{&o.Q, d, wideQ}, {&o.K, d, wideK}, {&o.V, dv, wideV}, {&o.Out, dv, wideOut}} {
		if wide(m.t, m.d) {
			flags |= m.flag
		}
	}
	return flags
}

// cost takes every sequence to have the most queries and keys: on the host no
// more is known.
func (t attentionTiles) cost(op runtime.Op) Cost {
	o := op.(*runtime.Attention)
	d, dv := headSizes(o)
	sequences := int64(o.KLens.Rows * o.KLens.Cols)
	queries, keys, group := mostQueries(o), o.MaxK, o.Heads/o.KVHeads
	see := func(i int) (lo, hi int) {
		at := keys - queries + i
		lo, hi = 0, keys
		if o.Left != runtime.Unlimited {
			lo = max(0, at-o.Left)
		}
		if o.Right != runtime.Unlimited {
			hi = min(keys, at+min(o.Right, math.MaxInt32)+1)
		}
		return lo, max(lo, hi)
	}
	pairs := int64(0) // of a query and a key it sees
	for i := range queries {
		lo, hi := see(i)
		pairs += int64(hi - lo)
	}
	lo, _ := see(0)
	_, hi := see(max(queries-1, 0))
	element := float64(o.K.DType.TypeSize()) / float64(o.K.DType.BlockSize())
	ofKeys := func(n, features int) int64 { return int64(element * float64(n) * float64(features)) }
	rows := int64(queries * o.Heads)
	ofQ, ofOut := 4*rows*int64(d), 4*rows*int64(dv)
	biases, probs := int64(0), int64(0)
	for _, m := range []*runtime.Tensor{&o.KeyBias, &o.RelIndex, &o.RelBias, &o.QRel, &o.KRel} {
		if !m.IsZero() {
			biases += 4 * pairs * int64(o.Heads)
		}
	}
	if !o.Probs.IsZero() {
		probs = 4 * pairs * int64(o.Heads)
	}
	c := Cost{
		Bytes: sequences*(ofQ+ofOut+probs+int64(o.KVHeads)*ofKeys(hi-lo, d+dv)) +
			size(o.QStarts) + size(o.KLens) + size(o.KStarts) + size(o.Blocks) + size(o.RelIndex) + size(o.RelBias),
		FLOPs: sequences * 2 * pairs * int64(o.Heads) * int64(d+dv),
	}
	const integers = 32 * 3 * attentionThreads / 32 // each warp reads QStarts and KLens
	// Keys n of tiles of size, of which the warps read again one that they have in
	// place of those that nobody sees: four at a time of K, one or two of V.
	read := func(n, tiles, size, d, dv int) int64 {
		none, ofV := tiles*size-n, 1
		if t.most == 64 {
			ofV = 2
		}
		return ofKeys(n+none/4, d) + ofKeys(n+none/ofV, dv)
	}
	kvHeads := int64(o.KVHeads)
	if few := wideK | wideV; queries*group <= attentionFew && o.Probs.IsZero() && wideOperands(o, d, dv)&few == few {
		tiles := ceil(hi, attentionFewKeys) - lo/attentionFewKeys
		perHead := read(hi-lo, tiles, attentionFewKeys, d, dv) + int64(32*tiles)
		c.Requested = sequences * (ofQ + ofOut + biases + kvHeads*(perHead+integers))
		return c
	}
	asked := int64(0)
	for first := 0; first < queries*group; first += attentionRows {
		last := min(first+attentionRows, queries*group) - 1
		lo, _ := see(first / group)
		_, hi := see(last / group)
		tiles := ceil(hi, attentionKeys) - lo/attentionKeys
		if !o.Probs.IsZero() { // once more, but for V
			asked += read(hi-lo, tiles, attentionKeys, d, 0) + int64(tiles)*4*attentionRows*int64(d+1)
		}
		asked += integers + read(hi-lo, tiles, attentionKeys, d, dv) + int64(tiles)*4*attentionRows*int64(d+1)
	}
	c.Requested = sequences * (kvHeads*asked + ofOut + biases + probs)
	return c
}

// whole is one sequence of as many queries as keys, causal, over F32 rows.
func whole(name string, queries, heads, kvHeads, d int) Shape {
	return Shape{name, func(m *Maker) runtime.Op {
		o := sequences(m, 1, queries, queries, heads, kvHeads, d)
		o.K, o.V, o.KStarts = m.F32(queries, kvHeads*d), m.F32(queries, kvHeads*d), m.I32(0)
		return o
	}}
}

// probs is whole with Probs.
func probs(name string, queries, heads, kvHeads, d int) Shape {
	return Shape{name, func(m *Maker) runtime.Op {
		o := whole(name, queries, heads, kvHeads, d).Op(m).(*runtime.Attention)
		o.Probs = m.Zeros(runtime.F32, queries, heads*queries)
		return o
	}}
}

// paged is n sequences of some queries at the end of keys in an F16 cache, whose
// blocks lie in descending order.
func paged(name string, n, queries, keys, heads, kvHeads, d int) Shape {
	return Shape{name, func(m *Maker) runtime.Op {
		const block = 16
		o := sequences(m, n, queries, keys, heads, kvHeads, d)
		table := make([]int32, n*ceil(keys, block))
		for i := range table {
			table[i] = int32(len(table) - 1 - i)
		}
		o.Blocks, o.BlockSize = m.I32(table...), block
		o.Blocks.Rows, o.Blocks.Cols, o.Blocks.Stride = n, len(table)/n, len(table)/n
		o.K, o.V = m.Zeros(runtime.F16, len(table)*block, kvHeads*d), m.Zeros(runtime.F16, len(table)*block, kvHeads*d)
		return o
	}}
}

func sequences(m *Maker, n, queries, keys, heads, kvHeads, d int) *runtime.Attention {
	starts, lens := []int32{0}, []int32{}
	for i := range n {
		starts, lens = append(starts, int32((i+1)*queries)), append(lens, int32(keys))
	}
	return &runtime.Attention{
		Out: m.Zeros(runtime.F32, n*queries, heads*d), Q: m.F32(n*queries, heads*d), Heads: heads, KVHeads: kvHeads,
		Scale: float32(1 / math.Sqrt(float64(d))), QStarts: m.I32(starts...), KLens: m.I32(lens...), MaxQ: queries, MaxK: keys, Left: runtime.Unlimited,
	}
}
