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
}

// planCapture resolves a capture of so many tokens; rows says that no row is
// kept longer than a step, so that only one counts at a time.
func (m *Model) planCapture(c Capture, tokens int, rows bool) (*capturePlan, error) {
	p := &capturePlan{}
	var err error
	if p.capture.Layers, err = indexes("Capture.Layers", c.Layers, m.info.Layers); err != nil {
		return nil, err
	}
	if p.capture.Heads, err = indexes("Capture.Heads", c.Heads, m.info.Heads); err != nil {
		return nil, err
	}
	p.capture.Prompt, p.capture.Hidden = !rows, c.Hidden
	limit := c.MaxBytes
	if limit == 0 {
		limit = defaultCaptureBytes
	}
	if n := p.capture.Bytes(m.in, tokens); limit < 0 || n > limit {
		return nil, &ParamError{"Capture.MaxBytes", limit, fmt.Sprintf("the result would have %d bytes: choose Layers and Heads, shorten the text, or raise it", n)}
	}
	return p, nil
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

// Attend runs a text once and returns what each head looked at.
func (m *Model) Attend(ctx context.Context, req AttendRequest) (*Attention, error) {
	start := time.Now()
	if err := m.can(TaskAttend); err != nil {
		return nil, err
	}
	encoder := m.in.Kind == model.Encode
	if req.Pair != "" && !encoder {
		return nil, &ParamError{"Pair", fmt.Sprintf("%q", shorten(req.Pair, 40)), "only encoders read pairs"}
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
	var rows *engine.Rows
	usage := Usage{PromptTokens: len(e.IDs)}
	if encoder {
		rows, err = m.attendEncoder(ctx, plan, e, &usage)
	} else {
		rows, err = m.attendDecoder(ctx, plan, e, &usage)
	}
	if err != nil {
		return nil, m.callError(err)
	}
	a := m.attention(plan, rows, encodedPieces(e))
	a.Usage = usage
	a.Usage.Total = time.Since(start)
	return a, nil
}

func (m *Model) attendEncoder(ctx context.Context, p *capturePlan, e *tokenizer.Encoding, usage *Usage) (*engine.Rows, error) {
	rec := engine.NewRecorder(&p.capture, m.in, len(e.IDs))
	start := time.Now()
	err := m.engine.Do(ctx, func(s *runtime.Stream) error {
		usage.Queued = time.Since(start)
		var b model.Batch
		if err := b.AddEncoder(e.IDs, e.TypeIDs, nil); err != nil {
			return err
		}
		if err := b.Check(m.in, nil); err != nil {
			return err
		}
		rec.Attach(s, &b)
		m.inner.Forward(s, &b, nil)
		return nil
	})
	return rec.Prompt, err
}

func (m *Model) attendDecoder(ctx context.Context, p *capturePlan, e *tokenizer.Encoding, usage *Usage) (*engine.Rows, error) {
	run, err := m.engine.Submit(ctx, engine.Request{Prompts: [][]int32{e.IDs}, Sampling: engine.Greedy(), Logprobs: -1, Capture: &p.capture})
	if err != nil {
		return nil, err
	}
	if _, err := run.Wait(ctx); err != nil {
		return nil, err
	}
	usage.Queued = run.Stats().Queued
	return run.Prompt, nil
}

// attention makes a result of recorded rows of the whole prompt.
func (m *Model) attention(p *capturePlan, rows *engine.Rows, pieces []Piece) *Attention {
	a := &Attention{}
	var am *AttentionMap
	if rows.Weights != nil {
		am = &AttentionMap{Layers: p.capture.Layers, Heads: p.capture.Heads, Queries: pieces, Keys: pieces, Weights: rows.Weights}
	}
	if m.in.Kind == model.Encode {
		a.Encoder, a.EncoderHidden = am, rows.Hidden
	} else {
		a.Decoder, a.DecoderHidden = am, rows.Hidden
	}
	return a
}

// stepAttention is the row of the token that chose the newest of ids.
func (c *call) stepAttention(rows *engine.Rows, answer []int32) *Attention {
	read := slices.Concat(c.prompt, answer[:len(answer)-1])
	keys := c.m.pieces(read)
	return &Attention{Decoder: &AttentionMap{
		Layers: c.want.capture.Layers, Heads: c.want.capture.Heads,
		Queries: keys[len(keys)-1:], Keys: keys, Weights: rows.Weights,
	}}
}
