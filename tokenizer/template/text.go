package template

// This file holds the interpreter's string: text, and which of its bytes came
// from a user. Every operation on strings is built from slices and a builder.

import (
	"sort"
	"strings"
	"unicode/utf8"
)

// span is a half-open range of bytes.
type span struct{ lo, hi int }

// str is an immutable string. Marks are sorted, disjoint and not empty; they say
// which bytes are user text, counted from the start of the string this one was cut
// from: the text begins at off there, and the first and the last mark may reach
// beyond it. So cutting copies nothing. Markup is what the filters safe and escape
// return: what is added to it gets escaped, as by MarkupSafe.
type str struct {
	s      string
	marks  []span
	off    int
	markup bool
}

// lit is text of the template.
func lit(s string) *str { return &str{s: s} }

// userText is text of a user.
func userText(s string) *str {
	if s == "" {
		return &str{}
	}
	return &str{s: s, marks: []span{{0, len(s)}}}
}

// slice is the bytes lo to hi with their marks.
func (s *str) slice(lo, hi int) *str {
	if lo == 0 && hi == len(s.s) {
		return s
	}
	out := &str{s: s.s[lo:hi], off: s.off + lo, markup: s.markup}
	if len(s.marks) > 0 {
		first := sort.Search(len(s.marks), func(i int) bool { return s.marks[i].hi > s.off+lo })
		end := sort.Search(len(s.marks), func(i int) bool { return s.marks[i].lo >= s.off+hi })
		out.marks = s.marks[first:max(first, end)]
	}
	return out
}

// asMarkup is the string with the markup flag as given.
func (s *str) asMarkup(on bool) *str {
	if s.markup == on {
		return s
	}
	return &str{s: s.s, marks: s.marks, off: s.off, markup: on}
}

// plain is the string without the markup flag.
func (s *str) plain() *str { return s.asMarkup(false) }

// pieces calls f with the longest parts that are all user text or all not.
func (s *str) pieces(f func(text string, user bool)) {
	at := 0
	for _, m := range s.marks {
		lo, hi := max(m.lo-s.off, 0), min(m.hi-s.off, len(s.s))
		if lo > at {
			f(s.s[at:lo], false)
		}
		f(s.s[lo:hi], true)
		at = hi
	}
	if at < len(s.s) {
		f(s.s[at:], false)
	}
}

// runes is the length in code points.
func (s *str) runes() int { return utf8.RuneCountInString(s.s) }

// byteAt is the offset of code point n, which is between 0 and runes().
func (s *str) byteAt(n int) int {
	at := 0
	for ; n > 0; n-- {
		_, size := utf8.DecodeRuneInString(s.s[at:])
		at += size
	}
	return at
}

// clean makes s valid UTF-8, which every string of the interpreter is.
func clean(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// builder collects text with its marks and charges what it holds. The first
// error stays; done returns it.
type builder struct {
	run    *run
	b      []byte
	marks  []span
	output bool // charged to the output, not to the memory
	err    error
}

func (b *builder) room(n int) bool {
	switch {
	case b.err != nil:
	case !b.output:
		b.err = b.run.alloc(n)
	case n > b.run.cfg.Output-len(b.b):
		b.err = &LimitError{Line: b.run.line, What: "output bytes", Limit: int64(b.run.cfg.Output)}
	}
	return b.err == nil
}

func (b *builder) mark(n int) {
	end := len(b.b)
	if k := len(b.marks); k > 0 && b.marks[k-1].hi == end-n {
		b.marks[k-1].hi = end
		return
	}
	if b.err = b.run.alloc(markBytes); b.err != nil {
		return
	}
	b.marks = append(b.marks, span{end - n, end})
}

// add appends text that is user text or not.
func (b *builder) add(s string, user bool) {
	if s == "" || !b.room(len(s)) {
		return
	}
	b.b = append(b.b, s...)
	if user {
		b.mark(len(s))
	}
}

// lit appends text of the template.
func (b *builder) lit(s string) { b.add(s, false) }

// str appends a string with its marks.
func (b *builder) str(s *str) {
	if len(s.marks) == 0 {
		b.add(s.s, false)
		return
	}
	s.pieces(b.add)
}

// done is what was collected.
func (b *builder) done() (*str, error) {
	if b.err != nil {
		return nil, b.err
	}
	return &str{s: string(b.b), marks: b.marks}, nil
}

func (r *run) builder() *builder { return &builder{run: r} }

// mapped applies f to each part; f must not look beyond a part.
func (r *run) mapped(s *str, f func(string) string) (*str, error) {
	if err := r.scan(len(s.s)); err != nil {
		return nil, err
	}
	b := r.builder()
	s.pieces(func(text string, user bool) { b.add(f(text), user) })
	out, err := b.done()
	if err != nil {
		return nil, err
	}
	return out.asMarkup(s.markup), nil
}

// escapeHTML replaces the five characters MarkupSafe replaces.
func (r *run) escapeHTML(s *str) (*str, error) {
	if s.markup {
		return s, nil
	}
	out, err := r.mapped(s, htmlEscaper.Replace)
	if err != nil {
		return nil, err
	}
	return out.asMarkup(true), nil
}

var htmlEscaper = strings.NewReplacer("&", "&amp;", ">", "&gt;", "<", "&lt;", "'", "&#39;", `"`, "&#34;")

// isSpace is Python's str.isspace for one character.
func isSpace(c rune) bool {
	switch {
	case c >= 0x09 && c <= 0x0d, c >= 0x1c && c <= 0x20, c == 0x85, c == 0xa0, c == 0x1680,
		c >= 0x2000 && c <= 0x200a, c == 0x2028, c == 0x2029, c == 0x202f, c == 0x205f, c == 0x3000:
		return true
	}
	return false
}

// isBreak is a line boundary of Python's str.splitlines.
func isBreak(c rune) bool {
	switch c {
	case '\n', '\r', '\v', '\f', 0x1c, 0x1d, 0x1e, 0x85, 0x2028, 0x2029:
		return true
	}
	return false
}
