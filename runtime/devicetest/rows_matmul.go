package devicetest

// Rows of MatMul.

import (
	"fmt"
	"math"

	"github.com/godwit-ml/godwit/quant"
	"github.com/godwit-ml/godwit/runtime"
)

// matmulTable collects rows of MatMul.
type matmulTable []Row

func (t *matmulTable) add(name string, dtype runtime.DType, build func(c *Case)) *Row {
	*t = append(*t, Row{Op: "MatMul", Name: name, DType: dtype, Limit: product, build: build})
	return &(*t)[len(*t)-1]
}

func matmulRows() []Row {
	var t matmulTable
	t.shapes()
	t.types()
	t.epilogues()
	t.gates()
	t.picks()
	t.groups()
	t.add("NaN in one row of X", quant.F32, func(c *Case) {
		x := c.normal(66, 40, 0, 1)
		c.poke(x, 64, 39, math.NaN())
		c.do(&runtime.MatMul{Out: c.stale(66, 9), X: x, W: c.f32(9, 40)})
	}).NaN = true
	t.add("into columns of one matrix", quant.F32, func(c *Case) {
		x, out := c.normal(5, 20, 0, 1), c.stale(5, 24)
		c.do(&runtime.MatMul{Out: out.ColRange(0, 12), X: x, W: c.f32(12, 20)})
		c.do(&runtime.MatMul{Out: out.ColRange(12, 20), X: x, W: c.f32(8, 20), Bias: c.normal(1, 8, 0, 1)})
		c.do(&runtime.MatMul{Out: out.ColRange(20, 24), X: out.ColRange(0, 12), W: c.f32(4, 12)})
	})
	return t
}

// f32 is an F32 weight of a product.
func (c *Case) f32(rows, cols int) runtime.Tensor {
	return c.weight(quant.F32, rows, cols, runtime.UseProduct)
}

// shapes: one token, sizes that are no multiple of anything, more rows and
// columns than any tile.
func (t *matmulTable) shapes() {
	for _, s := range [][3]int{
		{1, 1, 1}, {1, 7, 5}, {2, 1, 3}, {3, 5, 7}, {1, 203, 515}, {17, 33, 65}, {65, 67, 129}, {130, 259, 70}, {300, 12, 197}, {1, 64, 2051}, {4, 1030, 32},
	} {
		t.add(fmt.Sprintf("%dx%dx%d", s[0], s[1], s[2]), quant.F32, func(c *Case) {
			c.do(&runtime.MatMul{Out: c.stale(s[0], s[1]), X: c.normal(s[0], s[2], 0, 1), W: c.f32(s[1], s[2])})
		})
	}
}

// types: each storage type for one token, some tokens, gated, and by experts.
func (t *matmulTable) types() {
	for _, dtype := range weightTypes() {
		k := max(3*dtype.BlockSize(), 37)
		load := func(c *Case, rows int) runtime.Tensor { return c.weight(dtype, rows, k, runtime.UseProduct) }
		t.add("one token", dtype, func(c *Case) {
			c.do(&runtime.MatMul{Out: c.stale(1, 19), X: c.normal(1, k, 0, 1), W: load(c, 19)})
		})
		t.add("tokens", dtype, func(c *Case) {
			c.do(&runtime.MatMul{Out: c.stale(5, 9), X: c.normal(5, k, 0, 1), W: load(c, 9), Bias: c.normal(1, 9, 0, 1)})
		})
		t.add("gated", dtype, func(c *Case) {
			c.do(&runtime.MatMul{Out: c.stale(3, 7), X: c.normal(3, k, 0, 0.2), W: load(c, 14), Act: runtime.Silu, Gated: true})
		})
		t.add("experts", dtype, func(c *Case) {
			c.do(&runtime.MatMul{Out: c.stale(6, 5), X: c.normal(3, k, 0, 1), W: load(c, 20), Pick: c.ints(2, 0, -1, 2, 3, 0), Fan: 2})
		})
	}
	// Rows on the edges that vector loads want, longer than a pass over them.
	for _, dtype := range []runtime.DType{quant.F32, quant.F16} {
		for _, s := range [][3]int{{1, 24, 512}, {8, 16, 1024}, {40, 72, 48}} {
			t.add(fmt.Sprintf("aligned %dx%dx%d", s[0], s[1], s[2]), dtype, func(c *Case) {
				c.do(&runtime.MatMul{Out: c.stale(s[0], s[1]), X: c.normal(s[0], s[2], 0, 1), W: c.weight(dtype, s[1], s[2], runtime.UseProduct)})
			})
		}
		t.add("aligned, everything", dtype, func(c *Case) {
			c.do(&runtime.MatMul{Out: c.stale(6, 16), X: c.normal(6, 256, 0, 0.2), W: c.weight(dtype, 32, 256, runtime.UseProduct),
				Bias: c.normal(1, 32, 0, 1), Residual: c.normal(6, 16, 0, 1), Act: runtime.GeluTanh, Alpha: 0.5, Gated: true})
		})
		t.add("aligned experts", dtype, func(c *Case) {
			c.do(&runtime.MatMul{Out: c.stale(10, 16), X: c.normal(5, 128, 0, 1), W: c.weight(dtype, 48, 128, runtime.UseProduct),
				Pick: c.ints(2, 0, -1, 2, 1, 0, 0, 0, 2, 2), Fan: 2, Bias: c.normal(3, 16, 0, 1)})
		})
	}
	t.add("tied head", quant.Q8_0, func(c *Case) {
		w := c.weight(quant.Q8_0, 70, 64, runtime.UseProduct|runtime.UseTable)
		x := c.stale(2, 64)
		c.do(&runtime.Gather{Out: x, Table: w, IDs: c.ints(69, 3)})
		c.do(&runtime.MatMul{Out: c.stale(2, 70), X: x, W: w})
	})
}

