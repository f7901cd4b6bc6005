package model_test

// Random checkpoints of every family against float64: what the reference device
// gives in chunks, through shuffled blocks and poisoned memory, is what formulas
// in float64 give of the whole text.

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/godwit-ml/godwit/ci/golden"
	"github.com/godwit-ml/godwit/model"
	"github.com/godwit-ml/godwit/runtime/devicetest"
	"github.com/godwit-ml/godwit/weights"
)

// sizes are drawn for one random configuration.
type sizes struct {
	r       *rand.Rand
	vocab   int
	layers  int
	heads   int
	kv      int // divides heads
	headDim int // even
	inner   int
	context int
}

// width is heads·headDim.
func (s *sizes) width() int { return s.heads * s.headDim }

// odds is true once in n times.
func (s *sizes) odds(n int) bool { return s.r.IntN(n) == 0 }

// draw draws sizes that are multiples of nothing. Every second head is as large
// as those of published models.
func draw(r *rand.Rand, i int) *sizes {
	s := &sizes{r: r, vocab: 51 + r.IntN(60), layers: 2 + r.IntN(2), kv: 1 + r.IntN(3), inner: 17 + r.IntN(40), context: 40 + r.IntN(20)}
	s.headDim = 2 * (2 + r.IntN(9))
	s.heads = s.kv * (1 + r.IntN(3))
	if i%2 == 1 {
		s.headDim = []int{80, 96, 128}[i/2%3]
		s.heads, s.kv, s.layers = 3, 1+2*r.IntN(2), 2
	}
	return s
}

