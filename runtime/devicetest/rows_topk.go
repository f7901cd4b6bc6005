package devicetest

// Rows of TopK.

import (
	"fmt"
	"math"

	"github.com/godwit-ml/godwit/quant"
	"github.com/godwit-ml/godwit/runtime"
)

// topk makes the operation on x for the k first.
func (c *Case) topk(x runtime.Tensor, k int, norm runtime.TopKNorm) *runtime.TopK {
	return &runtime.TopK{X: x, Values: c.stale(x.Rows, k), IDs: c.table(x.Rows, k, make([]int32, x.Rows*k)), Norm: norm}
}

func topkRows() []Row {
	var rows []Row
	add := func(name string, limit float64, nan bool, build func(c *Case)) {
		rows = append(rows, Row{Op: "TopK", Name: name, DType: quant.F32, Limit: limit, NaN: nan, build: build})
	}
	norms := []struct {
		norm  runtime.TopKNorm
		name  string
		limit float64
	}{{runtime.Raw, "Raw", exact}, {runtime.SoftmaxAll, "SoftmaxAll", function}, {runtime.SoftmaxTop, "SoftmaxTop", function}}
	for _, n := range norms {
		for _, size := range [][3]int{{1, 1, 1}, {5, 37, 8}, {3, 17, 17}, {70, 8, 2}, {1, 20011, 40}} {
			limit := n.limit
			if size[1] > 1000 {
				limit *= 1000 // a plain float32 sum of as many exponentials
			}
			add(fmt.Sprintf("%s %d of %dx%d", n.name, size[2], size[0], size[1]), limit, false, func(c *Case) {
				c.do(c.topk(c.normal(size[0], size[1], 0, 3), size[2], n.norm))
			})
		}
		// Without subtracting the largest, exponentials overflow or vanish. All
		// differences are exact in float32.
		add(n.name+" huge", 1e-10, false, func(c *Case) {
			c.do(c.topk(c.fill(4, 30, func(i, j int) float64 { return float64(2*(i%2)-1)*1e4 + float64(c.rng.IntN(64))/16 }), 5, n.norm))
		})
		add(n.name+" NaN rows have valid ids", n.limit, false, func(c *Case) {
			x := c.normal(6, 19, 0, 1)
			for j := range 19 {
				c.poke(x, 0, j, math.NaN())
				if j != 7 {
					c.poke(x, 2, j, math.NaN())
				}
			}
			c.poke(x, 3, 0, math.NaN())
			c.poke(x, 5, 18, math.NaN())
			c.do(c.topk(x, 6, n.norm))
		})
	}
	add("ties go to the lower id", exact, false, func(c *Case) {
		c.do(c.topk(c.fill(9, 200, func(int, int) float64 { return float64(c.rng.IntN(4)) }), 60, runtime.Raw))
	})
	add("all equal, of either zero", exact, false, func(c *Case) {
		c.do(c.topk(c.fill(2, 50, func(_, j int) float64 { return math.Copysign(0, float64(j%3)-1) }), 50, runtime.Raw))
	})
	add("infinities", exact, false, func(c *Case) {
		c.do(c.topk(c.fill(3, 12, func(i, j int) float64 {
			return []float64{math.Inf(-1), math.Inf(1), 0, 3e38, -3e38}[(i+j)%5]
		}), 12, runtime.Raw))
	})
	add("masked with -Inf", function, false, func(c *Case) {
		o := c.topk(c.fill(3, 40, func(_, j int) float64 {
			if j%3 > 0 {
				return math.Inf(-1)
			}
			return c.rng.NormFloat64()
		}), 20, runtime.SoftmaxAll)
		o.LSE = c.stale(3, 1)
		c.do(o)
	})
	add("LSE and Also", function, false, func(c *Case) {
		o := c.topk(c.normal(4, 1003, 2, 4), 3, runtime.Raw)
		o.LSE = c.stale(4, 1)
		o.Also = c.table(4, 3, []int32{0, 1002, -1, 5, 5, 5, -1, -1, -1, 1001, 0, 7})
		o.AlsoValue = c.stale(4, 3)
		c.do(o)
	})
	add("LSE of huge rows", elementary, false, func(c *Case) {
		o := c.topk(c.fill(2, 31, func(i, _ int) float64 { return float64(2*i-1)*2e4 + float64(c.rng.IntN(64))/16 }), 1, runtime.SoftmaxAll)
		o.LSE = c.stale(2, 1)
		c.do(o)
	})
	add("LSE of a row with NaN", function, true, func(c *Case) {
		x := c.normal(3, 31, 0, 1)
		c.poke(x, 1, 30, math.NaN())
		o := c.topk(x, 4, runtime.SoftmaxTop)
		o.LSE = c.stale(3, 1)
		c.do(o)
	})
	return rows
}
