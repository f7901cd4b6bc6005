package cuda

// Errors of the driver: codes, names, and which of them end a context.

import (
	"errors"
	"fmt"
	"strings"

	"github.com/godwit-ml/godwit/runtime"
)

// ErrLost is wrapped by every error of a device whose context is dead, after a
// kernel that faulted or hardware that failed. Its memory is gone: close the
// device and open another.
var ErrLost = runtime.ErrLost

// Code is a CUresult.
type Code int

// The codes the device treats on their own, or that emulation and injected
// faults give.
const (
	InvalidValue         Code = 1
	OutOfMemory          Code = 2
	NotInitialized       Code = 3
	Deinitialized        Code = 4
	DeviceUnavailable    Code = 46
	NoDevice             Code = 100
	InvalidDevice        Code = 101
	InvalidImage         Code = 200
	InvalidContext       Code = 201
	NoBinary             Code = 209
	ECCUncorrectable     Code = 214
	InvalidPTX           Code = 218
	NVLinkUncorrectable  Code = 220
	UnsupportedPTX       Code = 222
	SharedObjectNotFound Code = 303
	InvalidHandle        Code = 400
	NotFound             Code = 500
	IllegalAddress       Code = 700
	LaunchOutOfResources Code = 701
	LaunchTimeout        Code = 702
	ContextDestroyed     Code = 709
	AssertFailed         Code = 710
	StackError           Code = 714
	IllegalInstruction   Code = 715
	MisalignedAddress    Code = 716
	InvalidAddressSpace  Code = 717
	InvalidPC            Code = 718
	LaunchFailed         Code = 719
	NotSupported         Code = 801
	SystemNotReady       Code = 802
	DriverMismatch       Code = 803
	Unknown              Code = 999
)

