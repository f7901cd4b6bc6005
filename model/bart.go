package model

// BART (Lewis et al., 2019): encoder-decoder with BERT's arrangement, a norm after
// each sum, in both stacks; learned positions, whose tables begin with two rows
// for nothing; and a bias on the logits.

import (
	"math"

	"github.com/godwit-ml/godwit/nn"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/weights"
)

type bartConfig struct {
	Architectures  []string `json:"architectures"`
	Vocab          int      `json:"vocab_size"`
	Positions      int      `json:"max_position_embeddings"`
	Hidden         int      `json:"d_model"`
	EncoderLayers  int      `json:"encoder_layers"`
	EncoderHeads   int      `json:"encoder_attention_heads"`
	EncoderInner   int      `json:"encoder_ffn_dim"`
	DecoderLayers  int      `json:"decoder_layers"`
	DecoderHeads   int      `json:"decoder_attention_heads"`
	DecoderInner   int      `json:"decoder_ffn_dim"`
	Activation     string   `json:"activation_function"`
	ScaleEmbedding bool     `json:"scale_embedding"`
	Tied           bool     `json:"tie_word_embeddings"`
	Both           bool     `json:"is_encoder_decoder"`
	Start          *int32   `json:"decoder_start_token_id"`
	BOS            *int32   `json:"bos_token_id"`

	architecture string
	act          runtime.Fn
	start        int32
}

const (
	bartEps    = 1e-5 // of norms; in no configuration
	bartOffset = 2    // first row of the table of positions that is one's
)

func bartJSON(src Source, ck *weights.Checkpoint) (config, error) {
	c := &bartConfig{Vocab: 50265, Positions: 1024, Hidden: 1024, EncoderLayers: 12, EncoderHeads: 16, EncoderInner: 4096,
		DecoderLayers: 12, DecoderHeads: 16, DecoderInner: 4096, Activation: "gelu", Tied: true, Both: true, Start: new(int32(2)), BOS: new(int32(0))}
	err := decode(src, c, map[string]string{"num_attention_heads": "encoder_attention_heads", "hidden_size": "d_model", "num_hidden_layers": "encoder_layers"})
	if err != nil {
		return nil, err
	}
	k := &checker{src: src, ck: ck}
	k.dims(dim{"vocab_size", c.Vocab, maxWidth}, dim{"max_position_embeddings", c.Positions, maxContext}, dim{"d_model", c.Hidden, maxWidth},
		dim{"encoder_layers", c.EncoderLayers, maxLayers}, dim{"decoder_layers", c.DecoderLayers, maxLayers},
		dim{"encoder_attention_heads", c.EncoderHeads, maxWidth}, dim{"decoder_attention_heads", c.DecoderHeads, maxWidth},
		dim{"encoder_ffn_dim", c.EncoderInner, maxWidth}, dim{"decoder_ffn_dim", c.DecoderInner, maxWidth})
	k.divides("encoder_attention_heads", c.Hidden, c.EncoderHeads)
	k.divides("decoder_attention_heads", c.Hidden, c.DecoderHeads)
	c.act = k.activation("activation_function", c.Activation)
	k.refuse(!c.Both, "is_encoder_decoder", false, "true")
	switch field, id := "decoder_start_token_id", c.Start; {
	case id == nil && c.BOS == nil:
		k.contradicts(true, field, "is null, and so is bos_token_id: with what does a decoder begin?")
	case id == nil:
		field, id = "bos_token_id", c.BOS
		fallthrough
	default:
		c.start = *id
		k.contradicts(c.start < 0 || int(c.start) >= c.Vocab, field, "%d is not in [0, %d)", c.start, c.Vocab)
	}
	c.architecture, err = architecture(src, c.Architectures, []string{"BartForConditionalGeneration"})
	k.keep(err)
	return c, k.err
}

