// SentencePiece's normalizer and decoder: the charsmap by longest match, spaces collapsed
// and escaped, the prefix in front; and the way back.

package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// spNormalizer rewrites a text as SentencePiece's Normalizer does.
type spNormalizer struct {
	charsmap *charsmap // nil: identity
	defined  *trie     // user-defined pieces, which stay as they are; nil: none
	prefix   bool
	squeeze  bool
	escape   bool
	suffix   bool
}

// longest returns the offset of the replacement of the longest prefix of s that has one,
// and the length of that prefix, or 0. (HF tokenizers takes the shortest.)
func (m *charsmap) longest(s string) (at, size int) {
	next := unitOffset(m.unit(0))
	for i := range len(s) {
		next ^= uint32(s[i])
		unit := m.unit(next)
		if unit&(1<<31|0xFF) != uint32(s[i]) {
			break
		}
		next ^= unitOffset(unit)
		if unit>>8&1 == 1 {
			if v := m.unit(next) & (1<<31 - 1); int(v) <= len(m.text) {
				at, size = int(v), i+1
			}
		}
	}
	return at, size
}

// longestText is the length of the longest text of the trie at the start of s, or 0.
func (t *trie) longestText(s string) int {
	size := 0
	for node, i := int32(0), 0; i < len(s); {
		if node = t.child(node, s[i]); node == 0 {
			break
		}
		if i++; t.value[node] >= 0 {
			size = i
		}
	}
	return size
}

// next normalizes the start of s: a user-defined piece, what the charsmap knows, or one
// character. size is how many bytes of s that is.
func (n *spNormalizer) next(s string) (text string, size int) {
	if n.defined != nil {
		if size = n.defined.longestText(s); size > 0 {
			return s[:size], size
		}
	}
	if n.charsmap != nil {
		if b := s[0]; b < utf8.RuneSelf && n.charsmap.ascii[b] < 0 && (len(s) == 1 || s[1] < utf8.RuneSelf) {
			return s[:1], 1
		}
		if at, size := n.charsmap.longest(s); size > 0 {
			return n.charsmap.replacement(at), size
		}
	}
	_, size = utf8.DecodeRuneInString(s)
	return s[:size], size
}

func (n *spNormalizer) normalize(p piece, st *state) piece {
	w := spWriter{buf: st.spare(), escape: n.escape, track: st.track}
	w.buf.text, w.buf.al = w.buf.text[:0], w.buf.al[:0]
	i := 0
	for n.squeeze && i < len(p.s) {
		text, size := n.next(p.s[i:])
		if text != " " {
			break
		}
		i += size
	}
	if i == len(p.s) {
		return piece{base: p.base}
	}
	if n.prefix && !n.suffix {
		start := p.origin(i, i+1).start
		w.space(span{start, start})
	}
	after := n.squeeze // what was written last ended with a space
	plain := n.charsmap == nil && n.defined == nil
	for i < len(p.s) && len(w.buf.text) <= w.buf.limit {
		if plain && p.s[i] != ' ' {
			size := strings.IndexByte(p.s[i:], ' ')
			if size < 0 {
				size = len(p.s) - i
			}
			w.copy(p, i, size)
			i += size
			after = false
			continue
		}
		text, size := n.next(p.s[i:])
		if after {
			text = strings.TrimLeft(text, " ")
		}
		if text == p.s[i:i+size] { // each character stands for itself
			for k, r := range text {
				n := utf8.RuneLen(r)
				w.write(text[k:k+n], p.origin(i+k, i+k+n))
			}
		} else {
			w.write(text, p.origin(i, i+size))
		}
		if text != "" {
			after = n.squeeze && strings.HasSuffix(text, " ")
		}
		i += size
	}
	if n.squeeze {
		w.trim()
	}
	if n.prefix && n.suffix {
		end := p.origin(len(p.s)-1, len(p.s)).end
		w.space(span{end, end})
	}
	out := piece{s: view(w.buf.text), base: p.base}
	if st.track {
		out.al = w.buf.al
	}
	return out
}

