package tokenizer

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
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

// spProto is a model of a few pieces, with fields appended.
func spProto(kind uint64, fields ...[]byte) []byte {
	pieces := []struct {
		text  string
		score float32
		kind  pieceKind
	}{{"<unk>", 0, pieceUnknown}, {"<s>", 0, pieceControl}, {"</s>", 0, pieceControl}, {"▁", -1, pieceNormal}, {"a", -2, pieceNormal}, {"b", -3, pieceNormal},
		{"▁a", -4, pieceNormal}, {"ab", -5, pieceNormal}, {"▁ab", -6, pieceUnused}, {"<x>", 0, pieceDefined}}
	var data []byte
	for _, p := range pieces {
		data = protoBytes(data, 1, spPiece(p.text, p.score, uint64(p.kind)))
	}
	data = protoBytes(data, 2, binary.AppendUvarint([]byte{3 << 3}, kind))
	return append(data, bytes.Join(fields, nil)...)
}

func spPiece(text string, score float32, kind uint64) []byte {
	p := protoBytes(nil, 1, []byte(text))
	p = binary.LittleEndian.AppendUint32(append(p, 2<<3|5), math.Float32bits(score))
	return binary.AppendUvarint(append(p, 3<<3), kind)
}

func TestSentencePieceSmall(t *testing.T) {
	for kind, want := range map[uint64]string{1: "[1 3 7 9 3 4 2 3 5]", 2: "[1 6 5 9 6 2 3 5]"} {
		tok, err := FromSentencePiece(spProto(kind))
		if err != nil {
			t.Fatal(err)
		}
		ids := encode(t, tok, "ab<x> a</s>b", Options{Special: true, Parse: true}).IDs
		if got := fmt.Sprint(ids); got != want {
			t.Errorf("model type %d: %s, want %s", kind, got, want)
		}
		if got := tok.Decode(ids, true); got != "ab<x> a b" {
			t.Errorf("decoded to %q", got)
		}
		r := tok.Roles()
		if r.BOS != 1 || r.EOS != 2 || r.Unk != 0 || r.Pad != -1 || tok.Size() != 10 {
			t.Errorf("roles %+v of %d", r, tok.Size())
		}
	}
}

func TestSentencePieceRefused(t *testing.T) {
	piece := func(text string, score float32, kind uint64) []byte {
		return protoBytes(nil, 1, spPiece(text, score, kind))
	}
	varint := func(number, v uint64) []byte { return binary.AppendUvarint(binary.AppendUvarint(nil, number<<3), v) }
	for _, c := range []struct {
		data  []byte
		names string
	}{
		{nil, "no pieces"},
		{[]byte("PK\x03\x04 not a model"), "not a SentencePiece model"},
		{[]byte("{\"version\": \"1.0\"}"), "not a SentencePiece model"},
		{spProto(3), "model_type 3|Unigram|BPE"},
		{spProto(4), "model_type 4"},
		{spProto(2, piece("a", 0, 1)), `"a"|twice`},
		{spProto(2, piece("", 0, 1)), "piece 10|empty"},
		{spProto(2, piece("\xff", 0, 1)), "piece 10|UTF-8"},
		{spProto(2, piece("q", float32(math.NaN()), 1)), "score|piece 10"},
		{spProto(1, piece("q", float32(math.Inf(-1)), 1)), "score|piece 10"},
		{spProto(2, piece("q", 0, 7)), "type 7"},
		{spProto(2, piece("q", 0, 0)), "type 0"},
		{spProto(2, piece("q", 0, uint64(pieceUnknown))), "unknown piece"},
		{spProto(2, piece(strings.Repeat("q", 5000), 0, 1)), "piece 10|5000"},
		{spProto(2, protoBytes(nil, 2, varint(35, 1))), "byte fallback|<0x00>"},
		{spProto(2, protoBytes(nil, 2, protoBytes(nil, 44, make([]byte, 1000)))), "unk_surface|1000"},
		{spProto(2, protoBytes(nil, 3, protoBytes(nil, 2, []byte{1, 2}))), "precompiled_charsmap"},
		{spProto(2, protoBytes(nil, 5, protoBytes(nil, 2, []byte{1, 2}))), "denormalizer"},
		{spProto(2, []byte{1<<3 | 2, 200}), "field 1|ends inside"},
		{spProto(2, []byte{1<<3 | 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}), "field 1|ends inside"},
		{spProto(2, []byte{9<<3 | 5, 0}), "field 9|ends inside"},
		{spProto(2, []byte{9<<3 | 1, 0, 0, 0, 0}), "field 9|ends inside"},
		{spProto(2, []byte{9 << 3, 0x80}), "field 9|ends inside"},
		{spProto(2, []byte{9<<3 | 3}), "field 9|wire type 3"},
		{protoBytes(nil, 1, spPiece("a", 0, 1)), "unknown piece"},
	} {
		tok, err := FromSentencePiece(c.data)
		if err == nil || tok != nil {
			t.Errorf("%.60q is accepted", c.data)
			continue
		}
		for _, name := range strings.Split(c.names, "|") {
			if !strings.Contains(err.Error(), name) {
				t.Errorf("%.60q: error %q does not name %q", c.data, err, name)
			}
		}
	}
}

