package godwit_test

// Requests that cannot be: typed errors that name the field, before anything runs.

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-ml/godwit"
)

// TestParamErrors: everything contradictory or out of range is an error that
// names the field, before anything runs.
func TestParamErrors(t *testing.T) {
	g := open(t, "gpt2", godwit.Config{})
	with := func(change func(r *godwit.Request)) func() error {
		return func() error {
			r := request(4)
			change(&r)
			_, err := g.Complete(t.Context(), r)
			return err
		}
	}
	sampling := func(s godwit.Sampling) func() error { return with(func(r *godwit.Request) { r.Sampling = s }) }
	b := open(t, "bert-mlm", godwit.Config{})
	mask := func(r godwit.FillMaskRequest) func() error {
		return func() error { _, err := b.FillMask(t.Context(), r); return err }
	}
	embed := func(r godwit.EmbedRequest) func() error {
		return func() error { _, err := b.Embed(t.Context(), r); return err }
	}
	for field, call := range map[string]func() error{
		"Prompt":                      with(func(r *godwit.Request) { r.Prompt = "" }),
		"Prompt ":                     with(func(r *godwit.Request) { r.Tokens = []int32{1} }),
		"Tokens[1]":                   with(func(r *godwit.Request) { r.Prompt, r.Tokens = "", []int32{1, 512} }),
		"Tokens[0]":                   with(func(r *godwit.Request) { r.Prompt, r.Tokens = "", []int32{-1} }),
		"MaxTokens":                   with(func(r *godwit.Request) { r.MaxTokens = -1 }),
		"MinTokens":                   with(func(r *godwit.Request) { r.MinTokens = 5 }),
		"Stop[0]":                     with(func(r *godwit.Request) { r.Stop = []string{""} }),
		"StopTokens[0]":               with(func(r *godwit.Request) { r.StopTokens = []int32{512} }),
		"Logprobs":                    with(func(r *godwit.Request) { r.Logprobs = -1 }),
		"Template":                    with(func(r *godwit.Request) { r.Template = map[string]any{"a": 1} }),
		"Capture.Layers[0]":           with(func(r *godwit.Request) { r.Capture = &godwit.Capture{Layers: []int{3}} }),
		"Capture.MaxBytes":            with(func(r *godwit.Request) { r.Capture = &godwit.Capture{MaxBytes: 10} }),
		"Sampling.Temperature":        sampling(godwit.Sampling{Temperature: new(-1.0)}),
		"Sampling.TopP":               sampling(godwit.Sampling{Temperature: new(1.0), TopP: new(0.0)}),
		"Sampling.TopP ":              sampling(godwit.Sampling{TopP: new(0.5)}),
		"Sampling.TopK":               sampling(godwit.Sampling{Temperature: new(1.0), TopK: new(-1)}),
		"Sampling.MinP":               sampling(godwit.Sampling{Temperature: new(1.0), MinP: new(math.NaN())}),
		"Sampling.TypicalP":           sampling(godwit.Sampling{Temperature: new(1.0), TypicalP: new(2.0)}),
		"Sampling.RepetitionPenalty":  sampling(godwit.Sampling{RepetitionPenalty: new(0.0)}),
		"Sampling.FrequencyPenalty":   sampling(godwit.Sampling{FrequencyPenalty: new(math.Inf(1))}),
		"Sampling.PresencePenalty":    sampling(godwit.Sampling{PresencePenalty: new(math.NaN())}),
		"Sampling.LogitBias[600]":     sampling(godwit.Sampling{LogitBias: map[int32]float64{600: 1}}),
		"Beam.Width":                  with(func(r *godwit.Request) { r.Beam.Width = -1 }),
		"Beam.Width ":                 with(func(r *godwit.Request) { r.Beam.Width, r.Sampling.Temperature = 2, new(1.0) }),
		"Beam.Early":                  with(func(r *godwit.Request) { r.Beam = godwit.Beam{Width: 2, Early: "soon"} }),
		"Beam.LengthPenalty":          with(func(r *godwit.Request) { r.Beam = godwit.Beam{Width: 2, LengthPenalty: new(math.NaN())} }),
		"Text":                        mask(godwit.FillMaskRequest{Text: "no mask"}),
		"Top":                         mask(godwit.FillMaskRequest{Text: "a [MASK]", Top: -1}),
		"Targets[0]":                  mask(godwit.FillMaskRequest{Text: "a [MASK]", Targets: []string{"no such token at all"}}),
		"Texts":                       embed(godwit.EmbedRequest{}),
		"Tokens[0][0]":                embed(godwit.EmbedRequest{Tokens: [][]int32{{512}}}),
		"Tokens[1] ":                  embed(godwit.EmbedRequest{Tokens: [][]int32{{5}, {}}}),
		"ids[0]":                      func() error { _, err := g.Detokenize([]int32{-5}, false); return err },
		"Pair":                        func() error { _, err := g.Attend(t.Context(), godwit.AttendRequest{Text: "a", Pair: "b"}); return err },
		"Config.DType":                func() error { return openError(t, godwit.Config{DType: "f64"}) },
		"Config.Quantize":             func() error { return openError(t, godwit.Config{Quantize: "q5_0"}) },
		"Config.KVDType":              func() error { return openError(t, godwit.Config{KVDType: "int3"}) },
		"Config.Pooling":              func() error { return openError(t, godwit.Config{Pooling: "max"}) },
		"Config.Context":              func() error { return openError(t, godwit.Config{Context: 129}) },
		"Config.Threads":              func() error { return openError(t, godwit.Config{Threads: -1}) },
		"Config.Threads ":             func() error { return openError(t, godwit.Config{Threads: 1025}) },
		"Config.Device":               func() error { return openError(t, godwit.Config{Device: "toaster"}) },
		"Config.Sampling.Temperature": func() error { return openError(t, godwit.Config{Sampling: godwit.Sampling{Temperature: new(-1.0)}}) },
	} {
		t.Run(field, func(t *testing.T) {
			err := call()
			var p *godwit.ParamError
			if !errors.As(err, &p) {
				t.Fatalf("%T %v, want a *ParamError", err, err)
			}
			if p.Field != strings.TrimSpace(field) || p.Reason == "" || !strings.Contains(err.Error(), p.Field) {
				t.Errorf("%+v", p)
			}
		})
	}
}

