package main

// The tree of models --families: every model once, in its branch and year, at any width.

import (
	"slices"
	"strings"
	"testing"

	"github.com/godwit-ml/godwit"
)

func TestFamilies(t *testing.T) {
	history := godwit.History()
	for _, columns := range []int{40, 80, 200} {
		var out strings.Builder
		printFamilies(&out, history, columns)
		text := out.String()
		for line := range strings.Lines(text) {
			if n := width(strings.TrimRight(line, "\n")); n > columns {
				t.Errorf("%d columns: a line has %d: %q", columns, n, line)
			}
		}
		for _, m := range history {
			want := "├─ " + mark(m) + " " + m.Name
			found := false
			for _, cell := range strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '│' }) {
				for part := range strings.SplitSeq(cell, "├─ ") {
					found = found || "├─ "+strings.TrimRight(part, " ") == want
				}
			}
			if !found {
				t.Errorf("%d columns: no %q", columns, want)
			}
		}
	}
	lines := jsonLines[godwit.Milestone](t, must(t, "", "models", "--families", "--json"))
	if !slices.EqualFunc(lines, history, func(a, b godwit.Milestone) bool { return a.Name == b.Name && slices.Equal(a.Families, b.Families) }) {
		t.Errorf("--json: %d milestones, want %d", len(lines), len(history))
	}
}
