package runtime_test

// Check: one right operation of each kind, and one wrong one for each rule.

import (
	"errors"
	"testing"

	"github.com/godwit-ml/godwit/quant"
	"github.com/godwit-ml/godwit/runtime"
)

func f32(rows, cols int) runtime.Tensor {
	return runtime.HostF32(rows, cols, make([]float32, rows*cols))
}

func i32(rows, cols int) runtime.Tensor {
	return runtime.HostI32(rows, cols, make([]int32, rows*cols))
}

func of(t quant.Type, rows, cols int) runtime.Tensor {
	return runtime.HostTensor(t, rows, cols, make([]byte, t.Bytes(rows*cols)))
}

// wrong is a change of a right operation, and what is to be said of it.
type wrong[O any] struct {
	operand, reason string
	change          func(*O)
}

// checks holds Check to the right operation and each wrong one.
func checks[O any, P interface {
	*O
	runtime.Op
}](t *testing.T, right func() O, wrongs []wrong[O]) {
	t.Helper()
	o := right()
	if err := P(&o).Check(); err != nil {
		t.Errorf("a right operation: %v", err)
	}
	for _, w := range wrongs {
		o := right()
		w.change(&o)
		err := P(&o).Check()
		var named *runtime.OpError
		switch {
		case w.reason == "":
			if err != nil {
				t.Errorf("%s.%s: %v, want none", P(&o).Name(), w.operand, err)
			}
		case !errors.As(err, &named) || named.Op != P(&o).Name() || named.Operand != w.operand || named.Reason != w.reason:
			t.Errorf("error %v\nwant  runtime: %s.%s: %s", err, P(&o).Name(), w.operand, w.reason)
		}
	}
}

func TestCheckExtent(t *testing.T) {
	checks(t, func() runtime.Norm { return runtime.Norm{Out: f32(3, 4), X: f32(3, 4)} }, []wrong[runtime.Norm]{
		{"X", "absent", func(o *runtime.Norm) { o.X = runtime.Tensor{} }},
		{"Out", "absent", func(o *runtime.Norm) { o.Out = runtime.Tensor{} }},
		{"X", "malformed", func(o *runtime.Norm) { o.X.Rows = -1 }},
		{"X", "malformed", func(o *runtime.Norm) { o.X.Cols = -1 }},
		{"X", "malformed", func(o *runtime.Norm) { o.X.Offset = -4 }},
		{"X", "malformed", func(o *runtime.Norm) { o.X.DType = 999 }},
		{"X", "F32[3 4]: rows overlap", func(o *runtime.Norm) { o.X.Stride = 3 }},
		{"X", "F32[3 4]: ends at byte 52 of 48", func(o *runtime.Norm) { o.X.Offset = 4 }},
		{"X", "F32[3 4]: ends at byte 56 of 48", func(o *runtime.Norm) { o.X.Stride = 5 }},
		{"X", "BF16[3 4], want F32", func(o *runtime.Norm) { o.X = of(quant.BF16, 3, 4) }},
		{"one row of any stride", "", func(o *runtime.Norm) { o.X, o.Out = f32(1, 4), f32(1, 4); o.X.Stride = 0 }},
		{"no rows", "", func(o *runtime.Norm) { o.X, o.Out = f32(0, 4), f32(0, 4) }},
	})
	checks(t, func() runtime.Gather {
		return runtime.Gather{Out: f32(2, 32), Table: of(quant.Q8_0, 5, 32), IDs: i32(1, 2)}
	},
		[]wrong[runtime.Gather]{
			{"Table", "Q8_0[5 31]: columns are no whole number of blocks of 32", func(o *runtime.Gather) { o.Table.Cols = 31 }},
		})
}

func TestCheckGather(t *testing.T) {
	checks(t, func() runtime.Gather {
		return runtime.Gather{Out: f32(2, 32), Table: of(quant.Q8_0, 5, 32), IDs: i32(1, 2)}
	},
		[]wrong[runtime.Gather]{
			{"Out", "F32[2 31], want [-1 32]", func(o *runtime.Gather) { o.Out = f32(2, 31) }},
			{"IDs", "I32[1 3], want 2 elements", func(o *runtime.Gather) { o.IDs = i32(1, 3) }},
			{"IDs", "F32[1 2], want contiguous I32", func(o *runtime.Gather) { o.IDs = f32(1, 2) }},
			{"IDs", "I32[2 1], want contiguous I32", func(o *runtime.Gather) { o.IDs = i32(2, 2).ColRange(0, 1) }},
			{"a column of ids", "", func(o *runtime.Gather) { o.IDs = i32(2, 1) }},
			{"Table", "F32[2 32] shares memory with Out", func(o *runtime.Gather) { o.Table = o.Out }},
		})
}

