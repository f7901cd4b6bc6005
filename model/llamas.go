package model

// What Llama and the decoders built like it share: configuration, names, and how
// weights become layers.

import (
	"github.com/godwit-ml/godwit/nn"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/weights"
)

// llamaFields are the fields of config.json that Llama's descendants share. A
// family embeds them, adds its own, and sets its defaults before decoding.
type llamaFields struct {
	Architectures []string `json:"architectures"`
	Vocab         int      `json:"vocab_size"`
	Positions     int      `json:"max_position_embeddings"`
	Hidden        int      `json:"hidden_size"`
	Inner         int      `json:"intermediate_size"`
	Layers        int      `json:"num_hidden_layers"`
	Heads         int      `json:"num_attention_heads"`
	KVHeads       *int     `json:"num_key_value_heads"` // null: Heads
	HeadDim       *int     `json:"head_dim"`            // null: Hidden/Heads
	Activation    string   `json:"hidden_act"`
	Eps           float64  `json:"rms_norm_eps"`
	Tied          bool     `json:"tie_word_embeddings"`
	ropeFields

	architecture     string
	lm               bool
	kvHeads, headDim int
	act              runtime.Fn
	frequencies      nn.Rope
	names            func(string) string // of a GGUF file; nil: Hugging Face's
	interleaved      bool                // GGUF's llama: q and k rows in neighbouring pairs
}

// check checks the fields; have are the classes, first the one with a head.
func (c *llamaFields) check(k *checker, have ...string) {
	c.architecture, c.lm = k.class(c.Architectures, have...)
	c.kvHeads = c.Heads
	if c.KVHeads != nil {
		c.kvHeads = *c.KVHeads
	}
	switch {
	case c.HeadDim != nil:
		c.headDim = *c.HeadDim
	case c.Heads > 0:
		c.headDim = c.Hidden / c.Heads
	}
	k.dims(dim{"vocab_size", c.Vocab, maxWidth}, dim{"max_position_embeddings", c.Positions, maxContext},
		dim{"hidden_size", c.Hidden, maxWidth}, dim{"intermediate_size", c.Inner, maxWidth}, dim{"num_hidden_layers", c.Layers, maxLayers},
		dim{"num_attention_heads", c.Heads, maxWidth}, dim{"num_key_value_heads", c.kvHeads, maxWidth}, dim{"head_dim", c.headDim, 1 << 16})
	k.divides("num_key_value_heads", c.Heads, c.kvHeads)
	k.positive("rms_norm_eps", c.Eps)
	c.act = k.activation("hidden_act", c.Activation)
}

// rotate reads the rotary positions of whole heads.
func (c *llamaFields) rotate(k *checker) {
	if k.err != nil {
		return
	}
	r, err := c.rope(k.src, c.headDim, c.Positions)
	k.keep(err)
	c.frequencies = r
}

// about is the Info of a family.
func (c *llamaFields) about(family string) Info {
	return Info{Family: family, Architecture: c.architecture, Kind: Decoder, Layers: c.Layers, Heads: c.Heads, KVHeads: c.kvHeads,
		HeadDim: c.headDim, Hidden: c.Hidden, Vocab: c.Vocab, Context: c.Positions, RopeLimit: c.frequencies.Limit(), LM: c.lm}.with(rotated(c.frequencies, c.headDim))
}

// decoder binds embeddings, blocks, final norm and head; block makes the block of
// a layer's scope, norm loads the final norm. The rotary positions may be copied
// by pointer only: they are made when all tensors are known to be there.
func (c *llamaFields) decoder(s *runtime.Stream, ck *weights.Checkpoint, about Info, opt Options,
	norm func(*runtime.Stream, *weights.Scope, int, float64) nn.Norm,
	block func(l *weights.Scope, layer int, r *nn.Rotary) block) (*decoder, error) {
	root := scope(ck, c.names, weights.ScopeConfig{Strip: []string{"model."}, Ignore: []string{"*rotary_emb.inv_freq"}})
	sc := root.Sub("model")
	r, rotary := c.frequencies, &nn.Rotary{}
	if c.names != nil {
		r = ggufFactors(root, r)
	}
	m := &decoder{about: about}
	m.loadTokens(s, sc.Sub("embed_tokens"), c.Tied)
	for i := range c.Layers {
		m.blocks = append(m.blocks, block(sc.Sub("layers").Layer(i), i, rotary))
	}
	m.norm = new(norm(s, sc.Sub("norm"), c.Hidden, c.Eps))
	m.loadHead(s, root.Sub("lm_head"), c.Tied, false)
	if err := root.Err(); err != nil {
		return nil, err
	}
	*rotary = *nn.LoadRotary(s, r, opt.positions(c.Positions), c.interleaved)
	return m, nil
}

// attention binds q_proj, k_proj and v_proj, or qkv_proj, and o_proj of a scope:
// causal, over all keys, scaled by 1/√head_dim.
func (c *llamaFields) attention(s *runtime.Stream, at *weights.Scope, qkvBias, outBias bool, r *nn.Rotary) nn.Attention {
	nq, nk := c.Heads*c.headDim, c.kvHeads*c.headDim
	return nn.Attention{
		QKV:   nn.LoadLinear(s, readProjections(at, c.Hidden, nq, nk, qkvBias)...),
		Out:   nn.LoadLinear(s, nn.ReadDense(at.Sub("o_proj"), nq, c.Hidden, outBias)),
		Heads: c.Heads, KVHeads: c.kvHeads, HeadDim: c.headDim,
		Scale: rsqrt(c.headDim), Left: runtime.Unlimited, Rotary: r,
	}
}

// mlp binds gate_proj, up_proj and down_proj of a scope.
func (c *llamaFields) mlp(s *runtime.Stream, ff *weights.Scope, bias bool) *nn.MLP {
	return new(nn.LoadGatedMLP(s,
		nn.ReadDense(ff.Sub("gate_proj"), c.Hidden, c.Inner, bias),
		nn.ReadDense(ff.Sub("up_proj"), c.Hidden, c.Inner, bias),
		nn.ReadDense(ff.Sub("down_proj"), c.Inner, c.Hidden, bias), c.act))
}

// block is Llama's block of a layer's scope.
func (c *llamaFields) block(s *runtime.Stream, l *weights.Scope, attn nn.Attention, ff feedForward) block {
	return &preNorm{
		norm1: nn.LoadRMSNorm(s, l.Sub("input_layernorm"), c.Hidden, c.Eps),
		norm2: nn.LoadRMSNorm(s, l.Sub("post_attention_layernorm"), c.Hidden, c.Eps),
		attn:  attn, ff: ff,
	}
}
