package nn

// Mixtures of experts against sums written as loops, in both forms of storage and
// with types of their own.

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/godwit-ml/godwit/quant"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/runtime/devicetest"
)

const (
	moeTokens, moeHidden, moeInner, moeExperts = 70, 32, 64, 5 // more tokens than a tile of a product
)

// moeWeights are the router and the matrices of each expert.
type moeWeights struct {
	router         runtime.Tensor
	gate, up, down []runtime.Tensor
}

func newMoE(t *testing.T, gate, up, down quant.Type) moeWeights {
	w := moeWeights{router: random(moeExperts, moeHidden)}
	for range moeExperts {
		w.gate = append(w.gate, as(t, random(moeInner, moeHidden), gate))
		w.up = append(w.up, as(t, random(moeInner, moeHidden), up))
		w.down = append(w.down, as(t, random(moeHidden, moeInner), down))
	}
	return w
}

// wanted is x + MoE(h) in float64.
func (w moeWeights) wanted(x, h runtime.Tensor, k int, normalise bool) []float32 {
	out := slices.Clone(x.F32s())
	for t := range h.Rows {
		row := h.RowRange(t, t+1)
		scores := product(row, w.router, runtime.Tensor{})
		order := make([]int, moeExperts)
		sum := 0.0
		for e := range order {
			order[e] = e
			sum += math.Exp(float64(scores[e]))
		}
		slices.SortStableFunc(order, func(a, b int) int { return int(math.Copysign(1, float64(scores[b]-scores[a]))) })
		if normalise {
			sum = 0
			for _, e := range order[:k] {
				sum += math.Exp(float64(scores[e]))
			}
		}
		for _, e := range order[:k] {
			mid := product(row, w.gate[e], runtime.Tensor{})
			for i, u := range product(row, w.up[e], runtime.Tensor{}) {
				mid[i] *= u / float32(1+math.Exp(-float64(mid[i]))) // silu
			}
			weight := math.Exp(float64(scores[e])) / sum
			for i, v := range product(runtime.HostF32(1, moeInner, mid), w.down[e], runtime.Tensor{}) {
				out[t*moeHidden+i] += float32(weight * float64(v))
			}
		}
	}
	return out
}

func TestMoE(t *testing.T) {
	for _, row := range []struct {
		gate, up, down quant.Type
		k              int
		norm           runtime.TopKNorm
		apart          bool // gate and up of all experts stacked apart, as GGUF files have them
	}{
		{quant.F32, quant.F32, quant.F32, 1, runtime.SoftmaxTop, false},
		{quant.F32, quant.F32, quant.F32, 2, runtime.SoftmaxTop, false},
		{quant.F32, quant.F32, quant.F32, 3, runtime.SoftmaxAll, false},
		{quant.F32, quant.F32, quant.F32, moeExperts, runtime.SoftmaxAll, true},
		{quant.Q8_0, quant.Q8_0, quant.BF16, 2, runtime.SoftmaxTop, false},
		{quant.Q8_0, quant.F16, quant.Q5_1, 2, runtime.SoftmaxTop, true},
		{quant.F16, quant.Q8_0, quant.F32, 2, runtime.SoftmaxTop, false}, // decoded to be stacked
	} {
		t.Run(fmt.Sprintf("%+v", row), func(t *testing.T) {
			s := stream(t)
			w := newMoE(t, row.gate, row.up, row.down)
			x, h := random(moeTokens, moeHidden), random(moeTokens, moeHidden)
			e := StackExperts(w.gate, w.up, w.down)
			if row.apart {
				e = Experts{Gate: stackRows(w.gate), Up: stackRows(w.up), Down: stackRows(w.down)}
			}
			m := LoadMoE(s, Dense{W: w.router}, e, moeInner, row.k, row.norm, runtime.Silu)
			out, in := upload(s, x), upload(s, h)
			m.Apply(&Step{S: s, Tokens: moeTokens}, out, in)
			equal(t, download(t, s, out), w.wanted(x, h, row.k, row.norm == runtime.SoftmaxTop), 1e-4)
		})
	}
}

// TestMoERows: a product has a row for each choice, not for each expert.
func TestMoERows(t *testing.T) {
	null := &devicetest.Null{}
	s := runtime.NewStream(null, nil)
	w := newMoE(t, quant.F32, quant.F32, quant.F32)
	m := LoadMoE(s, Dense{W: w.router}, StackExperts(w.gate, w.up, w.down), moeInner, 2, runtime.SoftmaxTop, runtime.Silu)
	x := s.Scratch(moeTokens, moeHidden)
	m.Apply(&Step{S: s, Tokens: moeTokens}, x, s.Scratch(moeTokens, moeHidden))
	if s.Err() != nil {
		t.Fatal(s.Err())
	}
	picked := 0
	for i := range null.Len() {
		if op, ok := null.At(i).(*runtime.MatMul); ok && !op.Pick.IsZero() {
			if picked++; op.Out.Rows != 2*moeTokens {
				t.Errorf("a product of %d rows for %d tokens and 2 experts", op.Out.Rows, moeTokens)
			}
		}
	}
	if picked != 2 {
		t.Errorf("%d products of experts, want 2", picked)
	}
}

// TestStackExpertsMissing: a matrix that is not there leaves an absent tensor, for
// the scope to report.
func TestStackExpertsMissing(t *testing.T) {
	w := newMoE(t, quant.F16, quant.Q8_0, quant.F32)
	w.gate[1], w.down[0] = runtime.Tensor{}, runtime.Tensor{}
	m := LoadMoE(stream(t), Dense{W: w.router}, StackExperts(w.gate, w.up, w.down), moeInner, 2, runtime.SoftmaxTop, runtime.Silu)
	if !m.gated.IsZero() || !m.down.IsZero() {
		t.Errorf("loaded %v and %v", m.gated, m.down)
	}
}

func TestSoftCap(t *testing.T) {
	s := stream(t)
	x := runtime.HostF32(1, 5, []float32{-40, -1, 0, 0.5, 1000})
	y := upload(s, x)
	SoftCap(3).Apply(s, y)
	want := make([]float32, 5)
	for i, v := range x.F32s() {
		want[i] = float32(3 * math.Tanh(float64(v)/3))
	}
	equal(t, download(t, s, y), want, 1e-6)
	if op := SoftCap(2.5).Scored(nil, runtime.Attention{Heads: 3}); op.SoftCap != 2.5 || op.Heads != 3 {
		t.Errorf("scores: %+v", op)
	}
}
