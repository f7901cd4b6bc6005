package cpu

// What devicetest cannot ask of every device: bits that do not depend on
// threads and batches, wrong contents of integer operands, no allocation.

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/godwit-ml/godwit/quant"
	"github.com/godwit-ml/godwit/runtime"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, threads int) *Reference {
	t.Helper()
	d := NewReference(Config{Threads: threads})
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// random is rows × cols standard normal values in memory of d.
func random(t testing.TB, d *Reference, seed uint64, rows, cols int) runtime.Tensor {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	out := empty(t, d, rows, cols)
	v := out.F32s()
	for i := range v {
		v[i] = float32(r.NormFloat64())
	}
	return out
}

func empty(t testing.TB, d *Reference, rows, cols int) runtime.Tensor {
	t.Helper()
	m, err := d.Alloc(int64(rows) * int64(cols) * 4)
	if err != nil {
		t.Fatal(err)
	}
	return runtime.Tensor{Mem: m, DType: runtime.F32, Rows: rows, Cols: cols, Stride: cols}
}

func ints(t testing.TB, d *Reference, v ...int32) runtime.Tensor {
	t.Helper()
	out := empty(t, d, 1, len(v))
	out.DType = runtime.I32
	copy(out.I32s(), v)
	return out
}

func run(t testing.TB, d *Reference, op runtime.Op) {
	t.Helper()
	if err := op.Check(); err != nil {
		t.Fatal(err)
	}
	if err := d.Run(op); err != nil {
		t.Fatal(err)
	}
}

// TestBitsDoNotDependOnCompany runs a product, with and without experts, and an
// attention whose tiles begin at other keys: rows have the same bits alone, in
// a batch, and on any number of threads. K > 64 and many blocks, where gonum's
// own parallel product would change its order.
func TestBitsDoNotDependOnCompany(t *testing.T) {
	const rows, n, k = 300, 203, 197
	var want []float32
	for _, threads := range []int{1, 2, 3, 7} {
		d := open(t, threads)
		x, w := random(t, d, 1, rows, k), random(t, d, 2, n, k)
		out := empty(t, d, rows, n)
		run(t, d, &runtime.MatMul{Out: out, X: x, W: w, Act: runtime.Silu})
		if want == nil {
			want = slices.Clone(out.F32s())
		}
		if !slices.Equal(want, out.F32s()) {
			t.Errorf("a product has other bits on %d threads", threads)
		}
		one := empty(t, d, 1, n)
		for _, r := range []int{0, 63, 64, 299} {
			run(t, d, &runtime.MatMul{Out: one, X: x.RowRange(r, r+1), W: w, Act: runtime.Silu})
			if !slices.Equal(one.F32s(), out.F32Row(r)) {
				t.Errorf("row %d of a product has other bits alone, on %d threads", r, threads)
			}
		}
	}
}

func TestAttentionBitsDoNotDependOnChunks(t *testing.T) {
	const keys, heads, kvHeads, d = 150, 4, 2, 7
	dev := open(t, 2)
	q := random(t, dev, 1, keys, heads*d)
	k, v := random(t, dev, 2, keys, kvHeads*d), random(t, dev, 3, keys, kvHeads*d)
	whole, part := empty(t, dev, keys, heads*d), empty(t, dev, keys, heads*d)
	op := runtime.Attention{Out: whole, Q: q, K: k, V: v, Heads: heads, KVHeads: kvHeads, Scale: 0.3,
		QStarts: ints(t, dev, 0, keys), KLens: ints(t, dev, keys), KStarts: ints(t, dev, 0), Left: 40}
	run(t, dev, &op)
	for _, size := range []int{1, 7, 64, 65} {
		for from := 0; from < keys; from += size {
			to := min(from+size, keys)
			op.Out, op.Q = part.RowRange(from, to), q.RowRange(from, to)
			op.QStarts, op.KLens = ints(t, dev, 0, int32(to-from)), ints(t, dev, int32(to))
			run(t, dev, &op)
		}
		if !slices.Equal(whole.F32s(), part.F32s()) {
			t.Errorf("attention has other bits in chunks of %d", size)
		}
	}
}

// TestIntegersOutside gives each integer operand a value outside its tensor:
// the error names operation, operand and element, and nothing is written.
func TestIntegersOutside(t *testing.T) {
	d := open(t, 2)
	x, out := random(t, d, 1, 2, 8), empty(t, d, 2, 8)
	cache := empty(t, d, 16, 8)
	attention := func(change func(*runtime.Attention)) *runtime.Attention {
		o := &runtime.Attention{Out: out, Q: x, K: cache, V: cache, Heads: 2, KVHeads: 2, BlockSize: 4, Left: -1, Right: -1,
			QStarts: ints(t, d, 0, 2), KLens: ints(t, d, 6), Blocks: ints(t, d, 3, 1), MaxK: 8}
		change(o)
		return o
	}
	contiguous := func(o *runtime.Attention) { o.Blocks, o.KStarts, o.BlockSize = runtime.Tensor{}, ints(t, d, 10), 0 }
	for _, c := range []struct {
		want string
		op   runtime.Op
	}{
		{"Gather.IDs: element 1 is 2,", &runtime.Gather{Out: out, Table: x, IDs: ints(t, d, 0, 2)}},
		{"Gather.IDs: element 0 is -1,", &runtime.Gather{Out: out, Table: x, IDs: ints(t, d, -1, 0)}},
		{"MatMul.Pick: element 1 is 2,", &runtime.MatMul{Out: out, X: x, W: cache, Pick: ints(t, d, 0, 2)}},
		{"MatMul.Pick: element 1 is -2,", &runtime.MatMul{Out: out, X: x, W: cache, Pick: ints(t, d, 0, -2)}},
		{"RoPE.Rows: element 0 is 16,", &runtime.RoPE{X: x, Cos: cache.ColRange(0, 2), Sin: cache.ColRange(2, 4), Rows: ints(t, d, 16, 0), HeadDim: 4}},
		{"StoreKV.Slots: element 1 is 16,", &runtime.StoreKV{K: x, V: x, CacheK: cache, CacheV: cache, Slots: ints(t, d, -1, 16), KVHeads: 2, BlockSize: 4}},
		{"CopyBlocks.Src: element 0 is 4,", &runtime.CopyBlocks{Cache: cache, Src: ints(t, d, 4), Dst: ints(t, d, 0), BlockSize: 4}},
		{"CopyBlocks.Dst: element 0 is -1,", &runtime.CopyBlocks{Cache: cache, Src: ints(t, d, 0), Dst: ints(t, d, -1), BlockSize: 4}},
		{"TopK.Also: element 1 is 8,", &runtime.TopK{Values: out.ColRange(0, 1), IDs: ints(t, d, 0, 0), X: x, Also: ints(t, d, -1, 8).Reshape(2, 1), AlsoValue: out.ColRange(1, 2)}},
		{"Attention.QStarts: element 1 is 3,", attention(func(o *runtime.Attention) { o.QStarts = ints(t, d, 0, 3) })},
		{"Attention.QStarts: element 0 is -1,", attention(func(o *runtime.Attention) { o.QStarts = ints(t, d, -1, 2) })},
		{"Attention.QStarts: element 1 is 0,", attention(func(o *runtime.Attention) { o.QStarts = ints(t, d, 1, 0) })},
		{"Attention.KLens: element 0 is -1,", attention(func(o *runtime.Attention) { o.KLens = ints(t, d, -1) })},
		{"Attention.KLens: element 0 is 9,", attention(func(o *runtime.Attention) { o.KLens = ints(t, d, 9) })},
		{"Attention.KLens: element 0 is 9,", attention(func(o *runtime.Attention) { o.KLens, o.MaxK = ints(t, d, 9), 0 })},
		{"Attention.KLens: element 0 is 6,", attention(func(o *runtime.Attention) { o.KeyBias, o.MaxK = cache.RowRange(0, 2).ColRange(0, 5), 0 })},
		{"Attention.Blocks: element 1 is 4,", attention(func(o *runtime.Attention) { o.Blocks = ints(t, d, 0, 4) })},
		{"Attention.KStarts: element 0 is 11,", attention(func(o *runtime.Attention) { contiguous(o); o.KStarts = ints(t, d, 11) })},
		{"Attention.RelIndex: element 2 is 1,", attention(func(o *runtime.Attention) {
			o.RelIndex, o.RelBias = ints(t, d, 0, 0, 1), cache.RowRange(0, 1).ColRange(0, 2)
		})},
	} {
		if err := c.op.Check(); err != nil {
			t.Errorf("%s: %v", c.want, err)
			continue
		}
		err := d.Run(c.op)
		var named *runtime.OpError
		if !errors.As(err, &named) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want %s", err, c.want)
		}
	}
	for _, v := range append(slices.Clone(out.F32s()), cache.F32s()...) {
		if v != 0 {
			t.Fatal("something was written")
		}
	}
	run(t, d, attention(func(*runtime.Attention) {}))
	run(t, d, attention(contiguous))
}

