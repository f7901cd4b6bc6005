package nn

// Step: what the layers of one forward pass share.

import "github.com/godwit-ml/godwit/runtime"

// Step is the device's side of a batch: T tokens of N sequences laid end to end,
// where each stands, and the caches. Integer tensors are I32.
type Step struct {
	S         *runtime.Stream
	Tokens    int            // T
	Positions runtime.Tensor // [T]: positions, which are also rows of RoPE tables
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

	zeros []float32
}

// Hidden hands the residual stream to the capture, if there is one.
func (st *Step) Hidden(layer int, x runtime.Tensor) {
	if st.Capture != nil && st.Capture.Hidden != nil && st.S.Err() == nil {
		st.Capture.Hidden(layer, x)
	}
}

// probs is a zeroed tensor for the distributions of a layer; absent unless wanted.
func (st *Step) probs(layer, heads int) runtime.Tensor {
	c := st.Capture
	if c == nil || c.Probs == nil || c.Wants != nil && !c.Wants(layer) {
		return runtime.Tensor{}
	}
	t := st.S.Scratch(st.Tokens, heads*st.MaxK)
	if n := st.Tokens * heads * st.MaxK; len(c.zeros) < n {
		c.zeros = make([]float32, n)
	}
	st.S.UploadF32(t, c.zeros[:t.Rows*t.Cols])
	return t
}

func (st *Step) captured(layer int, probs runtime.Tensor) {
	if !probs.IsZero() && st.S.Err() == nil {
		st.Capture.Probs(layer, probs, st.MaxK)
	}
}
