package model_test

// The same model stored in other ways has to give the same goldens.

import (
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godwit-ml/godwit/ci/golden"
	"github.com/godwit-ml/godwit/model"
	"github.com/godwit-ml/godwit/quant"
)

// TestNames stores checkpoints under the names that are found on the hub.
func TestNames(t *testing.T) {
	rows := []struct {
		name, base string
		change     func(c checkpoint)
	}{
		{"no prefix, with buffers", "gpt2", func(c checkpoint) {
			c.rename(names("transformer.", ""))
			for i := range 3 {
				c.tensors[fmt.Sprintf("h.%d.attn.bias", i)] = zeros(1, 1, 128, 128)
				c.tensors[fmt.Sprintf("h.%d.attn.masked_bias", i)] = zeros()
			}
		}},
		{"tied head stored too", "gpt2", func(c checkpoint) { c.tensors["lm_head.weight"] = zeros(512, 48) }},
		{"tied by default", "gpt2", func(c checkpoint) { delete(c.config, "tie_word_embeddings") }},
		{"defaults", "gpt2", func(c checkpoint) {
			for _, field := range []string{"activation_function", "layer_norm_epsilon", "scale_attn_weights", "scale_attn_by_inverse_layer_idx", "n_inner", "architectures"} {
				delete(c.config, field)
			}
		}},
		{"as many KV heads as heads by default", "llama-linear", func(c checkpoint) { delete(c.config, "num_key_value_heads") }},
		{"untied head by default", "llama", func(c checkpoint) { delete(c.config, "tie_word_embeddings") }},
		{"tied head stored too", "llama-rope3", func(c checkpoint) { c.tensors["lm_head.weight"] = zeros(256, 48) }},
		{"frequencies stored", "llama", func(c checkpoint) {
			for i := range 3 {
				c.tensors[fmt.Sprintf("model.layers.%d.self_attn.rotary_emb.inv_freq", i)] = zeros(6)
			}
		}},
		{"no prefix", "llama", func(c checkpoint) { c.rename(names("model.", "")) }},
		{"defaults of the oldest files", "llama", func(c checkpoint) {
			for _, field := range []string{"head_dim", "rope_parameters", "attention_bias", "mlp_bias", "hidden_act", "architectures"} {
				delete(c.config, field)
			}
		}},
		{"prefixed", "bert-base", func(c checkpoint) { c.rename(func(n string) string { return "bert." + n }) }},
		{"legacy", "bert-mlm", func(c checkpoint) {
			c.rename(names("LayerNorm.weight", "LayerNorm.gamma", "LayerNorm.bias", "LayerNorm.beta"))
			c.tensors["bert.embeddings.position_ids"] = stored{quant.I64, []int{1, 128}, make([]byte, 8*128)}
			c.tensors["cls.predictions.decoder.weight"] = zeros(512, 48) // tied: not read
			c.tensors["cls.predictions.decoder.bias"] = zeros(512)
		}},
		{"with heads of a pretrained model", "bert-base", func(c checkpoint) {
			c.rename(func(n string) string { return "bert." + n })
			c.tensors["cls.predictions.bias"] = zeros(256)
			c.tensors["cls.predictions.transform.dense.weight"] = zeros(32, 32)
			c.tensors["cls.seq_relationship.weight"] = zeros(2, 32)
			c.tensors["cls.seq_relationship.bias"] = zeros(2)
		}},
		{"untied head", "bert-mlm", func(c checkpoint) {
			c.config["tie_word_embeddings"] = false
			c.tensors["cls.predictions.decoder.weight"] = c.tensors["bert.embeddings.word_embeddings.weight"]
		}},
	}
	for _, row := range rows {
		t.Run(row.base+", "+row.name, func(t *testing.T) {
			c := base(t, row.base)
			row.change(c)
			strictly(t, load(t, c.write(t), golden.Options{}), read(t, folder(row.base)))
		})
	}
	t.Run("sharded", func(t *testing.T) {
		strictly(t, load(t, base(t, "llama").writeSharded(t), golden.Options{}), read(t, folder("llama")))
	})
}

