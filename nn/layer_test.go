package nn

// Layers on the reference device: what is stacked against what is not, and
// against sums written as loops.

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-ml/godwit/quant"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/runtime/devicetest"
)

var rng = rand.New(rand.NewPCG(1, 2))

// random is a host matrix of numbers in [-1, 1).
func random(rows, cols int) runtime.Tensor {
	x := make([]float32, rows*cols)
	for i := range x {
		x[i] = 2*rng.Float32() - 1
	}
	return runtime.HostF32(rows, cols, x)
}

// as is a host matrix stored in another type.
func as(t testing.TB, x runtime.Tensor, dtype runtime.DType) runtime.Tensor {
	t.Helper()
	out := runtime.HostTensor(dtype, x.Rows, x.Cols, nil)
	b := runtime.AlignedBytes(int64(x.Rows) * out.RowBytes())
	for i := range x.Rows {
		if err := quant.Encode(b[int64(i)*out.RowBytes():][:out.RowBytes()], x.F32Row(i), dtype); err != nil {
			t.Fatal(err)
		}
	}
	return runtime.HostTensor(dtype, x.Rows, x.Cols, b)
}

func upload(s *runtime.Stream, x runtime.Tensor) runtime.Tensor {
	t := s.Scratch(x.Rows, x.Cols)
	s.UploadF32(t, x.F32s())
	return t
}

func download(t testing.TB, s *runtime.Stream, x runtime.Tensor) []float32 {
	t.Helper()
	out := make([]float32, x.Rows*x.Cols)
	s.DownloadF32(out, x)
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	return out
}

func equal(t testing.TB, got, want []float32, tol float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d values, want %d", len(got), len(want))
	}
	for i := range want {
		if d := math.Abs(float64(got[i]) - float64(want[i])); !(d <= tol) {
			t.Fatalf("element %d is %v, want %v", i, got[i], want[i])
		}
	}
}

// product is x·Wᵀ + b in float64.
func product(x, w, b runtime.Tensor) []float32 {
	w = w.Float()
	var out []float32
	for i := range x.Rows {
		for o := range w.Rows {
			sum := 0.0
			for k, v := range w.F32Row(o) {
				sum += float64(v) * float64(x.F32Row(i)[k])
			}
			if !b.IsZero() {
				sum += float64(b.F32s()[o])
			}
			out = append(out, float32(sum))
		}
	}
	return out
}

func TestTranspose(t *testing.T) {
	if !Transpose(runtime.Tensor{}).IsZero() {
		t.Error("an absent tensor is no longer absent")
	}
	for _, shape := range [][2]int{{1, 1}, {3, 5}, {1, 70}, {70, 1}, {32, 32}, {33, 31}, {65, 100}} {
		for _, dtype := range []runtime.DType{runtime.F32, runtime.F16, runtime.BF16} {
			x := as(t, random(shape[0], shape[1]), dtype)
			y := Transpose(x)
			if y.DType != dtype || y.Rows != x.Cols || y.Cols != x.Rows {
				t.Fatalf("%v becomes %v", x, y)
			}
			a, b := x.Float(), y.Float()
			for i := range a.Rows {
				for j := range a.Cols {
					if a.F32Row(i)[j] != b.F32Row(j)[i] {
						t.Fatalf("%v: element %d %d", x, i, j)
					}
				}
			}
		}
	}
	// A block type loses its blocks, a view its gaps.
	x := as(t, random(3, 64), quant.Q8_0)
	if y := Transpose(x); y.DType != runtime.F32 || y.F32Row(40)[2] != x.Float().F32Row(2)[40] {
		t.Errorf("%v becomes %v", x, y)
	}
	v := random(4, 10)
	y := Transpose(v.ColRange(3, 8))
	if y.Rows != 5 || y.F32Row(1)[2] != v.F32Row(2)[4] {
		t.Errorf("a view becomes %v", y)
	}
}

