package model

// What Info tells of a model that a reader may not expect: positions, masks,
// norms. Families say it in their info, of what their configuration asks for.

import (
	"fmt"
	"slices"

	"github.com/godwit-ml/godwit/nn"
	"github.com/godwit-ml/godwit/runtime"
)

// with adds what is unusual, but for empty texts.
func (in Info) with(unusual ...string) Info {
	in.Unusual = slices.Clone(in.Unusual)
	for _, u := range unusual {
		if u != "" {
			in.Unusual = append(in.Unusual, u)
		}
	}
	return in
}

// when is a text if a condition holds.
func when(holds bool, format string, args ...any) string {
	if !holds {
		return ""
	}
	return fmt.Sprintf(format, args...)
}

const (
	sideBySide       = "blocks: attention and feed-forward layer side by side, both added to the stream"
	unscaled         = "attention: scores are not divided by √d"
	normsOfHeads     = "norms: of queries and keys, a head"
	normsAround      = "norms: before and after attention and feed-forward layer"
	embeddingsScaled = "embeddings: multiplied by √D; norms multiply by 1+w"
	normsAfter       = "norms: after attention and feed-forward layer, not before"
)

// rotated says what is unusual about rotary positions of heads of headDim
// features.
func rotated(r nn.Rope, headDim int) string {
	text := ""
	if r.Dim > 0 && r.Dim < headDim {
		text = fmt.Sprintf("positions: rotary, of %d of %d features of a head", r.Dim, headDim)
	}
	if r.Scaling == "" || r.Scaling == "default" {
		return text
	}
	if text == "" {
		text = "positions: rotary"
	}
	text += ", scaled by " + r.Scaling
	if r.Factor > 0 && r.Scaling != "longrope" {
		text += fmt.Sprintf(" × %g", r.Factor)
	}
	if limit := r.Limit(); limit > 0 {
		text += fmt.Sprintf(", otherwise in sequences of more than %d tokens", limit)
	}
	return text
}

// windowed says which layers see a window, from how many keys before a token
// each sees.
func windowed(left []int) string {
	var layers []int
	most := 0
	for i, n := range left {
		if n != runtime.Unlimited {
			layers, most = append(layers, i), max(most, n)
		}
	}
	switch n := len(layers); {
	case n == 0:
		return ""
	case n == len(left):
		return fmt.Sprintf("attention: every layer sees a window of %d tokens", most+1)
	case n <= 8:
		return fmt.Sprintf("attention: layers %v see a window of %d tokens, the others all", layers, most+1)
	default:
		return fmt.Sprintf("attention: %d of %d layers see a window of %d tokens, the others all", n, len(left), most+1)
	}
}

// mixed says how many experts a token has.
func mixed(top, experts int) string {
	return fmt.Sprintf("feed-forward: %d of %d experts a token", top, experts)
}
