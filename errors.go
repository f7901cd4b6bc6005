package godwit

// The errors of the package, all typed.

import (
	"errors"
	"fmt"
	"strings"
)

// ErrUnsupported is what *UnsupportedError matches: the standard library's value.
var ErrUnsupported = errors.ErrUnsupported

// ErrClosed is the error of calls on a closed model, running ones included.
var ErrClosed = errors.New("godwit: model is closed")

// ModelError is a checkpoint that cannot be used. What is empty is not known.
type ModelError struct {
	File   string
	Tensor string
	Field  string
	Reason string
	Err    error
}

// Error names file, tensor and field.
func (e *ModelError) Error() string {
	parts := make([]string, 0, 5)
	for _, p := range []string{e.File, e.Tensor, e.Field, e.Reason} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	if len(parts) == 0 && e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	return "godwit: " + strings.Join(parts, ": ")
}

// Unwrap is the cause.
func (e *ModelError) Unwrap() error { return e.Err }

// ParamError is a request that cannot be meant. Nothing has run.
type ParamError struct {
	Field  string // as in Go: "Sampling.TopP"
	Value  any
	Reason string
}

// Error names field, value and reason.
func (e *ParamError) Error() string {
	return fmt.Sprintf("godwit: %s %v: %s", e.Field, e.Value, e.Reason)
}

// TooLongError is an input over the limit. Nothing is cut unasked.
type TooLongError struct {
	Index  int // of the input
	Tokens int
	Limit  int
}

// Error says by how much.
func (e *TooLongError) Error() string {
	return fmt.Sprintf("godwit: input %d has %d tokens, the limit is %d: shorten it, or set Truncate where the request has it", e.Index, e.Tokens, e.Limit)
}

// UnsupportedError is a task, architecture, dtype, device or tokenizer that is
// not supported. It matches ErrUnsupported.
type UnsupportedError struct {
	What  string   // `task "embed"`
	Model string   // its name; "": whatever the model
	Have  []string // what there is instead
}

// Error says what there is instead.
func (e *UnsupportedError) Error() string {
	text := "godwit: "
	if e.Model != "" {
		text += e.Model + ": "
	}
	text += e.What + " is not supported"
	if len(e.Have) > 0 {
		text += "; there is: " + strings.Join(e.Have, ", ")
	}
	return text
}

// Is matches ErrUnsupported.
func (e *UnsupportedError) Is(target error) bool { return target == ErrUnsupported }

// MemoryError is a model that does not fit. Nothing was allocated.
type MemoryError struct {
	Device     string
	Need, Free int64 // bytes
}

// Error says how much is missing.
func (e *MemoryError) Error() string {
	return fmt.Sprintf("godwit: %s: needs %d MiB, %d MiB are allowed or free: lower Context, or raise MemoryLimit", e.Device, e.Need>>20, e.Free>>20)
}

// DeviceError is a fault of a device. It ends the calls of one step; the model
// goes on.
type DeviceError struct {
	Device string
	Op     string
	Err    error
}

// Error names device and operation.
func (e *DeviceError) Error() string {
	return fmt.Sprintf("godwit: device %s: %s: %v", e.Device, e.Op, e.Err)
}

// Unwrap is the cause.
func (e *DeviceError) Unwrap() error { return e.Err }
