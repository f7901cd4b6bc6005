package template

// This file evaluates expressions: names, literals, attributes, subscripts,
// slices, calls, filters and tests. ops.go has the operators.

import "math/big"

func (r *run) eval(x expr, sc *scope) (value, error) {
	if err := r.enter(); err != nil {
		return nil, err
	}
	defer r.leave()
	switch x := x.(type) {
	case *constExpr:
		return x.v, nil
	case *nameExpr:
		r.line = x.line
		return r.lookupName(x.name, sc)
	case *attrExpr:
		v, err := r.eval(x.x, sc)
		if err != nil {
			return nil, err
		}
		r.line = x.line
		return r.getAttr(v, x.name)
	case *itemExpr:
		v, err := r.eval(x.x, sc)
		if err != nil {
			return nil, err
		}
		key, err := r.eval(x.key, sc)
		if err != nil {
			return nil, err
		}
		r.line = x.line
		return r.getItem(v, key)
	case *sliceExpr:
		return r.evalSlice(x, sc)
	case *callExpr:
		return r.call(x, sc, nil)
	case *filterExpr:
		return r.filterChain(x, nil, sc)
	case *testExpr:
		return r.evalTest(x, sc)
	case *condExpr:
		return r.evalCond(x, sc)
	case *notExpr:
		v, err := r.eval(x.x, sc)
		return !truth(v), err
	case *logicExpr:
		v, err := r.eval(x.l, sc)
		if err != nil || truth(v) != x.and {
			return v, err
		}
		return r.eval(x.r, sc)
	case *compareExpr:
		return r.evalCompare(x, sc)
	case *binaryExpr:
		l, err := r.eval(x.l, sc)
		if err != nil {
			return nil, err
		}
		rv, err := r.eval(x.r, sc)
		if err != nil {
			return nil, err
		}
		r.line = x.line
		return r.binary(x.op, l, rv)
	case *unaryExpr:
		v, err := r.eval(x.x, sc)
		if err != nil {
			return nil, err
		}
		r.line = x.line
		return r.unary(x.neg, v)
	default:
		return r.evalMore(x, sc)
	}
}

// evalMore evaluates the expressions that build something of several.
func (r *run) evalMore(x expr, sc *scope) (value, error) {
	switch x := x.(type) {
	case *concatExpr:
		b := r.builder()
		for _, item := range x.items {
			v, err := r.eval(item, sc)
			if err != nil {
				return nil, err
			}
			r.line = x.line
			r.display(b, v)
		}
		s, err := b.done()
		return s, err
	case *tupleExpr:
		items, err := r.evalAll(x.items, sc)
		return &tuple{items: items}, err
	case *listExpr:
		items, err := r.evalAll(x.items, sc)
		return &list{items: items}, err
	case *dictExpr:
		d := newDict(len(x.keys))
		for i, k := range x.keys {
			key, err := r.eval(k, sc)
			if err != nil {
				return nil, err
			}
			v, err := r.eval(x.values[i], sc)
			if err != nil {
				return nil, err
			}
			r.line = x.line
			if err := r.put(d, key, v); err != nil {
				return nil, err
			}
		}
		return d, nil
	}
	panic("template: expression of an unknown type")
}

func (r *run) evalAll(xs []expr, sc *scope) ([]value, error) {
	if err := r.cells(len(xs)); err != nil {
		return nil, err
	}
	items := make([]value, len(xs))
	for i, x := range xs {
		v, err := r.eval(x, sc)
		if err != nil {
			return nil, err
		}
		items[i] = v
	}
	return items, nil
}

func (r *run) evalCond(x *condExpr, sc *scope) (value, error) {
	v, err := r.eval(x.test, sc)
	switch {
	case err != nil:
		return nil, err
	case truth(v):
		return r.eval(x.yes, sc)
	case x.no != nil:
		return r.eval(x.no, sc)
	}
	return &undefined{why: "the inline if-expression evaluated to false and has no else"}, nil
}

