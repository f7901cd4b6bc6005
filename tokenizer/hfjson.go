// Reading tokenizer.json: the model here, the components in hfparts.go.

package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// FromJSON builds a tokenizer from the content of tokenizer.json. config is the content of
// tokenizer_config.json, which knows what the special tokens are for, the chat template
// and the longest input; it may be nil. An error names the component and what is supported.
func FromJSON(data, config []byte) (*Tokenizer, error) {
	loadTables()
	s := &spec{}
	if err := s.readJSON(data); err != nil {
		return nil, fmt.Errorf("tokenizer.json: %w", err)
	}
	if len(config) > 0 {
		if err := s.readConfig(config); err != nil {
			return nil, fmt.Errorf("tokenizer_config.json: %w", err)
		}
	}
	return s.build()
}

// readJSON reads the top level.
func (s *spec) readJSON(data []byte) error {
	raw := map[string][]byte{}
	r := &reader{data: data}
	r.object(func(key []byte) {
		name := string(key)
		raw[name] = r.skip()
	})
	if r.err == nil && r.peek() != 0 {
		r.fail("there is more after the value")
	}
	if r.err != nil {
		return r.err
	}
	if v := raw["version"]; v != nil && string(v) != `"1.0"` {
		return fmt.Errorf("version %.20s is not supported: supported is \"1.0\"", v)
	}
	if raw["model"] == nil {
		return errors.New("there is no model")
	}
	for _, part := range []struct {
		name string
		read func([]byte) error
	}{
		{"normalizer", s.readNormalizer}, {"pre_tokenizer", s.readPreTokenizer}, {"model", s.readModel}, {"post_processor", s.readPostProcessor},
		{"decoder", s.readDecoder}, {"added_tokens", s.readAdded}, {"truncation", s.readTruncation}, {"padding", s.readPadding},
	} {
		v := raw[part.name]
		if v == nil || string(v) == "null" {
			continue
		}
		if err := part.read(v); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}

// decodeJSON is encoding/json with the value's errors only.
func decodeJSON(data []byte, v any) error {
	return json.Unmarshal(data, v)
}

// modelJSON is the model without vocabulary and merges.
type modelJSON struct {
	Type         string   `json:"type"`
	Dropout      *float64 `json:"dropout"`
	Unk          *string  `json:"unk_token"`
	Prefix       *string  `json:"continuing_subword_prefix"`
	Suffix       *string  `json:"end_of_word_suffix"`
	FuseUnk      *bool    `json:"fuse_unk"`
	ByteFallback *bool    `json:"byte_fallback"`
	IgnoreMerges *bool    `json:"ignore_merges"`
	MaxChars     *int64   `json:"max_input_chars_per_word"`
	UnkID        *int32   `json:"unk_id"`
}

func (s *spec) readModel(data []byte) error {
	small := []byte{'{'}
	var vocab, merges []byte
	r := &reader{data: data}
	r.object(func(key []byte) {
		name := string(key)
		value := r.skip()
		switch name {
		case "vocab":
			vocab = value
		case "merges":
			merges = value
		default:
			if len(small) > 1 {
				small = append(small, ',')
			}
			quoted, _ := json.Marshal(name)
			small = append(append(append(small, quoted...), ':'), value...)
		}
	})
	if r.err != nil {
		return r.err
	}
	var m modelJSON
	if err := decodeJSON(append(small, '}'), &m); err != nil {
		return err
	}
	if vocab == nil {
		return errors.New("there is no vocab")
	}
	if m.Type == "" { // older files do not say
		switch {
		case merges != nil:
			m.Type = "BPE"
		case m.MaxChars != nil:
			m.Type = "WordPiece"
		case vocab[0] == '[':
			m.Type = "Unigram"
		default:
			m.Type = "WordLevel"
		}
	}
	return s.readModelType(&m, vocab, merges)
}

func (s *spec) readModelType(m *modelJSON, vocab, merges []byte) error {
	switch m.Type {
	case "BPE":
		if m.Dropout != nil && *m.Dropout != 0 {
			return fmt.Errorf("dropout %v is not supported: it makes tokenization random", *m.Dropout)
		}
		if merges == nil {
			return errors.New("there are no merges")
		}
		if err := s.readVocab(vocab); err != nil {
			return err
		}
		b := &bpeSpec{unk: value(m.Unk), fuseUnk: value(m.FuseUnk), byteFallback: value(m.ByteFallback), ignoreMerges: value(m.IgnoreMerges),
			prefix: value(m.Prefix), suffix: value(m.Suffix)}
		s.model = b
		return s.readMerges(merges, b)
	case "WordPiece":
		if m.Unk == nil || m.Prefix == nil || m.MaxChars == nil {
			return errors.New("WordPiece needs unk_token, continuing_subword_prefix and max_input_chars_per_word")
		}
		if *m.MaxChars < 0 {
			return fmt.Errorf("max_input_chars_per_word is %d", *m.MaxChars)
		}
		s.model = &wordpieceSpec{*m.Unk, *m.Prefix, int(min(*m.MaxChars, maxText))}
		return s.readVocab(vocab)
	case "WordLevel":
		if m.Unk == nil {
			return errors.New("WordLevel needs unk_token")
		}
		s.model = &wordlevelSpec{*m.Unk}
		return s.readVocab(vocab)
	case "Unigram":
		u := &unigramSpec{unk: -1, byteFallback: value(m.ByteFallback)}
		if m.UnkID != nil {
			if *m.UnkID < 0 {
				return fmt.Errorf("unk_id is %d", *m.UnkID)
			}
			u.unk = *m.UnkID
		}
		s.model = u
		return s.readPieces(vocab, u)
	}
	return fmt.Errorf("type %q is not supported: supported are BPE, WordPiece, Unigram, WordLevel", m.Type)
}

// value is what a pointer points to, or zero.
func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// readVocab reads {"token": id, …}.
func (s *spec) readVocab(data []byte) error {
	r := &reader{data: data}
	r.object(func(key []byte) {
		if err := s.tokens.add(view(key), 0); err != nil {
			r.fail("%v", err)
		}
		s.tokens.ids[len(s.tokens.ids)-1] = r.id()
	})
	if r.err != nil {
		return fmt.Errorf("vocab: %w", r.err)
	}
	return nil
}

// readPieces reads [["piece", score], …].
func (s *spec) readPieces(data []byte, u *unigramSpec) error {
	r := &reader{data: data}
	r.array(func(i int) {
		n := 0
		r.array(func(k int) {
			n++
			switch k {
			case 0:
				if err := s.tokens.add(view(r.text()), int32(i)); err != nil {
					r.fail("%v", err)
				}
			case 1:
				u.scores = append(u.scores, r.float())
			default:
				r.fail("an entry has more than a piece and a score")
			}
		})
		if n != 2 {
			r.fail("an entry is not a piece and a score")
		}
	})
	if r.err != nil {
		return fmt.Errorf("vocab: %w", r.err)
	}
	return nil
}

// readMerges reads ["a b", …] or [["a","b"], …].
func (s *spec) readMerges(data []byte, b *bpeSpec) error {
	v, err := newVocab(s.tokens, false)
	if err != nil {
		return err
	}
	s.vocab = v
	r := &reader{data: data}
	var pair, joined []byte
	rank := int32(0)
	r.array(func(int) {
		cut := -1
		if r.peek() == '"' {
			text := r.text()
			if bytes.HasPrefix(text, []byte("#version")) {
				return
			}
			if cut = bytes.IndexByte(text, ' '); cut < 0 || bytes.IndexByte(text[cut+1:], ' ') >= 0 {
				r.fail("merge %.60q is not two tokens with a space between", text)
				return
			}
			pair = append(append(pair[:0], text[:cut]...), text[cut+1:]...)
		} else {
			pair = pair[:0]
			n := 0
			r.array(func(k int) {
				if n++; k == 1 {
					cut = len(pair)
				}
				pair = append(pair, r.text()...)
			})
			if n != 2 {
				r.fail("a merge is not two tokens")
			}
		}
		if r.err != nil {
			return
		}
		var m merge
		m, joined, err = newMerge(v, view(pair[:cut]), view(pair[cut:]), b.prefix, joined)
		if err != nil {
			r.fail("%v", err)
		}
		m.rank = rank
		rank++
		b.merges = append(b.merges, m)
	})
	if r.err != nil {
		return fmt.Errorf("merges: %w", r.err)
	}
	return nil
}

// newMerge looks up the tokens of a merge and of its result: left and right joined, without the
// prefix that right carries inside a word. joined is scratch.
func newMerge(v *vocab, left, right, prefix string, joined []byte) (merge, []byte, error) {
	m := merge{left: v.id(left), right: v.id(right)}
	switch {
	case m.left < 0:
		return m, joined, fmt.Errorf("token %.60q is not in the vocabulary", left)
	case m.right < 0:
		return m, joined, fmt.Errorf("token %.60q is not in the vocabulary", right)
	case len(right) < len(prefix):
		return m, joined, fmt.Errorf("token %.60q is shorter than the prefix %q", right, prefix)
	}
	joined = append(append(joined[:0], left...), right[len(prefix):]...)
	if m.id = v.id(view(joined)); m.id < 0 {
		return m, joined, fmt.Errorf("token %.60q, made of %.60q and %.60q, is not in the vocabulary", joined, left, right)
	}
	return m, joined, nil
}

// addedJSON is an entry of added_tokens.
type addedJSON struct {
	ID         *int32 `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	LStrip     bool   `json:"lstrip"`
	RStrip     bool   `json:"rstrip"`
	Normalized *bool  `json:"normalized"`
	Special    bool   `json:"special"`
}

func (s *spec) readAdded(data []byte) error {
	r := &reader{data: data}
	r.array(func(int) {
		var a addedJSON
		if v := r.skip(); r.err == nil {
			if err := decodeJSON(v, &a); err != nil {
				r.fail("%v", err)
			}
		}
		if r.err != nil {
			return
		}
		if a.ID == nil || *a.ID < 0 {
			r.fail("token %q has no id", a.Content)
			return
		}
		s.added = append(s.added, addedToken{id: *a.ID, content: a.Content, singleWord: a.SingleWord, lstrip: a.LStrip, rstrip: a.RStrip,
			normalized: a.Normalized == nil || *a.Normalized, special: a.Special})
	})
	return r.err
}

// configJSON is what of tokenizer_config.json matters here.
type configJSON struct {
	BOS       json.RawMessage `json:"bos_token"`
	EOS       json.RawMessage `json:"eos_token"`
	Pad       json.RawMessage `json:"pad_token"`
	Unk       json.RawMessage `json:"unk_token"`
	Mask      json.RawMessage `json:"mask_token"`
	CLS       json.RawMessage `json:"cls_token"`
	Sep       json.RawMessage `json:"sep_token"`
	Template  json.RawMessage `json:"chat_template"`
	MaxLength *float64        `json:"model_max_length"`
}

func (s *spec) readConfig(data []byte) error {
	r := &reader{data: data}
	if r.skip(); r.err != nil { // depth, before encoding/json recurses
		return r.err
	}
	var c configJSON
	if err := decodeJSON(data, &c); err != nil {
		return err
	}
	for role, raw := range map[string]json.RawMessage{"bos": c.BOS, "eos": c.EOS, "pad": c.Pad, "unk": c.Unk, "mask": c.Mask, "cls": c.CLS, "sep": c.Sep} {
		name, err := tokenName(raw)
		if err != nil {
			return fmt.Errorf("%s_token: %w", role, err)
		}
		if name == "" {
			continue
		}
		if s.roles == nil {
			s.roles = map[string]string{}
		}
		s.roles[role] = name
	}
	if c.MaxLength != nil && *c.MaxLength >= 1 && *c.MaxLength < 1e15 { // 1e30 means none
		s.maxLength = int(*c.MaxLength)
	}
	var err error
	s.template, err = templateText(c.Template)
	return err
}

// tokenName reads a token given as text or as an added token.
func tokenName(raw json.RawMessage) (string, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return "", nil
	}
	if raw[0] == '"' {
		var s string
		err := decodeJSON(raw, &s)
		return s, err
	}
	var a addedJSON
	err := decodeJSON(raw, &a)
	return a.Content, err
}

// templateText reads the chat template: one, or of several the one named "default".
func templateText(raw json.RawMessage) (string, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return "", nil
	}
	var one string
	if decodeJSON(raw, &one) == nil {
		return one, nil
	}
	var several []struct{ Name, Template string }
	if err := decodeJSON(raw, &several); err != nil {
		return "", fmt.Errorf("chat_template: %w", err)
	}
	var names []string
	for _, t := range several {
		if t.Name == "default" {
			return t.Template, nil
		}
		names = append(names, t.Name)
	}
	return "", fmt.Errorf("chat_template: none of %s is named default", strings.Join(names, ", "))
}
