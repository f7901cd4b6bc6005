package lab

// The ladder of the matrix product. Each step is a plain product, Out = Residual
// + Alpha·Act(X·Wᵀ + Bias), X [M, K] and W [N, K] F32, 2·M·N·K FLOPs and at least
// 4·(M·K + N·K + M·N) bytes; Pick, Groups and gates are left to what ships.

import (
	_ "embed"
	"fmt"

	"github.com/godwit-ml/godwit/kernels"
	"github.com/godwit-ml/godwit/runtime"
)

var (
	//go:embed ptx/matmul_naive.ptx
	matmulNaivePTX string
	//go:embed ptx/matmul_shared.ptx
	matmulSharedPTX string
	//go:embed ptx/matmul_registers.ptx
	matmulRegistersPTX string
)

// matmulLadder is the steps to the large tile, "matmul_128x128_f32".
var matmulLadder = Ladder{Op: "MatMul", Steps: []*kernels.Kernel{matmulNaive, matmulShared, matmulRegisters}}

// matmulNaive has a thread for each output, which reads a row of X and one of W.
// Asked for, in whole sectors: M·N/32·K times one of X, which a warp shares, and
// 32 of W. Roofline, at 512×512×512: 0.27 GFLOP, but 8.9 GB of sectors: 5.7 / 2.6
// / 1.8 ms if all of them came from the memory of A100 (40 GB), H100 and H200;
// the caches help, as neighbouring k share a sector. FMAs alone: 14 / 4 / 4 µs.
var matmulNaive = matmulStep{
	name: "matmul_naive", ptx: matmulNaivePTX, block: [3]int{32, 8, 1}, rows: 8, columns: 32, ctas: 4,
	asked: func(m, n, k int64) int64 { return m * ceil(n, 32) * k * 32 * (1 + 32) },
}.kernel()

// matmulShared brings tiles of 32 × 32 to shared memory. Asked for: each of
// ⌈M/32⌉·⌈N/32⌉ CTAs reads 32 rows and 32 columns, 4·64·K bytes: at 512×512×512
// 34 MB, 22 / 10 / 7 µs on A100, H100, H200. Two reads of shared memory for one
// FMA: an SM answers one warp's a cycle, so 8.4 million of them take 55 / 35 / 35
// µs where FMAs would take 14 / 4 / 4.
var matmulShared = matmulStep{
	name: "matmul_shared", ptx: matmulSharedPTX, block: [3]int{32, 32, 1}, rows: 32, columns: 32, ctas: 1, shared: 4 * 32 * (32 + 33),
	asked: func(m, n, k int64) int64 { return ceil(m, 32) * ceil(n, 32) * 4 * 64 * k },
}.kernel()

// matmulRegisters gives a thread 4 × 4 outputs of a CTA's 64 × 64. Asked for:
// 4·128·K bytes a CTA, at 512×512×512 17 MB, 11 / 5 / 4 µs on A100, H100, H200.
// Eight reads of shared memory for 16 FMAs, a quarter of step 2's: 14 / 9 / 9 µs,
// beside 14 / 4 / 4 for the FMAs: on A100 the two are even, on the others shared
// memory still binds.
var matmulRegisters = matmulStep{
	name: "matmul_registers", ptx: matmulRegistersPTX, block: [3]int{256, 1, 1}, rows: 64, columns: 64, ctas: 3, shared: 4 * 2 * 16 * 65,
	asked: func(m, n, k int64) int64 { return ceil(m, 64) * ceil(n, 64) * 4 * 128 * k },
}.kernel()

// matmulStep is one step.
type matmulStep struct {
	name, ptx     string
	block         [3]int
	rows, columns int // of a CTA
	ctas, shared  int
	asked         func(m, n, k int64) int64 // bytes of X and W
}

func (t matmulStep) kernel() *kernels.Kernel {
	p, i, f := kernels.Pointer, kernels.Int, kernels.Float
	return &kernels.Kernel{
		Op: "MatMul", Entry: "lab_" + t.name, Image: &kernels.Image{Name: t.name, PTX: t.ptx, Target: 75},
		Params: []kernels.Param{
			{Name: "x", Kind: p}, {Name: "ldx", Kind: i}, {Name: "w", Kind: p}, {Name: "ldw", Kind: i}, {Name: "bias", Kind: p}, {Name: "ldbias", Kind: i},
			{Name: "res", Kind: p}, {Name: "ldres", Kind: i}, {Name: "out", Kind: p}, {Name: "ldout", Kind: i}, {Name: "pick", Kind: p},
			{Name: "experts", Kind: i}, {Name: "rows", Kind: i}, {Name: "n", Kind: i}, {Name: "k", Kind: i}, {Name: "fan", Kind: i}, {Name: "act", Kind: i},
			{Name: "alpha", Kind: f}, {Name: "gated", Kind: i},
		},
		Threads: t.block[0] * t.block[1], CTAs: t.ctas, Shared: t.shared,
		Launch: t.launch, Cost: t.cost,
		Shapes: []kernels.Shape{{Name: "512×512×512 F32", Op: func(m *kernels.Maker) runtime.Op {
			return &runtime.MatMul{Out: m.F32(512, 512), X: m.F32(512, 512), W: m.F32(512, 512)}
		}}},
	}
}

var (
	errNotMatMul = fmt.Errorf("no matrix product: %w", runtime.ErrUnsupported)
	errNotPlain  = fmt.Errorf("a product that is not plain or not F32: %w", runtime.ErrUnsupported)
)

func (t matmulStep) launch(op runtime.Op, l *kernels.Launch) error {
	o, ok := op.(*runtime.MatMul)
	if !ok {
		return errNotMatMul
	}
	n, grid := o.Out.Cols, ceil(int64(o.Out.Rows), int64(t.rows))
	if o.W.DType != runtime.F32 || !o.Pick.IsZero() || o.Groups > 1 || o.Gated || grid > 65535 || max(n, o.X.Cols) > 1<<30 {
		return errNotPlain
	}
	alpha := o.Alpha
	if alpha == 0 {
		alpha = 1
	}
	l.Block, l.Grid = t.block, [3]int{int(ceil(int64(n), int64(t.columns))), int(grid), 1}
	for _, operand := range []runtime.Tensor{o.X, o.W, o.Bias, o.Residual, o.Out} {
		l.Ptr(operand)
		l.Int(operand.Stride)
	}
	l.Ptr(o.Pick)
	for _, v := range []int{1, o.Out.Rows, n, o.X.Cols, max(o.Fan, 1), int(o.Act)} {
		l.Int(v)
	}
	l.Float(alpha)
	l.Bool(false)
	return nil
}

func (t matmulStep) cost(op runtime.Op) kernels.Cost {
	o := op.(*runtime.MatMul)
	m, n, k := int64(o.Out.Rows), int64(o.Out.Cols), int64(o.X.Cols)
	written := 4 * m * n
	if !o.Residual.IsZero() {
		written *= 2
	}
	return kernels.Cost{
		Bytes:     4*(int64(o.X.Rows)*k+n*k) + written,
		Requested: t.asked(m, n, k) + written,
		FLOPs:     2 * m * n * k,
	}
}

func ceil(a, b int64) int64 { return (a + b - 1) / b }
