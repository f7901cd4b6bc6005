package model_test

import (
	"math"
	"testing"

	"github.com/godwit-ml/godwit/ci/golden"
	"github.com/godwit-ml/godwit/model"
)

// TestPool pools sequences of unequal length: each has its own first and last
// row, and a mean over its own rows only.
func TestPool(t *testing.T) {
	m := load(t, folder("bert-base"), golden.Options{})
	s, d := m.Stream, 5
	lens := []int{3, 1, 4}
	var b model.Batch
	var rows [][]float32
	for i, n := range lens {
		if err := b.AddEncoder(make([]int32, n), nil, nil); err != nil {
			t.Fatal(err)
		}
		for j := range n {
			row := make([]float32, d)
			for k := range row {
				row[k] = float32(i+1)*0.3 + float32(j*j)*0.7 - float32(k*(j+1))*0.2
			}
			rows = append(rows, row)
		}
	}
	for _, how := range []model.Pooling{model.PoolMean, model.PoolFirst, model.PoolLast} {
		for _, normalize := range []bool{false, true} {
			s.Reset()
			hidden := s.Scratch(len(rows), d)
			for i, row := range rows {
				s.UploadF32(hidden.RowRange(i, i+1), row)
			}
			out := model.Pool(s, &b, hidden, how, normalize)
			got := make([]float32, len(lens)*d)
			s.DownloadF32(got, out)
			if err := s.Sync(); err != nil {
				t.Fatal(err)
			}
			from := 0
			for i, n := range lens {
				want := make([]float64, d)
				for j, row := range rows[from : from+n] {
					for k, x := range row {
						switch {
						case how == model.PoolMean:
							want[k] += float64(x) / float64(n)
						case how == model.PoolFirst && j == 0, how == model.PoolLast && j == n-1:
							want[k] = float64(x)
						}
					}
				}
				length := 1.0
				if normalize {
					length = 0
					for _, x := range want {
						length += x * x
					}
					length = math.Sqrt(length)
				}
				for k, x := range want {
					if d := math.Abs(float64(got[i*d+k]) - x/length); d > 1e-6 {
						t.Errorf("%s, normalised %v: sequence %d: %v at %d, want %v", how, normalize, i, got[i*5+k], k, x/length)
					}
				}
				from += n
			}
		}
	}
	if err := s.Err(); err != nil {
		t.Error(err)
	}
}