func TestCheckMatMul(t *testing.T) {
	right := func() runtime.MatMul {
		return runtime.MatMul{Out: f32(6, 4), X: f32(6, 32), W: of(quant.Q8_0, 4, 32), Bias: f32(1, 4), Residual: f32(6, 4)}
	}
	checks(t, right, []wrong[runtime.MatMul]{
		{"Fan", "does not divide the rows of Out", func(o *runtime.MatMul) { o.Fan = 4 }},
		{"X", "F32[6 32], want [3 -1]", func(o *runtime.MatMul) { o.Fan = 2 }},
		{"fan", "", func(o *runtime.MatMul) { o.Fan, o.X = 2, f32(3, 32) }},
		{"W", "absent", func(o *runtime.MatMul) { o.W = runtime.Tensor{} }},
		{"W", "Q8_0[4 64], want [-1 32]", func(o *runtime.MatMul) { o.W = of(quant.Q8_0, 4, 64) }},
		{"W", "Q8_0[5 32], want a multiple of 4 rows", func(o *runtime.MatMul) { o.W = of(quant.Q8_0, 5, 32) }},
		{"W", "Q8_0[0 32], want a multiple of 4 rows", func(o *runtime.MatMul) { o.W = of(quant.Q8_0, 0, 32) }},
		{"W", "holds several matrices and Pick is absent", func(o *runtime.MatMul) { o.W = of(quant.Q8_0, 8, 32) }},
		{"W", "Q8_0[4 32], want a multiple of 8 rows", func(o *runtime.MatMul) { o.Gated = true }},
		{"gated", "", func(o *runtime.MatMul) { o.Gated, o.W, o.Bias = true, of(quant.Q8_0, 8, 32), f32(1, 8) }},
		{"Bias", "F32[1 4], want [1 8]", func(o *runtime.MatMul) { o.Gated, o.W = true, of(quant.Q8_0, 8, 32) }},
		{"Bias", "F32[1 4], want [3 4]", func(o *runtime.MatMul) { o.W, o.Pick = of(quant.Q8_0, 12, 32), i32(1, 6) }},
		{"experts", "", func(o *runtime.MatMul) { o.W, o.Pick, o.Bias = of(quant.Q8_0, 12, 32), i32(1, 6), f32(3, 4) }},
		{"Pick", "I32[1 5], want 6 elements", func(o *runtime.MatMul) { o.Pick = i32(1, 5) }},
		{"Residual", "F32[6 3], want [6 4]", func(o *runtime.MatMul) { o.Residual = f32(6, 3) }},
		{"residual in place", "", func(o *runtime.MatMul) { o.Residual = o.Out }},
		{"Residual", "F32[6 4] shares memory with Out", func(o *runtime.MatMul) { m := f32(7, 4); o.Out, o.Residual = m.RowRange(0, 6), m.RowRange(1, 7) }},
		{"X", "F32[6 4] shares memory with Out", func(o *runtime.MatMul) { o.X, o.W = o.Out, of(quant.F16, 4, 4) }},
		{"Act", "unknown function", func(o *runtime.MatMul) { o.Act = 99 }},
		{"Groups", "goes with neither Gated nor Pick", func(o *runtime.MatMul) { o.Groups, o.Gated = 2, true }},
		{"Groups", "goes with neither Gated nor Pick", func(o *runtime.MatMul) { o.Groups, o.Pick = 2, i32(1, 6) }},
		{"Groups", "does not divide the columns of Out and X", func(o *runtime.MatMul) { o.Groups = 3 }},
		{"W", "Q8_0[4 32], want [-1 16]", func(o *runtime.MatMul) { o.Groups = 2 }},
		{"groups", "", func(o *runtime.MatMul) { o.Groups, o.W = 2, of(quant.F16, 4, 16) }},
	})
	// Column views of one matrix lie side by side wherever the matrix begins.
	for shift := range 9 {
		m := f32(1, 100)
		m.Rows, m.Cols, m.Stride, m.Offset = 6, 9, 9, int64(4*shift)
		o := runtime.MatMul{Out: m.ColRange(0, 4), X: m.ColRange(4, 9), W: of(quant.F16, 4, 5)}
		if err := o.Check(); err != nil {
			t.Errorf("shift %d: %v", shift, err)
		}
		o.Out, o.X = m.ColRange(5, 9), m.ColRange(0, 5)
		if err := o.Check(); err != nil {
			t.Errorf("shift %d: %v", shift, err)
		}
		o.X = m.ColRange(1, 6)
		if err := o.Check(); err == nil {
			t.Errorf("shift %d: an overlap of one column passed", shift)
		}
	}
}

