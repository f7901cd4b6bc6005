// WordPiece: the longest token first, and what follows in a word carries a prefix.
// WordLevel: a word is a token or unknown.

package tokenizer

import (
	"fmt"
	"unicode/utf8"
)

type wordpiece struct {
	vocab    *vocab
	trie     *trie // value: id
	inner    int32 // node below which the tokens inside a word stand
	hasInner bool
	prefix   string // what they begin with
	unk      int32
	maxChars int
}

func newWordPiece(v *vocab, unk, prefix string, maxChars int) (*wordpiece, error) {
	m := &wordpiece{vocab: v, unk: v.id(unk), prefix: prefix, maxChars: maxChars}
	if m.unk < 0 {
		return nil, fmt.Errorf("model: unk_token %q is not in the vocabulary", unk)
	}
	var err error
	if m.trie, err = vocabTrie(v); err != nil {
		return nil, err
	}
	m.inner, m.hasInner = m.trie.walk(prefix)
	return m, nil
}

// vocabTrie is the trie of a whole vocabulary.
func vocabTrie(v *vocab) (*trie, error) {
	for i := range v.ids {
		if n := len(v.entry(int32(i))); n > maxTokenBytes {
			return nil, fmt.Errorf("vocabulary: the token with id %d has %d bytes, more than %d", v.ids[i], n, maxTokenBytes)
		}
	}
	return buildTrie(v.len(), func(i int) string { return v.entry(int32(i)) }, func(i int) int32 { return v.ids[i] }), nil
}

func (m *wordpiece) tokenize(st *state, word string) {
	if len(word) > m.maxChars && utf8.RuneCountInString(word) > m.maxChars {
		st.toks = append(st.toks, token{m.unk, 0, int32(len(word))})
		return
	}
	from := len(st.toks)
	for start := 0; start < len(word); {
		node := int32(0)
		if start > 0 {
			if !m.hasInner {
				break
			}
			node = m.inner
		}
		id, stop := int32(-1), start
		for end := start; end < len(word); {
			if node = m.trie.child(node, word[end]); node == 0 {
				break
			}
			end++
			if v := m.trie.value[node]; v >= 0 {
				id, stop = v, end
			}
		}
		if id < 0 {
			break
		}
		st.toks = append(st.toks, token{id, int32(start), int32(stop)})
		start = stop
	}
	if n := len(st.toks); n == from || int(st.toks[n-1].end) != len(word) {
		st.toks = append(st.toks[:from], token{m.unk, 0, int32(len(word))})
	}
}

type wordlevel struct {
	vocab *vocab
	unk   int32
}

func newWordLevel(v *vocab, unk string) (*wordlevel, error) {
	m := &wordlevel{vocab: v, unk: v.id(unk)}
	if m.unk < 0 {
		return nil, fmt.Errorf("model: unk_token %q is not in the vocabulary", unk)
	}
	return m, nil
}

func (m *wordlevel) tokenize(st *state, word string) {
	id := m.vocab.id(word)
	if id < 0 {
		id = m.unk
	}
	st.toks = append(st.toks, token{id, 0, int32(len(word))})
}

func (m *wordpiece) unknown() (int32, bool) { return m.unk, false }

func (m *wordlevel) unknown() (int32, bool) { return m.unk, false }
