package cuda

// Fault injection: a Driver between device and driver that fails when it is told
// to, so that tests see what a machine without such faults cannot show.

import "sync"

// FaultKind is a kind of fault.
type FaultKind uint8

// The kinds. The calls that Fault.After counts are given with each.
const (
	FaultInit     FaultKind = iota + 1 // the driver does not start: cuInit
	FaultNoDevice                      // there is no GPU: cuDeviceGetCount
	FaultContext                       // no context can be made: cuDevicePrimaryCtxRetain
	FaultMemory                        // no memory is left: allocations
	FaultHost                          // no page-locked memory is left: cuMemHostAlloc
	FaultImage                         // the image is for another architecture: cuModuleLoadDataEx
	FaultFunction                      // the image lacks the kernel: cuModuleGetFunction
	FaultCopy                          // a copy is refused: copies
	FaultLaunch                        // a launch is refused: cuLaunchKernel
	FaultAddress                       // a kernel uses an illegal address, the context dies: cuLaunchKernel
	FaultLost                          // the GPU drops out, the context dies: all calls with a context
	numFaultKind
)

// Fault is one fault to inject.
type Fault struct {
	Kind  FaultKind
	After int  // calls of its kind that pass before
	Times int  // calls that fail then, of kinds that leave the context alive; 0: 1
	Code  Code // instead of the kind's usual one
}

// Faults is a plan of faults. Inject may be called at any time and from any
// goroutine; a plan serves one device after another.
type Faults struct {
	mu   sync.Mutex
	plan []Fault
	hits int
}

// Inject adds a fault.
func (f *Faults) Inject(fault Fault) {
	if fault.Kind == 0 || fault.Kind >= numFaultKind || fault.After < 0 {
		panic("cuda: Inject of no fault")
	}
	if fault.Times == 0 {
		fault.Times = 1
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.plan = append(f.plan, fault)
}

// Clear drops the faults that have not happened.
func (f *Faults) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.plan = nil
}

// Hits is the number of calls that failed so far.
func (f *Faults) Hits() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hits
}

// Pending is the number of faults that have not wholly happened.
func (f *Faults) Pending() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.plan)
}

var faultCodes = [numFaultKind]Code{
	FaultInit: SystemNotReady, FaultNoDevice: NoDevice, FaultContext: DeviceUnavailable, FaultMemory: OutOfMemory,
	FaultHost: OutOfMemory, FaultImage: NoBinary, FaultFunction: NotFound, FaultCopy: InvalidValue,
	FaultLaunch: LaunchOutOfResources, FaultAddress: IllegalAddress, FaultLost: Unknown,
}

// due counts a call and gives the code with which it fails, 0 if it passes.
func (f *Faults) due(kind FaultKind) Code {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.plan {
		p := &f.plan[i]
		if p.Kind != kind {
			continue
		}
		if p.After > 0 {
			p.After--
			return 0
		}
		code := p.Code
		if code == 0 {
			code = faultCodes[kind]
		}
		f.hits++
		if p.Times--; p.Times == 0 {
			f.plan = append(f.plan[:i], f.plan[i+1:]...)
		}
		return code
	}
	return 0
}

// wrap puts the plan before a driver.
func (f *Faults) wrap(d Driver) Driver { return &faulty{Driver: d, plan: f} }

// faulty is the Driver that fails by plan. Calls it does not have here cannot
// fail: those that end things.
type faulty struct {
	Driver
	plan *Faults
	dead Code // of the context; every call gives it
}

// at is what a call of the kind does first.
func (d *faulty) at(call string, kind FaultKind) error {
	if d.dead != 0 {
		return driverError(call, d.dead)
	}
	if d.dead = d.plan.due(FaultLost); d.dead != 0 {
		return driverError(call, d.dead)
	}
	if kind == 0 {
		return nil
	}
	code := d.plan.due(kind)
	if code.Sticky() {
		d.dead = code
	}
	return driverError(call, code)
}

// Init implements Driver.
func (d *faulty) Init() error {
	if code := d.plan.due(FaultInit); code != 0 {
		return driverError("cuInit", code)
	}
	return d.Driver.Init()
}

// DeviceCount implements Driver.
func (d *faulty) DeviceCount() (int, error) {
	if code := d.plan.due(FaultNoDevice); code != 0 {
		return 0, driverError("cuDeviceGetCount", code)
	}
	return d.Driver.DeviceCount()
}

// RetainPrimary implements Driver.
func (d *faulty) RetainPrimary(ordinal int) (Context, error) {
	if code := d.plan.due(FaultContext); code != 0 {
		return 0, driverError("cuDevicePrimaryCtxRetain", code)
	}
	if d.dead != 0 {
		return 0, driverError("cuDevicePrimaryCtxRetain", d.dead)
	}
	return d.Driver.RetainPrimary(ordinal)
}

