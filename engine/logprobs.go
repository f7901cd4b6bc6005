package engine

// Log-probabilities: what a model says of a row, before any sampling step.

import (
	"cmp"
	"math"
	"slices"
)

// TokenLogprob is a token with its natural log-probability.
type TokenLogprob struct {
	ID      int32
	Logprob float64
}

// Logprobs is the log-softmax of one row of logits, lp[i] = l[i] − ln Σ exp(l[j]),
// in float64. It works out only what is asked for, and is reused from row to row
// without allocating. Not safe for concurrent use.
type Logprobs struct {
	row  []float32
	lse  float64
	x, w []float64
	top  []TokenLogprob
}

// Reset takes a row of logits, which must stay unchanged while it is asked about.
// A row that holds NaN or +Inf, or nothing but -Inf, is a *[LogitsError].
func (l *Logprobs) Reset(logits []float32) error {
	best, err := argmax(logits)
	if err != nil {
		return err
	}
	top := float64(logits[best])
	l.x, l.w = grow(l.x, len(logits)), grow(l.w, len(logits))
	for i, v := range logits {
		l.x[i] = float64(v) - top
	}
	expTo(l.w, l.x)
	l.row, l.lse = logits, top+math.Log(total(l.w))
	return nil
}

// Of returns the log-probability of a token: -Inf where its logit is.
func (l *Logprobs) Of(id int32) float64 {
	return float64(l.row[id]) - l.lse
}

// Top appends the k most likely tokens to dst, best first, of equals the lower id
// first. Fewer than k are there when the row is shorter or holds -Inf.
func (l *Logprobs) Top(dst []TokenLogprob, k int) []TokenLogprob {
	if k <= 0 {
		return dst
	}
	better := func(a, b TokenLogprob) int {
		if c := cmp.Compare(b.Logprob, a.Logprob); c != 0 {
			return c
		}
		return cmp.Compare(a.ID, b.ID)
	}
	top, full := l.top[:0], 2*min(k, len(l.row))+64
	floor := math.Inf(-1) // what does not beat it cannot be among the k best: of equals the first came first
	for i, v := range l.row {
		if float64(v) <= floor {
			continue
		}
		top = append(top, TokenLogprob{int32(i), float64(v)})
		if len(top) == full {
			slices.SortFunc(top, better)
			top = top[:min(k, len(top))]
			if len(top) == k {
				floor = top[k-1].Logprob
			}
		}
	}
	slices.SortFunc(top, better)
	l.top = top
	for _, t := range top[:min(k, len(top))] {
		dst = append(dst, TokenLogprob{t.ID, t.Logprob - l.lse})
	}
	return dst
}

// LogSoftmax writes the log-softmax of a row of logits, rounded to float32, as
// beam search sums it. dst may be the row itself. Errors are those of Reset.
func (l *Logprobs) LogSoftmax(dst, logits []float32) error {
	if err := l.Reset(logits); err != nil {
		return err
	}
	for i, v := range logits {
		dst[i] = float32(float64(v) - l.lse)
	}
	return nil
}