// codeTexts are the driver's name of each code, and words of ours for people.
var codeTexts = map[Code][2]string{
	InvalidValue:         {"CUDA_ERROR_INVALID_VALUE", "an argument is out of range"},
	OutOfMemory:          {"CUDA_ERROR_OUT_OF_MEMORY", "no memory is left on the device"},
	NotInitialized:       {"CUDA_ERROR_NOT_INITIALIZED", "the driver is not loaded"},
	Deinitialized:        {"CUDA_ERROR_DEINITIALIZED", "the driver is shutting down"},
	DeviceUnavailable:    {"CUDA_ERROR_DEVICE_UNAVAILABLE", "the device is busy or out of service"},
	NoDevice:             {"CUDA_ERROR_NO_DEVICE", "there is no GPU"},
	InvalidDevice:        {"CUDA_ERROR_INVALID_DEVICE", "there is no GPU of this number"},
	InvalidImage:         {"CUDA_ERROR_INVALID_IMAGE", "the image is no program for this device"},
	InvalidContext:       {"CUDA_ERROR_INVALID_CONTEXT", "no context is current"},
	NoBinary:             {"CUDA_ERROR_NO_BINARY_FOR_GPU", "the image is for another architecture"},
	ECCUncorrectable:     {"CUDA_ERROR_ECC_UNCORRECTABLE", "memory of the device failed"},
	InvalidPTX:           {"CUDA_ERROR_INVALID_PTX", "the PTX does not compile"},
	NVLinkUncorrectable:  {"CUDA_ERROR_NVLINK_UNCORRECTABLE", "an NVLink failed"},
	UnsupportedPTX:       {"CUDA_ERROR_UNSUPPORTED_PTX_VERSION", "the driver is older than the PTX"},
	SharedObjectNotFound: {"CUDA_ERROR_SHARED_OBJECT_INIT_FAILED", "the driver's library cannot be loaded"},
	InvalidHandle:        {"CUDA_ERROR_INVALID_HANDLE", "no such object, or one of a dead context"},
	NotFound:             {"CUDA_ERROR_NOT_FOUND", "no such symbol"},
	IllegalAddress:       {"CUDA_ERROR_ILLEGAL_ADDRESS", "a kernel used memory that is not allocated"},
	LaunchOutOfResources: {"CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "the launch asks for more than the device has"},
	LaunchTimeout:        {"CUDA_ERROR_LAUNCH_TIMEOUT", "a kernel ran for too long"},
	ContextDestroyed:     {"CUDA_ERROR_CONTEXT_IS_DESTROYED", "the context was destroyed"},
	AssertFailed:         {"CUDA_ERROR_ASSERT", "an assertion of a kernel failed"},
	StackError:           {"CUDA_ERROR_HARDWARE_STACK_ERROR", "the stack of a kernel is broken"},
	IllegalInstruction:   {"CUDA_ERROR_ILLEGAL_INSTRUCTION", "a kernel has an instruction the device does not know"},
	MisalignedAddress:    {"CUDA_ERROR_MISALIGNED_ADDRESS", "a kernel used an address that is not aligned"},
	InvalidAddressSpace:  {"CUDA_ERROR_INVALID_ADDRESS_SPACE", "a kernel used an address of another space"},
	InvalidPC:            {"CUDA_ERROR_INVALID_PC", "a kernel jumped outside its code"},
	LaunchFailed:         {"CUDA_ERROR_LAUNCH_FAILED", "a kernel failed"},
	NotSupported:         {"CUDA_ERROR_NOT_SUPPORTED", "the driver or device cannot do this"},
	SystemNotReady:       {"CUDA_ERROR_SYSTEM_NOT_READY", "the system's services for GPUs do not run"},
	DriverMismatch:       {"CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", "the kernel's driver and the library are of different versions"},
	Unknown:              {"CUDA_ERROR_UNKNOWN", "the driver does not say what happened"},
}

// String is the driver's name of the code.
func (c Code) String() string {
	if t, ok := codeTexts[c]; ok {
		return t[0]
	}
	return fmt.Sprintf("CUresult %d", int(c))
}

// Sticky reports whether the code ends the context: every later call gives it
// again, and the memory is lost.
func (c Code) Sticky() bool {
	switch c {
	case Deinitialized, ECCUncorrectable, NVLinkUncorrectable, IllegalAddress, LaunchTimeout,
		ContextDestroyed, AssertFailed, StackError, IllegalInstruction, MisalignedAddress, InvalidAddressSpace,
		InvalidPC, LaunchFailed, Unknown:
		return true
	}
	return false
}

// DriverError is a call of the driver that failed.
type DriverError struct {
	Call   string // "cuMemAlloc"
	Code   Code   //
	Name   string // "CUDA_ERROR_OUT_OF_MEMORY"
	Text   string // in words
	Kernel string // of a launch, or of the fault that the call reports; several, where the device cannot tell, are joined by ", "
	Log    string // of the compiler, where a module does not load
	Cause  error  // of an emulated device: the interpreter's error
}

// driverError is the error of a call, nil for code 0.
func driverError(call string, code Code) error {
	if code == 0 {
		return nil
	}
	text := codeTexts[code][1]
	if text == "" {
		text = "see the CUDA driver API"
	}
	return &DriverError{Call: call, Code: code, Name: code.String(), Text: text}
}

// Error names the call, the kernel, the code and its meaning.
func (e *DriverError) Error() string {
	var b strings.Builder
	b.WriteString("cuda: ")
	switch {
	case strings.Contains(e.Kernel, ", "):
		fmt.Fprintf(&b, "one of the kernels %s: ", e.Kernel)
	case e.Kernel != "":
		fmt.Fprintf(&b, "kernel %s: ", e.Kernel)
	}
	fmt.Fprintf(&b, "%s: %s (%d): %s", e.Call, e.Name, int(e.Code), e.Text)
	if e.Cause != nil {
		fmt.Fprintf(&b, ": %v", e.Cause)
	}
	if log := strings.TrimSpace(strings.ReplaceAll(e.Log, "\x00", "")); log != "" {
		fmt.Fprintf(&b, ": %s", log)
	}
	return b.String()
}

// Unwrap is the cause.
func (e *DriverError) Unwrap() error { return e.Cause }

// Is reports that errors that end the context are ErrLost.
func (e *DriverError) Is(target error) bool { return target == ErrLost && e.Code.Sticky() }

// codeOf is the code of an error of the driver; 0 of another.
func codeOf(err error) Code {
	var e *DriverError
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}
