// The normalizers of tokenizer.json: each rewrites a piece and keeps its alignment.

package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// normalizer rewrites a piece into st.spare(), or returns it as it is.
type normalizer interface {
	normalize(p piece, st *state) piece
}

// lowercase maps every character to its lower case.
type lowercase struct{}

var asciiLower, asciiSame, bertSpaces = func() (lower, same, spaces [utf8.RuneSelf]byte) {
	for i := range lower {
		b := byte(i)
		same[i], lower[i], spaces[i] = b, b, b
		if b >= 'A' && b <= 'Z' {
			lower[i] = b + 'a' - 'A'
		}
		if b == '\t' || b == '\n' || b == '\r' || b == '\v' || b == '\f' {
			spaces[i] = ' '
		}
	}
	return lower, same, spaces
}()

func (lowercase) normalize(p piece, st *state) piece {
	n := asciiLen(p.s)
	if n == len(p.s) {
		for i := range n {
			if asciiLower[p.s[i]] != p.s[i] {
				return mapBytes(p, st.spare(), &asciiLower)
			}
		}
		return p
	}
	w := newRewriter(p, st.spare(), st.track)
	for w.at < len(p.s) {
		if n := asciiLen(p.s[w.at:]); n > 0 {
			w.mapASCII(n, &asciiLower)
			continue
		}
		r, size := utf8.DecodeRuneInString(p.s[w.at:])
		if r == 'İ' {
			w.put('i', 0)
			w.put('\u0307', 1)
		} else {
			w.put(lowerRune(r), 0)
		}
		w.sync(size)
	}
	return w.piece()
}

// mapBytes rewrites an ASCII piece one to one: its alignment stays what it was.
func mapBytes(p piece, buf *buffer, table *[utf8.RuneSelf]byte) piece {
	buf.text = append(buf.text[:0], p.s...)
	for i, b := range buf.text {
		buf.text[i] = table[b]
	}
	p.s = view(buf.text)
	return p
}

// filter drops the characters that drop names and maps the others.
type filter struct {
	drop  func(rune) bool
	apply func(rune) rune // nil: as they are
}

func (f filter) normalize(p piece, st *state) piece {
	touched := false
	for _, r := range p.s {
		if f.drop(r) || f.apply != nil && f.apply(r) != r {
			touched = true
			break
		}
	}
	if !touched {
		return p
	}
	w := newRewriter(p, st.spare(), st.track)
	// A character is written when the next kept one is seen: it swallows what was dropped between.
	last, removed := rune(-1), 0
	for _, r := range p.s {
		if f.drop(r) {
			removed++
			continue
		}
		if last >= 0 {
			w.put(last, -removed)
		} else if st.track {
			w.skip(removed)
		}
		removed = 0
		if last = r; f.apply != nil {
			last = f.apply(r)
		}
	}
	if last >= 0 {
		w.put(last, -removed)
	}
	return w.piece()
}

// nmt is SentencePiece's nmt cleaning without its folding.
func nmt() normalizer {
	return filter{
		drop: func(r rune) bool {
			return r >= 1 && r <= 8 || r == 0x0B || r >= 0x0E && r <= 0x1F || r == 0x7F || r == 0x8F || r == 0x9F
		},
		apply: func(r rune) rune {
			switch {
			case r == '\t' || r == '\n' || r == '\f' || r == '\r' || r == 0x1680 || r >= 0x200B && r <= 0x200F ||
				r == 0x2028 || r == 0x2029 || r == 0x2581 || r == 0xFEFF || r == utf8.RuneError:
				return ' '
			}
			return r
		},
	}
}

// stripAccents drops combining marks; the text must be decomposed already.
func stripAccents() normalizer {
	return filter{drop: func(r rune) bool { return r >= utf8.RuneSelf && classTable.get(r)&classMark9 != 0 }}
}

// bert is BertNormalizer.
type bert struct {
	clean, chinese, accents, lower bool
	steps                          []normalizer
	ascii                          [utf8.RuneSelf]byte // one to one for ASCII text
	dropped                        [utf8.RuneSelf]bool // ASCII that is dropped
}

func newBert(clean, chinese, accents, lower bool, d unicodeForm) *bert {
	b := &bert{clean: clean, chinese: chinese, accents: accents, lower: lower, ascii: asciiSame}
	if clean {
		b.ascii = bertSpaces
		for r := range b.dropped {
			b.dropped[r] = asciiClass[r]&classBertCc != 0
		}
		b.steps = append(b.steps, filter{
			drop: func(r rune) bool { return classTable.get(r)&classBertCc != 0 },
			apply: func(r rune) rune {
				if classTable.get(r)&classSpace != 0 {
					return ' '
				}
				return r
			},
		})
	}
	if chinese {
		b.steps = append(b.steps, chineseSpaces{})
	}
	if accents {
		b.steps = append(b.steps, d, filter{drop: func(r rune) bool { return r >= utf8.RuneSelf && classTable.get(r)&classMark8 != 0 }})
	}
	if lower {
		b.steps = append(b.steps, lowercase{})
		for i, c := range b.ascii {
			b.ascii[i] = asciiLower[c]
		}
	}
	return b
}

