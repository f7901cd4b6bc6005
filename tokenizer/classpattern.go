// The small patterns of Split and Replace: one class or character with a quantifier, a
// fixed sequence of them, or one that is optional before another, as \p{N}{1,3},
// [0-9][0-9][0-9], " {2,}" or \s?[A-Za-z]+.

package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// charClass is a set of characters.
type charClass struct {
	ranges [][2]rune
	bits   uint16
	negate bool
	ascii  [utf8.RuneSelf]bool // the answers for ASCII, once done
	done   bool
}

func (c *charClass) has(r rune) bool {
	if r < utf8.RuneSelf && c.done {
		return c.ascii[r]
	}
	in := c.bits != 0 && classTable.get(r)&c.bits != 0
	for i := 0; !in && i < len(c.ranges); i++ {
		in = r >= c.ranges[i][0] && r <= c.ranges[i][1]
	}
	return in != c.negate
}

// finish fills in the answers for ASCII.
func (c *charClass) finish() {
	for r := range c.ascii {
		c.ascii[r] = c.has(rune(r))
	}
	c.done = true
}

// counted is a class, least to most times.
type counted struct {
	class       charClass
	least, most int
}

// classPattern matches its parts one after the other, each as often as it can.
type classPattern []counted

func (p classPattern) find(s string, from int) (start, end int) {
	for i := from; i < len(s); {
		if end, ok := p.match(s, i); ok {
			return i, end
		}
		_, size := utf8.DecodeRuneInString(s[i:])
		i += size
	}
	return -1, -1
}

func (p classPattern) match(s string, i int) (end int, ok bool) {
	for k := range p {
		c := &p[k]
		n := 0
		for n < c.most && i < len(s) {
			r, size := utf8.DecodeRuneInString(s[i:])
			if !c.class.has(r) {
				break
			}
			i += size
			n++
		}
		if n < c.least {
			return 0, false
		}
	}
	return i, true
}

// maxPatternLen is the most characters that a match may need.
const maxPatternLen = 256

const unlimited = 1 << 30

// optionalPattern is X?Y+: y alone also where x could take its first character and none is left.
type optionalPattern struct{ x, y counted }

func (p optionalPattern) find(s string, from int) (start, end int) {
	y := classPattern{p.y}
	for i := from; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if p.x.class.has(r) {
			if end, ok := y.match(s, i+size); ok {
				return i, end
			}
		}
		if end, ok := y.match(s, i); ok {
			return i, end
		}
		i += size
	}
	return -1, -1
}

// parseClassPattern reads such a pattern; ok is false for anything it would have to guess at.
// Quantifiers that leave a choice stand alone, or at the end behind one optional character:
// greedy matching then needs no more backtracking than optionalPattern does.
func parseClassPattern(regex string) (pattern, bool) {
	var p classPattern
	total := 0
	for rest := regex; rest != ""; {
		var c counted
		var ok bool
		if c.class, rest, ok = parseClass(rest); !ok {
			return nil, false
		}
		if c.least, c.most, rest, ok = parseQuantifier(rest); !ok {
			return nil, false
		}
		c.class.finish()
		p = append(p, c)
		if total += c.least; total > maxPatternLen {
			return nil, false
		}
	}
	if len(p) == 2 && p[0].least == 0 && p[1].least == 1 {
		return optionalPattern{p[0], p[1]}, true
	}
	for _, c := range p {
		if c.least == 0 || len(p) > 1 && c.least != c.most {
			return nil, false
		}
	}
	return p, len(p) > 0
}

