package kernels

// Declarations of matmul.cu: the matrix product in tiles.

import (
	_ "embed"
	"encoding/binary"
	"fmt"

	"github.com/godwit-ml/godwit/runtime"
)

//go:embed ptx/matmul.ptx
var matmulPTX string

var matmulImage = &Image{Name: "matmul", PTX: matmulPTX, Target: 75}

// matmulParams are the parameters of every matrix product; MATMUL_PARAMS of
// matmul.cuh.
var matmulParams = []Param{
	{"x", Pointer}, {"ldx", Int}, {"w", Pointer}, {"ldw", Int}, {"bias", Pointer}, {"ldbias", Int},
	{"res", Pointer}, {"ldres", Int}, {"out", Pointer}, {"ldout", Int}, {"pick", Pointer},
	{"experts", Int}, {"rows", Int}, {"n", Int}, {"k", Int}, {"fan", Int}, {"act", Int}, {"alpha", Float}, {"gated", Int},
}

// matmulLargeF32 is Out = Residual + Alpha·Act(X·Wᵀ + Bias) in tiles of 128 rows
// by 128 columns of W: X [M, K], W [N, K] F32, any M, N, K, strides and
// alignment; gated, a tile is 64 columns of gates beside the 64 they gate; each
// of Groups is a layer of the grid.
//
// Compulsory bytes 4·(M·K + N·K + M·N); asked for ⌈N/128⌉·4·M·K + ⌈M/128⌉·4·N·K
// + 4·M·N, as every tile reads its rows and columns; FLOPs 2·M·N·K. A thread
// holds 8 × 8 outputs in 64 of its 128 registers, so that two CTAs share an SM
// and one computes while the other waits at its barrier. Of shared memory it
// reads four vectors of 16 bytes for 64 FMAs.
//
// Roofline, 4096³: 137 GFLOP against 201 MB, 683 FLOP a byte, far right of the
// ridges (A100 40 GB 12.5, H100 20, H200 14): bound by FMAs, 19.5 / 66.9 / 66.9
// TFLOP/s. For the 512 FMAs of eight k a warp issues about 610 instructions. An
// A100, whose SM issues four but starts two warps of FMAs a cycle, hides the
// others: about 93 % of peak, 7.6 ms. An SM of H100 and H200 starts four: at
// most 512/610 = 84 %, 2.4 ms on either, as bandwidth does not matter here.
var matmulLargeF32 = matmulTile{entry: "matmul_128x128_f32", m: 128, n: 128, threads: 256, ctas: 2, shared: 16384, weight: runtime.F32}.kernel(
	dense(512, 512, 512, runtime.F32), dense(4096, 4096, 4096, runtime.F32), gatedShape(2048, 5504, 2048, runtime.F32))

// matmulLargeF16 is matmulLargeF32 for W in F16, widened on its way to shared
// memory; products and sums are F32. Steps are 16 wide, as 16 halves are a
// sector, and the threads hold 165 registers: one CTA an SM.
//
// Compulsory bytes 4·M·K + 2·N·K + 4·M·N; asked for ⌈N/128⌉·4·M·K +
// ⌈M/128⌉·2·N·K + 4·M·N; FLOPs 2·M·N·K. Roofline as of matmulLargeF32, since
// FMAs bind: 19.5 / 66.9 / 66.9 TFLOP/s on A100, H100, H200. A step adds eight
// conversions a thread to 1,024 FMAs; with one CTA its barriers are bare: about
// 85 % of peak on A100 and 80 % on the others.
var matmulLargeF16 = matmulTile{entry: "matmul_128x128_f16", m: 128, n: 128, threads: 256, ctas: 1, shared: 32768, weight: runtime.F16}.kernel(
	dense(512, 512, 512, runtime.F16), dense(4096, 4096, 4096, runtime.F16))

