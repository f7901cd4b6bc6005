package tokenizer

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"testing"
	"unicode/utf8"
)

// goldenRow is a line of golden.jsonl, written by tokenizers 0.23.3.
type goldenRow struct {
	Text        string
	Pair        *string
	IDs         []int32 `json:"ids"`
	Tokens      []string
	Offsets     [][2]int // code points
	ByteOffsets [][2]int `json:"byte_offsets"`
	IDsSpecial  []int32  `json:"ids_special"`
	TypeIDs     []int32  `json:"type_ids"`
	Decoded     *string
	DecodedSkip *string         `json:"decoded_skip"`
	Mask        []int           `json:"attention_mask"`
	Truncation  json.RawMessage // with padding: what the tokenizer's file would say
	Padding     json.RawMessage
}

func fixtures(t testing.TB) string {
	dir := os.Getenv("FIXTURES")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "fixtures")
	}
	if _, err := os.Stat(filepath.Join(dir, "tokenizers")); err != nil {
		t.Skip("the full fixtures are absent: set FIXTURES to their folder")
	}
	return dir
}

// gunzip reads a file of testdata.
func gunzip(t testing.TB, name string) []byte {
	packed, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// bases are the tokenizer.json files of testdata, by name.
var bases = func() func(t testing.TB) map[string]map[string]json.RawMessage {
	var read map[string]map[string]json.RawMessage
	var once sync.Once
	return func(t testing.TB) map[string]map[string]json.RawMessage {
		once.Do(func() {
			if err := json.Unmarshal(gunzip(t, "bases.json.gz"), &read); err != nil {
				t.Fatal(err)
			}
		})
		return read
	}
}()

// baseJSON is the tokenizer.json of a base with some of its parts replaced.
func baseJSON(t testing.TB, name string, set map[string]any) []byte {
	parts := map[string]any{}
	for k, v := range bases(t)[name] {
		parts[k] = v
	}
	for k, v := range set {
		parts[k] = v
	}
	data, err := json.Marshal(parts)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// base is a tokenizer of testdata with some of its parts replaced.
func base(t testing.TB, name string, set map[string]any) *Tokenizer {
	tok, err := FromJSON(baseJSON(t, name, set), nil)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// goldenSet is a line of goldens.jsonl.
type goldenSet struct {
	Name, Base string
	Set        map[string]json.RawMessage
	Rows       []goldenRow
}

// parts resolves the references of a set.
func (g *goldenSet) parts(t testing.TB) map[string]any {
	charsmap := regexp.MustCompile(`"precompiled_charsmap":\s*"([^"]*)"`).FindSubmatch(bases(t)["small-unigram-t5"]["normalizer"])[1]
	parts := map[string]any{}
	for k, v := range g.Set {
		parts[k] = json.RawMessage(bytes.ReplaceAll(v, []byte("@charsmap"), charsmap))
	}
	if raw, ok := g.Set["model"]; ok {
		var model, of map[string]json.RawMessage
		if json.Unmarshal(raw, &model) != nil || json.Unmarshal(bases(t)[g.Base]["model"], &of) != nil {
			t.Fatal("the model of a golden set is not an object")
		}
		for k, v := range model {
			if string(v) == `"@base"` {
				model[k] = of[k]
			}
		}
		parts["model"] = model
	}
	return parts
}

// goldens are the lines of goldens.jsonl.
func goldens(t testing.TB) []goldenSet {
	var sets []goldenSet
	for d := json.NewDecoder(bytes.NewReader(gunzip(t, "goldens.jsonl.gz"))); d.More(); {
		var g goldenSet
		if err := d.Decode(&g); err != nil {
			t.Fatal(err)
		}
		sets = append(sets, g)
	}
	return sets
}

func TestGoldens(t *testing.T) {
	skipUnderRace(t)
	for _, g := range goldens(t) {
		t.Run(g.Name, func(t *testing.T) {
			parts := g.parts(t)
			tok := base(t, g.Base, parts)
			for _, r := range g.Rows {
				if r.Truncation != nil {
					checkLimits(t, g.Base, parts, r)
				} else {
					checkRow(t, tok, r)
				}
			}
		})
	}
}

// checkLimits compares a row made with the truncation and padding of the file.
func checkLimits(t *testing.T, name string, parts map[string]any, r goldenRow) {
	set := map[string]any{"truncation": r.Truncation, "padding": r.Padding}
	for k, v := range parts {
		set[k] = v
	}
	tok := base(t, name, set)
	o := Options{Special: true, Parse: true, FileTruncation: true, FilePadding: true}
	e, err := tok.Encode(r.Text, o)
	if r.Pair != nil {
		e, err = tok.EncodePair(r.Text, *r.Pair, o)
	}
	if err != nil {
		t.Fatal(err)
	}
	mask := make([]int, len(e.Mask))
	for i, attended := range e.Mask {
		if attended {
			mask[i] = 1
		}
	}
	if !slices.Equal(e.IDs, r.IDsSpecial) || !slices.Equal(e.TypeIDs, r.TypeIDs) || !slices.Equal(e.Tokens, r.Tokens) || !slices.Equal(mask, r.Mask) {
		t.Errorf("truncation %s, padding %s of %q:\n got %v %v %v\nwant %v %v %v", r.Truncation, r.Padding, r.Text, e.IDs, e.TypeIDs, mask, r.IDsSpecial, r.TypeIDs, r.Mask)
	}
	if r.Pair == nil {
		ids, err := tok.AppendIDs(nil, r.Text, o)
		if err != nil || !slices.Equal(ids, r.IDsSpecial) {
			t.Errorf("AppendIDs with truncation %s, padding %s: %v, %v, want %v", r.Truncation, r.Padding, ids, err, r.IDsSpecial)
		}
	}
}

func readRows(t testing.TB, path string) []goldenRow {
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var rows []goldenRow
	s := bufio.NewScanner(bytes.NewReader(data))
	s.Buffer(nil, 1<<24)
	for s.Scan() {
		var r goldenRow
		if err := json.Unmarshal(s.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, r)
	}
	return rows
}

func load(t testing.TB, path string) *Tokenizer {
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := FromJSON(data, nil)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// codePoints turns byte offsets into code points.
func codePoints(text string, offsets [][2]int) [][2]int {
	out := make([][2]int, len(offsets))
	for i, o := range offsets {
		out[i] = [2]int{utf8.RuneCountInString(text[:o[0]]), utf8.RuneCountInString(text[:o[1]])}
	}
	return out
}

// checkRow compares one row and returns how many of its fields differ.
func checkRow(t *testing.T, tok *Tokenizer, r goldenRow) int {
	bad := 0
	differ := func(what string, got, want any) {
		bad++
		t.Errorf("%s of %q:\n got %v\nwant %v", what, r.Text, got, want)
	}
	if r.Pair != nil {
		e, err := tok.EncodePair(r.Text, *r.Pair, Options{Special: true, Parse: true})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(e.IDs, r.IDsSpecial) {
			differ("pair ids", e.IDs, r.IDsSpecial)
		}
		if !slices.Equal(e.TypeIDs, r.TypeIDs) {
			differ("type ids", e.TypeIDs, r.TypeIDs)
		}
		if !slices.Equal(e.Tokens, r.Tokens) {
			differ("tokens", e.Tokens, r.Tokens)
		}
		if len(e.Offsets) != len(r.Offsets) {
			differ("number of offsets", len(e.Offsets), len(r.Offsets))
			return bad
		}
		for i, o := range e.Offsets {
			text := r.Text
			if e.Segment[i] == 1 {
				text = *r.Pair
			}
			if got := codePoints(text, [][2]int{o})[0]; got != r.Offsets[i] {
				differ("offsets", got, r.Offsets[i])
			}
		}
		return bad
	}
	e, err := tok.Encode(r.Text, Options{Parse: true})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(e.IDs, r.IDs) {
		differ("ids", e.IDs, r.IDs)
	}
	if !slices.Equal(e.Tokens, r.Tokens) {
		differ("tokens", e.Tokens, r.Tokens)
	}
	if r.ByteOffsets != nil && !slices.Equal(e.Offsets, r.ByteOffsets) {
		differ("byte offsets", e.Offsets, r.ByteOffsets)
	}
	if got := codePoints(r.Text, e.Offsets); !slices.Equal(got, r.Offsets) {
		differ("offsets", got, r.Offsets)
	}
	for range 2 { // the second time from the cache
		ids, err := tok.AppendIDs(nil, r.Text, Options{Parse: true, Special: true})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(ids, r.IDsSpecial) {
			differ("ids with special tokens", ids, r.IDsSpecial)
		}
	}
	for _, d := range []struct {
		name string
		want *string
		ids  []int32
		skip bool
	}{{"decoded", r.Decoded, r.IDs, false}, {"decoded_skip", r.DecodedSkip, r.IDsSpecial, true}} {
		if d.want == nil {
			continue
		}
		if got := tok.Decode(d.ids, d.skip); got != *d.want {
			differ(d.name, got, *d.want)
		}
		stream, text := tok.NewDecoder(d.skip), ""
		for _, id := range d.ids {
			piece := stream.Push(id)
			if !utf8.ValidString(piece) {
				differ(d.name+" streamed piece", piece, "whole characters")
			}
			text += piece
		}
		if text += stream.Flush(); text != *d.want {
			differ(d.name+" streamed", text, *d.want)
		}
	}
	return bad
}

func TestFixtures(t *testing.T) {
	skipUnderRace(t)
	dirs, _ := filepath.Glob(filepath.Join(fixtures(t), "tokenizers", "*", "tokenizer.json"))
	if len(dirs) == 0 {
		t.Fatal("no tokenizers in the fixtures")
	}
	for _, path := range dirs {
		t.Run(filepath.Base(filepath.Dir(path)), func(t *testing.T) {
			tok := load(t, path)
			bad := 0
			for _, r := range readRows(t, filepath.Join(filepath.Dir(path), "golden.jsonl")) {
				if bad += checkRow(t, tok, r); bad > 10 {
					t.Fatal("too many differences")
				}
			}
		})
	}
}
