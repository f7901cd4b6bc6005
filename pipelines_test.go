package godwit_test

// Entities and answers: those of transformers' pipelines, and what is refused.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godwit-ml/godwit"
)

// pipelineRow is a line of golden.json of ci/pipelines.py. A span is a label, the
// bytes it begins and ends at, and a score; one of an answer has no label.
type pipelineRow struct {
	Text     string             `json:"text"`
	Question string             `json:"question"`
	Entities map[string][][]any `json:"entities"`
	Answers  []struct {
		How struct {
			Top       int  `json:"top_k"`
			None      bool `json:"handle_impossible_answer"`
			MaxTokens int  `json:"max_answer_len"`
		} `json:"how"`
		Spans [][]any `json:"spans"`
	} `json:"answers"`
}

func pipelineRows(t testing.TB) []pipelineRow {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "pipelines", "golden.json"))
	if err != nil {
		t.Fatal(err)
	}
	var rows []pipelineRow
	if err := json.Unmarshal(b, &rows); err != nil {
		t.Fatal(err)
	}
	if len(rows) != 40 {
		t.Fatalf("%d rows", len(rows))
	}
	return rows
}

func openPipeline(t testing.TB, name string, cfg godwit.Config) *godwit.Model {
	t.Helper()
	m, err := godwit.Open(context.Background(), filepath.Join("testdata", "pipelines", name), cfg)
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

// sameSpans compares spans with a pipeline's, whose scores are float32.
func sameSpans(got []godwit.Span, want [][]any, text string) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d spans, want %d: %v, want %v", len(got), len(want), got, want)
	}
	for i, w := range want {
		label := ""
		if len(w) == 4 {
			label, w = w[0].(string), w[1:]
		}
		g := got[i]
		if g.Label != label || g.Start != int(w[0].(float64)) || g.End != int(w[1].(float64)) || !(math.Abs(g.Score-w[2].(float64)) <= 2e-5) {
			return fmt.Errorf("span %d is %+v, want %q %v", i, g, label, w)
		}
		if g.Text != text[g.Start:g.End] {
			return fmt.Errorf("span %d has the text %q, which is not that of its bytes", i, g.Text)
		}
	}
	return nil
}

// TestEntitiesGolden: spans and scores of all ways of grouping, each text alone and
// all in one request.
func TestEntitiesGolden(t *testing.T) {
	m := openPipeline(t, "entities", godwit.Config{})
	rows := pipelineRows(t)
	texts := make([]string, len(rows))
	for i, r := range rows {
		texts[i] = r.Text
	}
	for _, group := range []string{"", "none", "simple", "first", "average", "max"} {
		all, err := m.Entities(context.Background(), godwit.EntitiesRequest{Texts: texts, Group: group, Truncate: true})
		if err != nil {
			t.Fatal(err)
		}
		want := group
		if group == "" {
			want = "simple"
		}
		for i, r := range rows {
			if err := sameSpans(all.Spans[i], r.Entities[want], r.Text); err != nil {
				t.Errorf("%q, group %q: %v", r.Text, group, err)
			}
		}
		if len(all.Truncated) == 0 || all.Usage.PromptTokens == 0 {
			t.Errorf("truncated %v, usage %+v", all.Truncated, all.Usage)
		}
	}
	one, err := m.Entities(context.Background(), godwit.EntitiesRequest{Texts: texts[:1], Group: "max"})
	if err != nil {
		t.Fatal(err)
	}
	if err := sameSpans(one.Spans[0], rows[0].Entities["max"], texts[0]); err != nil {
		t.Error(err)
	}
}

