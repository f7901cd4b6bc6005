package main

// entities and answer: what they print is what the methods give.

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/godwit-ml/godwit"
)

const pipelines = "../../testdata/pipelines/"

func openPipeline(t testing.TB, name string) *godwit.Model {
	t.Helper()
	m, err := godwit.Open(context.Background(), pipelines+name, godwit.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

func TestEntities(t *testing.T) {
	texts := []string{"Ada wrote to Charles\u00a0Babbage.", "nobody", strings.Repeat("word ", 200)}
	m := openPipeline(t, "entities")
	dir := pipelines + "entities"
	for _, group := range []string{"", "none", "average"} {
		want, err := m.Entities(context.Background(), godwit.EntitiesRequest{Texts: texts, Group: group, Truncate: true})
		if err != nil {
			t.Fatal(err)
		}
		args := []string{"entities", "-m", dir, "--truncate"}
		if group != "" {
			args = append(args, "--group", group)
		}
		type line struct {
			Index     int
			Spans     []godwit.Span
			Truncated bool
		}
		for i, l := range jsonLines[line](t, must(t, strings.Join(texts, "\n"), append(args, "--json")...)) {
			if l.Index != i || !reflect.DeepEqual(l.Spans, want.Spans[i]) || l.Truncated != (i == 2) {
				t.Errorf("group %q: line %d is %+v, want %+v", group, i, l, want.Spans[i])
			}
		}
		var plain strings.Builder
		for i, text := range texts {
			fmt.Fprintln(&plain, shorten(text, 79))
			for _, s := range want.Spans[i] {
				fmt.Fprintf(&plain, "  %8.4f  %-8s  %d-%d  %s\n", s.Score, s.Label, s.Start, s.End, shorten(oneLine(s.Text), 40))
			}
		}
		if got := must(t, strings.Join(texts, "\n"), args...); got != plain.String() {
			t.Errorf("group %q: got\n%s\nwant\n%s", group, got, plain.String())
		}
	}
}

func TestAnswer(t *testing.T) {
	const text, question = "Bread is made of flour, water, salt\nand yeast. The dough rests for an hour.", "What is in it?"
	m := openPipeline(t, "questions")
	dir := pipelines + "questions"
	file := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	want, err := m.Answer(context.Background(), godwit.AnswerRequest{Question: question, Context: text, Top: 3, MaxTokens: 9, Force: true})
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"answer", "-m", dir, "--question", question, "--top", "3", "--max-tokens", "9", "--force"}
	type line struct{ Spans []godwit.Span }
	for _, l := range [][]line{
		jsonLines[line](t, must(t, text, append(args, "--json")...)),
		jsonLines[line](t, must(t, "", append(args, "--json", text)...)),
		jsonLines[line](t, must(t, "", append(args, "--json", "-f", file)...)),
	} {
		if len(l) != 1 || len(want.Spans) != 3 || !reflect.DeepEqual(l[0].Spans, want.Spans) {
			t.Errorf("got %+v, want %+v", l, want.Spans)
		}
	}
	var plain strings.Builder
	for _, s := range want.Spans {
		fmt.Fprintf(&plain, "%8.4f  %d-%d  %s\n", s.Score, s.Start, s.End, shorten(oneLine(s.Text), 60))
	}
	if got := must(t, text, args...); got != plain.String() {
		t.Errorf("got\n%s\nwant\n%s", got, plain.String())
	}
}

// TestNoAnswer: what the model says by its first token, and --force.
func TestNoAnswer(t *testing.T) {
	m := openPipeline(t, "questions")
	for _, text := range []string{"A", "!?", "Lions hunt at dusk.", "the THE The tHe", "one, two, three"} {
		r, err := m.Answer(context.Background(), godwit.AnswerRequest{Question: "When?", Context: text})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Spans) > 0 {
			continue
		}
		args := []string{"answer", "-m", pipelines + "questions", "--question", "When?", text}
		if got := command(t, "", args...); got.status != 0 || got.out != "" || !strings.Contains(got.stderr, "--force") {
			t.Errorf("%+v", got)
		}
		if out := must(t, "", append(args, "--json")...); out != "{\"spans\":[]}\n" {
			t.Errorf("as JSON %q", out)
		}
		if out := must(t, "", append(args, "--force")...); !strings.HasSuffix(out, text+"\n") && strings.TrimSpace(out) == "" {
			t.Errorf("with --force %q", out)
		}
		return
	}
	t.Error("the model has an answer to everything")
}
