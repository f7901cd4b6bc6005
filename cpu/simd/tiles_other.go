//go:build !amd64 || noasm || portable

package simd

func tiles(Path) Tiles { return Tiles{} }
