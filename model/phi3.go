package model

// Phi-3 (Abdin et al., 2024): Llama with q, k, v in one matrix and gate, up in
// another, a sliding window, and rotary positions that change in sequences longer
// than those it was first trained on (LongRoPE).

import (
	"github.com/godwit-ml/godwit/nn"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/weights"
)

type phi3Config struct {
	llamaFields
	windowFields
	left []int
}

func phi3JSON(src Source, ck *weights.Checkpoint) (config, error) {
	c := &phi3Config{llamaFields: llamaFields{Vocab: 32064, Hidden: 3072, Inner: 8192, Layers: 32, Heads: 32, Positions: 4096,
		Activation: "silu", Eps: 1e-5, ropeFields: ropeFields{Original: 4096}}}
	if err := decode(src, c); err != nil {
		return nil, err
	}
	k := checker{src: src, ck: ck}
	c.check(&k, "Phi3ForCausalLM", "Phi3Model")
	c.left = c.same(&k, c.Layers)
	c.rotate(&k)
	return c, k.err
}

// rotate reads the rotary positions, of which Phi-3 has two kinds under four names.
func (c *phi3Config) rotate(k *checker) {
	if k.err != nil {
		return
	}
	p, field := c.described()
	name := p.RopeType
	if name == "" {
		name = p.Type
	}
	switch name {
	case "su", "yarn": // of its first releases
		p.RopeType = "longrope"
	case "", "default", "longrope":
	default:
		k.refuse(true, field+".rope_type", name, "default", "longrope", "su", "yarn")
		return
	}
	var err error
	c.frequencies, err = c.partialRope(k.src, c.headDim, c.Positions, 1)
	k.keep(err)
}

func (c *phi3Config) info() Info { return c.about("phi3").with(windowed(c.left)) }

func (c *phi3Config) load(s *runtime.Stream, ck *weights.Checkpoint, opt Options) (Model, error) {
	return c.decoder(s, ck, c.info(), opt, nn.LoadRMSNorm, func(l *weights.Scope, layer int, r *nn.Rotary) block {
		attn := c.attention(s, l.Sub("self_attn"), false, false, r)
		attn.Left = c.left[layer]
		mlp := l.Sub("mlp")
		return c.block(s, l, attn, new(nn.LoadFusedMLP(s,
			nn.ReadDense(mlp.Sub("gate_up_proj"), c.Hidden, 2*c.Inner, false),
			nn.ReadDense(mlp.Sub("down_proj"), c.Inner, c.Hidden, false), c.act)))
	})
}
