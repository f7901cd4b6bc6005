package main

import (
	"bytes"
	"encoding/json"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godwit-ml/godwit"
)

// weightOf reads a colour back through the colour map.
func weightOf(c color.Color) (w, off float64) {
	r, g, b, _ := c.RGBA()
	off = math.Inf(1)
	for i := range 2001 {
		x := float64(i) / 2000
		h := heat(x)
		d := math.Abs(float64(h.R)-float64(r>>8)) + math.Abs(float64(h.G)-float64(g>>8)) + math.Abs(float64(h.B)-float64(b>>8))
		if d < off {
			w, off = x, d
		}
	}
	return w, off
}

// TestHeatReadsInGrey: every colour is darker than those of smaller weights, and
// weights that differ by 0.01 have other colours.
func TestHeatReadsInGrey(t *testing.T) {
	grey := func(c color.RGBA) float64 { return .299*float64(c.R) + .587*float64(c.G) + .114*float64(c.B) }
	for i := range 100 {
		a, b := heat(float64(i)/100), heat(float64(i+1)/100)
		if grey(b) >= grey(a) {
			t.Errorf("%v at %d %% is no darker than %v", b, i+1, a)
		}
	}
	for _, x := range []float64{-1, math.NaN(), 2} {
		heat(x)
	}
}

// TestPNG: the picture decodes, and the middle of each cell has the colour of
// the weight that --json prints.
func TestPNG(t *testing.T) {
	for _, name := range []string{"gpt2", "t5", "bert-mlm"} {
		args := []string{"attend", "-m", checkpoints + name, "-q", "--layer", "0", "--head", "2", "The transformer attends to every token."}
		if name == "t5" {
			args = append(args, "--target", "every token")
		}
		file := filepath.Join(t.TempDir(), "a.png")
		if r := command(t, "", append(args, "--pieces", "--png", file)...); r.status != 0 || r.out != "" {
			t.Fatalf("%s: status %d: %s", name, r.status, r.stderr)
		}
		out := command(t, "", append(args, "--json")...)
		var a godwit.Attention
		if err := json.Unmarshal([]byte(out.out), &a); err != nil {
			t.Fatal(err)
		}
		m := attentionMaps(&a, false)[0].Map
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		img, err := png.Decode(f)
		if err != nil {
			t.Fatal(err)
		}
		face, err := labelFace()
		if err != nil {
			t.Fatal(err)
		}
		p, err := layout(m, face)
		if err != nil {
			t.Fatal(err)
		}
		for q := range m.Queries {
			for k, want := range m.Row(0, 0, q) {
				at := p.centre(q, k)
				if got, off := weightOf(img.At(at.X, at.Y)); off > 3 || math.Abs(got-float64(want)) > 0.01 {
					t.Fatalf("%s: cell %d,%d is %.4f (off by %v), want %.4f", name, q, k, got, off, want)
				}
			}
		}
	}
}

func TestPage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.html")
	text := "</script><b>&amp; 'x'"
	if r := command(t, "", "attend", "-m", checkpoints+"gpt2", "-q", "--html", file, text); r.status != 0 {
		t.Fatalf("status %d: %s", r.status, r.stderr)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	page := string(data)
	if strings.Count(page, "</script>") != 1 || strings.Contains(page, "<b>") {
		t.Error("the text is markup in the page")
	}
	for _, outside := range []string{"http://", "https://", "src=", "@import", "url("} {
		if strings.Contains(page, outside) {
			t.Errorf("the page wants something from outside: %s", outside)
		}
	}
	start := strings.Index(page, "const maps = ") + len("const maps = ")
	var maps []pageMap
	if err := json.NewDecoder(strings.NewReader(page[start:])).Decode(&maps); err != nil {
		t.Fatal(err)
	}
	m := maps[0]
	if len(m.Layers) != 3 || len(m.Heads) != 4 || len(m.Flat) != 3*4*len(m.Queries)*len(m.Keys) {
		t.Errorf("%d layers, %d heads, %d weights", len(m.Layers), len(m.Heads), len(m.Flat))
	}
}

func TestHeatMapInTheTerminal(t *testing.T) {
	r := command(t, "", "attend", "-m", checkpoints+"gpt2", "-q", "The transformer attends to every token.")
	if r.status != 0 || !strings.Contains(r.out, "decoder attention, layer 2, mean of 4 heads") || !strings.Contains(r.out, "transformer") {
		t.Errorf("status %d: %s%s", r.status, r.out, r.stderr)
	}
	for line := range strings.Lines(r.out) {
		if w := width(strings.TrimSuffix(line, "\n")); w > 80 {
			t.Errorf("%d columns: %s", w, line)
		}
	}
	m := &godwit.AttentionMap{Layers: []int{0}, Heads: []int{0}}
	for range 30 {
		m.Keys = append(m.Keys, godwit.Piece{Text: "日本語の言葉"})
		m.Weights = append(m.Weights, 1.0/30)
	}
	m.Queries = m.Keys[:1]
	for _, st := range []style{{40, false}, {40, true}, {20, true}, {200, false}, {6, false}} {
		var b bytes.Buffer
		printHeat(&b, m, "title", st)
		if st.colour != strings.Contains(b.String(), "\x1b[") {
			t.Errorf("%+v: %q", st, b.String())
		}
		for line := range strings.Lines(b.String()) {
			if w := width(stripColour(strings.TrimSuffix(line, "\n"))); w > st.columns && !strings.Contains(line, "columns fit") {
				t.Errorf("%+v: %d columns: %q", st, w, line)
			}
		}
	}
	if got := visible(godwit.Piece{Text: "a\x1b[2Jb\n"}); strings.ContainsRune(got, 0x1b) {
		t.Errorf("a token moves the cursor: %q", got)
	}
}

// stripColour takes escape sequences away.
func stripColour(s string) string {
	for {
		i := strings.Index(s, "\x1b[")
		if i < 0 {
			return s
		}
		j := strings.IndexByte(s[i:], 'm')
		s = s[:i] + s[i+j+1:]
	}
}

func TestAttendMistakes(t *testing.T) {
	for name, test := range map[string]struct {
		args   []string
		status int
		want   string
	}{
		"json and png":  {[]string{"--json", "--png", "x.png"}, 2, "not both"},
		"no such layer": {[]string{"--layer", "7"}, 2, "--layer"},
		"no such head":  {[]string{"--head", "-9"}, 2, "--head"},
		"no such map":   {[]string{"--map", "cross"}, 2, "decoder"},
		"no file":       {[]string{"--png", filepath.Join(t.TempDir(), "no", "x.png")}, 1, "x.png"},
		"no page":       {[]string{"--html", t.TempDir()}, 1, "directory"},
		"pair":          {[]string{"--pair", "b"}, 2, "--pair"},
		"target":        {[]string{"--target", "b"}, 2, "--target"},
	} {
		r := command(t, "", append([]string{"attend", "-q", "-m", checkpoints + "gpt2", "some text"}, test.args...)...)
		if r.status != test.status || !strings.Contains(r.stderr, test.want) {
			t.Errorf("%s: status %d: %s", name, r.status, r.stderr)
		}
	}
}
