package simd

// Blocks: products of rows of int8 with panels of Q4_0, Q4_1 and Q8_0, the int8
// form of rows, and panels as floats.

import (
	"encoding/binary"
	"math"
	"unsafe"
)

// Blocks are the functions on panels of Q4_0, Q4_1 and Q8_0.
//
// A product of int8 takes rows in a form of their own, made by Quantize; every
// path gives the same bits, in the order of MulBlocks.
type Blocks struct {
	// BlockHeight is the number of rows of a call of the products that stays in the
	// first-level cache.
	BlockHeight int
	// MulQ4x0, MulQ4x1 and MulQ8x0 are products with panels of the three types.
	MulQ4x0, MulQ4x1, MulQ8x0 MulBlocks
	// Quantize writes the form of a row of 32-element blocks to dst, FormSize(len(x))
	// bytes. Of each block it keeps
	//
	//	d = max|x|/127, q = x·(1/d) to the nearest integer, ties to even.
	//
	// A block whose elements are all below 2⁻¹¹⁹ has d 0 and q 0, one with a NaN or an
	// infinity d NaN and q 0: what is multiplied with it is NaN, and nothing else.
	Quantize func(dst []byte, x []float32)
	// FloatQ4x0, FloatQ4x1 and FloatQ8x0 write the values of some blocks of a panel,
	// [32·blocks][32]; element (k,n) is that of output n.
	FloatQ4x0, FloatQ4x1, FloatQ8x0 func(dst []float32, b []byte, blocks int)
}

// MulBlocks is a product of m rows, row r in its form at a[r·step:], with panels
// of blocks blocks a row: for each output, over its blocks in ascending order, one
// float32 accumulator
//
//	acc = fma(float32(Σ w·q), d_w·d, acc)
//
// from zero, with the integers w of the weight (zero point taken off), and for
// Q4_1 after it acc = fma(m_w, s, acc). C[r·ldc+32p+j] is the accumulator of output
// j of panel p.
type MulBlocks func(c []float32, ldc int, a []byte, step int, b []byte, blocks, m, panels int)

// Sizes of a block of a panel, bytes.
const (
	SizeQ4x0 = 16*Panel + 2*Panel
	SizeQ4x1 = 16*Panel + 4*Panel
	SizeQ8x0 = 32*Panel + 2*Panel
)

// Streaming is the most rows for which products with blocks ask for panels ahead
// of their use, as they wait for memory.
const Streaming = 8

// FormSize is the size of the int8 form of a row of k elements, k a multiple of
// 32, bytes. For k/32 blocks, one array after the other, it has
//
//	[k] int8 q, [k/32] float32 d, [k/32] float32 d·Σq, [k/32] int32 Σq, -8Σq, -128Σq
func FormSize(k int) int { return (k + 5*k/8 + 63) &^ 63 }

// form is the parts of the form of a row.
type form struct {
	q                []int8
	d, s             []float32
	sum, sum8, sum80 []int32
}

func formOf(b []byte, k int) form {
	n := k / 32
	if n == 0 {
		return form{}
	}
	at := func(i int) unsafe.Pointer { return unsafe.Pointer(&b[k+4*n*i]) }
	floats := func(i int) []float32 { return unsafe.Slice((*float32)(at(i)), n) }
	ints := func(i int) []int32 { return unsafe.Slice((*int32)(at(i)), n) }
	return form{unsafe.Slice((*int8)(unsafe.Pointer(&b[0])), k), floats(0), floats(1), ints(2), ints(3), ints(4)}
}

// tiny is the least largest magnitude of a block whose d, and its inverse, are
// normal numbers.
const tiny = 0x1p-119

func quantize(dst []byte, x []float32) {
	f := formOf(dst, len(x))
	for b := range f.d {
		v, q := (*[32]float32)(x[32*b:]), (*[32]int8)(f.q[32*b:])
		peak := float32(0)
		for _, e := range v {
			peak = max(peak, float32(math.Abs(float64(e)))) // NaN stays
		}
		d, sum := peak/127, int32(0)
		switch {
		case peak < tiny:
			d, *q = 0, [32]int8{}
		case !(peak <= math.MaxFloat32):
			d, *q = float32(math.NaN()), [32]int8{}
		default:
			inverse := 1 / d
			for i, e := range v {
				q[i] = int8(math.RoundToEven(float64(float32(e * inverse))))
				sum += int32(q[i])
			}
		}
		f.d[b], f.s[b] = d, d*float32(sum)
		f.sum[b], f.sum8[b], f.sum80[b] = sum, -8*sum, -128*sum
	}
}

