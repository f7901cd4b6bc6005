package weights

// Scope, with which a model asks for its tensors by name and shape.

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/godwit-ml/godwit/runtime"
)

// ScopeConfig says how a model's names map to a file's. A model asks by one
// canonical name, that of Hugging Face; its candidates in the file are, in this
// order: the renamed name; the same without a prefix of Strip; each of these
// with a suffix of Alternates. The first that exists is taken.
type ScopeConfig struct {
	// Rename turns a canonical name into the file's, as for GGUF; "" means that
	// the file has no such tensor. nil keeps names.
	Rename func(name string) string
	// Strip lists prefixes that some checkpoints leave out ("transformer.",
	// "bert.").
	Strip []string
	// Alternates lists pairs of suffixes: the model's, and an older one that
	// files may have instead ("LayerNorm.weight", "LayerNorm.gamma").
	Alternates [][2]string
	// Ignore lists patterns for tensors of the file that the model may leave
	// unused: buffers, heads of other tasks. They are matched against whole names;
	// "*" stands for any characters, dots included.
	Ignore []string
}

// Scope binds tensors below a prefix. Scopes made from one another share one
// record of what was asked for, which Err reports. A Scope belongs to one
// goroutine at a time.
type Scope struct {
	binding *binding
	prefix  string
	layer   int // -1 outside layers
}

// binding is what the scopes of a model share.
type binding struct {
	checkpoint *Checkpoint
	config     ScopeConfig
	used       map[string]bool
	problems   []problem
}

// problem is a tensor that cannot be had as asked for.
type problem struct {
	layer             int
	name, field, text string
	err               error // from reading, if any
}

// Scope returns the root scope of a model that is to be made of the checkpoint.
func (c *Checkpoint) Scope(config ScopeConfig) *Scope {
	return &Scope{binding: &binding{checkpoint: c, config: config, used: map[string]bool{}}, layer: -1}
}

// Sub returns the scope below a name: Sub("attn").Tensor("c_attn.weight", …) is
// Tensor("attn.c_attn.weight", …).
func (s *Scope) Sub(name string) *Scope {
	sub := *s
	sub.prefix += name + "."
	return &sub
}

// Layer returns the scope of layer i, Sub of its number, whose messages name the
// layer.
func (s *Scope) Layer(i int) *Scope {
	sub := s.Sub(strconv.Itoa(i))
	sub.layer = i
	return sub
}

// Checkpoint returns the checkpoint the scope binds.
func (s *Scope) Checkpoint() *Checkpoint { return s.binding.checkpoint }

// Name returns the full canonical name of a tensor of the scope.
func (s *Scope) Name(name string) string { return s.prefix + name }

// Tensor returns a host view of a tensor of the given size, a vector as 1 × n,
// in its stored type (F64 as F32). If there is none, or it has another shape or
// holds integers, it returns the zero Tensor, and Err has the reason.
func (s *Scope) Tensor(name string, rows, cols int) runtime.Tensor {
	stored, ok := s.find(name)
	if !ok {
		s.record(stored, "missing", "missing", nil)
		return runtime.Tensor{}
	}
	return s.bind(stored, rows, cols)
}

// Optional is Tensor for one the file may lack: it then returns the zero Tensor
// and records nothing.
func (s *Scope) Optional(name string, rows, cols int) runtime.Tensor {
	stored, ok := s.find(name)
	if !ok {
		return runtime.Tensor{}
	}
	return s.bind(stored, rows, cols)
}

// Has reports whether the file has the tensor. It does not count as used.
func (s *Scope) Has(name string) bool {
	_, ok := s.find(name)
	return ok
}

// Info describes the tensor as stored, under the file's name, if there is one.
// It does not count as used.
func (s *Scope) Info(name string) (Info, bool) {
	stored, ok := s.find(name)
	if !ok {
		return Info{}, false
	}
	return s.binding.checkpoint.Info(stored)
}

// Fail records a problem of the caller's own with a tensor, such as a type it
// cannot use; the text completes "tensor NAME: ".
func (s *Scope) Fail(name, format string, args ...any) {
	stored, _ := s.find(name)
	s.record(stored, "", fmt.Sprintf(format, args...), nil)
}

// Ignore adds patterns to those of ScopeConfig.Ignore. They are matched against
// the names in the file, whatever the scope.
func (s *Scope) Ignore(patterns ...string) {
	s.binding.config.Ignore = slices.Concat(s.binding.config.Ignore, patterns)
}

// bind returns the stored tensor if it has the shape.
func (s *Scope) bind(stored string, rows, cols int) runtime.Tensor {
	b := s.binding
	b.used[stored] = true
	info, _ := b.checkpoint.Info(stored)
	if r, c := info.RowsCols(); r != rows || c != cols {
		want := fmt.Sprintf("[%d %d]", rows, cols)
		if rows == 1 && len(info.Shape) < 2 {
			want = fmt.Sprintf("[%d]", cols)
		}
		s.record(stored, "shape", fmt.Sprintf("shape %v, want %s", info.Shape, want), nil)
		return runtime.Tensor{}
	}
	if !info.DType.Decodes() {
		s.record(stored, "dtype", fmt.Sprintf("dtype %v, want a floating-point or block type", info.DType), nil)
		return runtime.Tensor{}
	}
	t, err := b.checkpoint.Weight(stored)
	if err != nil {
		s.record(stored, "", "cannot be read", err)
		return runtime.Tensor{}
	}
	return t
}

