package cuda

// Device: opening and closing, what it says of itself, and memory.

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/godwit-ml/godwit/kernels"
	"github.com/godwit-ml/godwit/ptx"
	"github.com/godwit-ml/godwit/runtime"
)

// Config configures a device. The zero value is sensible.
type Config struct {
	Kernels  []*kernels.Kernel // in the order in which they are tried; nil: kernels.All
	Unproven bool              // use kernels that no interpreter has proven
	Blocking bool              // wait after each launch, so that a fault names its one kernel
	SelfTest bool              // check kernels before their first use on an emulated device too, as on a GPU
	Staging  int               // bytes of page-locked memory for copies, each way; 0: 8 MiB

	MemoryLimit int64      // of an emulated device, bytes; 0: 16 GiB
	Mode        ptx.Config // how an emulated device executes
	Faults      *Faults    // faults to inject; nil: none

	exact   bool // no pool: each allocation has edges of its own
	noPools bool // the emulated driver has no stream-ordered allocation
}

const (
	defaultStaging = 8 << 20
	leastStaging   = 4 << 10
	defaultMemory  = 16 << 30
)

var errClosed = errors.New("cuda: the device is closed")

// Device runs operations with the kernels of package kernels, on a Driver. One
// goroutine uses it at a time; calls go to another one, locked to its thread,
// which owns context and driver. Run returns before the kernel has run: Sync
// reports what failed. Its memory cannot be read by the host.
type Device struct {
	cfg     Config
	info    runtime.Info
	ordinal int
	limits  limits
	stream  Stream
	driver  Driver // used by the worker alone, but for Calls

	queue chan *command // to the worker
	idle  chan *command // back from it
	ended chan struct{} // closed when the worker has returned
	lost  atomic.Pointer[lostError]

	pool     pool
	up       uploads
	down     downloads
	kernels  map[string][]*entry // by operation, in the order of the list
	entries  []*entry
	images   map[*kernels.Image]*image
	operands []runtime.Operand
	closed   bool
	onStop   func() // called once when the worker has ended; may be nil
}

var _ runtime.Device = (*Device)(nil)

// limits are what the GPU has.
type limits struct {
	major, minor int
	shared       int  // bytes a CTA may have
	pools        bool // stream-ordered allocation
}

// lostError is what a lost device answers.
type lostError struct{ cause error }

func (e *lostError) Error() string   { return "cuda: " + ErrLost.Error() + ": after " + e.cause.Error() }
func (e *lostError) Unwrap() []error { return []error{ErrLost, e.cause} }

// New opens GPU number ordinal of a driver under the given name. It owns the
// driver from then on. The error of a machine without a GPU is a *DriverError.
func New(driver Driver, name string, ordinal int, cfg Config) (*Device, error) {
	d := newDevice(driver, name, ordinal, cfg)
	if err := d.call(func(Driver) error { return d.open() }); err != nil {
		d.stop()
		return nil, err
	}
	if cfg.SelfTest {
		if err := d.selfTest(false); err != nil {
			return nil, errors.Join(err, d.Close())
		}
	}
	return d, nil
}

func newDevice(driver Driver, name string, ordinal int, cfg Config) *Device {
	if cfg.Kernels == nil {
		cfg.Kernels = kernels.All
	}
	if cfg.Staging == 0 {
		cfg.Staging = defaultStaging
	}
	cfg.Staging = max(cfg.Staging, leastStaging)
	if cfg.Faults != nil {
		driver = cfg.Faults.wrap(driver)
	}
	d := &Device{
		cfg: cfg, ordinal: ordinal, driver: driver,
		info:  runtime.Info{Name: name},
		queue: make(chan *command, queueLength), idle: make(chan *command, queueLength), ended: make(chan struct{}),
	}
	for range queueLength {
		d.idle <- &command{reply: make(chan error, 1)}
	}
	d.pool.dev, d.up.dev, d.down.dev = d, d, d
	d.pool.exact = cfg.exact
	d.list(cfg.Kernels)
	go d.work()
	return d
}

// open makes the context; it runs on the worker.
func (d *Device) open() (err error) {
	drv := d.driver
	if err := drv.Init(); err != nil {
		return err
	}
	n, err := drv.DeviceCount()
	switch {
	case err != nil:
		return err
	case n == 0:
		return driverError("cuDeviceGetCount", NoDevice)
	case d.ordinal < 0 || d.ordinal >= n:
		return fmt.Errorf("cuda: there are %d devices, from 0 on: %w", n, driverError("cuDeviceGet", InvalidDevice))
	}
	gpu, err := describe(drv, d.ordinal)
	if err != nil {
		return err
	}
	d.limits.major, d.limits.minor = gpu.Major, gpu.Minor
	if d.limits.shared, err = drv.DeviceAttribute(MaxSharedPerBlockOptin, d.ordinal); err != nil {
		return err
	}
	pools, err := drv.DeviceAttribute(MemoryPools, d.ordinal)
	if err != nil {
		return err
	}
	d.limits.pools = pools != 0
	context, err := drv.RetainPrimary(d.ordinal)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = drv.ReleasePrimary(d.ordinal) // the first error is the one to report
		}
	}()
	if err = drv.SetCurrent(context); err != nil {
		return err
	}
	if d.stream, err = drv.StreamCreate(); err != nil {
		return err
	}
	d.info.Detail = gpu.String()
	return nil
}

