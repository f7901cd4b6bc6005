// Command understand sorts texts by topic and by meaning with models that were
// never trained to do so: a decoder scores the names of the topics as
// continuations of a text, and an encoder's vectors are compared.
//
//	go run ./examples/understand [DIR]
//
// DIR is what ci/real-models.sh fills; without it, models.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"math"
	"os"
	"path/filepath"

	"github.com/godwit-ml/godwit"
)

// exact keeps the printed numbers the same wherever there are faster paths.
var exact = godwit.Config{DType: "f32"}

func main() {
	log.SetFlags(0)
	dir := "models"
	if len(os.Args) > 1 {
		dir = os.Args[1]
	}
	if err := run(context.Background(), os.Stdout, dir); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, w io.Writer, dir string) error {
	if err := topics(ctx, w, filepath.Join(dir, "SmolLM2-135M-Instruct.Q4_1.gguf")); err != nil {
		return err
	}
	return meanings(ctx, w, filepath.Join(dir, "minilm"))
}

// labels have one token or two, which is what makes scoring them hard: see choice.
var labels = []string{"sports", "cooking", "politics", "space travel", "classical music"}

var texts = []struct{ text, label string }{
	{"The goalkeeper saved two penalties in the final.", "sports"},
	{"She ran the marathon in under three hours.", "sports"},
	{"Simmer the lentils with garlic and a bay leaf.", "cooking"},
	{"Let the dough rest for an hour in a warm place.", "cooking"},
	{"Parliament votes on the new tax law on Monday.", "politics"},
	{"The minister resigned after the election.", "politics"},
	{"The astronauts repaired the station's antenna.", "space travel"},
	{"The rocket lifted off with four people on board.", "space travel"},
	{"The orchestra opened the evening with a waltz.", "classical music"},
	{"The pianist played the sonata from memory.", "classical music"},
}

// trap has the words of one topic and the meaning of another.
const trap = "The senator missed the penalty."

// topics says of each text which label the model would write behind it.
func topics(ctx context.Context, w io.Writer, path string) error {
	m, err := godwit.Open(ctx, path, exact)
	if err != nil {
		return err
	}
	defer m.Close() //nolint:errcheck // nothing was written

	neutral, err := scores(ctx, m, "N/A")
	if err != nil {
		return err
	}
	const row = "%-49s %-16s %-16s %s\n"
	fmt.Fprintf(w, row, "TOPIC: which label is the likeliest?", "by sum", "per token", "calibrated")
	var right [3]int
	for _, t := range texts {
		c, err := choose(ctx, m, t.text, neutral)
		if err != nil {
			return err
		}
		for i, label := range []string{c.sum, c.mean, c.calibrated} {
			if label == t.label {
				right[i]++
			}
		}
		fmt.Fprintf(w, row, t.text, c.sum, c.mean, c.calibrated)
	}
	of := func(n int) string { return fmt.Sprintf("%d of %d", n, len(texts)) }
	fmt.Fprintf(w, row, "right", of(right[0]), of(right[1]), of(right[2]))

	c, err := choose(ctx, m, trap, neutral)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "\nFALLS SHORT on words of one topic and a meaning of another\n%s → %s\n\n", trap, c.calibrated)
	return nil
}

// choice is the best label of a text, by three measures.
type choice struct {
	sum        string // log P(label | text): favours labels that are short, and common anyway
	mean       string // the same per token: favours labels whose second token follows from the first
	calibrated string // log P(label | text) - log P(label | no text): only what the text adds
}

// choose takes the best label of a text; neutral are the labels' scores without one.
func choose(ctx context.Context, m *godwit.Model, text string, neutral []score) (choice, error) {
	given, err := scores(ctx, m, text)
	if err != nil {
		return choice{}, err
	}
	return choice{
		sum:        best(func(i int) float64 { return given[i].logprob }),
		mean:       best(func(i int) float64 { return given[i].logprob / given[i].tokens }),
		calibrated: best(func(i int) float64 { return given[i].logprob - neutral[i].logprob }),
	}, nil
}

func best(value func(i int) float64) string {
	top := 0
	for i := range labels {
		if value(i) > value(top) {
			top = i
		}
	}
	return labels[top]
}

// score is how likely a label is after a text.
type score struct{ logprob, tokens float64 }

func scores(ctx context.Context, m *godwit.Model, text string) ([]score, error) {
	out := make([]score, len(labels))
	for i, label := range labels {
		r, err := m.Score(ctx, godwit.ScoreRequest{Prompt: "Text: " + text + "\nTopic:", Text: " " + label})
		if err != nil {
			return nil, err
		}
		out[i] = score{r.Logprob, float64(len(r.Tokens))}
	}
	return out, nil
}

var sentences = []string{
	"A man is playing a guitar.",
	"Someone makes music with an instrument.",
	"The bakery sells fresh bread.",
	"This shop bakes rolls and loaves.",
	"I liked the film.",
	"I did not like the film.",
	"The movie was a pleasure to watch.",
}

// meanings compares sentences by the angle between their vectors.
func meanings(ctx context.Context, w io.Writer, path string) error {
	m, err := godwit.Open(ctx, path, exact)
	if err != nil {
		return err
	}
	defer m.Close() //nolint:errcheck // nothing was written

	r, err := m.Embed(ctx, godwit.EmbedRequest{Texts: sentences, Normalize: true})
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%-41s", "MEANING: the cosine of every two")
	for j := range sentences {
		fmt.Fprintf(w, "%6d", j+1)
	}
	fmt.Fprintln(w, "  nearest")
	nearest := make([]int, len(sentences))
	for i, a := range r.Vectors {
		fmt.Fprintf(w, "%d %-39s", i+1, sentences[i])
		top := -1.0
		for j, b := range r.Vectors {
			c := cosine(a, b)
			fmt.Fprintf(w, "%6.2f", c)
			if j != i && c > top {
				nearest[i], top = j, c
			}
		}
		fmt.Fprintf(w, "%9d\n", nearest[i]+1)
	}
	const liked = 4
	fmt.Fprintf(w, "\nFALLS SHORT on a \"not\": nearest to\n%s → %s\n", sentences[liked], sentences[nearest[liked]])
	return nil
}

// cosine of two vectors of length 1 is their dot product, here to two decimals.
func cosine(a, b []float32) float64 {
	var sum float64
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return math.Round(100*sum)/100 + 0 // + 0: what rounds to zero has no sign
}
