package template

// This file holds the filters on text and single values. listfilters.go has those
// on sequences.

import (
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// filter applies a filter by name.
func (r *run) filter(name string, v value, a args) (value, error) {
	f, names, need := textFilter(name)
	if f == nil {
		f, names, need = listFilter(name)
	}
	if f == nil {
		if g := rawFilter(name); g != nil {
			return g(r, v, a)
		}
		return nil, r.failf("no filter named %q", name)
	}
	p, err := r.params("filter "+name, a, need, names...)
	if err != nil {
		return nil, err
	}
	return f(r, v, p)
}

// hasFilter tells whether a filter of that name exists.
func hasFilter(name string) bool {
	text, _, _ := textFilter(name)
	items, _, _ := listFilter(name)
	return text != nil || items != nil || rawFilter(name) != nil
}

type filterFunc func(r *run, v value, p []value) (value, error)

// onText makes a filter of a mapping of strings; anything else is printed first.
func onText(f func(r *run, s *str) (*str, error)) filterFunc {
	return func(r *run, v value, _ []value) (value, error) {
		s, err := r.softText(v)
		if err != nil {
			return nil, err
		}
		return f(r, s)
	}
}

// textFilter finds a filter on text or a single value: its function, the names of
// its parameters, and how many of them are required.
func textFilter(name string) (f filterFunc, names []string, need int) {
	switch name {
	case "upper":
		return onText((*run).upper), nil, 0
	case "lower":
		return onText((*run).lower), nil, 0
	case "title":
		return onText((*run).titleWords), nil, 0
	case "capitalize":
		return onText((*run).capitalize), nil, 0
	case "string":
		return onText(func(_ *run, s *str) (*str, error) { return s, nil }), nil, 0
	case "e", "escape":
		return onText((*run).escapeHTML), nil, 0
	case "forceescape":
		return onText(func(r *run, s *str) (*str, error) { return r.escapeHTML(s.plain()) }), nil, 0
	case "safe":
		return onText(func(_ *run, s *str) (*str, error) { return s.asMarkup(true), nil }), nil, 0
	case "trim":
		return func(r *run, v value, p []value) (value, error) {
			s, err := r.softText(v)
			if err != nil {
				return nil, err
			}
			return r.strip(s, "strip", p[0])
		}, []string{"chars"}, 0
	case "replace":
		return filterReplace, []string{"old", "new", "count"}, 2
	case "indent":
		return filterIndent, []string{"width", "first", "blank"}, 0
	case "truncate":
		return filterTruncate, []string{"length", "killwords", "end", "leeway"}, 0
	case "center":
		return func(r *run, v value, p []value) (value, error) {
			s, err := r.softText(v)
			if err != nil {
				return nil, err
			}
			if p[0] == missing {
				p[0] = int64(80)
			}
			return r.justify(s, "center", []value{p[0], missing})
		}, []string{"width"}, 0
	case "wordcount":
		return filterWordCount, nil, 0
	case "tojson":
		return filterToJSON, []string{"ensure_ascii", "indent", "separators", "sort_keys"}, 0
	case "default", "d":
		return func(_ *run, v value, p []value) (value, error) {
			if !isUndefined(v) && (p[1] == missing || !truth(p[1]) || truth(v)) {
				return v, nil
			}
			if p[0] == missing {
				return lit(""), nil
			}
			return p[0], nil
		}, []string{"default_value", "boolean"}, 0
	case "attr":
		return func(r *run, v value, p []value) (value, error) {
			s, err := r.textArg("filter attr", p[0])
			if err != nil {
				return nil, err
			}
			if x, ok, err := r.attribute(v, s.s); err != nil || ok {
				return x, err
			}
			return r.noAttr(v, s.s)
		}, []string{"name"}, 1
	case "int":
		return filterInt, []string{"default", "base"}, 0
	case "float":
		return filterFloat, []string{"default"}, 0
	case "round":
		return filterRound, []string{"precision", "method"}, 0
	case "abs":
		return filterAbs, nil, 0
	}
	return nil, nil, 0
}

func filterReplace(r *run, v value, p []value) (value, error) {
	var s [3]*str
	for i, x := range []value{v, p[0], p[1]} {
		var err error
		if s[i], err = r.text(x); err != nil {
			return nil, err
		}
	}
	n, err := r.intArg("filter replace", p[2], -1)
	if err != nil {
		return nil, err
	}
	return r.replace(s[0], s[1], s[2], n)
}

// filterIndent indents every line but the first and the blank ones.
func filterIndent(r *run, v value, p []value) (value, error) {
	s, err := r.textArg("filter indent", v)
	if err != nil {
		if u, ok := v.(*undefined); ok {
			err = r.failf("%s", u.why)
		}
		return nil, err
	}
	indent, isText := p[0].(*str)
	if !isText {
		n, err := r.intArg("filter indent", p[0], 4)
		if err != nil {
			return nil, err
		}
		x, err := r.repeat(lit(" "), int64(n))
		if err != nil {
			return nil, err
		}
		indent = x.(*str)
	}
	given := func(v value) bool { return v != missing && truth(v) }
	first, blank := given(p[1]), given(p[2])
	lines, err := r.splitLines(&str{s: s.s + "\n", marks: s.marks, off: s.off}, false)
	if err != nil {
		return nil, err
	}
	b := r.builder()
	for i, x := range lines {
		line := x.(*str)
		if i > 0 {
			b.lit("\n")
		}
		if i == 0 && first || i > 0 && (blank || line.s != "") {
			b.str(indent)
		}
		b.str(line)
	}
	out, err := b.done()
	if err != nil {
		return nil, err
	}
	return out.asMarkup(s.markup), nil
}

func filterTruncate(r *run, v value, p []value) (value, error) {
	limit, err := r.intArg("filter truncate", p[0], 255)
	if err != nil {
		return nil, err
	}
	leeway, err := r.intArg("filter truncate", p[3], 5)
	if err != nil {
		return nil, err
	}
	end := lit("...")
	if p[2] != missing {
		if end, err = r.textArg("filter truncate", p[2]); err != nil {
			return nil, err
		}
	}
	keep := limit - end.runes()
	if keep < 0 || leeway < 0 {
		return nil, r.failf("filter truncate: the length must be at least that of %q, the leeway at least 0", end.s)
	}
	if n, ok := length(v); ok && n <= limit+leeway {
		return v, nil
	}
	s, err := r.textArg("filter truncate", v)
	if err != nil {
		return nil, err
	}
	if err := r.scan(len(s.s)); err != nil {
		return nil, err
	}
	cut := s.slice(0, s.byteAt(keep))
	if p[1] == missing || !truth(p[1]) {
		if i := strings.LastIndexByte(cut.s, ' '); i >= 0 {
			cut = cut.slice(0, i)
		}
	}
	return r.concat(cut, end)
}

// filterWordCount counts runs of letters, digits and underscores.
func filterWordCount(r *run, v value, _ []value) (value, error) {
	s, err := r.softText(v)
	if err != nil {
		return nil, err
	}
	n, inWord := int64(0), false
	for _, c := range s.s {
		word := c == '_' || unicode.IsLetter(c) || isNumericRune(c)
		if word && !inWord {
			n++
		}
		inWord = word
	}
	return n, r.scan(len(s.s))
}

// filterToJSON is json.dumps with transformers' defaults.
func filterToJSON(r *run, v value, p []value) (value, error) {
	b := r.builder()
	given := func(v value) bool { return v != missing && truth(v) }
	w := &jsonWriter{r: r, b: b, ascii: given(p[0]), sort: given(p[3]), item: lit(", "), key: lit(": ")}
	switch indent := p[1].(type) {
	case nil:
	case *str:
		w.pretty, w.indent = true, indent
	default:
		if indent == missing {
			break
		}
		n, err := r.intArg("filter tojson", indent, 0)
		if err != nil {
			return nil, err
		}
		x, err := r.repeat(lit(" "), int64(n))
		if err != nil {
			return nil, err
		}
		w.pretty, w.indent = true, x.(*str)
	}
	if w.pretty {
		w.item = lit(",")
	}
	if p[2] != missing && p[2] != nil {
		pair, err := r.unpack(p[2], 2)
		if err != nil {
			return nil, err
		}
		if w.item, err = r.textArg("filter tojson", pair[0]); err != nil {
			return nil, err
		}
		if w.key, err = r.textArg("filter tojson", pair[1]); err != nil {
			return nil, err
		}
	}
	w.write(v, 0)
	return b.done()
}

// parseInt is Python's int(text, base): whitespace around, a sign, a prefix and
// single underscores are allowed.
func (r *run) parseInt(s string, base int) (value, bool) {
	s = strings.TrimFunc(s, isSpace)
	if len(s) > 4300+8 || strings.HasPrefix(s, "_") || strings.HasSuffix(s, "_") || strings.Contains(s, "__") {
		return nil, false
	}
	sign, digits := "", s
	if s != "" && (s[0] == '-' || s[0] == '+') {
		sign, digits = s[:1], s[1:]
	}
	if strings.HasPrefix(digits, "_") {
		return nil, false
	}
	digits = asciiDigits(digits)
	if len(digits) > 2 && digits[0] == '0' {
		want := map[byte]int{'x': 16, 'o': 8, 'b': 2}[digits[1]|0x20]
		if want != 0 && (base == want || base == 0) {
			digits, base = strings.TrimPrefix(digits[2:], "_"), want
		}
	}
	if base == 0 {
		if strings.Trim(digits, "0_") != "" && strings.HasPrefix(digits, "0") {
			return nil, false
		}
		base = 10
	}
	digits = strings.ReplaceAll(digits, "_", "")
	if digits == "" || digits[0] == '-' || digits[0] == '+' {
		return nil, false
	}
	i, ok := new(big.Int).SetString(sign+digits, base)
	if !ok || i.BitLen() > maxIntBits {
		return nil, false
	}
	return normInt(i), true
}

// asciiDigits replaces the decimal digits of other scripts, which Python reads too.
func asciiDigits(s string) string {
	return strings.Map(func(c rune) rune {
		if c < 0x80 || !unicode.IsDigit(c) {
			return c
		}
		zero := c
		for n := 0; n < 9 && unicode.IsDigit(zero-1); n++ {
			zero--
		}
		return '0' + c - zero
	}, s)
}

// parseFloat is Python's float(text).
func parseFloat(s string) (float64, bool) {
	s = asciiDigits(strings.TrimFunc(s, isSpace))
	if strings.ContainsAny(s, "xXpP") {
		return 0, false
	}
	for i := range len(s) {
		if s[i] == '_' && (i == 0 || i+1 == len(s) || !isDigit(s[i-1]) || !isDigit(s[i+1])) {
			return 0, false
		}
	}
	f, err := strconv.ParseFloat(strings.ReplaceAll(s, "_", ""), 64)
	if err != nil && !math.IsInf(f, 0) {
		return 0, false
	}
	return f, true
}

func (r *run) truncFloat(f float64) (value, bool) {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return nil, false
	}
	i, _ := big.NewFloat(f).Int(nil)
	return normInt(i), true
}

