package main

// embed: a vector an input.

import (
	"context"
	"fmt"
	"io"
	"math"
	"strconv"

	"github.com/godwit-ml/godwit"
)

type embedCmd struct {
	linesFlags
	modelFlag
	computeFlags
	Pooling   string `group:"model" placeholder:"HOW" help:"How tokens become one vector: mean, cls or last; unset: what the checkpoint says."`
	Normalize bool   `group:"output" help:"Vectors of length 1, whatever the checkpoint says."`
	Truncate  bool   `group:"input" help:"Cut what is too long, and say so."`
	PerToken  bool   `group:"output" help:"Also a vector for each token."`
	jsonFlag
	noteFlags
}

// Help is what embed --help says besides its flags.
func (c *embedCmd) Help() string {
	return "Prints the numbers of a vector on a line; on a terminal only how it begins. With --per-token the lines of an input are its vector, then those of its tokens, and an empty line ends it."
}

// Run embeds batch by batch, so that endless input gives endless output.
func (c *embedCmd) Run(ctx context.Context, s *streams) error {
	cfg := c.config()
	cfg.Pooling = c.Pooling
	j := job{name: "embed",
		model: &c.modelFlag, config: cfg, lines: &c.linesFlags, notes: &c.noteFlags, json: c.JSON}
	j.do = func(ctx context.Context, model *godwit.Model, b batch) (*answer, error) {
		result, err := model.Embed(ctx, godwit.EmbedRequest{Texts: b.texts, Normalize: c.Normalize, Truncate: c.Truncate, PerToken: c.PerToken})
		if err != nil {
			return nil, err
		}
		a := &answer{usage: result.Usage, truncated: result.Truncated}
		a.print = func(i int) error {
			var tokens [][]float32
			if c.PerToken {
				tokens = result.PerToken[i]
			}
			return c.print(s, b, i, result.Vectors[i], tokens, a.cut(i))
		}
		return a, nil
	}
	return j.run(ctx, s)
}

func (c *embedCmd) print(s *streams, b batch, i int, vector []float32, tokens [][]float32, truncated bool) error {
	if c.JSON {
		return s.out.object(struct {
			Index     int         `json:"index"`
			Vector    []float32   `json:"vector"`
			PerToken  [][]float32 `json:"per_token,omitempty"`
			Truncated bool        `json:"truncated,omitempty"`
		}{b.first + i, vector, tokens, truncated})
	}
	if s.out.terminal {
		fmt.Fprintf(s.out, "%s\n", shorten(b.texts[i], 79))
		printVectorHead(s.out, vector)
		for _, v := range tokens {
			printVectorHead(s.out, v)
		}
		return nil
	}
	printVector(s.out, vector)
	if c.PerToken {
		for _, v := range tokens {
			printVector(s.out, v)
		}
		fmt.Fprintln(s.out)
	}
	return nil
}

// printVector prints all numbers, as short as they can be read back.
func printVector(w io.Writer, vector []float32) {
	line := make([]byte, 0, 12*len(vector)+1)
	for i, x := range vector {
		if i > 0 {
			line = append(line, ' ')
		}
		line = strconv.AppendFloat(line, float64(x), 'g', -1, 32)
	}
	_, _ = w.Write(append(line, '\n'))
}

// printVectorHead prints how a vector begins, its size and its length.
func printVectorHead(w io.Writer, vector []float32) {
	var sum float64
	for _, x := range vector {
		sum += float64(x) * float64(x)
	}
	fmt.Fprint(w, "  ")
	for _, x := range vector[:min(5, len(vector))] {
		fmt.Fprintf(w, "%8.4f ", x)
	}
	fmt.Fprintf(w, "…  %d numbers, length %.4f\n", len(vector), math.Sqrt(sum))
}
