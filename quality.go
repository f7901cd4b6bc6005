package godwit

// Quality: what an arithmetic costs, against the exact one on the same text.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"slices"
	"strings"

	"github.com/godwit-ml/godwit/engine"
	"github.com/godwit-ml/godwit/model"
	"github.com/godwit-ml/godwit/tokenizer"
)

// QualityRequest is a text to compare two models on.
type QualityRequest struct {
	Text string `json:"text"`
	// Window is how many tokens of the text are read at a time, each window by
	// itself; 0: 512, or the context where that is less. Encoders read a sentence
	// at a time.
	Window int `json:"window,omitempty"`
}

// Quality is how far a model is from another. Of the two parts one is nil.
type Quality struct {
	Done   int `json:"done"`   // windows, or of encoders sentences, that this is of
	Total  int `json:"total"`  // how many there are
	Tokens int `json:"tokens"` // scored; of encoders: read

	*LogitsQuality
	*VectorQuality
}

// LogitsQuality compares the distributions p of the exact model and q of the other
// over the next token, at every place of a text.
type LogitsQuality struct {
	Perplexity      float64 `json:"perplexity"`       // e to the mean of -ln q(token)
	ExactPerplexity float64 `json:"exact_perplexity"` // e to the mean of -ln p(token)
	KLMean          float64 `json:"kl_mean"`          // of Σ p·ln(p/q), nats (Kullback and Leibler, 1951)
	KLMax           float64 `json:"kl_max"`
	Agreement       float64 `json:"agreement"` // part of the places where both find the same token likeliest
}

// VectorQuality compares the vectors of Embed.
type VectorQuality struct {
	CosineMean float64 `json:"cosine_mean"`
	CosineMin  float64 `json:"cosine_min"`
}

// qualityWindow is the usual window.
const qualityWindow = 512

// Quality compares the model with another of the same checkpoint, which is said
// to be exact: as a rule opened with DType "f32" and nothing quantised. It yields
// a value after each window, of all windows so far; the last is the whole text's.
//
// A window of a decoder begins with what its tokenizer puts before any text; all
// tokens but the window's first are scored, each given those before it in the
// window. Encoder-decoders read a window with the encoder and score it as the
// decoder's text. Logits are compared in float64 on the host; at most two windows
// of them are held. Encoders compare the vectors of the text's sentences.
func (m *Model) Quality(ctx context.Context, exact *Model, req QualityRequest) iter.Seq2[Quality, error] {
	return func(yield func(Quality, error) bool) {
		if err := m.compare(ctx, exact, &req, func(q Quality) bool { return yield(q, nil) }); err != nil {
			yield(Quality{}, err)
		}
	}
}

// compare hands out values until the text ends or nobody wants more.
func (m *Model) compare(ctx context.Context, exact *Model, req *QualityRequest, use func(Quality) bool) error {
	task := TaskGenerate
	if m.in.Kind == model.Encode {
		task = TaskEmbed
	}
	for _, check := range []error{m.can(task), exact.can(task), m.needTokenizer()} {
		if check != nil {
			return check
		}
	}
	if a, b := m.in, exact.in; a.Kind != b.Kind || a.Vocab != b.Vocab || a.Layers != b.Layers || a.Hidden != b.Hidden {
		return &ParamError{"exact", exact.info.Name, "is another model than " + m.info.Name}
	}
	if m.in.Kind == model.Encode {
		return m.compareVectors(ctx, exact, req, use)
	}
	return m.compareLogits(ctx, exact, req, use)
}

// compareLogits goes over the windows of a text.
func (m *Model) compareLogits(ctx context.Context, exact *Model, req *QualityRequest, use func(Quality) bool) error {
	windows, err := m.qualityWindows(req, min(m.info.Context, exact.info.Context))
	if err != nil {
		return err
	}
	var sum comparison
	for i, w := range windows {
		if err := m.compareWindow(ctx, exact, w, &sum); err != nil {
			return err
		}
		n := float64(sum.tokens)
		q := Quality{Done: i + 1, Total: len(windows), Tokens: sum.tokens, LogitsQuality: &LogitsQuality{
			Perplexity: math.Exp(sum.nll / n), ExactPerplexity: math.Exp(sum.exactNLL / n),
			KLMean: sum.kl / n, KLMax: sum.klMax, Agreement: float64(sum.agree) / n,
		}}
		if !use(q) {
			return nil
		}
	}
	return nil
}

// qualityWindows cuts a text. Those of a decoder that begins texts with special tokens
// begin with them.
func (m *Model) qualityWindows(req *QualityRequest, context int) ([][]int32, error) {
	if m.in.Kind == model.Seq2Seq {
		context-- // the model's first token stands before the text
	}
	size := req.Window
	if size == 0 {
		size = min(qualityWindow, context)
	}
	if size < 2 || size > context {
		return nil, &ParamError{"Window", req.Window, fmt.Sprintf("want 2 to %d tokens, or 0 (%d)", context, min(qualityWindow, context))}
	}
	e, err := m.cp.tok.Encode(req.Text, tokenizer.Options{Special: true})
	if err != nil {
		return nil, m.textError("Text", err)
	}
	ids, first := e.IDs, 0
	for first < len(ids) && e.Special[first] {
		first++
	}
	last := len(ids)
	for last > first && e.Special[last-1] {
		last--
	}
	begin, least := ids[:first:first], 2 // a window scores at least a token, and not its first
	switch {
	case m.in.Kind == model.Seq2Seq:
		begin, least = nil, 1
	case first > 0:
		least = 1
	}
	step := size - len(begin)
	if step < least {
		return nil, &ParamError{"Window", req.Window, fmt.Sprintf("is too short: each window begins with %d special tokens", len(begin))}
	}
	var windows [][]int32
	for part := range slices.Chunk(ids[first:last], step) {
		if len(part) >= least {
			windows = append(windows, slices.Concat(begin, part))
		}
	}
	if len(windows) == 0 {
		return nil, &ParamError{"Text", fmt.Sprintf("%q", shorten(req.Text, 40)), "has too few tokens to score one"}
	}
	return windows, nil
}

