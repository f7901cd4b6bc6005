package model

// Reading configurations: config.json in both its spellings, GGUF metadata, and
// what is wrong with them.

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/godwit-ml/godwit/nn"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/weights"
)

// ConfigError is a configuration that cannot be true.
type ConfigError struct {
	File, Field, Reason string
}

// Error names file and field.
func (e *ConfigError) Error() string { return fmt.Sprintf("%s: %s: %s", e.File, e.Field, e.Reason) }

// UnsupportedError is a configuration that is right but not supported. It
// matches errors.ErrUnsupported.
type UnsupportedError struct {
	File string
	What string   // "model_type \"rwkv\""
	Have []string // what is supported instead
}

// Error says what is supported.
func (e *UnsupportedError) Error() string {
	text := fmt.Sprintf("%s: %s is not supported", e.File, e.What)
	if len(e.Have) > 0 {
		text += "; supported: " + strings.Join(e.Have, ", ")
	}
	return text
}

// Is matches errors.ErrUnsupported.
func (e *UnsupportedError) Is(target error) bool { return target == runtime.ErrUnsupported }

// family is one row of families.
type family struct {
	name  string
	types []string // model_type of config.json
	arch  string   // general.architecture of GGUF; "": not read from GGUF
	json  func(src Source, ck *weights.Checkpoint) (config, error)
	gguf  func(src Source, ck *weights.Checkpoint) (config, error)
}

// families are all families, one file each.
var families = []family{
	{name: "gpt2", types: []string{"gpt2"}, arch: "gpt2", json: gpt2JSON, gguf: gpt2GGUF},
	{name: "llama", types: []string{"llama"}, arch: "llama", json: llamaJSON, gguf: llamaGGUF},
	{name: "bert", types: []string{"bert"}, json: bertJSON},
	{name: "t5", types: []string{"t5", "mt5"}, json: t5JSON},
}

// parse finds the family and reads its configuration.
func parse(src Source, ck *weights.Checkpoint) (config, error) {
	var have []string
	if src.GGUF != nil {
		arch, _ := src.GGUF["general.architecture"].(string)
		for _, f := range families {
			if f.arch != "" && f.arch == arch {
				return f.gguf(src, ck)
			}
			if f.arch != "" {
				have = append(have, f.arch)
			}
		}
		return nil, &UnsupportedError{src.File, fmt.Sprintf("general.architecture %q", arch), have}
	}
	var head struct {
		ModelType     string   `json:"model_type"`
		Architectures []string `json:"architectures"`
	}
	if err := decode(src, &head); err != nil {
		return nil, err
	}
	if head.ModelType == "" {
		return nil, &ConfigError{src.File, "model_type", "is absent: is this the config.json of a transformers model?"}
	}
	for _, f := range families {
		if slices.Contains(f.types, head.ModelType) {
			return f.json(src, ck)
		}
		have = append(have, f.types...)
	}
	return nil, &UnsupportedError{src.File, fmt.Sprintf("model_type %q", head.ModelType), have}
}

// decode reads config.json into a struct with its names.
func decode(src Source, into any) error {
	if len(src.Config) > 16<<20 {
		return &ConfigError{src.File, "size", "is over 16 MiB"}
	}
	if err := json.Unmarshal(src.Config, into); err != nil {
		field := "JSON"
		if e := (*json.UnmarshalTypeError)(nil); errors.As(err, &e) && e.Field != "" {
			field = e.Field
		}
		return &ConfigError{src.File, field, err.Error()}
	}
	return nil
}

// architecture is the class a configuration names: one of have, or the first of
// have if it names none.
func architecture(src Source, names, have []string) (string, error) {
	if len(names) == 0 {
		return have[0], nil
	}
	for _, n := range names {
		if slices.Contains(have, n) {
			return n, nil
		}
	}
	return "", &UnsupportedError{src.File, fmt.Sprintf("architecture %q", names[0]), have}
}

// Bounds of what a configuration may claim: far above any model, and low enough
// that nothing overflows before the tensors' shapes are compared.
const (
	maxLayers  = 4096
	maxWidth   = 1 << 24
	maxContext = 1 << 25
)

// dim is one size of a configuration.
type dim struct {
	field string
	value int
	most  int
}

