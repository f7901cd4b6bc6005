package main

// Timing: warm-up, repeats, median and spread.

import (
	"slices"
	"time"
)

// timing is what repeats of one thing took.
type timing struct {
	Median time.Duration
	Spread float64 // (third quartile - first) / median
	Runs   int     // repeats
	Inner  int     // times it ran in a repeat
}

// measure runs f until a repeat takes at least least, then so many repeats; without a least time, once a repeat and nothing before.
// f ends when its work is done.
func measure(f func(n int) error, least time.Duration, repeats int) (timing, error) {
	inner := 1
	if least > 0 {
		if err := f(1); err != nil { // warm-up: images are loaded, buffers grow
			return timing{}, err
		}
	}
	for least > 0 {
		start := time.Now()
		if err := f(inner); err != nil {
			return timing{}, err
		}
		took := time.Since(start)
		if took >= least || inner >= 1<<20 {
			break
		}
		inner = max(inner+1, min(inner*16, int(float64(inner)*1.2*float64(least)/float64(max(took, 1)))))
	}
	all := make([]time.Duration, repeats)
	for i := range all {
		start := time.Now()
		if err := f(inner); err != nil {
			return timing{}, err
		}
		all[i] = time.Since(start) / time.Duration(inner)
	}
	slices.Sort(all)
	t := timing{Median: all[len(all)/2], Runs: repeats, Inner: inner}
	if t.Median > 0 {
		t.Spread = float64(all[len(all)*3/4]-all[len(all)/4]) / float64(t.Median)
	}
	return t, nil
}

// median of values, linear between the middle two; 0 of none.
func median(values []float64) float64 { return quantile(values, 0.5) }

// quantile is linear between two of the values; 0 of none.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	v := slices.Sorted(slices.Values(values))
	at := q * float64(len(v)-1)
	i := int(at)
	if i+1 >= len(v) {
		return v[len(v)-1]
	}
	return v[i] + (at-float64(i))*(v[i+1]-v[i])
}

// spread is the distance of the quartiles, as a part of the median.
func spread(values []float64) float64 {
	m := median(values)
	if m == 0 {
		return 0
	}
	return (quantile(values, 0.75) - quantile(values, 0.25)) / m
}
