package main

// models --families: the evolution of language models as three branches.

import (
	"fmt"
	"io"
	"strings"

	"github.com/godwit-ml/godwit"
)

// branches are the columns of the tree.
var branches = []struct{ kind, title string }{
	{"decoder", "decoder-only"}, {"encoder", "encoder-only"}, {"encoder-decoder", "encoder-decoder"},
}

// printFamilies draws the tree: a line a model of each branch, years at the left.
// Where three branches do not fit side by side, they follow one another.
func printFamilies(w io.Writer, history []godwit.Milestone, width int) {
	const margin, narrowest = 6, 22
	for _, line := range wrap("● runs here   ◐ closed, its architecture runs here   ○ open, not run   · closed, not run", width) {
		fmt.Fprintln(w, line)
	}
	fmt.Fprintln(w)
	column := min((width-margin)/len(branches), 30) // 24 at 80 columns
	if column >= narrowest {
		drawBranches(w, history, branches, column)
		return
	}
	for i := range branches {
		if i > 0 {
			fmt.Fprintln(w)
		}
		drawBranches(w, history, branches[i:i+1], width-margin)
	}
}

// drawBranches draws branches side by side.
func drawBranches(w io.Writer, history []godwit.Milestone, columns []struct{ kind, title string }, width int) {
	first, last := 9999, 0
	for _, m := range history {
		first, last = min(first, m.Year), max(last, m.Year)
	}
	line := func(year string, cells []string) {
		text := fmt.Sprintf("%-6s", year)
		for _, c := range cells {
			text += pad(c, width-1) + " "
		}
		fmt.Fprintln(w, strings.TrimRight(text, " "))
	}
	titles := make([]string, len(columns))
	for i, c := range columns {
		titles[i] = c.title
	}
	line("", titles)
	for year := first; year <= last; year++ {
		rows := make([][]string, len(columns))
		most := 1
		for i, c := range columns {
			for _, m := range history {
				if m.Kind == c.kind && m.Year == year {
					rows[i] = append(rows[i], "├─ "+mark(m)+" "+m.Name)
				}
			}
			most = max(most, len(rows[i]))
		}
		for r := range most {
			cells := make([]string, len(columns))
			for i := range columns {
				if cells[i] = "│"; r < len(rows[i]) {
					cells[i] = rows[i][r]
				}
			}
			label := ""
			if r == 0 {
				label = fmt.Sprint(year)
			}
			line(label, cells)
		}
	}
}

// mark says whether a model is open, and whether it runs here.
func mark(m godwit.Milestone) string {
	switch {
	case len(m.Families) > 0 && m.Open:
		return "●"
	case len(m.Families) > 0:
		return "◐"
	case m.Open:
		return "○"
	}
	return "·"
}
