package model

// GPTBigCode: SantaCoder and StarCoder (Li et al., 2023), open Codexes. GPT-2 with
// linear weights [out, in] and, usually, one key and value head for all queries
// (multi-query attention; Shazeer, 2019): c_attn [D + 2·HeadDim, D].

import (
	"github.com/godwit-ml/godwit/nn"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/weights"
)

type bigcodeConfig struct {
	gptFields
	MultiQuery     bool `json:"multi_query"`
	ScaleWeights   bool `json:"scale_attn_weights"`
	CrossAttention bool `json:"add_cross_attention"`
}

func bigcodeJSON(src Source, ck *weights.Checkpoint) (config, error) {
	c := &bigcodeConfig{MultiQuery: true, ScaleWeights: true, gptFields: gptFields{Vocab: 50257, Positions: 1024, Hidden: 768, Layers: 12, Heads: 12,
		Activation: "gelu_pytorch_tanh", Eps: 1e-5, Tied: true}}
	if err := decode(src, c, gptAliases); err != nil {
		return nil, err
	}
	k := checker{src: src, ck: ck}
	k.refuse(c.CrossAttention, "add_cross_attention", true)
	c.check(&k, "GPTBigCodeForCausalLM", "GPTBigCodeModel")
	return c, k.err
}

func (c *bigcodeConfig) info() Info {
	in := c.about("gpt-bigcode")
	if c.MultiQuery {
		in.KVHeads = 1
	}
	return in
}

func (c *bigcodeConfig) load(s *runtime.Stream, ck *weights.Checkpoint, _ Options) (Model, error) {
	root := scope(ck, c.names, weights.ScopeConfig{Strip: []string{"transformer."}, Ignore: []string{"*.attn.bias", "*.attn.masked_bias"}})
	sc := root.Sub("transformer")
	m := &decoder{about: c.info()}
	m.loadTokens(s, sc.Sub("wte"), c.Tied)
	m.positions = new(nn.LoadEmbedding(s, sc.Tensor("wpe.weight", c.Positions, c.Hidden), false))
	hd := m.about.HeadDim
	scale := float32(1)
	if c.ScaleWeights {
		scale = rsqrt(hd)
	}
	for i := range c.Layers {
		l := sc.Sub("h").Layer(i)
		qkv := []nn.Dense{nn.ReadDense(l.Sub("attn.c_attn"), c.Hidden, c.Hidden+2*m.about.KVHeads*hd, true)}
		if !c.MultiQuery && c.names == nil { // q, k and v of a head lie together
			qkv = nn.Ungroup(qkv[0], c.Heads, hd, hd, hd)
		}
		m.blocks = append(m.blocks, &preNorm{
			norm1: nn.LoadLayerNorm(s, l.Sub("ln_1"), c.Hidden, c.Eps),
			norm2: nn.LoadLayerNorm(s, l.Sub("ln_2"), c.Hidden, c.Eps),
			attn: nn.Attention{
				QKV:   nn.LoadLinear(s, qkv...),
				Out:   nn.LoadLinear(s, nn.ReadDense(l.Sub("attn.c_proj"), c.Hidden, c.Hidden, true)),
				Heads: c.Heads, KVHeads: m.about.KVHeads, HeadDim: hd, Scale: scale, Left: runtime.Unlimited,
			},
			ff: new(nn.LoadMLP(s, nn.ReadDense(l.Sub("mlp.c_fc"), c.Hidden, c.inner, true),
				nn.ReadDense(l.Sub("mlp.c_proj"), c.inner, c.Hidden, true), c.act)),
		})
	}
	m.norm = new(nn.LoadLayerNorm(s, sc.Sub("ln_f"), c.Hidden, c.Eps))
	m.loadHead(s, root.Sub("lm_head"), c.Tied, false)
	return m, root.Err()
}
