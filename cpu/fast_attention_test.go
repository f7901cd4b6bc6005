package cpu

// Attention of the fast device: the bits of a row, whatever it is computed with,
// and its value against loops in float64.

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/godwit-ml/godwit/cpu/simd"
	"github.com/godwit-ml/godwit/quant"
	"github.com/godwit-ml/godwit/runtime"
)

// attended is one sequence with all it needs for attention.
type attended struct {
	heads, kv, d, dv int
	left, right      int
	block            int // 0: contiguous keys
	dtype            runtime.DType
	cap              float32
	slopes, sinks    bool
	rel              bool    // RelIndex and RelBias
	scale            float32 // 0: what softens scores a little
}

func (a attended) String() string {
	s := fmt.Sprintf("%d of %d heads of %d, window %d %d", a.kv, a.heads, a.d, a.left, a.right)
	if a.dv != a.d {
		s += fmt.Sprintf(", values of %d", a.dv)
	}
	if a.block > 0 {
		s += fmt.Sprintf(", %v in blocks of %d", a.dtype, a.block)
	}
	for name, on := range map[string]bool{"cap": a.cap != 0, "slopes": a.slopes, "sinks": a.sinks, "relative": a.rel} {
		if on {
			s += ", " + name
		}
	}
	return s
}

const (
	everything = runtime.Unlimited
	reach      = 20
)

var attendedCases = []attended{
	{heads: 9, kv: 3, d: 64, left: everything, block: 16, dtype: quant.F16},
	{heads: 9, kv: 3, d: 64, left: everything, block: 16, dtype: quant.F32},
	{heads: 4, kv: 1, d: 128, left: everything, block: 16, dtype: quant.BF16},
	{heads: 3, kv: 3, d: 32, left: everything, block: 32, dtype: quant.Q8_0},
	{heads: 4, kv: 2, d: 80, left: everything, block: 16, dtype: quant.Q8_0},
	{heads: 2, kv: 2, d: 80, left: 99, block: 16, dtype: quant.F16},
	{heads: 3, kv: 1, d: 64, left: 299, block: 16, dtype: quant.F16, sinks: true},
	{heads: 2, kv: 1, d: 20, dv: 50, left: everything, block: 16, dtype: quant.F16},
	{heads: 2, kv: 1, d: 20, dv: 36, left: everything, block: 5, dtype: quant.BF16},
	{heads: 4, kv: 2, d: 32, left: 40, block: 3, dtype: quant.Q8_0},
	{heads: 5, kv: 1, d: 64, left: everything, block: 48, dtype: quant.F32, slopes: true},
	{heads: 2, kv: 1, d: 96, left: everything, block: 16, dtype: quant.F16, cap: 3},
	{heads: 4, kv: 4, d: 32, left: everything, right: everything},
	{heads: 3, kv: 1, d: 64, left: 70, right: 300},
	{heads: 2, kv: 1, d: 33, dv: 17, left: everything, slopes: true, cap: 5, sinks: true, rel: true},
	{heads: 2, kv: 1, d: 33, dv: 32, left: everything, block: 16, dtype: quant.F16},
	{heads: 2, kv: 2, d: 48, left: everything, block: 16, dtype: quant.F32, scale: -0.2},
	{heads: 40, kv: 1, d: 16, left: everything, block: 16, dtype: quant.F16},
}

// attentionScene is the operands of an attended, on a device.
type attentionScene struct {
	attended
	op   runtime.Attention
	q    runtime.Tensor
	k, v []float32 // as the cache has them, [tokens][kv·d]
	dev  *Device
	n    int
}

