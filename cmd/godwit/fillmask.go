package main

// fill-mask: the likely words at each mask of an input.

import (
	"context"
	"fmt"

	"github.com/godwit-ml/godwit"
)

type fillMaskCmd struct {
	linesFlags
	modelFlag
	computeFlags
	Top     int      `group:"output" placeholder:"N" help:"The N best words; unset: 5."`
	Targets []string `group:"output" placeholder:"WORD,…" help:"Only these tokens of the vocabulary."`
	jsonFlag
	noteFlags
}

// Help is what fill-mask --help says besides its flags.
func (c *fillMaskCmd) Help() string {
	return "A text has one or several [MASK], whatever the model's own mask token is called."
}

// Run fills one input after the other.
func (c *fillMaskCmd) Run(ctx context.Context, s *streams) error {
	j := job{name: "fill-mask",
		model: &c.modelFlag, config: c.config(), lines: &c.linesFlags, notes: &c.noteFlags, json: c.JSON}
	j.do = func(ctx context.Context, model *godwit.Model, b batch) (*answer, error) {
		masks := make([][][]godwit.Label, len(b.texts))
		a := &answer{}
		for i, text := range b.texts {
			result, err := model.FillMask(ctx, godwit.FillMaskRequest{Text: text, Top: c.Top, Targets: c.Targets})
			if err != nil {
				return nil, placed(err, i)
			}
			masks[i] = result.Masks
			a.usage.PromptTokens += result.Usage.PromptTokens
		}
		a.print = func(i int) error { return c.print(s, b, i, masks[i]) }
		return a, nil
	}
	return j.run(ctx, s)
}

func (c *fillMaskCmd) print(s *streams, b batch, i int, masks [][]godwit.Label) error {
	if c.JSON {
		return s.out.object(struct {
			Index int              `json:"index"`
			Masks [][]godwit.Label `json:"masks"`
		}{b.first + i, masks})
	}
	fmt.Fprintln(s.out, shorten(b.texts[i], 79))
	for n, labels := range masks {
		if len(masks) > 1 {
			fmt.Fprintf(s.out, "  mask %d\n", n+1)
		}
		printLabels(s, labels)
	}
	return nil
}
