package model

// ModernBERT (Warner et al., 2024): an encoder with a decoder's blocks: norms
// before, rotary positions and gated feed-forward layers. Most layers see a
// window on either side, and have positions of their own.

import (
	"fmt"
	"math"
	"slices"

	"github.com/godwit-ml/godwit/nn"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/weights"
)

// Kinds of layers, as layer_types has them.
const (
	fullAttention    = "full_attention"
	slidingAttention = "sliding_attention"
)

type modernbertConfig struct {
	Architectures []string `json:"architectures"`
	Vocab         int      `json:"vocab_size"`
	Positions     int      `json:"max_position_embeddings"`
	Hidden        int      `json:"hidden_size"`
	Inner         int      `json:"intermediate_size"`
	Layers        int      `json:"num_hidden_layers"`
	Heads         int      `json:"num_attention_heads"`
	HeadDim       *int     `json:"head_dim"`
	Activation    string   `json:"hidden_activation"`
	Eps           float64  `json:"norm_eps"`
	NormBias      bool     `json:"norm_bias"`
	AttentionBias bool     `json:"attention_bias"`
	MLPBias       bool     `json:"mlp_bias"`
	Tied          bool     `json:"tie_word_embeddings"`

	Local         int         `json:"local_attention"` // keys of a window, both sides together
	Side          *int        `json:"sliding_window"`  // half of them, another spelling
	LayerTypes    []string    `json:"layer_types"`
	GlobalEvery   int         `json:"global_attn_every_n_layers"`
	GlobalTheta   *float64    `json:"global_rope_theta"`
	LocalTheta    *float64    `json:"local_rope_theta"`
	RopeScaling   *ropeJSON   `json:"rope_scaling"`
	RopeByType    *ropeByType `json:"rope_parameters"`
	DecoderBias   bool        `json:"decoder_bias"`
	HeadBias      bool        `json:"classifier_bias"`
	HeadFunction  string      `json:"classifier_activation"`
	ClassifierOf  Pooling     `json:"classifier_pooling"`
	PositionsFrom *string     `json:"position_embedding_type"`
	labelFields

	act, headAct runtime.Fn
	ropes        map[string]nn.Rope
	classed
}

// ropeByType is rope_parameters by kind of layer.
type ropeByType struct {
	Full    *ropeJSON `json:"full_attention"`
	Sliding *ropeJSON `json:"sliding_attention"`
	ropeJSON
}

func modernbertJSON(src Source, ck *weights.Checkpoint) (config, error) {
	c := &modernbertConfig{Vocab: 50368, Positions: 8192, Hidden: 768, Inner: 1152, Layers: 22, Heads: 12, Activation: "gelu", Eps: 1e-5,
		Tied: true, Local: 128, GlobalEvery: 3, DecoderBias: true, HeadFunction: "gelu", ClassifierOf: PoolFirst}
	if err := decode(src, c); err != nil {
		return nil, err
	}
	k := &checker{src: src, ck: ck}
	k.dims(dim{"vocab_size", c.Vocab, maxWidth}, dim{"max_position_embeddings", c.Positions, maxContext},
		dim{"hidden_size", c.Hidden, maxWidth}, dim{"intermediate_size", c.Inner, maxWidth},
		dim{"num_hidden_layers", c.Layers, maxLayers}, dim{"num_attention_heads", c.Heads, maxWidth})
	k.divides("num_attention_heads", c.Hidden, c.Heads)
	k.positive("norm_eps", c.Eps)
	c.act, c.headAct = k.activation("hidden_activation", c.Activation), k.activation("classifier_activation", c.HeadFunction)
	k.refuse(c.ClassifierOf != PoolFirst && c.ClassifierOf != PoolMean, "classifier_pooling", c.ClassifierOf, "cls", "mean")
	if c.PositionsFrom != nil { // written by some, read by nobody
		k.refuse(*c.PositionsFrom != "absolute", "position_embedding_type", *c.PositionsFrom, "absolute")
	}
	if k.err == nil {
		k.refuse(c.HeadDim != nil && *c.HeadDim != c.Hidden/c.Heads, "head_dim", c.HeadDim, "hidden_size / num_attention_heads")
		c.checkLayers(k)
	}
	if k.err == nil {
		c.readRopes(k)
	}
	c.classed = k.encoderClass(c.Architectures, "ModernBert")
	c.checkLabels(k, c.classed, 2, "classifier.weight")
	return c, k.err
}

