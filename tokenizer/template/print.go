package template

// This file writes values as text: Python's str() and repr(), and tojson as
// json.dumps writes it.

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// display appends str(v). Errors stay in b.
func (r *run) display(b *builder, v value) {
	switch v := v.(type) {
	case *str:
		b.str(v)
	case *undefined:
	default:
		r.repr(b, v)
	}
}

// text is str(v).
func (r *run) text(v value) (*str, error) {
	if s, ok := v.(*str); ok {
		return s.plain(), nil
	}
	return r.softText(v)
}

// softText is str(v), but keeps markup.
func (r *run) softText(v value) (*str, error) {
	if s, ok := v.(*str); ok {
		return s, nil
	}
	b := r.builder()
	r.display(b, v)
	return b.done()
}

// repr appends repr(v). Errors stay in b.
func (r *run) repr(b *builder, v value) {
	if b.err != nil {
		return
	}
	if b.err = r.enter(); b.err != nil {
		return
	}
	defer r.leave()
	switch v := v.(type) {
	case nil:
		b.lit("None")
	case bool:
		if v {
			b.lit("True")
		} else {
			b.lit("False")
		}
	case int64:
		b.lit(strconv.FormatInt(v, 10))
	case *big.Int:
		b.lit(v.String())
	case float64:
		b.lit(floatText(v))
	case *str:
		if v.markup {
			b.lit("Markup(")
			defer b.lit(")")
		}
		r.quote(b, v)
	case *list:
		r.reprItems(b, "[", v.items, "]")
	case *tuple:
		if len(v.items) == 1 {
			r.reprItems(b, "(", v.items, ",)")
		} else {
			r.reprItems(b, "(", v.items, ")")
		}
	case *dict:
		r.reprDict(b, v)
	case *view:
		items := make([]value, 0, min(len(v.d.keys), 1))
		if b.err = r.cells(len(v.d.keys)); b.err != nil {
			return
		}
		for i := range v.d.keys {
			items = append(items, v.item(i))
		}
		r.reprItems(b, typeName(v)+"([", items, "])")
	case *rng:
		b.lit(fmt.Sprintf("range(%d, %d", v.start, v.stop))
		if v.step != 1 {
			b.lit(fmt.Sprintf(", %d", v.step))
		}
		b.lit(")")
	case *namespace:
		b.lit("<Namespace ")
		r.reprDict(b, v.d)
		b.lit(">")
	case *undefined:
		b.lit("Undefined")
	case *loop:
		n, err := v.length()
		if b.err == nil {
			b.err = err
		}
		b.lit(fmt.Sprintf("<LoopContext %d/%d>", v.index0+1, n))
	case *function:
		if v.macro {
			b.lit("<Macro '" + v.name + "'>")
		} else {
			b.lit("<function " + v.name + ">")
		}
	default:
		b.lit("<" + typeName(v) + " object>")
	}
}

func (r *run) reprItems(b *builder, open string, items []value, end string) {
	b.lit(open)
	for i, x := range items {
		if i > 0 {
			b.lit(", ")
		}
		r.repr(b, x)
	}
	b.lit(end)
}

func (r *run) reprDict(b *builder, d *dict) {
	b.lit("{")
	for i, k := range d.keys {
		if i > 0 {
			b.lit(", ")
		}
		r.repr(b, k)
		b.lit(": ")
		r.repr(b, d.vals[i])
	}
	b.lit("}")
}

// quote appends repr of a string: single quotes unless only those occur in it.
func (r *run) quote(b *builder, s *str) {
	if b.err == nil {
		b.err = r.scan(len(s.s))
	}
	q := byte('\'')
	if strings.Contains(s.s, "'") && !strings.Contains(s.s, `"`) {
		q = '"'
	}
	b.lit(string(q))
	s.pieces(func(text string, user bool) {
		start := 0
		for i, c := range text {
			esc := pyEscape(c, q)
			if esc == "" {
				continue
			}
			b.add(text[start:i], user)
			b.add(esc, user)
			start = i + utf8.RuneLen(c)
		}
		b.add(text[start:], user)
	})
	b.lit(string(q))
}

