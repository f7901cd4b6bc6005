package engine

// Generation: one request, its prompts run as one batch, a step at a time.

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/godwit-ml/godwit/model"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/tokenizer"
)

// Request is one call, resolved: ids, not text.
type Request struct {
	Prompts   [][]int32 // run as one batch; each gets one answer. Of encoder-decoders: the sources
	Prefix    []int32   // of encoder-decoders: what the answers begin with, after the model's first token
	MaxTokens int       // of an answer; 0: the prompt is read and nothing is written
	MinTokens int       // end tokens and stop texts do not count before
	EOS       []int32   // end tokens; they are part of the answer
	Sampling  Sampling
	Beams     *BeamConfig // nil: no beam search; one prompt then
	// Constraints hold for every answer, in beam search, too; nil: there are none.
	Constraints *Constraints
	Logprobs    int // -1: none; k: the token's own and the k best, before any penalty

	Tokenizer *tokenizer.Tokenizer // for Text and stop texts; nil: neither
	Stop      *StopSet             // nil: none
	Capture   *Capture             // nil: nothing
	Score     *Score               // nil: nothing; needs MaxTokens 0 and one prompt
}

// Submit starts a request. The ids, counts and the sampling must have been
// checked, or the error says what is wrong: a *ParamError.
func (e *Engine) Submit(ctx context.Context, req Request) (*Run, error) {
	if err := e.check(&req); err != nil {
		return nil, err
	}
	r := &Run{wake: make(chan struct{}, 1), start: time.Now()}
	g := &generation{e: e, ctx: ctx, req: req, run: r}
	if err := e.enqueue(g); err != nil {
		return nil, err
	}
	return r, nil
}

func (e *Engine) check(req *Request) error {
	switch {
	case req.Stop != nil && req.Tokenizer == nil:
		return &ParamError{"Stop", "set", "stop texts need a tokenizer"}
	case e.info.Kind == model.Encode:
		return &ParamError{"Prompts", len(req.Prompts), "this model is no decoder"}
	case len(req.Prefix) > 0 && e.info.Kind != model.Seq2Seq:
		return &ParamError{"Prefix", len(req.Prefix), "only encoder-decoders have one: append it to the prompt"}
	case !e.info.LM && req.MaxTokens > 0:
		return &ParamError{"MaxTokens", req.MaxTokens, "this model has no vocabulary head"}
	case len(req.Prompts) == 0:
		return &ParamError{"Prompts", 0, "is empty"}
	case req.MaxTokens < 0 || req.MinTokens < 0 || req.MinTokens > req.MaxTokens:
		return &ParamError{"MinTokens", req.MinTokens, fmt.Sprintf("want 0 ≤ MinTokens ≤ MaxTokens, which is %d", req.MaxTokens)}
	case req.Beams != nil && len(req.Prompts) != 1:
		return &ParamError{"Beams", req.Beams.Width, "beam search runs one prompt"}
	}
	if err := e.checkScore(req); err != nil {
		return err
	}
	if err := e.checkIDs("Prefix", req.Prefix); err != nil {
		return err
	}
	for i, p := range req.Prompts {
		field := fmt.Sprintf("Prompts[%d]", i)
		if len(p) == 0 {
			return &ParamError{field, 0, "is empty: a model needs at least one token"}
		}
		if err := e.checkIDs(field, p); err != nil {
			return err
		}
		if n := len(e.begin(req, p)) + req.MaxTokens; n > e.info.Context || len(p) > e.info.Context {
			return &ParamError{"MaxTokens", req.MaxTokens, fmt.Sprintf("with a prompt of %d exceeds the context of %d", len(p), e.info.Context)}
		}
	}
	if err := req.Sampling.Check(e.info.Vocab); err != nil {
		return err
	}
	if req.Beams != nil {
		if err := req.Beams.Check(e.info.Vocab); err != nil {
			return err
		}
	}
	if req.Constraints != nil {
		if err := req.Constraints.Check(e.info.Vocab); err != nil {
			return err
		}
	}
	if need := e.need(req); need > e.cfg.Blocks {
		return &ParamError{"MaxTokens", req.MaxTokens, fmt.Sprintf("needs %d blocks of the KV cache, which has %d: shorten it, use fewer beams, or raise the memory limit", need, e.cfg.Blocks)}
	}
	return nil
}

