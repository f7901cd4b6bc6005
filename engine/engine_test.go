package engine

// The loop on a real checkpoint: turns, waiting, ends, and what is left behind.

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/godwit-ml/godwit/cpu"
	"github.com/godwit-ml/godwit/model"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/weights"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// faulty is a device whose operations fail while broken is set.
type faulty struct {
	runtime.Device
	broken bool
}

var errBroken = errors.New("broken")

func (f *faulty) Run(op runtime.Op) error {
	if f.broken {
		return errBroken
	}
	return f.Device.Run(op)
}

func newEngine(t *testing.T, name string, cfg Config) (*Engine, *faulty) {
	t.Helper()
	return newEngineOn(t, name, cpu.NewReference(cpu.Config{}), cfg)
}

// newEngineOn is newEngine on a device, which it closes.
func newEngineOn(t *testing.T, name string, device runtime.Device, cfg Config) (*Engine, *faulty) {
	t.Helper()
	dir := "../model/testdata/checkpoints/" + name
	ck, err := weights.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile(dir + "/config.json")
	if err != nil {
		t.Fatal(err)
	}
	dev := &faulty{Device: device}
	s := runtime.NewStream(dev, nil)
	m, err := model.Load(s, ck, model.Source{File: "config.json", Config: config}, model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Blocks == 0 {
		cfg.Blocks = 64
	}
	e, err := New(s, m, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		e.Close()
		if e.pool != nil && (e.pool.Free() != cfg.Blocks || e.reserved != 0) {
			t.Errorf("%d of %d blocks are free and %d reserved after all runs", e.pool.Free(), cfg.Blocks, e.reserved)
		}
		if err := dev.Close(); err != nil {
			t.Error(err)
		}
		if err := ck.Close(); err != nil {
			t.Error(err)
		}
	})
	return e, dev
}

func greedy(n int, prompts ...[]int32) Request {
	return Request{Prompts: prompts, MaxTokens: n, Sampling: Greedy(), Logprobs: -1}
}

func submit(t *testing.T, e *Engine, r Request) *Run {
	t.Helper()
	run, err := e.Submit(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// answers are the ids of a run, a sequence each.
func answers(t *testing.T, run *Run) [][]int32 {
	t.Helper()
	tokens, err := run.Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out [][]int32
	for i, k := range tokens {
		for len(out) <= k.Seq {
			out = append(out, nil)
		}
		out[k.Seq] = append(out[k.Seq], k.ID)
		if k.Last != (i == len(tokens)-1) {
			t.Fatalf("token %d of %d: Last %v", i, len(tokens), k.Last)
		}
	}
	return out
}

var prompts = [][]int32{{5, 9, 200}, {17, 3, 301, 44, 44, 9, 12, 80, 33}, {7}}

// TestBatchEqualsAlone: unequal prompts in one batch, read in chunks, give what
// each gives alone.
func TestBatchEqualsAlone(t *testing.T) {
	e, _ := newEngine(t, "llama", Config{})
	chunked, _ := newEngine(t, "llama", Config{TokenBudget: 2, BlockSize: 4})
	got := answers(t, submit(t, e, greedy(20, prompts...)))
	inChunks := answers(t, submit(t, chunked, greedy(20, prompts...)))
	for i, p := range prompts {
		alone := answers(t, submit(t, e, greedy(20, p)))[0]
		if !slices.Equal(got[i], alone) || !slices.Equal(inChunks[i], alone) {
			t.Errorf("prompt %d: batch %v, chunks %v, alone %v", i, got[i], inChunks[i], alone)
		}
	}
}

func TestEnds(t *testing.T) {
	e, _ := newEngine(t, "gpt2", Config{})
	free := answers(t, submit(t, e, greedy(30, prompts[1])))[0]
	first := func(ids ...int32) int {
		return slices.IndexFunc(free, func(id int32) bool { return slices.Contains(ids, id) })
	}
	late := free[slices.IndexFunc(free, func(id int32) bool { return id != free[0] })]
	r := greedy(30, prompts[1])
	r.EOS = []int32{late, 511}
	tokens, err := submit(t, e, r).Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n := len(tokens); n != first(late)+1 || tokens[n-1].Finish != Stopped || tokens[n-1].ID != late {
		t.Errorf("one of two end tokens: %d tokens of %v, want %d", n, free, first(late)+1)
	}
	r.EOS = []int32{511, late}
	if got := answers(t, submit(t, e, r))[0]; len(got) != first(late)+1 {
		t.Errorf("the second of two end tokens: %v", got)
	}
	r.MinTokens = first(late) + 3
	got := answers(t, submit(t, e, r))[0]
	if len(got) < r.MinTokens || slices.Contains(got[:r.MinTokens-1], late) {
		t.Errorf("an end before MinTokens %d: %v", r.MinTokens, got)
	}
	tokens, err = submit(t, e, greedy(3, prompts[1])).Wait(t.Context())
	if err != nil || len(tokens) != 3 || tokens[2].Finish != Length || tokens[1].Finish != Running {
		t.Errorf("%+v %v", tokens, err)
	}
}

// TestTurns: of two runs that begin together the short one ends before the long
// one, which was first in the queue.
func TestTurns(t *testing.T) {
	e, _ := newEngine(t, "llama", Config{})
	entered, gate := make(chan struct{}), make(chan struct{})
	held := make(chan error, 1)
	go func() {
		held <- e.Do(t.Context(), func(*runtime.Stream) error {
			close(entered)
			<-gate
			return nil
		})
	}()
	<-entered
	long, short := submit(t, e, greedy(120, prompts[0])), submit(t, e, greedy(2, prompts[2]))
	close(gate)
	if err := <-held; err != nil {
		t.Fatal(err)
	}
	answers(t, long)
	answers(t, short)
	if l, s := long.start.Add(long.Stats().Total), short.start.Add(short.Stats().Total); !s.Before(l) {
		t.Errorf("the short run ended at %v, the long one at %v", s, l)
	}
}

func delivered(r *Run) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.box)
}

