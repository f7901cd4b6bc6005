package simd

// Ceilings: that each runs, how often it computes what it says, and that loops
// which read stay inside of what they are given.

import (
	"bytes"
	"testing"
	"time"
)

func TestCeilings(t *testing.T) {
	rate := map[Path]map[string]float64{}
	for p := Portable; p <= Best(); p++ {
		c := CeilingsOf(p)
		rate[p] = map[string]float64{}
		for _, loop := range c.Compute {
			best := time.Hour
			const rounds = 20_000
			for range 20 {
				start := time.Now()
				loop.Run(rounds)
				best = min(best, time.Since(start))
			}
			rate[p][loop.Name] = float64(loop.Ops) * rounds / best.Seconds() / 1e9
		}
		if len(c.Read) == 0 || c.Path != p {
			t.Errorf("%v: %+v", p, c)
		}
		for name, r := range rate[p] {
			t.Logf("%v %s: %.1f G/s", p, name, r)
		}
	}
	// Each is so much wider than another that no noise hides an error in Ops.
	for _, want := range []struct {
		path, than      Path
		name, other     string
		atLeast, atMost float64
	}{
		{AVX2, Portable, "f32", "f32", 2, 40},
		{AVX512, AVX2, "f32", "f32", 0.6, 3},
		{VNNI, VNNI, "bf16", "f32", 0.4, 4},
		{VNNI, VNNI, "int8", "bf16", 1.3, 12},
		{AMX, AMX, "tile bf16", "bf16", 3, 50},
		{AMX, AMX, "tile int8", "tile bf16", 1.3, 3},
		{AVX2, AVX2, "f32", "exp", 10, 60},
		{AVX512, AVX512, "f32", "exp", 10, 60},
	} {
		if want.path > Best() {
			continue
		}
		if r := rate[want.path][want.name] / rate[want.than][want.other]; !(r >= want.atLeast && r <= want.atMost) {
			t.Errorf("%v %s is %.2f times %v %s, want %v to %v", want.path, want.name, r, want.than, want.other, want.atLeast, want.atMost)
		}
	}
}

func TestReadCeilings(t *testing.T) {
	for p := Portable; p <= Best(); p++ {
		for _, read := range CeilingsOf(p).Read {
			for _, n := range []int{0, 1, 63, 255, 256, 1024, 5000, 3<<20 + 77} {
				b := bytes.Repeat([]byte{7}, n)
				read(b)
			}
			b := bytes.Repeat([]byte{7}, 8<<20) // written: what never was shares one page
			read(b)
			best := time.Hour
			for range 5 {
				start := time.Now()
				read(b)
				best = min(best, time.Since(start))
			}
			rate := float64(len(b)) / best.Seconds() / 1e9
			t.Logf("%v: %.1f GB/s", p, rate)
			if rate < 0.5 || rate > 2000 {
				t.Errorf("%v reads %.1f GB/s", p, rate)
			}
		}
	}
}
