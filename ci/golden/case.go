package golden

// Running a case: batches, chunks of them, and where their rows belong in the
// padded tensors of the golden.

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/godwit-ml/godwit/model"
	"github.com/godwit-ml/godwit/runtime"
)

// Outputs are tensors by the names of golden.json, padded as there, with zeros
// at masked positions.
type Outputs map[string][]float32

// run is a case under way.
type run struct {
	m    *Model
	c    *Case
	kind string
	out  Outputs
	b, t int
	kept [][]int // [B] positions of the tokens that are not masked
	rows []int   // of each token of the present batch: row·T + position
	// seq and first are, of each sequence of the present batch, its row and
	// which of its kept tokens comes first.
	seq, first []int
	batch      model.Batch
	stack      string // of encoder-decoders: what names begin with, "encoder_" or "decoder_"
	source     *run   // of a decoder: the encoder's run, whose tokens lie in tables
	tables     [][]int32
}

// Headless is the kind of a case of which only hidden states and distributions
// are wanted.
const Headless = "headless"

// Case runs a case of a golden of the kind, as batches over all its rows.
func (m *Model) Case(kind string, c *Case) (Outputs, error) {
	r := newRun(m, kind, c, Outputs{})
	switch m.Model.Info().Kind {
	case model.Decoder:
		cache, tables, err := m.cache(r.b, r.t)
		if err != nil {
			return nil, err
		}
		defer cache.Close()
		return r.out, r.decode(cache, tables)
	case model.Seq2Seq:
		return r.out, r.translate()
	}
	return r.out, r.encode()
}

// newRun is a run of the tokens of a case that are not masked.
func newRun(m *Model, kind string, c *Case, out Outputs) *run {
	r := &run{m: m, c: c, kind: kind, out: out, b: len(c.IDs), t: len(c.IDs[0])}
	for i := range r.b {
		var kept []int
		for j := range r.t {
			if c.Mask == nil || c.Mask[i][j] != 0 {
				kept = append(kept, j)
			}
		}
		r.kept = append(r.kept, kept)
	}
	return r
}

// encode runs an encoder: one batch.
func (r *run) encode() error {
	if err := r.sequences(); err != nil {
		return err
	}
	return r.step(nil)
}

// sequences makes the batch of an encoder.
func (r *run) sequences() error {
	r.batch.Reset()
	for i, ids := range r.c.IDs {
		var types, mask []int32
		if r.c.Types != nil {
			types = r.c.Types[i]
		}
		if r.c.Mask != nil {
			mask = r.c.Mask[i]
		}
		if err := r.batch.AddEncoder(ids, types, mask); err != nil {
			return err
		}
		r.add(i, 0, len(r.kept[i]))
	}
	return nil
}

// decode runs a decoder: batches of at most Chunk tokens of each row.
func (r *run) decode(cache *model.Cache, tables [][]int32) error {
	chunk, size := r.m.opt.Chunk, r.m.opt.BlockSize
	if chunk == 0 {
		chunk = r.t
	}
	for from := 0; ; from += chunk {
		r.batch.Reset()
		r.rows, r.seq, r.first = r.rows[:0], r.seq[:0], r.first[:0]
		for i, kept := range r.kept {
			to := min(from+chunk, len(kept))
			if from >= to {
				continue
			}
			ids := make([]int32, 0, chunk)
			for _, j := range kept[from:to] {
				ids = append(ids, r.c.IDs[i][j])
			}
			table := tables[i][:(to+size-1)/size] // tables of a batch differ in width
			if err := r.batch.AddDecoder(ids, from, table, size); err != nil {
				return err
			}
			r.batch.SetLength(len(kept))
			if src := r.source; src != nil {
				r.batch.SetSource(len(src.kept[i]), src.tables[i])
			}
			r.add(i, from, to)
		}
		if len(r.seq) == 0 {
			return nil
		}
		if err := r.step(cache); err != nil {
			return err
		}
	}
}

// add notes a sequence of the present batch: kept tokens from … to-1 of row i.
func (r *run) add(i, from, to int) {
	r.seq, r.first = append(r.seq, i), append(r.first, from)
	for _, j := range r.kept[i][from:to] {
		r.rows = append(r.rows, i*r.t+j)
	}
}

// step runs the present batch and scatters its outputs.
func (r *run) step(cache *model.Cache) error {
	s := r.m.Stream
	if s.Reset(); r.m.opt.Hostile {
		poisonScratch(s)
	}
	r.batch.Capture = r.capture()
	if err := r.batch.Check(r.m.Model.Info(), cache); err != nil {
		return err
	}
	hidden := r.m.Model.Forward(s, &r.batch, cache)
	r.tokens("last_hidden", hidden)
	if err := r.heads(hidden); err != nil {
		return err
	}
	return s.Sync()
}

