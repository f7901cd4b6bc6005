// The pipeline: added tokens are cut out, the rest is normalized, split into words
// and handed to the model; a sink collects ids alone or ids with their offsets.

package tokenizer

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// state is the scratch of one call, kept between calls.
type state struct {
	t     *Tokenizer
	track bool // alignments are needed
	full  bool // texts and offsets are wanted
	cur   int  // the normalization buffer that may be in use
	norm  [2]buffer
	pre   [][2]buffer // two a pre-tokenizer

	opt   *Options
	limit int // bytes that a piece may grow to
	err   error
	ids   []int32  // sink: ids only
	parts []part   // sink: full
	words int32    // the number of the present word of the text
	texts []string // of parts that are not spelled as the vocabulary does

	toks  []token // of the word at hand
	syms  []symbol
	heap  []candidate
	nodes []node
	path  []token
	affix []byte
}

// part is one token of a text, with its bytes of the original.
type part struct {
	id      int32
	span    span
	text    int32 // index into state.texts; -1: what the vocabulary says
	word    int32 // counted within the text
	special bool
}

// spare is the normalization buffer that the current piece does not live in.
func (st *state) spare() *buffer {
	st.cur ^= 1
	return &st.norm[st.cur]
}

// keepScratch is up to how many bytes of scratch a call leaves for the next one.
const keepScratch = 1 << 20

func (t *Tokenizer) state() *state {
	if st, ok := t.states.Get().(*state); ok {
		return st
	}
	return &state{t: t, pre: make([][2]buffer, len(t.pre)+1)}
}

func (t *Tokenizer) release(st *state) {
	size := cap(st.norm[0].text) + cap(st.norm[1].text) + 8*(cap(st.norm[0].al)+cap(st.norm[1].al)) +
		24*cap(st.parts) + 16*cap(st.texts) + 24*cap(st.syms) + 16*cap(st.heap) + 16*cap(st.nodes) + 12*cap(st.toks)
	for i := range st.pre {
		for k := range st.pre[i] {
			size += cap(st.pre[i][k].text) + 8*cap(st.pre[i][k].al)
		}
	}
	st.ids, st.opt = nil, nil
	st.parts = st.parts[:0]
	clear(st.texts)
	st.texts = st.texts[:0]
	if size <= keepScratch {
		t.states.Put(st)
	}
}

// maxGrowth bounds what a hostile chain of normalizers makes of a text. The most that
// Unicode itself asks for is 11, of U+FDFA in NFKC.
const maxGrowth = 32

// run tokenizes one text into the sink.
func (st *state) run(text string, o *Options) error {
	t := st.t
	st.opt, st.err, st.words = o, nil, -1
	st.track = st.full || t.needTrack
	st.limit = maxGrowth*len(text) + 4096
	st.norm[0].limit, st.norm[1].limit = st.limit, st.limit
	for k := range st.pre {
		st.pre[k][0].limit, st.pre[k][1].limit = st.limit, st.limit
	}
	whole := piece{s: text}
	var mended buffer
	if !utf8.ValidString(text) {
		whole = mend(text, &mended)
		st.track = true
	}
	if t.raw == nil {
		st.segment(whole)
		return st.err
	}
	t.raw.split(whole.s, func(a *addedToken, start, end int) bool { return t.allowed(a, whole.origin(start, end), o) },
		func(start, end int) { st.segment(whole.slice(start, end)) },
		func(a *addedToken, start, end int) { st.added(a, whole, start, end) })
	return st.err
}

// mend replaces every byte that is not part of a UTF-8 character by U+FFFD.
func mend(text string, buf *buffer) piece {
	for i, r := range text {
		_, n := utf8.DecodeRuneInString(text[i:])
		at := span{int32(i), int32(i + n)}
		from := len(buf.text)
		buf.text = utf8.AppendRune(buf.text, r)
		for ; from < len(buf.text); from++ {
			buf.al = append(buf.al, at)
		}
	}
	return piece{s: view(buf.text), al: buf.al}
}