// matmulSmallF32 is the same product in tiles of 32 rows by 64 columns of W, for
// sizes of which large tiles would not fill a GPU's SMs, and for M below 96.
//
// Compulsory bytes 4·(M·K + N·K + M·N); asked for ⌈N/64⌉·4·M·K + ⌈M/32⌉·4·N·K +
// 4·M·N; FLOPs 2·M·N·K. A thread holds 4 × 4 outputs: two vectors of shared
// memory for 16 FMAs, half of what the large tile makes of them. 102 registers;
// four CTAs an SM.
//
// Roofline, 64×4096×4096: 2.1 GFLOP against 69 MB, 31 FLOP a byte: FMAs bind on
// A100 (110 µs at 19.5 TFLOP/s, 44 µs for the bytes), H100 (32, 21) and H200
// (32, 14). Its 128 CTAs are one an SM, of four warps: latency is not hidden
// well, and about 40 % of peak is what to expect. Splitting K would help.
var matmulSmallF32 = matmulTile{entry: "matmul_32x64_f32", m: 32, n: 64, threads: 128, ctas: 4, shared: 12288, weight: runtime.F32, larger: 128}.kernel(
	dense(64, 512, 512, runtime.F32), dense(64, 4096, 4096, runtime.F32), gatedShape(64, 5504, 2048, runtime.F32))

// matmulSmallF16 is matmulSmallF32 for W in F16: bytes 4·M·K + 2·N·K + 4·M·N,
// asked for ⌈N/64⌉·4·M·K + ⌈M/32⌉·2·N·K + 4·M·N, FLOPs 2·M·N·K; 91 registers,
// four CTAs an SM. Roofline, 64×4096×4096: 61 FLOP a byte, FMAs bind: 110 / 32 /
// 32 µs on A100, H100, H200, of which one CTA an SM reaches about 40 %.
var matmulSmallF16 = matmulTile{entry: "matmul_32x64_f16", m: 32, n: 64, threads: 128, ctas: 4, shared: 12288, weight: runtime.F16, larger: 128}.kernel(
	dense(64, 512, 512, runtime.F16), dense(64, 4096, 4096, runtime.F16))

// matmulPickLargeF32 is the product by expert, W [E·N, K], Out[r] = Residual[r]
// + Alpha·Act(X[r/Fan]·W[Pick[r]]ᵀ + Bias[Pick[r]]), without asking the host how
// many rows an expert has. A CTA belongs to an expert and a tile of its columns:
// it reads Pick, lists the expert's rows in ascending order in shared memory,
// and runs the 128 × 128 tile over them, so that they share what it reads of W.
// One more layer of the grid writes Residual, or 0, to rows that pick -1.
//
// With R rows over E experts evenly: compulsory bytes 4·(R/Fan·K + min(E, R)·N·K
// + R·N); asked for ⌈N/128⌉·4·R·K + E·⌈R/E/128⌉·4·N·K + 4·R·N and Pick once a
// CTA; FLOPs 2·R·N·K. 128 registers, two CTAs an SM. Roofline as of
// matmulLargeF32 where each expert has some hundred rows: Mixtral's 1,024 rows
// over 8 experts, N 14336, K 4096 are 120 GFLOP against 1.9 GB, 62 FLOP a byte:
// FMAs bind, 6.2 / 1.8 / 1.8 ms on A100, H100, H200, of which it should reach
// 90 %, less what uneven experts cost.
var matmulPickLargeF32 = matmulTile{entry: "matmul_pick_128x128_f32", m: 128, n: 128, threads: 256, ctas: 2, shared: 16928, weight: runtime.F32, picked: true}.kernel(
	byExpert(512, 256, 256, 4, runtime.F32), byExpert(1024, 4096, 2048, 8, runtime.F32))

// matmulPickLargeF16 is matmulPickLargeF32 for W in F16: bytes 4·R/Fan·K +
// 2·min(E, R)·N·K + 4·R·N, asked for ⌈N/128⌉·4·R·K + E·⌈R/E/128⌉·2·N·K + 4·R·N
// and Pick once a CTA; FLOPs 2·R·N·K. 167 registers, one CTA an SM. FMAs bind:
// 6.2 / 1.8 / 1.8 ms for the Mixtral product above on A100, H100, H200, of which
// one CTA an SM reaches about 80 %.
var matmulPickLargeF16 = matmulTile{entry: "matmul_pick_128x128_f16", m: 128, n: 128, threads: 256, ctas: 1, shared: 33312, weight: runtime.F16, picked: true}.kernel(
	byExpert(512, 256, 256, 4, runtime.F16), byExpert(1024, 4096, 2048, 8, runtime.F16))

