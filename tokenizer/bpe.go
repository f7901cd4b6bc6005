// Byte pair encoding: the pair of neighbours with the lowest rank merges, leftmost
// first, until none is left. Over bytes (GPT-2 and its heirs) or characters (SentencePiece).

package tokenizer

import (
	"fmt"
	"hash/maphash"
	"math"
	"unicode/utf8"
)

// token is a token of a word, with the bytes of the word it stands for.
type token struct{ id, start, end int32 }

// model cuts words into tokens.
type model interface {
	// tokenize appends the tokens of a word that is not empty to st.toks.
	tokenize(st *state, word string)
	// unknown is the id of unknown text, or -1; spelled says that such a token is reported
	// with the text it stands for.
	unknown() (id int32, spelled bool)
}

// merge says that left and right may become id; lower ranks go first.
type merge struct{ left, right, id, rank int32 }

// bpeSpec is what a BPE model is built from.
type bpeSpec struct {
	merges       []merge
	unk          string // "": characters without a token vanish
	fuseUnk      bool
	byteFallback bool
	ignoreMerges bool // a word that is a token is that token
	prefix       string
	suffix       string
}

type bpe struct {
	bpeSpec
	vocab *vocab
	pairs pairTable
	unkID int32

	raw      bool       // words are bytes, not their printable stand-ins
	bytes    [256]int32 // raw: initial tokens; else the byte fallback's, or -1
	lasts    [256]int32 // raw with a suffix: the initial tokens at the end of a word
	rawVocab map[string]int32

	cuts *cutSet // nil: a word cannot be cut further before merging
}

// newBPE builds the model. raw asks for words as bytes; it is granted if every byte that
// UTF-8 uses has a token, and otherwise the caller must map the bytes.
func newBPE(s bpeSpec, v *vocab, raw bool) (*bpe, error) {
	m := &bpe{bpeSpec: s, vocab: v, unkID: -1}
	if s.unk != "" {
		m.unkID = v.id(s.unk)
	}
	m.pairs = newPairTable(s.merges)
	m.merges = nil
	if raw {
		m.raw = m.rawTokens()
	}
	if m.raw {
		return m, nil
	}
	all := true
	for b := range m.bytes {
		m.bytes[b] = -1
		if s.byteFallback {
			m.bytes[b] = v.id(fmt.Sprintf("<0x%02X>", b))
		}
		all = all && m.bytes[b] >= 0
	}
	if s.unk != "" && m.unkID < 0 && !all {
		return nil, fmt.Errorf("model: unk_token %q is not in the vocabulary", s.unk)
	}
	m.cuts = newCutSet(m, s.merges)
	return m, nil
}

// rawTokens fills the tables of the byte form; false if a byte is missing.
func (m *bpe) rawTokens() bool {
	if m.prefix != "" || m.byteFallback {
		return false
	}
	for b := range m.bytes {
		m.bytes[b] = m.vocab.id(string(byteRunes[b]))
		m.lasts[b] = m.bytes[b]
		if m.suffix != "" {
			m.lasts[b] = m.vocab.id(string(byteRunes[b]) + m.suffix)
		}
		used := b != 0xC0 && b != 0xC1 && b < 0xF5
		if used && (m.bytes[b] < 0 || m.lasts[b] < 0) {
			return false
		}
	}
	if m.ignoreMerges {
		m.rawVocab = make(map[string]int32, m.vocab.len())
		var text []byte
		for i, id := range m.vocab.ids {
			var ok bool
			if text, ok = unmapText(text[:0], m.vocab.entry(int32(i))); ok {
				m.rawVocab[string(text)] = id
			}
		}
	}
	return true
}

// unmapText appends the bytes that a text of printable stand-ins means.
func unmapText(dst []byte, text string) ([]byte, bool) {
	for _, r := range text {
		b, ok := unmapByte(r)
		if !ok {
			return dst, false
		}
		dst = append(dst, b)
	}
	return dst, true
}

