package godwit

// Opening and closing a model.

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/godwit-ml/godwit/cpu"
	"github.com/godwit-ml/godwit/cuda"
	"github.com/godwit-ml/godwit/engine"
	"github.com/godwit-ml/godwit/model"
	"github.com/godwit-ml/godwit/runtime"
)

// Model is one checkpoint with every head it has. Any number of goroutines may
// use it; nothing can be set after Open.
type Model struct {
	cp         *checkpoint
	cfg        Config
	inner      model.Model
	in         model.Info
	info       Info
	dev        runtime.Device
	fallback   runtime.Device // of what dev does not support; nil: dev supports all
	engine     *engine.Engine
	openDevice opener
	sampling   Sampling // Config over the checkpoint's
	closed     atomic.Bool
	ended      chan struct{}
}

// Open opens a Hugging Face directory or a .gguf file and loads its weights.
// The context stops the loading only. Errors: *ModelError, *UnsupportedError,
// *ParamError, *MemoryError, or what the context says.
func Open(ctx context.Context, path string, cfg Config) (*Model, error) {
	if err := checkConfig(&cfg); err != nil {
		return nil, err
	}
	cp, err := openPath(path)
	if err != nil {
		return nil, err
	}
	return open(ctx, cp, cfg)
}

// OpenFS is Open in a file system: name is "." or a directory, or a .gguf file,
// as fs.ReadFile would take it.
func OpenFS(ctx context.Context, fsys fs.FS, name string, cfg Config) (*Model, error) {
	if err := checkConfig(&cfg); err != nil {
		return nil, err
	}
	cp, err := openFS(fsys, name)
	if err != nil {
		return nil, err
	}
	return open(ctx, cp, cfg)
}

// poolings are what Config.Pooling takes.
var poolings = []string{"mean", "cls", "last"}

// checkConfig checks what needs no checkpoint and resolves the device's name.
func checkConfig(cfg *Config) error {
	device, err := resolveDevice(cfg.Device)
	if err != nil {
		return err
	}
	cfg.Device = device
	if err := checkArithmetic(cfg); err != nil {
		return err
	}
	if cfg.Pooling != "" && !slices.Contains(poolings, cfg.Pooling) {
		return &ParamError{"Config.Pooling", cfg.Pooling, `want "mean", "cls" or "last"`}
	}
	for _, n := range []struct {
		field string
		value int64
	}{{"Config.Threads", int64(cfg.Threads)}, {"Config.Context", int64(cfg.Context)}, {"Config.MemoryLimit", cfg.MemoryLimit}} {
		if n.value < 0 {
			return &ParamError{n.field, n.value, "want 0 (the usual) or more"}
		}
	}
	if cfg.Threads > cpu.MaxThreads {
		return &ParamError{"Config.Threads", cfg.Threads, fmt.Sprintf("want at most %d; 0 is one a processor", cpu.MaxThreads)}
	}
	if _, _, err := resolveSampling(cfg.Sampling, Sampling{}, 0); err != nil {
		var p *ParamError
		if errors.As(err, &p) {
			p.Field = "Config." + p.Field
		}
		return err
	}
	return nil
}

// open loads a checkpoint and starts its engine. It owns cp.
func open(ctx context.Context, cp *checkpoint, cfg Config) (*Model, error) {
	return openOn(ctx, cp, cfg, openDevice)
}

// opener opens a device by the name that resolveDevice gave, and its fallback.
type opener func(cfg Config) (dev, fallback runtime.Device, err error)

// openOn is open with devices of another's making.
func openOn(ctx context.Context, cp *checkpoint, cfg Config, devices opener) (m *Model, err error) {
	cfg = cfg.settle(cp)
	m = &Model{cp: cp, cfg: cfg, openDevice: devices, ended: make(chan struct{})}
	defer func() {
		if err != nil {
			_ = m.release() // what is wrong with the model matters more
			m = nil
		}
	}()
	if err := ctx.Err(); err != nil {
		return m, context.Cause(ctx)
	}
	in, err := model.Describe(cp.source, cp.weights)
	if err != nil {
		return m, modelError(cp.path, err)
	}
	if m.dev, m.fallback, err = devices(cfg); err != nil {
		return m, err
	}
	plan, err := planMemory(cp, in, cfg, freeOn(m.dev))
	if err != nil {
		return m, err
	}
	s, err := m.load(ctx, plan, cfg.Progress)
	if err != nil {
		return m, err
	}
	if cfg.Progress != nil {
		n := plan.memory.Mapped
		cfg.Progress(Progress{"weights", n, n})
	}
	m.in = m.inner.Info()
	m.in.Context = plan.context
	m.engine, err = engine.New(s, m.inner, engine.Config{Blocks: plan.blocks, BlockSize: blockSize, KVDType: kvTypes[cfg.KVDType], Context: plan.context,
		Reopen: func() (*runtime.Stream, model.Model, error) {
			_ = m.closeDevices() // a lost device has nothing to give back
			s, err := m.load(context.Background(), plan, nil)
			return s, m.inner, err
		}})
	if err != nil {
		s.Close()
		return m, m.loadError(err)
	}
	m.sampling = mergeSampling(cfg.Sampling, cp.sampling)
	m.info = describe(cp, m.in, cfg, plan)
	return m, nil
}

