package template

// This file holds the operators: arithmetic with Python's integers and floor
// division, equality, ordering and membership.

import (
	"cmp"
	"math"
	"math/big"
	"strings"
)

// normInt is i as int64 where it fits.
func normInt(i *big.Int) value {
	if i.IsInt64() {
		return i.Int64()
	}
	return i
}

// bigInt is an int or bool as big.Int, nil for anything else.
func bigInt(v value) *big.Int {
	if b, ok := v.(*big.Int); ok {
		return b
	}
	if i, ok := smallInt(v); ok {
		return big.NewInt(i)
	}
	return nil
}

// isNumber tells whether v is an int, bool or float.
func isNumber(v value) bool {
	switch v.(type) {
	case bool, int64, *big.Int, float64:
		return true
	}
	return false
}

// toFloat is a number as float64.
func (r *run) toFloat(v value) (float64, error) {
	if f, ok := v.(float64); ok {
		return f, nil
	}
	if i, ok := smallInt(v); ok {
		return float64(i), nil
	}
	f, _ := new(big.Float).SetInt(bigInt(v)).Float64()
	if math.IsInf(f, 0) {
		return 0, r.failf("int too large to convert to float")
	}
	return f, nil
}

func (r *run) fitInt(i *big.Int) (value, error) {
	if i.BitLen() > maxIntBits {
		return nil, &LimitError{Line: r.line, What: "bits of an integer", Limit: maxIntBits}
	}
	return normInt(i), nil
}

func (r *run) unary(neg bool, v value) (value, error) {
	switch {
	case isUndefined(v):
		return nil, r.failf("%s", v.(*undefined).why)
	case !isNumber(v):
		return nil, r.failf("bad operand type for unary minus or plus: '%s'", typeName(v))
	}
	if f, ok := v.(float64); ok {
		if neg {
			f = -f
		}
		return f, nil
	}
	b := bigInt(v)
	if neg {
		b = new(big.Int).Neg(b)
	}
	return normInt(b), nil
}

func (r *run) binary(op string, a, b value) (value, error) {
	for _, v := range []value{a, b} {
		if u, ok := v.(*undefined); ok {
			if s, isText := a.(*str); isText && op == "%" {
				return r.percent(s, b)
			}
			return nil, r.failf("%s", u.why)
		}
	}
	if isNumber(a) && isNumber(b) {
		return r.arithmetic(op, a, b)
	}
	switch op {
	case "+":
		return r.concat(a, b)
	case "*":
		if _, ok := smallInt(a); ok {
			a, b = b, a
		}
		if n, ok := smallInt(b); ok {
			return r.repeat(a, n)
		}
	case "%":
		if s, ok := a.(*str); ok {
			return r.percent(s, b)
		}
	}
	return nil, r.failf("unsupported operand type(s) for %s: '%s' and '%s'", op, typeName(a), typeName(b))
}

// concat is a + b of two strings, lists or tuples.
func (r *run) concat(a, b value) (value, error) {
	switch x := a.(type) {
	case *str:
		y, ok := b.(*str)
		if !ok {
			break
		}
		var err error
		if x.markup || y.markup {
			if x, err = r.escapeHTML(x); err != nil {
				return nil, err
			}
			if y, err = r.escapeHTML(y); err != nil {
				return nil, err
			}
		}
		out := r.builder()
		out.str(x)
		out.str(y)
		s, err := out.done()
		if err != nil {
			return nil, err
		}
		return s.asMarkup(x.markup), nil
	case *list:
		if y, ok := b.(*list); ok {
			items, err := r.joined(x.items, y.items)
			return &list{items: items}, err
		}
	case *tuple:
		if y, ok := b.(*tuple); ok {
			items, err := r.joined(x.items, y.items)
			return &tuple{items: items}, err
		}
	}
	if _, ok := a.(*str); ok {
		return nil, r.failf("can only concatenate str (not \"%s\") to str", typeName(b))
	}
	return nil, r.failf("unsupported operand type(s) for +: '%s' and '%s'", typeName(a), typeName(b))
}

func (r *run) joined(a, b []value) ([]value, error) {
	if err := r.cells(len(a) + len(b)); err != nil {
		return nil, err
	}
	return append(append(make([]value, 0, len(a)+len(b)), a...), b...), nil
}

