package main

// GGUF models, and the block formats by themselves.

import (
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"github.com/godwit-ml/godwit/ci/golden"
	"github.com/godwit-ml/godwit/quant"
	"github.com/godwit-ml/godwit/weights"
)

// runGGUF runs the prompt of every GGUF model.
func runGGUF(s *session, name string) error {
	files, err := filepath.Glob(s.path("gguf", "models", "*.gguf"))
	if err != nil {
		return err
	}
	for _, file := range files {
		base := filepath.Base(file)
		logits, err := s.ggufLogits(file)
		if err == nil {
			err = s.out.add(entry{"kind": "gguf", "file": base, "values": logits})
		}
		if err != nil {
			s.leftOut(name+" "+base, err)
		}
	}
	return nil
}

func (s *session) ggufLogits(file string) ([]float32, error) {
	g, err := golden.ReadGGUF(file)
	if err != nil {
		return nil, err
	}
	defer g.Close() //nolint:errcheck // only read
	m, err := s.load(file, "")
	if err != nil {
		return nil, err
	}
	defer s.unload(m)
	out, err := m.Case(g.Kind, &g.Cases[0])
	return out["logits"], err
}

// runQuant decodes the raw blocks of every type.
func runQuant(s *session, name string) error {
	files, err := filepath.Glob(s.path("gguf", "quant", "*.safetensors"))
	if err != nil {
		return err
	}
	for _, file := range files {
		typ := strings.TrimSuffix(filepath.Base(file), ".safetensors")
		x, err := dequantize(file, typ)
		if err != nil {
			s.leftOut(name+" "+typ, err)
			continue
		}
		if err := s.out.tensor(path.Join("quant", typ), x, entry{"kind": "quant", "type": typ}); err != nil {
			return err
		}
	}
	return nil
}

// dequantize decodes the tensor raw of a file, which holds blocks of a type.
func dequantize(file, name string) ([]float32, error) {
	var index struct {
		Types map[string]struct {
			Number quant.Type `json:"ggml_type"`
			Shape  []int      `json:"shape"`
		} `json:"types"`
	}
	if err := golden.ReadJSON(filepath.Join(filepath.Dir(file), "index.json"), &index); err != nil {
		return nil, err
	}
	entry, ok := index.Types[name]
	if !ok || !entry.Number.Valid() {
		return nil, fmt.Errorf("index.json has no type %s that is known", name)
	}
	ck, err := weights.Open(file)
	if err != nil {
		return nil, err
	}
	defer ck.Close() //nolint:errcheck // only read
	raw, err := ck.Tensor("raw")
	if err != nil {
		return nil, err
	}
	n := 1
	for _, d := range entry.Shape {
		n *= d
	}
	out := make([]float32, n)
	return out, quant.Decode(out, raw.Bytes(), entry.Number)
}
