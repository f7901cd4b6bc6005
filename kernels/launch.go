package kernels

// How declarations write launches, and how operands of shapes are made.

import (
	"fmt"
	"math"

	"github.com/godwit-ml/godwit/runtime"
)

// unfit is the error of a kernel that does not take an operation, with a
// constant reason: streams count by it.
func unfit(reason string) error { return fmt.Errorf("%s: %w", reason, runtime.ErrUnsupported) }

// Ptr appends the address of a tensor's first element, 0 if it is absent.
func (l *Launch) Ptr(t runtime.Tensor) {
	if t.IsZero() {
		l.Args = append(l.Args, 0)
		return
	}
	l.Args = append(l.Args, t.Mem.Addr+uint64(t.Offset))
}

// Int appends an integer.
func (l *Launch) Int(v int) { l.Args = append(l.Args, uint64(v)) }

// Float appends a floating-point number.
func (l *Launch) Float(v float32) { l.Args = append(l.Args, math.Float64bits(float64(v))) }

// Bool appends 1 or 0.
func (l *Launch) Bool(v bool) {
	n := 0
	if v {
		n = 1
	}
	l.Int(n)
}

// Maker makes the operands of a Shape on a device. The first error sticks.
type Maker struct {
	Device runtime.Device
	Err    error
	made   []*runtime.Memory
	state  uint64
}

// F32 is a tensor [rows, cols] of values between -1 and 1, the same in every run.
func (m *Maker) F32(rows, cols int) runtime.Tensor {
	v := make([]float32, rows*cols)
	for i := range v {
		m.state = m.state*6364136223846793005 + 1442695040888963407 // Knuth's MMIX
		v[i] = float32(int32(m.state>>32)) / (1 << 31)
	}
	t := runtime.HostF32(rows, cols, v)
	return m.upload(t, t.Bytes())
}

// I32 is a tensor [1, n].
func (m *Maker) I32(v ...int32) runtime.Tensor {
	t := runtime.HostI32(1, len(v), v)
	return m.upload(t, t.Bytes())
}

// Zeros is a tensor of any type, its bytes zero.
func (m *Maker) Zeros(dtype runtime.DType, rows, cols int) runtime.Tensor {
	return m.upload(runtime.HostTensor(dtype, rows, cols, make([]byte, rows*cols/dtype.BlockSize()*dtype.TypeSize())), nil)
}

// Free gives all that was made back to the device.
func (m *Maker) Free() {
	for _, mem := range m.made {
		m.Device.Free(mem)
	}
	m.made = nil
}

func (m *Maker) upload(t runtime.Tensor, bytes []byte) runtime.Tensor {
	if m.Err != nil {
		return t
	}
	mem, err := m.Device.Alloc(max(t.Span(), 4))
	if err != nil {
		m.Err = err
		return t
	}
	m.made = append(m.made, mem)
	t.Mem = mem
	if bytes != nil {
		m.Err = m.Device.Upload(t, bytes)
	}
	return t
}
