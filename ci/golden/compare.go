package golden

// How far outputs are from the golden ones: the strict criterion of the
// fixtures' check.py, and the normalised mean square error.

import (
	"fmt"
	"math"
)

// Difference is how far an output is from its golden.
type Difference struct {
	Max   float64 // largest |got - want|; infinite where got is NaN
	At    int     // its index
	Ratio float64 // Max as a share of tol_strict
	NMSE  float64 // Σ(got-want)² / Σwant²
}

// Compare compares an output of a case. Rows of masked tokens do not count.
func (g *Golden) Compare(c *Case, name string, got []float32) (Difference, error) {
	o, ok := c.Outputs[name]
	if !ok {
		return Difference{}, fmt.Errorf("golden of %s: case %s has no output %q", g.Name, c.Name, name)
	}
	want, err := g.values(o.Tensor)
	if err != nil {
		return Difference{}, err
	}
	if len(got) != len(want) {
		return Difference{}, fmt.Errorf("%s %s %s: %d values, want %d", g.Name, c.Name, name, len(got), len(want))
	}
	d := difference(got, want, c.kept(g.Kind, name, o.Shape, len(want)))
	d.Ratio = d.Max / o.TolStrict
	return d, nil
}

// kept says which elements of an output count; nil: all. As in check.py an
// output has a row for each token where its shape begins with [B, T].
func (c *Case) kept(kind, name string, shape []int, n int) func(int) bool {
	if c.Mask == nil {
		return nil
	}
	b, t := len(c.Mask), len(c.Mask[0])
	if len(shape) < 2 || shape[0] != b || shape[1] != t || kind == "seq2seq" && name != "encoder_last_hidden" {
		return nil
	}
	width := n / (b * t)
	return func(i int) bool { return c.Mask[i/width/t][i/width%t] != 0 }
}

func difference(got, want []float32, kept func(int) bool) Difference {
	var d Difference
	var off, all float64
	for i, w := range want {
		if kept != nil && !kept(i) {
			continue
		}
		e := math.Abs(float64(got[i]) - float64(w))
		if math.IsNaN(e) {
			e = math.Inf(1)
		}
		if e > d.Max {
			d.Max, d.At = e, i
		}
		off += e * e
		all += float64(w) * float64(w)
	}
	if all == 0 {
		all = 1
	}
	d.NMSE = off / all
	return d
}

// Compare compares two runs of the same thing.
func Compare(got, want []float32) Difference {
	if len(got) != len(want) {
		return Difference{Max: math.Inf(1), NMSE: math.Inf(1)}
	}
	return difference(got, want, nil)
}
