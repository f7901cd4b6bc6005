package main

// classify: labels of an input, or of a pair of texts.

import (
	"context"
	"fmt"

	"github.com/godwit-ml/godwit"
)

type classifyCmd struct {
	linesFlags
	modelFlag
	computeFlags
	Pairs    bool `group:"input" help:"An input is two texts with a tab between them."`
	Truncate bool `group:"input" help:"Cut what is too long, and say so."`
	Top      int  `group:"output" placeholder:"N" help:"Only the N best labels; unset: all."`
	Raw      bool `group:"output" help:"Logits, not probabilities."`
	jsonFlag
	noteFlags
}

// Run classifies batch by batch.
func (c *classifyCmd) Run(ctx context.Context, s *streams) error {
	j := job{name: "classify",
		model: &c.modelFlag, config: c.config(), lines: &c.linesFlags, notes: &c.noteFlags, json: c.JSON}
	j.do = func(ctx context.Context, model *godwit.Model, b batch) (*answer, error) {
		request := godwit.ClassifyRequest{Texts: b.texts, Top: c.Top, Raw: c.Raw, Truncate: c.Truncate}
		if c.Pairs {
			var err error
			if request.Texts, request.Pairs, err = b.pairs(); err != nil {
				return nil, err
			}
		}
		result, err := model.Classify(ctx, request)
		if err != nil {
			return nil, err
		}
		a := &answer{usage: result.Usage, truncated: result.Truncated}
		a.print = func(i int) error { return c.print(s, b, i, result.Labels[i], a.cut(i)) }
		return a, nil
	}
	return j.run(ctx, s)
}

func (c *classifyCmd) print(s *streams, b batch, i int, labels []godwit.Label, truncated bool) error {
	if c.JSON {
		return s.out.object(struct {
			Index     int            `json:"index"`
			Labels    []godwit.Label `json:"labels"`
			Truncated bool           `json:"truncated,omitempty"`
		}{b.first + i, labels, truncated})
	}
	fmt.Fprintln(s.out, shorten(b.texts[i], 79))
	printLabels(s, labels)
	return nil
}
