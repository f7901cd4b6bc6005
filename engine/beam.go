package engine

// Beam search, as Hugging Face's generate does it without sampling: the books of
// one request. Whoever runs the model forks KV cache tables by what Step returns.

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
)

// MaxBeamWidth bounds BeamConfig.Width.
const MaxBeamWidth = 1024

// EarlyStopping says when a search whose list of finished answers is full ends.
type EarlyStopping int

// The three rules of Hugging Face's early_stopping.
const (
	EarlyFalse EarlyStopping = iota // when the best running beam, scored at its present length, is not above the worst finished answer
	EarlyTrue                       // at once
	EarlyNever                      // as EarlyFalse, but scored at the length, from here to MaxTokens, that is best for it
)

// BeamConfig is a beam search of one request.
type BeamConfig struct {
	Width     int     // beams, 1 to MaxBeamWidth
	Return    int     // answers wanted, 1 to Width
	MaxTokens int     // new tokens at most, EOS included; at least 1
	MinTokens int     // new tokens before an EOS may come; 0: it may come first
	EOS       []int32 // ids that end an answer; none: only MaxTokens does
	// An answer of n new tokens, EOS included, scores Σ log p / n^LengthPenalty: 0 is the plain sum, 1 the mean, above 1 favours long answers.
	LengthPenalty float64
	Early         EarlyStopping
	// As in Sampling, here applied to log-probabilities after the softmax, in float32, as Hugging Face does: they do not sum to 1 any more.
	RepetitionPenalty, FrequencyPenalty, PresencePenalty float64
	LogitBias                                            map[int32]float64
	// What else changes the rows, and the source that it counts; a request sets both itself.
	Constraints *Constraints
	Source      []int32
}

// Check returns a *[ParamError] for the first field that cannot be honoured. A
// vocab above 0 also bounds ids.
func (c *BeamConfig) Check(vocab int) error {
	longest := math.Pow(float64(c.MaxTokens), c.LengthPenalty) * (1 + 0*c.LengthPenalty) // 1^NaN and 1^Inf are 1
	switch {
	case c.Width < 1 || c.Width > MaxBeamWidth:
		return &ParamError{"Width", c.Width, fmt.Sprintf("must be from 1 to %d", MaxBeamWidth)}
	case c.Return < 1 || c.Return > c.Width:
		return &ParamError{"Return", c.Return, fmt.Sprintf("must be from 1 to Width, which is %d", c.Width)}
	case c.MaxTokens < 1:
		return &ParamError{"MaxTokens", c.MaxTokens, "must be at least 1"}
	case c.MinTokens < 0 || c.MinTokens > c.MaxTokens:
		return &ParamError{"MinTokens", c.MinTokens, fmt.Sprintf("must be from 0 to MaxTokens, which is %d", c.MaxTokens)}
	case !(longest >= 1e-30 && longest <= 1e30):
		return &ParamError{"LengthPenalty", c.LengthPenalty, "must be a number that keeps MaxTokens^LengthPenalty between 1e-30 and 1e30"}
	case c.Early < EarlyFalse || c.Early > EarlyNever:
		return &ParamError{"Early", int(c.Early), "must be EarlyFalse, EarlyTrue or EarlyNever"}
	}
	for _, id := range c.EOS {
		switch {
		case id < 0:
			return &ParamError{"EOS", id, "token ids start at 0"}
		case vocab > 0 && int(id) >= vocab:
			return &ParamError{"EOS", id, fmt.Sprintf("token ids end at %d", vocab-1)}
		}
	}
	if c.Constraints != nil {
		if err := c.Constraints.Check(vocab); err != nil {
			return err
		}
	}
	return checkPenalties(c.RepetitionPenalty, c.FrequencyPenalty, c.PresencePenalty, c.LogitBias, vocab)
}

// Branch is one running beam after a step: beam Parent of before the step, and
// one more token. A parent may have several branches, or none.
type Branch struct {
	Parent int
	Token  int32
}

// Hypothesis is a finished answer.
type Hypothesis struct {
	IDs   []int32 // new tokens, EOS included
	Score float64 // Σ log p / len(IDs)^LengthPenalty
	EOS   bool    // an EOS id ended it, else MaxTokens did
}

