package ptx

// Functions: signatures, declarations inside bodies, statements, operands.

import (
	"math"
	"strconv"
	"strings"
)

// function reads an .entry or .func from its name or return values on.
func (p *parser) function(entry bool, line int) {
	f := &function{line: line}
	if entry {
		f.kernel = &Kernel{module: p.m}
	} else if p.tok.kind == '(' {
		f.returns = p.parameters()
	}
	f.name = p.word("the name of a function")
	if p.tok.kind == '(' {
		f.params = p.parameters()
	}
	p.performance(f)
	old := p.m.funcs[f.name]
	if p.accept(';') { // a prototype
		if old == nil {
			p.m.funcs[f.name] = f
		}
		return
	}
	if old != nil && old.defined {
		fail(line, "function %s is defined twice", f.name)
	}
	f.defined = true
	p.m.funcs[f.name] = f
	if entry {
		f.kernel.Name = f.name
		p.layoutParams(f)
		p.m.Kernels = append(p.m.Kernels, f.kernel)
	}
	p.body(f)
}

// parameters reads "(.param .u64 a, .param .b8 b[12])".
func (p *parser) parameters() []*variable {
	var list []*variable
	p.expect('(')
	for !p.accept(')') {
		line := p.tok.line
		if w := p.word(".param"); w != ".param" {
			fail(line, "%s where .param is expected", w)
		}
		list = append(list, p.variable(spaceParam, false))
		if len(list) > maxParams {
			fail(line, "more than %d parameters", maxParams)
		}
		if !p.accept(',') && p.tok.kind != ')' {
			fail(p.tok.line, "%s in a list of parameters", p.show())
		}
	}
	return list
}

func (p *parser) layoutParams(f *function) {
	var at int64
	for _, v := range f.params {
		at = (at + v.align - 1) &^ (v.align - 1)
		v.offset = at
		at += v.size
		if at > maxParams {
			fail(f.line, "parameters of %s take more than %d bytes", f.name, maxParams)
		}
		f.kernel.Params = append(f.kernel.Params, Param{Name: v.name, Type: v.elem.String(), Size: int(v.size), Align: int(v.align), Offset: int(v.offset)})
	}
}

// performance reads the directives between a signature and its body.
func (p *parser) performance(f *function) {
	k := f.kernel
	if k == nil {
		k = &Kernel{}
	}
	for p.tok.kind == tokenWord {
		t := p.advance()
		switch t.text {
		case ".maxntid", ".reqntid":
			n := [3]int{1, 1, 1}
			for i := range n {
				if i > 0 && !p.accept(',') {
					break
				}
				n[i] = int(p.count("a number of threads", 1<<16))
			}
			k.MaxThreads = n[0] * n[1] * n[2]
			if t.text == ".reqntid" {
				k.ReqThreads = n
			}
		case ".minnctapersm", ".maxnctapersm":
			n := int(p.count("a number of CTAs", 1<<10))
			if t.text == ".minnctapersm" {
				k.MinCTAs = n
			}
		case ".maxnreg":
			p.count("a number of registers", 1<<16)
		case ".noreturn":
		case ".pragma":
			p.expect(tokenString)
			p.expect(';')
		default:
			fail(t.line, "unknown directive %s of function %s", t.text, f.name)
		}
	}
}

// body reads from { to the matching }.
func (p *parser) body(f *function) {
	p.f, p.at, p.loc = f, 0, -1
	p.scopes = []scope{{parent: -1, vars: map[string]*variable{}}}
	p.branch = nil
	p.locs, p.last = map[location]int{}, map[[3]int]int{}
	for _, v := range append(f.params[:len(f.params):len(f.params)], f.returns...) {
		if p.scopes[0].vars[v.name] != nil {
			fail(f.line, "parameter %s of %s is declared twice", v.name, f.name)
		}
		p.scopes[0].vars[v.name] = v
	}
	open := p.expect('{')
	for depth := 1; depth > 0; {
		switch p.tok.kind {
		case '{':
			if depth++; depth > maxDepth {
				fail(p.tok.line, "scopes are nested too deep")
			}
			p.advance()
			p.scopes = append(p.scopes, scope{parent: p.at})
			p.at = len(p.scopes) - 1
		case '}':
			if depth--; depth > 0 {
				p.advance()
				p.at = p.scopes[p.at].parent
			}
		case tokenEnd:
			fail(p.tok.line, "function %s of line %d is not closed", f.name, open.line)
		case ';':
			p.advance()
		default:
			p.statement()
		}
	}
	p.advance()
	p.resolve()
}

