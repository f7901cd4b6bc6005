package tokenizer

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"
	"unicode/utf8"
)

// goldenStep is a line of steps.jsonl: one component, and texts with what becomes of them.
type goldenStep struct {
	Kind string
	Step json.RawMessage
	Rows [][2]json.RawMessage
}

// wholeWords is a model that makes every word one token, to see how texts are split.
type wholeWords struct{}

func (wholeWords) tokenize(st *state, word string) {
	st.toks = append(st.toks, token{0, 0, int32(len(word))})
}

func (wholeWords) unknown() (int32, bool) { return -1, false }

// splitsOf returns the code points at which the parts of a text begin and end.
func splitsOf(t *testing.T, pre []preTokenizer, text string) []int {
	v, err := newVocab(tokenList{text: []byte("x"), ends: []uint32{1}, ids: []int32{0}}, false)
	if err != nil {
		t.Fatal(err)
	}
	tok := &Tokenizer{pre: pre, model: wholeWords{}, cache: newWordCache(), vocab: v, unknown: -1}
	at := []int{}
	for _, o := range codePoints(text, encode(t, tok, text, Options{}).Offsets) {
		at = append(at, o[0], o[1])
	}
	return at
}

func TestSteps(t *testing.T) {
	skipUnderRace(t)
	loadTables()
	g := goldenSet{Set: map[string]json.RawMessage{"charsmap": json.RawMessage(`@charsmap`)}}
	charsmap := g.parts(t)["charsmap"].(json.RawMessage)
	data := bytes.ReplaceAll(gunzip(t, "steps.jsonl.gz"), []byte("@charsmap"), charsmap)
	for d := json.NewDecoder(bytes.NewReader(data)); d.More(); {
		var s goldenStep
		if err := d.Decode(&s); err != nil {
			t.Fatal(err)
		}
		var sp spec
		read := sp.readPreTokenizer
		if s.Kind == "normalizer" {
			read = sp.readNormalizer
		}
		if err := read(s.Step); err != nil {
			t.Fatal(err)
		}
		for _, row := range s.Rows {
			var text string
			if err := json.Unmarshal(row[0], &text); err != nil {
				t.Fatal(err)
			}
			if s.Kind == "normalizer" {
				var want string
				if err := json.Unmarshal(row[1], &want); err != nil {
					t.Fatal(err)
				}
				for _, track := range []bool{false, true} {
					st := &state{track: track}
					st.norm[0].limit, st.norm[1].limit = 1<<20, 1<<20
					if got := sp.norm[0].normalize(piece{s: text}, st); got.s != want || track && got.al != nil && len(got.al) != len(got.s) {
						t.Errorf("%.200s: %q becomes %q, want %q", s.Step, text, got.s, want)
					}
				}
				continue
			}
			var want []int
			if err := json.Unmarshal(row[1], &want); err != nil {
				t.Fatal(err)
			}
			if got := splitsOf(t, sp.pre, text); !slices.Equal(got, want) {
				t.Errorf("%.200s: %q is split at %v, want %v", s.Step, text, got, want)
			}
		}
	}
}

// The clusters of UAX #29's own examples, and those that its later rules are about.
func TestClusters(t *testing.T) {
	loadTables()
	for text, want := range map[string][]int{
		"abc": {1, 1, 1}, "\r\na": {2, 1}, "\n\r": {1, 1}, "e\u0301x": {2, 1}, "a\u0301\u0302": {3}, "\r\u0301": {1, 1},
		"\u1100\u1161\u11a8": {3}, "가\u11a8": {2}, "\u11a8가": {1, 1}, "각\u1161": {1, 1}, "🇩🇪🇫": {2, 1}, "🇩🇪🇫🇷": {2, 2}, "a🇩🇪": {1, 2},
		"👨\u200d👩": {3}, "👨\u0308\u200d👩": {4}, "a\u200d👩": {2, 1}, "👍🏽": {2}, "\u0600a": {2}, "का": {2},
		"क्षि": {4}, "क\u094d\u200dष": {4}, "कष": {1, 1}, "क\u0301\u094dष": {4}, "्ष": {1, 1}, "a्ष": {2, 1}, "ก\u0e33": {2}, "\u200b\u0301": {1, 1},
	} {
		var got []int
		for i := 0; i < len(text); {
			end := clusterEnd(text, i)
			got = append(got, utf8.RuneCountInString(text[i:end]))
			i = end
		}
		if !slices.Equal(got, want) {
			t.Errorf("clusters of %q have %v characters, want %v", text, got, want)
		}
	}
}

// Positive scores are legal, and only with them the penalty decides between known and unknown.
func TestUnigramUnknown(t *testing.T) {
	for _, c := range []struct {
		vocab, text string
		want        []int32
	}{
		{`[["<unk>", 0], ["a", 9.5], ["ab", 0]]`, "ab", []int32{2}},
		{`[["<unk>", 0], ["a", 10.5], ["ab", 0]]`, "ab", []int32{1, 0}},
		{`[["<unk>", 25], ["xy", 25], ["a", 25]]`, "xy", []int32{1}}, // two unknowns, fused, are a token
		{`[["<unk>", 25], ["xy", 25], ["a", 25]]`, "axyza", []int32{2, 0, 2}},
		{`[["<unk>", 0], ["ab", 1], ["a", 0.5], ["b", 0.5]]`, "ab", []int32{1}}, // a tie: what was found first
	} {
		tok, err := FromJSON(build(map[string]string{"model": `{"type": "Unigram", "unk_id": 0, "vocab": ` + c.vocab + `}`}), nil)
		if err != nil {
			t.Fatal(err)
		}
		if ids := encode(t, tok, c.text, Options{}).IDs; !slices.Equal(ids, c.want) {
			t.Errorf("%s: %q gives %v, want %v", c.vocab, c.text, ids, c.want)
		}
	}
}
