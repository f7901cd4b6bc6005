package engine

// The sampler: from a row of logits to the distribution of the next token, and
// to the token drawn from it.

import (
	"fmt"
	"math"
)

// LogitsError is a row of logits that no token can be chosen from: the model, a
// kernel or a mask went wrong.
type LogitsError struct {
	ID    int32   // the first token that is NaN or +Inf, or -1 where every token is -Inf
	Value float64 // its logit
}

// Error says which logit is unusable.
func (e *LogitsError) Error() string {
	if e.ID < 0 {
		return "engine: every logit is -Inf: no token is left to choose from"
	}
	return fmt.Sprintf("engine: the logit of token %d is %v", e.ID, e.Value)
}

// Sampler chooses tokens as [Sampling] says, in float64. It is scratch memory
// and holds nothing from one call to the next, so one Sampler serves all
// sequences of a goroutine; once warm it allocates nothing. Not safe for
// concurrent use.
//
// A draw inverts the distribution function over the kept tokens in ascending
// order of their ids, at a number that depends on seed, answer and position only
// (see the source of uniform).
type Sampler struct {
	vocab int
	row   []float64 // [vocab] logits after bias and penalties, where there are any
	// The kept tokens in ascending order of id; with dense set they are the whole row, and ids is unused.
	ids   []int32
	x, w  []float64 // x = (logit − largest)/temperature ≤ 0, w = exp(x)
	dense bool
	items []item // scratch of cut
}

// NewSampler returns a sampler for rows of vocab logits.
func NewSampler(vocab int) *Sampler {
	return &Sampler{vocab: vocab}
}

// Sample returns the id of the next token. p has passed [Sampling.Check]; h is
// the sequence's history and may be nil where no penalty is set; answer is the
// answer's number within its request, position the number of tokens that the
// answer has already. The logits are read only. The error is a *[LogitsError].
func (s *Sampler) Sample(p *Sampling, logits []float32, h *History, answer, position int) (int32, error) {
	if p.Temperature == 0 {
		return s.best(p, logits, h)
	}
	if err := s.keep(p, logits, h); err != nil {
		return 0, err
	}
	i := draw(s.w, uniform(p.Seed, answer, position))
	if s.dense {
		return int32(i), nil
	}
	return s.ids[i], nil
}

// Distribution returns the probabilities of all tokens, exactly 0 for those that
// are filtered out, in dst where its capacity allows. Arguments and error are
// as Sample's.
func (s *Sampler) Distribution(dst []float64, p *Sampling, logits []float32, h *History) ([]float64, error) {
	dst = grow(dst, len(logits))
	clear(dst)
	if p.Temperature == 0 {
		id, err := s.best(p, logits, h)
		if err != nil {
			return nil, err
		}
		dst[id] = 1
		return dst, nil
	}
	if err := s.keep(p, logits, h); err != nil {
		return nil, err
	}
	z := total(s.w)
	for i, w := range s.w {
		if s.dense {
			dst[i] = w / z
		} else {
			dst[s.ids[i]] = w / z
		}
	}
	return dst, nil
}

// best is the greedy choice.
func (s *Sampler) best(p *Sampling, logits []float32, h *History) (int32, error) {
	if row := s.adjusted(p, logits, h); row != nil {
		return argmax(row)
	}
	return argmax(logits)
}

// keep runs all steps and leaves the kept tokens in s.
func (s *Sampler) keep(p *Sampling, logits []float32, h *History) error {
	if row := s.adjusted(p, logits, h); row != nil {
		return choose(s, p, row)
	}
	return choose(s, p, logits)
}

// adjusted returns the row after bias and penalties, or nil where these are off
// and the logits can be read as they are.
func (s *Sampler) adjusted(p *Sampling, logits []float32, h *History) []float64 {
	if len(logits) != s.vocab {
		panic("engine: a row of logits of another width than its Sampler")
	}
	off := p.RepetitionPenalty == 1 && p.FrequencyPenalty == 0 && p.PresencePenalty == 0
	if len(p.LogitBias) == 0 && (off || h == nil) {
		return nil
	}
	s.row = grow(s.row, len(logits))
	for i, v := range logits {
		s.row[i] = float64(v)
	}
	adjust(s.row, h, p.RepetitionPenalty, p.FrequencyPenalty, p.PresencePenalty, p.LogitBias)
	return s.row
}

