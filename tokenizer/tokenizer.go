// Package tokenizer turns text into token ids and back, exactly as the tokenizer.json
// of a Hugging Face checkpoint says: byte-level BPE (GPT-2, Llama 3, Qwen, …), SentencePiece
// BPE with byte fallback (Llama 2, Gemma, Mistral), WordPiece (BERT), Unigram (T5, XLM-R), WordLevel.
//
// The reference is the library tokenizers 0.23.3: ids, offsets, token texts and decoded
// texts are meant to be the same for every text. A component or a split pattern that
// this package does not know is an error of [FromJSON] that names it; nothing is approximated.
//
// A [Tokenizer] does not change after it is built and may be used by any number of
// goroutines. Calls share a word cache of bounded size without waiting for each other.
package tokenizer

import (
	"errors"
	"fmt"
	"math"
	"sync"
)

// Tokenizer is one vocabulary with the steps around it.
type Tokenizer struct {
	family     string
	vocab      *vocab
	model      model
	unknown    int32   // the model's unknown token, or -1
	spells     bool    // it is reported as the text it stands for
	cuts       *cutSet // nil: pieces are not cut further
	cache      *wordCache
	norm       []normalizer
	pre        []preTokenizer
	raw        *matcher // added tokens matched in the text as it comes
	normalized *matcher // those matched after normalization
	needTrack  bool     // a pre-tokenizer asks where a piece starts in the original
	post       postProcessor
	truncation *truncation
	padding    *padding
	decode     decodePlan
	addedByID  map[int32]*addedToken
	addedID    map[string]int32
	size       int
	roles      Roles
	template   string
	maxLength  int
	states     sync.Pool
}

// Options say how a text is read. The zero value reads it all as plain text, without
// special tokens around it: what user input needs.
type Options struct {
	// Special puts the special tokens of the post-processor around the text (BOS, EOS, CLS, SEP).
	Special bool
	// Parse recognises special added tokens inside the text. Without it they are plain
	// text like any other; added tokens that are not special are always recognised.
	Parse bool
	// Allow lists special tokens that are recognised even without Parse (the mask token).
	Allow []int32
	// Plain lists byte ranges [start, end) of the text in which no special token is
	// recognised, whatever Parse and Allow say: what users wrote inside a rendered chat
	// template. A special token that only touches a range is not recognised either.
	// For EncodePair the ranges are those of the first text.
	Plain [][2]int
	// Truncate is the most ids, special tokens included; a pair loses tokens of the longer
	// text first. 0: nothing is cut.
	Truncate int
	// FileTruncation applies the truncation that tokenizer.json asks for, if Truncate is 0.
	FileTruncation bool
	// FilePadding applies the padding that tokenizer.json asks for, as to a batch of one.
	FilePadding bool
}

// Encoding is a tokenized text or pair. All slices have one entry a token.
type Encoding struct {
	IDs     []int32
	TypeIDs []int32  // token type (segment) ids of the model
	Tokens  []string // as the vocabulary spells them; the text itself where Unigram does not know it
	Offsets [][2]int // bytes [start, end) of the original text; both 0 for special tokens put around it
	Special []bool   // special tokens and padding
	Segment []int8   // 0 or 1: the text the token is from; -1: from none
	Words   []int32  // the word of its text, as texts are cut before the model; -1: from none
	Mask    []bool   // false: padding
}

// Roles are the special tokens by what they are for: an id, or -1 where there is none.
type Roles struct {
	BOS, EOS, Pad, Unk, Mask, CLS, Sep int32
}

// maxText is the longest text that is accepted: offsets have 32 bits, and a byte may become several.
const maxText = math.MaxInt32 / 8

// Encode tokenizes a text. It fails only for options that make no sense and texts over 256 MiB.
// A byte that is not UTF-8 is read as U+FFFD.
func (t *Tokenizer) Encode(text string, o Options) (*Encoding, error) {
	return t.encode([]string{text}, o)
}

