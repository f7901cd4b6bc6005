package model

// Pooling: one vector a sequence.

import (
	"github.com/godwit-ml/godwit/runtime"
)

// Pooling says how the hidden states of a sequence become one vector.
type Pooling string

// The ways of pooling.
const (
	PoolMean  Pooling = "mean" // of all tokens
	PoolFirst Pooling = "cls"  // the first token's
	PoolLast  Pooling = "last" // the last token's
)

// Pool is a vector [N, D] of each sequence of a batch with the hidden states
// [T, D], of length 1 if normalize is set.
func Pool(s *runtime.Stream, b *Batch, hidden runtime.Tensor, how Pooling, normalize bool) runtime.Tensor {
	n := len(b.KLens)
	var out runtime.Tensor
	switch how {
	case PoolFirst:
		out = Rows(s, hidden, b.QStarts[:n])
	case PoolLast:
		last := make([]int32, n)
		for i := range last {
			last[i] = b.QStarts[i+1] - 1
		}
		out = Rows(s, hidden, last)
	default:
		out = mean(s, b, hidden)
	}
	if normalize {
		s.Norm(runtime.Norm{Out: out, X: out, Kind: runtime.L2Norm, Eps: 1e-12})
	}
	return out
}

// Summaries are the rows [N, D] that HeadSequence reads of a batch with the hidden
// states [T, D].
func Summaries(s *runtime.Stream, in Info, b *Batch, hidden runtime.Tensor) runtime.Tensor {
	if in.Summary == PoolMean {
		return mean(s, b, hidden)
	}
	return Rows(s, hidden, b.QStarts[:len(b.KLens)])
}

// mean averages with the attention operation: a query of zeros weighs all keys
// of its sequence alike, and they are the values too.
func mean(s *runtime.Stream, b *Batch, hidden runtime.Tensor) runtime.Tensor {
	n := len(b.KLens)
	starts := make([]int32, n+1)
	longest := 0
	for i := range n {
		starts[i+1] = int32(i + 1)
		longest = max(longest, int(b.KLens[i]))
	}
	put := func(v []int32) runtime.Tensor {
		t := s.ScratchI32(1, len(v))
		s.UploadI32(t, v)
		return t
	}
	zero, out := s.Scratch(n, hidden.Cols), s.Scratch(n, hidden.Cols)
	s.UploadF32(zero, make([]float32, n*hidden.Cols))
	s.Attention(runtime.Attention{
		Out: out, Q: zero, K: hidden, V: hidden, Heads: 1, KVHeads: 1,
		QStarts: put(starts), KLens: put(b.KLens), KStarts: put(b.QStarts[:n]),
		MaxQ: 1, MaxK: longest, Left: runtime.Unlimited, Right: runtime.Unlimited,
	})
	return out
}
