// Package cuda is the CUDA device: it runs operations with the kernels of
// package kernels, through a Driver. There are three:
//
//	            godwit's engine, one goroutine
//	                      │  Alloc, Load, Upload, Run, Sync …
//	                   Device                     which kernel, memory pool, staging
//	                      │  queue of commands
//	                   worker                     one goroutine locked to its thread
//	                      │  Driver
//	     ┌────────────────┼───────────────────┐
//	  emulator         native              native
//	     │                │ gorgonia.org/cu   │ gorgonia.org/cu
//	     │                │ table (shim.c)    │ table (shim.c)
//	     │             emulator          libcuda.so.1
//	     │                │                   │
//	 package ptx      package ptx            GPU
//
//	NewPTX: "ptx"    NewEmu: "cuda:emu"   NewCUDA: "cuda:0"
//
// The first is in every build. The others need the build tag cuda, on linux with
// cgo, and no CUDA toolkit:
//
//	CGO_CFLAGS="-I$(go list -tags cuda -f '{{.Dir}}' github.com/godwit-ml/godwit/cuda)" go build -tags cuda ./...
//
// as gorgonia.org/cu includes cuda.h, of which this folder has one of its own.
// The program that comes out starts on every machine: it is linked against no
// driver, and looks for libcuda.so.1 when NewCUDA is called.
//
// # Order and errors
//
// A device has one stream. Run chooses a kernel, puts its launch in a queue and
// returns; the worker launches it; the GPU runs it some time later. So an error
// of a launch, of a copy or of a kernel itself is reported by the next Sync, and
// whatever was started after it in the same batch is skipped. Sync forgets the
// error: the next batch begins anew.
//
// A kernel that faults ends the context, and with it all memory of the device:
// the error and all later ones are ErrLost. Close the device and open another.
// A driver says that some kernel faulted, not which: the error names all that
// were started since the last Sync. With Config.Blocking it is the one. The
// emulated devices always know it, and the line.
//
// # Memory
//
// Freed memory is kept by size and used again, and goes back to the driver when
// it has no more to give. On the "ptx" device each allocation has the size that
// was asked for and edges of its own, so that an access beyond them is a fault.
//
// # Weights
//
// F32 stays as it is, and F16 where products and tables read it; all other types
// are decoded to F32 on the way, in pieces, through the staging buffers.
//
// # Which kernel
//
// The first of the list that fits the operation and is not out. A kernel is out
// if its image does not load, as one for a later architecture, if it needs more
// shared memory than the GPU has, if no interpreter has proven it, or if it
// failed the self-test, which runs on the first use of a GPU in a process:
// every kernel computes a few small rows of devicetest, which are compared with
// their float64 oracles. Device.Kernels says which are out, and why. What no
// kernel takes is answered with runtime.ErrUnsupported, and the stream runs it
// on the CPU.
package cuda
