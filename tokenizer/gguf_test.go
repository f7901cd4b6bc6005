package tokenizer

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-ml/godwit/weights"
)

// baseModel is what the GGUF tests need of a tokenizer.json.
type baseModel struct {
	Model struct {
		Vocab  json.RawMessage
		Merges json.RawMessage
	}
	Added []struct {
		ID      int
		Content string
	} `json:"added_tokens"`
}

// ggufOf is the metadata a converter would write for a base of testdata.
func ggufOf(t testing.TB, name, model string) map[string]any {
	var b baseModel
	if err := json.Unmarshal(baseJSON(t, name, nil), &b); err != nil {
		t.Fatal(err)
	}
	var ids map[string]int
	if err := json.Unmarshal(b.Model.Vocab, &ids); err != nil {
		t.Fatal(err)
	}
	tokens, kinds := make([]string, len(ids)), make([]int32, len(ids))
	for text, id := range ids {
		tokens[id], kinds[id] = text, int32(pieceNormal)
		if len(text) == 6 && strings.HasPrefix(text, "<0x") {
			kinds[id] = int32(pieceByte)
		}
	}
	meta := map[string]any{"tokenizer.ggml.model": model, "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": kinds}
	for _, a := range b.Added {
		kinds[a.ID] = int32(pieceControl)
		for key, names := range map[string]string{"bos": "<s> <|endoftext|>", "eos": "</s> <|endoftext|>", "unknown": "<unk> [UNK]", "cls": "[CLS]", "seperator": "[SEP]"} { //nolint:misspell // llama.cpp's spelling
			if slices.Contains(strings.Fields(names), a.Content) {
				meta["tokenizer.ggml."+key+"_token_id"] = uint32(a.ID)
			}
		}
		if a.Content == "<unk>" {
			kinds[a.ID] = int32(pieceUnknown)
		}
	}
	if model == "gpt2" {
		var pairs [][2]string
		var merges []string
		if json.Unmarshal(b.Model.Merges, &pairs) == nil {
			for _, p := range pairs {
				merges = append(merges, p[0]+" "+p[1])
			}
		} else if err := json.Unmarshal(b.Model.Merges, &merges); err != nil {
			t.Fatal(err)
		}
		meta["tokenizer.ggml.merges"] = merges
	}
	return meta
}

// goldenTexts are a part of the texts of goldens.jsonl.
func goldenTexts(t testing.TB) []string {
	var texts []string
	for _, g := range goldens(t) {
		for i, r := range g.Rows {
			if i%4 == 0 {
				texts = append(texts, r.Text)
			}
		}
	}
	return texts
}