// choose is steps 4 to 8. A filter that comes first and goes by the logits spares
// the exponentials of the tokens it drops.
func choose[F float32 | float64](s *Sampler, p *Sampling, row []F) error {
	s.dense = false
	switch {
	case p.TopK > 0 && p.TopK < len(row):
		if err := topK(s, p, row); err != nil {
			return err
		}
		s.topP(p.TopP)
		s.minP(p.MinP)
	case p.TopP == 1 && p.MinP > 0:
		if err := aboveMinP(s, p, row); err != nil {
			return err
		}
	default:
		if err := all(s, p, row); err != nil {
			return err
		}
		if p.TopP == 1 && p.TypicalP == 1 {
			s.dense = true
			return nil
		}
		s.topPAll(p.TopP)
		s.minP(p.MinP)
	}
	s.typicalP(p.TypicalP)
	return nil
}

// all takes the whole row: x and w of every token.
func all[F float32 | float64](s *Sampler, p *Sampling, row []F) error {
	best, err := argmax(row)
	if err != nil {
		return err
	}
	s.x, s.w = grow(s.x, len(row)), grow(s.w, len(row))
	top, t := float64(row[best]), p.Temperature
	for i, v := range row {
		s.x[i] = (float64(v) - top) / t
	}
	expTo(s.w, s.x)
	return nil
}

// topK takes the tokens whose logit is at least the k-th largest, in one pass
// over the row: a token waits in ids and x until it is known to be too small.
func topK[F float32 | float64](s *Sampler, p *Sampling, row []F) error {
	k := p.TopK
	s.ids, s.x = s.ids[:0], s.x[:0]
	top, floor, full := math.Inf(-1), F(math.Inf(-1)), max(4*k, 256)
	for i, v := range row {
		if v < floor {
			continue
		}
		l := float64(v)
		if !(l <= math.MaxFloat64) {
			return &LogitsError{int32(i), l}
		}
		if l < -math.MaxFloat64 {
			continue // -Inf can never be drawn
		}
		top = max(top, l)
		s.ids, s.x = append(s.ids, int32(i)), append(s.x, l)
		if len(s.x) >= full {
			floor = F(s.trim(k))
			full = max(full, 2*len(s.x)) // ties with the k-th stay
		}
	}
	if len(s.x) == 0 {
		return &LogitsError{-1, math.Inf(-1)}
	}
	if len(s.x) > k {
		s.trim(k)
	}
	for i, l := range s.x {
		s.x[i] = (l - top) / p.Temperature
	}
	s.w = grow(s.w, len(s.x))
	expTo(s.w, s.x)
	return nil
}

// trim drops the waiting tokens below the k-th largest, which it returns.
func (s *Sampler) trim(k int) float64 {
	s.items = s.items[:0]
	for _, l := range s.x {
		s.items = append(s.items, item{l, 1})
	}
	floor, _ := cut(s.items, 0, float64(len(s.x)-k), false)
	n := 0
	for i, l := range s.x {
		if l >= floor {
			s.ids[n], s.x[n] = s.ids[i], l
			n++
		}
	}
	s.ids, s.x = s.ids[:n], s.x[:n]
	return floor
}

// aboveMinP takes the tokens with at least MinP times the largest probability,
// where no filter comes before that one.
func aboveMinP[F float32 | float64](s *Sampler, p *Sampling, row []F) error {
	best, err := argmax(row)
	if err != nil {
		return err
	}
	s.ids, s.x = s.ids[:0], s.x[:0]
	top, t := float64(row[best]), p.Temperature
	floor := (math.Log(p.MinP) - 1e-9) * t // a little too low: the exact test follows
	for i, v := range row {
		if d := float64(v) - top; d >= floor {
			s.ids, s.x = append(s.ids, int32(i)), append(s.x, d/t)
		}
	}
	s.w = grow(s.w, len(s.x))
	expTo(s.w, s.x)
	s.minP(p.MinP)
	return nil
}

// topPAll is topP on a whole row. Of n tokens with limit as the mass to drop,
// those below limit/(n+1) are dropped in any case, as all of them together do not
// reach it: on most rows few are left to be looked at closely. TopP 1 drops only
// what has no probability.
func (s *Sampler) topPAll(topP float64) {
	z := total(s.w)
	limit := (1 - topP) * z
	floor := limit / float64(len(s.w)+1)
	s.ids = s.ids[:0]
	base := 0.0
	for i, w := range s.w {
		if w <= floor {
			base += w
			continue
		}
		n := len(s.ids)
		s.ids = append(s.ids, int32(i))
		s.x[n], s.w[n] = s.x[i], w
	}
	s.x, s.w = s.x[:len(s.ids)], s.w[:len(s.ids)]
	if topP < 1 {
		s.nucleus(base, limit)
	}
}

