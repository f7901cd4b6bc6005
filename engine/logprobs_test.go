package engine

import (
	"cmp"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestLogprobs(t *testing.T) {
	var l Logprobs
	inf := float32(math.Inf(-1))
	ln := func(v float64) float32 { return float32(math.Log(v)) }
	if err := l.Reset([]float32{ln(2) + 100, inf, ln(5) + 100, ln(2) + 100, ln(1) + 100}); err != nil {
		t.Fatal(err)
	}
	want := []TokenLogprob{{2, math.Log(0.5)}, {0, math.Log(0.2)}, {3, math.Log(0.2)}, {4, math.Log(0.1)}}
	for k := range 7 {
		got := l.Top([]TokenLogprob{{9, 9}}, k)
		if len(got) != 1+min(k, 4) || got[0].ID != 9 {
			t.Fatalf("Top(%d) = %v", k, got)
		}
		for i, g := range got[1:] {
			if g.ID != want[i].ID || math.Abs(g.Logprob-want[i].Logprob) > 1e-5 || g.Logprob != l.Of(g.ID) {
				t.Errorf("Top(%d)[%d] = %v, want %v", k, i, g, want[i])
			}
		}
	}
	if v := l.Of(1); !math.IsInf(v, -1) {
		t.Errorf("an impossible token has %v", v)
	}
	for _, bad := range [][]float32{{1, float32(math.NaN())}, {-inf, 1}, {inf, inf}, {}} {
		var le *LogitsError
		if err := l.Reset(bad); !errors.As(err, &le) {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

func TestLogprobsOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.SampledFrom([]int{1, 2, 50, 300, 2000}).Draw(t, "n")
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		grid := rapid.SampledFrom([]float64{1, 1e-4}).Draw(t, "grid")
		rising := rapid.Bool().Draw(t, "rising")
		shift := rapid.SampledFrom([]float64{0, 500, -3e4}).Draw(t, "shift")
		logits := make([]float32, n)
		for i := range logits {
			logits[i] = float32(math.Round(r.NormFloat64()*4/grid)*grid + shift)
		}
		if rising {
			slices.Sort(logits)
		}
		top, sum := float64(slices.Max(logits)), 0.0
		for _, v := range logits {
			sum += math.Exp(float64(v) - top)
		}
		want := make([]TokenLogprob, n)
		for i, v := range logits {
			want[i] = TokenLogprob{int32(i), float64(v) - top - math.Log(sum)}
		}
		soft := make([]float32, n)
		var l Logprobs
		if err := l.LogSoftmax(soft, logits); err != nil {
			t.Fatal(err)
		}
		for i, w := range want {
			if math.Abs(l.Of(int32(i))-w.Logprob) > 1e-9 || math.Abs(float64(soft[i])-w.Logprob) > 1e-9+1e-7*math.Abs(w.Logprob) {
				t.Fatalf("token %d: %v, %v, want %v", i, l.Of(int32(i)), soft[i], w.Logprob)
			}
		}
		slices.SortStableFunc(want, func(a, b TokenLogprob) int { return cmp.Compare(logits[b.ID], logits[a.ID]) })
		k := rapid.SampledFrom([]int{0, 1, 5, 20, 500, math.MaxInt}).Draw(t, "k")
		got := l.Top(nil, k)
		if len(got) != min(k, n) {
			t.Fatalf("%d tokens, want %d", len(got), min(k, n))
		}
		for i, g := range got {
			if g.ID != want[i].ID || g.Logprob != l.Of(g.ID) {
				t.Fatalf("place %d: %v, want token %d", i, g, want[i].ID)
			}
		}
		if err := l.LogSoftmax(logits, logits); err != nil || !slices.Equal(logits, soft) {
			t.Fatalf("in place: %v", err)
		}
	})
}

func TestLogprobsAllocatesNothing(t *testing.T) {
	logits := randomLogits(rand.New(rand.NewPCG(1, 1)), 3000)
	var l Logprobs
	var dst []TokenLogprob
	f := func() {
		if err := l.Reset(logits); err != nil {
			t.Fatal(err)
		}
		dst = l.Top(dst[:0], 20)
	}
	f()
	if n := testing.AllocsPerRun(20, f); n > 0 {
		t.Errorf("%v allocations a row", n)
	}
}

func BenchmarkLogprobs(b *testing.B) {
	logits := randomLogits(rand.New(rand.NewPCG(1, 1)), 151_936)
	var l Logprobs
	var dst []TokenLogprob
	for b.Loop() {
		if err := l.Reset(logits); err != nil {
			b.Fatal(err)
		}
		dst = l.Top(dst[:0], 20)
	}
}
