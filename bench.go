package godwit

// Bench: how fast a model reads and writes, in the tests of llama-bench.

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/godwit-ml/godwit/engine"
	"github.com/godwit-ml/godwit/model"
)

// BenchRequest asks for measurements, with the meanings of llama.cpp's
// llama-bench: a test for each combination of what is listed. Lists that are nil
// have their default, which is cut to the context; a 0 in Prompts or Generate
// asks for no such test.
type BenchRequest struct {
	Prompts  []int `json:"prompts,omitempty"`  // tokens that are read in one go; nil: 512
	Generate []int `json:"generate,omitempty"` // tokens that are written one by one; nil: 128, of models that write
	// Depths are how many tokens the context has before a test begins; nil: 0.
	// Of encoder-decoders it is how long a source is written from, and only tests
	// that write have one; of encoders there is none.
	Depths  []int `json:"depths,omitempty"`
	Batches []int `json:"batches,omitempty"` // sequences at once; nil: 1
	Repeats int   `json:"repeats,omitempty"` // runs of each test, after one to warm up; 0: 5

	// Progress is called before each test and after each of its runs, on the
	// loop's goroutine. Stage is the test; Done and Total count runs.
	Progress func(Progress) `json:"-"`
}

// BenchResult is one test.
type BenchResult struct {
	Test               string  `json:"test"`            // "pp512", "tg64", "tg64@d512", "tg64@d512 b16"
	TokensPerSecond    float64 `json:"tok_s"`           // of all sequences together: the median of the runs
	SequencesPerSecond float64 `json:"seq_s,omitempty"` // of encoders, too
	Spread             float64 `json:"spread"`          // of the runs: third less first quartile, as a part of the median

	Prompt   int             `json:"-"` // tokens read, or
	Generate int             `json:"-"` // tokens written, of each sequence
	Depth    int             `json:"-"`
	Batch    int             `json:"-"`
	Times    []time.Duration `json:"-"` // of the runs, in order, without the one that warms up
}

// The defaults of a BenchRequest, which are llama-bench's.
const (
	benchPrompt   = 512
	benchGenerate = 128
	benchRepeats  = 5
)

