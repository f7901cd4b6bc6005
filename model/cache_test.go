package model_test

// The cache: copies of blocks, types of keys and values, and what a step costs.

import (
	"fmt"
	"strings"
	"testing"

	"github.com/godwit-ml/godwit/ci/golden"
	"github.com/godwit-ml/godwit/model"
	"github.com/godwit-ml/godwit/quant"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/runtime/devicetest"
)

// TestFork shares the blocks of a prompt between two sequences, copies the one
// they both write to, and lets them go on with different tokens.
func TestFork(t *testing.T) {
	for _, name := range []string{"gpt2", "llama"} {
		m := load(t, folder(name), golden.Options{})
		d := m.Model.Info().Hidden
		const size = 4
		c := newCache(t, m, runtime.F32, 12, size)
		prompt := count(10, 50) // two whole blocks and half of one
		first := []int32{7, 2, 9}
		step := func(ids []int32, past int, tables ...[]int32) []float32 {
			t.Helper()
			var b model.Batch
			for i, table := range tables {
				if err := b.AddDecoder(ids[i:i+1], past, table, size); err != nil {
					t.Fatal(err)
				}
			}
			return forward(t, m, &b, c)
		}
		var b model.Batch
		if err := b.AddDecoder(prompt, 0, first, size); err != nil {
			t.Fatal(err)
		}
		forward(t, m, &b, c)

		// Two blocks at once, of which one is not needed: order matters.
		m.Stream.Reset()
		c.Copy(m.Stream, []int32{9, 2}, []int32{4, 11})
		c.Copy(m.Stream, nil, nil)
		if err := m.Stream.Sync(); err != nil {
			t.Fatal(err)
		}
		second := []int32{7, 11, 4}
		for i, next := range [][]int32{{30, 31}, {40, 41}} {
			got := step(next, 10+i, first, second)
			for k := range next {
				ids := append(append([]int32{}, prompt...), []int32{30, 40}[:1]...)
				if k == 1 {
					ids[10] = 31
				}
				if i == 1 {
					ids = append(ids, next[k])
				}
				want := alone(t, m, ids)
				close32(t, fmt.Sprintf("%s: fork %d, token %d", name, k, i), got[k*d:(k+1)*d], want[len(want)-d:], 2e-5)
			}
		}
	}
}

// TestKVTypes runs decoders with smaller caches: near the golden, and not as near
// as with F32, or the type would not have been used.
func TestKVTypes(t *testing.T) {
	for _, row := range []struct {
		dtype runtime.DType
		limit float64 // NMSE
	}{{runtime.F16, 1e-5}, {runtime.BF16, 1e-3}, {runtime.Q8_0, 1e-2}} {
		for _, name := range []string{"gpt2", "gpt2-scale", "llama", "llama-linear", "llama-rope3", "llama-yarn"} {
			m := load(t, folder(name), golden.Options{KV: row.dtype, Chunk: 7, BlockSize: 4, Hostile: true})
			in := m.Model.Info()
			if row.dtype == runtime.Q8_0 && in.KVHeads*in.HeadDim%32 != 0 {
				if _, err := model.NewCache(m.Stream, in, row.dtype, 1, 4); err == nil || !strings.Contains(err.Error(), "multiple of 32") {
					t.Errorf("%s: a cache of %d wide rows of Q8_0: %v", name, in.KVHeads*in.HeadDim, err)
				}
				continue
			}
			g := read(t, folder(name))
			for i := range g.Cases {
				c := &g.Cases[i]
				out, err := m.Case(g.Kind, c)
				if err != nil {
					t.Fatalf("%s, %v: %v", name, row.dtype, err)
				}
				d, err := g.Compare(c, "logits", out["logits"])
				if err != nil || !(d.NMSE <= row.limit) {
					t.Errorf("%s %s: NMSE %.2g with keys and values in %v, want at most %.0g (%v)", name, c.Name, d.NMSE, row.dtype, row.limit, err)
				}
				if d.NMSE < row.limit*1e-5 && c.Name != "p1" {
					t.Errorf("%s %s: NMSE %.2g with keys and values in %v: too good to be true", name, c.Name, d.NMSE, row.dtype)
				}
			}
		}
	}
}

