package main

// One row: every way is tried once, then the best of each side take turns.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

const (
	settle     = 250 * time.Millisecond // before each measurement: threads that spin go to sleep
	closeToTop = 0.85                   // of the best way: what is not slower takes turns with it
	otherCores = 0.25                   // processors that others may use during a measurement
	fresh      = 3                      // times a measurement is taken again when others were busy
	voidShare  = 0.8                    // of what a peer is known to reach
	fewTurns   = 3                      // are enough
	longTurns  = 2 * time.Minute        // where they have taken so long
)

// way is a contender with what it gave.
type way struct {
	c contender
	figure
}

// row measures a goal. What goes wrong is in the result.
func (l *lab) row(ctx context.Context, g goal) row {
	r := row{Name: g.name, Work: g.work, Unit: g.unit, Lower: g.lower, Alone: g.alone, AtLeast: g.atLeast, Aim: g.aim}
	for _, t := range g.cases {
		c, err := l.trial(ctx, g, t)
		if err != nil {
			r.Error = err.Error()
			if t.name != "" {
				r.Error = t.name + ": " + r.Error
			}
			break
		}
		r.Cases = append(r.Cases, c)
	}
	r.judge()
	return r
}

// trial measures a case.
func (l *lab) trial(ctx context.Context, g goal, t trial) (result trialResult, err error) {
	s, err := t.open(ctx, l)
	if s.close != nil {
		defer func() { err = errors.Join(err, s.close()) }()
	}
	if err != nil {
		return result, err
	}
	result = trialResult{Name: t.name}
	ours, err := l.screen(ctx, g, s.ours, s.ourCosine, &result)
	if err != nil {
		return result, err
	}
	peers, err := l.screen(ctx, g, s.peers, s.peerCosine, &result)
	if err != nil {
		return result, err
	}
	if len(ours) == 0 {
		result.Missing = "no way of ours counts: " + result.refusals(us)
	}
	for result.Attempts = 1; ; result.Attempts++ {
		if err := l.turns(ctx, g, slices.Concat(ours, peers), &result); err != nil {
			return result, err
		}
		result.settle(g, ours, peers)
		result.Void = tooSlow(g, peers, s.scale, result.Peer)
		if result.Void == "" || result.Attempts >= l.attempts {
			return result, nil
		}
		fmt.Fprintf(l.notes, "    again: %s\n", result.Void)
	}
}

// screen tries every way once and returns those that may be the best, the best
// first. Ways that fail, or are not exact enough, are in the result only.
func (l *lab) screen(ctx context.Context, g goal, all []contender, cosine float64, result *trialResult) ([]*way, error) {
	var left []*way
	var problems []error
	for _, c := range all {
		w := &way{c, figure{Who: c.Who, Setting: c.Setting}}
		s, _, err := l.sample(ctx, c, result)
		var refused *settingError
		switch {
		case errors.As(err, &refused):
			w.Refused = refused.text
		case err != nil:
			return nil, err
		case cosine > 0 && s.Cosine != nil && *s.Cosine < cosine:
			w.Refused = fmt.Sprintf("cosine %.5f with exact f32, want %g", *s.Cosine, cosine)
		}
		w.First, w.Cosine = s.Value, s.Cosine
		fmt.Fprintf(l.notes, "    %-12s %-32s %12s %s\n", w.Who, w.Setting, number(s.Value), cmp.Or(w.Refused, g.unit))
		if w.Refused != "" {
			problems = append(problems, fmt.Errorf("%s: %s", w.Setting, w.Refused))
			result.Tried = append(result.Tried, &w.figure)
			continue
		}
		left = append(left, w)
		result.Tried = append(result.Tried, &w.figure)
	}
	slices.SortStableFunc(left, func(a, b *way) int { return compareValues(g.lower, a.First, b.First) })
	n := 0
	for n < len(left) && n < l.finalists && ratio(g.lower, left[n].First, left[0].First) >= closeToTop {
		n++
	}
	if n == 0 && len(all) > 0 && all[0].Who != us {
		return nil, fmt.Errorf("no setting counts: %w", errors.Join(problems...))
	}
	return left[:n], nil
}

// compareValues orders the better value first.
func compareValues(lower bool, a, b float64) int {
	if lower {
		return cmp.Compare(a, b)
	}
	return cmp.Compare(b, a)
}

// ratio is how good a is beside b: 1 if as good, less if worse.
func ratio(lower bool, a, b float64) float64 {
	if lower {
		return b / a
	}
	return a / b
}

