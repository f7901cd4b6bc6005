package model

// BERT (Devlin et al., 2018): post-norm encoder with learned positions and
// token types, and every head transformers gives it but the decoder's.

import (
	"math"
	"slices"

	"github.com/godwit-ml/godwit/nn"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/weights"
)

type bertConfig struct {
	Architectures  []string          `json:"architectures"`
	Vocab          int               `json:"vocab_size"`
	Positions      int               `json:"max_position_embeddings"`
	Types          int               `json:"type_vocab_size"`
	Hidden         int               `json:"hidden_size"`
	Inner          int               `json:"intermediate_size"`
	Layers         int               `json:"num_hidden_layers"`
	Heads          int               `json:"num_attention_heads"`
	Activation     string            `json:"hidden_act"`
	Eps            float64           `json:"layer_norm_eps"`
	Tied           bool              `json:"tie_word_embeddings"`
	PositionType   string            `json:"position_embedding_type"`
	IsDecoder      bool              `json:"is_decoder"`
	CrossAttention bool              `json:"add_cross_attention"`
	ID2Label       map[string]string `json:"id2label"`
	ProblemType    string            `json:"problem_type"`

	architecture string
	act          runtime.Fn
	lm           bool
	heads        []Head
	labels       []string
}

var bertArchitectures = []string{"BertModel", "BertForMaskedLM", "BertForPreTraining", "BertForSequenceClassification",
	"BertForTokenClassification", "BertForQuestionAnswering", "BertForNextSentencePrediction"}

func bertJSON(src Source, ck *weights.Checkpoint) (config, error) {
	c := &bertConfig{Vocab: 30522, Positions: 512, Types: 2, Activation: "gelu", Eps: 1e-12, Tied: true, PositionType: "absolute"}
	if err := decode(src, c); err != nil {
		return nil, err
	}
	for what, is := range map[string]bool{
		"is_decoder true":                           c.IsDecoder,
		"add_cross_attention true":                  c.CrossAttention,
		"position_embedding_type " + c.PositionType: c.PositionType != "absolute",
	} {
		if is {
			return nil, &UnsupportedError{File: src.File, What: what}
		}
	}
	err := checkDims(src, ck, dim{"vocab_size", c.Vocab, maxWidth}, dim{"max_position_embeddings", c.Positions, maxContext},
		dim{"type_vocab_size", c.Types, maxWidth}, dim{"hidden_size", c.Hidden, maxWidth}, dim{"intermediate_size", c.Inner, maxWidth},
		dim{"num_hidden_layers", c.Layers, maxLayers}, dim{"num_attention_heads", c.Heads, maxWidth})
	if err == nil {
		err = divides(src, "num_attention_heads", c.Hidden, c.Heads)
	}
	if err == nil {
		err = positive(src, "layer_norm_eps", c.Eps)
	}
	if err == nil {
		c.act, err = activation(src, "hidden_act", c.Activation)
	}
	if err == nil {
		c.architecture, err = architecture(src, c.Architectures, bertArchitectures)
	}
	if err == nil {
		c.labels, err = labels(src, c.ID2Label)
	}
	if err != nil {
		return nil, err
	}
	c.findHeads(ck)
	return c, nil
}

// findHeads lists the heads: what the architecture has, and those a checkpoint
// brings along, as google-bert/bert-base-uncased does.
func (c *bertConfig) findHeads(ck *weights.Checkpoint) {
	has := func(name string) bool {
		_, plain := ck.Info(name)
		_, prefixed := ck.Info("bert." + name)
		return plain || prefixed
	}
	is := func(names ...string) bool {
		for _, n := range names {
			if c.architecture == "BertFor"+n {
				return true
			}
		}
		return false
	}
	c.lm = is("MaskedLM", "PreTraining")
	next := is("PreTraining", "NextSentencePrediction") || has("cls.seq_relationship.weight")
	if is("PreTraining", "NextSentencePrediction", "SequenceClassification") || has("pooler.dense.weight") {
		c.heads = append(c.heads, HeadPooler)
		if next {
			c.heads = append(c.heads, HeadNext)
		}
	}
	switch {
	case is("SequenceClassification"):
		c.heads = append(c.heads, HeadSequence)
	case is("TokenClassification"):
		c.heads = append(c.heads, HeadToken)
	case is("QuestionAnswering"):
		c.heads = append(c.heads, HeadSpan)
	}
}

