// Package blas is single precision BLAS for gonum on godwit's CPU kernels: one
// line makes every program that computes through blas32 use them,
//
//	blas32.Use(blas.Implementation{})
//
// Products of matrices and of a matrix with a vector, Sgemm and Sgemv, run on the
// instructions that the processor turns out to have, AVX-512 or AVX2; the other
// routines are gonum's own. Arguments and panics are those of gonum.
//
// # Results
//
// A result does not depend on the number of threads. Within an element, products
// are fused into the sum in ascending order of k, in pieces where alpha is not 1.
// What is multiplied by an alpha of zero is not read, and neither is what a beta
// of zero replaces, so that NaN there does not come through; everything else is
// multiplied, and 0·NaN and 0·Inf are NaN, which gonum's own routines skip.
package blas

import (
	"runtime"
	"sync"
	"sync/atomic"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"

	"github.com/godwit-ml/godwit/cpu/simd"
)

// Implementation implements gonum's blas.Float32. The zero value is ready, has no
// state and may be used by many goroutines at once.
type Implementation struct {
	gonum.Implementation // of all routines that are not declared here

	// Threads is the most goroutines that a call works on, its own among them; 0
	// stands for GOMAXPROCS at the time of the call. Small products take one.
	Threads int

	kernels *simd.Kernels // nil: the best there are
}

var _ blas.Float32 = Implementation{}

// The texts of gonum's panics.
const (
	badTranspose = "blas: illegal transpose"
	mLT0         = "blas: m < 0"
	nLT0         = "blas: n < 0"
	kLT0         = "blas: k < 0"
	badLdA       = "blas: bad leading dimension of A"
	badLdB       = "blas: bad leading dimension of B"
	badLdC       = "blas: bad leading dimension of C"
	zeroIncX     = "blas: zero x index increment"
	zeroIncY     = "blas: zero y index increment"
	shortA       = "blas: insufficient length of a"
	shortB       = "blas: insufficient length of b"
	shortC       = "blas: insufficient length of c"
	shortX       = "blas: insufficient length of x"
	shortY       = "blas: insufficient length of y"
)

// bestKernels are those of the best path.
var bestKernels = sync.OnceValue(func() *simd.Kernels { return simd.For(simd.Best()) })

func (i Implementation) best() *simd.Kernels {
	if i.kernels != nil {
		return i.kernels
	}
	return bestKernels()
}

// threadWork is the multiplications for which one more goroutine pays.
const threadWork = 1 << 20

// threads is how many goroutines share so many multiplications.
func (i Implementation) threads(work int) int {
	most := i.Threads
	if most <= 0 {
		most = runtime.GOMAXPROCS(0)
	}
	return max(min(most, work/threadWork), 1)
}

// share runs f for 0 … tasks-1, on so many goroutines.
func share(threads, tasks int, f func(task int)) {
	if threads = min(threads, tasks); threads <= 1 {
		for t := range tasks {
			f(t)
		}
		return
	}
	var next atomic.Int64
	drain := func() {
		for t := next.Add(1) - 1; t < int64(tasks); t = next.Add(1) - 1 {
			f(int(t))
		}
	}
	var wait sync.WaitGroup
	for range threads - 1 {
		wait.Go(drain)
	}
	drain()
	wait.Wait()
}

// transposed reads t, and panics if it is none.
func transposed(t blas.Transpose) bool {
	switch t {
	case blas.NoTrans:
		return false
	case blas.Trans, blas.ConjTrans:
		return true
	}
	panic(badTranspose)
}

// scale makes y, n elements inc apart, beta·y.
func scale(beta float32, y []float32, n, inc int) {
	if beta == 1 {
		return
	}
	for j := range n {
		if beta == 0 {
			y[j*inc] = 0
		} else {
			y[j*inc] *= beta
		}
	}
}

// scratch lends memory for packed operands and tiles.
var scratch = sync.Pool{New: func() any { return new(buffers) }}

// buffers are what one task works in.
type buffers struct {
	a, b, tile, strip []float32
	rows              simd.Rows
}

// grow makes *s at least n long; what it held is lost.
func grow(s *[]float32, n int) []float32 {
	if cap(*s) < n {
		*s = make([]float32, n)
	}
	return (*s)[:n]
}
