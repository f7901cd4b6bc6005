//go:build cuda && cgo && linux && (amd64 || arm64)

package cuda

// The emulator beneath gorgonia.org/cu: the functions of C that the table of
// shim.c is filled with, so that the code that drives a real GPU runs where
// there is none.

// #include "shim.h"
import "C"

import (
	"sync"
	"sync/atomic"
	"unsafe"
)

// NewEmu opens a device that is driven as a real GPU is, through
// gorgonia.org/cu, but whose driver is an emulator. Several may be open at the
// same time, each with a GPU of its own.
func NewEmu(cfg Config) (*Device, error) {
	if err := binding.take(bindEmulator); err != nil {
		return nil, err
	}
	g := &emulated{emulator: newEmulator(cfg, !cfg.noPools)}
	g.driver = g.emulator
	if cfg.Faults != nil {
		g.driver = cfg.Faults.wrap(g.emulator)
		cfg.Faults = nil // they come from beneath
	}
	slot := uintptr(lastSlot.Add(1))
	slots.Store(slot, g)
	stop := func() {
		slots.Delete(slot)
		binding.give()
	}
	d, err := New(&native{gpu: g, slot: slot}, "cuda:emu", 0, cfg)
	if err != nil {
		stop()
		return nil, err
	}
	d.onStop = stop
	return d, nil
}

// emulated is one GPU. Its calls come from the thread of one worker.
type emulated struct {
	emulator *emulator
	driver   Driver // the emulator, or the faults before it
}

// slots are the GPUs by the number that their worker's thread carries.
var (
	slots    sync.Map // of uintptr → *emulated
	lastSlot atomic.Uintptr
)

// thread is the GPU of the calling thread.
func thread() *emulated {
	g, ok := slots.Load(uintptr(C.godwit_emulator()))
	if !ok {
		panic("cuda: a call of the emulated driver from a thread without a device")
	}
	return g.(*emulated)
}

func result(err error) C.CUresult {
	if err == nil {
		return C.CUDA_SUCCESS
	}
	return C.CUresult(codeOf(err))
}

// put stores a number where C wants a handle.
func put[H ~uint64](p unsafe.Pointer, h H) { *(*uint64)(p) = uint64(h) }

//export godwit_emu_cuInit
func godwit_emu_cuInit(C.uint) C.CUresult { return result(thread().driver.Init()) }

//export godwit_emu_cuDeviceGetCount
func godwit_emu_cuDeviceGetCount(count *C.int) C.CUresult {
	n, err := thread().driver.DeviceCount()
	*count = C.int(n)
	return result(err)
}

//export godwit_emu_cuDeviceGet
func godwit_emu_cuDeviceGet(dev *C.CUdevice, ordinal C.int) C.CUresult {
	thread().emulator.counts.add("cuDeviceGet")
	*dev = C.CUdevice(ordinal)
	return C.CUDA_SUCCESS
}

//export godwit_emu_cuDeviceGetName
func godwit_emu_cuDeviceGetName(name *C.char, size C.int, dev C.CUdevice) C.CUresult {
	text, err := thread().driver.DeviceName(int(dev))
	if err == nil && size > 0 {
		buf := unsafe.Slice((*byte)(unsafe.Pointer(name)), int(size))
		buf[copy(buf[:size-1], text)] = 0
	}
	return result(err)
}

//export godwit_emu_cuDeviceTotalMem
func godwit_emu_cuDeviceTotalMem(bytes *C.size_t, dev C.CUdevice) C.CUresult {
	n, err := thread().driver.DeviceMemory(int(dev))
	*bytes = C.size_t(n)
	return result(err)
}

//export godwit_emu_cuDeviceGetAttribute
func godwit_emu_cuDeviceGetAttribute(value *C.int, a C.CUdevice_attribute, dev C.CUdevice) C.CUresult {
	v, err := thread().driver.DeviceAttribute(Attribute(a), int(dev))
	*value = C.int(v)
	return result(err)
}

//export godwit_emu_cuDevicePrimaryCtxRetain
func godwit_emu_cuDevicePrimaryCtxRetain(context unsafe.Pointer, dev C.CUdevice) C.CUresult {
	c, err := thread().driver.RetainPrimary(int(dev))
	put(context, c)
	return result(err)
}

//export godwit_emu_cuDevicePrimaryCtxRelease
func godwit_emu_cuDevicePrimaryCtxRelease(dev C.CUdevice) C.CUresult {
	return result(thread().driver.ReleasePrimary(int(dev)))
}

//export godwit_emu_cuDevicePrimaryCtxReset
func godwit_emu_cuDevicePrimaryCtxReset(dev C.CUdevice) C.CUresult {
	return result(thread().driver.ResetPrimary(int(dev)))
}

