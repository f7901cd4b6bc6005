package cpu

// The operations on rows: bits that depend on the row alone, exact searches, no
// allocation, and what they cost.

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/godwit-ml/godwit/quant"
	"github.com/godwit-ml/godwit/runtime"
)

// normals are rows × cols standard normal values in the host's memory.
func normals(rng *rand.Rand, rows, cols int) runtime.Tensor {
	v := make([]float32, rows*cols)
	for i := range v {
		v[i] = float32(rng.NormFloat64())
	}
	return runtime.HostF32(rows, cols, v)
}

func hostInts(v []int32) runtime.Tensor { return runtime.HostI32(1, len(v), v) }

func mustRun(t testing.TB, d runtime.Device, op runtime.Op) {
	t.Helper()
	if err := op.Check(); err != nil {
		t.Fatal(err)
	}
	if err := d.Run(op); err != nil {
		t.Fatal(err)
	}
}

// sameRow compares row i of two tensors.
func sameRow(t *testing.T, what string, i int, got, want runtime.Tensor) {
	t.Helper()
	a, b := got.RowRange(i, i+1).F32s()[:got.Cols], want.RowRange(i, i+1).F32s()[:want.Cols]
	for c := range a {
		if math.Float32bits(a[c]) != math.Float32bits(b[c]) {
			t.Fatalf("%s: row %d, column %d: %g in company, %g alone", what, i, c, a[c], b[c])
		}
	}
}

// TestRowsDoNotDependOnCompany runs operations on many rows and on each alone, in
// operands whose rows lie differently.
func TestRowsDoNotDependOnCompany(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	eachPath(t, Options{Threads: 3}, func(t *testing.T, d *Device) {
		for _, cols := range []int{1, 7, 16, 31, 64, 100, 577, 5001} {
			rows := 1 + rng.IntN(40)
			x, y := normals(rng, rows, cols), normals(rng, rows, cols+5).ColRange(3, cols+3)
			w, b := normals(rng, 1, cols), normals(rng, 1, cols)
			each := func(what string, op func(out, x, y runtime.Tensor) runtime.Op) {
				all := normals(rng, rows, cols)
				mustRun(t, d, op(all, x, y))
				alone := normals(rng, rows, cols+9).ColRange(8, cols+8)
				for i := range rows {
					mustRun(t, d, op(alone.RowRange(i, i+1), x.RowRange(i, i+1), y.RowRange(i, i+1)))
					sameRow(t, fmt.Sprintf("%s of %d columns", what, cols), i, all, alone)
				}
			}
			for kind := runtime.LayerNorm; kind <= runtime.L2Norm; kind++ {
				each("Norm", func(out, x, _ runtime.Tensor) runtime.Op {
					return &runtime.Norm{Out: out, X: x, Weight: w, Bias: b, Kind: kind, Eps: 1e-5}
				})
			}
			for f := runtime.Ident; f <= runtime.Sigmoid; f++ {
				each(f.String(), func(out, x, y runtime.Tensor) runtime.Op {
					return &runtime.Pointwise{Out: out, X: x, Mul: y, Add: b, F: f, In: 0.7, Scale: 1.3}
				})
			}
			each("Combine", func(out, x, y runtime.Tensor) runtime.Op {
				return &runtime.Combine{Out: out, X: x, Weights: y.ColRange(0, 1), Residual: y}
			})
		}
	})
}

// TestPointwiseOfLongRows compares rows that are cut into tasks with the formula.
func TestPointwiseOfLongRows(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 1))
	eachPath(t, Options{Threads: 2}, func(t *testing.T, d *Device) {
		const rows, cols = 3, 2*chunk + 1001
		x, mul, out := normals(rng, rows, cols), normals(rng, rows, cols+1).ColRange(1, cols+1), normals(rng, rows, cols+2).ColRange(2, cols+2)
		for _, addRows := range []int{1, rows} {
			add := normals(rng, addRows, cols)
			mustRun(t, d, &runtime.Pointwise{Out: out, X: x, Mul: mul, Add: add, F: runtime.Tanh, In: 0.5, Scale: 3})
			for r := range rows {
				for c := range cols {
					want := 3*math.Tanh(0.5*float64(x.F32Row(r)[c]))*float64(mul.F32Row(r)[c]) + float64(add.F32Row(r % addRows)[c])
					if got := float64(out.F32Row(r)[c]); math.Abs(got-want) > 2e-6*(1+math.Abs(want)) {
						t.Fatalf("row %d, column %d: %g, want %g", r, c, got, want)
					}
				}
			}
		}
	})
}

