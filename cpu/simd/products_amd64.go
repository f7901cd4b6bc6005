//go:build !noasm && !portable

package simd

func products(p Path) Products {
	x := portableProducts()
	if p >= AVX2 {
		x.Height, x.Once = 6, 3
		x.MulRowsF32, x.DotRows = mulRowsF32AVX2, dotRowsAVX2
		x.MulF32, x.MulNextF32, x.MulF16, x.MulBF16 = mulF32AVX2, mulNextF32AVX2, mulF16AVX2, mulBF16AVX2
		x.UnpackBF16 = unpackBF16Wide
		x.FillWords, x.FillHalves = transposeWide, transposeHalvesWide
	}
	if p >= AVX512 {
		x.Height, x.Once = 12, 12
		x.MulRowsF32, x.DotRows = mulRowsF32AVX512, dotRowsAVX512
		x.MulF32, x.MulNextF32, x.MulF16, x.MulBF16 = mulF32AVX512, mulNextF32AVX512, mulF16AVX512, mulBF16AVX512
	}
	if p >= VNNI {
		x.DotBF16, x.RoundBF16 = mulDotBF16AVX512, roundBF16Wide
	}
	return x
}

func unpackBF16Wide(dst []float32, src []uint16, k int) {
	unpackBF16AVX2(dst, src, k/2)
	if i := k &^ 1; i < k {
		unpackBF16(dst[i*Panel:], src[i*Panel:], 1)
	}
}

func roundBF16Wide(dst []uint16, src []float32) {
	n := len(dst) &^ 15
	roundBF16AVX512(dst, src, n)
	roundBF16(dst[n:], src[n:])
}

func transposeWide(dst []uint32, src []byte, stride, n int) {
	transposeAVX2(dst, src, stride, n&^7)
	if i := n &^ 7; i < n {
		transpose(dst[i*Panel:], src[4*i:], stride, n-i)
	}
}

func transposeHalvesWide(dst []uint16, src []byte, stride, n int) {
	transposeHalvesAVX2(dst, src, stride, n/2&^7)
	if i := n &^ 15; i < n {
		transposeHalves(dst[i*Panel:], src[2*i:], stride, n-i)
	}
}