// checkIDs checks that ids are the model's.
func (e *Engine) checkIDs(field string, ids []int32) error {
	for _, id := range ids {
		if id < 0 || int(id) >= e.info.Vocab {
			return &ParamError{field, id, fmt.Sprintf("is not in [0, %d)", e.info.Vocab)}
		}
	}
	return nil
}

// begin is what a decoder reads before it writes: the prompt, or of
// encoder-decoders the first token and the prefix.
func (e *Engine) begin(req *Request, prompt []int32) []int32 {
	if e.info.Kind != model.Seq2Seq {
		return prompt
	}
	return append([]int32{e.info.Start}, req.Prefix...)
}

// need is the most blocks a request can hold at once.
func (e *Engine) need(req *Request) int {
	blocks := func(tokens int) int { return (tokens + e.cfg.BlockSize - 1) / e.cfg.BlockSize }
	n := 0
	for _, p := range req.Prompts {
		first := len(e.begin(req, p))
		if e.info.Kind == model.Seq2Seq {
			n += blocks(len(p))
		}
		if req.Beams == nil {
			n += blocks(first + req.MaxTokens)
			continue
		}
		if limit := e.info.RopeLimit; first <= limit && limit < first+req.MaxTokens {
			// Where they are all read again, they share nothing.
			n += req.Beams.Width * (blocks(first+req.MaxTokens) + 1)
			continue
		}
		// Beams share whole blocks of the prompt; each has its own from the
		// first shared one that it writes to.
		n += blocks(first) + req.Beams.Width*(blocks(req.MaxTokens)+1)
	}
	return n
}

// sequence is one answer under way.
type sequence struct {
	tokens  []int32    // prompt and answer, as the decoder reads them
	source  int        // of encoder-decoders: which prompt
	prompt  int        // tokens of the prompt
	table   BlockTable // of the tokens whose keys and values are in the cache
	long    bool       // there are more tokens than the model's RopeLimit
	history History
	decoder *tokenizer.Decoder // nil without a tokenizer
	stop    *StopScanner
	finish  Finish
}

// generation is a request on the engine's goroutine.
type generation struct {
	e        *Engine
	ctx      context.Context
	req      Request
	run      *Run
	reserved int
	seqs     []*sequence
	sources  []BlockTable // of encoder-decoders: keys and values of the prompts
	beam     *Beam        // beam search
	batch    model.Batch
	rows     []int32     // of hidden, that get logits
	ready    []*sequence // the sequences of those rows
	logits   []float32
	drawn    Sampling // what is left of the request's when constraints have worked
	recorder *Recorder
	copies   []BlockCopy // to be made before the step
	src, dst []int32     // the same
}

func (g *generation) context() context.Context { return g.ctx }

func (g *generation) admit() bool {
	n := g.e.need(&g.req)
	if n > g.e.cfg.Blocks-g.e.reserved {
		return false
	}
	g.e.reserved += n
	g.reserved = n
	g.run.began()
	for i := range g.req.Prompts {
		g.seqs = append(g.seqs, g.sequence(i))
	}
	if g.req.Beams != nil {
		c := *g.req.Beams
		c.Constraints, c.Source = g.req.Constraints, g.req.Prompts[0]
		g.beam, _ = NewBeam(c, g.e.info.Vocab, g.seqs[0].tokens) // checked in Submit
	}
	if g.req.Capture != nil {
		g.recorder = NewRecorder(g.req.Capture, g.e.info, g.seqs[0].prompt)
		g.run.Prompt = g.recorder.Prompt // whole before the first token is delivered
	}
	return true
}

// sequence begins an answer to a prompt.
func (g *generation) sequence(i int) *sequence {
	prompt := g.e.begin(&g.req, g.req.Prompts[i])
	q := &sequence{tokens: slices.Grow(slices.Clone(prompt), g.req.MaxTokens), prompt: len(prompt), source: i, stop: NewStopScanner(g.req.Stop)}
	q.history.Reset(prompt)
	if g.req.Tokenizer != nil {
		q.decoder = g.req.Tokenizer.NewDecoder(true)
	}
	return q
}

