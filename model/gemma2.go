package model

// Gemma 2 (Gemma Team, 2024): Gemma with a norm before and after each half of a
// block, soft caps on scores and logits, and a sliding window in every other layer.

import (
	"fmt"
	"math"

	"github.com/godwit-ml/godwit/nn"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/weights"
)

// gemma2Fields are what Gemma 2 and 3 share.
type gemma2Fields struct {
	gemmaFields
	windowFields
	HiddenAct string   `json:"hidden_activation"` // instead of hidden_act
	QueryDim  float64  `json:"query_pre_attn_scalar"`
	LogitCap  *float64 `json:"final_logit_softcapping"` // null: none
	left      []int
}

// check checks the fields that gemmaFields does not have either.
func (c *gemma2Fields) check(k *checker, have ...string) {
	c.Activation = c.HiddenAct
	c.gemmaFields.check(k, have...)
	k.positive("query_pre_attn_scalar", c.QueryDim)
	if c.LogitCap != nil {
		k.positive("final_logit_softcapping", *c.LogitCap)
	}
}

// sandwiched is the block of a layer's scope.
func (c *gemma2Fields) sandwiched(s *runtime.Stream, l *weights.Scope, layer int, attn nn.Attention) block {
	attn.Left, attn.Scale = c.left[layer], float32(1/math.Sqrt(c.QueryDim))
	norm := func(name string) nn.Norm { return c.norm(s, l.Sub(name), c.Hidden, c.Eps) }
	return &sandwich{
		norm1: norm("input_layernorm"), attn: attn, norm2: norm("post_attention_layernorm"),
		norm3: norm("pre_feedforward_layernorm"), mlp: *c.mlp(s, l.Sub("mlp"), false), norm4: norm("post_feedforward_layernorm"),
	}
}

// capped is a scaled decoder with the cap on its logits.
func (c *gemma2Fields) capped(d *decoder, err error) (Model, error) {
	if d, err = c.scaled(d, err); err != nil || c.LogitCap == nil {
		return d, err
	}
	return &cappedDecoder{*d, nn.SoftCap(*c.LogitCap)}, nil
}

// sandwich is x += norm2(Attention(norm1(x))), x += norm4(MLP(norm3(x))).
type sandwich struct {
	norm1, norm2, norm3, norm4 nn.Norm
	attn                       nn.Attention
	mlp                        nn.MLP
}

func (b *sandwich) apply(st *nn.Step, layer int, x runtime.Tensor) {
	s := st.S
	defer s.Release(s.Mark())
	h := s.Scratch(x.Rows, x.Cols)
	b.norm1.Apply(s, h, x)
	b.attn.ApplyTo(st, layer, h, runtime.Tensor{}, h)
	b.norm2.Apply(s, h, h)
	s.Pointwise(runtime.Pointwise{Out: x, X: h, Add: x})
	b.norm3.Apply(s, h, x)
	b.mlp.ApplyTo(st, h, runtime.Tensor{}, h)
	b.norm4.Apply(s, h, h)
	s.Pointwise(runtime.Pointwise{Out: x, X: h, Add: x})
}

// cappedDecoder is a decoder whose logits are capped.
type cappedDecoder struct {
	decoder
	cap nn.SoftCap
}

// Logits implements Model.
func (d *cappedDecoder) Logits(s *runtime.Stream, hidden runtime.Tensor) runtime.Tensor {
	out := d.decoder.Logits(s, hidden)
	if !out.IsZero() {
		d.cap.Apply(s, out)
	}
	return out
}

type gemma2Config struct {
	gemma2Fields
	ScoreCap *float64 `json:"attn_logit_softcapping"` // null: none
}

func gemma2JSON(src Source, ck *weights.Checkpoint) (config, error) {
	c := &gemma2Config{ScoreCap: new(50.0), gemma2Fields: gemma2Fields{HiddenAct: "gelu_pytorch_tanh", QueryDim: 256, LogitCap: new(30.0),
		windowFields: windowFields{Window: new(4096)}, gemmaFields: gemmaFields{llamaFields: llamaFields{Vocab: 256000, Hidden: 2304,
			Inner: 9216, Layers: 26, Heads: 8, KVHeads: new(4), HeadDim: new(256), Positions: 8192, Eps: 1e-6, Tied: true}}}}
	if err := decode(src, c); err != nil {
		return nil, err
	}
	k := checker{src: src, ck: ck}
	c.check(&k, "Gemma2ForCausalLM", "Gemma2Model")
	if c.ScoreCap != nil {
		k.positive("attn_logit_softcapping", *c.ScoreCap)
	}
	c.left = c.lefts(&k, c.Layers, func(layer int) bool { return layer%2 == 0 })
	c.rotate(&k)
	return c, k.err
}

func (c *gemma2Config) info() Info {
	in := c.about("gemma2").with(embeddingsScaled, windowed(c.left), normsAround)
	if c.ScoreCap != nil {
		in = in.with(fmt.Sprintf("attention: scores are capped at ±%g", *c.ScoreCap))
	}
	return in.with(c.cappedAt())
}

// cappedAt says that logits are capped, if they are.
func (c *gemma2Fields) cappedAt() string {
	if c.LogitCap == nil {
		return ""
	}
	return fmt.Sprintf("logits are capped at ±%g", *c.LogitCap)
}

func (c *gemma2Config) load(s *runtime.Stream, ck *weights.Checkpoint, opt Options) (Model, error) {
	return c.capped(c.decoder(s, ck, c.info(), opt, c.norm, func(l *weights.Scope, layer int, r *nn.Rotary) block {
		attn := c.attention(s, l.Sub("self_attn"), c.AttentionBias, c.AttentionBias, r)
		if c.ScoreCap != nil {
			attn.Scores = nn.SoftCap(*c.ScoreCap)
		}
		return c.sandwiched(s, l, layer, attn)
	}))
}
