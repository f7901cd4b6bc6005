package kernels_test

// The matrix products at sizes that no row of devicetest has: rows that begin at
// multiples of 16 bytes, whole pieces and steps, K without an element; which
// kernel takes what; and that a row's bits are its own.

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-ml/godwit/ci/kernels/measure"
	"github.com/godwit-ml/godwit/kernels"
	"github.com/godwit-ml/godwit/ptx"
	"github.com/godwit-ml/godwit/quant"
	"github.com/godwit-ml/godwit/runtime"
)

// productCase is one product: sizes, and what else it has.
type productCase struct {
	rows, n, k int
	fan        int
	groups     int
	experts    int // 0: no Pick
	gated      bool
	bias       bool
	residual   bool // in place
	act        runtime.Fn
	alpha      float32
	left       int // columns before a view of X, W and Out, and as many after
}

func (c productCase) String() string {
	type fields productCase // without this method
	return strings.ReplaceAll(fmt.Sprintf("%+v", fields(c)), " ", ",")
}

var productCases = []productCase{
	{rows: 1, n: 16, k: 1024},
	{rows: 1, n: 21, k: 1096, bias: true, act: runtime.Gelu},
	{rows: 1, n: 12, k: 512, gated: true, act: runtime.Silu, bias: true, residual: true, alpha: 0.5},
	{rows: 1, n: 24, k: 512, left: 8},
	{rows: 2, n: 9, k: 640, fan: 2, residual: true},
	{rows: 4, n: 16, k: 512, bias: true},
	{rows: 8, n: 16, k: 1024, act: runtime.Tanh},
	{rows: 7, n: 10, k: 768, gated: true, act: runtime.GeluTanh, bias: true, alpha: 3},
	{rows: 16, n: 32, k: 256, groups: 2, residual: true},
	{rows: 13, n: 40, k: 1288, fan: 13},
	{rows: 16, n: 12, k: 512, experts: 5, fan: 2, gated: true, act: runtime.Silu, bias: true, residual: true},
	{rows: 9, n: 16, k: 256, experts: 3, bias: true},
	{rows: 32, n: 64, k: 48},
	{rows: 40, n: 72, k: 40, bias: true, residual: true, act: runtime.Relu, alpha: -2},
	{rows: 33, n: 65, k: 20, left: 4},
	{rows: 140, n: 136, k: 24, act: runtime.Sigmoid, residual: true},
	{rows: 129, n: 70, k: 32, gated: true, act: runtime.Silu, bias: true},
	{rows: 130, n: 264, k: 16, groups: 2, bias: true},
	{rows: 64, n: 128, k: 16, fan: 4, residual: true},
	{rows: 400, n: 72, k: 16, experts: 2, bias: true, residual: true},
	{rows: 300, n: 40, k: 24, experts: 7, fan: 3, gated: true, act: runtime.Gelu, alpha: 2},
	{rows: 5, n: 9, k: 0, bias: true, act: runtime.Sigmoid, residual: true},
	{rows: 20, n: 9, k: 0, experts: 3, bias: true},
}

// products are the kernels of the matrix product, those that ship first.
func products() []*kernels.Kernel {
	return slices.DeleteFunc(every(), func(k *kernels.Kernel) bool { return k.Op != "MatMul" })
}

// productData is a case's operands on the host, and what must come out.
type productData struct {
	c                productCase
	x, w, bias, out  []float32
	pick             []int32
	want             []float64
	wide, xs, ws, ks int // strides of Out, X and W; columns of W
}

