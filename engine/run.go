package engine

// Run: an answer on its way from the engine to one reader.

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"
)

// Token is one step of an answer.
type Token struct {
	Seq     int // which prompt of the request, or which beam
	ID      int32
	Text    string // what became final with it, if the request has a tokenizer
	Logprob float64
	Top     []TokenLogprob
	Rows    *Rows     // with Capture: the attention of the step that chose it
	Logits  []float32 // with Score.Logits: the row it was chosen from
	Finish  Finish    // on the last token of a sequence
	Stop    string    // the stop text that ended it
	Score   float64   // of a beam
	Last    bool      // on the last token of the run
}

// Finish says why a sequence ended.
type Finish uint8

// The reasons.
const (
	Running Finish = iota
	Stopped        // an end token or a stop text
	Length         // as many tokens as were allowed
)

// Stats are the times of a run.
type Stats struct {
	Queued, FirstToken, Total time.Duration // FirstToken 0: there was none
}

// Run is a request under way. One goroutine reads it.
//
// Delivery is a mailbox: the engine appends and never waits for the reader. It
// holds at most as many tokens as the request allows.
type Run struct {
	Prompt *Rows // with Capture.Prompt: of what the decoder read first; valid from the first token on, or after the end
	Source *Rows // the same of an encoder-decoder's source

	mu    sync.Mutex
	box   []Token
	done  bool
	err   error
	whole bool          // the reader wants no wake-up before the end
	wake  chan struct{} // one slot
	stats Stats
	start time.Time
}

// Next returns the next token, io.EOF after the last, or what ended the run. It
// gives up when ctx is done, which does not end the run.
func (r *Run) Next(ctx context.Context) (Token, error) {
	for {
		r.mu.Lock()
		if len(r.box) > 0 {
			t := r.box[0]
			r.box[0] = Token{}
			r.box = r.box[1:]
			r.mu.Unlock()
			return t, nil
		}
		done, err := r.done, r.err
		r.mu.Unlock()
		if done {
			if err == nil {
				err = io.EOF
			}
			return Token{}, err
		}
		select {
		case <-r.wake:
		case <-ctx.Done():
			return Token{}, cancelled(ctx)
		}
	}
}

// Wait returns all tokens when the run has ended.
func (r *Run) Wait(ctx context.Context) ([]Token, error) {
	r.mu.Lock()
	r.whole = true
	r.mu.Unlock()
	var all []Token
	for {
		r.mu.Lock()
		if r.done {
			all, r.box = append(all, r.box...), nil
			err := r.err
			r.mu.Unlock()
			return all, err
		}
		r.mu.Unlock()
		select {
		case <-r.wake:
		case <-ctx.Done():
			return nil, cancelled(ctx)
		}
	}
}

// Stats are the times of a run that has ended.
func (r *Run) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stats
}

// began notes that the run has left the queue.
func (r *Run) began() {
	r.mu.Lock()
	r.stats.Queued = time.Since(r.start)
	r.mu.Unlock()
}

// put delivers tokens.
func (r *Run) put(tokens ...Token) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stats.FirstToken == 0 && len(tokens) > 0 {
		r.stats.FirstToken = time.Since(r.start)
	}
	r.box = append(r.box, tokens...)
	if !r.whole {
		r.signal()
	}
}

// finish ends the run.
func (r *Run) finish(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.done {
		r.done, r.err = true, err
		r.stats.Total = time.Since(r.start)
	}
	r.signal()
}

func (r *Run) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// cancelled is the error of a context that is done: it wraps both its error and
// its cause.
func cancelled(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if cause == nil || cause == err { //nolint:errorlint // a cause that wraps err says more: only the same one is left out
		return fmt.Errorf("engine: cancelled: %w", err)
	}
	return fmt.Errorf("engine: cancelled: %w: %w", err, cause)
}
