package model_test

// The fields of the older decoders' configurations: other spellings, defaults,
// what is refused.

import (
	"fmt"
	"testing"

	"github.com/godwit-ml/godwit/ci/golden"
)

// TestDecoderConfigErrors breaks one field at a time.
func TestDecoderConfigErrors(t *testing.T) {
	for _, row := range []configError{
		{"gpt-neo", "attention_layers", []string{"global", "local", "global"}, "attention_types: name 3 layers, num_layers is 4", false},
		{"gpt-neo", "attention_layers", []string{"global", "local", "global", "sparse"}, `attention_types "sparse" is not supported; supported: global, local`, true},
		{"gpt-neo", "window_size", 0, "window_size: is 0", false},
		{"gpt-neo", "num_heads", 5, "num_heads: 5 does not divide 48", false},
		{"gpt-neo", "activation_function", "quick_gelu", `activation_function "quick_gelu"`, true},
		{"gpt-neo", "architectures", []string{"GPTNeoForTokenClassification"}, `architecture "GPTNeoForTokenClassification"`, true},
		{"opt-postln", "ffn_dim", 0, "ffn_dim: is 0", false},
		{"opt-postln", "word_embed_proj_dim", -1, "word_embed_proj_dim: is -1", false},
		{"opt-postln", "num_attention_heads", 5, "num_attention_heads: 5 does not divide 48", false},
		{"gptj", "rotary_dim", 0, "rotary_dim: is 0", false},
		{"gptj", "rotary_dim", 7, "rotary_dim: is 7 of a head of 16", false},
		{"gptj", "rotary_dim", 18, "rotary_dim: is 18 of a head of 16", false},
		{"gptj", "layer_norm_epsilon", -1, "layer_norm_epsilon: is -1", false},
		{"codegen", "n_head", 2, "n_head: 4 does not divide 2", false},
		{"gpt-bigcode-mha", "add_cross_attention", true, "add_cross_attention true", true},
		{"starcoder2", "sliding_window", 0, "sliding_window: is 0", false},
		{"starcoder2", "num_key_value_heads", 3, "num_key_value_heads: 3 does not divide 4", false},
		{"starcoder2", "rope_parameters.rope_type", "axial", `rope_parameters.rope_type "axial"`, true},
		{"starcoder2", "rope_parameters.partial_rotary_factor", 0.5, "rope_parameters.partial_rotary_factor 0.5", true},
		{"bloomberg", "n_head", 7, "n_head: 7 does not divide 60", false},
		{"bloomberg", "seq_length", -1, "seq_length: is -1", false},
		{"palm-interleaved", "num_key_value_heads", 2, "num_key_value_heads 2 is not supported; supported: 1", true},
		{"palm-interleaved", "tie_word_embeddings", false, "tie_word_embeddings false", true},
		{"palm-interleaved", "hidden_act", "gelu", "hidden_act gelu", true},
		{"palm-interleaved", "logit_scale", 0, "logit_scale: is 0", false},
		{"palm-interleaved", "head_dim", 15, "rope", false},
		{"falcon-new", "parallel_attn", false, "new_decoder_architecture true with parallel_attn false", true},
		{"falcon-new", "num_ln_in_parallel_attn", 3, "num_ln_in_parallel_attn 3 is not supported; supported: 1, ", true},
		{"falcon-new", "num_kv_heads", 3, "num_kv_heads: 3 does not divide 8", false},
		{"falcon-new", "activation", "mish", `activation "mish"`, true},
		{"falcon-alibi12", "num_ln_in_parallel_attn", 2, "num_ln_in_parallel_attn 2", true},
		{"falcon-alibi12", "num_kv_heads", 6, "num_kv_heads: is 6 of 12 heads", false},
		{"gpt-neox", "head_dim", 8, "head_dim 8", true},
		{"gpt-neox", "rope_parameters.partial_rotary_factor", 0.2, "rope_parameters.partial_rotary_factor: is 0.2 of a head of 16: want an even number", false},
		{"gpt-neox", "layer_norm_eps", 0, "layer_norm_eps: is 0", false},
		{"phi", "rope_parameters.partial_rotary_factor", 1.5, "rope_parameters.partial_rotary_factor: is 1.5", false},
		{"phi", "num_key_value_heads", 2, "num_key_value_heads: 2 does not divide 3", false},
	} {
		row.check(t)
	}
	// What only contradicts itself together.
	c := base(t, "gpt-neo")
	delete(c.config, "attention_layers")
	for _, types := range []any{[]any{[]any{"global", 2}}, []any{[]any{[]string{"global"}, -1}}, []any{[]any{[]string{"global"}, 1 << 40}}, []any{[]any{[]string{}, 1 << 40}}} {
		c.config["attention_types"] = types
		if _, err := golden.Load(c.write(t), golden.Options{Device: reference(t)}); err == nil {
			t.Errorf("attention_types %v were taken", types)
		}
	}
	c = base(t, "bloomberg")
	c.config["slow_but_exact"], c.config["pretraining_tp"] = true, 4
	if _, err := golden.Load(c.write(t), golden.Options{Device: reference(t)}); err == nil {
		t.Error("slow_but_exact was taken")
	}
}