// TestUntiedHeadIsRead changes the stored heads of untied models.
func TestUntiedHeadIsRead(t *testing.T) {
	for name, head := range map[string]string{"gpt2-scale": "lm_head.weight", "llama": "lm_head.weight", "bert-mlm": "cls.predictions.decoder.weight"} {
		c := base(t, name)
		c.config["tie_word_embeddings"] = false
		in := load(t, folder(name), golden.Options{}).Model.Info()
		c.tensors[head] = zeros(in.Vocab, in.Hidden)
		g := read(t, folder(name))
		p1, err := g.Case("p1")
		if err != nil {
			t.Fatal(err)
		}
		out, err := load(t, c.write(t), golden.Options{}).Case(g.Kind, p1)
		if err != nil {
			t.Fatal(err)
		}
		bias := c.tensors["cls.predictions.bias"]
		for i, x := range out["logits"] {
			want := float32(0)
			if bias.data != nil {
				want = bias.host().F32s()[i]
			}
			if x != want {
				t.Errorf("%s: logit %d of a head of zeros is %v, want %v", name, i, x, want)
				break
			}
		}
	}
}

// TestStoredTypes stores weights in types of fewer and of more bits. The result
// is that of the rounded weights in float32 arithmetic.
func TestStoredTypes(t *testing.T) {
	for _, name := range []string{"gpt2", "llama", "llama-linear", "bert-mlm", "bert-seqcls",
		"roberta-pad", "distilbert-mlm", "electra-mlm", "deberta-v2-mlm", "modernbert-mlm", "bart",
		"opt-postln", "bloomberg", "falcon-new", "palm-interleaved", "phi", "codegen"} {
		g := read(t, folder(name))
		for _, dtype := range []quant.Type{quant.F16, quant.BF16, quant.F64} {
			small, rounded := base(t, name), base(t, name)
			for n, x := range small.tensors {
				small.tensors[n] = x.as(t, dtype)
				rounded.tensors[n] = small.tensors[n].as(t, quant.F32)
			}
			a, b := load(t, small.write(t), golden.Options{}), load(t, rounded.write(t), golden.Options{})
			for i := range g.Cases {
				c := &g.Cases[i]
				got, err := a.Case(g.Kind, c)
				if err != nil {
					t.Fatalf("%s in %v: %v", name, dtype, err)
				}
				want, err := b.Case(g.Kind, c)
				if err != nil {
					t.Fatal(err)
				}
				for o := range c.Outputs {
					if d := golden.Compare(got[o], want[o]); !(d.NMSE < 1e-11) && !(name == "bart" && d.NMSE < 1e-10) { // BART's checkpoint amplifies rounding
						t.Errorf("%s in %v: %s %s: NMSE %.3g, max |diff| %.3g", name, dtype, c.Name, o, d.NMSE, d.Max)
					}
					d, err := g.Compare(c, o, got[o])
					if err != nil {
						t.Fatal(err)
					}
					switch exact := dtype == quant.F64; {
					case exact && !(d.Ratio <= correct):
						t.Errorf("%s in %v: %s %s: %.3g of tol_strict", name, dtype, c.Name, o, d.Ratio)
					case !exact && (d.Ratio <= 1 || d.NMSE > 1e-2) && o == "logits":
						t.Errorf("%s in %v: %s %s: %.3g of tol_strict, NMSE %.3g: were the weights rounded, once?", name, dtype, c.Name, o, d.Ratio, d.NMSE)
					}
				}
			}
		}
	}
}

