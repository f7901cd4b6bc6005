package godwit_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/godwit-ml/godwit"
)

// TestForced: what a checkpoint's files force, forbid and favour makes the answers
// that transformers gives, greedily and in beam search (ci/forced.py).
func TestForced(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", "forced.json"))
	if err != nil {
		t.Fatal(err)
	}
	var rows []struct {
		Model  string         `json:"model"`
		Fields map[string]any `json:"fields"`
		Prompt []int32        `json:"prompt"`
		IDs    []int32        `json:"ids"`
		Scores []float64      `json:"scores"`
	}
	if err := json.Unmarshal(data, &rows); err != nil {
		t.Fatal(err)
	}
	dirs := map[string]string{}
	for i, row := range rows {
		dir := dirs[row.Model]
		if dir == "" {
			dir = copied(t, row.Model, nil)
			dirs[row.Model] = dir
		}
		base := map[string]any{}
		if data, err = os.ReadFile(filepath.Join("model", "testdata", "checkpoints", row.Model, "generation_config.json")); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, &base); err != nil {
			t.Fatal(err)
		}
		for field, value := range row.Fields {
			base[field] = value
		}
		if data, err = json.Marshal(base); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "generation_config.json"), data, 0o600); err != nil {
			t.Fatal(err)
		}
		m := openDir(t, dir, godwit.Config{})
		r := godwit.Request{Tokens: row.Prompt, MaxTokens: 12}
		if row.Fields["max_length"] != nil {
			r.MaxTokens = 0
		}
		got := complete(t, m, r)
		if !slices.Equal(got.IDs, row.IDs) {
			t.Errorf("row %d, %s %v: %v, want %v", i, row.Model, row.Fields, got.IDs, row.IDs)
		}
		if len(row.Scores) > 0 && len(got.Choices) != len(row.Scores) {
			t.Errorf("row %d, %s %v: %d answers, want %d", i, row.Model, row.Fields, len(got.Choices), len(row.Scores))
			continue
		}
		for k, want := range row.Scores {
			if d := math.Abs(got.Choices[k].Score - want); !(d <= 1e-4*max(1, math.Abs(want))) {
				t.Errorf("row %d, %s %v: answer %d scores %v, want %v", i, row.Model, row.Fields, k, got.Choices[k].Score, want)
			}
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