// pyEscape is how repr writes c between quotes q, "" for c itself.
func pyEscape(c rune, q byte) string {
	switch {
	case c == '\\' || c == rune(q):
		return `\` + string(c)
	case c == '\n':
		return `\n`
	case c == '\r':
		return `\r`
	case c == '\t':
		return `\t`
	case c >= ' ' && c < 0x7f, c > 0x7f && unicode.IsPrint(c):
		return ""
	case c < 0x100:
		return fmt.Sprintf(`\x%02x`, c)
	case c < 0x10000:
		return fmt.Sprintf(`\u%04x`, c)
	}
	return fmt.Sprintf(`\U%08x`, c)
}

// floatText is Python's repr of a float: the shortest digits that round-trip, with
// an exponent below 1e-4 and from 1e16.
func floatText(f float64) string {
	switch {
	case math.IsNaN(f):
		return "nan"
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	}
	e := strconv.FormatFloat(f, 'e', -1, 64)
	exp, _ := strconv.Atoi(e[strings.IndexByte(e, 'e')+1:])
	if exp < -4 || exp >= 16 {
		return e
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// jsonWriter writes json.dumps of a value.
type jsonWriter struct {
	r           *run
	b           *builder
	ascii, sort bool
	pretty      bool
	indent      *str // of one level, if pretty
	item, key   *str // separators
}

func (w *jsonWriter) fail(err error) {
	if w.b.err == nil {
		w.b.err = err
	}
}

func (w *jsonWriter) write(v value, depth int) {
	if w.b.err != nil {
		return
	}
	if err := w.r.enter(); err != nil {
		w.fail(err)
		return
	}
	defer w.r.leave()
	switch v := v.(type) {
	case nil, bool, int64, *big.Int, float64:
		s, _ := jsonScalar(v)
		w.b.lit(s)
	case *str:
		w.quote(v)
	case *list:
		w.array(v.items, depth)
	case *tuple:
		w.array(v.items, depth)
	case *dict:
		w.object(v, depth)
	default:
		w.fail(w.r.failf("tojson: object of type %s is not JSON serializable", typeName(v)))
	}
}

// jsonScalar is the text of None, a bool or a number.
func jsonScalar(v value) (string, bool) {
	switch v := v.(type) {
	case nil:
		return "null", true
	case bool:
		return strconv.FormatBool(v), true
	case int64:
		return strconv.FormatInt(v, 10), true
	case *big.Int:
		return v.String(), true
	case float64:
		switch {
		case math.IsNaN(v):
			return "NaN", true
		case math.IsInf(v, 0):
			return strings.Replace(strings.Replace(floatText(v), "inf", "Infinity", 1), "+", "", 1), true
		}
		return floatText(v), true
	}
	return "", false
}

func (w *jsonWriter) newline(depth int) {
	if !w.pretty {
		return
	}
	w.b.lit("\n")
	for range depth {
		w.b.str(w.indent)
	}
}

func (w *jsonWriter) array(items []value, depth int) {
	w.b.lit("[")
	for i, x := range items {
		if i > 0 {
			w.b.str(w.item)
		}
		w.newline(depth + 1)
		w.write(x, depth+1)
	}
	if len(items) > 0 {
		w.newline(depth)
	}
	w.b.lit("]")
}

func (w *jsonWriter) object(d *dict, depth int) {
	order := make([]int, len(d.keys))
	for i := range order {
		order[i] = i
	}
	if w.sort {
		if err := w.r.sortIndexes(order, d.keys, false); err != nil {
			w.fail(err)
		}
	}
	w.b.lit("{")
	for n, i := range order {
		if n > 0 {
			w.b.str(w.item)
		}
		w.newline(depth + 1)
		if k, ok := d.keys[i].(*str); ok {
			w.quote(k)
		} else if s, ok := jsonScalar(d.keys[i]); ok {
			w.b.lit(`"` + s + `"`)
		} else {
			w.fail(w.r.failf("tojson: keys must be str, int, float, bool or None, not %s", typeName(d.keys[i])))
		}
		w.b.str(w.key)
		w.write(d.vals[i], depth+1)
	}
	if len(order) > 0 {
		w.newline(depth)
	}
	w.b.lit("}")
}

func (w *jsonWriter) quote(s *str) {
	if err := w.r.scan(len(s.s)); err != nil {
		w.fail(err)
	}
	w.b.lit(`"`)
	s.pieces(func(text string, user bool) {
		start := 0
		for i, c := range text {
			esc := w.escape(c)
			if esc == "" {
				continue
			}
			w.b.add(text[start:i], user)
			w.b.add(esc, user)
			start = i + utf8.RuneLen(c)
		}
		w.b.add(text[start:], user)
	})
	w.b.lit(`"`)
}

// escape is how JSON writes c in a string, "" for c itself.
func (w *jsonWriter) escape(c rune) string {
	switch c {
	case '"':
		return `\"`
	case '\\':
		return `\\`
	case '\n':
		return `\n`
	case '\r':
		return `\r`
	case '\t':
		return `\t`
	case '\f':
		return `\f`
	case '\b':
		return `\b`
	}
	switch {
	case c < ' ', w.ascii && c >= 0x7f && c < 0x10000:
		return fmt.Sprintf(`\u%04x`, c)
	case w.ascii && c >= 0x10000:
		c -= 0x10000
		return fmt.Sprintf(`\u%04x\u%04x`, 0xd800+c>>10, 0xdc00+c&0x3ff)
	}
	return ""
}
