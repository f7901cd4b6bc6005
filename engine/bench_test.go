package engine

// What a measurement runs is held by a device that writes down every attention.

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/godwit-ml/godwit/model"
	"github.com/godwit-ml/godwit/runtime"
)

// pass is one attention: rows of queries, the most of a sequence, and the most keys.
type pass struct{ Rows, MaxQ, MaxK int }

// watcher writes down the attentions of its device.
type watcher struct {
	runtime.Device
	passes []pass
	topk   int
}

func (w *watcher) Run(op runtime.Op) error {
	switch op := op.(type) {
	case *runtime.Attention:
		w.passes = append(w.passes, pass{op.Q.Rows, op.MaxQ, op.MaxK})
	case *runtime.TopK:
		w.topk += op.IDs.Rows
	}
	return w.Device.Run(op)
}

// watch has the engine's device write down, from the next call on.
func watch(dev *faulty) *watcher {
	w := &watcher{Device: dev.Device}
	dev.Device = w
	return w
}

// times are those of a measurement that goes well.
func times(t *testing.T, e *Engine, b Bench) []time.Duration {
	t.Helper()
	var all []time.Duration
	for d, err := range e.Bench(t.Context(), b) {
		if err != nil {
			t.Fatal(err)
		}
		if d <= 0 {
			t.Errorf("a run took %v", d)
		}
		all = append(all, d)
	}
	if len(all) != b.Repeats+1 {
		t.Fatalf("%d runs, want %d and one to warm up", len(all), b.Repeats)
	}
	return all
}

// TestBenchSteps: depth is in the cache before, tokens are written one by one and
// read in one go, and every run does the same.
func TestBenchSteps(t *testing.T) {
	one := func(n, keys int) (all []pass) { // n tokens one by one, after keys
		for i := range n {
			all = append(all, pass{1, 1, keys + i + 1})
		}
		return all
	}
	for _, row := range []struct {
		name   string
		b      Bench
		budget int
		before []pass // the depth
		run    []pass
		chosen int // in a run
	}{
		{"tg64@d512", Bench{Generate: 64, Depth: 512, Batch: 1}, 512, []pass{{512, 512, 512}}, one(64, 512), 64},
		{"tg4", Bench{Generate: 4, Batch: 1}, 512, nil, one(4, 0), 4},
		{"tg2@d3 b5", Bench{Generate: 2, Depth: 3, Batch: 5}, 512, []pass{{15, 3, 3}}, []pass{{5, 1, 4}, {5, 1, 5}}, 10},
		{"tg2@d20 b3, in chunks", Bench{Generate: 2, Depth: 20, Batch: 3}, 32, []pass{{32, 20, 20}, {28, 20, 20}}, []pass{{3, 1, 21}, {3, 1, 22}}, 6},
		{"tg1 b40, over the budget", Bench{Generate: 1, Batch: 40}, 32, nil, []pass{{40, 1, 1}}, 40},
		{"pp512", Bench{Prompt: 512, Batch: 1}, 512, nil, []pass{{512, 512, 512}}, 1},
		{"pp12@d9", Bench{Prompt: 12, Depth: 9, Batch: 1}, 512, []pass{{9, 9, 9}}, []pass{{12, 12, 21}}, 1},
		{"pp12@d9 b2", Bench{Prompt: 12, Depth: 9, Batch: 2}, 512, []pass{{18, 9, 9}}, []pass{{24, 12, 21}}, 2},
		{"pp12 b2, in chunks", Bench{Prompt: 12, Batch: 2}, 16, nil, []pass{{16, 12, 12}, {8, 8, 12}}, 2},
		{"pp12 b2, steps of its own", Bench{Prompt: 12, Batch: 2, StepTokens: 9}, 512, nil, []pass{{9, 9, 9}, {9, 6, 12}, {6, 6, 12}}, 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			e, dev := newEngine(t, "bloomberg", Config{TokenBudget: row.budget, Context: 600})
			w := watch(dev)
			row.b.Repeats = 2
			times(t, e, row.b)
			layers := e.info.Layers
			want := slices.Concat(row.before, row.run, row.run, row.run)
			var got []pass
			for i := 0; i < len(w.passes); i += layers {
				got = append(got, w.passes[i])
			}
			if diff := cmp.Diff(want, got); diff != "" || len(w.passes) != layers*len(want) {
				t.Errorf("steps:\n%s", diff)
			}
			if w.topk != 3*row.chosen {
				t.Errorf("%d tokens were chosen, want %d a run", w.topk, row.chosen)
			}
		})
	}
}

