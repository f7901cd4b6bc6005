package model

// Falcon (Almazrouei et al., 2023), after PaLM: attention and feed-forward side by
// side, few KV heads. 7B has one KV head and one norm a layer, 40B groups of heads
// and two norms; RW is BLOOM-like: layers in sequence, ALiBi, in bfloat16.

import (
	"github.com/godwit-ml/godwit/nn"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/weights"
)

type falconConfig struct {
	Architectures []string `json:"architectures"`
	Vocab         int      `json:"vocab_size"`
	Positions     int      `json:"max_position_embeddings"`
	Hidden        int      `json:"hidden_size"`
	Inner         *int     `json:"ffn_hidden_size"`
	Layers        int      `json:"num_hidden_layers"`
	Heads         int      `json:"num_attention_heads"`
	KVHeads       *int     `json:"num_kv_heads"`
	Norms         *int     `json:"num_ln_in_parallel_attn"`
	Alibi         bool     `json:"alibi"`
	New           bool     `json:"new_decoder_architecture"`
	MultiQuery    bool     `json:"multi_query"`
	Parallel      bool     `json:"parallel_attn"`
	Bias          bool     `json:"bias"`
	Activation    string   `json:"activation"`
	Eps           float64  `json:"layer_norm_epsilon"`
	Tied          bool     `json:"tie_word_embeddings"`
	ropeFields

	architecture string
	lm           bool
	inner        int
	kvHeads      int
	rope         nn.Rope
	act          runtime.Fn
	names        func(string) string // of a GGUF file; nil: Hugging Face's
}

func falconJSON(src Source, ck *weights.Checkpoint) (config, error) {
	c := &falconConfig{Vocab: 65024, Positions: 2048, Hidden: 4544, Layers: 32, Heads: 71, MultiQuery: true, Parallel: true,
		Activation: "gelu", Eps: 1e-5, Tied: true}
	if err := decode(src, c, map[string]string{"n_embed": "hidden_size"}); err != nil {
		return nil, err
	}
	k := checker{src: src, ck: ck}
	if c.check(&k, "FalconForCausalLM", "FalconModel"); k.err == nil && !c.Alibi {
		c.rope, k.err = c.ropeFields.rope(src, c.Hidden/c.Heads, c.Positions)
	}
	return c, k.err
}

// check checks the fields; have are the classes, first the one with a head.
func (c *falconConfig) check(k *checker, have ...string) {
	c.architecture, c.lm = k.class(c.Architectures, have...)
	c.inner = 4 * c.Hidden
	if c.Inner != nil {
		c.inner = *c.Inner
	}
	c.heads(k)
	k.dims(dim{"vocab_size", c.Vocab, maxWidth}, dim{"max_position_embeddings", c.Positions, maxContext}, dim{"hidden_size", c.Hidden, maxWidth},
		dim{"ffn_hidden_size", c.inner, maxWidth}, dim{"num_hidden_layers", c.Layers, maxLayers}, dim{"num_attention_heads", c.Heads, maxWidth},
		dim{"num_kv_heads", c.kvHeads, maxWidth})
	k.divides("num_attention_heads", c.Hidden, c.Heads)
	k.divides("num_kv_heads", c.Heads, c.kvHeads)
	k.positive("layer_norm_epsilon", c.Eps)
	c.act = k.activation("activation", c.Activation)
}

// heads finds how many KV heads and norms there are: the old architecture has one
// KV head or as many as heads, and one norm; the new one groups, and one or two.
func (c *falconConfig) heads(k *checker) {
	c.kvHeads = c.Heads
	if c.KVHeads != nil {
		c.kvHeads = *c.KVHeads
	}
	norms := 1
	if c.New {
		norms = 2
	}
	if c.Norms == nil {
		c.Norms = &norms
	}
	k.refuse(c.New && !c.Parallel, "new_decoder_architecture true with parallel_attn", false)
	k.refuse(*c.Norms != 1 && !(c.New && *c.Norms == 2), "num_ln_in_parallel_attn", *c.Norms, "1", "with new_decoder_architecture 2")
	if c.New {
		return
	}
	if c.MultiQuery {
		c.kvHeads = 1
		return
	}
	k.contradicts(c.kvHeads != c.Heads, "num_kv_heads", "is %d of %d heads, with neither new_decoder_architecture nor multi_query", c.kvHeads, c.Heads)
}

