package cpu

// What New refuses, and how.

import (
	"errors"
	"strings"
	"testing"

	"github.com/godwit-ml/godwit/cpu/simd"
	"github.com/godwit-ml/godwit/quant"
	"github.com/godwit-ml/godwit/runtime"
)

// TestNewRefuses holds what New says to what it refuses.
func TestNewRefuses(t *testing.T) {
	for want, opt := range map[string]Options{
		`no path "mmx" here; there is: `:          {Path: "mmx"},
		"-1 threads, want 1 to 1024":              {Threads: -1},
		"1025 threads, want 1 to 1024":            {Threads: MaxThreads + 1},
		"turned into Q5_0 while they are loaded":  {Weights: quant.Q5_0},
		"turned into I32 while they are loaded: ": {Weights: runtime.I32},
	} {
		d, err := New(opt)
		if d != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", opt, err, want)
		}
	}
	for p := simd.Best() + 1; p <= simd.AMX; p++ {
		if _, err := New(Options{Path: p.String()}); !errors.Is(err, runtime.ErrUnsupported) || !strings.Contains(err.Error(), simd.Names()) {
			t.Errorf("%v, which is not here: %v", p, err)
		}
	}
}
