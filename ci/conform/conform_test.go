package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-ml/godwit/ci/golden"
	"github.com/godwit-ml/godwit/cpu"
	"github.com/godwit-ml/godwit/quant"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/runtime/devicetest"
)

var testdata = filepath.Join("..", "..", "model", "testdata", "checkpoints")

// results runs conform and reads what it wrote.
func results(t *testing.T, args ...string) (entries []map[string]any, dir, log string) {
	t.Helper()
	dir = t.TempDir()
	var out bytes.Buffer
	if err := run(t.Context(), append([]string{"-out", dir}, args...), &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	var file struct {
		Results []map[string]any `json:"results"`
	}
	if err := golden.ReadJSON(filepath.Join(dir, "RESULT.json"), &file); err != nil {
		t.Fatal(err)
	}
	return file.Results, dir, out.String()
}

// TestRun writes every golden of a few checkpoints, from both configurations.
func TestRun(t *testing.T) {
	for _, config := range []string{"config.json", "config.v4.json"} {
		entries, dir, log := results(t, "-root", testdata, "-config", config, "-no-fallback", "all", "gpt2", "bert-seqcls", "gpt2", "bert-mlm")
		kinds := map[any]int{}
		for _, e := range entries {
			kinds[e["kind"]]++
			if e["kind"] != "tensor" {
				continue
			}
			name := e["model"].(string)
			g, err := golden.Read(filepath.Join(testdata, name))
			if err != nil {
				t.Fatal(err)
			}
			c, err := g.Case(e["case"].(string))
			if err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(e["file"].(string))))
			if err != nil {
				t.Fatal(err)
			}
			x := make([]float32, len(b)/4)
			if err := quant.Decode(x, b, quant.F32); err != nil {
				t.Fatal(err)
			}
			if d, err := g.Compare(c, e["name"].(string), x); err != nil || !(d.Ratio <= 0.6) {
				t.Errorf("%v: %.3g of tol_strict (%v)", e, d.Ratio, err)
			}
			if err := g.Close(); err != nil {
				t.Error(err)
			}
		}
		// p1, p70 and batch have two outputs; p17 has three or two distributions
		// and four or three hidden states besides.
		if kinds["tensor"] != 15+13+15 || kinds["generate"] != 8 || kinds["fill_mask"] != 1 || kinds["e2e"] != 10 || !strings.Contains(log, "62 results of 3 fixtures, 0 left out") {
			t.Errorf("%v\n%s", kinds, log)
		}
	}
}

