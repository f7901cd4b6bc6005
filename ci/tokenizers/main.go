// Command tokenizers compares the speed of package tokenizer with that of Hugging Face
// tokenizers 0.23.3, one thread each, over the fixtures' own texts.
//
//	go run ./ci/tokenizers -root ../shared/fixtures -python PYTHON [-real DIR] [-mb 10] [-rounds 5] [NAME…]
//
// The texts of a tokenizer's goldens are repeated to -mb megabytes and cut into documents
// of about 4 KB. The two sides take turns, one round each to warm up and -rounds that
// count; both make ids only, and as many. It prints the medians, the spread, and the ratio
// of the medians, and exits 1 if a ratio is below 1. PYTHON has the library; DIR is what
// ci/real-models.sh fetched.
package main

import (
	"bufio"
	"bytes"
	"context"
	_ "embed" // tokenizers.py
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/godwit-ml/godwit/tokenizer"
	"github.com/godwit-ml/godwit/weights"
)

const (
	version  = "0.23.3"
	document = 4 << 10 // bytes
)

//go:embed tokenizers.py
var script []byte

// options is the command line.
type options struct {
	root, python, real string
	mb                 float64
	rounds             int
	names              []string
}

func main() {
	var o options
	flag.StringVar(&o.root, "root", filepath.Join("..", "shared", "fixtures"), "the fixtures")
	flag.StringVar(&o.python, "python", "python3", "a Python that has tokenizers "+version)
	flag.StringVar(&o.real, "real", "", "what ci/real-models.sh fetched; without it the real vocabularies are left out")
	flag.Float64Var(&o.mb, "mb", 10, "megabytes of text")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds that count")
	flag.Parse()
	o.names = flag.Args()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, o, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "tokenizers:", err)
		os.Exit(1)
	}
}

// subject is a tokenizer to measure.
type subject struct {
	family, name string
	real         string // its file inside options.real: a .gguf or a tokenizer.json
}

var subjects = []subject{
	{"byte-level BPE", "bbpe-gpt2", ""},
	{"byte-level BPE", "bbpe-llama3", ""},
	{"byte-level BPE", "bbpe-qwen2", ""},
	{"byte-level BPE", "bbpe-digits", ""},
	{"byte-level BPE", "bbpe-roberta", ""},
	{"byte-level BPE", "real-smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"},
	{"WordPiece", "wordpiece-uncased", ""},
	{"WordPiece", "wordpiece-cased", ""},
	{"WordPiece", "real-minilm", "minilm/tokenizer.json"},
	{"Unigram", "unigram-t5", ""},
	{"SentencePiece BPE", "spbpe-llama", ""},
}

func run(ctx context.Context, o options, out io.Writer) error {
	runtime.GOMAXPROCS(1)
	if o.rounds < 1 || o.mb <= 0 {
		return fmt.Errorf("-rounds %d and -mb %v must be positive", o.rounds, o.mb)
	}
	dir, err := os.MkdirTemp("", "tokenizers")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // what is left there does no harm
	fmt.Fprintf(out, "%-18s %-18s %9s  %-32s %-32s %s\n", "family", "tokenizer", "ids", "godwit MB/s (spread)", "tokenizers "+version+" MB/s (spread)", "ratio")
	slow, n := []string{}, 0
	for _, s := range subjects {
		if len(o.names) > 0 && !slices.Contains(o.names, s.name) || s.real != "" && o.real == "" {
			continue
		}
		n++
		ratio, err := measure(ctx, o, s, dir, out)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		if ratio < 1 {
			slow = append(slow, fmt.Sprintf("%s (%.2f)", s.name, ratio))
		}
	}
	switch {
	case n == 0:
		return fmt.Errorf("no tokenizer is named %q", o.names)
	case len(slow) > 0:
		return fmt.Errorf("slower than tokenizers %s: %v", version, slow)
	}
	return nil
}

// measure compares one tokenizer and prints its line.
func measure(ctx context.Context, o options, s subject, dir string, out io.Writer) (ratio float64, err error) {
	folder := filepath.Join(o.root, "tokenizers", s.name)
	documents, size, err := readDocuments(filepath.Join(folder, "golden.jsonl"), int(o.mb*1e6))
	if err != nil {
		return 0, err
	}
	file := filepath.Join(folder, "tokenizer.json")
	if s.real != "" {
		file = filepath.Join(o.real, filepath.FromSlash(s.real))
	}
	if filepath.Ext(file) == ".gguf" {
		if file, err = convert(file, filepath.Join(dir, s.name+".json")); err != nil {
			return 0, err
		}
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	tok, err := tokenizer.FromJSON(data, nil)
	if err != nil {
		return 0, err
	}
	theirs, err := start(ctx, o.python, dir, file, documents)
	if err != nil {
		return 0, err
	}
	defer theirs.stop()
	var mine, other []float64
	ids := 0
	for round := range o.rounds + 1 {
		seconds, n, err := encode(tok, documents)
		if err != nil {
			return 0, err
		}
		theirSeconds, theirN, err := theirs.round()
		if err != nil {
			return 0, err
		}
		if n != theirN {
			return 0, fmt.Errorf("we make %d ids of the documents, and tokenizers makes %d", n, theirN)
		}
		if round > 0 { // the first fills the caches
			mine, other = append(mine, float64(size)/1e6/seconds), append(other, float64(size)/1e6/theirSeconds)
		}
		ids = n
	}
	ratio = median(mine) / median(other)
	fmt.Fprintf(out, "%-18s %-18s %9d  %-32s %-32s %.2f\n", s.family, s.name, ids, show(mine), show(other), ratio)
	return ratio, nil
}

// readDocuments repeats the texts of a golden.jsonl up to size bytes and joins them, a line
// each, to documents.
func readDocuments(path string, size int) (documents []string, total int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	var texts []string
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<24)
	for sc.Scan() {
		var row struct{ Text string }
		if err := json.Unmarshal(sc.Bytes(), &row); err != nil {
			return nil, 0, fmt.Errorf("%s: %w", path, err)
		}
		texts = append(texts, row.Text)
	}
	if err := sc.Err(); err != nil {
		return nil, 0, fmt.Errorf("%s: %w", path, err)
	}
	if len(texts) == 0 {
		return nil, 0, fmt.Errorf("%s has no texts", path)
	}
	var b bytes.Buffer
	for i := 0; total < size; i++ {
		b.WriteString(texts[i%len(texts)])
		b.WriteByte('\n')
		if b.Len() >= document || total+b.Len() >= size {
			documents = append(documents, b.String())
			total += b.Len()
			b.Reset()
		}
	}
	return documents, total, nil
}

