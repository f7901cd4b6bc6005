package template

// This file holds the methods of strings.

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// textMethod is the bound method of a string, nil if there is none of that name.
func textMethod(s *str, name string) *function {
	type impl = func(r *run, p []value) (value, error)
	bind := func(need int, f impl, names ...string) *function { return method(name, need, names, f) }
	mapping := func(f func(r *run, s *str) (*str, error)) *function {
		return bind(0, func(r *run, _ []value) (value, error) { return f(r, s) })
	}
	is := func(ok func(string) bool) *function {
		return bind(0, func(r *run, _ []value) (value, error) { return ok(s.s), r.scan(len(s.s)) })
	}
	switch name {
	case "strip", "lstrip", "rstrip":
		return bind(0, func(r *run, p []value) (value, error) { return r.strip(s, name, p[0]) }, "chars")
	case "split":
		return bind(0, func(r *run, p []value) (value, error) { return r.split(s, p[0], p[1]) }, "sep", "maxsplit")
	case "rsplit":
		return bind(0, func(r *run, p []value) (value, error) { return r.rsplit(s, p[0], p[1]) }, "sep", "maxsplit")
	case "splitlines":
		return bind(0, func(r *run, p []value) (value, error) {
			lines, err := r.splitLines(s, p[0] != missing && truth(p[0]))
			return &list{items: lines}, err
		}, "keepends")
	case "partition", "rpartition":
		return bind(1, func(r *run, p []value) (value, error) { return r.partition(s, name, p[0]) }, "sep")
	case "startswith", "endswith":
		return bind(1, func(r *run, p []value) (value, error) { return r.affix(s, name, p) }, "prefix", "start", "end")
	case "removeprefix", "removesuffix":
		return bind(1, func(r *run, p []value) (value, error) { return r.removeAffix(s, name, p[0]) }, "affix")
	case "replace":
		return bind(2, func(r *run, p []value) (value, error) { return r.replaceMethod(s, p) }, "old", "new", "count")
	case "find", "rfind", "index", "rindex", "count":
		return bind(1, func(r *run, p []value) (value, error) { return r.find(s, name, p) }, "sub", "start", "end")
	case "join":
		return bind(1, func(r *run, p []value) (value, error) { return r.joinMethod(s, p[0]) }, "iterable")
	case "center", "ljust", "rjust", "zfill":
		return bind(1, func(r *run, p []value) (value, error) { return r.justify(s, name, p) }, "width", "fillchar")
	case "format":
		return &function{name: name, call: func(r *run, a args) (value, error) { return r.format(s, a) }}
	case "upper":
		return mapping((*run).upper)
	case "lower":
		return mapping((*run).lower)
	case "casefold":
		return mapping((*run).lower)
	case "title":
		return mapping((*run).title)
	case "capitalize":
		return mapping((*run).capitalize)
	case "swapcase":
		return mapping((*run).swapcase)
	case "isdigit", "isdecimal", "isnumeric":
		return is(allRunes(map[string]func(rune) bool{"isdigit": isDigitRune, "isdecimal": unicode.IsDigit, "isnumeric": isNumericRune}[name]))
	case "isalpha":
		return is(allRunes(unicode.IsLetter))
	case "isalnum":
		return is(allRunes(func(c rune) bool { return unicode.IsLetter(c) || isNumericRune(c) }))
	case "isspace":
		return is(allRunes(isSpace))
	case "isascii":
		return is(func(s string) bool { return s == "" || allRunes(func(c rune) bool { return c < 0x80 })(s) })
	case "isprintable":
		return is(func(s string) bool { return s == "" || allRunes(unicode.IsPrint)(s) })
	case "isupper":
		return is(isUpper)
	case "islower":
		return is(isLower)
	case "istitle":
		return is(isTitle)
	}
	return nil
}

// allRunes makes the test that s is not empty and every character is ok.
func allRunes(ok func(rune) bool) func(string) bool {
	return func(s string) bool {
		for _, c := range s {
			if !ok(c) {
				return false
			}
		}
		return s != ""
	}
}

