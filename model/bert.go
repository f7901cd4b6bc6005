package model

// BERT (Devlin et al., 2018): post-norm encoder with learned positions and
// token types, and every head transformers gives it but the decoder's.

import (
	"math"

	"github.com/godwit-ml/godwit/nn"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/weights"
)

type bertConfig struct {
	encoderFields
}

func bertJSON(src Source, ck *weights.Checkpoint) (config, error) {
	c := &bertConfig{encoderDefaults()}
	if err := decode(src, c); err != nil {
		return nil, err
	}
	k := &checker{src: src, ck: ck}
	c.check(k)
	k.dims(dim{"type_vocab_size", c.Types, maxWidth})
	c.classed = k.encoderClass(c.Architectures, "Bert", "ForPreTraining", "ForNextSentencePrediction")
	c.findHeads(k)
	c.checkLabels(k, c.classed, 2, "classifier.weight")
	return c, k.err
}

// findHeads lists the heads: what the architecture has, and those a checkpoint
// brings along, as google-bert/bert-base-uncased does.
func (c *bertConfig) findHeads(k *checker) {
	sentences := c.class == "BertForPreTraining" || c.class == "BertForNextSentencePrediction"
	c.lm = c.lm || c.class == "BertForPreTraining"
	if !sentences && !c.is(HeadSequence) && !k.stores("bert.", "pooler.dense.weight") {
		return
	}
	pooled := []Head{HeadPooler}
	if sentences || k.stores("bert.", "cls.seq_relationship.weight") {
		pooled = append(pooled, HeadNext)
	}
	c.list = append(pooled, c.list...)
}

func (c *bertConfig) info() Info {
	in := c.encoderFields.info()
	in.Family = "bert"
	return in
}

func (c *bertConfig) load(s *runtime.Stream, ck *weights.Checkpoint, _ Options) (Model, error) {
	root := scope(ck, c.names, weights.ScopeConfig{
		Strip:      []string{"bert."},
		Alternates: [][2]string{{"LayerNorm.weight", "LayerNorm.gamma"}, {"LayerNorm.bias", "LayerNorm.beta"}},
		Ignore:     []string{"*embeddings.position_ids"},
	})
	if c.names != nil {
		root.Ignore("cls.*") // rankers have it
	}
	sc := root.Sub("bert")
	m := &encoder{about: c.info(), embeddings: c.embeddings(s, sc.Sub("embeddings"), c.Hidden), blocks: c.layers(s, sc.Sub("encoder.layer"))}
	m.loadHeads(s, root, c)
	return m, root.Err()
}

// embeddings are BERT's, of a width.
func (f *encoderFields) embeddings(s *runtime.Stream, em *weights.Scope, width int) embeddings {
	norm := nn.LoadLayerNorm(s, em.Sub("LayerNorm"), width, f.Eps)
	e := embeddings{
		tokens:    nn.LoadEmbedding(s, em.Tensor("word_embeddings.weight", f.Vocab, width), f.Tied && f.lm),
		positions: loadEmbedding(s, em.Sub("position_embeddings"), f.Positions, width),
		norm:      &norm,
	}
	if f.Types > 0 { // GGUF files of DistilBERT have none
		e.types = loadEmbedding(s, em.Sub("token_type_embeddings"), f.Types, width)
	}
	return e
}

// layers are BERT's blocks, below a scope that has them by number.
func (f *encoderFields) layers(s *runtime.Stream, sc *weights.Scope) []block {
	blocks := make([]block, f.Layers)
	for i := range blocks {
		l := sc.Layer(i)
		at, dense := l.Sub("attention"), func(sc *weights.Scope) nn.Dense { return nn.ReadDense(sc, f.Hidden, f.Hidden, true) }
		blocks[i] = f.layer(s, l, nn.Attention{
			QKV:   nn.LoadLinear(s, dense(at.Sub("self.query")), dense(at.Sub("self.key")), dense(at.Sub("self.value"))),
			Scale: float32(1 / math.Sqrt(float64(f.Hidden/f.Heads))),
		})
	}
	return blocks
}

// layer is one of BERT's blocks around an attention of which the projections
// and the scores are set.
func (f *encoderFields) layer(s *runtime.Stream, l *weights.Scope, attn nn.Attention) *postNorm {
	attn.Out = nn.LoadLinear(s, nn.ReadDense(l.Sub("attention.output.dense"), f.Hidden, f.Hidden, true))
	attn.Heads, attn.KVHeads, attn.HeadDim = f.Heads, f.Heads, f.Hidden/f.Heads
	attn.Left, attn.Right = runtime.Unlimited, runtime.Unlimited
	mlp := nn.LoadMLP(s, nn.ReadDense(l.Sub("intermediate.dense"), f.Hidden, f.Inner, true),
		nn.ReadDense(l.Sub("output.dense"), f.Inner, f.Hidden, true), f.act)
	return &postNorm{
		norm1: nn.LoadLayerNorm(s, l.Sub("attention.output.LayerNorm"), f.Hidden, f.Eps),
		norm2: nn.LoadLayerNorm(s, l.Sub("output.LayerNorm"), f.Hidden, f.Eps),
		attn:  attn, ff: &mlp,
	}
}

func (m *encoder) loadHeads(s *runtime.Stream, root *weights.Scope, c *bertConfig) {
	if c.lm {
		cls := root.Sub("cls.predictions")
		m.lm = loadPrediction(s, cls.Sub("transform.dense"), c.Hidden, c.Hidden, c.act).
			normed(nn.LoadLayerNorm(s, cls.Sub("transform.LayerNorm"), c.Hidden, c.Eps))
		m.lm.out = c.decoder(s, m.tokens, cls, cls.Sub("decoder"), c.Hidden)
	} else {
		root.Ignore("cls.predictions.*") // a head the architecture does not have
	}
	m.heads = c.classifiers(s, root)
	if !c.is(HeadPooler) {
		return
	}
	pooler := loadPrediction(s, root.Sub("bert.pooler.dense"), c.Hidden, c.Hidden, runtime.Tanh)
	m.heads[HeadPooler] = pooler
	if c.is(HeadNext) {
		m.heads[HeadNext] = pooler.to(s, root.Sub("cls.seq_relationship"), 2)
	}
	if c.is(HeadSequence) {
		m.heads[HeadSequence] = pooler.to(s, root.Sub("classifier"), len(c.labels))
	}
}
