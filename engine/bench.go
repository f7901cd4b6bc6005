package engine

// Bench: how fast a model reads and writes, measured on steps of its own.

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/godwit-ml/godwit/model"
	"github.com/godwit-ml/godwit/runtime"
)

// Bench is one measurement. Every sequence of the batch reads Prompt tokens, or
// writes Generate tokens one by one, after Depth tokens that are in the cache
// before the clock starts. The tokens are random and always the same.
//
// Of encoders a prompt is a whole sequence. Of encoder-decoders it is a source,
// and Depth the tokens of the source that is written from.
type Bench struct {
	Prompt, Generate int // one of them
	Depth            int
	Batch            int           // sequences
	StepTokens       int           // most tokens of a step that reads, unless one source has more; 0: Config.TokenBudget
	Repeats          int           // runs, after one to warm up
	Pooling          model.Pooling // of encoders: what is made of a sequence's hidden states; "": nothing
}

// CheckBench says what is wrong with a measurement: a *ParamError.
func (e *Engine) CheckBench(b Bench) error {
	longest := b.Depth + b.Prompt + b.Generate // tokens of a sequence
	if e.info.Kind == model.Seq2Seq {
		longest = max(b.Depth, b.Prompt, b.Generate)
	}
	field, value := "Prompt", b.Prompt
	if b.Generate > 0 {
		field, value = "Generate", b.Generate
	}
	switch {
	case b.Prompt < 0 || b.Generate < 0 || (b.Prompt > 0) == (b.Generate > 0):
		return &ParamError{field, value, "want tokens to read or tokens to write, of each sequence"}
	case b.Generate > 0 && (e.info.Kind == model.Encode || !e.info.LM):
		return &ParamError{field, value, "this model writes nothing"}
	case b.Depth < 0 || b.Depth > 0 && e.info.Kind != model.Decoder && b.Generate == 0:
		return &ParamError{"Depth", b.Depth, "want 0 or more; an encoder reads whole sequences: 0"}
	case b.Batch < 1:
		return &ParamError{"Batch", b.Batch, "want 1 or more"}
	case b.StepTokens < 0:
		return &ParamError{"StepTokens", b.StepTokens, "want 0 or more"}
	case b.Repeats < 1:
		return &ParamError{"Repeats", b.Repeats, "want 1 or more"}
	case longest > e.info.Context:
		return &ParamError{field, value, fmt.Sprintf("with a depth of %d exceeds the context of %d", b.Depth, e.info.Context)}
	}
	if need := e.benchBlocks(b); need > e.cfg.Blocks {
		return &ParamError{"Batch", b.Batch, fmt.Sprintf("with %d tokens each needs %d blocks of the KV cache, which has %d: shorten them, or raise the memory limit", longest, need, e.cfg.Blocks)}
	}
	return nil
}

// benchBlocks is how many blocks of the cache a measurement holds.
func (e *Engine) benchBlocks(b Bench) int {
	blocks := func(tokens int) int { return (tokens + e.cfg.BlockSize - 1) / e.cfg.BlockSize }
	switch e.info.Kind {
	case model.Encode:
		return 0
	case model.Seq2Seq:
		return b.Batch * (blocks(b.source()) + blocks(b.Generate))
	}
	return b.Batch * blocks(b.Depth+b.Prompt+b.Generate)
}

// source is how many tokens an encoder reads.
func (b Bench) source() int {
	if b.Prompt > 0 {
		return b.Prompt
	}
	return max(b.Depth, 1)
}

