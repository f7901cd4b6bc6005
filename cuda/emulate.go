package cuda

// The emulated driver: a GPU in this process, whose kernels package ptx
// executes.

import (
	"encoding/binary"
	"fmt"
	"math"
	goruntime "runtime"
	"strconv"
	"strings"
	"sync"

	"github.com/godwit-ml/godwit/ptx"
	"github.com/godwit-ml/godwit/runtime"
)

// NewPTX opens the device that executes the PTX of the kernels with package ptx,
// in every build and on every machine. Every access is checked, so a kernel that
// errs stops with a *ptx.Fault, which the error wraps. As many devices as wanted
// may be open; each has memory of its own.
func NewPTX(cfg Config) (*Device, error) {
	cfg.exact = true
	return New(newEmulator(cfg, false), "ptx", 0, cfg)
}

// emulator is a Driver with one GPU. What is put on a stream runs as late as the
// driver API allows, when something waits for it: buffers that are changed too
// early show as wrong results.
type emulator struct {
	cfg   Config
	pools bool // has stream-ordered allocation

	mem       *ptx.Memory
	sizes     map[Address]int64
	used      int64
	modules   map[Module]*ptx.Module
	functions map[Function]*function
	streams   map[Stream]bool
	events    map[Event]bool
	pinned    int // buffers of HostAlloc
	left      int // objects that lived when a context ended, for tests
	next      uint64
	retained  int
	current   bool

	queue []task
	fault *DriverError // what ended the context

	counts callCounts
}

// function is a kernel of a loaded module.
type function struct {
	module  Module
	kernel  *ptx.Kernel
	dynamic int // bytes of dynamic shared memory it may have
}

// The GPU that the emulator says it is.
const (
	emulatedMajor, emulatedMinor = 9, 0
	emulatedShared               = 227 << 10
)

func newEmulator(cfg Config, pools bool) *emulator {
	if cfg.MemoryLimit <= 0 {
		cfg.MemoryLimit = defaultMemory
	}
	if cfg.Mode.Workers <= 0 {
		cfg.Mode.Workers = goruntime.GOMAXPROCS(0)
	}
	e := &emulator{cfg: cfg, pools: pools}
	e.clear()
	return e
}

// clear is a GPU without a context.
func (e *emulator) clear() {
	e.mem, e.sizes, e.used = ptx.NewMemory(e.cfg.MemoryLimit), map[Address]int64{}, 0
	e.modules, e.functions = map[Module]*ptx.Module{}, map[Function]*function{}
	e.streams, e.events = map[Stream]bool{}, map[Event]bool{}
	e.queue, e.fault, e.retained, e.current = nil, nil, 0, false
}

// enter counts a call and gives the error that every call of a dead context
// has, or one without a context.
func (e *emulator) enter(call string) error {
	e.counts.add(call)
	if e.fault != nil {
		again := *e.fault
		again.Call = call
		return &again
	}
	if !e.current {
		return driverError(call, InvalidContext)
	}
	return nil
}

func (e *emulator) handle() uint64 {
	e.next++
	return e.next << 4
}

// Init implements Driver.
func (e *emulator) Init() error {
	e.counts.add("cuInit")
	return nil
}

// DeviceCount implements Driver.
func (e *emulator) DeviceCount() (int, error) {
	e.counts.add("cuDeviceGetCount")
	return 1, nil
}

// DeviceName implements Driver.
func (e *emulator) DeviceName(int) (string, error) {
	e.counts.add("cuDeviceGetName")
	return fmt.Sprintf("PTX interpreter, %d workers", e.cfg.Mode.Workers), nil
}

// DeviceAttribute implements Driver.
func (e *emulator) DeviceAttribute(a Attribute, _ int) (int, error) {
	e.counts.add("cuDeviceGetAttribute")
	switch a {
	case CapabilityMajor:
		return emulatedMajor, nil
	case CapabilityMinor:
		return emulatedMinor, nil
	case Multiprocessors:
		return e.cfg.Mode.Workers, nil
	case MaxSharedPerBlockOptin:
		return emulatedShared, nil
	case MemoryPools:
		if e.pools {
			return 1, nil
		}
		return 0, nil
	}
	return 0, driverError("cuDeviceGetAttribute", InvalidValue)
}

