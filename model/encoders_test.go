package model_test

// Encoders and BART: random sizes, what their configurations may not say, other
// spellings, and the names their files are found with.

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/godwit-ml/godwit/ci/golden"
	"github.com/godwit-ml/godwit/model"
	"github.com/godwit-ml/godwit/quant"
	"github.com/godwit-ml/godwit/weights"
)

// encoders are the checkpoints of this file.
var encoders = []string{"roberta-mlm", "roberta-pad", "roberta-seqcls", "xlm-roberta-mlm", "distilbert-mlm", "electra-mlm", "deberta-v2-mlm", "modernbert-mlm", "bart"}

// randomEncoders draws configurations as random does for decoders.
var randomEncoders = map[string]func(s *sizes) map[string]any{
	"roberta":     func(s *sizes) map[string]any { return robertaConfig(s, "RobertaForMaskedLM") },
	"xlm-roberta": func(s *sizes) map[string]any { return robertaConfig(s, "XLMRobertaForMaskedLM") },
	"distilbert": func(s *sizes) map[string]any {
		return map[string]any{"architectures": []string{"DistilBertForMaskedLM"}, "vocab_size": s.vocab, "max_position_embeddings": s.context, "dim": s.width(),
			"hidden_dim": s.inner, "n_layers": s.layers, "n_heads": s.heads, "activation": []string{"gelu", "relu"}[s.r.IntN(2)]}
	},
	"electra": func(s *sizes) map[string]any {
		return bertLike(s, "ElectraForMaskedLM", map[string]any{"embedding_size": 5 + s.r.IntN(30), "type_vocab_size": 1 + s.r.IntN(3)})
	},
	"deberta-v2": func(s *sizes) map[string]any {
		return bertLike(s, "DebertaV2ForMaskedLM", map[string]any{"type_vocab_size": s.r.IntN(3), "relative_attention": !s.odds(5), "position_buckets": []int{-1, 4, 5, 8, 9}[s.r.IntN(5)],
			"max_relative_positions": []int{-1, 11, 17}[s.r.IntN(3)], "share_att_key": s.odds(2), "position_biased_input": s.odds(2),
			"pos_att_type": [][]string{{"c2p"}, {"p2c"}, {"p2c", "c2p"}, {"c2p", "p2c"}}[s.r.IntN(4)], "norm_rel_ebd": []string{"none", "layer_norm"}[s.r.IntN(2)]})
	},
	"modernbert": func(s *sizes) map[string]any {
		return map[string]any{"architectures": []string{"ModernBertForMaskedLM"}, "vocab_size": s.vocab, "max_position_embeddings": s.context, "hidden_size": s.width(),
			"intermediate_size": s.inner, "num_hidden_layers": s.layers + 1, "num_attention_heads": s.heads, "norm_eps": 1e-3, "local_attention": s.r.IntN(9),
			"global_attn_every_n_layers": 1 + s.r.IntN(3), "norm_bias": s.odds(2), "attention_bias": s.odds(2), "mlp_bias": s.odds(2), "tie_word_embeddings": s.odds(2),
			"global_rope_theta": 700.0, "local_rope_theta": 90.0}
	},
	"bart": func(s *sizes) map[string]any {
		heads := s.heads
		if s.odds(2) && heads%2 == 0 {
			heads /= 2
		}
		return map[string]any{"vocab_size": s.vocab, "max_position_embeddings": s.context, "d_model": s.width(), "encoder_layers": s.layers, "decoder_layers": 1 + s.r.IntN(3),
			"encoder_attention_heads": s.heads, "decoder_attention_heads": heads, "encoder_ffn_dim": s.inner, "decoder_ffn_dim": 9 + s.r.IntN(30),
			"scale_embedding": s.odds(2), "tie_word_embeddings": s.odds(2)}
	},
}

// bertLike spells sizes as BERT's configuration does.
func bertLike(s *sizes, class string, more map[string]any) map[string]any {
	return joined(map[string]any{"architectures": []string{class}, "vocab_size": s.vocab, "max_position_embeddings": s.context, "hidden_size": s.width(),
		"intermediate_size": s.inner, "num_hidden_layers": s.layers, "num_attention_heads": s.heads, "layer_norm_eps": 1e-3, "tie_word_embeddings": !s.odds(3)}, more)
}

func robertaConfig(s *sizes, class string) map[string]any {
	return bertLike(s, class, map[string]any{"type_vocab_size": 1 + s.r.IntN(2), "pad_token_id": s.r.IntN(7)})
}

