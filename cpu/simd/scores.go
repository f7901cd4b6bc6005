package simd

// Scores: what attention does between its products, and products of the few
// rows of a decoding step with keys and values as they lie in a cache.

import (
	"encoding/binary"
	"math"
)

const (
	// Span is the number of keys whose exponentials share a largest score. Spans
	// begin at multiples of it, so that the bits of a row do not depend on what else
	// is computed with it.
	Span = 256
	// SpanRows is the most rows of a call.
	SpanRows = 16
	// Lanes is the number of keys, or of features of values, of a call that widens.
	Lanes = 16
)

// Seen is up to SpanRows rows of scores with one span of keys.
type Seen struct {
	From, To [SpanRows]int32   // the keys j of the span that the row sees: From ≤ j < To
	Peak     [SpanRows]float32 // the largest score, -Inf if there is none
	Sum      [SpanRows]float32 // of the exponentials
}

// Widen is dst[i·ldd+j] = element j of row i, which begins at src[i·lds], as
// float32, for i < n and j < 16. Lds counts bytes.
type Widen func(dst []float32, ldd int, src []byte, lds, n int)

// Direct is the products of few rows with keys and values of one type, in groups
// of 16 of which one begins at each of the bytes at of the cache. With each group
// the one at the same place of next and ahead is fetched into the cache of the
// processor.
type Direct struct {
	// Dot is s[r·Span+16g+j] = Σ_i q[r·d+i]·key (g,j,i), with one fused accumulator
	// over ascending i, for r < m. A group is [d][16] elements, in Q8_0 [d/32] of
	// {[32][16] int8, [16] binary16 scales}. Of types of two bytes, d is even.
	Dot func(s, q []float32, d, m int, cache []byte, at []int, next []byte, ahead []int)
	// Weigh is out[r·ldo+i] = Σ_j p[r·Span+j]·value (j/16, j mod 16, i) over the keys
	// from ≤ j < to, ascending, with one fused accumulator from zero, for r < m and
	// i < dv. A group is [16][dv] elements, dv a multiple of 16, in Q8_0 of 32.
	Weigh func(out []float32, ldo int, p []float32, dv, m int, cache []byte, at []int, from, to int, next []byte, ahead []int)
}

// Scores are the functions on attention.
type Scores struct {
	// Soften turns scores into exponentials: for the rows i < m of r,
	//
	//	Peak = max c·s[i·Span+j], s[i·Span+j] = 2^(c·s[i·Span+j] - Peak), Sum = Σ_j s[i·Span+j]
	//
	// over the keys j that the row sees, for c > 0. All those keys lie between from, a
	// multiple of 64, and to, one of 16; the other s there become zero.
	Soften func(s []float32, from, to int, c float32, r *Seen, m int)
	// Merge adds a span to what was before it: with P = max(peak, Peak), row by row
	//
	//	acc = acc·2^(peak-P) + part·2^(Peak-P), sum likewise, peak = P
	//
	// for columns < n, a multiple of 32, and rows < m.
	Merge func(acc, part []float32, n int, peak, sum []float32, r *Seen, m int)
	// Divide is dst = src·(1/by).
	Divide func(dst, src []float32, by float32)
	// Finite reports whether no element is a NaN or an infinity.
	Finite func(v []float32) bool
	// Slope is s[i] = c·s[i] + slope·(first+i).
	Slope func(s []float32, c, slope float32, first int)
	// PanelKeys is dst[i·ldd+j] = src[j·lds+i] for j < 16 and i < n.
	PanelKeys func(dst []float32, ldd int, src []float32, lds, n int)
	// WidenF32, WidenF16 and WidenBF16 are Widen of their type.
	WidenF32, WidenF16, WidenBF16 Widen
	// WidenQ8 is dst[i·ldd+j] = element j of the block of Q8_0 at src[i·lds], j < 32.
	WidenQ8 Widen
	// WidenKeysQ8 is dst[Panel·i+j] = int8(src[16i+j])·scale j, with 16 scales in
	// binary16, for i < n.
	WidenKeysQ8 func(dst []float32, src, scales []byte, n int)
	// Direct products by type, nil where the path has none.
	DirectF32, DirectF16, DirectBF16, DirectQ8 *Direct
}

func portableScores() Scores {
	return Scores{
		Soften: soften, Merge: mergeSpan, Divide: divideRow, Finite: allFinite, Slope: slopeScores, PanelKeys: transposeKeys,
		WidenF32: widenRowsF32, WidenF16: widenRowsF16, WidenBF16: widenRowsBF16, WidenQ8: widenRowsQ8, WidenKeysQ8: widenKeysQ8,
	}
}

func soften(s []float32, from, to int, c float32, r *Seen, m int) {
	for i := range m {
		row := s[i*Span:][:Span]
		lo, hi := int(r.From[i]), int(r.To[i])
		r.Peak[i], r.Sum[i] = float32(math.Inf(-1)), 0
		if lo >= hi {
			clear(row[from:to])
			continue
		}
		clear(row[from:lo])
		clear(row[hi:to])
		peak := float32(math.Inf(-1))
		for _, x := range row[lo:hi] {
			if y := c * x; y > peak { // not a NaN
				peak = y
			}
		}
		sum, shift := float32(0), shiftOf(peak)
		for j, x := range row[lo:hi] {
			y := exp2OfScore(float32(float64(c)*float64(x) - float64(shift)))
			row[lo+j] = y
			sum += y
		}
		r.Peak[i], r.Sum[i] = peak, sum
	}
}

