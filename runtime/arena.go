package runtime

// The scratch arena: tensors of one forward pass, released in the order of a
// stack, in memory that is kept from step to step.

// arena hands out memory of chunks that grow; after a few steps it allocates
// nothing.
type arena struct {
	dev    Device
	chunks []*Memory
	at     Mark
}

// Mark is a point in the arena to release to.
type Mark struct {
	chunk int
	used  int64
}

const (
	arenaAlign = 64
	arenaChunk = 1 << 20 // the least a chunk holds, bytes
)

// Mark is the present end of scratch, to be given to Release.
func (s *Stream) Mark() Mark { return s.arena.at }

// Release gives back all scratch taken since the mark.
func (s *Stream) Release(m Mark) { s.arena.release(m) }

// Scratch is an F32 tensor [rows, cols] with stale contents, valid until the
// next Release of an older mark.
func (s *Stream) Scratch(rows, cols int) Tensor { return s.scratch(F32, rows, cols) }

// ScratchI32 is Scratch for I32.
func (s *Stream) ScratchI32(rows, cols int) Tensor { return s.scratch(I32, rows, cols) }

// ScratchBytes is the memory the scratch arena holds.
func (s *Stream) ScratchBytes() int64 {
	var n int64
	for _, c := range s.arena.chunks {
		n += c.Size
	}
	return n
}

func (s *Stream) scratch(dtype DType, rows, cols int) Tensor {
	t := Tensor{DType: dtype, Rows: rows, Cols: cols, Stride: cols}
	if s.err != nil {
		return t
	}
	mem, off, err := s.arena.take(int64(rows) * int64(cols) * int64(dtype.TypeSize()))
	if err != nil {
		s.err = err
	}
	t.Mem, t.Offset = mem, off
	return t
}

// take gives n bytes: of the present chunk, of a later one that is large
// enough, or of a new one.
func (a *arena) take(n int64) (*Memory, int64, error) {
	n = (n + arenaAlign - 1) &^ (arenaAlign - 1)
	for ; a.at.chunk < len(a.chunks); a.at = (Mark{a.at.chunk + 1, 0}) {
		if c := a.chunks[a.at.chunk]; a.at.used+n <= c.Size {
			off := a.at.used
			a.at.used += n
			return c, off, nil
		}
	}
	c, err := a.dev.Alloc(max(n, arenaChunk, 2*a.last()))
	if err != nil {
		return nil, 0, err
	}
	a.chunks = append(a.chunks, c)
	a.at = Mark{len(a.chunks) - 1, n}
	return c, 0, nil
}

// last is the size of the newest chunk: the next is twice as large.
func (a *arena) last() int64 {
	if len(a.chunks) == 0 {
		return 0
	}
	return a.chunks[len(a.chunks)-1].Size
}

func (a *arena) release(m Mark) { a.at = m }

func (a *arena) free() {
	for _, c := range a.chunks {
		a.dev.Free(c)
	}
	a.chunks, a.at = nil, Mark{}
}
