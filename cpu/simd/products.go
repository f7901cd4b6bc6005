package simd

// Products: rows times panels of float weights.

// Products are products with panels of F32, F16 and BF16.
type Products struct {
	// Height is the most rows of a call of MulF32.
	Height int
	// MulF32 is c[r·ldc+32p+j] = Σ_k a[r·lda+k]·b[p][k][j], for m ≤ Height rows,
	// p < panels, in one fused accumulator over ascending k, which starts from what
	// c holds if add.
	MulF32 func(c []float32, ldc int, a []float32, lda int, b []float32, k, m, panels int, add bool)
}

func portableProducts() Products {
	return Products{Height: 4, MulF32: mulF32}
}

func mulF32(c []float32, ldc int, a []float32, lda int, b []float32, k, m, panels int, add bool) {
	for p := range panels {
		panel := b[p*k*Panel:][:k*Panel]
		for r := range m {
			out := (*[Panel]float32)(c[r*ldc+p*Panel:])
			var sum [Panel]float32
			if add {
				sum = *out
			}
			for i, x := range a[r*lda:][:k] {
				for j, w := range (*[Panel]float32)(panel[i*Panel:]) {
					sum[j] += x * w
				}
			}
			*out = sum
		}
	}
}
