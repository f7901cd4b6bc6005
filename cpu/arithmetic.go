package cpu

// Which arithmetic multiplies which panels.

import "github.com/godwit-ml/godwit/runtime"

// multiplierFor chooses the arithmetic of products with panels of a type: exact,
// float32 products of the stored values; else what is fastest on the path.
func (d *Device) multiplierFor(t runtime.DType) multiplier {
	if m := d.tileMultiplier(t); m != nil {
		return m
	}
	if m := d.blockMultiplier(t); m != nil {
		return m
	}
	switch t {
	case runtime.F16:
		return multiplyF16(d.k)
	case runtime.BF16:
		if !d.opt.Exact && d.k.DotBF16 != nil {
			return multiplyDot{d.k}
		}
		return multiplyBF16(d.k)
	}
	return multiplyF32{d.k}
}