func (a attended) on(t testing.TB, dev *Device, n int) *attentionScene {
	if a.dv == 0 {
		a.dv = a.d
	}
	d := &dev.Reference
	s := &attentionScene{attended: a, dev: dev, n: n}
	s.q = random(t, d, 1, n, a.heads*a.d)
	k, v := random(t, d, 2, n, a.kv*a.d), random(t, d, 3, n, a.kv*a.dv)
	s.op = runtime.Attention{K: k, V: v, Heads: a.heads, KVHeads: a.kv, Scale: float32(1.5 / math.Sqrt(float64(a.d))), Left: a.left, Right: a.right, SoftCap: a.cap}
	if a.scale != 0 {
		s.op.Scale = a.scale
	}
	if a.block == 0 {
		s.op.KStarts = ints(t, d, 0)
	} else {
		s.store(t, d, k, v)
	}
	s.k, s.v = slices.Clone(k.F32s()), slices.Clone(v.F32s())
	for _, x := range []struct {
		v    []float32
		cols int
	}{{s.k, a.kv * a.d}, {s.v, a.kv * a.dv}} {
		if a.block > 0 && a.dtype != quant.F32 {
			b := make([]byte, a.dtype.Bytes(len(x.v)))
			if err := quant.Encode(b, x.v, a.dtype); err != nil {
				t.Fatal(err)
			}
			mustDecode(x.v, b, a.dtype)
		}
	}
	if a.slopes {
		s.op.Slopes = random(t, d, 4, 1, a.heads)
		for i := range s.op.Slopes.F32s() {
			s.op.Slopes.F32s()[i] *= 0.05
		}
	}
	if a.sinks {
		s.op.Sinks = random(t, d, 5, 1, a.heads)
		s.op.Sinks.F32s()[a.heads-1] = float32(math.Inf(-1)) // as if there were none
	}
	if a.rel {
		index := make([]int32, 2*reach+1)
		for i := range index {
			index[i] = int32(i * 7 % 5)
		}
		s.op.RelIndex, s.op.RelBias = ints(t, d, index...), random(t, d, 6, 5, a.heads)
	}
	return s
}

// store puts keys and values into shuffled blocks of a cache of NaN.
func (s *attentionScene) store(t testing.TB, d *Reference, k, v runtime.Tensor) {
	blocks := (s.n + s.block - 1) / s.block
	order := rand.New(rand.NewPCG(7, 8)).Perm(blocks + 2)
	table, slots := make([]int32, blocks), make([]int32, s.n)
	for i := range table {
		table[i] = int32(order[i])
	}
	for i := range slots {
		slots[i] = table[i/s.block]*int32(s.block) + int32(i%s.block)
	}
	cache := func(cols int) runtime.Tensor {
		rows := (blocks + 2) * s.block
		m, err := d.Alloc(int64(s.dtype.Bytes(rows * cols)))
		if err != nil {
			t.Fatal(err)
		}
		for i := range m.Bytes {
			m.Bytes[i] = 0xff
		}
		return runtime.Tensor{Mem: m, DType: s.dtype, Rows: rows, Cols: cols, Stride: cols / s.dtype.BlockSize()}
	}
	s.op.K, s.op.V = cache(s.kv*s.d), cache(s.kv*s.dv)
	s.op.Blocks, s.op.BlockSize = ints(t, d, table...), s.block
	// In pieces, as a prompt in chunks and then decoding store them.
	for from, to := 0, 0; from < s.n; from = to {
		to = min(from+1+from%37*5, s.n)
		s.run(t, &runtime.StoreKV{K: k.RowRange(from, to), V: v.RowRange(from, to), CacheK: s.op.K, CacheV: s.op.V,
			Slots: ints(t, d, slots[from:to]...), KVHeads: s.kv, BlockSize: s.block})
	}
}

func (s *attentionScene) run(t testing.TB, op runtime.Op) {
	t.Helper()
	if err := op.Check(); err != nil {
		t.Fatal(err)
	}
	if err := s.dev.Run(op); err != nil {
		t.Fatal(err)
	}
}

// chunk is the queries from ≤ i < to, attending to the keys before them.
func (s *attentionScene) chunk(t testing.TB, from, to int) runtime.Attention {
	d := &s.dev.Reference
	op := s.op
	op.Q, op.Out = s.q.RowRange(from, to), empty(t, d, to-from, s.heads*s.dv)
	op.QStarts, op.KLens = ints(t, d, 0, int32(to-from)), ints(t, d, int32(to))
	return op
}

// attend is Out of all queries, in chunks. Keys after a chunk are there only if
// queries look ahead.
func (s *attentionScene) attend(t testing.TB, size int) []float32 {
	var out []float32
	for from := 0; from < s.n; from += size {
		op := s.chunk(t, from, min(from+size, s.n))
		s.run(t, &op)
		out = append(out, op.Out.F32s()...)
	}
	return out
}