// EncodePair tokenizes two texts as one input, with the post-processor's form for pairs.
func (t *Tokenizer) EncodePair(a, b string, o Options) (*Encoding, error) {
	return t.encode([]string{a, b}, o)
}

// AppendIDs appends the ids of a text to dst: Encode without the cost of offsets and texts.
// With an error dst is returned as it was.
func (t *Tokenizer) AppendIDs(dst []int32, text string, o Options) ([]int32, error) {
	if o.FilePadding || o.FileTruncation || t.post.dropsText() {
		e, err := t.Encode(text, o)
		if err != nil {
			return dst, err
		}
		return append(dst, e.IDs...), nil
	}
	if err := t.check(&o, text); err != nil {
		return dst, err
	}
	room := math.MaxInt
	if o.Truncate > 0 {
		room = o.Truncate
	}
	items := plainItems
	if o.Special && t.post.single != nil {
		items = t.post.single
		room -= t.post.added(false)
	}
	if room < 0 {
		return dst, t.tooShort(o.Truncate, false)
	}
	st := t.state()
	defer t.release(st)
	st.full = false
	out := dst
	for _, it := range items {
		if it.text < 0 {
			out = append(out, it.ids...)
			continue
		}
		st.ids = out
		from := len(out)
		if err := st.run(text, &o); err != nil {
			return dst, err
		}
		if out = st.ids; len(out)-from > room {
			out = out[:from+room]
		}
	}
	return out, nil
}

// plainItems is a template without special tokens.
var plainItems = []templateItem{{text: 0}}

func (t *Tokenizer) tooShort(length int, pair bool) error {
	return fmt.Errorf("tokenizer: Options.Truncate %d leaves no room for the %d special tokens", length, t.post.added(pair))
}

// check validates options against the texts.
func (t *Tokenizer) check(o *Options, texts ...string) error {
	for _, s := range texts {
		if len(s) > maxText {
			return fmt.Errorf("tokenizer: a text of %d bytes is longer than the limit of %d: split it", len(s), maxText)
		}
	}
	if o.Truncate < 0 {
		return fmt.Errorf("tokenizer: Options.Truncate is %d, want 0 or more", o.Truncate)
	}
	for _, r := range o.Plain {
		if r[0] < 0 || r[1] < r[0] || r[1] > len(texts[0]) {
			return fmt.Errorf("tokenizer: Options.Plain has the range %v, and the text has %d bytes", r, len(texts[0]))
		}
	}
	return nil
}

func (t *Tokenizer) encode(texts []string, o Options) (*Encoding, error) {
	if err := t.check(&o, texts...); err != nil {
		return nil, err
	}
	cut := truncation{strategy: "LongestFirst"}
	limited := o.Truncate > 0
	if limited {
		cut.length = o.Truncate
	} else if o.FileTruncation && t.truncation != nil {
		cut, limited = *t.truncation, true
	}
	if limited && o.Special {
		if cut.length -= t.post.added(len(texts) == 2); cut.length < 0 {
			return nil, t.tooShort(cut.length+t.post.added(len(texts) == 2), len(texts) == 2)
		}
	}
	states := make([]*state, len(texts))
	n := make([]int, len(texts))
	for i, text := range texts {
		st := t.state()
		defer t.release(st)
		if i > 0 {
			o.Plain = nil
		}
		st.full = true
		if err := st.run(text, &o); err != nil {
			return nil, err
		}
		states[i], n[i] = st, len(st.parts)
	}
	if limited {
		kept, err := cut.lengths(n)
		if err != nil {
			return nil, err
		}
		for i, st := range states {
			cut.cut(st, kept[i])
		}
	}
	for _, trim := range t.post.trims {
		for i, st := range states {
			trim.apply(st, texts[i])
		}
	}
	return t.assemble(states, &o), nil
}

