package model

// BLOOM (Le Scao et al., 2022), and BloombergGPT (Wu et al., 2023), which has its
// blocks: positions are linear biases of the scores (ALiBi), and the embeddings
// are normalised. q, k and v of a head lie together in query_key_value.

import (
	"github.com/godwit-ml/godwit/nn"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/weights"
)

// bloomContext is how long the texts were that BLOOM was trained on: nothing
// else bounds its positions.
const bloomContext = 2048

type bloomConfig struct {
	Architectures []string `json:"architectures"`
	Vocab         int      `json:"vocab_size"`
	Hidden        int      `json:"hidden_size"`
	Layers        int      `json:"n_layer"`
	Heads         int      `json:"n_head"`
	Eps           float64  `json:"layer_norm_epsilon"`
	Context       int      `json:"seq_length"`
	PostResidual  bool     `json:"apply_residual_connection_post_layernorm"`
	Ranks         int      `json:"pretraining_tp"`
	SlowExact     bool     `json:"slow_but_exact"`
	Tied          bool     `json:"tie_word_embeddings"`

	architecture string
	lm           bool
	names        func(string) string // of a GGUF file; nil: Hugging Face's
}

func bloomJSON(src Source, ck *weights.Checkpoint) (config, error) {
	c := &bloomConfig{Vocab: 250880, Hidden: 64, Layers: 2, Heads: 8, Eps: 1e-5, Context: bloomContext, Ranks: 1, Tied: true}
	if err := decode(src, c, map[string]string{"n_embed": "hidden_size", "num_hidden_layers": "n_layer", "num_attention_heads": "n_head"}); err != nil {
		return nil, err
	}
	k := checker{src: src, ck: ck}
	k.refuse(c.SlowExact && c.Ranks > 1, "slow_but_exact", true) // transformers then leaves biases out
	c.check(&k, "BloomForCausalLM", "BloomModel")
	return c, k.err
}

// check checks the sizes; have are the classes, first the one with a head.
func (c *bloomConfig) check(k *checker, have ...string) {
	c.architecture, c.lm = k.class(c.Architectures, have...)
	k.dims(dim{"vocab_size", c.Vocab, maxWidth}, dim{"hidden_size", c.Hidden, maxWidth}, dim{"n_layer", c.Layers, maxLayers},
		dim{"n_head", c.Heads, maxWidth}, dim{"seq_length", c.Context, maxContext})
	k.divides("n_head", c.Hidden, c.Heads)
	k.positive("layer_norm_epsilon", c.Eps)
}

func (c *bloomConfig) info() Info {
	return Info{Family: "bloom", Architecture: c.architecture, Kind: Decoder, Layers: c.Layers, Heads: c.Heads, KVHeads: c.Heads,
		HeadDim: c.Hidden / c.Heads, Hidden: c.Hidden, Vocab: c.Vocab, Context: c.Context, LM: c.lm}.with(
		"positions: ALiBi, a slope a head", "norms: of the embeddings, too", when(c.PostResidual, "norms: in the residual stream"))
}

// bloom is word_embeddings → word_embeddings_layernorm → h → ln_f → lm_head.
type bloom struct {
	decoder
	first nn.Norm
}

func (c *bloomConfig) load(s *runtime.Stream, ck *weights.Checkpoint, _ Options) (Model, error) {
	root := scope(ck, c.names, weights.ScopeConfig{Strip: []string{"transformer."}})
	sc := root.Sub("transformer")
	m := &bloom{decoder: decoder{about: c.info()}}
	m.loadTokens(s, sc.Sub("word_embeddings"), c.Tied)
	m.first = nn.LoadLayerNorm(s, sc.Sub("word_embeddings_layernorm"), c.Hidden, c.Eps)
	hd := c.Hidden / c.Heads
	alibi := nn.LoadAlibi(s, c.Heads)
	for i := range c.Layers {
		l := sc.Sub("h").Layer(i)
		at := l.Sub("self_attention")
		b := preNorm{
			norm1: nn.LoadLayerNorm(s, l.Sub("input_layernorm"), c.Hidden, c.Eps),
			norm2: nn.LoadLayerNorm(s, l.Sub("post_attention_layernorm"), c.Hidden, c.Eps),
			attn: nn.Attention{
				QKV:   nn.LoadLinear(s, readGroups(at, "query_key_value", c.Hidden, c.Heads, 1, hd, true)...),
				Out:   nn.LoadLinear(s, nn.ReadDense(at.Sub("dense"), c.Hidden, c.Hidden, true)),
				Heads: c.Heads, KVHeads: c.Heads, HeadDim: hd, Scale: rsqrt(hd), Left: runtime.Unlimited, Scores: alibi,
			},
			ff: new(nn.LoadMLP(s, nn.ReadDense(l.Sub("mlp.dense_h_to_4h"), c.Hidden, 4*c.Hidden, true),
				nn.ReadDense(l.Sub("mlp.dense_4h_to_h"), 4*c.Hidden, c.Hidden, true), runtime.GeluTanh)),
		}
		if c.PostResidual {
			m.blocks = append(m.blocks, new(normResidual(b)))
		} else {
			m.blocks = append(m.blocks, &b)
		}
	}
	m.norm = new(nn.LoadLayerNorm(s, sc.Sub("ln_f"), c.Hidden, c.Eps))
	m.loadHead(s, root.Sub("lm_head"), c.Tied, false)
	return m, root.Err()
}

// Forward implements Model.
func (m *bloom) Forward(s *runtime.Stream, b *Batch, c *Cache) runtime.Tensor {
	st, ids, _ := b.upload(s, c)
	x := m.embed(st, ids)
	m.first.Apply(s, x, x)
	return runBlocks(st, m.blocks, x, m.norm)
}

// normResidual is x = h + Attention(h) with h = norm1(x), x = h + F(h) with
// h = norm2(x): the norms are in the residual stream itself.
type normResidual preNorm

func (b *normResidual) apply(st *nn.Step, layer int, x runtime.Tensor) {
	b.norm1.Apply(st.S, x, x)
	b.attn.Apply(st, layer, x, x)
	b.norm2.Apply(st.S, x, x)
	b.ff.Apply(st, x, x)
}
