package main

// The device and the arithmetic of a run.

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/godwit-ml/godwit/ci/golden"
	"github.com/godwit-ml/godwit/cpu"
	"github.com/godwit-ml/godwit/cuda"
	"github.com/godwit-ml/godwit/runtime"
)

// device is what models run on, and what runs what it does not support.
type device struct {
	name          string
	dev, fallback runtime.Device
	gpu           *cuda.Device // dev, if it has a driver
}

// arithmetics are what -dtype takes, as the CPU device does it.
var arithmetics = map[string]cpu.Options{
	"f32": {Exact: true}, "fast": {}, "bf16": {Weights: runtime.BF16}, "f16": {Weights: runtime.F16},
}

// openDevice opens a device by its name.
func openDevice(name, dtype string) (*device, error) {
	opt, ok := arithmetics[dtype]
	if !ok {
		return nil, fmt.Errorf("-dtype %q is none of f32, fast, bf16, f16", dtype)
	}
	d := &device{name: name}
	var err error
	base, part, _ := strings.Cut(name, ":")
	switch {
	case name == "auto", base == "cpu":
		opt.Path = part
		if d.dev, err = cpu.New(opt); err != nil {
			return nil, fmt.Errorf("-device %s: %w", name, err)
		}
		return d, nil
	case dtype == "bf16" || dtype == "f16":
		return nil, fmt.Errorf("-dtype %s: only the cpu device multiplies in it; %s does in f32", dtype, name)
	case name == "reference":
		d.dev = cpu.NewReference(cpu.Config{})
		return d, nil
	case name == "ptx":
		d.gpu, err = cuda.NewPTX(cuda.Config{})
	case name == "cuda:emu":
		d.gpu, err = cuda.NewEmu(cuda.Config{})
	case base == "cuda":
		ordinal, bad := strconv.Atoi(cmp.Or(part, "0"))
		if bad != nil {
			return nil, fmt.Errorf("-device %q: want a number after the colon", name)
		}
		d.gpu, err = cuda.NewCUDA(ordinal, cuda.Config{})
	default:
		return nil, fmt.Errorf("-device %q is none of auto, cpu, cpu:PATH, reference, ptx, cuda, cuda:N, cuda:emu", name)
	}
	if err != nil {
		return nil, fmt.Errorf("-device %s: %w", name, err)
	}
	d.dev, d.fallback = d.gpu, cpu.NewReference(cpu.Config{})
	return d, nil
}

// calls prints how often each function of the driver was called, if there is one.
func (d *device) calls(w io.Writer) {
	if d.gpu == nil {
		return
	}
	calls := d.gpu.Calls()
	for _, name := range slices.Sorted(maps.Keys(calls)) {
		fmt.Fprintf(w, "%s %d\n", name, calls[name])
	}
}

func (d *device) close() error {
	if d.fallback != nil {
		return errors.Join(d.dev.Close(), d.fallback.Close())
	}
	return d.dev.Close()
}

// load loads a checkpoint on the device of the session.
func (s *session) load(path, config string) (*golden.Model, error) {
	return golden.Load(path, golden.Options{Device: s.device.dev, Fallback: s.device.fallback, Config: config})
}

// unload closes a model and keeps its counts of fallbacks.
func (s *session) unload(m *golden.Model) {
	for what, n := range m.Fallbacks() {
		s.falls[what] += n
	}
	m.Close()
}

// operations are the names of a list by comma; "all" means all ten.
func operations(list string) (map[string]bool, error) {
	all := map[string]bool{}
	for _, op := range []runtime.Op{
		&runtime.Gather{}, &runtime.MatMul{}, &runtime.Norm{}, &runtime.Pointwise{}, &runtime.RoPE{},
		&runtime.StoreKV{}, &runtime.CopyBlocks{}, &runtime.Attention{}, &runtime.TopK{}, &runtime.Combine{},
	} {
		all[op.Name()] = true
	}
	if list == "all" {
		return all, nil
	}
	chosen := map[string]bool{}
	for name := range strings.SplitSeq(list, ",") {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		if !all[name] {
			return nil, fmt.Errorf("-no-fallback: there is no operation %q", name)
		}
		chosen[name] = true
	}
	return chosen, nil
}
