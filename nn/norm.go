package nn

// Normalisation layers.

import (
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/weights"
)

// Norm is a LayerNorm or RMSNorm over whole rows.
type Norm struct {
	Kind         runtime.NormKind
	Weight, Bias runtime.Tensor // [1, D]; Bias absent for RMSNorm
	Eps          float32
}

// LoadLayerNorm binds weight and bias [n] of a scope.
func LoadLayerNorm(s *runtime.Stream, sc *weights.Scope, n int, eps float64) Norm {
	return Norm{
		Kind:   runtime.LayerNorm,
		Weight: s.LoadWeight(ReadVector(sc, "weight", n), runtime.UseVector),
		Bias:   s.LoadWeight(ReadVector(sc, "bias", n), runtime.UseVector),
		Eps:    float32(eps),
	}
}

// LoadRMSNorm binds weight [n] of a scope.
func LoadRMSNorm(s *runtime.Stream, sc *weights.Scope, n int, eps float64) Norm {
	return Norm{
		Kind:   runtime.RMSNorm,
		Weight: s.LoadWeight(ReadVector(sc, "weight", n), runtime.UseVector),
		Eps:    float32(eps),
	}
}

// Apply computes out [T, D] from x; they may be the same.
func (n *Norm) Apply(s *runtime.Stream, out, x runtime.Tensor) {
	s.Norm(runtime.Norm{Out: out, X: x, Weight: n.Weight, Bias: n.Bias, Kind: n.Kind, Eps: n.Eps})
}

// applyHeads normalises each head of x [T, heads·headDim] in place.
func (n *Norm) applyHeads(s *runtime.Stream, x runtime.Tensor, headDim int) {
	s.Norm(runtime.Norm{Out: x, X: x, Weight: n.Weight, Bias: n.Bias, Kind: n.Kind, Eps: n.Eps, Groups: x.Cols / headDim})
}
