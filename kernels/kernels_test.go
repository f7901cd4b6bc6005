package kernels_test

// What every kernel has to show: its declaration is that of its PTX, it is right
// on every row of devicetest that it takes, in every mode of the interpreter,
// and it moves no more than it says.

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/godwit-ml/godwit/ci/kernels/measure"
	"github.com/godwit-ml/godwit/cpu"
	"github.com/godwit-ml/godwit/cuda"
	"github.com/godwit-ml/godwit/kernels"
	"github.com/godwit-ml/godwit/kernels/lab"
	"github.com/godwit-ml/godwit/ptx"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/runtime/devicetest"
)

var modesFlag = flag.String("modes", "one", "modes of the interpreter in which kernels run: one or all")

// modes are the orders of execution in which kernels are tried.
func modes(t *testing.T) []ptx.Config {
	t.Helper()
	var list []ptx.Config
	switch *modesFlag {
	case "one":
		list = []ptx.Config{{Order: ptx.Random, Seed: 20}}
	case "all":
		list = slices.Clone(ptx.Modes())
	default:
		t.Fatalf("-modes %s: want one or all", *modesFlag)
	}
	for i := range list {
		list[i] = bounded(list[i])
	}
	return list
}

// bounded is a mode for tests, which are parallel themselves: a kernel that does
// not end is to fail before the test's time is up.
func bounded(mode ptx.Config) ptx.Config {
	mode.Workers, mode.Steps = 1, 1<<20
	return mode
}

// every is all kernels, those of the ladders after those that ship.
func every() []*kernels.Kernel {
	all := slices.Clone(kernels.All)
	for _, ladder := range lab.Ladders {
		all = append(all, ladder.Steps...)
	}
	return all
}

func TestDeclarations(t *testing.T) {
	entries, images := map[string]bool{}, map[*kernels.Image]map[string]bool{}
	for _, k := range every() {
		if entries[k.Entry] {
			t.Errorf("%s: declared twice", k.Entry)
		}
		entries[k.Entry] = true
		module, err := measure.Parse(k.Image)
		if err != nil {
			t.Errorf("%s: %v", k.Entry, err)
			continue
		}
		if images[k.Image] == nil {
			images[k.Image] = map[string]bool{}
			for _, code := range module.Kernels {
				images[k.Image][code.Name] = true
			}
		}
		delete(images[k.Image], k.Entry)
		if want := fmt.Sprintf("sm_%d", k.Image.Target); strings.TrimSuffix(module.Target, "a") != want {
			t.Errorf("%s: image %s is for %s, declared for %s", k.Entry, k.Image.Name, module.Target, want)
		}
		code := module.Kernel(k.Entry)
		if code == nil {
			t.Errorf("%s: not in image %s", k.Entry, k.Image.Name)
			continue
		}
		for _, problem := range differences(k, code) {
			t.Errorf("%s: %s", k.Entry, problem)
		}
	}
	for image, left := range images {
		for entry := range left {
			t.Errorf("image %s: entry %s is declared by no kernel", image.Name, entry)
		}
	}
}

// differences compares a declaration with a kernel's signature.
func differences(k *kernels.Kernel, code *ptx.Kernel) []string {
	var found []string
	differ := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	if len(code.Params) != len(k.Params) {
		differ("%d parameters declared, %d in the PTX", len(k.Params), len(code.Params))
		return found
	}
	for i, p := range k.Params {
		want := "u64"
		if p.Kind == kernels.Float {
			want = "f64"
		}
		if got := code.Params[i]; got.Type != want || got.Size != 8 || got.Offset != 8*i {
			differ("parameter %d, %s: %s of %d bytes at %d, want %s of 8 at %d", i, p.Name, got.Type, got.Size, got.Offset, want, 8*i)
		}
	}
	switch {
	case code.MaxThreads != k.Threads:
		differ("%d threads declared, .maxntid says %d", k.Threads, code.MaxThreads)
	case k.CTAs < 1:
		differ("CTAs is %d", k.CTAs)
	case code.MinCTAs > k.CTAs:
		differ("%d CTAs declared, .minnctapersm says %d", k.CTAs, code.MinCTAs)
	case code.StaticShared > k.Shared:
		differ("%d bytes of shared memory declared, %d are static", k.Shared, code.StaticShared)
	case len(k.Shapes) == 0:
		differ("no shapes")
	}
	return found
}

// rowOps is the operations of a row, bound to a device: what a kernel is asked.
type rowOps struct {
	row devicetest.Row
	ops []runtime.Op
}

// rows binds every row of devicetest once, to learn its operations.
var rows = sync.OnceValues(func() ([]rowOps, error) {
	dev, err := cuda.NewPTX(cuda.Config{Kernels: []*kernels.Kernel{}, Staging: staging})
	if err != nil {
		return nil, err
	}
	var list []rowOps
	for _, row := range devicetest.Rows() {
		c, err := row.Bind(devicetest.On(dev))
		if err != nil {
			return nil, errors.Join(err, dev.Close())
		}
		list = append(list, rowOps{row, c.Ops}) // memory is kept, so that addresses stay
	}
	return list, nil
})

