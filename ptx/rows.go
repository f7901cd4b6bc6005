package ptx

// The instructions that inner loops are made of, a row at a time. All others
// go lane by lane through functions of 64-bit values.

import (
	"math/bits"
	"unsafe"
)

type (
	fn1 = func(a uint64) uint64
	fn2 = func(a, b uint64) uint64
	fn3 = func(a, b, c uint64) uint64
)

// scatter writes the lanes m of r.
func scatter(w *warp, d col, m uint32, r *row64) {
	if d.wide {
		to := &w.r64[d.idx]
		for mm := m; mm != 0; mm &= mm - 1 {
			i := bits.TrailingZeros32(mm) & 31
			to[i] = r[i]
		}
		return
	}
	to := &w.r32[d.idx]
	for mm := m; mm != 0; mm &= mm - 1 {
		i := bits.TrailingZeros32(mm) & 31
		to[i] = uint32(r[i])
	}
}

func lanes1(d, a col, f fn1) func(w *warp, m uint32) {
	return func(w *warp, m uint32) {
		A := w.load(a, 0)
		for mm := m; mm != 0; mm &= mm - 1 {
			i := bits.TrailingZeros32(mm) & 31
			w.tmp6[i] = f(A[i])
		}
		scatter(w, d, m, &w.tmp6)
	}
}

func lanes2(d, a, b col, f fn2) func(w *warp, m uint32) {
	return func(w *warp, m uint32) {
		A, B := w.load(a, 0), w.load(b, 1)
		for mm := m; mm != 0; mm &= mm - 1 {
			i := bits.TrailingZeros32(mm) & 31
			w.tmp6[i] = f(A[i], B[i])
		}
		scatter(w, d, m, &w.tmp6)
	}
}

func lanes3(d, a, b, c col, f fn3) func(w *warp, m uint32) {
	return func(w *warp, m uint32) {
		A, B, C := w.load(a, 0), w.load(b, 1), w.load(c, 2)
		for mm := m; mm != 0; mm &= mm - 1 {
			i := bits.TrailingZeros32(mm) & 31
			w.tmp6[i] = f(A[i], B[i], C[i])
		}
		scatter(w, d, m, &w.tmp6)
	}
}

// blend copies the lanes m of w.tmp to d.
func blend(d, from *row32, m uint32) {
	for mm := m; mm != 0; mm &= mm - 1 {
		i := bits.TrailingZeros32(mm) & 31
		d[i] = from[i]
	}
}

func blend64(d, from *row64, m uint32) {
	for mm := m; mm != 0; mm &= mm - 1 {
		i := bits.TrailingZeros32(mm) & 31
		d[i] = from[i]
	}
}

func rows1(d, a col, f func(d, a *row32)) func(w *warp, m uint32) {
	return func(w *warp, m uint32) {
		if m == allLanes {
			f(&w.r32[d.idx], w.c32(a.idx))
			return
		}
		f(&w.tmp, w.c32(a.idx))
		blend(&w.r32[d.idx], &w.tmp, m)
	}
}

func rows2(d, a, b col, f func(d, a, b *row32)) func(w *warp, m uint32) {
	return func(w *warp, m uint32) {
		if m == allLanes {
			f(&w.r32[d.idx], w.c32(a.idx), w.c32(b.idx))
			return
		}
		f(&w.tmp, w.c32(a.idx), w.c32(b.idx))
		blend(&w.r32[d.idx], &w.tmp, m)
	}
}

func rows3(d, a, b, c col, f func(d, a, b, c *row32)) func(w *warp, m uint32) {
	return func(w *warp, m uint32) {
		if m == allLanes {
			f(&w.r32[d.idx], w.c32(a.idx), w.c32(b.idx), w.c32(c.idx))
			return
		}
		f(&w.tmp, w.c32(a.idx), w.c32(b.idx), w.c32(c.idx))
		blend(&w.r32[d.idx], &w.tmp, m)
	}
}

