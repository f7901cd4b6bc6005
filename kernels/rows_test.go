package kernels_test

// The kernels on rows where devicetest has no row for them: views that lie on 16
// bytes, widths that fill the registers, rows whose mean drowns their deviation.

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/godwit-ml/godwit/ci/kernels/measure"
	"github.com/godwit-ml/godwit/cpu"
	"github.com/godwit-ml/godwit/kernels"
	"github.com/godwit-ml/godwit/runtime"
)

// operands makes operands that are views of columns, the same on every device.
type operands struct {
	*kernels.Maker
	whole []runtime.Tensor
}

// f32 is a view of four columns on from the left of a wider matrix, on 16 bytes.
func (o *operands) f32(rows, cols int) runtime.Tensor {
	t := o.F32(rows, cols+8+4*len(o.whole)) // no stride like another
	o.whole = append(o.whole, t)
	return t.ColRange(4, 4+cols)
}

func byEntry(t *testing.T, entry string) *kernels.Kernel {
	t.Helper()
	all := every()
	i := slices.IndexFunc(all, func(k *kernels.Kernel) bool { return k.Entry == entry })
	if i < 0 {
		t.Fatalf("no kernel %s", entry)
	}
	return all[i]
}

func TestAlignedViews(t *testing.T) {
	for _, row := range alignedRows() {
		for _, entry := range row.entries {
			t.Run(entry+"/"+row.name, func(t *testing.T) {
				t.Parallel()
				k := byEntry(t, entry)
				reference := cpu.NewReference(cpu.Config{Threads: 1})
				defer reference.Close()
				want := &operands{Maker: &kernels.Maker{Device: reference}}
				if err := reference.Run(row.op(want)); err != nil || want.Err != nil {
					t.Fatal(err, want.Err)
				}
				for _, mode := range modes(t) {
					m, err := measure.NewMachine(k, mode)
					if err != nil {
						t.Fatal(err)
					}
					got := &operands{Maker: &kernels.Maker{Device: m}}
					op := row.op(got)
					if got.Err != nil {
						t.Fatal(got.Err)
					}
					if err := m.Run(op); err != nil {
						t.Fatal(err)
					}
					for i := range got.whole {
						compareWhole(t, fmt.Sprintf("operand %d in mode %+v", i, mode), m, reference, got.whole[i], want.whole[i])
					}
				}
			})
		}
	}
}

// compareWhole compares a matrix in which an operand lies: beside the view every
// bit has to be what it was.
func compareWhole(t *testing.T, what string, dev, reference runtime.Device, got, want runtime.Tensor) {
	t.Helper()
	a, b := make([]byte, int64(got.Rows)*got.RowBytes()), make([]byte, int64(want.Rows)*want.RowBytes())
	if err := dev.Download(a, got); err != nil {
		t.Fatal(err)
	}
	if err := reference.Download(b, want); err != nil {
		t.Fatal(err)
	}
	if e := nmse(got.DType, a, b); !(e <= 1e-12) {
		t.Errorf("%s: NMSE %.2g", what, e)
	}
	stride := int(got.RowBytes())
	for i := range got.Rows {
		if left := a[i*stride:][:16]; !bytes.Equal(left, b[i*stride:][:16]) {
			t.Errorf("%s: columns before the view were changed", what)
		}
		if right := a[(i+1)*stride-16 : (i+1)*stride]; !bytes.Equal(right, b[(i+1)*stride-16:(i+1)*stride]) {
			t.Errorf("%s: columns after the view were changed", what)
		}
	}
}

// alignedRow is an operation, and the kernels that are to run it.
type alignedRow struct {
	name    string
	entries []string
	op      func(o *operands) runtime.Op
}