// Beam searches for the most likely answers. Sums and scores are float32, as
// Hugging Face's; of equal sums the lower beam, then the lower id is better.
//
// A step takes all continuations of all running beams, best sum first. One that
// ends, by EOS or by being the last allowed token, is finished if it is among the
// first Width, and lost otherwise; the best Width that do not end run on. The
// best Width finished ones are kept.
type Beam struct {
	c       BeamConfig
	vocab   int
	steps   int
	done    bool
	running []beam       // best first
	spare   []beam       // the slices of the step before
	best    []Hypothesis // finished, best first
	history History      // the prompt; a beam's own tokens come and go
	tokens  []int32      // the same for constraints: the prompt, and scratch behind it
	prompt  int          // tokens of the prompt
	softmax Logprobs
	cand    []candidate
	branch  []Branch
}

type beam struct {
	ids []int32
	sum float32
}

type candidate struct {
	sum  float32
	beam int32
	id   int32
}

// NewBeam starts a search over vocab tokens. The prompt is what penalties count
// beside the answer (of an encoder-decoder: the decoder's). The error is Check's.
func NewBeam(c BeamConfig, vocab int, prompt []int32) (*Beam, error) {
	if err := c.Check(vocab); err != nil {
		return nil, err
	}
	c.EOS = slices.Compact(slices.Sorted(slices.Values(c.EOS)))
	b := &Beam{c: c, vocab: vocab, running: make([]beam, 1, c.Width), tokens: slices.Clone(prompt), prompt: len(prompt)}
	b.history.Reset(prompt)
	return b, nil
}

// Running returns how many beams run: 1 before the first step, at most Width
// after it, 0 when the search is done.
func (b *Beam) Running() int {
	if b.done {
		return 0
	}
	return len(b.running)
}

// Done reports whether the search has ended.
func (b *Beam) Done() bool { return b.done }

// Tokens returns the new tokens of running beam i, valid until the next step.
func (b *Beam) Tokens(i int) []int32 { return b.running[i].ids }

// Step goes on by one token. logprobs has one row [vocab] for each running beam,
// in order: the log-softmax of its logits (see [Logprobs.LogSoftmax]); penalties
// are worked into the rows. It returns the beams that run on, best first, valid
// until the next step: none when the search is done. A row that holds NaN or +Inf
// is a *[LogitsError], as are rows that leave no token at all; after an error the
// search is over and has no result.
func (b *Beam) Step(logprobs [][]float32) ([]Branch, error) {
	if b.done || len(logprobs) != len(b.running) {
		panic("engine: a beam search step needs one row for each running beam")
	}
	if err := b.rank(logprobs); err != nil {
		b.done, b.best = true, nil
		return nil, err
	}
	next := b.spare[:0]
	b.branch = b.branch[:0]
	last := b.steps+1 == b.c.MaxTokens
	for _, c := range b.cand {
		if eos := b.isEOS(c.id); eos || last {
			b.finish(c, eos)
		} else {
			next = b.extend(next, c)
		}
	}
	b.spare, b.running = b.running, next
	b.steps++
	if b.done = b.ended(); b.done {
		b.branch = b.branch[:0]
	}
	return b.branch, nil
}

// rank fills cand with the continuations that matter, best first: Width that do
// not end by EOS, and those that do among the first Width. (On the last step all
// of the first Width end, so that the list of the best has no room for others.)
func (b *Beam) rank(logprobs [][]float32) error {
	full := 8 * b.c.Width
	b.cand = b.cand[:0]
	floor := float32(math.Inf(-1)) // a later candidate has to beat it
	for i, row := range logprobs {
		if len(row) != b.vocab {
			panic("engine: a row of log-probabilities of another width than its beam search")
		}
		if err := b.shape(row, b.running[i].ids); err != nil {
			return err
		}
		sum := b.running[i].sum
		for id, lp := range row {
			s := sum + lp
			if s <= floor {
				continue
			}
			if !(s <= math.MaxFloat32) { // NaN or +Inf
				return &LogitsError{int32(id), float64(lp)}
			}
			b.cand = append(b.cand, candidate{s, int32(i), int32(id)})
			if len(b.cand) == full {
				floor = b.trim()
			}
		}
	}
	b.trim()
	if len(b.cand) == 0 {
		return &LogitsError{-1, math.Inf(-1)}
	}
	return nil
}

