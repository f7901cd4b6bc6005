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
	f.floats(c, ldc, a, m, floatsAt(panels), k, n)
}

// pieceDepth is the k of a piece of a panel that stays in the first-level cache
// while rows are multiplied by it.
const pieceDepth = 256

// floats multiplies by panels of float32.
func (f multiplyF32) floats(c []float32, ldc int, a activations, m int, b []float32, k, n int) {
	if m <= f.k.Height {
		f.k.MulF32(c, ldc, a.f32, a.ld, b, k, m, n, false)
		return
	}
	tiles := (m + f.k.Height - 1) / f.k.Height
	for p := range n {
		panel := b[p*k*simd.Panel:][:k*simd.Panel]
		for from := 0; ; {
			to := nextPiece(from, k)
			for t := range tiles {
				r, end := m*t/tiles, m*(t+1)/tiles
				f.k.MulF32(c[r*ldc+p*simd.Panel:], ldc, a.f32[r*a.ld+from:], a.ld, panel[from*simd.Panel:], to-from, end-r, 1, from > 0)
			}
			if from = to; from >= k {
				break
			}
		}
	}
}

// nextPiece is where the piece from from on of k ends: pieces are of about equal
// depth, a multiple of 32.
func nextPiece(from, k int) int {
	left := max((k-from+pieceDepth-1)/pieceDepth, 1)
	return min(from+((k-from+left-1)/left+31)&^31, k)
}
