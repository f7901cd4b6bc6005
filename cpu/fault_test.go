//go:build unix && !portable

package cpu

// A checkpoint that is cut short while it is mapped.

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/godwit-ml/godwit/quant"
	"github.com/godwit-ml/godwit/runtime"
)

// mapFile maps a new file of zeros until the test ends.
func mapFile(t *testing.T, size int) (file *os.File, mapped []byte) {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "weights"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	if err := file.Truncate(int64(size)); err != nil {
		t.Fatal(err)
	}
	mapped, err = syscall.Mmap(int(file.Fd()), 0, size, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Munmap(mapped); err != nil {
			t.Error(err)
		}
	})
	return file, mapped
}

func TestFileCutShort(t *testing.T) {
	const rows, cols = 4096, 256
	d := open(t, 3)
	file, mapped := mapFile(t, rows*cols*4)
	w, err := d.Load(runtime.HostTensor(quant.F32, rows, cols, mapped), runtime.UseProduct|runtime.UseTable)
	if err != nil {
		t.Fatal(err)
	}
	half := runtime.HostTensor(quant.F16, rows, 2*cols, mapped)
	x, out, picked := random(t, d, 1, 2, cols), empty(t, d, 2, rows), empty(t, d, 2, cols)
	product := &runtime.MatMul{Out: out, X: x, W: w}
	gather := &runtime.Gather{Out: picked, Table: w, IDs: ints(t, d, 0, rows-1)}
	run(t, d, product)
	run(t, d, gather)

	// Half of it is left, so that all workers are busy when one meets the end.
	if err := file.Truncate(rows * cols * 2); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if err := d.Run(product); !errors.Is(err, ErrFault) {
			t.Errorf("product: %v, want ErrFault", err)
		}
		if err := d.Run(gather); !errors.Is(err, ErrFault) {
			t.Errorf("gather: %v, want ErrFault", err)
		}
		if _, err := d.Load(half, runtime.UseProduct); !errors.Is(err, ErrFault) {
			t.Errorf("load: %v, want ErrFault", err)
		}
		if err := d.Download(make([]byte, cols*4), w.RowRange(rows-1, rows)); !errors.Is(err, ErrFault) {
			t.Errorf("download: %v, want ErrFault", err)
		}
	}
	// The device itself is unharmed.
	run(t, d, &runtime.Norm{Out: picked, X: x})
}

// TestFileCutShortFast: what was packed stays, what is read where it is mapped
// fails, and so does packing, of a type that is kept and of one that is measured.
func TestFileCutShortFast(t *testing.T) {
	eachPath(t, Options{Threads: 3}, func(t *testing.T, d *Device) {
		const rows, cols = 2048, 256
		file, mapped := mapFile(t, rows*cols*4)
		tied := runtime.HostTensor(quant.F32, rows, cols, mapped)
		w, err := d.Load(tied, runtime.UseProduct|runtime.UseTable)
		if err != nil {
			t.Fatal(err)
		}
		out, picked := empty(t, &d.Reference, 2, rows), empty(t, &d.Reference, 2, cols)
		product := &runtime.MatMul{Out: out, X: random(t, &d.Reference, 1, 2, cols), W: w}
		gather := &runtime.Gather{Out: picked, Table: w, IDs: ints(t, &d.Reference, 0, rows-1)}
		mustRun(t, d, gather)
		if err := file.Truncate(rows * cols * 2); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			mustRun(t, d, product)
			if err := d.Run(gather); !errors.Is(err, ErrFault) {
				t.Errorf("gather: %v, want ErrFault", err)
			}
			for _, host := range []runtime.Tensor{tied, runtime.HostTensor(quant.F16, rows, 2*cols, mapped), runtime.HostTensor(quant.Q5_0, rows, 4*cols, mapped)} {
				before := d.packed
				if _, err := d.Load(host, runtime.UseProduct); !errors.Is(err, ErrFault) {
					t.Errorf("load %v: %v, want ErrFault", host, err)
				}
				if _, err := d.opt.Runs(host); host.DType == quant.Q5_0 && !errors.Is(err, ErrFault) {
					t.Errorf("the type that %v runs in: %v, want ErrFault", host, err)
				}
				if d.packed != before {
					t.Errorf("load %v: %d bytes count as packed, were %d", host, d.packed, before)
				}
			}
		}
	})
}