// checkLayers finds the kind of each layer and the window of those that have one.
func (c *modernbertConfig) checkLayers(k *checker) {
	if c.Side != nil {
		c.Local = 2 * *c.Side
	}
	k.contradicts(c.Local < 0 || c.Local > maxContext, "local_attention", "is %d, want 0 to %d", c.Local, maxContext)
	if c.LayerTypes == nil {
		k.contradicts(c.GlobalEvery < 1, "global_attn_every_n_layers", "is %d, want 1 or more", c.GlobalEvery)
		for i := 0; i < c.Layers && k.err == nil; i++ {
			kind := slidingAttention
			if i%c.GlobalEvery == 0 {
				kind = fullAttention
			}
			c.LayerTypes = append(c.LayerTypes, kind)
		}
	}
	k.contradicts(len(c.LayerTypes) != c.Layers, "layer_types", "has %d kinds for %d layers", len(c.LayerTypes), c.Layers)
	for i, t := range c.LayerTypes {
		k.refuse(t != fullAttention && t != slidingAttention, fmt.Sprintf("layer_types[%d]", i), fmt.Sprintf("%q", t), fullAttention, slidingAttention)
	}
}

// readRopes reads the positions of each kind of layer, in either spelling.
func (c *modernbertConfig) readRopes(k *checker) {
	p := c.RopeByType
	if p == nil {
		p = &ropeByType{Full: c.RopeScaling, Sliding: c.RopeScaling}
	} else {
		k.refuse(c.RopeScaling != nil, "rope_scaling", "beside rope_parameters")
		k.refuse(p.Theta != nil || p.RopeType != "" || p.Type != "", "rope_parameters", "for all layers alike", fullAttention, slidingAttention)
	}
	c.ropes = map[string]nn.Rope{}
	for _, kind := range []struct {
		name   string
		params *ropeJSON
		theta  *float64
		usual  float64
	}{{fullAttention, p.Full, c.GlobalTheta, 160000}, {slidingAttention, p.Sliding, c.LocalTheta, 10000}} {
		if kind.theta == nil {
			kind.theta = &kind.usual
		}
		f := ropeFields{RopeParams: kind.params, RopeTheta: kind.theta}
		r, err := f.rope(k.src, c.Hidden/c.Heads, c.Positions)
		k.keep(err)
		c.ropes[kind.name] = r
	}
}

func (c *modernbertConfig) info() Info {
	in := Info{Family: "modernbert", Architecture: c.class, Kind: Encode, Layers: c.Layers, Heads: c.Heads, KVHeads: c.Heads,
		HeadDim: c.Hidden / c.Heads, Hidden: c.Hidden, Vocab: c.Vocab, Context: c.Positions, LM: c.lm, HeadList: c.list, Distances: true}
	if c.is(HeadSequence) {
		in.Summary = c.ClassifierOf
	}
	c.label(&in, c.classed)
	return in.with(when(slices.Contains(c.LayerTypes, slidingAttention), "attention: sliding layers see %d tokens to either side, with a rotary base of their own", c.Local/2),
		"norms: before attention and feed-forward layer")
}

// bareFirst is the first block, which has no norm before its attention: the
// embeddings have just had theirs.
type bareFirst struct {
	norm nn.Norm
	attn nn.Attention
	ff   feedForward
}

func (b *bareFirst) apply(st *nn.Step, layer int, x runtime.Tensor) {
	defer st.S.Release(st.S.Mark())
	h := st.S.Scratch(x.Rows, x.Cols)
	b.attn.Apply(st, layer, x, x)
	b.norm.Apply(st.S, h, x)
	b.ff.Apply(st, x, h)
}

