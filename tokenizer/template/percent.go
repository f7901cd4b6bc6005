package template

// This file formats strings by the % operator, as C's printf does.

import (
	"math/big"
	"strings"
	"unicode/utf8"
)

// percent is s % v.
func (r *run) percent(s *str, v value) (value, error) {
	b := r.builder()
	f := &percentArgs{v: v}
	if t, ok := v.(*tuple); ok {
		f.items, f.tuple = t.items, true
	}
	at := 0
	for at < len(s.s) {
		i := strings.IndexByte(s.s[at:], '%')
		if i < 0 {
			break
		}
		b.str(s.slice(at, at+i))
		n, err := r.percentField(b, s, at+i, f)
		if err != nil {
			return nil, err
		}
		if b.err != nil {
			return nil, b.err
		}
		at = n
	}
	b.str(s.slice(at, len(s.s)))
	mapping := false // what Python takes for one need not be used
	switch v.(type) {
	case *dict, *list, *rng, *undefined:
		mapping = true
	}
	if f.tuple && f.used < len(f.items) || !f.tuple && f.used == 0 && !mapping {
		return nil, r.failf("%%: not all arguments converted during string formatting")
	}
	out, err := b.done()
	if err != nil {
		return nil, err
	}
	return out.asMarkup(s.markup), nil
}

// percentArgs hands out the arguments of %.
type percentArgs struct {
	v     value
	items []value
	tuple bool
	used  int
}

func (r *run) nextArg(f *percentArgs) (value, error) {
	f.used++
	switch {
	case f.tuple && f.used <= len(f.items):
		return f.items[f.used-1], nil
	case !f.tuple && f.used == 1:
		return f.v, nil
	}
	return nil, r.failf("%%: not enough arguments for format string")
}

// percentField formats the field that starts at s[at] and returns where it ends.
func (r *run) percentField(b *builder, s *str, at int, f *percentArgs) (end int, err error) {
	rest := s.s[at+1:]
	var v value
	named := false
	if strings.HasPrefix(rest, "(") {
		i := strings.IndexByte(rest, ')')
		d, ok := f.v.(*dict)
		if i < 0 || !ok {
			return 0, r.failf("%%: format requires a mapping")
		}
		if v, ok = d.text(rest[1:i]); !ok {
			return 0, r.failf("%%: no key %q", rest[1:i])
		}
		named, f.used = true, f.used+1
		rest = rest[i+1:]
	}
	sp := spec{fill: ' ', align: '>', prec: -1}
	for rest != "" && strings.IndexByte("#0- +", rest[0]) >= 0 {
		switch c := rest[0]; c {
		case '#':
			sp.alt = true
		case '0':
			sp.zero = true
		case '-':
			sp.align = '<'
		case '+':
			sp.sign = c
		case ' ':
			if sp.sign == 0 {
				sp.sign = c
			}
		}
		rest = rest[1:]
	}
	if sp.width, rest, err = r.readInt(rest); err != nil {
		return 0, err
	}
	if strings.HasPrefix(rest, ".") {
		if sp.prec, rest, err = r.readInt(rest[1:]); err != nil {
			return 0, err
		}
	}
	rest = strings.TrimLeft(rest, "hlL")
	if rest == "" {
		return 0, r.failf("%%: incomplete format")
	}
	sp.kind = rest[0]
	end = len(s.s) - len(rest) + 1
	if sp.kind == '%' {
		b.lit("%")
		return end, nil
	}
	if !named {
		if v, err = r.nextArg(f); err != nil {
			return 0, err
		}
	}
	return end, r.percentValue(b, s, sp, v)
}

func (r *run) percentValue(b *builder, s *str, sp spec, v value) error {
	switch sp.kind {
	case 's', 'r', 'a':
		text, err := r.softText(v)
		if sp.kind != 's' {
			tb := r.builder()
			r.repr(tb, v)
			text, err = tb.done()
		}
		if err != nil {
			return err
		}
		if s.markup {
			if text, err = r.escapeHTML(text); err != nil {
				return err
			}
		}
		return r.padText(b, text, sp)
	case 'c':
		if t, ok := v.(*str); ok && t.runes() == 1 {
			return r.padText(b, t, sp)
		}
		if i, ok := smallInt(v); ok && i >= 0 && i <= utf8.MaxRune && utf8.ValidRune(rune(i)) {
			return r.padText(b, lit(string(rune(i))), sp)
		}
		return r.failf("%%c: want an integer or one character")
	case 'd', 'i', 'u', 'x', 'X', 'o':
		if f, ok := v.(float64); ok && sp.kind != 'x' && sp.kind != 'X' && sp.kind != 'o' {
			i, ok := r.truncFloat(f)
			if !ok {
				return r.failf("%%%c: cannot convert %s to an integer", sp.kind, floatText(f))
			}
			v = i
		}
		if _, isFloat := v.(float64); isFloat || !isNumber(v) {
			return r.failf("%%%c: want a number, not %s", sp.kind, typeName(v))
		}
		if sp.kind == 'i' || sp.kind == 'u' {
			sp.kind = 'd'
		}
		digits := new(big.Int).Abs(bigInt(v)).Text(map[byte]int{'d': 10, 'x': 16, 'X': 16, 'o': 8}[sp.kind])
		if n := sp.prec - len(digits); n > 0 {
			digits = strings.Repeat("0", n) + digits
		}
		return r.padNumber(b, sp, bigInt(v).Sign() < 0, digits)
	case 'e', 'E', 'f', 'F', 'g', 'G':
		if u, ok := v.(*undefined); ok {
			return r.failf("%s", u.why)
		}
		if !isNumber(v) {
			return r.failf("%%%c: must be real number, not %s", sp.kind, typeName(v))
		}
		return r.padFloat(b, sp, v)
	}
	return r.failf("%%: unsupported format character %q", sp.kind)
}
