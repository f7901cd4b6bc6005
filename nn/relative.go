package nn

// Relative position biases by distance, as T5 has them.

import (
	"math"

	"github.com/godwit-ml/godwit/runtime"
)

// Relative is a bias of the scores by bucketed distance (Raffel et al., 2019,
// section 2.1). All layers of a stack share it.
type Relative struct {
	Index runtime.Tensor // I32 [1, 2M+1]: the bucket of key - query, clamped to ±M
	Bias  runtime.Tensor // F32 [buckets, Heads]
}

// LoadRelative puts a host table of biases [buckets, heads] on the device. Beyond
// maxDistance all distances share a bucket, so that the index is exact.
func LoadRelative(s *runtime.Stream, bias runtime.Tensor, maxDistance int, bidirectional bool) *Relative {
	if bias.IsZero() {
		return &Relative{}
	}
	index := make([]int32, 2*maxDistance+1)
	for i := range index {
		index[i] = int32(RelativeBucket(i-maxDistance, bias.Rows, maxDistance, bidirectional))
	}
	return &Relative{
		Index: s.LoadWeight(runtime.HostI32(1, len(index), index), runtime.UseVector),
		Bias:  s.LoadWeight(bias.Float(), runtime.UseVector),
	}
}

// RelativeBucket is the bucket of a distance, key position less query position.
// Half of the buckets of a direction are for one distance each, the others for
// ranges that grow logarithmically up to maxDistance. A decoder, which is not
// bidirectional, sees no key after the query.
func RelativeBucket(distance, buckets, maxDistance int, bidirectional bool) int {
	start, n := 0, -distance
	if bidirectional {
		buckets /= 2
		if distance > 0 {
			start, n = buckets, distance
		}
	}
	n = max(n, 0)
	exact := buckets / 2
	if n < exact {
		return start + n
	}
	over := math.Log(float64(n)/float64(exact)) / math.Log(float64(maxDistance)/float64(exact)) * float64(buckets-exact)
	return start + min(exact+int(over), buckets-1)
}

// Scored implements Scores.
func (r *Relative) Scored(_ *Step, op runtime.Attention) runtime.Attention {
	op.RelIndex, op.RelBias = r.Index, r.Bias
	return op
}