// data draws the operands of a case; W's values are F16's.
func (c productCase) data() *productData {
	rng := rand.New(rand.NewPCG(3, uint64(c.rows*c.n+c.k)))
	c.fan, c.groups = max(c.fan, 1), max(c.groups, 1)
	parts, experts := 1, max(c.experts, 1)
	if c.gated {
		parts = 2
	}
	d := &productData{c: c, wide: c.n + 2*c.left, xs: c.k + 2*c.left, ks: c.k / c.groups}
	d.ws = d.ks + 2*c.left
	normal := func(n int) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(rng.NormFloat64()) / 2
		}
		return v
	}
	d.x, d.w, d.out = normal(c.rows/c.fan*d.xs), normal(experts*parts*c.n*d.ws), normal(c.rows*d.wide)
	for i, v := range d.w {
		d.w[i] = quant.FromF16(quant.ToF16(v))
	}
	if c.bias {
		d.bias = normal(experts * parts * c.n)
	}
	if c.experts > 0 {
		for range c.rows {
			d.pick = append(d.pick, int32(rng.IntN(experts+1))-1)
		}
	}
	d.oracle(parts)
	return d
}

// oracle is the formula in float64.
func (d *productData) oracle(parts int) {
	c := d.c
	alpha := float64(c.alpha)
	if alpha == 0 {
		alpha = 1
	}
	for r := range c.rows {
		e := 0
		if d.pick != nil {
			e = int(d.pick[r])
		}
		for j := range c.n {
			v := 0.0
			if c.residual {
				v = float64(d.out[r*d.wide+c.left+j])
			}
			dot := func(j int) float64 {
				sum := 0.0
				x := d.x[r/c.fan*d.xs+c.left+j%c.n/(c.n/c.groups)*d.ks:]
				w := d.w[(e*parts*c.n+j)*d.ws+c.left:]
				for k := range d.ks {
					sum += float64(x[k]) * float64(w[k])
				}
				if c.bias {
					sum += float64(d.bias[e*parts*c.n+j])
				}
				return sum
			}
			if e >= 0 {
				y := alpha * function(c.act, dot(j))
				if c.gated {
					y *= dot(c.n + j)
				}
				v += y
			}
			d.want = append(d.want, v)
		}
	}
}

func function(f runtime.Fn, x float64) float64 {
	switch f {
	case runtime.Relu:
		return max(x, 0)
	case runtime.Gelu:
		return x / 2 * math.Erfc(-x/math.Sqrt2)
	case runtime.GeluTanh:
		return x / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
	case runtime.Silu:
		return x / (1 + math.Exp(-x))
	case runtime.Tanh:
		return math.Tanh(x)
	case runtime.Sigmoid:
		return 1 / (1 + math.Exp(-x))
	}
	return x
}

// uploader makes operands; the first error sticks.
type uploader struct {
	m   *measure.Machine
	err error
}

func (u *uploader) upload(host runtime.Tensor) runtime.Tensor {
	mem, err := u.m.Alloc(max(host.Span(), 4))
	u.err = errors.Join(u.err, err)
	t := host
	t.Mem = mem
	if u.err == nil {
		u.err = u.m.Upload(t, host.Bytes())
	}
	return t
}

// op uploads the operands, of rows from ≤ r < to.
func (d *productData) op(m *measure.Machine, weight runtime.DType, from, to int) (*runtime.MatMul, error) {
	c, u := d.c, uploader{m: m}
	view := func(t runtime.Tensor, cols int) runtime.Tensor { return t.ColRange(c.left, c.left+cols) }
	o := &runtime.MatMul{
		Out: view(u.upload(runtime.HostF32(c.rows, d.wide, d.out)), c.n).RowRange(from, to),
		X:   view(u.upload(runtime.HostF32(c.rows/c.fan, d.xs, d.x)), c.k).RowRange(from/c.fan, to/c.fan),
		Act: c.act, Alpha: c.alpha, Gated: c.gated, Fan: c.fan, Groups: c.groups,
	}
	w := runtime.HostF32(len(d.w)/max(d.ws, 1), d.ws, d.w)
	if d.ws == 0 {
		w.Rows = d.weightRows()
	}
	if weight == runtime.F16 {
		half := make([]byte, 2*len(d.w))
		for i, v := range d.w {
			binary.LittleEndian.PutUint16(half[2*i:], quant.ToF16(v))
		}
		w = runtime.HostTensor(runtime.F16, w.Rows, w.Cols, half)
	}
	o.W = view(u.upload(w), d.ks)
	if c.residual {
		o.Residual = o.Out
	}
	if c.bias {
		o.Bias = u.upload(runtime.HostF32(max(c.experts, 1), len(d.bias)/max(c.experts, 1), d.bias))
	}
	if d.pick != nil {
		o.Pick = u.upload(runtime.HostI32(1, to-from, d.pick[from:to]))
	}
	return o, u.err
}

