package model

// GPT-Neo (Black et al., 2021), the open GPT-3 (Brown et al., 2020): GPT-2 whose
// layers see, in turn, all that came before and a window of it, and whose scores
// are not scaled. q, k and v have no biases.

import (
	"encoding/json"
	"fmt"

	"github.com/godwit-ml/godwit/nn"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/weights"
)

type gptNeoConfig struct {
	Architectures []string             `json:"architectures"`
	Vocab         int                  `json:"vocab_size"`
	Positions     int                  `json:"max_position_embeddings"`
	Hidden        int                  `json:"hidden_size"`
	Inner         *int                 `json:"intermediate_size"`
	Layers        int                  `json:"num_layers"`
	Heads         int                  `json:"num_heads"`
	Types         [][2]json.RawMessage `json:"attention_types"` // [[["global", "local"], 12]]
	LayerTypes    []string             `json:"attention_layers"`
	Window        int                  `json:"window_size"`
	Activation    string               `json:"activation_function"`
	Eps           float64              `json:"layer_norm_epsilon"`
	Tied          bool                 `json:"tie_word_embeddings"`

	architecture string
	lm           bool
	inner        int
	act          runtime.Fn
}

func gptNeoJSON(src Source, ck *weights.Checkpoint) (config, error) {
	c := &gptNeoConfig{Vocab: 50257, Positions: 2048, Hidden: 2048, Layers: 24, Heads: 16, Window: 256,
		Activation: "gelu_new", Eps: 1e-5, Tied: true}
	if err := decode(src, c, map[string]string{"num_attention_heads": "num_heads", "num_hidden_layers": "num_layers"}); err != nil {
		return nil, err
	}
	k := checker{src: src, ck: ck}
	c.architecture, c.lm = k.class(c.Architectures, "GPTNeoForCausalLM", "GPTNeoModel")
	c.inner = 4 * c.Hidden
	if c.Inner != nil {
		c.inner = *c.Inner
	}
	k.dims(dim{"vocab_size", c.Vocab, maxWidth}, dim{"max_position_embeddings", c.Positions, maxContext}, dim{"hidden_size", c.Hidden, maxWidth},
		dim{"intermediate_size", c.inner, maxWidth}, dim{"num_layers", c.Layers, maxLayers}, dim{"num_heads", c.Heads, maxWidth},
		dim{"window_size", c.Window, maxContext})
	k.divides("num_heads", c.Hidden, c.Heads)
	k.positive("layer_norm_epsilon", c.Eps)
	c.act = k.activation("activation_function", c.Activation)
	if c.LayerTypes == nil && k.err == nil {
		k.keep(c.expand(src))
	}
	k.contradicts(len(c.LayerTypes) != c.Layers, "attention_types", "name %d layers, num_layers is %d", len(c.LayerTypes), c.Layers)
	for _, t := range c.LayerTypes {
		k.refuse(t != "global" && t != "local", "attention_types", fmt.Sprintf("%q", t), "global", "local")
	}
	return c, k.err
}

// expand makes layer types of attention_types: lists of types, and how often each
// list is repeated.
func (c *gptNeoConfig) expand(src Source) error {
	if c.Types == nil {
		for range 12 {
			c.LayerTypes = append(c.LayerTypes, "global", "local")
		}
		return nil
	}
	for _, item := range c.Types {
		var types []string
		var times int
		if json.Unmarshal(item[0], &types) != nil || json.Unmarshal(item[1], &times) != nil || times < 0 {
			return &ConfigError{src.File, "attention_types", "want a list of [[types], times]"}
		}
		for range times {
			if c.LayerTypes = append(c.LayerTypes, types...); len(types) == 0 || len(c.LayerTypes) > c.Layers {
				break // an empty list, or a contradiction already
			}
		}
	}
	return nil
}

func (c *gptNeoConfig) info() Info {
	return Info{Family: "gpt-neo", Architecture: c.architecture, Kind: Decoder, Layers: c.Layers, Heads: c.Heads, KVHeads: c.Heads,
		HeadDim: c.Hidden / c.Heads, Hidden: c.Hidden, Vocab: c.Vocab, Context: c.Positions, LM: c.lm}.with(unscaled, windowed(c.lefts()))
}

// lefts is how many keys before a token each layer sees.
func (c *gptNeoConfig) lefts() []int {
	left := make([]int, len(c.LayerTypes))
	for i, t := range c.LayerTypes {
		if left[i] = runtime.Unlimited; t == "local" {
			left[i] = c.Window - 1
		}
	}
	return left
}

func (c *gptNeoConfig) load(s *runtime.Stream, ck *weights.Checkpoint, _ Options) (Model, error) {
	root := ck.Scope(weights.ScopeConfig{Strip: []string{"transformer."}, Ignore: []string{"*.attn.attention.bias", "*.attn.attention.masked_bias"}})
	sc := root.Sub("transformer")
	m := &decoder{about: c.info()}
	m.loadTokens(s, sc.Sub("wte"), c.Tied)
	m.positions = new(nn.LoadEmbedding(s, sc.Tensor("wpe.weight", c.Positions, c.Hidden), false))
	for i, left := range c.lefts() {
		l := sc.Sub("h").Layer(i)
		at := l.Sub("attn.attention")
		in := func(name string) nn.Dense { return nn.ReadDense(at.Sub(name), c.Hidden, c.Hidden, false) }
		m.blocks = append(m.blocks, &preNorm{
			norm1: nn.LoadLayerNorm(s, l.Sub("ln_1"), c.Hidden, c.Eps),
			norm2: nn.LoadLayerNorm(s, l.Sub("ln_2"), c.Hidden, c.Eps),
			attn: nn.Attention{
				QKV:   nn.LoadLinear(s, in("q_proj"), in("k_proj"), in("v_proj")),
				Out:   nn.LoadLinear(s, nn.ReadDense(at.Sub("out_proj"), c.Hidden, c.Hidden, true)),
				Heads: c.Heads, KVHeads: c.Heads, HeadDim: c.Hidden / c.Heads,
				Scale: 1, Left: left,
			},
			ff: new(nn.LoadMLP(s, nn.ReadDense(l.Sub("mlp.c_fc"), c.Hidden, c.inner, true),
				nn.ReadDense(l.Sub("mlp.c_proj"), c.inner, c.Hidden, true), c.act)),
		})
	}
	m.norm = new(nn.LoadLayerNorm(s, sc.Sub("ln_f"), c.Hidden, c.Eps))
	m.loadHead(s, root.Sub("lm_head"), c.Tied, false)
	return m, root.Err()
}
