package model

// Reading rotary positions: config.json in both its spellings, and GGUF.

import (
	"fmt"
	"reflect"

	"github.com/godwit-ml/godwit/nn"
)

// ropeJSON is a RoPE description of config.json: rope_parameters as transformers
// 5 writes it, or rope_scaling beside rope_theta as before.
type ropeJSON struct {
	Theta           *float64  `json:"rope_theta"`
	RopeType        string    `json:"rope_type"`
	Type            string    `json:"type"` // the oldest spelling of rope_type
	Factor          float64   `json:"factor"`
	LowFreqFactor   float64   `json:"low_freq_factor"`
	HighFreqFactor  float64   `json:"high_freq_factor"`
	Original        int       `json:"original_max_position_embeddings"`
	BetaFast        float64   `json:"beta_fast"`
	BetaSlow        float64   `json:"beta_slow"`
	AttentionFactor float64   `json:"attention_factor"`
	MScale          float64   `json:"mscale"`
	MScaleAll       float64   `json:"mscale_all_dim"`
	Truncate        *bool     `json:"truncate"`
	Partial         *float64  `json:"partial_rotary_factor"`
	Short           []float64 `json:"short_factor"`
	Long            []float64 `json:"long_factor"`
	Full            any       `json:"full_attention"` // a description a layer type, which only few families have
	Sliding         any       `json:"sliding_attention"`
}

// ropeFields are the fields of config.json that describe RoPE. A family that has
// it embeds them.
type ropeFields struct {
	RopeParams  *ropeJSON `json:"rope_parameters"`
	RopeScaling *ropeJSON `json:"rope_scaling"`
	RopeTheta   *float64  `json:"rope_theta"`
	Partial     *float64  `json:"partial_rotary_factor"`
	Original    int       `json:"original_max_position_embeddings"` // beside them it counts, as transformers has it
}

// described is the description that counts, and its field: of two rope_scaling,
// unless it is empty.
func (f *ropeFields) described() (*ropeJSON, string) {
	switch {
	case f.RopeScaling != nil && !reflect.DeepEqual(*f.RopeScaling, ropeJSON{}):
		return f.RopeScaling, "rope_scaling"
	case f.RopeParams != nil:
		return f.RopeParams, "rope_parameters"
	}
	return &ropeJSON{}, "rope_scaling"
}

// fraction is the share of a head's features that rotate, and the field that
// says so; def if the file is silent.
func (f *ropeFields) fraction(def float64) (share float64, field string) {
	switch p, field := f.described(); {
	case p.Partial != nil:
		return *p.Partial, field + ".partial_rotary_factor"
	case f.Partial != nil:
		return *f.Partial, "partial_rotary_factor"
	}
	return def, "partial_rotary_factor"
}

// rope is the description of heads that rotate whole; for a family that can
// rotate a part of them there is partialRope.
func (f *ropeFields) rope(src Source, headDim, context int) (nn.Rope, error) {
	if p, field := f.fraction(1); p != 1 {
		return nn.Rope{}, &UnsupportedError{File: src.File, What: fmt.Sprintf("%s %v of this family", field, p)}
	}
	return f.read(src, headDim, context)
}

// partialRope is the description of heads of which a part rotates: the share def
// unless the file has another.
func (f *ropeFields) partialRope(src Source, headDim, context int, def float64) (nn.Rope, error) {
	p, field := f.fraction(def)
	dim := int(float64(headDim) * p)
	if !(p > 0) || p > 1 || dim%2 != 0 || dim == 0 {
		return nn.Rope{}, &ConfigError{src.File, field, fmt.Sprintf("is %v of a head of %d: want an even number of features", p, headDim)}
	}
	return f.read(src, dim, context)
}

// ropeScalings are the values of rope_type.
var ropeScalings = []string{"default", "linear", "dynamic", "llama3", "yarn", "longrope"}

