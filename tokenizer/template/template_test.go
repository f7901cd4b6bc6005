package template

// Tests of what jinja2 has no notion of: user text in segments, budgets, typed
// errors, JSON in order, and one template used by many goroutines.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func render(t testing.TB, source string, vars *Map, cfg Config) ([]Segment, error) {
	t.Helper()
	tmpl, err := Parse(source)
	if err != nil {
		t.Fatalf("%s: %v", source, err)
	}
	return tmpl.Render(context.Background(), vars, cfg)
}

// marked writes segments with user text in ⟦ ⟧.
func marked(segments []Segment) string {
	var b strings.Builder
	for _, s := range segments {
		if s.User {
			b.WriteString("⟦" + s.Text + "⟧")
		} else {
			b.WriteString(s.Text)
		}
	}
	return b.String()
}

func TestUserTextIsMarked(t *testing.T) {
	call, err := DecodeJSON([]byte(`{"city": "Oslo", "n": [1, "two"]}`))
	if err != nil {
		t.Fatal(err)
	}
	vars := NewMap(
		Pair{Key: "u", Value: User("Hello, World")},
		Pair{Key: "v", Value: User("éa<b>")},
		Pair{Key: "sp", Value: User("  x  ")},
		Pair{Key: "lines", Value: User("a\nb\n")},
		Pair{Key: "empty", Value: User("")},
		Pair{Key: "q", Value: User(`it's "q"` + "\n")},
		Pair{Key: "own", Value: "own"},
		Pair{Key: "args", Value: MarkUser(call)},
		Pair{Key: "list", Value: []any{User("x"), "y"}},
		Pair{Key: "names", Value: MarkUser([]string{"b", "A"})},
	)
	for _, c := range []struct{ source, want string }{
		{"<{{ u }}>", "<⟦Hello, World⟧>"},
		{"{{ own }}{{ empty }}!", "own!"},
		{"{{ 'a' + u + 'b' }}", "a⟦Hello, World⟧b"},
		{"{{ 'a' ~ u ~ 1 ~ u }}", "a⟦Hello, World⟧1⟦Hello, World⟧"},
		{"{{ u ~ u }}", "⟦Hello, WorldHello, World⟧"},
		{"{{ ('[' ~ u ~ ']')[3:9] }}", "⟦llo, W⟧"},
		{"{{ ('[' ~ u ~ ']')[0:4] }}{{ ('[' ~ u ~ ']')[-2:] }}", "[⟦Held⟧]"},
		{"{{ ('[' ~ u ~ ']')[::-1] }}", "]⟦dlroW ,olleH⟧["},
		{"{{ v[0] }}{{ v[1] }}x{{ v[-1] }}", "⟦éa⟧x⟦>⟧"},
		{"<{{ sp|trim }}><{{ sp.strip() }}>{{ (' ' ~ sp ~ '-').strip() }}", "<⟦x⟧><⟦x⟧>⟦x  ⟧-"},
		{"{{ u|upper }}{{ ('ab' ~ u)|title }}", "⟦HELLO, WORLD⟧Ab⟦hello, World⟧"},
		{"{{ u|replace('l', 'L') }}", "⟦He⟧LL⟦o, Wor⟧L⟦d⟧"},
		{"{{ 'a%b%c'|replace('%', u) }}", "a⟦Hello, World⟧b⟦Hello, World⟧c"},
		{"{{ u.split(', ')|join('|') }}", "⟦Hello⟧|⟦World⟧"},
		{"{{ ('k:' ~ u).split(':')[0] }}{{ ('k:' ~ u).partition(':')[2] }}", "k⟦Hello, World⟧"},
		{"{{ lines|indent(2, true) }}|{{ lines.splitlines() }}", "  ⟦a⟧\n  ⟦b⟧\n|['⟦a⟧', '⟦b⟧']"},
		{"{{ u|tojson }}", `"⟦Hello, World⟧"`},
		{"{{ q|tojson }} {{ [q] }}", `"⟦it's \"q\"\n⟧" ['⟦it\'s "q"\n⟧']`},
		{"{{ args|tojson }}", `{"⟦city⟧": "⟦Oslo⟧", "⟦n⟧": [1, "⟦two⟧"]}`},
		{"{{ args|tojson(indent=1) }}", "{\n \"⟦city⟧\": \"⟦Oslo⟧\",\n \"⟦n⟧\": [\n  1,\n  \"⟦two⟧\"\n ]\n}"},
		{"{% for k, v in args.items() %}{{ k }}={{ v }};{% endfor %}", "⟦city⟧=⟦Oslo⟧;⟦n⟧=[1, '⟦two⟧'];"},
		{"{{ args.city }}{{ args['city'] }}{{ args.n[1] }}{{ args.n[0] }}", "⟦OsloOslotwo⟧1"},
		{"{{ '%s-%5s|%.2s' % (u, 'a', u) }}", "⟦Hello, World⟧-    a|⟦He⟧"},
		{"{{ '{}-{x:>14}'.format(u, x=u) }}", "⟦Hello, World⟧-  ⟦Hello, World⟧"},
		{"{{ u|e }}{{ v|e }}", "⟦Hello, Worldéa&lt;b&gt;⟧"},
		{"{{ list|join(',') }} {{ list }}", "⟦x⟧,y ['⟦x⟧', 'y']"},
		{"{{ names|sort|join }} {{ names|map('upper')|list }} {{ names|first }}", "⟦Ab⟧ ['⟦B⟧', '⟦A⟧'] ⟦b⟧"},
		{"{% set x %}<{{ u }}>{% endset %}{{ x }}", "<⟦Hello, World⟧>"},
		{"{% macro m(x) %}[{{ x }}]{% endmacro %}{{ m(u) }}{{ m(own) }}", "[⟦Hello, World⟧][own]"},
		{"{% filter upper %}a{{ u }}b{% endfilter %}", "A⟦HELLO, WORLD⟧B"},
		{"{% for c in u[:3] %}{{ c }}.{% endfor %}{{ u[:2]|list }}", "⟦H⟧.⟦e⟧.⟦l⟧.['⟦H⟧', '⟦e⟧']"},
		{"{{ u if u == 'Hello, World' else 'no' }}{{ u|default('d') }}{{ empty or u }}", "⟦Hello, WorldHello, WorldHello, World⟧"},
		{"{{ 'ab'.join([u, u]) }}{{ u.center(16, '*') }}", "⟦Hello, World⟧ab⟦Hello, World⟧**⟦Hello, World⟧**"},
		{"{{ ('a' ~ u[:1]) * 2 }}", "a⟦H⟧a⟦H⟧"},
		{"{{ u|length }}{{ u|truncate(6) }}{{ u|reverse }}", "12⟦Hel⟧...⟦dlroW ,olleH⟧"},
		{"{{ u.removeprefix('Hel') }}{{ ('a' ~ u).zfill(15) }}", "⟦lo, World⟧00a⟦Hello, World⟧"},
		{"{% generation %}{{ u }}{% endgeneration %}", "⟦Hello, World⟧"},
		{"{% set ns = namespace(x=u) %}{% set ns.x = ns.x ~ '!' %}{{ ns.x }}", "⟦Hello, World⟧!"},
		{"{{ dict(args).city }}{{ {'k': u}.k }}{{ [u]|tojson }}", "⟦OsloHello, World⟧[\"⟦Hello, World⟧\"]"},
	} {
		got, err := render(t, c.source, vars, Config{})
		if err != nil {
			t.Errorf("%s: %v", c.source, err)
		} else if marked(got) != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.source, marked(got), c.want)
		}
		for i := 1; i < len(got); i++ {
			if got[i].User == got[i-1].User || got[i].Text == "" {
				t.Errorf("%s: segments %v do not alternate", c.source, got)
			}
		}
	}
}

