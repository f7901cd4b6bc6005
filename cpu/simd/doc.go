// Package simd has the inner loops of the CPU device: Go assembly for what the
// processor offers, and plain Go that does the same where it offers nothing.
// It knows no tensors and starts no goroutines. Functions trust their arguments:
// lengths are checked by the caller, once an operation.
//
// # Paths
//
// A Path is a set of instructions. Every function of a path gives the same bits
// for a row whatever rows stand beside it: an element of a product has one
// accumulator, which runs over k in ascending order, so that neither the number of rows nor
// the way they are cut into tiles shows in the result. Bits differ from path to
// path.
//
// # Panels
//
// Weights of a product [N, K] lie in panels of 32 outputs, zeros where N ends,
// so that a vector of outputs is read for each k:
//
//	F32   [K][32]
//	F16   [K][32]
//	BF16  [K/2][32][2], K rounded up to a multiple of 32
//	Q4_0  [K/32] of {[4][32][4] bytes, [32] f16 d}: the low half of byte (g,n,i) is q of k = 4g+i, the high half of k = 16+4g+i
//	Q4_1  [K/32] of {the same, [32] f16 d, [32] f16 m}
//	Q8_0  [K/32] of {[8][32][4] bytes, [32] f16 d}: byte (g,n,i) is q+128 of k = 4g+i
//
// # Files
//
// Assembly is written by the generator in gen, a module of its own, and is
// committed: NAME_amd64.s and NAME_stubs_amd64.go come from gen/NAME.go.
package simd
