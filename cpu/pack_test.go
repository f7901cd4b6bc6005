package cpu

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/godwit-ml/godwit/quant"
	"github.com/godwit-ml/godwit/runtime"
)

// hostOf is a host tensor of values in a type.
func hostOf(t *testing.T, dtype runtime.DType, rows, cols int, values []float32) runtime.Tensor {
	t.Helper()
	raw := make([]byte, rows*dtype.Bytes(cols))
	if err := quant.Encode(raw, values, dtype); err != nil {
		t.Fatal(err)
	}
	return runtime.HostTensor(dtype, rows, cols, raw)
}

// drawn is a host tensor of normal values.
func drawn(t *testing.T, seed uint64, dtype runtime.DType, rows, cols int) runtime.Tensor {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 1))
	values := make([]float32, rows*cols)
	for i := range values {
		values[i] = float32(rng.NormFloat64())
	}
	return hostOf(t, dtype, rows, cols, values)
}

func newDevice(t *testing.T, opt Options) *Device {
	t.Helper()
	d, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func TestRuns(t *testing.T) {
	const rows, cols = 40, 64
	normal := drawn(t, 1, quant.F64, rows, cols)
	changed := func(change func(v []float32)) runtime.Tensor {
		v := make([]float32, rows*cols)
		for i := range v {
			v[i] = normal.Float().F32s()[i]
		}
		change(v)
		return hostOf(t, quant.F64, rows, cols, v)
	}
	// An outlier in each block stretches the steps of the others.
	outliers := changed(func(v []float32) {
		for i := 0; i < len(v); i += 32 {
			v[i] = 50
		}
	})
	one := changed(func(v []float32) { v[32*cols+5] = 1e4 })
	infinite := changed(func(v []float32) { v[7] = float32(math.Inf(1)) })
	largest := changed(func(v []float32) { v[7] = math.MaxFloat32 })
	ternary := changed(func(v []float32) {
		for i := range v {
			v[i] = float32(i%3-1) * 0.25
		}
	})
	zeros := changed(func(v []float32) { clear(v) })
	odd := drawn(t, 2, quant.F64, 30, 31)
	exact, fast := Options{Exact: true}, Options{}
	to := func(t runtime.DType) Options { return Options{Weights: t} }
	for name, c := range map[string]struct {
		host runtime.Tensor
		opt  Options
		want runtime.DType // I32: an error
	}{
		"F32":                      {drawn(t, 1, quant.F32, 3, 5), fast, quant.F32},
		"F16":                      {drawn(t, 1, quant.F16, 3, 5), exact, quant.F16},
		"BF16":                     {drawn(t, 1, quant.BF16, 3, 5), fast, quant.BF16},
		"Q4_0":                     {drawn(t, 1, quant.Q4_0, 3, 32), exact, quant.Q4_0},
		"Q4_1":                     {drawn(t, 1, quant.Q4_1, 3, 32), fast, quant.Q4_1},
		"Q8_0":                     {drawn(t, 1, quant.Q8_0, 3, 32), fast, quant.Q8_0},
		"normal":                   {normal, fast, quant.Q8_0},
		"Q5_1":                     {drawn(t, 1, quant.Q5_1, 32, 64), fast, quant.Q8_0},
		"exact":                    {normal, exact, quant.F32},
		"outliers":                 {outliers, fast, quant.BF16},
		"one outlier":              {one, fast, quant.Q8_0},
		"infinite":                 {infinite, fast, quant.BF16},
		"largest":                  {largest, fast, quant.F32},
		"ternary":                  {ternary, fast, quant.Q8_0},
		"zeros":                    {zeros, fast, quant.Q8_0},
		"odd":                      {odd, fast, quant.BF16},
		"BF16 of F32":              {drawn(t, 1, quant.F32, 3, 5), to(quant.BF16), quant.BF16},
		"F16 of F64":               {odd, to(quant.F16), quant.F16},
		"BF16 of F16":              {drawn(t, 1, quant.F16, 3, 5), to(quant.BF16), quant.F16},
		"F16 of Q8_0":              {drawn(t, 1, quant.Q8_0, 3, 32), to(quant.F16), quant.Q8_0},
		"Q8_0 of F32":              {drawn(t, 1, quant.F32, 3, 64), to(quant.Q8_0), quant.Q8_0},
		"Q8_0 of outliers":         {outliers, to(quant.Q8_0), quant.Q8_0},
		"Q8_0 of Q4_1":             {drawn(t, 1, quant.Q4_1, 3, 64), to(quant.Q8_0), quant.Q4_1},
		"Q4_0 of Q4_1":             {drawn(t, 1, quant.Q4_1, 3, 64), to(quant.Q4_0), quant.Q4_0},
		"Q4_0 of Q5_0":             {drawn(t, 1, quant.Q5_0, 3, 64), to(quant.Q4_0), quant.Q4_0},
		"Q4_0 of BF16":             {drawn(t, 1, quant.BF16, 3, 64), to(quant.Q4_0), quant.Q4_0},
		"Q8_0 of no whole blocks":  {drawn(t, 1, quant.F32, 3, 48), to(quant.Q8_0), quant.I32},
		"Q4_0 of no whole blocks":  {odd, to(quant.Q4_0), quant.I32},
		"exact, rounded to Q4_0":   {drawn(t, 1, quant.F32, 3, 64), Options{Exact: true, Weights: quant.Q4_0}, quant.Q4_0},
		"a type that is no number": {runtime.HostTensor(quant.I64, 2, 2, make([]byte, 32)), fast, quant.I32},
		"beyond its memory":        {runtime.HostTensor(quant.F32, 9, 9, make([]byte, 12)), fast, quant.I32},
		"none":                     {runtime.Tensor{}, fast, quant.I32},
		"no rows":                  {runtime.HostTensor(quant.F64, 0, 64, nil), fast, quant.Q8_0},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.opt.Runs(c.host)
			if c.want == quant.I32 {
				if err == nil || !strings.Contains(err.Error(), c.host.String()) && c.host.DType != quant.I64 {
					t.Errorf("%v, %v: want an error that names %v", got, err, c.host)
				}
				return
			}
			if err != nil || got != c.want {
				t.Errorf("runs in %v (%v), want %v", got, err, c.want)
			}
		})
	}
}

