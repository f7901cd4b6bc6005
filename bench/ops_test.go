package main

// That every operation has a row on devices with and without kernels, and how timings are made of repeats.

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestOps(t *testing.T) {
	var out, notes strings.Builder
	if err := run([]string{"ops", "-device", "ptx", "-short", "-json", "-op", "Norm"}, &out, &notes); err != nil {
		t.Fatal(err, notes.String())
	}
	for line := range strings.Lines(out.String()) {
		var r result
		if err := json.Unmarshal([]byte(line), &r); err != nil || r.Op != "Norm" || r.Kernel == "" || r.NS <= 0 || r.GBs <= 0 {
			t.Errorf("%s: %v", line, err)
		}
	}
	out.Reset()
	if err := run([]string{"ops", "-short"}, &out, &notes); err != nil {
		t.Fatal(err)
	}
	for _, op := range []string{"Gather", "MatMul", "Norm", "Pointwise", "RoPE", "StoreKV", "CopyBlocks", "Attention", "TopK", "Combine"} {
		if !strings.Contains(out.String(), "Benchmark"+op+"/") {
			t.Errorf("no row of %s:\n%s", op, out.String())
		}
	}
	for _, args := range [][]string{nil, {"fly"}, {"ops", "-device", "abacus"}, {"ops", "-op", "Fly"}, {"ops", "-repeats", "0"}} {
		if err := run(args, &out, &notes); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}

func TestMeasure(t *testing.T) {
	calls := 0
	timed, err := measure(func(n int) error { calls += n; time.Sleep(time.Duration(n) * time.Millisecond); return nil }, 20*time.Millisecond, 5)
	if err != nil || timed.Median < time.Millisecond || timed.Median > 50*time.Millisecond || timed.Inner < 2 || timed.Runs != 5 || calls < 6*timed.Inner {
		t.Errorf("%+v, %d calls, %v", timed, calls, err)
	}
}
