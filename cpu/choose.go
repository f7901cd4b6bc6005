package cpu

// Which type a weight runs in: as it is stored where there are kernels for that,
// else what is close enough, or what the options ask for.

import (
	"errors"
	"fmt"
	"math"

	"github.com/godwit-ml/godwit/quant"
	"github.com/godwit-ml/godwit/runtime"
)

// closeEnough is the largest NMSE, Σ(y-x)²/Σx², at which a type stands for values
// x that decode to y in it. Q8_0 has about 2.5e-5 of normal values, BF16 2.7e-6.
const closeEnough = 5e-5

// nearest are the types that a weight without kernels of its own may run in, the
// one that is read fastest first.
var nearest = []runtime.DType{runtime.Q8_0, runtime.BF16, runtime.F16}

// Keeps reports whether the fast device multiplies weights of a type as they are
// stored; others it turns into one of those while it loads them.
func Keeps(t runtime.DType) bool { return formatOf(t) != nil }

// Runs is the type that a weight of a product would run in on a device with these
// options:
//
//   - what Options.Weights asks for, where it applies;
//   - the stored type, where there are kernels for it;
//   - in exact arithmetic F32, else the first of Q8_0, BF16, F16 and F32 whose NMSE
//     against the decoded values is at most 5e-5. To know it the values are read.
func (o Options) Runs(host runtime.Tensor) (runtime.DType, error) {
	if err := checkWeight(host); err != nil {
		return 0, err
	}
	switch t, known, err := o.Plans(host.DType, host.Cols); {
	case err != nil:
		return 0, fmt.Errorf("cpu: load %v: %w", host, errors.Unwrap(err))
	case known:
		return t, nil
	}
	var p pool
	p.start(o.threads())
	defer p.stop()
	f, err := o.formatFor(&p, []runtime.Tensor{host})
	if err != nil {
		return 0, err
	}
	return f.dtype, nil
}

// Plans is Runs for rows of a type and a width whose values are not at hand. It
// is not known if it depends on them; t is then the likely one.
func (o Options) Plans(stored runtime.DType, cols int) (t runtime.DType, known bool, err error) {
	switch t, err = o.wanted(stored, cols); {
	case err != nil:
		return 0, false, fmt.Errorf("cpu: %v: %w", stored, err)
	case Keeps(t):
		return t, true, nil
	case o.Exact:
		return runtime.F32, true, nil
	case cols%runtime.Q8_0.BlockSize() == 0:
		return runtime.Q8_0, false, nil
	}
	return runtime.BF16, false, nil
}

// checkWeight checks a host tensor that is to be a weight of products.
func checkWeight(host runtime.Tensor) error {
	if err := checkHost(host); err != nil {
		return err
	}
	if !host.DType.Decodes() {
		return fmt.Errorf("cpu: a weight of type %v cannot be decoded: %w", host.DType, runtime.ErrUnsupported)
	}
	return nil
}

// formatFor is the format of a weight whose rows are those of parts, of one type.
func (o Options) formatFor(p *pool, parts []runtime.Tensor) (*format, error) {
	stored, cols := parts[0].DType, parts[0].Cols
	wanted, err := o.wanted(stored, cols)
	if err != nil {
		return nil, fmt.Errorf("cpu: load %v: %w", parts[0], err)
	}
	if f := formatOf(wanted); f != nil {
		return f, nil
	}
	if o.Exact {
		return &panelsF32, nil
	}
	for _, t := range nearest {
		f := formatOf(t)
		if cols%t.BlockSize() != 0 || f == nil {
			continue
		}
		nmse, err := rounding(p, parts, t)
		if err != nil {
			return nil, fmt.Errorf("cpu: load %v: %w", parts[0], err)
		}
		if nmse <= closeEnough {
			return f, nil
		}
	}
	return &panelsF32, nil
}

// wanted is what Options.Weights makes of a stored type; the stored type where it
// does not apply.
func (o Options) wanted(stored runtime.DType, cols int) (runtime.DType, error) {
	block := o.Weights.BlockSize()
	switch {
	case o.Weights == runtime.F32:
		return stored, nil
	case block == 1:
		if stored == runtime.F32 || stored == quant.F64 {
			return o.Weights, nil
		}
		return stored, nil
	case Keeps(stored) && width(stored) <= width(o.Weights):
		return stored, nil
	case cols%block != 0:
		return 0, fmt.Errorf("rows of %d are not made of whole blocks of %d, as %v wants them", cols, block, o.Weights)
	}
	return o.Weights, nil
}

