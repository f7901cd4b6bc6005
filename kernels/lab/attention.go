package lab

// The ladder of softmax attention. Each step is plain attention, Out =
// softmax(Scale·Q·Kᵀ, masked)·V over contiguous keys, windows and grouped heads
// included: 2·(D+Dv) FLOPs for each query, head and key that it sees, and at
// least Q, K, V and Out once. Biases, caches and Probs are left to what ships.

import (
	_ "embed"
	"fmt"
	"math"

	"github.com/godwit-ml/godwit/kernels"
	"github.com/godwit-ml/godwit/runtime"
)

var (
	//go:embed ptx/attention_naive.ptx
	attentionNaivePTX string
	//go:embed ptx/attention_shared.ptx
	attentionSharedPTX string
	//go:embed ptx/attention_online.ptx
	attentionOnlinePTX string
)

// attentionLadder is the steps to "attention_64".
var attentionLadder = Ladder{Op: "Attention", Steps: []*kernels.Kernel{attentionNaive, attentionShared, attentionOnline}}

// attentionNaive has a thread for each query and head, from memory. Asked for,
// in whole sectors, for each query, head and key: 2·D elements of Q and 2·Dv of
// Out, and 2·D of K and Dv of V that the lanes of a KV head share. Roofline, at 256
// causal queries of 4 heads of 64: 34 MFLOP, but 1.1 GB of sectors; the
// second-level cache of A100, H100 and H200 takes 160 / 110 / 110 µs for them, FMAs
// would take 1.7 / 0.5 / 0.5.
var attentionNaive = attentionStep{
	name: "attention_naive", ptx: attentionNaivePTX, block: [3]int{128, 1, 1}, ctas: 4, most: math.MaxInt,
	asked: func(s seen, o *runtime.Attention) int64 {
		d, dv := int64(o.Q.Cols/o.Heads), int64(o.Out.Cols/o.Heads)
		sharing := max(1, 32/int64(o.KVHeads))
		return 32 * int64(o.Heads) * (s.pairs*(2*d+2*dv+(2*d+dv)/sharing) + 3*s.queries*dv)
	},
}.kernel()

// attentionShared brings 16 queries and 16 keys at a time to shared memory. Asked
// for: a CTA's Q and Out once, its K twice and V once, again for every 16 queries:
// at 256 causal queries of 4 heads of 64 7.2 MB, 1.0 / 0.7 / 0.7 µs on A100, H100,
// H200. Two reads of shared memory for one FMA, and scores are computed twice: an
// SM answers one warp a cycle, 10 / 6 / 6 µs.
var attentionShared = attentionStep{
	name: "attention_shared", ptx: attentionSharedPTX, block: [3]int{16, 16, 1}, rows: 16, ctas: 2, shared: 4 * (3*16*65 + 16*17), most: 64,
	asked: func(s seen, o *runtime.Attention) int64 { return tiles(s, o, 16, 16, 2) },
}.kernel()

// attentionOnline reads each key once for 32 queries and keeps 4 × 4 scores a
// thread. Asked for: a CTA's Q and Out once, its K and V for every 32 queries: at
// 256 causal queries of 4 heads of 64 3.1 MB, 0.4 / 0.3 / 0.3 µs on A100, H100,
// H200. Eight reads of shared memory for 16 FMAs, and as many instructions again
// for masks and addresses: issuing them takes 3.4 / 2.0 / 2.0 µs, where what ships
// takes 1.8 / 1.1 / 1.1.
var attentionOnline = attentionStep{
	name: "attention_online", ptx: attentionOnlinePTX, block: [3]int{128, 1, 1}, rows: 32, ctas: 1, shared: 4 * (32*65 + 64*65 + 32*65), most: 64,
	asked: func(s seen, o *runtime.Attention) int64 { return tiles(s, o, 32, 64, 1) },
}.kernel()

// seen is what one sequence asks for, if all are as long as they may be.
type seen struct {
	queries, pairs int64 // pairs: of a query and a key that it sees
	span           func(first, last int64) (lo, hi int64)
}

// tiles is what CTAs of rows × keys ask for, K passes times.
func tiles(s seen, o *runtime.Attention, rows, keys, passes int64) int64 {
	d, dv := int64(o.Q.Cols/o.Heads), int64(o.Out.Cols/o.Heads)
	ofKeys := int64(0)
	for first := int64(0); first < s.queries; first += rows {
		lo, hi := s.span(first, min(first+rows, s.queries)-1)
		ofKeys += (ceil(hi, keys) - lo/keys) * keys
	}
	const integers = 32 * 4 // each warp reads where its sequence lies
	ctas := ceil(s.queries, rows)
	return 4 * int64(o.Heads) * (s.queries*(d+dv) + ofKeys*(passes*d+dv) + ctas*integers)
}

// attentionStep is one step.
type attentionStep struct {
	name, ptx    string
	block        [3]int
	rows         int // queries of a CTA; 0: a thread a query and head
	ctas, shared int
	most         int // features of a head
	asked        func(s seen, o *runtime.Attention) int64
}

