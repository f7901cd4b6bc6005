//go:build !amd64 || noasm || portable

package simd

func best() Path { return Portable }
