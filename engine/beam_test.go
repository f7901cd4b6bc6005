package engine

// Beam search against the tensors of Hugging Face's generate written out with
// loops, against all sequences there are, and against searches worked by hand.

import (
	"cmp"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// tableModel gives log-probabilities by the last two tokens and the length.
type tableModel struct {
	vocab int
	seed  uint64
	grid  float64 // > 0: many equal log-probabilities
	loud  float64
}

func (m tableModel) row(ids []int32) []float32 {
	logits := make([]float64, m.vocab)
	sum := 0.0
	for i := range logits {
		h := fnv.New64a()
		_, _ = fmt.Fprint(h, m.seed, len(ids), ids[max(0, len(ids)-2):], i)
		logits[i] = float64(h.Sum64()%1000) / 1000 * m.loud
		if m.grid > 0 {
			logits[i] = math.Round(logits[i]/m.grid) * m.grid
		}
		sum += math.Exp(logits[i])
	}
	row := make([]float32, m.vocab)
	for i, l := range logits {
		row[i] = float32(l - math.Log(sum))
	}
	return row
}

// penalised is what HF's processors make of a row.
func penalised(c *BeamConfig, row []float32, prompt, ids []int32) []float32 {
	for i := range row {
		row[i] += float32(c.LogitBias[int32(i)])
		count := 0
		for _, id := range ids {
			if int(id) == i {
				count++
			}
		}
		if count > 0 || slices.Contains(prompt, int32(i)) {
			if row[i] < 0 {
				row[i] *= float32(c.RepetitionPenalty)
			} else {
				row[i] /= float32(c.RepetitionPenalty)
			}
		}
		if count > 0 {
			row[i] = row[i] - float32(float32(count)*float32(c.FrequencyPenalty)) - float32(c.PresencePenalty)
		}
		if len(ids) < c.MinTokens && slices.Contains(c.EOS, int32(i)) {
			row[i] = float32(math.Inf(-1))
		}
	}
	return row
}

// hfBeam follows _beam_search of transformers 5: fixed-size lists, filled with
// scores of -1e9, and masks where Beam has conditions.
func hfBeam(c *BeamConfig, m tableModel, prompt []int32) []Hypothesis {
	const far = float32(-1e9)
	type seq struct {
		ids      []int32
		score    float32
		finished bool
	}
	order := func(s []seq, k int) []seq {
		s = slices.Clone(s)
		slices.SortStableFunc(s, func(a, b seq) int { return cmp.Compare(b.score, a.score) })
		return s[:k]
	}
	k := c.Width
	running, finished := make([]seq, k), make([]seq, k)
	for i := range running {
		finished[i].score = far
		if i > 0 {
			running[i].score = far
		}
	}
	for n := 1; ; n++ {
		var all []seq
		for _, r := range running {
			for id, lp := range penalised(c, m.row(r.ids), prompt, r.ids) {
				all = append(all, seq{append(slices.Clone(r.ids), int32(id)), r.score + lp, false})
			}
		}
		top := order(all, max(2, 1+len(c.EOS))*k)
		for i := range top {
			top[i].finished = n == c.MaxTokens || slices.Contains(c.EOS, top[i].ids[n-1])
		}
		next := slices.Clone(top)
		everyEnds := true
		for i := range next {
			if next[i].finished {
				next[i].score += far
			} else {
				everyEnds = false
			}
		}
		running = order(next, k)
		for i := range running {
			running[i].finished = false
		}
		merged := slices.Clone(finished)
		for rank, s := range top {
			s.score /= float32(math.Pow(float64(n), c.LengthPenalty))
			s.finished = s.finished && rank < k
			if !s.finished {
				s.score += far
			}
			merged = append(merged, s)
		}
		finished = order(merged, k)
		full, worst := true, float32(math.Inf(1))
		for _, f := range finished {
			full = full && f.finished
			worst = min(worst, f.score)
		}
		length := n
		if c.Early == EarlyNever && c.LengthPenalty > 0 {
			length = c.MaxTokens
		}
		possible := !full || running[0].score/float32(math.Pow(float64(length), c.LengthPenalty)) > worst
		if !possible || full && c.Early == EarlyTrue || everyEnds {
			break
		}
	}
	var out []Hypothesis
	for _, f := range finished[:c.Return] {
		out = append(out, Hypothesis{f.ids, float64(f.score), slices.Contains(c.EOS, f.ids[len(f.ids)-1])})
	}
	return out
}

// search runs a Beam over a model and checks what every step owes its caller.
func search(t interface{ Fatalf(string, ...any) }, c BeamConfig, m tableModel, prompt []int32) []Hypothesis {
	b, err := NewBeam(c, m.vocab, prompt)
	if err != nil {
		t.Fatalf("%v", err)
	}
	old := [][]int32{nil}
	for steps := 0; !b.Done(); steps++ {
		if steps == c.MaxTokens {
			t.Fatalf("the search goes on after %d tokens", steps)
		}
		rows := make([][]float32, b.Running())
		for i := range rows {
			rows[i] = m.row(b.Tokens(i))
		}
		branches, err := b.Step(rows)
		if err != nil {
			t.Fatalf("step %d: %v", steps, err)
		}
		if len(branches) != b.Running() || len(branches) > c.Width {
			t.Fatalf("step %d: %d branches, %d running", steps, len(branches), b.Running())
		}
		var now [][]int32
		for i, br := range branches {
			ids := append(slices.Clone(old[br.Parent]), br.Token)
			if !slices.Equal(ids, b.Tokens(i)) {
				t.Fatalf("step %d: beam %d has %v, its branch makes %v", steps, i, b.Tokens(i), ids)
			}
			now = append(now, ids)
		}
		old = now
	}
	return b.Results()
}

func sameHypotheses(a, b []Hypothesis) bool {
	return slices.EqualFunc(a, b, func(x, y Hypothesis) bool {
		return slices.Equal(x.IDs, y.IDs) && x.EOS == y.EOS && x.Score == y.Score
	})
}

func plainBeam(width, tokens int, eos ...int32) BeamConfig {
	return BeamConfig{Width: width, Return: width, MaxTokens: tokens, LengthPenalty: 1, EOS: eos, RepetitionPenalty: 1}
}

func TestBeamHuggingFace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		for range 20 {
			checkBeam(t)
		}
	})
}

