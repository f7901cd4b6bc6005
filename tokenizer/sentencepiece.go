// SentencePiece: what a .model file holds, and how it becomes a tokenizer. The file is a
// protocol buffer (sentencepiece_model.proto), read here by hand.

package tokenizer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

// pieceKind is a piece's type, numbered as SentencePiece and GGUF do.
type pieceKind uint8

const (
	pieceNormal pieceKind = iota + 1
	pieceUnknown
	pieceControl
	pieceDefined // user-defined: matched in any text, never normalized or merged
	pieceUnused  // merged through, but never a token
	pieceByte
)

// sentencePiece is a SentencePiece vocabulary with its settings.
type sentencePiece struct {
	tokens  tokenList
	scores  []float32   // by id
	kinds   []pieceKind // by id
	unigram bool        // else BPE

	byteFallback bool
	unk          int32
	surface      string // what an unknown piece is decoded to

	charsmap         *charsmap // nil: characters stay as they are
	prefix           bool      // add_dummy_prefix
	squeeze          bool      // remove_extra_whitespaces
	escape           bool      // spaces become U+2581
	suffix           bool      // treat_whitespace_as_suffix
	parseUnk         bool      // the unknown piece is a special token of texts, too
	bos, eos         bool      // put around a text with Options.Special
	bosName, eosName string    // "": there is none
	padName          string
	roles            map[string]string // more of them
	template         string
}

// spaceSymbol stands for a space inside pieces.
const spaceSymbol = "▁"

// FromSentencePiece builds a tokenizer from the content of a SentencePiece .model, of type
// BPE or Unigram. The reference is the library sentencepiece 0.2: ids and decoded text are
// meant to be the same for every text that has no control symbol in it.
//
// With Options.Special a text gets the model's BOS in front, if it has one (Llama), else
// its EOS behind it (T5): the file does not say more. Control symbols are special tokens,
// user-defined ones are always recognised.
func FromSentencePiece(model []byte) (*Tokenizer, error) {
	loadTables()
	m := &sentencePiece{surface: " \u2047 ", prefix: true, squeeze: true, escape: true}
	if err := m.read(model); err != nil {
		return nil, fmt.Errorf("sentencepiece model: %w", err)
	}
	m.bos = m.bosName != ""
	m.eos = !m.bos && m.eosName != ""
	return m.tokenizer()
}

// protoField is a field of a protocol buffer.
type protoField struct {
	number int
	value  uint64 // of a varint or fixed32
	data   []byte // of a length-delimited one
}

// protoFields calls f with the fields of a message in order.
func protoFields(data []byte, f func(protoField) error) error {
	for len(data) > 0 {
		key, n := binary.Uvarint(data)
		if n <= 0 || key>>3 == 0 || key>>3 > math.MaxInt32 {
			return errors.New("a field has no valid number: this is not a SentencePiece model, or it is damaged")
		}
		data = data[n:]
		field := protoField{number: int(key >> 3)}
		size := 0
		switch key & 7 {
		case 0:
			if field.value, size = binary.Uvarint(data); size <= 0 {
				return fmt.Errorf("field %d: the file ends inside a number", field.number)
			}
		case 1, 5:
			if size = 4; key&7 == 1 {
				size = 8
			}
			if len(data) < size {
				return fmt.Errorf("field %d: the file ends inside a number", field.number)
			}
			field.value = uint64(binary.LittleEndian.Uint32(data))
		case 2:
			length, n := binary.Uvarint(data)
			if n <= 0 || length > uint64(len(data)-n) {
				return fmt.Errorf("field %d: the file ends inside it", field.number)
			}
			size = n + int(length)
			field.data = data[n:size]
		default:
			return fmt.Errorf("field %d: wire type %d is not supported: this is not a SentencePiece model, or it is damaged", field.number, key&7)
		}
		data = data[size:]
		if err := f(field); err != nil {
			return err
		}
	}
	return nil
}

// read fills m from a ModelProto.
func (m *sentencePiece) read(data []byte) error {
	trainer := trainerSpec{kind: 1, bytes: false, unkPiece: "<unk>", bosPiece: "<s>", eosPiece: "</s>", padPiece: "<pad>"}
	err := protoFields(data, func(f protoField) error {
		switch f.number {
		case 1:
			return m.readPiece(f.data)
		case 2:
			return trainer.read(f.data, m)
		case 3:
			return m.readNormalizer(f.data)
		case 5:
			return checkDenormalizer(f.data)
		}
		return nil
	})
	if err != nil {
		return err
	}
	switch trainer.kind {
	case 1:
		m.unigram = true
	case 2:
	default:
		return fmt.Errorf("model_type %d is not supported: supported are 1 (Unigram) and 2 (BPE)", trainer.kind)
	}
	m.byteFallback = trainer.bytes
	return m.findSymbols(&trainer)
}

