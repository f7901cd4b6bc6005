package template

// This file cuts a template into tokens, with jinja2's whitespace control:
// trim_blocks, lstrip_blocks, and the signs - and + inside the delimiters.

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

type tokenKind int

const (
	tokEOF tokenKind = iota
	tokData
	tokVarBegin
	tokVarEnd
	tokBlockBegin
	tokBlockEnd
	tokName
	tokString
	tokNumber
	tokOp
)

type token struct {
	kind tokenKind
	line int
	text string // data, name, operator; the decoded string
	num  value  // tokNumber: int64, *big.Int or float64
}

func (t token) String() string {
	switch t.kind {
	case tokEOF:
		return "the end of the template"
	case tokData:
		return "text"
	case tokVarBegin:
		return "{{"
	case tokVarEnd:
		return "}}"
	case tokBlockBegin:
		return "{%"
	case tokBlockEnd:
		return "%}"
	case tokString:
		return "a string"
	case tokNumber:
		return "a number"
	}
	return strconv.Quote(t.text)
}

// lexer produces tokens one at a time. tag is tokVarBegin or tokBlockBegin inside
// a tag, tokData outside.
type lexer struct {
	src       string
	pos, line int
	tag       tokenKind
	lineStart bool   // the last thing consumed ended a line
	open      []byte // brackets waiting to be closed
	queue     []token
}

// newLexer normalises line ends and drops the template's last one, as jinja2 does.
func newLexer(src string) *lexer {
	src = strings.ReplaceAll(strings.ReplaceAll(clean(src), "\r\n", "\n"), "\r", "\n")
	return &lexer{src: strings.TrimSuffix(src, "\n"), line: 1, tag: tokData, lineStart: true}
}

func (l *lexer) errorf(format string, a ...any) error {
	return &SyntaxError{Line: l.line, Reason: fmt.Sprintf(format, a...)}
}

// take consumes n bytes.
func (l *lexer) take(n int) string {
	s := l.src[l.pos : l.pos+n]
	l.pos += n
	l.line += strings.Count(s, "\n")
	if n > 0 {
		l.lineStart = s[n-1] == '\n'
	}
	return s
}

// next is the next token; after the last one it is tokEOF for ever.
func (l *lexer) next() (token, error) {
	for len(l.queue) == 0 {
		var err error
		switch {
		case l.tag != tokData:
			err = l.inTag()
		case l.pos == len(l.src):
			return token{kind: tokEOF, line: l.line}, nil
		default:
			err = l.text()
		}
		if err != nil {
			return token{}, err
		}
	}
	t := l.queue[0]
	l.queue = l.queue[1:]
	return t, nil
}

func (l *lexer) emit(kind tokenKind, line int, text string) {
	l.queue = append(l.queue, token{kind: kind, line: line, text: text})
}

// text consumes the text up to the next tag, and the tag's opening.
func (l *lexer) text() error {
	rest := l.src[l.pos:]
	at := 0
	for {
		i := strings.IndexByte(rest[at:], '{')
		if i < 0 || at+i+1 >= len(rest) {
			l.emit(tokData, l.line, rest)
			l.take(len(rest))
			return nil
		}
		at += i
		if c := rest[at+1]; c == '{' || c == '%' || c == '#' {
			break
		}
		at++
	}
	kind := rest[at+1]
	open, sign := 2, byte(0)
	if at+2 < len(rest) && (rest[at+2] == '-' || rest[at+2] == '+') {
		open, sign = 3, rest[at+2]
	}
	line, data := l.line, l.strip(rest[:at], sign, kind != '{')
	l.take(at)
	if data != "" {
		l.emit(tokData, line, data)
	}
	if kind == '%' {
		if n := rawBegin(l.src[l.pos+open:]); n >= 0 {
			l.take(open + n)
			return l.raw()
		}
	}
	line = l.line
	l.take(open)
	switch kind {
	case '#':
		return l.comment()
	case '%':
		l.tag = tokBlockBegin
	default:
		l.tag = tokVarBegin
	}
	l.emit(l.tag, line, "")
	return nil
}

// strip is what remains of the text in front of a tag: with - no whitespace at its
// end, else without the blanks between the start of the tag's line and a block.
func (l *lexer) strip(text string, sign byte, block bool) string {
	if sign == '-' {
		return strings.TrimRightFunc(text, isSpace)
	}
	if sign == '+' || !block {
		return text
	}
	line := strings.LastIndexByte(text, '\n') + 1
	if (line > 0 || l.lineStart) && strings.TrimLeftFunc(text[line:], isSpace) == "" {
		return text[:line]
	}
	return text
}

func skipSpace(s string) int { return len(s) - len(strings.TrimLeftFunc(s, isSpace)) }

