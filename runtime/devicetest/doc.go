// Package devicetest certifies devices. A device's test is one line:
//
//	func TestConformance(t *testing.T) { devicetest.Run(t, dev) }
//
// Rows is the table: every operation, every type of weight and cache, and what
// is awkward about each. A row builds operands and operations; what must come
// out is computed beside it by loops in float64 (oracle.go), which share no code
// with any device. The error of an output is its NMSE, Σ(x-want)² / Σwant²,
// against the limit of the row.
//
// # What else a row demands
//
// Operands lie between guards of NaN, and every row runs a second time with
// each operand a view of columns, in the middle of a wider matrix of NaN:
//
//	guard ··················
//	······ x x x x ·········   what is not written keeps every bit: guards, gaps,
//	······ x x x x ·········   inputs, rows of padding, slots that are skipped
//	guard ··················
//
// Outputs are NaN before, so that reading a stale one shows; the memory of a
// cache is poison before, so that reading a slot that nobody wrote shows. A NaN
// in a row of input comes out in that row and in no other. The same row run
// twice gives the same bits.
//
// An operation that answers runtime.ErrUnsupported is skipped, and the skips
// are counted by operation and reason. Unless the device says that it is not
// Paged, the operations on caches are not allowed to.
//
// # Other devices
//
// Exact runs operations through the oracles: what a model gives on it is what
// its operations mean, in float64. Null only records: it shows what a model asks for, and that a step allocates
// nothing. Refusing wraps a device, hides its memory and refuses what it is
// told to: it shows that a stream's fallback is right.
package devicetest
