// Command mutate breaks godwit on purpose, one change at a time, and says which test noticed. A mutant that no test
// notices is a hole in the tests; one that does not apply, does not compile or panics proves nothing. Each fails the run.
//
//	go run ./ci/mutate              every mutant of ci/mutants
//	go run ./ci/mutate -n 5 -seed 7 five of them, chosen by the seed
//	go run ./ci/mutate -run rope    those whose name or class matches
//	go run ./ci/mutate -skip cuda   all but those
//	go run ./ci/mutate -list        what there is
//	go run ./ci/mutate -check       that each applies and compiles; no test runs
//
// Whichever are chosen, without -run all have to apply: so a change of the code that moves a mutant's place is noticed
// at once.
//
// A mutant is a unified diff of one hunk in one file, with a header that git apply skips:
//
//	# class: eps
//	# expect: ./nn ./model
//	# tests: TestKernels/gather
//	# conform: gpt2 variants-of:gpt2
//	# why: a hard-coded epsilon is right for most checkpoints
//
// class is what kind of mistake it is, expect the packages whose tests should notice (they run first; all others only
// when they do not), tests which of their tests. conform is for the rare mutant that only the full fixtures can see: it
// names what ci/conform then runs, and counts as survived where the fixtures are absent.
//
// A mutant of CUDA source is compiled to PTX in the copy by ci/build-kernels.sh; one of PTX is not. Both are for the
// tests of kernels alone, in every mode of the interpreter: none of them compares bytes of PTX with what they were.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

// options is the command line.
type options struct {
	n           int
	seed        uint64
	pattern     string
	skip        string
	list, check bool
	dir         string
	timeout     time.Duration
}

func run(ctx context.Context, args []string, out io.Writer) error {
	var o options
	flags := flag.NewFlagSet("mutate", flag.ContinueOnError)
	flags.IntVar(&o.n, "n", 0, "run only this many, chosen at random (0: all)")
	flags.Uint64Var(&o.seed, "seed", 0, "seed of the choice (0: from the clock, printed)")
	flags.StringVar(&o.pattern, "run", "", "run only mutants whose name or class matches this regular expression")
	flags.StringVar(&o.skip, "skip", "", "leave out mutants whose name or class matches this regular expression")
	flags.BoolVar(&o.list, "list", false, "list the mutants and stop")
	flags.BoolVar(&o.check, "check", false, "only apply and compile each")
	flags.StringVar(&o.dir, "mutants", "", "folder of the mutants (default: ci/mutants)")
	flags.DurationVar(&o.timeout, "timeout", 5*time.Minute, "limit of one go test run")
	if err := flags.Parse(args); err != nil {
		return err
	}
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	if o.dir == "" {
		o.dir = filepath.Join(root, "ci", "mutants")
	}
	mutants, err := readMutants(o.dir)
	if err != nil {
		return err
	}
	every := slices.Clone(mutants)
	mutants, err = choose(mutants, &o)
	if err != nil {
		return err
	}
	if o.list {
		return list(out, mutants)
	}
	if o.n > 0 {
		fmt.Fprintf(out, "%d mutants, seed %d (again with: go run ./ci/mutate -n %d -seed %d)\n", len(mutants), o.seed, o.n, o.seed)
	}
	work, err := newWorkspace(ctx, root)
	if err != nil {
		return err
	}
	defer work.remove()
	if o.pattern == "" {
		if err := work.applies(ctx, every); err != nil {
			return err
		}
	}
	return attack(ctx, out, work, mutants, o)
}

// choose applies -run, -skip, -n and -seed.
func choose(mutants []mutant, o *options) ([]mutant, error) {
	if o.pattern != "" {
		re, err := regexp.Compile(o.pattern)
		if err != nil {
			return nil, fmt.Errorf("-run: %w", err)
		}
		mutants = slices.DeleteFunc(mutants, func(m mutant) bool { return !re.MatchString(m.name) && !re.MatchString(m.class) })
	}
	if o.skip != "" {
		re, err := regexp.Compile(o.skip)
		if err != nil {
			return nil, fmt.Errorf("-skip: %w", err)
		}
		mutants = slices.DeleteFunc(mutants, func(m mutant) bool { return re.MatchString(m.name) || re.MatchString(m.class) })
	}
	if len(mutants) == 0 {
		return nil, errors.New("no mutant matches")
	}
	if o.n > 0 {
		if o.seed == 0 {
			o.seed = uint64(time.Now().UnixNano())
		}
		r := rand.New(rand.NewPCG(o.seed, 0))
		r.Shuffle(len(mutants), func(i, j int) { mutants[i], mutants[j] = mutants[j], mutants[i] })
		mutants = mutants[:min(o.n, len(mutants))]
	}
	return mutants, nil
}

func list(out io.Writer, mutants []mutant) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	counts := map[string]int{}
	for _, m := range mutants {
		counts[m.class]++
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", m.name, m.class, strings.Join(m.expect, " "), m.why)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	var classes []string
	for class, n := range counts {
		classes = append(classes, fmt.Sprintf("%s %d", class, n))
	}
	slices.Sort(classes)
	_, err := fmt.Fprintf(out, "%d mutants: %s\n", len(mutants), strings.Join(classes, ", "))
	return err
}

// attack runs every mutant and prints a line for each. It gives an error when one of them was not killed.
func attack(ctx context.Context, out io.Writer, work *workspace, mutants []mutant, o options) error {
	if !o.check {
		start := time.Now()
		if err := work.unbroken(ctx, mutants, o.timeout); err != nil {
			return err
		}
		fmt.Fprintf(out, "unbroken tree passes (%.1fs)\n", time.Since(start).Seconds())
	}
	width := 0
	for _, m := range mutants {
		width = max(width, len(m.name))
	}
	killedCount := 0
	var bad []string
	for _, m := range mutants {
		start := time.Now()
		v, err := work.try(ctx, m, o)
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		fmt.Fprintf(out, "%-*s  %-14s  %-8s  %s (%.1fs)\n", width, m.name, m.class, v.outcome, v.by, time.Since(start).Seconds())
		if v.outcome == killed || v.outcome == compiles {
			killedCount++
			continue
		}
		bad = append(bad, m.name)
		if v.detail != "" {
			fmt.Fprintf(out, "\t%s\n", strings.ReplaceAll(strings.TrimSpace(v.detail), "\n", "\n\t"))
		}
	}
	what := "killed"
	if o.check {
		what = "apply and compile"
	}
	fmt.Fprintf(out, "mutants: %d of %d %s\n", killedCount, len(mutants), what)
	if len(bad) > 0 {
		return fmt.Errorf("not killed: %s", strings.Join(bad, ", "))
	}
	return nil
}

// moduleRoot walks up from the working directory to the folder with go.mod.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no go.mod above the working directory")
		}
		dir = parent
	}
}
