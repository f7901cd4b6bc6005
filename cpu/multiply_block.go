package cpu

// Panels of Q4_0, Q4_1 and Q8_0, and their products: in int8, or exactly.

import (
	"encoding/binary"

	"github.com/godwit-ml/godwit/cpu/simd"
	"github.com/godwit-ml/godwit/runtime"
)

var (
	panelsQ4x0 = format{dtype: q40, size: blockPanel(simd.SizeQ4x0), pack: packQ4x0}
	panelsQ4x1 = format{dtype: q41, size: blockPanel(simd.SizeQ4x1), pack: packQ4x1}
	panelsQ8x0 = format{dtype: runtime.Q8_0, size: blockPanel(simd.SizeQ8x0), pack: packQ8x0}
)

func blockPanel(size int) func(cols int) int {
	return func(cols int) int { return cols / 32 * size }
}

// four is the bytes of one output for four k, in a panel.
const four = 4 * simd.Panel

// packQ4x0 moves nibbles four bytes at a time: the low halves of 16 bytes are
// k = 0 … 15 of a block in the file and in the panel.
func packQ4x0(dst, src []byte, stride, rows, cols int) {
	clear(dst)
	for r := range rows {
		row, out := src[r*stride:], dst
		for range cols / 32 {
			b, o := (*[18]byte)(row), (*[simd.SizeQ4x0]byte)(out)
			copy(o[16*simd.Panel+2*r:][:2], b[:2])
			for g := range 4 {
				copy(o[g*four+4*r:][:4], b[2+4*g:])
			}
			row, out = row[18:], out[simd.SizeQ4x0:]
		}
	}
}

func packQ4x1(dst, src []byte, stride, rows, cols int) {
	clear(dst)
	for r := range rows {
		row, out := src[r*stride:], dst
		for range cols / 32 {
			b, o := (*[20]byte)(row), (*[simd.SizeQ4x1]byte)(out)
			copy(o[16*simd.Panel+2*r:][:2], b[:2])
			copy(o[18*simd.Panel+2*r:][:2], b[2:4])
			for g := range 4 {
				copy(o[g*four+4*r:][:4], b[4+4*g:])
			}
			row, out = row[20:], out[simd.SizeQ4x1:]
		}
	}
}

// packQ8x0 adds 128 to the integers, which makes them unsigned.
func packQ8x0(dst, src []byte, stride, rows, cols int) {
	clear(dst)
	for r := range rows {
		row, out := src[r*stride:], dst
		for range cols / 32 {
			b, o := (*[34]byte)(row), (*[simd.SizeQ8x0]byte)(out)
			copy(o[32*simd.Panel+2*r:][:2], b[:2])
			for g := range 8 {
				binary.LittleEndian.PutUint32(o[g*four+4*r:], binary.LittleEndian.Uint32(b[2+4*g:])^0x80808080)
			}
			row, out = row[34:], out[simd.SizeQ8x0:]
		}
	}
}

// multiplyInt8 multiplies activations that are int8 by blocks of 32.
type multiplyInt8 struct {
	mul      simd.MulBlocks
	quantize func(dst []byte, x []float32)
	height   int
}

func (multiplyInt8) formSize(k int) int { return simd.FormSize(k) }

func (f multiplyInt8) form(dst []byte, x []float32) { f.quantize(dst, x) }

func (f multiplyInt8) multiply(w *worker, c []float32, ldc int, a activations, m int, panels []byte, k, n int) {
	if m <= simd.Streaming || n == 1 {
		f.rows(c, ldc, a, m, panels, k, n)
		return
	}
	// Rows of c far apart share few places of the first-level cache: sums are made in
	// a tile whose rows are not.
	tile := grow(&w.weights, m*simd.Panel)
	size := len(panels) / n
	for p := range n {
		f.rows(tile, simd.Panel, a, m, panels[p*size:][:size], k, 1)
		for r := range m {
			copy(c[r*ldc+p*simd.Panel:][:simd.Panel], tile[r*simd.Panel:])
		}
	}
}

// rows multiplies some rows after the other.
func (f multiplyInt8) rows(c []float32, ldc int, a activations, m int, panels []byte, k, n int) {
	for r := 0; r < m; r += f.height {
		f.mul(c[r*ldc:], ldc, a.form[r*a.step:], a.step, panels, k/32, min(f.height, m-r), n)
	}
}

// multiplyDecoded multiplies in float32, by a piece of a panel decoded at a time.
type multiplyDecoded struct {
	k      *simd.Kernels
	floats func(dst []float32, b []byte, blocks int)
	size   int // bytes of a block of a panel
}

func (multiplyDecoded) formSize(int) int { return 0 }

func (multiplyDecoded) form([]byte, []float32) {}

// pieceBlocks is the blocks of a piece: 16 KiB, beside which rows have room in
// the first-level cache.
const pieceBlocks = 4

func (f multiplyDecoded) multiply(w *worker, c []float32, ldc int, a activations, m int, panels []byte, k, n int) {
	blocks := k / 32
	if blocks == 0 {
		for r := range m {
			clear(c[r*ldc:][:n*simd.Panel])
		}
		return
	}
	values := grow(&w.weights, min(pieceBlocks, blocks)*32*simd.Panel)
	for p := range n {
		panel := panels[p*blocks*f.size:][:blocks*f.size]
		for b := 0; b < blocks; b += pieceBlocks {
			piece := min(pieceBlocks, blocks-b)
			f.floats(values, panel[b*f.size:], piece)
			for r := 0; r < m; r += f.k.Height {
				f.k.MulF32(c[r*ldc+p*simd.Panel:], ldc, a.f32[r*a.ld+32*b:], a.ld, values, 32*piece, min(f.k.Height, m-r), 1, b > 0)
			}
		}
	}
}
