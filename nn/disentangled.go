package nn

// Disentangled attention: DeBERTa's scores of contents with distances.

import (
	"math"

	"github.com/godwit-ml/godwit/runtime"
)

// Disentangled adds what contents and distances make of one another to scores
// (He et al., 2020, section 3.1): scale·(q_i·P_t + k_j·C_t), with t the bucket of
// the distance of i from j, P its embedding as a key and C as a query. Neither
// depends on the input, so both are computed once, when a model is loaded.
type Disentangled struct {
	Index     runtime.Tensor // I32 [1, 2M+1]: the bucket of key - query, clamped to ±M
	Key       runtime.Tensor // [Heads·buckets, HeadDim]: P by head; absent: contents do not score distances
	Query     runtime.Tensor // [Heads·buckets, HeadDim]: C by head; absent: distances do not score contents
	Heads     int
	Buckets   int     // 2·span
	ScoreUnit float32 // scale
}

// Scored implements Scores.
func (d *Disentangled) Scored(st *Step, op runtime.Attention) runtime.Attention {
	op.RelIndex = d.Index
	op.QRel = d.by(st.S, op.Q, d.Key)
	op.KRel = d.by(st.S, op.K, d.Query)
	return op
}

// by is each head of x times its own rows of w: [T, Heads·buckets].
func (d *Disentangled) by(s *runtime.Stream, x, w runtime.Tensor) runtime.Tensor {
	if w.IsZero() {
		return runtime.Tensor{}
	}
	out := s.Scratch(x.Rows, d.Heads*d.Buckets)
	s.MatMul(runtime.MatMul{Out: out, X: x, W: w, Groups: d.Heads, Alpha: d.ScoreUnit})
	return out
}

// LoadByHead loads embeddings of distances x [buckets, Heads·HeadDim], which may
// be a view of scratch, as Disentangled wants them: the features of a head below
// those of the head before it.
func LoadByHead(s *runtime.Stream, x runtime.Tensor, heads int) runtime.Tensor {
	v := make([]float32, x.Rows*x.Cols)
	s.DownloadF32(v, x)
	if s.Sync() != nil {
		return runtime.Tensor{}
	}
	n := x.Cols / heads
	w := make([]float32, 0, len(v))
	for h := range heads {
		for r := range x.Rows {
			w = append(w, v[r*x.Cols+h*n:][:n]...)
		}
	}
	return s.LoadWeight(runtime.HostF32(heads*x.Rows, n, w), runtime.UseProduct)
}

// LogBucket is DeBERTa-v2's bucket of a distance, query position less key
// position: distances of up to half the buckets have one each, longer ones share
// some that widen logarithmically up to most. The logarithms are float32's, as a
// bucket ends where their quotient is whole.
func LogBucket(distance, buckets, most int) int {
	mid := buckets / 2
	n := max(distance, -distance)
	if n <= mid {
		return distance
	}
	log := func(v float64) float32 { return float32(math.Log(float64(float32(v)))) }
	over := log(float64(n)/float64(mid)) / log(float64(most-1)/float64(mid)) * float32(mid-1)
	b := int(math.Ceil(float64(over))) + mid
	if distance < 0 {
		return -b
	}
	return b
}

// LoadDistances is the table of Disentangled.Index for positions 0 … positions-1:
// a bucket of a distance is at span, the distances of 0, plus what bucket says,
// and buckets beyond ±span are the last ones.
func LoadDistances(s *runtime.Stream, positions, span int, bucket func(distance int) int) runtime.Tensor {
	index := make([]int32, 2*positions-1)
	for i := range index {
		index[i] = int32(min(max(bucket(positions-1-i)+span, 0), 2*span-1)) // i counts key - query
	}
	return s.LoadWeight(runtime.HostI32(1, len(index), index), runtime.UseVector)
}
