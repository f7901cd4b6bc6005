package main

// models: the names that -m knows on this machine, and the history of the families.

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/godwit-ml/godwit"
)

type modelsCmd struct {
	Families bool `group:"output" help:"The history of language models instead, and which of them run here."`
	jsonFlag
}

// localModel is one line of JSON.
type localModel struct {
	Name   string `json:"name"`
	Path   string `json:"path"`
	Format string `json:"format"` // "gguf" or "safetensors"
	Bytes  int64  `json:"bytes"`
}

// Run lists what Local knows, or the history.
func (c *modelsCmd) Run(_ context.Context, s *streams) error {
	if c.Families {
		return c.history(s)
	}
	names, err := godwit.Local()
	if err != nil {
		return err
	}
	if len(names) == 0 && !c.JSON {
		fmt.Fprintln(s.notes, "no models in the Hugging Face cache, nor in godwit/models of the user's cache directory: hf download owner/name puts one there")
	}
	for _, name := range names {
		path, err := godwit.Find(name)
		if err != nil {
			continue // it went away meanwhile
		}
		m := localModel{Name: name, Path: path, Format: "safetensors", Bytes: bytesBelow(path)}
		if strings.EqualFold(filepath.Ext(path), ".gguf") {
			m.Format = "gguf"
		}
		if c.JSON {
			if err := s.out.object(m); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(s.out, "%-44s %-11s %8s\n", m.Name, m.Format, size(m.Bytes))
	}
	return nil
}

// history draws the tree, or prints a milestone a line.
func (c *modelsCmd) history(s *streams) error {
	if !c.JSON {
		printFamilies(s.out, godwit.History(), s.out.style().columns)
		return nil
	}
	for _, m := range godwit.History() {
		if err := s.out.object(m); err != nil {
			return err
		}
	}
	return nil
}

// bytesBelow is the size of a file or of the files in a folder. Files of a hub
// cache are links.
func bytesBelow(path string) int64 {
	var total int64
	_ = filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		if st, err := os.Stat(p); err == nil && !st.IsDir() {
			total += st.Size()
		}
		return nil
	})
	return total
}
