package model

// The history and the families say the same.

import (
	"slices"
	"testing"
)

func TestHistory(t *testing.T) {
	known := map[string]bool{}
	for _, f := range families {
		known[f.name] = false
	}
	names := map[string]bool{}
	for _, m := range History() {
		if names[m.Name] {
			t.Errorf("%s: twice", m.Name)
		}
		names[m.Name] = true
		for _, f := range m.Families {
			if _, ok := known[f]; !ok {
				t.Errorf("%s: is said to be run by %s, which is no family", m.Name, f)
			}
			known[f] = true
		}
		runs := len(m.Families) > 0
		if said := m.Positions != "" && m.Attention != "" && m.Norm != "" && m.Activation != "" && len(m.Proof) > 0; said != runs {
			t.Errorf("%s: runs here: %v, but what is special about it is said: %v", m.Name, runs, said)
		}
		if m.Paper == "" || m.Year < 2017 || m.Month < 1 || m.Month > 12 {
			t.Errorf("%s: no paper or no date", m.Name)
		}
	}
	for f, told := range known {
		if !told {
			t.Errorf("family %s is not in the history", f)
		}
	}
	if !slices.IsSortedFunc(History(), func(a, b Milestone) int {
		if a.Kind != b.Kind {
			return 0
		}
		return (a.Year-b.Year)*100 + a.Month - b.Month
	}) {
		t.Error("branches are not sorted by date")
	}
}
