package template

// This file declares the values of the interpreter, which are Python's: their
// types, truth, length, iteration and hashing.

import (
	"fmt"
	"math"
	"math/big"
	"strings"
	"unicode/utf8"
)

// value is one of: nil (None), bool, int64, *big.Int (what int64 cannot hold),
// float64, *str, *list, *tuple, *dict, *view, *rng, *gen, *namespace, *function,
// *loop, *undefined.
type value any

type (
	list  struct{ items []value }
	tuple struct {
		items []value
		group bool // of groupby: .grouper and .list name the two items
	}
	// view is what keys(), values() and items() return.
	view struct {
		d    *dict
		kind string // "keys", "values", "items"
	}
	// rng is range(start, stop, step); n is its length.
	rng struct {
		start, stop, step int64
		n                 int
	}
	// gen is a generator: it can be consumed once.
	gen       struct{ next iterator }
	namespace struct{ d *dict }
	// undefined is jinja2's Undefined: it prints as nothing, and using it is an
	// error that says why.
	undefined struct{ why string }
	// function is anything callable.
	function struct {
		name  string
		macro bool
		call  func(r *run, a args) (value, error)
	}
	// args are evaluated arguments.
	args struct {
		pos   []value
		names []string
		kw    []value
	}
	// iterator returns elements until ok is false.
	iterator func() (v value, ok bool, err error)
)

// dict keeps the order of insertion.
type dict struct {
	keys, vals []value
	at         map[hashed]int
}

// hashed is a key such that two are equal where Python's are.
type hashed struct {
	kind byte
	i    int64
	s    string
}

// hash is the key of v, which must be hashable.
func (r *run) hash(v value) (hashed, error) {
	switch v := v.(type) {
	case nil:
		return hashed{kind: 'n'}, nil
	case bool:
		if v {
			return hashed{kind: 'i', i: 1}, nil
		}
		return hashed{kind: 'i'}, nil
	case int64:
		return hashed{kind: 'i', i: v}, nil
	case *big.Int:
		return hashed{kind: 'I', s: v.String()}, nil
	case float64:
		if v == math.Trunc(v) && !math.IsInf(v, 0) {
			b, _ := big.NewFloat(v).Int(nil)
			return r.hash(normInt(b))
		}
		return hashed{kind: 'f', i: int64(math.Float64bits(v))}, nil
	case *str:
		return hashed{kind: 's', s: v.s}, r.scan(len(v.s))
	case *undefined:
		return hashed{kind: 'u'}, nil
	case *tuple:
		if err := r.enter(); err != nil {
			return hashed{}, err
		}
		defer r.leave()
		var b strings.Builder
		for _, x := range v.items {
			h, err := r.hash(x)
			if err != nil {
				return hashed{}, err
			}
			if err := r.alloc(len(h.s) + cellBytes); err != nil {
				return hashed{}, err
			}
			fmt.Fprintf(&b, "%c%d:%d:%s", h.kind, h.i, len(h.s), h.s)
		}
		return hashed{kind: 't', s: b.String()}, nil
	case *list, *dict, *view:
		return hashed{}, r.failf("unhashable type: '%s'", typeName(v))
	}
	return hashed{kind: 'p', s: fmt.Sprintf("%p", v)}, nil
}

func newDict(n int) *dict {
	return &dict{keys: make([]value, 0, n), vals: make([]value, 0, n), at: make(map[hashed]int, n)}
}

// put sets d[k] = v.
func (r *run) put(d *dict, k, v value) error {
	h, err := r.hash(k)
	if err != nil {
		return err
	}
	if i, ok := d.at[h]; ok {
		d.vals[i] = v
		return nil
	}
	if err := r.cells(2); err != nil {
		return err
	}
	d.at[h] = len(d.keys)
	d.keys, d.vals = append(d.keys, k), append(d.vals, v)
	return nil
}

// text is d[name].
func (d *dict) text(name string) (value, bool) {
	i, ok := d.at[hashed{kind: 's', s: name}]
	if !ok {
		return nil, false
	}
	return d.vals[i], true
}

