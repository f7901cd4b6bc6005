package engine

// The sampler against Hugging Face's distributions, against the definition of
// each step written out with a full sort, and against numbers worked by hand.

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// fixtureCase is a row of parameters as the fixtures spell it; absent is off.
type fixtureCase struct {
	ID          int      `json:"id"`
	Row         string   `json:"row"`
	Temperature *float64 `json:"temperature"`
	TopK        int      `json:"top_k"`
	TopP        *float64 `json:"top_p"`
	MinP        float64  `json:"min_p"`
	TypicalP    *float64 `json:"typical_p"`
	Repetition  *float64 `json:"repetition_penalty"`
	Frequency   float64  `json:"frequency_penalty"`
	Presence    float64  `json:"presence_penalty"`
	History     []int32  `json:"history"`
	Kept        int      `json:"kept"`
	Stable      bool     `json:"stable"`
}

func (c *fixtureCase) sampling() (Sampling, *History) {
	or1 := func(p *float64) float64 {
		if p == nil {
			return 1
		}
		return *p
	}
	h := new(History)
	for _, id := range c.History { // the fixtures count the whole history, so it is all answer
		h.Add(id)
	}
	return Sampling{Temperature: or1(c.Temperature), TopK: c.TopK, TopP: or1(c.TopP), MinP: c.MinP, TypicalP: or1(c.TypicalP),
		RepetitionPenalty: or1(c.Repetition), FrequencyPenalty: c.Frequency, PresencePenalty: c.Presence}, h
}

// checkCase compares one distribution with its golden.
func checkCase(t *testing.T, c *fixtureCase, logits []float32, want []float64, tol float64) {
	t.Helper()
	p, h := c.sampling()
	if err := p.Check(len(logits)); err != nil {
		t.Fatalf("case %d: %v", c.ID, err)
	}
	got, err := NewSampler(len(logits)).Distribution(nil, &p, logits, h)
	if err != nil {
		t.Fatalf("case %d: %v", c.ID, err)
	}
	kept := 0
	for i := range want {
		if math.Abs(got[i]-want[i]) > tol {
			t.Errorf("case %d %+v: p[%d] = %g, want %g", c.ID, p, i, got[i], want[i])
		}
		if c.Stable && (got[i] > 0) != (want[i] > 0) {
			t.Errorf("case %d %+v: token %d kept %v, want %v", c.ID, p, i, got[i] > 0, want[i] > 0)
		}
		if got[i] > 0 {
			kept++
		}
	}
	if c.Stable && kept != c.Kept {
		t.Errorf("case %d %+v: %d tokens kept, want %d", c.ID, p, kept, c.Kept)
	}
}

func TestDistributionGolden(t *testing.T) {
	data, err := os.ReadFile("testdata/sampling.json")
	if err != nil {
		t.Fatal(err)
	}
	var f struct {
		Vocab int              `json:"vocab"`
		Tol   float64          `json:"tol"`
		Rows  map[string][]any `json:"rows"`
		Cases []struct {
			fixtureCase
			Probs map[int]float64 `json:"probs"`
		} `json:"cases"`
	}
	if err := json.Unmarshal(data, &f); err != nil {
		t.Fatal(err)
	}
	rows := map[string][]float32{}
	for name, row := range f.Rows {
		for _, v := range row {
			l, ok := v.(float64)
			if !ok {
				l = math.Inf(-1)
			}
			rows[name] = append(rows[name], float32(l))
		}
	}
	if len(f.Cases) != 192 {
		t.Fatalf("%d cases", len(f.Cases))
	}
	for _, c := range f.Cases {
		want := make([]float64, f.Vocab)
		for id, p := range c.Probs {
			want[id] = p
		}
		checkCase(t, &c.fixtureCase, rows[c.Row], want, f.Tol)
	}
}

