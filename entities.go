package godwit

// Entities: the labels of tokens, grouped to spans of the text.

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/godwit-ml/godwit/model"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/tokenizer"
)

// groupings are what EntitiesRequest.Group takes; the first is the usual one.
var groupings = []string{"simple", "first", "average", "max", "none"}

// outside is the label of what is no entity.
const outside = "O"

// Entities finds what a token classifier was trained to find, as names of persons
// and places: spans of each text in their order, those with the label "O" left
// out. Labels that begin with "B-" and "I-" are read as the beginning and the
// inside of an entity.
//
// How tokens become spans is EntitiesRequest.Group, with the meanings that
// transformers' pipeline gives these words. "none": each token is a span.
// "simple": tokens of one label in a row are one. The others first give all tokens
// of a word one label, so that no word is cut: "first", that of its first token;
// "max", that of the token with the highest score; "average", the best of the
// tokens' mean. The score of a span is the mean of its parts'.
func (m *Model) Entities(ctx context.Context, req EntitiesRequest) (*EntitiesResult, error) {
	start := time.Now()
	if err := m.can(TaskEntities); err != nil {
		return nil, err
	}
	group := req.Group
	if group == "" {
		group = groupings[0]
	}
	switch {
	case len(req.Texts) == 0:
		return nil, &ParamError{"Texts", "[]", "is empty"}
	case !slices.Contains(groupings, group):
		return nil, &ParamError{"Group", fmt.Sprintf("%q", req.Group), "want " + strings.Join(groupings, ", ")}
	}
	r := &EntitiesResult{Spans: [][]Span{}}
	encoded := make([]*tokenizer.Encoding, 0, len(req.Texts))
	ins, cut, tokens, err := m.encodeAll(req.Texts, nil, m.info.Context, req.Truncate, func(e *tokenizer.Encoding) { encoded = append(encoded, e) })
	if err != nil {
		return nil, err
	}
	r.Truncated, r.Usage.PromptTokens = cut, tokens
	err = m.encodePasses(ctx, ins, &r.Usage, func(s *runtime.Stream, b *model.Batch, from, to int, hidden runtime.Tensor) error {
		rows, err := fetchRows(s, m.inner.(model.Encoder).Head(s, model.HeadToken, hidden))
		if err != nil {
			return err
		}
		for i := from; i < to; i++ {
			logits := rows[b.QStarts[i-from]:b.QStarts[i-from+1]]
			r.Spans = append(r.Spans, m.entities(req.Texts[i], encoded[i], logits, group))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	r.Usage.Total = time.Since(start)
	return r, nil
}

// tagged is a token, or a word, with the probabilities of its labels.
type tagged struct {
	start, end int // bytes of the text
	inside     bool
	p          []float64
}

// entities are the spans of one text.
func (m *Model) entities(text string, e *tokenizer.Encoding, logits [][]float32, group string) []Span {
	var parts []tagged
	for i, row := range logits {
		if e.Segment[i] < 0 { // special tokens around the text
			continue
		}
		p := make([]float64, len(row))
		for k, x := range row {
			p[k] = float64(x)
		}
		softmax(p)
		at := e.Offsets[i]
		parts = append(parts, tagged{at[0], at[1], m.goesOn(text, e, i), p})
	}
	if group != "none" && group != "simple" {
		parts = wordsOf(parts, group)
	}
	spans := make([]Span, 0, len(parts))
	for _, p := range parts {
		k := best(p.p)
		spans = append(spans, Span{Label: m.info.Labels[k], Start: p.start, End: p.end, Score: p.p[k]})
	}
	if group != "none" {
		spans = grouped(spans)
	}
	found := spans[:0]
	for _, s := range spans {
		if s.Label != outside {
			s.Text = text[s.Start:s.End]
			found = append(found, s)
		}
	}
	return found
}

// goesOn reports whether a token goes on with the word of the one before it. A
// vocabulary that marks such tokens spells them longer than the text does; of
// others only the space before a word tells.
func (m *Model) goesOn(text string, e *tokenizer.Encoding, i int) bool {
	if e.IDs[i] == m.cp.tok.Roles().Unk {
		return false
	}
	from, to := e.Offsets[i][0], e.Offsets[i][1]
	if m.cp.tok.Continuation() != "" {
		return utf8.RuneCountInString(e.Tokens[i]) != utf8.RuneCountInString(text[from:to])
	}
	return from > 0 && text[from-1] != ' ' && (from == len(text) || text[from] != ' ')
}

// wordsOf joins the tokens of words, and gives each word one label.
func wordsOf(parts []tagged, group string) []tagged {
	var words []tagged
	for from := 0; from < len(parts); {
		to := from + 1
		for to < len(parts) && parts[to].inside {
			to++
		}
		w := tagged{start: parts[from].start, end: parts[to-1].end}
		switch group {
		case "first":
			w.p = parts[from].p
		case "max":
			for _, t := range parts[from:to] {
				if w.p == nil || slices.Max(t.p) > slices.Max(w.p) {
					w.p = t.p
				}
			}
		case "average":
			w.p = make([]float64, len(parts[from].p))
			for _, t := range parts[from:to] {
				for k, x := range t.p {
					w.p[k] += x / float64(to-from)
				}
			}
		}
		words = append(words, w)
		from = to
	}
	return words
}

// grouped joins neighbours of one label, unless a new entity begins.
func grouped(parts []Span) []Span {
	var spans []Span
	n := 0.0      // parts of the last span
	present := "" // its label, without "B-" and "I-"
	for _, p := range parts {
		label, begins := strings.CutPrefix(p.Label, "B-")
		if !begins {
			label = strings.TrimPrefix(label, "I-")
		}
		if len(spans) > 0 && !begins && label == present {
			last := &spans[len(spans)-1]
			last.End = p.End
			n++
			last.Score += (p.Score - last.Score) / n
			continue
		}
		if _, name, ok := strings.Cut(p.Label, "-"); ok { // whatever the letter before it
			p.Label = name
		}
		spans, present, n = append(spans, p), label, 1
	}
	return spans
}

// best is the first index of the largest value.
func best(p []float64) int {
	at := 0
	for i, x := range p {
		if x > p[at] || math.IsNaN(p[at]) {
			at = i
		}
	}
	return at
}