// isDigitRune is Python's isdigit: decimal digits and superscripts, circled digits.
func isDigitRune(c rune) bool {
	switch {
	case c == 0xb2, c == 0xb3, c == 0xb9, c == 0x2070, c >= 0x2074 && c <= 0x2079, c >= 0x2080 && c <= 0x2089,
		c >= 0x2460 && c <= 0x2468, c >= 0x2474 && c <= 0x247c, c >= 0x2488 && c <= 0x2490:
		return true
	}
	return unicode.IsDigit(c)
}

func isNumericRune(c rune) bool { return unicode.IsNumber(c) }

// strip removes characters from the ends: whitespace, or any of chars.
func (r *run) strip(s *str, name string, chars value) (value, error) {
	drop := isSpace
	if chars != missing && chars != nil {
		set, err := r.textArg(name, chars)
		if err != nil {
			return nil, err
		}
		if err := r.step(len(set.s) * (len(s.s) + 1) / scanBytes); err != nil {
			return nil, err
		}
		drop = func(c rune) bool { return strings.ContainsRune(set.s, c) }
	}
	if err := r.scan(len(s.s)); err != nil {
		return nil, err
	}
	lo, hi := 0, len(s.s)
	if name != "rstrip" {
		lo = hi - len(strings.TrimLeftFunc(s.s, drop))
	}
	if name != "lstrip" {
		hi = lo + len(strings.TrimRightFunc(s.s[lo:], drop))
	}
	return s.slice(lo, hi), r.alloc(cellBytes)
}

// separator reads the arguments of split: sep nil means runs of whitespace.
func (r *run) separator(s *str, sep, limit value) (*str, int, error) {
	n, err := r.intArg("split", limit, -1)
	if err != nil {
		return nil, 0, err
	}
	if n < 0 {
		n = len(s.s) + 1
	}
	if err := r.scan(len(s.s)); err != nil {
		return nil, 0, err
	}
	if sep == missing || sep == nil {
		return nil, n, nil
	}
	t, err := r.textArg("split", sep)
	if err == nil && t.s == "" {
		err = r.failf("split: empty separator")
	}
	return t, n, err
}

func (r *run) split(s *str, sep, limit value) (value, error) {
	t, n, err := r.separator(s, sep, limit)
	if err != nil {
		return nil, err
	}
	out := &list{}
	put := func(lo, hi int) error {
		out.items = append(out.items, s.slice(lo, hi))
		return r.cells(1)
	}
	at := 0
	if t == nil {
		at = skipSpace(s.s)
	}
	for ; t != nil || at < len(s.s); n-- {
		size, skip := -1, 0
		if t != nil {
			size, skip = strings.Index(s.s[at:], t.s), len(t.s)
		} else if size = strings.IndexFunc(s.s[at:], isSpace); size >= 0 {
			skip = skipSpace(s.s[at+size:])
		}
		if n == 0 || size < 0 {
			break
		}
		if err := put(at, at+size); err != nil {
			return nil, err
		}
		at += size + skip
	}
	if t == nil && at == len(s.s) {
		return out, nil
	}
	return out, put(at, len(s.s))
}

func (r *run) rsplit(s *str, sep, limit value) (value, error) {
	t, n, err := r.separator(s, sep, limit)
	if err != nil {
		return nil, err
	}
	var parts []value
	put := func(lo, hi int) error {
		parts = append(parts, s.slice(lo, hi))
		return r.cells(1)
	}
	end := len(s.s)
	trim := func(n int) int { return len(strings.TrimRightFunc(s.s[:n], isSpace)) }
	if t == nil {
		end = trim(end)
	}
	for ; t != nil || end > 0; n-- {
		at, size := -1, 0
		if t != nil {
			at, size = strings.LastIndex(s.s[:end], t.s), len(t.s)
		} else if at = strings.LastIndexFunc(s.s[:end], isSpace); at >= 0 {
			_, size = utf8.DecodeRuneInString(s.s[at:])
		}
		if n == 0 || at < 0 {
			break
		}
		if err := put(at+size, end); err != nil {
			return nil, err
		}
		if end = at; t == nil {
			end = trim(at)
		}
	}
	if t != nil || end > 0 {
		if err := put(0, end); err != nil {
			return nil, err
		}
	}
	for i, j := 0, len(parts)-1; i < j; i, j = i+1, j-1 {
		parts[i], parts[j] = parts[j], parts[i]
	}
	return &list{items: parts}, nil
}

