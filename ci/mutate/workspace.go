package main

// The copy of the tree in which mutants live, and what is run in it.

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// outcome is what became of a mutant.
type outcome string

const (
	killed        outcome = "killed"
	survived      outcome = "SURVIVED"
	doesNotApply  outcome = "NO APPLY"
	doesNotBuild  outcome = "NO BUILD"
	panicked      outcome = "PANIC"
	compiles      outcome = "compiles"
	detailedLines         = 25
)

// verdict is an outcome with the test that decided it and, where a person has to act, what was printed.
type verdict struct {
	outcome    outcome
	by, detail string
}

// workspace is a copy of the working tree: tracked files as they are now, and new ones that git does not ignore.
type workspace struct {
	dir, root string
	whole     bool // all tests of the unbroken copy have passed
}

func newWorkspace(ctx context.Context, root string) (*workspace, error) {
	ls := exec.CommandContext(ctx, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	ls.Dir = root
	names, err := ls.Output()
	if err != nil {
		return nil, fmt.Errorf("git ls-files in %s: %w", root, err)
	}
	parent, err := os.MkdirTemp("", "godwit-mutate-")
	if err != nil {
		return nil, err
	}
	// One level down, so that ../shared/fixtures of the copy is absent or what FIXTURES says.
	w := &workspace{dir: filepath.Join(parent, "tree"), root: root}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(names), "\x00"), "\x00") {
		err := copyFile(filepath.Join(root, name), filepath.Join(w.dir, name))
		if err != nil && !errors.Is(err, os.ErrNotExist) { // deleted, but still in the index
			return nil, errors.Join(err, os.RemoveAll(parent))
		}
	}
	return w, nil
}

func copyFile(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if info.IsDir() { // a nested repository
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
		return err
	}
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, info.Mode().Perm()|0o200)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, dst.Close())
}

func (w *workspace) remove() {
	if err := os.RemoveAll(filepath.Dir(w.dir)); err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
	}
}

// command prepares a command in the workspace whose children die with it.
func (w *workspace) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = w.dir
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// applies names the mutants that the tree has outgrown.
func (w *workspace) applies(ctx context.Context, mutants []mutant) error {
	var outgrown []string
	for _, m := range mutants {
		if err := w.command(ctx, "git", "apply", "--check", m.path).Run(); err != nil {
			outgrown = append(outgrown, m.name)
		}
	}
	if len(outgrown) > 0 {
		return fmt.Errorf("git apply refuses these, whose code has changed: %s", strings.Join(outgrown, ", "))
	}
	return ctx.Err()
}

// unbroken gives an error if the tests that are to notice fail without any mutant: they would kill each.
func (w *workspace) unbroken(ctx context.Context, mutants []mutant, timeout time.Duration) error {
	var packages, kernelTests []string
	allKernelTests := false
	for _, m := range mutants {
		if !m.ofKernel() {
			packages = append(packages, m.expect...)
			continue
		}
		kernelTests = append(kernelTests, m.tests)
		allKernelTests = allKernelTests || m.tests == ""
	}
	var runs [][]string
	if len(packages) > 0 {
		slices.Sort(packages)
		runs = append(runs, slices.Compact(packages))
	}
	slices.Sort(kernelTests)
	if allKernelTests {
		kernelTests = []string{""}
	}
	for _, tests := range slices.Compact(kernelTests) { // in one mode: the others are for CI to try
		runs = append(runs, []string{"-run=" + tests, "./kernels/..."})
	}
	for _, args := range runs {
		v, err := w.test(ctx, args, timeout)
		if err != nil {
			return err
		}
		if v.outcome != survived {
			return fmt.Errorf("the tests fail without any mutant: %s\n%s", v.by, v.detail)
		}
	}
	return nil
}

// compile makes PTX of changed CUDA source. The second result takes it back.
func (w *workspace) compile(ctx context.Context, m mutant) (verdict, func() error, error) {
	nothing := func() error { return nil }
	source, ok := m.compiled()
	if !ok {
		return verdict{outcome: compiles}, nothing, nil
	}
	before, err := w.readPTX()
	if err != nil {
		return verdict{}, nothing, err
	}
	restore := func() error {
		var errs []error
		for name, text := range before {
			errs = append(errs, os.WriteFile(name, text, 0o666))
		}
		return errors.Join(errs...)
	}
	args := []string{"ptx"}
	if source != "" {
		args = append(args, source)
	}
	if printed, err := w.command(ctx, filepath.Join(w.dir, "ci", "build-kernels.sh"), args...).CombinedOutput(); err != nil {
		return verdict{doesNotBuild, "ci/build-kernels.sh", tail(string(printed), detailedLines)}, restore, ctx.Err()
	}
	after, err := w.readPTX()
	if err != nil {
		return verdict{}, restore, err
	}
	if maps.EqualFunc(before, after, sameCode) {
		return verdict{doesNotApply, "the compiler makes the same of it", ""}, restore, nil
	}
	return verdict{outcome: compiles}, restore, nil
}

