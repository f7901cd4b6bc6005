package ptx

// The lexer: words, strings and punctuation, each with its line. Words hold
// dots and double colons, so an opcode with its modifiers is one word.

// Kinds of tokens that are not a punctuation character.
const (
	tokenEnd    = 0
	tokenWord   = 'w'
	tokenString = 's'
)

type token struct {
	kind byte
	text string
	line int
}

type lexer struct {
	src  string
	pos  int
	line int
}

func isWordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '$' || c == '%' || c == '.'
}

// skip passes white space and comments.
func (l *lexer) skip() {
	for l.pos < len(l.src) {
		switch c := l.src[l.pos]; {
		case c == '\n':
			l.line++
			l.pos++
		case c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v':
			l.pos++
		case c == '/' && l.pos+1 < len(l.src) && l.src[l.pos+1] == '/':
			for l.pos < len(l.src) && l.src[l.pos] != '\n' {
				l.pos++
			}
		case c == '/' && l.pos+1 < len(l.src) && l.src[l.pos+1] == '*':
			start := l.line
			l.pos += 2
			for {
				if l.pos+1 >= len(l.src) {
					fail(start, "comment is not closed")
				}
				if l.src[l.pos] == '*' && l.src[l.pos+1] == '/' {
					l.pos += 2
					break
				}
				if l.src[l.pos] == '\n' {
					l.line++
				}
				l.pos++
			}
		default:
			return
		}
	}
}

// next is the next token.
func (l *lexer) next() token {
	l.skip()
	if l.pos >= len(l.src) {
		return token{kind: tokenEnd, line: l.line}
	}
	start := l.pos
	c := l.src[l.pos]
	if c == '"' {
		for l.pos++; ; l.pos++ {
			if l.pos >= len(l.src) || l.src[l.pos] == '\n' {
				fail(l.line, "string is not closed")
			}
			if l.src[l.pos] == '"' {
				l.pos++
				return token{tokenString, l.src[start+1 : l.pos-1], l.line}
			}
		}
	}
	if !isWordByte(c) {
		if c < ' ' || c > '~' {
			fail(l.line, "unexpected byte %#02x", c)
		}
		l.pos++
		return token{c, l.src[start:l.pos], l.line}
	}
	for l.pos < len(l.src) {
		c := l.src[l.pos]
		if isWordByte(c) {
			l.pos++
			continue
		}
		if c == ':' && l.pos+2 < len(l.src) && l.src[l.pos+1] == ':' && isWordByte(l.src[l.pos+2]) {
			l.pos += 2
			continue
		}
		// The exponent of a decimal literal: 1.5e-3.
		last := l.src[l.pos-1]
		if (c == '-' || c == '+') && (last == 'e' || last == 'E') && isDecimal(l.src[start:l.pos-1]) {
			l.pos++
			continue
		}
		break
	}
	return token{tokenWord, l.src[start:l.pos], l.line}
}

// isDecimal says whether s is digits with at least one dot among them.
func isDecimal(s string) bool {
	dot := false
	for i := 0; i < len(s); i++ {
		if s[i] == '.' {
			dot = true
		} else if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return dot && len(s) > 1
}
