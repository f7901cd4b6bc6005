package nn

// Linear biases instead of positions (ALiBi; Press et al., 2021): the slopes of
// the heads, and Falcon's table of rounded biases.

import (
	"math"

	"github.com/godwit-ml/godwit/runtime"
)

// AlibiSlopes are the slopes of ALiBi: a query at i adds slope·(j-i) to its score
// of key j, which is what runtime.Attention.Slopes does. Of a power of two n of
// heads, head h (from 0) has 2^(-8(h+1)/n). Other counts take those of the power
// of two below, and for the rest every other slope of twice that power (the
// paper's code; BLOOM does the same).
func AlibiSlopes(heads int) []float32 {
	n := 1 // the largest power of two that is not above heads
	for 2*n <= heads {
		n *= 2
	}
	slopes := make([]float32, heads)
	for h := range slopes {
		exponent := -8 * float64(h+1) / float64(n)
		if h >= n {
			exponent = -8 * float64(2*(h-n)+1) / float64(2*n)
		}
		slopes[h] = float32(math.Exp2(exponent))
	}
	return slopes
}

// FalconKeyBias is Falcon's ALiBi, F32 [heads, positions] for
// runtime.Attention.KeyBias: bf16(bf16(slope)·bf16(j))·scale. Falcon computes it
// in bfloat16, where positions above 256 are no longer exact, and adds it to the
// scores before they are scaled; scale is that of the scores. A bias by the key
// alone is the same to the softmax as one by the distance, until it is rounded.
func FalconKeyBias(heads, positions int, scale float32) runtime.Tensor {
	out := make([]float32, heads*positions)
	for h, slope := range AlibiSlopes(heads) {
		slope = roundBF16(slope)
		for j := range positions {
			out[h*positions+j] = roundBF16(slope*roundBF16(float32(j))) * scale
		}
	}
	return runtime.HostF32(heads, positions, out)
}

// Alibi adds ALiBi's slopes times distances to scores.
type Alibi struct {
	Slopes runtime.Tensor // [1, heads]
}

// LoadAlibi puts the slopes of heads on the device.
func LoadAlibi(s *runtime.Stream, heads int) *Alibi {
	return &Alibi{s.LoadWeight(runtime.HostF32(1, heads, AlibiSlopes(heads)), runtime.UseVector)}
}

// Scored implements Scores.
func (a *Alibi) Scored(_ *Step, op runtime.Attention) runtime.Attention {
	op.Slopes = a.Slopes
	return op
}

// FalconAlibi adds Falcon's biases of keys to scores.
type FalconAlibi struct {
	Bias runtime.Tensor // [heads, positions]
}

// LoadFalconAlibi puts the biases of positions 0 … positions-1 on the device.
func LoadFalconAlibi(s *runtime.Stream, heads, positions int, scale float32) *FalconAlibi {
	return &FalconAlibi{s.LoadWeight(FalconKeyBias(heads, positions, scale), runtime.UseVector)}
}

// Scored implements Scores.
func (a *FalconAlibi) Scored(_ *Step, op runtime.Attention) runtime.Attention {
	op.KeyBias = a.Bias
	return op
}

// roundBF16 is the nearest number with eight significant bits, to even if two
// are equally near. x is finite.
func roundBF16(x float32) float32 {
	b := math.Float32bits(x)
	b += 0x7fff + b>>16&1
	return math.Float32frombits(b &^ 0xffff)
}
