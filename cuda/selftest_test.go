package cuda

import (
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
		if status[1].Out != "" || status[1].Launches < 2*selfTestRows || status[1].Launches > 4*selfTestRows { // each row at least twice
			t.Errorf("the right kernel: %+v", status[1])
		}
		must(t, generation(d, 2))
	})
}

// TestOpenTested: a kernel that ends the context is out when the device is there,
// and another one of the process does not run it again. A GPU that
// does not come back is an error.
func TestOpenTested(t *testing.T) {
	gpu, faults := newEmulator(Config{}, false), &Faults{}
	all := []*kernels.Kernel{wild(), scaling()}
	opens := 0
	open := func() (*Device, error) {
		opens++
		d, err := New(gpu, "a GPU", 0, Config{Kernels: all, Faults: faults})
		if err == nil {
			d.info.Detail = t.Name()
		}
		return d, err
	}
	for i, want := range []int{2, 3} {
		d, err := openTested(open)
		must(t, err)
		s := d.Kernels()
		if opens != want || !strings.Contains(s[0].Out, "test_wild") || !strings.Contains(s[0].Out, "self-test") || s[0].Launches != 0 || s[1].Out != "" || (s[1].Launches == 0) != (i == 1) {
			t.Errorf("opened %d times: %+v", opens, s)
		}
		must(t, generation(d, 1))
		must(t, d.Close())
		holdsNothing(t, d)
	}
	all = []*kernels.Kernel{scaling()} // another one, so there is something to test
	faults.Inject(Fault{Kind: FaultLost, After: 20})
	faults.Inject(Fault{Kind: FaultContext, After: 1})
	if d, err := openTested(open); d != nil || codeOf(err) != DeviceUnavailable {
		t.Errorf("%v, %v", d, err)
	}
}

// TestSelfTestOfAll: every kernel that ships passes, and is tried on some row.
func TestSelfTestOfAll(t *testing.T) {
	if slow {
		t.Skip("without the race detector")
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
