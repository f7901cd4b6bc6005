package simd

// Products: rows times panels of float weights, and what fills those panels.

import (
	"encoding/binary"
	"math"
)

// Products are products with panels of F32, F16 and BF16. All take m ≤ Height rows
// and a number of panels and give c[r·ldc+32p+j] = Σ_k a[r·lda+k]·b(p,k,j), in one
// accumulator over ascending k, which starts from what c holds if add. A sum of
// float32 products is one of fused steps, except in plain Go; and it has the same
// bits whatever type b's values are stored in.
type Products struct {
	// Height is the most rows of a call.
	Height int
	// Once is the most rows for which a call reads a panel once. For more, panels
	// are best cut into pieces of k that stay in the first-level cache.
	Once int
	// MulF32 multiplies by panels of F32, in float32.
	MulF32 func(c []float32, ldc int, a []float32, lda int, b []float32, k, m, panels int, add bool)
	// MulNextF32 is MulF32 with one panel, and has memory fetched from next on in the
	// meantime, step bytes for each k: a hint, where memory would be waited for.
	MulNextF32 func(c []float32, ldc int, a []float32, lda int, b []float32, k, m int, add bool, next *byte, step int)
	// MulRowsF32 multiplies by rows that are ldb apart instead of panels: b(p,k,j) is
	// b[k·ldb+32p+j].
	MulRowsF32 func(c []float32, ldc int, a []float32, lda int, b []float32, ldb, k, m, panels int, add bool)
	// DotRows is y[i] = Σ_j a[i·lda+j]·x[j] for i < m, j < n, in sums of its own order.
	DotRows func(y, a []float32, lda int, x []float32, m, n int)
	// MulF16 multiplies by panels of F16, in float32.
	MulF16 func(c []float32, ldc int, a []float32, lda int, b []uint16, k, m, panels int, add bool)
	// MulBF16 multiplies by panels of BF16, in float32.
	MulBF16 func(c []float32, ldc int, a []float32, lda int, b []uint16, k, m, panels int, add bool)
	// DotBF16 multiplies rows of bfloat16 by panels of BF16, k even, with an
	// instruction that adds the products of two k at a time and takes numbers below the
	// normal ones as zero. It is nil on paths without this instruction.
	DotBF16 func(c []float32, ldc int, a []uint16, lda int, b []uint16, k, m, panels int, add bool)
	// RoundBF16 rounds as many values of src as dst is long to bfloat16: to nearest,
	// ties to even; what is below the normal numbers becomes zero.
	RoundBF16 func(dst []uint16, src []float32)
	// UnpackBF16 makes k rows of a panel of BF16, from an even one on, those of a
	// panel of F32.
	UnpackBF16 func(dst []float32, src []uint16, k int)
	// FillWords is dst[32c+r] = element c of row r of 32 rows of 4-byte elements,
	// row r at src[r·stride:], for c < n. It fills panels of F32, and of BF16 with a
	// pair as an element.
	FillWords func(dst []uint32, src []byte, stride, n int)
	// FillHalves is the same for 2-byte elements: panels of F16.
	FillHalves func(dst []uint16, src []byte, stride, n int)
}

func portableProducts() Products {
	return Products{
		Height: 4, Once: 1,
		MulF32: mulF32, MulNextF32: mulNextF32, MulRowsF32: mulRowsF32, DotRows: dotRows, MulF16: mulF16, MulBF16: mulBF16,
		RoundBF16: roundBF16, UnpackBF16: unpackBF16,
		FillWords: transpose, FillHalves: transposeHalves,
	}
}

func mulF32(c []float32, ldc int, a []float32, lda int, b []float32, k, m, panels int, add bool) {
	for p := range panels {
		mulRowsF32(c[p*Panel:], ldc, a, lda, b[p*k*Panel:], Panel, k, m, 1, add)
	}
}

func mulNextF32(c []float32, ldc int, a []float32, lda int, b []float32, k, m int, add bool, _ *byte, _ int) {
	mulF32(c, ldc, a, lda, b, k, m, 1, add)
}

