package main

// The architectures of GGUF before Llama's line: GPT and what followed it, BERT
// and T5.

import "fmt"

// gptKeys are the keys of decoders with layer norms; inner is the field of the
// MLP's width, 4·D without it.
func gptKeys(c config, inner string) []key {
	width := c.integer(inner)
	if width == 0 {
		width = 4 * c.integer("hidden_size", "n_embd")
	}
	return append(common(c), key{"feed_forward_length", width},
		key{"attention.layer_norm_epsilon", c.real("layer_norm_epsilon", "layer_norm_eps", "norm_epsilon")})
}

func gpt2Keys(c config) []key { return gptKeys(c, "n_inner") }

func gpt2Cannot(c config) string {
	return first(act(c, "gelu_new", "activation_function"), scaled(c),
		no(c, "scale_attn_by_inverse_layer_idx", "does not scale scores by the layer"))
}

// gpt2Rules are the tensors of GPT-2 and GPT-BigCode.
func gpt2Rules(matrix, qkv func(config, tensor) tensor) []rule {
	if qkv == nil {
		qkv = matrix
	}
	rules := []rule{{"transformer.wte", "token_embd", nil}, {"transformer.wpe", "position_embd", nil},
		{"transformer.ln_f", "output_norm", nil}, {"lm_head", "output", nil}}
	return append(rules, layers("transformer.h.", "ln_1", "attn_norm", nil, "attn.c_attn", "attn_qkv", qkv, "attn.c_proj", "attn_output", matrix,
		"ln_2", "ffn_norm", nil, "mlp.c_fc", "ffn_up", matrix, "mlp.c_proj", "ffn_down", matrix)...)
}

func starcoderKeys(c config) []key {
	kv := uint32(c.heads())
	if c.is("multi_query") {
		kv = 1
	}
	return append(gptKeys(c, "n_inner"), key{"attention.head_count_kv", kv})
}

func starcoder2Keys(c config) []key {
	keys := append(gptKeys(c, "intermediate_size"), key{"attention.head_count_kv", uint32(c.kvHeads())},
		key{"rope.freq_base", c.sub("rope_parameters").real("rope_theta")})
	if w := c.integer("sliding_window"); w > 0 {
		keys = append(keys, key{"attention.sliding_window", w})
	}
	return append(append(keys, widthKeys(c)...), scalingKeys(c, c.sub("rope_parameters"))...)
}

var starcoder2Rules = append([]rule{{"model.embed_tokens", "token_embd", nil}, {"model.norm", "output_norm", nil}, {"lm_head", "output", nil}},
	layers("model.layers.", "input_layernorm", "attn_norm", nil, "post_attention_layernorm", "ffn_norm", nil,
		"self_attn.q_proj", "attn_q", nil, "self_attn.k_proj", "attn_k", nil, "self_attn.v_proj", "attn_v", nil, "self_attn.o_proj", "attn_output", nil,
		"mlp.c_fc", "ffn_up", nil, "mlp.c_proj", "ffn_down", nil)...)

func gptjKeys(c config) []key {
	rot := c.integer("rotary_dim")
	if rot == 0 {
		rot = uint32(c.headDim())
	}
	return append(gptKeys(c, "n_inner"), key{"rope.dimension_count", rot})
}

var gptjRules = append([]rule{{"transformer.wte", "token_embd", nil}, {"transformer.ln_f", "output_norm", nil}, {"lm_head", "output", nil}},
	layers("transformer.h.", "ln_1", "attn_norm", nil, "attn.q_proj", "attn_q", nil, "attn.k_proj", "attn_k", nil, "attn.v_proj", "attn_v", nil,
		"attn.out_proj", "attn_output", nil, "mlp.fc_in", "ffn_up", nil, "mlp.fc_out", "ffn_down", nil)...)

func neoxKeys(c config) []key {
	return append(append(gptKeys(c, "intermediate_size"), key{"rope.dimension_count", uint32(c.partial() * float64(c.headDim()))},
		key{"rope.freq_base", c.sub("rope_parameters").real("rope_theta")}, key{"use_parallel_residual", c.is("use_parallel_residual")}),
		scalingKeys(c, c.sub("rope_parameters"))...)
}

// perHead is q | k | v of rows stored as q, k and v of each head.
func perHead(c config, t tensor) tensor { return t.regroup(c.heads(), 1) }

var neoxRules = append([]rule{{"gpt_neox.embed_in", "token_embd", nil}, {"gpt_neox.final_layer_norm", "output_norm", nil}, {"embed_out", "output", nil}},
	layers("gpt_neox.layers.", "input_layernorm", "attn_norm", nil, "post_attention_layernorm", "ffn_norm", nil,
		"attention.query_key_value", "attn_qkv", perHead, "attention.dense", "attn_output", nil,
		"mlp.dense_h_to_4h", "ffn_up", nil, "mlp.dense_4h_to_h", "ffn_down", nil)...)

