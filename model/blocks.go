package model

// Blocks: how families arrange norms, attention and feed-forward layers around
// the residual stream.

import (
	"math"

	"github.com/godwit-ml/godwit/nn"
	"github.com/godwit-ml/godwit/runtime"
)

// block is one layer of a Transformer: it adds to the residual stream x [T, D].
// A family whose arrangement is none of those below has a block of its own.
type block interface {
	apply(st *nn.Step, layer int, x runtime.Tensor)
}

// feedForward computes x += F(h), the half of a block without attention: an
// nn.MLP, or a mixture of several.
type feedForward interface {
	Apply(st *nn.Step, x, h runtime.Tensor)
}

// rsqrt is 1/√n, what scores of heads of n features are scaled with.
func rsqrt(n int) float32 { return float32(1 / math.Sqrt(float64(n))) }

// applyBlocks applies blocks to x and records what is asked for: all but the last
// hidden states, which are not yet final.
func applyBlocks[B block](st *nn.Step, blocks []B, x runtime.Tensor) {
	st.Hidden(0, x)
	for i, b := range blocks {
		b.apply(st, i, x)
		if i < len(blocks)-1 {
			st.Hidden(i+1, x)
		}
	}
}

// runBlocks is applyBlocks and the final norm, if there is one.
func runBlocks[B block](st *nn.Step, blocks []B, x runtime.Tensor, final *nn.Norm) runtime.Tensor {
	applyBlocks(st, blocks, x)
	if final != nil {
		final.Apply(st.S, x, x)
	}
	st.Hidden(len(blocks), x)
	return x
}

// preNorm is x += Attention(norm1(x)), x += F(norm2(x)): GPT-2, Llama and most
// decoders since.
type preNorm struct {
	norm1, norm2 nn.Norm
	attn         nn.Attention
	ff           feedForward
}

func (b *preNorm) apply(st *nn.Step, layer int, x runtime.Tensor) {
	defer st.S.Release(st.S.Mark())
	h := st.S.Scratch(x.Rows, x.Cols)
	b.norm1.Apply(st.S, h, x)
	b.attn.Apply(st, layer, x, h)
	b.norm2.Apply(st.S, h, x)
	b.ff.Apply(st, x, h)
}

// postNorm is x = norm1(x + Attention(x)), x = norm2(x + F(x)), as the first
// Transformer had it (Vaswani et al., 2017).
type postNorm struct {
	norm1, norm2 nn.Norm
	attn         nn.Attention
	ff           feedForward
}

func (b *postNorm) apply(st *nn.Step, layer int, x runtime.Tensor) {
	b.attn.Apply(st, layer, x, x)
	b.norm1.Apply(st.S, x, x)
	b.ff.Apply(st, x, x)
	b.norm2.Apply(st.S, x, x)
}

// parallel is x += Attention(h) + F(h) with h = norm(x), as GPT-J introduced it.
type parallel struct {
	norm nn.Norm
	attn nn.Attention
	ff   feedForward
}

func (b *parallel) apply(st *nn.Step, layer int, x runtime.Tensor) {
	defer st.S.Release(st.S.Mark())
	h := st.S.Scratch(x.Rows, x.Cols)
	b.norm.Apply(st.S, h, x)
	b.attn.Apply(st, layer, x, h)
	b.ff.Apply(st, x, h)
}

// parallelNorms is x += Attention(norm1(x)) + F(norm2(x)): parallel with a norm
// for each, both of the stream before the attention adds to it.
type parallelNorms struct {
	norm1, norm2 nn.Norm
	attn         nn.Attention
	ff           feedForward
}

func (b *parallelNorms) apply(st *nn.Step, layer int, x runtime.Tensor) {
	defer st.S.Release(st.S.Mark())
	h1, h2 := st.S.Scratch(x.Rows, x.Cols), st.S.Scratch(x.Rows, x.Cols)
	b.norm1.Apply(st.S, h1, x)
	b.norm2.Apply(st.S, h2, x)
	b.attn.Apply(st, layer, x, h1)
	b.ff.Apply(st, x, h2)
}
