package godwit_test

// Bench: which tests a request asks for, their names, and what their numbers are.

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/godwit-ml/godwit"
)

func bench(t testing.TB, m *godwit.Model, req godwit.BenchRequest) []godwit.BenchResult {
	t.Helper()
	var all []godwit.BenchResult
	for r, err := range m.Bench(t.Context(), req) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

func TestBench(t *testing.T) {
	for _, row := range []struct {
		model string
		req   godwit.BenchRequest
		want  []string
	}{
		{"gpt2", godwit.BenchRequest{}, []string{"pp128", "tg128"}}, // of 512 and 128, cut to the context
		{"gpt2", godwit.BenchRequest{Depths: []int{0, 120}}, []string{"pp8", "tg8", "pp8@d120", "tg8@d120"}},
		{"gpt2", godwit.BenchRequest{Prompts: []int{5, 9}, Generate: []int{3}, Depths: []int{0, 4}, Batches: []int{1, 2}},
			[]string{"pp5", "pp9", "tg3", "pp5@d4", "pp9@d4", "tg3@d4", "pp5 b2", "pp9 b2", "tg3 b2", "pp5@d4 b2", "pp9@d4 b2", "tg3@d4 b2"}},
		{"gpt2", godwit.BenchRequest{Prompts: []int{0}, Generate: []int{2}}, []string{"tg2"}},
		{"gpt2", godwit.BenchRequest{Prompts: []int{2}, Generate: []int{0}}, []string{"pp2"}},
		{"gpt2", godwit.BenchRequest{Prompts: []int{2}, Generate: []int{}}, []string{"pp2"}},
		{"gpt2", godwit.BenchRequest{Prompts: []int{2, 0, 2}, Generate: []int{0}}, []string{"pp2", "pp2"}},
		{"bert-mlm", godwit.BenchRequest{}, []string{"pp128"}},
		{"bert-base", godwit.BenchRequest{Prompts: []int{6}, Batches: []int{3}}, []string{"pp6 b3"}}, // no tokenizer
		{"t5", godwit.BenchRequest{Prompts: []int{6}, Generate: []int{2}, Depths: []int{0, 3}}, []string{"pp6", "tg2", "tg2@d3"}},
	} {
		m := open(t, row.model, godwit.Config{})
		type told struct {
			test        string
			done, total int64
		}
		var tells, wantTells []told
		row.req.Repeats = 3
		row.req.Progress = func(p godwit.Progress) { tells = append(tells, told{p.Stage, p.Done, p.Total}) }
		var names []string
		for _, r := range bench(t, m, row.req) {
			names = append(names, r.Test)
			for i := range 5 {
				wantTells = append(wantTells, told{r.Test, int64(i), 4})
			}
			checkBench(t, r, m.Info().Kind == "encoder")
		}
		if !slices.Equal(names, row.want) {
			t.Errorf("%s, %+v: tests %q, want %q", row.model, row.req, names, row.want)
		}
		if !slices.Equal(tells, wantTells) {
			t.Errorf("%s: progress %v, want %v", row.model, tells, wantTells)
		}
	}
}

// checkBench works the numbers of a test of three runs out again.
func checkBench(t *testing.T, r godwit.BenchResult, encoder bool) {
	t.Helper()
	if len(r.Times) != 3 || (r.Prompt > 0) == (r.Generate > 0) {
		t.Fatalf("%+v", r)
	}
	sorted := slices.Sorted(slices.Values(r.Times)) // the longest first as a rate
	rate := func(d time.Duration) float64 { return float64(r.Batch) / d.Seconds() }
	middle := rate(sorted[1])
	wantSpread := ((rate(sorted[0])+middle)/2 - (middle+rate(sorted[2]))/2) / middle
	near := func(a, b float64) bool { return math.Abs(a-b) <= 1e-9*math.Abs(b)+1e-12 }
	if want := middle * float64(r.Prompt+r.Generate); !near(r.TokensPerSecond, want) {
		t.Errorf("%s: %g tok/s, want %g", r.Test, r.TokensPerSecond, want)
	}
	if !near(r.Spread, wantSpread) {
		t.Errorf("%s: spread %g, want %g", r.Test, r.Spread, wantSpread)
	}
	want := map[string]any{"test": r.Test, "tok_s": r.TokensPerSecond, "spread": r.Spread}
	if encoder {
		want["seq_s"] = middle
	}
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(near)); diff != "" {
		t.Errorf("%s: JSON\n%s", r.Test, diff)
	}
}

func TestBenchRefuses(t *testing.T) {
	for _, row := range []struct {
		model, field string
		req          godwit.BenchRequest
	}{
		{"gpt2", "Prompts", godwit.BenchRequest{Prompts: []int{-1}}},
		{"gpt2", "Prompts", godwit.BenchRequest{Prompts: []int{129}}},
		{"gpt2", "Prompts", godwit.BenchRequest{Prompts: []int{0}, Generate: []int{0}}},
		{"gpt2", "Prompts", godwit.BenchRequest{Depths: []int{}}},
		{"gpt2", "Prompts", godwit.BenchRequest{Prompts: []int{4, 120}, Depths: []int{0, 9}}}, // the last of all
		{"gpt2", "Generate", godwit.BenchRequest{Generate: []int{-1}}},
		{"gpt2", "Generate", godwit.BenchRequest{Generate: []int{120}, Depths: []int{9}}},
		{"gpt2", "Depths", godwit.BenchRequest{Depths: []int{128}}},
		{"gpt2", "Depths", godwit.BenchRequest{Depths: []int{-1}}},
		{"gpt2", "Batches", godwit.BenchRequest{Batches: []int{0}}},
		{"gpt2", "Batches", godwit.BenchRequest{Batches: []int{4097}}},
		{"gpt2", "Batches", godwit.BenchRequest{Batches: []int{4096}}}, // more than the cache has
		{"gpt2", "Repeats", godwit.BenchRequest{Repeats: -1}},
		{"gpt2", "Repeats", godwit.BenchRequest{Repeats: 10_001}},
		{"bert-mlm", "Generate", godwit.BenchRequest{Generate: []int{4}}},
		{"bert-mlm", "Depths", godwit.BenchRequest{Depths: []int{0, 4}}},
		{"t5", "Prompts", godwit.BenchRequest{Generate: []int{0}, Depths: []int{4}}},
	} {
		m := open(t, row.model, godwit.Config{})
		var p *godwit.ParamError
		n := 0
		for r, err := range m.Bench(t.Context(), row.req) {
			if n++; n > 1 || !errors.As(err, &p) || p.Field != row.field {
				t.Errorf("%s, %+v: %v, %v; want a *ParamError of %s", row.model, row.req, r, err, row.field)
			}
		}
		if n == 0 {
			t.Errorf("%s, %+v: neither a result nor an error", row.model, row.req)
		}
	}
	m := open(t, "gpt2", godwit.Config{})
	for range 2 { // the loop may be left, and ranged over again
		for _, err := range m.Bench(t.Context(), godwit.BenchRequest{}) {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	for _, err := range m.Bench(t.Context(), godwit.BenchRequest{}) {
		if !errors.Is(err, godwit.ErrClosed) {
			t.Errorf("closed: %v", err)
		}
	}
}
