package nn

// Feed-forward layers, plain and gated.

import "github.com/godwit-ml/godwit/runtime"

// MLP is x += Down(Act(Up(h))); with a gate, x += Down(Act(Gate(h))·Up(h)).
type MLP struct {
	Up, Down Linear
	Act      runtime.Fn
	gate     Linear         // gate apart from up: their stored types differ
	gated    runtime.Tensor // gate rows over up rows, one matrix
	bias     runtime.Tensor
}

// LoadMLP puts a plain feed-forward layer on the device.
func LoadMLP(s *runtime.Stream, up, down Dense, act runtime.Fn) MLP {
	return MLP{Up: LoadLinear(s, up), Down: LoadLinear(s, down), Act: act}
}

// LoadGatedMLP puts a gated feed-forward layer on the device (GLU variants;
// Shazeer, 2020). Gate and up become one product where their types agree.
func LoadGatedMLP(s *runtime.Stream, gate, up, down Dense, act runtime.Fn) MLP {
	if gate.W.DType != up.W.DType || gate.Bias.IsZero() != up.Bias.IsZero() {
		return MLP{gate: LoadLinear(s, gate), Up: LoadLinear(s, up), Down: LoadLinear(s, down), Act: act}
	}
	return loadGated(s, down, act, gate, up)
}

// LoadFusedMLP is LoadGatedMLP of a layer stored as one matrix, the gate's rows
// over the up's.
func LoadFusedMLP(s *runtime.Stream, gateUp, down Dense, act runtime.Fn) MLP {
	return loadGated(s, down, act, gateUp)
}

// loadGated loads the rows of gate and up as one matrix.
func loadGated(s *runtime.Stream, down Dense, act runtime.Fn, gateUp ...Dense) MLP {
	return MLP{Down: LoadLinear(s, down), Act: act, gated: loadRows(s, gateUp), bias: loadBias(s, gateUp)}
}

// Apply computes x += MLP(h); x is the residual stream [T, D].
func (m *MLP) Apply(st *Step, x, h runtime.Tensor) { m.ApplyTo(st, x, x, h) }

// ApplyTo is Apply with out = residual + MLP(h).
func (m *MLP) ApplyTo(st *Step, out, residual, h runtime.Tensor) {
	s := st.S
	defer s.Release(s.Mark())
	mid := s.Scratch(st.Tokens, m.Down.In)
	switch {
	case !m.gated.IsZero():
		s.MatMul(runtime.MatMul{Out: mid, X: h, W: m.gated, Bias: m.bias, Act: m.Act, Gated: true})
	case m.gate.Out > 0:
		up := s.Scratch(st.Tokens, m.Down.In)
		m.Up.Apply(s, up, h, Epilogue{})
		m.gate.Apply(s, mid, h, Epilogue{Act: m.Act})
		s.Pointwise(runtime.Pointwise{Out: mid, X: mid, Mul: up})
	default:
		m.Up.Apply(s, mid, h, Epilogue{Act: m.Act})
	}
	m.Down.Apply(s, out, mid, Epilogue{Residual: residual})
}
