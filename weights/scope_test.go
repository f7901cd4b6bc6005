package weights

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/godwit-ml/godwit/quant"
)

// scopeOf opens the tensors and makes a scope of them.
func scopeOf(t *testing.T, config ScopeConfig, tensors ...stored) *Scope {
	t.Helper()
	c, err := OpenFS(memory("model.safetensors", safetensors(nil, 0, tensors...)), ".")
	if err != nil {
		t.Fatal(err)
	}
	return c.Scope(config)
}

func TestScopeReportsEverything(t *testing.T) {
	s := scopeOf(t, ScopeConfig{Ignore: []string{"*.attn.bias"}},
		ramp("wte.weight", 4, 3),
		ramp("h.0.mlp.weight", 3, 2), ramp("h.0.attn.bias", 1, 1, 2, 2), ramp("h.0.norm", 3),
		ramp("h.1.norm", 4), ramp("h.10.norm", 4), ramp("h.2.stack", 2, 2, 3),
		stored{"h.1.ids", quant.I64, []int{1}, make([]byte, 8)},
		ramp("left.over", 1), ramp("also", 1),
	)
	if x := s.Tensor("wte.weight", 4, 3); x.Rows != 4 || x.Cols != 3 || x.F32s()[11] != 11 {
		t.Errorf("wte is %v", x)
	}
	layer := s.Sub("h").Layer(0)
	if layer.Name("norm") != "h.0.norm" || !layer.Sub("mlp").Has("weight") || layer.Has("nothing") {
		t.Error("names")
	}
	for _, x := range []interface{ IsZero() bool }{
		layer.Sub("mlp").Tensor("weight", 2, 3),
		layer.Sub("mlp").Tensor("bias", 1, 2),
		s.Sub("h").Layer(10).Tensor("norm", 1, 3),
		s.Sub("h").Layer(2).Optional("stack", 2, 3),
		s.Sub("h").Layer(1).Tensor("norm", 1, 3),
		s.Sub("h").Layer(1).Tensor("ids", 1, 1),
		s.Sub("h").Layer(1).Optional("absent", 1, 1),
		s.Tensor("absent", 1, 1),
		s.Tensor("absent", 1, 1), // reported once
	} {
		if !x.IsZero() {
			t.Errorf("a tensor that does not fit is %v", x)
		}
	}
	if layer.Tensor("norm", 1, 3).IsZero() {
		t.Error("norm is absent")
	}
	layer.Fail("norm", "type %v does not agree with that of %s", quant.F32, "others")
	err := s.Err()
	want := strings.Join([]string{
		"model.safetensors: tensor absent: missing",
		"layer 0: tensor h.0.mlp.bias: missing",
		"layer 0: tensor h.0.mlp.weight: shape [3 2], want [2 3]",
		"layer 0: tensor h.0.norm: type F32 does not agree with that of others",
		"layer 1: tensor h.1.ids: dtype I64, want a floating-point or block type",
		"layer 1: tensor h.1.norm: shape [4], want [3]",
		"layer 2: tensor h.2.stack: shape [2 2 3], want [2 3]",
		"layer 10: tensor h.10.norm: shape [4], want [3]",
		"2 tensors of the file belong to no part of the model (does the configuration belong to this file?): also, left.over",
	}, "; ")
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	var e *Error
	if !errors.As(err, &e) || e.File != "model.safetensors" || e.Tensor != "absent" || e.Field != "missing" {
		t.Errorf("%+v", e)
	}
	if layer.Err().Error() != want {
		t.Error("scopes do not share their record")
	}
}

func TestScopeUnused(t *testing.T) {
	s := scopeOf(t, ScopeConfig{}, ramp("a", 1), ramp("b.position_ids", 1))
	if err := s.Err(); err == nil || !strings.Contains(err.Error(), "2 tensors") {
		t.Errorf("%v", err)
	}
	s.Tensor("a", 1, 1)
	var e *Error
	if err := s.Err(); !errors.As(err, &e) || e.Tensor != "b.position_ids" || e.Field != "unused" {
		t.Errorf("%+v", err)
	}
	s.Sub("x").Ignore("*.position_ids")
	if err := s.Err(); err != nil {
		t.Error(err)
	}
}

func TestScopeBoundsItsError(t *testing.T) {
	var tensors []stored
	for i := range 40 {
		tensors = append(tensors, ramp(fmt.Sprintf("t%02d.%s", i, strings.Repeat("x", 1000)), 1))
	}
	s := scopeOf(t, ScopeConfig{}, tensors...)
	for i := range 50 {
		s.Sub("h").Layer(i).Tensor("missing", 1, 1)
	}
	text := s.Err().Error()
	for _, want := range []string{"layer 9: tensor h.9.missing: missing; and 40 more; 40 tensors", "and 30 more"} {
		if !strings.Contains(text, want) {
			t.Errorf("%s does not say %q", text, want)
		}
	}
	if len(text) > 4000 {
		t.Errorf("%d bytes", len(text))
	}
}

