package weights

// Faults in mapped files turned into errors.

import (
	goruntime "runtime"
	"runtime/debug"
	"unsafe"
)

// guard calls fn. A memory fault in one of the mapped sources, which is what
// reading past the end of a file that was cut short is, becomes an *Error;
// every other panic goes on.
func guard(sources []*source, fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		if s := faulted(sources, r); s != nil {
			err = s.cut()
			return
		}
		panic(r)
	}()
	return fn()
}

// faulted finds the mapped source in which a fault happened.
func faulted(sources []*source, r any) *source {
	fault, ok := r.(interface {
		goruntime.Error
		Addr() uintptr
	})
	if !ok {
		return nil
	}
	for _, s := range sources {
		if !s.mapped {
			continue
		}
		begin := uintptr(unsafe.Pointer(unsafe.SliceData(s.whole)))
		if fault.Addr()-begin < uintptr(len(s.whole)) { // an address before begin wraps around
			return s
		}
	}
	return nil
}