// allowed decides whether an added token may be recognised at a range of the original text.
func (t *Tokenizer) allowed(a *addedToken, at span, o *Options) bool {
	if !a.special {
		return true
	}
	if !o.Parse {
		ok := false
		for _, id := range o.Allow {
			ok = ok || id == a.id
		}
		if !ok {
			return false
		}
	}
	for _, r := range o.Plain {
		if int(at.start) < r[1] && r[0] < int(at.end) {
			return false
		}
	}
	return true
}

// segment takes a stretch of text between special tokens.
func (st *state) segment(p piece) {
	t := st.t
	for _, n := range t.norm {
		p = n.normalize(p, st)
		if !st.fits(p) {
			return
		}
	}
	if p.s == "" {
		return
	}
	if t.normalized == nil {
		st.next(0, p.slice(0, len(p.s)))
		return
	}
	o := st.opt
	t.normalized.split(p.s, func(a *addedToken, start, end int) bool { return t.allowed(a, p.origin(start, end), o) },
		func(start, end int) { st.next(0, p.slice(start, end)) },
		func(a *addedToken, start, end int) { st.added(a, p, start, end) })
}

// fits fails the call if a piece has grown beyond the limit.
func (st *state) fits(p piece) bool {
	if len(p.s) > st.limit && st.err == nil {
		st.err = fmt.Errorf("tokenizer: normalization makes a text more than %d times longer", maxGrowth)
	}
	return st.err == nil
}

// added puts an added token into the sink.
func (st *state) added(a *addedToken, p piece, start, end int) {
	if !st.full {
		st.ids = append(st.ids, a.id)
		return
	}
	st.texts = append(st.texts, strings.Clone(p.s[start:end]))
	st.words++
	st.parts = append(st.parts, part{a.id, p.origin(start, end), int32(len(st.texts) - 1), st.words, a.special})
}

// next hands a piece to the k-th pre-tokenizer, or to the model behind the last.
func (st *state) next(k int, p piece) {
	if p.s == "" || !st.fits(p) {
		return
	}
	if k < len(st.t.pre) {
		st.t.pre[k].split(p, st, k)
		return
	}
	st.words++
	c := st.t.cuts
	if c == nil || len(p.s) <= cacheMaxWord && st.t.cache != nil {
		st.word(p)
		return
	}
	for i := 0; i < len(p.s); {
		end := c.end(p.s, i)
		st.word(p.slice(i, end))
		i = end
	}
}

// word tokenizes one word, from the cache if it has been seen.
func (st *state) word(p piece) {
	t := st.t
	if len(p.s) > cacheMaxWord {
		st.toks = st.toks[:0]
		t.model.tokenize(st, p.s)
		st.emit(p, st.toks)
		return
	}
	toks, set, ok := t.cache.get(p.s)
	if !ok {
		st.toks = st.toks[:0]
		t.model.tokenize(st, p.s)
		if toks = st.toks; len(toks) <= cacheMaxToken {
			t.cache.put(set, p.s, toks)
		}
	}
	st.emit(p, toks)
}

// emit puts the tokens of a word into the sink.
func (st *state) emit(p piece, toks []token) {
	if !st.full {
		for i := range toks {
			st.ids = append(st.ids, toks[i].id)
		}
		return
	}
	for _, k := range toks {
		text := int32(-1)
		if st.t.spells && k.id == st.t.unknown {
			st.texts = append(st.texts, strings.Clone(p.s[k.start:k.end]))
			text = int32(len(st.texts) - 1)
		}
		st.parts = append(st.parts, part{k.id, p.origin(int(k.start), int(k.end)), text, st.words, false})
	}
}

// text is the text of a part as the reference reports it.
func (st *state) text(p *part) string {
	if p.text >= 0 {
		return st.texts[p.text]
	}
	s, _ := st.t.vocab.token(p.id)
	return s
}
