//go:build unix && !portable

package godwit

// Checkpoints that are cut short while they are mapped, and memory that is not
// enough to repack them: the call fails, the process goes on.

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godwit-ml/godwit/cpu"
	"github.com/godwit-ml/godwit/cpu/simd"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/weights"
)

// copied is a copy of a checkpoint of the model's tests that may be cut.
func copied(t *testing.T, name string) (dir, tensors string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), name)
	if err := os.CopyFS(dir, os.DirFS("model/testdata/checkpoints/"+name)); err != nil {
		t.Fatal(err)
	}
	if err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Chmod(path, 0o755))
	}); err != nil {
		t.Fatal(err)
	}
	return dir, filepath.Join(dir, "model.safetensors")
}

// onCPUs runs f with the names of a few devices.
func onCPUs(t *testing.T, f func(t *testing.T, device string)) {
	t.Helper()
	for _, device := range []string{bestCPU(), "cpu:" + simd.Portable.String(), "reference"} {
		t.Run(device, func(t *testing.T) { f(t, device) })
	}
}

// TestCutWhileRunning cuts the files of a decoder, whose table is read where it is
// mapped, and of an encoder. What was packed is in memory, so that a table is
// what can be missing.
func TestCutWhileRunning(t *testing.T) {
	onCPUs(t, func(t *testing.T, device string) {
		for name, call := range map[string]func(m *Model) error{
			"gpt2": func(m *Model) error {
				_, err := m.Complete(t.Context(), Request{Tokens: []int32{7, 12, 400, 33}, MaxTokens: 3, IgnoreEOS: true})
				return err
			},
			"bert-mlm": func(m *Model) error {
				_, err := m.Embed(t.Context(), EmbedRequest{Tokens: [][]int32{{7, 12, 400, 33}}})
				return err
			},
		} {
			dir, tensors := copied(t, name)
			m, err := Open(t.Context(), dir, Config{Device: device, Threads: 2})
			if err != nil {
				t.Fatal(err)
			}
			if err := call(m); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			whole, err := os.ReadFile(tensors)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(tensors, 0); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				var failed *DeviceError
				if err := call(m); !errors.As(err, &failed) || !errors.Is(err, cpu.ErrFault) || failed.Device != device {
					t.Errorf("%s: %v, want a *DeviceError of %s for a fault", name, err, device)
				}
			}
			// The mapping is of the file, so that its bytes are there again with it.
			if err := os.WriteFile(tensors, whole, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := call(m); err != nil {
				t.Errorf("%s: the file is whole again: %v", name, err)
			}
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestCutWhileLoading cuts a file after it was mapped, at some places, so that
// packing meets the end on any of its workers.
func TestCutWhileLoading(t *testing.T) {
	onCPUs(t, func(t *testing.T, device string) {
		for _, dtype := range []string{"", "bf16"} {
			for _, part := range []int64{0, 3, 7} {
				if device == "reference" && (dtype != "" || part > 0) {
					continue // it has one arithmetic, and reads little of what it can use where it is
				}
				dir, tensors := copied(t, "gemma2")
				cp, err := openPath(dir)
				if err != nil {
					t.Fatal(err)
				}
				info, err := os.Stat(tensors)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.Truncate(tensors, info.Size()*part/8); err != nil {
					t.Fatal(err)
				}
				m, err := open(t.Context(), cp, Config{Device: device, Threads: 3, DType: dtype})
				var failed *ModelError
				if m != nil || !errors.As(err, &failed) || !errors.Is(err, cpu.ErrFault) && !errors.As(err, new(*weights.Error)) {
					t.Errorf("dtype %q, %d eighths are left: %v, want a *ModelError for a fault", dtype, part, err)
				}
			}
		}
	})
}

// TestNoMemoryToRepack: the device says what a weight takes before it takes it.
func TestNoMemoryToRepack(t *testing.T) {
	for _, limit := range []int64{1000, 100_000} {
		cp, err := openPath("model/testdata/checkpoints/gpt2")
		if err != nil {
			t.Fatal(err)
		}
		m, err := openOn(t.Context(), cp, Config{Device: bestCPU()}, func(cfg Config) (runtime.Device, runtime.Device, error) {
			opt := cfg.cpuOptions("")
			opt.MemoryLimit = limit
			d, err := cpu.New(opt)
			return d, nil, err
		})
		var full *MemoryError
		if m != nil || !errors.As(err, &full) || full.Need <= full.Free || full.Free > limit || !strings.Contains(err.Error(), "MemoryLimit") {
			t.Errorf("a limit of %d bytes: %v", limit, err)
		}
	}
}
