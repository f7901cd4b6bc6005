package cpu

// Load: what becomes of the weights of a checkpoint.

import (
	"fmt"
	"math"
	"unsafe"

	"github.com/godwit-ml/godwit/quant"
	"github.com/godwit-ml/godwit/runtime"
)

// Load implements runtime.Device. F32 and I32 that are aligned stay in the
// checkpoint's memory, and so do tables of any type that quant decodes; weights
// of other uses are expanded to F32.
func (d *Reference) Load(host runtime.Tensor, use runtime.Use) (runtime.Tensor, error) {
	if d.closed {
		return runtime.Tensor{}, errClosed
	}
	if err := checkHost(host); err != nil {
		return runtime.Tensor{}, err
	}
	plain := host.DType == runtime.F32 || host.DType == runtime.I32
	switch {
	case plain && aligned(host), use == runtime.UseTable && host.DType.Decodes() && !plain:
		out := host
		out.Mem = &runtime.Memory{Owner: d.owner, Bytes: host.Mem.Bytes, Size: host.Mem.Size, Host: &host}
		return out, nil
	case plain:
		return d.expand(host, host.DType)
	case host.DType.Decodes():
		return d.expand(host, runtime.F32)
	}
	return runtime.Tensor{}, fmt.Errorf("cpu: a weight of type %v cannot be decoded: %w", host.DType, runtime.ErrUnsupported)
}

func checkHost(t runtime.Tensor) error {
	if t.IsZero() || !t.DType.Valid() || t.Rows < 0 || t.Cols < 0 || t.Offset < 0 ||
		t.Cols%t.DType.BlockSize() != 0 || t.Offset+t.Span() > int64(len(t.Mem.Bytes)) {
		return fmt.Errorf("cpu: load %v: it does not lie inside its memory", t)
	}
	if n := int64(t.Rows) * int64(t.Cols); t.Cols > 0 && (n/int64(t.Cols) != int64(t.Rows) || n > math.MaxInt/8) {
		return fmt.Errorf("cpu: load %v: too large", t)
	}
	return nil
}

// aligned reports whether the elements of a tensor of four bytes each lie on
// multiples of four.
func aligned(t runtime.Tensor) bool {
	b := t.Bytes()
	return len(b) == 0 || uintptr(unsafe.Pointer(unsafe.SliceData(b)))%4 == 0
}

// expand copies host to memory of its own, decoding it if it is not of the
// wanted type. The host's copy is not kept: what is stacked of several tensors
// would stay twice.
func (d *Reference) expand(host runtime.Tensor, to runtime.DType) (runtime.Tensor, error) {
	mem, err := d.Alloc(int64(host.Rows) * int64(host.Cols) * 4)
	if err != nil {
		return runtime.Tensor{}, err
	}
	out := runtime.Tensor{Mem: mem, DType: to, Rows: host.Rows, Cols: host.Cols, Stride: host.Cols}
	j := expansion{src: host, bytes: host.Bytes(), dst: out, to: to}
	j.perTask = max(1, 1<<16/max(host.Cols, 1))
	tasks := (host.Rows + j.perTask - 1) / j.perTask
	if err := d.pool.run(&j, tasks, int64(host.Rows)*int64(host.Cols)); err != nil {
		return runtime.Tensor{}, fmt.Errorf("cpu: load %v: %w", host, err)
	}
	return out, nil
}

// expansion is the job of expand: some rows a task.
type expansion struct {
	src, dst runtime.Tensor
	bytes    []byte
	to       runtime.DType
	perTask  int
}

func (j *expansion) task(_ *worker, i int) {
	for r := i * j.perTask; r < min((i+1)*j.perTask, j.src.Rows); r++ {
		row := j.bytes[int64(r)*j.src.StrideBytes():][:j.src.RowBytes()]
		out := j.dst.RowRange(r, r+1)
		if j.src.DType == j.to {
			copy(out.Bytes(), row)
			continue
		}
		mustDecode(out.F32s(), row, j.src.DType)
	}
}

// mustDecode decodes whole blocks of a type that was checked to decode.
func mustDecode(dst []float32, src []byte, t runtime.DType) {
	if err := quant.Decode(dst, src, t); err != nil {
		panic("cpu: decoding of a checked row: " + err.Error())
	}
}

// matrix is the host's view of a table or weight of any type.
type matrix struct {
	dtype  runtime.DType
	cols   int
	f32    []float32 // if dtype is F32
	stride int       // elements, at least cols
	bytes  []byte    // else
	step   int64     // bytes from row to row
	row    int64     // bytes of a row
}

func viewOf(t *runtime.Tensor) matrix {
	m := matrix{dtype: t.DType, cols: t.Cols}
	if t.DType == runtime.F32 {
		m.f32, m.stride = t.F32s(), max(t.Stride, t.Cols)
		return m
	}
	m.bytes, m.step, m.row = t.Bytes(), t.StrideBytes(), t.RowBytes()
	return m
}

// decode writes row i, of a type other than F32, to dst.
func (m *matrix) decode(dst []float32, i int) {
	mustDecode(dst, m.bytes[int64(i)*m.step:][:m.row], m.dtype)
}
