// Command knowledge answers questions about a small town that no model has read
// of: an encoder finds the passage, a decoder reads the answer out of it.
//
//	go run ./examples/knowledge [DIR]
//
// DIR is what ci/real-models.sh fills; without it, models.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/godwit-ml/godwit"
)

// passages are all that is known of Elmridge.
var passages = []string{
	"The ferry crosses the river every twenty minutes, from six in the morning until nine in the evening.",
	"A crossing with the ferry costs two euros. Children under seven and bicycles travel free.",
	"The rope maker Ida Brandt founded Elmridge in 1702, when she built a workshop on the east bank.",
	"Fresh fish is sold at the market on the east quay on Thursdays and Saturdays.",
	"The Rope Museum shows how ships' ropes were made by hand. It is closed on Mondays.",
	"The lighthouse is 31 metres high and was painted red after the storm of 1874.",
	"The library lends six books at a time, for three weeks.",
	"The old stone bridge is closed for repairs until May, because engineers found cracks in two pillars.",
	"The lantern festival is held on the last weekend of September, on both banks of the river.",
	"The bakery in Mill Lane is known for its rye bread with caraway.",
	"Cars may park behind the town hall, for two hours at most.",
	"Storks nest on the roof of the old ropery from March to August.",
}

// Questions: those that work, and those that show where it ends.
var (
	questions = []string{
		"How much does it cost to cross the river?",
		"On which days can I buy fresh fish?",
		"Why is the bridge closed?",
		"Who founded Elmridge?",
	}
	hard = []string{
		"Is the Rope Museum open on Mondays?",   // the passage says it, and the answer the opposite
		"What do two adults pay for the ferry?", // the answer must be worked out
		"Which team won the football cup?",      // no passage says it: see the cosine
	}
)

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
	exact := godwit.Config{DType: "f32"} // the same text wherever there are faster paths
	encoder, err := godwit.Open(ctx, filepath.Join(dir, "minilm"), exact)
	if err != nil {
		return err
	}
	defer encoder.Close() //nolint:errcheck // nothing was written
	decoder, err := godwit.Open(ctx, filepath.Join(dir, "SmolLM2-135M-Instruct.Q4_1.gguf"), exact)
	if err != nil {
		return err
	}
	defer decoder.Close() //nolint:errcheck // nothing was written

	known, err := encoder.Embed(ctx, godwit.EmbedRequest{Texts: passages, Normalize: true}) // once, for all questions
	if err != nil {
		return err
	}
	show := func(q string) error {
		asked, err := encoder.Embed(ctx, godwit.EmbedRequest{Texts: []string{q}, Normalize: true})
		if err != nil {
			return err
		}
		at, cosine := nearest(asked.Vectors[0], known.Vectors)
		with, err := answer(ctx, decoder, shotWith+"Text: "+passages[at]+"\nQuestion: "+q+"\nAnswer:")
		if err != nil {
			return err
		}
		without, err := answer(ctx, decoder, shotWithout+"Question: "+q+"\nAnswer:")
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "  %s\n    passage  %.2f %s\n    answer   %s\n    without  %s\n", q, cosine, passages[at], with, without)
		return nil
	}
	fmt.Fprintln(w, "QUESTIONS: the nearest passage, the answer from it, and the answer without")
	for _, q := range questions {
		if err := show(q); err != nil {
			return err
		}
	}
	fmt.Fprintln(w, "\nFALLS SHORT")
	for _, q := range hard {
		if err := show(q); err != nil {
			return err
		}
	}
	return nil
}

// nearest is the vector with the largest cosine to q. Vectors of length 1: it is the dot product.
func nearest(q []float32, vectors [][]float32) (at int, cosine float64) {
	cosine = -1
	for i, v := range vectors {
		var dot float64
		for j := range v {
			dot += float64(v[j]) * float64(q[j])
		}
		if dot > cosine {
			at, cosine = i, dot
		}
	}
	return at, cosine
}

// One example shows what is wanted: a short sentence.
const (
	shotWithout = "Question: How many pupils does the school have?\nAnswer: The school has 90 pupils.\n\n"
	shotWith    = "Text: The school in Mill Lane has 90 pupils and a garden with apple trees.\n" + shotWithout
)

func answer(ctx context.Context, m *godwit.Model, prompt string) (string, error) {
	r, err := m.Complete(ctx, godwit.Request{Prompt: prompt, MaxTokens: 24, Stop: []string{"\n"}})
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(r.Text), nil
}
