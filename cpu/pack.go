package cpu

// Load of the fast device: which type a weight runs in, and its panels.

import (
	"fmt"

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
	if err := checkHost(host); err != nil {
		return runtime.Tensor{}, err
	}
	if !host.DType.Decodes() && host.DType != runtime.F32 {
		return runtime.Tensor{}, fmt.Errorf("cpu: a weight of type %v cannot be decoded: %w", host.DType, runtime.ErrUnsupported)
	}
	w := &weight{rows: host.Rows, cols: host.Cols}
	var err error
	if w.format, err = d.formatFor(host); err != nil {
		return runtime.Tensor{}, err
	}
	w.mul = d.multiplierFor(w.format.dtype)
	if use&runtime.UseTable != 0 {
		if w.host, err = d.Reference.Load(host, runtime.UseTable); err != nil {
			return runtime.Tensor{}, err
		}
	}
	if err := d.pack(w, host); err != nil {
		return runtime.Tensor{}, fmt.Errorf("cpu: load %v: %w", host, err)
	}
	d.weights = append(d.weights, w)
	out := host
	out.Offset, out.Stride = 0, host.Cols/host.DType.BlockSize()
	out.Mem = &runtime.Memory{Owner: d, Addr: uint64(len(d.weights)), Size: max(int64(len(w.panels)), out.Span())}
	return out, nil
}

// formatFor chooses what a weight runs in.
func (d *Device) formatFor(host runtime.Tensor) (*format, error) {
	if f := formatOf(host.DType); f != nil {
		return f, nil
	}
	return &panelsF32, nil
}

// pack allocates and fills the panels of w.
func (d *Device) pack(w *weight, host runtime.Tensor) error {
	size, n := w.format.size(w.cols), (w.rows+simd.Panel-1)/simd.Panel
	mem, err := d.Alloc(int64(size) * int64(n))
	if err != nil {
		return err
	}
	w.panels = mem.Bytes
	j := &packing{w: w, host: host, bytes: host.Bytes(), size: size}
	return d.pool.run(j, n, int64(w.rows)*int64(w.cols))
}

// packing is the job of pack: a panel a task.
type packing struct {
	w     *weight
	host  runtime.Tensor
	bytes []byte
	size  int
}

func (j *packing) task(w *worker, i int) {
	f, from := j.w.format, i*simd.Panel
	rows, stride := min(simd.Panel, j.w.rows-from), int(j.host.StrideBytes())
	src := j.bytes[from*stride:]
	if j.host.DType != f.dtype {
		src, stride = convertRows(w, src, stride, j.host, rows, f.dtype)
	}
	f.pack(j.w.panels[i*j.size:][:j.size], src, stride, rows, j.w.cols)
}

// convertRows gives rows of host in another type, in scratch of the worker.
func convertRows(w *worker, src []byte, stride int, host runtime.Tensor, rows int, to runtime.DType) ([]byte, int) {
	values := grow(&w.weights, host.Cols)
	step := host.Cols / to.BlockSize() * to.TypeSize()
	out := grow(&w.packed, rows*step)
	for r := range rows {
		mustDecode(values, src[r*stride:][:host.RowBytes()], host.DType)
		if to == runtime.F32 {
			copy(out[r*step:][:step], bytesOf(values))
			continue
		}
		if err := quant.Encode(out[r*step:][:step], values, to); err != nil {
			panic("cpu: encoding of a row in a checked type: " + err.Error())
		}
	}
	return out, step
}