// load opens the device and loads the weights on it. After Open it runs on the
// engine's goroutine alone, as does whatever uses inner.
func (m *Model) load(ctx context.Context, plan plan, progress func(Progress)) (s *runtime.Stream, err error) {
	if m.dev == nil {
		if m.dev, m.fallback, err = m.openDevice(m.cfg); err != nil {
			return nil, err
		}
	}
	s = runtime.NewStream(m.dev, m.fallback)
	s.OnLoad = loadHook(ctx, s, plan.memory.Mapped, progress)
	err = m.cp.weights.Guard(func() (err error) {
		m.inner, err = model.Load(s, m.cp.weights, m.cp.source, model.Options{Context: plan.context})
		if err == nil {
			err = s.Sync() // copies to a device fail late
		}
		return err
	})
	if err != nil {
		s.Close()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, m.loadError(err)
	}
	s.OnLoad = nil
	return s, nil
}

// loadError is an error of loading, as this package's.
func (m *Model) loadError(err error) error {
	var full *cuda.MemoryError
	var driver *cuda.DriverError
	var limit *cpu.MemoryError
	switch {
	case errors.As(err, &limit):
		return &MemoryError{Device: m.cfg.Device, Need: limit.Wanted, Free: limit.Free}
	case errors.As(err, &full):
		return &MemoryError{Device: m.cfg.Device, Need: full.Wanted, Free: full.Free}
	case errors.As(err, &driver):
		return &DeviceError{Device: m.cfg.Device, Op: "load", Err: err}
	}
	return modelError(m.cp.path, err)
}

// closeDevices gives back what the devices hold; closed ones are forgotten.
func (m *Model) closeDevices() error {
	var errs []error
	for _, d := range []*runtime.Device{&m.dev, &m.fallback} {
		if *d != nil {
			errs = append(errs, (*d).Close())
			*d = nil
		}
	}
	return errors.Join(errs...)
}

// loadHook reports progress, all but the end, and stops loading when ctx is done.
func loadHook(ctx context.Context, s *runtime.Stream, total int64, report func(Progress)) func(runtime.Tensor) {
	var done int64
	last := time.Now()
	return func(t runtime.Tensor) {
		if ctx.Err() != nil {
			s.Fail(context.Cause(ctx))
			return
		}
		done += int64(t.Rows) * t.RowBytes()
		if now := time.Now(); report != nil && done < total && now.Sub(last) >= 100*time.Millisecond {
			last = now
			report(Progress{"weights", done, total})
		}
	}
}

// Close ends all running calls with ErrClosed and gives the memory back. It
// waits for the engine, never for callers. Closing twice is no error.
func (m *Model) Close() error {
	if m.closed.Swap(true) {
		<-m.ended
		return nil
	}
	defer close(m.ended)
	return m.release()
}

// release frees what Open got so far.
func (m *Model) release() error {
	if m.engine != nil {
		m.engine.Close()
	}
	return errors.Join(m.closeDevices(), m.cp.weights.Close())
}

// Info describes the model.
func (m *Model) Info() Info { return cloneInfo(m.info) }

// can checks that the model is open and does a task.
func (m *Model) can(t Task) error {
	if m.closed.Load() {
		return ErrClosed
	}
	if slices.Contains(m.info.Tasks, t) {
		return nil
	}
	have := make([]string, len(m.info.Tasks))
	for i, t := range m.info.Tasks {
		have[i] = string(t)
	}
	what := fmt.Sprintf("task %q", t)
	if t == TaskChat && m.cp.chatErr != nil {
		what += " (its chat template: " + m.cp.chatErr.Error() + ")"
	}
	return &UnsupportedError{What: what, Model: m.info.Name, Have: have}
}

// needTokenizer checks that there is a tokenizer.
func (m *Model) needTokenizer() error {
	if m.closed.Load() {
		return ErrClosed
	}
	switch {
	case m.cp.tok != nil:
		return nil
	case m.cp.tokErr != nil:
		return m.cp.tokErr
	}
	return &UnsupportedError{What: "text without a tokenizer", Model: m.info.Name, Have: []string{"Tokens"}}
}

// callError is an error of the engine, the model or a device, as this package's.
func (m *Model) callError(err error) error {
	var p *engine.ParamError
	var op *runtime.OpError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, engine.ErrClosed):
		return ErrClosed
	case errors.As(err, &p):
		return &ParamError{Field: p.Field, Value: p.Value, Reason: p.Reason}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.As(err, &op):
		return &DeviceError{Device: m.info.Device, Op: op.Op, Err: err}
	}
	return &DeviceError{Device: m.info.Device, Op: "step", Err: err}
}

// baseName is what messages call a model.
func baseName(path string) string {
	if path == "." || path == "" {
		return "model"
	}
	return filepath.Base(path)
}