// TestRounding: the measure is over all rows of all parts, and is the plain one.
func TestRounding(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	var p pool
	p.start(2)
	defer p.stop()
	for _, to := range []runtime.DType{quant.Q8_0, quant.BF16, quant.F16, quant.Q4_0} {
		const cols = roundingPiece + 96
		parts := []runtime.Tensor{drawn(t, rng.Uint64(), quant.Q5_1, 3, cols), drawn(t, rng.Uint64(), quant.Q5_1, 300, cols)}
		got, err := rounding(&p, parts, to)
		if err != nil {
			t.Fatal(err)
		}
		var sum, norm float64
		for _, part := range parts {
			v := part.Float().F32s()
			y := hostOf(t, to, part.Rows, part.Cols, v).Float().F32s()
			for i := range v {
				sum += (float64(y[i]) - float64(v[i])) * (float64(y[i]) - float64(v[i]))
				norm += float64(v[i]) * float64(v[i])
			}
		}
		if want := sum / norm; want == 0 || math.Abs(got-want) > 1e-9*want {
			t.Errorf("%v: NMSE %g, want %g", to, got, want)
		}
	}
}

// TestLoadRefuses: what a type cannot hold is an error that names the weight.
func TestLoadRefuses(t *testing.T) {
	nan, large := make([]float32, 70*64), make([]float32, 70*64)
	nan[69*64+3] = float32(math.NaN())
	large[64] = 1e6
	huge := append([]float32(nil), large...)
	huge[64] = 1e30
	for _, c := range []struct {
		values []float32
		to     runtime.DType
		want   string
	}{
		{nan, quant.Q8_0, "row 69: "}, {nan, quant.Q4_0, "row 69: "}, {large, quant.F16, "row 1: 1e+06"}, {huge, quant.Q8_0, "row 1: "},
	} {
		d := newDevice(t, Options{Weights: c.to})
		_, err := d.Load(hostOf(t, quant.F32, 70, 64, c.values), runtime.UseProduct)
		if err == nil || !strings.Contains(err.Error(), "F32[70 64]") || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.to.String()) {
			t.Errorf("%v: %v, want one that says %q and the shape", c.to, err, c.want)
		}
	}
	d := newDevice(t, Options{Weights: quant.Q8_0})
	if _, err := d.Load(drawn(t, 1, quant.F32, 5, 40), runtime.UseProduct); err == nil || !strings.Contains(err.Error(), "F32[5 40]") {
		t.Errorf("rows of no whole blocks: %v", err)
	}
	if _, err := d.Load(drawn(t, 1, quant.F32, 5, 40), runtime.UseVector); err != nil {
		t.Errorf("what is no weight of products: %v", err)
	}
}

