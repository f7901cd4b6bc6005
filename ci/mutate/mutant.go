package main

// Mutants: reading the patches and holding them to their form.

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// mutant is one patch of ci/mutants.
type mutant struct {
	name    string   // file name without .patch
	path    string   // absolute
	class   string   // kind of mistake
	why     string   // what it stands for; may be empty
	expect  []string // packages whose tests should notice, as ./dir
	tests   string   // which of their tests, as go test -run has it; empty: all
	conform []string // names for ci/conform, for what only the full fixtures can see
	file    string   // the one file it changes, with slashes
}

// readMutants reads every *.patch of a folder, in the order of names.
func readMutants(dir string) ([]mutant, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.patch"))
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("%s: no *.patch files", dir)
	}
	slices.Sort(paths)
	var mutants []mutant
	var faults []error
	for _, p := range paths {
		data, err := os.ReadFile(p)
		if err != nil {
			return nil, err
		}
		abs, err := filepath.Abs(p)
		if err != nil {
			return nil, err
		}
		m, err := parseMutant(strings.TrimSuffix(filepath.Base(p), ".patch"), string(data))
		if err != nil {
			faults = append(faults, err)
		}
		m.path = abs
		mutants = append(mutants, m)
	}
	return mutants, errors.Join(faults...)
}

// ofKernel reports whether the mutant changes CUDA source or PTX.
func (m *mutant) ofKernel() bool { return !strings.HasSuffix(m.file, ".go") }

// compiled reports whether PTX has to be made of what the mutant changes, and of which source: none means of all.
func (m *mutant) compiled() (source string, ok bool) {
	switch path.Ext(m.file) {
	case ".cu":
		return strings.TrimSuffix(strings.TrimPrefix(m.file, kernelFolder), ".cu"), true
	case ".cuh":
		return "", true
	}
	return "", false
}

const kernelFolder = "kernels/"

// mutable reports whether a mutant may change the file: a Go file that is no test, CUDA source, or PTX.
func mutable(file string) bool {
	switch path.Ext(file) {
	case ".go":
		return !strings.HasSuffix(file, "_test.go")
	case ".cu", ".cuh", ".ptx":
		return strings.HasPrefix(file, kernelFolder)
	}
	return false
}

// parseMutant reads the header and checks the shape of the diff: one hunk, in one file.
func parseMutant(name, text string) (mutant, error) {
	m := mutant{name: name}
	hunks, inDiff := 0, false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case strings.HasPrefix(line, "@@ "):
			hunks++
			inDiff = true
		case inDiff && !strings.HasPrefix(line, "diff ") && !strings.HasPrefix(line, "--- "):
		case strings.HasPrefix(line, "# "):
			if err := m.header(line); err != nil {
				return m, err
			}
		case strings.HasPrefix(line, "+++ "):
			file, _, _ := strings.Cut(strings.TrimPrefix(line, "+++ "), "\t")
			if m.file != "" {
				return m, fmt.Errorf("%s: changes %s and %s: a mutant changes one file", name, m.file, file)
			}
			m.file = strings.TrimPrefix(file, "b/")
			inDiff = false
		case strings.HasPrefix(line, "diff "), strings.HasPrefix(line, "--- "):
			inDiff = false
		}
	}
	switch {
	case m.class == "":
		return m, fmt.Errorf("%s: no line \"# class: …\"", name)
	case hunks != 1:
		return m, fmt.Errorf("%s: %d hunks, want one: a mutant is one change", name, hunks)
	case !mutable(m.file):
		return m, fmt.Errorf("%s: changes %q: want a Go file that is no test, or a source or PTX of kernels", name, m.file)
	}
	own := "./" + path.Dir(m.file)
	if m.ofKernel() {
		own = "./kernels"
	}
	if len(m.expect) == 0 {
		m.expect = []string{own}
	}
	return m, nil
}

func (m *mutant) header(line string) error {
	key, value, found := strings.Cut(strings.TrimPrefix(line, "# "), ":")
	if !found {
		return nil // a remark
	}
	value = strings.TrimSpace(value)
	switch key {
	case "class":
		m.class = value
	case "why":
		m.why = value
	case "expect":
		m.expect = strings.Fields(value)
		for _, p := range m.expect {
			if p != "." && !strings.HasPrefix(p, "./") {
				return fmt.Errorf("%s: expect: package %q: write it as ./folder", m.name, p)
			}
		}
	case "tests":
		m.tests = value
	case "conform":
		m.conform = strings.Fields(value)
	default:
		return fmt.Errorf("%s: unknown header %q: class, expect, tests, conform and why are known", m.name, key)
	}
	return nil
}
