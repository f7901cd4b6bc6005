package model

// PaLM (Chowdhery et al., 2022, section 2): attention and a gated feed-forward
// layer side by side, of one norm; one KV head; rotary positions; no biases; the
// head is the embedding, and logits are scaled. Heads·HeadDim need not be D.
//
// Google published no weights. A checkpoint has wte.weight, h.N.ln.weight,
// h.N.attn.{q,k,v,o}.weight, h.N.mlp.{gate,up,down}.weight and ln_f.weight, each
// [out, in], and model_type "palm".

import (
	"github.com/godwit-ml/godwit/nn"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/weights"
)

type palmConfig struct {
	Architectures []string `json:"architectures"`
	Vocab         int      `json:"vocab_size"`
	Positions     int      `json:"max_position_embeddings"`
	Hidden        int      `json:"hidden_size"`
	Inner         int      `json:"intermediate_size"`
	Layers        int      `json:"num_hidden_layers"`
	Heads         int      `json:"num_attention_heads"`
	KVHeads       int      `json:"num_key_value_heads"`
	HeadDim       int      `json:"head_dim"`
	Activation    string   `json:"hidden_act"`
	Eps           float64  `json:"layer_norm_eps"`
	Interleaved   bool     `json:"rope_interleaved"` // pairs are neighbours; the paper does not say
	LogitScale    float64  `json:"logit_scale"`
	Tied          bool     `json:"tie_word_embeddings"`
	ropeFields

	architecture string
	rope         nn.Rope
}

func palmJSON(src Source, ck *weights.Checkpoint) (config, error) {
	c := &palmConfig{Vocab: 256, Positions: 128, Hidden: 48, Inner: 192, Layers: 2, Heads: 4, KVHeads: 1, HeadDim: 16,
		Activation: "silu", Eps: 1e-5, LogitScale: 1, Tied: true}
	if err := decode(src, c); err != nil {
		return nil, err
	}
	k := checker{src: src, ck: ck}
	c.architecture, _ = k.class(c.Architectures, "PalmForCausalLM")
	k.refuse(c.KVHeads != 1, "num_key_value_heads", c.KVHeads, "1")
	k.refuse(!c.Tied, "tie_word_embeddings", false, "true")
	k.refuse(c.Activation != "silu" && c.Activation != "swish", "hidden_act", c.Activation, "silu", "swish")
	k.dims(dim{"vocab_size", c.Vocab, maxWidth}, dim{"max_position_embeddings", c.Positions, maxContext}, dim{"hidden_size", c.Hidden, maxWidth},
		dim{"intermediate_size", c.Inner, maxWidth}, dim{"num_hidden_layers", c.Layers, maxLayers}, dim{"num_attention_heads", c.Heads, maxWidth},
		dim{"head_dim", c.HeadDim, 1 << 16})
	k.positive("layer_norm_eps", c.Eps)
	k.positive("logit_scale", c.LogitScale)
	if k.err == nil {
		c.rope, k.err = c.ropeFields.rope(src, c.HeadDim, c.Positions)
	}
	return c, k.err
}

func (c *palmConfig) info() Info {
	return Info{Family: "palm", Architecture: c.architecture, Kind: Decoder, Layers: c.Layers, Heads: c.Heads, KVHeads: 1,
		HeadDim: c.HeadDim, Hidden: c.Hidden, Vocab: c.Vocab, Context: c.Positions, LM: true}.with(
		when(c.Interleaved, "positions: rotary, neighbours paired"), rotated(c.rope, c.HeadDim), sideBySide, "norms: LayerNorm without bias")
}

// palm is wte → h → ln_f → wte, scaled.
type palm struct {
	decoder
	scale float32 // of the logits
}

func (c *palmConfig) load(s *runtime.Stream, ck *weights.Checkpoint, opt Options) (Model, error) {
	sc := ck.Scope(weights.ScopeConfig{})
	rotary := &nn.Rotary{} // its tables are made when all tensors are known to be there
	m := &palm{decoder: decoder{about: c.info()}, scale: float32(c.LogitScale)}
	m.loadTokens(s, sc.Sub("wte"), true)
	nq := c.Heads * c.HeadDim
	for i := range c.Layers {
		l := sc.Sub("h").Layer(i)
		dense := func(name string, in, out int) nn.Dense { return nn.ReadDense(l.Sub(name), in, out, false) }
		m.blocks = append(m.blocks, &parallel{
			norm: c.norm(s, l.Sub("ln")),
			attn: nn.Attention{
				QKV:   nn.LoadLinear(s, dense("attn.q", c.Hidden, nq), dense("attn.k", c.Hidden, c.HeadDim), dense("attn.v", c.Hidden, c.HeadDim)),
				Out:   nn.LoadLinear(s, dense("attn.o", nq, c.Hidden)),
				Heads: c.Heads, KVHeads: 1, HeadDim: c.HeadDim, Scale: rsqrt(c.HeadDim), Left: runtime.Unlimited, Rotary: rotary,
			},
			ff: new(nn.LoadGatedMLP(s, dense("mlp.gate", c.Hidden, c.Inner), dense("mlp.up", c.Hidden, c.Inner),
				dense("mlp.down", c.Inner, c.Hidden), runtime.Silu)),
		})
	}
	m.norm = new(c.norm(s, sc.Sub("ln_f")))
	if err := sc.Err(); err != nil {
		return nil, err
	}
	*rotary = *nn.LoadRotary(s, c.rope, opt.positions(c.Positions), c.Interleaved)
	return m, nil
}

// norm is a LayerNorm without bias.
func (c *palmConfig) norm(s *runtime.Stream, sc *weights.Scope) nn.Norm {
	n := nn.LoadRMSNorm(s, sc, c.Hidden, c.Eps)
	n.Kind = runtime.LayerNorm
	return n
}

// Logits implements Model.
func (m *palm) Logits(s *runtime.Stream, hidden runtime.Tensor) runtime.Tensor {
	out := s.Scratch(hidden.Rows, m.head.Out)
	m.head.Apply(s, out, hidden, nn.Epilogue{Alpha: m.scale})
	return out
}