// epilogues: bias, function, Alpha and residual, alone and together.
func (t *matmulTable) epilogues() {
	const r, n, k = 4, 19, 23
	op := func(c *Case) *runtime.MatMul {
		return &runtime.MatMul{Out: c.stale(r, n), X: c.normal(r, k, 0, 0.3), W: c.f32(n, k)}
	}
	bias := func(c *Case) runtime.Tensor { return c.normal(1, n, 0, 1) }
	for _, f := range functions {
		t.add(f.String(), quant.F32, func(c *Case) {
			o := op(c)
			o.Act, o.Bias, o.Alpha, o.Residual = f, bias(c), -0.6, c.normal(r, n, 0, 1)
			c.do(o)
		})
	}
	for _, f := range functions {
		t.add(f.String()+" far from zero", quant.F32, func(c *Case) {
			c.do(&runtime.MatMul{Out: c.stale(3, n), X: c.normal(3, k, 0, 40), W: c.f32(n, k), Act: f})
		})
	}
	t.add("bias", quant.F32, func(c *Case) { o := op(c); o.Bias = bias(c); c.do(o) })
	t.add("Alpha", quant.F32, func(c *Case) { o := op(c); o.Alpha = 0.125; c.do(o) })
	t.add("residual", quant.F32, func(c *Case) { o := op(c); o.Residual = c.normal(r, n, 0, 1); c.do(o) })
	t.add("residual in place", quant.F32, func(c *Case) {
		o := op(c)
		o.Out = c.normal(r, n, 0, 1)
		o.Residual, o.Bias = o.Out, bias(c)
		c.do(o)
	})
	t.add("residual in place, Alpha, one token", quant.F32, func(c *Case) {
		out := c.normal(1, 200, 0, 1)
		c.do(&runtime.MatMul{Out: out, Residual: out, X: c.normal(1, 90, 0, 1), W: c.f32(200, 90), Alpha: 3})
	})
}

// gates: W is all gate rows over all up rows, and so is Bias.
func (t *matmulTable) gates() {
	for _, f := range []runtime.Fn{runtime.Silu, runtime.Gelu, runtime.GeluTanh, runtime.Ident} {
		t.add("gated "+f.String(), quant.F32, func(c *Case) {
			const r, n, k = 3, 70, 31
			c.do(&runtime.MatMul{Out: c.stale(r, n), X: c.normal(r, k, 0, 0.3), W: c.f32(2*n, k), Act: f, Gated: true})
		})
	}
	t.add("gated with all", quant.F32, func(c *Case) {
		const r, n, k = 66, 21, 18
		out := c.normal(r, n, 0, 1)
		c.do(&runtime.MatMul{Out: out, Residual: out, X: c.normal(r, k, 0, 0.3), W: c.f32(2*n, k), Bias: c.normal(1, 2*n, 0, 1),
			Act: runtime.Silu, Alpha: 1.7, Gated: true})
	})
}