// TestPlainEncoders is TestPlain for them.
func TestPlainEncoders(t *testing.T) { plainFamilies(t, randomEncoders, 4) }

// TestEncoderConfigErrors breaks one field at a time.
func TestEncoderConfigErrors(t *testing.T) {
	for _, row := range []configError{
		{"bert-seqcls", "num_labels", 2, "num_labels: is 2, but id2label has 3 labels", false},
		{"bert-seqcls", "num_labels", 0, "num_labels: is 0", false},
		{"bert-seqcls", "num_labels", -1, "num_labels: is -1", false},
		{"bert-seqcls", "problem_type", "ranking", `problem_type "ranking" is not supported; supported: regression`, true},
		{"bert-seqcls", "id2label", map[string]string{"0": "a", "1": "b"}, "id2label: has 2 labels, but classifier.weight has 3 rows", false},
		{"bert-tokcls", "id2label", map[string]string{"0": "a"}, "id2label: has 1 labels, but classifier.weight has", false},
		{"bert-qa", "id2label", map[string]string{"0": "a", "1": "b", "2": "c"}, "id2label: has 3 labels, want 2 of an answer", false},
		{"bert-qa", "num_labels", 3, "id2label: has 3 labels, want 2", false},
		{"roberta-seqcls", "id2label", map[string]string{"0": "a", "1": "b"}, "id2label: has 2 labels, but classifier.out_proj.weight has 3 rows", false},
		{"roberta-mlm", "pad_token_id", nil, "pad_token_id: is null", false},
		{"roberta-mlm", "pad_token_id", -1, "pad_token_id: is -1", false},
		{"roberta-mlm", "pad_token_id", 512, "pad_token_id: is 512 of 512 tokens", false},
		{"roberta-mlm", "pad_token_id", 129, "max_position_embeddings: is 130, but positions begin at pad_token_id + 1, 130", false},
		{"roberta-mlm", "type_vocab_size", 0, "type_vocab_size: is 0", false},
		{"roberta-mlm", "position_embedding_type", "relative_key_query", "position_embedding_type relative_key_query is not supported; supported: absolute", true},
		{"roberta-mlm", "is_decoder", true, "is_decoder true", true},
		{"roberta-mlm", "add_cross_attention", true, "add_cross_attention true", true},
		{"roberta-mlm", "architectures", []string{"RobertaForCausalLM"}, `architecture "RobertaForCausalLM"`, true},
		{"roberta-mlm", "architectures", []string{"RobertaForMultipleChoice"}, `architecture "RobertaForMultipleChoice"`, true},
		{"xlm-roberta-mlm", "architectures", []string{"RobertaForMaskedLM"}, `architecture "RobertaForMaskedLM" is not supported; supported: XLMRobertaModel`, true},
		{"distilbert-mlm", "n_heads", 5, "n_heads: 5 does not divide 48", false},
		{"distilbert-mlm", "dim", 0, "dim: is 0", false},
		{"distilbert-mlm", "hidden_dim", -3, "hidden_dim: is -3", false},
		{"distilbert-mlm", "activation", "mish", `activation "mish"`, true},
		{"electra-mlm", "embedding_size", 0, "embedding_size: is 0", false},
		{"electra-mlm", "position_embedding_type", "relative_key", "position_embedding_type", true},
		{"electra-mlm", "architectures", []string{"ElectraForPreTraining"}, `architecture "ElectraForPreTraining"`, true},
		{"deberta-v2-mlm", "conv_kernel_size", 3, "conv_kernel_size 3 is not supported; supported: 0", true},
		{"deberta-v2-mlm", "attention_head_size", 16, "attention_head_size 16", true},
		{"deberta-v2-mlm", "pos_att_type", []string{"c2p", "p2p"}, "pos_att_type p2p is not supported; supported: c2p, p2c", true},
		{"deberta-v2-mlm", "pos_att_type", "p2c|p2p", "pos_att_type p2p", true},
		{"deberta-v2-mlm", "position_buckets", 1, "position_buckets: is 1", false},
		{"deberta-v2-mlm", "max_relative_positions", 9, "position_buckets: is 16 for distances of up to 8", false},
		{"deberta-v2-mlm", "max_relative_positions", 1 << 40, "max_relative_positions", false},
		{"deberta-v2-mlm", "type_vocab_size", -1, "type_vocab_size: is -1", false},
		{"deberta-v2-mlm", "embedding_size", 0, "embedding_size: is 0", false},
		{"modernbert-mlm", "layer_types", []string{"full_attention"}, "layer_types: has 1 kinds for 4 layers", false},
		{"modernbert-mlm", "layer_types", []string{"full_attention", "full_attention", "full_attention", "linear_attention"}, `layer_types[3] "linear_attention"`, true},
		{"modernbert-mlm", "classifier_pooling", "max", "classifier_pooling max is not supported; supported: cls, mean", true},
		{"modernbert-mlm", "classifier_activation", "mish", `classifier_activation "mish"`, true},
		{"modernbert-mlm", "local_attention", -1, "local_attention: is -1", false},
		{"modernbert-mlm", "sliding_window", -1, "local_attention: is -2", false},
		{"modernbert-mlm", "norm_eps", 0, "norm_eps: is 0", false},
		{"modernbert-mlm", "head_dim", 8, "head_dim", true},
		{"modernbert-mlm", "position_embedding_type", "sans_pos", "position_embedding_type sans_pos", true},
		{"modernbert-mlm", "rope_parameters.full_attention.rope_theta", -1, "rope_parameters", false},
		{"modernbert-mlm", "rope_parameters.sliding_attention.rope_type", "axial", `rope_type "axial"`, true},
		{"modernbert-mlm", "rope_parameters.rope_theta", 10000.0, "rope_parameters for all layers alike", true},
		{"modernbert-mlm", "rope_scaling", map[string]any{"rope_type": "linear", "factor": 2.0}, "rope_scaling beside rope_parameters", true},
		{"bart", "encoder_attention_heads", 5, "encoder_attention_heads: 5 does not divide 48", false},
		{"bart", "decoder_attention_heads", 7, "decoder_attention_heads: 7 does not divide 48", false},
		{"bart", "decoder_layers", 0, "decoder_layers: is 0", false},
		{"bart", "decoder_start_token_id", 256, "decoder_start_token_id: 256 is not in [0, 256)", false},
		{"bart", "is_encoder_decoder", false, "is_encoder_decoder false", true},
		{"bart", "activation_function", "mish", `activation_function "mish"`, true},
		{"bart", "architectures", []string{"BartForCausalLM"}, `architecture "BartForCausalLM"`, true},
	} {
		row.check(t)
	}
	// What only contradicts itself together, or needs another class.
	for _, row := range []struct {
		base   string
		fields map[string]any
		want   string
	}{
		{"bart", map[string]any{"decoder_start_token_id": nil, "bos_token_id": nil}, "decoder_start_token_id: is null, and so is bos_token_id"},
		{"bart", map[string]any{"decoder_start_token_id": nil, "bos_token_id": 300}, "bos_token_id: 300 is not in [0, 256)"},
		{"deberta-v2-mlm", map[string]any{"legacy": false, "embedding_size": 32}, "embedding_size: is 32, but the head of legacy false has hidden_size, 48"},
		{"deberta-v2-mlm", map[string]any{"architectures": []string{"DebertaV2ForSequenceClassification"}, "pooler_hidden_size": 32}, "pooler_hidden_size: differs from hidden_size, 48"},
		{"deberta-v2-mlm", map[string]any{"architectures": []string{"DebertaV2ForSequenceClassification"}, "pooler_hidden_act": "mish"}, `pooler_hidden_act "mish"`},
		{"modernbert-mlm", map[string]any{"layer_types": nil, "global_attn_every_n_layers": 0}, "global_attn_every_n_layers: is 0"},
		{"bert-seqcls", map[string]any{"id2label": map[string]any{"0": "a"}, "problem_type": "single_label_classification"}, `problem_type: is "single_label_classification", but there is one label`},
	} {
		c := base(t, row.base)
		for k, v := range row.fields {
			c.config[k] = v
		}
		if _, err := golden.Load(c.write(t), golden.Options{Device: reference(t)}); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s with %v: %v, want an error that says %q", row.base, row.fields, err, row.want)
		}
	}
}

