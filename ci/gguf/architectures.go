package main

// The architectures of GGUF: keys, names, what changes in the values, and what
// they have no place for. Sources: the constants and the tensor mapping of the
// gguf package, and llama.cpp's convert_hf_to_gguf.py, read and checked against
// the files it writes.

import (
	"fmt"
	"math"
	"slices"
)

var architectures = []arch{
	{name: "llama", models: []string{"llama", "mistral", "mixtral"}, keys: llamaKeys, made: llama3Factors,
		cannot: func(c config) string { return first(silu(c), ropes(c, "linear", "yarn", "llama3")) },
		rules: llamaRules(func(c config, t tensor) tensor { return t.neighbours(c.heads()) },
			func(c config, t tensor) tensor { return t.neighbours(c.kvHeads()) })},
	{name: "qwen2", models: []string{"qwen2"}, keys: rmsKeys, rules: llamaRules(nil, nil), cannot: func(c config) string {
		return first(silu(c), ropes(c, "linear", "yarn"), slidingUnsaid(c))
	}},
	{name: "qwen3", models: []string{"qwen3"}, keys: rmsKeys, rules: llamaRules(nil, nil), cannot: func(c config) string {
		return first(silu(c), ropes(c, "linear", "yarn"), slidingUnsaid(c))
	}},
	{name: "qwen3moe", models: []string{"qwen3_moe"}, keys: qwen3MoEKeys, rules: llamaRules(nil, nil), cannot: func(c config) string {
		return first(silu(c), ropes(c, "linear", "yarn"), everyLayer(c))
	}},
	{name: "gemma", models: []string{"gemma"}, keys: rmsKeys, rules: gemmaRules("ffn_norm", ""), cannot: func(c config) string {
		if c.text("hidden_act") == "gelu" { // as the first releases call the tanh form
			c["hidden_act"] = "gelu_pytorch_tanh"
		}
		return first(act(c, "gelu_pytorch_tanh", "hidden_act"), ropes(c, "linear", "yarn"), tied(c))
	}},
	{name: "gemma2", models: []string{"gemma2"}, keys: gemma2Keys, rules: gemmaRules("post_attention_norm", "ffn_norm"), cannot: func(c config) string {
		return first(act(c, "gelu_pytorch_tanh", "hidden_activation"), ropes(c, "linear", "yarn"), tied(c))
	}},
	{name: "gemma3", models: []string{"gemma3_text"}, keys: gemma3Keys, rules: gemmaRules("post_attention_norm", "ffn_norm"), cannot: gemma3Cannot},
	{name: "phi3", models: []string{"phi3"}, keys: phi3Keys, made: longFactors, rules: phi3Rules, cannot: func(c config) string {
		return first(silu(c), ropes(c, "longrope"))
	}},
	{name: "gpt2", models: []string{"gpt2"}, keys: gpt2Keys, rules: gpt2Rules(transposed, nil),
		left: []string{"*.attn.bias", "*.attn.masked_bias"}, cannot: gpt2Cannot},
	{name: "starcoder", models: []string{"gpt_bigcode"}, keys: starcoderKeys, rules: gpt2Rules(nil, func(c config, t tensor) tensor {
		if c.is("multi_query") {
			return t // q | k | v already
		}
		return t.regroup(c.heads(), 1)
	}), cannot: func(c config) string { return first(act(c, "gelu_pytorch_tanh", "activation_function"), scaled(c)) }},
	{name: "starcoder2", models: []string{"starcoder2"}, keys: starcoder2Keys, rules: starcoder2Rules, cannot: func(c config) string {
		return first(act(c, "gelu_pytorch_tanh", "hidden_act"), ropes(c, "linear", "yarn"))
	}},
	{name: "gptj", models: []string{"gptj"}, keys: gptjKeys, rules: gptjRules, cannot: func(c config) string {
		return act(c, "gelu_new", "activation_function")
	}},
	{name: "gptneox", models: []string{"gpt_neox"}, keys: neoxKeys, rules: neoxRules, cannot: func(c config) string {
		return first(act(c, "gelu", "hidden_act"), ropes(c, "linear", "yarn"))
	}},
	{name: "phi2", models: []string{"phi"}, keys: phi2Keys, rules: phi2Rules, cannot: func(c config) string {
		return first(act(c, "gelu_new", "hidden_act"), ropes(c, "linear", "yarn"), no(c, "qk_layernorm", "has no norms of q and k"))
	}},
	{name: "bloom", models: []string{"bloom"}, keys: bloomKeys, rules: bloomRules, cannot: func(c config) string {
		return no(c, "apply_residual_connection_post_layernorm", "has no residual after the norm")
	}},
	{name: "falcon", models: []string{"falcon"}, keys: falconKeys, rules: falconRules, cannot: falconCannot},
	{name: "bert", models: []string{"bert"}, keys: bertKeys, rules: bertRules, cannot: func(c config) string { return act(c, "gelu", "hidden_act") },
		left: []string{"pooler.*", "bert.pooler.*", "cls.*", "classifier.*", "qa_outputs.*", "*.position_ids"}},
	{name: "bert", models: []string{"distilbert"}, keys: distilbertKeys, rules: distilbertRules, cannot: func(c config) string {
		return act(c, "gelu", "activation")
	}, left: []string{"vocab_*", "pre_classifier.*", "classifier.*", "qa_outputs.*"}},
	{name: "t5", models: []string{"t5", "mt5"}, keys: t5Keys, rules: t5Rules(), cannot: t5Cannot,
		left: []string{"encoder.embed_tokens.weight", "decoder.embed_tokens.weight"}},
}

