package template

// This file holds str.format and what the % operator shares with it: fields of a
// width, signs, and numbers by format specification.

import (
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"
)

// spec is a format specification.
type spec struct {
	fill        rune
	align, sign byte // 0: not given
	alt, zero   bool
	width, prec int // prec -1: not given
	group       byte
	kind        byte // 0: not given
}

// maxWidth bounds widths and precisions, which are text of the template.
const maxWidth = 1 << 20

// readInt reads digits at the start of s.
func (r *run) readInt(s string) (n int, rest string, err error) {
	i := 0
	for i < len(s) && isDigit(s[i]) {
		if n = 10*n + int(s[i]-'0'); n > maxWidth {
			return 0, "", &LimitError{Line: r.line, What: "characters of a field", Limit: maxWidth}
		}
		i++
	}
	return n, s[i:], nil
}

// padText writes a string into its field.
func (r *run) padText(b *builder, s *str, sp spec) error {
	if err := r.scan(len(s.s)); err != nil {
		return err
	}
	n := s.runes()
	if sp.prec >= 0 && sp.prec < n {
		s, n = s.slice(0, s.byteAt(sp.prec)), sp.prec
	}
	left, right := spread(sp, sp.width-n, '<')
	b.lit(strings.Repeat(string(sp.fill), left))
	b.str(s)
	b.lit(strings.Repeat(string(sp.fill), right))
	return b.err
}

// spread divides padding by the alignment, or the default one.
func spread(sp spec, pad int, def byte) (left, right int) {
	pad = max(pad, 0)
	if sp.align == 0 {
		sp.align = def
	}
	switch sp.align {
	case '<':
		return 0, pad
	case '^':
		return pad / 2, pad - pad/2
	}
	return pad, 0
}

// padNumber writes sign, prefix and digits into a field.
func (r *run) padNumber(b *builder, sp spec, negative bool, digits string) error {
	if sp.kind == 'X' {
		digits = strings.ToUpper(digits)
	}
	head := ""
	switch {
	case negative:
		head = "-"
	case sp.sign == '+' || sp.sign == ' ':
		head = string(sp.sign)
	}
	if sp.alt && strings.IndexByte("xXob", sp.kind) >= 0 && sp.kind != 0 {
		head += "0" + string(sp.kind)
	}
	if sp.zero && sp.align != '<' && sp.align != '^' || sp.align == '=' {
		fill := byte('0')
		if sp.align == '=' && !sp.zero {
			fill = byte(sp.fill)
		}
		if n := sp.width - len(head) - len(digits); n > 0 && sp.group == 0 {
			digits = strings.Repeat(string(fill), n) + digits
		}
	}
	if sp.group != 0 {
		digits = grouped(digits, sp.group, sp.kind)
	}
	return r.padText(b, lit(head+digits), spec{fill: sp.fill, align: orByte(sp.align, '>'), width: sp.width, prec: -1})
}

func orByte(b, def byte) byte {
	if b == 0 || b == '=' {
		return def
	}
	return b
}

// grouped puts a separator between every three digits in front of the point, every
// four of the other bases.
func grouped(digits string, sep, kind byte) string {
	whole := len(digits)
	for i := range len(digits) {
		if !isDigit(digits[i]) && kind != 'x' && kind != 'X' {
			whole = i
			break
		}
	}
	every := 3
	if strings.IndexByte("xXob", kind) >= 0 {
		every = 4
	}
	var out []byte
	for i := range whole {
		if i > 0 && (whole-i)%every == 0 {
			out = append(out, sep)
		}
		out = append(out, digits[i])
	}
	return string(out) + digits[whole:]
}

// padFloat writes a number as a float.
func (r *run) padFloat(b *builder, sp spec, v value) error {
	f, err := r.toFloat(v)
	if err != nil {
		return err
	}
	prec := sp.prec
	if prec < 0 {
		prec = 6
	}
	kind, tail := sp.kind|0x20, ""
	if sp.kind == '%' {
		f, kind, tail = 100*f, 'f', "%"
	}
	var digits string
	switch {
	case math.IsInf(f, 0), math.IsNaN(f):
		digits = strings.TrimLeft(floatText(f), "-")
		if sp.zero {
			sp.zero, sp.align = false, orByte(sp.align, '>')
		}
	case kind == 'g':
		digits = strconv.FormatFloat(math.Abs(f), 'g', max(prec, 1), 64)
	default:
		digits = strconv.FormatFloat(math.Abs(f), kind, prec, 64)
	}
	if sp.kind == 'E' || sp.kind == 'G' || sp.kind == 'F' {
		digits = strings.ToUpper(digits)
	}
	sp.kind = 0
	return r.padNumber(b, sp, math.Signbit(f) && !math.IsNaN(f), digits+tail)
}

