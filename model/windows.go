package model

// Sliding windows: which layers see only the last tokens, as configurations say
// it.

import "github.com/godwit-ml/godwit/runtime"

// windowFields are the fields of config.json that limit what layers see. A family
// that has them embeds them.
type windowFields struct {
	Window *int     `json:"sliding_window"` // keys a token sees, itself included; null: all
	Types  []string `json:"layer_types"`    // a layer: sliding_attention, full_attention
}

// lefts is how many keys before a token each layer sees. Where the file has no
// layer_types, slides says which layers slide.
func (w *windowFields) lefts(k *checker, layers int, slides func(layer int) bool) []int {
	if w.Types != nil {
		k.contradicts(len(w.Types) != layers, "layer_types", "has %d entries for %d layers", len(w.Types), layers)
		for _, t := range w.Types {
			k.refuse(t != "sliding_attention" && t != "full_attention", "layer_types", t, "sliding_attention", "full_attention")
		}
		slides = func(layer int) bool { return w.Types[layer] == "sliding_attention" }
	}
	if w.Window != nil {
		k.contradicts(*w.Window < 1, "sliding_window", "is %d, want at least 1", *w.Window)
	}
	if k.err != nil {
		return nil
	}
	left := make([]int, layers)
	for i := range left {
		left[i] = runtime.Unlimited
		if !slides(i) {
			continue
		}
		if w.Window == nil {
			k.contradicts(true, "sliding_window", "is null, but layer %d slides", i)
			return nil
		}
		left[i] = *w.Window - 1
	}
	return left
}

// same is how many keys before a token every layer sees, in families whose layers
// all slide or do not: a file that says otherwise of one is refused.
func (w *windowFields) same(k *checker, layers int) []int {
	all := w.Window != nil
	left := w.lefts(k, layers, func(int) bool { return all })
	for i := range left {
		if (left[i] != runtime.Unlimited) != all {
			k.refuse(true, "layer_types", w.Types[i], "what sliding_window says, of all layers of this family")
		}
	}
	return left
}
