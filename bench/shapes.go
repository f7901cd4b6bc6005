package main

// Sizes that matter on a CPU: those of SmolLM2-135M and MiniLM, in every type of
// weight.

import (
	"fmt"

	"github.com/godwit-ml/godwit/kernels"
	"github.com/godwit-ml/godwit/quant"
	"github.com/godwit-ml/godwit/runtime"
)

// opShape is a size of an operation.
type opShape struct {
	op string
	kernels.Shape
}

// weightTypes are the types that the CPU device multiplies as they are stored.
var weightTypes = []runtime.DType{runtime.F32, runtime.F16, runtime.BF16, quant.Q4_0, quant.Q4_1, runtime.Q8_0}

// hostWeight is a weight [rows, cols] of numbers between -1 and 1, the same in every
// run, as a checkpoint would have it.
func hostWeight(t runtime.DType, rows, cols int) runtime.Tensor {
	state := uint64(rows)<<32 + uint64(cols)
	values := make([]float32, rows*cols)
	for i := range values {
		state = state*6364136223846793005 + 1442695040888963407 // Knuth's MMIX
		values[i] = float32(int32(state>>32)) / (1 << 31)
	}
	if t == runtime.F32 {
		return runtime.HostF32(rows, cols, values)
	}
	data := make([]byte, t.Bytes(len(values)))
	if err := quant.Encode(data, values, t); err != nil {
		panic("bench: numbers between -1 and 1 do not fit a type: " + err.Error())
	}
	return runtime.HostTensor(t, rows, cols, data)
}

// cpuShapes are the sizes of two models, besides those that the kernels declare.
func cpuShapes() []opShape {
	var all []opShape
	add := func(op, name string, f func(m *kernels.Maker) runtime.Op) {
		all = append(all, opShape{op, kernels.Shape{Name: name, Op: f}})
	}
	for _, t := range weightTypes {
		for _, size := range [][2]int{{1536, 576}, {576, 1536}} {
			for _, rows := range []int{1, 16, 512} {
				n, k := size[0], size[1]
				add("MatMul", fmt.Sprintf("%d×%d×%d %v", rows, n, k, t), func(m *kernels.Maker) runtime.Op {
					return &runtime.MatMul{Out: m.F32(rows, n), X: m.F32(rows, k), W: hostWeight(t, n, k)}
				})
			}
		}
		if t != runtime.F32 && t != runtime.F16 {
			add("MatMul", fmt.Sprintf("1×49152×576 %v", t), func(m *kernels.Maker) runtime.Op {
				return &runtime.MatMul{Out: m.F32(1, 49152), X: m.F32(1, 576), W: hostWeight(t, 49152, 576)}
			})
		}
	}
	add("Norm", "512×576 RMSNorm", func(m *kernels.Maker) runtime.Op {
		return &runtime.Norm{Out: m.F32(512, 576), X: m.F32(512, 576), Weight: m.F32(1, 576), Kind: runtime.RMSNorm, Eps: 1e-5}
	})
	for _, f := range []struct {
		name string
		fn   runtime.Fn
	}{{"Gelu", runtime.Gelu}, {"Silu", runtime.Silu}} {
		add("Pointwise", "512×1536 "+f.name, func(m *kernels.Maker) runtime.Op {
			return &runtime.Pointwise{Out: m.F32(512, 1536), X: m.F32(512, 1536), F: f.fn}
		})
	}
	add("TopK", "1×49152, 64", func(m *kernels.Maker) runtime.Op {
		return &runtime.TopK{Values: m.F32(1, 64), IDs: ids(m, 64), X: m.F32(1, 49152), Norm: runtime.SoftmaxAll}
	})
	for _, c := range []struct{ sequences, queries, keys int }{{1, 1, 512}, {1, 1, 4096}, {16, 1, 512}, {1, 512, 512}, {1, 512, 4096}} {
		add("Attention", fmt.Sprintf("%d sequences, %d queries of %d keys, 9 heads of 3·64, F16", c.sequences, c.queries, c.keys), func(m *kernels.Maker) runtime.Op {
			return pagedAttention(m, c.sequences, c.queries, c.keys, 9, 3, 64)
		})
	}
	add("Attention", "16 sequences of 128, 12 heads of 32", func(m *kernels.Maker) runtime.Op {
		const n, length, heads, d = 16, 128, 12, 32
		starts, lens := make([]int32, n+1), make([]int32, n)
		for i := range lens {
			starts[i+1], lens[i] = starts[i]+length, length
		}
		x := func() runtime.Tensor { return m.F32(n*length, heads*d) }
		return &runtime.Attention{Out: x(), Q: x(), K: x(), V: x(), Heads: heads, KVHeads: heads, Scale: 0.17, QStarts: m.I32(starts...), KLens: m.I32(lens...),
			KStarts: m.I32(starts[:n]...), MaxQ: length, MaxK: length, Left: -1, Right: -1}
	})
	return all
}

func ids(m *kernels.Maker, n int) runtime.Tensor { return m.Zeros(runtime.I32, 1, n) }

// pagedAttention is causal, of sequences whose keys lie in a cache of F16 that holds
// random numbers.
func pagedAttention(m *kernels.Maker, sequences, queries, keys, heads, kvHeads, d int) *runtime.Attention {
	const block = 16
	o := &runtime.Attention{Out: m.F32(sequences*queries, heads*d), Q: m.F32(sequences*queries, heads*d), Heads: heads, KVHeads: kvHeads, Scale: 0.125,
		BlockSize: block, MaxQ: queries, MaxK: keys, Left: -1}
	starts, lens, slots, blocks := []int32{0}, []int32{}, []int32{}, []int32{}
	for i := range sequences {
		starts, lens = append(starts, int32((i+1)*queries)), append(lens, int32(keys))
	}
	for i := range sequences * keys {
		slots = append(slots, int32(i))
	}
	for i := range sequences * keys / block {
		blocks = append(blocks, int32(i))
	}
	o.QStarts, o.KLens, o.Blocks = m.I32(starts...), m.I32(lens...), m.I32(blocks...)
	o.Blocks.Rows, o.Blocks.Cols, o.Blocks.Stride = sequences, keys/block, keys/block
	o.K, o.V = m.Zeros(runtime.F16, sequences*keys, kvHeads*d), m.Zeros(runtime.F16, sequences*keys, kvHeads*d)
	store := &runtime.StoreKV{K: m.F32(sequences*keys, kvHeads*d), V: m.F32(sequences*keys, kvHeads*d), CacheK: o.K, CacheV: o.V, Slots: m.I32(slots...), KVHeads: kvHeads, BlockSize: block}
	if m.Err == nil && m.Device != nil {
		m.Err = m.Device.Run(store)
	}
	return o
}
