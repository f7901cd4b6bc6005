package engine

// Scoring: how likely a model finds a text that is given.

import (
	"fmt"
	"slices"

	"github.com/godwit-ml/godwit/model"
	"github.com/godwit-ml/godwit/runtime"
)

// Score asks for the log-probabilities of tokens that are given: of the prompt,
// or of encoder-decoders of the prefix. They arrive as tokens, in order.
type Score struct {
	From   int  // index of the first token to score: at least 1, of encoder-decoders 0
	Top    int  // the best of each place, too
	Logits bool // the whole row each token was chosen from, too
}

func (e *Engine) checkScore(req *Request) error {
	c := req.Score
	if c == nil {
		return nil
	}
	least, n := 1, 0
	if e.info.Kind == model.Seq2Seq {
		least, n = 0, len(req.Prefix)
	} else if len(req.Prompts) == 1 {
		n = len(req.Prompts[0])
	}
	switch {
	case req.MaxTokens != 0 || len(req.Prompts) != 1 || req.Beams != nil:
		return &ParamError{"Score", "set", "scores one prompt and writes nothing: set MaxTokens 0"}
	case !e.info.LM:
		return &ParamError{"Score", "set", "this model has no vocabulary head"}
	case c.From < least || c.From > n:
		return &ParamError{"Score.From", c.From, fmt.Sprintf("want %d to %d", least, n)}
	}
	return nil
}

// scoreRows is how many rows of logits are held at once.
const scoreRows = 64

// score delivers the tokens whose rows this step has computed.
func (g *generation) score(s *runtime.Stream, hidden runtime.Tensor) error {
	q, c := g.seqs[0], g.req.Score
	first := c.From
	if g.e.info.Kind == model.Seq2Seq {
		first++ // the model's first token stands before the prefix
	}
	past := q.table.Len - len(g.batch.IDs)
	// Row r of the step, at position past+r, says what follows it.
	from, to := max(first-1-past, 0), min(len(g.batch.IDs), len(q.tokens)-1-past)
	for ; from < to; from += scoreRows {
		n := min(scoreRows, to-from)
		mark := s.Mark()
		logits := g.e.model.Logits(s, hidden.RowRange(from, from+n))
		flat := slices.Grow(g.logits[:0], n*logits.Cols)[:n*logits.Cols]
		g.logits = flat
		s.DownloadF32(flat, logits)
		if err := s.Sync(); err != nil {
			return err
		}
		s.Release(mark)
		for i := range n {
			row := flat[i*logits.Cols : (i+1)*logits.Cols]
			if err := g.e.logprobs.Reset(row); err != nil {
				return err
			}
			id := q.tokens[past+from+i+1]
			t := Token{ID: id, Logprob: g.e.logprobs.Of(id), Top: g.e.logprobs.Top(nil, c.Top)}
			if c.Logits {
				t.Logits = slices.Clone(row)
			}
			t.Last = past+from+i+2 == len(q.tokens)
			g.run.put(t)
		}
	}
	return nil
}
