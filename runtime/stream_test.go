package runtime_test

// Stream: order, errors, scratch, what is counted. That a fallback gives the
// right results, for every operation, is devicetest's TestFallback.

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/godwit-ml/godwit/cpu"
	"github.com/godwit-ml/godwit/quant"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/runtime/devicetest"
)

func reference(t testing.TB) *cpu.Reference {
	t.Helper()
	d := cpu.NewReference(cpu.Config{Threads: 1})
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// everyOp sends one of each operation, on scratch.
func everyOp(s *runtime.Stream, cache, w runtime.Tensor) {
	m := s.Mark()
	x, y := s.Scratch(4, 8), s.Scratch(4, 8)
	ids, one, two := s.ScratchI32(1, 4), s.ScratchI32(1, 1), s.ScratchI32(1, 2)
	table := s.Scratch(4, 2)
	s.Gather(runtime.Gather{Out: x, Table: y, IDs: ids})
	s.MatMul(runtime.MatMul{Out: y, X: x, W: w})
	s.Norm(runtime.Norm{Out: y, X: y})
	s.Pointwise(runtime.Pointwise{Out: y, X: x})
	s.RoPE(runtime.RoPE{X: x, Cos: table, Sin: table, Rows: ids, HeadDim: 4})
	s.StoreKV(runtime.StoreKV{K: x, V: x, CacheK: cache, CacheV: cache, Slots: ids, KVHeads: 2, BlockSize: 4})
	s.CopyBlocks(runtime.CopyBlocks{Cache: cache, Src: one, Dst: one, BlockSize: 4})
	s.Attention(runtime.Attention{Out: y, Q: x, K: cache, V: cache, Heads: 2, KVHeads: 2, Blocks: one, BlockSize: 4, QStarts: two, KLens: one, MaxQ: 4, MaxK: 4})
	s.TopK(runtime.TopK{Values: table, IDs: s.ScratchI32(4, 2), X: x})
	s.Combine(runtime.Combine{Out: table.ColRange(0, 1).RowRange(0, 2), X: table.ColRange(1, 2), Weights: s.Scratch(2, 2)})
	s.Release(m)
}

var order = []string{"Gather", "MatMul", "Norm", "Pointwise", "RoPE", "StoreKV", "CopyBlocks", "Attention", "TopK", "Combine"}

// fixed allocates a cache and loads a weight for everyOp.
func fixed(t testing.TB, d runtime.Device) (cache, w runtime.Tensor) {
	t.Helper()
	m, err := d.Alloc(16 * 8 * 4)
	if err != nil {
		t.Fatal(err)
	}
	if w, err = d.Load(f32(8, 8), runtime.UseProduct); err != nil {
		t.Fatal(err)
	}
	return runtime.Tensor{Mem: m, DType: runtime.F32, Rows: 16, Cols: 8, Stride: 8}, w
}

func TestStepAllocatesNothing(t *testing.T) {
	d := &devicetest.Null{}
	s := runtime.NewStream(d, nil)
	cache, w := fixed(t, d)
	ids, logits := []int32{3, 1}, make([]float32, 32)
	step := func() {
		d.Reset()
		s.Reset()
		s.UploadI32(s.ScratchI32(1, 4), ids)
		everyOp(s, cache, w)
		s.DownloadF32(logits, s.Scratch(4, 8))
		if err := s.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	step()
	allocs := d.Allocs
	if n := testing.AllocsPerRun(50, step); n != 0 {
		t.Errorf("a step allocates %v times on the host", n)
	}
	if d.Allocs != allocs {
		t.Errorf("steps allocated %d times on the device", d.Allocs-allocs)
	}
	if got := strings.Join(d.Names(), " "); got != strings.Join(order, " ") {
		t.Errorf("operations %s", got)
	}
	if want := int64(52 * len(order)); s.Ops() != want {
		t.Errorf("%d operations, want %d", s.Ops(), want)
	}
	before := d.AllocBytes
	held := s.ScratchBytes()
	s.Close()
	if held == 0 || s.ScratchBytes() != 0 || before-d.AllocBytes != held {
		t.Errorf("scratch of %d bytes, %d freed", held, before-d.AllocBytes)
	}
}

// TestScratch: live scratch does not overlap, is aligned, and comes back after
// Release.
func TestScratch(t *testing.T) {
	d := &devicetest.Null{}
	s := runtime.NewStream(d, nil)
	var live []runtime.Tensor
	take := func(rows, cols int) runtime.Tensor {
		x := s.Scratch(rows, cols)
		if x.DType != runtime.F32 || x.Rows != rows || x.Cols != cols || x.Stride != cols || x.Offset%64 != 0 || x.Offset+x.Span() > x.Mem.Size {
			t.Fatalf("scratch %+v of %d bytes", x, x.Mem.Size)
		}
		for _, y := range live {
			if y.Mem == x.Mem && x.Offset < y.Offset+y.Span() && y.Offset < x.Offset+x.Span() {
				t.Fatalf("%+v overlaps %+v", x, y)
			}
		}
		live = append(live, x)
		return x
	}
	for i := range 20 {
		take(1+i%3, 1+i*i)
	}
	mark, n := s.Mark(), len(live)
	a := take(300, 1000) // more than a chunk
	b := take(1000, 1000)
	c := take(3, 5)
	s.Release(mark)
	live = live[:n]
	allocs := d.Allocs
	if x := take(300, 1000); x != a {
		t.Errorf("released scratch came back elsewhere: %+v, %+v", x, a)
	}
	if x := take(1000, 1000); x != b {
		t.Errorf("released scratch came back elsewhere: %+v, %+v", x, b)
	}
	if x := take(3, 5); x != c || d.Allocs != allocs {
		t.Errorf("released scratch came back elsewhere, with %d allocations", d.Allocs-allocs)
	}
	s.Reset()
	if live = live[:0]; take(1, 1).Offset != 0 {
		t.Error("Reset releases no scratch")
	}
	if x := s.ScratchI32(2, 3); x.DType != runtime.I32 || x.Rows != 2 || x.Cols != 3 {
		t.Errorf("%+v", x)
	}
}

// broken is a device that fails in chosen ways.
type broken struct {
	*devicetest.Null
	alloc, run, upload, download, load, sync error
}

func (d *broken) Alloc(n int64) (*runtime.Memory, error) {
	if d.alloc != nil {
		return nil, d.alloc
	}
	return d.Null.Alloc(n)
}

func (d *broken) Load(h runtime.Tensor, u runtime.Use) (runtime.Tensor, error) {
	if d.load != nil {
		return runtime.Tensor{}, d.load
	}
	return d.Null.Load(h, u)
}

func (d *broken) Run(op runtime.Op) error { return errors.Join(d.run, d.Null.Run(op)) }

func (d *broken) Upload(t runtime.Tensor, b []byte) error {
	return errors.Join(d.upload, d.Null.Upload(t, b))
}

func (d *broken) Download(b []byte, t runtime.Tensor) error {
	return errors.Join(d.download, d.Null.Download(b, t))
}

func (d *broken) Sync() error { return d.sync }

// TestFirstErrorSticks: whatever fails, nothing runs after it, and Err and Sync
// say what was first.
func TestFirstErrorSticks(t *testing.T) {
	boom := errors.New("boom")
	for name, fail := range map[string]func(d *broken, s *runtime.Stream){
		"a wrong operation": func(_ *broken, s *runtime.Stream) { s.Norm(runtime.Norm{}) },
		"Run": func(d *broken, s *runtime.Stream) {
			d.run = boom
			x := s.Scratch(1, 1)
			s.Norm(runtime.Norm{Out: x, X: x})
		},
		"Alloc":  func(d *broken, s *runtime.Stream) { d.alloc = boom; s.Scratch(1, 1) },
		"Upload": func(d *broken, s *runtime.Stream) { d.upload = boom; s.UploadF32(s.Scratch(1, 1), []float32{1}) },
		"Download": func(d *broken, s *runtime.Stream) {
			d.download = boom
			s.DownloadF32(make([]float32, 1), s.Scratch(1, 1))
		},
		"Load":           func(d *broken, s *runtime.Stream) { d.load = boom; s.LoadWeight(f32(1, 1), runtime.UseProduct) },
		"Sync":           func(d *broken, s *runtime.Stream) { d.sync = boom; _ = s.Sync() },
		"Fail":           func(_ *broken, s *runtime.Stream) { s.Fail(boom) },
		"a short tensor": func(_ *broken, s *runtime.Stream) { s.UploadI32(s.ScratchI32(1, 2), []int32{1, 2, 3}) },
		"a tensor of floats": func(_ *broken, s *runtime.Stream) {
			s.UploadI32(s.Scratch(1, 2), []int32{1})
		},
		"a tensor with gaps": func(_ *broken, s *runtime.Stream) {
			s.UploadF32(s.Scratch(2, 4).ColRange(0, 2), []float32{1})
		},
		"a download of another size": func(_ *broken, s *runtime.Stream) { s.DownloadF32(make([]float32, 3), s.Scratch(2, 2)) },
		"a download of another type": func(_ *broken, s *runtime.Stream) { s.DownloadI32(make([]int32, 4), s.Scratch(2, 2)) },
	} {
		d := &broken{Null: &devicetest.Null{}}
		s := runtime.NewStream(d, nil)
		fail(d, s)
		first := s.Err()
		if first == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		*d = broken{Null: &devicetest.Null{}}
		cache, w := runtime.Tensor{}, runtime.Tensor{}
		everyOp(s, cache, w)
		s.UploadI32(w, []int32{1})
		s.DownloadF32(make([]float32, 1), w)
		if x := s.LoadWeight(f32(1, 1), runtime.UseProduct); !x.IsZero() {
			t.Errorf("%s: a weight was loaded after the error", name)
		}
		s.Fail(errors.New("another"))
		if d.Len() != 0 || d.Uploads+d.Downloads+d.Loads+d.Allocs != 0 {
			t.Errorf("%s: the device was used after the error", name)
		}
		if !errors.Is(s.Err(), first) || !errors.Is(s.Sync(), first) {
			t.Errorf("%s: error %v, then %v", name, first, s.Err())
		}
		s.Reset()
		if s.Err() != nil {
			t.Errorf("%s: Reset left %v", name, s.Err())
		}
	}
}

func TestErrorsNameOperationAndDevice(t *testing.T) {
	boom := errors.New("boom")
	s := runtime.NewStream(&broken{Null: &devicetest.Null{}, run: boom}, reference(t))
	x := s.Scratch(1, 1)
	s.Norm(runtime.Norm{Out: x, X: x})
	if err := s.Err(); !errors.Is(err, boom) || err.Error() != "runtime: Norm on null: boom" {
		t.Errorf("error %q", err)
	}
	if len(s.Fallbacks()) != 0 {
		t.Error("an error was taken for ErrUnsupported")
	}
	// Without a fallback, or with the device itself as one, what is unsupported
	// is an error.
	for _, fallback := range []bool{false, true} {
		dev := devicetest.NewRefusing(reference(t), true, func(runtime.Op) string { return "not today" })
		var host runtime.Device
		if fallback {
			host = dev
		}
		s := runtime.NewStream(dev, host)
		x := s.Scratch(1, 1)
		s.Norm(runtime.Norm{Out: x, X: x})
		if err := s.Err(); !errors.Is(err, runtime.ErrUnsupported) || !strings.Contains(err.Error(), "Norm on refusing: not today") {
			t.Errorf("error %q", err)
		}
	}
}

// counting is a device that counts its loads.
type counting struct {
	runtime.Device
	loads int
}

func (d *counting) Load(h runtime.Tensor, u runtime.Use) (runtime.Tensor, error) {
	d.loads++
	return d.Device.Load(h, u)
}

// TestFallbacksAreCounted by operation and reason, and weights go to the
// fallback once.
func TestFallbacksAreCounted(t *testing.T) {
	host := &counting{Device: reference(t)}
	dev := devicetest.NewRefusing(reference(t), true, func(op runtime.Op) string {
		if o, ok := op.(*runtime.MatMul); ok {
			return map[bool]string{true: "gated products", false: "products"}[o.Gated]
		}
		return ""
	})
	s := runtime.NewStream(dev, host)
	w, err := dev.Load(f32(2, 3), runtime.UseProduct)
	if err != nil {
		t.Fatal(err)
	}
	x, one, two := s.Scratch(1, 3), s.Scratch(1, 1), s.Scratch(1, 2)
	s.UploadF32(x, []float32{1, 2, 3})
	for range 3 {
		s.MatMul(runtime.MatMul{Out: two, X: x, W: w})
		s.MatMul(runtime.MatMul{Out: one, X: x, W: w, Gated: true})
		s.Norm(runtime.Norm{Out: x, X: x})
	}
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	want := map[string]int64{"MatMul: products": 3, "MatMul: gated products": 3}
	if got := s.Fallbacks(); !maps.Equal(got, want) {
		t.Errorf("counted %v, want %v", got, want)
	}
	if host.loads != 1 {
		t.Errorf("the weight was loaded %d times", host.loads)
	}
	s.Close()
}

// TestErrorOfTheFallback: an id outside the table is found there; the error
// says where, and the operation is left as it was.
func TestErrorOfTheFallback(t *testing.T) {
	dev := devicetest.NewRefusing(reference(t), true, func(runtime.Op) string { return "all" })
	s := runtime.NewStream(dev, reference(t))
	ids := s.ScratchI32(1, 2)
	s.UploadI32(ids, []int32{0, 7})
	s.Gather(runtime.Gather{Out: s.Scratch(2, 3), Table: s.Scratch(5, 3), IDs: ids})
	var named *runtime.OpError
	if err := s.Err(); !errors.As(err, &named) || !strings.Contains(err.Error(), "Gather on the fallback: runtime: Gather.IDs: element 1 is 7") {
		t.Errorf("error %v", err)
	}
	s.Close()
	if dev.Live() != 0 {
		t.Errorf("%d allocations left", dev.Live())
	}
}

func TestCacheDevice(t *testing.T) {
	host := reference(t)
	none := func(runtime.Op) string { return "" }
	paged, bare := devicetest.NewRefusing(reference(t), true, none), devicetest.NewRefusing(reference(t), false, none)
	for _, c := range []struct{ dev, host, want runtime.Device }{{paged, host, paged}, {bare, host, host}, {bare, nil, bare}, {host, host, host}} {
		s := runtime.NewStream(c.dev, c.host)
		if s.CacheDevice() != c.want || s.Device() != c.dev {
			t.Errorf("caches of %s lie on %s", c.dev.Info().Name, s.CacheDevice().Info().Name)
		}
	}
}

// TestUploadFillsTheFirst elements of a longer tensor.
func TestUploadFillsTheFirst(t *testing.T) {
	s := runtime.NewStream(reference(t), nil)
	x := s.ScratchI32(2, 3)
	s.UploadI32(x, []int32{9, 9, 9, 9, 9, 9})
	s.UploadI32(x, []int32{1, 2})
	s.UploadI32(x, nil)
	got := make([]int32, 6)
	s.DownloadI32(got, x)
	view := make([]int32, 2)
	s.DownloadI32(view, x.ColRange(1, 2))
	if err := s.Sync(); err != nil || got[0] != 1 || got[1] != 2 || got[2] != 9 || view[0] != 2 || view[1] != 9 {
		t.Errorf("%v %v %v", got, view, err)
	}
	if x := s.LoadWeight(runtime.Tensor{}, runtime.UseVector); !x.IsZero() || s.Err() != nil {
		t.Error("an absent weight was loaded")
	}
	if w := s.LoadWeight(runtime.HostTensor(quant.F16, 1, 2, make([]byte, 4)), runtime.UseVector); w.DType != runtime.F32 || s.Err() != nil {
		t.Errorf("%v %v", w, s.Err())
	}
}

// TestOps: names and operands; what writes is marked so.
func TestOps(t *testing.T) {
	x := f32(1, 1)
	for i, op := range []runtime.Op{
		&runtime.Gather{Out: x, Table: x, IDs: x}, &runtime.MatMul{Out: x, X: x, W: x, Bias: x, Residual: x, Pick: x}, &runtime.Norm{Out: x, X: x, Weight: x, Bias: x},
		&runtime.Pointwise{Out: x, X: x, Mul: x, Add: x}, &runtime.RoPE{X: x, Cos: x, Sin: x, Rows: x}, &runtime.StoreKV{K: x, V: x, CacheK: x, CacheV: x, Slots: x},
		&runtime.CopyBlocks{Cache: x, Src: x, Dst: x}, &runtime.Attention{Out: x, Q: x, K: x, V: x, Probs: x}, &runtime.TopK{Values: x, IDs: x, X: x, LSE: x, Also: x, AlsoValue: x}, &runtime.Combine{Out: x, X: x, Weights: x, Residual: x},
	} {
		if op.Name() != order[i] {
			t.Errorf("%T is named %s", op, op.Name())
		}
		for _, o := range op.Operands(nil) {
			want := runtime.Read
			switch o.Name {
			case "Out", "CacheK", "CacheV", "Probs", "Values", "LSE", "AlsoValue":
				want = runtime.Write
			case "IDs":
				if op.Name() == "TopK" {
					want = runtime.Write
				}
			case "Cache":
				want = runtime.Read | runtime.Write
			case "X":
				if op.Name() == "RoPE" {
					want = runtime.Read | runtime.Write
				}
			}
			if o.Access != want {
				t.Errorf("%s.%s: access %d, want %d", op.Name(), o.Name, o.Access, want)
			}
		}
	}
	if ops := (&runtime.Gather{Out: x, Table: x, IDs: x, Add: true}).Operands(nil); ops[0].Access != runtime.Read|runtime.Write {
		t.Error("Add reads Out")
	}
	for f, want := range map[runtime.Fn]string{runtime.Ident: "Ident", runtime.Sigmoid: "Sigmoid", 99: "Fn?"} {
		if f.String() != want {
			t.Errorf("%d is %s", f, f)
		}
	}
}
