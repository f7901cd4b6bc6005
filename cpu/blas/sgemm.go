package blas

// Sgemm: B is packed into panels of 32 columns, some panels and a piece of k at a
// time, which stay in the second-level cache while the rows of A pass.

import (
	"unsafe"

	"gonum.org/v1/gonum/blas"

	"github.com/godwit-ml/godwit/cpu/simd"
)

const (
	depth  = 384 // of a piece of k: its panel stays in the first-level cache
	height = 192 // rows of a band: with depth, they stay in the second
	width  = 12  // most panels of a task: they stay beside a band
)

// Sgemm computes
//
//	C = alpha·op(A)·op(B) + beta·C,
//
// with op(X) = X for blas.NoTrans and Xᵀ for blas.Trans and blas.ConjTrans, an m×k
// matrix op(A), a k×n matrix op(B) and an m×n matrix C, all row-major with rows
// lda, ldb and ldc elements apart. With alpha or k zero A and B are not read, with
// beta zero C is not. It panics as gonum does, before anything is written, where
// an argument is illegal or a slice too short. C must not overlap A or B.
func (i Implementation) Sgemm(tA, tB blas.Transpose, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	aTrans, bTrans := transposed(tA), transposed(tB)
	aRows, aCols, bRows, bCols := m, k, k, n
	if aTrans {
		aRows, aCols = k, m
	}
	if bTrans {
		bRows, bCols = n, k
	}
	switch {
	case m < 0:
		panic(mLT0)
	case n < 0:
		panic(nLT0)
	case k < 0:
		panic(kLT0)
	case lda < max(1, aCols):
		panic(badLdA)
	case ldb < max(1, bCols):
		panic(badLdB)
	case ldc < max(1, n):
		panic(badLdC)
	}
	if m == 0 || n == 0 {
		return
	}
	switch {
	case len(a) < (aRows-1)*lda+aCols:
		panic(shortA)
	case len(b) < (bRows-1)*ldb+bCols:
		panic(shortB)
	case len(c) < (m-1)*ldc+n:
		panic(shortC)
	}
	if alpha == 0 || k == 0 {
		for r := range m {
			scale(beta, c[r*ldc:], n, 1)
		}
		return
	}
	g := &gemm{i.best(), aTrans, bTrans, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc}
	threads := i.threads(m * n * k)
	incA, incB := 1, 1 // of A as a row, of B as a column
	if aTrans {
		incA = lda
	}
	if !bTrans {
		incB = ldb
	}
	switch {
	case m == 1:
		matVec(g.kernels, threads, !bTrans, bRows, bCols, alpha, b, ldb, a, incA, beta, c, 1)
	case n == 1:
		matVec(g.kernels, threads, aTrans, aRows, aCols, alpha, a, lda, b, incB, beta, c, ldc)
	default:
		g.run(threads)
	}
}

// gemm is one call.
type gemm struct {
	kernels        *simd.Kernels
	aTrans, bTrans bool
	m, n, k        int
	alpha          float32
	a              []float32
	lda            int
	b              []float32
	ldb            int
	beta           float32
	c              []float32
	ldc            int
}

// run cuts C into tasks: some panels of columns, and where those are few, by rows
// too. How it is cut does not show in the result.
func (g *gemm) run(threads int) {
	panels := (g.n + simd.Panel - 1) / simd.Panel
	cols, rows := min(max(panels/(4*threads), 1), width), g.m
	if threads > 1 && panels/cols < 4*threads {
		rows = min(max(g.m*panels/cols/(4*threads), 4*g.kernels.Height), g.m)
	}
	bands := (g.m + rows - 1) / rows
	tasks := bands * ((panels + cols - 1) / cols)
	share(threads, tasks, func(t int) {
		p, r := t/bands*cols, t%bands*rows
		s := scratch.Get().(*buffers)
		g.task(s, r, min(r+rows, g.m), p, min(p+cols, panels))
		scratch.Put(s)
	})
}

