package ptx

// What can go wrong while a kernel runs.

import (
	"fmt"
	"strings"
)

// Kind says what a Fault is.
type Kind string

// The kinds of faults.
const (
	OutOfBounds   Kind = "out of bounds"            // an address inside no allocation, or past shared, local or parameter memory
	UseAfterFree  Kind = "use after free"           // an address inside an allocation that was freed
	Misaligned    Kind = "misaligned"               // an address that is no multiple of the access's size
	ReadOnly      Kind = "write to read-only"       // a store to constant memory or parameters
	Uninitialised Kind = "uninitialised read"       // shared memory that nobody wrote
	Race          Kind = "race"                     // two accesses of shared memory, at least one a write, that nothing orders
	Barrier       Kind = "divergent barrier"        // a barrier that not every thread reaches
	Shuffle       Kind = "divergent warp operation" // a shuffle, vote, … whose mask names lanes that are not there
	TooManySteps  Kind = "too many steps"           // a warp ran past Config.Steps: most likely an endless loop
	Trapped       Kind = "trap"                     // the kernel executed trap, or an assertion failed
	BadOperand    Kind = "bad operand"              // an operand with a value that the instruction does not allow
)

// Fault is what stopped a kernel: the first one in launch order of its CTAs.
type Fault struct {
	Kind   Kind
	Kernel string
	Line   int    // of the PTX file
	Source string // "matmul.cu:41", empty if the file has no line information
	CTA    [3]int
	Thread [3]int
	Addr   uint64 // of the access, if it is one
	Detail string
}

// Error names kernel, place, thread and reason in one line.
func (f *Fault) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "kernel %s: %s: ", f.Kernel, f.Kind)
	if f.Detail != "" {
		fmt.Fprintf(&b, "%s, ", f.Detail)
	}
	fmt.Fprintf(&b, "PTX line %d", f.Line)
	if f.Source != "" {
		fmt.Fprintf(&b, " (%s)", f.Source)
	}
	fmt.Fprintf(&b, ", CTA (%d,%d,%d), thread (%d,%d,%d)", f.CTA[0], f.CTA[1], f.CTA[2], f.Thread[0], f.Thread[1], f.Thread[2])
	return b.String()
}
