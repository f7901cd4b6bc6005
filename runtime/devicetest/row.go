package devicetest

// Row and Case: a row of the table, and its operands in the memory of a device.

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/godwit-ml/godwit/quant"
	"github.com/godwit-ml/godwit/runtime"
)

// Row is one row of the table.
type Row struct {
	Op    string        // the operation it is about
	Name  string        // what is special about it
	DType runtime.DType // of its weight or cache; F32 where there is none
	Limit float64       // largest NMSE of any output
	Views bool          // operands are views of columns
	NaN   bool          // some output has to be NaN
	build func(c *Case)
}

// String names the row, as "MatMul/Q8_0/gated".
func (r Row) String() string {
	s := r.Op + "/" + r.DType.String() + "/" + r.Name
	if r.Views {
		s += "/views"
	}
	return s
}

// Target is where cases run.
type Target struct {
	Device runtime.Device         // allocates operands and loads weights
	Caches runtime.Device         // allocates KV caches
	Run    func(runtime.Op) error // runs a checked operation
	// Fast says that products with weights of other types than F32 and F16 round
	// rows, or the weight, to fewer bits: to int8 by blocks at most.
	Fast bool
}

// limit is the limit of a row on the target.
func (t Target) limit(r Row) float64 {
	if t.Fast && r.Op == "MatMul" && r.DType != quant.F32 && r.DType != quant.F16 {
		return max(r.Limit, rounding)
	}
	return r.Limit
}

// Case is a row bound to a target: operands are uploaded, expectations known.
type Case struct {
	Row    Row
	Ops    []runtime.Op
	target Target
	rng    *rand.Rand
	shadow map[*runtime.Memory]*shadow
	order  []*shadow
	ids    []idCheck
	same   []func() // changes of Ops that must not change a bit
	err    error
}

// idCheck is an output of TopK: distinct ids below n in each row of k.
type idCheck struct {
	ids  runtime.Tensor
	k, n int
}

// Bind allocates and uploads the operands of the row, and computes what must
// come out. Free the case after use, also after an error.
func (r Row) Bind(target Target) (*Case, error) {
	c := &Case{Row: r, target: target, rng: rand.New(rand.NewPCG(0x60d317, 7)), shadow: map[*runtime.Memory]*shadow{}}
	r.build(c)
	if c.err == nil {
		c.err = c.Reset()
	}
	if c.err == nil {
		c.err = c.sane()
	}
	return c, c.err
}

// Reset uploads all operands again.
func (c *Case) Reset() error {
	for _, s := range c.order {
		if s.kind == weight {
			continue
		}
		if err := s.device(c.target).Upload(s.all(), s.image); err != nil {
			return err
		}
	}
	return nil
}

// Run runs the operations once.
func (c *Case) Run() error {
	for _, op := range c.Ops {
		if err := c.target.Run(op); err != nil {
			return fmt.Errorf("%s: %w", op.Name(), err)
		}
	}
	return c.target.Device.Sync()
}

// Free gives the memory of the case back.
func (c *Case) Free() {
	for _, s := range c.order {
		s.device(c.target).Free(s.mem)
	}
}

// sane checks the row itself: an expected NaN means that an oracle read what it
// should not, unless the row is about NaN.
func (c *Case) sane() error {
	found := false
	for _, s := range c.order {
		for i, state := range s.state {
			found = found || state == written && math.IsNaN(s.v[i]) && s.kind == plain
		}
	}
	if found != c.Row.NaN {
		return fmt.Errorf("devicetest: row %v expects NaN: %v, want %v", c.Row, found, c.Row.NaN)
	}
	return nil
}

// do adds an operation and computes what it writes.
func (c *Case) do(op runtime.Op) {
	if c.err != nil {
		return
	}
	if err := op.Check(); err != nil {
		c.err = fmt.Errorf("devicetest: row %v: %w", c.Row, err)
		return
	}
	c.Ops = append(c.Ops, op)
	for _, o := range op.Operands(nil) {
		if s := c.shadow[o.Tensor.Mem]; s.name == "" {
			s.name = op.Name() + "." + o.Name
		}
	}
	c.oracle(op)
}

func (c *Case) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

// guard is the least memory before and after an operand, bytes.
const guard = 64

// The columns before and after a view.
const (
	before = 3
	after  = 5
)

// operand makes an F32 or I32 operand between guards, its elements from bits.
func (c *Case) operand(dtype runtime.DType, rows, cols int, views bool, bits func(i, j int) uint32) runtime.Tensor {
	left, stride := 0, cols
	if views {
		left, stride = before, before+cols+after
	}
	margin := (max(guard, 4*stride) + guard - 1) &^ (guard - 1)
	image := make([]byte, 2*margin+4*rows*stride)
	for i := 0; i < len(image); i += 4 {
		binary.LittleEndian.PutUint32(image[i:], 0x7fc00000|uint32(i*2654435761)>>12) // NaN, none like the other
	}
	t := runtime.Tensor{DType: dtype, Rows: rows, Cols: cols, Stride: stride, Offset: int64(margin + 4*left)}
	for i := range rows {
		for j := range cols {
			binary.LittleEndian.PutUint32(image[t.Offset+4*int64(i*stride+j):], bits(i, j))
		}
	}
	s := &shadow{kind: plain, image: image, tensor: t, v: make([]float64, len(image)/4), state: make([]state, len(image)/4)}
	for i := range s.v {
		word := binary.LittleEndian.Uint32(image[4*i:])
		if s.v[i] = float64(math.Float32frombits(word)); dtype == runtime.I32 {
			s.v[i] = float64(int32(word))
		}
	}
	t.Mem = c.adopt(s, c.target.Device, int64(len(image)))
	s.tensor = t
	return t
}

