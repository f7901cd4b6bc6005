package cuda

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-ml/godwit/kernels"
	"github.com/godwit-ml/godwit/ptx"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/runtime/devicetest"
)

// TestConformance runs every row of devicetest on the kernels that ship; with
// -short a fifth of them, and with the race detector a few small ones of each
// operation.
func TestConformance(t *testing.T) {
	for _, e := range emulations[:min(len(emulations), 2)] { // how memory is allocated is no matter of rows
		t.Run(e.name, func(t *testing.T) {
			d := mustOpen(t, e.open, Config{Kernels: kernels.All})
			if !testing.Short() && !slow {
				devicetest.Run(t, d)
				return
			}
			for _, row := range someRows(t) {
				if err := devicetest.Try(row, devicetest.On(d)); err != nil && !errors.Is(err, runtime.ErrUnsupported) {
					t.Errorf("%v: %v", row, err)
				}
			}
		})
	}
}

func someRows(t *testing.T) (some []devicetest.Row) {
	if !slow {
		for i, row := range devicetest.Rows() {
			if i%5 == 0 {
				some = append(some, row)
			}
		}
		return some
	}
	for _, op := range []string{"Gather", "MatMul", "Norm", "Pointwise", "RoPE", "StoreKV", "CopyBlocks", "Attention", "TopK", "Combine"} {
		list, err := trials(map[string]bool{op: true})
		must(t, err)
		for _, row := range list[:min(len(list), 4)] {
			some = append(some, row.row)
		}
	}
	return some
}

func TestInfo(t *testing.T) {
	each(t, func(t *testing.T, open func(Config) *Device) {
		d := open(Config{MemoryLimit: 3 << 30})
		info := d.Info()
		want, _, _ := strings.Cut(strings.TrimPrefix(t.Name(), "TestInfo/"), "_")
		if info.Name != want || info.Paged || !strings.Contains(info.Detail, "capability 9.0") || !strings.Contains(info.Detail, "3.0 GiB") {
			t.Errorf("%+v", info)
		}
		if d.Capability() != 90 {
			t.Errorf("capability %d", d.Capability())
		}
		paged := open(Config{Kernels: []*kernels.Kernel{{Op: "StoreKV"}, {Op: "CopyBlocks"}, {Op: "Attention", Image: testImage}}})
		if !paged.Info().Paged {
			t.Error("not paged with a kernel for each operation on caches")
		}
		unproven := open(Config{Kernels: []*kernels.Kernel{{Op: "StoreKV"}, {Op: "CopyBlocks"}, {Op: "Attention", Unproven: "no interpreter", Image: testImage}}})
		if unproven.Info().Paged {
			t.Error("paged without a proven kernel")
		}
	})
}

// TestMemory: memory is zeroed and aligned, also where it was used before.
func TestMemory(t *testing.T) {
	each(t, func(t *testing.T, open func(Config) *Device) {
		d := open(Config{})
		for _, n := range []int{0, 1, 255, 256, 1000, 70000} {
			for range 3 {
				m, err := d.Alloc(int64(4 * n))
				must(t, err)
				if m.Addr == 0 || m.Addr%256 != 0 || m.Size != int64(4*n) || m.Bytes != nil || m.Owner != runtime.Device(d) {
					t.Fatalf("%+v", m)
				}
				x := runtime.Tensor{Mem: m, DType: runtime.F32, Rows: 1, Cols: n, Stride: n}
				for i, v := range read(t, d, x) {
					if v != 0 {
						t.Fatalf("element %d of %d is %v", i, n, v)
					}
				}
				must(t, d.Upload(x, runtime.HostF32(1, n, iota32(n)[:n]).Bytes()))
				d.Free(m)
				d.Free(m)
				if m.Addr != 0 || m.Size != 0 {
					t.Errorf("freed: %+v", m)
				}
			}
		}
		m, err := d.Alloc(100)
		must(t, err)
		again := *m
		d.Free(m)
		d.Free(&again)
		if one, other := f32(t, d, 1, 25), f32(t, d, 1, 25); one.Mem.Addr == other.Mem.Addr {
			t.Error("memory that was freed twice was given twice")
		}
		d.Free(nil)
		d.Free(&runtime.Memory{Addr: 4711})
		if _, err := d.Alloc(-1); err == nil {
			t.Error("-1 bytes were allocated")
		}
		if _, err := d.Alloc(math.MaxInt64); err == nil {
			t.Error("more than there is was allocated")
		}
	})
}