// Info implements runtime.Device. The device is paged as long as it has all
// kernels of the three operations on caches.
func (d *Device) Info() runtime.Info {
	info := d.info
	info.Paged = d.whole("StoreKV") && d.whole("CopyBlocks") && d.whole("Attention")
	return info
}

// Capability is the compute capability times ten: 90 for 9.0.
func (d *Device) Capability() int { return 10*d.limits.major + d.limits.minor }

// Calls counts the calls of the driver so far, by the driver's names, as
// "cuLaunchKernel". It may be called from any goroutine, also after Close.
func (d *Device) Calls() map[string]int64 { return d.driver.Calls() }

// MemInfo is the device's free and total memory, bytes; what the device keeps
// for reuse counts as free.
func (d *Device) MemInfo() (free, total int64, err error) {
	if err := d.usable(); err != nil {
		return 0, 0, err
	}
	err = d.call(func(drv Driver) (err error) {
		free, total, err = drv.MemInfo()
		return err
	})
	return free + d.pool.kept, total, err
}

// usable is the error of a device that is closed or lost.
func (d *Device) usable() error {
	if d.closed {
		return errClosed
	}
	if lost := d.lost.Load(); lost != nil {
		return lost
	}
	return nil
}

// Alloc implements runtime.Device. Memory that does not fit is a *MemoryError.
func (d *Device) Alloc(size int64) (*runtime.Memory, error) {
	m, err := d.alloc(size, false)
	if err != nil {
		return nil, err
	}
	d.post(command{kind: doMemset, addr: Address(m.Addr), n: max(size, 1)})
	return m, nil
}

// alloc is memory with stale contents.
func (d *Device) alloc(size int64, exact bool) (*runtime.Memory, error) {
	if err := d.usable(); err != nil {
		return nil, err
	}
	addr, err := d.pool.take(size, exact)
	if err != nil {
		return nil, err
	}
	return &runtime.Memory{Owner: d, Addr: uint64(addr), Size: size}, nil
}

// Free implements runtime.Device. The memory is kept for reuse.
func (d *Device) Free(m *runtime.Memory) {
	if m == nil || m.Owner != runtime.Device(d) || m.Addr == 0 || d.closed {
		return
	}
	d.pool.give(Address(m.Addr))
	m.Addr, m.Size = 0, 0
}

// Sync implements runtime.Device.
func (d *Device) Sync() error {
	if err := d.usable(); err != nil {
		d.down.forget()
		return err
	}
	err := d.wait(command{kind: doSync})
	d.up.reset()
	if err != nil {
		d.down.forget()
		return err
	}
	d.down.deliver()
	return nil
}

// Close implements runtime.Device. It frees all memory of the device, also what
// was not freed, and ends the worker.
func (d *Device) Close() error {
	if d.closed {
		return nil
	}
	lost := d.lost.Load() != nil
	err := d.call(func(drv Driver) error { return d.release(drv, lost) })
	d.closed = true
	d.stop()
	if lost {
		return nil // its errors say once more what is known
	}
	return err
}

// stop ends the worker.
func (d *Device) stop() {
	close(d.queue)
	<-d.ended
	d.closed = true
	if d.onStop != nil {
		d.onStop()
	}
}

// release gives back what the device holds; it runs on the worker. Nothing of a
// dead context can be freed but the context itself.
func (d *Device) release(drv Driver, lost bool) error {
	var errs []error
	keep := func(err error) { errs = append(errs, err) }
	if !lost {
		keep(drv.StreamSynchronize(d.stream))
		for _, i := range d.images {
			if i.loaded {
				keep(drv.UnloadModule(i.module))
			}
		}
		d.pool.release(keep)
		keep(drv.StreamSynchronize(d.stream))
		d.up.release(drv, keep)
		keep(drv.StreamDestroy(d.stream))
	} else {
		d.up.release(drv, func(error) {})
	}
	d.down.release(drv, keep)
	if lost {
		keep(drv.ResetPrimary(d.ordinal))
	}
	keep(drv.ReleasePrimary(d.ordinal))
	return errors.Join(errs...)
}