func TestCheckRowOps(t *testing.T) {
	checks(t, func() runtime.Norm {
		return runtime.Norm{Out: f32(3, 8), X: f32(3, 8), Weight: f32(1, 4), Bias: f32(1, 4), Groups: 2}
	}, []wrong[runtime.Norm]{
		{"Out", "F32[3 7], want [3 8]", func(o *runtime.Norm) { o.Out = f32(3, 7) }},
		{"Kind", "unknown normalisation", func(o *runtime.Norm) { o.Kind = 9 }},
		{"Groups", "does not divide the columns of X", func(o *runtime.Norm) { o.Groups = 3 }},
		{"Groups", "does not divide the columns of X", func(o *runtime.Norm) { o.Out, o.X = f32(3, 0), f32(3, 0) }},
		{"Weight", "F32[1 4], want [1 8]", func(o *runtime.Norm) { o.Groups = 0 }},
		{"Bias", "F32[2 4], want [1 4]", func(o *runtime.Norm) { o.Bias = f32(2, 4) }},
		{"in place", "", func(o *runtime.Norm) { o.Out = o.X }},
		{"X", "F32[3 8] shares memory with Out", func(o *runtime.Norm) { m := f32(4, 8); o.X, o.Out = m.RowRange(0, 3), m.RowRange(1, 4) }},
	})
	checks(t, func() runtime.Pointwise {
		return runtime.Pointwise{Out: f32(3, 8), X: f32(3, 8), Mul: f32(1, 8), Add: f32(3, 8)}
	}, []wrong[runtime.Pointwise]{
		{"Out", "F32[3 7], want [3 8]", func(o *runtime.Pointwise) { o.Out = f32(3, 7) }},
		{"F", "unknown function", func(o *runtime.Pointwise) { o.F = 7 }},
		{"Mul", "F32[2 8], want [3 8]", func(o *runtime.Pointwise) { o.Mul = f32(2, 8) }},
		{"Add", "F32[1 7], want [1 8]", func(o *runtime.Pointwise) { o.Add = f32(1, 7) }},
		{"in place", "", func(o *runtime.Pointwise) { o.X, o.Mul, o.Add = o.Out, o.Out, o.Out }},
		{"X", "F32[3 8] shares memory with Out", func(o *runtime.Pointwise) { m := f32(4, 8); o.X, o.Out = m.RowRange(0, 3), m.RowRange(1, 4) }},
		{"Mul", "F32[1 8] shares memory with Out", func(o *runtime.Pointwise) { o.Mul = o.Out.RowRange(1, 2) }},
		{"Add", "F32[1 8] shares memory with Out", func(o *runtime.Pointwise) { o.Add = o.Out.RowRange(1, 2) }},
	})
	checks(t, func() runtime.RoPE {
		return runtime.RoPE{X: f32(3, 16), Cos: f32(9, 3), Sin: f32(9, 3), Rows: i32(3, 1), HeadDim: 8}
	}, []wrong[runtime.RoPE]{
		{"Sin", "F32[9 2], want [9 3]", func(o *runtime.RoPE) { o.Sin = f32(9, 2) }},
		{"HeadDim", "does not divide the columns of X", func(o *runtime.RoPE) { o.HeadDim = 6 }},
		{"HeadDim", "does not divide the columns of X", func(o *runtime.RoPE) { o.HeadDim = 0 }},
		{"Cos", "rotates more features than a head has", func(o *runtime.RoPE) { o.HeadDim = 4 }},
		{"Rows", "I32[1 2], want 3 elements", func(o *runtime.RoPE) { o.Rows = i32(1, 2) }},
	})
	checks(t, func() runtime.Combine {
		return runtime.Combine{Out: f32(3, 8), X: f32(6, 8), Weights: f32(3, 2), Residual: f32(3, 8)}
	}, []wrong[runtime.Combine]{
		{"Weights", "F32[2 2], want [3 -1]", func(o *runtime.Combine) { o.Weights = f32(2, 2) }},
		{"X", "F32[6 8], want [9 8]", func(o *runtime.Combine) { o.Weights = f32(3, 3) }},
		{"Residual", "F32[3 7], want [3 8]", func(o *runtime.Combine) { o.Residual = f32(3, 7) }},
		{"in place", "", func(o *runtime.Combine) { o.Residual = o.Out }},
		{"X", "F32[6 8] shares memory with Out", func(o *runtime.Combine) { o.Out = o.X.RowRange(0, 3) }},
		{"Weights", "F32[3 2] shares memory with Out", func(o *runtime.Combine) { o.Weights = o.Out.ColRange(0, 2) }},
		{"Residual", "F32[3 8] shares memory with Out", func(o *runtime.Combine) { m := f32(4, 8); o.Out, o.Residual = m.RowRange(0, 3), m.RowRange(1, 4) }},
	})
	checks(t, func() runtime.TopK {
		return runtime.TopK{Values: f32(3, 2), IDs: i32(3, 2), X: f32(3, 8), LSE: f32(3, 1), Also: i32(3, 4), AlsoValue: f32(3, 4)}
	}, []wrong[runtime.TopK]{
		{"Values", "F32[2 2], want [3 -1]", func(o *runtime.TopK) { o.Values = f32(2, 2) }},
		{"Values", "wants more elements than a row has", func(o *runtime.TopK) { o.Values, o.IDs = f32(3, 9), i32(3, 9) }},
		{"IDs", "I32[3 3], want 6 elements", func(o *runtime.TopK) { o.IDs = i32(3, 3) }},
		{"Norm", "unknown", func(o *runtime.TopK) { o.Norm = 3 }},
		{"LSE", "F32[3 2], want [3 1]", func(o *runtime.TopK) { o.LSE = f32(3, 2) }},
		{"Also", "goes with AlsoValue", func(o *runtime.TopK) { o.AlsoValue = runtime.Tensor{} }},
		{"Also", "I32[1 12], want [3 -1]", func(o *runtime.TopK) { o.Also = i32(1, 12) }},
		{"AlsoValue", "F32[3 3], want [3 4]", func(o *runtime.TopK) { o.AlsoValue = f32(3, 3) }},
		{"neither", "", func(o *runtime.TopK) {
			o.Also, o.AlsoValue, o.LSE = runtime.Tensor{}, runtime.Tensor{}, runtime.Tensor{}
		}},
	})
}

