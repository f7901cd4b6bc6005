package model

// T5, T5 v1.1 and mT5 (Raffel et al., 2019): encoder-decoder with RMSNorm before
// each layer, biases by distance, and scores that are not scaled.

import (
	"fmt"
	"math"
	"strings"

	"github.com/godwit-ml/godwit/nn"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/weights"
)

type t5Config struct {
	Architectures []string `json:"architectures"`
	Vocab         int      `json:"vocab_size"`
	Positions     int      `json:"n_positions"`
	Hidden        int      `json:"d_model"`
	HeadDim       int      `json:"d_kv"`
	Inner         int      `json:"d_ff"`
	Layers        int      `json:"num_layers"`
	DecoderLayers *int     `json:"num_decoder_layers"`
	Heads         int      `json:"num_heads"`
	Buckets       int      `json:"relative_attention_num_buckets"`
	MaxDistance   int      `json:"relative_attention_max_distance"`
	Eps           float64  `json:"layer_norm_epsilon"`
	FeedForward   string   `json:"feed_forward_proj"`
	Tied          bool     `json:"tie_word_embeddings"`
	ScaleOutputs  *bool    `json:"scale_decoder_outputs"`
	Start         *int32   `json:"decoder_start_token_id"`
	Pad           int32    `json:"pad_token_id"`

	architecture  string
	decoderLayers int
	act           runtime.Fn
	gated         bool
	start         int32
	alpha         float32             // on the logits
	names         func(string) string // of a GGUF file; nil: Hugging Face's
}

func t5JSON(src Source, ck *weights.Checkpoint) (config, error) {
	c := &t5Config{Vocab: 32128, Positions: 512, Buckets: 32, MaxDistance: 128, Eps: 1e-6, FeedForward: "relu", Tied: true}
	if err := decode(src, c); err != nil {
		return nil, err
	}
	var err error
	if c.architecture, err = architecture(src, c.Architectures, []string{"T5ForConditionalGeneration", "MT5ForConditionalGeneration"}); err != nil {
		return nil, err
	}
	return c, c.check(src, ck)
}

// check checks the fields and finds what follows from them.
func (c *t5Config) check(src Source, ck *weights.Checkpoint) error {
	c.decoderLayers = c.Layers
	if c.DecoderLayers != nil {
		c.decoderLayers = *c.DecoderLayers
	}
	c.start = c.Pad
	if c.Start != nil {
		c.start = *c.Start
	}
	err := checkDims(src, ck, dim{"vocab_size", c.Vocab, maxWidth}, dim{"n_positions", c.Positions, maxContext},
		dim{"d_model", c.Hidden, maxWidth}, dim{"d_kv", c.HeadDim, 1 << 16}, dim{"d_ff", c.Inner, maxWidth}, dim{"num_layers", c.Layers, maxLayers},
		dim{"num_decoder_layers", c.decoderLayers, maxLayers}, dim{"num_heads", c.Heads, maxWidth},
		dim{"relative_attention_num_buckets", c.Buckets, 1 << 16}, dim{"relative_attention_max_distance", c.MaxDistance, 1 << 20})
	if err == nil {
		err = positive(src, "layer_norm_epsilon", c.Eps)
	}
	if err == nil && (c.Buckets < 4 || c.MaxDistance <= c.Buckets/2) {
		err = &ConfigError{src.File, "relative_attention_max_distance", fmt.Sprintf("is %d with %d buckets: want at least 4 buckets and more than half as much distance", c.MaxDistance, c.Buckets)}
	}
	if err == nil && (c.start < 0 || int(c.start) >= c.Vocab) {
		err = &ConfigError{src.File, "decoder_start_token_id", fmt.Sprintf("%d is not in [0, %d)", c.start, c.Vocab)}
	}
	if err == nil {
		err = c.feedForward(src)
	}
	c.alpha = 1
	if c.ScaleOutputs != nil && *c.ScaleOutputs || c.ScaleOutputs == nil && c.Tied {
		c.alpha = float32(1 / math.Sqrt(float64(c.Hidden)))
	}
	return err
}

