package godwit

// What a checkpoint's files ask of every answer beside Sampling: the fields of a
// generation's configuration that transformers follows, honoured or refused.

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/godwit-ml/godwit/engine"
	"github.com/godwit-ml/godwit/model"
)

// manner is how tokens are chosen; several can be meant.
type manner int

const (
	greedy manner = 1 << iota
	sampled
	beams
	always = greedy | sampled | beams
)

// String says it of answers.
func (m manner) String() string {
	switch m {
	case greedy:
		return "greedy answers"
	case sampled:
		return "sampled answers"
	case beams:
		return "beam search"
	}
	return "answers"
}

// wishes are what the files ask for. A field that cannot be followed is refused
// when an answer is wanted in a manner that it would change, and not before: an
// encoder's configuration may hold it, too.
type wishes struct {
	file          string
	rules         engine.Constraints // MinTokens depends on the prompt
	minNew        *int               // min_new_tokens
	minLength     int                // min_length: of prompt and answer
	maxLength     int                // max_length: the same; 0: silent
	ruled         bool               // one of the rules counts
	beams         int
	lengthPenalty *float64
	early         string // as Beam.Early
	stop          []string
	start         *int32   // decoder_start_token_id
	followed      []string // fields with their values
	refused       []refusal
}

// refusal is a field that is not supported in some manners.
type refusal struct {
	in  manner
	err *ModelError
}

// refusals are the fields that transformers follows and this package does not,
// the manners that they count in, and when their values change something. Not
// among them are those that change how fast an answer comes, and no answer:
// caches, compilation, assisted generation without an assistant model.
var refusals = []struct {
	field  string
	in     manner
	counts func(value any) bool
}{
	{"cache_implementation", always, func(v any) bool { return v == "quantized" }},
	{"constraints", always, notEmpty},
	{"dola_layers", greedy | sampled, notEmpty},
	{"epsilon_cutoff", sampled, inside},
	{"eta_cutoff", sampled, inside},
	{"force_words_ids", always, notEmpty},
	{"guidance_scale", always, other(1.0)},
	{"is_assistant", always, other(false)},
	{"max_time", always, notEmpty},
	{"num_beam_groups", beams, above(1)},
	{"num_return_sequences", greedy | sampled, above(1)},
	{"penalty_alpha", greedy, above(0)},
	{"token_healing", always, other(false)},
	{"top_h", sampled, notEmpty},
	{"watermarking_config", always, notEmpty},
}

// notEmpty is true of all but empty lists.
func notEmpty(v any) bool {
	list, ok := v.([]any)
	return !ok || len(list) > 0
}

// inside is true of what is not known to lie outside of (0, 1).
func inside(v any) bool {
	x, ok := v.(float64)
	return !ok || x > 0 && x < 1
}

// above is true of what is not known to be at most a number.
func above(limit float64) func(any) bool {
	return func(v any) bool {
		x, ok := v.(float64)
		return !ok || x > limit
	}
}

// other is true of all values but one, which can be compared.
func other(neutral any) func(any) bool {
	return func(v any) bool {
		switch v.(type) {
		case []any, map[string]any:
			return true
		}
		return v != neutral
	}
}