func filterInt(r *run, v value, p []value) (value, error) {
	fallback := p[0]
	if fallback == missing {
		fallback = int64(0)
	}
	base, err := r.intArg("filter int", p[1], 10)
	if err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case *undefined:
		return nil, r.failf("%s", v.why)
	case *str:
		if err := r.scan(len(v.s)); err != nil {
			return nil, err
		}
		if base == 0 || base >= 2 && base <= 36 {
			if i, ok := r.parseInt(v.s, base); ok {
				return i, nil
			}
		}
		if f, ok := parseFloat(v.s); ok {
			if i, ok := r.truncFloat(f); ok {
				return i, nil
			}
		}
	case float64:
		if i, ok := r.truncFloat(v); ok {
			return i, nil
		}
		if math.IsInf(v, 0) {
			return nil, r.failf("filter int: cannot convert infinity to an integer")
		}
	case bool, int64, *big.Int:
		return normInt(bigInt(v)), nil
	}
	return fallback, nil
}

func filterFloat(r *run, v value, p []value) (value, error) {
	if u, ok := v.(*undefined); ok {
		return nil, r.failf("%s", u.why)
	}
	if isNumber(v) {
		f, err := r.toFloat(v)
		return f, err
	}
	if s, ok := v.(*str); ok {
		if err := r.scan(len(s.s)); err != nil {
			return nil, err
		}
		if f, ok := parseFloat(s.s); ok {
			return f, nil
		}
	}
	if p[0] == missing {
		return 0.0, nil
	}
	return p[0], nil
}

