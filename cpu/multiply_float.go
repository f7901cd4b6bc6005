package cpu

// Panels of F32, F16 and BF16, and their products.

import (
	"github.com/godwit-ml/godwit/cpu/simd"
	"github.com/godwit-ml/godwit/runtime"
)

var panelsF32 = format{
	dtype: runtime.F32,
	size:  func(cols int) int { return cols * simd.Panel * 4 },
	pack: func(dst, src []byte, stride, rows, cols int) {
		out := floatsAt(dst)
		clear(out)
		for r := range rows {
			for c, x := range floatsAt(src[r*stride:][:4*cols]) {
				out[c*simd.Panel+r] = x
			}
		}
	},
}

// multiplyF32 multiplies in float32.
type multiplyF32 struct{ k *simd.Kernels }

func (multiplyF32) formSize(int) int { return 0 }

func (multiplyF32) form([]byte, []float32) {}

func (f multiplyF32) multiply(_ *worker, c []float32, ldc int, a activations, m int, panels []byte, k, n int) {
	b := floatsAt(panels)
	for r := 0; r < m; r += f.k.Height {
		f.k.MulF32(c[r*ldc:], ldc, a.f32[r*a.ld:], a.ld, b, k, min(f.k.Height, m-r), n, false)
	}
}
