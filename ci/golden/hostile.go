package golden

// What makes a mistake in addressing visible: shuffled blocks, and poison in all
// memory that should not be read.

import (
	"math"

	"github.com/godwit-ml/godwit/model"
	"github.com/godwit-ml/godwit/quant"
	"github.com/godwit-ml/godwit/runtime"
)

// shuffled is a permutation of 0 … n-1 without runs: multiplication by a number
// that shares no factor with n.
func shuffled(n int) func(int) int32 {
	k := max(n*5/8, 1)
	for gcd(k, n) != 1 {
		k++
	}
	return func(i int) int32 { return int32((i*k + n/2) % n) }
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// poison is NaN and 1e30 by turns: a NaN shows everywhere but in a maximum, a
// huge number even there.
func poison(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		if x[i] = 1e30; i%2 == 0 {
			x[i] = float32(math.NaN())
		}
	}
	return x
}

// poisonCache fills a cache. The halves and blocks of other types than F32 get
// all their bits set, which is NaN in F16, BF16 and the scale of Q8_0.
func poisonCache(s *runtime.Stream, c *model.Cache) error {
	for _, layers := range [2][]runtime.Tensor{c.K, c.V} {
		for _, t := range layers {
			b := make([]byte, t.Span())
			for i := range b {
				b[i] = 0xff
			}
			if t.DType == runtime.F32 {
				if err := quant.Encode(b, poison(t.Rows*t.Cols), quant.F32); err != nil {
					return err
				}
			}
			if err := s.CacheDevice().Upload(t, b); err != nil {
				return err
			}
		}
	}
	return nil
}

// poisonScratch fills the scratch memory a step will get; 1 MiB is the least a
// stream takes at a time, and more than a tiny model needs.
func poisonScratch(s *runtime.Stream) {
	s.Reset()
	n := int(max(s.ScratchBytes(), 1<<20)) / 4
	const width = 256
	t := s.Scratch(n/width, width)
	s.UploadF32(t, poison(t.Rows*t.Cols))
	s.Reset()
}
