package kernels_test

// Rows of TopK in which many elements are equal, or so many are wanted that the
// first bound says nothing: devicetest has none that long.

import (
	"cmp"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/godwit-ml/godwit/ci/kernels/measure"
	"github.com/godwit-ml/godwit/kernels"
	"github.com/godwit-ml/godwit/ptx"
	"github.com/godwit-ml/godwit/runtime"
)

func TestTopKManyEqual(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 9))
	inf := float32(math.Inf(1))
	for _, row := range []struct {
		name  string
		n, k  int
		value func(i int) float32
	}{
		{"all equal", 9001, 50, func(int) float32 { return 1.5 }},
		{"masked but for a few", 12000, 40, func(i int) float32 {
			if i%3001 == 7 {
				return float32(i)
			}
			return -inf
		}},
		{"four values", 20004, 3000, func(int) float32 { return float32(r.IntN(4)) - 2 }},
		{"more than threads", 9000, 1500, func(int) float32 { return float32(r.NormFloat64()) }},
		{"all there is room for", 4096, 4096, func(int) float32 { return float32(r.NormFloat64()) }},
		{"as many as there is room for", 70000, 4096, func(int) float32 { return float32(r.NormFloat64()) }},
		{"large ones side by side", 40000, 900, func(i int) float32 { return float32(i / 4096 * 4096) }},
		{"all of a bound's digits equal", 8000, 30, func(int) float32 { return math.Float32frombits(0x42280000 + uint32(r.IntN(1<<12))) }},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			x := make([]float32, row.n)
			for i := range x {
				x[i] = row.value(i)
			}
			for _, mode := range modes(t) {
				checkTopK(t, x, row.k, mode)
			}
		})
	}
}

func checkTopK(t *testing.T, x []float32, k int, mode ptx.Config) {
	t.Helper()
	m, err := measure.NewMachine(kernels.All[slices.IndexFunc(kernels.All, func(k *kernels.Kernel) bool { return k.Entry == "topk_cta" })], mode)
	if err != nil {
		t.Fatal(err)
	}
	maker := kernels.Maker{Device: m}
	o := &runtime.TopK{
		X: maker.Zeros(runtime.F32, 1, len(x)), Values: maker.Zeros(runtime.F32, 1, k), IDs: maker.Zeros(runtime.I32, 1, k),
		LSE: maker.Zeros(runtime.F32, 1, 1),
	}
	if maker.Err != nil {
		t.Fatal(maker.Err)
	}
	if err := m.Upload(o.X, runtime.HostF32(1, len(x), x).Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := m.Run(o); err != nil {
		t.Fatal(err)
	}
	order := make([]int, len(x))
	sum := 0.0
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(x[b], x[a]) })
	for _, v := range x {
		sum += math.Exp(float64(v) - float64(x[order[0]]))
	}
	values, ids, lse := make([]byte, 4*k), make([]byte, 4*k), make([]byte, 4)
	for to, from := range map[*[]byte]runtime.Tensor{&values: o.Values, &ids: o.IDs, &lse: o.LSE} {
		if err := m.Download(*to, from); err != nil {
			t.Fatal(err)
		}
	}
	for i := range k {
		v, id := math.Float32frombits(binary.LittleEndian.Uint32(values[4*i:])), binary.LittleEndian.Uint32(ids[4*i:])
		if int(id) != order[i] || v != x[order[i]] {
			t.Fatalf("result %d of %d is %v at %d, want %v at %d (mode %+v)", i, k, v, id, x[order[i]], order[i], mode)
		}
	}
	want := float64(x[order[0]]) + math.Log(sum)
	if got := float64(math.Float32frombits(binary.LittleEndian.Uint32(lse))); math.Abs(got-want) > 1e-5*math.Abs(want)+1e-5 {
		t.Errorf("LSE is %v, want %v", got, want)
	}
}
