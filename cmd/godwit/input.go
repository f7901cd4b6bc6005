package main

// Input: arguments, a file, or standard input; whole for generate, one text a
// line for the others.

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
	"time"
)

const (
	// longest bounds one input, so that a stream without line ends is an error
	// and not all of memory.
	longest = 64 << 20
	// A batch is this many inputs, or this much text, or what has come when
	// nothing more does for a moment: a slow writer gets its answers at once.
	batchInputs = 32
	batchBytes  = 64 << 10
	batchWait   = 50 * time.Millisecond
)

// source is where input comes from: standard input, or the file of -f.
func source(s *streams, file string) (io.ReadCloser, error) {
	if file == "" || file == "-" {
		return io.NopCloser(s.stdin), nil
	}
	return os.Open(file)
}

// hint tells who sits at a terminal that godwit waits for text.
func (s *streams) hint(file, what string, quiet bool) {
	if !quiet && s.watched && (file == "" || file == "-") && isTerminal(s.stdin) {
		fmt.Fprintf(s.notes, "reading %s from the terminal; Ctrl-D ends it\n", what)
	}
}

// readPrompt reads a whole text, less one line end at its end, as editors and
// echo leave one there.
func readPrompt(ctx context.Context, r io.Reader) (string, error) {
	type outcome struct {
		text []byte
		err  error
	}
	read := make(chan outcome, 1)
	go func() { // a terminal may never answer
		text, err := io.ReadAll(io.LimitReader(r, longest+1))
		read <- outcome{text, err}
	}()
	select {
	case <-ctx.Done():
		return "", context.Cause(ctx)
	case got := <-read:
		if got.err != nil {
			return "", fmt.Errorf("cannot read the prompt: %w", got.err)
		}
		if len(got.text) > longest {
			return "", fmt.Errorf("the prompt is longer than %s", size(longest))
		}
		text := bytes.TrimSuffix(got.text, []byte("\n"))
		return string(bytes.TrimSuffix(text, []byte("\r"))), nil
	}
}

// oneText is the one text of a command: its arguments, or standard input.
func oneText(ctx context.Context, s *streams, args []string, quiet bool) (string, error) {
	if len(args) > 0 {
		return strings.Join(args, " "), nil
	}
	s.hint("", "the text", quiet)
	return readPrompt(ctx, s.stdin)
}

// linesFlags say where the texts of an encoder come from.
type linesFlags struct {
	Text []string `arg:"" optional:"" help:"Texts, an argument each; else -f, else standard input."`
	File string   `group:"input" short:"f" placeholder:"FILE" help:"Texts of a file, a line each; - is standard input."`
	NUL  bool     `group:"input" name:"null" short:"0" help:"Texts end in NUL, not in a line end."`
}

// batch is some inputs in a row.
type batch struct {
	first int // index of texts[0] among all inputs
	texts []string
}

// batches yields all inputs in order. It ends with an error, or at the end.
func (f *linesFlags) batches(ctx context.Context, s *streams, quiet bool) iter.Seq2[batch, error] {
	return func(yield func(batch, error) bool) {
		if len(f.Text) > 0 {
			if f.File != "" || f.NUL {
				yield(batch{}, &usageError{"texts are arguments, or come with -f or -0 from elsewhere: not both"})
				return
			}
			for first := 0; first < len(f.Text); first += batchInputs {
				if !yield(batch{first, f.Text[first:min(first+batchInputs, len(f.Text))]}, nil) {
					return
				}
			}
			return
		}
		r, err := source(s, f.File)
		if err != nil {
			yield(batch{}, err)
			return
		}
		defer r.Close()
		s.hint(f.File, "a text a line", quiet)
		stop := make(chan struct{})
		defer close(stop)
		texts, failed := split(r, f.NUL, stop)
		collect(ctx, texts, failed, yield)
	}
}

// split reads texts on a goroutine, as a read cannot be cancelled. Closing stop
// ends it, at the latest when its read returns. The error comes when texts is closed.
func split(r io.Reader, nul bool, stop <-chan struct{}) (texts <-chan string, failed <-chan error) {
	out, bad := make(chan string, batchInputs), make(chan error, 1)
	go func() {
		defer close(out)
		lines := bufio.NewScanner(r)
		lines.Buffer(make([]byte, 0, 64<<10), longest)
		if nul {
			lines.Split(splitNUL)
		}
		n := 0
		for lines.Scan() {
			select {
			case out <- lines.Text():
				n++
			case <-stop:
				return
			}
		}
		switch err := lines.Err(); {
		case errors.Is(err, bufio.ErrTooLong):
			bad <- fmt.Errorf("input %d is longer than %s", n, size(longest))
		case err != nil:
			bad <- fmt.Errorf("cannot read input %d: %w", n, err)
		}
	}()
	return out, bad
}

// splitNUL cuts at NUL, as bufio.ScanLines does at line ends.
func splitNUL(data []byte, atEOF bool) (advance int, token []byte, err error) {
	if i := bytes.IndexByte(data, 0); i >= 0 {
		return i + 1, data[:i], nil
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}

// collect makes batches of texts until they end.
func collect(ctx context.Context, texts <-chan string, failed <-chan error, yield func(batch, error) bool) {
	pause := time.NewTimer(batchWait)
	defer pause.Stop()
	var next batch
	for {
		var late <-chan time.Time
		if len(next.texts) > 0 {
			pause.Reset(batchWait)
			late = pause.C
		}
		ended, full := false, false
		select {
		case <-ctx.Done():
			yield(batch{}, context.Cause(ctx))
			return
		case text, ok := <-texts:
			if ended = !ok; ok {
				next.texts = append(next.texts, text)
				full = len(next.texts) == batchInputs || total(next.texts) >= batchBytes
			}
		case <-late:
			full = true
		}
		if (full || ended) && len(next.texts) > 0 {
			if !yield(next, nil) {
				return
			}
			next = batch{first: next.first + len(next.texts)}
		}
		if ended {
			select {
			case err := <-failed:
				yield(batch{}, err)
			default:
			}
			return
		}
	}
}

func total(texts []string) int {
	n := 0
	for _, t := range texts {
		n += len(t)
	}
	return n
}

// pairs cuts texts at the first tab, for models that read two segments.
func (b batch) pairs() (texts, seconds []string, err error) {
	for i, t := range b.texts {
		first, second, found := strings.Cut(t, "\t")
		if !found {
			return nil, nil, &usageError{fmt.Sprintf("input %d has no tab: --pairs wants two texts with a tab between them", b.first+i)}
		}
		texts, seconds = append(texts, first), append(seconds, second)
	}
	return texts, seconds, nil
}