// TestUnseenBlocksMayBeAnything: a window lets the engine give blocks back, and
// their entries in the table are not read.
func TestUnseenBlocksMayBeAnything(t *testing.T) {
	d := open(t, 1)
	x, cache := random(t, d, 1, 1, 8), random(t, d, 2, 16, 8)
	run(t, d, &runtime.Attention{Out: empty(t, d, 1, 8), Q: x, K: cache, V: cache, Heads: 2, KVHeads: 2, BlockSize: 4, Left: 3,
		QStarts: ints(t, d, 0, 1), KLens: ints(t, d, 12), Blocks: ints(t, d, -7, 99, 1, -1)})
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	d := open(t, 2)
	const rows, c = 70, 64
	x, w, out := random(t, d, 1, rows, c), random(t, d, 2, 2*c, c), empty(t, d, rows, c)
	cache, table := empty(t, d, 128, c), random(t, d, 3, rows, 8)
	var slots, none []int32
	for i := range int32(rows) {
		slots, none = append(slots, i), append(none, i%2)
	}
	at, pick := ints(t, d, slots...), ints(t, d, none...)
	values, ids := empty(t, d, rows, 8), ints(t, d, make([]int32, rows*8)...)
	host := make([]byte, rows*c*4)
	for _, op := range []runtime.Op{
		&runtime.Gather{Out: out, Table: x, IDs: at},
		&runtime.MatMul{Out: out, X: x, W: w, Gated: true, Act: runtime.Gelu},
		&runtime.MatMul{Out: out, X: x, W: w, Pick: pick},
		&runtime.Norm{Out: out, X: x},
		&runtime.Pointwise{Out: out, X: x, F: runtime.Tanh},
		&runtime.RoPE{X: out, Cos: table, Sin: table, Rows: at, HeadDim: 16},
		&runtime.StoreKV{K: x, V: x, CacheK: cache, CacheV: cache, Slots: at, KVHeads: 4, BlockSize: 16},
		&runtime.CopyBlocks{Cache: cache, Src: ints(t, d, 0), Dst: ints(t, d, 3), BlockSize: 16},
		&runtime.Attention{Out: out, Q: x, K: cache, V: cache, Heads: 4, KVHeads: 4, BlockSize: 16, Left: -1,
			QStarts: ints(t, d, 0, rows), KLens: ints(t, d, rows), Blocks: ints(t, d, 0, 1, 2, 3, 4)},
		&runtime.TopK{Values: values, IDs: ids, X: x, Norm: runtime.SoftmaxAll},
		&runtime.Combine{Out: out.RowRange(0, 35), X: x, Weights: table.RowRange(0, 35).ColRange(0, 2)},
	} {
		run(t, d, op) // grows the scratch
		if n := testing.AllocsPerRun(20, func() {
			if err := d.Run(op); err != nil {
				t.Fatal(err)
			}
			if err := d.Upload(x, host); err != nil {
				t.Fatal(err)
			}
			if err := d.Download(host, out); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s allocates %v times", op.Name(), n)
		}
	}
}

func TestLoad(t *testing.T) {
	d := open(t, 2)
	const rows, cols = 37, 64
	values := random(t, d, 1, rows, cols).F32s()
	for _, dtype := range []quant.Type{quant.F32, quant.F16, quant.BF16, quant.F64, quant.Q4_0, quant.Q8_0} {
		raw := make([]byte, 1+dtype.Bytes(rows*cols))
		if err := quant.Encode(raw[1:], values, dtype); err != nil {
			t.Fatal(err)
		}
		want := make([]float32, rows*cols)
		if err := quant.Decode(want, raw[1:], dtype); err != nil {
			t.Fatal(err)
		}
		// Misaligned by one byte, and a view of rows and columns.
		host := runtime.HostTensor(dtype, rows, cols, raw[1:])
		host.Mem.Bytes, host.Offset = raw, 1
		host.Mem.Size = int64(len(raw))
		view := host.RowRange(5, 30).ColRange(32, 64)
		got, err := d.Load(view, runtime.UseProduct)
		if err != nil {
			t.Fatal(err)
		}
		if got.DType != runtime.F32 || got.Mem.Owner != d || got.Mem.Host != nil || !aligned(got) {
			t.Errorf("%v: loaded as %v, of %+v", dtype, got, got.Mem)
		}
		for i := range got.Rows {
			if w := want[(i+5)*cols+32:][:32]; !slices.Equal(got.F32Row(i), w) {
				t.Fatalf("%v: row %d is %v, want %v", dtype, i, got.F32Row(i), w)
			}
		}
	}
	// Aligned F32, and a table of any type, stay where they are.
	still := runtime.HostF32(rows, cols, values)
	if got, err := d.Load(still, runtime.UseProduct); err != nil || &got.F32s()[0] != &values[0] {
		t.Errorf("an aligned F32 weight was copied (%v)", err)
	}
	half := runtime.HostTensor(quant.F16, rows, cols, make([]byte, rows*cols*2))
	if got, err := d.Load(half, runtime.UseTable); err != nil || got.DType != quant.F16 {
		t.Errorf("a table was expanded (%v)", err)
	}
	if got, err := d.Load(half, runtime.UseTable|runtime.UseProduct); err != nil || got.DType != quant.F32 {
		t.Errorf("a tied head was not expanded (%v)", err)
	}
	if _, err := d.Load(runtime.HostTensor(quant.I8, 2, 2, make([]byte, 4)), runtime.UseProduct); !errors.Is(err, runtime.ErrUnsupported) {
		t.Errorf("I8 loaded: %v", err)
	}
	short := runtime.HostTensor(quant.F16, rows, cols, make([]byte, rows*cols*2-1))
	if _, err := d.Load(short, runtime.UseProduct); err == nil {
		t.Error("a tensor beyond its memory loaded")
	}
}

// TestTopKPutsNaNLast, in the order of their ids.
func TestTopKPutsNaNLast(t *testing.T) {
	d := open(t, 1)
	x := empty(t, d, 1, 5)
	nan := float32(math.NaN())
	copy(x.F32s(), []float32{nan, 1, nan, float32(math.Inf(-1)), 2})
	ids := ints(t, d, make([]int32, 5)...)
	run(t, d, &runtime.TopK{Values: empty(t, d, 1, 5), IDs: ids, X: x})
	if want := []int32{4, 1, 3, 0, 2}; !slices.Equal(ids.I32s(), want) {
		t.Errorf("ids %v, want %v", ids.I32s(), want)
	}
}

// TestGeluTail: relative to the value, where 1+erf has lost its digits.
func TestGeluTail(t *testing.T) {
	for _, x := range []float32{-3, -4.5, -6, -9, -12} {
		// The asymptotic series of erfc, to well under a part in 10⁴ at -3.
		z := float64(-x) / math.Sqrt2
		s, term := 1.0, 1.0
		for k := 1; k < int(z*z); k++ {
			term *= -(2*float64(k) - 1) / (2 * z * z)
			s += term
		}
		want := float64(x) / 2 * math.Exp(-z*z) / (z * math.Sqrt(math.Pi)) * s
		if got := float64(gelu(x)); math.Abs(got-want) > 0.02*math.Abs(want) {
			t.Errorf("gelu(%v) = %g, want about %g", x, got, want)
		}
	}
	for _, f := range []runtime.Fn{runtime.Gelu, runtime.GeluTanh, runtime.Silu} {
		v := []float32{-1e30, -1e4, 1e30, float32(math.Inf(1))}
		apply(f, v)
		if v[0] != 0 || v[1] != 0 || v[2] != 1e30 || !math.IsInf(float64(v[3]), 1) {
			t.Errorf("%v far from zero: %v", f, v)
		}
	}
}

func TestClosed(t *testing.T) {
	d := NewReference(Config{Threads: 2})
	if err := errors.Join(d.Close(), d.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Alloc(1); err == nil {
		t.Error("a closed device allocates")
	}
	if err := d.Run(&runtime.Norm{}); err == nil {
		t.Error("a closed device runs")
	}
}

// TestNothingToDo: no tokens, no sequences, no inner dimension.
func TestNothingToDo(t *testing.T) {
	d := open(t, 2)
	x, none := empty(t, d, 0, 8), ints(t, d)
	cache := empty(t, d, 16, 8)
	for _, op := range []runtime.Op{
		&runtime.Gather{Out: x, Table: cache, IDs: none},
		&runtime.MatMul{Out: x, X: empty(t, d, 0, 8), W: random(t, d, 1, 8, 8)},
		&runtime.MatMul{Out: x, X: empty(t, d, 0, 8), W: random(t, d, 1, 24, 8), Pick: none},
		&runtime.Norm{Out: x, X: x},
		&runtime.Pointwise{Out: x, X: x},
		&runtime.RoPE{X: x, Cos: cache.ColRange(0, 2), Sin: cache.ColRange(2, 4), Rows: none, HeadDim: 4},
		&runtime.StoreKV{K: x, V: x, CacheK: cache, CacheV: cache, Slots: none, KVHeads: 2, BlockSize: 4},
		&runtime.CopyBlocks{Cache: cache, Src: none, Dst: none, BlockSize: 4},
		&runtime.Attention{Out: x, Q: empty(t, d, 0, 8), K: cache, V: cache, Heads: 2, KVHeads: 2, QStarts: ints(t, d, 0), KLens: none, KStarts: none},
		&runtime.TopK{Values: x, IDs: none, X: x},
		&runtime.Combine{Out: x, X: empty(t, d, 0, 8), Weights: empty(t, d, 0, 2)},
	} {
		run(t, d, op)
	}
	bias, out := random(t, d, 2, 1, 6), empty(t, d, 70, 6)
	run(t, d, &runtime.MatMul{Out: out, X: empty(t, d, 70, 0), W: empty(t, d, 6, 0), Bias: bias})
	if !slices.Equal(out.F32Row(69), bias.F32s()) {
		t.Error("a product over nothing is not the bias")
	}
	if _, err := d.Load(runtime.HostTensor(quant.F16, 0, 8, nil), runtime.UseProduct); err != nil {
		t.Error(err)
	}
	if err := errors.Join(d.Upload(x, nil), d.Download(nil, x)); err != nil {
		t.Error(err)
	}
}

// TestNaNInQ80 spoils the block it is in and no other slot.
func TestNaNInQ80(t *testing.T) {
	d := open(t, 1)
	m, err := d.Alloc(2 * 2 * 34)
	if err != nil {
		t.Fatal(err)
	}
	cache := runtime.Tensor{Mem: m, DType: quant.Q8_0, Rows: 2, Cols: 64, Stride: 2}
	x := random(t, d, 1, 2, 64)
	x.F32Row(0)[40] = float32(math.Inf(1))
	run(t, d, &runtime.StoreKV{K: x, V: x, CacheK: cache, CacheV: cache, Slots: ints(t, d, 1, 0), KVHeads: 1, BlockSize: 2})
	for slot := range 2 {
		got := cache.RowRange(slot, slot+1).Float().F32s()
		for i, v := range got {
			want := x.F32Row(1 - slot)[i]
			if spoiled := slot == 1 && i >= 32; spoiled != (v != v) || !spoiled && math.Abs(float64(v-want)) > 0.02 {
				t.Fatalf("slot %d, element %d: %v, stored %v", slot, i, v, want)
			}
		}
	}
}

// TestCopiesOfWrongSize are errors, and so are copies of freed memory.
func TestCopiesOfWrongSize(t *testing.T) {
	d := open(t, 1)
	x := empty(t, d, 2, 3)
	for _, n := range []int{0, 23, 25} {
		if d.Upload(x, make([]byte, n)) == nil || d.Download(make([]byte, n), x) == nil {
			t.Errorf("a copy of %d bytes for 24 passed", n)
		}
	}
	if _, err := d.Alloc(-1); err == nil {
		t.Error("less than nothing was allocated")
	}
	d.Free(x.Mem)
	d.Free(nil)
	if d.Upload(x, make([]byte, 24)) == nil {
		t.Error("freed memory was written")
	}
}

// panicking is a job whose last task panics.
type panicking struct{ tasks int }

func (j panicking) task(_ *worker, i int) {
	if i == j.tasks-1 {
		panic("a bug")
	}
}

// TestPanicReachesTheCaller: a bug in a task is a panic of Run's goroutine,
// which a caller may recover from, and the workers go on.
func TestPanicReachesTheCaller(t *testing.T) {
	d := open(t, 3)
	for range 3 {
		func() {
			defer func() {
				if s, _ := recover().(string); !strings.Contains(s, "a bug") || !strings.Contains(s, "panicking") {
					t.Errorf("recovered %q", s)
				}
			}()
			_ = d.pool.run(panicking{50}, 50, 1e9)
			t.Error("no panic")
		}()
	}
	x := random(t, d, 1, 300, 100)
	run(t, d, &runtime.Norm{Out: x, X: x})
}

// TestPiecesStayOnTheirGoroutine: gonum starts goroutines for four blocks or
// more of 64×64, which no fault handler of ours would cover.
func TestPiecesStayOnTheirGoroutine(t *testing.T) {
	const block = 64
	if (tileRows+block-1)/block*((gemmCols+block-1)/block) >= 4 {
		t.Errorf("tiles of %d×%d", tileRows, gemmCols)
	}
}
