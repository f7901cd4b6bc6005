package godwit

// Encoders: Embed, Classify and FillMask run texts through the model in passes of
// sequences laid end to end, without padding.

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/godwit-ml/godwit/model"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/tokenizer"
)

// passTokens is the most tokens of a pass, unless one input alone has more.
const passTokens = 2048

// input is one text on its way through an encoder.
type input struct {
	ids, types []int32
}

// encodeTexts tokenizes texts, or pairs of them, with special tokens. What is
// over limit is cut if truncate is set, and is an error otherwise.
func (m *Model) encodeTexts(texts, pairs []string, limit int, truncate bool) (ins []input, cut []int, tokens int, err error) {
	return m.encodeAll(texts, pairs, limit, truncate, func(*tokenizer.Encoding) {})
}

// encodeAll is encodeTexts that hands out the encodings.
func (m *Model) encodeAll(texts, pairs []string, limit int, truncate bool, use func(*tokenizer.Encoding)) (ins []input, cut []int, tokens int, err error) {
	if err := m.needTokenizer(); err != nil {
		return nil, nil, 0, err
	}
	for i, text := range texts {
		var e *tokenizer.Encoding
		encode := func(o tokenizer.Options) (err error) {
			if pairs != nil {
				e, err = m.cp.tok.EncodePair(text, pairs[i], o)
			} else {
				e, err = m.cp.tok.Encode(text, o)
			}
			return err
		}
		if err = encode(tokenizer.Options{Special: true}); err != nil {
			return nil, nil, 0, m.textError(fmt.Sprintf("Texts[%d]", i), err)
		}
		if n := len(e.IDs); n > limit {
			if !truncate {
				return nil, nil, 0, &TooLongError{Index: i, Tokens: n, Limit: limit}
			}
			cut = append(cut, i)
			if err = encode(tokenizer.Options{Special: true, Truncate: limit}); err != nil {
				return nil, nil, 0, m.textError(fmt.Sprintf("Texts[%d]", i), err)
			}
		}
		if len(e.IDs) == 0 {
			return nil, nil, 0, &ParamError{fmt.Sprintf("Texts[%d]", i), `""`, "has no tokens"}
		}
		tokens += len(e.IDs)
		ins = append(ins, m.input(e))
		use(e)
	}
	return ins, cut, tokens, nil
}

// input is an encoding as the model reads it. Tokenizers tell segments apart also
// for models that do not, such as DistilBERT.
func (m *Model) input(e *tokenizer.Encoding) input {
	if m.in.Types < 2 {
		return input{ids: e.IDs}
	}
	return input{e.IDs, e.TypeIDs}
}

// encodePasses runs inputs through the model, a pass at a time, and hands the
// hidden states of each pass to use: of inputs from to to, whose rows start at
// batch.QStarts.
func (m *Model) encodePasses(ctx context.Context, ins []input, usage *Usage, use func(s *runtime.Stream, b *model.Batch, from, to int, hidden runtime.Tensor) error) error {
	start := time.Now()
	for from := 0; from < len(ins); {
		to, n := from+1, len(ins[from].ids)
		for to < len(ins) && n+len(ins[to].ids) <= passTokens {
			n += len(ins[to].ids)
			to++
		}
		err := m.engine.Do(ctx, func(s *runtime.Stream) error {
			if from == 0 {
				usage.Queued = time.Since(start)
			}
			var b model.Batch
			for _, in := range ins[from:to] {
				if err := b.AddEncoder(in.ids, in.types, nil); err != nil {
					return err
				}
			}
			if err := b.Check(m.in, nil); err != nil {
				return err
			}
			return use(s, &b, from, to, m.inner.Forward(s, &b, nil))
		})
		if err != nil {
			return m.callError(err)
		}
		from = to
	}
	return nil
}