// matmulPickSmallF32 is matmulPickLargeF32 in tiles of 32 × 64, for experts and
// adapters with few rows. Bytes 4·(R/Fan·K + min(E, R)·N·K + R·N), asked for
// ⌈N/64⌉·4·R·K + E·⌈R/E/32⌉·4·N·K + 4·R·N and Pick once a CTA, FLOPs 2·R·N·K;
// 101 registers, four CTAs an SM.
//
// Roofline, 64 rows over 8 experts, N 14336, K 4096: 7.5 GFLOP against 1.9 GB:
// 4 FLOP a byte, left of every ridge: bandwidth binds, 1.2 / 0.57 / 0.40 ms on
// A100 (40 GB), H100 and H200. A tile of 32 rows computes all of them for an
// expert's eight, four times the FMAs: still less than the bytes on A100 (1.5 ms
// of FMAs at peak are close), so 60 % of bandwidth is what to expect.
var matmulPickSmallF32 = matmulTile{entry: "matmul_pick_32x64_f32", m: 32, n: 64, threads: 128, ctas: 4, shared: 12432, weight: runtime.F32, picked: true, larger: 128}.kernel(
	byExpert(128, 256, 256, 4, runtime.F32), byExpert(64, 4096, 2048, 8, runtime.F32))

// matmulPickSmallF16 is matmulPickSmallF32 for W in F16: bytes 4·R/Fan·K +
// 2·min(E, R)·N·K + 4·R·N, asked for ⌈N/64⌉·4·R·K + E·⌈R/E/32⌉·2·N·K + 4·R·N and
// Pick once a CTA, FLOPs 2·R·N·K; 102 registers, four CTAs an SM. For the 64
// rows above 0.94 GB: 0.60 / 0.28 / 0.20 ms on A100, H100, H200 by bandwidth,
// but 1.5 / 0.45 / 0.45 ms for the FMAs of tiles a quarter full, which bind.
var matmulPickSmallF16 = matmulTile{entry: "matmul_pick_32x64_f16", m: 32, n: 64, threads: 128, ctas: 4, shared: 12432, weight: runtime.F16, picked: true, larger: 128}.kernel(
	byExpert(128, 256, 256, 4, runtime.F16), byExpert(64, 4096, 2048, 8, runtime.F16))

// matmulTile is an entry point of matmul.cu.
type matmulTile struct {
	entry   string
	m, n    int // rows, and columns of W, of a tile
	threads int
	ctas    int
	shared  int
	weight  runtime.DType
	picked  bool
	larger  int // edge of the tile that is preferred where it fills a GPU; 0: none
}

func (t matmulTile) kernel(shapes ...Shape) *Kernel {
	return &Kernel{
		Op: "MatMul", Entry: t.entry, Image: matmulImage, Params: matmulParams,
		Threads: t.threads, CTAs: t.ctas, Shared: t.shared,
		Launch: t.launch, Cost: t.cost, Shapes: shapes,
	}
}

// The reasons for which products do not fit.
var (
	errNotMatMul   = unfit("no matrix product")
	errWeightType  = unfit("a product with weights of this type")
	errProductSize = unfit("a product too large for the grid")
	errPicked      = unfit("a product by expert")
	errNotPicked   = unfit("a product without Pick")
	errLargerTile  = unfit("a product that fills a GPU with larger tiles")
	errManyRows    = unfit("a product of many rows")
	errNotOneRow   = unfit("a product of more than one row")
)

const (
	maxInt  = 1<<31 - 1
	maxGrid = 65535 // CTAs along y and z

	// enough is how many tiles fill a GPU well enough for the larger tile: it
	// makes twice as much of an SM, and an H100 has 132 of them.
	enough = 64
	// useful is the least number of rows for a tile of 128.
	useful = 96
	// spread is how many CTAs a product by expert has where its rows allow it:
	// when all rows pick one expert, the other experts' CTAs end at once.
	spread = 512
)

