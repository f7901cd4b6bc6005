package kernels

// RoPE: rotations of pairs of features, in place.

import (
	_ "embed"

	"github.com/godwit-ml/godwit/runtime"
)

//go:embed ptx/rope.ptx
var ropePTX string

var ropeImage = &Image{Name: "rope", PTX: ropePTX, Target: 75}

var ropeParams = []Param{
	{"x", Pointer}, {"cos", Pointer}, {"sin", Pointer}, {"rows", Pointer}, {"count", Int}, {"perToken", Int}, {"perHead", Int},
	{"headDim", Int}, {"xStride", Int}, {"cosStride", Int}, {"sinStride", Int},
}

// ropeHalvesX4 rotates features i and i+half of each head by the angles of row
// Rows[t] of the tables, half = Cos.Cols, for T tokens of H heads, all on 16
// bytes. It reads and writes 8·T·H·half bytes and reads the tables, 8·half bytes
// a token, again for each head from the caches; 6 FLOPs a pair: bandwidth is
// the roof on every chip.
var ropeHalvesX4 = rope("rope_halves_x4", false, 4)

// ropeHalves is ropeHalvesX4 a pair at a time, for views of any alignment.
var ropeHalves = rope("rope_halves", false, 1)

// ropeInterleavedX2 is ropeHalvesX4 for features 2i and 2i+1: a thread moves two
// pairs, which are 16 bytes.
var ropeInterleavedX2 = rope("rope_interleaved_x2", true, 2)

// ropeInterleaved is ropeInterleavedX2 a feature at a time, for views of any
// alignment; the other of the pair comes from the neighbouring lane.
var ropeInterleaved = rope("rope_interleaved", true, 1)

var errPairing = unfit("features are paired the other way")

func rope(entry string, interleaved bool, width int) *Kernel {
	k := rowsKernel("RoPE", entry, ropeImage, ropeParams)
	k.Launch = func(op runtime.Op, l *Launch) error {
		o := op.(*runtime.RoPE)
		half := o.Cos.Cols
		if o.Interleaved != interleaved {
			return errPairing
		}
		// As many floats of a table as pairs; a head begins where four floats may.
		if width > 1 && (half%width != 0 || !vectors(o.HeadDim, &o.X) || !aligned(4*int64(width), &o.Cos, &o.Sin)) {
			return errUnaligned
		}
		heads, perHead := o.X.Cols/o.HeadDim, half/width
		if interleaved && width == 1 {
			perHead = 2 * half
		}
		if err := l.deal(o.X.Rows, heads*perHead); err != nil {
			return err
		}
		l.Ptr(o.X)
		l.Ptr(o.Cos)
		l.Ptr(o.Sin)
		l.Ptr(o.Rows)
		l.Int(o.X.Rows * heads * perHead)
		l.Int(heads * perHead)
		l.Int(perHead)
		l.Int(o.HeadDim)
		l.stride(o.X)
		l.stride(o.Cos)
		l.stride(o.Sin)
		return nil
	}
	k.Cost = func(op runtime.Op) Cost {
		o := op.(*runtime.RoPE)
		half, heads, tokens := int64(o.Cos.Cols), int64(o.X.Cols/o.HeadDim), int64(o.X.Rows)
		pairs := tokens * heads * half
		c := Cost{Bytes: 16*pairs + 8*half*tokens + 4*tokens, FLOPs: 6 * pairs}
		// An access serves so many pairs at a time, and reads a piece of both tables
		// for them, once for all heads among them.
		served, threads := int64(32), pairs/int64(width)
		if interleaved && width == 1 {
			served, threads = 16, 2*pairs
		}
		c.Requested = 16*pairs + 8*pairs*min(served, half)/served + scalarRead*warps(int(threads))
		return c
	}
	k.Shapes = []Shape{{"512 tokens, 12 heads of 64", func(m *Maker) runtime.Op {
		rows := make([]int32, 512)
		for i := range rows {
			rows[i] = int32(i)
		}
		return &runtime.RoPE{X: m.F32(512, 12*64), Cos: m.F32(512, 32), Sin: m.F32(512, 32), Rows: m.I32(rows...), HeadDim: 64, Interleaved: interleaved}
	}}}
	return k
}
