package template

// This file parses expressions, with jinja2's precedence, which is not Python's:
// ~ binds tighter than +, filters and tests tighter than every operator but unary
// minus, and ** groups from the left.

// tupleOpts says how a bare tuple is read.
type tupleOpts struct {
	cond  bool   // a if b else c may be an element
	end   string // a word that ends it, beside the end of the tag
	paren bool   // in parentheses: may be empty
}

// tuple parses an expression, or several with commas between them.
func (p *parser) tuple(o tupleOpts) (expr, error) {
	var items []expr
	isTuple := false
	ended := func() bool {
		return p.cur.kind == tokVarEnd || p.cur.kind == tokBlockEnd || p.isOp(")") || o.end != "" && p.isName(o.end)
	}
	for !ended() {
		x, err := p.expression(o.cond)
		if err != nil {
			return nil, err
		}
		items = append(items, x)
		ok, err := p.skipOp(",")
		if err != nil {
			return nil, err
		}
		if !ok {
			break
		}
		isTuple = true
	}
	switch {
	case isTuple:
	case len(items) > 0:
		return items[0], nil
	case !o.paren:
		return nil, p.errorf("unexpected %s, want an expression", p.cur)
	}
	return &tupleExpr{items}, nil
}

// expression parses one expression; cond allows a if b else c at its top.
func (p *parser) expression(cond bool) (expr, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	x, err := p.or()
	for err == nil && cond {
		var ok bool
		if ok, err = p.skipName("if"); err != nil || !ok {
			break
		}
		c := &condExpr{yes: x}
		if c.test, err = p.or(); err != nil {
			break
		}
		if ok, err = p.skipName("else"); err != nil {
			break
		} else if ok {
			c.no, err = p.expression(true)
		}
		x = c
	}
	return x, err
}

func (p *parser) or() (expr, error) {
	x, err := p.and()
	for err == nil && p.isName("or") {
		if _, err = p.advance(); err != nil {
			break
		}
		l := &logicExpr{l: x}
		l.r, err = p.and()
		x = l
	}
	return x, err
}

func (p *parser) and() (expr, error) {
	x, err := p.not()
	for err == nil && p.isName("and") {
		if _, err = p.advance(); err != nil {
			break
		}
		l := &logicExpr{and: true, l: x}
		l.r, err = p.not()
		x = l
	}
	return x, err
}

func (p *parser) not() (expr, error) {
	if !p.isName("not") {
		return p.compare()
	}
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	if _, err := p.advance(); err != nil {
		return nil, err
	}
	x, err := p.not()
	return &notExpr{x}, err
}

// comparison consumes a comparison operator and returns it, or "".
func (p *parser) comparison() (string, error) {
	switch {
	case p.cur.kind == tokOp:
		switch p.cur.text {
		case "==", "!=", "<", "<=", ">", ">=":
			t, err := p.advance()
			return t.text, err
		}
	case p.isName("in"):
		_, err := p.advance()
		return "in", err
	case p.isName("not") && p.peek.kind == tokName && p.peek.text == "in":
		if _, err := p.advance(); err != nil {
			return "", err
		}
		_, err := p.advance()
		return "notin", err
	}
	return "", nil
}

func (p *parser) compare() (expr, error) {
	line := p.cur.line
	x, err := p.sum()
	if err != nil {
		return nil, err
	}
	c := &compareExpr{line: line, first: x}
	for {
		op, err := p.comparison()
		if err != nil {
			return nil, err
		}
		if op == "" {
			break
		}
		y, err := p.sum()
		if err != nil {
			return nil, err
		}
		c.ops, c.rest = append(c.ops, op), append(c.rest, y)
	}
	if len(c.ops) == 0 {
		return x, nil
	}
	return c, nil
}

// binary parses operands with any of ops between them, grouped from the left.
func (p *parser) binary(operand func() (expr, error), ops ...string) (expr, error) {
	x, err := operand()
	for err == nil {
		op := ""
		for _, o := range ops {
			if p.isOp(o) {
				op = o
			}
		}
		if op == "" {
			break
		}
		b := &binaryExpr{line: p.cur.line, op: op, l: x}
		if _, err = p.advance(); err != nil {
			break
		}
		b.r, err = operand()
		x = b
	}
	return x, err
}

func (p *parser) sum() (expr, error)     { return p.binary(p.concat, "+", "-") }
func (p *parser) product() (expr, error) { return p.binary(p.power, "*", "/", "//", "%") }
func (p *parser) power() (expr, error) {
	return p.binary(func() (expr, error) { return p.unary(true) }, "**")
}

func (p *parser) concat() (expr, error) {
	line := p.cur.line
	x, err := p.product()
	if err != nil || !p.isOp("~") {
		return x, err
	}
	c := &concatExpr{line: line, items: []expr{x}}
	for p.isOp("~") {
		if _, err := p.advance(); err != nil {
			return nil, err
		}
		if x, err = p.product(); err != nil {
			return nil, err
		}
		c.items = append(c.items, x)
	}
	return c, nil
}

