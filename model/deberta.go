package model

// DeBERTa-v2 and v3 (He et al., 2020 and 2021): BERT's blocks with disentangled
// attention, whose scores also compare contents with distances, both ways. There
// are usually no positions among the embeddings. The embeddings of distances are
// projected by each layer when it is loaded, as no input changes them.

import (
	"encoding/json"
	"math"
	"slices"
	"strings"

	"github.com/godwit-ml/godwit/nn"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/weights"
)

type debertaConfig struct {
	encoderFields
	Width        *int    `json:"embedding_size"`
	HeadSize     *int    `json:"attention_head_size"`
	Biased       bool    `json:"position_biased_input"`
	Relative     bool    `json:"relative_attention"`
	AttTypes     orList  `json:"pos_att_type"`
	ShareKey     bool    `json:"share_att_key"`
	PosBuckets   int     `json:"position_buckets"`
	MaxRelative  int     `json:"max_relative_positions"`
	NormRelative *string `json:"norm_rel_ebd"`
	ConvKernel   int     `json:"conv_kernel_size"`
	PoolerAct    string  `json:"pooler_hidden_act"`
	PoolerSize   *int    `json:"pooler_hidden_size"`
	Legacy       bool    `json:"legacy"`

	width     int
	span      int // distances on either side
	poolerAct runtime.Fn
}

// orList is words in a list, or in one text with bars between them.
type orList []string

// UnmarshalJSON reads either form.
func (l *orList) UnmarshalJSON(data []byte) error {
	var list []string
	if len(data) > 0 && data[0] == '"' {
		var text string
		if err := json.Unmarshal(data, &text); err != nil {
			return err
		}
		list = strings.Split(strings.ToLower(text), "|")
	} else if err := json.Unmarshal(data, &list); err != nil {
		return err
	}
	for _, w := range list {
		*l = append(*l, strings.TrimSpace(w))
	}
	return nil
}

func debertaJSON(src Source, ck *weights.Checkpoint) (config, error) {
	c := &debertaConfig{encoderFields: encoderDefaults(), Biased: true, PosBuckets: -1, MaxRelative: -1, PoolerAct: "gelu", Legacy: true}
	c.Vocab, c.Types, c.Hidden, c.Inner, c.Layers, c.Heads, c.Eps = 128100, 0, 1536, 6144, 24, 24, 1e-7
	if err := decode(src, c); err != nil {
		return nil, err
	}
	k := &checker{src: src, ck: ck}
	c.check(k)
	k.contradicts(c.Types < 0 || c.Types > maxWidth, "type_vocab_size", "is %d, want 0 to %d", c.Types, maxWidth)
	c.width = c.Hidden
	if c.Width != nil {
		c.width = *c.Width
	}
	k.dims(dim{"embedding_size", c.width, maxWidth})
	if c.HeadSize != nil && c.Heads > 0 {
		k.refuse(*c.HeadSize != c.Hidden/c.Heads, "attention_head_size", *c.HeadSize, "hidden_size / num_attention_heads")
	}
	k.refuse(c.ConvKernel > 0, "conv_kernel_size", c.ConvKernel, "0")
	c.checkRelative(k)
	c.classed = k.encoderClass(c.Architectures, "DebertaV2")
	if c.is(HeadSequence) {
		c.poolerAct = k.activation("pooler_hidden_act", c.PoolerAct)
		k.contradicts(c.PoolerSize != nil && *c.PoolerSize != c.Hidden, "pooler_hidden_size", "differs from hidden_size, %d", c.Hidden)
	}
	k.contradicts(c.lm && !c.Legacy && c.width != c.Hidden, "embedding_size", "is %d, but the head of legacy false has hidden_size, %d", c.width, c.Hidden)
	c.checkLabels(k, c.classed, 2, "classifier.weight")
	return c, k.err
}

// checkRelative checks what the attention says of distances.
func (c *debertaConfig) checkRelative(k *checker) {
	for _, t := range c.AttTypes {
		k.refuse(t != "c2p" && t != "p2c", "pos_att_type", t, "c2p", "p2c")
	}
	if !c.Relative {
		return
	}
	if c.MaxRelative < 1 {
		c.MaxRelative = c.Positions
	}
	if c.span = c.PosBuckets; c.span <= 0 {
		c.span = c.MaxRelative
	}
	k.dims(dim{"max_relative_positions", c.MaxRelative, maxContext}, dim{"position_buckets", c.span, maxContext})
	k.contradicts(c.PosBuckets == 1 || c.PosBuckets > 1 && c.MaxRelative-1 <= c.PosBuckets/2 && c.Positions-1 > c.PosBuckets/2,
		"position_buckets", "is %d for distances of up to %d: want at least 2, and half of them below the distance", c.PosBuckets, c.MaxRelative-1)
}

