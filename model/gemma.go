package model

// Gemma (Gemma Team, 2024): Llama with embeddings scaled by √D, norms whose
// weights are stored less 1, a GELU in the gated layer, and heads whose width does
// not follow from D.

import (
	"math"

	"github.com/godwit-ml/godwit/nn"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/weights"
)

// gemmaFields are what the three generations share.
type gemmaFields struct {
	llamaFields
	AttentionBias bool  `json:"attention_bias"`
	Bidirectional *bool `json:"use_bidirectional_attention"` // embedding models made of Gemmas
	folded        bool  // GGUF: the norms' weights have their 1
}

// check checks the fields that llamaFields does not have either.
func (c *gemmaFields) check(k *checker, have ...string) {
	c.llamaFields.check(k, have...)
	k.refuse(c.Bidirectional != nil && *c.Bidirectional, "use_bidirectional_attention", true, "false")
}

// norm is an RMSNorm times 1 + weight.
func (c *gemmaFields) norm(s *runtime.Stream, sc *weights.Scope, n int, eps float64) nn.Norm {
	w := nn.ReadVector(sc, "weight", n)
	if !w.IsZero() && !c.folded {
		plus := make([]float32, n)
		for i, v := range w.F32s() {
			plus[i] = 1 + v
		}
		w = runtime.HostF32(1, n, plus)
	}
	return nn.Norm{Kind: runtime.RMSNorm, Weight: s.LoadWeight(w, runtime.UseVector), Eps: float32(eps)}
}

// scaled is a decoder whose embeddings are multiplied by √D.
func (c *gemmaFields) scaled(d *decoder, err error) (*decoder, error) {
	if err == nil {
		d.tokens.Scale = float32(math.Sqrt(float64(c.Hidden)))
	}
	return d, err
}

type gemmaConfig struct {
	gemmaFields
	windowFields // which this generation does not have
}

func gemmaJSON(src Source, ck *weights.Checkpoint) (config, error) {
	c := &gemmaConfig{gemmaFields: gemmaFields{llamaFields: llamaFields{Vocab: 256000, Hidden: 3072, Inner: 24576, Layers: 28, Heads: 16, KVHeads: new(16),
		HeadDim: new(256), Positions: 8192, Activation: "gelu_pytorch_tanh", Eps: 1e-6, Tied: true}}}
	if err := decode(src, c); err != nil {
		return nil, err
	}
	if c.Activation == "gelu" { // what the first releases wrote for the tanh form
		c.Activation = "gelu_pytorch_tanh"
	}
	k := checker{src: src, ck: ck}
	c.check(&k, "GemmaForCausalLM", "GemmaModel")
	k.refuse(c.Window != nil, "sliding_window", "of the first Gemma, whose layers see all tokens", "null")
	c.same(&k, c.Layers)
	c.rotate(&k)
	return c, k.err
}

func (c *gemmaConfig) info() Info { return c.about("gemma").with(embeddingsScaled) }

func (c *gemmaConfig) load(s *runtime.Stream, ck *weights.Checkpoint, opt Options) (Model, error) {
	return c.scaled(c.decoder(s, ck, c.info(), opt, c.norm, func(l *weights.Scope, _ int, r *nn.Rotary) block {
		return &preNorm{
			norm1: c.norm(s, l.Sub("input_layernorm"), c.Hidden, c.Eps),
			norm2: c.norm(s, l.Sub("post_attention_layernorm"), c.Hidden, c.Eps),
			attn:  c.attention(s, l.Sub("self_attn"), c.AttentionBias, c.AttentionBias, r),
			ff:    c.mlp(s, l.Sub("mlp"), false),
		}
	}))
}
