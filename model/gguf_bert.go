package model

// GGUF's architectures bert and t5.

import (
	"github.com/godwit-ml/godwit/weights"
)

// bertGGUF reads an encoder without heads, which is what such files hold.
func bertGGUF(src Source, ck *weights.Checkpoint) (config, error) {
	m := meta{src: src, arch: "bert"}
	c := &bertConfig{encoderFields{
		Positions:  m.integer("context_length", -1),
		Hidden:     m.integer("embedding_length", -1),
		Inner:      m.integer("feed_forward_length", -1),
		Layers:     m.integer("block_count", -1),
		Heads:      m.integer("attention.head_count", -1),
		Eps:        m.number("attention.layer_norm_epsilon", 1e-12),
		Vocab:      vocab(ck, "token_embd.weight"),
		Types:      vocab(ck, "token_types.weight"),
		Activation: "gelu", names: bertNames, classed: classed{class: "bert"},
	}}
	m.sameHeads(c.Heads)
	k := checker{src: src, ck: ck, err: m.err}
	k.refuse(m.flag("attention.causal", false), "bert.attention.causal", true, "false")
	k.keep(m.err)
	c.check(&k)
	return c, k.err
}

var bertNames = ggufNames("bert.encoder.layer.",
	map[string]string{"bert.embeddings.word_embeddings": "token_embd", "bert.embeddings.position_embeddings": "position_embd",
		"bert.embeddings.token_type_embeddings": "token_types", "bert.embeddings.LayerNorm": "token_embd_norm"},
	map[string]string{"attention.self.query": "attn_q", "attention.self.key": "attn_k", "attention.self.value": "attn_v",
		"attention.output.dense": "attn_output", "attention.output.LayerNorm": "attn_output_norm",
		"intermediate.dense": "ffn_up", "output.dense": "ffn_down", "output.LayerNorm": "layer_output_norm"})

// t5GGUF reads T5 and its successors: a gate, and a head of their own, are there
// if the tensors are.
func t5GGUF(src Source, ck *weights.Checkpoint) (config, error) {
	m := meta{src: src, arch: "t5"}
	_, untied := ck.Info("output.weight")
	c := &t5Config{
		Positions:   m.integer("context_length", -1),
		Hidden:      m.integer("embedding_length", -1),
		HeadDim:     m.integer("attention.key_length", -1),
		Inner:       m.integer("feed_forward_length", -1),
		Layers:      m.integer("block_count", -1),
		Heads:       m.integer("attention.head_count", -1),
		Buckets:     m.integer("attention.relative_buckets_count", -1),
		MaxDistance: 128,
		Eps:         m.number("attention.layer_norm_rms_epsilon", 1e-6),
		Vocab:       vocab(ck, "token_embd.weight"),
		FeedForward: "relu", Tied: !untied, names: t5Names, architecture: "t5",
	}
	if _, gated := ck.Info("enc.blk.0.ffn_gate.weight"); gated {
		c.FeedForward = "gated-gelu"
	}
	c.DecoderLayers = new(m.integer("decoder_block_count", c.Layers))
	c.Start = new(int32(m.integer("decoder_start_token_id", 0)))
	m.sameHeads(c.Heads)
	if v := m.integer("attention.value_length", c.HeadDim); v != c.HeadDim {
		m.fail("t5.attention.value_length", "differs from key_length")
	}
	if m.err != nil {
		return nil, m.err
	}
	return c, c.check(src, ck)
}

// t5Names has a table for each stack, whose layers are numbered alike.
func t5Names(name string) string {
	for _, s := range t5Stacks {
		if to := s.names(name); to != "" {
			return s.prefix + to
		}
	}
	return t5Top(name)
}

var (
	t5Top    = ggufNames("block.", map[string]string{"shared": "token_embd", "lm_head": "output"}, nil)
	t5Stacks = []struct {
		prefix string
		names  func(string) string
	}{
		{"enc.", ggufNames("encoder.block.", map[string]string{"encoder.final_layer_norm": "output_norm"}, with(t5Self, map[string]string{
			"layer.1.layer_norm": "ffn_norm", "layer.1.DenseReluDense.wi": "ffn_up", "layer.1.DenseReluDense.wi_0": "ffn_gate",
			"layer.1.DenseReluDense.wi_1": "ffn_up", "layer.1.DenseReluDense.wo": "ffn_down"}))},
		{"dec.", ggufNames("decoder.block.", map[string]string{"decoder.final_layer_norm": "output_norm"}, with(t5Self, map[string]string{
			"layer.1.layer_norm": "cross_attn_norm", "layer.1.EncDecAttention.q": "cross_attn_q", "layer.1.EncDecAttention.k": "cross_attn_k",
			"layer.1.EncDecAttention.v": "cross_attn_v", "layer.1.EncDecAttention.o": "cross_attn_o",
			"layer.2.layer_norm": "ffn_norm", "layer.2.DenseReluDense.wi": "ffn_up", "layer.2.DenseReluDense.wi_0": "ffn_gate",
			"layer.2.DenseReluDense.wi_1": "ffn_up", "layer.2.DenseReluDense.wo": "ffn_down"}))},
	}
	t5Self = map[string]string{"layer.0.SelfAttention.q": "attn_q", "layer.0.SelfAttention.k": "attn_k", "layer.0.SelfAttention.v": "attn_v",
		"layer.0.SelfAttention.o": "attn_o", "layer.0.SelfAttention.relative_attention_bias": "attn_rel_b", "layer.0.layer_norm": "attn_norm"}
)
