package model

// Phi-1 to Phi-2 (Gunasekar et al., 2023): attention and feed-forward side by side
// of one norm, as GPT-J, with halves of a part of each head rotating together, and
// biases everywhere, the head included.

import (
	"github.com/godwit-ml/godwit/nn"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/weights"
)

type phiConfig struct {
	Architectures []string `json:"architectures"`
	Vocab         int      `json:"vocab_size"`
	Positions     int      `json:"max_position_embeddings"`
	Hidden        int      `json:"hidden_size"`
	Inner         int      `json:"intermediate_size"`
	Layers        int      `json:"num_hidden_layers"`
	Heads         int      `json:"num_attention_heads"`
	KVHeads       int      `json:"num_key_value_heads"`
	HeadDim       int      `json:"head_dim"` // in no file of the hub, but transformers reads it
	QKNorm        bool     `json:"qk_layernorm"`
	Activation    string   `json:"hidden_act"`
	Eps           float64  `json:"layer_norm_eps"`
	Tied          bool     `json:"tie_word_embeddings"`
	ropeFields

	architecture string
	lm           bool
	rope         nn.Rope
	act          runtime.Fn
	names        func(string) string // of a GGUF file; nil: Hugging Face's
}

func phiJSON(src Source, ck *weights.Checkpoint) (config, error) {
	c := &phiConfig{Vocab: 51200, Positions: 2048, Hidden: 2048, Inner: 8192, Layers: 24, Heads: 32, Activation: "gelu_new", Eps: 1e-5}
	if err := decode(src, c); err != nil {
		return nil, err
	}
	k := checker{src: src, ck: ck}
	if c.check(&k, "PhiForCausalLM", "PhiModel"); k.err == nil {
		c.rope, k.err = c.partialRope(src, c.HeadDim, c.Positions, 0.5)
	}
	return c, k.err
}

// check checks the fields; have are the classes, first the one with a head.
func (c *phiConfig) check(k *checker, have ...string) {
	c.architecture, c.lm = k.class(c.Architectures, have...)
	if c.KVHeads == 0 {
		c.KVHeads = c.Heads
	}
	if c.HeadDim == 0 && c.Heads > 0 {
		c.HeadDim = c.Hidden / c.Heads
	}
	k.dims(dim{"vocab_size", c.Vocab, maxWidth}, dim{"max_position_embeddings", c.Positions, maxContext}, dim{"hidden_size", c.Hidden, maxWidth},
		dim{"intermediate_size", c.Inner, maxWidth}, dim{"num_hidden_layers", c.Layers, maxLayers}, dim{"num_attention_heads", c.Heads, maxWidth},
		dim{"num_key_value_heads", c.KVHeads, maxWidth}, dim{"head_dim", c.HeadDim, 1 << 16})
	k.divides("num_key_value_heads", c.Heads, c.KVHeads)
	k.positive("layer_norm_eps", c.Eps)
	c.act = k.activation("hidden_act", c.Activation)
}

func (c *phiConfig) info() Info {
	return Info{Family: "phi", Architecture: c.architecture, Kind: Decoder, Layers: c.Layers, Heads: c.Heads, KVHeads: c.KVHeads,
		HeadDim: c.HeadDim, Hidden: c.Hidden, Vocab: c.Vocab, Context: c.Positions, LM: c.lm}.with(
		rotated(c.rope, c.HeadDim), sideBySide, when(c.QKNorm, "norms: of queries and keys, a head"))
}

func (c *phiConfig) load(s *runtime.Stream, ck *weights.Checkpoint, opt Options) (Model, error) {
	root := scope(ck, c.names, weights.ScopeConfig{Strip: []string{"model."}, Ignore: []string{"*rotary_emb.inv_freq"}})
	sc := root.Sub("model")
	rotary := &nn.Rotary{} // its tables are made when all tensors are known to be there
	m := &decoder{about: c.info()}
	m.loadTokens(s, sc.Sub("embed_tokens"), c.Tied)
	nq, nk := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	for i := range c.Layers {
		l := sc.Sub("layers").Layer(i)
		at := l.Sub("self_attn")
		b := &parallel{
			norm: nn.LoadLayerNorm(s, l.Sub("input_layernorm"), c.Hidden, c.Eps),
			attn: nn.Attention{
				QKV:   nn.LoadLinear(s, readProjections(at, c.Hidden, nq, nk, true)...),
				Out:   nn.LoadLinear(s, nn.ReadDense(at.Sub("dense"), nq, c.Hidden, true)),
				Heads: c.Heads, KVHeads: c.KVHeads, HeadDim: c.HeadDim,
				Scale: rsqrt(c.HeadDim), Left: runtime.Unlimited, Rotary: rotary,
			},
			ff: new(nn.LoadMLP(s, nn.ReadDense(l.Sub("mlp.fc1"), c.Hidden, c.Inner, true),
				nn.ReadDense(l.Sub("mlp.fc2"), c.Inner, c.Hidden, true), c.act)),
		}
		if c.QKNorm {
			b.attn.QNorm = new(nn.LoadLayerNorm(s, at.Sub("q_layernorm"), c.HeadDim, c.Eps))
			b.attn.KNorm = new(nn.LoadLayerNorm(s, at.Sub("k_layernorm"), c.HeadDim, c.Eps))
		}
		m.blocks = append(m.blocks, b)
	}
	m.norm = new(nn.LoadLayerNorm(s, sc.Sub("final_layernorm"), c.Hidden, c.Eps))
	m.loadHead(s, root.Sub("lm_head"), c.Tied, true)
	if err := root.Err(); err != nil {
		return nil, err
	}
	*rotary = *nn.LoadRotary(s, c.rope, opt.positions(c.Positions), false)
	return m, nil
}
