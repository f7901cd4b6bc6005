//go:build !noasm && !portable

package simd

func scores(p Path) Scores {
	switch {
	case p >= AVX512:
		return Scores{
			Soften: softenAVX512, Merge: mergeSpanAVX512, Divide: divideRowAVX512, Slope: slopeScoresAVX512, Finite: allFiniteAVX512,
			PanelKeys: panelKeys(transposeKeysAVX512),
			WidenF32:  widenRowsF32AVX512, WidenF16: widenRowsF16AVX512, WidenBF16: widenRowsBF16AVX512,
			WidenQ8: widenRowsQ8AVX512, WidenKeysQ8: widenKeysQ8AVX512,
			DirectF32:  &Direct{dotF32AVX512, weighF32AVX512},
			DirectF16:  &Direct{dotF16AVX512, weighF16AVX512},
			DirectBF16: &Direct{dotBF16AVX512, weighBF16AVX512},
			DirectQ8:   &Direct{dotQ8AVX512, weighQ8AVX512},
		}
	case p >= AVX2:
		return Scores{
			Soften: softenAVX2, Merge: mergeSpanAVX2, Divide: divideRowAVX2, Slope: slopeScoresAVX2, Finite: allFiniteAVX2,
			PanelKeys: panelKeys(transposeKeysAVX2),
			WidenF32:  widenRowsF32AVX2, WidenF16: widenRowsF16AVX2, WidenBF16: widenRowsBF16AVX2,
			WidenQ8: widenRowsQ8AVX2, WidenKeysQ8: widenKeysQ8AVX2,
			DirectF32:  &Direct{dotF32AVX2, weighF32AVX2},
			DirectF16:  &Direct{dotF16AVX2, weighF16AVX2},
			DirectBF16: &Direct{dotBF16AVX2, weighBF16AVX2},
			DirectQ8:   &Direct{dotQ8AVX2, weighQ8AVX2},
		}
	}
	return portableScores()
}

// panelKeys is PanelKeys by a function that takes four features at a time.
func panelKeys(fours func(dst []float32, ldd int, src []float32, lds, n int)) func(dst []float32, ldd int, src []float32, lds, n int) {
	return func(dst []float32, ldd int, src []float32, lds, n int) {
		whole := n &^ 3
		if whole > 0 {
			fours(dst, ldd, src, lds, whole)
		}
		if whole < n {
			transposeKeys(dst[whole*ldd:], ldd, src[whole:], lds, n-whole)
		}
	}
}
