package engine

// The sampler against Hugging Face's distributions, against the definition of
// each step written out with a full sort, and against numbers worked by hand.

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"testing"
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