func fromGGUF(t testing.TB, meta map[string]any) *Tokenizer {
	t.Helper()
	tok, err := FromGGUF(meta)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// sameIDs compares two tokenizers on texts.
func sameIDs(t *testing.T, got, want *Tokenizer, texts []string) {
	t.Helper()
	for _, text := range texts {
		for _, o := range []Options{{}, {Parse: true}, {Special: true, Parse: true}} {
			g, w := encode(t, got, text, o), encode(t, want, text, o)
			if !slices.Equal(g.IDs, w.IDs) {
				t.Errorf("%+v %q:\n got %v\nwant %v", o, text, g.IDs, w.IDs)
			}
			if a, b := got.Decode(w.IDs, true), want.Decode(w.IDs, true); a != b {
				t.Errorf("%v decoded to %q, want %q", w.IDs, a, b)
			}
		}
	}
}

func TestGGUFLikeTokenizerJSON(t *testing.T) {
	texts := goldenTexts(t)
	t.Run("gpt2", func(t *testing.T) {
		meta := ggufOf(t, "small-bbpe-gpt2", "gpt2")
		meta["tokenizer.ggml.pre"] = "gpt-2"
		sameIDs(t, fromGGUF(t, meta), base(t, "small-bbpe-gpt2", nil), texts)
	})
	t.Run("llama", func(t *testing.T) {
		meta := ggufOf(t, "small-spbpe-llama", "llama")
		scores := make([]float32, len(meta["tokenizer.ggml.tokens"].([]string)))
		for id := range scores {
			scores[id] = -float32(id) // the trainer numbers pieces as it merges them
		}
		meta["tokenizer.ggml.scores"] = scores
		sameIDs(t, fromGGUF(t, meta), base(t, "small-spbpe-llama", nil), texts)
	})
	t.Run("bert", func(t *testing.T) {
		meta := ggufOf(t, "small-wordpiece", "bert")
		tokens := meta["tokenizer.ggml.tokens"].([]string)
		for id, text := range tokens {
			if inner, ok := strings.CutPrefix(text, "##"); ok {
				tokens[id] = inner
			} else if !strings.HasPrefix(text, "[") || !strings.HasSuffix(text, "]") {
				tokens[id] = spaceSymbol + text
			}
		}
		tok := fromGGUF(t, meta)
		want := base(t, "small-wordpiece", nil)
		sameIDs(t, tok, want, texts)
		g, err := tok.EncodePair("a b", "c", Options{Special: true})
		if err != nil {
			t.Fatal(err)
		}
		w, _ := want.EncodePair("a b", "c", Options{Special: true})
		if !slices.Equal(g.IDs, w.IDs) || !slices.Equal(g.TypeIDs, w.TypeIDs) {
			t.Errorf("a pair is %v %v, want %v %v", g.IDs, g.TypeIDs, w.IDs, w.TypeIDs)
		}
	})
}

// TestGGUFPre compares each split with the tokenizer.json that spells it as a regular expression.
func TestGGUFPre(t *testing.T) {
	texts := goldenTexts(t)
	split := func(regex string) string {
		return fmt.Sprintf(`{"type": "Split", "pattern": {"Regex": %q}, "behavior": "Isolated", "invert": false}`, regex)
	}
	bytesOnly := `{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}`
	gpt2 := `{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}`
	seq := func(parts ...string) json.RawMessage {
		return json.RawMessage(`{"type": "Sequence", "pretokenizers": [` + strings.Join(parts, ",") + `]}`)
	}
	nfc := json.RawMessage(`{"type": "NFC"}`)
	for name, set := range map[string]map[string]any{
		"":            nil,
		"gpt-2":       nil,
		"mpt":         {"normalizer": nfc},
		"smollm":      {"pre_tokenizer": seq(`{"type": "Digits", "individual_digits": true}`, gpt2)},
		"llama-bpe":   {"pre_tokenizer": seq(split(regexCL100K), bytesOnly)},
		"glm4":        {"pre_tokenizer": seq(split(regexCL100K), bytesOnly)},
		"qwen2":       {"pre_tokenizer": seq(split(regexQwen2), bytesOnly), "normalizer": nfc},
		"qwen35":      {"pre_tokenizer": seq(split(regexQwen35), bytesOnly), "normalizer": nfc},
		"gpt-4o":      {"pre_tokenizer": seq(split(regexO200K), bytesOnly)},
		"tekken":      {"pre_tokenizer": seq(split(regexTekken), bytesOnly)},
		"bloom":       {"pre_tokenizer": seq(split(regexBloom), bytesOnly)},
		"deepseek-v3": {"pre_tokenizer": seq(split(`\p{N}{1,3}`), split(`[一-龥぀-ゟ゠-ヿ]+`), split(regexDeepSeekV3), bytesOnly)},
	} {
		t.Run(name, func(t *testing.T) {
			meta := ggufOf(t, "small-bbpe-gpt2", "gpt2")
			meta["tokenizer.ggml.pre"] = name
			meta["tokenizer.ggml.add_bos_token"] = false
			want := base(t, "small-bbpe-gpt2", set)
			if name == "llama-bpe" || name == "tekken" { // a whole word is its token there
				var model map[string]any
				if err := json.Unmarshal(bases(t)["small-bbpe-gpt2"]["model"], &model); err != nil {
					t.Fatal(err)
				}
				model["ignore_merges"] = true
				set["model"] = model
				want = base(t, "small-bbpe-gpt2", set)
			}
			sameIDs(t, fromGGUF(t, meta), want, texts)
		})
	}
	for _, p := range ggufPres() {
		for _, name := range p.names {
			if _, err := ggufSplit(name); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestGGUFSentencePiece compares with the library sentencepiece over the same pieces.
func TestGGUFSentencePiece(t *testing.T) {
	for _, g := range spGoldens(t) {
		m := &sentencePiece{surface: " \u2047 ", prefix: true, squeeze: true, escape: true}
		if err := m.read(g.Model); err != nil {
			t.Fatal(err)
		}
		if m.suffix || !m.escape || m.surface != " \u2047 " {
			continue // GGUF has no words for these
		}
		t.Run(g.Name, func(t *testing.T) {
			meta := map[string]any{"tokenizer.ggml.model": "llama", "tokenizer.ggml.scores": m.scores, "tokenizer.ggml.add_space_prefix": m.prefix,
				"tokenizer.ggml.remove_extra_whitespaces": m.squeeze, "tokenizer.ggml.add_bos_token": false, "tokenizer.ggml.add_eos_token": false}
			if m.unigram {
				meta["tokenizer.ggml.model"] = "t5"
			}
			var tokens []string
			var kinds []int32
			start := uint32(0)
			for id, kind := range m.kinds {
				tokens, kinds = append(tokens, string(m.tokens.text[start:m.tokens.ends[id]])), append(kinds, int32(kind))
				start = m.tokens.ends[id]
			}
			meta["tokenizer.ggml.tokens"], meta["tokenizer.ggml.token_type"] = tokens, kinds
			switch {
			case g.NFKC:
				meta["tokenizer.ggml.precompiled_charsmap"] = nfkcCharsmap(t)
			case m.charsmap != nil:
				signed := make([]int8, 4+len(m.charsmap.units)+len(m.charsmap.text))
				for i := range 4 {
					signed[i] = int8(len(m.charsmap.units) >> (8 * i))
				}
				for i, b := range append(slices.Clone(m.charsmap.units), m.charsmap.text...) {
					signed[4+i] = int8(b)
				}
				meta["tokenizer.ggml.precompiled_charsmap"] = signed
			}
			tok := fromGGUF(t, meta)
			for _, r := range g.Rows {
				if e := encode(t, tok, r.Text, Options{}); !slices.Equal(e.IDs, r.IDs) {
					t.Errorf("%q: ids %v, want %v", r.Text, e.IDs, r.IDs)
				}
				if got := tok.Decode(r.IDs, false); got != *r.Decoded {
					t.Errorf("%v decoded to %q, want %q", r.IDs, got, *r.Decoded)
				}
			}
		})
	}
}

func TestGGUFSpecialTokens(t *testing.T) {
	meta := ggufOf(t, "small-spbpe-llama", "llama")
	meta["tokenizer.ggml.scores"] = make([]float32, len(meta["tokenizer.ggml.tokens"].([]string)))
	meta["tokenizer.chat_template"] = "{{ messages }}"
	for _, c := range []struct {
		set  map[string]any
		want string // of the empty text
	}{
		{nil, "[1]"}, // llama has a BOS unless told otherwise
		{map[string]any{"add_bos_token": false}, "[]"},
		{map[string]any{"add_eos_token": true}, "[1 2]"},
		{map[string]any{"add_bos_token": false, "add_eos_token": true}, "[2]"},
	} {
		m := maps.Clone(meta)
		for k, v := range c.set {
			m["tokenizer.ggml."+k] = v
		}
		if ids := encode(t, fromGGUF(t, m), "", Options{Special: true}).IDs; fmt.Sprint(ids) != c.want {
			t.Errorf("%v: %v, want %s", c.set, ids, c.want)
		}
	}
	for prefix, want := range map[bool]string{true: "▁", false: "h"} {
		m := maps.Clone(meta)
		m["tokenizer.ggml.add_space_prefix"] = prefix
		if e := encode(t, fromGGUF(t, m), "h", Options{}); !strings.HasPrefix(e.Tokens[0], want) {
			t.Errorf("add_space_prefix %v: tokens %q", prefix, e.Tokens)
		}
	}
	tok := fromGGUF(t, meta)
	if tok.ChatTemplate() != "{{ messages }}" || tok.Roles().BOS != 1 || tok.Roles().EOS != 2 || tok.Roles().Unk != 0 || tok.Roles().Pad != -1 {
		t.Errorf("template %q, roles %+v", tok.ChatTemplate(), tok.Roles())
	}
}

func TestGGUFCased(t *testing.T) {
	tokens := []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "▁go", "▁Go", "es"}
	meta := map[string]any{"tokenizer.ggml.model": "bert", "tokenizer.ggml.tokens": tokens}
	if got := fmt.Sprint(encode(t, fromGGUF(t, meta), "Goes go", Options{}).IDs); got != "[5 6 4]" {
		t.Errorf("cased: %s", got)
	}
	tokens[5] = "▁gó"
	if got := fmt.Sprint(encode(t, fromGGUF(t, meta), "GOES Gó", Options{Special: true}).IDs); got != "[2 4 6 4 3]" {
		t.Errorf("uncased: %s", got)
	}
}

func TestGGUFRefused(t *testing.T) {
	good := ggufOf(t, "small-bbpe-gpt2", "gpt2")
	llama := ggufOf(t, "small-spbpe-llama", "llama")
	n := len(llama["tokenizer.ggml.tokens"].([]string))
	llama["tokenizer.ggml.scores"] = make([]float32, n)
	bad := slices.Clone(llama["tokenizer.ggml.tokens"].([]string))
	bad[300] = ""
	for _, c := range []struct {
		meta  map[string]any
		key   string
		value any // nil: taken away
		names string
	}{
		{good, "model", nil, "model|no tokenizer"},
		{good, "model", "no_vocab", "no_vocab|no tokenizer"},
		{good, "model", "rwkv", "rwkv|gpt2, llama, t5, bert"},
		{good, "model", 7, "tokenizer.ggml.model|int|string"},
		{good, "tokens", nil, "tokens"},
		{good, "tokens", []int32{1}, "tokens|[]int32|[]string"},
		{good, "merges", nil, "merges"},
		{good, "merges", []string{"a"}, "merges|entry 0"},
		{good, "merges", []string{"a b c"}, "merges|entry 0"},
		{good, "merges", []string{"qqq b"}, "merges|entry 0|qqq"},
		{good, "pre", "nobody-knows", "pre|nobody-knows|llama-bpe, llama-v3"},
		{good, "token_type", []int32{1}, "token_type|512"},
		{good, "token_type", "x", "token_type|string"},
		{good, "token_type", slices.Repeat([]int32{9}, 512), "token_type|token 0|9"},
		{good, "bos_token_id", uint32(512), "bos_token_id|512"},
		{good, "bos_token_id", "x", "bos_token_id|string|integer"},
		{good, "add_bos_token", "yes", "add_bos_token|string|bool"},
		{llama, "scores", nil, "scores"},
		{llama, "scores", make([]float32, 3), "scores|3|512"},
		{llama, "scores", make([]float64, n), "scores|[]float64|[]float32"},
		{llama, "tokens", bad, "piece 300"},
		{llama, "bos_token_id", nil, "add_bos_token|bos_token_id"},
		{llama, "precompiled_charsmap", []uint8{1, 2}, "precompiled_charsmap"},
		{llama, "precompiled_charsmap", 7, "precompiled_charsmap|int"},
		{llama, "model", "bert", "bert|cls"},
		{llama, "model", "gpt2", "merges"},
	} {
		meta := maps.Clone(c.meta)
		if c.value == nil {
			delete(meta, "tokenizer.ggml."+c.key)
		} else {
			meta["tokenizer.ggml."+c.key] = c.value
		}
		_, err := FromGGUF(meta)
		if err == nil {
			t.Errorf("%s = %v is accepted", c.key, c.value)
			continue
		}
		for _, name := range strings.Split(c.names, "|") {
			if !strings.Contains(err.Error(), name) {
				t.Errorf("%s = %v: error %q does not name %q", c.key, c.value, err, name)
			}
		}
	}
}

// TestGGUFFixtures holds the tokenizers inside real files against the goldens of the
// tokenizers they were made from.
func TestGGUFFixtures(t *testing.T) {
	dir := fixtures(t)
	files := map[string]string{
		filepath.Join(dir, "gguf", "models", "gpt2-F16.gguf"):   "small-bbpe-gpt2",
		filepath.Join(dir, "gguf", "models", "llama-Q8_0.gguf"): "small-spbpe-llama",
	}
	if path := os.Getenv("GODWIT_SMOLLM2"); path != "" { // the path of SmolLM2's .gguf
		files[path] = "real-smollm2"
	}
	for path, name := range files {
		t.Run(name, func(t *testing.T) {
			c, err := weights.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			tok := fromGGUF(t, c.Metadata())
			for _, r := range readRows(t, filepath.Join(dir, "tokenizers", name, "golden.jsonl")) {
				if r.Pair != nil {
					continue
				}
				if ids := encode(t, tok, r.Text, Options{Parse: true}).IDs; !slices.Equal(ids, r.IDs) {
					t.Errorf("%q: ids %v, want %v", r.Text, ids, r.IDs)
				}
				if ids := encode(t, tok, r.Text, Options{Parse: true, Special: true}).IDs; !slices.Equal(ids, r.IDsSpecial) {
					t.Errorf("%q: ids %v, want %v", r.Text, ids, r.IDsSpecial)
				}
				if got := tok.Decode(r.IDsSpecial, true); got != *r.DecodedSkip {
					t.Errorf("%v decoded to %q, want %q", r.IDsSpecial, got, *r.DecodedSkip)
				}
			}
		})
	}
}
