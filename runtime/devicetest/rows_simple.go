package devicetest

// Rows of Gather, Norm, Pointwise, RoPE and Combine.

import (
	"fmt"
	"math"

	"github.com/godwit-ml/godwit/quant"
	"github.com/godwit-ml/godwit/runtime"
)

func gatherRows() []Row {
	row := func(name string, dtype runtime.DType, limit float64, build func(c *Case)) Row {
		return Row{Op: "Gather", Name: name, DType: dtype, Limit: limit, build: build}
	}
	var rows []Row
	for _, t := range weightTypes() {
		limit := elementary
		if t.BlockSize() == 1 {
			limit = exact
		}
		rows = append(rows, row("first, last, repeated", t, limit, func(c *Case) {
			d := max(3*t.BlockSize(), 7)
			c.do(&runtime.Gather{Out: c.stale(5, d), Table: c.weight(t, 9, d, runtime.UseTable), IDs: c.ints(8, 0, 3, 3, 0)})
		}))
	}
	return append(rows,
		row("one", quant.F32, exact, func(c *Case) {
			c.do(&runtime.Gather{Out: c.stale(1, 1), Table: c.weight(quant.F32, 1, 1, runtime.UseTable), IDs: c.ints(0)})
		}),
		row("of activations", quant.F32, exact, func(c *Case) {
			c.do(&runtime.Gather{Out: c.stale(3, 131), Table: c.normal(70, 131, 0, 1), IDs: c.table(3, 1, []int32{69, 1, 68})})
		}),
		row("scaled", quant.F16, elementary, func(c *Case) {
			c.do(&runtime.Gather{Out: c.stale(37, 48), Table: c.weight(quant.F16, 50, 48, runtime.UseTable|runtime.UseProduct),
				IDs: c.ints(c.draw(37, 0, 50)...), Scale: float32(math.Sqrt(48))})
		}),
		row("added", quant.Q8_0, elementary, func(c *Case) {
			c.do(&runtime.Gather{Out: c.normal(6, 96, 0, 1), Table: c.weight(quant.Q8_0, 4, 96, runtime.UseTable), IDs: c.ints(3, 2, 0, 3, 1, 1), Add: true})
		}),
		row("scaled and added", quant.F32, elementary, func(c *Case) {
			c.do(&runtime.Gather{Out: c.normal(6, 33, 0, 1), Table: c.weight(quant.F32, 4, 33, runtime.UseTable), IDs: c.ints(3, 2, 0, 3, 1, 1), Add: true, Scale: -2.5})
		}),
		row("NaN in one row of the table", quant.F32, exact, func(c *Case) {
			table := c.normal(5, 20, 0, 1)
			c.poke(table, 2, 7, math.NaN())
			c.do(&runtime.Gather{Out: c.stale(4, 20), Table: table, IDs: c.ints(1, 2, 3, 4)})
		}).nan(),
	)
}

func normRows() []Row {
	var rows []Row
	add := func(name string, limit float64, nan bool, build func(c *Case)) {
		rows = append(rows, Row{Op: "Norm", Name: name, DType: quant.F32, Limit: limit, NaN: nan, build: build})
	}
	for k, kind := range []string{"LayerNorm", "RMSNorm", "L2Norm"} {
		kind, name := runtime.NormKind(k), kind
		for _, size := range [][2]int{{1, 1}, {1, 7}, {3, 64}, {5, 577}, {65, 33}} {
			add(fmt.Sprintf("%s %dx%d", name, size[0], size[1]), function, false, func(c *Case) {
				r, n := size[0], size[1]
				c.do(&runtime.Norm{Out: c.stale(r, n), X: c.normal(r, n, 0.4, 2), Weight: c.normal(1, n, 1, 0.5), Bias: c.normal(1, n, 0, 1), Kind: kind, Eps: 1e-5})
			})
		}
		// Eps is of the size of what it is added to: inside the root, outside,
		// doubled or forgotten are all different.
		add(name+" large eps", function, false, func(c *Case) {
			c.do(&runtime.Norm{Out: c.stale(4, 24), X: c.normal(4, 24, 0, 0.1), Weight: c.normal(1, 24, 1, 0.5), Kind: kind, Eps: 0.3})
		})
		add(name+" no weight", function, false, func(c *Case) {
			c.do(&runtime.Norm{Out: c.stale(3, 11), X: c.normal(3, 11, 1, 1), Kind: kind, Eps: 1e-6})
		})
		add(name+" bias alone", function, false, func(c *Case) {
			c.do(&runtime.Norm{Out: c.stale(3, 11), X: c.normal(3, 11, 1, 1), Bias: c.normal(1, 11, 0, 1), Kind: kind, Eps: 1e-6})
		})
		add(name+" in place", function, false, func(c *Case) {
			x := c.normal(5, 130, -1, 3)
			c.do(&runtime.Norm{Out: x, X: x, Weight: c.normal(1, 130, 1, 0.5), Kind: kind, Eps: 1e-5})
		})
		add(name+" groups in place", function, false, func(c *Case) {
			x := c.fill(4, 60, func(i, j int) float64 { return float64(1+j/20) * c.rng.NormFloat64() })
			c.do(&runtime.Norm{Out: x, X: x, Weight: c.normal(1, 20, 1, 0.5), Bias: c.normal(1, 20, 0, 1), Kind: kind, Eps: 1e-3, Groups: 3})
		})
		add(name+" NaN in one row", function, true, func(c *Case) {
			x := c.normal(3, 40, 0, 1)
			c.poke(x, 1, 39, math.NaN())
			c.do(&runtime.Norm{Out: c.stale(3, 40), X: x, Kind: kind, Eps: 1e-5})
		})
		add(name+" rows of zeros", function, false, func(c *Case) {
			c.do(&runtime.Norm{Out: c.stale(2, 9), X: c.uniform(2, 9, 0, 0), Bias: c.normal(1, 9, 0, 1), Kind: kind, Eps: 1e-6})
		})
	}
	// The mean of squares less the square of the mean has no digit left in the
	// first, and one in the second; a mean rounded to float32 costs the first
	// 1e-3 and the second 1e-8.
	add("LayerNorm mean 1e4 deviation 1e-2", 5e-3, false, func(c *Case) {
		c.do(&runtime.Norm{Out: c.stale(7, 193), X: c.normal(7, 193, 1e4, 1e-2), Weight: c.normal(1, 193, 1, 0.5), Eps: 1e-12})
	})
	add("LayerNorm mean 100 deviation 0.1", 1e-7, false, func(c *Case) {
		c.do(&runtime.Norm{Out: c.stale(7, 193), X: c.normal(7, 193, 100, 0.1), Weight: c.normal(1, 193, 1, 0.5), Eps: 1e-12})
	})
	return rows
}