func (c *modernbertConfig) load(s *runtime.Stream, ck *weights.Checkpoint, opt Options) (Model, error) {
	root := ck.Scope(weights.ScopeConfig{Strip: []string{"model."}})
	sc := root.Sub("model")
	first, last := c.norm(s, sc.Sub("embeddings.norm")), c.norm(s, sc.Sub("final_norm"))
	m := &encoder{about: c.info(), norm: &last, heads: map[Head]*prediction{}, embeddings: embeddings{
		tokens: nn.LoadEmbedding(s, sc.Tensor("embeddings.tok_embeddings.weight", c.Vocab, c.Hidden), c.Tied && c.lm), norm: &first}}
	rotary := map[string]*nn.Rotary{fullAttention: {}, slidingAttention: {}} // whose tables are made when all tensors are known to be there
	for i, kind := range c.LayerTypes {
		l := sc.Sub("layers").Layer(i)
		attn := nn.Attention{
			QKV:   nn.LoadLinear(s, nn.ReadDense(l.Sub("attn.Wqkv"), c.Hidden, 3*c.Hidden, c.AttentionBias)),
			Out:   nn.LoadLinear(s, nn.ReadDense(l.Sub("attn.Wo"), c.Hidden, c.Hidden, c.AttentionBias)),
			Heads: c.Heads, KVHeads: c.Heads, HeadDim: c.Hidden / c.Heads, Scale: float32(1 / math.Sqrt(float64(c.Hidden/c.Heads))),
			Left: runtime.Unlimited, Right: runtime.Unlimited, Rotary: rotary[kind],
		}
		if kind == slidingAttention {
			attn.Left, attn.Right = c.Local/2, c.Local/2
		}
		gate, up := halves(nn.ReadDense(l.Sub("mlp.Wi"), c.Hidden, 2*c.Inner, c.MLPBias))
		mlp := nn.LoadGatedMLP(s, gate, up, nn.ReadDense(l.Sub("mlp.Wo"), c.Inner, c.Hidden, c.MLPBias), c.act)
		norm := c.norm(s, l.Sub("mlp_norm"))
		if i == 0 {
			m.blocks = append(m.blocks, &bareFirst{norm: norm, attn: attn, ff: &mlp})
			continue
		}
		m.blocks = append(m.blocks, &preNorm{norm1: c.norm(s, l.Sub("attn_norm")), norm2: norm, attn: attn, ff: &mlp})
	}
	c.loadHeads(s, root, m)
	if err := root.Err(); err != nil {
		return nil, err
	}
	for kind, r := range c.ropes {
		*rotary[kind] = *nn.LoadRotary(s, r, opt.positions(c.Positions), false)
	}
	return m, nil
}

// norm is a LayerNorm, with a bias or without.
func (c *modernbertConfig) norm(s *runtime.Stream, sc *weights.Scope) nn.Norm {
	if c.NormBias {
		return nn.LoadLayerNorm(s, sc, c.Hidden, c.Eps)
	}
	return nn.Norm{Kind: runtime.LayerNorm, Weight: s.LoadWeight(nn.ReadVector(sc, "weight", c.Hidden), runtime.UseVector), Eps: float32(c.Eps)}
}

// halves are the upper and the lower rows of a layer.
func halves(d nn.Dense) (upper, lower nn.Dense) {
	if d.W.IsZero() {
		return d, d
	}
	n := d.W.Rows / 2
	upper.W, lower.W = d.W.RowRange(0, n), d.W.RowRange(n, 2*n)
	if !d.Bias.IsZero() {
		upper.Bias, lower.Bias = d.Bias.ColRange(0, n), d.Bias.ColRange(n, 2*n)
	}
	return upper, lower
}

// loadHeads binds the one prediction head that all classes but the body have.
func (c *modernbertConfig) loadHeads(s *runtime.Stream, root *weights.Scope, m *encoder) {
	if !c.lm && len(c.list) == 0 {
		root.Ignore("head.*", "decoder.*", "classifier.*")
		return
	}
	head := &prediction{dense: nn.LoadLinear(s, nn.ReadDense(root.Sub("head.dense"), c.Hidden, c.Hidden, c.HeadBias)), act: c.headAct}
	head.normed(c.norm(s, root.Sub("head.norm")))
	for _, h := range c.list {
		n := len(c.labels)
		if h == HeadSpan {
			n = 2
		}
		m.heads[h] = head.to(s, root.Sub("classifier"), n)
	}
	if !c.lm {
		return
	}
	m.lm = head
	decoder := root.Sub("decoder")
	switch {
	case !c.Tied:
		head.out = nn.LoadLinear(s, nn.ReadDense(decoder, c.Hidden, c.Vocab, c.DecoderBias))
		return
	case c.DecoderBias:
		head.out = m.tokens.Head().WithBias(s, nn.ReadVector(decoder, "bias", c.Vocab))
	default:
		head.out = m.tokens.Head()
	}
	root.Ignore("decoder.weight") // a copy of the embedding
}