func (c *bartConfig) info() Info {
	in := Info{Family: "bart", Architecture: c.architecture, Kind: Seq2Seq, Layers: c.DecoderLayers, EncoderLayers: c.EncoderLayers,
		Heads: c.DecoderHeads, KVHeads: c.DecoderHeads, HeadDim: c.Hidden / c.DecoderHeads,
		Hidden: c.Hidden, Vocab: c.Vocab, Context: c.Positions, LM: true, Start: c.start}
	if c.EncoderHeads != c.DecoderHeads {
		in.EncoderHeads = c.EncoderHeads
	}
	return in.with(normsAfter)
}

// bart is embeddings → encoder, embeddings → decoder → lm_head.
type bart struct {
	about       Info
	read, write embeddings // the encoder's and the decoder's
	encoder     []*postNorm
	decoder     []*bartBlock
	head        nn.Linear
}

// bartBlock is a block of the decoder: postNorm with the attention to the source
// between its halves.
type bartBlock struct {
	norm1, norm2, norm3 nn.Norm
	attn                nn.Attention
	cross               nn.CrossAttention
	ff                  feedForward
}

func (b *bartBlock) apply(st *nn.Step, layer int, x runtime.Tensor) {
	b.attn.Apply(st, layer, x, x)
	b.norm1.Apply(st.S, x, x)
	b.cross.Apply(st, layer, x, x)
	b.norm2.Apply(st.S, x, x)
	b.ff.Apply(st, x, x)
	b.norm3.Apply(st.S, x, x)
}

func (c *bartConfig) load(s *runtime.Stream, ck *weights.Checkpoint, _ Options) (Model, error) {
	root := ck.Scope(weights.ScopeConfig{Strip: []string{"model."}})
	sc := root.Sub("model")
	m := &bart{about: c.info()}
	c.loadTokens(s, root, sc, m)
	for i := range c.EncoderLayers {
		l := sc.Sub("encoder.layers").Layer(i)
		m.encoder = append(m.encoder, &postNorm{
			norm1: c.norm(s, l.Sub("self_attn_layer_norm")), norm2: c.norm(s, l.Sub("final_layer_norm")),
			attn: c.attention(s, l.Sub("self_attn"), c.EncoderHeads, runtime.Unlimited), ff: c.mlp(s, l, c.EncoderInner),
		})
	}
	for i := range c.DecoderLayers {
		l := sc.Sub("decoder.layers").Layer(i)
		x := l.Sub("encoder_attn")
		m.decoder = append(m.decoder, &bartBlock{
			norm1: c.norm(s, l.Sub("self_attn_layer_norm")), norm2: c.norm(s, l.Sub("encoder_attn_layer_norm")), norm3: c.norm(s, l.Sub("final_layer_norm")),
			attn: c.attention(s, l.Sub("self_attn"), c.DecoderHeads, 0),
			cross: nn.CrossAttention{Q: nn.LoadLinear(s, c.dense(x.Sub("q_proj"))), KV: nn.LoadLinear(s, c.dense(x.Sub("k_proj")), c.dense(x.Sub("v_proj"))),
				Out: nn.LoadLinear(s, c.dense(x.Sub("out_proj"))), Heads: c.DecoderHeads, Scale: c.scale(c.DecoderHeads)},
			ff: c.mlp(s, l, c.DecoderInner),
		})
	}
	return m, root.Err()
}

