package quant

// Decoders and encoders against the outputs of gguf-py: one row of every type
// in testdata, three in the full fixtures. The goldens hold exact bits.

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// golden is a tiny safetensors file: name to bytes.
func golden(t testing.TB, path string) map[string][]byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n := 8 + binary.LittleEndian.Uint64(b)
	var header map[string]json.RawMessage
	if err := json.Unmarshal(b[8:n], &header); err != nil {
		t.Fatal(err)
	}
	tensors := map[string][]byte{}
	for name, raw := range header {
		var info struct {
			Offsets []uint64 `json:"data_offsets"`
		}
		if err := json.Unmarshal(raw, &info); err == nil && len(info.Offsets) == 2 {
			tensors[name] = b[n+info.Offsets[0] : n+info.Offsets[1]]
		}
	}
	return tensors
}

func floats(b []byte) []float32 {
	x := make([]float32, len(b)/4)
	for i := range x {
		x[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return x
}

// checkType compares Decode, and Encode where it has the type, with a golden.
func checkType(t *testing.T, typ Type, tensors map[string][]byte, prefix string) {
	t.Helper()
	raw, want := tensors[prefix+"raw"], floats(tensors[prefix+"dequantized"])
	if len(want) == 0 || len(raw) != typ.Bytes(len(want)) {
		t.Fatalf("%v: golden of %d bytes for %d elements", typ, len(raw), len(want))
	}
	got := make([]float32, len(want))
	if err := Decode(got, raw, typ); err != nil {
		t.Fatal(err)
	}
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("%v: element %d is %g, want %g", typ, i, got[i], want[i])
		}
	}
	if input, ok := tensors[prefix+"input"]; ok && typ.Encodes() {
		packed := make([]byte, len(raw))
		if err := Encode(packed, floats(input), typ); err != nil {
			t.Fatal(err)
		}
		for i := range raw {
			if packed[i] != raw[i] {
				t.Fatalf("%v: encoded byte %d (block %d) is %#x, want %#x", typ, i, i/typ.TypeSize(), packed[i], raw[i])
			}
		}
	}
}

// fileTypes are the types a GGUF tensor may have and Decode takes, less F64.
func fileTypes() []Type {
	var list []Type
	for _, typ := range Types() {
		if typ.Decodes() && typ != F64 {
			list = append(list, typ)
		}
	}
	return list
}

func TestGolden(t *testing.T) {
	tensors := golden(t, "testdata/blocks.safetensors")
	types := fileTypes()
	if len(types) != 26 {
		t.Fatalf("%d types decode, want 26 and F64", len(types))
	}
	for _, typ := range types {
		t.Run(typ.String(), func(t *testing.T) { checkType(t, typ, tensors, typ.String()+".") })
	}
}

func TestFixtures(t *testing.T) {
	root := os.Getenv("FIXTURES")
	if root == "" {
		root = filepath.Join("..", "..", "shared", "fixtures")
	}
	dir := filepath.Join(root, "gguf", "quant")
	b, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		t.Skipf("no fixtures (set FIXTURES): %v", err)
	}
	var index struct {
		Types map[string]struct {
			Number    Type `json:"ggml_type"`
			BlockSize int  `json:"block_size"`
			TypeSize  int  `json:"type_size"`
		}
	}
	if err := json.Unmarshal(b, &index); err != nil {
		t.Fatal(err)
	}
	for name, row := range index.Types {
		t.Run(name, func(t *testing.T) {
			typ, err := ParseType(name)
			if err != nil {
				t.Fatal(err)
			}
			if typ != row.Number || typ.BlockSize() != row.BlockSize || typ.TypeSize() != row.TypeSize {
				t.Fatalf("%v is %d, %d elements in %d bytes; want %+v", typ, uint32(typ), typ.BlockSize(), typ.TypeSize(), row)
			}
			checkType(t, typ, golden(t, filepath.Join(dir, name+".safetensors")), "")
		})
	}
}

