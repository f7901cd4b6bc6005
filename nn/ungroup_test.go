package nn_test

import (
	"slices"
	"testing"

	"github.com/godwit-ml/godwit/nn"
	"github.com/godwit-ml/godwit/quant"
	"github.com/godwit-ml/godwit/runtime"
)

// TestUngroup takes apart two groups of two queries, a key and a value, one row
// each: rows 0 1 2 3 and 4 5 6 7.
func TestUngroup(t *testing.T) {
	rows := make([]float32, 8*32)
	for i := range rows {
		rows[i] = float32(i / 32)
	}
	raw := make([]byte, quant.Q8_0.Bytes(len(rows)))
	if err := quant.Encode(raw, rows, quant.Q8_0); err != nil {
		t.Fatal(err)
	}
	want := [][]float32{{0, 1, 4, 5}, {2, 6}, {3, 7}}
	for _, w := range []runtime.Tensor{runtime.HostF32(8, 32, rows), runtime.HostTensor(quant.Q8_0, 8, 32, raw)} {
		for _, bias := range []runtime.Tensor{{}, runtime.HostF32(1, 8, []float32{0, 1, 2, 3, 4, 5, 6, 7})} {
			for i, d := range nn.Ungroup(nn.Dense{W: w, Bias: bias}, 2, 2, 1, 1) {
				if d.W.Rows != len(want[i]) || d.W.Cols != 32 || d.W.DType != w.DType {
					t.Fatalf("part %d is %v", i, d.W)
				}
				for r, x := range want[i] {
					if got := d.W.Float().F32Row(r)[7]; got < x-0.05 || got > x+0.05 {
						t.Errorf("part %d of %v, row %d is that of row %v, want %v", i, w, r, got, x)
					}
				}
				if d.Bias.IsZero() != bias.IsZero() || !bias.IsZero() && !slices.Equal(d.Bias.F32s(), want[i]) {
					t.Errorf("part %d has the bias %v", i, d.Bias)
				}
			}
		}
	}
	for _, d := range nn.Ungroup(nn.Dense{}, 2, 2, 1, 1) { // a tensor that is missing is reported by the scope
		if !d.W.IsZero() || !d.Bias.IsZero() {
			t.Errorf("of nothing: %v", d)
		}
	}
}
