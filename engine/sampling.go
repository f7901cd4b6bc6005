package engine

// What a request may ask of the sampler, the check of it, and the history of
// tokens that the penalties count.

import (
	"fmt"
	"math"
)

// Limits of [Sampling.Check]. They lie far beyond every useful value and keep
// the arithmetic finite: no logit can become NaN or +Inf by a parameter.
const (
	maxPenalty = 1000
	maxBias    = 1e6
)

// ParamError is a parameter that cannot be honoured. Nothing has run.
type ParamError struct {
	Field  string // the field of the Go struct, as "TopP"
	Value  any    // what was given
	Reason string // what is allowed
}

// Error names the field, its value and what is allowed.
func (e *ParamError) Error() string {
	return fmt.Sprintf("engine: %s is %v: %s", e.Field, e.Value, e.Reason)
}

// Sampling says how the next token is chosen from a row of logits l. The fields
// are resolved values: "off" is a value of its own, not an absent one, and
// [Greedy] returns the struct with every step off. The steps run in this order:
//
//  1. LogitBias: l += bias. It comes first because it corrects what the model
//     says; penalties and filters then treat the corrected row as the model's.
//  2. RepetitionPenalty r, for each distinct token of prompt and answer:
//     l = l/r where l ≥ 0, l = l·r where l < 0 (Keskar et al. 2019, section 4.1,
//     with Hugging Face's rule for the sign).
//  3. FrequencyPenalty f and PresencePenalty q, for each token that occurs c > 0
//     times in the answer: l = l − c·f − q. The prompt does not count here, as
//     in OpenAI's API and vLLM.
//  4. Temperature t: l = l/t.
//  5. TopK: tokens whose l is at least the k-th largest; ties with it all stay.
//  6. TopP: with the probabilities of what is left in ascending order, tokens
//     whose running sum is at most 1−p go (Holtzman et al. 2020); one stays.
//     Of equal probabilities at the cut the lower ids stay.
//  7. MinP: tokens with less than MinP times the largest probability go.
//  8. TypicalP: tokens in order of |−ln p − entropy| stay until their sum
//     reaches TypicalP; ties with the last all stay (Meister et al. 2022).
//
// Then the softmax of what is left is the distribution. At Temperature 0 the
// largest l after step 3 is the token, the lower id of equals; the later fields
// are allowed and change nothing.
type Sampling struct {
	Temperature       float64           // 0: greedy; 1: as the model says. Any positive number works: near 0 only ties with the best are left
	TopK              int               // 0: off
	TopP              float64           // in (0, 1]; 1: off
	MinP              float64           // in [0, 1]; 0: off
	TypicalP          float64           // in (0, 1]; 1: off
	RepetitionPenalty float64           // in [0.001, 1000]; 1: off
	FrequencyPenalty  float64           // in [-1000, 1000]; 0: off
	PresencePenalty   float64           // in [-1000, 1000]; 0: off
	LogitBias         map[int32]float64 // token id → what is added, up to 1e6; -Inf bans the token
	Seed              uint64            // key of the draws; every value is a seed like any other
}

// Greedy returns the sampling with every step off: the most likely token.
func Greedy() Sampling {
	return Sampling{TopP: 1, TypicalP: 1, RepetitionPenalty: 1}
}

// Check returns a *[ParamError] for the first field that is outside of what its
// comment allows; NaN and ±Inf always are, save a bias of -Inf. A vocab above 0
// also bounds the ids of LogitBias.
func (p *Sampling) Check(vocab int) error {
	switch {
	case !(p.Temperature >= 0) || math.IsInf(p.Temperature, 1):
		return &ParamError{"Temperature", p.Temperature, "must be a finite number, 0 (greedy) or above"}
	case p.TopK < 0:
		return &ParamError{"TopK", p.TopK, "must be 0 (off) or above"}
	case !(p.TopP > 0 && p.TopP <= 1):
		return &ParamError{"TopP", p.TopP, "must be above 0 and at most 1 (off); for the most likely token alone set Temperature 0"}
	case !(p.MinP >= 0 && p.MinP <= 1):
		return &ParamError{"MinP", p.MinP, "must be from 0 (off) to 1"}
	case !(p.TypicalP > 0 && p.TypicalP <= 1):
		return &ParamError{"TypicalP", p.TypicalP, "must be above 0 and at most 1 (off)"}
	}
	return checkPenalties(p.RepetitionPenalty, p.FrequencyPenalty, p.PresencePenalty, p.LogitBias, vocab)
}