// TestCopies of every shape, through staging that is much smaller. Sources are
// overwritten at once, and all copies run as late as may be.
func TestCopies(t *testing.T) {
	each(t, func(t *testing.T, open func(Config) *Device) {
		d := open(Config{Staging: 4096})
		rng := rand.New(rand.NewPCG(1, 2))
		for _, shape := range []struct{ rows, cols, left, right int }{
			{1, 1, 0, 0}, {3, 5, 0, 0}, {3, 5, 2, 7}, {40, 60, 0, 0}, {40, 60, 1, 3}, {3, 300, 1, 0}, {2, 1500, 0, 9}, {1, 5000, 0, 0}, {700, 1, 3, 3},
		} {
			wide := shape.left + shape.cols + shape.right
			whole := f32(t, d, shape.rows, wide)
			before, part := make([]float32, shape.rows*wide), make([]float32, shape.rows*shape.cols)
			for i := range before {
				before[i] = rng.Float32()
			}
			for i := range part {
				part[i] = rng.Float32()
			}
			upload := func(x runtime.Tensor, v []float32) {
				b := runtime.HostF32(1, len(v), slices.Clone(v)).Bytes()
				must(t, d.Upload(x, b))
				clear(b)
			}
			upload(whole, before)
			view := whole.ColRange(shape.left, shape.left+shape.cols)
			upload(view, part)
			if got := read(t, d, view); !slices.Equal(got, part) {
				t.Fatalf("%+v: a view came back wrong", shape)
			}
			want := slices.Clone(before)
			for i := range shape.rows {
				copy(want[i*wide+shape.left:], part[i*shape.cols:][:shape.cols])
			}
			if got := read(t, d, whole); !slices.Equal(got, want) {
				t.Fatalf("%+v: around the view", shape)
			}
			d.Free(whole.Mem)
		}
		x := f32(t, d, 2, 3)
		for name, err := range map[string]error{
			"too few bytes":     d.Upload(x, make([]byte, 20)),
			"too many":          d.Download(make([]byte, 28), x),
			"outside":           d.Download(make([]byte, 24), runtime.Tensor{Mem: x.Mem, DType: runtime.F32, Rows: 2, Cols: 3, Stride: 4}),
			"absent":            d.Upload(runtime.Tensor{}, nil),
			"of another device": d.Upload(runtime.HostF32(1, 1, []float32{1}), make([]byte, 4)),
		} {
			if err == nil {
				t.Errorf("copy of %s: no error", name)
			}
		}
		must(t, d.Sync())
		before := d.Calls()["cuEventRecord"]
		for range 500 {
			must(t, d.Upload(x, make([]byte, 24)))
			must(t, d.Sync())
		}
		if n := d.Calls()["cuEventRecord"] - before; n != 0 {
			t.Errorf("%d waits for staging that was free", n)
		}
	})
}

// TestOrder: what is started takes effect in order, whatever waits.
func TestOrder(t *testing.T) {
	each(t, func(t *testing.T, open func(Config) *Device) {
		d := open(Config{})
		a, b := f32(t, d, 1, 500, iota32(500)...), f32(t, d, 1, 500)
		var first []byte
		for i := range 300 { // more than the queue holds
			must(t, d.Run(scale(b, a, 2)))
			must(t, d.Run(scale(a, b, 0.5)))
			if i == 100 {
				first = make([]byte, 2000)
				must(t, d.Download(first, b))
			}
		}
		must(t, d.Run(scale(b, a, 3)))
		got := read(t, d, b)
		for i, v := range got {
			if v != 3*float32(i) {
				t.Fatalf("element %d is %v", i, v)
			}
		}
		if f := runtime.HostF32(1, 500, make([]float32, 500)); copy(f.Bytes(), first) != 2000 || f.F32s()[499] != 998 {
			t.Error("a download in the middle took effect elsewhere")
		}
		if n := d.Calls()["cuLaunchKernel"]; n != 601 {
			t.Errorf("%d launches", n)
		}
		if s := d.Kernels(); len(s) != 1 || s[0].Launches != 601 || !s[0].Loaded || s[0].Out != "" || s[0].Op != "Pointwise" || s[0].Entry != "test_scale" || s[0].Image != "test" {
			t.Errorf("%+v", s)
		}
	})
}