func TestCheckCaches(t *testing.T) {
	cache := func(cols int) runtime.Tensor { return of(quant.F16, 20, cols) }
	checks(t, func() runtime.StoreKV {
		return runtime.StoreKV{K: f32(3, 8), V: f32(3, 12), CacheK: cache(8), CacheV: cache(12), Slots: i32(1, 3), KVHeads: 2, BlockSize: 5}
	}, []wrong[runtime.StoreKV]{
		{"BlockSize", "does not divide the rows of the cache", func(o *runtime.StoreKV) { o.BlockSize = 3 }},
		{"BlockSize", "does not divide the rows of the cache", func(o *runtime.StoreKV) { o.BlockSize = 0 }},
		{"CacheK", "Q4_0[20 32], want a contiguous F32, F16, BF16 or Q8_0 cache", func(o *runtime.StoreKV) { o.CacheK = of(quant.Q4_0, 20, 32) }},
		{"CacheK", "F16[20 8], want a contiguous F32, F16, BF16 or Q8_0 cache", func(o *runtime.StoreKV) { o.CacheK = cache(16).ColRange(0, 8) }},
		{"K", "F32[3 7], want [-1 8]", func(o *runtime.StoreKV) { o.K = f32(3, 7) }},
		{"V", "F32[2 12], want [3 12]", func(o *runtime.StoreKV) { o.V = f32(2, 12) }},
		{"CacheV", "F16[25 12], want [20 -1]", func(o *runtime.StoreKV) { o.CacheV = of(quant.F16, 25, 12) }},
		{"CacheV", "has another type than CacheK", func(o *runtime.StoreKV) { o.CacheV = of(quant.BF16, 20, 12) }},
		{"Slots", "I32[1 2], want 3 elements", func(o *runtime.StoreKV) { o.Slots = i32(1, 2) }},
		{"KVHeads", "does not divide the columns of K and V", func(o *runtime.StoreKV) { o.KVHeads = 3 }},
		{"KVHeads", "does not divide the columns of K and V", func(o *runtime.StoreKV) { o.KVHeads = 0 }},
	})
	checks(t, func() runtime.CopyBlocks {
		return runtime.CopyBlocks{Cache: of(quant.Q8_0, 20, 32), Src: i32(1, 2), Dst: i32(2, 1), BlockSize: 4}
	}, []wrong[runtime.CopyBlocks]{
		{"BlockSize", "does not divide the rows of the cache", func(o *runtime.CopyBlocks) { o.BlockSize = 6 }},
		{"Dst", "I32[1 3], want 2 elements", func(o *runtime.CopyBlocks) { o.Dst = i32(1, 3) }},
	})
}