// product is the sizes of a MatMul: per group, and per expert.
type product struct {
	rows, n, k     int
	fan, groups    int
	parts, experts int
}

func sizes(o *runtime.MatMul) product {
	p := product{rows: o.Out.Rows, fan: max(o.Fan, 1), groups: max(o.Groups, 1), parts: 1}
	p.n, p.k = o.Out.Cols/p.groups, o.X.Cols/p.groups
	if o.Gated {
		p.parts = 2
	}
	p.experts = o.W.Rows / (p.parts * p.n * p.groups)
	return p
}

// fits checks what every kernel needs of a product.
func (p product) fits(o *runtime.MatMul, weight runtime.DType) error {
	switch {
	case o.W.DType != weight:
		return errWeightType
	case p.rows > maxInt-1024 || p.parts*p.n > maxInt-1024 || p.k > maxInt-8192 || p.groups > maxGrid || p.experts >= maxGrid:
		return errProductSize
	}
	return nil
}

// args appends the parameters.
func (p product) args(o *runtime.MatMul, l *Launch) {
	alpha := o.Alpha
	if alpha == 0 {
		alpha = 1
	}
	l.Ptr(o.X)
	l.Int(pitch(o.X))
	l.Ptr(o.W)
	l.Int(pitch(o.W))
	l.Ptr(o.Bias)
	l.Int(pitch(o.Bias))
	l.Ptr(o.Residual)
	l.Int(pitch(o.Residual))
	l.Ptr(o.Out)
	l.Int(pitch(o.Out))
	l.Ptr(o.Pick)
	l.Int(p.experts)
	l.Int(p.rows)
	l.Int(p.n)
	l.Int(p.k)
	l.Int(p.fan)
	l.Int(int(o.Act))
	l.Float(alpha)
	l.Bool(o.Gated)
}

// pitch is a tensor's stride. One row has none: it must not spoil alignment.
func pitch(t runtime.Tensor) int {
	if t.Rows <= 1 {
		return 0
	}
	return t.Stride
}

func ceil(a, b int) int { return (a + b - 1) / b }

// width is how many columns of Out a tile has.
func (t matmulTile) width(p product) int { return t.n / p.parts }

// split is how many CTAs share an expert's rows.
func (t matmulTile) split(p product) int {
	tiles := ceil(p.n, t.width(p))
	return max(1, min(ceil(p.rows, t.m), max(ceil(p.rows, p.experts*t.m), spread/(p.experts*tiles))))
}

// fills reports whether square tiles fill a GPU.
func (p product) fills(edge int) bool {
	rows := ceil(p.rows, p.experts)
	return rows >= useful && p.experts*p.groups*ceil(rows, edge)*ceil(p.n, edge/p.parts) >= enough
}

func (t matmulTile) launch(op runtime.Op, l *Launch) error {
	o, ok := op.(*runtime.MatMul)
	if !ok {
		return errNotMatMul
	}
	p := sizes(o)
	if err := p.fits(o, t.weight); err != nil {
		return err
	}
	tiles := ceil(p.n, t.width(p))
	switch {
	case t.picked && o.Pick.IsZero():
		return errNotPicked
	case !t.picked && !o.Pick.IsZero():
		return errPicked
	case tiles > maxGrid:
		return errProductSize
	case t.larger > 0 && p.fills(t.larger):
		return errLargerTile
	}
	l.Block = [3]int{t.threads, 1, 1}
	l.Grid = [3]int{ceil(p.rows, t.m), tiles, p.groups}
	if t.picked && p.rows > 0 {
		l.Grid = [3]int{t.split(p), tiles, p.experts + 1}
	}
	p.args(o, l)
	return nil
}

// compulsory is every operand once; of the experts, as many as rows can pick.
func (p product) compulsory(o *runtime.MatMul) int64 {
	used := min(p.experts, max(p.rows, 1))
	bytes := 4*int64(p.rows/p.fan)*int64(o.X.Cols) + int64(used)*int64(p.parts*p.n*p.groups)*o.W.RowBytes() + p.written(o)
	if !o.Bias.IsZero() {
		bytes += 4 * int64(used) * int64(o.Bias.Cols)
	}
	return bytes
}