func (r *run) evalCompare(x *compareExpr, sc *scope) (value, error) {
	left, err := r.eval(x.first, sc)
	if err != nil {
		return nil, err
	}
	for i, op := range x.ops {
		right, err := r.eval(x.rest[i], sc)
		if err != nil {
			return nil, err
		}
		r.line = x.line
		ok, err := r.compare(op, left, right)
		if err != nil || !ok {
			return false, err
		}
		left = right
	}
	return true, nil
}

// evalArgs evaluates the arguments of a call, filter or test.
func (r *run) evalArgs(l *argList, sc *scope) (args, error) {
	var a args
	var err error
	if len(l.pos) > 0 {
		if a.pos, err = r.evalAll(l.pos, sc); err != nil {
			return a, err
		}
	}
	if len(l.kw) > 0 {
		a.names = l.names[:len(l.names):len(l.names)]
		if a.kw, err = r.evalAll(l.kw, sc); err != nil {
			return a, err
		}
	}
	if l.star != nil {
		v, err := r.eval(l.star, sc)
		if err != nil {
			return a, err
		}
		items, err := r.collect(v)
		if err != nil {
			return a, err
		}
		a.pos = append(a.pos, items...)
	}
	if l.starstar != nil {
		return a, r.starStar(l.starstar, sc, &a)
	}
	return a, nil
}

// starStar adds the entries of a **mapping.
func (r *run) starStar(x expr, sc *scope, a *args) error {
	v, err := r.eval(x, sc)
	if err != nil {
		return err
	}
	d, ok := v.(*dict)
	if !ok {
		return r.failf("call: the argument after ** must be a mapping, not %s", typeName(v))
	}
	for i, k := range d.keys {
		s, ok := k.(*str)
		if !ok {
			return r.failf("call: keywords must be strings, not %s", typeName(k))
		}
		for _, n := range a.names {
			if n == s.s {
				return r.failf("call: argument %q is given twice", n)
			}
		}
		if err := r.cells(1 + len(a.names)/scanBytes); err != nil {
			return err
		}
		a.names, a.kw = append(a.names, s.s), append(a.kw, d.vals[i])
	}
	return nil
}

// call evaluates f(args). A call block passes its body as caller.
func (r *run) call(x *callExpr, sc *scope, caller *function) (value, error) {
	f, err := r.eval(x.f, sc)
	if err != nil {
		return nil, err
	}
	a, err := r.evalArgs(&x.args, sc)
	if err != nil {
		return nil, err
	}
	r.line = x.line
	if caller != nil {
		for _, n := range a.names {
			if n == "caller" {
				return nil, r.failf("call: argument \"caller\" is given twice")
			}
		}
		a.names, a.kw = append(a.names, "caller"), append(a.kw, caller)
	}
	return r.apply(f, a)
}

// apply calls a value.
func (r *run) apply(f value, a args) (value, error) {
	switch f := f.(type) {
	case *function:
		return f.call(r, a)
	case *loop:
		if f.recurse == nil {
			return nil, r.failf("loop(): the for needs the word \"recursive\" for this")
		}
		if len(a.pos) != 1 || len(a.kw) > 0 {
			return nil, r.failf("loop(): want one argument")
		}
		return f.recurse(a.pos[0], f.depth0+1)
	case *undefined:
		return nil, r.failf("%s", f.why)
	}
	return nil, r.failf("'%s' object is not callable", typeName(f))
}

// filterChain evaluates x | name(args). The innermost filter of a block has no x:
// it is given the block's text.
func (r *run) filterChain(x expr, block *str, sc *scope) (value, error) {
	f, ok := x.(*filterExpr)
	if !ok {
		return r.eval(x, sc)
	}
	if err := r.enter(); err != nil {
		return nil, err
	}
	defer r.leave()
	var v value
	var err error
	switch {
	case f.x == nil:
		v = block
	case block != nil:
		v, err = r.filterChain(f.x, block, sc)
	default:
		v, err = r.eval(f.x, sc)
	}
	if err != nil {
		return nil, err
	}
	a, err := r.evalArgs(&f.args, sc)
	if err != nil {
		return nil, err
	}
	r.line = f.line
	return r.filter(f.name, v, a)
}