// TestGGUF runs the GGUF files that llama.cpp's own packages wrote.
func TestGGUF(t *testing.T) {
	for _, file := range []string{"llama-Q4_0.gguf", "gpt2-Q8_0.gguf"} {
		file = filepath.Join("testdata", "gguf", file)
		g, c := ggufGolden(t, file)
		for _, opt := range []golden.Options{{}, {Chunk: 4, BlockSize: 3, Hostile: true}} {
			m := load(t, file, opt)
			out, err := m.Case("causal", c)
			if err != nil {
				t.Fatal(err)
			}
			for name := range c.Outputs {
				d, err := g.Compare(c, name, out[name])
				if err != nil || !(d.Ratio <= correct) {
					t.Errorf("%s %s: %.3g of tol_strict (%v)", file, name, d.Ratio, err)
				}
			}
			for i := range g.Generate {
				gen := &g.Generate[i]
				if got, err := m.Generate(t.Context(), g, gen); err != nil || fmt.Sprint(got.IDs) != fmt.Sprint(gen.OutputIDs) {
					t.Errorf("%s %s: %v (%v), want %v", file, gen.Name, got.IDs, err, gen.OutputIDs)
				}
			}
		}
	}
}

// ggufMeta is the metadata every file of a family has.
func ggufMeta(arch string, c checkpoint, more map[string]any) map[string]any {
	m := map[string]any{"general.architecture": arch}
	for key, field := range map[string]string{
		"context_length": "max_position_embeddings n_positions", "embedding_length": "hidden_size n_embd",
		"feed_forward_length": "intermediate_size", "block_count": "num_hidden_layers n_layer",
		"attention.head_count": "num_attention_heads n_head", "attention.head_count_kv": "num_key_value_heads",
		"attention.key_length": "head_dim", "attention.value_length": "head_dim", "rope.dimension_count": "head_dim",
	} {
		for f := range strings.FieldsSeq(field) {
			if v, ok := c.config[f].(float64); ok {
				m[arch+"."+key] = uint32(v)
			}
		}
	}
	for k, v := range more {
		if v == nil {
			delete(m, arch+"."+k)
			continue
		}
		m[arch+"."+k] = v
	}
	return m
}

// llamaToGGUF gives tensors the names of llama.cpp's converter.
var llamaToGGUF = names("model.layers.", "blk.", "model.embed_tokens", "token_embd", "model.norm", "output_norm", "lm_head", "output",
	"input_layernorm", "attn_norm", "self_attn.q_proj", "attn_q", "self_attn.k_proj", "attn_k", "self_attn.v_proj", "attn_v",
	"self_attn.o_proj", "attn_output", "post_attention_layernorm", "ffn_norm",
	"mlp.gate_proj", "ffn_gate", "mlp.up_proj", "ffn_up", "mlp.down_proj", "ffn_down")

// isRotated reports whether the converter reorders the rows of a tensor.
func isRotated(name string) bool {
	return strings.Contains(name, "q_proj") || strings.Contains(name, "k_proj")
}

