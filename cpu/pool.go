package cpu

// The workers: tasks of one operation are numbered and taken in order by
// whoever is free. A fault in a mapped file ends the operation, not the process.

import (
	"errors"
	"fmt"
	goruntime "runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/godwit-ml/godwit/cpu/simd"
)

// ErrFault is what an operation returns when the memory of a weight can no
// longer be read: the file it is mapped from was cut short, or its disk failed.
var ErrFault = errors.New("cpu: memory of a weight cannot be read any more; was its file changed while in use?")

// job is an operation cut into independent tasks.
type job interface {
	task(w *worker, i int)
}

// worker is the scratch memory of one worker, grown as needed and kept.
type worker struct {
	tile    []float32 // results of a product
	up      []float32 // of the second part of a gated one
	formed  []byte    // rows of activations in the form of a multiplier
	packed  []byte    // rows of a weight in another type
	rows    []float32 // gathered rows of X
	weights []float32 // decoded rows of W, of a table
	scores  []float32
	keys    []float32
	values  []float32
	exps    []float64
	heap    []candidate

	rowsOf   simd.Rows
	normRows simd.NormRows
	ids      []int32
	peaks    []candidate

	attending attending
}

// pool runs jobs on a fixed number of workers, the caller being the first.
//
// The others wait for a job by reading a number again and again, which costs a
// fork and join of some hundred nanoseconds, and go to sleep when none has come
// for a while. A helper that holds the others up, because something else runs on
// its processor, is left out for a time that doubles as long as it does.
type pool struct {
	workers []*worker
	helpers []*helper // of the workers after the first
	turn    uint32    // number of the present job

	// The present job.
	job     job
	tasks   int64
	failure atomic.Pointer[failure]
	_       [64]byte
	next    atomic.Int64
	_       [64]byte
	busy    atomic.Int32 // helpers that have not ended it
	_       [64]byte
}

// helper is a worker with a goroutine of its own.
type helper struct {
	turn   atomic.Uint32 // the job it is to run
	asleep atomic.Bool
	wake   chan struct{}
	_      [64]byte
	done   atomic.Uint32 // the job it ended last
	_      [64]byte

	// Of the caller's side.
	until   time.Time     // left out until then
	pause   time.Duration // how long it was left out last
	steady  time.Time     // when it came back, or held up others last
	invited bool          // takes part in the present job
}

// failure is a panic in a task.
type failure struct {
	value any
	stack []byte
}

const (
	// workPerThread is the work for which waking one more worker pays, in
	// elementary steps of roughly a nanosecond on one thread.
	workPerThread = 2_000

	spins   = 1 << 10                // reads between two looks at the clock, some hundred nanoseconds
	patient = 200 * time.Microsecond // how long a helper waits awake
	late    = time.Millisecond       // a helper that takes so much longer than the caller is held up by something else
	leave   = 20 * time.Millisecond  // how long it is left out first
	longest = time.Second            // and at most
)

func (p *pool) start(threads int) {
	p.workers = make([]*worker, threads)
	p.helpers = make([]*helper, threads-1)
	for i := range p.workers {
		p.workers[i] = &worker{}
	}
	for i := range p.helpers {
		h := &helper{wake: make(chan struct{}, 1)}
		p.helpers[i] = h
		go p.serve(p.workers[i+1], h)
	}
}

// stopped is the turn after which helpers end.
const stopped = ^uint32(0)

// stop ends the goroutines of the workers.
func (p *pool) stop() {
	for _, h := range p.helpers {
		h.call(stopped)
	}
	p.helpers = nil
}

// call tells a helper the turn it is to run.
func (h *helper) call(turn uint32) {
	h.turn.Store(turn)
	if h.asleep.CompareAndSwap(true, false) {
		h.wake <- struct{}{}
	}
}

func (p *pool) serve(w *worker, h *helper) {
	debug.SetPanicOnFault(true) // of this goroutine
	for last := uint32(0); ; {
		turn := h.await(last)
		if turn == stopped {
			return
		}
		last = turn
		p.drain(w)
		h.done.Store(turn)
		p.busy.Add(-1)
	}
}

