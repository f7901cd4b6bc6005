package cpu

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/godwit-ml/godwit/cpu/simd"
	"github.com/godwit-ml/godwit/quant"
	"github.com/godwit-ml/godwit/runtime"
)

// readJob reads memory, a megabyte a task.
type readJob struct {
	read func([]byte)
	b    []byte
}

func (j *readJob) task(_ *worker, i int) { j.read(j.b[i<<20:][:1<<20]) }

// bandwidth is the best rate, in GB/s, at which the workers read b.
func bandwidth(b *testing.B, d *Device, memory []byte) float64 {
	best := time.Hour
	for _, read := range simd.CeilingsOf(d.k.Path).Read {
		for range 6 {
			start := time.Now()
			if err := d.pool.run(&readJob{read, memory}, len(memory)>>20, int64(len(memory))); err != nil {
				b.Fatal(err)
			}
			best = min(best, time.Since(start))
		}
	}
	return float64(len(memory)) / best.Seconds() / 1e9
}

// ceiling is what one core does of a kind of work, in G/s; 0: the path has none.
func ceiling(p simd.Path, name string) float64 {
	for _, c := range simd.CeilingsOf(p).Compute {
		if c.Name == name {
			best := time.Hour
			for range 50 {
				start := time.Now()
				c.Run(20_000)
				best = min(best, time.Since(start))
			}
			return float64(c.Ops) * 20_000 / best.Seconds() / 1e9
		}
	}
	return 0
}

// BenchmarkBlocks: products with K×N = 576×1536 through the device. Prefill is 512
// rows by one matrix, with the share of the ceiling of int8 products of all its
// threads; decode is one row by so many matrices, one after the other, that their
// panels are 100 MB, with the share of the rate at which the same threads read as
// much.
func BenchmarkBlocks(b *testing.B) {
	const k, n = 576, 1536
	memory := bytes.Repeat([]byte{7}, 100<<20)
	for _, path := range []simd.Path{simd.AVX2, simd.AVX512, simd.VNNI} {
		if !path.Available() {
			continue
		}
		for _, dtype := range []runtime.DType{quant.Q4_0, quant.Q4_1, quant.Q8_0} {
			for _, threads := range []int{1, 2} {
				d, err := New(Options{Path: path.String(), Threads: threads})
				if err != nil {
					b.Fatal(err)
				}
				raw := make([]byte, n*dtype.Bytes(k))
				values := make([]float32, n*k)
				for i := range values {
					values[i] = float32(i*7919%1013)/512 - 1
				}
				if err := quant.Encode(raw, values, dtype); err != nil {
					b.Fatal(err)
				}
				host := runtime.HostTensor(dtype, n, k, raw)
				var ws []runtime.Tensor
				for size := 0; size < 100<<20; size += len(raw) {
					w, err := d.Load(host, runtime.UseProduct)
					if err != nil {
						b.Fatal(err)
					}
					ws = append(ws, w)
				}
				x, out := random(b, &d.Reference, 3, 512, k), empty(b, &d.Reference, 512, n)
				b.Run(fmt.Sprintf("%v/%v/threads=%d/prefill", path, dtype, threads), func(b *testing.B) {
					best := time.Hour
					for b.Loop() {
						start := time.Now()
						if err := d.Run(&runtime.MatMul{Out: out, X: x, W: ws[0]}); err != nil {
							b.Fatal(err)
						}
						best = min(best, time.Since(start))
					}
					rate := 2 * 512 * n * k / best.Seconds() / 1e9
					b.ReportMetric(rate, "best-GOP/s")
					if c := ceiling(path, "int8"); c > 0 {
						b.ReportMetric(100*rate/c/float64(threads), "%ceiling")
					}
				})
				b.Run(fmt.Sprintf("%v/%v/threads=%d/decode", path, dtype, threads), func(b *testing.B) {
					x, out := x.RowRange(0, 1), out.RowRange(0, 1)
					best := time.Hour
					for b.Loop() {
						start := time.Now()
						for _, w := range ws {
							if err := d.Run(&runtime.MatMul{Out: out, X: x, W: w}); err != nil {
								b.Fatal(err)
							}
						}
						best = min(best, time.Since(start))
					}
					rate := float64(len(ws)*len(raw)) / best.Seconds() / 1e9
					b.ReportMetric(rate, "best-GB/s")
					b.ReportMetric(100*rate/bandwidth(b, d, memory), "%read")
				})
				if err := d.Close(); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
}
