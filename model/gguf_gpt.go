package model

// GGUF's architectures of GPT's line: gpt2, starcoder, gptj, gptneox, phi2,
// starcoder2, bloom and falcon. What no key says is what the family has.

import (
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/weights"
)

// gptMeta reads the keys of decoders with layer norms.
func (m *meta) gptMeta(ck *weights.Checkpoint, activation string, names func(string) string) gptFields {
	_, untied := ck.Info("output.weight")
	m.refuse("logit_scale", "embedding_scale", "residual_scale", "attention.scale", "attention.clamp_kqv", "attention.max_alibi_bias", "expert_count")
	return gptFields{
		Positions:  m.integer("context_length", -1),
		Hidden:     m.integer("embedding_length", -1),
		Layers:     m.integer("block_count", -1),
		Heads:      m.integer("attention.head_count", -1),
		inner:      m.integer("feed_forward_length", -1),
		Eps:        m.number("attention.layer_norm_epsilon", 1e-5),
		Vocab:      vocab(ck, "token_embd.weight"),
		Activation: activation, Tied: !untied, names: names,
	}
}

// sameHeads refuses grouped keys in architectures that have none.
func (m *meta) sameHeads(heads int) {
	if kv := m.integer("attention.head_count_kv", heads); kv != heads {
		m.fail(m.key("attention.head_count_kv"), "differs from head_count")
	}
}

func gpt2GGUF(src Source, ck *weights.Checkpoint) (config, error) {
	m := meta{src: src, arch: "gpt2"}
	c := &gpt2Config{ScaleWeights: true, gptFields: m.gptMeta(ck, "gelu_new", gptNames)}
	m.sameHeads(c.Heads)
	k := checker{src: src, ck: ck, err: m.err}
	c.check(&k, "gpt2")
	return c, k.err
}

func starcoderGGUF(src Source, ck *weights.Checkpoint) (config, error) {
	m := meta{src: src, arch: "starcoder"}
	c := &bigcodeConfig{ScaleWeights: true, gptFields: m.gptMeta(ck, "gelu_pytorch_tanh", gptNames)}
	if c.MultiQuery = m.integer("attention.head_count_kv", 1) == 1; !c.MultiQuery {
		m.sameHeads(c.Heads)
	}
	k := checker{src: src, ck: ck, err: m.err}
	c.check(&k, "starcoder")
	return c, k.err
}

func gptjGGUF(src Source, ck *weights.Checkpoint) (config, error) {
	m := meta{src: src, arch: "gptj"}
	c := &gptjConfig{family: "gptj", gptFields: m.gptMeta(ck, "gelu_new", gptNames)}
	m.sameHeads(c.Heads)
	k := checker{src: src, ck: ck}
	if k.keep(m.err); k.err == nil {
		c.check(&k, "gptj")
	}
	if k.err == nil {
		r := m.rope(c.Hidden/c.Heads, c.Positions)
		k.keep(m.err)
		k.refuse(r.Theta != 10000, "gptj.rope.freq_base", r.Theta, "10000")
		k.refuse(r.Scaling != "", "gptj.rope.scaling.type", r.Scaling, "none")
		c.RotaryDim = r.Dim
	}
	return c, k.err
}

func gptNeoXGGUF(src Source, ck *weights.Checkpoint) (config, error) {
	m := meta{src: src, arch: "gptneox"}
	g := m.gptMeta(ck, "gelu", neoxNames)
	_, bias := ck.Info("blk.0.attn_qkv.bias")
	c := &gptNeoXConfig{Vocab: g.Vocab, Positions: g.Positions, Hidden: g.Hidden, Inner: g.inner, Layers: g.Layers, Heads: g.Heads,
		Activation: g.Activation, Eps: g.Eps, Parallel: m.flag("use_parallel_residual", true), Bias: bias, Tied: g.Tied, names: g.names}
	m.sameHeads(c.Heads)
	k := checker{src: src, ck: ck, err: m.err}
	if c.check(&k, "gptneox"); k.err == nil {
		c.rope = m.rope(c.Hidden/c.Heads, c.Positions)
		k.keep(m.err)
	}
	return c, k.err
}

func phi2GGUF(src Source, ck *weights.Checkpoint) (config, error) {
	m := meta{src: src, arch: "phi2"}
	g := m.gptMeta(ck, "gelu_new", phi2Names)
	c := &phiConfig{Vocab: g.Vocab, Positions: g.Positions, Hidden: g.Hidden, Inner: g.inner, Layers: g.Layers, Heads: g.Heads,
		KVHeads: m.integer("attention.head_count_kv", g.Heads), Activation: g.Activation, Eps: g.Eps, Tied: g.Tied, names: g.names}
	if c.Heads > 0 {
		c.HeadDim = m.integer("attention.key_length", c.Hidden/c.Heads)
	}
	k := checker{src: src, ck: ck, err: m.err}
	if c.check(&k, "phi2"); k.err == nil {
		c.rope = m.rope(c.HeadDim, c.Positions)
		k.keep(m.err)
	}
	return c, k.err
}

