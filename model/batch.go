package model

// Batch: the tokens of one forward pass and where they stand.

import (
	"fmt"

	"github.com/godwit-ml/godwit/nn"
	"github.com/godwit-ml/godwit/runtime"
)

// Batch is one forward pass over N sequences: their new tokens laid end to end.
// For decoders Slots and Blocks say where keys and values lie in the cache, for
// encoders both are empty and every sequence sees itself whole.
//
// A Batch may be used again after Reset, which keeps its memory.
type Batch struct {
	IDs       []int32 // [T]
	Types     []int32 // [T] token types; empty: all 0
	Positions []int32 // [T]
	QStarts   []int32 // [N+1]: first row of each sequence, and T
	KLens     []int32 // [N]: keys, the new tokens included
	Slots     []int32 // [T], decoders
	Blocks    []int32 // [N, MaxBlocks], decoders
	MaxBlocks int
	Lengths   []int32  // [N], decoders: tokens that are known of each sequence, those that are still to come included; empty: KLens
	Capture   *Capture // nil: nothing is recorded

	// Encoder-decoders, their decoder's batches: where each sequence's source lies.
	Sources      []int32 // [N]: tokens of the source
	SourceBlocks []int32 // [N, MaxSource]
	MaxSource    int

	left []leftOut
	step nn.Step
	rows []int32 // of RoPE tables
}

// leftOut is a token that a mask leaves out, before the token at a row.
type leftOut struct {
	row int
	id  int32
}

// Capture receives attention distributions and hidden states while a batch runs.
type Capture = nn.Capture

// BatchError is a batch that cannot run: Field as in Batch.
type BatchError struct {
	Field  string
	Index  int // of the offending element; -1: none
	Reason string
}

// Error names field and element.
func (e *BatchError) Error() string {
	if e.Index < 0 {
		return fmt.Sprintf("model: batch: %s: %s", e.Field, e.Reason)
	}
	return fmt.Sprintf("model: batch: %s[%d]: %s", e.Field, e.Index, e.Reason)
}

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() {
	b.IDs, b.Types, b.Positions = b.IDs[:0], b.Types[:0], b.Positions[:0]
	b.QStarts, b.KLens = b.QStarts[:0], b.KLens[:0]
	b.Slots, b.Blocks, b.MaxBlocks, b.Lengths = b.Slots[:0], b.Blocks[:0], 0, b.Lengths[:0]
	b.Sources, b.SourceBlocks, b.MaxSource = b.Sources[:0], b.SourceBlocks[:0], 0
	b.left = b.left[:0]
	b.Capture = nil
}

// AddEncoder appends a sequence that sees itself whole. Types may be nil. Mask
// may be nil; where it is 0 a token is seen by nobody and left out, and the
// positions of the others do not move.
func (b *Batch) AddEncoder(ids, types, mask []int32) error {
	if types != nil && len(types) != len(ids) {
		return &BatchError{"Types", len(b.KLens), fmt.Sprintf("%d types for %d tokens", len(types), len(ids))}
	}
	if mask != nil && len(mask) != len(ids) {
		return &BatchError{"Mask", len(b.KLens), fmt.Sprintf("%d mask values for %d tokens", len(mask), len(ids))}
	}
	b.begin()
	from, known := len(b.IDs), len(b.left)
	for i, id := range ids {
		if mask != nil && mask[i] == 0 {
			b.left = append(b.left, leftOut{len(b.IDs), id})
			continue
		}
		known = len(b.left)
		b.IDs = append(b.IDs, id)
		b.Positions = append(b.Positions, int32(i))
		if types != nil {
			b.Types = append(b.Types, types[i])
		} else {
			b.Types = append(b.Types, 0)
		}
	}
	b.left = b.left[:known] // of those after the last token nothing depends
	if len(b.IDs) == from {
		return &BatchError{"IDs", from, "a sequence without tokens"}
	}
	b.end(len(b.IDs) - from)
	return nil
}

// AddDecoder appends the next tokens of a sequence that has past tokens in the
// cache, whose block table must hold them all. Where more of the sequence is
// known, SetLength says so.
func (b *Batch) AddDecoder(ids []int32, past int, table []int32, blockSize int) error {
	if len(ids) == 0 {
		return &BatchError{"IDs", len(b.IDs), "a sequence without tokens"}
	}
	if need := (past + len(ids) + blockSize - 1) / blockSize; len(table) < need {
		return &BatchError{"Blocks", len(b.KLens), fmt.Sprintf("%d blocks of %d for %d tokens", len(table), blockSize, past+len(ids))}
	}
	b.begin()
	for i, id := range ids {
		p := past + i
		b.IDs = append(b.IDs, id)
		b.Positions = append(b.Positions, int32(p))
		b.Slots = append(b.Slots, table[p/blockSize]*int32(blockSize)+int32(p%blockSize))
	}
	b.Blocks, b.MaxBlocks = addTable(b.Blocks, len(b.KLens), b.MaxBlocks, table)
	b.Lengths = append(b.Lengths, int32(past+len(ids)))
	b.end(past + len(ids))
	return nil
}

