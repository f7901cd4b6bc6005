package template

// This file holds the filters on sequences and mappings that need all of them.
// lazyfilters.go has those that need one element at a time.

import (
	"slices"
	"sort"
	"strconv"
	"strings"
)

// listFilter finds a filter on sequences, as textFilter does.
func listFilter(name string) (f filterFunc, names []string, need int) {
	switch name {
	case "length", "count":
		return func(r *run, v value, _ []value) (value, error) {
			n, ok := length(v)
			if !ok {
				return nil, r.failf("filter %s: object of type '%s' has no length", name, typeName(v))
			}
			if s, isText := v.(*str); isText {
				return int64(n), r.scan(len(s.s))
			}
			return int64(n), nil
		}, nil, 0
	case "list":
		return func(r *run, v value, _ []value) (value, error) {
			items, err := r.collect(v)
			return &list{items: items}, err
		}, nil, 0
	case "first":
		return func(r *run, v value, _ []value) (value, error) {
			next, err := r.iterate(v)
			if err != nil {
				return nil, err
			}
			x, ok, err := next()
			if err == nil && !ok {
				x = &undefined{why: "No first item, sequence was empty."}
			}
			return x, err
		}, nil, 0
	case "last":
		return filterLast, nil, 0
	case "join":
		return filterJoin, []string{"d", "attribute"}, 0
	case "reverse":
		return filterReverse, nil, 0
	case "items":
		return func(r *run, v value, _ []value) (value, error) {
			return deferred(func() (iterator, error) {
				switch d := v.(type) {
				case *undefined:
					return over(0, nil), nil
				case *dict:
					return over(len(d.keys), (&view{d: d, kind: "items"}).item), nil
				}
				return nil, r.failf("filter items: want a mapping, not %s", typeName(v))
			}), nil
		}, nil, 0
	case "dictsort":
		return filterDictSort, []string{"case_sensitive", "by", "reverse"}, 0
	case "sort":
		return filterSort, []string{"reverse", "case_sensitive", "attribute"}, 0
	case "unique":
		return filterUnique, []string{"case_sensitive", "attribute"}, 0
	case "min", "max":
		return func(r *run, v value, p []value) (value, error) { return r.extreme(name, v, p) },
			[]string{"case_sensitive", "attribute"}, 0
	case "sum":
		return filterSum, []string{"attribute", "start"}, 0
	case "groupby":
		return filterGroupBy, []string{"attribute", "default", "case_sensitive"}, 1
	case "batch":
		return filterBatch, []string{"linecount", "fill_with"}, 1
	case "slice":
		return filterSlice, []string{"slices", "fill_with"}, 1
	}
	return nil, nil, 0
}

func filterLast(r *run, v value, _ []value) (value, error) {
	none := &undefined{why: "No last item, sequence was empty."}
	switch v.(type) {
	case *gen, nil, bool, int64, float64, *namespace, *function:
		return nil, r.failf("filter last: '%s' object is not reversible", typeName(v))
	case *str:
		if x, ok, err := r.element(v, int64(-1)); ok || err != nil {
			return x, err
		}
		return none, nil
	}
	items, err := r.collect(v)
	if err != nil || len(items) == 0 {
		return none, err
	}
	return items[len(items)-1], nil
}

func filterJoin(r *run, v value, p []value) (value, error) {
	sep := lit("")
	if p[0] != missing {
		var err error
		if sep, err = r.text(p[0]); err != nil {
			return nil, err
		}
	}
	get, err := r.getter(p[1], nil)
	if err != nil {
		return nil, err
	}
	next, err := r.iterate(v)
	if err != nil {
		return nil, err
	}
	b := r.builder()
	for first := true; ; first = false {
		x, ok, err := next()
		if err != nil {
			return nil, err
		}
		if !ok {
			return b.done()
		}
		if !first {
			b.str(sep)
		}
		if x, err = get(x); err != nil {
			return nil, err
		}
		r.display(b, x)
	}
}

