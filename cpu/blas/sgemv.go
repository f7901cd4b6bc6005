package blas

// Sgemv: dot products of the rows of A, or sums of rows of A.

import (
	"gonum.org/v1/gonum/blas"

	"github.com/godwit-ml/godwit/cpu/simd"
)

// Sgemv computes
//
//	y = alpha·A·x + beta·y    for blas.NoTrans,
//	y = alpha·Aᵀ·x + beta·y   for blas.Trans and blas.ConjTrans,
//
// with an m×n row-major matrix A, rows lda elements apart, and vectors whose
// elements are incX and incY apart, from the end where that is negative. With
// alpha zero A and x are not read, with beta zero y is not. It panics as gonum
// does, before anything is written, where an argument is illegal or a slice too
// short. Y must not overlap A or x.
func (i Implementation) Sgemv(tA blas.Transpose, m, n int, alpha float32, a []float32, lda int, x []float32, incX int, beta float32, y []float32, incY int) {
	trans := transposed(tA)
	switch {
	case m < 0:
		panic(mLT0)
	case n < 0:
		panic(nLT0)
	case lda < max(1, n):
		panic(badLdA)
	case incX == 0:
		panic(zeroIncX)
	case incY == 0:
		panic(zeroIncY)
	}
	if m == 0 || n == 0 {
		return
	}
	lenX, lenY := n, m
	if trans {
		lenX, lenY = m, n
	}
	switch {
	case len(x) <= (lenX-1)*max(incX, -incX):
		panic(shortX)
	case len(y) <= (lenY-1)*max(incY, -incY):
		panic(shortY)
	case len(a) < lda*(m-1)+n:
		panic(shortA)
	}
	if alpha == 0 {
		scale(beta, y, lenY, max(incY, -incY))
		return
	}
	matVec(i.best(), i.threads(m*n), trans, m, n, alpha, a, lda, x, incX, beta, y, incY)
}

// vecBlock is how many elements of y a task has.
const vecBlock = 128

// matVec is Sgemv on arguments that are legal, with alpha not zero.
func matVec(kernels *simd.Kernels, threads int, trans bool, m, n int, alpha float32, a []float32, lda int, x []float32, incX int, beta float32, y []float32, incY int) {
	lenX, lenY := n, m
	if trans {
		lenX, lenY = m, n
	}
	if incX != 1 {
		s := scratch.Get().(*buffers)
		defer scratch.Put(s)
		near := grow(&s.a, lenX)
		for j := range near {
			near[j] = x[place(j, lenX, incX)]
		}
		x = near
	}
	share(threads, (lenY+vecBlock-1)/vecBlock, func(t int) {
		from := t * vecBlock
		var sums [vecBlock]float32
		part := sums[:min(vecBlock, lenY-from)]
		if trans {
			sumRows(kernels, part, a[from:], lda, x, m)
		} else {
			kernels.DotRows(part, a[from*lda:], lda, x, len(part), n)
		}
		for j, sum := range part {
			to := &y[place(from+j, lenY, incY)]
			if beta == 0 {
				*to = alpha * sum
			} else {
				*to = alpha*sum + beta**to
			}
		}
	})
}

// place is where element i of n is, inc apart.
func place(i, n, inc int) int {
	if inc < 0 {
		return (i - n + 1) * inc
	}
	return i * inc
}

// sumRows is sums[j] = Σ_i x[i]·a[i·lda+j] for i < m.
func sumRows(kernels *simd.Kernels, sums, a []float32, lda int, x []float32, m int) {
	whole := len(sums) / simd.Panel
	kernels.MulRowsF32(sums, 0, x, 0, a, lda, m, 1, whole, false)
	rest := sums[whole*simd.Panel:]
	if len(rest) == 0 {
		return
	}
	// The last columns end where rows do, or the matrix: no vector may go beyond.
	const piece = 64
	var panel [piece * simd.Panel]float32
	var sum [simd.Panel]float32
	for from := 0; from < m; from += piece {
		k := min(piece, m-from)
		for i := range k {
			copy(panel[i*simd.Panel:], a[(from+i)*lda+whole*simd.Panel:][:len(rest)])
		}
		kernels.MulF32(sum[:], 0, x[from:], 0, panel[:], k, 1, 1, from > 0)
	}
	copy(rest, sum[:])
}
