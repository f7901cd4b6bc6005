package model

// GGUF's architectures of Llama's line: llama (Mistral and Mixtral too), qwen2,
// qwen3, qwen3moe and phi3. Keys and names are those the gguf package documents;
// values are as llama.cpp's converter stores them.

import (
	"fmt"
	"maps"

	"github.com/godwit-ml/godwit/nn"
	"github.com/godwit-ml/godwit/weights"
)

// llamaMeta reads the keys that all of them have.
func (m *meta) llamaMeta(ck *weights.Checkpoint, names func(string) string) llamaFields {
	_, untied := ck.Info("output.weight")
	c := llamaFields{
		Positions:  m.integer("context_length", -1),
		Hidden:     m.integer("embedding_length", -1),
		Inner:      m.integer("feed_forward_length", -1),
		Layers:     m.integer("block_count", -1),
		Heads:      m.integer("attention.head_count", -1),
		Eps:        m.number("attention.layer_norm_rms_epsilon", 1e-5),
		Vocab:      vocab(ck, "token_embd.weight"),
		Activation: "silu", Tied: !untied, names: names,
	}
	c.KVHeads = new(m.integer("attention.head_count_kv", c.Heads))
	if c.Heads > 0 {
		c.HeadDim = new(m.integer("attention.key_length", c.Hidden/c.Heads))
		if v := m.integer("attention.value_length", *c.HeadDim); v != *c.HeadDim {
			m.fail(m.key("attention.value_length"), "differs from key_length")
		}
	}
	m.refuse("logit_scale", "embedding_scale", "residual_scale", "attention.clamp_kqv", "expert_shared_count", "expert_group_count", "nextn_predict_layers")
	return c
}

// window is the sliding window; nil: none.
func (m *meta) window() *int {
	if n := m.integer("attention.sliding_window", 0); n > 0 {
		return &n
	}
	return nil
}

// ggufExperts are the mixtures of experts of a file, which has a router in the
// layers that are one.
type ggufExperts struct {
	count, top, inner int
	normalise         bool
	sparse            []bool
}

// experts reads the keys of mixtures of experts.
func (m *meta) experts(ck *weights.Checkpoint, layers, inner int) ggufExperts {
	x := ggufExperts{count: m.integer("expert_count", 0), top: m.integer("expert_used_count", 0),
		inner: m.integer("expert_feed_forward_length", inner), normalise: m.flag("expert_weights_norm", true)}
	if s := m.number("expert_weights_scale", 0); s != 1 {
		m.refuse("expert_weights_scale")
	}
	if f := m.integer("expert_gating_func", 1); f != 1 { // softmax
		m.refuse("expert_gating_func")
	}
	for i := range min(layers, maxLayers) {
		_, router := ck.Info(fmt.Sprintf("blk.%d.ffn_gate_inp.weight", i))
		x.sparse = append(x.sparse, router)
	}
	return x
}

// ggufFactors adds the frequency factors that a GGUF file stores as tensors: Llama
// 3's, and those of longrope.
func ggufFactors(root *weights.Scope, r nn.Rope) nn.Rope {
	vector := func(name string) []float32 {
		if t := nn.ReadVector(root, name, r.Dim/2); !t.IsZero() {
			return t.F32s()
		}
		return nil
	}
	if root.Has("rope_freqs.weight") {
		r.Divisors = vector("rope_freqs.weight")
	}
	if r.Scaling == "longrope" {
		for _, v := range vector("rope_factors_short.weight") {
			r.Short = append(r.Short, float64(v))
		}
		for _, v := range vector("rope_factors_long.weight") {
			r.Long = append(r.Long, float64(v))
		}
	}
	return r
}

// finish checks a configuration and reads its rotary positions.
func (c *llamaFields) finish(m *meta, k *checker) {
	if k.err == nil {
		c.frequencies = m.rope(c.headDim, c.Positions)
		k.keep(m.err)
	}
}

func llamaGGUF(src Source, ck *weights.Checkpoint) (config, error) {
	m := meta{src: src, arch: "llama"}
	fields := m.llamaMeta(ck, llamaNames)
	fields.interleaved = true // rows of q and k lie in neighbouring pairs
	m.refuse("attention.scale")
	window, x := windowFields{Window: m.window()}, m.experts(ck, fields.Layers, fields.Inner)
	k := checker{src: src, ck: ck, err: m.err}
	switch {
	case x.count > 0:
		c := &mixtralConfig{llamaFields: fields, windowFields: window, Experts: x.count, Top: x.top}
		c.check(&k, "llama")
		k.checkExperts(c.Experts, c.Top, c.Layers)
		k.refuse(!x.normalise, "llama.expert_weights_norm", false, "true")
		c.left = c.same(&k, c.Layers)
		c.finish(&m, &k)
		return c, k.err
	case window.Window != nil:
		c := &mistralConfig{llamaFields: fields, windowFields: window}
		c.check(&k, "llama")
		c.left = c.same(&k, c.Layers)
		c.finish(&m, &k)
		return c, k.err
	}
	c := &llamaConfig{llamaFields: fields}
	_, c.AttentionBias = ck.Info("blk.0.attn_q.bias")
	_, c.MLPBias = ck.Info("blk.0.ffn_up.bias")
	c.check(&k, "llama")
	c.finish(&m, &k)
	return c, k.err
}