// TestDistributionFixtures reads the fixtures themselves, whichever they are.
func TestDistributionFixtures(t *testing.T) {
	root := os.Getenv("FIXTURES")
	if root == "" {
		root = "../../shared/fixtures"
	}
	text, err := os.ReadFile(filepath.Join(root, "sampling", "sampling.json"))
	if err != nil {
		t.Skipf("no fixtures: %v", err)
	}
	data, err := os.ReadFile(filepath.Join(root, "sampling", "logits.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	var f struct {
		Tol   float64 `json:"tol"`
		Cases []struct {
			fixtureCase
			Probs string `json:"probs"`
		} `json:"cases"`
	}
	if err := json.Unmarshal(text, &f); err != nil {
		t.Fatal(err)
	}
	n := binary.LittleEndian.Uint64(data)
	var header map[string]struct {
		Offsets [2]int `json:"data_offsets"`
	}
	if err := json.Unmarshal(data[8:8+n], &header); err != nil {
		t.Fatal(err)
	}
	data = data[8+n:]
	for _, c := range f.Cases {
		var logits []float32
		var want []float64
		for b := header["logits."+c.Row].Offsets; b[0] < b[1]; b[0] += 4 {
			logits = append(logits, math.Float32frombits(binary.LittleEndian.Uint32(data[b[0]:])))
		}
		for b := header[c.Probs].Offsets; b[0] < b[1]; b[0] += 8 {
			want = append(want, math.Float64frombits(binary.LittleEndian.Uint64(data[b[0]:])))
		}
		checkCase(t, &c.fixtureCase, logits, want, f.Tol)
	}
}

// oracle is the definition in Sampling's comment, step by step. margin is how far
// the nearest decision about a token was from falling the other way by rounding.
func oracle(p *Sampling, logits []float32, prompt, answer []int32) (probs []float64, margin float64) {
	n := len(logits)
	l := make([]float64, n)
	for i, v := range logits {
		l[i] = float64(v) + p.LogitBias[int32(i)]
	}
	counts, seen := map[int32]int{}, map[int32]bool{}
	for _, id := range answer {
		counts[id]++
		seen[id] = true
	}
	for _, id := range prompt {
		seen[id] = true
	}
	for i := range l {
		if seen[int32(i)] {
			if l[i] < 0 {
				l[i] *= p.RepetitionPenalty
			} else {
				l[i] /= p.RepetitionPenalty
			}
		}
		if c := counts[int32(i)]; c > 0 {
			l[i] = l[i] - float64(float64(c)*p.FrequencyPenalty) - p.PresencePenalty // ties hang on the order
		}
	}
	order := make([]int, n) // best first, of equals the lower id
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(l[b], l[a]) })
	top := l[order[0]]
	if p.Temperature == 0 {
		probs = make([]float64, n)
		probs[order[0]] = 1
		return probs, 1
	}
	kth := l[order[n-1]]
	if p.TopK > 0 && p.TopK < n {
		kth = l[order[p.TopK-1]]
	}
	kept := make([]bool, n)
	for i := range kept {
		kept[i] = l[i] >= kth
	}
	margin = math.Inf(1)
	near := func(a, b float64) { margin = min(margin, math.Abs(a-b)) }
	softmax := func() []float64 {
		out, z := make([]float64, n), 0.0
		for i := range out {
			if kept[i] {
				out[i] = math.Exp((l[i] - top) / p.Temperature)
				z += out[i]
			}
		}
		for i := range out {
			out[i] /= z
		}
		return out
	}
	if p.TopP < 1 {
		probs, sum := softmax(), 0.0
		for i := n - 1; i > 0; i-- {
			id := order[i]
			sum += probs[id]
			if probs[id] > 0 {
				near(sum, 1-p.TopP)
			}
			if sum <= 1-p.TopP {
				kept[id] = false
			}
		}
	}
	if p.MinP > 0 {
		probs := softmax()
		for id := range kept {
			if kept[id] && l[id] != top {
				near(probs[id]/probs[order[0]], p.MinP)
			}
			kept[id] = kept[id] && probs[id] >= p.MinP*probs[order[0]]
		}
	}
	if p.TypicalP < 1 {
		probs, entropy := softmax(), 0.0
		for _, q := range probs {
			if q > 0 {
				entropy -= q * math.Log(q)
			}
		}
		far := make([]float64, n)
		for i, q := range probs {
			far[i] = math.Abs(-math.Log(q) - entropy)
			if l[i] == top {
				far[i] = math.Abs(-math.Log(probs[order[0]]) - entropy)
			}
		}
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(far[a], far[b]) })
		sum, last := 0.0, n-1
		for i, id := range order {
			if sum += probs[id]; sum >= p.TypicalP {
				last = i
				break
			}
		}
		run := 0.0
		for i, id := range order {
			run += probs[id]
			near(run, p.TypicalP)
			if i > last && probs[id] > 0 { // a tie by rounding, where the two surprisals differ
				if l[id] != l[order[last]] {
					near(far[id], far[order[last]])
				} else {
					far[id] = far[order[last]]
				}
			}
		}
		for id := range kept {
			kept[id] = kept[id] && far[id] <= far[order[last]]
		}
	}
	return softmax(), margin
}

// drawSampling draws parameters, each step being off half of the time.
func drawSampling(t *rapid.T, vocab int) Sampling {
	p := Greedy()
	on := func(name string) bool { return rapid.Bool().Draw(t, name) }
	p.Temperature = rapid.SampledFrom([]float64{0, 0.3, 1, 1, 1.7, 40}).Draw(t, "temperature")
	if on("top_k?") {
		p.TopK = rapid.IntRange(1, vocab+2).Draw(t, "top_k")
	}
	if on("top_p?") {
		p.TopP = rapid.SampledFrom([]float64{1e-12, 0.05, 0.3, 0.7, 0.9, 0.97, 0.999}).Draw(t, "top_p")
	}
	if on("min_p?") {
		p.MinP = rapid.SampledFrom([]float64{1e-6, 0.01, 0.1, 0.5, 1}).Draw(t, "min_p")
	}
	if on("typical_p?") {
		p.TypicalP = rapid.SampledFrom([]float64{0.01, 0.2, 0.6, 0.95}).Draw(t, "typical_p")
	}
	if on("repetition?") {
		p.RepetitionPenalty = rapid.SampledFrom([]float64{0.7, 1.1, 1.3, 2}).Draw(t, "repetition")
	}
	if on("frequency?") {
		p.FrequencyPenalty = rapid.SampledFrom([]float64{-0.4, 0.3, 1}).Draw(t, "frequency")
	}
	if on("presence?") {
		p.PresencePenalty = rapid.SampledFrom([]float64{-0.7, 0.6, 1.5}).Draw(t, "presence")
	}
	if on("bias?") {
		p.LogitBias = map[int32]float64{int32(rapid.IntRange(0, vocab-1).Draw(t, "biased")): rapid.SampledFrom([]float64{-3, 2, 8}).Draw(t, "bias")}
	}
	return p
}

