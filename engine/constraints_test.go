package engine

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

// at is a place in an answer, without penalties.
func at(prompt, answer, source []int32) place {
	return place{tokens: slices.Concat(prompt, answer), prompt: len(prompt), source: source, eos: []int32{0}, max: 6, repetition: 1}
}

// TestConstraints: each rule alone, on a row of -1, 0, 1 … 6.
func TestConstraints(t *testing.T) {
	inf := float32(math.Inf(-1))
	type ids = []int32
	for name, row := range map[string]struct {
		c    Constraints
		at   place
		want map[int]float32 // what differs; alone: all else is banned
		only bool
	}{
		"a bias of one":                {c: Constraints{Bias: []SequenceBias{{ids{3}, -2.5}}}, at: at(ids{1}, nil, nil), want: map[int]float32{3: -0.5}},
		"biases add up":                {c: Constraints{Bias: []SequenceBias{{ids{1, 2, 3}, 4}, {ids{3}, 1}, {ids{2, 3}, 0.5}}}, at: at(ids{1}, ids{2}, nil), want: map[int]float32{3: 7.5}},
		"a bias of another place":      {c: Constraints{Bias: []SequenceBias{{ids{1, 2, 3}, 4}}}, at: at(ids{2}, ids{1}, nil)},
		"a bias longer than all":       {c: Constraints{Bias: []SequenceBias{{ids{1, 2, 3}, 4}}}, at: at(ids{2}, nil, nil)},
		"the source favoured":          {c: Constraints{SourcePenalty: 2}, at: at(ids{5}, ids{6}, ids{0, 3, 3, 99}), want: map[int]float32{0: -0.5, 3: 4}},
		"no favour":                    {c: Constraints{SourcePenalty: 1}, at: at(ids{5}, ids{6}, ids{0, 3})},
		"no token twice":               {c: Constraints{NoRepeat: 1}, at: at(ids{1, 3}, ids{1, 5}, nil), want: map[int]float32{1: inf, 3: inf, 5: inf}},
		"no pair twice":                {c: Constraints{NoRepeat: 2}, at: at(ids{1, 3, 1}, ids{4, 5, 1}, nil), want: map[int]float32{3: inf, 4: inf}},
		"no three twice":               {c: Constraints{NoRepeat: 3}, at: at(ids{1, 3, 1}, ids{4, 1, 3}, nil), want: map[int]float32{1: inf}},
		"three of two":                 {c: Constraints{NoRepeat: 3}, at: at(ids{1}, ids{1}, nil)},
		"a pair of one":                {c: Constraints{NoRepeat: 2}, at: at(ids{1}, nil, nil)},
		"four of three":                {c: Constraints{NoRepeat: 4}, at: at(ids{1, 1, 1}, nil, nil)},
		"none of the source":           {c: Constraints{SourceNoRepeat: 1}, at: at(ids{1}, ids{2}, ids{4, 5, 99}), want: map[int]float32{4: inf, 5: inf}},
		"no pair of the source":        {c: Constraints{SourceNoRepeat: 2}, at: at(ids{1}, ids{2}, ids{2, 4, 1, 5}), want: map[int]float32{4: inf}},
		"a source too short":           {c: Constraints{SourceNoRepeat: 3}, at: at(ids{1}, ids{2}, ids{1, 2})},
		"a place too early":            {c: Constraints{SourceNoRepeat: 3}, at: at(ids{1}, nil, ids{1, 2, 3})},
		"bad words":                    {c: Constraints{BadWords: [][]int32{{6}, {1, 2, 3}, {2, 2}, {1, 4}}}, at: at(ids{1}, ids{2}, nil), want: map[int]float32{6: inf, 3: inf, 2: inf}},
		"the end is no bad word":       {c: Constraints{BadWords: [][]int32{{0}}}, at: at(ids{1}, nil, nil)},
		"the end after another is one": {c: Constraints{BadWords: [][]int32{{1, 0}}}, at: at(ids{1}, nil, nil), want: map[int]float32{0: inf}},
		"too early to end":             {c: Constraints{MinTokens: 2}, at: at(ids{1}, ids{1}, nil), want: map[int]float32{0: inf}},
		"late enough to end":           {c: Constraints{MinTokens: 2}, at: at(ids{1}, ids{1, 1}, nil)},
		"forced at first":              {c: Constraints{ForcedBOS: ids{4}}, at: at(ids{1}, nil, nil), want: map[int]float32{4: 0}, only: true},
		"not after two":                {c: Constraints{ForcedBOS: ids{4}}, at: at(ids{1, 1}, nil, nil)},
		"not after another":            {c: Constraints{ForcedBOS: ids{4}}, at: at(ids{1}, ids{4}, nil)},
		"forced at last":               {c: Constraints{ForcedEOS: ids{4, 6}}, at: at(ids{1, 1}, ids{1, 1, 1, 1, 1}, nil), want: map[int]float32{4: 0, 6: 0}, only: true},
		"not before the last":          {c: Constraints{ForcedEOS: ids{4}}, at: at(ids{1, 1}, ids{1, 1, 1, 1}, nil)},
		"forced whatever is banned":    {c: Constraints{ForcedEOS: ids{0}, MinTokens: 9, BadWords: [][]int32{{1, 0}}, NoRepeat: 1}, at: at(ids{0, 1}, ids{1, 1, 1, 1, 1}, nil), want: map[int]float32{0: 0}, only: true},
		"the last over the first":      {c: Constraints{ForcedBOS: ids{4}, ForcedEOS: ids{5}}, at: place{tokens: ids{1}, prompt: 1, max: 1, repetition: 1}, want: map[int]float32{5: 0}, only: true},
		"decay not begun":              {c: Constraints{DecayStart: 2, DecayFactor: 3}, at: at(ids{1}, ids{1, 1}, nil)},
		"decay":                        {c: Constraints{DecayStart: 2, DecayFactor: 3}, at: at(ids{1}, ids{1, 1, 1, 1}, nil), want: map[int]float32{0: -1 + 8}},
		"decay below 1":                {c: Constraints{DecayStart: 2, DecayFactor: 0.5}, at: at(ids{1}, ids{1, 1, 1}, nil), want: map[int]float32{0: -1.5}},
		"decay of what is banned":      {c: Constraints{MinTokens: 9, DecayFactor: 3}, at: at(ids{1}, ids{1}, nil), want: map[int]float32{0: inf}},
		"suppressed":                   {c: Constraints{Suppress: ids{2, -1, 8, 100}}, at: at(ids{1}, ids{1}, nil), want: map[int]float32{2: inf}},
		"suppressed at first":          {c: Constraints{BeginSuppress: ids{2}}, at: at(ids{1, 2}, nil, nil), want: map[int]float32{2: inf}},
		"not suppressed later":         {c: Constraints{BeginSuppress: ids{2}}, at: at(ids{1, 2}, ids{3}, nil)},
		"after the forced one":         {c: Constraints{BeginSuppress: ids{2}, ForcedBOS: ids{4}}, at: at(ids{1}, ids{4}, nil), want: map[int]float32{2: inf}},
		"the forced one itself":        {c: Constraints{BeginSuppress: ids{4}, ForcedBOS: ids{4}}, at: at(ids{1}, nil, nil), want: map[int]float32{4: 0}, only: true},
		"a prompt of two":              {c: Constraints{BeginSuppress: ids{2}, ForcedBOS: ids{4}}, at: at(ids{1, 1}, nil, nil), want: map[int]float32{2: inf}},
	} {
		t.Run(name, func(t *testing.T) {
			if err := row.c.Check(8); err != nil {
				t.Fatal(err)
			}
			got, want := make([]float32, 8), make([]float32, 8)
			for i := range got {
				got[i] = float32(i - 1)
				want[i] = got[i]
				if v, ok := row.want[i]; ok {
					want[i] = v
				} else if row.only {
					want[i] = inf
				}
			}
			row.c.apply(got, &row.at)
			if !slices.Equal(got, want) {
				t.Errorf("%v, want %v", got, want)
			}
		})
	}
}