// functions are all elementwise functions.
var functions = []runtime.Fn{runtime.Ident, runtime.Relu, runtime.Gelu, runtime.GeluTanh, runtime.Silu, runtime.Tanh, runtime.Sigmoid}

func pointwiseRows() []Row {
	var rows []Row
	add := func(name string, limit float64, nan bool, build func(c *Case)) {
		rows = append(rows, Row{Op: "Pointwise", Name: name, DType: quant.F32, Limit: limit, NaN: nan, build: build})
	}
	for _, f := range functions {
		add(f.String(), function, false, func(c *Case) {
			c.do(&runtime.Pointwise{Out: c.stale(5, 203), X: c.uniform(5, 203, -4, 4), F: f})
		})
		add(f.String()+" far from zero", function, false, func(c *Case) {
			far := []float64{-1e30, -1e10, -1e4, -150, -104, -89, -88, -50, 50, 88, 89, 104, 150, 1e4, 1e10, 1e30}
			c.do(&runtime.Pointwise{Out: c.stale(1, len(far)), X: c.fill(1, len(far), func(_, j int) float64 { return far[j] }), F: f})
		})
		add(f.String()+" NaN", function, true, func(c *Case) {
			x := c.normal(2, 33, 0, 1)
			c.poke(x, 1, 32, math.NaN())
			c.do(&runtime.Pointwise{Out: c.stale(2, 33), X: x, F: f})
		})
		add(f.String()+" with all", function, false, func(c *Case) {
			c.do(&runtime.Pointwise{Out: c.stale(3, 41), X: c.uniform(3, 41, -2, 2), Mul: c.normal(3, 41, 0, 1), Add: c.normal(3, 41, 0, 1), F: f, In: -0.7, Scale: 3})
		})
	}
	// Correct float32 has 1.6e-9 here, an erf good to 1.5e-7 has 9.5e-9, a tanh
	// instead of it far more.
	add("Gelu on [-6,-3]", 4e-9, false, func(c *Case) {
		c.do(&runtime.Pointwise{Out: c.stale(9, 1001), X: c.uniform(9, 1001, -6, -3), F: runtime.Gelu})
	})
	add("Tanh near zero", function, false, func(c *Case) {
		c.do(&runtime.Pointwise{Out: c.stale(2, 99), X: c.uniform(2, 99, -1e-3, 1e-3), F: runtime.Tanh})
	})
	add("Silu and Sigmoid on [-30,-10]", function, false, func(c *Case) {
		x := c.uniform(2, 99, -30, -10)
		c.do(&runtime.Pointwise{Out: c.stale(2, 99), X: x, F: runtime.Silu})
		c.do(&runtime.Pointwise{Out: c.stale(2, 99), X: x, F: runtime.Sigmoid})
	})
	add("one row of Mul and of Add", elementary, false, func(c *Case) {
		c.do(&runtime.Pointwise{Out: c.stale(6, 50), X: c.normal(6, 50, 0, 1), Mul: c.normal(1, 50, 0, 1), Add: c.normal(1, 50, 0, 1)})
	})
	add("one row of Mul", elementary, false, func(c *Case) {
		c.do(&runtime.Pointwise{Out: c.stale(6, 50), X: c.normal(6, 50, 0, 1), Mul: c.normal(1, 50, 0, 1), Scale: 0.5})
	})
	add("in place", elementary, false, func(c *Case) {
		x := c.normal(4, 70, 0, 1)
		c.do(&runtime.Pointwise{Out: x, X: x, Add: c.normal(4, 70, 0, 1), Scale: -0.25})
	})
	add("into Mul", elementary, false, func(c *Case) {
		mul := c.normal(4, 70, 0, 1)
		c.do(&runtime.Pointwise{Out: mul, X: c.normal(4, 70, 0, 1), Mul: mul})
	})
	add("into Add", elementary, false, func(c *Case) {
		sum := c.normal(4, 70, 0, 1)
		c.do(&runtime.Pointwise{Out: sum, X: c.normal(4, 70, 0, 1), Mul: c.normal(4, 70, 0, 1), Add: sum})
	})
	add("copy", exact, false, func(c *Case) {
		c.do(&runtime.Pointwise{Out: c.stale(3, 29), X: c.normal(3, 29, 0, 1)})
	})
	add("soft-cap of a long row", function, false, func(c *Case) {
		x := c.normal(1, 20001, 0, 40)
		c.do(&runtime.Pointwise{Out: x, X: x, F: runtime.Tanh, In: 1 / 30.0, Scale: 30})
	})
	return rows
}