// repeat is v * n of a string, list or tuple.
func (r *run) repeat(v value, n int64) (value, error) {
	n = max(n, 0)
	room := func(size int) error {
		if size > 0 && n > int64(math.MaxInt32)/int64(size) {
			return r.alloc(math.MaxInt)
		}
		return r.step(int(n) * min(size, 1))
	}
	times := func(items []value) ([]value, error) {
		if err := room(len(items)); err != nil {
			return nil, err
		}
		if err := r.cells(len(items) * int(n)); err != nil {
			return nil, err
		}
		out := make([]value, 0, len(items)*int(n))
		for len(items) > 0 && len(out) < cap(out) {
			out = append(out, items...)
		}
		return out, nil
	}
	switch v := v.(type) {
	case *str:
		if v.s == "" || n == 0 {
			return lit("").asMarkup(v.markup), nil
		}
		if err := room(len(v.s)); err != nil {
			return nil, err
		}
		if err := r.alloc(len(v.s) * int(n)); err != nil {
			return nil, err
		}
		if len(v.marks) == 0 {
			return lit(strings.Repeat(v.s, int(n))).asMarkup(v.markup), nil
		}
		b := r.builder()
		for i := int64(0); i < n && b.err == nil; i++ {
			b.str(v)
		}
		out, err := b.done()
		if err != nil {
			return nil, err
		}
		return out.asMarkup(v.markup), nil
	case *list:
		items, err := times(v.items)
		return &list{items: items}, err
	case *tuple:
		items, err := times(v.items)
		return &tuple{items: items}, err
	}
	return nil, r.failf("unsupported operand type(s) for *: '%s' and 'int'", typeName(v))
}

// arithmetic computes with two numbers.
func (r *run) arithmetic(op string, a, b value) (value, error) {
	_, af := a.(float64)
	_, bf := b.(float64)
	if !af && !bf {
		return r.intArithmetic(op, a, b)
	}
	x, err := r.toFloat(a)
	if err != nil {
		return nil, err
	}
	y, err := r.toFloat(b)
	if err != nil {
		return nil, err
	}
	switch op {
	case "+":
		return x + y, nil
	case "-":
		return x - y, nil
	case "*":
		return x * y, nil
	case "**":
		return r.floatPower(x, y)
	}
	if y == 0 {
		return nil, r.failf("float division by zero")
	}
	if op == "/" {
		return x / y, nil
	}
	// The remainder takes the sign of the divisor.
	mod := math.Mod(x, y)
	div := (x - mod) / y
	if mod == 0 {
		mod = math.Copysign(0, y)
	} else if (y < 0) != (mod < 0) {
		mod += y
		div--
	}
	if op == "%" {
		return mod, nil
	}
	if div == 0 {
		return math.Copysign(0, x/y), nil
	}
	floor := math.Floor(div)
	if div-floor > 0.5 {
		floor++
	}
	return floor, nil
}

func (r *run) floatPower(x, y float64) (value, error) {
	switch {
	case x == 0 && y < 0:
		return nil, r.failf("zero to a negative power")
	case x < 0 && y != math.Floor(y) && !math.IsInf(y, 0) && !math.IsInf(x, 0):
		return nil, r.failf("a negative number to a fractional power is complex")
	}
	f := math.Pow(x, y)
	if math.IsInf(f, 0) && !math.IsInf(x, 0) && !math.IsInf(y, 0) {
		return nil, r.failf("float power out of range")
	}
	return f, nil
}