// comparison sums over the places of a text.
type comparison struct {
	tokens, agree            int
	nll, exactNLL, kl, klMax float64
	p, q                     []float64 // log-probabilities of a row
}

// compareWindow scores a window with both models: with the exact one first, the
// other's rows are compared as they come.
func (m *Model) compareWindow(ctx context.Context, exact *Model, window []int32, sum *comparison) error {
	want, err := exact.scoreWindow(ctx, window)
	if err != nil {
		return err
	}
	rows, err := want.Wait(ctx)
	if err != nil {
		return exact.callError(err)
	}
	got, err := m.scoreWindow(ctx, window)
	if err != nil {
		return err
	}
	for i := range rows {
		t, err := got.Next(ctx)
		if err != nil {
			return m.callError(err)
		}
		sum.add(rows[i].Logits, t.Logits, t.ID)
		rows[i].Logits = nil
	}
	if _, err := got.Next(ctx); !errors.Is(err, io.EOF) { // it ends with its last row
		return m.callError(err)
	}
	return nil
}

// scoreWindow starts to score a window's tokens, with the rows they are chosen from.
func (m *Model) scoreWindow(ctx context.Context, window []int32) (*engine.Run, error) {
	r := engine.Request{Prompts: [][]int32{window}, Sampling: engine.Greedy(), Logprobs: -1, Score: &engine.Score{From: 1, Logits: true}}
	if m.in.Kind == model.Seq2Seq {
		r.Prefix, r.Score.From = window, 0
	}
	run, err := m.engine.Submit(ctx, r)
	return run, m.callError(err)
}

// add compares the logits of a place, whose token is known. The engine refuses
// rows that are no distribution.
func (c *comparison) add(exact, asked []float32, token int32) {
	var best, other int
	c.p, best = logSoftmax(c.p, exact)
	c.q, other = logSoftmax(c.q, asked)
	var kl float64
	for i, p := range c.p {
		if w := math.Exp(p); w > 0 {
			kl += w * (p - c.q[i])
		}
	}
	kl = max(kl, 0) // rounding may leave less
	c.kl += kl
	c.klMax = max(c.klMax, kl)
	c.exactNLL -= c.p[token]
	c.nll -= c.q[token]
	c.tokens++
	if best == other {
		c.agree++
	}
}

// logSoftmax is log p[i] = x[i] - log Σ exp x[j] of a row, and the index of the
// largest: of equals the first.
func logSoftmax(dst []float64, row []float32) ([]float64, int) {
	best := 0
	for i, v := range row {
		if v > row[best] {
			best = i
		}
	}
	dst = dst[:0]
	most, sum := float64(row[best]), 0.0
	for _, v := range row {
		x := float64(v) - most
		dst = append(dst, x)
		sum += math.Exp(x)
	}
	lse := math.Log(sum)
	for i := range dst {
		dst[i] -= lse
	}
	return dst, best
}

// qualityBatch is how many sentences are embedded at once.
const qualityBatch = 32

// compareVectors goes over the sentences of a text.
func (m *Model) compareVectors(ctx context.Context, exact *Model, req *QualityRequest, use func(Quality) bool) error {
	if req.Window != 0 {
		return &ParamError{"Window", req.Window, "want 0: an encoder reads sentences"}
	}
	texts := sentences(req.Text)
	if len(texts) == 0 {
		return &ParamError{"Text", fmt.Sprintf("%q", shorten(req.Text, 40)), "has no sentences"}
	}
	q := Quality{Total: len(texts)}
	sum, least := 0.0, math.Inf(1)
	for batch := range slices.Chunk(texts, qualityBatch) {
		in := EmbedRequest{Texts: batch, Truncate: true}
		want, err := exact.Embed(ctx, in)
		if err != nil {
			return err
		}
		got, err := m.Embed(ctx, in)
		if err != nil {
			return err
		}
		for i, v := range got.Vectors {
			c := cosine(want.Vectors[i], v)
			sum += c
			least = min(least, c)
		}
		q.Done += len(batch)
		q.Tokens += got.Usage.PromptTokens
		q.VectorQuality = &VectorQuality{CosineMean: sum / float64(q.Done), CosineMin: least}
		if !use(q) {
			return nil
		}
	}
	return nil
}

// sentences cuts a text at line ends, and after a full stop, a question mark or an
// exclamation mark that a space follows.
func sentences(text string) []string {
	var all []string
	for line := range strings.Lines(text) {
		for line = strings.TrimSpace(line); line != ""; {
			end := len(line)
			for i := range len(line) - 1 {
				if strings.IndexByte(".?!", line[i]) >= 0 && line[i+1] == ' ' {
					end = i + 1
					break
				}
			}
			all = append(all, line[:end])
			line = strings.TrimSpace(line[end:])
		}
	}
	return all
}

// cosine is the cosine of the angle between two vectors, in float64. Two zeros
// point the same way, and a zero and another vector nowhere near.
func cosine(a, b []float32) float64 {
	var ab, aa, bb float64
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		ab, aa, bb = ab+x*y, aa+x*x, bb+y*y
	}
	switch {
	case aa == 0 && bb == 0:
		return 1
	case aa == 0 || bb == 0:
		return 0
	}
	return min(ab/math.Sqrt(aa*bb), 1)
}
