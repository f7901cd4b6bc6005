package cuda

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/godwit-ml/godwit/kernels"
	"github.com/godwit-ml/godwit/runtime"
)

// generation is work such as that of a request: a weight is loaded, and each
// step allocates, uploads, runs kernels, and downloads. It returns the first
// error, or one of its own where a result is wrong.
func generation(d *Device, steps int) (err error) {
	w, err := d.Load(runtime.HostF32(4, 50, iota32(200)), runtime.UseProduct)
	if err != nil {
		return err
	}
	defer d.Free(w.Mem)
	for step := range steps {
		m, err := d.Alloc(int64(4 * 200 * (step + 1)))
		if err != nil {
			return err
		}
		x := runtime.Tensor{Mem: m, DType: runtime.F32, Rows: 1, Cols: 200, Stride: 200}
		err = func() error {
			if err := d.Upload(x, runtime.HostF32(1, 200, iota32(200)).Bytes()); err != nil {
				return err
			}
			for range 5 {
				if err := d.Run(scale(x, x, 2)); err != nil {
					return err
				}
			}
			got, err := tryRead(d, x)
			if err != nil {
				return err
			}
			for i, v := range got {
				if v != 32*float32(i) {
					return fmt.Errorf("step %d: element %d is %v", step, i, v)
				}
			}
			return nil
		}()
		d.Free(m)
		if err != nil {
			return err
		}
	}
	return nil
}

// faultAtOpen are the kinds that a device meets before it is open.
var faultAtOpen = map[FaultKind]string{
	FaultInit: "cuInit: CUDA_ERROR_SYSTEM_NOT_READY", FaultNoDevice: "cuDeviceGetCount: CUDA_ERROR_NO_DEVICE",
	FaultContext: "cuDevicePrimaryCtxRetain: CUDA_ERROR_DEVICE_UNAVAILABLE",
}

func TestFaultsAtOpen(t *testing.T) {
	for _, e := range emulations {
		for kind, want := range faultAtOpen {
			faults := &Faults{}
			faults.Inject(Fault{Kind: kind})
			cfg := Config{Kernels: []*kernels.Kernel{scaling()}, Faults: faults}
			d, err := e.open(cfg)
			var call *DriverError
			if d != nil || !errors.As(err, &call) || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: fault %d: %v, want %s", e.name, kind, err, want)
			}
			// The next one opens.
			must(t, generation(mustOpen(t, e.open, cfg), 1))
		}
	}
}

// TestFaults injects every kind at random moments of a generation: the error
// names a kernel or call, the next request works - on the same device where its
// context lives on, else on another -, and nothing is left behind.
func TestFaults(t *testing.T) {
	rounds := 20
	if testing.Short() {
		rounds = 5
	}
	each(t, func(t *testing.T, open func(Config) *Device) {
		rng := rand.New(rand.NewPCG(77, 1))
		for kind := FaultMemory; kind < numFaultKind; kind++ {
			hits := 0
			for range rounds {
				faults := &Faults{}
				d := open(Config{Kernels: []*kernels.Kernel{scaling()}, Faults: faults, Staging: 4096, Blocking: rng.IntN(2) == 0})
				most := map[FaultKind]int{FaultMemory: 6, FaultHost: 5, FaultImage: 1, FaultFunction: 1, FaultCopy: 10, FaultLaunch: 25, FaultAddress: 25, FaultLost: 60}[kind]
				faults.Inject(Fault{Kind: kind, After: rng.IntN(most), Times: 1 + rng.IntN(3)})
				err := generation(d, 5)
				hit := faults.Hits() > 0
				if hit {
					hits++
				}
				// Memory that is kept for reuse makes good for one allocation that fails.
				if hit != (err != nil) && !(hit && kind == FaultMemory) {
					t.Fatalf("fault %d: hit %v, error %v", kind, hit, err)
				}
				// Calls that end things may be the ones that fail.
				faults.Clear()
				if err == nil {
					continue
				}
				if text := err.Error(); !strings.Contains(text, "test_scale") && !strings.Contains(text, "cuM") && !strings.Contains(text, "cuE") && !strings.Contains(text, "cuStream") {
					t.Errorf("fault %d: %q names neither kernel nor call", kind, text)
				}
				var call *DriverError
				switch {
				case kind == FaultImage || kind == FaultFunction:
					// The kernel is out and stays out: its operation goes elsewhere.
					if !errors.Is(err, runtime.ErrUnsupported) {
						t.Errorf("fault %d: %v", kind, err)
					}
					continue
				case !errors.As(err, &call):
					t.Errorf("fault %d: no *DriverError: %v", kind, err)
				case kind == FaultLaunch && call.Kernel != "test_scale":
					t.Errorf("the kernel of a launch is missing: %v", err)
				case kind == FaultAddress && call.Kernel != "test_scale":
					t.Errorf("the kernel that faulted is missing: %v", err)
				}
				if dead := kind == FaultAddress || kind == FaultLost; dead != errors.Is(err, ErrLost) {
					t.Errorf("fault %d: %v", kind, err)
				} else if dead {
					must(t, d.Close())
					holdsNothing(t, d)
					d = open(Config{Faults: faults})
				}
				if err := generation(d, 2); err != nil {
					t.Errorf("fault %d: the next request: %v", kind, err)
				}
			}
			if hits == 0 {
				t.Errorf("fault %d never happened", kind)
			}
		}
	})
}