// readPiece reads a SentencePiece.
func (m *sentencePiece) readPiece(data []byte) error {
	text, score, kind := "", float32(0), pieceNormal
	err := protoFields(data, func(f protoField) error {
		switch f.number {
		case 1:
			text = view(f.data)
		case 2:
			score = math.Float32frombits(uint32(f.value))
		case 3:
			if f.value < uint64(pieceNormal) || f.value > uint64(pieceByte) {
				return fmt.Errorf("piece %d: type %d is not known", len(m.kinds), f.value)
			}
			kind = pieceKind(f.value)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return m.add(text, score, kind)
}

// add appends a piece.
func (m *sentencePiece) add(text string, score float32, kind pieceKind) error {
	id := len(m.kinds)
	switch {
	case text == "":
		return fmt.Errorf("piece %d is empty", id)
	case len(text) > maxTokenBytes:
		return fmt.Errorf("piece %d has %d bytes, more than %d", id, len(text), maxTokenBytes)
	case !utf8.ValidString(text):
		return fmt.Errorf("piece %d is not UTF-8: %.60q", id, text)
	case score != score || math.IsInf(float64(score), 0):
		return fmt.Errorf("the score of piece %d is not a number", id)
	}
	m.scores = append(m.scores, score)
	m.kinds = append(m.kinds, kind)
	return m.tokens.add(text, int32(id))
}

// trainerSpec is what of TrainerSpec matters.
type trainerSpec struct {
	kind                                   uint64
	bytes                                  bool
	unkPiece, bosPiece, eosPiece, padPiece string
}

func (t *trainerSpec) read(data []byte, m *sentencePiece) error {
	return protoFields(data, func(f protoField) error {
		switch f.number {
		case 3:
			t.kind = f.value
		case 24:
			m.suffix = f.value != 0
		case 35:
			t.bytes = f.value != 0
		case 44:
			if m.surface = strings.ToValidUTF8(string(f.data), "\uFFFD"); len(m.surface) > maxContent {
				return fmt.Errorf("unk_surface has %d bytes, more than %d", len(m.surface), maxContent)
			}
		case 45:
			t.unkPiece = string(f.data)
		case 46:
			t.bosPiece = string(f.data)
		case 47:
			t.eosPiece = string(f.data)
		case 48:
			t.padPiece = string(f.data)
		}
		return nil
	})
}

func (m *sentencePiece) readNormalizer(data []byte) error {
	return protoFields(data, func(f protoField) error {
		switch f.number {
		case 2:
			if len(f.data) == 0 {
				return nil
			}
			var err error
			m.charsmap, err = newCharsmap(bytes.Clone(f.data)) // the file may be unmapped
			return err
		case 3:
			m.prefix = f.value != 0
		case 4:
			m.squeeze = f.value != 0
		case 5:
			m.escape = f.value != 0
		}
		return nil
	})
}

func checkDenormalizer(data []byte) error {
	return protoFields(data, func(f protoField) error {
		if f.number == 2 && len(f.data) > 0 {
			return errors.New("a denormalizer is not supported")
		}
		return nil
	})
}

// findSymbols finds the unknown piece and names the others by their roles.
func (m *sentencePiece) findSymbols(t *trainerSpec) error {
	if len(m.kinds) == 0 {
		return errors.New("there are no pieces")
	}
	m.unk = -1
	start := uint32(0)
	for id, kind := range m.kinds {
		text := string(m.tokens.text[start:m.tokens.ends[id]])
		start = m.tokens.ends[id]
		switch kind {
		case pieceUnknown:
			if m.unk >= 0 {
				return fmt.Errorf("pieces %d and %d are both the unknown piece", m.unk, id)
			}
			m.unk = int32(id)
		case pieceControl:
			switch text {
			case t.bosPiece:
				m.bosName = text
			case t.eosPiece:
				m.eosName = text
			case t.padPiece:
				m.padName = text
			}
		}
	}
	if m.unk < 0 {
		return errors.New("there is no unknown piece")
	}
	return nil
}

// tokenizer puts it together.
func (m *sentencePiece) tokenizer() (*Tokenizer, error) {
	s := &spec{tokens: m.tokens, model: spSpec{m}, template: m.template}
	text := func(id int) string {
		start := uint32(0)
		if id > 0 {
			start = m.tokens.ends[id-1]
		}
		return string(m.tokens.text[start:m.tokens.ends[id]])
	}
	var defined []string
	for id, kind := range m.kinds {
		switch {
		case kind == pieceControl, kind == pieceUnknown && m.parseUnk:
			s.added = append(s.added, addedToken{id: int32(id), content: text(id), special: true})
		case kind == pieceDefined:
			defined = append(defined, text(id))
		}
	}
	n := &spNormalizer{charsmap: m.charsmap, prefix: m.prefix, squeeze: m.squeeze, escape: m.escape, suffix: m.suffix}
	if len(defined) > 0 {
		n.defined = buildTrie(len(defined), func(i int) string { return defined[i] }, func(i int) int32 { return int32(i) })
	}
	s.norm = []normalizer{n}
	s.plan = decodePlan{{kind: decodeSentencePiece, pieces: &pieceDecoder{
		unk: text(int(m.unk)), surface: m.surface, bytes: m.byteFallback, strip: m.prefix || m.squeeze, every: m.squeeze}}}
	s.roles = map[string]string{"unk": text(int(m.unk))}
	for role, name := range map[string]string{"bos": m.bosName, "eos": m.eosName, "pad": m.padName} {
		if name != "" {
			s.roles[role] = name
		}
	}
	for role, name := range m.roles {
		s.roles[role] = name
	}
	v, err := newVocab(s.tokens, false)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	bos, eos := "", ""
	if m.bos {
		bos = m.bosName
	}
	if m.eos {
		eos = m.eosName
	}
	s.post.single, s.post.pair = surround(v, bos, eos)
	t, err := s.build()
	if err != nil {
		return nil, err
	}
	if b, ok := t.model.(*spBPE); ok {
		t.cuts = b.cutSet()
	}
	return t, nil
}

// surround is the template that puts tokens around each text; "" is none.
func surround(v *vocab, bos, eos string) (single, pair []templateItem) {
	if bos == "" && eos == "" {
		return nil, nil
	}
	for text := range 2 {
		for i, name := range []string{bos, "", eos} {
			switch {
			case i == 1:
				pair = append(pair, templateItem{text: text})
			case name != "":
				pair = append(pair, templateItem{text: -1, ids: []int32{v.id(name)}, texts: []string{name}})
			}
		}
		if text == 0 {
			single = append(single, pair...)
		}
	}
	return single, pair
}
