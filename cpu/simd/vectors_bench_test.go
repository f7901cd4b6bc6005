package simd

// What functions on rows cost, in the first-level cache, by path, and what a core
// can do at most: operations of products, two a sum, and exponentials.

import "testing"

func BenchmarkVectors(b *testing.B) {
	const n = 2048
	buffer := func() []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(i%97)/16 - 3
		}
		return v
	}
	x, out, add, weight := buffer(), buffer(), buffer(), buffer()
	half, ids := make([]uint16, n), make([]int32, 64)
	for p := min(Best(), AVX512); ; p-- {
		v := vectors(p)
		run := func(name string, f func()) {
			b.Run(p.String()+"/"+name, func(b *testing.B) {
				for b.Loop() {
					f()
				}
				b.ReportMetric(n*float64(b.N)/1e9/b.Elapsed().Seconds(), "G/s")
			})
		}
		for _, c := range CeilingsOf(p).Compute {
			if c.Name != "f32" && c.Name != "exp" {
				continue
			}
			b.Run(p.String()+"/ceiling "+c.Name, func(b *testing.B) {
				const rounds = 1000
				for b.Loop() {
					c.Run(rounds)
				}
				b.ReportMetric(rounds*float64(c.Ops)*float64(b.N)/1e9/b.Elapsed().Seconds(), "G/s")
			})
		}
		run("exp", func() { v.ExpSum(out, x, 0) })
		r := &Rows{X: x, Out: out, LdX: 32, LdOut: 32, M: n / 32, N: 32, In: 1, Alpha: 1}
		for f, c := range mapped {
			run(c.name, func() { v.Map[f](r) })
		}
		run("residual", func() {
			*r = Rows{X: x, Out: add, Add: add, LdX: 32, LdOut: 32, LdAdd: 32, M: n / 32, N: 32, In: 1, Alpha: 1}
			v.Map[Identity](r)
		})
		run("bias+gelu", func() {
			*r = Rows{X: x, Out: out, Bias: weight, LdX: 32, LdOut: 32, LdAdd: 32, M: n / 32, N: 32, In: 1, Alpha: 1}
			v.Map[Gelu](r)
		})
		run("silu*up", func() {
			*r = Rows{X: x, Out: out, Mul: weight, LdX: 32, LdOut: 32, LdMul: 32, M: n / 32, N: 32, In: 1, Alpha: 1}
			v.Map[Silu](r)
		})
		norm := &NormRows{X: x, Out: out, Weight: weight, LdX: 512, LdOut: 512, M: 4, N: 512, Share: 1. / 512, Eps: 1e-5}
		run("RMSNorm-512", func() { v.Norm(norm) })
		heads := &NormRows{X: x, Out: out, Weight: weight, LdX: 64, LdOut: 64, M: 32, N: 64, Share: 1. / 64, Eps: 1e-5}
		run("RMSNorm-64", func() { v.Norm(heads) })
		centred := &NormRows{X: x, Out: out, Weight: weight, Bias: add, LdX: 512, LdOut: 512, M: 4, N: 512, Share: 1. / 512, Eps: 1e-5, Centred: true}
		run("LayerNorm-512", func() { v.Norm(centred) })
		run("RoPE", func() { v.RoPE(out, weight[:32], add[:32], n/64, 64) })
		run("RoPEPairs", func() { v.RoPEPairs(out, weight[:32], add[:32], n/64, 64) })
		run("Combine-8", func() { v.Combine(out[:256], x, 256, weight[:8], nil) })
		run("Max", func() { sink = v.Max(x) })
		run("Above", func() { v.Above(ids, x, 100) })
		run("FromF16", func() { v.FromF16(out, half) })
		run("ToF16", func() { v.ToF16(half, x) })
		run("FromBF16", func() { v.FromBF16(out, half) })
		run("ToBF16", func() { v.ToBF16(half, x) })
		run("copy", func() { copy(out, x) })
		if p == Portable {
			return
		}
	}
}

var sink float32
