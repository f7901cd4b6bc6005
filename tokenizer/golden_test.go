package tokenizer

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
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
	DecodedSkip *string `json:"decoded_skip"`
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
