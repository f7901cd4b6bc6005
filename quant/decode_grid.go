package quant

// The IQ1, IQ2 and IQ3 types, whose groups of elements are points of a grid
// (grids.go), and the ternary types TQ1_0 and TQ2_0.

import (
	"encoding/binary"
	"math/bits"
)

// The levels grid coordinates index. A fourth entry fills the two bits; no
// point of a grid uses it.
var (
	iq1Levels    = [4]float32{-1, 0, 1, 0}
	iq2Levels    = [4]float32{8, 25, 43, 0}
	iq3xxsLevels = [8]float32{4, 12, 20, 28, 36, 44, 52, 62}
	iq3sLevels   = [8]float32{1, 3, 5, 7, 9, 11, 13, 15}
)

// iq1Delta is what IQ1 types add to or subtract from every coordinate.
const iq1Delta = 0.125

// evenSigns completes 7 sign bits with the one that makes their number even.
func evenSigns(seven uint32) uint8 {
	seven &= 127
	return uint8(seven | uint32(bits.OnesCount32(seven)&1)<<7)
}

// putIQ2 writes d times the point, negated where signs has a 1.
func putIQ2(x *[8]float32, d float32, point uint16, signs uint8) {
	for j := range x {
		v := d * iq2Levels[point&3]
		if signs&1 != 0 {
			v = -v
		}
		x[j] = v
		point >>= 2
		signs >>= 1
	}
}

// putIQ3 is putIQ2 for points of 4 coordinates with the given levels.
func putIQ3(x *[4]float32, d float32, point uint16, levels *[8]float32, signs uint8) {
	for j := range x {
		v := d * levels[point&7]
		if signs&1 != 0 {
			v = -v
		}
		x[j] = v
		point >>= 4
		signs >>= 1
	}
}

// putIQ1 writes d times (point + delta).
func putIQ1(x *[8]float32, d float32, point uint16, delta float32) {
	for j := range x {
		x[j] = d * (iq1Levels[point&3] + delta)
		point >>= 2
	}
}

// scaleIQ2 is the scale of IQ2 types: d * (0.5 + s) / 4.
func scaleIQ2(d float32, s uint32) float32 { return d * (0.5 + float32(s)) * 0.25 }

// decodeIQ2XXS: d f16, then for each 32 elements 4 grid numbers of a byte and
// 32 bits with four times 7 signs and a 4-bit scale on top.
func decodeIQ2XXS(dst []float32, src []byte) {
	for ; len(dst) >= 256; dst, src = dst[256:], src[66:] {
		b := (*[66]byte)(src)
		d := scaleAt(b[:])
		for s := range 8 {
			group := (*[8]byte)(b[2+8*s:])
			word := binary.LittleEndian.Uint32(group[4:])
			ds := scaleIQ2(d, word>>28)
			for k, index := range group[:4] {
				putIQ2((*[8]float32)(dst[32*s+8*k:]), ds, iq2xxsGrid[index], evenSigns(word>>(7*k)))
			}
		}
	}
}

// decodeIQ2XS: d f16, 32 words of a 9-bit grid number and 7 signs for 8
// elements each, 8 bytes of two scales for 16 elements each.
func decodeIQ2XS(dst []float32, src []byte) {
	for ; len(dst) >= 256; dst, src = dst[256:], src[74:] {
		b := (*[74]byte)(src)
		d := scaleAt(b[:])
		for k := range 32 {
			word := binary.LittleEndian.Uint16(b[2+2*k:])
			ds := scaleIQ2(d, uint32(b[66+k/4]>>(k/2%2*4)&15))
			putIQ2((*[8]float32)(dst[8*k:]), ds, iq2xsGrid[word&511], evenSigns(uint32(word>>9)))
		}
	}
}

// decodeIQ2S: d f16, the low bytes of 32 grid numbers, 32 bytes of signs, 8
// bytes with the upper two bits of the numbers, 8 bytes of two scales.
func decodeIQ2S(dst []float32, src []byte) {
	for ; len(dst) >= 256; dst, src = dst[256:], src[82:] {
		b := (*[82]byte)(src)
		d := scaleAt(b[:])
		for k := range 32 {
			index := uint16(b[2+k]) | uint16(b[66+k/4]>>(k%4*2)&3)<<8
			ds := scaleIQ2(d, uint32(b[74+k/4]>>(k/2%2*4)&15))
			putIQ2((*[8]float32)(dst[8*k:]), ds, iq2sGrid[index], b[34+k])
		}
	}
}

// decodeIQ3XXS: d f16, 64 grid numbers of a byte for 4 elements each, then for
// each 32 elements 32 bits as in IQ2_XXS; the scale is d * (0.5 + s) / 2.
func decodeIQ3XXS(dst []float32, src []byte) {
	for ; len(dst) >= 256; dst, src = dst[256:], src[98:] {
		b := (*[98]byte)(src)
		d := scaleAt(b[:])
		for s := range 8 {
			word := binary.LittleEndian.Uint32(b[66+4*s:])
			ds := d * (0.5 + float32(word>>28)) * 0.5
			for k, index := range b[2+8*s : 10+8*s] {
				signs := evenSigns(word>>(7*(k/2))) >> (k % 2 * 4)
				putIQ3((*[4]float32)(dst[32*s+4*k:]), ds, iq3xxsGrid[index], &iq3xxsLevels, signs)
			}
		}
	}
}

