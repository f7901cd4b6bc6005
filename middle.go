package godwit

// Fill-in-the-middle: what models of code write between a prompt and a suffix.

import (
	"fmt"

	"github.com/godwit-ml/godwit/model"
	"github.com/godwit-ml/godwit/tokenizer"
)

// middleTokens are the control tokens around the parts of a fill-in-the-middle
// prompt, in the order prefix, suffix, middle (Bavarian et al., 2022), as
// vocabularies spell them: StarCoder and StarCoder2; SantaCoder; Qwen-Coder and
// CodeGemma.
var middleTokens = [][3]string{
	{"<fim_prefix>", "<fim_suffix>", "<fim_middle>"},
	{"<fim-prefix>", "<fim-suffix>", "<fim-middle>"},
	{"<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"},
}

// middleOf finds the three tokens in a vocabulary.
func middleOf(tok *tokenizer.Tokenizer) (names [3]string, ok bool) {
next:
	for _, names := range middleTokens {
		for _, name := range names {
			if _, ok := tok.ID(name); !ok {
				continue next
			}
		}
		return names, true
	}
	return names, false
}

// renderMiddle is the prompt that asks for what stands between req.Prompt and
// req.Suffix, and begins with prefix. Only the three control tokens are parsed:
// those in a user's text are text.
func (m *Model) renderMiddle(req *Request, prefix string) (string, []int32, error) {
	if req.Messages != nil || req.Tokens != nil {
		return "", nil, &ParamError{"Suffix", fmt.Sprintf("%q", shorten(req.Suffix, 40)), "with Messages or Tokens: it goes with Prompt"}
	}
	if m.in.Kind == model.Seq2Seq {
		return "", nil, &UnsupportedError{What: "fill-in-the-middle (Suffix) by an encoder-decoder", Model: m.info.Name}
	}
	if err := m.needTokenizer(); err != nil {
		return "", nil, err
	}
	names, ok := middleOf(m.cp.tok)
	if !ok {
		return "", nil, &UnsupportedError{What: "fill-in-the-middle (Suffix): the vocabulary has no tokens for it, such as " + middleTokens[0][0], Model: m.info.Name}
	}
	text := names[0]
	var plain [][2]int
	add := func(user, control string) {
		plain = append(plain, [2]int{len(text), len(text) + len(user)})
		text += user + control
	}
	add(req.Prompt, names[1])
	add(req.Suffix, names[2])
	add(prefix, "")
	ids, err := m.cp.tok.AppendIDs(nil, text, tokenizer.Options{Special: true, Parse: true, Plain: plain})
	return text, ids, err
}