// readWishes reads the fields of generation_config.json, or with legacy set of a
// config.json beside which there is none.
func readWishes(file string, fields map[string]json.RawMessage, legacy bool) wishes {
	w := wishes{file: file}
	if legacy && string(fields["force_bos_token_to_be_generated"]) == "true" {
		fields["forced_bos_token_id"] = fields["bos_token_id"]
	}
	r := wishReader{&w, fields}
	var forced ids
	if r.read("forced_bos_token_id", &forced) {
		w.rules.ForcedBOS = forced
	}
	forced = nil
	if r.read("forced_eos_token_id", &forced) {
		w.rules.ForcedEOS = forced
	}
	r.readBias()
	r.count("no_repeat_ngram_size", &w.rules.NoRepeat)
	r.count("encoder_no_repeat_ngram_size", &w.rules.SourceNoRepeat)
	r.count("min_length", &w.minLength)
	if r.read("max_length", &w.maxLength) {
		r.note("max_length", w.maxLength > 0)
	}
	var minNew int
	if r.read("min_new_tokens", &minNew) {
		w.minNew = &minNew
		r.follow("min_new_tokens", minNew > 0)
	}
	for _, list := range []struct {
		field string
		into  any
		n     func() int
	}{
		{"bad_words_ids", &w.rules.BadWords, func() int { return len(w.rules.BadWords) }},
		{"suppress_tokens", &w.rules.Suppress, func() int { return len(w.rules.Suppress) }},
		{"begin_suppress_tokens", &w.rules.BeginSuppress, func() int { return len(w.rules.BeginSuppress) }},
	} {
		if r.read(list.field, list.into) {
			r.follow(list.field, list.n() > 0)
		}
	}
	r.follow("forced_bos_token_id", len(w.rules.ForcedBOS) > 0)
	r.follow("forced_eos_token_id", len(w.rules.ForcedEOS) > 0)
	if r.read("encoder_repetition_penalty", &w.rules.SourcePenalty) {
		r.follow("encoder_repetition_penalty", w.rules.SourcePenalty != 1)
		if w.rules.SourcePenalty == 0 {
			r.refuse("encoder_repetition_penalty", always, "want a number above 0 (1 is off)")
		}
	}
	for field, into := range map[string]*bool{"remove_invalid_values": &w.rules.Finite, "renormalize_logits": &w.rules.Renormalize} {
		if r.read(field, into) {
			r.follow(field, *into)
		}
	}
	r.readDecay()
	r.readBeams()
	r.readStop()
	r.read("decoder_start_token_id", &w.start)
	r.readRefused()
	slices.Sort(w.followed)
	return w
}

// wishReader reads fields into wishes.
type wishReader struct {
	*wishes
	fields map[string]json.RawMessage
}

// read reads a field unless it is absent or null, and reports whether it did. A
// value of another kind is refused.
func (r *wishReader) read(field string, into any) bool {
	data := r.fields[field]
	if data == nil || string(data) == "null" {
		return false
	}
	if err := json.Unmarshal(data, into); err != nil {
		reason := err.Error()
		var t *json.UnmarshalTypeError
		if errors.As(err, &t) {
			reason = fmt.Sprintf("a %s cannot be used as %v", t.Value, t.Type)
		}
		r.refuse(field, always, reason)
		return false
	}
	return true
}

// count reads a number that does nothing unless it is above 0.
func (r *wishReader) count(field string, into *int) {
	if r.read(field, into) {
		*into = max(*into, 0)
		r.follow(field, *into > 0)
	}
}

// follow notes a field of the rules if its value changes something.
func (r *wishReader) follow(field string, counts bool) {
	r.ruled = r.ruled || counts
	r.note(field, counts)
}

// note notes a field for Info if its value changes something.
func (r *wishReader) note(field string, counts bool) {
	if counts {
		r.followed = append(r.followed, field+" "+r.value(field))
	}
}

// value is a field's value, shortened.
func (r *wishReader) value(field string) string {
	return shorten(strings.Join(strings.Fields(string(r.fields[field])), ""), 40)
}

// refuse notes a field that cannot be followed in some manners.
func (r *wishReader) refuse(field string, in manner, reason string) {
	what := field + " " + r.value(field)
	r.refused = append(r.refused, refusal{in, &ModelError{File: r.file, Field: field, Reason: r.value(field) + ": " + reason,
		Err: &UnsupportedError{What: what, Model: r.file}}})
}

// readBias reads sequence_bias: [[[1, 2], -3.5], …].
func (r *wishReader) readBias() {
	var pairs [][]json.RawMessage
	if !r.read("sequence_bias", &pairs) {
		return
	}
	for _, p := range pairs {
		var b engine.SequenceBias
		if len(p) != 2 || json.Unmarshal(p[0], &b.IDs) != nil || json.Unmarshal(p[1], &b.Bias) != nil {
			r.refuse("sequence_bias", always, "want a list of pairs: a list of ids, and a number")
			return
		}
		r.rules.Bias = append(r.rules.Bias, b)
	}
	r.follow("sequence_bias", len(pairs) > 0)
}

// readDecay reads exponential_decay_length_penalty: [start, factor].
func (r *wishReader) readDecay() {
	const field = "exponential_decay_length_penalty"
	var pair []float64
	if !r.read(field, &pair) {
		return
	}
	if len(pair) != 2 || pair[0] != float64(int32(pair[0])) || !(pair[1] > 0) {
		r.refuse(field, always, "want a number of tokens and a factor above 0")
		return
	}
	r.rules.DecayStart, r.rules.DecayFactor = int(pair[0]), pair[1]
	r.follow(field, pair[1] != 1)
}