// task is rows from … to of C by the columns of panels first … last.
func (g *gemm) task(s *buffers, from, to, first, last int) {
	direct := g.direct(to - from)
	if g.beta != 0 && g.beta != 1 {
		left := first * simd.Panel
		for r := from; r < to; r++ {
			scale(g.beta, g.c[r*g.ldc+left:], min(last*simd.Panel, g.n)-left, 1)
		}
	}
	for at := 0; at < g.k; at += depth {
		k := min(depth, g.k-at)
		var packed []float32
		if direct {
			packed = grow(&s.b, k*simd.Panel) // the last panel, if it is not whole
			if last*simd.Panel > g.n {
				g.pack(packed, last-1, at, k)
			}
		} else {
			packed = grow(&s.b, (last-first)*k*simd.Panel)
			for p := first; p < last; p++ {
				g.pack(packed[(p-first)*k*simd.Panel:][:k*simd.Panel], p, at, k)
			}
		}
		for r := from; r < to; r += height {
			rows := min(height, to-r)
			a, lda := g.band(s, r, rows, at, k)
			for p := first; p < last; p++ {
				panel := packed
				if !direct {
					panel = packed[(p-first)*k*simd.Panel:]
				}
				g.block(s, a, lda, r, rows, panel, direct && (p+1)*simd.Panel <= g.n, p, at, k)
			}
		}
	}
}

// direct reports whether B is multiplied where it lies: for few rows, packing it
// would take longer than the product.
func (g *gemm) direct(rows int) bool { return !g.bTrans && rows <= 2*g.kernels.Height }

// pack writes panel p of op(B), from at on for k. What it has beyond the last
// column of B is of no use.
func (g *gemm) pack(dst []float32, p, at, k int) {
	left := p * simd.Panel
	cols := min(simd.Panel, g.n-left)
	switch {
	case !g.bTrans && cols == simd.Panel:
		for i := range k {
			*(*[simd.Panel]float32)(dst[i*simd.Panel:]) = [simd.Panel]float32(g.b[(at+i)*g.ldb+left:])
		}
	case !g.bTrans:
		for i := range k {
			copy(dst[i*simd.Panel:], g.b[(at+i)*g.ldb+left:][:cols])
		}
	case cols == simd.Panel:
		g.kernels.FillWords(words(dst), bytes(g.b[left*g.ldb+at:]), 4*g.ldb, k)
	default:
		for j := range cols {
			for i, x := range g.b[(left+j)*g.ldb+at:][:k] {
				dst[i*simd.Panel+j] = x
			}
		}
	}
}

// band is rows of op(A) from at on for k, row-major: where they lie, or a copy if
// A is transposed.
func (g *gemm) band(s *buffers, from, rows, at, k int) (a []float32, lda int) {
	if !g.aTrans {
		return g.a[from*g.lda+at:], g.lda
	}
	a, lda = grow(&s.a, rows*k), k
	strip := grow(&s.strip, height*simd.Panel)
	i := 0
	for ; i+simd.Panel <= k; i += simd.Panel {
		g.kernels.FillWords(words(strip), bytes(g.a[(at+i)*g.lda+from:]), 4*g.lda, rows)
		for r := range rows {
			*(*[simd.Panel]float32)(a[r*k+i:]) = [simd.Panel]float32(strip[r*simd.Panel:])
		}
	}
	for ; i < k; i++ {
		for r, x := range g.a[(at+i)*g.lda+from:][:rows] {
			a[r*k+i] = x
		}
	}
	return a, lda
}

// block is a band by a panel: into C itself where that holds what is to be added
// to, else into a tile that is added to it.
func (g *gemm) block(s *buffers, a []float32, lda, from, rows int, panel []float32, direct bool, p, at, k int) {
	left, add := p*simd.Panel, at > 0 || g.beta != 0
	cols := min(simd.Panel, g.n-left)
	c, ldc := g.c[from*g.ldc+left:], g.ldc
	straight := g.alpha == 1 && cols == simd.Panel
	if !straight {
		c, ldc = grow(&s.tile, rows*simd.Panel), simd.Panel
	}
	tiles := (rows + g.kernels.Height - 1) / g.kernels.Height
	for t := range tiles {
		r, end := rows*t/tiles, rows*(t+1)/tiles
		if direct {
			g.kernels.MulRowsF32(c[r*ldc:], ldc, a[r*lda:], lda, g.b[at*g.ldb+left:], g.ldb, k, end-r, 1, straight && add)
		} else {
			g.kernels.MulF32(c[r*ldc:], ldc, a[r*lda:], lda, panel, k, end-r, 1, straight && add)
		}
	}
	if straight {
		return
	}
	out := &s.rows
	*out = simd.Rows{X: c, LdX: ldc, Out: g.c[from*g.ldc+left:], LdOut: g.ldc, M: rows, N: cols, In: 1, Alpha: g.alpha}
	if add {
		out.Add, out.LdAdd = out.Out, g.ldc
	}
	g.kernels.Map[simd.Identity](out)
	*out = simd.Rows{}
}

// words is f as numbers of 32 bits.
func words(f []float32) []uint32 {
	return unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(f))), len(f))
}

// bytes is f as bytes.
func bytes(f []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(f))), 4*len(f))
}
