package model_test

// How configurations describe RoPE: every field of every spelling reaches the
// tables on the device.

import (
	"slices"
	"strings"
	"testing"

	"github.com/godwit-ml/godwit/ci/golden"
	"github.com/godwit-ml/godwit/model"
	"github.com/godwit-ml/godwit/nn"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/runtime/devicetest"
)

// tables are those that the first RoPE of a forward pass uses.
func tables(t *testing.T, path string) (cos, sin []float32, op *runtime.RoPE) {
	t.Helper()
	null := &devicetest.Null{}
	m := load(t, path, golden.Options{Device: null})
	var b model.Batch
	if err := b.AddDecoder([]int32{1}, 0, []int32{0}, 4); err != nil {
		t.Fatal(err)
	}
	c := newCache(t, m, runtime.F32, 1, 4)
	null.Reset()
	m.Model.Forward(m.Stream, &b, c)
	for i := range null.Len() {
		if op, ok := null.At(i).(*runtime.RoPE); ok {
			return op.Cos.Mem.Host.F32s(), op.Sin.Mem.Host.F32s(), op
		}
	}
	t.Fatal("no RoPE")
	return nil, nil, nil
}

func TestRopeFields(t *testing.T) {
	type fields = map[string]any
	yarn := nn.Rope{Scaling: "yarn", Factor: 4, Original: 32}
	with := func(r nn.Rope, change func(r *nn.Rope)) nn.Rope { change(&r); return r }
	for _, row := range []struct {
		fields fields // of rope_parameters, or of rope_scaling beside rope_theta
		want   nn.Rope
	}{
		{nil, nn.Rope{}},
		{fields{"rope_type": "default"}, nn.Rope{}},
		{fields{"rope_type": "linear", "factor": 2.5}, nn.Rope{Scaling: "linear", Factor: 2.5}},
		{fields{"type": "linear", "factor": 2.5}, nn.Rope{Scaling: "linear", Factor: 2.5}},
		{fields{"rope_type": "llama3", "factor": 8, "low_freq_factor": 1.5, "high_freq_factor": 3, "original_max_position_embeddings": 60},
			nn.Rope{Scaling: "llama3", Factor: 8, LowFreqFactor: 1.5, HighFreqFactor: 3, Original: 60}},
		{fields{"rope_type": "yarn", "factor": 4, "original_max_position_embeddings": 32}, yarn},
		{fields{"type": "yarn", "factor": 4, "original_max_position_embeddings": 32}, yarn},
		{fields{"rope_type": "yarn", "original_max_position_embeddings": 32}, yarn}, // the factor is that of the contexts
		{fields{"rope_type": "yarn", "factor": 3}, nn.Rope{Scaling: "yarn", Factor: 3, Original: 128}},
		{fields{"rope_type": "yarn", "factor": 4, "original_max_position_embeddings": 32, "beta_fast": 8, "beta_slow": 2},
			with(yarn, func(r *nn.Rope) { r.BetaFast, r.BetaSlow = 8, 2 })},
		{fields{"rope_type": "yarn", "factor": 4, "original_max_position_embeddings": 32, "truncate": false}, with(yarn, func(r *nn.Rope) { r.NoTruncate = true })},
		{fields{"rope_type": "yarn", "factor": 4, "original_max_position_embeddings": 32, "truncate": true}, yarn},
		{fields{"rope_type": "yarn", "factor": 4, "original_max_position_embeddings": 32, "attention_factor": 1.25}, with(yarn, func(r *nn.Rope) { r.AttentionFactor = 1.25 })},
		{fields{"rope_type": "yarn", "factor": 4, "original_max_position_embeddings": 32, "mscale": 0.9, "mscale_all_dim": 0.4},
			with(yarn, func(r *nn.Rope) { r.MScale, r.MScaleAll = 0.9, 0.4 })},
	} {
		for _, theta := range []float64{10000, 700} {
			for _, v4 := range []bool{false, true} {
				c := base(t, "llama-yarn")
				delete(c.config, "rope_parameters")
				params := fields{}
				for k, v := range row.fields {
					params[k] = v
				}
				switch {
				case v4:
					c.config["rope_theta"] = theta
					if c.config["rope_scaling"] = params; row.fields == nil {
						c.config["rope_scaling"] = nil
					}
				default:
					params["rope_theta"] = theta
					c.config["rope_parameters"] = params
				}
				want := row.want
				want.Theta, want.Dim = theta, 16
				cos, sin, err := want.Tables(128)
				if err != nil {
					t.Fatal(err)
				}
				gotCos, gotSin, _ := tables(t, c.write(t))
				if !slices.Equal(gotCos, cos.F32s()) || !slices.Equal(gotSin, sin.F32s()) {
					t.Errorf("%v, theta %v, old spelling %v: the tables are not those of %+v", row.fields, theta, v4, want)
				}
			}
		}
	}
}

