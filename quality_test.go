package godwit_test

// Quality against the same sums over Score's logits and Embed's vectors.

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-ml/godwit"
)

// rounded is a checkpoint whose weights have lost the low half of their bits.
func rounded(t testing.TB, name string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(checkpoints+name)); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "model.safetensors")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	header := 8 + int(binary.LittleEndian.Uint64(data))
	if !strings.Contains(string(data[:header]), `"dtype":"F32"`) {
		t.Fatalf("%s is not stored in F32", name)
	}
	for at := header; at+4 <= len(data); at += 4 {
		data[at], data[at+1] = 0, 0
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func openAt(t testing.TB, dir string, cfg godwit.Config) *godwit.Model {
	t.Helper()
	m, err := godwit.Open(t.Context(), dir, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

func quality(t testing.TB, m, exact *godwit.Model, req godwit.QualityRequest) []godwit.Quality {
	t.Helper()
	var all []godwit.Quality
	for q, err := range m.Quality(t.Context(), exact, req) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, q)
	}
	for i, q := range all {
		if q.Done < 1 || q.Total != all[len(all)-1].Done || i > 0 && q.Done <= all[i-1].Done {
			t.Fatalf("value %d is of %d of %d", i, q.Done, q.Total)
		}
	}
	return all
}

const prose = "The sea was calm. Did the ferry leave? It did! She read her letters, and nobody said a word of them.\nThe captain knew the sand had moved again."

func sameNumber(a, b float64) bool { return math.Abs(a-b) <= 1e-9*max(1, math.Abs(b)) }

// plainQuality is what LogitsQuality says, from the rows of both models.
func plainQuality(t testing.TB, m, exact *godwit.Model, windows []godwit.ScoreRequest) (q godwit.LogitsQuality, n int) {
	t.Helper()
	probs := func(row []float32) (p []float64, best int) {
		sum := 0.0
		for i, v := range row {
			p = append(p, math.Exp(float64(v)))
			sum += p[i]
			if v > row[best] {
				best = i
			}
		}
		for i := range p {
			p[i] /= sum
		}
		return p, best
	}
	var logs [2]float64
	for _, w := range windows {
		w.Logits = true
		a, err := exact.Score(t.Context(), w)
		if err != nil {
			t.Fatal(err)
		}
		b, err := m.Score(t.Context(), w)
		if err != nil {
			t.Fatal(err)
		}
		for i, row := range a.Logits {
			if row == nil {
				continue
			}
			pa, bestA := probs(row)
			pb, bestB := probs(b.Logits[i])
			kl := 0.0
			for k := range pa {
				kl += pa[k] * math.Log(pa[k]/pb[k])
			}
			q.KLMean += kl
			q.KLMax = max(q.KLMax, kl)
			if bestA == bestB {
				q.Agreement++
			}
			n++
		}
		logs[0] += a.Logprob
		logs[1] += b.Logprob
	}
	q.KLMean /= float64(n)
	q.Agreement /= float64(n)
	q.ExactPerplexity, q.Perplexity = math.Exp(-logs[0]/float64(n)), math.Exp(-logs[1]/float64(n))
	return q, n
}

func TestQuality(t *testing.T) {
	for _, name := range []string{"gpt2", "t5"} {
		exact := open(t, name, godwit.Config{Device: "reference", DType: "f32"})
		same := quality(t, open(t, name, godwit.Config{Device: "reference"}), exact, godwit.QualityRequest{Text: prose})
		last := same[len(same)-1]
		if l := last.LogitsQuality; l.KLMean != 0 || l.KLMax != 0 || l.Agreement != 1 || l.Perplexity != l.ExactPerplexity || last.VectorQuality != nil {
			t.Errorf("%s against itself: %+v", name, *l)
		}
		other := openAt(t, rounded(t, name), godwit.Config{})
		pieces, err := exact.Tokenize(prose, false)
		if err != nil {
			t.Fatal(err)
		}
		ids := make([]int32, len(pieces))
		for i, p := range pieces {
			ids[i] = p.ID
		}
		for _, size := range []int{16, 25, len(ids), len(ids) - 1} { // the last leaves a window of one token
			var windows []godwit.ScoreRequest
			for w := range slices.Chunk(ids, size) {
				switch {
				case name == "t5":
					windows = append(windows, godwit.ScoreRequest{PromptTokens: w, Tokens: w})
				case len(w) > 1:
					windows = append(windows, godwit.ScoreRequest{Tokens: w})
				}
			}
			all := quality(t, other, exact, godwit.QualityRequest{Text: prose, Window: size})
			if len(all) != len(windows) {
				t.Errorf("%s in windows of %d: %d of them, want %d", name, size, len(all), len(windows))
			}
			for i, got := range all { // each is of all windows so far
				want, tokens := plainQuality(t, other, exact, windows[:i+1])
				g := *got.LogitsQuality
				if got.Tokens != tokens || !sameNumber(g.Perplexity, want.Perplexity) || !sameNumber(g.ExactPerplexity, want.ExactPerplexity) ||
					!sameNumber(g.KLMean, want.KLMean) || !sameNumber(g.KLMax, want.KLMax) || g.Agreement != want.Agreement {
					t.Errorf("%s, window %d of %d tokens:\ngot  %d %+v\nwant %d %+v", name, i, size, got.Tokens, g, tokens, want)
				}
				if g.KLMean <= 0 || g.KLMax < g.KLMean || g.KLMean > 0.1 || g.Perplexity == g.ExactPerplexity {
					t.Errorf("%s: what rounding costs is %+v", name, g)
				}
			}
		}
	}
}

// TestQualityBegins: windows of a model that begins texts with a token begin with it.
func TestQualityBegins(t *testing.T) {
	const file = "model/testdata/gguf/llama-Q4_0.gguf"
	exact := openAt(t, file, godwit.Config{DType: "f32"})
	asked := openAt(t, file, godwit.Config{KVDType: "f16"})
	with, err := exact.Tokenize(prose, true)
	if err != nil {
		t.Fatal(err)
	}
	if !with[0].Special || with[1].Special {
		t.Fatalf("the text begins with %v", with[:2])
	}
	for _, size := range []int{12, len(with) - 1} { // the second leaves a window of one token after the first
		var windows []godwit.ScoreRequest
		for part := range slices.Chunk(with[1:], size-1) {
			ids := []int32{with[0].ID}
			for _, p := range part {
				ids = append(ids, p.ID)
			}
			windows = append(windows, godwit.ScoreRequest{Tokens: ids})
		}
		all := quality(t, asked, exact, godwit.QualityRequest{Text: prose, Window: size})
		got := all[len(all)-1]
		want, n := plainQuality(t, asked, exact, windows)
		if n != len(with)-1 || got.Tokens != n || !sameNumber(got.Perplexity, want.Perplexity) || !sameNumber(got.ExactPerplexity, want.ExactPerplexity) || !sameNumber(got.KLMean, want.KLMean) {
			t.Errorf("got %d tokens, %+v\nwant %d, %+v", got.Tokens, *got.LogitsQuality, n, want)
		}
		if got.KLMean <= 0 {
			t.Errorf("a cache in f16 costs %g", got.KLMean)
		}
	}
}

func TestQualityOfVectors(t *testing.T) {
	exact := open(t, "bert-mlm", godwit.Config{DType: "f32"})
	sentences := []string{"The sea was calm.", "Did the ferry leave?", "It did!", "She read her letters, and nobody said a word of them.", "The captain knew the sand had moved again."}
	same := quality(t, open(t, "bert-mlm", godwit.Config{DType: "f32"}), exact, godwit.QualityRequest{Text: prose})
	if q := same[len(same)-1]; q.CosineMin < 1-1e-12 || q.CosineMean < 1-1e-12 || q.LogitsQuality != nil || q.Total != len(sentences) {
		t.Errorf("against itself: %+v, %+v", q, q.VectorQuality)
	}
	other := openAt(t, rounded(t, "bert-mlm"), godwit.Config{})
	want := func(texts []string) (mean, least float64, tokens int) {
		a, err := exact.Embed(t.Context(), godwit.EmbedRequest{Texts: texts, Truncate: true})
		if err != nil {
			t.Fatal(err)
		}
		b, err := other.Embed(t.Context(), godwit.EmbedRequest{Texts: texts, Truncate: true})
		if err != nil {
			t.Fatal(err)
		}
		least = 1
		for i := range texts {
			var ab, aa, bb float64
			for k, x := range a.Vectors[i] {
				y := b.Vectors[i][k]
				ab, aa, bb = ab+float64(x)*float64(y), aa+float64(x)*float64(x), bb+float64(y)*float64(y)
			}
			c := ab / math.Sqrt(aa) / math.Sqrt(bb)
			mean += c / float64(len(texts))
			least = min(least, c)
		}
		return mean, least, b.Usage.PromptTokens
	}
	// Several batches, and a sentence that is too long.
	texts := slices.Concat(slices.Repeat(sentences, 8), []string{strings.Repeat("word ", 200)})
	for _, row := range []struct {
		text   string
		texts  []string
		values int
	}{{prose, sentences, 1}, {"\n\n " + strings.Join(texts, "  ") + "\n", texts, 2}} {
		all := quality(t, other, exact, godwit.QualityRequest{Text: row.text})
		got := all[len(all)-1]
		mean, least, tokens := want(row.texts)
		if len(all) != row.values || got.Total != len(row.texts) || got.Tokens != tokens || !sameNumber(got.CosineMean, mean) || !sameNumber(got.CosineMin, least) || least > 0.999999 {
			t.Errorf("%d values, %d sentences, %d tokens, %+v; want %d, %d, %g, %g", len(all), got.Total, got.Tokens, *got.VectorQuality, len(row.texts), tokens, mean, least)
		}
		data, err := json.Marshal(got)
		if err != nil || strings.Contains(string(data), "perplexity") || !strings.Contains(string(data), `"cosine_min":`) {
			t.Errorf("JSON %s, %v", data, err)
		}
	}
}

func TestQualityRefuses(t *testing.T) {
	g, b, t5 := open(t, "gpt2", godwit.Config{}), open(t, "bert-mlm", godwit.Config{}), open(t, "t5", godwit.Config{Context: 32})
	begins := openAt(t, "model/testdata/gguf/llama-Q4_0.gguf", godwit.Config{})
	for _, row := range []struct {
		name, field string
		m, exact    *godwit.Model
		req         godwit.QualityRequest
	}{
		{"window", "Window", g, g, godwit.QualityRequest{Text: prose, Window: 1}},
		{"negative", "Window", g, g, godwit.QualityRequest{Text: prose, Window: -4}},
		{"context", "Window", g, g, godwit.QualityRequest{Text: prose, Window: 129}},
		{"context of the other", "Window", g, open(t, "gpt2", godwit.Config{Context: 16}), godwit.QualityRequest{Text: prose, Window: 17}},
		{"context, less the first token", "Window", t5, t5, godwit.QualityRequest{Text: prose, Window: 32}},
		{"sentences", "Window", b, b, godwit.QualityRequest{Text: prose, Window: 16}},
		{"no text", "Text", g, g, godwit.QualityRequest{}},
		{"one token", "Text", g, g, godwit.QualityRequest{Text: "x"}},
		{"no text after the first token", "Text", begins, begins, godwit.QualityRequest{}},
		{"no sentence", "Text", b, b, godwit.QualityRequest{Text: " \n"}},
		{"another model", "exact", g, open(t, "gpt-neo", godwit.Config{}), godwit.QualityRequest{Text: prose}},
	} {
		n := 0
		for q, err := range row.m.Quality(t.Context(), row.exact, row.req) {
			var p *godwit.ParamError
			if n++; n > 1 || !errors.As(err, &p) || p.Field != row.field {
				t.Errorf("%s: %+v, %v; want a *ParamError of %s", row.name, q, err, row.field)
			}
		}
		if n == 0 {
			t.Errorf("%s: neither a value nor an error", row.name)
		}
	}
	for _, err := range open(t, "bert-base", godwit.Config{}).Quality(t.Context(), b, godwit.QualityRequest{Text: prose}) {
		if !errors.Is(err, godwit.ErrUnsupported) {
			t.Errorf("without a tokenizer: %v", err)
		}
	}
	for _, err := range g.Quality(t.Context(), g, godwit.QualityRequest{Text: prose, Window: 16}) { // left early
		if err != nil {
			t.Fatal(err)
		}
		break
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var err error
	for _, err = range g.Quality(ctx, g, godwit.QualityRequest{Text: prose, Window: 16}) {
		cancel()
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	other := open(t, "gpt2", godwit.Config{})
	for _, err = range other.Quality(t.Context(), g, godwit.QualityRequest{Text: prose, Window: 16}) {
		if err == nil {
			_ = other.Close()
		}
	}
	if !errors.Is(err, godwit.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}
