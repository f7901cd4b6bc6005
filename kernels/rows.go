package kernels

// What the declarations of the operations on rows share: when four floats are
// moved at a time, and how elements are dealt to threads.

import "github.com/godwit-ml/godwit/runtime"

// rowThreads is the size of a CTA of these kernels.
const rowThreads = 256

// maxCount keeps a launch's number of threads in 32 bits.
const maxCount = 1<<31 - rowThreads

var (
	errUnaligned = unfit("an operand does not lie on 16 bytes")
	errTooMany   = unfit("more elements than a launch counts")
)

// rowsKernel is a declaration of a kernel in which each thread works on a few
// elements of a row, with no memory shared.
func rowsKernel(op, entry string, image *Image, params []Param) *Kernel {
	return &Kernel{Op: op, Entry: entry, Image: image, Params: params, Threads: rowThreads, CTAs: 4}
}

// aligned reports whether every row of the tensors that are present begins on
// a multiple of so many bytes.
func aligned(bytes int64, tensors ...*runtime.Tensor) bool {
	for _, t := range tensors {
		if t.IsZero() {
			continue
		}
		if (int64(t.Mem.Addr)+t.Offset)%bytes != 0 || t.Rows > 1 && t.StrideBytes()%bytes != 0 {
			return false
		}
	}
	return true
}

// vectors reports whether four floats of n columns can be moved at a time.
func vectors(n int, tensors ...*runtime.Tensor) bool { return n%4 == 0 && aligned(16, tensors...) }

// deal sets the grid for one thread to each of rows·perRow pieces.
func (l *Launch) deal(rows, perRow int) error {
	if perRow > 0 && rows > maxCount/perRow {
		return errTooMany
	}
	l.ctas((rows*perRow+rowThreads-1)/rowThreads, rowThreads)
	return nil
}

// ctas sets a grid and a block of one dimension.
func (l *Launch) ctas(n, threads int) {
	l.Reset()
	l.Grid, l.Block = [3]int{n, 1, 1}, [3]int{threads, 1, 1}
}

// stride appends the distance between rows in elements, 0 for a tensor that is
// absent, or whose one row serves all.
func (l *Launch) stride(t runtime.Tensor) {
	if t.Rows <= 1 {
		l.Int(0)
		return
	}
	l.Int(t.Stride)
}

// or1 is a scale whose zero value means 1.
func or1(v float32) float32 {
	if v == 0 {
		return 1
	}
	return v
}

// size is the bytes of a tensor's elements, 0 if it is absent.
func size(t runtime.Tensor) int64 {
	if t.IsZero() {
		return 0
	}
	return int64(t.Rows) * t.RowBytes()
}

// scalarRead is what a warp moves to read one number: a sector.
const scalarRead = 32

// warps is how many warps n threads make.
func warps(n int) int64 { return int64(n+31) / 32 }