func (t attentionStep) kernel() *kernels.Kernel {
	p, i, f := kernels.Pointer, kernels.Int, kernels.Float
	return &kernels.Kernel{
		Op: "Attention", Entry: "lab_" + t.name, Image: &kernels.Image{Name: t.name, PTX: t.ptx, Target: 75},
		Params: []kernels.Param{
			{Name: "out", Kind: p}, {Name: "q", Kind: p}, {Name: "k", Kind: p}, {Name: "v", Kind: p}, {Name: "qStarts", Kind: p}, {Name: "kLens", Kind: p},
			{Name: "kStarts", Kind: p}, {Name: "sequences", Kind: i}, {Name: "heads", Kind: i}, {Name: "kvHeads", Kind: i}, {Name: "d", Kind: i},
			{Name: "dv", Kind: i}, {Name: "outStride", Kind: i}, {Name: "qStride", Kind: i}, {Name: "kStride", Kind: i}, {Name: "vStride", Kind: i},
			{Name: "left", Kind: i}, {Name: "right", Kind: i}, {Name: "scale", Kind: f},
		},
		Threads: t.block[0] * t.block[1], CTAs: t.ctas, Shared: t.shared,
		Launch: t.launch, Cost: t.cost,
		Shapes: []kernels.Shape{{Name: "256 causal queries, 4·64 on 2·64 F32", Op: func(m *kernels.Maker) runtime.Op {
			return &runtime.Attention{
				Out: m.F32(256, 256), Q: m.F32(256, 256), K: m.F32(256, 128), V: m.F32(256, 128), Heads: 4, KVHeads: 2, Scale: 0.125,
				QStarts: m.I32(0, 256), KLens: m.I32(256), KStarts: m.I32(0), MaxQ: 256, MaxK: 256, Left: runtime.Unlimited,
			}
		}}},
	}
}

var (
	errNotPlainAttention = fmt.Errorf("attention that is not plain, or over a cache: %w", runtime.ErrUnsupported)
	errHeadSize          = fmt.Errorf("heads of more than 64 features: %w", runtime.ErrUnsupported)
)

func (t attentionStep) launch(op runtime.Op, l *kernels.Launch) error {
	o, ok := op.(*runtime.Attention)
	if !ok {
		return errNotPlainAttention
	}
	for _, m := range []*runtime.Tensor{&o.Blocks, &o.Slopes, &o.KeyBias, &o.RelIndex, &o.Sinks, &o.Probs} {
		if !m.IsZero() {
			return errNotPlainAttention
		}
	}
	d, dv, sequences := o.Q.Cols/o.Heads, o.Out.Cols/o.Heads, o.KLens.Rows*o.KLens.Cols
	if o.SoftCap != 0 || o.Q.Rows*o.Heads > 1<<30 || o.Heads > 65535 {
		return errNotPlainAttention
	}
	if max(d, dv) > t.most {
		return errHeadSize
	}
	l.Block = t.block
	if t.rows == 0 {
		l.Grid = [3]int{int(ceil(int64(o.Q.Rows*o.Heads), int64(t.block[0]))), 1, 1}
	} else {
		most := o.MaxQ
		if most == 0 {
			most = o.Q.Rows
		}
		l.Grid = [3]int{sequences, o.Heads, int(min(ceil(int64(most), int64(t.rows)), 65535))}
	}
	for _, operand := range []runtime.Tensor{o.Out, o.Q, o.K, o.V, o.QStarts, o.KLens, o.KStarts} {
		l.Ptr(operand)
	}
	const far = 1 << 30
	for _, v := range []int{sequences, o.Heads, o.KVHeads, d, dv, o.Out.Stride, o.Q.Stride, o.K.Stride, o.V.Stride, min(o.Left, far), min(o.Right, far)} {
		l.Int(v)
	}
	scale := o.Scale
	if scale == 0 {
		scale = 1
	}
	l.Float(scale)
	return nil
}

// cost takes every sequence to be as long as it may be.
func (t attentionStep) cost(op runtime.Op) kernels.Cost {
	o := op.(*runtime.Attention)
	d, dv, sequences := int64(o.Q.Cols/o.Heads), int64(o.Out.Cols/o.Heads), int64(o.KLens.Rows*o.KLens.Cols)
	s := seen{queries: int64(o.MaxQ)}
	s.span = func(first, last int64) (lo, hi int64) {
		position := int64(o.MaxK) - s.queries
		if hi = int64(o.MaxK); o.Left != runtime.Unlimited {
			lo = max(0, position+first-int64(o.Left))
		}
		if o.Right != runtime.Unlimited {
			hi = min(hi, position+last+int64(o.Right)+1)
		}
		return lo, max(lo, hi)
	}
	for i := range s.queries {
		lo, hi := s.span(i, i)
		s.pairs += hi - lo
	}
	lo, hi := s.span(0, max(s.queries-1, 0))
	rows := s.queries * int64(o.Heads)
	return kernels.Cost{
		Bytes:     4 * sequences * (rows*(d+dv) + (hi-lo)*int64(o.KVHeads)*(d+dv)),
		Requested: sequences * t.asked(s, o),
		FLOPs:     sequences * 2 * s.pairs * int64(o.Heads) * (d + dv),
	}
}