func checkBeam(t *rapid.T) {
	c := plainBeam(rapid.IntRange(1, 6).Draw(t, "width"), rapid.IntRange(1, 9).Draw(t, "tokens"))
	c.Return = rapid.IntRange(1, c.Width).Draw(t, "return")
	c.EOS = rapid.SliceOfNDistinct(rapid.Int32Range(0, 12), 0, 3, rapid.ID).Draw(t, "eos")
	c.LengthPenalty = rapid.SampledFrom([]float64{1, 0, 2, -1, 0.6}).Draw(t, "length_penalty")
	c.Early = rapid.SampledFrom([]EarlyStopping{EarlyFalse, EarlyTrue, EarlyNever}).Draw(t, "early")
	if rapid.Bool().Draw(t, "penalties") {
		c.MinTokens = rapid.IntRange(0, min(3, c.MaxTokens)).Draw(t, "min_tokens")
		c.RepetitionPenalty = rapid.SampledFrom([]float64{1, 1.3, 0.8}).Draw(t, "repetition")
		c.FrequencyPenalty = rapid.SampledFrom([]float64{0, 0.4}).Draw(t, "frequency")
		c.PresencePenalty = rapid.SampledFrom([]float64{0, -0.4}).Draw(t, "presence")
		c.LogitBias = map[int32]float64{int32(rapid.IntRange(0, 12).Draw(t, "biased")): rapid.SampledFrom([]float64{0, -1, 2}).Draw(t, "bias")}
	}
	vocab := max(13, (1+len(c.EOS))*c.Width+len(c.EOS)) // below, HF fills its lists with sequences of no probability
	m := tableModel{vocab, rapid.Uint64().Draw(t, "seed"), rapid.SampledFrom([]float64{0, 0, 0.5}).Draw(t, "grid"), rapid.SampledFrom([]float64{1, 5}).Draw(t, "loud")}
	prompt := rapid.SliceOfN(rapid.Int32Range(0, int32(vocab)), 0, 4).Draw(t, "prompt")
	want := hfBeam(&c, m, prompt)
	if got := search(t, c, m, prompt); !sameHypotheses(got, want) {
		t.Fatalf("%+v\ngot  %v\nwant %v", c, got, want)
	}
}