// TestScopeNames: every way a canonical name may be spelled in a file.
func TestScopeNames(t *testing.T) {
	config := ScopeConfig{
		Strip:      []string{"bert.", "model."},
		Alternates: [][2]string{{"LayerNorm.weight", "LayerNorm.gamma"}, {"LayerNorm.bias", "LayerNorm.beta"}},
	}
	for _, row := range []struct{ file, ask, missing string }{
		{"bert.e.LayerNorm.weight", "bert.e.LayerNorm.weight", ""},
		{"e.LayerNorm.weight", "bert.e.LayerNorm.weight", ""},
		{"bert.e.LayerNorm.gamma", "bert.e.LayerNorm.weight", ""},
		{"e.LayerNorm.beta", "bert.e.LayerNorm.bias", ""},
		{"e.dense.bias", "model.e.dense.bias", ""},
		{"e.dense.beta", "bert.e.dense.bias", "e.dense.bias"},
		{"bert.other", "bert.e.dense.bias", "bert.e.dense.bias"},
		{"bert.bert.x", "bert.x", "bert.x"},
		{"bert.x", "x", "x"},
	} {
		s := scopeOf(t, config, ramp(row.file, 2))
		x := s.Tensor(row.ask, 1, 2)
		if x.IsZero() != (row.missing != "") || s.Has(row.ask) != (row.missing == "") {
			t.Errorf("%s of a file with %s: %v", row.ask, row.file, x)
		}
		if info, ok := s.Info(row.ask); ok && info.Name != row.file {
			t.Errorf("info %+v", info)
		}
		err := s.Err()
		if row.missing == "" && err != nil || row.missing != "" && (err == nil || !strings.Contains(err.Error(), "tensor "+row.missing+": missing")) {
			t.Errorf("%s of a file with %s: %v", row.ask, row.file, err)
		}
	}
	// Both spellings: the canonical one is bound, the other is left over.
	s := scopeOf(t, config, ramp("bert.x", 2), ramp("x", 2))
	s.Tensor("bert.x", 1, 2)
	if err := s.Err(); err == nil || !strings.HasSuffix(err.Error(), ": x") {
		t.Errorf("%v", err)
	}
}

func TestScopeRename(t *testing.T) {
	file := gguf(3, nil, q80("blk.1.attn_q.weight", 2, 32))
	c, err := OpenFS(memory("m.gguf", file), "m.gguf")
	if err != nil {
		t.Fatal(err)
	}
	s := c.Scope(ScopeConfig{Rename: func(name string) string {
		if strings.HasSuffix(name, "inv_freq") {
			return ""
		}
		return strings.NewReplacer("model.layers.", "blk.", "self_attn.q_proj", "attn_q").Replace(name)
	}})
	layer := s.Sub("model.layers").Layer(1)
	if x := layer.Tensor("self_attn.q_proj.weight", 2, 32); x.DType != quant.Q8_0 || x.Rows != 2 {
		t.Errorf("q is %v", x)
	}
	if layer.Has("inv_freq") {
		t.Error("a name that the format lacks is there")
	}
	if err := s.Err(); err != nil {
		t.Error(err)
	}
	layer.Tensor("inv_freq", 1, 2)
	layer.Tensor("self_attn.q_proj.bias", 1, 2)
	if err := s.Err(); err == nil || err.Error() != "m.gguf: layer 1: tensor blk.1.attn_q.bias: missing; layer 1: tensor model.layers.1.inv_freq: missing" {
		t.Errorf("%v", err)
	}
}

func TestMatches(t *testing.T) {
	for _, row := range []struct {
		pattern, name string
		want          bool
	}{
		{"a", "a", true}, {"a", "ab", false}, {"a", "", false}, {"*", "", true}, {"*", "a.b", true},
		{"*.attn.bias", "h.0.attn.bias", true}, {"*.attn.bias", "h.0.attn.c_attn.bias", false}, {"*.attn.bias", ".attn.bias", true},
		{"h.*.bias", "h.1.attn.bias", true}, {"h.*.bias", "h.bias", false}, {"h.*.bias", "x.h.1.bias", false},
		{"cls.*", "cls.", true}, {"cls.*", "xcls.a", false}, {"*a*b*", "xxaxxbxx", true}, {"*a*b*", "b a", false},
		{"a*a", "a", false}, {"a*a", "aa", true}, {"*ab*ab", "xabab", true}, {"*ab*ab", "xab", false}, {"**", "x", true},
	} {
		if got := matches(row.pattern, row.name); got != row.want {
			t.Errorf("matches(%q, %q) = %v", row.pattern, row.name, got)
		}
	}
}
