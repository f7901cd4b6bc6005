package cuda

// The memory pool: freed memory is kept by size and used again. All work is in
// the order of one stream, so memory may be given out while kernels that used it
// before are still waiting to run.

import (
	"fmt"
	"math"
	"math/bits"
)

// MemoryError is an allocation that does not fit.
type MemoryError struct {
	Wanted, Free, Total int64 // bytes
	Err                 error
}

// Error says how much is missing.
func (e *MemoryError) Error() string {
	return fmt.Sprintf("cuda: %d bytes wanted, %d of %d are free: %v", e.Wanted, e.Free, e.Total, e.Err)
}

// Unwrap is the driver's error.
func (e *MemoryError) Unwrap() error { return e.Err }

// pool is used by the device's goroutine; its driver calls run on the worker.
type pool struct {
	dev   *Device
	exact bool                // no rounding and no reuse: each allocation has edges of its own
	live  map[Address]int64   // size of each allocation given out
	free  map[int64][]Address // kept for reuse, by size
	kept  int64               // bytes of those
}

const (
	granule   = 256
	largeSize = 64 << 20 // from here on sizes are not rounded to classes
	largeStep = 2 << 20  // but to the driver's pages
)

// class rounds a size to one of eight in each octave, so that sizes that are
// nearly the same reuse each other's memory, at the cost of an eighth at most.
func class(size int64) int64 {
	switch {
	case size <= granule:
		return granule
	case size >= largeSize:
		return (size + largeStep - 1) / largeStep * largeStep
	}
	step := max(int64(1)<<(bits.Len64(uint64(size-1))-4), granule)
	return (size + step - 1) / step * step
}

// take gives memory of at least size bytes. Exact sizes are for weights, which
// come once.
func (p *pool) take(size int64, exact bool) (Address, error) {
	if size < 0 || size > math.MaxInt64-largeStep {
		return 0, fmt.Errorf("cuda: cannot allocate %d bytes", size)
	}
	n := class(size)
	switch {
	case p.exact:
		n = max(size, 1)
	case exact && size < largeSize:
		n = (max(size, 1) + granule - 1) / granule * granule
	}
	if kept := p.free[n]; len(kept) > 0 {
		a := kept[len(kept)-1]
		p.free[n] = kept[:len(kept)-1]
		p.kept -= n
		p.live[a] = n
		return a, nil
	}
	a, err := p.grow(n)
	if codeOf(err) == OutOfMemory {
		if p.kept > 0 {
			if err := p.trim(); err != nil {
				return 0, err
			}
			a, err = p.grow(n)
		}
		if codeOf(err) == OutOfMemory {
			free, total, infoErr := p.dev.MemInfo()
			if infoErr != nil {
				return 0, infoErr
			}
			return 0, &MemoryError{n, free, total, err}
		}
	}
	if err != nil {
		return 0, err
	}
	if p.live == nil {
		p.live, p.free = map[Address]int64{}, map[int64][]Address{}
	}
	p.live[a] = n
	return a, nil
}

// grow asks the driver.
func (p *pool) grow(n int64) (a Address, err error) {
	err = p.dev.call(func(drv Driver) (err error) {
		if p.dev.limits.pools {
			a, err = drv.MemAllocAsync(n, p.dev.stream)
		} else {
			a, err = drv.MemAlloc(n)
		}
		return err
	})
	return a, err
}

// give takes memory back.
func (p *pool) give(a Address) {
	n, ok := p.live[a]
	if !ok {
		return
	}
	delete(p.live, a)
	if p.exact {
		// An error shows again at the next Sync.
		_ = p.dev.call(func(drv Driver) error { return p.drop(drv, a) })
		return
	}
	p.free[n] = append(p.free[n], a)
	p.kept += n
}

// drop gives memory to the driver; it runs on the worker.
func (p *pool) drop(drv Driver, a Address) error {
	if p.dev.limits.pools {
		return drv.MemFreeAsync(a, p.dev.stream)
	}
	return drv.MemFree(a)
}

// trim gives all kept memory to the driver. Frees in stream order take effect
// when the stream has come so far.
func (p *pool) trim() error {
	return p.dev.call(func(drv Driver) error {
		for n, kept := range p.free {
			for _, a := range kept {
				if err := p.drop(drv, a); err != nil {
					return err
				}
			}
			delete(p.free, n)
		}
		p.kept = 0
		return drv.StreamSynchronize(p.dev.stream)
	})
}

// release gives everything to the driver; it runs on the worker.
func (p *pool) release(keep func(error)) {
	for a := range p.live {
		keep(p.drop(p.dev.driver, a))
	}
	for _, kept := range p.free {
		for _, a := range kept {
			keep(p.drop(p.dev.driver, a))
		}
	}
	*p = pool{dev: p.dev, exact: p.exact}
}