func TestLoadMemoryLimit(t *testing.T) {
	const size = 64 * 64 * 4
	d := newDevice(t, Options{MemoryLimit: 2*size + size/2})
	w := drawn(t, 1, quant.F32, 64, 64)
	var loaded []runtime.Tensor
	for range 2 {
		x, err := d.Load(w, runtime.UseProduct)
		if err != nil {
			t.Fatal(err)
		}
		loaded = append(loaded, x)
	}
	_, err := d.Load(w, runtime.UseProduct)
	var full *MemoryError
	if !errors.As(err, &full) || full.Wanted != size || full.Free != size/2 || !strings.Contains(err.Error(), "F32[64 64]") {
		t.Errorf("a third weight: %v", err)
	}
	if _, err := d.Load(hostOf(t, quant.F16, 64, 64, w.F32s()), runtime.UseProduct); err != nil {
		t.Errorf("a smaller one: %v", err)
	}
	d.Free(loaded[0].Mem)
	d.Free(loaded[0].Mem)
	if _, err := d.Load(hostOf(t, quant.F16, 64, 64, w.F32s()), runtime.UseProduct); err != nil {
		t.Errorf("after one was freed: %v", err)
	}
	if _, err := d.Load(w, runtime.UseProduct); err == nil {
		t.Error("a weight was freed twice")
	}
}

// TestLoadRows: parts are the rows of one matrix, in whatever type they run.
func TestLoadRows(t *testing.T) {
	const cols, m = 64, 5
	for _, exact := range []bool{true, false} {
		for _, dtype := range []runtime.DType{quant.F32, quant.F16, quant.BF16, quant.Q4_0, quant.Q4_1, quant.Q5_0, quant.Q8_0, quant.F64} {
			d := newDevice(t, Options{Exact: exact})
			var parts []runtime.Tensor
			rows := 0
			for i, n := range []int{32, 7, 70, 1, 64, 0, 11} {
				wide := drawn(t, uint64(i), dtype, n+1, 2*cols)
				parts = append(parts, wide.RowRange(1, n+1).ColRange(0, cols))
				rows += n
			}
			apart, err := d.LoadRows(parts, runtime.UseProduct)
			if err != nil {
				t.Fatal(err)
			}
			whole, err := d.Load(runtime.StackRows(parts), runtime.UseProduct)
			if err != nil {
				t.Fatal(err)
			}
			if apart.Rows != rows || whole.Rows != rows {
				t.Fatalf("%v and %v of %d rows", apart, whole, rows)
			}
			a, b := d.weightOf(&apart), d.weightOf(&whole)
			if a.format != b.format || string(a.panels) != string(b.panels) {
				t.Errorf("%v, exact %v: parts give other panels", dtype, exact)
			}
			x := drawn(t, 99, quant.F32, m, cols)
			got := multiplied(t, d, x, apart)
			want := make([]float64, len(got))
			w := runtime.StackRows(parts).Float().F32s()
			var sum, norm float64
			for i := range want {
				for k := range cols {
					want[i] += float64(x.F32s()[i/rows*cols+k]) * float64(w[i%rows*cols+k])
				}
				sum += (float64(got[i]) - want[i]) * (float64(got[i]) - want[i])
				norm += want[i] * want[i]
			}
			limit := 1e-11
			if !exact {
				limit = 5e-4
			}
			if !(sum <= limit*norm) {
				t.Errorf("%v, exact %v: NMSE %g", dtype, exact, sum/norm)
			}
		}
	}
	d := newDevice(t, Options{})
	for _, parts := range [][]runtime.Tensor{
		{drawn(t, 1, quant.F32, 2, 32), drawn(t, 1, quant.F16, 2, 32)},
		{drawn(t, 1, quant.F32, 2, 32), drawn(t, 1, quant.F32, 2, 33)},
		{drawn(t, 1, quant.F32, 2, 32), runtime.HostTensor(quant.F32, 5, 32, make([]byte, 4))},
	} {
		if _, err := d.LoadRows(parts, runtime.UseProduct); err == nil {
			t.Errorf("%v below %v: no error", parts[1], parts[0])
		}
	}
}

