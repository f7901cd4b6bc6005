package model

// What Info calls unusual: of the checkpoints here, held to what their
// configurations say.

import (
	"os"
	"strings"
	"testing"

	"github.com/godwit-ml/godwit/weights"
)

func TestUnusual(t *testing.T) {
	for name, want := range map[string][]string{
		"gpt2":             nil,
		"gpt2-scale":       {"divided by i+1"},
		"llama":            nil,
		"llama-yarn":       {"scaled by yarn × "},
		"llama-linear":     {"scaled by linear × "},
		"mistral":          {"every layer sees a window of "},
		"gpt-neo":          {"not divided by √d", "layers [1 3] see a window of "},
		"gemma2":           {"multiplied by √D", "layers [0 2] see a window of", "before and after", "scores are capped", "logits are capped"},
		"gemma3":           {"multiplied by √D", "see a window of", "base of its own", "before and after", "of queries and keys"},
		"bloomberg":        {"ALiBi", "of the embeddings"},
		"falcon-alibi12":   {"rounded to bfloat16"},
		"falcon-new":       {"side by side"},
		"gptj":             {"of a head, neighbours paired", "side by side"},
		"phi3-longrope":    {"scaled by longrope, otherwise in sequences of more than 32 tokens"},
		"qwen3-moe":        {"of queries and keys", "experts a token"},
		"opt-postln":       {"after attention", "embeddings: of "},
		"bert-base":        nil,
		"roberta-mlm":      {"begin at row 2"},
		"deberta-v2-mlm":   {"relative, by content"},
		"modernbert-mlm":   {"to either side", "norms: before"},
		"bart":             {"norms: after"},
		"t5":               {"by distance", "not divided by √d", "logits are scaled"},
		"t5-v11":           {"by distance", "not divided by √d"},
		"palm-interleaved": {"neighbours paired", "side by side", "without bias"},
	} {
		dir := "testdata/checkpoints/" + name
		config, err := os.ReadFile(dir + "/config.json")
		if err != nil {
			t.Error(err)
			continue
		}
		ck, err := weights.Open(dir)
		if err != nil {
			t.Error(err)
			continue
		}
		in, err := Describe(Source{File: "config.json", Config: config}, ck)
		if err := ck.Close(); err != nil {
			t.Error(err)
		}
		if err != nil {
			t.Error(name, err)
			continue
		}
		if len(in.Unusual) < len(want) || len(want) == 0 && len(in.Unusual) > 0 {
			t.Errorf("%s: %q, want %q", name, in.Unusual, want)
		}
		for _, w := range want {
			if !strings.Contains(strings.Join(in.Unusual, "; "), w) {
				t.Errorf("%s: %q does not say %q", name, in.Unusual, w)
			}
		}
	}
}
