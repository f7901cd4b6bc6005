//go:build !noasm && !portable

package simd

func tiles(p Path) Tiles {
	if p < AMX {
		return Tiles{}
	}
	return Tiles{
		TilesBF16: mulTilesBF16,
		TilesQ4x0: tileBlocks(mulQ4x0Tiles, SizeQ4x0),
		TilesQ4x1: tileBlocks(mulQ4x1Tiles, SizeQ4x1),
		TilesQ8x0: tileBlocks(mulQ8x0Tiles, SizeQ8x0),

		TilesScratch: func(blocks int) int { return tileSlots + blocks*tileRecords },
	}
}

// tilesOf is what LDTILECFG reads for tiles with rows of 64 bytes, of so many rows:
// a byte 1, then from byte 16 on the bytes of a row of each, two each, and from
// byte 48 on the numbers of rows.
func tilesOf(rows [8]int) (tiles [64]byte) {
	tiles[0] = 1
	for i, n := range rows {
		tiles[16+2*i], tiles[48+i] = 64, byte(n)
	}
	return tiles
}

const (
	tileHeight = 16 // rows of a tile
	// A goroutine cannot be stopped inside of a call, and others may wait for it: a
	// call reads at most tileBytes, or multiplies so many numbers, if a panel allows.
	tileBytes = 1 << 20
	tileMacs  = 1 << 28
)

func mulTilesBF16(c []float32, ldc int, a []byte, step int, b []byte, k, m, panels int) {
	steps := (k + 31) / 32
	size := steps * 32 * 2 * Panel
	if m == 0 || panels == 0 {
		return
	}
	if k == 0 {
		for r := range m {
			clear(c[r*ldc:][:panels*Panel])
		}
		return
	}
	_, _, _ = c[(m-1)*ldc+panels*Panel-1], a[(m-1)*step+steps*64-1], b[panels*size-1]
	n := max(min(tileBytes/size, tileMacs/(size/2*m)), 1) // panels of a call
	for p := 0; p < panels; p += n {
		n := min(n, panels-p)
		rows := m &^ (2*tileHeight - 1)
		if rows > 0 {
			tiles := tilesOf([8]int{16, 16, 16, 16, 16, 16, 16, 16})
			mulBF16Many(&tiles, &c[p*Panel], ldc, &a[0], step, &b[p*size], steps, rows/(2*tileHeight), n)
		}
		switch rest := m - rows; {
		case rest > tileHeight:
			r := rest - tileHeight
			tiles := tilesOf([8]int{16, 16, r, r, 16, r, 16, 16})
			mulBF16Many(&tiles, &c[rows*ldc+p*Panel], ldc, &a[rows*step], step, &b[p*size], steps, 1, n)
		case rest > 0:
			tiles := tilesOf([8]int{rest, rest, rest, rest, rest, 16, 16, 16})
			mulBF16Few(&tiles, &c[rows*ldc+p*Panel], ldc, &a[rows*step], step, &b[p*size], steps, n)
		}
	}
}

const (
	tileSlots   = 2048             // bytes for results on their way from tiles to vectors
	tileRecords = 2 * (512 + 2*64) // at most, for an unpacked block
	// tileBlocksMost is the most blocks by groups of rows by panels of a call.
	tileBlocksMost = 1 << 13
)

// tilesInt8 is what LDTILECFG reads for products of int8: results, 16 rows of 32
// bytes, and their 8 by 16 weights of four bytes.
var tilesInt8 = [64]byte{0: 1, 16: 64, 18: 32, 20: 64, 48: 16, 49: 16, 50: 8}

// tileBlocks is the product of a kernel for a type with blocks of a panel of size
// bytes.
func tileBlocks(kernel func(tiles *[64]byte, scratch *byte, c *float32, ldc int, a *byte, step int, b *byte, blocks, m, panels int), size int) TilesBlocks {
	return func(scratch []byte, c []float32, ldc int, a []byte, step int, b []byte, blocks, m, panels int) {
		if panels == 0 {
			return
		}
		if blocks == 0 {
			for r := range m {
				clear(c[r*ldc:][:panels*Panel])
			}
			return
		}
		_, _, _, _ = c[(m-1)*ldc+panels*Panel-1], a[(m-1)*step+FormSize(32*blocks)-1], b[panels*blocks*size-1], scratch[tileSlots+blocks*tileRecords-1]
		most := max(tileBlocksMost/(blocks*(m+tileHeight-1)/tileHeight), 1)
		for p := 0; p < panels; p += most {
			kernel(&tilesInt8, &scratch[0], &c[p*Panel], ldc, &a[0], step, &b[p*blocks*size], blocks, m, min(most, panels-p))
		}
	}
}
