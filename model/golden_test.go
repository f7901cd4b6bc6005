package model_test

// Every checkpoint of testdata against PyTorch's outputs.

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/godwit-ml/godwit/ci/golden"
	"github.com/godwit-ml/godwit/cpu"
	"github.com/godwit-ml/godwit/cpu/simd"
	"github.com/godwit-ml/godwit/runtime"
)

// correct is the share of tol_strict that correct float32 arithmetic stays
// below on every output, whatever its order of summation.
const correct = 0.6

var checkpoints = []string{"gpt2", "gpt2-scale", "llama", "llama-linear", "llama-rope3", "llama-yarn",
	"bert-base", "bert-mlm", "bert-pretrain", "bert-qa", "bert-seqcls", "bert-tokcls", "t5", "t5-v11", "mt5",
	"roberta-mlm", "roberta-pad", "roberta-seqcls", "xlm-roberta-mlm", "distilbert-mlm", "electra-mlm",
	"deberta-v2-mlm", "modernbert-mlm", "bart",
	"gpt-neo", "opt-postln", "gptj", "codegen", "gpt-bigcode-mha", "starcoder2", "bloomberg", "palm-interleaved",
	"falcon-new", "falcon-alibi12", "gpt-neox", "phi",
	"mistral", "mixtral", "qwen2", "qwen3", "qwen3-moe", "qwen3-moe-raw", "gemma", "gemma2", "gemma3", "phi3", "phi3-longrope"}

func folder(name string) string { return filepath.Join("testdata", "checkpoints", name) }

// reference is a reference device that is closed with the test.
func reference(t testing.TB) runtime.Device {
	t.Helper()
	d := cpu.NewReference(cpu.Config{Threads: 2})
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// load loads a checkpoint for the length of a test.
func load(t testing.TB, path string, opt golden.Options) *golden.Model {
	t.Helper()
	if opt.Device == nil {
		opt.Device = reference(t)
	}
	m, err := golden.Load(path, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

func read(t testing.TB, dir string) *golden.Golden {
	t.Helper()
	g, err := golden.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

// strictly runs every case of a golden and compares every output.
func strictly(t *testing.T, m *golden.Model, g *golden.Golden) (worst float64, where string) {
	t.Helper()
	for i := range g.Cases {
		c := &g.Cases[i]
		out, err := m.Case(g.Kind, c)
		if err != nil {
			t.Fatalf("%s: %v", c.Name, err)
		}
		for name := range c.Outputs {
			d, err := g.Compare(c, name, out[name])
			if err != nil {
				t.Error(err)
				continue
			}
			if !(d.Ratio <= correct) {
				t.Errorf("%s %s: max |diff| %.3g at %d, %.3g of tol_strict, want at most %v", c.Name, name, d.Max, d.At, d.Ratio, correct)
			}
			if d.Ratio > worst {
				worst, where = d.Ratio, c.Name+" "+name
			}
		}
	}
	return worst, where
}

// TestGolden runs each checkpoint from both spellings of its configuration: whole
// prompts, and in chunks, with shuffled blocks and poisoned memory.
func TestGolden(t *testing.T) {
	for _, name := range checkpoints {
		for _, opt := range []golden.Options{
			{Config: "config.json"},
			{Config: "config.v4.json", Chunk: 7, BlockSize: 4, Hostile: true},
			{Config: "config.json", Chunk: 1, BlockSize: 5, Hostile: true},
		} {
			t.Run(fmt.Sprintf("%s/%s/%d", name, opt.Config, opt.Chunk), func(t *testing.T) {
				if _, err := os.Stat(filepath.Join(folder(name), opt.Config)); errors.Is(err, fs.ErrNotExist) {
					opt.Config = "config.json" // PaLM has one spelling
				}
				g := read(t, folder(name))
				worst, where := strictly(t, load(t, folder(name), opt), g)
				t.Logf("worst %.2f of tol_strict: %s", worst, where)
			})
		}
	}
}

// TestGoldenFast runs each checkpoint on the fast device in exact arithmetic, on
// its best path and on the portable one: whole prompts, and in chunks.
func TestGoldenFast(t *testing.T) {
	for _, p := range []simd.Path{simd.Best(), simd.Portable} {
		d, err := cpu.New(cpu.Options{Path: p.String(), Threads: 2, Exact: true})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		for _, name := range checkpoints {
			for _, opt := range []golden.Options{
				{Device: d, BlockSize: 32}, // the order of the cache's blocks is the fast one
				{Device: d, Chunk: 5, BlockSize: 16, Hostile: true},
				{Device: d, Chunk: 1, BlockSize: 6, Hostile: true},
			} {
				if underRace && opt.Chunk == 1 {
					continue // many steps of next to no work
				}
				t.Run(fmt.Sprintf("%v/%s/%d", p, name, opt.Chunk), func(t *testing.T) {
					strictly(t, load(t, folder(name), opt), read(t, folder(name)))
				})
			}
		}
	}
}

// TestOdd runs the checkpoints of ci/odd.py: configurations that no fixture has.
func TestOdd(t *testing.T) {
	folders, err := filepath.Glob(filepath.Join("testdata", "odd", "*"))
	if err != nil || len(folders) == 0 {
		t.Fatalf("%d checkpoints (%v)", len(folders), err)
	}
	for _, dir := range folders {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			g := read(t, dir)
			for _, opt := range []golden.Options{{}, {Chunk: 4, BlockSize: 3, Hostile: true}} {
				strictly(t, load(t, dir, opt), g)
			}
			d, err := cpu.New(cpu.Options{Exact: true})
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			strictly(t, load(t, dir, golden.Options{Device: d, Chunk: 6, Hostile: true}), g)
		})
	}
}
