package model

// GPT-2 (Radford et al., 2019): pre-norm decoder with learned positions.

import (
	"math"

	"github.com/godwit-ml/godwit/nn"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/weights"
)

type gpt2Config struct {
	Architectures  []string `json:"architectures"`
	Vocab          int      `json:"vocab_size"`
	Positions      int      `json:"n_positions"`
	Hidden         int      `json:"n_embd"`
	Layers         int      `json:"n_layer"`
	Heads          int      `json:"n_head"`
	Inner          *int     `json:"n_inner"`
	Activation     string   `json:"activation_function"`
	Eps            float64  `json:"layer_norm_epsilon"`
	ScaleWeights   bool     `json:"scale_attn_weights"`
	ScaleByLayer   bool     `json:"scale_attn_by_inverse_layer_idx"`
	Tied           bool     `json:"tie_word_embeddings"`
	CrossAttention bool     `json:"add_cross_attention"`
	architecture   string
	inner          int
	act            runtime.Fn
	lm             bool
	fromGGUF       bool
}

func gpt2JSON(src Source, ck *weights.Checkpoint) (config, error) {
	c := &gpt2Config{Positions: 1024, Activation: "gelu_new", Eps: 1e-5, ScaleWeights: true, Tied: true}
	if err := decode(src, c); err != nil {
		return nil, err
	}
	if c.CrossAttention {
		return nil, &UnsupportedError{File: src.File, What: "add_cross_attention true"}
	}
	var err error
	if c.architecture, err = architecture(src, c.Architectures, []string{"GPT2LMHeadModel", "GPT2Model"}); err != nil {
		return nil, err
	}
	c.lm = c.architecture == "GPT2LMHeadModel"
	c.inner = 4 * c.Hidden
	if c.Inner != nil {
		c.inner = *c.Inner
	}
	return c, c.check(src, ck)
}

func gpt2GGUF(src Source, ck *weights.Checkpoint) (config, error) {
	m := meta{src: src, arch: "gpt2"}
	c := &gpt2Config{
		Positions:  m.integer("context_length", -1),
		Hidden:     m.integer("embedding_length", -1),
		Layers:     m.integer("block_count", -1),
		Heads:      m.integer("attention.head_count", -1),
		inner:      m.integer("feed_forward_length", -1),
		Eps:        m.number("attention.layer_norm_epsilon", 1e-5),
		Vocab:      vocab(ck, "token_embd.weight"),
		Activation: "gelu_new", ScaleWeights: true, fromGGUF: true, lm: true,
		architecture: "gpt2",
	}
	_, untied := ck.Info("output.weight")
	c.Tied = !untied
	if m.err != nil {
		return nil, m.err
	}
	return c, c.check(src, ck)
}

func (c *gpt2Config) check(src Source, ck *weights.Checkpoint) error {
	err := checkDims(src, ck, dim{"vocab_size", c.Vocab, maxWidth}, dim{"n_positions", c.Positions, maxContext},
		dim{"n_embd", c.Hidden, maxWidth}, dim{"n_layer", c.Layers, maxLayers}, dim{"n_head", c.Heads, maxWidth}, dim{"n_inner", c.inner, maxWidth})
	if err == nil {
		err = divides(src, "n_head", c.Hidden, c.Heads)
	}
	if err == nil {
		err = positive(src, "layer_norm_epsilon", c.Eps)
	}
	if err == nil {
		c.act, err = activation(src, "activation_function", c.Activation)
	}
	return err
}

func (c *gpt2Config) info() Info {
	return Info{Family: "gpt2", Architecture: c.architecture, Kind: Decoder, Layers: c.Layers, Heads: c.Heads, KVHeads: c.Heads,
		HeadDim: c.Hidden / c.Heads, Hidden: c.Hidden, Vocab: c.Vocab, Context: c.Positions, LM: c.lm}
}

// gpt2 is wte, wpe → blocks → ln_f → lm_head.
type gpt2 struct {
	config    *gpt2Config
	tokens    nn.Embedding
	positions nn.Embedding
	blocks    []*gpt2Block
	norm      nn.Norm
	head      nn.Linear
}

type gpt2Block struct {
	ln1, ln2 nn.Norm
	attn     nn.Attention
	mlp      nn.MLP
}