// rawBegin is the length of ` raw %}` at the start of s, or -1.
func rawBegin(s string) int {
	n := skipSpace(s)
	if !strings.HasPrefix(s[n:], "raw") {
		return -1
	}
	n += 3
	n += skipSpace(s[n:])
	switch {
	case strings.HasPrefix(s[n:], "-%}"):
		n += 3
		return n + skipSpace(s[n:])
	case strings.HasPrefix(s[n:], "%}"):
		return n + 2
	}
	return -1
}

// blockEnd is the length of %}, -%} or +%} at the start of s with what it eats, or -1.
func blockEnd(s string) int {
	switch {
	case strings.HasPrefix(s, "+%}"):
		return 3
	case strings.HasPrefix(s, "-%}"):
		return 3 + skipSpace(s[3:])
	case strings.HasPrefix(s, "%}\n"):
		return 3
	case strings.HasPrefix(s, "%}"):
		return 2
	}
	return -1
}

// raw consumes text up to and with {% endraw %}.
func (l *lexer) raw() error {
	rest := l.src[l.pos:]
	for at := 0; ; at += 2 {
		i := strings.Index(rest[at:], "{%")
		if i < 0 {
			return l.errorf("raw: missing {%% endraw %%}")
		}
		at += i
		n, sign := at+2, byte(0)
		if n < len(rest) && (rest[n] == '-' || rest[n] == '+') {
			sign = rest[n]
			n++
		}
		n += skipSpace(rest[n:])
		if !strings.HasPrefix(rest[n:], "endraw") {
			continue
		}
		n += len("endraw")
		n += skipSpace(rest[n:])
		end := blockEnd(rest[n:])
		if end < 0 {
			continue
		}
		if data := l.strip(rest[:at], sign, true); data != "" {
			l.emit(tokData, l.line, data)
		}
		l.take(n + end)
		return nil
	}
}

// comment consumes the rest of a comment.
func (l *lexer) comment() error {
	rest := l.src[l.pos:]
	i := strings.Index(rest, "#}")
	if i < 0 {
		return l.errorf("missing end of comment #}")
	}
	n := i + 2
	switch {
	case i > 0 && rest[i-1] == '-':
		n += skipSpace(rest[n:])
	case i > 0 && rest[i-1] == '+':
	case strings.HasPrefix(rest[n:], "\n"):
		n++
	}
	l.take(n)
	return nil
}

// tagEnd is the length of the tag's closing delimiter here, or -1.
func (l *lexer) tagEnd() int {
	rest := l.src[l.pos:]
	if len(l.open) > 0 {
		return -1
	}
	if l.tag == tokBlockBegin {
		return blockEnd(rest)
	}
	switch {
	case strings.HasPrefix(rest, "-}}"):
		return 3 + skipSpace(rest[3:])
	case strings.HasPrefix(rest, "}}"):
		return 2
	}
	return -1
}

// inTag consumes one token of an expression or the tag's end.
func (l *lexer) inTag() error {
	l.take(skipSpace(l.src[l.pos:]))
	line := l.line
	if n := l.tagEnd(); n >= 0 {
		end := tokVarEnd
		if l.tag == tokBlockBegin {
			end = tokBlockEnd
		}
		l.take(n)
		l.emit(end, line, "")
		l.tag = tokData
		return nil
	}
	rest := l.src[l.pos:]
	if rest == "" {
		return l.errorf("the template ends inside a tag")
	}
	c, size := utf8.DecodeRuneInString(rest)
	switch {
	case c >= '0' && c <= '9':
		return l.number(rest)
	case c == '\'' || c == '"':
		return l.quoted(rest)
	case c == '_' || unicode.IsLetter(c):
		n := size
		for n < len(rest) {
			c, size = utf8.DecodeRuneInString(rest[n:])
			if c != '_' && !unicode.In(c, unicode.L, unicode.Nd, unicode.Nl, unicode.Mn, unicode.Mc, unicode.Pc) {
				break
			}
			n += size
		}
		l.emit(tokName, line, l.take(n))
		return nil
	}
	return l.operator(rest)
}

var operators = []string{"//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")",
	"{", "}", ">", "<", "=", ".", ":", "|", ",", ";"}

func (l *lexer) operator(rest string) error {
	for _, op := range operators {
		if !strings.HasPrefix(rest, op) {
			continue
		}
		switch c := op[0]; c {
		case '(':
			l.open = append(l.open, ')')
		case '[':
			l.open = append(l.open, ']')
		case '{':
			l.open = append(l.open, '}')
		case ')', ']', '}':
			k := len(l.open) - 1
			if k < 0 {
				return l.errorf("unexpected %q", c)
			}
			if l.open[k] != c {
				return l.errorf("unexpected %q, want %q", c, l.open[k])
			}
			l.open = l.open[:k]
		}
		l.emit(tokOp, l.line, op)
		l.take(len(op))
		return nil
	}
	c, _ := utf8.DecodeRuneInString(rest)
	return l.errorf("unexpected character %q", c)
}