func TestTypeNames(t *testing.T) {
	seen := map[string]bool{}
	for _, typ := range Types() {
		name := typ.String()
		if seen[name] || !typ.Valid() {
			t.Errorf("%v: duplicate or not valid", typ)
		}
		seen[name] = true
		for _, spelling := range []string{name, strings.ToLower(name)} {
			if got, err := ParseType(spelling); err != nil || got != typ {
				t.Errorf("ParseType(%q) = %v, %v", spelling, got, err)
			}
		}
	}
	for _, typ := range []Type{4, 5, 9, 15, 31, 36, 41, Bool - 1, U64 + 1, math.MaxUint32} {
		if typ.Valid() || typ.BlockSize() != 0 || typ.TypeSize() != 0 || typ.Bytes(0) != -1 || typ.Decodes() || typ.Encodes() {
			t.Errorf("%v counts as a type", typ)
		}
		if want := "Type("; !strings.HasPrefix(typ.String(), want) {
			t.Errorf("name %q, want %s...", typ, want)
		}
	}
	if _, err := ParseType("Q9_9"); err == nil || !strings.Contains(err.Error(), "Q9_9") || !strings.Contains(err.Error(), "Q4_K") {
		t.Errorf("unknown name: %v", err)
	}
}

func TestBytes(t *testing.T) {
	const maxInt = int(^uint(0) >> 1)
	for _, c := range []struct {
		typ     Type
		n, want int
	}{
		{F32, 3, 12}, {F16, 3, 6}, {Q4_0, 64, 36}, {Q6_K, 512, 420}, {NVFP4, 64, 36}, {Q4_0, 0, 0}, {U8, 7, 7},
		{Q4_0, 33, -1}, {F32, -4, -1}, {Q8_0, -32, -1}, {F32, maxInt, -1}, {F64, maxInt/8 + 1, -1}, {Q8_0, maxInt &^ 31, -1}, {Bool, maxInt, maxInt},
	} {
		if got := c.typ.Bytes(c.n); got != c.want {
			t.Errorf("%v.Bytes(%d) = %d, want %d", c.typ, c.n, got, c.want)
		}
	}
}

func TestRefusals(t *testing.T) {
	untouched := []float32{7, 7}
	for _, c := range []struct {
		name string
		err  error
		want []string
	}{
		{"decode integer", Decode(untouched, make([]byte, 8), I32), []string{"decode I32", "F32", "NVFP4"}},
		{"decode unknown", Decode(untouched, make([]byte, 8), 4), []string{"Type(4)", "BF16"}},
		{"decode part", Decode(untouched, make([]byte, 18), Q4_0), []string{"Q4_0", "2 elements", "32"}},
		{"decode short", Decode(untouched, make([]byte, 7), F32), []string{"F32", "8 bytes", "got 7"}},
		{"decode long", Decode(untouched, make([]byte, 9), F32), []string{"8 bytes", "got 9"}},
		{"encode K", Encode(make([]byte, 144), make([]float32, 256), Q4_K), []string{"encode Q4_K", "Q8_0"}},
		{"encode short", Encode(make([]byte, 33), make([]float32, 32), Q8_0), []string{"34 bytes", "got 33"}},
	} {
		if c.err == nil {
			t.Errorf("%s: no error", c.name)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(c.err.Error(), want) {
				t.Errorf("%s: %q does not say %q", c.name, c.err, want)
			}
		}
	}
	if untouched[0] != 7 || untouched[1] != 7 {
		t.Error("a refused Decode wrote")
	}
}

func TestAllocations(t *testing.T) {
	x := make([]float32, 512)
	for _, typ := range fileTypes() {
		b := make([]byte, typ.Bytes(len(x)))
		if n := testing.AllocsPerRun(10, func() { _ = Decode(x, b, typ) }); n != 0 {
			t.Errorf("Decode %v allocates %v times", typ, n)
		}
		if typ.Encodes() {
			if n := testing.AllocsPerRun(10, func() { _ = Encode(b, x, typ) }); n != 0 {
				t.Errorf("Encode %v allocates %v times", typ, n)
			}
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	tensors := golden(b, "testdata/blocks.safetensors")
	for _, typ := range fileTypes() {
		raw := tensors[typ.String()+".raw"]
		const rows = 64
		src := make([]byte, 0, rows*len(raw))
		for range rows {
			src = append(src, raw...)
		}
		dst := make([]float32, rows*512)
		b.Run(typ.String(), func(b *testing.B) {
			b.SetBytes(int64(4 * len(dst)))
			for b.Loop() {
				if err := Decode(dst, src, typ); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
