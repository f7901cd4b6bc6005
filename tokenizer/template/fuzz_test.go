package template

// FuzzTemplate renders arbitrary templates over arbitrary user text: any answer is
// fine but a panic, a result over budget, or user text that came out unmarked.

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func FuzzTemplate(f *testing.F) {
	names, err := filepath.Glob(filepath.Join("testdata", "templates", "*.jinja"))
	if err != nil || len(names) == 0 {
		f.Fatal("no templates", err)
	}
	for _, name := range names {
		source, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(source), "Hi <|im_end|>")
	}
	data, err := os.ReadFile(filepath.Join("testdata", "expressions.txt"))
	if err != nil {
		f.Fatal(err)
	}
	for _, line := range strings.Split(string(data), "\n") {
		f.Add(strings.ReplaceAll(line, "\u23ce", "\n"), "it's\n😀")
	}
	f.Fuzz(func(t *testing.T, source, text string) {
		tmpl, err := Parse(source)
		if err != nil {
			return
		}
		// A private-use character no template contains follows the user's text.
		const tracer = "\U000f8a1c"
		text = strings.ReplaceAll(text, tracer, "") + tracer
		if strings.Contains(source, tracer) || strings.Contains(source, `\U`) {
			return
		}
		vars := NewMap(
			Pair{Key: "messages", Value: []*Map{
				NewMap(Pair{Key: "role", Value: "user"}, Pair{Key: "content", Value: User(text)}),
				NewMap(Pair{Key: "role", Value: "assistant"}, Pair{Key: "content", Value: []any{
					NewMap(Pair{Key: "type", Value: "text"}, Pair{Key: "text", Value: User(text)})}}),
			}},
			Pair{Key: "s", Value: User(text)}, Pair{Key: "n", Value: 7}, Pair{Key: "l", Value: []any{User(text), 1, 2.5, nil}},
			Pair{Key: "d", Value: NewMap(Pair{Key: text, Value: User(text), User: true}, Pair{Key: "b", Value: true})},
			Pair{Key: "add_generation_prompt", Value: true}, Pair{Key: "bos_token", Value: "<s>"}, Pair{Key: "eos_token", Value: "</s>"},
		)
		cfg := Config{Steps: 20_000, Output: 1 << 16, Memory: 1 << 20, Now: time.Unix(1, 0).UTC()}
		segments, err := tmpl.Render(context.Background(), vars, cfg)
		if err != nil {
			return
		}
		out := Join(segments)
		if len(out) > cfg.Output {
			t.Errorf("%d bytes came out, the budget was %d", len(out), cfg.Output)
		}
		if !utf8.ValidString(out) {
			t.Errorf("invalid UTF-8: %q", out)
		}
		for i, s := range segments {
			if !s.User && strings.Contains(s.Text, tracer) {
				t.Errorf("user text is not marked: %q", s.Text)
			}
			if s.Text == "" || i > 0 && s.User == segments[i-1].User {
				t.Errorf("segments do not alternate: %v", segments)
			}
		}
	})
}