// random draws a configuration of each family: as config.json spells it.
var random = map[string]func(s *sizes) map[string]any{
	"gpt2": func(s *sizes) map[string]any {
		return gptConfig(s, map[string]any{"scale_attn_by_inverse_layer_idx": s.odds(2), "scale_attn_weights": !s.odds(4)})
	},
	"gpt_neo": func(s *sizes) map[string]any {
		types := make([]string, s.layers)
		for i := range types {
			types[i] = []string{"global", "local"}[s.r.IntN(2)]
		}
		return map[string]any{"vocab_size": s.vocab, "max_position_embeddings": s.context, "hidden_size": s.width(), "intermediate_size": s.inner,
			"num_layers": s.layers, "num_heads": s.heads, "attention_layers": types, "window_size": 1 + s.r.IntN(6)}
	},
	"opt": func(s *sizes) map[string]any {
		return map[string]any{"vocab_size": s.vocab, "max_position_embeddings": s.context, "hidden_size": s.width(), "ffn_dim": s.inner,
			"num_hidden_layers": s.layers, "num_attention_heads": s.heads, "do_layer_norm_before": s.odds(2), "word_embed_proj_dim": 11 + s.r.IntN(20),
			"enable_bias": !s.odds(3), "layer_norm_elementwise_affine": !s.odds(3), "_remove_final_layer_norm": s.odds(3), "tie_word_embeddings": s.odds(2)}
	},
	"gptj": func(s *sizes) map[string]any {
		return gptConfig(s, map[string]any{"rotary_dim": 2 * (1 + s.r.IntN(s.headDim/2)), "tie_word_embeddings": s.odds(2)})
	},
	"codegen": func(s *sizes) map[string]any {
		s.heads = 4 * (1 + s.r.IntN(2))
		s.headDim = min(s.headDim, 24)
		return gptConfig(s, map[string]any{"rotary_dim": 2 * (1 + s.r.IntN(s.headDim/2))})
	},
	"gpt_bigcode": func(s *sizes) map[string]any {
		return gptConfig(s, map[string]any{"multi_query": s.odds(2), "activation_function": "gelu", "scale_attn_weights": !s.odds(4)})
	},
	"starcoder2": func(s *sizes) map[string]any {
		return llamaConfig(s, map[string]any{"norm_epsilon": 1e-2, "sliding_window": 1 + s.r.IntN(9), "use_bias": s.odds(2), "tie_word_embeddings": s.odds(2)})
	},
	"bloom": func(s *sizes) map[string]any {
		s.heads = 1 + s.r.IntN(6)
		return map[string]any{"vocab_size": s.vocab, "hidden_size": s.width(), "n_layer": s.layers, "n_head": s.heads,
			"apply_residual_connection_post_layernorm": s.odds(3), "tie_word_embeddings": s.odds(2)}
	},
	"falcon": func(s *sizes) map[string]any {
		c := map[string]any{"vocab_size": s.vocab, "hidden_size": s.width(), "ffn_hidden_size": s.inner, "num_hidden_layers": s.layers,
			"num_attention_heads": s.heads, "alibi": s.odds(3), "bias": s.odds(2), "multi_query": s.odds(2), "parallel_attn": s.odds(2), "max_position_embeddings": s.context}
		if s.odds(2) {
			c["new_decoder_architecture"], c["parallel_attn"], c["num_kv_heads"], c["num_ln_in_parallel_attn"] = true, true, s.kv, 1+s.r.IntN(2)
		}
		return c
	},
	"palm": func(s *sizes) map[string]any {
		return llamaConfig(s, map[string]any{"num_key_value_heads": 1, "layer_norm_eps": 1e-2, "rope_interleaved": s.odds(2), "logit_scale": 0.3})
	},
	"gpt_neox": func(s *sizes) map[string]any {
		c := llamaConfig(s, map[string]any{"hidden_size": s.width(), "use_parallel_residual": s.odds(2), "attention_bias": s.odds(2), "tie_word_embeddings": s.odds(2), "rotary_pct": 1.0})
		if s.headDim%8 == 0 {
			c["rotary_pct"] = 0.25
		}
		return c
	},
	"phi": func(s *sizes) map[string]any {
		return llamaConfig(s, map[string]any{"hidden_act": "gelu_new", "qk_layernorm": s.odds(2), "partial_rotary_factor": float64(2+s.r.IntN(s.headDim/2-1)*2) / float64(s.headDim),
			"tie_word_embeddings": s.odds(2)})
	},
	"llama": func(s *sizes) map[string]any {
		return llamaConfig(s, map[string]any{"attention_bias": s.odds(2), "mlp_bias": s.odds(2), "tie_word_embeddings": s.odds(2)})
	},
	"mistral": func(s *sizes) map[string]any {
		return llamaConfig(s, map[string]any{"sliding_window": 1 + s.r.IntN(9)})
	},
	"mixtral": func(s *sizes) map[string]any {
		experts := 2 + s.r.IntN(5)
		return llamaConfig(s, map[string]any{"sliding_window": nil, "num_local_experts": experts, "num_experts_per_tok": 1 + s.r.IntN(experts)})
	},
	"qwen2": func(s *sizes) map[string]any {
		return llamaConfig(s, map[string]any{"hidden_size": s.width(), "use_sliding_window": s.odds(2), "sliding_window": 1 + s.r.IntN(6), "max_window_layers": s.r.IntN(3),
			"tie_word_embeddings": s.odds(2)})
	},
	"qwen3": func(s *sizes) map[string]any {
		return llamaConfig(s, map[string]any{"attention_bias": s.odds(2), "rms_norm_eps": 1e-2, "rope_scaling": map[string]any{"type": "linear", "factor": 3.0}})
	},
	"qwen3_moe": func(s *sizes) map[string]any {
		experts := 2 + s.r.IntN(5)
		return llamaConfig(s, map[string]any{"num_experts": experts, "num_experts_per_tok": 1 + s.r.IntN(experts), "moe_intermediate_size": 5 + s.r.IntN(20),
			"norm_topk_prob": s.odds(2), "decoder_sparse_step": 1 + s.r.IntN(2), "mlp_only_layers": []int{s.r.IntN(4)}})
	},
	"gemma": func(s *sizes) map[string]any {
		return llamaConfig(s, map[string]any{"attention_bias": s.odds(2), "rms_norm_eps": 1e-2})
	},
	"gemma2": func(s *sizes) map[string]any {
		return llamaConfig(s, map[string]any{"sliding_window": 1 + s.r.IntN(6), "query_pre_attn_scalar": 5 + s.r.IntN(30), "attn_logit_softcapping": 3.0,
			"final_logit_softcapping": 2.0})
	},
	"gemma3_text": func(s *sizes) map[string]any {
		// Queries and keys are normed: scores reach head_dim over the root of this. Much larger ones saturate the softmax and hide mistakes.
		return llamaConfig(s, map[string]any{"sliding_window": 1 + s.r.IntN(6), "query_pre_attn_scalar": 24 + s.r.IntN(30), "sliding_window_pattern": 2 + s.r.IntN(2),
			"rope_local_base_freq": 90.0, "rope_theta": 700.0})
	},
	"phi3": func(s *sizes) map[string]any {
		c := llamaConfig(s, map[string]any{"hidden_size": s.width(), "sliding_window": 1 + s.r.IntN(9), "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2})
		if s.odds(2) { // of two texts, one may be longer than those the short factors are for
			long, short := make([]float64, s.headDim/2), make([]float64, s.headDim/2)
			for i := range long {
				short[i], long[i] = 1+s.r.Float64(), 2+s.r.Float64()
			}
			c["original_max_position_embeddings"] = 5 + s.r.IntN(12)
			c["rope_scaling"] = map[string]any{"type": "longrope", "short_factor": short, "long_factor": long}
		}
		return c
	},
	"bert": func(s *sizes) map[string]any {
		return map[string]any{"architectures": []string{"BertForMaskedLM"}, "vocab_size": s.vocab, "max_position_embeddings": s.context, "type_vocab_size": 1 + s.r.IntN(3),
			"hidden_size": s.width(), "intermediate_size": s.inner, "num_hidden_layers": s.layers, "num_attention_heads": s.heads, "layer_norm_eps": 1e-3}
	},
	"t5": func(s *sizes) map[string]any {
		return map[string]any{"vocab_size": s.vocab, "d_model": 13 + s.r.IntN(50), "d_kv": s.headDim, "d_ff": s.inner, "num_layers": s.layers, "num_decoder_layers": 1 + s.r.IntN(3),
			"num_heads": s.heads, "relative_attention_num_buckets": 4 + 2*s.r.IntN(5), "relative_attention_max_distance": 12 + s.r.IntN(20),
			"feed_forward_proj": []string{"relu", "gated-gelu"}[s.r.IntN(2)], "tie_word_embeddings": s.odds(2)}
	},
}

// gptConfig spells sizes as GPT-2's configuration does.
func gptConfig(s *sizes, more map[string]any) map[string]any {
	return joined(map[string]any{"vocab_size": s.vocab, "n_positions": s.context, "n_embd": s.width(), "n_layer": s.layers, "n_head": s.heads, "n_inner": s.inner}, more)
}

// llamaConfig spells sizes as Llama's configuration does, of a hidden size that
// is not that of all heads.
func llamaConfig(s *sizes, more map[string]any) map[string]any {
	c := map[string]any{"vocab_size": s.vocab, "max_position_embeddings": s.context, "hidden_size": 13 + s.r.IntN(70), "intermediate_size": s.inner,
		"num_hidden_layers": s.layers, "num_attention_heads": s.heads, "num_key_value_heads": s.kv, "head_dim": s.headDim}
	if more["qk_layernorm"] != nil || more["hidden_size"] != nil {
		c["hidden_size"] = s.width()
	}
	return joined(c, more)
}

func joined(a, b map[string]any) map[string]any {
	for k, v := range b {
		a[k] = v
	}
	return a
}

var wanted = regexp.MustCompile(`tensor (\S+): (?:missing|shape \[[0-9 ]*\], want \[([0-9 ]+)\])`)

// sow writes a checkpoint of random weights for a configuration. Which tensors it
// takes the loader says itself: it is asked until it misses none.
func sow(t *testing.T, config map[string]any, r *rand.Rand) string {
	t.Helper()
	c := checkpoint{config: config, tensors: map[string]stored{}}
	const spare = 64 // a configuration with more layers or experts than the file has tensors is refused
	for i := range spare {
		c.tensors[fmt.Sprintf("unused.%d", i)] = zeros(1)
	}
	dir := t.TempDir()
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "config.json"), text)
	for range 300 {
		writeFile(t, filepath.Join(dir, "model.safetensors"), safetensors(c.tensors))
		m, err := golden.Load(dir, golden.Options{Device: &devicetest.Null{}})
		if err == nil {
			m.Close()
			return dir
		}
		bad := (*weights.Error)(nil)
		if !errors.As(err, &bad) {
			t.Fatalf("%s: %v", text, err)
		}
		found := wanted.FindAllStringSubmatch(bad.Reason, -1)
		for _, f := range found {
			shape := []int{1}
			for i, d := range strings.Fields(f[2]) {
				n, _ := strconv.Atoi(d)
				shape = append(shape[:i], n)
			}
			c.tensors[f[1]] = noise(r, f[1], shape)
		}
		for i := range spare {
			if len(found) == 0 {
				delete(c.tensors, fmt.Sprintf("unused.%d", i))
			}
		}
	}
	t.Fatalf("%s: the loader is never content", text)
	return ""
}

