package main

// Heat maps of attention: the colours, and the drawing for terminals.

import (
	"fmt"
	"image/color"
	"io"
	"math"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/rivo/uniseg"
	"golang.org/x/term"

	"github.com/godwit-ml/godwit"
)

// anchors are colours at equal steps from 0 to 1: white over blue to near black,
// each darker than the one before, so that the map also reads in grey.
var anchors = [...][3]float64{{255, 255, 255}, {222, 235, 247}, {158, 202, 225}, {66, 146, 198}, {8, 81, 156}, {8, 29, 88}}

// heat is the colour of a weight in [0, 1].
func heat(w float64) color.RGBA {
	if !(w > 0) { // NaN too
		w = 0
	}
	x := min(w, 1) * float64(len(anchors)-1)
	i := min(int(x), len(anchors)-2)
	f := x - float64(i)
	mix := func(k int) uint8 { return uint8(math.Round(anchors[i][k] + f*(anchors[i+1][k]-anchors[i][k]))) }
	return color.RGBA{mix(0), mix(1), mix(2), 255}
}

// style is what a terminal can show.
type style struct {
	columns int  // of text a line
	colour  bool // 24-bit or 256 colours
}

// defaultColumns is the width where there is no terminal.
const defaultColumns = 80

// style asks the terminal and NO_COLOR (no-color.org).
func (r *results) style() style {
	st := style{columns: defaultColumns}
	if r.terminal {
		if w, _, err := term.GetSize(int(os.Stdout.Fd())); err == nil && w > 0 {
			st.columns = w
		}
		st.colour = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	}
	return st
}

// width is how many columns a text takes.
func width(s string) int { return uniseg.StringWidth(s) }

// pad brings a text to n columns, cutting or filling at its right.
func pad(s string, n int) string {
	if width(s) > n {
		s = cut(s, n)
	}
	return s + strings.Repeat(" ", n-width(s))
}

// cut shortens a text to n columns, with an ellipsis.
func cut(s string, n int) string {
	if width(s) <= n {
		return s
	}
	out := ""
	for s != "" {
		g, rest, _, _ := uniseg.FirstGraphemeClusterInString(s, -1)
		if width(out+g) > n-1 {
			break
		}
		out, s = out+g, rest
	}
	return out + strings.Repeat("…", min(1, n))
}

// visible is the text of a piece for an axis.
func visible(p godwit.Piece) string {
	text := printable(p.Text)
	if strings.TrimSpace(text) == "" {
		return "␣"
	}
	return text
}

// printable is a text with nothing in it that moves a cursor.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return '⏎'
		case r == '\t':
			return '→'
		case r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == utf8.RuneError:
			return '·'
		}
		return r
	}, text)
}

// printHeat prints one map: a row a query, a column a key. Columns that do not
// fit are said to be missing.
func printHeat(w io.Writer, m *godwit.AttentionMap, title string, st style) {
	fmt.Fprintln(w, cut(title, st.columns))
	label := 0
	for _, q := range m.Queries {
		label = max(label, width(visible(q)))
	}
	label = min(label, max(st.columns/3, 6))
	cell := 5 // " 0.42"
	for _, k := range m.Keys {
		cell = max(cell, width(visible(k))+1)
	}
	room := st.columns - label - 1
	if cell*len(m.Keys) > room {
		cell = max(min(room/max(len(m.Keys), 1), cell), 4)
	}
	shown := max(min(len(m.Keys), room/cell), 0)
	line := strings.Repeat(" ", label+1)
	for _, k := range m.Keys[:shown] {
		line += " " + pad(visible(k), cell-1)
	}
	fmt.Fprintln(w, strings.TrimRight(line, " "))
	for q := range m.Queries {
		line := pad(visible(m.Queries[q]), label) + " "
		for _, x := range m.Row(0, 0, q)[:shown] {
			line += heatCell(float64(x), cell, st.colour)
		}
		fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
	if shown < len(m.Keys) {
		fmt.Fprintf(w, "%d of %d columns fit: --png or --html shows all\n", shown, len(m.Keys))
	}
}

// heatCell is a weight: its number, and where there are colours on its colour.
func heatCell(x float64, cell int, colour bool) string {
	text := " " + pad(number(x), cell-1)
	if !colour {
		return text
	}
	c, ink := heat(x), 30
	if x > 0.5 {
		ink = 97
	}
	return fmt.Sprintf("\x1b[48;2;%d;%d;%dm\x1b[%dm%s\x1b[0m", c.R, c.G, c.B, ink, text)
}

// number is a weight in three columns: ".42", "1.0", "  ·" for what is next to nothing.
func number(x float64) string {
	switch {
	case x >= 0.995:
		return "1.0"
	case x < 0.005:
		return "  ·"
	}
	return strings.TrimPrefix(fmt.Sprintf("%.2f", x), "0")
}
