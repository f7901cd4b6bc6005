package model_test

// Configurations that are wrong, unsupported or hostile: what the error names,
// and what it costs.

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"testing"

	"github.com/godwit-ml/godwit/ci/golden"
	"github.com/godwit-ml/godwit/model"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/runtime/devicetest"
	"github.com/godwit-ml/godwit/weights"
)

// describe reads a configuration in which one field was replaced.
func describe(t *testing.T, name, field string, value any) (model.Info, error) {
	t.Helper()
	c := base(t, name)
	at := c.config
	for {
		outer, inner, nested := strings.Cut(field, ".")
		if !nested {
			break
		}
		at, field = at[outer].(map[string]any), inner
	}
	if at[field] = value; value == absent {
		delete(at, field)
	}
	ck, err := weights.Open(folder(name))
	if err != nil {
		t.Fatal(err)
	}
	defer ck.Close() //nolint:errcheck // only read
	b, err := json.Marshal(c.config)
	if err != nil {
		t.Fatal(err)
	}
	return model.Describe(model.Source{File: "dir/config.json", Config: b}, ck)
}

// absent stands for a field that is not there.
const absent = "(absent)"

// configError is a field of a checkpoint's configuration, a value it cannot have,
// and what the error says.
type configError struct {
	base, field string
	value       any
	want        string
	unsupported bool
}

func (row configError) check(t *testing.T) {
	t.Helper()
	_, err := describe(t, row.base, row.field, row.value)
	if err == nil || !strings.HasPrefix(err.Error(), "dir/config.json: ") || !strings.Contains(err.Error(), row.want) {
		t.Errorf("%s with %s %v: %v, want an error that says %q", row.base, row.field, row.value, err, row.want)
		return
	}
	var config *model.ConfigError
	if errors.Is(err, runtime.ErrUnsupported) != row.unsupported || errors.As(err, &config) == row.unsupported {
		t.Errorf("%s with %s %v: %T", row.base, row.field, row.value, err)
	}
}

