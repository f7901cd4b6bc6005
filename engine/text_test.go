package engine

// Where answers end and what is shown of them: end tokens, stop texts, characters
// in several tokens, and how many tokens there may and must be.

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-ml/godwit/tokenizer"
)

func readTokenizer(t *testing.T, name string) *tokenizer.Tokenizer {
	t.Helper()
	data, err := os.ReadFile("../model/testdata/checkpoints/" + name + "/tokenizer.json")
	if err != nil {
		t.Fatal(err)
	}
	tok, err := tokenizer.FromJSON(data, nil)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// answer is the first answer of a request: its ids, text and last token.
func answer(t *testing.T, e *Engine, r Request) (ids []int32, text string, last Token) {
	t.Helper()
	tokens, err := submit(t, e, r).Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, k := range tokens {
		if k.Finish != Running && i != len(tokens)-1 {
			t.Fatalf("token %d of %d finishes: %d", i, len(tokens), k.Finish)
		}
		ids, text, last = append(ids, k.ID), text+k.Text, k
	}
	return ids, text, last
}

// wording is a greedy answer of gpt2 that has characters in several tokens.
func wording(t *testing.T, e *Engine, tok *tokenizer.Tokenizer) (r Request, free []int32) {
	t.Helper()
	ids, err := tok.AppendIDs(nil, "The transformer attends to every token.", tokenizer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r = greedy(24, ids)
	r.Tokenizer = tok
	free, text, last := answer(t, e, r)
	if want := tok.Decode(free, true); text != want || len(free) != 24 || last.Finish != Length {
		t.Fatalf("%d tokens, %q, want %q", len(free), text, want)
	}
	return r, free
}

// TestLengths: of every length an answer is the beginning of the longest, and its
// text is what its ids decode to, an unfinished character included.
func TestLengths(t *testing.T) {
	e, _ := newEngine(t, "gpt2", Config{})
	r, free := wording(t, e, readTokenizer(t, "gpt2"))
	unfinished := 0
	for n := 1; n < len(free); n++ {
		r.MaxTokens = n
		ids, text, last := answer(t, e, r)
		if want := r.Tokenizer.Decode(free[:n], true); !slices.Equal(ids, free[:n]) || text != want || last.Finish != Length {
			t.Errorf("%d tokens: %v %q, want %v %q", n, ids, text, free[:n], want)
		}
		if strings.HasSuffix(text, "�") {
			unfinished++
		}
	}
	if unfinished == 0 {
		t.Error("no length cuts a character: the row tests less than it says")
	}
}

// TestEndTokens ends an answer at each token that it has for the first time.
func TestEndTokens(t *testing.T) {
	e, _ := newEngine(t, "gpt2", Config{})
	tok := readTokenizer(t, "gpt2")
	r, free := wording(t, e, tok)
	for at, id := range free {
		if slices.Index(free, id) != at {
			continue
		}
		name := fmt.Sprintf("end token %d, at %d", id, at)
		check := func(what string, r Request) {
			t.Helper()
			ids, text, last := answer(t, e, r)
			if want := tok.Decode(free[:at], true); !slices.Equal(ids, free[:at+1]) || text != want || last.Finish != Stopped || last.Stop != "" {
				t.Errorf("%s, %s: %v %q %d, want %v %q", name, what, ids, text, last.Finish, free[:at+1], want)
			}
		}
		r := r
		r.EOS = []int32{id}
		check("alone", r)
		r.EOS = []int32{511, id}
		check("the second of two", r)
		r.MaxTokens = at + 1
		check("as the last allowed", r)
		r.MaxTokens, r.MinTokens = 24, at
		check("the first that counts", r)
		r.MinTokens = at + 1
		ids, _, _ := answer(t, e, r)
		if len(ids) < at+2 || !slices.Equal(ids[:at], free[:at]) || ids[at] == id {
			t.Errorf("%s, but %d tokens are wanted: %v, without it %v", name, r.MinTokens, ids, free)
		}
	}
}

// TestStopTexts stops at texts that lie within a token, across tokens, and at the
// end; before MinTokens they do not count.
func TestStopTexts(t *testing.T) {
	e, _ := newEngine(t, "gpt2", Config{})
	tok := readTokenizer(t, "gpt2")
	r, free := wording(t, e, tok)
	whole := tok.Decode(free, true)
	texts := make([]string, len(free)+1) // of so many tokens, as they become final
	d := tok.NewDecoder(true)
	for i, id := range free {
		texts[i+1] = texts[i] + d.Push(id)
	}
	for from := range whole {
		for _, n := range []int{1, 2, 4, 7} {
			runes := []rune(whole[from:])
			if len(runes) < n || strings.ContainsRune(string(runes[:n]), '�') {
				continue
			}
			stop := string(runes[:n])
			at := strings.Index(whole, stop)
			set, err := NewStopSet([]string{"no such text", stop, "nor this"})
			if err != nil {
				t.Fatal(err)
			}
			r := r
			r.Stop = set
			ids, text, last := answer(t, e, r)
			tokens := 1
			for tokens < len(free) && !strings.Contains(texts[tokens], stop) {
				tokens++
			}
			if text != whole[:at] || last.Finish != Stopped || last.Stop != stop || !slices.Equal(ids, free[:tokens]) {
				t.Errorf("stop %q: %v %q %d %q, want %d tokens and %q", stop, ids, text, last.Finish, last.Stop, tokens, whole[:at])
			}
		}
	}
	// A stop text that has begun when the answer ends is text.
	set, err := NewStopSet([]string{whole[len(whole)-len("�"):] + "never"})
	if err != nil {
		t.Fatal(err)
	}
	r.Stop = set
	if _, text, last := answer(t, e, r); text != whole || last.Finish != Length || last.Stop != "" {
		t.Errorf("a stop text that does not come: %q %d, want %q", text, last.Finish, whole)
	}
	// Of the first MinTokens tokens none stops, or takes part in a stop.
	if set, err = NewStopSet([]string{texts[1]}); err != nil {
		t.Fatal(err)
	}
	r.Stop = set
	if ids, text, _ := answer(t, e, r); len(ids) != 1 || text != "" {
		t.Errorf("stop %q at once: %v %q", texts[1], ids, text)
	}
	again := 2
	for texts[again+1] == texts[again] || !strings.Contains(strings.TrimPrefix(texts[again+1], texts[again]), texts[1]) {
		again++
	}
	r.MinTokens = again
	if ids, text, last := answer(t, e, r); len(ids) <= 1 || last.Finish != Stopped || !strings.HasPrefix(text, texts[1]) || !slices.Equal(ids, free[:len(ids)]) || len(ids) < again {
		t.Errorf("stop %q from token %d on: %v %q", texts[1], again, ids, text)
	}
}

// TestAnswersDraw: equal prompts of one request get draws of their own, and each
// gets what it gets again.
func TestAnswersDraw(t *testing.T) {
	e, _ := newEngine(t, "gpt2", Config{})
	r := greedy(16, prompts[1], prompts[1], prompts[1])
	r.Sampling.Temperature, r.Sampling.Seed = 1.5, 42
	a, b := answers(t, submit(t, e, r)), answers(t, submit(t, e, r))
	for i := range a {
		if !slices.Equal(a[i], b[i]) {
			t.Errorf("answer %d: %v, then %v", i, a[i], b[i])
		}
		for k := range i {
			if slices.Equal(a[i], a[k]) {
				t.Errorf("answers %d and %d are the same: %v", k, i, a[i])
			}
		}
	}
}

// TestPenaltiesCountTheAnswer bans what has been said: no token comes twice.
func TestPenaltiesCountTheAnswer(t *testing.T) {
	e, _ := newEngine(t, "gpt2", Config{})
	r := greedy(40, prompts[1], prompts[2])
	if free := answers(t, submit(t, e, r)); len(slices.Compact(slices.Sorted(slices.Values(free[0])))) == 40 {
		t.Fatalf("nothing repeats: %v", free)
	}
	r.Sampling.PresencePenalty = 1000
	for i, ids := range answers(t, submit(t, e, r)) {
		if distinct := slices.Compact(slices.Sorted(slices.Values(ids))); len(distinct) != len(ids) {
			t.Errorf("answer %d repeats itself: %v", i, ids)
		}
	}
}
