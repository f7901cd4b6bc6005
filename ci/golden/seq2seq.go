package golden

// Running a case of an encoder-decoder: the sources once, then the decoder's
// tokens in chunks.

import (
	"fmt"

	"github.com/godwit-ml/godwit/model"
)

// translate runs the encoder over the rows of the case and the decoder over its
// decoder_input_ids.
func (r *run) translate() error {
	m, ok := r.m.Model.(model.EncoderDecoder)
	if !ok || len(r.c.Decoder) != r.b {
		return fmt.Errorf("golden: %s and %d rows of decoder_input_ids for %d of input_ids", r.m.Model.Info().Architecture, len(r.c.Decoder), r.b)
	}
	decoder := newRun(r.m, r.kind, &Case{Name: r.c.Name, IDs: r.c.Decoder, Outputs: r.c.Outputs}, r.out)
	cache, tables, err := r.m.cache(2*r.b, max(r.t, decoder.t))
	if err != nil {
		return err
	}
	defer cache.Close()
	r.stack, decoder.stack = "encoder_", "decoder_"
	r.tables, decoder.source = tables[r.b:], r
	if err := r.encodeSources(m, cache); err != nil {
		return err
	}
	return decoder.decode(cache, tables[:r.b])
}

// encodeSources runs the encoder and stores what the decoder reads.
func (r *run) encodeSources(m model.EncoderDecoder, cache *model.Cache) error {
	if err := r.sequences(); err != nil {
		return err
	}
	s := r.m.Stream
	if s.Reset(); r.m.opt.Hostile {
		poisonScratch(s)
	}
	r.batch.Capture = r.capture()
	if err := r.batch.Check(r.m.Model.Info(), nil); err != nil {
		return err
	}
	hidden := m.Encode(s, &r.batch)
	r.tokens("encoder_last_hidden", hidden)
	var slots []int32
	size := cache.BlockSize
	for i, kept := range r.kept {
		for j := range kept {
			slots = append(slots, r.tables[i][j/size]*int32(size)+int32(j%size))
		}
	}
	m.StoreSource(s, hidden, slots, cache)
	return s.Sync()
}
