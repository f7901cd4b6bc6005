// The components of tokenizer.json, read into steps. Each is known by its type; an
// unknown one is refused with the list of those that are known.

package tokenizer

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// component has the fields of all components; each type reads its own.
type component struct {
	Type string `json:"type"`

	Normalizers   []json.RawMessage `json:"normalizers"`
	PreTokenizers []json.RawMessage `json:"pretokenizers"`
	Processors    []json.RawMessage `json:"processors"`
	Decoders      []json.RawMessage `json:"decoders"`

	CleanText     *bool                           `json:"clean_text"`
	ChineseChars  *bool                           `json:"handle_chinese_chars"`
	StripAccents  *bool                           `json:"strip_accents"`
	Lowercase     *bool                           `json:"lowercase"`
	StripLeft     bool                            `json:"strip_left"`
	StripRight    bool                            `json:"strip_right"`
	Prepend       string                          `json:"prepend"`
	Charsmap      string                          `json:"precompiled_charsmap"`
	Individual    bool                            `json:"individual_digits"`
	PrefixSpace   *bool                           `json:"add_prefix_space"`
	TrimOffsets   bool                            `json:"trim_offsets"`
	UseRegex      *bool                           `json:"use_regex"`
	Replacement   string                          `json:"replacement"`
	PrependScheme string                          `json:"prepend_scheme"`
	Split         *bool                           `json:"split"`
	Behavior      string                          `json:"behavior"`
	Invert        bool                            `json:"invert"`
	Delimiter     string                          `json:"delimiter"`
	Length        *int                            `json:"length"`
	Prefix        string                          `json:"prefix"`
	Suffix        string                          `json:"suffix"`
	Cleanup       bool                            `json:"cleanup"`
	Start         int                             `json:"start"`
	Stop          int                             `json:"stop"`
	Content       string                          `json:"content"`
	Pattern       struct{ String, Regex *string } `json:"pattern"`

	Sep           []json.RawMessage           `json:"sep"`
	CLS           []json.RawMessage           `json:"cls"`
	Single        []templateJSON              `json:"single"`
	Pair          []templateJSON              `json:"pair"`
	SpecialTokens map[string]specialTokenJSON `json:"special_tokens"`
}

type templateJSON struct {
	Sequence *struct {
		ID     string `json:"id"`
		TypeID int32  `json:"type_id"`
	}
	SpecialToken *struct {
		ID     string `json:"id"`
		TypeID int32  `json:"type_id"`
	}
}

type specialTokenJSON struct {
	IDs    []int32  `json:"ids"`
	Tokens []string `json:"tokens"`
}

// maxSteps bounds the components of one kind.
const maxSteps = 24

// flatten reads a component and the sequences inside it, calling leaf for each that is none.
func flatten(data []byte, n *int, leaf func(c *component) error) error {
	var c component
	if err := decodeJSON(data, &c); err != nil {
		return err
	}
	if k := max(len(c.Content), len(c.Prepend), len(c.Prefix), len(c.Suffix)); k > maxContent {
		return fmt.Errorf("%.60s: a text of %d bytes is longer than %d", c.Type, k, maxContent)
	}
	if *n++; *n > maxSteps {
		return fmt.Errorf("more than %d components", maxSteps)
	}
	if c.Type != "Sequence" {
		if err := leaf(&c); err != nil {
			return fmt.Errorf("%.60s: %w", c.Type, err)
		}
		return nil
	}
	for _, parts := range [][]json.RawMessage{c.Normalizers, c.PreTokenizers, c.Processors, c.Decoders} {
		for _, p := range parts {
			if err := flatten(p, n, leaf); err != nil {
				return err
			}
		}
	}
	return nil
}

func unsupported(known ...string) error {
	slices.Sort(known)
	return fmt.Errorf("this type is not supported: supported are %s, Sequence", strings.Join(known, ", "))
}

// maxContent bounds the texts that components put in.
const maxContent = 256

func (c *component) pattern() (pattern, error) {
	switch {
	case c.Pattern.String != nil && *c.Pattern.String != "":
		return literal(*c.Pattern.String), nil
	case c.Pattern.Regex != nil:
		return patternFor(*c.Pattern.Regex)
	}
	return nil, errors.New("the pattern is empty")
}

func (s *spec) readNormalizer(data []byte) error {
	n := 0
	return flatten(data, &n, func(c *component) error {
		step, err := c.normalizer()
		s.norm = append(s.norm, step)
		return err
	})
}