// TestChoice: the first kernel that fits and is not out.
func TestChoice(t *testing.T) {
	each(t, func(t *testing.T, open func(Config) *Device) {
		newer := &kernels.Image{Name: "newer", PTX: strings.Replace(testPTX, "sm_75", "sm_120", 1), Target: 75}
		declared := &kernels.Image{Name: "declared", PTX: newer.PTX, Target: 120}
		broken := &kernels.Image{Name: "broken", PTX: testPTX[:len(testPTX)/2], Target: 75}
		unproven := scaling()
		unproven.Unproven = "nobody looked"
		greedy := testKernel("test_shared", testImage, 300<<10)
		all := []*kernels.Kernel{unproven, testKernel("test_scale", newer, 0), testKernel("test_scale", broken, 0), testKernel("absent", testImage, 0), greedy, testKernel("test_scale", declared, 0), scaling()}
		d := open(Config{Kernels: all})
		x := f32(t, d, 1, 3, 1, 2, 3)
		for range 2 {
			must(t, d.Run(scale(x, x, 2)))
		}
		if got := read(t, d, x); !slices.Equal(got, []float32{4, 8, 12}) {
			t.Errorf("%v", got)
		}
		for i, want := range []string{"unproven: nobody looked", "NO_BINARY_FOR_GPU", "INVALID_PTX", "NOT_FOUND", "307200 bytes of shared memory", "compute_120 code, this GPU has compute capability 9.0", ""} {
			if s := d.Kernels()[i]; !strings.Contains(s.Out, want) || (want == "") != (s.Out == "") || s.Launches != 0 && want != "" {
				t.Errorf("kernel %d: %+v", i, s)
			}
		}
		if s := d.Kernels()[2]; !strings.Contains(s.Out, "image.ptx:") {
			t.Errorf("the compiler's words are missing: %s", s.Out)
		}
		err := d.Run(&runtime.Pointwise{Out: x, X: x, F: runtime.Relu})
		if !errors.Is(err, runtime.ErrUnsupported) || !strings.Contains(err.Error(), "unproven: nobody looked") {
			t.Errorf("a kernel that is out comes first as the reason: %v", err)
		}
		only := open(Config{})
		y := f32(t, only, 1, 3, 1, 2, 3)
		if err := only.Run(&runtime.Pointwise{Out: y, X: y, F: runtime.Relu}); !errors.Is(err, runtime.ErrUnsupported) || !strings.Contains(err.Error(), "not a plain scaling") {
			t.Errorf("%v", err)
		}
		if err := only.Run(&runtime.Norm{Out: y, X: y}); !errors.Is(err, runtime.ErrUnsupported) || !strings.HasPrefix(err.Error(), "no kernel") {
			t.Errorf("%v", err)
		}
		var named *runtime.OpError
		if err := only.Run(scale(y, x, 2)); !errors.As(err, &named) || named.Operand != "X" {
			t.Errorf("an operand of another device: %v", err)
		}
		if err := only.Run(scale(y, runtime.HostF32(1, 3, []float32{1, 2, 3}), 2)); !errors.As(err, &named) || named.Operand != "X" {
			t.Errorf("an operand of the host: %v", err)
		}
		must(t, only.Run(scale(y.RowRange(0, 0), y.RowRange(0, 0), 2)))
		must(t, only.Sync())
		if n := only.Calls()["cuLaunchKernel"]; n != 0 {
			t.Errorf("nothing to do took %d launches", n)
		}
		taken := open(Config{Kernels: []*kernels.Kernel{unproven}, Unproven: true})
		z := f32(t, taken, 1, 1, 5)
		must(t, taken.Run(scale(z, z, 2)))
		if read(t, taken, z)[0] != 10 {
			t.Error("wrong")
		}
	})
}

// TestShared: more than 48 KiB of shared memory has to be allowed.
func TestShared(t *testing.T) {
	each(t, func(t *testing.T, open func(Config) *Device) {
		d := open(Config{Kernels: []*kernels.Kernel{testKernel("test_shared", testImage, 60<<10)}})
		x := f32(t, d, 1, 500, iota32(500)...)
		must(t, d.Run(scale(x, x, 2)))
		if got := read(t, d, x); got[499] != 998 {
			t.Errorf("%v", got[499])
		}
		if n := d.Calls()["cuFuncSetAttribute"]; n != 1 {
			t.Errorf("%d calls of cuFuncSetAttribute", n)
		}
	})
}

