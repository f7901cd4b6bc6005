// This file holds the tables of docs/ARCHITECTURE.md against the real imports of every Go file, whatever
// its build tags: who may import whom, what may come from other modules, and what is refused everywhere.

package godwit_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	architectureFile = "docs/ARCHITECTURE.md"
	modulePath       = "github.com/godwit-ml/godwit"
)

// layerRow is a row of the import table: what one package may import.
type layerRow struct {
	ours, others []string // folders of ours; module or package paths
	anything     bool     // any of ours
	planned      bool     // has no folder yet
}

// heldRow is a row of the table of standard packages held back.
type heldRow struct{ packages, onlyIn []string }

// architecture is what the page declares.
type architecture struct {
	layers    map[string]layerRow // by folder; "." is the root, "ci/…" a folder and all below
	held      []heldRow
	embedded  []string // third-party modules that come with the root
	testsOnly []string // third-party modules that test files may import
}

// sourceFile is one parsed Go file of the tree.
type sourceFile struct {
	path    string // from the root, with slashes
	folder  string
	test    bool
	imports []string
	ast     *ast.File
	pos     *token.FileSet
}

func (f sourceFile) at(n ast.Node) string {
	return fmt.Sprintf("%s:%d", f.path, f.pos.Position(n.Pos()).Line)
}