func TestConfigErrors(t *testing.T) {
	yarn := map[string]any{"rope_type": "yarn", "factor": 4.0, "rope_theta": 1.0}
	for _, row := range []configError{
		{"gpt2", "model_type", "rwkv", `model_type "rwkv" is not supported; supported: gpt2, gpt_neo, opt, `, true},
		{"gpt2", "model_type", absent, "model_type: is absent", false},
		{"gpt2", "model_type", 7, "model_type", false},
		{"gpt2", "architectures", []string{"GPT2DoubleHeadsModel"}, `architecture "GPT2DoubleHeadsModel" is not supported; supported: GPT2LMHeadModel, GPT2Model`, true},
		{"gpt2", "add_cross_attention", true, "add_cross_attention", true},
		{"gpt2", "activation_function", "mish", `activation_function "mish" is not supported`, true},
		{"gpt2", "n_embd", 0, "n_embd: is 0", false},
		{"gpt2", "n_embd", -48, "n_embd: is -48", false},
		{"gpt2", "n_embd", "48", "n_embd", false},
		{"gpt2", "n_embd", 48.5, "n_embd", false},
		{"gpt2", "n_head", 5, "n_head: 5 does not divide 48", false},
		{"gpt2", "n_inner", 0, "n_inner: is 0", false},
		{"gpt2", "n_positions", 1 << 40, "n_positions", false},
		{"gpt2", "vocab_size", 1 << 40, "vocab_size", false},
		{"gpt2", "layer_norm_epsilon", 0, "layer_norm_epsilon", false},
		{"gpt2", "layer_norm_epsilon", -1e-5, "layer_norm_epsilon", false},
		{"gpt2", "layer_norm_epsilon", 1e-60, "layer_norm_epsilon", false},
		{"gpt2", "n_layer", 4096, "n_layer: is 4096 layers, but the checkpoint has", false},
		{"llama", "architectures", []string{"LlamaForSequenceClassification"}, "LlamaForSequenceClassification", true},
		{"llama", "num_key_value_heads", 3, "num_key_value_heads: 3 does not divide 4", false},
		{"llama", "hidden_act", "gelu_10", `hidden_act "gelu_10" is not supported`, true},
		{"llama", "rms_norm_eps", -1, "rms_norm_eps", false},
		{"llama", "head_dim", 11, "rope_parameters: rope: theta 10000 and 11 rotated features", false},
		{"llama", "rope_parameters.rope_theta", -1, "rope_parameters", false},
		{"llama", "rope_parameters.rope_type", "axial", `rope_parameters.rope_type "axial" is not supported; supported: default, linear, dynamic, llama3, yarn, longrope`, true},
		{"llama", "rope_parameters.partial_rotary_factor", 0.5, "rope_parameters.partial_rotary_factor", true},
		{"llama", "rope_parameters", yarn, "rope_parameters: rope: yarn", false},
		{"llama-linear", "rope_parameters.factor", absent, "rope_parameters: rope: scaling \"linear\" with factor 0", false},
		{"llama-rope3", "rope_parameters.low_freq_factor", absent, "low_freq_factor", false},
		{"llama-yarn", "rope_parameters.beta_fast", -3, "beta_fast", false},
		{"llama", "num_hidden_layers", 4096, "num_hidden_layers: is 4096 layers", false},
		{"bert-mlm", "architectures", []string{"BertLMHeadModel"}, `architecture "BertLMHeadModel"`, true},
		{"bert-mlm", "is_decoder", true, "is_decoder", true},
		{"bert-mlm", "add_cross_attention", true, "add_cross_attention", true},
		{"bert-mlm", "position_embedding_type", "relative_key", "position_embedding_type relative_key", true},
		{"bert-mlm", "hidden_act", "swiglu", `hidden_act "swiglu"`, true},
		{"bert-mlm", "num_attention_heads", 7, "num_attention_heads: 7 does not divide 48", false},
		{"bert-mlm", "layer_norm_eps", 0, "layer_norm_eps", false},
		{"bert-mlm", "type_vocab_size", 0, "type_vocab_size", false},
		{"bert-mlm", "num_hidden_layers", 4096, "num_hidden_layers: is 4096 layers", false},
		{"bert-seqcls", "id2label", map[string]string{"0": "a", "2": "b"}, `id2label: id "2" among 2 labels`, false},
		{"bert-seqcls", "id2label", map[string]string{"0": "a", "00": "b"}, "id2label", false},
		{"bert-seqcls", "id2label", map[string]string{"x": "a"}, "id2label", false},
	} {
		row.check(t)
	}
	for name, text := range map[string]string{"empty": "", "cut": `{"model_type": "gpt2", "n_em`, "a list": "[]"} {
		if _, err := model.Describe(model.Source{File: "c.json", Config: []byte(text)}, nil); err == nil || !strings.HasPrefix(err.Error(), "c.json: JSON: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := model.Describe(model.Source{File: "c.json", Config: make([]byte, 17<<20)}, nil); err == nil || !strings.Contains(err.Error(), "16 MiB") {
		t.Errorf("a huge config.json: %v", err)
	}
}

// TestConfigValues changes fields that have to be honoured: each must reach the
// result.
func TestConfigValues(t *testing.T) {
	for _, row := range []struct {
		base, field string
		value       any
	}{
		{"gpt2", "layer_norm_epsilon", 0.1},
		{"gpt2", "activation_function", "gelu"},
		{"gpt2", "scale_attn_weights", false},
		{"gpt2", "scale_attn_by_inverse_layer_idx", true},
		{"gpt2", "n_head", 2},
		{"llama", "rms_norm_eps", 0.1},
		{"llama", "hidden_act", "gelu"},
		{"llama", "rope_parameters", map[string]any{"rope_theta": 500.0}},
		{"llama", "rope_scaling", map[string]any{"type": "linear", "factor": 2.0}}, // with rope_parameters gone: below
		{"bert-mlm", "layer_norm_eps", 0.1},
		{"bert-mlm", "hidden_act", "relu"},
		{"bert-mlm", "num_attention_heads", 2},
	} {
		reaches(t, row.base, row.field, row.value)
	}
}

// reaches changes a field of a checkpoint's configuration: the result has to
// change with it.
func reaches(t *testing.T, name, field string, value any) {
	t.Helper()
	c := base(t, name)
	if field == "rope_scaling" {
		delete(c.config, "rope_parameters")
	}
	c.config[field] = value
	g := read(t, folder(name))
	p17, err := g.Case("p17")
	if err != nil {
		t.Fatal(err)
	}
	out, err := load(t, c.write(t), golden.Options{}).Case(g.Kind, p17)
	if err != nil {
		t.Fatal(err)
	}
	if d, err := g.Compare(p17, "logits", out["logits"]); err != nil || d.Ratio < 10 {
		t.Errorf("%s with %s %v: %.3g of tol_strict from the golden of another value (%v)", name, field, value, d.Ratio, err)
	}
}

// TestActivations: every name of transformers' ACT2FN that is supported, and the
// function it means.
func TestActivations(t *testing.T) {
	for name, want := range map[string]runtime.Fn{
		"gelu": runtime.Gelu, "gelu_python": runtime.Gelu, "gelu_new": runtime.GeluTanh, "gelu_fast": runtime.GeluTanh, "gelu_pytorch_tanh": runtime.GeluTanh,
		"gelu_python_tanh": runtime.GeluTanh, "gelu_accurate": runtime.GeluTanh, "relu": runtime.Relu, "silu": runtime.Silu, "swish": runtime.Silu, "tanh": runtime.Tanh, "sigmoid": runtime.Sigmoid,
	} {
		for base1, field := range map[string]string{"gpt2": "activation_function", "llama": "hidden_act", "bert-mlm": "hidden_act"} {
			c := base(t, base1)
			c.config[field] = name
			null := &devicetest.Null{}
			m := load(t, c.write(t), golden.Options{Device: null})
			var b model.Batch
			err, cache := b.AddEncoder([]int32{1}, nil, nil), (*model.Cache)(nil)
			if m.Model.Info().Kind == model.Decoder {
				b.Reset()
				cache = newCache(t, m, runtime.F32, 1, 4)
				err = b.AddDecoder([]int32{1}, 0, []int32{0}, 4)
			}
			if err != nil {
				t.Fatal(err)
			}
			null.Reset()
			m.Model.Logits(m.Stream, m.Model.Forward(m.Stream, &b, cache))
			found := 0
			for i := range null.Len() {
				op, ok := null.At(i).(*runtime.MatMul)
				if !ok || op.Act == runtime.Ident {
					continue
				}
				if found++; op.Act != want {
					t.Errorf("%s with %s: %v, want %v", base1, name, op.Act, want)
				}
			}
			if n := m.Model.Info().Layers; found != n && found != n+1 { // BERT's head has one too
				t.Errorf("%s with %s: %d of %d layers have a function", base1, name, found, n)
			}
		}
	}
}

// TestInfo reads both spellings.
func TestInfo(t *testing.T) {
	want := map[string]model.Info{
		"gpt2":  {Family: "gpt2", Architecture: "GPT2LMHeadModel", Kind: model.Decoder, Layers: 3, Heads: 4, KVHeads: 4, HeadDim: 12, Hidden: 48, Vocab: 512, Context: 128, LM: true},
		"llama": {Family: "llama", Architecture: "LlamaForCausalLM", Kind: model.Decoder, Layers: 3, Heads: 4, KVHeads: 2, HeadDim: 12, Hidden: 48, Vocab: 512, Context: 128, LM: true},
		"llama-rope3": {Family: "llama", Architecture: "LlamaForCausalLM", Kind: model.Decoder, Layers: 2, Heads: 4, KVHeads: 1, HeadDim: 16, Hidden: 48, Vocab: 256, Context: 256, LM: true,
			Unusual: []string{"positions: rotary, scaled by llama3 × 8"}},
		"bert-seqcls": {Family: "bert", Architecture: "BertForSequenceClassification", Kind: model.Encode, Layers: 2, Heads: 4, KVHeads: 4, HeadDim: 8, Hidden: 32, Vocab: 256, Context: 128, Types: 2,
			HeadList: []model.Head{model.HeadPooler, model.HeadSequence}, Labels: []string{"LABEL_0", "LABEL_1", "LABEL_2"}},
	}
	for name, w := range want {
		for _, file := range []string{"config.json", "config.v4.json"} {
			b, err := os.ReadFile(filepath.Join(folder(name), file))
			if err != nil {
				t.Fatal(err)
			}
			ck, err := weights.Open(folder(name))
			if err != nil {
				t.Fatal(err)
			}
			in, err := model.Describe(model.Source{File: file, Config: b}, ck)
			if err != nil || fmt.Sprintf("%+v", in) != fmt.Sprintf("%+v", w) {
				t.Errorf("%s of %s:\n got %+v (%v)\nwant %+v", file, name, in, err, w)
			}
			if err := ck.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	in, err := describe(t, "bert-seqcls", "problem_type", "multi_label_classification")
	if err != nil || !in.MultiLabel {
		t.Errorf("multi-label: %+v (%v)", in, err)
	}
	if in, err = describe(t, "bert-seqcls", "problem_type", "single_label_classification"); err != nil || in.MultiLabel {
		t.Errorf("single-label: %+v (%v)", in, err)
	}
	if in, err = describe(t, "bert-seqcls", "problem_type", "regression"); err != nil || in.MultiLabel || !in.Regression {
		t.Errorf("regression: %+v (%v)", in, err)
	}
	// Labels that are not written are two, unless num_labels says otherwise.
	if _, err = describe(t, "bert-seqcls", "id2label", absent); err == nil || !strings.Contains(err.Error(), "has 2 labels, but classifier.weight has 3 rows") {
		t.Errorf("two labels for three rows: %v", err)
	}
}

func TestGGUFErrors(t *testing.T) {
	c := base(t, "llama")
	one := map[string]stored{"token_embd.weight": c.tensors["model.embed_tokens.weight"], "b": zeros(1), "c": zeros(1)}
	for _, row := range []struct {
		key   string
		value any
		want  string
	}{
		{"general.architecture", "mamba", `general.architecture "mamba" is not supported; supported: gpt2, `},
		{"general.architecture", uint32(3), `general.architecture ""`},
		{"llama.block_count", absent, "llama.block_count: is absent"},
		{"llama.block_count", "three", "llama.block_count: is a string"},
		{"llama.block_count", float32(1.5), "llama.block_count: is 1.5"},
		{"llama.block_count", uint32(1 << 31), "llama.block_count"},
		{"llama.block_count", uint32(4000), "is 4000 layers, but the checkpoint has 3 tensors"},
		{"llama.expert_count", uint32(8), "num_experts_per_tok: is 0 of 8 experts"},
		{"llama.expert_gating_func", uint32(2), "llama.expert_gating_func 2"},
		{"llama.expert_weights_scale", float32(2), "llama.expert_weights_scale 2"},
		{"llama.logit_scale", float32(2), "llama.logit_scale 2"},
		{"llama.attention.scale", float32(2), "llama.attention.scale 2"},
		{"llama.attention.value_length", uint32(10), "llama.attention.value_length: differs"},
		{"llama.attention.head_count", uint32(0), "num_attention_heads: is 0"},
		{"llama.attention.head_count_kv", uint32(3), "num_key_value_heads: 3 does not divide 4"},
		{"llama.rope.dimension_count", uint32(14), "llama.rope.dimension_count: is 14 of a head of 12"},
		{"llama.rope.dimension_count", uint32(5), "llama.rope: rope: theta 10000 and 5"},
		{"llama.rope.freq_base", float32(-1), "llama.rope: rope: theta -1"},
		{"llama.rope.scaling.type", "longrope", `llama.rope.scaling.type "longrope" is not supported; supported: none, linear, yarn`},
		{"llama.rope.scaling.type", uint32(1), "llama.rope.scaling.type: is a uint32"},
		{"llama.rope.scaling.type", "yarn", "llama.rope: rope: scaling \"yarn\" with factor 0"},
		{"llama.rope.scaling.alpha", float32(2), "llama.rope.scaling.alpha 2"},
	} {
		meta := ggufMeta("llama", c, nil)
		if meta[row.key] = row.value; row.value == absent {
			delete(meta, row.key)
		}
		meta["general.name"] = "test"
		file := writeGGUF(t, meta, one)
		_, err := golden.Load(file, golden.Options{Device: &devicetest.Null{}})
		if err == nil || !strings.HasPrefix(err.Error(), file+": ") || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s %v: %v, want an error that says %q", row.key, row.value, err, row.want)
		}
	}
}

// TestTensorErrors: everything that is wrong with the tensors is in one error.
func TestTensorErrors(t *testing.T) {
	for name, want := range map[string][]string{
		"gpt2": {
			"layer 1: tensor transformer.h.1.mlp.c_fc.weight: missing",
			"layer 0: tensor transformer.h.0.attn.c_attn.weight: shape [48 143], want [48 144]",
			"tensor transformer.ln_f.bias: shape [47], want [48]",
			"1 tensors of the file belong to no part of the model", "transformer.h.2.extra.weight",
		},
		"llama": {
			"layer 2: tensor model.layers.2.self_attn.q_proj.weight: missing",
			"layer 0: tensor model.layers.0.self_attn.k_proj.weight: shape [48 48], want [24 48]",
			"tensor lm_head.weight: missing", "model.layers.3.mlp.up_proj.weight",
		},
		"bert-mlm": {
			"tensor cls.predictions.bias: missing", "tensor bert.embeddings.token_type_embeddings.weight: shape [3 48], want [2 48]",
			"layer 1: tensor bert.encoder.layer.1.output.dense.bias: missing", "bert.extra",
		},
	} {
		c := base(t, name)
		switch name {
		case "gpt2":
			delete(c.tensors, "transformer.h.1.mlp.c_fc.weight")
			c.tensors["transformer.h.0.attn.c_attn.weight"] = zeros(48, 143)
			c.tensors["transformer.ln_f.bias"] = zeros(47)
			c.tensors["transformer.h.2.extra.weight"] = zeros(1)
		case "llama":
			delete(c.tensors, "model.layers.2.self_attn.q_proj.weight")
			c.tensors["model.layers.0.self_attn.k_proj.weight"] = zeros(48, 48)
			delete(c.tensors, "lm_head.weight")
			c.tensors["model.layers.3.mlp.up_proj.weight"] = zeros(1)
		case "bert-mlm":
			delete(c.tensors, "cls.predictions.bias")
			c.tensors["bert.embeddings.token_type_embeddings.weight"] = zeros(3, 48)
			delete(c.tensors, "bert.encoder.layer.1.output.dense.bias")
			c.tensors["bert.extra"] = zeros(1)
		}
		dir := c.write(t)
		_, err := golden.Load(dir, golden.Options{Device: reference(t)})
		var own *weights.Error
		if !errors.As(err, &own) || !strings.HasPrefix(err.Error(), dir) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, part := range want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: the error does not say %q:\n%v", name, part, err)
			}
		}
	}
}

