package cuda

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/godwit-ml/godwit/kernels"
	"github.com/godwit-ml/godwit/runtime"
)

// TestSelfTest: kernels that differ from the oracle, that fault, and that do not
// load are out with a reason; the others run.
func TestSelfTest(t *testing.T) {
	each(t, func(t *testing.T, open func(Config) *Device) {
		wrong := &kernels.Image{Name: "wrong", PTX: strings.Replace(testPTX, "mul.f32 %f3, %f2, %f1", "add.f32 %f3, %f2, %f1", 1), Target: 75}
		d := open(Config{SelfTest: true, Kernels: []*kernels.Kernel{testKernel("test_scale", wrong, 0), scaling()}})
		status := d.Kernels()
		if !strings.Contains(status[0].Out, "self-test Pointwise/") || !strings.Contains(status[0].Out, "oracle") || status[0].Launches == 0 {
			t.Errorf("the wrong kernel: %+v", status[0])
		}
		if status[1].Out != "" || status[1].Launches == 0 {
			t.Errorf("the right kernel: %+v", status[1])
		}
		must(t, generation(d, 2))
	})
}

// TestSelfTestThatKills: the device has to be opened again, which knows the
// kernel by then.
func TestSelfTestThatKills(t *testing.T) {
	e := newEmulator(Config{}, false)
	all := []*kernels.Kernel{wild(), scaling()}
	cfg := Config{Kernels: all}
	d, err := New(e, "a GPU that remembers", 0, cfg)
	must(t, err)
	d.info.Detail += " of " + t.Name()
	if err := d.selfTest(true); !errors.Is(err, ErrLost) {
		t.Fatalf("%v", err)
	}
	must(t, d.Close())
	d, err = New(e, "a GPU that remembers", 0, cfg)
	must(t, err)
	d.info.Detail += " of " + t.Name()
	must(t, d.selfTest(true))
	if s := d.Kernels(); !strings.Contains(s[0].Out, "test_wild") || !strings.Contains(s[0].Out, "self-test") || s[0].Launches != 0 || s[1].Out != "" {
		t.Errorf("%+v", s)
	}
	must(t, generation(d, 1))
	must(t, d.Close())
	holdsNothing(t, d)
	// The third time nothing has to run.
	d, err = New(e, "a GPU that remembers", 0, cfg)
	must(t, err)
	d.info.Detail += " of " + t.Name()
	must(t, d.selfTest(true))
	if n := d.Calls()["cuLaunchKernel"]; d.Kernels()[1].Launches != 0 {
		t.Errorf("%d launches", n)
	}
	must(t, d.Close())
}

// TestSelfTestOfAll: every kernel that ships passes, and is tried on some row.
func TestSelfTestOfAll(t *testing.T) {
	if len(kernels.All) == 0 {
		t.Skip("no kernels ship")
	}
	begin := time.Now()
	d := mustOpen(t, NewPTX, Config{SelfTest: true, Kernels: kernels.All})
	t.Logf("%d kernels in %v, interpreted", len(kernels.All), time.Since(begin))
	for i, s := range d.Kernels() {
		switch {
		case s.Out != "" && !strings.Contains(s.Out, "unproven"):
			t.Errorf("%s: %s", s.Entry, s.Out)
		case s.Out == "" && s.Launches == 0:
			list, err := trials(map[string]bool{s.Op: true})
			must(t, err)
			for _, row := range list {
				if d.entries[i].takes(row.ops) {
					t.Errorf("%s takes %v, but was not tried", s.Entry, row.row)
				}
			}
			t.Logf("%s: no row of devicetest is for it", s.Entry)
		}
	}
}

func TestTrials(t *testing.T) {
	list, err := trials(map[string]bool{"Pointwise": true, "Attention": true})
	must(t, err)
	seen, last := map[string]bool{}, int64(0)
	for _, row := range list {
		if row.size < last || row.size == 0 {
			t.Errorf("%v: %d bytes after %d", row.row, row.size, last)
		}
		last = row.size
		seen[row.row.Op] = true
		if row.row.Views || row.row.DType != runtime.F32 && row.row.DType != runtime.F16 {
			t.Errorf("%v", row.row)
		}
	}
	if len(seen) != 2 {
		t.Errorf("%v", seen)
	}
}