// roundFloat is Python's round(f, n): to even, on the exact decimal value of f.
func roundFloat(f float64, n int) float64 {
	switch {
	case math.IsInf(f, 0) || math.IsNaN(f) || n > 400:
		return f
	case n < -400:
		return math.Copysign(0, f)
	case n >= 0:
		out, _ := strconv.ParseFloat(strconv.FormatFloat(f, 'f', n, 64), 64)
		return out
	}
	unit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(-n)), nil)
	x := new(big.Rat).Quo(new(big.Rat).SetFloat64(f), new(big.Rat).SetInt(unit))
	out, _ := new(big.Rat).SetInt(new(big.Int).Mul(roundRat(x), unit)).Float64()
	return math.Copysign(out, f)
}

// roundRat rounds to the nearest integer, ties to even.
func roundRat(x *big.Rat) *big.Int {
	twice := new(big.Int).Lsh(x.Num(), 1)
	floor, rem := new(big.Int).DivMod(twice, new(big.Int).Lsh(x.Denom(), 1), new(big.Int))
	switch c := rem.Cmp(x.Denom()); {
	case c > 0, c == 0 && floor.Bit(0) == 1:
		floor.Add(floor, big.NewInt(1))
	}
	return floor
}

func filterRound(r *run, v value, p []value) (value, error) {
	if u, ok := v.(*undefined); ok {
		return nil, r.failf("%s", u.why)
	}
	if !isNumber(v) {
		return nil, r.failf("filter round: want a number, not %s", typeName(v))
	}
	n, err := r.intArg("filter round", p[0], 0)
	if err != nil {
		return nil, err
	}
	how := "common"
	if p[1] != missing {
		s, err := r.textArg("filter round", p[1])
		if err != nil {
			return nil, err
		}
		how = s.s
	}
	if !slices.Contains([]string{"common", "ceil", "floor"}, how) {
		return nil, r.failf("filter round: method must be common, ceil or floor")
	}
	if how == "common" {
		if f, ok := v.(float64); ok {
			return roundFloat(f, n), nil
		}
		i := bigInt(v)
		if n >= 0 {
			return normInt(i), nil
		}
		if n < -5000 {
			return int64(0), nil
		}
		unit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(-n)), nil)
		return r.fitInt(unit.Mul(unit, roundRat(new(big.Rat).SetFrac(i, unit))))
	}
	scale, err := r.arithmetic("**", int64(10), int64(min(max(n, -400), 400)))
	if err != nil {
		return nil, err
	}
	x, err := r.arithmetic("*", v, scale)
	if err != nil {
		return nil, err
	}
	if f, ok := x.(float64); ok {
		if how == "ceil" {
			f = math.Ceil(f)
		} else {
			f = math.Floor(f)
		}
		if x, ok = r.truncFloat(f); !ok {
			return nil, r.failf("filter round: cannot round %s", floatText(f))
		}
	}
	return r.arithmetic("/", x, scale)
}

func filterAbs(r *run, v value, _ []value) (value, error) {
	switch x := v.(type) {
	case float64:
		return math.Abs(x), nil
	case bool, int64, *big.Int:
		return normInt(new(big.Int).Abs(bigInt(v))), nil
	case *undefined:
		return nil, r.failf("%s", x.why)
	}
	return nil, r.failf("filter abs: bad operand type '%s'", typeName(v))
}