// has reports whether the attention has a kind of score of distances.
func (c *debertaConfig) has(kind string) bool { return slices.Contains(c.AttTypes, kind) }

// normed reports whether the embeddings of distances are normalised.
func (c *debertaConfig) normed() bool {
	if c.NormRelative == nil {
		return false
	}
	for w := range strings.SplitSeq(strings.ToLower(*c.NormRelative), "|") {
		if strings.TrimSpace(w) == "layer_norm" {
			return true
		}
	}
	return false
}

func (c *debertaConfig) info() Info {
	in := c.encoderFields.info()
	in.Family, in.Distances = "deberta-v2", c.Relative
	return in.with(when(c.Relative, "positions: relative, by content"), when(!c.Biased, "positions: none in the embeddings"))
}

// deberta is BERT's encoder with a projection of the embeddings before their norm.
type deberta struct {
	encoder
	project   *nn.Linear // nil: the embeddings are as wide as the blocks
	inputNorm nn.Norm
}

func (c *debertaConfig) load(s *runtime.Stream, ck *weights.Checkpoint, opt Options) (Model, error) {
	root := ck.Scope(weights.ScopeConfig{
		Strip:      []string{"deberta."},
		Alternates: [][2]string{{"LayerNorm.weight", "LayerNorm.gamma"}, {"LayerNorm.bias", "LayerNorm.beta"}},
		Ignore:     []string{"*embeddings.position_ids", "mask_predictions.*"},
	})
	sc := root.Sub("deberta")
	em := sc.Sub("embeddings")
	m := &deberta{encoder: encoder{about: c.info(), heads: c.classifiers(s, root)},
		inputNorm: nn.LoadLayerNorm(s, em.Sub("LayerNorm"), c.Hidden, c.Eps)}
	m.tokens = nn.LoadEmbedding(s, em.Tensor("word_embeddings.weight", c.Vocab, c.width), c.lm && (c.Tied || !c.Legacy))
	if c.Biased {
		m.positions = loadEmbedding(s, em.Sub("position_embeddings"), c.Positions, c.width)
	} else {
		em.Ignore(em.Name("position_embeddings.weight"))
	}
	if c.Types > 0 {
		m.types = loadEmbedding(s, em.Sub("token_type_embeddings"), c.Types, c.width)
	}
	if c.width != c.Hidden {
		project := nn.LoadLinear(s, nn.ReadDense(em.Sub("embed_proj"), c.width, c.Hidden, false))
		m.project = &project
	}
	c.loadBlocks(s, sc.Sub("encoder"), m, opt.positions(c.Positions))
	c.loadLM(s, root, m)
	if c.is(HeadSequence) {
		m.heads[HeadSequence] = loadPrediction(s, root.Sub("pooler.dense"), c.Hidden, c.Hidden, c.poolerAct).to(s, root.Sub("classifier"), len(c.labels))
	} else {
		root.Ignore("pooler.*")
	}
	return m, root.Err()
}

func (c *debertaConfig) loadLM(s *runtime.Stream, root *weights.Scope, m *deberta) {
	switch {
	case c.lm && c.Legacy:
		cls := root.Sub("cls.predictions")
		m.lm = loadPrediction(s, cls.Sub("transform.dense"), c.Hidden, c.width, c.act).
			normed(nn.LoadLayerNorm(s, cls.Sub("transform.LayerNorm"), c.width, c.Eps))
		m.lm.out = c.decoder(s, m.tokens, cls, cls.Sub("decoder"), c.width)
		root.Ignore("lm_predictions.*")
	case c.lm:
		lm := root.Sub("lm_predictions.lm_head")
		m.lm = loadPrediction(s, lm.Sub("dense"), c.Hidden, c.Hidden, c.act).normed(nn.LoadLayerNorm(s, lm.Sub("LayerNorm"), c.Hidden, c.Eps))
		m.lm.out = m.tokens.Head().WithBias(s, nn.ReadVector(lm, "bias", c.Vocab))
		root.Ignore("cls.predictions.*")
	default:
		root.Ignore("cls.predictions.*", "lm_predictions.*") // heads the architecture does not have
	}
}