func wide1(d, a col, f func(d, a *row64)) func(w *warp, m uint32) {
	return func(w *warp, m uint32) {
		if m == allLanes {
			f(&w.r64[d.idx], w.c64(a.idx))
			return
		}
		f(&w.tmp6, w.c64(a.idx))
		blend64(&w.r64[d.idx], &w.tmp6, m)
	}
}

func wide2(d, a, b col, f func(d, a, b *row64)) func(w *warp, m uint32) {
	return func(w *warp, m uint32) {
		if m == allLanes {
			f(&w.r64[d.idx], w.c64(a.idx), w.c64(b.idx))
			return
		}
		f(&w.tmp6, w.c64(a.idx), w.c64(b.idx))
		blend64(&w.r64[d.idx], &w.tmp6, m)
	}
}

// fmaRow is float32 a·b + c rounded once. The product is exact in float64; the
// sum is rounded there first, which only matters where it lands on a tie of
// float32 or among its subnormals: those go the exact way.
func fmaRow(d, a, b, c *row32) {
	const (
		small = 1<<24 + 1 // the bits of 2^-126 and below, shifted over the sign
		span  = 0xff<<24 - small
	)
	A, B, C, D := floats(a)[:], floats(b)[:], floats(c)[:], d[:]
	for i := range D {
		s := float64(A[i])*float64(B[i]) + float64(C[i])
		r := b32(float32(s))
		if uint32(b64(s))&0x1fffffff == 0x10000000 || r<<1-small >= span {
			if s != 0 { // zero is exact
				r = fmaExact(a[i], b[i], c[i])
			}
		}
		D[i] = r
	}
}

// floats sees the bits of a row as float32: loading them as such is what
// makes fmaRow fast.
func floats(r *row32) *[warpSize]float32 { return (*[warpSize]float32)(unsafe.Pointer(r)) }

//go:noinline
func fmaExact(a, b, c uint32) uint32 {
	r := fma32(f32(a), f32(b), f32(c), roundNearest)
	if r != r {
		return nanF32
	}
	return b32(r)
}

func canon(f float32) uint32 {
	if f != f {
		return nanF32
	}
	return b32(f)
}

func addF32(d, a, b *row32) {
	for i := range d {
		d[i] = canon(f32(a[i]) + f32(b[i]))
	}
}

func subF32(d, a, b *row32) {
	for i := range d {
		d[i] = canon(f32(a[i]) - f32(b[i]))
	}
}

func mulF32(d, a, b *row32) {
	for i := range d {
		d[i] = canon(f32(a[i]) * f32(b[i]))
	}
}

// maxF32 is max.f32: a NaN loses against a number, and -0 is below +0.
func maxF32(d, a, b *row32) {
	for i := range d {
		x, y := f32(a[i]), f32(b[i])
		switch {
		case x > y:
			d[i] = a[i]
		case y > x:
			d[i] = b[i]
		default:
			d[i] = uint32(pick32(uint64(a[i]), uint64(b[i]), false, false))
		}
	}
}

func add32(d, a, b *row32) {
	for i := range d {
		d[i] = a[i] + b[i]
	}
}

func sub32(d, a, b *row32) {
	for i := range d {
		d[i] = a[i] - b[i]
	}
}

func mul32(d, a, b *row32) {
	for i := range d {
		d[i] = a[i] * b[i]
	}
}

func and32(d, a, b *row32) {
	for i := range d {
		d[i] = a[i] & b[i]
	}
}

func or32(d, a, b *row32) {
	for i := range d {
		d[i] = a[i] | b[i]
	}
}

func xor32(d, a, b *row32) {
	for i := range d {
		d[i] = a[i] ^ b[i]
	}
}

func shl32(d, a, b *row32) {
	for i := range d {
		d[i] = a[i] << b[i]
	}
}

func shr32(d, a, b *row32) {
	for i := range d {
		d[i] = a[i] >> b[i]
	}
}

func sra32(d, a, b *row32) {
	for i := range d {
		d[i] = uint32(int32(a[i]) >> b[i])
	}
}