// oracle is Out in float64.
func (s *attentionScene) oracle(row, h int) []float64 {
	kv := h / (s.heads / s.kv)
	var scores, over []float64
	var seen []int
	for j := range s.n {
		if s.left >= 0 && j < row-s.left || s.right >= 0 && j > row+s.right {
			continue
		}
		x := 0.0
		for i, q := range s.q.F32Row(row)[h*s.d:][:s.d] {
			x += float64(q) * float64(s.k[j*s.kv*s.d+kv*s.d+i])
		}
		x *= float64(s.op.Scale)
		if s.cap != 0 {
			x = float64(s.cap) * math.Tanh(x/float64(s.cap))
		}
		if s.slopes {
			x += float64(s.op.Slopes.F32s()[h]) * float64(j-row)
		}
		if s.rel {
			m := min(max(j-row, -reach), reach) + reach
			x += float64(s.op.RelBias.F32Row(int(s.op.RelIndex.I32s()[m]))[h])
		}
		scores, seen = append(scores, x), append(seen, j)
	}
	over = append(over, scores...)
	if s.sinks {
		over = append(over, float64(s.op.Sinks.F32s()[h]))
	}
	peak, sum := slices.Max(over), 0.0
	for _, x := range over {
		sum += math.Exp(x - peak)
	}
	out := make([]float64, s.dv)
	for i, j := range seen {
		for e := range out {
			out[e] += math.Exp(scores[i]-peak) / sum * float64(s.v[j*s.kv*s.dv+kv*s.dv+e])
		}
	}
	return out
}

func equalBits(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) })
}

func TestAttentionOfTheFastDevice(t *testing.T) {
	const n = 700
	eachPath(t, Options{Threads: 2}, func(t *testing.T, d *Device) {
		for _, a := range attendedCases {
			s := a.on(t, d, n)
			whole := s.attend(t, n)
			worst := 0.0
			for row := 0; row < n; row += 37 {
				for h := range s.heads {
					for e, want := range s.oracle(row, h) {
						worst = max(worst, math.Abs(want-float64(whole[(row*s.heads+h)*s.dv+e])))
					}
				}
			}
			if !(worst <= 4e-6) {
				t.Errorf("%v: %.2g from the values in float64", s.attended, worst)
			}
		}
	})
}