func TestTooLong(t *testing.T) {
	g := open(t, "gpt2", godwit.Config{Context: 40})
	if got := g.Info().Context; got != 40 {
		t.Errorf("context %d", got)
	}
	long := strings.Repeat("x y ", 60)
	b := open(t, "bert-mlm", godwit.Config{})
	many := strings.Repeat("word ", 300)
	for name, call := range map[string]func() error{
		"prompt":      func() error { _, err := g.Complete(t.Context(), godwit.Request{Prompt: long}); return err },
		"with answer": func() error { _, err := g.Complete(t.Context(), request(30)); return err },
		"attend":      func() error { _, err := g.Attend(t.Context(), godwit.AttendRequest{Text: long}); return err },
		"embed": func() error {
			_, err := b.Embed(t.Context(), godwit.EmbedRequest{Texts: []string{"a", many}})
			return err
		},
		"embed tokens": func() error {
			_, err := b.Embed(t.Context(), godwit.EmbedRequest{Tokens: [][]int32{{5}, make([]int32, 200)}})
			return err
		},
		"fill-mask": func() error {
			_, err := b.FillMask(t.Context(), godwit.FillMaskRequest{Text: many + "[MASK]"})
			return err
		},
	} {
		var e *godwit.TooLongError
		if err := call(); !errors.As(err, &e) || e.Tokens <= e.Limit {
			t.Errorf("%s: %v", name, err)
		} else if strings.HasPrefix(name, "embed") && e.Index != 1 {
			t.Errorf("%s: index %d", name, e.Index)
		}
	}
	r, err := b.Embed(t.Context(), godwit.EmbedRequest{Texts: []string{"a", many}, Truncate: true, PerToken: true})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(r.Truncated, []int{1}) || len(r.PerToken[1]) != 128 || len(r.PerToken[0]) != 3 || len(r.Vectors) != 2 {
		t.Errorf("truncated %v, %d tokens", r.Truncated, len(r.PerToken[1]))
	}
}

func TestUnsupported(t *testing.T) {
	g, b := open(t, "gpt2", godwit.Config{}), open(t, "bert-base", godwit.Config{})
	for name, call := range map[string]func() error{
		"embed":     func() error { _, err := g.Embed(t.Context(), godwit.EmbedRequest{Texts: []string{"a"}}); return err },
		"fill-mask": func() error { _, err := g.FillMask(t.Context(), godwit.FillMaskRequest{Text: "[MASK]"}); return err },
		"classify": func() error {
			_, err := g.Classify(t.Context(), godwit.ClassifyRequest{Texts: []string{"a"}})
			return err
		},
		"chat": func() error {
			_, err := g.Complete(t.Context(), godwit.Request{Messages: []godwit.Message{{Role: "user", Content: "a"}}})
			return err
		},
		"generate":  func() error { _, err := b.Complete(t.Context(), request(3)); return err },
		"tokenizer": func() error { _, err := b.Tokenize("a", false); return err },
		"bf16":      func() error { return openError(t, godwit.Config{Device: "reference", DType: "bf16"}) },
		"q8_0":      func() error { return openError(t, godwit.Config{Device: "reference", Quantize: "q8_0"}) },
		"cuda":      func() error { return openError(t, godwit.Config{Device: "cuda"}) },
	} {
		err := call()
		var u *godwit.UnsupportedError
		if !errors.As(err, &u) || !errors.Is(err, godwit.ErrUnsupported) || u.What == "" {
			t.Errorf("%s: %T %v", name, err, err)
		}
	}
}

// TestRounding: what cannot be rounded is an error that says why, and so is a
// wish that contradicts another.
func TestRounding(t *testing.T) {
	for _, row := range []struct {
		cfg  godwit.Config
		want string
	}{
		{godwit.Config{Quantize: "q8_0"}, "rows of 48 are not made of whole blocks of 32"},
		{godwit.Config{Quantize: "q4_0"}, "rows of 48 are not made of whole blocks of 32"},
		{godwit.Config{Quantize: "q8_0", DType: "bf16"}, "weights are rounded once"},
		{godwit.Config{Quantize: "q5_0"}, `want "", "q8_0" or "q4_0"`},
		{godwit.Config{DType: "f64"}, `want "", "f32", "bf16" or "f16"`},
	} {
		if err := openError(t, row.cfg); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%+v: %v, want an error that says %q", row.cfg, err, row.want)
		}
	}
	for _, cfg := range []godwit.Config{{DType: "bf16"}, {DType: "f16"}, {DType: "f32"}} {
		m := open(t, "gpt2", cfg)
		if got := m.Info().DType; got != cfg.DType {
			t.Errorf("arithmetic %q, want %q", got, cfg.DType)
		}
	}
}
