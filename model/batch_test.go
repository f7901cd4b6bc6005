package model_test

// Batches: what Check refuses, what a mask leaves out, and steps that mix
// sequences at different places.

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/godwit-ml/godwit/ci/golden"
	"github.com/godwit-ml/godwit/model"
	"github.com/godwit-ml/godwit/nn"
	"github.com/godwit-ml/godwit/runtime"
)

// forward runs a checked batch and downloads hidden [T, D].
func forward(t testing.TB, m *golden.Model, b *model.Batch, c *model.Cache) []float32 {
	t.Helper()
	m.Stream.Reset()
	if err := b.Check(m.Model.Info(), c); err != nil {
		t.Fatal(err)
	}
	h := m.Model.Forward(m.Stream, b, c)
	out := make([]float32, h.Rows*h.Cols)
	m.Stream.DownloadF32(out, h)
	if err := m.Stream.Sync(); err != nil {
		t.Fatal(err)
	}
	return out
}

// newCache is a cache for the length of a test, full of NaN.
func newCache(t testing.TB, m *golden.Model, dtype runtime.DType, blocks, blockSize int) *model.Cache {
	t.Helper()
	c, err := model.NewCache(m.Stream, m.Model.Info(), dtype, blocks, blockSize)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	for _, layers := range [][]runtime.Tensor{c.K, c.V} {
		for _, x := range layers {
			if err := m.Stream.CacheDevice().Upload(x, slices.Repeat([]byte{0xff}, int(x.Span()))); err != nil {
				t.Fatal(err)
			}
		}
	}
	return c
}

func close32(t testing.TB, what string, got, want []float32, tol float64) {
	t.Helper()
	if d := golden.Compare(got, want); !(d.Max <= tol) {
		t.Errorf("%s: max |diff| %.3g at %d of %d, want at most %.3g", what, d.Max, d.At, len(want), tol)
	}
}

// alone runs one sequence by itself, whole.
func alone(t testing.TB, m *golden.Model, ids []int32) []float32 {
	t.Helper()
	c := newCache(t, m, runtime.F32, 1, len(ids))
	var b model.Batch
	if err := b.AddDecoder(ids, 0, []int32{0}, len(ids)); err != nil {
		t.Fatal(err)
	}
	return forward(t, m, &b, c)
}

func count(n, from int) []int32 {
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32(from + 7*i%41)
	}
	return ids
}

// TestMixedStep puts a decode step, the middle of a prompt, and a whole prompt in
// one batch: each gets what it gets alone, whatever the order of the tables.
func TestMixedStep(t *testing.T) {
	for _, name := range []string{"gpt2", "llama"} {
		m := load(t, folder(name), golden.Options{})
		d := m.Model.Info().Hidden
		seqs := [][]int32{count(13, 3), count(21, 100), count(6, 200), count(9, 5)}
		past := []int{12, 7, 0, 3}
		now := []int{1, 9, 6, 6}
		const size = 4
		for _, order := range [][]int{{0, 1, 2, 3}, {2, 0, 1, 3}, {1, 3, 2, 0}} {
			c := newCache(t, m, runtime.F32, 30, size)
			tables := [][]int32{{29, 3, 17, 8}, {5, 28, 1, 14}, {11, 2}, {20, 0, 9, 7, 6}} // the last longer than needed
			var b model.Batch
			for _, s := range order {
				if past[s] > 0 {
					b.Reset()
					if err := b.AddDecoder(seqs[s][:past[s]], 0, tables[s], size); err != nil {
						t.Fatal(err)
					}
					forward(t, m, &b, c)
				}
			}
			b.Reset()
			for _, s := range order {
				if err := b.AddDecoder(seqs[s][past[s]:past[s]+now[s]], past[s], tables[s], size); err != nil {
					t.Fatal(err)
				}
			}
			got := forward(t, m, &b, c)
			for i, s := range order {
				want := alone(t, m, seqs[s][:past[s]+now[s]])[past[s]*d:]
				close32(t, fmt.Sprintf("%s: order %v: sequence %d", name, order, s), got[int(b.QStarts[i])*d:int(b.QStarts[i+1])*d], want, 2e-5)
			}
		}
	}
}

