package quant

// The half-width floats and the plain wide ones, as scalars, as slices and as
// little-endian bytes.

import (
	"encoding/binary"
	"math"
)

// FromF16 returns the value of IEEE 754 binary16 bits. Every binary16 value,
// subnormals included, is exact in float32; a NaN keeps its sign and payload.
func FromF16(h uint16) float32 {
	sign, mag := uint32(h&0x8000)<<16, uint32(h&0x7fff)
	switch {
	case mag >= 0x7c00: // infinity and NaN
		return math.Float32frombits(sign | 0x7f800000 | mag<<13)
	case mag >= 0x0400: // normal: rebias the exponent from 15 to 127
		return math.Float32frombits(sign | (mag<<13 + 112<<23))
	default: // subnormal and zero: mag units of 2^-24
		return math.Float32frombits(sign | math.Float32bits(float32(mag)*0x1p-24))
	}
}

// ToF16 returns the binary16 bits nearest to x, ties to even. Magnitudes of
// 65520 and above become infinity, those of 2^-25 and below zero; a NaN stays
// one, quiet, with its sign and the upper bits of its payload.
func ToF16(x float32) uint16 {
	b := math.Float32bits(x)
	sign, mag := uint16(b>>16)&0x8000, b&0x7fffffff
	switch {
	case mag > 0x7f800000:
		return sign | 0x7e00 | uint16(mag>>13)&0x03ff
	case mag >= 0x477ff000: // 65520, half-way between 65504 and 2^16
		return sign | 0x7c00
	case mag >= 0x38800000: // 2^-14 and above: normal. A carry out of the mantissa is the next exponent
		mag -= 112 << 23
		return sign | uint16((mag+0x0fff+mag>>13&1)>>13)
	default:
		// 0.5 has a last place of 2^-24, that of a binary16 subnormal, so the
		// addition rounds in the right place and the low bits are the answer.
		return sign | uint16(math.Float32bits(math.Float32frombits(mag)+0.5)-0x3f000000)
	}
}

// FromBF16 returns the value of bfloat16 bits, the upper half of a binary32.
func FromBF16(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

// ToBF16 returns the bfloat16 bits nearest to x, ties to even. A NaN stays one,
// quiet, with its sign and the upper bits of its payload.
func ToBF16(x float32) uint16 {
	b := math.Float32bits(x)
	if b&0x7fffffff > 0x7f800000 {
		return uint16(b>>16) | 0x0040
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

// room returns n, the length of the source, if the destination has as much.
func room(have, n int) int {
	if have < n {
		panic("quant: destination shorter than source")
	}
	return n
}

// FromF16s sets dst[i] = FromF16(src[i]) for all of src. It panics if dst is
// shorter than src, as do the other three.
func FromF16s(dst []float32, src []uint16) {
	dst = dst[:room(len(dst), len(src))]
	for i, h := range src {
		dst[i] = FromF16(h)
	}
}

// ToF16s sets dst[i] = ToF16(src[i]) for all of src.
func ToF16s(dst []uint16, src []float32) {
	dst = dst[:room(len(dst), len(src))]
	for i, x := range src {
		dst[i] = ToF16(x)
	}
}

// FromBF16s sets dst[i] = FromBF16(src[i]) for all of src.
func FromBF16s(dst []float32, src []uint16) {
	dst = dst[:room(len(dst), len(src))]
	for i, h := range src {
		dst[i] = FromBF16(h)
	}
}

// ToBF16s sets dst[i] = ToBF16(src[i]) for all of src.
func ToBF16s(dst []uint16, src []float32) {
	dst = dst[:room(len(dst), len(src))]
	for i, x := range src {
		dst[i] = ToBF16(x)
	}
}

func decodeF32(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
	}
}

func decodeF64(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(src[8*i:])))
	}
}

func decodeF16(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = FromF16(binary.LittleEndian.Uint16(src[2*i:]))
	}
}

func decodeBF16(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = FromBF16(binary.LittleEndian.Uint16(src[2*i:]))
	}
}

func encodeF32(dst []byte, src []float32) {
	for i, x := range src {
		binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(x))
	}
}

func encodeF64(dst []byte, src []float32) {
	for i, x := range src {
		binary.LittleEndian.PutUint64(dst[8*i:], math.Float64bits(float64(x)))
	}
}

func encodeF16(dst []byte, src []float32) {
	for i, x := range src {
		binary.LittleEndian.PutUint16(dst[2*i:], ToF16(x))
	}
}

func encodeBF16(dst []byte, src []float32) {
	for i, x := range src {
		binary.LittleEndian.PutUint16(dst[2*i:], ToBF16(x))
	}
}

// halfE8M0 returns half of 2^(e-127), the value of OCP E8M0: MXFP4 doubles its
// levels to keep them whole. The two smallest halves are subnormal. 255 is NaN
// in the specification; the reference decoder reads 2^128, and so do we.
func halfE8M0(e uint8) float32 {
	if e < 2 {
		return math.Float32frombits(0x00200000 << e)
	}
	return math.Float32frombits(uint32(e-1) << 23)
}

// halfE4M3 returns half of an unsigned E4M3 value with exponent bias 7, for the
// same reason. 0x7f is NaN in the specification; the reference decoder reads 0,
// and so do we. Bit 7 is ignored.
func halfE4M3(e uint8) float32 {
	exponent, mantissa := uint32(e>>3&15), uint32(e&7)
	switch {
	case e == 0x7f:
		return 0
	case exponent == 0:
		return float32(mantissa) * 0x1p-10
	default: // (1 + mantissa/8) * 2^(exponent-7) / 2
		return math.Float32frombits((exponent+127-8)<<23 | mantissa<<20)
	}
}
