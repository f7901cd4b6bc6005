package godwit_test

// Encoder-decoders, scoring, prefixes and words.

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-ml/godwit"
)

const source = "The transformer attends to every token."

func TestEncoderDecoder(t *testing.T) {
	m := open(t, "t5", godwit.Config{})
	if in := m.Info(); in.Kind != "encoder-decoder" || !slices.Equal(in.Tasks, []godwit.Task{"generate", "attend"}) {
		t.Errorf("%s %v", in.Kind, in.Tasks)
	}
	r := godwit.Request{Prompt: source, MaxTokens: 12, IgnoreEOS: true, Capture: &godwit.Capture{Prompt: true, Hidden: true}}
	var last *godwit.Result
	n := 0
	for tok, err := range m.Generate(t.Context(), r) {
		if err != nil {
			t.Fatal(err)
		}
		c := tok.Attention.Cross
		if len(c.Queries) != 1 || len(c.Keys) != 21 || c.Keys[0].Text != "The" || c.Words().Keys[1].Text != "transformer" {
			t.Fatalf("token %d: cross attention of %d over %d: %+v", n, len(c.Queries), len(c.Keys), c.Words().Keys)
		}
		checkRows(t, c)
		if d := tok.Attention.Decoder; len(d.Keys) != n+1 {
			t.Fatalf("token %d: %d keys", n, len(d.Keys))
		}
		last = tok.Result
		n++
	}
	if !slices.Equal(last.IDs[:6], []int32{46, 321, 363, 144, 220, 484}) { // e2e.json of the checkpoint
		t.Errorf("ids %v", last.IDs)
	}
	a := last.Attention
	checkRows(t, a.Encoder)
	checkRows(t, a.Cross)
	if len(a.Encoder.Queries) != 21 || len(a.EncoderHidden) != 3 || len(a.EncoderHidden[0]) != 21 || len(a.Decoder.Queries) != 1 {
		t.Errorf("encoder %d, hidden %d, decoder %d", len(a.Encoder.Queries), len(a.EncoderHidden), len(a.Decoder.Queries))
	}
}

func TestAttendTarget(t *testing.T) {
	m := open(t, "t5-v11", godwit.Config{})
	if _, err := m.Attend(t.Context(), godwit.AttendRequest{Text: source}); !errors.Is(err, godwit.ErrUnsupported) {
		t.Errorf("without a tokenizer: %v", err)
	}
	m = open(t, "t5", godwit.Config{})
	a, err := m.Attend(t.Context(), godwit.AttendRequest{Text: source, Target: "every token"})
	if err != nil {
		t.Fatal(err)
	}
	if a.Text != "every token" || len(a.Cross.Keys) != 21 || len(a.Cross.Queries) != len(a.Decoder.Queries) || !a.Decoder.Queries[0].Special {
		t.Errorf("text %q, %d keys, %d and %d queries, first %+v", a.Text, len(a.Cross.Keys), len(a.Cross.Queries), len(a.Decoder.Queries), a.Decoder.Queries[0])
	}
	for _, am := range []*godwit.AttentionMap{a.Encoder, a.Decoder, a.Cross, a.Cross.Words(), a.Encoder.Mean().Words()} {
		checkRows(t, am)
	}
	if a.Decoder.Row(0, 0, 0)[1] != 0 {
		t.Error("the decoder sees the future")
	}
	var p *godwit.ParamError
	if _, err := open(t, "gpt2", godwit.Config{}).Attend(t.Context(), godwit.AttendRequest{Text: "a", Target: "b"}); !errors.As(err, &p) || p.Field != "Target" {
		t.Errorf("a target for a decoder: %v", err)
	}
}

