package cpu

// Products on the tiles of AMX.

import (
	"github.com/godwit-ml/godwit/cpu/simd"
	"github.com/godwit-ml/godwit/runtime"
)

// tileMultiplier is the multiplier with tiles of a type, in fast arithmetic; nil
// if the path has none or the type no use for them.
func (d *Device) tileMultiplier(t runtime.DType) multiplier {
	if d.opt.Exact || d.k.TilesBF16 == nil {
		return nil
	}
	blocks := map[runtime.DType]simd.TilesBlocks{q40: d.k.TilesQ4x0, q41: d.k.TilesQ4x1, runtime.Q8_0: d.k.TilesQ8x0}
	switch t {
	case runtime.BF16:
		return multiplyTiles{multiplyDot{d.k}}
	case q40, q41, runtime.Q8_0:
		if few, ok := d.blockMultiplier(t).(multiplyInt8); ok {
			return multiplyBlockTiles{few, d.k, blocks[t]}
		}
	}
	return nil
}

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