func phi2Keys(c config) []key {
	keys := append(gptKeys(c, "intermediate_size"), key{"attention.head_count_kv", uint32(c.kvHeads())},
		key{"rope.dimension_count", uint32(c.partial() * float64(c.headDim()))}, key{"rope.freq_base", c.sub("rope_parameters").real("rope_theta")})
	return append(append(keys, widthKeys(c)...), scalingKeys(c, c.sub("rope_parameters"))...)
}

var phi2Rules = append([]rule{{"model.embed_tokens", "token_embd", nil}, {"model.final_layernorm", "output_norm", nil}, {"lm_head", "output", nil}},
	layers("model.layers.", "input_layernorm", "attn_norm", nil, "self_attn.q_proj", "attn_q", nil, "self_attn.k_proj", "attn_k", nil,
		"self_attn.v_proj", "attn_v", nil, "self_attn.dense", "attn_output", nil, "mlp.fc1", "ffn_up", nil, "mlp.fc2", "ffn_down", nil)...)

func bloomKeys(c config) []key {
	keys := append(gptKeys(c, "n_inner"), key{"attention.head_count_kv", uint32(c.heads())})
	if keys[0].value = c.integer("seq_length"); keys[0].value == uint32(0) {
		keys[0].value = uint32(2048) // ALiBi has no length; the converter writes D here
	}
	return keys
}

var bloomRules = append([]rule{{"transformer.word_embeddings", "token_embd", nil}, {"transformer.word_embeddings_layernorm", "token_embd_norm", nil},
	{"transformer.ln_f", "output_norm", nil}, {"lm_head", "output", nil}},
	layers("transformer.h.", "input_layernorm", "attn_norm", nil, "post_attention_layernorm", "ffn_norm", nil,
		"self_attention.query_key_value", "attn_qkv", perHead, "self_attention.dense", "attn_output", nil,
		"mlp.dense_h_to_4h", "ffn_up", nil, "mlp.dense_4h_to_h", "ffn_down", nil)...)

// falconGroups is how many heads of keys Falcon has.
func falconGroups(c config) int {
	switch {
	case c.is("new_decoder_architecture"):
		return int(c.number("num_kv_heads"))
	case c.is("multi_query"):
		return 1
	}
	return c.heads()
}

func falconKeys(c config) []key {
	return append(gptKeys(c, "ffn_hidden_size"), key{"attention.head_count_kv", uint32(falconGroups(c))}, key{"tensor_data_layout", "jploski"},
		key{"rope.freq_base", c.sub("rope_parameters").real("rope_theta")})
}

func falconCannot(c config) string {
	if !c.is("parallel_attn") && !c.is("new_decoder_architecture") {
		return "the architecture has parallel blocks only"
	}
	return first(no(c, "alibi", "has rotary positions only"), no(c, "bias", "has no biases"), act(c, "gelu", "activation"), ropes(c))
}

func falconQKV(c config, t tensor) tensor {
	n := falconGroups(c)
	return t.regroup(n, c.heads()/n)
}

var falconRules = append([]rule{{"transformer.word_embeddings", "token_embd", nil}, {"transformer.ln_f", "output_norm", nil}, {"lm_head", "output", nil}},
	layers("transformer.h.", "input_layernorm", "attn_norm", nil, "ln_mlp", "attn_norm", nil, "ln_attn", "attn_norm_2", nil,
		"self_attention.query_key_value", "attn_qkv", falconQKV, "self_attention.dense", "attn_output", nil,
		"mlp.dense_h_to_4h", "ffn_up", nil, "mlp.dense_4h_to_h", "ffn_down", nil)...)

func bertKeys(c config) []key {
	return append(gptKeys(c, "intermediate_size"), key{"attention.causal", false})
}

var bertRules = append(bertPrefixed("bert."), bertPrefixed("")...)

func bertPrefixed(p string) []rule {
	return append([]rule{{p + "embeddings.word_embeddings", "token_embd", nil}, {p + "embeddings.position_embeddings", "position_embd", nil},
		{p + "embeddings.token_type_embeddings", "token_types", nil}, {p + "embeddings.LayerNorm", "token_embd_norm", nil}},
		layers(p+"encoder.layer.", "attention.self.query", "attn_q", nil, "attention.self.key", "attn_k", nil, "attention.self.value", "attn_v", nil,
			"attention.output.dense", "attn_output", nil, "attention.output.LayerNorm", "attn_output_norm", nil,
			"intermediate.dense", "ffn_up", nil, "output.dense", "ffn_down", nil, "output.LayerNorm", "layer_output_norm", nil)...)
}