// spWriter writes normalized text into a buffer with its alignment.
type spWriter struct {
	buf    *buffer
	escape bool
	track  bool
}

func (w *spWriter) raw(text string, at span) {
	w.buf.text = append(w.buf.text, text...)
	if w.track {
		for range len(text) {
			w.buf.al = append(w.buf.al, at)
		}
	}
}

func (w *spWriter) space(at span) {
	if w.escape {
		w.raw(spaceSymbol, at)
	} else {
		w.raw(" ", at)
	}
}

// write appends text that stands for a range of the original.
func (w *spWriter) write(text string, at span) {
	for w.escape {
		before, after, found := strings.Cut(text, " ")
		if !found {
			break
		}
		w.raw(before, at)
		w.space(at)
		text = after
	}
	w.raw(text, at)
}

// copy appends bytes of the source as they are.
func (w *spWriter) copy(p piece, i, size int) {
	w.buf.text = append(w.buf.text, p.s[i:i+size]...)
	if !w.track {
		return
	}
	for end := i + size; i < end; {
		_, n := utf8.DecodeRuneInString(p.s[i:])
		at := p.origin(i, i+n)
		for range n {
			w.buf.al = append(w.buf.al, at)
		}
		i += n
	}
}

// trim takes spaces off the end.
func (w *spWriter) trim() {
	space := " "
	if w.escape {
		space = spaceSymbol
	}
	for strings.HasSuffix(view(w.buf.text), space) {
		w.buf.text = w.buf.text[:len(w.buf.text)-len(space)]
		if w.track {
			w.buf.al = w.buf.al[:len(w.buf.text)]
		}
	}
}

// pieceDecoder is the decoder of SentencePiece: bytes by character, the unknown piece as
// its surface, U+2581 as a space, without the space that the prefix has put in front.
type pieceDecoder struct {
	unk, surface string
	bytes        bool // <0x00> … <0xFF> are bytes
	strip        bool // a space symbol at the start of the first piece goes
	every        bool // and at that of the pieces that follow, while there is no text
}

// push takes a piece. In st: bytes of an unfinished character; full: there is text; cut:
// space symbols that were dropped.
func (p *pieceDecoder) push(d *Decoder, k int, st *stage, text string) {
	if b, ok := byteToken(text); ok && p.bytes {
		st.bytes = append(st.bytes, b)
		p.characters(d, k, st, false)
		return
	}
	p.characters(d, k, st, true)
	if text == p.unk {
		st.full = st.full || p.surface != ""
		d.feed(k+1, p.surface)
		return
	}
	if p.strip && !st.full && (st.cut == 0 || p.every) && strings.HasPrefix(text, spaceSymbol) {
		text = text[len(spaceSymbol):]
		st.cut++
	}
	if text != "" {
		st.full = true
		d.feed(k+1, strings.ReplaceAll(text, spaceSymbol, " "))
	}
}

// characters gives out the characters that the bytes make, and U+FFFD for each byte that
// belongs to none. Without end an unfinished one stays.
func (p *pieceDecoder) characters(d *Decoder, k int, st *stage, end bool) {
	for len(st.bytes) > 0 && (end || utf8.FullRune(st.bytes)) {
		r, n := utf8.DecodeRune(st.bytes)
		st.full = true
		d.feed(k+1, string(r))
		st.bytes = append(st.bytes[:0], st.bytes[n:]...)
	}
}

// piece is the bytes that a piece stands for inside a text.
func (p *pieceDecoder) piece(text string) []byte {
	if b, ok := byteToken(text); ok && p.bytes {
		return []byte{b}
	}
	if text == p.unk {
		return []byte(p.surface)
	}
	return []byte(strings.ReplaceAll(text, spaceSymbol, " "))
}
