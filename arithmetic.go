package godwit

// Arithmetic: what weights are multiplied in, and what keys and values are kept
// in, of a Config and the checkpoint it is for.

import (
	"fmt"
	"strings"

	"github.com/godwit-ml/godwit/cpu"
	"github.com/godwit-ml/godwit/quant"
	"github.com/godwit-ml/godwit/runtime"
)

// kvTypes are what Config.KVDType takes.
var kvTypes = map[string]runtime.DType{"f32": runtime.F32, "f16": runtime.F16, "bf16": runtime.BF16, "q8_0": runtime.Q8_0}

// onCPU reports whether a resolved device is the fast CPU device.
func onCPU(device string) bool { return strings.HasPrefix(device, "cpu:") }

// checkArithmetic checks DType, Quantize and KVDType; the device is resolved.
func checkArithmetic(cfg *Config) error {
	switch cfg.DType {
	case "", "f32":
	case "bf16", "f16":
		if !onCPU(cfg.Device) {
			return &UnsupportedError{What: fmt.Sprintf("the arithmetic %q on device %q", cfg.DType, cfg.Device), Have: []string{"f32"}}
		}
	default:
		return &ParamError{"Config.DType", cfg.DType, `want "", "f32", "bf16" or "f16"`}
	}
	switch cfg.Quantize {
	case "":
	case "q8_0", "q4_0":
		if !onCPU(cfg.Device) {
			return &UnsupportedError{What: fmt.Sprintf("quantising to %q on device %q", cfg.Quantize, cfg.Device), Have: []string{"cpu"}}
		}
		if cfg.DType == "bf16" || cfg.DType == "f16" {
			return &ParamError{"Config.Quantize", cfg.Quantize, fmt.Sprintf("weights are rounded once: to it, or to the %q of Config.DType", cfg.DType)}
		}
	default:
		return &ParamError{"Config.Quantize", cfg.Quantize, `want "", "q8_0" or "q4_0"`}
	}
	if _, ok := kvTypes[cfg.KVDType]; !ok && cfg.KVDType != "" {
		return &ParamError{"Config.KVDType", cfg.KVDType, `want "", "f32", "f16", "bf16" or "q8_0"`}
	}
	return nil
}

// arithmetic is what DType means for a checkpoint.
func (cfg Config) arithmetic(cp *checkpoint) string {
	switch {
	case cfg.DType != "":
		return cfg.DType
	case !onCPU(cfg.Device):
		return "f32"
	case cfg.Quantize != "":
		return "int8"
	}
	return arithmeticOf(cp.mostly())
}

// settle resolves the KV cache's type, which is as wide as what it is multiplied
// with.
func (cfg Config) settle(cp *checkpoint) Config {
	if cfg.KVDType == "" {
		if cfg.KVDType = cfg.arithmetic(cp); cfg.KVDType == "int8" {
			cfg.KVDType = "f16"
		}
	}
	return cfg
}

// arithmeticOf is what is fastest for weights of a type on the CPU: products of
// int8 for block types, of bf16 for bf16, else of float32, and how the weights
// are kept if that is not in F32.
func arithmeticOf(t runtime.DType) string {
	switch {
	case t == runtime.BF16:
		return "bf16"
	case t == runtime.F16:
		return "f16"
	case t.BlockSize() > 1:
		return "int8"
	}
	return "f32"
}

// mostly is the type of most parameters in matrices.
func (c *checkpoint) mostly() runtime.DType {
	counts := map[runtime.DType]int64{}
	best := runtime.F32
	for _, name := range c.weights.Names() {
		t, _ := c.weights.Info(name)
		if rows, cols := t.RowsCols(); rows > 1 && cols > 1 {
			counts[t.DType] += int64(rows) * int64(cols)
		}
	}
	for t, n := range counts {
		if n > counts[best] || n == counts[best] && t < best {
			best = t
		}
	}
	return best
}

// cpuOptions are the options of the CPU device; path "": the best there is.
func (cfg Config) cpuOptions(path string) cpu.Options {
	opt := cpu.Options{Threads: cfg.Threads, Path: path, Exact: cfg.DType == "f32"}
	switch {
	case cfg.Quantize == "q8_0":
		opt.Weights = runtime.Q8_0
	case cfg.Quantize == "q4_0":
		opt.Weights = quant.Q4_0
	case cfg.DType == "bf16":
		opt.Weights = runtime.BF16
	case cfg.DType == "f16":
		opt.Weights = runtime.F16
	}
	return opt
}

// onKernels reports whether a device computes with the kernels of a GPU, emulated
// or not.
func (cfg Config) onKernels() bool { return cfg.Device != "reference" && !onCPU(cfg.Device) }

// loaded is what a stored tensor takes on the device, bytes, in the type it runs
// in. On the CPU device, where that type is measured, it is the likely one. Others
// expand every type to F32 once, but F16 where there are kernels for it; on the
// reference F32 stays mapped, unless it is stacked with others: it is counted.
func (cfg Config) loaded(stored runtime.DType, rows, cols int) int64 {
	t := runtime.F32
	switch {
	case cfg.onKernels() && stored == runtime.F16:
		t = stored
	case onCPU(cfg.Device) && rows > 1:
		if likely, _, err := cfg.cpuOptions("").Plans(asWeight(stored), cols); err == nil {
			t = likely
		}
	}
	return int64(rows) * int64(cols) / int64(t.BlockSize()) * int64(t.TypeSize())
}

// asWeight is the type in which a stored type is given to devices.
func asWeight(stored runtime.DType) runtime.DType {
	if stored == quant.F64 {
		return runtime.F32
	}
	return stored
}

// runs is the type in which the CPU device multiplies a stored matrix, "" if it
// is the stored one. Where it depends on the values, some hundred rows are looked
// at.
func (cfg Config) runs(cp *checkpoint, name string) string {
	info, _ := cp.weights.Info(name)
	rows, cols := info.RowsCols()
	if !onCPU(cfg.Device) || rows < 2 || cols < 2 || !info.DType.Decodes() {
		return ""
	}
	opt := cfg.cpuOptions("")
	t, known, err := opt.Plans(asWeight(info.DType), cols)
	if err == nil && !known {
		err = cp.weights.Guard(func() error {
			host, err := cp.weights.Tensor(name)
			if err == nil {
				t, err = opt.Runs(someRows(host))
			}
			return err
		})
	}
	if err != nil || t == info.DType {
		return ""
	}
	return t.String()
}

// someRows is a view of at most some hundred rows of a tensor, evenly apart.
func someRows(t runtime.Tensor) runtime.Tensor {
	const sample = 256
	if step := t.Rows / sample; step > 1 {
		t.Rows /= step
		t.Stride *= step
	}
	return t
}
