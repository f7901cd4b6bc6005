package cuda

// The worker: the goroutine that owns context and driver. Commands reach it
// through a queue of reused slots, so that sending one allocates nothing and the
// caller prepares the next launch while the driver takes the last.

import (
	"errors"
	goruntime "runtime"
	"slices"
	"strings"

	"github.com/godwit-ml/godwit/kernels"
)

// queueLength is how many commands may wait: a caller that is further ahead
// waits too.
const queueLength = 256

// kind is what a command asks for.
type kind uint8

const (
	doCall   kind = iota // run call and reply
	doLaunch             // launch kernel
	doUp                 // copy host to addr
	doDown               // copy addr to host
	doMemset             // zero n bytes at addr
	doRecord             // record event
	doWait               // wait for event and reply
	doSync               // wait for all and reply with the first error
)

// command is one slot of the queue.
type command struct {
	kind   kind
	call   func(Driver) error
	kernel *entry
	launch kernels.Launch
	addr   Address
	host   []byte
	width  int64 // bytes of a row
	pitch  int64 // bytes from row to row on the device
	n      int64
	event  Event
	reply  chan error
}

// set takes the fields of c, but keeps the slot's own room.
func (s *command) set(c command) {
	c.launch, c.reply = s.launch, s.reply
	*s = c
}

// post sends a command and does not wait; what fails is reported by Sync.
func (d *Device) post(c command) {
	slot := <-d.idle
	slot.set(c)
	d.queue <- slot
}

// wait sends a command and waits for its reply.
func (d *Device) wait(c command) error {
	slot := <-d.idle
	slot.set(c)
	d.queue <- slot
	err := <-slot.reply
	slot.call = nil
	d.idle <- slot
	return err
}

// call runs f on the worker and waits for it. It is not for the steady state.
func (d *Device) call(f func(Driver) error) error { return d.wait(command{kind: doCall, call: f}) }

// worker is the state of the goroutine.
type worker struct {
	dev   *Device
	drv   Driver
	err   error    // of a command nobody waited for: the first since the last Sync
	since []*entry // kernels launched since the last Sync, each once
}

func (d *Device) work() {
	// The thread is not unlocked: it ends with the goroutine, and takes along
	// that the context was current on it.
	goruntime.LockOSThread()
	defer close(d.ended)
	w := &worker{dev: d, drv: d.driver}
	for c := range d.queue {
		switch c.kind {
		case doCall:
			c.reply <- w.watch(c.call(w.drv), "")
		case doWait:
			c.reply <- w.watch(w.drv.EventSynchronize(c.event), "")
		case doSync:
			c.reply <- w.sync()
		default:
			w.start(c)
			d.idle <- c
		}
	}
}

// start runs a command nobody waits for. After an error the work of the batch
// is skipped; events are not, as they guard what was started before.
func (w *worker) start(c *command) {
	if w.err != nil && c.kind != doRecord || w.dev.lost.Load() != nil {
		return
	}
	var err error
	name := ""
	s := w.dev.stream
	switch c.kind {
	case doLaunch:
		name = c.kernel.kernel.Entry
		err = w.launch(c, s)
	case doUp:
		err = w.drv.CopyToDevice(c.addr, c.pitch, c.host, c.width, s)
	case doDown:
		err = w.drv.CopyToHost(c.host, c.width, c.addr, c.pitch, s)
	case doMemset:
		err = w.drv.Memset(c.addr, 0, c.n, s)
	case doRecord:
		err = w.drv.EventRecord(c.event, s)
	}
	if err = w.watch(err, name); err != nil && w.err == nil {
		w.err = err
	}
}

func (w *worker) launch(c *command, s Stream) error {
	if !slices.Contains(w.since, c.kernel) {
		w.since = append(w.since, c.kernel)
	}
	c.kernel.launches.Add(1)
	l := &c.launch
	err := w.drv.Launch(c.kernel.function, l.Grid, l.Block, l.Shared, s, l.Args)
	if err == nil && w.dev.cfg.Blocking {
		err = w.drv.StreamSynchronize(s)
	}
	return err
}

// sync waits for the stream. The error is the first since the last Sync, and is
// then forgotten: what follows is another batch.
func (w *worker) sync() error {
	if lost := w.dev.lost.Load(); lost != nil && w.err == nil {
		return lost
	}
	first := w.err
	w.err = nil
	var err error
	if w.dev.lost.Load() == nil {
		err = w.watch(w.drv.StreamSynchronize(w.dev.stream), "")
	}
	w.since = w.since[:0]
	if first != nil {
		return first
	}
	return err
}

// watch completes an error with the kernel it is of, and notes one that ends
// the context. A fault may show at any call after the launch: where neither the
// driver nor the call knows the kernel, all that were started are named.
func (w *worker) watch(err error, kernel string) error {
	if err == nil {
		return nil
	}
	var e *DriverError
	if !errors.As(err, &e) {
		return err
	}
	if e.Kernel == "" && e.Code.Sticky() && (kernel == "" || !w.dev.cfg.Blocking) {
		kernel = w.suspects()
	}
	if e.Kernel == "" {
		e.Kernel = kernel
	}
	if e.Code.Sticky() {
		w.dev.lost.CompareAndSwap(nil, &lostError{err})
	}
	return err
}

// suspects are the kernels started since the last Sync.
func (w *worker) suspects() string {
	const most = 8
	var names []string
	for i, e := range w.since {
		if i == most {
			names = append(names, "…")
			break
		}
		names = append(names, e.kernel.Entry)
	}
	return strings.Join(names, ", ")
}
