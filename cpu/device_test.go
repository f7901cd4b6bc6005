package cpu

import (
	"os"
	"testing"

	"github.com/godwit-ml/godwit/cpu/simd"
	"github.com/godwit-ml/godwit/runtime/devicetest"
)

// eachPath runs f on a device of every path there is here; on an emulated
// processor and under the race detector, which are slow, of the best one alone.
func eachPath(t *testing.T, opt Options, f func(t *testing.T, d *Device)) {
	t.Helper()
	first := simd.Portable
	if watched || os.Getenv("GODWIT_TEST_PATH") != "" {
		first = simd.Best()
	}
	for p := first; p <= simd.Best(); p++ {
		t.Run(p.String(), func(t *testing.T) {
			opt.Path = p.String()
			d, err := New(opt)
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			f(t, d)
		})
	}
}

func TestDeviceConformance(t *testing.T) {
	eachPath(t, Options{Exact: true}, func(t *testing.T, d *Device) { devicetest.Run(t, d) })
}

func TestDeviceConformanceFast(t *testing.T) {
	eachPath(t, Options{}, func(t *testing.T, d *Device) {
		target := devicetest.On(d)
		target.Fast = true
		devicetest.RunTarget(t, target)
	})
}
