package template

// This file runs statements: scopes, loops, macros and captured output.

// ctl says how a statement ended.
type ctl int

const (
	ctlNext ctl = iota
	ctlBreak
	ctlContinue
)

// scope holds the variables of a template, a loop's iteration, a macro call or a
// block. Names not found are looked for in the parent.
type scope struct {
	parent *scope
	names  []string
	vals   []value
	at     map[string]int // once there are many names
}

const smallScope = 8

func (s *scope) find(name string) int {
	if s.at != nil {
		if i, ok := s.at[name]; ok {
			return i
		}
		return -1
	}
	for i, n := range s.names {
		if n == name {
			return i
		}
	}
	return -1
}

func (s *scope) set(name string, v value) {
	if i := s.find(name); i >= 0 {
		s.vals[i] = v
		return
	}
	s.names, s.vals = append(s.names, name), append(s.vals, v)
	if s.at != nil {
		s.at[name] = len(s.names) - 1
	} else if len(s.names) > smallScope {
		s.at = make(map[string]int, 2*len(s.names))
		for i, n := range s.names {
			s.at[n] = i
		}
	}
}

// lookup finds a variable, or a function every template has.
func (r *run) lookupName(name string, sc *scope) (value, error) {
	hops := 0
	for ; sc != nil; sc = sc.parent {
		if i := sc.find(name); i >= 0 {
			return sc.vals[i], r.step(hops / 16)
		}
		hops++
	}
	if f := global(name); f != nil {
		return f, nil
	}
	return &undefined{why: "'" + name + "' is undefined"}, r.step(hops / 16)
}

// exec runs statements until one of them jumps.
func (r *run) exec(body []stmt, sc *scope) (ctl, error) {
	for _, s := range body {
		c, err := r.execOne(s, sc)
		if err != nil || c != ctlNext {
			return c, err
		}
	}
	return ctlNext, nil
}

func (r *run) execOne(s stmt, sc *scope) (ctl, error) {
	if err := r.enter(); err != nil {
		return ctlNext, err
	}
	defer r.leave()
	switch s := s.(type) {
	case *textStmt:
		r.out.str(s.text)
		return ctlNext, r.out.err
	case *printStmt:
		r.line = s.line
		v, err := r.eval(s.x, sc)
		if err != nil {
			return ctlNext, err
		}
		r.display(r.out, v)
		return ctlNext, r.out.err
	case *ifStmt:
		for i, test := range s.tests {
			v, err := r.eval(test, sc)
			if err != nil {
				return ctlNext, err
			}
			if truth(v) {
				return r.exec(s.bodies[i], sc)
			}
		}
		return r.exec(s.orElse, sc)
	case *forStmt:
		r.line = s.line
		seq, err := r.eval(s.seq, sc)
		if err != nil {
			return ctlNext, err
		}
		return r.runLoop(s, sc, seq, 0)
	case *setStmt:
		r.line = s.line
		v, err := r.eval(s.x, sc)
		if err != nil {
			return ctlNext, err
		}
		return ctlNext, r.assign(s.target, v, sc)
	case *setBlockStmt:
		return r.execBlock(s.body, s.filter, sc, func(v value) error { r.line = s.line; return r.assign(s.target, v, sc) })
	case *filterStmt:
		return r.execBlock(s.body, s.filter, sc, func(v value) error { r.display(r.out, v); return r.out.err })
	case *macroStmt:
		sc.set(s.name, r.macro(s, sc))
		return ctlNext, r.alloc(cellBytes)
	case *callStmt:
		r.line = s.line
		v, err := r.call(s.call, sc, r.macro(s.caller, sc))
		if err != nil {
			return ctlNext, err
		}
		r.display(r.out, v)
		return ctlNext, r.out.err
	case *withStmt:
		return r.execWith(s, sc)
	case *scopeStmt:
		return r.exec(s.body, &scope{parent: sc})
	case *jumpStmt:
		return s.ctl, nil
	}
	panic("template: statement of an unknown type")
}

func (r *run) execWith(s *withStmt, sc *scope) (ctl, error) {
	inner := &scope{parent: sc}
	for i, t := range s.targets {
		v, err := r.eval(s.values[i], sc)
		if err != nil {
			return ctlNext, err
		}
		r.line = s.line
		if err := r.assign(t, v, inner); err != nil {
			return ctlNext, err
		}
	}
	return r.exec(s.body, inner)
}

// execBlock captures a body, sends it through a filter if there is one, and hands
// it to use. A body left by break or continue is dropped.
func (r *run) execBlock(body []stmt, filter expr, sc *scope, use func(value) error) (ctl, error) {
	inner := &scope{parent: sc}
	text, c, err := r.capture(body, inner)
	if err != nil || c != ctlNext {
		return c, err
	}
	var v value = text
	if filter != nil {
		if v, err = r.filterChain(filter, text, inner); err != nil {
			return ctlNext, err
		}
	}
	return ctlNext, use(v)
}

