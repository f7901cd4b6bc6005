package runtime

// Device: what runs operations and owns memory.

import "errors"

// ErrUnsupported is what a device answers to an operation it cannot run; the
// stream then takes the fallback. Wrap it with the reason, a constant text, as
// it becomes the key of a counter. It is the standard library's value.
var ErrUnsupported = errors.ErrUnsupported

// ErrLost is what the errors of a device wrap that cannot run anything any more:
// it has to be closed and opened again, its memory is gone.
var ErrLost = errors.New("the device is lost")

// Use tells a device how a weight will be read, so that it may keep it in a
// layout of its own.
type Use uint8

// The uses; they may be joined with |.
const (
	UseProduct Use = 1 << iota // W of MatMul
	UseTable                   // Table of Gather
	UseVector                  // biases, norm weights, RoPE tables, slopes: stays F32 rows
)

// Info describes a device.
type Info struct {
	Name    string // as Config.Device spells it: "reference", "cpu", "cuda:0"
	Detail  string // for people: processor, threads, instruction set
	Paged   bool   // runs StoreKV, CopyBlocks and Attention with every field, so KV caches may live here
	Threads int    // workers; 0 where that means nothing
}

// Device runs operations on memory of its own. It is used by one goroutine at a
// time. The interface does not grow with the operations.
type Device interface {
	Info() Info
	// Alloc gives size bytes, zeroed, aligned to 64.
	Alloc(size int64) (*Memory, error)
	Free(*Memory)
	// Load takes a weight of a checkpoint, which stays readable for as long as
	// the result is used. Views are taken before Load: the layout of the result
	// is the device's own.
	Load(host Tensor, use Use) (Tensor, error)
	// Upload copies contiguous rows of host bytes into a tensor, Download the
	// other way; both when they return, or at the next Sync.
	Upload(dst Tensor, src []byte) error
	Download(dst []byte, src Tensor) error
	// Run runs one checked operation; operations take effect in order. The
	// operation may be overwritten when Run has returned.
	Run(op Op) error
	// Sync waits for all that was started and returns the first error.
	Sync() error
	Close() error
}

// RowLoader is a Device that takes the rows of a weight in parts, so that nobody
// has to stack them first.
type RowLoader interface {
	Device
	// LoadRows is Load of parts of one type and width, one below the other.
	LoadRows(parts []Tensor, use Use) (Tensor, error)
}