// TestLinearStacks checks every way that layers of one input come together.
func TestLinearStacks(t *testing.T) {
	const in, rows = 64, 5
	types := [][]runtime.DType{
		{runtime.F32, runtime.F32, runtime.F32},
		{runtime.F32, runtime.F32, runtime.F16},
		{runtime.BF16, runtime.F32, runtime.BF16},
		{quant.Q4_0, quant.Q4_0, quant.Q8_0},
		{quant.Q8_0, quant.Q8_0, quant.Q8_0},
	}
	products := []int{1, 2, 3, 2, 1}
	for k, ts := range types {
		for _, biased := range [][3]bool{{}, {true, true, true}, {true, false, false}} {
			s := stream(t)
			var layers []Dense
			var parts [][]float32
			x := random(rows, in)
			for i, out := range []int{48, 16, 20} { // GQA: q is wider than k and v
				d := Dense{W: as(t, random(out, in), ts[i])}
				if biased[i] {
					d.Bias = random(1, out)
				}
				layers = append(layers, d)
				parts = append(parts, product(x, d.W, d.Bias))
			}
			var want []float32
			for r := range rows {
				for i, out := range []int{48, 16, 20} {
					want = append(want, parts[i][r*out:(r+1)*out]...)
				}
			}
			l := LoadLinear(s, layers...)
			if l.In != in || l.Out != 84 {
				t.Errorf("%v: %d to %d", ts, l.In, l.Out)
			}
			out, ops := s.Scratch(rows, l.Out), s.Ops()
			l.Apply(s, out, upload(s, x), Epilogue{})
			if n := int(s.Ops() - ops); biased[0] == biased[1] && n != products[k] {
				t.Errorf("%v: %d products, want %d", ts, n, products[k])
			}
			equal(t, download(t, s, out), want, 2e-5)

			// The epilogue reaches every part.
			residual := random(rows, l.Out)
			l.Apply(s, out, upload(s, x), Epilogue{Residual: upload(s, residual), Act: runtime.Relu, Alpha: 0.5})
			for i := range want {
				want[i] = residual.F32s()[i] + 0.5*max(want[i], 0)
			}
			equal(t, download(t, s, out), want, 2e-5)
		}
	}
}

func TestEmbeddingHead(t *testing.T) {
	s := stream(t)
	table := as(t, random(7, 32), quant.Q8_0)
	e := LoadEmbedding(s, table, true)
	ids := s.ScratchI32(1, 3)
	s.UploadI32(ids, []int32{6, 0, 6})
	out := s.Scratch(3, 32)
	e.Apply(s, out, ids, false)
	e.Apply(s, out, ids, true)
	got := download(t, s, out)
	for i, id := range []int{6, 0, 6} {
		for j, x := range table.Float().F32Row(id) {
			if got[i*32+j] != 2*x {
				t.Fatalf("row %d: element %d is %v, want twice %v", i, j, got[i*32+j], x)
			}
		}
	}
	x, bias := random(2, 32), random(1, 7)
	plain := e.Head()
	biased := plain.WithBias(s, bias)
	logits := s.Scratch(2, 7)
	biased.Apply(s, logits, upload(s, x), Epilogue{})
	equal(t, download(t, s, logits), product(x, table, bias), 1e-5)
	plain.Apply(s, logits, upload(s, x), Epilogue{}) // WithBias left it alone
	equal(t, download(t, s, logits), product(x, table, runtime.Tensor{}), 1e-5)
}

// uses is a device that notes what weights are loaded for.
type uses struct {
	devicetest.Null
	list []runtime.Use
}

func (d *uses) Load(host runtime.Tensor, use runtime.Use) (runtime.Tensor, error) {
	d.list = append(d.list, use)
	return d.Null.Load(host, use)
}