func (r *run) intArithmetic(op string, a, b value) (value, error) {
	x, xSmall := smallInt(a)
	y, ySmall := smallInt(b)
	if xSmall && ySmall {
		switch op {
		case "+":
			if s := x + y; (s > x) == (y > 0) {
				return s, nil
			}
		case "-":
			if d := x - y; (d < x) == (y > 0) {
				return d, nil
			}
		case "*":
			if x == int64(int32(x)) && y == int64(int32(y)) {
				return x * y, nil
			}
		}
	}
	p, q := bigInt(a), bigInt(b)
	switch op {
	case "+":
		return r.fitInt(new(big.Int).Add(p, q))
	case "-":
		return r.fitInt(new(big.Int).Sub(p, q))
	case "*":
		return r.fitInt(new(big.Int).Mul(p, q))
	case "**":
		return r.intPower(p, q)
	}
	if q.Sign() == 0 {
		return nil, r.failf("division by zero")
	}
	if op == "/" {
		f, _ := new(big.Rat).SetFrac(p, q).Float64()
		if math.IsInf(f, 0) {
			return nil, r.failf("integer division result too large for a float")
		}
		return f, nil
	}
	div, mod := new(big.Int).QuoRem(p, q, new(big.Int))
	if mod.Sign() != 0 && (mod.Sign() < 0) != (q.Sign() < 0) {
		mod.Add(mod, q)
		div.Sub(div, big.NewInt(1))
	}
	if op == "%" {
		return normInt(mod), nil
	}
	return normInt(div), nil
}

func (r *run) intPower(p, q *big.Int) (value, error) {
	if q.Sign() < 0 {
		x, err := r.toFloat(normInt(p))
		if err != nil {
			return nil, err
		}
		y, err := r.toFloat(normInt(q))
		if err != nil {
			return nil, err
		}
		return r.floatPower(x, y)
	}
	if p.BitLen() <= 1 { // -1, 0, 1
		e := new(big.Int).And(q, big.NewInt(1))
		if q.Sign() != 0 && e.Sign() == 0 {
			e.SetInt64(2)
		}
		return normInt(e.Exp(p, e, nil)), nil
	}
	if !q.IsInt64() || q.Int64() > int64(maxIntBits/(p.BitLen()-1)) {
		return nil, &LimitError{Line: r.line, What: "bits of an integer", Limit: maxIntBits}
	}
	return r.fitInt(new(big.Int).Exp(p, q, nil))
}

// compareNumbers orders two numbers exactly; ok is false if one is NaN.
func compareNumbers(a, b value) (c int, ok bool) {
	x, xSmall := smallInt(a)
	y, ySmall := smallInt(b)
	if xSmall && ySmall {
		return cmp.Compare(x, y), true
	}
	exact := func(v value) (*big.Float, bool) {
		if f, isFloat := v.(float64); isFloat {
			if math.IsNaN(f) {
				return nil, false
			}
			return big.NewFloat(f), true
		}
		i := bigInt(v)
		return new(big.Float).SetPrec(uint(max(i.BitLen(), 64))).SetInt(i), true
	}
	p, ok1 := exact(a)
	q, ok2 := exact(b)
	if !ok1 || !ok2 {
		return 0, false
	}
	return p.Cmp(q), true
}

// equal is Python's a == b.
func (r *run) equal(a, b value) (bool, error) {
	if isNumber(a) && isNumber(b) {
		c, ok := compareNumbers(a, b)
		return ok && c == 0, nil
	}
	switch x := a.(type) {
	case nil:
		return b == nil, nil
	case *str:
		y, ok := b.(*str)
		if !ok || len(x.s) != len(y.s) {
			return false, nil
		}
		return x.s == y.s, r.scan(len(x.s))
	case *undefined:
		return isUndefined(b), nil
	case *list:
		if y, ok := b.(*list); ok {
			return r.equalItems(x.items, y.items)
		}
		return false, nil
	case *tuple:
		if y, ok := b.(*tuple); ok {
			return r.equalItems(x.items, y.items)
		}
		return false, nil
	case *dict:
		if y, ok := b.(*dict); ok {
			return r.equalDicts(x, y)
		}
		return false, nil
	case *rng:
		y, ok := b.(*rng)
		return ok && x.n == y.n && (x.n == 0 || x.start == y.start && (x.n == 1 || x.step == y.step)), nil
	case *view:
		y, ok := b.(*view)
		if !ok || x.kind != y.kind || x.kind == "values" {
			return ok && x == y, nil
		}
		if x.kind == "keys" && len(x.d.keys) == len(y.d.keys) {
			for h := range x.d.at {
				if _, ok := y.d.at[h]; !ok {
					return false, r.step(len(x.d.keys))
				}
			}
			return true, r.step(len(x.d.keys))
		}
		return r.equalDicts(x.d, y.d)
	}
	if isNumber(a) {
		return false, nil
	}
	return a == b, nil
}