// TestBenchWrites: what is written is what greedy generation writes after the same
// tokens, in the last run as in the first; so runs begin where they should.
func TestBenchWrites(t *testing.T) {
	for _, name := range []string{"llama", "gpt2", "phi3-longrope", "t5", "bart"} {
		for _, depth := range []int{0, 5, 20, 40} {
			e, _ := newEngine(t, name, Config{BlockSize: 4, Blocks: 128})
			b := Bench{Generate: 24, Depth: depth, Batch: 3, Repeats: 2}
			m := newMeasurement(t.Context(), e, b)
			if err := e.enqueue(m); err != nil {
				t.Fatal(err)
			}
			for range m.times {
				continue
			}
			if m.err != nil {
				t.Fatal(m.err)
			}
			for i, ids := range m.ids {
				prompt := depth + 1
				if limit := e.info.RopeLimit; prompt <= limit && limit < len(ids) {
					prompt = limit + 1 // a measurement rotates for its whole length from the first token on
				}
				if m.sources != nil {
					prompt = 1
				}
				r := greedy(len(ids)-prompt, ids[:prompt])
				if m.sources != nil {
					r.Prompts[0] = m.sources[i]
					if want := max(depth, 1); len(m.sources[i]) != want {
						t.Errorf("%s: a source of %d tokens, want %d", name, len(m.sources[i]), want)
					}
				}
				if got := answers(t, submit(t, e, r)); !slices.Equal(got[0], ids[prompt:]) {
					t.Errorf("%s at depth %d, sequence %d: wrote %v, generation writes %v", name, depth, i, ids[prompt:], got[0])
				}
			}
			if slices.Equal(m.ids[0], m.ids[1]) && m.sources == nil {
				t.Errorf("%s: two sequences are the same: %v", name, m.ids[0])
			}
		}
	}
}

// TestBenchReads: sources of encoders and encoder-decoders, whole, in passes of a size.
func TestBenchReads(t *testing.T) {
	for _, row := range []struct {
		model string
		b     Bench
		want  []pass
	}{
		{"bert-mlm", Bench{Prompt: 10, Batch: 5, StepTokens: 25}, []pass{{20, 10, 10}, {20, 10, 10}, {10, 10, 10}}},
		{"bert-mlm", Bench{Prompt: 10, Batch: 2, StepTokens: 9}, []pass{{10, 10, 10}, {10, 10, 10}}},
		{"bert-mlm", Bench{Prompt: 10, Batch: 5, Pooling: model.PoolFirst}, []pass{{50, 10, 10}}},
		{"t5", Bench{Prompt: 7, Batch: 3, StepTokens: 15}, []pass{{14, 7, 7}, {7, 7, 7}}},
	} {
		e, dev := newEngine(t, row.model, Config{Blocks: 3}) // no more than t5 needs
		w := watch(dev)
		row.b.Repeats = 2
		times(t, e, row.b)
		layers := max(e.info.EncoderLayers, 1)
		if e.info.Kind == model.Encode {
			layers = e.info.Layers
		}
		var got []pass
		for i := 0; i < len(w.passes); i += layers {
			got = append(got, w.passes[i])
		}
		if diff := cmp.Diff(slices.Concat(row.want, row.want, row.want), got); diff != "" || w.topk != 0 {
			t.Errorf("%s, %+v: %d tokens chosen, passes\n%s", row.model, row.b, w.topk, diff)
		}
	}
}

