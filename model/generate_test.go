package model_test

// Generations of the checkpoints, through the engine: greedy, penalised, by
// beams, in batches. One wrong row of the cache changes ids.

import (
	"math"
	"slices"
	"testing"

	"github.com/godwit-ml/godwit/ci/golden"
)

func TestGenerate(t *testing.T) {
	for _, name := range checkpoints {
		g := read(t, folder(name))
		if len(g.Generate) == 0 {
			continue
		}
		for _, opt := range []golden.Options{{}, {Chunk: 4, BlockSize: 3}} {
			m := load(t, folder(name), opt)
			for i := range g.Generate {
				gen := &g.Generate[i]
				got, err := m.Generate(t.Context(), g, gen)
				if err != nil {
					t.Errorf("%s %s: %v", name, gen.Name, err)
					continue
				}
				if !slices.EqualFunc(got.IDs, gen.OutputIDs, slices.Equal[[]int32]) {
					t.Errorf("%s %s, chunks of %d: ids\n%v, want\n%v", name, gen.Name, opt.Chunk, got.IDs, gen.OutputIDs)
				}
				for k, want := range gen.Scores {
					if k >= len(got.Scores) || math.Abs(got.Scores[k]-want) > 1e-3 {
						t.Errorf("%s %s: scores %v, want %v", name, gen.Name, got.Scores, gen.Scores)
						break
					}
				}
			}
		}
	}
}

func TestFillMask(t *testing.T) {
	g := read(t, folder("bert-mlm"))
	m := load(t, folder("bert-mlm"), golden.Options{})
	got, err := m.FillMask(g.FillMask)
	if err != nil || len(got) != len(g.FillMask.Results) {
		t.Fatalf("%d masks, want %d: %v", len(got), len(g.FillMask.Results), err)
	}
	for i, want := range g.FillMask.Results {
		if got[i].Row != want.Row || got[i].Position != want.Position || !slices.Equal(got[i].IDs, want.IDs) {
			t.Errorf("mask %d: %+v, want %+v", i, got[i], want)
		}
		for k, p := range want.Probs {
			if math.Abs(got[i].Probs[k]-p) > 1e-5 {
				t.Errorf("mask %d: probabilities %v, want %v", i, got[i].Probs, want.Probs)
				break
			}
		}
	}
}
