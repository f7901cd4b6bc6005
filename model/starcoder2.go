package model

// StarCoder2 (Lozhkov et al., 2024): Llama's attention (rotary positions, grouped
// KV heads, here a sliding window) in GPT-2's clothes: LayerNorm, biases, a plain
// feed-forward layer.

import (
	"github.com/godwit-ml/godwit/nn"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/weights"
)

type starcoder2Config struct {
	Architectures []string `json:"architectures"`
	Vocab         int      `json:"vocab_size"`
	Positions     int      `json:"max_position_embeddings"`
	Hidden        int      `json:"hidden_size"`
	Inner         int      `json:"intermediate_size"`
	Layers        int      `json:"num_hidden_layers"`
	Heads         int      `json:"num_attention_heads"`
	KVHeads       int      `json:"num_key_value_heads"`
	HeadDim       int      `json:"head_dim"` // in no file of the hub, but transformers reads it
	Activation    string   `json:"hidden_act"`
	Eps           float64  `json:"norm_epsilon"`
	Window        *int     `json:"sliding_window"`
	Bias          bool     `json:"use_bias"`
	Tied          bool     `json:"tie_word_embeddings"`
	ropeFields

	architecture string
	lm           bool
	rope         nn.Rope
	act          runtime.Fn
	left         int
	names        func(string) string // of a GGUF file; nil: Hugging Face's
}

func starcoder2JSON(src Source, ck *weights.Checkpoint) (config, error) {
	c := &starcoder2Config{Vocab: 49152, Positions: 4096, Hidden: 3072, Inner: 12288, Layers: 30, Heads: 24, KVHeads: 2,
		Activation: "gelu_pytorch_tanh", Eps: 1e-5, Bias: true, Tied: true, left: runtime.Unlimited}
	if err := decode(src, c); err != nil {
		return nil, err
	}
	k := checker{src: src, ck: ck}
	if c.check(&k, "Starcoder2ForCausalLM", "Starcoder2Model"); k.err == nil {
		c.rope, k.err = c.ropeFields.rope(src, c.HeadDim, c.Positions)
	}
	return c, k.err
}

// check checks the fields; have are the classes, first the one with a head.
func (c *starcoder2Config) check(k *checker, have ...string) {
	c.architecture, c.lm = k.class(c.Architectures, have...)
	if c.HeadDim == 0 && c.Heads > 0 {
		c.HeadDim = c.Hidden / c.Heads
	}
	k.dims(dim{"vocab_size", c.Vocab, maxWidth}, dim{"max_position_embeddings", c.Positions, maxContext}, dim{"hidden_size", c.Hidden, maxWidth},
		dim{"intermediate_size", c.Inner, maxWidth}, dim{"num_hidden_layers", c.Layers, maxLayers}, dim{"num_attention_heads", c.Heads, maxWidth},
		dim{"num_key_value_heads", c.KVHeads, maxWidth}, dim{"head_dim", c.HeadDim, 1 << 16})
	k.divides("num_key_value_heads", c.Heads, c.KVHeads)
	k.positive("norm_epsilon", c.Eps)
	c.act = k.activation("hidden_act", c.Activation)
	if c.Window != nil {
		k.dims(dim{"sliding_window", *c.Window, maxContext})
		c.left = *c.Window - 1
	}
}

func (c *starcoder2Config) info() Info {
	return Info{Family: "starcoder2", Architecture: c.architecture, Kind: Decoder, Layers: c.Layers, Heads: c.Heads, KVHeads: c.KVHeads,
		HeadDim: c.HeadDim, Hidden: c.Hidden, Vocab: c.Vocab, Context: c.Positions, LM: c.lm}.with(
		windowed([]int{c.left}), rotated(c.rope, c.HeadDim))
}

func (c *starcoder2Config) load(s *runtime.Stream, ck *weights.Checkpoint, opt Options) (Model, error) {
	root := scope(ck, c.names, weights.ScopeConfig{Strip: []string{"model."}, Ignore: []string{"*rotary_emb.inv_freq"}})
	sc := root.Sub("model")
	rotary := &nn.Rotary{} // its tables are made when all tensors are known to be there
	m := &decoder{about: c.info()}
	m.loadTokens(s, sc.Sub("embed_tokens"), c.Tied)
	nq, nk := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	for i := range c.Layers {
		l := sc.Sub("layers").Layer(i)
		at := l.Sub("self_attn")
		m.blocks = append(m.blocks, &preNorm{
			norm1: nn.LoadLayerNorm(s, l.Sub("input_layernorm"), c.Hidden, c.Eps),
			norm2: nn.LoadLayerNorm(s, l.Sub("post_attention_layernorm"), c.Hidden, c.Eps),
			attn: nn.Attention{
				QKV:   nn.LoadLinear(s, readProjections(at, c.Hidden, nq, nk, c.Bias)...),
				Out:   nn.LoadLinear(s, nn.ReadDense(at.Sub("o_proj"), nq, c.Hidden, c.Bias)),
				Heads: c.Heads, KVHeads: c.KVHeads, HeadDim: c.HeadDim,
				Scale: rsqrt(c.HeadDim), Left: c.left, Rotary: rotary,
			},
			ff: new(nn.LoadMLP(s, nn.ReadDense(l.Sub("mlp.c_fc"), c.Hidden, c.Inner, c.Bias),
				nn.ReadDense(l.Sub("mlp.c_proj"), c.Inner, c.Hidden, c.Bias), c.act)),
		})
	}
	m.norm = new(nn.LoadLayerNorm(s, sc.Sub("norm"), c.Hidden, c.Eps))
	m.loadHead(s, root.Sub("lm_head"), c.Tied, false)
	if err := root.Err(); err != nil {
		return nil, err
	}
	*rotary = *nn.LoadRotary(s, c.rope, opt.positions(c.Positions), false)
	return m, nil
}
