package model

// Qwen2 (Yang et al., 2024): Llama with biases on q, k and v, and a sliding window
// in the upper layers of some checkpoints.

import (
	"github.com/godwit-ml/godwit/nn"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/weights"
)

// qwenWindow is the sliding window of Qwen's configurations, which counts only if
// they say so.
type qwenWindow struct {
	windowFields
	Use       bool `json:"use_sliding_window"`
	MaxLayers int  `json:"max_window_layers"` // the first so many layers see all tokens
}

// lefts is windowFields.lefts.
func (w *qwenWindow) lefts(k *checker, layers int) []int {
	if !w.Use {
		w.Window = nil
	}
	return w.windowFields.lefts(k, layers, func(layer int) bool { return w.Window != nil && layer >= w.MaxLayers })
}

type qwen2Config struct {
	llamaFields
	qwenWindow
	left []int
}

func qwen2JSON(src Source, ck *weights.Checkpoint) (config, error) {
	c := &qwen2Config{qwenWindow: qwenWindow{windowFields: windowFields{Window: new(4096)}, MaxLayers: 28},
		llamaFields: llamaFields{Vocab: 151936, Hidden: 4096, Inner: 22016, Layers: 32, Heads: 32, KVHeads: new(32),
			Positions: 32768, Activation: "silu", Eps: 1e-6}}
	if err := decode(src, c); err != nil {
		return nil, err
	}
	k := checker{src: src, ck: ck}
	c.check(&k, "Qwen2ForCausalLM", "Qwen2Model")
	c.left = c.lefts(&k, c.Layers)
	c.rotate(&k)
	return c, k.err
}

func (c *qwen2Config) info() Info { return c.about("qwen2").with(windowed(c.left)) }

func (c *qwen2Config) load(s *runtime.Stream, ck *weights.Checkpoint, opt Options) (Model, error) {
	return c.decoder(s, ck, c.info(), opt, nn.LoadRMSNorm, func(l *weights.Scope, layer int, r *nn.Rotary) block {
		attn := c.attention(s, l.Sub("self_attn"), true, false, r)
		attn.Left = c.left[layer]
		return c.block(s, l, attn, c.mlp(s, l.Sub("mlp"), false))
	})
}