// written is Out and what lies as it does.
func (p product) written(o *runtime.MatMul) int64 {
	bytes := 4 * int64(p.rows) * int64(o.Out.Cols)
	if !o.Residual.IsZero() {
		bytes *= 2
	}
	if !o.Pick.IsZero() {
		bytes += 4 * int64(p.rows)
	}
	return bytes
}

// flops counts a multiply-add as two.
func (p product) flops() int64 {
	return 2 * int64(p.rows) * int64(p.parts*p.n*p.groups) * int64(p.k)
}

// cost takes the rows of a product by expert as evenly spread.
func (t matmulTile) cost(op runtime.Op) Cost {
	o := op.(*runtime.MatMul)
	p := sizes(o)
	columns := int64(p.groups) * int64(ceil(p.n, t.width(p)))
	rows := int64(p.experts) * int64(ceil(ceil(p.rows, p.experts), t.m)) // tiles of rows
	asked := columns*4*int64(p.rows)*int64(p.k) + rows*int64(p.groups*p.parts*p.n)*o.W.RowBytes() + p.written(o)
	if !o.Bias.IsZero() {
		asked += rows * columns * 4 * int64(t.threads*p.parts) // each thread that of its column
	}
	if t.picked {
		asked += 4 * int64(p.rows) * int64(t.split(p)*(p.experts+1)) * columns
	}
	return Cost{Bytes: p.compulsory(o), Requested: asked, FLOPs: p.flops()}
}

// dense is the shape of a plain product.
func dense(rows, n, k int, weight runtime.DType) Shape {
	return Shape{fmt.Sprintf("%d×%d×%d %v", rows, n, k, weight), func(m *Maker) runtime.Op {
		return &runtime.MatMul{Out: m.F32(rows, n), X: m.F32(rows, k), W: weights(m, weight, n, k)}
	}}
}

// gatedShape is the shape of a gated product with n columns.
func gatedShape(rows, n, k int, weight runtime.DType) Shape {
	return Shape{fmt.Sprintf("%d×%d×%d gated %v", rows, n, k, weight), func(m *Maker) runtime.Op {
		return &runtime.MatMul{Out: m.F32(rows, n), X: m.F32(rows, k), W: weights(m, weight, 2*n, k), Act: runtime.Silu, Gated: true}
	}}
}

// byExpert is the shape of a product by expert, with the experts in turn.
func byExpert(rows, n, k, experts int, weight runtime.DType) Shape {
	return Shape{fmt.Sprintf("%d×%d×%d of %d experts %v", rows, n, k, experts, weight), func(m *Maker) runtime.Op {
		pick := make([]int32, rows)
		for i := range pick {
			pick[i] = int32(i % experts)
		}
		return &runtime.MatMul{Out: m.F32(rows, n), X: m.F32(rows, k), W: weights(m, weight, experts*n, k), Pick: m.I32(pick...)}
	}}
}

// weights is a weight of values between -1 and 1.
func weights(m *Maker, weight runtime.DType, rows, cols int) runtime.Tensor {
	if weight == runtime.F32 {
		return m.F32(rows, cols)
	}
	t := m.Zeros(weight, rows, cols)
	if m.Err != nil || m.Device == nil {
		return t
	}
	row, state := make([]byte, t.RowBytes()), uint32(1)
	for i := range rows {
		for j := 0; j < len(row); j += 2 {
			state = state*1664525 + 1013904223 // Numerical Recipes
			// A sign, an exponent of 2^-8 to 2^-1, ten bits of mantissa.
			binary.LittleEndian.PutUint16(row[j:], uint16(state>>16&0x9fff)+7<<10)
		}
		if m.Err = m.Device.Upload(t.RowRange(i, i+1), row); m.Err != nil {
			break
		}
		if m.Err = m.Device.Sync(); m.Err != nil {
			break
		}
	}
	return t
}
