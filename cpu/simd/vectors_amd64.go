//go:build !noasm && !portable

package simd

func vectors(p Path) Vectors {
	switch {
	case p >= AVX512:
		return Vectors{
			Map:  [...]func(*Rows){mapIdentityAVX512, mapReluAVX512, mapGeluAVX512, mapGeluTanhAVX512, mapSiluAVX512, mapTanhAVX512, mapSigmoidAVX512},
			Norm: func(r *NormRows) { normWith(r, layerNormAVX512, scaleNormAVX512) },
			RoPE: ropeAVX512, RoPEPairs: ropePairsAVX512,
			Combine: combineAVX512,
			Max:     largestAVX512, ExpSum: expSumAVX512, Above: aboveAVX512,
			FromF16: widenF16AVX512, FromBF16: widenBF16AVX512, ToF16: narrowF16AVX512, ToBF16: narrowBF16AVX512,
		}
	case p >= AVX2:
		return Vectors{
			Map:  [...]func(*Rows){mapIdentityAVX2, mapReluAVX2, mapGeluAVX2, mapGeluTanhAVX2, mapSiluAVX2, mapTanhAVX2, mapSigmoidAVX2},
			Norm: func(r *NormRows) { normWith(r, layerNormAVX2, scaleNormAVX2) },
			RoPE: ropeAVX2, RoPEPairs: ropePairsAVX2,
			Combine: combineAVX2,
			Max:     largestAVX2, ExpSum: expSumAVX2, Above: aboveAVX2,
			FromF16: widenF16AVX2, FromBF16: widenBF16AVX2, ToF16: narrowF16AVX2, ToBF16: narrowBF16AVX2,
		}
	}
	return portableVectors()
}

// normWith normalises rows with assembly, which ends at a row whose squares have
// a sum that float32 may have lost, or that is not finite: that row is taken in
// float64.
func normWith(r *NormRows, centred, about0 func(*NormRows) int) {
	f := about0
	if r.Centred {
		f = centred
	}
	x, out, m := r.X, r.Out, r.M
	for {
		done := f(r)
		if done == r.M {
			break
		}
		r.skip(done)
		r.normRow()
		if r.M == 1 {
			break
		}
		r.skip(1)
	}
	r.X, r.Out, r.M = x, out, m
}

// skip leaves out the first i < M rows.
func (r *NormRows) skip(i int) {
	r.X, r.Out, r.M = r.X[i*r.LdX:], r.Out[i*r.LdOut:], r.M-i
}