// checkDims checks that sizes are positive and sane, and that there are tensors
// for as many layers.
func checkDims(src Source, ck *weights.Checkpoint, dims ...dim) error {
	for _, d := range dims {
		if d.value <= 0 || d.value > d.most {
			return &ConfigError{src.File, d.field, fmt.Sprintf("is %d, want 1 to %d", d.value, d.most)}
		}
		if n := len(ck.Names()); d.most == maxLayers && d.value > n {
			return &ConfigError{src.File, d.field, fmt.Sprintf("is %d layers, but the checkpoint has %d tensors", d.value, n)}
		}
	}
	return nil
}

func divides(src Source, field string, n, by int) error {
	if by <= 0 || n%by != 0 {
		return &ConfigError{src.File, field, fmt.Sprintf("%d does not divide %d", by, n)}
	}
	return nil
}

func positive(src Source, field string, v float64) error {
	if !(v > 0) || math.IsInf(v, 0) || float32(v) == 0 {
		return &ConfigError{src.File, field, fmt.Sprintf("is %v, want a positive number", v)}
	}
	return nil
}

// activation is the function config.json names.
func activation(src Source, field, name string) (runtime.Fn, error) {
	have := map[string]runtime.Fn{
		"gelu": runtime.Gelu, "gelu_python": runtime.Gelu,
		"gelu_new": runtime.GeluTanh, "gelu_fast": runtime.GeluTanh, "gelu_pytorch_tanh": runtime.GeluTanh, "gelu_accurate": runtime.GeluTanh,
		"relu": runtime.Relu, "silu": runtime.Silu, "swish": runtime.Silu, "tanh": runtime.Tanh, "sigmoid": runtime.Sigmoid,
	}
	f, ok := have[name]
	if !ok {
		names := make([]string, 0, len(have))
		for n := range have {
			names = append(names, n)
		}
		slices.Sort(names)
		return 0, &UnsupportedError{src.File, fmt.Sprintf("%s %q", field, name), names}
	}
	return f, nil
}

// labels are the names of id2label in the order of their ids; n of them, or as
// many as there are if n is 0.
func labels(src Source, id2label map[string]string) ([]string, error) {
	if len(id2label) == 0 { // transformers' default, which it does not write
		return []string{"LABEL_0", "LABEL_1"}, nil
	}
	out := make([]string, len(id2label))
	seen := make([]bool, len(id2label))
	for k, v := range id2label {
		i, err := strconv.Atoi(k)
		if err != nil || i < 0 || i >= len(out) || seen[i] {
			return nil, &ConfigError{src.File, "id2label", fmt.Sprintf("id %q among %d labels", k, len(out))}
		}
		out[i], seen[i] = v, true
	}
	return out, nil
}

// ropeJSON is a RoPE description of config.json: rope_parameters as transformers
// 5 writes it, or rope_scaling beside rope_theta as before.
type ropeJSON struct {
	Theta           *float64 `json:"rope_theta"`
	RopeType        string   `json:"rope_type"`
	Type            string   `json:"type"` // the oldest spelling of rope_type
	Factor          float64  `json:"factor"`
	LowFreqFactor   float64  `json:"low_freq_factor"`
	HighFreqFactor  float64  `json:"high_freq_factor"`
	Original        int      `json:"original_max_position_embeddings"`
	BetaFast        float64  `json:"beta_fast"`
	BetaSlow        float64  `json:"beta_slow"`
	AttentionFactor float64  `json:"attention_factor"`
	MScale          float64  `json:"mscale"`
	MScaleAll       float64  `json:"mscale_all_dim"`
	Truncate        *bool    `json:"truncate"`
	Partial         *float64 `json:"partial_rotary_factor"`
}

