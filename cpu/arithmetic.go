package cpu

// Which arithmetic multiplies which panels.

import "github.com/godwit-ml/godwit/runtime"

// multiplierFor chooses the arithmetic of products with panels of a type: exact,
// float32 products of the stored values; else what is fastest on the path.
func (d *Device) multiplierFor(runtime.DType) multiplier {
	return multiplyF32{d.k}
}
