package main

// RESULT.json and the tensors beside it, as check.py defines them.

import (
	"bufio"
	"encoding/json"
	"os"
	"path"
	"path/filepath"

	"github.com/godwit-ml/godwit/quant"
)

// entry is one result. Its fields are check.py's.
type entry map[string]any

// writer writes results as they come.
type writer struct {
	dir     string
	file    *os.File
	buf     *bufio.Writer
	entries int
}

func newWriter(dir string) (*writer, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.Create(filepath.Join(dir, "RESULT.json"))
	if err != nil {
		return nil, err
	}
	w := &writer{dir: dir, file: f, buf: bufio.NewWriter(f)}
	_, err = w.buf.WriteString(`{"results": [`)
	return w, err
}

// add appends an entry. An entry that JSON cannot express, as one with NaN among
// inline values, is an error.
func (w *writer) add(e entry) error {
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	sep := "\n"
	if w.entries > 0 {
		sep = ",\n"
	}
	w.entries++
	if _, err := w.buf.WriteString(sep); err != nil {
		return err
	}
	_, err = w.buf.Write(b)
	return err
}

// tensor writes values to a file of their own and appends the entry that refers
// to it. The name, with slashes, is that of the file without its ending.
func (w *writer) tensor(name string, values []float32, e entry) error {
	b := make([]byte, 4*len(values))
	if err := quant.Encode(b, values, quant.F32); err != nil {
		return err
	}
	name = path.Join("tensors", name+".f32")
	file := filepath.Join(w.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(file, b, 0o644); err != nil {
		return err
	}
	e["file"] = name
	return w.add(e)
}

func (w *writer) close() error {
	if _, err := w.buf.WriteString("\n]}\n"); err != nil {
		return err
	}
	if err := w.buf.Flush(); err != nil {
		return err
	}
	return w.file.Close()
}
