package main

// quality: what an arithmetic costs, against the exact one.

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/godwit-ml/godwit"
)

type qualityCmd struct {
	modelFlag
	File    string `arg:"" optional:"" help:"A text; - is standard input; unset: a text of about 2,000 tokens that is part of the command."`
	Window  int    `group:"input" placeholder:"N" help:"Tokens read at a time; unset: 512, or the context if that is less."`
	KVDType string `group:"model" name:"kv-dtype" placeholder:"TYPE" help:"Type of the KV cache: f32, f16, bf16 or q8_0; unset: as wide as the arithmetic."`
	computeFlags
	jsonFlag
	noteFlags
}

// qualityText is the text unless a file is named: prose that was written for this.
//
//go:embed quality.txt
var qualityText string

// Help is what quality --help says besides its flags.
func (c *qualityCmd) Help() string {
	return `The model is opened twice: as the flags say, and exact, which is f32 with the weights as they are stored. Both read the text a window at a time. Printed are the perplexity of both; how far apart the two distributions of each next token are (Kullback-Leibler divergence, nats); and how often both find the same token likeliest. Encoders compare the vectors of the text's sentences by their cosine.`
}

// Run compares window by window.
func (c *qualityCmd) Run(ctx context.Context, s *streams) (err error) {
	if err := c.given("quality"); err != nil {
		return err
	}
	text, err := c.text(ctx, s)
	if err != nil {
		return err
	}
	cfg := c.config()
	cfg.KVDType = c.KVDType
	asked, err := open(ctx, s, &c.modelFlag, &c.noteFlags, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, finish(s, asked, &c.noteFlags)) }()
	cfg.DType, cfg.Quantize, cfg.KVDType = "f32", "", ""
	exact, err := open(ctx, s, &c.modelFlag, &c.noteFlags, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, exact.Close()) }()
	what := "windows"
	if exact.Info().Kind == "encoder" {
		what = "sentences"
	}
	wait := s.begin("comparing, "+what+" done", time.Now(), c.Quiet || c.Verbose, false)
	defer wait.end()
	var q godwit.Quality
	for so, err := range asked.Quality(ctx, exact, godwit.QualityRequest{Text: text, Window: c.Window}) {
		if err != nil {
			return err
		}
		q = so
		wait.update(int64(q.Done), int64(q.Total))
		if c.Verbose {
			fmt.Fprintf(s.notes, "%d of %d %s: %s\n", q.Done, q.Total, what, soFar(q))
		}
	}
	wait.end()
	if c.JSON {
		return s.out.object(q)
	}
	c.print(s, asked.Info(), q, what)
	return nil
}

// text is the file's, or the command's own.
func (c *qualityCmd) text(ctx context.Context, s *streams) (string, error) {
	if c.File == "" {
		return strings.TrimSuffix(qualityText, "\n"), nil // as of a file
	}
	r, err := source(s, c.File)
	if err != nil {
		return "", err
	}
	defer r.Close() //nolint:errcheck // nothing was written
	s.hint(c.File, "the text", c.Quiet)
	return readPrompt(ctx, r)
}

func (c *qualityCmd) print(s *streams, info godwit.Info, q godwit.Quality, what string) {
	fmt.Fprintf(s.out, "model             %s on %s\n", info.Name, info.Device)
	kv := ""
	if info.Kind != "encoder" {
		kv = ", KV cache " + info.KVDType
	}
	fmt.Fprintf(s.out, "arithmetic        %s, weights %s%s, against the exact one\n", info.DType, cmp.Or(c.Quantize, "as stored"), kv)
	fmt.Fprintf(s.out, "text              %s in %d %s\n", plural(q.Tokens, "token"), q.Total, what)
	if v := q.VectorQuality; v != nil {
		fmt.Fprintf(s.out, "cosine            mean %.6f, least %.6f\n", v.CosineMean, v.CosineMin)
		return
	}
	l := q.LogitsQuality
	fmt.Fprintf(s.out, "perplexity        %.4f, exact %.4f (%+.3f %%)\n", l.Perplexity, l.ExactPerplexity, 100*(l.Perplexity/l.ExactPerplexity-1))
	fmt.Fprintf(s.out, "KL divergence     mean %.3g, most %.3g nats\n", l.KLMean, l.KLMax)
	fmt.Fprintf(s.out, "top-1 agreement   %.2f %%\n", 100*l.Agreement)
}

// soFar is a line about the windows that are done.
func soFar(q godwit.Quality) string {
	if v := q.VectorQuality; v != nil {
		return fmt.Sprintf("cosine %.6f", v.CosineMean)
	}
	return fmt.Sprintf("perplexity %.4f, exact %.4f, KL %.3g", q.Perplexity, q.ExactPerplexity, q.KLMean)
}