// first is the first of reasons.
func first(reasons ...string) string {
	for _, r := range reasons {
		if r != "" {
			return r
		}
	}
	return ""
}

// act is a reason unless the activation is the one the architecture has.
func act(c config, want, field string) string {
	if v := c.text(field); v != want && v != "" {
		return fmt.Sprintf("no key for %s %s: the architecture has %s", field, v, want)
	}
	return ""
}

func silu(c config) string { return act(c, "silu", "hidden_act") }

// no is a reason if a field is true.
func no(c config, field, text string) string {
	if c.is(field) {
		return "the architecture " + text
	}
	return ""
}

// ropes is a reason unless the scaling of RoPE is none, or one of those.
func ropes(c config, have ...string) string {
	r := c.sub("rope_parameters")
	kind := r.text("rope_type")
	if !slices.Contains(append(have, "", "default"), kind) {
		return "no key for rope_type " + kind + " in this architecture"
	}
	for _, field := range []string{"mscale", "mscale_all_dim", "truncate"} {
		if v, ok := r[field]; ok && kind == "yarn" && v != true {
			return "no key for " + field + " of YaRN"
		}
	}
	return ""
}

// tied is a reason if there is a head of its own.
func tied(c config) string {
	if v, ok := c["tie_word_embeddings"]; ok && v == false {
		return "no name for a head that is not the embedding"
	}
	return ""
}

// scaled is a reason if scores are not scaled by the width of heads.
func scaled(c config) string {
	if v, ok := c["scale_attn_weights"]; ok && v == false {
		return "the architecture scales its scores"
	}
	return ""
}

// everyLayer is a reason if some layers have no experts.
func everyLayer(c config) string {
	if dense, _ := c["mlp_only_layers"].([]any); len(dense) > 0 || c.integer("decoder_sparse_step") > 1 {
		return "no names for layers without experts"
	}
	return ""
}

// slidingUnsaid is a reason if layers slide in an architecture whose keys do not
// say which.
func slidingUnsaid(c config) string {
	if c.is("use_sliding_window") && c["sliding_window"] != nil {
		return "no key says which layers slide"
	}
	return ""
}

// layers are the rules of tensors in a layer, each two names and what changes.
func layers(prefix string, pairs ...any) (rules []rule) {
	for i := 0; i < len(pairs); i += 3 {
		change, _ := pairs[i+2].(func(config, tensor) tensor)
		rules = append(rules, rule{prefix + "#." + pairs[i].(string), "blk.#." + pairs[i+1].(string), change})
	}
	return rules
}

// common are the keys that all have.
func common(c config) []key {
	return []key{
		{"context_length", c.integer("max_position_embeddings", "n_positions")},
		{"embedding_length", c.integer("hidden_size", "n_embd", "d_model")},
		{"block_count", c.integer("num_hidden_layers", "n_layer", "num_layers")},
		{"attention.head_count", uint32(c.heads())},
	}
}

// rmsKeys are the keys of Llama's line.
func rmsKeys(c config) []key {
	keys := append(common(c), key{"feed_forward_length", c.integer("intermediate_size")},
		key{"attention.head_count_kv", uint32(c.kvHeads())}, key{"attention.layer_norm_rms_epsilon", c.real("rms_norm_eps")},
		key{"rope.freq_base", c.sub("rope_parameters").real("rope_theta")})
	return append(append(keys, widthKeys(c)...), scalingKeys(c, c.sub("rope_parameters"))...)
}

// widthKeys are the width of heads, where it does not follow from D.
func widthKeys(c config) []key {
	if d := c.integer("head_dim"); d > 0 {
		return []key{{"attention.key_length", d}, {"attention.value_length", d}}
	}
	return nil
}