func (r *run) evalTest(x *testExpr, sc *scope) (value, error) {
	v, err := r.eval(x.x, sc)
	if err != nil {
		return nil, err
	}
	a, err := r.evalArgs(&x.args, sc)
	if err != nil {
		return nil, err
	}
	r.line = x.line
	ok, err := r.test(x.name, v, a)
	return ok != x.not, err
}

// getItem is v[key]: the element, else the attribute of that name, else undefined.
func (r *run) getItem(v, key value) (value, error) {
	x, ok, err := r.element(v, key)
	if err != nil || ok {
		return x, err
	}
	s, isText := key.(*str)
	if isText {
		if x, ok, err := r.attribute(v, s.s); err != nil || ok {
			return x, err
		}
		return r.noAttr(v, s.s)
	}
	return &undefined{why: owner(v) + " has no such element"}, nil
}

// getAttr is v.name: the attribute, else the element of that key, else undefined.
func (r *run) getAttr(v value, name string) (value, error) {
	if u, ok := v.(*undefined); ok {
		return nil, r.failf("%s", u.why)
	}
	x, ok, err := r.attribute(v, name)
	if err != nil || ok {
		return x, err
	}
	if d, isDict := v.(*dict); isDict {
		if x, ok := d.text(name); ok {
			return x, nil
		}
	}
	return r.noAttr(v, name)
}

func (r *run) noAttr(v value, name string) (value, error) {
	if err := r.alloc(cellBytes + len(name)); err != nil {
		return nil, err
	}
	return &undefined{why: "'" + owner(v) + "' has no attribute '" + name + "'"}, nil
}

// index is the offset of a subscript in a sequence of n elements.
func index(key value, n int) (int, bool) {
	i, ok := smallInt(key)
	if !ok {
		return 0, false
	}
	if i < 0 {
		i += int64(n)
	}
	return int(i), i >= 0 && i < int64(n)
}

// smallInt is an int or bool that fits int64.
func smallInt(v value) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	}
	return 0, false
}

// element is Python's v[key], ok false where Python raises a LookupError or
// TypeError.
func (r *run) element(v, key value) (value, bool, error) {
	switch v := v.(type) {
	case *dict:
		switch key.(type) {
		case *list, *dict, *view:
			return nil, false, nil
		}
		return r.lookup(v, key)
	case *list:
		if i, ok := index(key, len(v.items)); ok {
			return v.items[i], true, nil
		}
	case *tuple:
		if i, ok := index(key, len(v.items)); ok {
			return v.items[i], true, nil
		}
	case *rng:
		if i, ok := index(key, v.n); ok {
			return v.start + int64(i)*v.step, true, nil
		}
	case *str:
		if err := r.scan(len(v.s)); err != nil {
			return nil, false, err
		}
		if i, ok := index(key, v.runes()); ok {
			lo := v.byteAt(i)
			return v.slice(lo, lo+v.slice(lo, len(v.s)).byteAt(1)), true, r.alloc(cellBytes)
		}
	case *undefined:
		return nil, false, r.failf("%s", v.why)
	}
	return nil, false, nil
}

