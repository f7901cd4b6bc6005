package cuda

import (
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/godwit-ml/godwit/quant"
	"github.com/godwit-ml/godwit/runtime"
)

// encoded is a host tensor of any type, of values that are finite.
func encoded(t *testing.T, dtype runtime.DType, rows, cols int) runtime.Tensor {
	t.Helper()
	rng := rand.New(rand.NewPCG(uint64(dtype), 3))
	raw := make([]byte, dtype.Bytes(rows*cols))
	if dtype.Encodes() {
		v := make([]float32, rows*cols)
		for i := range v {
			v[i] = rng.Float32() - 0.5
		}
		must(t, quant.Encode(raw, v, dtype))
	} else {
		for i := range raw {
			raw[i] = byte(rng.Uint32()) & 0x3b // no exponent of a scale is all ones
		}
	}
	return runtime.HostTensor(dtype, rows, cols, raw)
}

// rawOf are the bytes of a tensor of the device.
func rawOf(t *testing.T, d *Device, x runtime.Tensor) []byte {
	t.Helper()
	b := make([]byte, int64(x.Rows)*x.RowBytes())
	must(t, d.Download(b, x))
	must(t, d.Sync())
	return b
}

// packed are the rows of a host tensor without gaps.
func packed(x runtime.Tensor) []byte {
	var b []byte
	for i := range x.Rows {
		b = append(b, x.RowRange(i, i+1).Bytes()...)
	}
	return b
}

// TestLoad: every type, whole and as a view, through staging that is much
// smaller.
func TestLoad(t *testing.T) {
	each(t, func(t *testing.T, open func(Config) *Device) {
		d := open(Config{Staging: 5000})
		for _, dtype := range quant.Types() {
			if !dtype.Decodes() {
				continue
			}
			block := dtype.BlockSize()
			whole := encoded(t, dtype, 5, 7*block)
			for _, host := range []runtime.Tensor{whole, whole.RowRange(1, 4).ColRange(block, 6*block), whole.RowRange(2, 2)} {
				for _, use := range []runtime.Use{runtime.UseProduct, runtime.UseTable | runtime.UseProduct, runtime.UseVector} {
					w, err := d.Load(host, use)
					must(t, err)
					want, stays := runtime.F32, dtype == runtime.F16 && use != runtime.UseVector
					if stays {
						want = dtype
					}
					if w.DType != want || w.Rows != host.Rows || w.Cols != host.Cols || !w.Contiguous() || w.Offset != 0 || w.Mem.Bytes != nil || w.Mem.Host == nil || *w.Mem.Host != host {
						t.Fatalf("%v for %d: %+v", host, use, w)
					}
					if size := LoadedSize(host, use); size < w.Mem.Size || size >= w.Mem.Size+granule {
						t.Errorf("%v: LoadedSize %d, is %d", host, size, w.Mem.Size)
					}
					expect := packed(host)
					if !stays {
						expect = packed(host.Float())
					}
					if got := rawOf(t, d, w); !slices.Equal(got, expect) {
						t.Fatalf("%v for %d: other values", host, use)
					}
					d.Free(w.Mem)
				}
			}
		}
		ints := runtime.HostI32(2, 3, []int32{1, -2, 3, 4, 5, math.MinInt32})
		w, err := d.Load(ints, runtime.UseVector)
		must(t, err)
		if got := rawOf(t, d, w); w.DType != runtime.I32 || binary.LittleEndian.Uint32(got[20:]) != 1<<31 {
			t.Errorf("%v %v", w, got)
		}
		// Large, so that many chunks are in use at the same time.
		big := runtime.HostF32(100, 1000, iota32(100000))
		w, err = d.Load(big, runtime.UseProduct)
		must(t, err)
		if !slices.Equal(rawOf(t, d, w), big.Bytes()) {
			t.Error("a large weight came back wrong")
		}
	})
}

func TestLoadRefuses(t *testing.T) {
	d := mustOpen(t, NewPTX, Config{})
	good := runtime.HostF32(2, 3, iota32(6))
	for name, change := range map[string]func(x *runtime.Tensor){
		"absent":            func(x *runtime.Tensor) { *x = runtime.Tensor{} },
		"a negative row":    func(x *runtime.Tensor) { x.Rows = -1 },
		"a negative offset": func(x *runtime.Tensor) { x.Offset = -4 },
		"beyond the end":    func(x *runtime.Tensor) { x.Rows = 3 },
		"an unknown type":   func(x *runtime.Tensor) { x.DType = 255 },
		"half a block":      func(x *runtime.Tensor) { x.DType = runtime.Q8_0; x.Cols = 3 },
		"too large":         func(x *runtime.Tensor) { x.Rows, x.Cols, x.Stride = math.MaxInt/2, 8, 0 },
		"integers of eight": func(x *runtime.Tensor) { x.DType = quant.U8 },
	} {
		x := good
		change(&x)
		if w, err := d.Load(x, runtime.UseProduct); err == nil {
			t.Errorf("%s: %v", name, w)
		} else if name == "integers of eight" && !errors.Is(err, runtime.ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
	must(t, d.Sync())
}
