package model

// RoBERTa (Liu et al., 2019) and XLM-RoBERTa (Conneau et al., 2019): BERT's
// blocks, trained without next sentences, with positions that begin after the
// padding token's and do not count padding. The heads are RoBERTa's own.

import (
	"fmt"

	"github.com/godwit-ml/godwit/nn"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/weights"
)

type robertaConfig struct {
	encoderFields
	Pad    *int32 `json:"pad_token_id"`
	family string
}

func robertaJSON(src Source, ck *weights.Checkpoint) (config, error) {
	return readRoberta(src, ck, "roberta", "Roberta", 50265)
}

func xlmRobertaJSON(src Source, ck *weights.Checkpoint) (config, error) {
	return readRoberta(src, ck, "xlm-roberta", "XLMRoberta", 30522)
}

func readRoberta(src Source, ck *weights.Checkpoint, family, prefix string, vocab int) (config, error) {
	c := &robertaConfig{encoderFields: encoderDefaults(), Pad: new(int32(1)), family: family}
	c.Vocab = vocab
	if err := decode(src, c); err != nil {
		return nil, err
	}
	k := &checker{src: src, ck: ck}
	c.check(k)
	k.dims(dim{"type_vocab_size", c.Types, maxWidth})
	k.contradicts(c.Pad == nil, "pad_token_id", "is null, but positions begin after it")
	if k.err == nil {
		pad := int(*c.Pad)
		k.contradicts(pad < 0 || pad >= c.Vocab, "pad_token_id", "is %d of %d tokens", pad, c.Vocab)
		k.contradicts(c.Positions < pad+2, "max_position_embeddings", "is %d, but positions begin at pad_token_id + 1, %d", c.Positions, pad+1)
	}
	c.classed = k.encoderClass(c.Architectures, prefix)
	if c.class == prefix+"Model" && k.stores("roberta.", "pooler.dense.weight") {
		c.list = append(c.list, HeadPooler)
	}
	classifier := "classifier.weight"
	if c.is(HeadSequence) {
		classifier = "classifier.out_proj.weight"
	}
	c.checkLabels(k, c.classed, 2, classifier)
	return c, k.err
}

func (c *robertaConfig) info() Info {
	in := c.encoderFields.info()
	in.Family, in.Context = c.family, c.Positions-int(*c.Pad)-1
	return in.with(fmt.Sprintf("positions: begin at row %d, after the padding's", *c.Pad+1))
}

// roberta is BERT's encoder with other positions.
type roberta struct {
	encoder
	pad  int32
	rows []int32 // of positions, kept from step to step
}

func (c *robertaConfig) load(s *runtime.Stream, ck *weights.Checkpoint, _ Options) (Model, error) {
	root := ck.Scope(weights.ScopeConfig{Strip: []string{"roberta."}, Ignore: []string{"*embeddings.position_ids"}})
	sc := root.Sub("roberta")
	m := &roberta{pad: *c.Pad, encoder: encoder{about: c.info(), heads: c.classifiers(s, root),
		embeddings: c.embeddings(s, sc.Sub("embeddings"), c.Hidden), blocks: c.layers(s, sc.Sub("encoder.layer"))}}
	if c.lm {
		lm := root.Sub("lm_head")
		m.lm = loadPrediction(s, lm.Sub("dense"), c.Hidden, c.Hidden, runtime.Gelu). // whatever hidden_act is
												normed(nn.LoadLayerNorm(s, lm.Sub("layer_norm"), c.Hidden, c.Eps))
		m.lm.out = c.decoder(s, m.tokens, lm, lm.Sub("decoder"), c.Hidden)
	} else {
		root.Ignore("lm_head.*") // a head the architecture does not have
	}
	if c.is(HeadPooler) {
		m.heads[HeadPooler] = loadPrediction(s, sc.Sub("pooler.dense"), c.Hidden, c.Hidden, runtime.Tanh)
	} else {
		root.Ignore("*pooler.dense.*")
	}
	if c.is(HeadSequence) {
		cl := root.Sub("classifier")
		m.heads[HeadSequence] = loadPrediction(s, cl.Sub("dense"), c.Hidden, c.Hidden, runtime.Tanh).to(s, cl.Sub("out_proj"), len(c.labels))
	}
	return m, root.Err()
}

// Forward implements Model.
func (m *roberta) Forward(s *runtime.Stream, b *Batch, c *Cache) runtime.Tensor {
	st, ids, types := b.upload(s, c)
	m.rows = b.countedPositions(m.rows[:0], m.pad)
	st.Positions = s.ScratchI32(1, st.Tokens)
	s.UploadI32(st.Positions, m.rows)
	return runBlocks(st, m.blocks, m.embed(st, ids, types), m.norm)
}
