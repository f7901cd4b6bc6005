package tokenizer

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

// build is a tokenizer.json with a small BPE model and some parts replaced.
func build(parts map[string]string) []byte {
	all := map[string]string{"version": `"1.0"`, "model": `{"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}`}
	for k, v := range parts {
		all[k] = v
	}
	var b strings.Builder
	for k, v := range all {
		if v != "" {
			fmt.Fprintf(&b, ", %q: %s", k, v)
		}
	}
	return []byte("{" + strings.TrimPrefix(b.String(), ", ") + "}")
}

func TestRefused(t *testing.T) {
	model := func(s string) []byte { return build(map[string]string{"model": s}) }
	added := func(s string) []byte { return build(map[string]string{"added_tokens": s}) }
	part := func(k, v string) []byte { return build(map[string]string{k: v}) }
	for _, c := range []struct {
		data  []byte
		names string // must occur in the error, separated by |
	}{
		{nil, "byte 0"},
		{[]byte("{"), "byte 1"},
		{[]byte("[]"), "want"},
		{[]byte(`{"model": {}} x`), "more after"},
		{[]byte(strings.Repeat(`{"a":`, 100000)), "nest"},
		{[]byte(`{"a": ` + strings.Repeat("[", 1<<20)), "nest"},
		{build(map[string]string{"model": ""}), "model"},
		{build(map[string]string{"version": `"2.0"`}), "version|2.0"},
		{model(`{"type": "Fancy", "vocab": {}}`), "model|Fancy|WordPiece"},
		{model(`{"type": "BPE", "merges": []}`), "vocab"},
		{model(`{"type": "BPE", "vocab": {"a": 0}}`), "merges"},
		{model(`{"type": "BPE", "vocab": {"a": 0, "b": 0}, "merges": []}`), `"a"|"b"|same id`},
		{model(`{"type": "BPE", "vocab": {"a": 0, "a": 1}, "merges": []}`), `"a"|twice`},
		{model(`{"type": "BPE", "vocab": {"a": 2147483647}, "merges": []}`), `"a"|2147483647`},
		{model(`{"type": "BPE", "vocab": {"a": 2147483648}, "merges": []}`), "2147483648"},
		{model(`{"type": "BPE", "vocab": {"a": -1}, "merges": []}`), "-1"},
		{model(`{"type": "BPE", "vocab": {"a": 1.5}, "merges": []}`), "1.5"},
		{model(`{"type": "BPE", "vocab": {"a": "0"}, "merges": []}`), "number"},
		{model(`{"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": ["a b"]}`), `"ab"|not in the vocabulary`},
		{model(`{"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a c"]}`), `"c"`},
		{model(`{"type": "BPE", "vocab": {"a": 0}, "merges": ["a"]}`), "merge"},
		{model(`{"type": "BPE", "vocab": {"a": 0}, "merges": [["a"]]}`), "merge"},
		{model(`{"type": "BPE", "vocab": {"a": 0}, "merges": [7]}`), "merges"},
		{model(`{"type": "BPE", "vocab": {"a": 0}, "merges": [], "dropout": 0.1}`), "dropout"},
		{model(`{"type": "BPE", "vocab": {"a": 0}, "merges": [], "unk_token": "?"}`), `unk_token|"?"`},
		{model(`{"type": "WordPiece", "vocab": {"a": 0}, "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100}`), "[UNK]"},
		{model(`{"type": "WordPiece", "vocab": {"a": 0}, "unk_token": "a"}`), "continuing_subword_prefix"},
		{model(`{"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "b"}`), `"b"`},
		{model(`{"type": "Unigram", "vocab": [["a", 0]], "unk_id": 1}`), "unk_id 1"},
		{model(`{"type": "Unigram", "vocab": [["a", 0]], "unk_id": null}`), "unk_id"},
		{model(`{"type": "Unigram", "vocab": [["a", 1e999]], "unk_id": 0}`), "1e999"},
		{model(`{"type": "Unigram", "vocab": [["a"]], "unk_id": 0}`), "score"},
		{model(`{"type": "Unigram", "vocab": [["` + strings.Repeat("a", 5000) + `", 1]], "unk_id": 0}`), "5000"},
		{model("{\"type\": \"BPE\", \"vocab\": {\"\xff\": 0}, \"merges\": []}"), "UTF-8"},
		{model(`{"type": "BPE", "vocab": {"\ud800": 0}, "merges": []}`), "surrogate"},
		{added(`[{"id": 5, "content": "x"}, {"id": 5, "content": "y"}]`), `"x"|"y"|5`},
		{added(`[{"content": "x"}]`), "id"},
		{added(`[{"id": -1, "content": "x"}]`), "id"},
		{added(`[{"id": 99999999999, "content": "x"}]`), "added_tokens"},
		{added(`[{"id": 5, "content": "` + strings.Repeat("x", 2000) + `"}]`), "2000"},
		{added(`{}`), "added_tokens"},
		{part("normalizer", `{"type": "Shouting"}`), "normalizer|Shouting|NFKC"},
		{part("normalizer", `{"type": "Replace", "pattern": {"Regex": "(a|b)*"}, "content": ""}`), "(a|b)*|GPT-2"},
		{part("normalizer", `{"type": "Replace", "pattern": {"String": ""}, "content": ""}`), "empty"},
		{part("normalizer", `{"type": "Replace", "pattern": {"String": "a"}, "content": "`+strings.Repeat("x", 300)+`"}`), "300"},
		{part("normalizer", `{"type": "Precompiled", "precompiled_charsmap": "/////w=="}`), "precompiled_charsmap"},
		{part("normalizer", `{"type": "Precompiled", "precompiled_charsmap": "!"}`), "precompiled_charsmap"},
		{part("normalizer", `{"type": "Sequence", "normalizers": [`+strings.Repeat(`{"type": "NFC"},`, 100)+`{"type": "NFC"}]}`), "24"},
		{part("pre_tokenizer", `{"type": "UnicodeScripts"}`), "pre_tokenizer|UnicodeScripts|Metaspace"},
		{part("pre_tokenizer", `{"type": "Split", "pattern": {"Regex": "\\w+|\\d"}, "behavior": "Isolated", "invert": false}`), `\\w+|not supported|Llama 3`},
		{part("pre_tokenizer", `{"type": "Split", "pattern": {"Regex": "a*"}, "behavior": "Isolated", "invert": false}`), "a*"},
		{part("pre_tokenizer", `{"type": "Split", "pattern": {"String": "a"}, "behavior": "Sideways", "invert": false}`), "Sideways"},
		{part("pre_tokenizer", `{"type": "Metaspace", "replacement": "▁▁"}`), "replacement"},
		{part("pre_tokenizer", `{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "last"}`), "last"},
		{part("pre_tokenizer", `{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "add_prefix_space": false}`), "add_prefix_space"},
		{part("pre_tokenizer", `{"type": "FixedLength", "length": 0}`), "length"},
		{part("decoder", `{"type": "CTC"}`), "decoder|CTC|WordPiece"},
		{part("decoder", `{"type": "Sequence", "decoders": [{"type": "Fuse"}, {"type": "WordPiece", "prefix": "##"}]}`), "WordPiece|Fuse"},
		{part("decoder", `{"type": "BPEDecoder", "suffix": ""}`), "suffix"},
		{part("post_processor", `{"type": "Special"}`), "post_processor|Special|TemplateProcessing"},
		{part("post_processor", `{"type": "BertProcessing", "cls": ["a", 7], "sep": ["a", 0]}`), "7"},
		{part("post_processor", `{"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x", "type_id": 0}}], "pair": [], "special_tokens": {}}`), `"x"`},
		{part("post_processor", `{"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}], "pair": [], "special_tokens": {}}`), "twice"},
		{part("post_processor", `{"type": "TemplateProcessing", "single": [{"Sequence": {"id": "B", "type_id": 0}}], "pair": [], "special_tokens": {}}`), "single"},
		{part("truncation", `{"max_length": 5, "strategy": "Random"}`), "truncation|Random"},
		{part("padding", `{"strategy": {"Fixed": 1000000000}, "direction": "Right", "pad_id": 0}`), "padding|1000000000"},
		{part("padding", `{"strategy": {"Fixed": 10}, "direction": "Right", "pad_id": 10}`), "pad_id|10"},
	} {
		_, err := FromJSON(c.data, nil)
		if err == nil {
			t.Errorf("no error for %.200s", c.data)
			continue
		}
		for _, name := range strings.Split(c.names, "|") {
			if !strings.Contains(err.Error(), name) {
				t.Errorf("the error for %.200s\n   says %v\nwithout %q", c.data, err, name)
			}
		}
		if len(err.Error()) > 1500 {
			t.Errorf("an error of %d bytes: %.200s", len(err.Error()), err)
		}
	}
}