// TestConstraintsOrder: bias and source, penalties, bans, and what is forced, in
// this order.
func TestConstraintsOrder(t *testing.T) {
	c := Constraints{Bias: []SequenceBias{{[]int32{2}, -3}}, SourcePenalty: 0.5, DecayFactor: 3, Finite: true, Suppress: []int32{5}}
	p := at([]int32{2}, []int32{4}, []int32{2})
	p.repetition, p.bias, p.history = 4, map[int32]float64{0: 5, 5: 9}, new(History)
	p.history.Reset(p.tokens[:1])
	p.history.Add(4)
	row := []float32{-1, float32(math.NaN()), 1, float32(math.Inf(1)), 8, 4, float32(math.Inf(-1)), 0}
	c.apply(row, &p)
	// 2: (1 − 3)·2·4, 4: 8/4, 0: (−1 + 5)·3; then 1, 3 and 6 are made finite.
	want := []float32{12, 0, -16, math.MaxFloat32, 2, float32(math.Inf(-1)), -math.MaxFloat32, 0}
	if !slices.Equal(row, want) {
		t.Errorf("%v, want %v", row, want)
	}
	row = []float32{0, 0, 0, 0, 0, 0, 0, 0}
	d := Constraints{DecayFactor: 1000, ForcedEOS: []int32{0}}
	p = at([]int32{2}, []int32{1, 1, 1, 1, 1}, nil)
	p.max = 6
	d.apply(row, &p)
	if row[0] != 0 || !math.IsInf(float64(row[1]), -1) {
		t.Errorf("a forced end that decays: %v", row)
	}
}

