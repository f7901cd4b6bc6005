package ptx

// What a parsed file is: modules, kernels, parameters, variables, types.

import (
	"fmt"
	"strings"
	"sync"
)

// SyntaxError says why a PTX file was refused and where.
type SyntaxError struct {
	File   string // as given to Parse
	Line   int    // from 1
	Reason string
}

// Error is "file:line: reason".
func (e *SyntaxError) Error() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Reason) }

// failure carries a syntax error from deep inside the parser to Parse, which
// recovers it.
type failure struct {
	line   int
	reason string
}

func fail(line int, format string, args ...any) {
	panic(failure{line, fmt.Sprintf(format, args...)})
}

// Module is a parsed PTX file.
type Module struct {
	Version string // of the PTX language, "6.3"
	Target  string // "sm_75", with its options: "sm_90a, debug"
	Kernels []*Kernel

	vars  []*variable // module-scope .global and .const variables
	funcs map[string]*function
	files map[int]string
}

// Kernel is the kernel of that name, nil if there is none.
func (m *Module) Kernel(name string) *Kernel {
	for _, k := range m.Kernels {
		if k.Name == name {
			return k
		}
	}
	return nil
}

// Kernel is one .entry of a module, decoded and ready to run.
type Kernel struct {
	Name         string
	Params       []Param
	StaticShared int    // bytes of static shared memory
	Local        int    // bytes of local memory a thread
	MaxThreads   int    // a CTA may have, from .maxntid or .reqntid; 0 if not said
	ReqThreads   [3]int // block shape demanded by .reqntid; zero if not said
	MinCTAs      int    // a multiprocessor, from .minnctapersm; 0 if not said
	Instructions int    // in the kernel, functions inlined
	Dynamic      bool   // declares dynamic shared memory (an extern array)

	module     *Module
	code       []inst
	once       sync.Once // expands the literals
	pool       sync.Pool // of *cta
	consts32   []row32
	consts64   []row64
	literals32 []uint32
	literals64 []uint64
	slots      []slot // columns filled at the launch: special registers and addresses of variables
	regs32     int    // columns of the register file, without the slots
	regs64     int
	preds      int
	dynamicAt  int // offset of dynamic shared memory
	granule    int // bytes of shared memory that one cell of the race check stands for
	sources    []string
}

// Param is one parameter of a kernel.
type Param struct {
	Name   string
	Type   string // of an element: "u64", "f32", "b8"
	Size   int    // bytes
	Align  int    // bytes
	Offset int    // of the first byte in Launch.Params
}

// ParamBytes is the length that Launch.Params must have.
func (k *Kernel) ParamBytes() int {
	if len(k.Params) == 0 {
		return 0
	}
	last := k.Params[len(k.Params)-1]
	return last.Offset + last.Size
}

// space is a PTX state space.
type space uint8

const (
	spaceGeneric space = iota
	spaceGlobal
	spaceShared
	spaceLocal
	spaceParam
	spaceConst
)

func (s space) String() string {
	return [...]string{"generic", "global", "shared", "local", "param", "const"}[s]
}

// variable is a named piece of memory.
type variable struct {
	name   string
	space  space
	elem   ptype
	align  int64
	size   int64
	init   []byte // the first bytes; the rest is zero
	refs   []reference
	extern bool
	offset int64 // in its space, for shared, local and param; of functions' parameters too
	placed bool
}

// reference is an address inside an initialiser.
type reference struct {
	at, add int64
	name    string
	line    int
	target  *variable
}

// ptype is a fundamental PTX type.
type ptype struct {
	kind byte // 'b' bits, 'u', 's', 'f', 'h' bfloat16, 't' tf32, 'p' predicate
	bits int
	pair bool // f16x2, bf16x2 and the like: two halves in 32 bits
}

func (t ptype) String() string {
	switch {
	case t.kind == 'p':
		return "pred"
	case t.kind == 'h' && t.pair:
		return "bf16x2"
	case t.kind == 'h':
		return "bf16"
	case t.kind == 't':
		return "tf32"
	case t.pair:
		return string(t.kind) + "16x2"
	}
	return fmt.Sprintf("%c%d", t.kind, t.bits)
}

func (t ptype) bytes() int64  { return int64(t.bits) / 8 }
func (t ptype) float() bool   { return t.kind == 'f' || t.kind == 'h' || t.kind == 't' }
func (t ptype) integer() bool { return t.kind == 'u' || t.kind == 's' || t.kind == 'b' }

var types = map[string]ptype{
	"b8": {'b', 8, false}, "b16": {'b', 16, false}, "b32": {'b', 32, false}, "b64": {'b', 64, false},
	"u8": {'u', 8, false}, "u16": {'u', 16, false}, "u32": {'u', 32, false}, "u64": {'u', 64, false},
	"s8": {'s', 8, false}, "s16": {'s', 16, false}, "s32": {'s', 32, false}, "s64": {'s', 64, false},
	"f16": {'f', 16, false}, "f32": {'f', 32, false}, "f64": {'f', 64, false},
	"f16x2": {'f', 32, true}, "bf16": {'h', 16, false}, "bf16x2": {'h', 32, true}, "tf32": {'t', 32, false},
	"u16x2": {'u', 32, true}, "s16x2": {'s', 32, true},
	"pred": {'p', 1, false},
}

// function is a .entry or .func as it was read.
type function struct {
	name    string
	line    int
	params  []*variable
	returns []*variable
	regs    []ptype // by virtual register
	body    []*stmt
	locs    []location
	kernel  *Kernel // for entries: what the directives said; nil for a .func
	defined bool
}

// location is a .loc.
type location struct {
	file, line, column int
	parent             int // the location it was inlined at, -1 if none
}

// source is the "file:line" of a location: the innermost one in the file of
// the function itself, or else the outermost, so that a fault inside a header
// of the toolkit names the line that called it.
func (f *function) source(m *Module, loc int) string {
	if loc < 0 {
		return ""
	}
	for at, depth := loc, 0; ; at, depth = f.locs[at].parent, depth+1 {
		l := f.locs[at]
		if l.file == f.locs[0].file || l.parent < 0 || depth == maxDepth {
			return m.sourceName(l.file, l.line)
		}
	}
}

func (m *Module) sourceName(file, line int) string {
	if line == 0 {
		return ""
	}
	name, ok := m.files[file]
	if !ok {
		return ""
	}
	if i := strings.LastIndexAny(name, `/\`); i >= 0 {
		name = name[i+1:]
	}
	return fmt.Sprintf("%s:%d", name, line)
}
