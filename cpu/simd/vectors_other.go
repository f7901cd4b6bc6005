//go:build !amd64 || noasm || portable

package simd

func vectors(Path) Vectors { return portableVectors() }
