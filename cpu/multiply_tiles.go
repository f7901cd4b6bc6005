package cpu

// Products on the tiles of AMX.

import "github.com/godwit-ml/godwit/cpu/simd"

// multiplyTiles multiplies by BF16, any number of rows: one row of a tile reads
// panels as fast as vectors would.
type multiplyTiles struct{ multiplyDot }

func (f multiplyTiles) multiply(_ *worker, c []float32, ldc int, a activations, m int, panels []byte, k, n int) {
	f.k.TilesBF16(c, ldc, a.form, a.step, panels, k, m, n)
}

// multiplyBlockTiles multiplies many rows by blocks on tiles and few on vectors,
// which give the same bits.
type multiplyBlockTiles struct {
	multiplyInt8
	k   *simd.Kernels
	mul simd.TilesBlocks
}

// tileRest is the most rows beyond whole tiles for which vectors are faster.
const tileRest = 6

func (f multiplyBlockTiles) multiply(w *worker, c []float32, ldc int, a activations, m int, panels []byte, k, n int) {
	few := m % simd.TilesLeast
	if m < simd.TilesLeast {
		few = m
	} else if few > tileRest {
		few = 0
	}
	if many := m - few; many > 0 {
		scratch := alignedTo(&w.packed, f.k.TilesScratch(k/32))
		f.mul(scratch, c, ldc, a.form, a.step, panels, k/32, many, n)
	}
	if few > 0 {
		f.multiplyInt8.multiply(w, c[(m-few)*ldc:], ldc, a.from(m-few), few, panels, k, n)
	}
}