// TestMarkingChangesNothing renders every golden with all strings of the messages
// marked: the text must stay, and no byte of a content may end up unmarked.
func TestMarkingChangesNothing(t *testing.T) {
	chats := readJSON(t, "chats.json")
	for _, row := range readGolden(t, "golden.jsonl") {
		source, err := os.ReadFile(filepath.Join("testdata", "templates", row.Template+".jinja"))
		if err != nil {
			t.Fatal(err)
		}
		v, _ := chats.Get(row.Chat)
		vars := NewMap(v.(*Map).Pairs()...)
		messages, _ := vars.Get("messages")
		vars.Set("messages", markContents(messages))
		checkGolden(t, "marked "+row.Template+" on "+row.Chat, string(source), vars, row)
		if row.Out == nil {
			continue
		}
		segments, err := render(t, string(source), vars, Config{Now: clock})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range segments {
			for _, bad := range []string{"Paris", "haïku", "<|im_start|>system\n{{", "Tromsø", "-3.5"} {
				if !s.User && strings.Contains(s.Text, bad) {
					t.Errorf("%s on %s: %q is not marked in %q", row.Template, row.Chat, bad, s.Text)
				}
			}
		}
	}
}

// markContents marks everything but roles and types.
func markContents(v any) any {
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = markContents(x)
		}
		return out
	case *Map:
		out := &Map{}
		for _, p := range v.Pairs() {
			switch p.Key {
			case "role", "type":
				out.Set(p.Key, p.Value)
			default:
				out.Set(p.Key, MarkUser(p.Value))
			}
		}
		return out
	}
	return v
}

