package main

// What this machine can do at most, measured before anything is compared with it.

import (
	"fmt"
	"io"
	goruntime "runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godwit-ml/godwit/cpu/simd"
)

// rate is what repeats of a loop gave, in units of 10⁹ a second.
type rate struct {
	Median float64 `json:"median"`
	Best   float64 `json:"best"`
}

// ceilings are the machine's.
type ceilings struct {
	Compute map[string]map[int]rate `json:"compute"` // by kind and threads: products with sums count two operations, exponentials one
	Read    []readCeiling           `json:"read"`
	path    simd.Ceilings
	threads int
}

// readCeiling is how fast a buffer is read that all threads share, in GB/s.
type readCeiling struct {
	Bytes   int64 `json:"bytes"`
	Threads int   `json:"threads"`
	rate
}

const (
	ceilingRepeats = 15
	ceilingTime    = 2 * time.Millisecond // of a repeat
	ceilingCall    = 200 * time.Microsecond
)

// measureCeilings measures all kinds of products on one thread and on so many.
func measureCeilings(p simd.Path, threads int) *ceilings {
	c := &ceilings{Compute: map[string]map[int]rate{}, path: simd.CeilingsOf(p), threads: threads}
	c.again()
	return c
}

// again measures products once more, and keeps what is better.
func (c *ceilings) again() {
	for _, loop := range c.path.Compute {
		if c.Compute[loop.Name] == nil {
			c.Compute[loop.Name] = map[int]rate{}
		}
		for _, n := range uniq(1, c.threads) {
			was, now := c.Compute[loop.Name][n], measureCompute(loop, n)
			c.Compute[loop.Name][n] = rate{max(was.Median, now.Median), max(was.Best, now.Best)}
		}
	}
}

func uniq(a, b int) []int { return slices.Compact([]int{a, b}) }

// measureCompute runs a loop on threads at once.
func measureCompute(loop simd.Ceiling, threads int) rate {
	rounds := 64
	for {
		start := time.Now()
		loop.Run(rounds)
		if time.Since(start) > ceilingCall || rounds > 1<<30 {
			break
		}
		rounds *= 2
	}
	calls := int(ceilingTime / ceilingCall)
	return repeatRate(float64(loop.Ops)*float64(rounds)*float64(calls*threads), ceilingRepeats, threads, func(int) {
		for range calls {
			loop.Run(rounds)
		}
	})
}

// repeatRate times f on threads that begin together, each with its number, until the
// last has ended, after one time to warm up.
func repeatRate(work float64, repeats, threads int, f func(thread int)) rate {
	var rates []float64
	for i := range repeats + 1 {
		var ready atomic.Int32
		var all sync.WaitGroup
		var begin, end atomic.Int64
		zero := time.Now()
		for thread := range threads {
			all.Go(func() {
				goruntime.LockOSThread()
				defer goruntime.UnlockOSThread()
				ready.Add(1)
				for ready.Load() < int32(threads) { // awake, so that they begin together
				}
				begin.CompareAndSwap(0, int64(time.Since(zero)))
				f(thread)
				now := int64(time.Since(zero))
				for was := end.Load(); was < now && !end.CompareAndSwap(was, now); was = end.Load() {
				}
			})
		}
		all.Wait()
		if i > 0 {
			rates = append(rates, work/float64(max(end.Load()-begin.Load(), 1)))
		}
	}
	slices.Sort(rates)
	return rate{Median: median(rates), Best: rates[len(rates)-1]}
}

// read is the rate of a buffer of so many bytes; each size is measured once.
func (c *ceilings) read(bytes int64, threads int) rate {
	for _, r := range c.Read {
		if r.Bytes == bytes && r.Threads == threads {
			return r.rate
		}
	}
	r := newReader(c.path, bytes, threads).measure(ceilingRepeats)
	c.Read = append(c.Read, readCeiling{bytes, threads, r})
	return r
}

// readAgain measures a size once more, keeps what is better, and returns it.
func (c *ceilings) readAgain(bytes int64, threads int) rate {
	was := c.read(bytes, threads)
	now := newReader(c.path, bytes, threads).measure(ceilingRepeats)
	better := rate{max(was.Median, now.Median), max(was.Best, now.Best)}
	for i, r := range c.Read {
		if r.Bytes == bytes && r.Threads == threads {
			c.Read[i].rate = better
		}
	}
	return better
}

// reader reads a buffer again and again.
type reader struct {
	ways    []func([]byte)
	parts   [][]byte
	bytes   int64
	passes  int // of a repeat
	fastest int
}

func newReader(c simd.Ceilings, bytes int64, threads int) *reader {
	r := &reader{ways: c.Read, passes: max(1, int((16<<20)/max(bytes, 1)))}
	part := bytes / int64(threads) &^ 4095
	for range threads {
		b := make([]byte, part)
		for i := range b { // memory that was never written is one page, shared
			b[i] = byte(i)
		}
		r.parts = append(r.parts, b)
		r.bytes += part
	}
	return r
}

// measure tries each way to read and returns the fastest.
func (r *reader) measure(repeats int) rate {
	var best rate
	for i := range r.ways {
		if got := r.once(i, repeats); got.Median > best.Median {
			best, r.fastest = got, i
		}
	}
	return best
}

func (r *reader) once(way, repeats int) rate {
	return repeatRate(float64(r.bytes)*float64(r.passes), repeats, len(r.parts), func(thread int) {
		for range r.passes {
			r.ways[way](r.parts[thread])
		}
	})
}

// kinds lists what was measured, in the order of the path.
func (c *ceilings) kinds() []string {
	var names []string
	for _, name := range []string{"f32", "bf16", "int8", "tile bf16", "tile int8", "exp"} {
		if _, ok := c.Compute[name]; ok {
			names = append(names, name)
		}
	}
	return names
}

// of is the best of a kind on the threads of the run, as a ceiling is; 0 if it was not
// measured.
func (c *ceilings) of(kind string) float64 { return c.Compute[kind][c.threads].Best }

// products is the highest rate of products that a machine without a better kind has:
// that of tiles, of vectors, of float32.
func (c *ceilings) products(kind string) float64 {
	for _, k := range []string{"tile " + kind, kind} {
		if v := c.of(k); v > 0 && v > c.of("f32") {
			return v
		}
	}
	return c.of("f32")
}

func (c *ceilings) print(w io.Writer) {
	for _, kind := range c.kinds() {
		for _, n := range uniq(1, c.threads) {
			r := c.Compute[kind][n]
			unit := "GFLOP/s"
			switch kind {
			case "int8", "tile int8":
				unit = "GOP/s"
			case "exp":
				unit = "G/s"
			}
			fmt.Fprintf(w, "ceiling  %-10s %d threads  %8.1f %s (best %.1f)\n", kind, n, r.Median, unit, r.Best)
		}
	}
	for _, r := range c.Read {
		fmt.Fprintf(w, "ceiling  read %4.0f MB %d threads  %8.1f GB/s (best %.1f)\n", float64(r.Bytes)/1e6, r.Threads, r.Median, r.Best)
	}
}
