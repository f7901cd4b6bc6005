package main

// score: how likely a model finds texts that are given.

import (
	"context"
	"fmt"
	"strconv"

	"github.com/godwit-ml/godwit"
)

type scoreCmd struct {
	modelFlag
	linesFlags
	Prompt string `group:"input" short:"p" placeholder:"TEXT" help:"What stands before each text and is not scored; of encoder-decoders what the encoder reads."`
	computeFlags
	Logprobs int `group:"output" placeholder:"K" help:"Each token with its log-probability, and the K best in its place."`
	jsonFlag
	noteFlags
}

// scored is one line of JSON.
type scored struct {
	Index      int            `json:"index"`
	Logprob    float64        `json:"logprob"`
	Perplexity float64        `json:"perplexity"`
	Greedy     bool           `json:"greedy"`
	Tokens     []godwit.Token `json:"tokens"`
}

// Run scores one text after the other.
func (c *scoreCmd) Run(ctx context.Context, s *streams) error {
	j := &job{
		name:  "score",
		model: &c.modelFlag, config: c.config(), lines: &c.linesFlags, notes: &c.noteFlags, json: c.JSON,
		do: func(ctx context.Context, m *godwit.Model, b batch) (*answer, error) {
			a := &answer{}
			results := make([]*godwit.ScoreResult, len(b.texts))
			for i, text := range b.texts {
				r, err := m.Score(ctx, godwit.ScoreRequest{Prompt: c.Prompt, Text: text, Logprobs: c.Logprobs})
				if err != nil {
					return nil, err
				}
				results[i] = r
				a.usage.PromptTokens += r.Usage.PromptTokens
			}
			a.print = func(i int) error {
				r := results[i]
				if c.JSON {
					return s.out.object(scored{b.first + i, r.Logprob, r.Perplexity, r.Greedy, r.Tokens})
				}
				fmt.Fprintf(s.out, "%10.4f  perplexity %s  %s\n", r.Logprob, strconv.FormatFloat(r.Perplexity, 'f', 2, 64), shorten(b.texts[i], 40))
				if c.Logprobs > 0 {
					for _, t := range r.Tokens {
						printLogprobs(s.out, t)
					}
				}
				return nil
			}
			return a, nil
		},
	}
	return j.run(ctx, s)
}