func (c *component) normalizer() (normalizer, error) {
	switch c.Type {
	case "BertNormalizer":
		if c.CleanText == nil || c.ChineseChars == nil || c.Lowercase == nil {
			return nil, errors.New("it needs clean_text, handle_chinese_chars and lowercase")
		}
		accents := *c.Lowercase
		if c.StripAccents != nil {
			accents = *c.StripAccents
		}
		return newBert(*c.CleanText, *c.ChineseChars, accents, *c.Lowercase, unicodeForm{norm.NFD, false}), nil
	case "NFC":
		return unicodeForm{norm.NFC, true}, nil
	case "NFD":
		return unicodeForm{norm.NFD, false}, nil
	case "NFKC":
		return unicodeForm{norm.NFKC, true}, nil
	case "NFKD":
		return unicodeForm{norm.NFKD, false}, nil
	case "Lowercase":
		return lowercase{}, nil
	case "StripAccents":
		return stripAccents(), nil
	case "Strip":
		return strip{c.StripLeft, c.StripRight}, nil
	case "Nmt":
		return nmt(), nil
	case "Prepend":
		return prepend(c.Prepend), nil
	case "ByteLevel":
		return byteMap{}, nil
	case "Replace":
		p, err := c.pattern()
		if err != nil {
			return nil, err
		}
		return replace{p, c.Content}, nil
	case "Precompiled":
		data, err := base64.StdEncoding.DecodeString(c.Charsmap)
		if err != nil {
			return nil, fmt.Errorf("precompiled_charsmap: %w", err)
		}
		return newCharsmap(data)
	}
	return nil, unsupported("BertNormalizer", "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Strip", "Nmt", "Prepend", "ByteLevel", "Replace", "Precompiled")
}

func (s *spec) readPreTokenizer(data []byte) error {
	n := 0
	return flatten(data, &n, func(c *component) error {
		step, err := c.preTokenizer()
		s.pre = append(s.pre, step)
		return err
	})
}

func (c *component) preTokenizer() (preTokenizer, error) {
	switch c.Type {
	case "ByteLevel":
		return byteLevel{prefixSpace: value(c.PrefixSpace), gpt2: c.UseRegex == nil || *c.UseRegex}, nil
	case "BertPreTokenizer":
		return bertSplit{}, nil
	case "Whitespace":
		return words{}, nil
	case "WhitespaceSplit":
		return splitter{pattern: bitsPattern(classSpace), behavior: removed}, nil
	case "Digits":
		b := contiguous
		if c.Individual {
			b = isolated
		}
		return splitter{pattern: bitsPattern(classDigits), behavior: b}, nil
	case "Punctuation":
		b, ok := behaviors[c.Behavior]
		if !ok && c.Behavior != "" {
			return nil, fmt.Errorf("behavior %q is unknown", c.Behavior)
		}
		return splitter{pattern: bitsPattern(classPunct8), behavior: b}, nil
	case "CharDelimiterSplit", "Delimiter":
		if utf8.RuneCountInString(c.Delimiter) != 1 {
			return nil, fmt.Errorf("delimiter %q is not one character", c.Delimiter)
		}
		return splitter{pattern: literal(c.Delimiter), behavior: removed}, nil
	case "FixedLength":
		n := 5
		if c.Length != nil {
			n = *c.Length
		}
		if n < 1 {
			return nil, fmt.Errorf("length is %d", n)
		}
		return fixedLength(n), nil
	case "Split":
		b, ok := behaviors[c.Behavior]
		if !ok {
			return nil, fmt.Errorf("behavior %q is unknown", c.Behavior)
		}
		p, err := c.pattern()
		if err != nil {
			return nil, err
		}
		return splitter{pattern: p, behavior: b, invert: c.Invert}, nil
	case "Metaspace":
		m := metaspace{replacement: c.Replacement, cut: c.Split == nil || *c.Split}
		var err error
		m.scheme, err = c.scheme()
		return m, err
	}
	return nil, unsupported("ByteLevel", "BertPreTokenizer", "Whitespace", "WhitespaceSplit", "Digits", "Punctuation", "CharDelimiterSplit",
		"FixedLength", "Split", "Metaspace")
}