// TestWaitsForBlocks: a run that does not fit beside others waits, in order, and
// passes of Do do not wait with it.
func TestWaitsForBlocks(t *testing.T) {
	e, _ := newEngine(t, "llama", Config{Blocks: 8})
	want := answers(t, submit(t, e, greedy(100, prompts[0])))[0]
	runs := []*Run{submit(t, e, greedy(100, prompts[0])), submit(t, e, greedy(100, prompts[0])), submit(t, e, greedy(1, prompts[2]))}
	ctx, cancel := context.WithCancel(t.Context())
	waiting, err := e.Submit(ctx, greedy(100, prompts[0]))
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	ran := false
	if err := e.Do(t.Context(), func(*runtime.Stream) error { ran = true; return nil }); err != nil || !ran {
		t.Errorf("Do: %v", err)
	}
	for i, r := range runs[:2] {
		if got := answers(t, r)[0]; !slices.Equal(got, want) {
			t.Errorf("run %d: %v, want %v", i, got, want)
		}
	}
	answers(t, runs[2])
	if _, err := waiting.Wait(t.Context()); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled while waiting: %v", err)
	}
}

func TestTooLargeForTheCache(t *testing.T) {
	e, _ := newEngine(t, "llama", Config{Blocks: 4})
	var p *ParamError
	if _, err := e.Submit(t.Context(), greedy(100, prompts[0])); !errors.As(err, &p) {
		t.Errorf("a request over the whole cache: %v", err)
	}
}

func TestCloseEndsRuns(t *testing.T) {
	e, _ := newEngine(t, "llama", Config{Blocks: 8})
	a, b := submit(t, e, greedy(110, prompts[0])), submit(t, e, greedy(110, prompts[0]))
	e.Close()
	for _, r := range []*Run{a, b} {
		if _, err := r.Wait(t.Context()); !errors.Is(err, ErrClosed) && err != nil {
			t.Errorf("after Close: %v", err)
		}
	}
	if _, err := b.Wait(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("a run that was waiting: %v", err)
	}
	if _, err := e.Submit(t.Context(), greedy(1, prompts[0])); !errors.Is(err, ErrClosed) {
		t.Errorf("Submit: %v", err)
	}
	if err := e.Do(t.Context(), func(*runtime.Stream) error { return nil }); !errors.Is(err, ErrClosed) {
		t.Errorf("Do: %v", err)
	}
}

// TestReaderThatNeverReads: the engine does not wait for it.
func TestReaderThatNeverReads(t *testing.T) {
	e, _ := newEngine(t, "llama", Config{})
	idle := submit(t, e, greedy(60, prompts[0]))
	answers(t, submit(t, e, greedy(60, prompts[1])))
	deadline := time.Now().Add(5 * time.Second)
	for delivered(idle) < 60 && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	if n := delivered(idle); n != 60 {
		t.Errorf("%d tokens wait for the reader", n)
	}
}