func TestBudgets(t *testing.T) {
	vars := NewMap(
		Pair{Key: "text", Value: User(strings.Repeat("ab ", 10_000))},
		Pair{Key: "l", Value: []int{1, 2, 3}},
	)
	nest := func(open, inner, end string, n int) string {
		return strings.Repeat(open, n) + inner + strings.Repeat(end, n)
	}
	for _, c := range []struct{ name, source, what string }{
		{"repeat", "{{ 'a' * 10**9 }}", "steps"},
		{"repeat more", "{{ 'a' * 10**18 }}", "bytes of intermediate values"},
		{"repeat lists", "{{ [1] * 10**12 }}", "bytes of intermediate values"},
		{"repeat user text", "{{ text * 10**6 }}", "bytes of intermediate values"},
		{"range", "{% for i in range(300000000) %}{% endfor %}", "elements of a range"},
		{"nested loops", nest("{% for i in range(100000) %}", "x", "{% endfor %}", 3), "bytes of intermediate values"},
		{"output", "{% for i in range(100000) %}{{ text }}{% endfor %}", "output bytes"},
		{"macro calls itself", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "levels of nesting"},
		{"macros call each other", "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{% call c() %}{% endcall %}{% endmacro %}{% macro c() %}{{ caller() }}{{ a() }}{% endmacro %}{{ a() }}", "levels of nesting"},
		{"recursive loop", "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", "levels of nesting"},
		{"replace", "{% set ns = namespace(s='a') %}{% for i in range(100) %}{% set ns.s = ns.s.replace('a', 'aaaa') %}{% endfor %}", "steps"},
		{"doubling", "{% set ns = namespace(s='a') %}{% for i in range(100) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}", "bytes of intermediate values"},
		{"doubling lists", "{% set ns = namespace(s=[1]) %}{% for i in range(100) %}{% set ns.s = ns.s + ns.s %}{% endfor %}", "bytes of intermediate values"},
		{"join", "{% set x = text.split()|join(text) %}", "bytes of intermediate values"},
		{"indent", "{{ ('a\n' * 100000)|indent(100000) }}", "bytes of intermediate values"},
		{"center", "{{ 'a'.center(10**9) }}", "steps"},
		{"width", "{{ '%2000000s' % 1 }}", "characters of a field"},
		{"format width", "{{ '{:2000000}'.format(1) }}", "characters of a field"},
		{"big power", "{{ 10 ** 100000 }}", "bits of an integer"},
		{"power tower", "{{ 9 ** (9 ** 9) }}", "bits of an integer"},
		{"squares", "{% set ns = namespace(n=3) %}{% for i in range(100) %}{% set ns.n = ns.n * ns.n %}{% endfor %}", "bits of an integer"},
		{"deep list", "{% set ns = namespace(l=[]) %}{% for i in range(90000) %}{% set ns.l = [ns.l] %}{% endfor %}{{ ns.l }}", "levels of nesting"},
		{"deep tojson", "{% set ns = namespace(l=[]) %}{% for i in range(90000) %}{% set ns.l = [ns.l] %}{% endfor %}{{ ns.l|tojson }}", "levels of nesting"},
		{"deep equality", "{% set a = namespace(l=[]) %}{% set b = namespace(l=[]) %}{% for i in range(90000) %}{% set a.l = [a.l] %}{% set b.l = [b.l] %}{% endfor %}{{ a.l == b.l }}", "levels of nesting"},
		{"shared list", "{% set ns = namespace(l=[1]) %}{% for i in range(60) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l }}", "steps"},
		{"itself", "{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}", "levels of nesting"},
		{"maps", "{% for i in range(100000) %}{% for j in range(1000) %}{% set x = l|map('string')|list %}{% endfor %}{% endfor %}", "bytes of intermediate values"},
		{"searching", "{% for i in range(100000) %}{% if 'xyz' in text %}{% endif %}{% endfor %}", "steps"},
		{"long chain", "{{ 1" + strings.Repeat(" + 1", 10_000) + " }}", "levels of nesting"},
		{"attribute chain", "{{ l" + strings.Repeat("|list", 10_000) + " }}", "levels of nesting"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := render(t, c.source, vars, Config{Steps: 2_000_000, Memory: 24 << 20, Output: 8 << 20})
			var limit *LimitError
			if !errors.As(err, &limit) || limit.What != c.what {
				t.Errorf("got error %v, want a limit on %s", err, c.what)
			}
		})
	}
}