// scalingKeys are those of linear scaling and YaRN.
func scalingKeys(c, r config) []key {
	switch kind := r.text("rope_type"); kind {
	case "linear", "yarn":
		keys := []key{{"rope.scaling.type", kind}, {"rope.scaling.factor", r.real("factor")}}
		if kind == "linear" {
			return keys
		}
		original := r.integer("original_max_position_embeddings")
		if original == 0 {
			original = c.integer("max_position_embeddings")
		}
		keys = append(keys, key{"rope.scaling.original_context_length", original})
		for field, name := range map[string]string{"attention_factor": "yarn_attn_factor", "beta_fast": "yarn_beta_fast", "beta_slow": "yarn_beta_slow"} {
			if v := r.real(field); v != 0 {
				keys = append(keys, key{"rope.scaling." + name, v})
			}
		}
		return keys
	}
	return nil
}

func llamaKeys(c config) []key {
	keys := append(rmsKeys(c), key{"vocab_size", c.integer("vocab_size")}, key{"rope.dimension_count", uint32(c.headDim())})
	if n := c.integer("num_local_experts"); n > 0 {
		keys = append(keys, key{"expert_count", n}, key{"expert_used_count", c.integer("num_experts_per_tok")})
	}
	// The converter leaves Mistral's window out, for which there is a key.
	if w := c.integer("sliding_window"); w > 0 {
		keys = append(keys, key{"attention.sliding_window", w})
	}
	return keys
}

func qwen3MoEKeys(c config) []key {
	keys := append(rmsKeys(c), key{"expert_count", c.integer("num_local_experts", "num_experts")},
		key{"expert_used_count", c.integer("num_experts_per_tok")}, key{"expert_feed_forward_length", c.integer("moe_intermediate_size")})
	if !c.is("norm_topk_prob") { // the converter takes it to be true
		keys = append(keys, key{"expert_weights_norm", false})
	}
	if w := c.integer("sliding_window"); w > 0 && c.is("use_sliding_window") {
		keys = append(keys, key{"attention.sliding_window", w})
	}
	return keys
}

// llama3Factors is rope_freqs, what Llama 3 divides the frequencies by.
func llama3Factors(c config) []tensor {
	r := c.sub("rope_parameters")
	if r.text("rope_type") != "llama3" {
		return nil
	}
	low, high, original, factor := r.number("low_freq_factor"), r.number("high_freq_factor"), r.number("original_max_position_embeddings"), r.number("factor")
	t := tensor{name: "rope_freqs.weight", shape: []int{c.headDim() / 2}}
	for i := range c.headDim() / 2 {
		wave := 2 * math.Pi * math.Pow(r.number("rope_theta"), 2*float64(i)/float64(c.headDim()))
		f := 1.0
		switch {
		case wave < original/high:
		case wave > original/low:
			f = factor
		default:
			smooth := (original/wave - low) / (high - low)
			f = 1 / ((1-smooth)/factor + smooth)
		}
		t.data = append(t.data, float32(f))
	}
	return []tensor{t}
}

// llamaRules are the tensors of Llama's line; q and k are what becomes of those.
func llamaRules(q, k func(config, tensor) tensor) []rule {
	rules := []rule{{"model.embed_tokens", "token_embd", nil}, {"model.norm", "output_norm", nil}, {"lm_head", "output", nil},
		{"model.layers.#.mlp.experts.*.gate_proj", "blk.#.ffn_gate_exps", nil}, {"model.layers.#.mlp.experts.*.up_proj", "blk.#.ffn_up_exps", nil},
		{"model.layers.#.mlp.experts.*.down_proj", "blk.#.ffn_down_exps", nil},
		{"model.layers.#.block_sparse_moe.experts.*.w1", "blk.#.ffn_gate_exps", nil}, {"model.layers.#.block_sparse_moe.experts.*.w3", "blk.#.ffn_up_exps", nil},
		{"model.layers.#.block_sparse_moe.experts.*.w2", "blk.#.ffn_down_exps", nil}}
	return append(rules, layers("model.layers.", "input_layernorm", "attn_norm", nil, "post_attention_layernorm", "ffn_norm", nil,
		"self_attn.q_proj", "attn_q", q, "self_attn.k_proj", "attn_k", k, "self_attn.v_proj", "attn_v", nil, "self_attn.o_proj", "attn_output", nil,
		"self_attn.q_norm", "attn_q_norm", nil, "self_attn.k_norm", "attn_k_norm", nil,
		"mlp.gate_proj", "ffn_gate", nil, "mlp.up_proj", "ffn_up", nil, "mlp.down_proj", "ffn_down", nil,
		"mlp.gate", "ffn_gate_inp", nil, "block_sparse_moe.gate", "ffn_gate_inp", nil)...)
}