// A chain of components cannot blow a text up.
func TestGrowth(t *testing.T) {
	skipUnderRace(t)
	grow := `{"type": "Replace", "pattern": {"String": "a"}, "content": "` + strings.Repeat("a", 200) + `"}`
	for name, parts := range map[string]map[string]string{
		"one":       {"normalizer": grow},
		"chain":     {"normalizer": `{"type": "Sequence", "normalizers": [` + strings.Repeat(grow+",", 20) + grow + `]}`},
		"map bytes": {"pre_tokenizer": `{"type": "Sequence", "pretokenizers": [` + strings.Repeat(`{"type": "ByteLevel", "use_regex": false},`, 20) + `{"type": "ByteLevel", "use_regex": false}]}`},
	} {
		tok, err := FromJSON(build(parts), nil)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Repeat("aé", 10000)
		used := allocated(func() {
			if _, err = tok.Encode(text, Options{}); err == nil || !strings.Contains(err.Error(), "longer") {
				t.Errorf("%s: %v", name, err)
			}
			if ids, err := tok.AppendIDs(nil, text, Options{}); err == nil || ids != nil {
				t.Errorf("%s: AppendIDs: %v", name, err)
			}
		})
		if used > 150<<20 {
			t.Errorf("%s: %d bytes allocated for a text of %d", name, used, len(text))
		}
	}
	// What normalization really does stays far below the limit.
	tok, err := FromJSON(build(map[string]string{"normalizer": `{"type": "NFKC"}`}), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tok.Encode(strings.Repeat("\ufdfa", 10000), Options{}); err != nil {
		t.Error(err)
	}
}

// allocated is how many bytes f allocates.
func allocated(f func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}

// A damaged charsmap leads nowhere but not outside.
func TestDamagedCharsmap(t *testing.T) {
	skipUnderRace(t)
	var n struct {
		Normalizers []struct {
			Charsmap []byte `json:"precompiled_charsmap"`
		}
	}
	if err := json.Unmarshal(bases(t)["small-unigram-t5"]["normalizer"], &n); err != nil {
		t.Fatal(err)
	}
	loadTables()
	text := "ﬁ Å é ① \r\n ｶﾞ \u0344 ℌ a\u0301 ㎏"
	for k := range 2000 {
		data := append([]byte(nil), n.Normalizers[0].Charsmap...)
		for i := k % 7; i < len(data); i += 1 + (i*31+k*17)%97 {
			data[i] ^= byte(k*13 + i)
		}
		m, err := newCharsmap(data)
		if err != nil {
			continue
		}
		st := &state{track: true}
		st.norm[0].limit, st.norm[1].limit = 1<<20, 1<<20
		m.normalize(piece{s: text}, st)
	}
}

// A vocabulary of a million tokens and merges loads within seconds and a few times its size.
func TestLargeVocabulary(t *testing.T) {
	skipUnderRace(t)
	n := 1000
	if testing.Short() {
		n = 300
	}
	var vocab, merges strings.Builder
	for i := range n {
		fmt.Fprintf(&vocab, "\"%c\": %d, ", rune(0x4e00+i), i)
	}
	for i := range n {
		for k := range n {
			fmt.Fprintf(&vocab, "\"%c%c\": %d, ", rune(0x4e00+i), rune(0x4e00+k), n+i*n+k)
			fmt.Fprintf(&merges, ", \"%c %c\"", rune(0x4e00+i), rune(0x4e00+k))
		}
	}
	data := build(map[string]string{"model": `{"type": "BPE", "vocab": {` + strings.TrimSuffix(vocab.String(), ", ") + `}, "merges": [` + strings.TrimPrefix(merges.String(), ", ") + `]}`})
	start := time.Now()
	var tok *Tokenizer
	var err error
	used := allocated(func() { tok, err = FromJSON(data, nil) })
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes: %v, %d bytes allocated", len(data), time.Since(start), used)
	if d := time.Since(start); d > time.Minute {
		t.Errorf("loading took %v", d)
	}
	if used > 10*int64(len(data)) {
		t.Errorf("loading %d bytes allocates %d", len(data), used)
	}
	if ids := encode(t, tok, "一丁丂", Options{}).IDs; len(ids) != 2 {
		t.Errorf("ids %v, want two", ids)
	}
}