func (g *generation) end(err error) {
	for _, q := range g.seqs {
		g.e.pool.Release(&q.table)
	}
	for i := range g.sources {
		g.e.pool.Release(&g.sources[i])
	}
	g.e.reserved -= g.reserved
	g.reserved, g.seqs, g.sources = 0, nil, nil
	g.run.finish(err)
}

func (g *generation) step() bool {
	done, err := g.advance()
	if err != nil || done {
		g.end(err)
		return true
	}
	return false
}

// advance runs one step; it reports whether all sequences have ended.
func (g *generation) advance() (done bool, err error) {
	s := g.e.stream
	s.Reset()
	if g.e.info.Kind == model.Seq2Seq && g.sources == nil {
		return false, g.encode(s)
	}
	if err := g.schedule(); err != nil {
		return false, err
	}
	if g.recorder != nil {
		g.recorder.Attach(s, &g.batch)
	}
	if err := g.batch.Check(g.e.info, g.e.cache); err != nil {
		return false, err
	}
	g.copyBlocks(s)
	hidden := g.e.model.Forward(s, &g.batch, g.e.cache)
	if g.req.Score != nil {
		if err := g.score(s, hidden); err != nil {
			return false, err
		}
	}
	if g.req.MaxTokens == 0 {
		return g.unread() == 0, s.Sync()
	}
	if len(g.ready) == 0 {
		return false, s.Sync()
	}
	logits := g.e.model.Logits(s, model.Rows(s, hidden, g.rows))
	g.logits = slices.Grow(g.logits[:0], logits.Rows*logits.Cols)[:logits.Rows*logits.Cols]
	s.DownloadF32(g.logits, logits)
	if err := s.Sync(); err != nil {
		return false, err
	}
	if g.beam != nil {
		return g.search()
	}
	return g.sample()
}

// schedule builds the batch of the next tokens of all sequences that go on: at
// most TokenBudget of each. Those whose tokens are all in it get logits.
func (g *generation) schedule() error {
	g.batch.Reset()
	g.rows, g.ready, g.copies = g.rows[:0], g.ready[:0], g.copies[:0]
	g.restart() // before any table gets blocks
	for _, q := range g.seqs {
		past := q.table.Len
		n := min(len(q.tokens)-past, g.e.cfg.TokenBudget)
		if q.finish != Running || n == 0 {
			continue
		}
		var err error
		if g.copies, err = g.e.pool.Extend(&q.table, n, g.copies); err != nil {
			return err
		}
		if err := g.batch.AddDecoder(q.tokens[past:past+n], past, q.table.Blocks, g.e.cfg.BlockSize); err != nil {
			return err
		}
		g.batch.SetLength(len(q.tokens))
		if g.sources != nil {
			g.batch.SetSource(len(g.req.Prompts[q.source]), g.sources[q.source].Blocks)
		}
		if past+n == len(q.tokens) {
			g.rows = append(g.rows, int32(len(g.batch.IDs)-1))
			g.ready = append(g.ready, q)
		}
	}
	return nil
}

// restart has sequences that have grown beyond the model's RopeLimit read again
// from their first token: the keys in the cache were rotated for shorter ones.
func (g *generation) restart() {
	for _, q := range g.seqs {
		if limit := g.e.info.RopeLimit; limit > 0 && !q.long && len(q.tokens) > limit {
			q.long = true
			g.e.pool.Release(&q.table)
		}
	}
}

// copyBlocks makes the copies of the step.
func (g *generation) copyBlocks(s *runtime.Stream) {
	g.src, g.dst = g.src[:0], g.dst[:0]
	for _, c := range g.copies {
		g.src, g.dst = append(g.src, c.Src), append(g.dst, c.Dst)
	}
	g.e.cache.Copy(s, g.src, g.dst)
}

