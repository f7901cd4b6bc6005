// What a tokenizer is made of, whatever file it comes from, and how it is put together.

package tokenizer

import (
	"fmt"
	"strings"
)

// spec is a tokenizer in parts. The readers of the file formats fill it in.
type spec struct {
	tokens tokenList
	vocab  *vocab // of tokens, if a reader needed it already
	model  modelSpec

	norm  []normalizer
	pre   []preTokenizer // a final byteLevel becomes raw by itself where the model allows it
	post  postProcessor
	plan  decodePlan
	added []addedToken // in file order; ids as in the file

	truncation *truncation
	padding    *padding

	roles     map[string]string // role ("bos", "eos", "pad", "unk", "mask", "cls", "sep") to token text; nil: not known
	template  string
	maxLength int
}

// modelSpec builds the model over its vocabulary. raw: words will be bytes rather than
// their printable stand-ins, if the model can read them; canRaw answers.
type modelSpec interface {
	build(v *vocab, raw bool) (m model, tookRaw bool, err error)
	family(raw bool) string
	repeats() bool // the vocabulary may have a text twice
}

func (s *bpeSpec) build(v *vocab, raw bool) (model, bool, error) {
	m, err := newBPE(*s, v, raw)
	if err != nil {
		return nil, false, err
	}
	return m, m.raw, nil
}

func (s *bpeSpec) family(raw bool) string {
	switch {
	case raw:
		return "byte-level BPE"
	case s.byteFallback:
		return "BPE with byte fallback"
	}
	return "BPE"
}

func (s *bpeSpec) repeats() bool { return false }

type wordpieceSpec struct {
	unk, prefix string
	maxChars    int
}

func (s *wordpieceSpec) build(v *vocab, _ bool) (model, bool, error) {
	m, err := newWordPiece(v, s.unk, s.prefix, s.maxChars)
	return m, false, err
}

func (s *wordpieceSpec) family(bool) string { return "WordPiece" }

func (s *wordpieceSpec) repeats() bool { return false }

type wordlevelSpec struct{ unk string }

func (s *wordlevelSpec) build(v *vocab, _ bool) (model, bool, error) {
	m, err := newWordLevel(v, s.unk)
	return m, false, err
}

func (s *wordlevelSpec) family(bool) string { return "WordLevel" }

func (s *wordlevelSpec) repeats() bool { return false }

type unigramSpec struct {
	scores       []float64 // by id
	unk          int32     // -1: none
	byteFallback bool
}

func (s *unigramSpec) build(v *vocab, _ bool) (model, bool, error) {
	m, err := newUnigram(v, s.scores, s.unk, s.byteFallback)
	return m, false, err
}

func (s *unigramSpec) family(bool) string { return "Unigram" }

func (s *unigramSpec) repeats() bool { return true }

// build puts the tokenizer together.
func (s *spec) build() (*Tokenizer, error) {
	loadTables()
	if s.model == nil {
		return nil, errNoModel
	}
	v := s.vocab
	if v == nil {
		var err error
		if v, err = newVocab(s.tokens, s.model.repeats()); err != nil {
			return nil, fmt.Errorf("tokenizer: %w", err)
		}
	}
	t := &Tokenizer{vocab: v, cache: newWordCache(), norm: s.norm, pre: s.pre, post: s.post, decode: s.plan,
		truncation: s.truncation, padding: s.padding, template: s.template, maxLength: s.maxLength, size: len(v.at)}
	raw := false
	if n := len(t.pre); n > 0 {
		_, raw = t.pre[n-1].(byteLevel)
	}
	m, raw, err := s.model.build(v, raw)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	t.model, t.family = m, s.model.family(raw)
	t.unknown, t.spells = m.unknown()
	if raw {
		b := t.pre[len(t.pre)-1].(byteLevel)
		b.raw = true
		t.pre = append(t.pre[:len(t.pre)-1:len(t.pre)-1], b)
	}
	if b, ok := m.(*bpe); ok {
		t.cuts = b.cuts
	}
	for i, p := range t.pre {
		if ms, ok := p.(metaspace); ok && ms.scheme == "first" {
			t.needTrack = t.needTrack || i > 0 || len(t.norm) > 0
		}
	}
	if len(t.decode) == 0 {
		t.decode = decodePlan{{kind: decodeSpaces}}
	}
	if err := t.add(s.added); err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	if err := t.checkIDs(); err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	t.roles = t.findRoles(s.roles)
	return t, nil
}

