package model

// DistilBERT (Sanh et al., 2019): BERT distilled to half its layers, without
// token types and without a pooler, and with names of its own for everything.

import (
	"math"

	"github.com/godwit-ml/godwit/nn"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/weights"
)

type distilbertConfig struct {
	encoderFields
}

// distilbertEps is in no configuration.
const distilbertEps = 1e-12

func distilbertJSON(src Source, ck *weights.Checkpoint) (config, error) {
	// How the table of positions was made, sinusoidal_pos_embds, does not matter:
	// it is stored.
	var j struct {
		Architectures []string `json:"architectures"`
		Vocab         int      `json:"vocab_size"`
		Positions     int      `json:"max_position_embeddings"`
		Hidden        int      `json:"dim"`
		Inner         int      `json:"hidden_dim"`
		Layers        int      `json:"n_layers"`
		Heads         int      `json:"n_heads"`
		Activation    string   `json:"activation"`
		Tied          bool     `json:"tie_word_embeddings"`
		labelFields
	}
	j.Vocab, j.Positions, j.Hidden, j.Inner, j.Layers, j.Heads = 30522, 512, 768, 4*768, 6, 12
	j.Activation, j.Tied = "gelu", true
	err := decode(src, &j, map[string]string{"hidden_size": "dim", "num_attention_heads": "n_heads", "num_hidden_layers": "n_layers"})
	if err != nil {
		return nil, err
	}
	c := &distilbertConfig{encoderFields{Vocab: j.Vocab, Positions: j.Positions, Hidden: j.Hidden, Inner: j.Inner, Layers: j.Layers,
		Heads: j.Heads, Eps: distilbertEps, Tied: j.Tied, labelFields: j.labelFields}}
	k := &checker{src: src, ck: ck}
	k.dims(dim{"vocab_size", c.Vocab, maxWidth}, dim{"max_position_embeddings", c.Positions, maxContext}, dim{"dim", c.Hidden, maxWidth},
		dim{"hidden_dim", c.Inner, maxWidth}, dim{"n_layers", c.Layers, maxLayers}, dim{"n_heads", c.Heads, maxWidth})
	k.divides("n_heads", c.Hidden, c.Heads)
	c.act = k.activation("activation", j.Activation)
	c.classed = k.encoderClass(j.Architectures, "DistilBert")
	c.checkLabels(k, c.classed, 2, "classifier.weight")
	return c, k.err
}

func (c *distilbertConfig) info() Info {
	in := c.encoderFields.info()
	in.Family = "distilbert"
	return in
}

func (c *distilbertConfig) load(s *runtime.Stream, ck *weights.Checkpoint, _ Options) (Model, error) {
	root := ck.Scope(weights.ScopeConfig{Strip: []string{"distilbert."}})
	sc := root.Sub("distilbert")
	em, layers := sc.Sub("embeddings"), sc.Sub("transformer.layer")
	norm := func(sc *weights.Scope) nn.Norm { return nn.LoadLayerNorm(s, sc, c.Hidden, c.Eps) }
	dense := func(sc *weights.Scope) nn.Dense { return nn.ReadDense(sc, c.Hidden, c.Hidden, true) }
	first := norm(em.Sub("LayerNorm"))
	m := &encoder{about: c.info(), heads: c.classifiers(s, root), embeddings: embeddings{
		tokens:    nn.LoadEmbedding(s, em.Tensor("word_embeddings.weight", c.Vocab, c.Hidden), c.Tied && c.lm),
		positions: loadEmbedding(s, em.Sub("position_embeddings"), c.Positions, c.Hidden),
		norm:      &first,
	}}
	for i := range c.Layers {
		l := layers.Layer(i)
		at := l.Sub("attention")
		mlp := nn.LoadMLP(s, nn.ReadDense(l.Sub("ffn.lin1"), c.Hidden, c.Inner, true), nn.ReadDense(l.Sub("ffn.lin2"), c.Inner, c.Hidden, true), c.act)
		m.blocks = append(m.blocks, &postNorm{
			norm1: norm(l.Sub("sa_layer_norm")), norm2: norm(l.Sub("output_layer_norm")), ff: &mlp,
			attn: nn.Attention{
				QKV:   nn.LoadLinear(s, dense(at.Sub("q_lin")), dense(at.Sub("k_lin")), dense(at.Sub("v_lin"))),
				Out:   nn.LoadLinear(s, dense(at.Sub("out_lin"))),
				Heads: c.Heads, KVHeads: c.Heads, HeadDim: c.Hidden / c.Heads,
				Scale: float32(1 / math.Sqrt(float64(c.Hidden/c.Heads))), Left: runtime.Unlimited, Right: runtime.Unlimited,
			},
		})
	}
	if c.lm {
		projector := root.Sub("vocab_projector")
		m.lm = loadPrediction(s, root.Sub("vocab_transform"), c.Hidden, c.Hidden, c.act).normed(norm(root.Sub("vocab_layer_norm")))
		m.lm.out = c.decoder(s, m.tokens, projector, projector, c.Hidden)
	} else {
		root.Ignore("vocab_*") // a head the architecture does not have
	}
	if c.is(HeadSequence) {
		m.heads[HeadSequence] = loadPrediction(s, root.Sub("pre_classifier"), c.Hidden, c.Hidden, runtime.Relu).to(s, root.Sub("classifier"), len(c.labels))
	}
	return m, root.Err()
}
