package model_test

// Checkpoints made of the ones in testdata: other names, other types, other
// formats, with tensors gone or in the way.

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-ml/godwit/quant"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/weights"
)

// stored is a tensor of a file.
type stored struct {
	dtype quant.Type
	shape []int
	data  []byte
}

// checkpoint is a model that is still to be written.
type checkpoint struct {
	config  map[string]any
	tensors map[string]stored
}

// base is a checkpoint of testdata.
func base(t testing.TB, name string) checkpoint {
	t.Helper()
	return open(t, folder(name))
}

// open is a checkpoint of a folder.
func open(t testing.TB, dir string) checkpoint {
	t.Helper()
	c := checkpoint{tensors: map[string]stored{}}
	b, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &c.config); err != nil {
		t.Fatal(err)
	}
	ck, err := weights.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer ck.Close() //nolint:errcheck // only read
	for _, n := range ck.Names() {
		in, _ := ck.Info(n)
		x, err := ck.Tensor(n)
		if err != nil {
			t.Fatal(err)
		}
		c.tensors[n] = stored{in.DType, in.Shape, bytes.Clone(x.Bytes())}
	}
	return c
}

// rename gives every tensor the name that to makes of it.
func (c checkpoint) rename(to func(string) string) {
	for _, n := range slices.Collect(maps.Keys(c.tensors)) {
		x := c.tensors[n]
		delete(c.tensors, n)
		c.tensors[to(n)] = x
	}
}

// host is a stored tensor as a matrix.
func (x stored) host() runtime.Tensor {
	in := weights.Info{Shape: x.shape}
	rows, cols := in.RowsCols()
	return runtime.HostTensor(x.dtype, rows, cols, x.data)
}

// as converts a tensor.
func (x stored) as(t testing.TB, dtype quant.Type) stored {
	t.Helper()
	h := x.host().Float()
	y := stored{dtype, x.shape, make([]byte, h.Rows*h.Cols/dtype.BlockSize()*dtype.TypeSize())}
	if err := quant.Encode(y.data, h.F32s(), dtype); err != nil {
		t.Fatal(err)
	}
	return y
}

// f32 is an F32 tensor of values.
func f32(shape []int, v ...float32) stored {
	b := make([]byte, 4*len(v))
	if err := quant.Encode(b, v, quant.F32); err != nil {
		panic(err)
	}
	return stored{quant.F32, shape, b}
}

// zeros is an F32 tensor of zeros.
func zeros(shape ...int) stored {
	n := 4
	for _, d := range shape {
		n *= d
	}
	return stored{quant.F32, shape, make([]byte, n)}
}

// safetensors is a file of tensors, in the order of their names.
func safetensors(tensors map[string]stored) []byte {
	var header, data bytes.Buffer
	header.WriteString("{")
	for i, n := range slices.Sorted(maps.Keys(tensors)) {
		if i > 0 {
			header.WriteString(",")
		}
		x := tensors[n]
		shape, _ := json.Marshal(append([]int{}, x.shape...))
		fmt.Fprintf(&header, `%q:{"dtype":%q,"shape":%s,"data_offsets":[%d,%d]}`, n, x.dtype, shape, data.Len(), data.Len()+len(x.data))
		data.Write(x.data)
	}
	header.WriteString("}")
	for header.Len()%8 != 0 {
		header.WriteString(" ")
	}
	b := binary.LittleEndian.AppendUint64(nil, uint64(header.Len()))
	return append(append(b, header.Bytes()...), data.Bytes()...)
}

// write writes a folder in Hugging Face's layout.
func (c checkpoint) write(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	config, err := json.Marshal(c.config)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "config.json"), config)
	writeFile(t, filepath.Join(dir, "model.safetensors"), safetensors(c.tensors))
	return dir
}

