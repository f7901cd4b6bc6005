package model

// GGUF's architectures of Gemma's line. The 1 of their norms is in the weights,
// and what the keys do not say is what llama.cpp takes it to be.

import (
	"math"

	"github.com/godwit-ml/godwit/weights"
)

// gemmaMeta reads the keys of all three.
func (m *meta) gemmaMeta(ck *weights.Checkpoint, names func(string) string) gemmaFields {
	c := gemmaFields{llamaFields: m.llamaMeta(ck, names), folded: true}
	c.Activation = "gelu_pytorch_tanh"
	_, c.AttentionBias = ck.Info("blk.0.attn_q.bias")
	return c
}

// gemma2Meta reads the keys of Gemma 2 and 3. Scores are scaled by the width of a
// head, but in the largest model of both by D over the number of heads.
func (m *meta) gemma2Meta(ck *weights.Checkpoint, largest int) gemma2Fields {
	c := gemma2Fields{gemmaFields: m.gemmaMeta(ck, gemma2Names), windowFields: windowFields{Window: m.window()}}
	c.HiddenAct = c.Activation
	if c.Heads > 0 {
		c.QueryDim = float64(*c.HeadDim)
		if c.Layers == largest {
			c.QueryDim = float64(c.Hidden / c.Heads)
		}
	}
	if s := m.number("attention.scale", 0); s != 0 {
		c.QueryDim = 1 / (s * s)
	}
	if v := m.number("final_logit_softcapping", 0); v != 0 {
		c.LogitCap = &v
	}
	return c
}

// slides says which layers slide: all but every n-th, or those that the pattern
// lists. Without a window none does.
func (m *meta) slides(w *windowFields, n int) func(layer int) bool {
	list, listed := m.src.GGUF[m.key("attention.sliding_window_pattern")].([]bool)
	if !listed {
		n = m.integer("attention.sliding_window_pattern", n)
	}
	return func(layer int) bool {
		switch {
		case w.Window == nil:
			return false
		case listed:
			return layer < len(list) && list[layer]
		}
		return n == 0 || (layer+1)%n != 0
	}
}

func gemmaGGUF(src Source, ck *weights.Checkpoint) (config, error) {
	m := meta{src: src, arch: "gemma"}
	c := &gemmaConfig{gemmaFields: m.gemmaMeta(ck, llamaNames)}
	m.refuse("attention.scale", "attention.sliding_window")
	k := checker{src: src, ck: ck, err: m.err}
	c.check(&k, "gemma")
	c.finish(&m, &k)
	return c, k.err
}

func gemma2GGUF(src Source, ck *weights.Checkpoint) (config, error) {
	m := meta{src: src, arch: "gemma2"}
	c := &gemma2Config{gemma2Fields: m.gemma2Meta(ck, 46)}
	if _, ok := src.GGUF[m.key("attention.sliding_window")]; !ok {
		c.Window = new(4096)
	}
	if v := m.number("attn_logit_softcapping", 50); v != 0 {
		c.ScoreCap = &v
	}
	if _, ok := src.GGUF[m.key("final_logit_softcapping")]; !ok {
		c.LogitCap = new(30.0)
	}
	slides := m.slides(&c.windowFields, 2)
	k := checker{src: src, ck: ck, err: m.err}
	c.check(&k, "gemma2")
	c.left = c.lefts(&k, c.Layers, slides)
	c.finish(&m, &k)
	return c, k.err
}

func gemma3GGUF(src Source, ck *weights.Checkpoint) (config, error) {
	m := meta{src: src, arch: "gemma3"}
	c := &gemma3Config{gemma2Fields: m.gemma2Meta(ck, 62)}
	m.refuse("attn_logit_softcapping")
	slides := m.slides(&c.windowFields, 6)
	k := checker{src: src, ck: ck, err: m.err}
	c.check(&k, "gemma3")
	c.left = c.lefts(&k, c.Layers, slides)
	if c.finish(&m, &k); k.err == nil { // sliding layers have a base of their own and no scaling
		c.local.Theta, c.local.Dim = m.number("rope.freq_base_swa", 10000), c.frequencies.Dim
		k.keep(m.err)
		k.contradicts(!(c.local.Theta > 0) || math.IsInf(c.local.Theta, 0), "gemma3.rope.freq_base_swa", "is %v, want a positive number", c.local.Theta)
	}
	return c, k.err
}

var gemma2Names = ggufNames("model.layers.", llamaTop, with(llamaInner, map[string]string{
	"post_attention_layernorm": "post_attention_norm", "pre_feedforward_layernorm": "ffn_norm", "post_feedforward_layernorm": "post_ffw_norm"}))
