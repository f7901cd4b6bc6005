// SentencePiece's precompiled charsmap: a Darts double array over the UTF-8 of what
// is replaced, and the replacements, NUL-terminated, behind it.

package tokenizer

import (
	"encoding/binary"
	"errors"
	"strings"
	"unicode/utf8"
)

// charsmap is the Precompiled normalizer.
type charsmap struct {
	units []byte // little-endian uint32 each
	text  string
	ascii [utf8.RuneSelf]int32 // replacement of the ASCII character alone, as an offset into text; -1: stays
}

// newCharsmap checks the sizes; the array itself is bounds-checked while it is walked.
func newCharsmap(data []byte) (*charsmap, error) {
	if len(data) < 4 {
		return nil, errors.New("precompiled_charsmap: shorter than its own header")
	}
	n := uint64(binary.LittleEndian.Uint32(data)) &^ 3
	if n > uint64(len(data)-4) {
		return nil, errors.New("precompiled_charsmap: the array is longer than the data")
	}
	if n == 0 {
		return nil, errors.New("precompiled_charsmap: the array is empty")
	}
	m := &charsmap{units: data[4 : 4+n], text: string(data[4+n:])}
	if !utf8.ValidString(m.text) {
		return nil, errors.New("precompiled_charsmap: the replacements are not UTF-8")
	}
	for r := range m.ascii {
		m.ascii[r] = int32(m.shortest(string(rune(r))))
	}
	return m, nil
}

// unit returns the array's entry, zero where a damaged array leads outside.
func (m *charsmap) unit(i uint32) uint32 {
	if uint64(i)*4+4 > uint64(len(m.units)) {
		return 0
	}
	return binary.LittleEndian.Uint32(m.units[i*4:])
}

// shortest returns the offset of the replacement of the shortest prefix of s that has
// one, or -1. (SentencePiece itself takes the longest.)
func (m *charsmap) shortest(s string) int {
	unit := m.unit(0)
	at := unitOffset(unit)
	for i := 0; i < len(s) && s[i] != 0; i++ {
		at ^= uint32(s[i])
		unit = m.unit(at)
		if unit&(1<<31|0xFF) != uint32(s[i]) {
			return -1
		}
		at ^= unitOffset(unit)
		if unit>>8&1 == 1 {
			if v := m.unit(at) & (1<<31 - 1); int(v) <= len(m.text) {
				return int(v)
			}
			return -1
		}
	}
	return -1
}

func unitOffset(unit uint32) uint32 {
	return unit >> 10 << (unit & (1 << 9) >> 6)
}

// replacement is the text at an offset, up to its NUL.
func (m *charsmap) replacement(at int) string {
	s := m.text[at:]
	if n := strings.IndexByte(s, 0); n >= 0 {
		s = s[:n]
	}
	return s
}

// normalize replaces grapheme clusters of less than six bytes as a whole where they
// (or a prefix of them) have a replacement, and characters one by one elsewhere.
func (m *charsmap) normalize(p piece, st *state) piece {
	first := m.firstChange(p.s)
	if first == len(p.s) {
		return p
	}
	w := newRewriter(p, st.spare(), st.track)
	w.copy(first)
	r := charsmapWriter{w: &w, m: m}
	for i := first; i < len(p.s); {
		if b := p.s[i]; b < utf8.RuneSelf && b != '\r' && (i+1 == len(p.s) || p.s[i+1] < utf8.RuneSelf) {
			r.char(p.s[i:i+1], int(m.ascii[b]))
			i++
			continue
		}
		end := clusterEnd(p.s, i)
		if end-i < 6 {
			if at := m.shortest(p.s[i:end]); at >= 0 {
				r.char(p.s[i:end], at)
				i = end
				continue
			}
		}
		for i < end {
			_, size := utf8.DecodeRuneInString(p.s[i:])
			r.char(p.s[i:i+size], m.shortest(p.s[i:i+size]))
			i += size
		}
	}
	r.flush()
	return w.piece()
}

// firstChange returns where an ASCII prefix that stays as it is may be cut off:
// one character early, as that may belong to a cluster with what follows.
func (m *charsmap) firstChange(s string) int {
	i := 0
	for i < len(s) && s[i] < utf8.RuneSelf && m.ascii[s[i]] < 0 {
		i++
	}
	if i < len(s) && i > 0 {
		i--
	}
	return i
}

// charsmapWriter holds one character back, because a replacement by nothing is told
// as removed characters of the one before.
type charsmapWriter struct {
	w      *rewriter
	m      *charsmap
	last   rune
	change int
	have   bool
}

func (c *charsmapWriter) put(r rune, change int) {
	c.flush()
	c.last, c.change, c.have = r, change, true
}

func (c *charsmapWriter) flush() {
	if c.have {
		c.w.put(c.last, c.change)
		c.have = false
	}
}

// char writes old, or the replacement at an offset in its place.
func (c *charsmapWriter) char(old string, at int) {
	if at < 0 {
		r, _ := utf8.DecodeRuneInString(old)
		c.put(r, 0)
		return
	}
	text := c.m.replacement(at)
	added := utf8.RuneCountInString(text) - utf8.RuneCountInString(old)
	left := utf8.RuneCountInString(text)
	for _, r := range text {
		change := 0
		if left <= added {
			change = 1
		}
		left--
		c.put(r, change)
	}
	if added < 0 && c.have {
		c.change += added
	}
}
