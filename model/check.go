package model

// Checks of configurations: sizes and functions.

import (
	"fmt"
	"math"
	"slices"

	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/weights"
)

// checker checks one configuration and keeps the first error.
type checker struct {
	src Source
	ck  *weights.Checkpoint
	err error
}

// keep keeps an error, if it is the first.
func (k *checker) keep(err error) {
	if k.err == nil {
		k.err = err
	}
}

// dims checks that sizes are positive and sane.
func (k *checker) dims(dims ...dim) { k.keep(checkDims(k.src, k.ck, dims...)) }

// divides checks that by, the value of a field, divides n.
func (k *checker) divides(field string, n, by int) { k.keep(divides(k.src, field, n, by)) }

// positive checks that a field is a positive number.
func (k *checker) positive(field string, v float64) { k.keep(positive(k.src, field, v)) }

// activation is the function a field names.
func (k *checker) activation(field, name string) runtime.Fn {
	f, err := activation(k.src, field, name)
	k.keep(err)
	return f
}

// refuse refuses a value that is right but not supported, if it is there; have
// is what is supported instead.
func (k *checker) refuse(is bool, field string, value any, have ...string) {
	if is {
		k.keep(&UnsupportedError{k.src.File, fmt.Sprintf("%s %v", field, value), have})
	}
}

// contradicts reports a field that cannot be true, if it is so.
func (k *checker) contradicts(is bool, field, format string, args ...any) {
	if is {
		k.keep(&ConfigError{k.src.File, field, fmt.Sprintf(format, args...)})
	}
}

// class is the class a configuration names, of have, whose first has a
// vocabulary head and whose second is the body alone.
func (k *checker) class(names []string, have ...string) (name string, lm bool) {
	name, err := architecture(k.src, names, have)
	k.keep(err)
	return name, name == have[0]
}

// Bounds of what a configuration may claim: far above any model, and low enough
// that nothing overflows before the tensors' shapes are compared.
const (
	maxLayers  = 4096
	maxWidth   = 1 << 24
	maxContext = 1 << 25
)

// dim is one size of a configuration.
type dim struct {
	field string
	value int
	most  int
}

// checkDims checks that sizes are positive and sane, and that there are tensors
// for as many layers.
func checkDims(src Source, ck *weights.Checkpoint, dims ...dim) error {
	for _, d := range dims {
		if d.value <= 0 || d.value > d.most {
			return &ConfigError{src.File, d.field, fmt.Sprintf("is %d, want 1 to %d", d.value, d.most)}
		}
		if n := len(ck.Names()); d.most == maxLayers && d.value > n {
			return &ConfigError{src.File, d.field, fmt.Sprintf("is %d layers, but the checkpoint has %d tensors", d.value, n)}
		}
	}
	return nil
}

func divides(src Source, field string, n, by int) error {
	if by <= 0 || n%by != 0 {
		return &ConfigError{src.File, field, fmt.Sprintf("%d does not divide %d", by, n)}
	}
	return nil
}

func positive(src Source, field string, v float64) error {
	if !(v > 0) || math.IsInf(v, 0) || float32(v) == 0 {
		return &ConfigError{src.File, field, fmt.Sprintf("is %v, want a positive number", v)}
	}
	return nil
}

// activation is the function config.json names.
func activation(src Source, field, name string) (runtime.Fn, error) {
	have := map[string]runtime.Fn{
		"gelu": runtime.Gelu, "gelu_python": runtime.Gelu,
		"gelu_new": runtime.GeluTanh, "gelu_fast": runtime.GeluTanh, "gelu_pytorch_tanh": runtime.GeluTanh,
		"gelu_python_tanh": runtime.GeluTanh, "gelu_accurate": runtime.GeluTanh, "linear": runtime.Ident,
		"relu": runtime.Relu, "silu": runtime.Silu, "swish": runtime.Silu, "tanh": runtime.Tanh, "sigmoid": runtime.Sigmoid,
	}
	f, ok := have[name]
	if !ok {
		names := make([]string, 0, len(have))
		for n := range have {
			names = append(names, n)
		}
		slices.Sort(names)
		return 0, &UnsupportedError{src.File, fmt.Sprintf("%s %q", field, name), names}
	}
	return f, nil
}
