package main

// Converting a checkpoint: its configuration, and its tensors by the rules of an
// architecture.

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/godwit-ml/godwit/weights"
)

// config is config.json as transformers 5 writes it.
type config map[string]any

// number is the first of the fields that is a number; 0 without one.
func (c config) number(names ...string) float64 {
	for _, n := range names {
		if v, ok := c[n].(float64); ok {
			return v
		}
	}
	return 0
}

func (c config) integer(names ...string) uint32 { return uint32(c.number(names...)) }
func (c config) real(names ...string) float32   { return float32(c.number(names...)) }
func (c config) is(name string) bool            { v, _ := c[name].(bool); return v }
func (c config) text(name string) string        { v, _ := c[name].(string); return v }

// sub is an object of the configuration.
func (c config) sub(name string) config {
	v, _ := c[name].(map[string]any)
	return v
}

// heads is the number of heads, and headDim their width.
func (c config) heads() int { return int(c.number("num_attention_heads", "n_head", "num_heads")) }

func (c config) headDim() int {
	if d := c.integer("head_dim", "d_kv"); d > 0 {
		return int(d)
	}
	return int(c.number("hidden_size", "n_embd")) / c.heads()
}

// kvHeads is the number of heads of keys.
func (c config) kvHeads() int {
	if n := int(c.integer("num_key_value_heads")); n > 0 {
		return n
	}
	return c.heads()
}

// inexpressible says why a checkpoint cannot be a GGUF file.
type inexpressible struct{ reason string }

func (e *inexpressible) Error() string { return "cannot be a GGUF file: " + e.reason }

// arch is how checkpoints of some families become one architecture of GGUF.
type arch struct {
	name   string
	models []string                // model_type
	cannot func(c config) string   // why a configuration has no place in it; "": it has
	keys   func(c config) []key    // without the architecture's name before them
	rules  []rule                  // of the tensors
	made   func(c config) []tensor // tensors that are fields of config.json; nil: none
	left   []string                // patterns of tensors that the format has no place for
}

// rule is where tensors go: names without .weight or .bias, # a layer, * an
// expert, of which all become one tensor.
type rule struct {
	from, to string
	change   func(c config, t tensor) tensor // nil: as it is
}

// convert reads a checkpoint's folder.
func convert(folder string) (*file, error) {
	b, err := os.ReadFile(filepath.Join(folder, "config.json"))
	if err != nil {
		return nil, err
	}
	var c config
	if err := json.Unmarshal(b, &c); err != nil {
		return nil, err
	}
	model := c.text("model_type")
	i := slices.IndexFunc(architectures, func(a arch) bool { return slices.Contains(a.models, model) })
	if i < 0 {
		reason := elsewhere[model]
		if reason == "" {
			reason = "GGUF has no architecture for model_type " + model
		}
		return nil, &inexpressible{reason}
	}
	a := &architectures[i]
	if a.cannot != nil {
		if why := a.cannot(c); why != "" {
			return nil, &inexpressible{why}
		}
	}
	m := &file{arch: a.name, keys: []key{{"general.architecture", a.name}}}
	for _, k := range a.keys(c) {
		m.keys = append(m.keys, key{a.name + "." + k.name, k.value})
	}
	if a.made != nil {
		m.tensors = a.made(c)
	}
	ck, err := weights.Open(folder)
	if err != nil {
		return nil, err
	}
	defer ck.Close() //nolint:errcheck // only read
	return m, m.convert(a, c, ck)
}

// match is a name that fits a pattern; numbers are what stands for # and *.
func match(pattern, name string) (numbers []string, ok bool) {
	expr := strings.NewReplacer(`#`, `(\d+)`, `\*`, `(\d+)`).Replace(regexp.QuoteMeta(pattern))
	found := regexp.MustCompile("^" + expr + "$").FindStringSubmatch(name)
	if found == nil {
		return nil, false
	}
	return found[1:], true
}