// SetLength says how many tokens are known of the sequence added last: a prompt's
// where this is a chunk of it. Models with a RopeLimit rotate by it.
func (b *Batch) SetLength(tokens int) { b.Lengths[len(b.Lengths)-1] = int32(tokens) }

// SetSource says where the source of the sequence added last lies: its tokens,
// and the blocks of their keys and values.
func (b *Batch) SetSource(tokens int, table []int32) {
	b.SourceBlocks, b.MaxSource = addTable(b.SourceBlocks, len(b.Sources), b.MaxSource, table)
	b.Sources = append(b.Sources, int32(tokens))
}

// addTable appends a row to n block tables of a width, widening the others as
// needed.
func addTable(tables []int32, n, width int, table []int32) ([]int32, int) {
	if len(table) > width {
		for range n * (len(table) - width) {
			tables = append(tables, 0)
		}
		for i := n - 1; i >= 0; i-- {
			row := tables[i*len(table):][:len(table)]
			copy(row, tables[i*width:][:width])
			clear(row[width:])
		}
		width = len(table)
	}
	tables = append(tables, table...)
	for range width - len(table) {
		tables = append(tables, 0)
	}
	return tables, width
}

func (b *Batch) begin() {
	if len(b.QStarts) == 0 {
		b.QStarts = append(b.QStarts, 0)
	}
}

func (b *Batch) end(keys int) {
	b.QStarts = append(b.QStarts, int32(len(b.IDs)))
	b.KLens = append(b.KLens, int32(keys))
}

// countedPositions appends to dst the positions of tokens where those that are
// pad do not count: they are at pad, and the others at the places after it.
// Tokens that a mask leaves out count all the same.
func (b *Batch) countedPositions(dst []int32, pad int32) []int32 {
	left := b.left
	for n := range b.KLens {
		counted := int32(0)
		for row := int(b.QStarts[n]); row < int(b.QStarts[n+1]); row++ {
			for len(left) > 0 && left[0].row <= row {
				if left[0].id != pad {
					counted++
				}
				left = left[1:]
			}
			at := pad
			if b.IDs[row] != pad {
				counted++
				at = pad + counted
			}
			dst = append(dst, at)
		}
	}
	return dst
}

// Check validates the batch against a model and, for decoders, a cache: after
// it no operation reads outside a tensor.
func (b *Batch) Check(in Info, c *Cache) error {
	n, t := len(b.KLens), len(b.IDs)
	switch {
	case t == 0 || n == 0:
		return &BatchError{"IDs", -1, "no tokens"}
	case len(b.QStarts) != n+1 || b.QStarts[0] != 0 || int(b.QStarts[n]) != t:
		return &BatchError{"QStarts", -1, fmt.Sprintf("want %d values from 0 to %d", n+1, t)}
	case len(b.Positions) != t:
		return &BatchError{"Positions", -1, fmt.Sprintf("%d for %d tokens", len(b.Positions), t)}
	case len(b.Types) != 0 && len(b.Types) != t:
		return &BatchError{"Types", -1, fmt.Sprintf("%d for %d tokens", len(b.Types), t)}
	case len(b.Lengths) != 0 && len(b.Lengths) != n:
		return &BatchError{"Lengths", -1, fmt.Sprintf("%d for %d sequences", len(b.Lengths), n)}
	case b.paged(in) != (len(b.Slots) == t):
		return &BatchError{"Slots", -1, fmt.Sprintf("%d for %d tokens of a %s", len(b.Slots), t, in.Kind)}
	}
	for _, v := range []struct {
		field  string
		values []int32
		limit  int
	}{{"IDs", b.IDs, in.Vocab}, {"Types", b.Types, max(in.Types, 1)}, {"Positions", b.Positions, in.Context}} {
		for i, x := range v.values {
			if x < 0 || int(x) >= v.limit {
				return &BatchError{v.field, i, fmt.Sprintf("%d is not in [0, %d)", x, v.limit)}
			}
		}
	}
	for i := range n {
		q := b.QStarts[i+1] - b.QStarts[i]
		if q <= 0 || b.KLens[i] < q || !b.paged(in) && b.KLens[i] != q {
			return &BatchError{"KLens", i, fmt.Sprintf("%d keys for %d new tokens", b.KLens[i], q)}
		}
	}
	if !b.paged(in) {
		return b.checkHoles(in)
	}
	if c == nil {
		return &BatchError{"Slots", -1, "a decoder needs a cache"}
	}
	if err := b.checkSlots(c); err != nil {
		return err
	}
	if err := c.checkTables("Blocks", "KLens", b.Blocks, b.MaxBlocks, b.KLens); err != nil {
		return err
	}
	for i, known := range b.Lengths {
		if known < b.KLens[i] || int(known) > in.Context {
			return &BatchError{"Lengths", i, fmt.Sprintf("%d is not in [%d, %d]", known, b.KLens[i], in.Context)}
		}
	}
	if in.Kind != Seq2Seq {
		return nil
	}
	if len(b.Sources) != n {
		return &BatchError{"Sources", -1, fmt.Sprintf("%d for %d sequences", len(b.Sources), n)}
	}
	return c.checkTables("SourceBlocks", "Sources", b.SourceBlocks, b.MaxSource, b.Sources)
}