// TestSkippedSlots: a slot of -1 leaves the cache alone.
func TestSkippedSlots(t *testing.T) {
	m := load(t, folder("llama"), golden.Options{})
	c := newCache(t, m, runtime.F32, 2, 4)
	var b model.Batch
	if err := b.AddDecoder(count(4, 9), 0, []int32{1}, 4); err != nil {
		t.Fatal(err)
	}
	b.Slots[3] = -1
	b.KLens[0], b.QStarts = 4, []int32{0, 4}
	h := forward(t, m, &b, c)
	if !math.IsNaN(float64(h[len(h)-1])) {
		t.Error("the last token saw a key that was not stored")
	}
	for _, x := range h[:3*m.Model.Info().Hidden] {
		if math.IsNaN(float64(x)) {
			t.Fatal("a key that was stored is not there")
		}
	}
}

// TestHole leaves tokens out of encoders: nobody sees them, and the positions of
// the others do not move.
func TestHole(t *testing.T) {
	for _, name := range []string{"bert-mlm", "bert-base"} {
		m := load(t, folder(name), golden.Options{})
		ids, types := count(9, 30), []int32{0, 0, 0, 0, 1, 1, 1, 1, 1}
		mask := []int32{0, 1, 1, 0, 1, 0, 0, 1, 1}
		var holed, manual, moved, shorter model.Batch
		if err := holed.AddEncoder(ids, types, mask); err != nil {
			t.Fatal(err)
		}
		if err := holed.AddEncoder(ids[:3], nil, []int32{1, 1, 0}); err != nil {
			t.Fatal(err)
		}
		got := forward(t, m, &holed, nil)
		if want := []int32{1, 2, 4, 7, 8, 0, 1}; !slices.Equal(holed.Positions, want) {
			t.Fatalf("%s: positions %v, want %v", name, holed.Positions, want)
		}

		manual = model.Batch{
			IDs: []int32{ids[1], ids[2], ids[4], ids[7], ids[8]}, Types: []int32{0, 0, 1, 1, 1}, Positions: []int32{1, 2, 4, 7, 8},
			QStarts: []int32{0, 5}, KLens: []int32{5},
		}
		want := forward(t, m, &manual, nil)
		close32(t, name, got[:len(want)], want, 1e-5)

		if err := moved.AddEncoder(manual.IDs, manual.Types, nil); err != nil {
			t.Fatal(err)
		}
		if d := golden.Compare(forward(t, m, &moved, nil), want); d.Max < 0.01 {
			t.Errorf("%s: positions make no difference", name)
		}
		if err := shorter.AddEncoder(ids[:2], nil, nil); err != nil {
			t.Fatal(err)
		}
		close32(t, name+": a padded sequence", got[len(want):], forward(t, m, &shorter, nil), 1e-5)
	}
}

// TestCaptureChangesNothing compares bits with and without, of each half.
func TestCaptureChangesNothing(t *testing.T) {
	for _, name := range []string{"gpt2", "llama", "bert-mlm"} {
		g := read(t, folder(name))
		m := load(t, folder(name), golden.Options{BlockSize: 4, Chunk: 5})
		p17, err := g.Case("p17")
		if err != nil {
			t.Fatal(err)
		}
		plain := *p17
		plain.Outputs = nil
		want, err := m.Case(g.Kind, &plain)
		if err != nil {
			t.Fatal(err)
		}
		for _, keep := range []string{"hidden.1", "attn.0"} {
			one := *p17
			one.Outputs = map[string]golden.Output{keep: p17.Outputs[keep]}
			got, err := m.Case(g.Kind, &one)
			if err != nil || got[keep] == nil {
				t.Fatalf("%s: no %s (%v)", name, keep, err)
			}
			for o := range want {
				if !slices.Equal(got[o], want[o]) {
					t.Errorf("%s: capturing %s changes %s", name, keep, o)
				}
			}
		}
	}
}