func TestParseLimits(t *testing.T) {
	for name, source := range map[string]string{
		"size":        strings.Repeat("a", MaxSource+1),
		"parentheses": "{{ " + strings.Repeat("(", 10_000),
		"lists":       "{{ " + strings.Repeat("[", 100_000),
		"dicts":       "{{ " + strings.Repeat("{1:", 50_000),
		"minus":       "{{ " + strings.Repeat("-", 100_000) + "1 }}",
		"not":         "{{ " + strings.Repeat("not ", 50_000) + "1 }}",
		"blocks":      strings.Repeat("{% if x %}", 10_000),
		"ternaries":   "{{ " + strings.Repeat("a if b else ", 10_000) + "c }}",
		"targets":     "{% set " + strings.Repeat("(", 10_000),
		"calls":       "{{ " + strings.Repeat("f(", 50_000),
	} {
		_, err := Parse(source)
		var limit *LimitError
		if !errors.As(err, &limit) {
			t.Errorf("%s: got error %v, want a LimitError", name, err)
		}
	}
}

func TestSmallBudgets(t *testing.T) {
	source := "{% for i in range(50) %}{{ i ~ 'abcdefgh' }}{% endfor %}"
	if _, err := render(t, source, nil, Config{}); err != nil {
		t.Fatal(err)
	}
	for what, cfg := range map[string]Config{
		"steps":                        {Steps: 100},
		"output bytes":                 {Output: 100},
		"bytes of intermediate values": {Memory: 100},
		"levels of nesting":            {Depth: 3},
	} {
		_, err := render(t, source, nil, cfg)
		var limit *LimitError
		if !errors.As(err, &limit) || limit.What != what || limit.Line != 1 {
			t.Errorf("%+v: got error %v, want a limit on %s", cfg, err, what)
		}
	}
}

func TestContextStops(t *testing.T) {
	tmpl, err := Parse("{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err = tmpl.Render(ctx, nil, Config{Steps: 1 << 60, Memory: 1 << 60})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got error %v, want the deadline", err)
	}
	if d := time.Since(start); d > 20*time.Second {
		t.Errorf("stopped after %v, want 20 ms", d)
	}
	cause := errors.New("gone")
	ctx2, cancel2 := context.WithCancelCause(context.Background())
	cancel2(cause)
	if _, err = tmpl.Render(ctx2, nil, Config{}); !errors.Is(err, cause) || !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want context.Canceled and its cause", err)
	}
}