// TestConvertedToGGUF writes checkpoints as llama.cpp's converter does and wants
// the goldens of the originals: names, rotated pairs, tied heads, RoPE scalings.
func TestConvertedToGGUF(t *testing.T) {
	rows := []struct {
		base string
		more map[string]any
		add  map[string]stored
	}{
		{base: "llama"},
		{base: "llama", more: map[string]any{"attention.head_count_kv": uint32(2), "attention.key_length": nil, "attention.value_length": nil, "rope.dimension_count": nil, "rope.freq_base": float32(10000), "rope.scaling.type": "none", "rope.scaling.factor": float32(3)}},
		{base: "llama-linear", more: map[string]any{"rope.scaling.type": "linear", "rope.scaling.factor": float32(4)}},
		{base: "llama-linear", more: map[string]any{"rope.scale_linear": float32(4), "attention.head_count_kv": nil}},
		{base: "llama-yarn", more: map[string]any{"rope.scaling.type": "yarn", "rope.scaling.factor": float32(4), "rope.scaling.original_context_length": uint32(32)}},
		{base: "llama-yarn", more: map[string]any{"rope.scaling.type": "yarn", "rope.scaling.factor": float32(4), "rope.scaling.original_context_length": uint32(32),
			"rope.scaling.attn_factor": float32(1), "rope.scaling.yarn_beta_fast": float32(32), "rope.scaling.yarn_beta_slow": float32(1)}},
		{base: "llama-rope3", add: map[string]stored{"rope_freqs.weight": f32([]int{8}, llama3Divisors()...)}},
	}
	for _, row := range rows {
		t.Run(row.base, func(t *testing.T) {
			c := base(t, row.base)
			for n, x := range c.tensors {
				if isRotated(n) {
					c.tensors[n] = x.interleave(int(c.config["head_dim"].(float64)))
				}
			}
			c.rename(llamaToGGUF)
			for n, x := range row.add {
				c.tensors[n] = x
			}
			meta := ggufMeta("llama", c, row.more)
			meta["llama.attention.layer_norm_rms_epsilon"] = float32(1e-6)
			strictly(t, load(t, writeGGUF(t, meta, c.tensors), golden.Options{}), read(t, folder(row.base)))
		})
	}
	t.Run("gpt2", func(t *testing.T) {
		c := base(t, "gpt2")
		for n, x := range c.tensors {
			if strings.HasSuffix(n, ".weight") && (strings.Contains(n, ".attn.c_") || strings.Contains(n, ".mlp.c_")) {
				c.tensors[n] = x.transpose()
			}
		}
		c.rename(names("transformer.h.", "blk.", "transformer.wte", "token_embd", "transformer.wpe", "position_embd", "transformer.ln_f", "output_norm",
			"ln_1", "attn_norm", "attn.c_attn", "attn_qkv", "attn.c_proj", "attn_output", "ln_2", "ffn_norm", "mlp.c_fc", "ffn_up", "mlp.c_proj", "ffn_down"))
		meta := ggufMeta("gpt2", c, map[string]any{"feed_forward_length": uint32(192), "attention.layer_norm_epsilon": float32(1e-5)})
		g := read(t, folder("gpt2"))
		strictly(t, load(t, writeGGUF(t, meta, c.tensors), golden.Options{}), g) // tied
		c.tensors["output.weight"] = c.tensors["token_embd.weight"]
		strictly(t, load(t, writeGGUF(t, meta, c.tensors), golden.Options{}), g)
	})
}

// llama3Divisors is llama-rope3's scaling as the converter stores it: how much
// slower each of eight pairs turns.
func llama3Divisors() []float32 {
	var out []float32
	for i := range 8 {
		inv := math.Pow(10000, -float64(i)/8)
		smooth := min(max((64*inv/(2*math.Pi)-1)/(4-1), 0), 1)
		out = append(out, float32(1/((1-smooth)/8+smooth)))
	}
	return out
}

// TestNoHead loads bodies: their hidden states are the goldens', and there are no
// logits.
func TestNoHead(t *testing.T) {
	for name, architecture := range map[string]string{"gpt2": "GPT2Model", "llama": "LlamaModel"} {
		c := base(t, name)
		c.config["architectures"], c.config["tie_word_embeddings"] = []string{architecture}, false
		c.tensors["lm_head.weight"] = zeros(512, 48) // left unread
		m := load(t, c.write(t), golden.Options{})
		if in := m.Model.Info(); in.LM || in.Architecture != architecture {
			t.Errorf("%s: %+v", architecture, in)
		}
		g := read(t, folder(name))
		p17, err := g.Case("p17")
		if err != nil {
			t.Fatal(err)
		}
		out, err := m.Case(g.Kind, p17)
		if err != nil {
			t.Fatal(err)
		}
		if d, err := g.Compare(p17, "last_hidden", out["last_hidden"]); err != nil || !(d.Ratio <= correct) {
			t.Errorf("%s: %.3g of tol_strict (%v)", architecture, d.Ratio, err)
		}
		if out["logits"] != nil {
			t.Errorf("%s has logits", architecture)
		}
	}
}