// scheme reads the two spellings of Metaspace's prefix.
func (c *component) scheme() (string, error) {
	if utf8.RuneCountInString(c.Replacement) != 1 {
		return "", fmt.Errorf("replacement %q is not one character", c.Replacement)
	}
	scheme := c.PrependScheme
	if scheme == "" {
		scheme = "always"
	}
	if scheme != "always" && scheme != "first" && scheme != "never" {
		return "", fmt.Errorf("prepend_scheme %q is unknown", scheme)
	}
	if c.PrefixSpace != nil && !*c.PrefixSpace {
		if c.PrependScheme != "" && scheme != "never" {
			return "", fmt.Errorf("add_prefix_space contradicts prepend_scheme %q", scheme)
		}
		scheme = "never"
	}
	return scheme, nil
}

func (s *spec) readPostProcessor(data []byte) error {
	n, templates := 0, 0
	return flatten(data, &n, func(c *component) error {
		if c.Type != "ByteLevel" {
			if templates++; templates > 1 {
				return errors.New("a second post-processor that adds tokens is not supported")
			}
		}
		switch c.Type {
		case "ByteLevel":
			if c.TrimOffsets {
				s.post.trims = append(s.post.trims, trim{value(c.PrefixSpace)})
			}
			return nil
		case "TemplateProcessing":
			return s.readTemplate(c)
		case "RobertaProcessing", "BertProcessing":
			return s.readClsSep(c)
		}
		return unsupported("ByteLevel", "TemplateProcessing", "RobertaProcessing", "BertProcessing")
	})
}

func (s *spec) readTemplate(c *component) error {
	s.post.keepOrder = true
	for _, form := range []struct {
		name  string
		items []templateJSON
		texts int
		to    *[]templateItem
	}{{"single", c.Single, 1, &s.post.single}, {"pair", c.Pair, 2, &s.post.pair}} {
		seen := [2]int{}
		for _, it := range form.items {
			switch {
			case it.Sequence != nil && (it.Sequence.ID == "A" || it.Sequence.ID == "B" && form.texts == 2):
				text := int(it.Sequence.ID[0] - 'A')
				seen[text]++
				*form.to = append(*form.to, templateItem{text: text, typeID: it.Sequence.TypeID})
			case it.SpecialToken != nil:
				k, ok := c.SpecialTokens[it.SpecialToken.ID]
				if !ok || len(k.IDs) != len(k.Tokens) {
					return fmt.Errorf("%s: special token %q is not declared with ids and tokens", form.name, it.SpecialToken.ID)
				}
				*form.to = append(*form.to, templateItem{text: -1, ids: k.IDs, texts: k.Tokens, typeID: it.SpecialToken.TypeID})
			default:
				return fmt.Errorf("%s: an item is neither a text of this form nor a special token", form.name)
			}
		}
		if seen[0] > 1 || seen[1] > 1 || len(form.items) > maxSteps {
			return fmt.Errorf("%s: a text occurs twice, or there are more than %d items", form.name, maxSteps)
		}
		if len(form.items) == 0 {
			*form.to = []templateItem{}
		}
	}
	return nil
}

// readClsSep reads [CLS] A [SEP] B [SEP] in BERT's form or RoBERTa's, which doubles the
// separator between the texts and has one token type.
func (s *spec) readClsSep(c *component) error {
	var items [2]templateItem
	for i, raw := range [][]json.RawMessage{c.CLS, c.Sep} {
		items[i] = templateItem{text: -1, ids: make([]int32, 1), texts: make([]string, 1)}
		if len(raw) != 2 || decodeJSON(raw[0], &items[i].texts[0]) != nil || decodeJSON(raw[1], &items[i].ids[0]) != nil {
			return errors.New("cls and sep are not a token and its id each")
		}
	}
	cls, sep := items[0], items[1]
	s.post.single = []templateItem{cls, {text: 0}, sep}
	if c.Type == "BertProcessing" {
		sep2 := sep
		sep2.typeID = 1
		s.post.pair = []templateItem{cls, {text: 0}, sep, {text: 1, typeID: 1}, sep2}
		return nil
	}
	s.post.pair = []templateItem{cls, {text: 0}, sep, sep, {text: 1}, sep}
	s.post.flatTypes = true
	if c.TrimOffsets {
		s.post.trims = append(s.post.trims, trim{value(c.PrefixSpace)})
	}
	return nil
}

