package model

// Encoder: what encoder-only families share around their blocks, and the heads
// on top of them.

import (
	"github.com/godwit-ml/godwit/nn"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/weights"
)

// encoder is embeddings → blocks → norm, with heads. A family that does more to
// the embeddings has a Forward of its own.
type encoder struct {
	about Info
	embeddings
	blocks []block
	norm   *nn.Norm    // nil: blocks end with a norm
	lm     *prediction // nil: no vocabulary head
	heads  map[Head]*prediction
}

// Info implements Model.
func (m *encoder) Info() Info { return m.about }

// Forward implements Model.
func (m *encoder) Forward(s *runtime.Stream, b *Batch, c *Cache) runtime.Tensor {
	st, ids, types := b.upload(s, c)
	return runBlocks(st, m.blocks, m.embed(st, ids, types), m.norm)
}

// Logits implements Model.
func (m *encoder) Logits(s *runtime.Stream, hidden runtime.Tensor) runtime.Tensor {
	return m.lm.apply(s, hidden)
}

// Head implements Encoder.
func (m *encoder) Head(s *runtime.Stream, h Head, hidden runtime.Tensor) runtime.Tensor {
	return m.heads[h].apply(s, hidden)
}

// embeddings is norm(tokens + positions + types).
type embeddings struct {
	tokens           nn.Embedding
	positions, types *nn.Embedding // nil: there are none
	norm             *nn.Norm      // nil: the family has it elsewhere
}

// embed is the residual stream before the first block [T, D].
func (e *embeddings) embed(st *nn.Step, ids, types runtime.Tensor) runtime.Tensor {
	x := st.S.Scratch(st.Tokens, e.tokens.Table.Cols)
	e.tokens.Apply(st.S, x, ids, false)
	if e.positions != nil {
		e.positions.Apply(st.S, x, st.Positions, true)
	}
	if e.types != nil {
		e.types.Apply(st.S, x, types, true)
	}
	if e.norm != nil {
		e.norm.Apply(st.S, x, x)
	}
	return x
}

// loadEmbedding puts a table of a scope on the device.
func loadEmbedding(s *runtime.Stream, sc *weights.Scope, rows, cols int) *nn.Embedding {
	e := nn.LoadEmbedding(s, sc.Tensor("weight", rows, cols), false)
	return &e
}

// prediction is a head: out(norm(act(dense(x)))), of which parts may be missing.
type prediction struct {
	dense nn.Linear // Out 0: neither this nor act
	act   runtime.Fn
	norm  *nn.Norm
	out   nn.Linear // Out 0: none, as of a pooler
}

// apply computes the head of rows of hidden [n, D]; absent if p is nil.
func (p *prediction) apply(s *runtime.Stream, x runtime.Tensor) runtime.Tensor {
	if p == nil {
		return runtime.Tensor{}
	}
	if p.dense.Out > 0 {
		h := s.Scratch(x.Rows, p.dense.Out)
		p.dense.Apply(s, h, x, nn.Epilogue{Act: p.act})
		if p.norm != nil {
			p.norm.Apply(s, h, h)
		}
		x = h
	}
	if p.out.Out == 0 {
		return x
	}
	return vocabulary(s, &p.out, x)
}

// encoderFields are the fields of config.json that most families of encoders have.
type encoderFields struct {
	Architectures  []string `json:"architectures"`
	Vocab          int      `json:"vocab_size"`
	Positions      int      `json:"max_position_embeddings"`
	Types          int      `json:"type_vocab_size"`
	Hidden         int      `json:"hidden_size"`
	Inner          int      `json:"intermediate_size"`
	Layers         int      `json:"num_hidden_layers"`
	Heads          int      `json:"num_attention_heads"`
	Activation     string   `json:"hidden_act"`
	Eps            float64  `json:"layer_norm_eps"`
	Tied           bool     `json:"tie_word_embeddings"`
	PositionType   *string  `json:"position_embedding_type"`
	IsDecoder      bool     `json:"is_decoder"`
	CrossAttention bool     `json:"add_cross_attention"`
	labelFields

	act   runtime.Fn
	names func(string) string // of a GGUF file; nil: Hugging Face's
	classed
}

// encoderDefaults are BERT's in transformers, of fields a file may leave out.
func encoderDefaults() encoderFields {
	return encoderFields{Vocab: 30522, Positions: 512, Types: 2, Hidden: 768, Inner: 3072, Layers: 12, Heads: 12, Activation: "gelu", Eps: 1e-12, Tied: true}
}