func TestDistributionOracle(t *testing.T) {
	skipped, compared := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		vocab := rapid.SampledFrom([]int{1, 2, 3, 7, 30, 400, 3000}).Draw(t, "vocab")
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		spread := rapid.SampledFrom([]float64{0, 0.1, 2, 9}).Draw(t, "spread")
		grid := rapid.SampledFrom([]float64{0, 0.5}).Draw(t, "grid") // > 0: many ties
		holes := rapid.Bool().Draw(t, "holes")
		logits := make([]float32, vocab)
		for i := range logits {
			l := r.NormFloat64() * spread
			if grid > 0 {
				l = math.Round(l/grid) * grid
			}
			if holes && i%3 == 1 {
				l = math.Inf(-1)
			}
			logits[i] = float32(l)
		}
		ids := rapid.SliceOfN(rapid.Int32Range(0, int32(min(vocab, 40))), 0, 12) // may lie one beyond the row
		prompt, answer := ids.Draw(t, "prompt"), ids.Draw(t, "answer")
		var h History
		h.Reset(prompt)
		for _, id := range answer {
			h.Add(id)
		}
		before := slices.Clone(logits)
		s := NewSampler(vocab)
		for range 10 {
			p := drawSampling(t, vocab)
			if err := p.Check(vocab); err != nil {
				t.Fatal(err)
			}
			want, margin := oracle(&p, logits, prompt, answer)
			got, err := s.Distribution(nil, &p, logits, &h)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(before, logits) {
				t.Fatal("the logits were changed")
			}
			if margin < 1e-9 {
				skipped++
				continue
			}
			compared++
			for i := range want {
				if math.Abs(got[i]-want[i]) > 1e-12 || (got[i] > 0) != (want[i] > 0) {
					t.Fatalf("p[%d] = %g, want %g", i, got[i], want[i])
				}
			}
			id, err := s.Sample(&p, logits, &h, 0, 0)
			if err != nil || want[id] == 0 {
				t.Fatalf("drew %d of probability %g: %v", id, want[id], err)
			}
		}
	})
	if compared < 500 || skipped > compared {
		t.Errorf("compared %d rows, skipped %d", compared, skipped)
	}
}