//export godwit_emu_cuCtxSetCurrent
func godwit_emu_cuCtxSetCurrent(context C.uintptr_t) C.CUresult {
	return result(thread().driver.SetCurrent(Context(context)))
}

//export godwit_emu_cuMemGetInfo
func godwit_emu_cuMemGetInfo(free, total *C.size_t) C.CUresult {
	f, t, err := thread().driver.MemInfo()
	*free, *total = C.size_t(f), C.size_t(t)
	return result(err)
}

//export godwit_emu_cuMemAlloc
func godwit_emu_cuMemAlloc(p *C.CUdeviceptr, size C.size_t) C.CUresult {
	a, err := thread().driver.MemAlloc(int64(size))
	*p = C.CUdeviceptr(a)
	return result(err)
}

//export godwit_emu_cuMemAllocAsync
func godwit_emu_cuMemAllocAsync(p *C.CUdeviceptr, size C.size_t, s C.uintptr_t) C.CUresult {
	a, err := thread().driver.MemAllocAsync(int64(size), Stream(s))
	*p = C.CUdeviceptr(a)
	return result(err)
}

//export godwit_emu_cuMemFree
func godwit_emu_cuMemFree(p C.CUdeviceptr) C.CUresult {
	return result(thread().driver.MemFree(Address(p)))
}

//export godwit_emu_cuMemFreeAsync
func godwit_emu_cuMemFreeAsync(p C.CUdeviceptr, s C.uintptr_t) C.CUresult {
	return result(thread().driver.MemFreeAsync(Address(p), Stream(s)))
}

//export godwit_emu_cuMemHostAlloc
func godwit_emu_cuMemHostAlloc(p *unsafe.Pointer, size C.size_t, _ C.uint) C.CUresult {
	if _, err := thread().driver.HostAlloc(0); err != nil { // counted there, made here
		return result(err)
	}
	const page = 4096
	if *p = C.aligned_alloc(page, (size+page-1)/page*page); *p == nil {
		return C.CUDA_ERROR_OUT_OF_MEMORY
	}
	return C.CUDA_SUCCESS
}

//export godwit_emu_cuMemFreeHost
func godwit_emu_cuMemFreeHost(p unsafe.Pointer) C.CUresult {
	err := thread().driver.HostFree(nil) // waits for copies that use it
	C.free(p)
	return result(err)
}

//export godwit_emu_cuMemcpyHtoDAsync
func godwit_emu_cuMemcpyHtoDAsync(dst C.CUdeviceptr, src unsafe.Pointer, n C.size_t, s C.uintptr_t) C.CUresult {
	host := unsafe.Slice((*byte)(src), int(n))
	return result(thread().driver.CopyToDevice(Address(dst), int64(n), host, int64(n), Stream(s)))
}

//export godwit_emu_cuMemcpyDtoHAsync
func godwit_emu_cuMemcpyDtoHAsync(dst unsafe.Pointer, src C.CUdeviceptr, n C.size_t, s C.uintptr_t) C.CUresult {
	host := unsafe.Slice((*byte)(dst), int(n))
	return result(thread().driver.CopyToHost(host, int64(n), Address(src), int64(n), Stream(s)))
}

//export godwit_emu_cuMemcpy2DAsync
func godwit_emu_cuMemcpy2DAsync(c *C.CUDA_MEMCPY2D, s C.uintptr_t) C.CUresult {
	width, n := int64(c.WidthInBytes), int(c.WidthInBytes*c.Height)
	switch {
	case c.srcMemoryType == C.CU_MEMORYTYPE_HOST && c.dstMemoryType == C.CU_MEMORYTYPE_DEVICE && c.srcPitch == c.WidthInBytes:
		host := unsafe.Slice((*byte)(c.srcHost), n)
		return result(thread().driver.CopyToDevice(Address(c.dstDevice), int64(c.dstPitch), host, width, Stream(s)))
	case c.srcMemoryType == C.CU_MEMORYTYPE_DEVICE && c.dstMemoryType == C.CU_MEMORYTYPE_HOST && c.dstPitch == c.WidthInBytes:
		host := unsafe.Slice((*byte)(c.dstHost), n)
		return result(thread().driver.CopyToHost(host, width, Address(c.srcDevice), int64(c.srcPitch), Stream(s)))
	}
	return C.CUDA_ERROR_NOT_SUPPORTED
}

//export godwit_emu_cuMemsetD8Async
func godwit_emu_cuMemsetD8Async(dst C.CUdeviceptr, value C.uchar, n C.size_t, s C.uintptr_t) C.CUresult {
	return result(thread().driver.Memset(Address(dst), byte(value), int64(n), Stream(s)))
}