// TestUses: a device may lay out a weight for how it is read, so it has to be
// told all uses.
func TestUses(t *testing.T) {
	d := &uses{}
	s := runtime.NewStream(d, nil)
	LoadEmbedding(s, random(4, 8), true)
	LoadEmbedding(s, random(4, 8), false)
	LoadLinear(s, Dense{W: random(4, 8), Bias: random(1, 4)})
	LoadGatedMLP(s, Dense{W: random(4, 8)}, Dense{W: random(4, 8)}, Dense{W: random(8, 4)}, runtime.Silu)
	LoadRotary(s, Rope{Theta: 100, Dim: 4}, 8, false)
	want := []runtime.Use{runtime.UseTable | runtime.UseProduct, runtime.UseTable, runtime.UseProduct, runtime.UseVector,
		runtime.UseProduct, runtime.UseProduct, runtime.UseVector, runtime.UseVector}
	if err := s.Err(); err != nil || !slices.Equal(d.list, want) {
		t.Errorf("weights were loaded for %v (%v), want %v", d.list, err, want)
	}
}

// TestMLP runs a gated layer whose gate and up share a product, and one whose
// types differ.
func TestMLP(t *testing.T) {
	const d, inner, rows = 32, 96, 4
	for _, biased := range []bool{false, true} {
		for _, up := range []runtime.DType{runtime.F16, quant.Q8_0} {
			s := stream(t)
			dense := func(out, in int, dtype runtime.DType) Dense {
				l := Dense{W: as(t, random(out, in), dtype)}
				if biased {
					l.Bias = random(1, out)
				}
				return l
			}
			gate, upper, down := dense(inner, d, runtime.F16), dense(inner, d, up), dense(d, inner, runtime.F32)
			m := LoadGatedMLP(s, gate, upper, down, runtime.Silu)
			if fused := !m.gated.IsZero(); fused != (up == runtime.F16) {
				t.Errorf("gate F16, up %v: one product: %v", up, fused)
			}
			x, h := random(rows, d), random(rows, d)
			g, u := product(h, gate.W, gate.Bias), product(h, upper.W, upper.Bias)
			for i := range g {
				v := float64(g[i])
				g[i] = float32(v / (1 + math.Exp(-v)) * float64(u[i]))
			}
			want := product(runtime.HostF32(rows, inner, g), down.W, down.Bias)
			for i := range want {
				want[i] += x.F32s()[i]
			}
			out := upload(s, x)
			m.Apply(&Step{S: s, Tokens: rows}, out, upload(s, h))
			equal(t, download(t, s, out), want, 5e-5)
			apart := s.Scratch(rows, d)
			m.ApplyTo(&Step{S: s, Tokens: rows}, apart, upload(s, x), upload(s, h))
			equal(t, download(t, s, apart), want, 5e-5)
		}
	}
	s := stream(t)
	up, down := Dense{W: random(inner, d), Bias: random(1, inner)}, Dense{W: random(d, inner), Bias: random(1, d)}
	m := LoadMLP(s, up, down, runtime.Relu)
	x := random(rows, d)
	mid := product(x, up.W, up.Bias)
	for i := range mid {
		mid[i] = max(mid[i], 0)
	}
	want := product(runtime.HostF32(rows, inner, mid), down.W, down.Bias)
	for i := range want {
		want[i] += x.F32s()[i]
	}
	out := upload(s, x)
	m.Apply(&Step{S: s, Tokens: rows}, out, out)
	equal(t, download(t, s, out), want, 5e-5)
}

