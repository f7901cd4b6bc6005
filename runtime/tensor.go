package runtime

// Tensors: a view of rows and columns into a device's memory.

import (
	"fmt"
	"unsafe"

	"github.com/godwit-ml/godwit/quant"
)

// DType is the element type of a tensor, block-quantised types included. Its
// numbers and canonical bytes are GGUF's.
type DType = quant.Type

// The types the operations name; package quant has all of them.
const (
	F32  = quant.F32
	F16  = quant.F16
	BF16 = quant.BF16
	I32  = quant.I32
	Q8_0 = quant.Q8_0
)

// Memory is one allocation of a device, or host memory that holds a weight.
type Memory struct {
	Owner Device  // who allocated it; nil for host memory of a checkpoint
	Bytes []byte  // the host's view of it; nil where the host cannot read
	Addr  uint64  // the device's address; 0 for host memory
	Size  int64   // bytes
	Host  *Tensor // of a loaded weight: the host tensor it was made from, read by the fallback
}

// Tensor is a matrix of Rows × Cols logical elements in some memory. The zero
// Tensor means absent. It is passed by value; views share the memory.
//
// Row i begins at byte Offset + i*Stride*DType.TypeSize(). Stride counts
// elements, or blocks for block types, whose views fall on block edges.
type Tensor struct {
	Mem        *Memory
	DType      DType
	Rows, Cols int
	Stride     int
	Offset     int64
}

// HostTensor is a contiguous tensor over host bytes, such as a checkpoint's.
func HostTensor(dtype DType, rows, cols int, data []byte) Tensor {
	return Tensor{
		Mem:   &Memory{Bytes: data, Size: int64(len(data))},
		DType: dtype, Rows: rows, Cols: cols, Stride: cols / dtype.BlockSize(),
	}
}

// HostF32 is a contiguous F32 tensor over a slice, which it shares.
func HostF32(rows, cols int, data []float32) Tensor {
	return HostTensor(F32, rows, cols, bytesOf(data))
}

// HostI32 is an I32 tensor [rows, cols] over a slice, which it shares.
func HostI32(rows, cols int, data []int32) Tensor {
	return HostTensor(I32, rows, cols, bytesOf(data))
}

// IsZero reports whether the tensor is absent.
func (t Tensor) IsZero() bool { return t.Mem == nil }

// RowBytes is the size of the elements of one row, without the gap to the next.
func (t Tensor) RowBytes() int64 {
	return int64(t.Cols/t.DType.BlockSize()) * int64(t.DType.TypeSize())
}

// StrideBytes is the distance from one row to the next.
func (t Tensor) StrideBytes() int64 { return int64(t.Stride) * int64(t.DType.TypeSize()) }

// Span is the number of bytes from the first element to the end of the last.
func (t Tensor) Span() int64 {
	if t.Rows == 0 || t.Cols == 0 {
		return 0
	}
	return int64(t.Rows-1)*t.StrideBytes() + t.RowBytes()
}

// Contiguous reports whether rows lie without gaps.
func (t Tensor) Contiguous() bool { return t.Rows <= 1 || t.StrideBytes() == t.RowBytes() }

// RowRange is the view of rows from ≤ i < to.
func (t Tensor) RowRange(from, to int) Tensor {
	if from < 0 || to < from || to > t.Rows {
		panic("runtime: RowRange outside the tensor")
	}
	t.Offset += int64(from) * t.StrideBytes()
	t.Rows = to - from
	return t
}

// ColRange is the view of columns from ≤ j < to; both on block edges.
func (t Tensor) ColRange(from, to int) Tensor {
	b := t.DType.BlockSize()
	if from < 0 || to < from || to > t.Cols || from%b != 0 || to%b != 0 {
		panic("runtime: ColRange outside the tensor or off a block edge")
	}
	t.Offset += int64(from/b) * int64(t.DType.TypeSize())
	t.Cols = to - from
	return t
}

