package cpu

// MatMul: tiles of up to 64 rows by a few columns, each a call of Sgemm and an
// epilogue.

import (
	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"

	"github.com/godwit-ml/godwit/runtime"
)

// gemm is gonum's own implementation: what a program that embeds this package
// gave to blas32.Use has no part in it.
var gemm gonum.Implementation

const (
	tileRows = 64  // most rows of a tile
	gemmCols = 192 // most columns a call may have for tileRows rows: more, and Sgemm starts goroutines
)

// gemmNT is c = a·bᵀ for m ≤ tileRows rows.
func gemmNT(m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int) {
	for j := 0; j < n; j += gemmCols {
		gemm.Sgemm(blas.NoTrans, blas.Trans, m, min(gemmCols, n-j), k, 1, a, lda, b[j*ldb:], ldb, 0, c[j:], ldc)
	}
}

// gemmNN is c = a·b for m ≤ tileRows rows.
func gemmNN(m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int) {
	for j := 0; j < n; j += gemmCols {
		gemm.Sgemm(blas.NoTrans, blas.NoTrans, m, min(gemmCols, n-j), k, 1, a, lda, b[j:], ldb, 0, c[j:], ldc)
	}
}

// matmul is the job of one MatMul. A task is the tile of a band and a piece of
// columns; tasks that follow each other share the columns, so that rows of W
// are read from memory once.
type matmul struct {
	picking
	op       *runtime.MatMul
	x        []float32
	ldx      int
	w        matrix
	out, res []float32
	ldo, ldr int
	bias     []float32
	ldbias   int
	alpha    float32
	fan      int
	n, k     int // columns of a group of Out and of X
	pieces   int // of the columns of a group
	piece    int // columns of a piece
}

// lowBands appends bands of up to tileRows rows.
func lowBands(bands []band, matrix, from, to int) []band {
	for ; from < to; from += tileRows {
		bands = append(bands, band{matrix, from, min(from+tileRows, to)})
	}
	return bands
}

func (j *matmul) run(p *pool, o *runtime.MatMul) error {
	experts := 1
	j.op, j.alpha, j.fan = o, scale(o.Alpha), max(o.Fan, 1)
	groups := max(o.Groups, 1)
	j.n, j.k = o.Out.Cols/groups, o.X.Cols/groups
	parts := 1
	if o.Gated {
		parts = 2
	}
	if !o.Pick.IsZero() {
		experts = o.W.Rows / (parts * j.n)
		if err := checkInts("MatMul", "Pick", o.Pick.I32s(), -1, experts); err != nil {
			return err
		}
	}
	j.x, j.ldx = o.X.F32s(), max(o.X.Stride, o.X.Cols)
	j.out, j.ldo = o.Out.F32s(), max(o.Out.Stride, o.Out.Cols)
	j.w = viewOf(&o.W)
	j.res, j.bias = nil, nil
	if !o.Residual.IsZero() {
		j.res, j.ldr = o.Residual.F32s(), max(o.Residual.Stride, o.Residual.Cols)
	}
	if !o.Bias.IsZero() {
		j.bias, j.ldbias = o.Bias.F32s(), max(o.Bias.Stride, o.Bias.Cols)
	}
	j.split(o, experts)
	rows := int64(o.Out.Rows)
	macs := rows * int64(j.k) * int64(o.Out.Cols) * int64(parts)
	return p.run(j, len(j.bands)*groups*j.pieces, macs/4+rows*int64(o.Out.Cols)*work(o.Act))
}

// split cuts the rows into bands and the columns into pieces.
func (j *matmul) split(o *runtime.MatMul, experts int) {
	j.cut(o, experts, lowBands)
	// A band of one row reads W once whatever the piece: long pieces. Else a
	// piece of W that stays in the first-level cache for all rows of the band.
	const cache = 6144
	j.piece = 64
	if o.Out.Rows > 1 {
		j.piece = min(max(cache/max(j.k, 1), 4), 64)
	}
	j.pieces = (j.n + j.piece - 1) / j.piece
}

