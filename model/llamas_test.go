package model_test

// The fields of the configurations of Llama's descendants: what is refused, what
// contradicts itself, defaults, and what does nothing.

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godwit-ml/godwit/ci/golden"
	"github.com/godwit-ml/godwit/model"
	"github.com/godwit-ml/godwit/runtime/devicetest"
)

// TestLlamasConfigErrors breaks one field at a time.
func TestLlamasConfigErrors(t *testing.T) {
	types := func(s ...string) []string { return s }
	for _, row := range []configError{
		{"llama", "sliding_window", 8, "sliding_window of a Llama", true},
		{"llama", "layer_types", types("full_attention", "sliding_attention", "full_attention"), "sliding_window: is null, but layer 1 slides", false},
		{"llama", "num_key_value_heads", 3, "num_key_value_heads: 3 does not divide 4", false},
		{"llama", "head_dim", 7, "rope", false},
		{"llama", "partial_rotary_factor", 0.5, "partial_rotary_factor 0.5", true},
		{"llama", "is_causal", false, "is_causal false", true},
		{"llama", "per_layer_config", map[string]any{"0": map[string]any{"num_attention_heads": 2}}, "per_layer_config", true},
		{"llama", "quantization_config", map[string]any{"quant_method": "fp8"}, "quantization_config", true},
		{"mistral", "sliding_window", 0, "sliding_window: is 0, want at least 1", false},
		{"mistral", "layer_types", types("sliding_attention", "full_attention"), "layer_types full_attention", true},
		{"mistral", "layer_types", types("sliding_attention"), "layer_types: has 1 entries for 2 layers", false},
		{"mistral", "layer_types", types("sliding_attention", "chunked_attention"), "layer_types chunked_attention is not supported; supported: sliding_attention, full_attention", true},
		{"mistral", "architectures", types("MistralForTokenClassification"), `architecture "MistralForTokenClassification"`, true},
		{"mixtral", "num_local_experts", 0, "num_experts: is 0", false},
		{"mixtral", "num_local_experts", 1 << 15, "num_experts: is 32768 experts in 2 layers, but the checkpoint has", false},
		{"mixtral", "num_experts_per_tok", 5, "num_experts_per_tok: is 5 of 4 experts", false},
		{"mixtral", "num_experts_per_tok", 0, "num_experts_per_tok: is 0 of 4 experts", false},
		{"qwen2", "layer_types", types("sliding_attention", "full_attention"), "sliding_window: is null, but layer 0 slides", false},
		{"qwen3", "rms_norm_eps", 0, "rms_norm_eps", false},
		{"qwen3-moe", "decoder_sparse_step", 0, "decoder_sparse_step: is 0", false},
		{"qwen3-moe", "moe_intermediate_size", 0, "moe_intermediate_size: is 0", false},
		{"qwen3-moe", "num_experts_per_tok", 7, "num_experts_per_tok: is 7 of 6 experts", false},
		{"qwen3-moe", "layer_types", types("sliding_attention", "full_attention"), "sliding_window: is null", false},
		{"qwen2", "rope_parameters", map[string]any{"full_attention": map[string]any{"rope_theta": 10000}}, "rope_parameters by layer type", true},
		{"gemma", "sliding_window", 8, "sliding_window of the first Gemma", true},
		{"gemma", "use_bidirectional_attention", true, "use_bidirectional_attention true", true},
		{"gemma", "hidden_act", "quick_gelu", `hidden_act "quick_gelu"`, true},
		{"gemma2", "use_bidirectional_attention", true, "use_bidirectional_attention true", true},
		{"gemma2", "sliding_window", nil, "sliding_window: is null, but layer 0 slides", false},
		{"gemma2", "query_pre_attn_scalar", 0, "query_pre_attn_scalar", false},
		{"gemma2", "attn_logit_softcapping", 0, "attn_logit_softcapping", false},
		{"gemma2", "final_logit_softcapping", -1, "final_logit_softcapping", false},
		{"gemma2", "hidden_activation", "quick_gelu", `"quick_gelu"`, true},
		{"gemma3", "rope_parameters", map[string]any{"rope_type": "linear", "factor": 8}, "rope_parameters: has a rope_type", false},
		{"gemma3", "rope_parameters.sliding_attention", map[string]any{"rope_type": "axial"}, `rope_type "axial"`, true},
		{"gemma3", "rope_scaling", map[string]any{"rope_type": "linear", "factor": 8}, "rope_scaling: stands beside rope_parameters", false},
		{"gemma3", "layer_types", types("full_attention"), "layer_types: has 1 entries for 4 layers", false},
		{"gemma3", "use_bidirectional_attention", true, "use_bidirectional_attention true", true},
		{"phi3", "rope_parameters.rope_type", "linear", "rope_parameters.rope_type linear is not supported; supported: default, longrope, su, yarn", true},
		{"phi3", "rope_parameters.partial_rotary_factor", 0.1, "rope_parameters.partial_rotary_factor: is 0.1 of a head of 12", false},
		{"phi3-longrope", "rope_parameters.long_factor", absent, "has 6, 0 and 32", false},
		{"phi3-longrope", "rope_parameters.short_factor", []float64{1, 1, 1, 1, 1, 0}, "longrope divides frequency 5 by 0", false},
		{"phi3-longrope", "original_max_position_embeddings", 1, "original_max_position_embeddings above 1", false},
	} {
		row.check(t)
	}
	// The window's pattern counts only where layer_types is not there.
	c := base(t, "gemma3")
	delete(c.config, "layer_types")
	c.config["sliding_window_pattern"] = 0
	if _, err := golden.Load(c.write(t), golden.Options{Device: &devicetest.Null{}}); err == nil || !strings.Contains(err.Error(), "sliding_window_pattern: is 0") {
		t.Errorf("a pattern of 0: %v", err)
	}
}

