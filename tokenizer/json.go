// A reader for the large parts of tokenizer.json, a vocabulary of a million entries:
// one pass, no tree. Small parts are cut out and left to encoding/json.

package tokenizer

import (
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth is how deep values may nest; real files stay under ten.
const maxDepth = 64

// reader is a cursor over JSON. The first error stays and stops everything.
type reader struct {
	data []byte
	at   int
	err  error
	buf  []byte // unescaped text
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("byte %d: %s", r.at, fmt.Sprintf(format, args...))
	}
}

// peek skips white space and returns the next byte, 0 at the end.
func (r *reader) peek() byte {
	for r.at < len(r.data) {
		switch b := r.data[r.at]; b {
		case ' ', '\t', '\n', '\r':
			r.at++
		default:
			return b
		}
	}
	return 0
}

// take consumes b.
func (r *reader) take(b byte) bool {
	if r.err == nil && r.peek() == b && r.at < len(r.data) {
		r.at++
		return true
	}
	return false
}

func (r *reader) want(b byte) {
	if !r.take(b) {
		r.fail("want %q", string(rune(b)))
	}
}

// object calls field for each key; field must consume the value. The key is valid until then.
func (r *reader) object(field func(key []byte)) {
	r.want('{')
	if r.take('}') {
		return
	}
	for r.err == nil {
		key := r.text()
		r.want(':')
		if r.err != nil {
			return
		}
		field(key)
		if !r.take(',') {
			r.want('}')
			return
		}
	}
}

// array calls element for each; element must consume it.
func (r *reader) array(element func(i int)) {
	r.want('[')
	if r.take(']') {
		return
	}
	for i := 0; r.err == nil; i++ {
		element(i)
		if !r.take(',') {
			r.want(']')
			return
		}
	}
}

// text reads a string. The result points into the data or into a buffer that the next call reuses.
func (r *reader) text() []byte {
	r.want('"')
	start := r.at
	for r.err == nil && r.at < len(r.data) {
		switch b := r.data[r.at]; {
		case b == '"':
			s := r.data[start:r.at]
			r.at++
			if !utf8.Valid(s) {
				r.fail("a string is not UTF-8")
			}
			return s
		case b == '\\':
			return r.escaped(start)
		case b < ' ':
			r.fail("a control character in a string")
		}
		r.at++
	}
	r.fail("a string has no end")
	return nil
}

// escaped reads on from the first backslash.
func (r *reader) escaped(start int) []byte {
	r.buf = append(r.buf[:0], r.data[start:r.at]...)
	for r.err == nil && r.at < len(r.data) {
		b := r.data[r.at]
		r.at++
		switch {
		case b == '"':
			if !utf8.Valid(r.buf) {
				r.fail("a string is not UTF-8")
			}
			return r.buf
		case b == '\\':
			r.escape()
		case b < ' ':
			r.fail("a control character in a string")
		default:
			r.buf = append(r.buf, b)
		}
	}
	r.fail("a string has no end")
	return nil
}

func (r *reader) escape() {
	if r.at >= len(r.data) {
		return
	}
	b := r.data[r.at]
	r.at++
	switch b {
	case '"', '\\', '/':
		r.buf = append(r.buf, b)
	case 'b':
		r.buf = append(r.buf, '\b')
	case 'f':
		r.buf = append(r.buf, '\f')
	case 'n':
		r.buf = append(r.buf, '\n')
	case 'r':
		r.buf = append(r.buf, '\r')
	case 't':
		r.buf = append(r.buf, '\t')
	case 'u':
		c := r.hex4()
		if utf16.IsSurrogate(c) {
			if r.at+1 < len(r.data) && r.data[r.at] == '\\' && r.data[r.at+1] == 'u' {
				r.at += 2
				c = utf16.DecodeRune(c, r.hex4())
			} else {
				c = utf8.RuneError
			}
			if c == utf8.RuneError {
				r.fail("half a surrogate pair")
			}
		}
		r.buf = utf8.AppendRune(r.buf, c)
	default:
		r.fail("unknown escape \\%c", b)
	}
}

func (r *reader) hex4() rune {
	if r.at+4 > len(r.data) {
		r.fail("a string has no end")
		return 0
	}
	v := rune(0)
	for _, b := range r.data[r.at : r.at+4] {
		d := hexDigit(b)
		if d < 0 {
			r.fail("not a hexadecimal digit: %q", string(rune(b)))
			return 0
		}
		v = v<<4 | rune(d)
	}
	r.at += 4
	return v
}

// number returns the text of a number.
func (r *reader) number() []byte {
	r.peek()
	start := r.at
	for r.at < len(r.data) {
		b := r.data[r.at]
		if b >= '0' && b <= '9' || b == '-' || b == '+' || b == '.' || b == 'e' || b == 'E' {
			r.at++
			continue
		}
		break
	}
	if start == r.at {
		r.fail("want a number")
	}
	return r.data[start:r.at]
}

// id reads a token id.
func (r *reader) id() int32 {
	s := r.number()
	v := int64(0)
	for _, b := range s {
		if b < '0' || b > '9' || v > 1<<31 {
			r.fail("token id %.20q is not a number from 0 to 2147483647", s)
			return 0
		}
		v = v*10 + int64(b-'0')
	}
	if v >= 1<<31 || len(s) > 1 && s[0] == '0' {
		r.fail("token id %.20q is not a number from 0 to 2147483647", s)
		return 0
	}
	return int32(v)
}

func (r *reader) float() float64 {
	s := r.number()
	v, err := strconv.ParseFloat(string(s), 64)
	if err != nil || s[0] == '+' || s[0] == '.' {
		r.fail("%.20q is not a number", s)
	}
	return v
}

// skip passes over any value and returns its bytes. It checks no more than nesting and strings.
func (r *reader) skip() []byte {
	r.peek()
	start := r.at
	depth := 0
	for r.err == nil {
		switch b := r.peek(); b {
		case '{', '[':
			r.at++
			if depth++; depth > maxDepth {
				r.fail("values nest deeper than %d", maxDepth)
			}
			continue
		case '}', ']':
			if depth == 0 {
				r.fail("want a value")
				return nil
			}
			r.at++
			depth--
		case ',', ':':
			if depth == 0 {
				r.fail("want a value")
				return nil
			}
			r.at++
			continue
		case '"':
			r.text()
		case 0:
			r.fail("the data end inside a value")
		default:
			from := r.at
			for r.at < len(r.data) && wordByte(r.data[r.at]) {
				r.at++
			}
			if from == r.at {
				r.fail("unexpected %q", string(rune(b)))
			}
		}
		if depth == 0 {
			break
		}
	}
	if r.err != nil {
		return nil
	}
	return r.data[start:r.at]
}

// wordByte reports the bytes of numbers and of true, false and null.
func wordByte(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b == '-' || b == '+' || b == '.' || b == 'E'
}
