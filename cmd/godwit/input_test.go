package main

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

func texts(t *testing.T, f linesFlags, stdin io.Reader) (all []string, sizes []int, err error) {
	t.Helper()
	s := &streams{stdin: stdin}
	for b, e := range f.batches(t.Context(), s, true) {
		if e != nil {
			return all, sizes, e
		}
		if b.first != len(all) {
			t.Errorf("a batch is said to begin at %d, after %d inputs", b.first, len(all))
		}
		all = append(all, b.texts...)
		sizes = append(sizes, len(b.texts))
	}
	return all, sizes, nil
}

func TestLines(t *testing.T) {
	for _, row := range []struct {
		stdin string
		nul   bool
		want  []string
	}{
		{"", false, nil},
		{"", true, nil},
		{"\n", false, []string{""}},
		{"a", false, []string{"a"}},
		{"a\n\nb\n", false, []string{"a", "", "b"}},
		{"a\r\nb\r\n", false, []string{"a", "b"}},
		{"a\x00b\n", false, []string{"a\x00b"}},
		{"a\nb\x00\x00c", true, []string{"a\nb", "", "c"}},
		{"a\r\n\x00", true, []string{"a\r\n"}},
		{"\x00", true, []string{""}},
	} {
		for _, r := range []io.Reader{strings.NewReader(row.stdin), &slow{text: row.stdin}} {
			if got, _, err := texts(t, linesFlags{NUL: row.nul}, r); !slices.Equal(got, row.want) || err != nil {
				t.Errorf("%q, NUL %v: got %q, %v; want %q", row.stdin, row.nul, got, err, row.want)
			}
		}
	}
}

// slow gives a byte a read.
type slow struct{ text string }

func (s *slow) Read(p []byte) (int, error) {
	if s.text == "" {
		return 0, io.EOF
	}
	p[0] = s.text[0]
	s.text = s.text[1:]
	return 1, nil
}

func TestBatches(t *testing.T) {
	many := make([]string, 3*batchInputs+5)
	for i := range many {
		many[i] = strings.Repeat("x", i)
	}
	got, sizes, err := texts(t, linesFlags{}, strings.NewReader(strings.Join(many, "\n")))
	if !slices.Equal(got, many) || err != nil || slices.Max(sizes) != batchInputs {
		t.Errorf("%d of %d lines in batches of %v, %v", len(got), len(many), sizes, err)
	}
	if got, sizes, err = texts(t, linesFlags{Text: many}, nil); !slices.Equal(got, many) || err != nil || !slices.Equal(sizes, []int{batchInputs, batchInputs, batchInputs, 5}) {
		t.Errorf("%d of %d arguments in batches of %v, %v", len(got), len(many), sizes, err)
	}
	// Long texts do not wait for others.
	long := strings.Repeat("x", batchBytes)
	if _, sizes, err = texts(t, linesFlags{}, strings.NewReader(strings.Repeat(long+"\n", 3))); !slices.Equal(sizes, []int{1, 1, 1}) || err != nil {
		t.Errorf("long lines in batches of %v, %v", sizes, err)
	}
}

func TestReadErrors(t *testing.T) {
	broken := io.MultiReader(strings.NewReader("a\nb\nc"), &failingReader{})
	got, _, err := texts(t, linesFlags{}, broken)
	if !slices.Equal(got, []string{"a", "b", "c"}) || !errors.Is(err, errRead) || !strings.Contains(err.Error(), "input 3") {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := readPrompt(t.Context(), &failingReader{}); !errors.Is(err, errRead) {
		t.Errorf("prompt: %v", err)
	}
	got, _, err = texts(t, linesFlags{}, io.MultiReader(strings.NewReader("a\n"), &endlessReader{}))
	if !slices.Equal(got, []string{"a"}) || err == nil || !strings.Contains(err.Error(), "input 1 is longer than 64 MiB") {
		t.Errorf("a line without end: %d inputs, %v", len(got), err)
	}
	if _, err := readPrompt(t.Context(), &endlessReader{}); err == nil || !strings.Contains(err.Error(), "longer than 64 MiB") {
		t.Errorf("a prompt without end: %v", err)
	}
	if _, _, err := texts(t, linesFlags{File: "no such file"}, nil); err == nil {
		t.Error("no such file: no error")
	}
}

var errRead = errors.New("the disk is gone")

type failingReader struct{}

func (*failingReader) Read([]byte) (int, error) { return 0, errRead }

type endlessReader struct{}

func (*endlessReader) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// TestSlowWriter holds that a line is answered before the next one comes.
func TestSlowWriter(t *testing.T) {
	r, w := io.Pipe()
	defer r.Close()
	asked := make(chan string)
	go func() {
		for range 3 {
			if _, err := io.WriteString(w, "text\n"); err != nil {
				return
			}
			<-asked
		}
		w.Close()
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	s := &streams{stdin: r}
	n := 0
	for b, err := range (&linesFlags{}).batches(ctx, s, true) {
		if err != nil || len(b.texts) != 1 {
			t.Fatalf("got %q, %v", b.texts, err)
		}
		n++
		select {
		case asked <- "":
		case <-time.After(5 * time.Second):
			t.Fatal("the writer does not wait")
		}
	}
	if n != 3 {
		t.Errorf("%d batches", n)
	}
}

func TestBatchesCancelled(t *testing.T) {
	r, w := io.Pipe()
	defer w.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(20*time.Millisecond, func() { cancel(errInterrupted) })
	for b, err := range (&linesFlags{}).batches(ctx, &streams{stdin: r}, true) {
		if !errors.Is(err, errInterrupted) {
			t.Errorf("got %v, %v", b, err)
		}
	}
	if _, err := readPrompt(ctx, r); !errors.Is(err, errInterrupted) {
		t.Errorf("prompt: %v", err)
	}
}

func TestReadPrompt(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "a": "a", "a\n": "a", "a\n\n": "a\n", "a\r\n": "a", "\n": "", " a \n": " a ", "a\r": "a",
	} {
		if got, err := readPrompt(t.Context(), strings.NewReader(text)); got != want || err != nil {
			t.Errorf("%q: got %q, %v; want %q", text, got, err, want)
		}
	}
}

func TestPairs(t *testing.T) {
	a, b, err := batch{first: 5, texts: []string{"a\tb", "\t", "c\td\te"}}.pairs()
	if err != nil || !slices.Equal(a, []string{"a", "", "c"}) || !slices.Equal(b, []string{"b", "", "d\te"}) {
		t.Errorf("got %q, %q, %v", a, b, err)
	}
	if _, _, err := (batch{first: 5, texts: []string{"a\tb", "c"}}).pairs(); err == nil || !strings.Contains(err.Error(), "input 6") {
		t.Errorf("no tab: %v", err)
	}
}
