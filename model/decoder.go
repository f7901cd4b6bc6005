package model

// Decoder: what decoder-only families share around their blocks.

import (
	"github.com/godwit-ml/godwit/nn"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/weights"
)

// decoder is tokens (+ learned positions) → blocks → norm → head. A family that
// does more to the embeddings or to the logits embeds a decoder and has a Forward
// or Logits of its own.
type decoder struct {
	about     Info
	tokens    nn.Embedding
	positions *nn.Embedding // nil: positions are the blocks' business
	blocks    []block
	norm      *nn.Norm  // nil: blocks end with a norm, or there is none
	head      nn.Linear // Out 0: a body without a head
}

// Info implements Model.
func (d *decoder) Info() Info { return d.about }

// embed is the residual stream before the first block [T, D].
func (d *decoder) embed(st *nn.Step, ids runtime.Tensor) runtime.Tensor {
	x := st.S.Scratch(st.Tokens, d.tokens.Table.Cols)
	d.tokens.Apply(st.S, x, ids, false)
	if d.positions != nil {
		d.positions.Apply(st.S, x, st.Positions, true)
	}
	return x
}

// Forward implements Model.
func (d *decoder) Forward(s *runtime.Stream, b *Batch, c *Cache) runtime.Tensor {
	st, ids, _ := b.upload(s, c)
	if d.about.RopeLimit > 0 {
		b.rotate(st, d.about.RopeLimit)
	}
	return runBlocks(st, d.blocks, d.embed(st, ids), d.norm)
}

// Logits implements Model.
func (d *decoder) Logits(s *runtime.Stream, hidden runtime.Tensor) runtime.Tensor {
	return vocabulary(s, &d.head, hidden)
}

// loadTokens binds the embedding of tokens, which is the head too if it is tied.
func (d *decoder) loadTokens(s *runtime.Stream, sc *weights.Scope, tied bool) {
	d.tokens = nn.LoadEmbedding(s, sc.Tensor("weight", d.about.Vocab, d.about.Hidden), tied && d.about.LM)
	if d.about.LM && tied {
		d.head = d.tokens.Head()
	}
}

// loadHead binds the head of a scope. Of one that is the embedding only a bias is
// read, of a body nothing.
func (d *decoder) loadHead(s *runtime.Stream, sc *weights.Scope, tied, bias bool) {
	switch {
	case !d.about.LM:
		sc.Ignore(sc.Name("weight"), sc.Name("bias"))
	case tied:
		sc.Ignore(sc.Name("weight"))
		if bias {
			d.head = d.head.WithBias(s, nn.ReadVector(sc, "bias", d.about.Vocab))
		}
	default:
		d.head = nn.LoadLinear(s, nn.ReadDense(sc, d.about.Hidden, d.about.Vocab, bias))
	}
}

// vocabulary applies a vocabulary head; absent if there is none.
func vocabulary(s *runtime.Stream, head *nn.Linear, hidden runtime.Tensor) runtime.Tensor {
	if head.Out == 0 {
		return runtime.Tensor{}
	}
	out := s.Scratch(hidden.Rows, head.Out)
	head.Apply(s, out, hidden, nn.Epilogue{})
	return out
}