func TestNextStreams(t *testing.T) {
	e, _ := newEngine(t, "gpt2", Config{})
	run := submit(t, e, greedy(10, prompts[0]))
	var ids []int32
	for {
		k, err := run.Next(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, k.ID)
	}
	if want := answers(t, submit(t, e, greedy(10, prompts[0])))[0]; !slices.Equal(ids, want) {
		t.Errorf("%v, want %v", ids, want)
	}
	st := run.Stats()
	if st.FirstToken <= 0 || st.Total < st.FirstToken {
		t.Errorf("%+v", st)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errBroken)
	if _, err := run.Next(t.Context()); !errors.Is(err, io.EOF) {
		t.Errorf("after the end: %v", err)
	}
	other := submit(t, e, greedy(100, prompts[0]))
	for range 101 {
		if _, err := other.Next(ctx); err != nil {
			if !errors.Is(err, context.Canceled) || !errors.Is(err, errBroken) {
				t.Errorf("a reader that gave up: %v", err)
			}
			break
		}
	}
	if _, err := other.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestDeviceError: a fault ends the runs of that step, not the engine.
func TestDeviceError(t *testing.T) {
	e, dev := newEngine(t, "gpt2", Config{})
	want := answers(t, submit(t, e, greedy(5, prompts[0])))[0]
	set := func(broken bool) {
		if err := e.Do(t.Context(), func(*runtime.Stream) error { dev.broken = broken; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	set(true)
	if _, err := submit(t, e, greedy(5, prompts[0])).Wait(t.Context()); !errors.Is(err, errBroken) {
		t.Errorf("a broken device: %v", err)
	}
	set(false)
	if got := answers(t, submit(t, e, greedy(5, prompts[0])))[0]; !slices.Equal(got, want) {
		t.Errorf("after the fault: %v, want %v", got, want)
	}
}

func TestBeamsShareBlocks(t *testing.T) {
	e, _ := newEngine(t, "gpt2", Config{BlockSize: 2})
	plain, _ := newEngine(t, "gpt2", Config{BlockSize: 16})
	r := greedy(12, prompts[1])
	r.Beams = &BeamConfig{Width: 4, Return: 4, MaxTokens: 12, LengthPenalty: 1, RepetitionPenalty: 1}
	a, b := answers(t, submit(t, e, r)), answers(t, submit(t, plain, r))
	if len(a) != 4 || len(b) != 4 {
		t.Fatalf("%d and %d answers", len(a), len(b))
	}
	for i := range a {
		if !slices.Equal(a[i], b[i]) {
			t.Errorf("beam %d: %v with small blocks, %v with large", i, a[i], b[i])
		}
	}
	r.Beams = &BeamConfig{Width: 1, Return: 1, MaxTokens: 12, LengthPenalty: 1, RepetitionPenalty: 1}
	if one, want := answers(t, submit(t, e, r))[0], answers(t, submit(t, e, greedy(12, prompts[1])))[0]; !slices.Equal(one, want) {
		t.Errorf("one beam %v, greedy %v", one, want)
	}
}

// TestReadsThePromptOnly: MaxTokens 0 with a capture, in chunks.
func TestReadsThePromptOnly(t *testing.T) {
	whole, _ := newEngine(t, "gpt2", Config{})
	chunks, _ := newEngine(t, "gpt2", Config{TokenBudget: 4})
	r := greedy(0, prompts[1])
	r.Capture = &Capture{Layers: []int{0, 2}, Heads: []int{1, 3}, Prompt: true, Hidden: true}
	var rows [2]*Rows
	for i, e := range []*Engine{whole, chunks} {
		run := submit(t, e, r)
		if tokens, err := run.Wait(t.Context()); err != nil || len(tokens) != 0 {
			t.Fatalf("%v %v", tokens, err)
		}
		rows[i] = run.Prompt
	}
	near := func(a, b float32) bool { d := a - b; return d < 1e-4 && d > -1e-4 }
	if !slices.EqualFunc(rows[0].Weights, rows[1].Weights, near) {
		t.Error("the attention of a prompt depends on its chunks")
	}
	n := len(prompts[1])
	if len(rows[0].Weights) != 2*2*n*n || len(rows[0].Hidden) != 4 || len(rows[1].Hidden[2]) != n {
		t.Errorf("%d weights, %d layers of %d", len(rows[0].Weights), len(rows[1].Hidden), len(rows[1].Hidden[2]))
	}
	for l := range rows[0].Hidden {
		for q := range n {
			if !slices.EqualFunc(rows[0].Hidden[l][q], rows[1].Hidden[l][q], near) {
				t.Fatalf("hidden %d of token %d depends on chunks", l, q)
			}
		}
	}
}

func TestCheck(t *testing.T) {
	e, _ := newEngine(t, "gpt2", Config{})
	enc, _ := newEngine(t, "bert-base", Config{})
	change := func(f func(r *Request)) Request {
		r := greedy(4, prompts[0])
		f(&r)
		return r
	}
	for name, r := range map[string]Request{
		"no prompt":              change(func(r *Request) { r.Prompts = nil }),
		"empty prompt":           change(func(r *Request) { r.Prompts = [][]int32{{}} }),
		"id":                     change(func(r *Request) { r.Prompts = [][]int32{{512}} }),
		"negative":               change(func(r *Request) { r.MaxTokens = -1 }),
		"min over max":           change(func(r *Request) { r.MinTokens = 5 }),
		"context":                change(func(r *Request) { r.MaxTokens = 126 }),
		"sampling":               change(func(r *Request) { r.Sampling.TopP = 0 }),
		"beams":                  change(func(r *Request) { r.Beams = &BeamConfig{} }),
		"beams of two":           change(func(r *Request) { r.Prompts, r.Beams = prompts[:2], &BeamConfig{} }),
		"stop without tokenizer": change(func(r *Request) { r.Stop = &StopSet{} }),
	} {
		var p *ParamError
		if _, err := e.Submit(t.Context(), r); !errors.As(err, &p) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var p *ParamError
	if _, err := enc.Submit(t.Context(), greedy(4, prompts[0])); !errors.As(err, &p) {
		t.Errorf("an encoder: %v", err)
	}
}
