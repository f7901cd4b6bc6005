package cuda

// Driver: what the device needs of the CUDA driver API, in that API's terms.

// Address is a CUdeviceptr: an address of the device. Zero is none.
type Address uint64

// Context is the driver's handle of a context. Zero is none, as of all handles.
type Context uint64

// Module is the driver's handle of a loaded image.
type Module uint64

// Function is the driver's handle of a kernel of a module.
type Function uint64

// Stream is the driver's handle of a stream.
type Stream uint64

// Event is the driver's handle of an event.
type Event uint64

// Attribute is a CUdevice_attribute, by the number of cuda.h.
type Attribute int

// The attributes the device asks for.
const (
	MaxSharedPerBlockOptin Attribute = 97  // bytes a CTA may have after cuFuncSetAttribute
	Multiprocessors        Attribute = 16  // SMs
	CapabilityMajor        Attribute = 75  // 9 of 9.0
	CapabilityMinor        Attribute = 76  // 0 of 9.0
	MemoryPools            Attribute = 115 // 1: cuMemAllocAsync works
)

// Driver is the part of the CUDA driver API that a Device uses. One goroutine,
// locked to its thread, makes all calls. An error is a *DriverError. Work on a
// stream may run at any time until the stream is synchronised, as on a GPU:
// buffers of copies stay untouched until then, and the error of a kernel that
// faults may come from any later call.
type Driver interface {
	// Init is cuInit, and whatever has to be loaded before.
	Init() error
	DeviceCount() (int, error)
	DeviceName(ordinal int) (string, error)
	DeviceAttribute(a Attribute, ordinal int) (int, error)
	// DeviceMemory is all memory of a device, bytes.
	DeviceMemory(ordinal int) (int64, error)

	// RetainPrimary makes or finds the device's primary context, ReleasePrimary
	// gives it back: the last one destroys it with all memory. ResetPrimary
	// destroys it whoever holds it, which a fault makes necessary.
	RetainPrimary(ordinal int) (Context, error)
	ReleasePrimary(ordinal int) error
	ResetPrimary(ordinal int) error
	SetCurrent(c Context) error

	MemInfo() (free, total int64, err error)
	MemAlloc(size int64) (Address, error)
	MemFree(a Address) error
	// MemAllocAsync and MemFreeAsync take effect in the order of the stream; for
	// devices with the attribute MemoryPools.
	MemAllocAsync(size int64, s Stream) (Address, error)
	MemFreeAsync(a Address, s Stream) error
	// HostAlloc gives page-locked memory outside Go's heap, which copies may use
	// while Go runs.
	HostAlloc(size int) ([]byte, error)
	HostFree(b []byte) error

	// Copies and memset are asynchronous; host memory is HostAlloc's and holds
	// rows of width bytes without gaps, which lie pitch bytes apart on the device.
	CopyToDevice(dst Address, pitch int64, src []byte, width int64, s Stream) error
	CopyToHost(dst []byte, width int64, src Address, pitch int64, s Stream) error
	Memset(dst Address, value byte, n int64, s Stream) error

	// LoadModule compiles PTX for the device of the context; log is what the
	// compiler said, also where it failed.
	LoadModule(image string) (m Module, log string, err error)
	UnloadModule(m Module) error
	Function(m Module, name string) (Function, error)
	// StaticShared is the shared memory a CTA of the function has by declaration,
	// bytes.
	StaticShared(f Function) (int, error)
	// SetMaxDynamicShared allows a function more than 48 KiB of dynamic shared
	// memory.
	SetMaxDynamicShared(f Function, bytes int) error
	// Launch starts a grid. Each argument is 8 bytes; args may be reused after
	// the call.
	Launch(f Function, grid, block [3]int, shared int, s Stream, args []uint64) error

	StreamCreate() (Stream, error)
	StreamDestroy(s Stream) error
	StreamSynchronize(s Stream) error
	EventCreate() (Event, error)
	EventDestroy(e Event) error
	EventRecord(e Event, s Stream) error
	EventSynchronize(e Event) error

	// Calls counts the calls made so far, by the driver's names, as
	// "cuLaunchKernel".
	Calls() map[string]int64
}
