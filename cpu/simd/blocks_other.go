//go:build !amd64 || noasm || portable

package simd

func blocks(Path) Blocks { return portableBlocks() }
