//go:build !linux && !noasm && !portable

package simd

// tilesAllowed is false where nobody has tried what the system does with the
// registers of AMX.
func tilesAllowed() bool { return false }