// TestEndOfProducts compares what follows a product with the formula, where no two
// operands have the same stride.
func TestEndOfProducts(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 1))
	const rows, n, k, experts = 70, 45, 32, 3
	spaced := func(rows, cols, gap int) runtime.Tensor {
		return normals(rng, rows, cols+gap).ColRange(gap/2, gap/2+cols)
	}
	eachPath(t, Options{Threads: 2, Exact: true}, func(t *testing.T, d *Device) {
		for variant := range 32 {
			bias, residual, gated, pick, scaled := variant&1 > 0, variant&2 > 0, variant&4 > 0, variant&8 > 0, variant&16 > 0
			o := &runtime.MatMul{Out: spaced(rows, n, 3), X: spaced(rows, k, 5), Act: runtime.Fn(variant % 7), Gated: gated}
			parts, matrices := 1, 1
			if gated {
				parts = 2
			}
			if pick {
				matrices = experts
				ids := make([]int32, rows)
				for i := range ids {
					ids[i] = int32(rng.IntN(experts+1)) - 1
				}
				o.Pick = hostInts(ids)
			}
			host := normals(rng, matrices*parts*n, k)
			var err error
			if o.W, err = d.Load(host, runtime.UseProduct); err != nil {
				t.Fatal(err)
			}
			if bias {
				o.Bias = spaced(matrices, parts*n, 2)
			}
			if residual {
				o.Residual = spaced(rows, n, 7)
			}
			if scaled {
				o.Alpha = -0.5
			}
			mustRun(t, d, o)
			for r := range rows {
				e := 0
				if pick {
					e = int(o.Pick.I32s()[r])
				}
				sum := func(c int) (y float64) { // of column c of the matrix
					for i, x := range o.X.F32Row(r) {
						y += float64(x) * float64(host.F32Row(e*parts*n + c)[i])
					}
					if bias {
						y += float64(o.Bias.F32Row(e)[c])
					}
					return y
				}
				for c := range n {
					want := 0.0
					if e >= 0 {
						if want = function(o.Act, sum(c)); scaled {
							want *= -0.5
						}
						if gated {
							want *= sum(n + c)
						}
					}
					if residual {
						want += float64(o.Residual.F32Row(r)[c])
					}
					if got := float64(o.Out.F32Row(r)[c]); math.Abs(got-want) > 2e-5*(1+math.Abs(want)) {
						t.Fatalf("variant %05b, row %d, column %d: %g, want %g", variant, r, c, got, want)
					}
				}
			}
			d.Free(o.W.Mem)
		}
	})
}

// function is an elementwise function by its formula.
func function(f runtime.Fn, x float64) float64 {
	switch f {
	case runtime.Relu:
		return max(x, 0)
	case runtime.Gelu:
		return x / 2 * math.Erfc(-x/math.Sqrt2)
	case runtime.GeluTanh:
		return x / 2 * (1 + math.Tanh(0.79788456080286535588*(x+0.044715*x*x*x)))
	case runtime.Silu:
		return x / (1 + math.Exp(-x))
	case runtime.Tanh:
		return math.Tanh(x)
	case runtime.Sigmoid:
		return 1 / (1 + math.Exp(-x))
	}
	return x
}

// TestNoRows runs operations on nothing.
func TestNoRows(t *testing.T) {
	eachPath(t, Options{Threads: 2}, func(t *testing.T, d *Device) {
		rng := rand.New(rand.NewPCG(9, 1))
		x, none, table := normals(rng, 0, 8), hostInts(nil), normals(rng, 3, 8)
		for _, op := range []runtime.Op{
			&runtime.Gather{Out: x, Table: table, IDs: none},
			&runtime.Norm{Out: x, X: x},
			&runtime.Pointwise{Out: x, X: x},
			&runtime.RoPE{X: x, Cos: table.ColRange(0, 2), Sin: table.ColRange(2, 4), Rows: none, HeadDim: 4},
			&runtime.TopK{Values: x, IDs: none, X: x},
			&runtime.Combine{Out: x, X: x, Weights: normals(rng, 0, 1)},
			&runtime.TopK{Values: normals(rng, 2, 0), IDs: hostInts(nil), X: normals(rng, 2, 20000), LSE: normals(rng, 2, 1)},
		} {
			mustRun(t, d, op)
		}
	})
}

