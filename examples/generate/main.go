// Command generate has a small language model continue, rewrite and summarise
// texts. It takes the likeliest token each time, so that every run says the same.
//
//	go run ./examples/generate [DIR]
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

const (
	opening  = "Once upon a time, a small robot found a garden. It"
	past     = "Rewrite the sentence in the past tense: "
	grammar  = "Correct the grammar of this sentence: "
	summary  = "Summarize in one sentence: "
	hardPast = "The dog runs to the door and barks."

	library = "The city library of Marlow will stay open until ten in the evening from next month on. " +
		"Many students had asked for longer hours, because they have no quiet place to study at home. " +
		"The city will pay for two more librarians, and a small café in the entrance hall will sell tea and sandwiches."

	bridge = "The town of Elmridge closed its old stone bridge on Tuesday after engineers found cracks in two of its pillars. " +
		"Repairs will take about six months and cost two million euros. Until then, buses and cars must use the new bridge " +
		"in the north, while a small ferry carries people on foot across the river for free."
)

func run(ctx context.Context, w io.Writer, dir string) error {
	// Exact arithmetic keeps the text the same wherever there are faster paths.
	m, err := godwit.Open(ctx, filepath.Join(dir, "SmolLM2-135M-Instruct.Q4_1.gguf"), godwit.Config{DType: "f32"})
	if err != nil {
		return err
	}
	defer m.Close() //nolint:errcheck // nothing was written

	sections := []struct {
		title string
		steps []step
	}{
		{"CONTINUE", []step{
			continuation("My favourite season is autumn, because", godwit.Sampling{}),
			continuation(opening, godwit.Sampling{RepetitionPenalty: new(1.1)}),
		}},
		{"REWRITE", []step{
			instruction(past, "She buys bread and milk."),
			instruction(past, "The children play in the garden."),
			instruction(grammar, "He have two sister."),
		}},
		{"SUMMARISE", []step{instruction(summary, library)}},
		{"FALLS SHORT", []step{
			continuation(opening, godwit.Sampling{}), // no penalty: a loop
			instruction(past, hardPast),              // the second verb stays as it was
			instruction(summary, bridge),             // invents what the text does not say
		}},
	}
	for i, s := range sections {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintln(w, s.title)
		for _, step := range s.steps {
			r, err := m.Complete(ctx, step.request)
			if err != nil {
				return err
			}
			fmt.Fprintf(w, "  %s\n  → %s\n", step.shown, line(r))
		}
	}
	return nil
}

// step is a request, and what to show of it.
type step struct {
	shown   string
	request godwit.Request
}

// continuation goes on where a text ends: the model reads the text and nothing else.
func continuation(text string, s godwit.Sampling) step {
	return step{text, godwit.Request{Prompt: text, MaxTokens: 28, Stop: []string{"\n"}, Sampling: s}}
}

// instruction is a turn of a conversation: the chat template marks it as the user's.
func instruction(task, text string) step {
	ask := []godwit.Message{{Role: "user", Content: task + text}}
	return step{task + text, godwit.Request{Messages: ask, MaxTokens: 40}}
}

// line is an answer in one line, with an ellipsis if it was cut off.
func line(r *godwit.Result) string {
	text := strings.Join(strings.Fields(r.Text), " ")
	if r.Finish == godwit.FinishLength {
		text += " …"
	}
	return text
}
