package engine

// What a step of the engine allocates on the CPU device.

import (
	"context"
	"fmt"
	goruntime "runtime"
	"testing"

	"github.com/godwit-ml/godwit/cpu"
	"github.com/godwit-ml/godwit/cpu/simd"
	"github.com/godwit-ml/godwit/runtime"
)

// TestDecodeAllocatesNothing counts what the allocator is asked for between the
// 16th and the 80th token of two answers. What grows with them - the reader's
// mailbox, the tables of blocks - does so in few steps; the others want nothing.
func TestDecodeAllocatesNothing(t *testing.T) {
	for _, row := range []struct {
		name string
		opt  cpu.Options
		kv   runtime.DType
	}{
		{"llama", cpu.Options{}, runtime.F16},
		{"llama", cpu.Options{Exact: true}, runtime.F32},
		{"gpt2", cpu.Options{Weights: runtime.BF16}, runtime.BF16},
		{"mixtral", cpu.Options{}, runtime.F16},
		{"gemma2", cpu.Options{}, runtime.F32},
		{"falcon-alibi12", cpu.Options{Weights: runtime.F16}, runtime.F16},
		{"llama", cpu.Options{Weights: runtime.F16}, runtime.F16},
	} {
		for _, p := range []simd.Path{simd.Best(), simd.Portable} {
			row.opt.Path, row.opt.Threads = p.String(), 2
			t.Run(fmt.Sprintf("%s/%v/exact %v", row.name, p, row.opt.Exact), func(t *testing.T) {
				d, err := cpu.New(row.opt)
				if err != nil {
					t.Fatal(err)
				}
				e, _ := newEngineOn(t, row.name, d, Config{KVDType: row.kv})
				request := greedy(100, []int32{5, 9, 200}, []int32{17, 3, 44, 9})
				answers(t, submit(t, e, request)) // scratch grows
				steps := stepsOf(t, e, request)
				steps(16)
				all, free := uint64(0), 0
				for _, n := range steps(64) {
					if all += n; n == 0 {
						free++
					}
				}
				if free < 32 || all > 64 { // the runtime itself allocates now and then
					t.Errorf("%d of 64 steps allocated nothing, the others %d times", free, all)
				}
			})
		}
	}
}

// stepsOf begins a request on the engine's goroutine, and gives what runs steps of
// it there: how often each allocated.
func stepsOf(t *testing.T, e *Engine, req Request) func(n int) []uint64 {
	t.Helper()
	g := &generation{e: e, ctx: t.Context(), req: req, run: &Run{wake: make(chan struct{}, 1)}}
	on := func(f func() error) {
		t.Helper()
		if err := e.Do(context.Background(), func(*runtime.Stream) error { return f() }); err != nil {
			t.Fatal(err)
		}
	}
	on(func() error {
		if !g.admit() {
			t.Error("the request does not begin")
		}
		return nil
	})
	t.Cleanup(func() { on(func() error { g.end(nil); return nil }) })
	return func(n int) []uint64 {
		t.Helper()
		counts := make([]uint64, n)
		on(func() error {
			for i := range n {
				var before, after goruntime.MemStats
				goruntime.ReadMemStats(&before)
				done := g.step()
				goruntime.ReadMemStats(&after)
				if counts[i] = after.Mallocs - before.Mallocs; done {
					t.Error("the answers have ended")
					break
				}
			}
			return nil
		})
		return counts
	}
}
