package model

// GPT-NeoX (Black et al., 2022) and Pythia (Biderman et al., 2023): attention and
// feed-forward side by side, each with a norm of its own, or in sequence; rotary
// positions in a part of each head, halves paired. q, k and v of a head lie
// together in query_key_value.

import (
	"github.com/godwit-ml/godwit/nn"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/weights"
)

type gptNeoXConfig struct {
	Architectures []string  `json:"architectures"`
	Vocab         int       `json:"vocab_size"`
	Positions     int       `json:"max_position_embeddings"`
	Hidden        int       `json:"hidden_size"`
	Inner         int       `json:"intermediate_size"`
	Layers        int       `json:"num_hidden_layers"`
	Heads         int       `json:"num_attention_heads"`
	HeadDim       int       `json:"head_dim"`
	Activation    string    `json:"hidden_act"`
	Eps           float64   `json:"layer_norm_eps"`
	Parallel      bool      `json:"use_parallel_residual"`
	Bias          bool      `json:"attention_bias"`
	Tied          bool      `json:"tie_word_embeddings"`
	RopeParams    *ropeJSON `json:"rope_parameters"`
	RopeScaling   *ropeJSON `json:"rope_scaling"`
	RotaryBase    *float64  `json:"rotary_emb_base"` // NeoX's own names, before rope_parameters
	RotaryShare   *float64  `json:"rotary_pct"`

	architecture string
	lm           bool
	rope         nn.Rope
	act          runtime.Fn
	names        func(string) string // of a GGUF file; nil: Hugging Face's
}

func gptNeoXJSON(src Source, ck *weights.Checkpoint) (config, error) {
	c := &gptNeoXConfig{Vocab: 50432, Positions: 2048, Hidden: 6144, Inner: 24576, Layers: 44, Heads: 64,
		Activation: "gelu", Eps: 1e-5, Parallel: true, Bias: true}
	if err := decode(src, c); err != nil {
		return nil, err
	}
	k := checker{src: src, ck: ck}
	if c.check(&k, "GPTNeoXForCausalLM", "GPTNeoXModel"); k.err == nil {
		hd := c.Hidden / c.Heads
		k.refuse(c.HeadDim != 0 && c.HeadDim != hd, "head_dim", c.HeadDim)
		f := ropeFields{RopeParams: c.RopeParams, RopeScaling: c.RopeScaling, RopeTheta: c.RotaryBase, Partial: c.RotaryShare}
		rope, err := f.partialRope(src, hd, c.Positions, 0.25)
		k.keep(err)
		c.rope = rope
	}
	return c, k.err
}

// check checks the fields; have are the classes, first the one with a head.
func (c *gptNeoXConfig) check(k *checker, have ...string) {
	c.architecture, c.lm = k.class(c.Architectures, have...)
	k.dims(dim{"vocab_size", c.Vocab, maxWidth}, dim{"max_position_embeddings", c.Positions, maxContext}, dim{"hidden_size", c.Hidden, maxWidth},
		dim{"intermediate_size", c.Inner, maxWidth}, dim{"num_hidden_layers", c.Layers, maxLayers}, dim{"num_attention_heads", c.Heads, maxWidth})
	k.divides("num_attention_heads", c.Hidden, c.Heads)
	k.positive("layer_norm_eps", c.Eps)
	c.act = k.activation("hidden_act", c.Activation)
}

func (c *gptNeoXConfig) info() Info {
	return Info{Family: "gpt-neox", Architecture: c.architecture, Kind: Decoder, Layers: c.Layers, Heads: c.Heads, KVHeads: c.Heads,
		HeadDim: c.Hidden / c.Heads, Hidden: c.Hidden, Vocab: c.Vocab, Context: c.Positions, LM: c.lm}.with(
		rotated(c.rope, c.Hidden/c.Heads), when(c.Parallel, sideBySide))
}

func (c *gptNeoXConfig) load(s *runtime.Stream, ck *weights.Checkpoint, opt Options) (Model, error) {
	root := scope(ck, c.names, weights.ScopeConfig{
		Strip:      []string{"gpt_neox."},
		Alternates: [][2]string{{"lm_head.weight", "embed_out.weight"}},
		Ignore:     []string{"*.attention.bias", "*.attention.masked_bias", "*rotary_emb.inv_freq"},
	})
	sc := root.Sub("gpt_neox")
	rotary := &nn.Rotary{} // its tables are made when all tensors are known to be there
	m := &decoder{about: c.info()}
	m.loadTokens(s, sc.Sub("embed_in"), c.Tied)
	hd := c.Hidden / c.Heads
	for i := range c.Layers {
		l := sc.Sub("layers").Layer(i)
		at := l.Sub("attention")
		b := parallelNorms{
			norm1: nn.LoadLayerNorm(s, l.Sub("input_layernorm"), c.Hidden, c.Eps),
			norm2: nn.LoadLayerNorm(s, l.Sub("post_attention_layernorm"), c.Hidden, c.Eps),
			attn: nn.Attention{
				QKV:   nn.LoadLinear(s, readGroups(at, "query_key_value", c.Hidden, c.Heads, 1, hd, c.Bias)...),
				Out:   nn.LoadLinear(s, nn.ReadDense(at.Sub("dense"), c.Hidden, c.Hidden, c.Bias)),
				Heads: c.Heads, KVHeads: c.Heads, HeadDim: hd, Scale: rsqrt(hd), Left: runtime.Unlimited, Rotary: rotary,
			},
			ff: new(nn.LoadMLP(s, nn.ReadDense(l.Sub("mlp.dense_h_to_4h"), c.Hidden, c.Inner, true),
				nn.ReadDense(l.Sub("mlp.dense_4h_to_h"), c.Inner, c.Hidden, true), c.act)),
		}
		if c.Parallel {
			m.blocks = append(m.blocks, &b)
		} else {
			m.blocks = append(m.blocks, new(preNorm(b)))
		}
	}
	m.norm = new(nn.LoadLayerNorm(s, sc.Sub("final_layer_norm"), c.Hidden, c.Eps))
	if c.Tied || !c.lm {
		root.Ignore("embed_out.weight")
	}
	m.loadHead(s, root.Sub("lm_head"), c.Tied, false)
	if err := root.Err(); err != nil {
		return nil, err
	}
	*rotary = *nn.LoadRotary(s, c.rope, opt.positions(c.Positions), false)
	return m, nil
}
