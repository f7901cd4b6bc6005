package cuda

// What the tests share: kernels of their own, and devices over every emulation
// of this build.

import (
	_ "embed"
	"encoding/binary"
	"errors"
	"math"
	"testing"

	"go.uber.org/goleak"

	"github.com/godwit-ml/godwit/kernels"
	"github.com/godwit-ml/godwit/runtime"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

//go:embed testdata/test.ptx
var testPTX string

var testImage = &kernels.Image{Name: "test", PTX: testPTX, Target: 75}

// errShape is what the test kernels say to operations that are not theirs.
var errShape = errors.Join(errors.New("not a plain scaling"), runtime.ErrUnsupported)

// testKernel runs a Pointwise that only scales.
func testKernel(entry string, image *kernels.Image, shared int) *kernels.Kernel {
	return &kernels.Kernel{
		Op: "Pointwise", Entry: entry, Image: image, Threads: 128, CTAs: 1, Shared: shared,
		Launch: func(op runtime.Op, l *kernels.Launch) error {
			o := op.(*runtime.Pointwise)
			if o.F != runtime.Ident || o.In != 0 || !o.Mul.IsZero() || !o.Add.IsZero() || !o.Out.Contiguous() || !o.X.Contiguous() {
				return errShape
			}
			l.Grid, l.Block, l.Shared = [3]int{1, 1, 1}, [3]int{128, 1, 1}, shared
			if o.X.Rows*o.X.Cols == 0 {
				l.Grid[0] = 0
			}
			scale := o.Scale
			if scale == 0 {
				scale = 1
			}
			l.Ptr(o.Out)
			l.Ptr(o.X)
			l.Int(o.X.Rows * o.X.Cols)
			l.Float(scale)
			return nil
		},
	}
}

func scaling() *kernels.Kernel { return testKernel("test_scale", testImage, 0) }
func wild() *kernels.Kernel    { return testKernel("test_wild", testImage, 0) }

// emulation is a way to open an emulated device.
type emulation struct {
	name string
	open func(Config) (*Device, error)
}

// each runs a test on every emulation of this build.
func each(t *testing.T, test func(t *testing.T, open func(Config) *Device)) {
	for _, e := range emulations {
		t.Run(e.name, func(t *testing.T) {
			test(t, func(cfg Config) *Device { return mustOpen(t, e.open, cfg) })
		})
	}
}

// mustOpen opens a device and closes it when the test ends; it must then hold
// nothing.
func mustOpen(t *testing.T, open func(Config) (*Device, error), cfg Config) *Device {
	t.Helper()
	if cfg.Kernels == nil {
		cfg.Kernels = []*kernels.Kernel{scaling()}
	}
	d, err := open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		holdsNothing(t, d)
	})
	return d
}

// holdsNothing checks what a closed device left in its emulator.
func holdsNothing(t *testing.T, d *Device) {
	t.Helper()
	e := emulatorOf(d.driver)
	if e.left != 0 || e.pinned != 0 || e.retained != 0 {
		t.Errorf("left: %d objects of contexts, %d pinned buffers, %d contexts", e.left, e.pinned, e.retained)
	}
}

func emulatorOf(d Driver) *emulator {
	switch d := d.(type) {
	case *emulator:
		return d
	case *faulty:
		return emulatorOf(d.Driver)
	case interface{ under() *emulator }:
		return d.under()
	}
	panic("no emulator")
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// f32 is a new tensor of the device with the given values.
func f32(t testing.TB, d *Device, rows, cols int, v ...float32) runtime.Tensor {
	t.Helper()
	m, err := d.Alloc(int64(4 * rows * cols))
	must(t, err)
	x := runtime.Tensor{Mem: m, DType: runtime.F32, Rows: rows, Cols: cols, Stride: cols}
	if len(v) > 0 {
		must(t, d.Upload(x, runtime.HostF32(rows, cols, v).Bytes()))
	}
	return x
}

// read is the values of a tensor, after a Sync.
func read(t testing.TB, d *Device, x runtime.Tensor) []float32 {
	t.Helper()
	v, err := tryRead(d, x)
	must(t, err)
	return v
}

func tryRead(d *Device, x runtime.Tensor) ([]float32, error) {
	b := make([]byte, int64(x.Rows)*x.RowBytes())
	if err := d.Download(b, x); err != nil {
		return nil, err
	}
	if err := d.Sync(); err != nil {
		return nil, err
	}
	v := make([]float32, len(b)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return v, nil
}

// iota is n values that differ.
func iota32(n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(i)
	}
	return v
}

// scale is the operation of the test kernels.
func scale(out, x runtime.Tensor, by float32) *runtime.Pointwise {
	return &runtime.Pointwise{Out: out, X: x, Scale: by}
}
