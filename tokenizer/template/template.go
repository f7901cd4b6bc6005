package template

// This file holds the two entry points, Parse and Render, and what they return.

import (
	"context"
	"strings"
)

// Template is a parsed chat template. It is immutable: any number of goroutines
// may render it at once.
type Template struct {
	body  []stmt
	reads map[string]bool
}

// Segment is a stretch of rendered text. User tells that it came from values
// wrapped in [User], so no control token must be read in it.
type Segment struct {
	Text string
	User bool
}

// Parse reads a template. Errors are a *[SyntaxError], or a *[LimitError] for a
// source over [MaxSource] or nested too deeply.
func Parse(src string) (*Template, error) {
	if len(src) > MaxSource {
		return nil, &LimitError{What: "bytes of template source", Limit: MaxSource}
	}
	p, err := newParser(src)
	if err != nil {
		return nil, err
	}
	body, _, err := p.body()
	if err != nil {
		return nil, err
	}
	return &Template{body: body, reads: p.reads}, nil
}

// Reads tells whether the template mentions a variable anywhere, say "tools": a
// caller can refuse what the template would ignore.
func (t *Template) Reads(name string) bool { return t.reads[name] }

// Render evaluates the template. Vars are its variables: nil, bool, numbers,
// string (the caller's own text), [User] (text of others), slices, *[Map], and
// map[string]any (whose keys are sorted). Transformers always sets messages,
// tools (nil when there are none), documents and add_generation_prompt, and adds
// bos_token, eos_token and the other special tokens.
//
// Neighbouring segments differ in User. Errors are *[RenderError], *[RaisedError]
// (the template called raise_exception), *[LimitError] (a budget of cfg ran out),
// and one wrapping ctx.Err().
func (t *Template) Render(ctx context.Context, vars *Map, cfg Config) ([]Segment, error) {
	r := newRun(ctx, cfg)
	if ctx.Err() != nil {
		return nil, r.stopped()
	}
	r.base = &scope{}
	if vars != nil {
		for _, p := range vars.pairs {
			v, err := r.take(p.Value, 0)
			if err != nil {
				return nil, err
			}
			r.base.set(p.Key, v)
		}
	}
	if _, err := r.exec(t.body, &scope{parent: r.base}); err != nil {
		return nil, err
	}
	out, err := r.out.done()
	if err != nil {
		return nil, err
	}
	var segments []Segment
	out.pieces(func(text string, user bool) { segments = append(segments, Segment{text, user}) })
	return segments, nil
}

// Join is the text of all segments.
func Join(segments []Segment) string {
	var b strings.Builder
	for _, s := range segments {
		b.WriteString(s.Text)
	}
	return b.String()
}
