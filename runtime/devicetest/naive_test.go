package devicetest

// A second device for the suite's own tests: plain float32 loops with one place
// to go wrong for each mistake of mutants_test.go. Without a mistake it passes,
// so the limits leave room for the simplest correct kernels.

import (
	"math"
	"unsafe"

	"github.com/godwit-ml/godwit/quant"
	"github.com/godwit-ml/godwit/runtime"
)

// naive runs what it has loops for and leaves the rest to the wrapped device.
type naive struct {
	runtime.Device
	mistake string
}

func (d naive) is(mistake string) bool { return d.mistake == mistake }

// either is a where the mistake is made, b else.
func either[V any](made bool, a, b V) V {
	if made {
		return a
	}
	return b
}

func (d naive) Run(op runtime.Op) error {
	switch o := op.(type) {
	case *runtime.MatMul:
		d.matmul(o)
	case *runtime.Norm:
		d.norm(o)
	case *runtime.Pointwise:
		d.pointwise(o)
	case *runtime.RoPE:
		d.rope(o)
	case *runtime.Attention:
		if o.K.DType != quant.F32 {
			return d.Device.Run(op)
		}
		d.attention(o)
	case *runtime.TopK:
		d.topk(o)
	default:
		return d.Device.Run(op)
	}
	return nil
}

// at is an element of an F32 tensor.
func at(t runtime.Tensor, i, j int) *float32 {
	return (*float32)(unsafe.Pointer(&t.Mem.Bytes[t.Offset+4*int64(i*t.Stride+j)]))
}

// int32At is an element of an I32 tensor, counted row by row.
func int32At(t runtime.Tensor, i int) int {
	return int(*(*int32)(unsafe.Pointer(&t.Mem.Bytes[t.Offset+4*int64(i)])))
}

func exp(x float32) float32 { return float32(math.Exp(float64(x))) }

func tanh(x float32) float32 { return float32(math.Tanh(float64(x))) }

func (d naive) fn(f runtime.Fn, x float32) float32 {
	switch f {
	case runtime.Relu:
		return either(d.is("Relu hides NaN"), float32(math.Max(0, float64(either(x != x, 0, x)))), max(x, 0))
	case runtime.Gelu:
		switch {
		case d.is("Gelu by tanh"):
			return d.fn(runtime.GeluTanh, x)
		case d.is("Gelu by an erf good to 1.5e-7"): // Abramowitz and Stegun, 7.1.26
			z := math.Abs(float64(x)) / math.Sqrt2
			t := 1 / (1 + 0.3275911*z)
			e := 1 - t*(0.254829592+t*(-0.284496736+t*(1.421413741+t*(-1.453152027+t*1.061405429))))*math.Exp(-z*z)
			return float32(0.5 * float64(x) * (1 + math.Copysign(e, float64(x))))
		}
		return 0.5 * x * (1 + float32(math.Erf(float64(x)*math.Sqrt2/2)))
	case runtime.GeluTanh:
		c := either[float32](d.is("GeluTanh with 0.0447"), 0.0447, 0.044715)
		return 0.5 * x * (1 + tanh(0.7978845608*(x+c*x*x*x)))
	case runtime.Silu:
		if d.is("Silu overflows") {
			return x * exp(x) / (1 + exp(x))
		}
		return x / (1 + exp(-x))
	case runtime.Tanh:
		if d.is("Tanh by exponentials") {
			e := exp(2 * x)
			return (e - 1) / (e + 1)
		}
		return tanh(x)
	case runtime.Sigmoid:
		return 1 / (1 + exp(-x))
	}
	return x
}

func (d naive) pointwise(o *runtime.Pointwise) {
	in, scale := float32(or1(o.In)), float32(or1(o.Scale))
	for i := range o.X.Rows {
		for j := range o.X.Cols {
			v := d.fn(o.F, either(d.is("In forgotten"), 1, in)**at(o.X, i, j))
			v *= either(d.is("Scale forgotten"), 1, scale)
			if !o.Mul.IsZero() {
				v *= *at(o.Mul, either(o.Mul.Rows == 1, 0, i), j)
			}
			if !o.Add.IsZero() {
				v += *at(o.Add, either(o.Add.Rows == 1, 0, i), j) * either(d.is("Scale on Add"), scale, 1)
			}
			*at(o.Out, i, j) = v
		}
	}
}