// resolve finds the targets of branches.
func (p *parser) resolve() {
	find := func(b pendingBranch, line int, name string) int {
		for s := b.scope; s >= 0; s = p.scopes[s].parent {
			if at, ok := p.scopes[s].labels[name]; ok {
				return at
			}
		}
		fail(line, "label %s is not defined", name)
		return 0
	}
	for _, b := range p.branch {
		s := p.f.body[b.stmt]
		if !b.table {
			s.targets = []int{find(b, s.line, b.name)}
			continue
		}
		var names []string
		for at := b.scope; at >= 0 && names == nil; at = p.scopes[at].parent {
			names = p.scopes[at].tables[b.name]
		}
		if names == nil {
			fail(s.line, "list of branch targets %s is not defined", b.name)
		}
		for _, name := range names {
			s.targets = append(s.targets, find(b, s.line, name))
		}
	}
	p.f, p.branch, p.scopes = nil, nil, nil
}

// statement reads a directive, label or instruction.
func (p *parser) statement() {
	s := stmt{line: p.tok.line, loc: p.loc, guard: -1}
	if p.accept('@') {
		s.not = p.accept('!')
		line := p.tok.line
		r, ok := p.register(p.word("a predicate"))
		if !ok || p.f.regs[r].kind != 'p' {
			fail(line, "the guard is no predicate register")
		}
		s.guard = r
	}
	t := p.tok
	w := p.word("an instruction")
	if w[0] == '.' {
		if s.guard >= 0 {
			fail(t.line, "guard before directive %s", w)
		}
		p.local(w, t.line)
		return
	}
	if s.guard < 0 && p.accept(':') {
		p.label(w, t.line)
		return
	}
	s.op = w
	s.line = t.line
	if w == "call" || strings.HasPrefix(w, "call.") {
		p.call(&s)
	} else if p.tok.kind != ';' {
		for {
			s.args = append(s.args, p.operand(0))
			if len(s.args) > 16 {
				fail(s.line, "too many operands")
			}
			if !p.accept(',') {
				break
			}
		}
	}
	p.expect(';')
	if n := len(p.f.body); n >= maxStatements {
		fail(s.line, "function has more than %d instructions", maxStatements)
	}
	base, _, _ := strings.Cut(w, ".")
	switch {
	case base == "bra" && len(s.args) == 1 && s.args[0].kind == argSym:
		p.branch = append(p.branch, pendingBranch{len(p.f.body), p.at, s.args[0].text, false})
	case base == "brx" && len(s.args) == 2 && s.args[1].kind == argSym:
		p.branch = append(p.branch, pendingBranch{len(p.f.body), p.at, s.args[1].text, true})
	}
	p.f.body = append(p.f.body, &s)
}

func (p *parser) label(name string, line int) {
	sc := &p.scopes[p.at]
	if p.tok.kind == tokenWord && (p.tok.text == ".branchtargets" || p.tok.text == ".calltargets" || p.tok.text == ".callprototype") {
		if p.advance().text != ".branchtargets" {
			fail(line, "indirect calls are not supported")
		}
		if sc.tables == nil {
			sc.tables = map[string][]string{}
		}
		for {
			sc.tables[name] = append(sc.tables[name], p.word("a label"))
			if !p.accept(',') {
				break
			}
		}
		p.expect(';')
		return
	}
	if sc.labels == nil {
		sc.labels = map[string]int{}
	}
	if _, ok := sc.labels[name]; ok {
		fail(line, "label %s is defined twice", name)
	}
	sc.labels[name] = len(p.f.body)
}

