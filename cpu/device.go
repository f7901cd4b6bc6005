package cpu

// Device: the fast device. Memory, weights, and the choice of what runs an
// operation.

import (
	"fmt"
	goruntime "runtime"

	"github.com/godwit-ml/godwit/cpu/simd"
	"github.com/godwit-ml/godwit/runtime"
)

// Options configure the fast device. The zero value is sensible.
type Options struct {
	Threads int    // workers of an operation; 0: GOMAXPROCS
	Path    string // "vnni", "avx512" …; "": the best there is
	// Exact multiplies in float32 whatever a weight is stored as. Else products
	// take what is fastest for it: int8 activations for block types, bf16 products
	// for bf16 where the path has them.
	Exact bool
	// Weights is what weights of products are turned into while they are loaded:
	// BF16 or F16 those stored in F32 or F64, Q8_0 or Q4_0 all that would run in a
	// wider type. One that cannot be, as its rows are not made of whole blocks or as
	// it has numbers that the type does not hold, is an error of Load. F32, which is
	// zero: they stay as they are stored, if there are kernels for that.
	Weights runtime.DType
	// MemoryLimit bounds what the weights of products take, bytes; 0: nothing does.
	// Beyond it Load returns a *MemoryError before it allocates.
	MemoryLimit int64
}

// threads is Threads, or what stands for 0.
func (o Options) threads() int {
	if o.Threads <= 0 {
		return min(goruntime.GOMAXPROCS(0), MaxThreads)
	}
	return min(o.Threads, MaxThreads)
}

// Device is the fast device: every operation with every field, on kernels of one
// path of package simd. One goroutine uses it at a time. Operations are complete
// when Run returns.
//
// The bits of a row do not depend on how many rows stand beside it, on how a
// prompt is cut into chunks, or on the number of threads.
type Device struct {
	Reference // memory, copies, and the operations without a faster form
	opt       Options
	k         *simd.Kernels
	weights   []*weight // of Memory.Addr-1
	packed    int64     // bytes of their panels
	product   product
	rows      struct {
		gather    fastGather
		norm      fastNorm
		pointwise fastPointwise
		rope      fastRoPE
		combine   fastCombine
		topk      fastTopK
	}
	keep   fastStore
	attend fastAttention
}

var _ runtime.RowLoader = (*Device)(nil)

// New starts a fast device. A path that does not exist, or not here, is an error
// that says which there are. Close stops its workers.
func New(opt Options) (*Device, error) {
	path := simd.Best()
	if opt.Path != "" {
		var ok bool
		if path, ok = simd.ParsePath(opt.Path); !ok || !path.Available() {
			return nil, fmt.Errorf("cpu: no path %q here; there is: %s: %w", opt.Path, simd.Names(), runtime.ErrUnsupported)
		}
	}
	if opt.Threads < 0 || opt.Threads > MaxThreads {
		return nil, fmt.Errorf("cpu: %d threads, want 1 to %d, or 0 for one a processor", opt.Threads, MaxThreads)
	}
	switch opt.Weights {
	case runtime.F32, runtime.F16, runtime.BF16, runtime.Q8_0, q40:
	default:
		return nil, fmt.Errorf("cpu: weights cannot be turned into %v while they are loaded: F16, BF16, Q8_0 or Q4_0", opt.Weights)
	}
	d := &Device{opt: opt, k: simd.For(path)}
	d.owner = d
	d.pool.start(opt.threads())
	return d, nil
}

// Info implements runtime.Device.
func (d *Device) Info() runtime.Info {
	return runtime.Info{
		Name:    "cpu:" + d.k.Path.String(),
		Detail:  fmt.Sprintf("%v on %s/%s, threads: %d", d.k.Path, goruntime.GOOS, goruntime.GOARCH, len(d.pool.workers)),
		Paged:   true,
		Threads: len(d.pool.workers),
	}
}

// Free implements runtime.Device.
func (d *Device) Free(m *runtime.Memory) {
	if m != nil && m.Addr > 0 && m.Owner == d.owner && d.weights[m.Addr-1] != nil {
		d.packed -= int64(len(d.weights[m.Addr-1].panels))
		d.weights[m.Addr-1] = nil
	}
	d.Reference.Free(m)
}

// Run implements runtime.Device. An id, slot or block that points outside its
// tensor gives a *runtime.OpError that names it, before anything is written.
func (d *Device) Run(op runtime.Op) error {
	if d.closed {
		return errClosed
	}
	switch o := op.(type) {
	case *runtime.MatMul:
		if w := d.weightOf(&o.W); w != nil {
			return d.product.run(d, o, w)
		}
	case *runtime.Gather:
		if w := d.weightOf(&o.Table); w != nil {
			return d.rows.gather.run(d, o, &w.host)
		}
		return d.rows.gather.run(d, o, &o.Table)
	case *runtime.Norm:
		return d.rows.norm.run(d, o)
	case *runtime.Pointwise:
		return d.rows.pointwise.run(d, o)
	case *runtime.RoPE:
		return d.rows.rope.run(d, o)
	case *runtime.Combine:
		return d.rows.combine.run(d, o)
	case *runtime.TopK:
		return d.rows.topk.run(d, o)
	case *runtime.StoreKV:
		return d.keep.run(d, o)
	case *runtime.Attention:
		return d.attend.run(d, o)
	}
	return d.Reference.Run(op)
}

// weightOf is the packed weight that a tensor stands for; nil if it is none.
func (d *Device) weightOf(t *runtime.Tensor) *weight {
	if t.Mem.Addr == 0 || t.Mem.Owner != d.owner {
		return nil
	}
	return d.weights[t.Mem.Addr-1]
}
