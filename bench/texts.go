package main

// The texts of the encoder rows: those of peers/sentences.py, whose word list is
// the only one.

import (
	_ "embed"
	"slices"
	"strings"
)

//go:embed peers/sentences.py
var sentencesPy string

var words = func() []string {
	_, rest, _ := strings.Cut(sentencesPy, `WORDS = """`)
	list, _, _ := strings.Cut(rest, `"""`)
	return strings.Fields(list)
}()

const (
	textCount     = 256
	textShortest  = 5 // tokens, the two special ones counted
	textLongest   = 200
	textSeed      = 7
	specialTokens = 3 // of a text besides its words: [CLS], the full stop, [SEP]
)

// makeTexts gives texts of lengths drawn with Knuth's 64-bit generator, as
// sentences.py does.
func makeTexts(count int) []string {
	x := uint64(textSeed)
	below := func(n int) int {
		x = x*6364136223846793005 + 1442695040888963407
		return int((x >> 33) * uint64(n) >> 31)
	}
	texts := make([]string, count)
	for i := range texts {
		n := textShortest + below(textLongest-textShortest+1) - specialTokens
		picked := make([]string, n)
		for j := range picked {
			picked[j] = words[below(len(words))]
		}
		texts[i] = strings.Join(picked, " ") + "."
	}
	return texts
}

// sentence is a text of so many tokens.
func sentence(tokens int) string { return strings.Join(words[:tokens-specialTokens], " ") + "." }

// longestFirst sorts by tokens: each word is one.
func longestFirst(texts []string) []string {
	sorted := slices.Clone(texts)
	slices.SortStableFunc(sorted, func(a, b string) int { return strings.Count(b, " ") - strings.Count(a, " ") })
	return sorted
}
