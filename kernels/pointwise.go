package kernels

// Pointwise: one thread, four neighbours.

import (
	_ "embed"

	"github.com/godwit-ml/godwit/runtime"
)

//go:embed ptx/pointwise.ptx
var pointwisePTX string

var pointwiseImage = &Image{Name: "pointwise", PTX: pointwisePTX, Target: 75}

var pointwiseParams = []Param{
	{"out", Pointer}, {"x", Pointer}, {"mul", Pointer}, {"add", Pointer}, {"count", Int}, {"perRow", Int},
	{"outStride", Int}, {"xStride", Int}, {"mulStride", Int}, {"addStride", Int}, {"f", Int}, {"in", Float}, {"scale", Float},
}

// pointwiseF32x4 computes Out = Scale·F(In·X)·Mul + Add for operands [R, C] that
// lie on 16 bytes, Mul and Add also [1, C]. It moves 4·R·C bytes for each
// operand of R rows, and computes at most some 30 FLOPs for 8 bytes: with 5 to 20
// FLOPs a byte of HBM to spare, bandwidth is the roof on every chip.
var pointwiseF32x4 = pointwise("pointwise_f32x4", 4)

// pointwiseF32 is pointwiseF32x4 an element at a time, for views of any
// alignment and width. A warp's row of 128 bytes may touch a fifth sector.
var pointwiseF32 = pointwise("pointwise_f32", 1)

func pointwise(entry string, width int) *Kernel {
	k := rowsKernel("Pointwise", entry, pointwiseImage, pointwiseParams)
	k.Launch = func(op runtime.Op, l *Launch) error {
		o := op.(*runtime.Pointwise)
		if width > 1 && !vectors(o.X.Cols, &o.Out, &o.X, &o.Mul, &o.Add) {
			return errUnaligned
		}
		perRow := o.X.Cols / width
		if err := l.deal(o.X.Rows, perRow); err != nil {
			return err
		}
		l.Ptr(o.Out)
		l.Ptr(o.X)
		l.Ptr(o.Mul)
		l.Ptr(o.Add)
		l.Int(o.X.Rows * perRow)
		l.Int(perRow)
		l.stride(o.Out)
		l.stride(o.X)
		l.stride(o.Mul)
		l.stride(o.Add)
		l.Int(int(o.F))
		l.Float(or1(o.In))
		l.Float(or1(o.Scale))
		return nil
	}
	k.Cost = func(op runtime.Op) Cost {
		o := op.(*runtime.Pointwise)
		n := int64(o.X.Rows) * int64(o.X.Cols)
		c := Cost{Bytes: size(o.Out) + size(o.X) + size(o.Mul) + size(o.Add), FLOPs: n * functionFLOPs(o.F)}
		c.Requested = 8 * n
		for _, t := range []runtime.Tensor{o.Mul, o.Add} {
			if !t.IsZero() {
				c.Requested += 4 * n // one row for all is read for each
				c.FLOPs += n
			}
		}
		return c
	}
	k.Shapes = []Shape{
		{"512×1536 Silu, Mul", func(m *Maker) runtime.Op {
			return &runtime.Pointwise{Out: m.F32(512, 1536), X: m.F32(512, 1536), Mul: m.F32(512, 1536), F: runtime.Silu}
		}},
		{"4×32000 soft-cap", func(m *Maker) runtime.Op {
			x := m.F32(4, 32000)
			return &runtime.Pointwise{Out: x, X: x, F: runtime.Tanh, In: 1 / 30.0, Scale: 30}
		}},
	}
	return k
}

// functionFLOPs is what one Scale·F(In·x) takes, about: two products, and what
// the function's polynomials take.
func functionFLOPs(f runtime.Fn) int64 {
	switch f {
	case runtime.Ident, runtime.Relu:
		return 2
	case runtime.Gelu:
		return 30
	case runtime.GeluTanh:
		return 17
	}
	return 12
}
