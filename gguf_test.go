package godwit_test

// A .gguf file by itself: tokenizer, end tokens and chat template come from its
// metadata.

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/godwit-ml/godwit"
	"github.com/godwit-ml/godwit/weights"
)

// ggufValue writes a metadata value with its type.
func ggufValue(b *bytes.Buffer, v any) {
	put := func(v any) { _ = binary.Write(b, binary.LittleEndian, v) } // a Buffer takes everything
	text := func(s string) { put(uint64(len(s))); b.WriteString(s) }
	switch v := v.(type) {
	case uint32:
		put(uint32(4))
		put(v)
	case float32:
		put(uint32(6))
		put(v)
	case bool:
		put(uint32(7))
		put(v)
	case string:
		put(uint32(8))
		text(v)
	case []string:
		put([]uint32{9, 8})
		put(uint64(len(v)))
		for _, s := range v {
			text(s)
		}
	case []int32:
		put([]uint32{9, 5})
		put(uint64(len(v)))
		put(v)
	}
}

// withMetadata is a copy of a GGUF file with more metadata.
func withMetadata(t *testing.T, file string, more map[string]any) string {
	t.Helper()
	ck, err := weights.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer ck.Close() //nolint:errcheck // only read
	meta := map[string]any{}
	for k, v := range ck.Metadata() {
		switch v.(type) {
		case uint32, float32, string, bool:
			meta[k] = v
		}
	}
	maps.Copy(meta, more)
	var head, data bytes.Buffer
	put := func(v any) { _ = binary.Write(&head, binary.LittleEndian, v) }
	text := func(s string) { put(uint64(len(s))); head.WriteString(s) }
	head.WriteString("GGUF")
	put(uint32(3))
	put(uint64(len(ck.Names())))
	put(uint64(len(meta)))
	for _, k := range slices.Sorted(maps.Keys(meta)) {
		text(k)
		ggufValue(&head, meta[k])
	}
	for _, name := range ck.Names() {
		in, _ := ck.Info(name)
		x, err := ck.Tensor(name)
		if err != nil {
			t.Fatal(err)
		}
		text(name)
		put(uint32(len(in.Shape)))
		for _, d := range slices.Backward(in.Shape) {
			put(uint64(d))
		}
		put(uint32(in.DType))
		put(uint64(data.Len()))
		data.Write(x.Bytes())
		data.Write(make([]byte, -data.Len()&31))
	}
	head.Write(make([]byte, -head.Len()&31))
	path := filepath.Join(t.TempDir(), "model.gguf")
	if err := os.WriteFile(path, append(head.Bytes(), data.Bytes()...), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

// vocabulary is the tokenizer of the gpt2 checkpoint as GGUF metadata.
func vocabulary(t *testing.T) map[string]any {
	t.Helper()
	data, err := os.ReadFile(checkpoints + "gpt2/tokenizer.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Model struct {
			Vocab  map[string]int32 `json:"vocab"`
			Merges [][2]string      `json:"merges"`
		} `json:"model"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	tokens, kinds := make([]string, len(file.Model.Vocab)), make([]int32, len(file.Model.Vocab))
	for s, id := range file.Model.Vocab {
		tokens[id], kinds[id] = s, 1
	}
	kinds[0] = 3 // <|endoftext|>
	var merges []string
	for _, m := range file.Model.Merges {
		merges = append(merges, m[0]+" "+m[1])
	}
	return map[string]any{"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "gpt-2", "tokenizer.ggml.tokens": tokens,
		"tokenizer.ggml.token_type": kinds, "tokenizer.ggml.merges": merges}
}

const smallGGUF = "model/testdata/gguf/gpt2-Q8_0.gguf"

func TestGGUFAlone(t *testing.T) {
	more := vocabulary(t)
	more["tokenizer.chat_template"] = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"
	m := openDir(t, withMetadata(t, smallGGUF, more), godwit.Config{})
	for _, row := range readEndToEnd(t, "gpt2").Rows {
		_, ids, err := m.Render(godwit.Request{Prompt: row.Text})
		if err != nil || !slices.Equal(ids, row.IDs) {
			t.Errorf("%q: %v (%v), want %v", row.Text, ids, err, row.IDs)
		}
	}
	r := request(24)
	free := complete(t, m, r)
	if text, err := m.Detokenize(free.IDs, false); err != nil || text != free.Text || text == "" {
		t.Errorf("%v is %q, want %q (%v)", free.IDs, free.Text, text, err)
	}
	text, ids, err := m.Render(godwit.Request{Messages: []godwit.Message{{Role: "user", Content: "to be<|endoftext|>"}}})
	if err != nil || text != "user: to be<|endoftext|>\nassistant:" || slices.Contains(ids, 0) {
		t.Errorf("chat: %q %v (%v)", text, ids, err)
	}

	// Whichever end token the file names first, or last, ends the answer.
	var distinct []int32
	for _, id := range free.IDs {
		if !slices.Contains(distinct, id) {
			distinct = append(distinct, id)
		}
	}
	first := func(id int32) int { return slices.Index(free.IDs, id) }
	a, b := distinct[1], distinct[3]
	r.IgnoreEOS = false
	for name, row := range map[string]struct {
		keys map[string]int32
		want int
	}{
		"eos":         {map[string]int32{"eos": b}, first(b) + 1},
		"eot beside":  {map[string]int32{"eos": 511, "eot": a}, first(a) + 1},
		"eom beside":  {map[string]int32{"eos": b, "eom": a}, first(a) + 1},
		"eos, not b":  {map[string]int32{"eos": a, "eot": b}, first(a) + 1},
		"none of all": {nil, 24},
		"bos is none": {map[string]int32{"eos": 511, "bos": a}, 24},
	} {
		more := vocabulary(t)
		for k, id := range row.keys {
			more["tokenizer.ggml."+k+"_token_id"] = uint32(id)
		}
		more["tokenizer.ggml.add_bos_token"] = false
		m := openDir(t, withMetadata(t, smallGGUF, more), godwit.Config{})
		if got := complete(t, m, r).IDs; !slices.Equal(got, free.IDs[:row.want]) {
			t.Errorf("%s: %v, want the first %d of %v", name, got, row.want, free.IDs)
		}
	}
}