// TestDistributionLong compares rows of a real vocabulary's length.
func TestDistributionLong(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	logits := randomLogits(r, 50_000)
	for i := range logits {
		if i%7 == 0 {
			logits[i] = float32(math.Round(float64(logits[i]))) // ties
		}
	}
	for _, p := range []Sampling{
		{Temperature: 0.8, TopK: 40, TopP: 0.95, TypicalP: 1, RepetitionPenalty: 1},
		{Temperature: 1, TopP: 0.9, TypicalP: 1, RepetitionPenalty: 1},
		{Temperature: 1.5, TopP: 0.999, TypicalP: 1, RepetitionPenalty: 1, MinP: 0.001},
		{Temperature: 1, TopP: 1, TypicalP: 1, RepetitionPenalty: 1, MinP: 0.02},
		{Temperature: 1, TopP: 1, TypicalP: 0.9, RepetitionPenalty: 1},
		{Temperature: 1, TopP: 1, TypicalP: 1, RepetitionPenalty: 1, TopK: 9000},
		{Temperature: 1, TopP: 1, TypicalP: 1, RepetitionPenalty: 1},
	} {
		want, margin := oracle(&p, logits, nil, nil)
		if margin < 1e-12 {
			t.Errorf("%+v: margin %g", p, margin)
		}
		got, err := NewSampler(len(logits)).Distribution(nil, &p, logits, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range want {
			if math.Abs(got[i]-want[i]) > 1e-12 || (got[i] > 0) != (want[i] > 0) {
				t.Fatalf("%+v: p[%d] = %g, want %g", p, i, got[i], want[i])
			}
		}
	}
}

// randomLogits looks like a model's row: a broad bulk and a few far above it.
func randomLogits(r *rand.Rand, n int) []float32 {
	logits := make([]float32, n)
	for i := range logits {
		logits[i] = float32(r.NormFloat64() * 2.5)
	}
	for range 60 {
		logits[r.IntN(n)] = float32(8 + r.ExpFloat64()*2)
	}
	return logits
}

// TestSteps has numbers worked by hand: what each step does at its edge, and what
// another order of the steps would give.
func TestSteps(t *testing.T) {
	ln := func(v float64) float64 { return math.Log(v) }
	off := func(f func(*Sampling)) Sampling {
		p := Greedy()
		p.Temperature = 1
		f(&p)
		return p
	}
	inf := math.Inf(-1)
	for _, tt := range []struct {
		name           string
		p              Sampling
		logits         []float64
		prompt, answer []int32
		want           []float64 // weights, normalised below
	}{
		{"plain", off(func(*Sampling) {}), []float64{0, ln(3), inf}, nil, nil, []float64{1, 3, 0}},
		{"temperature divides", off(func(p *Sampling) { p.Temperature = 0.5 }), []float64{0, ln(3)}, nil, nil, []float64{1, 9}},
		{"greedy, lower id of equals", Greedy(), []float64{1, 2, 2}, nil, nil, []float64{0, 1, 0}},
		{"greedy after penalties", Sampling{TopP: 1, TypicalP: 1, RepetitionPenalty: 2}, []float64{3, 2}, []int32{0}, nil, []float64{0, 1}},
		{"greedy after bias", Sampling{TopP: 1, TypicalP: 1, RepetitionPenalty: 1, LogitBias: map[int32]float64{2: 5}}, []float64{3, 2, -1}, nil, nil, []float64{0, 0, 1}},
		{"repetition divides above 0, multiplies below", off(func(p *Sampling) { p.RepetitionPenalty = 2 }), []float64{2, -2, 0, 1}, []int32{0, 1, 2}, nil,
			[]float64{math.Exp(1), math.Exp(-4), 1, math.Exp(1)}},
		{"repetition counts a token once, in prompt and answer", off(func(p *Sampling) { p.RepetitionPenalty = 2 }), []float64{4, 4, 4}, []int32{0, 0}, []int32{0, 1, 1},
			[]float64{math.Exp(2), math.Exp(2), math.Exp(4)}},
		{"frequency counts the answer only", off(func(p *Sampling) { p.FrequencyPenalty = 1 }), []float64{3, 3, 3}, []int32{0, 0, 2}, []int32{1, 1, 2},
			[]float64{math.Exp(3), math.Exp(1), math.Exp(2)}},
		{"presence counts once, the answer only", off(func(p *Sampling) { p.PresencePenalty = 1 }), []float64{3, 3, 3}, []int32{0, 0, 2}, []int32{1, 1, 2},
			[]float64{math.Exp(3), math.Exp(2), math.Exp(2)}},
		{"bias before repetition", off(func(p *Sampling) { p.RepetitionPenalty = 2; p.LogitBias = map[int32]float64{0: 1} }), []float64{1, 0}, []int32{0}, nil, []float64{math.Exp(1), 1}},
		{"repetition before frequency", off(func(p *Sampling) { p.RepetitionPenalty = 2; p.FrequencyPenalty = 1 }), []float64{2, 0}, nil, []int32{0}, []float64{1, 1}},
		{"frequency before temperature", off(func(p *Sampling) { p.Temperature = 2; p.FrequencyPenalty = 1 }), []float64{2, 0}, nil, []int32{0}, []float64{math.Exp(0.5), 1}},
		{"a banned token", off(func(p *Sampling) { p.LogitBias = map[int32]float64{1: inf} }), []float64{0, 9}, nil, nil, []float64{1, 0}},
		{"penalties leave -Inf", off(func(p *Sampling) { p.RepetitionPenalty = 0.5; p.FrequencyPenalty = -1000 }), []float64{0, inf}, nil, []int32{1}, []float64{1, 0}},
		{"top_k keeps ties", off(func(p *Sampling) { p.TopK = 2 }), []float64{1, 3, 2, 2, 0}, nil, nil, []float64{0, math.Exp(3), math.Exp(2), math.Exp(2), 0}},
		{"top_k after penalties", off(func(p *Sampling) { p.TopK = 1; p.PresencePenalty = 2 }), []float64{3, 2}, nil, []int32{0}, []float64{0, 1}},
		{"top_k beyond the row", off(func(p *Sampling) { p.TopK = math.MaxInt }), []float64{0, ln(3)}, nil, nil, []float64{1, 3}},
		{"top_k of more than are possible", off(func(p *Sampling) { p.TopK = 2 }), []float64{inf, 1, inf, inf}, nil, nil, []float64{0, 1, 0, 0}},
		{"top_p keeps the token that crosses", off(func(p *Sampling) { p.TopP = 0.6 }), []float64{ln(0.5), ln(0.3), ln(0.2)}, nil, nil, []float64{5, 3, 0}},
		{"top_p drops a sum of exactly 1-p", off(func(p *Sampling) { p.TopP = 0.5 }), []float64{7, 7, 7, 7}, nil, nil, []float64{1, 1, 0, 0}},
		{"top_p keeps one", off(func(p *Sampling) { p.TopP = 1e-300 }), []float64{7, 7, 7, 1}, nil, nil, []float64{1, 0, 0, 0}},
		{"top_p after top_k", off(func(p *Sampling) { p.TopP = 0.55; p.TopK = 3 }), []float64{ln(0.4), ln(0.2), ln(0.2), ln(0.1), ln(0.1)}, nil, nil, []float64{2, 1, 0, 0, 0}},
		{"top_p after temperature", off(func(p *Sampling) { p.TopP = 0.6; p.Temperature = 0.5 }), []float64{ln(0.5), ln(0.3), ln(0.2)}, nil, nil, []float64{1, 0, 0}},
		{"min_p keeps exactly the share", off(func(p *Sampling) { p.MinP = 1 }), []float64{3, 3, 2.9}, nil, nil, []float64{1, 1, 0}},
		{"min_p is exact", off(func(p *Sampling) { p.MinP = 1; p.Temperature = 1e6 }), []float64{3, 2.9999998}, nil, nil, []float64{1, 0}},
		{"min_p after top_k", off(func(p *Sampling) { p.MinP = 0.3; p.TopK = 3 }), []float64{ln(0.5), ln(0.2), ln(0.14), ln(0.16)}, nil, nil, []float64{50, 20, 0, 16}},
		{"min_p is relative to the best", off(func(p *Sampling) { p.MinP = 0.3 }), []float64{ln(0.5), ln(0.2), ln(0.14), ln(0.16)}, nil, nil, []float64{50, 20, 0, 16}},
		{"min_p after top_p", off(func(p *Sampling) { p.MinP = 0.3; p.TopP = 0.9 }), []float64{ln(0.5), ln(0.2), ln(0.14), ln(0.16)}, nil, nil, []float64{50, 20, 0, 16}},
		{"typical keeps the near, not the likely", off(func(p *Sampling) { p.TypicalP = 0.2 }), []float64{ln(0.4), ln(0.21), ln(0.2), ln(0.19)}, nil, nil, []float64{0, 21, 0, 0}},
		{"typical keeps ties", off(func(p *Sampling) { p.TypicalP = 0.1 }), []float64{1, 1, 1}, nil, nil, []float64{1, 1, 1}},
		{"typical after min_p", off(func(p *Sampling) { p.TypicalP = 0.5; p.MinP = 0.5 }), []float64{ln(0.4), ln(0.3), ln(0.1), ln(0.1), ln(0.1)}, nil, nil, []float64{4, 0, 0, 0, 0}},
		{"temperature near 0 leaves ties", off(func(p *Sampling) { p.Temperature = 1e-30 }), []float64{5, 4.999, 5}, nil, nil, []float64{1, 0, 1}},
		{"the smallest temperature", off(func(p *Sampling) { p.Temperature = 5e-324; p.TopP = 0.9 }), []float64{5, 4.999, 5}, nil, nil, []float64{1, 0, 1}},
		{"the largest temperature", off(func(p *Sampling) { p.Temperature = math.MaxFloat64; p.MinP = 0.5 }), []float64{5, -1e30, inf}, nil, nil, []float64{1, 1, 0}},
		{"the widest row", off(func(p *Sampling) { p.RepetitionPenalty = 1000; p.TopK = 2 }), []float64{-math.MaxFloat32, -math.MaxFloat32, inf}, []int32{0}, nil, []float64{0, 1, 0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.p.Check(len(tt.logits)); err != nil {
				t.Fatal(err)
			}
			logits, z := make([]float32, len(tt.logits)), 0.0
			for i, l := range tt.logits {
				logits[i] = float32(l)
				z += tt.want[i]
			}
			var h History
			h.Reset(tt.prompt)
			for _, id := range tt.answer {
				h.Add(id)
			}
			got, err := NewSampler(len(logits)).Distribution(nil, &tt.p, logits, &h)
			if err != nil {
				t.Fatal(err)
			}
			for i, w := range tt.want {
				if w /= z; math.Abs(got[i]-w) > 1e-6 || (got[i] > 0) != (w > 0) {
					t.Errorf("p[%d] = %g, want %g", i, got[i], w)
				}
			}
		})
	}
}

func TestSamplingCheck(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	type set = func(*Sampling)
	for _, tt := range []struct {
		field string
		f     set
	}{
		{"Temperature", func(p *Sampling) { p.Temperature = -0.1 }},
		{"Temperature", func(p *Sampling) { p.Temperature = nan }},
		{"Temperature", func(p *Sampling) { p.Temperature = inf }},
		{"TopK", func(p *Sampling) { p.TopK = -1 }},
		{"TopP", func(p *Sampling) { p.TopP = 0 }},
		{"TopP", func(p *Sampling) { p.TopP = 1.0001 }},
		{"TopP", func(p *Sampling) { p.TopP = -0.5 }},
		{"TopP", func(p *Sampling) { p.TopP = nan }},
		{"MinP", func(p *Sampling) { p.MinP = -0.01 }},
		{"MinP", func(p *Sampling) { p.MinP = 1.01 }},
		{"MinP", func(p *Sampling) { p.MinP = nan }},
		{"TypicalP", func(p *Sampling) { p.TypicalP = 0 }},
		{"TypicalP", func(p *Sampling) { p.TypicalP = 1.5 }},
		{"TypicalP", func(p *Sampling) { p.TypicalP = nan }},
		{"RepetitionPenalty", func(p *Sampling) { p.RepetitionPenalty = 0 }},
		{"RepetitionPenalty", func(p *Sampling) { p.RepetitionPenalty = -1 }},
		{"RepetitionPenalty", func(p *Sampling) { p.RepetitionPenalty = nan }},
		{"RepetitionPenalty", func(p *Sampling) { p.RepetitionPenalty = 1001 }},
		{"FrequencyPenalty", func(p *Sampling) { p.FrequencyPenalty = nan }},
		{"FrequencyPenalty", func(p *Sampling) { p.FrequencyPenalty = -inf }},
		{"PresencePenalty", func(p *Sampling) { p.PresencePenalty = inf }},
		{"PresencePenalty", func(p *Sampling) { p.PresencePenalty = nan }},
		{"LogitBias[3]", func(p *Sampling) { p.LogitBias = map[int32]float64{3: nan} }},
		{"LogitBias[3]", func(p *Sampling) { p.LogitBias = map[int32]float64{3: inf, 4: inf} }},
		{"LogitBias[10]", func(p *Sampling) { p.LogitBias = map[int32]float64{10: 1} }},
		{"LogitBias[-1]", func(p *Sampling) { p.LogitBias = map[int32]float64{-1: 1, 10: 1} }},
		{"", func(*Sampling) {}},
		{"", func(p *Sampling) { p.Temperature = 5e-324 }},
		{"", func(p *Sampling) { p.TopP = 1e-300; p.TopK = 5; p.MinP = 1; p.TypicalP = 0.5 }},
		{"", func(p *Sampling) { p.LogitBias = map[int32]float64{9: -inf, 0: -100} }},
	} {
		p := Greedy()
		tt.f(&p)
		err := p.Check(10)
		if tt.field == "" {
			if err != nil {
				t.Errorf("%+v: %v", p, err)
			}
			continue
		}
		var pe *ParamError
		if !errors.As(err, &pe) || pe.Field != tt.field || pe.Reason == "" {
			t.Errorf("%+v: got %v, want a ParamError for %s", p, err, tt.field)
		}
	}
	p := Greedy()
	p.LogitBias = map[int32]float64{1 << 20: 1}
	if err := p.Check(0); err != nil {
		t.Errorf("with no vocabulary known: %v", err)
	}
}

func TestBadLogits(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	settings := map[string]func(*Sampling){
		"greedy":  func(p *Sampling) { p.Temperature = 0 },
		"plain":   func(*Sampling) {},
		"top_k":   func(p *Sampling) { p.TopK = 1 },
		"top_p":   func(p *Sampling) { p.TopP = 0.5 },
		"min_p":   func(p *Sampling) { p.MinP = 0.5 },
		"typical": func(p *Sampling) { p.TypicalP = 0.5 },
		"bias":    func(p *Sampling) { p.LogitBias = map[int32]float64{0: -1}; p.TopK = 1 },
		"banned":  func(p *Sampling) { p.LogitBias = map[int32]float64{0: 1}; p.Temperature = 0 },
	}
	for name, set := range settings {
		for _, tt := range []struct {
			logits []float32
			id     int32
		}{
			{[]float32{0, 5, nan, 1}, 2},
			{[]float32{nan, 5, 2, 1}, 0},
			{[]float32{0, 5, 2, nan}, 3},
			{[]float32{0, inf, 2, 1}, 1},
			{[]float32{-inf, -inf, -inf, -inf}, -1},
		} {
			p := Greedy()
			p.Temperature = 1
			set(&p)
			s := NewSampler(4)
			_, err := s.Sample(&p, tt.logits, nil, 0, 0)
			var le *LogitsError
			if !errors.As(err, &le) || le.ID != tt.id {
				t.Errorf("%s, %v: got %v, want a LogitsError for token %d", name, tt.logits, err, tt.id)
			}
			if _, err := s.Distribution(nil, &p, tt.logits, nil); !errors.As(err, &le) || le.ID != tt.id {
				t.Errorf("%s, %v: Distribution gives %v", name, tt.logits, err)
			}
			if id, err := s.Sample(&p, []float32{0, 50, 0, 0}, nil, 0, 0); err != nil || id != 1 {
				t.Errorf("%s: after an error %d, %v", name, id, err)
			}
		}
	}
	p := Greedy()
	p.LogitBias = map[int32]float64{0: math.Inf(-1), 1: math.Inf(-1)}
	var le *LogitsError
	if _, err := NewSampler(2).Sample(&p, []float32{1, 2}, nil, 0, 0); !errors.As(err, &le) || le.ID != -1 {
		t.Errorf("all tokens banned: %v", err)
	}
}

func TestHistory(t *testing.T) {
	var h History
	h.Add(4)
	h.Reset([]int32{7, 7, 8})
	h.Add(8)
	h.Add(9)
	h.Add(9)
	for _, tt := range []struct {
		id     int32
		count  int
		prompt bool
	}{{7, 0, true}, {8, 1, true}, {9, 2, false}, {4, 0, false}} {
		if c, p := h.Count(tt.id); c != tt.count || p != tt.prompt {
			t.Errorf("token %d: %d, %v; want %d, %v", tt.id, c, p, tt.count, tt.prompt)
		}
	}
	added := []int32{7, 5, 9, 5}
	for _, id := range added {
		h.Add(id)
	}
	h.undo(added)
	if len(h.seen) != 3 || len(h.index) != 3 {
		t.Errorf("after undo: %v, %v", h.seen, h.index)
	}
	if c, _ := h.Count(9); c != 2 {
		t.Errorf("after undo token 9 counts %d", c)
	}
	if c, p := h.Count(7); c != 0 || !p {
		t.Errorf("after undo token 7 is %d, %v", c, p)
	}
}

// TestPhilox has the known answers of Random123 1.14 (kat_vectors, philox4x32 10).
func TestPhilox(t *testing.T) {
	const f = 0xffffffff
	for _, tt := range []struct {
		counter [4]uint32
		key     [2]uint32
		want    [4]uint32
	}{
		{[4]uint32{}, [2]uint32{}, [4]uint32{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
		{[4]uint32{f, f, f, f}, [2]uint32{f, f}, [4]uint32{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
		{[4]uint32{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, [2]uint32{0xa4093822, 0x299f31d0}, [4]uint32{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
	} {
		if got := philox4x32(tt.counter, tt.key); got != tt.want {
			t.Errorf("philox(%x, %x) = %x, want %x", tt.counter, tt.key, got, tt.want)
		}
	}
	// The words by which seed, answer and position enter.
	for _, tt := range []struct {
		seed             uint64
		answer, position int
		words            [4]uint32
		key              [2]uint32
	}{
		{0, 0, 0, [4]uint32{}, [2]uint32{}},
		{0x299f31d0_a4093822, 3, 0x1_0000_0007, [4]uint32{7, 1, 3, 0}, [2]uint32{0xa4093822, 0x299f31d0}},
	} {
		x := philox4x32(tt.words, tt.key)
		want := (float64(x[0]>>5)*(1<<26) + float64(x[1]>>6)) / (1 << 53)
		if got := uniform(tt.seed, tt.answer, tt.position); got != want {
			t.Errorf("uniform(%x, %d, %x) = %v, want %v", tt.seed, tt.answer, tt.position, got, want)
		}
	}
	const want = float64(0x6627e8d5>>5<<26|0xe169c58d>>6) / (1 << 53) // the first known answer
	if u := uniform(0, 0, 0); u != want {
		t.Errorf("uniform(0, 0, 0) = %v, want %v", u, want)
	}
}

// TestSampleIsPure draws the same positions in other orders, from other samplers
// and between other rows.
func TestSampleIsPure(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	const vocab = 500
	rows := make([][]float32, 20)
	for i := range rows {
		rows[i] = randomLogits(r, vocab)
	}
	p := Sampling{Temperature: 1.3, TopP: 0.98, TypicalP: 1, RepetitionPenalty: 1, Seed: 42}
	sample := func(s *Sampler, answer, position int) int32 {
		id, err := s.Sample(&p, rows[position], nil, answer, position)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	want := map[[2]int]int32{}
	s := NewSampler(vocab)
	for answer := range 3 {
		for position := range rows {
			want[[2]int{answer, position}] = sample(s, answer, position)
		}
	}
	other := NewSampler(vocab)
	for range 500 {
		answer, position := r.IntN(3), r.IntN(len(rows))
		if got := sample(other, answer, position); got != want[[2]int{answer, position}] {
			t.Fatalf("answer %d, position %d: %d, then %d", answer, position, want[[2]int{answer, position}], got)
		}
	}
	differ := 0
	for position := range rows {
		if want[[2]int{0, position}] != want[[2]int{1, position}] {
			differ++
		}
	}
	if differ == 0 {
		t.Error("the answers of one request are all the same")
	}
}

// TestSampleFrequencies holds the draws against the distribution: a χ² test over
// seeds, over answers and over positions.
func TestSampleFrequencies(t *testing.T) {
	logits := make([]float32, 300) // two blocks
	r := rand.New(rand.NewPCG(3, 4))
	for i := range logits {
		logits[i] = float32(r.NormFloat64())
	}
	for _, set := range []func(*Sampling){func(*Sampling) {}, func(p *Sampling) { p.TopK = 30 }, func(p *Sampling) { p.TopP = 0.8 }} {
		p := Greedy()
		p.Temperature = 1
		set(&p)
		s := NewSampler(len(logits))
		want, err := s.Distribution(nil, &p, logits, nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, at := range map[string]func(i int) (uint64, int, int){
			"seed":     func(i int) (uint64, int, int) { return uint64(i), 0, 0 },
			"answer":   func(i int) (uint64, int, int) { return 1, i, 0 },
			"position": func(i int) (uint64, int, int) { return 1, 0, i },
		} {
			const draws = 5_000
			counts := make([]int, len(logits))
			for i := range draws {
				seed, answer, position := at(i)
				p.Seed = seed
				id, err := s.Sample(&p, logits, nil, answer, position)
				if err != nil {
					t.Fatal(err)
				}
				counts[id]++
			}
			chi, df := 0.0, -1.0
			for i, w := range want {
				if w == 0 {
					if counts[i] > 0 {
						t.Fatalf("token %d of probability 0 was drawn", i)
					}
					continue
				}
				d := float64(counts[i]) - w*draws
				chi += d * d / (w * draws)
				df++
			}
			if z := (chi - df) / math.Sqrt(2*df); math.Abs(z) > 5 {
				t.Errorf("%+v over %s: χ² = %.0f with %.0f degrees of freedom", p, name, chi, df)
			}
		}
	}
}

func TestDraw(t *testing.T) {
	w := []float64{0, 1, 0, 2, 1, 0}
	for _, tt := range []struct {
		u    float64
		want int
	}{{0, 1}, {0.2499, 1}, {0.25, 3}, {0.7499, 3}, {0.75, 4}, {math.Nextafter(1, 0), 4}} {
		if got := draw(w, tt.u); got != tt.want {
			t.Errorf("draw(%v) = %d, want %d", tt.u, got, tt.want)
		}
	}
	if got := draw([]float64{5}, 0.999); got != 0 {
		t.Errorf("one token: %d", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 1200).Draw(t, "n")
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 2))
		w, cum := make([]float64, n), make([]float64, n+1)
		for i := range w {
			if r.IntN(3) > 0 {
				w[i] = r.ExpFloat64()
			}
		}
		w[r.IntN(n)] = 1
		for i := range w {
			cum[i+1] = cum[i] + w[i]
		}
		u := rapid.OneOf(rapid.Float64Range(0, math.Nextafter(1, 0)), rapid.Just(math.Nextafter(1, 0)), rapid.Just(0.0)).Draw(t, "u")
		i := draw(w, u)
		if target, slack := u*cum[n], 1e-12*cum[n]; w[i] == 0 || cum[i] > target+slack || cum[i+1] < target-slack {
			t.Fatalf("u = %v: drew %d of weight %v, [%v, %v) of %v", u, i, w[i], cum[i], cum[i+1], cum[n])
		}
	})
}

func TestExp(t *testing.T) {
	var x []float64
	for v := 0.0; v > -746; v -= 0.00731 {
		x = append(x, v)
	}
	x = append(x, 0, -1e-300, -5e-324, math.Inf(-1), -1e300, -708, math.Nextafter(-708, 0), math.Nextafter(-708, -1000), -math.Ln2)
	y := make([]float64, len(x))
	expTo(y, x)
	for i, v := range x {
		want := math.Exp(v)
		if math.Abs(y[i]-want) > 4e-16*want+5e-324 {
			t.Fatalf("exp(%v) = %v, want %v", v, y[i], want)
		}
	}
	expTo(x, []float64{0})
	if x[0] != 1 {
		t.Errorf("exp(0) = %v", x[0])
	}
}

func TestCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.SampledFrom([]int{1, 2, 16, 17, 40, 1000}).Draw(t, "n")
		kinds := rapid.SampledFrom([]int{1, 3, 1 << 30}).Draw(t, "kinds")
		shape := rapid.SampledFrom([]string{"random", "rising", "falling", "organ"}).Draw(t, "shape")
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 3))
		items := make([]item, n)
		for i := range items {
			k := float64(r.IntN(kinds))
			switch shape {
			case "rising":
				k = float64(i % kinds)
			case "falling":
				k = float64((n - i) % kinds)
			case "organ":
				k = float64(min(i, n-i) % kinds)
			}
			items[i] = item{k, math.Floor(k/7) - 7*math.Floor(k/49)} // whole numbers: no rounding
		}
		base := float64(r.IntN(5))
		limit := float64(r.IntN(4*n + 3))
		reach := rapid.Bool().Draw(t, "reach")
		sorted := slices.Clone(items)
		slices.SortFunc(sorted, func(a, b item) int { return cmp.Compare(a.key, b.key) })
		at, sum := n-1, base
		for i, it := range sorted {
			if sum += it.weight; sum > limit || reach && sum == limit {
				at = i
				break
			}
		}
		first := at
		for first > 0 && sorted[first-1].key == sorted[at].key {
			first--
		}
		key, before := cut(items, base, limit, reach)
		if key != sorted[at].key || before != at-first {
			t.Fatalf("got key %v and %d before it, want %v and %d", key, before, sorted[at].key, at-first)
		}
	})
}

func TestSampleAllocatesNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	const vocab = 5000
	logits := randomLogits(r, vocab)
	var h History
	h.Reset([]int32{1, 2, 3})
	h.Add(5)
	s := NewSampler(vocab)
	for name, p := range benchSettings() {
		position := 0
		f := func() {
			if _, err := s.Sample(&p, logits, &h, 0, position); err != nil {
				t.Fatal(err)
			}
			position++
		}
		f()
		if n := testing.AllocsPerRun(20, f); n > 0 {
			t.Errorf("%s: %v allocations a token", name, n)
		}
	}
}

func benchSettings() map[string]Sampling {
	with := func(f func(*Sampling)) Sampling {
		p := Greedy()
		p.Temperature = 0.7
		f(&p)
		return p
	}
	return map[string]Sampling{
		"greedy":        Greedy(),
		"temperature":   with(func(*Sampling) {}),
		"top_k40+top_p": with(func(p *Sampling) { p.TopK, p.TopP = 40, 0.95 }),
		"top_p0.95":     with(func(p *Sampling) { p.TopP = 0.95 }),
		"min_p0.05":     with(func(p *Sampling) { p.MinP = 0.05 }),
		"typical0.9":    with(func(p *Sampling) { p.TypicalP = 0.9 }),
		"penalties+top_k40+top_p+min_p": with(func(p *Sampling) {
			p.TopK, p.TopP, p.MinP, p.RepetitionPenalty, p.FrequencyPenalty = 40, 0.95, 0.05, 1.1, 0.2
			p.LogitBias = map[int32]float64{3: -1}
		}),
	}
}

func BenchmarkSample(b *testing.B) {
	for _, vocab := range []int{49_152, 151_936} {
		r := rand.New(rand.NewPCG(uint64(vocab), 1))
		rows := [][]float32{randomLogits(r, vocab), randomLogits(r, vocab), randomLogits(r, vocab)}
		var h History
		for range 300 {
			h.Add(int32(r.IntN(vocab)))
		}
		settings := benchSettings()
		for _, name := range []string{"greedy", "temperature", "top_k40+top_p", "top_p0.95", "min_p0.05", "typical0.9", "penalties+top_k40+top_p+min_p"} {
			p := settings[name]
			b.Run(fmt.Sprintf("%s/%d", name, vocab), func(b *testing.B) {
				s := NewSampler(vocab)
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					if _, err := s.Sample(&p, rows[i%len(rows)], &h, 0, i); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
