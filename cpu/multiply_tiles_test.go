package cpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/godwit-ml/godwit/cpu/simd"
	"github.com/godwit-ml/godwit/quant"
	"github.com/godwit-ml/godwit/runtime"
)

// onPath opens a device in fast arithmetic, or skips where there is no such path.
func onPath(t testing.TB, path simd.Path, threads int) *Device {
	t.Helper()
	if !path.Available() {
		t.Skipf("this build, processor or system has no path %v", path)
	}
	d, err := New(Options{Path: path.String(), Threads: threads})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// tileTypes are the types that tiles multiply.
var tileTypes = []runtime.DType{runtime.BF16, q40, q41, runtime.Q8_0}

// encoded is a random weight of a type.
func encoded(t testing.TB, r *rand.Rand, to runtime.DType, rows, cols int) runtime.Tensor {
	t.Helper()
	values := make([]float32, rows*cols)
	for i := range values {
		values[i] = float32(r.NormFloat64()) / 8
	}
	b := make([]byte, to.Bytes(len(values)))
	if err := quant.Encode(b, values, to); err != nil {
		t.Fatal(err)
	}
	return runtime.HostTensor(to, rows, cols, b)
}

// multiplyRows is the product of rows from … to of x with a weight, on d.
func multiplyRows(t testing.TB, d *Device, w, x runtime.Tensor, from, to int) []float32 {
	t.Helper()
	out := make([]float32, (to-from)*w.Rows)
	op := &runtime.MatMul{Out: runtime.HostF32(to-from, w.Rows, out), X: x.RowRange(from, to), W: w}
	if err := op.Check(); err != nil {
		t.Fatal(err)
	}
	if err := d.Run(op); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestTileProducts: on tiles a row has the same bits in any company and on any
// number of threads; with blocks those that vectors give, too.
func TestTileProducts(t *testing.T) {
	d, threads, vectors := onPath(t, simd.AMX, 1), onPath(t, simd.AMX, 3), onPath(t, simd.VNNI, 1)
	r := rand.New(rand.NewPCG(11, 12))
	for _, dtype := range tileTypes {
		for range 6 {
			n, k := 1+r.IntN(150), 1+r.IntN(500)
			if block := dtype.BlockSize(); block > 1 {
				k = (k + block - 1) / block * block
			}
			const m = 300
			host, values := encoded(t, r, dtype, n, k), make([]float32, m*k)
			for i := range values {
				values[i] = float32(r.NormFloat64())
			}
			x := runtime.HostF32(m, k, values)
			load := func(d *Device) runtime.Tensor {
				w, err := d.Load(host, runtime.UseProduct)
				if err != nil {
					t.Fatal(err)
				}
				return w
			}
			w := load(d)
			all := multiplyRows(t, d, w, x, 0, m)
			equal := func(what string, from int, got []float32) {
				t.Helper()
				for i, v := range got {
					if want := all[from*n+i]; math.Float32bits(v) != math.Float32bits(want) {
						t.Fatalf("%v, N %d, K %d, %s: row %d, output %d is %v, among %d rows %v", dtype, n, k, what, from+i/n, i%n, v, m, want)
					}
				}
			}
			equal("three threads", 0, multiplyRows(t, threads, load(threads), x, 0, m))
			if dtype != runtime.BF16 {
				equal("vectors", 0, multiplyRows(t, vectors, load(vectors), x, 0, m))
			}
			for range 12 {
				from := r.IntN(m)
				to := min(from+1+r.IntN(40), m)
				equal(fmt.Sprintf("%d rows", to-from), from, multiplyRows(t, d, w, x, from, to))
			}
		}
	}
}

// BenchmarkTiles is products of many rows, with tiles and without.
func BenchmarkTiles(b *testing.B) {
	r := rand.New(rand.NewPCG(13, 14))
	for _, dtype := range tileTypes {
		for _, shape := range []struct{ m, k, n int }{{512, 576, 1536}, {512, 384, 1536}, {32, 576, 1536}, {1, 576, 1536}} {
			host := encoded(b, r, dtype, shape.n, shape.k)
			x := runtime.HostF32(shape.m, shape.k, make([]float32, shape.m*shape.k))
			for i := range x.F32s() {
				x.F32s()[i] = float32(r.NormFloat64())
			}
			for _, threads := range []int{1, 2} {
				for _, path := range []simd.Path{simd.VNNI, simd.AMX} {
					b.Run(fmt.Sprintf("%v/%dx%dx%d/threads=%d/%v", dtype, shape.m, shape.k, shape.n, threads, path), func(b *testing.B) {
						d := onPath(b, path, threads)
						w, err := d.Load(host, runtime.UseProduct)
						if err != nil {
							b.Fatal(err)
						}
						op := &runtime.MatMul{Out: runtime.HostF32(shape.m, shape.n, make([]float32, shape.m*shape.n)), X: x, W: w}
						for b.Loop() {
							if err := d.Run(op); err != nil {
								b.Fatal(err)
							}
						}
						b.ReportMetric(2*float64(shape.m*shape.k*shape.n)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GOP/s")
					})
				}
			}
		}
	}
}
