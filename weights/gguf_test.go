package weights

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/godwit-ml/godwit/quant"
)

// everyKind is metadata of every type.
var everyKind = []pair{
	{"general.architecture", "llama"},
	{"u8", uint8(200)}, {"i8", int8(-3)}, {"u16", uint16(60000)}, {"i16", int16(-300)},
	{"u32", uint32(4e9)}, {"i32", int32(-70000)}, {"f32", float32(1e-5)}, {"yes", true}, {"no", false},
	{"u64", uint64(1) << 63}, {"i64", int64(-1) << 40}, {"f64", 1e300}, {"empty", ""},
	{"a.u8", []uint8{1, 255}}, {"a.i8", []int8{1, -1}}, {"a.u16", []uint16{1, 65535}}, {"a.i16", []int16{-1}},
	{"a.u32", []uint32{7}}, {"a.i32", []int32{1, -2, 3}}, {"a.f32", []float32{0.5, -1}}, {"a.bool", []bool{true, false}},
	{"a.u64", []uint64{9}}, {"a.i64", []int64{-9}}, {"a.f64", []float64{0.25}},
	{"tokens", []string{"<s>", "", "▁the", "a\x00\xffb"}}, {"none", []string{}},
	{"nested", []any{[]int32{1}, []string{"x", "yz"}, []any{[]bool{true}}}},
}

// q80 is a Q8_0 tensor of n blocks.
func q80(name string, shape ...int) stored {
	x := make([]float32, elements(shape))
	for i := range x {
		x[i] = float32(i % 32)
	}
	data := make([]byte, quant.Q8_0.Bytes(len(x)))
	if err := quant.Encode(data, x, quant.Q8_0); err != nil {
		panic(err)
	}
	return stored{name, quant.Q8_0, shape, data}
}

func TestGGUF(t *testing.T) {
	for _, version := range []uint32{2, 3} {
		for _, alignment := range []uint32{8, 32, 4096} {
			pairs := append(slices.Clone(everyKind), pair{"general.alignment", alignment})
			file := gguf(version, pairs, ramp("norm", 5), q80("blk.0.attn_q.weight", 3, 64), ramp("experts", 2, 2, 3), q80("odd", 32), ramp("scalar"))
			c := mustOpen(t, write(t, map[string][]byte{"m.gguf": file})+"/m.gguf")
			if c.Format() != GGUF {
				t.Errorf("format %v", c.Format())
			}
			want := map[string]any{}
			for _, p := range pairs {
				want[p.key] = p.value
			}
			if diff := cmp.Diff(want, c.Metadata()); diff != "" {
				t.Errorf("metadata: %s", diff)
			}
			if names := c.Names(); !slices.Equal(names, []string{"blk.0.attn_q.weight", "experts", "norm", "odd", "scalar"}) {
				t.Errorf("names %q", names)
			}
			x, err := c.Tensor("blk.0.attn_q.weight")
			if err != nil || x.DType != quant.Q8_0 || x.Rows != 3 || x.Cols != 64 || x.Stride != 2 || len(x.Bytes()) != 6*34 {
				t.Errorf("attn_q is %v, stride %d: %v", x, x.Stride, err)
			}
			if got := values(t, c, "blk.0.attn_q.weight"); math.Abs(float64(got[33]-1)) > 0.2 || got[32] != 0 {
				t.Errorf("attn_q = %v", got)
			}
			if got := values(t, c, "norm"); !slices.Equal(got, []float32{0, 1, 2, 3, 4}) {
				t.Errorf("norm = %v", got)
			}
			info, _ := c.Info("experts")
			if rows, cols := info.RowsCols(); !slices.Equal(info.Shape, []int{2, 2, 3}) || rows != 4 || cols != 3 {
				t.Errorf("experts %+v", info)
			}
			if got := values(t, c, "experts"); got[11] != 11 {
				t.Errorf("experts = %v", got)
			}
			if scalar, err := c.Tensor("scalar"); err != nil || scalar.Rows != 1 || scalar.Cols != 1 {
				t.Errorf("scalar is %v: %v", scalar, err)
			}
			if m := c.Memory(); m.Mapped != 0 && m.Copies != 0 {
				t.Errorf("aligned tensors were copied: %+v", m)
			}
		}
	}
}

