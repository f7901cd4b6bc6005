//go:build !noasm && !portable

package simd

func products(p Path) Products {
	switch {
	case p >= AVX512:
		return Products{Height: 12, MulF32: mulF32AVX512}
	case p >= AVX2:
		return Products{Height: 6, MulF32: mulF32AVX2}
	}
	return portableProducts()
}