func (c *bertConfig) info() Info {
	in := Info{Family: "bert", Architecture: c.architecture, Kind: Encode, Layers: c.Layers, Heads: c.Heads, KVHeads: c.Heads,
		HeadDim: c.Hidden / c.Heads, Hidden: c.Hidden, Vocab: c.Vocab, Context: c.Positions, Types: c.Types, LM: c.lm, HeadList: c.heads}
	for _, h := range c.heads {
		if h == HeadSequence || h == HeadToken {
			in.Labels = c.labels
			in.MultiLabel = c.ProblemType == "multi_label_classification"
		}
	}
	return in
}

// bert is embeddings → layers, with the heads the checkpoint has.
type bert struct {
	config                   *bertConfig
	tokens, positions, types nn.Embedding
	norm                     nn.Norm
	blocks                   []*bertBlock

	transform     nn.Linear // masked LM: dense, norm, decoder
	transformNorm nn.Norm
	decoder       nn.Linear
	pooler        nn.Linear
	others        map[Head]nn.Linear
}

type bertBlock struct {
	attn         nn.Attention
	mlp          nn.MLP
	norm1, norm2 nn.Norm
}

func (c *bertConfig) load(s *runtime.Stream, ck *weights.Checkpoint, _ Options) (Model, error) {
	root := ck.Scope(weights.ScopeConfig{
		Strip:      []string{"bert."},
		Alternates: [][2]string{{"LayerNorm.weight", "LayerNorm.gamma"}, {"LayerNorm.bias", "LayerNorm.beta"}},
		Ignore:     []string{"*embeddings.position_ids", "cls.predictions.decoder.bias"},
	})
	sc := root.Sub("bert")
	m := &bert{config: c, others: map[Head]nn.Linear{}}
	em := sc.Sub("embeddings")
	words := em.Tensor("word_embeddings.weight", c.Vocab, c.Hidden)
	m.tokens = nn.LoadEmbedding(s, words, c.Tied && c.lm)
	m.positions = nn.LoadEmbedding(s, em.Tensor("position_embeddings.weight", c.Positions, c.Hidden), false)
	m.types = nn.LoadEmbedding(s, em.Tensor("token_type_embeddings.weight", c.Types, c.Hidden), false)
	m.norm = nn.LoadLayerNorm(s, em.Sub("LayerNorm"), c.Hidden, c.Eps)
	for i := range c.Layers {
		l := sc.Sub("encoder.layer").Layer(i)
		at, dense := l.Sub("attention"), func(sc *weights.Scope) nn.Dense { return nn.ReadDense(sc, c.Hidden, c.Hidden, true) }
		m.blocks = append(m.blocks, &bertBlock{
			attn: nn.Attention{
				QKV:   nn.LoadLinear(s, dense(at.Sub("self.query")), dense(at.Sub("self.key")), dense(at.Sub("self.value"))),
				Out:   nn.LoadLinear(s, dense(at.Sub("output.dense"))),
				Heads: c.Heads, KVHeads: c.Heads, HeadDim: c.Hidden / c.Heads,
				Scale: float32(1 / math.Sqrt(float64(c.Hidden/c.Heads))), Left: runtime.Unlimited, Right: runtime.Unlimited,
			},
			norm1: nn.LoadLayerNorm(s, at.Sub("output.LayerNorm"), c.Hidden, c.Eps),
			mlp: nn.LoadMLP(s, nn.ReadDense(l.Sub("intermediate.dense"), c.Hidden, c.Inner, true),
				nn.ReadDense(l.Sub("output.dense"), c.Inner, c.Hidden, true), c.act),
			norm2: nn.LoadLayerNorm(s, l.Sub("output.LayerNorm"), c.Hidden, c.Eps),
		})
	}
	m.loadHeads(s, root)
	return m, root.Err()
}

