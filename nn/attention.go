package nn

// Self-attention: projections, rotation, cache, and the attention itself.

import "github.com/godwit-ml/godwit/runtime"

// Attention is multi-head self-attention with a projection before and after.
type Attention struct {
	QKV            Linear // [T, D] → q | k | v, heads side by side
	Out            Linear // [T, Heads·HeadDim] → [T, D]
	Heads, KVHeads int
	HeadDim        int
	Scale          float32 // of the scores, usually 1/√HeadDim
	Left, Right    int     // keys seen before and after a token; runtime.Unlimited: all
	Rotary         *Rotary // nil: no rotation
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
	if a.Rotary != nil {
		a.Rotary.Apply(st, qkv.ColRange(0, nq+nk), a.HeadDim) // q and k lie side by side
	}
	mix := s.Scratch(st.Tokens, nq)
	op := runtime.Attention{
		Out: mix, Q: q, K: k, V: v, Heads: a.Heads, KVHeads: a.KVHeads, Scale: a.Scale,
		QStarts: st.QStarts, KLens: st.KLens, MaxQ: st.MaxQ, MaxK: st.MaxK,
		Left: a.Left, Right: a.Right,
		Probs: st.probs(layer, a.Heads),
	}
	if st.Slots.IsZero() {
		op.KStarts = st.KStarts
	} else {
		op.K, op.V, op.Blocks, op.BlockSize = st.CacheK[layer], st.CacheV[layer], st.Blocks, st.BlockSize
		s.StoreKV(runtime.StoreKV{K: k, V: v, CacheK: op.K, CacheV: op.V, Slots: st.Slots, KVHeads: a.KVHeads, BlockSize: st.BlockSize})
	}
	s.Attention(op)
	st.captured(layer, op.Probs)
	a.Out.Apply(s, out, mix, Epilogue{Residual: residual})
}
