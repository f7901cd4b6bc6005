package kernels

// Declarations of matmul_rows.cu: the matrix product of few rows.

import (
	_ "embed"

	"github.com/godwit-ml/godwit/runtime"
)

//go:embed ptx/matmul_rows.ptx
var matmulRowsPTX string

var matmulRowsImage = &Image{Name: "matmul_rows", PTX: matmulRowsPTX, Target: 75}

const (
	rowsThreads = 128 // four warps, which share K
	rowsColumns = 8   // columns of W a CTA
	rowsMost    = 16  // rows of Out, by 8 at most at a time, or by one with Pick
)

// matmulRows1F32 is Out = Residual + Alpha·Act(x·Wᵀ + Bias) of one row, or of up
// to 16 rows that pick their expert each, W [N, K] F32: decoding. Eight columns a
// CTA; its four warps share K, each lane reads 16 bytes of each of the eight
// rows of W at a time, and nothing waits before the sums are added.
//
// Bytes 4·(N·K + K + N), W but for a thousandth; asked for 4·(N·K + ⌈N/8⌉·K + N);
// FLOPs 2·N·K: half a FLOP a byte, far left of every ridge. Roofline: W at
// bandwidth, 1×4096×4096 in 43 / 20 / 14 µs on A100 (40 GB), H100 and H200. 96
// registers let five CTAs share an SM, each with 16 kB of reads under way; an
// H100 needs about 15 kB an SM to cover its latency: 90 % of bandwidth, where N
// makes a CTA for every SM.
var matmulRows1F32 = matmulRows{entry: "matmul_rows1_f32", rows: 1, ctas: 5, weight: runtime.F32}.kernel(
	dense(1, 1024, 4096, runtime.F32), dense(1, 4096, 4096, runtime.F32), gatedShape(1, 5504, 2048, runtime.F32), byExpert(8, 4096, 1024, 8, runtime.F32))

// matmulRows1F16 is matmulRows1F32 for W in F16, 8 halves a read: bytes 2·N·K +
// 4·(K + N), asked for 2·N·K + 4·(⌈N/8⌉·K + N), FLOPs 2·N·K. A lane's eight
// elements of X are two halves of a sector: neighbours read each sector once and
// swap. Roofline: 1×4096×4096 in 22 / 10 / 7 µs on A100, H100, H200, bandwidth;
// 125 registers, four CTAs an SM: 90 % of it.
var matmulRows1F16 = matmulRows{entry: "matmul_rows1_f16", rows: 1, ctas: 4, weight: runtime.F16}.kernel(
	dense(1, 1024, 4096, runtime.F16), dense(1, 4096, 4096, runtime.F16), byExpert(8, 4096, 1024, 8, runtime.F16))

// matmulRows4F32 is matmulRows1F32 for up to four rows M, which share what is
// read of W: bytes 4·(N·K + M·K + M·N), asked for 4·(N·K + ⌈N/8⌉·M·K + M·N),
// FLOPs 2·M·N·K, 2 a byte for four rows: bandwidth binds, 43 / 20 / 14 µs for
// 4×4096×4096 on A100, H100, H200. X is read again by every CTA, half as much as
// W, but from the second-level cache. 96 registers, five CTAs an SM; about 85 %.
var matmulRows4F32 = matmulRows{entry: "matmul_rows4_f32", rows: 4, ctas: 5, weight: runtime.F32}.kernel(
	dense(4, 1024, 4096, runtime.F32), dense(4, 4096, 4096, runtime.F32), gatedShape(4, 5504, 2048, runtime.F32))

// matmulRows4F16 is matmulRows4F32 for W in F16: bytes 2·N·K + 4·(M·K + M·N),
// asked for 2·N·K + 4·(⌈N/8⌉·M·K + M·N), FLOPs 2·M·N·K, 4 a byte. Bandwidth
// binds: 22 / 10 / 7 µs for 4×4096×4096 on A100, H100, H200. 168 registers, three
// CTAs an SM; about 80 %.
var matmulRows4F16 = matmulRows{entry: "matmul_rows4_f16", rows: 4, ctas: 2, weight: runtime.F16}.kernel(
	dense(4, 1024, 4096, runtime.F16), dense(4, 4096, 4096, runtime.F16))

