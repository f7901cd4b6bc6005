package devicetest

// Mistakes that devices make, each of which some row has to notice.

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-ml/godwit/quant"
	"github.com/godwit-ml/godwit/runtime"
)

// mistakes of naive, by operation.
var mistakes = map[string][]string{
	"Pointwise": {"Relu hides NaN", "Gelu by tanh", "Gelu by an erf good to 1.5e-7", "GeluTanh with 0.0447", "Silu overflows", "Tanh by exponentials",
		"In forgotten", "Scale forgotten", "Scale on Add"},
	"Norm": {"mean taken from all kinds", "one-pass variance", "variance over n-1", "eps dropped", "eps added to the length", "eps outside the root", "1 added to the weight"},
	"RoPE": {"row of the token", "pairs of the whole head", "other pairing", "turned back"},
	"MatMul": {"Pick of the row of X", "none picks the first", "Fan the wrong way round", "groups read the first columns", "bias forgotten", "bias of the first matrix",
		"none gives zeros", "Alpha on the residual", "Alpha before the function", "gate and up exchanged", "gate and up interleaved", "Silu overflows"},
	"TopK": {"ties to the higher id", "NaN is never chosen", "largest not subtracted", "LSE of the chosen", "softmax of the other"},
	"Attention": {"padding belongs to the last", "position within the chunk", "heads dealt round", "window one wider", "window one narrower", "one key ahead", "not itself",
		"sinks forgotten", "largest not subtracted", "rows without keys", "masked probabilities of 1e-30", "keys from the first query's row",
		"table of the first sequence", "blocks not looked up", "tokens of a block reversed", "scale forgotten", "scale after the biases", "soft-cap forgotten",
		"soft-cap after the biases", "slope·j", "slopes upward", "key bias by distance", "distance negated", "reach one short", "bias of the first head", "KRel of the query's row"},
}

// bound are the rows of each operation, bound to d once for many mistakes.
func bound(t *testing.T, d runtime.Device) map[string][]*Case {
	t.Helper()
	cases := map[string][]*Case{}
	for _, row := range Rows() {
		if row.Op == "MatMul" && row.DType != quant.F32 {
			continue // no mistake is about the type of a weight
		}
		c, err := row.Bind(On(d))
		t.Cleanup(c.Free)
		if err != nil {
			t.Fatal(err)
		}
		cases[row.Op] = append(cases[row.Op], c)
	}
	return cases
}

// noticed runs cases on a mistaken device until one fails.
func noticed(cases []*Case, d runtime.Device) (bool, error) {
	for _, c := range cases {
		c.target.Run = d.Run
		if err := attempt(c); errors.Is(err, errMismatch) {
			return true, nil
		} else if err != nil {
			return false, err
		}
	}
	return false, nil
}

// attempt runs a case; a device that leaves its tensors has been noticed.
func attempt(c *Case) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = errMismatch
		}
	}()
	if err := c.Reset(); err != nil {
		return err
	}
	if err := c.Run(); err != nil {
		return err
	}
	return c.Verify()
}

// TestNaiveDevicePasses: plain float32 loops are good enough for every limit.
func TestNaiveDevicePasses(t *testing.T) {
	Run(t, naive{Device: reference(t)})
}

func TestMistakesAreNoticed(t *testing.T) {
	d := reference(t)
	cases := bound(t, d)
	for op, names := range mistakes {
		for _, name := range names {
			if ok, err := noticed(cases[op], naive{d, name}); err != nil || !ok {
				t.Errorf("%s: %s: no row noticed (%v)", op, name, err)
			}
		}
	}
}

// changed gives a device another operation than was asked for.
func changed[O any, P interface {
	*O
	runtime.Op
}](change func(*O)) func(runtime.Device, runtime.Op) error {
	return func(d runtime.Device, op runtime.Op) error {
		if o, ok := op.(P); ok {
			m := *o
			change(&m)
			return d.Run(P(&m))
		}
		return d.Run(op)
	}
}

