// Reading the tokenizer that a GGUF file carries in its metadata (tokenizer.ggml.*).
// ggufpre.go has the ways such a file names a split.

package tokenizer

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// FromGGUF builds a tokenizer from the metadata of a GGUF file: its keys with values of
// the Go types of their GGUF types (string, bool, uint32, []string, []float32, []int32, …).
// tokenizer.ggml.model may be gpt2 (byte-level BPE), llama (SentencePiece BPE), t5 (Unigram)
// or bert (WordPiece). Ids are meant to be those of the checkpoint's tokenizer.json.
// Errors name the key.
//
// The metadata does not say whether a bert vocabulary is cased: it is read as cased if one
// of its words has an upper-case letter.
func FromGGUF(metadata map[string]any) (*Tokenizer, error) {
	loadTables()
	g := ggufReader{metadata: metadata}
	t, err := g.tokenizer()
	if err == nil {
		return t, nil
	}
	return nil, fmt.Errorf("GGUF metadata: %w", err)
}

// ggufReader reads values by key. The first wrong type stays in err.
type ggufReader struct {
	metadata map[string]any
	err      error
}

const ggufPrefix = "tokenizer.ggml."

func (g *ggufReader) wrong(key string, v any, want string) {
	if g.err == nil {
		g.err = fmt.Errorf("%s is a %T, want %s", key, v, want)
	}
}

func (g *ggufReader) text(key, def string) string {
	v, ok := g.metadata[key]
	if !ok {
		return def
	}
	s, ok := v.(string)
	if !ok {
		g.wrong(key, v, "a string")
	}
	return s
}

func (g *ggufReader) flag(key string, def bool) bool {
	v, ok := g.metadata[ggufPrefix+key]
	if !ok {
		return def
	}
	b, ok := v.(bool)
	if !ok {
		g.wrong(ggufPrefix+key, v, "a bool")
	}
	return b
}

// integer is a value of any integer type; -1: there is none.
func (g *ggufReader) integer(key string) int64 {
	v, ok := g.metadata[ggufPrefix+key]
	if !ok {
		return -1
	}
	switch v := v.(type) {
	case uint8:
		return int64(v)
	case int8:
		return int64(v)
	case uint16:
		return int64(v)
	case int16:
		return int64(v)
	case uint32:
		return int64(v)
	case int32:
		return int64(v)
	case int64:
		return v
	case uint64:
		return int64(min(v, math.MaxInt64))
	}
	g.wrong(ggufPrefix+key, v, "an integer")
	return -1
}

// array is a list of T; nil: there is none.
func array[T any](g *ggufReader, key string, n int) []T {
	v, ok := g.metadata[ggufPrefix+key]
	if !ok {
		return nil
	}
	list, ok := v.([]T)
	switch {
	case !ok:
		g.wrong(ggufPrefix+key, v, fmt.Sprintf("%T", list))
	case n >= 0 && len(list) != n && g.err == nil:
		g.err = fmt.Errorf("%s%s has %d entries, and there are %d tokens", ggufPrefix, key, len(list), n)
	}
	return list
}

func (g *ggufReader) tokenizer() (*Tokenizer, error) {
	model := g.text(ggufPrefix+"model", "")
	tokens := array[string](g, "tokens", -1)
	switch {
	case g.err != nil:
		return nil, g.err
	case model == "" || model == "none" || model == "no_vocab":
		return nil, fmt.Errorf("%smodel is %q: the file has no tokenizer", ggufPrefix, model)
	case !slices.Contains([]string{"gpt2", "llama", "t5", "bert"}, model):
		return nil, fmt.Errorf("%smodel %q is not supported: supported are gpt2, llama, t5, bert", ggufPrefix, model)
	case len(tokens) == 0:
		return nil, fmt.Errorf("%stokens is missing or empty", ggufPrefix)
	}
	kinds, err := g.kinds(len(tokens))
	if err != nil {
		return nil, err
	}
	f := &ggufFile{ggufReader: g, tokens: tokens, kinds: kinds, roles: map[string]string{}, template: g.text("tokenizer.chat_template", "")}
	if err := f.findRoles(); err != nil {
		return nil, err
	}
	switch model {
	case "gpt2":
		return f.byteLevel()
	case "bert":
		return f.bert()
	}
	return f.sentencePiece(model == "t5")
}

// kinds reads token_type; without it all tokens are normal.
func (g *ggufReader) kinds(n int) ([]pieceKind, error) {
	kinds := make([]pieceKind, n)
	for i := range kinds {
		kinds[i] = pieceNormal
	}
	v, ok := g.metadata[ggufPrefix+"token_type"]
	if !ok {
		return kinds, nil
	}
	set := func(n int, at func(i int) int64) error {
		if n != len(kinds) {
			return fmt.Errorf("%stoken_type has %d entries, and there are %d tokens", ggufPrefix, n, len(kinds))
		}
		for i := range kinds {
			k := at(i)
			if k < int64(pieceNormal) || k > int64(pieceByte) {
				if k != 0 { // GGUF's "undefined"
					return fmt.Errorf("%stoken_type of token %d is %d, want 1 to 6", ggufPrefix, i, k)
				}
				k = int64(pieceNormal)
			}
			kinds[i] = pieceKind(k)
		}
		return nil
	}
	switch v := v.(type) {
	case []int32:
		return kinds, set(len(v), func(i int) int64 { return int64(v[i]) })
	case []uint32:
		return kinds, set(len(v), func(i int) int64 { return int64(v[i]) })
	}
	g.wrong(ggufPrefix+"token_type", v, "[]int32")
	return nil, g.err
}