// format is s.format(args).
func (r *run) format(s *str, a args) (value, error) {
	b := r.builder()
	auto := 0
	if err := r.formatInto(b, s, a, &auto, 0); err != nil {
		return nil, err
	}
	out, err := b.done()
	if err != nil {
		return nil, err
	}
	return out.asMarkup(s.markup), nil
}

// formatInto formats a template string; specifications may contain fields, once.
func (r *run) formatInto(b *builder, s *str, a args, auto *int, depth int) error {
	if depth > 1 {
		return r.failf("format: fields are nested too deeply")
	}
	for at := 0; at < len(s.s); {
		i := strings.IndexAny(s.s[at:], "{}")
		if i < 0 {
			b.str(s.slice(at, len(s.s)))
			break
		}
		b.str(s.slice(at, at+i))
		at += i
		if at+1 < len(s.s) && s.s[at] == s.s[at+1] {
			b.str(s.slice(at, at+1))
			at += 2
			continue
		}
		if s.s[at] == '}' {
			return r.failf("format: single '}' in the string")
		}
		end, level := at+1, 1
		for ; end < len(s.s); end++ {
			if s.s[end] == '{' {
				level++
			} else if s.s[end] == '}' {
				if level--; level == 0 {
					break
				}
			}
		}
		if level > 0 {
			return r.failf("format: single '{' in the string")
		}
		if err := r.formatField(b, s.slice(at+1, end), a, auto, depth, s.markup); err != nil {
			return err
		}
		if b.err != nil {
			return b.err
		}
		at = end + 1
	}
	return b.err
}

// formatField formats name!conversion:specification.
func (r *run) formatField(b *builder, field *str, a args, auto *int, depth int, markup bool) error {
	if err := r.step(1); err != nil {
		return err
	}
	name, conversion := field.s, ""
	specText := lit("")
	if i := strings.IndexAny(name, ":!"); i >= 0 {
		name = field.s[:i]
		rest := field.s[i:]
		if rest[0] == '!' {
			if len(rest) < 2 || len(rest) > 2 && rest[2] != ':' {
				return r.failf("format: want one character behind '!'")
			}
			conversion, rest = rest[1:2], rest[2:]
		}
		if rest != "" {
			specText = field.slice(len(field.s)-len(rest)+1, len(field.s))
		}
	}
	v, err := r.formatValue(name, a, auto)
	if err != nil {
		return err
	}
	switch conversion {
	case "":
	case "s":
		v, err = r.text(v)
	case "r", "a":
		tb := r.builder()
		r.repr(tb, v)
		v, err = tb.done()
	default:
		return r.failf("format: unknown conversion %q", conversion)
	}
	if err != nil {
		return err
	}
	sb := r.builder()
	if specText.s != "" {
		if err := r.formatInto(sb, specText, a, auto, depth+1); err != nil {
			return err
		}
	}
	if s, ok := v.(*str); ok && markup {
		if v, err = r.escapeHTML(s); err != nil {
			return err
		}
	}
	return r.formatSpec(b, v, string(sb.b))
}

// formatValue finds what a replacement field names: 0, name, x.attr, x[key].
func (r *run) formatValue(field string, a args, auto *int) (value, error) {
	end := strings.IndexAny(field, ".[")
	if end < 0 {
		end = len(field)
	}
	first, rest := field[:end], field[end:]
	var v value
	n, err := strconv.Atoi(first)
	switch {
	case first == "":
		n, err = *auto, nil
		*auto++
		fallthrough
	case err == nil:
		if n < 0 || n >= len(a.pos) {
			return nil, r.failf("format: replacement index %d out of range", n)
		}
		v = a.pos[n]
	default:
		found := false
		for i, k := range a.names {
			if k == first {
				v, found = a.kw[i], true
			}
		}
		if !found {
			return nil, r.failf("format: no argument named %q", first)
		}
	}
	for rest != "" {
		if err := r.step(1); err != nil {
			return nil, err
		}
		if rest[0] == '[' {
			i := strings.IndexByte(rest, ']')
			if i < 2 {
				return nil, r.failf("format: bad subscript in a field")
			}
			var key value = lit(rest[1:i])
			if n, err := strconv.ParseInt(rest[1:i], 10, 64); err == nil {
				key = n
			}
			if v, err = r.getItem(v, key); err != nil {
				return nil, err
			}
			rest = rest[i+1:]
			continue
		}
		i := strings.IndexAny(rest[1:], ".[")
		if i < 0 {
			i = len(rest) - 1
		}
		if i == 0 || rest[0] != '.' {
			return nil, r.failf("format: bad attribute in a field")
		}
		if v, err = r.getAttr(v, rest[1:1+i]); err != nil {
			return nil, err
		}
		rest = rest[1+i:]
	}
	return v, nil
}

