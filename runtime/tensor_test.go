package runtime_test

import (
	"bytes"
	"strings"
	"testing"
	"unsafe"

	"pgregory.net/rapid"

	"github.com/godwit-ml/godwit/quant"
	"github.com/godwit-ml/godwit/runtime"
)

// TestViews takes random views of views and compares each element with where
// it must come from.
func TestViews(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows, cols := rapid.IntRange(1, 6).Draw(t, "rows"), rapid.IntRange(1, 9).Draw(t, "cols")
		data := make([]float32, rows*cols)
		for i := range data {
			data[i] = float32(i)
		}
		x, row, col := runtime.HostF32(rows, cols, data), 0, 0
		for range rapid.IntRange(0, 3).Draw(t, "views") {
			a, b := rapid.IntRange(0, x.Rows).Draw(t, "from row"), rapid.IntRange(0, x.Cols).Draw(t, "from column")
			x = x.RowRange(a, rapid.IntRange(a, x.Rows).Draw(t, "to row")).ColRange(b, rapid.IntRange(b, x.Cols).Draw(t, "to column"))
			row, col = row+a, col+b
		}
		if x.Rows == 0 || x.Cols == 0 {
			if x.Span() != 0 || len(x.Bytes()) != 0 || x.F32s() != nil {
				t.Fatalf("an empty view has bytes: %v", x.Bytes())
			}
			return
		}
		if want := int64((x.Rows-1)*cols+x.Cols) * 4; x.Span() != want || int64(len(x.Bytes())) != want {
			t.Fatalf("span %d, want %d", x.Span(), want)
		}
		if want := x.Rows == 1 || x.Cols == cols; x.Contiguous() != want {
			t.Fatalf("contiguous %v, want %v", x.Contiguous(), want)
		}
		for i := range x.Rows {
			for j := range x.Cols {
				want := float32((row+i)*cols + col + j)
				if x.F32s()[i*x.Stride+j] != want || x.F32Row(i)[j] != want {
					t.Fatalf("element [%d %d] is %v, want %v", i, j, x.F32Row(i)[j], want)
				}
			}
		}
	})
}

// TestBlockViews: strides and offsets of block types count blocks.
func TestBlockViews(t *testing.T) {
	raw := make([]byte, 3*4*18) // Q4_0, three rows of four blocks
	for i := range raw {
		raw[i] = byte(i)
	}
	x := runtime.HostTensor(quant.Q4_0, 3, 128, raw)
	if x.Stride != 4 || x.StrideBytes() != 72 || x.RowBytes() != 72 || !x.Contiguous() {
		t.Errorf("%+v", x)
	}
	v := x.RowRange(1, 3).ColRange(32, 96)
	if v.RowBytes() != 36 || v.Contiguous() || !bytes.Equal(v.Bytes(), raw[72+18:72+18+72+36]) {
		t.Errorf("%+v, %d bytes", v, len(v.Bytes()))
	}
	if r := x.Reshape(6, 64); r.Stride != 2 || !bytes.Equal(r.RowRange(3, 4).Bytes(), raw[108:144]) {
		t.Errorf("%+v", r)
	}
}

func TestViewsThatCannotBe(t *testing.T) {
	x := runtime.HostF32(4, 6, make([]float32, 24))
	q := runtime.HostTensor(quant.Q8_0, 2, 64, make([]byte, 4*34))
	for name, f := range map[string]func(){
		"RowRange beyond":        func() { x.RowRange(2, 5) },
		"RowRange below":         func() { x.RowRange(-1, 2) },
		"RowRange reversed":      func() { x.RowRange(3, 2) },
		"ColRange beyond":        func() { x.ColRange(0, 7) },
		"ColRange reversed":      func() { x.ColRange(4, 3) },
		"ColRange inside blocks": func() { q.ColRange(16, 64) },
		"Reshape of another size": func() {
			x.Reshape(5, 5)
		},
		"Reshape with gaps":      func() { x.ColRange(0, 3).Reshape(3, 4) },
		"Reshape splits a block": func() { q.Reshape(8, 16) },
		"F32s of another type":   func() { q.F32s() },
		"I32s of another type":   func() { x.I32s() },
	} {
		func() {
			defer func() {
				if s, ok := recover().(string); !ok || !strings.HasPrefix(s, "runtime: ") {
					t.Errorf("%s: no panic with a text of ours", name)
				}
			}()
			f()
		}()
	}
}

func TestTensorOfNoMemory(t *testing.T) {
	var x runtime.Tensor
	if !x.IsZero() || x.Bytes() != nil || x.String() != "absent" {
		t.Errorf("the zero tensor: %v, %v", x, x.Bytes())
	}
	hidden := runtime.Tensor{Mem: &runtime.Memory{Size: 32}, DType: runtime.F32, Rows: 2, Cols: 4, Stride: 4}
	if hidden.IsZero() || hidden.Bytes() != nil || hidden.F32s() != nil {
		t.Error("memory that the host cannot read was read")
	}
	if s := runtime.HostI32(3, 48, make([]int32, 144)).String(); s != "I32[3 48]" {
		t.Error(s)
	}
	v := []int32{1, 2, 3}
	if y := runtime.HostI32(1, 3, v); &y.I32s()[0] != &v[0] {
		t.Error("HostI32 copied")
	}
}

func TestFloat(t *testing.T) {
	want := []float32{1, -2, 0.5, 4}
	raw := make([]byte, 8)
	if err := quant.Encode(raw, want, quant.BF16); err != nil {
		t.Fatal(err)
	}
	got := runtime.HostTensor(quant.BF16, 2, 2, raw).ColRange(1, 2).Float()
	if got.DType != runtime.F32 || got.F32s()[0] != -2 || got.F32s()[1] != 4 || !got.Contiguous() {
		t.Errorf("%v %v", got, got.F32s())
	}
	same := runtime.HostF32(2, 2, want)
	if f := same.Float(); f != same {
		t.Error("a contiguous F32 tensor was copied")
	}
	if f := same.ColRange(1, 2).Float(); f.F32s()[1] != 4 || !f.Contiguous() {
		t.Errorf("%v", f.F32s())
	}
}

func TestAlignedBytes(t *testing.T) {
	for _, n := range []int64{0, 1, 63, 64, 65, 1000} {
		b := runtime.AlignedBytes(n)
		if int64(len(b)) != n || uintptr(unsafe.Pointer(unsafe.SliceData(b)))%64 != 0 {
			t.Errorf("%d bytes: %d, at %p", n, len(b), b)
		}
	}
}
