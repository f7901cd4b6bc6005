// SentencePiece's two models over its pieces. BPE merges any neighbours whose joined text
// is a piece, the highest score first; Unigram searches the best path in float32, over
// the whole text as one word. (The readers of tokenizer.json have their own.)

package tokenizer

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"unicode/utf8"
)

// spSpec is a modelSpec of SentencePiece's pieces.
type spSpec struct{ m *sentencePiece }

func (s spSpec) family(bool) string {
	switch {
	case s.m.unigram:
		return "SentencePiece Unigram"
	case s.m.byteFallback:
		return "SentencePiece BPE with byte fallback"
	}
	return "SentencePiece BPE"
}

func (s spSpec) repeats() bool { return false }

func (s spSpec) build(v *vocab, _ bool) (model, bool, error) {
	p := pieceSet{vocab: v, kinds: s.m.kinds, unk: s.m.unk}
	if s.m.byteFallback {
		p.bytes = new([256]int32)
		for b := range p.bytes {
			name := fmt.Sprintf("<0x%02X>", b)
			if p.bytes[b] = v.id(name); p.bytes[b] < 0 || p.kinds[p.bytes[b]] != pieceByte {
				return nil, false, fmt.Errorf("model: byte fallback needs the byte piece %s", name)
			}
		}
	}
	if s.m.unigram {
		m, err := newSPUnigram(p, s.m.scores)
		return m, false, err
	}
	return newSPBPE(p, s.m.scores), false, nil
}

// pieceSet is what both models know of the pieces.
type pieceSet struct {
	vocab *vocab
	kinds []pieceKind // by id
	unk   int32
	bytes *[256]int32 // nil: no byte fallback
}

// inText tells whether a piece can be made of text: control, byte and unknown pieces
// are not, even where their names occur.
func (p *pieceSet) inText(id int32) bool {
	k := p.kinds[id]
	return k == pieceNormal || k == pieceDefined || k == pieceUnused
}

// emit appends the token of word[start:end]. Unknown text becomes its bytes, or one
// unknown token, however many of them touch.
func (p *pieceSet) emit(st *state, from int, word string, id, start, end int32) {
	switch last := len(st.toks) - 1; {
	case id != p.unk:
		st.toks = append(st.toks, token{id, start, end})
	case p.bytes != nil:
		for i := start; i < end; i++ {
			st.toks = append(st.toks, token{p.bytes[word[i]], start, end})
		}
	case last >= from && st.toks[last].id == p.unk && st.toks[last].end == start:
		st.toks[last].end = end
	default:
		st.toks = append(st.toks, token{id, start, end})
	}
}

func (p *pieceSet) unknown() (int32, bool) { return p.unk, true }

// spBPE is SentencePiece's BPE.
type spBPE struct {
	pieceSet
	ranks   []int32 // by id: the place of its score, best first; MaxInt32: nothing merges into it
	longest int32   // bytes of the longest piece
	defined *trie   // user-defined pieces, nil: none
	unused  bool    // there are unused pieces
}

func newSPBPE(p pieceSet, scores []float32) *spBPE {
	m := &spBPE{pieceSet: p, ranks: make([]int32, len(scores))}
	order := make([]int32, len(scores))
	var defined []int32
	for i := range order {
		id := int32(i)
		order[i], m.ranks[i] = id, math.MaxInt32
		text, _ := p.vocab.token(id)
		m.longest = max(m.longest, int32(len(text)))
		m.unused = m.unused || p.kinds[i] == pieceUnused
		if p.kinds[i] == pieceDefined {
			defined = append(defined, id)
		}
	}
	slices.SortFunc(order, func(a, b int32) int { return cmp.Compare(scores[b], scores[a]) })
	rank := int32(0)
	for i, id := range order {
		if i > 0 && scores[id] != scores[order[i-1]] {
			rank++
		}
		if p.inText(id) {
			m.ranks[id] = rank
		}
	}
	m.defined = p.trieOf(defined)
	return m
}

// trieOf is the trie of some pieces, nil for none.
func (p *pieceSet) trieOf(ids []int32) *trie {
	if len(ids) == 0 {
		return nil
	}
	return buildTrie(len(ids), func(i int) string { text, _ := p.vocab.token(ids[i]); return text }, func(i int) int32 { return ids[i] })
}

// cutSet holds the neighbours that occur inside pieces: between all others a text can be
// cut before it is merged.
func (m *spBPE) cutSet() *cutSet {
	c := &cutSet{far: make(map[uint64]struct{}), fuse: m.bytes == nil, m: &bpe{vocab: m.vocab}}
	for id := range m.kinds {
		if !m.inText(int32(id)) {
			continue
		}
		text, _ := m.vocab.token(int32(id))
		last := rune(-1)
		for _, r := range text {
			if last >= 0 {
				c.add(last, r)
			}
			last = r
		}
	}
	return c
}

func (m *spBPE) tokenize(st *state, word string) {
	from := len(st.toks)
	start := 0
	if m.defined != nil {
		for i := 0; i < len(word); {
			size := m.defined.longestText(word[i:])
			if size == 0 {
				_, size = utf8.DecodeRuneInString(word[i:])
				i += size
				continue
			}
			m.stretch(st, from, word, start, i)
			m.emit(st, from, word, m.vocab.id(word[i:i+size]), int32(i), int32(i+size))
			i += size
			start = i
		}
	}
	m.stretch(st, from, word, start, len(word))
}