// TestBeamExhaustive gives the search room for every sequence.
func TestBeamExhaustive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := plainBeam(400, rapid.IntRange(1, 4).Draw(t, "tokens"), 2)
		c.Early = EarlyNever
		c.LengthPenalty = rapid.SampledFrom([]float64{1, 0, 2, -1}).Draw(t, "length_penalty")
		m := tableModel{4, rapid.Uint64().Draw(t, "seed"), 0, 3}
		var all []Hypothesis
		var walk func(ids []int32, sum float32)
		walk = func(ids []int32, sum float32) {
			for id, lp := range m.row(ids) {
				ids, sum := append(slices.Clone(ids), int32(id)), sum+lp
				if id == 2 || len(ids) == c.MaxTokens {
					all = append(all, Hypothesis{ids, float64(sum) / math.Pow(float64(len(ids)), c.LengthPenalty), id == 2})
				} else {
					walk(ids, sum)
				}
			}
		}
		walk(nil, 0)
		slices.SortStableFunc(all, func(a, b Hypothesis) int { return cmp.Compare(b.Score, a.Score) })
		got := search(t, c, m, nil)
		if len(got) != len(all) {
			t.Fatalf("%d answers of %d", len(got), len(all))
		}
		for i, h := range got {
			if math.Abs(h.Score-all[i].Score) > 1e-5 || i > 0 && h.Score > got[i-1].Score {
				t.Fatalf("place %d: %v, want %v", i, h, all[i])
			}
		}
	})
}

// script plays rows of probabilities: one list for each step, one row for each
// running beam.
func script(t *testing.T, c BeamConfig, prompt []int32, steps ...[][]float64) ([]Hypothesis, [][]Branch) {
	t.Helper()
	b, err := NewBeam(c, len(steps[0][0]), prompt)
	if err != nil {
		t.Fatal(err)
	}
	var branches [][]Branch
	for i, step := range steps {
		if b.Done() {
			t.Fatalf("done after %d steps of %d", i, len(steps))
		}
		if b.Running() != len(step) {
			t.Fatalf("step %d: %d beams run, want %d", i, b.Running(), len(step))
		}
		rows := make([][]float32, len(step))
		for j, ps := range step {
			for _, p := range ps {
				rows[j] = append(rows[j], float32(math.Log(p)))
			}
		}
		br, err := b.Step(rows)
		if err != nil {
			t.Fatal(err)
		}
		branches = append(branches, slices.Clone(br))
	}
	if !b.Done() {
		t.Fatalf("not done after %d steps", len(steps))
	}
	return b.Results(), branches
}

func checkHypotheses(t *testing.T, got []Hypothesis, want ...Hypothesis) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	for i, w := range want {
		if !slices.Equal(got[i].IDs, w.IDs) || math.Abs(got[i].Score-w.Score) > 1e-6 || got[i].EOS != w.EOS {
			t.Errorf("answer %d: %v, want %v", i, got[i], w)
		}
	}
}

