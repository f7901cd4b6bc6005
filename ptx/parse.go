package ptx

// The parser: tokens to module, functions and statements. Names of registers
// are resolved here, meanings of instructions in decode.go.

import (
	"math"
	"strconv"
	"strings"
)

// Limits that keep a hostile file from taking memory or time.
const (
	maxSource     = 64 << 20
	maxStatements = 1 << 17 // a kernel, functions inlined
	maxRegisters  = 1 << 19
	maxShared     = 227 << 10 // bytes: the most that any architecture has
	maxLocal      = 512 << 10 // bytes a thread
	maxParams     = 32764     // bytes
	maxVariable   = 1 << 30   // bytes of all .global and .const variables
	maxDepth      = 64
	instBytes     = 40      // of one decoded instruction
	slack         = 1 << 20 // bytes: no allocation is larger than the file and this
)

// argKind is the kind of an operand.
type argKind uint8

const (
	argReg     argKind = iota
	argImm             // an integer
	argFloat           // a floating-point literal; imm holds float64 bits, or raw float32 bits if single
	argAddr            // [list[0]+off]
	argVec             // {list...}
	argSym             // a variable, function or label
	argSpecial         // %tid.x …
	argSink            // _
	argList            // (list...), of calls
)

type arg struct {
	kind   argKind
	neg    bool // !p
	single bool // argFloat: 0f…
	reg    int32
	imm    uint64
	off    int64
	text   string
	v      *variable // argSym
	list   []arg     // also list[0] of a|b
}

// stmt is one instruction.
type stmt struct {
	line  int
	loc   int // of function.locs, -1 if none
	guard int32
	not   bool // the guard is negated
	op    string
	args  []arg
	// Branch targets, as indices of the body.
	targets []int
}

type scope struct {
	parent int
	regs   map[string]int32
	ranges map[string]regRange
	vars   map[string]*variable
	labels map[string]int
	tables map[string][]string // .branchtargets
}

type regRange struct {
	t ptype
	n int
}

type parser struct {
	lexer
	file string
	tok  token
	m    *Module
	vars map[string]*variable // module scope
	size int64                // of all variables in global and constant memory

	f      *function
	scopes []scope
	at     int // the scope
	loc    int
	locs   map[location]int
	last   map[[3]int]int // the location most recently seen at a file, line and column
	branch []pendingBranch
}

type pendingBranch struct {
	stmt, scope int
	name        string
	table       bool
}

// Parse reads a PTX file and decodes every kernel in it; file is its name in
// errors. Whatever the interpreter would not execute exactly is refused here:
// the error is a *SyntaxError with the line.
func Parse(file string, src []byte) (mod *Module, err error) {
	defer func() {
		if r := recover(); r != nil {
			f, ok := r.(failure)
			if !ok {
				panic(r)
			}
			mod, err = nil, &SyntaxError{File: file, Line: f.line, Reason: f.reason}
		}
	}()
	if len(src) > maxSource {
		fail(1, "file of %d bytes, at most %d are read", len(src), maxSource)
	}
	p := &parser{
		lexer: lexer{src: string(src), line: 1},
		file:  file,
		m:     &Module{funcs: map[string]*function{}, files: map[int]string{}},
		vars:  map[string]*variable{},
	}
	p.advance()
	p.module()
	return p.m, nil
}

func (p *parser) advance() token {
	t := p.tok
	p.tok = p.next()
	return t
}

func (p *parser) accept(kind byte) bool {
	if p.tok.kind == kind {
		p.advance()
		return true
	}
	return false
}

func (p *parser) acceptWord(w string) bool {
	if p.tok.kind == tokenWord && p.tok.text == w {
		p.advance()
		return true
	}
	return false
}

func (p *parser) show() string {
	switch p.tok.kind {
	case tokenEnd:
		return "end of file"
	case tokenString:
		return "a string"
	}
	if len(p.tok.text) > 40 {
		return strconv.Quote(p.tok.text[:40] + "…")
	}
	return strconv.Quote(p.tok.text)
}

func (p *parser) expect(kind byte) token {
	if p.tok.kind != kind {
		fail(p.tok.line, "%s where %q is expected", p.show(), string(rune(kind)))
	}
	return p.advance()
}

func (p *parser) word(what string) string {
	if p.tok.kind != tokenWord {
		fail(p.tok.line, "%s where %s is expected", p.show(), what)
	}
	return p.advance().text
}

// integer is a decimal, hexadecimal, octal or binary literal with its sign.
func (p *parser) integer(what string) int64 {
	neg := p.accept('-')
	line := p.tok.line
	v, ok := parseInteger(p.word(what))
	if !ok {
		fail(line, "not an integer: %s", what)
	}
	if neg {
		return -int64(v)
	}
	return int64(v)
}