// TestRoPEDoesNotDependOnPosition rotates heads of the same contents wherever
// they stand.
func TestRoPEDoesNotDependOnPosition(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1))
	eachPath(t, Options{Threads: 2}, func(t *testing.T, d *Device) {
		for _, half := range []int{1, 3, 8, 12, 16, 29, 64} {
			headDim := 2*half + rng.IntN(3)
			head := normals(rng, 1, headDim).F32s()
			const heads = 5
			x := normals(rng, 2, heads*headDim)
			for at := 0; at < 2*heads*headDim; at += headDim {
				copy(x.F32s()[at:], head)
			}
			cos, sin := normals(rng, 2, half), normals(rng, 2, half)
			for _, pairs := range []bool{false, true} {
				y := normals(rng, 2, heads*headDim)
				copy(y.F32s(), x.F32s())
				mustRun(t, d, &runtime.RoPE{X: y, Cos: cos, Sin: sin, Rows: hostInts([]int32{1, 1}), HeadDim: headDim, Interleaved: pairs})
				v := y.F32s()
				for at := range v {
					if math.Float32bits(v[at]) != math.Float32bits(v[at%headDim]) {
						t.Fatalf("half %d, pairs %v: element %d of head %d is %g, in the first %g", half, pairs, at%headDim, at/headDim, v[at], v[at%headDim])
					}
				}
				for c := 2 * half; c < headDim; c++ {
					if v[c] != head[c] {
						t.Fatalf("half %d: element %d beyond the rotated changed", half, c)
					}
				}
			}
		}
	})
}

// TestTopKAgrees compares with the reference's heap: ids exactly, sums nearly, and
// both with other numbers of threads exactly.
func TestTopKAgrees(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 1))
	ref := open(t, 1)
	draws := map[string]func(i int) float32{
		"normal":     func(int) float32 { return float32(rng.NormFloat64()) },
		"ties":       func(int) float32 { return float32(rng.IntN(7)) },
		"equal":      func(int) float32 { return 0 },
		"rising":     func(i int) float32 { return float32(i) / 100 },
		"falling":    func(i int) float32 { return -float32(i) / 100 },
		"zeros":      func(int) float32 { return float32(math.Copysign(0, float64(rng.IntN(2))-0.5)) },
		"infinities": func(int) float32 { return float32(math.Inf(2*rng.IntN(2) - 1)) },
		"masked": func(int) float32 {
			if rng.IntN(500) > 0 {
				return float32(math.Inf(-1))
			}
			return float32(rng.NormFloat64())
		},
		"some NaN": func(int) float32 {
			if rng.IntN(100) == 0 {
				return float32(math.NaN())
			}
			return float32(rng.NormFloat64())
		},
		"mostly NaN": func(int) float32 {
			if rng.IntN(20000) > 0 {
				return float32(math.NaN())
			}
			return float32(rng.NormFloat64())
		},
	}
	eachPath(t, Options{Threads: 2}, func(t *testing.T, d *Device) {
		one, err := New(Options{Threads: 1, Path: d.k.Path.String()})
		if err != nil {
			t.Fatal(err)
		}
		defer one.Close()
		for name, draw := range draws {
			for _, n := range []int{1, 40, 513, topPiece, topPiece + 1, 5*topPiece + 77} {
				for _, k := range []int{1, 5, 40, 64, 300} {
					if k > n {
						continue
					}
					const rows = 3
					x := normals(rng, rows, n)
					for i := range x.F32s() {
						x.F32s()[i] = draw(i % n)
					}
					make3 := func() *runtime.TopK {
						return &runtime.TopK{Values: normals(rng, rows, k), IDs: runtime.HostI32(rows, k, make([]int32, rows*k)), X: x, LSE: normals(rng, rows, 1),
							Also: runtime.HostI32(rows, 1, []int32{0, -1, int32(n - 1)}), AlsoValue: runtime.HostF32(rows, 1, []float32{7, 7, 7})}
					}
					want, got, got1 := make3(), make3(), make3()
					mustRun(t, ref, want)
					mustRun(t, d, got)
					mustRun(t, one, got1)
					for i, id := range want.IDs.I32s() {
						if got.IDs.I32s()[i] != id || got1.IDs.I32s()[i] != id {
							t.Fatalf("%s, %d of %d: id %d of row %d is %d, want %d", name, k, n, i%k, i/k, got.IDs.I32s()[i], id)
						}
						if a, b := got.Values.F32s()[i], want.Values.F32s()[i]; a != b && a == a {
							t.Fatalf("%s, %d of %d: value %d is %g, want %g", name, k, n, i, a, b)
						}
					}
					for r := range rows {
						a, b, c := got.LSE.F32s()[r], want.LSE.F32s()[r], got1.LSE.F32s()[r]
						if math.Float32bits(a) != math.Float32bits(c) {
							t.Fatalf("%s of %d: log-sum %g on two threads, %g on one", name, n, a, c)
						}
						if a != b && math.Abs(float64(a-b)) > 2e-6*math.Max(1, math.Abs(float64(b))) && (a == a || b == b) {
							t.Fatalf("%s of %d: log-sum %g, want %g", name, n, a, b)
						}
						if a, b := got.AlsoValue.F32s()[r], want.AlsoValue.F32s()[r]; a != b && a == a {
							t.Fatalf("%s of %d: also %g, want %g", name, n, a, b)
						}
					}
				}
			}
		}
	})
}

