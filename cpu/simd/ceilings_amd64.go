//go:build !noasm && !portable

package simd

func ceilings(p Path) Ceilings {
	if p < AVX2 {
		return portableCeilings()
	}
	if p < AVX512 {
		return Ceilings{
			Compute: []Ceiling{{"f32", ceilingProducts * 8 * 2, ceilingF32AVX2}, {"exp", 6 * 8, ceilingExpAVX2}},
			Read:    []func([]byte){inPieces(ceilingRead1AVX2), atFourPlaces(ceilingRead4AVX2)},
		}
	}
	c := Ceilings{
		Compute: []Ceiling{{"f32", ceilingProducts * 16 * 2, ceilingF32AVX512}, {"exp", 6 * 16, ceilingExpAVX512}},
		Read:    []func([]byte){inPieces(ceilingRead1AVX512), atFourPlaces(ceilingRead4AVX512)},
	}
	if p >= VNNI {
		c.Compute = append(c.Compute, Ceiling{"bf16", ceilingProducts * 32 * 2, ceilingBF16}, Ceiling{"int8", ceilingProducts * 64 * 2, ceilingInt8})
	}
	if p >= AMX {
		c.Compute = append(c.Compute, Ceiling{"tile bf16", 4 * 16 * 16 * 32 * 2, onTiles(ceilingTileBF16)}, Ceiling{"tile int8", 4 * 16 * 16 * 64 * 2, onTiles(ceilingTileInt8)})
	}
	return c
}

// ceilingProducts is the multiplications of vectors of a round.
const ceilingProducts = 48

// readPiece bounds what a call reads, as it cannot be interrupted.
const readPiece = 1 << 20

func inPieces(read func(b *byte, apart, rounds int)) func([]byte) {
	return func(b []byte) {
		for len(b) >= 256 {
			n := min(len(b), readPiece) &^ 255
			read(&b[0], 0, n/256)
			b = b[n:]
		}
	}
}

func atFourPlaces(read func(b *byte, apart, rounds int)) func([]byte) {
	return func(b []byte) {
		apart := len(b) / 4 &^ 63
		for at := 0; at < apart; at += readPiece / 4 {
			read(&b[at], apart, min(readPiece/4, apart-at)/64)
		}
	}
}

// onTiles sets up eight tiles of 16 rows of 64 bytes.
func onTiles(run func(tiles *[64]byte, data *byte, rounds int)) func(int) {
	return func(rounds int) {
		tiles := [64]byte{0: 1} // the palette
		for i := range 8 {
			tiles[16+2*i], tiles[48+i] = 64, 16
		}
		var data [1024]byte
		for i := range data {
			data[i] = 0x3c // 0.0115 in bf16
		}
		run(&tiles, &data[0], rounds)
	}
}
