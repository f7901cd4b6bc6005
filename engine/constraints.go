package engine

// What a checkpoint asks of every answer: tokens that must come, that must not
// come yet, or not at all. Each rule is Hugging Face's, and so is their order.

import (
	"fmt"
	"math"
	"slices"
)

// Constraints change the scores of a row before a token is chosen: logits, or
// log-probabilities in beam search. The zero value of a field is off. They work
// in the order of the fields, with the bias and the penalties of [Sampling] or
// [BeamConfig] after SourcePenalty. "Tokens" are all that the decoder has had:
// its prompt and the answer; the "source" is what an encoder has read, or
// without one the prompt.
type Constraints struct {
	Bias           []SequenceBias
	SourcePenalty  float64   // tokens of the source become likelier above 1: l = l·p where l ≥ 0, l/p where l < 0
	NoRepeat       int       // no n tokens in a row come twice
	SourceNoRepeat int       // no n tokens in a row are those of the source
	BadWords       [][]int32 // sequences that do not come; one that is an end token alone is passed over
	MinTokens      int       // of the answer, before an end token; unlike Request.MinTokens it lets stop texts be
	ForcedBOS      []int32   // the token after the first one of all (an encoder-decoder's start, a prompt of one); one of these
	ForcedEOS      []int32   // the last token that MaxTokens allows; one of these
	Finite         bool      // ±Inf and NaN become the largest numbers and 0
	DecayStart     int       // from the answer's token DecayStart+1 on, the n-th of those has
	DecayFactor    float64   // its end tokens raised by |l|·(DecayFactor^n − 1); below 1 lowered
	Suppress       []int32   // tokens that do not come
	BeginSuppress  []int32   // tokens that do not begin the answer: that follow ForcedBOS, where it holds
	Renormalize    bool      // beam search: the rows become log-probabilities again
}

// SequenceBias is added to the score of the last of some tokens where those
// before it are the latest ones.
type SequenceBias struct {
	IDs  []int32
	Bias float64
}

// place is where a token is to be chosen.
type place struct {
	tokens []int32 // prompt and answer
	prompt int     // how many of them are the prompt's
	source []int32
	eos    []int32
	min    int // tokens of the answer before an end token, as the request has it
	max    int // tokens of the answer

	history                         *History
	repetition, frequency, presence float64
	bias                            map[int32]float64
}

// Check returns a *[ParamError] for the first field that cannot be honoured;
// vocab bounds ids. Suppressed ids beyond it cannot come anyway, and are allowed.
func (c *Constraints) Check(vocab int) error {
	for i, b := range c.Bias {
		if err := checkSequence(fmt.Sprintf("Bias[%d]", i), b.IDs, vocab); err != nil {
			return err
		}
		if !(math.Abs(b.Bias) <= maxBias) {
			return &ParamError{fmt.Sprintf("Bias[%d]", i), b.Bias, "must be a number from -1e6 to 1e6"}
		}
	}
	for i, ids := range c.BadWords {
		if err := checkSequence(fmt.Sprintf("BadWords[%d]", i), ids, vocab); err != nil {
			return err
		}
	}
	switch p := c.SourcePenalty; {
	case p != 0 && !(p >= 1.0/maxPenalty && p <= maxPenalty):
		return &ParamError{"SourcePenalty", p, "must be from 0.001 to 1000 (0 and 1 are off)"}
	case c.NoRepeat < 0:
		return &ParamError{"NoRepeat", c.NoRepeat, "must be 0 (off) or above"}
	case c.SourceNoRepeat < 0:
		return &ParamError{"SourceNoRepeat", c.SourceNoRepeat, "must be 0 (off) or above"}
	case c.MinTokens < 0:
		return &ParamError{"MinTokens", c.MinTokens, "must be 0 (off) or above"}
	case c.DecayStart < 0:
		return &ParamError{"DecayStart", c.DecayStart, "must be 0 or above"}
	case c.DecayFactor != 0 && !(c.DecayFactor > 0 && c.DecayFactor <= maxPenalty):
		return &ParamError{"DecayFactor", c.DecayFactor, "must be above 0 and at most 1000 (0 and 1 are off)"}
	}
	for _, f := range []struct {
		field string
		ids   []int32
	}{{"ForcedBOS", c.ForcedBOS}, {"ForcedEOS", c.ForcedEOS}} {
		if len(f.ids) == 0 {
			continue
		}
		if err := checkSequence(f.field, f.ids, vocab); err != nil {
			return err
		}
		if !slices.ContainsFunc(f.ids, func(id int32) bool { return !slices.Contains(c.Suppress, id) }) {
			return &ParamError{f.field, f.ids, "is suppressed, too: no token would be left"}
		}
	}
	return nil
}