func TestGGUFVocabularyOnly(t *testing.T) {
	c, err := OpenFS(memory("v.gguf", gguf(3, everyKind)), "v.gguf")
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Names()) != 0 || len(c.Metadata()) != len(everyKind) {
		t.Errorf("%d tensors, %d keys", len(c.Names()), len(c.Metadata()))
	}
}

// TestGGUFLongHeader: a header longer than the first window, unmapped.
func TestGGUFLongHeader(t *testing.T) {
	tokens := make([]string, 100_000)
	for i := range tokens {
		tokens[i] = fmt.Sprintf("token %d of many", i)
	}
	long := strings.Repeat("x", 3<<20)
	file := gguf(3, []pair{{"long", long}, {"tokens", tokens}}, ramp("w", 4))
	c, err := OpenFS(memory("m.gguf", file), "m.gguf")
	if err != nil {
		t.Fatal(err)
	}
	if c.Metadata()["long"] != long || !slices.Equal(c.Metadata()["tokens"].([]string), tokens) {
		t.Error("metadata differ")
	}
	if got := values(t, c, "w"); !slices.Equal(got, []float32{0, 1, 2, 3}) {
		t.Errorf("w = %v", got)
	}
}

// ggufWith writes a header by hand.
func ggufWith(version uint32, tensors, pairs uint64) *ggufBytes {
	g := &ggufBytes{b: []byte(ggufMagic)}
	return g.u32(version).u64(tensors).u64(pairs)
}

// tensorInfo appends one.
func (g *ggufBytes) tensorInfo(name string, kind uint32, offset uint64, innermostFirst ...uint64) *ggufBytes {
	g.str(name).u32(uint32(len(innermostFirst)))
	for _, d := range innermostFirst {
		g.u64(d)
	}
	return g.u32(kind).u64(offset)
}

// data pads and appends n bytes.
func (g *ggufBytes) data(n int) []byte {
	return append(g.b, make([]byte, pad(len(g.b), 32)-len(g.b)+n)...)
}