// own is a copy of an I32 operand in memory of its own, changed.
func own(t runtime.Tensor, change func(v []int32)) runtime.Tensor {
	v := slices.Clone(t.I32s())
	change(v)
	return runtime.HostI32(t.Rows, t.Cols, v)
}

// misruns are mistakes of other operations, made by changing what is run.
var misruns = map[string]func(d runtime.Device, op runtime.Op) error{
	"Gather: Scale forgotten": changed(func(o *runtime.Gather) {
		o.Scale = 0
	}),
	"Gather: Add forgotten": changed(func(o *runtime.Gather) {
		o.Add = false
	}),
	"Gather: Scale on the sum": func(d runtime.Device, op runtime.Op) error {
		o, ok := op.(*runtime.Gather)
		if err := d.Run(op); err != nil || !ok || !o.Add {
			return err
		}
		return d.Run(&runtime.Pointwise{Out: o.Out, X: o.Out, Scale: o.Scale})
	},
	"Gather: ids one off": changed(func(o *runtime.Gather) {
		if o.Table.Rows > 1 {
			o.IDs = own(o.IDs, func(v []int32) {
				for i := range v {
					v[i] = (v[i] + 1) % int32(o.Table.Rows)
				}
			})
		}
	}),
	"StoreKV: slots one off": changed(func(o *runtime.StoreKV) {
		o.Slots = own(o.Slots, func(v []int32) {
			for i := range v {
				v[i] = min(v[i]+1, int32(o.CacheK.Rows-1))
			}
		})
	}),
	"StoreKV: skipped rows go to slot 0": changed(func(o *runtime.StoreKV) {
		o.Slots = own(o.Slots, func(v []int32) {
			for i := range v {
				v[i] = max(v[i], 0)
			}
		})
	}),
	"StoreKV: keys for values": changed(func(o *runtime.StoreKV) {
		if o.K.Cols == o.V.Cols {
			o.V = o.K
		}
	}),
	"StoreKV: bfloat16 cut instead of rounded": func(d runtime.Device, op runtime.Op) error {
		o, ok := op.(*runtime.StoreKV)
		if !ok || o.CacheK.DType != quant.BF16 {
			return d.Run(op)
		}
		m := *o
		cut := func(t runtime.Tensor) runtime.Tensor {
			v := make([]float32, 0, t.Rows*t.Cols)
			for i := range t.Rows {
				for _, x := range t.F32Row(i) {
					v = append(v, math.Float32frombits(math.Float32bits(x)&0xffff0000))
				}
			}
			return runtime.HostF32(t.Rows, t.Cols, v)
		}
		m.K, m.V = cut(o.K), cut(o.V)
		return d.Run(&m)
	},
	"StoreKV: writes beyond the cache": func(d runtime.Device, op runtime.Op) error {
		err := d.Run(op)
		if o, ok := op.(*runtime.StoreKV); ok {
			o.CacheK.Mem.Bytes[o.CacheK.Offset+o.CacheK.Span()] ^= 1
		}
		return err
	},
	"CopyBlocks: the other way": changed(func(o *runtime.CopyBlocks) {
		o.Src, o.Dst = o.Dst, o.Src
	}),
	"CopyBlocks: the first alone": changed(func(o *runtime.CopyBlocks) {
		o.Src, o.Dst = o.Src.ColRange(0, 1), o.Dst.ColRange(0, 1)
	}),
	"CopyBlocks: without its last token": func(d runtime.Device, op runtime.Op) error {
		o, ok := op.(*runtime.CopyBlocks)
		if !ok {
			return d.Run(op)
		}
		for i, src := range o.Src.I32s() {
			from, to := int(src)*o.BlockSize, int(o.Dst.I32s()[i])*o.BlockSize
			copy(o.Cache.RowRange(to, to+o.BlockSize-1).Bytes(), o.Cache.RowRange(from, from+o.BlockSize-1).Bytes())
		}
		return nil
	},
	"Combine: residual forgotten": changed(func(o *runtime.Combine) {
		o.Residual = runtime.Tensor{}
	}),
	"Combine: weights of the first token": changed(func(o *runtime.Combine) {
		o.Weights.Stride = 0
	}),
	"TopK: -1 gives zero": func(d runtime.Device, op runtime.Op) error {
		err := d.Run(op)
		if o, ok := op.(*runtime.TopK); ok {
			for i := range o.Also.Rows * o.Also.Cols {
				if o.Also.I32s()[i] < 0 {
					*at(o.AlsoValue, i/o.Also.Cols, i%o.Also.Cols) = 0
				}
			}
		}
		return err
	},
	"Norm: writes the gap after a row": func(d runtime.Device, op runtime.Op) error {
		err := d.Run(op)
		if o, ok := op.(*runtime.Norm); ok && o.Out.Stride > o.Out.Cols {
			*at(o.Out, 0, o.Out.Cols) = 0
		}
		return err
	},
	"Norm: writes the row after the last": func(d runtime.Device, op runtime.Op) error {
		err := d.Run(op)
		if o, ok := op.(*runtime.Norm); ok {
			o.Out.Mem.Bytes[o.Out.Offset+o.Out.Span()] ^= 1
		}
		return err
	},
	"MatMul: changes X": func(d runtime.Device, op runtime.Op) error {
		err := d.Run(op)
		if o, ok := op.(*runtime.MatMul); ok {
			*at(o.X, o.X.Rows-1, o.X.Cols-1)++
		}
		return err
	},
	"MatMul: adds to what was there": func(d runtime.Device, op runtime.Op) error {
		o, ok := op.(*runtime.MatMul)
		if !ok || !o.Residual.IsZero() {
			return d.Run(op)
		}
		m := *o
		m.Residual = o.Out
		return d.Run(&m)
	},
	"RoPE: also the rest of a head": func(d runtime.Device, op runtime.Op) error {
		err := d.Run(op)
		if o, ok := op.(*runtime.RoPE); ok && o.HeadDim > 2*o.Cos.Cols {
			*at(o.X, 0, o.HeadDim-1) *= -1
		}
		return err
	},
}

