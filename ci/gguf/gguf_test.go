package main

// Every checkpoint that can be a GGUF file becomes one, and gives what PyTorch
// gave for the checkpoint.

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-ml/godwit"
	"github.com/godwit-ml/godwit/ci/golden"
	"github.com/godwit-ml/godwit/cpu"
	"github.com/godwit-ml/godwit/quant"
)

// checkpoints are the folders of all fixtures, or of those that the tests of
// models bring along, and the odd ones.
func checkpoints(t *testing.T) (folders []string) {
	t.Helper()
	root := os.Getenv("FIXTURES")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared", "fixtures")
	}
	testdata := filepath.Join("..", "..", "model", "testdata")
	if _, err := os.Stat(filepath.Join(root, "llama")); err != nil {
		root = filepath.Join(testdata, "checkpoints")
	}
	for _, dir := range []string{root, filepath.Join(testdata, "odd")} {
		files, err := filepath.Glob(filepath.Join(dir, "*", "golden.json"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no checkpoints in %s (%v)", dir, err)
		}
		for _, f := range files {
			folders = append(folders, filepath.Dir(f))
		}
	}
	return folders
}

// written is a checkpoint as a GGUF file.
func written(t *testing.T, m *file, choose func(*tensor) quant.Type) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "model.gguf")
	if err := m.write(path, choose); err != nil {
		t.Fatal(err)
	}
	return path
}

