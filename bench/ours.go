package main

// Our side of the rows: models through the public API, operations through the
// devices.

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/godwit-ml/godwit"
	"github.com/godwit-ml/godwit/kernels"
	"github.com/godwit-ml/godwit/runtime"
)

const us = "godwit"

// sample is one measurement.
type sample struct {
	Value  float64
	Cosine *float64 // the lowest of any text with exact f32; nil: not asked for
	Note   string
}

// contender is one way to do the work of a row.
type contender struct {
	Who, Setting string
	known        float64 // figure that is expected of a peer at least, on the machine of known; 0: unknown
	pid          int     // process that works; 0: this one
	measure      func(ctx context.Context) (sample, error)
}

// openModels keeps the models of the row that runs and of the one before.
type openModels struct {
	keys   []modelKey
	models map[modelKey]*godwit.Model
}

type modelKey struct {
	path, dtype, quantize string
}

const modelsKept = 2

// rowMemory bounds what a model of the rows takes, KV cache included.
const rowMemory = 6 << 30

// model opens a model, unless it is open.
func (l *lab) model(ctx context.Context, path, dtype, quantize string) (*godwit.Model, error) {
	key := modelKey{path, dtype, quantize}
	if m := l.open.models[key]; m != nil {
		return m, nil
	}
	for len(l.open.keys) >= modelsKept {
		if err := l.drop(); err != nil {
			return nil, err
		}
	}
	m, err := godwit.Open(ctx, path, godwit.Config{Device: l.device, DType: dtype, Quantize: quantize, Threads: l.threads, MemoryLimit: rowMemory})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if l.open.models == nil {
		l.open.models = map[modelKey]*godwit.Model{}
	}
	l.open.models[key], l.open.keys = m, append(l.open.keys, key)
	return m, nil
}

// drop closes the model that was opened first.
func (l *lab) drop() error {
	key := l.open.keys[0]
	m := l.open.models[key]
	l.open.keys = l.open.keys[1:]
	delete(l.open.models, key)
	return m.Close()
}

func (l *lab) dropAll() (err error) {
	for len(l.open.keys) > 0 {
		err = errors.Join(err, l.drop())
	}
	return err
}

// setting says how a model of ours runs.
func setting(device, dtype, quantize string) string {
	switch {
	case quantize != "":
		return "int8, weights " + quantize + " (" + device + ")"
	case dtype != "":
		return dtype + " (" + device + ")"
	}
	return "as stored (" + device + ")"
}

// reads is a prompt of so many tokens, or tokens written one by one at a depth: tok/s
// of godwit bench.
func (l *lab) bench(ctx context.Context, path, dtype string, req godwit.BenchRequest) (contender, error) {
	m, err := l.model(ctx, path, dtype, "")
	if err != nil {
		return contender{}, err
	}
	req.Repeats = 1
	return contender{Who: us, Setting: setting(m.Info().Device, m.Info().DType, ""), measure: func(ctx context.Context) (sample, error) {
		for r, err := range m.Bench(ctx, req) {
			return sample{Value: r.TokensPerSecond}, err
		}
		return sample{}, errors.New("no test was run")
	}}, nil
}

// embed is sequences a second from text to unit vectors, of all texts of the row.
func (l *lab) embed(ctx context.Context, texts []string, dtype, quantize string) (contender, error) {
	m, err := l.model(ctx, l.files.minilm(), dtype, quantize)
	if err != nil {
		return contender{}, err
	}
	exact, err := l.exactVectors(ctx, texts)
	if err != nil {
		return contender{}, err
	}
	return contender{Who: us, Setting: setting(m.Info().Device, dtype, quantize), measure: func(ctx context.Context) (sample, error) {
		if _, err := m.Embed(ctx, godwit.EmbedRequest{Texts: texts[:min(len(texts), 64)], Normalize: true}); err != nil {
			return sample{}, err
		}
		start := time.Now()
		r, err := m.Embed(ctx, godwit.EmbedRequest{Texts: texts, Normalize: true})
		if err != nil {
			return sample{}, err
		}
		took := time.Since(start)
		c := lowestCosine(r.Vectors, exact)
		return sample{Value: float64(len(texts)) / took.Seconds(), Cosine: &c}, nil
	}}, nil
}

