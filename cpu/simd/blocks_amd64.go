//go:build !noasm && !portable

package simd

func blocks(p Path) Blocks {
	b := blocksPortable()
	switch {
	case p >= AVX512:
		b.Quantize = quantizeBlocks(quantizeAVX512)
	case p >= AVX2:
		b.Quantize = quantizeBlocks(quantizeAVX2)
	}
	if p >= VNNI {
		b.MulQ4x0, b.MulQ4x1, b.MulQ8x0 = checked(mulQ4x0VNNI), checked(mulQ4x1VNNI), checked(mulQ8x0VNNI)
	}
	return b
}

// checked is a product that returns where there is nothing to multiply, or sets
// to zero what is the sum of nothing.
func checked(f MulBlocks) MulBlocks {
	return func(c []float32, ldc int, a []byte, step int, b []byte, blocks, m, panels int) {
		if m > 0 && blocks > 0 && panels > 0 {
			f(c, ldc, a, step, b, blocks, m, panels)
			return
		}
		for r := range m {
			clear(c[r*ldc:][:panels*Panel])
		}
	}
}

func quantizeBlocks(f func(dst []byte, x []float32, blocks int)) func([]byte, []float32) {
	return func(dst []byte, x []float32) {
		if n := len(x) / 32; n > 0 {
			f(dst, x, n)
		}
	}
}