func ropeRows() []Row {
	var rows []Row
	for _, interleaved := range []bool{false, true} {
		for _, size := range []struct {
			name                 string
			tokens, heads, d, ro int
		}{
			{"one token", 1, 1, 2, 2}, {"whole heads", 9, 3, 16, 16}, {"part of a head", 5, 4, 18, 8}, {"odd rest", 3, 2, 7, 6}, {"many", 70, 5, 64, 64},
		} {
			name := "halves, " + size.name
			if interleaved {
				name = "interleaved, " + size.name
			}
			rows = append(rows, Row{Op: "RoPE", Name: name, DType: quant.F32, Limit: elementary, build: func(c *Case) {
				// The table's rows differ from each other in more than an angle: they
				// carry an attention factor; and tokens do not take them in order.
				const table = 41
				angle := func(i, j int) float64 { return float64(i) * math.Pow(100, -2*float64(j)/float64(size.ro)) }
				factor := func(i int) float64 { return 1 + float64(i)/50 }
				c.do(&runtime.RoPE{
					X:    c.normal(size.tokens, size.heads*size.d, 0, 1),
					Cos:  c.fill(table, size.ro/2, func(i, j int) float64 { return factor(i) * math.Cos(angle(i, j)) }),
					Sin:  c.fill(table, size.ro/2, func(i, j int) float64 { return factor(i) * math.Sin(angle(i, j)) }),
					Rows: c.ints(c.draw(size.tokens, 1, table)...), HeadDim: size.d, Interleaved: interleaved,
				})
			}})
		}
	}
	return append(rows, Row{Op: "RoPE", Name: "NaN in one token", DType: quant.F32, Limit: elementary, NaN: true, build: func(c *Case) {
		x := c.normal(3, 8, 0, 1)
		c.poke(x, 1, 2, math.NaN())
		c.do(&runtime.RoPE{X: x, Cos: c.normal(3, 4, 0, 1), Sin: c.normal(3, 4, 0, 1), Rows: c.ints(0, 2, 1), HeadDim: 8})
	}})
}

func combineRows() []Row {
	var rows []Row
	add := func(name string, nan bool, build func(c *Case)) {
		rows = append(rows, Row{Op: "Combine", Name: name, DType: quant.F32, Limit: elementary, NaN: nan, build: build})
	}
	for _, k := range []int{1, 2, 8} {
		add(fmt.Sprintf("%d of each token", k), false, func(c *Case) {
			c.do(&runtime.Combine{Out: c.stale(5, 37), X: c.normal(5*k, 37, 0, 1), Weights: c.uniform(5, k, 0, 1), Residual: c.normal(5, 37, 0, 1)})
		})
	}
	add("one token, no residual", false, func(c *Case) {
		c.do(&runtime.Combine{Out: c.stale(1, 3), X: c.normal(2, 3, 0, 1), Weights: c.uniform(1, 2, 0, 1)})
	})
	add("rows of 64", false, func(c *Case) {
		c.do(&runtime.Combine{Out: c.stale(7, 64), X: c.normal(21, 64, 0, 1), Weights: c.uniform(7, 3, 0, 1), Residual: c.normal(7, 64, 0, 1)})
	})
	add("into the residual", false, func(c *Case) {
		res := c.normal(67, 130, 0, 1)
		c.do(&runtime.Combine{Out: res, X: c.normal(67*3, 130, 0, 1), Weights: c.uniform(67, 3, -1, 1), Residual: res})
	})
	add("NaN in one row of X", true, func(c *Case) {
		x := c.normal(6, 10, 0, 1)
		c.poke(x, 3, 4, math.NaN())
		c.do(&runtime.Combine{Out: c.stale(3, 10), X: x, Weights: c.uniform(3, 2, 0.5, 1)})
	})
	return rows
}
