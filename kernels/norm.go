package kernels

// Norm: LayerNorm, RMSNorm and L2Norm of parts of rows.

import (
	_ "embed"

	"github.com/godwit-ml/godwit/runtime"
)

//go:embed ptx/norm.ptx
var normPTX string

var normImage = &Image{Name: "norm", PTX: normPTX, Target: 75}

var normParams = []Param{
	{"out", Pointer}, {"x", Pointer}, {"weight", Pointer}, {"bias", Pointer}, {"parts", Int}, {"groups", Int}, {"n", Int},
	{"outStride", Int}, {"xStride", Int}, {"kind", Int}, {"eps", Float},
}

// normWarp computes norm(X)·Weight + Bias of parts of at most 1024 floats on 16
// bytes, a warp a part, held in registers: heads (QK norm) and small models. It
// moves 8 bytes an element of X, and reads Weight and Bias for each part from
// the caches; at most 8 FLOPs an element: bandwidth is the roof on every chip.
var normWarp = norm("norm_warp", 32)

// normCTA is normWarp for parts of at most 8192 floats, a CTA a part.
var normCTA = norm("norm_cta", 256)

// normAny takes parts of any width and alignment, a CTA a part, and reads X
// three times (RMSNorm and L2Norm twice): a part is in L2 by then, of up to some
// 50 KB in L1. It is the slow way of odd views and of rows beyond 8192.
var normAny = norm("norm_any", 0)

var errWide = unfit("wider than the registers hold")

// norm declares a kernel in which so many threads hold 32 floats each of a
// part; 0: it holds nothing.
func norm(entry string, holders int) *Kernel {
	perCTA := 1
	if holders == 32 {
		perCTA = rowThreads / 32
	}
	k := rowsKernel("Norm", entry, normImage, normParams)
	if perCTA == 1 {
		k.Shared = 8 * rowThreads / 32
	}
	k.Launch = func(op runtime.Op, l *Launch) error {
		o := op.(*runtime.Norm)
		groups := max(o.Groups, 1)
		n := o.X.Cols / groups
		if holders > 0 {
			switch {
			case n > 32*holders:
				return errWide
			case !vectors(n, &o.Out, &o.X, &o.Weight, &o.Bias):
				return errUnaligned
			}
		}
		if o.X.Rows > maxCount/groups {
			return errTooMany
		}
		parts := o.X.Rows * groups
		l.ctas((parts+perCTA-1)/perCTA, rowThreads)
		l.Ptr(o.Out)
		l.Ptr(o.X)
		l.Ptr(o.Weight)
		l.Ptr(o.Bias)
		l.Int(parts)
		l.Int(groups)
		l.Int(n)
		l.stride(o.Out)
		l.stride(o.X)
		l.Int(int(o.Kind))
		l.Float(o.Eps)
		return nil
	}
	k.Cost = func(op runtime.Op) Cost { return normCost(op.(*runtime.Norm), holders) }
	switch holders {
	case 32:
		k.Shapes = []Shape{normShape("512×768 LayerNorm", 512, 768, 1, runtime.LayerNorm), normShape("512×768 RMSNorm of 12 heads", 512, 768, 12, runtime.RMSNorm)}
	default:
		k.Shapes = []Shape{normShape("128×4096 RMSNorm", 128, 4096, 1, runtime.RMSNorm), normShape("128×2048 LayerNorm", 128, 2048, 1, runtime.LayerNorm)}
	}
	return k
}

func normCost(o *runtime.Norm, holders int) Cost {
	n, parts := int64(o.X.Rows)*int64(o.X.Cols), int64(o.X.Rows)*int64(max(o.Groups, 1))
	vectors := size(o.Weight) + size(o.Bias)
	reads, flops := int64(1), int64(3)
	if holders == 0 {
		reads++
	}
	if o.Kind == runtime.LayerNorm {
		flops += 3
		if holders == 0 {
			reads++
		}
	}
	for _, t := range []runtime.Tensor{o.Weight, o.Bias} {
		if !t.IsZero() {
			flops++
		}
	}
	return Cost{Bytes: 8*n + vectors, Requested: 4*n*(1+reads) + parts*vectors, FLOPs: n * flops}
}

func normShape(name string, rows, cols, groups int, kind runtime.NormKind) Shape {
	return Shape{name, func(m *Maker) runtime.Op {
		o := &runtime.Norm{Out: m.F32(rows, cols), X: m.F32(rows, cols), Weight: m.F32(1, cols/groups), Kind: kind, Eps: 1e-5, Groups: groups}
		if kind == runtime.LayerNorm {
			o.Bias = m.F32(1, cols)
		}
		return o
	}}
}