func TestNorm(t *testing.T) {
	s := stream(t)
	x := random(3, 20)
	w, b := random(1, 20), random(1, 20)
	for _, n := range []Norm{
		{Kind: runtime.LayerNorm, Weight: s.LoadWeight(w, runtime.UseVector), Bias: s.LoadWeight(b, runtime.UseVector), Eps: 0.25},
		{Kind: runtime.RMSNorm, Weight: s.LoadWeight(w, runtime.UseVector), Eps: 0.25},
	} {
		out := upload(s, x)
		n.Apply(s, out, out)
		var want []float32
		for i := range x.Rows {
			mean, square := 0.0, 0.0
			for _, v := range x.F32Row(i) {
				mean += float64(v) / 20
			}
			if n.Kind == runtime.RMSNorm {
				mean = 0
			}
			for _, v := range x.F32Row(i) {
				square += (float64(v) - mean) * (float64(v) - mean) / 20
			}
			for j, v := range x.F32Row(i) {
				y := (float64(v) - mean) / math.Sqrt(square+0.25) * float64(w.F32s()[j])
				if n.Kind == runtime.LayerNorm {
					y += float64(b.F32s()[j])
				}
				want = append(want, float32(y))
			}
		}
		equal(t, download(t, s, out), want, 1e-6)
	}
}

// TestAttentionCapture asks for the distributions of one layer of two: they are
// of that layer, sum to one, are zero where masked, and change nothing.
func TestAttentionCapture(t *testing.T) {
	const d, heads, headDim, tokens = 16, 2, 8, 4
	s := stream(t)
	dense := func(out, in int) Dense { return Dense{W: random(out, in)} }
	a := Attention{
		QKV:   LoadLinear(s, dense(heads*headDim, d), dense(headDim, d), dense(headDim, d)),
		Out:   LoadLinear(s, dense(d, heads*headDim)),
		Heads: heads, KVHeads: 1, HeadDim: headDim, Scale: 0.3, Left: runtime.Unlimited,
	}
	x := random(tokens, d)
	step := func(c *Capture) *Step {
		put := func(v ...int32) runtime.Tensor {
			t := s.ScratchI32(1, len(v))
			s.UploadI32(t, v)
			return t
		}
		// Two sequences: three tokens and one.
		return &Step{S: s, Tokens: tokens, QStarts: put(0, 3, 4), KLens: put(3, 1), KStarts: put(0, 3), MaxQ: 3, MaxK: 3, Capture: c}
	}
	plain := upload(s, x)
	a.Apply(step(nil), 1, plain, plain)
	want := download(t, s, plain)

	var layers []int
	var probs []float32
	c := &Capture{
		Wants: func(layer int) bool { return layer == 1 },
		Probs: func(layer int, p runtime.Tensor, maxK int) {
			layers = append(layers, layer)
			if p.Cols != heads*maxK || maxK != 3 {
				t.Errorf("%v for %d keys", p, maxK)
			}
			probs = download(t, s, p)
		},
	}
	for layer := range 2 {
		// What a step before left in the memory must not show.
		stale := s.Mark()
		s.UploadF32(s.Scratch(64, 64), slices.Repeat([]float32{9}, 64*64))
		s.Release(stale)
		out := upload(s, x)
		a.Apply(step(c), layer, out, out)
		if got := download(t, s, out); !slices.Equal(got, want) {
			t.Errorf("layer %d: capture changes the result", layer)
		}
	}
	if !slices.Equal(layers, []int{1}) {
		t.Errorf("layers %v were captured", layers)
	}
	keys := []int{1, 2, 3, 1} // that each token may see
	for i, n := range keys {
		for h := range heads {
			sum := 0.0
			for j, p := range probs[i*heads*3+h*3:][:3] {
				sum += float64(p)
				if j >= n && p != 0 || j < n && p <= 0 {
					t.Errorf("token %d, head %d: key %d has %v", i, h, j, p)
				}
			}
			if math.Abs(sum-1) > 1e-6 {
				t.Errorf("token %d, head %d: sum %v", i, h, sum)
			}
		}
	}
	s.Fail(runtime.ErrUnsupported) // after an error nothing is handed over
	n := len(layers)
	a.Apply(step(c), 1, upload(s, x), upload(s, x))
	if len(layers) != n {
		t.Error("a failed stream hands over distributions")
	}
	if err := s.Err(); err == nil || !strings.Contains(err.Error(), "unsupported") {
		t.Error(err)
	}
}
