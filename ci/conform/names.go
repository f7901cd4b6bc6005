package main

// What the names on the command line stand for, as check.py --complete reads
// them.

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/godwit-ml/godwit/ci/golden"
)

// job is one fixture and what runs it.
type job struct {
	name string
	run  func(s *session, name string) error
}

// variantInfo is variant.json.
type variantInfo struct {
	Parent   string     `json:"parent"`
	Golden   string     `json:"golden"`
	MustName [][]string `json:"must_name"` // present: it has to be refused
}

// readVariant reads variant.json of a folder; the zero value if there is none.
func readVariant(dir string) (v variantInfo, err error) {
	err = golden.ReadJSON(filepath.Join(dir, "variant.json"), &v)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return v, err
}

// expand gives the fixtures of names, each once.
func expand(root string, names []string) ([]job, error) {
	var jobs []job
	seen := map[string]bool{}
	for _, n := range names {
		more, err := fixtures(root, n)
		if err != nil {
			return nil, err
		}
		for _, j := range more {
			if !seen[j.name] {
				seen[j.name] = true
				jobs = append(jobs, j)
			}
		}
	}
	return jobs, nil
}

func fixtures(root, name string) ([]job, error) {
	several := func(lists ...[]string) (jobs []job, err error) {
		for _, n := range slices.Concat(lists...) {
			more, err := fixtures(root, n)
			if err != nil {
				return nil, err
			}
			jobs = append(jobs, more...)
		}
		return jobs, nil
	}
	parent, ofParent := strings.CutPrefix(name, "variants-of:")
	switch {
	case name == "all":
		return several(models(root), variants(root, ""), tokenizers(root), []string{"sampling", "gguf", "quant"})
	case name == "tokenizers":
		return several(tokenizers(root))
	case ofParent:
		if !slices.Contains(models(root), parent) {
			return nil, fmt.Errorf("%s: there is no model %s in %s", name, parent, root)
		}
		return several(variants(root, parent))
	case strings.HasPrefix(name, "tokenizers/"):
		if !exists(root, name, "golden.jsonl") {
			break
		}
		return []job{{name, runTokenizer}}, nil
	case name == "sampling":
		return []job{{name, runSampling}}, nil
	case name == "gguf":
		return []job{{name, runGGUF}}, nil
	case name == "quant":
		return []job{{name, runQuant}}, nil
	case name == "minilm":
		return []job{{name, runMiniLM}}, nil
	case name == "smollm2":
		return []job{{name, runSmolLM2}}, nil
	case exists(root, name, "golden.json"), exists(root, name, "variant.json"):
		return []job{{name, runModel}}, nil
	}
	return nil, fmt.Errorf("%s: there is no such fixture in %s", name, root)
}

func exists(parts ...string) bool {
	_, err := os.Stat(filepath.Join(parts...))
	return err == nil
}

// folders are the folders of one that have a file, as paths below the root.
func folders(root, below, file string) []string {
	entries, _ := os.ReadDir(filepath.Join(root, below)) // none: the name that asked is reported
	var names []string
	for _, e := range entries {
		if exists(root, below, e.Name(), file) {
			names = append(names, path.Join(below, e.Name()))
		}
	}
	return names
}

func models(root string) []string { return folders(root, "", "golden.json") }

// variants are those of a parent; "": all.
func variants(root, parent string) []string {
	return slices.DeleteFunc(folders(root, "variants", "variant.json"), func(n string) bool {
		v, err := readVariant(filepath.Join(root, n))
		return err == nil && parent != "" && v.Parent != parent
	})
}

func tokenizers(root string) []string {
	return slices.DeleteFunc(folders(root, "tokenizers", "golden.jsonl"), func(n string) bool {
		return strings.HasPrefix(n, "tokenizers/real-")
	})
}
