// Hand-written scanners for the split patterns that tokenizer.json files carry, each
// chosen by the exact text of its regular expression. A text that is not in the table
// is refused: a pattern that is nearly right gives other token ids without a sign.

package tokenizer

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// pattern finds the leftmost match in s[from:]: not empty, or start -1.
type pattern interface {
	find(s string, from int) (start, end int)
}

// scanner is a pattern that matches at every position: it returns the end of the match at i.
type scanner func(s string, i int) int

func (f scanner) find(s string, from int) (start, end int) {
	if from >= len(s) {
		return -1, -1
	}
	return from, f(s, from)
}

// gappy is a scanner that may match nothing at i: it returns i then.
type gappy func(s string, i int) int

func (f gappy) find(s string, from int) (start, end int) {
	for i := from; i < len(s); {
		if end := f(s, i); end > i {
			return i, end
		}
		_, size := utf8.DecodeRuneInString(s[i:])
		i += size
	}
	return -1, -1
}

// literal matches a fixed text, not empty.
type literal string

func (l literal) find(s string, from int) (start, end int) {
	i := strings.Index(s[from:], string(l))
	if i < 0 {
		return -1, -1
	}
	return from + i, from + i + len(l)
}

// The patterns, as the files spell them.
const (
	regexGPT2 = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
	regexClip = `'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+`

	regexBloom = ` ?[^(\s|[.,!?…。，、।۔،])]+`

	regexDeepSeekV3 = "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|" +
		`[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
)

// families of the patterns that grew out of OpenAI's cl100k and o200k, spelled with
// the parts in which they differ.
const (
	contractions = `(?i:'s|'t|'re|'ve|'m|'ll|'d)`
	tailSpaces   = `|\s*[\r\n]+|\s+(?!\S)|\s+`

	regexCL100K  = contractions + `|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*` + tailSpaces
	regexQwen2   = contractions + `|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*` + tailSpaces
	regexQwen35  = contractions + `|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*` + tailSpaces
	regexTikCL   = `'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+`
	o200kUpper   = `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+`
	o200kLower   = `|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*`
	o200kTail    = `| ?[^\s\p{L}\p{N}]+[\r\n/]*` + tailSpaces
	regexO200K   = o200kUpper + contractions + `?` + o200kLower + contractions + `?|\p{N}{1,3}` + o200kTail
	regexTekken  = o200kUpper + o200kLower + `|\p{N}` + o200kTail
	regexTekken3 = o200kUpper + o200kLower + `|\p{N}{1,3}` + o200kTail
)

// knownPatterns is what Split and Replace accept besides literals and single classes.
var knownPatterns = []struct {
	name  string // whose it is
	regex string
	find  pattern
}{
	{"GPT-2", regexGPT2, scanner(scanGPT2)},
	{"Llama 3", regexCL100K, tikScanner(tik{digits: 3})},
	{"cl100k", regexTikCL, tikScanner(tik{digits: 3})},
	{"Qwen2", regexQwen2, tikScanner(tik{digits: 1})},
	{"Qwen3.5", regexQwen35, tikScanner(tik{digits: 1, marks: classMark})},
	{"o200k", regexO200K, tikScanner(tik{digits: 3, cased: true, suffix: true, slash: true})},
	{"Tekken", regexTekken, tikScanner(tik{digits: 1, cased: true, slash: true})},
	{"Tekken with groups of digits", regexTekken3, tikScanner(tik{digits: 3, cased: true, slash: true})},
	{"DeepSeek-V3", regexDeepSeekV3, gappy(scanDeepSeek)},
	{"CLIP", regexClip, gappy(scanClip)},
	{"BLOOM", regexBloom, gappy(scanBloom)},
	{"DeepSeek-V2", `\s+$`, gappy(scanLineEnd)},
}

// patternFor returns the scanner of a regular expression.
func patternFor(regex string) (pattern, error) {
	plain := lineEnds.Replace(regex)
	names := make([]string, len(knownPatterns))
	for i, k := range knownPatterns {
		if k.regex == plain {
			return k.find, nil
		}
		names[i] = k.name
	}
	if p, ok := parseClassPattern(regex); ok {
		return p, nil
	}
	return nil, fmt.Errorf("regular expression %.300q is not supported: supported are those of %s, and patterns of single classes",
		regex, strings.Join(names, ", "))
}

// lineEnds spells line ends as the table does: some files have the characters themselves.
var lineEnds = strings.NewReplacer("\r", `\r`, "\n", `\n`)

// spaces matches \s+(?!\S)|\s+ at i, where a white space of size bytes stands.
func spaces(s string, i, size int) int {
	end := i + size
	last := i // start of the last white space
	for end < len(s) {
		class, n := classAt(s, end)
		if class&classSpace == 0 {
			if last > i {
				return last
			}
			return end
		}
		last = end
		end += n
	}
	return end
}

// run returns the end of the characters from i on that have one of the bits.
func run(s string, i int, bits uint16) int {
	for i < len(s) {
		class, n := classAt(s, i)
		if class&bits == 0 {
			break
		}
		i += n
	}
	return i
}

// runNot returns the end of the characters from i on that have none of the bits.
func runNot(s string, i int, bits uint16) int {
	for i < len(s) {
		class, n := classAt(s, i)
		if class&bits != 0 {
			break
		}
		i += n
	}
	return i
}

// contraction returns the length of 's 't 're 've 'm 'll 'd at s[i:], or 0.
func contraction(s string, i int, fold bool) int {
	if i+1 >= len(s) || s[i] != '\'' {
		return 0
	}
	a := s[i+1]
	if fold {
		if strings.HasPrefix(s[i+1:], "ſ") { // U+017F folds to s
			return 1 + len("ſ")
		}
		if a >= 'A' && a <= 'Z' {
			a += 'a' - 'A'
		}
	}
	switch a {
	case 's', 't', 'm', 'd':
		return 2
	}
	if i+2 >= len(s) {
		return 0
	}
	b := s[i+2]
	if fold && b >= 'A' && b <= 'Z' {
		b += 'a' - 'A'
	}
	if (a == 'r' || a == 'v') && b == 'e' || a == 'l' && b == 'l' {
		return 3
	}
	return 0
}

func scanGPT2(s string, i int) int {
	if n := contraction(s, i, false); n > 0 {
		return i + n
	}
	class, size := classAt(s, i)
	at := i
	if s[i] == ' ' && i+1 < len(s) {
		if next, n := classAt(s, i+1); next&classSpace == 0 {
			class, size, at = next, n, i+1
		}
	}
	switch {
	case class&classLetter != 0:
		return run(s, at+size, classLetter)
	case class&classNumber != 0:
		return run(s, at+size, classNumber)
	case class&classSpace == 0:
		return runNot(s, at+size, classLetter|classNumber|classSpace)
	}
	return spaces(s, i, size)
}

// tik is the cl100k family: what its members do differently.
type tik struct {
	digits int    // digits in a group
	marks  uint16 // classMark: marks belong to words
	cased  bool   // o200k: a word ends before an upper-case letter that follows a lower-case one
	suffix bool   // o200k: contractions belong to the word before them
	slash  bool   // a / may follow punctuation as line ends may
}

func tikScanner(t tik) scanner { return t.scan }

func (t tik) scan(s string, i int) int {
	if !t.cased {
		if n := contraction(s, i, true); n > 0 {
			return i + n
		}
	}
	class, size := classAt(s, i)
	if end := t.word(s, i, class, size); end > i {
		return end
	}
	if class&classNumber != 0 {
		end := i + size
		for k := 1; k < t.digits && end < len(s); k++ {
			next, n := classAt(s, end)
			if next&classNumber == 0 {
				break
			}
			end += n
		}
		return end
	}
	notPunct := classLetter | classNumber | classSpace | t.marks
	at := i
	if s[i] == ' ' {
		at++
	}
	if end := runNot(s, at, notPunct); end > at {
		for end < len(s) && (s[end] == '\r' || s[end] == '\n' || t.slash && s[end] == '/') {
			end++
		}
		return end
	}
	if class&classSpace == 0 {
		// A mark that no alternative but the word's could take: it took it.
		return i + size
	}
	return t.lines(s, i, size)
}

// lines matches \s*[\r\n]+|\s+(?!\S)|\s+: to the last line end of the white space, else as spaces.
func (t tik) lines(s string, i, size int) int {
	line := -1
	for at := i; at < len(s); {
		class, n := classAt(s, at)
		if class&classSpace == 0 {
			break
		}
		at += n
		if s[at-1] == '\n' || s[at-1] == '\r' {
			line = at
		}
	}
	if line >= 0 {
		return line
	}
	return spaces(s, i, size)
}

// word matches the alternatives for words at i, or returns i.
func (t tik) word(s string, i int, class uint16, size int) int {
	letters := classLetter | t.marks
	start := i
	prefix := class&(classLetter|classNumber) == 0 && s[i] != '\r' && s[i] != '\n'
	if prefix {
		start += size
	}
	if !t.cased {
		if end := run(s, start, letters); end > start {
			return end
		}
		if prefix && class&t.marks != 0 {
			return i + size
		}
		return i
	}
	end, lower := casedWord(s, start)
	if prefix && class&classMark != 0 && !lower {
		end = i + size // a mark alone satisfies the first alternative, and that comes first
	} else if end == start {
		return i
	}
	if t.suffix {
		end += contraction(s, end, true)
	}
	return end
}

// casedWord matches U*W+|U+W* at i, U upper, title, modifier, other letters and marks,
// W lower, modifier, other letters and marks; i if there is none. lower: the first of the two.
func casedWord(s string, i int) (end int, lower bool) {
	const u, w = classUpper | classOther | classMark, classLower | classOther | classMark
	upper := i
	both := -1 // end of the last run of characters that are U and W
	for upper < len(s) {
		class, n := classAt(s, upper)
		if class&u == 0 {
			break
		}
		upper += n
		if class&w != 0 {
			both = upper
		}
	}
	if end := run(s, upper, w); end > upper {
		return end, true
	}
	if both >= 0 {
		return both, true
	}
	return upper, false
}

func scanClip(s string, i int) int {
	if n := contraction(s, i, false); n > 0 {
		return i + n
	}
	class, size := classAt(s, i)
	switch {
	case class&classLetter != 0:
		return run(s, i+size, classLetter)
	case class&classNumber != 0:
		return i + size
	case class&classSpace != 0:
		return i
	}
	return runNot(s, i+size, classLetter|classNumber|classSpace)
}

func scanBloom(s string, i int) int {
	at := i
	if s[i] == ' ' {
		at++
	}
	end := at
	for end < len(s) {
		r, n := utf8.DecodeRuneInString(s[end:])
		if strings.ContainsRune("(|).,!?…。，、।۔،", r) || classTable.get(r)&classSpace != 0 {
			break
		}
		end += n
	}
	if end == at {
		return i
	}
	return end
}

// scanLineEnd matches \s+$: white space up to the last place in it that ends a line.
func scanLineEnd(s string, i int) int {
	end := run(s, i, classSpace)
	if end == len(s) {
		return end
	}
	if n := strings.LastIndexByte(s[i:end], '\n'); n > 0 {
		return i + n
	}
	return i
}

func scanDeepSeek(s string, i int) int {
	class, size := classAt(s, i)
	if s[i] > ' ' && s[i] < 0x7F && class&(classLetter|classNumber) == 0 {
		end := i + 1
		for end < len(s) && (s[end]|0x20) >= 'a' && (s[end]|0x20) <= 'z' {
			end++
		}
		if end > i+1 {
			return end
		}
	}
	start := i
	if class&(classLetter|classPunct|classSymbol) == 0 && s[i] != '\r' && s[i] != '\n' {
		start += size
	}
	if end := run(s, start, classLetter|classMark); end > start {
		return end
	}
	if class&classMark != 0 {
		return i + size
	}
	at := i
	if s[i] == ' ' {
		at++
	}
	if end := run(s, at, classPunct|classSymbol); end > at {
		for end < len(s) && (s[end] == '\r' || s[end] == '\n') {
			end++
		}
		return end
	}
	if class&classSpace == 0 {
		return i
	}
	return tik{}.lines(s, i, size)
}