// read joins the two spellings, for dim features of a head that rotate.
func (f *ropeFields) read(src Source, dim, context int) (nn.Rope, error) {
	p, field := f.described()
	if p.Full != nil || p.Sliding != nil {
		return nn.Rope{}, &UnsupportedError{File: src.File, What: field + " by layer type of this family"}
	}
	r := nn.Rope{Theta: 10000, Dim: dim, Scaling: p.RopeType, Factor: p.Factor,
		LowFreqFactor: p.LowFreqFactor, HighFreqFactor: p.HighFreqFactor, Original: p.Original,
		BetaFast: p.BetaFast, BetaSlow: p.BetaSlow, AttentionFactor: p.AttentionFactor,
		MScale: p.MScale, MScaleAll: p.MScaleAll, NoTruncate: p.Truncate != nil && !*p.Truncate, Short: p.Short, Long: p.Long}
	if r.Scaling == "" {
		r.Scaling = p.Type
	}
	for _, t := range []*float64{f.RopeTheta, p.Theta} {
		if t != nil {
			r.Theta = *t
		}
	}
	switch r.Scaling {
	case "llama3", "yarn", "longrope":
		if f.Original > 0 {
			r.Original = f.Original
		}
		if r.Original == 0 {
			r.Original = context
		}
		if r.Scaling != "llama3" && r.Factor == 0 && r.Original > 0 {
			r.Factor = float64(context) / float64(r.Original)
		}
	case "", "default", "linear", "dynamic":
	default:
		return r, &UnsupportedError{src.File, fmt.Sprintf("%s.rope_type %q", field, r.Scaling), ropeScalings}
	}
	if _, _, err := r.Frequencies(); err != nil {
		return r, &ConfigError{src.File, field, err.Error()}
	}
	return r, nil
}

// rope is the rotary positions of a head, as llama.cpp reads them: a factor
// without a type is linear, and attn_factor multiplies what YaRN gives.
func (m *meta) rope(headDim, context int) nn.Rope {
	r := nn.Rope{Theta: m.number("rope.freq_base", 10000), Dim: m.integer("rope.dimension_count", headDim),
		Scaling: m.text("rope.scaling.type", "linear"), Factor: m.number("rope.scaling.factor", m.number("rope.scale_linear", 0))}
	m.refuse("rope.scaling.alpha", "rope.scaling.yarn_log_multiplier")
	switch r.Scaling {
	case "none", "linear":
		if r.Scaling == "none" || r.Factor == 0 {
			r.Scaling, r.Factor = "", 0
		}
	case "yarn":
		r.Original = m.integer("rope.scaling.original_context_length", context)
		r.BetaFast, r.BetaSlow = m.number("rope.scaling.yarn_beta_fast", 0), m.number("rope.scaling.yarn_beta_slow", 0)
		r.AttentionFactor = m.number("rope.scaling.yarn_attn_factor", 0) // attention_factor, as the converter copies it
		if v := m.number("rope.scaling.yarn_ext_factor", 1); v != 1 && v != -1 && m.err == nil {
			m.err = &UnsupportedError{File: m.src.File, What: fmt.Sprintf("%s %v", m.key("rope.scaling.yarn_ext_factor"), v)}
		}
	default:
		if m.err == nil {
			m.err = &UnsupportedError{m.src.File, fmt.Sprintf("%s %q", m.key("rope.scaling.type"), r.Scaling), []string{"none", "linear", "yarn"}}
		}
	}
	if r.Dim > headDim {
		m.fail(m.key("rope.dimension_count"), fmt.Sprintf("is %d of a head of %d", r.Dim, headDim))
	}
	_, factor, err := r.Frequencies()
	if err != nil {
		m.fail(m.key("rope"), err.Error())
	}
	if r.Scaling == "yarn" {
		r.AttentionFactor = factor * m.number("rope.scaling.attn_factor", 1)
	}
	return r
}

// longrope is the rotary positions of a head whose two sets of divisors are tensors
// of the file, read when it is loaded.
func (m *meta) longrope(headDim, context int) nn.Rope {
	r := nn.Rope{Scaling: "longrope", Theta: m.number("rope.freq_base", 10000), Dim: m.integer("rope.dimension_count", headDim),
		Original: m.integer("rope.scaling.original_context_length", context), AttentionFactor: m.number("rope.scaling.attn_factor", 0)}
	if r.Dim > headDim || r.Dim%2 != 0 || r.Dim == 0 {
		m.fail(m.key("rope.dimension_count"), fmt.Sprintf("is %d of a head of %d", r.Dim, headDim))
	}
	if r.Original < 2 {
		m.fail(m.key("rope.scaling.original_context_length"), fmt.Sprintf("is %d, want 2 or more", r.Original))
		return r
	}
	r.Factor = float64(context) / float64(r.Original)
	return r
}
