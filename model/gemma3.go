package model

// Gemma 3 (Gemma Team, 2025), text only: Gemma 2 with norms of q and k in place
// of the cap on scores, five sliding layers for each that sees all tokens, and
// rotary positions of their own for the two kinds of layers.

import (
	"encoding/json"

	"github.com/godwit-ml/godwit/nn"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/weights"
)

// gemma3Config is config.json. attn_logit_softcapping, which it has from Gemma 2,
// does nothing in transformers either.
type gemma3Config struct {
	gemma2Fields
	Pattern    int             `json:"sliding_window_pattern"` // every so many layers one sees all tokens
	LocalTheta *float64        `json:"rope_local_base_freq"`   // of sliding layers
	ByType     json.RawMessage `json:"rope_parameters"`        // a description a layer type
	local      nn.Rope
}

func gemma3JSON(src Source, ck *weights.Checkpoint) (config, error) {
	c := &gemma3Config{Pattern: 6, gemma2Fields: gemma2Fields{HiddenAct: "gelu_pytorch_tanh", QueryDim: 256,
		windowFields: windowFields{Window: new(4096)}, gemmaFields: gemmaFields{llamaFields: llamaFields{Vocab: 262208, Hidden: 2304,
			Inner: 9216, Layers: 26, Heads: 8, KVHeads: new(4), HeadDim: new(256), Positions: 131072, Eps: 1e-6, Tied: true}}}}
	if err := decode(src, c); err != nil {
		return nil, err
	}
	k := checker{src: src, ck: ck}
	c.check(&k, "Gemma3ForCausalLM", "Gemma3TextModel")
	k.contradicts(c.Pattern < 1, "sliding_window_pattern", "is %d, want at least 1", c.Pattern)
	c.left = c.lefts(&k, c.Layers, func(layer int) bool { return (layer+1)%c.Pattern != 0 })
	c.rotate(&k)
	return c, k.err
}

// rotate reads the rotary positions of both kinds of layers. rope_scaling and
// rope_theta, the older spelling, are of those that see all tokens.
func (c *gemma3Config) rotate(k *checker) {
	var by struct {
		Full    *ropeJSON `json:"full_attention"`
		Sliding *ropeJSON `json:"sliding_attention"`
		Flat    string    `json:"rope_type"`
	}
	if k.err == nil && len(c.ByType) > 0 {
		k.keep(decode(Source{File: k.src.File, Config: c.ByType}, &by))
	}
	k.contradicts(by.Flat != "", "rope_parameters", "has a rope_type: want it in full_attention and sliding_attention")
	k.contradicts(by.Full != nil && c.RopeScaling != nil, "rope_scaling", "stands beside rope_parameters, which says the same")
	if k.err != nil {
		return
	}
	theta := func(given *float64, def float64) *float64 {
		if given == nil {
			given = &def
		}
		return given
	}
	full := ropeFields{RopeParams: by.Full, RopeScaling: c.RopeScaling, RopeTheta: theta(c.RopeTheta, 1e6), Partial: c.Partial}
	sliding := ropeFields{RopeParams: by.Sliding, RopeTheta: theta(c.LocalTheta, 1e4)}
	var err error
	c.frequencies, err = full.rope(k.src, c.headDim, c.Positions)
	k.keep(err)
	c.local, err = sliding.rope(k.src, c.headDim, c.Positions)
	k.keep(err)
	k.refuse(c.frequencies.Limit() > 0 || c.local.Limit() > 0, "rope_type", "longrope of this family")
}

func (c *gemma3Config) info() Info {
	return c.about("gemma3").with(embeddingsScaled, windowed(c.left), "positions: rotary, with a base of its own in windows", normsAround, normsOfHeads, c.cappedAt())
}

func (c *gemma3Config) load(s *runtime.Stream, ck *weights.Checkpoint, opt Options) (Model, error) {
	local := &nn.Rotary{}
	d, err := c.decoder(s, ck, c.info(), opt, c.norm, func(l *weights.Scope, layer int, r *nn.Rotary) block {
		if c.left[layer] != runtime.Unlimited {
			r = local
		}
		at := l.Sub("self_attn")
		attn := c.attention(s, at, c.AttentionBias, c.AttentionBias, r)
		attn.QNorm = new(c.norm(s, at.Sub("q_norm"), c.headDim, c.Eps))
		attn.KNorm = new(c.norm(s, at.Sub("k_norm"), c.headDim, c.Eps))
		return c.sandwiched(s, l, layer, attn)
	})
	if err == nil {
		*local = *nn.LoadRotary(s, c.local, opt.positions(c.Positions), c.interleaved)
	}
	return c.capped(d, err)
}
