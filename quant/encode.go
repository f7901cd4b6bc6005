package quant

// Encode: the plain floats and the block types with one scale for 32 elements,
// rounded as the reference encoders of ggml-quants.c round.

import (
	"encoding/binary"
	"fmt"
	"math"
)

// encoders is indexed by Type. Each packs len(src)/BlockSize blocks and returns
// the index of the first block it cannot, or -1.
var encoders = [...]func(dst []byte, src []float32) int{
	F32: all(encodeF32), F16: all(encodeF16), BF16: all(encodeBF16), F64: all(encodeF64),
	Q4_0: encodeQ40, Q4_1: encodeQ41, Q5_0: encodeQ50, Q5_1: encodeQ51, Q8_0: encodeQ80,
}

// all adapts an encoder that takes every value.
func all(encode func([]byte, []float32)) func([]byte, []float32) int {
	return func(dst []byte, src []float32) int { encode(dst, src); return -1 }
}

// Encodes reports whether Encode takes the type: the floats, Q4_0, Q4_1, Q5_0,
// Q5_1 and Q8_0.
func (t Type) Encodes() bool { return t < Type(len(encoders)) && encoders[t] != nil }

// Encode packs src into whole blocks of type t. F16 and BF16 are rounded to
// nearest, ties to even, and keep infinities and NaNs. Block types choose the
// scale by the largest magnitude (the range, where there is a minimum) of each
// block and round half up (Q8_0: half away from zero).
//
// It returns an error if t is a type it does not take or if dst is not exactly
// t.Bytes(len(src)) bytes, both with dst untouched, and if a block has a NaN,
// an infinity or a range whose scale binary16 cannot hold.
func Encode(dst []byte, src []float32, t Type) error {
	if !t.Encodes() {
		return fmt.Errorf("quant: cannot encode %v, only %s", t, typeNames(Type.Encodes))
	}
	if err := checkLengths("encode", len(src), len(dst), t); err != nil {
		return err
	}
	if i := encoders[t](dst, src); i >= 0 {
		n := t.BlockSize()
		return fmt.Errorf("quant: encode %v: elements %d to %d are not finite or too large for its scale", t, i*n, i*n+n-1)
	}
	return nil
}

// maxF16 is the largest finite binary16.
const maxF16 = 65504

// scaleFor turns a wanted step into its binary16 bits and the factor that
// divides by it: 0 for a step that is zero or so small that 1/d overflows. The
// quotients use the step before rounding, as the reference encoders do. It is
// not ok for a step that is not finite in binary16.
func scaleFor(d float32) (half uint16, inverse float32, ok bool) {
	if !(d <= maxF16 && d >= -maxF16) {
		return 0, 0, false
	}
	if inverse = 1 / d; math.IsInf(float64(inverse), 0) {
		inverse = 0
	}
	return ToF16(d), inverse, true
}

// signedPeak returns the element of largest magnitude, the first of equals, or
// NaN if there is one.
func signedPeak(x *[32]float32) float32 {
	var magnitude, peak float32
	for _, v := range x {
		a := float32(math.Abs(float64(v)))
		if a > magnitude {
			peak = v
		}
		magnitude = max(magnitude, a) // NaN stays
	}
	if magnitude != magnitude {
		return magnitude
	}
	return peak
}

// bounds returns the least and the largest element, NaN if there is one.
func bounds(x *[32]float32) (least, largest float32) {
	least, largest = x[0], x[0]
	for _, v := range x {
		least, largest = min(least, v), max(largest, v)
	}
	return least, largest
}

// level rounds v down to 0 ... top.
func level(v float32, top uint8) uint8 { return min(uint8(max(v, 0)), top) }