// sentence is the median of milliseconds of one text by itself.
func (l *lab) sentence(ctx context.Context, text, dtype, quantize string) (contender, error) {
	m, err := l.model(ctx, l.files.minilm(), dtype, quantize)
	if err != nil {
		return contender{}, err
	}
	exact, err := l.exactVectors(ctx, []string{text})
	if err != nil {
		return contender{}, err
	}
	return contender{Who: us, Setting: setting(m.Info().Device, dtype, quantize), measure: func(ctx context.Context) (sample, error) {
		var ms []float64
		var last *godwit.EmbedResult
		for begin := time.Now(); len(ms) < 30 || time.Since(begin) < l.sentenceTime; {
			start := time.Now()
			r, err := m.Embed(ctx, godwit.EmbedRequest{Texts: []string{text}, Normalize: true})
			if err != nil {
				return sample{}, err
			}
			ms = append(ms, time.Since(start).Seconds()*1e3)
			last = r
		}
		c := lowestCosine(last.Vectors, exact)
		return sample{Value: median(ms[10:]), Cosine: &c}, nil
	}}, nil
}

// exactVectors are those of exact f32, which all others are compared with.
func (l *lab) exactVectors(ctx context.Context, texts []string) ([][]float32, error) {
	var missing []string
	for _, t := range texts {
		if l.exact[t] == nil {
			missing = append(missing, t)
		}
	}
	if len(missing) > 0 {
		m, err := godwit.Open(ctx, l.files.minilm(), godwit.Config{Device: l.device, DType: "f32", Threads: l.threads})
		if err != nil {
			return nil, err
		}
		r, err := m.Embed(ctx, godwit.EmbedRequest{Texts: missing, Normalize: true})
		if err = errors.Join(err, m.Close()); err != nil {
			return nil, err
		}
		for i, t := range missing {
			l.exact[t] = r.Vectors[i]
		}
	}
	vectors := make([][]float32, len(texts))
	for i, t := range texts {
		vectors[i] = l.exact[t]
	}
	return vectors, nil
}

// lowestCosine is that of any pair of vectors; -1 where they do not compare.
func lowestCosine(a, b [][]float32) float64 {
	if len(a) != len(b) {
		return -1
	}
	lowest := 1.0
	for i := range a {
		var dot, aa, bb float64
		if len(a[i]) != len(b[i]) {
			return -1
		}
		for j, x := range a[i] {
			y := float64(b[i][j])
			dot, aa, bb = dot+float64(x)*y, aa+float64(x)*float64(x), bb+y*y
		}
		c := dot / math.Sqrt(aa*bb)
		if !(c >= lowest) {
			lowest = c
		}
	}
	if lowest != lowest {
		return -1
	}
	return lowest
}

// sgemm is GFLOP/s of a product with a weight that stays in the caches.
func (l *lab) sgemm(m, k, n int) (contender, func() error, error) {
	dev, _, err := openDevice(l.device, nil, deviceOptions{threads: l.threads, exact: true})
	if err != nil {
		return contender{}, nil, err
	}
	maker := &kernels.Maker{Device: dev}
	op := &runtime.MatMul{Out: maker.F32(m, n), X: maker.F32(m, k)}
	op.W, err = dev.Load(hostWeight(runtime.F32, n, k), runtime.UseProduct)
	if err = errors.Join(err, maker.Err); err == nil {
		err = op.Check()
	}
	if err != nil {
		return contender{}, nil, errors.Join(err, dev.Close())
	}
	return contender{Who: us, Setting: "f32 (" + dev.Info().Name + ")", measure: func(context.Context) (sample, error) {
		t, err := measure(runOp(dev, op), 50*time.Millisecond, 9)
		if err != nil {
			return sample{}, err
		}
		return sample{Value: 2 * float64(m) * float64(k) * float64(n) / float64(t.Median)}, nil
	}}, dev.Close, nil
}

// runOp runs an operation n times.
func runOp(dev runtime.Device, op runtime.Op) func(n int) error {
	return func(n int) error {
		for range n {
			if err := dev.Run(op); err != nil {
				return err
			}
		}
		return dev.Sync()
	}
}

