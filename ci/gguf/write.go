package main

// Writing a GGUF file, version 3: header, keys, tensor descriptions, data.

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"os"

	"github.com/godwit-ml/godwit/quant"
)

// key is one entry of the metadata: a uint32, float32, bool, string or []bool.
type key struct {
	name  string
	value any
}

// tensor is an F32 tensor, rows last.
type tensor struct {
	name  string
	shape []int
	data  []float32
}

// file is what becomes a GGUF file.
type file struct {
	arch    string
	keys    []key
	tensors []tensor
	left    []string // parts of the checkpoint that the format has no place for
}

const alignment = 32

// write writes the file; choose says which type a matrix gets.
func (m *file) write(path string, choose func(t *tensor) quant.Type) error {
	var head, data bytes.Buffer
	w := writer{&head}
	w.put([]byte("GGUF"), uint32(3), uint64(len(m.tensors)), uint64(len(m.keys)))
	for _, k := range m.keys {
		w.text(k.name)
		if err := w.value(k); err != nil {
			return err
		}
	}
	for i := range m.tensors {
		t := &m.tensors[i]
		kind := quant.F32
		if len(t.shape) > 1 {
			kind = choose(t)
		}
		raw := make([]byte, kind.Bytes(len(t.data)))
		if err := quant.Encode(raw, t.data, kind); err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		w.text(t.name)
		w.put(uint32(len(t.shape)))
		for d := len(t.shape) - 1; d >= 0; d-- { // the fastest first
			w.put(uint64(t.shape[d]))
		}
		w.put(uint32(kind), uint64(data.Len()))
		data.Write(raw)
		data.Write(make([]byte, -data.Len()&(alignment-1)))
	}
	head.Write(make([]byte, -head.Len()&(alignment-1)))
	return os.WriteFile(path, append(head.Bytes(), data.Bytes()...), 0o644)
}

type writer struct{ b *bytes.Buffer }

func (w writer) put(values ...any) {
	for _, v := range values {
		_ = binary.Write(w.b, binary.LittleEndian, v) // into memory, of fixed size
	}
}

func (w writer) text(s string) {
	w.put(uint64(len(s)))
	w.b.WriteString(s)
}

// The numbers of value types.
const (
	typeUint32  = 4
	typeFloat32 = 6
	typeBool    = 7
	typeString  = 8
	typeArray   = 9
)

func (w writer) value(k key) error {
	switch v := k.value.(type) {
	case uint32:
		w.put(uint32(typeUint32), v)
	case float32:
		w.put(uint32(typeFloat32), v)
	case bool:
		w.put(uint32(typeBool), v)
	case string:
		w.put(uint32(typeString))
		w.text(v)
	case []bool:
		w.put(uint32(typeArray), uint32(typeBool), uint64(len(v)), v)
	default:
		return fmt.Errorf("%s: cannot write a %T", k.name, k.value)
	}
	return nil
}

// chooser is a choice of types by its name: one type for all matrices whose rows
// are whole blocks, F16 for others; or mixed.
func chooser(name string) (func(t *tensor) quant.Type, error) {
	if name == "mixed" {
		return mixed, nil
	}
	kind, err := quant.ParseType(name)
	if err != nil || !kind.Encodes() {
		return nil, fmt.Errorf("-type %s: want mixed or a type that can be encoded, like F16 or Q8_0", name)
	}
	return func(t *tensor) quant.Type { return fits(kind, t) }, nil
}

// fits is a type, or F16 for a matrix whose rows are not whole blocks of it.
func fits(kind quant.Type, t *tensor) quant.Type {
	if t.shape[len(t.shape)-1]%kind.BlockSize() != 0 {
		return quant.F16
	}
	return kind
}

// mixed gives the tensors of a file different types, those of one layer too: by a
// hash of their name, so that a file is the same whenever it is written.
func mixed(t *tensor) quant.Type {
	h := fnv.New32a()
	h.Write([]byte(t.name))
	kinds := []quant.Type{quant.F32, quant.F16, quant.BF16, quant.Q8_0, quant.Q8_0, quant.Q5_1}
	return fits(kinds[h.Sum32()%uint32(len(kinds))], t)
}
