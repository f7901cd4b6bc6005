package kernels_test

// Rows of TopK in which many elements are equal, or so many are wanted that the
// first bound says nothing: devicetest has none that long.

import (
	"cmp"
	"encoding/binary"
	"errors"
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
		{"digits far apart", 9000, 4000, func(i int) float32 {
			if i%3 == 0 {
				return 1 + r.Float32()
			}
			return -100 - r.Float32()
		}},
		{"the last digit decides", 9000, 4096, func(i int) float32 {
			if i%50 == 0 {
				return 2
			}
			return 1
		}},
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

// TestTopKEdges has what devicetest's short rows leave out: elements at given
// ids, rows and results that fill a warp, and softmax of infinities.
func TestTopKEdges(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	r := rand.New(rand.NewPCG(8, 1))
	const rows, n, k = 11, 256, 32
	x := make([]float32, rows*n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	special := []struct {
		first, second, all float64 // elements 200 and 255, and all others; 0 leaves them
		lse                float64
	}{{inf, 1, 0, inf}, {inf, nan, 0, nan}, {nan, 0, 0, nan}, {0, 0, -inf, -inf}, {7, 0, -inf, 7}, {0, 0, inf, inf}}
	for i, s := range special {
		row := x[i*n:][:n]
		for j := range row {
			if s.all != 0 {
				row[j] = float32(s.all)
			}
		}
		if s.first != 0 {
			row[200] = float32(s.first)
		}
		if s.second != 0 {
			row[255] = float32(s.second)
		}
	}
	x[8*n+3] = float32(math.Copysign(0, -1))
	also := make([]int32, rows*70)
	for i := range also {
		also[i] = int32(r.IntN(n+20) - 20)
	}
	also[8*70+69] = 3
	for _, entry := range []string{"topk_warp", "topk_cta"} {
		for _, mode := range modes(t) {
			m, err := measure.NewMachine(byEntry(t, entry), mode)
			if err != nil {
				t.Fatal(err)
			}
			maker := kernels.Maker{Device: m}
			o := &runtime.TopK{
				X: maker.Zeros(runtime.F32, rows, n), Values: maker.Zeros(runtime.F32, rows, k), IDs: maker.Zeros(runtime.I32, rows, k), LSE: maker.Zeros(runtime.F32, rows, 1),
				Also: maker.Zeros(runtime.I32, rows, 70), AlsoValue: maker.Zeros(runtime.F32, rows, 80).ColRange(4, 74), Norm: runtime.Raw,
			}
			if err := errors.Join(maker.Err, m.Upload(o.X, runtime.HostF32(rows, n, x).Bytes()), m.Upload(o.Also, runtime.HostI32(rows, 70, also).Bytes())); err != nil {
				t.Fatal(err)
			}
			if err := m.Run(o); err != nil {
				t.Fatal(err)
			}
			lse, values, alsoValues := downloadF32(t, m, o.LSE), downloadF32(t, m, o.Values), downloadF32(t, m, o.AlsoValue)
			for i, s := range special {
				if got := float64(lse[i]); got != s.lse && !(math.IsNaN(got) && math.IsNaN(s.lse)) {
					t.Errorf("%s: LSE of row %d is %v, want %v", entry, i, got, s.lse)
				}
			}
			for i, id := range also {
				want := float32(0)
				if id >= 0 {
					want = x[i/70*n+int(id)]
				}
				if math.Float32bits(alsoValues[i]) != math.Float32bits(want) {
					t.Fatalf("%s: element %d of row %d is %v, want %v", entry, id, i/70, alsoValues[i], want)
				}
			}
			for i, v := range values[:3*k] { // rows with at most one NaN, which is last, as on the CPU
				if v != v {
					t.Fatalf("%s: result %d of row %d is NaN", entry, i%k, i/k)
				}
			}
			for i := len(special); i < rows; i++ {
				sorted := slices.Clone(x[i*n:][:n])
				slices.SortFunc(sorted, func(a, b float32) int { return cmp.Compare(b, a) })
				if !slices.Equal(values[i*k:][:k], sorted[:k]) {
					t.Errorf("%s: the largest of row %d are %v, want %v", entry, i, values[i*k:][:k], sorted[:k])
				}
			}
		}
	}
}

// TestTopKWidths ends rows at every part of what a warp holds. Beside each row
// lies what would be the largest of it.
func TestTopKWidths(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 6))
	for _, n := range []int{1, 31, 32, 33, 64, 77, 100, 128, 150, 160, 180, 199, 224, 240, 255, 256} {
		const rows = 9
		k := min(n, 5)
		x := make([]float32, rows*(n+3))
		for i := range x {
			if x[i] = float32(r.NormFloat64()); i%(n+3) >= n {
				x[i] = 100
			}
		}
		for _, entry := range []string{"topk_warp", "topk_cta"} {
			m, err := measure.NewMachine(byEntry(t, entry), modes(t)[0])
			if err != nil {
				t.Fatal(err)
			}
			maker := kernels.Maker{Device: m}
			wide := maker.Zeros(runtime.F32, rows, n+3)
			o := &runtime.TopK{
				X: wide.ColRange(0, n), Values: maker.Zeros(runtime.F32, rows, k), IDs: maker.Zeros(runtime.I32, rows, k), LSE: maker.Zeros(runtime.F32, rows, 1),
				Norm: runtime.SoftmaxAll,
			}
			if err := errors.Join(maker.Err, m.Upload(wide, runtime.HostF32(rows, n+3, x).Bytes()), m.Run(o)); err != nil {
				t.Fatal(err)
			}
			values, lse := downloadF32(t, m, o.Values), downloadF32(t, m, o.LSE)
			for i := range rows {
				row := slices.Clone(x[i*(n+3):][:n])
				slices.SortFunc(row, func(a, b float32) int { return cmp.Compare(b, a) })
				sum := 0.0
				for _, v := range row {
					sum += math.Exp(float64(v))
				}
				if want := math.Log(sum); math.Abs(float64(lse[i])-want) > 2e-6*math.Max(1, math.Abs(want)) {
					t.Errorf("%s: LSE of row %d of %d is %v, want %v", entry, i, n, lse[i], want)
				}
				for j := range k {
					if got, want := float64(values[i*k+j]), math.Exp(float64(row[j]))/sum; math.Abs(got-want) > 2e-6*want {
						t.Errorf("%s: probability %d of row %d of %d is %v, want %v", entry, j, i, n, got, want)
					}
				}
			}
		}
	}
}