func mad32(d, a, b, c *row32) {
	for i := range d {
		d[i] = a[i]*b[i] + c[i]
	}
}

func mov32(d, a *row32) { *d = *a }
func mov64(d, a *row64) { *d = *a }

func add64(d, a, b *row64) {
	for i := range d {
		d[i] = a[i] + b[i]
	}
}

func sub64row(d, a, b *row64) {
	for i := range d {
		d[i] = a[i] - b[i]
	}
}

func mul64row(d, a, b *row64) {
	for i := range d {
		d[i] = a[i] * b[i]
	}
}

func minF32(d, a, b *row32) {
	for i := range d {
		x, y := f32(a[i]), f32(b[i])
		switch {
		case x < y:
			d[i] = a[i]
		case y < x:
			d[i] = b[i]
		default:
			d[i] = uint32(pick32(uint64(a[i]), uint64(b[i]), true, false))
		}
	}
}

func neg32f(d, a *row32) {
	for i := range d {
		d[i] = a[i] ^ 1<<31
	}
}

func abs32f(d, a *row32) {
	for i := range d {
		d[i] = a[i] &^ (1 << 31)
	}
}

// shiftWide is a shift of 64 bits by a row of 32.
func shiftWide(dst, a, b col, f func(d, a *row64, b *row32)) func(w *warp, m uint32) {
	return func(w *warp, m uint32) {
		if m == allLanes {
			f(&w.r64[dst.idx], w.c64(a.idx), w.c32(b.idx))
			return
		}
		f(&w.tmp6, w.c64(a.idx), w.c32(b.idx))
		blend64(&w.r64[dst.idx], &w.tmp6, m)
	}
}

func shl64(d, a *row64, b *row32) {
	for i := range d {
		d[i] = a[i] << b[i]
	}
}

func shr64(d, a *row64, b *row32) {
	for i := range d {
		d[i] = a[i] >> b[i]
	}
}

func sra64(d, a *row64, b *row32) {
	for i := range d {
		d[i] = uint64(int64(a[i]) >> b[i])
	}
}

// compareInt32 is a < b, or a = b if not less, of integers whose sign is in
// flip; not turns it round.
func compareInt32(a, b col, flip uint32, less, not bool) func(w *warp) uint32 {
	var all uint32
	if not {
		all = allLanes
	}
	if less {
		return func(w *warp) uint32 {
			A, B := w.c32(a.idx), w.c32(b.idx)
			var v uint32
			for i := range A {
				v |= uint32((uint64(A[i]^flip)-uint64(B[i]^flip))>>63) << i
			}
			return v ^ all
		}
	}
	return func(w *warp) uint32 {
		A, B := w.c32(a.idx), w.c32(b.idx)
		var v uint32
		for i := range A {
			v |= uint32((uint64(A[i]^B[i])-1)>>63) << i
		}
		return v ^ all
	}
}

// compareF32 compares rows of float32: the bits are lanes that are less,
// equal and greater; in none of them are those with a NaN.
func compareF32(a, b *row32) (less, equal, greater uint32) {
	A, B := floats(a), floats(b)
	for i := range A {
		x, y := A[i], B[i]
		switch {
		case x < y:
			less |= 1 << i
		case x > y:
			greater |= 1 << i
		case x == y:
			equal |= 1 << i
		}
	}
	return less, equal, greater
}

// choose is the lanes for which a float comparison holds.
func choose(op string, less, equal, greater uint32) uint32 {
	switch op {
	case "eq":
		return equal
	case "ne":
		return less | greater
	case "lt":
		return less
	case "le":
		return less | equal
	case "gt":
		return greater
	case "ge":
		return greater | equal
	case "equ":
		return ^(less | greater)
	case "neu":
		return ^equal
	case "ltu":
		return ^(greater | equal)
	case "leu":
		return ^greater
	case "gtu":
		return ^(less | equal)
	case "geu":
		return ^less
	case "num":
		return less | equal | greater
	}
	return ^(less | equal | greater) // nan
}
