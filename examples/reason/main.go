// Command reason asks a small language model the same questions in different
// ways: plainly, after examples with answers, and after examples that work the
// answer out step by step.
//
//	go run ./examples/reason [DIR]
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

// The examples that a prompt begins with.
const (
	whoAsk = "Who wrote this, and in which city does the writer live? Answer as \"Name: ... | City: ...\".\n\n"

	// whoShots say what is wanted and in which form.
	whoShots = "Text: My name is Ben and I live in Oslo.\nName: Ben | City: Oslo\n\n" +
		"Text: Greetings from Lima! Yours, Rosa\nName: Rosa | City: Lima\n\n"

	ann = "Q: Ann has 2 boxes with 5 pens each and 6 more pens. How many pens does Ann have?\nA:"
	leo = "Q: Leo has 4 jars with 2 coins each and 3 more coins. How many coins does Leo have?\nA:"

	// answerShots and stepShots have the same questions: only the steps differ.
	answerShots = ann + " The answer is 16.\n\n" + leo + " The answer is 11.\n\n"
	stepShots   = ann + " 2 * 5 = 10. 10 + 6 = 16. The answer is 16.\n\n" + leo + " 4 * 2 = 8. 8 + 3 = 11. The answer is 11.\n\n"
)

func run(ctx context.Context, w io.Writer, dir string) error {
	// Exact arithmetic keeps the answers the same wherever there are faster paths.
	m, err := godwit.Open(ctx, filepath.Join(dir, "SmolLM2-135M-Instruct.Q4_1.gguf"), godwit.Config{DType: "f32"})
	if err != nil {
		return err
	}
	defer m.Close() //nolint:errcheck // nothing was written

	for i, s := range sections {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintln(w, s.title)
		for _, q := range s.questions {
			fmt.Fprintf(w, "  %s\n", q.text)
			for _, way := range q.ways {
				r, err := m.Complete(ctx, way.request(q.text))
				if err != nil {
					return err
				}
				fmt.Fprintf(w, "    %-10s %s\n", way.name, line(r))
			}
		}
	}
	return nil
}

var sections = []section{
	{"FEW-SHOT", []question{
		{"Best wishes from sunny Athens, Peter", []way{whoZeroShot, whoFewShot}},
		{"Clara visited Paris, but she lives in Dublin.", []way{whoZeroShot, whoFewShot}},
	}},
	{"STEP BY STEP", []question{
		{"Sam has 3 bags with 4 apples each and 5 more apples. How many apples does Sam have?", []way{sumZeroShot, sumFewShot, sumSteps}},
		{"Tom has 3 cartons with 6 eggs each and 7 more eggs. How many eggs does Tom have?", []way{sumZeroShot, sumFewShot, sumSteps}},
	}},
	{"FALLS SHORT", []question{
		// A city that is not in the text.
		{"I left Rome for Madrid. Bye, Nina", []way{whoFewShot}},
		// The numbers in another order: it copies the form of the examples, and not their sense.
		{"Sam has 5 apples and 3 bags with 4 apples each. How many apples does Sam have?", []way{sumSteps}},
		// 5 * 4 is the first step. That the answer is right shows that the steps are not how it came to be.
		{"Kim has 5 rows with 4 chairs each and 2 more chairs. How many chairs does Kim have?", []way{sumSteps}},
	}},
}

type section struct {
	title     string
	questions []question
}

type question struct {
	text string
	ways []way
}

// way is a way of asking.
type way struct {
	name    string
	request func(text string) godwit.Request
}

var (
	whoZeroShot = way{"zero-shot", func(text string) godwit.Request { return chat(whoAsk+text, "") }}
	whoFewShot  = way{"few-shot", func(text string) godwit.Request { return prompt(whoShots + "Text: " + text + "\n") }}
	sumZeroShot = way{"zero-shot", func(text string) godwit.Request { return chat(text, "The answer is") }}
	sumFewShot  = way{"few-shot", func(text string) godwit.Request { return prompt(answerShots + "Q: " + text + "\nA:") }}
	sumSteps    = way{"steps", func(text string) godwit.Request { return prompt(stepShots + "Q: " + text + "\nA:") }}
)

// chat asks in a conversation, as one would ask a person. The answer has to begin with prefix.
func chat(ask, prefix string) godwit.Request {
	return godwit.Request{Messages: []godwit.Message{{Role: "user", Content: ask}}, Prefix: prefix, MaxTokens: 20}
}

// prompt gives a text to go on with: after examples, what comes next is the answer.
func prompt(text string) godwit.Request {
	return godwit.Request{Prompt: text, MaxTokens: 32, Stop: []string{"\n"}}
}

// line is an answer in one line, with an ellipsis if it was cut off.
func line(r *godwit.Result) string {
	text := strings.Join(strings.Fields(r.Text), " ")
	if r.Finish == godwit.FinishLength {
		text += " …"
	}
	return text
}
