package kernels

// Combine: the outputs of a token's experts, weighted.

import (
	_ "embed"

	"github.com/godwit-ml/godwit/runtime"
)

//go:embed ptx/combine.ptx
var combinePTX string

var combineImage = &Image{Name: "combine", PTX: combinePTX, Target: 75}

var combineParams = []Param{
	{"out", Pointer}, {"x", Pointer}, {"weights", Pointer}, {"residual", Pointer}, {"count", Int}, {"perRow", Int}, {"k", Int},
	{"outStride", Int}, {"xStride", Int}, {"weightStride", Int}, {"residualStride", Int},
}

// combineF32x4 computes Out[t] = Residual[t] + Σ_k Weights[t,k]·X[t·K+k] for T
// tokens of D features, all on 16 bytes. It moves 4·T·D·(K+1) bytes, 4·T·D more
// with Residual, and computes half a FLOP for each: bandwidth is the roof on
// every chip.
var combineF32x4 = combine("combine_f32x4", 4)

// combineF32 is combineF32x4 an element at a time, for views of any alignment.
var combineF32 = combine("combine_f32", 1)

func combine(entry string, width int) *Kernel {
	k := rowsKernel("Combine", entry, combineImage, combineParams)
	k.Launch = func(op runtime.Op, l *Launch) error {
		o := op.(*runtime.Combine)
		if width > 1 && !vectors(o.Out.Cols, &o.Out, &o.X, &o.Residual) {
			return errUnaligned
		}
		perRow := o.Out.Cols / width
		if err := l.deal(o.Out.Rows, perRow); err != nil {
			return err
		}
		l.Ptr(o.Out)
		l.Ptr(o.X)
		l.Ptr(o.Weights)
		l.Ptr(o.Residual)
		l.Int(o.Out.Rows * perRow)
		l.Int(perRow)
		l.Int(o.Weights.Cols)
		l.stride(o.Out)
		l.stride(o.X)
		l.stride(o.Weights)
		l.stride(o.Residual)
		return nil
	}
	k.Cost = func(op runtime.Op) Cost {
		o := op.(*runtime.Combine)
		n, experts := int64(o.Out.Rows)*int64(o.Out.Cols), int64(o.Weights.Cols)
		c := Cost{Requested: size(o.Out) + size(o.X) + size(o.Residual), FLOPs: 2 * n * experts}
		if !o.Residual.IsZero() {
			c.FLOPs += n
		}
		c.Bytes = c.Requested + size(o.Weights)
		c.Requested += scalarRead * experts * warps(int(n)/width) // a warp reads its token's weights
		return c
	}
	k.Shapes = []Shape{{"256×1024, 2 of each token", func(m *Maker) runtime.Op {
		res := m.F32(256, 1024)
		return &runtime.Combine{Out: res, X: m.F32(512, 1024), Weights: m.F32(256, 2), Residual: res}
	}}}
	return k
}
