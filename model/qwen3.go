package model

// Qwen3 (Yang et al., 2025): Llama whose q and k pass an RMSNorm of each head
// before they rotate; and Qwen3-MoE, whose feed-forward layers are mixtures of
// many small experts.

import (
	"slices"

	"github.com/godwit-ml/godwit/nn"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/weights"
)

// qwen3Fields are what both kinds share.
type qwen3Fields struct {
	llamaFields
	qwenWindow
	AttentionBias bool `json:"attention_bias"`
	left          []int
}

// normed is the attention of a layer.
func (c *qwen3Fields) normed(s *runtime.Stream, at *weights.Scope, layer int, r *nn.Rotary) nn.Attention {
	a := c.attention(s, at, c.AttentionBias, c.AttentionBias, r)
	a.QNorm = new(nn.LoadRMSNorm(s, at.Sub("q_norm"), c.headDim, c.Eps))
	a.KNorm = new(nn.LoadRMSNorm(s, at.Sub("k_norm"), c.headDim, c.Eps))
	a.Left = c.left[layer]
	return a
}

type qwen3Config struct{ qwen3Fields }

func qwen3JSON(src Source, ck *weights.Checkpoint) (config, error) {
	c := &qwen3Config{qwen3Fields{qwenWindow: qwenWindow{windowFields: windowFields{Window: new(4096)}, MaxLayers: 28},
		llamaFields: llamaFields{Vocab: 151936, Hidden: 4096, Inner: 22016, Layers: 32, Heads: 32, KVHeads: new(32), HeadDim: new(128),
			Positions: 32768, Activation: "silu", Eps: 1e-6}}}
	if err := decode(src, c); err != nil {
		return nil, err
	}
	k := checker{src: src, ck: ck}
	c.check(&k, "Qwen3ForCausalLM", "Qwen3Model")
	c.left = c.lefts(&k, c.Layers)
	c.rotate(&k)
	return c, k.err
}

func (c *qwen3Config) info() Info { return c.about("qwen3").with(windowed(c.left), normsOfHeads) }

func (c *qwen3Config) load(s *runtime.Stream, ck *weights.Checkpoint, opt Options) (Model, error) {
	return c.decoder(s, ck, c.info(), opt, nn.LoadRMSNorm, func(l *weights.Scope, layer int, r *nn.Rotary) block {
		return c.block(s, l, c.normed(s, l.Sub("self_attn"), layer, r), c.mlp(s, l.Sub("mlp"), false))
	})
}

type qwen3MoEConfig struct {
	qwen3Fields
	Experts    int   `json:"num_local_experts"`
	Alias      *int  `json:"num_experts"`
	Top        int   `json:"num_experts_per_tok"`
	ExpertSize int   `json:"moe_intermediate_size"`
	Normalise  bool  `json:"norm_topk_prob"`      // the weights of the chosen add up to 1
	Step       int   `json:"decoder_sparse_step"` // every so many layers one has experts
	Dense      []int `json:"mlp_only_layers"`     // layers that have none
	sparse     []bool
}

func qwen3MoEJSON(src Source, ck *weights.Checkpoint) (config, error) {
	c := &qwen3MoEConfig{Experts: 128, Top: 8, ExpertSize: 768, Step: 1, qwen3Fields: qwen3Fields{
		qwenWindow: qwenWindow{windowFields: windowFields{Window: new(4096)}},
		llamaFields: llamaFields{Vocab: 151936, Hidden: 2048, Inner: 6144, Layers: 24, Heads: 32, KVHeads: new(4),
			Positions: 32768, Activation: "silu", Eps: 1e-6}}}
	if err := decode(src, c); err != nil {
		return nil, err
	}
	if c.Alias != nil {
		c.Experts = *c.Alias
	}
	k := checker{src: src, ck: ck}
	c.check(&k, "Qwen3MoeForCausalLM", "Qwen3MoeModel")
	if !c.Use {
		c.Window = nil
	}
	c.left = c.same(&k, c.Layers)
	c.chooseLayers(&k)
	c.rotate(&k)
	return c, k.err
}

// chooseLayers finds the layers with experts and checks theirs.
func (c *qwen3MoEConfig) chooseLayers(k *checker) {
	k.contradicts(c.Step < 1, "decoder_sparse_step", "is %d, want at least 1", c.Step)
	if k.err != nil {
		return
	}
	n := 0
	c.sparse = make([]bool, c.Layers)
	for i := range c.sparse {
		if c.sparse[i] = c.Experts > 0 && (i+1)%c.Step == 0 && !slices.Contains(c.Dense, i); c.sparse[i] {
			n++
		}
	}
	if n > 0 {
		k.checkExperts(c.Experts, c.Top, n)
		k.dims(dim{"moe_intermediate_size", c.ExpertSize, maxWidth})
	}
}

func (c *qwen3MoEConfig) info() Info {
	return c.about("qwen3-moe").with(windowed(c.left), normsOfHeads, mixed(c.Top, c.Experts))
}

func (c *qwen3MoEConfig) load(s *runtime.Stream, ck *weights.Checkpoint, opt Options) (Model, error) {
	weigh := runtime.SoftmaxAll
	if c.Normalise {
		weigh = runtime.SoftmaxTop
	}
	return c.decoder(s, ck, c.info(), opt, nn.LoadRMSNorm, func(l *weights.Scope, layer int, r *nn.Rotary) block {
		var ff feedForward
		if mlp := l.Sub("mlp"); c.sparse[layer] {
			ff = nn.LoadMoE(s, nn.ReadDense(mlp.Sub("gate"), c.Hidden, c.Experts, false),
				readExperts(mlp, "gate_proj", "up_proj", "down_proj", c.Experts, c.Hidden, c.ExpertSize), c.ExpertSize, c.Top, weigh, c.act)
		} else {
			ff = c.mlp(s, mlp, false)
		}
		return c.block(s, l, c.normed(s, l.Sub("self_attn"), layer, r), ff)
	})
}
