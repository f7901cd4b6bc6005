package golden

import (
	"math"
	"path/filepath"
	"testing"
)

var testdata = filepath.Join("..", "..", "model", "testdata", "checkpoints")

// TestCompare judges outputs that are right, off, masked, or not numbers.
func TestCompare(t *testing.T) {
	g, err := Read(filepath.Join(testdata, "bert-qa"))
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close() //nolint:errcheck // only read
	batch, err := g.Case("batch")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"start_logits", "last_hidden"} {
		o := batch.Outputs[name]
		want, err := g.values(o.Tensor)
		if err != nil {
			t.Fatal(err)
		}
		width := len(want) / (len(batch.IDs) * len(batch.IDs[0]))
		ratio := func(i int, x float32) float64 {
			got := append([]float32{}, want...)
			got[i] = x
			d, err := g.Compare(batch, name, got)
			if err != nil {
				t.Fatal(err)
			}
			if d.Max > 0 && d.At != i {
				t.Errorf("%s: the difference is at %d, not %d", name, d.At, i)
			}
			return d.Ratio
		}
		if r := ratio(0, want[0]); r != 0 {
			t.Errorf("%s against itself: %v", name, r)
		}
		off := float32(10 * o.TolStrict)
		if r := ratio(3*width, want[3*width]+off); math.Abs(r-10) > 0.1 {
			t.Errorf("%s: ten times the tolerance: %v", name, r)
		}
		if r := ratio(4, float32(math.NaN())); !math.IsInf(r, 1) {
			t.Errorf("%s: NaN: %v", name, r)
		}
		masked := (len(batch.IDs[0]) - 1) * width // row 0 is the shortest
		if r := ratio(masked, 1e9); r != 0 {
			t.Errorf("%s: a masked token counts: %v", name, r)
		}
		if r := ratio(len(want)-1, 1e9); r < 1e6 {
			t.Errorf("%s: the last token of the longest row does not count: %v", name, r)
		}
		if _, err := g.Compare(batch, name, want[1:]); err == nil {
			t.Errorf("%s: another length gives no error", name)
		}
	}
	if _, err := g.Compare(batch, "nothing", nil); err == nil {
		t.Error("an output that is not there gives no error")
	}
	if _, err := g.Case("p99"); err == nil {
		t.Error("a case that is not there gives no error")
	}
	if d := Compare([]float32{1, 2, 4}, []float32{1, 2, 2}); d.Max != 2 || d.At != 2 || math.Abs(d.NMSE-4.0/9) > 1e-9 {
		t.Errorf("%+v", d)
	}
}

// TestPad pads answers as transformers does.
func TestPad(t *testing.T) {
	zero, two := int32(0), int32(2)
	for _, row := range []struct {
		pad, eos *int32
		want     int32
	}{{nil, &two, 2}, {&zero, &two, 2}, {&two, &zero, 2}, {&two, nil, 2}, {nil, nil, 0}} {
		a := Answers{IDs: [][]int32{{5}, {6, 7, 8}}}
		a.pad(&Golden{Pad: row.pad}, &Generation{EOS: row.eos})
		if got := a.IDs[0]; len(got) != 3 || got[0] != 5 || got[1] != row.want || got[2] != row.want || len(a.IDs[1]) != 3 {
			t.Errorf("%+v: %v", row, a.IDs)
		}
	}
}

// TestShuffled wants permutations in which hardly a block follows its number's.
func TestShuffled(t *testing.T) {
	for n := 1; n < 200; n++ {
		next, seen, runs := shuffled(n), make([]bool, n), 0
		for i := range n {
			b := next(i)
			if b < 0 || int(b) >= n || seen[b] {
				t.Fatalf("%d blocks: %d comes at %d", n, b, i)
			}
			seen[b] = true
			if i > 0 && b == next(i-1)+1 {
				runs++
			}
		}
		if n > 6 && runs > n/4 {
			t.Errorf("%d blocks: %d follow one another", n, runs)
		}
	}
}