// TestAttentionHasTheBitsOfItsRow runs the same queries in one go, in chunks, one
// by one, in the company of others, and on other numbers of threads.
func TestAttentionHasTheBitsOfItsRow(t *testing.T) {
	eachPath(t, Options{Threads: 1}, func(t *testing.T, one *Device) {
		n := 640 + 13
		if one.k.Path == simd.Portable {
			n = 512 + 13 // it takes its time
		}
		for _, a := range attendedCases {
			s := a.on(t, one, n)
			whole := s.attend(t, n)
			if a.right == 0 {
				for _, size := range []int{1, 7, 512} {
					if !equalBits(whole, s.attend(t, size)) {
						t.Errorf("%v: other bits in chunks of %d", s.attended, size)
					}
				}
			}
			for _, threads := range []int{2, 3} {
				more, err := New(Options{Threads: threads, Path: one.k.Path.String()})
				if err != nil {
					t.Fatal(err)
				}
				m := a.on(t, more, n)
				if !equalBits(whole, m.attend(t, n)) {
					t.Errorf("%v: other bits on %d threads", s.attended, threads)
				}
				last := m.chunk(t, n-1, n)
				m.run(t, &last)
				if !equalBits(whole[len(whole)-len(last.Out.F32s()):], last.Out.F32s()) {
					t.Errorf("%v: other bits alone on %d threads", s.attended, threads)
				}
				if a.right == 0 {
					m.company(t, whole)
					m.shared(t)
				}
				if err := more.Close(); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// company runs decoding steps, a chunk, and prompts of the sequence beside each
// other, with their distributions.
func (s *attentionScene) company(t *testing.T, whole []float32) {
	d := &s.dev.Reference
	parts := [][2]int{{n0, n0 + 1}, {0, 100}, {300, 301}, {90, 90}, {256, 263}, {255, 256}, {1, 2}, {490, s.n}}
	op := s.op
	starts, lens, kStarts, rows := []int32{0}, []int32{}, []int32{}, []int32{}
	var table []int32
	for _, p := range parts {
		for i := p[0]; i < p[1]; i++ {
			rows = append(rows, int32(i))
		}
		starts, lens, kStarts = append(starts, int32(len(rows))), append(lens, int32(p[1])), append(kStarts, 0)
		if s.block > 0 {
			table = append(table, s.op.Blocks.I32s()...)
		}
	}
	op.QStarts, op.KLens = ints(t, d, starts...), ints(t, d, lens...)
	if s.block == 0 {
		op.KStarts = ints(t, d, kStarts...)
	} else {
		op.Blocks = ints(t, d, table...).Reshape(len(parts), len(table)/len(parts))
	}
	const padding = 2
	op.Q, op.Out = empty(t, d, len(rows)+padding, s.heads*s.d), empty(t, d, len(rows)+padding, s.heads*s.dv)
	for i, r := range rows {
		copy(op.Q.F32Row(i), s.q.F32Row(int(r)))
	}
	for _, distributions := range []bool{false, true} {
		if distributions {
			op.Probs = empty(t, d, len(rows)+padding, s.heads*s.n)
		}
		for i := range op.Out.F32s() {
			op.Out.F32s()[i] = -77
		}
		s.run(t, &op)
		for i, r := range rows {
			if !equalBits(op.Out.F32Row(i), whole[int(r)*s.heads*s.dv:][:s.heads*s.dv]) {
				t.Errorf("%v: query %d has other bits in company, distributions: %v", s.attended, r, !op.Probs.IsZero())
				break
			}
		}
		for i := range padding {
			if x := op.Out.F32Row(len(rows) + i); x[0] != -77 || x[len(x)-1] != -77 {
				t.Errorf("%v: padding is written", s.attended)
			}
		}
	}
	s.sums(t, op.Probs, len(rows))
}

// shared runs a decoding step whose spans workers share, again and again, as it
// is a matter of chance who merges: its distribution has to be the same.
func (s *attentionScene) shared(t *testing.T) {
	op := s.chunk(t, s.n-1, s.n)
	var want []float32
	for range 30 {
		op.Probs = empty(t, &s.dev.Reference, 1, s.heads*s.n)
		s.run(t, &op)
		if want == nil {
			want = op.Probs.F32s()
			s.sums(t, op.Probs, 1)
		}
		if !equalBits(want, op.Probs.F32s()) {
			t.Errorf("%v: a decoding step has another distribution another time", s.attended)
			return
		}
	}
}

// TestAttentionForgets runs queries of which some do not see a span that others
// see, where memory for it holds NaN from before.
func TestAttentionForgets(t *testing.T) {
	eachPath(t, Options{Threads: 3}, func(t *testing.T, d *Device) {
		s := attended{heads: 1, kv: 1, d: 32, left: 5}.on(t, d, 300)
		op := s.chunk(t, 245, 275)
		s.run(t, &op)
		want := slices.Clone(op.Out.F32s())
		if len(d.attend.shares) == 0 {
			t.Fatal("no spans are shared")
		}
		for i := range d.attend.partials {
			d.attend.partials[i] = float32(math.NaN())
		}
		s.run(t, &op)
		if !equalBits(want, op.Out.F32s()) {
			t.Error("what was left in memory shows")
		}
	})
}

// n0 is a query in the middle of a span.
const n0 = 400

// sums checks that distributions sum to 1, but for sinks.
func (s *attentionScene) sums(t *testing.T, probs runtime.Tensor, rows int) {
	for i := range rows {
		for h := range s.heads {
			sum := 0.0
			for _, p := range probs.F32Row(i)[h*s.n:][:s.n] {
				sum += float64(p)
			}
			if math.Abs(sum-1) > 1e-5 && !(s.sinks && sum < 1) {
				t.Fatalf("%v: the distribution of row %d, head %d sums to %v", s.attended, i, h, sum)
			}
		}
	}
}

func TestAttentionAllocatesNothing(t *testing.T) {
	eachPath(t, Options{Threads: 2}, func(t *testing.T, d *Device) {
		for _, a := range attendedCases {
			const n = 600
			s := a.on(t, d, n)
			step, prompt := s.chunk(t, n-1, n), s.chunk(t, n-200, n)
			for _, op := range []*runtime.Attention{&step, &prompt} {
				s.run(t, op)
				if got := testing.AllocsPerRun(3, func() { s.run(t, op) }); got > 0 {
					t.Errorf("%v: %v allocations for %d queries", s.attended, got, op.Q.Rows)
				}
			}
		}
	})
}
