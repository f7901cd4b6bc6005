package engine

// The engine: one goroutine that owns a model and its device, and runs calls on
// it step by step.

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/godwit-ml/godwit/model"
	"github.com/godwit-ml/godwit/runtime"
)

// ErrClosed ends the runs of an engine that is closed.
var ErrClosed = errors.New("engine: closed")

// Config sizes an engine.
type Config struct {
	BlockSize   int           // tokens of a block of the KV cache; 0: 16
	Blocks      int           // of the KV cache; decoders need at least one
	KVDType     runtime.DType // of the KV cache
	Context     int           // most tokens of a sequence; 0: the model's
	TokenBudget int           // most tokens of a sequence in one step: longer prompts are read in chunks; 0: 512

	// Reopen, if set, gives the model anew, on another stream, when the stream's
	// device is lost. It is called on the engine's goroutine when the next call
	// begins, and again before each further one for as long as it fails; the
	// calls that wait meanwhile get its error.
	Reopen func() (*runtime.Stream, model.Model, error)
}

// Engine runs requests on one model. Runs that are under way take turns, a step
// each, so none waits for another to end; a run waits for blocks of the cache
// if there are too few. All methods may be called from any goroutine.
type Engine struct {
	model  model.Model
	info   model.Info
	stream *runtime.Stream
	cache  *model.Cache
	pool   *BlockPool
	cfg    Config

	// Of the engine's goroutine.
	reserved int // blocks promised to runs
	sampler  *Sampler
	logprobs Logprobs
	row      []float32
	out      []Token

	mu      sync.Mutex
	waiting []task
	running int
	fallen  map[string]int64 // the fallbacks of lost streams
	closed  bool
	wake    chan struct{} // one slot: there is something new
	stopped chan struct{}
}

// task is one call on the engine's goroutine.
type task interface {
	// admit reserves what the task needs; false: not now.
	admit() bool
	// step runs one step; true: the task is done and has released everything.
	step() bool
	// end releases everything and delivers err.
	end(err error)
	context() context.Context
}

// New starts an engine on a model that was loaded on the stream. The engine owns
// the stream from now on.
func New(s *runtime.Stream, m model.Model, cfg Config) (*Engine, error) {
	if cfg.BlockSize == 0 {
		cfg.BlockSize = 16
	}
	if cfg.TokenBudget == 0 {
		cfg.TokenBudget = 512
	}
	info := m.Info()
	if cfg.Context > 0 {
		info.Context = min(cfg.Context, info.Context)
	}
	e := &Engine{info: info, cfg: cfg, sampler: NewSampler(m.Info().Vocab), wake: make(chan struct{}, 1), stopped: make(chan struct{})}
	if err := e.attach(s, m); err != nil {
		return nil, err
	}
	go e.loop()
	return e, nil
}

// attach makes the cache of a model on a stream, and takes both.
func (e *Engine) attach(s *runtime.Stream, m model.Model) error {
	if e.info.Kind != model.Encode {
		c, err := model.NewCache(s, e.info, e.cfg.KVDType, e.cfg.Blocks, e.cfg.BlockSize)
		if err != nil {
			return err
		}
		pool, err := NewBlockPool(e.cfg.Blocks, e.cfg.BlockSize)
		if err != nil {
			c.Close()
			return err
		}
		e.cache, e.pool = c, pool
	}
	e.mu.Lock()
	e.stream, e.model = s, m
	e.mu.Unlock()
	return nil
}

// Fallbacks are the operations that ran on the stream's fallback, counted by
// "operation: reason"; of all streams the engine had.
func (e *Engine) Fallbacks() map[string]int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := e.stream.Fallbacks()
	for what, n := range e.fallen {
		all[what] += n
	}
	return all
}

// Close ends all runs with ErrClosed, waits for the engine's goroutine, and
// frees cache and scratch. It never waits for readers.
func (e *Engine) Close() {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.nudge()
	<-e.stopped
}

// Counts are the calls that run and those that wait, as of now.
func (e *Engine) Counts() (running, waiting int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.running, len(e.waiting)
}