// multiplied is x·wᵀ.
func multiplied(t *testing.T, d *Device, x, w runtime.Tensor) []float32 {
	t.Helper()
	mem, err := d.Alloc(int64(x.Rows) * int64(w.Rows) * 4)
	if err != nil {
		t.Fatal(err)
	}
	in, err := d.Alloc(int64(x.Rows) * int64(x.Cols) * 4)
	if err != nil {
		t.Fatal(err)
	}
	copy(in.Bytes, x.Bytes())
	x.Mem, x.Offset = in, 0
	out := runtime.Tensor{Mem: mem, DType: quant.F32, Rows: x.Rows, Cols: w.Rows, Stride: w.Rows}
	op := &runtime.MatMul{Out: out, X: x, W: w}
	if err := op.Check(); err != nil {
		t.Fatal(err)
	}
	if err := d.Run(op); err != nil {
		t.Fatal(err)
	}
	return out.F32s()
}

// TestBlockProductBits: the bits of a row of a product with blocks depend neither
// on the rows beside it nor on the number of threads, on any path.
func TestBlockProductBits(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, exact := range []bool{false, true} {
		for _, dtype := range []runtime.DType{quant.Q4_0, quant.Q4_1, quant.Q8_0} {
			eachPath(t, Options{Exact: exact, Threads: 2}, func(t *testing.T, two *Device) {
				one := newDevice(t, Options{Exact: exact, Threads: 1, Path: two.k.Path.String()})
				for i := range 4 {
					m, n, k := []int{5, 37, 300, 200}[i], 1+rng.IntN(150), 32*(3+rng.IntN(8))
					if two.k.Path == 0 {
						m, n = min(m, 70), min(n, 40)
					}
					host, x := drawn(t, uint64(i), dtype, n, k), drawn(t, 70+uint64(i), quant.F32, m, k)
					w2, err := two.Load(host, runtime.UseProduct)
					if err != nil {
						t.Fatal(err)
					}
					w1, err := one.Load(host, runtime.UseProduct)
					if err != nil {
						t.Fatal(err)
					}
					all := multiplied(t, two, x, w2)
					if err := differs(multiplied(t, one, x, w1), all); err != nil {
						t.Errorf("%v, %dx%dx%d, one thread: %v", dtype, m, n, k, err)
					}
					for _, height := range []int{1, 2, 3, 5, 33} {
						from := rng.IntN(max(m-height, 1))
						to := min(from+height, m)
						if err := differs(multiplied(t, two, x.RowRange(from, to), w2), all[from*n:to*n]); err != nil {
							t.Errorf("%v, rows %d to %d of %d: %v", dtype, from, to, m, err)
						}
					}
				}
			})
		}
	}
}

func differs(got, want []float32) error {
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			return fmt.Errorf("element %d is %v, not %v", i, got[i], want[i])
		}
	}
	return nil
}

// TestBlockProductNotFinite: a row with NaN or an infinity is not finite, and no
// other is touched.
func TestBlockProductNotFinite(t *testing.T) {
	const m, n, k, bad = 9, 40, 96, 4
	for _, exact := range []bool{false, true} {
		for _, dtype := range []runtime.DType{quant.Q4_0, quant.Q4_1, quant.Q8_0} {
			eachPath(t, Options{Exact: exact}, func(t *testing.T, d *Device) {
				w, err := d.Load(drawn(t, 1, dtype, n, k), runtime.UseProduct)
				if err != nil {
					t.Fatal(err)
				}
				x := drawn(t, 2, quant.F32, m, k)
				clean := append([]float32(nil), multiplied(t, d, x, w)...)
				for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
					x.F32s()[bad*k+37] = float32(v)
					got := multiplied(t, d, x, w)
					for i, y := range got {
						switch finite := !math.IsNaN(float64(y)) && !math.IsInf(float64(y), 0); {
						case i/n == bad && finite && !(exact && !math.IsNaN(v)):
							t.Fatalf("%v: %v in the row gives %v", dtype, v, y)
						case i/n != bad && y != clean[i]:
							t.Fatalf("%v: %v in row %d changes row %d", dtype, v, bad, i/n)
						}
					}
				}
			})
		}
	}
}