// rope joins the two spellings. params is rope_parameters, scaling rope_scaling;
// either may be nil.
func rope(src Source, params, scaling *ropeJSON, theta *float64, dim, context int) (nn.Rope, error) {
	p, field := params, "rope_parameters"
	if p == nil {
		p, field = scaling, "rope_scaling"
	}
	if p == nil {
		p = &ropeJSON{}
	}
	r := nn.Rope{Theta: 10000, Dim: dim, Scaling: p.RopeType, Factor: p.Factor,
		LowFreqFactor: p.LowFreqFactor, HighFreqFactor: p.HighFreqFactor, Original: p.Original,
		BetaFast: p.BetaFast, BetaSlow: p.BetaSlow, AttentionFactor: p.AttentionFactor,
		MScale: p.MScale, MScaleAll: p.MScaleAll, NoTruncate: p.Truncate != nil && !*p.Truncate}
	if r.Scaling == "" {
		r.Scaling = p.Type
	}
	for _, t := range []*float64{theta, p.Theta} {
		if t != nil {
			r.Theta = *t
		}
	}
	if p.Partial != nil && *p.Partial != 1 {
		return r, &UnsupportedError{File: src.File, What: fmt.Sprintf("%s.partial_rotary_factor %v of this family", field, *p.Partial)}
	}
	if r.Scaling == "yarn" && r.Original == 0 {
		r.Original = context
	}
	if r.Scaling == "yarn" && r.Factor == 0 && r.Original > 0 {
		r.Factor = float64(context) / float64(r.Original)
	}
	switch r.Scaling {
	case "", "default", "linear", "llama3", "yarn":
	default:
		return r, &UnsupportedError{src.File, fmt.Sprintf("%s.rope_type %q", field, r.Scaling), []string{"default", "linear", "llama3", "yarn"}}
	}
	if _, _, err := r.Frequencies(); err != nil {
		return r, &ConfigError{src.File, field, err.Error()}
	}
	return r, nil
}

// meta reads GGUF metadata of one architecture and keeps the first error.
type meta struct {
	src  Source
	arch string
	err  error
}

func (m *meta) key(name string) string { return m.arch + "." + name }

func (m *meta) fail(key, reason string) {
	if m.err == nil {
		m.err = &ConfigError{m.src.File, key, reason}
	}
}

// number is a metadata number; def if absent.
func (m *meta) number(name string, def float64) float64 {
	v, ok := m.src.GGUF[m.key(name)]
	if !ok {
		return def
	}
	switch x := v.(type) {
	case uint8:
		return float64(x)
	case int8:
		return float64(x)
	case uint16:
		return float64(x)
	case int16:
		return float64(x)
	case uint32:
		return float64(x)
	case int32:
		return float64(x)
	case uint64:
		return float64(x)
	case int64:
		return float64(x)
	case float32:
		return float64(x)
	case float64:
		return x
	}
	m.fail(m.key(name), fmt.Sprintf("is a %T, want a number", v))
	return def
}

// integer is a metadata number that must be whole; required if def is negative.
func (m *meta) integer(name string, def int) int {
	if _, ok := m.src.GGUF[m.key(name)]; !ok && def < 0 {
		m.fail(m.key(name), "is absent")
		return 0
	}
	v := m.number(name, float64(def))
	if v != math.Trunc(v) || v < 0 || v > math.MaxInt32 {
		m.fail(m.key(name), fmt.Sprintf("is %v, want a whole number", v))
		return 0
	}
	return int(v)
}

func (m *meta) text(name, def string) string {
	v, ok := m.src.GGUF[m.key(name)]
	if !ok {
		return def
	}
	s, ok := v.(string)
	if !ok {
		m.fail(m.key(name), fmt.Sprintf("is a %T, want a string", v))
	}
	return s
}

// refuse refuses a key that would change the graph, unless it is absent or 0.
func (m *meta) refuse(names ...string) {
	for _, n := range names {
		if v := m.number(n, 0); v != 0 && m.err == nil {
			m.err = &UnsupportedError{File: m.src.File, What: fmt.Sprintf("%s %v", m.key(n), v)}
		}
	}
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

// vocab is the number of rows of the embedding: what GGUF files always have,
// even without a tokenizer.
func vocab(ck *weights.Checkpoint, name string) int {
	if in, ok := ck.Info(name); ok && len(in.Shape) > 0 {
		return in.Shape[0]
	}
	return 0
}

// ggufNames translates a family's tensor names to GGUF's: those below block, a
// prefix before the number of a layer, by inner, others by top, both without the
// last word, "weight" or "bias". What neither has is in no GGUF file: "".
func ggufNames(block string, top, inner map[string]string) func(string) string {
	return func(name string) string {
		i := strings.LastIndexByte(name, '.')
		if i < 0 {
			return ""
		}
		stem, end := name[:i], name[i:]
		if rest, ok := strings.CutPrefix(stem, block); ok {
			n, part, _ := strings.Cut(rest, ".")
			if to, ok := inner[part]; ok {
				return "blk." + n + "." + to + end
			}
		} else if to, ok := top[stem]; ok {
			return to + end
		}
		return ""
	}
}
