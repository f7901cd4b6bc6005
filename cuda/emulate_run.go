package cuda

// What the emulated driver does with work on its streams, and how it counts.

import (
	"context"
	"errors"
	"sync"

	"github.com/godwit-ml/godwit/ptx"
)

// task is work on a stream.
type task struct {
	kind   kind // doLaunch, doUp, doDown, doMemset, or doCall: free addr
	f      *function
	launch ptx.Launch
	addr   Address
	host   []byte
	width  int64
	pitch  int64
	n      int64
	value  byte
}

// queueMost is how much may wait on the streams.
const queueMost = 4096

// add puts work on a stream. All streams are one: that is one of the orders a
// GPU may take.
func (e *emulator) add(call string, s Stream, t task) error {
	if s != 0 && !e.streams[s] {
		return driverError(call, InvalidHandle)
	}
	e.queue = append(e.queue, t)
	if len(e.queue) >= queueMost {
		return e.finish(call)
	}
	return nil
}

// finish runs all that waits. The first fault ends the context.
func (e *emulator) finish(call string) error {
	for i := range e.queue {
		if e.fault != nil {
			break
		}
		if err := e.run(&e.queue[i]); err != nil {
			e.fault = err
		}
		e.queue[i] = task{}
	}
	e.queue = e.queue[:0]
	if e.fault != nil {
		again := *e.fault
		again.Call = call
		return &again
	}
	return nil
}

func (e *emulator) run(t *task) *DriverError {
	fail := func(code Code, cause error) *DriverError {
		var err *DriverError
		errors.As(driverError("", code), &err)
		err.Cause = cause
		return err
	}
	switch t.kind {
	case doLaunch:
		_, err := ptx.Run(context.Background(), t.f.kernel, e.mem, t.launch, e.cfg.Mode)
		if err == nil {
			return nil
		}
		failed := fail(faultCode(err), err)
		failed.Kernel = t.f.kernel.Name
		return failed
	case doMemset:
		b, err := e.mem.Bytes(uint64(t.addr), t.n)
		if err != nil {
			return fail(IllegalAddress, err)
		}
		for i := range b {
			b[i] = t.value
		}
	case doUp, doDown:
		for at, to := int64(0), t.addr; at < int64(len(t.host)); at, to = at+t.width, to+Address(t.pitch) {
			b, err := e.mem.Bytes(uint64(to), t.width)
			if err != nil {
				return fail(IllegalAddress, err)
			}
			if t.kind == doUp {
				copy(b, t.host[at:][:t.width])
			} else {
				copy(t.host[at:][:t.width], b)
			}
		}
	case doCall:
		if e.free("", t.addr) != nil {
			return fail(IllegalAddress, nil)
		}
	}
	return nil
}

// faultCode is the code a GPU would give for what stopped a kernel.
func faultCode(err error) Code {
	var f *ptx.Fault
	if !errors.As(err, &f) {
		return LaunchFailed
	}
	switch f.Kind {
	case ptx.OutOfBounds, ptx.UseAfterFree, ptx.ReadOnly:
		return IllegalAddress
	case ptx.Misaligned:
		return MisalignedAddress
	case ptx.TooManySteps:
		return LaunchTimeout
	case ptx.BadOperand:
		return IllegalInstruction
	}
	return LaunchFailed
}

// callCounts counts calls by name; any goroutine may read them.
type callCounts struct {
	mu sync.Mutex
	n  map[string]int64
}

func (c *callCounts) add(call string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]int64{}
	}
	c.n[call]++
}

func (c *callCounts) all() map[string]int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make(map[string]int64, len(c.n))
	for call, n := range c.n {
		all[call] = n
	}
	return all
}
