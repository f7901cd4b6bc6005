package cpu

// The paged cache of the fast device: the order inside a block, StoreKV, and
// where attention finds keys and values.

import (
	"encoding/binary"

	"github.com/godwit-ml/godwit/cpu/simd"
	"github.com/godwit-ml/godwit/quant"
	"github.com/godwit-ml/godwit/runtime"
)

// cacheBlocks is a cache tensor in the order of the fast device. Blocks lie one
// after the other. Where their tokens are a multiple of 16, and T is an element,
// they are groups of 16 tokens, and each of them
//
//	keys    [columns][16] T; in Q8_0 [columns/32] of {[32][16] int8, [16] f16 scales}
//	values  [heads][16][Dv] T; so too in Q8_0 if 32 divides Dv
//
// so that 16 keys are a vector for each feature, and those of a head are read in
// one go. Else rows lie as they are given.
type cacheBlocks struct {
	cacheRows
	block   int  // tokens
	heads   int  // KV heads
	ordered bool // as above; else rows
	head    int  // elements of a head
	part    int  // bytes of a row of a head, of values in order
	size    int  // bytes of an element, if it is no block type
}

func (c *cacheBlocks) bind(t *runtime.Tensor, block, heads int, keys bool) {
	*c = cacheBlocks{cacheRows: cacheOf(t), block: block, heads: heads, head: t.Cols / heads}
	c.part, c.size = c.row/heads, c.row/max(c.cols, 1)
	c.ordered = block%simd.Lanes == 0 && (keys || t.DType != quant.Q8_0 || c.head%q8Block == 0)
}

// Sizes in Q8_0, and of a group.
const (
	q8Block = 32          // elements
	q8Size  = 2 + q8Block // bytes: the scale, and the elements
	group   = simd.Lanes  // tokens
)

// keyAt is where column col of the key in a slot lies.
func (c *cacheBlocks) keyAt(slot, col int) int {
	at := slot / group * group * c.row
	if c.dtype == quant.Q8_0 {
		return at + (col/q8Block*q8Size+col%q8Block)*group + slot%group
	}
	return at + (col*group+slot%group)*c.size
}

// scaleAt is where the scale of that column lies, in Q8_0.
func (c *cacheBlocks) scaleAt(slot, col int) int {
	return slot/group*group*c.row + (col/q8Block*q8Size+q8Block)*group + 2*(slot%group)
}

// valueAt is where the value of head h in a slot begins.
func (c *cacheBlocks) valueAt(slot, h int) int {
	return slot/group*group*c.row + (h*group+slot%group)*c.part
}

// put writes a row that was converted to the cache's type, in its plain order, to
// a slot: of keys, or of a cache that has no order of its own.
func (c *cacheBlocks) put(slot int, row []byte) {
	switch {
	case !c.ordered:
		copy(c.bytes[slot*c.row:], row)
	case c.dtype == quant.Q8_0:
		for b := range c.cols / q8Block {
			in := row[b*q8Size:][:q8Size]
			out := c.bytes[c.keyAt(slot, b*q8Block):]
			for e, x := range in[2:] {
				out[e*group] = x
			}
			copy(c.bytes[c.scaleAt(slot, b*q8Block):], in[:2])
		}
	case c.size == 4:
		out := c.bytes[c.keyAt(slot, 0):]
		for e := range c.cols {
			binary.LittleEndian.PutUint32(out[4*e*group:], binary.LittleEndian.Uint32(row[4*e:]))
		}
	default:
		out := c.bytes[c.keyAt(slot, 0):]
		for e := range c.cols {
			binary.LittleEndian.PutUint16(out[2*e*group:], binary.LittleEndian.Uint16(row[2*e:]))
		}
	}
}

// convert writes x in the type of the cache, in plain order. A block that Q8_0
// cannot hold becomes NaN, as in cacheRows.store.
func (c *cacheBlocks) convert(k *simd.Kernels, dst []byte, x []float32) {
	switch c.dtype {
	case runtime.F32:
		copy(dst, bytesOf(x))
	case runtime.F16:
		k.ToF16(halvesAt(dst), x)
	case runtime.BF16:
		k.ToBF16(halvesAt(dst), x)
	default:
		rows := cacheRows{dtype: c.dtype, bytes: dst, cols: len(x), row: len(dst)}
		rows.store(0, x)
	}
}

// fastStore is the job of one StoreKV.
type fastStore struct {
	kernel         *simd.Kernels
	slots          []int32
	k, v           plane
	cacheK, cacheV cacheBlocks
	per            int
}

func (j *fastStore) run(d *Device, o *runtime.StoreKV) error {
	j.kernel, j.slots, j.k, j.v = d.k, o.Slots.I32s(), planeOf(&o.K), planeOf(&o.V)
	j.cacheK.bind(&o.CacheK, o.BlockSize, o.KVHeads, true)
	j.cacheV.bind(&o.CacheV, o.BlockSize, o.KVHeads, false)
	if err := checkInts("StoreKV", "Slots", j.slots, -1, o.CacheK.Rows); err != nil {
		return err
	}
	j.per = max(rowsPerTask(o.K.Cols+o.V.Cols)&^(group-1), group)
	return d.pool.run(j, tasks(o.K.Rows, j.per), int64(o.K.Rows)*int64(o.K.Cols+o.V.Cols)/4)
}

func (j *fastStore) task(w *worker, i int) {
	end := min((i+1)*j.per, len(j.slots))
	for r := i * j.per; r < end; {
		if j.wholeGroup(r, end) {
			j.storeGroup(w, r)
			for n := range group {
				j.storeValue(w, r+n)
			}
			r += group
			continue
		}
		if slot := int(j.slots[r]); slot >= 0 {
			row := grow(&w.packed, j.cacheK.row)
			j.cacheK.convert(j.kernel, row, j.k.row(r, 0, j.cacheK.cols))
			j.cacheK.put(slot, row)
			j.storeValue(w, r)
		}
		r++
	}
}

// wholeGroup reports whether the rows from r on fill a group of keys that can be
// converted as such.
func (j *fastStore) wholeGroup(r, end int) bool {
	first := j.slots[r]
	if end-r < group || first < 0 || first%group != 0 || !j.cacheK.ordered || j.cacheK.dtype == quant.Q8_0 {
		return false
	}
	for n, slot := range j.slots[r : r+group] {
		if slot != first+int32(n) {
			return false
		}
	}
	return true
}

// storeGroup stores the keys of a whole group.
func (j *fastStore) storeGroup(w *worker, r int) {
	c := &j.cacheK
	out := c.bytes[c.keyAt(int(j.slots[r]), 0):][:group*c.row]
	turned := grow(&w.rows, group*c.cols)
	j.kernel.PanelKeys(turned, group, j.k.v[r*j.k.stride:], j.k.stride, c.cols)
	c.convert(j.kernel, out, turned)
}

// storeValue stores the value of row r.
func (j *fastStore) storeValue(w *worker, r int) {
	c, slot, x := &j.cacheV, int(j.slots[r]), j.v.row(r, 0, j.cacheV.cols)
	if !c.ordered {
		row := grow(&w.packed, c.row)
		c.convert(j.kernel, row, x)
		c.put(slot, row)
		return
	}
	for h := range c.heads {
		c.convert(j.kernel, c.bytes[c.valueAt(slot, h):][:c.part], x[h*c.head:][:c.head])
	}
}
