// Package kernels holds godwit's CUDA kernels: one operation a pair of files,
// x.cu and x.go, the source and its declaration. What ships is the PTX that
// ci/build-kernels.sh compiles from the sources, committed in ptx/ and embedded;
// building and testing needs no CUDA toolkit, as package ptx executes exactly
// these bytes.
package kernels

import (
	"github.com/godwit-ml/godwit/runtime"
)

// Image is one compiled source: PTX with one or more entry points.
type Image struct {
	Name   string // of the source, without ".cu": "matmul"
	PTX    string // what ptx/Name.ptx holds
	Target int    // compute capability the PTX asks for, as 75: it runs on this one and later ones
}

// Kernel declares one entry point of an image: what it runs, how it is launched,
// and what it owes.
type Kernel struct {
	Op     string  // the operation it runs: "MatMul"
	Entry  string  // its symbol, unique over all images
	Image  *Image  //
	Params []Param // as in the PTX signature, in order; each takes 8 bytes

	Threads int // threads a CTA
	CTAs    int // CTAs an SM that its registers and shared memory must allow, on every architecture from Target up
	Shared  int // bytes of shared memory a CTA at most, static and dynamic

	// Unproven says why the kernel is not to be chosen by default: it has no
	// interpreter to prove it. Empty: every row of devicetest that it takes passes
	// in every mode of the interpreter.
	Unproven string

	// Launch fills l for a checked operation, or returns an error that wraps
	// runtime.ErrUnsupported with a constant reason where the kernel does not fit.
	// A grid without CTAs means that there is nothing to do. It allocates nothing
	// once l has room.
	Launch func(op runtime.Op, l *Launch) error
	// Cost says what the operation moves and computes with this kernel.
	Cost func(op runtime.Op) Cost
	// Shapes are the sizes at which the kernel is counted, predicted and timed.
	Shapes []Shape
}

// Kind is the type of a kernel's parameter. All take 8 bytes: a driver binding
// reads so many of each.
type Kind uint8

// The kinds.
const (
	Pointer Kind = iota // address of a tensor's first element, 0: absent (.u64)
	Int                 // long long (.u64, as nvcc writes it)
	Float               // double (.f64)
)

// Param is one parameter of a kernel.
type Param struct {
	Name string
	Kind Kind
}

// Cost is what one launch moves and computes.
type Cost struct {
	Bytes     int64 // compulsory: every operand read or written once
	Requested int64 // of global memory by this tiling, re-reads of tiles counted; sectors are to be at most 1.05 times this, by 32
	FLOPs     int64 // a multiply-add is two
}

// Shape is a size of an operation.
type Shape struct {
	Name string // "512×576×1536"
	Op   func(m *Maker) runtime.Op
}

// Launch is a grid of CTAs with its arguments.
type Launch struct {
	Grid, Block [3]int
	Shared      int      // bytes of dynamic shared memory
	Args        []uint64 // one a parameter: addresses, integers, bits of float64
}

// Reset empties l for a kernel's block and keeps its room.
func (l *Launch) Reset() { *l = Launch{Args: l.Args[:0]} }