// topP drops the least likely tokens whose running sum is at most 1 − topP.
func (s *Sampler) topP(topP float64) {
	if topP < 1 {
		s.nucleus(0, (1-topP)*total(s.w))
	}
}

// nucleus drops tokens in ascending order of w while base and the sum of what
// has been dropped stay within limit; one token stays. Of equals at the cut the
// higher ids go.
func (s *Sampler) nucleus(base, limit float64) {
	s.items = s.items[:0]
	for _, w := range s.w {
		s.items = append(s.items, item{w, w})
	}
	at, drop := cut(s.items, base, limit, false)
	for i := len(s.w) - 1; i >= 0 && drop > 0; i-- {
		if s.w[i] == at {
			s.w[i] = -1
			drop--
		}
	}
	s.keepWhere(s.w, at)
}

// minP drops tokens of less than minP times the largest probability: the largest
// w is 1, and no filter drops it.
func (s *Sampler) minP(minP float64) {
	if minP > 0 {
		s.keepWhere(s.w, minP)
	}
}

// typicalP keeps the tokens whose surprisal is nearest to the entropy, and
// leaves the negative distance in x.
func (s *Sampler) typicalP(mass float64) {
	if mass == 1 {
		return
	}
	z := total(s.w)
	lnZ := math.Log(z)
	entropy := 0.0
	for i, w := range s.w {
		if w > 0 {
			entropy += float64(w / z * (lnZ - s.x[i]))
		}
	}
	s.items = s.items[:0]
	for i, w := range s.w {
		distance := math.Abs(lnZ - s.x[i] - entropy)
		s.items = append(s.items, item{distance, w})
		s.x[i] = -distance
	}
	farthest, _ := cut(s.items, 0, mass*z, true)
	s.keepWhere(s.x, -farthest)
}

// keepWhere keeps the tokens whose value, one of x or w, is at least the floor.
func (s *Sampler) keepWhere(values []float64, floor float64) {
	n := 0
	for i, v := range values {
		if v >= floor {
			s.ids[n], s.x[n], s.w[n] = s.ids[i], s.x[i], s.w[i]
			n++
		}
	}
	s.ids, s.x, s.w = s.ids[:n], s.x[:n], s.w[:n]
}

// argmax returns the place of the largest logit, the first of equals.
func argmax[F float32 | float64](row []F) (int32, error) {
	best, at := F(math.Inf(-1)), -1
	for i, v := range row {
		if v <= best {
			continue
		}
		if l := float64(v); !(l <= math.MaxFloat64) { // NaN or +Inf
			return 0, &LogitsError{int32(i), l}
		}
		best, at = v, i
	}
	if at < 0 {
		return 0, &LogitsError{-1, math.Inf(-1)}
	}
	return int32(at), nil
}

// sumBlock is how many weights add up to a partial sum. It is part of what a seed
// means, as the order of a sum is.
const sumBlock = 256

// total returns the sum of w: blocks of sumBlock, left to right.
func total(w []float64) float64 {
	z := 0.0
	for len(w) > sumBlock {
		z += sum(w[:sumBlock])
		w = w[sumBlock:]
	}
	return z + sum(w)
}

// sum adds in four lanes, which do not wait for one another.
func sum(w []float64) float64 {
	var a, b, c, d float64
	for len(w) >= 4 {
		a += w[0]
		b += w[1]
		c += w[2]
		d += w[3]
		w = w[4:]
	}
	for _, v := range w {
		a += v
	}
	return (a + b) + (c + d)
}

// draw returns the first place at which the running sum of w is above u times
// the whole, 0 ≤ u < 1. A weight of 0 is never drawn.
func draw(w []float64, u float64) int {
	target := u * total(w)
	passed, last := 0.0, 0
	for start := 0; start < len(w); start += sumBlock {
		block := w[start:min(start+sumBlock, len(w))]
		if s := sum(block); passed+s <= target {
			passed += s
			continue
		}
		for i, v := range block {
			if passed += v; v > 0 {
				if passed > target {
					return start + i
				}
				last = start + i
			}
		}
		return last // the lanes rounded up: the last weight of the block
	}
	for i := len(w) - 1; i > 0; i-- { // u so near 1 that the target was rounded up to the whole
		if w[i] > 0 {
			return i
		}
	}
	return last
}

// grow returns s with length n, its contents lost where it was too short.
func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