// DeviceMemory implements Driver.
func (e *emulator) DeviceMemory(int) (int64, error) {
	e.counts.add("cuDeviceTotalMem")
	return e.cfg.MemoryLimit, nil
}

// RetainPrimary implements Driver.
func (e *emulator) RetainPrimary(int) (Context, error) {
	e.counts.add("cuDevicePrimaryCtxRetain")
	if e.fault != nil {
		return 0, e.enter("cuDevicePrimaryCtxRetain")
	}
	e.retained++
	return 1, nil
}

// ReleasePrimary implements Driver.
func (e *emulator) ReleasePrimary(int) error {
	e.counts.add("cuDevicePrimaryCtxRelease")
	if e.retained == 0 {
		return driverError("cuDevicePrimaryCtxRelease", InvalidContext)
	}
	if e.retained--; e.retained == 0 {
		if e.fault == nil {
			e.left += len(e.sizes) + len(e.modules) + len(e.streams) + len(e.events)
		}
		e.clear()
	}
	return nil
}

// ResetPrimary implements Driver. Who holds the context holds it further on.
func (e *emulator) ResetPrimary(int) error {
	e.counts.add("cuDevicePrimaryCtxReset")
	held := e.retained
	e.clear()
	e.retained = held
	return nil
}

// SetCurrent implements Driver.
func (e *emulator) SetCurrent(c Context) error {
	e.counts.add("cuCtxSetCurrent")
	if c != 1 || e.retained == 0 {
		return driverError("cuCtxSetCurrent", InvalidContext)
	}
	e.current = true
	return nil
}

// MemInfo implements Driver.
func (e *emulator) MemInfo() (free, total int64, err error) {
	if err := e.enter("cuMemGetInfo"); err != nil {
		return 0, 0, err
	}
	return e.cfg.MemoryLimit - e.used, e.cfg.MemoryLimit, nil
}

// MemAlloc implements Driver.
func (e *emulator) MemAlloc(size int64) (Address, error) { return e.alloc("cuMemAlloc", size) }

// MemAllocAsync implements Driver.
func (e *emulator) MemAllocAsync(size int64, _ Stream) (Address, error) {
	return e.alloc("cuMemAllocAsync", size)
}

func (e *emulator) alloc(call string, size int64) (Address, error) {
	if err := e.enter(call); err != nil {
		return 0, err
	}
	switch {
	case size <= 0:
		return 0, driverError(call, InvalidValue)
	case size > e.cfg.MemoryLimit-e.used:
		return 0, driverError(call, OutOfMemory)
	}
	a, err := e.mem.Alloc(size)
	if err != nil {
		return 0, driverError(call, OutOfMemory)
	}
	e.sizes[Address(a)] = size
	e.used += size
	return Address(a), nil
}

// MemFree implements Driver. As a real one, it waits for what is under way.
func (e *emulator) MemFree(a Address) error {
	if err := e.enter("cuMemFree"); err != nil {
		return err
	}
	if err := e.finish("cuMemFree"); err != nil {
		return err
	}
	return e.free("cuMemFree", a)
}

// MemFreeAsync implements Driver.
func (e *emulator) MemFreeAsync(a Address, s Stream) error {
	if err := e.enter("cuMemFreeAsync"); err != nil {
		return err
	}
	return e.add("cuMemFreeAsync", s, task{kind: doCall, addr: a})
}

func (e *emulator) free(call string, a Address) error {
	size, ok := e.sizes[a]
	if !ok || e.mem.Free(uint64(a)) != nil {
		return driverError(call, InvalidValue)
	}
	delete(e.sizes, a)
	e.used -= size
	return nil
}

// HostAlloc implements Driver.
func (e *emulator) HostAlloc(size int) ([]byte, error) {
	if err := e.enter("cuMemHostAlloc"); err != nil {
		return nil, err
	}
	e.pinned++
	return runtime.AlignedBytes(int64(size)), nil
}

// HostFree implements Driver.
func (e *emulator) HostFree([]byte) error {
	e.counts.add("cuMemFreeHost")
	e.pinned--
	return e.finish("cuMemFreeHost")
}

