// A byte trie in flat arrays, built from sorted texts: the children of a node lie next
// to each other. WordPiece, Unigram and the added tokens walk it.

package tokenizer

import (
	"bytes"
	"slices"
)

// trie maps texts to values of zero and more.
type trie struct {
	labels []byte  // of node i: the byte that leads to it
	first  []int32 // first child of node i; the last is that of node i+1
	value  []int32 // of node i, or -1
	root   [256]int32
}

// maxTokenBytes bounds a text in a trie, and with it the time a match may take.
const maxTokenBytes = 4096

// buildTrie takes the texts in any order; of equal texts the last value stays.
func buildTrie(n int, text func(i int) string, value func(i int) int32) *trie {
	order := make([]int32, n)
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortStableFunc(order, func(a, b int32) int { return compareText(text(int(a)), text(int(b))) })
	t := &trie{labels: []byte{0}, value: []int32{-1}}
	// Level by level: a node is the range of sorted texts that share its prefix.
	type node struct{ lo, hi int32 }
	level := []node{{0, int32(n)}}
	for depth := 0; len(level) > 0; depth++ {
		var next []node
		base := len(t.first)
		for k, nd := range level {
			lo := nd.lo
			for lo < nd.hi && len(text(int(order[lo]))) == depth {
				t.value[base+k] = value(int(order[lo]))
				lo++
			}
			t.first = append(t.first, int32(len(t.labels)))
			for lo < nd.hi {
				b := text(int(order[lo]))[depth]
				hi := lo + 1
				for hi < nd.hi && text(int(order[hi]))[depth] == b {
					hi++
				}
				t.labels = append(t.labels, b)
				t.value = append(t.value, -1)
				next = append(next, node{lo, hi})
				lo = hi
			}
		}
		level = next
	}
	t.first = append(t.first, int32(len(t.labels)))
	for i := t.first[0]; i < t.first[1]; i++ {
		t.root[t.labels[i]] = i
	}
	return t
}

func compareText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// child follows b from a node; 0 is nowhere, as the root is nobody's child.
func (t *trie) child(node int32, b byte) int32 {
	if node == 0 {
		return t.root[b]
	}
	lo, hi := t.first[node], t.first[node+1]
	if hi-lo > 12 {
		if i, ok := slices.BinarySearch(t.labels[lo:hi], b); ok {
			return lo + int32(i)
		}
		return 0
	}
	if i := bytes.IndexByte(t.labels[lo:hi], b); i >= 0 {
		return lo + int32(i)
	}
	return 0
}

// walk follows a text from the root.
func (t *trie) walk(s string) (node int32, ok bool) {
	for i := range len(s) {
		if node = t.child(node, s[i]); node == 0 {
			return 0, false
		}
	}
	return node, true
}
