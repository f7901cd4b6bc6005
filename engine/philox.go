package engine

// The random numbers of the sampler: a pure function of seed, answer and
// position, so that a draw never depends on what was drawn before or beside it.

import "math/bits"

// philox4x32 is Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random
// numbers: as easy as 1, 2, 3", SC 2011): ten rounds of two 32 × 32 bit products
// over a 128-bit counter, under a 64-bit key that steps by a Weyl sequence.
func philox4x32(counter [4]uint32, key [2]uint32) [4]uint32 {
	const (
		m0, m1 = 0xD2511F53, 0xCD9E8D57 // multipliers
		w0, w1 = 0x9E3779B9, 0xBB67AE85 // golden ratio, √3 − 1
	)
	c, k := counter, key
	for range 10 {
		hi0, lo0 := bits.Mul32(m0, c[0])
		hi1, lo1 := bits.Mul32(m1, c[2])
		c = [4]uint32{hi1 ^ c[1] ^ k[0], lo1, hi0 ^ c[3] ^ k[1], lo0}
		k[0] += w0
		k[1] += w1
	}
	return c
}

// uniform returns the draw of one token in [0, 1), a multiple of 2⁻⁵³:
//
//	key     = seed (low word first)
//	counter = position (low word first), answer, 0
//	u       = (⌊x₀/2⁵⌋·2²⁶ + ⌊x₁/2⁶⌋) / 2⁵³, x the four words of Philox4x32-10
//
// The last word of the counter tells draws for other purposes apart. This
// definition is part of what a seed means: changing it changes answers.
func uniform(seed uint64, answer, position int) float64 {
	x := philox4x32(
		[4]uint32{uint32(position), uint32(uint64(position) >> 32), uint32(answer), 0},
		[2]uint32{uint32(seed), uint32(seed >> 32)})
	return float64(uint64(x[0]>>5)<<26|uint64(x[1]>>6)) * 0x1p-53
}
