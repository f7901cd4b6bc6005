package engine

// Encoder-decoders: the sources of a request, encoded once before anything is
// written.

import (
	"github.com/godwit-ml/godwit/model"
	"github.com/godwit-ml/godwit/runtime"
)

// encode runs the encoder over all prompts, laid end to end, and stores what the
// decoder's layers read of them.
func (g *generation) encode(s *runtime.Stream) error {
	m := g.e.model.(model.EncoderDecoder)
	g.batch.Reset()
	var slots []int32
	g.sources = make([]BlockTable, len(g.req.Prompts))
	for i, p := range g.req.Prompts {
		t := &g.sources[i]
		if _, err := g.e.pool.Extend(t, len(p), nil); err != nil {
			return err
		}
		slots = g.e.pool.Slots(slots, t, 0, len(p))
		if err := g.batch.AddEncoder(p, nil, nil); err != nil {
			return err
		}
	}
	var rec *Recorder
	if c := g.req.Capture; c != nil && c.Prompt {
		in := g.e.info
		in.Layers = in.EncoderLayers
		rec = NewRecorder(c.encoder(), in, len(g.req.Prompts[0]))
		rec.Attach(s, &g.batch)
	}
	if err := g.batch.Check(g.e.info, nil); err != nil {
		return err
	}
	m.StoreSource(s, m.Encode(s, &g.batch), slots, g.e.cache)
	if rec != nil {
		g.run.Source = rec.Prompt
	}
	return s.Sync()
}
