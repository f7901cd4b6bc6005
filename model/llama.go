package model

// Llama (Touvron et al., 2023): pre-norm decoder with RMSNorm, rotary
// positions, grouped KV heads and a gated feed-forward layer.

import (
	"math"

	"github.com/godwit-ml/godwit/nn"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/weights"
)

type llamaConfig struct {
	Architectures []string `json:"architectures"`
	Vocab         int      `json:"vocab_size"`
	Positions     int      `json:"max_position_embeddings"`
	Hidden        int      `json:"hidden_size"`
	Inner         int      `json:"intermediate_size"`
	Layers        int      `json:"num_hidden_layers"`
	Heads         int      `json:"num_attention_heads"`
	KVHeads       int      `json:"num_key_value_heads"`
	HeadDim       int      `json:"head_dim"`
	Activation    string   `json:"hidden_act"`
	Eps           float64  `json:"rms_norm_eps"`
	AttentionBias bool     `json:"attention_bias"`
	MLPBias       bool     `json:"mlp_bias"`
	Tied          bool     `json:"tie_word_embeddings"`
	ropeFields

	architecture string
	rope         nn.Rope
	interleaved  bool // GGUF files store q and k rows in neighbouring pairs
	act          runtime.Fn
	lm           bool
	fromGGUF     bool
}

func llamaJSON(src Source, ck *weights.Checkpoint) (config, error) {
	c := &llamaConfig{Positions: 2048, Activation: "silu", Eps: 1e-6}
	if err := decode(src, c); err != nil {
		return nil, err
	}
	k := checker{src: src, ck: ck}
	c.architecture, c.lm = k.class(c.Architectures, "LlamaForCausalLM", "LlamaModel")
	if c.KVHeads == 0 {
		c.KVHeads = c.Heads
	}
	if c.HeadDim == 0 && c.Heads > 0 {
		c.HeadDim = c.Hidden / c.Heads
	}
	if c.check(&k); k.err != nil {
		return nil, k.err
	}
	var err error
	c.rope, err = c.ropeFields.rope(src, c.HeadDim, c.Positions)
	return c, err
}

func llamaGGUF(src Source, ck *weights.Checkpoint) (config, error) {
	m := meta{src: src, arch: "llama"}
	c := &llamaConfig{
		Positions:  m.integer("context_length", -1),
		Hidden:     m.integer("embedding_length", -1),
		Inner:      m.integer("feed_forward_length", -1),
		Layers:     m.integer("block_count", -1),
		Heads:      m.integer("attention.head_count", -1),
		Eps:        m.number("attention.layer_norm_rms_epsilon", 1e-5),
		Vocab:      vocab(ck, "token_embd.weight"),
		Activation: "silu", interleaved: true, fromGGUF: true, lm: true,
		architecture: "llama",
	}
	c.KVHeads = m.integer("attention.head_count_kv", c.Heads)
	if c.Heads > 0 {
		c.HeadDim = m.integer("attention.key_length", c.Hidden/c.Heads)
		if v := m.integer("attention.value_length", c.HeadDim); v != c.HeadDim {
			m.fail("llama.attention.value_length", "differs from key_length")
		}
	}
	m.refuse("expert_count", "attention.sliding_window")
	_, untied := ck.Info("output.weight")
	_, c.AttentionBias = ck.Info("blk.0.attn_q.bias")
	_, c.MLPBias = ck.Info("blk.0.ffn_up.bias")
	c.Tied = !untied
	k := checker{src: src, ck: ck, err: m.err}
	if c.check(&k); k.err != nil {
		return nil, k.err
	}
	c.rope = m.rope(c.HeadDim, c.Positions)
	return c, m.err
}

