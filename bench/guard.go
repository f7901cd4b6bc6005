package main

// guard: kernels of the fast device against gonum's and against what a core can do,
// in turns, compared with what these ratios were.

import (
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/godwit-ml/godwit/cpu/simd"
	"github.com/godwit-ml/godwit/kernels"
	"github.com/godwit-ml/godwit/quant"
	"github.com/godwit-ml/godwit/runtime"
)

// guarded are the ratios of one operation, medians of pairs.
type guarded struct {
	Reference float64 `json:"reference"` // time of gonum's device by ours
	Ceiling   float64 `json:"ceiling"`   // rate of ours by that of a core's loop
}

// guardStored is guard.json: ratios by operation, by path and processor.
type guardStored map[string]map[string]guarded

//go:embed guard.json
var guardJSON []byte

const (
	guardPairs   = 7
	guardKept    = 0.65                   // of a stored ratio: less is a regression
	guardTime    = time.Millisecond       // of a measurement
	guardCeiling = 200 * time.Microsecond // of one of a loop
	guardBest    = 3                      // measurements of which the fastest is one of a pair
	guardLong    = 5 * time.Millisecond   // a measurement that has taken so long is not taken again
	guardTries   = 3                      // a regression shows each time
)

// guardOp is an operation that is watched.
type guardOp struct {
	name    string
	exact   bool
	ceiling string // the loop that it is measured against; f32 where the path has no such
	tiles   bool   // that on tiles where there are any
	shape   func(m *kernels.Maker) runtime.Op
}

func guardOps() []guardOp {
	product := func(name, ceiling string, t runtime.DType, m, k, n int) guardOp {
		return guardOp{fmt.Sprintf("%s %d×%d×%d", name, m, k, n), t == runtime.F32, ceiling, t == runtime.BF16, func(mk *kernels.Maker) runtime.Op {
			return &runtime.MatMul{Out: mk.F32(m, n), X: mk.F32(m, k), W: hostWeight(t, n, k)}
		}}
	}
	rows := func(name string, f runtime.Fn) guardOp {
		return guardOp{name, true, "exp", false, func(m *kernels.Maker) runtime.Op {
			return &runtime.Pointwise{Out: m.F32(64, 1536), X: m.F32(64, 1536), F: f}
		}}
	}
	return []guardOp{
		product("sgemm", "f32", runtime.F32, 1, 576, 1536),
		product("sgemm", "f32", runtime.F32, 16, 576, 1536),
		product("sgemm", "f32", runtime.F32, 512, 576, 1536),
		product("int8", "int8", quant.Q4_0, 1, 576, 1536),
		product("int8", "int8", quant.Q4_0, 64, 576, 1536),
		product("bf16", "bf16", runtime.BF16, 64, 576, 1536),
		{"attention of 512", false, "f32", false, func(m *kernels.Maker) runtime.Op { return pagedAttention(m, 1, 512, 512, 9, 3, 64) }},
		rows("exp of 64×1536", runtime.Silu),
		rows("gelu of 64×1536", runtime.Gelu),
	}
}

func guard(args []string, out, notes io.Writer) error {
	f := flag.NewFlagSet("bench guard", flag.ContinueOnError)
	f.SetOutput(notes)
	update := f.Bool("update", false, "store what is measured, in guard.json beside the sources")
	only := f.String("path", "", "only this path; unset: all that are here")
	if err := f.Parse(args); err != nil {
		return err
	}
	paths, err := guardPaths(*only)
	if err != nil {
		return err
	}
	stored := guardStored{}
	if err := json.Unmarshal(guardJSON, &stored); err != nil {
		return fmt.Errorf("guard.json: %w", err)
	}
	var slower []error
	for _, p := range paths {
		key := p.String() + " on " + processorKey()
		measured, err := guardPath(p, stored[key], *update, out)
		if err != nil && !errors.Is(err, errSlower) {
			return err
		}
		slower = append(slower, err)
		if *update {
			stored[key] = measured
		}
	}
	if !*update {
		return errors.Join(slower...)
	}
	text, err := json.MarshalIndent(stored, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(sourceFolder(), "guard.json"), append(text, '\n'), 0o644)
}

// guardPaths are the paths to watch, the best first.
func guardPaths(only string) ([]simd.Path, error) {
	if only != "" {
		p, ok := simd.ParsePath(only)
		if !ok || !p.Available() {
			return nil, fmt.Errorf("-path %q: there is %s", only, simd.Names())
		}
		return []simd.Path{p}, nil
	}
	var all []simd.Path
	for p := range simd.Best() + 1 {
		all = append(all, simd.Best()-p)
	}
	return all, nil
}

// processorKey names the processor: ratios differ from one to the next.
func processorKey() string {
	m := thisMachine()
	if m.Model != "" {
		return m.Model
	}
	return m.System
}

// errSlower is a regression.
var errSlower = errors.New("slower than it was")

