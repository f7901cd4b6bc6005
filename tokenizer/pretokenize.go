// The pre-tokenizers: each cuts a piece and hands the parts to the next step.

package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// preTokenizer cuts p into parts and calls st.next(k+1, part) for each, in order.
// k is its place in the chain, st.pre[k] its scratch.
type preTokenizer interface {
	split(p piece, st *state, k int)
}

// behavior is what becomes of the matches of a split.
type behavior uint8

const (
	isolated behavior = iota
	removed
	mergedWithPrevious
	mergedWithNext
	contiguous
)

var behaviors = map[string]behavior{
	"Isolated": isolated, "Removed": removed, "MergedWithPrevious": mergedWithPrevious, "MergedWithNext": mergedWithNext, "Contiguous": contiguous,
}

// splitter is Split: cut at the matches of a pattern, or with invert at what lies between.
type splitter struct {
	pattern  pattern
	behavior behavior
	invert   bool
}

func (p splitter) split(in piece, st *state, k int) {
	c := cutter{in: in, st: st, k: k, behavior: p.behavior}
	for at := 0; at < len(in.s); {
		start, end := p.pattern.find(in.s, at)
		if start < 0 {
			start, end = len(in.s), len(in.s)
		}
		if start > at {
			c.see(start, p.invert)
		}
		if end > start {
			c.see(end, !p.invert)
		}
		at = end
	}
	c.done()
}

// cutter applies a behavior to consecutive stretches, matches or not.
type cutter struct {
	in       piece
	st       *state
	k        int
	behavior behavior
	start    int  // of the part being collected
	end      int  // of it; equal to start: none
	match    bool // the last stretch was a match
}

// see takes the stretch from the end of the last one to end.
func (c *cutter) see(end int, match bool) {
	join := false
	switch c.behavior {
	case removed:
		if match {
			c.done()
			c.start, c.end = end, end
			return
		}
	case mergedWithPrevious:
		join = match && !c.match
	case mergedWithNext:
		join = c.match && !match
	case contiguous:
		join = match == c.match
	}
	if !join {
		c.done()
	}
	c.end = end
	c.match = match
}

func (c *cutter) done() {
	if c.end > c.start {
		c.st.next(c.k+1, c.in.slice(c.start, c.end))
	}
	c.start = c.end
}

// bits cuts at every character of a class.
type bitsPattern uint16

func (b bitsPattern) find(s string, from int) (start, end int) {
	for i := from; i < len(s); {
		class, n := classAt(s, i)
		if class&uint16(b) != 0 {
			return i, i + n
		}
		i += n
	}
	return -1, -1
}

// bertSplit is BertPreTokenizer: white space removed, punctuation set apart.
type bertSplit struct{}

func (bertSplit) split(p piece, st *state, k int) {
	s := p.s
	for i := 0; i < len(s); {
		class, n := classAt(s, i)
		end := i + n
		switch {
		case class&classSpace != 0:
			i = end
			continue
		case class&classPunct8 == 0:
			end = runNot(s, end, classSpace|classPunct8)
		}
		st.next(k+1, p.slice(i, end))
		i = end
	}
}

// words is Whitespace: \w+|[^\w\s]+.
type words struct{}

func (words) split(p piece, st *state, k int) {
	s := p.s
	for i := 0; i < len(s); {
		class, n := classAt(s, i)
		end := i + n
		switch {
		case class&classWord != 0:
			end = run(s, end, classWord)
		case class&classSpace != 0:
			i = end
			continue
		default:
			end = runNot(s, end, classWord|classSpace)
		}
		st.next(k+1, p.slice(i, end))
		i = end
	}
}

// fixedLength cuts into parts of so many characters.
type fixedLength int

func (n fixedLength) split(p piece, st *state, k int) {
	start, count := 0, 0
	for i := range p.s {
		if count == int(n) {
			st.next(k+1, p.slice(start, i))
			start, count = i, 0
		}
		count++
	}
	if start < len(p.s) {
		st.next(k+1, p.slice(start, len(p.s)))
	}
}

// byteLevel is ByteLevel: a space before the piece, GPT-2's split, bytes as printable
// characters. In a chain that ends with it the model reads the bytes themselves: raw.
type byteLevel struct {
	prefixSpace bool
	gpt2        bool // split as GPT-2 does
	raw         bool
}

func (b byteLevel) split(p piece, st *state, k int) {
	if b.prefixSpace && !strings.HasPrefix(p.s, " ") {
		p = prefixed(p, " ", &st.pre[k][0], st.track)
	}
	if !b.gpt2 {
		b.emit(p, st, k)
		return
	}
	for i := 0; i < len(p.s); {
		end := scanGPT2(p.s, i)
		b.emit(p.slice(i, end), st, k)
		i = end
	}
}

func (b byteLevel) emit(p piece, st *state, k int) {
	if !b.raw {
		p = mapped(p, &st.pre[k][1], st.track)
	}
	st.next(k+1, p)
}

// metaspace is Metaspace: spaces become the replacement, one is put in front, and the
// text is cut before each.
type metaspace struct {
	replacement string
	scheme      string // "always", "first", "never"
	cut         bool
}

func (m metaspace) split(p piece, st *state, k int) {
	if strings.IndexByte(p.s, ' ') >= 0 {
		w := newRewriter(p, &st.pre[k][0], st.track)
		r, _ := utf8.DecodeRuneInString(m.replacement)
		for {
			n := strings.IndexByte(p.s[w.at:], ' ')
			if n < 0 {
				break
			}
			w.copy(n)
			w.put(r, 0)
			w.sync(1)
		}
		w.copy(len(p.s) - w.at)
		p = w.piece()
	}
	if !strings.HasPrefix(p.s, m.replacement) && (m.scheme == "always" || m.scheme == "first" && p.base == 0) {
		p = prefixed(p, m.replacement, &st.pre[k][1], st.track)
	}
	if !m.cut {
		st.next(k+1, p)
		return
	}
	for start := 0; start < len(p.s); {
		from := start
		if strings.HasPrefix(p.s[start:], m.replacement) {
			from += len(m.replacement)
		}
		end := len(p.s)
		if n := strings.Index(p.s[from:], m.replacement); n >= 0 {
			end = from + n
		}
		st.next(k+1, p.slice(start, end))
		start = end
	}
}
