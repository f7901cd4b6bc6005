package godwit

// Attention as a result: Attend, and what Capture records.

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/godwit-ml/godwit/engine"
	"github.com/godwit-ml/godwit/model"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/tokenizer"
)

// defaultCaptureBytes is what Capture.MaxBytes 0 allows.
const defaultCaptureBytes = 256 << 20

// capturePlan is a Capture, resolved for a model.
type capturePlan struct {
	capture engine.Capture
	limit   int64 // bytes
}

// planCapture resolves a capture of so many tokens; rows says that no row is
// kept longer than a step, so that only one counts at a time.
func (m *Model) planCapture(c Capture, tokens int, rows bool) (*capturePlan, error) {
	p := &capturePlan{}
	var err error
	if err = m.planLayers(p, c.Layers); err != nil {
		return nil, err
	}
	if err = m.planHeads(p, c.Heads); err != nil {
		return nil, err
	}
	p.capture.Prompt, p.capture.Hidden = !rows, c.Hidden
	limit := c.MaxBytes
	if limit == 0 {
		limit = defaultCaptureBytes
	}
	p.limit = limit
	if n := p.capture.Bytes(m.in, tokens); limit < 0 || n > limit {
		return nil, &ParamError{"Capture.MaxBytes", limit, fmt.Sprintf("the result would have %d bytes: choose Layers and Heads, shorten the text, or raise it", n)}
	}
	return p, nil
}

// planLayers resolves layers for each stack of the model: those from the end are
// other ones where a decoder is deeper than its encoder.
func (m *Model) planLayers(p *capturePlan, list []int) (err error) {
	if m.in.Kind != model.Seq2Seq {
		p.capture.Layers, err = indexes("Capture.Layers", list, m.in.Layers)
		return err
	}
	if _, err := indexes("Capture.Layers", list, m.info.Layers); err != nil {
		return err
	}
	if p.capture.Layers, err = indexes("Capture.Layers", within(list, m.in.Layers), m.in.Layers); err != nil {
		return err
	}
	p.capture.Source, err = indexes("Capture.Layers", within(list, m.in.EncoderLayers), m.in.EncoderLayers)
	return err
}

// planHeads resolves heads, for each stack where stacks have unequally many.
func (m *Model) planHeads(p *capturePlan, list []int) (err error) {
	if m.in.EncoderHeads == 0 {
		p.capture.Heads, err = indexes("Capture.Heads", list, m.in.Heads)
		return err
	}
	if _, err := indexes("Capture.Heads", list, m.info.Heads); err != nil {
		return err
	}
	if p.capture.Heads, err = indexes("Capture.Heads", within(list, m.in.Heads), m.in.Heads); err != nil {
		return err
	}
	p.capture.Others, err = indexes("Capture.Heads", within(list, m.in.EncoderHeads), m.in.EncoderHeads)
	return err
}

// within is what of a list of indexes lies within n; all of nil, which is all.
func within(list []int, n int) []int {
	if list == nil {
		return nil
	}
	here := []int{} // not nil, which is all
	for _, i := range list {
		if i >= -n && i < n {
			here = append(here, i)
		}
	}
	return here
}

