package template

// This file holds the tests: x is name(args).

import (
	"math/big"
)

// operatorTests are the tests that compare with their argument.
var operatorTests = map[string]string{
	"==": "==", "eq": "==", "equalto": "==", "!=": "!=", "ne": "!=",
	">": ">", "gt": ">", "greaterthan": ">", ">=": ">=", "ge": ">=",
	"<": "<", "lt": "<", "lessthan": "<", "<=": "<=", "le": "<=", "in": "in",
}

// plainTest finds a test without arguments that cannot fail, nil if there is none.
func plainTest(name string) func(v value) bool {
	switch name {
	case "defined":
		return func(v value) bool { return !isUndefined(v) }
	case "undefined":
		return isUndefined
	case "none":
		return func(v value) bool { return v == nil }
	case "boolean":
		return func(v value) bool { _, ok := v.(bool); return ok }
	case "true":
		return func(v value) bool { return v == true }
	case "false":
		return func(v value) bool { return v == false }
	case "integer":
		return func(v value) bool {
			switch v.(type) {
			case int64, *big.Int:
				return true
			}
			return false
		}
	case "float":
		return func(v value) bool { _, ok := v.(float64); return ok }
	case "number":
		return isNumber
	case "string":
		return func(v value) bool { _, ok := v.(*str); return ok }
	case "mapping":
		return func(v value) bool { _, ok := v.(*dict); return ok }
	case "sequence":
		return func(v value) bool {
			switch v.(type) {
			case *str, *list, *tuple, *dict, *rng, *undefined:
				return true
			}
			return false
		}
	case "iterable":
		return func(v value) bool {
			switch v.(type) {
			case *str, *list, *tuple, *dict, *view, *rng, *gen, *loop, *undefined:
				return true
			}
			return false
		}
	case "callable":
		return func(v value) bool {
			switch v.(type) {
			case *function, *loop, *undefined:
				return true
			}
			return false
		}
	case "escaped":
		return func(v value) bool { s, ok := v.(*str); return ok && s.markup }
	}
	return nil
}

// hasTest tells whether a test of that name exists.
func hasTest(name string) bool {
	switch name {
	case "odd", "even", "divisibleby", "lower", "upper", "sameas", "filter", "test":
		return true
	}
	return operatorTests[name] != "" || plainTest(name) != nil
}

// test evaluates v is name(args).
func (r *run) test(name string, v value, a args) (bool, error) {
	if op := operatorTests[name]; op != "" {
		p, err := r.params("test "+name, a, 1, "other")
		if err != nil {
			return false, err
		}
		return r.compare(op, v, p[0])
	}
	if f := plainTest(name); f != nil {
		_, err := r.params("test "+name, a, 0)
		return f(v), err
	}
	switch name {
	case "odd", "even", "divisibleby":
		return r.testDivision(name, v, a)
	case "sameas":
		p, err := r.params("test sameas", a, 1, "other")
		if err != nil {
			return false, err
		}
		return r.same(v, p[0])
	case "lower", "upper":
		if _, err := r.params("test "+name, a, 0); err != nil {
			return false, err
		}
		s, err := r.text(v)
		if err != nil {
			return false, err
		}
		if name == "lower" {
			return isLower(s.s), r.scan(len(s.s))
		}
		return isUpper(s.s), r.scan(len(s.s))
	case "filter", "test":
		if _, err := r.params("test "+name, a, 0); err != nil {
			return false, err
		}
		s, err := r.textArg("test "+name, v)
		if err != nil {
			return false, err
		}
		if name == "filter" {
			return hasFilter(s.s), nil
		}
		return hasTest(s.s), nil
	}
	return false, r.failf("no test named %q", name)
}

func (r *run) testDivision(name string, v value, a args) (bool, error) {
	var by value = int64(2)
	want := value(int64(0))
	switch name {
	case "divisibleby":
		p, err := r.params("test divisibleby", a, 1, "num")
		if err != nil {
			return false, err
		}
		by = p[0]
	default:
		if _, err := r.params("test "+name, a, 0); err != nil {
			return false, err
		}
		if name == "odd" {
			want = int64(1)
		}
	}
	rest, err := r.binary("%", v, by)
	if err != nil {
		return false, err
	}
	return r.equal(rest, want)
}

// same is Python's identity: one object, or equal constants of one type.
func (r *run) same(a, b value) (bool, error) {
	switch x := a.(type) {
	case *str:
		y, ok := b.(*str)
		return ok && x.s == y.s, r.scan(len(x.s))
	case *big.Int:
		y, ok := b.(*big.Int)
		return ok && x.Cmp(y) == 0, nil
	}
	return a == b, nil
}
