package main

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godwit-ml/godwit/ci/kernels/measure"
	"github.com/godwit-ml/godwit/kernels"
)

const log = `ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'a' for 'sm_75'
ptxas info    : Function properties for a
    16 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 40 registers, used 1 barriers, 64 bytes smem, 440 bytes cmem[0]
ptxas info    : Compiling entry function 'b' for 'sm_75'
ptxas info    : Function properties for b
    0 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 255 registers, used 0 barriers
`

func TestReadLogs(t *testing.T) {
	found := table{}
	if err := found.read(log); err != nil {
		t.Fatal(err)
	}
	if got, want := found["a"]["75"], (resources{Registers: 40, Shared: 64}); got != want {
		t.Errorf("a: got %+v, want %+v", got, want)
	}
	if got, want := found["b"]["75"], (resources{Registers: 255, spills: 20}); got != want {
		t.Errorf("b: got %+v, want %+v", got, want)
	}
	if err := found.read(log); err == nil || !strings.Contains(err.Error(), "two images have it") {
		t.Errorf("the same entries twice: %v", err)
	}
	if err := (table{}).read(strings.ReplaceAll(log, "sm_75", "sm_42")); err == nil || !strings.Contains(err.Error(), "sm_42") {
		t.Errorf("an unknown architecture: %v", err)
	}
	if err := (table{}).read(strings.ReplaceAll(log, "spill stores", "stores")); err == nil || !strings.Contains(err.Error(), "nothing about spills") {
		t.Errorf("without spills: %v", err)
	}
}

func TestFits(t *testing.T) {
	for _, row := range []struct {
		name string // part of the error; empty: fits
		arch string
		k    kernels.Kernel
		r    resources
	}{
		{"", "75", kernels.Kernel{Threads: 256, CTAs: 4}, resources{Registers: 64}},
		{"registers for 28 such warps", "75", kernels.Kernel{Threads: 256, CTAs: 4}, resources{Registers: 65}},
		{"", "80", kernels.Kernel{Threads: 1024, CTAs: 2}, resources{Registers: 32}},
		{"an SM keeps", "75", kernels.Kernel{Threads: 1024, CTAs: 2}, resources{Registers: 32}},
		{"an SM keeps", "86", kernels.Kernel{Threads: 32, CTAs: 17}, resources{Registers: 32}},
		{"registers × 32 threads × 12 CTAs", "80", kernels.Kernel{Threads: 32, CTAs: 12}, resources{Registers: 255}},
		{"", "80", kernels.Kernel{Threads: 32, CTAs: 8}, resources{Registers: 255}},
		{"spills 4", "80", kernels.Kernel{Threads: 32, CTAs: 1}, resources{Registers: 32, spills: 4}},
		{"static shared memory", "80", kernels.Kernel{Threads: 32, CTAs: 1, Shared: 63}, resources{Registers: 32, Shared: 64}},
		{"", "86", kernels.Kernel{Threads: 32, CTAs: 1, Shared: 99 << 10}, resources{Registers: 32}},
		{"a CTA has at most", "86", kernels.Kernel{Threads: 32, CTAs: 1, Shared: 99<<10 + 1}, resources{Registers: 32}},
		{"", "86", kernels.Kernel{Threads: 32, CTAs: 2, Shared: 49 << 10}, resources{Registers: 32}},
		{"× 2 CTAs, an SM has", "86", kernels.Kernel{Threads: 32, CTAs: 2, Shared: 50 << 10}, resources{Registers: 32}},
		{"", "75", kernels.Kernel{Threads: 32, CTAs: 2, Shared: 32 << 10}, resources{Registers: 32}},
	} {
		err := architectures[row.arch].fits(&row.k, row.r)
		if row.name == "" && err != nil || row.name != "" && (err == nil || !strings.Contains(err.Error(), row.name)) {
			t.Errorf("sm_%s, %d threads, %d CTAs, %d bytes, %+v: want an error with %q, got %v", row.arch, row.k.Threads, row.k.CTAs, row.k.Shared, row.r, row.name, err)
		}
	}
}

func TestResourcesFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "resources.json")
	found := table{"a": {"100": {Registers: 3}, "75": {Registers: 1, Shared: 2}}}
	if err := writeTable(os.Stderr, file, nil, found, true); err != nil {
		t.Fatal(err)
	}
	old, err := readTable(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := compareTables(file, old, found, true); err != nil {
		t.Error(err)
	}
	if got := strings.Join(names(old["a"]), " "); got != "75 100" {
		t.Errorf("order of architectures: %s", got)
	}
	if err := compareTables(file, old, table{"a": {"75": {Registers: 9, Shared: 2}}}, false); err == nil {
		t.Error("other registers, and no error")
	}
	if err := compareTables(file, old, table{}, true); err == nil {
		t.Error("a kernel is gone, and no error")
	}
}

func TestNumbers(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1.00k", 12345: "12.3k", 999600: "1.00M", 134e9: "134G"} {
		if got := count(n); got != want {
			t.Errorf("count(%d) is %s, want %s", n, got, want)
		}
	}
}

// TestChips holds the table against what the data sheets say of FP32.
func TestChips(t *testing.T) {
	for i, want := range []float64{19.5e12, 66.9e12, 66.9e12} {
		if got := measure.Chips[i].FLOPs(); math.Abs(got-want) > 0.01*want {
			t.Errorf("%s: %.3g FLOP/s, want %.3g", measure.Chips[i].Name, got, want)
		}
	}
	a100 := measure.Chips[0]
	if p := a100.Predict(measure.Result{Cost: kernels.Cost{Bytes: 1555e6, FLOPs: 1}}); math.Abs(p.Seconds-1e-3) > 1e-6 || p.By != measure.Memory {
		t.Errorf("1.555 GB: %+v", p)
	}
	if p := a100.Predict(measure.Result{Cost: kernels.Cost{Bytes: 1, FLOPs: 19.49e9}}); math.Abs(p.Seconds-1e-3) > 1e-6 || p.By != measure.FP32 {
		t.Errorf("19.5 GFLOP: %+v", p)
	}
}
