package model

// OPT (Zhang et al., 2022), GPT-3's shapes rebuilt: learned positions that begin
// at row 2, ReLU, norms before the layers, or after them (350m). Embeddings may be
// narrower than the blocks [T, P] and are then projected to [T, D] and back.

import (
	"github.com/godwit-ml/godwit/nn"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/weights"
)

// What no OPT configuration holds.
const (
	optEps    = 1e-5
	optOffset = 2 // rows of the position table before position 0
)

type optConfig struct {
	Architectures []string `json:"architectures"`
	Vocab         int      `json:"vocab_size"`
	Positions     int      `json:"max_position_embeddings"`
	Hidden        int      `json:"hidden_size"`
	Projected     *int     `json:"word_embed_proj_dim"`
	Inner         int      `json:"ffn_dim"`
	Layers        int      `json:"num_hidden_layers"`
	Heads         int      `json:"num_attention_heads"`
	Activation    string   `json:"activation_function"`
	Before        bool     `json:"do_layer_norm_before"`
	NoFinalNorm   bool     `json:"_remove_final_layer_norm"`
	Bias          bool     `json:"enable_bias"`
	Affine        bool     `json:"layer_norm_elementwise_affine"`
	Tied          bool     `json:"tie_word_embeddings"`

	architecture string
	lm           bool
	width        int // of the embeddings, P
	act          runtime.Fn
}

func optJSON(src Source, ck *weights.Checkpoint) (config, error) {
	c := &optConfig{Vocab: 50272, Positions: 2048, Hidden: 768, Inner: 3072, Layers: 12, Heads: 12,
		Activation: "relu", Before: true, Bias: true, Affine: true, Tied: true}
	if err := decode(src, c); err != nil {
		return nil, err
	}
	k := checker{src: src, ck: ck}
	c.architecture, c.lm = k.class(c.Architectures, "OPTForCausalLM", "OPTModel")
	c.width = c.Hidden
	if c.Projected != nil {
		c.width = *c.Projected
	}
	k.dims(dim{"vocab_size", c.Vocab, maxWidth}, dim{"max_position_embeddings", c.Positions, maxContext}, dim{"hidden_size", c.Hidden, maxWidth},
		dim{"word_embed_proj_dim", c.width, maxWidth}, dim{"ffn_dim", c.Inner, maxWidth}, dim{"num_hidden_layers", c.Layers, maxLayers},
		dim{"num_attention_heads", c.Heads, maxWidth})
	k.divides("num_attention_heads", c.Hidden, c.Heads)
	c.act = k.activation("activation_function", c.Activation)
	return c, k.err
}

func (c *optConfig) info() Info {
	return Info{Family: "opt", Architecture: c.architecture, Kind: Decoder, Layers: c.Layers, Heads: c.Heads, KVHeads: c.Heads,
		HeadDim: c.Hidden / c.Heads, Hidden: c.width, Vocab: c.Vocab, Context: c.Positions, LM: c.lm}.with(
		when(!c.Before, normsAfter), when(c.width != c.Hidden, "embeddings: of %d features, blocks of %d", c.width, c.Hidden))
}

// opt is embed_tokens → project_in, + embed_positions → layers → final_layer_norm
// → project_out → lm_head.
type opt struct {
	decoder
	in, out nn.Linear // Out 0: the embeddings are as wide as the blocks
}

func (c *optConfig) load(s *runtime.Stream, ck *weights.Checkpoint, _ Options) (Model, error) {
	root := ck.Scope(weights.ScopeConfig{Strip: []string{"model."}})
	sc := root.Sub("model.decoder")
	m := &opt{decoder: decoder{about: c.info()}}
	m.loadTokens(s, sc.Sub("embed_tokens"), c.Tied)
	table := sc.Tensor("embed_positions.weight", optOffset+c.Positions, c.Hidden)
	if !table.IsZero() {
		table = table.RowRange(optOffset, table.Rows)
	}
	m.positions = new(nn.LoadEmbedding(s, table, false))
	if c.width != c.Hidden {
		m.in = nn.LoadLinear(s, nn.ReadDense(sc.Sub("project_in"), c.width, c.Hidden, false))
		m.out = nn.LoadLinear(s, nn.ReadDense(sc.Sub("project_out"), c.Hidden, c.width, false))
	}
	for i := range c.Layers {
		m.blocks = append(m.blocks, c.block(s, sc.Sub("layers").Layer(i)))
	}
	if c.Before && !c.NoFinalNorm {
		m.norm = new(c.layerNorm(s, sc.Sub("final_layer_norm")))
	}
	m.loadHead(s, root.Sub("lm_head"), c.Tied, false)
	return m, root.Err()
}

func (c *optConfig) block(s *runtime.Stream, l *weights.Scope) block {
	at := l.Sub("self_attn")
	dense := func(name string) nn.Dense { return nn.ReadDense(at.Sub(name), c.Hidden, c.Hidden, c.Bias) }
	b := preNorm{
		norm1: c.layerNorm(s, l.Sub("self_attn_layer_norm")),
		norm2: c.layerNorm(s, l.Sub("final_layer_norm")),
		attn: nn.Attention{
			QKV:   nn.LoadLinear(s, dense("q_proj"), dense("k_proj"), dense("v_proj")),
			Out:   nn.LoadLinear(s, dense("out_proj")),
			Heads: c.Heads, KVHeads: c.Heads, HeadDim: c.Hidden / c.Heads,
			Scale: rsqrt(c.Hidden / c.Heads), Left: runtime.Unlimited,
		},
		ff: new(nn.LoadMLP(s, nn.ReadDense(l.Sub("fc1"), c.Hidden, c.Inner, c.Bias), nn.ReadDense(l.Sub("fc2"), c.Inner, c.Hidden, c.Bias), c.act)),
	}
	if c.Before {
		return &b
	}
	return new(postNorm(b))
}

// layerNorm binds a norm, which may have neither weight nor bias.
func (c *optConfig) layerNorm(s *runtime.Stream, sc *weights.Scope) nn.Norm {
	if !c.Affine {
		return nn.Norm{Kind: runtime.LayerNorm, Eps: optEps}
	}
	return nn.LoadLayerNorm(s, sc, c.Hidden, optEps)
}

// Forward implements Model.
func (m *opt) Forward(s *runtime.Stream, b *Batch, c *Cache) runtime.Tensor {
	if m.in.Out == 0 {
		return m.decoder.Forward(s, b, c)
	}
	st, ids, _ := b.upload(s, c)
	narrow, x := s.Scratch(st.Tokens, m.in.In), s.Scratch(st.Tokens, m.in.Out)
	m.tokens.Apply(s, narrow, ids, false)
	m.in.Apply(s, x, narrow, nn.Epilogue{})
	m.positions.Apply(s, x, st.Positions, true)
	applyBlocks(st, m.blocks, x)
	if m.norm != nil {
		m.norm.Apply(s, x, x)
	}
	m.out.Apply(s, narrow, x, nn.Epilogue{})
	st.Hidden(len(m.blocks), narrow)
	return narrow
}