// TestBertHeads asks every BERT checkpoint for every head: those it lists, and no
// others.
func TestBertHeads(t *testing.T) {
	want := map[string][]model.Head{
		"bert-base":     {model.HeadPooler},
		"bert-mlm":      nil,
		"bert-pretrain": {model.HeadPooler, model.HeadNext},
		"bert-qa":       {model.HeadSpan},
		"bert-seqcls":   {model.HeadPooler, model.HeadSequence},
		"bert-tokcls":   {model.HeadToken},
	}
	for name, heads := range want {
		m := load(t, folder(name), golden.Options{})
		in := m.Model.Info()
		if fmt.Sprint(in.HeadList) != fmt.Sprint(heads) {
			t.Errorf("%s: heads %v, want %v", name, in.HeadList, heads)
		}
		labels := map[string]int{"bert-seqcls": 3, "bert-tokcls": 5}[name]
		if len(in.Labels) != labels || labels > 0 && in.Labels[1] != "LABEL_1" {
			t.Errorf("%s: labels %q", name, in.Labels)
		}
		hidden := m.Stream.Scratch(1, in.Hidden)
		m.Stream.UploadF32(hidden, make([]float32, in.Hidden))
		for _, h := range []model.Head{model.HeadPooler, model.HeadNext, model.HeadSequence, model.HeadToken, model.HeadSpan} {
			has := strings.Contains(fmt.Sprint(heads), string(h))
			if x := m.Model.(model.Encoder).Head(m.Stream, h, hidden); x.IsZero() == has {
				t.Errorf("%s: head %s gives %v", name, h, x)
			}
		}
		if err := m.Stream.Sync(); err != nil {
			t.Error(err)
		}
	}
}

// TestNextSentence loads the class that has the second head of a pretrained model
// only.
func TestNextSentence(t *testing.T) {
	c := base(t, "bert-pretrain")
	c.config["architectures"] = []string{"BertForNextSentencePrediction"}
	m := load(t, c.write(t), golden.Options{})
	if in := m.Model.Info(); in.LM || fmt.Sprint(in.HeadList) != "[pooler next]" {
		t.Errorf("%+v", in)
	}
	g := read(t, folder("bert-pretrain"))
	for i := range g.Cases {
		c := &g.Cases[i]
		out, err := m.Case(g.Kind, c)
		if err != nil {
			t.Fatal(err)
		}
		if d, err := g.Compare(c, "nsp_logits", out["nsp_logits"]); err != nil || !(d.Ratio <= correct) {
			t.Errorf("%s: %.3g of tol_strict (%v)", c.Name, d.Ratio, err)
		}
		if out["logits"] != nil {
			t.Errorf("%s: there are logits of the vocabulary", c.Name)
		}
	}
}

// TestBareHeads: a checkpoint may bring heads that its class does not have.
func TestBareHeads(t *testing.T) {
	c := base(t, "bert-mlm")
	c.tensors["bert.pooler.dense.weight"], c.tensors["bert.pooler.dense.bias"] = zeros(48, 48), zeros(48)
	c.tensors["cls.seq_relationship.weight"], c.tensors["cls.seq_relationship.bias"] = zeros(2, 48), zeros(2)
	m := load(t, c.write(t), golden.Options{})
	if heads := fmt.Sprint(m.Model.Info().HeadList); heads != "[pooler next]" {
		t.Errorf("heads %s", heads)
	}
	strictly(t, m, read(t, folder("bert-mlm")))
}

// TestTypesDefault: token types that are left out are 0.
func TestTypesDefault(t *testing.T) {
	g := read(t, folder("bert-mlm"))
	m := load(t, folder("bert-mlm"), golden.Options{})
	for _, name := range []string{"p1", "p17"} {
		c, err := g.Case(name)
		if err != nil {
			t.Fatal(err)
		}
		plain := *c
		plain.Types = nil
		allZero := true
		for _, x := range c.Types[0] {
			allZero = allZero && x == 0
		}
		out, err := m.Case(g.Kind, &plain)
		if err != nil {
			t.Fatal(err)
		}
		if d, err := g.Compare(c, "logits", out["logits"]); err != nil || (d.Ratio <= correct) != allZero {
			t.Errorf("%s, types %v: without them %.3g of tol_strict (%v)", name, c.Types, d.Ratio, err)
		}
	}
}

// ggufGolden is the golden of a GGUF file, as a case.
func ggufGolden(t testing.TB, file string) (*golden.Golden, *golden.Case) {
	t.Helper()
	g, err := golden.ReadGGUF(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return g, &g.Cases[0]
}
