package model

// Mixtral (Jiang et al., 2024): Mistral whose feed-forward layers are mixtures of
// experts; the weights of those chosen add up to 1.

import (
	"github.com/godwit-ml/godwit/nn"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/weights"
)

type mixtralConfig struct {
	llamaFields
	windowFields
	Experts int  `json:"num_local_experts"`
	Alias   *int `json:"num_experts"`
	Top     int  `json:"num_experts_per_tok"`
	left    []int
}

func mixtralJSON(src Source, ck *weights.Checkpoint) (config, error) {
	c := &mixtralConfig{Experts: 8, Top: 2, llamaFields: llamaFields{Vocab: 32000, Hidden: 4096, Inner: 14336,
		Layers: 32, Heads: 32, KVHeads: new(8), Positions: 131072, Activation: "silu", Eps: 1e-5}}
	if err := decode(src, c); err != nil {
		return nil, err
	}
	if c.Alias != nil {
		c.Experts = *c.Alias
	}
	if c.RopeTheta == nil {
		c.RopeTheta = new(1e6)
	}
	k := checker{src: src, ck: ck}
	c.check(&k, "MixtralForCausalLM", "MixtralModel")
	k.checkExperts(c.Experts, c.Top, c.Layers)
	c.left = c.same(&k, c.Layers)
	c.rotate(&k)
	return c, k.err
}

func (c *mixtralConfig) info() Info {
	return c.about("mixtral").with(windowed(c.left), mixed(c.Top, c.Experts))
}

func (c *mixtralConfig) load(s *runtime.Stream, ck *weights.Checkpoint, opt Options) (Model, error) {
	return c.decoder(s, ck, c.info(), opt, nn.LoadRMSNorm, func(l *weights.Scope, layer int, r *nn.Rotary) block {
		attn := c.attention(s, l.Sub("self_attn"), false, false, r)
		attn.Left = c.left[layer]
		moe := l.Sub("block_sparse_moe")
		return c.block(s, l, attn, nn.LoadMoE(s, nn.ReadDense(moe.Sub("gate"), c.Hidden, c.Experts, false),
			readExperts(moe, "w1", "w3", "w2", c.Experts, c.Hidden, c.Inner), c.Inner, c.Top, runtime.SoftmaxTop, c.act))
	})
}
