package simd

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// BenchmarkMulBlocks: products of 576 with panels that lie in the second-level
// cache; GOP/s count a multiplication and an addition as two.
func BenchmarkMulBlocks(b *testing.B) {
	const blocks, panels = 18, 8
	for p := AVX2; p <= min(Best(), VNNI); p++ {
		kernels := &For(p).Blocks
		for _, kind := range blockKinds {
			for _, m := range []int{1, 4, 32} {
				b.Run(fmt.Sprintf("%v/%s/rows=%d", p, kind.name, m), func(b *testing.B) {
					rng := rand.New(rand.NewPCG(1, 1))
					a, step := formed(rng, m, 32*blocks)
					w := append(alignedBytes(0), kind.panels(rng, blocks*panels)...)
					c := make([]float32, m*panels*Panel)
					for b.Loop() {
						kind.mul(kernels)(c, panels*Panel, a, step, w, blocks, m, panels)
					}
					s := b.Elapsed().Seconds() / float64(b.N)
					b.ReportMetric(2*float64(m*panels*Panel*32*blocks)/s/1e9, "GOP/s")
					b.ReportMetric(float64(len(w))/s/1e9, "GB/s")
				})
			}
		}
	}
}

// BenchmarkFloatBlocks: a piece of a panel as floats.
func BenchmarkFloatBlocks(b *testing.B) {
	for p := Portable; p <= min(Best(), AVX512); p++ {
		kernels := &For(p).Blocks
		for _, kind := range blockKinds {
			b.Run(fmt.Sprintf("%v/%s", p, kind.name), func(b *testing.B) {
				w := kind.panels(rand.New(rand.NewPCG(1, 1)), 4)
				dst := make([]float32, 4*32*Panel)
				b.SetBytes(int64(4 * len(dst)))
				for b.Loop() {
					kind.floats(kernels)(dst, w, 4)
				}
			})
		}
	}
}

func BenchmarkQuantize(b *testing.B) {
	for p := Portable; p <= min(Best(), AVX512); p++ {
		b.Run(p.String(), func(b *testing.B) {
			x := make([]float32, 576)
			for i := range x {
				x[i] = float32(i%97) - 48
			}
			dst, f := alignedBytes(FormSize(len(x))), For(p).Quantize
			for b.Loop() {
				f(dst, x)
			}
		})
	}
}