// TestEncoderSpellings leaves fields to their defaults, or spells them otherwise:
// the results stay.
func TestEncoderSpellings(t *testing.T) {
	for _, row := range []struct {
		base   string
		rename map[string]string
		remove []string
		set    map[string]any
	}{
		{"roberta-mlm", nil, []string{"pad_token_id", "hidden_act", "layer_norm_eps", "tie_word_embeddings", "is_decoder"}, nil},
		{"distilbert-mlm", map[string]string{"dim": "hidden_size", "n_heads": "num_attention_heads", "n_layers": "num_hidden_layers"}, []string{"activation", "tie_word_embeddings"},
			map[string]any{"sinusoidal_pos_embds": true}},
		{"electra-mlm", nil, []string{"hidden_act", "layer_norm_eps", "type_vocab_size", "tie_word_embeddings"}, map[string]any{"summary_type": "last"}},
		{"deberta-v2-mlm", nil, []string{"layer_norm_eps", "type_vocab_size", "max_relative_positions", "legacy", "pooler_hidden_size", "hidden_act"},
			map[string]any{"pos_att_type": "c2p | P2C", "norm_rel_ebd": "x|Layer_Norm", "attention_head_size": 12}},
		{"modernbert-mlm", nil, []string{"layer_types", "hidden_activation", "norm_eps", "norm_bias", "decoder_bias", "classifier_activation"},
			map[string]any{"position_embedding_type": "absolute", "sliding_window": 4, "local_attention": 100}},
		{"bart", map[string]string{"d_model": "hidden_size", "encoder_layers": "num_hidden_layers", "encoder_attention_heads": "num_attention_heads"},
			[]string{"activation_function", "scale_embedding", "tie_word_embeddings", "architectures", "decoder_start_token_id"}, nil},
	} {
		t.Run(row.base, func(t *testing.T) {
			c := base(t, row.base)
			for from, to := range row.rename {
				c.config[to] = c.config[from]
				c.config[from] = 3 // where both are there, the other counts
			}
			for _, field := range row.remove {
				if _, ok := c.config[field]; !ok {
					t.Errorf("there is no field %s", field)
				}
				delete(c.config, field)
			}
			for k, v := range row.set {
				c.config[k] = v
			}
			strictly(t, load(t, c.write(t), golden.Options{}), read(t, folder(row.base)))
		})
	}
}

