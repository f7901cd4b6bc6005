package ptx

// From statements to instructions that run: one decoder for each opcode, run
// twice. The first pass learns which registers each instruction reads and
// writes; between them registers are packed; the second builds the code.

import "strings"

// row32 and row64 are a register of all lanes of a warp.
type (
	row32 = [32]uint32
	row64 = [32]uint64
)

// col names a column of the register file: 0 and up are registers and slots,
// below are constants, as ^index.
type col struct {
	idx  int32
	wide bool // 64 bits
}

// control says what the main loop does with an instruction besides exec.
type control uint8

const (
	ctlNone   control = iota
	ctlBranch         // to target
	ctlTable          // brx.idx: to a target by index
	ctlExit
	ctlTrap
	ctlSync    // exec runs when all lanes of the mask have come
	ctlBarrier // bar and barrier
)

// inst is one decoded instruction: what the main loop needs, and the rest.
type inst struct {
	exec   func(w *warp, m uint32)
	guard  int32 // a predicate, -1 if none
	target int32
	not    bool
	ctl    control
	*info
}

type info struct {
	op      string
	line    int32
	source  int32  // of Kernel.sources
	flops   uint16 // a lane
	targets []int32
	mask    col // ctlSync: the member mask; ctlTable: the index
	bar     *barrier
}

// slot is a column that is filled at the launch or at the start of a CTA.
type slot struct {
	col     col
	special *special  // %tid.x, or
	v       *variable // an address
	add     int64
}

// dec decodes the statements of one kernel.
type dec struct {
	m *Module
	k *Kernel

	regs     []ptype // virtual registers
	stmts    []*placed
	phys     []int32 // by virtual register; nil in the first pass
	n32      int32   // first column after the registers
	n64      int32
	uses     []int32 // of the current statement
	defs     []int32
	literals map[constant]int32
	slotOf   map[slot]int32
	nslot    [2]int32

	st   *placed
	mods []string
	cmp  string // the comparison of set and setp

	rounded bool // a rounding mode was written
	in      *inst
	grain   int
	most    int // bytes that one allocation may have

	homes map[*variable]int64 // offsets in shared and local memory
	flow  []*flow             // by statement, of the first pass
}

// placed is a statement of the kernel after inlining.
type placed struct {
	stmt
	shift  int32                   // added to its virtual registers
	bind   map[*variable]*variable // parameters of an inlined function
	source string
}

type constant struct {
	bits uint64
	wide bool
}

func (d *dec) fail(format string, args ...any) {
	fail(d.st.line, "%s: "+format, append([]any{d.st.op}, args...)...)
}

// finish decodes all kernels.
func (p *parser) finish() {
	for _, v := range p.m.vars {
		for i := range v.refs {
			r := &v.refs[i]
			if r.target = p.vars[r.name]; r.target == nil || r.target.space != spaceGlobal && r.target.space != spaceConst {
				fail(r.line, "%s is no variable of this module", r.name)
			}
		}
	}
	for _, v := range p.m.vars {
		if v.extern {
			delete(p.vars, v.name)
		}
	}
	for _, k := range p.m.Kernels {
		d := &dec{m: p.m, k: k, most: len(p.src) + slack}
		d.kernel(p.m.funcs[k.Name])
	}
}

func (d *dec) kernel(f *function) {
	d.place(f)
	d.k.Instructions = len(d.stmts)
	d.pass(nil)
	d.allocate()
	d.k.code = make([]inst, 0, len(d.stmts)+1)
	d.pass(func() { d.k.code = append(d.k.code, *d.in) })
	// Running off the end is ret.
	end := inst{ctl: ctlExit, guard: -1, info: &info{op: "ret", line: int32(f.line)}}
	if n := len(d.k.code); n > 0 {
		end.line, end.source = d.k.code[n-1].line, d.k.code[n-1].source
	}
	d.k.code = append(d.k.code, end)
	d.k.granule = d.grain
	d.stmts, d.regs = nil, nil
}

// pass decodes every statement.
func (d *dec) pass(done func()) {
	d.literals = map[constant]int32{}
	d.slotOf = map[slot]int32{}
	d.nslot = [2]int32{}
	d.k.literals32, d.k.literals64, d.k.slots = nil, nil, nil
	d.grain = 4
	sources := map[string]int32{}
	d.k.sources = nil
	for i := range d.stmts {
		d.st = d.stmts[i]
		d.uses, d.defs = d.uses[:0], d.defs[:0]
		src, ok := sources[d.st.source]
		if !ok {
			src = int32(len(d.k.sources))
			sources[d.st.source] = src
			d.k.sources = append(d.k.sources, d.st.source)
		}
		d.in = &inst{guard: -1, info: &info{line: int32(d.st.line), source: src, op: d.st.op}}
		if d.st.guard >= 0 {
			d.in.guard, d.in.not = d.use(d.st.guard), d.st.not
		}
		parts := strings.Split(d.st.op, ".")
		d.mods = parts[1:]
		decode, ok := opcodes[parts[0]]
		if !ok {
			fail(d.st.line, "unknown instruction %.60s", d.st.op)
		}
		decode(d)
		if len(d.mods) > 0 {
			d.fail("unknown or misplaced modifier .%s", d.mods[0])
		}
		if done != nil {
			done()
		} else {
			d.note()
		}
	}
}

// opt takes the next modifier if it is one of these, else "".
func (d *dec) opt(names ...string) string {
	if len(d.mods) > 0 {
		for _, n := range names {
			if d.mods[0] == n {
				d.mods = d.mods[1:]
				return n
			}
		}
	}
	return ""
}

