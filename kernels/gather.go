package kernels

// Gather: rows of a table by number.

import (
	_ "embed"

	"github.com/godwit-ml/godwit/runtime"
)

//go:embed ptx/gather.ptx
var gatherPTX string

var gatherImage = &Image{Name: "gather", PTX: gatherPTX, Target: 75}

var gatherParams = []Param{
	{"out", Pointer}, {"table", Pointer}, {"ids", Pointer}, {"count", Int}, {"perRow", Int},
	{"outStride", Int}, {"tableStride", Int}, {"scale", Float}, {"add", Int},
}

// gatherF32x4 computes Out[i] = (Add ? Out[i] : 0) + Scale·Table[IDs[i]] for an
// F32 table [V, D] and n ids, all on 16 bytes. It moves 8·n·D bytes, 12·n·D with
// Add, and computes next to nothing: bandwidth is the roof on every chip.
var gatherF32x4 = gather("gather_f32x4", runtime.F32, 4)

// gatherF32 is gatherF32x4 an element at a time, for views of any alignment.
var gatherF32 = gather("gather_f32", runtime.F32, 1)

// gatherF16x4 is gatherF32x4 for an F16 table: 6·n·D bytes, 10·n·D with Add.
var gatherF16x4 = gather("gather_f16x4", runtime.F16, 4)

// gatherF16 is gatherF16x4 an element at a time, for views of any alignment.
var gatherF16 = gather("gather_f16", runtime.F16, 1)

var errTableType = unfit("a table of another type")

func gather(entry string, table runtime.DType, width int) *Kernel {
	k := rowsKernel("Gather", entry, gatherImage, gatherParams)
	k.Launch = func(op runtime.Op, l *Launch) error {
		o := op.(*runtime.Gather)
		if o.Table.DType != table {
			return errTableType
		}
		// Four elements of the table are 16 bytes or 8.
		if width > 1 && (!vectors(o.Out.Cols, &o.Out) || !aligned(4*int64(table.TypeSize()), &o.Table)) {
			return errUnaligned
		}
		perRow := o.Out.Cols / width
		if err := l.deal(o.Out.Rows, perRow); err != nil {
			return err
		}
		l.Ptr(o.Out)
		l.Ptr(o.Table)
		l.Ptr(o.IDs)
		l.Int(o.Out.Rows * perRow)
		l.Int(perRow)
		l.stride(o.Out)
		l.stride(o.Table)
		l.Float(or1(o.Scale))
		l.Bool(o.Add)
		return nil
	}
	k.Cost = func(op runtime.Op) Cost {
		o := op.(*runtime.Gather)
		n := int64(o.Out.Rows) * int64(o.Out.Cols)
		c := Cost{Requested: n * int64(4+table.TypeSize()), FLOPs: n}
		if o.Add {
			c.Requested += 4 * n
			c.FLOPs += n
		}
		c.Bytes = c.Requested + 4*int64(o.Out.Rows)
		c.Requested += scalarRead * warps(int(n)/width) // a warp reads its row's number
		return c
	}
	k.Shapes = []Shape{
		{"512×1024 of 600", func(m *Maker) runtime.Op { return gatherShape(m, table, 512, 1024) }},
		{"8×4096 of 600", func(m *Maker) runtime.Op { return gatherShape(m, table, 8, 4096) }},
	}
	return k
}

// gatherShape is n rows of a table of 600, none twice in a row.
func gatherShape(m *Maker, table runtime.DType, n, d int) runtime.Op {
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32(i * 241 % 600)
	}
	return &runtime.Gather{Out: m.F32(n, d), Table: weights(m, table, 600, d), IDs: m.I32(ids...), Scale: 2, Add: true}
}
