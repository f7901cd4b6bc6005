package devicetest

// Null: the device that only records.

import (
	"fmt"

	"github.com/godwit-ml/godwit/runtime"
)

// Null is a device that records operations and runs none. Its memory cannot be
// read by the host, so that a host that reads it panics; what is downloaded is
// zeros. Once it has recorded as much as it will between two Resets, it
// allocates nothing. The zero value is ready.
type Null struct {
	Allocs, Frees int   // calls
	AllocBytes    int64 // allocated and not freed
	Loads         int   // weights
	Uploads       int   // calls of Upload
	Downloads     int   // calls of Download
	Syncs         int   // calls of Sync

	log  []entry
	next uint64 // address of the next allocation

	// The values of operations, by kind, so that recording one allocates nothing.
	gathers    []runtime.Gather
	matmuls    []runtime.MatMul
	norms      []runtime.Norm
	pointwises []runtime.Pointwise
	ropes      []runtime.RoPE
	stores     []runtime.StoreKV
	copies     []runtime.CopyBlocks
	attentions []runtime.Attention
	topks      []runtime.TopK
	combines   []runtime.Combine
}

// entry is one operation of the log.
type entry struct {
	name  string
	index int // among those of its kind
}

var _ runtime.Device = (*Null)(nil)

// Info implements runtime.Device.
func (d *Null) Info() runtime.Info {
	return runtime.Info{Name: "null", Detail: "records operations and runs none", Paged: true}
}

// Alloc implements runtime.Device.
func (d *Null) Alloc(size int64) (*runtime.Memory, error) {
	if size < 0 {
		return nil, fmt.Errorf("devicetest: cannot allocate %d bytes", size)
	}
	d.Allocs++
	d.AllocBytes += size
	const page = 1 << 12
	d.next += page
	m := &runtime.Memory{Owner: d, Addr: d.next, Size: size}
	d.next += uint64(size) &^ (page - 1)
	return m, nil
}

// Free implements runtime.Device.
func (d *Null) Free(m *runtime.Memory) {
	d.Frees++
	d.AllocBytes -= m.Size
	m.Addr, m.Size = 0, 0
}

// Load implements runtime.Device. The result has the shape and type of host.
func (d *Null) Load(host runtime.Tensor, _ runtime.Use) (runtime.Tensor, error) {
	m, err := d.Alloc(int64(host.Rows) * host.RowBytes())
	if err != nil {
		return runtime.Tensor{}, err
	}
	d.Loads++
	m.Host = &host
	return runtime.Tensor{Mem: m, DType: host.DType, Rows: host.Rows, Cols: host.Cols, Stride: host.Cols / host.DType.BlockSize()}, nil
}

// Upload implements runtime.Device.
func (d *Null) Upload(dst runtime.Tensor, src []byte) error {
	d.Uploads++
	return transferable(dst, len(src))
}

// Download implements runtime.Device. It gives zeros.
func (d *Null) Download(dst []byte, src runtime.Tensor) error {
	d.Downloads++
	clear(dst)
	return transferable(src, len(dst))
}

func transferable(t runtime.Tensor, n int) error {
	if want := int64(t.Rows) * t.RowBytes(); int64(n) != want {
		return fmt.Errorf("devicetest: copy of %v: %d bytes, want %d", t, n, want)
	}
	if t.Offset+t.Span() > t.Mem.Size {
		return fmt.Errorf("devicetest: copy of %v: it does not lie inside its memory", t)
	}
	return nil
}

// Run implements runtime.Device. It keeps the operation's name and value.
func (d *Null) Run(op runtime.Op) error {
	i := 0
	switch o := op.(type) {
	case *runtime.Gather:
		i = keep(&d.gathers, o)
	case *runtime.MatMul:
		i = keep(&d.matmuls, o)
	case *runtime.Norm:
		i = keep(&d.norms, o)
	case *runtime.Pointwise:
		i = keep(&d.pointwises, o)
	case *runtime.RoPE:
		i = keep(&d.ropes, o)
	case *runtime.StoreKV:
		i = keep(&d.stores, o)
	case *runtime.CopyBlocks:
		i = keep(&d.copies, o)
	case *runtime.Attention:
		i = keep(&d.attentions, o)
	case *runtime.TopK:
		i = keep(&d.topks, o)
	case *runtime.Combine:
		i = keep(&d.combines, o)
	default:
		panic("devicetest: an operation that Null does not know")
	}
	d.log = append(d.log, entry{op.Name(), i})
	return nil
}

func keep[O any](list *[]O, o *O) int {
	*list = append(*list, *o)
	return len(*list) - 1
}

// Sync implements runtime.Device.
func (d *Null) Sync() error {
	d.Syncs++
	return nil
}

// Close implements runtime.Device.
func (d *Null) Close() error { return nil }

// Len is the number of operations since the last Reset.
func (d *Null) Len() int { return len(d.log) }

// At is operation i since the last Reset, as it was when it ran. It is valid
// until the next operation.
func (d *Null) At(i int) runtime.Op {
	e := d.log[i]
	switch e.name {
	case "Gather":
		return &d.gathers[e.index]
	case "MatMul":
		return &d.matmuls[e.index]
	case "Norm":
		return &d.norms[e.index]
	case "Pointwise":
		return &d.pointwises[e.index]
	case "RoPE":
		return &d.ropes[e.index]
	case "StoreKV":
		return &d.stores[e.index]
	case "CopyBlocks":
		return &d.copies[e.index]
	case "Attention":
		return &d.attentions[e.index]
	case "TopK":
		return &d.topks[e.index]
	case "Combine":
		return &d.combines[e.index]
	}
	panic("devicetest: an operation that Null does not know")
}

// Names are the names of the operations since the last Reset, in order.
func (d *Null) Names() []string {
	names := make([]string, len(d.log))
	for i, e := range d.log {
		names[i] = e.name
	}
	return names
}

// Counts are the numbers of operations since the last Reset, by name.
func (d *Null) Counts() map[string]int {
	counts := map[string]int{}
	for _, e := range d.log {
		counts[e.name]++
	}
	return counts
}

// Reset forgets the recorded operations and keeps the memory for the next.
func (d *Null) Reset() {
	d.log = d.log[:0]
	d.gathers, d.matmuls, d.norms, d.pointwises, d.ropes = d.gathers[:0], d.matmuls[:0], d.norms[:0], d.pointwises[:0], d.ropes[:0]
	d.stores, d.copies, d.attentions, d.topks, d.combines = d.stores[:0], d.copies[:0], d.attentions[:0], d.topks[:0], d.combines[:0]
}