// TestLlamasDefaults leaves fields to their defaults, or sets those that do
// nothing: the results stay.
func TestLlamasDefaults(t *testing.T) {
	for _, row := range []struct {
		base   string
		remove []string
		set    map[string]any
	}{
		{"llama", []string{"hidden_act", "rms_norm_eps", "attention_bias", "mlp_bias", "tie_word_embeddings", "rope_parameters", "head_dim", "architectures"},
			map[string]any{"sliding_window": nil, "pretraining_tp": 2, "layer_types": []string{"full_attention", "full_attention", "full_attention"}}},
		{"mistral", []string{"head_dim", "rms_norm_eps", "hidden_act", "rope_parameters", "tie_word_embeddings"}, map[string]any{"head_dim": 16}},
		{"mixtral", []string{"num_experts_per_tok", "rope_parameters", "rms_norm_eps", "sliding_window", "hidden_act"}, map[string]any{"router_jitter_noise": 0.5}},
		{"qwen2", []string{"layer_types", "use_sliding_window", "max_window_layers", "rope_parameters", "sliding_window"}, map[string]any{"sliding_window": 4, "max_window_layers": 0}},
		{"qwen3", []string{"layer_types", "use_sliding_window", "max_window_layers", "attention_bias"}, map[string]any{"sliding_window": 3, "max_window_layers": 0}},
		{"qwen3-moe-raw", []string{"norm_topk_prob", "decoder_sparse_step", "mlp_only_layers", "rms_norm_eps"}, map[string]any{"mlp_only_layers": nil, "intermediate_size": 1}},
		{"gemma", []string{"tie_word_embeddings", "attention_bias", "use_bidirectional_attention"}, map[string]any{"hidden_act": "gelu"}},
		{"gemma2", []string{"layer_types", "hidden_activation", "rms_norm_eps", "tie_word_embeddings"}, map[string]any{"hidden_act": "relu"}},
		{"gemma3", []string{"hidden_activation", "final_logit_softcapping"}, map[string]any{"hidden_act": "relu", "attn_logit_softcapping": 0.5, "sliding_window_pattern": 3, "rope_theta": 3}},
		{"phi3", []string{"rope_parameters", "original_max_position_embeddings", "rms_norm_eps"}, nil},
		{"phi3-longrope", nil, map[string]any{"rope_scaling": nil}},
	} {
		t.Run(row.base, func(t *testing.T) {
			c := base(t, row.base)
			for _, field := range row.remove {
				delete(c.config, field)
			}
			for field, v := range row.set {
				c.config[field] = v
			}
			strictly(t, load(t, c.write(t), golden.Options{}), read(t, folder(row.base)))
		})
	}
}

