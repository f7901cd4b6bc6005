package tokenizer

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// spRow is a line of goldens that the library sentencepiece wrote.
type spRow struct {
	Text    string
	IDs     []int32 `json:"sp_ids"`
	Decoded *string `json:"sp_decoded"`
}

func (r *spRow) check(t *testing.T, tok *Tokenizer) {
	t.Helper()
	e, err := tok.Encode(r.Text, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(e.IDs, r.IDs) {
		t.Errorf("%q: ids %v, want %v", r.Text, e.IDs, r.IDs)
	}
	ids, err := tok.AppendIDs(nil, r.Text, Options{})
	if err != nil || !slices.Equal(ids, r.IDs) {
		t.Errorf("%q: AppendIDs %v, %v, want %v", r.Text, ids, err, r.IDs)
	}
	for _, skip := range []bool{false, true} {
		if got := tok.Decode(r.IDs, skip); got != *r.Decoded {
			t.Errorf("%v decoded to %q, want %q", r.IDs, got, *r.Decoded)
		}
	}
	d, stream := tok.NewDecoder(false), ""
	for _, id := range r.IDs {
		stream += d.Push(id)
	}
	if stream += d.Flush(); stream != *r.Decoded {
		t.Errorf("%v streamed as %q, want %q", r.IDs, stream, *r.Decoded)
	}
	for i, at := range e.Offsets {
		if at[0] < 0 || at[1] < at[0] || at[1] > len(r.Text) || i > 0 && at[0] < e.Offsets[i-1][0] {
			t.Errorf("%q: token %d has the offsets %v", r.Text, i, at)
		}
	}
}

func TestSentencePieceFixtures(t *testing.T) {
	dir := filepath.Join(fixtures(t), "tokenizers")
	for _, name := range []string{"spbpe-llama/tokenizer.model", "small-spbpe-llama/tokenizer.model", "unigram-t5/spiece.model", "small-unigram-t5/spiece.model"} {
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			tok, err := FromSentencePiece(data)
			if err != nil {
				t.Fatal(err)
			}
			f, err := os.Open(filepath.Join(dir, filepath.Dir(name), "golden.jsonl"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			sc := bufio.NewScanner(f)
			sc.Buffer(nil, 1<<22)
			n := 0
			for sc.Scan() {
				var r spRow
				if err := json.Unmarshal(sc.Bytes(), &r); err != nil {
					t.Fatal(err)
				}
				if r.Decoded != nil {
					r.check(t, tok)
					n++
				}
			}
			if n == 0 || sc.Err() != nil {
				t.Fatalf("%d rows, %v", n, sc.Err())
			}
		})
	}
}

// spGolden is a line of sentencepiece.jsonl.gz.
type spGolden struct {
	Name    string
	NFKC    bool
	Model   []byte
	Rows    []spRow
	Decoded []spRow
}

func spGoldens(t testing.TB) []spGolden {
	var out []spGolden
	d := json.NewDecoder(bytes.NewReader(gunzip(t, "sentencepiece.jsonl.gz")))
	for d.More() {
		var g spGolden
		if err := d.Decode(&g); err != nil {
			t.Fatal(err)
		}
		if g.NFKC { // a NormalizerSpec with the charsmap alone is merged into the model's
			charsmap := protoBytes(nil, 2, nfkcCharsmap(t))
			g.Model = protoBytes(g.Model, 3, charsmap)
		}
		out = append(out, g)
	}
	return out
}

// protoBytes appends a length-delimited field.
func protoBytes(dst []byte, number uint64, data []byte) []byte {
	dst = binary.AppendUvarint(dst, number<<3|2)
	dst = binary.AppendUvarint(dst, uint64(len(data)))
	return append(dst, data...)
}

func nfkcCharsmap(t testing.TB) []byte {
	var n struct {
		Normalizers []struct {
			Charsmap []byte `json:"precompiled_charsmap"`
		}
	}
	if err := json.Unmarshal(bases(t)["small-unigram-t5"]["normalizer"], &n); err != nil || len(n.Normalizers) == 0 {
		t.Fatal("small-unigram-t5 has no charsmap", err)
	}
	return n.Normalizers[0].Charsmap
}

func TestSentencePieceGoldens(t *testing.T) {
	for _, g := range spGoldens(t) {
		t.Run(g.Name, func(t *testing.T) {
			tok, err := FromSentencePiece(g.Model)
			if err != nil {
				t.Fatal(err)
			}
			for i := range g.Rows {
				g.Rows[i].check(t, tok)
			}
			for _, r := range g.Decoded {
				if got := tok.Decode(r.IDs, true); got != *r.Decoded {
					t.Errorf("%v decoded to %q, want %q", r.IDs, got, *r.Decoded)
				}
			}
		})
	}
}
