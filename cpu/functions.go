package cpu

// The elementwise functions, computed in float64 and rounded once.

import (
	"math"

	"github.com/godwit-ml/godwit/runtime"
)

// apply sets v[i] = f(v[i]).
func apply(f runtime.Fn, v []float32) {
	switch f {
	case runtime.Ident:
	case runtime.Relu:
		for i, x := range v {
			if x < 0 { // a NaN stays
				v[i] = 0
			}
		}
	case runtime.Gelu:
		for i, x := range v {
			v[i] = gelu(x)
		}
	case runtime.GeluTanh:
		for i, x := range v {
			v[i] = geluTanh(x)
		}
	case runtime.Silu:
		for i, x := range v {
			v[i] = silu(x)
		}
	case runtime.Tanh:
		for i, x := range v {
			v[i] = float32(math.Tanh(float64(x)))
		}
	case runtime.Sigmoid:
		for i, x := range v {
			v[i] = float32(1 / (1 + math.Exp(-float64(x))))
		}
	default:
		panic("cpu: a function the device does not know")
	}
}

// work is what one application of f costs, in the unit of pool.run.
func work(f runtime.Fn) int64 {
	if f <= runtime.Relu {
		return 1
	}
	return 15
}

// gelu uses erfc, which keeps its digits where 1+erf loses them, at x ≪ 0.
func gelu(x32 float32) float32 {
	x := float64(x32)
	return float32(x / 2 * math.Erfc(-x/math.Sqrt2))
}

// geluTanh writes (1+tanh(u))/2 as 1/(1+e^-2u) for the same reason.
func geluTanh(x32 float32) float32 {
	const c = 0.79788456080286535588 // √(2/π)
	x := float64(x32)
	return float32(x / (1 + math.Exp(-2*c*(x+0.044715*x*x*x))))
}

func silu(x32 float32) float32 {
	x := float64(x32)
	return float32(x / (1 + math.Exp(-x)))
}
