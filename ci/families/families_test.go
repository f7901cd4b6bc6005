package main

// That the page is what the code says now.

import (
	"os"
	"strings"
	"testing"

	"github.com/godwit-ml/godwit"
)

func TestPageIsFresh(t *testing.T) {
	for file, want := range map[string]string{
		"../../docs/families.md":           page(godwit.History()),
		"../../docs/img/families/tree.svg": tree(godwit.History()),
	} {
		got, err := os.ReadFile(file)
		if err != nil || string(got) != want {
			t.Errorf("%s is stale (%v): run go run ./ci/families", file, err)
		}
	}
	for _, c := range sections {
		if c.image == "" {
			continue
		}
		if _, err := os.Stat("../../docs/img/families/" + c.image + ".png"); err != nil {
			t.Error(err)
		}
	}
}

func TestTree(t *testing.T) {
	text := tree(godwit.History())
	for _, m := range godwit.History() {
		if strings.Count(text, ">"+m.Name+"<") != 1 {
			t.Errorf("%s is not in the tree once", m.Name)
		}
	}
}