func load(t *testing.T, path string, opt golden.Options) *golden.Model {
	t.Helper()
	dev := cpu.NewReference(cpu.Config{Threads: 2})
	t.Cleanup(func() { _ = dev.Close() })
	opt.Device = dev
	m, err := golden.Load(path, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

// TestCheckpoints compares outputs and generations. A file without a head - the
// encoders' - is judged by its hidden states.
func TestCheckpoints(t *testing.T) {
	for _, folder := range checkpoints(t) {
		name := filepath.Base(folder)
		t.Run(name, func(t *testing.T) {
			f, err := convert(folder)
			var no *inexpressible
			if errors.As(err, &no) {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			g, err := golden.Read(folder)
			if err != nil {
				t.Fatal(err)
			}
			defer g.Close() //nolint:errcheck // only read
			m := load(t, written(t, f, func(*tensor) quant.Type { return quant.F32 }), golden.Options{Chunk: 7, BlockSize: 4, Hostile: true})
			kind := g.Kind
			if len(f.left) > 0 {
				kind = golden.Headless
			}
			compare(t, m, g, kind)
			if kind == g.Kind {
				generate(t, m, g)
			}
		})
	}
}

// TestArchitectures: there is a checkpoint for each.
func TestArchitectures(t *testing.T) {
	made := map[string]bool{}
	for _, folder := range checkpoints(t) {
		if f, err := convert(folder); err == nil {
			made[f.arch] = true
		}
	}
	for _, a := range architectures {
		if !made[a.name] {
			t.Errorf("no checkpoint becomes architecture %s", a.name)
		}
	}
}

// compare runs the cases of a golden.
func compare(t *testing.T, m *golden.Model, g *golden.Golden, kind string) {
	t.Helper()
	outputs := 0
	for i := range g.Cases {
		c := &g.Cases[i]
		out, err := m.Case(kind, c)
		if err != nil {
			t.Fatalf("%s: %v", c.Name, err)
		}
		for name := range c.Outputs {
			if kind == golden.Headless && !strings.Contains(name, "hidden") && !strings.HasPrefix(name, "attn.") {
				continue
			}
			d, err := g.Compare(c, name, out[name])
			if err != nil {
				t.Error(err)
			} else if outputs++; !(d.Ratio <= 0.7) {
				t.Errorf("%s %s: max |diff| %.3g, %.3g of tol_strict", c.Name, name, d.Max, d.Ratio)
			}
		}
	}
	if outputs == 0 {
		t.Error("nothing was compared")
	}
}

// generate runs the generations of a golden.
func generate(t *testing.T, m *golden.Model, g *golden.Golden) {
	t.Helper()
	for i := range g.Generate {
		gen := &g.Generate[i]
		got, err := m.Generate(t.Context(), g, gen)
		if err != nil {
			t.Errorf("%s: %v", gen.Name, err)
		} else if !slices.EqualFunc(got.IDs, gen.OutputIDs, slices.Equal[[]int32]) {
			t.Errorf("%s: ids %v, want %v", gen.Name, got.IDs, gen.OutputIDs)
		}
	}
}

// TestMixed: a file whose matrices have types of their own, those of one layer
// too, gives what one of the same numbers in F32 does.
func TestMixed(t *testing.T) {
	kinds := map[quant.Type]int{}
	for _, folder := range checkpoints(t) {
		t.Run(filepath.Base(folder), func(t *testing.T) {
			f, err := convert(folder)
			if err != nil {
				t.Skip(err)
			}
			g, err := golden.Read(folder)
			if err != nil {
				t.Fatal(err)
			}
			defer g.Close() //nolint:errcheck // only read
			kind := g.Kind
			if len(f.left) > 0 {
				kind = golden.Headless
			}
			p17, err := g.Case("p17")
			if err != nil {
				p17 = &g.Cases[0]
			}
			outputs := func(choose func(*tensor) quant.Type) []float32 {
				out, err := load(t, written(t, f, choose), golden.Options{}).Case(kind, p17)
				if err != nil {
					t.Fatal(err)
				}
				return out["last_hidden"]
			}
			got := outputs(mixed)
			for i := range f.tensors {
				if x := &f.tensors[i]; len(x.shape) > 1 {
					kind := mixed(x)
					kinds[kind]++
					raw := make([]byte, kind.Bytes(len(x.data)))
					if err := errors.Join(quant.Encode(raw, x.data, kind), quant.Decode(x.data, raw, kind)); err != nil {
						t.Fatal(err)
					}
				}
			}
			want := outputs(func(*tensor) quant.Type { return quant.F32 })
			worst, scale := 0.0, 0.0
			for i, v := range want {
				worst, scale = max(worst, math.Abs(float64(got[i]-v))), max(scale, math.Abs(float64(v)))
			}
			if !(worst <= 2e-5*scale) {
				t.Errorf("differs by %.3g of %.3g", worst, scale)
			}
		})
	}
	if len(kinds) < 4 {
		t.Errorf("types %v: want several", kinds)
	}
}

func TestList(t *testing.T) {
	var out bytes.Buffer
	root := filepath.Dir(checkpoints(t)[0])
	if err := run([]string{"-list", "-root", root}, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| llama | llama |", "| gpt2-scale | none: no key for activation_function gelu"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the list has no %q:\n%s", want, out.String())
		}
	}
	t.Log("\n" + out.String())
}

// TestPooling: vectors are made as the file says.
func TestPooling(t *testing.T) {
	f, err := convert(filepath.Join("..", "..", "model", "testdata", "checkpoints", "bert-base"))
	if err != nil {
		t.Fatal(err)
	}
	keys := f.keys
	for kind, want := range map[uint32]string{0: "mean", 1: "mean", 2: "cls", 3: "last", 4: ""} {
		f.keys = append(slices.Clip(keys), key{"bert.pooling_type", kind})
		m, err := godwit.Open(t.Context(), written(t, f, mixed), godwit.Config{Device: "reference"})
		if want == "" {
			if !errors.Is(err, godwit.ErrUnsupported) {
				t.Errorf("pooling %d: %v", kind, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if in := m.Info(); in.Pooling != want {
			t.Errorf("pooling %d: %q, want %q", kind, in.Pooling, want)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestOpen: files without a tokenizer open as any other and take ids.
func TestOpen(t *testing.T) {
	opened := map[string]bool{}
	for _, folder := range checkpoints(t) {
		f, err := convert(folder)
		if err != nil || opened[f.arch] {
			continue
		}
		opened[f.arch] = true
		t.Run(f.arch, func(t *testing.T) {
			m, err := godwit.Open(t.Context(), written(t, f, mixed), godwit.Config{Device: "reference", Context: 32})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close() //nolint:errcheck // nothing is left to do
			ids := []int32{5, 9, 7}
			if f.arch == "bert" {
				if _, err := m.Embed(t.Context(), godwit.EmbedRequest{Tokens: [][]int32{ids}}); err != nil {
					t.Error(err)
				}
				return
			}
			r, err := m.Complete(t.Context(), godwit.Request{Tokens: ids, MaxTokens: 4, Sampling: godwit.Sampling{Temperature: new(0.0)}})
			if err != nil || len(r.IDs) == 0 {
				t.Fatalf("%v (%v)", r, err)
			}
			if _, err := m.Complete(t.Context(), godwit.Request{Prompt: "text", MaxTokens: 4}); !errors.Is(err, godwit.ErrUnsupported) {
				t.Errorf("text without a tokenizer: %v", err)
			}
		})
	}
}
