package cpu

// Which arithmetic multiplies which panels.

import (
	"github.com/godwit-ml/godwit/cpu/simd"
	"github.com/godwit-ml/godwit/runtime"
)

// multiplierFor chooses the arithmetic of products with panels of a type: exact,
// float32 products of the stored values; else what is fastest on the path.
func (d *Device) multiplierFor(t runtime.DType) multiplier {
	k := d.k
	switch t {
	case runtime.F16:
		return multiplyF16(k)
	case runtime.BF16:
		switch {
		case d.opt.Exact || k.DotBF16 == nil:
			return multiplyBF16(k)
		case k.TilesBF16 != nil:
			return multiplyTiles{multiplyDot{k}}
		}
		return multiplyDot{k}
	case q40:
		return d.blockMultiplier(k.MulQ4x0, k.TilesQ4x0, k.FloatQ4x0, simd.SizeQ4x0)
	case q41:
		return d.blockMultiplier(k.MulQ4x1, k.TilesQ4x1, k.FloatQ4x1, simd.SizeQ4x1)
	case runtime.Q8_0:
		return d.blockMultiplier(k.MulQ8x0, k.TilesQ8x0, k.FloatQ8x0, simd.SizeQ8x0)
	}
	return multiplyF32{k}
}

// blockMultiplier chooses among the kernels for a block type: tiles is nil on paths
// without them.
func (d *Device) blockMultiplier(mul simd.MulBlocks, tiles simd.TilesBlocks, floats func(dst []float32, b []byte, blocks int), size int) multiplier {
	if d.opt.Exact {
		return multiplyDecoded{d.k, floats, size}
	}
	vectors := multiplyInt8{mul, d.k.Quantize, d.k.BlockHeight}
	if tiles == nil {
		return vectors
	}
	return multiplyBlockTiles{vectors, d.k, tiles}
}
