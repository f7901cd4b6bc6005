// The word cache: words that were tokenized before. Slots are pointers to finished
// entries, swapped atomically: readers never wait, and newer words push out older ones.

package tokenizer

import (
	"hash/maphash"
	"slices"
	"strings"
	"sync/atomic"
)

const (
	cacheSets     = 1 << 14 // of two entries each
	cacheMaxWord  = 64      // bytes; longer words hardly repeat
	cacheMaxToken = 32
)

type cacheEntry struct {
	word string
	toks []token
}

type wordCache struct {
	seed maphash.Seed
	sets []atomic.Pointer[cacheEntry]
}

func newWordCache() *wordCache {
	return &wordCache{seed: maphash.MakeSeed(), sets: make([]atomic.Pointer[cacheEntry], 2*cacheSets)}
}

// get returns the tokens of a word, and where to put them if there are none.
func (c *wordCache) get(word string) (toks []token, set uint64, ok bool) {
	set = maphash.String(c.seed, word) & (cacheSets - 1) * 2
	if e := c.sets[set].Load(); e != nil && e.word == word {
		return e.toks, set, true
	}
	if e := c.sets[set+1].Load(); e != nil && e.word == word {
		return e.toks, set, true
	}
	return nil, set, false
}

func (c *wordCache) put(set uint64, word string, toks []token) {
	e := &cacheEntry{word: strings.Clone(word), toks: slices.Clone(toks)}
	c.sets[set+1].Store(c.sets[set].Swap(e))
}