// parseSpec reads [[fill]align][sign][#][0][width][,][.precision][type].
func (r *run) parseSpec(s string) (sp spec, err error) {
	sp = spec{fill: ' ', prec: -1}
	aligned := func(s string) bool { return s != "" && strings.IndexByte("<>=^", s[0]) >= 0 }
	if c, size := utf8.DecodeRuneInString(s); s != "" && aligned(s[size:]) {
		sp.fill, sp.align, s = c, s[size], s[size+1:]
	} else if aligned(s) {
		sp.align, s = s[0], s[1:]
	}
	if s != "" && strings.IndexByte("+- ", s[0]) >= 0 {
		sp.sign, s = s[0], s[1:]
	}
	if strings.HasPrefix(s, "#") {
		sp.alt, s = true, s[1:]
	}
	if strings.HasPrefix(s, "0") {
		s = s[1:]
		if sp.align == 0 {
			sp.zero = true
		}
	}
	if sp.width, s, err = r.readInt(s); err != nil {
		return sp, err
	}
	if s != "" && (s[0] == ',' || s[0] == '_') {
		sp.group, s = s[0], s[1:]
	}
	if strings.HasPrefix(s, ".") {
		if sp.prec, s, err = r.readInt(s[1:]); err != nil {
			return sp, err
		}
	}
	if len(s) > 1 {
		return sp, r.failf("format: invalid format specification %q", s)
	}
	if s != "" {
		sp.kind = s[0]
	}
	return sp, nil
}

// formatSpec writes v by a specification.
func (r *run) formatSpec(b *builder, v value, text string) error {
	if text == "" {
		r.display(b, v)
		return b.err
	}
	sp, err := r.parseSpec(text)
	if err != nil {
		return err
	}
	bad := func() error {
		return r.failf("format: specification %q does not fit '%s'", text, typeName(v))
	}
	if s, ok := v.(*str); ok {
		if sp.kind != 0 && sp.kind != 's' || sp.align == '=' || sp.sign != 0 || sp.group != 0 {
			return bad()
		}
		if sp.zero {
			sp.fill = '0'
		}
		return r.padText(b, s, sp)
	}
	if !isNumber(v) {
		return bad()
	}
	_, isFloat := v.(float64)
	base := map[byte]int{'d': 10, 'n': 10, 'x': 16, 'X': 16, 'o': 8, 'b': 2}[sp.kind]
	if !isFloat && sp.kind == 0 && sp.prec < 0 {
		base = 10
	}
	switch {
	case base != 0 && !isFloat && sp.prec < 0:
		digits := new(big.Int).Abs(bigInt(v)).Text(base)
		return r.padNumber(b, sp, bigInt(v).Sign() < 0, digits)
	case sp.kind == 'c' && !isFloat:
		i, ok := smallInt(v)
		if !ok || i < 0 || i > utf8.MaxRune || !utf8.ValidRune(rune(i)) {
			return bad()
		}
		return r.padText(b, lit(string(rune(i))), sp)
	case sp.kind != 0 && strings.IndexByte("eEfFgG%", sp.kind) >= 0:
		return r.padFloat(b, sp, v)
	case isFloat && sp.kind == 0:
		f := v.(float64)
		digits := strings.TrimLeft(floatText(f), "-")
		if sp.prec >= 0 {
			digits = shortFloat(math.Abs(f), sp.prec)
		}
		return r.padNumber(b, sp, math.Signbit(f) && !math.IsNaN(f), digits)
	}
	return bad()
}

// shortFloat is format's type for floats without one: as g, but with at least one
// digit behind the point where there is no exponent.
func shortFloat(f float64, prec int) string {
	prec = max(prec, 1)
	s := strconv.FormatFloat(f, 'g', prec, 64)
	exp := 0
	if f != 0 {
		e := strconv.FormatFloat(f, 'e', prec-1, 64)
		exp, _ = strconv.Atoi(e[strings.IndexByte(e, 'e')+1:])
	}
	if exp == prec-1 && exp > 0 { // there the digit behind the point does not fit
		return strconv.FormatFloat(f, 'e', trimmed(f, prec), 64)
	}
	if !strings.ContainsAny(s, ".e") {
		s += ".0"
	}
	return s
}

// trimmed is the number of digits behind the first that e notation needs.
func trimmed(f float64, prec int) int {
	e := strconv.FormatFloat(f, 'e', prec-1, 64)
	mantissa := strings.TrimRight(e[:strings.IndexByte(e, 'e')], "0")
	return max(len(mantissa)-2, 0)
}