// TestGGUFArchitectures refuses what would change a graph, and what contradicts
// itself, by the key's name.
func TestGGUFArchitectures(t *testing.T) {
	one := map[string]stored{"token_embd.weight": f32([]int{50, 48}, make([]float32, 50*48)...)}
	for _, n := range []string{"b", "c", "d"} { // as many tensors as layers
		one[n] = zeros(1)
	}
	for _, row := range []struct {
		arch, key string
		value     any
		want      string
	}{
		{"qwen2", "attention.sliding_window", uint32(8), "qwen2.attention.sliding_window 8 is not supported"},
		{"qwen3", "attention.scale", float32(0.5), "qwen3.attention.scale 0.5 is not supported"},
		{"qwen3", "attention.value_length", uint32(4), "qwen3.attention.value_length: differs from key_length"},
		{"qwen3moe", "expert_count", uint32(1 << 20), "num_experts: is 1048576"},
		{"qwen3moe", "expert_used_count", uint32(9), "num_experts_per_tok: is 9 of 4 experts"},
		{"qwen3moe", "expert_feed_forward_length", uint32(0), "expert_feed_forward_length: is 0"},
		{"qwen3moe", "expert_weights_norm", uint32(0), "qwen3moe.expert_weights_norm: is a uint32, want true or false"},
		{"qwen3moe", "expert_shared_count", uint32(1), "qwen3moe.expert_shared_count 1 is not supported"},
		{"llama", "expert_weights_norm", false, "llama.expert_weights_norm false is not supported; supported: true"},
		{"gemma", "attention.sliding_window", uint32(8), "gemma.attention.sliding_window 8 is not supported"},
		{"gemma2", "attention.sliding_window_pattern", "all", "gemma2.attention.sliding_window_pattern: is a string"},
		{"gemma2", "final_logit_softcapping", float32(-3), "final_logit_softcapping"},
		{"gemma3", "attn_logit_softcapping", float32(50), "gemma3.attn_logit_softcapping 50 is not supported"},
		{"gemma3", "rope.freq_base_swa", float32(-1), "gemma3.rope.freq_base_swa: is -1"},
		{"phi3", "rope.scaling.type", "longrope", `phi3.rope.scaling.type "longrope" is not supported`}, // without its tensors
		{"phi3", "expert_count", uint32(2), "phi3.expert_count 2 is not supported"},
		{"gpt2", "attention.head_count_kv", uint32(2), "gpt2.attention.head_count_kv: differs from head_count"},
		{"starcoder", "attention.head_count_kv", uint32(2), "starcoder.attention.head_count_kv: differs from head_count"},
		{"gptj", "rope.freq_base", float32(500), "gptj.rope.freq_base 500 is not supported; supported: 10000"},
		{"gptj", "rope.dimension_count", uint32(14), "gptj.rope.dimension_count: is 14 of a head of 12"},
		{"gptneox", "use_parallel_residual", "yes", "gptneox.use_parallel_residual: is a string, want true or false"},
		{"phi2", "attention.head_count_kv", uint32(3), "num_key_value_heads: 3 does not divide 4"},
		{"starcoder2", "attention.sliding_window", float32(0.5), "starcoder2.attention.sliding_window: is 0.5, want a whole number"},
		{"bloom", "feed_forward_length", uint32(96), "bloom.feed_forward_length: is 96, want 4 times"},
		{"bloom", "attention.max_alibi_bias", float32(8), "bloom.attention.max_alibi_bias 8 is not supported"},
		{"falcon", "attention.head_count_kv", uint32(3), "num_kv_heads: 3 does not divide 4"},
		{"falcon", "rope.scaling.type", "longrope", "falcon.rope.scaling.type"},
		{"bert", "attention.causal", true, "bert.attention.causal true is not supported; supported: false"},
		{"bert", "attention.head_count", uint32(5), "num_attention_heads: 5 does not divide 48"},
		{"t5", "attention.relative_buckets_count", uint32(2), "relative_attention_max_distance: is 128 with 2 buckets"},
		{"t5", "decoder_start_token_id", uint32(50), "decoder_start_token_id: 50 is not in [0, 50)"},
		{"t5", "attention.key_length", absent, "t5.attention.key_length: is absent"},
	} {
		meta := map[string]any{"general.architecture": row.arch}
		for key, v := range map[string]uint32{"context_length": 64, "embedding_length": 48, "block_count": 2, "feed_forward_length": 192,
			"attention.head_count": 4, "attention.key_length": 12, "attention.value_length": 12, "attention.relative_buckets_count": 32} {
			meta[row.arch+"."+key] = v
		}
		if row.arch == "qwen3moe" || row.arch == "llama" {
			meta[row.arch+".expert_count"], meta[row.arch+".expert_used_count"] = uint32(4), uint32(2)
		}
		if meta[row.arch+"."+row.key] = row.value; row.value == absent {
			delete(meta, row.arch+"."+row.key)
		}
		file := writeGGUF(t, meta, one)
		_, err := golden.Load(file, golden.Options{Device: &devicetest.Null{}})
		if err == nil || !strings.HasPrefix(err.Error(), file+": ") || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s.%s %v: %v, want an error that says %q", row.arch, row.key, row.value, err, row.want)
		}
	}
}