// Embed returns a vector a text: its pooled last hidden states, normalised if
// modules.json or the request says so.
func (m *Model) Embed(ctx context.Context, req EmbedRequest) (*EmbedResult, error) {
	start := time.Now()
	if err := m.can(TaskEmbed); err != nil {
		return nil, err
	}
	limit := m.info.Context
	if n := m.cp.vectors.maxTokens; n > 0 {
		limit = min(limit, n)
	}
	r := &EmbedResult{Vectors: [][]float32{}}
	ins, err := m.embedInputs(&req, limit, r)
	if err != nil {
		return nil, err
	}
	normalize := req.Normalize || m.cp.vectors.normalize
	err = m.encodePasses(ctx, ins, &r.Usage, func(s *runtime.Stream, b *model.Batch, from, to int, hidden runtime.Tensor) error {
		d := m.info.Hidden
		pooled := model.Pool(s, b, hidden, model.Pooling(m.info.Pooling), normalize)
		flat := make([]float32, (to-from)*d)
		s.DownloadF32(flat, pooled)
		var rows []float32
		if req.PerToken {
			rows = make([]float32, hidden.Rows*d)
			s.DownloadF32(rows, hidden)
		}
		if err := s.Sync(); err != nil {
			return err
		}
		for i := range to - from {
			r.Vectors = append(r.Vectors, slices.Clone(flat[i*d:(i+1)*d]))
			if req.PerToken {
				var tokens [][]float32
				for t := b.QStarts[i]; t < b.QStarts[i+1]; t++ {
					tokens = append(tokens, slices.Clone(rows[int(t)*d:int(t+1)*d]))
				}
				r.PerToken = append(r.PerToken, tokens)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	r.Usage.Total = time.Since(start)
	return r, nil
}

// embedInputs reads texts or ids.
func (m *Model) embedInputs(req *EmbedRequest, limit int, r *EmbedResult) (ins []input, err error) {
	if (len(req.Texts) == 0) == (len(req.Tokens) == 0) {
		return nil, &ParamError{"Texts", len(req.Texts), "exactly one of Texts and Tokens has something"}
	}
	if len(req.Texts) > 0 {
		ins, r.Truncated, r.Usage.PromptTokens, err = m.encodeTexts(req.Texts, nil, limit, req.Truncate)
		return ins, err
	}
	for i, ids := range req.Tokens {
		switch {
		case len(ids) == 0:
			return nil, &ParamError{fmt.Sprintf("Tokens[%d]", i), "[]", "is empty"}
		case len(ids) > limit && !req.Truncate:
			return nil, &TooLongError{Index: i, Tokens: len(ids), Limit: limit}
		case len(ids) > limit:
			ids = ids[:limit]
			r.Truncated = append(r.Truncated, i)
		}
		for k, id := range ids {
			if id < 0 || int(id) >= m.info.Vocab {
				return nil, &ParamError{fmt.Sprintf("Tokens[%d][%d]", i, k), id, fmt.Sprintf("is not in [0, %d)", m.info.Vocab)}
			}
		}
		r.Usage.PromptTokens += len(ids)
		ins = append(ins, input{ids: ids})
	}
	return ins, nil
}

// Classify returns labels for texts, best first: the softmax over the labels, or
// the sigmoid of each where they do not exclude one another.
func (m *Model) Classify(ctx context.Context, req ClassifyRequest) (*ClassifyResult, error) {
	start := time.Now()
	if err := m.can(TaskClassify); err != nil {
		return nil, err
	}
	switch {
	case len(req.Texts) == 0:
		return nil, &ParamError{"Texts", "[]", "is empty"}
	case req.Pairs != nil && len(req.Pairs) != len(req.Texts):
		return nil, &ParamError{"Pairs", len(req.Pairs), fmt.Sprintf("want one for each of %d texts", len(req.Texts))}
	case req.Top < 0 || req.Top > len(m.info.Labels):
		return nil, &ParamError{"Top", req.Top, fmt.Sprintf("the model has %d labels", len(m.info.Labels))}
	}
	r := &ClassifyResult{}
	ins, cut, tokens, err := m.encodeTexts(req.Texts, req.Pairs, m.info.Context, req.Truncate)
	if err != nil {
		return nil, err
	}
	r.Truncated, r.Usage.PromptTokens = cut, tokens
	err = m.encodePasses(ctx, ins, &r.Usage, func(s *runtime.Stream, b *model.Batch, _, _ int, hidden runtime.Tensor) error {
		logits := m.inner.(model.Encoder).Head(s, model.HeadSequence, model.Summaries(s, m.in, b, hidden))
		rows, err := fetchRows(s, logits)
		if err != nil {
			return err
		}
		for _, row := range rows {
			r.Labels = append(r.Labels, m.rank(row, req.Top, req.Raw))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	r.Usage.Total = time.Since(start)
	return r, nil
}

// fetchRows copies the rows of a tensor.
func fetchRows(s *runtime.Stream, t runtime.Tensor) ([][]float32, error) {
	flat := make([]float32, t.Rows*t.Cols)
	s.DownloadF32(flat, t)
	if err := s.Sync(); err != nil {
		return nil, err
	}
	rows := make([][]float32, t.Rows)
	for i := range rows {
		rows[i] = flat[i*t.Cols : (i+1)*t.Cols]
	}
	return rows, nil
}

// rank turns logits of labels into labels, best first.
func (m *Model) rank(logits []float32, top int, raw bool) []Label {
	scores := make([]float64, len(logits))
	for i, v := range logits {
		scores[i] = float64(v)
	}
	switch {
	case raw, m.in.Regression:
	case m.in.MultiLabel || len(logits) == 1:
		for i, v := range scores {
			scores[i] = 1 / (1 + math.Exp(-v))
		}
	default:
		softmax(scores)
	}
	labels := make([]Label, len(scores))
	for i, v := range scores {
		labels[i] = Label{m.info.Labels[i], int32(i), v}
	}
	slices.SortStableFunc(labels, func(a, b Label) int { return cmp.Compare(b.Score, a.Score) })
	if top > 0 {
		labels = labels[:top]
	}
	return labels
}

// softmax replaces logits by probabilities.
func softmax(v []float64) {
	most := slices.Max(v)
	var sum float64
	for i, x := range v {
		v[i] = math.Exp(x - most)
		sum += v[i]
	}
	for i := range v {
		v[i] /= sum
	}
}

// anyMask is how a mask may be written for every model.
const anyMask = "[MASK]"

// FillMask returns the most likely tokens at each mask of a text.
func (m *Model) FillMask(ctx context.Context, req FillMaskRequest) (*FillMaskResult, error) {
	start := time.Now()
	if m.in.Kind == model.Encode && m.in.LM && m.cp.tok != nil && m.cp.tok.Roles().Mask < 0 {
		return nil, &UnsupportedError{What: fmt.Sprintf("task %q with a tokenizer that has no mask token", TaskFillMask), Model: m.info.Name}
	}
	if err := m.can(TaskFillMask); err != nil {
		return nil, err
	}
	top := req.Top
	if top == 0 {
		top = 5
	}
	if top < 0 || top > m.info.Vocab {
		return nil, &ParamError{"Top", req.Top, fmt.Sprintf("want 0 (5) to %d", m.info.Vocab)}
	}
	targets, err := m.targets(req.Targets)
	if err != nil {
		return nil, err
	}
	mask := m.cp.tok.Roles().Mask
	text := strings.ReplaceAll(req.Text, anyMask, m.info.MaskToken)
	e, err := m.cp.tok.Encode(text, tokenizer.Options{Special: true, Allow: []int32{mask}})
	if err != nil {
		return nil, m.textError("Text", err)
	}
	if len(e.IDs) > m.info.Context {
		return nil, &TooLongError{Tokens: len(e.IDs), Limit: m.info.Context}
	}
	var rows []int32
	for i, id := range e.IDs {
		if id == mask {
			rows = append(rows, int32(i))
		}
	}
	if len(rows) == 0 {
		return nil, &ParamError{"Text", fmt.Sprintf("%q", shorten(req.Text, 40)), fmt.Sprintf("has no mask: write %s where a word is missing", anyMask)}
	}
	r := &FillMaskResult{Usage: Usage{PromptTokens: len(e.IDs)}}
	err = m.encodePasses(ctx, []input{m.input(e)}, &r.Usage, func(s *runtime.Stream, _ *model.Batch, _, _ int, hidden runtime.Tensor) error {
		logits, err := fetchRows(s, m.inner.Logits(s, model.Rows(s, hidden, rows)))
		if err != nil {
			return err
		}
		for _, row := range logits {
			r.Masks = append(r.Masks, m.words(row, top, targets))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	r.Usage.Total = time.Since(start)
	return r, nil
}

// targets are the ids of words a request restricts the answer to.
func (m *Model) targets(words []string) ([]int32, error) {
	var ids []int32
	for i, w := range words {
		id, ok := m.cp.tok.ID(w)
		if !ok {
			if got, err := m.cp.tok.AppendIDs(nil, w, tokenizer.Options{}); err == nil && len(got) == 1 {
				id, ok = got[0], true
			}
		}
		if !ok || int(id) >= m.info.Vocab {
			return nil, &ParamError{fmt.Sprintf("Targets[%d]", i), fmt.Sprintf("%q", w), "is no single token of the model"}
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// words are the most likely tokens of a row of logits, of all or of targets.
func (m *Model) words(logits []float32, top int, targets []int32) []Label {
	p := make([]float64, len(logits))
	for i, v := range logits {
		p[i] = float64(v)
	}
	softmax(p)
	ids := slices.Clone(targets)
	if ids == nil {
		ids = make([]int32, len(p))
		for i := range ids {
			ids[i] = int32(i)
		}
	}
	slices.SortFunc(ids, func(a, b int32) int { return cmp.Or(cmp.Compare(p[b], p[a]), cmp.Compare(a, b)) })
	ids = slices.Compact(ids)
	labels := make([]Label, 0, top)
	for _, id := range ids[:min(top, len(ids))] {
		labels = append(labels, Label{m.cp.tok.Decode([]int32{id}, false), id, p[id]})
	}
	return labels
}

// shorten cuts a text for a message.
func shorten(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n]) + "…"
}