// readPTX is all PTX of the copy, by path.
func (w *workspace) readPTX() (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, pattern := range []string{"kernels/ptx/*.ptx", "kernels/lab/ptx/*.ptx"} {
		paths, err := filepath.Glob(filepath.Join(w.dir, filepath.FromSlash(pattern)))
		if err != nil {
			return nil, err
		}
		for _, p := range paths {
			if files[p], err = os.ReadFile(p); err != nil {
				return nil, err
			}
		}
	}
	return files, nil
}

var lineNumbers = regexp.MustCompile(`(?m)^\s*\.loc.*\n`)

// sameCode reports whether two files of PTX differ at most in the lines of the source that they name.
func sameCode(a, b []byte) bool {
	return bytes.Equal(lineNumbers.ReplaceAll(a, nil), lineNumbers.ReplaceAll(b, nil))
}

// tryKernel is the part of try for what is compiled to PTX, or is PTX.
func (w *workspace) tryKernel(ctx context.Context, m mutant, o options) (verdict, error) {
	v, restore, err := w.compile(ctx, m)
	defer func() {
		if err := restore(); err != nil {
			fmt.Fprintln(os.Stderr, "mutate:", err)
		}
	}()
	if err != nil || v.outcome != compiles || o.check {
		return v, err
	}
	for _, tests := range []string{m.tests, ""} {
		args := append([]string{"-run=" + tests}, m.expect...)
		v, err = w.test(ctx, append(args, "-args", "-modes=all"), o.timeout)
		if err != nil || v.outcome != survived {
			if v.outcome == killed && tests != m.tests {
				v.by += ", not by " + m.tests
			}
			return v, err
		}
		if m.tests == "" {
			break
		}
	}
	return v, nil
}

// try applies a mutant, judges it and takes it back.
func (w *workspace) try(ctx context.Context, m mutant, o options) (verdict, error) {
	file := filepath.Join(w.dir, filepath.FromSlash(m.file))
	before, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return verdict{doesNotApply, m.file + " does not exist", ""}, nil
	}
	if err != nil {
		return verdict{}, err
	}
	if printed, err := w.command(ctx, "git", "apply", "--whitespace=nowarn", m.path).CombinedOutput(); err != nil {
		return verdict{doesNotApply, "git apply refuses it", string(printed)}, ctx.Err()
	}
	defer func() {
		if err := os.WriteFile(file, before, 0o666); err != nil {
			fmt.Fprintln(os.Stderr, "mutate:", err) // the next mutant will not apply, and say so
		}
	}()
	after, err := os.ReadFile(file)
	if err != nil {
		return verdict{}, err
	}
	if bytes.Equal(before, after) {
		return verdict{doesNotApply, "it changes nothing", ""}, nil
	}
	if m.ofKernel() {
		return w.tryKernel(ctx, m, o)
	}
	if printed, err := w.command(ctx, "go", "build", "./...").CombinedOutput(); err != nil {
		return verdict{doesNotBuild, "go build", string(printed)}, ctx.Err()
	}
	if o.check {
		return verdict{outcome: compiles}, nil
	}
	args := m.expect
	if m.tests != "" {
		args = append([]string{"-run=" + m.tests}, args...)
	}
	v, err := w.test(ctx, args, o.timeout)
	if err != nil || v.outcome != survived {
		return v, err
	}
	if err := w.testWhole(ctx, file, before, after, o); err != nil {
		return verdict{}, err
	}
	v, err = w.test(ctx, []string{"./..."}, o.timeout)
	if err != nil || v.outcome != survived {
		if v.outcome == killed {
			v.by += ", not by " + strings.Join(m.expect, " ")
		}
		return v, err
	}
	if len(m.conform) > 0 {
		return w.conform(ctx, m)
	}
	return v, nil
}

// testWhole makes sure, once, that all tests pass without a mutant: a test that fails anyway would kill each. The
// mutant's file is as before for that time.
func (w *workspace) testWhole(ctx context.Context, file string, before, after []byte, o options) error {
	if w.whole {
		return nil
	}
	if err := os.WriteFile(file, before, 0o666); err != nil {
		return err
	}
	v, err := w.test(ctx, []string{"./..."}, o.timeout)
	switch {
	case err != nil:
		return err
	case v.outcome != survived:
		return fmt.Errorf("the tests fail without any mutant: %s\n%s", v.by, v.detail)
	}
	w.whole = true
	return os.WriteFile(file, after, 0o666)
}

