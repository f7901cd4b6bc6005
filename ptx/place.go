package ptx

// Before decoding: calls are inlined, and variables get their places in
// shared and local memory.

// place fills d.stmts, d.regs and d.homes.
func (d *dec) place(f *function) {
	d.inline(f, nil, nil)
	d.layout()
}

// inline appends the body of f; bind says what its parameters stand for.
func (d *dec) inline(f *function, bind map[*variable]*variable, stack []*function) {
	for _, g := range stack {
		if g == f {
			fail(f.line, "function %s calls itself: recursion is not supported", f.name)
		}
	}
	if len(stack) > maxDepth {
		fail(f.line, "calls are nested too deep")
	}
	stack = append(stack, f)
	shift := int32(len(d.regs))
	if len(d.regs)+len(f.regs) > maxRegisters {
		fail(f.line, "more than %d registers", maxRegisters)
	}
	d.regs = append(d.regs, f.regs...)
	at := make([]int, len(f.body)+1) // where the statements went
	var jumps []int                  // placed statements with targets in this body
	for i := range f.body {
		s := f.body[i]
		at[i] = len(d.stmts)
		if most := min(maxStatements, d.most/instBytes); len(d.stmts) >= most {
			fail(s.line, "kernel has more than %d instructions, functions inlined", most)
		}
		p := &placed{stmt: *s, shift: shift, bind: bind, source: f.source(d.m, s.loc)}
		switch {
		case s.op == "call" || len(s.op) > 4 && s.op[:5] == "call.":
			d.call(p, stack)
			continue
		case len(stack) > 1 && (s.op == "ret" || s.op == "ret.uni"):
			p.op = "bra"
			p.args = []arg{{kind: argSym}}
			p.targets = []int{len(f.body)}
		}
		if p.targets != nil {
			jumps = append(jumps, len(d.stmts))
		}
		d.stmts = append(d.stmts, p)
	}
	at[len(f.body)] = len(d.stmts)
	for _, j := range jumps {
		targets := make([]int, len(d.stmts[j].targets))
		for i, t := range d.stmts[j].targets {
			targets[i] = at[t]
		}
		d.stmts[j].targets = targets
	}
}

// call inlines a called function.
func (d *dec) call(p *placed, stack []*function) {
	if p.op != "call" && p.op != "call.uni" {
		fail(p.line, "%s: unknown modifier", p.op)
	}
	name := p.args[1].text
	f := d.m.funcs[name]
	if name == "__assertfail" && (f == nil || !f.defined) { // what assert calls
		p.op, p.args = "trap", nil
		d.stmts = append(d.stmts, p)
		return
	}
	if f == nil || !f.defined || f.kernel != nil {
		fail(p.line, "call of %s, which is no function of this module", name)
	}
	bind := map[*variable]*variable{}
	match := func(formal []*variable, actual []arg) {
		if len(formal) != len(actual) {
			fail(p.line, "call of %s with %d arguments or results, want %d", name, len(actual), len(formal))
		}
		for i, v := range formal {
			if actual[i].kind != argSym || actual[i].v == nil {
				fail(p.line, "call of %s: an argument is no .param variable", name)
			}
			a := actual[i].v
			if b := p.bind[a]; b != nil {
				a = b
			}
			if a.space != spaceLocal || a.size < v.size {
				fail(p.line, "call of %s: argument %s does not fit", name, a.name)
			}
			bind[v] = a
		}
	}
	match(f.returns, p.args[0].list)
	match(f.params, p.args[2].list)
	over := -1
	if p.guard >= 0 { // around the body where the guard does not hold
		over = len(d.stmts)
		skip := *p
		skip.op, skip.not = "bra", !p.not
		skip.args = []arg{{kind: argSym}}
		d.stmts = append(d.stmts, &skip)
	}
	d.inline(f, bind, stack)
	if over >= 0 {
		d.stmts[over].targets = []int{len(d.stmts)}
	}
}

// variable is what an operand names, parameters of inlined functions resolved.
func (d *dec) variable(a *arg) *variable {
	v := a.v
	if v == nil {
		d.fail("%s is not defined", a.text)
	}
	if b := d.st.bind[v]; b != nil {
		return b
	}
	return v
}

// home is the offset of a shared, local or parameter variable.
func (d *dec) home(v *variable) int64 {
	if v.space == spaceParam {
		return v.offset
	}
	at, ok := d.homes[v]
	if !ok {
		d.fail("%s has no place in %s memory", v.name, v.space)
	}
	return at
}

// layout places the shared and local variables that the statements name.
// Dynamic shared memory begins after all static.
func (d *dec) layout() {
	d.homes = map[*variable]int64{}
	var shared, local int64
	var dynamic []*variable
	put := func(v *variable, line int) {
		if v == nil {
			return
		}
		if _, ok := d.homes[v]; ok {
			return
		}
		next, most := &shared, int64(maxShared)
		switch v.space {
		case spaceShared:
			if v.extern {
				d.homes[v] = 0
				dynamic = append(dynamic, v)
				return
			}
		case spaceLocal:
			next, most = &local, maxLocal
		default:
			return
		}
		at := (*next + v.align - 1) &^ (v.align - 1)
		d.homes[v] = at
		if *next = at + v.size; *next > most {
			fail(line, "more than %d bytes of %s memory", most, v.space)
		}
	}
	var walk func(a *arg, s *placed)
	walk = func(a *arg, s *placed) {
		v := a.v
		if b := s.bind[v]; b != nil {
			v = b
		}
		put(v, s.line)
		for i := range a.list {
			walk(&a.list[i], s)
		}
	}
	for i := range d.stmts {
		for j := range d.stmts[i].args {
			walk(&d.stmts[i].args[j], d.stmts[i])
		}
	}
	d.k.StaticShared = int(shared)
	d.k.Local = int(local+15) &^ 15
	for _, v := range dynamic {
		align := max(v.align, 16)
		d.homes[v] = (shared + align - 1) &^ (align - 1)
		d.k.Dynamic = true
		d.k.dynamicAt = max(d.k.dynamicAt, int(d.homes[v]))
	}
}