// TestCaptureLayers asks for some layers only.
func TestCaptureLayers(t *testing.T) {
	m := load(t, folder("llama"), golden.Options{})
	c := newCache(t, m, runtime.F32, 2, 8)
	var b model.Batch
	if err := b.AddDecoder(count(10, 4), 0, []int32{1, 0}, 8); err != nil {
		t.Fatal(err)
	}
	var probs, hidden []int
	b.Capture = &nn.Capture{
		Wants:  func(layer int) bool { return layer != 1 },
		Probs:  func(layer int, _ runtime.Tensor, _ int) { probs = append(probs, layer) },
		Hidden: func(layer int, _ runtime.Tensor) { hidden = append(hidden, layer) },
	}
	forward(t, m, &b, c)
	if !slices.Equal(probs, []int{0, 2}) || !slices.Equal(hidden, []int{0, 1, 2, 3}) {
		t.Errorf("distributions of %v, hidden states of %v", probs, hidden)
	}
	if b.Reset(); b.Capture != nil {
		t.Error("Reset keeps the capture")
	}
}

func TestCheck(t *testing.T) {
	decoder := model.Info{Kind: model.Decoder, Vocab: 50, Context: 16}
	encoder := model.Info{Kind: model.Encode, Vocab: 50, Context: 16, Types: 2}
	cache := &model.Cache{Blocks: 6, BlockSize: 4}
	dec := func() *model.Batch {
		b := &model.Batch{}
		for _, err := range []error{b.AddDecoder([]int32{1, 2, 3}, 4, []int32{5, 0}, 4), b.AddDecoder([]int32{49}, 0, []int32{2}, 4)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		return b
	}
	enc := func() *model.Batch {
		b := &model.Batch{}
		for _, err := range []error{b.AddEncoder([]int32{1, 2, 3}, []int32{0, 1, 1}, nil), b.AddEncoder([]int32{49}, nil, nil)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		return b
	}
	if err := dec().Check(decoder, cache); err != nil {
		t.Fatal(err)
	}
	if err := enc().Check(encoder, nil); err != nil {
		t.Fatal(err)
	}
	skip := dec()
	skip.Slots[0] = -1
	if err := skip.Check(decoder, cache); err != nil {
		t.Errorf("a skipped slot: %v", err)
	}
	last := dec()
	last.Positions[2], last.IDs[2], last.Slots[2], last.Blocks[1] = 15, 49, 23, 5
	if err := last.Check(decoder, cache); err != nil {
		t.Errorf("the last of everything: %v", err)
	}

	type change func(b *model.Batch)
	for _, row := range []struct {
		name   string
		in     model.Info
		cache  *model.Cache
		change change
		field  string
		index  int
	}{
		{"no tokens", decoder, cache, func(b *model.Batch) { b.Reset() }, "IDs", -1},
		{"no sequences", decoder, cache, func(b *model.Batch) { b.KLens = nil }, "IDs", -1},
		{"id too large", decoder, cache, func(b *model.Batch) { b.IDs[2] = 50 }, "IDs", 2},
		{"id negative", decoder, cache, func(b *model.Batch) { b.IDs[3] = -1 }, "IDs", 3},
		{"position too large", decoder, cache, func(b *model.Batch) { b.Positions[0] = 16 }, "Positions", 0},
		{"position negative", decoder, cache, func(b *model.Batch) { b.Positions[0] = -1 }, "Positions", 0},
		{"positions missing", decoder, cache, func(b *model.Batch) { b.Positions = b.Positions[:3] }, "Positions", -1},
		{"starts short", decoder, cache, func(b *model.Batch) { b.QStarts = b.QStarts[:2] }, "QStarts", -1},
		{"starts not at 0", decoder, cache, func(b *model.Batch) { b.QStarts[0] = 1 }, "QStarts", -1},
		{"starts end early", decoder, cache, func(b *model.Batch) { b.QStarts[2] = 3 }, "QStarts", -1},
		{"a sequence without tokens", decoder, cache, func(b *model.Batch) { b.QStarts[1] = 4 }, "KLens", 1},
		{"starts going back", decoder, cache, func(b *model.Batch) { b.QStarts[1] = 9 }, "KLens", 0},
		{"fewer keys than queries", decoder, cache, func(b *model.Batch) { b.KLens[0] = 2 }, "KLens", 0},
		{"more keys than the table", decoder, cache, func(b *model.Batch) { b.KLens[0] = 9 }, "KLens", 0},
		{"lengths missing", decoder, cache, func(b *model.Batch) { b.Lengths = b.Lengths[:1] }, "Lengths", -1},
		{"shorter than its keys", decoder, cache, func(b *model.Batch) { b.SetLength(int(b.KLens[1]) - 1) }, "Lengths", 1},
		{"longer than the context", decoder, cache, func(b *model.Batch) { b.Lengths[0] = 17 }, "Lengths", 0},
		{"slots missing", decoder, cache, func(b *model.Batch) { b.Slots = nil }, "Slots", -1},
		{"slot too large", decoder, cache, func(b *model.Batch) { b.Slots[1] = 24 }, "Slots", 1},
		{"slot too small", decoder, cache, func(b *model.Batch) { b.Slots[1] = -2 }, "Slots", 1},
		{"block too large", decoder, cache, func(b *model.Batch) { b.Blocks[1] = 6 }, "Blocks", 1},
		{"block negative", decoder, cache, func(b *model.Batch) { b.Blocks[3] = -1 }, "Blocks", 3},
		{"blocks missing", decoder, cache, func(b *model.Batch) { b.Blocks = b.Blocks[:3] }, "Blocks", -1},
		{"no cache", decoder, nil, func(*model.Batch) {}, "Slots", -1},
		{"types of a decoder", decoder, cache, func(b *model.Batch) { b.Types = []int32{0, 0, 1, 0} }, "Types", 2},
		{"type too large", encoder, nil, func(b *model.Batch) { b.Types[1] = 2 }, "Types", 1},
		{"types missing", encoder, nil, func(b *model.Batch) { b.Types = b.Types[:2] }, "Types", -1},
		{"slots of an encoder", encoder, nil, func(b *model.Batch) { b.Slots = []int32{0, 1, 2, 3} }, "Slots", -1},
		{"keys of an encoder", encoder, nil, func(b *model.Batch) { b.KLens[0] = 4 }, "KLens", 0},
		{"encoder id", encoder, nil, func(b *model.Batch) { b.IDs[0] = 50 }, "IDs", 0},
	} {
		b := dec()
		if row.in.Kind != model.Decoder {
			b = enc()
		}
		row.change(b)
		var err *model.BatchError
		if !errors.As(b.Check(row.in, row.cache), &err) || err.Field != row.field || err.Index != row.index {
			t.Errorf("%s: %v, want an error of %s at %d", row.name, b.Check(row.in, row.cache), row.field, row.index)
		}
	}
}

func TestAdd(t *testing.T) {
	for name, add := range map[string]func(b *model.Batch) error{
		"IDs empty":         func(b *model.Batch) error { return b.AddEncoder(nil, nil, nil) },
		"IDs masked":        func(b *model.Batch) error { return b.AddEncoder([]int32{1, 2}, nil, []int32{0, 0}) },
		"Types length":      func(b *model.Batch) error { return b.AddEncoder([]int32{1, 2}, []int32{0}, nil) },
		"Mask length":       func(b *model.Batch) error { return b.AddEncoder([]int32{1, 2}, nil, []int32{1, 1, 1}) },
		"IDs of a decoder":  func(b *model.Batch) error { return b.AddDecoder(nil, 3, []int32{0}, 4) },
		"Blocks, one short": func(b *model.Batch) error { return b.AddDecoder([]int32{1}, 4, []int32{0}, 4) },
	} {
		var b model.Batch
		var err *model.BatchError
		if !errors.As(add(&b), &err) || err.Field != name[:len(err.Field)] {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Tables of growing width are widened where they lie.
	var b model.Batch
	for i, table := range [][]int32{{1}, {2, 3}, {4, 5, 6}, {7}} {
		if err := b.AddDecoder([]int32{int32(i)}, 0, table, 4); err != nil {
			t.Fatal(err)
		}
	}
	if want := []int32{1, 0, 0, 2, 3, 0, 4, 5, 6, 7, 0, 0}; !slices.Equal(b.Blocks, want) || b.MaxBlocks != 3 {
		t.Errorf("block tables %v of %d, want %v", b.Blocks, b.MaxBlocks, want)
	}
}
