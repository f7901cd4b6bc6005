package cpu

// Panels of F32, F16 and BF16, and their products.

import (
	"sync"
	"unsafe"

	"github.com/godwit-ml/godwit/cpu/simd"
	"github.com/godwit-ml/godwit/runtime"
)

var (
	panelsF32  = format{dtype: runtime.F32, size: func(cols int) int { return cols * simd.Panel * 4 }, pack: packF32}
	panelsF16  = format{dtype: runtime.F16, size: func(cols int) int { return cols * simd.Panel * 2 }, pack: packF16}
	panelsBF16 = format{dtype: runtime.BF16, size: func(cols int) int { return inPairs(cols) * simd.Panel * 2 }, pack: packBF16}
)

// inPairs is the depth of a panel of BF16.
func inPairs(k int) int { return (k + 31) &^ 31 }

// filling are the kernels that fill panels: the best there are, on every path,
// since they move bytes and change none.
var filling = sync.OnceValue(func() *simd.Kernels { return simd.For(simd.Best()) })

func packF32(dst, src []byte, stride, rows, cols int) {
	packWords(wordsAt(dst), src, stride, rows, cols)
}

// packWords transposes rows of elements of 4 bytes.
func packWords(dst []uint32, src []byte, stride, rows, cols int) {
	if rows == simd.Panel {
		filling().FillWords(dst, src, stride, cols)
		return
	}
	clear(dst)
	for r := range rows {
		for c, x := range wordsAt(src[r*stride:][:4*cols]) {
			dst[c*simd.Panel+r] = x
		}
	}
}

func packF16(dst, src []byte, stride, rows, cols int) {
	out := halvesAt(dst)
	if rows == simd.Panel {
		filling().FillHalves(out, src, stride, cols)
		return
	}
	clear(out)
	for r := range rows {
		for c, x := range halvesAt(src[r*stride:][:2*cols]) {
			out[c*simd.Panel+r] = x
		}
	}
}

// packBF16 transposes pairs of columns; an odd last one is a pair with zero.
func packBF16(dst, src []byte, stride, rows, cols int) {
	pairs := cols / 2
	packWords(wordsAt(dst)[:pairs*simd.Panel], src, stride, rows, pairs)
	rest := halvesAt(dst)[2*pairs*simd.Panel:]
	clear(rest)
	if cols%2 == 1 {
		for r := range rows {
			rest[2*r] = halvesAt(src[r*stride+2*(cols-1):][:2])[0]
		}
	}
}

// wordsAt is b as numbers of 32 bits.
func wordsAt(b []byte) []uint32 {
	if len(b) == 0 {
		return nil // a pointer to no word may point behind its memory
	}
	return unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/4)
}

// halvesAt is b as numbers of 16 bits.
func halvesAt(b []byte) []uint16 {
	if len(b) == 0 {
		return nil
	}
	return unsafe.Slice((*uint16)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/2)
}

// pieceBytes is the size of a piece of a panel that stays in the first-level
// cache while rows are multiplied by it.
const (
	pieceBytes  = 48 << 10
	pieceUnpack = 32 << 10 // that is written first
)

// nextPiece is where the piece from from on of k ends: pieces are of about equal
// depth, a multiple of 32, and at most depth but for that.
func nextPiece(from, k, depth int) int {
	left := max((k-from+depth-1)/depth, 1)
	return min(from+((k-from+left-1)/left+31)&^31, k)
}

// multiplyF32 multiplies in float32.
type multiplyF32 struct{ k *simd.Kernels }

func (multiplyF32) formSize(int) int { return 0 }

func (multiplyF32) form([]byte, []float32) {}

func (f multiplyF32) multiply(_ *worker, c []float32, ldc int, a activations, m int, panels []byte, k, n int) {
	b := floatsAt(panels)
	if m <= f.k.Once {
		f.k.MulF32(c, ldc, a.f32, a.ld, b, k, m, n, false)
		return
	}
	ahead := panels[:cap(panels)]
	for p := range n {
		panel := b[p*k*simd.Panel:][:k*simd.Panel]
		for from := 0; ; {
			to := nextPiece(from, k, pieceBytes/4/simd.Panel)
			next := ahead[min((p*k+to)*simd.Panel*4, len(ahead)):]
			f.tiles(c[p*simd.Panel:], ldc, a, m, panel[from*simd.Panel:], from, to, next, simd.Panel*4)
			if from = to; from >= k {
				break
			}
		}
	}
}

