package template

// This file holds the errors: one type for each thing a caller may want to tell
// apart, all of them with the line of the template.

import "fmt"

// SyntaxError says why Parse refused a template.
type SyntaxError struct {
	Line   int    // 1 is the first line of the template
	Reason string // names the construct
}

// Error implements error.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("template: line %d: %s", e.Line, e.Reason)
}

// RenderError says why a template failed on these variables: an undefined
// variable that was used, a wrong type, an unknown filter, a forbidden method.
type RenderError struct {
	Line   int
	Reason string
}

// Error implements error.
func (e *RenderError) Error() string {
	return fmt.Sprintf("template: line %d: %s", e.Line, e.Reason)
}

// RaisedError is a refusal by the template itself, which called raise_exception:
// roles that do not alternate, a system message the model does not know.
type RaisedError struct {
	Line    int
	Message string // as the template worded it
}

// Error implements error.
func (e *RaisedError) Error() string {
	return fmt.Sprintf("template: line %d: the template refuses these messages: %s", e.Line, e.Message)
}

// LimitError says that a budget ran out: one of [Config], or a fixed one such as
// [MaxSource].
type LimitError struct {
	Line  int    // 0 where no line is to blame
	What  string // "steps", "depth", "output bytes" …
	Limit int64
}

// Error implements error.
func (e *LimitError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("template: more than %d %s", e.Limit, e.What)
	}
	return fmt.Sprintf("template: line %d: more than %d %s", e.Line, e.Limit, e.What)
}