// trim puts the candidates in order and drops those that cannot matter. It
// returns the sum that another one has to beat.
func (b *Beam) trim() (floor float32) {
	slices.SortFunc(b.cand, func(x, y candidate) int {
		return cmp.Or(cmp.Compare(y.sum, x.sum), cmp.Compare(x.beam, y.beam), cmp.Compare(x.id, y.id))
	})
	n, open := 0, 0 // kept, and of them not ended by EOS
	for rank, c := range b.cand {
		if open == b.c.Width {
			break
		}
		switch eos := b.isEOS(c.id); {
		case !eos:
			open++
		case rank >= b.c.Width:
			continue
		}
		b.cand[n] = c
		n++
	}
	b.cand = b.cand[:n]
	if open < b.c.Width {
		return float32(math.Inf(-1))
	}
	return b.cand[n-1].sum
}

// shape works penalties, constraints and MinTokens into the row of a beam with
// these tokens.
func (b *Beam) shape(row []float32, ids []int32) error {
	c := &b.c
	penalties := c.RepetitionPenalty != 1 || c.FrequencyPenalty != 0 || c.PresencePenalty != 0 || len(c.LogitBias) > 0
	if penalties || c.Constraints != nil {
		for _, id := range ids {
			b.history.Add(id)
		}
		defer b.history.undo(ids)
	}
	switch {
	case c.Constraints != nil:
		b.tokens = append(b.tokens[:b.prompt], ids...)
		c.Constraints.apply(row, &place{
			tokens: b.tokens, prompt: b.prompt, source: c.Source, eos: c.EOS, min: c.MinTokens, max: c.MaxTokens,
			history: &b.history, repetition: c.RepetitionPenalty, frequency: c.FrequencyPenalty, presence: c.PresencePenalty, bias: c.LogitBias,
		})
		if c.Constraints.Renormalize {
			return b.normalise(row)
		}
		return nil
	case penalties:
		adjust(row, &b.history, c.RepetitionPenalty, c.FrequencyPenalty, c.PresencePenalty, c.LogitBias)
	}
	if b.steps < c.MinTokens {
		ban(row, c.EOS)
	}
	return nil
}

// normalise makes scores log-probabilities again. A row that leaves no token
// stays as it is: another beam's may.
func (b *Beam) normalise(row []float32) error {
	err := b.softmax.LogSoftmax(row, row)
	if e := (*LogitsError)(nil); errors.As(err, &e) && e.ID < 0 {
		return nil
	}
	return err
}

// extend appends the continuation of a running beam to next.
func (b *Beam) extend(next []beam, c candidate) []beam {
	var ids []int32
	if n := len(next); n < cap(next) {
		ids = next[:n+1][n].ids[:0]
	}
	ids = append(append(ids, b.running[c.beam].ids...), c.id)
	b.branch = append(b.branch, Branch{int(c.beam), c.id})
	return append(next, beam{ids, c.sum})
}

// finish enters a finished answer in the list of the best.
func (b *Beam) finish(c candidate, eos bool) {
	score := float64(b.score(c.sum, b.steps+1))
	at := len(b.best)
	for at > 0 && b.best[at-1].Score < score {
		at--
	}
	if at == b.c.Width {
		return
	}
	ids := append(slices.Clone(b.running[c.beam].ids), c.id)
	b.best = slices.Insert(b.best, at, Hypothesis{ids, score, eos})
	b.best = b.best[:min(b.c.Width, len(b.best))]
}

// score is what a sum over n new tokens counts.
func (b *Beam) score(sum float32, n int) float32 {
	return sum / float32(math.Pow(float64(n), b.c.LengthPenalty))
}

// ended reports whether the step just taken was the last.
func (b *Beam) ended() bool {
	if len(b.running) == 0 { // the last token, or nothing can go on
		return true
	}
	if len(b.best) < b.c.Width {
		return false
	}
	n := b.steps
	switch {
	case b.c.Early == EarlyTrue:
		return true
	case b.c.Early == EarlyNever && b.c.LengthPenalty > 0:
		n = b.c.MaxTokens
	}
	return float64(b.score(b.running[0].sum, n)) <= b.best[b.c.Width-1].Score
}

// isEOS reports whether the token ends an answer.
func (b *Beam) isEOS(id int32) bool {
	_, found := slices.BinarySearch(b.c.EOS, id)
	return found
}

// Results returns the best Return answers, best first, of a search that is done:
// fewer where a tiny vocabulary, or one mostly banned, allows no more.
func (b *Beam) Results() []Hypothesis {
	return b.best[:min(b.c.Return, len(b.best))]
}