// readBeams reads what beam search asks.
func (r *wishReader) readBeams() {
	if r.read("num_beams", &r.beams) {
		r.note("num_beams", r.beams > 1)
	}
	if r.read("length_penalty", &r.lengthPenalty) {
		r.note("length_penalty", *r.lengthPenalty != 1)
	}
	var early any
	if !r.read("early_stopping", &early) {
		return
	}
	switch early {
	case true, false, "never":
		r.early = fmt.Sprint(early)
		r.note("early_stopping", early != false)
	default:
		r.refuse("early_stopping", always, `want true, false or "never"`)
	}
}

// readStop reads stop_strings: one, or a list of them.
func (r *wishReader) readStop() {
	var one string
	if data := r.fields["stop_strings"]; len(data) > 0 && data[0] == '"' {
		if r.read("stop_strings", &one) {
			r.stop = []string{one}
		}
	} else {
		r.read("stop_strings", &r.stop)
	}
	if len(r.stop) > 0 {
		r.note("stop_strings", true)
		r.refuse("stop_strings", beams, "beam search does not watch for stop texts: set Beam.Width to 1, or remove the field")
	}
}

// readRefused looks for the fields that are not supported.
func (r *wishReader) readRefused() {
	for _, f := range refusals {
		var value any
		if r.read(f.field, &value) && f.counts(value) {
			reason := fmt.Sprintf("not supported: %s would differ with it; remove the field to do without", f.in)
			if f.in == beams {
				reason = "not supported in beam search: set Beam.Width to 1, or remove the field to do without"
			}
			r.refuse(f.field, f.in, reason)
		}
	}
}

// notes are what Info.Unusual says of the wishes.
func (w *wishes) notes() []string {
	var out []string
	if len(w.followed) > 0 {
		out = append(out, "answers follow the checkpoint's "+strings.Join(w.followed, ", "))
	}
	for _, r := range w.refused {
		out = append(out, fmt.Sprintf("%s of the checkpoint: %s are refused", r.err.Err.(*UnsupportedError).What, r.in)) //nolint:errorlint // refuse set it
	}
	return out
}

// check refuses what cannot be followed in a manner.
func (w *wishes) check(in manner) error {
	for _, r := range w.refused {
		if r.in&in != 0 {
			return r.err
		}
	}
	return nil
}

// ruleFields are the fields of a file that the engine's are read from.
var ruleFields = map[string]string{
	"Bias": "sequence_bias", "BadWords": "bad_words_ids", "SourcePenalty": "encoder_repetition_penalty", "ForcedBOS": "forced_bos_token_id",
	"ForcedEOS": "forced_eos_token_id", "DecayStart": "exponential_decay_length_penalty", "DecayFactor": "exponential_decay_length_penalty",
}

// constrain gives a request the constraints and stop texts of the files, after
// the decoder has read so many tokens. The request's own MinTokens and Stop count,
// if it has them.
func (m *Model) constrain(req *Request, r *engine.Request, read int) error {
	w := &m.cp.wishes
	if m.in.Kind == model.Seq2Seq && w.start != nil && *w.start != m.in.Start {
		return &ModelError{File: w.file, Field: "decoder_start_token_id", Reason: fmt.Sprintf("is %d, but %d in config.json: make them one", *w.start, m.in.Start)}
	}
	c := w.rules
	switch {
	case req.MinTokens > 0:
	case w.minNew != nil:
		c.MinTokens = max(*w.minNew, 0)
	default:
		c.MinTokens = max(w.minLength-read, 0)
	}
	if len(w.stop) > 0 && len(req.Stop) == 0 {
		if m.cp.tok == nil {
			return &ModelError{File: w.file, Field: "stop_strings", Reason: "needs a tokenizer, and there is none: remove the field to do without", Err: m.cp.tokErr}
		}
		req.Stop = w.stop
	}
	if err := c.Check(m.info.Vocab); err != nil {
		var p *engine.ParamError
		if errors.As(err, &p) {
			name, _, _ := strings.Cut(p.Field, "[")
			return &ModelError{File: w.file, Field: ruleFields[name], Reason: fmt.Sprintf("%v %s", p.Value, p.Reason), Err: err}
		}
		return err
	}
	if w.ruled {
		r.Constraints = &c
	}
	return nil
}