func (b *bert) normalize(p piece, st *state) piece {
	plain := asciiLen(p.s) == len(p.s)
	for i := 0; plain && i < len(p.s); i++ {
		plain = !b.dropped[p.s[i]]
	}
	if plain {
		return mapBytes(p, st.spare(), &b.ascii)
	}
	for _, step := range b.steps {
		p = step.normalize(p, st)
	}
	return p
}

// chineseSpaces puts spaces around the ideographs BERT sets apart.
type chineseSpaces struct{}

func (chineseSpaces) normalize(p piece, st *state) piece {
	if strings.IndexFunc(p.s, isChinese) < 0 {
		return p
	}
	w := newRewriter(p, st.spare(), st.track)
	for w.at < len(p.s) {
		if n := asciiLen(p.s[w.at:]); n > 0 {
			w.copy(n)
			continue
		}
		r, size := utf8.DecodeRuneInString(p.s[w.at:])
		if isChinese(r) {
			w.put(' ', 0)
			w.put(r, 1)
			w.put(' ', 1)
		} else {
			w.put(r, 0)
		}
		w.sync(size)
	}
	return w.piece()
}

// replace puts content in place of every match of a literal or a class pattern.
type replace struct {
	pattern pattern
	content string
}

func (n replace) normalize(p piece, st *state) piece {
	start, end := n.pattern.find(p.s, 0)
	if start < 0 {
		return p
	}
	w := newRewriter(p, st.spare(), st.track)
	for start >= 0 {
		w.copy(start - w.at)
		w.at = end
		for _, r := range n.content {
			w.put(r, 1) // aligned with the last character of the match
		}
		start, end = n.pattern.find(p.s, end)
	}
	w.copy(len(p.s) - w.at)
	return w.piece()
}

// prepend puts text before a piece that is not empty; it is aligned with the first character.
type prepend string

func (n prepend) normalize(p piece, st *state) piece {
	return prefixed(p, string(n), st.spare(), st.track)
}

func prefixed(p piece, prefix string, buf *buffer, track bool) piece {
	if p.s == "" || prefix == "" {
		return p
	}
	w := newRewriter(p, buf, track)
	if track {
		at := w.here()
		for range len(prefix) {
			buf.al = append(buf.al, at)
		}
	}
	buf.text = append(buf.text, prefix...)
	w.copy(len(p.s))
	return w.piece()
}

// strip removes white space from the ends.
type strip struct{ left, right bool }

func (n strip) normalize(p piece, _ *state) piece {
	isSpace := func(r rune) bool { return classTable.get(r)&classSpace != 0 }
	s := p.s
	if n.left {
		s = strings.TrimLeftFunc(s, isSpace)
	}
	cut := len(p.s) - len(s)
	if n.right {
		s = strings.TrimRightFunc(s, isSpace)
	}
	if s == "" {
		return piece{base: p.base}
	}
	return p.slice(cut, cut+len(s))
}

// byteMap is the ByteLevel normalizer: every byte becomes its printable stand-in.
type byteMap struct{}

func (byteMap) normalize(p piece, st *state) piece {
	return mapped(p, st.spare(), st.track)
}

func mapped(p piece, buf *buffer, track bool) piece {
	w := newRewriter(p, buf, track)
	for i := 0; i < len(p.s); i++ {
		n := len(buf.text)
		buf.text = utf8.AppendRune(buf.text, byteRunes[p.s[i]])
		if track {
			at := p.origin(i, i+1)
			for ; n < len(buf.text); n++ {
				buf.al = append(buf.al, at)
			}
		}
	}
	return w.piece()
}

// byteRunes is GPT-2's printable stand-in for every byte; runeBytes leads back (-1: none).
var byteRunes, runeBytes = func() (runes [256]rune, bytes [0x144]int16) {
	for i := range bytes {
		bytes[i] = -1
	}
	next := rune(256)
	for b := range runes {
		r := rune(b)
		if r < '!' || r > '~' && r < 0xA1 || r == 0xAD {
			r = next
			next++
		}
		runes[b] = r
		bytes[r] = int16(b)
	}
	return runes, bytes
}()

// unmapByte returns the byte a stand-in means.
func unmapByte(r rune) (byte, bool) {
	if r < 0 || int(r) >= len(runeBytes) || runeBytes[r] < 0 {
		return 0, false
	}
	return byte(runeBytes[r]), true
}