// joined is the piece that word[start:end] is, and its rank: MaxInt32 if it is none.
func (m *spBPE) joined(word string, start, end int32) (id, rank int32) {
	if end-start > m.longest {
		return -1, math.MaxInt32
	}
	if id = m.vocab.id(word[start:end]); id < 0 {
		return id, math.MaxInt32
	}
	return id, m.ranks[id]
}

// stretch tokenizes word[lo:hi], which has no user-defined piece in it. In its symbols
// rank is where the symbol starts, into the left part of the last merge.
func (m *spBPE) stretch(st *state, from int, word string, lo, hi int) {
	st.syms = st.syms[:0]
	for i := lo; i < hi; {
		_, n := utf8.DecodeRuneInString(word[i:])
		k := int32(len(st.syms))
		st.syms = append(st.syms, symbol{size: int32(n), rank: int32(i), prev: k - 1, next: k + 1})
		i += n
	}
	if len(st.syms) == 0 {
		return
	}
	st.syms[len(st.syms)-1].next = -1
	var splits map[string]int32
	if m.unused {
		splits = map[string]int32{}
	}
	m.mergeAll(st, word, splits)
	for i := int32(0); i >= 0; i = st.syms[i].next {
		s := &st.syms[i]
		m.resegment(st, from, word, s.rank, s.rank+s.size, splits)
	}
}

// mergeAll merges the linked symbols, the best rank first and of equal ones the leftmost.
// splits gets the left parts of what merges into unused pieces.
func (m *spBPE) mergeAll(st *state, word string, splits map[string]int32) {
	syms := st.syms
	h := st.heap[:0]
	push := func(i int32) {
		right := syms[i].next
		if right < 0 {
			return
		}
		start, size := syms[i].rank, syms[i].size+syms[right].size
		id, rank := m.joined(word, start, start+size)
		if rank == math.MaxInt32 {
			return
		}
		h = heapPush(h, candidate{uint64(rank)<<32 | uint64(i), size})
		if m.kinds[id] == pieceUnused {
			splits[word[start:start+size]] = syms[i].size
		}
	}
	for i := range syms {
		push(int32(i))
	}
	for len(h) > 0 {
		var c candidate
		c, h = heapPop(h)
		i := int32(c.key & math.MaxUint32)
		left := &syms[i]
		if left.size == 0 || left.next < 0 || left.size+syms[left.next].size != c.into {
			continue // one of the two has merged since
		}
		right := &syms[left.next]
		left.size += right.size
		right.size = 0
		if left.next = right.next; left.next >= 0 {
			syms[left.next].prev = i
		}
		if left.prev >= 0 {
			push(left.prev)
		}
		push(i)
	}
	st.heap = h
}

// resegment emits word[start:end], and in place of an unused piece the two it was made of.
func (m *spBPE) resegment(st *state, from int, word string, start, end int32, splits map[string]int32) {
	id := m.vocab.id(word[start:end])
	if id >= 0 && m.kinds[id] == pieceUnused {
		if left, ok := splits[word[start:end]]; ok {
			m.resegment(st, from, word, start, start+left, splits)
			m.resegment(st, from, word, start+left, end, splits)
			return
		}
	}
	if id < 0 || !m.inText(id) {
		id = m.unk
	}
	m.emit(st, from, word, id, start, end)
}

// spUnigram is SentencePiece's Unigram, its EncodeOptimized.
type spUnigram struct {
	pieceSet
	trie     *trie
	scores   []float32
	unkScore float32
}

// definedBonus is the score of a user-defined piece for each byte behind its first
// (measured on sentencepiece 0.2.3: it does not depend on other scores).
const definedBonus = 0.1

func newSPUnigram(p pieceSet, scores []float32) (*spUnigram, error) {
	m := &spUnigram{pieceSet: p, scores: scores}
	least := float32(math.MaxFloat32)
	var ids []int32
	for i, kind := range p.kinds {
		if kind == pieceNormal {
			least = min(least, scores[i])
		}
		if p.inText(int32(i)) {
			ids = append(ids, int32(i))
		}
	}
	if len(ids) == 0 {
		return nil, errors.New("model: there are no pieces of text")
	}
	m.unkScore = least - unknownPenalty
	m.trie = p.trieOf(ids)
	return m, nil
}

func (m *spUnigram) tokenize(st *state, word string) {
	best := st.nodes[:0]
	for range len(word) + 1 {
		best = append(best, node{start: -1})
	}
	st.nodes = best
	for i := 0; i < len(word); {
		here := float32(best[i].score)
		_, size := utf8.DecodeRuneInString(word[i:])
		single := false
		for n, end := int32(0), i; end < len(word); {
			if n = m.trie.child(n, word[end]); n == 0 {
				break
			}
			end++
			id := m.trie.value[n]
			if id < 0 || m.kinds[id] == pieceUnused {
				continue
			}
			score := m.scores[id]
			if m.kinds[id] == pieceDefined {
				score = definedBonus * float32(end-i-1)
			}
			best[end].offer(float64(here+score), i, id)
			single = single || end-i == size
		}
		if !single {
			best[i+size].offer(float64(here+m.unkScore), i, m.unk)
		}
		i += size
	}
	m.backtrack(st, word, best)
}

// backtrack emits the best path.
func (m *spUnigram) backtrack(st *state, word string, best []node) {
	path := st.path[:0]
	for end := int32(len(word)); end > 0; end = best[end].start {
		path = append(path, token{best[end].id, best[end].start, end})
	}
	st.path = path
	from := len(st.toks)
	for i := len(path) - 1; i >= 0; i-- {
		m.emit(st, from, word, path[i].id, path[i].start, path[i].end)
	}
}