func filterReverse(r *run, v value, _ []value) (value, error) {
	if s, ok := v.(*str); ok {
		return r.sliceText(s, nil, nil, -1)
	}
	items, err := r.collect(v)
	if err != nil {
		return nil, err
	}
	if _, ok := v.(*gen); ok {
		slices.Reverse(items)
		return &list{items: items}, nil
	}
	return &gen{over(len(items), func(i int) value { return items[len(items)-1-i] })}, nil
}

// getter makes the lookup of an attribute path: "a.b.0", an integer, or none.
func (r *run) getter(path, fallback value) (func(value) (value, error), error) {
	var parts []value
	switch p := path.(type) {
	case *str:
		for _, part := range strings.Split(p.s, ".") {
			if allRunes(isDigitRune)(part) {
				if i, err := strconv.ParseInt(asciiDigits(part), 10, 64); err == nil {
					parts = append(parts, i)
					continue
				}
			}
			parts = append(parts, lit(part))
		}
	case nil:
	default:
		if path != missing {
			parts = []value{path}
		}
	}
	if err := r.cells(len(parts)); err != nil {
		return nil, err
	}
	return func(v value) (value, error) {
		for _, part := range parts {
			if err := r.step(1); err != nil {
				return nil, err
			}
			var err error
			if v, err = r.getItem(v, part); err != nil {
				return nil, err
			}
			if fallback != nil && isUndefined(v) {
				v = fallback
			}
		}
		return v, nil
	}, nil
}

// folded is a string in lower case unless case counts.
func (r *run) folded(v value, caseCounts value) (value, error) {
	s, ok := v.(*str)
	if !ok || caseCounts != missing && truth(caseCounts) {
		return v, nil
	}
	return r.lower(s)
}

// sortIndexes sorts order, indexes into keys, stably.
func (r *run) sortIndexes(order []int, keys []value, reverse bool) error {
	var failed error
	sort.SliceStable(order, func(i, j int) bool {
		if failed != nil {
			return false
		}
		a, b := keys[order[i]], keys[order[j]]
		if reverse {
			a, b = b, a
		}
		if failed = r.step(1); failed != nil {
			return false
		}
		c, ok, err := r.order("<", a, b)
		failed = err
		return ok && c < 0
	})
	return failed
}

// sortedBy returns items in the order of keys.
func (r *run) sortedBy(items, keys []value, reverse bool) ([]value, error) {
	if err := r.cells(len(items)); err != nil {
		return nil, err
	}
	order := make([]int, len(items))
	for i := range order {
		order[i] = i
	}
	if err := r.sortIndexes(order, keys, reverse); err != nil {
		return nil, err
	}
	out := make([]value, len(items))
	for i, k := range order {
		out[i] = items[k]
	}
	return out, nil
}

func filterDictSort(r *run, v value, p []value) (value, error) {
	d, ok := v.(*dict)
	if !ok {
		if u, is := v.(*undefined); is {
			return nil, r.failf("%s", u.why)
		}
		return nil, r.failf("filter dictsort: want a mapping, not %s", typeName(v))
	}
	from := d.keys
	if p[1] != missing {
		s, ok := p[1].(*str)
		if !ok || s.s != "key" && s.s != "value" {
			return nil, r.failf(`filter dictsort: by must be "key" or "value"`)
		}
		if s.s == "value" {
			from = d.vals
		}
	}
	if err := r.cells(2 * len(from)); err != nil {
		return nil, err
	}
	keys, items := make([]value, len(from)), make([]value, len(from))
	all := &view{d: d, kind: "items"}
	for i, k := range from {
		var err error
		if keys[i], err = r.folded(k, p[0]); err != nil {
			return nil, err
		}
		items[i] = all.item(i)
	}
	out, err := r.sortedBy(items, keys, p[2] != missing && truth(p[2]))
	return &list{items: out}, err
}