// loadBlocks binds the layers, and computes what each makes of distances.
func (c *debertaConfig) loadBlocks(s *runtime.Stream, sc *weights.Scope, m *deberta, positions int) {
	defer s.Release(s.Mark())
	kinds := 1
	for _, kind := range []string{"c2p", "p2c"} {
		if c.has(kind) {
			kinds++
		}
	}
	scale := float32(1 / math.Sqrt(float64(c.Hidden/c.Heads*kinds)))
	distances := c.distances(s, sc)
	var index runtime.Tensor
	if !distances.IsZero() {
		index = nn.LoadDistances(s, positions, c.span, c.bucket)
	}
	for i := range c.Layers {
		l := sc.Sub("layer").Layer(i)
		at := l.Sub("attention.self")
		dense := func(name string) nn.Dense { return nn.ReadDense(at.Sub(name), c.Hidden, c.Hidden, true) }
		attn := nn.Attention{QKV: nn.LoadLinear(s, dense("query_proj"), dense("key_proj"), dense("value_proj")), Scale: scale}
		if c.Relative && len(c.AttTypes) > 0 {
			d := &nn.Disentangled{Index: index, Heads: c.Heads, Buckets: 2 * c.span, ScoreUnit: scale}
			projections := []nn.Dense{{}, {}}
			if !c.ShareKey && c.has("c2p") {
				projections[0] = dense("pos_key_proj")
			}
			if !c.ShareKey && c.has("p2c") {
				projections[1] = dense("pos_query_proj")
			}
			if !distances.IsZero() { // what is missing the scope reports
				c.project(s, d, distances, &attn.QKV, projections)
			}
			attn.Scores = d
		}
		m.blocks = append(m.blocks, c.layer(s, l, attn))
	}
}

// distances is the embeddings of distances [2·span, D], in scratch, normalised if
// they are to be; absent if there are none.
func (c *debertaConfig) distances(s *runtime.Stream, sc *weights.Scope) runtime.Tensor {
	var norm nn.Norm
	if c.normed() {
		norm = nn.LoadLayerNorm(s, sc.Sub("LayerNorm"), c.Hidden, c.Eps)
	}
	if !c.Relative {
		return runtime.Tensor{}
	}
	table := sc.Tensor("rel_embeddings.weight", 2*c.span, c.Hidden)
	if table.IsZero() { // missing, which the scope reports
		return table
	}
	x := s.Scratch(table.Rows, table.Cols)
	s.UploadF32(x, table.Float().F32s())
	if c.normed() && !norm.Weight.IsZero() {
		norm.Apply(s, x, x)
	}
	return x
}

// project computes what a layer makes of the embeddings of distances: with its
// projections of contents, or with some of their own for keys and for queries.
func (c *debertaConfig) project(s *runtime.Stream, d *nn.Disentangled, distances runtime.Tensor, qkv *nn.Linear, own []nn.Dense) {
	defer s.Release(s.Mark())
	byHead := func(l *nn.Linear, from int) runtime.Tensor {
		if l.Out < from+c.Hidden { // a part is missing
			return runtime.Tensor{}
		}
		x := s.Scratch(distances.Rows, l.Out)
		l.Apply(s, x, distances, nn.Epilogue{})
		return nn.LoadByHead(s, x.ColRange(from, from+c.Hidden), c.Heads)
	}
	part := func(i, from int) runtime.Tensor {
		if c.ShareKey {
			return byHead(qkv, from)
		}
		l := nn.LoadLinear(s, own[i])
		return byHead(&l, 0)
	}
	if c.has("c2p") {
		d.Key = part(0, c.Hidden)
	}
	if c.has("p2c") {
		d.Query = part(1, 0)
	}
}

// bucket is that of a distance, query position less key position.
func (c *debertaConfig) bucket(distance int) int {
	if c.PosBuckets <= 0 {
		return distance
	}
	return nn.LogBucket(distance, c.PosBuckets, c.MaxRelative)
}

// Forward implements Model.
func (m *deberta) Forward(s *runtime.Stream, b *Batch, c *Cache) runtime.Tensor {
	st, ids, types := b.upload(s, c)
	x := m.embed(st, ids, types)
	if m.project != nil {
		wide := s.Scratch(st.Tokens, m.project.Out)
		m.project.Apply(s, wide, x, nn.Epilogue{})
		x = wide
	}
	m.inputNorm.Apply(s, x, x)
	return runBlocks(st, m.blocks, x, m.norm)
}
