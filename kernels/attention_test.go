package kernels_test

// Attention at sizes of heads that no row of devicetest has, and what a
// sequence's bits depend on; and the bytes of a cache.

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/godwit-ml/godwit/cpu"
	"github.com/godwit-ml/godwit/cuda"
	"github.com/godwit-ml/godwit/kernels"
	"github.com/godwit-ml/godwit/ptx"
	"github.com/godwit-ml/godwit/quant"
	"github.com/godwit-ml/godwit/runtime"
)

// attentionCase is a step of attention.
type attentionCase struct {
	heads, kv, d, dv int
	seqs             [][2]int      // queries and keys
	left, right      int           //
	block            int           // 0: contiguous keys
	dtype            runtime.DType // of the cache
	cap              float32
	features         string // of "slopes keys rel qrel sinks probs views"
}

func (c attentionCase) has(feature string) bool {
	return bytes.Contains([]byte(" "+c.features+" "), []byte(" "+feature+" "))
}

func (c attentionCase) String() string {
	return fmt.Sprintf("%d·%d on %d·%d, %v, window %d %d, blocks of %d %v, cap %g %s", c.heads, c.d, c.kv, c.dv, c.seqs, c.left, c.right, c.block, c.dtype, c.cap, c.features)
}

var (
	someSeqs = [][2]int{{1, 70}, {2, 33}, {40, 75}, {0, 0}, {3, 0}, {9, 4}, {1, 1}}
	longSeqs = [][2]int{{1, 200}, {70, 140}}
)

const all = runtime.Unlimited

var attentionCases = []attentionCase{
	{heads: 4, kv: 2, d: 64, dv: 64, seqs: someSeqs, left: all, dtype: runtime.F32},
	{heads: 4, kv: 1, d: 36, dv: 52, seqs: longSeqs, left: 40, block: 16, dtype: runtime.F16, features: "slopes"},
	{heads: 2, kv: 2, d: 64, dv: 32, seqs: longSeqs, left: all, right: all, block: 3, dtype: runtime.Q8_0, features: "sinks"},
	{heads: 4, kv: 2, d: 80, dv: 112, seqs: someSeqs, left: all, right: all, dtype: runtime.F32, cap: 3, features: "rel qrel"},
	{heads: 4, kv: 2, d: 128, dv: 96, seqs: someSeqs, left: 20, block: 16, dtype: runtime.F16, features: "slopes sinks"},
	{heads: 8, kv: 1, d: 96, dv: 128, seqs: longSeqs, left: all, block: 5, dtype: runtime.BF16, features: "keys"},
	{heads: 2, kv: 1, d: 128, dv: 128, seqs: longSeqs, left: 16, right: 16, block: 16, dtype: runtime.Q8_0},
	{heads: 3, kv: 1, d: 71, dv: 99, seqs: someSeqs, left: all, dtype: runtime.F32, cap: 2, features: "slopes keys rel sinks"},
	{heads: 3, kv: 3, d: 128, dv: 128, seqs: someSeqs, left: all, dtype: runtime.F32, features: "views"},
	{heads: 4, kv: 2, d: 160, dv: 224, seqs: someSeqs, left: all, right: 2, dtype: runtime.F32, cap: 4, features: "slopes rel qrel sinks"},
	{heads: 4, kv: 1, d: 256, dv: 256, seqs: longSeqs, left: 30, block: 16, dtype: runtime.F16},
	{heads: 2, kv: 1, d: 256, dv: 192, seqs: longSeqs, left: all, block: 4, dtype: runtime.BF16, features: "keys sinks"},
	{heads: 2, kv: 2, d: 192, dv: 256, seqs: someSeqs, left: all, block: 7, dtype: runtime.Q8_0},
	{heads: 2, kv: 1, d: 131, dv: 203, seqs: longSeqs, left: all, dtype: runtime.F32, features: "views"},
	{heads: 4, kv: 2, d: 128, dv: 128, seqs: someSeqs, left: 24, right: 3, dtype: runtime.F32, features: "probs slopes sinks"},
	{heads: 2, kv: 1, d: 256, dv: 200, seqs: someSeqs, left: all, block: 16, dtype: runtime.F16, features: "probs"},
}

