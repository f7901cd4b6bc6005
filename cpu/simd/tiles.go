package simd

// Tiles: products on AMX.

// Tiles are the products on AMX, nil on every path but that of this name. They
// give a row the same bits whatever rows stand beside it.
type Tiles struct {
	// TilesBF16 is c[r·ldc+32p+j] = Σ_k a(r,k)·b(p,k,j) for r < m, p < panels, of rows of
	// k elements of bf16, zeros after them up to a multiple of 32, row r at a[r·step:].
	// 32 products are summed at a time, those of even k and those of odd k apart, in
	// fused steps from zero; then both, and their sum is added to what was before. Each
	// step rounds to float32, to nearest even; what is below the normal numbers counts
	// and becomes zero.
	TilesBF16 func(c []float32, ldc int, a []byte, step int, b []byte, k, m, panels int)
	// TilesQ4x0, TilesQ4x1 and TilesQ8x0 are MulQ4x0, MulQ4x1 and MulQ8x0 for TilesLeast
	// rows or more, with the same bits; best for a multiple of it. Scratch is TilesScratch(blocks) bytes, at a
	// multiple of 64.
	TilesQ4x0, TilesQ4x1, TilesQ8x0 TilesBlocks
	// TilesScratch is the size of the scratch memory of these.
	TilesScratch func(blocks int) int
}

// TilesBlocks is a MulBlocks that takes scratch memory.
type TilesBlocks func(scratch []byte, c []float32, ldc int, a []byte, step int, b []byte, blocks, m, panels int)

// TilesLeast is the least number of rows of a TilesBlocks, the height of a tile.
const TilesLeast = 16
