package template

// This file holds attributes and methods of values other than strings, the
// functions every template has, and the binding of arguments to parameters.

import (
	"math"
	"slices"
	"time"
)

// missing stands for a parameter that was not given.
var missing value = &undefined{why: "missing"}

// params binds arguments to named parameters; the first need are required. What
// was not given is missing.
func (r *run) params(what string, a args, need int, names ...string) ([]value, error) {
	if len(a.pos) > len(names) {
		return nil, r.failf("%s: takes at most %d argument(s), got %d", what, len(names), len(a.pos))
	}
	out := make([]value, len(names))
	for i := range out {
		out[i] = missing
	}
	copy(out, a.pos)
	for i, n := range a.names {
		k := slices.Index(names, n)
		if k < 0 {
			return nil, r.failf("%s: unexpected keyword argument %q", what, n)
		}
		if k < len(a.pos) {
			return nil, r.failf("%s: argument %q is given twice", what, n)
		}
		out[k] = a.kw[i]
	}
	for i := range need {
		if out[i] == missing {
			return nil, r.failf("%s: argument %q is missing", what, names[i])
		}
	}
	return out, nil
}

// method makes a bound method with named parameters.
func method(name string, need int, names []string, f func(r *run, p []value) (value, error)) *function {
	return &function{name: name, call: func(r *run, a args) (value, error) {
		p, err := r.params(name, a, need, names...)
		if err != nil {
			return nil, err
		}
		return f(r, p)
	}}
}

// intArg is a parameter that must be an int; def stands in for missing and None.
func (r *run) intArg(what string, v value, def int) (int, error) {
	if v == missing || v == nil {
		return def, nil
	}
	i, ok := smallInt(v)
	if !ok {
		return 0, r.failf("%s: want an integer, not %s", what, typeName(v))
	}
	return int(min(max(i, math.MinInt32), math.MaxInt32)), nil
}

// textArg is a parameter that must be a string.
func (r *run) textArg(what string, v value) (*str, error) {
	s, ok := v.(*str)
	if !ok {
		return nil, r.failf("%s: want a string, not %s", what, typeName(v))
	}
	return s, nil
}

// attribute is Python's getattr(v, name). What a sandbox forbids is undefined, and
// calling it says so.
func (r *run) attribute(v value, name string) (value, bool, error) {
	switch v := v.(type) {
	case *undefined:
		return nil, false, r.failf("%s", v.why)
	case *namespace:
		x, ok := v.d.text(name)
		return x, ok, nil
	case *loop:
		return v.attr(name)
	case *str:
		if f := textMethod(v, name); f != nil {
			return f, true, nil
		}
	case *dict:
		if f := dictMethod(v, name); f != nil {
			return f, true, nil
		}
		if slices.Contains([]string{"clear", "pop", "popitem", "setdefault", "update"}, name) {
			return forbidden(v, name), true, nil
		}
	case *list:
		if f := itemsMethod(v, v.items, name); f != nil {
			return f, true, nil
		}
		if slices.Contains([]string{"append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove"}, name) {
			return forbidden(v, name), true, nil
		}
	case *tuple:
		if v.group && name == "grouper" {
			return v.items[0], true, nil
		}
		if v.group && name == "list" {
			return v.items[1], true, nil
		}
		if f := itemsMethod(v, v.items, name); f != nil {
			return f, true, nil
		}
	case float64:
		if name == "is_integer" {
			return method(name, 0, nil, func(*run, []value) (value, error) { return v == math.Trunc(v), nil }), true, nil
		}
	}
	return nil, false, nil
}

func forbidden(v value, name string) value {
	return &undefined{why: "access to attribute '" + name + "' of '" + typeName(v) + "' object is unsafe: templates cannot change values"}
}

func dictMethod(d *dict, name string) *function {
	switch name {
	case "keys", "values", "items":
		return method(name, 0, nil, func(*run, []value) (value, error) { return &view{d: d, kind: name}, nil })
	case "copy":
		return method(name, 0, nil, func(*run, []value) (value, error) { return d, nil })
	case "get":
		return method(name, 1, []string{"key", "default"}, func(r *run, p []value) (value, error) {
			v, ok, err := r.lookup(d, p[0])
			if ok || err != nil {
				return v, err
			}
			if p[1] == missing {
				return nil, nil
			}
			return p[1], nil
		})
	}
	return nil
}

// itemsMethod is a method of a list or tuple.
func itemsMethod(v value, items []value, name string) *function {
	switch name {
	case "copy":
		if _, ok := v.(*list); ok {
			return method(name, 0, nil, func(*run, []value) (value, error) { return v, nil })
		}
	case "count":
		return method(name, 1, []string{"value"}, func(r *run, p []value) (value, error) {
			n := int64(0)
			for _, x := range items {
				if err := r.step(1); err != nil {
					return nil, err
				}
				same, err := r.equal(x, p[0])
				if err != nil {
					return nil, err
				}
				if same {
					n++
				}
			}
			return n, nil
		})
	case "index":
		return method(name, 1, []string{"value", "start", "stop"}, func(r *run, p []value) (value, error) {
			lo, hi, err := r.window(name, p[1], p[2], len(items))
			if err != nil {
				return nil, err
			}
			for i := lo; i < hi; i++ {
				if err := r.step(1); err != nil {
					return nil, err
				}
				if same, err := r.equal(items[i], p[0]); err != nil || same {
					return int64(i), err
				}
			}
			return nil, r.failf("index: the value is not in the %s", typeName(v))
		})
	}
	return nil
}

