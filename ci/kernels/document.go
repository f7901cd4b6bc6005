package main

// docs/kernels.md: what every kernel is, takes and does, in one page.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"math"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/godwit-ml/godwit/ci/kernels/measure"
	"github.com/godwit-ml/godwit/kernels"
	"github.com/godwit-ml/godwit/kernels/lab"
	"github.com/godwit-ml/godwit/ptx"
)

const pageName = "docs/kernels.md"

// document writes the page, or says whether it is what it would write.
func document(ctx context.Context, out io.Writer, root string, check bool) error {
	page, err := makePage(ctx, root)
	if err != nil {
		return err
	}
	file := filepath.Join(root, filepath.FromSlash(pageName))
	was, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	switch {
	case bytes.Equal(was, page):
		fmt.Fprintf(out, "%s is up to date\n", pageName)
		return nil
	case check:
		return fmt.Errorf("%s is stale (run go run ./ci/kernels): %s", pageName, firstDifference(string(was), string(page)))
	}
	fmt.Fprintf(out, "wrote %s\n", pageName)
	return os.WriteFile(file, page, 0o666)
}

func firstDifference(was, is string) string {
	a, b := strings.Split(was, "\n"), strings.Split(is, "\n")
	for i := range b {
		if i >= len(a) || a[i] != b[i] {
			return fmt.Sprintf("line %d would be %q", i+1, b[i])
		}
	}
	return "it has lines too many"
}

func makePage(ctx context.Context, root string) ([]byte, error) {
	resources, err := readTable(filepath.Join(root, "kernels", "resources.json"))
	if err != nil {
		return nil, err
	}
	texts, err := readDocs(root)
	if err != nil {
		return nil, err
	}
	results, err := countAll(ctx)
	if err != nil {
		return nil, err
	}
	var w bytes.Buffer
	fmt.Fprint(&w, introduction)
	writeOverview(&w, resources, results)
	writeLadders(&w, results)
	fmt.Fprint(&w, "\n## What ships\n")
	if err := writeKernels(&w, kernels.All, resources, texts, results); err != nil {
		return nil, err
	}
	for _, ladder := range lab.Ladders {
		fmt.Fprintf(&w, "\n## Lab: %s\n", ladder.Op)
		if err := writeKernels(&w, ladder.Steps, resources, texts, results); err != nil {
			return nil, err
		}
	}
	return w.Bytes(), nil
}

const introduction = `# Kernels

<!-- Written by "go run ./ci/kernels"; CI says when it is stale. -->

Every CUDA kernel of godwit: what it computes, what it takes of an SM, and what it does at a few sizes. Registers are those that
ptxas 13.5 gives a thread, for the compute capabilities 75, 80, 86, 90, 100 and 120 in this order; there are no spills. *CTAs* is
how many of them fit an SM on each of these. Instructions (of a warp), sectors (32 bytes of global memory) and wavefronts (of
shared memory, 128 bytes) are counted by the PTX interpreter, which executes exactly the PTX that ships; *asked* is the bytes that
the kernel's formula says its tiling requests, by 32. Sizes that are too large to be interpreted have no counts.

The time is a prediction: the largest of bytes / bandwidth of the memory, sectors / bandwidth of L2, FLOPs / peak, instructions / 4
an SM and clock, and wavefronts / 1 an SM and clock, where all SMs share the work evenly and nothing waits for anything else. It is
for comparing kernels; a real launch takes longer, and a small one much longer. PTX instructions stand for those of the GPU, of
which there are somewhat fewer.

Of an entry that ends in x4 or x2, the plain one beside it is for operands that do not lie on 16 bytes.

`

// key is a kernel at a size.
type key struct{ entry, shape string }

// countAll runs every kernel at its sizes.
func countAll(ctx context.Context) (map[key]measure.Result, error) {
	type job struct {
		k *kernels.Kernel
		s kernels.Shape
	}
	jobs := make(chan job)
	results := map[key]measure.Result{}
	var errs []error
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range goruntime.GOMAXPROCS(0) {
		wg.Go(func() {
			for j := range jobs {
				r, err := measure.Shape(ctx, j.k, j.s, ptx.Config{Count: true, Workers: 1})
				r.Bits = nil
				mu.Lock()
				results[key{j.k.Entry, j.s.Name}] = r
				if err != nil {
					errs = append(errs, err)
				}
				mu.Unlock()
			}
		})
	}
	for _, k := range every() {
		for _, s := range k.Shapes {
			jobs <- job{k, s}
		}
	}
	for _, ladder := range lab.Ladders { // what ships, at the common size
		common := ladder.Steps[0].Shapes[0]
		if shipped := measure.Shipped(ladder.Op, common); shipped != nil {
			jobs <- job{shipped, common}
		}
	}
	close(jobs)
	wg.Wait()
	return results, errors.Join(errs...)
}