// event is a line of go test -json.
type event struct {
	Action, Package, Test, Output, FailedBuild, ImportPath string
}

var panicLine = regexp.MustCompile(`(?m)^(panic: |fatal error: |\tpanic: )`)

// test runs packages, or what else go test understands, until a test fails.
func (w *workspace) test(ctx context.Context, args []string, timeout time.Duration) (verdict, error) {
	args = append([]string{"test", "-json", "-failfast", "-vet=off", "-timeout", timeout.String()}, args...)
	cmd := w.command(ctx, "go", args...)
	// The tests of the tree read fixtures relative to the repository: say where it really is.
	if os.Getenv("FIXTURES") == "" {
		cmd.Env = append(os.Environ(), "FIXTURES="+filepath.Join(filepath.Dir(w.root), "shared", "fixtures"))
	}
	out, err := cmd.Output()
	if ctx.Err() != nil {
		return verdict{}, ctx.Err()
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return verdict{}, err
	}
	return judge(out, err != nil), nil
}

// judge reads what go test -json printed. The deepest failed test is the one to name.
func judge(out []byte, failed bool) verdict {
	outputs := map[string]*strings.Builder{} // by package and test
	var everything strings.Builder
	v := verdict{outcome: survived}
	if failed {
		v = verdict{outcome: doesNotBuild, by: "go test failed, but no test did"}
	}
	for line := range bytes.Lines(out) {
		var e event
		if json.Unmarshal(line, &e) != nil {
			everything.Write(line)
			continue
		}
		key := e.Package + " " + e.Test
		if e.Output != "" {
			if outputs[key] == nil {
				outputs[key] = &strings.Builder{}
			}
			outputs[key].WriteString(e.Output)
			everything.WriteString(e.Output)
		}
		if e.Action == "fail" && e.Test != "" && (v.outcome != killed || strings.HasPrefix(e.Test+"/", v.test(e.Package)+"/")) {
			name := strings.TrimPrefix(strings.TrimPrefix(e.Package, modulePath), "/")
			if name == "" {
				name = "."
			}
			v = verdict{outcome: killed, by: name + " " + e.Test}
		}
	}
	if failed && panicLine.MatchString(everything.String()) {
		v.outcome = panicked
	}
	if v.outcome != killed && v.outcome != survived || failed {
		v.detail = tail(everything.String(), detailedLines)
	}
	return v
}

const modulePath = "github.com/godwit-ml/godwit"

// test gives the name of the failed test if it is of this package, and otherwise a name that no test has.
func (v verdict) test(pkg string) string {
	name := strings.TrimPrefix(strings.TrimPrefix(pkg, modulePath), "/")
	if name == "" {
		name = "."
	}
	if test, ok := strings.CutPrefix(v.by, name+" "); ok {
		return test
	}
	return "\x00"
}

// conform runs the named fixtures through ci/conform and check.py.
func (w *workspace) conform(ctx context.Context, m mutant) (verdict, error) {
	fixtures := os.Getenv("FIXTURES")
	if fixtures == "" {
		fixtures = filepath.Join(filepath.Dir(w.root), "shared", "fixtures")
	}
	if _, err := os.Stat(filepath.Join(fixtures, "check.py")); err != nil {
		return verdict{survived, "no test (only the fixtures can see it, and they are absent)", ""}, nil
	}
	out := filepath.Join(filepath.Dir(w.dir), "conform-"+m.name)
	names := m.conform
	run := w.command(ctx, "go", append([]string{"run", "./ci/conform", "-root", fixtures, "-out", out}, names...)...)
	if printed, err := run.CombinedOutput(); err != nil {
		if panicLine.Match(printed) {
			return verdict{panicked, "ci/conform", tail(string(printed), detailedLines)}, ctx.Err()
		}
		return verdict{killed, "ci/conform " + strings.Join(names, " ") + " fails", ""}, ctx.Err()
	}
	check := w.command(ctx, "python3", append([]string{filepath.Join(fixtures, "check.py"), filepath.Join(out, "RESULT.json"), "--strict", "--complete"}, names...)...)
	if printed, err := check.CombinedOutput(); err != nil {
		first, _, _ := strings.Cut(strings.TrimSpace(string(printed)), "\n")
		return verdict{killed, "conformance: " + first, ""}, ctx.Err()
	}
	return verdict{survived, "no test, and not by the fixtures", ""}, nil
}

func tail(s string, lines int) string {
	all := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