// TestAnswerGolden: answers, and that there is none, also of contexts that are read
// in windows.
func TestAnswerGolden(t *testing.T) {
	m := openPipeline(t, "questions", godwit.Config{})
	windowed, none := 0, 0
	for _, r := range pipelineRows(t) {
		for _, a := range r.Answers {
			got, err := m.Answer(context.Background(), godwit.AnswerRequest{Question: r.Question, Context: r.Text,
				Top: a.How.Top, MaxTokens: a.How.MaxTokens, Force: !a.How.None})
			if err != nil {
				t.Fatal(err)
			}
			want := a.Spans
			for i, w := range want {
				if w[1].(float64) == 0 { // no answer: none behind it counts if it is the first, else it is left out
					none++
					if want = append(append([][]any{}, want[:i]...), want[i+1:]...); i == 0 {
						want = nil
					} else if len(got.Spans) > len(want) {
						got.Spans = got.Spans[:len(want)] // one more, in its place
					}
					break
				}
			}
			if err := sameSpans(got.Spans, want, r.Text); err != nil {
				t.Errorf("%q, %+v: %v", r.Text, a.How, err)
			}
			if got.Usage.PromptTokens > 96 {
				windowed++
			}
		}
	}
	if windowed < 8 || none < 8 {
		t.Errorf("%d answers from windows, %d times none: the texts no longer try that", windowed, none)
	}
}

// TestSpanErrors: each error names the field.
func TestSpanErrors(t *testing.T) {
	ctx := context.Background()
	asks, tags := openPipeline(t, "questions", godwit.Config{}), openPipeline(t, "entities", godwit.Config{})
	answer := func(r godwit.AnswerRequest) error { _, err := asks.Answer(ctx, r); return err }
	entities := func(r godwit.EntitiesRequest) error { _, err := tags.Entities(ctx, r); return err }
	for field, err := range map[string]error{
		"Question":  answer(godwit.AnswerRequest{Question: " \t", Context: "There is one."}),
		"Context":   answer(godwit.AnswerRequest{Question: "Who?"}),
		"Top":       answer(godwit.AnswerRequest{Question: "Who?", Context: "He.", Top: -1}),
		"MaxTokens": answer(godwit.AnswerRequest{Question: "Who?", Context: "He.", MaxTokens: -1}),
		"Texts":     entities(godwit.EntitiesRequest{}),
		"Group":     entities(godwit.EntitiesRequest{Texts: []string{"a"}, Group: "last"}),
	} {
		var p *godwit.ParamError
		if !errors.As(err, &p) || p.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	// Characters that vanish leave nothing to ask, or to answer with.
	var p *godwit.ParamError
	if err := answer(godwit.AnswerRequest{Question: "Who?", Context: "\u00ad\u200b\x01"}); !errors.As(err, &p) || p.Field != "Context" {
		t.Errorf("a context of control characters: %v", err)
	}
	if err := answer(godwit.AnswerRequest{Question: "\x01", Context: "He."}); !errors.As(err, &p) || p.Field != "Question" {
		t.Errorf("a question of control characters: %v", err)
	}
	var long *godwit.TooLongError
	if err := answer(godwit.AnswerRequest{Question: strings.Repeat("why ", 200), Context: "So."}); !errors.As(err, &long) {
		t.Errorf("a long question: %v", err)
	}
	if err := entities(godwit.EntitiesRequest{Texts: []string{"a", strings.Repeat("why ", 200)}}); !errors.As(err, &long) || long.Index != 1 {
		t.Errorf("a long text: %v", err)
	}
	// A question that leaves little room is asked all the same.
	if err := answer(godwit.AnswerRequest{Question: strings.Repeat("a ", 90), Context: "it goes on and on and on"}); err != nil {
		t.Errorf("a question that leaves little room: %v", err)
	}
	for task, err := range map[string]error{
		"entities": func() error { _, err := asks.Entities(ctx, godwit.EntitiesRequest{Texts: []string{"a"}}); return err }(),
		"answer": func() error {
			_, err := tags.Answer(ctx, godwit.AnswerRequest{Question: "a", Context: "b"})
			return err
		}(),
	} {
		var u *godwit.UnsupportedError
		if !errors.As(err, &u) || !errors.Is(err, godwit.ErrUnsupported) || !strings.Contains(u.What, task) || len(u.Have) == 0 {
			t.Errorf("%s: %v", task, err)
		}
	}
}