// TestLeftOut names what cannot be run, and goes on.
func TestLeftOut(t *testing.T) {
	root := t.TempDir()
	for name, config := range map[string]string{"a-rwkv": `{"model_type": "rwkv"}`, "variants/bad": `{"model_type": "gpt2"}`, "variants/good": ""} {
		if err := os.MkdirAll(filepath.Join(root, name), 0o700); err != nil {
			t.Fatal(err)
		}
		for file, text := range map[string]string{"config.json": config, "model.safetensors": "", "golden.json": "{}"} {
			if err := os.WriteFile(filepath.Join(root, name, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		text := `{"parent": "a-rwkv", "must_name": [["empty"]]}`
		if name == "variants/good" {
			text = `{"parent": "another"}`
		}
		if strings.HasPrefix(name, "variants/") {
			if err := os.WriteFile(filepath.Join(root, name, "variant.json"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	entries, _, log := results(t, "-root", root, "a-rwkv", "variants-of:a-rwkv")
	if len(entries) != 1 || entries[0]["kind"] != "refused" || entries[0]["model"] != "variants/bad" || !strings.Contains(entries[0]["error"].(string), "the file is empty") {
		t.Errorf("%v", entries)
	}
	if !strings.Contains(log, "left out: a-rwkv: ") || !strings.Contains(log, "1 left out") {
		t.Error(log)
	}
	// Of the two only one has the other configuration.
	tensors, err := os.ReadFile(filepath.Join(testdata, "gpt2", "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	for file, data := range map[string][]byte{"model.safetensors": tensors, "config.v4.json": []byte(`{"model_type": "lstm"}`)} {
		if err := os.WriteFile(filepath.Join(root, "a-rwkv", file), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	entries, _, log = results(t, "-root", root, "-config", "config.v4.json", "a-rwkv", "variants/bad")
	if len(entries) != 1 || !strings.Contains(log, `model_type "lstm"`) {
		t.Errorf("%v\n%s", entries, log)
	}
}

func TestUsage(t *testing.T) {
	for _, row := range []struct{ args, want string }{
		{"gpt2", "-out and at least one NAME"},
		{"-out OUT", "-out and at least one NAME"},
		{"-out OUT gpt5", "gpt5: there is no such fixture"},
		{"-out OUT ../checkpoints/none", "there is no such fixture"},
		{"-out OUT variants-of:gpt5", "there is no model gpt5"},
		{"-out OUT tokenizers/none", "there is no such fixture"},
		{"-out OUT -device cuda:99 gpt2", `-device cuda:99: cuda: `},
		{"-out OUT -device abacus gpt2", `-device "abacus" is none of`},
		{"-out OUT -dtype bf16 -device reference gpt2", "-dtype bf16: only the cpu device"},
		{"-out OUT -device cpu:mmx gpt2", `no path "mmx" here; there is: `},
		{"-out OUT -dtype f8 gpt2", `-dtype "f8" is none of`},
		{"-out OUT -no-fallback MatMul,Convolution gpt2", `there is no operation "Convolution"`},
		{"-out OUT -frobnicate gpt2", "frobnicate"},
	} {
		dir := filepath.Join(t.TempDir(), "out")
		args := append([]string{"-root", testdata}, strings.Fields(strings.ReplaceAll(row.args, "OUT", dir))...)
		if err := run(t.Context(), args, io.Discard); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want an error that says %q", row.args, err, row.want)
		}
	}
}

// TestNoFallback runs on a device that declines an operation.
func TestNoFallback(t *testing.T) {
	host := cpu.NewReference(cpu.Config{Threads: 1})
	dev := devicetest.NewRefusing(host, true, func(op runtime.Op) string {
		if op.Name() == "Norm" {
			return "no norms here"
		}
		return ""
	})
	w, err := newWriter(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := &session{ctx: t.Context(), options: &options{root: testdata, config: "config.json"}, out: w, stderr: io.Discard,
		device: &device{dev: dev, fallback: host}, falls: map[string]int64{}}
	defer func() {
		if err := s.device.close(); err != nil {
			t.Error(err)
		}
	}()
	if err := runModel(s, "llama"); err != nil {
		t.Fatal(err)
	}
	if s.skipped != 0 || w.entries != 28 {
		t.Errorf("%d results, %d left out", w.entries, s.skipped)
	}
	if err := s.fallbacks(map[string]bool{"MatMul": true}); err != nil {
		t.Errorf("nothing else fell back, but: %v", err)
	}
	if err := s.fallbacks(map[string]bool{"Norm": true}); err == nil || !strings.Contains(err.Error(), "Norm: no norms here (") {
		t.Error(err)
	}
	if err := w.close(); err != nil {
		t.Error(err)
	}
}

func TestOperations(t *testing.T) {
	all, err := operations("all")
	if err != nil || len(all) != 10 {
		t.Errorf("%v (%v)", all, err)
	}
	some, err := operations("Gather, TopK")
	if err != nil || len(some) != 2 || !some["TopK"] {
		t.Errorf("%v (%v)", some, err)
	}
	if none, err := operations(""); err != nil || len(none) != 0 {
		t.Errorf("%v (%v)", none, err)
	}
}

// TestNames expands names in the fixtures, where they are.
func TestNames(t *testing.T) {
	root := os.Getenv("FIXTURES")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared", "fixtures")
	}
	if !exists(root, "check.py") {
		t.Skip("the full fixtures are absent: set FIXTURES to their folder")
	}
	names := func(args ...string) (list []string) {
		jobs, err := expand(root, args)
		if err != nil {
			t.Fatal(err)
		}
		for _, j := range jobs {
			list = append(list, j.name)
		}
		return list
	}
	all := names("all")
	for _, n := range []string{"gpt2", "t5", "variants/bad-empty", "variants/t5-bf16", "tokenizers/bbpe-gpt2", "sampling", "gguf", "quant"} {
		if !slices.Contains(all, n) {
			t.Errorf("all lacks %s", n)
		}
	}
	if slices.Contains(all, "tokenizers/real-minilm") {
		t.Error("all has the tokenizer of a real model")
	}
	for _, n := range names("variants-of:bert-base") {
		if n != "variants/bert-base-prefixed" {
			t.Errorf("variants-of:bert-base has %s", n)
		}
	}
}

func TestWriter(t *testing.T) {
	dir := t.TempDir()
	w, err := newWriter(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.add(entry{"kind": "x", "values": []float32{1}, "row": 0, "ids": list[int32](nil)}); err != nil {
		t.Fatal(err)
	}
	if err := w.tensor("a/b.c", []float32{1, 2}, entry{"kind": "y"}); err != nil {
		t.Fatal(err)
	}
	nan := float32(0)
	nan /= nan
	if err := w.add(entry{"values": []float32{nan}}); err == nil {
		t.Error("NaN is written as JSON")
	}
	if err := w.close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "RESULT.json"))
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	if want := `{"results": [` + "\n" + `{"ids":[],"kind":"x","row":0,"values":[1]},` + "\n" + `{"file":"tensors/a/b.c.f32","kind":"y"}` + "\n]}\n"; string(b) != want {
		t.Errorf("%s", b)
	}
}