// encode tokenizes all documents, special tokens inside them as tokenizers reads them.
func encode(tok *tokenizer.Tokenizer, documents []string) (seconds float64, ids int, err error) {
	var dst []int32
	begin := time.Now()
	for _, d := range documents {
		if dst, err = tok.AppendIDs(dst[:0], d, tokenizer.Options{Parse: true}); err != nil {
			return 0, 0, err
		}
		ids += len(dst)
	}
	return time.Since(begin).Seconds(), ids, nil
}

// convert writes the tokenizer.json of SmolLM2's GGUF file.
func convert(gguf, file string) (string, error) {
	c, err := weights.Open(gguf)
	if err != nil {
		return "", err
	}
	defer c.Close() //nolint:errcheck // opened for reading
	tokens, ok1 := c.Metadata()["tokenizer.ggml.tokens"].([]string)
	kinds, ok2 := c.Metadata()["tokenizer.ggml.token_type"].([]int32)
	merges, ok3 := c.Metadata()["tokenizer.ggml.merges"].([]string)
	if !ok1 || !ok2 || !ok3 || len(tokens) != len(kinds) {
		return "", errors.New("the GGUF file has no tokens, types and merges")
	}
	const control = 3
	vocab, added := make(map[string]int, len(tokens)), []map[string]any{}
	for id, text := range tokens {
		vocab[text] = id
		if kinds[id] == control {
			added = append(added, map[string]any{"id": id, "content": text, "special": true, "normalized": false, "single_word": false, "lstrip": false, "rstrip": false})
		}
	}
	bytes := map[string]any{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}
	data, err := json.Marshal(map[string]any{"version": "1.0", "added_tokens": added, "decoder": bytes,
		"pre_tokenizer": map[string]any{"type": "Sequence", "pretokenizers": []any{map[string]any{"type": "Digits", "individual_digits": true}, bytes}},
		"model":         map[string]any{"type": "BPE", "vocab": vocab, "merges": merges}})
	if err != nil {
		return "", err
	}
	return file, os.WriteFile(file, data, 0o600)
}

// other is the Python process.
type other struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
	log bytes.Buffer
}

// start runs the script and waits until it has loaded everything.
func start(ctx context.Context, python, dir, file string, documents []string) (*other, error) {
	path, list := filepath.Join(dir, "tokenizers.py"), filepath.Join(dir, "documents.json")
	data, err := json.Marshal(documents)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(os.WriteFile(path, script, 0o600), os.WriteFile(list, data, 0o600)); err != nil {
		return nil, err
	}
	p := &other{cmd: exec.CommandContext(ctx, python, path, file, list)}
	p.cmd.Stderr = &p.log
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", python, err)
	}
	p.out = bufio.NewScanner(stdout)
	var hello struct{ Version string }
	if err := p.read(&hello); err != nil {
		p.stop()
		return nil, err
	}
	if hello.Version != version {
		p.stop()
		return nil, fmt.Errorf("%s has tokenizers %s, want %s", python, hello.Version, version)
	}
	return p, nil
}

func (p *other) read(v any) error {
	if p.out.Scan() {
		return json.Unmarshal(p.out.Bytes(), v)
	}
	_ = p.cmd.Wait()
	log := p.log.String()
	return fmt.Errorf("python has stopped: %v: %s", p.cmd.ProcessState, log[max(0, len(log)-1000):])
}

// round lets it tokenize once.
func (p *other) round() (seconds float64, ids int, err error) {
	if _, err := io.WriteString(p.in, "\n"); err != nil {
		return 0, 0, err
	}
	var r struct {
		Seconds float64
		IDs     int
	}
	err = p.read(&r)
	return r.Seconds, r.IDs, err
}

func (p *other) stop() {
	_ = p.in.Close()
	_ = p.cmd.Wait()
}

func median(x []float64) float64 {
	s := slices.Sorted(slices.Values(x))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

func show(x []float64) string {
	return fmt.Sprintf("%.2f (%.2f-%.2f)", median(x), slices.Min(x), slices.Max(x))
}