// Do runs fn on the engine's goroutine, between two steps of others: a forward
// pass that keeps nothing. The stream is fn's until it returns. The error is
// fn's, the stream's, ErrClosed, or the context's.
func (e *Engine) Do(ctx context.Context, fn func(s *runtime.Stream) error) error {
	d := &passTask{e: e, ctx: ctx, fn: fn, done: make(chan error, 1)}
	if err := e.enqueue(d); err != nil {
		return err
	}
	select {
	case err := <-d.done:
		return err
	case <-ctx.Done():
		// It ends within a step: fn must not run on after Do has returned.
		return <-d.done
	}
}

// passTask is a call of Do.
type passTask struct {
	e    *Engine
	ctx  context.Context
	fn   func(s *runtime.Stream) error
	done chan error
}

func (d *passTask) admit() bool              { return true }
func (d *passTask) context() context.Context { return d.ctx }
func (d *passTask) end(err error)            { d.done <- err }

func (d *passTask) step() bool {
	s := d.e.stream
	s.Reset()
	err := d.fn(s)
	if err == nil {
		err = s.Sync()
	}
	d.done <- err
	return true
}

func (e *Engine) enqueue(t task) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return ErrClosed
	}
	e.waiting = append(e.waiting, t)
	e.nudge()
	return nil
}

func (e *Engine) nudge() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// loop is the engine's goroutine.
func (e *Engine) loop() {
	defer close(e.stopped)
	var active []task
	for {
		e.mu.Lock()
		closed := e.closed
		active = append(active, e.admitted(closed)...)
		e.running = len(active)
		e.mu.Unlock()
		if closed {
			for _, t := range active {
				t.end(ErrClosed)
			}
			e.free()
			return
		}
		if len(active) == 0 {
			<-e.wake
			continue
		}
		if err := e.alive(); err != nil {
			for _, t := range active {
				t.end(err)
			}
			active = active[:0]
			continue
		}
		active = e.round(active)
	}
}

// alive replaces a stream whose device is lost, if it can be. The runs that were
// under way have ended with the device's error.
func (e *Engine) alive() error {
	lost := e.stream.Lost()
	if lost == nil {
		return nil
	}
	if e.cfg.Reopen == nil {
		return lost
	}
	s, m, err := e.cfg.Reopen()
	if err != nil {
		return fmt.Errorf("engine: %w; and it could not be opened again: %w", lost, err)
	}
	old, cache := e.stream, e.cache
	if err := e.attach(s, m); err != nil {
		s.Close()
		return fmt.Errorf("engine: %w; and opened again: %w", lost, err)
	}
	e.mu.Lock()
	if e.fallen == nil {
		e.fallen = map[string]int64{}
	}
	for what, n := range old.Fallbacks() {
		e.fallen[what] += n
	}
	e.mu.Unlock()
	if cache != nil {
		cache.Close()
	}
	old.Close()
	return nil
}

// round gives each task a step and returns those that go on.
func (e *Engine) round(active []task) []task {
	rest := active[:0]
	for _, t := range active {
		if ctx := t.context(); ctx.Err() != nil {
			t.end(cancelled(ctx))
			continue
		}
		if !t.step() {
			rest = append(rest, t)
		}
	}
	if lost := e.stream.Lost(); lost != nil { // the keys and values of all are gone
		for _, t := range rest {
			t.end(lost)
		}
		rest = rest[:0]
	}
	clear(active[len(rest):])
	return rest
}

// admitted takes from the queue what can begin, and ends what was cancelled
// while it waited. Tasks that wait for blocks begin in order; those that need
// none pass them. With all set it takes everything.
func (e *Engine) admitted(all bool) []task {
	var in []task
	rest, blocked := e.waiting[:0], false
	for _, t := range e.waiting {
		_, pass := t.(*passTask)
		ctx := t.context()
		switch {
		case all:
			in = append(in, t)
		case ctx.Err() != nil:
			t.end(cancelled(ctx))
		case pass || !blocked && t.admit():
			in = append(in, t)
		default:
			blocked = true
			rest = append(rest, t)
		}
	}
	clear(e.waiting[len(rest):])
	e.waiting = rest
	return in
}

func (e *Engine) free() {
	if e.cache != nil {
		e.cache.Close()
	}
	e.stream.Close()
}
