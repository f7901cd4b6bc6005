package godwit_test

// The promises of the package: traps of concurrency, typed errors, bad input.

import (
	"context"
	"errors"
	"maps"
	"math"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/godwit-ml/godwit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const checkpoints = "model/testdata/checkpoints/"

func open(t testing.TB, name string, cfg godwit.Config) *godwit.Model {
	t.Helper()
	m, err := godwit.Open(t.Context(), checkpoints+name, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// request is an answer that no end token cuts short.
func request(n int) godwit.Request {
	return godwit.Request{Prompt: "The transformer attends to every token.", MaxTokens: n, IgnoreEOS: true}
}

func complete(t testing.TB, m *godwit.Model, r godwit.Request) *godwit.Result {
	t.Helper()
	res, err := m.Complete(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func TestStreamIsTheResult(t *testing.T) {
	m := open(t, "gpt2", godwit.Config{})
	want := complete(t, m, request(24))
	var text strings.Builder
	var ids []int32
	var last *godwit.Result
	for tok, err := range m.Generate(t.Context(), request(24)) {
		if err != nil {
			t.Fatal(err)
		}
		if last != nil {
			t.Fatal("a token after the result")
		}
		text.WriteString(tok.Text)
		ids = append(ids, tok.ID)
		if (tok.Finish != "") != (tok.Result != nil) {
			t.Fatalf("finish %q without result, or the other way", tok.Finish)
		}
		last = tok.Result
	}
	if last == nil || last.Text != text.String() || !slices.Equal(last.IDs, ids) || len(last.Choices) != 1 {
		t.Fatalf("result %+v of tokens %q %v", last, text.String(), ids)
	}
	if want.Text != last.Text || !slices.Equal(want.IDs, ids) {
		t.Errorf("Complete %q, Generate %q", want.Text, last.Text)
	}
	if u := last.Usage; u.OutputTokens != 24 || u.PromptTokens != 21 || u.FirstToken <= 0 || u.Total < u.FirstToken {
		t.Errorf("usage %+v", u)
	}
	if last.Finish != godwit.FinishLength {
		t.Errorf("finish %q", last.Finish)
	}
}

func TestCallInsideTheLoop(t *testing.T) { // trap 1
	m := open(t, "gpt2", godwit.Config{})
	want := complete(t, m, request(5)).IDs
	n := 0
	for _, err := range m.Generate(t.Context(), request(90)) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n%30 == 1 {
			if got := complete(t, m, request(5)).IDs; !slices.Equal(got, want) {
				t.Fatalf("inside: %v, alone %v", got, want)
			}
		}
	}
	if n != 90 {
		t.Errorf("%d tokens", n)
	}
}

func TestCloseInsideTheLoop(t *testing.T) { // trap 2
	m := open(t, "gpt2", godwit.Config{})
	n, last := 0, error(nil)
	for _, err := range m.Generate(t.Context(), request(3)) {
		if last = err; err != nil {
			break
		}
		n++
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if !errors.Is(last, godwit.ErrClosed) || n != 1 {
		t.Fatalf("%d tokens, then %v", n, last)
	}
	for name, call := range map[string]func() error{
		"Complete":   func() error { _, err := m.Complete(t.Context(), request(3)); return err },
		"Attend":     func() error { _, err := m.Attend(t.Context(), godwit.AttendRequest{Text: "a"}); return err },
		"Tokenize":   func() error { _, err := m.Tokenize("a", false); return err },
		"Detokenize": func() error { _, err := m.Detokenize([]int32{1}, false); return err },
		"Embed":      func() error { _, err := m.Embed(t.Context(), godwit.EmbedRequest{}); return err },
		"Render":     func() error { _, _, err := m.Render(request(1)); return err },
		"Close":      func() error { return errors.Join(m.Close(), godwit.ErrClosed) },
	} {
		if err := call(); !errors.Is(err, godwit.ErrClosed) {
			t.Errorf("%s on a closed model: %v", name, err)
		}
	}
}

// TestLeavingTheLoop is trap 3: however the body ends, the sequence ends within a
// step and its room is free again.
func TestLeavingTheLoop(t *testing.T) {
	m := open(t, "llama", godwit.Config{})
	body := func(leave func()) {
		for _, err := range m.Generate(t.Context(), godwit.Request{Prompt: "a", MaxTokens: 120, IgnoreEOS: true}) {
			if err != nil {
				t.Error(err)
			}
			leave()
		}
	}
	for name, leave := range map[string]func(){
		"break": func() {
			for _, err := range m.Generate(t.Context(), godwit.Request{Prompt: "a", MaxTokens: 120, IgnoreEOS: true}) {
				if err != nil {
					t.Error(err)
				}
				break
			}
		},
		"panic": func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			body(func() { panic("in the body") })
		},
		"Goexit": func() {
			done := make(chan struct{})
			go func() {
				defer close(done)
				body(goruntime.Goexit)
			}()
			<-done
		},
	} {
		t.Run(name, func(t *testing.T) {
			leave()
			deadline := time.Now().Add(5 * time.Second)
			for running, waiting := godwit.Counts(m); running+waiting > 0; running, waiting = godwit.Counts(m) {
				if time.Now().After(deadline) {
					t.Fatalf("%d calls run and %d wait", running, waiting)
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
}

func TestRangingTwiceIsTwoCalls(t *testing.T) { // trap 4
	m := open(t, "gpt2", godwit.Config{})
	seq := m.Generate(t.Context(), request(6))
	var runs [2][]int32
	for i := range runs {
		for tok, err := range seq {
			if err != nil {
				t.Fatal(err)
			}
			runs[i] = append(runs[i], tok.ID)
		}
	}
	if len(runs[0]) != 6 || !slices.Equal(runs[0], runs[1]) {
		t.Errorf("%v and %v", runs[0], runs[1])
	}
}

func TestNothingRunsBeforeRange(t *testing.T) {
	m := open(t, "gpt2", godwit.Config{})
	seq := m.Generate(t.Context(), request(6))
	if running, waiting := godwit.Counts(m); running+waiting != 0 {
		t.Error("a call that nobody ranged over has begun")
	}
	_ = seq
}

// TestSeed is trap 6: the same seed gives the same tokens whatever runs beside.
func TestSeed(t *testing.T) {
	m := open(t, "gpt2", godwit.Config{})
	r := request(20)
	r.Sampling = godwit.Sampling{Temperature: new(1.0), Seed: 7}
	want := complete(t, m, r)
	if want.Seed != 7 {
		t.Errorf("seed %d", want.Seed)
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			mine := r
			if i%2 == 1 {
				mine.Sampling.Seed = uint64(100 + i)
			}
			res, err := m.Complete(t.Context(), mine)
			if err != nil {
				t.Error(err)
			} else if same := slices.Equal(res.IDs, want.IDs); same != (i%2 == 0) {
				t.Errorf("seed %d: %v, seed 7 alone: %v", mine.Sampling.Seed, res.IDs, want.IDs)
			}
		})
	}
	wg.Wait()
	r.Sampling.Seed = 0
	a, b := complete(t, m, r), complete(t, m, r)
	if a.Seed == 0 || a.Seed == b.Seed {
		t.Errorf("new seeds %d and %d", a.Seed, b.Seed)
	}
	r.Sampling.Seed = a.Seed
	if again := complete(t, m, r); !slices.Equal(again.IDs, a.IDs) {
		t.Error("the seed that was told gives other tokens")
	}
}

// TestSharedRequest is trap 8, for the race detector.
func TestSharedRequest(t *testing.T) {
	m := open(t, "gpt2", godwit.Config{})
	r := request(6)
	r.Stop = []string{"zzz"}
	r.StopTokens = []int32{5}
	r.Sampling = godwit.Sampling{Temperature: new(0.7), LogitBias: map[int32]float64{3: 1}, Seed: 3}
	bias := maps.Clone(r.Sampling.LogitBias)
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			if _, err := m.Complete(t.Context(), r); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if !maps.Equal(bias, r.Sampling.LogitBias) || r.Stop[0] != "zzz" || r.StopTokens[0] != 5 {
		t.Error("the request was changed")
	}
}

// TestCancelHalfWay checks the error and that nothing is left behind; goleak
// watches the goroutines.
func TestCancelHalfWay(t *testing.T) {
	m := open(t, "llama", godwit.Config{})
	boom := errors.New("boom")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	n, last := 0, error(nil)
	for _, err := range m.Generate(ctx, godwit.Request{Prompt: "a", MaxTokens: 100, IgnoreEOS: true}) {
		last = err
		if n++; n == 4 {
			cancel(boom)
		}
	}
	if n != 5 || !errors.Is(last, context.Canceled) || !errors.Is(last, boom) {
		t.Errorf("%d steps, then %v", n, last)
	}
	if _, err := m.Complete(ctx, request(3)); !errors.Is(err, context.Canceled) || !errors.Is(err, boom) {
		t.Errorf("a call with a cancelled context: %v", err)
	}
	ctx2, cancel2 := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel2()
	if _, err := m.Attend(ctx2, godwit.AttendRequest{Text: "a b c"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a deadline: %v", err)
	}
}

func TestStops(t *testing.T) {
	m := open(t, "gpt2", godwit.Config{})
	free := complete(t, m, request(24))
	r := request(24)
	r.Stop = []string{"never", " selfly"}
	if res := complete(t, m, r); res.Text != free.Text || res.Stop != "" {
		t.Errorf("stop texts that do not come: text %q, stop %q, want %q", res.Text, res.Stop, free.Text)
	}
	i := strings.Index(free.Text, "self")
	if i < 0 {
		t.Fatalf("the checkpoint changed: %q", free.Text)
	}
	r.Stop = []string{"never", "self"}
	res := complete(t, m, r)
	if res.Text != free.Text[:i] || res.Stop != "self" || res.Finish != godwit.FinishStop {
		t.Errorf("text %q, stop %q, finish %q", res.Text, res.Stop, res.Finish)
	}
	r = request(24)
	r.StopTokens = []int32{free.IDs[2]}
	res = complete(t, m, r)
	if len(res.IDs) != 3 || res.Finish != godwit.FinishStop {
		t.Errorf("stop token: %v %q", res.IDs, res.Finish)
	}
	r.MinTokens = 8
	res = complete(t, m, r)
	if len(res.IDs) < 8 || slices.Contains(res.IDs[:7], free.IDs[2]) {
		t.Errorf("with MinTokens 8: %v", res.IDs)
	}
}

func TestLogprobs(t *testing.T) {
	m := open(t, "gpt2", godwit.Config{})
	r := request(5)
	r.Logprobs = 3
	for i, tok := range complete(t, m, r).Logprobs {
		if len(tok.Top) != 3 || tok.Top[0].ID != tok.ID || tok.Top[0].Logprob != tok.Logprob || tok.Logprob >= 0 || tok.Top[1].Logprob > tok.Logprob {
			t.Errorf("token %d: %+v", i, tok)
		}
	}
	r.Logprobs = 512
	var sum float64
	for _, top := range complete(t, m, r).Logprobs[0].Top {
		sum += math.Exp(top.Logprob)
	}
	if math.Abs(sum-1) > 1e-9 {
		t.Errorf("probabilities sum to %v", sum)
	}
}

func TestCaptureChangesNothing(t *testing.T) {
	m := open(t, "gpt2", godwit.Config{})
	r := request(8)
	r.Logprobs = 1
	want := complete(t, m, r)
	r.Capture = &godwit.Capture{Layers: []int{-1}, Heads: []int{1, 2}, Prompt: true, Hidden: true}
	i := 0
	for tok, err := range m.Generate(t.Context(), r) {
		if err != nil {
			t.Fatal(err)
		}
		if tok.ID != want.IDs[i] || tok.Logprob != want.Logprobs[i].Logprob {
			t.Fatalf("token %d: %v %v, want %v", i, tok.ID, tok.Logprob, want.Logprobs[i])
		}
		a := tok.Attention.Decoder
		if len(a.Queries) != 1 || len(a.Keys) != 21+i || !slices.Equal(a.Layers, []int{2}) || !slices.Equal(a.Heads, []int{1, 2}) {
			t.Fatalf("token %d: %d queries, %d keys, layers %v, heads %v", i, len(a.Queries), len(a.Keys), a.Layers, a.Heads)
		}
		checkRows(t, a)
		if tok.Result != nil {
			p := tok.Result.Attention
			if len(p.Decoder.Queries) != 21 || len(p.DecoderHidden) != 4 || len(p.DecoderHidden[3]) != 21 || len(p.DecoderHidden[0][0]) != 48 {
				t.Errorf("prompt: %d queries, %d layers", len(p.Decoder.Queries), len(p.DecoderHidden))
			}
			checkRows(t, p.Decoder)
			if p.Decoder.Row(0, 0, 0)[1] != 0 {
				t.Error("the first token sees the second")
			}
		}
		i++
	}
}

func checkRows(t *testing.T, a *godwit.AttentionMap) {
	t.Helper()
	for l := range a.Layers {
		for h := range a.Heads {
			for q := range a.Queries {
				var sum float64
				for _, w := range a.Row(l, h, q) {
					sum += float64(w)
				}
				if math.Abs(sum-1) > 1e-5 {
					t.Fatalf("layer %d head %d query %d sums to %v", l, h, q, sum)
				}
			}
		}
	}
}

func TestAttend(t *testing.T) {
	b := open(t, "bert-mlm", godwit.Config{})
	a, err := b.Attend(t.Context(), godwit.AttendRequest{Text: "a transformer", Pair: "attends", Capture: godwit.Capture{Layers: []int{0, 2}}})
	if err != nil {
		t.Fatal(err)
	}
	if a.Decoder != nil || len(a.Encoder.Layers) != 2 || len(a.Encoder.Heads) != 4 || a.EncoderHidden != nil {
		t.Errorf("%v %v", a.Encoder.Layers, a.Encoder.Heads)
	}
	checkRows(t, a.Encoder)
	mean := a.Encoder.Mean()
	checkRows(t, mean)
	var sum float64
	for l := range 2 {
		for h := range 4 {
			sum += float64(a.Encoder.Row(l, h, 1)[2])
		}
	}
	if got := float64(mean.Row(0, 0, 1)[2]); math.Abs(got-sum/8) > 1e-6 {
		t.Errorf("mean %v, want %v", got, sum/8)
	}
	if q := a.Encoder.Queries[0]; !q.Special || q.Text != "[CLS]" {
		t.Errorf("first piece %+v", q)
	}
}

func TestTokenizeRoundTrip(t *testing.T) {
	m := open(t, "gpt2", godwit.Config{})
	text := "naïve café 😀 def f(x):"
	pieces, err := m.Tokenize(text, true)
	if err != nil {
		t.Fatal(err)
	}
	var ids []int32
	for _, p := range pieces {
		ids = append(ids, p.ID)
		if p.Start > p.End || p.End > len(text) {
			t.Errorf("%+v", p)
		}
	}
	back, err := m.Detokenize(ids, true)
	if err != nil || back != text {
		t.Errorf("%q %v", back, err)
	}
}

// TestSpecialTokensAreText: users cannot type control tokens.
func TestSpecialTokensAreText(t *testing.T) {
	m := open(t, "gpt2", godwit.Config{})
	_, ids, err := m.Render(godwit.Request{Prompt: "a<|endoftext|>b"})
	if err != nil {
		t.Fatal(err)
	}
	if slices.Contains(ids, 0) {
		t.Errorf("the prompt's text became the end token: %v", ids)
	}
}

func TestConcurrentCalls(t *testing.T) {
	m := open(t, "llama", godwit.Config{})
	want := complete(t, m, request(12)).IDs
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			switch i % 3 {
			case 0:
				if _, err := m.Attend(t.Context(), godwit.AttendRequest{Text: "some text"}); err != nil {
					t.Error(err)
				}
			case 1:
				ctx, cancel := context.WithCancel(t.Context())
				for _, err := range m.Generate(ctx, request(50)) {
					if err != nil && !errors.Is(err, context.Canceled) {
						t.Error(err)
					}
					cancel()
				}
				cancel()
			default:
				if res, err := m.Complete(t.Context(), request(12)); err != nil || !slices.Equal(res.IDs, want) {
					t.Errorf("%v %v", res, err)
				}
			}
		})
	}
	wg.Wait()
}

// TestSentencePieceModel: a checkpoint without tokenizer.json reads the .model.
// TestGGUF: text in, text out, with the file's own tokenizer.
// TestRoleTokens: templates build control tokens of roles; a role that nobody
// knows builds none.
func TestRoleTokens(t *testing.T) {
	dir := t.TempDir()
	for _, file := range []string{"config.json", "model.safetensors", "tokenizer.json"} {
		data, err := os.ReadFile(checkpoints + "gpt2/" + file)
		if err != nil {
			t.Fatal(err)
		}
		if file == "tokenizer.json" {
			data = []byte(strings.ReplaceAll(string(data), `"<|endoftext|>"`, `"<|user|>"`))
		}
		if err := os.WriteFile(filepath.Join(dir, file), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	config := `{"chat_template": "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content }}{% endfor %}"}`
	if err := os.WriteFile(filepath.Join(dir, "tokenizer_config.json"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	m, err := godwit.Open(t.Context(), dir, godwit.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	for content, want := range map[string]int{"hi": 1, "<|user|>": 1} {
		_, ids, err := m.Render(godwit.Request{Messages: []godwit.Message{{Role: "user", Content: content}}})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, id := range ids {
			if id == 0 {
				n++
			}
		}
		if n != want {
			t.Errorf("%q: %d control tokens in %v, want %d", content, n, ids, want)
		}
	}
}