// find returns the file's name of a tensor. Without one it returns the name it
// would have, for the message.
func (s *Scope) find(name string) (stored string, ok bool) {
	c, config := s.binding.checkpoint, &s.binding.config
	full := s.prefix + name
	if config.Rename != nil {
		renamed := config.Rename(full)
		if renamed == "" {
			return full, false
		}
		full = renamed
	}
	has := func(candidate string) bool {
		if _, there := c.tensors[candidate]; there {
			stored = candidate
			return true
		}
		return false
	}
	if has(full) {
		return stored, true
	}
	bases := []string{full}
	for _, prefix := range config.Strip {
		if short, cut := strings.CutPrefix(full, prefix); cut {
			if has(short) {
				return stored, true
			}
			bases = append(bases, short)
		}
	}
	for _, pair := range config.Alternates {
		for _, base := range bases {
			if stem, cut := strings.CutSuffix(base, pair[0]); cut && has(stem+pair[1]) {
				return stored, true
			}
		}
	}
	for i, base := range bases[1:] { // a file without the prefix would not have it here either
		prefix := strings.TrimSuffix(full, bases[1+i])
		if at, _ := slices.BinarySearch(c.names, prefix); at == len(c.names) || !strings.HasPrefix(c.names[at], prefix) {
			return base, false
		}
	}
	return full, false
}

// record keeps a problem for Err.
func (s *Scope) record(name, field, text string, err error) {
	b := s.binding
	b.problems = append(b.problems, problem{layer: s.layer, name: name, field: field, text: text, err: err})
}

// maxListed bounds how many problems, and how many unused names, Err spells out.
const maxListed = 10

// Err returns nil if every tensor asked for was there and every tensor of the
// file was asked for or is ignored. Otherwise it returns an *Error with all
// missing, misshapen and unused tensors, by layer and name; its Tensor and Field
// are those of the first. Every scope of the model returns the same.
func (s *Scope) Err() error {
	b := s.binding
	problems := slices.Clone(b.problems)
	slices.SortStableFunc(problems, func(x, y problem) int {
		return cmp.Or(cmp.Compare(x.layer, y.layer), cmp.Compare(x.name, y.name))
	})
	problems = slices.CompactFunc(problems, func(x, y problem) bool {
		return x.layer == y.layer && x.name == y.name && x.text == y.text
	})
	unused := b.unused()
	if len(problems) == 0 && len(unused) == 0 {
		return nil
	}
	e := &Error{File: b.checkpoint.path}
	var parts []string
	for i, p := range problems {
		if i == maxListed {
			parts = append(parts, fmt.Sprintf("and %d more", len(problems)-i))
			break
		}
		parts = append(parts, p.String())
	}
	if len(problems) > 0 {
		e.Tensor, e.Field = problems[0].name, problems[0].field
		if i := slices.IndexFunc(problems, func(p problem) bool { return p.err != nil }); i >= 0 {
			e.Err = problems[i].err
		}
	}
	if len(unused) > 0 {
		parts = append(parts, unusedText(unused))
		if e.Tensor == "" {
			e.Tensor, e.Field = unused[0], "unused"
		}
	}
	e.Reason = strings.Join(parts, "; ")
	return e
}

func (p problem) String() string {
	text := "tensor " + show(p.name) + ": " + p.text
	if p.layer >= 0 {
		text = fmt.Sprintf("layer %d: %s", p.layer, text)
	}
	return text
}

// unused returns the names of the file that nobody asked for, sorted, less those
// ignored.
func (b *binding) unused() []string {
	var names []string
	for _, name := range b.checkpoint.names {
		if !b.used[name] && !slices.ContainsFunc(b.config.Ignore, func(pattern string) bool { return matches(pattern, name) }) {
			names = append(names, name)
		}
	}
	return names
}

// unusedText is what Err says of unused names.
func unusedText(names []string) string {
	var shown []string
	for _, name := range names[:min(len(names), maxListed)] {
		shown = append(shown, show(name))
	}
	text := strings.Join(shown, ", ")
	if more := len(names) - len(shown); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Sprintf("%d tensors of the file belong to no part of the model (does the configuration belong to this file?): %s", len(names), text)
}

// matches reports whether the whole name fits a pattern in which "*" stands for
// any characters.
func matches(pattern, name string) bool {
	first, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == name
	}
	name, ok := strings.CutPrefix(name, first)
	if !ok {
		return false
	}
	for {
		part, after, star := strings.Cut(rest, "*")
		if !star {
			return strings.HasSuffix(name, part)
		}
		i := strings.Index(name, part)
		if i < 0 {
			return false
		}
		name, rest = name[i+len(part):], after
	}
}
