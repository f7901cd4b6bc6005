package main

// What the commands that take a text a line have in common: open, run batch by
// batch, print as it comes, say at the end how fast it was.

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/godwit-ml/godwit"
)

// job is one such command.
type job struct {
	name   string
	model  *modelFlag
	config godwit.Config
	lines  *linesFlags
	notes  *noteFlags
	json   bool
	// do runs a batch. It prints nothing: the answer does, when the progress has
	// left the terminal.
	do func(context.Context, *godwit.Model, batch) (*answer, error)
}

// answer is what a batch gave.
type answer struct {
	usage     godwit.Usage
	truncated []int // inputs of the batch that were cut
	print     func(i int) error
}

// cut tells whether input i of the batch was cut.
func (a *answer) cut(i int) bool { return slices.Contains(a.truncated, i) }

func (j *job) run(ctx context.Context, s *streams) (err error) {
	if err := j.model.given(j.name); err != nil {
		return err
	}
	model, err := open(ctx, s, j.model, j.notes, j.config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, finish(s, model, j.notes)) }()
	start := time.Now()
	inputs, tokens := 0, 0
	for b, err := range j.lines.batches(ctx, s, j.notes.Quiet) {
		if err != nil {
			return err
		}
		wait := s.begin(j.name+", inputs done", start, j.notes.Quiet, false)
		wait.update(int64(inputs), 0)
		got, err := j.do(ctx, model, b)
		wait.end()
		if err != nil {
			return placed(err, b.first)
		}
		for i := range b.texts {
			if err := got.print(i); err != nil {
				return err
			}
			if got.cut(i) && !j.notes.Quiet {
				fmt.Fprintf(s.notes, "godwit: input %d was cut\n", b.first+i)
			}
		}
		if err := s.out.flush(); err != nil {
			return err
		}
		inputs += len(b.texts)
		tokens += got.usage.PromptTokens
	}
	if !j.notes.Quiet && !j.json || j.notes.Verbose {
		took := time.Since(start)
		fmt.Fprintf(s.notes, "%s, %s in %s, %s\n", plural(inputs, "input"), plural(tokens, "token"), seconds(took), rate(tokens, took))
	}
	return nil
}

// placed counts the index in an error from the first input of all.
func placed(err error, first int) error {
	var tooLong *godwit.TooLongError
	var param *godwit.ParamError
	switch {
	case errors.As(err, &tooLong):
		moved := *tooLong
		moved.Index += first
		return &moved
	case errors.As(err, &param):
		index := 0
		if n, _ := fmt.Sscanf(param.Field, "Texts[%d]", &index); n == 1 {
			moved := *param
			moved.Field = fmt.Sprintf("Texts[%d]", first+index)
			return &moved
		}
	}
	return err
}

// printLabels prints labels below each other, with scores in front.
func printLabels(s *streams, labels []godwit.Label) {
	for _, l := range labels {
		fmt.Fprintf(s.out, "  %8.4f  %s\n", l.Score, l.Name)
	}
}