func TestCacheBytes(t *testing.T) {
	m := load(t, folder("llama-linear"), golden.Options{Device: &devicetest.Null{}})
	null := m.Stream.Device().(*devicetest.Null)
	for _, dtype := range []runtime.DType{quant.F32, quant.F16, quant.BF16, quant.Q8_0} {
		before := null.AllocBytes
		c, err := model.NewCache(m.Stream, m.Model.Info(), dtype, 3, 4)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := null.AllocBytes-before, model.CacheBytes(m.Model.Info(), dtype, 12); got != want {
			t.Errorf("%v: %d bytes, CacheBytes says %d", dtype, got, want)
		}
		if c.Close(); null.AllocBytes != before {
			t.Errorf("%v: %d bytes are left after Close", dtype, null.AllocBytes-before)
		}
	}
}

// TestStepAllocatesNothing counts what warm steps allocate in runtime, nn and
// model: nothing, neither on the host nor on the device.
func TestStepAllocatesNothing(t *testing.T) {
	for _, name := range checkpoints {
		null := &devicetest.Null{}
		m := load(t, folder(name), golden.Options{Device: null})
		s, in := m.Stream, m.Model.Info()
		if in.Kind == model.Seq2Seq {
			continue // their decoder's batches need sources
		}
		var c *model.Cache
		if in.Kind == model.Decoder {
			c = newCache(t, m, runtime.F32, 8, 4)
		}
		var b model.Batch
		logits := make([]float32, 2*in.Vocab)
		past := 0
		src, dst := []int32{1, 2}, []int32{6, 7}
		tables := [][]int32{{0, 1, 2, 3}, {4, 5}}
		step := func() {
			null.Reset()
			s.Reset()
			b.Reset()
			var errs [3]error
			if in.Kind == model.Decoder {
				errs[0] = b.AddDecoder([]int32{5}, past, tables[0], 4)
				errs[1] = b.AddDecoder([]int32{6}, past/2, tables[1], 4)
				past = (past + 1) % 15
				c.Copy(s, src, dst)
			} else {
				errs[0] = b.AddEncoder([]int32{5, 6}, nil, nil)
				errs[1] = b.AddEncoder([]int32{6}, nil, nil)
			}
			errs[2] = b.Check(in, c)
			h := m.Model.Forward(s, &b, c)
			if in.LM {
				s.DownloadF32(logits, m.Model.Logits(s, model.Rows(s, h, b.QStarts[:2])))
			}
			if err := s.Sync(); err != nil || errs != [3]error{} {
				t.Fatal(err, errs)
			}
		}
		step()
		step()
		ops, allocs := null.Len(), null.Allocs
		if n := testing.AllocsPerRun(50, step); n != 0 {
			t.Errorf("%s: %v allocations a step on the host", name, n)
		}
		if null.Allocs != allocs || null.Len() != ops || ops == 0 {
			t.Errorf("%s: %d operations and %d allocations on the device, were %d and %d", name, null.Len(), null.Allocs, ops, allocs)
		}
	}
}

// TestOperationsPerLayer holds the count of operations of a decode step: a fusion
// that is lost is a slowdown nobody sees in results.
func TestOperationsPerLayer(t *testing.T) {
	for name, want := range map[string]int{"gpt2": 8, "llama": 9, "bert-mlm": 7,
		"gpt-neo": 8, "opt-postln": 8, "gptj": 8, "codegen": 8, "gpt-bigcode-mha": 8, "starcoder2": 9, "bloomberg": 8, "palm-interleaved": 8,
		"falcon-new": 9, "falcon-alibi12": 8, "gpt-neox": 9, "phi": 8, "qwen3": 11, "gemma2": 13, "gemma3": 15, "mistral": 9, "mixtral": 12} {
		null := &devicetest.Null{}
		m := load(t, folder(name), golden.Options{Device: null})
		in := m.Model.Info()
		var c *model.Cache
		var b model.Batch
		err := b.AddEncoder([]int32{5, 6}, nil, nil)
		if in.Kind == model.Decoder {
			b.Reset()
			c = newCache(t, m, runtime.F32, 1, 4)
			err = b.AddDecoder([]int32{5, 6}, 0, []int32{0}, 4)
		}
		if err != nil {
			t.Fatal(err)
		}
		null.Reset()
		m.Model.Forward(m.Stream, &b, c)
		outside := map[string]int{"gpt2": 3, "bert-mlm": 4, "gpt-neo": 3, "opt-postln": 4, "gpt-bigcode-mha": 3, "bloomberg": 3}[name]
		if outside == 0 {
			outside = 2 // embeddings and a norm
		}
		if got := null.Len() - outside; got != want*in.Layers {
			t.Errorf("%s: %d operations in %d layers, want %d a layer: %v", name, got, in.Layers, want, null.Names())
		}
	}
}