func (p *parser) count(what string, most int64) int64 {
	line := p.tok.line
	v := p.integer(what)
	if v < 0 || v > most {
		fail(line, "%s is %d, want 0 to %d", what, v, most)
	}
	return v
}

func parseInteger(s string) (uint64, bool) {
	s = strings.TrimRight(s, "U")
	if s == "" || s[0] < '0' || s[0] > '9' || strings.Contains(s, "_") {
		return 0, false
	}
	v, err := strconv.ParseUint(s, 0, 64)
	return v, err == nil
}

// module is the whole file.
func (p *parser) module() {
	if !p.acceptWord(".version") {
		fail(p.tok.line, "%s where .version is expected: not a PTX file", p.show())
	}
	line := p.tok.line
	p.m.Version = p.word("a version")
	if v, err := strconv.ParseFloat(p.m.Version, 64); err != nil || v < 1 || v >= 100 {
		fail(line, "version %q is not a number", p.m.Version)
	}
	if !p.acceptWord(".target") {
		fail(p.tok.line, "%s where .target is expected", p.show())
	}
	line = p.tok.line
	p.m.Target = p.word("a target")
	for p.accept(',') {
		p.m.Target += ", " + p.word("an option of the target")
	}
	if !strings.HasPrefix(p.m.Target, "sm_") {
		fail(line, "target %q is not an architecture", p.m.Target)
	}
	for p.tok.kind != tokenEnd {
		p.moduleItem()
	}
	p.finish()
}

func (p *parser) moduleItem() {
	t := p.advance()
	if t.kind == ';' {
		return
	}
	if t.kind != tokenWord {
		fail(t.line, "%q where a directive is expected", t.text)
	}
	extern, weak := false, false
	for t.text == ".visible" || t.text == ".weak" || t.text == ".extern" || t.text == ".common" {
		extern = extern || t.text == ".extern"
		weak = weak || t.text != ".visible"
		t = token{tokenWord, p.word("a directive"), t.line}
	}
	switch t.text {
	case ".address_size":
		if n := p.count("the address size", 64); n != 64 {
			fail(t.line, "address size %d, only 64 is supported", n)
		}
	case ".file":
		n := p.count("a file number", 1<<20)
		name := p.expect(tokenString).text
		for p.accept(',') {
			p.integer("a time or size")
		}
		p.m.files[int(n)] = name
	case ".section":
		p.section()
	case ".pragma":
		p.expect(tokenString)
		p.expect(';')
	case ".global", ".const", ".shared":
		s := map[string]space{".global": spaceGlobal, ".const": spaceConst, ".shared": spaceShared}[t.text]
		for _, v := range p.variables(s, extern) {
			if old := p.vars[v.name]; old != nil && !old.extern && !weak {
				fail(t.line, "variable %s is declared twice", v.name)
			}
			p.vars[v.name] = v
			if s != spaceShared {
				p.keep(v, t.line)
			}
		}
	case ".entry", ".func":
		p.function(t.text == ".entry", t.line)
	default:
		fail(t.line, "unknown directive %s", t.text)
	}
}

// keep adds a variable of global or constant memory to the module.
func (p *parser) keep(v *variable, line int) {
	p.m.vars = append(p.m.vars, v)
	if p.size += v.size; p.size > maxVariable {
		fail(line, "the variables of the module take more than %d bytes", maxVariable)
	}
}

// section skips a section of debugging information.
func (p *parser) section() {
	p.word("a section")
	open := p.expect('{')
	for depth := 1; depth > 0; {
		switch p.advance().kind {
		case '{':
			depth++
		case '}':
			depth--
		case tokenEnd:
			fail(open.line, "section is not closed")
		}
	}
}

// typeWord takes ".f32".
func (p *parser) typeWord() ptype {
	line := p.tok.line
	w := p.word("a type")
	t, ok := types[strings.TrimPrefix(w, ".")]
	if !ok || w[0] != '.' {
		fail(line, "unknown type %s", w)
	}
	return t
}

// variables reads one declaration after its state space, the semicolon too.
func (p *parser) variables(s space, extern bool) []*variable {
	var list []*variable
	for {
		v := p.variable(s, extern)
		list = append(list, v)
		if p.accept(';') {
			return list
		}
		fail(p.tok.line, "%s after the declaration of %s, want ;", p.show(), v.name)
	}
}