func starcoder2GGUF(src Source, ck *weights.Checkpoint) (config, error) {
	m := meta{src: src, arch: "starcoder2"}
	g := m.gptMeta(ck, "gelu_pytorch_tanh", starcoder2Names)
	_, bias := ck.Info("blk.0.attn_output.bias")
	c := &starcoder2Config{Vocab: g.Vocab, Positions: g.Positions, Hidden: g.Hidden, Inner: g.inner, Layers: g.Layers, Heads: g.Heads,
		KVHeads: m.integer("attention.head_count_kv", g.Heads), Activation: g.Activation, Eps: g.Eps, Window: m.window(), Bias: bias,
		Tied: g.Tied, names: g.names, left: runtime.Unlimited}
	if c.Heads > 0 {
		c.HeadDim = m.integer("attention.key_length", c.Hidden/c.Heads)
	}
	k := checker{src: src, ck: ck, err: m.err}
	if c.check(&k, "starcoder2"); k.err == nil {
		c.rope = m.rope(c.HeadDim, c.Positions)
		k.keep(m.err)
	}
	return c, k.err
}

func bloomGGUF(src Source, ck *weights.Checkpoint) (config, error) {
	m := meta{src: src, arch: "bloom"}
	g := m.gptMeta(ck, "gelu_new", bloomNames)
	m.sameHeads(g.Heads)
	c := &bloomConfig{Vocab: g.Vocab, Hidden: g.Hidden, Layers: g.Layers, Heads: g.Heads, Eps: g.Eps, Context: g.Positions, Tied: g.Tied, names: g.names}
	k := checker{src: src, ck: ck, err: m.err}
	k.contradicts(g.inner != 4*g.Hidden, "bloom.feed_forward_length", "is %d, want 4 times embedding_length, which is %d", g.inner, g.Hidden)
	c.check(&k, "bloom")
	return c, k.err
}

// falconGGUF reads 7B's kind, of one KV head and one norm, and 40B's, of groups
// and one or two norms.
func falconGGUF(src Source, ck *weights.Checkpoint) (config, error) {
	m := meta{src: src, arch: "falcon"}
	g := m.gptMeta(ck, "gelu", bloomNames)
	norms := 1
	if _, two := ck.Info("blk.0.attn_norm_2.weight"); two {
		norms = 2
	}
	kv := m.integer("attention.head_count_kv", 1)
	c := &falconConfig{Vocab: g.Vocab, Positions: g.Positions, Hidden: g.Hidden, Inner: &g.inner, Layers: g.Layers, Heads: g.Heads, KVHeads: &kv,
		Norms: &norms, New: norms == 2 || kv > 1, MultiQuery: true, Parallel: true, Activation: g.Activation, Eps: g.Eps, Tied: g.Tied, names: g.names}
	k := checker{src: src, ck: ck, err: m.err}
	if c.check(&k, "falcon"); k.err == nil {
		c.rope = m.rope(c.Hidden/c.Heads, c.Positions)
		k.keep(m.err)
	}
	return c, k.err
}

// The names of GPT-2's, GPT-BigCode's and GPT-J's tensors, and of the others.
var (
	gptNames = ggufNames("transformer.h.",
		map[string]string{"transformer.wte": "token_embd", "transformer.wpe": "position_embd", "transformer.ln_f": "output_norm", "lm_head": "output"},
		map[string]string{"ln_1": "attn_norm", "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output", "ln_2": "ffn_norm",
			"mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down", "attn.q_proj": "attn_q", "attn.k_proj": "attn_k", "attn.v_proj": "attn_v",
			"attn.qkv_proj": "attn_qkv", "attn.out_proj": "attn_output", "mlp.fc_in": "ffn_up", "mlp.fc_out": "ffn_down"})
	neoxNames = ggufNames("gpt_neox.layers.",
		map[string]string{"gpt_neox.embed_in": "token_embd", "gpt_neox.final_layer_norm": "output_norm", "lm_head": "output"},
		map[string]string{"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "attention.qkv_proj": "attn_qkv",
			"attention.dense": "attn_output", "mlp.dense_h_to_4h": "ffn_up", "mlp.dense_4h_to_h": "ffn_down"})
	phi2Names = ggufNames("model.layers.",
		map[string]string{"model.embed_tokens": "token_embd", "model.final_layernorm": "output_norm", "lm_head": "output"},
		map[string]string{"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
			"self_attn.qkv_proj": "attn_qkv", "self_attn.dense": "attn_output", "mlp.fc1": "ffn_up", "mlp.fc2": "ffn_down"})
	starcoder2Names = ggufNames("model.layers.", llamaTop, with(llamaInner, map[string]string{"mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down"}))
	bloomNames      = ggufNames("transformer.h.", // and Falcon's
		map[string]string{"transformer.word_embeddings": "token_embd", "transformer.word_embeddings_layernorm": "token_embd_norm",
			"transformer.ln_f": "output_norm", "lm_head": "output"},
		map[string]string{"input_layernorm": "attn_norm", "ln_mlp": "attn_norm", "ln_attn": "attn_norm_2", "post_attention_layernorm": "ffn_norm",
			"self_attention.qkv_proj": "attn_qkv", "self_attention.dense": "attn_output", "mlp.dense_h_to_4h": "ffn_up", "mlp.dense_4h_to_h": "ffn_down"})
)
