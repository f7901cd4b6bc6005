//go:build cuda && cgo && linux && (amd64 || arm64)

package cuda

// The driver of NVIDIA's GPUs, through gorgonia.org/cu, and through calls of our
// own for what it lacks. Both go through the table of shim.c.

// #cgo CFLAGS: -I${SRCDIR}
// #cgo LDFLAGS: -L${SRCDIR} -Wl,--as-needed -ldl
// #include "shim.h"
import "C"

import (
	"errors"
	"fmt"
	"reflect"
	"sync"
	"unsafe"

	"gorgonia.org/cu"
)

// NewCUDA opens GPU number ordinal. The driver is looked for now, not when the
// program starts; its absence is a *DriverError. The first device of a process
// checks every kernel on a few rows of devicetest, and takes out those that
// differ from the oracle: see Device.Kernels.
func NewCUDA(ordinal int, cfg Config) (*Device, error) {
	return openTested(func() (*Device, error) {
		if err := binding.take(bindDriver); err != nil {
			return nil, err
		}
		d, err := New(&native{}, fmt.Sprintf("cuda:%d", ordinal), ordinal, cfg)
		if err != nil {
			binding.give()
			return nil, err
		}
		d.onStop = binding.give
		return d, nil
	})
}

// List finds the GPUs of this machine, without making a context on any. Where
// there is no driver or no GPU, the *DriverError says so.
func List() ([]GPU, error) {
	if err := binding.take(bindDriver); err != nil {
		return nil, err
	}
	defer binding.give()
	return list(&native{})
}

// bindingTable is what the driver's calls are bound to.
type bindingTable struct {
	mu    sync.Mutex
	bound int
	users int
}

const (
	bindNothing = iota
	bindDriver
	bindEmulator
)

var binding bindingTable

// take binds the calls. A process has one driver at a time.
func (b *bindingTable) take(what int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.users > 0 && b.bound != what {
		return errors.New("cuda: emulated and real GPUs cannot be open in one process at the same time; close the other first")
	}
	if b.bound != what {
		switch what {
		case bindDriver:
			if why := C.godwit_bind_driver(); why != nil {
				b.bound = bindNothing
				return &DriverError{Call: "cuInit", Code: SharedObjectNotFound, Name: SharedObjectNotFound.String(), Text: C.GoString(why)}
			}
		case bindEmulator:
			C.godwit_bind_emulator()
		}
		b.bound = what
	}
	b.users++
	return nil
}

func (b *bindingTable) give() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.users--
}

// native is the Driver over gorgonia.org/cu's package-level functions. Its Ctx,
// which sends each call through channels, is not used.
type native struct {
	gpu    *emulated // beneath; nil: a real one
	slot   uintptr   // of the emulated one
	counts callCounts

	contexts  handles[cu.CUContext]
	modules   handles[cu.Module]
	functions handles[cu.Function]
	streams   handles[cu.Stream]
	events    handles[cu.Event]
	params    []unsafe.Pointer
}

// handles gives numbers to objects of gorgonia.org/cu, from 1 on.
type handles[T any] struct {
	of   map[uint64]T
	next uint64
}

func (h *handles[T]) add(v T) uint64 {
	if h.of == nil {
		h.of = map[uint64]T{}
	}
	h.next++
	h.of[h.next] = v
	return h.next
}

func (h *handles[T]) take(n uint64) T {
	v := h.of[n]
	delete(h.of, n)
	return v
}

// check counts a call of gorgonia.org/cu and turns its error, an integer of a
// type that has no name outside, into ours.
func (n *native) check(call string, err error) error {
	n.counts.add(call)
	if err == nil {
		return nil
	}
	code := Unknown
	if v := reflect.ValueOf(err); v.CanInt() {
		code = Code(v.Int())
	}
	return n.fail(call, code)
}

// own is check for a call of our own.
func (n *native) own(call string, code C.CUresult) error {
	n.counts.add(call)
	if code == 0 {
		return nil
	}
	return n.fail(call, Code(code))
}

