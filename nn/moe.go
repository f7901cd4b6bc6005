package nn

// Mixture of experts: a router chooses a few of many feed-forward layers for
// each token, and only those are computed.

import "github.com/godwit-ml/godwit/runtime"

// MoE is x += Σ_k w_k·Down_k(Act(Gate_k(h))·Up_k(h)) over the K experts that the
// router scores highest for a token (Shazeer et al., 2017; Mixtral, Jiang et al.,
// 2024). The rows of all tokens that chose an expert are one product.
type MoE struct {
	Router Linear           // [T, D] → [T, experts]
	K      int              // experts a token
	Norm   runtime.TopKNorm // SoftmaxTop: weights sum to 1; SoftmaxAll: what they are among all experts
	Act    runtime.Fn
	inner  int            // I, features between up and down
	gated  runtime.Tensor // [experts·2I, D]: the gate of each expert over its up
	gate   runtime.Tensor // [experts·I, D], where gate and up are apart
	up     runtime.Tensor
	down   runtime.Tensor // [experts·D, I]
}

// Experts is the host side of the experts of a layer, matrix e of expert e, in
// one of two forms: Gate and Up stacked apart, [experts·I, D] each, or Gated,
// [experts·2I, D], each expert's gate over its up. Down is [experts·D, I].
type Experts struct {
	Gate, Up, Gated, Down runtime.Tensor

	pairs, downs []runtime.Tensor // of StackExperts: Gated and Down in parts
}

// StackExperts is the matrices of experts that are stored apart, gate and up
// [I, D], down [D, I]; the three lists are equally long. They are stacked when they
// are loaded. Those whose stored types differ are decoded first.
func StackExperts(gate, up, down []runtime.Tensor) Experts {
	pairs := make([]runtime.Tensor, 0, 2*len(gate))
	for e := range gate {
		pairs = append(pairs, gate[e], up[e])
	}
	return Experts{pairs: alike(pairs), downs: alike(down)}
}

// alike is ts, as F32 if they are not of one type.
func alike(ts []runtime.Tensor) []runtime.Tensor {
	for _, t := range ts {
		if t.DType != ts[0].DType {
			floats := make([]runtime.Tensor, len(ts))
			for i, t := range ts {
				floats[i] = t.Float()
			}
			return floats
		}
	}
	return ts
}

// LoadMoE puts a router [experts, D] and its experts on the device.
func LoadMoE(s *runtime.Stream, router Dense, e Experts, inner, k int, norm runtime.TopKNorm, act runtime.Fn) *MoE {
	if len(e.pairs) > 0 {
		return &MoE{
			Router: LoadLinear(s, router), K: k, Norm: norm, Act: act, inner: inner,
			gated: s.LoadRows(e.pairs, runtime.UseProduct),
			down:  s.LoadRows(e.downs, runtime.UseProduct),
		}
	}
	return &MoE{
		Router: LoadLinear(s, router), K: k, Norm: norm, Act: act, inner: inner,
		gated: s.LoadWeight(e.Gated, runtime.UseProduct),
		gate:  s.LoadWeight(e.Gate, runtime.UseProduct),
		up:    s.LoadWeight(e.Up, runtime.UseProduct),
		down:  s.LoadWeight(e.Down, runtime.UseProduct),
	}
}

// Apply computes x += MoE(h); x is the residual stream [T, D].
func (m *MoE) Apply(st *Step, x, h runtime.Tensor) {
	s := st.S
	defer s.Release(s.Mark())
	scores := s.Scratch(st.Tokens, m.Router.Out)
	m.Router.Apply(s, scores, h, Epilogue{})
	weights, chosen := s.Scratch(st.Tokens, m.K), s.ScratchI32(st.Tokens, m.K)
	s.TopK(runtime.TopK{Values: weights, IDs: chosen, X: scores, Norm: m.Norm})
	pick := chosen.Reshape(1, st.Tokens*m.K) // row t·K+k is choice k of token t
	mid := s.Scratch(st.Tokens*m.K, m.inner)
	if m.gated.IsZero() {
		up := s.Scratch(st.Tokens*m.K, m.inner)
		s.MatMul(runtime.MatMul{Out: up, X: h, W: m.up, Pick: pick, Fan: m.K})
		s.MatMul(runtime.MatMul{Out: mid, X: h, W: m.gate, Act: m.Act, Pick: pick, Fan: m.K})
		s.Pointwise(runtime.Pointwise{Out: mid, X: mid, Mul: up})
	} else {
		s.MatMul(runtime.MatMul{Out: mid, X: h, W: m.gated, Act: m.Act, Gated: true, Pick: pick, Fan: m.K})
	}
	out := s.Scratch(st.Tokens*m.K, x.Cols)
	s.MatMul(runtime.MatMul{Out: out, X: mid, W: m.down, Pick: pick})
	s.Combine(runtime.Combine{Out: x, X: out, Weights: weights, Residual: x})
}