// await returns the turn after last: awake for a while, then asleep.
func (h *helper) await(last uint32) uint32 {
	var began time.Time
	for {
		for range spins {
			if turn := h.turn.Load(); turn != last {
				return turn
			}
		}
		if began.IsZero() {
			began = time.Now()
			continue
		}
		if time.Since(began) < patient {
			goruntime.Gosched()
			continue
		}
		h.asleep.Store(true)
		if h.turn.Load() == last || !h.asleep.CompareAndSwap(true, false) {
			<-h.wake
		}
		began = time.Time{}
	}
}

// run runs the tasks 0 ≤ i < tasks of j, on as many workers as the work is
// worth, and returns when all are done.
func (p *pool) run(j job, tasks int, work int64) error {
	if tasks <= 0 {
		return nil
	}
	p.job, p.tasks = j, int64(tasks)
	p.next.Store(0)
	p.failure.Store(nil)
	helped := p.invite(min(len(p.helpers), tasks-1, int(work/workPerThread)))
	was := debug.SetPanicOnFault(true)
	p.drain(p.workers[0])
	debug.SetPanicOnFault(was)
	if helped {
		p.join()
	}
	p.job = nil
	if f := p.failure.Load(); f != nil {
		return f.err()
	}
	return nil
}

// invite gives the present job to n helpers, or to fewer where some are left out.
func (p *pool) invite(n int) bool {
	if n <= 0 {
		return false
	}
	if p.turn++; p.turn == stopped {
		p.turn = 1
	}
	invited := int32(0)
	for _, h := range p.helpers {
		h.invited = invited < int32(n) && h.ready()
		if h.invited {
			invited++
		}
	}
	p.busy.Store(invited)
	for _, h := range p.helpers {
		if h.invited {
			h.call(p.turn)
		}
	}
	return invited > 0
}

// ready reports whether the helper is not left out.
func (h *helper) ready() bool {
	if h.until.IsZero() {
		return true
	}
	now := time.Now()
	if now.Before(h.until) {
		return false
	}
	h.until, h.steady = time.Time{}, now
	return true
}

// join waits for the helpers of the present job, and leaves out for a time those
// that come late.
func (p *pool) join() {
	var began time.Time
	for waits := 0; ; waits++ {
		for range spins {
			if p.busy.Load() == 0 {
				if waits > 0 {
					p.blame(time.Since(began))
				}
				return
			}
		}
		if began.IsZero() {
			began = time.Now()
			continue
		}
		for _, h := range p.helpers {
			if h.invited && h.done.Load() == p.turn {
				h.invited = false // it is not who is waited for
			}
		}
		goruntime.Gosched()
	}
}

// blame leaves out the helpers that were waited for too long.
func (p *pool) blame(waited time.Duration) {
	if waited < late {
		return
	}
	now := time.Now()
	for _, h := range p.helpers {
		if !h.invited {
			continue
		}
		if h.pause = min(2*h.pause, longest); h.pause == 0 || now.Sub(h.steady) > 4*h.pause {
			h.pause = leave
		}
		h.until, h.steady = now.Add(h.pause), now
	}
}

// drain takes tasks until there are none.
func (p *pool) drain(w *worker) {
	defer func() {
		if v := recover(); v != nil {
			p.failure.CompareAndSwap(nil, &failure{v, debug.Stack()})
			p.next.Store(p.tasks)
		}
	}()
	for {
		i := p.next.Add(1) - 1
		if i >= p.tasks {
			return
		}
		p.job.task(w, int(i))
	}
}

// err turns a fault into an error; any other panic is a bug and goes on in the
// caller's goroutine.
func (f *failure) err() error {
	var fault interface {
		goruntime.Error
		Addr() uintptr
	}
	if e, ok := f.value.(error); ok && errors.As(e, &fault) {
		return ErrFault
	}
	panic(fmt.Sprintf("%v\n\nin a worker:\n%s", f.value, f.stack))
}

// grow makes *s at least n long; what it held is lost.
func grow[E any](s *[]E, n int) []E {
	if cap(*s) < n {
		*s = make([]E, n+n/4)
	}
	*s = (*s)[:cap(*s)]
	return (*s)[:n]
}
