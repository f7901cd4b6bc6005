package model

// Mistral 7B (Jiang et al., 2023): Llama without biases, whose layers see a
// sliding window of the last tokens.

import (
	"github.com/godwit-ml/godwit/nn"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/weights"
)

type mistralConfig struct {
	llamaFields
	windowFields
	left []int
}

func mistralJSON(src Source, ck *weights.Checkpoint) (config, error) {
	c := &mistralConfig{windowFields: windowFields{Window: new(4096)}, llamaFields: llamaFields{Vocab: 32000, Hidden: 4096, Inner: 14336,
		Layers: 32, Heads: 32, KVHeads: new(8), Positions: 131072, Activation: "silu", Eps: 1e-6}}
	if err := decode(src, c); err != nil {
		return nil, err
	}
	k := checker{src: src, ck: ck}
	c.check(&k, "MistralForCausalLM", "MistralModel")
	c.left = c.same(&k, c.Layers)
	c.rotate(&k)
	return c, k.err
}

func (c *mistralConfig) info() Info { return c.about("mistral").with(windowed(c.left)) }

func (c *mistralConfig) load(s *runtime.Stream, ck *weights.Checkpoint, opt Options) (Model, error) {
	return c.decoder(s, ck, c.info(), opt, nn.LoadRMSNorm, func(l *weights.Scope, layer int, r *nn.Rotary) block {
		attn := c.attention(s, l.Sub("self_attn"), false, false, r)
		attn.Left = c.left[layer]
		return c.block(s, l, attn, c.mlp(s, l.Sub("mlp"), false))
	})
}