// TestEncoderNames stores checkpoints as they are found on the hub.
func TestEncoderNames(t *testing.T) {
	for _, row := range []struct {
		name, base string
		change     func(c checkpoint)
	}{
		{"buffers and copies", "roberta-mlm", func(c checkpoint) {
			c.tensors["roberta.embeddings.position_ids"] = stored{quant.I64, []int{1, 130}, make([]byte, 8*130)}
			c.tensors["lm_head.decoder.weight"], c.tensors["lm_head.decoder.bias"] = zeros(512, 48), zeros(512)
			c.tensors["roberta.pooler.dense.weight"], c.tensors["roberta.pooler.dense.bias"] = zeros(48, 48), zeros(48)
		}},
		{"no prefix", "distilbert-mlm", func(c checkpoint) {
			c.rename(names("distilbert.", ""))
			c.tensors["vocab_projector.weight"] = zeros(256, 48)
		}},
		{"copies", "electra-mlm", func(c checkpoint) {
			c.tensors["generator_lm_head.weight"] = zeros(256, 32)
			c.tensors["electra.embeddings.position_ids"] = stored{quant.I64, []int{1, 128}, make([]byte, 8*128)}
		}},
		{"copies and another head", "deberta-v2-mlm", func(c checkpoint) {
			c.tensors["cls.predictions.decoder.weight"], c.tensors["cls.predictions.decoder.bias"] = zeros(256, 48), zeros(256)
			c.tensors["lm_predictions.lm_head.dense.weight"] = zeros(48, 48)
			c.tensors["mask_predictions.dense.weight"] = zeros(48, 48)
			c.tensors["deberta.embeddings.position_embeddings.weight"] = zeros(512, 48)
		}},
		{"copies", "modernbert-mlm", func(c checkpoint) { c.tensors["decoder.weight"] = zeros(256, 48) }},
		{"no prefix, copies, no bias of zeros", "bart", func(c checkpoint) {
			c.rename(names("model.", ""))
			c.tensors["lm_head.weight"], c.tensors["encoder.embed_tokens.weight"] = zeros(256, 48), zeros(256, 48)
		}},
		{"the table by another name", "bart", func(c checkpoint) { c.rename(names("model.shared", "model.decoder.embed_tokens")) }},
	} {
		t.Run(row.base+", "+row.name, func(t *testing.T) {
			c := base(t, row.base)
			row.change(c)
			strictly(t, load(t, c.write(t), golden.Options{}), read(t, folder(row.base)))
		})
	}
	for _, name := range encoders {
		t.Run(name+", sharded", func(t *testing.T) {
			strictly(t, load(t, base(t, name).writeSharded(t), golden.Options{}), read(t, folder(name)))
		})
	}
}

