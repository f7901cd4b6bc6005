package model

// ELECTRA (Clark et al., 2020): BERT's blocks, trained as a discriminator, behind
// narrower embeddings that are projected to the blocks' width. Of a pair of
// checkpoints the generator is the masked LM.

import (
	"github.com/godwit-ml/godwit/nn"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/weights"
)

type electraConfig struct {
	encoderFields
	Width int `json:"embedding_size"`
}

func electraJSON(src Source, ck *weights.Checkpoint) (config, error) {
	c := &electraConfig{encoderFields: encoderDefaults(), Width: 128}
	c.Hidden, c.Inner, c.Layers, c.Heads = 256, 1024, 12, 4
	if err := decode(src, c); err != nil {
		return nil, err
	}
	k := &checker{src: src, ck: ck}
	c.check(k)
	k.dims(dim{"type_vocab_size", c.Types, maxWidth}, dim{"embedding_size", c.Width, maxWidth})
	c.classed = k.encoderClass(c.Architectures, "Electra")
	classifier := "classifier.weight"
	if c.is(HeadSequence) {
		classifier = "classifier.out_proj.weight"
	}
	c.checkLabels(k, c.classed, 2, classifier)
	return c, k.err
}

func (c *electraConfig) info() Info {
	in := c.encoderFields.info()
	in.Family = "electra"
	return in.with(when(c.Width != c.Hidden, "embeddings: of %d features, blocks of %d", c.Width, c.Hidden))
}

// electra is BERT's encoder with a projection of the embeddings.
type electra struct {
	encoder
	project *nn.Linear // nil: the embeddings are as wide as the blocks
}

func (c *electraConfig) load(s *runtime.Stream, ck *weights.Checkpoint, _ Options) (Model, error) {
	root := ck.Scope(weights.ScopeConfig{Strip: []string{"electra."}, Ignore: []string{"*embeddings.position_ids", "discriminator_predictions.*"}})
	sc := root.Sub("electra")
	m := &electra{encoder: encoder{about: c.info(), heads: c.classifiers(s, root),
		embeddings: c.embeddings(s, sc.Sub("embeddings"), c.Width), blocks: c.layers(s, sc.Sub("encoder.layer"))}}
	if c.Width != c.Hidden {
		project := nn.LoadLinear(s, nn.ReadDense(sc.Sub("embeddings_project"), c.Width, c.Hidden, true))
		m.project = &project
	}
	if c.lm {
		lm, decoder := root.Sub("generator_predictions"), root.Sub("generator_lm_head")
		m.lm = loadPrediction(s, lm.Sub("dense"), c.Hidden, c.Width, runtime.Gelu). // whatever hidden_act is
												normed(nn.LoadLayerNorm(s, lm.Sub("LayerNorm"), c.Width, c.Eps))
		m.lm.out = c.decoder(s, m.tokens, decoder, decoder, c.Width)
	} else {
		root.Ignore("generator_*") // a head the architecture does not have
	}
	if c.is(HeadSequence) {
		cl := root.Sub("classifier")
		m.heads[HeadSequence] = loadPrediction(s, cl.Sub("dense"), c.Hidden, c.Hidden, runtime.Gelu).to(s, cl.Sub("out_proj"), len(c.labels))
	}
	return m, root.Err()
}

// Forward implements Model.
func (m *electra) Forward(s *runtime.Stream, b *Batch, c *Cache) runtime.Tensor {
	st, ids, types := b.upload(s, c)
	x := m.embed(st, ids, types)
	if m.project != nil {
		wide := s.Scratch(st.Tokens, m.project.Out)
		m.project.Apply(s, wide, x, nn.Epilogue{})
		x = wide
	}
	return runBlocks(st, m.blocks, x, m.norm)
}