// Token 0 is EOS in the searches by hand.
func TestBeamByHand(t *testing.T) {
	ln := math.Log
	t.Run("an EOS ranked beyond the width is lost", func(t *testing.T) {
		got, br := script(t, plainBeam(2, 2, 0), nil,
			[][]float64{{0.2, 0.5, 0.3}}, // EOS is third
			[][]float64{{0.1, 0.5, 0.4}, {0.1, 0.8, 0.1}})
		checkHypotheses(t, got, Hypothesis{[]int32{1, 1}, ln(0.25) / 2, false}, Hypothesis{[]int32{2, 1}, ln(0.24) / 2, false})
		if want := []Branch{{0, 1}, {0, 2}}; !slices.Equal(br[0], want) {
			t.Errorf("branches %v", br[0])
		}
	})
	t.Run("an EOS ranked within the width is kept, and its length counts", func(t *testing.T) {
		got, br := script(t, plainBeam(2, 2, 0), nil,
			[][]float64{{0.3, 0.5, 0.2}},
			[][]float64{{0.5, 0.3, 0.2}, {0.1, 0.8, 0.1}})
		// ln 0.3/1 = -1.204; [1 0]: ln 0.25/2 = -0.69; [2 1]: ln 0.16/2 = -0.92
		checkHypotheses(t, got, Hypothesis{[]int32{1, 0}, ln(0.25) / 2, true}, Hypothesis{[]int32{2, 1}, ln(0.16) / 2, false})
		if want := []Branch{{0, 1}, {0, 2}}; !slices.Equal(br[0], want) {
			t.Errorf("branches %v", br[0])
		}
	})
	t.Run("length penalty 0 is the sum", func(t *testing.T) {
		c := plainBeam(2, 2, 0)
		c.LengthPenalty = 0
		got, _ := script(t, c, nil,
			[][]float64{{0.3, 0.5, 0.2}},
			[][]float64{{0.5, 0.3, 0.2}, {0.1, 0.8, 0.1}})
		checkHypotheses(t, got, Hypothesis{[]int32{0}, ln(0.3), true}, Hypothesis{[]int32{1, 0}, ln(0.25), true})
	})
	t.Run("beams fork and die", func(t *testing.T) {
		_, br := script(t, plainBeam(2, 3), nil,
			[][]float64{{0.1, 0.5, 0.4}},
			[][]float64{{0.3, 0.3, 0.4}, {0.02, 0.03, 0.95}},
			[][]float64{{0.4, 0.3, 0.3}, {0.4, 0.3, 0.3}})
		if want := [][]Branch{{{0, 1}, {0, 2}}, {{1, 2}, {0, 2}}, {}}; !slices.EqualFunc(br, want, slices.Equal) {
			t.Errorf("branches %v, want %v", br, want)
		}
	})
	t.Run("equal sums: lower beam, then lower id", func(t *testing.T) {
		_, br := script(t, plainBeam(2, 3), nil,
			[][]float64{{0.25, 0.25, 0.25, 0.25}},
			[][]float64{{0.1, 0.1, 0.4, 0.4}, {0.4, 0.4, 0.1, 0.1}},
			[][]float64{{0.25, 0.25, 0.25, 0.25}, {0.25, 0.25, 0.25, 0.25}})
		if want := [][]Branch{{{0, 0}, {0, 1}}, {{0, 2}, {0, 3}}, {}}; !slices.EqualFunc(br, want, slices.Equal) {
			t.Errorf("branches %v, want %v", br, want)
		}
	})
	t.Run("several EOS ids still leave running beams", func(t *testing.T) {
		c := plainBeam(2, 2, 0, 1, 2, 2)
		c.Early = EarlyNever
		got, br := script(t, c, nil,
			[][]float64{{0.3, 0.2, 0.2, 0.15, 0.08, 0.07}},
			[][]float64{{0.9, 0.02, 0.02, 0.02, 0.02, 0.02}, {0.9, 0.02, 0.02, 0.02, 0.02, 0.02}})
		if want := []Branch{{0, 3}, {0, 4}}; !slices.Equal(br[0], want) {
			t.Errorf("branches %v, want %v", br[0], want)
		}
		checkHypotheses(t, got, Hypothesis{[]int32{3, 0}, ln(0.135) / 2, true}, Hypothesis{[]int32{0}, ln(0.3), true})
	})
	t.Run("no EOS before MinTokens", func(t *testing.T) {
		c := plainBeam(1, 3, 0)
		c.MinTokens = 1
		got, _ := script(t, c, nil, [][]float64{{0.9, 0.1}}, [][]float64{{0.9, 0.1}})
		checkHypotheses(t, got, Hypothesis{[]int32{1, 0}, ln(0.09) / 2, true})
	})
	t.Run("the three rules of stopping", func(t *testing.T) {
		first := [][]float64{{0.5, 0.3, 0.2}}
		second := [][]float64{{0.04, 0.94, 0.02}}
		third := [][]float64{{0.9, 0.05, 0.05}}
		c := plainBeam(1, 3, 0)
		c.Early = EarlyTrue
		got, _ := script(t, c, nil, first)
		checkHypotheses(t, got, Hypothesis{[]int32{0}, ln(0.5), true})
		c.Early = EarlyFalse // ln 0.3/1 is below ln 0.5
		got, _ = script(t, c, nil, first)
		checkHypotheses(t, got, Hypothesis{[]int32{0}, ln(0.5), true})
		c.Early = EarlyNever // ln 0.3/3 is not
		got, _ = script(t, c, nil, first, second, third)
		checkHypotheses(t, got, Hypothesis{[]int32{1, 1, 0}, ln(0.3*0.94*0.9) / 3, true})
		c.LengthPenalty = 0 // no length makes ln 0.3 better
		got, _ = script(t, c, nil, first)
		checkHypotheses(t, got, Hypothesis{[]int32{0}, ln(0.5), true})
		c.Early, c.LengthPenalty = EarlyFalse, 3 // goes on while ln(sum)/n^3 is better, n counting from 1
		got, _ = script(t, c, nil, [][]float64{{0.4, 0.399, 0.2}})
		checkHypotheses(t, got, Hypothesis{[]int32{0}, ln(0.4), true})
	})
	t.Run("the worst answer is what a running beam has to beat", func(t *testing.T) {
		first := [][]float64{{0.35, 0.36, 0.29}}
		second := [][]float64{{0.7, 0.2, 0.1}, {0.1, 0.8, 0.1}} // running at best ln(0.232)/2, between the two answers
		third := [][]float64{{0.99, 0.005, 0.005}, {0.1, 0.8, 0.1}}
		a, b := Hypothesis{[]int32{1, 0}, ln(0.36*0.7) / 2, true}, Hypothesis{[]int32{0}, ln(0.35), true}
		c := plainBeam(2, 3, 0)
		c.Early = EarlyTrue
		got, _ := script(t, c, nil, first, second)
		checkHypotheses(t, got, a, b)
		c.Early = EarlyFalse
		got, _ = script(t, c, nil, first, second, third)
		checkHypotheses(t, got, Hypothesis{[]int32{2, 1, 0}, ln(0.29*0.8*0.99) / 3, true}, a)
	})
	t.Run("with a negative length penalty the present length is the best", func(t *testing.T) {
		c := plainBeam(2, 10, 0)
		c.Early, c.LengthPenalty = EarlyNever, -1
		got, _ := script(t, c, nil, // 2 ln 0.15 is above 2 ln 0.147: a third step; 10 ln 0.15 is not
			[][]float64{{0.5, 0.3, 0.2}},
			[][]float64{{0.49, 0.5, 0.01}, {0.34, 0.33, 0.33}},
			[][]float64{{0.98, 0.01, 0.01}, {0.98, 0.01, 0.01}})
		checkHypotheses(t, got, Hypothesis{[]int32{0}, ln(0.5), true}, Hypothesis{[]int32{1, 0}, 2 * ln(0.3*0.49), true})
	})
	t.Run("a running beam as good as the worst answer ends it", func(t *testing.T) {
		got, _ := script(t, plainBeam(1, 5, 0), nil, [][]float64{{0.5, 0.5}})
		checkHypotheses(t, got, Hypothesis{[]int32{0}, ln(0.5), true})
	})
	t.Run("repetition penalty multiplies log-probabilities of prompt and beam", func(t *testing.T) {
		c := plainBeam(1, 2)
		c.RepetitionPenalty = 2
		got, _ := script(t, c, []int32{0}, [][]float64{{0.5, 0.3, 0.2}}, [][]float64{{0.25, 0.45, 0.3}})
		checkHypotheses(t, got, Hypothesis{[]int32{1, 2}, (ln(0.3) + ln(0.3)) / 2, false})
	})
}