// CopyToDevice implements Driver.
func (e *emulator) CopyToDevice(dst Address, pitch int64, src []byte, width int64, s Stream) error {
	call := copyName(width, int64(len(src)), "cuMemcpyHtoDAsync")
	if err := e.enter(call); err != nil {
		return err
	}
	return e.add(call, s, task{kind: doUp, addr: dst, pitch: pitch, host: src, width: width})
}

// CopyToHost implements Driver.
func (e *emulator) CopyToHost(dst []byte, width int64, src Address, pitch int64, s Stream) error {
	call := copyName(width, int64(len(dst)), "cuMemcpyDtoHAsync")
	if err := e.enter(call); err != nil {
		return err
	}
	return e.add(call, s, task{kind: doDown, addr: src, pitch: pitch, host: dst, width: width})
}

// copyName is the driver's call for rows of width bytes, n in all.
func copyName(width, n int64, flat string) string {
	if width < n {
		return "cuMemcpy2DAsync"
	}
	return flat
}

// Memset implements Driver.
func (e *emulator) Memset(dst Address, value byte, n int64, s Stream) error {
	if err := e.enter("cuMemsetD8Async"); err != nil {
		return err
	}
	return e.add("cuMemsetD8Async", s, task{kind: doMemset, addr: dst, value: value, n: n})
}

// LoadModule implements Driver.
func (e *emulator) LoadModule(image string) (Module, string, error) {
	const call = "cuModuleLoadDataEx"
	if err := e.enter(call); err != nil {
		return 0, "", err
	}
	m, err := parse(image)
	if err != nil {
		return 0, err.Error(), driverError(call, InvalidPTX)
	}
	if targetOf(m.Target) > 10*emulatedMajor+emulatedMinor {
		return 0, "the target is " + m.Target, driverError(call, NoBinary)
	}
	h := Module(e.handle())
	e.modules[h] = m
	return h, "", nil
}

// images keeps parsed PTX by its text: it is never changed, and every device
// that is opened has the same.
var images sync.Map

func parse(image string) (*ptx.Module, error) {
	if m, ok := images.Load(image); ok {
		return m.(*ptx.Module), nil
	}
	m, err := ptx.Parse("image.ptx", []byte(image))
	if err == nil {
		images.Store(image, m)
	}
	return m, err
}

// targetOf is the number in "sm_90a, debug".
func targetOf(s string) int {
	s = strings.TrimPrefix(s, "sm_")
	end := 0
	for end < len(s) && '0' <= s[end] && s[end] <= '9' {
		end++
	}
	n, err := strconv.Atoi(s[:end])
	if err != nil {
		return math.MaxInt
	}
	return n
}

// UnloadModule implements Driver.
func (e *emulator) UnloadModule(m Module) error {
	if err := e.enter("cuModuleUnload"); err != nil {
		return err
	}
	if e.modules[m] == nil {
		return driverError("cuModuleUnload", InvalidHandle)
	}
	if err := e.finish("cuModuleUnload"); err != nil {
		return err
	}
	delete(e.modules, m)
	for h, f := range e.functions {
		if f.module == m {
			delete(e.functions, h)
		}
	}
	return nil
}

// Function implements Driver.
func (e *emulator) Function(m Module, name string) (Function, error) {
	const call = "cuModuleGetFunction"
	if err := e.enter(call); err != nil {
		return 0, err
	}
	if e.modules[m] == nil {
		return 0, driverError(call, InvalidHandle)
	}
	k := e.modules[m].Kernel(name)
	if k == nil {
		return 0, driverError(call, NotFound)
	}
	h := Function(e.handle())
	e.functions[h] = &function{module: m, kernel: k, dynamic: max(0, plainShared-k.StaticShared)}
	return h, nil
}

// StaticShared implements Driver.
func (e *emulator) StaticShared(f Function) (int, error) {
	if err := e.enter("cuFuncGetAttribute"); err != nil {
		return 0, err
	}
	if e.functions[f] == nil {
		return 0, driverError("cuFuncGetAttribute", InvalidHandle)
	}
	return e.functions[f].kernel.StaticShared, nil
}