// rowOperations are one of each, of a step of so many tokens.
func rowOperations(rng *rand.Rand, tokens, hidden, vocabulary int) map[string]runtime.Op {
	x := func() runtime.Tensor { return normals(rng, tokens, hidden) }
	w := func(n int) runtime.Tensor { return normals(rng, 1, n) }
	ids := hostInts(make([]int32, tokens))
	table := runtime.HostTensor(quant.F16, 64, hidden, make([]byte, 2*64*hidden))
	topk := func(k int) *runtime.TopK {
		return &runtime.TopK{Values: w(k), IDs: runtime.HostI32(1, k, make([]int32, k)), X: w(vocabulary)}
	}
	all := topk(40)
	all.LSE, all.Norm = w(1), runtime.SoftmaxAll
	cos, sin := w(32), w(32)
	for i := range cos.F32s() {
		s, c := math.Sincos(float64(i))
		cos.F32s()[i], sin.F32s()[i] = float32(c), float32(s)
	}
	return map[string]runtime.Op{
		"Gather":      &runtime.Gather{Out: x(), Table: table, IDs: ids, Scale: 2},
		"RMSNorm":     &runtime.Norm{Out: x(), X: x(), Weight: w(hidden), Kind: runtime.RMSNorm, Eps: 1e-5},
		"RMSNorm-64":  &runtime.Norm{Out: x(), X: x(), Weight: w(64), Kind: runtime.RMSNorm, Eps: 1e-5, Groups: hidden / 64},
		"LayerNorm":   &runtime.Norm{Out: x(), X: x(), Weight: w(hidden), Bias: w(hidden), Eps: 1e-5},
		"residual":    &runtime.Pointwise{Out: x(), X: x(), Add: x(), Scale: 0.1},
		"Gelu":        &runtime.Pointwise{Out: x(), X: x(), F: runtime.Gelu},
		"soft-cap":    &runtime.Pointwise{Out: w(vocabulary), X: w(vocabulary), F: runtime.Tanh, In: 1 / 30.0, Scale: 30},
		"RoPE":        &runtime.RoPE{X: x(), Cos: cos, Sin: sin, Rows: ids, HeadDim: 64},
		"RoPE pairs":  &runtime.RoPE{X: x(), Cos: cos, Sin: sin, Rows: ids, HeadDim: 64, Interleaved: true},
		"Combine-8":   &runtime.Combine{Out: x(), X: normals(rng, 8*tokens, hidden), Weights: normals(rng, tokens, 8), Residual: x()},
		"TopK-1":      topk(1),
		"TopK-40":     topk(40),
		"TopK-64":     topk(64),
		"TopK-40-LSE": all,
	}
}

func TestRowOperationsAllocateNothing(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 1))
	eachPath(t, Options{Threads: 2}, func(t *testing.T, d *Device) {
		for name, op := range rowOperations(rng, 9, 128, 40000) {
			mustRun(t, d, op)
			mustRun(t, d, op)
			if n := testing.AllocsPerRun(20, func() { mustRun(t, d, op) }); n > 0 {
				t.Errorf("%s allocates %g times", name, n)
			}
		}
	})
}

// BenchmarkRowOperations reports how many bytes of operands a second go by.
func BenchmarkRowOperations(b *testing.B) {
	rng := rand.New(rand.NewPCG(6, 1))
	for _, threads := range []int{1, 2} {
		d, err := New(Options{Threads: threads})
		if err != nil {
			b.Fatal(err)
		}
		for _, tokens := range []int{1, 256} {
			for name, op := range rowOperations(rng, tokens, 576, 49152) {
				size := int64(0)
				for _, o := range op.Operands(nil) {
					if _, gathers := op.(*runtime.Gather); !gathers || o.Name != "Table" {
						size += int64(o.Tensor.Rows) * o.Tensor.RowBytes()
					}
				}
				b.Run(fmt.Sprintf("%d threads/%d tokens/%s", threads, tokens, name), func(b *testing.B) {
					b.SetBytes(size)
					for b.Loop() {
						if err := d.Run(op); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		}
		if err := d.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