// evalSlice is x[lo:hi:step].
func (r *run) evalSlice(x *sliceExpr, sc *scope) (value, error) {
	v, err := r.eval(x.x, sc)
	if err != nil {
		return nil, err
	}
	var bounds [3]*int64
	for i, part := range []expr{x.lo, x.hi, x.step} {
		if part == nil {
			continue
		}
		b, err := r.eval(part, sc)
		if err != nil {
			return nil, err
		}
		if b == nil {
			continue
		}
		r.line = x.line
		n, ok := smallInt(b)
		if big, isBig := b.(*big.Int); isBig {
			n, ok = int64(big.Sign())<<62, true
		}
		if !ok {
			return nil, r.failf("slice indices must be integers or None, not %s", typeName(b))
		}
		bounds[i] = &n
	}
	r.line = x.line
	step := int64(1)
	if bounds[2] != nil {
		step = *bounds[2]
	}
	if step == 0 {
		return nil, r.failf("slice step cannot be zero")
	}
	return r.slice(v, bounds[0], bounds[1], step)
}

// sliceRange is Python's slice.indices(n): the first index, the one behind the last, and
// how many there are.
func sliceRange(lo, hi *int64, step int64, n int) (start, end int64, count int) {
	size := int64(n)
	clamp := func(p *int64, def, least, most int64) int64 {
		if p == nil {
			return def
		}
		i := *p
		if i < 0 {
			i += size
		}
		return min(max(i, least), most)
	}
	if step > 0 {
		start = clamp(lo, 0, 0, size)
		if end = clamp(hi, size, 0, size); end > start {
			count = int((end-start-1)/step + 1)
		}
		return start, end, count
	}
	start = clamp(lo, size-1, -1, size-1)
	if end = clamp(hi, -1, -1, size-1); start > end {
		count = int((start-end-1)/-max(step, -size-1) + 1)
	}
	return start, end, count
}

func (r *run) slice(v value, lo, hi *int64, step int64) (value, error) {
	pick := func(items []value) ([]value, error) {
		start, _, n := sliceRange(lo, hi, step, len(items))
		if step == 1 {
			return items[start : start+int64(n) : start+int64(n)], r.step(1)
		}
		out := make([]value, 0, n)
		for i := range n {
			out = append(out, items[start+int64(i)*step])
		}
		return out, nil
	}
	n, _ := length(v)
	switch v := v.(type) {
	case *list:
		if err := r.cells(n); err != nil {
			return nil, err
		}
		items, err := pick(v.items)
		return &list{items: items}, err
	case *tuple:
		if err := r.cells(n); err != nil {
			return nil, err
		}
		items, err := pick(v.items)
		return &tuple{items: items}, err
	case *str:
		return r.sliceText(v, lo, hi, step)
	case *rng:
		start, end, n := sliceRange(lo, hi, step, v.n)
		return &rng{start: v.start + start*v.step, stop: v.start + end*v.step, step: v.step * step, n: n}, nil
	case *undefined:
		return nil, r.failf("%s", v.why)
	case *dict:
		return nil, r.failf("unhashable type: 'slice'")
	}
	return nil, r.failf("'%s' object is not subscriptable", typeName(v))
}

// sliceText cuts a string by code points.
func (r *run) sliceText(s *str, lo, hi *int64, step int64) (value, error) {
	if err := r.scan(len(s.s)); err != nil {
		return nil, err
	}
	start, _, n := sliceRange(lo, hi, step, s.runes())
	if n == 0 {
		return lit("").asMarkup(s.markup), nil
	}
	if step == 1 {
		from := s.byteAt(int(start))
		rest := s.slice(from, len(s.s))
		return rest.slice(0, rest.byteAt(n)), r.alloc(cellBytes)
	}
	// Offsets of the code points, so that any step finds its own.
	if err := r.cells(len(s.s) / 8); err != nil {
		return nil, err
	}
	at := make([]int, 0, len(s.s)+1)
	for i := range s.s {
		at = append(at, i)
	}
	at = append(at, len(s.s))
	b := r.builder()
	for i := range n {
		if err := r.step(1); err != nil {
			return nil, err
		}
		k := start + int64(i)*step
		b.str(s.slice(at[k], at[k+1]))
	}
	out, err := b.done()
	if err != nil {
		return nil, err
	}
	return out.asMarkup(s.markup), nil
}