// writeSharded writes a folder with the tensors in three files and an index.
func (c checkpoint) writeSharded(t testing.TB) string {
	t.Helper()
	dir := c.write(t)
	if err := os.Remove(filepath.Join(dir, "model.safetensors")); err != nil {
		t.Fatal(err)
	}
	const n = 3
	shards, index := [n]map[string]stored{{}, {}, {}}, map[string]string{}
	for i, name := range slices.Sorted(maps.Keys(c.tensors)) {
		shards[i%n][name] = c.tensors[name]
		index[name] = fmt.Sprintf("model-%05d-of-%05d.safetensors", i%n+1, n)
	}
	for i, s := range shards {
		writeFile(t, filepath.Join(dir, fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, n)), safetensors(s))
	}
	b, err := json.Marshal(map[string]any{"metadata": map[string]any{}, "weight_map": index})
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "model.safetensors.index.json"), b)
	return dir
}

func writeFile(t testing.TB, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// writeGGUF writes a GGUF file of version 3: little-endian counts and lengths of
// 64 bits, dimensions innermost first, data aligned to 32 bytes.
func writeGGUF(t testing.TB, metadata map[string]any, tensors map[string]stored) string {
	t.Helper()
	var head, data bytes.Buffer
	put := func(v any) {
		if s, ok := v.(string); ok {
			v = []byte(s)
			_ = binary.Write(&head, binary.LittleEndian, uint64(len(s)))
		}
		if err := binary.Write(&head, binary.LittleEndian, v); err != nil {
			t.Fatal(err)
		}
	}
	head.WriteString("GGUF")
	put(uint32(3))
	put(uint64(len(tensors)))
	put(uint64(len(metadata)))
	for _, k := range slices.Sorted(maps.Keys(metadata)) {
		put(k)
		switch metadata[k].(type) {
		case uint32:
			put(uint32(4))
		case float32:
			put(uint32(6))
		case string:
			put(uint32(8))
		case bool:
			put(uint32(7))
		default:
			t.Fatalf("%s is a %T", k, metadata[k])
		}
		put(metadata[k])
	}
	for _, n := range slices.Sorted(maps.Keys(tensors)) {
		x := tensors[n]
		put(n)
		put(uint32(len(x.shape)))
		for _, d := range slices.Backward(x.shape) {
			put(uint64(d))
		}
		put(uint32(x.dtype))
		put(uint64(data.Len()))
		data.Write(x.data)
		data.Write(make([]byte, -data.Len()&31))
	}
	head.Write(make([]byte, -head.Len()&31))
	file := filepath.Join(t.TempDir(), "model.gguf")
	writeFile(t, file, append(head.Bytes(), data.Bytes()...))
	return file
}

// names renames with pairs of old and new parts.
func names(pairs ...string) func(string) string {
	r := strings.NewReplacer(pairs...)
	return r.Replace
}

// interleave reorders the rows of heads of a q or k projection from halves that
// rotate together to neighbours that do, as llama.cpp's converter does.
func (x stored) interleave(headDim int) stored {
	h := x.host()
	rows, size := h.Rows, int(h.RowBytes())
	if len(x.shape) == 1 { // a bias: each element is a row
		rows, size = x.shape[0], x.dtype.TypeSize()
	}
	y := stored{x.dtype, x.shape, make([]byte, len(x.data))}
	for r := range rows {
		head, i := r/headDim, r%headDim
		to := 2 * i
		if i >= headDim/2 {
			to = 2*(i-headDim/2) + 1
		}
		copy(y.data[(head*headDim+to)*size:][:size], x.data[r*size:][:size])
	}
	return y
}

// transpose exchanges rows and columns of an F32 matrix.
func (x stored) transpose() stored {
	h := x.host()
	y := stored{x.dtype, []int{h.Cols, h.Rows}, make([]byte, len(x.data))}
	for i := range h.Rows {
		for j := range h.Cols {
			copy(y.data[(j*h.Rows+i)*4:][:4], x.data[(i*h.Cols+j)*4:][:4])
		}
	}
	return y
}