// window is the range start:stop of n elements, clamped as Python clamps it.
func (r *run) window(what string, start, stop value, n int) (lo, hi int, err error) {
	if lo, err = r.intArg(what, start, 0); err != nil {
		return 0, 0, err
	}
	if hi, err = r.intArg(what, stop, n); err != nil {
		return 0, 0, err
	}
	clamp := func(i int) int {
		if i < 0 {
			i += n
		}
		return min(max(i, 0), n)
	}
	if lo > n {
		return n + 1, n, nil
	}
	return clamp(lo), clamp(hi), nil
}

// global is a function every template has, nil for other names.
func global(name string) *function {
	var f func(r *run, a args) (value, error)
	switch name {
	case "range":
		f = makeRange
	case "dict":
		f = func(r *run, a args) (value, error) { return r.makeDict("dict", a) }
	case "namespace":
		f = func(r *run, a args) (value, error) {
			d, err := r.makeDict("namespace", a)
			if err != nil {
				return nil, err
			}
			ns := &namespace{d: newDict(len(d.keys))}
			for i, k := range d.keys {
				s, ok := k.(*str)
				if !ok {
					return nil, r.failf("namespace: names must be strings, not %s", typeName(k))
				}
				if err := r.setAttr(ns, s.s, d.vals[i]); err != nil {
					return nil, err
				}
			}
			return ns, nil
		}
	case "raise_exception":
		return method(name, 1, []string{"message"}, func(r *run, p []value) (value, error) {
			s, err := r.text(p[0])
			if err != nil {
				return nil, err
			}
			return nil, &RaisedError{Line: r.line, Message: s.s}
		})
	case "strftime_now":
		return method(name, 1, []string{"format"}, func(r *run, p []value) (value, error) {
			s, err := r.textArg("strftime_now", p[0])
			if err != nil {
				return nil, err
			}
			now := r.cfg.Now
			if now.IsZero() {
				now = time.Now()
			}
			b := r.builder()
			s.pieces(func(text string, user bool) { b.add(strftime(text, now), user) })
			return b.done()
		})
	case "joiner":
		f = makeJoiner
	default:
		return nil
	}
	return &function{name: name, call: f}
}

func makeRange(r *run, a args) (value, error) {
	if len(a.kw) > 0 || len(a.pos) == 0 || len(a.pos) > 3 {
		return nil, r.failf("range: want one to three integers")
	}
	var n [3]int64
	for i, v := range a.pos {
		if u, ok := v.(*undefined); ok {
			return nil, r.failf("%s", u.why)
		}
		var ok bool
		if n[i], ok = smallInt(v); !ok {
			return nil, r.failf("range: '%s' object cannot be interpreted as an integer", typeName(v))
		}
	}
	g := &rng{start: n[0], stop: n[1], step: 1}
	switch len(a.pos) {
	case 1:
		g.start, g.stop = 0, n[0]
	case 3:
		g.step = n[2]
	}
	if g.step == 0 {
		return nil, r.failf("range: step must not be zero")
	}
	// Spans and steps as uint64 cannot overflow.
	var span, step uint64
	if g.step > 0 && g.stop > g.start {
		span, step = uint64(g.stop)-uint64(g.start), uint64(g.step)
	} else if g.step < 0 && g.stop < g.start {
		span, step = uint64(g.start)-uint64(g.stop), -uint64(g.step)
	}
	if span == 0 {
		return g, nil
	}
	count := (span-1)/step + 1
	if count > maxRange {
		return nil, &LimitError{Line: r.line, What: "elements of a range", Limit: maxRange}
	}
	g.n = int(count)
	return g, nil
}

// makeDict is Python's dict(mapping or pairs, **names).
func (r *run) makeDict(what string, a args) (*dict, error) {
	if len(a.pos) > 1 {
		return nil, r.failf("%s: takes at most 1 positional argument, got %d", what, len(a.pos))
	}
	d := newDict(len(a.kw))
	if len(a.pos) == 1 {
		if src, ok := a.pos[0].(*dict); ok {
			for i, k := range src.keys {
				if err := r.put(d, k, src.vals[i]); err != nil {
					return nil, err
				}
			}
		} else {
			next, err := r.iterate(a.pos[0])
			if err != nil {
				return nil, err
			}
			for {
				pair, ok, err := next()
				if err != nil {
					return nil, err
				}
				if !ok {
					break
				}
				kv, err := r.unpack(pair, 2)
				if err != nil {
					return nil, err
				}
				if err := r.put(d, kv[0], kv[1]); err != nil {
					return nil, err
				}
			}
		}
	}
	for i, n := range a.names {
		if err := r.put(d, lit(n), a.kw[i]); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// makeJoiner returns a function that prints its separator from the second call on.
func makeJoiner(r *run, a args) (value, error) {
	p, err := r.params("joiner", a, 0, "sep")
	if err != nil {
		return nil, err
	}
	sep := p[0]
	if sep == missing {
		sep = lit(", ")
	}
	used := false
	return method("joiner", 0, nil, func(*run, []value) (value, error) {
		if !used {
			used = true
			return lit(""), nil
		}
		return sep, nil
	}), nil
}