func TestBenchParams(t *testing.T) {
	good := Bench{Prompt: 4, Batch: 1, Repeats: 1}
	for _, row := range []struct {
		model, field string
		change       func(*Bench)
	}{
		{"llama", "", func(*Bench) {}},
		{"llama", "Prompt", func(b *Bench) { b.Prompt = 0 }},
		{"llama", "Prompt", func(b *Bench) { b.Prompt = -1 }},
		{"llama", "Generate", func(b *Bench) { b.Generate = 4 }}, // both
		{"llama", "Depth", func(b *Bench) { b.Depth = -1 }},
		{"llama", "Batch", func(b *Bench) { b.Batch = 0 }},
		{"llama", "StepTokens", func(b *Bench) { b.StepTokens = -1 }},
		{"llama", "Repeats", func(b *Bench) { b.Repeats = 0 }},
		{"llama", "Prompt", func(b *Bench) { b.Prompt, b.Depth = 64, 1 }},
		{"llama", "", func(b *Bench) { b.Prompt, b.Depth = 63, 1 }},
		{"llama", "Generate", func(b *Bench) { b.Prompt, b.Generate = 0, 65 }},
		{"llama", "Batch", func(b *Bench) { b.Prompt, b.Batch = 17, 5 }}, // two blocks each, of nine
		{"llama", "", func(b *Bench) { b.Prompt, b.Batch = 16, 9 }},
		{"bert-mlm", "", func(*Bench) {}},
		{"bert-mlm", "", func(b *Bench) { b.Batch = 100 }}, // no cache
		{"bert-mlm", "Depth", func(b *Bench) { b.Depth = 1 }},
		{"bert-mlm", "Generate", func(b *Bench) { b.Prompt, b.Generate = 0, 1 }},
		{"t5", "Depth", func(b *Bench) { b.Depth = 1 }},
		{"t5", "", func(b *Bench) { b.Prompt, b.Generate, b.Depth = 0, 64, 64 }},
		{"t5", "Generate", func(b *Bench) { b.Prompt, b.Generate, b.Depth = 0, 1, 65 }},
		{"t5", "Batch", func(b *Bench) { b.Prompt, b.Generate, b.Depth, b.Batch = 0, 64, 17, 2 }},
	} {
		e, _ := newEngine(t, row.model, Config{Context: 64, Blocks: 9})
		b := good
		row.change(&b)
		var p *ParamError
		field := ""
		if err := e.CheckBench(b); errors.As(err, &p) {
			field = p.Field
		} else if err != nil {
			t.Error(err)
		}
		if field != row.field {
			t.Errorf("%s, %+v: %q, want %q", row.model, b, field, row.field)
		}
		var err error
		for _, err = range e.Bench(t.Context(), b) {
			if err != nil {
				break
			}
		}
		if (err != nil) != (row.field != "") {
			t.Errorf("%s, %+v: it runs with %v", row.model, b, err)
		}
	}
}

// TestBenchEnds: a reader that has enough, a context, a device that fails, and an
// engine that is closed end a measurement, and nothing is left behind.
func TestBenchEnds(t *testing.T) {
	b := Bench{Generate: 8, Depth: 4, Batch: 2, Repeats: 1000}
	e, dev := newEngine(t, "llama", Config{})
	for _, err := range e.Bench(t.Context(), b) {
		if err != nil {
			t.Fatal(err)
		}
		break
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var err error
	for _, err = range e.Bench(ctx, b) {
		cancel()
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if got := answers(t, submit(t, e, greedy(4, prompts...))); len(got) != len(prompts) {
		t.Errorf("afterwards: %v", got)
	}
	dev.broken = true
	for _, err = range e.Bench(t.Context(), b) {
		continue
	}
	if !errors.Is(err, errBroken) {
		t.Errorf("broken: %v", err)
	}
	e.Close()
	for _, err = range e.Bench(t.Context(), b) {
		continue
	}
	if !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}
