package godwit

// Text from decoders: Generate, Complete, and how a request is resolved.

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"time"

	"github.com/godwit-ml/godwit/engine"
	"github.com/godwit-ml/godwit/model"
	"github.com/godwit-ml/godwit/tokenizer"
)

// Generate streams an answer, token by token. Nothing happens before the loop
// begins, and ranging twice is two calls. Leaving the loop, however, ends the
// answer. An error is the last thing in the loop, and the only one:
// *ParamError, *TooLongError, *UnsupportedError, *DeviceError, ErrClosed, or one
// that wraps what the context says.
//
// The loop's body may call the model: nothing is held while it runs.
func (m *Model) Generate(ctx context.Context, req Request) iter.Seq2[Token, error] {
	return func(yield func(Token, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel() // however the loop ends, a panic in its body included
		c, err := m.begin(ctx, req)
		if err != nil {
			yield(Token{}, err)
			return
		}
		for {
			tok, last, err := c.next(ctx)
			if err != nil {
				yield(Token{}, err)
				return
			}
			if !yield(tok, nil) || last {
				return
			}
		}
	}
}

// Complete returns the whole answer of Generate.
func (m *Model) Complete(ctx context.Context, req Request) (*Result, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c, err := m.begin(ctx, req)
	if err != nil {
		return nil, err
	}
	tokens, err := c.run.Wait(ctx)
	if err != nil {
		return nil, m.callError(err)
	}
	var out Token
	for _, t := range tokens {
		out = c.token(t)
	}
	return out.Result, nil
}

// call is one request under way.
type call struct {
	m      *Model
	req    *Request
	run    *engine.Run
	start  time.Time
	prompt []Piece // with Capture: what the encoder or, without one, the decoder read
	read   []int32 // what the decoder read before it wrote
	prefix string  // not told yet
	seed   uint64
	want   *capturePlan
	result Result
}

// begin resolves a request and hands it to the engine.
func (m *Model) begin(ctx context.Context, req Request) (*call, error) {
	c := &call{m: m, req: &req, start: time.Now()}
	if err := ctx.Err(); err != nil {
		return nil, contextError(ctx)
	}
	text, prompt, err := m.render(ctx, &req)
	if err != nil {
		return nil, err
	}
	r := engine.Request{Prompts: [][]int32{prompt}, MinTokens: req.MinTokens, Logprobs: -1, Tokenizer: m.cp.tok}
	c.result.Usage.PromptTokens, c.read, c.prefix = len(prompt), prompt, req.Prefix
	if m.in.Kind == model.Seq2Seq {
		if r.Prefix, err = m.prefixIDs(req.Prefix); err != nil {
			return nil, err
		}
		if len(prompt) > m.info.Context {
			return nil, &TooLongError{Tokens: len(prompt), Limit: m.info.Context}
		}
		c.read = append([]int32{m.in.Start}, r.Prefix...)
	}
	if r.MaxTokens, err = m.maxTokens(&req, len(c.read)); err != nil {
		return nil, err
	}
	if err := m.constrain(&req, &r, len(c.read)); err != nil {
		return nil, err
	}
	if !req.IgnoreEOS {
		r.EOS = slices.Clone(m.cp.eos)
	}
	r.EOS = append(r.EOS, req.StopTokens...)
	if err := m.checkRequest(&req, r.MaxTokens); err != nil {
		return nil, err
	}
	if req.Logprobs > 0 {
		r.Logprobs = req.Logprobs
	}
	if len(req.Stop) > 0 {
		if r.Stop, err = engine.NewStopSet(req.Stop); err != nil {
			return nil, m.callError(err)
		}
	}
	if err := m.choose(&req, &r, c); err != nil {
		return nil, err
	}
	if req.Capture != nil {
		if c.want, err = m.planCapture(*req.Capture, max(len(prompt), len(c.read))+r.MaxTokens, !req.Capture.Prompt); err != nil {
			return nil, err
		}
		r.Capture = &c.want.capture
		c.prompt = m.pieces(text, prompt)
	}
	if c.run, err = m.engine.Submit(ctx, r); err != nil {
		return nil, m.callError(err)
	}
	c.result.Seed = c.seed
	return c, nil
}

// maxTokens resolves how long an answer may be.
func (m *Model) maxTokens(req *Request, prompt int) (int, error) {
	room := m.info.Context - prompt
	if room <= 0 {
		return 0, &TooLongError{Tokens: prompt, Limit: m.info.Context - 1}
	}
	switch n := req.MaxTokens; {
	case n < 0:
		return 0, &ParamError{"MaxTokens", n, "want 0 (the usual) or more"}
	case n > room:
		return 0, &TooLongError{Tokens: prompt + n, Limit: m.info.Context}
	case n > 0:
		return n, nil
	case m.info.MaxTokens > 0:
		return min(m.info.MaxTokens, room), nil
	case m.cp.wishes.maxLength > prompt:
		return min(m.cp.wishes.maxLength-prompt, room), nil
	case m.cp.wishes.maxLength > 0:
		return 0, &ParamError{"MaxTokens", n, fmt.Sprintf("the checkpoint's max_length %d has no room after %d tokens: set how long the answer may be", m.cp.wishes.maxLength, prompt)}
	}
	return room, nil
}

// maxLogprobs bounds Request.Logprobs.
const maxLogprobs = 1000

// checkRequest checks the fields that nothing else does.
func (m *Model) checkRequest(req *Request, most int) error {
	switch {
	case req.MinTokens < 0 || req.MinTokens > most:
		return &ParamError{"MinTokens", req.MinTokens, fmt.Sprintf("want 0 to MaxTokens, which is %d", most)}
	case req.Logprobs < 0 || req.Logprobs > maxLogprobs:
		return &ParamError{"Logprobs", req.Logprobs, fmt.Sprintf("want 0 to %d", maxLogprobs)}
	case len(req.Stop) > 0 && m.cp.tok == nil:
		return m.needTokenizer()
	}
	for i, id := range req.StopTokens {
		if id < 0 || int(id) >= m.info.Vocab {
			return &ParamError{fmt.Sprintf("StopTokens[%d]", i), id, fmt.Sprintf("is not in [0, %d)", m.info.Vocab)}
		}
	}
	return nil
}

// choose resolves how tokens are chosen: sampling or beams.
func (m *Model) choose(req *Request, r *engine.Request, c *call) error {
	s, merged, err := resolveSampling(req.Sampling, m.sampling, m.info.Vocab)
	if err != nil {
		return err
	}
	w := &m.cp.wishes
	byFile := req.Beam.Width == 0 && w.beams > 1
	if byFile {
		req.Beam.Width = w.beams
	}
	switch b := req.Beam; {
	case b == Beam{}, b == Beam{Width: 1}:
	case byFile:
		return m.chooseBeamsOfFile(req, r, s)
	default:
		return m.chooseBeams(req, r, s)
	}
	if merged.Temperature == nil {
		if f := filterWithoutTemperature(req.Sampling); f != "" {
			return &ParamError{"Sampling." + f, "without Temperature", "the choice is greedy, so it would do nothing: set Temperature too"}
		}
	}
	if s.Temperature > 0 && s.Seed == 0 {
		s.Seed = newSeed()
	}
	if s.Temperature > 0 {
		c.seed = s.Seed
	}
	r.Sampling = s
	if s.Temperature > 0 {
		return w.check(sampled)
	}
	return w.check(greedy)
}

// filterWithoutTemperature is the first filter a request sets.
func filterWithoutTemperature(s Sampling) string {
	switch {
	case s.TopK != nil && *s.TopK != 0:
		return "TopK"
	case s.TopP != nil && *s.TopP != 1:
		return "TopP"
	case s.MinP != nil && *s.MinP != 0:
		return "MinP"
	case s.TypicalP != nil && *s.TypicalP != 1:
		return "TypicalP"
	}
	return ""
}

// chooseBeamsOfFile chooses the beams that a checkpoint asks for.
func (m *Model) chooseBeamsOfFile(req *Request, r *engine.Request, s engine.Sampling) error {
	w := &m.cp.wishes
	err := m.chooseBeams(req, r, s)
	var p *ParamError
	switch {
	case errors.As(err, &p) && p.Field == "Beam.Width":
		p.Reason += fmt.Sprintf("; the checkpoint's num_beams %d asks for it: set Beam.Width to 1 to do without", w.beams)
	case err == nil && s.Temperature > 0: // Config's, or the file's own
		return &ModelError{File: w.file, Field: "num_beams", Reason: fmt.Sprintf("%d: beam search that samples is not supported: set Beam.Width to 1 to sample, or Temperature to 0 for beams", w.beams),
			Err: &UnsupportedError{What: fmt.Sprintf("num_beams %d with sampling", w.beams), Model: w.file}}
	}
	return err
}

func (m *Model) chooseBeams(req *Request, r *engine.Request, s engine.Sampling) error {
	b, w := req.Beam, &m.cp.wishes
	if err := w.check(beams); err != nil {
		return err
	}
	if b.LengthPenalty == nil {
		b.LengthPenalty = w.lengthPenalty
	}
	if b.Early == "" {
		b.Early = w.early
	}
	early, known := map[string]engine.EarlyStopping{"": engine.EarlyFalse, "false": engine.EarlyFalse, "true": engine.EarlyTrue, "never": engine.EarlyNever}[b.Early]
	switch {
	case b.Width < 1 || b.Width > engine.MaxBeamWidth:
		return &ParamError{"Beam.Width", b.Width, fmt.Sprintf("want 1 to %d", engine.MaxBeamWidth)}
	case !known:
		return &ParamError{"Beam.Early", b.Early, `want "true", "false" or "never"`}
	case req.Sampling.Temperature != nil && *req.Sampling.Temperature > 0 || filterWithoutTemperature(req.Sampling) != "":
		return &ParamError{"Beam.Width", b.Width, "beam search does not sample: leave Temperature and the filters unset"}
	case len(req.Stop) > 0:
		return &ParamError{"Beam.Width", b.Width, "beam search does not watch for stop texts: use StopTokens"}
	case req.Logprobs > 0:
		return &ParamError{"Beam.Width", b.Width, "beam search has no log-probabilities of tokens: see Choice.Score"}
	case req.Capture != nil:
		return &ParamError{"Beam.Width", b.Width, "beam search captures nothing: use Attend on its answer"}
	}
	c := engine.BeamConfig{Width: b.Width, Return: b.Width, MaxTokens: r.MaxTokens, MinTokens: r.MinTokens, EOS: r.EOS, LengthPenalty: 1, Early: early,
		RepetitionPenalty: s.RepetitionPenalty, FrequencyPenalty: s.FrequencyPenalty, PresencePenalty: s.PresencePenalty, LogitBias: s.LogitBias}
	if b.LengthPenalty != nil {
		c.LengthPenalty = *b.LengthPenalty
	}
	if err := c.Check(m.info.Vocab); err != nil {
		var p *engine.ParamError
		if errors.As(err, &p) {
			return &ParamError{"Beam." + p.Field, p.Value, p.Reason}
		}
		return err
	}
	r.Beams, r.Sampling = &c, engine.Greedy()
	return nil
}

// newSeed is a random seed that is not 0.
func newSeed() uint64 {
	var b [8]byte
	rand.Read(b[:]) //nolint:errcheck // never fails, as its documentation says
	return max(binary.LittleEndian.Uint64(b[:]), 1)
}

// contextError is what a context that is done says, with its cause.
func contextError(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if cause == nil || cause == err { //nolint:errorlint // a cause that wraps err says more: only the same one is left out
		return fmt.Errorf("godwit: %w", err)
	}
	return fmt.Errorf("godwit: %w: %w", err, cause)
}

// next returns the next token, and whether it is the stream's last.
func (c *call) next(ctx context.Context) (Token, bool, error) {
	if ctx.Err() != nil {
		return Token{}, false, contextError(ctx)
	}
	t, err := c.run.Next(ctx)
	switch {
	case c.m.closed.Load():
		return Token{}, false, ErrClosed
	case errors.Is(err, io.EOF):
		panic("godwit: a stream without an end")
	case err != nil:
		return Token{}, false, c.m.callError(err)
	}
	tok := c.token(t)
	return tok, tok.Result != nil, nil
}

// token makes a Token of the engine's and adds it to the result, which rides on
// the last.
func (c *call) token(t engine.Token) Token {
	tok := Token{ID: t.ID, Piece: c.m.piece(t.ID), Choice: t.Seq, Text: t.Text}
	for len(c.result.Choices) <= t.Seq {
		c.result.Choices = append(c.result.Choices, Choice{})
		tok.Text = c.prefix + t.Text
	}
	choice := &c.result.Choices[t.Seq]
	if c.req.Logprobs > 0 {
		tok.Logprob = t.Logprob
		for _, p := range t.Top {
			tok.Top = append(tok.Top, Token{ID: p.ID, Piece: c.m.piece(p.ID), Choice: t.Seq, Logprob: p.Logprob})
		}
		choice.Logprobs = append(choice.Logprobs, tok)
	}
	choice.IDs = append(choice.IDs, t.ID)
	choice.Text += tok.Text
	c.result.Usage.OutputTokens++
	if t.Rows != nil {
		tok.Attention = c.stepAttention(t.Rows, choice.IDs)
	}
	if t.Finish == engine.Running {
		return tok
	}
	tok.Finish = FinishLength
	if t.Finish == engine.Stopped {
		tok.Finish = FinishStop
	}
	choice.Finish, choice.Stop, choice.Score = tok.Finish, t.Stop, t.Score
	if len(c.req.Messages) > 0 {
		choice.Message = Message{Role: "assistant", Content: choice.Text}
	}
	if t.Last {
		tok.Result = c.finish()
	}
	return tok
}

// finish completes the result.
func (c *call) finish() *Result {
	r := &c.result
	r.Choice = r.Choices[0]
	stats := c.run.Stats()
	r.Usage.Queued, r.Usage.FirstToken, r.Usage.Total = stats.Queued, stats.FirstToken, time.Since(c.start)
	if c.want != nil && c.run.Prompt != nil {
		r.Attention = c.m.attention(c.want, c.run, c.prompt, c.decoderPieces(nil))
	}
	return r
}

// prefixIDs are the ids of a prefix of an encoder-decoder's answer.
func (m *Model) prefixIDs(prefix string) ([]int32, error) {
	if prefix == "" {
		return nil, nil
	}
	if err := m.needTokenizer(); err != nil {
		return nil, err
	}
	ids, err := m.cp.tok.AppendIDs(nil, prefix, tokenizer.Options{})
	if err != nil {
		return nil, m.textError("Prefix", err)
	}
	return ids, nil
}

// piece is the bytes of a token.
func (m *Model) piece(id int32) string {
	if m.cp.tok == nil {
		return ""
	}
	return string(m.cp.tok.Piece(id))
}
