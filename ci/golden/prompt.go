package golden

// One long prompt of a decoder with a large vocabulary: the logits of its end,
// and the log-probabilities of its tokens, without all logits at once.

import (
	"github.com/godwit-ml/godwit/model"
	"github.com/godwit-ml/godwit/runtime"
)

// promptChunk is the tokens of a step, where Options.Chunk does not say.
const promptChunk = 128

// LastLogits is the logits after a prompt.
func (m *Model) LastLogits(ids []int32) ([]float32, error) {
	var out []float32
	err := m.read(ids, func(from int, hidden runtime.Tensor) {
		if from+hidden.Rows == len(ids) {
			last := model.Rows(m.Stream, hidden, []int32{int32(hidden.Rows - 1)})
			out = download(m.Stream, m.Model.Logits(m.Stream, last))
		}
	})
	return out, err
}

// MeanNLL is the mean of -ln p(ids[i+1] | ids[:i+1]), natural logarithm.
func (m *Model) MeanNLL(ids []int32) (float64, error) {
	sum := 0.0
	err := m.read(ids, func(from int, hidden runtime.Tensor) {
		s, n := m.Stream, hidden.Rows
		if from+n == len(ids) {
			n-- // nothing follows the last token
		}
		if n == 0 {
			return
		}
		next := s.ScratchI32(n, 1)
		s.UploadI32(next, ids[from+1:from+1+n])
		top := runtime.TopK{X: m.Model.Logits(s, hidden.RowRange(0, n)), Values: s.Scratch(n, 1), IDs: s.ScratchI32(n, 1),
			LSE: s.Scratch(n, 1), Also: next, AlsoValue: s.Scratch(n, 1)}
		s.TopK(top)
		lse, logits := download(s, top.LSE), download(s, top.AlsoValue)
		for i := range lse {
			sum += float64(lse[i]) - float64(logits[i])
		}
	})
	return sum / float64(len(ids)-1), err
}

// read runs a prompt in chunks and gives the hidden states of each, of the tokens
// from … on.
func (m *Model) read(ids []int32, each func(from int, hidden runtime.Tensor)) error {
	cache, tables, err := m.cache(1, len(ids))
	if err != nil {
		return err
	}
	defer cache.Close()
	chunk := m.opt.Chunk
	if chunk == 0 {
		chunk = promptChunk
	}
	var b model.Batch
	for from := 0; from < len(ids); from += chunk {
		b.Reset()
		if err := b.AddDecoder(ids[from:min(from+chunk, len(ids))], from, tables[0], m.opt.BlockSize); err != nil {
			return err
		}
		b.SetLength(len(ids))
		if err := b.Check(m.Model.Info(), cache); err != nil {
			return err
		}
		m.Stream.Reset()
		each(from, m.Model.Forward(m.Stream, &b, cache))
		if err := m.Stream.Sync(); err != nil {
			return err
		}
	}
	return nil
}
