// Post-processors, truncation and padding: what happens once both texts are tokens.

package tokenizer

import (
	"fmt"
	"slices"
	"unicode/utf8"
)

// templateItem is a special token or one of the two texts.
type templateItem struct {
	ids    []int32
	texts  []string
	text   int // 0 or 1 for a text, -1 for special tokens
	typeID int32
}

// postProcessor is everything that follows the model. The zero value joins the texts.
type postProcessor struct {
	trims        []trim         // ByteLevel and Roberta, in order
	single, pair []templateItem // nil: no template
	flatTypes    bool           // without special tokens, the type ids stay those of the texts or become 0 (Roberta)
	keepOrder    bool           // Template: applies its order and type ids without special tokens too
}

// trim takes white space off the offsets of tokens.
type trim struct{ prefixSpace bool }

// added is the number of special tokens around one text or two.
func (p *postProcessor) added(pair bool) int {
	items, n := p.single, 0
	if pair {
		items = p.pair
	}
	for _, it := range items {
		n += len(it.ids)
	}
	return n
}

// apply moves the offsets of each token past the white space it carries, counted in characters.
func (t trim) apply(st *state, original string) {
	for i := range st.parts {
		p := &st.parts[i]
		text := st.text(p)
		lead, trail := 0, 0
		for _, r := range text {
			if !blank(r) {
				break
			}
			lead++
		}
		for s := text; s != ""; trail++ {
			r, n := utf8.DecodeLastRuneInString(s)
			if !blank(r) {
				break
			}
			s = s[:len(s)-n]
		}
		if lead == 1 && t.prefixSpace && (i == 0 || p.span.start == 0) {
			lead = 0 // the space in front is ours
		}
		for ; lead > 0 && p.span.start < p.span.end; lead-- {
			_, n := utf8.DecodeRuneInString(original[p.span.start:])
			p.span.start = min(p.span.start+int32(n), p.span.end)
		}
		end := p.span.end
		for ; trail > 0 && end > 0; trail-- {
			_, n := utf8.DecodeLastRuneInString(original[:end])
			end -= int32(n)
		}
		if trail == 0 {
			p.span.end = max(end, p.span.start)
		}
	}
}

// blank reports white space, also as its byte-level stand-in.
func blank(r rune) bool {
	return r == byteRunes[' '] || classTable.get(r)&classSpace != 0
}

// items is the form to use: the template's, or the texts as they are.
func (p *postProcessor) items(pair, special bool) []templateItem {
	items := p.single
	if pair {
		items = p.pair
	}
	if items != nil && (special || p.keepOrder) {
		return items
	}
	items = []templateItem{{text: 0}, {text: 1, typeID: 1}}
	if p.flatTypes {
		items[1].typeID = 0
	}
	if !pair {
		items = items[:1]
	}
	return items
}

// truncation is what the file asks for.
type truncation struct {
	length   int
	strategy string // "LongestFirst", "OnlyFirst", "OnlySecond"
	left     bool
}

// lengths returns how many tokens of each text stay, for at most length in all.
func (t truncation) lengths(n []int) ([]int, error) {
	total := 0
	for _, k := range n {
		total += k
	}
	if t.length <= 0 {
		return make([]int, len(n)), nil
	}
	if total <= t.length {
		return n, nil
	}
	if t.strategy == "LongestFirst" {
		if len(n) == 1 {
			return []int{t.length}, nil
		}
		return longestFirst(n[0], n[1], t.length), nil
	}
	i := 0
	if t.strategy == "OnlySecond" {
		if i = 1; len(n) < 2 {
			return nil, fmt.Errorf("tokenizer: truncation %q needs a second text", t.strategy)
		}
	}
	if n[i] <= total-t.length {
		return nil, fmt.Errorf("tokenizer: truncation %q: the text of %d tokens is too short to reach %d", t.strategy, n[i], t.length)
	}
	kept := append([]int(nil), n...)
	kept[i] -= total - t.length
	return kept, nil
}

// longestFirst leaves the shorter text whole while the longer one can make room.
func longestFirst(a, b, length int) []int {
	short := min(a, b)
	long := max(short, length-short)
	if short+long > length {
		short = length / 2
		long = short + length%2
	}
	if a > b {
		return []int{long, short}
	}
	return []int{short, long}
}

// cut keeps n parts.
func (t truncation) cut(st *state, n int) {
	switch {
	case n >= len(st.parts):
	case t.left:
		st.parts = st.parts[len(st.parts)-n:]
	default:
		st.parts = st.parts[:n]
	}
}

// padding is what the file asks for.
type padding struct {
	fixed    int // 0: as long as the text itself
	multiple int
	left     bool
	id       int32
	typeID   int32
	text     string
}

// maxPadding bounds the length a file may ask for.
const maxPadding = 1 << 20

// length is how many tokens n become.
func (p padding) length(n int) int {
	n = max(n, p.fixed)
	if p.multiple > 0 && n%p.multiple > 0 {
		n += p.multiple - n%p.multiple
	}
	return n
}

// dropsText reports whether the single form leaves the text itself out.
func (p *postProcessor) dropsText() bool {
	return p.keepOrder && !slices.ContainsFunc(p.single, func(it templateItem) bool { return it.text == 0 })
}
