package tokenizer

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"
)

func encode(t testing.TB, tok *Tokenizer, text string, o Options) *Encoding {
	t.Helper()
	e, err := tok.Encode(text, o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestParse(t *testing.T) {
	tok := base(t, "small-bbpe-gpt2", map[string]any{"added_tokens": []any{
		map[string]any{"id": 0, "content": "<|endoftext|>", "special": true, "normalized": false},
		map[string]any{"id": 512, "content": "<|im_end|>", "special": true, "normalized": false},
		map[string]any{"id": 513, "content": "<|", "special": false, "normalized": false},
	}})
	text := "a<|im_end|>b"
	special := func(o Options) []int {
		var at []int
		e := encode(t, tok, text, o)
		for i, s := range e.Special {
			if s {
				at = append(at, e.Offsets[i][0])
			}
		}
		return at
	}
	if at := special(Options{Parse: true}); !slices.Equal(at, []int{1}) {
		t.Errorf("with Parse special tokens at %v", at)
	}
	for name, o := range map[string]Options{
		"the zero value":           {},
		"a Plain range":            {Parse: true, Plain: [][2]int{{0, 2}}},
		"a Plain range at its end": {Parse: true, Plain: [][2]int{{10, 12}}},
		"Plain over Allow":         {Allow: []int32{512}, Plain: [][2]int{{0, len(text)}}},
		"another id allowed":       {Allow: []int32{0}},
	} {
		if at := special(o); at != nil {
			t.Errorf("with %s special tokens at %v", name, at)
		}
		// What is not a special token is text like any other: the shorter added token is found in it.
		if ids := encode(t, tok, text, o).IDs; ids[1] != 513 {
			t.Errorf("with %s: %v has no 513", name, ids)
		}
	}
	for name, o := range map[string]Options{
		"Allow":                      {Allow: []int32{512}},
		"Plain beside it":            {Parse: true, Plain: [][2]int{{0, 1}, {11, 12}}},
		"an empty Plain range in it": {Parse: true, Plain: [][2]int{{12, 12}}},
	} {
		if at := special(o); !slices.Equal(at, []int{1}) {
			t.Errorf("with %s special tokens at %v", name, at)
		}
	}
}

// AppendIDs takes another way through the code than Encode; both must agree for all options.
func TestAppendIDs(t *testing.T) {
	skipUnderRace(t)
	for _, g := range goldens(t) {
		tok := base(t, g.Base, g.parts(t))
		for i, r := range g.Rows {
			if r.Pair != nil {
				continue
			}
			o := Options{Special: i%2 == 0, Parse: i%3 == 0, Truncate: []int{0, 3, 7, 1000}[i%4]}
			e := encode(t, tok, r.Text, o)
			ids, err := tok.AppendIDs([]int32{-7}, r.Text, o)
			if err != nil || ids[0] != -7 || !slices.Equal(ids[1:], e.IDs) {
				t.Fatalf("%s: AppendIDs(%q, %+v) = %v, %v, Encode gives %v", g.Name, r.Text, o, ids, err, e.IDs)
			}
			if o.Truncate > 0 && len(e.IDs) > o.Truncate {
				t.Fatalf("%s: %d ids with %+v", g.Name, len(e.IDs), o)
			}
		}
	}
}

// White space beside an added token belongs to the first that asks for it.
func TestAddedSpaces(t *testing.T) {
	tok := base(t, "small-bbpe-gpt2", map[string]any{"added_tokens": []any{
		map[string]any{"id": 512, "content": "<l>", "special": true, "normalized": false, "lstrip": true},
		map[string]any{"id": 513, "content": "<r>", "special": true, "normalized": false, "rstrip": true},
		map[string]any{"id": 514, "content": "<w>", "special": true, "normalized": false, "single_word": true},
	}})
	for _, c := range []struct {
		text string
		ids  []int32 // the added ones
		at   [][2]int
	}{
		{"<r>  <l>", []int32{513, 512}, [][2]int{{0, 5}, {5, 8}}},
		{"a \u3000<l> b", []int32{512}, [][2]int{{1, 8}}},
		{"a <r>\n\u00a0b", []int32{513}, [][2]int{{2, 8}}},
		{"<l> <l>", []int32{512, 512}, [][2]int{{0, 3}, {3, 7}}},
		{"<w> é<w> <w>_ (<w>)", []int32{514, 514}, [][2]int{{0, 3}, {16, 19}}},
	} {
		e := encode(t, tok, c.text, Options{Parse: true})
		var ids []int32
		var at [][2]int
		for i, id := range e.IDs {
			if id >= 512 {
				ids, at = append(ids, id), append(at, e.Offsets[i])
			}
		}
		if !slices.Equal(ids, c.ids) || !slices.Equal(at, c.at) {
			t.Errorf("%q: %v at %v, want %v at %v", c.text, ids, at, c.ids, c.at)
		}
	}
}

// Without special tokens a pair is the two texts, with the type ids of its family.
func TestPairWithoutSpecial(t *testing.T) {
	for name, second := range map[string]int32{"small-wordpiece": 1, "small-roberta": 0, "small-bbpe-gpt2": 1, "small-unigram-t5": 0} {
		tok := base(t, name, nil)
		a, b := encode(t, tok, "the hello", Options{}), encode(t, tok, "a world", Options{})
		e, err := tok.EncodePair("the hello", "a world", Options{})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(e.IDs, append(slices.Clone(a.IDs), b.IDs...)) {
			t.Errorf("%s: ids %v, alone %v and %v", name, e.IDs, a.IDs, b.IDs)
		}
		for i, s := range e.Segment {
			if want := int8(min(i/len(a.IDs), 1)); s != want || e.TypeIDs[i] != int32(want)*second {
				t.Errorf("%s: token %d is of text %d with type %d", name, i, s, e.TypeIDs[i])
			}
		}
	}
}

func TestTruncate(t *testing.T) {
	tok := base(t, "small-wordpiece", nil)
	full, err := tok.EncodePair("a b c d e f g h", "x y z", Options{Special: true})
	if err != nil {
		t.Fatal(err)
	}
	for n := 3; n <= len(full.IDs); n++ {
		e, err := tok.EncodePair("a b c d e f g h", "x y z", Options{Special: true, Truncate: n})
		if err != nil {
			t.Fatal(err)
		}
		if len(e.IDs) != n {
			t.Errorf("Truncate %d gives %d ids", n, len(e.IDs))
		}
		count := [2]int{}
		for _, s := range e.Segment {
			if s >= 0 {
				count[s]++
			}
		}
		if count[1] < 3 && count[0] > count[1]+1 {
			t.Errorf("Truncate %d leaves %v: the longer text goes first", n, count)
		}
	}
	for _, o := range []Options{{Truncate: -1}, {Truncate: 1, Special: true}, {Plain: [][2]int{{2, 1}}}, {Plain: [][2]int{{0, 9}}}, {Plain: [][2]int{{-1, 1}}}} {
		if _, err := tok.Encode("hello", o); err == nil {
			t.Errorf("no error for %+v", o)
		}
		if ids, err := tok.AppendIDs([]int32{5}, "hello", o); err == nil || !slices.Equal(ids, []int32{5}) {
			t.Errorf("AppendIDs for %+v: %v, %v", o, ids, err)
		}
	}
}

// Every escape of JSON, in the vocabulary and in added tokens.
func TestEscapes(t *testing.T) {
	tok, err := FromJSON([]byte(`{ "model" : {"vocab":{"\"\\\/\b\f\n\r\t":0, "\u00e9\uD83D\ude00" : 1,"é":2,"\u0000":3, "":4 },
		"merges" : [ ], "type":"BPE"} , "added_tokens":[{"id":5,"content":"\ud83d\ude01","special":true}]}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range []string{"\"\\/\b\f\n\r\t", "é😀", "é", "\x00", "", "😁"} {
		if got, ok := tok.Token(int32(id)); !ok || got != want {
			t.Errorf("token %d is %q, %v, want %q", id, got, ok, want)
		}
	}
	if got := encode(t, tok, "é\x00é", Options{}).IDs; !slices.Equal(got, []int32{2, 3, 2}) {
		t.Errorf("ids %v", got)
	}
}

func TestRoles(t *testing.T) {
	data := baseJSON(t, "small-wordpiece", nil)
	tok, err := FromJSON(data, nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := (Roles{BOS: -1, EOS: -1, Pad: 0, Unk: 1, CLS: 2, Mask: 3, Sep: 4}); tok.Roles() != want {
		t.Errorf("roles %+v, want %+v", tok.Roles(), want)
	}
	tok, err = FromJSON(data, []byte(`{"bos_token": "[CLS]", "eos_token": {"content": "[SEP]", "lstrip": false}, "pad_token": null,
		"mask_token": "[NONE]", "model_max_length": 512, "chat_template": [{"name": "tool_use", "template": "x"}, {"name": "default", "template": "y"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if want := (Roles{BOS: 2, EOS: 4, Pad: -1, Unk: 1, CLS: -1, Mask: -1, Sep: -1}); tok.Roles() != want {
		t.Errorf("roles %+v, want %+v", tok.Roles(), want)
	}
	if tok.MaxLength() != 512 || tok.ChatTemplate() != "y" {
		t.Errorf("max length %d, chat template %q", tok.MaxLength(), tok.ChatTemplate())
	}
	if got, want := tok.Description(), "WordPiece, 512 tokens"; got != want {
		t.Errorf("description %q, want %q", got, want)
	}
	if tok, err = FromJSON(data, []byte(`{"model_max_length": 1000000000000000019884624838656}`)); err != nil || tok.MaxLength() != 0 {
		t.Errorf("max length %d, %v, want none", tok.MaxLength(), err)
	}
	for _, bad := range []string{`{"bos_token": 3}`, `[`, `{"chat_template": [{"name": "a", "template": "x"}]}`, `{"chat_template": ` + strings.Repeat("[", 100)} {
		if _, err := FromJSON(data, []byte(bad)); err == nil || !strings.Contains(err.Error(), "tokenizer_config.json") {
			t.Errorf("config %.30s: %v", bad, err)
		}
	}
}

func TestTokens(t *testing.T) {
	for name, pieces := range map[string]map[string]string{
		"small-bbpe-gpt2":   {"Ġthe": " the", "Ċ": "\n", "Ã": "\xc3", "<|endoftext|>": "<|endoftext|>"},
		"small-spbpe-llama": {"▁the": " the", "<0xE4>": "\xe4", "s": "s", "</s>": "</s>"},
		"small-wordpiece":   {"##s": "s", "a": "a", "[MASK]": "[MASK]"},
		"small-unigram-t5":  {"▁the": " the"},
	} {
		tok := base(t, name, nil)
		for token, piece := range pieces {
			id, ok := tok.ID(token)
			if !ok {
				t.Errorf("%s: no token %q", name, token)
				continue
			}
			if back, ok := tok.Token(id); !ok || back != token {
				t.Errorf("%s: Token(ID(%q)) = %q, %v", name, token, back, ok)
			}
			if got := string(tok.Piece(id)); got != piece {
				t.Errorf("%s: Piece of %q is %q, want %q", name, token, got, piece)
			}
		}
		for _, id := range []int32{-1, int32(tok.Size()), 1 << 30} {
			if s, ok := tok.Token(id); ok || tok.Piece(id) != nil || tok.IsSpecial(id) {
				t.Errorf("%s: id %d has token %q", name, id, s)
			}
		}
		if _, ok := tok.ID("no such token"); ok {
			t.Errorf("%s: there is an id for a token that is none", name)
		}
		if got := tok.Decode([]int32{-5, 1 << 20}, false); got != "" {
			t.Errorf("%s: ids that are none decode to %q", name, got)
		}
	}
}

func skipUnderRace(t testing.TB) {
	if raceOn {
		t.Skip("one goroutine: nothing for the race detector")
	}
}

// A long word must not take quadratic time: these would take hours.
func TestLongWords(t *testing.T) {
	skipUnderRace(t)
	n, most := 1<<17, 1<<20
	if testing.Short() {
		most = n
	}
	texts := map[string]string{
		"one letter": strings.Repeat("a", most), "special": strings.Repeat("<", most), "two letters": strings.Repeat("th", n/2), "a word": strings.Repeat("the", n/3),
		"spaces": strings.Repeat(" ", n), "marks": "e" + strings.Repeat("\u0301", n/2), "characters": strings.Repeat("語", n/3), "punctuation": strings.Repeat("-", n),
		"specials": strings.Repeat("<s>", n/3),
	}
	for name := range bases(t) {
		tok := base(t, name, nil)
		for what, text := range texts {
			start := time.Now()
			ids, err := tok.AppendIDs(nil, text, Options{Parse: true, Special: true})
			if err != nil {
				t.Fatal(err)
			}
			tok.Decode(ids, true)
			if d := time.Since(start); d > time.Minute {
				t.Errorf("%s: %s of %d bytes took %v", name, what, len(text), d)
			}
		}
	}
}

// The heap of long words and the scan of short ones are two ways to the same result.
func TestMergeLong(t *testing.T) {
	tok := base(t, "small-bbpe-gpt2", nil)
	m := tok.model.(*bpe)
	rnd := rand.New(rand.NewPCG(1, 2))
	short, long := tok.state(), tok.state()
	for range 2000 {
		word := make([]byte, 2+rnd.IntN(shortWord-2))
		for i := range word {
			word[i] = "aehinorst"[rnd.IntN(9)]
		}
		for _, st := range []*state{short, long} {
			st.syms = st.syms[:0]
			for _, b := range word {
				st.syms = append(st.syms, symbol{id: m.bytes[b], size: 1})
			}
		}
		m.merge(short)
		m.mergeLong(long)
		same := slices.EqualFunc(short.syms, long.syms, func(a, b symbol) bool { return a.id == b.id && a.size == b.size })
		if !same {
			t.Fatalf("%q: %v by scanning, %v by the heap", word, short.syms, long.syms)
		}
	}
}

// Cutting a text where no merge reaches across must not change a token.
func TestCuts(t *testing.T) {
	skipUnderRace(t)
	tok, whole := base(t, "small-spbpe-llama", nil), base(t, "small-spbpe-llama", nil)
	if tok.cuts == nil {
		t.Fatal("texts are not cut")
	}
	whole.cuts = nil
	for _, g := range goldens(t) {
		for _, r := range g.Rows {
			text := strings.Repeat(r.Text, 3)
			a, b := encode(t, tok, text, Options{}), encode(t, whole, text, Options{})
			if !slices.Equal(a.IDs, b.IDs) || !slices.Equal(a.Offsets, b.Offsets) {
				t.Fatalf("%q: cut %v, whole %v", text, a.IDs, b.IDs)
			}
		}
	}
}

func TestInvalidUTF8(t *testing.T) {
	for name := range bases(t) {
		tok := base(t, name, nil)
		bad, good := "ab\xff\xfe c\xe4\xbd d", "ab\ufffd\ufffd c\ufffd\ufffd d"
		a, b := encode(t, tok, bad, Options{}), encode(t, tok, good, Options{})
		if !slices.Equal(a.IDs, b.IDs) {
			t.Errorf("%s: %v for bytes that are not UTF-8, %v for replacement characters", name, a.IDs, b.IDs)
		}
		for i, o := range a.Offsets {
			if o[0] < 0 || o[1] < o[0] || o[1] > len(bad) {
				t.Errorf("%s: token %d has offsets %v in %d bytes", name, i, o, len(bad))
			}
		}
		ids, err := tok.AppendIDs(nil, bad, Options{})
		if err != nil || !slices.Equal(ids, a.IDs) {
			t.Errorf("%s: AppendIDs gives %v, %v", name, ids, err)
		}
	}
}

// Half characters are held back, broken ones become one U+FFFD for each maximal part.
func TestDecoderBytes(t *testing.T) {
	tok := base(t, "small-bbpe-gpt2", nil)
	m := tok.model.(*bpe)
	for bytes, want := range map[string]string{
		"\xe4\xbd\xa0": "你", "\xe4\xbd": "\ufffd", "\xe4\xbdA": "\ufffdA", "\xe4\x41": "\ufffdA", "\xf0\x9f\x98\x80": "😀", "\xf0\x9f\x98": "\ufffd",
		"\xf0\x9f\x98\xe4\xbd\xa0": "\ufffd你", "\x80\x80": "\ufffd\ufffd", "\xed\xa0\x80": "\ufffd\ufffd\ufffd", "\xf0\x80": "\ufffd\ufffd", "a\xe4\xbd\xa0\xe4": "a你\ufffd",
	} {
		d, text := tok.NewDecoder(false), ""
		var ids []int32
		for i := range len(bytes) {
			if m.bytes[bytes[i]] < 0 {
				t.Fatalf("byte %x has no token", bytes[i])
			}
			ids = append(ids, m.bytes[bytes[i]])
			piece := d.Push(ids[i])
			if !utf8.ValidString(piece) {
				t.Errorf("%x: piece %x", bytes, piece)
			}
			text += piece
		}
		if text += d.Flush(); text != want {
			t.Errorf("%x streams to %q, want %q", bytes, text, want)
		}
		if got := tok.Decode(ids, false); got != want {
			t.Errorf("%x decodes to %q, want %q", bytes, got, want)
		}
		if got := strings.ToValidUTF8(want, ""); got != want {
			t.Errorf("the test wants text that is not UTF-8")
		}
	}
}

func TestFlushStartsAnew(t *testing.T) {
	for name := range bases(t) {
		tok := base(t, name, nil)
		ids := encode(t, tok, "the hello world", Options{}).IDs
		d := tok.NewDecoder(false)
		var texts [2]string
		for i := range texts {
			for _, id := range ids {
				texts[i] += d.Push(id)
			}
			texts[i] += d.Flush()
		}
		if texts[0] != texts[1] || texts[0] != tok.Decode(ids, false) {
			t.Errorf("%s: %q", name, texts)
		}
	}
}

// Many goroutines share one tokenizer and its cache; run with -race.
func TestConcurrent(t *testing.T) {
	sets := goldens(t)
	for name := range bases(t) {
		tok, alone := base(t, name, nil), base(t, name, nil)
		var texts []string
		var want [][]int32
		for i := 0; len(texts) < 100; i++ {
			for _, r := range sets[i].Rows[:5] {
				texts = append(texts, r.Text)
				want = append(want, encode(t, alone, r.Text, Options{Special: true}).IDs)
			}
		}
		var wg sync.WaitGroup
		for g := range 8 {
			wg.Go(func() {
				for i := range texts {
					k := (i*7 + g) % len(texts)
					ids, err := tok.AppendIDs(nil, texts[k], Options{Special: true})
					if err != nil || !slices.Equal(ids, want[k]) {
						t.Errorf("%s: %q gives %v, %v, want %v", name, texts[k], ids, err, want[k])
						return
					}
					if e, err := tok.Encode(texts[k], Options{Special: true}); err != nil || !slices.Equal(e.IDs, want[k]) || tok.Decode(ids, true) != tok.Decode(e.IDs, true) {
						t.Errorf("%s: Encode(%q): %v", name, texts[k], err)
						return
					}
				}
			})
		}
		wg.Wait()
	}
}

// A warmed-up tokenizer allocates next to nothing a text.
func TestAllocations(t *testing.T) {
	skipUnderRace(t)
	for name := range bases(t) {
		tok := base(t, name, nil)
		ids := make([]int32, 0, 100)
		text := "The hello world, and the rest of it."
		if n := testing.AllocsPerRun(100, func() { ids, _ = tok.AppendIDs(ids[:0], text, Options{Special: true}) }); n > 2 {
			t.Errorf("%s: %v allocations a text", name, n)
		}
	}
}

// The cache keeps a bounded number of words however many pass.
func TestCacheBounded(t *testing.T) {
	skipUnderRace(t)
	tok := base(t, "small-bbpe-gpt2", nil)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var b strings.Builder
	for round := range 40 {
		b.Reset()
		for i := range 20000 {
			fmt.Fprintf(&b, " w%dx%d", round, i)
		}
		if _, err := tok.AppendIDs(nil, b.String(), Options{}); err != nil {
			t.Fatal(err)
		}
	}
	b.Reset()
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 16<<20 {
		t.Errorf("800,000 words leave %d bytes", grown)
	}
	runtime.KeepAlive(tok)
}