// Bench runs a measurement and yields the time of each of its Repeats + 1 runs, of
// which the first warms up. It ends with an error or after the last.
//
// A run that reads is over when the greedy choice of each sequence's next token is
// on the host, or an encoder's vectors. One that writes has a step for each token,
// which ends with the choice of the next one. Both include what the engine does
// between steps; neither includes tokenizing, other sampling, or text. Runs take
// turns with others, whose steps count too: measure an engine that is idle.
func (e *Engine) Bench(ctx context.Context, b Bench) iter.Seq2[time.Duration, error] {
	return func(yield func(time.Duration, error) bool) {
		if err := e.CheckBench(b); err != nil {
			yield(0, err)
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		m := newMeasurement(ctx, e, b)
		if err := e.enqueue(m); err != nil {
			yield(0, err)
			return
		}
		for d := range m.times {
			if !yield(d, nil) {
				return
			}
		}
		if m.err != nil {
			yield(0, m.err)
		}
	}
}

// measurement is a Bench on the engine's goroutine.
type measurement struct {
	e        *Engine
	ctx      context.Context
	b        Bench
	times    chan time.Duration // has room for all: the engine never waits for the reader
	err      error              // valid when times is closed
	reserved int

	ids     [][]int32 // [Batch] what a decoder reads; chosen tokens are put there
	sources [][]int32 // [Batch] what an encoder reads
	tables  []BlockTable
	stored  []BlockTable // of encoder-decoders: keys and values of the sources
	encoded int          // sources that were read
	deep    bool         // Depth tokens are in the cache
	running bool
	runs    int
	start   time.Time

	batch   model.Batch
	rows    []int32 // of hidden, that get logits
	ready   []int   // the sequences of those rows
	chosen  []int32
	slots   []int32
	vectors []float32
}

// benchSeed keys the random tokens.
const benchSeed = 16

func newMeasurement(ctx context.Context, e *Engine, b Bench) *measurement {
	if b.StepTokens == 0 {
		b.StepTokens = e.cfg.TokenBudget
	}
	m := &measurement{e: e, ctx: ctx, b: b, times: make(chan time.Duration, b.Repeats+1)}
	random := func(sequence, n int) []int32 {
		ids := make([]int32, n)
		for i := range ids {
			ids[i] = int32(uniform(benchSeed, sequence, i) * float64(e.info.Vocab))
		}
		return ids
	}
	for i := range b.Batch {
		switch {
		case e.info.Kind == model.Decoder:
			m.ids = append(m.ids, random(i, b.Depth+b.Prompt+b.Generate))
		case b.Generate > 0:
			m.ids = append(m.ids, make([]int32, b.Generate))
			m.ids[i][0] = e.info.Start
			fallthrough
		default:
			m.sources = append(m.sources, random(i, b.source()))
		}
	}
	m.tables, m.stored = make([]BlockTable, len(m.ids)), make([]BlockTable, len(m.sources))
	return m
}

func (m *measurement) context() context.Context { return m.ctx }

func (m *measurement) admit() bool {
	n := m.e.benchBlocks(m.b)
	if n > m.e.cfg.Blocks-m.e.reserved {
		return false
	}
	m.e.reserved += n
	m.reserved = n
	return true
}

func (m *measurement) end(err error) {
	if m.e.pool != nil {
		for _, tables := range [][]BlockTable{m.tables, m.stored} {
			for i := range tables {
				m.e.pool.Release(&tables[i])
			}
		}
	}
	m.e.reserved -= m.reserved
	m.reserved, m.err = 0, err
	close(m.times)
}

func (m *measurement) step() bool {
	done, err := m.advance()
	if err != nil || done {
		m.end(err)
		return true
	}
	return false
}

// advance runs one step; it reports whether the last run has ended.
func (m *measurement) advance() (done bool, err error) {
	if !m.deep {
		m.deep, err = m.deepen()
		return false, err
	}
	if !m.running {
		m.running, m.start = true, time.Now()
	}
	switch {
	case len(m.ids) == 0:
		done, err = m.encode()
	case m.b.Prompt > 0:
		done, err = m.read(m.b.Depth+m.b.Prompt, true)
	default:
		done, err = m.write()
	}
	if err != nil || !done {
		return false, err
	}
	m.times <- time.Since(m.start)
	m.running = false
	m.runs++
	m.rewind()
	return m.runs > m.b.Repeats, nil
}

// deepen brings the sequences to their depth, a step at a time.
func (m *measurement) deepen() (done bool, err error) {
	switch {
	case len(m.ids) == 0: // encoders have none
		return true, nil
	case len(m.sources) > 0:
		return m.encode()
	}
	return m.read(m.b.Depth, false)
}

// rewind brings the sequences back to where a run begins.
func (m *measurement) rewind() {
	depth := m.b.Depth
	if len(m.sources) > 0 {
		depth = 0 // of the decoder: the source stays
	}
	for i := range m.tables {
		m.e.pool.Truncate(&m.tables[i], depth)
	}
	if len(m.ids) > 0 {
		return
	}
	m.encoded = 0
	for i := range m.stored {
		if m.e.pool != nil {
			m.e.pool.Release(&m.stored[i])
		}
	}
}

// write runs the step that chooses the next token of every sequence.
func (m *measurement) write() (done bool, err error) {
	_, err = m.read(m.tables[0].Len+1, true)
	return m.tables[0].Len == len(m.ids[0]), err
}

// read runs a step of the tokens that the decoder's sequences lack to have n in
// the cache, and reports whether all have. With choose those that get there choose
// their next token.
func (m *measurement) read(n int, choose bool) (done bool, err error) {
	e := m.e
	left := m.b.StepTokens
	if m.b.Generate > 0 && choose {
		left = m.b.Batch // a token each, as in any step that writes
	}
	m.batch.Reset()
	m.rows, m.ready = m.rows[:0], m.ready[:0]
	for i := range m.tables {
		t := &m.tables[i]
		past := t.Len
		take := min(n-past, left)
		if take == 0 {
			continue
		}
		left -= take
		if _, err := e.pool.Extend(t, take, nil); err != nil {
			return false, err
		}
		if err := m.batch.AddDecoder(m.ids[i][past:past+take], past, t.Blocks, e.cfg.BlockSize); err != nil {
			return false, err
		}
		m.batch.SetLength(len(m.ids[i])) // longer rotations from the first token on, if the last needs them
		if len(m.sources) > 0 {
			m.batch.SetSource(len(m.sources[i]), m.stored[i].Blocks)
		}
		if past+take == n && choose {
			m.rows = append(m.rows, int32(len(m.batch.IDs)-1))
			m.ready = append(m.ready, i)
		}
	}
	if len(m.batch.IDs) == 0 {
		return true, nil
	}
	s := e.stream
	s.Reset()
	if err := m.batch.Check(e.info, e.cache); err != nil {
		return false, err
	}
	hidden := e.model.Forward(s, &m.batch, e.cache)
	if len(m.rows) > 0 && e.info.LM {
		m.choose(s, hidden)
	}
	if err := s.Sync(); err != nil {
		return false, err
	}
	for k, i := range m.ready {
		if e.info.LM && n < len(m.ids[i]) {
			m.ids[i][n] = m.chosen[k]
		}
	}
	return m.tables[len(m.tables)-1].Len == n, nil
}

// choose finds the likeliest token at each of rows, on the device.
func (m *measurement) choose(s *runtime.Stream, hidden runtime.Tensor) {
	logits := m.e.model.Logits(s, model.Rows(s, hidden, m.rows))
	best, ids := s.Scratch(len(m.rows), 1), s.ScratchI32(len(m.rows), 1)
	s.TopK(runtime.TopK{Values: best, IDs: ids, X: logits})
	m.chosen = append(m.chosen[:0], m.rows...) // as many
	s.DownloadI32(m.chosen, ids)
}

// encode runs a pass of sources that were not read yet, and reports whether all
// have been.
func (m *measurement) encode() (done bool, err error) {
	e, from, tokens := m.e, m.encoded, 0
	m.batch.Reset()
	m.slots = m.slots[:0]
	for _, ids := range m.sources[from:] {
		if m.encoded > from && tokens+len(ids) > m.b.StepTokens {
			break
		}
		if err := m.batch.AddEncoder(ids, nil, nil); err != nil {
			return false, err
		}
		if e.info.Kind == model.Seq2Seq {
			t := &m.stored[m.encoded]
			if _, err := e.pool.Extend(t, len(ids), nil); err != nil {
				return false, err
			}
			m.slots = e.pool.Slots(m.slots, t, 0, len(ids))
		}
		tokens += len(ids)
		m.encoded++
	}
	s := e.stream
	s.Reset()
	if err := m.batch.Check(e.info, nil); err != nil {
		return false, err
	}
	if both, ok := e.model.(model.EncoderDecoder); ok {
		both.StoreSource(s, both.Encode(s, &m.batch), m.slots, e.cache)
	} else if hidden := e.model.Forward(s, &m.batch, nil); m.b.Pooling != "" {
		pooled := model.Pool(s, &m.batch, hidden, m.b.Pooling, false)
		if n := pooled.Rows * pooled.Cols; len(m.vectors) < n {
			m.vectors = make([]float32, n)
		}
		s.DownloadF32(m.vectors[:pooled.Rows*pooled.Cols], pooled)
	}
	return m.encoded == len(m.sources), s.Sync()
}
