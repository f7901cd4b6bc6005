//go:build !noasm && !portable

package simd

func tiles(p Path) Tiles {
	if p < AMX {
		return Tiles{}
	}
	return Tiles{
		TilesBF16: mulTilesBF16,
		TilesQ4x0: tileBlocks{SizeQ4x0, 576, unpackQ4x0Tiles, mulQ4x0Tiles}.mul,
		TilesQ4x1: tileBlocks{SizeQ4x1, 640, unpackQ4x1Tiles, mulQ4x1Tiles}.mul,
		TilesQ8x0: tileBlocks{SizeQ8x0, 576, unpackQ8x0Tiles, mulQ4x0Tiles}.mul, // unpacked, both are alike

		TilesScratch: func(blocks int) int { return tileSlots + 2*(blocks+tileSpare)*640 },
	}
}

// tilesBF16 is what LDTILECFG reads for products of bf16 with two tiles of so many
// rows: a byte 1, then from byte 16 on the bytes of a row of each tile, two each,
// and from byte 48 on the rows.
func tilesBF16(rows0, rows1 int) (tiles [64]byte) {
	tiles[0] = 1
	for i, n := range [8]int{rows0, rows0, rows1, rows1, rows0, rows1, 16, 16} {
		if n > 0 {
			tiles[16+2*i], tiles[48+i] = 64, byte(n)
		}
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
			tiles := tilesBF16(tileHeight, tileHeight)
			mulBF16Tiles(&tiles, &c[p*Panel], ldc, &a[0], step, &b[p*size], steps, rows/(2*tileHeight), n)
		}
		switch rest := m - rows; {
		case rest > tileHeight:
			tiles := tilesBF16(tileHeight, rest-tileHeight)
			mulBF16Tiles(&tiles, &c[rows*ldc+p*Panel], ldc, &a[rows*step], step, &b[p*size], steps, 1, n)
		case rest > 0:
			tiles := tilesBF16(rest, 0)
			mulBF16Tile(&tiles, &c[rows*ldc+p*Panel], ldc, &a[rows*step], step, &b[p*size], steps, 1, n)
		}
	}
}

// tileBlocks is a product with panels of a block type.
type tileBlocks struct {
	size   int // of a block of a panel
	record int // of one of half a panel, unpacked
	unpack func(low, high *byte, b *byte, blocks int)
	times  func(tiles *[64]byte, c *float32, ldc int, a *byte, step int, records *byte, blocks, groups int, slots *byte)
}

const (
	tileSlots = 2048 // bytes for the results on their way from tiles to vectors
	tileSpare = 2    // records that are read ahead
	// tileBlocksMost is the most blocks times groups of rows of a call.
	tileBlocksMost = 1 << 14
)

// tilesInt8 is what LDTILECFG reads for products of int8: results, 16 rows of 32
// bytes, and their 8 by 16 weights of four bytes.
var tilesInt8 = [64]byte{0: 1, 16: 64, 18: 32, 20: 64, 48: 16, 49: 16, 50: 8}

func (t tileBlocks) mul(scratch []byte, c []float32, ldc int, a []byte, step int, b []byte, blocks, m, panels int) {
	if panels == 0 {
		return
	}
	if blocks == 0 {
		for r := range m {
			clear(c[r*ldc:][:panels*Panel])
		}
		return
	}
	_, _, _ = c[(m-1)*ldc+panels*Panel-1], a[(m-1)*step+FormSize(32*blocks)-1], b[panels*blocks*t.size-1]
	half := (blocks + tileSpare) * t.record
	_ = scratch[tileSlots+2*half-1]
	slots, low, high := &scratch[0], &scratch[tileSlots], &scratch[tileSlots+half]
	most := max(tileBlocksMost/blocks, 1)
	for p := range panels {
		t.unpack(low, high, &b[p*blocks*t.size], blocks)
		for r := 0; r < m; {
			// The last rows are a group of 16 too: some of them once more.
			groups := min((m-r)/tileHeight, most)
			if groups == 0 {
				r, groups = m-tileHeight, 1
			}
			out, rows := c[r*ldc+p*Panel:], &a[r*step]
			t.times(&tilesInt8, &out[0], ldc, rows, step, low, blocks, groups, slots)
			t.times(&tilesInt8, &out[Panel/2], ldc, rows, step, high, blocks, groups, slots)
			r += groups * tileHeight
		}
	}
}