// check checks all but what is the family's own.
func (f *encoderFields) check(k *checker) {
	k.dims(dim{"vocab_size", f.Vocab, maxWidth}, dim{"max_position_embeddings", f.Positions, maxContext},
		dim{"hidden_size", f.Hidden, maxWidth}, dim{"intermediate_size", f.Inner, maxWidth},
		dim{"num_hidden_layers", f.Layers, maxLayers}, dim{"num_attention_heads", f.Heads, maxWidth})
	k.divides("num_attention_heads", f.Hidden, f.Heads)
	k.positive("layer_norm_eps", f.Eps)
	f.act = k.activation("hidden_act", f.Activation)
	k.refuse(f.IsDecoder, "is_decoder", true)
	k.refuse(f.CrossAttention, "add_cross_attention", true)
	if f.PositionType != nil {
		k.refuse(*f.PositionType != "absolute", "position_embedding_type", *f.PositionType, "absolute")
	}
}

// info is what the fields say; the family's name is still to be set.
func (f *encoderFields) info() Info {
	in := Info{Architecture: f.class, Kind: Encode, Layers: f.Layers, Heads: f.Heads, KVHeads: f.Heads, HeadDim: f.Hidden / f.Heads,
		Hidden: f.Hidden, Vocab: f.Vocab, Context: f.Positions, Types: f.Types, LM: f.lm, HeadList: f.list}
	f.label(&in, f.classed)
	return in
}

// classed is what the class of a checkpoint has on top of its blocks.
type classed struct {
	class string
	lm    bool
	list  []Head
}

// is reports whether there is a head.
func (c *classed) is(h Head) bool {
	for _, have := range c.list {
		if have == h {
			return true
		}
	}
	return false
}

// encoderClass is the class a configuration names, of those that every family of
// encoders has: the body alone, a masked LM, and classifiers of sequences, tokens
// and spans. more are classes of the family's own, for it to deal with.
func (k *checker) encoderClass(names []string, prefix string, more ...string) classed {
	have := []string{"Model", "ForMaskedLM", "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering"}
	heads := []Head{"", "", HeadSequence, HeadToken, HeadSpan}
	have = append(have, more...)
	for i := range have {
		have[i] = prefix + have[i]
	}
	name, err := architecture(k.src, names, have)
	k.keep(err)
	c := classed{class: name, lm: name == prefix+"ForMaskedLM"}
	for i, h := range heads {
		if h != "" && name == have[i] {
			c.list = append(c.list, h)
		}
	}
	return c
}

// stores reports whether the checkpoint has a tensor, with or without a prefix.
func (k *checker) stores(prefix, name string) bool {
	_, plain := k.ck.Info(name)
	_, prefixed := k.ck.Info(prefix + name)
	return plain || prefixed
}

// loadPrediction binds what comes before the last product of a head.
func loadPrediction(s *runtime.Stream, dense *weights.Scope, in, out int, act runtime.Fn) *prediction {
	return &prediction{dense: nn.LoadLinear(s, nn.ReadDense(dense, in, out, true)), act: act}
}

// normed is a prediction with a norm before its last product.
func (p *prediction) normed(norm nn.Norm) *prediction {
	p.norm = &norm
	return p
}

// to is a prediction with another last product, of n outputs.
func (p *prediction) to(s *runtime.Stream, sc *weights.Scope, n int) *prediction {
	q := *p
	q.out = nn.LoadLinear(s, nn.ReadDense(sc, p.dense.Out, n, true))
	return &q
}

// classifiers binds the heads that read a token's hidden state as it is; those
// of whole sequences are the family's own.
func (f *encoderFields) classifiers(s *runtime.Stream, root *weights.Scope) map[Head]*prediction {
	heads := map[Head]*prediction{}
	if f.is(HeadToken) {
		heads[HeadToken] = &prediction{out: nn.LoadLinear(s, nn.ReadDense(root.Sub("classifier"), f.Hidden, len(f.labels), true))}
	}
	if f.is(HeadSpan) {
		heads[HeadSpan] = &prediction{out: nn.LoadLinear(s, nn.ReadDense(root.Sub("qa_outputs"), f.Hidden, 2, true))}
	}
	return heads
}

// decoder is the last product of a masked LM of a width: the embedding of tokens
// if they are tied, else a matrix of the scope. Its bias is the head's; a matrix
// of its own may have one too, which then counts.
func (f *encoderFields) decoder(s *runtime.Stream, tokens nn.Embedding, head, decoder *weights.Scope, width int) nn.Linear {
	if f.Tied {
		head.Ignore(decoder.Name("weight"), decoder.Name("bias")) // copies
		return tokens.Head().WithBias(s, nn.ReadVector(head, "bias", f.Vocab))
	}
	w := nn.ReadDense(decoder, width, f.Vocab, decoder.Has("bias"))
	if w.Bias.IsZero() {
		w.Bias = nn.ReadVector(head, "bias", f.Vocab)
	}
	head.Ignore(head.Name("bias"))
	return nn.LoadLinear(s, w)
}
