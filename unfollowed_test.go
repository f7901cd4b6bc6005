package godwit_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-ml/godwit"
)

// TestUnfollowed: what a checkpoint asks of generations and does not get is said,
// wherever it asks.
func TestUnfollowed(t *testing.T) {
	const asks = `{"eos_token_id": 2, "forced_bos_token_id": 0, "forced_eos_token_id": null, "no_repeat_ngram_size": 3, "min_length": 0, "bad_words_ids": [], "suppress_tokens": [4, 5]}`
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("model", "testdata", "checkpoints", "bart"))); err != nil {
		t.Fatal(err)
	}
	want := []string{"the checkpoint asks for forced_bos_token_id 0, which is not followed", "the checkpoint asks for no_repeat_ngram_size 3, which is not followed",
		"the checkpoint asks for suppress_tokens [4,5], which is not followed"}
	notes := func() []string {
		t.Helper()
		info, err := godwit.Inspect(context.Background(), dir, godwit.Config{})
		if err != nil {
			t.Fatal(err)
		}
		return slices.DeleteFunc(info.Unusual, func(s string) bool { return !strings.Contains(s, "not followed") })
	}
	generation := filepath.Join(dir, "generation_config.json")
	if got := notes(); len(got) > 0 {
		t.Errorf("without any: %q", got)
	}
	if err := os.Remove(generation); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "config.json")
	config, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(config), "{", strings.TrimSuffix(asks, "}")+",", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := notes(); !slices.Equal(got, want) {
		t.Errorf("config.json: %q, want %q", got, want)
	}
	if err := os.WriteFile(generation, []byte(asks), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := notes(); !slices.Equal(got, want) {
		t.Errorf("generation_config.json: %q, want %q", got, want)
	}
}