// assemble joins the tokens of the texts with the special tokens and the padding.
func (t *Tokenizer) assemble(states []*state, o *Options) *Encoding {
	items := t.post.items(len(states) == 2, o.Special)
	n := 0
	for _, it := range items {
		if it.text >= 0 {
			n += len(states[it.text].parts)
		} else if o.Special {
			n += len(it.ids)
		}
	}
	pads, left := 0, false
	if o.FilePadding && t.padding != nil {
		pads, left = t.padding.length(n)-n, t.padding.left
		n += pads
	}
	e := &Encoding{IDs: make([]int32, 0, n), TypeIDs: make([]int32, 0, n), Tokens: make([]string, 0, n), Offsets: make([][2]int, 0, n),
		Special: make([]bool, 0, n), Segment: make([]int8, 0, n), Words: make([]int32, 0, n), Mask: make([]bool, 0, n)}
	if left {
		e.pad(t.padding, pads)
	}
	for _, it := range items {
		if it.text < 0 {
			for k := 0; o.Special && k < len(it.ids); k++ {
				e.add(it.ids[k], it.typeID, it.texts[k], span{}, true, -1, -1, true)
			}
			continue
		}
		st := states[it.text]
		for k := range st.parts {
			p := &st.parts[k]
			e.add(p.id, it.typeID, st.text(p), p.span, p.special, int8(it.text), p.word, true)
		}
	}
	if !left {
		e.pad(t.padding, pads)
	}
	return e
}

func (e *Encoding) add(id, typeID int32, text string, at span, special bool, segment int8, word int32, attended bool) {
	e.IDs = append(e.IDs, id)
	e.TypeIDs = append(e.TypeIDs, typeID)
	e.Tokens = append(e.Tokens, text)
	e.Offsets = append(e.Offsets, [2]int{int(at.start), int(at.end)})
	e.Special = append(e.Special, special)
	e.Segment = append(e.Segment, segment)
	e.Words = append(e.Words, word)
	e.Mask = append(e.Mask, attended)
}

func (e *Encoding) pad(p *padding, n int) {
	for range n {
		e.add(p.id, p.typeID, p.text, span{}, true, -1, -1, false)
	}
}

// Token returns the text of a token as the vocabulary spells it.
func (t *Tokenizer) Token(id int32) (string, bool) {
	if a := t.addedByID[id]; a != nil {
		return a.content, true
	}
	return t.vocab.token(id)
}

// ID returns the id of a token spelled as in the vocabulary.
func (t *Tokenizer) ID(token string) (int32, bool) {
	if id, ok := t.addedID[token]; ok {
		return id, true
	}
	id := t.vocab.id(token)
	return id, id >= 0
}

// Size is one more than the highest id.
func (t *Tokenizer) Size() int { return t.size }

// IsSpecial reports whether an id is a special token: one that decoding can leave out.
func (t *Tokenizer) IsSpecial(id int32) bool {
	a := t.addedByID[id]
	return a != nil && a.special
}

// SpecialCount is how many ids Options.Special adds around a text, or a pair.
func (t *Tokenizer) SpecialCount(pair bool) int { return t.post.added(pair) }

// Roles returns the special tokens by what they are for: as tokenizer_config.json says,
// else by the names that the families use.
func (t *Tokenizer) Roles() Roles { return t.roles }

// ChatTemplate is the Jinja template of tokenizer_config.json, or "".
func (t *Tokenizer) ChatTemplate() string { return t.template }

// MaxLength is model_max_length of tokenizer_config.json, or 0 where it sets no limit.
func (t *Tokenizer) MaxLength() int { return t.maxLength }

// Continuation is what the vocabulary has before tokens that go on with a word, as
// WordPiece's "##"; "" if it has nothing.
func (t *Tokenizer) Continuation() string {
	if m, ok := t.model.(*wordpiece); ok {
		return m.prefix
	}
	return ""
}

// Description names the family and the size, as "byte-level BPE, 50257 tokens".
func (t *Tokenizer) Description() string {
	return fmt.Sprintf("%s, %d tokens", t.family, t.size)
}

var errNoModel = errors.New("tokenizer: there is no model")
