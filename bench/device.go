package main

// The devices that are timed.

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/godwit-ml/godwit/cpu"
	"github.com/godwit-ml/godwit/cpu/simd"
	"github.com/godwit-ml/godwit/cuda"
	"github.com/godwit-ml/godwit/kernels"
	"github.com/godwit-ml/godwit/runtime"
)

// deviceOptions are for devices on the CPU; zero is their usual.
type deviceOptions struct {
	threads int
	exact   bool // products in float32 whatever weights are stored as
}

// bestDevice is the CPU device on the best path there is.
func bestDevice() string { return "cpu:" + simd.Best().String() }

// openDevice opens a device by name; one with kernels has k alone, and one is true.
func openDevice(name string, k *kernels.Kernel, opt deviceOptions) (dev runtime.Device, one bool, err error) {
	cfg := cuda.Config{Kernels: []*kernels.Kernel{k}}
	base, part, _ := strings.Cut(name, ":")
	var gpu *cuda.Device
	switch {
	case name == "reference":
		return cpu.NewReference(cpu.Config{Threads: opt.threads}), false, nil
	case base == "cpu":
		fast, err := cpu.New(cpu.Options{Threads: opt.threads, Path: part, Exact: opt.exact})
		if err != nil {
			return nil, false, fmt.Errorf("device %s: %w", name, err)
		}
		return fast, false, nil
	case name == "ptx":
		gpu, err = cuda.NewPTX(cfg)
	case name == "cuda:emu":
		gpu, err = cuda.NewEmu(cfg)
	case base == "cuda":
		n, bad := strconv.Atoi(cmp.Or(part, "0"))
		if bad != nil {
			return nil, false, fmt.Errorf("device %q: want a number after the colon", name)
		}
		gpu, err = cuda.NewCUDA(n, cfg)
	default:
		return nil, false, fmt.Errorf("device %q is none of cpu, cpu:PATH, reference, ptx, cuda, cuda:N, cuda:emu", name)
	}
	if err != nil {
		return nil, false, fmt.Errorf("device %s: %w", name, err)
	}
	return gpu, true, nil
}
