package cpu

import (
	"sync/atomic"
	"testing"
)

// counting counts its tasks.
type counting struct{ n atomic.Int64 }

func (c *counting) task(*worker, int) { c.n.Add(1) }

// nothing is a job that does nothing, to time what a fork and join costs.
type nothing struct{}

func (nothing) task(*worker, int) {}

func TestPoolRunsEveryTaskOnce(t *testing.T) {
	for threads := 1; threads <= 5; threads++ {
		var p pool
		p.start(threads)
		for tasks := range 200 {
			c := &counting{}
			if err := p.run(c, tasks, 1e9); err != nil {
				t.Fatal(err)
			}
			if got := c.n.Load(); got != int64(tasks) {
				t.Fatalf("%d threads ran %d tasks of %d", threads, got, tasks)
			}
		}
		p.stop()
	}
}

// BenchmarkForkJoin is a job of nothing on two threads.
func BenchmarkForkJoin(b *testing.B) {
	var p pool
	p.start(2)
	defer p.stop()
	for b.Loop() {
		_ = p.run(nothing{}, 2, 1e9)
	}
}
