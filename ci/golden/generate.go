package golden

// Running generations, greedy and by beams, through the engine.

import (
	"context"

	"github.com/godwit-ml/godwit/engine"
	"github.com/godwit-ml/godwit/runtime"
)

// Answers are new tokens: a row for each prompt, or for each beam, best first.
type Answers struct {
	IDs    [][]int32
	Scores []float64 // of beams
}

// Generate runs the prompts of a generation as one batch. Rows that end early
// are padded at the right as the golden's are.
func (m *Model) Generate(ctx context.Context, g *Golden, gen *Generation) (Answers, error) {
	var prompts [][]int32
	for i, ids := range gen.IDs {
		var kept []int32
		for j, id := range ids {
			if gen.Mask == nil || gen.Mask[i][j] != 0 {
				kept = append(kept, id)
			}
		}
		prompts = append(prompts, kept)
	}
	a, err := m.Answer(ctx, prompts, gen)
	if err == nil {
		a.pad(g, gen)
	}
	return a, err
}

// Answer runs prompts as a generation says, unpadded.
func (m *Model) Answer(ctx context.Context, prompts [][]int32, gen *Generation) (Answers, error) {
	req := engine.Request{Prompts: prompts, MaxTokens: gen.MaxNewTokens, Sampling: engine.Greedy(), Logprobs: -1}
	if gen.EOS != nil {
		req.EOS = []int32{*gen.EOS}
	}
	repetition := 1.0
	if gen.Repetition != 0 {
		repetition = gen.Repetition
	}
	req.Sampling.RepetitionPenalty = repetition
	width := 1
	if gen.Mode == "beam" {
		width = gen.Beams
		req.Beams = &engine.BeamConfig{Width: width, Return: gen.Return, MaxTokens: gen.MaxNewTokens, EOS: req.EOS,
			LengthPenalty: gen.LengthPenalty, RepetitionPenalty: repetition}
		if gen.EarlyStopping {
			req.Beams.Early = engine.EarlyTrue
		}
	}
	e, err := m.engine(prompts, gen.MaxNewTokens, width)
	if err != nil {
		return Answers{}, err
	}
	defer e.Close()
	run, err := e.Submit(ctx, req)
	if err != nil {
		return Answers{}, err
	}
	tokens, err := run.Wait(ctx)
	if err != nil {
		return Answers{}, err
	}
	var a Answers
	for _, t := range tokens {
		for t.Seq >= len(a.IDs) {
			a.IDs, a.Scores = append(a.IDs, nil), append(a.Scores, 0)
		}
		a.IDs[t.Seq] = append(a.IDs[t.Seq], t.ID)
		a.Scores[t.Seq] = t.Score
	}
	if gen.Mode != "beam" {
		a.Scores = nil
	}
	return a, nil
}

// engine is an engine with a cache that fits the prompts and their answers.
func (m *Model) engine(prompts [][]int32, answer, width int) (*engine.Engine, error) {
	blocks := 0
	for _, p := range prompts {
		blocks += (width + 1) * ((len(p)+answer)/m.opt.BlockSize + 2) // and a source's, of encoder-decoders
	}
	s := runtime.NewStream(m.opt.Device, m.opt.Fallback) // Close of the engine frees it
	m.others = append(m.others, s)
	return engine.New(s, m.Model, engine.Config{BlockSize: m.opt.BlockSize, Blocks: blocks, KVDType: m.opt.KV, TokenBudget: m.opt.Chunk})
}

// pad makes the rows equally long, as transformers returns them: with the end
// token where the padding token is 0 or not set.
func (a *Answers) pad(g *Golden, gen *Generation) {
	var with int32
	if gen.EOS != nil {
		with = *gen.EOS
	}
	if g.Pad != nil && *g.Pad != 0 {
		with = *g.Pad
	}
	longest := 0
	for _, ids := range a.IDs {
		longest = max(longest, len(ids))
	}
	for i := range a.IDs {
		for len(a.IDs[i]) < longest {
			a.IDs[i] = append(a.IDs[i], with)
		}
	}
}