// Files that are cut or damaged give errors or tokenizers, within a bounded memory.
func TestSentencePieceDamaged(t *testing.T) {
	g := spGoldens(t)
	model := g[slices.IndexFunc(g, func(g spGolden) bool { return g.Name == "unigram-rules-defined" })].Model
	try := func(data []byte) {
		used := allocated(func() {
			if tok, err := FromSentencePiece(data); err == nil {
				_, _ = tok.AppendIDs(nil, "the end é x y\u200b", Options{Special: true, Parse: true})
			}
		})
		if limit := int64(64*len(model) + 8<<20); used > limit {
			t.Errorf("%d bytes allocated for a file of %d", used, len(data))
		}
	}
	for n := 0; n < len(model); n += 1 + n/50 {
		try(model[:n])
	}
	for k := range 300 {
		data := slices.Clone(model)
		for i := k * 37 % 101; i < len(data); i += 200 + k*13 {
			data[i] ^= byte(1 + k*7 + i)
		}
		try(data)
	}
}

// A charsmap cannot blow a text up.
func TestSentencePieceGrowth(t *testing.T) {
	g := spGoldens(t)
	data := g[slices.IndexFunc(g, func(g spGolden) bool { return g.Name == "bpe-rules" })].Model
	m := &sentencePiece{prefix: true}
	if err := m.read(data); err != nil {
		t.Fatal(err)
	}
	m.charsmap.text = strings.Repeat("x", 1<<16) + m.charsmap.text
	n := &spNormalizer{charsmap: m.charsmap}
	st := &state{track: true}
	st.norm[0].limit, st.norm[1].limit = 1<<20, 1<<20
	if out := n.normalize(piece{s: strings.Repeat("a", 1<<20)}, st); len(out.s) <= 1<<20 || len(out.s) > 1<<21 {
		t.Errorf("%d bytes: want just over the limit, so that the caller notices", len(out.s))
	}
}

func FuzzSentencePiece(f *testing.F) {
	f.Add(spProto(1), "ab <x>")
	f.Add(spProto(2), "ab  ab\x00é")
	f.Add(spProto(2, protoBytes(nil, 3, []byte{3 << 3, 0, 4 << 3, 0})), " a")
	for _, g := range spGoldens(f) {
		if !g.NFKC {
			f.Add(g.Model, g.Rows[0].Text)
		}
	}
	f.Fuzz(func(t *testing.T, model []byte, text string) {
		if len(model) > 1<<16 || len(text) > 1<<10 {
			return
		}
		tok, err := FromSentencePiece(model)
		if err != nil {
			if tok != nil || !strings.HasPrefix(err.Error(), "sentencepiece model: ") && !strings.HasPrefix(err.Error(), "tokenizer: ") {
				t.Fatalf("%v, %v", tok, err)
			}
			return
		}
		if _, err := tok.Encode(text, Options{}); err != nil {
			if !strings.Contains(err.Error(), "longer") {
				t.Fatal(err)
			}
			return
		}
		checkText(t, tok, "fuzz", text)
	})
}

// Where nothing is normalized, a piece is the text at its offsets, but for the space that
// is put in front of the text or behind it.
func TestSentencePieceOffsets(t *testing.T) {
	n := 0
	for _, g := range spGoldens(t) {
		plain := &sentencePiece{prefix: true, squeeze: true, escape: true}
		if err := plain.read(g.Model); err != nil {
			t.Fatal(err)
		}
		if plain.charsmap != nil || plain.squeeze && !plain.suffix {
			continue
		}
		tok, err := FromSentencePiece(g.Model)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range g.Rows {
			if plain.squeeze && (strings.Contains(r.Text, "  ") || strings.TrimSpace(r.Text) != r.Text) {
				continue
			}
			e := encode(t, tok, r.Text, Options{})
			for i, at := range e.Offsets {
				text := r.Text[at[0]:at[1]]
				if plain.escape {
					text = strings.ReplaceAll(text, " ", spaceSymbol)
				}
				space := " "
				if plain.escape {
					space = spaceSymbol
				}
				want := []string{text}
				if i == 0 && plain.prefix && !plain.suffix {
					want = append(want, space+text)
				}
				if i == len(e.Offsets)-1 && plain.prefix && plain.suffix {
					want = append(want, text+space)
				}
				piece, _ := tok.Token(e.IDs[i])
				if _, isByte := byteToken(piece); isByte && plain.byteFallback || e.IDs[i] == plain.unk {
					continue
				}
				if n++; !slices.Contains(want, piece) {
					t.Errorf("%s: %q: token %d, %q, has the offsets %v: %q", g.Name, r.Text, i, piece, at, text)
				}
			}
		}
	}
	if n < 1000 {
		t.Errorf("%d tokens compared", n)
	}
}
