package godwit

// Faults of a GPU in the middle of an answer: the error names kernel or call,
// the next request works, nothing is left behind.

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-ml/godwit/cpu"
	"github.com/godwit-ml/godwit/cuda"
	"github.com/godwit-ml/godwit/runtime"
)

// emulations are the devices that faults can be injected into.
func emulations(t *testing.T) map[string]func(cuda.Config) (*cuda.Device, error) {
	t.Helper()
	all := map[string]func(cuda.Config) (*cuda.Device, error){"ptx": cuda.NewPTX}
	if emulates() {
		all["cuda:emu"] = cuda.NewEmu
	}
	return all
}

// onFaulty opens the GPT-2 checkpoint on a device with a plan of faults.
func onFaulty(t *testing.T, device string, faults *cuda.Faults) (*Model, error) {
	t.Helper()
	cfg := Config{Device: device}
	cp, err := openPath("model/testdata/checkpoints/gpt2")
	if err != nil {
		t.Fatal(err)
	}
	return openOn(t.Context(), cp, cfg, func(Config) (runtime.Device, runtime.Device, error) {
		d, err := emulations(t)[device](cuda.Config{Faults: faults, Blocking: true})
		if err == nil {
			err = prepare(d)
		}
		if err != nil {
			return nil, nil, &DeviceError{Device: device, Op: "open", Err: err}
		}
		return d, cpu.NewReference(cpu.Config{Threads: 1}), nil
	})
}

func TestFaultsOfOpening(t *testing.T) {
	for device := range emulations(t) {
		for kind, want := range map[cuda.FaultKind]string{cuda.FaultInit: "cuInit", cuda.FaultNoDevice: "cuDeviceGetCount", cuda.FaultContext: "cuDevicePrimaryCtxRetain",
			cuda.FaultHost: "cuMemHostAlloc", cuda.FaultCopy: "cuMemcpy"} {
			faults := &cuda.Faults{}
			faults.Inject(cuda.Fault{Kind: kind})
			m, err := onFaulty(t, device, faults)
			var failed *DeviceError
			if m != nil || !errors.As(err, &failed) || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: fault %d: %v does not name %s", device, kind, err, want)
			}
		}
		faults := &cuda.Faults{}
		faults.Inject(cuda.Fault{Kind: cuda.FaultMemory, After: 5, Times: 1000})
		m, err := onFaulty(t, device, faults)
		var full *MemoryError
		if m != nil || !errors.As(err, &full) || full.Need <= 0 {
			t.Errorf("%s: no memory left while loading: %v", device, err)
		}
	}
}

func TestFaultsOfRunning(t *testing.T) {
	rounds := 6
	if testing.Short() {
		rounds = 1
	}
	request := Request{Tokens: []int32{7, 12, 400, 33, 33, 5}, MaxTokens: 5, IgnoreEOS: true}
	for device := range emulations(t) {
		rng := rand.New(rand.NewPCG(5, 14))
		faults := &cuda.Faults{}
		m, err := onFaulty(t, device, faults)
		if err != nil {
			t.Fatal(err)
		}
		want, err := m.Complete(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		for kind, most := range map[cuda.FaultKind]int{cuda.FaultMemory: 2, cuda.FaultCopy: 40, cuda.FaultLaunch: 90, cuda.FaultAddress: 90, cuda.FaultLost: 200} {
			for range rounds {
				faults.Inject(cuda.Fault{Kind: kind, After: rng.IntN(most), Times: 1 + rng.IntN(2)})
				before := faults.Hits()
				got, err := m.Complete(t.Context(), request)
				hit := faults.Hits() > before
				faults.Clear()
				var failed *DeviceError
				switch {
				case err == nil && !slices.Equal(got.IDs, want.IDs):
					t.Errorf("%s: fault %d: ids %v, want %v", device, kind, got.IDs, want.IDs)
				case err != nil && !hit:
					t.Errorf("%s: fault %d did not happen, and there is an error: %v", device, kind, err)
				case err != nil && (!errors.As(err, &failed) || failed.Device != device):
					t.Errorf("%s: fault %d: %v is no *DeviceError of it", device, kind, err)
				case err != nil && !strings.Contains(err.Error(), "cu") && !strings.Contains(err.Error(), "kernel"):
					t.Errorf("%s: fault %d: %v names neither kernel nor call", device, kind, err)
				case err == nil && hit && kind != cuda.FaultMemory: // memory that was kept makes good for it
					t.Errorf("%s: fault %d happened, and there is no error", device, kind)
				}
				if got, err := m.Complete(t.Context(), request); err != nil || !slices.Equal(got.IDs, want.IDs) {
					t.Fatalf("%s: after fault %d: %v, want ids %v", device, kind, err, want.IDs)
				}
			}
		}
		if err := m.Close(); err != nil {
			t.Errorf("%s: %v", device, err)
		}
	}
}

// TestImagesThatDoNotLoad: a kernel without its image is out, its operation runs
// on the CPU, and both are told.
func TestImagesThatDoNotLoad(t *testing.T) {
	request := Request{Tokens: []int32{7, 12, 400, 33}, MaxTokens: 4, IgnoreEOS: true}
	for device := range emulations(t) {
		var want []int32
		for after := -1; after < 8; after++ {
			faults := &cuda.Faults{}
			if after >= 0 {
				faults.Inject(cuda.Fault{Kind: []cuda.FaultKind{cuda.FaultImage, cuda.FaultFunction}[after%2], After: after})
			}
			m, err := onFaulty(t, device, faults)
			if err != nil {
				t.Fatalf("%s: image %d: %v", device, after, err)
			}
			got, err := m.Complete(t.Context(), request)
			if want == nil && err == nil {
				want = got.IDs
			}
			if err != nil || !slices.Equal(got.IDs, want) {
				t.Errorf("%s: image %d: %v, want ids %v", device, after, err, want)
			}
			told := ""
			for what := range m.Stats().Fallbacks {
				told += what + "; "
			}
			// Some operations have several kernels: the next one takes what the first cannot.
			if after == 0 && !strings.Contains(told, "the cache lies on the fallback") || after < 0 && told != "" {
				t.Errorf("%s: image %d: told %q", device, after, told)
			}
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestLostForGood: while no device can be opened, each request says so.
func TestLostForGood(t *testing.T) {
	faults := &cuda.Faults{}
	m, err := onFaulty(t, "ptx", faults)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close() //nolint:errcheck // what counts is that it ends
	faults.Inject(cuda.Fault{Kind: cuda.FaultLost, After: 30})
	faults.Inject(cuda.Fault{Kind: cuda.FaultNoDevice, Times: 2})
	request := Request{Tokens: []int32{7, 12}, MaxTokens: 5, IgnoreEOS: true}
	var failed *DeviceError
	for i, want := range []string{"cu", "cuDeviceGetCount", "cuDeviceGetCount"} {
		if _, err := m.Complete(t.Context(), request); !errors.As(err, &failed) || !errors.Is(err, runtime.ErrLost) || !strings.Contains(err.Error(), want) {
			t.Errorf("request %d: %v does not say %q", i, err, want)
		}
	}
	if _, err := m.Complete(context.Background(), request); err != nil {
		t.Errorf("when there is a device again: %v", err)
	}
}
