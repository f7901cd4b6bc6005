package devicetest

// Exact: the oracles as a device.

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/godwit-ml/godwit/quant"
	"github.com/godwit-ml/godwit/runtime"
)

// Exact is a device that runs operations through the oracles: loops in float64,
// whose results stay float64 from one operation to the next and are rounded only
// when they are downloaded. It is slow, and what a model gives on it is what the
// model means. Keys and values are kept as they are; caches are F32. The zero
// value is ready.
type Exact struct {
	c    Case
	next uint64 // address of the next allocation
}

var _ runtime.Device = (*Exact)(nil)

// Info implements runtime.Device.
func (d *Exact) Info() runtime.Info {
	return runtime.Info{Name: "exact", Detail: "formulas in float64", Paged: true}
}

// Alloc implements runtime.Device.
func (d *Exact) Alloc(size int64) (*runtime.Memory, error) {
	if size < 0 {
		return nil, fmt.Errorf("devicetest: cannot allocate %d bytes", size)
	}
	words := (size + 3) / 4
	s := &shadow{kind: plain, v: make([]float64, words), state: make([]state, words)}
	s.mem = &runtime.Memory{Owner: d, Addr: 1<<12 + d.next, Size: size}
	d.next += uint64(4*words+63) &^ 63
	if d.c.shadow == nil {
		d.c.shadow = map[*runtime.Memory]*shadow{}
	}
	d.c.shadow[s.mem] = s
	return s.mem, nil
}

// Free implements runtime.Device.
func (d *Exact) Free(m *runtime.Memory) {
	delete(d.c.shadow, m)
	m.Addr, m.Size = 0, 0
}

// Load implements runtime.Device. The result holds the values of host, whatever
// its type.
func (d *Exact) Load(host runtime.Tensor, _ runtime.Use) (runtime.Tensor, error) {
	m, err := d.Alloc(4 * int64(host.Rows) * int64(host.Cols))
	if err != nil {
		return runtime.Tensor{}, err
	}
	m.Host = &host
	t := runtime.Tensor{Mem: m, DType: runtime.F32, Rows: host.Rows, Cols: host.Cols, Stride: host.Cols}
	if host.DType == runtime.I32 {
		t.DType = runtime.I32
		for i, x := range host.I32s() {
			d.c.of(t).set(i/t.Cols, i%t.Cols, float64(x))
		}
		return t, nil
	}
	for i, x := range host.Float().F32s() {
		d.c.of(t).set(i/t.Cols, i%t.Cols, float64(x))
	}
	return t, nil
}

// Upload implements runtime.Device.
func (d *Exact) Upload(dst runtime.Tensor, src []byte) error {
	if err := words(dst, len(src)); err != nil {
		return err
	}
	out := d.c.of(dst)
	for i := range dst.Rows {
		for j := range dst.Cols {
			word := binary.LittleEndian.Uint32(src[4*(i*dst.Cols+j):])
			v := float64(math.Float32frombits(word))
			if dst.DType == runtime.I32 {
				v = float64(int32(word))
			}
			out.set(i, j, v)
		}
	}
	return nil
}

// Download implements runtime.Device.
func (d *Exact) Download(dst []byte, src runtime.Tensor) error {
	if err := words(src, len(dst)); err != nil {
		return err
	}
	in := d.c.of(src)
	for i := range src.Rows {
		for j := range src.Cols {
			word := math.Float32bits(float32(in.get(i, j)))
			if src.DType == runtime.I32 {
				word = uint32(int32(in.get(i, j)))
			}
			binary.LittleEndian.PutUint32(dst[4*(i*src.Cols+j):], word)
		}
	}
	return nil
}

// words checks a copy of F32 or I32 elements.
func words(t runtime.Tensor, n int) error {
	if t.DType != runtime.F32 && t.DType != runtime.I32 {
		return fmt.Errorf("devicetest: copy of %v: want F32 or I32", t)
	}
	return transferable(t, n)
}

// Run implements runtime.Device. An operation that an oracle finds impossible,
// such as attention to a slot that nothing stored, is an error.
func (d *Exact) Run(op runtime.Op) (err error) {
	for _, o := range op.Operands(nil) {
		if o.Tensor.DType != quant.F32 && o.Tensor.DType != quant.I32 {
			return fmt.Errorf("%w: devicetest: exact holds F32 and I32 only", runtime.ErrUnsupported)
		}
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("devicetest: %s: %v", op.Name(), r)
		}
	}()
	d.c.oracle(op)
	d.c.ids = d.c.ids[:0] // nothing verifies them
	return nil
}

// Sync implements runtime.Device.
func (d *Exact) Sync() error { return nil }

// Close implements runtime.Device.
func (d *Exact) Close() error { return nil }