// TestErrorIsOneBatchs: after a failed batch, work of the next is not reported
// failed, and what was under way for the host is not delivered.
func TestErrorIsOneBatchs(t *testing.T) {
	each(t, func(t *testing.T, open func(Config) *Device) {
		faults := &Faults{}
		d := open(Config{Faults: faults})
		x, y := f32(t, d, 1, 2, 3, 4), f32(t, d, 1, 2, 5, 6)
		must(t, d.Run(scale(x, x, 2)))
		if v := read(t, d, x); v[1] != 8 { // lies in the staging buffer now
			t.Errorf("%v", v)
		}
		faults.Inject(Fault{Kind: FaultLaunch})
		got := make([]byte, 8)
		must(t, d.Run(scale(x, x, 2))) // refused
		must(t, d.Run(scale(y, y, 2))) // skipped
		must(t, d.Download(got, y))
		if err := d.Sync(); codeOf(err) != LaunchOutOfResources || !strings.Contains(err.Error(), "kernel test_scale: cuLaunchKernel") {
			t.Errorf("%v", err)
		}
		if got[3] != 0 || got[7] != 0 {
			t.Error("a batch that failed was delivered")
		}
		must(t, d.Sync())
		must(t, d.Run(scale(x, x, 2)))
		if a, b := read(t, d, x), read(t, d, y); a[0] != 12 || b[0] != 5 {
			t.Errorf("%v %v", a, b)
		}
	})
}

// TestSuspects: where the driver does not say which kernel faulted, those since
// the last Sync are named, or with Blocking the one.
func TestSuspects(t *testing.T) {
	only := func(entry string, by float32, shared int) *kernels.Kernel {
		k := testKernel(entry, testImage, shared)
		launch := k.Launch
		k.Launch = func(op runtime.Op, l *kernels.Launch) error {
			if op.(*runtime.Pointwise).Scale != by {
				return errShape
			}
			return launch(op, l)
		}
		return k
	}
	one, two := only("test_scale", 1, 0), only("test_shared", 2, 60<<10)
	each(t, func(t *testing.T, open func(Config) *Device) {
		for _, c := range []struct {
			before   float32
			then     []float32
			blocking bool
			want     string
		}{
			{1, []float32{2, 2, 1}, false, "test_shared, test_scale"},
			{1, []float32{2, 2, 2}, false, "test_shared"},
			{2, []float32{2, 2, 1}, true, "test_scale"},
		} {
			faults := &Faults{}
			d := open(Config{Kernels: []*kernels.Kernel{one, two}, Faults: faults, Blocking: c.blocking})
			x := f32(t, d, 1, 2, 3, 4)
			must(t, d.Run(scale(x, x, c.before)))
			must(t, d.Sync())
			faults.Inject(Fault{Kind: FaultAddress, After: 2})
			for _, by := range c.then {
				must(t, d.Run(scale(x, x, by)))
			}
			var call *DriverError
			if err := d.Sync(); !errors.As(err, &call) || call.Kernel != c.want || strings.Contains(err.Error(), "one of the kernels "+c.want) == !strings.Contains(c.want, ", ") {
				t.Errorf("blocking %v: %v, want %s", c.blocking, err, c.want)
			}
		}
	})
}

func TestInjectRefusesNonsense(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	(&Faults{}).Inject(Fault{})
}

func TestCodes(t *testing.T) {
	for code, text := range codeTexts {
		if text[0] == "" || text[1] == "" || code.String() != text[0] {
			t.Errorf("%d: %q", code, text)
		}
	}
	if Code(12345).String() != "CUresult 12345" || Code(12345).Sticky() || OutOfMemory.Sticky() || !IllegalAddress.Sticky() {
		t.Error("codes")
	}
	if driverError("cuInit", 0) != nil {
		t.Error("success is an error")
	}
	err := fmt.Errorf("round: %w", driverError("cuLaunchKernel", 12345))
	if codeOf(err) != 12345 || errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "cuLaunchKernel: CUresult 12345 (12345)") {
		t.Errorf("%v", err)
	}
	if codeOf(nil) != 0 || codeOf(errors.New("x")) != 0 {
		t.Error("codeOf")
	}
}