func TestArchitecture(t *testing.T) {
	page, err := os.ReadFile(filepath.FromSlash(architectureFile))
	if err != nil {
		t.Fatal(err)
	}
	arch, err := parseArchitecture(string(page))
	if err != nil {
		t.Fatal(err)
	}
	files, err := readTree(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range arch.check(files) {
		t.Error(problem)
	}
}

// TestArchitectureNotices gives the checks one violation of each kind: each must be reported once.
func TestArchitectureNotices(t *testing.T) {
	page, err := os.ReadFile(filepath.FromSlash(architectureFile))
	if err != nil {
		t.Fatal(err)
	}
	rows := []struct{ file, source, want string }{
		{"quant/x.go", `package quant; import _ "github.com/godwit-ml/godwit/runtime"`, "quant/x.go:1: quant may not import runtime"},
		{"nn/x.go", `package nn; import _ "github.com/godwit-ml/godwit"`, "nn/x.go:1: nn may not import ."},
		{"tokenizer/x.go", `package tokenizer; import _ "github.com/godwit-ml/godwit/tokenizer/template"`, "may not import tokenizer/template"},
		{"runtime/x.go", `package runtime; import _ "gonum.org/v1/gonum/blas"`, "runtime may not import gonum.org/v1/gonum/blas"},
		{"tokenizer/x.go", `package tokenizer; import _ "golang.org/x/textual"`, "may not import golang.org/x/textual"},
		{"x.go", `package godwit; import _ "github.com/prometheus/client_golang/prometheus"`, ". may not import github.com/prometheus"},
		{"x_test.go", `package godwit; import _ "github.com/stretchr/testify"`, "test may not import github.com/stretchr/testify"},
		{"model/x.go", `package model; import _ "log"`, `model may not import "log"`},
		{"weights/x.go", `package weights; import _ "os/exec"`, `weights may not import "os/exec"`},
		{"cpu/x_test.go", `package cpu; import "C"`, `cpu may not import "C"`},
		{"cpu/x.go", `package cpu; func init() {}`, "cpu/x.go:1: init function"},
		{"cpu/x.go", `package cpu; import "os"; func f() { os.Exit(1) }`, "cpu/x.go:1: os.Exit"},
		{"cpu/x.go", `package cpu; import goos "os"; func f() { goos.Exit(1) }`, "cpu/x.go:1: os.Exit"},
		{"utils/x.go", `package utils`, "utils: folder name"},
		{"engine/internal/x/x.go", `package x`, "engine/internal/x: folder name"},
		{"sampling/x.go", `package sampling`, "sampling: no row"},
		{"kernels/x.go", `package kernels`, "kernels: marked planned"},
	}
	for _, row := range rows {
		arch, err := parseArchitecture(string(page))
		if err != nil {
			t.Fatal(err)
		}
		arch.layers["kernels"] = layerRow{planned: true} // so that the row above stays true when kernels exist
		file, err := parseSource(row.file, []byte(row.source))
		if err != nil {
			t.Fatal(err)
		}
		// The folders of all other rows are taken as present: only this file is on trial.
		var found []string
		for _, p := range arch.checkFiles([]sourceFile{file}) {
			if strings.Contains(p, row.want) {
				found = append(found, p)
			}
		}
		if len(found) != 1 {
			t.Errorf("%s %q: want one problem with %q, got %q", row.file, row.source, row.want, arch.checkFiles([]sourceFile{file}))
		}
	}
	for _, source := range []string{
		`package cpu; import _ "gonum.org/v1/gonum/blas/gonum"`,
		`package cpu; import _ "github.com/godwit-ml/godwit/runtime"; import _ "os"; func (t *T) init() {}`,
	} {
		arch, _ := parseArchitecture(string(page))
		file, err := parseSource("cpu/x.go", []byte(source))
		if err != nil {
			t.Fatal(err)
		}
		if got := arch.checkFiles([]sourceFile{file}); len(got) != 0 {
			t.Errorf("%q: refused: %q", source, got)
		}
	}
}

// check gives every problem of a whole tree.
func (a architecture) check(files []sourceFile) []string {
	problems := a.checkFiles(files)
	present := map[string]bool{}
	for _, f := range files {
		present[f.folder] = true
	}
	for folder, row := range a.layers {
		if !row.planned && !strings.HasSuffix(folder, "/…") && !present[folder] {
			problems = append(problems, fmt.Sprintf("%s: has a row in %s, but no Go file", folder, architectureFile))
		}
	}
	problems = append(problems, a.checkEmbedded(files)...)
	slices.Sort(problems)
	return problems
}

// checkFiles gives what can be said of each file for itself.
func (a architecture) checkFiles(files []sourceFile) []string {
	var problems []string
	seen := map[string]bool{}
	for _, f := range files {
		if !seen[f.folder] {
			seen[f.folder] = true
			problems = append(problems, a.checkFolder(f.folder)...)
		}
		problems = append(problems, a.checkImports(f)...)
		problems = append(problems, checkCode(f)...)
	}
	return problems
}

func (a architecture) checkFolder(folder string) []string {
	for _, part := range strings.Split(folder, "/") {
		if slices.Contains([]string{"internal", "pkg", "utils", "common", "types"}, part) {
			return []string{fmt.Sprintf("%s: folder name %q says nothing: name what is in it", folder, part)}
		}
	}
	row, ok := a.row(folder)
	switch {
	case !ok:
		return []string{fmt.Sprintf("%s: no row in %s", folder, architectureFile)}
	case row.planned:
		return []string{fmt.Sprintf("%s: marked planned in %s, but it has Go files", folder, architectureFile)}
	}
	return nil
}

func (a architecture) checkImports(f sourceFile) []string {
	row, _ := a.row(f.folder)
	var problems []string
	for i, imported := range f.imports {
		at := f.at(f.ast.Imports[i])
		refuse := func(what string) {
			problems = append(problems, fmt.Sprintf("%s: %s may not import %s", at, f.folder, what))
		}
		for _, held := range a.held {
			if slices.Contains(held.packages, imported) && !matchFolder(held.onlyIn, f.folder) && (!f.test || imported == "C") {
				refuse(strconv.Quote(imported))
			}
		}
		switch ours, isOurs := ourFolder(imported); {
		case isOurs:
			if !f.test && !row.anything && ours != f.folder && !slices.Contains(row.ours, ours) {
				refuse(ours)
			}
		case isStandard(imported):
		case f.test:
			all := slices.Concat(row.others, a.testsOnly, a.embedded)
			if !matchModule(all, imported) {
				problems = append(problems, fmt.Sprintf("%s: a test may not import %s", at, imported))
			}
		case !matchModule(row.others, imported):
			refuse(imported)
		}
	}
	return problems
}

// checkCode refuses init functions, and os.Exit in libraries.
func checkCode(f sourceFile) []string {
	if f.test {
		return nil
	}
	var problems []string
	command := strings.HasPrefix(f.folder, "cmd/") || strings.HasPrefix(f.folder, "ci/")
	osName := "os"
	for i, spec := range f.ast.Imports {
		if f.imports[i] == "os" && spec.Name != nil {
			osName = spec.Name.Name
		}
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if n.Name.Name == "init" && n.Recv == nil {
				problems = append(problems, f.at(n)+": init function: use a table one can read, or a variable")
			}
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && !command && x.Name == osName && n.Sel.Name == "Exit" {
				problems = append(problems, f.at(n)+": os.Exit: libraries return errors")
			}
		}
		return true
	})
	return problems
}

