// Command hugot serves hugot's pure-Go backend (GoMLX) to the comparison, in the protocol of the other peers: one JSON
// request a line on standard input, one answer a line on standard output.
//
// The model is a Hugging Face folder; its ONNX export is made by the torch peer (export.go).
package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/knights-analytics/hugot"
	"github.com/knights-analytics/hugot/options"
	"github.com/knights-analytics/hugot/pipelines"
)

const peer = "hugot"

// settings are the shapes that inputs are padded to: each shape is compiled once.
var settings = []string{"buckets-16", "buckets-32", "buckets-64", "default"}

// request is one line from the caller.
type request struct {
	Work    string   `json:"work"`
	Model   string   `json:"model"`
	Setting string   `json:"setting"`
	Texts   []string `json:"texts"`
	File    string   `json:"file"`
	Text    string   `json:"text"`
	Sorted  bool     `json:"sorted"`
	Batch   int      `json:"batch"`
}

// answer is one line to the caller.
type answer map[string]any

// server keeps a pipeline for each model, setting and batch.
type server struct {
	pipelines map[string]*pipelines.FeatureExtractionPipeline
	warm      map[string]bool
	cache     string
}

func main() {
	threads := flag.Int("threads", 2, "threads")
	flag.Parse()
	runtime.GOMAXPROCS(*threads)
	if err := serve(os.Stdin, os.Stdout, *threads); err != nil {
		fmt.Fprintln(os.Stderr, "hugot:", err)
		os.Exit(1)
	}
}

// serve answers requests until in ends.
func serve(in io.Reader, out io.Writer, threads int) error {
	cache := os.Getenv("GODWIT_PEERS")
	if cache == "" {
		return errors.New("GODWIT_PEERS is not set: start this with run.sh")
	}
	s := &server{pipelines: map[string]*pipelines.FeatureExtractionPipeline{}, warm: map[string]bool{}, cache: cache}
	enc := json.NewEncoder(out)
	rows := []answer{{"work": "embed", "type": "f32", "settings": settings}, {"work": "sentence", "type": "f32", "settings": settings}}
	if err := enc.Encode(answer{"ready": true, "peer": peer, "version": version(), "threads": threads, "settings": settings, "rows": rows}); err != nil {
		return err
	}
	cpu, wall := processTime(), time.Now()
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		idleCPU, idle, start := processTime()-cpu, time.Since(wall), time.Now()
		a, err := s.answer(line)
		if err != nil {
			a = answer{"error": err.Error()}
		}
		a["peer"], a["wall_s"] = peer, time.Since(start).Seconds()
		a["idle_cpu_ms"], a["idle_s"] = idleCPU.Seconds()*1e3, idle.Seconds()
		if err := enc.Encode(a); err != nil {
			return err
		}
		cpu, wall = processTime(), time.Now()
	}
}

// version is hugot's own, from the build.
func version() string {
	info, _ := debug.ReadBuildInfo()
	for _, m := range info.Deps {
		if m.Path == "github.com/knights-analytics/hugot" {
			return m.Version
		}
	}
	return "unknown"
}

// processTime is the processor time this process has used.
func processTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// answer does one request.
func (s *server) answer(line []byte) (answer, error) {
	var q request
	if err := json.Unmarshal(line, &q); err != nil {
		return nil, err
	}
	if q.Setting == "" {
		q.Setting = settings[0]
	}
	if !slices.Contains(settings, q.Setting) {
		return nil, fmt.Errorf("no setting %q: there are %s", q.Setting, strings.Join(settings, ", "))
	}
	if q.Batch == 0 {
		q.Batch = 32
	}
	var a answer
	var err error
	switch q.Work {
	case "embed":
		a, err = s.embed(q)
	case "sentence":
		q.Batch = 1
		a, err = s.sentence(q)
	default:
		return nil, fmt.Errorf("hugot does no %q: it does embed, sentence", q.Work)
	}
	if err != nil {
		return nil, err
	}
	a["work"], a["setting"] = q.Work, q.Setting
	return a, nil
}