func filterSort(r *run, v value, p []value) (value, error) {
	items, err := r.collect(v)
	if err != nil {
		return nil, err
	}
	paths := []value{p[2]}
	if s, ok := p[2].(*str); ok {
		paths = nil
		for _, path := range strings.Split(s.s, ",") {
			paths = append(paths, lit(path))
		}
	}
	if err := r.cells(len(items) * len(paths)); err != nil {
		return nil, err
	}
	keys := make([]value, len(items))
	for i := range keys {
		keys[i] = &list{items: make([]value, len(paths))}
	}
	for j, path := range paths {
		get, err := r.getter(path, nil)
		if err != nil {
			return nil, err
		}
		for i, x := range items {
			if x, err = get(x); err != nil {
				return nil, err
			}
			if keys[i].(*list).items[j], err = r.folded(x, p[1]); err != nil {
				return nil, err
			}
		}
	}
	out, err := r.sortedBy(items, keys, p[0] != missing && truth(p[0]))
	return &list{items: out}, err
}

// extreme is min or max: the first of the smallest or largest.
func (r *run) extreme(name string, v value, p []value) (value, error) {
	get, err := r.getter(p[1], nil)
	if err != nil {
		return nil, err
	}
	next, err := r.iterate(v)
	if err != nil {
		return nil, err
	}
	var best, bestKey value = &undefined{why: "No aggregated item, sequence was empty."}, nil
	for first := true; ; first = false {
		x, ok, err := next()
		if err != nil || !ok {
			return best, err
		}
		key, err := get(x)
		if err != nil {
			return nil, err
		}
		if key, err = r.folded(key, p[0]); err != nil {
			return nil, err
		}
		better := first
		if !first {
			op := map[string]string{"min": "<", "max": ">"}[name]
			if better, err = r.compare(op, key, bestKey); err != nil {
				return nil, err
			}
		}
		if better {
			best, bestKey = x, key
		}
	}
}

func filterSum(r *run, v value, p []value) (value, error) {
	var total value = int64(0)
	if p[1] != missing {
		total = p[1]
	}
	if _, ok := total.(*str); ok {
		return nil, r.failf("filter sum: strings cannot be summed, use join")
	}
	get, err := r.getter(p[0], nil)
	if err != nil {
		return nil, err
	}
	next, err := r.iterate(v)
	if err != nil {
		return nil, err
	}
	for {
		x, ok, err := next()
		if err != nil || !ok {
			return total, err
		}
		if x, err = get(x); err != nil {
			return nil, err
		}
		if total, err = r.binary("+", total, x); err != nil {
			return nil, err
		}
	}
}

// filterGroupBy sorts by an attribute and collects what has the same one.
func filterGroupBy(r *run, v value, p []value) (value, error) {
	items, err := r.collect(v)
	if err != nil {
		return nil, err
	}
	fallback := p[1]
	if fallback == missing {
		fallback = nil
	}
	get, err := r.getter(p[0], fallback)
	if err != nil {
		return nil, err
	}
	if err := r.cells(4 * len(items)); err != nil {
		return nil, err
	}
	keys, pairs := make([]value, len(items)), make([]value, len(items))
	for i, x := range items {
		raw, err := get(x)
		if err != nil {
			return nil, err
		}
		if keys[i], err = r.folded(raw, p[2]); err != nil {
			return nil, err
		}
		pairs[i] = &tuple{items: []value{raw, x, keys[i]}}
	}
	if pairs, err = r.sortedBy(pairs, keys, false); err != nil {
		return nil, err
	}
	out := &list{}
	var last value
	var group *list
	for _, pair := range pairs {
		t := pair.(*tuple).items
		same := false
		if group != nil {
			if same, err = r.equal(last, t[2]); err != nil {
				return nil, err
			}
		}
		if !same {
			group, last = &list{}, t[2]
			out.items = append(out.items, &tuple{items: []value{t[0], group}, group: true})
		}
		group.items = append(group.items, t[1])
	}
	return out, nil
}