// badGGUF are files to be refused and what the error must say.
func badGGUF() map[string]badFile {
	key := func(kind uint32) *ggufBytes { return ggufWith(3, 0, 1).str("some.key").u32(kind) }
	array := func(kind uint32, n uint64) *ggufBytes { return key(ggufArray).u32(kind).u64(n) }
	nest := func(depth int) []byte {
		g := key(ggufArray)
		for range depth {
			g.u32(ggufArray).u64(1)
		}
		return g.u32(ggufUint8).u64(0).b
	}
	good := gguf(3, everyKind, ramp("w", 40))
	one := func(kind uint32, offset uint64, dims ...uint64) []byte {
		return ggufWith(3, 1, 0).tensorInfo("w", kind, offset, dims...).data(64)
	}
	two := func(second uint64) []byte {
		return ggufWith(3, 2, 0).tensorInfo("a", 0, 0, 2).tensorInfo("w", 0, second, 2).data(96)
	}
	return map[string]badFile{
		"empty":                 {nil, "", "empty"},
		"magic alone":           {[]byte("GGUF"), "", "ends inside its header (magic and version)"},
		"short magic":           {[]byte("GGU"), "", "(magic and version)"},
		"other magic":           {[]byte("GGML then more"), "", `begins with "GGML"`},
		"version 1":             {ggufWith(1, 0, 0).b, "", "version 1"},
		"version 4":             {ggufWith(4, 0, 0).b, "", "version 4 is not supported, only 2 and 3"},
		"big endian":            {ggufWith(3<<24, 0, 0).b, "", "big-endian"},
		"cut counts":            {ggufWith(3, 0, 0).b[:20], "", "the number of metadata entries"},
		"huge tensor count":     {ggufWith(3, math.MaxUint64, 0).b, "", "18446744073709551615 tensors cannot be"},
		"tensor count by one":   {append(ggufWith(3, 2, 0).b, make([]byte, 39)...), "", "2 tensors cannot be in the 47 bytes"},
		"huge key count":        {ggufWith(3, 0, 1<<40).b, "", "1099511627776 metadata entries cannot be"},
		"huge key":              {ggufWith(3, 0, 1).u64(1 << 62).u64(0).b, "", "bytes of a string cannot be"},
		"cut key":               {ggufWith(3, 0, 1).u64(5).u64(0).b, "", "ends inside its header (metadata \"\\x00"},
		"unknown kind":          {key(13).u64(0).b, "", "metadata some.key: unknown value type 13"},
		"bool":                  {append(key(ggufBool).b, 2), "", "metadata some.key: a bool is 2"},
		"array bool":            {append(array(ggufBool, 2).b, 1, 3), "", "bool 1 of an array is 3"},
		"cut value":             {append(key(ggufUint64).b, 1, 2, 3, 4), "", "ends inside its header (metadata some.key)"},
		"huge string":           {key(ggufString).u64(1 << 63).b, "", "metadata some.key: 9223372036854775808 bytes of a string"},
		"huge array":            {array(ggufUint8, math.MaxUint64).b, "", "metadata some.key: 18446744073709551615 elements"},
		"huge array of f64":     {array(ggufFloat64, 1<<61).b, "", "2305843009213693952 elements"},
		"array by one":          {append(array(ggufUint16, 2).b, 1, 2, 3), "", "2 elements of an array cannot be in the 3 bytes"},
		"array kind":            {array(99, 0).b, "", "array of unknown value type 99"},
		"huge string in array":  {array(ggufString, 1).u64(1 << 60).b, "", "1152921504606846976 bytes of a string"},
		"empty strings":         {append(array(ggufString, 1<<20).b, make([]byte, 8<<20)...), "", "would take more memory than the file"},
		"empty arrays":          {append(array(ggufArray, 1<<20).b, make([]byte, 12<<20)...), "", "array of 1048576 elements"},
		"nested":                {nest(5), "", "nested more than 4 deep"},
		"nested far":            {nest(100_000), "", "metadata some.key: arrays nested"},
		"key twice":             {gguf(3, []pair{{"k", uint8(1)}, {"k", uint8(2)}}), "", "key k is there twice"},
		"alignment 0":           {gguf3Alignment(uint32(0)), "", "general.alignment is 0"},
		"alignment 48":          {gguf3Alignment(uint32(48)), "", "general.alignment is 48, want a power of two"},
		"alignment text":        {gguf3Alignment("32"), "", "general.alignment is string"},
		"alignment u64":         {gguf3Alignment(uint64(32)), "", "general.alignment is uint64"},
		"alignment huge":        {gguf3Alignment(uint32(1 << 31)), "", "should begin at byte 2147483648"},
		"split":                 {gguf(3, []pair{{"split.count", uint16(3)}}), "", "one of 3 parts"},
		"rank":                  {ggufWith(3, 1, 0).tensorInfo("w", 0, 0, 1, 1, 1, 1, 1).data(4), "w", "5 dimensions"},
		"huge rank":             {ggufWith(3, 1, 0).str("w").u32(math.MaxUint32).u64(0).u64(0).b, "w", "4294967295 dimensions"},
		"huge dimension":        {one(0, 0, 1<<63), "w", "dimension 0 is too large"},
		"overflow":              {one(0, 0, 1<<40, 1<<40), "w", "more elements than can be counted"},
		"overflow bytes":        {one(0, 0, 1<<62), "w", "more bytes than can be counted"},
		"hidden overflow":       {one(0, 0, 1<<40, 0, 1<<40), "w", "shape [1099511627776 0 1099511627776]"},
		"type":                  {one(4, 0, 2), "w", "GGUF type 4 is not supported, only F32 F16"},
		"our own type":          {one(uint32(quant.U8), 0, 2), "w", "GGUF type 65537"},
		"block":                 {one(uint32(quant.Q8_0), 0, 33), "w", "rows of 33 elements are not whole blocks of Q8_0, which have 32"},
		"block across rows":     {one(uint32(quant.Q8_0), 0, 16, 2), "w", "rows of 16"},
		"offset":                {one(0, 4, 2), "w", "not a multiple of the alignment, 32"},
		"huge offset":           {one(0, 1<<63, 2), "w", "offset 9223372036854775808"},
		"large offset":          {one(0, math.MaxInt64-31, 2), "w", "past the 64 bytes"},
		"past the end":          {one(0, 0, 17), "w", "68 bytes at offset 0 end past the 64 bytes"},
		"first gap":             {one(0, 32, 2), "w", "offset 32 leaves a gap after 0"},
		"overlap":               {two(0), "w", "offset 0 is inside another tensor, which ends at 8"},
		"gap":                   {two(64), "w", "offset 64 leaves a gap after 8"},
		"tensor twice":          {ggufWith(3, 2, 0).tensorInfo("w", 0, 0, 2).tensorInfo("w", 0, 32, 2).data(64), "w", "twice in the header"},
		"cut tensor info":       {append(ggufWith(3, 1, 0).str("w").u32(4).u64(1).b, make([]byte, 8)...), "", "(the info of tensor 1 of 1)"},
		"data missing":          {ggufWith(3, 1, 0).tensorInfo("w", 0, 0, 2).b, "", "past the end of the file"},
		"data cut":              {good[:len(good)-1], "w", "the file is truncated"},
		"metadata cut":          {good[:100], "", "cannot be in the"},
		"name with a huge text": {ggufWith(3, 1, 0).tensorInfo(strings.Repeat("w", 9000), 0, 0, 1<<40, 1<<40).data(0), strings.Repeat("w", 9000), "\u2026: shape"},
	}
}