// lookup is d[k]; a key that cannot be hashed is an error.
func (r *run) lookup(d *dict, k value) (value, bool, error) {
	h, err := r.hash(k)
	if err != nil {
		return nil, false, err
	}
	i, ok := d.at[h]
	if !ok {
		return nil, false, nil
	}
	return d.vals[i], true, nil
}

func (v *view) item(i int) value {
	switch v.kind {
	case "keys":
		return v.d.keys[i]
	case "values":
		return v.d.vals[i]
	}
	return &tuple{items: []value{v.d.keys[i], v.d.vals[i]}}
}

// typeName is Python's name of v's type.
func typeName(v value) string {
	switch v := v.(type) {
	case nil:
		return "NoneType"
	case bool:
		return "bool"
	case int64, *big.Int:
		return "int"
	case float64:
		return "float"
	case *str:
		if v.markup {
			return "Markup"
		}
		return "str"
	case *list:
		return "list"
	case *tuple:
		return "tuple"
	case *dict:
		return "dict"
	case *view:
		return "dict_" + v.kind
	case *rng:
		return "range"
	case *gen:
		return "generator"
	case *namespace:
		return "Namespace"
	case *function:
		if v.macro {
			return "Macro"
		}
		return "function"
	case *loop:
		return "LoopContext"
	case *undefined:
		return "Undefined"
	}
	panic("template: value of an unknown type")
}

// owner is how messages about a missing attribute name v.
func owner(v value) string {
	if v == nil {
		return "None"
	}
	return typeName(v) + " object"
}

// truth is Python's bool(v).
func truth(v value) bool {
	switch v := v.(type) {
	case nil, *undefined:
		return false
	case bool:
		return v
	case int64:
		return v != 0
	case *big.Int:
		return true
	case float64:
		return v != 0
	}
	n, ok := length(v)
	return !ok || n > 0
}

// length is Python's len(v), if v has one.
func length(v value) (int, bool) {
	switch v := v.(type) {
	case *str:
		return v.runes(), true
	case *list:
		return len(v.items), true
	case *tuple:
		return len(v.items), true
	case *dict:
		return len(v.keys), true
	case *view:
		return len(v.d.keys), true
	case *rng:
		return v.n, true
	case *loop:
		if n, err := v.length(); err == nil {
			return n, true
		}
	case *undefined:
		return 0, true
	}
	return 0, false
}

// over iterates over n elements.
func over(n int, item func(i int) value) iterator {
	i := 0
	return func() (value, bool, error) {
		if i >= n {
			return nil, false, nil
		}
		i++
		return item(i - 1), true, nil
	}
}

// iterate is Python's iter(v); every element costs a step.
func (r *run) iterate(v value) (iterator, error) {
	var next iterator
	switch v := v.(type) {
	case *str:
		at := 0
		next = func() (value, bool, error) {
			if at >= len(v.s) {
				return nil, false, nil
			}
			_, size := utf8.DecodeRuneInString(v.s[at:])
			at += size
			return v.slice(at-size, at), true, r.alloc(cellBytes)
		}
	case *list:
		next = over(len(v.items), func(i int) value { return v.items[i] })
	case *tuple:
		next = over(len(v.items), func(i int) value { return v.items[i] })
	case *dict:
		next = over(len(v.keys), func(i int) value { return v.keys[i] })
	case *view:
		next = over(len(v.d.keys), v.item)
	case *rng:
		next = over(v.n, func(i int) value { return v.start + int64(i)*v.step })
	case *undefined:
		next = over(0, nil)
	case *gen:
		next = v.next
	default:
		return nil, r.failf("'%s' object is not iterable", typeName(v))
	}
	return func() (value, bool, error) {
		if err := r.step(1); err != nil {
			return nil, false, err
		}
		return next()
	}, nil
}

// collect is Python's list(v).
func (r *run) collect(v value) ([]value, error) {
	next, err := r.iterate(v)
	if err != nil {
		return nil, err
	}
	var out []value
	for {
		x, ok, err := next()
		if err != nil || !ok {
			return out, err
		}
		if err := r.alloc(cellBytes); err != nil {
			return nil, err
		}
		out = append(out, x)
	}
}

// isUndefined tells whether v is jinja2's Undefined.
func isUndefined(v value) bool {
	_, ok := v.(*undefined)
	return ok
}