// splitLines cuts at line boundaries; the last line may lack one.
func (r *run) splitLines(s *str, keep bool) ([]value, error) {
	if err := r.scan(len(s.s)); err != nil {
		return nil, err
	}
	var lines []value
	for at := 0; at < len(s.s); {
		size := strings.IndexFunc(s.s[at:], isBreak)
		if size < 0 {
			lines = append(lines, s.slice(at, len(s.s)))
			return lines, r.cells(1)
		}
		_, skip := utf8.DecodeRuneInString(s.s[at+size:])
		if strings.HasPrefix(s.s[at+size:], "\r\n") {
			skip = 2
		}
		end := at + size
		if keep {
			end += skip
		}
		lines = append(lines, s.slice(at, end))
		if err := r.cells(1); err != nil {
			return nil, err
		}
		at += size + skip
	}
	return lines, nil
}

func (r *run) partition(s *str, name string, sep value) (value, error) {
	t, err := r.textArg(name, sep)
	if err != nil {
		return nil, err
	}
	if t.s == "" {
		return nil, r.failf("%s: empty separator", name)
	}
	if err := r.scan(len(s.s)); err != nil {
		return nil, err
	}
	empty := lit("").asMarkup(s.markup)
	if name == "partition" {
		if i := strings.Index(s.s, t.s); i >= 0 {
			return &tuple{items: []value{s.slice(0, i), s.slice(i, i+len(t.s)), s.slice(i+len(t.s), len(s.s))}}, nil
		}
		return &tuple{items: []value{s, empty, empty}}, nil
	}
	if i := strings.LastIndex(s.s, t.s); i >= 0 {
		return &tuple{items: []value{s.slice(0, i), s.slice(i, i+len(t.s)), s.slice(i+len(t.s), len(s.s))}}, nil
	}
	return &tuple{items: []value{empty, empty, s}}, nil
}

// part is s[start:end] by code points, its byte offsets, and whether start lies
// within s.
func (r *run) part(what string, s *str, start, end value) (lo, hi int, ok bool, err error) {
	if err := r.scan(len(s.s)); err != nil {
		return 0, 0, false, err
	}
	if start == missing && end == missing {
		return 0, len(s.s), true, nil
	}
	a, b, err := r.window(what, start, end, s.runes())
	if err != nil || a > b {
		return 0, 0, false, err
	}
	lo = s.byteAt(a)
	return lo, lo + s.slice(lo, len(s.s)).byteAt(b-a), true, nil
}

func (r *run) affix(s *str, name string, p []value) (value, error) {
	lo, hi, ok, err := r.part(name, s, p[1], p[2])
	if err != nil || !ok {
		return false, err
	}
	options := []value{p[0]}
	if t, isTuple := p[0].(*tuple); isTuple {
		options = t.items
	}
	for _, o := range options {
		t, err := r.textArg(name, o)
		if err != nil {
			return nil, err
		}
		if err := r.scan(len(t.s)); err != nil {
			return nil, err
		}
		if name == "startswith" && strings.HasPrefix(s.s[lo:hi], t.s) || name == "endswith" && strings.HasSuffix(s.s[lo:hi], t.s) {
			return true, nil
		}
	}
	return false, nil
}

func (r *run) removeAffix(s *str, name string, affix value) (value, error) {
	t, err := r.textArg(name, affix)
	if err != nil {
		return nil, err
	}
	switch {
	case name == "removeprefix" && strings.HasPrefix(s.s, t.s):
		return s.slice(len(t.s), len(s.s)), r.scan(len(t.s))
	case name == "removesuffix" && strings.HasSuffix(s.s, t.s):
		return s.slice(0, len(s.s)-len(t.s)), r.scan(len(t.s))
	}
	return s, r.scan(len(t.s))
}

func (r *run) replaceMethod(s *str, p []value) (value, error) {
	old, err := r.textArg("replace", p[0])
	if err != nil {
		return nil, err
	}
	with, err := r.textArg("replace", p[1])
	if err != nil {
		return nil, err
	}
	if s.markup {
		if with, err = r.escapeHTML(with); err != nil {
			return nil, err
		}
	}
	n, err := r.intArg("replace", p[2], -1)
	if err != nil {
		return nil, err
	}
	out, err := r.replace(s, old, with, n)
	if err != nil {
		return nil, err
	}
	return out.asMarkup(s.markup), nil
}