// prefillAttention is useful GFLOP/s of the attention of a layer of SmolLM2 over a
// prompt, in passes of at most 512 tokens as the engine makes them.
func (l *lab) prefillAttention(tokens int) (contender, func() error, error) {
	const heads, kvHeads, d, pass = 9, 3, 64, 512
	dev, _, err := openDevice(l.device, nil, deviceOptions{threads: l.threads})
	if err != nil {
		return contender{}, nil, err
	}
	m := &kernels.Maker{Device: dev}
	var ops []runtime.Op
	whole := pagedAttention(m, 1, tokens, tokens, heads, kvHeads, d)
	for from := 0; from < tokens; from += pass {
		n := min(pass, tokens-from)
		o := *whole
		o.Out, o.Q, o.MaxQ, o.MaxK = whole.Out.RowRange(from, from+n), whole.Q.RowRange(from, from+n), n, from+n
		o.QStarts, o.KLens = m.I32(0, int32(n)), m.I32(int32(from+n))
		ops = append(ops, &o)
	}
	err = m.Err
	for _, op := range ops {
		err = errors.Join(err, op.Check())
	}
	if err != nil {
		return contender{}, nil, errors.Join(err, dev.Close())
	}
	flops := 4 * float64(d) * float64(heads) * float64(tokens) * float64(tokens) / 2
	return contender{Who: us, Setting: "f16 keys and values (" + dev.Info().Name + ")", measure: func(context.Context) (sample, error) {
		t, err := measure(func(n int) error {
			for range n {
				for _, op := range ops {
					if err := dev.Run(op); err != nil {
						return err
					}
				}
			}
			return dev.Sync()
		}, 100*time.Millisecond, 3)
		if err != nil {
			return sample{}, err
		}
		return sample{Value: flops / float64(t.Median)}, nil
	}}, dev.Close, nil
}

// firstToken is seconds from the start of a process until it has printed the first
// token of a model's answer; the file is in the page cache.
func (l *lab) firstToken(path, prompt string, tokens int) contender {
	return contender{Who: us, Setting: "as stored (" + l.device + ")", measure: func(ctx context.Context) (sample, error) {
		if _, err := describe("", path); err != nil { // reads it
			return sample{}, err
		}
		cmd := l.self(ctx, "first-token", "-model", path, "-prompt", prompt, "-device", l.device, "-threads", strconv.Itoa(l.threads))
		out, err := cmd.StdoutPipe()
		if err != nil {
			return sample{}, err
		}
		last := &tail{}
		cmd.Stderr = last
		start := time.Now()
		if err := cmd.Start(); err != nil {
			return sample{}, err
		}
		line, err := bufio.NewReader(out).ReadBytes('\n')
		took := time.Since(start).Seconds()
		var said firstTokenSaid
		if err == nil {
			err = json.Unmarshal(line, &said)
		}
		if err = errors.Join(err, cmd.Wait()); err != nil {
			return sample{}, fmt.Errorf("%w: %s", err, last.text())
		}
		if said.Prompt != tokens {
			return sample{}, fmt.Errorf("the prompt has %d tokens, not %d", said.Prompt, tokens)
		}
		return sample{Value: took}, nil
	}}
}

type firstTokenSaid struct {
	Prompt int    `json:"prompt_tokens"`
	Text   string `json:"text"`
}

// selfCommand runs this program anew.
func selfCommand(ctx context.Context, args ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		self = os.Args[0]
	}
	return exec.CommandContext(ctx, self, args...)
}

// firstToken is the process that a row times; it is no command for people.
func firstToken(args []string, out, notes io.Writer) error {
	f := flag.NewFlagSet("bench first-token", flag.ContinueOnError)
	f.SetOutput(notes)
	path := f.String("model", "", "model")
	prompt := f.String("prompt", "", "prompt")
	device := f.String("device", "", "device")
	threads := f.Int("threads", 0, "threads")
	if err := f.Parse(args); err != nil {
		return err
	}
	return printFirstToken(context.Background(), out, *path, *prompt, *device, *threads)
}

func printFirstToken(ctx context.Context, out io.Writer, path, prompt, device string, threads int) error {
	m, err := godwit.Open(ctx, path, godwit.Config{Device: device, Threads: threads})
	if err != nil {
		return err
	}
	for t, err := range m.Generate(ctx, godwit.Request{Prompt: prompt, MaxTokens: 1, IgnoreEOS: true}) {
		if err != nil {
			return errors.Join(err, m.Close())
		}
		said := firstTokenSaid{Text: t.Text}
		pieces, err := m.Tokenize(prompt, true)
		if err != nil {
			return errors.Join(err, m.Close())
		}
		said.Prompt = len(pieces)
		if err := json.NewEncoder(out).Encode(said); err != nil {
			return errors.Join(err, m.Close())
		}
		break
	}
	return m.Close()
}

// promptOf is a prompt of so many tokens.
func promptOf(m *godwit.Model, tokens int) (string, error) {
	var prompt []string
	for _, w := range slices.Concat(words, words) {
		prompt = append(prompt, w)
		pieces, err := m.Tokenize(strings.Join(prompt, " "), true)
		if err != nil {
			return "", err
		}
		if len(pieces) == tokens {
			return strings.Join(prompt, " "), nil
		}
		if len(pieces) > tokens {
			prompt = prompt[:len(prompt)-1] // another word may have fewer
		}
	}
	return "", fmt.Errorf("no prompt of %d tokens can be made of the words", tokens)
}