// turns measures all ways in turns, each turn in the other order.
func (l *lab) turns(ctx context.Context, g goal, all []*way, result *trialResult) error {
	for _, w := range all {
		w.Values = nil
	}
	result.Others = 0
	begin := time.Now()
	for i := range l.repeats {
		if i >= fewTurns && time.Since(begin) > longTurns {
			break
		}
		turn := slices.Clone(all)
		if i%2 == 1 {
			slices.Reverse(turn)
		}
		for _, w := range turn {
			s, others, err := l.sample(ctx, w.c, result)
			if err != nil {
				return err
			}
			w.Values = append(w.Values, s.Value)
			result.Others = max(result.Others, others)
			if s.Cosine != nil && (w.Cosine == nil || *s.Cosine < *w.Cosine) {
				w.Cosine = s.Cosine
			}
		}
		fmt.Fprintf(l.notes, "    turn %d/%d:", i+1, l.repeats)
		for _, w := range all {
			fmt.Fprintf(l.notes, "  %s %s %s", w.Who, w.Setting, number(w.Values[i]))
		}
		fmt.Fprintln(l.notes)
	}
	for _, w := range all {
		w.Median, w.Spread = median(w.Values), spread(w.Values)
	}
	return nil
}

// sample takes one measurement, again if others were busy meanwhile; others is how
// many processors they used.
func (l *lab) sample(ctx context.Context, c contender, result *trialResult) (s sample, others float64, err error) {
	for try := 0; ; try++ {
		if l.patient {
			time.Sleep(settle)
		}
		before, known := busyTime()
		own := processTime(os.Getpid())
		child := 0.0
		if c.pid != 0 {
			child = processTime(c.pid)
		}
		start := time.Now()
		if s, err = c.measure(ctx); err != nil || !known {
			return s, 0, err
		}
		after, _ := busyTime()
		took := time.Since(start).Seconds()
		mine := processTime(os.Getpid()) - own
		if c.pid != 0 {
			mine += processTime(c.pid) - child
		}
		others = max(0, (after-before-mine)/took)
		if took < 0.1 { // the system counts in hundredths
			others = 0
		}
		if s.Note != "" && !slices.Contains(result.Notes, s.Note) {
			result.Notes = append(result.Notes, s.Note)
		}
		if others <= otherCores || !l.patient || try == fresh {
			return s, others, nil
		}
		time.Sleep(time.Second)
	}
}

// settle chooses the best way of each side and compares them.
func (r *trialResult) settle(g goal, ours, peers []*way) {
	best := func(all []*way) *way {
		if len(all) == 0 {
			return &way{}
		}
		return slices.MinFunc(all, func(a, b *way) int { return compareValues(g.lower, a.Median, b.Median) })
	}
	mine, theirs := best(ours), best(peers)
	r.Ours, r.Peer = mine.figure, theirs.figure
	switch {
	case len(ours) == 0:
		r.Ratio, r.Low, r.High = 0, 0, 0
	case g.alone:
		r.Ratio, r.Low, r.High = mine.Median, quantile(mine.Values, 0.25), quantile(mine.Values, 0.75)
	default:
		var pairs []float64
		for i, v := range mine.Values {
			pairs = append(pairs, v/theirs.Values[i])
		}
		r.Ratio, r.Low, r.High = mine.Median/theirs.Median, quantile(pairs, 0.25), quantile(pairs, 0.75)
	}
}

// tooSlow says why a peer did not run as it can; "": it did, or nothing is known.
func tooSlow(g goal, peers []*way, scale float64, best figure) string {
	for _, w := range peers {
		if w.Who != best.Who || w.Setting != best.Setting || w.c.known == 0 || scale == 0 {
			continue
		}
		// A known time shrinks as the machine grows faster, a rate grows.
		expected, reached := w.c.known*scale, w.Median
		if g.lower {
			expected, reached = scale/w.c.known, 1/w.Median
		}
		if reached < voidShare*expected {
			want := voidShare * expected
			if g.lower {
				want = 1 / want
			}
			return fmt.Sprintf("%s reached %s %s, and was to reach %s (%g of its known %s × %.2f, as much faster as this machine is)", w.Who, number(w.Median), g.unit, number(want), voidShare, number(w.c.known), scale)
		}
	}
	return ""
}

// refusals are the reasons for which ways of somebody do not count.
func (r *trialResult) refusals(who string) string {
	var all []string
	for _, f := range r.Tried {
		if f.Who == who && f.Refused != "" {
			all = append(all, f.Setting+": "+f.Refused)
		}
	}
	return strings.Join(all, "; ")
}

// number has three or four digits that count.
func number(v float64) string {
	switch {
	case v == 0:
		return "-"
	case v >= 1000:
		return fmt.Sprintf("%.0f", v)
	case v >= 100:
		return fmt.Sprintf("%.1f", v)
	case v >= 1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}
