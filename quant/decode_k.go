package quant

// The K-quants, super-blocks of 256 elements whose sub-blocks of 16 or 32 have
// small integer scales (and minima) of their own, and the two IQ4 types.

import "encoding/binary"

// decodeQ2K: 16 bytes with a 4-bit scale and a 4-bit minimum for 16 elements
// each, 64 bytes of four elements, d and dmin f16; x = d*scale*q - dmin*min.
// Byte l of either 32-byte half holds elements l, l+32, l+64, l+96 of its 128.
func decodeQ2K(dst []float32, src []byte) {
	for ; len(dst) >= 256; dst, src = dst[256:], src[84:] {
		b := (*[84]byte)(src)
		d, dmin := scaleAt(b[80:]), scaleAt(b[82:])
		for s, sc := range b[:16] {
			x := (*[16]float32)(dst[16*s:])
			qs := (*[16]byte)(b[16+s/8*32+s%2*16:])
			shift := s / 2 % 4 * 2
			dl, ml := d*float32(sc&15), dmin*float32(sc>>4)
			for l, q := range qs {
				x[l] = float32(dl*float32(q>>shift&3)) - ml
			}
		}
	}
}

// decodeQ3K: 32 bytes of third bits, 64 bytes of four elements laid out as in
// Q2_K, 12 bytes of 6-bit scales, d f16; x = d*(scale - 32)*(q - 4). Bit k of
// byte l of the third bits belongs to element 32k + l.
func decodeQ3K(dst []float32, src []byte) {
	for ; len(dst) >= 256; dst, src = dst[256:], src[110:] {
		b := (*[110]byte)(src)
		d := scaleAt(b[108:])
		scales := (*[12]byte)(b[96:])
		for s := range 16 {
			// Low nibbles of bytes 0-7, then their high nibbles; bits 4 and 5
			// of scale s are in byte 8 + s%4.
			low := scales[s%8] >> (s / 8 * 4) & 15
			high := scales[8+s%4] >> (s / 4 * 2) & 3
			dl := d * float32(int(low|high<<4)-32)
			x := (*[16]float32)(dst[16*s:])
			qs := (*[16]byte)(b[32+s/8*32+s%2*16:])
			third := (*[16]byte)(b[s%2*16:])
			shift, bit := s/2%4*2, s/2
			for l, q := range qs {
				x[l] = dl * float32(int(q>>shift&3|third[l]>>bit&1<<2)-4)
			}
		}
	}
}

// scaleMinK returns the 6-bit scale and minimum of sub-block s (0 to 7) of the
// 12 bytes Q4_K and Q5_K share: 0-3 lie in the low 6 bits of bytes 0-3 and 4-7;
// 4-7 have their low nibbles in bytes 8-11, their upper two bits in the upper
// two bits of bytes 0-7.
func scaleMinK(s int, b *[12]byte) (scale, minimum uint8) {
	if s < 4 {
		return b[s] & 63, b[s+4] & 63
	}
	return b[s+4]&15 | b[s-4]>>6<<4, b[s+4]>>4 | b[s]>>6<<4
}

// decodeQ4K: d and dmin f16, 12 bytes of scales and minima, 128 bytes of two
// elements; x = d*scale*q - dmin*min. Byte l of each 32-byte quarter holds
// elements l and l+32 of its 64.
func decodeQ4K(dst []float32, src []byte) {
	for ; len(dst) >= 256; dst, src = dst[256:], src[144:] {
		b := (*[144]byte)(src)
		d, dmin := scaleAt(b[:]), scaleAt(b[2:])
		for s := range 8 {
			sc, m := scaleMinK(s, (*[12]byte)(b[4:]))
			dl, ml := d*float32(sc), dmin*float32(m)
			x := (*[32]float32)(dst[32*s:])
			qs := (*[32]byte)(b[16+s/2*32:])
			shift := s % 2 * 4
			for l, q := range qs {
				x[l] = float32(dl*float32(q>>shift&15)) - ml
			}
		}
	}
}

// decodeQ5K: as Q4_K with 32 bytes of fifth bits before the 128: bit s of byte
// l belongs to element 32s + l.
func decodeQ5K(dst []float32, src []byte) {
	for ; len(dst) >= 256; dst, src = dst[256:], src[176:] {
		b := (*[176]byte)(src)
		d, dmin := scaleAt(b[:]), scaleAt(b[2:])
		fifth := (*[32]byte)(b[16:])
		for s := range 8 {
			sc, m := scaleMinK(s, (*[12]byte)(b[4:]))
			dl, ml := d*float32(sc), dmin*float32(m)
			x := (*[32]float32)(dst[32*s:])
			qs := (*[32]byte)(b[48+s/2*32:])
			shift := s % 2 * 4
			for l, q := range qs {
				x[l] = float32(dl*float32(q>>shift&15|fifth[l]>>s&1<<4)) - ml
			}
		}
	}
}

// decodeQ6K: 128 bytes of low nibbles, 64 bytes of upper bit pairs, 16 int8
// scales, d f16; x = d*scale*(q - 32). In each half of 128 elements, quarter k
// of 32 takes nibble k/2 of byte l + 32*(k%2) and bit pair k of byte l.
func decodeQ6K(dst []float32, src []byte) {
	for ; len(dst) >= 256; dst, src = dst[256:], src[210:] {
		b := (*[210]byte)(src)
		d := scaleAt(b[208:])
		for s, sc := range b[192:208] {
			half, k, part := s/8, s/2%4, s%2*16
			dl := d * float32(int8(sc))
			x := (*[16]float32)(dst[16*s:])
			low := (*[16]byte)(b[64*half+k%2*32+part:])
			high := (*[16]byte)(b[128+32*half+part:])
			shiftLow, shiftHigh := k/2*4, 2*k
			for l, q := range low {
				x[l] = dl * float32(int(q>>shiftLow&15|high[l]>>shiftHigh&3<<4)-32)
			}
		}
	}
}

// levelsIQ4 are the 16 levels of IQ4_NL and IQ4_XS (kvalues_iq4nl in
// ggml-common.h).
var levelsIQ4 = [16]int8{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113}

// decodeIQ4NL: d f16, 16 bytes of two elements; x = d*level[q].
func decodeIQ4NL(dst []float32, src []byte) {
	for ; len(dst) >= 32; dst, src = dst[32:], src[18:] {
		x, b := (*[32]float32)(dst), (*[18]byte)(src)
		d := scaleAt(b[:])
		for j, q := range b[2:] {
			x[j] = d * float32(levelsIQ4[q&15])
			x[j+16] = d * float32(levelsIQ4[q>>4])
		}
	}
}

// decodeIQ4XS: d f16, 16 bits with the upper two bits of 8 scales, 4 bytes with
// their low nibbles, 128 bytes of two elements; x = d*(scale - 32)*level[q].
func decodeIQ4XS(dst []float32, src []byte) {
	for ; len(dst) >= 256; dst, src = dst[256:], src[136:] {
		b := (*[136]byte)(src)
		d, high := scaleAt(b[:]), binary.LittleEndian.Uint16(b[2:])
		for s := range 8 {
			sc := b[4+s/2]>>(s%2*4)&15 | uint8(high>>(2*s))&3<<4
			dl := d * float32(int(sc)-32)
			x, qs := (*[32]float32)(dst[32*s:]), (*[16]byte)(b[8+16*s:])
			for j, q := range qs {
				x[j] = dl * float32(levelsIQ4[q&15])
				x[j+16] = dl * float32(levelsIQ4[q>>4])
			}
		}
	}
}
