package godwit

// Answer: the part of a text that answers a question.

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

// A context that does not fit is read in windows that overlap, as transformers'
// pipeline does: of this many tokens with the question, of which those of the
// context overlap by so many.
const (
	windowTokens  = 384
	windowOverlap = 128
)

// answerTokens is the most tokens of an answer, unless the request says otherwise.
const answerTokens = 15

// Answer finds the parts of a context that answer a question. The score of a part
// is the probability of its first token as a start times that of its last as an
// end; parts that read alike, wherever they stand, are one with the sum of their
// scores. An answer is of whole words. A context that is too long is read in
// windows that overlap.
//
// Models that were trained for it say that there is no answer by the probability
// of the first token, which is no part of the context: if nothing is likelier, the
// result is empty.
func (m *Model) Answer(ctx context.Context, req AnswerRequest) (*AnswerResult, error) {
	start := time.Now()
	if err := m.can(TaskAnswer); err != nil {
		return nil, err
	}
	top, most := req.Top, req.MaxTokens
	if top == 0 {
		top = 1
	}
	if most == 0 {
		most = answerTokens
	}
	switch {
	case strings.TrimSpace(req.Question) == "":
		return nil, &ParamError{"Question", fmt.Sprintf("%q", req.Question), "is empty"}
	case strings.TrimSpace(req.Context) == "":
		return nil, &ParamError{"Context", fmt.Sprintf("%q", req.Context), "is empty: answers are parts of it"}
	case top < 0 || top > 1000:
		return nil, &ParamError{"Top", req.Top, "want 0 (1) to 1000"}
	case most < 0:
		return nil, &ParamError{"MaxTokens", req.MaxTokens, fmt.Sprintf("want 0 (%d) or more", answerTokens)}
	}
	windows, err := m.windows(req.Question, req.Context)
	if err != nil {
		return nil, err
	}
	r := &AnswerResult{Spans: []Span{}}
	ins := make([]input, len(windows))
	for i, w := range windows {
		ins[i] = w.input
		r.Usage.PromptTokens += len(w.ids)
	}
	found := &answers{context: req.Context, first: m.cp.tok.Roles().CLS, none: math.Inf(1)}
	err = m.encodePasses(ctx, ins, &r.Usage, func(s *runtime.Stream, b *model.Batch, from, to int, hidden runtime.Tensor) error {
		rows, err := fetchRows(s, m.inner.(model.Encoder).Head(s, model.HeadSpan, hidden))
		if err != nil {
			return err
		}
		for i := from; i < to; i++ {
			found.read(windows[i], rows[b.QStarts[i-from]:b.QStarts[i-from+1]], 2*top+10, most)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	r.Spans = found.best(top, req.Force)
	r.Usage.Total = time.Since(start)
	return r, nil
}

// window is a question with a part of its context.
type window struct {
	input
	from    int      // row of the first token of the context
	offsets [][2]int // of the context's tokens, bytes
	words   []int32
}

// windows are a question with all parts of its context.
func (m *Model) windows(question, context string) ([]window, error) {
	e, err := m.cp.tok.EncodePair(question, context, tokenizer.Options{Special: true})
	if err != nil {
		return nil, m.textError("Context", err)
	}
	from := slices.Index(e.Segment, 1)
	switch {
	case !slices.Contains(e.Segment, 0):
		return nil, &ParamError{"Question", fmt.Sprintf("%q", shorten(question, 40)), "has no tokens"}
	case from < 0:
		return nil, &ParamError{"Context", fmt.Sprintf("%q", shorten(context, 40)), "has no tokens"}
	}
	to := from
	for to < len(e.Segment) && e.Segment[to] == 1 {
		to++
	}
	limit := min(windowTokens, m.info.Context)
	if n := m.cp.tok.MaxLength(); n > 0 {
		limit = min(limit, n)
	}
	overlap := min(limit/2, windowOverlap)
	room := limit - from - (len(e.IDs) - to)
	if room < 1 {
		return nil, &TooLongError{Tokens: len(e.IDs) - (to - from), Limit: limit - 1}
	}
	if overlap >= room { // a long question
		overlap = room / 2
	}
	var all []window
	for at := from; ; at += room - overlap {
		end := min(at+room, to)
		cut := func(v []int32) []int32 { return slices.Concat(v[:from], v[at:end], v[to:]) }
		all = append(all, window{input: m.input(&tokenizer.Encoding{IDs: cut(e.IDs), TypeIDs: cut(e.TypeIDs)}),
			from: from, offsets: e.Offsets[at:end], words: e.Words[at:end]})
		if end == to {
			return all, nil
		}
	}
}

// answers collects what windows say.
type answers struct {
	context string
	first   int32 // the token that stands for no answer
	spans   []Span
	none    float64 // the least probability that there is no answer
}

// read adds the candidates of a window, whose rows are logits of starts and ends.
func (a *answers) read(w window, rows [][]float32, candidates, most int) {
	n := len(w.offsets)
	starts, ends := make([]float64, n+1), make([]float64, n+1) // that of no answer, and those of the context
	starts[0], ends[0] = math.Inf(-1), math.Inf(-1)
	if a.first == w.ids[0] {
		starts[0], ends[0] = float64(rows[0][0]), float64(rows[0][1])
	}
	for i, row := range rows[w.from : w.from+n] {
		starts[i+1], ends[i+1] = float64(row[0]), float64(row[1])
	}
	softmax(starts)
	softmax(ends)
	a.none = min(a.none, starts[0]*ends[0])
	type candidate struct {
		start, end int
		score      float64
	}
	var all []candidate // the best so far, best first
	for i := 1; i <= n; i++ {
		for k := i; k <= n && k-i < most; k++ {
			c := candidate{i - 1, k - 1, starts[i] * ends[k]}
			if len(all) == candidates && c.score <= all[len(all)-1].score {
				continue
			}
			at, _ := slices.BinarySearchFunc(all, c, func(x, c candidate) int {
				if x.score >= c.score {
					return -1 // behind its equals
				}
				return 1
			})
			all = slices.Insert(all, at, c)
			all = all[:min(len(all), candidates)]
		}
	}
	for _, c := range all {
		if c.score > 0 {
			a.add(w.wordsAt(c.start, c.end), c.score)
		}
	}
}

// wordsAt is the part of the context from the beginning of the word of one token to
// the end of the word of another.
func (w *window) wordsAt(first, last int) [2]int {
	for first > 0 && w.words[first-1] == w.words[first] {
		first--
	}
	for last+1 < len(w.words) && w.words[last+1] == w.words[last] {
		last++
	}
	return [2]int{w.offsets[first][0], w.offsets[last][1]}
}

// add counts an answer, with those that read alike.
func (a *answers) add(at [2]int, score float64) {
	text := a.context[at[0]:at[1]]
	for i := range a.spans {
		if strings.EqualFold(a.spans[i].Text, text) {
			a.spans[i].Score += score
			return
		}
	}
	a.spans = append(a.spans, Span{Text: text, Start: at[0], End: at[1], Score: score})
}

// best are the likeliest answers; none if it is likelier that there is none,
// unless there has to be one.
func (a *answers) best(top int, force bool) []Span {
	slices.SortStableFunc(a.spans, func(x, y Span) int { return cmp.Compare(y.Score, x.Score) })
	if len(a.spans) == 0 || !force && a.none > a.spans[0].Score {
		return []Span{}
	}
	return a.spans[:min(top, len(a.spans))]
}
