package cuda

// Load: weights of a checkpoint go to the device in pieces, decoded on the way
// where no kernel reads their type.

import (
	"errors"
	"fmt"
	"math"
	goruntime "runtime"
	"runtime/debug"
	"unsafe"

	"github.com/godwit-ml/godwit/quant"
	"github.com/godwit-ml/godwit/runtime"
)

// ErrFault is a weight whose file was cut short while it was read.
var ErrFault = errors.New("cuda: the checkpoint's file ends before the weight; it was changed while in use")

// stored is the type a weight has on the device: F32 and I32 stay, and F16 where
// products and tables read it; all else is decoded to F32.
func stored(t runtime.DType, use runtime.Use) (runtime.DType, bool) {
	switch {
	case t == runtime.F32, t == runtime.I32, t == runtime.F16 && use&runtime.UseVector == 0:
		return t, true
	case t.Decodes():
		return runtime.F32, true
	}
	return t, false
}

// LoadedSize is the memory that Load takes for a weight, bytes, so that what
// does not fit can be refused before anything is loaded.
func LoadedSize(host runtime.Tensor, use runtime.Use) int64 {
	t, _ := stored(host.DType, use)
	n := int64(host.Rows) * int64(host.Cols/t.BlockSize()) * int64(t.TypeSize())
	return (n + granule - 1) / granule * granule
}

// Load implements runtime.Device. Rows lie without gaps on the device.
func (d *Device) Load(host runtime.Tensor, use runtime.Use) (runtime.Tensor, error) {
	if err := d.usable(); err != nil {
		return runtime.Tensor{}, err
	}
	if err := checkHost(host); err != nil {
		return runtime.Tensor{}, err
	}
	to, ok := stored(host.DType, use)
	if !ok {
		return runtime.Tensor{}, fmt.Errorf("cuda: a weight of type %v cannot be decoded: %w", host.DType, runtime.ErrUnsupported)
	}
	if err := d.up.prepare(); err != nil {
		return runtime.Tensor{}, err
	}
	out := runtime.Tensor{DType: to, Rows: host.Rows, Cols: host.Cols, Stride: host.Cols / to.BlockSize()}
	mem, err := d.alloc(int64(out.Rows)*out.RowBytes(), true)
	if err != nil {
		return runtime.Tensor{}, fmt.Errorf("load %v: %w", host, err)
	}
	mem.Host, out.Mem = &host, mem
	if err := d.fill(out, host); err != nil {
		d.Free(mem)
		return runtime.Tensor{}, fmt.Errorf("load %v: %w", host, err)
	}
	return out, nil
}

func checkHost(t runtime.Tensor) error {
	if t.IsZero() || !t.DType.Valid() || t.Rows < 0 || t.Cols < 0 || t.Offset < 0 || t.Cols%t.DType.BlockSize() != 0 {
		return fmt.Errorf("cuda: load %v: malformed", t)
	}
	if n := int64(t.Rows) * int64(t.Cols); t.Cols > 0 && (n/int64(t.Cols) != int64(t.Rows) || n > math.MaxInt/8) {
		return fmt.Errorf("cuda: load %v: too large", t)
	}
	if t.Offset+t.Span() > int64(len(t.Mem.Bytes)) {
		return fmt.Errorf("cuda: load %v: it does not lie inside its memory", t)
	}
	return nil
}

// fill sends the rows of host to out. A mapped file that was cut short gives
// ErrFault.
func (d *Device) fill(out, host runtime.Tensor) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			var fault interface {
				goruntime.Error
				Addr() uintptr
			}
			if e, ok := r.(error); !ok || !errors.As(e, &fault) {
				panic(r)
			}
			err = ErrFault
		}
	}()
	if out.Rows == 0 || out.Cols == 0 {
		return nil
	}
	to, bytes := Address(out.Mem.Addr), host.Bytes()
	send := d.up.flat
	if out.DType != host.DType {
		send = func(to Address, src []byte) error { return d.decode(to, src, host.DType) }
	}
	if host.Contiguous() {
		return send(to, bytes)
	}
	for i := range host.Rows {
		if err := send(to, bytes[int64(i)*host.StrideBytes():][:host.RowBytes()]); err != nil {
			return err
		}
		to += Address(out.RowBytes())
	}
	return nil
}

// decode sends whole blocks as F32, a piece of staging memory at a time.
func (d *Device) decode(to Address, src []byte, t runtime.DType) error {
	block, size := t.BlockSize(), t.TypeSize()
	for len(src) > 0 {
		buf, err := d.up.room(4 * block)
		if err != nil {
			return err
		}
		n := min(len(buf)/(4*block), len(src)/size)
		values := unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(buf))), n*block)
		if err := quant.Decode(values, src[:n*size], t); err != nil {
			panic("cuda: decoding of a checked row: " + err.Error())
		}
		d.up.send(to, int64(4*n*block), int64(4*n*block), 4*n*block)
		to, src = to+Address(4*n*block), src[n*size:]
	}
	return nil
}
