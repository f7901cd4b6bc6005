package main

// quality: what is printed is what the method gives, from the file or the text inside.

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/godwit-ml/godwit"
)

// measured is what Quality says of a model with a KV cache in f16.
func measured(t *testing.T, name, text string, window int) (q godwit.Quality) {
	t.Helper()
	open := func(cfg godwit.Config) *godwit.Model {
		m, err := godwit.Open(t.Context(), checkpoints+name, cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = m.Close() })
		return m
	}
	var err error
	for q, err = range open(godwit.Config{Device: "reference", KVDType: "f16"}).Quality(t.Context(), open(godwit.Config{Device: "reference", DType: "f32"}), godwit.QualityRequest{Text: text, Window: window}) {
		if err != nil {
			t.Fatal(err)
		}
	}
	return q
}

func TestQuality(t *testing.T) {
	const text = "The ferry leaves at ten past seven. Nobody crosses for pleasure!"
	file := filepath.Join(t.TempDir(), "text.txt")
	if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name, stdin string
		args        []string
		text        string
		window      int
	}{
		{"gpt2", "", []string{file, "--window", "20"}, text, 20},
		{"gpt2", text, []string{"-", "--window", "20"}, text, 20},
		{"gpt2", "", nil, qualityText[:len(qualityText)-1], 0},
		{"t5", "", []string{file}, text, 0},
		{"bert-mlm", "", []string{file}, text, 0},
	} {
		want := measured(t, row.name, row.text, row.window)
		args := append([]string{"quality", "-m", checkpoints + row.name, "--device", "reference", "--kv-dtype", "f16"}, row.args...)
		data, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		if got := must(t, row.stdin, append(args, "--json")...); got != string(data)+"\n" {
			t.Errorf("%q: %s, want %s", args, got, data)
		}
		var lines []string
		if v := want.VectorQuality; v != nil {
			lines = []string{"model             bert-mlm on reference", "arithmetic        f32, weights as stored, against the exact one",
				fmt.Sprintf("text              %d tokens in 2 sentences", want.Tokens), fmt.Sprintf("cosine            mean %.6f, least %.6f", v.CosineMean, v.CosineMin)}
		} else {
			l := want.LogitsQuality
			lines = []string{"model             " + row.name + " on reference", "arithmetic        f32, weights as stored, KV cache f16, against the exact one",
				fmt.Sprintf("text              %d tokens in %d windows", want.Tokens, want.Total),
				fmt.Sprintf("perplexity        %.4f, exact %.4f (%+.3f %%)", l.Perplexity, l.ExactPerplexity, 100*(l.Perplexity/l.ExactPerplexity-1)),
				fmt.Sprintf("KL divergence     mean %.3g, most %.3g nats", l.KLMean, l.KLMax), fmt.Sprintf("top-1 agreement   %.2f %%", 100*l.Agreement)}
			if l.KLMean <= 0 {
				t.Errorf("%q: a cache in f16 costs nothing", args)
			}
		}
		if diff := cmp.Diff(strings.Join(lines, "\n")+"\n", must(t, row.stdin, args...)); diff != "" {
			t.Errorf("%q:\n%s", args, diff)
		}
	}
}

// TestQualityOfNothing: the reference device has the exact arithmetic only.
func TestQualityOfNothing(t *testing.T) {
	const text = "The ferry leaves at ten past seven. Nobody crosses for pleasure!"
	args := []string{"quality", "--device", "reference", "--window", "12", "-"}
	for _, dtype := range [][]string{nil, {"--dtype", "f32"}} {
		out := must(t, text, append(slices.Clone(args), dtype...)...)
		if !strings.Contains(out, "(+0.000 %)\nKL divergence     mean 0, most 0 nats\ntop-1 agreement   100.00 %\n") {
			t.Errorf("%q:\n%s", dtype, out)
		}
	}
	got := command(t, text, append(slices.Clone(args), "-v")...)
	if n := len(regexp.MustCompile(`(?m)^[0-9]+ of [0-9]+ windows: perplexity [0-9.]+, exact [0-9.]+, KL 0$`).FindAllString(got.stderr, -1)); n < 2 || got.status != 0 {
		t.Errorf("-v: %d lines of windows, %+v", n, got)
	}
	if got := command(t, text, args...); got.stderr != "" {
		t.Errorf("%q on standard error", got.stderr)
	}
}

// TestQualityText: the text inside is prose of the size that the help says.
func TestQualityText(t *testing.T) {
	if words := len(strings.Fields(qualityText)); words < 1300 || words > 1700 {
		t.Errorf("%d words", words)
	}
	for _, r := range qualityText {
		if r != '\n' && (r < ' ' || r > '~') {
			t.Errorf("%q", r)
		}
	}
}