func mulRowsF32(c []float32, ldc int, a []float32, lda int, b []float32, ldb, k, m, panels int, add bool) {
	for p := range panels {
		for r := range m {
			out := (*[Panel]float32)(c[r*ldc+p*Panel:])
			var sum [Panel]float32
			if add {
				sum = *out
			}
			for i, x := range a[r*lda:][:k] {
				for j, w := range (*[Panel]float32)(b[i*ldb+p*Panel:]) {
					sum[j] += x * w
				}
			}
			*out = sum
		}
	}
}

func dotRows(y, a []float32, lda int, x []float32, m, n int) {
	for i := range m {
		var sum [8]float32
		row, x := a[i*lda:][:n], x[:n]
		for len(row) >= 8 {
			for j := range 8 {
				sum[j] += row[j] * x[j]
			}
			row, x = row[8:], x[8:]
		}
		all := (sum[0] + sum[4]) + (sum[1] + sum[5]) + (sum[2] + sum[6]) + (sum[3] + sum[7])
		for j, w := range row {
			all += w * x[j]
		}
		y[i] = all
	}
}

func mulF16(c []float32, ldc int, a []float32, lda int, b []uint16, k, m, panels int, add bool) {
	mulUnpacked(c, ldc, a, lda, b, k, k, m, panels, add, false)
}

func mulBF16(c []float32, ldc int, a []float32, lda int, b []uint16, k, m, panels int, add bool) {
	mulUnpacked(c, ldc, a, lda, b, k, (k+31)&^31, m, panels, add, true)
}

// mulUnpacked multiplies by pieces of panels of depth rows, unpacked: by the same
// loop, so that the compiler fuses the same steps, if any. A function to unpack
// with, instead of the flag, would put a piece on the heap at every call.
func mulUnpacked(c []float32, ldc int, a []float32, lda int, b []uint16, k, depth, m, panels int, add, bf16 bool) {
	const most = 64
	var piece [most * Panel]float32
	for p := range panels {
		for from := 0; from < k || from == 0; from += most {
			n := min(most, k-from)
			if src := b[(p*depth+from)*Panel:]; bf16 {
				unpackBF16(piece[:], src, n)
			} else {
				unpackF16(piece[:], src, n)
			}
			mulF32(c[p*Panel:], ldc, a[from:], lda, piece[:], n, m, 1, add || from > 0)
		}
	}
}

func unpackF16(dst []float32, src []uint16, k int) { widenF16(dst[:k*Panel], src[:k*Panel]) }

func unpackBF16(dst []float32, src []uint16, k int) {
	for i := range k {
		pairs := src[i/2*2*Panel:][:2*Panel]
		for j := range Panel {
			dst[i*Panel+j] = math.Float32frombits(uint32(pairs[2*j+i%2]) << 16)
		}
	}
}

func roundBF16(dst []uint16, src []float32) {
	for i := range dst {
		x := math.Float32bits(src[i])
		switch exponent := x >> 23 & 255; {
		case exponent == 0:
			x &= 1 << 31
		case exponent == 255 && x<<9 != 0:
			x |= 1 << 22
		default:
			x += 0x7fff + x>>16&1
		}
		dst[i] = uint16(x >> 16)
	}
}

// transposeBlock is how many columns are taken from all rows before the next.
const transposeBlock = 16

func transpose(dst []uint32, src []byte, stride, n int) {
	for from := 0; from < n; from += transposeBlock {
		cols := min(transposeBlock, n-from)
		for r := range Panel {
			row := src[r*stride+4*from:][:4*cols]
			for c := range cols {
				dst[(from+c)*Panel+r] = binary.NativeEndian.Uint32(row[4*c:])
			}
		}
	}
}

func transposeHalves(dst []uint16, src []byte, stride, n int) {
	for from := 0; from < n; from += transposeBlock {
		cols := min(transposeBlock, n-from)
		for r := range Panel {
			row := src[r*stride+2*from:][:2*cols]
			for c := range cols {
				dst[(from+c)*Panel+r] = binary.NativeEndian.Uint16(row[2*c:])
			}
		}
	}
}
