package weights

// Writers of small model files for the tests.

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/godwit-ml/godwit/quant"
)

// stored is a tensor to be written.
type stored struct {
	name  string
	dtype quant.Type
	shape []int // outermost first
	data  []byte
}

// f32s are the bytes of values.
func f32s(x ...float32) []byte {
	b := make([]byte, 4*len(x))
	if err := quant.Encode(b, x, quant.F32); err != nil {
		panic(err)
	}
	return b
}

// ramp is an F32 tensor of 0, 1, 2 and so on.
func ramp(name string, shape ...int) stored {
	x := make([]float32, elements(shape))
	for i := range x {
		x[i] = float32(i)
	}
	return stored{name, quant.F32, shape, f32s(x...)}
}

// safetensors writes a file; pad is added to the header's length to misalign.
func safetensors(metadata map[string]string, pad int, tensors ...stored) []byte {
	var header, data bytes.Buffer
	header.WriteString("{")
	if metadata != nil {
		b, _ := json.Marshal(metadata)
		fmt.Fprintf(&header, `"__metadata__":%s`, b)
	}
	for _, t := range tensors {
		if header.Len() > 1 {
			header.WriteString(",")
		}
		name, _ := json.Marshal(t.name)
		shape, _ := json.Marshal(append([]int{}, t.shape...))
		fmt.Fprintf(&header, `%s:{"dtype":%q,"shape":%s,"data_offsets":[%d,%d]}`, name, t.dtype, shape, data.Len(), data.Len()+len(t.data))
		data.Write(t.data)
	}
	header.WriteString("}")
	for header.Len()%8 != 0 {
		header.WriteString(" ")
	}
	header.WriteString("        "[:pad])
	return withHeader(header.String(), data.Bytes())
}

// withHeader puts a safetensors header before data.
func withHeader(header string, data []byte) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), data...)
}

// pair is a GGUF metadata entry; value is a Go value of the reader's kinds.
type pair struct {
	key   string
	value any
}

// ggufBytes grows a GGUF file.
type ggufBytes struct{ b []byte }

func (g *ggufBytes) u32(n uint32) *ggufBytes {
	g.b = binary.LittleEndian.AppendUint32(g.b, n)
	return g
}

func (g *ggufBytes) u64(n uint64) *ggufBytes {
	g.b = binary.LittleEndian.AppendUint64(g.b, n)
	return g
}

func (g *ggufBytes) str(s string) *ggufBytes {
	g.u64(uint64(len(s)))
	g.b = append(g.b, s...)
	return g
}

// ggufKind is the type number of a value or of the elements of an array.
func ggufKind(v any) uint32 {
	switch v.(type) {
	case uint8, []uint8:
		return ggufUint8
	case int8, []int8:
		return ggufInt8
	case uint16, []uint16:
		return ggufUint16
	case int16, []int16:
		return ggufInt16
	case uint32, []uint32:
		return ggufUint32
	case int32, []int32:
		return ggufInt32
	case float32, []float32:
		return ggufFloat32
	case bool, []bool:
		return ggufBool
	case string, []string:
		return ggufString
	case uint64, []uint64:
		return ggufUint64
	case int64, []int64:
		return ggufInt64
	case float64, []float64:
		return ggufFloat64
	case []any:
		return ggufArray
	}
	panic(fmt.Sprintf("no GGUF type for %T", v))
}

// value writes a value without its type.
func (g *ggufBytes) value(v any) *ggufBytes {
	switch v := v.(type) {
	case string:
		return g.str(v)
	case []string:
		g.u32(ggufString).u64(uint64(len(v)))
		for _, s := range v {
			g.str(s)
		}
		return g
	case []any:
		g.u32(ggufArray).u64(uint64(len(v)))
		for _, a := range v {
			g.value(a)
		}
		return g
	}
	if n := binary.Size(v); n >= 0 {
		if !isScalar(v) {
			g.u32(ggufKind(v)).u64(uint64(reflect.ValueOf(v).Len()))
		}
		b, err := binary.Append(g.b, binary.LittleEndian, v)
		if err != nil {
			panic(err)
		}
		g.b = b
		return g
	}
	panic(fmt.Sprintf("cannot write %T", v))
}

func isScalar(v any) bool { return reflect.TypeOf(v).Kind() != reflect.Slice }

// scalarOrArray is the type number of a whole value.
func scalarOrArray(v any) uint32 {
	if isScalar(v) {
		return ggufKind(v)
	}
	return ggufArray
}

// gguf writes a file with the usual alignment, or that of general.alignment.
func gguf(version uint32, pairs []pair, tensors ...stored) []byte {
	g := &ggufBytes{b: []byte(ggufMagic)}
	g.u32(version).u64(uint64(len(tensors))).u64(uint64(len(pairs)))
	alignment := 32
	for _, p := range pairs {
		g.str(p.key).u32(scalarOrArray(p.value)).value(p.value)
		if p.key == "general.alignment" {
			alignment = int(p.value.(uint32))
		}
	}
	offset := 0
	for _, t := range tensors {
		g.str(t.name).u32(uint32(len(t.shape)))
		for _, d := range slices.Backward(t.shape) {
			g.u64(uint64(d))
		}
		g.u32(uint32(t.dtype)).u64(uint64(offset))
		offset += pad(len(t.data), alignment)
	}
	for _, t := range tensors {
		g.b = append(g.b, make([]byte, pad(len(g.b), alignment)-len(g.b))...)
		g.b = append(g.b, t.data...)
	}
	return g.b
}

func pad(n, alignment int) int { return (n + alignment - 1) / alignment * alignment }

// write puts files into a fresh directory and returns it.
func write(t testing.TB, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, files[name], 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// memory is a file system of one file.
func memory(name string, data []byte) fstest.MapFS {
	return fstest.MapFS{name: &fstest.MapFile{Data: data}}
}

// values decodes a tensor of the checkpoint.
func values(t testing.TB, c *Checkpoint, name string) []float32 {
	t.Helper()
	w, err := c.Weight(name)
	if err != nil {
		t.Fatal(err)
	}
	x := make([]float32, w.Rows*w.Cols)
	if err := quant.Decode(x, w.Bytes(), w.DType); err != nil {
		t.Fatal(err)
	}
	return x
}

// mustOpen opens and closes at the end of the test.
func mustOpen(t testing.TB, path string) *Checkpoint {
	t.Helper()
	c, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// f64s are the bytes of values.
func f64s(x ...float64) []byte {
	var b []byte
	for _, v := range x {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
	}
	return b
}