// checkHoles checks that no token is left out between two where that would bring
// them nearer to one another.
func (b *Batch) checkHoles(in Info) error {
	if !in.Distances {
		return nil
	}
	for n := range b.KLens {
		for row := b.QStarts[n] + 1; row < b.QStarts[n+1]; row++ {
			if b.Positions[row] != b.Positions[row-1]+1 {
				return &BatchError{"Positions", int(row), fmt.Sprintf("tokens before it are left out, but %s counts the distance to those that are left", in.Family)}
			}
		}
	}
	return nil
}

// paged reports whether keys and values go through the cache: those of decoders
// do, and of an encoder-decoder the decoder's, which have slots.
func (b *Batch) paged(in Info) bool {
	return in.Kind == Decoder || in.Kind == Seq2Seq && len(b.Slots) > 0
}

func (b *Batch) checkSlots(c *Cache) error {
	for i, x := range b.Slots {
		if x < -1 || int(x) >= c.Blocks*c.BlockSize {
			return &BatchError{"Slots", i, fmt.Sprintf("%d is not in [-1, %d)", x, c.Blocks*c.BlockSize)}
		}
	}
	return nil
}

// checkTables checks block tables of a width, and that they hold lens tokens.
func (c *Cache) checkTables(field, lenField string, tables []int32, width int, lens []int32) error {
	if len(tables) != len(lens)*width {
		return &BatchError{field, -1, fmt.Sprintf("%d for %d sequences of %d", len(tables), len(lens), width)}
	}
	for i, x := range tables {
		if x < 0 || int(x) >= c.Blocks {
			return &BatchError{field, i, fmt.Sprintf("%d is not in [0, %d)", x, c.Blocks)}
		}
	}
	for i, k := range lens {
		if k <= 0 || int(k) > width*c.BlockSize {
			return &BatchError{lenField, i, fmt.Sprintf("%d keys in %d blocks of %d", k, width, c.BlockSize)}
		}
	}
	return nil
}

// rotate has the step take the rows of RoPE tables with a limit: those of long
// sequences lie below the first limit ones.
func (b *Batch) rotate(st *nn.Step, limit int) {
	known := b.Lengths
	if len(known) == 0 {
		known = b.KLens
	}
	b.rows = b.rows[:0]
	for i, end := range b.QStarts[1:] {
		from := int32(0)
		if int(known[i]) > limit {
			from = int32(limit)
		}
		for _, p := range b.Positions[len(b.rows):end] {
			b.rows = append(b.rows, from+p)
		}
	}
	st.Rows = st.S.ScratchI32(1, len(b.rows))
	st.S.UploadI32(st.Rows, b.rows)
}

// upload puts the batch on the device and returns the step for the layers. The
// ids are [T] of I32 scratch, as are the types.
func (b *Batch) upload(s *runtime.Stream, c *Cache) (st *nn.Step, ids, types runtime.Tensor) {
	put := func(v []int32, rows, cols int) runtime.Tensor {
		t := s.ScratchI32(rows, cols)
		s.UploadI32(t, v)
		return t
	}
	n, t := len(b.KLens), len(b.IDs)
	st = &b.step
	*st = nn.Step{S: s, Tokens: t, Capture: b.Capture,
		Positions: put(b.Positions, 1, t), QStarts: put(b.QStarts, 1, n+1), KLens: put(b.KLens, 1, n)}
	st.Rows = st.Positions
	for i := range n {
		st.MaxQ = max(st.MaxQ, int(b.QStarts[i+1]-b.QStarts[i]))
		st.MaxK = max(st.MaxK, int(b.KLens[i]))
	}
	if c != nil && len(b.Slots) > 0 {
		st.Slots, st.Blocks, st.BlockSize = put(b.Slots, 1, t), put(b.Blocks, n, b.MaxBlocks), c.BlockSize
		st.CacheK, st.CacheV = c.K, c.V
		if len(b.Sources) > 0 {
			st.SourceLens, st.SourceBlocks = put(b.Sources, 1, n), put(b.SourceBlocks, n, b.MaxSource)
			for _, k := range b.Sources {
				st.MaxSource = max(st.MaxSource, int(k))
			}
		}
	} else {
		st.KStarts = put(b.QStarts[:n], 1, n)
	}
	ids = put(b.IDs, 1, t)
	for len(b.Types) < t {
		b.Types = append(b.Types, 0)
	}
	types = put(b.Types, 1, t)
	return st, ids, types
}