// Bench measures how many tokens a second the model reads and writes, and yields
// a result a test: for each batch and each depth first the prompts, then what is
// written. The first error ends it; wrong parameters are one before anything runs.
//
// The tokens are random ids of the vocabulary, always the same ones. What is timed
// of a prompt: its forward passes of at most 512 tokens (encoders: of whole
// sequences, up to 2,048 tokens), and the greedy choice of the next token, or of an encoder the
// pooled vectors, until it is on the host. Of writing: a forward pass for each token, with its greedy
// choice, which the next pass reads. What is not timed: opening, tokenizing, text,
// other sampling, and the pass over the tokens of the depth, which are in the
// context when a run begins, and from which every run begins anew.
//
// Calls that run at the same time share the model and are measured with it.
func (m *Model) Bench(ctx context.Context, req BenchRequest) iter.Seq2[BenchResult, error] {
	return func(yield func(BenchResult, error) bool) {
		tests, err := m.benchTests(&req)
		if err != nil {
			yield(BenchResult{}, err)
			return
		}
		for _, t := range tests {
			r, err := m.benchTest(ctx, t, req.Progress)
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// benchTest runs one test.
func (m *Model) benchTest(ctx context.Context, t engine.Bench, progress func(Progress)) (BenchResult, error) {
	r := BenchResult{Test: benchName(t), Prompt: t.Prompt, Generate: t.Generate, Depth: t.Depth, Batch: t.Batch}
	tell := func(runs int) {
		if progress != nil {
			progress(Progress{r.Test, int64(runs), int64(t.Repeats + 1)})
		}
	}
	tell(0)
	runs := 0
	for d, err := range m.engine.Bench(ctx, t) {
		if err != nil {
			return BenchResult{}, m.callError(err)
		}
		if runs++; runs > 1 {
			r.Times = append(r.Times, d)
		}
		tell(runs)
	}
	rates := make([]float64, len(r.Times))
	for i, d := range r.Times {
		rates[i] = float64(t.Batch) / max(d, 1).Seconds() // sequences
	}
	slices.Sort(rates)
	median := quantile(rates, 0.5)
	r.Spread = (quantile(rates, 0.75) - quantile(rates, 0.25)) / median
	r.TokensPerSecond = median * float64(t.Prompt+t.Generate)
	if m.in.Kind == model.Encode {
		r.SequencesPerSecond = median
	}
	return r, nil
}

// quantile is a quantile of sorted values, linear between two of them.
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	i := int(at)
	if i+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}

// benchName is llama-bench's name of a test, with its batch unless it is 1.
func benchName(t engine.Bench) string {
	name := fmt.Sprintf("pp%d", t.Prompt)
	if t.Generate > 0 {
		name = fmt.Sprintf("tg%d", t.Generate)
	}
	if t.Depth > 0 {
		name += fmt.Sprintf("@d%d", t.Depth)
	}
	if t.Batch > 1 {
		name += fmt.Sprintf(" b%d", t.Batch)
	}
	return name
}

// benchTests are the tests of a request, all of them checked.
func (m *Model) benchTests(req *BenchRequest) ([]engine.Bench, error) {
	if m.closed.Load() {
		return nil, ErrClosed
	}
	if err := m.benchDefaults(req); err != nil {
		return nil, err
	}
	var tests []engine.Bench
	add := func(t engine.Bench) error {
		t.Repeats = req.Repeats
		if m.in.Kind != model.Decoder {
			t.StepTokens = passTokens
		}
		if m.in.Kind == model.Encode {
			t.Pooling = model.Pooling(m.info.Pooling)
		}
		tests = append(tests, t)
		return m.benchError(m.engine.CheckBench(t))
	}
	for _, batch := range req.Batches {
		for _, depth := range req.Depths {
			for _, n := range req.Prompts {
				if n == 0 || depth > 0 && m.in.Kind == model.Seq2Seq {
					continue
				}
				if err := add(engine.Bench{Prompt: n, Depth: depth, Batch: batch}); err != nil {
					return nil, err
				}
			}
			for _, n := range req.Generate {
				if n == 0 {
					continue
				}
				if err := add(engine.Bench{Generate: n, Depth: depth, Batch: batch}); err != nil {
					return nil, err
				}
			}
		}
	}
	if len(tests) == 0 {
		return nil, &ParamError{"Prompts", req.Prompts, "nothing is to be read, and nothing to be written"}
	}
	return tests, nil
}

// maxBenchBatch and maxBenchRepeats bound what a request can ask memory for.
const (
	maxBenchBatch   = 4096
	maxBenchRepeats = 10_000
)

// benchDefaults puts the defaults in place and checks what the engine does not.
func (m *Model) benchDefaults(req *BenchRequest) error {
	if req.Repeats == 0 {
		req.Repeats = benchRepeats
	}
	if req.Repeats < 1 || req.Repeats > maxBenchRepeats {
		return &ParamError{"Repeats", req.Repeats, fmt.Sprintf("want 0 (%d) to %d", benchRepeats, maxBenchRepeats)}
	}
	if req.Depths == nil {
		req.Depths = []int{0}
	}
	if req.Batches == nil {
		req.Batches = []int{1}
	}
	for _, list := range []struct {
		field       string
		values      []int
		least, most int
	}{
		{"Prompts", req.Prompts, 0, m.info.Context}, {"Generate", req.Generate, 0, m.info.Context},
		{"Depths", req.Depths, 0, m.info.Context - 1}, {"Batches", req.Batches, 1, maxBenchBatch},
	} {
		for _, v := range list.values {
			if v < list.least || v > list.most {
				return &ParamError{list.field, v, fmt.Sprintf("want %d to %d", list.least, list.most)}
			}
		}
	}
	left := m.info.Context
	if m.in.Kind == model.Decoder && len(req.Depths) > 0 {
		left -= slices.Max(req.Depths)
	}
	if req.Prompts == nil {
		req.Prompts = []int{min(benchPrompt, left)}
	}
	if req.Generate == nil && m.in.Kind != model.Encode && m.in.LM {
		req.Generate = []int{min(benchGenerate, left)}
	}
	return nil
}

// benchError is a parameter's error with the name of the request's field.
func (m *Model) benchError(err error) error {
	var p *ParamError
	if err = m.callError(err); errors.As(err, &p) {
		if name, ok := map[string]string{"Prompt": "Prompts", "Depth": "Depths", "Batch": "Batches"}[p.Field]; ok {
			p.Field = name
		}
	}
	return err
}
