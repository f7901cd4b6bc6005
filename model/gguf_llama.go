package model

// GGUF's architectures of Llama's line: keys and names.

import (
	"github.com/godwit-ml/godwit/nn"
	"github.com/godwit-ml/godwit/weights"
)

// llamaMeta reads the keys that all of them have.
func (m *meta) llamaMeta(ck *weights.Checkpoint) llamaFields {
	_, untied := ck.Info("output.weight")
	c := llamaFields{
		Positions:  m.integer("context_length", -1),
		Hidden:     m.integer("embedding_length", -1),
		Inner:      m.integer("feed_forward_length", -1),
		Layers:     m.integer("block_count", -1),
		Heads:      m.integer("attention.head_count", -1),
		Eps:        m.number("attention.layer_norm_rms_epsilon", 1e-5),
		Vocab:      vocab(ck, "token_embd.weight"),
		Activation: "silu", Tied: !untied,
	}
	c.KVHeads = new(m.integer("attention.head_count_kv", c.Heads))
	if c.Heads > 0 {
		c.HeadDim = new(m.integer("attention.key_length", c.Hidden/c.Heads))
		if v := m.integer("attention.value_length", *c.HeadDim); v != *c.HeadDim {
			m.fail(m.key("attention.value_length"), "differs from key_length")
		}
	}
	return c
}

// ggufFactors adds the frequency factors that a GGUF file stores as tensors: Llama
// 3's, and those of longrope.
func ggufFactors(root *weights.Scope, r nn.Rope) nn.Rope {
	if root.Has("rope_freqs.weight") {
		r.Divisors = nn.ReadVector(root, "rope_freqs.weight", r.Dim/2).F32s()
	}
	return r
}

func llamaGGUF(src Source, ck *weights.Checkpoint) (config, error) {
	m := meta{src: src, arch: "llama"}
	c := &llamaConfig{llamaFields: m.llamaMeta(ck)}
	m.refuse("expert_count", "attention.sliding_window")
	_, c.AttentionBias = ck.Info("blk.0.attn_q.bias")
	_, c.MLPBias = ck.Info("blk.0.ffn_up.bias")
	c.names, c.interleaved = llamaNames, true
	k := checker{src: src, ck: ck, err: m.err}
	if c.check(&k, "llama"); k.err != nil {
		return nil, k.err
	}
	c.frequencies = m.rope(c.headDim, c.Positions)
	return c, m.err
}

var llamaNames = ggufNames("model.layers.",
	map[string]string{"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output", "rope_freqs": "rope_freqs"},
	map[string]string{"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
		"self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm",
		"mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"})
