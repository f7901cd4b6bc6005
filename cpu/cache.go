package cpu

// The paged cache: rows of KVHeads·D elements of the cache's type, in the order
// of slots. StoreKV writes them, CopyBlocks copies them; attention.go reads them.

import (
	"encoding/binary"

	"github.com/godwit-ml/godwit/quant"
	"github.com/godwit-ml/godwit/runtime"
)

// storeKV is the job of one StoreKV.
type storeKV struct {
	slots          []int32
	k, v           plane
	cacheK, cacheV cacheRows
	per            int
}

// cacheRows is a cache tensor.
type cacheRows struct {
	dtype     runtime.DType
	f32       []float32 // if dtype is F32
	bytes     []byte
	cols, row int // elements and bytes of a row
}

func cacheOf(t *runtime.Tensor) cacheRows {
	c := cacheRows{dtype: t.DType, bytes: t.Bytes(), cols: t.Cols, row: int(t.RowBytes())}
	if t.DType == runtime.F32 {
		c.f32 = t.F32s()
	}
	return c
}

func (j *storeKV) run(p *pool, o *runtime.StoreKV) error {
	j.slots, j.k, j.v = o.Slots.I32s(), planeOf(&o.K), planeOf(&o.V)
	j.cacheK, j.cacheV = cacheOf(&o.CacheK), cacheOf(&o.CacheV)
	if err := checkInts("StoreKV", "Slots", j.slots, -1, o.CacheK.Rows); err != nil {
		return err
	}
	j.per = rowsPerTask(o.K.Cols + o.V.Cols)
	return p.run(j, tasks(o.K.Rows, j.per), int64(o.K.Rows)*int64(o.K.Cols+o.V.Cols))
}

func (j *storeKV) task(_ *worker, i int) {
	for r := i * j.per; r < min((i+1)*j.per, len(j.slots)); r++ {
		if slot := int(j.slots[r]); slot >= 0 {
			j.cacheK.store(slot, j.k.row(r, 0, j.cacheK.cols))
			j.cacheV.store(slot, j.v.row(r, 0, j.cacheV.cols))
		}
	}
}

// store converts x into row i. A block that Q8_0 cannot hold, with a NaN or an
// infinity in it, becomes NaN as a whole: it spoils its own sequence and no
// other.
func (c *cacheRows) store(i int, x []float32) {
	if c.f32 != nil {
		copy(c.f32[i*c.cols:], x)
		return
	}
	dst := c.bytes[i*c.row:][:c.row]
	if quant.Encode(dst, x, c.dtype) == nil {
		return
	}
	const f16NaN = 0x7e00
	block, size := c.dtype.BlockSize(), c.dtype.TypeSize()
	for b := 0; b*block < len(x); b++ {
		out := dst[b*size:][:size]
		if quant.Encode(out, x[b*block:][:block], c.dtype) != nil {
			clear(out)
			binary.LittleEndian.PutUint16(out, f16NaN)
		}
	}
}

// load decodes elements from … from+len(dst) of row i, by way of scratch where
// they do not lie on block edges.
func (c *cacheRows) load(dst []float32, i, from int, scratch *[]float32) {
	if c.f32 != nil {
		copy(dst, c.f32[i*c.cols+from:])
		return
	}
	block, size := c.dtype.BlockSize(), c.dtype.TypeSize()
	first, last := from/block, (from+len(dst)+block-1)/block
	src := c.bytes[i*c.row:][first*size : last*size]
	if from%block == 0 && len(dst)%block == 0 {
		mustDecode(dst, src, c.dtype)
		return
	}
	whole := grow(scratch, (last-first)*block)
	mustDecode(whole, src, c.dtype)
	copy(dst, whole[from-first*block:])
}

// copyBlocks is the job of one CopyBlocks: a block a task.
type copyBlocks struct {
	src, dst []int32
	bytes    []byte
	block    int // bytes
}

func (j *copyBlocks) run(p *pool, o *runtime.CopyBlocks) error {
	j.src, j.dst, j.bytes = o.Src.I32s(), o.Dst.I32s(), o.Cache.Bytes()
	j.block = o.BlockSize * int(o.Cache.RowBytes())
	blocks := o.Cache.Rows / o.BlockSize
	if err := checkInts("CopyBlocks", "Src", j.src, 0, blocks); err != nil {
		return err
	}
	if err := checkInts("CopyBlocks", "Dst", j.dst, 0, blocks); err != nil {
		return err
	}
	return p.run(j, len(j.src), int64(len(j.src))*int64(j.block)/16)
}

func (j *copyBlocks) task(_ *worker, i int) {
	copy(j.bytes[int(j.dst[i])*j.block:][:j.block], j.bytes[int(j.src[i])*j.block:][:j.block])
}
