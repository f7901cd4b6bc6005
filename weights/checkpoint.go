package weights

// Checkpoint: the named tensors of one or several files.

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/godwit-ml/godwit/quant"
	"github.com/godwit-ml/godwit/runtime"
)

// Format is the file format of a checkpoint.
type Format string

// The formats there are.
const (
	Safetensors Format = "safetensors"
	GGUF        Format = "gguf"
)

// Info describes a stored tensor.
type Info struct {
	Name  string
	DType runtime.DType
	Shape []int // outermost dimension first; not to be changed
	Bytes int64
}

// RowsCols returns the shape as a matrix: the last dimension is the columns, the
// product of all others the rows. A scalar is 1 × 1.
func (i Info) RowsCols() (rows, cols int) {
	if len(i.Shape) == 0 {
		return 1, 1
	}
	last := len(i.Shape) - 1
	rows = 1
	for _, d := range i.Shape[:last] {
		rows *= d
	}
	return rows, i.Shape[last]
}

// elements returns the product of the dimensions, or -1 where it, or that of
// the dimensions other than zero, overflows.
func elements(shape []int) int {
	n, empty := 1, false
	for _, d := range shape {
		switch {
		case d == 0:
			empty = true
		case n > math.MaxInt/d:
			return -1
		default:
			n *= d
		}
	}
	if empty {
		return 0
	}
	return n
}

// entry is a tensor, where it lies, and what was made of it so far.
type entry struct {
	Info
	source *source
	offset int64 // of its data in the file

	tensor, weight runtime.Tensor // zero until asked for
}

// Memory counts what a checkpoint holds, in bytes.
type Memory struct {
	Mapped int64 // files mapped; the system loads and drops their pages as needed
	Copied int64 // tensors in memory of our own: read, realigned or converted
	Copies int   // their number
}

// Checkpoint is an open model. Its methods may be called concurrently; Close
// may not run beside any of them, nor while a tensor is in use.
type Checkpoint struct {
	path     string
	format   Format
	metadata map[string]any
	names    []string
	tensors  map[string]*entry
	sources  []*source

	mu     sync.Mutex // guards tensor and weight of the entries, and what follows
	memory Memory
	closed bool
}

// add takes over the tensors of a source.
func (c *Checkpoint) add(s *source, tensors map[string]*entry, metadata map[string]any) error {
	if s.mapped {
		c.memory.Mapped += s.size
	} else if s.whole != nil {
		c.memory.Copied += s.size
	}
	for key, value := range metadata {
		if c.metadata == nil {
			c.metadata = map[string]any{}
		}
		c.metadata[key] = value
	}
	if c.tensors == nil {
		c.tensors = tensors
		return nil
	}
	for name, e := range tensors {
		if other, twice := c.tensors[name]; twice {
			return &Error{File: s.path, Tensor: name, Field: "header", Reason: "tensor " + show(name) + " is in " + other.source.path + " too"}
		}
		c.tensors[name] = e
	}
	return nil
}

// load reads the header of an open file in the given format and adds its
// tensors; the source belongs to the checkpoint from then on, errors or not.
func (c *Checkpoint) load(s *source, format Format) error {
	c.sources = append(c.sources, s)
	open := openSafetensors
	if format == GGUF {
		open = openGGUF
	}
	c.format = format
	err := guard([]*source{s}, func() error {
		tensors, metadata, err := open(s)
		if err != nil {
			return err
		}
		return c.add(s, tensors, metadata)
	})
	var own *Error
	if errors.As(err, &own) && own.File == "" {
		own.File = s.path
	}
	return err
}

// finish sorts the names.
func (c *Checkpoint) finish() {
	c.names = make([]string, 0, len(c.tensors))
	for name := range c.tensors {
		c.names = append(c.names, name)
	}
	slices.Sort(c.names)
}

// Path returns the file that was opened, the index of a sharded one.
func (c *Checkpoint) Path() string { return c.path }

// Format returns the file format.
func (c *Checkpoint) Format() Format { return c.format }

// Names returns the names of all tensors, sorted.
func (c *Checkpoint) Names() []string { return slices.Clone(c.names) }

// Info describes a tensor without touching its data.
func (c *Checkpoint) Info(name string) (Info, bool) {
	e, ok := c.tensors[name]
	if !ok {
		return Info{}, false
	}
	return e.Info, true
}