// guardPath measures the operations of a path. What has nothing stored is printed only.
func guardPath(p simd.Path, stored map[string]guarded, update bool, out io.Writer) (map[string]guarded, error) {
	measured := map[string]guarded{}
	var slower []error
	if stored == nil && !update {
		fmt.Fprintf(out, "%v: nothing is stored for it on %s; bench guard -update does\n", p, processorKey())
	}
	for _, op := range guardOps() {
		got, err := guardMeasure(p, op)
		if err != nil {
			return nil, fmt.Errorf("%v %s: %w", p, op.name, err)
		}
		was, known := stored[op.name]
		for try := 1; known && !update && got.worse(was) && try < guardTries; try++ {
			again, err := guardMeasure(p, op)
			if err != nil {
				return nil, err
			}
			if again.kept(was) > got.kept(was) {
				got = again
			}
		}
		measured[op.name] = got
		note := ""
		if known {
			note = fmt.Sprintf("   was %6.2f and %5.1f %%", was.Reference, 100*was.Ceiling)
		}
		if known && !update && got.worse(was) {
			note += "   SLOWER"
			slower = append(slower, fmt.Errorf("%v %s: %w: %.2f times gonum's, was %.2f; %.1f %% of the ceiling, was %.1f %%", p, op.name, errSlower, got.Reference, was.Reference, 100*got.Ceiling, 100*was.Ceiling))
		}
		fmt.Fprintf(out, "%-9v %-22s %7.2f × gonum %6.1f %% of %s%s\n", p, op.name, got.Reference, 100*got.Ceiling, op.ceiling, note)
	}
	return measured, errors.Join(slower...)
}

// kept is how much is left of what was: the geometric mean over both ratios. A slower
// kernel lowers both, a neighbour or another version of gonum one of them.
func (g guarded) kept(was guarded) float64 {
	return math.Sqrt(g.Reference / was.Reference * g.Ceiling / was.Ceiling)
}

// worse reports a regression.
func (g guarded) worse(was guarded) bool { return g.kept(was) < guardKept }

// guardMeasure measures an operation on one thread: ours, gonum's and the ceiling in
// turns.
func guardMeasure(p simd.Path, op guardOp) (_ guarded, err error) {
	fast, _, err := openDevice("cpu:"+p.String(), nil, deviceOptions{threads: 1, exact: op.exact})
	if err != nil {
		return guarded{}, err
	}
	defer func() { err = errors.Join(err, fast.Close()) }()
	slow, _, err := openDevice("reference", nil, deviceOptions{threads: 1})
	if err != nil {
		return guarded{}, err
	}
	defer func() { err = errors.Join(err, slow.Close()) }()
	loop := ceilingLoop(p, op)
	ours, err := guardTimer(fast, op, guardTime)
	if err != nil {
		return guarded{}, err
	}
	theirs, err := guardTimer(slow, op, 0)
	if err != nil {
		return guarded{}, err
	}
	var reference, ceiling []float64
	for range guardPairs {
		a, err := ours()
		if err != nil {
			return guarded{}, err
		}
		top := loop()
		b, err := theirs()
		if err != nil {
			return guarded{}, err
		}
		reference = append(reference, b.seconds/a.seconds)
		ceiling = append(ceiling, a.work/a.seconds/top)
	}
	return guarded{median(reference), median(ceiling)}, nil
}

// guardTook is one measurement.
type guardTook struct {
	seconds float64 // of one operation
	work    float64 // of one operation, in what the ceiling counts
}

// guardTimer gives a function that times an operation for at least so long.
func guardTimer(dev runtime.Device, op guardOp, least time.Duration) (func() (guardTook, error), error) {
	m := &kernels.Maker{Device: dev}
	o := op.shape(m)
	if m.Err != nil {
		return nil, m.Err
	}
	work := float64(costOf(o).FLOPs)
	switch o := o.(type) {
	case *runtime.MatMul:
		w, err := dev.Load(o.W, runtime.UseProduct)
		if err != nil {
			return nil, err
		}
		o.W = w
	case *runtime.Pointwise:
		work = float64(o.Out.Rows * o.Out.Cols) // a function each
	}
	if err := o.Check(); err != nil {
		return nil, err
	}
	run := runOp(dev, o)
	n := 1
	for {
		start := time.Now()
		if err := run(n); err != nil {
			return nil, err
		}
		if time.Since(start) >= least {
			break
		}
		n *= 2
	}
	return func() (guardTook, error) {
		took, begin := time.Hour, time.Now()
		for i := range guardBest {
			if i > 0 && time.Since(begin) > guardLong {
				break
			}
			start := time.Now()
			if err := run(n); err != nil {
				return guardTook{}, err
			}
			took = min(took, time.Since(start))
		}
		return guardTook{took.Seconds() / float64(n), work}, nil
	}, nil
}

// ceilingLoop gives a function that measures the loop an operation is measured
// against, in what it counts a second.
func ceilingLoop(p simd.Path, op guardOp) func() float64 {
	loops := map[string]simd.Ceiling{}
	for _, c := range simd.CeilingsOf(p).Compute {
		loops[c.Name] = c
	}
	loop, ok := loops["tile "+op.ceiling]
	if !ok || !op.tiles {
		loop, ok = loops[op.ceiling]
	}
	if !ok {
		loop = loops["f32"]
	}
	rounds := 64
	for {
		start := time.Now()
		loop.Run(rounds)
		if time.Since(start) >= guardCeiling {
			break
		}
		rounds *= 2
	}
	return func() float64 {
		took := time.Hour
		for range guardBest {
			start := time.Now()
			loop.Run(rounds)
			took = min(took, time.Since(start))
		}
		return float64(loop.Ops) * float64(rounds) / took.Seconds()
	}
}