// TestBodies loads checkpoints with heads as the bodies alone.
func TestBodies(t *testing.T) {
	for name, class := range map[string]string{"roberta-mlm": "RobertaModel", "xlm-roberta-mlm": "XLMRobertaModel", "distilbert-mlm": "DistilBertModel",
		"electra-mlm": "ElectraModel", "deberta-v2-mlm": "DebertaV2Model", "modernbert-mlm": "ModernBertModel"} {
		c := base(t, name)
		c.config["architectures"] = []string{class}
		m := load(t, c.write(t), golden.Options{})
		in := m.Model.Info()
		if in.LM || len(in.HeadList) > 0 {
			t.Errorf("%s has heads: %+v", class, in)
		}
		g := read(t, folder(name))
		p17, err := g.Case("p17")
		if err != nil {
			t.Fatal(err)
		}
		out, err := m.Case("encoder", p17)
		if err != nil {
			t.Fatal(err)
		}
		if d, err := g.Compare(p17, "last_hidden", out["last_hidden"]); err != nil || !(d.Ratio <= correct) {
			t.Errorf("%s: %.3g of tol_strict (%v)", class, d.Ratio, err)
		}
		if x := m.Model.Logits(m.Stream, m.Stream.Scratch(2, in.Hidden)); !x.IsZero() {
			t.Errorf("%s has logits %v", class, x)
		}
		if x := m.Model.(model.Encoder).Head(m.Stream, model.HeadPooler, m.Stream.Scratch(2, in.Hidden)); !x.IsZero() {
			t.Errorf("%s has a pooler: %v", class, x)
		}
	}
}

// TestEncoderDefaults: what a configuration does not say is what the family's class
// says.
func TestEncoderDefaults(t *testing.T) {
	for name, want := range map[string]struct{ vocab, positions, types, layers, heads, hidden int }{
		"roberta-mlm":     {50265, 512 - 2, 2, 12, 12, 768},
		"xlm-roberta-mlm": {30522, 512 - 2, 2, 12, 12, 768},
		"distilbert-mlm":  {30522, 512, 0, 6, 12, 768},
		"electra-mlm":     {30522, 512, 2, 12, 4, 256},
		"deberta-v2-mlm":  {128100, 512, 0, 24, 24, 1536},
		"modernbert-mlm":  {50368, 8192, 0, 22, 12, 768},
		"bart":            {50265, 1024, 0, 12, 16, 1024},
	} {
		c := base(t, name)
		config, err := json.Marshal(map[string]any{"model_type": c.config["model_type"]})
		if err != nil {
			t.Fatal(err)
		}
		ck, err := weights.Open(folder(name))
		if err != nil {
			t.Fatal(err)
		}
		in, err := model.Describe(model.Source{File: "config.json", Config: config}, ck)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if in.Vocab != want.vocab || in.Context != want.positions || in.Types != want.types || in.Layers != want.layers || in.Heads != want.heads || in.Hidden != want.hidden {
			t.Errorf("%s: %+v, want %+v", name, in, want)
		}
		if err := ck.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestHolesOfDistances: a family whose attention counts distances refuses a batch
// in which tokens between others are left out; before all others they may be.
func TestHolesOfDistances(t *testing.T) {
	for name, refused := range map[string]bool{"t5": true, "deberta-v2-mlm": true, "modernbert-mlm": true, "roberta-mlm": false, "bart": false} {
		in := load(t, folder(name), golden.Options{}).Model.Info()
		for hole, mask := range map[string][]int32{"": {0, 0, 1, 1, 0}, "hole": {1, 1, 0, 1, 1}} {
			var b model.Batch
			if err := b.AddEncoder(count(5, 9), nil, []int32{1, 1, 1, 0, 0}); err != nil {
				t.Fatal(err)
			}
			if err := b.AddEncoder(count(5, 9), nil, mask); err != nil {
				t.Fatal(err)
			}
			var err *model.BatchError
			if got := errors.As(b.Check(in, nil), &err); got != (refused && hole != "") || got && (err.Field != "Positions" || err.Index != 5) {
				t.Errorf("%s with the mask %v: %v", name, mask, err)
			}
		}
	}
}