// local reads a directive inside a body.
func (p *parser) local(w string, line int) {
	switch w {
	case ".loc":
		p.location()
	case ".pragma":
		p.expect(tokenString)
		p.expect(';')
	case ".reg":
		p.registers()
	case ".shared", ".local", ".param", ".global", ".const":
		s := map[string]space{".shared": spaceShared, ".local": spaceLocal, ".param": spaceLocal, ".global": spaceGlobal, ".const": spaceConst}[w]
		sc := &p.scopes[p.at]
		if sc.vars == nil {
			sc.vars = map[string]*variable{}
		}
		for _, v := range p.variables(s, false) {
			if sc.vars[v.name] != nil {
				fail(line, "variable %s is declared twice", v.name)
			}
			sc.vars[v.name] = v
			if s == spaceGlobal || s == spaceConst {
				p.keep(v, line)
			}
		}
	default:
		fail(line, "unknown directive %s in a function", w)
	}
}

// location reads ".loc file line column[, function_name s, inlined_at file line column]".
func (p *parser) location() {
	l := location{parent: -1}
	l.file = int(p.count("a file number", 1<<20))
	l.line = int(p.count("a line", 1<<30))
	l.column = int(p.count("a column", 1<<30))
	if p.accept(',') {
		p.word("function_name")
		p.word("a label")
		if p.accept('+') {
			p.integer("an offset")
		}
		p.expect(',')
		p.word("inlined_at")
		at := [3]int{int(p.count("a file number", 1<<20)), int(p.count("a line", 1<<30)), int(p.count("a column", 1<<30))}
		parent, ok := p.last[at]
		if !ok {
			p.f.locs = append(p.f.locs, location{at[0], at[1], at[2], -1})
			parent = len(p.f.locs) - 1
			p.last[at] = parent
		}
		l.parent = parent
	}
	if l.line == 0 { // code of the compiler's own: it belongs to what was there
		return
	}
	i, ok := p.locs[l]
	if !ok {
		i = len(p.f.locs)
		p.f.locs = append(p.f.locs, l)
		p.locs[l] = i
	}
	p.last[[3]int{l.file, l.line, l.column}] = i
	p.loc = i
}

// registers reads ".reg .f32 %f<12>, x;" after .reg.
func (p *parser) registers() {
	t := p.typeWord()
	sc := &p.scopes[p.at]
	for {
		line := p.tok.line
		name := p.word("the name of a register")
		if p.accept('<') {
			n := p.count("a number of registers", 1<<30)
			p.expect('>')
			if sc.ranges == nil {
				sc.ranges = map[string]regRange{}
			}
			if _, ok := sc.ranges[name]; ok {
				fail(line, "registers %s<…> are declared twice", name)
			}
			sc.ranges[name] = regRange{t, int(n)}
		} else {
			if _, ok := sc.regs[name]; ok {
				fail(line, "register %s is declared twice", name)
			}
			p.newRegister(p.at, name, t)
		}
		if p.accept(';') {
			return
		}
		p.expect(',')
	}
}

func (p *parser) newRegister(at int, name string, t ptype) int32 {
	sc := &p.scopes[at]
	if sc.regs == nil {
		sc.regs = map[string]int32{}
	}
	if len(p.f.regs) >= maxRegisters {
		fail(p.tok.line, "function has more than %d registers", maxRegisters)
	}
	r := int32(len(p.f.regs))
	p.f.regs = append(p.f.regs, t)
	sc.regs[name] = r
	return r
}

// register finds a register by name, from the innermost scope outwards.
func (p *parser) register(name string) (int32, bool) {
	cut := len(name)
	for cut > 0 && name[cut-1] >= '0' && name[cut-1] <= '9' {
		cut--
	}
	n := -1
	if cut < len(name) && (name[cut] != '0' || cut+1 == len(name)) {
		n, _ = strconv.Atoi(name[cut:])
	}
	for at := p.at; at >= 0; at = p.scopes[at].parent {
		sc := &p.scopes[at]
		if r, ok := sc.regs[name]; ok {
			return r, true
		}
		if rr, ok := sc.ranges[name[:cut]]; ok && n >= 0 && n < rr.n {
			return p.newRegister(at, name, rr.t), true
		}
	}
	return 0, false
}