// encodeQ40 maps the element of largest magnitude to -8.
func encodeQ40(dst []byte, src []float32) int {
	for i := 0; len(src) >= 32; i, dst, src = i+1, dst[18:], src[32:] {
		b, x := (*[18]byte)(dst), (*[32]float32)(src)
		peak := signedPeak(x)
		d, inverse, ok := scaleFor(peak / -8)
		if !ok {
			return i
		}
		binary.LittleEndian.PutUint16(b[:], d)
		for j := range 16 {
			low, high := level(float32(x[j]*inverse)+8.5, 15), level(float32(x[j+16]*inverse)+8.5, 15)
			b[2+j] = low | high<<4
		}
	}
	return -1
}

// encodeQ41 maps the least element to 0 and the largest to 15.
func encodeQ41(dst []byte, src []float32) int {
	for i := 0; len(src) >= 32; i, dst, src = i+1, dst[20:], src[32:] {
		b, x := (*[20]byte)(dst), (*[32]float32)(src)
		least, largest := bounds(x)
		d, inverse, ok := scaleFor((largest - least) / 15)
		m, _, mok := scaleFor(least)
		if !ok || !mok {
			return i
		}
		binary.LittleEndian.PutUint16(b[:], d)
		binary.LittleEndian.PutUint16(b[2:], m)
		for j := range 16 {
			low, high := level(float32((x[j]-least)*inverse)+0.5, 15), level(float32((x[j+16]-least)*inverse)+0.5, 15)
			b[4+j] = low | high<<4
		}
	}
	return -1
}

// encodeQ50 maps the element of largest magnitude to -16.
func encodeQ50(dst []byte, src []float32) int {
	for i := 0; len(src) >= 32; i, dst, src = i+1, dst[22:], src[32:] {
		b, x := (*[22]byte)(dst), (*[32]float32)(src)
		peak := signedPeak(x)
		d, inverse, ok := scaleFor(peak / -16)
		if !ok {
			return i
		}
		binary.LittleEndian.PutUint16(b[:], d)
		var fifth uint32
		for j := range 16 {
			low, high := level(float32(x[j]*inverse)+16.5, 31), level(float32(x[j+16]*inverse)+16.5, 31)
			b[6+j] = low&15 | high<<4
			fifth |= uint32(low>>4)<<j | uint32(high>>4)<<(j+16)
		}
		binary.LittleEndian.PutUint32(b[2:], fifth)
	}
	return -1
}

// encodeQ51 maps the least element to 0 and the largest to 31.
func encodeQ51(dst []byte, src []float32) int {
	for i := 0; len(src) >= 32; i, dst, src = i+1, dst[24:], src[32:] {
		b, x := (*[24]byte)(dst), (*[32]float32)(src)
		least, largest := bounds(x)
		d, inverse, ok := scaleFor((largest - least) / 31)
		m, _, mok := scaleFor(least)
		if !ok || !mok {
			return i
		}
		binary.LittleEndian.PutUint16(b[:], d)
		binary.LittleEndian.PutUint16(b[2:], m)
		var fifth uint32
		for j := range 16 {
			low, high := level(float32((x[j]-least)*inverse)+0.5, 31), level(float32((x[j+16]-least)*inverse)+0.5, 31)
			b[8+j] = low&15 | high<<4
			fifth |= uint32(low>>4)<<j | uint32(high>>4)<<(j+16)
		}
		binary.LittleEndian.PutUint32(b[4:], fifth)
	}
	return -1
}

// encodeQ80 maps the largest magnitude to 127.
func encodeQ80(dst []byte, src []float32) int {
	for i := 0; len(src) >= 32; i, dst, src = i+1, dst[34:], src[32:] {
		b, x := (*[34]byte)(dst), (*[32]float32)(src)
		peak := signedPeak(x)
		d, inverse, ok := scaleFor(float32(math.Abs(float64(peak))) / 127)
		if !ok {
			return i
		}
		binary.LittleEndian.PutUint16(b[:], d)
		for j, v := range x {
			b[2+j] = uint8(int8(math.Round(float64(v * inverse))))
		}
	}
	return -1
}