func TestMisrunsAreNoticed(t *testing.T) {
	d := reference(t)
	cases := bound(t, d)
	for name, run := range misruns {
		op, _, _ := strings.Cut(name, ":")
		if ok, err := noticed(cases[op], altered{d, func(op runtime.Op) error { return run(d, op) }}); err != nil || !ok {
			t.Errorf("%s: no row noticed (%v)", name, err)
		}
	}
}

// TestMoodsAreNoticed: a device whose bits change from run to run, or with MaxK.
func TestMoodsAreNoticed(t *testing.T) {
	d, runs := reference(t), 0
	moody := altered{d, func(op runtime.Op) error {
		err := d.Run(op)
		if o, ok := op.(*runtime.Norm); ok {
			runs++
			last := at(o.Out, o.Out.Rows-1, o.Out.Cols-1)
			*last = math.Float32frombits(math.Float32bits(*last) ^ uint32(runs%2))
		}
		return err
	}}
	if err := Try(normRows()[0], On(moody)); !errors.Is(err, errMismatch) {
		t.Errorf("changing bits were not noticed (%v)", err)
	}
	bounded := altered{d, func(op runtime.Op) error {
		err := d.Run(op)
		if o, ok := op.(*runtime.Attention); ok && o.MaxK > int(slices.Max(o.KLens.I32s())) {
			x := at(o.Out, 0, 0)
			*x = math.Float32frombits(math.Float32bits(*x) ^ 1)
		}
		return err
	}}
	if err := Try(attentionRows()[3], On(bounded)); !errors.Is(err, errMismatch) {
		t.Errorf("bits that depend on MaxK were not noticed (%v)", err)
	}
}