// fail asks the driver about codes that we have no words for, and the emulator
// for what a code does not tell.
func (n *native) fail(call string, code Code) error {
	err := driverError(call, code)
	var e *DriverError
	if !errors.As(err, &e) {
		return nil
	}
	if n.gpu != nil && n.gpu.emulator.fault != nil && code == n.gpu.emulator.fault.Code {
		e.Kernel, e.Cause = n.gpu.emulator.fault.Kernel, n.gpu.emulator.fault.Cause
	}
	if _, known := codeTexts[code]; !known {
		var text *C.char
		if C.cuGetErrorName(C.CUresult(code), &text) == 0 && text != nil {
			e.Name = C.GoString(text)
		}
		if C.cuGetErrorString(C.CUresult(code), &text) == 0 && text != nil {
			e.Text = C.GoString(text)
		}
	}
	return err
}

// Init implements Driver.
func (n *native) Init() error {
	if n.gpu != nil {
		C.godwit_set_emulator(C.uintptr_t(n.slot))
	}
	return n.own("cuInit", C.cuInit(0))
}

// DeviceCount implements Driver.
func (n *native) DeviceCount() (int, error) {
	count, err := cu.NumDevices()
	return count, n.check("cuDeviceGetCount", err)
}

func (n *native) device(ordinal int) (cu.Device, error) {
	dev, err := cu.GetDevice(ordinal)
	return dev, n.check("cuDeviceGet", err)
}

// DeviceName implements Driver.
func (n *native) DeviceName(ordinal int) (string, error) {
	dev, err := n.device(ordinal)
	if err != nil {
		return "", err
	}
	name, err := dev.Name()
	return name, n.check("cuDeviceGetName", err)
}

// DeviceAttribute implements Driver.
func (n *native) DeviceAttribute(a Attribute, ordinal int) (int, error) {
	dev, err := n.device(ordinal)
	if err != nil {
		return 0, err
	}
	v, err := dev.Attribute(cu.DeviceAttribute(a))
	return v, n.check("cuDeviceGetAttribute", err)
}

// DeviceMemory implements Driver.
func (n *native) DeviceMemory(ordinal int) (int64, error) {
	dev, err := n.device(ordinal)
	if err != nil {
		return 0, err
	}
	total, err := dev.TotalMem()
	return total, n.check("cuDeviceTotalMem", err)
}

// RetainPrimary implements Driver.
func (n *native) RetainPrimary(ordinal int) (Context, error) {
	dev, err := n.device(ordinal)
	if err != nil {
		return 0, err
	}
	c, err := dev.RetainPrimaryCtx()
	if err := n.check("cuDevicePrimaryCtxRetain", err); err != nil {
		return 0, err
	}
	return Context(n.contexts.add(c)), nil
}

// ReleasePrimary implements Driver.
func (n *native) ReleasePrimary(ordinal int) error {
	dev, err := n.device(ordinal)
	if err != nil {
		return err
	}
	return n.check("cuDevicePrimaryCtxRelease", dev.ReleasePrimaryCtx())
}

// ResetPrimary implements Driver.
func (n *native) ResetPrimary(ordinal int) error {
	dev, err := n.device(ordinal)
	if err != nil {
		return err
	}
	return n.check("cuDevicePrimaryCtxReset", dev.ResetPrimaryCtx())
}

// SetCurrent implements Driver.
func (n *native) SetCurrent(c Context) error {
	return n.check("cuCtxSetCurrent", cu.SetCurrentContext(n.contexts.of[uint64(c)]))
}

// MemInfo implements Driver.
func (n *native) MemInfo() (free, total int64, err error) {
	free, total, err = cu.MemInfo()
	return free, total, n.check("cuMemGetInfo", err)
}

// MemAlloc implements Driver.
func (n *native) MemAlloc(size int64) (Address, error) {
	p, err := cu.MemAlloc(size)
	return Address(p), n.check("cuMemAlloc", err)
}

// MemFree implements Driver.
func (n *native) MemFree(a Address) error {
	return n.check("cuMemFree", cu.MemFree(cu.DevicePtr(a)))
}