// matmulRows8F32 is matmulRows1F32 for up to eight rows at a time, sixteen in
// all; the second eight find W in the second-level cache where it fits. Bytes
// 4·(N·K + M·K + M·N), asked for 4·(⌈M/8⌉·N·K + ⌈N/8⌉·M·K + M·N), FLOPs 2·M·N·K,
// 4 a byte for eight rows: bandwidth binds, 43 / 20 / 14 µs for 8×4096×4096 on
// A100, H100, H200. 168 registers, of which 64 are sums; three CTAs an SM. As
// much is read of X as of W, from the second-level cache: about 75 %.
var matmulRows8F32 = matmulRows{entry: "matmul_rows8_f32", rows: 8, ctas: 3, weight: runtime.F32}.kernel(
	dense(8, 1024, 4096, runtime.F32), dense(8, 4096, 4096, runtime.F32), gatedShape(8, 5504, 2048, runtime.F32))

// matmulRows8F16 is matmulRows8F32 for W in F16: bytes 2·N·K + 4·(M·K + M·N),
// asked for ⌈M/8⌉·2·N·K + 4·(⌈N/8⌉·M·K + M·N), FLOPs 2·M·N·K, 8 a byte: below the
// ridges of A100 (12.5), H100 (20) and H200 (14), so bandwidth binds: 22 / 10 / 7
// µs for 8×4096×4096, but at 8 FLOP a byte FMAs alone take 14 / 4 / 4 of these.
// 248 registers, two CTAs an SM; about 65 %.
var matmulRows8F16 = matmulRows{entry: "matmul_rows8_f16", rows: 8, ctas: 2, weight: runtime.F16}.kernel(
	dense(8, 1024, 4096, runtime.F16), dense(8, 4096, 4096, runtime.F16))

// matmulRows is an entry point of matmul_rows.cu.
type matmulRows struct {
	entry  string
	rows   int // at a time
	ctas   int
	weight runtime.DType
}

func (t matmulRows) kernel(shapes ...Shape) *Kernel {
	return &Kernel{
		Op: "MatMul", Entry: t.entry, Image: matmulRowsImage, Params: matmulParams,
		Threads: rowsThreads, CTAs: t.ctas, Shared: 4 * rowsThreads / 32 * rowsColumns * t.rows,
		Launch: t.launch, Cost: t.cost, Shapes: shapes,
	}
}

func (t matmulRows) launch(op runtime.Op, l *Launch) error {
	o, ok := op.(*runtime.MatMul)
	if !ok {
		return errNotMatMul
	}
	p := sizes(o)
	if err := p.fits(o, t.weight); err != nil {
		return err
	}
	most := t.rows
	if t.rows == 8 || !o.Pick.IsZero() {
		most = rowsMost
	}
	switch {
	case t.rows > 1 && !o.Pick.IsZero():
		return errPicked
	case p.rows > most && t.rows == 1:
		return errNotOneRow
	case p.rows > most:
		return errManyRows
	}
	l.Block = [3]int{rowsThreads, 1, 1}
	l.Grid = [3]int{ceil(p.n, rowsColumns/p.parts), ceil(p.rows, t.rows), p.groups}
	p.args(o, l)
	return nil
}

func (t matmulRows) cost(op runtime.Op) Cost {
	o := op.(*runtime.MatMul)
	p := sizes(o)
	columns := int64(p.groups) * int64(ceil(p.n, rowsColumns/p.parts))
	passes := int64(ceil(p.rows, t.rows))
	asked := columns*4*int64(p.rows)*int64(p.k) + passes*int64(p.groups*p.parts*p.n)*o.W.RowBytes() + p.written(o)
	if !o.Bias.IsZero() {
		asked += 4 * int64(p.rows) * int64(p.parts*p.n*p.groups)
	}
	if !o.Pick.IsZero() {
		asked += 4 * int64(p.rows) * (columns - 1) // every CTA its row's pick; once is among what is written
	}
	return Cost{Bytes: p.compulsory(o), Requested: asked, FLOPs: p.flops()}
}