func (r *run) equalItems(a, b []value) (bool, error) {
	if len(a) != len(b) {
		return false, nil
	}
	if err := r.enter(); err != nil {
		return false, err
	}
	defer r.leave()
	for i := range a {
		if err := r.step(1); err != nil {
			return false, err
		}
		if same, err := r.equal(a[i], b[i]); err != nil || !same {
			return false, err
		}
	}
	return true, nil
}

func (r *run) equalDicts(a, b *dict) (bool, error) {
	if len(a.keys) != len(b.keys) {
		return false, nil
	}
	if err := r.enter(); err != nil {
		return false, err
	}
	defer r.leave()
	for i, k := range a.keys {
		v, ok, err := r.lookup(b, k)
		if err != nil || !ok {
			return false, err
		}
		if same, err := r.equal(a.vals[i], v); err != nil || !same {
			return false, err
		}
	}
	return true, nil
}

// order compares two values for < and the sorts: -1, 0 or 1. ok is false where
// one is NaN.
func (r *run) order(op string, a, b value) (c int, ok bool, err error) {
	for _, v := range []value{a, b} {
		if u, is := v.(*undefined); is {
			return 0, false, r.failf("%s", u.why)
		}
	}
	if isNumber(a) && isNumber(b) {
		c, ok = compareNumbers(a, b)
		return c, ok, nil
	}
	switch x := a.(type) {
	case *str:
		if y, is := b.(*str); is {
			return cmp.Compare(x.s, y.s), true, r.scan(min(len(x.s), len(y.s)))
		}
	case *list:
		if y, is := b.(*list); is {
			return r.orderItems(op, x.items, y.items)
		}
	case *tuple:
		if y, is := b.(*tuple); is {
			return r.orderItems(op, x.items, y.items)
		}
	}
	return 0, false, r.failf("'%s' not supported between instances of '%s' and '%s'", op, typeName(a), typeName(b))
}

func (r *run) orderItems(op string, a, b []value) (int, bool, error) {
	if err := r.enter(); err != nil {
		return 0, false, err
	}
	defer r.leave()
	for i := range min(len(a), len(b)) {
		same, err := r.equal(a[i], b[i])
		if err != nil {
			return 0, false, err
		}
		if !same {
			return r.order(op, a[i], b[i])
		}
	}
	return cmp.Compare(len(a), len(b)), true, nil
}

// compare evaluates one comparison operator.
func (r *run) compare(op string, a, b value) (bool, error) {
	switch op {
	case "==":
		return r.equal(a, b)
	case "!=":
		same, err := r.equal(a, b)
		return !same, err
	case "in":
		return r.contains(b, a)
	case "notin":
		in, err := r.contains(b, a)
		return !in, err
	}
	c, ok, err := r.order(op, a, b)
	if err != nil || !ok {
		return false, err
	}
	switch op {
	case "<":
		return c < 0, nil
	case "<=":
		return c <= 0, nil
	case ">":
		return c > 0, nil
	}
	return c >= 0, nil
}

// contains is Python's x in seq.
func (r *run) contains(seq, x value) (bool, error) {
	switch s := seq.(type) {
	case *str:
		sub, ok := x.(*str)
		if !ok {
			return false, r.failf("'in <string>' requires string as left operand, not %s", typeName(x))
		}
		return strings.Contains(s.s, sub.s), r.scan(len(s.s))
	case *dict:
		_, ok, err := r.lookup(s, x)
		return ok, err
	case *view:
		if s.kind == "keys" {
			_, ok, err := r.lookup(s.d, x)
			return ok, err
		}
	case *list, *tuple, *rng, *gen, *undefined:
	default:
		return false, r.failf("argument of type '%s' is not iterable", typeName(seq))
	}
	next, err := r.iterate(seq)
	if err != nil {
		return false, err
	}
	for {
		v, ok, err := next()
		if err != nil || !ok {
			return false, err
		}
		if same, err := r.equal(v, x); err != nil || same {
			return same, err
		}
	}
}