func (j *matmul) task(w *worker, i int) {
	b, col := j.bands[i%len(j.bands)], i/len(j.bands)
	g, piece := col/j.pieces, col%j.pieces
	from := piece * j.piece
	m, n := b.to-b.from, min(j.piece, j.n-from)
	from += g * j.n // column of Out
	if b.matrix < 0 {
		j.rest(b, from, n)
		return
	}
	a, lda := j.operand(w, b, g)
	tile := grow(&w.tile, 2*m*n)
	y, up := tile[:m*n], tile[m*n:]
	first := b.matrix * j.n
	if j.op.Gated {
		first *= 2
		j.product(w, m, n, a, lda, first+j.n+from, up)
	}
	j.product(w, m, n, a, lda, first+from, y)
	for r := range m {
		row := j.row(b.from + r)
		v := y[r*n:][:n]
		j.epilogue(v, up[r*n:][:n], b.matrix, from)
		out := j.out[row*j.ldo+from:][:n]
		if j.res == nil {
			copy(out, v)
			continue
		}
		res := j.res[row*j.ldr+from:][:n]
		for c, x := range v {
			out[c] = res[c] + x
		}
	}
}

// epilogue makes Alpha·Act(v + bias), or Alpha·Act(v + bias)·(up + bias), of one
// row of a tile.
func (j *matmul) epilogue(v, up []float32, matrix, from int) {
	if j.bias != nil {
		bias := j.bias[matrix*j.ldbias:]
		for c, x := range bias[from:][:len(v)] {
			v[c] += x
		}
		if j.op.Gated {
			for c, x := range bias[j.n+from:][:len(v)] {
				up[c] += x
			}
		}
	}
	apply(j.op.Act, v)
	if j.alpha != 1 {
		for c := range v {
			v[c] *= j.alpha
		}
	}
	if j.op.Gated {
		for c, x := range up {
			v[c] *= x
		}
	}
}

// operand is the band's rows of X, columns of group g: a view, or gathered
// where they do not lie side by side.
func (j *matmul) operand(w *worker, b band, g int) ([]float32, int) {
	at := g * j.k
	if j.fan == 1 && j.op.Pick.IsZero() || b.to-b.from == 1 {
		return j.x[j.row(b.from)/j.fan*j.ldx+at:], j.ldx
	}
	rows := grow(&w.rows, (b.to-b.from)*j.k)
	for i := range b.to - b.from {
		copy(rows[i*j.k:][:j.k], j.x[j.row(b.from+i)/j.fan*j.ldx+at:])
	}
	return rows, j.k
}

// product is c[m, n] = a · rows first … first+n of Wᵀ.
func (j *matmul) product(w *worker, m, n int, a []float32, lda, first int, c []float32) {
	if j.k == 0 {
		clear(c)
		return
	}
	if j.w.dtype == runtime.F32 {
		gemmNT(m, n, j.k, a, lda, j.w.f32[first*j.w.stride:], j.w.stride, c, n)
		return
	}
	rows := grow(&w.weights, n*j.k)
	for i := range n {
		j.w.decode(rows[i*j.k:][:j.k], first+i)
	}
	gemmNT(m, n, j.k, a, lda, rows, j.k, c, n)
}

// rest writes the rows that pick no matrix.
func (j *matmul) rest(b band, from, n int) {
	for i := b.from; i < b.to; i++ {
		row := j.row(i)
		out := j.out[row*j.ldo+from:][:n]
		if j.res == nil {
			clear(out)
		} else {
			copy(out, j.res[row*j.ldr+from:][:n])
		}
	}
}

// scale is a scale of an operation, whose zero value means 1.
func scale(s float32) float32 {
	if s == 0 {
		return 1
	}
	return s
}
