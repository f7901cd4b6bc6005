package nn

// Step: what the layers of one forward pass share.

import "github.com/godwit-ml/godwit/runtime"

// Step is the device's side of a batch: T tokens of N sequences laid end to end,
// where each stands, and the caches. Integer tensors are I32.
type Step struct {
	S         *runtime.Stream
	Tokens    int            // T
	Positions runtime.Tensor // [T]
	Rows      runtime.Tensor // [T]: rows of RoPE tables: the positions, or below a Rope's Limit those of long sequences
	QStarts   runtime.Tensor // [N+1]
	KLens     runtime.Tensor // [N]
	KStarts   runtime.Tensor // [N], contiguous keys: encoders
	Slots     runtime.Tensor // [T], paged keys: decoders
	Blocks    runtime.Tensor // [N, blocks]
	BlockSize int
	MaxQ      int              // most queries of a sequence
	MaxK      int              // most keys of a sequence
	CacheK    []runtime.Tensor // a layer, paged keys
	CacheV    []runtime.Tensor
	Capture   *Capture // nil: nothing is recorded

	// Encoder-decoders: the source of each sequence, whose keys and values lie
	// in blocks of their own of the same caches.
	SourceLens   runtime.Tensor // [N]
	SourceBlocks runtime.Tensor // [N, blocks]
	MaxSource    int            // most keys of a source
}

// Capture receives what a forward pass computes on its way, as it computes it:
// attention distributions are large, so they are handed over layer by layer. The
// tensors are valid during the call only; download them there. A nil function
// is not called, and nothing is computed for it.
type Capture struct {
	// Hidden receives the residual stream [T, D]: layer 0 is the embeddings,
	// layer i the output of block i, the last after the final norm.
	Hidden func(layer int, hidden runtime.Tensor)
	// Wants says whether the distributions of a layer are to be computed.
	Wants func(layer int) bool
	// Probs receives the distributions of a layer, [T, Heads·maxK]: element
	// (t, h·maxK+j) is the weight of key j of the sequence of token t.
	Probs func(layer int, probs runtime.Tensor, maxK int)
	// Cross is Probs for the attention of a decoder to its source.
	Cross func(layer int, probs runtime.Tensor, maxK int)

	zeros []float32
}

// Hidden hands the residual stream to the capture, if there is one.
func (st *Step) Hidden(layer int, x runtime.Tensor) {
	if st.Capture != nil && st.Capture.Hidden != nil && st.S.Err() == nil {
		st.Capture.Hidden(layer, x)
	}
}

// probs is a zeroed tensor for the distributions of a layer over maxK keys;
// absent unless to is there and wants the layer.
func (st *Step) probs(to func(int, runtime.Tensor, int), layer, heads, maxK int) runtime.Tensor {
	if to == nil || st.Capture.Wants != nil && !st.Capture.Wants(layer) {
		return runtime.Tensor{}
	}
	c := st.Capture
	t := st.S.Scratch(st.Tokens, heads*maxK)
	if n := st.Tokens * heads * maxK; len(c.zeros) < n {
		c.zeros = make([]float32, n)
	}
	st.S.UploadF32(t, c.zeros[:t.Rows*t.Cols])
	return t
}

// self and cross are where distributions go; nil: nowhere.
func (st *Step) self() func(int, runtime.Tensor, int) {
	if st.Capture == nil {
		return nil
	}
	return st.Capture.Probs
}

func (st *Step) cross() func(int, runtime.Tensor, int) {
	if st.Capture == nil {
		return nil
	}
	return st.Capture.Cross
}

// attend runs an attention operation and hands its distributions on.
func (st *Step) attend(op runtime.Attention, to func(int, runtime.Tensor, int), layer int) {
	op.Probs = st.probs(to, layer, op.Heads, op.MaxK)
	st.S.Attention(op)
	if !op.Probs.IsZero() && st.S.Err() == nil {
		to(layer, op.Probs, op.MaxK)
	}
}