// noise is a tensor of random values: large enough that every part of a model
// shows in its result, weights of norms around 1.
func noise(r *rand.Rand, name string, shape []int) stored {
	n := 1
	for _, d := range shape {
		n *= d
	}
	last := shape[len(shape)-1]
	v := make([]float32, n)
	for i := range v {
		switch x := float32(r.NormFloat64()); {
		case len(shape) > 1:
			v[i] = x * 1.2 / float32(last) * float32(min(last, 8)) / 3
		case strings.HasSuffix(name, "weight"):
			v[i] = 1 + 0.3*x
		default:
			v[i] = 0.3 * x
		}
	}
	return f32(shape, v...)
}

// TestPlain draws configurations of every family.
func TestPlain(t *testing.T) { plainFamilies(t, random, 6) }

// plainFamilies draws n configurations of each family.
func plainFamilies(t *testing.T, families map[string]func(*sizes) map[string]any, n int) {
	for modelType, config := range families {
		for i := range n {
			t.Run(fmt.Sprintf("%s/%d", modelType, i), func(t *testing.T) {
				t.Parallel()
				r := rand.New(rand.NewPCG(uint64(i), uint64(len(modelType))<<8+uint64(modelType[0])))
				c := config(draw(r, i))
				c["model_type"] = modelType
				dir := sow(t, c, r)
				text, _ := json.Marshal(c)
				t.Logf("%s", text)
				plain(t, dir, r)
			})
		}
	}
}