// stream is a stream as our own calls take it.
func (n *native) stream(s Stream) C.CUstream {
	return C.CUstream(unsafe.Pointer(n.streams.of[uint64(s)].C()))
}

// MemAllocAsync implements Driver.
func (n *native) MemAllocAsync(size int64, s Stream) (Address, error) {
	var p C.CUdeviceptr
	err := n.own("cuMemAllocAsync", C.cuMemAllocAsync(&p, C.size_t(size), n.stream(s)))
	return Address(p), err
}

// MemFreeAsync implements Driver.
func (n *native) MemFreeAsync(a Address, s Stream) error {
	return n.own("cuMemFreeAsync", C.cuMemFreeAsync(C.CUdeviceptr(a), n.stream(s)))
}

// HostAlloc implements Driver.
func (n *native) HostAlloc(size int) ([]byte, error) {
	var p unsafe.Pointer
	if err := n.own("cuMemHostAlloc", C.cuMemHostAlloc(&p, C.size_t(size), 0)); err != nil {
		return nil, err
	}
	return unsafe.Slice((*byte)(p), size), nil
}

// HostFree implements Driver.
func (n *native) HostFree(b []byte) error {
	return n.check("cuMemFreeHost", cu.MemFreeHost(unsafe.Pointer(unsafe.SliceData(b))))
}

// CopyToDevice implements Driver.
func (n *native) CopyToDevice(dst Address, pitch int64, src []byte, width int64, s Stream) error {
	host := unsafe.Pointer(unsafe.SliceData(src))
	if width == int64(len(src)) {
		return n.check("cuMemcpyHtoDAsync", cu.MemcpyHtoDAsync(cu.DevicePtr(dst), host, width, n.streams.of[uint64(s)]))
	}
	copy2d := C.CUDA_MEMCPY2D{
		srcMemoryType: C.CU_MEMORYTYPE_HOST, srcHost: host, srcPitch: C.size_t(width),
		dstMemoryType: C.CU_MEMORYTYPE_DEVICE, dstDevice: C.CUdeviceptr(dst), dstPitch: C.size_t(pitch),
		WidthInBytes: C.size_t(width), Height: C.size_t(int64(len(src)) / width),
	}
	return n.own("cuMemcpy2DAsync", C.cuMemcpy2DAsync(&copy2d, n.stream(s)))
}

// CopyToHost implements Driver.
func (n *native) CopyToHost(dst []byte, width int64, src Address, pitch int64, s Stream) error {
	host := unsafe.Pointer(unsafe.SliceData(dst))
	if width == int64(len(dst)) {
		return n.check("cuMemcpyDtoHAsync", cu.MemcpyDtoHAsync(host, cu.DevicePtr(src), width, n.streams.of[uint64(s)]))
	}
	copy2d := C.CUDA_MEMCPY2D{
		srcMemoryType: C.CU_MEMORYTYPE_DEVICE, srcDevice: C.CUdeviceptr(src), srcPitch: C.size_t(pitch),
		dstMemoryType: C.CU_MEMORYTYPE_HOST, dstHost: host, dstPitch: C.size_t(width),
		WidthInBytes: C.size_t(width), Height: C.size_t(int64(len(dst)) / width),
	}
	return n.own("cuMemcpy2DAsync", C.cuMemcpy2DAsync(&copy2d, n.stream(s)))
}

// Memset implements Driver.
func (n *native) Memset(dst Address, value byte, size int64, s Stream) error {
	return n.check("cuMemsetD8Async", cu.MemsetD8Async(cu.DevicePtr(dst), value, size, n.streams.of[uint64(s)]))
}

// logSize is the room for what the compiler of PTX says.
const logSize = 8 << 10