// loadTokens binds what reads and writes tokens. One table is stored for all, by
// whatever name, or a table each if they are not tied.
func (c *bartConfig) loadTokens(s *runtime.Stream, root, sc *weights.Scope, m *bart) {
	names := []string{"shared", "encoder.embed_tokens", "decoder.embed_tokens"}
	table := func(first string) nn.Embedding {
		for _, name := range append([]string{first}, names...) {
			if sc.Has(name + ".weight") {
				first = name
				break
			}
		}
		e := nn.LoadEmbedding(s, sc.Tensor(first+".weight", c.Vocab, c.Hidden), c.Tied)
		if c.ScaleEmbedding {
			e.Scale = float32(math.Sqrt(float64(c.Hidden)))
		}
		return e
	}
	if c.Tied {
		m.read.tokens = table("shared")
		m.write.tokens, m.head = m.read.tokens, m.read.tokens.Head()
		root.Ignore("*shared.weight", "*embed_tokens.weight", "lm_head.weight") // copies
	} else {
		m.read.tokens, m.write.tokens = table("encoder.embed_tokens"), table("decoder.embed_tokens")
		m.head = nn.LoadLinear(s, nn.ReadDense(root.Sub("lm_head"), c.Hidden, c.Vocab, false))
		root.Ignore("*shared.weight")
	}
	if bias := root.Optional("final_logits_bias", 1, c.Vocab); !bias.IsZero() && m.head.Out > 0 {
		m.head = m.head.WithBias(s, bias.Float())
	}
	for _, e := range []struct {
		*embeddings
		sc *weights.Scope
	}{{&m.read, sc.Sub("encoder")}, {&m.write, sc.Sub("decoder")}} {
		positions := e.sc.Tensor("embed_positions.weight", c.Positions+bartOffset, c.Hidden)
		if !positions.IsZero() {
			positions = positions.RowRange(bartOffset, positions.Rows)
		}
		table, norm := nn.LoadEmbedding(s, positions, false), c.norm(s, e.sc.Sub("layernorm_embedding"))
		e.positions, e.norm = &table, &norm
	}
}

func (c *bartConfig) norm(s *runtime.Stream, sc *weights.Scope) nn.Norm {
	return nn.LoadLayerNorm(s, sc, c.Hidden, bartEps)
}

func (c *bartConfig) dense(sc *weights.Scope) nn.Dense {
	return nn.ReadDense(sc, c.Hidden, c.Hidden, true)
}

func (c *bartConfig) scale(heads int) float32 {
	return float32(1 / math.Sqrt(float64(c.Hidden/heads)))
}

func (c *bartConfig) attention(s *runtime.Stream, sc *weights.Scope, heads, right int) nn.Attention {
	return nn.Attention{
		QKV:   nn.LoadLinear(s, c.dense(sc.Sub("q_proj")), c.dense(sc.Sub("k_proj")), c.dense(sc.Sub("v_proj"))),
		Out:   nn.LoadLinear(s, c.dense(sc.Sub("out_proj"))),
		Heads: heads, KVHeads: heads, HeadDim: c.Hidden / heads, Scale: c.scale(heads), Left: runtime.Unlimited, Right: right,
	}
}

func (c *bartConfig) mlp(s *runtime.Stream, l *weights.Scope, inner int) *nn.MLP {
	mlp := nn.LoadMLP(s, nn.ReadDense(l.Sub("fc1"), c.Hidden, inner, true), nn.ReadDense(l.Sub("fc2"), inner, c.Hidden, true), c.act)
	return &mlp
}

// Info implements Model.
func (m *bart) Info() Info { return m.about }

// Encode implements EncoderDecoder.
func (m *bart) Encode(s *runtime.Stream, b *Batch) runtime.Tensor {
	st, ids, types := b.upload(s, nil)
	return runBlocks(st, m.encoder, m.read.embed(st, ids, types), nil)
}

// StoreSource implements EncoderDecoder.
func (m *bart) StoreSource(s *runtime.Stream, hidden runtime.Tensor, slots []int32, c *Cache) {
	defer s.Release(s.Mark())
	at := s.ScratchI32(1, len(slots))
	s.UploadI32(at, slots)
	for i, b := range m.decoder {
		b.cross.Store(s, c.K[i], c.V[i], hidden, at, c.BlockSize)
	}
}

// Forward implements Model.
func (m *bart) Forward(s *runtime.Stream, b *Batch, c *Cache) runtime.Tensor {
	st, ids, types := b.upload(s, c)
	return runBlocks(st, m.decoder, m.write.embed(st, ids, types), nil)
}

// Logits implements Model.
func (m *bart) Logits(s *runtime.Stream, hidden runtime.Tensor) runtime.Tensor {
	return vocabulary(s, &m.head, hidden)
}
