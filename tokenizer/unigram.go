// Unigram: of all ways to cut a word into tokens the one with the highest sum of
// scores, by Viterbi over bytes (Kudo 2018; the search of SentencePiece's EncodeOptimized).

package tokenizer

import (
	"errors"
	"fmt"
	"math"
	"unicode/utf8"
)

// unknownPenalty is how far below the lowest score an unknown character is.
const unknownPenalty = 10.0

type unigram struct {
	vocab    *vocab
	trie     *trie
	scores   []float64 // by id
	unk      int32
	unkScore float64
	fallback bool
	bytes    [256]int32
}

// newUnigram builds the model; scores has one entry an id. unk is -1 for none: that is
// refused, as the first unknown character would have no token.
func newUnigram(v *vocab, scores []float64, unk int32, byteFallback bool) (*unigram, error) {
	if unk < 0 {
		return nil, errors.New("model: Unigram without unk_id is not supported")
	}
	if int(unk) >= len(scores) {
		return nil, fmt.Errorf("model: unk_id %d is outside the vocabulary of %d", unk, len(scores))
	}
	m := &unigram{vocab: v, scores: scores, unk: unk, fallback: byteFallback}
	least := math.Inf(1)
	for id, s := range scores {
		if math.IsNaN(s) || math.IsInf(s, 0) {
			return nil, fmt.Errorf("model: the score of id %d is not a number", id)
		}
		least = min(least, s)
	}
	m.unkScore = least - unknownPenalty
	for b := range m.bytes {
		m.bytes[b] = v.id(fmt.Sprintf("<0x%02X>", b))
	}
	var err error
	m.trie, err = vocabTrie(v)
	return m, err
}

// node is the best way to the end of a prefix of the word.
type node struct {
	score float64
	start int32 // of its last token; -1: not reached
	id    int32
}

func (m *unigram) tokenize(st *state, word string) {
	best := st.nodes[:0]
	for range len(word) + 1 {
		best = append(best, node{start: -1})
	}
	st.nodes = best
	for i := 0; i < len(word); {
		here := best[i].score
		_, size := utf8.DecodeRuneInString(word[i:])
		single := false
		for n, end := int32(0), i; end < len(word); {
			if n = m.trie.child(n, word[end]); n == 0 {
				break
			}
			end++
			if id := m.trie.value[n]; id >= 0 {
				best[end].offer(here+m.scores[id], i, id)
				single = single || end-i == size
			}
		}
		if !single {
			best[i+size].offer(here+m.unkScore, i, m.unk)
		}
		i += size
	}
	m.backtrack(st, word, best)
}

func (n *node) offer(score float64, start int, id int32) {
	if n.start < 0 || score > n.score {
		*n = node{score, int32(start), id}
	}
}

// backtrack appends the best path; unknowns in a row are one.
func (m *unigram) backtrack(st *state, word string, best []node) {
	from := len(st.toks)
	for end := int32(len(word)); end > 0; {
		n := best[end]
		t := token{n.id, n.start, end}
		end = n.start
		if last := len(st.toks) - 1; n.id == m.unk && last >= from && st.toks[last].id == m.unk {
			st.toks[last].start = t.start
			continue
		}
		st.toks = append(st.toks, t)
	}
	path := st.toks[from:]
	unknown := false
	for i, j := 0, len(path)-1; i < j; i, j = i+1, j-1 {
		path[i], path[j] = path[j], path[i]
	}
	for _, t := range path {
		unknown = unknown || t.id == m.unk
	}
	if unknown {
		m.resolve(st, word, from)
	}
}

// resolve replaces unknowns by a token of that text, or by their bytes.
func (m *unigram) resolve(st *state, word string, from int) {
	path := append(st.path[:0], st.toks[from:]...)
	st.path = path
	st.toks = st.toks[:from]
	for _, t := range path {
		if t.id == m.unk {
			text := word[t.start:t.end]
			if id := m.vocab.id(text); id >= 0 {
				t.id = id
			} else if m.fallback && m.hasBytes(text) {
				for i := range len(text) {
					st.toks = append(st.toks, token{m.bytes[text[i]], t.start, t.end})
				}
				continue
			}
		}
		st.toks = append(st.toks, t)
	}
}

func (m *unigram) hasBytes(text string) bool {
	for i := range len(text) {
		if m.bytes[text[i]] < 0 {
			return false
		}
	}
	return true
}

func (m *unigram) unknown() (int32, bool) { return m.unk, true }