// TestFaultOfKernel: the kernel is named, with its line; the device is lost, and
// another one is not.
func TestFaultOfKernel(t *testing.T) {
	each(t, func(t *testing.T, open func(Config) *Device) {
		for _, blocking := range []bool{false, true} {
			d := open(Config{Kernels: []*kernels.Kernel{wild()}, Blocking: blocking})
			x := f32(t, d, 1, 3, 1, 2, 3)
			must(t, d.Run(scale(x, x, 2)))
			err := d.Sync()
			var fault *ptx.Fault
			var call *DriverError
			if !errors.Is(err, ErrLost) || !errors.As(err, &fault) || fault.Line == 0 || !errors.As(err, &call) || call.Kernel != "test_wild" || call.Code != IllegalAddress {
				t.Fatalf("%v", err)
			}
			for name, err := range map[string]error{
				"Sync": d.Sync(), "Run": d.Run(scale(x, x, 2)), "Upload": d.Upload(x, make([]byte, 12)), "Download": d.Download(make([]byte, 12), x),
				"Alloc": second(d.Alloc(1)), "Load": second(d.Load(runtime.HostF32(1, 1, []float32{1}), runtime.UseVector)),
			} {
				if !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "test_wild") {
					t.Errorf("%s of a lost device: %v", name, err)
				}
			}
			d.Free(x.Mem)
			must(t, d.Close())
			holdsNothing(t, d)
			again := open(Config{})
			y := f32(t, again, 1, 1, 5)
			must(t, again.Run(scale(y, y, 2)))
			if read(t, again, y)[0] != 10 {
				t.Error("wrong on the next device")
			}
		}
	})
}

func second[T any](_ T, err error) error { return err }

func TestClosed(t *testing.T) {
	each(t, func(t *testing.T, open func(Config) *Device) {
		d := open(Config{})
		x := f32(t, d, 1, 1, 1)
		must(t, d.Close())
		must(t, d.Close())
		for name, err := range map[string]error{
			"Sync": d.Sync(), "Run": d.Run(scale(x, x, 2)), "Upload": d.Upload(x, make([]byte, 4)), "Download": d.Download(make([]byte, 4), x),
			"Alloc": second(d.Alloc(1)), "Load": second(d.Load(runtime.HostF32(1, 1, []float32{1}), runtime.UseVector)),
		} {
			if !errors.Is(err, errClosed) {
				t.Errorf("%s of a closed device: %v", name, err)
			}
		}
		d.Free(x.Mem)
	})
}

// deaf is an emulator that launches nothing, so that what the device itself
// allocates can be counted.
type deaf struct{ *emulator }

func (d deaf) Launch(Function, [3]int, [3]int, int, Stream, []uint64) error { return nil }
func (d deaf) under() *emulator                                             { return d.emulator }

func TestRunAllocatesNothing(t *testing.T) {
	d, err := New(deaf{newEmulator(Config{}, false)}, "deaf", 0, Config{Kernels: []*kernels.Kernel{scaling()}})
	must(t, err)
	x := f32(t, d, 1, 3, 1, 2, 3)
	op := scale(x, x, 2)
	ids := make([]byte, 12)
	step := func() {
		for range 1000 {
			if err := d.Run(op); err != nil {
				t.Error(err)
			}
		}
		if err := d.Upload(x, ids); err != nil {
			t.Error(err)
		}
		if err := d.Download(ids, x); err != nil {
			t.Error(err)
		}
		if err := d.Sync(); err != nil {
			t.Error(err)
		}
	}
	step()
	if n := testing.AllocsPerRun(5, step); n > 5 {
		t.Errorf("%v allocations in a step of 1000 launches", n)
	}
	must(t, d.Close())
	holdsNothing(t, d)
}

// BenchmarkRun is what a launch costs the caller and the worker together, apart
// from the driver.
func BenchmarkRun(b *testing.B) {
	d, err := New(deaf{newEmulator(Config{}, false)}, "deaf", 0, Config{Kernels: []*kernels.Kernel{scaling()}})
	must(b, err)
	x := f32(b, d, 1, 3, 1, 2, 3)
	op := scale(x, x, 2)
	for b.Loop() {
		if err := d.Run(op); err != nil {
			b.Fatal(err)
		}
	}
	must(b, d.Sync())
	must(b, d.Close())
}