// capture runs statements and returns what they print.
func (r *run) capture(body []stmt, sc *scope) (*str, ctl, error) {
	saved := r.out
	r.out = r.builder()
	c, err := r.exec(body, sc)
	captured := r.out
	r.out = saved
	if err != nil {
		return nil, c, err
	}
	s, err := captured.done()
	return s, c, err
}

// assign stores v in a target.
func (r *run) assign(t target, v value, sc *scope) error {
	switch {
	case t.tuple != nil:
		items, err := r.unpack(v, len(t.tuple))
		if err != nil {
			return err
		}
		for i, x := range t.tuple {
			if err := r.assign(x, items[i], sc); err != nil {
				return err
			}
		}
		return nil
	case t.attr != "":
		ns, err := r.lookupName(t.name, sc)
		if err != nil {
			return err
		}
		n, ok := ns.(*namespace)
		if !ok {
			return r.failf("cannot assign attribute %q of %q: it is no namespace", t.attr, t.name)
		}
		return r.setAttr(n, t.attr, v)
	}
	if err := r.alloc(cellBytes); err != nil {
		return err
	}
	sc.set(t.name, v)
	return nil
}

// setAttr sets an attribute of a namespace; transformers refuses private names.
func (r *run) setAttr(n *namespace, name string, v value) error {
	if name != "" && name[0] == '_' {
		return r.failf("a namespace cannot hold %q: its name starts with an underscore", name)
	}
	return r.put(n.d, lit(name), v)
}

// unpack is v as exactly n elements.
func (r *run) unpack(v value, n int) ([]value, error) {
	next, err := r.iterate(v)
	if err != nil {
		return nil, err
	}
	items := make([]value, 0, n)
	for {
		x, ok, err := next()
		switch {
		case err != nil:
			return nil, err
		case ok && len(items) == n:
			return nil, r.failf("too many values to unpack (expected %d)", n)
		case ok:
			items = append(items, x)
		case len(items) < n:
			return nil, r.failf("not enough values to unpack (expected %d, got %d)", n, len(items))
		default:
			return items, nil
		}
	}
}

// loop is the variable of that name inside a for.
type loop struct {
	run     *run
	seq     value // sized, or nil
	next    iterator
	index0  int
	total   int // -1: not known yet
	cur     value
	prev    value
	peeked  bool // after and more are the next element
	after   value
	more    bool
	depth0  int
	recurse func(seq value, depth int) (value, error)
	last    *tuple // what changed() was called with
}

// advance moves to the next element.
func (l *loop) advance() (value, bool, error) {
	if err := l.peek(); err != nil || !l.more {
		return nil, false, err
	}
	l.peeked = false
	l.index0++
	l.prev, l.cur = l.cur, l.after
	return l.cur, true, nil
}

func (l *loop) peek() error {
	if l.peeked {
		return nil
	}
	var err error
	l.after, l.more, err = l.next()
	l.peeked = err == nil
	return err
}

// length is the number of elements; a generator is consumed for it.
func (l *loop) length() (int, error) {
	if l.total >= 0 {
		return l.total, nil
	}
	if l.seq != nil {
		if n, ok := length(l.seq); ok {
			l.total = n
			return n, nil
		}
	}
	rest, err := l.run.collect(&gen{l.next})
	if err != nil {
		return 0, err
	}
	l.total = len(rest) + l.index0 + 1
	if l.peeked && l.more {
		l.total++
	}
	l.next = over(len(rest), func(i int) value { return rest[i] })
	return l.total, nil
}

// attr is loop.name.
func (l *loop) attr(name string) (value, bool, error) {
	switch name {
	case "index":
		return int64(l.index0 + 1), true, nil
	case "index0":
		return int64(l.index0), true, nil
	case "first":
		return l.index0 == 0, true, nil
	case "last":
		err := l.peek()
		return !l.more, true, err
	case "length", "revindex", "revindex0":
		n, err := l.length()
		switch name {
		case "revindex":
			n -= l.index0
		case "revindex0":
			n -= l.index0 + 1
		}
		return int64(n), true, err
	case "depth":
		return int64(l.depth0 + 1), true, nil
	case "depth0":
		return int64(l.depth0), true, nil
	case "previtem":
		if l.index0 == 0 {
			return &undefined{why: "there is no previous item"}, true, nil
		}
		return l.prev, true, nil
	case "nextitem":
		if err := l.peek(); err != nil || l.more {
			return l.after, true, err
		}
		return &undefined{why: "there is no next item"}, true, nil
	case "cycle":
		return &function{name: "cycle", call: func(r *run, a args) (value, error) {
			if len(a.pos) == 0 || len(a.kw) > 0 {
				return nil, r.failf("loop.cycle: want the items to cycle through")
			}
			return a.pos[l.index0%len(a.pos)], nil
		}}, true, nil
	case "changed":
		return &function{name: "changed", call: func(r *run, a args) (value, error) {
			now := &tuple{items: a.pos}
			if l.last != nil {
				if same, err := r.equal(l.last, now); err != nil || same {
					return false, err
				}
			}
			l.last = now
			return true, nil
		}}, true, nil
	}
	return nil, false, nil
}