// heads applies every head that the kind of the golden has.
func (r *run) heads(hidden runtime.Tensor) error {
	s := r.m.Stream
	switch r.kind {
	case "causal", "masked", "pretrain", "seq2seq":
		r.tokens("logits", r.m.Model.Logits(s, hidden))
	case Headless:
		return nil
	case "encoder", "seqcls", "tokcls", "qa":
	default:
		return fmt.Errorf("golden: kind %q cannot be run", r.kind)
	}
	if r.kind == "causal" || r.kind == "masked" || r.kind == "seq2seq" {
		return nil
	}
	enc, ok := r.m.Model.(model.Encoder)
	if !ok {
		return fmt.Errorf("golden: %s is no encoder, which kind %q wants", r.m.Model.Info().Architecture, r.kind)
	}
	firsts := model.Rows(s, hidden, r.batch.QStarts[:len(r.seq)])
	switch r.kind {
	case "encoder":
		r.out["pooler_output"] = download(s, enc.Head(s, model.HeadPooler, firsts))
		r.out["mean_pooled_normalized"] = download(s, model.Pool(s, &r.batch, hidden, model.PoolMean, true))
	case "pretrain":
		r.out["nsp_logits"] = download(s, enc.Head(s, model.HeadNext, firsts))
	case "seqcls":
		r.out["logits"] = download(s, enc.Head(s, model.HeadSequence, model.Summaries(s, enc.Info(), &r.batch, hidden)))
	case "tokcls":
		r.tokens("logits", enc.Head(s, model.HeadToken, hidden))
	case "qa":
		span := enc.Head(s, model.HeadSpan, hidden)
		if s.Err() == nil {
			r.tokens("start_logits", span.ColRange(0, 1))
			r.tokens("end_logits", span.ColRange(1, 2))
		}
	}
	return nil
}

// tokens scatters a tensor with a row for each token of the batch.
func (r *run) tokens(name string, x runtime.Tensor) {
	v := download(r.m.Stream, x)
	if v == nil {
		return
	}
	out := r.room(name, r.b*r.t*x.Cols)
	for i, at := range r.rows {
		copy(out[at*x.Cols:][:x.Cols], v[i*x.Cols:])
	}
}

// room is the output of a name, made when it is first used.
func (r *run) room(name string, n int) []float32 {
	if r.out[name] == nil {
		r.out[name] = make([]float32, n)
	}
	return r.out[name]
}

// capture records what the case wants to see inside the model; nil: nothing.
func (r *run) capture() *model.Capture {
	var hidden, attn bool
	for name := range r.c.Outputs {
		hidden = hidden || strings.HasPrefix(name, r.stack+"hidden.")
		attn = attn || strings.HasPrefix(name, r.stack+"attn.")
	}
	if !hidden && !attn {
		return nil
	}
	return &model.Capture{
		Hidden: func(layer int, x runtime.Tensor) { r.tokens(fmt.Sprintf("%shidden.%d", r.stack, layer), x) },
		Probs: func(layer int, probs runtime.Tensor, maxK int) {
			r.probs(fmt.Sprintf("%sattn.%d", r.stack, layer), probs, maxK, r)
		},
		Cross: func(layer int, probs runtime.Tensor, maxK int) {
			r.probs(fmt.Sprintf("cross_attn.%d", layer), probs, maxK, r.source)
		},
	}
}

// probs scatters distributions over the tokens of a run, [T, Heads·maxK], to
// [B,H,T,Tkeys]. Of its own tokens a run has as many keys as it has read.
func (r *run) probs(name string, probs runtime.Tensor, maxK int, over *run) {
	v := download(r.m.Stream, probs)
	if v == nil {
		return
	}
	heads := probs.Cols / maxK
	out := r.room(name, r.b*heads*r.t*over.t)
	for n, i := range r.seq {
		from, to := int(r.batch.QStarts[n]), int(r.batch.QStarts[n+1])
		keys := len(over.kept[i])
		if over == r {
			keys = int(r.batch.KLens[n])
		}
		for q := from; q < to; q++ {
			query := r.kept[i][r.first[n]+q-from]
			for h := range heads {
				row := out[((i*heads+h)*r.t+query)*over.t:][:over.t]
				for k, x := range v[q*probs.Cols+h*maxK:][:keys] {
					row[over.kept[i][k]] = x
				}
			}
		}
	}
}

// download is the elements of an F32 tensor; nil if the stream has failed.
func download(s *runtime.Stream, t runtime.Tensor) []float32 {
	if s.Err() != nil || t.IsZero() {
		return nil
	}
	out := make([]float32, t.Rows*t.Cols)
	s.DownloadF32(out, t)
	if s.Sync() != nil {
		return nil
	}
	return out
}

// FillMask is the five most likely tokens at every mask of a batch.
func (m *Model) FillMask(f *FillMask) ([]MaskResult, error) {
	c := &Case{Name: "fill_mask", IDs: f.IDs, Mask: f.Mask, Types: f.Types}
	out, err := m.Case("masked", c)
	if err != nil {
		return nil, err
	}
	vocab := m.Model.Info().Vocab
	var results []MaskResult
	for i, ids := range f.IDs {
		for j, id := range ids {
			if id == f.MaskID {
				at := i*len(ids) + j
				r := MaskResult{Row: i, Position: j}
				r.IDs, r.Probs = best(out["logits"][at*vocab:][:vocab], 5)
				results = append(results, r)
			}
		}
	}
	return results, nil
}

// best is the k likeliest tokens of a row of logits and their probabilities.
func best(logits []float32, k int) ([]int32, []float64) {
	ids := make([]int32, len(logits))
	top, sum := float64(slices.Max(logits)), 0.0
	for i, x := range logits {
		ids[i] = int32(i)
		sum += math.Exp(float64(x) - top)
	}
	slices.SortStableFunc(ids, func(a, b int32) int {
		switch {
		case logits[a] > logits[b]:
			return -1
		case logits[a] < logits[b]:
			return 1
		}
		return 0
	})
	ids = ids[:min(k, len(ids))]
	probs := make([]float64, len(ids))
	for i, id := range ids {
		probs[i] = math.Exp(float64(logits[id])-top) / sum
	}
	return ids, probs
}