// width is the bits of an element.
func width(t runtime.DType) float64 {
	return 8 * float64(t.TypeSize()) / float64(t.BlockSize())
}

// rounding is the NMSE that parts have in a type: infinity where it cannot hold
// them. It reads a piece at a time.
func rounding(p *pool, parts []runtime.Tensor, t runtime.DType) (float64, error) {
	j := roundingJob{parts: parts, to: t}
	rows := 0
	for _, part := range parts {
		rows += part.Rows
	}
	j.perTask = max(1, rows/256)
	j.tasks = (rows + j.perTask - 1) / j.perTask
	j.rows = rows
	j.errors = make([]float64, j.tasks)
	j.norms = make([]float64, j.tasks)
	if err := p.run(&j, j.tasks, 8*int64(rows)*int64(parts[0].Cols)); err != nil {
		return 0, err
	}
	var sum, norm float64
	for i := range j.errors {
		sum, norm = sum+j.errors[i], norm+j.norms[i]
	}
	switch {
	case sum == 0:
		return 0, nil
	case norm == 0 || math.IsNaN(sum) || math.IsNaN(norm):
		return math.Inf(1), nil
	}
	return sum / norm, nil
}

// roundingJob sums errors and squares, some rows a task. A type that cannot hold a
// value has an infinite error.
type roundingJob struct {
	parts         []runtime.Tensor
	to            runtime.DType
	rows, perTask int
	tasks         int
	errors, norms []float64
}

// roundingPiece is the elements that are looked at together: a multiple of all
// blocks.
const roundingPiece = 4096

func (j *roundingJob) task(w *worker, i int) {
	values, rounded := grow(&w.weights, roundingPiece), grow(&w.rows, roundingPiece)
	packed := grow(&w.packed, j.to.Bytes(roundingPiece))
	from := j.parts[0].DType
	for r := i * j.perTask; r < min((i+1)*j.perTask, j.rows); r++ {
		row := rowOf(j.parts, r)
		for c := 0; c < j.parts[0].Cols; c += roundingPiece {
			n := min(roundingPiece, j.parts[0].Cols-c)
			v, y, b := values[:n], rounded[:n], packed[:j.to.Bytes(n)]
			mustDecode(v, row[from.Bytes(c):][:from.Bytes(n)], from)
			if quant.Encode(b, v, j.to) != nil {
				j.errors[i] = math.Inf(1)
				return
			}
			mustDecode(y, b, j.to)
			sum, norm := errorOf(v, y)
			j.errors[i], j.norms[i] = j.errors[i]+sum, j.norms[i]+norm
		}
	}
}

// errorOf is Σ(y-x)² and Σx² over the finite x.
func errorOf(x, y []float32) (sum, norm float64) {
	for i, v := range x {
		if e := float64(v); !math.IsInf(e, 0) && !math.IsNaN(e) {
			d := float64(y[i]) - e
			sum, norm = sum+d*d, norm+e*e
		}
	}
	return sum, norm
}

// rowOf is the bytes of row r of the rows of parts.
func rowOf(parts []runtime.Tensor, r int) []byte {
	for _, part := range parts {
		if r < part.Rows {
			return part.RowRange(r, r+1).Bytes()
		}
		r -= part.Rows
	}
	panic("cpu: a row beyond those of a weight")
}

// errOverflow is rounding a number to infinity.
var errOverflow = errors.New("a number is beyond the largest of the type")

// encode rounds values to a type. Other than quant.Encode it refuses what would
// become an infinity.
func encode(dst []byte, src []float32, t runtime.DType) error {
	if err := quant.Encode(dst, src, t); err != nil {
		return err
	}
	if t != runtime.F16 && t != runtime.BF16 {
		return nil
	}
	const (
		halfInf, bfInf = 0x7c00, 0x7f80
	)
	inf := uint16(halfInf)
	if t == runtime.BF16 {
		inf = bfInf
	}
	for i, h := range halvesAt(dst) {
		if h&0x7fff == inf && !math.IsInf(float64(src[i]), 0) {
			return fmt.Errorf("%v in %v: %w", src[i], t, errOverflow)
		}
	}
	return nil
}