// replace replaces the first n occurrences of old, all if n is negative. An empty
// old occurs before every character and at the end.
func (r *run) replace(s, old, with *str, n int) (*str, error) {
	if err := r.scan(len(s.s)); err != nil {
		return nil, err
	}
	b := r.builder()
	at := 0
	for first := true; n != 0; n, first = n-1, false {
		size := strings.Index(s.s[at:], old.s)
		if old.s == "" && !first {
			if at == len(s.s) {
				break
			}
			_, size = utf8.DecodeRuneInString(s.s[at:])
		}
		if size < 0 {
			break
		}
		if err := r.step(1); err != nil {
			return nil, err
		}
		b.str(s.slice(at, at+size))
		b.str(with)
		if b.err != nil {
			return nil, b.err
		}
		at += size + len(old.s)
	}
	if at == 0 && len(b.b) == 0 {
		return s.plain(), nil
	}
	b.str(s.slice(at, len(s.s)))
	return b.done()
}

// find is find, rfind, index, rindex and count.
func (r *run) find(s *str, name string, p []value) (value, error) {
	t, err := r.textArg(name, p[0])
	if err != nil {
		return nil, err
	}
	lo, hi, ok, err := r.part(name, s, p[1], p[2])
	if err != nil {
		return nil, err
	}
	at := -1
	switch {
	case !ok && name == "count":
		return int64(0), nil
	case !ok:
	case name == "count":
		return int64(strings.Count(s.s[lo:hi], t.s)), nil
	case name[0] == 'r':
		at = strings.LastIndex(s.s[lo:hi], t.s)
	default:
		at = strings.Index(s.s[lo:hi], t.s)
	}
	if at >= 0 {
		return int64(utf8.RuneCountInString(s.s[:lo+at])), nil
	}
	if strings.HasSuffix(name, "index") {
		return nil, r.failf("%s: substring not found", name)
	}
	return int64(-1), nil
}

// joinMethod is s.join(items), which must be strings.
func (r *run) joinMethod(s *str, items value) (value, error) {
	list, err := r.collect(items)
	if err != nil {
		return nil, err
	}
	b := r.builder()
	for i, x := range list {
		t, ok := x.(*str)
		if !ok {
			return nil, r.failf("join: sequence item %d: expected str instance, %s found", i, typeName(x))
		}
		if i > 0 {
			b.str(s)
		}
		if s.markup {
			if t, err = r.escapeHTML(t); err != nil {
				return nil, err
			}
		}
		b.str(t)
	}
	out, err := b.done()
	if err != nil {
		return nil, err
	}
	return out.asMarkup(s.markup), nil
}

// justify pads to a width in code points: center, ljust, rjust and zfill.
func (r *run) justify(s *str, name string, p []value) (value, error) {
	width, err := r.intArg(name, p[0], 0)
	if err != nil {
		return nil, err
	}
	fill := lit(" ")
	if p[1] != missing {
		if fill, err = r.textArg(name, p[1]); err != nil {
			return nil, err
		}
		if fill.runes() != 1 {
			return nil, r.failf("%s: the fill character must be exactly one character long", name)
		}
	}
	if err := r.scan(len(s.s)); err != nil {
		return nil, err
	}
	pad := width - s.runes()
	if pad <= 0 {
		return s, nil
	}
	left, sign := 0, 0
	switch name {
	case "center":
		left = pad/2 + pad&width&1
	case "rjust":
		left = pad
	case "zfill":
		left, fill = pad, lit("0")
		if strings.HasPrefix(s.s, "-") || strings.HasPrefix(s.s, "+") {
			sign = 1
		}
	}
	before, err := r.repeat(fill, int64(left))
	if err != nil {
		return nil, err
	}
	after, err := r.repeat(fill, int64(pad-left))
	if err != nil {
		return nil, err
	}
	b := r.builder()
	b.str(s.slice(0, sign))
	b.str(before.(*str))
	b.str(s.slice(sign, len(s.s)))
	b.str(after.(*str))
	out, err := b.done()
	if err != nil {
		return nil, err
	}
	return out.asMarkup(s.markup), nil
}
