package nn

// Soft caps, which keep scores and logits within bounds (Gemma 2).

import "github.com/godwit-ml/godwit/runtime"

// SoftCap is the bound of cap·tanh(x/cap).
type SoftCap float32

// Scored implements Scores.
func (c SoftCap) Scored(_ *Step, op runtime.Attention) runtime.Attention {
	op.SoftCap = float32(c)
	return op
}

// Apply caps x in place.
func (c SoftCap) Apply(s *runtime.Stream, x runtime.Tensor) {
	s.Pointwise(runtime.Pointwise{Out: x, X: x, F: runtime.Tanh, In: 1 / float32(c), Scale: float32(c)})
}