// build makes the operations of the case: StoreKV for a cache, then Attention.
func (c attentionCase) build(m *kernels.Maker) []runtime.Op {
	starts, lens, kStarts, longest, most, rows := []int32{0}, []int32{}, []int32{}, 0, 0, 0
	for _, s := range c.seqs {
		kStarts = append(kStarts, int32(rows))
		starts, lens = append(starts, starts[len(starts)-1]+int32(s[0])), append(lens, int32(s[1]))
		longest, most, rows = max(longest, s[1]), max(most, s[0]), rows+s[1]
	}
	tokens := int(starts[len(starts)-1]) + 1 // one of padding
	f32 := func(rows, cols int) runtime.Tensor {
		if c.has("views") {
			return m.F32(rows, cols+6).ColRange(1, 1+cols)
		}
		return m.F32(rows, cols)
	}
	k, v := f32(rows, c.kv*c.d), f32(rows, c.kv*c.dv)
	o := &runtime.Attention{
		Out: m.Zeros(runtime.F32, tokens, c.heads*c.dv), Q: f32(tokens, c.heads*c.d), K: k, V: v, Heads: c.heads, KVHeads: c.kv,
		Scale: float32(3 / math.Sqrt(float64(c.d))), QStarts: m.I32(starts...), KLens: m.I32(lens...), MaxQ: most, MaxK: longest, Left: c.left, Right: c.right, SoftCap: c.cap,
	}
	ops := []runtime.Op{o}
	if c.block == 0 {
		o.KStarts = m.I32(kStarts...)
	} else {
		ops = append([]runtime.Op{c.page(m, o, longest)}, ops...)
	}
	const buckets, reach = 7, 9
	if c.has("slopes") {
		o.Slopes = f32(1, c.heads)
	}
	if c.has("sinks") {
		o.Sinks = f32(1, c.heads)
	}
	if c.has("keys") {
		o.KeyBias = f32(c.heads, longest)
	}
	if c.has("rel") {
		o.RelBias = f32(buckets, c.heads)
	}
	if c.has("qrel") {
		o.QRel, o.KRel = f32(tokens, c.heads*buckets), f32(rows, c.heads*buckets)
	}
	if c.has("rel") || c.has("qrel") {
		index := make([]int32, 2*reach+1)
		for i := range index {
			index[i] = int32(i * 5 % buckets)
		}
		o.RelIndex = m.I32(index...)
	}
	if c.has("probs") {
		o.Probs = m.Zeros(runtime.F32, tokens, c.heads*(longest+1))
	}
	return ops
}

// page gives o a cache, with blocks in descending order, a spare one between each
// two, and no sense in the table beyond them.
func (c attentionCase) page(m *kernels.Maker, o *runtime.Attention, longest int) runtime.Op {
	width := (longest+c.block-1)/c.block + 1
	table, slots := make([]int32, len(c.seqs)*width), []int32{}
	next := int32(2 * len(table))
	for n, s := range c.seqs {
		for b := range width {
			table[n*width+b] = math.MaxInt32
			if b*c.block < s[1] {
				next -= 2
				table[n*width+b] = next
			}
		}
		for j := range s[1] {
			slots = append(slots, table[n*width+j/c.block]*int32(c.block)+int32(j%c.block))
		}
	}
	o.Blocks, o.BlockSize = m.I32(table...), c.block
	o.Blocks.Rows, o.Blocks.Cols, o.Blocks.Stride = len(c.seqs), width, width
	store := &runtime.StoreKV{K: o.K, V: o.V, Slots: m.I32(slots...), KVHeads: c.kv, BlockSize: c.block}
	total := 2 * len(table) * c.block
	store.CacheK, store.CacheV = m.Zeros(c.dtype, total, c.kv*c.d), m.Zeros(c.dtype, total, c.kv*c.dv)
	o.K, o.V = store.CacheK, store.CacheV
	return store
}

// attend runs operations and gives Out and Probs of the last.
func attend(t *testing.T, dev runtime.Device, ops []runtime.Op) []float32 {
	t.Helper()
	for _, op := range ops {
		if err := op.Check(); err != nil {
			t.Fatal(err)
		}
		if err := dev.Run(op); err != nil {
			t.Fatal(err)
		}
	}
	o := ops[len(ops)-1].(*runtime.Attention)
	var got []float32
	for _, x := range []runtime.Tensor{o.Out, o.Probs} {
		if !x.IsZero() {
			got = append(got, fetch(t, dev, x)...)
		}
	}
	return got
}