// checkEmbedded compares what the root pulls in, through all packages of ours, with the page's list.
func (a architecture) checkEmbedded(files []sourceFile) []string {
	var problems []string
	reached := map[string]bool{".": true}
	used := map[string]bool{}
	for again := true; again; {
		again = false
		for _, f := range files {
			if f.test || !reached[f.folder] {
				continue
			}
			for _, imported := range f.imports {
				if ours, ok := ourFolder(imported); ok {
					again = again || !reached[ours]
					reached[ours] = true
				} else if !isStandard(imported) {
					i := slices.IndexFunc(a.embedded, func(m string) bool { return matchModule([]string{m}, imported) })
					if i < 0 {
						problems = append(problems, fmt.Sprintf("%s: %s comes with the root, but is not in its list", f.path, imported))
						continue
					}
					used[a.embedded[i]] = true
				}
			}
		}
	}
	for _, m := range a.embedded {
		if !used[m] {
			problems = append(problems, fmt.Sprintf("%s lists %s with the root, but nothing below it imports that", architectureFile, m))
		}
	}
	slices.Sort(problems)
	return slices.Compact(problems)
}

// row finds a folder's row: its own, or that of the nearest "…" above it.
func (a architecture) row(folder string) (layerRow, bool) {
	if row, ok := a.layers[folder]; ok {
		return row, true
	}
	for dir := folder; dir != "." && dir != "/"; dir = path.Dir(dir) {
		if row, ok := a.layers[dir+"/…"]; ok {
			return row, true
		}
	}
	return layerRow{}, false
}

func matchFolder(list []string, folder string) bool {
	return slices.ContainsFunc(list, func(s string) bool {
		dir, below := strings.CutSuffix(s, "/…")
		return s == folder || below && strings.HasPrefix(folder+"/", dir+"/")
	})
}

func matchModule(list []string, imported string) bool {
	return slices.ContainsFunc(list, func(m string) bool { return imported == m || strings.HasPrefix(imported, m+"/") })
}

func ourFolder(imported string) (string, bool) {
	if imported == modulePath {
		return ".", true
	}
	return strings.CutPrefix(imported, modulePath+"/")
}

// isStandard: the first element of a path that is not in the standard library has a dot.
func isStandard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return !strings.Contains(first, ".")
}

var codeSpan = regexp.MustCompile("`([^`]+)`")

func codeSpans(s string) []string {
	var out []string
	for _, m := range codeSpan.FindAllStringSubmatch(s, -1) {
		out = append(out, m[1])
	}
	return out
}