func TestConstraintsAllocateNothing(t *testing.T) {
	c := Constraints{Bias: []SequenceBias{{[]int32{1, 2}, 1}}, SourcePenalty: 1.5, NoRepeat: 2, SourceNoRepeat: 2, BadWords: [][]int32{{3, 4}}, MinTokens: 3, ForcedBOS: []int32{1},
		ForcedEOS: []int32{2}, Finite: true, DecayFactor: 1.1, Suppress: []int32{3}, BeginSuppress: []int32{1}}
	p := at([]int32{1, 2, 3}, []int32{1, 2}, []int32{1, 2, 3})
	p.history = new(History)
	row := make([]float32, 8)
	if n := testing.AllocsPerRun(20, func() { c.apply(row, &p) }); n != 0 {
		t.Errorf("%v allocations a row", n)
	}
}

func TestConstraintsCheck(t *testing.T) {
	nan := math.NaN()
	for field, c := range map[string]Constraints{
		"Bias[0]":         {Bias: []SequenceBias{{nil, 1}}},
		"Bias[1]":         {Bias: []SequenceBias{{[]int32{1}, 1}, {[]int32{1, 8}, 1}}},
		"Bias[0] ":        {Bias: []SequenceBias{{[]int32{1}, nan}}},
		"SourcePenalty":   {SourcePenalty: nan},
		"SourcePenalty ":  {SourcePenalty: -1},
		"NoRepeat":        {NoRepeat: -1},
		"SourceNoRepeat":  {SourceNoRepeat: -1},
		"BadWords[1]":     {BadWords: [][]int32{{1}, {}}},
		"BadWords[0]":     {BadWords: [][]int32{{1, -1}}},
		"MinTokens":       {MinTokens: -1},
		"ForcedBOS":       {ForcedBOS: []int32{8}},
		"ForcedEOS":       {ForcedEOS: []int32{1, -1}},
		"ForcedEOS ":      {ForcedEOS: []int32{1, 2}, Suppress: []int32{2, 1}},
		"DecayStart":      {DecayStart: -1},
		"DecayFactor":     {DecayFactor: nan},
		"DecayFactor ":    {DecayFactor: 1001},
		"SourcePenalty  ": {SourcePenalty: 1e-4},
	} {
		var p *ParamError
		if err := c.Check(8); !errors.As(err, &p) || p.Field != strings.TrimSpace(field) {
			t.Errorf("%s: %v", field, err)
		}
		b := BeamConfig{Width: 2, Return: 1, MaxTokens: 3, RepetitionPenalty: 1, Constraints: &c}
		if _, err := NewBeam(b, 8, []int32{1}); !errors.As(err, &p) {
			t.Errorf("%s in beam search: %v", field, err)
		}
	}
}

// TestBeamConstraints: the rows of beams are shaped by their own tokens, scores of
// a forced token are 0, and Renormalize makes a row add up again.
func TestBeamConstraints(t *testing.T) {
	const vocab = 6
	even := func() []float32 {
		row := make([]float32, vocab)
		for i := range row {
			row[i] = float32(math.Log(1.0/vocab)) - float32(i)*1e-3
		}
		return row
	}
	for _, renormalize := range []bool{false, true} {
		c := BeamConfig{Width: 2, Return: 2, MaxTokens: 4, MinTokens: 4, EOS: []int32{5}, LengthPenalty: 0, RepetitionPenalty: 1,
			Constraints: &Constraints{ForcedBOS: []int32{3}, ForcedEOS: []int32{5}, NoRepeat: 1, Renormalize: renormalize}}
		b, err := NewBeam(c, vocab, []int32{0})
		if err != nil {
			t.Fatal(err)
		}
		for !b.Done() {
			var rows [][]float32
			for range b.Running() {
				rows = append(rows, even())
			}
			if _, err := b.Step(rows); err != nil {
				t.Fatal(err)
			}
		}
		got := b.Results()
		if len(got) != 2 || fmt.Sprint(got[0].IDs, got[1].IDs) != "[3 1 2 5] [3 2 1 5]" && fmt.Sprint(got[0].IDs, got[1].IDs) != "[3 1 2 5] [3 1 4 5]" {
			t.Fatalf("%+v", got)
		}
		want := 2 * math.Log(1.0/vocab) // of two tokens: what is forced counts nothing
		if renormalize {
			want = math.Log(1.0/3) + math.Log(1.0/2) // of 1, 2 and 4, then of two of these
		}
		if math.Abs(got[0].Score-want) > 0.01 {
			t.Errorf("renormalize %v: %v, want %v", renormalize, got[0].Score, want)
		}
	}
}
