package engine

// Finding where a running sum over sorted items crosses a limit, without
// sorting them: the one selection that top-k, top-p and typical-p need.

import (
	"cmp"
	"math/bits"
	"slices"
)

// item is a token on the scale that a filter sorts by.
type item struct{ key, weight float64 }

// cut looks at items in ascending order of key, with the running sum base + Σ
// weight including the item itself, and returns the key of the first item whose
// sum is above limit (with reach: at least limit), and how many items of the
// same key stand before it, taking those to be of equal weight. If no sum gets
// there, the last item of the largest key is returned. It reorders items; their
// weights must not be negative, and there must be at least one.
//
// Expected time is linear: a quickselect whose halves carry their weight.
func cut(items []item, base, limit float64, reach bool) (key float64, before int) {
	over := func(sum float64) bool { return sum > limit || reach && sum == limit }
	lo, hi := 0, len(items) // the crossing is in items[lo:hi], or nowhere
	for tries := 2 * bits.Len(uint(len(items))); hi-lo > 16; tries-- {
		if tries == 0 { // a row made to be slow
			break
		}
		less, more := split(items[lo:hi], pivot(items[lo:hi]))
		less, more = lo+less, lo+more
		sum := base
		for _, it := range items[lo:less] {
			sum += it.weight
		}
		if over(sum) {
			hi = less
			continue
		}
		equal := sum
		for _, it := range items[less:more] {
			equal += it.weight
		}
		if over(equal) {
			return items[less].key, walk(items[less:more], sum, over)
		}
		if more == hi && hi == len(items) {
			return items[less].key, more - less - 1
		}
		lo, base = more, equal
	}
	slices.SortFunc(items[lo:hi], func(a, b item) int { return cmp.Compare(a.key, b.key) })
	for {
		end := lo + 1
		for end < hi && items[end].key == items[lo].key {
			end++
		}
		sum := base
		for _, it := range items[lo:end] {
			sum += it.weight
		}
		if over(sum) || end == hi {
			return items[lo].key, walk(items[lo:end], base, over)
		}
		lo, base = end, sum
	}
}

// walk returns the index of the first of some items whose running sum is over,
// or the last index.
func walk(items []item, sum float64, over func(float64) bool) int {
	for i, it := range items {
		sum += it.weight
		if over(sum) {
			return i
		}
	}
	return len(items) - 1
}

// split moves the items below p to the front and those above p to the end, and
// returns the bounds of the ones equal to p.
func split(items []item, p float64) (less, more int) {
	i := 0
	more = len(items)
	for i < more {
		switch k := items[i].key; {
		case k < p:
			items[i], items[less] = items[less], items[i]
			less++
			i++
		case k > p:
			more--
			items[i], items[more] = items[more], items[i]
		default:
			i++
		}
	}
	return less, more
}

// pivot returns the median of nine keys spread over the items.
func pivot(items []item) float64 {
	step := len(items) / 9
	if step == 0 {
		return items[len(items)/2].key
	}
	m := [3]float64{}
	for i := range m {
		m[i] = median(items[3*i*step].key, items[(3*i+1)*step].key, items[(3*i+2)*step].key)
	}
	return median(m[0], m[1], m[2])
}

func median(a, b, c float64) float64 {
	return max(min(a, b), min(max(a, b), c))
}