// parseArchitecture reads the tables and the two lists of the page. Whatever it cannot read is an error, so that
// a reworded page cannot switch the test off.
func parseArchitecture(page string) (architecture, error) {
	a := architecture{layers: map[string]layerRow{}}
	for _, cells := range tableRows(page, "| package | may import of ours |") {
		if len(cells) != 4 {
			return a, fmt.Errorf("%s: import table: want 4 cells in %q", architectureFile, cells)
		}
		names := codeSpans(cells[0])
		if len(names) != 1 {
			return a, fmt.Errorf("%s: import table: want one package in %q", architectureFile, cells[0])
		}
		if _, twice := a.layers[names[0]]; twice {
			return a, fmt.Errorf("%s: import table: %s has two rows", architectureFile, names[0])
		}
		row := layerRow{ours: codeSpans(cells[1]), others: codeSpans(cells[2]), anything: cells[1] == "anything", planned: strings.Contains(cells[3], "*planned*")}
		if len(row.ours) == 0 && !row.anything && cells[1] != "nothing" || len(row.others) == 0 && cells[2] != "nothing" {
			return a, fmt.Errorf("%s: import table: %s: want names in backticks, \"nothing\" or \"anything\"", architectureFile, names[0])
		}
		a.layers[names[0]] = row
	}
	for name, row := range a.layers {
		for _, ours := range row.ours {
			if _, ok := a.layers[ours]; !ok {
				return a, fmt.Errorf("%s: import table: %s names %s, which has no row", architectureFile, name, ours)
			}
		}
	}
	for _, cells := range tableRows(page, "| package | only in |") {
		if len(cells) != 3 || len(codeSpans(cells[0])) == 0 || len(codeSpans(cells[1])) == 0 && cells[1] != "nowhere" {
			return a, fmt.Errorf("%s: held-back table: cannot read %q", architectureFile, cells)
		}
		a.held = append(a.held, heldRow{packages: codeSpans(cells[0]), onlyIn: codeSpans(cells[1])})
	}
	a.embedded = listAfter(page, "is this list and no more:")
	a.testsOnly = listAfter(page, "may import these modules besides:")
	if len(a.layers) < 10 || len(a.held) == 0 || len(a.embedded) == 0 || len(a.testsOnly) == 0 {
		return a, fmt.Errorf("%s: found %d rows, %d packages held back, %d modules of the root, %d of tests: a table or list is gone",
			architectureFile, len(a.layers), len(a.held), len(a.embedded), len(a.testsOnly))
	}
	return a, nil
}

// tableRows gives the cells of the table whose header line starts with header.
func tableRows(page, header string) [][]string {
	_, rest, found := strings.Cut(page, "\n"+header)
	if !found {
		return nil
	}
	var rows [][]string
	for i, line := range strings.Split(rest, "\n") {
		if i < 2 { // the rest of the header, and the rule below it
			continue
		}
		if !strings.HasPrefix(line, "|") {
			break
		}
		var cells []string
		for _, cell := range strings.Split(strings.Trim(line, "|"), "|") {
			cells = append(cells, strings.TrimSpace(cell))
		}
		rows = append(rows, cells)
	}
	return rows
}

// listAfter gives the code spans between a sentence and the end of its paragraph's first full stop.
func listAfter(page, sentence string) []string {
	_, rest, _ := strings.Cut(page, sentence)
	list, _, _ := strings.Cut(rest, "`.")
	return codeSpans(list + "`")
}

// readTree parses every Go file below root but those of other modules, testdata and hidden folders.
func readTree(root string) ([]sourceFile, error) {
	var files []sourceFile
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			base := d.Name()
			if name == root {
				return nil
			}
			if base == "testdata" || base == "vendor" || base[0] == '.' || base[0] == '_' {
				return filepath.SkipDir
			}
			if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		source, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		f, err := parseSource(filepath.ToSlash(name), source)
		if err != nil {
			return err
		}
		files = append(files, f)
		return nil
	})
	return files, err
}

func parseSource(name string, source []byte) (sourceFile, error) {
	f := sourceFile{path: name, folder: path.Dir(name), test: strings.HasSuffix(name, "_test.go"), pos: token.NewFileSet()}
	if bytes.HasPrefix(source, []byte("//go:build ignore\n")) { // a script run by name: part of no package
		f.test = true
	}
	var err error
	if f.ast, err = parser.ParseFile(f.pos, name, source, parser.SkipObjectResolution); err != nil {
		return f, err
	}
	for _, spec := range f.ast.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return f, fmt.Errorf("%s: %w", f.at(spec), err)
		}
		f.imports = append(f.imports, imported)
	}
	return f, nil
}
