package kernels

// StoreKV and CopyBlocks: the paged cache that attention reads.

import (
	_ "embed"

	"github.com/godwit-ml/godwit/runtime"
)

//go:embed ptx/cache.ptx
var cachePTX string

var cacheImage = &Image{Name: "cache", PTX: cachePTX, Target: 75}

const cacheThreads = 128

// cacheTypes numbers the types of caches as the sources do.
var cacheTypes = map[runtime.DType]int{runtime.F32: 0, runtime.F16: 1, runtime.BF16: 2, runtime.Q8_0: 3}

// wide reports whether four elements of any head of t can be moved at once:
// heads of d elements, of F32 on 16 bytes, of half as many bits on 8, of Q8_0,
// whose elements come first in a row, on 4.
func wide(t *runtime.Tensor, d int) bool {
	bytes := int64(16)
	switch t.DType {
	case runtime.F16, runtime.BF16:
		bytes = 8
	case runtime.Q8_0:
		bytes = 4
	}
	return d%4 == 0 && aligned(bytes, t)
}

// storeKV writes T rows of K and V to their slots, four elements a thread; -1 is
// skipped.
//
// Bytes: 4·T·(C+Cv) read, C and Cv the columns, and T·(C+Cv) elements of the
// cache written, F16 2 bytes each: 6 bytes an element, each asked for once, and no
// FLOPs to speak of. Roofline: bandwidth; 16 tokens of 2·1,024 columns are
// 0.2 MB, 0.13 / 0.06 / 0.04 µs on A100, H100, H200, far below the 2 µs that a
// launch takes. A step of prefill with 4,096 tokens is 50 MB, 32 / 15 / 11 µs.
var storeKV = &Kernel{
	Op: "StoreKV", Entry: "store_kv", Image: cacheImage, Threads: cacheThreads, CTAs: 8,
	Params: []Param{
		{"k", Pointer}, {"v", Pointer}, {"cacheK", Pointer}, {"cacheV", Pointer}, {"slots", Pointer}, {"tokens", Int}, {"kColumns", Int},
		{"vColumns", Int}, {"kStride", Int}, {"vStride", Int}, {"kRow", Int}, {"vRow", Int}, {"type", Int}, {"wide", Int},
	},
	Launch: launchStoreKV,
	Cost: func(op runtime.Op) Cost {
		o := op.(*runtime.StoreKV)
		rows := int64(o.K.Rows)
		moved := 4*rows*int64(o.K.Cols+o.V.Cols) + rows*(o.CacheK.RowBytes()+o.CacheV.RowBytes())
		// Each warp reads its slots for itself: a sector.
		return Cost{Bytes: moved + 4*rows, Requested: moved + 32*rows*warps((o.K.Cols+o.V.Cols)/4)}
	},
	Shapes: []Shape{storeShape("64 tokens, 2·1,024 columns F16", runtime.F16, 64), storeShape("4,096 tokens, 2·1,024 columns F16", runtime.F16, 4096)},
}

var errNotCache = unfit("a type that caches do not have")

func launchStoreKV(op runtime.Op, l *Launch) error {
	o := op.(*runtime.StoreKV)
	dtype, ok := cacheTypes[o.CacheK.DType]
	if !ok {
		return errNotCache
	}
	// Four elements a thread, or one; of Q8_0 one, as a warp is a block.
	width := 1
	if dtype != cacheTypes[runtime.Q8_0] && wide(&o.K, o.K.Cols) && wide(&o.CacheK, o.K.Cols) && wide(&o.V, o.V.Cols) && wide(&o.CacheV, o.V.Cols) {
		width = 4
	}
	perToken := (o.K.Cols + o.V.Cols) / width
	if perToken > 0 && o.K.Rows > maxCount/perToken {
		return errTooMany
	}
	l.ctas(ceil(o.K.Rows*perToken, cacheThreads), cacheThreads)
	l.Ptr(o.K)
	l.Ptr(o.V)
	l.Ptr(o.CacheK)
	l.Ptr(o.CacheV)
	l.Ptr(o.Slots)
	l.Int(o.K.Rows)
	l.Int(o.K.Cols)
	l.Int(o.V.Cols)
	l.Int(o.K.Stride)
	l.Int(o.V.Stride)
	l.Int(int(o.CacheK.RowBytes()))
	l.Int(int(o.CacheV.RowBytes()))
	l.Int(dtype)
	l.Bool(width == 4)
	return nil
}

