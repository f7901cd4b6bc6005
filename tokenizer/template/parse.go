package template

// This file parses statements, by recursive descent over the lexer's tokens.
// parseexpr.go parses expressions.

import "fmt"

type parser struct {
	lex       *lexer
	cur, peek token
	depth     int
	loops     int          // enclosing loops that break and continue may reach
	macros    []*macroStmt // being parsed, outermost first
	reads     map[string]bool
}

func newParser(src string) (*parser, error) {
	p := &parser{lex: newLexer(src), reads: map[string]bool{}}
	var err error
	if p.cur, err = p.lex.next(); err != nil {
		return nil, err
	}
	p.peek, err = p.lex.next()
	return p, err
}

func (p *parser) errorf(format string, a ...any) error {
	return &SyntaxError{Line: p.cur.line, Reason: fmt.Sprintf(format, a...)}
}

// advance consumes the current token and returns it.
func (p *parser) advance() (token, error) {
	t := p.cur
	p.cur = p.peek
	var err error
	p.peek, err = p.lex.next()
	return t, err
}

func (p *parser) isOp(op string) bool     { return p.cur.kind == tokOp && p.cur.text == op }
func (p *parser) isName(name string) bool { return p.cur.kind == tokName && p.cur.text == name }

// skipOp consumes the operator if it is next.
func (p *parser) skipOp(op string) (bool, error) {
	if !p.isOp(op) {
		return false, nil
	}
	_, err := p.advance()
	return true, err
}

// skipName consumes the word if it is next.
func (p *parser) skipName(name string) (bool, error) {
	if !p.isName(name) {
		return false, nil
	}
	_, err := p.advance()
	return true, err
}

func (p *parser) expectOp(op string) error {
	ok, err := p.skipOp(op)
	if err == nil && !ok {
		err = p.errorf("unexpected %s, want %q", p.cur, op)
	}
	return err
}

func (p *parser) expectName() (string, error) {
	if p.cur.kind != tokName {
		return "", p.errorf("unexpected %s, want a name", p.cur)
	}
	t, err := p.advance()
	return t.text, err
}

func (p *parser) expect(kind tokenKind) error {
	if p.cur.kind != kind {
		return p.errorf("unexpected %s, want %s", p.cur, token{kind: kind})
	}
	_, err := p.advance()
	return err
}

func (p *parser) enter() error {
	if p.depth++; p.depth > maxNesting {
		return &LimitError{Line: p.cur.line, What: "levels of nesting in the template", Limit: maxNesting}
	}
	return nil
}

func (p *parser) leave() { p.depth-- }

// body parses statements up to {% end %} for one of ends, and consumes that word.
// Without ends it parses to the end of the template.
func (p *parser) body(ends ...string) (list []stmt, end string, err error) {
	if err := p.enter(); err != nil {
		return nil, "", err
	}
	defer p.leave()
	line := p.cur.line
	for {
		switch p.cur.kind {
		case tokEOF:
			if len(ends) > 0 {
				return nil, "", p.errorf("the template ends inside the block of line %d, want {%% %s %%}", line, ends[len(ends)-1])
			}
			return list, "", nil
		case tokData:
			t, err := p.advance()
			if err != nil {
				return nil, "", err
			}
			list = append(list, &textStmt{lit(t.text)})
		case tokVarBegin:
			s, err := p.print()
			if err != nil {
				return nil, "", err
			}
			list = append(list, s)
		case tokBlockBegin:
			if _, err := p.advance(); err != nil {
				return nil, "", err
			}
			for _, e := range ends {
				if ok, err := p.skipName(e); ok || err != nil {
					return list, e, err
				}
			}
			s, err := p.statement()
			if err != nil {
				return nil, "", err
			}
			list = append(list, s...)
			if err := p.expect(tokBlockEnd); err != nil {
				return nil, "", err
			}
		default:
			return nil, "", p.errorf("unexpected %s", p.cur)
		}
	}
}

// block parses `%} … {% end` and consumes all of it.
func (p *parser) block(ends ...string) ([]stmt, string, error) {
	if _, err := p.skipOp(":"); err != nil {
		return nil, "", err
	}
	if err := p.expect(tokBlockEnd); err != nil {
		return nil, "", err
	}
	return p.body(ends...)
}

func (p *parser) print() (stmt, error) {
	s := &printStmt{line: p.cur.line}
	if _, err := p.advance(); err != nil {
		return nil, err
	}
	var err error
	if s.x, err = p.tuple(tupleOpts{cond: true}); err != nil {
		return nil, err
	}
	return s, p.expect(tokVarEnd)
}