func (c *llamaConfig) check(k *checker) {
	k.dims(dim{"vocab_size", c.Vocab, maxWidth}, dim{"max_position_embeddings", c.Positions, maxContext},
		dim{"hidden_size", c.Hidden, maxWidth}, dim{"intermediate_size", c.Inner, maxWidth}, dim{"num_hidden_layers", c.Layers, maxLayers},
		dim{"num_attention_heads", c.Heads, maxWidth}, dim{"num_key_value_heads", c.KVHeads, maxWidth}, dim{"head_dim", c.HeadDim, 1 << 16})
	k.divides("num_key_value_heads", c.Heads, c.KVHeads)
	k.positive("rms_norm_eps", c.Eps)
	c.act = k.activation("hidden_act", c.Activation)
}

func (c *llamaConfig) info() Info {
	return Info{Family: "llama", Architecture: c.architecture, Kind: Decoder, Layers: c.Layers, Heads: c.Heads, KVHeads: c.KVHeads,
		HeadDim: c.HeadDim, Hidden: c.Hidden, Vocab: c.Vocab, Context: c.Positions, LM: c.lm}
}

func (c *llamaConfig) load(s *runtime.Stream, ck *weights.Checkpoint, opt Options) (Model, error) {
	names := weights.ScopeConfig{Strip: []string{"model."}, Ignore: []string{"*rotary_emb.inv_freq"}}
	if c.fromGGUF {
		names = weights.ScopeConfig{Rename: llamaNames}
	}
	root := ck.Scope(names)
	sc := root.Sub("model")
	if root.Has("rope_freqs.weight") { // Llama 3's frequencies, as GGUF files store them
		c.rope.Divisors = nn.ReadVector(root, "rope_freqs.weight", c.rope.Dim/2).F32s()
	}
	rotary := &nn.Rotary{} // its tables are made when all tensors are known to be there
	m := &decoder{about: c.info()}
	m.loadTokens(s, sc.Sub("embed_tokens"), c.Tied)
	nq, nk := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	for i := range c.Layers {
		l := sc.Sub("layers").Layer(i)
		at, ff := l.Sub("self_attn"), l.Sub("mlp")
		mlp := nn.LoadGatedMLP(s,
			nn.ReadDense(ff.Sub("gate_proj"), c.Hidden, c.Inner, c.MLPBias),
			nn.ReadDense(ff.Sub("up_proj"), c.Hidden, c.Inner, c.MLPBias),
			nn.ReadDense(ff.Sub("down_proj"), c.Inner, c.Hidden, c.MLPBias), c.act)
		m.blocks = append(m.blocks, &preNorm{
			norm1: nn.LoadRMSNorm(s, l.Sub("input_layernorm"), c.Hidden, c.Eps),
			norm2: nn.LoadRMSNorm(s, l.Sub("post_attention_layernorm"), c.Hidden, c.Eps),
			attn: nn.Attention{
				QKV: nn.LoadLinear(s,
					nn.ReadDense(at.Sub("q_proj"), c.Hidden, nq, c.AttentionBias),
					nn.ReadDense(at.Sub("k_proj"), c.Hidden, nk, c.AttentionBias),
					nn.ReadDense(at.Sub("v_proj"), c.Hidden, nk, c.AttentionBias)),
				Out:   nn.LoadLinear(s, nn.ReadDense(at.Sub("o_proj"), nq, c.Hidden, c.AttentionBias)),
				Heads: c.Heads, KVHeads: c.KVHeads, HeadDim: c.HeadDim,
				Scale: float32(1 / math.Sqrt(float64(c.HeadDim))), Left: runtime.Unlimited, Rotary: rotary,
			},
			ff: &mlp,
		})
	}
	norm := nn.LoadRMSNorm(s, sc.Sub("norm"), c.Hidden, c.Eps)
	m.norm = &norm
	m.loadHead(s, root.Sub("lm_head"), c.Tied, false)
	if err := sc.Err(); err != nil {
		return nil, err
	}
	*rotary = *nn.LoadRotary(s, c.rope, opt.positions(c.Positions), c.interleaved)
	return m, nil
}

var llamaNames = ggufNames("model.layers.",
	map[string]string{"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output", "rope_freqs": "rope_freqs"},
	map[string]string{"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
		"self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm",
		"mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"})