// shiftOf is what to take off scores whose largest is peak, so that -Inf less it
// is no NaN.
func shiftOf(peak float32) float32 {
	if peak == float32(math.Inf(-1)) {
		return 0
	}
	return peak
}

// exp2OfScore is 2^u, zero where that is no normal number.
func exp2OfScore(u float32) float32 {
	if !(u >= -126) {
		if u != u {
			return u
		}
		return 0
	}
	if u > 127 {
		return float32(math.Inf(1))
	}
	n := math.RoundToEven(float64(u))
	f := float64(u) - n
	p := float32(1 + f*(exp2C1+f*(exp2C2+f*(exp2C3+f*(exp2C4+f*(exp2C5+f*exp2C6))))))
	return math.Float32frombits(uint32(int32(math.Float32bits(p)) + int32(n)<<23))
}

// The polynomial of least relative error for 2^f, |f| ≤ 1/2, with 1 as its value
// at 0: 2e-9.
const (
	exp2C1 = 0x1.62e430p-1
	exp2C2 = 0x1.ebfbdcp-3
	exp2C3 = 0x1.c6aee8p-5
	exp2C4 = 0x1.3b2d4cp-7
	exp2C5 = 0x1.5f3e54p-10
	exp2C6 = 0x1.41fbbcp-13
)

func mergeSpan(acc, part []float32, n int, peak, sum []float32, r *Seen, m int) {
	for i := range m {
		top := max(peak[i], r.Peak[i])
		shift := shiftOf(top)
		a, b := exp2OfScore(peak[i]-shift), exp2OfScore(r.Peak[i]-shift)
		sum[i] = float32(sum[i]*a) + float32(r.Sum[i]*b)
		peak[i] = top
		out := acc[i*n:][:n]
		for j, x := range part[i*n:][:n] {
			out[j] = float32(out[j]*a) + float32(x*b)
		}
	}
}

func divideRow(dst, src []float32, by float32) {
	inverse := 1 / by
	for i, x := range src {
		dst[i] = x*inverse + 0 // no negative zero
	}
}

func allFinite(v []float32) bool {
	for _, x := range v {
		if x-x != 0 {
			return false
		}
	}
	return true
}

func slopeScores(s []float32, c, slope float32, first int) {
	for i, x := range s {
		s[i] = float32(c*x) + float32(slope*float32(first+i))
	}
}

func transposeKeys(dst []float32, ldd int, src []float32, lds, n int) {
	for j := range Lanes {
		for i, x := range src[j*lds:][:n] {
			dst[i*ldd+j] = x
		}
	}
}

func widenRowsF32(dst []float32, ldd int, src []byte, lds, n int) {
	for i := range n {
		out, in := (*[Lanes]float32)(dst[i*ldd:]), src[i*lds:][:4*Lanes]
		for j := range out {
			out[j] = math.Float32frombits(binary.LittleEndian.Uint32(in[4*j:]))
		}
	}
}

func widenRowsF16(dst []float32, ldd int, src []byte, lds, n int) {
	for i := range n {
		out, in := (*[Lanes]float32)(dst[i*ldd:]), src[i*lds:][:2*Lanes]
		for j := range out {
			out[j] = keyHalf(binary.LittleEndian.Uint16(in[2*j:]))
		}
	}
}

func widenRowsBF16(dst []float32, ldd int, src []byte, lds, n int) {
	for i := range n {
		out, in := (*[Lanes]float32)(dst[i*ldd:]), src[i*lds:][:2*Lanes]
		for j := range out {
			out[j] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(in[2*j:])) << 16)
		}
	}
}

func widenRowsQ8(dst []float32, ldd int, src []byte, lds, n int) {
	for i := range n {
		out, in := (*[2 * Lanes]float32)(dst[i*ldd:]), (*[34]byte)(src[i*lds:])
		d := keyHalf(binary.LittleEndian.Uint16(in[:]))
		for j := range out {
			out[j] = float32(int8(in[2+j])) * d
		}
	}
}

func widenKeysQ8(dst []float32, src, scales []byte, n int) {
	var d [Lanes]float32
	for j := range d {
		d[j] = keyHalf(binary.LittleEndian.Uint16(scales[2*j:]))
	}
	for i := range n {
		out, in := (*[Lanes]float32)(dst[i*Panel:]), (*[Lanes]byte)(src[i*Lanes:])
		for j := range out {
			out[j] = float32(int8(in[j])) * d[j]
		}
	}
}

// keyHalf is the value of binary16 bits: the exponent is moved by multiplying,
// which makes subnormal numbers right too.
func keyHalf(h uint16) float32 {
	sign, rest := uint32(h>>15)<<31, uint32(h&0x7fff)<<13
	if rest >= 0x7c00<<13 { // infinity and NaN
		return math.Float32frombits(sign | 0x7f800000 | rest)
	}
	return math.Float32frombits(sign | math.Float32bits(math.Float32frombits(rest)*0x1p112))
}
