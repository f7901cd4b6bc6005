package template

// This file counts what a render costs: steps, nesting, memory and time. Every
// loop and every allocation of the interpreter passes through it.

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

const (
	// MaxSource is the largest template Parse takes, in bytes.
	MaxSource = 256 << 10
	// maxNesting bounds the recursion of the parser.
	maxNesting = 200
	// maxIntBits bounds integers: 4300 digits, where Python refuses to print one.
	maxIntBits = 14284
	// maxRange is the longest range(), as in jinja2's sandbox.
	maxRange = 100_000

	defaultSteps  = 10_000_000
	defaultDepth  = 4000
	defaultOutput = 32 << 20
	defaultMemory = 128 << 20

	// cellBytes is what one element of a list or one short string is charged.
	cellBytes = 64
	// markBytes is what a stretch of user text is charged beside its bytes.
	markBytes = 32
	// scanBytes is how many bytes of text are searched or compared for a step.
	scanBytes = 128
	// checkSteps is how many steps pass between two looks at the context.
	checkSteps = 1024
)

// Config bounds one Render and gives it a clock. Zero fields mean the defaults.
type Config struct {
	Steps  int       // expressions, statements, elements and searched text (128 bytes a step); 0: 10 million
	Depth  int       // nesting of evaluation, macros and recursive loops included; 0: 4000
	Output int       // bytes of the result; 0: 32 MiB
	Memory int       // bytes of all intermediate strings, lists and mappings together; 0: 128 MiB
	Now    time.Time // what strftime_now formats, in its location; zero: time.Now()
}

// run is one Render.
type run struct {
	ctx   context.Context
	cfg   Config
	steps int // left
	check int // steps until the context is asked
	mem   int // left
	depth int
	line  int // of the node being evaluated
	out   *builder
	base  *scope // the variables of the caller
}

func newRun(ctx context.Context, cfg Config) *run {
	or := func(n, d int) int {
		if n > 0 {
			return n
		}
		return d
	}
	cfg.Steps, cfg.Depth = or(cfg.Steps, defaultSteps), or(cfg.Depth, defaultDepth)
	cfg.Output, cfg.Memory = or(cfg.Output, defaultOutput), or(cfg.Memory, defaultMemory)
	r := &run{ctx: ctx, cfg: cfg, steps: cfg.Steps, mem: cfg.Memory, line: 1}
	r.out = &builder{run: r, output: true}
	return r
}

// step spends n steps.
func (r *run) step(n int) error {
	if n > r.steps {
		r.steps = 0
		return &LimitError{Line: r.line, What: "steps", Limit: int64(r.cfg.Steps)}
	}
	r.steps -= n
	if r.check -= n; r.check <= 0 {
		r.check = checkSteps
		if r.ctx.Err() != nil {
			return r.stopped()
		}
	}
	return nil
}

func (r *run) stopped() error {
	err := r.ctx.Err()
	if cause := context.Cause(r.ctx); !errors.Is(cause, err) {
		return fmt.Errorf("template: line %d: stopped: %w: %w", r.line, err, cause)
	}
	return fmt.Errorf("template: line %d: stopped: %w", r.line, err)
}

// scan spends the steps of looking at n bytes.
func (r *run) scan(n int) error { return r.step(n/scanBytes + 1) }

// alloc spends n bytes; it is asked before they are allocated.
func (r *run) alloc(n int) error {
	if n > r.mem {
		r.mem = 0
		return &LimitError{Line: r.line, What: "bytes of intermediate values", Limit: int64(r.cfg.Memory)}
	}
	r.mem -= n
	return nil
}

// cells spends the memory and the steps of n elements.
func (r *run) cells(n int) error {
	if n > math.MaxInt/cellBytes {
		n = math.MaxInt / cellBytes
	}
	if err := r.step(n); err != nil {
		return err
	}
	return r.alloc(n * cellBytes)
}

// enter goes one level down; a leave must follow, also after an error.
func (r *run) enter() error {
	r.depth++
	if r.depth > r.cfg.Depth {
		return &LimitError{Line: r.line, What: "levels of nesting", Limit: int64(r.cfg.Depth)}
	}
	return r.step(1)
}

func (r *run) leave() { r.depth-- }

// failf is a RenderError at the line being evaluated.
func (r *run) failf(format string, a ...any) error {
	return &RenderError{Line: r.line, Reason: fmt.Sprintf(format, a...)}
}
