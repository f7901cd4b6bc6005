package model_test

// Every class of encoders, and every field that changes a graph, against what
// transformers computes: ci/options.py stores it.

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godwit-ml/godwit/ci/golden"
	"github.com/godwit-ml/godwit/weights"
)

// option is a row of options.json.
type option struct {
	Name   string         `json:"name"`
	Kind   string         `json:"kind"`
	Config map[string]any `json:"config"`
	Case   golden.Case    `json:"case"`
}

// options are the rows and the file of their tensors.
func options(t testing.TB) ([]option, *weights.Checkpoint) {
	t.Helper()
	dir := filepath.Join("testdata", "options")
	b, err := os.ReadFile(filepath.Join(dir, "options.json"))
	if err != nil {
		t.Fatal(err)
	}
	var rows []option
	if err := json.Unmarshal(b, &rows); err != nil {
		t.Fatal(err)
	}
	ck, err := weights.Open(filepath.Join(dir, "options.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ck.Close() })
	return rows, ck
}

// checkpoint is the row's, from the file of all.
func (o *option) checkpoint(t testing.TB, all *weights.Checkpoint) checkpoint {
	t.Helper()
	c := checkpoint{config: o.Config, tensors: map[string]stored{}}
	for _, n := range all.Names() {
		name, own := strings.CutPrefix(n, o.Name+"/weights/")
		if !own {
			continue
		}
		in, _ := all.Info(n)
		x, err := all.Tensor(n)
		if err != nil {
			t.Fatal(err)
		}
		c.tensors[name] = stored{in.DType, in.Shape, x.Bytes()}
	}
	return c
}

func TestOptions(t *testing.T) {
	rows, all := options(t)
	for i := range rows {
		o := &rows[i]
		t.Run(o.Name, func(t *testing.T) {
			dir := o.checkpoint(t, all).write(t)
			for _, opt := range []golden.Options{{}, {Chunk: 2, BlockSize: 3, Hostile: true}} {
				out, err := load(t, dir, opt).Case(o.Kind, &o.Case)
				if err != nil {
					t.Fatal(err)
				}
				for name, want := range o.Case.Outputs {
					x, err := all.Tensor(want.Tensor)
					if err != nil {
						t.Fatal(err)
					}
					if len(out[name]) != len(x.F32s()) {
						t.Errorf("%s: %d values, want %d", name, len(out[name]), len(x.F32s()))
						continue
					}
					if d := golden.Compare(out[name], x.F32s()); !(d.Max <= want.TolStrict) {
						t.Errorf("%s: max |diff| %.3g at %d, want at most %.3g", name, d.Max, d.At, want.TolStrict)
					}
				}
			}
		})
	}
}
