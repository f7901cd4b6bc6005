package devicetest

// The suite itself: rows can fail, streams fall back to the same results, Null
// records.

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-ml/godwit/cpu"
	"github.com/godwit-ml/godwit/quant"
	"github.com/godwit-ml/godwit/runtime"
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

// altered is a device whose Run is another.
type altered struct {
	runtime.Device
	run func(runtime.Op) error
}

func (d altered) Run(op runtime.Op) error { return d.run(op) }

// TestEveryRowCanFail runs the table on a device that does nothing.
func TestEveryRowCanFail(t *testing.T) {
	idle := altered{reference(t), func(runtime.Op) error { return nil }}
	for _, row := range Rows() {
		if err := Try(row, On(idle)); !errors.Is(err, errMismatch) {
			t.Errorf("%v: %v on a device that does nothing", row, err)
		}
	}
}

func TestRowsAreNamedOnce(t *testing.T) {
	seen := map[string]bool{}
	for _, row := range Rows() {
		if seen[row.String()] {
			t.Errorf("two rows %v", row)
		}
		seen[row.String()] = true
	}
}

// TestTableIsWhole: every operation has rows, with each type of weight and
// cache, and each field of each operation is set by some row.
func TestTableIsWhole(t *testing.T) {
	d := reference(t)
	types, fields := map[string]bool{}, map[string]bool{}
	for _, row := range Rows() {
		types[row.Op+" "+row.DType.String()] = true
		c, err := row.Bind(On(d))
		if err != nil {
			t.Fatal(err)
		}
		for _, op := range c.Ops {
			for _, o := range op.Operands(nil) {
				fields[op.Name()+"."+o.Name] = true
			}
		}
		c.Free()
	}
	for _, dtype := range quant.Types() {
		if !dtype.Decodes() {
			continue
		}
		for _, op := range []string{"Gather ", "MatMul "} {
			if !types[op+dtype.String()] {
				t.Errorf("no row for %s%v", op, dtype)
			}
		}
	}
	for _, dtype := range cacheTypes {
		for _, op := range []string{"StoreKV ", "CopyBlocks "} {
			if !types[op+dtype.String()] {
				t.Errorf("no row for %s%v", op, dtype)
			}
		}
	}
	for _, name := range strings.Fields(`Gather.Out Gather.Table Gather.IDs MatMul.Out MatMul.X MatMul.W MatMul.Bias MatMul.Residual
		MatMul.Pick Norm.Out Norm.X Norm.Weight Norm.Bias Pointwise.Out Pointwise.X Pointwise.Mul Pointwise.Add RoPE.X RoPE.Cos RoPE.Sin RoPE.Rows
		StoreKV.K StoreKV.V StoreKV.CacheK StoreKV.CacheV StoreKV.Slots CopyBlocks.Cache CopyBlocks.Src CopyBlocks.Dst
		Attention.Out Attention.Q Attention.K Attention.V Attention.QStarts Attention.KLens Attention.KStarts Attention.Blocks Attention.Slopes
		Attention.KeyBias Attention.RelIndex Attention.RelBias Attention.QRel Attention.KRel Attention.Sinks Attention.Probs
		TopK.Values TopK.IDs TopK.X TopK.LSE TopK.Also TopK.AlsoValue Combine.Out Combine.X Combine.Weights Combine.Residual`) {
		if !fields[name] {
			t.Errorf("no row sets %s", name)
		}
	}
}

// TestFallback runs the whole table through streams whose device hides its
// memory and refuses everything, or some, and wants what the fallback gives by
// itself.
func TestFallback(t *testing.T) {
	everything := func(runtime.Op) string { return "refused" }
	some := func(op runtime.Op) string {
		switch op.(type) {
		case *runtime.MatMul, *runtime.Pointwise, *runtime.TopK, *runtime.Gather:
			return "refused"
		}
		return ""
	}
	for _, c := range []struct {
		name   string
		paged  bool
		refuse func(runtime.Op) string
	}{{"everything", false, everything}, {"some", true, some}} {
		t.Run(c.name, func(t *testing.T) {
			inner, host := reference(t), reference(t)
			dev := NewRefusing(inner, c.paged, c.refuse)
			s := runtime.NewStream(dev, host)
			counts := map[string]int64{}
			for _, row := range Rows() {
				direct, err := row.Bind(On(host))
				if err == nil {
					err = errors.Join(direct.Run(), direct.Verify())
				}
				if err != nil {
					t.Fatal(err)
				}
				through, err := row.Bind(Through(s))
				if err == nil {
					err = through.Run()
				}
				if err == nil {
					err = through.Verify()
				}
				if err != nil {
					t.Fatal(err)
				}
				for i, shadow := range direct.order {
					if shadow.kind == plain && !bytes.Equal(shadow.got, through.order[i].got) {
						t.Errorf("%v: %s has other bits than without the stream", row, shadow.name)
					}
				}
				for _, op := range direct.Ops {
					switch {
					case !c.paged && onCache(op):
						counts[op.Name()+": the cache lies on the fallback"]++
					case c.refuse(op) != "":
						counts[op.Name()+": refused"]++
					}
				}
				direct.Free()
				through.Free()
			}
			if got := s.Fallbacks(); !maps.Equal(got, counts) {
				t.Errorf("counted %v, want %v", got, counts)
			}
			s.Close()
			if n := dev.Live(); n != 0 {
				t.Errorf("%d allocations left", n)
			}
		})
	}
}

