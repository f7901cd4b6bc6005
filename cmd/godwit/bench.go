package main

// bench: how fast a model reads and writes, in the tests of llama-bench.

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/godwit-ml/godwit"
)

type benchCmd struct {
	modelFlag
	PP      []int  `group:"input" name:"pp" aliases:"n-prompt" placeholder:"N,…" help:"Tokens read in one go; 0: no such test; unset: 512."`
	TG      []int  `group:"input" name:"tg" aliases:"n-gen" placeholder:"N,…" help:"Tokens written one by one; 0: no such test; unset: 128."`
	Depth   []int  `group:"input" aliases:"n-depth" placeholder:"N,…" help:"Tokens in the context before a test begins; unset: 0."`
	Batch   []int  `group:"input" placeholder:"N,…" help:"Sequences at once; unset: 1."`
	Repeats int    `group:"input" aliases:"repetitions" placeholder:"N" help:"Runs of each test, after one to warm up; unset: 5."`
	KVDType string `group:"model" name:"kv-dtype" placeholder:"TYPE" help:"Type of the KV cache: f32, f16, bf16 or q8_0; unset: as wide as the arithmetic."`
	computeFlags
	jsonFlag
	noteFlags
}

// Help is what bench --help says besides its flags.
func (c *benchCmd) Help() string {
	return `A line for each combination of the flags: pp512 reads 512 tokens, tg64 writes 64, tg64@d512 writes them after 512 that are in the context, and with b16 sixteen sequences do so at once.

The number is the median of all sequences' tokens per second over the runs, spread the distance of their quartiles as a part of it. The tokens are random. Timed are forward passes and the greedy choice of each next token; not opening, tokenizing, other sampling, or the pass over the depth, from which each run begins anew.`
}

// Run measures and prints a test at a time.
func (c *benchCmd) Run(ctx context.Context, s *streams) (err error) {
	if err := c.given("bench"); err != nil {
		return err
	}
	cfg := c.config()
	cfg.KVDType = c.KVDType
	model, err := open(ctx, s, &c.modelFlag, &c.noteFlags, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, finish(s, model, &c.noteFlags)) }()
	start := time.Now()
	wait := &activity{}
	defer func() { wait.end() }()
	req := c.request()
	req.Progress = func(p godwit.Progress) {
		if p.Done == 0 {
			wait.end()
			wait = s.begin(p.Stage+", runs", start, c.Quiet, false)
		}
		wait.update(p.Done, p.Total)
	}
	first := true
	for r, err := range model.Bench(ctx, req) {
		wait.end()
		if err != nil {
			return err
		}
		if first && !c.JSON {
			c.printHead(s, model.Info(), r)
		}
		first = false
		if err := c.print(s, r); err != nil {
			return err
		}
	}
	return nil
}

// request is what the flags ask for.
func (c *benchCmd) request() godwit.BenchRequest {
	return godwit.BenchRequest{Prompts: c.PP, Generate: c.TG, Depths: c.Depth, Batches: c.Batch, Repeats: c.Repeats}
}

// printHead prints what is measured, and the heads of the columns.
func (c *benchCmd) printHead(s *streams, info godwit.Info, r godwit.BenchResult) {
	threads := c.Threads
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	arithmetic := info.DType
	if c.Quantize != "" {
		arithmetic += ", weights " + c.Quantize
	}
	fmt.Fprintf(s.out, "model   %s: %s, %s, %s parameters\n", info.Name, info.Family, size(info.Memory.Mapped), count(info.Parameters))
	fmt.Fprintf(s.out, "device  %s, %s, %s\n\n", info.Device, arithmetic, plural(threads, "thread"))
	fmt.Fprintf(s.out, "%-20s %12s", "test", "tok/s")
	if r.SequencesPerSecond > 0 {
		fmt.Fprintf(s.out, " %12s", "seq/s")
	}
	fmt.Fprintf(s.out, " %9s\n", "spread")
}

// print prints a test as it ends: the next may take long.
func (c *benchCmd) print(s *streams, r godwit.BenchResult) error {
	if c.JSON {
		if err := s.out.object(r); err != nil {
			return err
		}
		return s.out.flush()
	}
	fmt.Fprintf(s.out, "%-20s %12.2f", r.Test, r.TokensPerSecond)
	if r.SequencesPerSecond > 0 {
		fmt.Fprintf(s.out, " %12.2f", r.SequencesPerSecond)
	}
	fmt.Fprintf(s.out, " %7.1f %%\n", 100*r.Spread)
	return s.out.flush()
}
