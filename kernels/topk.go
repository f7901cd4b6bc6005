package kernels

// TopK: the K largest of rows, softmax and log-sum.

import (
	_ "embed"

	"github.com/godwit-ml/godwit/runtime"
)

//go:embed ptx/topk.ptx
var topkPTX string

var topkImage = &Image{Name: "topk", PTX: topkPTX, Target: 75}

var topkParams = []Param{
	{"values", Pointer}, {"ids", Pointer}, {"x", Pointer}, {"lse", Pointer}, {"also", Pointer}, {"alsoValue", Pointer},
	{"rows", Int}, {"n", Int}, {"k", Int}, {"m", Int}, {"norm", Int},
	{"valuesStride", Int}, {"xStride", Int}, {"lseStride", Int}, {"alsoStride", Int}, {"alsoValueStride", Int},
}

// What the kernels hold: topk.cu's constants.
const (
	topkWarpRow = 256  // elements of a row in a warp's registers
	topkWarpK   = 32   // results, one a lane
	topkRoom    = 4096 // candidates in shared memory, 8 bytes each
	topkThreads = 1024
)

// topkWarp finds the K ≤ 32 largest of rows of N ≤ 256, a warp a row: routing
// to experts. It reads 4·N bytes a row and writes 8·K; K rounds of a warp's
// largest element, 10 shuffles each, are what takes the time: latency is the
// roof for few rows, issue slots for many.
var topkWarp = topk("topk_warp", topkWarpRow, topkWarpK)

// topkCTA finds the K ≤ 4096 largest of rows of any length, a CTA a row:
// candidates of a vocabulary, with log Σ exp. It reads a row twice, the second
// time from L2, and a row of which more than 4096 elements are near the K-th
// (many equal) once more for each digit of eight bits that tells them apart. One
// SM's share of L2 bandwidth is the roof of a single row: some 20 µs for 128k
// elements, against 500 µs for the head's product before it.
var topkCTA = topk("topk_cta", 0, topkRoom)

var (
	errLongRow = unfit("a row longer than a warp holds")
	errManyK   = unfit("more results than the kernel has room for")
	errNoRow   = unfit("rows of no elements")
)

// topk declares a kernel for rows of at most so many elements (0: any) and at
// most so many results.
func topk(entry string, longest, most int) *Kernel {
	k := rowsKernel("TopK", entry, topkImage, topkParams)
	perCTA := rowThreads / 32
	if longest == 0 {
		k.Threads, k.CTAs, perCTA = topkThreads, 1, 1
		k.Shared = 8*topkRoom + 4*256 + 4*topkThreads/32 + 8
	}
	k.Launch = func(op runtime.Op, l *Launch) error {
		o := op.(*runtime.TopK)
		switch {
		case o.X.Cols == 0:
			return errNoRow
		case longest > 0 && o.X.Cols > longest:
			return errLongRow
		case o.Values.Cols > most:
			return errManyK
		case o.X.Cols > maxCount || o.X.Rows > maxCount:
			return errTooMany
		}
		l.ctas((o.X.Rows+perCTA-1)/perCTA, k.Threads)
		for _, t := range []runtime.Tensor{o.Values, o.IDs, o.X, o.LSE, o.Also, o.AlsoValue} {
			l.Ptr(t)
		}
		l.Int(o.X.Rows)
		l.Int(o.X.Cols)
		l.Int(o.Values.Cols)
		l.Int(o.Also.Cols)
		l.Int(int(o.Norm))
		for _, t := range []runtime.Tensor{o.Values, o.X, o.LSE, o.Also, o.AlsoValue} {
			l.stride(t)
		}
		return nil
	}
	k.Cost = func(op runtime.Op) Cost {
		o := op.(*runtime.TopK)
		n, results := int64(o.X.Rows)*int64(o.X.Cols), int64(o.X.Rows)*int64(o.Values.Cols)
		also := size(o.Also) + 2*size(o.AlsoValue)
		c := Cost{Bytes: 4*n + 8*results + size(o.LSE) + also, FLOPs: n}
		reads, written := int64(1), int64(8)
		if longest == 0 {
			reads, written = 2, 40 // a result's value is read again, to keep its bits: a sector
		}
		if o.Norm == runtime.SoftmaxAll || !o.LSE.IsZero() {
			c.FLOPs += 12 * n
		}
		c.Requested = 4*n*reads + written*results + size(o.LSE) + also
		return c
	}
	if longest > 0 {
		k.Shapes = []Shape{{"1024×128, 8, SoftmaxTop", func(m *Maker) runtime.Op {
			return &runtime.TopK{Values: m.F32(1024, 8), IDs: m.Zeros(runtime.I32, 1024, 8), X: m.F32(1024, 128), Norm: runtime.SoftmaxTop}
		}}}
		return k
	}
	k.Shapes = []Shape{{"4×32000, 64, LSE", func(m *Maker) runtime.Op {
		return &runtime.TopK{Values: m.F32(4, 64), IDs: m.Zeros(runtime.I32, 4, 64), X: m.F32(4, 32000), LSE: m.F32(4, 1)}
	}}}
	return k
}