// Metadata returns the metadata: of GGUF, values of the Go types of their GGUF
// types (uint32, float32, bool, string …; arrays []int32, []float32, []string …,
// of arrays []any); of safetensors, the strings of __metadata__ (of all shards).
// The map is shared and not to be changed; it stays valid after Close.
func (c *Checkpoint) Metadata() map[string]any { return c.metadata }

// Memory returns what the checkpoint holds now.
func (c *Checkpoint) Memory() Memory {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.memory
}

// Tensor returns a host view of a tensor in its stored type: aligned, contiguous,
// rows and columns as Info.RowsCols. Calls for the same name share one Memory.
func (c *Checkpoint) Tensor(name string) (runtime.Tensor, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, err := c.find(name)
	if err != nil {
		return runtime.Tensor{}, err
	}
	return c.stored(e)
}

// Weight is Tensor with F64, which no device computes with, converted to F32.
// A tensor of integers is an error.
func (c *Checkpoint) Weight(name string) (runtime.Tensor, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, err := c.find(name)
	if err != nil {
		return runtime.Tensor{}, err
	}
	if !e.DType.Decodes() {
		return runtime.Tensor{}, &Error{File: e.source.path, Tensor: name, Field: "dtype", Reason: fmt.Sprintf("tensor %s: %v is not a type of weights", show(name), e.DType)}
	}
	if !e.weight.IsZero() {
		return e.weight, nil
	}
	t, err := c.stored(e)
	if err == nil && e.DType == quant.F64 {
		t, err = c.toF32(e, t)
	}
	if err == nil {
		e.weight = t
	}
	return t, err
}

// find returns the entry of a name while the checkpoint is open.
func (c *Checkpoint) find(name string) (*entry, error) {
	if c.closed {
		return nil, &Error{File: c.path, Tensor: name, Reason: "tensor " + show(name) + ": the checkpoint is closed"}
	}
	e, ok := c.tensors[name]
	if !ok {
		return nil, &Error{File: c.path, Tensor: name, Field: "missing", Reason: "tensor " + show(name) + ": not in the file"}
	}
	return e, nil
}

// stored returns the tensor as it is in the file, read or realigned if need be.
func (c *Checkpoint) stored(e *entry) (runtime.Tensor, error) {
	if !e.tensor.IsZero() {
		return e.tensor, nil
	}
	s := e.source
	var data []byte
	if s.whole != nil {
		data = s.whole[e.offset : e.offset+e.Bytes : e.offset+e.Bytes]
	}
	if s.whole == nil || !aligned(data, e.DType) {
		err := guard(c.sources, func() (err error) {
			data, err = s.read(e.offset, e.Bytes)
			return err
		})
		if err != nil {
			return runtime.Tensor{}, err
		}
		c.memory.Copied += e.Bytes
		c.memory.Copies++
	}
	rows, cols := e.RowsCols()
	e.tensor = runtime.HostTensor(e.DType, rows, cols, data)
	return e.tensor, nil
}

// toF32 decodes a tensor to F32.
func (c *Checkpoint) toF32(e *entry, t runtime.Tensor) (runtime.Tensor, error) {
	x := make([]float32, t.Rows*t.Cols)
	err := guard(c.sources, func() error { return quant.Decode(x, t.Bytes(), t.DType) })
	if err != nil {
		return runtime.Tensor{}, err
	}
	c.memory.Copied += 4 * int64(len(x))
	c.memory.Copies++
	return runtime.HostF32(t.Rows, t.Cols, x), nil
}

// Guard calls fn, which may read views of this checkpoint, and returns its
// error. If a mapped file turns out to have been cut short, or its disk to have
// failed, the fault becomes an *Error. It covers the goroutine that calls it
// only: where fn hands work to others, each of them needs a Guard of its own.
func (c *Checkpoint) Guard(fn func() error) error { return guard(c.sources, fn) }

// Intact returns an *Error if a mapped file has become shorter since it was
// opened. It costs a system call a file and promises nothing about the next
// moment, but notices the usual case, a download that replaced the file in
// place, before a view does.
func (c *Checkpoint) Intact() error {
	for _, s := range c.sources {
		if err := s.intact(); err != nil {
			return err
		}
	}
	return nil
}

// Close unmaps and closes the files. No view may be read after it; names, Info
// and Metadata remain. Closing twice does nothing.
func (c *Checkpoint) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	var all error
	for _, s := range c.sources {
		all = errors.Join(all, s.close())
	}
	c.sources, c.memory = nil, Memory{}
	for _, e := range c.tensors {
		e.tensor, e.weight, e.source = runtime.Tensor{}, runtime.Tensor{}, nil
	}
	return all
}