func (d naive) norm(o *runtime.Norm) {
	n := o.X.Cols / max(o.Groups, 1)
	for r := range o.X.Rows {
		for from := 0; from < o.X.Cols; from += n {
			d.part(o, r, from, n)
		}
	}
}

func (d naive) part(o *runtime.Norm, r, from, n int) {
	var sum, squares, mean float32
	for j := range n {
		sum += *at(o.X, r, from+j)
	}
	if o.Kind == runtime.LayerNorm || d.is("mean taken from all kinds") {
		mean = sum / float32(n)
	}
	for j := range n {
		x := *at(o.X, r, from+j)
		if d.is("one-pass variance") {
			squares += x * x
		} else {
			squares += (x - mean) * (x - mean)
		}
	}
	if d.is("one-pass variance") {
		squares -= float32(n) * mean * mean
	}
	if d.is("variance over n-1") && n > 1 {
		squares *= float32(n) / float32(n-1)
	}
	eps := either(d.is("eps dropped"), 0, o.Eps)
	var size float32
	switch root := func(x float32) float32 { return float32(math.Sqrt(float64(x))) }; {
	case o.Kind == runtime.L2Norm && d.is("eps added to the length"):
		size = root(squares) + eps
	case o.Kind == runtime.L2Norm:
		size = max(root(squares), eps)
	case d.is("eps outside the root"):
		size = root(squares/float32(n)) + eps
	default:
		size = root(squares/float32(n) + eps)
	}
	for j := range n {
		v := (*at(o.X, r, from+j) - mean) / size
		if !o.Weight.IsZero() {
			v *= *at(o.Weight, 0, j) + either[float32](d.is("1 added to the weight"), 1, 0)
		}
		if !o.Bias.IsZero() {
			v += *at(o.Bias, 0, j)
		}
		*at(o.Out, r, from+j) = v
	}
}

func (d naive) rope(o *runtime.RoPE) {
	half := o.Cos.Cols
	for t, row := range o.Rows.I32s() {
		row := either(d.is("row of the token"), t%o.Cos.Rows, int(row))
		for head := 0; head < o.X.Cols; head += o.HeadDim {
			for i := range half {
				a, b := head+i, head+i+half
				if d.is("pairs of the whole head") {
					b = head + i + o.HeadDim/2
				}
				if o.Interleaved != d.is("other pairing") {
					a, b = head+2*i, head+2*i+1
				}
				co, si := *at(o.Cos, row, i), *at(o.Sin, row, i)*either[float32](d.is("turned back"), -1, 1)
				u, v := *at(o.X, t, a), *at(o.X, t, b)
				*at(o.X, t, a), *at(o.X, t, b) = u*co-v*si, v*co+u*si
			}
		}
	}
}

func (d naive) matmul(o *runtime.MatMul) {
	n, fan, groups := o.Out.Cols, max(o.Fan, 1), max(o.Groups, 1)
	rows := n * either(o.Gated, 2, 1)
	for r := range o.Out.Rows {
		e := 0
		if !o.Pick.IsZero() {
			e = int32At(o.Pick, either(d.is("Pick of the row of X"), r/fan, r))
			if d.is("none picks the first") {
				e = max(e, 0)
			}
		}
		x := either(d.is("Fan the wrong way round"), r%(o.Out.Rows/fan), r/fan)
		dot := func(j int) float32 {
			var sum float32
			first := 0
			if groups > 1 && !d.is("groups read the first columns") {
				first = j / (n / groups) * (o.X.Cols / groups)
			}
			for k := range o.W.Cols {
				sum += *at(o.X, x, first+k) * *at(o.W, e*rows+j, k)
			}
			if !o.Bias.IsZero() && !d.is("bias forgotten") {
				sum += *at(o.Bias, either(d.is("bias of the first matrix"), 0, e), j)
			}
			return sum
		}
		for j := range n {
			var v float32
			if e >= 0 {
				v = d.element(o, dot, j, n)
			}
			if !o.Residual.IsZero() && (e >= 0 || !d.is("none gives zeros")) {
				v += *at(o.Residual, r, j) * either(d.is("Alpha on the residual"), float32(or1(o.Alpha)), 1)
			}
			*at(o.Out, r, j) = v
		}
	}
}