// ggufFile is the metadata with what all kinds of tokenizers need.
type ggufFile struct {
	*ggufReader
	tokens   []string
	kinds    []pieceKind
	roles    map[string]string
	template string
}

// findRoles reads the ids of the special tokens.
func (f *ggufFile) findRoles() error {
	for _, r := range [...][2]string{
		{"bos", "bos_token_id"}, {"eos", "eos_token_id"}, {"unk", "unknown_token_id"}, {"sep", "seperator_token_id"}, //nolint:misspell // llama.cpp's spelling
		{"sep", "separator_token_id"}, {"pad", "padding_token_id"}, {"cls", "cls_token_id"}, {"mask", "mask_token_id"},
	} {
		id := f.integer(r[1])
		if id < 0 || id == math.MaxUint32 { // llama.cpp's "none"
			continue
		}
		if id >= int64(len(f.tokens)) {
			return fmt.Errorf("%s%s is %d, and there are %d tokens", ggufPrefix, r[1], id, len(f.tokens))
		}
		f.roles[r[0]] = f.tokens[id]
	}
	return f.err
}

// special lists the tokens that are cut out of a text: control tokens and the unknown one
// where special tokens are read, user-defined ones everywhere.
func (f *ggufFile) special() []addedToken {
	var added []addedToken
	for id, kind := range f.kinds {
		switch kind {
		case pieceControl, pieceUnknown:
			added = append(added, addedToken{id: int32(id), content: f.tokens[id], special: true})
		case pieceDefined:
			added = append(added, addedToken{id: int32(id), content: f.tokens[id]})
		}
	}
	return added
}

// vocabulary is the tokens in a list, each rewritten by f.
func (f *ggufFile) vocabulary(rewrite func(id int) string) (tokenList, error) {
	var l tokenList
	for id := range f.tokens {
		if err := l.add(rewrite(id), int32(id)); err != nil {
			return l, err
		}
	}
	return l, nil
}

// finish puts the special tokens around and builds.
func (f *ggufFile) finish(s *spec, bos, eos bool) (*Tokenizer, error) {
	s.roles, s.template = f.roles, f.template
	v, err := newVocab(s.tokens, s.model.repeats())
	if err != nil {
		return nil, err
	}
	names := [2]string{}
	for i, want := range []bool{bos, eos} {
		if role := [2]string{"bos", "eos"}[i]; want {
			if names[i] = f.roles[role]; names[i] == "" {
				return nil, fmt.Errorf("%sadd_%s_token is set, and there is no %s_token_id", ggufPrefix, role, role)
			}
		}
	}
	if s.post.single == nil {
		s.post.single, s.post.pair = surround(v, names[0], names[1])
	}
	if f.err != nil {
		return nil, f.err
	}
	return s.build()
}

// byteLevel reads a vocabulary in GPT-2's printable bytes, with merges.
func (f *ggufFile) byteLevel() (*Tokenizer, error) {
	pre, err := ggufSplit(f.text(ggufPrefix+"pre", ""))
	if err != nil {
		return nil, err
	}
	merges := array[string](f.ggufReader, "merges", -1)
	if f.err == nil && merges == nil {
		f.err = errors.New(ggufPrefix + "merges is missing")
	}
	if f.err != nil {
		return nil, f.err
	}
	s := &spec{norm: pre.norm, pre: append(slices.Clone(pre.split), byteLevel{gpt2: pre.gpt2}), plan: decodePlan{{kind: decodeByteLevel}}, added: f.special()}
	if s.tokens, err = f.vocabulary(func(id int) string { return f.tokens[id] }); err != nil {
		return nil, err
	}
	b := &bpeSpec{ignoreMerges: pre.whole}
	s.model = b
	v, err := newVocab(s.tokens, false)
	if err != nil {
		return nil, err
	}
	var joined []byte
	for i, text := range merges {
		left, right, ok := strings.Cut(text, " ")
		if !ok || strings.Contains(right, " ") {
			return nil, fmt.Errorf("%smerges: entry %d, %.60q, is not two tokens with a space between", ggufPrefix, i, text)
		}
		var m merge
		if m, joined, err = newMerge(v, left, right, "", joined); err != nil {
			return nil, fmt.Errorf("%smerges: entry %d: %w", ggufPrefix, i, err)
		}
		m.rank = int32(i)
		b.merges = append(b.merges, m)
	}
	return f.finish(s, f.flag("add_bos_token", pre.bos), f.flag("add_eos_token", false))
}

