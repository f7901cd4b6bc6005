//go:build !noasm && !portable

package simd

func blocks(p Path) Blocks {
	b := portableBlocks()
	switch {
	case p >= VNNI:
		b.MulQ4x0, b.MulQ4x1, b.MulQ8x0 = some(mulQ4x0VNNI), some(mulQ4x1VNNI), some(mulQ8x0VNNI)
	case p >= AVX512:
		b.MulQ4x0, b.MulQ4x1, b.MulQ8x0 = some(mulQ4x0AVX512), some(mulQ4x1AVX512), some(mulQ8x0AVX512)
	case p >= AVX2:
		b.MulQ4x0, b.MulQ4x1, b.MulQ8x0 = some(mulQ4x0AVX2), some(mulQ4x1AVX2), some(mulQ8x0AVX2)
	}
	switch {
	case p >= AVX512:
		b.FloatQ4x0, b.FloatQ4x1, b.FloatQ8x0 = someFloats(floatQ4x0AVX512), someFloats(floatQ4x1AVX512), someFloats(floatQ8x0AVX512)
		b.Quantize = someBlocks(quantizeAVX512)
	case p >= AVX2:
		b.FloatQ4x0, b.FloatQ4x1, b.FloatQ8x0 = someFloats(floatQ4x0AVX2), someFloats(floatQ4x1AVX2), someFloats(floatQ8x0AVX2)
		b.Quantize = someBlocks(quantizeAVX2)
	}
	return b
}

// some is a product that returns where there is nothing to multiply, or sets
// to zero what is the sum of nothing.
func some(f MulBlocks) MulBlocks {
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

func someBlocks(f func(dst []byte, x []float32, blocks int)) func([]byte, []float32) {
	return func(dst []byte, x []float32) {
		if n := len(x) / 32; n > 0 {
			f(dst, x, n)
		}
	}
}

func someFloats(f func(dst []float32, b []byte, blocks int)) func([]float32, []byte, int) {
	return func(dst []float32, b []byte, blocks int) {
		if blocks > 0 {
			f(dst, b, blocks)
		}
	}
}