// TestBeamSmallVocabulary has fewer sequences than beams.
func TestBeamSmallVocabulary(t *testing.T) {
	c := plainBeam(4, 2)
	got := search(t, c, tableModel{2, 1, 0, 1}, nil)
	if len(got) != 4 {
		t.Errorf("%d answers, want the 4 there are", len(got))
	}
	c.MaxTokens = 1
	if got := search(t, c, tableModel{2, 1, 0, 1}, nil); len(got) != 2 {
		t.Errorf("%d answers, want the 2 there are", len(got))
	}
}

func TestBeamErrors(t *testing.T) {
	nan := math.NaN()
	for field, set := range map[string][]func(*BeamConfig){
		"Width":             {func(c *BeamConfig) { c.Width = 0 }, func(c *BeamConfig) { c.Width = MaxBeamWidth + 1 }},
		"Return":            {func(c *BeamConfig) { c.Return = 0 }, func(c *BeamConfig) { c.Return = c.Width + 1 }},
		"MaxTokens":         {func(c *BeamConfig) { c.MaxTokens = 0 }},
		"MinTokens":         {func(c *BeamConfig) { c.MinTokens = -1 }, func(c *BeamConfig) { c.MinTokens = c.MaxTokens + 1 }},
		"LengthPenalty":     {func(c *BeamConfig) { c.LengthPenalty = nan; c.MaxTokens = 1 }, func(c *BeamConfig) { c.LengthPenalty = math.Inf(1); c.MaxTokens = 1 }, func(c *BeamConfig) { c.LengthPenalty = 1000 }, func(c *BeamConfig) { c.LengthPenalty = -1000 }},
		"Early":             {func(c *BeamConfig) { c.Early = 3 }, func(c *BeamConfig) { c.Early = -1 }},
		"EOS":               {func(c *BeamConfig) { c.EOS = []int32{3} }, func(c *BeamConfig) { c.EOS = []int32{-1} }},
		"RepetitionPenalty": {func(c *BeamConfig) { c.RepetitionPenalty = 0 }},
		"LogitBias[5]":      {func(c *BeamConfig) { c.LogitBias = map[int32]float64{5: 0} }},
	} {
		for _, f := range set {
			c := plainBeam(2, 4, 0)
			f(&c)
			_, err := NewBeam(c, 3, nil)
			var pe *ParamError
			if !errors.As(err, &pe) || pe.Field != field {
				t.Errorf("%+v: got %v, want a ParamError for %s", c, err, field)
			}
		}
	}
	inf := float32(math.Inf(1))
	for _, tt := range []struct {
		row []float32
		id  int32
	}{
		{[]float32{-1, float32(nan), -2}, 1}, {[]float32{-1, -2, inf}, 2}, {[]float32{-inf, -inf, -inf}, -1},
	} {
		b, err := NewBeam(plainBeam(2, 4), 3, nil)
		if err != nil {
			t.Fatal(err)
		}
		var le *LogitsError
		if _, err := b.Step([][]float32{tt.row}); !errors.As(err, &le) || le.ID != tt.id {
			t.Errorf("%v: %v", tt.row, err)
		}
		if !b.Done() || b.Running() != 0 || len(b.Results()) != 0 {
			t.Errorf("%v: the search goes on", tt.row)
		}
	}
}

func BenchmarkBeam(b *testing.B) {
	const vocab = 49_152
	m := tableModel{vocab, 1, 0, 8}
	row := m.row(nil)
	rows := [][]float32{row, row, row, row}
	for b.Loop() {
		s, err := NewBeam(plainBeam(4, 32, 2), vocab, nil)
		if err != nil {
			b.Fatal(err)
		}
		for !s.Done() {
			if _, err := s.Step(rows[:s.Running()]); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/32, "µs/step")
}
