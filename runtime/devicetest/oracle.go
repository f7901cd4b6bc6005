package devicetest

// The oracles: each operation as its formula, in loops over float64. They share
// no code with any device, and use no library but math.

import (
	"math"
	"sort"

	"github.com/godwit-ml/godwit/quant"
	"github.com/godwit-ml/godwit/runtime"
)

// oracle computes what op writes.
func (c *Case) oracle(op runtime.Op) {
	switch o := op.(type) {
	case *runtime.Gather:
		c.oracleGather(o)
	case *runtime.MatMul:
		c.oracleMatMul(o)
	case *runtime.Norm:
		c.oracleNorm(o)
	case *runtime.Pointwise:
		c.oraclePointwise(o)
	case *runtime.RoPE:
		c.oracleRoPE(o)
	case *runtime.StoreKV:
		c.oracleStoreKV(o)
	case *runtime.CopyBlocks:
		c.oracleCopyBlocks(o)
	case *runtime.Attention:
		c.oracleAttention(o)
	case *runtime.TopK:
		c.oracleTopK(o)
	case *runtime.Combine:
		c.oracleCombine(o)
	default:
		panic("devicetest: an operation without an oracle")
	}
}

// or1 is a float whose zero value means 1.
func or1(x float32) float64 {
	if x == 0 {
		return 1
	}
	return float64(x)
}

// fn is the elementwise function.
func fn(f runtime.Fn, x float64) float64 {
	switch f {
	case runtime.Ident:
		return x
	case runtime.Relu:
		if x < 0 {
			return 0
		}
		return x
	case runtime.Gelu:
		return 0.5 * x * (1 + math.Erf(x/math.Sqrt2))
	case runtime.GeluTanh:
		return 0.5 * x * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
	case runtime.Silu:
		return x / (1 + math.Exp(-x))
	case runtime.Tanh:
		return math.Tanh(x)
	case runtime.Sigmoid:
		return 1 / (1 + math.Exp(-x))
	}
	panic("devicetest: a function without an oracle")
}

func (c *Case) oracleGather(o *runtime.Gather) {
	out, table := c.of(o.Out), c.of(o.Table)
	for i, id := range c.of(o.IDs).ints() {
		for j := range out.cols {
			v := or1(o.Scale) * table.get(id, j)
			if o.Add {
				v += out.get(i, j)
			}
			out.set(i, j, v)
		}
	}
}

func (c *Case) oracleMatMul(o *runtime.MatMul) {
	out, x, w, bias, res := c.of(o.Out), c.of(o.X), c.of(o.W), c.of(o.Bias), c.of(o.Residual)
	n, fan, groups := out.cols, max(o.Fan, 1), max(o.Groups, 1)
	var pick []int
	if !o.Pick.IsZero() {
		pick = c.of(o.Pick).ints()
	}
	rows := n // of one matrix
	if o.Gated {
		rows = 2 * n
	}
	for r := range out.rows {
		e := 0
		if pick != nil {
			e = pick[r]
		}
		for j := range n {
			v := 0.0
			if res.present() {
				v = res.get(r, j)
			}
			if e >= 0 {
				dot := func(j int) float64 {
					sum, first := 0.0, j/(n/groups)*(x.cols/groups)
					if o.Gated {
						first = 0
					}
					for k := range w.cols {
						sum += x.get(r/fan, first+k) * w.get(e*rows+j, k)
					}
					if bias.present() {
						sum += bias.get(e, j)
					}
					return sum
				}
				y := or1(o.Alpha) * fn(o.Act, dot(j))
				if o.Gated {
					y *= dot(n + j)
				}
				v += y
			}
			out.set(r, j, v)
		}
	}
}

func (c *Case) oracleNorm(o *runtime.Norm) {
	out, x, weight, bias := c.of(o.Out), c.of(o.X), c.of(o.Weight), c.of(o.Bias)
	n := x.cols / max(o.Groups, 1)
	part := make([]float64, n)
	for r := range x.rows {
		for from := 0; from < x.cols; from += n {
			sum, squares := 0.0, 0.0
			for j := range part {
				part[j] = x.get(r, from+j)
				sum += part[j]
			}
			if o.Kind == runtime.LayerNorm {
				for j := range part {
					part[j] -= sum / float64(n)
				}
			}
			for _, v := range part {
				squares += v * v
			}
			size := math.Sqrt(squares/float64(n) + float64(o.Eps))
			if o.Kind == runtime.L2Norm {
				size = math.Max(math.Sqrt(squares), float64(o.Eps))
			}
			for j, v := range part {
				v /= size
				if weight.present() {
					v *= weight.get(0, j)
				}
				if bias.present() {
					v += bias.get(0, j)
				}
				out.set(r, from+j, v)
			}
		}
	}
}