// statement parses what stands between {% and %}, and a block's body.
func (p *parser) statement() ([]stmt, error) {
	if p.cur.kind != tokName {
		return nil, p.errorf("unexpected %s, want the name of a tag", p.cur)
	}
	t, err := p.advance()
	if err != nil {
		return nil, err
	}
	one := func(s stmt, err error) ([]stmt, error) { return []stmt{s}, err }
	switch t.text {
	case "if":
		return one(p.parseIf())
	case "for":
		return one(p.parseFor(t.line))
	case "set":
		return one(p.parseSet(t.line))
	case "macro":
		return one(p.parseMacro(t.line))
	case "call":
		return one(p.parseCall(t.line))
	case "filter":
		return one(p.parseFilter(t.line))
	case "with":
		return one(p.parseWith(t.line))
	case "generation":
		s := &scopeStmt{}
		s.body, err = p.cut(func() ([]stmt, error) { b, _, err := p.block("endgeneration"); return b, err })
		return one(s, err)
	case "print":
		return p.parsePrint(t.line)
	case "break", "continue":
		if p.loops == 0 {
			return nil, p.errorf("%s outside a loop", t.text)
		}
		return one(&jumpStmt{map[string]ctl{"break": ctlBreak, "continue": ctlContinue}[t.text]}, nil)
	}
	return nil, &SyntaxError{Line: t.line, Reason: fmt.Sprintf("unknown or unsupported tag %q", t.text)}
}

// cut parses a body that break and continue cannot leave.
func (p *parser) cut(f func() ([]stmt, error)) ([]stmt, error) {
	loops := p.loops
	p.loops = 0
	defer func() { p.loops = loops }()
	return f()
}

func (p *parser) parseIf() (stmt, error) {
	s := &ifStmt{}
	for {
		test, err := p.tuple(tupleOpts{})
		if err != nil {
			return nil, err
		}
		body, end, err := p.block("elif", "else", "endif")
		if err != nil {
			return nil, err
		}
		s.tests, s.bodies = append(s.tests, test), append(s.bodies, body)
		switch end {
		case "endif":
			return s, nil
		case "else":
			s.orElse, _, err = p.block("endif")
			return s, err
		}
	}
}

func (p *parser) parseFor(line int) (stmt, error) {
	s := &forStmt{line: line}
	var err error
	if s.target, err = p.targets(false, "in"); err != nil {
		return nil, err
	}
	if s.target.assigns("loop") {
		return nil, p.errorf("for: cannot assign to loop, the variable of the loop itself")
	}
	if ok, err := p.skipName("in"); err != nil || !ok {
		return nil, orErr(err, p.errorf("for: unexpected %s, want \"in\"", p.cur))
	}
	if s.seq, err = p.tuple(tupleOpts{end: "recursive"}); err != nil {
		return nil, err
	}
	if ok, err := p.skipName("if"); err != nil {
		return nil, err
	} else if ok {
		if s.when, err = p.expression(true); err != nil {
			return nil, err
		}
	}
	if s.recursive, err = p.skipName("recursive"); err != nil {
		return nil, err
	}
	p.loops++
	body, end, err := p.block("else", "endfor")
	p.loops--
	if err != nil {
		return nil, err
	}
	s.body = body
	if end == "else" {
		s.orElse, _, err = p.block("endfor")
	}
	return s, err
}

func (p *parser) parseSet(line int) (stmt, error) {
	t, err := p.targets(true, "")
	if err != nil {
		return nil, err
	}
	if ok, err := p.skipOp("="); err != nil {
		return nil, err
	} else if ok {
		x, err := p.tuple(tupleOpts{cond: true})
		return &setStmt{line: line, target: t, x: x}, err
	}
	s := &setBlockStmt{line: line, target: t}
	if s.filter, err = p.filters(nil); err != nil {
		return nil, err
	}
	s.body, _, err = p.block("endset")
	return s, err
}

// targets parses what is assigned to, up to the word end if there is one.
func (p *parser) targets(namespaces bool, end string) (target, error) {
	if err := p.enter(); err != nil {
		return target{}, err
	}
	defer p.leave()
	var list []target
	isTuple := false
	ended := func() bool {
		return p.cur.kind == tokBlockEnd || p.isOp(")") || p.isOp("=") || end != "" && p.isName(end)
	}
	for len(list) == 0 || !ended() {
		t, err := p.oneTarget(namespaces)
		if err != nil {
			return target{}, err
		}
		list = append(list, t)
		ok, err := p.skipOp(",")
		if err != nil {
			return target{}, err
		}
		if !ok {
			break
		}
		isTuple = true
	}
	if isTuple {
		return target{tuple: list}, nil
	}
	return list[0], nil
}