// runLoop runs a for over seq.
func (r *run) runLoop(s *forStmt, sc *scope, seq value, depth int) (ctl, error) {
	next, err := r.iterate(seq)
	if err != nil {
		return ctlNext, err
	}
	if s.when != nil {
		next, seq = r.filtered(s, sc, next), nil
	}
	l := &loop{run: r, seq: seq, next: next, index0: -1, total: -1, depth0: depth}
	if s.recursive {
		l.recurse = func(seq value, depth int) (value, error) {
			saved := r.out
			r.out = r.builder()
			_, err := r.runLoop(s, sc, seq, depth)
			text := r.out
			r.out = saved
			if err != nil {
				return nil, err
			}
			return text.done()
		}
	}
	finished := false // an iteration, to its end: jinja2 then leaves out the else
	for {
		v, ok, err := l.advance()
		if err != nil {
			return ctlNext, err
		}
		if !ok {
			break
		}
		inner := &scope{parent: sc}
		inner.set("loop", l)
		if err := r.assign(s.target, v, inner); err != nil {
			return ctlNext, err
		}
		c, err := r.exec(s.body, inner)
		if err != nil {
			return ctlNext, err
		}
		if c == ctlBreak {
			break
		}
		finished = finished || c == ctlNext
	}
	if !finished {
		return r.exec(s.orElse, &scope{parent: sc})
	}
	return ctlNext, nil
}

// filtered passes on the elements for which the loop's condition holds.
func (r *run) filtered(s *forStmt, sc *scope, next iterator) iterator {
	return func() (value, bool, error) {
		for {
			v, ok, err := next()
			if err != nil || !ok {
				return nil, false, err
			}
			inner := &scope{parent: sc}
			if err := r.assign(s.target, v, inner); err != nil {
				return nil, false, err
			}
			keep, err := r.eval(s.when, inner)
			if err != nil {
				return nil, false, err
			}
			if truth(keep) {
				return v, true, nil
			}
		}
	}
}

// macro makes the callable of a macro defined in scope sc.
func (r *run) macro(m *macroStmt, sc *scope) *function {
	return &function{name: m.name, macro: true, call: func(r *run, a args) (value, error) {
		inner, err := r.bindMacro(m, sc, a)
		if err != nil {
			return nil, err
		}
		text, _, err := r.capture(m.body, inner)
		return text, err
	}}
}

// bindMacro makes the scope of a macro call: parameters by position, then by
// name, then defaults, and the special names the body uses.
func (r *run) bindMacro(m *macroStmt, sc *scope, a args) (*scope, error) {
	inner := &scope{parent: sc}
	kw := map[string]value{}
	for i, n := range a.names {
		kw[n] = a.kw[i]
	}
	given := min(len(a.pos), len(m.params))
	explicitCaller := false
	var missing []int
	for i, p := range m.params {
		v, named := kw[p]
		switch {
		case i < given:
			inner.set(p, a.pos[i])
		case named:
			inner.set(p, v)
			delete(kw, p)
		default:
			missing = append(missing, i)
		}
		explicitCaller = explicitCaller || p == "caller"
	}
	if m.caller && !explicitCaller {
		v, ok := kw["caller"]
		if delete(kw, "caller"); !ok || v == nil {
			v = &undefined{why: "No caller defined"}
		}
		inner.set("caller", v)
	}
	for _, n := range a.names {
		if _, left := kw[n]; left && !m.kwargs {
			return nil, r.failf("macro %q takes no keyword argument %q", m.name, n)
		}
	}
	if m.kwargs {
		d := newDict(len(kw))
		for _, n := range a.names {
			if v, ok := kw[n]; ok {
				if err := r.put(d, lit(n), v); err != nil {
					return nil, err
				}
			}
		}
		inner.set("kwargs", d)
	}
	if m.varargs {
		inner.set("varargs", &tuple{items: a.pos[given:]})
	} else if len(a.pos) > given {
		return nil, r.failf("macro %q takes not more than %d argument(s), got %d", m.name, len(m.params), len(a.pos))
	}
	for _, i := range missing {
		p := m.params[i]
		k := i - (len(m.params) - len(m.defaults))
		if k < 0 {
			inner.set(p, &undefined{why: "parameter '" + p + "' was not provided"})
			continue
		}
		v, err := r.eval(m.defaults[k], inner)
		if err != nil {
			return nil, err
		}
		inner.set(p, v)
	}
	return inner, nil
}