// checkSequence checks ids of which there has to be one at least.
func checkSequence(field string, ids []int32, vocab int) error {
	if len(ids) == 0 {
		return &ParamError{field, "[]", "is empty"}
	}
	for _, id := range ids {
		if id < 0 || int(id) >= vocab {
			return &ParamError{field, id, fmt.Sprintf("is not in [0, %d)", vocab)}
		}
	}
	return nil
}

// apply works everything that shapes the scores at a place into a row: the
// constraints, and between them the penalties.
func (c *Constraints) apply(row []float32, at *place) {
	for _, b := range c.Bias {
		if n := len(b.IDs) - 1; endsWith(at.tokens, b.IDs[:n]) {
			row[b.IDs[n]] += float32(b.Bias)
		}
	}
	c.favourSource(row, at.source)
	adjust(row, at.history, at.repetition, at.frequency, at.presence, at.bias)

	written := len(at.tokens) - at.prompt
	banRepeats(row, at.tokens, at.tokens, c.NoRepeat)
	banRepeats(row, at.tokens, at.source, c.SourceNoRepeat)
	for _, ids := range c.BadWords {
		n := len(ids) - 1
		if n == 0 && slices.Contains(at.eos, ids[0]) {
			continue
		}
		if endsWith(at.tokens, ids[:n]) {
			ban(row, ids[n:])
		}
	}
	if written < max(at.min, c.MinTokens) {
		ban(row, at.eos)
	}
	if len(at.tokens) == 1 {
		force(row, c.ForcedBOS)
	}
	if written == at.max-1 {
		force(row, c.ForcedEOS)
	}
	if c.Finite {
		makeFinite(row)
	}
	c.decay(row, at.eos, written-c.DecayStart)
	ban(row, c.Suppress)
	begin := at.prompt
	if begin == 1 && len(c.ForcedBOS) > 0 {
		begin++
	}
	if len(at.tokens) == begin {
		ban(row, c.BeginSuppress)
	}
}

// favourSource makes tokens of the source likelier, each once however often it
// occurs.
func (c *Constraints) favourSource(row []float32, source []int32) {
	if c.SourcePenalty == 0 || c.SourcePenalty == 1 {
		return
	}
	p := float32(1 / c.SourcePenalty)
	for i, id := range source {
		if int(id) >= len(row) || slices.Contains(source[:i], id) {
			continue
		}
		if row[id] < 0 {
			row[id] *= p
		} else {
			row[id] /= p
		}
	}
}

// decay raises the end tokens, n tokens after the penalty began.
func (c *Constraints) decay(row []float32, eos []int32, n int) {
	if c.DecayFactor == 0 || n <= 0 {
		return
	}
	const most = 1e30 // keeps 0·factor a number
	by := float32(min(math.Pow(c.DecayFactor, float64(n)), most) - 1)
	for i, id := range eos {
		if int(id) >= len(row) || slices.Contains(eos[:i], id) || math.IsInf(float64(row[id]), 0) {
			continue
		}
		l := row[id] + float32(math.Abs(float64(row[id])))*by
		row[id] = min(l, math.MaxFloat32)
	}
}

// banRepeats bans each token that ends n tokens of seen of which the first n−1
// are the latest tokens. Both may be the same.
func banRepeats(row []float32, tokens, seen []int32, n int) {
	if n == 0 || len(tokens) < n-1 {
		return
	}
	last := tokens[len(tokens)-(n-1):]
	for i := range len(seen) - (n - 1) {
		if slices.Equal(seen[i:i+n-1], last) {
			ban(row, seen[i+n-1:i+n])
		}
	}
}

// endsWith reports whether the latest tokens are these.
func endsWith(tokens, ids []int32) bool {
	return len(tokens) >= len(ids) && slices.Equal(tokens[len(tokens)-len(ids):], ids)
}

// ban makes tokens impossible. Ids beyond the row are so already.
func ban(row []float32, ids []int32) {
	for _, id := range ids {
		if id >= 0 && int(id) < len(row) {
			row[id] = float32(math.Inf(-1))
		}
	}
}

// force leaves nothing but these tokens, if there are any, all alike.
func force(row []float32, ids []int32) {
	if len(ids) == 0 {
		return
	}
	for i := range row {
		row[i] = float32(math.Inf(-1))
	}
	for _, id := range ids {
		row[id] = 0
	}
}

// makeFinite replaces what is no number, or infinite.
func makeFinite(row []float32) {
	for i, l := range row {
		switch v := float64(l); {
		case math.IsNaN(v):
			row[i] = 0
		case math.IsInf(v, 0):
			row[i] = float32(math.Copysign(math.MaxFloat32, v))
		}
	}
}