// ReleasePrimary implements Driver.
func (d *faulty) ReleasePrimary(ordinal int) error {
	d.dead = 0
	return d.Driver.ReleasePrimary(ordinal)
}

// ResetPrimary implements Driver.
func (d *faulty) ResetPrimary(ordinal int) error {
	d.dead = 0
	return d.Driver.ResetPrimary(ordinal)
}

// MemInfo implements Driver.
func (d *faulty) MemInfo() (free, total int64, err error) {
	if err := d.at("cuMemGetInfo", 0); err != nil {
		return 0, 0, err
	}
	return d.Driver.MemInfo()
}

// MemAlloc implements Driver.
func (d *faulty) MemAlloc(size int64) (Address, error) {
	if err := d.at("cuMemAlloc", FaultMemory); err != nil {
		return 0, err
	}
	return d.Driver.MemAlloc(size)
}

// MemAllocAsync implements Driver.
func (d *faulty) MemAllocAsync(size int64, s Stream) (Address, error) {
	if err := d.at("cuMemAllocAsync", FaultMemory); err != nil {
		return 0, err
	}
	return d.Driver.MemAllocAsync(size, s)
}

// MemFree implements Driver.
func (d *faulty) MemFree(a Address) error {
	if err := d.at("cuMemFree", 0); err != nil {
		return err
	}
	return d.Driver.MemFree(a)
}

// MemFreeAsync implements Driver.
func (d *faulty) MemFreeAsync(a Address, s Stream) error {
	if err := d.at("cuMemFreeAsync", 0); err != nil {
		return err
	}
	return d.Driver.MemFreeAsync(a, s)
}

// HostAlloc implements Driver.
func (d *faulty) HostAlloc(size int) ([]byte, error) {
	if err := d.at("cuMemHostAlloc", FaultHost); err != nil {
		return nil, err
	}
	return d.Driver.HostAlloc(size)
}

// CopyToDevice implements Driver.
func (d *faulty) CopyToDevice(dst Address, pitch int64, src []byte, width int64, s Stream) error {
	if err := d.at(copyName(width, int64(len(src)), "cuMemcpyHtoDAsync"), FaultCopy); err != nil {
		return err
	}
	return d.Driver.CopyToDevice(dst, pitch, src, width, s)
}

// CopyToHost implements Driver.
func (d *faulty) CopyToHost(dst []byte, width int64, src Address, pitch int64, s Stream) error {
	if err := d.at(copyName(width, int64(len(dst)), "cuMemcpyDtoHAsync"), FaultCopy); err != nil {
		return err
	}
	return d.Driver.CopyToHost(dst, width, src, pitch, s)
}

// Memset implements Driver.
func (d *faulty) Memset(dst Address, value byte, n int64, s Stream) error {
	if err := d.at("cuMemsetD8Async", 0); err != nil {
		return err
	}
	return d.Driver.Memset(dst, value, n, s)
}

// LoadModule implements Driver.
func (d *faulty) LoadModule(image string) (Module, string, error) {
	if err := d.at("cuModuleLoadDataEx", FaultImage); err != nil {
		return 0, "", err
	}
	return d.Driver.LoadModule(image)
}

// Function implements Driver.
func (d *faulty) Function(m Module, name string) (Function, error) {
	if err := d.at("cuModuleGetFunction", FaultFunction); err != nil {
		return 0, err
	}
	return d.Driver.Function(m, name)
}

// Launch implements Driver. An illegal address shows at a later call, as on a
// GPU.
func (d *faulty) Launch(f Function, grid, block [3]int, shared int, s Stream, args []uint64) error {
	if err := d.at("cuLaunchKernel", FaultLaunch); err != nil {
		return err
	}
	if d.dead = d.plan.due(FaultAddress); d.dead != 0 {
		return nil
	}
	return d.Driver.Launch(f, grid, block, shared, s, args)
}

// StreamSynchronize implements Driver.
func (d *faulty) StreamSynchronize(s Stream) error {
	if err := d.at("cuStreamSynchronize", 0); err != nil {
		return err
	}
	return d.Driver.StreamSynchronize(s)
}

// EventRecord implements Driver.
func (d *faulty) EventRecord(e Event, s Stream) error {
	if err := d.at("cuEventRecord", 0); err != nil {
		return err
	}
	return d.Driver.EventRecord(e, s)
}

// EventSynchronize implements Driver.
func (d *faulty) EventSynchronize(e Event) error {
	if err := d.at("cuEventSynchronize", 0); err != nil {
		return err
	}
	return d.Driver.EventSynchronize(e)
}