func storeShape(name string, dtype runtime.DType, tokens int) Shape {
	return Shape{name, func(m *Maker) runtime.Op {
		const block, columns = 16, 1024
		slots := make([]int32, tokens)
		for i := range slots {
			slots[i] = int32(i ^ block) // blocks in another order
		}
		rows := (tokens + 2*block) / block * block
		return &runtime.StoreKV{
			K: m.F32(tokens, columns), V: m.F32(tokens, columns), CacheK: m.Zeros(dtype, rows, columns), CacheV: m.Zeros(dtype, rows, columns),
			Slots: m.I32(slots...), KVHeads: 8, BlockSize: block,
		}
	}}
}

// copyBlocks16 copies n blocks of b bytes, 16 bytes a thread at a time: 2·n·b
// bytes moved and asked for, no FLOPs. Roofline: bandwidth; 8 blocks of 16 tokens
// of 1,024 columns F16 are 0.5 MB, 0.34 / 0.16 / 0.11 µs on A100, H100, H200: the
// launch takes longer.
var copyBlocks16 = copyKernel("copy_blocks_16", 16)

// copyBlocks2 is copyBlocks16 for blocks that do not lie on 16 bytes, as of Q8_0
// with an odd number of tokens: 2 bytes a thread.
var copyBlocks2 = copyKernel("copy_blocks_2", 2)

// copyBytes is what a CTA copies, at least, if a block has as much.
const copyBytes = cacheThreads * 16 * 4

func copyKernel(entry string, unit int64) *Kernel {
	return &Kernel{
		Op: "CopyBlocks", Entry: entry, Image: cacheImage, Threads: cacheThreads, CTAs: 8,
		Params: []Param{{"cache", Pointer}, {"src", Pointer}, {"dst", Pointer}, {"bytes", Int}},
		Launch: func(op runtime.Op, l *Launch) error {
			o := op.(*runtime.CopyBlocks)
			bytes := int64(o.BlockSize) * o.Cache.RowBytes()
			if (int64(o.Cache.Mem.Addr)+o.Cache.Offset)%unit != 0 || bytes%unit != 0 {
				return errUnaligned
			}
			l.ctas(o.Src.Rows*o.Src.Cols, cacheThreads)
			l.Grid[1] = int(min(max((bytes+copyBytes-1)/copyBytes, 1), 65535))
			l.Ptr(o.Cache)
			l.Ptr(o.Src)
			l.Ptr(o.Dst)
			l.Int(int(bytes))
			return nil
		},
		Cost: func(op runtime.Op) Cost {
			o := op.(*runtime.CopyBlocks)
			n, bytes := int64(o.Src.Rows*o.Src.Cols), int64(o.BlockSize)*o.Cache.RowBytes()
			// Each warp reads the pair for itself: two sectors.
			ctas := max((bytes+copyBytes-1)/copyBytes, 1)
			return Cost{Bytes: n * (2*bytes + 8), Requested: n * (2*bytes + ctas*64*cacheThreads/32)}
		},
		Shapes: []Shape{copyShape("8 blocks of 16·1,024 F16", 8), copyShape("512 blocks of 16·1,024 F16", 512)},
	}
}

func copyShape(name string, n int) Shape {
	return Shape{name, func(m *Maker) runtime.Op {
		src, dst := make([]int32, n), make([]int32, n)
		for i := range n {
			src[i], dst[i] = int32(2*n-1-i), int32(i)
		}
		return &runtime.CopyBlocks{Cache: m.Zeros(runtime.F16, 2*n*16, 1024), Src: m.I32(src...), Dst: m.I32(dst...), BlockSize: 16}
	}}
}