func (c *falconConfig) info() Info {
	return Info{Family: "falcon", Architecture: c.architecture, Kind: Decoder, Layers: c.Layers, Heads: c.Heads, KVHeads: c.kvHeads,
		HeadDim: c.Hidden / c.Heads, Hidden: c.Hidden, Vocab: c.Vocab, Context: c.Positions, LM: c.lm}.with(
		when(c.Alibi, "positions: ALiBi, rounded to bfloat16"), rotated(c.rope, c.Hidden/c.Heads), when(c.Parallel || c.New, sideBySide))
}

func (c *falconConfig) load(s *runtime.Stream, ck *weights.Checkpoint, opt Options) (Model, error) {
	root := scope(ck, c.names, weights.ScopeConfig{Strip: []string{"transformer."}, Ignore: []string{"*rotary_emb.inv_freq"}})
	sc := root.Sub("transformer")
	attn := nn.Attention{Heads: c.Heads, KVHeads: c.kvHeads, HeadDim: c.Hidden / c.Heads, Scale: rsqrt(c.Hidden / c.Heads), Left: runtime.Unlimited}
	alibi := &nn.FalconAlibi{}
	if c.Alibi {
		attn.Scores = alibi
	} else {
		attn.Rotary = &nn.Rotary{}
	}
	m := &decoder{about: c.info()}
	m.loadTokens(s, sc.Sub("word_embeddings"), c.Tied)
	for i := range c.Layers {
		m.blocks = append(m.blocks, c.block(s, sc.Sub("h").Layer(i), attn))
	}
	m.norm = new(nn.LoadLayerNorm(s, sc.Sub("ln_f"), c.Hidden, c.Eps))
	m.loadHead(s, root.Sub("lm_head"), c.Tied, false)
	if err := root.Err(); err != nil {
		return nil, err
	}
	// Tables are made when all tensors are known to be there.
	if n := opt.positions(c.Positions); c.Alibi {
		*alibi = *nn.LoadFalconAlibi(s, c.Heads, n, attn.Scale)
	} else {
		*attn.Rotary = *nn.LoadRotary(s, c.rope, n, false)
	}
	return m, nil
}

func (c *falconConfig) block(s *runtime.Stream, l *weights.Scope, attn nn.Attention) block {
	at, hd := l.Sub("self_attention"), attn.HeadDim
	attn.QKV = nn.LoadLinear(s, readGroups(at, "query_key_value", c.Hidden, c.kvHeads, c.Heads/c.kvHeads, hd, c.Bias)...)
	attn.Out = nn.LoadLinear(s, nn.ReadDense(at.Sub("dense"), c.Hidden, c.Hidden, c.Bias))
	norm := func(name string) nn.Norm { return nn.LoadLayerNorm(s, l.Sub(name), c.Hidden, c.Eps) }
	ff := new(nn.LoadMLP(s, nn.ReadDense(l.Sub("mlp.dense_h_to_4h"), c.Hidden, c.inner, c.Bias),
		nn.ReadDense(l.Sub("mlp.dense_4h_to_h"), c.inner, c.Hidden, c.Bias), c.act))
	switch {
	case !c.Parallel:
		return &preNorm{norm1: norm("input_layernorm"), norm2: norm("post_attention_layernorm"), attn: attn, ff: ff}
	case *c.Norms == 2:
		return &parallelNorms{norm1: norm("ln_attn"), norm2: norm("ln_mlp"), attn: attn, ff: ff}
	}
	return &parallel{norm: norm("input_layernorm"), attn: attn, ff: ff}
}