func (p *parser) oneTarget(namespaces bool) (target, error) {
	if ok, err := p.skipOp("("); err != nil {
		return target{}, err
	} else if ok {
		t, err := p.targets(false, "")
		if err != nil {
			return target{}, err
		}
		return t, p.expectOp(")")
	}
	name, err := p.expectName()
	if err != nil {
		return target{}, err
	}
	if _, ok := constant(name); ok {
		return target{}, p.errorf("cannot assign to %s", name)
	}
	if !namespaces || !p.isOp(".") {
		return target{name: name}, nil
	}
	if _, err := p.advance(); err != nil {
		return target{}, err
	}
	attr, err := p.expectName()
	return target{name: name, attr: attr}, err
}

// signature parses the parameters of a macro or call block.
func (p *parser) signature(m *macroStmt) error {
	if err := p.expectOp("("); err != nil {
		return err
	}
	for !p.isOp(")") {
		if len(m.params) > 0 {
			if err := p.expectOp(","); err != nil {
				return err
			}
		}
		name, err := p.expectName()
		if err != nil {
			return err
		}
		for _, q := range m.params {
			if q == name {
				return p.errorf("macro: two parameters named %q", name)
			}
		}
		if ok, err := p.skipOp("="); err != nil {
			return err
		} else if ok {
			x, err := p.expression(true)
			if err != nil {
				return err
			}
			m.defaults = append(m.defaults, x)
		} else if len(m.defaults) > 0 {
			return p.errorf("macro: parameter %q without a default follows one with a default", name)
		}
		m.params = append(m.params, name)
	}
	return p.expectOp(")")
}

// macroBody parses a macro's body and notes which special names it uses.
func (p *parser) macroBody(m *macroStmt, end string) error {
	p.macros = append(p.macros, m)
	var err error
	m.body, err = p.cut(func() ([]stmt, error) { b, _, err := p.block(end); return b, err })
	p.macros = p.macros[:len(p.macros)-1]
	return err
}

func (p *parser) parseMacro(line int) (stmt, error) {
	m := &macroStmt{line: line}
	var err error
	if m.name, err = p.expectName(); err != nil {
		return nil, err
	}
	if err := p.signature(m); err != nil {
		return nil, err
	}
	return m, p.macroBody(m, "endmacro")
}

func (p *parser) parseCall(line int) (stmt, error) {
	s := &callStmt{line: line, caller: &macroStmt{line: line, name: "caller"}}
	if p.isOp("(") {
		if err := p.signature(s.caller); err != nil {
			return nil, err
		}
	}
	x, err := p.expression(true)
	if err != nil {
		return nil, err
	}
	var ok bool
	if s.call, ok = x.(*callExpr); !ok {
		return nil, p.errorf("call: want a call such as f(x)")
	}
	return s, p.macroBody(s.caller, "endcall")
}

func (p *parser) parseFilter(line int) (stmt, error) {
	s := &filterStmt{line: line}
	x, err := p.oneFilter(nil)
	if err != nil {
		return nil, err
	}
	if s.filter, err = p.filters(x); err != nil {
		return nil, err
	}
	s.body, _, err = p.block("endfilter")
	return s, err
}

func (p *parser) parseWith(line int) (stmt, error) {
	s := &withStmt{line: line}
	for p.cur.kind != tokBlockEnd && !p.isOp(":") {
		if len(s.targets) > 0 {
			if err := p.expectOp(","); err != nil {
				return nil, err
			}
		}
		t, err := p.targets(false, "")
		if err != nil {
			return nil, err
		}
		if err := p.expectOp("="); err != nil {
			return nil, err
		}
		x, err := p.expression(true)
		if err != nil {
			return nil, err
		}
		s.targets, s.values = append(s.targets, t), append(s.values, x)
	}
	var err error
	s.body, _, err = p.block("endwith")
	return s, err
}

func (p *parser) parsePrint(line int) (list []stmt, err error) {
	for p.cur.kind != tokBlockEnd {
		if len(list) > 0 {
			if err := p.expectOp(","); err != nil {
				return nil, err
			}
		}
		x, err := p.expression(true)
		if err != nil {
			return nil, err
		}
		list = append(list, &printStmt{line: line, x: x})
	}
	return list, nil
}

// orErr is err, or other where err is nil.
func orErr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}