func (m *bpe) tokenize(st *state, word string) {
	if m.ignoreMerges {
		id, ok := int32(-1), false
		if m.raw {
			id, ok = m.rawVocab[word]
		} else if id = m.vocab.id(word); id >= 0 {
			ok = true
		}
		if ok {
			st.toks = append(st.toks, token{id, 0, int32(len(word))})
			return
		}
	}
	st.syms = st.syms[:0]
	if m.raw {
		for i := range len(word) {
			st.syms = append(st.syms, symbol{id: m.bytes[word[i]], size: 1})
		}
		if m.suffix != "" {
			st.syms[len(word)-1].id = m.lasts[word[len(word)-1]]
		}
	} else {
		m.characters(st, word)
	}
	m.merge(st)
	at := int32(0)
	for _, s := range st.syms {
		st.toks = append(st.toks, token{s.id, at, at + s.size})
		at += s.size
	}
}

// characters fills st.syms with the tokens of the word's characters.
func (m *bpe) characters(st *state, word string) {
	unk := int32(0) // bytes of the unknown that is pending
	for i := 0; i < len(word); {
		_, n := utf8.DecodeRuneInString(word[i:])
		s := word[i : i+n]
		if m.prefix != "" && i > 0 || m.suffix != "" && i+n == len(word) {
			s = m.affixed(st, s, i > 0, i+n == len(word))
		}
		i += n
		if id := m.vocab.id(s); id >= 0 {
			if unk > 0 {
				st.syms = append(st.syms, symbol{id: m.unkID, size: unk})
				unk = 0
			}
			st.syms = append(st.syms, symbol{id: id, size: int32(n)})
			continue
		}
		if m.byteFallback && m.fallback(st, s) {
			continue
		}
		if m.unkID < 0 {
			continue
		}
		if unk > 0 && !m.fuseUnk {
			st.syms = append(st.syms, symbol{id: m.unkID, size: unk})
			unk = 0
		}
		unk += int32(n)
	}
	if unk > 0 {
		st.syms = append(st.syms, symbol{id: m.unkID, size: unk})
	}
}

func (m *bpe) affixed(st *state, s string, prefix, suffix bool) string {
	st.affix = st.affix[:0]
	if prefix {
		st.affix = append(st.affix, m.prefix...)
	}
	st.affix = append(st.affix, s...)
	if suffix {
		st.affix = append(st.affix, m.suffix...)
	}
	return view(st.affix)
}

// fallback appends a token for each byte, if all have one.
func (m *bpe) fallback(st *state, s string) bool {
	for i := range len(s) {
		if m.bytes[s[i]] < 0 {
			return false
		}
	}
	for i := range len(s) {
		st.syms = append(st.syms, symbol{id: m.bytes[s[i]], size: 1})
	}
	return true
}

// symbol is a token while its word is being merged.
type symbol struct {
	id, size   int32
	rank       int32 // of the merge with the right neighbour
	into       int32 // what that merge makes
	prev, next int32 // in long words
}

// shortWord is up to where scanning all pairs for the best beats a heap.
const shortWord = 48

// merge merges st.syms until no pair of neighbours can be.
func (m *bpe) merge(st *state) {
	syms := st.syms
	if len(syms) > shortWord {
		m.mergeLong(st)
		return
	}
	for i := range len(syms) - 1 {
		syms[i].into, syms[i].rank = m.pairs.get(syms[i].id, syms[i+1].id)
	}
	for len(syms) > 1 {
		best, at := int32(math.MaxInt32), -1
		for i := range len(syms) - 1 {
			if syms[i].rank < best {
				best, at = syms[i].rank, i
			}
		}
		if at < 0 {
			break
		}
		syms[at].id = syms[at].into
		syms[at].size += syms[at+1].size
		syms = append(syms[:at+1], syms[at+2:]...)
		if at+1 < len(syms) {
			syms[at].into, syms[at].rank = m.pairs.get(syms[at].id, syms[at+1].id)
		}
		if at > 0 {
			syms[at-1].into, syms[at-1].rank = m.pairs.get(syms[at-1].id, syms[at].id)
		}
	}
	st.syms = syms
}

// candidate is a merge that may be done: its rank and place in one number, and its result.
type candidate struct {
	key  uint64 // rank<<32 | place of the left symbol
	into int32
}

