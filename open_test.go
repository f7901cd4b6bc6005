package godwit_test

// Opening models: from where, of which formats, within which memory, and what is
// refused.

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/godwit-ml/godwit"
)

func openError(t *testing.T, cfg godwit.Config) error {
	m, err := godwit.Open(t.Context(), checkpoints+"gpt2", cfg)
	if err == nil {
		t.Cleanup(func() { _ = m.Close() })
	}
	return err
}

func TestBadModels(t *testing.T) {
	dir := t.TempDir()
	put := func(name string, files map[string]string) string {
		d := filepath.Join(dir, name)
		for file, from := range files {
			if err := os.MkdirAll(d, 0o755); err != nil {
				t.Fatal(err)
			}
			data := []byte(from)
			if src, ok := strings.CutPrefix(from, "@"); ok {
				var err error
				if data, err = os.ReadFile(checkpoints + src); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(filepath.Join(d, file), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		return d
	}
	weights := "@gpt2/model.safetensors"
	for name, test := range map[string]struct {
		path, want string
	}{
		"nothing there":  {filepath.Join(dir, "none"), "none"},
		"no config":      {put("a", map[string]string{"model.safetensors": weights}), "config.json"},
		"config no JSON": {put("b", map[string]string{"model.safetensors": weights, "config.json": "{"}), "config.json"},
		"pickle":         {put("c", map[string]string{"pytorch_model.bin": "x", "config.json": "@gpt2/config.json"}), "pytorch_model.bin"},
		"other config":   {put("d", map[string]string{"model.safetensors": weights, "config.json": "@gpt2-scale/config.json"}), "shape"},
		"bad generation": {put("e", map[string]string{"model.safetensors": weights, "config.json": "@gpt2/config.json", "generation_config.json": `{"temperature":"hot"}`}), "generation_config.json"},
		"one file":       {checkpoints + "gpt2/model.safetensors", "directory"},
	} {
		m, err := godwit.Open(t.Context(), test.path, godwit.Config{})
		var e *godwit.ModelError
		if !errors.As(err, &e) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %T %v", name, err, err)
		}
		if m != nil {
			t.Errorf("%s: a model and an error", name)
		}
	}
	if _, err := godwit.Open(t.Context(), put("f", map[string]string{"model.safetensors": weights, "config.json": `{"model_type":"rwkv"}`}), godwit.Config{}); !errors.Is(err, godwit.ErrUnsupported) || !strings.Contains(err.Error(), "llama") {
		t.Errorf("unknown family: %v", err)
	}
}

func TestMemoryLimit(t *testing.T) {
	var e *godwit.MemoryError
	if err := openError(t, godwit.Config{MemoryLimit: 1000}); !errors.As(err, &e) || e.Need <= e.Free {
		t.Errorf("a limit of 1000 bytes: %v", err)
	}
	m := open(t, "gpt2", godwit.Config{MemoryLimit: 64 << 20})
	if mem := m.Info().Memory; mem.Weights+mem.KV+mem.Scratch > mem.Limit || mem.KV == 0 || mem.Mapped == 0 {
		t.Errorf("%+v", mem)
	}
}

func TestKVTypes(t *testing.T) {
	want := complete(t, open(t, "gpt2", godwit.Config{}), request(1)).IDs
	for _, kv := range []string{"f32", "f16", "bf16"} {
		m := open(t, "gpt2", godwit.Config{KVDType: kv})
		if got := complete(t, m, request(1)).IDs; !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", kv, got, want)
		}
		if n := map[string]int64{"f32": 4, "f16": 2, "bf16": 2}[kv] * 2 * 3 * 48; m.Info().KVBytes != n {
			t.Errorf("%s: %d bytes a token, want %d", kv, m.Info().KVBytes, n)
		}
	}
}

func TestOpenFS(t *testing.T) {
	disk := os.DirFS(checkpoints)
	want := complete(t, open(t, "gpt2", godwit.Config{}), request(6)).IDs
	mem := fstest.MapFS{}
	err := fs.WalkDir(disk, "gpt2", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(disk, name)
		mem["deep/"+name] = &fstest.MapFile{Data: data}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, fsys := range map[string]fs.FS{"gpt2": disk, "deep/gpt2": mem} {
		m, err := godwit.OpenFS(t.Context(), fsys, name, godwit.Config{})
		if err != nil {
			t.Fatal(err)
		}
		if got := complete(t, m, request(6)).IDs; !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := godwit.OpenFS(t.Context(), mem, "none", godwit.Config{}); err == nil {
		t.Error("a missing folder opened")
	}
}

func TestInspect(t *testing.T) {
	in, err := godwit.Inspect(t.Context(), checkpoints+"llama", godwit.Config{})
	if err != nil {
		t.Fatal(err)
	}
	info := open(t, "llama", godwit.Config{}).Info()
	if len(in.Tensors) == 0 || in.Tensors[0].Bytes == 0 {
		t.Error("no tensors")
	}
	a, b := *in, info
	a.Tensors, a.Metadata, a.Memory, b.Memory = nil, nil, godwit.Memory{}, godwit.Memory{}
	if fmt.Sprint(a) != fmt.Sprint(b) {
		t.Errorf("Inspect and Info differ:\n%+v\n%+v", a, b)
	}
}

func TestSentencePieceModel(t *testing.T) {
	dir := t.TempDir()
	for _, file := range []string{"config.json", "model.safetensors", "tokenizer.model"} {
		data, err := os.ReadFile(checkpoints + "llama/" + file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, file), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	m, err := godwit.Open(t.Context(), dir, godwit.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	want := complete(t, open(t, "llama", godwit.Config{}), request(6))
	if got := complete(t, m, request(6)); !slices.Equal(got.IDs, want.IDs) || got.Text != want.Text {
		t.Errorf("%v %q, with tokenizer.json %v %q", got.IDs, got.Text, want.IDs, want.Text)
	}
	if len(m.Info().Unusual) != 0 {
		t.Errorf("unusual: %q", m.Info().Unusual)
	}
}

func TestGGUF(t *testing.T) {
	for file, tok := range map[string]string{"llama-Q4_0.gguf": "llama", "gpt2-Q8_0.gguf": "gpt2"} {
		m, err := godwit.Open(t.Context(), "model/testdata/gguf/"+file, godwit.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if in := m.Info(); in.Tokenizer == "" || len(in.Unusual) != 0 || in.Metadata != nil {
			t.Errorf("%s: tokenizer %q, unusual %q", file, in.Tokenizer, in.Unusual)
		}
		_, got, err := m.Render(request(4))
		if err != nil {
			t.Fatal(err)
		}
		_, want, err := open(t, tok, godwit.Config{}).Render(request(4))
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, the tokenizer.json it was made of %v, %v", file, got, want, err)
		}
		if r := complete(t, m, request(4)); len(r.IDs) != 4 || r.Text == "" {
			t.Errorf("%s: %+v", file, r.Choice)
		}
	}
	in, err := godwit.Inspect(t.Context(), "model/testdata/gguf/llama-Q4_0.gguf", godwit.Config{})
	if err != nil || in.Metadata["general.architecture"] != "llama" {
		t.Errorf("metadata %v, %v", in, err)
	}
}
