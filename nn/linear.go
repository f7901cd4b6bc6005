package nn

// Linear layers and embeddings: host weights, how they are stacked and
// transposed, and their products.

import (
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/weights"
)

// Dense is the host side of a linear layer: W [out, in] of any type, and an F32
// bias [1, out] or none.
type Dense struct {
	W, Bias runtime.Tensor
}

// ReadDense binds weight [out, in] and, if bias, bias [out] of a scope.
func ReadDense(sc *weights.Scope, in, out int, bias bool) Dense {
	d := Dense{W: sc.Tensor("weight", out, in)}
	if bias {
		d.Bias = ReadVector(sc, "bias", out)
	}
	return d
}

// ReadConv1D is ReadDense for GPT-2's layers, which store weight as [in, out].
func ReadConv1D(sc *weights.Scope, in, out int) Dense {
	return Dense{W: Transpose(sc.Tensor("weight", in, out)), Bias: ReadVector(sc, "bias", out)}
}

// ReadVector binds a vector [n] as F32 [1, n], whatever its stored type.
func ReadVector(sc *weights.Scope, name string, n int) runtime.Tensor {
	return sc.Tensor(name, 1, n).Float()
}

// Transpose is a copy of a host tensor of a plain type with rows and columns
// exchanged.
func Transpose(t runtime.Tensor) runtime.Tensor {
	if t.IsZero() {
		return t
	}
	if t.DType.BlockSize() != 1 {
		t = t.Float()
	}
	const tile = 32 // keeps both sides within the cache
	size := t.DType.TypeSize()
	out := runtime.AlignedBytes(int64(t.Rows) * int64(t.Cols) * int64(size))
	src, stride := t.Bytes(), int(t.StrideBytes())
	for i0 := 0; i0 < t.Rows; i0 += tile {
		for j0 := 0; j0 < t.Cols; j0 += tile {
			for i := i0; i < min(i0+tile, t.Rows); i++ {
				for j := j0; j < min(j0+tile, t.Cols); j++ {
					copy(out[(j*t.Rows+i)*size:][:size], src[i*stride+j*size:][:size])
				}
			}
		}
	}
	return runtime.HostTensor(t.DType, t.Cols, t.Rows, out)
}

// Ungroup takes apart a fused layer whose rows lie group by group, of each group
// first sizes[0] rows of one layer, then sizes[1] of the next …: the layers, each
// with its rows of all groups. Query, key and value of a head are often stored so.
func Ungroup(d Dense, groups int, sizes ...int) []Dense {
	all := make([]Dense, len(sizes))
	if d.W.IsZero() {
		return all
	}
	stride := d.W.Rows / groups
	from := 0
	for i, n := range sizes {
		ws, bs := make([]runtime.Tensor, groups), make([]runtime.Tensor, groups)
		for g := range groups {
			at := g*stride + from
			ws[g] = d.W.RowRange(at, at+n)
			if !d.Bias.IsZero() {
				bs[g] = d.Bias.ColRange(at, at+n)
			}
		}
		all[i] = Dense{W: stackRows(ws), Bias: stackBias(bs)}
		from += n
	}
	return all
}

// Linear is a linear layer on the device: x·Wᵀ + b. Layers that read the same
// input are one: their rows are stacked where the stored types agree, and are
// products into neighbouring columns where they do not.
type Linear struct {
	In, Out int
	parts   []part
}

type part struct {
	w, bias  runtime.Tensor
	from, to int // columns of the output
}

// LoadLinear puts dense layers of one input on the device, side by side.
func LoadLinear(s *runtime.Stream, layers ...Dense) Linear {
	var l Linear
	for len(layers) > 0 {
		n := 1
		for n < len(layers) && layers[n].W.DType == layers[0].W.DType && layers[n].Bias.IsZero() == layers[0].Bias.IsZero() {
			n++
		}
		to := l.Out
		for _, d := range layers[:n] {
			to += d.W.Rows
		}
		l.parts = append(l.parts, part{w: loadRows(s, layers[:n]), bias: loadBias(s, layers[:n]), from: l.Out, to: to})
		l.In, l.Out = layers[0].W.Cols, to
		layers = layers[n:]
	}
	return l
}