// Reshape is the same elements as rows × cols; the tensor must be contiguous.
func (t Tensor) Reshape(rows, cols int) Tensor {
	if !t.Contiguous() || rows*cols != t.Rows*t.Cols || cols%t.DType.BlockSize() != 0 {
		panic("runtime: Reshape of other size, or of a view with gaps")
	}
	t.Rows, t.Cols, t.Stride = rows, cols, cols/t.DType.BlockSize()
	return t
}

// Bytes is the host's view from the first element to the end of the last; nil
// where the host cannot read the memory.
func (t Tensor) Bytes() []byte {
	if t.Mem == nil || t.Mem.Bytes == nil {
		return nil
	}
	n := t.Span()
	if n == 0 {
		return t.Mem.Bytes[:0] // an empty view may begin beyond the end
	}
	return t.Mem.Bytes[t.Offset : t.Offset+n]
}

// F32s is the host's view of an F32 tensor: element (i,j) is at i*Stride+j.
func (t Tensor) F32s() []float32 {
	if t.DType != F32 {
		panic("runtime: F32s of a tensor of another type")
	}
	return floatsOf(t.Bytes())
}

// F32Row is the host's view of row i of an F32 tensor.
func (t Tensor) F32Row(i int) []float32 { return t.RowRange(i, i+1).F32s() }

// I32s is the host's view of an I32 tensor: element (i,j) is at i*Stride+j.
func (t Tensor) I32s() []int32 {
	if t.DType != I32 {
		panic("runtime: I32s of a tensor of another type")
	}
	b := t.Bytes()
	if len(b) == 0 {
		return nil
	}
	return unsafe.Slice((*int32)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/4)
}

// Float is a host tensor as contiguous F32, decoded into new memory unless it is
// that already. The type must be one that quant.Decode knows, as those of a
// checkpoint's weights are.
func (t Tensor) Float() Tensor {
	if t.IsZero() || t.DType == F32 && t.Contiguous() {
		return t
	}
	out := make([]float32, t.Rows*t.Cols)
	for i := range t.Rows {
		if err := quant.Decode(out[i*t.Cols:(i+1)*t.Cols], t.RowRange(i, i+1).Bytes(), t.DType); err != nil {
			panic("runtime: Float of a type that cannot be decoded")
		}
	}
	return HostF32(t.Rows, t.Cols, out)
}

// StackRows is the rows of host tensors of one type and width, one below the
// other: a copy, unless there is only one tensor. Absent if there is none, or if
// one is absent.
func StackRows(ts []Tensor) Tensor {
	var size int64
	rows := 0
	for _, t := range ts {
		if t.IsZero() {
			return Tensor{}
		}
		if t.DType != ts[0].DType || t.Cols != ts[0].Cols {
			panic("runtime: StackRows of other types or widths")
		}
		size += int64(t.Rows) * t.RowBytes()
		rows += t.Rows
	}
	switch len(ts) {
	case 0:
		return Tensor{}
	case 1:
		return ts[0]
	}
	out := AlignedBytes(size)
	rest := out
	for _, t := range ts {
		for i := range t.Rows {
			rest = rest[copy(rest, t.RowRange(i, i+1).Bytes()):]
		}
	}
	return HostTensor(ts[0].DType, rows, ts[0].Cols, out)
}

// String names type and shape, as "F32[3 48]".
func (t Tensor) String() string {
	if t.IsZero() {
		return "absent"
	}
	return fmt.Sprintf("%v[%d %d]", t.DType, t.Rows, t.Cols)
}

// AlignedBytes is zeroed host memory that begins at a multiple of 64 bytes.
func AlignedBytes(n int64) []byte {
	const align = 64
	b := make([]byte, n+align)
	skip := int64(-uintptr(unsafe.Pointer(unsafe.SliceData(b))) & (align - 1))
	return b[skip : skip+n : skip+n]
}

func floatsOf(b []byte) []float32 {
	if len(b) == 0 {
		return nil
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/4)
}

func bytesOf[E float32 | int32](v []E) []byte {
	if len(v) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), len(v)*4)
}
