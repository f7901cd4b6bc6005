package nn

// Attention layers: projections, rotation, cache, and the attention itself.

import "github.com/godwit-ml/godwit/runtime"

// Attention is multi-head self-attention with a projection before and after.
type Attention struct {
	QKV            Linear // [T, D] → q | k | v, heads side by side
	Out            Linear // [T, Heads·HeadDim] → [T, D]
	Heads, KVHeads int
	HeadDim        int
	Scale          float32 // of the scores, usually 1/√HeadDim
	Left, Right    int     // keys seen before and after a token; runtime.Unlimited: all
	QNorm, KNorm   *Norm   // of each head of q and of k, [HeadDim], before rotation; nil: none
	Rotary         *Rotary // nil: no rotation
	Scores         Scores  // nil: scores are the scaled products
}

// Scores says what an attention does to its scores beside scaling them: a bias,
// a cap.
type Scores interface {
	// Scored is an operation whose other operands are set, with those of the
	// scores. Scratch it takes is released with the attention's.
	Scored(st *Step, op runtime.Attention) runtime.Attention
}

// Apply computes x += Out(attention(h)) for layer of the step. h [T, D] is x,
// normalised or not; x is the residual stream. Keys and values of the step go
// through the cache if the step has one.
func (a *Attention) Apply(st *Step, layer int, x, h runtime.Tensor) {
	a.ApplyTo(st, layer, x, x, h)
}

// ApplyTo is Apply with out = residual + Out(attention(h)).
func (a *Attention) ApplyTo(st *Step, layer int, out, residual, h runtime.Tensor) {
	s := st.S
	defer s.Release(s.Mark())
	nq, nk := a.Heads*a.HeadDim, a.KVHeads*a.HeadDim
	qkv := s.Scratch(st.Tokens, nq+2*nk)
	a.QKV.Apply(s, qkv, h, Epilogue{})
	q, k, v := qkv.ColRange(0, nq), qkv.ColRange(nq, nq+nk), qkv.ColRange(nq+nk, nq+2*nk)
	if a.QNorm != nil {
		a.QNorm.applyHeads(s, q, a.HeadDim)
	}
	if a.KNorm != nil {
		a.KNorm.applyHeads(s, k, a.HeadDim)
	}
	if a.Rotary != nil {
		a.Rotary.Apply(st, qkv.ColRange(0, nq+nk), a.HeadDim) // q and k lie side by side
	}
	mix := s.Scratch(st.Tokens, nq)
	op := runtime.Attention{
		Out: mix, Q: q, K: k, V: v, Heads: a.Heads, KVHeads: a.KVHeads, Scale: a.Scale,
		QStarts: st.QStarts, KLens: st.KLens, MaxQ: st.MaxQ, MaxK: st.MaxK,
		Left: a.Left, Right: a.Right,
	}
	if st.Slots.IsZero() {
		op.KStarts = st.KStarts
	} else {
		op.K, op.V, op.Blocks, op.BlockSize = st.CacheK[layer], st.CacheV[layer], st.Blocks, st.BlockSize
		s.StoreKV(runtime.StoreKV{K: k, V: v, CacheK: op.K, CacheV: op.V, Slots: st.Slots, KVHeads: a.KVHeads, BlockSize: st.BlockSize})
	}
	if a.Scores != nil {
		op = a.Scores.Scored(st, op)
	}
	st.attend(op, st.self(), layer)
	a.Out.Apply(s, out, mix, Epilogue{Residual: residual})
}

// CrossAttention is a decoder's multi-head attention to its source, the
// encoder's hidden states. Keys and values of a source are stored once and read
// in every step.
type CrossAttention struct {
	Q, Out Linear // [T, D] → [T, Heads·HeadDim], and back
	KV     Linear // [S, D] → k | v, of the encoder's hidden states
	Heads  int
	Scale  float32 // of the scores
}

// Store writes the keys and values of sources, hidden [S, D] laid end to end, to
// slots [S] of the caches of layer.
func (a *CrossAttention) Store(s *runtime.Stream, cacheK, cacheV, hidden, slots runtime.Tensor, blockSize int) {
	defer s.Release(s.Mark())
	n := a.Q.Out
	kv := s.Scratch(hidden.Rows, 2*n)
	a.KV.Apply(s, kv, hidden, Epilogue{})
	s.StoreKV(runtime.StoreKV{K: kv.ColRange(0, n), V: kv.ColRange(n, 2*n), CacheK: cacheK, CacheV: cacheV,
		Slots: slots, KVHeads: a.Heads, BlockSize: blockSize})
}

// Apply computes x += Out(attention(h to the source)); x is the residual stream.
func (a *CrossAttention) Apply(st *Step, layer int, x, h runtime.Tensor) {
	s := st.S
	defer s.Release(s.Mark())
	q, mix := s.Scratch(st.Tokens, a.Q.Out), s.Scratch(st.Tokens, a.Q.Out)
	a.Q.Apply(s, q, h, Epilogue{})
	st.attend(runtime.Attention{
		Out: mix, Q: q, K: st.CacheK[layer], V: st.CacheV[layer], Heads: a.Heads, KVHeads: a.Heads, Scale: a.Scale,
		QStarts: st.QStarts, KLens: st.SourceLens, Blocks: st.SourceBlocks, BlockSize: st.BlockSize,
		MaxQ: st.MaxQ, MaxK: st.MaxSource, Left: runtime.Unlimited, Right: runtime.Unlimited,
	}, st.cross(), layer)
	a.Out.Apply(s, x, mix, Epilogue{Residual: x})
}
