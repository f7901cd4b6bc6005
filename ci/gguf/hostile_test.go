package main

// Keys that say anything, in files of every architecture.

import (
	"fmt"
	"maps"
	"math"
	"testing"

	"github.com/godwit-ml/godwit/model"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/runtime/devicetest"
	"github.com/godwit-ml/godwit/weights"
)

// TestHostileKeys sets every key that an architecture has or may have to values of
// every type: there is an error or a model, and never a panic.
func TestHostileKeys(t *testing.T) {
	values := []any{uint32(0), uint32(1), uint32(3), uint32(1 << 20), uint32(math.MaxUint32), uint64(math.MaxUint64), int32(-1), float32(0.5),
		float32(math.Inf(1)), float32(math.NaN()), 1e300, "x", "yarn", "longrope", true, false, []bool{}, []bool{true}, []int32{1, 2}, []any{}}
	more := []string{"attention.sliding_window", "attention.sliding_window_pattern", "attention.scale", "attention.key_length", "attention.value_length",
		"attention.head_count_kv", "rope.scaling.type", "rope.scaling.factor", "rope.scaling.original_context_length", "rope.scaling.attn_factor",
		"rope.dimension_count", "rope.freq_base", "rope.freq_base_swa", "expert_count", "expert_used_count", "expert_feed_forward_length", "expert_weights_norm",
		"use_parallel_residual", "decoder_block_count", "decoder_start_token_id", "final_logit_softcapping", "attn_logit_softcapping"}
	done := map[string]bool{}
	for _, folder := range checkpoints(t) {
		f, err := convert(folder)
		if err != nil || done[f.arch] {
			continue
		}
		done[f.arch] = true
		ck, err := weights.Open(written(t, f, mixed))
		if err != nil {
			t.Fatal(err)
		}
		good := ck.Metadata()
		keys := []string{}
		for k := range good {
			if k != "general.architecture" {
				keys = append(keys, k)
			}
		}
		for _, k := range more {
			keys = append(keys, f.arch+"."+k)
		}
		models := 0
		for _, k := range keys {
			for _, v := range values {
				meta := maps.Clone(good)
				meta[k] = v
				s := runtime.NewStream(&devicetest.Null{}, nil)
				m, err := model.Load(s, ck, model.Source{File: fmt.Sprintf("%s %v", k, v), GGUF: meta}, model.Options{Context: 16})
				if err == nil && m.Info().Layers > 0 {
					models++
				}
				s.Close()
			}
		}
		if models == 0 {
			t.Errorf("%s: no change left a model", f.arch)
		}
		if err := ck.Close(); err != nil {
			t.Error(err)
		}
	}
}