// TestDecoderSpellings spells configurations otherwise, or leaves fields to their
// defaults: the results stay.
func TestDecoderSpellings(t *testing.T) {
	for _, row := range []struct {
		base   string
		rename map[string]string
		remove []string
	}{
		{"gpt-neo", map[string]string{"num_layers": "num_hidden_layers", "num_heads": "num_attention_heads"},
			[]string{"attention_layers", "activation_function", "layer_norm_epsilon", "intermediate_size", "tie_word_embeddings", "architectures"}},
		{"opt-postln", nil, []string{"activation_function", "enable_bias", "layer_norm_elementwise_affine", "_remove_final_layer_norm", "tie_word_embeddings", "architectures"}},
		{"gptj", map[string]string{"n_embd": "hidden_size", "n_layer": "num_hidden_layers", "n_head": "num_attention_heads", "n_positions": "max_position_embeddings"},
			[]string{"activation_function", "layer_norm_epsilon", "n_inner", "tie_word_embeddings", "architectures"}},
		{"codegen", map[string]string{"n_embd": "hidden_size", "n_layer": "num_hidden_layers"}, []string{"n_inner", "tie_word_embeddings"}},
		{"gpt-bigcode-mha", map[string]string{"n_embd": "hidden_size", "n_head": "num_attention_heads"},
			[]string{"activation_function", "layer_norm_epsilon", "n_inner", "scale_attn_weights", "tie_word_embeddings", "num_key_value_heads"}},
		{"starcoder2", nil, []string{"hidden_act", "norm_epsilon", "sliding_window", "use_bias", "rope_parameters", "num_key_value_heads", "tie_word_embeddings"}},
		{"bloomberg", map[string]string{"hidden_size": "n_embed", "n_layer": "num_hidden_layers", "n_head": "num_attention_heads"},
			[]string{"layer_norm_epsilon", "apply_residual_connection_post_layernorm", "tie_word_embeddings"}},
		{"falcon-new", map[string]string{"hidden_size": "n_embed"}, []string{"num_ln_in_parallel_attn", "parallel_attn", "multi_query", "bias", "alibi", "activation",
			"ffn_hidden_size", "layer_norm_epsilon", "tie_word_embeddings", "rope_parameters"}},
		{"falcon-alibi12", nil, []string{"num_kv_heads", "num_ln_in_parallel_attn", "new_decoder_architecture", "ffn_hidden_size"}},
		{"gpt-neox", nil, []string{"rope_parameters", "hidden_act", "use_parallel_residual", "attention_bias", "layer_norm_eps", "tie_word_embeddings"}},
		{"phi", nil, []string{"rope_parameters", "hidden_act", "qk_layernorm", "num_key_value_heads", "layer_norm_eps", "tie_word_embeddings"}},
	} {
		t.Run(row.base, func(t *testing.T) {
			c := base(t, row.base)
			for from, to := range row.rename {
				c.config[to] = c.config[from]
				c.config[from] = 3 // where both are there, the other counts
			}
			for _, field := range row.remove {
				if _, ok := c.config[field]; !ok {
					t.Errorf("there is no field %s", field)
				}
				delete(c.config, field)
			}
			strictly(t, load(t, c.write(t), golden.Options{}), read(t, folder(row.base)))
		})
	}
}