func (d *dec) has(name string) bool { return d.opt(name) != "" }

func (d *dec) need(names ...string) string {
	n := d.opt(names...)
	if n == "" {
		d.fail("want one of .%s", strings.Join(names, " ."))
	}
	return n
}

// typ takes the next modifier, which must be a type.
func (d *dec) typ() ptype {
	if len(d.mods) > 0 {
		if t, ok := types[d.mods[0]]; ok {
			d.mods = d.mods[1:]
			return t
		}
		d.fail("unknown or misplaced modifier .%s", d.mods[0])
	}
	d.fail("the type is missing")
	return ptype{}
}

// typeOf takes a type that must be one of a list, "f32 f64".
func (d *dec) typeOf(list string) ptype {
	t := d.typ()
	if !strings.Contains(" "+list+" ", " "+t.String()+" ") {
		d.fail("type .%s, want one of .%s", t, strings.ReplaceAll(list, " ", " ."))
	}
	return t
}

// rounding takes a rounding mode; nearest if there is none.
func (d *dec) rounding(names ...string) rounding {
	name := d.opt(names...)
	d.rounded = name != ""
	return roundings[name]
}

// operands demands a number of operands.
func (d *dec) operands(least, most int) {
	if n := len(d.st.args); n < least || n > most {
		if least == most {
			d.fail("%d operands, want %d", n, least)
		}
		d.fail("%d operands, want %d to %d", n, least, most)
	}
}

func (d *dec) arg(i int) *arg {
	if i >= len(d.st.args) {
		d.fail("operand %d is missing", i+1)
	}
	return &d.st.args[i]
}

// use notes a read of a register and gives its column.
func (d *dec) use(r int32) int32 {
	r += d.st.shift
	d.uses = append(d.uses, r)
	if d.phys == nil {
		return 0
	}
	return d.phys[r]
}

// def notes a write.
func (d *dec) def(r int32) int32 {
	r += d.st.shift
	d.defs = append(d.defs, r)
	if d.phys == nil {
		return 0
	}
	return d.phys[r]
}

func (d *dec) regType(a *arg) ptype { return d.regs[a.reg+d.st.shift] }

// fits says whether a register of type r may hold an operand of type t.
func fits(r, t ptype) bool {
	if r.kind == 'p' || t.kind == 'p' {
		return r.kind == t.kind
	}
	return r.bits == t.bits
}

// src is the column of operand a, read as type t.
func (d *dec) src(a *arg, t ptype) col {
	switch a.kind {
	case argReg:
		if a.list != nil || a.neg {
			break
		}
		if r := d.regType(a); !fits(r, t) {
			d.fail("register of type .%s where .%s is expected", r, t)
		}
		return col{d.use(a.reg), t.bits == 64}
	case argImm, argFloat:
		return d.literal(literal(*a, t, d.st.line), t.bits == 64)
	case argSpecial:
		s := specials[a.text]
		if s.bits != t.bits {
			d.fail("%s has %d bits, want %d", a.text, s.bits, t.bits)
		}
		return d.slot(slot{special: s, col: col{0, t.bits == 64}})
	case argSym:
		return d.symbol(a, t)
	}
	d.fail("operand of a kind that is not allowed here")
	return col{}
}

// symbol is the address of a variable.
func (d *dec) symbol(a *arg, t ptype) col {
	v := d.variable(a)
	switch v.space {
	case spaceGlobal, spaceConst:
		if t.bits != 64 {
			d.fail("the address of %s has 64 bits", a.text)
		}
		return d.slot(slot{v: v, col: col{0, true}})
	}
	return d.literal(low(uint64(d.home(v)), t.bits), t.bits == 64)
}

// literal is a constant column.
func (d *dec) literal(v uint64, wide bool) col {
	c := constant{v, wide}
	i, ok := d.literals[c]
	if !ok {
		if wide {
			i = int32(len(d.k.literals64))
			d.k.literals64 = append(d.k.literals64, v)
		} else {
			i = int32(len(d.k.literals32))
			d.k.literals32 = append(d.k.literals32, uint32(v))
		}
		d.literals[c] = i
	}
	return col{^i, wide}
}

// slot is a column after the registers that is filled when a CTA starts.
func (d *dec) slot(s slot) col {
	i, ok := d.slotOf[s]
	if !ok {
		n := &d.nslot[0]
		i = d.n32 + *n
		if s.col.wide {
			n = &d.nslot[1]
			i = d.n64 + *n
		}
		*n++
		d.slotOf[s] = i
		filled := s
		filled.col.idx = i
		d.k.slots = append(d.k.slots, filled)
	}
	return col{i, s.col.wide}
}

// dst is the column of the operand that is written.
func (d *dec) dst(a *arg, t ptype) col {
	if a.kind != argReg || a.list != nil || a.neg {
		d.fail("the result is no register")
	}
	if r := d.regType(a); !fits(r, t) {
		d.fail("register of type .%s where .%s is expected", r, t)
	}
	return col{d.def(a.reg), t.bits == 64}
}

// pred is a predicate operand and whether it is negated.
func (d *dec) pred(a *arg) (int32, bool) {
	if a.kind != argReg || a.list != nil || d.regType(a).kind != 'p' {
		d.fail("operand is no predicate")
	}
	return d.use(a.reg), a.neg
}

// predDst is a predicate that is written; -1 for _.
func (d *dec) predDst(a *arg) int32 {
	if a.kind == argSink {
		return -1
	}
	if a.kind != argReg || d.regType(a).kind != 'p' || a.neg {
		d.fail("the result is no predicate")
	}
	return d.def(a.reg)
}