func TestErrorsNameLineAndConstruct(t *testing.T) {
	for _, c := range []struct{ source, want string }{
		{"a\n{% if x %}\n", "template: line 2: the template ends inside the block of line 2, want {% endif %}"},
		{"a\n\n{{ 1 + }}", `template: line 3: unexpected }}, want an expression`},
		{"{% nope %}", `template: line 1: unknown or unsupported tag "nope"`},
		{"x\n{% include 'a' %}", `template: line 2: unknown or unsupported tag "include"`},
		{"\n{{ 'a' }", `template: line 2: unexpected '}'`},
	} {
		_, err := Parse(c.source)
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || err.Error() != c.want {
			t.Errorf("%q: got error %v, want %s", c.source, err, c.want)
		}
	}
	for _, c := range []struct{ source, want string }{
		{"a\n{{ x.y }}", "template: line 2: 'x' is undefined"},
		{"{{ 1 }}\n\n{{ m|nope }}", `template: line 3: no filter named "nope"`},
		{"{{ [1].append(2) }}", "template: line 1: access to attribute 'append' of 'list' object is unsafe: templates cannot change values"},
		{"{{ 1 is nope }}", `template: line 1: no test named "nope"`},
		{"{% set d = {'a': 1} %}{{ d.b.c }}", "template: line 1: 'dict object' has no attribute 'b'"},
		{"{{ 'a' + 1 }}", `template: line 1: can only concatenate str (not "int") to str`},
		{"{{ 5|indent }}", "template: line 1: filter indent: want a string, not int"},
	} {
		_, err := render(t, c.source, nil, Config{})
		var re *RenderError
		if !errors.As(err, &re) || err.Error() != c.want {
			t.Errorf("%q: got error %v, want %s", c.source, err, c.want)
		}
	}
	_, err := render(t, "\n{{ raise_exception('roles must ' ~ 'alternate') }}", nil, Config{})
	var raised *RaisedError
	if !errors.As(err, &raised) || raised.Line != 2 || raised.Message != "roles must alternate" {
		t.Errorf("got error %v, want a RaisedError", err)
	}
}

func TestDecodeJSON(t *testing.T) {
	v, err := DecodeJSON([]byte(`{"z": 1, "a": [1.0, -0, 12345678901234567890, 1e400, true, null, "\u00e9\ud83d\ude00"], "z": {"b": 2, "a": 3}}`))
	if err != nil {
		t.Fatal(err)
	}
	segments, err := render(t, "{{ v }} {{ v|tojson }}", NewMap(Pair{Key: "v", Value: v}), Config{})
	if err != nil {
		t.Fatal(err)
	}
	want := `{'z': {'b': 2, 'a': 3}, 'a': [1.0, 0, 12345678901234567890, inf, True, None, 'é😀']} ` +
		`{"z": {"b": 2, "a": 3}, "a": [1.0, 0, 12345678901234567890, Infinity, true, null, "é😀"]}`
	if Join(segments) != want {
		t.Errorf("got  %s\nwant %s", Join(segments), want)
	}
	for _, bad := range []string{"", "{", "[1,", "1 2", "{\"a\":1}x", "nope", strings.Repeat("[", 600) + strings.Repeat("]", 600), "[1,]", strings.Repeat("9", 5000)} {
		if v, err := DecodeJSON([]byte(bad)); err == nil {
			t.Errorf("%.20q decoded to %v", bad, v)
		}
	}
}

func TestGoValues(t *testing.T) {
	type id uint8
	loop := []any{nil}
	loop[0] = loop
	vars := NewMap(
		Pair{Key: "ints", Value: []any{int8(1), uint64(1 << 63), id(3), json.Number("4"), big.NewInt(5), float32(0.5)}},
		Pair{Key: "m", Value: map[string]any{"b": 1, "a": []string{"x"}}},
		Pair{Key: "maps", Value: []*Map{NewMap(Pair{Key: "k", Value: "v"})}},
		Pair{Key: "nilmap", Value: (*Map)(nil)},
		Pair{Key: "bad", Value: User("a\xffb")},
	)
	segments, err := render(t, "{{ ints }} {{ m }} {{ maps }} {{ nilmap }} {{ bad }}", vars, Config{})
	want := "[1, 9223372036854775808, 3, 4, 5, 0.5] {'a': ['x'], 'b': 1} [{'k': 'v'}] None a\uFFFDb"
	if err != nil || Join(segments) != want {
		t.Errorf("got %q and error %v, want %q", Join(segments), err, want)
	}
	for _, bad := range []any{struct{}{}, func() {}, loop, make(chan int), map[int]int{1: 2}} {
		if _, err := render(t, "x", NewMap(Pair{Key: "v", Value: bad}), Config{}); err == nil {
			t.Errorf("%T was taken", bad)
		}
		if _, err := render(t, "x", NewMap(Pair{Key: "v", Value: MarkUser(bad)}), Config{}); err == nil {
			t.Errorf("marked %T was taken", bad)
		}
	}
}

