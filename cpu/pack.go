package cpu

// Load of the fast device: the panels of a weight.

import (
	"fmt"
	"math"
	"sync/atomic"

	"github.com/godwit-ml/godwit/cpu/simd"
	"github.com/godwit-ml/godwit/quant"
	"github.com/godwit-ml/godwit/runtime"
)

const (
	q40 = quant.Q4_0
	q41 = quant.Q4_1
)

// weight is a loaded matrix [rows, cols] in panels of 32 rows.
type weight struct {
	format     *format
	rows, cols int
	panels     []byte
	host       runtime.Tensor // for Gather; absent if the weight is not a table
	mul        multiplier
}

// panel is panels from … from+n of the weight.
func (w *weight) panel(from, n int) []byte {
	size := w.format.size(w.cols)
	return w.panels[from*size : (from+n)*size]
}

// format is how rows of a type lie in panels; package simd says how.
type format struct {
	dtype runtime.DType
	size  func(cols int) int // bytes of a panel of so many columns, a multiple of 64
	// pack writes one panel from at most 32 rows of the type, row i at
	// src[i*stride:]. What lies beyond rows and cols is zero.
	pack func(dst, src []byte, stride, rows, cols int)
}

// formats are those there are; a type without one runs as another.
var formats = []*format{&panelsF32, &panelsF16, &panelsBF16, &panelsQ4x0, &panelsQ4x1, &panelsQ8x0}

func formatOf(t runtime.DType) *format {
	for _, f := range formats {
		if f.dtype == t {
			return f
		}
	}
	return nil
}

// Load implements runtime.Device. Weights of products are copied into panels;
// what else there is stays as the reference keeps it. A weight that is a table
// too is read as a table from the checkpoint.
func (d *Device) Load(host runtime.Tensor, use runtime.Use) (runtime.Tensor, error) {
	if d.closed {
		return runtime.Tensor{}, errClosed
	}
	if use&runtime.UseProduct == 0 || host.DType == runtime.I32 {
		return d.Reference.Load(host, use)
	}
	w, err := d.load([]runtime.Tensor{host})
	if err != nil {
		return runtime.Tensor{}, err
	}
	if use&runtime.UseTable != 0 {
		if w.host, err = d.Reference.Load(host, runtime.UseTable); err != nil {
			return runtime.Tensor{}, err
		}
	}
	return d.tensorOf(w, host), nil
}

// LoadRows implements runtime.RowLoader: the parts go into panels one after the
// other, without a copy of all.
func (d *Device) LoadRows(parts []runtime.Tensor, use runtime.Use) (runtime.Tensor, error) {
	if d.closed {
		return runtime.Tensor{}, errClosed
	}
	if len(parts) == 1 || use != runtime.UseProduct || parts[0].DType == runtime.I32 {
		return d.Load(runtime.StackRows(parts), use)
	}
	w, err := d.load(parts)
	if err != nil {
		return runtime.Tensor{}, err
	}
	host := parts[0]
	host.Rows = w.rows
	return d.tensorOf(w, host), nil
}

// load packs the rows of parts.
func (d *Device) load(parts []runtime.Tensor) (*weight, error) {
	w := &weight{cols: parts[0].Cols}
	for _, part := range parts {
		if err := checkWeight(part); err != nil {
			return nil, err
		}
		if part.DType != parts[0].DType || part.Cols != w.cols || w.rows > math.MaxInt-part.Rows {
			return nil, fmt.Errorf("cpu: load %v below %v: rows of one weight are alike", part, parts[0])
		}
		w.rows += part.Rows
	}
	var err error
	if w.format, err = d.opt.formatFor(&d.pool, parts); err != nil {
		return nil, err
	}
	w.mul = d.multiplierFor(w.format.dtype)
	if err := d.pack(w, parts); err != nil {
		return nil, fmt.Errorf("cpu: load %v as %v: %w", shapeOf(parts[0], w), w.format.dtype, err)
	}
	return w, nil
}

// shapeOf is a host tensor with the rows of all parts.
func shapeOf(host runtime.Tensor, w *weight) runtime.Tensor {
	host.Rows = w.rows
	return host
}

// tensorOf keeps a weight and gives the tensor that stands for it.
func (d *Device) tensorOf(w *weight, host runtime.Tensor) runtime.Tensor {
	d.weights = append(d.weights, w)
	out := host
	out.Offset, out.Stride = 0, host.Cols/host.DType.BlockSize()
	out.Mem = &runtime.Memory{Owner: d, Addr: uint64(len(d.weights)), Size: max(int64(len(w.panels)), out.Span())}
	return out
}

// pack allocates and fills the panels of w.
func (d *Device) pack(w *weight, parts []runtime.Tensor) error {
	size, n := w.format.size(w.cols), (w.rows+simd.Panel-1)/simd.Panel
	if size > 0 && n > math.MaxInt/2/size {
		return fmt.Errorf("%d panels of %d bytes: too large", n, size)
	}
	need := int64(size) * int64(n)
	if limit := d.opt.MemoryLimit; limit > 0 && need > limit-d.packed {
		return &MemoryError{Wanted: need, Free: max(limit-d.packed, 0)}
	}
	mem, err := d.Alloc(need)
	if err != nil {
		return err
	}
	w.panels = mem.Bytes
	j := &packing{w: w, parts: parts, size: size}
	if err := d.pool.run(j, n, int64(w.rows)*int64(w.cols)); err != nil {
		return err
	}
	if e := j.failure.Load(); e != nil {
		return *e
	}
	d.packed += need
	return nil
}

// MemoryError says that a weight does not fit into Options.MemoryLimit.
type MemoryError struct {
	Wanted, Free int64 // bytes: of the weight in the type it runs in, and what the others leave
}

// Error implements error.
func (e *MemoryError) Error() string {
	return fmt.Sprintf("a weight takes %d bytes, the limit leaves %d", e.Wanted, e.Free)
}

// packing is the job of pack: a panel a task.
type packing struct {
	w       *weight
	parts   []runtime.Tensor
	size    int
	failure atomic.Pointer[error]
}

func (j *packing) task(w *worker, i int) {
	if j.failure.Load() != nil {
		return
	}
	f, from := j.w.format, i*simd.Panel
	rows := min(simd.Panel, j.w.rows-from)
	src, stride, err := j.source(w, from, rows)
	if err != nil {
		j.failure.CompareAndSwap(nil, &err)
		return
	}
	f.pack(j.w.panels[i*j.size:][:j.size], src, stride, rows, j.w.cols)
}

// source is some rows in the type they run in: as they lie where they are of that
// type and of one part, else in scratch of the worker.
func (j *packing) source(w *worker, from, rows int) (src []byte, stride int, err error) {
	stored, to, at := j.parts[0].DType, j.w.format.dtype, from
	if stored == to {
		for _, part := range j.parts {
			if at+rows <= part.Rows {
				return part.RowRange(at, at+rows).Bytes(), int(part.StrideBytes()), nil
			}
			if at -= part.Rows; at < 0 {
				break
			}
		}
	}
	stride = to.Bytes(j.w.cols)
	out := grow(&w.packed, rows*stride)
	for r := range rows {
		row := rowOf(j.parts, from+r)
		if stored == to {
			copy(out[r*stride:], row)
			continue
		}
		values := grow(&w.weights, j.w.cols)
		mustDecode(values, row, stored)
		if err := encode(out[r*stride:][:stride], values, to); err != nil {
			return nil, 0, fmt.Errorf("row %d: %w", from+r, err)
		}
	}
	return out, stride, nil
}
