package model_test

// The same bits of a text whatever it is computed with, and in whatever pieces:
// prompts whole and in chunks, tokens one by one, alone and among others, on any
// number of threads. On every path of the CPU, of random checkpoints and of two
// real ones.

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/godwit-ml/godwit/ci/golden"
	"github.com/godwit-ml/godwit/cpu"
	"github.com/godwit-ml/godwit/cpu/simd"
	"github.com/godwit-ml/godwit/model"
	"github.com/godwit-ml/godwit/quant"
	"github.com/godwit-ml/godwit/runtime"
)

// variant is a device for a model, and texts for it.
type variant struct {
	opt    cpu.Options
	kv     runtime.DType
	texts  [][]int32
	chunk  int // of prompts that are read whole
	alone  int // texts that are computed alone too
	places int // of the longest text, evenly apart, whose tokens are computed again by themselves
	single int // tokens of each text that are read one by one, and seven times as many by seven
}

func (v *variant) String() string {
	arithmetic := "fast"
	if v.opt.Exact {
		arithmetic = "exact"
	}
	return fmt.Sprintf("%s/%s/weights %v/cache %v", v.opt.Path, arithmetic, v.opt.Weights, v.kv)
}

// longest is the number of the longest text, and its length.
func (v *variant) longest() (text, tokens int) {
	for i, ids := range v.texts {
		if len(ids) > tokens {
			text, tokens = i, len(ids)
		}
	}
	return text, tokens
}

// paths are those of the CPU there are here, the best one first.
func paths() []simd.Path {
	var all []simd.Path
	for p := simd.Best(); ; p-- {
		all = append(all, p)
		if p == simd.Portable {
			return all
		}
	}
}

