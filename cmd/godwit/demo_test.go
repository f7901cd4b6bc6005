package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io/fs"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/godwit-ml/godwit"
	"github.com/godwit-ml/godwit/demo"
)

func walked(t testing.TB, sentence string) walk {
	t.Helper()
	return jsonLines[walk](t, must(t, "", "demo", "--json", sentence))[0]
}

// TestDemo: the walk of the README, and what each step must be.
func TestDemo(t *testing.T) {
	w := walked(t, "")
	if w.Sentence != defaultSentence || w.Rewritten != "I love machine learning." {
		t.Errorf("%q has become %q", w.Sentence, w.Rewritten)
	}
	var norm float64
	for _, x := range w.Vector {
		norm += float64(x) * float64(x)
	}
	if len(w.Vector) < 8 || math.Abs(math.Sqrt(norm)-w.Norm) > 1e-6 {
		t.Errorf("%d numbers of length %v", len(w.Vector), w.Norm)
	}
	var words []string
	for _, word := range w.Words {
		words = append(words, word.Word)
		var sum float64
		best := word.Attention[0]
		for _, a := range word.Attention {
			sum += a.Weight
			if a.Weight > best.Weight {
				best = a
			}
		}
		if math.Abs(sum-1) > 1e-4 || word.Prob <= 0 || word.Prob > 1 {
			t.Errorf("%s: attention sums to %v, probability %v", word.Word, sum, word.Prob)
		}
		if (word.Word == "machine" || word.Word == "learning") && best.Word != "NLP" {
			t.Errorf("%s looks at %s", word.Word, best.Word)
		}
	}
	if got := strings.Join(words, " "); got != "I love machine learning ." {
		t.Errorf("words %q", got)
	}
	if w.Prompt != "I love" || len(w.Continuation) == 0 || w.Masked != "I love [MASK] learning." || len(w.Fills) != 5 || w.Fills[0].Name != "machine" {
		t.Errorf("prompt %q, %d tokens, masked %q, fills %+v", w.Prompt, len(w.Continuation), w.Masked, w.Fills)
	}
}

// TestDemoIsTheModel: other sentences, and other weights, give other words.
func TestDemoIsTheModel(t *testing.T) {
	for _, sentence := range []string{"My brother teaches knitting.", "We read about astronomy every day."} {
		if w := walked(t, sentence); w.Rewritten == "I love machine learning." || w.Prompt == "I love" {
			t.Errorf("%q: %q", sentence, w.Rewritten)
		}
	}
	m, err := godwit.OpenFS(t.Context(), shuffled(t, "rewrite"), "rewrite", godwit.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	r, err := m.Complete(t.Context(), godwit.Request{Prompt: defaultSentence, MaxTokens: 20})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(r.Text, "machine learning") {
		t.Errorf("with shuffled weights: %q", r.Text)
	}
}

// shuffled is a model of the demo whose weights lie in another order.
func shuffled(t testing.TB, name string) fs.FS {
	t.Helper()
	out := fstest.MapFS{}
	files, err := fs.ReadDir(demo.FS, name)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		data, err := fs.ReadFile(demo.FS, name+"/"+f.Name())
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(f.Name(), ".safetensors") {
			data = bytes.Clone(data)
			values := data[8+binary.LittleEndian.Uint64(data):]
			rand.New(rand.NewPCG(1, 2)).Shuffle(len(values)/2, func(i, j int) {
				for k := range 2 {
					values[2*i+k], values[2*j+k] = values[2*j+k], values[2*i+k]
				}
			})
		}
		out[name+"/"+f.Name()] = &fstest.MapFile{Data: data}
	}
	return out
}

// TestDemoAnySentence: nothing a person types breaks the walk.
func TestDemoAnySentence(t *testing.T) {
	for _, sentence := range []string{"x", "Ich liebe Käse. 日本 😀", "[MASK] </s> <pad>", strings.Repeat("word ", 40), "\x00\x1b[2J"} {
		got := command(t, "", "demo", "-q", sentence)
		if got.status != 0 && !strings.Contains(got.stderr, "tokens, the limit is") {
			t.Errorf("%q: status %d: %s", sentence, got.status, got.stderr)
		}
		if strings.ContainsRune(got.out, 0x1b) {
			t.Errorf("%q moves the cursor", sentence)
		}
	}
}

func TestDemoFitsTheTerminal(t *testing.T) {
	w := walked(t, "My neighbour teaches linguistics.")
	for _, columns := range []int{80, 40} {
		var b bytes.Buffer
		out := &results{w: bufio.NewWriter(&b)}
		st := style{columns: columns}
		printRewrite(out, &w, st)
		printContinuation(out, &w, st)
		printFills(out, &w, st)
		if err := out.flush(); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(b.String()) {
			if n := width(strings.TrimSuffix(line, "\n")); n > columns {
				t.Errorf("%d of %d columns: %s", n, columns, line)
			}
		}
	}
	text := must(t, "", "demo")
	for _, want := range []string{"I love machine learning.", "godwit attend", "hf download", "[MASK]"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestMaskChanged(t *testing.T) {
	for _, row := range [][3]string{
		{"I love NLP.", "I love machine learning.", "I love [MASK] learning."},
		{"I love NLP.", "I love NLP.", "I love [MASK]."},
		{"I love NLP", "I love NLP!", "I love [MASK]!"},
		{"a", "a b", "a [MASK]"},
		{"a", "", "[MASK]"},
	} {
		if got := maskChanged(row[0], row[1]); got != row[2] {
			t.Errorf("%q, %q: %q, want %q", row[0], row[1], got, row[2])
		}
	}
}

// TestWithoutModel: commands that the demo has a model for need no -m.
func TestWithoutModel(t *testing.T) {
	for name, args := range map[string][]string{
		"generate":  {"generate", "I love"},
		"tokenize":  {"tokenize", "I love NLP."},
		"score":     {"score", "I love NLP."},
		"fill-mask": {"fill-mask", "I love [MASK] learning."},
		"embed":     {"embed", "I love NLP."},
		"attend":    {"attend", "I love NLP."},
		"bench":     {"bench", "--repeats", "1"},
		"quality":   {"quality"},
	} {
		if out := must(t, "", args...); strings.TrimSpace(out) == "" {
			t.Errorf("%s says nothing", name)
		}
	}
	if out := must(t, "I love\n", "chat", "-q", "-n", "8"); strings.TrimSpace(out) == "" {
		t.Error("chat says nothing")
	}
	if got := command(t, "", "classify", "text"); got.status != statusUsage || !strings.Contains(got.stderr, "-m") {
		t.Errorf("classify: %+v", got)
	}
	for _, m := range demoModels {
		if _, err := fs.Stat(demo.FS, m); err != nil {
			t.Error(err)
		}
	}
}
