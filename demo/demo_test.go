// What README.md promises of the models, on the held-out sentences and PyTorch's results in testdata/heldout.json,
// which train/evaluate.py writes.

package demo_test

import (
	"encoding/json"
	"io/fs"
	"math"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-ml/godwit"
	"github.com/godwit-ml/godwit/demo"
)

// mostBytes is what the three models may weigh together.
const mostBytes = 4 << 20

// TestFiles holds each folder against what a Hugging Face directory of its kind has, and all against the size that a
// clone and a binary can bear.
func TestFiles(t *testing.T) {
	want := map[string][]string{
		"lm":      {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"},
		"masked":  {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"},
		"rewrite": {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"},
	}
	have := map[string][]string{}
	total := int64(0)
	err := fs.WalkDir(demo.FS, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		total += info.Size()
		folder, file := path.Split(name)
		have[path.Clean(folder)] = append(have[path.Clean(folder)], file)
		if path.Ext(name) == ".json" {
			data, err := fs.ReadFile(demo.FS, name)
			if err != nil {
				return err
			}
			if !json.Valid(data) {
				t.Errorf("%s is not JSON", name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if total > mostBytes {
		t.Errorf("the models have %d bytes, more than %d", total, mostBytes)
	}
	if len(have) != len(want) {
		t.Errorf("folders %v, want those of %v", have, want)
	}
	for folder, files := range want {
		if !slices.Equal(have[folder], files) {
			t.Errorf("%s has %v, want %v", folder, have[folder], files)
		}
	}
}

// heldOut is testdata/heldout.json.
type heldOut struct {
	LM struct {
		Perplexity         float64
		TrainingPerplexity float64 `json:"training_perplexity"`
		Sentences          []struct {
			Text   string
			Tokens int     // without the first, which nothing precedes
			NLL    float64 // minus the sum of their log-probabilities
		}
		Continuations []struct{ Prompt, Text string }
		Logits        []struct {
			Prompt string
			Logits []float64
		}
	}
	Masked struct {
		Sentences []struct{ Text, Answer, Torch string }
		Logits    []struct {
			Text   string
			Logits []float64
		}
	}
	Rewrite struct {
		Sentences []rewriting
		Logits    []struct {
			Text    string
			Written []int32
			Row     int
			Logits  []float64
		}
	}
}

// rewriting is a sentence with the one that it should become. Torch is what PyTorch wrote where that is another.
type rewriting struct {
	Text, Expect, Torch string
	Changed             []struct {
		Word, Source int // between spaces, of Expect and of Text
		Text, From   string
	}
}

func readHeldOut(t *testing.T) *heldOut {
	t.Helper()
	if underRace {
		t.Skip("hundreds of sentences one after the other: not under the race detector")
	}
	data, err := os.ReadFile("testdata/heldout.json")
	if err != nil {
		t.Fatal(err)
	}
	h := &heldOut{}
	if err := json.Unmarshal(data, h); err != nil {
		t.Fatal(err)
	}
	for name, n := range map[string]int{"lm": len(h.LM.Sentences), "masked": len(h.Masked.Sentences), "rewrite": len(h.Rewrite.Sentences)} {
		if n < 200 {
			t.Errorf("%s: %d held-out sentences, want 200", name, n)
		}
	}
	return h
}

func open(t *testing.T, name string) *godwit.Model {
	t.Helper()
	m, err := godwit.OpenFS(t.Context(), demo.FS, name, godwit.Config{DType: "f32"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// checkLogits compares a row with PyTorch's, within 1e-4 of its largest.
func checkLogits(t *testing.T, what string, got []float32, want []float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d logits, PyTorch has %d", what, len(got), len(want))
	}
	largest := 0.0
	for _, x := range want {
		largest = max(largest, math.Abs(x))
	}
	for i, x := range want {
		if !(math.Abs(float64(got[i])-x) <= 1e-4*largest) {
			t.Fatalf("%s: logit %d is %v, PyTorch's %v, the largest %v", what, i, got[i], x, largest)
		}
	}
}

func TestLanguageModel(t *testing.T) {
	h, m := readHeldOut(t), open(t, "lm")
	nll, tokens := 0.0, 0
	for _, s := range h.LM.Sentences {
		r, err := m.Score(t.Context(), godwit.ScoreRequest{Text: s.Text})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Tokens)-1 != s.Tokens || math.Abs(-r.Logprob-s.NLL) > 1e-3*s.NLL {
			t.Errorf("%q: %d tokens, log-probability %v, PyTorch has %d and %v", s.Text, len(r.Tokens)-1, r.Logprob, s.Tokens, -s.NLL)
		}
		nll -= r.Logprob
		tokens += len(r.Tokens) - 1
	}
	perplexity := math.Exp(nll / float64(tokens))
	if math.Abs(perplexity/h.LM.Perplexity-1) > 0.001 {
		t.Errorf("perplexity %v, PyTorch has %v", perplexity, h.LM.Perplexity)
	}
	if perplexity > 1.2*h.LM.TrainingPerplexity {
		t.Errorf("perplexity %v of held-out sentences, %v of those trained on", perplexity, h.LM.TrainingPerplexity)
	}
	for _, row := range h.LM.Logits {
		r, err := m.Score(t.Context(), godwit.ScoreRequest{Prompt: row.Prompt, Tokens: []int32{0}, Logits: true})
		if err != nil {
			t.Fatal(err)
		}
		checkLogits(t, row.Prompt, r.Logits[0], row.Logits)
	}
	for _, c := range h.LM.Continuations {
		r, err := m.Complete(t.Context(), godwit.Request{Prompt: c.Prompt, MaxTokens: 32})
		if err != nil {
			t.Fatal(err)
		}
		if r.Text != c.Text {
			t.Errorf("%q goes on %q, PyTorch's %q", c.Prompt, r.Text, c.Text)
		}
	}
}

// TestChat holds the chat template to what the model was trained on: turns, each with its end.
func TestChat(t *testing.T) {
	m := open(t, "lm")
	r, err := m.Complete(t.Context(), godwit.Request{Messages: []godwit.Message{{Role: "user", Content: "What is NLP?"}}})
	if err != nil {
		t.Fatal(err)
	}
	if want := "NLP is a part of machine learning."; !strings.HasPrefix(r.Text, want) || r.Finish != godwit.FinishStop {
		t.Errorf("%q, %s; want %q and stop", r.Text, r.Finish, want)
	}
}

func TestMasked(t *testing.T) {
	h, m := readHeldOut(t), open(t, "masked")
	right, answers := 0, map[string]int{}
	for _, s := range h.Masked.Sentences {
		r, err := m.FillMask(t.Context(), godwit.FillMaskRequest{Text: s.Text, Top: 1})
		if err != nil {
			t.Fatal(err)
		}
		got, torch := r.Masks[0][0].Name, s.Answer
		if s.Torch != "" {
			torch = s.Torch
		}
		if got != torch {
			t.Errorf("%q: %q, PyTorch has %q", s.Text, got, torch)
		}
		if got == s.Answer {
			right++
		}
		answers[s.Answer]++
	}
	if n := len(h.Masked.Sentences); 10*right < 9*n {
		t.Errorf("right %d times of %d, want 90 %%", right, n)
	}
	for answer, n := range answers {
		if 10*n >= 3*len(h.Masked.Sentences) {
			t.Errorf("always answering %q is right %d times of %d: the sentences prove nothing", answer, n, len(h.Masked.Sentences))
		}
	}
	for _, row := range h.Masked.Logits {
		r, err := m.FillMask(t.Context(), godwit.FillMaskRequest{Text: row.Text, Top: len(row.Logits)})
		if err != nil {
			t.Fatal(err)
		}
		// Logits follow from probabilities but for a constant, which the most likely word settles.
		got := make([]float32, len(row.Logits))
		best := r.Masks[0][0]
		for _, l := range r.Masks[0] {
			got[l.ID] = float32(math.Log(l.Score/best.Score) + row.Logits[best.ID])
		}
		checkLogits(t, row.Text, got, row.Logits)
	}
}

func TestRewrite(t *testing.T) {
	h, m := readHeldOut(t), open(t, "rewrite")
	exact, changed, looked := 0, 0, 0
	for _, s := range h.Rewrite.Sentences {
		text, at := rewrite(t, m, s)
		torch := s.Expect
		if s.Torch != "" {
			torch = s.Torch
		}
		if text != torch {
			t.Errorf("%q becomes %q, PyTorch's %q", s.Text, text, torch)
		}
		changed += len(s.Changed)
		if text != s.Expect {
			continue
		}
		exact++
		for _, c := range s.Changed {
			if at[c.Word] == c.Source {
				looked++
			}
		}
	}
	if n := len(h.Rewrite.Sentences); 100*exact < 95*n {
		t.Errorf("exact %d times of %d, want 95 %%", exact, n)
	}
	if changed < 200 || 10*looked < 9*changed {
		t.Errorf("%d changed words of %d look at the right word, want 90 %%", looked, changed)
	}
	for _, row := range h.Rewrite.Logits {
		r, err := m.Score(t.Context(), godwit.ScoreRequest{Prompt: row.Text, Tokens: row.Written, Logits: true})
		if err != nil {
			t.Fatal(err)
		}
		checkLogits(t, row.Text, r.Logits[row.Row], row.Logits)
	}
}

// rewrite returns what a sentence becomes, and for each of its words the index of the word that it looked at most; -1 is
// none of them. It is the figure that the demo prints: the mean over the heads of the last layer, pieces summed to words.
func rewrite(t *testing.T, m *godwit.Model, s rewriting) (string, []int) {
	t.Helper()
	all := &godwit.AttentionMap{Layers: []int{0}, Heads: []int{0}}
	text := ""
	for tok, err := range m.Generate(t.Context(), godwit.Request{Prompt: s.Text, Capture: &godwit.Capture{Layers: []int{-1}}}) {
		if err != nil {
			t.Fatal(err)
		}
		if tok.Text == "" {
			continue // the end
		}
		mean := tok.Attention.Cross.Mean()
		all.Queries = append(all.Queries, godwit.Piece{ID: tok.ID, Text: tok.Text, Start: len(text), End: len(text) + len(tok.Text)})
		all.Keys, all.Weights = mean.Keys, append(all.Weights, mean.Weights...)
		text += tok.Text
	}
	words := all.Words()
	at := make([]int, len(strings.Fields(text)))
	for i, q := range words.Queries {
		word := len(strings.Fields(text[:q.Start+1])) - 1
		if strings.ContainsAny(q.Text, ".,") {
			continue // belongs to the word before it
		}
		row := words.Row(0, 0, i)
		key := words.Keys[slices.Index(row, slices.Max(row))]
		if at[word] = -1; !key.Special {
			at[word] = len(strings.Fields(s.Text[:key.Start+1])) - 1
		}
	}
	return text, at
}

// TestLoveOfNLP is what the repository's front page shows.
func TestLoveOfNLP(t *testing.T) {
	rewrite := open(t, "rewrite")
	for text, want := range map[string]string{
		"I love NLP.":                        "I love machine learning.",
		"i love nlp":                         "I love machine learning.",
		"I love machine learning.":           "I love computer science.",
		"My sister studies botany in Paris.": "My sister studies biology in Paris.",
		"We like pizza.":                     "We like pizza.",
	} {
		r, err := rewrite.Complete(t.Context(), godwit.Request{Prompt: text})
		if err != nil {
			t.Fatal(err)
		}
		if r.Text != want {
			t.Errorf("%q becomes %q, want %q", text, r.Text, want)
		}
	}
	r, err := open(t, "lm").Complete(t.Context(), godwit.Request{Prompt: "I love"})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(r.Text, " NLP") || !strings.HasSuffix(r.Text, ".") {
		t.Errorf(`"I love" goes on %q`, r.Text)
	}
	fill, err := open(t, "masked").FillMask(t.Context(), godwit.FillMaskRequest{Text: "I love [MASK] learning.", Top: 1})
	if err != nil {
		t.Fatal(err)
	}
	if got := fill.Masks[0][0]; got.Name != "machine" || got.Score < 0.9 {
		t.Errorf("the mask is %q with %v", got.Name, got.Score)
	}
}
