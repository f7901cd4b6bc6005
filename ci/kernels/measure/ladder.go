package measure

// Which kernel stands at the top of a ladder.

import "github.com/godwit-ml/godwit/kernels"

// Shipped is the kernel that a device takes for a size, nil if none does.
func Shipped(op string, s kernels.Shape) *kernels.Kernel {
	o := s.Op(&kernels.Maker{})
	for _, k := range kernels.All {
		var l kernels.Launch
		if k.Op == op && k.Unproven == "" && k.Launch(o, &l) == nil {
			return k
		}
	}
	return nil
}