// fetch downloads an F32 tensor and waits for it.
func fetch(t *testing.T, dev runtime.Device, x runtime.Tensor) []float32 {
	t.Helper()
	b := make([]byte, int64(x.Rows)*x.RowBytes())
	if err := errors.Join(dev.Download(b, x), dev.Sync()); err != nil {
		t.Fatal(err)
	}
	v := make([]float32, len(b)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return v
}

// attentionDevice is a device of the kernels of attention.
func attentionDevice(t *testing.T, mode ptx.Config) *cuda.Device {
	t.Helper()
	dev, err := cuda.NewPTX(cuda.Config{Mode: bounded(mode), Staging: staging})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := dev.Close(); err != nil {
			t.Error(err)
		}
	})
	return dev
}

func TestAttentionSizes(t *testing.T) {
	for _, c := range attentionCases {
		t.Run(c.String(), func(t *testing.T) {
			t.Parallel()
			ref := cpu.NewReference(cpu.Config{Threads: 1})
			defer ref.Close()
			made := &kernels.Maker{Device: ref}
			want := attend(t, ref, c.build(made))
			if made.Err != nil {
				t.Fatal(made.Err)
			}
			for _, mode := range modes(t) {
				dev := attentionDevice(t, mode)
				m := &kernels.Maker{Device: dev}
				got := attend(t, dev, c.build(m))
				if m.Err != nil {
					t.Fatal(m.Err)
				}
				num, den := 0.0, 0.0
				for i, x := range want {
					d := float64(got[i]) - float64(x)
					num, den = num+d*d, den+float64(x)*float64(x)
				}
				if e := num / den; !(e <= 1e-11) { // not so for NaN
					t.Errorf("NMSE %.2g against the reference\nmode %+v", e, mode)
				}
			}
		})
	}
}

// TestAttentionCompany is whether a sequence's bits are the same alone, beside
// others, and beside one that is NaN; and whatever MaxQ says, which decides
// nothing but the grid.
func TestAttentionCompany(t *testing.T) {
	t.Parallel()
	for _, c := range []attentionCase{
		{heads: 4, kv: 2, d: 64, dv: 64, left: all, dtype: runtime.F32},
		{heads: 4, kv: 4, d: 128, dv: 64, left: 50, dtype: runtime.F32, features: "slopes"},
		{heads: 2, kv: 1, d: 160, dv: 256, left: all, right: all, dtype: runtime.F32},
	} {
		dev := attentionDevice(t, modes(t)[0])
		c.seqs = [][2]int{{1, 150}, {70, 130}, {4, 66}}
		build := func() *runtime.Attention {
			return c.build(&kernels.Maker{Device: dev})[0].(*runtime.Attention)
		}
		whole := build()
		want := attend(t, dev, []runtime.Op{whole})
		row, keys := 0, int32(0)
		for n, s := range c.seqs {
			alone := build()
			m := &kernels.Maker{Device: dev}
			alone.QStarts, alone.KLens, alone.KStarts = m.I32(int32(row), int32(row+s[0])), m.I32(int32(s[1])), m.I32(keys)
			nan := build()
			poison(t, dev, nan, row, s[0], int(keys), s[1])
			wide := build()
			wide.MaxQ += 65
			for what, o := range map[string]*runtime.Attention{"alone": alone, "beside NaN": nan, "with a larger MaxQ": wide} {
				got := attend(t, dev, []runtime.Op{o})
				for i := row * o.Out.Cols; i < (row+s[0])*o.Out.Cols; i++ {
					if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
						t.Errorf("%v: sequence %d, %s: element %d is %v, not %v", c, n, what, i, got[i], want[i])
						break
					}
				}
			}
			row, keys = row+s[0], keys+int32(s[1])
		}
	}
}

