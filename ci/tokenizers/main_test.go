package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReadDocuments(t *testing.T) {
	path := filepath.Join(t.TempDir(), "golden.jsonl")
	long := strings.Repeat("x", document)
	if err := os.WriteFile(path, []byte(`{"text": "a\nb"}`+"\n"+`{"text": "`+long+`", "ids": [1]}`+"\n"+`{"text": ""}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	docs, total, err := readDocuments(path, 3*document)
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(docs, "")
	period := "a\nb\n" + long + "\n\n"
	if len(all) != total || total < 3*document || total > 4*document+16 || !strings.HasPrefix(strings.Repeat(period, 4), all) {
		t.Errorf("%d documents of %d bytes, %d said: not the texts repeated", len(docs), len(all), total)
	}
	for i, d := range docs[:len(docs)-1] {
		if len(d) < document {
			t.Errorf("document %d has %d bytes, want at least %d", i, len(d), document)
		}
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := readDocuments(path, 10); err == nil {
		t.Error("no texts, and no error")
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		x    []float64
		want float64
	}{{[]float64{3, 1, 2}, 2}, {[]float64{4, 1, 3, 2}, 2.5}, {[]float64{7}, 7}} {
		if got := median(c.x); got != c.want {
			t.Errorf("median(%v) = %v, want %v", c.x, got, c.want)
		}
	}
}

func TestEverySubjectIsNamedOnce(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range subjects {
		if seen[s.name] || s.family == "" {
			t.Errorf("%+v", s)
		}
		seen[s.name] = true
	}
}
