package cuda

// Run: which kernel an operation gets, and loading the images of kernels.

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/godwit-ml/godwit/kernels"
	"github.com/godwit-ml/godwit/runtime"
)

// entry is a kernel on a device.
type entry struct {
	kernel   *kernels.Kernel
	image    *image
	function Function
	ready    bool  // loaded, and checked where that is due
	out      error // why it is not used; wraps runtime.ErrUnsupported
	launches atomic.Int64
}

// image is an image on a device; it is loaded when the first of its kernels is
// wanted.
type image struct {
	module Module
	loaded bool
	err    error
}

// KernelStatus is a kernel as the device has it.
type KernelStatus struct {
	Op, Entry, Image string
	Loaded           bool   // its image is on the device
	Out              string // why it is not used; "": it is
	Launches         int64
}

var errNoKernel = fmt.Errorf("no kernel: %w", runtime.ErrUnsupported)

// outError is a kernel that is not used, with a reason that stays the same.
type outError struct{ text string }

func (e *outError) Error() string { return e.text + ": " + runtime.ErrUnsupported.Error() }
func (e *outError) Unwrap() error { return runtime.ErrUnsupported }

func outOf(k *kernels.Kernel, why string) error {
	return &outError{"kernel " + k.Entry + " is out: " + why}
}

// list arranges the kernels by operation.
func (d *Device) list(all []*kernels.Kernel) {
	d.kernels, d.images = map[string][]*entry{}, map[*kernels.Image]*image{}
	for _, k := range all {
		if d.images[k.Image] == nil {
			d.images[k.Image] = &image{}
		}
		e := &entry{kernel: k, image: d.images[k.Image]}
		if k.Unproven != "" && !d.cfg.Unproven {
			e.out = outOf(k, "unproven: "+k.Unproven)
		}
		d.entries = append(d.entries, e)
		d.kernels[k.Op] = append(d.kernels[k.Op], e)
	}
}

// whole reports whether an operation has kernels, none of which is out: one that
// is missing leaves sizes that no other takes.
func (d *Device) whole(op string) bool {
	n := 0
	for _, e := range d.kernels[op] {
		switch {
		case e.out == nil:
			n++
		case e.kernel.Unproven == "":
			return false
		}
	}
	return n > 0
}

// Kernels is what the device has of each kernel, in the order in which they are
// tried.
func (d *Device) Kernels() []KernelStatus {
	list := make([]KernelStatus, len(d.entries))
	for i, e := range d.entries {
		s := KernelStatus{Op: e.kernel.Op, Entry: e.kernel.Entry, Image: e.kernel.Image.Name, Loaded: e.image.loaded, Launches: e.launches.Load()}
		var out *outError
		if errors.As(e.out, &out) {
			s.Out = out.text
		}
		list[i] = s
	}
	return list
}

// Run implements runtime.Device: the first kernel of the list that fits runs the
// operation. Where none does, the error wraps runtime.ErrUnsupported and says
// why, of the first that is out or else of the last tried.
func (d *Device) Run(op runtime.Op) error {
	if err := d.usable(); err != nil {
		return err
	}
	if err := d.owned(op); err != nil {
		return err
	}
	c := <-d.idle
	e, err := d.choose(op, &c.launch)
	if e == nil {
		d.idle <- c
		return err
	}
	c.set(command{kind: doLaunch, kernel: e})
	d.queue <- c
	return nil
}

// choose finds the kernel and fills l. There may be nothing to do: then both
// results are nil.
func (d *Device) choose(op runtime.Op, l *kernels.Launch) (*entry, error) {
	var out, unfit error
	for _, e := range d.kernels[op.Name()] {
		if e.out == nil {
			l.Reset()
			err := e.kernel.Launch(op, l)
			switch {
			case errors.Is(err, runtime.ErrUnsupported):
				unfit = err
				continue
			case err != nil:
				return nil, fmt.Errorf("cuda: kernel %s: %w", e.kernel.Entry, err)
			}
			if l.Grid[0] == 0 || l.Grid[1] == 0 || l.Grid[2] == 0 {
				return nil, nil
			}
			if err := d.prepare(e); err != nil {
				return nil, err
			}
		}
		if e.out == nil {
			return e, nil
		}
		if out == nil {
			out = e.out
		}
	}
	switch {
	case out != nil:
		return nil, out
	case unfit != nil:
		return nil, unfit
	}
	return nil, errNoKernel
}

// owned checks that the operands lie on the device: a kernel that gets an
// address of another one ends the context.
func (d *Device) owned(op runtime.Op) error {
	d.operands = op.Operands(d.operands[:0])
	for _, o := range d.operands {
		if m := o.Tensor.Mem; m.Owner != runtime.Device(d) || m.Addr == 0 {
			return &runtime.OpError{Op: op.Name(), Operand: o.Name, Reason: "its memory is freed or another device's"}
		}
	}
	return nil
}

// Prepare loads the kernels of operations, which otherwise happens when each is
// first needed: a kernel that does not load is out, and Info says what that
// leaves. An error is the device's own, as having no memory.
func (d *Device) Prepare(ops ...string) error {
	if err := d.usable(); err != nil {
		return err
	}
	for _, op := range ops {
		for _, e := range d.kernels[op] {
			if e.out != nil {
				continue
			}
			if err := d.prepare(e); err != nil {
				return err
			}
		}
	}
	return nil
}

// prepare loads the kernel. What is wrong with the kernel takes it out; an error
// is the device's own, as having no memory.
func (d *Device) prepare(e *entry) error {
	if e.ready {
		return nil
	}
	err := d.call(func(drv Driver) error { return d.load(drv, e) })
	switch code := codeOf(err); {
	case err == nil:
		e.ready = true
	case code.Sticky(), code == OutOfMemory:
		return fmt.Errorf("cuda: kernel %s: %w", e.kernel.Entry, err)
	default:
		e.out = outOf(e.kernel, err.Error())
	}
	return nil
}

// load runs on the worker.
func (d *Device) load(drv Driver, e *entry) error {
	i, k := e.image, e.kernel
	if i.err != nil {
		return i.err
	}
	if k.Image.Target > d.Capability() {
		return fmt.Errorf("image %s is compute_%d code, this GPU has compute capability %d.%d", k.Image.Name, k.Image.Target, d.limits.major, d.limits.minor)
	}
	if !i.loaded {
		module, log, err := drv.LoadModule(k.Image.PTX)
		var de *DriverError
		if errors.As(err, &de) {
			de.Log = log
		}
		if err != nil {
			err = fmt.Errorf("image %s (compute_%d): %w", k.Image.Name, k.Image.Target, err)
			if code := codeOf(err); !code.Sticky() && code != OutOfMemory {
				i.err = err
			}
			return err
		}
		i.module, i.loaded = module, true
	}
	f, err := drv.Function(i.module, k.Entry)
	if err != nil {
		return err
	}
	if k.Shared > d.limits.shared {
		return fmt.Errorf("it needs %d bytes of shared memory, this GPU has %d", k.Shared, d.limits.shared)
	}
	if k.Shared > plainShared {
		static, err := drv.StaticShared(f)
		if err != nil {
			return err
		}
		if dynamic := k.Shared - static; dynamic > plainShared {
			if err := drv.SetMaxDynamicShared(f, dynamic); err != nil {
				return err
			}
		}
	}
	e.function = f
	return nil
}

// plainShared is the dynamic shared memory that a function may have without
// being allowed it.
const plainShared = 48 << 10