func alignedRows() []alignedRow {
	rows := []alignedRow{
		{"scaled and added", []string{"gather_f32x4", "gather_f32"}, func(o *operands) runtime.Op {
			return &runtime.Gather{Out: o.f32(5, 44), Table: o.f32(7, 44), IDs: o.I32(6, 0, 3, 3, 1), Scale: -1.5, Add: true}
		}},
		{"of halves", []string{"gather_f16x4", "gather_f16"}, func(o *operands) runtime.Op {
			table := halves(o, 7, 60)
			return &runtime.Gather{Out: o.f32(5, 44), Table: table.ColRange(8, 52), IDs: o.I32(6, 0, 3, 3, 1), Scale: 3}
		}},
		{"rows of Mul and Add", []string{"pointwise_f32x4", "pointwise_f32"}, func(o *operands) runtime.Op {
			return &runtime.Pointwise{Out: o.f32(9, 60), X: o.f32(9, 60), Mul: o.f32(9, 60), Add: o.f32(9, 60), F: runtime.Gelu, In: 2, Scale: -3}
		}},
		{"one row of Mul", []string{"pointwise_f32x4", "pointwise_f32"}, func(o *operands) runtime.Op {
			return &runtime.Pointwise{Out: o.f32(9, 60), X: o.f32(9, 60), Mul: o.f32(1, 60), Add: o.f32(9, 60), F: runtime.Tanh}
		}},
		{"one row of Add", []string{"pointwise_f32x4", "pointwise_f32"}, func(o *operands) runtime.Op {
			x := o.f32(9, 60)
			return &runtime.Pointwise{Out: x, X: x, Add: o.f32(1, 60), F: runtime.Sigmoid, In: -4}
		}},
		{"three of each token", []string{"combine_f32x4", "combine_f32"}, func(o *operands) runtime.Op {
			return &runtime.Combine{Out: o.f32(11, 52), X: o.f32(33, 52), Weights: o.f32(11, 3), Residual: o.f32(11, 52)}
		}},
		{"ten of each token", []string{"combine_f32x4", "combine_f32"}, func(o *operands) runtime.Op {
			return &runtime.Combine{Out: o.f32(3, 12), X: o.f32(30, 12), Weights: o.f32(3, 10), Residual: o.f32(3, 12)}
		}},
		{"no residual", []string{"combine_f32x4", "combine_f32"}, func(o *operands) runtime.Op {
			return &runtime.Combine{Out: o.f32(4, 8), X: o.f32(20, 8), Weights: o.f32(4, 5)}
		}},
	}
	for f, name := range []string{"Ident", "Relu", "Gelu", "GeluTanh", "Silu", "Tanh", "Sigmoid"} {
		rows = append(rows, alignedRow{name, []string{"pointwise_f32x4", "pointwise_f32"}, func(o *operands) runtime.Op {
			return &runtime.Pointwise{Out: o.f32(9, 60), X: o.f32(9, 60), F: runtime.Fn(f), In: 4, Scale: 0.5}
		}})
	}
	for _, interleaved := range []bool{false, true} {
		entries := []string{"rope_halves_x4", "rope_halves"}
		if interleaved {
			entries = []string{"rope_interleaved_x2", "rope_interleaved"}
		}
		for _, half := range []int{4, 16, 20} {
			rows = append(rows, alignedRow{fmt.Sprintf("%d of 40", 2*half), entries, func(o *operands) runtime.Op {
				return &runtime.RoPE{X: o.f32(7, 5*40), Cos: o.f32(9, half), Sin: o.f32(9, half), Rows: o.I32(8, 0, 3, 3, 1, 7, 2), HeadDim: 40, Interleaved: interleaved}
			}})
		}
	}
	for kind, name := range []string{"LayerNorm", "RMSNorm", "L2Norm"} {
		for _, n := range []int{20, 516, 1024, 2052, 8192} {
			entries := []string{"norm_cta", "norm_any"}
			if n <= 1024 {
				entries = append(entries, "norm_warp")
			}
			rows = append(rows, alignedRow{fmt.Sprintf("%s of %d", name, n), entries, func(o *operands) runtime.Op {
				return &runtime.Norm{Out: o.f32(3, 3*n), X: o.f32(3, 3*n), Weight: o.f32(1, n), Bias: o.f32(1, n), Kind: runtime.NormKind(kind), Eps: 0.01, Groups: 3}
			}})
		}
		rows = append(rows, alignedRow{name + " beyond the registers", []string{"norm_any"}, func(o *operands) runtime.Op {
			x := o.f32(2, 9001)
			return &runtime.Norm{Out: x, X: x, Weight: o.f32(1, 9001), Kind: runtime.NormKind(kind), Eps: 0.01}
		}})
	}
	return rows
}

// halves is an F16 table: small numbers, all different in a row.
func halves(o *operands, rows, cols int) runtime.Tensor {
	t := o.Zeros(runtime.F16, rows, cols)
	b := make([]byte, 2*rows*cols)
	for i := range rows * cols {
		binary.LittleEndian.PutUint16(b[2*i:], uint16(0x3000+i*7)) // from 1/8 on
	}
	if o.Err == nil {
		o.Err = o.Device.Upload(t, b)
	}
	return t
}

// TestNormDrowned has rows whose deviation is next to the last digit of their
// mean: a mean that is rounded costs them three digits.
func TestNormDrowned(t *testing.T) {
	for entry, n := range map[string]int{"norm_warp": 1024, "norm_cta": 8192, "norm_any": 3001} {
		r := rand.New(rand.NewPCG(4, uint64(n)))
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(1e4 + 0.02*r.NormFloat64())
		}
		mean, variance := 0.0, 0.0
		for _, v := range x {
			mean += float64(v) / float64(n)
		}
		for _, v := range x {
			variance += (float64(v) - mean) * (float64(v) - mean) / float64(n)
		}
		m, err := measure.NewMachine(byEntry(t, entry), modes(t)[0])
		if err != nil {
			t.Fatal(err)
		}
		maker := kernels.Maker{Device: m}
		o := &runtime.Norm{Out: maker.Zeros(runtime.F32, 1, n), X: maker.Zeros(runtime.F32, 1, n), Eps: 1e-12}
		if err := m.Upload(o.X, runtime.HostF32(1, n, x).Bytes()); err != nil {
			t.Fatal(err)
		}
		if err := m.Run(o); err != nil {
			t.Fatal(err)
		}
		got := downloadF32(t, m, o.Out)
		num, den := 0.0, 0.0
		for i, v := range x {
			want := (float64(v) - mean) / math.Sqrt(variance+1e-12)
			num += (float64(got[i]) - want) * (float64(got[i]) - want)
			den += want * want
		}
		t.Logf("%s of %d: NMSE %.2g", entry, n, num/den)
		if num > 1e-12*den {
			t.Errorf("%s of %d: NMSE %.2g", entry, n, num/den)
		}
	}
}

func downloadF32(t *testing.T, dev runtime.Device, tensor runtime.Tensor) []float32 {
	t.Helper()
	b := make([]byte, int64(tensor.Rows)*tensor.RowBytes())
	if err := dev.Download(b, tensor); err != nil {
		t.Fatal(err)
	}
	v := make([]float32, len(b)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return v
}