func (p *parser) unary(filters bool) (x expr, err error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	if p.isOp("-") || p.isOp("+") {
		t, err := p.advance()
		if err != nil {
			return nil, err
		}
		u := &unaryExpr{line: t.line, neg: t.text == "-"}
		if u.x, err = p.unary(false); err != nil {
			return nil, err
		}
		x = u
	} else if x, err = p.primary(); err != nil {
		return nil, err
	}
	if x, err = p.postfix(x); err != nil || !filters {
		return x, err
	}
	for {
		switch {
		case p.isOp("|"):
			x, err = p.filters(x)
		case p.isName("is"):
			x, err = p.test(x)
		case p.isOp("("):
			x, err = p.call(x)
		default:
			return x, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// constant is the value of a word that is a literal.
func constant(name string) (value, bool) {
	switch name {
	case "true", "True":
		return true, true
	case "false", "False":
		return false, true
	case "none", "None":
		return nil, true
	}
	return nil, false
}

func (p *parser) name(t token) expr {
	if v, ok := constant(t.text); ok {
		return &constExpr{v}
	}
	p.reads[t.text] = true
	for _, m := range p.macros {
		switch t.text {
		case "caller":
			m.caller = true
		case "varargs":
			m.varargs = true
		case "kwargs":
			m.kwargs = true
		}
	}
	return &nameExpr{line: t.line, name: t.text}
}

func (p *parser) primary() (expr, error) {
	t := p.cur
	switch {
	case t.kind == tokName:
		_, err := p.advance()
		return p.name(t), err
	case t.kind == tokNumber:
		_, err := p.advance()
		return &constExpr{t.num}, err
	case t.kind == tokString:
		var s []byte
		for p.cur.kind == tokString {
			t, err := p.advance()
			if err != nil {
				return nil, err
			}
			s = append(s, t.text...)
		}
		return &constExpr{lit(string(s))}, nil
	case p.isOp("("):
		if _, err := p.advance(); err != nil {
			return nil, err
		}
		x, err := p.tuple(tupleOpts{cond: true, paren: true})
		if err != nil {
			return nil, err
		}
		return x, p.expectOp(")")
	case p.isOp("["):
		return p.list()
	case p.isOp("{"):
		return p.dict()
	}
	return nil, p.errorf("unexpected %s, want an expression", t)
}

// list parses [a, b].
func (p *parser) list() (expr, error) {
	l := &listExpr{}
	err := p.sequence("]", func() error {
		x, err := p.expression(true)
		l.items = append(l.items, x)
		return err
	})
	return l, err
}

// dict parses {k: v}.
func (p *parser) dict() (expr, error) {
	d := &dictExpr{line: p.cur.line}
	err := p.sequence("}", func() error {
		k, err := p.expression(true)
		if err != nil {
			return err
		}
		if err := p.expectOp(":"); err != nil {
			return err
		}
		v, err := p.expression(true)
		d.keys, d.values = append(d.keys, k), append(d.values, v)
		return err
	})
	return d, err
}

// sequence consumes the opening bracket, calls element between commas, and
// consumes the closing one. A comma may stand before it.
func (p *parser) sequence(end string, element func() error) error {
	if _, err := p.advance(); err != nil {
		return err
	}
	for first := true; ; first = false {
		if ok, err := p.skipOp(end); ok || err != nil {
			return err
		}
		if !first {
			if err := p.expectOp(","); err != nil {
				return err
			}
			if ok, err := p.skipOp(end); ok || err != nil {
				return err
			}
		}
		if err := element(); err != nil {
			return err
		}
	}
}

// postfix parses .name, .0, [key] and (args) behind x.
func (p *parser) postfix(x expr) (expr, error) {
	for {
		var err error
		switch {
		case p.isOp("."):
			x, err = p.attribute(x)
		case p.isOp("["):
			x, err = p.subscript(x)
		case p.isOp("("):
			x, err = p.call(x)
		default:
			return x, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func (p *parser) attribute(x expr) (expr, error) {
	line := p.cur.line
	if _, err := p.advance(); err != nil {
		return nil, err
	}
	if p.cur.kind == tokNumber {
		if _, isFloat := p.cur.num.(float64); !isFloat {
			t, err := p.advance()
			return &itemExpr{line: line, x: x, key: &constExpr{t.num}}, err
		}
	}
	name, err := p.expectName()
	return &attrExpr{line: line, x: x, name: name}, err
}

// subscript parses [key], [lo:hi:step] and [a, b], whose key is a tuple.
func (p *parser) subscript(x expr) (expr, error) {
	line := p.cur.line
	var keys []expr
	var slice *sliceExpr
	err := p.sequence("]", func() (err error) {
		var key expr
		if !p.isOp(":") {
			if key, err = p.expression(true); err != nil {
				return err
			}
		}
		keys = append(keys, key)
		if !p.isOp(":") {
			return nil
		}
		slice, err = p.slice(&sliceExpr{line: line, x: x, lo: key})
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case len(keys) == 0 || slice != nil && len(keys) > 1:
		return nil, p.errorf("subscript: want one key or one slice")
	case slice != nil:
		return slice, nil
	case len(keys) > 1:
		return &itemExpr{line: line, x: x, key: &tupleExpr{keys}}, nil
	}
	return &itemExpr{line: line, x: x, key: keys[0]}, nil
}

// slice parses `:hi:step` into s.
func (p *parser) slice(s *sliceExpr) (*sliceExpr, error) {
	for _, part := range []*expr{&s.hi, &s.step} {
		if ok, err := p.skipOp(":"); err != nil || !ok {
			return s, err
		}
		if p.isOp(":") || p.isOp("]") || p.isOp(",") {
			continue
		}
		x, err := p.expression(true)
		if err != nil {
			return nil, err
		}
		*part = x
	}
	return s, nil
}

func (p *parser) call(f expr) (expr, error) {
	c := &callExpr{line: p.cur.line, f: f}
	var err error
	c.args, err = p.arguments()
	return c, err
}

// arguments parses (a, b, name=c, *d, **e).
func (p *parser) arguments() (a argList, err error) {
	err = p.sequence(")", func() error {
		if ok, err := p.skipOp("*"); ok || err != nil {
			if err == nil && (a.star != nil || a.starstar != nil) {
				err = p.errorf("call: * after * or **")
			}
			if err == nil {
				a.star, err = p.expression(true)
			}
			return err
		}
		if ok, err := p.skipOp("**"); ok || err != nil {
			if err == nil && a.starstar != nil {
				err = p.errorf("call: two **")
			}
			if err == nil {
				a.starstar, err = p.expression(true)
			}
			return err
		}
		if p.cur.kind == tokName && p.peek.kind == tokOp && p.peek.text == "=" {
			return p.keyword(&a)
		}
		if len(a.kw) > 0 || a.star != nil || a.starstar != nil {
			return p.errorf("call: a positional argument follows a named one")
		}
		x, err := p.expression(true)
		a.pos = append(a.pos, x)
		return err
	})
	return a, err
}

func (p *parser) keyword(a *argList) error {
	t, err := p.advance()
	if err != nil {
		return err
	}
	if a.starstar != nil {
		return p.errorf("call: argument %q follows **", t.text)
	}
	for _, n := range a.names {
		if n == t.text {
			return p.errorf("call: argument %q is given twice", n)
		}
	}
	if _, err := p.advance(); err != nil {
		return err
	}
	x, err := p.expression(true)
	a.names, a.kw = append(a.names, t.text), append(a.kw, x)
	return err
}

// filters parses any number of `| filter` behind x.
func (p *parser) filters(x expr) (expr, error) {
	for p.isOp("|") {
		if _, err := p.advance(); err != nil {
			return nil, err
		}
		var err error
		if x, err = p.oneFilter(x); err != nil {
			return nil, err
		}
	}
	return x, nil
}

func (p *parser) oneFilter(x expr) (expr, error) {
	f := &filterExpr{line: p.cur.line, x: x}
	var err error
	if f.name, err = p.dotted(); err != nil {
		return nil, err
	}
	if p.isOp("(") {
		f.args, err = p.arguments()
	}
	return f, err
}

// dotted parses a name that may contain dots.
func (p *parser) dotted() (string, error) {
	name, err := p.expectName()
	for err == nil && p.isOp(".") {
		if _, err = p.advance(); err != nil {
			break
		}
		var part string
		part, err = p.expectName()
		name += "." + part
	}
	return name, err
}

// test parses `is name`, `is not name` and its argument, in parentheses or bare.
func (p *parser) test(x expr) (expr, error) {
	t := &testExpr{line: p.cur.line, x: x}
	if _, err := p.advance(); err != nil {
		return nil, err
	}
	var err error
	if t.not, err = p.skipName("not"); err != nil {
		return nil, err
	}
	if t.name, err = p.dotted(); err != nil {
		return nil, err
	}
	switch {
	case p.isOp("("):
		t.args, err = p.arguments()
		return t, err
	case p.isName("else"), p.isName("or"), p.isName("and"):
		return t, nil
	case p.isName("is"):
		return nil, p.errorf("tests cannot be chained with is")
	case p.cur.kind == tokName, p.cur.kind == tokString, p.cur.kind == tokNumber, p.isOp("["), p.isOp("{"):
		arg, err := p.primary()
		if err != nil {
			return nil, err
		}
		if arg, err = p.postfix(arg); err != nil {
			return nil, err
		}
		t.args.pos = []expr{arg}
	}
	return t, nil
}