// plain compares the model of a folder on the reference device with the oracles
// in float64, on random texts.
func plain(t *testing.T, dir string, r *rand.Rand) {
	t.Helper()
	exact := load(t, dir, golden.Options{Device: &devicetest.Exact{}, BlockSize: 64})
	in := exact.Model.Info()
	c, kind := randomCase(in, r)
	want, err := exact.Case(kind, c)
	if err != nil {
		t.Fatal(err)
	}
	for _, opt := range []golden.Options{{}, {Chunk: 1 + r.IntN(6), BlockSize: 1 + r.IntN(7), Hostile: true}} {
		got, err := load(t, dir, opt).Case(kind, c)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(want) || in.LM && want["logits"] == nil {
			t.Errorf("%d outputs, want %d", len(got), len(want))
		}
		for name := range want {
			d, scale := golden.Compare(got[name], want[name]), 0.0
			for _, x := range want[name] {
				scale = max(scale, float64(x), -float64(x))
			}
			if !(d.Max <= 1e-5*scale) || scale == 0 {
				t.Errorf("%s, chunks of %d: max |diff| %.3g at %d of %d, largest value %.3g", name, opt.Chunk, d.Max, d.At, len(want[name]), scale)
			}
		}
	}
}

// randomCase is two texts of unequal length, and all that can be seen of them.
func randomCase(in model.Info, r *rand.Rand) (c *golden.Case, kind string) {
	text := func(n int) (row, mask []int32) {
		for i := range 13 {
			row = append(row, r.Int32N(int32(in.Vocab)))
			mask = append(mask, int32(min(1, max(0, n-i))))
		}
		return row, mask
	}
	c = &golden.Case{Name: "random", Outputs: map[string]golden.Output{}}
	for _, n := range []int{13, 1 + r.IntN(12)} {
		row, mask := text(n)
		c.IDs, c.Mask = append(c.IDs, row), append(c.Mask, mask)
		row, _ = text(13)
		c.Decoder = append(c.Decoder, row[:9])
		if in.Types > 0 {
			types := make([]int32, 13)
			for i := range types {
				types[i] = r.Int32N(int32(in.Types))
			}
			c.Types = append(c.Types, types)
		}
	}
	for _, stack := range []string{"", "encoder_", "decoder_"} {
		c.Outputs[stack+"hidden.0"], c.Outputs[stack+"attn.0"] = golden.Output{}, golden.Output{}
	}
	switch {
	case in.Kind == model.Decoder:
		return c, "causal"
	case in.Kind == model.Seq2Seq:
		return c, "seq2seq"
	case in.LM:
		return c, "masked"
	}
	return c, "encoder"
}