// picks: experts and adapters.
func (t *matmulTable) picks() {
	const n, k, experts = 11, 26, 4
	for _, fan := range []int{1, 2, 3} {
		t.add(fmt.Sprintf("Pick, Fan %d", fan), quant.F32, func(c *Case) {
			c.do(&runtime.MatMul{Out: c.stale(fan*5, n), X: c.normal(5, k, 0, 1), W: c.f32(experts*n, k), Bias: c.normal(experts, n, 0, 1),
				Pick: c.ints(c.draw(fan*5, 0, experts)...), Fan: fan})
		})
		t.add(fmt.Sprintf("Pick, gated, Fan %d", fan), quant.F32, func(c *Case) {
			c.do(&runtime.MatMul{Out: c.stale(fan*7, n), X: c.normal(7, k, 0, 0.3), W: c.f32(experts*2*n, k), Bias: c.normal(experts, 2*n, 0, 1),
				Pick: c.ints(c.draw(fan*7, -1, experts)...), Fan: fan, Gated: true, Act: runtime.Silu, Alpha: 0.5})
		})
	}
	t.add("Fan alone", quant.F32, func(c *Case) {
		c.do(&runtime.MatMul{Out: c.stale(6, n), X: c.normal(2, k, 0, 1), W: c.f32(n, k), Fan: 3})
	})
	t.add("Pick none, residual in place", quant.F32, func(c *Case) {
		out := c.normal(4, n, 0, 1)
		c.do(&runtime.MatMul{Out: out, Residual: out, X: c.normal(4, k, 0, 1), W: c.f32(2*n, k), Pick: c.ints(-1, 1, -1, 0), Bias: c.normal(2, n, 0, 1), Alpha: 2})
	})
	t.add("Pick none, residual", quant.F32, func(c *Case) {
		c.do(&runtime.MatMul{Out: c.stale(3, n), Residual: c.normal(3, n, 0, 1), X: c.normal(3, k, 0, 1), W: c.f32(2*n, k), Pick: c.ints(-1, -1, -1)})
	})
	t.add("Pick none gives zeros", quant.F32, func(c *Case) {
		c.do(&runtime.MatMul{Out: c.stale(3, n), X: c.normal(3, k, 0, 1), W: c.f32(2*n, k), Bias: c.normal(2, n, 1, 1), Act: runtime.Sigmoid, Pick: c.ints(-1, 0, -1)})
	})
	t.add("Pick of one for one token", quant.F32, func(c *Case) {
		c.do(&runtime.MatMul{Out: c.stale(1, n), X: c.normal(1, k, 0, 1), W: c.f32(experts*n, k), Pick: c.ints(experts - 1)})
	})
	t.add("Pick, many rows", quant.F32, func(c *Case) {
		picks := c.draw(301, -1, 3)
		for i := range 150 {
			picks[i] = 1
		}
		c.do(&runtime.MatMul{Out: c.stale(301, n), X: c.normal(301, k, 0, 1), W: c.f32(experts*n, k), Pick: c.ints(picks...)})
	})
	t.add("Pick, NaN in one row of X", quant.F32, func(c *Case) {
		x := c.normal(4, k, 0, 1)
		c.poke(x, 2, 0, math.NaN())
		c.do(&runtime.MatMul{Out: c.stale(8, n), X: x, W: c.f32(experts*n, k), Pick: c.ints(0, 1, 1, 0, 0, -1, 1, 0), Fan: 2})
	}).NaN = true
}

// groups: block diagonal products.
func (t *matmulTable) groups() {
	for _, s := range [][4]int{{1, 6, 4, 2}, {5, 12, 30, 3}, {66, 140, 26, 2}} {
		t.add(fmt.Sprintf("%d groups, %dx%dx%d", s[3], s[0], s[1], s[2]), quant.F32, func(c *Case) {
			c.do(&runtime.MatMul{Out: c.stale(s[0], s[1]), X: c.normal(s[0], s[2], 0, 1), W: c.f32(s[1], s[2]/s[3]), Groups: s[3]})
		})
	}
	t.add("groups with all", quant.F16, func(c *Case) {
		out := c.normal(3, 8, 0, 1)
		c.do(&runtime.MatMul{Out: out, Residual: out, X: c.normal(3, 20, 0, 1), W: c.weight(quant.F16, 8, 5, runtime.UseProduct), Bias: c.normal(1, 8, 0, 1),
			Groups: 4, Act: runtime.Tanh, Alpha: 0.7})
	})
	t.add("groups with Fan", quant.F32, func(c *Case) {
		c.do(&runtime.MatMul{Out: c.stale(6, 8), X: c.normal(3, 10, 0, 1), W: c.f32(8, 5), Groups: 2, Fan: 2})
	})
}
