// Command conform runs fixtures through godwit's packages and writes what they
// gave, for the fixtures' check.py to judge.
//
//	go run ./ci/conform -root ../shared/fixtures -out DIR gpt2 variants-of:gpt2 sampling
//	python3 ../shared/fixtures/check.py DIR/RESULT.json --strict --complete gpt2 variants-of:gpt2 sampling
//
// A fixture that cannot be run is left out of DIR/RESULT.json and named on
// standard error with the reason.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "conform:", err)
		os.Exit(1)
	}
}

const usage = `usage: conform -out DIR [flags] NAME…

NAME is what check.py --complete takes: a model folder, variants/X,
variants-of:X, tokenizers/X, tokenizers, sampling, gguf, quant, minilm,
smollm2, all.

`

// options is the command line.
type options struct {
	root, out, config, real string
	device, dtype           string
	noFallback              string
	names                   []string
}

func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{}
	f := flag.NewFlagSet("conform", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {
		fmt.Fprint(stderr, usage)
		f.PrintDefaults()
	}
	f.StringVar(&o.root, "root", filepath.Join("..", "shared", "fixtures"), "folder of the fixtures")
	f.StringVar(&o.out, "out", "", "folder to write RESULT.json and tensors to")
	f.StringVar(&o.device, "device", "auto", "device to run on")
	f.StringVar(&o.dtype, "dtype", "f32", "arithmetic: f32 (exact), fast (what a user gets), bf16, f16")
	f.StringVar(&o.noFallback, "no-fallback", "", "operations, by comma, or all: fail if one ran on the fallback")
	f.StringVar(&o.config, "config", "config.json", "configuration to read in place of config.json wherever a folder has it")
	f.StringVar(&o.real, "real", "", "folder of the real models, as ci/real-models.sh makes it")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if o.names = f.Args(); len(o.names) == 0 || o.out == "" {
		return nil, errors.New("-out and at least one NAME are needed; -h shows what there is")
	}
	return o, nil
}

func run(ctx context.Context, args []string, stderr io.Writer) (err error) {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	strict, err := operations(o.noFallback)
	if err != nil {
		return err
	}
	jobs, err := expand(o.root, o.names)
	if err != nil {
		return err
	}
	dev, err := openDevice(o.device, o.dtype)
	if err != nil {
		return err
	}
	defer func() {
		dev.calls(stderr)
		err = errors.Join(err, dev.close())
	}()
	w, err := newWriter(o.out)
	if err != nil {
		return err
	}
	s := &session{ctx: ctx, options: o, device: dev, out: w, stderr: stderr, falls: map[string]int64{}}
	for _, j := range jobs {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := j.run(s, j.name); err != nil {
			s.leftOut(j.name, err)
		}
	}
	if err := w.close(); err != nil {
		return err
	}
	fmt.Fprintf(stderr, "%d results of %d fixtures, %d left out\n", w.entries, len(jobs), s.skipped)
	return s.fallbacks(strict)
}

// session is what all fixtures of a run share.
type session struct {
	ctx context.Context
	*options
	device  *device
	out     *writer
	stderr  io.Writer
	falls   map[string]int64 // "operation: reason"
	skipped int
}

// path is a path below the fixtures.
func (s *session) path(parts ...string) string {
	return filepath.Join(append([]string{s.root}, parts...)...)
}

// leftOut says why a fixture, or a part of one, has no result.
func (s *session) leftOut(what string, err error) {
	s.skipped++
	fmt.Fprintf(s.stderr, "left out: %s: %v\n", what, err)
}

// fallbacks is an error if one of the operations ran on the fallback.
func (s *session) fallbacks(strict map[string]bool) error {
	var bad []string
	for _, what := range slices.Sorted(maps.Keys(s.falls)) {
		if op, _, _ := strings.Cut(what, ":"); strict[op] {
			bad = append(bad, fmt.Sprintf("%s (%d times)", what, s.falls[what]))
		}
	}
	if len(bad) > 0 {
		return fmt.Errorf("ran on the fallback: %s", strings.Join(bad, "; "))
	}
	return nil
}