// sentencePiece reads pieces with scores: of llama for BPE, of t5 for Unigram.
func (f *ggufFile) sentencePiece(unigram bool) (*Tokenizer, error) {
	scores := array[float32](f.ggufReader, "scores", len(f.tokens))
	if f.err == nil && scores == nil {
		f.err = errors.New(ggufPrefix + "scores is missing")
	}
	m := &sentencePiece{unigram: unigram, unk: -1, surface: " \u2047 ", escape: true, parseUnk: true, roles: f.roles, template: f.template,
		prefix: f.flag("add_space_prefix", true), squeeze: f.flag("remove_extra_whitespaces", unigram),
		bosName: f.roles["bos"], eosName: f.roles["eos"], bos: f.flag("add_bos_token", !unigram), eos: f.flag("add_eos_token", unigram)}
	if err := f.charsmap(m); err != nil {
		return nil, err
	}
	byteTokens := 0
	for id, kind := range f.kinds {
		if kind == pieceUnknown && m.unk < 0 {
			m.unk = int32(id)
		}
		if kind == pieceByte {
			byteTokens++
		}
		if err := m.add(f.tokens[id], scores[id], kind); err != nil {
			return nil, err
		}
	}
	if id := f.integer("unknown_token_id"); id >= 0 && id < int64(len(f.tokens)) {
		m.unk = int32(id)
	}
	switch {
	case m.unk < 0:
		return nil, errors.New(ggufPrefix + "unknown_token_id is missing, and no token is of type 2")
	case m.bos && m.bosName == "":
		return nil, errors.New(ggufPrefix + "add_bos_token is set, or not said, and there is no bos_token_id")
	case m.eos && m.eosName == "":
		return nil, errors.New(ggufPrefix + "add_eos_token is set, or not said, and there is no eos_token_id")
	}
	m.kinds[m.unk] = pieceUnknown
	m.byteFallback = byteTokens == 256
	return m.tokenizer()
}

// charsmap reads precompiled_charsmap, which some writers store as signed bytes.
func (f *ggufFile) charsmap(m *sentencePiece) error {
	var data []byte
	switch v := f.metadata[ggufPrefix+"precompiled_charsmap"].(type) {
	case nil:
	case []uint8:
		data = v
	case []int8:
		data = make([]byte, len(v))
		for i, b := range v {
			data[i] = byte(b)
		}
	case string:
		data = []byte(v)
	default:
		f.wrong(ggufPrefix+"precompiled_charsmap", v, "[]uint8")
	}
	if f.err != nil || len(data) == 0 {
		return f.err
	}
	var err error
	m.charsmap, err = newCharsmap(bytes.Clone(data))
	return err
}

// bert reads a WordPiece vocabulary. GGUF marks the starts of words with U+2581 and leaves
// the insides bare; tokens in brackets are as they were.
func (f *ggufFile) bert() (*Tokenizer, error) {
	const maxChars = 100
	cased := false
	tokens, err := f.vocabulary(func(id int) string {
		text := f.tokens[id]
		if f.kinds[id] != pieceNormal || strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]") {
			return text
		}
		word, start := strings.CutPrefix(text, spaceSymbol)
		cased = cased || strings.IndexFunc(word, unicode.IsUpper) >= 0
		if start {
			return word
		}
		return "##" + word
	})
	if err != nil {
		return nil, err
	}
	for role, name := range map[string]string{"cls": "[CLS]", "sep": "[SEP]", "unk": "[UNK]", "pad": "[PAD]", "mask": "[MASK]"} {
		if f.roles[role] == "" && slices.Contains(f.tokens, name) {
			f.roles[role] = name
		}
	}
	if f.roles["bos"] != "" && !slices.Contains(f.tokens, "[CLS]") {
		f.roles["cls"] = f.roles["bos"]
	}
	if f.roles["unk"] == "" || f.roles["cls"] == "" || f.roles["sep"] == "" {
		return nil, fmt.Errorf("%smodel bert needs tokens for unknown, cls and sep; there are %v", ggufPrefix, f.roles)
	}
	s := &spec{tokens: tokens, model: &wordpieceSpec{f.roles["unk"], "##", maxChars},
		norm: []normalizer{newBert(true, true, !cased, !cased, unicodeForm{norm.NFD, false})}, pre: []preTokenizer{bertSplit{}},
		plan: decodePlan{{kind: decodeWordPiece, text: "##", cleanup: true}}, added: f.special()}
	for id, text := range f.tokens {
		if f.kinds[id] == pieceNormal && slices.Contains([]string{f.roles["unk"], f.roles["cls"], f.roles["sep"], f.roles["pad"], f.roles["mask"]}, text) {
			s.added = append(s.added, addedToken{id: int32(id), content: text, special: true})
		}
	}
	item := func(role string, typeID int32) templateItem {
		id := slices.Index(f.tokens, f.roles[role])
		return templateItem{text: -1, ids: []int32{int32(id)}, texts: []string{f.roles[role]}, typeID: typeID}
	}
	s.post.single = []templateItem{item("cls", 0), {text: 0}, item("sep", 0)}
	s.post.pair = []templateItem{item("cls", 0), {text: 0}, item("sep", 0), {text: 1, typeID: 1}, item("sep", 1)}
	return f.finish(s, false, false)
}