func TestCheckAttention(t *testing.T) {
	right := func() runtime.Attention { // 4 heads of 2 and 3, 2 of K and V, 5 tokens, 2 sequences
		return runtime.Attention{
			Out: f32(5, 12), Q: f32(5, 8), K: f32(9, 4), V: f32(9, 6), Heads: 4, KVHeads: 2,
			QStarts: i32(1, 3), KLens: i32(1, 2), KStarts: i32(1, 2), MaxQ: 3, MaxK: 6, Left: -1, Right: -1,
			Slopes: f32(1, 4), Sinks: f32(1, 4), KeyBias: f32(4, 7), RelIndex: i32(1, 5), RelBias: f32(3, 4),
			QRel: f32(5, 12), KRel: f32(9, 12), Probs: f32(5, 28),
		}
	}
	paged := func(o *runtime.Attention) {
		o.K, o.V, o.KStarts = of(quant.F16, 12, 4), of(quant.F16, 12, 6), runtime.Tensor{}
		o.Blocks, o.BlockSize, o.QRel, o.KRel = i32(2, 2), 3, runtime.Tensor{}, runtime.Tensor{}
	}
	type W = wrong[runtime.Attention]
	checks(t, right, []W{
		{"Heads", "is no multiple of KVHeads", func(o *runtime.Attention) { o.KVHeads = 3 }},
		{"Heads", "is no multiple of KVHeads", func(o *runtime.Attention) { o.KVHeads = 0 }},
		{"Heads", "does not divide the columns of Q and Out", func(o *runtime.Attention) { o.Q = f32(5, 10) }},
		{"Heads", "does not divide the columns of Q and Out", func(o *runtime.Attention) { o.Q = f32(5, 0) }},
		{"Out", "F32[4 12], want [5 -1]", func(o *runtime.Attention) { o.Out = f32(4, 12) }},
		{"KLens", "absent", func(o *runtime.Attention) { o.KLens = runtime.Tensor{} }},
		{"QStarts", "I32[1 2], want 3 elements", func(o *runtime.Attention) { o.QStarts = i32(1, 2) }},
		{"Blocks", "exactly one of KStarts and Blocks", func(o *runtime.Attention) { o.Blocks = i32(2, 2) }},
		{"Blocks", "exactly one of KStarts and Blocks", func(o *runtime.Attention) { o.KStarts = runtime.Tensor{} }},
		{"K", "F32[9 5], want [-1 4]", func(o *runtime.Attention) { o.K = f32(9, 5) }},
		{"V", "F32[8 6], want [9 6]", func(o *runtime.Attention) { o.V = f32(8, 6) }},
		{"K", "F16[9 4], want F32", func(o *runtime.Attention) { o.K = of(quant.F16, 9, 4) }},
		{"KStarts", "I32[1 3], want 2 elements", func(o *runtime.Attention) { o.KStarts = i32(1, 3) }},
		{"MaxK", "negative", func(o *runtime.Attention) { o.MaxK = -1 }},
		{"MaxK", "negative", func(o *runtime.Attention) { o.MaxQ = -1 }},
		{"Left", "below Unlimited", func(o *runtime.Attention) { o.Left = -2 }},
		{"Left", "below Unlimited", func(o *runtime.Attention) { o.Right = -2 }},
		{"Slopes", "F32[1 3], want [1 4]", func(o *runtime.Attention) { o.Slopes = f32(1, 3) }},
		{"Sinks", "F32[4 1], want [1 4]", func(o *runtime.Attention) { o.Sinks = f32(4, 1) }},
		{"KeyBias", "F32[3 7], want [4 -1]", func(o *runtime.Attention) { o.KeyBias = f32(3, 7) }},
		{"KeyBias", "has fewer columns than MaxK", func(o *runtime.Attention) { o.KeyBias = f32(4, 5) }},
		{"RelIndex", "goes with RelBias, QRel or KRel", func(o *runtime.Attention) { o.RelIndex = runtime.Tensor{} }},
		{"RelIndex", "goes with RelBias, QRel or KRel", func(o *runtime.Attention) {
			o.RelBias, o.QRel, o.KRel = runtime.Tensor{}, runtime.Tensor{}, runtime.Tensor{}
		}},
		{"RelIndex", "wants 2M+1 elements", func(o *runtime.Attention) { o.RelIndex = i32(1, 4) }},
		{"RelBias", "F32[3 3], want [-1 4]", func(o *runtime.Attention) { o.RelBias = f32(3, 3) }},
		{"QRel", "F32[4 12], want [5 -1]", func(o *runtime.Attention) { o.QRel = f32(4, 12) }},
		{"KRel", "F32[8 12], want [9 -1]", func(o *runtime.Attention) { o.KRel = f32(8, 12) }},
		{"QRel", "columns are no multiple of Heads", func(o *runtime.Attention) { o.QRel = f32(5, 13) }},
		{"KRel", "has other columns than QRel", func(o *runtime.Attention) { o.KRel = f32(9, 16) }},
		{"Probs", "F32[4 28], want [5 -1]", func(o *runtime.Attention) { o.Probs = f32(4, 28) }},
		{"Probs", "has fewer columns than Heads·MaxK", func(o *runtime.Attention) { o.Probs = f32(5, 20) }},
		{"Probs", "has fewer columns than Heads·MaxK", func(o *runtime.Attention) { o.Probs = f32(5, 30) }},
		{"Probs", "F32[5 28] shares memory with Out", func(o *runtime.Attention) {
			o.Probs = f32(6, 28)
			o.Out = o.Probs.RowRange(1, 6).ColRange(0, 12)
			o.Probs = o.Probs.RowRange(0, 5)
		}},
		{"Q", "F32[5 12] shares memory with Out", func(o *runtime.Attention) {
			o.Q, o.K, o.QRel, o.KRel = o.Out, f32(9, 6), runtime.Tensor{}, runtime.Tensor{}
		}},
		{"K", "F32[9 4] shares memory with Out", func(o *runtime.Attention) {
			m := f32(1, 100)
			m.Rows, m.Cols, m.Stride = 9, 4, 4
			o.K = m
			m.Rows, m.Cols, m.Stride = 5, 12, 12
			o.Out = m
		}},
		{"paged", "", paged},
		{"K", "F16[12 5], want [-1 4]", func(o *runtime.Attention) { paged(o); o.K = of(quant.F16, 12, 5) }},
		{"V", "F16[9 6], want [12 6]", func(o *runtime.Attention) { paged(o); o.V = of(quant.F16, 9, 6) }},
		{"V", "has another type than K", func(o *runtime.Attention) { paged(o); o.V = of(quant.F32, 12, 6) }},
		{"BlockSize", "does not divide the rows of the cache", func(o *runtime.Attention) { paged(o); o.BlockSize = 0 }},
		{"Blocks", "I32[1 2], want [2 -1]", func(o *runtime.Attention) { paged(o); o.Blocks = i32(1, 2) }},
		{"MaxK", "exceeds what the block table holds", func(o *runtime.Attention) { paged(o); o.MaxK = 7 }},
		{"KRel", "needs contiguous keys", func(o *runtime.Attention) { paged(o); o.KRel = f32(12, 12) }},
	})
}
