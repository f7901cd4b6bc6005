package cpu

// Reference: the device on gonum. Memory, copies, and the choice of what runs
// an operation.

import (
	"errors"
	"fmt"
	"math"
	goruntime "runtime"

	"github.com/godwit-ml/godwit/runtime"
)

// Config configures a CPU device. The zero value is sensible.
type Config struct {
	Threads int // workers of an operation; 0: GOMAXPROCS
}

// MaxThreads is the most workers that Config or Options may ask for.
const MaxThreads = 1024

var errClosed = errors.New("cpu: the device is closed")

// Reference is the reference device: every operation with every field, exact
// float32 arithmetic. One goroutine uses it at a time. Operations are complete
// when Run returns.
type Reference struct {
	pool   pool
	owner  runtime.Device // of the memory: the device itself, or the one that is built on it
	closed bool

	// One job an operation, reused, so that running one allocates nothing.
	transfer  transfer
	gather    gather
	matmul    matmul
	norm      norm
	pointwise pointwise
	rope      rope
	store     storeKV
	copies    copyBlocks
	attention attention
	topk      topK
	combine   combine
}

var _ runtime.Device = (*Reference)(nil)

// NewReference starts a reference device. Close stops its workers.
func NewReference(cfg Config) *Reference {
	threads := cfg.Threads
	if threads <= 0 {
		threads = goruntime.GOMAXPROCS(0)
	}
	d := &Reference{}
	d.owner = d
	d.pool.start(min(threads, MaxThreads))
	return d
}

// Info implements runtime.Device.
func (d *Reference) Info() runtime.Info {
	return runtime.Info{
		Name:    "reference",
		Detail:  fmt.Sprintf("gonum in float32 on %s/%s, threads: %d", goruntime.GOOS, goruntime.GOARCH, len(d.pool.workers)),
		Paged:   true,
		Threads: len(d.pool.workers),
	}
}

// Alloc implements runtime.Device.
func (d *Reference) Alloc(size int64) (*runtime.Memory, error) {
	switch {
	case d.closed:
		return nil, errClosed
	case size < 0 || size > math.MaxInt-64:
		return nil, fmt.Errorf("cpu: cannot allocate %d bytes", size)
	}
	return &runtime.Memory{Owner: d.owner, Bytes: runtime.AlignedBytes(size), Size: size}, nil
}

// Free implements runtime.Device. Memory of a loaded weight that stayed in the
// checkpoint is only forgotten.
func (d *Reference) Free(m *runtime.Memory) {
	if m != nil {
		m.Bytes = nil
	}
}

// Upload implements runtime.Device.
func (d *Reference) Upload(dst runtime.Tensor, src []byte) error {
	return d.copyRows(transfer{t: dst, packed: src, up: true}, "upload")
}

// Download implements runtime.Device.
func (d *Reference) Download(dst []byte, src runtime.Tensor) error {
	return d.copyRows(transfer{t: src, packed: dst}, "download")
}

func (d *Reference) copyRows(j transfer, verb string) error {
	if d.closed {
		return errClosed
	}
	j.row, j.stride = int(j.t.RowBytes()), int(j.t.StrideBytes())
	if want := j.t.Rows * j.row; len(j.packed) != want {
		return fmt.Errorf("cpu: %s of %v: %d bytes, want %d", verb, j.t, len(j.packed), want)
	}
	if len(j.packed) == 0 {
		return nil
	}
	if j.mem = j.t.Bytes(); j.mem == nil {
		return fmt.Errorf("cpu: %s of %v: its memory is freed or another device's", verb, j.t)
	}
	d.transfer = j
	return d.pool.run(&d.transfer, 1, 0)
}

// transfer is the job that copies between the rows of a tensor and bytes
// without gaps. It is one task, a job only as a mapped file may fault.
type transfer struct {
	t           runtime.Tensor
	mem, packed []byte
	row, stride int
	up          bool
}

func (j *transfer) task(*worker, int) {
	for i := range j.t.Rows {
		row, packed := j.mem[i*j.stride:][:j.row], j.packed[i*j.row:][:j.row]
		if j.up {
			copy(row, packed)
		} else {
			copy(packed, row)
		}
	}
}

// Run implements runtime.Device. An id, slot or block that points outside its
// tensor gives a *runtime.OpError that names it, before anything is written.
func (d *Reference) Run(op runtime.Op) error {
	if d.closed {
		return errClosed
	}
	switch o := op.(type) {
	case *runtime.Gather:
		return d.gather.run(&d.pool, o)
	case *runtime.MatMul:
		return d.matmul.run(&d.pool, o)
	case *runtime.Norm:
		return d.norm.run(&d.pool, o)
	case *runtime.Pointwise:
		return d.pointwise.run(&d.pool, o)
	case *runtime.RoPE:
		return d.rope.run(&d.pool, o)
	case *runtime.StoreKV:
		return d.store.run(&d.pool, o)
	case *runtime.CopyBlocks:
		return d.copies.run(&d.pool, o)
	case *runtime.Attention:
		return d.attention.run(&d.pool, o)
	case *runtime.TopK:
		return d.topk.run(&d.pool, o)
	case *runtime.Combine:
		return d.combine.run(&d.pool, o)
	}
	panic("cpu: an operation the device does not know")
}

// Sync implements runtime.Device; operations are complete when Run returns.
func (d *Reference) Sync() error {
	if d.closed {
		return errClosed
	}
	return nil
}

// Close stops the workers. Memory stays readable until the collector takes it.
func (d *Reference) Close() error {
	if !d.closed {
		d.closed = true
		d.pool.stop()
	}
	return nil
}

// outside is the error of an integer operand that points outside its tensor.
func outside(op, operand string, i int, v int32, limit int) error {
	return &runtime.OpError{Op: op, Operand: operand, Reason: fmt.Sprintf("element %d is %d, want less than %d and not negative", i, v, limit)}
}

// checkInts reports the first element that is neither in [0, limit) nor in
// [low, 0).
func checkInts(op, operand string, v []int32, low int32, limit int) error {
	for i, x := range v {
		if x < low || int(x) >= limit {
			return outside(op, operand, i, x, limit)
		}
	}
	return nil
}