// call reads "(ret), name, (a, b)" into a list, a name and a list.
func (p *parser) call(s *stmt) {
	list := func() arg {
		a := arg{kind: argList}
		p.expect('(')
		for !p.accept(')') {
			a.list = append(a.list, p.operand(0))
			if len(a.list) > maxParams {
				fail(s.line, "too many operands")
			}
			if !p.accept(',') && p.tok.kind != ')' {
				fail(p.tok.line, "%s in a list of arguments", p.show())
			}
		}
		return a
	}
	s.args = []arg{{kind: argList}, {}, {kind: argList}}
	if p.tok.kind == '(' {
		s.args[0] = list()
		p.expect(',')
	}
	line := p.tok.line
	s.args[1] = p.operand(0)
	if s.args[1].kind != argSym {
		fail(line, "indirect calls are not supported")
	}
	if p.accept(',') {
		s.args[2] = list()
	}
}

// operand reads one operand.
func (p *parser) operand(depth int) arg {
	if depth > maxDepth {
		fail(p.tok.line, "operand is nested too deep")
	}
	switch {
	case p.accept('{'):
		a := arg{kind: argVec}
		for !p.accept('}') {
			a.list = append(a.list, p.operand(depth+1))
			if len(a.list) > 64 {
				fail(p.tok.line, "vector of more than 64 operands")
			}
			if !p.accept(',') && p.tok.kind != '}' {
				fail(p.tok.line, "%s in a vector", p.show())
			}
		}
		return a
	case p.accept('['):
		a := arg{kind: argAddr, list: []arg{p.operand(depth + 1)}}
		if p.accept('+') {
			a.off = p.integer("an offset")
		} else if p.tok.kind == '-' {
			a.off = p.integer("an offset")
		}
		p.expect(']')
		return a
	case p.accept('!'):
		a := p.operand(depth + 1)
		a.neg = !a.neg
		return a
	case p.accept('-'):
		line := p.tok.line
		a := p.operand(depth + 1)
		switch {
		case a.kind == argImm:
			a.imm = -a.imm
		case a.kind == argFloat && a.single:
			a.imm ^= 1 << 31
		case a.kind == argFloat:
			a.imm ^= 1 << 63
		default:
			fail(line, "- before something that is no number")
		}
		return a
	}
	t := p.tok
	w := p.word("an operand")
	a := p.name(w, t.line)
	if a.kind == argReg && p.accept('|') {
		a.list = []arg{p.operand(depth + 1)}
	}
	return a
}

// name is the operand of one word.
func (p *parser) name(w string, line int) arg {
	switch {
	case w == "_":
		return arg{kind: argSink}
	case w == "WARP_SZ":
		return arg{kind: argImm, imm: 32}
	case w[0] >= '0' && w[0] <= '9':
		return number(w, line)
	}
	if p.f != nil {
		if r, ok := p.register(w); ok {
			return arg{kind: argReg, reg: r}
		}
		for at := p.at; at >= 0 && p.scopes != nil; at = p.scopes[at].parent {
			if v := p.scopes[at].vars[w]; v != nil {
				return arg{kind: argSym, text: w, v: v}
			}
		}
	}
	if w[0] == '%' {
		if _, ok := specials[w]; !ok {
			fail(line, "unknown register %s", w)
		}
		return arg{kind: argSpecial, text: w}
	}
	return arg{kind: argSym, text: w, v: p.vars[w]}
}

// number is a literal.
func number(w string, line int) arg {
	if len(w) == 10 && w[0] == '0' && (w[1] == 'f' || w[1] == 'F') {
		if v, err := strconv.ParseUint(w[2:], 16, 32); err == nil {
			return arg{kind: argFloat, single: true, imm: v}
		}
	}
	if len(w) == 18 && w[0] == '0' && (w[1] == 'd' || w[1] == 'D') {
		if v, err := strconv.ParseUint(w[2:], 16, 64); err == nil {
			return arg{kind: argFloat, imm: v}
		}
	}
	if v, ok := parseInteger(w); ok {
		return arg{kind: argImm, imm: v}
	}
	if strings.Contains(w, ".") && !strings.ContainsAny(w, "xXpP_") {
		if v, err := strconv.ParseFloat(w, 64); err == nil {
			return arg{kind: argFloat, imm: math.Float64bits(v)}
		}
	}
	fail(line, "bad number %.40q", w)
	return arg{}
}