func qwen2GGUF(src Source, ck *weights.Checkpoint) (config, error) {
	m := meta{src: src, arch: "qwen2"}
	c := &qwen2Config{llamaFields: m.llamaMeta(ck, llamaNames)}
	m.refuse("attention.scale", "attention.sliding_window") // which layers slide is not said
	k := checker{src: src, ck: ck, err: m.err}
	c.check(&k, "qwen2")
	c.left = c.lefts(&k, c.Layers)
	c.finish(&m, &k)
	return c, k.err
}

func qwen3GGUF(src Source, ck *weights.Checkpoint) (config, error) {
	m := meta{src: src, arch: "qwen3"}
	c := &qwen3Config{qwen3Fields{llamaFields: m.llamaMeta(ck, llamaNames)}}
	m.refuse("attention.scale", "attention.sliding_window")
	_, c.AttentionBias = ck.Info("blk.0.attn_q.bias")
	k := checker{src: src, ck: ck, err: m.err}
	c.check(&k, "qwen3")
	c.left = c.lefts(&k, c.Layers)
	c.finish(&m, &k)
	return c, k.err
}

func qwen3MoEGGUF(src Source, ck *weights.Checkpoint) (config, error) {
	m := meta{src: src, arch: "qwen3moe"}
	c := &qwen3MoEConfig{qwen3Fields: qwen3Fields{llamaFields: m.llamaMeta(ck, llamaNames), qwenWindow: qwenWindow{windowFields: windowFields{Window: m.window()}}}}
	m.refuse("attention.scale")
	_, c.AttentionBias = ck.Info("blk.0.attn_q.bias")
	x := m.experts(ck, c.Layers, c.Inner)
	c.Experts, c.Top, c.ExpertSize, c.Normalise, c.sparse = x.count, x.top, x.inner, x.normalise, x.sparse
	k := checker{src: src, ck: ck, err: m.err}
	c.check(&k, "qwen3moe")
	k.checkExperts(c.Experts, c.Top, c.Layers)
	k.dims(dim{"expert_feed_forward_length", c.ExpertSize, maxWidth})
	c.left = c.same(&k, c.Layers)
	c.finish(&m, &k)
	return c, k.err
}

func phi3GGUF(src Source, ck *weights.Checkpoint) (config, error) {
	m := meta{src: src, arch: "phi3"}
	c := &phi3Config{llamaFields: m.llamaMeta(ck, phi3Names), windowFields: windowFields{Window: m.window()}}
	m.refuse("attention.scale", "expert_count")
	k := checker{src: src, ck: ck, err: m.err}
	c.check(&k, "phi3")
	c.left = c.same(&k, c.Layers)
	if _, long := ck.Info("rope_factors_long.weight"); long && k.err == nil {
		c.frequencies = m.longrope(c.headDim, c.Positions)
		k.keep(m.err)
		return c, k.err
	}
	c.finish(&m, &k)
	return c, k.err
}

// llamaTop and llamaInner are the names of Llama's tensors, and of what its
// descendants added, for ggufNames.
var (
	llamaTop = map[string]string{"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
		"rope_freqs": "rope_freqs", "rope_factors_long": "rope_factors_long", "rope_factors_short": "rope_factors_short"}
	llamaInner = map[string]string{"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
		"self_attn.v_proj": "attn_v", "self_attn.qkv_proj": "attn_qkv", "self_attn.o_proj": "attn_output",
		"self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm", "post_attention_layernorm": "ffn_norm",
		"mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
		"mlp.gate": "ffn_gate_inp", "mlp.experts.gate_up": "ffn_gate_up_exps", "mlp.experts.gate_proj": "ffn_gate_exps", "mlp.experts.up_proj": "ffn_up_exps", "mlp.experts.down_proj": "ffn_down_exps",
		"block_sparse_moe.gate": "ffn_gate_inp", "block_sparse_moe.experts.gate_up": "ffn_gate_up_exps", "block_sparse_moe.experts.w1": "ffn_gate_exps",
		"block_sparse_moe.experts.w3": "ffn_up_exps", "block_sparse_moe.experts.w2": "ffn_down_exps"}
	llamaNames = ggufNames("model.layers.", llamaTop, llamaInner)
	phi3Names  = ggufNames("model.layers.", llamaTop, with(llamaInner, map[string]string{"mlp.gate_up_proj": "ffn_up"}))
)

// with is names, less those that changes has otherwise.
func with(names, changes map[string]string) map[string]string {
	names = maps.Clone(names)
	maps.Copy(names, changes)
	return names
}
