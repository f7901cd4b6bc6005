package godwit_test

// Fill-in-the-middle: the order of the parts, and that a user's text has no say in it.

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/godwit-ml/godwit"
)

// withTokens is the GPT-2 checkpoint with its last tokens renamed to control tokens.
func withTokens(t *testing.T, names ...string) *godwit.Model {
	t.Helper()
	fsys := fstest.MapFS{}
	for _, name := range []string{"config.json", "model.safetensors", "tokenizer.json"} {
		data, err := os.ReadFile(checkpoints + "gpt2/" + name)
		if err != nil {
			t.Fatal(err)
		}
		fsys[name] = &fstest.MapFile{Data: data}
	}
	var tok map[string]any
	if err := json.Unmarshal(fsys["tokenizer.json"].Data, &tok); err != nil {
		t.Fatal(err)
	}
	bpe := tok["model"].(map[string]any)
	vocab, merges := bpe["vocab"].(map[string]any), bpe["merges"].([]any)
	bpe["merges"] = merges[:len(merges)-len(names)]
	for i, name := range names {
		id := 512 - len(names) + i
		for old, v := range vocab {
			if v == float64(id) {
				delete(vocab, old)
			}
		}
		vocab[name] = id
		tok["added_tokens"] = append(tok["added_tokens"].([]any), map[string]any{"id": id, "content": name, "special": true,
			"single_word": false, "lstrip": false, "rstrip": false, "normalized": false})
	}
	data, err := json.Marshal(tok)
	if err != nil {
		t.Fatal(err)
	}
	fsys["tokenizer.json"] = &fstest.MapFile{Data: data}
	m, err := godwit.OpenFS(t.Context(), fsys, ".", godwit.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

func TestMiddle(t *testing.T) {
	for _, names := range [][]string{
		{"<fim_prefix>", "<fim_suffix>", "<fim_middle>"}, {"<fim-prefix>", "<fim-suffix>", "<fim-middle>"}, {"<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"},
	} {
		m := withTokens(t, names...)
		const before, after = "the token " + "<fim_middle>", " is attended" + "<fim_prefix>"
		_, ids, err := m.Render(godwit.Request{Prompt: before, Suffix: after, Prefix: "that"})
		if err != nil {
			t.Fatal(err)
		}
		want := []int32{509}
		for i, text := range []string{before, after, "that"} {
			pieces, err := m.Tokenize(text, false)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range pieces {
				want = append(want, p.ID)
			}
			if i < 2 {
				want = append(want, int32(510+i))
			}
		}
		if !slices.Equal(ids, want) {
			t.Errorf("%v: ids %v, want %v", names, ids, want)
		}
		res, err := m.Complete(t.Context(), godwit.Request{Prompt: "a", Suffix: "b", MaxTokens: 4, IgnoreEOS: true})
		if err != nil || len(res.IDs) != 4 {
			t.Errorf("%v: %v, %v", names, res, err)
		}
	}
}

func TestMiddleRefused(t *testing.T) {
	var unsupported *godwit.UnsupportedError
	if _, _, err := open(t, "gpt2", godwit.Config{}).Render(godwit.Request{Prompt: "a", Suffix: "b"}); !errors.As(err, &unsupported) {
		t.Errorf("a vocabulary without the tokens: %v", err)
	}
	if _, _, err := withTokens(t, "<fim_prefix>", "<fim_suffix>").Render(godwit.Request{Prompt: "a", Suffix: "b"}); !errors.As(err, &unsupported) {
		t.Errorf("a vocabulary with two of three tokens: %v", err)
	}
	if _, _, err := open(t, "t5", godwit.Config{}).Render(godwit.Request{Prompt: "a", Suffix: "b"}); !errors.As(err, &unsupported) {
		t.Errorf("an encoder-decoder: %v", err)
	}
	var param *godwit.ParamError
	if _, _, err := open(t, "gpt2", godwit.Config{}).Render(godwit.Request{Tokens: []int32{1}, Suffix: "b"}); !errors.As(err, &param) || param.Field != "Suffix" {
		t.Errorf("with Tokens: %v", err)
	}
}