// poison makes all rows of Q, K and V but those of one sequence NaN.
func poison(t *testing.T, dev runtime.Device, o *runtime.Attention, row, queries, key, keys int) {
	t.Helper()
	for _, p := range []struct {
		x       runtime.Tensor
		from, n int
	}{{o.Q, row, queries}, {o.K, key, keys}, {o.V, key, keys}} {
		for i := range p.x.Rows {
			if i >= p.from && i < p.from+p.n {
				continue
			}
			b := bytes.Repeat([]byte{0xff}, int(p.x.RowBytes()))
			if err := dev.Upload(p.x.RowRange(i, i+1), b); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := dev.Sync(); err != nil {
		t.Fatal(err)
	}
}

// TestFutureNaN is whether a NaN among the values of a key stays in the rows
// that see it, where the others share its tile, and its warp.
func TestFutureNaN(t *testing.T) {
	t.Parallel()
	for _, s := range [][2]int{{4, 40}, {30, 70}} { // few rows; a tile
		c := attentionCase{heads: 2, kv: 2, d: 64, dv: 64, seqs: [][2]int{s}, left: 8, dtype: runtime.F32}
		dev := attentionDevice(t, modes(t)[0])
		o := c.build(&kernels.Maker{Device: dev})[0].(*runtime.Attention)
		want := attend(t, dev, []runtime.Op{o})
		bad := s[1] - 2 // seen by the last two queries
		if err := dev.Upload(o.V.RowRange(bad, bad+1), bytes.Repeat([]byte{0xff}, int(o.V.RowBytes()))); err != nil {
			t.Fatal(err)
		}
		got := attend(t, dev, []runtime.Op{o})
		for i := range s[0] * o.Out.Cols {
			sees := i/o.Out.Cols >= s[0]-2
			if x := got[i]; sees != (x != x) || !sees && x != want[i] {
				t.Fatalf("%v: row %d: %v, before it was %v", c, i/o.Out.Cols, x, want[i])
			}
		}
	}
}

// TestCacheQ80 is whether StoreKV encodes as package quant does, in its own
// layout: the elements of a row, then the scales.
func TestCacheQ80(t *testing.T) {
	t.Parallel()
	const rows, columns = 6, 96
	rng := rand.New(rand.NewPCG(3, 4))
	x := make([]float32, rows*columns)
	for i := range x {
		x[i] = float32(rng.NormFloat64() * math.Exp2(float64(rng.IntN(40)-20)))
	}
	copy(x, []float32{127, 0.5, -0.5, 2.5, -63.5, 0.49999997, 1.5}) // ties, with a scale of 1
	clear(x[7:32])
	clear(x[32:64]) // a block of zeros
	for i := range 32 {
		x[64+i] = math.Float32frombits(uint32(i)) // so small that 1/d is infinite
	}
	x[columns+5], x[columns+40] = float32(math.NaN()), float32(math.Inf(-1))
	x[columns+70] = 1e8 // no scale for it in binary16
	x[2*columns], x[2*columns+1] = -127, 63.5
	clear(x[2*columns+2 : 2*columns+32])
	for _, mode := range modes(t) {
		dev := attentionDevice(t, mode)
		m := &kernels.Maker{Device: dev}
		k := m.F32(rows, columns)
		if err := dev.Upload(k, runtime.HostF32(rows, columns, x).Bytes()); err != nil {
			t.Fatal(err)
		}
		cacheK, cacheV := m.Zeros(runtime.Q8_0, 8, columns), m.Zeros(runtime.Q8_0, 8, columns)
		op := &runtime.StoreKV{K: k, V: k, CacheK: cacheK, CacheV: cacheV, Slots: m.I32(7, 1, -1, 0, 3, 6), KVHeads: 1, BlockSize: 4}
		if err := op.Check(); err != nil {
			t.Fatal(err)
		}
		if err := dev.Run(op); err != nil {
			t.Fatal(err)
		}
		row := int(cacheK.RowBytes())
		want := make([]byte, 8*row)
		for i, slot := range []int{7, 1, -1, 0, 3, 6} {
			if slot >= 0 {
				encodeQ80(want[slot*row:][:row], x[i*columns:][:columns])
			}
		}
		for name, c := range map[string]runtime.Tensor{"K": cacheK, "V": cacheV} {
			got := make([]byte, 8*row)
			if err := dev.Download(got, c); err != nil {
				t.Fatal(err)
			}
			if err := dev.Sync(); err != nil {
				t.Fatal(err)
			}
			for i := range got {
				if got[i] != want[i] {
					t.Fatalf("%s: slot %d, byte %d is %d, want %d\nmode %+v", name, i/row, i%row, got[i], want[i], mode)
				}
			}
		}
	}
}

// encodeQ80 is a row of the device's layout.
func encodeQ80(dst []byte, x []float32) {
	for b := range len(x) / 32 {
		block := make([]byte, 34)
		if quant.Encode(block, x[b*32:][:32], quant.Q8_0) != nil {
			clear(block)
			binary.LittleEndian.PutUint16(block, 0x7e00)
		}
		copy(dst[b*32:], block[2:])
		copy(dst[len(x)+2*b:], block[:2])
	}
}