// feedForward reads feed_forward_proj: a function, or "gated-" and one, of which
// "gated-gelu" has always meant the tanh form.
func (c *t5Config) feedForward(src Source) (err error) {
	name, gated := strings.CutPrefix(c.FeedForward, "gated-")
	if gated && name == "gelu" {
		name = "gelu_new"
	}
	c.gated = gated
	c.act, err = activation(src, "feed_forward_proj", name)
	return err
}

func (c *t5Config) info() Info {
	return Info{Family: "t5", Architecture: c.architecture, Kind: Seq2Seq, Layers: c.decoderLayers, EncoderLayers: c.Layers,
		Heads: c.Heads, KVHeads: c.Heads, HeadDim: c.HeadDim, Hidden: c.Hidden, Vocab: c.Vocab, Context: c.Positions, LM: true, Start: c.start, Distances: true}.with(
		fmt.Sprintf("positions: a bias of the scores by distance, in %d buckets", c.Buckets), unscaled, when(c.alpha != 1, "logits are scaled by %.4g", c.alpha))
}

// t5 is shared → encoder, shared → decoder → lm_head.
type t5 struct {
	config           *t5Config
	tokens           nn.Embedding
	encoder, decoder []*t5Block
	encoderNorm      nn.Norm
	decoderNorm      nn.Norm
	head             nn.Linear
}

// t5Block is a block of either stack; cross is the decoder's.
type t5Block struct {
	norm1, norm2, norm3 nn.Norm
	attn                nn.Attention
	cross               *nn.CrossAttention
	mlp                 nn.MLP
}

func (c *t5Config) load(s *runtime.Stream, ck *weights.Checkpoint, _ Options) (Model, error) {
	root := scope(ck, c.names, weights.ScopeConfig{Ignore: []string{"encoder.embed_tokens.weight", "decoder.embed_tokens.weight"}})
	m := &t5{config: c}
	m.tokens = nn.LoadEmbedding(s, root.Tensor("shared.weight", c.Vocab, c.Hidden), c.Tied)
	m.encoder = c.stack(s, root.Sub("encoder"), c.Layers, false)
	m.encoderNorm = nn.LoadRMSNorm(s, root.Sub("encoder.final_layer_norm"), c.Hidden, c.Eps)
	m.decoder = c.stack(s, root.Sub("decoder"), c.decoderLayers, true)
	m.decoderNorm = nn.LoadRMSNorm(s, root.Sub("decoder.final_layer_norm"), c.Hidden, c.Eps)
	if c.Tied {
		root.Ignore("lm_head.weight") // a copy of the embedding
		m.head = m.tokens.Head()
	} else {
		m.head = nn.LoadLinear(s, nn.ReadDense(root.Sub("lm_head"), c.Hidden, c.Vocab, false))
	}
	return m, root.Err()
}

