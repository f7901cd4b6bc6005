package main

// answer: the part of a text that answers a question.

import (
	"context"
	"errors"
	"fmt"

	"github.com/godwit-ml/godwit"
)

type answerCmd struct {
	modelFlag
	Text     []string `arg:"" optional:"" help:"The text to look in, words joined by spaces; else -f, else standard input."`
	Question string   `group:"input" required:"" placeholder:"TEXT" help:"What is asked of the text."`
	File     string   `group:"input" short:"f" placeholder:"FILE" help:"The text of a file; - is standard input."`
	computeFlags
	Top       int  `group:"output" placeholder:"N" help:"The N best answers; unset: the best."`
	MaxTokens int  `group:"output" name:"max-tokens" placeholder:"N" help:"Most tokens of an answer; unset: 15."`
	Force     bool `group:"output" help:"An answer even if it is likelier that the text has none."`
	jsonFlag
	noteFlags
}

// Help is what answer --help says besides its flags.
func (c *answerCmd) Help() string {
	return "Prints score, bytes from-to and text of each answer, best first; nothing if the model finds it likelier that the text has none. A long text is read in parts that overlap."
}

// Run answers one question of one text.
func (c *answerCmd) Run(ctx context.Context, s *streams) (err error) {
	if err := c.given("answer"); err != nil {
		return err
	}
	text, err := c.text(ctx, s)
	if err != nil {
		return err
	}
	model, err := open(ctx, s, &c.modelFlag, &c.noteFlags, c.config())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, finish(s, model, &c.noteFlags)) }()
	result, err := model.Answer(ctx, godwit.AnswerRequest{Question: c.Question, Context: text, Top: c.Top, MaxTokens: c.MaxTokens, Force: c.Force})
	if err != nil {
		return err
	}
	if c.JSON {
		return s.out.object(struct {
			Spans []godwit.Span `json:"spans"`
		}{result.Spans})
	}
	for _, a := range result.Spans {
		fmt.Fprintf(s.out, "%8.4f  %d-%d  %s\n", a.Score, a.Start, a.End, shorten(oneLine(a.Text), 60))
	}
	if len(result.Spans) == 0 && !c.Quiet {
		fmt.Fprintln(s.notes, "the text does not say; --force gives the best all the same")
	}
	return nil
}

// text is the text to look in.
func (c *answerCmd) text(ctx context.Context, s *streams) (string, error) {
	if c.File == "" {
		return oneText(ctx, s, c.Text, c.Quiet)
	}
	if len(c.Text) > 0 {
		return "", &usageError{"the text is an argument, or comes with -f: not both"}
	}
	r, err := source(s, c.File)
	if err != nil {
		return "", err
	}
	defer r.Close() //nolint:errcheck // nothing was written
	return readPrompt(ctx, r)
}