// writeOverview is a row for each kernel, at the first size that is counted.
func writeOverview(w *bytes.Buffer, resources table, results map[key]measure.Result) {
	fmt.Fprint(w, "## All kernels\n\n| kernel | threads | registers | shared | CTAs | size | sectors of asked | wavefronts of ideal |")
	for _, c := range measure.Chips {
		fmt.Fprintf(w, " %s |", c.Name)
	}
	fmt.Fprint(w, "\n|---|---|---|---|---|---|---|---|"+strings.Repeat("---|", len(measure.Chips))+"\n")
	for _, k := range every() {
		i := max(0, slices.IndexFunc(k.Shapes, func(s kernels.Shape) bool { return results[key{k.Entry, s.Name}].Counts != nil }))
		r := results[key{k.Entry, k.Shapes[i].Name}]
		sectors, wavefronts := "", ""
		if n := r.Counts; n != nil {
			sectors = fmt.Sprintf("%.3f", float64(measure.Sectors(n))*32/float64(r.Cost.Requested))
			if passes, ideal := measure.MainLoop(n); ideal > 0 {
				wavefronts = fmt.Sprintf("%.3f", float64(passes)/float64(ideal))
			}
		}
		fmt.Fprintf(w, "| `%s` | %d | %s | %d | %d | %s | %s | %s |", k.Entry, k.Threads, strings.Join(registers(resources[k.Entry]), " "), k.Shared, k.CTAs,
			k.Shapes[i].Name, sectors, wavefronts)
		for _, c := range measure.Chips {
			fmt.Fprintf(w, " %s |", predicted(c, r))
		}
		fmt.Fprintln(w)
	}
}

func registers(on map[string]resources) []string {
	var list []string
	for _, name := range names(on) {
		list = append(list, strconv.Itoa(on[name].Registers))
	}
	return list
}

// writeLadders tells how each step of a ladder beats the one before.
func writeLadders(w *bytes.Buffer, results map[key]measure.Result) {
	fmt.Fprint(w, "\n## Ladders\n\nFrom the naive kernel to the one that ships, at one size: predicted time, and what it is bound by.\n")
	for _, ladder := range lab.Ladders {
		common := ladder.Steps[0].Shapes[0]
		fmt.Fprintf(w, "\n%s, %s:\n\n| step |", ladder.Op, common.Name)
		for _, c := range measure.Chips {
			fmt.Fprintf(w, " %s |", c.Name)
		}
		fmt.Fprint(w, "\n|---|"+strings.Repeat("---|", len(measure.Chips))+"\n")
		steps := slices.Clone(ladder.Steps)
		if shipped := measure.Shipped(ladder.Op, common); shipped != nil {
			steps = append(steps, shipped)
		}
		for _, k := range steps {
			fmt.Fprintf(w, "| `%s` |", k.Entry)
			for _, c := range measure.Chips {
				fmt.Fprintf(w, " %s |", predicted(c, results[key{k.Entry, common.Name}]))
			}
			fmt.Fprintln(w)
		}
	}
}

