// Package measure runs kernels at the sizes that their declarations name, in the PTX interpreter, counts what they do
// there, and predicts from the counts what a chip takes for it.
package measure

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/godwit-ml/godwit/kernels"
	"github.com/godwit-ml/godwit/ptx"
	"github.com/godwit-ml/godwit/runtime"
)

// Machine is a device of one kernel, whose launches it counts. Weights are not loaded but made with Upload.
type Machine struct {
	Counts *ptx.Counts // of the last launch

	kernel *kernels.Kernel
	code   *ptx.Kernel
	mode   ptx.Config
	mem    *ptx.Memory
	launch kernels.Launch
}

var _ runtime.Device = (*Machine)(nil)

// memoryLimit bounds the operands of one size.
const memoryLimit = 4 << 30

// modules keeps parsed images.
var modules sync.Map // of *kernels.Image → *ptx.Module

// Parse is the module of an image.
func Parse(image *kernels.Image) (*ptx.Module, error) {
	if m, ok := modules.Load(image); ok {
		return m.(*ptx.Module), nil
	}
	m, err := ptx.Parse(image.Name+".ptx", []byte(image.PTX))
	if err == nil {
		modules.Store(image, m)
	}
	return m, err
}

// NewMachine makes a device of the kernel that executes as mode says.
func NewMachine(k *kernels.Kernel, mode ptx.Config) (*Machine, error) {
	module, err := Parse(k.Image)
	if err != nil {
		return nil, err
	}
	code := module.Kernel(k.Entry)
	if code == nil {
		return nil, fmt.Errorf("image %s has no entry %s", k.Image.Name, k.Entry)
	}
	return &Machine{kernel: k, code: code, mode: mode, mem: ptx.NewMemory(memoryLimit)}, nil
}

// Info implements runtime.Device.
func (m *Machine) Info() runtime.Info { return runtime.Info{Name: "ptx: " + m.kernel.Entry} }

// Alloc implements runtime.Device.
func (m *Machine) Alloc(size int64) (*runtime.Memory, error) {
	addr, err := m.mem.Alloc(max(size, 1))
	if err != nil {
		return nil, err
	}
	b, err := m.mem.Bytes(addr, max(size, 1))
	if err != nil {
		return nil, err
	}
	clear(b)
	return &runtime.Memory{Owner: m, Addr: addr, Size: size}, nil
}

// Free implements runtime.Device.
func (m *Machine) Free(mem *runtime.Memory) {
	if mem == nil || mem.Addr == 0 {
		return
	}
	if err := m.mem.Free(mem.Addr); err != nil {
		panic("measure: memory is freed that is not the machine's")
	}
	mem.Addr = 0
}

// Load implements runtime.Device; it is not for machines.
func (m *Machine) Load(runtime.Tensor, runtime.Use) (runtime.Tensor, error) {
	return runtime.Tensor{}, errors.ErrUnsupported
}

// rows calls f for each row of t.
func (m *Machine) rows(t runtime.Tensor, f func(i int, row []byte)) error {
	for i := range t.Rows {
		row, err := m.mem.Bytes(t.Mem.Addr+uint64(t.Offset+int64(i)*t.StrideBytes()), t.RowBytes())
		if err != nil {
			return err
		}
		f(i, row)
	}
	return nil
}

// Upload implements runtime.Device.
func (m *Machine) Upload(dst runtime.Tensor, src []byte) error {
	n := int(dst.RowBytes())
	return m.rows(dst, func(i int, row []byte) { copy(row, src[i*n:]) })
}

// Download implements runtime.Device.
func (m *Machine) Download(dst []byte, src runtime.Tensor) error {
	n := int(src.RowBytes())
	return m.rows(src, func(i int, row []byte) { copy(dst[i*n:], row) })
}

// Run implements runtime.Device.
func (m *Machine) Run(op runtime.Op) error { return m.run(context.Background(), op) }

func (m *Machine) run(ctx context.Context, op runtime.Op) error {
	if err := op.Check(); err != nil {
		return err
	}
	l := &m.launch
	l.Reset()
	if err := m.kernel.Launch(op, l); err != nil {
		return err
	}
	if len(l.Args) != len(m.code.Params) {
		return fmt.Errorf("kernel %s: %d arguments for %d parameters", m.kernel.Entry, len(l.Args), len(m.code.Params))
	}
	params := make([]byte, m.code.ParamBytes())
	for i, p := range m.code.Params {
		binary.LittleEndian.PutUint64(params[p.Offset:], l.Args[i])
	}
	counts, err := ptx.Run(ctx, m.code, m.mem, ptx.Launch{Grid: l.Grid, Block: l.Block, Shared: l.Shared, Params: params}, m.mode)
	m.Counts = counts
	return err
}

// Sync implements runtime.Device.
func (m *Machine) Sync() error { return nil }

// Close implements runtime.Device.
func (m *Machine) Close() error { return nil }

// Result is what a kernel does at one size.
type Result struct {
	Cost   kernels.Cost
	Counts *ptx.Counts // nil where the size is too large to be executed
	Grid   [3]int
	Bits   []byte // all that was written, as Written has it
}

// The largest size that is executed.
const (
	mostFLOPs = 400e6
	mostBytes = 64 << 20
)

// Small reports whether a size of the cost is executed.
func Small(c kernels.Cost) bool { return c.FLOPs <= mostFLOPs && c.Bytes <= mostBytes }

// Shape runs a kernel at one size, if that is small.
func Shape(ctx context.Context, k *kernels.Kernel, s kernels.Shape, mode ptx.Config) (Result, error) {
	var r Result
	op := s.Op(&kernels.Maker{}) // a plan
	r.Cost = k.Cost(op)
	var l kernels.Launch
	if err := k.Launch(op, &l); err != nil {
		return r, fmt.Errorf("%s at %s: %w", k.Entry, s.Name, err)
	}
	r.Grid = l.Grid
	if !Small(r.Cost) {
		return r, nil
	}
	m, err := NewMachine(k, mode)
	if err != nil {
		return r, err
	}
	maker := &kernels.Maker{Device: m}
	op = s.Op(maker)
	if maker.Err != nil {
		return r, maker.Err
	}
	if err := m.run(ctx, op); err != nil {
		return r, fmt.Errorf("%s at %s: %w", k.Entry, s.Name, err)
	}
	r.Counts = m.Counts
	r.Bits, err = Written(m, op)
	return r, err
}

// Written is what an operation has written, one operand after the other.
func Written(dev runtime.Device, op runtime.Op) ([]byte, error) {
	var all []byte
	for _, o := range op.Operands(nil) {
		if o.Access&runtime.Write == 0 {
			continue
		}
		b := make([]byte, int64(o.Tensor.Rows)*o.Tensor.RowBytes())
		if err := errors.Join(dev.Download(b, *o.Tensor), dev.Sync()); err != nil {
			return nil, err
		}
		all = append(all, b...)
	}
	return all, nil
}
