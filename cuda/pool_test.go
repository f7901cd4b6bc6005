package cuda

import (
	"errors"
	"testing"

	"github.com/godwit-ml/godwit/kernels"
	"github.com/godwit-ml/godwit/runtime"
)

func TestClass(t *testing.T) {
	last := int64(0)
	for n := int64(0); n < 1<<31; n = n + n/50 + 1 {
		c := class(n)
		if c < n || c < last || c%granule != 0 || c > max(granule, n+n/8+granule) && n < largeSize || c > n+largeStep && n >= largeSize {
			t.Fatalf("class(%d) = %d after %d", n, c, last)
		}
		if class(c) != c {
			t.Fatalf("class(%d) = %d, class of that %d", n, c, class(c))
		}
		last = c
	}
}

// pooled is a device that pools, with and without stream-ordered allocation.
func pooled(t *testing.T, ordered bool, limit int64) *Device {
	return mustOpen(t, func(cfg Config) (*Device, error) {
		return New(newEmulator(cfg, ordered), "pooled", 0, cfg)
	}, Config{MemoryLimit: limit})
}

func TestPool(t *testing.T) {
	for name, ordered := range map[string]bool{"cuMemAlloc": false, "cuMemAllocAsync": true} {
		t.Run(name, func(t *testing.T) {
			const limit = 1 << 20
			d := pooled(t, ordered, limit)
			calls := func() int64 { return d.Calls()[name] }
			a, err := d.Alloc(1000)
			must(t, err)
			addr := a.Addr
			d.Free(a)
			if free, total, err := d.MemInfo(); free != limit || total != limit || err != nil {
				t.Errorf("%d of %d free, %v", free, total, err)
			}
			dirty := f32(t, d, 1, 250, iota32(250)...)
			must(t, d.Sync())
			d.Free(dirty.Mem)
			before := calls()
			b, err := d.Alloc(1010) // of the same class
			must(t, err)
			for i, v := range read(t, d, runtime.Tensor{Mem: b, DType: runtime.F32, Rows: 1, Cols: 252, Stride: 252}) {
				if v != 0 {
					t.Fatalf("element %d of memory used again is %v", i, v)
				}
			}
			if b.Addr != addr || calls() != before {
				t.Errorf("memory was not used again: %d calls", calls()-before)
			}
			// 700 KiB are in use or kept; as much again is there only without what
			// is kept.
			var kept []*runtime.Memory
			for range 70 {
				m, err := d.Alloc(10 << 10)
				must(t, err)
				kept = append(kept, m)
			}
			for _, m := range kept {
				d.Free(m)
			}
			c, err := d.Alloc(900 << 10)
			must(t, err)
			var full *MemoryError
			if _, err := d.Alloc(200 << 10); !errors.As(err, &full) || full.Wanted < 200<<10 || full.Total != limit || full.Free <= 0 || full.Free >= full.Wanted || codeOf(err) != OutOfMemory {
				t.Errorf("%v", err)
			}
			// The failure is no batch's, and the device goes on.
			must(t, d.Sync())
			d.Free(c)
			c, err = d.Alloc(800 << 10)
			must(t, err)
			d.Free(c)
			if _, err := d.Load(runtime.HostF32(1024, 1024, make([]float32, 1<<20)), runtime.UseProduct); !errors.As(err, &full) {
				t.Errorf("load: %v", err)
			}
		})
	}
}

// TestExact: the emulated device gives each allocation edges of its own, so that
// a kernel that runs over the end is found.
func TestExact(t *testing.T) {
	d := mustOpen(t, NewPTX, Config{Kernels: []*kernels.Kernel{scaling()}})
	x, y := f32(t, d, 1, 3), f32(t, d, 1, 3)
	over := runtime.Tensor{Mem: x.Mem, DType: runtime.F32, Rows: 1, Cols: 4, Stride: 4}
	must(t, d.Run(scale(y, over, 2)))
	if err := d.Sync(); !errors.Is(err, ErrLost) {
		t.Errorf("four elements of three: %v", err)
	}
}