// TestHostileSizes: what a configuration claims costs nothing until the tensors
// bear it out.
func TestHostileSizes(t *testing.T) {
	for _, row := range []struct {
		base   string
		change map[string]any
	}{
		{"gpt2", map[string]any{"n_layer": 4000}},
		{"gpt2", map[string]any{"n_positions": 1 << 25, "vocab_size": 1 << 24, "n_embd": 1 << 24, "n_head": 1, "n_inner": 1 << 24}},
		{"llama", map[string]any{"num_hidden_layers": 4000}},
		{"llama", map[string]any{"max_position_embeddings": 1 << 25, "hidden_size": 1 << 20}},
		{"llama", map[string]any{"vocab_size": 1 << 24, "head_dim": 1 << 16, "intermediate_size": 1 << 24}},
		{"bert-base", map[string]any{"num_hidden_layers": 4000}},
		{"bert-base", map[string]any{"hidden_size": 1 << 24, "max_position_embeddings": 1 << 25, "type_vocab_size": 1 << 24, "vocab_size": 1 << 24, "intermediate_size": 1 << 24}},
	} {
		c := base(t, row.base)
		maps.Copy(c.config, row.change)
		dir := c.write(t)
		null := &devicetest.Null{}
		var before, after goruntime.MemStats
		goruntime.ReadMemStats(&before)
		_, err := golden.Load(dir, golden.Options{Device: null})
		goruntime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("%s with %v is loaded", row.base, row.change)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 8<<20 {
			t.Errorf("%s with %v: %d bytes were allocated before the error", row.base, row.change, n)
		}
		if null.AllocBytes > 8<<20 {
			t.Errorf("%s with %v: %d bytes were allocated on the device", row.base, row.change, null.AllocBytes)
		}
	}
	// A context that is claimed is only as large as asked for.
	c := base(t, "llama")
	c.config["max_position_embeddings"] = 1 << 25
	b, err := json.Marshal(c.config)
	if err != nil {
		t.Fatal(err)
	}
	ck, err := weights.Open(folder("llama"))
	if err != nil {
		t.Fatal(err)
	}
	defer ck.Close() //nolint:errcheck // only read
	null := &devicetest.Null{}
	if _, err := model.Load(runtime.NewStream(null, nil), ck, model.Source{Config: b}, model.Options{Context: 64}); err != nil || null.AllocBytes > 1<<20 {
		t.Errorf("%d bytes on the device (%v)", null.AllocBytes, err)
	}
	// And not larger than the checkpoint's.
	if b, err = os.ReadFile(filepath.Join(folder("llama"), "config.json")); err != nil {
		t.Fatal(err)
	}
	null = &devicetest.Null{}
	if _, err := model.Load(runtime.NewStream(null, nil), ck, model.Source{Config: b}, model.Options{Context: 1 << 20}); err != nil || null.AllocBytes > 1<<20 {
		t.Errorf("%d bytes on the device (%v)", null.AllocBytes, err)
	}
}
