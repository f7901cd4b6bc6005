//go:build unix && !portable

package cuda

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

func TestFileCutShort(t *testing.T) {
	const rows, cols = 4096, 256
	d := mustOpen(t, NewPTX, Config{})
	file, err := os.Create(filepath.Join(t.TempDir(), "weights"))
	must(t, err)
	defer file.Close()
	must(t, file.Truncate(rows*cols*4))
	mapped, err := syscall.Mmap(int(file.Fd()), 0, rows*cols*4, syscall.PROT_READ, syscall.MAP_SHARED)
	must(t, err)
	defer func() { must(t, syscall.Munmap(mapped)) }()
	must(t, file.Truncate(rows*cols*2))
	for _, host := range []runtime.Tensor{runtime.HostTensor(quant.F32, rows, cols, mapped), runtime.HostTensor(quant.BF16, rows, 2*cols, mapped)} {
		if _, err := d.Load(host, runtime.UseProduct); !errors.Is(err, ErrFault) {
			t.Errorf("%v: %v, want ErrFault", host, err)
		}
	}
	// The device is unharmed, and what was allocated is free.
	if free, total, err := d.MemInfo(); free != total || err != nil {
		t.Errorf("%d of %d free, %v", free, total, err)
	}
	x := f32(t, d, 1, 1, 5)
	must(t, d.Run(scale(x, x, 2)))
	if read(t, d, x)[0] != 10 {
		t.Error("wrong afterwards")
	}
}
