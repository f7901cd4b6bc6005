package engine

// Capture: attention distributions and hidden states of a sequence, collected
// layer by layer and chunk by chunk.

import (
	"slices"

	"github.com/godwit-ml/godwit/model"
	"github.com/godwit-ml/godwit/runtime"
)

// Capture says what to record of the first sequence of a request.
type Capture struct {
	Layers []int // ascending, each in [0, layers); the caller resolves "all"
	Source []int // of encoder-decoders: layers of the encoder
	Heads  []int // of the distributions
	Others []int // of encoder-decoders: heads of the encoder, if those differ; nil: Heads
	Prompt bool  // all rows of the prompt, not only those that chose tokens
	Hidden bool  // hidden states of the prompt
}

// Rows are attention distributions: of Queries tokens over Keys tokens.
type Rows struct {
	Queries, Keys int
	Weights       []float32     // [layer][head][query][key], layers and heads as Capture lists them
	Sources       int           // of a decoder's attention to its source: tokens of the source
	Cross         []float32     // [layer][head][query][source]
	Hidden        [][][]float32 // [layer][query][feature]; layer 0: embeddings
}

// encoder is the capture of the encoder that goes with a decoder's.
func (c *Capture) encoder() *Capture {
	e := *c
	e.Layers = c.Source
	if c.Others != nil {
		e.Heads = c.Others
	}
	return &e
}

// Bytes is the size of what a capture of so many tokens holds.
func (c *Capture) Bytes(in model.Info, tokens int) int64 {
	n := int64(len(c.Layers)) * int64(len(c.Heads))
	if len(c.Source) > 0 {
		n += int64(len(c.Source)) * int64(len(c.encoder().Heads))
	}
	n *= int64(tokens)
	if c.Prompt {
		n *= int64(tokens)
	}
	if c.Hidden {
		n += int64(in.Layers+1) * int64(tokens) * int64(in.Hidden)
	}
	return 4 * n
}

// Recorder collects what a Capture asks for while batches run whose first
// sequence is the recorded one.
type Recorder struct {
	Prompt *Rows // with Capture.Prompt or Hidden: of the tokens seen so far
	Last   *Rows // the row of the last token seen

	c       *Capture
	in      model.Info
	hook    model.Capture
	buf     []float32
	stream  *runtime.Stream
	total   int // tokens of the prompt
	seen    int // tokens that earlier batches had: a sequence that is read again is not recorded again
	from    int // position of the first new token
	queries int // new tokens
	keys    int
	sources int // tokens of the source
}

// NewRecorder records a prompt of so many tokens, and what follows it.
func NewRecorder(c *Capture, in model.Info, prompt int) *Recorder {
	r := &Recorder{c: c, in: in, total: prompt}
	r.hook = model.Capture{Wants: func(layer int) bool { return slices.Contains(c.Layers, layer) }, Probs: r.probs, Cross: r.cross}
	if c.Prompt || c.Hidden {
		r.Prompt = &Rows{Queries: prompt, Keys: prompt}
	}
	if c.Prompt {
		r.Prompt.Weights = make([]float32, len(c.Layers)*len(c.Heads)*prompt*prompt)
	}
	if c.Hidden {
		r.hook.Hidden = r.hidden
		r.Prompt.Hidden = make([][][]float32, in.Layers+1)
	}
	return r
}

// Attach makes a batch report to the recorder. The stream is the one it will run on.
func (r *Recorder) Attach(s *runtime.Stream, b *model.Batch) {
	r.stream = s
	r.seen = max(r.seen, r.from+r.queries)
	r.from, r.queries, r.keys = int(b.KLens[0]-b.QStarts[1]), int(b.QStarts[1]), int(b.KLens[0])
	maps := len(r.c.Layers) * len(r.c.Heads)
	r.Last = &Rows{Queries: 1, Keys: r.keys, Weights: make([]float32, maps*r.keys)}
	if len(b.Sources) > 0 {
		r.sources = int(b.Sources[0])
		r.Last.Sources, r.Last.Cross = r.sources, make([]float32, maps*r.sources)
		if r.c.Prompt && r.Prompt.Cross == nil {
			r.Prompt.Sources, r.Prompt.Cross = r.sources, make([]float32, maps*r.total*r.sources)
		}
	}
	b.Capture = &r.hook
}

// fetch downloads the recorded sequence's rows of a tensor.
func (r *Recorder) fetch(t runtime.Tensor) []float32 {
	t = t.RowRange(0, r.queries)
	n := t.Rows * t.Cols
	r.buf = slices.Grow(r.buf[:0], n)[:n]
	r.stream.DownloadF32(r.buf, t)
	if r.stream.Sync() != nil {
		return nil
	}
	return r.buf
}

// records reports whether new token q is one of the prompt, seen for the first
// time.
func (r *Recorder) records(q int) bool { return r.seen <= r.from+q && r.from+q < r.total }

// probs receives the distributions of a layer, [T, Heads·maxK].
func (r *Recorder) probs(layer int, t runtime.Tensor, maxK int) {
	r.split(layer, t, maxK, r.keys, func(m, q int, row []float32) {
		if r.c.Prompt && r.records(q) {
			copy(r.Prompt.Weights[(m*r.total+r.from+q)*r.total:][:r.total], row)
		}
		if q == r.queries-1 {
			copy(r.Last.Weights[m*r.keys:], row)
		}
	})
}

// cross receives a decoder's attention to its source.
func (r *Recorder) cross(layer int, t runtime.Tensor, maxK int) {
	r.split(layer, t, maxK, r.sources, func(m, q int, row []float32) {
		if r.c.Prompt && r.records(q) {
			copy(r.Prompt.Cross[(m*r.total+r.from+q)*r.sources:], row)
		}
		if q == r.queries-1 {
			copy(r.Last.Cross[m*r.sources:], row)
		}
	})
}

// split hands out the rows of the wanted heads over so many keys: m counts
// layers and heads as the capture lists them.
func (r *Recorder) split(layer int, t runtime.Tensor, maxK, keys int, row func(m, q int, row []float32)) {
	rows := r.fetch(t)
	if rows == nil {
		return
	}
	l := slices.Index(r.c.Layers, layer) * len(r.c.Heads)
	for k, h := range r.c.Heads {
		for q := range r.queries {
			row(l+k, q, rows[q*t.Cols+h*maxK:][:keys])
		}
	}
}

// hidden receives the residual stream [T, D].
func (r *Recorder) hidden(layer int, t runtime.Tensor) {
	rows := r.fetch(t)
	for q := 0; q < r.queries && rows != nil; q++ {
		if !r.records(q) {
			continue
		}
		r.Prompt.Hidden[layer] = append(r.Prompt.Hidden[layer], slices.Clone(rows[q*t.Cols:(q+1)*t.Cols]))
	}
}
