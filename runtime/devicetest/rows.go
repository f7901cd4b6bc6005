package devicetest

// The table: limits by type, and all rows. The rows of each operation stand in
// a file of theirs.

import (
	"github.com/godwit-ml/godwit/quant"
	"github.com/godwit-ml/godwit/runtime"
)

// The limits, NMSE. A correct float32 result of these sizes is a hundred times
// better, whatever its order of summation; a wrong one is far worse.
const (
	exact      = 0     // moved, not computed
	elementary = 1e-13 // a few roundings
	function   = 1e-12 // exponentials, statistics
	product    = 1e-11 // sums of products
	attending  = 1e-10 // two products around exponentials
)

// rounding is the limit of products that round rows to int8 by blocks of 32. The
// largest of 32 normal values is about 2.1 deviations, so that a step of a 127th of it
// leaves 2.1²/(12·127²) = 2.3e-5; a weight that had to take another type may leave 5e-5 more,
// and a gate multiplies two such products and stretches their errors. A wrong
// scale, zero point or block is above 1e-2.
const rounding = 5e-4

// cacheLimit is the limit of attention over a cache. F16 and BF16 are compared
// with an oracle that rounds as they do. Q8_0 is compared with unrounded keys and values: its
// own error is about 5e-5, a wrong scale or block is above 1e-2.
func cacheLimit(t runtime.DType) float64 {
	if t == quant.Q8_0 {
		return 5e-4
	}
	return attending
}

// cacheTypes are the types of caches.
var cacheTypes = []runtime.DType{quant.F32, quant.F16, quant.BF16, quant.Q8_0}

// weightTypes are the types of weights: all that quant decodes.
func weightTypes() []runtime.DType {
	var types []runtime.DType
	for _, t := range quant.Types() {
		if t.Decodes() {
			types = append(types, t)
		}
	}
	return types
}

// Rows is the whole table, each row plain and with views for operands.
func Rows() []Row {
	var all []Row
	for _, rows := range [][]Row{
		gatherRows(), matmulRows(), normRows(), pointwiseRows(), ropeRows(),
		cacheRows(), attentionRows(), topkRows(), combineRows(),
	} {
		for _, r := range rows {
			views := r
			views.Views = true
			all = append(all, r, views)
		}
	}
	return all
}

// nan is the row with NaN expected.
func (r Row) nan() Row {
	r.NaN = true
	return r
}
