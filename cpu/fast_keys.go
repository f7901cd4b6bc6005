package cpu

// Keys and values of attention, brought from the cache or from rows into panels.

import (
	"github.com/godwit-ml/godwit/cpu/simd"
	"github.com/godwit-ml/godwit/quant"
	"github.com/godwit-ml/godwit/runtime"
)

// slot is where a key of the sequence of a tile lies in the cache.
func (j *fastAttention) slot(t *queries, key int) int {
	size := j.op.BlockSize
	return int(j.blocks[t.seq*j.op.Blocks.Cols+key/size])*size + key%size
}

// locate notes where groups of 16 keys and values of the span at base lie, those
// that keys lo ≤ j < hi need.
func (j *fastAttention) locate(a *attending, t *queries, kv, base, lo, hi int) {
	for g := lo / simd.Lanes; g*simd.Lanes < hi; g++ {
		key := base + g*simd.Lanes
		slot := j.slot(t, key)
		a.at[g], a.valueAt[g] = j.keys.keyAt(slot, kv*j.d), j.values.valueAt(slot, kv)
	}
}

// lookAhead notes where keys of the span at base lie, if there is one, or what
// follows the last: the next head's.
func (j *fastAttention) lookAhead(a *attending, t *queries, kv, base int) {
	a.ahead = a.at
	if base >= t.hi {
		base, kv = t.lo/simd.Span*simd.Span, kv+1
		if kv == j.op.KVHeads {
			return
		}
	}
	for g := range a.ahead {
		if key := base + g*simd.Lanes; key >= t.lo && key < t.hi {
			a.ahead[g] = j.keys.keyAt(j.slot(t, key), kv*j.d)
		}
	}
}

// collect makes panels of the keys and values lo ≤ j < hi of the span at base.
// Lanes of other keys, and features beyond d, hold anything.
func (j *fastAttention) collect(w *worker, t *queries, kv, base, lo, hi int) {
	a := &w.attending
	if j.dv%simd.Panel != 0 { // what pads the last panel has to be finite too
		clear(a.values[(j.panels-1)*simd.Span*simd.Panel:])
	}
	if j.blocks == nil {
		j.collectRows(a, t, kv, base, lo, hi)
		return
	}
	if j.keys.ordered {
		for g := lo / simd.Lanes; g*simd.Lanes < hi; g++ {
			key := base + g*simd.Lanes
			j.keys.widenKeys(j.kernel, a.keys[panelAt(g*simd.Lanes, j.d):], j.slot(t, key), kv*j.d, j.d)
		}
	} else {
		k := grow(&w.rows, j.d)
		for i := lo; i < hi; i++ {
			key := base + i
			j.keys.load(k, j.slot(t, key), kv*j.d, &w.weights)
			out := a.keys[panelAt(i, j.d):]
			for e, x := range k {
				out[e*simd.Panel] = x
			}
		}
	}
	if j.values.ordered {
		for i := lo; i < hi; {
			key := base + i
			n := min(group-key%group, hi-i)
			j.values.widenValues(j.kernel, a.values[i*simd.Panel:], j.slot(t, key), kv, n, w)
			i += n
		}
		return
	}
	v := grow(&w.rows, j.dv)
	for i := lo; i < hi; i++ {
		key := base + i
		j.values.load(v, j.slot(t, key), kv*j.dv, &w.weights)
		for p := 0; p < j.dv; p += simd.Panel {
			copy(a.values[(p/simd.Panel*simd.Span+i)*simd.Panel:][:simd.Panel], v[p:])
		}
	}
}

// panelAt is where the first element of key i of a span of panels lies.
func panelAt(i, d int) int { return i/simd.Panel*simd.Panel*d + i%simd.Panel }

// collectRows is collect from contiguous keys.
func (j *fastAttention) collectRows(a *attending, t *queries, kv, base, lo, hi int) {
	row, stride := int(j.kStarts[t.seq])+base, j.k.stride
	for i := lo; i < hi; {
		out := a.keys[panelAt(i, j.d):]
		k := j.k.v[(row+i)*stride+kv*j.d:]
		if i%simd.Lanes == 0 && hi-i >= simd.Lanes {
			j.kernel.PanelKeys(out, simd.Panel, k, stride, j.d)
			i += simd.Lanes
			continue
		}
		for e, x := range k[:j.d] {
			out[e*simd.Panel] = x
		}
		i++
	}
	stride = j.v.stride
	v := bytesOf(j.v.v[(row+lo)*stride+kv*j.dv:])
	whole := j.dv &^ (simd.Lanes - 1)
	for e := 0; e < whole; e += simd.Lanes {
		j.kernel.WidenF32(a.values[(e/simd.Panel*simd.Span+lo)*simd.Panel+e%simd.Panel:], simd.Panel, v[4*e:], 4*stride, hi-lo)
	}
	if whole < j.dv {
		for i := lo; i < hi; i++ {
			copy(a.values[(whole/simd.Panel*simd.Span+i)*simd.Panel+whole%simd.Panel:], j.v.row(row+i, kv*j.dv+whole, j.dv-whole))
		}
	}
}

// widenKeys brings d columns, from col on, of the 16 keys from a slot on into
// lanes of a panel.
func (c *cacheBlocks) widenKeys(k *simd.Kernels, dst []float32, slot, col, d int) {
	if c.dtype != quant.Q8_0 {
		c.widen(k)(dst, simd.Panel, c.bytes[c.keyAt(slot, col):], group*c.size, d)
		return
	}
	for e := 0; e < d; {
		n := min(q8Block-(col+e)%q8Block, d-e)
		k.WidenKeysQ8(dst[e*simd.Panel:], c.bytes[c.keyAt(slot, col+e):], c.bytes[c.scaleAt(slot, col+e):], n)
		e += n
	}
}

// widenValues brings n values of head h from a slot on into rows of panels.
func (c *cacheBlocks) widenValues(k *simd.Kernels, dst []float32, slot, h, n int, w *worker) {
	src := c.bytes[c.valueAt(slot, h):]
	if c.dtype == quant.Q8_0 {
		for b := range c.head / q8Block {
			k.WidenQ8(dst[b*simd.Span*simd.Panel:], simd.Panel, src[b*q8Size:], c.part, n)
		}
		return
	}
	whole := c.head &^ (simd.Lanes - 1)
	widen := c.widen(k)
	for e := 0; e < whole; e += simd.Lanes {
		widen(dst[e/simd.Panel*simd.Span*simd.Panel+e%simd.Panel:], simd.Panel, src[e*c.size:], c.part, n)
	}
	if whole == c.head {
		return
	}
	rest := grow(&w.weights, c.head-whole)
	for r := range n {
		mustDecode(rest, src[r*c.part+whole*c.size:][:len(rest)*c.size], c.dtype)
		copy(dst[whole/simd.Panel*simd.Span*simd.Panel+r*simd.Panel+whole%simd.Panel:], rest)
	}
}

// widen is the kernel for the type of the cache.
func (c *cacheBlocks) widen(k *simd.Kernels) simd.Widen {
	switch c.dtype {
	case runtime.F16:
		return k.WidenF16
	case runtime.BF16:
		return k.WidenBF16
	}
	return k.WidenF32
}
