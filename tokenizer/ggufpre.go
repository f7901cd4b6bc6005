// The names by which a GGUF file says how a byte-level BPE splits a text
// (tokenizer.ggml.pre). An unknown name is refused: a split that is nearly right gives
// other token ids without a sign.

package tokenizer

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// ggufPre is what a name stands for: the normalizers, the splits before the bytes, and
// what else comes with it.
type ggufPre struct {
	names []string
	norm  []normalizer
	split []preTokenizer
	gpt2  bool // GPT-2's split comes last
	whole bool // a word that is a token is that token, whatever the merges say
	bos   bool // BOS goes in front unless add_bos_token says otherwise
}

// regexSplit is a Split of a known pattern.
func regexSplit(regex string) preTokenizer {
	p, err := patternFor(regex)
	if err != nil {
		panic("tokenizer: a split of GGUF is not among the known patterns")
	}
	return splitter{pattern: p, behavior: isolated}
}

// ggufPres are the names that are known, with the splits of the tokenizer.json files that
// such GGUF files are made from.
func ggufPres() []ggufPre {
	nfc := []normalizer{unicodeForm{norm.NFC, true}}
	digits := splitter{pattern: bitsPattern(classDigits), behavior: isolated}
	return []ggufPre{
		{names: []string{"", "default", "gpt-2", "gpt2", "phi-2", "roberta-bpe"}, gpt2: true},
		{names: []string{"mpt", "olmo"}, norm: nfc, gpt2: true},
		{names: []string{"smollm", "starcoder", "refact", "codeshell"}, split: []preTokenizer{digits}, gpt2: true},
		{names: []string{"llama-bpe", "llama3", "llama-v3"}, split: []preTokenizer{regexSplit(regexCL100K)}, whole: true, bos: true},
		{names: []string{"dbrx", "chatglm-bpe", "glm4"}, split: []preTokenizer{regexSplit(regexCL100K)}},
		{names: []string{"qwen2", "deepseek-r1-qwen"}, norm: nfc, split: []preTokenizer{regexSplit(regexQwen2)}},
		{names: []string{"qwen35"}, norm: nfc, split: []preTokenizer{regexSplit(regexQwen35)}},
		{names: []string{"gpt-4o", "llama4"}, split: []preTokenizer{regexSplit(regexO200K)}},
		{names: []string{"tekken"}, split: []preTokenizer{regexSplit(regexTekken)}, whole: true, bos: true},
		{names: []string{"bloom"}, split: []preTokenizer{regexSplit(regexBloom)}},
		{names: []string{"deepseek-v3"}, split: []preTokenizer{regexSplit(`\p{N}{1,3}`), regexSplit(`[一-龥぀-ゟ゠-ヿ]+`), regexSplit(regexDeepSeekV3)}},
	}
}

// ggufSplit finds a name.
func ggufSplit(name string) (ggufPre, error) {
	var known []string
	for _, p := range ggufPres() {
		if slices.Contains(p.names, name) {
			return p, nil
		}
		known = append(known, p.names...)
	}
	known = known[1:] // the first is no name
	slices.Sort(known)
	return ggufPre{}, fmt.Errorf("%spre %q is not supported: supported are %s", ggufPrefix, name, strings.Join(known, ", "))
}
