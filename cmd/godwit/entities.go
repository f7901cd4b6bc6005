package main

// entities: what a token classifier finds in an input.

import (
	"context"
	"fmt"

	"github.com/godwit-ml/godwit"
)

type entitiesCmd struct {
	linesFlags
	modelFlag
	computeFlags
	Truncate bool   `group:"input" help:"Cut what is too long, and say so."`
	Group    string `group:"output" placeholder:"HOW" help:"simple, first, average, max or none; unset: simple."`
	jsonFlag
	noteFlags
}

// Help is what entities --help says besides its flags.
func (c *entitiesCmd) Help() string {
	return "Prints score, label, bytes from-to and text of each entity. Tokens of one label in a row are an entity: with simple as they come; with first, average and max when all tokens of a word have got the label of the first, of the mean, or of the surest; with none each token is one."
}

// Run classifies batch by batch.
func (c *entitiesCmd) Run(ctx context.Context, s *streams) error {
	j := job{name: "entities",
		model: &c.modelFlag, config: c.config(), lines: &c.linesFlags, notes: &c.noteFlags, json: c.JSON}
	j.do = func(ctx context.Context, model *godwit.Model, b batch) (*answer, error) {
		result, err := model.Entities(ctx, godwit.EntitiesRequest{Texts: b.texts, Group: c.Group, Truncate: c.Truncate})
		if err != nil {
			return nil, err
		}
		a := &answer{usage: result.Usage, truncated: result.Truncated}
		a.print = func(i int) error { return c.print(s, b, i, result.Spans[i], a.cut(i)) }
		return a, nil
	}
	return j.run(ctx, s)
}

func (c *entitiesCmd) print(s *streams, b batch, i int, spans []godwit.Span, truncated bool) error {
	if c.JSON {
		return s.out.object(struct {
			Index     int           `json:"index"`
			Spans     []godwit.Span `json:"spans"`
			Truncated bool          `json:"truncated,omitempty"`
		}{b.first + i, spans, truncated})
	}
	fmt.Fprintln(s.out, shorten(b.texts[i], 79))
	for _, e := range spans {
		fmt.Fprintf(s.out, "  %8.4f  %-8s  %d-%d  %s\n", e.Score, e.Label, e.Start, e.End, shorten(oneLine(e.Text), 40))
	}
	return nil
}
