package weights

// A JSON reader for headers and indexes: it reports duplicate keys to its
// callers, bounds the nesting and takes strings out of the text without copying
// them.

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
)

// maxDepth bounds the nesting of values nobody asks for.
const maxDepth = 32

// jsonText reads one JSON text from the front.
type jsonText struct {
	text string
	at   int
}

func (p *jsonText) failf(format string, args ...any) error {
	return fmt.Errorf("byte %d: %s", p.at, fmt.Sprintf(format, args...))
}

// peek skips white space and returns the next byte, 0 at the end.
func (p *jsonText) peek() byte {
	for ; p.at < len(p.text); p.at++ {
		switch c := p.text[p.at]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

// take skips white space and the byte c, which must follow.
func (p *jsonText) take(c byte) error {
	if got := p.peek(); got != c {
		if p.at == len(p.text) {
			return p.failf("the text ends, want %q", c)
		}
		return p.failf("%q, want %q", got, c)
	}
	p.at++
	return nil
}

// end checks that only white space is left.
func (p *jsonText) end() error {
	if p.peek(); p.at != len(p.text) {
		return p.failf("%q after the end of the object", p.text[p.at])
	}
	return nil
}

// list reads what is between an opening and a closing byte, calling item at the
// beginning of each comma-separated part.
func (p *jsonText) list(opening, closing byte, item func() error) error {
	if err := p.take(opening); err != nil {
		return err
	}
	if p.peek() == closing {
		p.at++
		return nil
	}
	for {
		if err := item(); err != nil {
			return err
		}
		if p.peek() == closing {
			p.at++
			return nil
		}
		if err := p.take(','); err != nil {
			return err
		}
	}
}

// object reads an object; member reads the value of each key.
func (p *jsonText) object(member func(key string) error) error {
	return p.list('{', '}', func() error {
		key, err := p.str()
		if err != nil {
			return err
		}
		if err := p.take(':'); err != nil {
			return err
		}
		return member(key)
	})
}

// str reads a string. Without escapes it is a part of the text.
func (p *jsonText) str() (string, error) {
	if err := p.take('"'); err != nil {
		return "", err
	}
	start := p.at
	escaped := false
	for ; p.at < len(p.text); p.at++ {
		switch c := p.text[p.at]; {
		case c == '"':
			s := p.text[start:p.at]
			p.at++
			if !escaped {
				return s, nil
			}
			var out string
			if err := json.Unmarshal([]byte(p.text[start-1:p.at]), &out); err != nil {
				return "", p.failf("string: %v", err)
			}
			return out, nil
		case c == '\\':
			escaped = true
			p.at++
		case c < ' ':
			return "", p.failf("control character in a string")
		}
	}
	return "", p.failf("the text ends inside a string")
}

// integer reads a number from 0 to 2^63-1 without sign, fraction or exponent.
func (p *jsonText) integer() (int64, error) {
	c := p.peek()
	if c < '0' || c > '9' {
		return 0, p.failf("%q, want a whole number of 0 or more", c)
	}
	start := p.at
	var n int64
	for ; p.at < len(p.text) && p.text[p.at] >= '0' && p.text[p.at] <= '9'; p.at++ {
		digit := int64(p.text[p.at] - '0')
		if n > (math.MaxInt64-digit)/10 {
			return 0, p.failf("number too large")
		}
		n = 10*n + digit
	}
	if p.text[start] == '0' && p.at > start+1 {
		return 0, p.failf("number with a leading zero")
	}
	if p.at < len(p.text) && strings.IndexByte(".eE", p.text[p.at]) >= 0 {
		return 0, p.failf("want a whole number")
	}
	return n, nil
}

// skip reads a value of any kind, nested at most depth deep.
func (p *jsonText) skip(depth int) error {
	if depth == 0 {
		return p.failf("nested more than %d deep", maxDepth)
	}
	switch c := p.peek(); c {
	case '{':
		return p.object(func(string) error { return p.skip(depth - 1) })
	case '[':
		return p.list('[', ']', func() error { return p.skip(depth - 1) })
	case '"':
		_, err := p.str()
		return err
	}
	start := p.at
	for p.at < len(p.text) && strings.IndexByte(",]} \t\n\r", p.text[p.at]) < 0 {
		p.at++
	}
	if word := p.text[start:p.at]; !json.Valid([]byte(word)) {
		p.at = start
		return p.failf("want a value")
	}
	return nil
}
