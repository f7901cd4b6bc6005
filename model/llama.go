package model

// Llama (Touvron et al., 2023; Grattafiori et al., 2024): pre-norm decoder with
// RMSNorm, rotary positions, grouped KV heads and a gated feed-forward layer.

import (
	"github.com/godwit-ml/godwit/nn"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/weights"
)

type llamaConfig struct {
	llamaFields
	windowFields
	AttentionBias bool `json:"attention_bias"`
	MLPBias       bool `json:"mlp_bias"`
}

func llamaJSON(src Source, ck *weights.Checkpoint) (config, error) {
	c := &llamaConfig{llamaFields: llamaFields{Vocab: 32000, Hidden: 4096, Inner: 11008, Layers: 32, Heads: 32,
		Positions: 2048, Activation: "silu", Eps: 1e-6}}
	if err := decode(src, c); err != nil {
		return nil, err
	}
	k := checker{src: src, ck: ck}
	c.check(&k, "LlamaForCausalLM", "LlamaModel")
	k.refuse(c.Window != nil, "sliding_window", "of a Llama, whose layers see all tokens: model_type \"mistral\" has one", "null")
	c.same(&k, c.Layers)
	c.rotate(&k)
	return c, k.err
}

func (c *llamaConfig) info() Info { return c.about("llama") }

func (c *llamaConfig) load(s *runtime.Stream, ck *weights.Checkpoint, opt Options) (Model, error) {
	return c.decoder(s, ck, c.info(), opt, nn.LoadRMSNorm, func(l *weights.Scope, _ int, r *nn.Rotary) block {
		return c.block(s, l, c.attention(s, l.Sub("self_attn"), c.AttentionBias, c.AttentionBias, r), c.mlp(s, l.Sub("mlp"), c.MLPBias))
	})
}
