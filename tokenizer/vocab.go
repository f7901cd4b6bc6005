// The vocabulary of a model: token texts in one block of bytes, found by id through
// offsets and by text through an open-addressed table.

package tokenizer

import (
	"fmt"
	"hash/maphash"
	"math"
)

// tokenList is a vocabulary as it is read: texts end to end, with their ids.
type tokenList struct {
	text []byte
	ends []uint32 // end of each text
	ids  []int32
}

// add appends a token.
func (l *tokenList) add(text string, id int32) error {
	if len(l.text)+len(text) > math.MaxInt32 {
		return fmt.Errorf("vocabulary: more than %d bytes of text", math.MaxInt32)
	}
	l.text = append(l.text, text...)
	l.ends = append(l.ends, uint32(len(l.text)))
	l.ids = append(l.ids, id)
	return nil
}

// vocab is the finished vocabulary; it does not change any more.
type vocab struct {
	text  string
	ends  []uint32
	ids   []int32
	at    []int32 // id to entry+1; 0: no such id
	slots []int32 // hash table of entry+1
	seed  maphash.Seed
}

// idSlack is how far ids may run past the number of tokens before the file is refused:
// a hostile id would otherwise buy a table of gigabytes.
const idSlack = 1 << 16

// newVocab indexes a list. A text that occurs twice is an error, or with last its last id wins.
func newVocab(l tokenList, last bool) (*vocab, error) {
	v := &vocab{text: string(l.text), ends: l.ends, ids: l.ids, seed: maphash.MakeSeed()}
	size := int32(0)
	for i, id := range l.ids {
		if id < 0 || int(id) >= 2*len(l.ids)+idSlack {
			return nil, fmt.Errorf("vocabulary: token %q has id %d, with %d tokens in all", v.entry(int32(i)), id, len(l.ids))
		}
		size = max(size, id+1)
	}
	v.at = make([]int32, size)
	v.slots = make([]int32, len(l.ids)+len(l.ids)/2+1)
	for i := range int32(len(l.ids)) {
		id := l.ids[i]
		if old := v.at[id]; old != 0 {
			return nil, fmt.Errorf("vocabulary: tokens %q and %q have the same id %d", v.entry(old-1), v.entry(i), id)
		}
		v.at[id] = i + 1
		slot, found := v.probe(v.entry(i))
		if found && !last {
			return nil, fmt.Errorf("vocabulary: token %q occurs twice, as %d and %d", v.entry(i), l.ids[v.slots[slot]-1], id)
		}
		v.slots[slot] = i + 1
	}
	return v, nil
}

// entry is the text of the i-th token read.
func (v *vocab) entry(i int32) string {
	start := uint32(0)
	if i > 0 {
		start = v.ends[i-1]
	}
	return v.text[start:v.ends[i]]
}

// probe finds the slot of a text, or the free one where it would go.
func (v *vocab) probe(text string) (slot int, found bool) {
	n := uint64(len(v.slots))
	slot = int(maphash.String(v.seed, text) >> 32 * n >> 32)
	for v.slots[slot] != 0 {
		if v.entry(v.slots[slot]-1) == text {
			return slot, true
		}
		if slot++; slot == int(n) {
			slot = 0
		}
	}
	return slot, false
}

// id returns the id of a text, or -1.
func (v *vocab) id(text string) int32 {
	if slot, ok := v.probe(text); ok {
		return v.ids[v.slots[slot]-1]
	}
	return -1
}

// token returns the text of an id.
func (v *vocab) token(id int32) (string, bool) {
	if id < 0 || int(id) >= len(v.at) || v.at[id] == 0 {
		return "", false
	}
	return v.entry(v.at[id] - 1), true
}

// len is the number of ids that have a token.
func (v *vocab) len() int { return len(v.ids) }
