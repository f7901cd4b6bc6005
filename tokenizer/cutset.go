// Where a long word may be cut before merging. A merge can only join two characters
// if some token has them side by side; between all others words fall apart, exactly.
// It turns a whole SentencePiece text, which is one word, into words that repeat.

package tokenizer

import "unicode/utf8"

// cutSet holds the pairs of neighbouring characters inside the results of merges.
type cutSet struct {
	near [cutNear * cutNear]bool // both below cutNear, by cutIndex
	far  map[uint64]struct{}
	fuse bool
	m    *bpe
}

// ASCII and U+2581 have their own small table.
const cutNear = utf8.RuneSelf + 1

func cutIndex(r rune) int {
	if r < utf8.RuneSelf {
		return int(r)
	}
	if r == '▁' {
		return utf8.RuneSelf
	}
	return cutNear
}

// newCutSet returns nil where cutting would not be exact: with affixes, which depend on
// the ends of a word, or if bytes or unknowns take part in merges.
func newCutSet(m *bpe, merges []merge) *cutSet {
	if m.prefix != "" || m.suffix != "" || m.ignoreMerges {
		return nil
	}
	bad := make(map[int32]bool, 257)
	some, all := false, true
	for _, id := range m.bytes {
		if id >= 0 {
			bad[id] = true
			some = true
		}
		all = all && id >= 0
	}
	if some && !all || m.unkID < 0 && !all {
		return nil // an unknown may stand behind bytes that follow it; what vanishes lets its neighbours meet
	}
	if m.unkID >= 0 {
		bad[m.unkID] = true
	}
	c := &cutSet{far: make(map[uint64]struct{}), fuse: m.fuseUnk && !all, m: m}
	for _, mg := range merges {
		if bad[mg.left] || bad[mg.right] {
			return nil
		}
		left, _ := m.vocab.token(mg.left)
		right, _ := m.vocab.token(mg.right)
		// Inner neighbours of left and right are those of other merges' seams, or never meet.
		a, _ := utf8.DecodeLastRuneInString(left)
		b, _ := utf8.DecodeRuneInString(right)
		c.add(a, b)
	}
	return c
}

func (c *cutSet) add(a, b rune) {
	if i, j := cutIndex(a), cutIndex(b); i < cutNear && j < cutNear {
		c.near[i*cutNear+j] = true
		return
	}
	c.far[uint64(a)<<32|uint64(b)] = struct{}{}
}

// joins reports whether a and b may end up in one token.
func (c *cutSet) joins(a, b rune) bool {
	if i, j := cutIndex(a), cutIndex(b); i < cutNear && j < cutNear {
		if c.near[i*cutNear+j] {
			return true
		}
	} else if _, ok := c.far[uint64(a)<<32|uint64(b)]; ok {
		return true
	}
	return c.fuse && c.unknown(a) && c.unknown(b)
}

// unknown reports whether a character has no token of its own: with fuse_unk two of
// them in a row are one unknown.
func (c *cutSet) unknown(r rune) bool {
	var b [utf8.UTFMax]byte
	return c.m.vocab.id(string(b[:utf8.EncodeRune(b[:], r)])) < 0
}

// end returns where the part of s that begins at i ends.
func (c *cutSet) end(s string, i int) int {
	a, n := utf8.DecodeRuneInString(s[i:])
	for i += n; i < len(s); i += n {
		var b rune
		b, n = utf8.DecodeRuneInString(s[i:])
		if !c.joins(a, b) {
			break
		}
		a = b
	}
	return i
}
