package model

// Cache: the paged keys and values of a decoder.

import (
	"fmt"

	"github.com/godwit-ml/godwit/runtime"
)

// Cache holds the keys and values of all sequences, in blocks of BlockSize
// tokens. Who owns which block is the engine's business.
type Cache struct {
	K, V      []runtime.Tensor // a layer: [Blocks·BlockSize, KVHeads·HeadDim] of DType
	DType     runtime.DType
	Blocks    int
	BlockSize int

	dev runtime.Device
}

// CacheBytes is the size of a cache of so many tokens.
func CacheBytes(in Info, dtype runtime.DType, tokens int) int64 {
	row := int64(in.KVHeads*in.HeadDim) / int64(dtype.BlockSize()) * int64(dtype.TypeSize())
	return 2 * int64(in.Layers) * row * int64(tokens)
}

// NewCache allocates a cache where the stream keeps them.
func NewCache(s *runtime.Stream, in Info, dtype runtime.DType, blocks, blockSize int) (*Cache, error) {
	width := in.KVHeads * in.HeadDim
	if width%dtype.BlockSize() != 0 {
		return nil, fmt.Errorf("model: a cache of %v needs rows of a multiple of %d, %s has %d: choose f32, f16 or bf16", dtype, dtype.BlockSize(), in.Architecture, width)
	}
	c := &Cache{DType: dtype, Blocks: blocks, BlockSize: blockSize, dev: s.CacheDevice()}
	alloc := func() (runtime.Tensor, error) {
		t := runtime.Tensor{DType: dtype, Rows: blocks * blockSize, Cols: width, Stride: width / dtype.BlockSize()}
		m, err := c.dev.Alloc(int64(t.Rows) * t.RowBytes())
		t.Mem = m
		return t, err
	}
	for range in.Layers {
		k, err := alloc()
		if err != nil {
			c.Close()
			return nil, err
		}
		c.K = append(c.K, k)
		v, err := alloc()
		if err != nil {
			c.Close()
			return nil, err
		}
		c.V = append(c.V, v)
	}
	return c, nil
}

// Copy copies whole blocks, of every layer: what a sequence does before it
// writes to a block it shares.
func (c *Cache) Copy(s *runtime.Stream, src, dst []int32) {
	if len(src) == 0 {
		return
	}
	defer s.Release(s.Mark())
	from, to := s.ScratchI32(1, len(src)), s.ScratchI32(1, len(dst))
	s.UploadI32(from, src)
	s.UploadI32(to, dst)
	for _, layers := range [2][]runtime.Tensor{c.K, c.V} {
		for _, t := range layers {
			s.CopyBlocks(runtime.CopyBlocks{Cache: t, Src: from, Dst: to, BlockSize: c.BlockSize})
		}
	}
}

// Close frees the memory.
func (c *Cache) Close() {
	for _, layers := range [2][]runtime.Tensor{c.K, c.V} {
		for _, t := range layers {
			c.dev.Free(t.Mem)
		}
	}
	c.K, c.V = nil, nil
}
