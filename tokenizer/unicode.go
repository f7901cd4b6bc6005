// The frozen Unicode classes behind splitting and normalizing: lookups over the
// run tables of tables.go, unpacked once, when the first tokenizer is built.

package tokenizer

import (
	"sync"
	"unicode/utf8"
)

// Bits of classTable. The editions differ on purpose; tables.go says why.
const (
	classUpper  = 1 << iota // \p{Lu} \p{Lt}
	classLower              // \p{Ll}
	classOther              // \p{Lm} \p{Lo}
	classMark               // \p{M}
	classNumber             // \p{N}
	classPunct              // \p{P}
	classSymbol             // \p{S}
	classSpace              // White_Space, \s
	classDigits             // what the Digits pre-tokenizer splits: Nd, Nl, No, a newer edition than \p{N}
	classWord               // \w of the Rust regex crate
	classPunct8             // punctuation of Unicode 8 and ASCII: BertPreTokenizer, Punctuation
	classBertCc             // what BertNormalizer's clean_text drops: Unicode 8 control, format, private, NUL, U+FFFD
	classMark8              // nonspacing marks of Unicode 8: BertNormalizer's strip_accents
	classHan                // \p{Han}
	classMark9              // combining marks of Unicode 9: StripAccents
	classDigit              // \d, \p{Nd}

	classLetter = classUpper | classLower | classOther
)

// runeTable maps code points to 16 bits through 256-entry pages.
type runeTable struct {
	index [(utf8.MaxRune + 1) >> 8]uint16
	pages [][256]uint16
}

func (t *runeTable) get(r rune) uint16 {
	return t.pages[t.index[r>>8]][r&0xFF]
}

// unpack builds a table from (gap, length-1, value) varint triples.
func unpack(runs string) *runeTable {
	t := &runeTable{pages: make([][256]uint16, 1)}
	next := func() (v uint32) {
		for shift := 0; ; shift += 7 {
			b := runs[0]
			runs = runs[1:]
			v |= uint32(b&0x7F) << shift
			if b < 0x80 {
				return v
			}
		}
	}
	last := uint32(0)
	for len(runs) > 0 {
		lo := last + next()
		last = lo + next()
		value := uint16(next())
		for c := lo; c <= last; c++ {
			page := t.index[c>>8]
			if page == 0 {
				page = uint16(len(t.pages))
				t.pages = append(t.pages, [256]uint16{})
				t.index[c>>8] = page
			}
			t.pages[page][c&0xFF] = value
		}
	}
	return t.shared()
}

// shared folds equal pages into one, so that the whole of Han costs one page.
func (t *runeTable) shared() *runeTable {
	seen := make(map[[256]uint16]uint16, len(t.pages))
	var pages [][256]uint16
	for i, page := range t.index {
		p := t.pages[page]
		at, ok := seen[p]
		if !ok {
			at = uint16(len(pages))
			seen[p] = at
			pages = append(pages, p)
		}
		t.index[i] = at
	}
	t.pages = pages
	return t
}

var (
	classTable    *runeTable // class bits
	graphemeTable *runeTable // grapheme classes of grapheme.go
	lowerTable    *runeTable // code point XOR its lower case
	normTable     *runeTable // 1: normalization of Unicode 9 touches it
	asciiClass    [utf8.RuneSelf]uint16
	tablesOnce    sync.Once
)

// loadTables unpacks the tables; every constructor calls it before anything reads them.
func loadTables() {
	tablesOnce.Do(func() {
		classTable = unpack(classRuns)
		graphemeTable = unpack(graphemeRuns)
		lowerTable = unpack(lowerRuns)
		normTable = unpack(normRuns)
		for r := range asciiClass {
			asciiClass[r] = classTable.get(rune(r))
		}
		loadCompositions()
	})
}

// classAt returns the class bits of the character at s[i:] and its length in bytes.
func classAt(s string, i int) (class uint16, size int) {
	if b := s[i]; b < utf8.RuneSelf {
		return asciiClass[b], 1
	}
	r, size := utf8.DecodeRuneInString(s[i:])
	return classTable.get(r), size
}

// classBefore returns the class bits of the character that ends at s[:i].
func classBefore(s string, i int) (class uint16, size int) {
	r, size := utf8.DecodeLastRuneInString(s[:i])
	return classTable.get(r), size
}

// asciiLen returns the length of the leading run of ASCII in s.
func asciiLen(s string) int {
	i := 0
	for ; i+8 <= len(s); i += 8 {
		if (s[i]|s[i+1]|s[i+2]|s[i+3]|s[i+4]|s[i+5]|s[i+6]|s[i+7])&0x80 != 0 {
			break
		}
	}
	for i < len(s) && s[i] < utf8.RuneSelf {
		i++
	}
	return i
}

// lowerRune is the simple lower case; U+0130 alone has two characters and is its caller's.
func lowerRune(r rune) rune {
	return r ^ rune(lowerTable.get(r))
}

// isChinese reports the blocks that BERT sets apart, as in its reference tokenizer
// (and with Hugging Face's typing slip U+2B920 for U+2B820).
func isChinese(r rune) bool {
	return r >= 0x4E00 && r <= 0x9FFF || r >= 0x3400 && r <= 0x4DBF || r >= 0x20000 && r <= 0x2A6DF ||
		r >= 0x2A700 && r <= 0x2B73F || r >= 0x2B740 && r <= 0x2B81F || r >= 0x2B920 && r <= 0x2CEAF ||
		r >= 0xF900 && r <= 0xFAFF || r >= 0x2F800 && r <= 0x2FA1F
}
