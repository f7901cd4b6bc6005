//go:build !amd64 || noasm || portable

package simd

func products(Path) Products { return portableProducts() }
