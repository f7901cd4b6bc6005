package template

// This file maps case as Python does: full mappings, the final sigma, and the
// word boundaries of str.title. Marks follow every character.

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

func upperRune(c rune) string {
	if s, ok := upperSpecial[c]; ok {
		return s
	}
	return string(unicode.ToUpper(c))
}

func titleRune(c rune) string {
	if s, ok := titleSpecial[c]; ok {
		return s
	}
	return string(unicode.ToTitle(c))
}

// isCased tells whether case is a property of c.
func isCased(c rune) bool {
	return unicode.IsUpper(c) || unicode.IsLower(c) || unicode.IsTitle(c) ||
		unicode.Is(unicode.Other_Lowercase, c) || unicode.Is(unicode.Other_Uppercase, c)
}

// caseIgnorable is close to Unicode's Case_Ignorable: marks, format characters,
// modifiers, and the punctuation inside words.
func caseIgnorable(c rune) bool {
	return strings.ContainsRune("'.:^`\u00a8\u00ad\u00af\u00b4\u00b7\u00b8\u2018\u2019\u2024\u2027", c) ||
		unicode.In(c, unicode.Mn, unicode.Me, unicode.Cf, unicode.Lm, unicode.Sk)
}

// lowerAt is the lower case of c, which is at byte i of text: a sigma that ends a
// word has its own form.
func lowerAt(text string, i int, c rune) string {
	switch c {
	case 0x130:
		return "i\u0307"
	case 0x3a3:
		before, after := false, false
		for j := i; j > 0; {
			d, size := utf8.DecodeLastRuneInString(text[:j])
			if j -= size; !caseIgnorable(d) {
				before = isCased(d)
				break
			}
		}
		for _, d := range text[i+2:] {
			if !caseIgnorable(d) {
				after = isCased(d)
				break
			}
		}
		if before && !after {
			return "\u03c2"
		}
	}
	return string(unicode.ToLower(c))
}

// eachRune rewrites every character with f, which sees the whole text.
func (r *run) eachRune(s *str, f func(i int, c rune) string) (*str, error) {
	if err := r.step(len(s.s)/16 + 1); err != nil {
		return nil, err
	}
	b := r.builder()
	at := 0
	s.pieces(func(text string, user bool) {
		var out strings.Builder
		for i, c := range text {
			out.WriteString(f(at+i, c))
		}
		at += len(text)
		b.add(out.String(), user)
	})
	out, err := b.done()
	if err != nil {
		return nil, err
	}
	return out.asMarkup(s.markup), nil
}

func (r *run) upper(s *str) (*str, error) {
	return r.eachRune(s, func(_ int, c rune) string { return upperRune(c) })
}

func (r *run) lower(s *str) (*str, error) {
	return r.eachRune(s, func(i int, c rune) string { return lowerAt(s.s, i, c) })
}

// title is str.title: a cased character after one that is not gets title case.
func (r *run) title(s *str) (*str, error) {
	inWord := false
	return r.eachRune(s, func(i int, c rune) string {
		first := !inWord
		inWord = isCased(c)
		if first {
			return titleRune(c)
		}
		return lowerAt(s.s, i, c)
	})
}

// titleWords is the filter title: words begin at the start and after whitespace,
// hyphens and opening brackets.
func (r *run) titleWords(s *str) (*str, error) {
	start := true
	return r.eachRune(s, func(i int, c rune) string {
		first := start
		start = isSpace(c) || strings.ContainsRune("-({[<", c)
		if first {
			return upperRune(c)
		}
		return lowerAt(s.s, i, c)
	})
}

func (r *run) capitalize(s *str) (*str, error) {
	return r.eachRune(s, func(i int, c rune) string {
		if i == 0 {
			return titleRune(c)
		}
		return lowerAt(s.s, i, c)
	})
}

func (r *run) swapcase(s *str) (*str, error) {
	return r.eachRune(s, func(i int, c rune) string {
		switch {
		case unicode.IsUpper(c):
			return lowerAt(s.s, i, c)
		case unicode.IsLower(c):
			return upperRune(c)
		}
		return string(c)
	})
}

// isUpper: at least one cased character, and none in lower or title case.
func isUpper(s string) bool {
	cased := false
	for _, c := range s {
		if unicode.IsLower(c) || unicode.IsTitle(c) || unicode.Is(unicode.Other_Lowercase, c) {
			return false
		}
		cased = cased || isCased(c)
	}
	return cased
}

// isLower: at least one cased character, and none in upper or title case.
func isLower(s string) bool {
	cased := false
	for _, c := range s {
		if unicode.IsUpper(c) || unicode.IsTitle(c) || unicode.Is(unicode.Other_Uppercase, c) {
			return false
		}
		cased = cased || isCased(c)
	}
	return cased
}

// isTitle: upper case at the start of words only, and at least one word.
func isTitle(s string) bool {
	cased, inWord := false, false
	for _, c := range s {
		upper := unicode.IsUpper(c) || unicode.IsTitle(c)
		switch {
		case upper && inWord, !upper && unicode.IsLower(c) && !inWord:
			return false
		case upper || unicode.IsLower(c):
			inWord, cased = true, true
		default:
			inWord = false
		}
	}
	return cased
}
