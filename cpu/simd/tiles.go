package simd

// Tiles: products on AMX.

// Tiles are the products on AMX, nil on every path but that of this name. They
// take any number of rows and give a row the same bits whatever that number is.
type Tiles struct {
	// TilesBF16 is c[r·ldc+32p+j] = Σ_k a(r,k)·b(p,k,j) for r < m, p < panels, of rows of
	// k elements of bf16, zeros after them up to a multiple of 32, row r at a[r·step:].
	// 32 products are summed at a time, those of even k and those of odd k apart, in
	// fused steps from zero; then both, and their sum is added to what was before. Each
	// step rounds to float32, to nearest even; what is below the normal numbers counts
	// and becomes zero.
	TilesBF16 func(c []float32, ldc int, a []byte, step int, b []byte, k, m, panels int)
}