// digits is the length of decimal digits with single underscores between them.
func digits(s string, ok func(byte) bool) int {
	n := 0
	for n < len(s) && (ok(s[n]) || s[n] == '_' && n > 0 && n+1 < len(s) && s[n-1] != '_' && ok(s[n+1])) {
		n++
	}
	return n
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func (l *lexer) number(rest string) error {
	if n := floatLen(rest); n > 0 && (l.pos == 0 || l.src[l.pos-1] != '.') {
		f, err := strconv.ParseFloat(strings.ReplaceAll(rest[:n], "_", ""), 64)
		if err != nil && f == 0 {
			return l.errorf("bad number %s", rest[:n])
		}
		l.queue = append(l.queue, token{kind: tokNumber, line: l.line, num: f})
		l.take(n)
		return nil
	}
	base, skip, ok := 10, 0, isDigit
	if len(rest) > 2 && rest[0] == '0' {
		switch rest[1] | 0x20 {
		case 'x':
			base, ok = 16, func(c byte) bool { return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'f' }
		case 'o':
			base, ok = 8, func(c byte) bool { return c >= '0' && c <= '7' }
		case 'b':
			base, ok = 2, func(c byte) bool { return c == '0' || c == '1' }
		}
	}
	if base != 10 {
		skip = 2
		if rest[2] == '_' {
			skip = 3
		}
	}
	n := skip + digits(rest[skip:], ok)
	if n == skip {
		return l.errorf("bad number %s", rest[:n])
	}
	v, good := new(big.Int).SetString(strings.ReplaceAll(rest[skip:n], "_", ""), base)
	if !good || v.BitLen() > maxIntBits || base == 10 && rest[0] == '0' && v.Sign() != 0 {
		return l.errorf("bad number %s", rest[:min(n, 40)])
	}
	l.queue = append(l.queue, token{kind: tokNumber, line: l.line, num: normInt(v)})
	l.take(n)
	return nil
}

// floatLen is the length of a float literal at the start of s, or 0.
func floatLen(s string) int {
	n := digits(s, isDigit)
	end := 0
	if n+1 < len(s) && s[n] == '.' && isDigit(s[n+1]) {
		n += 1 + digits(s[n+1:], isDigit)
		end = n
	}
	if n < len(s) && s[n]|0x20 == 'e' {
		m := n + 1
		if m < len(s) && (s[m] == '+' || s[m] == '-') {
			m++
		}
		if k := digits(s[m:], isDigit); k > 0 {
			end = m + k
		}
	}
	return end
}

// quoted reads a string literal with Python's escapes.
func (l *lexer) quoted(rest string) error {
	n := 1
	for n < len(rest) && rest[n] != rest[0] {
		if rest[n] == '\\' {
			n++
		}
		n++
	}
	if n >= len(rest) {
		return l.errorf("a string is not closed")
	}
	s, err := unescape(rest[1:n])
	if err != nil {
		return l.errorf("%v", err)
	}
	l.emit(tokString, l.line, s)
	l.take(n + 1)
	return nil
}

// unescape decodes the escapes of a Python string literal; unknown ones stay.
func unescape(s string) (string, error) {
	if !strings.Contains(s, `\`) {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		i++
		switch c := s[i]; c {
		case '\n':
		case '\\', '\'', '"':
			b.WriteByte(c)
		case 'a', 'b', 'f', 'n', 'r', 't', 'v':
			b.WriteByte("\a\b\f\n\r\t\v"[strings.IndexByte("abfnrtv", c)])
		case 'x', 'u', 'U':
			n := map[byte]int{'x': 2, 'u': 4, 'U': 8}[c]
			if i+n >= len(s) {
				return "", fmt.Errorf(`truncated \%c escape in a string`, c)
			}
			v, err := strconv.ParseUint(s[i+1:i+1+n], 16, 32)
			if err != nil || !utf8.ValidRune(rune(v)) {
				return "", fmt.Errorf(`bad escape \%s in a string`, s[i:i+1+n])
			}
			b.WriteRune(rune(v))
			i += n
		case 'N':
			return "", fmt.Errorf(`the escape \N in a string is not supported: write the character`)
		case '0', '1', '2', '3', '4', '5', '6', '7':
			n := 1
			for n < 3 && i+n < len(s) && s[i+n] >= '0' && s[i+n] <= '7' {
				n++
			}
			v, _ := strconv.ParseUint(s[i:i+n], 8, 32)
			b.WriteRune(rune(v))
			i += n - 1
		default:
			b.WriteByte('\\')
			b.WriteByte(c)
		}
	}
	return b.String(), nil
}
