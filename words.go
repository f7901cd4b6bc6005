package godwit

// From token pieces to words, for pictures of attention.

import (
	"unicode"
	"unicode/utf8"
)

// Words joins the pieces of words: the weights of a word's pieces add up as keys
// and are averaged as queries, so that rows still sum to 1. Punctuation and
// special tokens are words of their own.
func (a *AttentionMap) Words() *AttentionMap {
	queries, q := words(a.Queries)
	keys, k := words(a.Keys)
	w := &AttentionMap{Layers: a.Layers, Heads: a.Heads, Queries: queries, Keys: keys,
		Weights: make([]float32, len(a.Layers)*len(a.Heads)*len(queries)*len(keys))}
	members := make([]float32, len(queries))
	for _, i := range q {
		members[i]++
	}
	for l := range a.Layers {
		for h := range a.Heads {
			for i := range a.Queries {
				row := w.Row(l, h, q[i])
				for j, x := range a.Row(l, h, i) {
					row[k[j]] += x / members[q[i]]
				}
			}
		}
	}
	return w
}

// words joins pieces, and says which word each became part of.
func words(pieces []Piece) (out []Piece, of []int) {
	of = make([]int, len(pieces))
	for i, p := range pieces {
		if n := len(out); n > 0 && continues(out[n-1], pieces[i-1], p) {
			last := &out[n-1]
			if p.End > last.End { // less what the pieces before it have told: tokens may share characters
				last.Text += p.Text[max(last.End-p.Start, 0):]
			}
			last.End = max(last.End, p.End)
		} else {
			out = append(out, trimmed(p))
		}
		of[i] = len(out) - 1
	}
	return out, of
}

// trimmed is a piece without the spaces that some vocabularies begin words with.
func trimmed(p Piece) Piece {
	for p.Text != "" && !p.Special {
		r, n := utf8.DecodeRuneInString(p.Text)
		if !unicode.IsSpace(r) {
			break
		}
		p.Text, p.Start = p.Text[n:], p.Start+n
	}
	return p
}

// continues reports whether p goes on with the word that last ended.
func continues(word, last, p Piece) bool {
	if p.Special || last.Special || p.Start > last.End {
		return false
	}
	if p.Start == last.Start && p.End == last.End && p.End > p.Start {
		return true // several tokens of one character
	}
	before, _ := utf8.DecodeLastRuneInString(word.Text)
	first, _ := utf8.DecodeRuneInString(p.Text)
	switch {
	case p.Text == "" || word.Text == "":
		return true // half a character
	case unicode.IsSpace(first) || unicode.IsSpace(before):
		return false
	case unicode.Is(unicode.Han, first) || unicode.Is(unicode.Han, before):
		return false
	}
	return inWord(before) == inWord(first)
}

// inWord reports whether a character belongs to words, not to what stands
// between them.
func inWord(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) || r == '\'' || r == '’' || r == '_'
}
