package main

// The tree as a picture: years from the bottom up, three branches from one trunk.

import (
	"fmt"
	"html"
	"strings"

	"github.com/godwit-ml/godwit"
)

// branch is one of the three, with where it stands.
type branch struct {
	kind, title, colour string
	x                   int
}

var branches = []branch{
	{"encoder", "encoder-only", "#b4457b", 70},
	{"encoder-decoder", "encoder-decoder", "#3f8f5b", 330},
	{"decoder", "decoder-only", "#2f6db5", 590},
}

// tree is the SVG. A leaf is filled if godwit runs it, half if it runs open replicas of a closed one.
func tree(history []godwit.Milestone) string {
	const step, gap, top, trunk = 22, 14, 70, 60
	first, last := history[0].Year, history[0].Year
	for _, m := range history {
		first, last = min(first, m.Year), max(last, m.Year)
	}
	rows := map[int]int{} // lines a year takes
	for year := first; year <= last; year++ {
		rows[year] = 1
		for _, b := range branches {
			rows[year] = max(rows[year], len(of(history, b.kind, year)))
		}
	}
	height := top
	y := map[int]int{} // top of a year
	for year := last; year >= first; year-- {
		y[year] = height
		height += rows[year]*step + gap
	}
	const width = 860
	var s strings.Builder
	fmt.Fprintf(&s, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13">`+"\n", width, height+trunk, width, height+trunk)
	fmt.Fprintf(&s, `<rect width="%d" height="%d" fill="#ffffff"/>`+"\n", width, height+trunk)
	for i, key := range []struct{ fill, text string }{{"full", "runs here"}, {"half", "closed, its architecture runs here"}, {"open", "open, not run"}, {"none", "closed, not run"}} {
		x := 70 + []int{0, 120, 390, 530}[i]
		leaf(&s, x, 24, "#555555", key.fill)
		fmt.Fprintf(&s, `<text x="%d" y="29" fill="#333333">%s</text>`+"\n", x+14, key.text)
	}
	for year := first; year <= last; year++ {
		fmt.Fprintf(&s, `<line x1="56" y1="%d" x2="%d" y2="%d" stroke="#eeeeee"/>`+"\n", y[year]-gap/2, width-16, y[year]-gap/2)
		fmt.Fprintf(&s, `<text x="12" y="%d" fill="#777777">%d</text>`+"\n", y[year]+step*rows[year]-6, year)
	}
	for _, b := range branches {
		fmt.Fprintf(&s, `<text x="%d" y="56" fill="%s" font-weight="bold">%s</text>`+"\n", b.x+14, b.colour, b.title)
		fmt.Fprintf(&s, `<path d="M %d %d C %d %d %d %d %d %d L %d 60" fill="none" stroke="%s" stroke-width="3"/>`+"\n",
			branches[1].x, height+trunk-12, branches[1].x, height+10, b.x, height+trunk-30, b.x, height-gap, b.x, b.colour)
		for year := first; year <= last; year++ {
			at := y[year] + rows[year]*step // the oldest lowest
			for _, m := range of(history, b.kind, year) {
				at -= step
				fmt.Fprintf(&s, `<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="%s"/>`+"\n", b.x, at+12, b.x+18, at+12, b.colour)
				leaf(&s, b.x+22, at+12, b.colour, fill(m))
				fmt.Fprintf(&s, `<text x="%d" y="%d" fill="#222222">%s</text>`+"\n", b.x+34, at+17, html.EscapeString(m.Name))
			}
		}
	}
	s.WriteString("</svg>\n")
	return s.String()
}

// of are a branch's milestones of a year, by date.
func of(history []godwit.Milestone, kind string, year int) (ms []godwit.Milestone) {
	for _, m := range history {
		if m.Kind == kind && m.Year == year {
			ms = append(ms, m)
		}
	}
	return ms
}

// fill says how a milestone's leaf is drawn.
func fill(m godwit.Milestone) string {
	switch {
	case len(m.Families) > 0 && m.Open:
		return "full"
	case len(m.Families) > 0:
		return "half"
	case m.Open:
		return "open"
	}
	return "none"
}

func leaf(s *strings.Builder, x, y int, colour, fill string) {
	const r = 6
	switch fill {
	case "full":
		fmt.Fprintf(s, `<circle cx="%d" cy="%d" r="%d" fill="%s"/>`+"\n", x, y, r, colour)
	case "half":
		fmt.Fprintf(s, `<circle cx="%d" cy="%d" r="%d" fill="#ffffff" stroke="%s" stroke-width="1.5"/><path d="M %d %d a %d %d 0 0 1 0 %d z" fill="%s"/>`+"\n", x, y, r, colour, x, y-r, r, r, 2*r, colour)
	case "open":
		fmt.Fprintf(s, `<circle cx="%d" cy="%d" r="%d" fill="#ffffff" stroke="%s" stroke-width="1.5"/>`+"\n", x, y, r, colour)
	default:
		fmt.Fprintf(s, `<circle cx="%d" cy="%d" r="2.5" fill="%s"/>`+"\n", x, y, colour)
	}
}