//export godwit_emu_cuModuleLoadDataEx
func godwit_emu_cuModuleLoadDataEx(module, image unsafe.Pointer, n C.uint, options *C.CUjit_option, values *unsafe.Pointer) C.CUresult {
	m, log, err := thread().driver.LoadModule(C.GoString((*C.char)(image)))
	put(module, m)
	// The values of options are numbers or addresses, in slots of eight bytes.
	keys, slots := unsafe.Slice(options, int(n)), unsafe.Slice((*uintptr)(unsafe.Pointer(values)), int(n))
	size, buffer := uintptr(0), unsafe.Pointer(nil)
	for i, key := range keys {
		switch key {
		case C.CU_JIT_ERROR_LOG_BUFFER:
			buffer = *(*unsafe.Pointer)(unsafe.Pointer(&slots[i]))
		case C.CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES:
			size = slots[i]
		}
	}
	if buffer != nil && size > 0 {
		text := unsafe.Slice((*byte)(buffer), int(size))
		text[copy(text[:size-1], log)] = 0
	}
	return result(err)
}

//export godwit_emu_cuModuleUnload
func godwit_emu_cuModuleUnload(m C.uintptr_t) C.CUresult {
	return result(thread().driver.UnloadModule(Module(m)))
}

//export godwit_emu_cuModuleGetFunction
func godwit_emu_cuModuleGetFunction(f unsafe.Pointer, m C.uintptr_t, name *C.char) C.CUresult {
	h, err := thread().driver.Function(Module(m), C.GoString(name))
	put(f, h)
	return result(err)
}

//export godwit_emu_cuFuncGetAttribute
func godwit_emu_cuFuncGetAttribute(value *C.int, a C.CUfunction_attribute, f C.uintptr_t) C.CUresult {
	if a != C.CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES {
		return C.CUDA_ERROR_NOT_SUPPORTED
	}
	v, err := thread().driver.StaticShared(Function(f))
	*value = C.int(v)
	return result(err)
}

//export godwit_emu_cuFuncSetAttribute
func godwit_emu_cuFuncSetAttribute(f C.uintptr_t, a C.CUfunction_attribute, value C.int) C.CUresult {
	if a != C.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES {
		return C.CUDA_ERROR_NOT_SUPPORTED
	}
	return result(thread().driver.SetMaxDynamicShared(Function(f), int(value)))
}

//export godwit_emu_cuLaunchKernel
func godwit_emu_cuLaunchKernel(f C.uintptr_t, gx, gy, gz, bx, by, bz, shared C.uint, s C.uintptr_t, params *unsafe.Pointer, _ unsafe.Pointer) C.CUresult {
	g := thread()
	fn := g.emulator.functions[Function(f)]
	if fn == nil {
		return C.CUDA_ERROR_INVALID_HANDLE
	}
	args := make([]uint64, len(fn.kernel.Params))
	for i, p := range unsafe.Slice(params, len(args)) {
		args[i] = *(*uint64)(p)
	}
	grid, block := [3]int{int(gx), int(gy), int(gz)}, [3]int{int(bx), int(by), int(bz)}
	return result(g.driver.Launch(Function(f), grid, block, int(shared), Stream(s), args))
}

//export godwit_emu_cuStreamCreate
func godwit_emu_cuStreamCreate(s unsafe.Pointer, _ C.uint) C.CUresult {
	h, err := thread().driver.StreamCreate()
	put(s, h)
	return result(err)
}

//export godwit_emu_cuStreamDestroy
func godwit_emu_cuStreamDestroy(s C.uintptr_t) C.CUresult {
	return result(thread().driver.StreamDestroy(Stream(s)))
}

//export godwit_emu_cuStreamSynchronize
func godwit_emu_cuStreamSynchronize(s C.uintptr_t) C.CUresult {
	return result(thread().driver.StreamSynchronize(Stream(s)))
}

//export godwit_emu_cuEventCreate
func godwit_emu_cuEventCreate(e unsafe.Pointer, _ C.uint) C.CUresult {
	h, err := thread().driver.EventCreate()
	put(e, h)
	return result(err)
}

//export godwit_emu_cuEventDestroy
func godwit_emu_cuEventDestroy(e C.uintptr_t) C.CUresult {
	return result(thread().driver.EventDestroy(Event(e)))
}

//export godwit_emu_cuEventRecord
func godwit_emu_cuEventRecord(e, s C.uintptr_t) C.CUresult {
	return result(thread().driver.EventRecord(Event(e), Stream(s)))
}

//export godwit_emu_cuEventSynchronize
func godwit_emu_cuEventSynchronize(e C.uintptr_t) C.CUresult {
	return result(thread().driver.EventSynchronize(Event(e)))
}