// distilbertKeys are BERT's, under DistilBERT's names.
func distilbertKeys(c config) []key {
	return []key{{"context_length", c.integer("max_position_embeddings")}, {"embedding_length", c.integer("dim")}, {"block_count", c.integer("n_layers")},
		{"feed_forward_length", c.integer("hidden_dim")}, {"attention.head_count", c.integer("n_heads")},
		{"attention.layer_norm_epsilon", float32(1e-12)}, {"attention.causal", false}} // no configuration holds the epsilon
}

var distilbertRules = append([]rule{{"distilbert.embeddings.word_embeddings", "token_embd", nil}, {"distilbert.embeddings.position_embeddings", "position_embd", nil},
	{"distilbert.embeddings.LayerNorm", "token_embd_norm", nil}},
	layers("distilbert.transformer.layer.", "attention.q_lin", "attn_q", nil, "attention.k_lin", "attn_k", nil, "attention.v_lin", "attn_v", nil,
		"attention.out_lin", "attn_output", nil, "sa_layer_norm", "attn_output_norm", nil,
		"ffn.lin1", "ffn_up", nil, "ffn.lin2", "ffn_down", nil, "output_layer_norm", "layer_output_norm", nil)...)

// elsewhere says why families have no architecture here.
var elsewhere = map[string]string{
	"roberta": robertaReason, "xlm-roberta": robertaReason, "modernbert": modernReason, "electra": modernReason, "deberta-v2": modernReason, "bart": modernReason,
}

const (
	robertaReason = "architecture bert numbers positions from 0, and no key says that these begin at the padding token and leave it out"
	modernReason  = "none of the architectures here computes this family"
)

func t5Keys(c config) []key {
	keys := append(common(c), key{"feed_forward_length", c.integer("d_ff")}, key{"decoder_block_count", c.integer("num_decoder_layers", "num_layers")},
		key{"attention.key_length", c.integer("d_kv")}, key{"attention.value_length", c.integer("d_kv")},
		key{"attention.layer_norm_epsilon", c.real("layer_norm_epsilon")}, key{"attention.layer_norm_rms_epsilon", c.real("layer_norm_epsilon")},
		key{"attention.relative_buckets_count", c.integer("relative_attention_num_buckets")},
		key{"decoder_start_token_id", c.integer("decoder_start_token_id")})
	if keys[0].value == uint32(0) {
		keys[0].value = uint32(512) // as the converter has it: relative positions have no length
	}
	return keys
}

func t5Cannot(c config) string {
	if d := c.integer("relative_attention_max_distance"); d != 128 && d != 0 {
		return fmt.Sprintf("no key for relative_attention_max_distance %d: the architecture has 128", d)
	}
	switch v := c.text("feed_forward_proj"); v {
	case "relu", "gated-gelu":
		return ""
	default:
		return "no key for feed_forward_proj " + v + ": the architecture has relu, and gelu_new with a gate"
	}
}

func t5Rules() []rule {
	rules := []rule{{"shared", "token_embd", nil}, {"lm_head", "output", nil},
		{"encoder.final_layer_norm", "enc.output_norm", nil}, {"decoder.final_layer_norm", "dec.output_norm", nil}}
	stack := func(from, to, layer, name string) {
		rules = append(rules, rule{from + ".block.#.layer." + layer, to + ".blk.#." + name, nil})
	}
	for _, s := range [][3]string{{"encoder", "enc", "1"}, {"decoder", "dec", "2"}} {
		from, to, last := s[0], s[1], s[2]
		for _, p := range []string{"q", "k", "v", "o"} {
			stack(from, to, "0.SelfAttention."+p, "attn_"+p)
			if from == "decoder" {
				stack(from, to, "1.EncDecAttention."+p, "cross_attn_"+p)
			}
		}
		stack(from, to, "0.SelfAttention.relative_attention_bias", "attn_rel_b")
		stack(from, to, "0.layer_norm", "attn_norm")
		if from == "decoder" {
			stack(from, to, "1.layer_norm", "cross_attn_norm")
		}
		stack(from, to, last+".layer_norm", "ffn_norm")
		stack(from, to, last+".DenseReluDense.wi", "ffn_up")
		stack(from, to, last+".DenseReluDense.wi_0", "ffn_gate")
		stack(from, to, last+".DenseReluDense.wi_1", "ffn_up")
		stack(from, to, last+".DenseReluDense.wo", "ffn_down")
	}
	return rules
}
