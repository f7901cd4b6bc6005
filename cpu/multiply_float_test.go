package cpu

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/godwit-ml/godwit/cpu/simd"
	"github.com/godwit-ml/godwit/quant"
	"github.com/godwit-ml/godwit/runtime"
)

// floatWeight is a random weight of a type, and its values.
func floatWeight(t *testing.T, r *rand.Rand, d *Device, dtype runtime.DType, rows, cols int) (*weight, []float32) {
	t.Helper()
	values := make([]float32, rows*cols)
	for i := range values {
		values[i] = float32(r.NormFloat64())
	}
	host := runtime.Tensor{DType: dtype, Rows: rows, Cols: cols, Stride: cols}
	raw := make([]byte, rows*cols*dtype.TypeSize())
	if dtype == runtime.F32 {
		copy(raw, bytesOf(values))
	} else {
		if err := quant.Encode(raw, values, dtype); err != nil {
			t.Fatal(err)
		}
		if err := quant.Decode(values, raw, dtype); err != nil {
			t.Fatal(err)
		}
	}
	host.Mem = &runtime.Memory{Bytes: raw, Size: int64(len(raw))}
	w, err := d.Load(host, runtime.UseProduct)
	if err != nil {
		t.Fatal(err)
	}
	return d.weightOf(&w), values
}

// rowsOf are the activations of a multiplier.
func rowsOf(mul multiplier, x []float32, m, k int) activations {
	size := mul.formSize(k)
	if size == 0 {
		return activations{f32: x, ld: k}
	}
	form := runtime.AlignedBytes(int64(m * size))
	for i := range form {
		form[i] = 0xff // NaN in every type
	}
	for r := range m {
		mul.form(form[r*size:][:size], x[r*k:][:k])
	}
	return activations{form: form, step: size}
}

// TestFloatProducts: products with every float type against sums in float64, and
// each row against itself alone.
func TestFloatProducts(t *testing.T) {
	for _, exact := range []bool{true, false} {
		eachPath(t, Options{Exact: exact, Threads: 1}, func(t *testing.T, d *Device) {
			r := rand.New(rand.NewPCG(1, 2))
			for _, dtype := range []runtime.DType{runtime.F32, runtime.F16, runtime.BF16} {
				for _, m := range []int{1, 2, 3, 4, 5, 7, 12, 13, 16, 25, 64, 300} {
					n, k := 1+r.IntN(100), 1+r.IntN(700)
					w, values := floatWeight(t, r, d, dtype, n, k)
					x := make([]float32, m*k)
					for i := range x {
						x[i] = float32(r.NormFloat64())
					}
					loose := 1e-6 * float64(k)
					if !exact {
						loose += 1. / 256
					}
					checkRows(t, fmt.Sprintf("%v exact=%v %dx%dx%d", dtype, exact, m, n, k), w, values, x, m, loose)
				}
			}
		})
	}
}

func checkRows(t *testing.T, what string, w *weight, values, x []float32, m int, loose float64) {
	t.Helper()
	k, panels := w.cols, (w.rows+simd.Panel-1)/simd.Panel
	ldc := panels*simd.Panel + 3
	c := make([]float32, m*ldc)
	for i := range c {
		c[i] = -12345
	}
	a := rowsOf(w.mul, x, m, k)
	var scratch worker
	w.mul.multiply(&scratch, c, ldc, a, m, w.panel(0, panels), k, panels)
	alone := make([]float32, panels*simd.Panel)
	for r := range m {
		for j := range ldc {
			got := c[r*ldc+j]
			if j >= panels*simd.Panel {
				if got != -12345 {
					t.Fatalf("%s: row %d: %v beside the result", what, r, got)
				}
				continue
			}
			var want, size float64
			for i := range k {
				if j < w.rows {
					p := float64(x[r*k+i]) * float64(values[j*k+i])
					want += p
					size += math.Abs(p)
				}
			}
			if !(math.Abs(float64(got)-want) <= loose*size) { // NaN too
				t.Fatalf("%s: row %d, output %d is %v, want %v", what, r, j, got, want)
			}
		}
		for p := range panels {
			w.mul.multiply(&scratch, alone[p*simd.Panel:], panels*simd.Panel, a.from(r), 1, w.panel(p, 1), k, 1)
		}
		for j, v := range alone {
			if math.Float32bits(v) != math.Float32bits(c[r*ldc+j]) {
				t.Fatalf("%s: row %d, output %d is %v, alone %v", what, r, j, c[r*ldc+j], v)
			}
		}
	}
}

// TestPackFloats: every element of a panel, over what lay there before.
func TestPackFloats(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, f := range []*format{&panelsF32, &panelsF16, &panelsBF16} {
		size := f.dtype.TypeSize()
		for cols := range 70 {
			for _, rows := range []int{1, 5, 31, 32} {
				stride := size * (cols + r.IntN(3))
				src := make([]byte, rows*stride)
				for i := range src {
					src[i] = byte(r.Uint32())
				}
				dst := make([]byte, f.size(cols))
				for i := range dst {
					dst[i] = 0xff
				}
				f.pack(dst, src, stride, rows, cols)
				for i := 0; i < len(dst); i += size {
					c, row := i/size/simd.Panel, i/size%simd.Panel
					if f == &panelsBF16 {
						c, row = c&^1+i/size%2, i/size%(2*simd.Panel)/2
					}
					want := make([]byte, size)
					if row < rows && c < cols {
						copy(want, src[row*stride+c*size:])
					}
					if !bytes.Equal(dst[i:][:size], want) {
						t.Fatalf("%v, %d×%d: row %d, column %d is %x, want %x", f.dtype, rows, cols, row, c, dst[i:][:size], want)
					}
				}
			}
		}
	}
}

// BenchmarkPack is the loading of a weight.
func BenchmarkPack(b *testing.B) {
	for _, f := range []*format{&panelsF32, &panelsF16, &panelsBF16} {
		b.Run(f.dtype.String(), func(b *testing.B) {
			const rows, cols = 32, 1536
			src := make([]byte, rows*cols*f.dtype.TypeSize())
			dst := runtime.AlignedBytes(int64(f.size(cols)))
			b.SetBytes(int64(len(src)))
			for b.Loop() {
				f.pack(dst, src, cols*f.dtype.TypeSize(), rows, cols)
			}
		})
	}
}
