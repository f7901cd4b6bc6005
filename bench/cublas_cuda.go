//go:build cuda

package main

// cuBLAS, where it is installed: loaded with dlopen, so that nothing is linked. It runs in the primary context of the device, on a
// thread of its own, over the operands that godwit's kernel has just read.

/*
#cgo LDFLAGS: -ldl
#include <dlfcn.h>
#include <stdlib.h>

typedef int (*create_fn)(void **);
typedef int (*destroy_fn)(void *);
typedef int (*sgemm_fn)(void *, int, int, int, int, int, const float *, const float *, int, const float *, int, const float *, float *, int);
typedef int (*sync_fn)(void);

static void *load(const char *name) { return dlopen(name, RTLD_NOW | RTLD_LOCAL); }

static int create(void *fn, void **handle) { return ((create_fn)fn)(handle); }
static int destroy(void *fn, void *handle) { return ((destroy_fn)fn)(handle); }
static int wait_all(void *fn) { return ((sync_fn)fn)(); }

// out [m, n] = x [m, k] · w [n, k]ᵀ in rows, which is wᵀ·x in cuBLAS's columns.
static int sgemm(void *fn, void *handle, int m, int n, int k, unsigned long long x, int ldx, unsigned long long w, int ldw, unsigned long long out, int ldo) {
	const float one = 1, zero = 0;
	return ((sgemm_fn)fn)(handle, 1, 0, n, m, k, &one, (const float *)w, ldw, (const float *)x, ldx, &zero, (float *)out, ldo);
}
*/
import "C"

import (
	"errors"
	"fmt"
	goruntime "runtime"
	"unsafe"

	"github.com/godwit-ml/godwit/runtime"
)

// cublas is a handle and the functions that are used.
type cublas struct {
	handle               unsafe.Pointer
	sgemm, destroy, sync unsafe.Pointer
	work                 chan func()
}

// openCublas loads cuBLAS 12 or 13; the emulated device has none.
func openCublas(device string) (*cublas, error) {
	if device == "cuda:emu" {
		return nil, errors.New("the device is emulated")
	}
	if device != "cuda" && device != "cuda:0" {
		return nil, errors.New("only beside device 0")
	}
	b := &cublas{work: make(chan func())}
	go func() {
		goruntime.LockOSThread()
		for f := range b.work {
			f()
		}
	}()
	var err error
	b.do(func() { err = b.open() })
	if err != nil {
		close(b.work)
		return nil, err
	}
	return b, nil
}

func (b *cublas) do(f func()) {
	done := make(chan struct{})
	b.work <- func() { f(); close(done) }
	<-done
}

func (b *cublas) open() error {
	var lib unsafe.Pointer
	for _, name := range []string{"libcublas.so.13", "libcublas.so.12", "libcublas.so"} {
		c := C.CString(name)
		lib = C.load(c)
		C.free(unsafe.Pointer(c))
		if lib != nil {
			break
		}
	}
	if lib == nil {
		return errors.New("libcublas is not installed")
	}
	name := C.CString("libcuda.so.1")
	driver := C.load(name)
	C.free(unsafe.Pointer(name))
	if driver == nil {
		return errors.New("libcuda.so.1 is not installed")
	}
	symbol := func(lib unsafe.Pointer, name string) unsafe.Pointer {
		c := C.CString(name)
		defer C.free(unsafe.Pointer(c))
		return C.dlsym(lib, c)
	}
	create := symbol(lib, "cublasCreate_v2")
	b.sgemm, b.destroy, b.sync = symbol(lib, "cublasSgemm_v2"), symbol(lib, "cublasDestroy_v2"), symbol(driver, "cuCtxSynchronize")
	if create == nil || b.sgemm == nil || b.destroy == nil || b.sync == nil {
		return errors.New("libcublas or libcuda lacks a function")
	}
	if status := C.create(create, &b.handle); status != 0 {
		return fmt.Errorf("cublasCreate: status %d", int(status))
	}
	return nil
}

// product runs the product n times and waits for it.
func (b *cublas) product(o *runtime.MatMul, n int) (err error) {
	addr := func(t runtime.Tensor) C.ulonglong { return C.ulonglong(t.Mem.Addr + uint64(t.Offset)) }
	b.do(func() {
		for range n {
			status := C.sgemm(b.sgemm, b.handle, C.int(o.X.Rows), C.int(o.W.Rows), C.int(o.W.Cols), addr(o.X), C.int(o.X.Stride), addr(o.W), C.int(o.W.Stride), addr(o.Out), C.int(o.Out.Stride))
			if status != 0 {
				err = fmt.Errorf("cublasSgemm: status %d", int(status))
				return
			}
		}
		if status := C.wait_all(b.sync); status != 0 {
			err = fmt.Errorf("cuCtxSynchronize: status %d", int(status))
		}
	})
	return err
}

func (b *cublas) close() {
	b.do(func() { C.destroy(b.destroy, b.handle) })
	close(b.work)
}
