package tokenizer

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// checkText holds what must be true of every text and tokenizer: offsets in order and within
// the text, on characters; both encoders agreeing; streaming equal to decoding.
func checkText(t *testing.T, tok *Tokenizer, name, text string) {
	for _, o := range []Options{{}, {Parse: true, Special: true}} {
		e, err := tok.Encode(text, o)
		if err != nil {
			t.Fatalf("%s: %q: %v", name, text, err)
		}
		ids, err := tok.AppendIDs(nil, text, o)
		if err != nil || !slices.Equal(ids, e.IDs) {
			t.Fatalf("%s: %q: AppendIDs gives %v, %v, Encode %v", name, text, ids, err, e.IDs)
		}
		for i, at := range e.Offsets {
			if at[0] < 0 || at[1] < at[0] || at[1] > len(text) {
				t.Fatalf("%s: %q: token %d has offsets %v", name, text, i, at)
			}
			if utf8.ValidString(text) && !utf8.ValidString(text[at[0]:at[1]]) {
				t.Fatalf("%s: %q: token %d is %q, half a character", name, text, i, text[at[0]:at[1]])
			}
			if _, ok := tok.Token(e.IDs[i]); !ok {
				t.Fatalf("%s: %q: id %d has no token", name, text, e.IDs[i])
			}
		}
		checkStream(t, tok, name, e.IDs)
	}
}

func checkStream(t *testing.T, tok *Tokenizer, name string, ids []int32) {
	for _, skip := range []bool{false, true} {
		d := tok.NewDecoder(skip)
		var b strings.Builder
		for _, id := range ids {
			piece := d.Push(id)
			if !utf8.ValidString(piece) {
				t.Fatalf("%s: %v: the piece of %d is %q", name, ids, id, piece)
			}
			b.WriteString(piece)
		}
		b.WriteString(d.Flush())
		if got, want := b.String(), tok.Decode(ids, skip); got != want {
			t.Fatalf("%s: %v streams to %q, decodes to %q", name, ids, got, want)
		}
	}
}

func FuzzText(f *testing.F) {
	skipUnderRace(f)
	for _, s := range []string{"", " hello  world", "don't 'S", "\r\n\n a\tb", "e\u0301 ﬁ Å", "<s>x</s> [MASK]", "语言 日本 한국어 हिन्दी", "\xff\xe4\xbd", "a\x00b", "👨‍👩‍👧 1,234.5"} {
		f.Add(s, []byte(s))
	}
	toks := map[string]*Tokenizer{}
	for _, g := range goldens(f) {
		toks[g.Name] = base(f, g.Base, g.parts(f))
	}
	f.Fuzz(func(t *testing.T, text string, raw []byte) {
		if len(text) > 1<<12 {
			return
		}
		for name, tok := range toks {
			checkText(t, tok, name, text)
			ids := make([]int32, len(raw))
			for i, b := range raw {
				ids[i] = int32(b) * 3
			}
			checkStream(t, tok, name, ids)
		}
		// Bytes lose nothing: what is UTF-8 comes back.
		if tok := toks["small-bbpe-gpt2"]; utf8.ValidString(text) {
			if got := tok.Decode(encode(t, tok, text, Options{}).IDs, false); got != text {
				t.Fatalf("%q comes back as %q", text, got)
			}
		}
	})
}

func FuzzTokenizerJSON(f *testing.F) {
	for _, g := range goldens(f) { // their components over a tiny model: small seeds mutate better
		parts := map[string]string{}
		for _, name := range []string{"normalizer", "pre_tokenizer", "decoder"} {
			if v, ok := g.Set[name]; ok && len(v) < 2000 {
				parts[name] = string(v)
			}
		}
		f.Add(build(parts), "hello wörld 123 <s>")
	}
	f.Add(build(nil), "ab")
	f.Add(build(map[string]string{"normalizer": `{"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]}`}), "a b")
	f.Add(build(map[string]string{"model": `{"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0], ["a", -1.5], ["▁a", -2]]}`, "pre_tokenizer": `{"type": "Metaspace", "replacement": "▁"}`}), "a aa")
	f.Add(build(map[string]string{"added_tokens": `[{"id": 3, "content": "<s>", "special": true, "lstrip": true}]`, "decoder": `{"type": "BPEDecoder", "suffix": "</w>"}`}), " <s>ab")
	f.Fuzz(func(t *testing.T, data []byte, text string) {
		if len(data) > 1<<16 || len(text) > 1<<10 {
			return
		}
		tok, err := FromJSON(data, nil)
		if err != nil {
			if tok != nil || !strings.HasPrefix(err.Error(), "tokenizer") {
				t.Fatalf("%v, %v", tok, err)
			}
			return
		}
		for _, o := range []Options{{}, {Parse: true, Special: true, FilePadding: true}} {
			e, err := tok.Encode(text, o)
			if err != nil {
				continue
			}
			for i, at := range e.Offsets {
				if at[0] < 0 || at[1] < at[0] || at[1] > len(text) {
					t.Fatalf("token %d has offsets %v in %q", i, at, text)
				}
			}
			checkStream(t, tok, "fuzzed", e.IDs)
		}
	})
}