// gguf3Alignment has one tensor and any value as general.alignment.
func gguf3Alignment(value any) []byte {
	return ggufWith(3, 1, 1).str("general.alignment").u32(scalarOrArray(value)).value(value).tensorInfo("w", 0, 0, 2).data(8)
}

func TestGGUFRefused(t *testing.T) {
	texts := map[string]string{}
	for name, bad := range badGGUF() {
		t.Run(name, func(t *testing.T) {
			text := checkRefused(t, "m.gguf", bad)
			if other, same := texts[text]; same && !strings.HasPrefix(name, "nested") && !strings.Contains(name, "magic") {
				t.Errorf("says the same as %q: %s", other, text)
			}
			texts[text] = name
		})
	}
}

// TestGGUFOrder: tensors may be described in another order than they lie, and
// bytes may follow the last.
func TestGGUFOrder(t *testing.T) {
	file := ggufWith(3, 3, 0).tensorInfo("b", 0, 32, 2).tensorInfo("none", 0, 64, 0, 7).tensorInfo("a", 0, 0, 8).data(77)
	copy(file[len(file)-77:], f32s(1, 2, 3, 4, 5, 6, 7, 8, 9, 10))
	c, err := OpenFS(memory("m.gguf", file), "m.gguf")
	if err != nil {
		t.Fatal(err)
	}
	if got := values(t, c, "b"); !slices.Equal(got, []float32{9, 10}) {
		t.Errorf("b = %v", got)
	}
	if x, err := c.Tensor("none"); err != nil || x.Rows != 7 || x.Cols != 0 {
		t.Errorf("none is %v: %v", x, err)
	}
}
