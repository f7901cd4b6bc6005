package cpu

// The workers: tasks of one operation are numbered and taken in order by
// whoever is free. A fault in a mapped file ends the operation, not the process.

import (
	"errors"
	"fmt"
	goruntime "runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
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
	rows    []float32 // gathered rows of X
	weights []float32 // decoded rows of W, of a table
	scores  []float32
	keys    []float32
	values  []float32
	exps    []float64
	heap    []candidate
}

// pool runs jobs on a fixed number of workers, the caller being the first.
type pool struct {
	workers []*worker
	wake    []chan struct{} // of the workers after the first

	// The present job.
	job     job
	tasks   int64
	next    atomic.Int64
	busy    sync.WaitGroup
	failure atomic.Pointer[failure]
}

// failure is a panic in a task.
type failure struct {
	value any
	stack []byte
}

// workPerThread is the work for which waking one more worker pays, in
// elementary steps of roughly a nanosecond.
const workPerThread = 20_000

func (p *pool) start(threads int) {
	p.workers = make([]*worker, threads)
	p.wake = make([]chan struct{}, threads-1)
	for i := range p.workers {
		p.workers[i] = &worker{}
	}
	for i := range p.wake {
		p.wake[i] = make(chan struct{}, 1)
		go p.serve(p.workers[i+1], p.wake[i])
	}
}

func (p *pool) serve(w *worker, wake <-chan struct{}) {
	debug.SetPanicOnFault(true) // of this goroutine
	for range wake {
		p.drain(w)
		p.busy.Done()
	}
}

// stop ends the goroutines of the workers.
func (p *pool) stop() {
	for _, c := range p.wake {
		close(c)
	}
	p.wake = nil
}

// run runs the tasks 0 ≤ i < tasks of j, on as many workers as the work is
// worth, and returns when all are done.
func (p *pool) run(j job, tasks int, work int64) error {
	if tasks <= 0 {
		return nil
	}
	helpers := min(len(p.wake), tasks-1, int(work/workPerThread))
	p.job, p.tasks = j, int64(tasks)
	p.next.Store(0)
	p.failure.Store(nil)
	p.busy.Add(helpers)
	for _, c := range p.wake[:helpers] {
		c <- struct{}{}
	}
	was := debug.SetPanicOnFault(true)
	p.drain(p.workers[0])
	debug.SetPanicOnFault(was)
	p.busy.Wait()
	p.job = nil
	if f := p.failure.Load(); f != nil {
		return f.err()
	}
	return nil
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