const staging = 1 << 16

// fits reports whether a row is about the kernel's operation, and the kernel
// runs it.
func fits(k *kernels.Kernel, r rowOps) (bool, error) {
	if r.row.Op != k.Op {
		return false, nil
	}
	var l kernels.Launch
	own := false
	for _, op := range r.ops {
		if op.Name() != k.Op {
			continue
		}
		l.Reset()
		if err := k.Launch(op, &l); errors.Is(err, runtime.ErrUnsupported) {
			return false, nil
		} else if err != nil {
			return false, fmt.Errorf("%s: %v: %w", k.Entry, r.row, err)
		}
		threads := l.Block[0] * l.Block[1] * l.Block[2]
		module, err := measure.Parse(k.Image)
		if err != nil {
			return false, err
		}
		switch static := module.Kernel(k.Entry).StaticShared; {
		case len(l.Args) != len(k.Params):
			return false, fmt.Errorf("%s: %v: %d arguments for %d parameters", k.Entry, r.row, len(l.Args), len(k.Params))
		case threads > k.Threads:
			return false, fmt.Errorf("%s: %v: %d threads, declared are %d", k.Entry, r.row, threads, k.Threads)
		case l.Shared+static > k.Shared:
			return false, fmt.Errorf("%s: %v: %d bytes of shared memory, declared are %d", k.Entry, r.row, l.Shared+static, k.Shared)
		}
		own = true
	}
	return own, nil
}

// TestEveryRow is whether each operation of each row has a kernel that ships.
func TestEveryRow(t *testing.T) {
	list, err := rows()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range list {
		for _, op := range r.ops {
			taken := slices.ContainsFunc(kernels.All, func(k *kernels.Kernel) bool {
				var l kernels.Launch
				return k.Op == op.Name() && k.Unproven == "" && k.Launch(op, &l) == nil
			})
			if !taken {
				t.Errorf("%v: no kernel takes its %s", r.row, op.Name())
			}
		}
	}
}

// TestKernels runs every kernel on the rows that it takes.
func TestKernels(t *testing.T) {
	list, err := rows()
	if err != nil {
		t.Fatal(err)
	}
	tried := modes(t)
	for _, k := range every() {
		if k.Unproven != "" {
			continue
		}
		t.Run(k.Entry, func(t *testing.T) {
			t.Parallel()
			taken := 0
			bits := map[string][sha256.Size]byte{} // of each row's results, in the first mode
			for i, mode := range tried {
				dev, err := cuda.NewPTX(cuda.Config{Kernels: alone(k), Mode: mode, Staging: staging})
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range list {
					ok, err := fits(k, r)
					if err != nil {
						t.Error(err)
					}
					if !ok {
						continue
					}
					taken++
					t.Run(r.row.String(), func(t *testing.T) {
						sum, err := try(r.row, dev, i == 0)
						if err != nil {
							t.Fatalf("%s\nmode %+v", err, mode)
						}
						if first, ok := bits[r.row.String()]; ok && first != sum {
							t.Errorf("other bits in mode %+v than in %+v", mode, tried[0])
						}
						bits[r.row.String()] = sum
					})
				}
				if err := dev.Close(); err != nil {
					t.Error(err)
				}
			}
			if taken == 0 {
				t.Error("takes no row of devicetest")
			}
		})
	}
}

// alone is the kernel with those of other operations, which a row may need to
// prepare its own.
func alone(k *kernels.Kernel) []*kernels.Kernel {
	list := []*kernels.Kernel{k}
	for _, other := range kernels.All {
		if other.Op != k.Op {
			list = append(list, other)
		}
	}
	return list
}

// try runs a row against its oracle, again for the same bits where that is
// asked, and gives a digest of what it wrote.
func try(row devicetest.Row, dev runtime.Device, again bool) (sum [sha256.Size]byte, err error) {
	c, err := row.Bind(devicetest.On(dev))
	defer c.Free()
	if err != nil {
		return sum, err
	}
	if err := c.Run(); err != nil {
		return sum, err
	}
	if err := c.Verify(); err != nil {
		return sum, err
	}
	h := sha256.New()
	for _, op := range c.Ops {
		b, err := measure.Written(dev, op)
		if err != nil {
			return sum, err
		}
		h.Write(b)
	}
	h.Sum(sum[:0])
	if again {
		err = c.Repeat()
	}
	return sum, err
}

// counted are results of counts.
var counted sync.Map // of countKey → func() (measure.Result, error)

type countKey struct {
	k     *kernels.Kernel
	shape string
}

// counts runs a kernel at a size and counts, once for all tests that ask.
func counts(k *kernels.Kernel, s kernels.Shape) (measure.Result, error) {
	run, _ := counted.LoadOrStore(countKey{k, s.Name}, sync.OnceValues(func() (measure.Result, error) {
		return measure.Shape(context.Background(), k, s, bounded(ptx.Config{Order: ptx.Forward, Count: true}))
	}))
	return run.(func() (measure.Result, error))()
}

