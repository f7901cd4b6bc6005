// A piece of text on its way through the pipeline, with the alignment that leads
// back to the original, and the writer that carries alignments through a rewrite.

package tokenizer

import (
	"unicode/utf8"
	"unsafe"
)

// span is a half-open range of bytes of the original text.
type span struct{ start, end int32 }

// piece is a part of the text after the steps so far. Its string may live in a
// scratch buffer of the state: it is valid until the step that made it runs again.
type piece struct {
	s    string
	al   []span // one span a byte of s; nil: byte i stands for the original byte base+i
	base int32  // where the piece starts in the original text
}

// slice is the part s[a:b], a < b.
func (p piece) slice(a, b int) piece {
	q := piece{s: p.s[a:b], base: p.base + int32(a)}
	if p.al != nil {
		q.al = p.al[a:b]
		q.base = q.al[0].start
	}
	return q
}

// origin is the range of the original text that s[a:b] stands for: whole characters.
func (p piece) origin(a, b int) span {
	if p.al != nil {
		if a >= b || b > len(p.al) {
			return span{p.base, p.base}
		}
		return span{p.al[a].start, p.al[b-1].end}
	}
	for a > 0 && a < len(p.s) && !utf8.RuneStart(p.s[a]) {
		a--
	}
	for b < len(p.s) && !utf8.RuneStart(p.s[b]) {
		b++
	}
	return span{p.base + int32(a), p.base + int32(b)}
}

// buffer is the scratch of one step.
type buffer struct {
	text  []byte
	al    []span
	limit int // put stops beyond it; the step's caller sees the length and fails
}

// view is the bytes as a string without a copy: it changes when the buffer is used again.
func view(b []byte) string {
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// rewriter writes a changed copy of a piece into a buffer. Changes are told the
// way Hugging Face tokenizers tells them, so that its alignments come out the same:
// each new character replaces one old one (0), is added after the one before (> 0),
// or replaces one and swallows the -n that follow.
type rewriter struct {
	src   piece
	buf   *buffer
	at    int // bytes of src consumed
	track bool
}

func newRewriter(src piece, buf *buffer, track bool) rewriter {
	buf.text = buf.text[:0]
	buf.al = buf.al[:0]
	return rewriter{src: src, buf: buf, track: track}
}

// skip consumes n characters of the source.
func (w *rewriter) skip(n int) {
	for ; n > 0 && w.at < len(w.src.s); n-- {
		_, size := utf8.DecodeRuneInString(w.src.s[w.at:])
		w.at += size
	}
}

// put appends r.
func (w *rewriter) put(r rune, change int) {
	n := len(w.buf.text)
	if n > w.buf.limit {
		return
	}
	w.buf.text = utf8.AppendRune(w.buf.text, r)
	if !w.track {
		return
	}
	var at span
	if change > 0 {
		at = w.before()
	} else {
		at = w.here()
		w.skip(1 - change)
	}
	for ; n < len(w.buf.text); n++ {
		w.buf.al = append(w.buf.al, at)
	}
}

// here is the span of the character about to be consumed.
func (w *rewriter) here() span {
	if w.at >= len(w.src.s) {
		return w.before()
	}
	return w.src.origin(w.at, w.at+1)
}

// before is the span of the last character consumed.
func (w *rewriter) before() span {
	if w.at < 1 {
		return span{w.src.base, w.src.base}
	}
	return w.src.origin(w.at-1, w.at)
}

// copy appends the next n bytes of the source unchanged.
func (w *rewriter) copy(n int) {
	end := w.at + n
	w.buf.text = append(w.buf.text, w.src.s[w.at:end]...)
	if w.track {
		if w.src.al != nil {
			w.buf.al = append(w.buf.al, w.src.al[w.at:end]...)
		} else {
			for i := w.at; i < end; {
				at := w.src.origin(i, i+1)
				for range at.end - at.start {
					w.buf.al = append(w.buf.al, at)
					i++
				}
			}
		}
	}
	w.at = end
}

// mapASCII appends the next n bytes, all ASCII, through table.
func (w *rewriter) mapASCII(n int, table *[utf8.RuneSelf]byte) {
	from := len(w.buf.text)
	w.copy(n)
	for i, b := range w.buf.text[from:] {
		w.buf.text[from+i] = table[b]
	}
}

// piece is the result. A source that was consumed one to one in bytes should be
// returned by its caller instead: nil alignments are cheaper.
func (w *rewriter) piece() piece {
	p := piece{s: view(w.buf.text), base: w.src.base}
	if w.track {
		p.al = w.buf.al
		if p.al == nil {
			p.al = []span{}
		}
	}
	return p
}

// sync moves to the end of a character of size bytes that was written with put: with
// alignments put has moved already.
func (w *rewriter) sync(size int) {
	if !w.track {
		w.at += size
	}
}
