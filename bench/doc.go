// Command bench times godwit's operations on a device: a module of its own, so that what it needs to compare with does not
// come with godwit.
//
//	go -C bench run . ops                                   the reference device
//	go -C bench run . ops --device ptx --short              the interpreter: that it runs, not how fast
//	CGO_CFLAGS=-I$PWD/cuda go -C bench run -tags cuda . ops --device cuda
//
// The sizes are those that the kernels declare (kernels.Kernel.Shapes); on a GPU each kernel is timed by itself.
package main
