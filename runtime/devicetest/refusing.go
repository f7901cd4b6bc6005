package devicetest

// Refusing: a device that declines operations and shows the host no memory.

import (
	"fmt"

	"github.com/godwit-ml/godwit/runtime"
)

// Refusing wraps a device whose memory the host can read, hides that memory as
// a GPU's would be, and answers runtime.ErrUnsupported to chosen operations. A
// stream on it, with a fallback, has to give what the wrapped device gives.
type Refusing struct {
	inner  runtime.Device
	refuse func(runtime.Op) string
	paged  bool
	hidden map[*runtime.Memory]*runtime.Memory // ours → the inner device's
	next   uint64
	were   []*runtime.Memory
	list   []runtime.Operand
}

var _ runtime.Device = (*Refusing)(nil)

// NewRefusing wraps inner. It declines operations to which refuse gives a
// reason, and runs those to which it gives "". A device that is not paged
// declines the operations on caches, whatever refuse says.
func NewRefusing(inner runtime.Device, paged bool, refuse func(runtime.Op) (reason string)) *Refusing {
	return &Refusing{inner: inner, refuse: refuse, paged: paged, hidden: map[*runtime.Memory]*runtime.Memory{}}
}

// Info implements runtime.Device.
func (d *Refusing) Info() runtime.Info {
	info := d.inner.Info()
	info.Name, info.Paged = "refusing", d.paged
	return info
}

func (d *Refusing) hide(m *runtime.Memory) *runtime.Memory {
	d.next++
	ours := &runtime.Memory{Owner: d, Addr: d.next << 32, Size: m.Size}
	d.hidden[ours] = m
	return ours
}

// show is a tensor in the inner device's memory.
func (d *Refusing) show(t runtime.Tensor) (runtime.Tensor, error) {
	m, ok := d.hidden[t.Mem]
	if !ok {
		return t, fmt.Errorf("devicetest: %v lies in memory of another device, or in freed memory", t)
	}
	t.Mem = m
	return t, nil
}

// Alloc implements runtime.Device.
func (d *Refusing) Alloc(size int64) (*runtime.Memory, error) {
	m, err := d.inner.Alloc(size)
	if err != nil {
		return nil, err
	}
	return d.hide(m), nil
}

// Free implements runtime.Device.
func (d *Refusing) Free(m *runtime.Memory) {
	if inner, ok := d.hidden[m]; ok {
		d.inner.Free(inner)
		delete(d.hidden, m)
	}
}

// Live is the number of allocations and weights that were not freed.
func (d *Refusing) Live() int { return len(d.hidden) }

// Load implements runtime.Device.
func (d *Refusing) Load(host runtime.Tensor, use runtime.Use) (runtime.Tensor, error) {
	t, err := d.inner.Load(host, use)
	if err != nil {
		return t, err
	}
	t.Mem = d.hide(t.Mem)
	t.Mem.Host = &host
	return t, nil
}

// Upload implements runtime.Device.
func (d *Refusing) Upload(dst runtime.Tensor, src []byte) error {
	dst, err := d.show(dst)
	if err != nil {
		return err
	}
	return d.inner.Upload(dst, src)
}

// Download implements runtime.Device.
func (d *Refusing) Download(dst []byte, src runtime.Tensor) error {
	src, err := d.show(src)
	if err != nil {
		return err
	}
	return d.inner.Download(dst, src)
}

// Run implements runtime.Device.
func (d *Refusing) Run(op runtime.Op) error {
	if reason := d.refuse(op); reason != "" {
		return fmt.Errorf("%s: %w", reason, runtime.ErrUnsupported)
	}
	if !d.paged && onCache(op) {
		return fmt.Errorf("no caches: %w", runtime.ErrUnsupported)
	}
	d.list, d.were = op.Operands(d.list[:0]), d.were[:0]
	for _, o := range d.list {
		d.were = append(d.were, o.Tensor.Mem)
	}
	defer func() {
		for i, o := range d.list {
			o.Tensor.Mem = d.were[i]
		}
	}()
	for _, o := range d.list {
		t, err := d.show(*o.Tensor)
		if err != nil {
			return fmt.Errorf("%s.%s: %w", op.Name(), o.Name, err)
		}
		o.Tensor.Mem = t.Mem
	}
	return d.inner.Run(op)
}

func onCache(op runtime.Op) bool {
	switch o := op.(type) {
	case *runtime.StoreKV, *runtime.CopyBlocks:
		return true
	case *runtime.Attention:
		return !o.Blocks.IsZero()
	}
	return false
}

// Sync implements runtime.Device.
func (d *Refusing) Sync() error { return d.inner.Sync() }

// Close implements runtime.Device. It leaves the inner device open.
func (d *Refusing) Close() error { return nil }