// TestDecoderNames stores checkpoints as they are found on the hub: without the
// prefix of the body, with buffers, with a copy of a tied head.
func TestDecoderNames(t *testing.T) {
	for name, row := range map[string]struct {
		prefix, buffer, tied string
	}{
		"gpt-neo":         {"transformer.", "h.0.attn.attention.masked_bias", "lm_head.weight"},
		"opt-postln":      {"model.", "", "lm_head.weight"},
		"gptj":            {"transformer.", "h.1.attn.masked_bias", ""},
		"codegen":         {"transformer.", "h.1.attn.causal_mask", ""},
		"gpt-bigcode-mha": {"transformer.", "h.0.attn.bias", "lm_head.weight"},
		"starcoder2":      {"model.", "layers.0.self_attn.rotary_emb.inv_freq", "lm_head.weight"},
		"bloomberg":       {"transformer.", "", "lm_head.weight"},
		"falcon-new":      {"transformer.", "h.0.self_attention.rotary_emb.inv_freq", "lm_head.weight"},
		"gpt-neox":        {"gpt_neox.", "layers.0.attention.rotary_emb.inv_freq", ""},
		"phi":             {"model.", "layers.0.self_attn.rotary_emb.inv_freq", ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := base(t, name)
			c.rename(names(row.prefix, ""))
			for _, extra := range []string{row.buffer, row.tied} {
				if extra != "" {
					c.tensors[extra] = zeros(2, 2)
				}
			}
			g := read(t, folder(name))
			strictly(t, load(t, c.write(t), golden.Options{}), g)
		})
	}
	c := base(t, "gpt-neox")
	c.rename(names("embed_out.", "lm_head."))
	strictly(t, load(t, c.write(t), golden.Options{}), read(t, folder("gpt-neox")))
}

// TestDecoderValues changes fields that have to be honoured: each must reach the
// result.
func TestDecoderValues(t *testing.T) {
	for base, fields := range map[string]map[string]any{
		"gpt-neo":          {"window_size": 5, "attention_layers": []string{"local", "global", "local", "global"}, "layer_norm_epsilon": 0.1, "activation_function": "relu"},
		"opt-postln":       {"activation_function": "gelu"},
		"gptj":             {"rotary_dim": 4, "n_head": 8, "activation_function": "silu", "layer_norm_epsilon": 0.1},
		"codegen":          {"rotary_dim": 4, "n_head": 8, "activation_function": "gelu"},
		"gpt-bigcode-mha":  {"scale_attn_weights": false, "n_head": 8, "activation_function": "relu"},
		"starcoder2":       {"sliding_window": 4, "norm_epsilon": 0.1, "hidden_act": "relu", "rope_parameters": map[string]any{"rope_theta": 77.0}},
		"bloomberg":        {"n_head": 5, "layer_norm_epsilon": 0.1, "apply_residual_connection_post_layernorm": true},
		"palm-interleaved": {"rope_interleaved": false, "logit_scale": 0.5, "layer_norm_eps": 0.1, "rope_theta": 77.0},
		"falcon-new":       {"alibi": true, "activation": "relu", "layer_norm_epsilon": 0.1, "rope_parameters": map[string]any{"rope_theta": 77.0}},
		"falcon-alibi12":   {"alibi": false},
		"gpt-neox":         {"use_parallel_residual": false, "layer_norm_eps": 0.1, "rope_parameters": map[string]any{"partial_rotary_factor": 0.5}},
		"phi":              {"layer_norm_eps": 0.1, "hidden_act": "relu", "rope_parameters": map[string]any{"partial_rotary_factor": 0.25}},
	} {
		for field, value := range fields {
			t.Run(fmt.Sprintf("%s/%s", base, field), func(t *testing.T) { reaches(t, base, field, value) })
		}
	}
}

// TestNeoXSpelling spells RoPE as GPT-NeoX did before rope_parameters.
func TestNeoXSpelling(t *testing.T) {
	const name = "../odd/gpt-neox-no-bias"
	c := base(t, name)
	delete(c.config, "rope_parameters")
	c.config["rotary_emb_base"], c.config["rotary_pct"] = 77.0, 0.5
	c.config["rope_theta"], c.config["partial_rotary_factor"] = 10000.0, 1.0 // not its names: transformers passes them over
	strictly(t, load(t, c.write(t), golden.Options{}), read(t, folder(name)))
}