// gemmaRules are those of Gemma's line, which stores norms less 1: after is the
// name of the norm after attention, before of the one before the MLP, if it is
// another.
func gemmaRules(after, before string) []rule {
	rules := []rule{{"model.norm", "output_norm", plusOne}}
	rules = append(rules, layers("model.layers.", "input_layernorm", "attn_norm", plusOne, "post_attention_layernorm", after, plusOne,
		"self_attn.q_norm", "attn_q_norm", plusOne, "self_attn.k_norm", "attn_k_norm", plusOne)...)
	if before != "" {
		rules = append(rules, layers("model.layers.", "pre_feedforward_layernorm", before, plusOne, "post_feedforward_layernorm", "post_ffw_norm", plusOne)...)
	}
	return append(rules, llamaRules(nil, nil)...)
}

// scaleKey is attention.scale where the width of heads does not say it.
func scaleKey(c config) []key {
	if q := c.number("query_pre_attn_scalar"); q != float64(c.headDim()) {
		return []key{{"attention.scale", float32(1 / math.Sqrt(q))}}
	}
	return nil
}

// patternKey is which layers slide, where it is not what the architecture has.
func patternKey(c config, usual int) []key {
	types, _ := c["layer_types"].([]any)
	list, differs := make([]bool, len(types)), false
	for i, t := range types {
		list[i] = t == "sliding_attention"
		differs = differs || list[i] != ((i+1)%usual != 0)
	}
	if !differs {
		return nil
	}
	return []key{{"attention.sliding_window_pattern", list}}
}

func gemma2Keys(c config) []key {
	keys := append(rmsKeys(c), key{"attn_logit_softcapping", c.real("attn_logit_softcapping")},
		key{"final_logit_softcapping", c.real("final_logit_softcapping")}, key{"attention.sliding_window", c.integer("sliding_window")})
	return append(append(keys, scaleKey(c)...), patternKey(c, 2)...)
}

func gemma3Keys(c config) []key {
	r := c.sub("rope_parameters")
	full, sliding := r.sub("full_attention"), r.sub("sliding_attention")
	keys := append(rmsKeys(c), key{"attention.sliding_window", c.integer("sliding_window")}, key{"rope.freq_base_swa", sliding.real("rope_theta")})
	for i := range keys {
		if keys[i].name == "rope.freq_base" {
			keys[i].value = full.real("rope_theta")
		}
	}
	if v := c.real("final_logit_softcapping"); v != 0 {
		keys = append(keys, key{"final_logit_softcapping", v})
	}
	keys = append(keys, scalingKeys(c, full)...)
	return append(append(keys, scaleKey(c)...), patternKey(c, 6)...)
}

func gemma3Cannot(c config) string {
	r := c.sub("rope_parameters")
	if kind := r.sub("sliding_attention").text("rope_type"); kind != "" && kind != "default" {
		return "no key for rope_type " + kind + " of sliding layers"
	}
	if why := act(c, "gelu_pytorch_tanh", "hidden_activation"); why != "" {
		return why
	}
	return ropes(config{"rope_parameters": map[string]any(r.sub("full_attention"))}, "linear", "yarn")
}

// partial is the share of a head's features that rotate.
func (c config) partial() float64 {
	if p := c.sub("rope_parameters").number("partial_rotary_factor"); p != 0 {
		return p
	}
	return 1
}

func phi3Keys(c config) []key {
	keys := append(rmsKeys(c), key{"rope.dimension_count", uint32(float64(c.headDim()) * c.partial())},
		key{"rope.scaling.original_context_length", c.integer("original_max_position_embeddings")},
		key{"attention.sliding_window", c.integer("sliding_window")})
	if r := c.sub("rope_parameters"); r.text("rope_type") == "longrope" {
		original := c.number("original_max_position_embeddings")
		factor, scale := r.number("attention_factor"), r.number("factor")
		if scale == 0 {
			scale = c.number("max_position_embeddings") / original
		}
		if factor == 0 {
			factor = math.Sqrt(1 + math.Log(max(scale, 1))/math.Log(original))
		}
		keys = append(keys, key{"rope.scaling.attn_factor", float32(factor)})
	}
	return keys
}

// longFactors are the two sets of divisors of longrope.
func longFactors(c config) (made []tensor) {
	for field, name := range map[string]string{"long_factor": "rope_factors_long.weight", "short_factor": "rope_factors_short.weight"} {
		list, _ := c.sub("rope_parameters")[field].([]any)
		if list == nil {
			continue
		}
		t := tensor{name: name, shape: []int{len(list)}}
		for _, v := range list {
			t.data = append(t.data, float32(v.(float64)))
		}
		made = append(made, t)
	}
	return made
}

var phi3Rules = append(layers("model.layers.", "self_attn.qkv_proj", "attn_qkv", nil, "mlp.gate_up_proj", "ffn_up", nil), llamaRules(nil, nil)...)
