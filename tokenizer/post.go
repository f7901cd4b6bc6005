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
func (t trim) apply(parts []part, original string) {
	for i := range parts {
		p := &parts[i]
		lead, trail := 0, 0
		for _, r := range p.text {
			if r != byteRunes[' '] && classTable.get(r)&classSpace == 0 {
				break
			}
			lead++
		}
		for s := p.text; s != ""; trail++ {
			r, n := utf8.DecodeLastRuneInString(s)
			if r != byteRunes[' '] && classTable.get(r)&classSpace == 0 {
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

// process joins the texts: a, and b if pair. special says whether the special tokens go in.
func (p *postProcessor) process(texts [][]part, original []string, special bool) []part {
	for _, t := range p.trims {
		for i := range texts {
			t.apply(texts[i], original[i])
		}
	}
	for i, parts := range texts {
		for k := range parts {
			parts[k].segment = int8(i)
			if parts[k].typeID = int32(i); p.flatTypes {
				parts[k].typeID = 0
			}
		}
	}
	items := p.single
	if len(texts) == 2 {
		items = p.pair
	}
	if items == nil || !special && !p.keepOrder {
		if len(texts) == 1 {
			return texts[0]
		}
		return append(texts[0], texts[1]...)
	}
	var out []part
	for _, it := range items {
		if it.text < 0 {
			for k := 0; special && k < len(it.ids); k++ {
				out = append(out, part{id: it.ids[k], text: it.texts[k], segment: -1, typeID: it.typeID, special: true})
			}
			continue
		}
		from := len(out)
		out = append(out, texts[it.text]...)
		for k := from; k < len(out); k++ {
			out[k].typeID = it.typeID
		}
	}
	return out
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
	short, long := min(a, b), max(a, b)
	if short > length {
		long = short
	} else {
		long = max(short, length-short)
	}
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
func (t truncation) cut(parts []part, n int) []part {
	switch {
	case n >= len(parts):
		return parts
	case t.left:
		return parts[len(parts)-n:]
	}
	return parts[:n]
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

func (p padding) apply(parts []part) []part {
	n := max(p.fixed, 0)
	if p.fixed <= 0 {
		n = len(parts)
	}
	if p.multiple > 0 && n%p.multiple > 0 {
		n += p.multiple - n%p.multiple
	}
	if n <= len(parts) {
		return parts
	}
	pads := make([]part, n-len(parts))
	for i := range pads {
		pads[i] = part{id: p.id, text: p.text, segment: -1, typeID: p.typeID, special: true, pad: true}
	}
	if p.left {
		return append(pads, parts...)
	}
	return append(parts, pads...)
}

// dropsText reports whether the single form leaves the text itself out.
func (p *postProcessor) dropsText() bool {
	return p.keepOrder && !slices.ContainsFunc(p.single, func(it templateItem) bool { return it.text == 0 })
}
