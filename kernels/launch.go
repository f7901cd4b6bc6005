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
// Without a device it makes addresses that hold nothing: enough to plan a launch
// of any size.
type Maker struct {
	Device runtime.Device
	Err    error
	made   []*runtime.Memory
	state  uint64
	next   uint64 // address, without a device
}

// F32 is a tensor [rows, cols] of values between -1 and 1, the same in every run.
func (m *Maker) F32(rows, cols int) runtime.Tensor {
	t := m.Zeros(runtime.F32, rows, cols)
	if m.Device == nil {
		return t
	}
	// Some rows at a time: a weight may be larger than the host would like.
	piece := max(1, (1<<20)/max(cols, 1)) // rows
	v := make([]float32, 0, min(rows, piece)*cols)
	for from := 0; from < rows && m.Err == nil; {
		to := min(rows, from+piece)
		v = v[:(to-from)*cols]
		for i := range v {
			m.state = m.state*6364136223846793005 + 1442695040888963407 // Knuth's MMIX
			v[i] = float32(int32(m.state>>32)) / (1 << 31)
		}
		m.Err = m.Device.Upload(t.RowRange(from, to), runtime.HostF32(to-from, cols, v).Bytes())
		if m.Err == nil {
			m.Err = m.Device.Sync() // v is used again
		}
		from = to
	}
	return t
}

// I32 is a tensor [1, n].
func (m *Maker) I32(v ...int32) runtime.Tensor {
	t := m.Zeros(runtime.I32, 1, len(v))
	if m.Err == nil && m.Device != nil {
		m.Err = m.Device.Upload(t, runtime.HostI32(1, len(v), v).Bytes())
	}
	return t
}

// Zeros is a tensor of any type, its bytes zero.
func (m *Maker) Zeros(dtype runtime.DType, rows, cols int) runtime.Tensor {
	t := runtime.Tensor{DType: dtype, Rows: rows, Cols: cols, Stride: cols / dtype.BlockSize()}
	size := max(int64(rows)*t.RowBytes(), 4)
	t.Mem = &runtime.Memory{Size: size}
	switch {
	case m.Err != nil:
	case m.Device == nil:
		const page = 1 << 12
		m.next += page
		t.Mem.Addr = m.next
		m.next += uint64(size) &^ (page - 1)
	default:
		var mem *runtime.Memory
		if mem, m.Err = m.Device.Alloc(size); m.Err == nil {
			m.made = append(m.made, mem)
			t.Mem = mem
		}
	}
	return t
}

// Free gives all that was made back to the device.
func (m *Maker) Free() {
	for _, mem := range m.made {
		m.Device.Free(mem)
	}
	m.made = nil
}