// decodeIQ3S: d f16, the low bytes of 64 grid numbers, 8 bytes of their ninth
// bits, 32 bytes of signs, 4 bytes of two scales; the scale is d * (1 + 2s).
func decodeIQ3S(dst []float32, src []byte) {
	for ; len(dst) >= 256; dst, src = dst[256:], src[110:] {
		b := (*[110]byte)(src)
		d := scaleAt(b[:])
		for s := range 8 {
			ds := d * float32(1+2*(b[106+s/2]>>(s%2*4)&15))
			for k := range 8 {
				i := 8*s + k
				index := uint16(b[2+i]) | uint16(b[66+s]>>k&1)<<8
				signs := b[74+i/2] >> (k % 2 * 4)
				putIQ3((*[4]float32)(dst[4*i:]), ds, iq3sGrid[index], &iq3sLevels, signs)
			}
		}
	}
}

// deltaIQ1 is the delta of IQ1 types, negative where the bit is set.
func deltaIQ1(negative bool) float32 {
	if negative {
		return -iq1Delta
	}
	return iq1Delta
}

// decodeIQ1S: d f16, the low bytes of 32 grid numbers, then for each 32
// elements a word with the upper 3 bits of 4 numbers, a 3-bit scale and the
// sign of delta; x = d*(2s + 1)*(point + delta).
func decodeIQ1S(dst []float32, src []byte) {
	for ; len(dst) >= 256; dst, src = dst[256:], src[50:] {
		b := (*[50]byte)(src)
		d := scaleAt(b[:])
		for s := range 8 {
			word := binary.LittleEndian.Uint16(b[34+2*s:])
			ds := d * float32(2*(word>>12&7)+1)
			delta := deltaIQ1(word&0x8000 != 0)
			for k, low := range b[2+4*s : 6+4*s] {
				index := uint16(low) | word>>(3*k)&7<<8
				putIQ1((*[8]float32)(dst[32*s+8*k:]), ds, iq1sGrid[index], delta)
			}
		}
	}
}

// decodeIQ1M: the low bytes of 32 grid numbers, 16 bytes of nibbles with their
// upper 3 bits and the sign of delta, 4 words with four 3-bit scales for 16
// elements each. The upper nibbles of those words together are d.
func decodeIQ1M(dst []float32, src []byte) {
	for ; len(dst) >= 256; dst, src = dst[256:], src[56:] {
		b := (*[56]byte)(src)
		words := binary.LittleEndian.Uint64(b[48:])
		d := FromF16(uint16(words>>12&0x000f | words>>24&0x00f0 | words>>36&0x0f00 | words>>48&0xf000))
		for k, low := range b[:32] {
			scale := words >> (k / 8 * 16) >> (k / 2 % 4 * 3) & 7
			nibble := b[32+k/2] >> (k % 2 * 4) & 15
			index := uint16(low) | uint16(nibble&7)<<8
			putIQ1((*[8]float32)(dst[8*k:]), d*float32(2*scale+1), iq1sGrid[index], deltaIQ1(nibble&8 != 0))
		}
	}
}

// powers3 picks a ternary digit: q*3^n mod 256 brings digit n to the top.
var powers3 = [5]uint8{1, 3, 9, 27, 81}

// putTernary writes digit n of each byte, minus one, times d.
func putTernary(x []float32, qs []byte, n int, d float32) {
	x = x[:len(qs)]
	for j, q := range qs {
		x[j] = d * float32(int(uint16(q*powers3[n])*3>>8)-1)
	}
}

// decodeTQ10: 32 and 16 bytes of five ternary digits, 4 bytes of four, d f16.
// Digit n of a run of w bytes belongs to elements n*w onwards.
func decodeTQ10(dst []float32, src []byte) {
	for ; len(dst) >= 256; dst, src = dst[256:], src[54:] {
		b := (*[54]byte)(src)
		d := scaleAt(b[52:])
		for n := range 5 {
			putTernary(dst[32*n:], b[:32], n, d)
			putTernary(dst[160+16*n:], b[32:48], n, d)
		}
		for n := range 4 {
			putTernary(dst[240+4*n:], b[48:52], n, d)
		}
	}
}

// decodeTQ20: 64 bytes of four ternary digits of two bits, laid out as in Q2_K,
// d f16; x = d*(q - 1).
func decodeTQ20(dst []float32, src []byte) {
	for ; len(dst) >= 256; dst, src = dst[256:], src[66:] {
		b := (*[66]byte)(src)
		d := scaleAt(b[64:])
		for s := range 8 {
			x, qs := (*[32]float32)(dst[32*s:]), (*[32]byte)(b[s/4*32:])
			shift := s % 4 * 2
			for l, q := range qs {
				x[l] = d * float32(int(q>>shift&3)-1)
			}
		}
	}
}