// TestScoreIsGenerate: the log-probabilities of an answer are those that
// generating it told.
func TestScoreIsGenerate(t *testing.T) {
	for name, n := range map[string]int{"gpt2": 40, "llama": 90, "t5": 12} {
		m := open(t, name, godwit.Config{})
		r := godwit.Request{Prompt: source, MaxTokens: n, IgnoreEOS: true, Logprobs: 2}
		want := complete(t, m, r)
		s, err := m.Score(t.Context(), godwit.ScoreRequest{Prompt: source, Tokens: want.IDs, Logprobs: 2, Logits: true})
		if err != nil {
			t.Fatal(err)
		}
		var sum float64
		for i, tok := range s.Tokens {
			w := want.Logprobs[i]
			sum += w.Logprob
			if tok.ID != w.ID || math.Abs(tok.Logprob-w.Logprob) > 1e-4 || len(tok.Top) != 2 || tok.Top[0].ID != w.Top[0].ID {
				t.Fatalf("%s token %d: %+v, want %+v", name, i, tok, w)
			}
			if top := slices.Max(s.Logits[i]); s.Logits[i][tok.ID] != top {
				t.Fatalf("%s token %d: its logit is not the largest", name, i)
			}
		}
		if len(s.Tokens) != n || !s.Greedy || math.Abs(s.Logprob-sum) > 1e-2 || math.Abs(s.Perplexity-math.Exp(-s.Logprob/float64(n))) > 1e-9 {
			t.Errorf("%s: %d tokens, greedy %v, %v of %v, perplexity %v", name, len(s.Tokens), s.Greedy, s.Logprob, sum, s.Perplexity)
		}
		other := slices.Clone(want.IDs)
		other[1] = (other[1] + 1) % 500
		if s, err := m.Score(t.Context(), godwit.ScoreRequest{Prompt: source, Tokens: other}); err != nil || s.Greedy || s.Tokens[0].Top != nil {
			t.Errorf("%s: another text is greedy too: %v", name, err)
		}
	}
}