// unread is how many tokens no step has had yet.
func (g *generation) unread() int {
	n := 0
	for _, q := range g.seqs {
		n += len(q.tokens) - q.table.Len
	}
	return n
}

// sample chooses the next token of every ready sequence.
func (g *generation) sample() (done bool, err error) {
	vocab := g.e.info.Vocab
	out := g.e.out[:0]
	for i, q := range g.ready {
		row := g.logits[i*vocab : (i+1)*vocab]
		seq := slices.Index(g.seqs, q)
		t := Token{Seq: seq}
		if g.req.Logprobs >= 0 {
			if err := g.e.logprobs.Reset(row); err != nil {
				return false, err
			}
		}
		sampling := &g.req.Sampling
		switch {
		case g.req.Constraints != nil:
			row, sampling = g.constrained(row, q)
		case g.written(q) < g.req.MinTokens:
			row = g.without(row, g.req.EOS)
		}
		if t.ID, err = g.e.sampler.Sample(sampling, row, &q.history, seq, g.written(q)); err != nil {
			return false, err
		}
		if g.req.Logprobs >= 0 {
			t.Logprob = g.e.logprobs.Of(t.ID)
			t.Top = g.e.logprobs.Top(nil, g.req.Logprobs)
		}
		if g.recorder != nil && seq == 0 {
			t.Rows = g.recorder.Last
		}
		g.accept(q, &t)
		out = append(out, t)
	}
	g.e.out = out
	done = !slices.ContainsFunc(g.seqs, func(q *sequence) bool { return q.finish == Running })
	out[len(out)-1].Last = done
	g.run.put(out...)
	return done, nil
}

// without is a copy of a row of logits in which some tokens cannot be chosen.
func (g *generation) without(row []float32, ids []int32) []float32 {
	g.e.row = append(g.e.row[:0], row...)
	ban(g.e.row, ids)
	return g.e.row
}

// constrained is a copy of a row of logits with constraints, bias and penalties
// worked in, and the sampling that is left to do.
func (g *generation) constrained(row []float32, q *sequence) ([]float32, *Sampling) {
	g.e.row = append(g.e.row[:0], row...)
	p := &g.req.Sampling
	g.req.Constraints.apply(g.e.row, &place{
		tokens: q.tokens, prompt: q.prompt, source: g.req.Prompts[q.source], eos: g.req.EOS, min: g.req.MinTokens, max: g.req.MaxTokens,
		history: &q.history, repetition: p.RepetitionPenalty, frequency: p.FrequencyPenalty, presence: p.PresencePenalty, bias: p.LogitBias,
	})
	g.drawn = *p
	g.drawn.LogitBias, g.drawn.RepetitionPenalty, g.drawn.FrequencyPenalty, g.drawn.PresencePenalty = nil, 1, 0, 0
	return g.e.row, &g.drawn
}

// written is how many tokens of the answer there are.
func (g *generation) written(q *sequence) int { return len(q.tokens) - q.prompt }

// accept appends a chosen token to its sequence and says what became final.
// End tokens are part of the ids and not of the text; a stop text is of neither
// text nor what follows it.
func (g *generation) accept(q *sequence, t *Token) {
	q.tokens = append(q.tokens, t.ID)
	q.history.Add(t.ID)
	n := g.written(q)
	switch {
	case slices.Contains(g.req.EOS, t.ID):
		q.finish = Stopped
	case n == g.req.MaxTokens:
		q.finish = Length
	}
	if q.decoder != nil {
		t.Text = g.text(q, t, n)
	}
	t.Finish = q.finish
}

// text decodes a token and watches for stop texts, which count from MinTokens on.
func (g *generation) text(q *sequence, t *Token, n int) string {
	text := ""
	if q.finish != Stopped {
		text = q.decoder.Push(t.ID)
	}
	if q.finish != Running {
		text += q.decoder.Flush()
	}
	if n < g.req.MinTokens {
		return text
	}
	text = q.stop.Push(text)
	if _, stop, ok := q.stop.Stopped(); ok {
		q.finish, t.Stop = Stopped, stop
	} else if q.finish != Running {
		text += q.stop.Flush()
	}
	return text
}