// variable reads alignment, type, name, dimensions and initialiser.
func (p *parser) variable(s space, extern bool) *variable {
	v := &variable{space: s, extern: extern}
	lanes := int64(1)
	for {
		switch {
		case p.acceptWord(".align"):
			line := p.tok.line
			v.align = p.count("an alignment", 1<<20)
			if v.align == 0 || v.align&(v.align-1) != 0 {
				fail(line, "alignment %d is not a power of two", v.align)
			}
			continue
		case p.acceptWord(".v2"):
			lanes = 2
			continue
		case p.acceptWord(".v4"):
			lanes = 4
			continue
		case p.acceptWord(".attribute"):
			p.expect('(')
			for !p.accept(')') {
				if p.advance().kind == tokenEnd {
					fail(p.tok.line, "attribute is not closed")
				}
			}
			continue
		}
		break
	}
	line := p.tok.line
	v.elem = p.typeWord()
	if v.elem.kind == 'p' {
		fail(line, "predicates cannot lie in memory")
	}
	if p.acceptWord(".ptr") { // of kernel parameters: what they point to
		for p.tok.kind == tokenWord && strings.HasPrefix(p.tok.text, ".") {
			if p.advance().text == ".align" {
				p.count("an alignment", 1<<20)
			}
		}
	}
	v.name = p.word("a name")
	if v.align == 0 {
		v.align = v.elem.bytes() * lanes
	}
	v.size = v.elem.bytes() * lanes
	for first := true; p.accept('['); first = false {
		if p.accept(']') {
			if !first {
				fail(line, "only the first dimension of %s may be empty", v.name)
			}
			v.size = 0
			continue
		}
		n := p.count("a dimension", maxVariable)
		p.expect(']')
		if v.size *= n; v.size > maxVariable {
			fail(line, "%s is larger than %d bytes", v.name, maxVariable)
		}
	}
	if p.accept('=') {
		if s != spaceGlobal && s != spaceConst {
			fail(line, "%s variables have no initialiser", s)
		}
		p.initialiser(v, 0)
		if int64(len(v.init)) > v.size {
			if v.size != 0 {
				fail(line, "initialiser of %s has %d bytes, the variable %d", v.name, len(v.init), v.size)
			}
			v.size = int64(len(v.init))
		}
	}
	if v.size == 0 && !extern {
		fail(line, "%s has no size", v.name)
	}
	return v
}

// initialiser reads a value or a list of them.
func (p *parser) initialiser(v *variable, depth int) {
	if depth > maxDepth {
		fail(p.tok.line, "initialiser is nested too deep")
	}
	if p.accept('{') {
		for !p.accept('}') {
			p.initialiser(v, depth+1)
			if !p.accept(',') && p.tok.kind != '}' {
				fail(p.tok.line, "%s in an initialiser", p.show())
			}
		}
		return
	}
	n := int(v.elem.bytes())
	line := p.tok.line
	if len(v.init) > len(p.src)+slack {
		fail(line, "initialiser of %s is too large", v.name)
	}
	if a := p.operand(0); a.kind == argSym {
		r := reference{at: int64(len(v.init)), name: a.text, line: line}
		if a.text == "generic" && p.accept('(') {
			r.name = p.word("a variable")
			p.expect(')')
		}
		if p.accept('+') {
			r.add = p.integer("an offset")
		}
		if n != 8 {
			fail(line, "address of %s in an element of %d bytes, want 8", r.name, n)
		}
		v.refs = append(v.refs, r)
		v.init = append(v.init, make([]byte, 8)...)
	} else {
		bits := literal(a, v.elem, line)
		for i := range n {
			v.init = append(v.init, byte(bits>>(8*i)))
		}
	}
}

// literal is the bits of a literal as a value of type t.
func literal(a arg, t ptype, line int) uint64 {
	switch {
	case a.kind == argImm && t.kind == 'f' && !t.pair:
		switch t.bits { // an integer literal of a float operand is its value
		case 64:
			return math.Float64bits(float64(int64(a.imm)))
		case 32:
			return uint64(math.Float32bits(float32(int64(a.imm))))
		}
		return a.imm & 0xffff
	case a.kind == argImm:
		if t.bits < 64 {
			return a.imm & (1<<t.bits - 1)
		}
		return a.imm
	case a.kind == argFloat && t.bits == 64:
		if a.single {
			return math.Float64bits(float64(math.Float32frombits(uint32(a.imm))))
		}
		return a.imm
	case a.kind == argFloat && t.bits == 32:
		if a.single {
			return a.imm
		}
		return uint64(math.Float32bits(float32(math.Float64frombits(a.imm))))
	}
	fail(line, "not a literal of type %s", t)
	return 0
}
