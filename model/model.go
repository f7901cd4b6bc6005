package model

// Model: what every family offers, and how one is found for a checkpoint.

import (
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/weights"
)

// Model is one checkpoint on a device. It is used with one stream at a time.
type Model interface {
	Info() Info
	// Forward runs a checked batch and returns hidden [T, D], the input of the
	// heads, valid until the stream's scratch is released. Decoders read and
	// extend the cache; encoders take none.
	Forward(s *runtime.Stream, b *Batch, c *Cache) runtime.Tensor
	// Logits is the vocabulary's scores [n, V] of rows of hidden [n, D]. A model
	// without a vocabulary head gives an absent tensor.
	Logits(s *runtime.Stream, hidden runtime.Tensor) runtime.Tensor
}

// Head names an output other than the vocabulary's.
type Head string

// The heads of encoders, and what rows of hidden they want.
const (
	HeadPooler   Head = "pooler"   // first token of each sequence → [n, D]
	HeadNext     Head = "next"     // first token → [n, 2]: is next sentence, is not
	HeadSequence Head = "sequence" // a summary of each sequence → [n, labels]
	HeadToken    Head = "token"    // every token → [n, labels]
	HeadSpan     Head = "span"     // every token → [n, 2]: start, end of an answer
)

// Encoder is a model that has heads beside the vocabulary's.
type Encoder interface {
	Model
	// Head applies a head that Info lists to rows of hidden [n, D]; of another it
	// gives an absent tensor.
	Head(s *runtime.Stream, h Head, hidden runtime.Tensor) runtime.Tensor
}

// EncoderDecoder is a model that reads a source with an encoder and writes with a
// decoder. Forward and Logits are the decoder's, whose batches name sources; its
// cache holds their keys and values too, in blocks of their own.
type EncoderDecoder interface {
	Model
	// Encode runs the encoder over a batch without slots: hidden [S, D].
	Encode(s *runtime.Stream, b *Batch) runtime.Tensor
	// StoreSource writes what the decoder's layers read of sources, hidden [S, D],
	// to slots [S] of the cache.
	StoreSource(s *runtime.Stream, hidden runtime.Tensor, slots []int32, c *Cache)
}

// Kind is the shape of a Transformer.
type Kind string

// The kinds.
const (
	Decoder Kind = "decoder"
	Encode  Kind = "encoder"
	Seq2Seq Kind = "encoder-decoder"
)

// Info is what a configuration says of a model.
type Info struct {
	Family        string // "gpt2", "llama", "bert": the row in families
	Architecture  string // as the checkpoint calls it: "LlamaForCausalLM"
	Kind          Kind
	Layers        int
	Heads         int
	KVHeads       int
	HeadDim       int
	Hidden        int      // D
	Vocab         int      // V
	Context       int      // positions
	RopeLimit     int      // longrope: a sequence that grows beyond so many tokens rotates otherwise from its first token on, so that its keys in the cache are void; 0: never
	Types         int      // token types; 0: none
	LM            bool     // has a vocabulary head: causal or masked
	HeadList      []Head   // other heads
	Summary       Pooling  // what HeadSequence reads of a sequence; "": its first token
	Labels        []string // of HeadSequence or HeadToken
	Start         int32    // of encoder-decoders: the token a decoder begins with
	EncoderLayers int      // of encoder-decoders; Layers are the decoder's
	EncoderHeads  int      // of encoder-decoders whose stacks differ in it; 0: Heads
	Distances     bool     // attention of an encoder counts the tokens between two: none may be left out between them
	MultiLabel    bool     // labels do not exclude one another: sigmoid, not softmax
	Unusual       []string // what a reader may not expect of its positions, masks and norms
	Regression    bool     // a label's score is a number of its own, no probability
}

// Source is where a configuration comes from: config.json, or the metadata of a
// GGUF file.
type Source struct {
	File   string         // for errors
	Config []byte         // config.json
	GGUF   map[string]any // or the metadata
}

// Options of loading.
type Options struct {
	Context int // positions to be ready for; 0: as many as the checkpoint has
}

// positions is how many positions tables are made for, of as many as the
// checkpoint has.
func (o Options) positions(most int) int {
	if o.Context <= 0 || o.Context > most {
		return most
	}
	return o.Context
}

// config is a family's configuration, read and checked.
type config interface {
	info() Info
	// load binds all weights through a scope of the checkpoint.
	load(s *runtime.Stream, ck *weights.Checkpoint, opt Options) (Model, error)
}

// Describe reads a configuration without touching weights.
func Describe(src Source, ck *weights.Checkpoint) (Info, error) {
	c, err := parse(src, ck)
	if err != nil {
		return Info{}, err
	}
	return c.info(), nil
}

// Load binds the weights of a checkpoint and loads them on the stream's device.
// The checkpoint must stay open for as long as the model is used. All missing,
// misshapen and unused tensors are in the one error.
func Load(s *runtime.Stream, ck *weights.Checkpoint, src Source, opt Options) (Model, error) {
	c, err := parse(src, ck)
	if err != nil {
		return nil, err
	}
	m, err := c.load(s, ck, opt)
	if err == nil {
		err = s.Err()
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

// Rows gathers rows of hidden [T, D] by index.
func Rows(s *runtime.Stream, hidden runtime.Tensor, rows []int32) runtime.Tensor {
	ids := s.ScratchI32(1, len(rows))
	s.UploadI32(ids, rows)
	out := s.Scratch(len(rows), hidden.Cols)
	s.Gather(runtime.Gather{Out: out, Table: hidden, IDs: ids})
	return out
}