func TestScoreParts(t *testing.T) {
	m := open(t, "gpt2", godwit.Config{})
	whole, err := m.Score(t.Context(), godwit.ScoreRequest{Text: source, Logprobs: 1, Logits: true})
	if err != nil {
		t.Fatal(err)
	}
	if f := whole.Tokens[0]; f.Top != nil || f.Logprob != 0 || whole.Logits[0] != nil {
		t.Errorf("the first token has nothing before it: %+v", f)
	}
	part, err := m.Score(t.Context(), godwit.ScoreRequest{Prompt: "The transformer", Text: " attends to every token."})
	if err != nil {
		t.Fatal(err)
	}
	n := len(part.Tokens)
	if n == 0 || n >= len(whole.Tokens) {
		t.Fatalf("%d of %d tokens", n, len(whole.Tokens))
	}
	text := ""
	for i, tok := range part.Tokens {
		w := whole.Tokens[len(whole.Tokens)-n+i]
		if tok.ID != w.ID || math.Abs(tok.Logprob-w.Logprob) > 1e-5 {
			t.Errorf("token %d: %+v, want %+v", i, tok, w)
		}
		text += tok.Text
	}
	if text != " attends to every token." {
		t.Errorf("scored %q", text)
	}
	for field, r := range map[string]godwit.ScoreRequest{
		"Text":            {},
		"Text ":           {Text: "a", Tokens: []int32{1}},
		"Prompt":          {Prompt: "a", PromptTokens: []int32{1}, Text: "b"},
		"Tokens[0]":       {Tokens: []int32{-1}},
		"PromptTokens[1]": {PromptTokens: []int32{1, 512}, Text: "a"},
		"Logprobs":        {Text: "a b", Logprobs: -1},
	} {
		var p *godwit.ParamError
		if _, err := m.Score(t.Context(), r); !errors.As(err, &p) || p.Field != strings.TrimSpace(field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	var long *godwit.TooLongError
	if _, err := m.Score(t.Context(), godwit.ScoreRequest{Text: strings.Repeat("ab ", 200)}); !errors.As(err, &long) {
		t.Errorf("a long text: %v", err)
	}
	if _, err := open(t, "bert-mlm", godwit.Config{}).Score(t.Context(), godwit.ScoreRequest{Text: "a"}); !errors.Is(err, godwit.ErrUnsupported) {
		t.Errorf("an encoder: %v", err)
	}
}

// TestPrefix: an answer that has to begin with its own beginning goes on as it
// did.
func TestPrefix(t *testing.T) {
	m := open(t, "gpt2", godwit.Config{})
	free := complete(t, m, godwit.Request{Prompt: source, MaxTokens: 20, IgnoreEOS: true})
	at := strings.Index(free.Text, " self")
	if at < 0 {
		t.Fatalf("the checkpoint changed: %q", free.Text)
	}
	r := godwit.Request{Prompt: "The transformer", Prefix: " attends to every token.", MaxTokens: 20, IgnoreEOS: true}
	got := complete(t, m, r)
	if want := " attends to every token." + free.Text; got.Text != want || !slices.Equal(got.IDs, free.IDs) {
		t.Errorf("%q, want %q", got.Text, want)
	}
	prompt, _, err := m.Render(r)
	if err != nil || prompt != source {
		t.Errorf("rendered %q %v", prompt, err)
	}
	m = open(t, "t5", godwit.Config{})
	long := complete(t, m, godwit.Request{Prompt: source, MaxTokens: 10, IgnoreEOS: true})
	for tok, err := range m.Generate(t.Context(), godwit.Request{Prompt: source, Prefix: "every token", MaxTokens: 3, IgnoreEOS: true}) {
		if err != nil {
			t.Fatal(err)
		}
		if tok.Result != nil && !strings.HasPrefix(tok.Result.Text, "every token") {
			t.Errorf("text %q", tok.Result.Text)
		}
		if tok.ID == long.IDs[0] && tok.Result == nil && strings.HasPrefix(long.Text, tok.Text) {
			t.Error("the prefix changed nothing")
		}
		break
	}
	_, err = m.Complete(t.Context(), godwit.Request{Tokens: []int32{5, 1}, Prefix: "x", MaxTokens: 2})
	if err != nil {
		t.Errorf("an encoder-decoder takes ids and a prefix: %v", err)
	}
	var p *godwit.ParamError
	if _, err := open(t, "gpt2", godwit.Config{}).Complete(t.Context(), godwit.Request{Tokens: []int32{5}, Prefix: "x"}); !errors.As(err, &p) || p.Field != "Prefix" {
		t.Errorf("ids and a prefix: %v", err)
	}
}

func TestEncoderDecoderBeams(t *testing.T) {
	m := open(t, "t5", godwit.Config{})
	r := godwit.Request{Prompt: source, MaxTokens: 8, IgnoreEOS: true, Beam: godwit.Beam{Width: 3}}
	got := complete(t, m, r)
	if len(got.Choices) != 3 || got.Choices[0].Score < got.Choices[1].Score || got.Choices[1].Score < got.Choices[2].Score {
		t.Fatalf("%d choices: %+v", len(got.Choices), got.Choices)
	}
	s, err := m.Score(t.Context(), godwit.ScoreRequest{Prompt: source, Tokens: got.IDs})
	if err != nil || math.Abs(s.Logprob/8-got.Score) > 1e-3 {
		t.Errorf("score %v, the beam says %v: %v", s.Logprob/8, got.Score, err)
	}
}

func TestWords(t *testing.T) {
	p := func(text string, start, end int) godwit.Piece {
		return godwit.Piece{Text: text, Start: start, End: end}
	}
	special := godwit.Piece{Text: "</s>", Special: true}
	a := &godwit.AttentionMap{
		Layers: []int{0}, Heads: []int{0},
		Queries: []godwit.Piece{p("I", 0, 1), p("N", 2, 3), p("LP", 3, 5)},
		Keys:    []godwit.Piece{p("I", 0, 1), p(" love", 1, 6), p("N", 7, 8), p("LP", 8, 10), p(".", 10, 11), special},
		Weights: []float32{
			.1, .2, .3, .1, .2, .1,
			0, 0, .5, .5, 0, 0,
			1, 0, 0, 0, 0, 0,
		},
	}
	w := a.Words()
	var texts []string
	for _, k := range w.Keys {
		texts = append(texts, k.Text)
	}
	if !slices.Equal(texts, []string{"I", "love", "NLP", ".", "</s>"}) || len(w.Queries) != 2 || w.Keys[2].End != 10 {
		t.Fatalf("keys %q, queries %+v", texts, w.Queries)
	}
	checkRows(t, w)
	if got := w.Row(0, 0, 0); math.Abs(float64(got[2]-.4)) > 1e-6 {
		t.Errorf("keys of a word add: %v", got)
	}
	if got := w.Row(0, 0, 1); math.Abs(float64(got[2]-.5)) > 1e-6 || math.Abs(float64(got[0]-.5)) > 1e-6 {
		t.Errorf("queries of a word are averaged: %v", got)
	}
	shared := &godwit.AttentionMap{Layers: []int{0}, Heads: []int{0}, Queries: []godwit.Piece{p("e", 0, 1)}, // SentencePiece's first space
		Keys: []godwit.Piece{p("e", 0, 1), p("ever", 0, 4), p("y", 4, 5)}, Weights: []float32{.5, .25, .25}}
	if k := shared.Words().Keys; len(k) != 1 || k[0].Text != "every" {
		t.Errorf("tokens that share a character: %+v", k)
	}
	bytes := &godwit.AttentionMap{Layers: []int{0}, Heads: []int{0}, Queries: []godwit.Piece{p("日", 0, 3)},
		Keys: []godwit.Piece{p("日", 0, 3), p("日", 0, 3), p("日", 0, 3), p("本", 3, 6), p("don", 7, 10), p("'", 10, 11), p("t", 11, 12)}, Weights: []float32{.1, .1, .1, .2, .2, .2, .1}}
	texts = nil
	for _, k := range bytes.Words().Keys {
		texts = append(texts, k.Text)
	}
	if !slices.Equal(texts, []string{"日", "本", "don't"}) {
		t.Errorf("words %q", texts)
	}
}