func (m *bert) loadHeads(s *runtime.Stream, root *weights.Scope) {
	c, cls := m.config, root.Sub("cls.predictions")
	if c.lm {
		m.transform = nn.LoadLinear(s, nn.ReadDense(cls.Sub("transform.dense"), c.Hidden, c.Hidden, true))
		m.transformNorm = nn.LoadLayerNorm(s, cls.Sub("transform.LayerNorm"), c.Hidden, c.Eps)
		bias := nn.ReadVector(cls, "bias", c.Vocab)
		if c.Tied {
			root.Ignore("cls.predictions.decoder.weight") // a copy of the embedding
			m.decoder = m.tokens.Head()
		} else {
			m.decoder = nn.LoadLinear(s, nn.ReadDense(cls.Sub("decoder"), c.Hidden, c.Vocab, false))
		}
		m.decoder = m.decoder.WithBias(s, bias)
	} else {
		root.Ignore("cls.predictions.*") // a head the architecture does not have
	}
	for _, h := range c.heads {
		switch h {
		case HeadPooler:
			m.pooler = nn.LoadLinear(s, nn.ReadDense(root.Sub("bert.pooler.dense"), c.Hidden, c.Hidden, true))
		case HeadNext:
			m.others[h] = nn.LoadLinear(s, nn.ReadDense(root.Sub("cls.seq_relationship"), c.Hidden, 2, true))
		case HeadSequence, HeadToken:
			m.others[h] = nn.LoadLinear(s, nn.ReadDense(root.Sub("classifier"), c.Hidden, len(c.labels), true))
		case HeadSpan:
			m.others[h] = nn.LoadLinear(s, nn.ReadDense(root.Sub("qa_outputs"), c.Hidden, 2, true))
		}
	}
}

func (b *bertBlock) apply(st *nn.Step, layer int, x runtime.Tensor) {
	b.attn.Apply(st, layer, x, x)
	b.norm1.Apply(st.S, x, x)
	b.mlp.Apply(st, x, x)
	b.norm2.Apply(st.S, x, x)
}

// Info implements Model.
func (m *bert) Info() Info { return m.config.info() }

// Forward implements Model.
func (m *bert) Forward(s *runtime.Stream, b *Batch, c *Cache) runtime.Tensor {
	st, ids, types := b.upload(s, c)
	x := s.Scratch(st.Tokens, m.config.Hidden)
	m.tokens.Apply(s, x, ids, false)
	m.positions.Apply(s, x, st.Positions, true)
	m.types.Apply(s, x, types, true)
	m.norm.Apply(s, x, x)
	return runBlocks(st, m.blocks, x, nil)
}

// Logits implements Model.
func (m *bert) Logits(s *runtime.Stream, hidden runtime.Tensor) runtime.Tensor {
	if !m.config.lm {
		return runtime.Tensor{}
	}
	t := s.Scratch(hidden.Rows, hidden.Cols)
	m.transform.Apply(s, t, hidden, nn.Epilogue{Act: m.config.act})
	m.transformNorm.Apply(s, t, t)
	return vocabulary(s, &m.decoder, t)
}

// Head implements Encoder.
func (m *bert) Head(s *runtime.Stream, h Head, hidden runtime.Tensor) runtime.Tensor {
	if !slices.Contains(m.config.heads, h) {
		return runtime.Tensor{}
	}
	if h == HeadPooler || h == HeadNext || h == HeadSequence {
		pooled := s.Scratch(hidden.Rows, hidden.Cols)
		m.pooler.Apply(s, pooled, hidden, nn.Epilogue{Act: runtime.Tanh})
		if h == HeadPooler {
			return pooled
		}
		hidden = pooled
	}
	head := m.others[h]
	return vocabulary(s, &head, hidden)
}
