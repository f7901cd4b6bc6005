package cpu

// The rows of a product, by the matrix that each of them picks.

import "github.com/godwit-ml/godwit/runtime"

// band is some rows of Out that share a matrix: rows from ≤ i < to of those that
// picking.row counts. Matrix -1 is no product.
type band struct {
	matrix, from, to int
}

// picking is the rows of a MatMul in bands, ordered by their matrix where they
// pick one.
type picking struct {
	bands  []band
	order  []int32 // rows of Out by the matrix they pick; empty where nothing picks
	counts []int32
}

// cut makes the bands. It leaves to cutter how the rows from ≤ i < to of a matrix
// are cut into them.
func (p *picking) cut(o *runtime.MatMul, experts int, cutter func(bands []band, matrix, from, to int) []band) {
	p.bands, p.order = p.bands[:0], p.order[:0]
	if o.Pick.IsZero() {
		p.bands = cutter(p.bands, 0, 0, o.Out.Rows)
		return
	}
	pick := o.Pick.I32s()
	counts := grow(&p.counts, experts+1) // of matrix -1, 0, 1 …
	clear(counts)
	for _, e := range pick {
		counts[e+1]++
	}
	at := 0
	for e, n := range counts {
		p.bands = cutter(p.bands, e-1, at, at+int(n))
		counts[e], at = int32(at), at+int(n)
	}
	p.order = grow(&p.order, len(pick)) // stable: rows of a matrix stay in their order
	for r, e := range pick {
		p.order[counts[e+1]] = int32(r)
		counts[e+1]++
	}
}

// row is the row of Out that is number i of the bands.
func (p *picking) row(i int) int {
	if len(p.order) == 0 {
		return i
	}
	return int(p.order[i])
}