// SetMaxDynamicShared implements Driver.
func (e *emulator) SetMaxDynamicShared(f Function, bytes int) error {
	const call = "cuFuncSetAttribute"
	if err := e.enter(call); err != nil {
		return err
	}
	fn := e.functions[f]
	switch {
	case fn == nil:
		return driverError(call, InvalidHandle)
	case bytes < 0 || bytes+fn.kernel.StaticShared > emulatedShared:
		return driverError(call, InvalidValue)
	}
	fn.dynamic = bytes
	return nil
}

// Launch implements Driver.
func (e *emulator) Launch(f Function, grid, block [3]int, shared int, s Stream, args []uint64) error {
	const call = "cuLaunchKernel"
	if err := e.enter(call); err != nil {
		return err
	}
	fn := e.functions[f]
	if fn == nil {
		return driverError(call, InvalidHandle)
	}
	most := [2][3]int{{1<<31 - 1, 1<<16 - 1, 1<<16 - 1}, {1024, 1024, 64}}
	threads := 1
	for i := range 3 {
		if grid[i] < 1 || grid[i] > most[0][i] || block[i] < 1 || block[i] > most[1][i] {
			return driverError(call, InvalidValue)
		}
		threads *= block[i]
	}
	switch {
	case threads > 1024 || shared < 0 || shared > fn.dynamic:
		return driverError(call, InvalidValue)
	case fn.kernel.MaxThreads > 0 && threads > fn.kernel.MaxThreads:
		return driverError(call, LaunchOutOfResources)
	case len(args) < len(fn.kernel.Params):
		return driverError(call, InvalidValue)
	}
	params := make([]byte, fn.kernel.ParamBytes())
	for i, p := range fn.kernel.Params {
		var word [8]byte
		binary.LittleEndian.PutUint64(word[:], args[i])
		copy(params[p.Offset:][:min(p.Size, 8)], word[:])
	}
	return e.add(call, s, task{kind: doLaunch, f: fn, launch: ptx.Launch{Grid: grid, Block: block, Shared: shared, Params: params}})
}

// StreamCreate implements Driver.
func (e *emulator) StreamCreate() (Stream, error) {
	if err := e.enter("cuStreamCreate"); err != nil {
		return 0, err
	}
	s := Stream(e.handle())
	e.streams[s] = true
	return s, nil
}

// StreamDestroy implements Driver.
func (e *emulator) StreamDestroy(s Stream) error {
	if err := e.enter("cuStreamDestroy"); err != nil {
		return err
	}
	if !e.streams[s] {
		return driverError("cuStreamDestroy", InvalidHandle)
	}
	delete(e.streams, s)
	return e.finish("cuStreamDestroy")
}

// StreamSynchronize implements Driver.
func (e *emulator) StreamSynchronize(s Stream) error {
	if err := e.enter("cuStreamSynchronize"); err != nil {
		return err
	}
	if s != 0 && !e.streams[s] {
		return driverError("cuStreamSynchronize", InvalidHandle)
	}
	return e.finish("cuStreamSynchronize")
}

// EventCreate implements Driver.
func (e *emulator) EventCreate() (Event, error) {
	if err := e.enter("cuEventCreate"); err != nil {
		return 0, err
	}
	h := Event(e.handle())
	e.events[h] = true
	return h, nil
}

// EventDestroy implements Driver.
func (e *emulator) EventDestroy(h Event) error {
	if err := e.enter("cuEventDestroy"); err != nil {
		return err
	}
	if !e.events[h] {
		return driverError("cuEventDestroy", InvalidHandle)
	}
	delete(e.events, h)
	return nil
}

// EventRecord implements Driver.
func (e *emulator) EventRecord(h Event, s Stream) error {
	if err := e.enter("cuEventRecord"); err != nil {
		return err
	}
	if !e.events[h] || s != 0 && !e.streams[s] {
		return driverError("cuEventRecord", InvalidHandle)
	}
	return nil
}

// EventSynchronize implements Driver.
func (e *emulator) EventSynchronize(h Event) error {
	if err := e.enter("cuEventSynchronize"); err != nil {
		return err
	}
	if !e.events[h] {
		return driverError("cuEventSynchronize", InvalidHandle)
	}
	return e.finish("cuEventSynchronize")
}

// Calls implements Driver.
func (e *emulator) Calls() map[string]int64 { return e.counts.all() }
