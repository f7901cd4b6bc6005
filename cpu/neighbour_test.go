package cpu

// A busy neighbour: what is left of two threads when another process takes one
// of two processors.

import (
	"os"
	"os/exec"
	goruntime "runtime"
	"slices"
	"testing"
	"time"
)

// spin is what a process that only keeps a processor busy is told to do.
const spin = "GODWIT_TEST_SPIN"

// rounds counts the steps that a pool of n threads makes in a time: a step is what
// a decoded token has, many short operations one after the other.
func rounds(threads int, d time.Duration) int {
	var p pool
	p.start(threads)
	defer p.stop()
	n := 0
	for began := time.Now(); time.Since(began) < d; n++ {
		for range 100 {
			_ = p.run(grinding{}, 16, 1e9)
		}
	}
	return n
}

// grinding is a job whose tasks take about a microsecond each.
type grinding struct{}

func (grinding) task(*worker, int) {
	x := 1.0
	for range 1000 {
		x = x*0.999 + 1e-9
	}
	if x == 0 {
		panic("cpu: sums do not vanish")
	}
}

func TestBusyNeighbour(t *testing.T) {
	if os.Getenv(spin) != "" {
		for began := time.Now(); time.Since(began) < 20*time.Second; {
		}
		return
	}
	if os.Getenv("GODWIT_TEST_QUIET") == "" {
		t.Skip("wants a machine on which nothing else runs: GODWIT_TEST_QUIET=1")
	}
	cores := goruntime.NumCPU()
	if cores < 2 {
		t.Skip("one processor only")
	}
	for range cores - 1 { // all processors but one
		hog := exec.Command(os.Args[0], "-test.run", "^TestBusyNeighbour$")
		hog.Env = append(os.Environ(), spin+"=1", "GOMAXPROCS=1")
		if err := hog.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = hog.Wait() }()
		defer func() { _ = hog.Process.Kill() }()
	}
	var ratios []float64
	for range 5 {
		one, two := rounds(1, 700*time.Millisecond), rounds(cores, 700*time.Millisecond)
		ratios = append(ratios, float64(two)/float64(one))
	}
	slices.Sort(ratios)
	t.Logf("%d threads beside busy processes do %.2f of what one does (%.2f)", cores, ratios[2], ratios)
	if ratios[2] < 0.9 {
		t.Errorf("%d threads beside busy processes do %.2f of what one thread does, want 0.9", cores, ratios[2])
	}
}
