package model

// Reading the metadata and the names of GGUF files.

import (
	"fmt"
	"math"
	"strings"

	"github.com/godwit-ml/godwit/nn"
	"github.com/godwit-ml/godwit/weights"
)

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

func (m *meta) flag(name string, def bool) bool {
	v, ok := m.src.GGUF[m.key(name)]
	if !ok {
		return def
	}
	b, ok := v.(bool)
	if !ok {
		m.fail(m.key(name), fmt.Sprintf("is a %T, want true or false", v))
	}
	return b
}

// refuse refuses a key that would change the graph, unless it is absent or 0.
func (m *meta) refuse(names ...string) {
	for _, n := range names {
		if v := m.number(n, 0); v != 0 && m.err == nil {
			m.err = &UnsupportedError{File: m.src.File, What: fmt.Sprintf("%s %v", m.key(n), v)}
		}
	}
}

// scope is the root scope of a model: with the names of a GGUF file if there are
// any, else as a checkpoint of Hugging Face has them.
func scope(ck *weights.Checkpoint, names func(string) string, hf weights.ScopeConfig) *weights.Scope {
	if names != nil {
		return ck.Scope(weights.ScopeConfig{Rename: names})
	}
	return ck.Scope(hf)
}

// readProjections binds q_proj, k_proj and v_proj of a scope, or qkv_proj, which
// has all three below one another.
func readProjections(at *weights.Scope, in, nq, nk int, bias bool) []nn.Dense {
	if at.Has("qkv_proj.weight") {
		return []nn.Dense{nn.ReadDense(at.Sub("qkv_proj"), in, nq+2*nk, bias)}
	}
	return []nn.Dense{nn.ReadDense(at.Sub("q_proj"), in, nq, bias), nn.ReadDense(at.Sub("k_proj"), in, nk, bias), nn.ReadDense(at.Sub("v_proj"), in, nk, bias)}
}

// readGroups binds a fused projection whose rows are groups of so many heads of
// queries, one of keys and one of values. GGUF files, which call it qkv_proj here,
// have q, k and v below one another.
func readGroups(at *weights.Scope, name string, in, groups, queries, headDim int, bias bool) []nn.Dense {
	rows := groups * (queries + 2) * headDim
	if at.Has("qkv_proj.weight") {
		return []nn.Dense{nn.ReadDense(at.Sub("qkv_proj"), in, rows, bias)}
	}
	return nn.Ungroup(nn.ReadDense(at.Sub(name), in, rows, bias), groups, queries*headDim, headDim, headDim)
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