// convert places all tensors of a checkpoint.
func (m *file) convert(a *arch, c config, ck *weights.Checkpoint) error {
	type expert struct {
		number int
		tensor
	}
	stacks := map[string][]expert{}
	for _, full := range ck.Names() {
		if full == "lm_head.weight" && c.is("tie_word_embeddings") {
			continue // a copy
		}
		if slices.ContainsFunc(a.left, func(p string) bool { ok, _ := filepath.Match(p, full); return ok }) {
			m.left = append(m.left, full)
			continue
		}
		in, _ := ck.Info(full)
		raw, err := ck.Weight(full)
		if err != nil {
			return err
		}
		t := tensor{shape: slices.Clone(in.Shape), data: slices.Clone(raw.Float().F32s())}
		dot := strings.LastIndexByte(full, '.')
		name, end := full[:dot], full[dot:]
		var r *rule
		var numbers []string
		for i := range a.rules {
			var ok bool
			if numbers, ok = match(a.rules[i].from, name); ok {
				r = &a.rules[i]
				break
			}
		}
		if r == nil {
			return fmt.Errorf("%s: tensor %s has no name in architecture %s", ck.Path(), full, a.name)
		}
		if r.change != nil {
			t = r.change(c, t)
		}
		t.name = r.to + end
		if len(numbers) > 0 {
			t.name = strings.Replace(t.name, "#", numbers[0], 1)
		}
		if strings.Contains(r.from, "*") {
			number, _ := strconv.Atoi(numbers[1])
			stacks[t.name] = append(stacks[t.name], expert{number, t})
			continue
		}
		m.tensors = append(m.tensors, t)
	}
	for name, experts := range stacks {
		slices.SortFunc(experts, func(x, y expert) int { return cmp.Compare(x.number, y.number) })
		all := tensor{name: name, shape: append([]int{len(experts)}, experts[0].shape...)}
		for _, e := range experts {
			all.data = append(all.data, e.data...)
		}
		m.tensors = append(m.tensors, all)
	}
	slices.SortFunc(m.tensors, func(x, y tensor) int { return cmp.Compare(x.name, y.name) })
	return nil
}

// rows reorders the rows of a matrix, or the elements of a vector: row i of the
// result is row from(i).
func (t tensor) rows(from func(i int) int) tensor {
	n := len(t.data) / t.shape[0]
	out := tensor{name: t.name, shape: t.shape, data: make([]float32, 0, len(t.data))}
	for i := range t.shape[0] {
		out.data = append(out.data, t.data[from(i)*n:][:n]...)
	}
	return out
}

// neighbours makes the two halves of each head, which rotate together, neighbours.
func (t tensor) neighbours(heads int) tensor {
	dim := t.shape[0] / heads
	return t.rows(func(i int) int { return i/dim*dim + i%dim/2 + i%2*(dim/2) })
}

// regroup makes q | k | v of rows that are stored as groups of so many heads of
// queries, one of keys and one of values.
func (t tensor) regroup(groups, queries int) tensor {
	dim := t.shape[0] / (groups * (queries + 2))
	nq := groups * queries
	return t.rows(func(i int) int {
		head, at := i/dim, i%dim
		switch {
		case head < nq:
			head = head/queries*(queries+2) + head%queries
		case head < nq+groups:
			head = (head-nq)*(queries+2) + queries
		default:
			head = (head-nq-groups)*(queries+2) + queries + 1
		}
		return head*dim + at
	})
}

// plusOne adds 1.
func plusOne(_ config, t tensor) tensor {
	for i := range t.data {
		t.data[i]++
	}
	return t
}

// transposed exchanges the sides of a matrix.
func transposed(_ config, t tensor) tensor {
	if len(t.shape) == 1 {
		return t
	}
	rows, cols := t.shape[0], t.shape[1]
	out := tensor{shape: []int{cols, rows}, data: make([]float32, len(t.data))}
	for i := range rows {
		for j := range cols {
			out.data[j*rows+i] = t.data[i*cols+j]
		}
	}
	return out
}
