package main

// The devices that are timed.

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/godwit-ml/godwit/cpu"
	"github.com/godwit-ml/godwit/cuda"
	"github.com/godwit-ml/godwit/kernels"
	"github.com/godwit-ml/godwit/runtime"
)

// openDevice opens a device by name; one with kernels has k alone, and one is true.
func openDevice(name string, k *kernels.Kernel) (dev runtime.Device, one bool, err error) {
	cfg := cuda.Config{Kernels: []*kernels.Kernel{k}}
	base, part, _ := strings.Cut(name, ":")
	var gpu *cuda.Device
	switch {
	case name == "reference" || name == "cpu":
		return cpu.NewReference(cpu.Config{}), false, nil
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
		return nil, false, fmt.Errorf("device %q is none of reference, ptx, cuda, cuda:N, cuda:emu", name)
	}
	if err != nil {
		return nil, false, fmt.Errorf("device %s: %w", name, err)
	}
	return gpu, true, nil
}