// LoadModule implements Driver.
func (n *native) LoadModule(image string) (Module, string, error) {
	// The buffer is C's, as the driver gets its address inside another array.
	log := unsafe.Slice((*byte)(C.calloc(1, logSize)), logSize)
	defer C.free(unsafe.Pointer(unsafe.SliceData(log)))
	m, err := cu.LoadDataEx(image, &cu.JITErrorLogBuffer{Buffer: log})
	text := C.GoString((*C.char)(unsafe.Pointer(unsafe.SliceData(log[:logSize-1]))))
	if err := n.check("cuModuleLoadDataEx", err); err != nil {
		return 0, text, err
	}
	return Module(n.modules.add(m)), text, nil
}

// UnloadModule implements Driver.
func (n *native) UnloadModule(m Module) error {
	return n.check("cuModuleUnload", n.modules.take(uint64(m)).Unload())
}

// Function implements Driver.
func (n *native) Function(m Module, name string) (Function, error) {
	f, err := n.modules.of[uint64(m)].Function(name)
	if err := n.check("cuModuleGetFunction", err); err != nil {
		return 0, err
	}
	return Function(n.functions.add(f)), nil
}

// StaticShared implements Driver.
func (n *native) StaticShared(f Function) (int, error) {
	v, err := n.functions.of[uint64(f)].Attribute(cu.FunctionAttribute(C.CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES))
	return v, n.check("cuFuncGetAttribute", err)
}

// SetMaxDynamicShared implements Driver.
func (n *native) SetMaxDynamicShared(f Function, bytes int) error {
	// cu.Function is a struct of the driver's handle alone, which it does not show.
	fn := n.functions.of[uint64(f)]
	var _ [unsafe.Sizeof(fn) - unsafe.Sizeof(C.CUfunction(nil))]struct{}
	handle := *(*C.CUfunction)(unsafe.Pointer(&fn))
	return n.own("cuFuncSetAttribute", C.cuFuncSetAttribute(handle, C.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, C.int(bytes)))
}

// Launch implements Driver.
func (n *native) Launch(f Function, grid, block [3]int, shared int, s Stream, args []uint64) error {
	n.params = n.params[:0]
	for i := range args {
		n.params = append(n.params, unsafe.Pointer(&args[i]))
	}
	fn, stream := n.functions.of[uint64(f)], n.streams.of[uint64(s)]
	return n.check("cuLaunchKernel", fn.Launch(grid[0], grid[1], grid[2], block[0], block[1], block[2], shared, stream, n.params))
}

// StreamCreate implements Driver.
func (n *native) StreamCreate() (Stream, error) {
	s, err := cu.MakeStream(cu.NonBlocking)
	if err := n.check("cuStreamCreate", err); err != nil {
		return 0, err
	}
	return Stream(n.streams.add(s)), nil
}

// StreamDestroy implements Driver.
func (n *native) StreamDestroy(s Stream) error {
	stream := n.streams.take(uint64(s))
	return n.check("cuStreamDestroy", stream.Destroy())
}

// StreamSynchronize implements Driver.
func (n *native) StreamSynchronize(s Stream) error {
	return n.check("cuStreamSynchronize", n.streams.of[uint64(s)].Synchronize())
}

// EventCreate implements Driver.
func (n *native) EventCreate() (Event, error) {
	e, err := cu.MakeEvent(cu.DisableTiming)
	if err := n.check("cuEventCreate", err); err != nil {
		return 0, err
	}
	return Event(n.events.add(e)), nil
}

// EventDestroy implements Driver.
func (n *native) EventDestroy(e Event) error {
	event := n.events.take(uint64(e))
	return n.check("cuEventDestroy", cu.DestroyEvent(&event))
}

// EventRecord implements Driver.
func (n *native) EventRecord(e Event, s Stream) error {
	return n.check("cuEventRecord", n.events.of[uint64(e)].Record(n.streams.of[uint64(s)]))
}

// EventSynchronize implements Driver.
func (n *native) EventSynchronize(e Event) error {
	return n.check("cuEventSynchronize", n.events.of[uint64(e)].Synchronize())
}

// Calls implements Driver. Above an emulator they are what arrived there.
func (n *native) Calls() map[string]int64 {
	if n.gpu != nil {
		return n.gpu.emulator.Calls()
	}
	return n.counts.all()
}