// loadRows loads the weights of layers of one type, one below the other.
func loadRows(s *runtime.Stream, layers []Dense) runtime.Tensor {
	ws := make([]runtime.Tensor, len(layers))
	for i, d := range layers {
		ws[i] = d.W
	}
	return s.LoadRows(ws, runtime.UseProduct)
}

// loadBias loads their biases, side by side.
func loadBias(s *runtime.Stream, layers []Dense) runtime.Tensor {
	if len(layers) == 1 {
		return s.LoadWeight(layers[0].Bias, runtime.UseVector)
	}
	bs := make([]runtime.Tensor, len(layers))
	for i, d := range layers {
		bs[i] = d.Bias
	}
	return s.LoadWeight(stackBias(bs), runtime.UseVector)
}

// stackBias is biases side by side; absent if one is.
func stackBias(bs []runtime.Tensor) runtime.Tensor {
	b := stackRows(bs)
	if !b.IsZero() {
		b = b.Reshape(1, b.Rows*b.Cols)
	}
	return b
}

// stackRows copies the rows of tensors of one type below one another, as a
// column of rows of equal width; biases of unequal width become one column.
func stackRows(ts []runtime.Tensor) runtime.Tensor {
	var size int64
	rows, elements := 0, 0
	for _, t := range ts {
		if t.IsZero() {
			return runtime.Tensor{}
		}
		size += int64(t.Rows) * t.RowBytes()
		rows += t.Rows
		elements += t.Rows * t.Cols
	}
	out := runtime.AlignedBytes(size)
	rest := out
	for _, t := range ts {
		for i := range t.Rows {
			rest = rest[copy(rest, t.RowRange(i, i+1).Bytes()):]
		}
	}
	cols := ts[0].Cols
	if cols*rows != elements {
		rows, cols = 1, elements
	}
	return runtime.HostTensor(ts[0].DType, rows, cols, out)
}

// Epilogue is what a product does with its result: Out = Residual +
// Alpha·Act(x·Wᵀ + b).
type Epilogue struct {
	Residual runtime.Tensor
	Act      runtime.Fn
	Alpha    float32
}

// Apply computes out [T, Out] from x [T, In].
func (l *Linear) Apply(s *runtime.Stream, out, x runtime.Tensor, e Epilogue) {
	for i := range l.parts {
		p := &l.parts[i]
		op := runtime.MatMul{Out: out, X: x, W: p.w, Bias: p.bias, Residual: e.Residual, Act: e.Act, Alpha: e.Alpha}
		if len(l.parts) > 1 {
			op.Out = out.ColRange(p.from, p.to)
			if !e.Residual.IsZero() {
				op.Residual = e.Residual.ColRange(p.from, p.to)
			}
		}
		s.MatMul(op)
	}
}

// Embedding is a table of rows chosen by id: tokens, positions, types.
type Embedding struct {
	Table runtime.Tensor // [V, D]
	Scale float32        // on the rows; 0: 1
}

// LoadEmbedding puts a host table on the device. Tied says that the table is
// also the matrix of the head.
func LoadEmbedding(s *runtime.Stream, table runtime.Tensor, tied bool) Embedding {
	use := runtime.UseTable
	if tied {
		use |= runtime.UseProduct
	}
	return Embedding{Table: s.LoadWeight(table, use)}
}

// Head is the table as a linear layer without bias: tied embeddings.
func (e Embedding) Head() Linear {
	return Linear{In: e.Table.Cols, Out: e.Table.Rows, parts: []part{{w: e.Table, to: e.Table.Rows}}}
}

// WithBias is a linear layer of one part with a bias of its own, an F32 host
// tensor [1, Out].
func (l Linear) WithBias(s *runtime.Stream, bias runtime.Tensor) Linear {
	if len(l.parts) != 1 {
		panic("nn: WithBias of a layer of several parts")
	}
	p := l.parts[0]
	p.bias = s.LoadWeight(bias, runtime.UseVector)
	l.parts = []part{p}
	return l
}

// Apply writes, or adds, the rows of ids [n] to out [n, D].
func (e Embedding) Apply(s *runtime.Stream, out, ids runtime.Tensor, add bool) {
	s.Gather(runtime.Gather{Out: out, Table: e.Table, IDs: ids, Scale: e.Scale, Add: add})
}