func (d *productData) weightRows() int {
	n := max(d.c.experts, 1) * d.c.n
	if d.c.gated {
		n *= 2
	}
	return n
}

// run runs a case on one kernel and gives the rows of Out, the columns around
// the view included.
func (d *productData) run(m *measure.Machine, weight runtime.DType, from, to int) ([]float32, error) {
	o, err := d.op(m, weight, from, to)
	if err != nil {
		return nil, err
	}
	if err := m.Run(o); err != nil {
		return nil, err
	}
	whole := o.Out
	whole.Offset -= int64(4 * d.c.left)
	whole.Cols = d.wide
	b := make([]byte, 4*whole.Rows*whole.Cols)
	if err := m.Download(b, whole); err != nil {
		return nil, err
	}
	got := make([]float32, len(b)/4)
	return got, binary.Read(bytes.NewReader(b), binary.LittleEndian, got)
}

// weightOf is the type of weights that a kernel takes.
func weightOf(k *kernels.Kernel) runtime.DType {
	if strings.HasSuffix(k.Entry, "f16") {
		return runtime.F16
	}
	return runtime.F32
}

func TestMatMulSizes(t *testing.T) {
	taken := make([]int, len(productCases))
	for _, mode := range modes(t) {
		for _, k := range products() {
			m, err := measure.NewMachine(k, mode)
			if err != nil {
				t.Fatal(err)
			}
			for i, c := range productCases {
				d := c.data()
				got, err := d.run(m, weightOf(k), 0, c.rows)
				if errors.Is(err, runtime.ErrUnsupported) {
					continue
				}
				taken[i]++
				if err == nil {
					err = d.verify(got)
				}
				if err != nil {
					t.Errorf("%s: %v, mode %+v: %v", k.Entry, c, mode, err)
				}
			}
		}
	}
	for i, n := range taken {
		if n < 2 {
			t.Errorf("%v: %d kernels take it, want one for each type of weights", productCases[i], n)
		}
	}
}

func (d *productData) verify(got []float32) error {
	num, den := 0.0, 0.0
	for i, v := range got {
		row, col := i/d.wide, i%d.wide-d.c.left
		if col < 0 || col >= d.c.n {
			if v != d.out[i] {
				return fmt.Errorf("row %d, column %d beside the view was written", row, col)
			}
			continue
		}
		want := d.want[row*d.c.n+col]
		num += (float64(v) - want) * (float64(v) - want)
		den += want * want
	}
	if !(num <= 1e-12*den) {
		return fmt.Errorf("NMSE %.2g", num/den)
	}
	return nil
}

// TestMatMulRowsAlone is whether a row's bits are the same beside others and
// alone, and in every kernel of its family: the tiles are one, the streaming
// kernels the other.
func TestMatMulRowsAlone(t *testing.T) {
	mode := modes(t)[0]
	cases := []productCase{
		{rows: 12, n: 20, k: 520, fan: 1, bias: true, act: runtime.Gelu, residual: true},
		{rows: 12, n: 20, k: 520, fan: 1, experts: 2, bias: true, gated: true, act: runtime.Silu},
		{rows: 150, n: 20, k: 40, fan: 1, experts: 2},
	}
	for _, c := range cases {
		d := c.data()
		bits := map[string][]float32{} // of a row, by family
		for _, k := range products() {
			if strings.HasPrefix(k.Entry, "lab_") {
				continue
			}
			m, err := measure.NewMachine(k, mode)
			if err != nil {
				t.Fatal(err)
			}
			family := "tiles " + weightOf(k).String()
			if strings.Contains(k.Entry, "_rows") {
				family = "rows " + weightOf(k).String()
			}
			row := slices.IndexFunc(d.pick, func(e int32) bool { return e == 1 }) // of some expert, not the first row
			if d.pick == nil {
				row = 7
			}
			for _, span := range [][2]int{{0, c.rows}, {row, row + 1}, {max(0, row-1), row + 2}} {
				got, err := d.run(m, weightOf(k), span[0], span[1])
				if errors.Is(err, runtime.ErrUnsupported) {
					continue
				}
				if err != nil {
					t.Fatalf("%s: %v: %v", k.Entry, c, err)
				}
				at := (row - span[0]) * d.wide
				got = got[at : at+d.wide]
				if first, ok := bits[family]; ok && !slices.Equal(first, got) {
					t.Errorf("%s: %v: row %d has other bits among rows %d to %d", k.Entry, c, row, span[0], span[1])
				}
				bits[family] = got
			}
		}
		if len(bits) != 4 && c.rows <= 16 || len(bits) < 2 {
			t.Errorf("%v: %d families ran", c, len(bits))
		}
	}
}

