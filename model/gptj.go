package model

// GPT-J (Wang and Komatsuzaki, 2021) and CodeGen (Nijkamp et al., 2022), an open
// Codex: attention and feed-forward side by side, both of one norm, and rotary
// positions of neighbouring pairs in the first features of each head.

import (
	"fmt"

	"github.com/godwit-ml/godwit/nn"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/weights"
)

// codegenCores is how many cores CodeGen was trained on: of each, q, v and k of
// its heads lie together in qkv_proj. No configuration holds it.
const codegenCores = 4

type gptjConfig struct {
	gptFields
	RotaryDim int `json:"rotary_dim"`

	family string
}

func gptjJSON(src Source, ck *weights.Checkpoint) (config, error) {
	return readGPTJ(src, ck, "gptj", "GPTJForCausalLM", "GPTJModel")
}

func codegenJSON(src Source, ck *weights.Checkpoint) (config, error) {
	return readGPTJ(src, ck, "codegen", "CodeGenForCausalLM", "CodeGenModel")
}

func readGPTJ(src Source, ck *weights.Checkpoint, family string, have ...string) (config, error) {
	c := &gptjConfig{family: family, RotaryDim: 64, gptFields: gptFields{Vocab: 50400, Positions: 2048, Hidden: 4096, Layers: 28, Heads: 16,
		Activation: "gelu_new", Eps: 1e-5}}
	if err := decode(src, c, gptAliases); err != nil {
		return nil, err
	}
	k := checker{src: src, ck: ck}
	c.check(&k, have...)
	k.dims(dim{"rotary_dim", c.RotaryDim, 1 << 16})
	if family == "codegen" {
		k.divides("n_head", c.Heads, codegenCores)
	}
	if k.err == nil {
		hd := c.Hidden / c.Heads
		k.contradicts(c.RotaryDim > hd || c.RotaryDim%2 != 0, "rotary_dim", "is %d of a head of %d: want an even number that is not larger", c.RotaryDim, hd)
	}
	return c, k.err
}

func (c *gptjConfig) info() Info {
	return c.about(c.family).with(fmt.Sprintf("positions: rotary, of %d of %d features of a head, neighbours paired", c.RotaryDim, c.Hidden/c.Heads), sideBySide)
}

func (c *gptjConfig) load(s *runtime.Stream, ck *weights.Checkpoint, opt Options) (Model, error) {
	root := scope(ck, c.names, weights.ScopeConfig{Strip: []string{"transformer."}, Ignore: []string{"*.attn.bias", "*.attn.masked_bias", "*.attn.causal_mask", "*.attn.embed_positions"}})
	sc := root.Sub("transformer")
	rotary := &nn.Rotary{} // its tables are made when all tensors are known to be there
	m := &decoder{about: c.info()}
	m.loadTokens(s, sc.Sub("wte"), c.Tied)
	for i := range c.Layers {
		l := sc.Sub("h").Layer(i)
		m.blocks = append(m.blocks, &parallel{
			norm: nn.LoadLayerNorm(s, l.Sub("ln_1"), c.Hidden, c.Eps),
			attn: nn.Attention{
				QKV:   nn.LoadLinear(s, c.qkv(l.Sub("attn"))...),
				Out:   nn.LoadLinear(s, nn.ReadDense(l.Sub("attn.out_proj"), c.Hidden, c.Hidden, false)),
				Heads: c.Heads, KVHeads: c.Heads, HeadDim: c.Hidden / c.Heads,
				Scale: rsqrt(c.Hidden / c.Heads), Left: runtime.Unlimited, Rotary: rotary,
			},
			ff: new(nn.LoadMLP(s, nn.ReadDense(l.Sub("mlp.fc_in"), c.Hidden, c.inner, true),
				nn.ReadDense(l.Sub("mlp.fc_out"), c.inner, c.Hidden, true), c.act)),
		})
	}
	m.norm = new(nn.LoadLayerNorm(s, sc.Sub("ln_f"), c.Hidden, c.Eps))
	m.loadHead(s, root.Sub("lm_head"), c.Tied, true)
	if err := root.Err(); err != nil {
		return nil, err
	}
	*rotary = *nn.LoadRotary(s, nn.Rope{Theta: 10000, Dim: c.RotaryDim}, opt.positions(c.Positions), true)
	return m, nil
}

// qkv are the projections of a layer, apart in GPT-J, fused in CodeGen.
func (c *gptjConfig) qkv(at *weights.Scope) []nn.Dense {
	if c.family == "codegen" {
		n := c.Hidden / codegenCores
		p := nn.Ungroup(nn.ReadDense(at.Sub("qkv_proj"), c.Hidden, 3*c.Hidden, false), codegenCores, n, n, n)
		return []nn.Dense{p[0], p[2], p[1]} // stored as q, v, k
	}
	return readProjections(at, c.Hidden, c.Hidden, c.Hidden, false)
}
