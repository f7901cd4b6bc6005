package main

// Tokenizers: every line of golden.jsonl, and the SentencePiece model beside it
// where lines have sp_ids.

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/godwit-ml/godwit/ci/golden"
	"github.com/godwit-ml/godwit/tokenizer"
)

// textRow is a line of golden.jsonl: what is wanted of it.
type textRow struct {
	Text string  `json:"text"`
	Pair *string `json:"pair"`
	IDs  []int32 `json:"ids"`
	SP   []int32 `json:"sp_ids"`
}

func runTokenizer(s *session, name string) error {
	tok, err := s.tokenizer(name)
	if err != nil {
		return err
	}
	sp, err := sentencePiece(s.path(name))
	if err != nil {
		return err
	}
	f, err := os.Open(s.path(name, "golden.jsonl"))
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 64<<20)
	for i := 0; lines.Scan(); i++ {
		var row textRow
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			return fmt.Errorf("golden.jsonl: line %d: %w", i+1, err)
		}
		e, err := tokenize(tok, sp, &row)
		if err != nil {
			s.leftOut(fmt.Sprintf("%s line %d", name, i), err)
			continue
		}
		e["kind"], e["name"], e["line"] = "tokenizer", strings.TrimPrefix(name, "tokenizers/"), i
		if err := s.out.add(e); err != nil {
			return err
		}
	}
	return lines.Err()
}

// tokenizer is that of a fixture; the vocabularies of real ones are in the real
// models.
func (s *session) tokenizer(name string) (*tokenizer.Tokenizer, error) {
	switch name {
	case "tokenizers/real-minilm":
		if err := s.needReal(); err != nil {
			return nil, err
		}
		return golden.Tokenizer(filepath.Join(s.real, "minilm"))
	case "tokenizers/real-smollm2":
		return s.smolTokenizer()
	}
	return golden.Tokenizer(s.path(name))
}

// tokenize does to a text what its row was made by: special tokens inside the
// text are read as such.
func tokenize(tok, sp *tokenizer.Tokenizer, row *textRow) (entry, error) {
	special := tokenizer.Options{Special: true, Parse: true}
	if row.Pair != nil {
		e, err := tok.EncodePair(row.Text, *row.Pair, special)
		if err != nil {
			return nil, err
		}
		return entry{"ids_special": list(e.IDs), "type_ids": list(e.TypeIDs)}, nil
	}
	plain, err := tok.Encode(row.Text, tokenizer.Options{Parse: true})
	if err != nil {
		return nil, err
	}
	whole, err := tok.Encode(row.Text, special)
	if err != nil {
		return nil, err
	}
	out := entry{
		"ids": list(plain.IDs), "ids_special": list(whole.IDs), "type_ids": list(whole.TypeIDs),
		"byte_offsets": list(plain.Offsets), "offsets": list(codePoints(row.Text, plain.Offsets)),
		"decoded": tok.Decode(plain.IDs, false), "decoded_skip": tok.Decode(whole.IDs, true),
	}
	if row.SP != nil && sp != nil {
		e, err := sp.Encode(row.Text, tokenizer.Options{})
		if err != nil {
			return nil, err
		}
		out["sp_ids"] = list(e.IDs)
	}
	return out, nil
}

// list is v, or an empty list where v is nil, which JSON would write as null.
func list[E any](v []E) []E {
	if v == nil {
		return []E{}
	}
	return v
}

// codePoints turns byte offsets into those of code points.
func codePoints(text string, offsets [][2]int) [][2]int {
	out := make([][2]int, len(offsets))
	for i, o := range offsets {
		out[i] = [2]int{utf8.RuneCountInString(text[:o[0]]), utf8.RuneCountInString(text[:o[1]])}
	}
	return out
}

// sentencePiece reads the SentencePiece model of a folder; nil if there is none.
func sentencePiece(dir string) (*tokenizer.Tokenizer, error) {
	for _, file := range []string{"tokenizer.model", "spiece.model"} {
		b, err := os.ReadFile(filepath.Join(dir, file))
		if err == nil {
			return tokenizer.FromSentencePiece(b)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return nil, nil
}
