package main

// The files that are measured: one list for all commands.

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// modelFile is a file or folder of a run.
type modelFile struct {
	Name   string `json:"name"` // "smollm2 q4_0", "minilm"
	File   string `json:"file"` // its base name
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256,omitempty"` // of a file
}

// files are the models by name.
type files struct {
	dir   string // --models: the Q4_1 file and the folder minilm
	cache string // where peers make the others
}

const smolFile = "SmolLM2-135M-Instruct.Q4_1.gguf"

// smolTypes are the types that SmolLM2 is measured in, with what its file is
// compared with.
var smolTypes = []string{"q4_0", "q4_1", "q8_0", "f16", "bf16"}

func newFiles(dir string) files {
	f := files{dir: dir, cache: os.Getenv("GODWIT_PEERS")}
	home, _ := os.UserHomeDir()
	if f.cache == "" {
		f.cache = filepath.Join(home, ".cache", "godwit-bench", "peers")
	}
	f.dir = cmp.Or(f.dir, os.Getenv("GODWIT_MODELS"), filepath.Join(home, ".cache", "godwit-ci", "models"))
	return f
}

func (f files) check() error {
	for _, path := range []string{f.source(), f.minilm()} {
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("%w: ci/real-models.sh DIR fetches it; then use -models DIR", err)
		}
	}
	return nil
}

func (f files) source() string { return filepath.Join(f.dir, smolFile) }
func (f files) minilm() string { return filepath.Join(f.dir, "minilm") }

// smol is SmolLM2 in a type: the file as it ships, or where a peer makes the other
// from it. The name tells which file it was made from.
func (f files) smol(kind string) (string, error) {
	if kind == "q4_1" {
		return f.source(), nil
	}
	st, err := os.Stat(f.source())
	if err != nil {
		return "", err
	}
	base := strings.TrimSuffix(smolFile, ".Q4_1.gguf")
	return filepath.Join(f.cache, "models", fmt.Sprintf("%s.%x-%x.%s.gguf", base, st.Size(), st.ModTime().UnixNano(), kind)), nil
}

// describe is a file's entry in a report.
func describe(name, path string) (modelFile, error) {
	m := modelFile{Name: name, File: filepath.Base(path)}
	st, err := os.Stat(path)
	if err != nil {
		return m, err
	}
	if st.IsDir() {
		path = filepath.Join(path, "model.safetensors")
	}
	file, err := os.Open(path)
	if err != nil {
		return m, err
	}
	defer file.Close()
	sum := sha256.New()
	if m.Bytes, err = io.Copy(sum, file); err != nil { // and it is in the page cache now
		return m, err
	}
	m.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return m, nil
}