func (c *gpt2Config) load(s *runtime.Stream, ck *weights.Checkpoint, _ Options) (Model, error) {
	names := weights.ScopeConfig{Strip: []string{"transformer."}, Ignore: []string{"*.attn.bias", "*.attn.masked_bias"}}
	dense := nn.ReadConv1D
	if c.fromGGUF {
		names = weights.ScopeConfig{Rename: gpt2Names}
		dense = func(sc *weights.Scope, in, out int) nn.Dense { return nn.ReadDense(sc, in, out, true) }
	}
	root := ck.Scope(names)
	if c.Tied || !c.lm { // a copy of the embedding, or a head nobody asked for
		root.Ignore("lm_head.weight")
	}
	sc := root.Sub("transformer")
	m := &gpt2{config: c}
	wte := sc.Tensor("wte.weight", c.Vocab, c.Hidden)
	m.tokens = nn.LoadEmbedding(s, wte, c.Tied && c.lm)
	m.positions = nn.LoadEmbedding(s, sc.Tensor("wpe.weight", c.Positions, c.Hidden), false)
	for i := range c.Layers {
		l := sc.Sub("h").Layer(i)
		b := &gpt2Block{
			ln1: nn.LoadLayerNorm(s, l.Sub("ln_1"), c.Hidden, c.Eps),
			ln2: nn.LoadLayerNorm(s, l.Sub("ln_2"), c.Hidden, c.Eps),
			attn: nn.Attention{
				QKV:   nn.LoadLinear(s, dense(l.Sub("attn.c_attn"), c.Hidden, 3*c.Hidden)),
				Out:   nn.LoadLinear(s, dense(l.Sub("attn.c_proj"), c.Hidden, c.Hidden)),
				Heads: c.Heads, KVHeads: c.Heads, HeadDim: c.Hidden / c.Heads,
				Scale: c.scale(i), Left: runtime.Unlimited,
			},
			mlp: nn.LoadMLP(s, dense(l.Sub("mlp.c_fc"), c.Hidden, c.inner), dense(l.Sub("mlp.c_proj"), c.inner, c.Hidden), c.act),
		}
		m.blocks = append(m.blocks, b)
	}
	m.norm = nn.LoadLayerNorm(s, sc.Sub("ln_f"), c.Hidden, c.Eps)
	switch {
	case !c.lm:
	case c.Tied:
		m.head = m.tokens.Head()
	default:
		m.head = nn.LoadLinear(s, nn.ReadDense(root.Sub("lm_head"), c.Hidden, c.Vocab, false))
	}
	return m, sc.Err()
}

// scale is what layer i multiplies its scores with.
func (c *gpt2Config) scale(i int) float32 {
	scale := 1.0
	if c.ScaleWeights {
		scale /= math.Sqrt(float64(c.Hidden / c.Heads))
	}
	if c.ScaleByLayer {
		scale /= float64(i + 1)
	}
	return float32(scale)
}

func (b *gpt2Block) apply(st *nn.Step, layer int, x runtime.Tensor) {
	defer st.S.Release(st.S.Mark())
	h := st.S.Scratch(x.Rows, x.Cols)
	b.ln1.Apply(st.S, h, x)
	b.attn.Apply(st, layer, x, h)
	b.ln2.Apply(st.S, h, x)
	b.mlp.Apply(st, x, h)
}

// Info implements Model.
func (m *gpt2) Info() Info { return m.config.info() }

// Forward implements Model.
func (m *gpt2) Forward(s *runtime.Stream, b *Batch, c *Cache) runtime.Tensor {
	st, ids, _ := b.upload(s, c)
	x := s.Scratch(st.Tokens, m.config.Hidden)
	m.tokens.Apply(s, x, ids, false)
	m.positions.Apply(s, x, st.Positions, true)
	return runBlocks(st, m.blocks, x, &m.norm)
}

// Logits implements Model.
func (m *gpt2) Logits(s *runtime.Stream, hidden runtime.Tensor) runtime.Tensor {
	return vocabulary(s, &m.head, hidden)
}

// vocabulary applies a vocabulary head; absent if there is none.
func vocabulary(s *runtime.Stream, head *nn.Linear, hidden runtime.Tensor) runtime.Tensor {
	if head.Out == 0 {
		return runtime.Tensor{}
	}
	out := s.Scratch(hidden.Rows, head.Out)
	head.Apply(s, out, hidden, nn.Epilogue{})
	return out
}

var gpt2Names = ggufNames("transformer.h.",
	map[string]string{"transformer.wte": "token_embd", "transformer.wpe": "position_embd", "transformer.ln_f": "output_norm", "lm_head": "output"},
	map[string]string{"ln_1": "attn_norm", "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output",
		"ln_2": "ffn_norm", "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down"})
