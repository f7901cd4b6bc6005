// Added tokens: texts that are cut out of the input before the model sees it.

package tokenizer

import (
	"strings"
)

// addedToken is one entry of added_tokens.
type addedToken struct {
	id                         int32
	content                    string
	singleWord, lstrip, rstrip bool
	normalized, special        bool
	text                       string // what decoding starts from: content, normalized where it is matched so
}

// matcher finds added tokens, the longest at the leftmost place.
type matcher struct {
	tokens []addedToken
	trie   *trie     // value: index into tokens
	first  []byte    // the bytes they begin with
	starts [256]bool // the same
}

func newMatcher(tokens []addedToken, text func(addedToken) string) *matcher {
	if len(tokens) == 0 {
		return nil
	}
	m := &matcher{tokens: tokens}
	m.trie = buildTrie(len(tokens), func(i int) string { return text(tokens[i]) }, func(i int) int32 { return int32(i) })
	for _, t := range tokens {
		if b := text(t)[0]; !m.starts[b] {
			m.starts[b] = true
			m.first = append(m.first, b)
		}
	}
	return m
}

// next returns the leftmost place in s[from:] where an added token may begin.
func (m *matcher) next(s string, from int) int {
	if len(m.first) == 1 {
		if n := strings.IndexByte(s[from:], m.first[0]); n >= 0 {
			return from + n
		}
		return len(s)
	}
	for ; from < len(s); from++ {
		if m.starts[s[from]] {
			break
		}
	}
	return from
}

// match returns the longest token at s[i:] that allowed does not refuse.
func (m *matcher) match(s string, i int, allowed func(t *addedToken, start, end int) bool) (*addedToken, int) {
	var best *addedToken
	bestEnd := i
	for node, end := int32(0), i; end < len(s); {
		if node = m.trie.child(node, s[end]); node == 0 {
			break
		}
		end++
		if v := m.trie.value[node]; v >= 0 && allowed(&m.tokens[v], i, end) {
			best, bestEnd = &m.tokens[v], end
		}
	}
	return best, bestEnd
}

// split hands the tokens and the text between them, in order, to token and text.
func (m *matcher) split(s string, allowed func(t *addedToken, start, end int) bool, text func(start, end int), token func(t *addedToken, start, end int)) {
	done := 0
	for i := m.next(s, 0); i < len(s); {
		t, end := m.match(s, i, allowed)
		if t == nil {
			i = m.next(s, i+1)
			continue
		}
		start, stop := i, end
		i = end
		if t.singleWord && !m.alone(s, start, stop) {
			i = m.next(s, i)
			continue
		}
		if t.lstrip {
			start = max(spaceBefore(s, start), done)
		}
		if t.rstrip {
			stop = run(s, stop, classSpace)
		}
		if done < start {
			text(done, start)
		}
		token(t, start, stop)
		done = stop
		i = m.next(s, i)
	}
	if done < len(s) {
		text(done, len(s))
	}
}

// alone reports whether no word character touches s[start:end].
func (m *matcher) alone(s string, start, end int) bool {
	if start > 0 {
		if class, _ := classBefore(s, start); class&classWord != 0 {
			return false
		}
	}
	if end < len(s) {
		if class, _ := classAt(s, end); class&classWord != 0 {
			return false
		}
	}
	return true
}

// spaceBefore is where the white space that ends at s[:i] begins.
func spaceBefore(s string, i int) int {
	for i > 0 {
		class, n := classBefore(s, i)
		if class&classSpace == 0 {
			break
		}
		i -= n
	}
	return i
}
