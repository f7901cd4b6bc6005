package devicetest

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/godwit-ml/godwit/quant"
	"github.com/godwit-ml/godwit/runtime"
)

// TestExact: results stay float64 between operations, block types decode, and
// what an oracle finds impossible is an error.
func TestExact(t *testing.T) {
	d := &Exact{}
	raw := make([]byte, quant.Q8_0.Bytes(64))
	if err := quant.Encode(raw, append(make([]float32, 63), 127), quant.Q8_0); err != nil {
		t.Fatal(err)
	}
	w, err := d.Load(runtime.HostTensor(quant.Q8_0, 2, 32, raw), runtime.UseTable)
	if err != nil {
		t.Fatal(err)
	}
	tensor := func(dtype runtime.DType, rows, cols int) runtime.Tensor {
		m, err := d.Alloc(int64(4 * rows * cols))
		if err != nil {
			t.Fatal(err)
		}
		return runtime.Tensor{Mem: m, DType: dtype, Rows: rows, Cols: cols, Stride: cols}
	}
	s := runtime.NewStream(d, nil)
	ids, x := tensor(runtime.I32, 1, 1), tensor(runtime.F32, 1, 32)
	s.UploadI32(ids, []int32{1})
	s.Gather(runtime.Gather{Out: x, Table: w, IDs: ids})
	// 127·1e8 + 1 - 127·1e8 is 1 in float64 and 0 in float32.
	one := tensor(runtime.F32, 1, 32)
	s.UploadF32(one, append(make([]float32, 31), 1))
	minus := tensor(runtime.F32, 1, 32)
	s.Pointwise(runtime.Pointwise{Out: minus, X: x, Scale: -1e8})
	s.Pointwise(runtime.Pointwise{Out: x, X: x, Scale: 1e8, Add: one})
	s.Pointwise(runtime.Pointwise{Out: x, X: x, Add: minus})
	got := make([]float32, 32)
	s.DownloadF32(got, x)
	if err := s.Sync(); err != nil || math.Abs(float64(got[31])-1) > 1e-5 || got[0] != 0 {
		t.Errorf("%v (%v)", got, err)
	}
	cache := tensor(runtime.F32, 4, 32)
	attention := runtime.Attention{Out: x, Q: one, K: cache, V: cache, Heads: 1, KVHeads: 1, QStarts: tensor(runtime.I32, 1, 2), KLens: ids,
		Blocks: tensor(runtime.I32, 1, 1), BlockSize: 4, MaxQ: 1, MaxK: 1, Left: -1}
	s.UploadI32(attention.QStarts, []int32{0, 1})
	s.Attention(attention)
	if err := s.Sync(); err == nil || !strings.Contains(err.Error(), "a slot that nothing stored") {
		t.Errorf("attention to nothing: %v", err)
	}
	half := tensor(runtime.F16, 4, 32)
	if err := d.Run(&runtime.StoreKV{K: one, V: one, CacheK: half, CacheV: half, Slots: ids, KVHeads: 1, BlockSize: 4}); !errors.Is(err, runtime.ErrUnsupported) {
		t.Errorf("a cache of F16: %v", err)
	}
	s.Close()
}