// TestGGUFRopeFields is TestRopeFields for the keys of GGUF.
func TestGGUFRopeFields(t *testing.T) {
	c := base(t, "llama-yarn")
	c.rename(llamaToGGUF)
	type keys = map[string]any
	yarn := nn.Rope{Scaling: "yarn", Factor: 4, Original: 32}
	with := func(r nn.Rope, change func(r *nn.Rope)) nn.Rope { change(&r); return r }
	for _, row := range []struct {
		keys keys
		want nn.Rope
	}{
		{nil, nn.Rope{}},
		{keys{"rope.freq_base": float32(700)}, nn.Rope{Theta: 700}},
		{keys{"rope.dimension_count": uint32(8)}, nn.Rope{Dim: 8}},
		{keys{"rope.scaling.type": "none", "rope.scaling.factor": float32(4)}, nn.Rope{}},
		{keys{"rope.scaling.factor": float32(4)}, nn.Rope{Scaling: "linear", Factor: 4}},
		{keys{"rope.scale_linear": float32(4)}, nn.Rope{Scaling: "linear", Factor: 4}},
		{keys{"rope.scaling.type": "linear"}, nn.Rope{}},
		{keys{"rope.scaling.type": "yarn", "rope.scaling.factor": float32(4), "rope.scaling.original_context_length": uint32(32)}, yarn},
		{keys{"rope.scaling.type": "yarn", "rope.scaling.factor": float32(4)}, with(yarn, func(r *nn.Rope) { r.Original = 128 })},
		{keys{"rope.scaling.type": "yarn", "rope.scaling.factor": float32(4), "rope.scaling.original_context_length": uint32(32),
			"rope.scaling.yarn_beta_fast": float32(8), "rope.scaling.yarn_beta_slow": float32(2)},
			with(yarn, func(r *nn.Rope) { r.BetaFast, r.BetaSlow = 8, 2 })},
		{keys{"rope.scaling.type": "yarn", "rope.scaling.factor": float32(4), "rope.scaling.original_context_length": uint32(32), "rope.scaling.yarn_attn_factor": float32(1.25)},
			with(yarn, func(r *nn.Rope) { r.AttentionFactor = 1.25 })},
	} {
		want := row.want
		if want.Theta == 0 {
			want.Theta = 10000
		}
		if want.Dim == 0 {
			want.Dim = 16
		}
		cos, _, err := want.Tables(128)
		if err != nil {
			t.Fatal(err)
		}
		meta := ggufMeta("llama", c, row.keys)
		got, _, op := tables(t, writeGGUF(t, meta, c.tensors))
		if !slices.Equal(got, cos.F32s()) || !op.Interleaved || op.HeadDim != 16 {
			t.Errorf("%v: the tables are not those of %+v, or pairs are no neighbours (%v)", row.keys, want, op.Interleaved)
		}
	}
	file := writeGGUF(t, ggufMeta("llama", c, keys{"rope.scaling.type": "yarn", "rope.scaling.factor": float32(4), "rope.scaling.yarn_ext_factor": float32(0.5)}), c.tensors)
	if _, err := golden.Load(file, golden.Options{Device: &devicetest.Null{}}); err == nil || !strings.Contains(err.Error(), "llama.rope.scaling.yarn_ext_factor 0.5 is not supported") {
		t.Errorf("an extrapolation factor: %v", err)
	}
	// llama.cpp multiplies what YaRN gives with attn_factor.
	scaled := keys{"rope.scaling.type": "yarn", "rope.scaling.factor": float32(4), "rope.scaling.attn_factor": float32(2)}
	cos, _, _ := tables(t, writeGGUF(t, ggufMeta("llama", c, scaled), c.tensors))
	if want := float32(2 * 1.1386294361119891); cos[0] != want { // 0.1·ln 4 + 1
		t.Errorf("the factor on cosines is %v, want %v", cos[0], want)
	}
}

// TestGGUFValues changes metadata that has to be honoured, and wants what the same
// change of config.json gives.
func TestGGUFValues(t *testing.T) {
	c := base(t, "llama")
	hf := base(t, "llama")
	hf.config["rms_norm_eps"] = 0.125
	for n, x := range c.tensors {
		if isRotated(n) {
			c.tensors[n] = x.interleave(12)
		}
	}
	c.rename(llamaToGGUF)
	meta := ggufMeta("llama", c, map[string]any{"attention.layer_norm_rms_epsilon": float32(0.125)})
	g := read(t, folder("llama"))
	p17, err := g.Case("p17")
	if err != nil {
		t.Fatal(err)
	}
	want, err := load(t, hf.write(t), golden.Options{}).Case(g.Kind, p17)
	if err != nil {
		t.Fatal(err)
	}
	got, err := load(t, writeGGUF(t, meta, c.tensors), golden.Options{}).Case(g.Kind, p17)
	if err != nil {
		t.Fatal(err)
	}
	close32(t, "eps of 0.125", got["logits"], want["logits"], 1e-4)
	if d, err := g.Compare(p17, "logits", got["logits"]); err != nil || d.Ratio < 10 {
		t.Errorf("eps makes no difference (%v)", err)
	}
}
