package godwit

// What the fields of Config that choose an arithmetic become.

import (
	"testing"

	"github.com/godwit-ml/godwit/cpu"
	"github.com/godwit-ml/godwit/quant"
	"github.com/godwit-ml/godwit/runtime"
)

// TestArithmetic holds names to the arithmetic, the type of the KV cache and the
// options of the CPU device, for weights stored in F32 and in Q4_0.
func TestArithmetic(t *testing.T) {
	const f32File, q40File = "model/testdata/checkpoints/llama", "model/testdata/gguf/llama-Q4_0.gguf"
	device := bestCPU()
	for _, row := range []struct {
		path       string
		cfg        Config
		arithmetic string
		kv         string
		opt        cpu.Options
	}{
		{f32File, Config{Device: device}, "f32", "f32", cpu.Options{}},
		{f32File, Config{Device: device, DType: "f32"}, "f32", "f32", cpu.Options{Exact: true}},
		{f32File, Config{Device: device, DType: "bf16"}, "bf16", "bf16", cpu.Options{Weights: runtime.BF16}},
		{f32File, Config{Device: device, DType: "f16"}, "f16", "f16", cpu.Options{Weights: runtime.F16}},
		{f32File, Config{Device: device, DType: "bf16", KVDType: "q8_0"}, "bf16", "q8_0", cpu.Options{Weights: runtime.BF16}},
		{q40File, Config{Device: device}, "int8", "f16", cpu.Options{}},
		{q40File, Config{Device: device, Threads: 3}, "int8", "f16", cpu.Options{Threads: 3}},
		{q40File, Config{Device: device, DType: "f32"}, "f32", "f32", cpu.Options{Exact: true}},
		{q40File, Config{Device: device, KVDType: "f32"}, "int8", "f32", cpu.Options{}},
		{q40File, Config{Device: device, Quantize: "q8_0"}, "int8", "f16", cpu.Options{Weights: runtime.Q8_0}},
		{q40File, Config{Device: device, Quantize: "q4_0"}, "int8", "f16", cpu.Options{Weights: quant.Q4_0}},
		{q40File, Config{Device: device, Quantize: "q8_0", DType: "f32"}, "f32", "f32", cpu.Options{Weights: runtime.Q8_0, Exact: true}},
		{q40File, Config{Device: "reference"}, "f32", "f32", cpu.Options{}},
	} {
		if err := checkConfig(&row.cfg); err != nil {
			t.Fatalf("%+v: %v", row.cfg, err)
		}
		cp, err := openPath(row.path)
		if err != nil {
			t.Fatal(err)
		}
		defer cp.weights.Close() //nolint:errcheck // only read
		arithmetic, kv := row.cfg.arithmetic(cp), row.cfg.settle(cp).KVDType
		if arithmetic != row.arithmetic || kv != row.kv {
			t.Errorf("%s, %+v: arithmetic %q with a cache of %q, want %q with %q", row.path, row.cfg, arithmetic, kv, row.arithmetic, row.kv)
		}
		if opt := row.cfg.cpuOptions(""); opt != row.opt {
			t.Errorf("%+v: options %+v, want %+v", row.cfg, opt, row.opt)
		}
		info, err := Inspect(t.Context(), row.path, row.cfg)
		if err != nil {
			t.Fatal(err)
		}
		if width := map[string]int64{"f32": 8, "f16": 4, "bf16": 4}[kv] * int64(info.Layers*info.KVHeads*info.Hidden/info.Heads); info.DType != arithmetic || width > 0 && info.KVBytes != width {
			t.Errorf("%s, %+v: inspect says %q with %d bytes a token, want %q with %d", row.path, row.cfg, info.DType, info.KVBytes, arithmetic, width)
		}
	}
}