// checkIDs holds the ids that the post-processor and the padding put in against the vocabulary.
func (t *Tokenizer) checkIDs() error {
	for _, items := range [][]templateItem{t.post.single, t.post.pair} {
		for _, it := range items {
			for k, id := range it.ids {
				if id < 0 || int(id) >= t.size {
					return fmt.Errorf("post_processor: token %q has id %d, and the vocabulary has %d", it.texts[k], id, t.size)
				}
			}
		}
	}
	if p := t.padding; p != nil && (p.id < 0 || int(p.id) >= t.size) {
		return fmt.Errorf("padding: pad_id is %d, and the vocabulary has %d", p.id, t.size)
	}
	return nil
}

// maxAddedBytes bounds an added token, and with it the time a match may take.
const maxAddedBytes = 1024

// maxNormalized is the same for its normalized form.
const maxNormalized = 4 * maxAddedBytes

// add gives the added tokens their ids, as the reference does: a text that has an id keeps
// it, another gets the next one behind the vocabulary, whatever its entry says.
func (t *Tokenizer) add(tokens []addedToken) error {
	t.addedByID = make(map[int32]*addedToken, len(tokens))
	t.addedID = make(map[string]int32, len(tokens))
	claimed := make(map[int32]string, len(tokens))
	next := int32(t.vocab.len())
	kept := make([]addedToken, 0, len(tokens))
	for _, a := range tokens {
		if a.content == "" {
			continue
		}
		if len(a.content) > maxAddedBytes {
			return fmt.Errorf("added_tokens: the token with id %d has %d bytes, more than %d", a.id, len(a.content), maxAddedBytes)
		}
		if other, ok := claimed[a.id]; ok && other != a.content {
			return fmt.Errorf("added_tokens: %q and %q have the same id %d", other, a.content, a.id)
		}
		claimed[a.id] = a.content
		id, ok := t.ID(a.content)
		if !ok {
			id = next
			next++
		}
		a.id, a.text = id, a.content
		if a.normalized {
			a.text = t.normalizeText(a.content)
		}
		if len(a.text) > maxNormalized {
			return fmt.Errorf("added_tokens: normalization makes %q longer than %d bytes", a.content, maxNormalized)
		}
		if a.text == "" {
			return fmt.Errorf("added_tokens: nothing is left of %q after normalization", a.content)
		}
		if _, again := t.addedID[a.content]; again {
			for i := range kept {
				if kept[i].content == a.content {
					kept[i] = a // the last entry's settings count
				}
			}
		} else {
			kept = append(kept, a)
		}
		t.addedID[a.content] = id
		t.size = max(t.size, int(id)+1)
	}
	var raw, normalized []addedToken
	for i := range kept {
		t.addedByID[kept[i].id] = &kept[i]
		if kept[i].normalized {
			normalized = append(normalized, kept[i])
		} else {
			raw = append(raw, kept[i])
		}
	}
	t.raw = newMatcher(raw, func(a addedToken) string { return a.content })
	t.normalized = newMatcher(normalized, func(a addedToken) string { return a.text })
	return nil
}

func (t *Tokenizer) normalizeText(s string) string {
	st := t.state()
	st.norm[0].limit, st.norm[1].limit = maxNormalized, maxNormalized
	p := piece{s: s}
	for _, n := range t.norm {
		if p = n.normalize(p, st); len(p.s) > maxNormalized {
			break
		}
	}
	return strings.Clone(p.s)
}

// usualNames are the texts that the families use for a role, tried in order among the
// special added tokens where tokenizer_config.json does not tell.
var usualNames = map[string][]string{
	"bos":  {"<s>", "<bos>", "<|begin_of_text|>", "<|startoftext|>", "<|endoftext|>"},
	"eos":  {"</s>", "<eos>", "<|end_of_text|>", "<|im_end|>", "<|endoftext|>"},
	"pad":  {"<pad>", "[PAD]"},
	"unk":  {"<unk>", "[UNK]"},
	"mask": {"<mask>", "[MASK]"},
	"cls":  {"[CLS]"},
	"sep":  {"[SEP]"},
}

func (t *Tokenizer) findRoles(names map[string]string) Roles {
	find := func(role string) int32 {
		if name, ok := names[role]; ok {
			if id, ok := t.ID(name); ok {
				return id
			}
			return -1
		}
		if names != nil {
			return -1
		}
		for _, name := range usualNames[role] {
			if id, ok := t.addedID[name]; ok && t.IsSpecial(id) {
				return id
			}
		}
		return -1
	}
	r := Roles{BOS: find("bos"), EOS: find("eos"), Pad: find("pad"), Unk: find("unk"), Mask: find("mask"), CLS: find("cls"), Sep: find("sep")}
	if r.Unk < 0 {
		r.Unk = t.unknown
	}
	return r
}