// TestMatMulBanks is whether the products are free of bank conflicts, in the
// whole launch: stores are too few to show in the main loop's ratio.
func TestMatMulBanks(t *testing.T) {
	cases := []productCase{{rows: 128, n: 128, k: 64}, {rows: 128, n: 128, k: 64, experts: 2}, {rows: 8, n: 16, k: 2048}, {rows: 1, n: 16, k: 2048}}
	for _, k := range kernels.All {
		if k.Op != "MatMul" {
			continue
		}
		m, err := measure.NewMachine(k, ptx.Config{Count: true})
		if err != nil {
			t.Fatal(err)
		}
		counted := false
		for _, c := range cases {
			d := c.data()
			if _, err := d.run(m, weightOf(k), 0, c.rows); errors.Is(err, runtime.ErrUnsupported) {
				continue
			} else if err != nil {
				t.Fatalf("%s: %v: %v", k.Entry, c, err)
			}
			counted = true
			if got, ideal := m.Counts.Wavefronts(), m.Counts.IdealWavefronts(); float64(got) > 1.01*float64(ideal) {
				// The culprits.
				for _, l := range m.Counts.Lines {
					if l.Wavefronts() > l.IdealWavefronts() {
						t.Logf("%s %s: %d, not %d", l.Source, l.Op, l.Wavefronts(), l.IdealWavefronts())
					}
				}
				t.Errorf("%s: %v: %d wavefronts of shared memory, %d without conflicts", k.Entry, c, got, ideal)
			}
		}
		if !counted {
			t.Errorf("%s: takes none of the sizes", k.Entry)
		}
	}
}

func TestMatMulChoice(t *testing.T) {
	for _, c := range []struct {
		rows, n, k, experts int
		gated               bool
		want                string
	}{
		{1, 4096, 4096, 0, false, "matmul_rows1_f32"},
		{3, 4096, 4096, 0, true, "matmul_rows4_f32"},
		{16, 4096, 4096, 0, false, "matmul_rows8_f32"},
		{17, 4096, 4096, 0, false, "matmul_32x64_f32"},
		{512, 768, 768, 0, false, "matmul_32x64_f32"},
		{512, 3072, 768, 0, false, "matmul_128x128_f32"},
		{512, 2048, 768, 0, true, "matmul_128x128_f32"},
		{8, 768, 768, 4, false, "matmul_rows1_f32"},
		{64, 768, 768, 4, false, "matmul_pick_32x64_f32"},
		{1024, 4096, 768, 8, true, "matmul_pick_128x128_f32"},
	} {
		m := &kernels.Maker{}
		parts := 1
		if c.gated {
			parts = 2
		}
		o := &runtime.MatMul{Out: m.F32(c.rows, c.n), X: m.F32(c.rows, c.k), W: m.F32(max(c.experts, 1)*parts*c.n, c.k), Gated: c.gated}
		if c.experts > 0 {
			o.Pick = m.I32(make([]int32, c.rows)...)
		}
		if err := o.Check(); err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, k := range kernels.All {
			var l kernels.Launch
			if k.Op == "MatMul" && k.Launch(o, &l) == nil {
				got = k.Entry
				break
			}
		}
		if got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}
