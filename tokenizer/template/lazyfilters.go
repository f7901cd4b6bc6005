package template

// This file holds the filters that jinja2 writes as generators, and those that take
// another filter or test: map, select and their kin.

import (
	"slices"
	"strings"
)

// rawFilter finds a filter that takes arguments for another filter or test.
func rawFilter(name string) func(r *run, v value, a args) (value, error) {
	switch name {
	case "map":
		return filterMap
	case "select", "reject", "selectattr", "rejectattr":
		return func(r *run, v value, a args) (value, error) { return r.selected(name, v, a) }
	case "format":
		return func(r *run, v value, a args) (value, error) {
			s, err := r.softText(v)
			if err != nil {
				return nil, err
			}
			if len(a.kw) == 0 {
				return r.percent(s, &tuple{items: a.pos})
			}
			if len(a.pos) > 0 {
				return nil, r.failf("filter format: positional and keyword arguments cannot be mixed")
			}
			d, err := r.makeDict("format", a)
			if err != nil {
				return nil, err
			}
			return r.percent(s, d)
		}
	}
	return nil
}

func filterUnique(r *run, v value, p []value) (value, error) {
	return deferred(func() (iterator, error) { return r.unique(v, p) }), nil
}

func (r *run) unique(v value, p []value) (iterator, error) {
	get, err := r.getter(p[1], nil)
	if err != nil {
		return nil, err
	}
	next, err := r.iterate(v)
	if err != nil {
		return nil, err
	}
	seen := map[hashed]bool{}
	return func() (value, bool, error) {
		for {
			x, ok, err := next()
			if err != nil || !ok {
				return nil, false, err
			}
			key, err := get(x)
			if err != nil {
				return nil, false, err
			}
			if key, err = r.folded(key, p[0]); err != nil {
				return nil, false, err
			}
			h, err := r.hash(key)
			if err != nil {
				return nil, false, err
			}
			if !seen[h] {
				seen[h] = true
				return x, true, r.alloc(cellBytes)
			}
		}
	}, nil
}

func filterBatch(r *run, v value, p []value) (value, error) {
	return deferred(func() (iterator, error) { return r.batch(v, p) }), nil
}

func (r *run) batch(v value, p []value) (iterator, error) {
	n, err := r.intArg("filter batch", p[0], 0)
	if err != nil {
		return nil, err
	}
	next, err := r.iterate(v)
	if err != nil {
		return nil, err
	}
	done := false
	var ahead []value
	return func() (value, bool, error) {
		row := ahead
		for ahead = nil; !done; {
			x, ok, err := next()
			if err != nil {
				return nil, false, err
			}
			if !ok {
				done = true
				break
			}
			if err := r.alloc(cellBytes); err != nil {
				return nil, false, err
			}
			if len(row) == n {
				ahead = []value{x}
				return &list{items: row}, true, nil
			}
			row = append(row, x)
		}
		if len(row) == 0 {
			return nil, false, nil
		}
		if p[1] != missing && p[1] != nil && len(row) < n {
			if err := r.cells(n - len(row)); err != nil {
				return nil, false, err
			}
			for len(row) < n {
				row = append(row, p[1])
			}
		}
		return &list{items: row}, true, nil
	}, nil
}

func filterSlice(r *run, v value, p []value) (value, error) {
	return deferred(func() (iterator, error) { return r.slices(v, p) }), nil
}

func (r *run) slices(v value, p []value) (iterator, error) {
	n, err := r.intArg("filter slice", p[0], 0)
	if err != nil {
		return nil, err
	}
	items, err := r.collect(v)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, r.failf("filter slice: division by zero")
	}
	size, extra := len(items)/n, len(items)%n
	return over(max(n, 0), func(i int) value {
		lo := i*size + min(i, extra)
		hi := lo + size
		if i < extra {
			hi++
		}
		row := items[lo:hi:hi]
		if p[1] != missing && p[1] != nil && i >= extra {
			row = append(row, p[1])
		}
		return &list{items: row}
	}), nil
}

// deferred is a generator whose body, errors included, begins with the first
// element that is asked for.
func deferred(start func() (iterator, error)) *gen {
	var next iterator
	return &gen{func() (value, bool, error) {
		if next == nil {
			var err error
			if next, err = start(); err != nil {
				return nil, false, err
			}
		}
		return next()
	}}
}

// filterMap applies a filter, or looks up attribute=. What is false has no elements.
func filterMap(r *run, v value, a args) (value, error) {
	return deferred(func() (iterator, error) {
		if !truth(v) {
			return over(0, nil), nil
		}
		f, err := r.mapping(a)
		if err != nil {
			return nil, err
		}
		next, err := r.iterate(v)
		if err != nil {
			return nil, err
		}
		return func() (value, bool, error) {
			x, ok, err := next()
			if err != nil || !ok {
				return nil, false, err
			}
			y, err := f(x)
			return y, err == nil, err
		}, nil
	}), nil
}

// mapping is the function that the arguments of map describe.
func (r *run) mapping(a args) (func(value) (value, error), error) {
	if len(a.pos) == 0 && slices.Contains(a.names, "attribute") {
		p, err := r.params("filter map", a, 0, "attribute", "default")
		if err != nil {
			return nil, err
		}
		fallback := p[1]
		if fallback == missing {
			fallback = nil
		}
		return r.getter(p[0], fallback)
	}
	if len(a.pos) == 0 {
		return nil, r.failf("filter map: want the name of a filter, or attribute=")
	}
	name, err := r.textArg("filter map", a.pos[0])
	if err != nil {
		return nil, err
	}
	rest := args{pos: a.pos[1:], names: a.names, kw: a.kw}
	return func(x value) (value, error) {
		if err := r.enter(); err != nil {
			return nil, err
		}
		defer r.leave()
		return r.filter(name.s, x, rest)
	}, nil
}

// selected is select, reject, selectattr and rejectattr.
func (r *run) selected(name string, v value, a args) (value, error) {
	return deferred(func() (iterator, error) {
		if !truth(v) {
			return over(0, nil), nil
		}
		keep, err := r.selection(name, a)
		if err != nil {
			return nil, err
		}
		next, err := r.iterate(v)
		if err != nil {
			return nil, err
		}
		return func() (value, bool, error) {
			for {
				x, more, err := next()
				if err != nil || !more {
					return nil, false, err
				}
				if yes, err := keep(x); err != nil || yes {
					return x, err == nil, err
				}
			}
		}, nil
	}), nil
}

// selection is the condition that the arguments of select and its kin describe.
func (r *run) selection(name string, a args) (func(value) (bool, error), error) {
	get := func(x value) (value, error) { return x, nil }
	pos := a.pos
	if strings.HasSuffix(name, "attr") {
		if len(pos) == 0 {
			return nil, r.failf("filter %s: want the name of an attribute", name)
		}
		var err error
		if get, err = r.getter(pos[0], nil); err != nil {
			return nil, err
		}
		pos = pos[1:]
	}
	ok := func(x value) (bool, error) { return truth(x), nil }
	if len(pos) > 0 {
		test, err := r.textArg("filter "+name, pos[0])
		if err != nil {
			return nil, err
		}
		rest := args{pos: pos[1:], names: a.names, kw: a.kw}
		ok = func(x value) (bool, error) { return r.test(test.s, x, rest) }
	}
	keep := !strings.HasPrefix(name, "reject")
	return func(x value) (bool, error) {
		y, err := get(x)
		if err != nil {
			return false, err
		}
		yes, err := ok(y)
		return yes == keep, err
	}, nil
}