// TestCacheStaysWhole: a device that keeps caches may not decline one of their
// operations.
func TestCacheStaysWhole(t *testing.T) {
	dev := NewRefusing(reference(t), true, func(op runtime.Op) string {
		if onCache(op) {
			return "no attention"
		}
		return ""
	})
	s := runtime.NewStream(dev, reference(t))
	row := cacheRows()[0]
	err := Try(row, Through(s))
	if err == nil || !strings.Contains(err.Error(), "must run it with every field") {
		t.Errorf("error %v", err)
	}
	if !needed(row, On(dev)) || needed(gatherRows()[0], On(dev)) || needed(row, On(NewRefusing(dev, false, nil))) {
		t.Error("needed is wrong")
	}
}

// TestRefusingHides: the host sees no memory of the device, and foreign memory
// is an error.
func TestRefusingHides(t *testing.T) {
	dev := NewRefusing(reference(t), true, func(runtime.Op) string { return "" })
	m, err := dev.Alloc(64)
	if err != nil || m.Bytes != nil || m.Owner != dev || m.Addr == 0 {
		t.Fatalf("memory %+v, %v", m, err)
	}
	x := runtime.Tensor{Mem: m, DType: runtime.F32, Rows: 2, Cols: 8, Stride: 8}
	if err := dev.Run(&runtime.Norm{Out: x, X: x}); err != nil || x.Mem != m {
		t.Error(err)
	}
	host := runtime.HostF32(2, 8, make([]float32, 16))
	if err := dev.Run(&runtime.Norm{Out: x, X: host}); err == nil {
		t.Error("memory of the host was used")
	}
	dev.Free(m)
	if err := dev.Upload(x, make([]byte, 64)); err == nil || dev.Live() != 0 {
		t.Error("freed memory was used")
	}
}

func TestNull(t *testing.T) {
	d := &Null{}
	m, err := d.Alloc(4096)
	if err != nil || m.Bytes != nil || m.Addr == 0 || m.Owner != d {
		t.Fatalf("memory %+v, %v", m, err)
	}
	x := runtime.Tensor{Mem: m, DType: runtime.F32, Rows: 4, Cols: 8, Stride: 8}
	w, err := d.Load(runtime.HostTensor(quant.Q8_0, 4, 32, make([]byte, 4*34)), runtime.UseProduct)
	if err != nil || w.DType != quant.Q8_0 || w.Rows != 4 || w.Mem.Host == nil || w.Mem.Addr == m.Addr {
		t.Fatalf("weight %v, %v", w, err)
	}
	ops := []runtime.Op{
		&runtime.Gather{Scale: 2}, &runtime.MatMul{Out: x, W: w}, &runtime.Norm{Eps: 1}, &runtime.Pointwise{In: 3}, &runtime.RoPE{HeadDim: 4}, &runtime.StoreKV{KVHeads: 5},
		&runtime.CopyBlocks{BlockSize: 6}, &runtime.Attention{Heads: 7}, &runtime.TopK{Norm: 1}, &runtime.Combine{X: x}, &runtime.MatMul{Fan: 8},
	}
	step := func() {
		d.Reset()
		for _, op := range ops {
			if err := d.Run(op); err != nil {
				t.Fatal(err)
			}
		}
	}
	step()
	if n := testing.AllocsPerRun(10, step); n != 0 {
		t.Errorf("recording allocates %v times", n)
	}
	for i, op := range ops {
		if got := d.At(i); fmt.Sprintf("%T%+v", got, got) != fmt.Sprintf("%T%+v", op, op) || d.Names()[i] != op.Name() {
			t.Errorf("operation %d was recorded as %+v", i, got)
		}
	}
	if d.Len() != len(ops) || d.Counts()["MatMul"] != 2 || d.Counts()["Norm"] != 1 {
		t.Errorf("counts %v", d.Counts())
	}
	b := bytes.Repeat([]byte{1}, 128)
	if err := errors.Join(d.Upload(x, b), d.Download(b, x), d.Sync()); err != nil || slices.Max(b) != 0 {
		t.Errorf("download gave %v, %v", b, err)
	}
	if err := d.Upload(x, b[:7]); err == nil {
		t.Error("a short upload passed")
	}
	d.Free(m)
	if d.Allocs != 2 || d.Frees != 1 || d.Loads != 1 || d.AllocBytes != 4*34 || d.Uploads != 2 || d.Downloads != 1 || d.Syncs != 1 {
		t.Errorf("counted %+v", *d)
	}
	for _, row := range []Row{gatherRows()[0], attentionRows()[0]} {
		if err := Try(row, On(d)); !errors.Is(err, errMismatch) {
			t.Errorf("%v on Null: %v", row, err)
		}
	}
}