// pipeline makes the pipeline of a request, or returns the one made before.
func (s *server) pipeline(q request) (*pipelines.FeatureExtractionPipeline, error) {
	key := fmt.Sprintf("%s %s %d", q.Model, q.Setting, q.Batch)
	if p := s.pipelines[key]; p != nil {
		return p, nil
	}
	model, err := exported(q.Model)
	if err != nil {
		return nil, err
	}
	var opts []options.WithOption
	var step int
	if _, err := fmt.Sscanf(q.Setting, "buckets-%d", &step); err == nil {
		var lengths []int
		for n := step; n <= 256; n += step {
			lengths = append(lengths, n)
		}
		batches := []int{1}
		if q.Batch > 1 {
			batches = append(batches, q.Batch)
		}
		opts = append(opts, options.WithGoMLXBatchBuckets(batches), options.WithGoMLXSequenceBuckets(lengths))
	}
	session, err := hugot.NewGoSession(opts...)
	if err != nil {
		return nil, err
	}
	p, err := hugot.NewPipeline(session, hugot.FeatureExtractionConfig{ModelPath: model, Name: key, OnnxFilename: "model.onnx",
		Options: []hugot.FeatureExtractionOption{pipelines.WithNormalization()}})
	if err != nil {
		return nil, errors.Join(err, session.Destroy())
	}
	s.pipelines[key] = p
	return p, nil
}

// pass embeds texts in batches.
func pass(p *pipelines.FeatureExtractionPipeline, texts []string, batch int) ([][]float32, error) {
	var out [][]float32
	for part := range slices.Chunk(texts, batch) {
		r, err := p.RunPipeline(part)
		if err != nil {
			return nil, err
		}
		out = append(out, r.Embeddings...)
	}
	return out, nil
}

// embed is one pass over the texts: sequences a second. Sorting is by length in bytes, longest first, and not in the time.
func (s *server) embed(q request) (answer, error) {
	texts := q.Texts
	if len(texts) == 0 && q.File != "" {
		data, err := os.ReadFile(q.File)
		if err != nil {
			return nil, err
		}
		texts = strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	}
	if len(texts) == 0 || q.Batch < 1 {
		return nil, errors.New("embed needs texts (or a file of them, one a line) and a batch of at least 1")
	}
	p, err := s.pipeline(q)
	if err != nil {
		return nil, err
	}
	order := make([]int, len(texts))
	for i := range order {
		order[i] = i
	}
	if q.Sorted {
		slices.SortStableFunc(order, func(a, b int) int { return len(texts[b]) - len(texts[a]) })
	}
	seq := make([]string, len(texts))
	for i, j := range order {
		seq[i] = texts[j]
	}
	// The first pass compiles a program for each shape; it alone is minutes long with many texts.
	warm := seq[:min(len(seq), q.Batch)]
	if key := fmt.Sprintf("%s %s %d %s", q.Model, q.Setting, q.Batch, strings.Join(seq, "\n")); !s.warm[key] {
		s.warm[key], warm = true, seq
	}
	if _, err := pass(p, warm, q.Batch); err != nil {
		return nil, err
	}
	start := time.Now()
	vectors, err := pass(p, seq, q.Batch)
	if err != nil {
		return nil, err
	}
	seconds := time.Since(start).Seconds()
	back := make([][]float32, len(texts))
	for i, j := range order {
		back[j] = vectors[i]
	}
	file := filepath.Join(s.cache, "vectors", peer+"-"+q.Setting+".f32")
	if err := save(file, back); err != nil {
		return nil, err
	}
	return answer{"seq_s": float64(len(texts)) / seconds, "sequences": len(texts), "seconds": seconds,
		"vectors_file": file, "count": len(back), "dim": len(back[0])}, nil
}

// save writes rows as little-endian float32.
func save(path string, rows [][]float32) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	var b []byte
	for _, r := range rows {
		for _, v := range r {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		}
	}
	return os.WriteFile(path, b, 0o644)
}

// sentence times one text by itself, for about a second and a half.
func (s *server) sentence(q request) (answer, error) {
	p, err := s.pipeline(q)
	if err != nil {
		return nil, err
	}
	var ms []float64
	for stop := time.Now().Add(1800 * time.Millisecond); len(ms) < 15 || time.Now().Before(stop); {
		start := time.Now()
		if _, err := p.RunPipeline([]string{q.Text}); err != nil {
			return nil, err
		}
		ms = append(ms, time.Since(start).Seconds()*1e3)
	}
	ms = ms[5:] // Warm-up.
	slices.Sort(ms)
	return answer{"p50_ms": ms[len(ms)/2], "p99_ms": ms[(len(ms)-1)*99/100], "calls": len(ms)}, nil
}