// mulBlocks is a product whose type has blocks of size bytes, of which unpack
// gives the weights as integers [32][32], element (k,n), and their zero point.
func mulBlocks(c []float32, ldc int, a []byte, step int, b []byte, blocks, m, panels, size int, unpack func(w *[32][Panel]uint8, b []byte) int32) {
	var w [32][Panel]uint8
	for p := range panels {
		for r := range m {
			clear(c[r*ldc+p*Panel:][:Panel])
		}
		for i := range blocks {
			block := b[(p*blocks+i)*size:][:size]
			zero := unpack(&w, block)
			scales, minima := block[size-2*Panel:], []byte(nil)
			if size == SizeQ4x1 {
				scales, minima = block[16*Panel:], block[18*Panel:]
			}
			for r := range m {
				f := formOf(a[r*step:], 32*blocks)
				var sums [Panel]int32
				for k, q := range (*[32]int8)(f.q[32*i:]) {
					for n, u := range &w[k] {
						sums[n] += int32(u) * int32(q)
					}
				}
				out := (*[Panel]float32)(c[r*ldc+p*Panel:])
				for n, sum := range sums {
					out[n] = fma(float32(sum-zero*f.sum[i]), halfAt(scales, n)*f.d[i], out[n])
					if minima != nil {
						out[n] = fma(halfAt(minima, n), f.s[i], out[n])
					}
				}
			}
		}
	}
}

// nibbles unpacks the weights of a block of Q4_0 or Q4_1.
func nibbles(w *[32][Panel]uint8, b []byte) {
	for g := range 4 {
		for n := range Panel {
			for i, u := range (*[4]byte)(b[g*4*Panel+4*n:]) {
				w[4*g+i][n], w[16+4*g+i][n] = u&15, u>>4
			}
		}
	}
}

func unpackQ4x0(w *[32][Panel]uint8, b []byte) int32 { nibbles(w, b); return 8 }

func unpackQ4x1(w *[32][Panel]uint8, b []byte) int32 { nibbles(w, b); return 0 }

func unpackQ8x0(w *[32][Panel]uint8, b []byte) int32 {
	for g := range 8 {
		for n := range Panel {
			for i, u := range (*[4]byte)(b[g*4*Panel+4*n:]) {
				w[4*g+i][n] = u
			}
		}
	}
	return 128
}

func mulQ4x0(c []float32, ldc int, a []byte, step int, b []byte, blocks, m, panels int) {
	mulBlocks(c, ldc, a, step, b, blocks, m, panels, SizeQ4x0, unpackQ4x0)
}

func mulQ4x1(c []float32, ldc int, a []byte, step int, b []byte, blocks, m, panels int) {
	mulBlocks(c, ldc, a, step, b, blocks, m, panels, SizeQ4x1, unpackQ4x1)
}

func mulQ8x0(c []float32, ldc int, a []byte, step int, b []byte, blocks, m, panels int) {
	mulBlocks(c, ldc, a, step, b, blocks, m, panels, SizeQ8x0, unpackQ8x0)
}

// floatBlocks writes the values of blocks as floats.
func floatBlocks(dst []float32, b []byte, blocks, size int, unpack func(w *[32][Panel]uint8, b []byte) int32) {
	var w [32][Panel]uint8
	for i := range blocks {
		block := b[i*size:][:size]
		zero := unpack(&w, block)
		for k := range 32 {
			out := (*[Panel]float32)(dst[(32*i+k)*Panel:])
			for n, u := range w[k] {
				if size == SizeQ4x1 {
					out[n] = float32(float32(u)*halfAt(block[16*Panel:], n)) + halfAt(block[18*Panel:], n)
				} else {
					out[n] = float32(int32(u)-zero) * halfAt(block[size-2*Panel:], n)
				}
			}
		}
	}
}

func floatQ4x0(dst []float32, b []byte, blocks int) {
	floatBlocks(dst, b, blocks, SizeQ4x0, unpackQ4x0)
}

func floatQ4x1(dst []float32, b []byte, blocks int) {
	floatBlocks(dst, b, blocks, SizeQ4x1, unpackQ4x1)
}

func floatQ8x0(dst []float32, b []byte, blocks int) {
	floatBlocks(dst, b, blocks, SizeQ8x0, unpackQ8x0)
}

// halfAt is binary16 number i of b.
func halfAt(b []byte, i int) float32 {
	h := uint32(binary.LittleEndian.Uint16(b[2*i:]))
	sign, exp, man := h&0x8000<<16, h>>10&31, h&1023
	switch exp {
	case 0:
		v := float32(man) * 0x1p-24
		return math.Float32frombits(math.Float32bits(v) | sign)
	case 31:
		return math.Float32frombits(sign | 255<<23 | man<<13)
	}
	return math.Float32frombits(sign | (exp+112)<<23 | man<<13)
}

// fma is x·y + z, rounded once. The product is exact in float64; the sum is
// rounded to odd there, so that the second rounding sees on which side of a tie
// it lay.
func fma(x, y, z float32) float32 {
	p, c := float64(x)*float64(y), float64(z)
	s := p + c
	t := s - p
	low := (p - (s - t)) + (c - t) // what rounding s took off; NaN beside an infinity
	bits := math.Float64bits(s)
	if (low > 0 || low < 0) && bits&1 == 0 {
		if (low > 0) == (s > 0) {
			bits++
		} else {
			bits--
		}
	}
	return float32(math.Float64frombits(bits))
}

func portableBlocks() Blocks {
	return Blocks{
		BlockHeight: 18,
		MulQ4x0:     mulQ4x0, MulQ4x1: mulQ4x1, MulQ8x0: mulQ8x0,
		Quantize:  quantize,
		FloatQ4x0: floatQ4x0, FloatQ4x1: floatQ4x1, FloatQ8x0: floatQ8x0,
	}
}