func (c *Case) oraclePointwise(o *runtime.Pointwise) {
	out, x, mul, add := c.of(o.Out), c.of(o.X), c.of(o.Mul), c.of(o.Add)
	for i := range x.rows {
		for j := range x.cols {
			v := or1(o.Scale) * fn(o.F, or1(o.In)*x.get(i, j))
			if mul.present() {
				v *= mul.broadcast(i, j)
			}
			if add.present() {
				v += add.broadcast(i, j)
			}
			out.set(i, j, v)
		}
	}
}

func (c *Case) oracleRoPE(o *runtime.RoPE) {
	x, cos, sin := c.of(o.X), c.of(o.Cos), c.of(o.Sin)
	for t, row := range c.of(o.Rows).ints() {
		for head := 0; head < x.cols; head += o.HeadDim {
			for i := range cos.cols {
				a, b := head+i, head+i+cos.cols
				if o.Interleaved {
					a, b = head+2*i, head+2*i+1
				}
				u, v := x.get(t, a), x.get(t, b)
				x.set(t, a, u*cos.get(row, i)-v*sin.get(row, i))
				x.set(t, b, v*cos.get(row, i)+u*sin.get(row, i))
			}
		}
	}
}

// oracleStoreKV keeps what the cache's type makes of a value, and the value
// itself for Q8_0, whose blocks are the device's to cut.
func (c *Case) oracleStoreKV(o *runtime.StoreKV) {
	store := func(dst, src matrix, dtype runtime.DType) {
		for r, slot := range c.of(o.Slots).ints() {
			if slot < 0 {
				continue
			}
			for j := range src.cols {
				dst.set(slot, j, rounded(src.get(r, j), dtype))
			}
		}
	}
	store(c.of(o.CacheK), c.of(o.K), o.CacheK.DType)
	store(c.of(o.CacheV), c.of(o.V), o.CacheV.DType)
}

func rounded(v float64, dtype runtime.DType) float64 {
	switch dtype {
	case quant.F16:
		return float64(quant.FromF16(quant.ToF16(float32(v))))
	case quant.BF16:
		return float64(quant.FromBF16(quant.ToBF16(float32(v))))
	}
	return v
}

func (c *Case) oracleCopyBlocks(o *runtime.CopyBlocks) {
	m, dst := c.of(o.Cache), c.of(o.Dst).ints()
	for n, src := range c.of(o.Src).ints() {
		for i := range o.BlockSize {
			for j := range m.cols {
				from, to := src*o.BlockSize+i, dst[n]*o.BlockSize+i
				m.mark(to, j, m.get(from, j), m.s.state[m.at+from*m.stride+j])
			}
		}
	}
}

func (c *Case) oracleTopK(o *runtime.TopK) {
	x, values, ids := c.of(o.X), c.of(o.Values), c.of(o.IDs)
	k := values.cols
	c.ids = append(c.ids, idCheck{o.IDs, k, x.cols})
	for r := range x.rows {
		row, order, hasNaN := make([]float64, x.cols), make([]int, x.cols), false
		for j := range row {
			row[j], order[j] = x.get(r, j), j
			hasNaN = hasNaN || math.IsNaN(row[j])
		}
		sort.SliceStable(order, func(a, b int) bool { return row[order[a]] > row[order[b]] })
		of := row // what the softmax is over
		if o.Norm == runtime.SoftmaxTop {
			of = make([]float64, k)
			for i := range of {
				of[i] = row[order[i]]
			}
		}
		for i := range k {
			at := r*k + i
			if hasNaN {
				values.mark(r, i, 0, free)
				ids.mark(at/ids.cols, at%ids.cols, 0, free)
				continue
			}
			v := row[order[i]]
			if o.Norm != runtime.Raw {
				v = math.Exp(v - logSumExp(of))
			}
			values.set(r, i, v)
			ids.set(at/ids.cols, at%ids.cols, float64(order[i]))
		}
		if lse := c.of(o.LSE); lse.present() {
			lse.set(r, 0, logSumExp(row))
		}
		if also := c.of(o.Also); also.present() {
			for i := range also.cols {
				if id := int(also.get(r, i)); id >= 0 {
					c.of(o.AlsoValue).set(r, i, row[id])
				}
			}
		}
	}
}

func logSumExp(v []float64) float64 {
	peak, sum := math.Inf(-1), 0.0
	for _, x := range v {
		peak = math.Max(peak, x) // NaN stays
	}
	if math.IsInf(peak, 0) {
		return peak
	}
	for _, x := range v {
		sum += math.Exp(x - peak)
	}
	return peak + math.Log(sum)
}

func (c *Case) oracleCombine(o *runtime.Combine) {
	out, x, weights, res := c.of(o.Out), c.of(o.X), c.of(o.Weights), c.of(o.Residual)
	for t := range out.rows {
		for j := range out.cols {
			v := 0.0
			for k := range weights.cols {
				v += weights.get(t, k) * x.get(t*weights.cols+k, j)
			}
			if res.present() {
				v += res.get(t, j)
			}
			out.set(t, j, v)
		}
	}
}