// checkPenalties checks the fields that Sampling and BeamConfig share.
func checkPenalties(repetition, frequency, presence float64, bias map[int32]float64, vocab int) error {
	switch {
	case !(repetition >= 1.0/maxPenalty && repetition <= maxPenalty):
		return &ParamError{"RepetitionPenalty", repetition, "must be from 0.001 to 1000 (1 is off)"}
	case !(math.Abs(frequency) <= maxPenalty):
		return &ParamError{"FrequencyPenalty", frequency, "must be from -1000 to 1000 (0 is off)"}
	case !(math.Abs(presence) <= maxPenalty):
		return &ParamError{"PresencePenalty", presence, "must be from -1000 to 1000 (0 is off)"}
	}
	worst, found := int32(0), false // the lowest bad id: maps have no order, errors should
	for id, b := range bias {
		bad := id < 0 || vocab > 0 && int(id) >= vocab || !(b <= maxBias)
		if bad && (!found || id < worst) {
			worst, found = id, true
		}
	}
	if !found {
		return nil
	}
	field := fmt.Sprintf("LogitBias[%d]", worst)
	switch {
	case worst < 0:
		return &ParamError{field, bias[worst], "token ids start at 0"}
	case vocab > 0 && int(worst) >= vocab:
		return &ParamError{field, bias[worst], fmt.Sprintf("token ids end at %d", vocab-1)}
	}
	return &ParamError{field, bias[worst], "must be a number up to 1e6, or -Inf to ban the token"}
}

// History is what the penalties know of a sequence: which tokens stood in the
// prompt and how often each occurs in the answer. It is kept up incrementally;
// the zero History is empty and ready. Not safe for concurrent use.
type History struct {
	index map[int32]int32 // id → its place in seen
	seen  []seen          // distinct tokens in order of their first occurrence
}

type seen struct {
	id     int32
	count  int32 // occurrences in the answer
	prompt bool
}

// Reset forgets everything and takes the ids of a prompt (of an encoder-decoder:
// the ids its decoder starts with). Memory is kept for the next sequence.
func (h *History) Reset(prompt []int32) {
	if h.index == nil {
		h.index = make(map[int32]int32, len(prompt)+64)
	}
	clear(h.index)
	h.seen = h.seen[:0]
	for _, id := range prompt {
		h.seen[h.place(id)].prompt = true
	}
}

// Add counts one token of the answer.
func (h *History) Add(id int32) {
	if h.index == nil {
		h.index = make(map[int32]int32, 64)
	}
	h.seen[h.place(id)].count++
}

// Count returns how often the token occurs in the answer, and whether it
// occurs in the prompt.
func (h *History) Count(id int32) (answer int, prompt bool) {
	i, ok := h.index[id]
	if !ok {
		return 0, false
	}
	return int(h.seen[i].count), h.seen[i].prompt
}

// place returns the index of id in seen, entering it if need be.
func (h *History) place(id int32) int32 {
	i, ok := h.index[id]
	if !ok {
		i = int32(len(h.seen))
		h.index[id] = i
		h.seen = append(h.seen, seen{id: id})
	}
	return i
}

// undo takes back Add of ids, the newest last, and with it the entries they made.
func (h *History) undo(ids []int32) {
	for i := len(ids) - 1; i >= 0; i-- {
		e := &h.seen[h.index[ids[i]]]
		e.count--
		if e.count == 0 && !e.prompt {
			delete(h.index, e.id)
			h.seen = h.seen[:len(h.seen)-1] // entries leave in the reverse order of their coming
		}
	}
}

// adjust applies steps 1 to 3 of Sampling to a row in place, in the arithmetic
// of the row. Ids beyond the row are passed over: an embedding table may be
// longer than the head. A logit of -Inf stays.
func adjust[F float32 | float64](row []F, h *History, repetition, frequency, presence float64, bias map[int32]float64) {
	for id, b := range bias {
		if int(id) < len(row) {
			row[id] += F(b)
		}
	}
	if h == nil {
		return
	}
	r, f, q := F(repetition), F(frequency), F(presence)
	for _, e := range h.seen {
		if e.id < 0 || int(e.id) >= len(row) {
			continue
		}
		l := row[e.id]
		if l < 0 {
			l *= r
		} else {
			l /= r
		}
		if e.count > 0 {
			l = l - F(F(e.count)*f) - q // not fused: the same bits on every machine
		}
		row[e.id] = l
	}
}
