package cpu

// What attention costs, as a share of what the machine can do at most, which is
// measured between its runs.

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/godwit-ml/godwit/cpu/simd"
	"github.com/godwit-ml/godwit/quant"
	"github.com/godwit-ml/godwit/runtime"
)

// ceilingOf is the operations a second of one core.
func ceilingOf(p simd.Path, name string) float64 {
	for _, c := range simd.CeilingsOf(p).Compute {
		if c.Name == name {
			start, rounds := time.Now(), 0
			for time.Since(start) < 5*time.Millisecond {
				c.Run(2000)
				rounds += 2000
			}
			return float64(rounds) * float64(c.Ops) / time.Since(start).Seconds()
		}
	}
	return 0
}

// shares runs f and a measure of a ceiling in turns, and reports the median share.
func shares(b *testing.B, work float64, unit string, ceiling func() float64, f func()) {
	f()
	var share, rate []float64
	top := ceiling()
	for b.Loop() {
		start := time.Now()
		f()
		r := work / time.Since(start).Seconds()
		next := ceiling()
		rate, share = append(rate, r/1e9), append(share, 100*r/max(top, next))
		top = next
	}
	slices.Sort(rate)
	slices.Sort(share)
	b.ReportMetric(rate[len(rate)/2], "G"+unit+"/s")
	b.ReportMetric(rate[len(rate)-1], "best-G"+unit+"/s")
	b.ReportMetric(share[len(share)/2], "%")
	b.ReportMetric(share[len(share)-1], "best-%")
}

func BenchmarkAttentionPrefill(b *testing.B) {
	for p := simd.AVX2; p <= min(simd.Best(), simd.AVX512); p++ {
		d, err := New(Options{Threads: 1, Path: p.String()})
		if err != nil {
			b.Fatal(err)
		}
		for _, c := range []struct {
			attended
			n int
		}{
			{attended{heads: 9, kv: 3, d: 64, left: everything, block: 16, dtype: quant.F32}, 4096},
			{attended{heads: 9, kv: 3, d: 64, left: everything, block: 16, dtype: quant.F16}, 4096},
			{attended{heads: 9, kv: 3, d: 64, left: everything, block: 16, dtype: quant.F16}, 512},
			{attended{heads: 12, kv: 12, d: 64, left: everything, block: 16, dtype: quant.F16}, 1024},
			{attended{heads: 8, kv: 2, d: 128, left: everything, block: 16, dtype: quant.F16}, 1024},
			{attended{heads: 12, kv: 12, d: 32, left: everything, right: everything}, 128},
			{attended{heads: 12, kv: 12, d: 64, left: everything, right: everything}, 512},
		} {
			b.Run(fmt.Sprintf("%v/%v/%d", p, c.attended, c.n), func(b *testing.B) {
				s := c.on(b, d, c.n)
				op := s.chunk(b, 0, c.n)
				work := 4 * float64(c.d*c.heads*c.n*c.n)
				if c.right == 0 {
					work /= 2
				}
				shares(b, work, "FLOP", func() float64 { return ceilingOf(p, "f32") }, func() { s.run(b, &op) })
			})
		}
		_ = d.Close()
	}
}

// BenchmarkAttentionDecode takes one step of many layers, so that caches come from
// memory, as they do in a model.
func BenchmarkAttentionDecode(b *testing.B) {
	for p := simd.AVX2; p <= min(simd.Best(), simd.AVX512); p++ {
		for _, threads := range []int{1, 2} {
			d, err := New(Options{Threads: threads, Path: p.String()})
			if err != nil {
				b.Fatal(err)
			}
			for _, dtype := range []runtime.DType{quant.F16, quant.Q8_0, quant.F32} {
				for _, n := range []int{512, 4096} {
					b.Run(fmt.Sprintf("%v/%d threads/%v/%d", p, threads, dtype, n), func(b *testing.B) {
						const layers = 30
						a := attended{heads: 9, kv: 3, d: 64, left: everything, block: 16, dtype: dtype}
						s := a.on(b, d, n)
						var ops []runtime.Attention
						for range layers {
							op := s.chunk(b, n-1, n)
							for _, t := range []*runtime.Tensor{&op.K, &op.V} {
								m, err := d.Alloc(t.Mem.Size)
								if err != nil {
									b.Fatal(err)
								}
								copy(m.Bytes, t.Mem.Bytes)
								t.Mem = m
							}
							ops = append(ops, op)
						}
						bytes := layers * 2 * n * dtype.Bytes(a.kv*a.d)
						buffer := runtime.AlignedBytes(int64(bytes))
						for i := range buffer {
							buffer[i] = byte(i)
						}
						read := simd.CeilingsOf(p).Read
						shares(b, float64(bytes), "B", func() float64 {
							best := 0.0
							for _, r := range read {
								j := &reading{r, buffer, threads}
								start := time.Now()
								if err := d.pool.run(j, threads, 1e9); err != nil {
									b.Fatal(err)
								}
								best = max(best, float64(bytes)/time.Since(start).Seconds())
							}
							return best
						}, func() {
							for i := range ops {
								s.run(b, &ops[i])
							}
						})
					})
				}
			}
			_ = d.Close()
		}
	}
}

// reading reads a buffer, a part a task.
type reading struct {
	read  func([]byte)
	b     []byte
	parts int
}

func (j *reading) task(_ *worker, i int) {
	n := len(j.b) / j.parts
	j.read(j.b[i*n:][:n])
}
