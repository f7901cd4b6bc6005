package engine

// The books of the paged KV cache, in integers only: which block belongs to which
// sequences. The tensors are the model's.

import (
	"fmt"
	"math"
)

// BlocksError says that the KV cache has too few free blocks. Nothing has changed.
type BlocksError struct {
	Need, Free int // blocks
}

// Error says how many blocks are missing.
func (e *BlocksError) Error() string {
	return fmt.Sprintf("engine: the KV cache has %d free blocks, %d are needed", e.Free, e.Need)
}

// BlockTable is where a sequence's keys and values lie: position i in block
// Blocks[i/size] at offset i%size. The zero value is a sequence of no tokens. A
// table is changed by its [BlockPool] only, and must not be copied but by Fork.
type BlockTable struct {
	Blocks []int32
	Len    int // positions
}

// BlockCopy is a block whose contents must be copied, keys and values of every
// layer, before the step writes.
type BlockCopy struct {
	Src, Dst int32
}

// BlockPool hands out the blocks of a KV cache and counts who uses each. It is not
// safe for concurrent use: the scheduler owns it.
type BlockPool struct {
	size int
	refs []int32 // [blocks] tables that hold the block
	free []int32 // stack; a new pool gives out blocks 0, 1, 2 …
}

// NewBlockPool returns a pool of a number of blocks of size positions each, all
// free. Slots are 32-bit: blocks × size may be at most 2³¹ − 1.
func NewBlockPool(blocks, size int) (*BlockPool, error) {
	switch {
	case size < 1:
		return nil, &ParamError{"BlockSize", size, "must be at least 1"}
	case blocks < 0 || blocks > math.MaxInt32/size:
		return nil, &ParamError{"Blocks", blocks, fmt.Sprintf("must be from 0 to %d, with %d positions each", math.MaxInt32/size, size)}
	}
	p := &BlockPool{size: size, refs: make([]int32, blocks), free: make([]int32, blocks)}
	for i := range p.free {
		p.free[i] = int32(blocks - 1 - i)
	}
	return p, nil
}

// BlockSize returns the number of positions in a block.
func (p *BlockPool) BlockSize() int { return p.size }

// Blocks returns the number of blocks.
func (p *BlockPool) Blocks() int { return len(p.refs) }

// Free returns how many blocks no table holds.
func (p *BlockPool) Free() int { return len(p.free) }

// Need returns how many free blocks Extend would take.
func (p *BlockPool) Need(t *BlockTable, n int) int {
	n = min(n, p.size*len(p.refs)+1) // more than there is: no sum below may overflow
	need := (t.Len+n+p.size-1)/p.size - len(t.Blocks)
	if n > 0 && p.tailShared(t) {
		need++
	}
	return need
}

// tailShared reports whether the next position falls in a block that another
// table holds too.
func (p *BlockPool) tailShared(t *BlockTable) bool {
	return t.Len%p.size != 0 && p.refs[t.Blocks[len(t.Blocks)-1]] > 1
}

// Extend makes room for n more positions, to be written in the coming step. Where
// the first of them falls in a block that another table holds too, the table gets
// a block of its own, and the copy that this asks for is appended to copies. A
// *[BlocksError] leaves the table as it was.
//
// The copies of one step may run in any order, or at once, as long as no table is
// forked, truncated or released between its first Extend and the copying.
func (p *BlockPool) Extend(t *BlockTable, n int, copies []BlockCopy) ([]BlockCopy, error) {
	if n < 0 {
		panic("engine: a block table extended by less than nothing")
	}
	need := p.Need(t, n)
	if need > len(p.free) {
		return copies, &BlocksError{need, len(p.free)}
	}
	if n > 0 && p.tailShared(t) {
		tail := &t.Blocks[len(t.Blocks)-1]
		own := p.take()
		copies = append(copies, BlockCopy{*tail, own})
		p.drop(*tail)
		*tail = own
	}
	t.Len += n
	for len(t.Blocks)*p.size < t.Len {
		t.Blocks = append(t.Blocks, p.take())
	}
	return copies, nil
}

// Fork returns a second table of the same positions, which shares every block.
func (p *BlockPool) Fork(t *BlockTable) BlockTable {
	for _, b := range t.Blocks {
		p.refs[b]++
	}
	return BlockTable{append([]int32(nil), t.Blocks...), t.Len}
}

// Truncate forgets the positions from n on, and gives back the blocks that held
// nothing else.
func (p *BlockPool) Truncate(t *BlockTable, n int) {
	if n < 0 || n > t.Len {
		panic("engine: a block table truncated beyond its length")
	}
	keep := (n + p.size - 1) / p.size
	for i := len(t.Blocks) - 1; i >= keep; i-- { // the last first: they are given out again in order
		p.drop(t.Blocks[i])
	}
	t.Blocks, t.Len = t.Blocks[:keep], n
}

// Release gives back all blocks of a table and leaves it empty.
func (p *BlockPool) Release(t *BlockTable) { p.Truncate(t, 0) }

// Reorder makes the tables of a step's branches from those of its beams: the
// table of branch i continues tables[parents[i]]. A parent without branches is
// released. The old tables must not be used any more.
func (p *BlockPool) Reorder(tables []BlockTable, parents []int) []BlockTable {
	next := make([]BlockTable, 0, len(parents))
	heir := make([]int, len(tables)) // 1 + the branch that took the parent's table over
	for i, parent := range parents {
		if h := heir[parent]; h > 0 {
			next = append(next, p.Fork(&next[h-1]))
			continue
		}
		heir[parent] = i + 1
		next = append(next, tables[parent])
	}
	for i := range tables {
		if heir[i] == 0 {
			p.Release(&tables[i])
		}
		tables[i] = BlockTable{}
	}
	return next
}

// Slot returns where in the cache a position of the table lies.
func (p *BlockPool) Slot(t *BlockTable, position int) int32 {
	if position < 0 || position >= t.Len {
		panic("engine: a position outside of its block table")
	}
	return t.Blocks[position/p.size]*int32(p.size) + int32(position%p.size)
}

// Slots appends the slots of positions from up to, not including, to.
func (p *BlockPool) Slots(dst []int32, t *BlockTable, from, to int) []int32 {
	for i := from; i < to; i++ {
		dst = append(dst, p.Slot(t, i))
	}
	return dst
}

// take returns a free block, now held once.
func (p *BlockPool) take() int32 {
	b := p.free[len(p.free)-1]
	p.free = p.free[:len(p.free)-1]
	p.refs[b] = 1
	return b
}

// drop takes one holder from a block.
func (p *BlockPool) drop(b int32) {
	if p.refs[b] <= 0 {
		panic("engine: a KV cache block is released twice")
	}
	p.refs[b]--
	if p.refs[b] == 0 {
		p.free = append(p.free, b)
	}
}
