package model

// GPT-2 (Radford et al., 2019): pre-norm decoder with learned positions.

import (
	"math"

	"github.com/godwit-ml/godwit/nn"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/weights"
)

// gptFields are the fields that GPT-2's configuration has in common with those
// that were derived from its code.
type gptFields struct {
	Architectures []string `json:"architectures"`
	Vocab         int      `json:"vocab_size"`
	Positions     int      `json:"n_positions"`
	Hidden        int      `json:"n_embd"`
	Layers        int      `json:"n_layer"`
	Heads         int      `json:"n_head"`
	Inner         *int     `json:"n_inner"`
	Activation    string   `json:"activation_function"`
	Eps           float64  `json:"layer_norm_epsilon"`
	Tied          bool     `json:"tie_word_embeddings"`

	architecture string
	lm           bool
	inner        int
	act          runtime.Fn
	names        func(string) string // of a GGUF file; nil: Hugging Face's
}

// gptAliases are other spellings of gptFields.
var gptAliases = map[string]string{"max_position_embeddings": "n_positions", "hidden_size": "n_embd",
	"num_attention_heads": "n_head", "num_hidden_layers": "n_layer"}

// check checks the fields, whose classes are have.
func (c *gptFields) check(k *checker, have ...string) {
	c.architecture, c.lm = k.class(c.Architectures, have...)
	if c.Inner != nil {
		c.inner = *c.Inner
	} else if c.inner == 0 {
		c.inner = 4 * c.Hidden
	}
	k.dims(dim{"vocab_size", c.Vocab, maxWidth}, dim{"n_positions", c.Positions, maxContext}, dim{"n_embd", c.Hidden, maxWidth},
		dim{"n_layer", c.Layers, maxLayers}, dim{"n_head", c.Heads, maxWidth}, dim{"n_inner", c.inner, maxWidth})
	k.divides("n_head", c.Hidden, c.Heads)
	k.positive("layer_norm_epsilon", c.Eps)
	c.act = k.activation("activation_function", c.Activation)
}

// about is the Info of a family whose heads have each their own key.
func (c *gptFields) about(family string) Info {
	return Info{Family: family, Architecture: c.architecture, Kind: Decoder, Layers: c.Layers, Heads: c.Heads, KVHeads: c.Heads,
		HeadDim: c.Hidden / c.Heads, Hidden: c.Hidden, Vocab: c.Vocab, Context: c.Positions, LM: c.lm}
}

type gpt2Config struct {
	gptFields
	ScaleWeights   bool `json:"scale_attn_weights"`
	ScaleByLayer   bool `json:"scale_attn_by_inverse_layer_idx"`
	CrossAttention bool `json:"add_cross_attention"`
}

func gpt2JSON(src Source, ck *weights.Checkpoint) (config, error) {
	c := &gpt2Config{ScaleWeights: true, gptFields: gptFields{Vocab: 50257, Positions: 1024, Hidden: 768, Layers: 12, Heads: 12,
		Activation: "gelu_new", Eps: 1e-5, Tied: true}}
	if err := decode(src, c, gptAliases); err != nil {
		return nil, err
	}
	k := checker{src: src, ck: ck}
	k.refuse(c.CrossAttention, "add_cross_attention", true)
	c.check(&k, "GPT2LMHeadModel", "GPT2Model")
	return c, k.err
}

func (c *gpt2Config) info() Info {
	return c.about("gpt2").with(when(!c.ScaleWeights, unscaled), when(c.ScaleByLayer, "attention: scores of layer i are divided by i+1"))
}

func (c *gpt2Config) load(s *runtime.Stream, ck *weights.Checkpoint, _ Options) (Model, error) {
	dense := nn.ReadConv1D
	if c.names != nil {
		dense = func(sc *weights.Scope, in, out int) nn.Dense { return nn.ReadDense(sc, in, out, true) }
	}
	root := scope(ck, c.names, weights.ScopeConfig{Strip: []string{"transformer."}, Ignore: []string{"*.attn.bias", "*.attn.masked_bias"}})
	sc := root.Sub("transformer")
	m := &decoder{about: c.info()}
	m.loadTokens(s, sc.Sub("wte"), c.Tied)
	m.positions = new(nn.LoadEmbedding(s, sc.Tensor("wpe.weight", c.Positions, c.Hidden), false))
	for i := range c.Layers {
		l := sc.Sub("h").Layer(i)
		m.blocks = append(m.blocks, &preNorm{
			norm1: nn.LoadLayerNorm(s, l.Sub("ln_1"), c.Hidden, c.Eps),
			norm2: nn.LoadLayerNorm(s, l.Sub("ln_2"), c.Hidden, c.Eps),
			attn: nn.Attention{
				QKV:   nn.LoadLinear(s, dense(l.Sub("attn.c_attn"), c.Hidden, 3*c.Hidden)),
				Out:   nn.LoadLinear(s, dense(l.Sub("attn.c_proj"), c.Hidden, c.Hidden)),
				Heads: c.Heads, KVHeads: c.Heads, HeadDim: c.Hidden / c.Heads,
				Scale: c.scale(i), Left: runtime.Unlimited,
			},
			ff: new(nn.LoadMLP(s, dense(l.Sub("mlp.c_fc"), c.Hidden, c.inner), dense(l.Sub("mlp.c_proj"), c.inner, c.Hidden), c.act)),
		})
	}
	m.norm = new(nn.LoadLayerNorm(s, sc.Sub("ln_f"), c.Hidden, c.Eps))
	m.loadHead(s, root.Sub("lm_head"), c.Tied, false)
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