// indexes resolves a list of layers or heads: nil is all, negative counts from
// the end. The result is ascending.
func indexes(field string, list []int, n int) ([]int, error) {
	out := make([]int, 0, n)
	if list == nil {
		for i := range n {
			out = append(out, i)
		}
		return out, nil
	}
	for k, i := range list {
		if i < -n || i >= n {
			return nil, &ParamError{fmt.Sprintf("%s[%d]", field, k), i, fmt.Sprintf("the model has %d", n)}
		}
		out = append(out, (i+n)%n)
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// Attend runs a text once and returns what each head looked at. An
// encoder-decoder reads the text with the encoder; its decoder reads Target, or
// what it writes itself, greedily.
func (m *Model) Attend(ctx context.Context, req AttendRequest) (*Attention, error) {
	start := time.Now()
	if err := m.can(TaskAttend); err != nil {
		return nil, err
	}
	switch {
	case req.Pair != "" && m.in.Kind != model.Encode:
		return nil, &ParamError{"Pair", fmt.Sprintf("%q", shorten(req.Pair, 40)), "only encoders read pairs"}
	case req.Target != "" && m.in.Kind != model.Seq2Seq:
		return nil, &ParamError{"Target", fmt.Sprintf("%q", shorten(req.Target, 40)), "only encoder-decoders have one"}
	}
	var e *tokenizer.Encoding
	var err error
	if req.Pair != "" {
		e, err = m.cp.tok.EncodePair(req.Text, req.Pair, tokenizer.Options{Special: true})
	} else {
		e, err = m.cp.tok.Encode(req.Text, tokenizer.Options{Special: true})
	}
	switch {
	case err != nil:
		return nil, m.textError("Text", err)
	case len(e.IDs) == 0:
		return nil, &ParamError{"Text", `""`, "has no tokens"}
	case len(e.IDs) > m.info.Context:
		return nil, &TooLongError{Tokens: len(e.IDs), Limit: m.info.Context}
	}
	plan, err := m.planCapture(req.Capture, len(e.IDs), false)
	if err != nil {
		return nil, err
	}
	pieces := encodedPieces(e, req.Text, req.Pair)
	usage := Usage{PromptTokens: len(e.IDs)}
	var a *Attention
	switch m.in.Kind {
	case model.Encode:
		a, err = m.attendEncoder(ctx, plan, e, pieces, &usage)
	case model.Seq2Seq:
		a, err = m.attendBoth(ctx, plan, e.IDs, pieces, req, &usage)
	default:
		a, err = m.attendDecoder(ctx, plan, engine.Request{Prompts: [][]int32{e.IDs}}, pieces, pieces, &usage)
	}
	if err != nil {
		return nil, m.callError(err)
	}
	a.Usage = usage
	a.Usage.Total = time.Since(start)
	return a, nil
}

func (m *Model) attendEncoder(ctx context.Context, p *capturePlan, e *tokenizer.Encoding, pieces []Piece, usage *Usage) (*Attention, error) {
	rec := engine.NewRecorder(&p.capture, m.in, len(e.IDs))
	start := time.Now()
	err := m.engine.Do(ctx, func(s *runtime.Stream) error {
		usage.Queued = time.Since(start)
		var b model.Batch
		in := m.input(e)
		if err := b.AddEncoder(in.ids, in.types, nil); err != nil {
			return err
		}
		if err := b.Check(m.in, nil); err != nil {
			return err
		}
		rec.Attach(s, &b)
		m.inner.Forward(s, &b, nil)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &Attention{Encoder: selfMap(p.capture.Layers, p.capture.Heads, rec.Prompt, pieces), EncoderHidden: rec.Prompt.Hidden}, nil
}

// attendDecoder reads what a request gives a decoder and writes nothing.
func (m *Model) attendDecoder(ctx context.Context, p *capturePlan, r engine.Request, source, read []Piece, usage *Usage) (*Attention, error) {
	r.Sampling, r.Logprobs, r.Capture = engine.Greedy(), -1, &p.capture
	run, err := m.engine.Submit(ctx, r)
	if err != nil {
		return nil, err
	}
	if _, err := run.Wait(ctx); err != nil {
		return nil, err
	}
	usage.Queued = run.Stats().Queued
	return m.attention(p, run, source, read), nil
}

// attendBoth runs an encoder-decoder over a source and a target.
func (m *Model) attendBoth(ctx context.Context, p *capturePlan, source []int32, pieces []Piece, req AttendRequest, usage *Usage) (*Attention, error) {
	var target []int32
	text := req.Target
	if text != "" {
		var err error
		if target, err = m.prefixIDs(text); err != nil {
			return nil, err
		}
	} else {
		res, err := m.Complete(ctx, Request{Tokens: source, Sampling: Sampling{Temperature: new(0.0)}})
		if err != nil {
			return nil, err
		}
		target, text, usage.OutputTokens = res.IDs, res.Text, res.Usage.OutputTokens
		if n := len(target); slices.Contains(m.cp.eos, target[n-1]) {
			target = target[:n-1] // nothing follows the end token
		}
	}
	if len(target)+1 > m.info.Context {
		return nil, &TooLongError{Tokens: len(target) + 1, Limit: m.info.Context}
	}
	if n, limit := p.capture.Bytes(m.in, max(len(source), len(target)+1))*3, p.limit; n > limit {
		return nil, &ParamError{"Capture.MaxBytes", limit, fmt.Sprintf("the result may have %d bytes: choose Layers and Heads, shorten the text, or raise it", n)}
	}
	read := append(m.pieces("", []int32{m.in.Start}), m.pieces(text, target)...)
	a, err := m.attendDecoder(ctx, p, engine.Request{Prompts: [][]int32{source}, Prefix: target}, pieces, read, usage)
	if err != nil {
		return nil, err
	}
	a.Text = text
	return a, nil
}

// selfMap is the attention of tokens to themselves; nil if none was recorded.
func selfMap(layers, heads []int, rows *engine.Rows, pieces []Piece) *AttentionMap {
	if len(rows.Weights) == 0 {
		return nil
	}
	return &AttentionMap{Layers: layers, Heads: heads, Queries: pieces, Keys: pieces, Weights: rows.Weights}
}

// attention makes a result of what a run recorded of what was read: by the
// encoder, if there is one, and by the decoder.
func (m *Model) attention(p *capturePlan, run *engine.Run, source, read []Piece) *Attention {
	a := &Attention{Decoder: selfMap(p.capture.Layers, p.capture.Heads, run.Prompt, read), DecoderHidden: run.Prompt.Hidden}
	if run.Source != nil {
		heads := p.capture.Heads
		if p.capture.Others != nil {
			heads = p.capture.Others
		}
		a.Encoder, a.EncoderHidden = selfMap(p.capture.Source, heads, run.Source, source), run.Source.Hidden
	}
	if len(run.Prompt.Cross) > 0 {
		a.Cross = &AttentionMap{Layers: p.capture.Layers, Heads: p.capture.Heads, Queries: read, Keys: source, Weights: run.Prompt.Cross}
	}
	return a
}

// decoderPieces are the tokens that the decoder has read when it has written
// answer.
func (c *call) decoderPieces(answer []int32) []Piece {
	if c.m.in.Kind != model.Seq2Seq {
		at := 0
		if n := len(c.prompt); n > 0 {
			at = c.prompt[n-1].End
		}
		return append(slices.Clone(c.prompt), shifted(c.m.pieces("", answer), at)...)
	}
	return c.m.pieces("", slices.Concat(c.read, answer))
}

// shifted moves the places of pieces.
func shifted(pieces []Piece, by int) []Piece {
	for i := range pieces {
		pieces[i].Start += by
		pieces[i].End += by
	}
	return pieces
}

// stepAttention is the row of the token that chose the newest of the answer.
func (c *call) stepAttention(rows *engine.Rows, answer []int32) *Attention {
	read := c.decoderPieces(answer[:len(answer)-1])
	one := AttentionMap{Layers: c.want.capture.Layers, Heads: c.want.capture.Heads, Queries: read[len(read)-1:]}
	a := &Attention{}
	if len(rows.Cross) > 0 {
		cross := one
		cross.Keys, cross.Weights = c.prompt, rows.Cross
		a.Cross = &cross
	}
	one.Keys, one.Weights = read, rows.Weights
	a.Decoder = &one
	return a
}
