package template

// This file is the border between Go values and the interpreter's: what callers
// pass in, the ordered Map, the User marker, and JSON with its key order.

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"reflect"
	"slices"
	"strconv"
)

// User is text that did not come from the template's author: what people, tools
// and models wrote. Render marks every byte of it in its segments.
type User string

// Pair is one entry of a [Map].
type Pair struct {
	Key   string
	Value any  // as Render takes them
	User  bool // the key itself is user text, as the names in a tool call's arguments are
}

// Map is a mapping that keeps the order of its keys, which templates print. The
// zero Map is empty. It must not be changed while Render reads it.
type Map struct {
	pairs []Pair
	at    map[string]int
}

// NewMap makes a map of pairs; of two with the same key the later value is kept
// in the earlier place.
func NewMap(pairs ...Pair) *Map {
	m := &Map{}
	for _, p := range pairs {
		m.put(p)
	}
	return m
}

func (m *Map) put(p Pair) {
	if m.at == nil {
		m.at = map[string]int{}
	}
	if i, ok := m.at[p.Key]; ok {
		m.pairs[i].Value = p.Value
		return
	}
	m.at[p.Key] = len(m.pairs)
	m.pairs = append(m.pairs, p)
}

// Set adds an entry at the end, or replaces the value of one that exists.
func (m *Map) Set(key string, v any) { m.put(Pair{Key: key, Value: v}) }

// Get returns the value of a key.
func (m *Map) Get(key string) (any, bool) {
	i, ok := m.at[key]
	if !ok {
		return nil, false
	}
	return m.pairs[i].Value, true
}

// Len is the number of entries.
func (m *Map) Len() int { return len(m.pairs) }

// Pairs returns a copy of the entries in their order.
func (m *Map) Pairs() []Pair { return slices.Clone(m.pairs) }

const maxValueDepth = 512

var errDeepValue = &LimitError{What: "levels of nesting in a value", Limit: maxValueDepth}

// DecodeJSON decodes one JSON value: objects as *Map with their key order, arrays
// as []any, numbers as int64, *big.Int or float64, as Python's json module tells
// them apart. Duplicate keys: the last value, in the first place. Values may nest
// 512 deep, and integers may have 4300 digits.
func DecodeJSON(data []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	v, err := decodeValue(d, 0)
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("template: JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("template: JSON: something follows the value")
	}
	return v, nil
}

func decodeValue(d *json.Decoder, depth int) (any, error) {
	if depth > maxValueDepth {
		return nil, errDeepValue
	}
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case json.Delim:
		if t == '{' {
			return decodeObject(d, depth)
		}
		list := []any{}
		for d.More() {
			v, err := decodeValue(d, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := d.Token()
		return list, err
	case json.Number:
		return decodeNumber(string(t))
	}
	return t, nil
}

func decodeObject(d *json.Decoder, depth int) (any, error) {
	m := &Map{}
	for d.More() {
		k, err := d.Token()
		if err != nil {
			return nil, err
		}
		v, err := decodeValue(d, depth+1)
		if err != nil {
			return nil, err
		}
		m.Set(k.(string), v)
	}
	_, err := d.Token()
	return m, err
}

func decodeNumber(s string) (any, error) {
	for i := range len(s) {
		if c := s[i]; c == '.' || c == 'e' || c == 'E' {
			f, err := strconv.ParseFloat(s, 64)
			if err != nil && !math.IsInf(f, 0) {
				return nil, err
			}
			return f, nil
		}
	}
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		return i, nil
	}
	if len(s) > 4300 {
		return nil, fmt.Errorf("an integer of %d digits, at most 4300 are read", len(s))
	}
	b, _ := new(big.Int).SetString(s, 10)
	return b, nil
}

// MarkUser returns a copy of v, a value as Render takes them, in which every
// string and every key is user text.
func MarkUser(v any) any { return markUser(v, 0) }

func markUser(v any, depth int) any {
	if depth > maxValueDepth {
		return v // Render refuses it
	}
	switch v := v.(type) {
	case string:
		return User(v)
	case []string:
		out := make([]any, len(v))
		for i, s := range v {
			out[i] = User(s)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = markUser(x, depth+1)
		}
		return out
	case []*Map:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = markUser(x, depth+1)
		}
		return out
	case map[string]any:
		return markUser(sorted(v), depth)
	case *Map:
		if v == nil {
			return v
		}
		out := &Map{}
		for _, p := range v.pairs {
			out.put(Pair{Key: p.Key, Value: markUser(p.Value, depth+1), User: true})
		}
		return out
	}
	return v
}

// sorted is m in the order of its keys, as Go's maps have none.
func sorted(m map[string]any) *Map {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	out := &Map{}
	for _, k := range keys {
		out.Set(k, m[k])
	}
	return out
}

// take turns a caller's value into the interpreter's. The caller's data is not
// charged to the memory budget: it exists already.
func (r *run) take(v any, depth int) (value, error) {
	if depth > maxValueDepth {
		return nil, errDeepValue
	}
	if err := r.step(1); err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case nil:
		return nil, nil
	case bool, int64:
		return v, nil
	case string:
		return lit(clean(v)), nil
	case User:
		return userText(clean(string(v))), nil
	case json.Number:
		return decodeNumber(string(v))
	case *big.Int:
		if v == nil {
			return nil, nil
		}
		if v.BitLen() > maxIntBits {
			return nil, &LimitError{What: "bits of an integer", Limit: maxIntBits}
		}
		return normInt(new(big.Int).Set(v)), nil
	case *Map:
		return r.takeMap(v, depth)
	case map[string]any:
		return r.takeMap(sorted(v), depth)
	}
	return r.takeReflect(reflect.ValueOf(v), depth)
}

func (r *run) takeMap(m *Map, depth int) (value, error) {
	if m == nil {
		return nil, nil
	}
	d := newDict(len(m.pairs))
	for _, p := range m.pairs {
		v, err := r.take(p.Value, depth+1)
		if err != nil {
			return nil, err
		}
		k := lit(clean(p.Key))
		if p.User {
			k = userText(k.s)
		}
		h := hashed{kind: 's', s: k.s}
		if i, ok := d.at[h]; ok { // two keys that differ in invalid bytes only
			d.vals[i] = v
			continue
		}
		d.at[h] = len(d.keys)
		d.keys, d.vals = append(d.keys, k), append(d.vals, v)
	}
	return d, nil
}

// takeReflect handles the remaining numbers, and slices of anything.
func (r *run) takeReflect(v reflect.Value, depth int) (value, error) {
	switch v.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return v.Int(), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return normInt(new(big.Int).SetUint64(v.Uint())), nil
	case reflect.Float32, reflect.Float64:
		return v.Float(), nil
	case reflect.Slice, reflect.Array:
		l := &list{items: make([]value, v.Len())}
		for i := range l.items {
			x, err := r.take(v.Index(i).Interface(), depth+1)
			if err != nil {
				return nil, err
			}
			l.items[i] = x
		}
		return l, nil
	}
	return nil, fmt.Errorf("template: a variable has the Go type %s; want nil, bool, a number, string, template.User, a slice, *template.Map or map[string]any", v.Type())
}
