//go:build !amd64 || noasm || portable

package simd

func ceilings(Path) Ceilings { return portableCeilings() }