func parseQuantifier(s string) (least, most int, rest string, ok bool) {
	least, most = 1, 1
	switch {
	case strings.HasPrefix(s, "+"):
		most, s = unlimited, s[1:]
	case strings.HasPrefix(s, "?"):
		least, s = 0, s[1:]
	case strings.HasPrefix(s, "{"):
		end := strings.IndexByte(s, '}')
		if end < 0 {
			return 0, 0, "", false
		}
		a, b, ranged := strings.Cut(s[1:end], ",")
		if least, ok = smallNumber(a); !ok || least == 0 {
			return 0, 0, "", false
		}
		switch {
		case !ranged:
			most = least
		case b == "":
			most = unlimited
		default:
			if most, ok = smallNumber(b); !ok || most < least {
				return 0, 0, "", false
			}
		}
		s = s[end+1:]
	}
	if s != "" && strings.IndexByte("+*?{", s[0]) >= 0 {
		return 0, 0, "", false
	}
	return least, most, s, true
}

func smallNumber(s string) (int, bool) {
	n := 0
	for _, r := range s {
		if r < '0' || r > '9' || n > 1000 {
			return 0, false
		}
		n = n*10 + int(r-'0')
	}
	return n, s != ""
}

// parseClass reads one character, escape or bracketed class.
func parseClass(s string) (c charClass, rest string, ok bool) {
	if s[0] != '[' {
		if strings.IndexByte(`.*+?()|^$]{}`, s[0]) >= 0 {
			return c, "", false
		}
		rest, ok = c.add(s)
		return c, rest, ok
	}
	s = s[1:]
	if strings.HasPrefix(s, "^") {
		c.negate, s = true, s[1:]
	}
	for first := true; ; first = false {
		switch {
		case s == "" || s[0] == '[' || strings.HasPrefix(s, "&&"):
			return c, "", false
		case s[0] == ']':
			return c, s[1:], !first
		}
		if s, ok = c.addRange(s); !ok {
			return c, "", false
		}
	}
}

// addRange adds a character, an escape or a range of characters inside brackets.
func (c *charClass) addRange(s string) (rest string, ok bool) {
	n := len(c.ranges)
	if rest, ok = c.add(s); !ok {
		return "", false
	}
	if !strings.HasPrefix(rest, "-") || strings.HasPrefix(rest, "-]") {
		return rest, true
	}
	if len(c.ranges) == n || strings.HasPrefix(rest, "-[") {
		return "", false // a range from a class
	}
	m := len(c.ranges)
	if rest, ok = c.add(rest[1:]); !ok || len(c.ranges) == m {
		return "", false
	}
	lo, hi := c.ranges[m-1][0], c.ranges[m][0]
	c.ranges = append(c.ranges[:m-1], [2]rune{lo, hi})
	return rest, lo <= hi
}

var propertyBits = map[string]uint16{
	"L": classLetter, "Ll": classLower, "M": classMark, "N": classNumber, "Nd": classDigit, "P": classPunct, "S": classSymbol, "Han": classHan,
}

// add adds one character or escape.
func (c *charClass) add(s string) (rest string, ok bool) {
	if s[0] != '\\' {
		r, n := utf8.DecodeRuneInString(s)
		c.ranges = append(c.ranges, [2]rune{r, r})
		return s[n:], true
	}
	if len(s) < 2 {
		return "", false
	}
	r := rune(s[1])
	switch {
	case r == 's':
		c.bits |= classSpace
	case r == 'd':
		c.bits |= classDigit
	case r == 'p' && strings.HasPrefix(s, `\p{`):
		end := strings.IndexByte(s, '}')
		if end < 0 || propertyBits[s[3:end]] == 0 {
			return "", false
		}
		c.bits |= propertyBits[s[3:end]]
		return s[end+1:], true
	case r == 'n' || r == 'r' || r == 't':
		r = map[rune]rune{'n': '\n', 'r': '\r', 't': '\t'}[r]
		c.ranges = append(c.ranges, [2]rune{r, r})
	case r < utf8.RuneSelf && asciiClass[r]&(classPunct|classSymbol) != 0:
		c.ranges = append(c.ranges, [2]rune{r, r})
	default:
		return "", false
	}
	return s[2:], true
}