// tiles multiplies by the piece from … to of a panel. Meanwhile what is next in
// memory is fetched, of which each k has size bytes.
func (f multiplyF32) tiles(c []float32, ldc int, a activations, m int, piece []float32, from, to int, next []byte, size int) {
	tiles, k := (m+f.k.Height-1)/f.k.Height, to-from
	step := (size + tiles - 1) / tiles
	for t := range tiles {
		r, end := m*t/tiles, m*(t+1)/tiles
		at := unsafe.SliceData(next[min(t*k*step, len(next)):])
		f.k.MulNextF32(c[r*ldc:], ldc, a.f32[r*a.ld+from:], a.ld, piece, k, end-r, from > 0, at, step)
	}
}

// multiplyHalves multiplies by F16 or BF16 in float32: few rows by panels as they
// are, many by pieces of panels that are unpacked first. Both give the same bits.
type multiplyHalves struct {
	multiplyF32
	mul    func(c []float32, ldc int, a []float32, lda int, b []uint16, k, m, panels int, add bool)
	unpack func(dst []float32, src []uint16, k int)
	depth  func(k int) int // of a panel
}

func multiplyF16(k *simd.Kernels) multiplyHalves {
	unpack := func(dst []float32, src []uint16, depth int) {
		k.FromF16(dst[:depth*simd.Panel], src[:depth*simd.Panel])
	}
	return multiplyHalves{multiplyF32{k}, k.MulF16, unpack, func(k int) int { return k }}
}

func multiplyBF16(k *simd.Kernels) multiplyHalves {
	return multiplyHalves{multiplyF32{k}, k.MulBF16, k.UnpackBF16, inPairs}
}

func (f multiplyHalves) multiply(w *worker, c []float32, ldc int, a activations, m int, panels []byte, k, n int) {
	b := halvesAt(panels)
	if m <= f.k.Once {
		f.mul(c, ldc, a.f32, a.ld, b, k, m, n, false)
		return
	}
	values, ahead := grow(&w.weights, pieceUnpack/4+simd.Panel*simd.Panel), panels[:cap(panels)]
	for p := range n {
		panel := b[p*f.depth(k)*simd.Panel:]
		for from := 0; ; {
			to := nextPiece(from, k, pieceUnpack/4/simd.Panel)
			if m <= f.k.Height {
				f.mul(c[p*simd.Panel:], ldc, a.f32[from:], a.ld, panel[from*simd.Panel:], to-from, m, 1, from > 0)
			} else {
				f.unpack(values, panel[from*simd.Panel:], to-from)
				next := ahead[min((p*f.depth(k)+to)*simd.Panel*2, len(ahead)):]
				f.tiles(c[p*simd.Panel:], ldc, a, m, values, from, to, next, simd.Panel*2)
			}
			if from = to; from >= k {
				break
			}
		}
	}
}

// multiplyDot multiplies activations that are rounded to BF16 by BF16, with the
// instruction for it.
type multiplyDot struct{ k *simd.Kernels }

func (multiplyDot) formSize(k int) int { return 2 * inPairs(k) }

func (f multiplyDot) form(dst []byte, x []float32) {
	out := halvesAt(dst)
	f.k.RoundBF16(out[:len(x)], x)
	clear(out[len(x):])
}

func (f multiplyDot) multiply(_ *worker, c []float32, ldc int, a activations, m int, panels []byte, k, n int) {
	b, rows, lda := halvesAt(panels), halvesAt(a.form), a.step/2
	k = inPairs(k)
	if m <= f.k.Once {
		f.k.DotBF16(c, ldc, rows, lda, b, k, m, n, false)
		return
	}
	tiles := (m + f.k.Height - 1) / f.k.Height
	for p := range n {
		panel := b[p*k*simd.Panel:]
		for from := 0; ; {
			to := nextPiece(from, k, pieceBytes/2/simd.Panel)
			for t := range tiles {
				r, end := m*t/tiles, m*(t+1)/tiles
				f.k.DotBF16(c[r*ldc+p*simd.Panel:], ldc, rows[r*lda+from:], lda, panel[from*simd.Panel:], to-from, end-r, 1, from > 0)
			}
			if from = to; from >= k {
				break
			}
		}
	}
}