// adopt allocates the memory of s.
func (c *Case) adopt(s *shadow, dev runtime.Device, size int64) *runtime.Memory {
	if c.err == nil {
		s.mem, c.err = dev.Alloc(size)
	}
	if c.err != nil {
		s.mem = &runtime.Memory{Size: size} // the row is given up, but goes on being built
		c.shadow[s.mem] = s
		return s.mem
	}
	c.shadow[s.mem] = s
	c.order = append(c.order, s)
	return s.mem
}

// fill makes an F32 operand.
func (c *Case) fill(rows, cols int, value func(i, j int) float64) runtime.Tensor {
	return c.operand(runtime.F32, rows, cols, c.Row.Views, func(i, j int) uint32 { return math.Float32bits(float32(value(i, j))) })
}

// normal makes an F32 operand of normal values.
func (c *Case) normal(rows, cols int, mean, deviation float64) runtime.Tensor {
	return c.fill(rows, cols, func(int, int) float64 { return mean + deviation*c.rng.NormFloat64() })
}

// uniform makes an F32 operand of uniform values.
func (c *Case) uniform(rows, cols int, lo, hi float64) runtime.Tensor {
	return c.fill(rows, cols, func(int, int) float64 { return lo + (hi-lo)*c.rng.Float64() })
}

// stale makes an operand to be written: NaN until then.
func (c *Case) stale(rows, cols int) runtime.Tensor {
	return c.fill(rows, cols, func(int, int) float64 { return math.NaN() })
}

// ints makes an I32 operand of one row.
func (c *Case) ints(v ...int32) runtime.Tensor { return c.table(1, len(v), v) }

// table makes an I32 operand.
func (c *Case) table(rows, cols int, v []int32) runtime.Tensor {
	return c.operand(runtime.I32, rows, cols, false, func(i, j int) uint32 { return uint32(v[i*cols+j]) })
}

// draw is n random integers lo ≤ i < hi.
func (c *Case) draw(n, lo, hi int) []int32 {
	v := make([]int32, n)
	for i := range v {
		v[i] = int32(lo + c.rng.IntN(hi-lo))
	}
	return v
}

// poke sets an element of an operand before it is uploaded.
func (c *Case) poke(t runtime.Tensor, i, j int, value float64) {
	if s := c.shadow[t.Mem]; s != nil {
		at := int(t.Offset)/4 + i*t.Stride + j
		s.v[at] = float64(float32(value))
		binary.LittleEndian.PutUint32(s.image[4*at:], math.Float32bits(float32(value)))
	}
}

// cache makes a cache whose memory is filled with the byte.
func (c *Case) cache(dtype runtime.DType, rows, cols int, poison byte) runtime.Tensor {
	t := runtime.Tensor{DType: dtype, Rows: rows, Cols: cols, Stride: cols / dtype.BlockSize(), Offset: guard}
	image := make([]byte, 2*guard+int(t.Span()))
	for i := range image {
		image[i] = poison
	}
	s := &shadow{kind: cache, image: image, tensor: t, cols: cols, v: make([]float64, rows*cols), state: make([]state, rows*cols)}
	t.Mem = c.adopt(s, c.target.Caches, int64(len(image)))
	s.tensor = t
	return t
}

// weight makes a weight of random values and loads it. Under Views, it is a
// view of a larger tensor.
func (c *Case) weight(dtype runtime.DType, rows, cols int, use runtime.Use) runtime.Tensor {
	if c.err != nil {
		return runtime.Tensor{}
	}
	wide, left, top := cols, 0, 0
	if block := dtype.BlockSize(); c.Row.Views {
		top, left = 1, (before+block-1)/block*block
		wide = left + cols + block
	}
	values, raw := c.encoded(dtype, (rows+2*top)*wide)
	host := runtime.HostTensor(dtype, rows+2*top, wide, raw).RowRange(top, top+rows).ColRange(left, left+cols)
	s := &shadow{kind: weight, cols: cols, v: make([]float64, rows*cols), host: host, image: bytes.Clone(raw)}
	for i := range rows {
		for j := range cols {
			s.v[i*cols+j] = float64(values[(i+top)*wide+left+j])
		}
	}
	t, err := c.target.Device.Load(host, use)
	if err != nil {
		c.fail(fmt.Errorf("load %v: %w", dtype, err))
		return runtime.Tensor{}
	}
	s.tensor, s.mem = t, t.Mem
	c.shadow[t.Mem] = s
	c.order = append(c.order, s)
	return t
}

// encoded is n random values in the type's bytes. Where nothing encodes the
// type, blocks of random bits are drawn until their values are of a sane size.
func (c *Case) encoded(dtype runtime.DType, n int) (values []float32, raw []byte) {
	values, raw = make([]float32, n), make([]byte, dtype.Bytes(n))
	if dtype.Encodes() {
		for i := range values {
			values[i] = float32(c.rng.NormFloat64() / 2)
		}
		c.must(quant.Encode(raw, values, dtype))
		c.must(quant.Decode(values, raw, dtype))
		return values, raw
	}
	block, size := dtype.BlockSize(), dtype.TypeSize()
	for b := range n / block {
		v, bits := values[b*block:][:block], raw[b*size:][:size]
		for sane := false; !sane; {
			for i := range bits {
				bits[i] = byte(c.rng.Uint32())
			}
			c.must(quant.Decode(v, bits, dtype))
			peak := float32(0)
			for _, x := range v {
				peak = max(peak, x, -x) // NaN stays
			}
			sane = peak > 0.01 && peak < 4
		}
	}
	return values, raw
}

func (c *Case) must(err error) {
	if err != nil {
		c.fail(err)
	}
}

// errMismatch is what Verify wraps.
var errMismatch = errors.New("devicetest: not what the oracle says")