func writeKernels(w *bytes.Buffer, list []*kernels.Kernel, resources table, texts map[string]string, results map[key]measure.Result) error {
	for _, k := range list {
		text, ok := texts[k.Entry]
		if !ok {
			return fmt.Errorf("%s: its declaration has no comment", k.Entry)
		}
		fmt.Fprintf(w, "\n### `%s`\n\n%s\n\n", k.Entry, text)
		if len(resources[k.Entry]) == 0 {
			return fmt.Errorf("%s: not in kernels/resources.json", k.Entry)
		}
		fmt.Fprintf(w, "%s, image `%s` for compute_%d; %d threads, registers %s; %d bytes of shared memory; CTAs %d", k.Op, k.Image.Name, k.Image.Target,
			k.Threads, strings.Join(registers(resources[k.Entry]), " "), k.Shared, k.CTAs)
		if k.Unproven != "" {
			fmt.Fprintf(w, "; **unproven**: %s", k.Unproven)
		}
		fmt.Fprint(w, "\n\n| size | bytes | FLOPs | grid | instructions | sectors | of asked | wavefronts |")
		for _, c := range measure.Chips {
			fmt.Fprintf(w, " %s |", c.Name)
		}
		fmt.Fprint(w, "\n|---|---|---|---|---|---|---|---|"+strings.Repeat("---|", len(measure.Chips))+"\n")
		for _, s := range k.Shapes {
			r := results[key{k.Entry, s.Name}]
			fmt.Fprintf(w, "| %s | %s | %s | %s | %s |", s.Name, count(r.Cost.Bytes), count(r.Cost.FLOPs), grid(r.Grid), counted(r))
			for _, c := range measure.Chips {
				fmt.Fprintf(w, " %s |", predicted(c, r))
			}
			fmt.Fprintln(w)
		}
	}
	return nil
}

func counted(r measure.Result) string {
	n := r.Counts
	if n == nil {
		return " | | |"
	}
	return fmt.Sprintf("%s | %s | %.3f | %s", count(n.Issues), count(measure.Sectors(n)), float64(measure.Sectors(n))*32/float64(r.Cost.Requested), count(n.Wavefronts()))
}

func grid(g [3]int) string {
	var parts []string
	for i, n := range g {
		if i == 0 || n > 1 || g[2] > 1 {
			parts = append(parts, strconv.Itoa(n))
		}
	}
	return strings.Join(parts, "×")
}

// count is a number with three digits: 1.23M.
func count(n int64) string {
	v, unit := float64(n), ""
	for _, u := range []string{"k", "M", "G", "T"} {
		if v < 999.5 {
			break
		}
		v, unit = v/1000, u
	}
	if unit == "" {
		return strconv.FormatInt(n, 10)
	}
	return threeDigits(v) + unit
}

func threeDigits(v float64) string {
	digits := 0
	for limit := 99.95; v < limit && digits < 2; limit /= 10 {
		digits++
	}
	return strconv.FormatFloat(v, 'f', digits, 64)
}

func predicted(c measure.Chip, r measure.Result) string {
	p := c.Predict(r)
	v, unit := p.Seconds*1e6, "µs"
	if v > 999.5 {
		v, unit = v/1000, "ms"
	}
	if math.IsNaN(v) {
		return ""
	}
	return fmt.Sprintf("%s %s, %s", threeDigits(v), unit, p.By)
}

// readDocs finds the comment of every variable in whose value a kernel's entry is named.
func readDocs(root string) (map[string]string, error) {
	texts := map[string]string{}
	declared := map[string]bool{}
	for _, k := range every() {
		declared[k.Entry] = true
	}
	for _, folder := range []string{"kernels", "kernels/lab"} {
		paths, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(folder), "*.go"))
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
			if err != nil {
				return nil, err
			}
			for _, decl := range file.Decls {
				readDecl(decl, declared, texts)
			}
		}
	}
	return texts, nil
}

// readDecl takes the comments of a declaration of variables.
func readDecl(decl ast.Decl, declared map[string]bool, texts map[string]string) {
	group, ok := decl.(*ast.GenDecl)
	if !ok || group.Tok != token.VAR {
		return
	}
	for _, spec := range group.Specs {
		value, ok := spec.(*ast.ValueSpec)
		if !ok || len(value.Names) != 1 {
			continue
		}
		comment := value.Doc
		if comment == nil {
			comment = group.Doc
		}
		if comment == nil {
			continue
		}
		for _, v := range value.Values {
			ast.Inspect(v, func(n ast.Node) bool {
				lit, ok := n.(*ast.BasicLit)
				if !ok || lit.Kind != token.STRING {
					return true
				}
				name, err := strconv.Unquote(lit.Value)
				for _, entry := range []string{name, "lab_" + name} {
					if err == nil && declared[entry] && texts[entry] == "" {
						texts[entry] = markdown(comment.Text())
					}
				}
				return true
			})
		}
	}
}

// markdown is a comment's text; what Markdown would take for emphasis stays as it is.
func markdown(comment string) string {
	return strings.NewReplacer("*", `\*`, "_", `\_`, "<", "&lt;").Replace(strings.TrimSpace(comment))
}
