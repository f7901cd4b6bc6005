package tokenizer

import (
	"slices"
	"testing"
)

// TestWords: the tokens of a word share its number, whatever the model makes of it,
// and added tokens are words of their own.
func TestWords(t *testing.T) {
	text := "Hello, unhappiest worlds of café!  don't<mask>[MASK]"
	for name, want := range map[string][]string{
		"small-wordpiece":   {"Hello", ",", "unhappiest", "worlds", "of", "café", "!", "don", "'", "t", "<", "mask", ">", "[MASK]"},
		"small-roberta":     {"Hello", ",", "unhappiest", "worlds", "of", "café", "!", "", "don", "'t", "<mask>", "[", "MASK", "]"},
		"small-unigram-t5":  {"Hello,", " unhappiest", " worlds", " of", " café!", " don't<mask>[MASK]"},
		"small-spbpe-llama": nil, // nothing cuts it: all is one word
	} {
		e, err := base(t, name, nil).Encode(text, Options{Parse: true})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for i := 0; i < len(e.IDs); {
			k := i + 1
			for k < len(e.IDs) && e.Words[k] == e.Words[i] {
				k++
			}
			got = append(got, text[e.Offsets[i][0]:e.Offsets[k-1][1]])
			i = k
		}
		if want == nil {
			want = []string{text}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: words %q, want %q (%v of %q)", name, got, want, e.Words, e.Tokens)
		}
	}
	pair, err := base(t, "small-wordpiece", nil).EncodePair("one two", "three", Options{Special: true})
	if err != nil {
		t.Fatal(err)
	}
	for i, w := range pair.Words {
		first := i > 0 && pair.Segment[i] != pair.Segment[i-1]
		if (w < 0) != (pair.Segment[i] < 0) || first && w > 0 {
			t.Errorf("words %v of segments %v", pair.Words, pair.Segment)
		}
	}
	if got := base(t, "small-wordpiece", nil).Continuation(); got != "##" {
		t.Errorf("tokens inside words begin with %q", got)
	}
	if got := base(t, "small-roberta", nil).Continuation(); got != "" {
		t.Errorf("tokens inside words begin with %q in BPE", got)
	}
}