func TestMap(t *testing.T) {
	m := NewMap(Pair{Key: "a", Value: 1}, Pair{Key: "b", Value: 2}, Pair{Key: "a", Value: 3})
	m.Set("c", 4)
	m.Set("b", 5)
	want := []Pair{{Key: "a", Value: 3}, {Key: "b", Value: 5}, {Key: "c", Value: 4}}
	if diff := cmp.Diff(want, m.Pairs()); diff != "" {
		t.Error(diff)
	}
	if v, ok := m.Get("b"); !ok || v != 5 || m.Len() != 3 {
		t.Errorf("b is %v, %v of %d", v, ok, m.Len())
	}
	if _, ok := m.Get("q"); ok {
		t.Error("q exists")
	}
}

func TestReads(t *testing.T) {
	tmpl, err := Parse("{% set documents = 1 %}{% for m in messages %}{{ m.tools }}{% if x is defined %}{% endif %}{% endfor %}{% macro f() %}{{ tools }}{% endmacro %}")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"messages": true, "tools": true, "x": true, "documents": false, "role": false} {
		if tmpl.Reads(name) != want {
			t.Errorf("Reads(%q) = %v", name, !want)
		}
	}
}

func TestManyGoroutines(t *testing.T) {
	source, err := os.ReadFile(filepath.Join("testdata", "templates", "qwen3.jinja"))
	if err != nil {
		t.Fatal(err)
	}
	tmpl, err := Parse(string(source))
	if err != nil {
		t.Fatal(err)
	}
	chats := readJSON(t, "chats.json")
	v, _ := chats.Get("tool-calls")
	want, err := tmpl.Render(context.Background(), v.(*Map), Config{})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				got, err := tmpl.Render(context.Background(), v.(*Map), Config{})
				if err != nil || Join(got) != Join(want) {
					t.Errorf("got %q, %v", Join(got), err)
				}
			}
		})
	}
	wg.Wait()
}

// TestSmolLM2 renders the conversations of the full fixtures with the template of
// the real model.
func TestSmolLM2(t *testing.T) {
	dir := os.Getenv("FIXTURES")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "fixtures")
	}
	data, err := os.ReadFile(filepath.Join(dir, "real", "smollm2.json"))
	if err != nil {
		t.Skipf("the full fixtures are not here: %v", err)
	}
	var fixture struct {
		Template string `json:"chat_template"`
		Chats    []struct {
			Messages json.RawMessage
			Rendered string
			NoGen    string `json:"rendered_no_gen"`
		}
	}
	if err := json.Unmarshal(data, &fixture); err != nil {
		t.Fatal(err)
	}
	if len(fixture.Chats) == 0 {
		t.Fatal("no chats")
	}
	for i, c := range fixture.Chats {
		messages, err := DecodeJSON(c.Messages)
		if err != nil {
			t.Fatal(err)
		}
		for gen, want := range map[bool]string{true: c.Rendered, false: c.NoGen} {
			vars := NewMap(Pair{Key: "messages", Value: messages}, Pair{Key: "add_generation_prompt", Value: gen})
			checkGolden(t, fmt.Sprintf("chat %d, add_generation_prompt %v", i, gen), fixture.Template, vars, goldenRow{Out: &want})
		}
	}
}

func BenchmarkQwen3(b *testing.B) {
	source, err := os.ReadFile(filepath.Join("testdata", "templates", "qwen3.jinja"))
	if err != nil {
		b.Fatal(err)
	}
	tmpl, err := Parse(string(source))
	if err != nil {
		b.Fatal(err)
	}
	v, _ := readJSON(b, "chats.json").Get("tool-calls")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tmpl.Render(context.Background(), v.(*Map), Config{}); err != nil {
			b.Fatal(err)
		}
	}
}