// mergeLong does the same with a linked list and a heap: n log n.
func (m *bpe) mergeLong(st *state) {
	syms := st.syms
	h := st.heap[:0]
	push := func(i int32) {
		if right := syms[i].next; right >= 0 {
			if into, rank := m.pairs.get(syms[i].id, syms[right].id); rank != math.MaxInt32 {
				h = heapPush(h, candidate{uint64(rank)<<32 | uint64(i), into})
			}
		}
	}
	for i := range syms {
		syms[i].prev, syms[i].next = int32(i)-1, int32(i)+1
	}
	syms[len(syms)-1].next = -1
	for i := range syms {
		push(int32(i))
	}
	for len(h) > 0 {
		var c candidate
		c, h = heapPop(h)
		i := int32(c.key & math.MaxUint32)
		left := &syms[i]
		if left.size == 0 || left.next < 0 {
			continue
		}
		right := &syms[left.next]
		if into, _ := m.pairs.get(left.id, right.id); into != c.into {
			continue // one of the two has merged since
		}
		left.id = c.into
		left.size += right.size
		right.size = 0
		left.next = right.next
		if left.next >= 0 {
			syms[left.next].prev = i
		}
		if left.prev >= 0 {
			push(left.prev)
		}
		push(i)
	}
	st.heap = h
	kept := syms[:0]
	for i := int32(0); i >= 0; {
		s := syms[i]
		i = s.next
		kept = append(kept, s)
	}
	st.syms = kept
}

func heapPush(h []candidate, c candidate) []candidate {
	h = append(h, c)
	i := len(h) - 1
	for i > 0 {
		up := (i - 1) / 4
		if h[up].key <= c.key {
			break
		}
		h[i] = h[up]
		i = up
	}
	h[i] = c
	return h
}

func heapPop(h []candidate) (candidate, []candidate) {
	top := h[0]
	c := h[len(h)-1]
	h = h[:len(h)-1]
	if len(h) == 0 {
		return top, h
	}
	i := 0
	for {
		least := 4*i + 1
		if least >= len(h) {
			break
		}
		for k := least + 1; k < min(4*i+5, len(h)); k++ {
			if h[k].key < h[least].key {
				least = k
			}
		}
		if h[least].key >= c.key {
			break
		}
		h[i] = h[least]
		i = least
	}
	h[i] = c
	return top, h
}

// pairTable finds merges by their two tokens.
type pairTable struct {
	slots []pairSlot
	seed  uint64 // secret: a file cannot be made to collide
}

type pairSlot struct {
	pair uint64 // left<<32 | right, plus one: 0 is free
	into int32
	rank int32
}

// newPairTable takes the merges; of one pair the last counts.
func newPairTable(merges []merge) pairTable {
	t := pairTable{slots: make([]pairSlot, len(merges)+len(merges)/2+1), seed: maphash.Bytes(maphash.MakeSeed(), nil)}
	for _, m := range merges {
		s := t.slot(pairKey(m.left, m.right))
		*s = pairSlot{pairKey(m.left, m.right), m.id, m.rank}
	}
	return t
}

func pairKey(left, right int32) uint64 {
	return uint64(uint32(left))<<32 + uint64(uint32(right)) + 1
}

func (t pairTable) slot(key uint64) *pairSlot {
	h := (key ^ t.seed) * 0x9E3779B97F4A7C15
	h = (h ^ h>>29) * 0xBF58476D1CE4E5B9
	n := uint64(len(t.slots))
	i := (h >> 32) * n >> 32
	for {
		s := &t.slots[i]
		if s.pair == key || s.pair == 0 {
			return s
		}
		if i++; i == n {
			i = 0
		}
	}
}

// get returns what a pair merges into and its rank, or MaxInt32 as the rank.
func (t pairTable) get(left, right int32) (into, rank int32) {
	if s := t.slot(pairKey(left, right)); s.pair != 0 {
		return s.into, s.rank
	}
	return -1, math.MaxInt32
}

func (m *bpe) unknown() (int32, bool) { return m.unkID, false }
