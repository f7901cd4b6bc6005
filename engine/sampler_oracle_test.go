package engine

// The sampler against a plain one in float64: drawn settings, rows and histories.

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

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