// stack loads the blocks of the encoder or the decoder. The first block has the
// biases by distance of all.
func (c *t5Config) stack(s *runtime.Stream, sc *weights.Scope, layers int, decoder bool) []*t5Block {
	width := c.Heads * c.HeadDim
	in := func(sc *weights.Scope) nn.Dense { return nn.ReadDense(sc, c.Hidden, width, false) }
	out := func(sc *weights.Scope) nn.Dense { return nn.ReadDense(sc, width, c.Hidden, false) }
	first := sc.Sub("block").Layer(0).Sub("layer.0.SelfAttention")
	relative := nn.LoadRelative(s, first.Tensor("relative_attention_bias.weight", c.Buckets, c.Heads), c.MaxDistance, !decoder)
	var blocks []*t5Block
	for i := range layers {
		l := sc.Sub("block").Layer(i)
		at := l.Sub("layer.0.SelfAttention")
		b := &t5Block{
			norm1: nn.LoadRMSNorm(s, l.Sub("layer.0.layer_norm"), c.Hidden, c.Eps),
			attn: nn.Attention{
				QKV: nn.LoadLinear(s, in(at.Sub("q")), in(at.Sub("k")), in(at.Sub("v"))), Out: nn.LoadLinear(s, out(at.Sub("o"))),
				Heads: c.Heads, KVHeads: c.Heads, HeadDim: c.HeadDim, Scale: 1, Left: runtime.Unlimited, Right: runtime.Unlimited, Scores: relative,
			},
		}
		last := l.Sub("layer.1")
		if decoder {
			b.attn.Right = 0
			x := last.Sub("EncDecAttention")
			b.norm2 = nn.LoadRMSNorm(s, last.Sub("layer_norm"), c.Hidden, c.Eps)
			b.cross = &nn.CrossAttention{Q: nn.LoadLinear(s, in(x.Sub("q"))), KV: nn.LoadLinear(s, in(x.Sub("k")), in(x.Sub("v"))),
				Out: nn.LoadLinear(s, out(x.Sub("o"))), Heads: c.Heads, Scale: 1}
			last = l.Sub("layer.2")
		}
		b.norm3 = nn.LoadRMSNorm(s, last.Sub("layer_norm"), c.Hidden, c.Eps)
		b.mlp = c.mlp(s, last.Sub("DenseReluDense"))
		blocks = append(blocks, b)
	}
	return blocks
}

func (c *t5Config) mlp(s *runtime.Stream, sc *weights.Scope) nn.MLP {
	up := func(name string) nn.Dense { return nn.ReadDense(sc.Sub(name), c.Hidden, c.Inner, false) }
	down := nn.ReadDense(sc.Sub("wo"), c.Inner, c.Hidden, false)
	if c.gated {
		return nn.LoadGatedMLP(s, up("wi_0"), up("wi_1"), down, c.act)
	}
	return nn.LoadMLP(s, up("wi"), down, c.act)
}

func (b *t5Block) apply(st *nn.Step, layer int, x runtime.Tensor) {
	defer st.S.Release(st.S.Mark())
	h := st.S.Scratch(x.Rows, x.Cols)
	b.norm1.Apply(st.S, h, x)
	b.attn.Apply(st, layer, x, h)
	if b.cross != nil {
		b.norm2.Apply(st.S, h, x)
		b.cross.Apply(st, layer, x, h)
	}
	b.norm3.Apply(st.S, h, x)
	b.mlp.Apply(st, x, h)
}

func (m *t5) Info() Info { return m.config.info() }

func (m *t5) Encode(s *runtime.Stream, b *Batch) runtime.Tensor {
	st, ids, _ := b.upload(s, nil)
	x := s.Scratch(st.Tokens, m.config.Hidden)
	m.tokens.Apply(s, x, ids, false)
	return runBlocks(st, m.encoder, x, &m.encoderNorm)
}

func (m *t5) StoreSource(s *runtime.Stream, hidden runtime.Tensor, slots []int32, c *Cache) {
	defer s.Release(s.Mark())
	at := s.ScratchI32(1, len(slots))
	s.UploadI32(at, slots)
	for i, b := range m.decoder {
		b.cross.Store(s, c.K[i], c.V[i], hidden, at, c.BlockSize)
	}
}

func (m *t5) Forward(s *runtime.Stream, b *Batch, c *Cache) runtime.Tensor {
	st, ids, _ := b.upload(s, c)
	x := s.Scratch(st.Tokens, m.config.Hidden)
	m.tokens.Apply(s, x, ids, false)
	return runBlocks(st, m.decoder, x, &m.decoderNorm)
}

func (m *t5) Logits(s *runtime.Stream, hidden runtime.Tensor) runtime.Tensor {
	out := s.Scratch(hidden.Rows, m.head.Out)
	m.head.Apply(s, out, hidden, nn.Epilogue{Alpha: m.config.alpha})
	return out
}