// TestCounts runs every kernel at its sizes: the result is the CPU's, it moves
// the sectors that it says, and the bits do not depend on the order of execution.
func TestCounts(t *testing.T) {
	for _, k := range every() {
		t.Run(k.Entry, func(t *testing.T) {
			t.Parallel()
			counted := 0
			for _, s := range k.Shapes {
				r, err := counts(k, s)
				if err != nil {
					t.Fatal(err)
				}
				if r.Counts == nil {
					continue
				}
				counted++
				checkCounts(t, s.Name, r)
				checkResult(t, s, r.Bits)
				again, err := measure.Shape(context.Background(), k, s, bounded(ptx.Config{Order: ptx.Random, Seed: 5}))
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(r.Bits, again.Bits) {
					t.Errorf("%s: other bits in another order of execution", s.Name)
				}
			}
			if counted == 0 {
				t.Error("no shape is small enough to be counted")
			}
		})
	}
}

func checkCounts(t *testing.T, name string, r measure.Result) {
	t.Helper()
	sectors := measure.Sectors(r.Counts)
	asked := float64(r.Cost.Requested) / 32
	if ratio := float64(sectors) / asked; ratio > 1.05 {
		t.Errorf("%s: %d sectors, %.3f times the %.0f that the formula asks for", name, sectors, ratio, asked)
	}
	if wavefronts, ideal := measure.MainLoop(r.Counts); float64(wavefronts) > 1.1*float64(ideal) {
		t.Errorf("%s: %d wavefronts of shared memory in the main loop, %.3f times the ideal", name, wavefronts, float64(wavefronts)/float64(ideal))
	}
	if r.Cost.Bytes > r.Cost.Requested {
		t.Errorf("%s: asks for %d bytes, less than the %d of its operands", name, r.Cost.Requested, r.Cost.Bytes)
	}
}

// checkResult compares a result with the reference device's.
func checkResult(t *testing.T, s kernels.Shape, got []byte) {
	t.Helper()
	dev := cpu.NewReference(cpu.Config{Threads: 1})
	defer dev.Close()
	maker := &kernels.Maker{Device: dev}
	op := s.Op(maker)
	if maker.Err != nil {
		t.Fatal(maker.Err)
	}
	limit := 1e-12
	switch o := op.(type) {
	case *runtime.MatMul:
		limit = 1e-10
	case *runtime.Attention:
		if limit = 1e-9; !o.Blocks.IsZero() {
			return // the layout inside a cache is the device's own
		}
	case *runtime.StoreKV, *runtime.CopyBlocks:
		return
	}
	if err := dev.Run(op); err != nil {
		t.Fatalf("%s: %v", s.Name, err)
	}
	want, err := measure.Written(dev, op)
	if err != nil {
		t.Fatal(err)
	}
	at := 0
	for _, o := range op.Operands(nil) {
		if o.Access&runtime.Write == 0 {
			continue
		}
		n := o.Tensor.Rows * int(o.Tensor.RowBytes())
		if e := nmse(o.Tensor.DType, got[at:at+n], want[at:at+n]); !(e <= limit) {
			t.Errorf("%s: %s differs from the CPU's: NMSE %.2g, limit %.2g", s.Name, o.Name, e, limit)
		}
		at += n
	}
}

// nmse compares floats; integers are equal or not.
func nmse(dtype runtime.DType, got, want []byte) float64 {
	if dtype != runtime.F32 {
		if !bytes.Equal(got, want) {
			return math.Inf(1)
		}
		return 0
	}
	num, den := 0.0, 0.0
	for i := 0; i < len(want); i += 4 {
		a := float64(math.Float32frombits(binary.LittleEndian.Uint32(got[i:])))
		b := float64(math.Float32frombits(binary.LittleEndian.Uint32(want[i:])))
		num, den = num+(a-b)*(a-b), den+b*b
	}
	if num == 0 {
		return 0
	}
	return num / den
}

// TestLadders is whether each step of a ladder is predicted to be faster than
// the one before, on every chip, and what ships faster than the last.
func TestLadders(t *testing.T) {
	for _, ladder := range lab.Ladders {
		t.Run(ladder.Op, func(t *testing.T) {
			t.Parallel()
			common := ladder.Steps[0].Shapes[0]
			shipped := measure.Shipped(ladder.Op, common)
			if shipped == nil {
				t.Fatalf("no kernel that ships takes %s", common.Name)
			}
			last := make([]measure.Prediction, len(measure.Chips))
			for i, k := range append(slices.Clone(ladder.Steps), shipped) {
				r, err := counts(k, common)
				switch {
				case err != nil:
					t.Fatal(err)
				case r.Counts == nil:
					t.Fatalf("%s is too large to be counted", common.Name)
				}
				for c, chip := range measure.Chips {
					p := chip.Predict(r)
					t.Logf("%s: %s: %.3g s, bound by %s", chip.Name, k.Entry, p.Seconds, p.By)
					if i > 0 && p.Seconds >= last[c].Seconds {
						t.Errorf("%s on %s: %.3g s, the step before takes %.3g s", k.Entry, chip.Name, p.Seconds, last[c].Seconds)
					}
					last[c] = p
				}
			}
		})
	}
}
