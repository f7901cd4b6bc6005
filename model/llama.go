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
	Architectures []string  `json:"architectures"`
	Vocab         int       `json:"vocab_size"`
	Positions     int       `json:"max_position_embeddings"`
	Hidden        int       `json:"hidden_size"`
	Inner         int       `json:"intermediate_size"`
	Layers        int       `json:"num_hidden_layers"`
	Heads         int       `json:"num_attention_heads"`
	KVHeads       int       `json:"num_key_value_heads"`
	HeadDim       int       `json:"head_dim"`
	Activation    string    `json:"hidden_act"`
	Eps           float64   `json:"rms_norm_eps"`
	AttentionBias bool      `json:"attention_bias"`
	MLPBias       bool      `json:"mlp_bias"`
	Tied          bool      `json:"tie_word_embeddings"`
	RopeParams    *ropeJSON `json:"rope_parameters"`
	RopeScaling   *ropeJSON `json:"rope_scaling"`
	RopeTheta     *float64  `json:"rope_theta"`

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
	var err error
	if c.architecture, err = architecture(src, c.Architectures, []string{"LlamaForCausalLM", "LlamaModel"}); err != nil {
		return nil, err
	}
	c.lm = c.architecture == "LlamaForCausalLM"
	if c.KVHeads == 0 {
		c.KVHeads = c.Heads
	}
	if c.HeadDim == 0 && c.Heads > 0 {
		c.HeadDim = c.Hidden / c.Heads
	}
	if err := c.check(src, ck); err != nil {
		return nil, err
	}
	c.rope, err = rope(src, c.RopeParams, c.RopeScaling, c.RopeTheta, c.HeadDim, c.Positions)
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
	if m.err != nil {
		return nil, m.err
	}
	if err := c.check(src, ck); err != nil {
		return nil, err
	}
	c.rope = m.rope(c.HeadDim, c.Positions)
	return c, m.err
}

func (c *llamaConfig) check(src Source, ck *weights.Checkpoint) error {
	err := checkDims(src, ck, dim{"vocab_size", c.Vocab, maxWidth}, dim{"max_position_embeddings", c.Positions, maxContext},
		dim{"hidden_size", c.Hidden, maxWidth}, dim{"intermediate_size", c.Inner, maxWidth}, dim{"num_hidden_layers", c.Layers, maxLayers},
		dim{"num_attention_heads", c.Heads, maxWidth}, dim{"num_key_value_heads", c.KVHeads, maxWidth}, dim{"head_dim", c.HeadDim, 1 << 16})
	if err == nil {
		err = divides(src, "num_key_value_heads", c.Heads, c.KVHeads)
	}
	if err == nil {
		err = positive(src, "rms_norm_eps", c.Eps)
	}
	if err == nil {
		c.act, err = activation(src, "hidden_act", c.Activation)
	}
	return err
}

func (c *llamaConfig) info() Info {
	return Info{Family: "llama", Architecture: c.architecture, Kind: Decoder, Layers: c.Layers, Heads: c.Heads, KVHeads: c.KVHeads,
		HeadDim: c.HeadDim, Hidden: c.Hidden, Vocab: c.Vocab, Context: c.Positions, LM: c.lm}
}

// llama is embed_tokens → layers → norm → lm_head.
type llama struct {
	config *llamaConfig
	tokens nn.Embedding
	blocks []*llamaBlock
	norm   nn.Norm
	head   nn.Linear
}

type llamaBlock struct {
	norm1, norm2 nn.Norm
	attn         nn.Attention
	mlp          nn.MLP
}

func (c *llamaConfig) load(s *runtime.Stream, ck *weights.Checkpoint, opt Options) (Model, error) {
	names := weights.ScopeConfig{Strip: []string{"model."}, Ignore: []string{"*rotary_emb.inv_freq"}}
	if c.fromGGUF {
		names = weights.ScopeConfig{Rename: llamaNames}
	}
	root := ck.Scope(names)
	if c.Tied || !c.lm { // a copy of the embedding, or a head nobody asked for
		root.Ignore("lm_head.weight")
	}
	sc := root.Sub("model")
	if root.Has("rope_freqs.weight") { // Llama 3's frequencies, as GGUF files store them
		c.rope.Divisors = nn.ReadVector(root, "rope_freqs.weight", c.rope.Dim/2).F32s()
	}
	rotary := &nn.Rotary{} // its tables are made when all tensors are known to be there
	m := &llama{config: c}
	m.tokens = nn.LoadEmbedding(s, sc.Tensor("embed_tokens.weight", c.Vocab, c.Hidden), c.Tied && c.lm)
	nq, nk := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	for i := range c.Layers {
		l := sc.Sub("layers").Layer(i)
		at, ff := l.Sub("self_attn"), l.Sub("mlp")
		m.blocks = append(m.blocks, &llamaBlock{
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
			mlp: nn.LoadGatedMLP(s,
				nn.ReadDense(ff.Sub("gate_proj"), c.Hidden, c.Inner, c.MLPBias),
				nn.ReadDense(ff.Sub("up_proj"), c.Hidden, c.Inner, c.MLPBias),
				nn.ReadDense(ff.Sub("down_proj"), c.Inner, c.Hidden, c.MLPBias), c.act),
		})
	}
	m.norm = nn.LoadRMSNorm(s, sc.Sub("norm"), c.Hidden, c.Eps)
	switch {
	case !c.lm:
	case c.Tied:
		m.head = m.tokens.Head()
	default:
		m.head = nn.LoadLinear(s, nn.ReadDense(root.Sub("lm_head"), c.Hidden, c.Vocab, false))
	}
	if err := sc.Err(); err != nil {
		return nil, err
	}
	if opt.Context <= 0 || opt.Context > c.Positions {
		opt.Context = c.Positions
	}
	*rotary = *nn.LoadRotary(s, c.rope, opt.Context, c.interleaved)
	return m, nil
}

func (b *llamaBlock) apply(st *nn.Step, layer int, x runtime.Tensor) {
	defer st.S.Release(st.S.Mark())
	h := st.S.Scratch(x.Rows, x.Cols)
	b.norm1.Apply(st.S, h, x)
	b.attn.Apply(st, layer, x, h)
	b.norm2.Apply(st.S, h, x)
	b.mlp.Apply(st, x, h)
}

// Info implements Model.
func (m *llama) Info() Info { return m.config.info() }

// Forward implements Model.
func (m *llama) Forward(s *runtime.Stream, b *Batch, c *Cache) runtime.Tensor {
	st, ids, _ := b.upload(s, c)
	x := s.Scratch(st.Tokens, m.config.Hidden)
	m.tokens.Apply(s, x, ids, false)
	return runBlocks(st, m.blocks, x, &m.norm)
}

// Logits implements Model.
func (m *llama) Logits(s *runtime.Stream, hidden runtime.Tensor) runtime.Tensor {
	return vocabulary(s, &m.head, hidden)
}

var llamaNames = ggufNames("model.layers.",
	map[string]string{"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output", "rope_freqs": "rope_freqs"},
	map[string]string{"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
		"self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm",
		"mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"})
