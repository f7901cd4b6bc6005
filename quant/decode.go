package quant

// Decode, and the block types with one scale for 32 elements.
//
// Products and sums are rounded one by one (the float32 conversions keep a
// compiler from fusing them), so every machine decodes to the same bits.

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// decoders is indexed by Type. Each expands len(dst)/BlockSize blocks; Decode
// has checked the lengths.
var decoders = [...]func(dst []float32, src []byte){
	F32: decodeF32, F16: decodeF16, BF16: decodeBF16, F64: decodeF64,
	Q4_0: decodeQ40, Q4_1: decodeQ41, Q5_0: decodeQ50, Q5_1: decodeQ51, Q8_0: decodeQ80,
	Q2_K: decodeQ2K, Q3_K: decodeQ3K, Q4_K: decodeQ4K, Q5_K: decodeQ5K, Q6_K: decodeQ6K,
	IQ2_XXS: decodeIQ2XXS, IQ2_XS: decodeIQ2XS, IQ2_S: decodeIQ2S,
	IQ3_XXS: decodeIQ3XXS, IQ3_S: decodeIQ3S, IQ1_S: decodeIQ1S, IQ1_M: decodeIQ1M,
	IQ4_NL: decodeIQ4NL, IQ4_XS: decodeIQ4XS,
	TQ1_0: decodeTQ10, TQ2_0: decodeTQ20, MXFP4: decodeMXFP4, NVFP4: decodeNVFP4,
}

// Decodes reports whether Decode takes the type: all floats and block types,
// but not the integers and Bool.
func (t Type) Decodes() bool { return t < Type(len(decoders)) && decoders[t] != nil }

// Decode expands src, whole blocks of type t, to len(dst) values. F64 is
// rounded to the nearest float32; all other values are exactly those of the
// reference decoders. It returns an error, with dst untouched, if t is a type
// it does not take or if src is not exactly t.Bytes(len(dst)) bytes.
func Decode(dst []float32, src []byte, t Type) error {
	if !t.Decodes() {
		return fmt.Errorf("quant: cannot decode %v, only %s", t, typeNames(Type.Decodes))
	}
	if err := checkLengths("decode", len(dst), len(src), t); err != nil {
		return err
	}
	decoders[t](dst, src)
	return nil
}

// checkLengths compares n elements with size bytes.
func checkLengths(verb string, n, size int, t Type) error {
	if n%t.BlockSize() != 0 {
		return fmt.Errorf("quant: %s %v: %d elements are not whole blocks of %d", verb, t, n, t.BlockSize())
	}
	if want := t.Bytes(n); size != want {
		return fmt.Errorf("quant: %s %v: %d elements take %d bytes, got %d", verb, t, n, want, size)
	}
	return nil
}

// typeNames lists the types that keep holds for.
func typeNames(keep func(Type) bool) string {
	var names []string
	for _, t := range Types() {
		if keep(t) {
			names = append(names, t.String())
		}
	}
	return strings.Join(names, " ")
}

// scaleAt reads a binary16 scale.
func scaleAt(b []byte) float32 { return FromF16(binary.LittleEndian.Uint16(b)) }

// decodeQ40: d f16, 16 bytes of two elements; x = d*(q - 8).
func decodeQ40(dst []float32, src []byte) {
	for ; len(dst) >= 32; dst, src = dst[32:], src[18:] {
		x, b := (*[32]float32)(dst), (*[18]byte)(src)
		d := scaleAt(b[:])
		for j, q := range b[2:] {
			x[j] = d * float32(int(q&15)-8)
			x[j+16] = d * float32(int(q>>4)-8)
		}
	}
}

// decodeQ41: d, m f16, 16 bytes of two elements; x = d*q + m.
func decodeQ41(dst []float32, src []byte) {
	for ; len(dst) >= 32; dst, src = dst[32:], src[20:] {
		x, b := (*[32]float32)(dst), (*[20]byte)(src)
		d, m := scaleAt(b[:]), scaleAt(b[2:])
		for j, q := range b[4:] {
			x[j] = float32(d*float32(q&15)) + m
			x[j+16] = float32(d*float32(q>>4)) + m
		}
	}
}

// decodeQ50: d f16, the 32 fifth bits, 16 bytes of two elements; x = d*(q - 16).
func decodeQ50(dst []float32, src []byte) {
	for ; len(dst) >= 32; dst, src = dst[32:], src[22:] {
		x, b := (*[32]float32)(dst), (*[22]byte)(src)
		d, high := scaleAt(b[:]), binary.LittleEndian.Uint32(b[2:])
		for j, q := range b[6:] {
			x[j] = d * float32(int(q&15|uint8(high<<4)&16)-16)
			x[j+16] = d * float32(int(q>>4|uint8(high>>12)&16)-16)
			high >>= 1
		}
	}
}

// decodeQ51: d, m f16, the 32 fifth bits, 16 bytes of two elements; x = d*q + m.
func decodeQ51(dst []float32, src []byte) {
	for ; len(dst) >= 32; dst, src = dst[32:], src[24:] {
		x, b := (*[32]float32)(dst), (*[24]byte)(src)
		d, m, high := scaleAt(b[:]), scaleAt(b[2:]), binary.LittleEndian.Uint32(b[4:])
		for j, q := range b[8:] {
			x[j] = float32(d*float32(q&15|uint8(high<<4)&16)) + m
			x[j+16] = float32(d*float32(q>>4|uint8(high>>12)&16)) + m
			high >>= 1
		}
	}
}

// decodeQ80: d f16, 32 int8; x = d*q.
func decodeQ80(dst []float32, src []byte) {
	for ; len(dst) >= 32; dst, src = dst[32:], src[34:] {
		x, b := (*[32]float32)(dst), (*[34]byte)(src)
		d := scaleAt(b[:])
		for j, q := range b[2:] {
			x[j] = d * float32(int8(q))
		}
	}
}

// levelsE2M1 are twice the values of OCP E2M1 (MX specification v1.0, 5.3.3),
// sign in bit 3.
var levelsE2M1 = [16]int8{0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12}

// decodeMXFP4: e E8M0, 16 bytes of two E2M1; x = 2^(e-127) * value. As the
// levels are doubled the scale is halved: 2^(e-128), subnormal for e < 2.
func decodeMXFP4(dst []float32, src []byte) {
	for ; len(dst) >= 32; dst, src = dst[32:], src[17:] {
		x, b := (*[32]float32)(dst), (*[17]byte)(src)
		d := halfE8M0(b[0])
		for j, q := range b[1:] {
			x[j] = d * float32(levelsE2M1[q&15])
			x[j+16] = d * float32(levelsE2M1[q>>4])
		}
	}
}

// decodeNVFP4: 4 scales in unsigned E4M3, one for 16 elements, then 8 bytes of
// two E2M1 for each; x = scale/2 * doubled level.
func decodeNVFP4(dst []float32, src []byte) {
	for ; len(dst) >= 64; dst, src = dst[64:], src[36:] {
		x, b := (*[64]float32)(dst), (*[36]byte)(src)
		for s, e := range b[:4] {
			d := halfE4M3(e)
			y, qs := (*[16]float32)(x[16*s:]), (*[8]byte)(b[4+8*s:])
			for j, q := range qs {
				y[j] = d * float32(levelsE2M1[q&15])
				y[j+8] = d * float32(levelsE2M1[q>>4])
			}
		}
	}
}
