package engine

// Sequences that grow beyond a model's RopeLimit: they are read again from their
// first token, and nobody notices.

import (
	"slices"
	"testing"
)

// prompt is n tokens.
func prompt(n int) []int32 {
	p := make([]int32, n)
	for i := range p {
		p[i] = int32(7 + 31*i%101)
	}
	return p
}

// fresh continues tokens by one, from an empty cache.
func fresh(t *testing.T, tokens []int32) int32 {
	t.Helper()
	e, _ := newEngine(t, "phi3-longrope", Config{})
	r := greedy(1)
	r.Prompts = [][]int32{tokens}
	out, err := submit(t, e, r).Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return out[0].ID
}

// TestLongRope writes across the limit of 32 tokens, in chunks of several sizes and
// beside a sequence that stays below it: every token is the one that reading
// everything before it at once gives.
func TestLongRope(t *testing.T) {
	long, short := prompt(28), prompt(5)
	write := func(budget int) [][]int32 {
		e, _ := newEngine(t, "phi3-longrope", Config{BlockSize: 4, TokenBudget: budget})
		r := greedy(12)
		r.Prompts = [][]int32{long, short}
		out, err := submit(t, e, r).Wait(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		tokens := [][]int32{slices.Clone(long), slices.Clone(short)}
		for _, k := range out {
			tokens[k.Seq] = append(tokens[k.Seq], k.ID)
		}
		return tokens
	}
	want := write(0)
	if len(want[0]) != 40 || len(want[1]) != 17 {
		t.Fatalf("answers of %d and %d tokens", len(want[0])-28, len(want[1])-5)
	}
	for seq, from := range []int{28, 5} {
		for i := from; i < len(want[seq]); i++ {
			if id := fresh(t, want[seq][:i]); want[seq][i] != id {
				t.Fatalf("sequence %d, token %d: %d, want %d", seq, i, want[seq][i], id)
			}
		}
	}
	for _, budget := range []int{3, 32, 33} {
		if got := write(budget); !slices.EqualFunc(got, want, slices.Equal[[]int32]) {
			t.Errorf("budget %d: %v, want %v", budget, got, want)
		}
	}
}

// TestLongRopeBeams: beams that all read their tokens again share nothing, for
// which there have to be blocks, and no more than were reserved.
func TestLongRopeBeams(t *testing.T) {
	r := greedy(9)
	r.Prompts = [][]int32{prompt(29)}
	r.Beams = &BeamConfig{Width: 3, Return: 3, MaxTokens: 9, LengthPenalty: 1, RepetitionPenalty: 1}
	e, _ := newEngine(t, "phi3-longrope", Config{BlockSize: 4, Blocks: 3 * (10 + 1)})
	if need := e.need(&r); need != 33 {
		t.Errorf("needs %d blocks, want 3·(10+1)", need)
	}
	tight, err := submit(t, e, r).Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	wide, _ := newEngine(t, "phi3-longrope", Config{BlockSize: 16, Blocks: 64})
	loose, err := submit(t, wide, r).Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ids := func(out []Token) (ids []int32) {
		for _, k := range out {
			ids = append(ids, int32(k.Seq), k.ID)
		}
		return ids
	}
	if len(tight) != 27 || !slices.Equal(ids(tight), ids(loose)) {
		t.Errorf("beams %v and %v", ids(tight), ids(loose))
	}
	// Below the limit, and beyond it, beams share their prompt.
	for _, n := range []int{8, 40} {
		r.Prompts = [][]int32{prompt(n)}
		if need, want := e.need(&r), n/4+3*(3+1); need != want {
			t.Errorf("a prompt of %d needs %d blocks, want %d", n, need, want)
		}
	}
}

// TestLongRopeCapture: what was recorded of the prompt is ready with the first
// token and stays as it was when the sequence is read again; the row of each later
// token is there.
func TestLongRopeCapture(t *testing.T) {
	for _, budget := range []int{0, 5} {
		e, _ := newEngine(t, "phi3-longrope", Config{TokenBudget: budget})
		r := greedy(6)
		r.Prompts = [][]int32{prompt(30)}
		r.Capture = &Capture{Layers: []int{0, 1}, Heads: []int{0, 3}, Prompt: true, Hidden: true}
		run := submit(t, e, r)
		if _, err := run.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
		first := slices.Clone(run.Prompt.Weights)
		rest, err := run.Wait(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(run.Prompt.Weights, first) {
			t.Error("the prompt's distributions changed")
		}
		for l, h := range run.Prompt.Hidden {
			if len(h) != 30 {
				t.Errorf("hidden states of layer %d: %d, want 30", l, len(h))
			}
		}
		for i, k := range rest {
			sum := float32(0)
			for _, w := range k.Rows.Weights {
				sum += w
			}
			if k.Rows.Keys != 31+i || sum < 3.99 || sum > 4.01 { // two layers, two heads
				t.Errorf("token %d: a row of %d keys that sums to %v", i, k.Rows.Keys, sum)
			}
		}
	}
}
