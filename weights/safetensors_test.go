package weights

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/godwit-ml/godwit/quant"
)

func TestSafetensors(t *testing.T) {
	file := safetensors(map[string]string{"format": "pt"}, 0,
		ramp("b.matrix", 2, 3),
		stored{"a.vector", quant.F16, []int{2}, []byte{0, 0x3c, 0, 0xc0}},
		stored{"brain", quant.BF16, []int{1, 1, 2}, []byte{0x80, 0x3f, 0, 0x40}},
		stored{"scalar", quant.F32, nil, f32s(7)},
		stored{"cube", quant.F32, []int{2, 2, 3}, f32s(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)},
		stored{"ids", quant.I64, []int{1, 2}, binary.LittleEndian.AppendUint64(make([]byte, 8), 5)},
		stored{"mask", quant.Bool, []int{3}, []byte{1, 0, 1}},
		stored{"bytes", quant.U8, []int{5}, []byte{1, 2, 3, 4, 5}},
		stored{"none", quant.F32, []int{0, 4}, nil},
		stored{`quo"te ü`, quant.I32, []int{1}, make([]byte, 4)},
	)
	c := mustOpen(t, write(t, map[string][]byte{"model.safetensors": file}))
	want := []string{"a.vector", "b.matrix", "brain", "bytes", "cube", "ids", "mask", "none", `quo"te ü`, "scalar"}
	if names := c.Names(); !slices.Equal(names, want) {
		t.Errorf("names %q", names)
	}
	if c.Format() != Safetensors || c.Metadata()["format"] != "pt" || !strings.HasSuffix(c.Path(), "model.safetensors") {
		t.Errorf("%v %v %v", c.Format(), c.Metadata(), c.Path())
	}
	for _, row := range []struct {
		name       string
		dtype      quant.Type
		rows, cols int
		values     []float32
	}{
		{"b.matrix", quant.F32, 2, 3, []float32{0, 1, 2, 3, 4, 5}},
		{"a.vector", quant.F16, 1, 2, []float32{1, -2}},
		{"brain", quant.BF16, 1, 2, []float32{1, 2}},
		{"scalar", quant.F32, 1, 1, []float32{7}},
		{"cube", quant.F32, 4, 3, []float32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
		{"none", quant.F32, 0, 4, []float32{}},
	} {
		x, err := c.Tensor(row.name)
		if err != nil {
			t.Fatal(err)
		}
		if x.DType != row.dtype || x.Rows != row.rows || x.Cols != row.cols || !x.Contiguous() {
			t.Errorf("%s is %v", row.name, x)
		}
		if got := values(t, c, row.name); !slices.Equal(got, row.values) {
			t.Errorf("%s = %v, want %v", row.name, got, row.values)
		}
		again, err := c.Tensor(row.name)
		if err != nil || again.Mem != x.Mem {
			t.Errorf("%s: two calls, two memories (%v)", row.name, err)
		}
	}
	if b, err := c.Tensor("bytes"); err != nil || string(b.Bytes()) != "\x01\x02\x03\x04\x05" {
		t.Errorf("bytes: %v %v", b, err)
	}
	if ids, err := c.Tensor("ids"); err != nil || ids.DType != quant.I64 || ids.Bytes()[8] != 5 {
		t.Errorf("ids: %v %v", ids, err)
	}
	for name, want := range map[string]string{"ids": "I64", "absent": "not in the file"} {
		var e *Error
		if _, err := c.Weight(name); !errors.As(err, &e) || e.Tensor != name || !strings.Contains(err.Error(), want) {
			t.Errorf("Weight(%s): %v", name, err)
		}
	}
	if info, ok := c.Info("cube"); !ok || !slices.Equal(info.Shape, []int{2, 2, 3}) || info.Bytes != 48 {
		t.Errorf("info %+v", info)
	}
}

// TestMisaligned: whatever the length of the header, views are aligned, and
// only what has to be is copied.
func TestMisaligned(t *testing.T) {
	for pad := range 8 {
		file := safetensors(nil, pad,
			ramp("f32", 2, 3),
			stored{"f16", quant.F16, []int{1}, []byte{0, 0x3c}},
			stored{"f64", quant.F64, []int{2}, f64s(0.5, 1e300)},
			stored{"u8", quant.U8, []int{1}, []byte{9}},
			ramp("late", 5),
		)
		c := mustOpen(t, write(t, map[string][]byte{"model.safetensors": file}))
		for _, name := range c.Names() {
			x, err := c.Tensor(name)
			if err != nil {
				t.Fatal(err)
			}
			if at := uintptr(unsafe.Pointer(unsafe.SliceData(x.Bytes()))); at%uintptr(x.DType.TypeSize()) != 0 {
				t.Errorf("pad %d: %s lies at %#x", pad, name, at)
			}
		}
		if got := values(t, c, "late"); !slices.Equal(got, []float32{0, 1, 2, 3, 4}) {
			t.Errorf("pad %d: late = %v", pad, got)
		}
		if got := values(t, c, "f64"); got[0] != 0.5 || !math.IsInf(float64(got[1]), 1) {
			t.Errorf("pad %d: f64 = %v", pad, got)
		}
		if w, _ := c.Weight("f64"); w.DType != quant.F32 {
			t.Errorf("f64 as a weight is %v", w.DType)
		}
		m := c.Memory()
		// late lies 24+2+16+1 bytes after the header; f64 is converted in any case.
		if m.Mapped == 0 {
			continue
		}
		copies, bytes := 2, int64(20+8)
		if (pad+24+2+16+1)%4 == 0 {
			copies, bytes = copies-1, bytes-20
		}
		if pad%4 != 0 {
			copies, bytes = copies+1, bytes+24
		}
		if pad%2 != 0 {
			copies, bytes = copies+1, bytes+2
		}
		if (pad+26)%8 != 0 {
			copies, bytes = copies+1, bytes+16
		}
		if m.Copies != copies || m.Copied != bytes || m.Mapped != int64(len(file)) {
			t.Errorf("pad %d: %+v, want %d copies of %d bytes", pad, m, copies, bytes)
		}
	}
}

// deep is n opening brackets.
func deep(n int) string { return strings.Repeat("[", n) }

// badSafetensors are files to be refused and what the error must say.
func badSafetensors() map[string]badFile {
	entry := func(body string) []byte { return withHeader(body, make([]byte, 8)) }
	one := func(fields string) []byte { return entry(`{"w":{` + fields + `}}`) }
	long := strings.Repeat("n", 5000)
	good := safetensors(nil, 0, ramp("w", 2))
	return map[string]badFile{
		"empty":             {nil, "", "empty"},
		"short":             {[]byte("abc"), "", "3 bytes, too short"},
		"length":            {append(binary.LittleEndian.AppendUint64(nil, math.MaxUint64), "{}"...), "", "header length 18446744073709551615"},
		"length by one":     {append(binary.LittleEndian.AppendUint64(nil, 3), "{}"...), "", "header length 3, but only 2"},
		"not json":          {entry(`tensors: 3`), "", "not the JSON"},
		"array":             {entry(`[]`), "", "want '{'"},
		"cut json":          {entry(`{"w":{"dtype":"F32"`), "w", "the text ends"},
		"cut string":        {entry(`{"w`), "", "inside a string"},
		"no comma":          {entry(`{"w":{"dtype":"F32" "shape":[2]}}`), "w", "want ','"},
		"after the end":     {entry(`{} x`), "", "after the end"},
		"utf-8":             {entry("{\"\xff\":{}}"), "", "UTF-8"},
		"control":           {entry("{\"a\nb\":{}}"), "", "control character"},
		"escape":            {entry(`{"a\q":{}}`), "", "string"},
		"deep":              {one(`"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":` + deep(200)), "w", "nested more than 32"},
		"deep shape":        {one(`"dtype":"F32","shape":` + deep(100000)), "w", "whole number of 0 or more"},
		"bad extra":         {one(`"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":nul`), "w", "want a value"},
		"twice":             {entry(`{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`), "w", "twice in the header"},
		"field twice":       {one(`"dtype":"F32","dtype":"F32"`), "w", "dtype twice"},
		"metadata twice":    {entry(`{"__metadata__":{},"__metadata__":{}}`), "", "__metadata__ twice"},
		"key twice":         {entry(`{"__metadata__":{"k":"1","k":"2"}}`), "", "key k twice"},
		"metadata number":   {entry(`{"__metadata__":{"k":1}}`), "", `want '"'`},
		"no dtype":          {one(`"shape":[2],"data_offsets":[0,8]`), "w", "no dtype"},
		"no shape":          {one(`"dtype":"F32","data_offsets":[0,8]`), "w", "no shape"},
		"no offsets":        {one(`"dtype":"F32","shape":[2]`), "w", "no data_offsets"},
		"dtype":             {one(`"dtype":"F31","shape":[2],"data_offsets":[0,8]`), "w", "dtype F31 is not supported, only F32 F16"},
		"block dtype":       {one(`"dtype":"Q8_0","shape":[2],"data_offsets":[0,8]`), "w", "dtype Q8_0"},
		"lower dtype":       {one(`"dtype":"f32","shape":[2],"data_offsets":[0,8]`), "w", "dtype f32"},
		"long dtype":        {one(`"dtype":"` + long + `","shape":[2],"data_offsets":[0,8]`), "w", "nnnn\u2026"},
		"fp8":               {one(`"dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8]`), "w", "FP8"},
		"fp8 other":         {one(`"dtype":"F8_E5M2","shape":[8],"data_offsets":[0,8]`), "w", "F8_E5M2"},
		"negative":          {one(`"dtype":"F32","shape":[-2],"data_offsets":[0,8]`), "w", "0 or more"},
		"fraction":          {one(`"dtype":"F32","shape":[2.0],"data_offsets":[0,8]`), "w", "want a whole number"},
		"leading zero":      {one(`"dtype":"F32","shape":[02],"data_offsets":[0,8]`), "w", "leading zero"},
		"too large":         {one(`"dtype":"F32","shape":[9223372036854775808],"data_offsets":[0,8]`), "w", "number too large"},
		"overflow":          {one(`"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]`), "w", "more elements than can be counted"},
		"overflow bytes":    {one(`"dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,0]`), "w", "does not take the 0 bytes"},
		"hidden overflow":   {one(`"dtype":"F32","shape":[0,4294967296,4294967296],"data_offsets":[0,0]`), "w", "more elements"},
		"rank":              {one(`"dtype":"F32","shape":[1,1,1,1,1,1,1,1,2],"data_offsets":[0,8]`), "w", "more than 8 dimensions"},
		"three offsets":     {one(`"dtype":"F32","shape":[2],"data_offsets":[0,4,8]`), "w", "want ']'"},
		"one offset":        {one(`"dtype":"F32","shape":[2],"data_offsets":[0]`), "w", "want ','"},
		"backwards":         {one(`"dtype":"F32","shape":[2],"data_offsets":[8,0]`), "w", "end before they begin"},
		"shape":             {one(`"dtype":"F32","shape":[3],"data_offsets":[0,8]`), "w", "shape [3] of F32 does not take the 8 bytes"},
		"small shape":       {one(`"dtype":"F32","shape":[1],"data_offsets":[0,8]`), "w", "shape [1] of F32 does not take the 8 bytes"},
		"past the end":      {one(`"dtype":"F32","shape":[4],"data_offsets":[0,16]`), "w", "end at byte 16, past the 8 bytes"},
		"far past the end":  {one(`"dtype":"U8","shape":[2],"data_offsets":[9223372036854775805,9223372036854775807]`), "w", "past the 8 bytes"},
		"gap":               {one(`"dtype":"F32","shape":[1],"data_offsets":[4,8]`), "w", "leaving a gap after byte 0"},
		"rest":              {one(`"dtype":"F32","shape":[1],"data_offsets":[0,4]`), "", "take 4 bytes of data, but the file has 8"},
		"no tensors":        {entry(`{}`), "", "take 0 bytes"},
		"overlap":           {entry(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`), "w", "inside those of another tensor, which end at 8"},
		"same bytes":        {entry(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`), "w", "begin at byte 0, inside"},
		"truncated":         {good[:len(good)-1], "w", "the file is truncated"},
		"truncated header":  {good[:20], "", "but only 12 bytes follow"},
		"long tensor name":  {entry(`{"` + long + `":{}}`), long, "\u2026: no dtype"},
		"name with newline": {entry(`{"a\nb":{}}`), "a\nb", `"a\nb": no dtype`},
		"gptq":              {safetensors(nil, 0, ramp("l.g_idx", 1), stored{"l.qweight", quant.I32, []int{1}, make([]byte, 4)}), "l.qweight", "a GPTQ checkpoint"},
		"awq or gptq":       {safetensors(nil, 0, stored{"l.qweight", quant.I32, []int{1}, make([]byte, 4)}), "l.qweight", "an AWQ or GPTQ checkpoint"},
	}
}

// badFile is a file, the tensor an error must name, and a part of its text.
type badFile struct {
	data         []byte
	tensor, want string
}

// checkRefused opens a bad file mapped and from memory.
func checkRefused(t *testing.T, file string, bad badFile) string {
	t.Helper()
	_, err := Open(write(t, map[string][]byte{file: bad.data}) + "/" + file)
	_, again := OpenFS(memory(file, bad.data), file)
	var e, e2 *Error
	if !errors.As(err, &e) || !errors.As(again, &e2) {
		t.Fatalf("want two *Error, got %v and %v", err, again)
	}
	if !strings.HasSuffix(e.File, file) || e2.File != file || !strings.HasPrefix(err.Error(), e.File+": ") {
		t.Errorf("errors name %q and %q: %v", e.File, e2.File, err)
	}
	if e.Tensor != bad.tensor || !strings.Contains(err.Error(), bad.want) {
		t.Errorf("tensor %.50q, want %.50q; %q does not say %q", e.Tensor, bad.tensor, err, bad.want)
	}
	text := func(e *Error) string { return fmt.Sprint(e.Reason, e.Err) }
	if text(e) != text(e2) {
		t.Errorf("mapped: %v\nread:   %v", e, e2)
	}
	if len(err.Error()) > 1000 {
		t.Errorf("%d bytes of error", len(err.Error()))
	}
	return text(e)
}

func TestSafetensorsRefused(t *testing.T) {
	texts := map[string]string{}
	for name, bad := range badSafetensors() {
		t.Run(name, func(t *testing.T) {
			text := checkRefused(t, "model.safetensors", bad)
			if other, same := texts[text]; same {
				t.Errorf("says the same as %q: %s", other, text)
			}
			texts[text] = name
		})
	}
}

func TestSafetensorsTolerated(t *testing.T) {
	for name, header := range map[string]string{
		"spaces":         " {\n\"w\" : { \"dtype\" : \"F32\" ,\t\"shape\":[ 2 ] , \"data_offsets\" : [ 0 , 8 ] } } \r\n",
		"unknown fields": `{"w":{"note":{"a":[1,-2.5e3,null,"x",{}],"b":true},"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`,
		"escaped name":   `{"\u0077":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`,
		"empty beside":   `{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"e":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"z":{"dtype":"F32","shape":[0],"data_offsets":[8,8]}}`,
	} {
		c, err := OpenFS(memory("m.safetensors", withHeader(header, f32s(3, 4))), "m.safetensors")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := values(t, c, "w"); !slices.Equal(got, []float32{3, 4}) {
			t.Errorf("%s: %v", name, got)
		}
	}
}
