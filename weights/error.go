package weights

// The error of this package, and names made fit to print.

import (
	"fmt"
	"strconv"
)

// Error says what is wrong with a model file. Reason is complete without the
// other fields, which are for programs.
type Error struct {
	File   string // the file, or the directory where no file could be chosen
	Tensor string // the tensor concerned, as the file names it; empty if none
	Field  string // what of it: "shape", "dtype", "data_offsets", a metadata key …; may be empty
	Reason string // what is wrong and, where it helps, what to do
	Err    error  // the cause, such as an error of the operating system; may be nil
}

// Error returns "FILE: REASON" and the cause, if any.
func (e *Error) Error() string {
	s := e.Reason
	if e.File != "" {
		s = e.File + ": " + s
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// failf is an Error about a field of a file as a whole.
func failf(field, format string, args ...any) *Error {
	return &Error{Field: field, Reason: fmt.Sprintf(format, args...)}
}

// tensorFailf is an Error about a field of a tensor; its reason begins with the
// tensor's name.
func tensorFailf(name, field, format string, args ...any) *Error {
	return &Error{Tensor: name, Field: field, Reason: "tensor " + show(name) + ": " + fmt.Sprintf(format, args...)}
}

// show makes a name from a file fit for a message: as it is if short and
// printable, else quoted and cut.
func show(name string) string {
	const limit = 160
	cut := ""
	if len(name) > limit {
		name, cut = name[:limit], "…"
	}
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c > '~' || c == '"' {
			return strconv.QuoteToASCII(name) + cut
		}
	}
	if name == "" {
		return `""`
	}
	return name + cut
}
