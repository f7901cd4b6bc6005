package engine

// Drawing: the generator, that a draw depends on its key alone, frequencies, and
// what the sampler is built of.

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

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