func (d naive) element(o *runtime.MatMul, dot func(int) float32, j, n int) float32 {
	alpha := float32(or1(o.Alpha))
	if !o.Gated {
		if d.is("Alpha before the function") {
			return d.fn(o.Act, alpha*dot(j))
		}
		return alpha * d.fn(o.Act, dot(j))
	}
	switch {
	case d.is("gate and up exchanged"):
		return alpha * dot(j) * d.fn(o.Act, dot(n+j))
	case d.is("gate and up interleaved"):
		return alpha * d.fn(o.Act, dot(2*j)) * dot(2*j+1)
	}
	return alpha * d.fn(o.Act, dot(j)) * dot(n+j)
}

func (d naive) topk(o *runtime.TopK) {
	k := o.Values.Cols
	for r := range o.X.Rows {
		taken := make([]bool, o.X.Cols)
		for i := range k {
			best := -1
			for id := range o.X.Cols {
				if taken[id] {
					continue
				}
				x, b := *at(o.X, r, id), float32(0)
				if best >= 0 {
					b = *at(o.X, r, best)
				}
				better := x > b || d.is("ties to the higher id") && x == b
				if !d.is("NaN is never chosen") {
					better = better || b != b && x == x
				}
				if best < 0 && !(d.is("NaN is never chosen") && x != x) || best >= 0 && better {
					best = id
				}
			}
			best = max(best, 0)
			taken[best] = true
			*at(o.Values, r, i), o.IDs.I32s()[r*k+i] = *at(o.X, r, best), int32(best)
		}
		over := func(t runtime.Tensor) (peak, sum float32) {
			if peak = *at(t, r, 0); d.is("largest not subtracted") {
				peak = 0
			}
			for j := range t.Cols {
				if x := *at(t, r, j); !d.is("largest not subtracted") {
					peak = max(peak, x)
				}
			}
			for j := range t.Cols {
				sum += exp(*at(t, r, j) - peak)
			}
			return peak, sum
		}
		if !o.LSE.IsZero() {
			peak, sum := over(either(d.is("LSE of the chosen"), o.Values, o.X))
			*at(o.LSE, r, 0) = peak + float32(math.Log(float64(sum)))
		}
		if o.Norm != runtime.Raw {
			peak, sum := over(either((o.Norm == runtime.SoftmaxAll) != d.is("softmax of the other"), o.X, o.Values))
			for i := range k {
				*at(o.Values, r, i) = exp(*at(o.Values, r, i)-peak) / sum
			}
		}
		for i := range o.Also.Cols {
			if id := int32At(o.Also, r*o.Also.Cols+i); id >= 0 {
				*at(o.AlsoValue, r, i) = *at(o.X, r, id)
			}
		}
	}
}

func (d naive) attention(o *runtime.Attention) {
	starts, lens := o.QStarts.I32s(), o.KLens.I32s()
	for n, keys := range lens {
		keys := int(keys)
		first, end := int(starts[n]), int(starts[n+1])
		if d.is("padding belongs to the last") && n == len(lens)-1 {
			end = o.Q.Rows
		}
		for row := first; row < end; row++ {
			position := keys - int(starts[n+1]-starts[n]) + row - first
			if d.is("position within the chunk") {
				position = row - first
			}
			for h := range o.Heads {
				d.attend(o, n, row, position, keys, h)
			}
		}
	}
}