func (s *spec) readDecoder(data []byte) error {
	n, growth, whole := 0, 1, false
	return flatten(data, &n, func(c *component) error {
		step, err := c.decoder()
		if err != nil {
			return err
		}
		if whole {
			_, one := step.pattern.(literal)
			switch {
			case step.kind == decodeStrip:
				step.whole = true
			case step.kind == decodeFuse:
			case step.kind == decodeReplace && one && utf8.RuneCountInString(string(step.pattern.(literal))) == 1:
			default:
				return errors.New("behind Fuse or ByteLevel only Strip and Replace of one character are supported")
			}
		}
		whole = whole || step.kind == decodeFuse || step.kind == decodeByteLevel
		if s.plan = append(s.plan, step); len(s.plan) > 16 {
			return errors.New("more than 16 decoders")
		}
		if step.kind == decodeReplace {
			if growth *= max(1, len(step.text)); growth > maxContent {
				return errors.New("the replacements make a text too long")
			}
		}
		return nil
	})
}

func (c *component) decoder() (decodeStep, error) {
	switch c.Type {
	case "ByteLevel":
		return decodeStep{kind: decodeByteLevel}, nil
	case "WordPiece":
		return decodeStep{kind: decodeWordPiece, text: c.Prefix, cleanup: c.Cleanup}, nil
	case "Metaspace":
		scheme, err := c.scheme()
		return decodeStep{kind: decodeMetaspace, text: c.Replacement, keepFirst: scheme == "never"}, err
	case "ByteFallback":
		return decodeStep{kind: decodeByteFallback}, nil
	case "Fuse":
		return decodeStep{kind: decodeFuse}, nil
	case "BPEDecoder":
		if c.Suffix == "" {
			return decodeStep{}, errors.New("suffix is empty")
		}
		return decodeStep{kind: decodeBPE, text: c.Suffix}, nil
	case "Strip":
		if utf8.RuneCountInString(c.Content) != 1 || c.Start < 0 || c.Stop < 0 {
			return decodeStep{}, fmt.Errorf("content %q, start %d, stop %d", c.Content, c.Start, c.Stop)
		}
		return decodeStep{kind: decodeStrip, text: c.Content, start: c.Start, stop: c.Stop}, nil
	case "Replace":
		p, err := c.pattern()
		if err != nil {
			return decodeStep{}, err
		}
		return decodeStep{kind: decodeReplace, pattern: p, text: c.Content}, nil
	}
	return decodeStep{}, unsupported("ByteLevel", "WordPiece", "Metaspace", "ByteFallback", "Fuse", "BPEDecoder", "Strip", "Replace")
}

type truncationJSON struct {
	Direction string `json:"direction"`
	MaxLength int    `json:"max_length"`
	Strategy  string `json:"strategy"`
}

func (s *spec) readTruncation(data []byte) error {
	var t truncationJSON
	if err := decodeJSON(data, &t); err != nil {
		return err
	}
	if t.MaxLength < 0 || t.Direction != "Left" && t.Direction != "Right" && t.Direction != "" ||
		t.Strategy != "LongestFirst" && t.Strategy != "OnlyFirst" && t.Strategy != "OnlySecond" {
		return fmt.Errorf("max_length %d, direction %q, strategy %q are not what is known", t.MaxLength, t.Direction, t.Strategy)
	}
	s.truncation = &truncation{length: t.MaxLength, strategy: t.Strategy, left: t.Direction == "Left"}
	return nil
}

type paddingJSON struct {
	Strategy  json.RawMessage `json:"strategy"`
	Direction string          `json:"direction"`
	Multiple  *int            `json:"pad_to_multiple_of"`
	ID        int32           `json:"pad_id"`
	TypeID    int32           `json:"pad_type_id"`
	Token     string          `json:"pad_token"`
}

func (s *spec) readPadding(data []byte) error {
	var p paddingJSON
	if err := decodeJSON(data, &p); err != nil {
		return err
	}
	out := &padding{multiple: value(p.Multiple), left: p.Direction == "Left", id: p.ID, typeID: p.TypeID, text: p.Token}
	if string(p.Strategy) != `"BatchLongest"` {
		var fixed struct{ Fixed *int }
		if err := decodeJSON(p.Strategy, &fixed); err != nil || fixed.Fixed == nil {
			return fmt.Errorf("strategy %.40s is not supported: supported are \"BatchLongest\" and {\"Fixed\": n}", p.Strategy)
		}
		out.fixed = *fixed.Fixed
	}
	if out.fixed < 0 || out.fixed > maxPadding || out.multiple < 0 || out.multiple > maxPadding || p.Direction != "Left" && p.Direction != "Right" {
		return fmt.Errorf("length %d, multiple %d, direction %q are not what is known", out.fixed, out.multiple, p.Direction)
	}
	s.padding = out
	return nil
}