// TestLayerPatterns leaves which layers slide to the patterns of older files.
func TestLayerPatterns(t *testing.T) {
	for _, name := range []string{"qwen2-window", "qwen3-bias", "gemma2-caps"} {
		dir := filepath.Join("testdata", "odd", name)
		c := open(t, dir)
		if _, ok := c.config["layer_types"]; !ok {
			t.Errorf("%s has no layer_types", name)
		}
		delete(c.config, "layer_types")
		strictly(t, load(t, c.write(t), golden.Options{}), read(t, dir))
	}
}

// TestPhi3Names: longrope had other names in Phi-3's first releases.
func TestPhi3Names(t *testing.T) {
	for _, name := range []string{"su", "yarn", "longrope"} {
		c := base(t, "phi3-longrope")
		p := c.config["rope_parameters"].(map[string]any)
		delete(c.config, "rope_parameters")
		delete(p, "rope_type")
		p["type"] = name
		c.config["rope_scaling"], c.config["rope_theta"] = p, p["rope_theta"]
		strictly(t, load(t, c.write(t), golden.Options{Chunk: 9}), read(t, folder("phi3-longrope")))
	}
}

// TestRopeLimit: the rows of a long sequence are the long ones in every chunk, and
// those of a short one beside it are not.
func TestRopeLimit(t *testing.T) {
	m := load(t, folder("phi3-longrope"), golden.Options{})
	if in := m.Model.Info(); in.RopeLimit != 32 {
		t.Fatalf("limit %d, want 32", in.RopeLimit)
	}
	b, err := os.ReadFile(filepath.Join(folder("phi3"), "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(b), "longrope") {
		t.Fatal("phi3 has longrope too")
	}
	if in := load(t, folder("phi3"), golden.Options{}).Model.Info(); in.RopeLimit != 0 {
		t.Errorf("limit %d without longrope", in.RopeLimit)
	}
	g := read(t, folder("phi3-longrope"))
	p70, err := g.Case("p70")
	if err != nil {
		t.Fatal(err)
	}
	whole, err := m.Case(golden.Headless, p70)
	if err != nil {
		t.Fatal(err)
	}
	c := newCache(t, m, 0, 24, 4)
	var batch model.Batch
	table := func(from int) (t []int32) {
		for i := range int32(18) {
			t = append(t, int32(from)+i)
		}
		return t
	}
	for _, step := range []error{
		batch.AddDecoder(p70.IDs[0][:5], 0, table(0), 4), batch.AddDecoder(p70.IDs[0][:5], 0, []int32{20, 21}, 4),
	} {
		if step != nil {
			t.Fatal(step)
		}
	}
	batch.Lengths[0] = 70 // a chunk of the long prompt
	if err := batch.Check(m.Model.Info(), c); err != nil {
		t.Fatal(err)
	}
	m.Stream.Reset()
	hidden := m.Model.Forward(m.Stream, &batch, c)
	got := make([]float32, hidden.Rows*hidden.Cols)
	m.Stream.DownloadF32(got, hidden)
	if err := m.Stream.Sync(); err != nil {
		t.Fatal(err)
	}
	half := len(got) / 2
	close32(t, "a chunk of a long prompt", got[:half], whole["last_hidden"][:half], 1e-4)
	if worst := distance(got[half:], got[:half]); worst < 0.1 {
		t.Errorf("a short sequence rotates as a long one: they differ by %v", worst)
	}
}

// distance is the largest difference of two vectors.
func distance(a, b []float32) float32 {
	worst := float32(0)
	for i := range a {
		worst = max(worst, a[i]-b[i], b[i]-a[i])
	}
	return worst
}