func (d naive) attend(o *runtime.Attention, n, row, position, keys, h int) {
	dv, maxK := o.Out.Cols/o.Heads, o.Probs.Cols/o.Heads
	kv := h / (o.Heads / o.KVHeads)
	if d.is("heads dealt round") {
		kv = h % o.KVHeads
	}
	left, right := o.Left, o.Right
	if left != all {
		left += either(d.is("window one wider"), 1, 0) - either(d.is("window one narrower"), 1, 0)
	}
	if right != all {
		right += either(d.is("one key ahead"), 1, 0) - either(d.is("not itself"), 1, 0)
	}
	p, total, peak := make([]float32, keys), float32(0), float32(math.Inf(-1))
	seen := func(j int) bool {
		return (o.Left == all || j >= position-left) && (o.Right == all || j <= position+right)
	}
	some := false
	for j := range keys {
		if seen(j) {
			p[j] = d.score(o, n, row, position, j, h, kv)
			peak, some = max(peak, p[j]), true
		}
	}
	sinks := !o.Sinks.IsZero() && !d.is("sinks forgotten")
	if sinks {
		peak = max(peak, *at(o.Sinks, 0, h))
		total = exp(*at(o.Sinks, 0, h) - peak)
	}
	if d.is("largest not subtracted") {
		peak = 0
	}
	out := make([]float32, dv)
	for j := range keys {
		if !seen(j) {
			continue
		}
		p[j] = exp(p[j] - peak)
		total += p[j]
		for e := range out {
			out[e] += p[j] * *at(o.V, d.keyRow(o, n, j), kv*dv+e)
		}
	}
	for e, x := range out {
		if !some && !d.is("rows without keys") {
			total = 1
		}
		*at(o.Out, row, h*dv+e) = x / total
	}
	for j := 0; j < keys && !o.Probs.IsZero(); j++ {
		if seen(j) {
			*at(o.Probs, row, h*maxK+j) = p[j] / total
		} else if d.is("masked probabilities of 1e-30") {
			*at(o.Probs, row, h*maxK+j) = 1e-30
		}
	}
}

func (d naive) keyRow(o *runtime.Attention, n, j int) int {
	if o.Blocks.IsZero() {
		if d.is("keys from the first query's row") {
			return int32At(o.QStarts, n) + j
		}
		return int32At(o.KStarts, n) + j
	}
	switch table := func(i int) int { return int32At(o.Blocks, i) }; {
	case d.is("table of the first sequence"):
		return table(j/o.BlockSize)*o.BlockSize + j%o.BlockSize
	case d.is("blocks not looked up"):
		return j
	case d.is("tokens of a block reversed"):
		return table(n*o.Blocks.Cols+j/o.BlockSize)*o.BlockSize + o.BlockSize - 1 - j%o.BlockSize
	default:
		return table(n*o.Blocks.Cols+j/o.BlockSize)*o.BlockSize + j%o.BlockSize
	}
}

func (d naive) score(o *runtime.Attention, n, row, position, j, h, kv int) float32 {
	dim, key := o.Q.Cols/o.Heads, d.keyRow(o, n, j)
	var s float32
	for e := range dim {
		s += *at(o.Q, row, h*dim+e) * *at(o.K, key, kv*dim+e)
	}
	scale := either(d.is("scale forgotten"), 1, float32(or1(o.Scale)))
	s *= either(d.is("scale after the biases"), 1, scale)
	limit := func() {
		if o.SoftCap != 0 && !d.is("soft-cap forgotten") {
			s = o.SoftCap * tanh(s/o.SoftCap)
		}
	}
	if !d.is("soft-cap after the biases") {
		limit()
	}
	distance := j - position
	if !o.Slopes.IsZero() {
		if slope := *at(o.Slopes, 0, h); d.is("slope·j") {
			s += slope * float32(j)
		} else {
			s += slope * float32(either(d.is("slopes upward"), -distance, distance))
		}
	}
	if !o.KeyBias.IsZero() {
		s += *at(o.KeyBias, h, either(d.is("key bias by distance"), -distance*either(distance < 0, 1, 0), j))
	}
	if !o.RelIndex.IsZero() {
		s += d.relative(o, row, key, h, either(d.is("distance negated"), -distance, distance))
	}
	if d.is("soft-cap after the biases") {
		limit()
	}
	return s * either(d.is("scale after the biases"), scale, 1)
}

func (d naive) relative(o *runtime.Attention, row, key, h, distance int) (s float32) {
	reach := o.RelIndex.Rows * o.RelIndex.Cols / 2
	if d.is("reach one short") && reach > 0 {
		distance = min(max(distance, 1-reach), reach-1)
	}
	r := int32At(o.RelIndex, min(max(distance, -reach), reach)+reach)
	if !o.RelBias.IsZero() {
		s += *at(o.RelBias, r, either(d.is("bias of the first head"), 0, h))
	}
	if !o.QRel.IsZero() {
		s += *at(o.QRel, row, h*(o.QRel.Cols/o.Heads)+r)
	}
	if !o.KRel.IsZero() {
		s += *at(o.KRel, either(d.is("KRel of the query's row"), row%o.KRel.Rows, key), h*(o.KRel.Cols/o.Heads)+r)
	}
	return s
}