// on loads a model on a CPU device.
func on(t *testing.T, path string, opt cpu.Options) (m *golden.Model, done func()) {
	t.Helper()
	d, err := cpu.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	m, err = golden.Load(path, golden.Options{Device: d})
	if err != nil {
		t.Fatal(err)
	}
	return m, func() {
		m.Close()
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

// place is a token of a text.
type place struct{ text, token int }

// results are what a model makes of texts: hidden [D] of every token, logits [V]
// of some.
type results struct {
	hidden, logits map[place][]float32
	scored         map[place]bool
}

// span is tokens from … to-1 of a text.
type span struct{ text, from, to int }

// reader reads texts on one device, a decoder's through a cache whose blocks lie
// in disorder.
type reader struct {
	name   string
	m      *golden.Model
	texts  [][]int32
	out    *results
	first  bool // makes the results that others are held to
	cache  *model.Cache
	tables [][]int32
	batch  model.Batch
	faults int
}

const blockOfReader = 16

func newReader(t *testing.T, name string, m *golden.Model, v *variant, out *results) *reader {
	t.Helper()
	r := &reader{name: name, m: m, texts: v.texts, out: out}
	if m.Model.Info().Kind != model.Decoder {
		return r
	}
	blocks := 0
	for _, ids := range v.texts {
		n := (len(ids) + blockOfReader - 1) / blockOfReader
		r.tables = append(r.tables, make([]int32, n))
		blocks += n
	}
	var err error
	if r.cache, err = model.NewCache(m.Stream, m.Model.Info(), v.kv, blocks, blockOfReader); err != nil {
		t.Fatal(err)
	}
	order := rand.New(rand.NewPCG(uint64(len(name)), 3)).Perm(blocks)
	for _, table := range r.tables {
		for i := range table {
			table[i], order = int32(order[0]), order[1:]
		}
	}
	return r
}

func (r *reader) close() {
	if r.cache != nil {
		r.cache.Close()
	}
}

// read computes spans as one batch, and compares them with what is wanted.
func (r *reader) read(t *testing.T, spans ...span) {
	t.Helper()
	s, in := r.m.Stream, r.m.Model.Info()
	s.Reset()
	r.batch.Reset()
	var rows []int32 // of the batch, whose logits are wanted
	var places []place
	for _, x := range spans {
		ids := r.texts[x.text][x.from:x.to]
		var err error
		if in.Kind == model.Decoder {
			err = r.batch.AddDecoder(ids, x.from, r.tables[x.text], blockOfReader)
		} else {
			err = r.batch.AddEncoder(ids, nil, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := x.from; i < x.to; i++ {
			if r.out.scored[place{x.text, i}] {
				rows = append(rows, int32(len(places)))
			}
			places = append(places, place{x.text, i})
		}
	}
	if err := r.batch.Check(in, r.cache); err != nil {
		t.Fatal(err)
	}
	hidden := r.m.Model.Forward(s, &r.batch, r.cache)
	h := make([]float32, len(places)*in.Hidden)
	s.DownloadF32(h, hidden)
	var logits []float32
	if len(rows) > 0 && in.LM {
		logits = make([]float32, len(rows)*in.Vocab)
		s.DownloadF32(logits, r.m.Model.Logits(s, model.Rows(s, hidden, rows)))
	}
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	for i, at := range places {
		r.hold(t, "hidden", r.out.hidden, at, h[i*in.Hidden:][:in.Hidden])
	}
	for i := range len(logits) / in.Vocab {
		r.hold(t, "logits", r.out.logits, places[rows[i]], logits[i*in.Vocab:][:in.Vocab])
	}
}

// hold keeps a row, or compares its bits with those that were kept.
func (r *reader) hold(t *testing.T, what string, kept map[place][]float32, at place, got []float32) {
	t.Helper()
	want, ok := kept[at]
	switch {
	case r.first && !ok:
		kept[at] = got
		return
	case !ok:
		t.Fatalf("%s: nothing to hold %s of token %d of text %d to", r.name, what, at.token, at.text)
	}
	for i, x := range got {
		if math.Float32bits(x) != math.Float32bits(want[i]) {
			if r.faults++; r.faults <= 3 {
				t.Errorf("%s: %s of token %d of text %d: element %d is %v, was %v", r.name, what, at.token, at.text, i, x, want[i])
			}
			return
		}
	}
}

// chunks reads the first tokens of all texts, in steps of so many of each.
func (r *reader) chunks(t *testing.T, size, most int) {
	t.Helper()
	for from := 0; ; from += size {
		var spans []span
		for i, ids := range r.texts {
			if to := min(from+size, len(ids), most); from < to {
				spans = append(spans, span{i, from, to})
			}
		}
		if spans == nil {
			return
		}
		r.read(t, spans...)
	}
}

// same computes the texts of a variant in every way.
func same(t *testing.T, path string, v *variant) {
	t.Helper()
	v.opt.Threads = 2
	m, done := on(t, path, v.opt)
	defer done()
	out := &results{map[place][]float32{}, map[place][]float32{}, map[place]bool{}}
	long, end := v.longest()
	for i, ids := range v.texts {
		out.scored[place{i, len(ids) - 1}] = true
	}
	apart := func(i int) int { return (2*i + 1) * end / (2 * v.places) }
	for i := range v.places {
		out.scored[place{long, apart(i)}] = true
	}

	// Prompts whole, all together.
	together := newReader(t, "together", m, v, out)
	defer together.close()
	together.first = true
	together.chunks(t, v.chunk, end)
	together.first = false
	meaningful(t, out)

	r := rand.New(rand.NewPCG(uint64(end), 5))
	for _, i := range r.Perm(len(v.texts))[:min(v.alone, len(v.texts))] {
		alone := newReader(t, "alone", m, v, out)
		for from := 0; from < len(v.texts[i]); from += v.chunk {
			alone.read(t, span{i, from, min(from+v.chunk, len(v.texts[i]))})
		}
		alone.close()
	}
	if m.Model.Info().Kind == model.Decoder {
		// Tokens again, on top of the cache of whole prompts.
		for i := range v.places {
			together.name = "a token by itself"
			together.read(t, span{long, apart(i), apart(i) + 1})
		}
		for range min(v.places, 2) {
			var spans []span
			for _, i := range r.Perm(len(v.texts)) {
				at := r.IntN(len(v.texts[i]))
				spans = append(spans, span{i, at, at + 1})
			}
			together.name = "a token of every text"
			together.read(t, spans...)
		}
		for _, size := range []int{1, 7} {
			pieces := newReader(t, fmt.Sprintf("in chunks of %d", size), m, v, out)
			pieces.chunks(t, size, size*v.single)
			pieces.close()
		}
	}
	for _, threads := range []int{1, 3} {
		otherwise(t, path, *v, threads, out)
	}
}

// otherwise reads the texts on another number of threads.
func otherwise(t *testing.T, path string, v variant, threads int, out *results) {
	t.Helper()
	v.opt.Threads = threads
	m, done := on(t, path, v.opt)
	defer done()
	r := newReader(t, fmt.Sprintf("threads: %d", threads), m, &v, out)
	defer r.close()
	long, end := v.longest()
	r.chunks(t, v.chunk, end)
	if m.Model.Info().Kind == model.Decoder && v.single > 0 {
		r.read(t, span{long, end - 1, end})
	}
}

// meaningful fails where results could be the same by accident: numbers that are
// none, or none that depend on a text.
func meaningful(t *testing.T, out *results) {
	t.Helper()
	var before []float32
	for at, h := range out.hidden {
		for i, x := range h {
			if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
				t.Fatalf("hidden of token %d of text %d: element %d is %v", at.token, at.text, i, x)
			}
		}
		if at.token == 0 {
			continue // the same wherever a text begins with the same id
		}
		if before != nil && golden.Compare(h, before).Max == 0 {
			t.Fatal("hidden of two tokens are equal")
		}
		before = h
	}
}

// texts are so many of random ids below a limit, of 1 … most tokens, and one of a
// length of its own.
func texts(n, most, long, limit int) [][]int32 {
	r := rand.New(rand.NewPCG(uint64(n), uint64(long)))
	out := make([][]int32, n)
	for i := range out {
		ids := make([]int32, 1+r.IntN(most))
		if i == n/3 {
			ids = make([]int32, long)
		}
		for k := range ids {
			ids[k] = int32(r.IntN(limit))
		}
		out[i] = ids
	}
	return out
}

// wide is a checkpoint of testdata made wider, of random weights: rows are longer
// than 64 and, unless blocks of 32 are to be whole, no multiple of any vector.
func wide(t *testing.T, kind string, blocks bool, dtype quant.Type) string {
	t.Helper()
	c := base(t, kind)
	hidden, inner := 104, 300
	if blocks {
		hidden, inner = 128, 288
	}
	to := map[int]int{48: hidden, 24: hidden / 2, 128: inner} // positions of a table with it
	delete(c.config, "head_dim")
	c.config["hidden_size"], c.config["intermediate_size"], c.config["max_position_embeddings"] = hidden, inner, inner
	if kind == "llama" {
		c.config["max_position_embeddings"] = 1024
	}
	r := rand.New(rand.NewPCG(uint64(hidden), 11))
	for _, name := range slices.Sorted(maps.Keys(c.tensors)) {
		shape, n := slices.Clone(c.tensors[name].shape), 1
		for i := range shape {
			if w, ok := to[shape[i]]; ok {
				shape[i] = w
			}
			n *= shape[i]
		}
		v := make([]float32, n)
		for i := range v {
			if v[i] = float32(r.NormFloat64() / math.Sqrt(float64(shape[len(shape)-1]))); len(shape) == 1 {
				v[i]++
			}
		}
		if c.tensors[name] = f32(shape, v...); len(shape) > 1 {
			c.tensors[name] = c.tensors[name].as(t, dtype)
		}
	}
	return c.write(t)
}

// TestSame computes texts of random checkpoints, on every path, in both
// arithmetics, with weights and caches of all types.
func TestSame(t *testing.T) {
	if underRace {
		t.Skip("the golden outputs run on the same device under the race detector")
	}
	decoder, encoder := texts(48, 9, 70, 512), texts(32, 12, 60, 512)
	if n := len(slices.Concat(decoder...)); n < 280 || n > 330 {
		t.Fatalf("%d tokens in a step", n)
	}
	for _, row := range []struct {
		kind   string
		blocks bool
		stored quant.Type
		opt    cpu.Options
		kv     runtime.DType
	}{
		{"llama", false, quant.F32, cpu.Options{Exact: true}, runtime.F32},
		{"llama", false, quant.F16, cpu.Options{}, runtime.F16},
		{"llama", false, quant.BF16, cpu.Options{}, runtime.BF16},
		{"llama", false, quant.BF16, cpu.Options{Exact: true}, runtime.F32},
		{"llama", true, quant.F32, cpu.Options{Weights: runtime.Q8_0}, runtime.Q8_0},
		{"llama", true, quant.F32, cpu.Options{Weights: quant.Q4_0}, runtime.F16},
		{"llama", true, quant.F32, cpu.Options{Weights: quant.Q4_0, Exact: true}, runtime.F32},
		{"bert-mlm", false, quant.F32, cpu.Options{}, runtime.F32},
		{"bert-mlm", false, quant.F32, cpu.Options{Weights: runtime.BF16}, runtime.F32},
		{"bert-mlm", true, quant.F32, cpu.Options{Weights: runtime.Q8_0}, runtime.F32},
	} {
		path := wide(t, row.kind, row.blocks, row.stored)
		for _, p := range paths() {
			v := &variant{opt: row.opt, kv: row.kv, texts: decoder, chunk: 512, alone: 6, places: 6, single: 10}
			if row.kind != "llama" {
				v.texts, v.alone = encoder, 32
			}
			v.opt.Path = p.String()
			t.Run(fmt.Sprintf("%s/%v/%v", row.kind, row.stored, v), func(t *testing.T) { same(t, path, v) })
		}
	}
}

// models is the folder of the real models; without it a test is skipped.
func models(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("GODWIT_MODELS")
	if dir == "" {
		t.Skip("GODWIT_MODELS is not set: it names the folder that ci/real-models.sh filled")
	}
	return dir
}

// TestSameSmolLM2 computes texts of SmolLM2, whose weights are in Q4_1. The
// longest needs two steps of 512 tokens; where it takes long, texts are shorter.
func TestSameSmolLM2(t *testing.T) {
	path := filepath.Join(models(t), "SmolLM2-135M-Instruct.Q4_1.gguf")
	for _, exact := range []bool{false, true} {
		for _, p := range paths() {
			v := &variant{opt: cpu.Options{Path: p.String(), Exact: exact}, kv: runtime.F16, texts: texts(64, 4, 530, 49152), chunk: 512, alone: 8, places: 12, single: 4}
			switch {
			case p == simd.Portable:
				v.texts, v.alone, v.places, v.single = texts(2, 1, 3, 49152), 1, 1, 1
				if exact { // every step unpacks all weights
					v.alone, v.single = 0, 0
				}
			case exact:
				v.texts, v.places = texts(64, 2, 40, 49152), 4
			case p == simd.Best():
				v.single = 530 // the longest whole, a token a step
			}
			if exact {
				v.kv = runtime.F32
			}
			t.Run(v.String(), func(t *testing.T) { same(t, path, v) })
		}
	}
}

// TestSameMiniLM computes 64 sentences of MiniLM, together and each alone.
func TestSameMiniLM(t *testing.T) {
	path := filepath.Join(models(t), "minilm")
	for _, opt := range []cpu.Options{{}, {Exact: true}, {Weights: runtime.BF16}, {Weights: runtime.Q8_0}} {
		for _, p := range paths() {
			if opt.Path = p.String(); opt.Exact && p != simd.Best() {
				continue // what is stored in F32 has one arithmetic
			}
			v := &variant{opt: opt, texts: texts(64, 16, 100, 30522), chunk: 512, alone: 64}
			if p == simd.Portable {
				v.texts, v.alone = texts(8, 2, 6, 30522), 4
			}
			t.Run(v.String(), func(t *testing.T) { same(t, path, v) })
		}
	}
}
