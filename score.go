package godwit

// Score: how likely a model finds a text that is given.

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/godwit-ml/godwit/engine"
	"github.com/godwit-ml/godwit/model"
	"github.com/godwit-ml/godwit/tokenizer"
)

// Score returns the log-probabilities of a text's tokens, its perplexity, and
// whether greedy generation would have written it.
func (m *Model) Score(ctx context.Context, req ScoreRequest) (*ScoreResult, error) {
	start := time.Now()
	if err := m.can(TaskGenerate); err != nil {
		return nil, err
	}
	if req.Logprobs < 0 || req.Logprobs > maxLogprobs {
		return nil, &ParamError{"Logprobs", req.Logprobs, fmt.Sprintf("want 0 to %d", maxLogprobs)}
	}
	prompt, text, err := m.scoreIDs(&req)
	if err != nil {
		return nil, err
	}
	r := engine.Request{Sampling: engine.Greedy(), Logprobs: -1, Score: &engine.Score{Top: max(req.Logprobs, 1), Logits: req.Logits}}
	read := len(prompt) + len(text)
	if m.in.Kind == model.Seq2Seq {
		r.Prompts, r.Prefix = [][]int32{prompt}, text
		read = max(len(prompt), len(text)+1)
	} else {
		r.Prompts, r.Score.From = [][]int32{slices.Concat(prompt, text)}, max(len(prompt), 1)
	}
	if read > m.info.Context {
		return nil, &TooLongError{Tokens: read, Limit: m.info.Context}
	}
	run, err := m.engine.Submit(ctx, r)
	if err != nil {
		return nil, m.callError(err)
	}
	tokens, err := run.Wait(ctx)
	if err != nil {
		return nil, m.callError(err)
	}
	res := m.scored(&req, text, tokens)
	stats := run.Stats()
	res.Usage = Usage{PromptTokens: len(prompt) + len(text), Queued: stats.Queued, Total: time.Since(start)}
	return res, nil
}

// scored makes a result of scored tokens, which are all of text, or all but the
// first if nothing stands before it.
func (m *Model) scored(req *ScoreRequest, text []int32, tokens []engine.Token) *ScoreResult {
	res := &ScoreResult{Greedy: true, Perplexity: 1}
	if len(tokens) < len(text) {
		res.Tokens = append(res.Tokens, Token{ID: text[0], Piece: m.piece(text[0])})
		if req.Logits {
			res.Logits = append(res.Logits, nil)
		}
	}
	for _, t := range tokens {
		tok := Token{ID: t.ID, Piece: m.piece(t.ID), Logprob: t.Logprob}
		for _, p := range t.Top[:min(req.Logprobs, len(t.Top))] {
			tok.Top = append(tok.Top, Token{ID: p.ID, Piece: m.piece(p.ID), Logprob: p.Logprob})
		}
		res.Greedy = res.Greedy && t.Top[0].ID == t.ID
		res.Logprob += t.Logprob
		res.Tokens = append(res.Tokens, tok)
		if req.Logits {
			res.Logits = append(res.Logits, t.Logits)
		}
	}
	if len(tokens) > 0 {
		res.Perplexity = math.Exp(-res.Logprob / float64(len(tokens)))
	}
	if m.cp.tok != nil { // the text that becomes final with each
		dec := m.cp.tok.NewDecoder(true)
		for i := range res.Tokens {
			res.Tokens[i].Text = dec.Push(res.Tokens[i].ID)
		}
		res.Tokens[len(res.Tokens)-1].Text += dec.Flush()
	}
	return res
}

// scoreIDs are the ids of the prompt and of the text.
func (m *Model) scoreIDs(req *ScoreRequest) (prompt, text []int32, err error) {
	switch {
	case req.Prompt != "" && req.PromptTokens != nil:
		return nil, nil, &ParamError{"Prompt", "with PromptTokens", "at most one of the two is set"}
	case (req.Text == "") == (req.Tokens == nil):
		return nil, nil, &ParamError{"Text", fmt.Sprintf("%q", shorten(req.Text, 40)), "exactly one of Text and Tokens is set"}
	}
	for field, ids := range map[string][]int32{"PromptTokens": req.PromptTokens, "Tokens": req.Tokens} {
		for i, id := range ids {
			if id < 0 || int(id) >= m.info.Vocab {
				return nil, nil, &ParamError{fmt.Sprintf("%s[%d]", field, i), id, fmt.Sprintf("is not in [0, %d)", m.info.Vocab)}
			}
		}
	}
	prompt, text = slices.Clone(req.PromptTokens), slices.Clone(req.Tokens)
	if prompt == nil || text == nil {
		if prompt, text, err = m.scoreText(req, prompt, text); err != nil {
			return nil, nil, err
		}
	}
	switch {
	case len(text) == 0:
		return nil, nil, &ParamError{"Text", `""`, "has no tokens"}
	case len(prompt) == 0 && m.in.Kind == model.Seq2Seq:
		return nil, nil, &ParamError{"Prompt", `""`, "is empty: an encoder-decoder reads one"}
	}
	return prompt, text, nil
}

// scoreText tokenizes what was given as text. Prompt and text of a decoder are
// one text: tokens that reach into the second part are scored.
func (m *Model) scoreText(req *ScoreRequest, prompt, text []int32) ([]int32, []int32, error) {
	if prompt == nil && req.Prompt == "" && text != nil && m.in.Kind != model.Seq2Seq {
		return nil, text, nil // ids alone need no tokenizer
	}
	if err := m.needTokenizer(); err != nil {
		return nil, nil, err
	}
	tok, special := m.cp.tok, tokenizer.Options{Special: true}
	if prompt == nil && text == nil && m.in.Kind != model.Seq2Seq {
		e, err := tok.Encode(req.Prompt+req.Text, special)
		if err != nil {
			return nil, nil, m.textError("Text", err)
		}
		n := 0
		for n < len(e.IDs) && (e.Offsets[n][1] <= len(req.Prompt) || e.Special[n]) && (e.Special[n] || e.Offsets[n][0] < len(req.Prompt)) {
			n++
		}
		return e.IDs[:n:n], e.IDs[n:], nil
	}
	var err error
	if prompt == nil {
		if prompt, err = tok.AppendIDs(nil, req.Prompt, special); err != nil {
			return nil, nil, m.textError("Prompt", err)
		}
	}
	if text == nil {
		if text, err = tok.AppendIDs(nil, req.Text, tokenizer.Options{Special: m.in.Kind == model.Seq2Seq}); err != nil {
			return nil, nil, m.textError("Text", err)
		}
	}
	return prompt, text, nil
}
