package cpu

// What a step costs, in the shapes of two public models.

import (
	"testing"

	"github.com/godwit-ml/godwit/runtime"
)

func BenchmarkProduct(b *testing.B) {
	d := open(b, 0)
	for _, c := range []struct {
		name    string
		m, n, k int
	}{
		{"decode-576x576", 1, 576, 576}, {"decode-1536x576", 1, 1536, 576}, {"decode-576x1536", 1, 576, 1536},
		{"decode-head-49152x576", 1, 49152, 576}, {"8x1536x576", 8, 1536, 576}, {"64x1536x576", 64, 1536, 576}, {"64x576x1536", 64, 576, 1536}, {"512x1536x384", 512, 1536, 384},
	} {
		b.Run(c.name, func(b *testing.B) {
			x, w, out := random(b, d, 1, c.m, c.k), random(b, d, 2, c.n, c.k), empty(b, d, c.m, c.n)
			op := &runtime.MatMul{Out: out, X: x, W: w}
			for b.Loop() {
				run(b, d, op)
			}
			b.ReportMetric(2*float64(c.m)*float64(c.n)*float64(c.k)*float64(b.N)/1e9/b.Elapsed().Seconds(), "GFLOP/s")
		})
	}
}

// shape is a decoder or encoder without its embeddings.
type shape struct {
	layers, hidden, heads, kv, d, ffn, vocab int
	gated                                    bool
}

// layer is what one layer needs, and tensors that all share.
type network struct {
	shape
	qkv, out, up, down []runtime.Tensor
	norm, head         runtime.Tensor
	k, v               []runtime.Tensor
}

func build(b *testing.B, d *Reference, s shape, context int) *network {
	n := &network{shape: s, norm: random(b, d, 1, 1, s.hidden)}
	ups := s.ffn
	if s.gated {
		ups *= 2
	}
	for i := range uint64(s.layers) {
		n.qkv = append(n.qkv, random(b, d, i, (s.heads+2*s.kv)*s.d, s.hidden))
		n.out = append(n.out, random(b, d, i, s.hidden, s.heads*s.d))
		n.up = append(n.up, random(b, d, i, ups, s.hidden))
		n.down = append(n.down, random(b, d, i, s.hidden, s.ffn))
		n.k = append(n.k, random(b, d, i, context, s.kv*s.d))
		n.v = append(n.v, random(b, d, i, context, s.kv*s.d))
	}
	if s.vocab > 0 {
		n.head = random(b, d, 2, s.vocab, s.hidden)
	}
	return n
}

// step is a forward pass of tokens at the end of context keys.
func (n *network) step(b *testing.B, d *Reference, tokens, context, right int) func() {
	x, h := random(b, d, 3, tokens, n.hidden), empty(b, d, tokens, n.hidden)
	qkv, mix, up := empty(b, d, tokens, (n.heads+2*n.kv)*n.d), empty(b, d, tokens, n.heads*n.d), empty(b, d, tokens, n.ffn)
	logits := empty(b, d, 1, max(n.vocab, 1))
	var slots, blocks []int32
	for i := range int32(tokens) {
		slots = append(slots, int32(context-tokens)+i)
	}
	for i := range int32(context / 16) {
		blocks = append(blocks, i)
	}
	at, table := ints(b, d, slots...), ints(b, d, blocks...)
	starts, lens := ints(b, d, 0, int32(tokens)), ints(b, d, int32(context))
	act := runtime.Gelu
	if n.gated {
		act = runtime.Silu
	}
	nq, nk := n.heads*n.d, n.kv*n.d
	return func() {
		for i := range n.layers {
			run(b, d, &runtime.Norm{Out: h, X: x, Weight: n.norm, Kind: runtime.RMSNorm})
			run(b, d, &runtime.MatMul{Out: qkv, X: h, W: n.qkv[i]})
			run(b, d, &runtime.StoreKV{K: qkv.ColRange(nq, nq+nk), V: qkv.ColRange(nq+nk, nq+2*nk), CacheK: n.k[i], CacheV: n.v[i], Slots: at, KVHeads: n.kv, BlockSize: 16})
			run(b, d, &runtime.Attention{Out: mix, Q: qkv.ColRange(0, nq), K: n.k[i], V: n.v[i], Heads: n.heads, KVHeads: n.kv, Scale: 0.1, QStarts: starts, KLens: lens,
				Blocks: table, BlockSize: 16, MaxQ: tokens, MaxK: context, Left: -1, Right: right})
			run(b, d, &runtime.MatMul{Out: h, X: mix, W: n.out[i]})
			run(b, d, &runtime.MatMul{Out: up, X: h, W: n.up[i], Act: act, Gated: n.gated})
			run(b, d, &runtime.MatMul{Out: h, X: up, W: n.down[i]})
		}
		if n.vocab > 0 {
			run(b, d, &runtime.MatMul{Out: logits, X: h.RowRange(tokens-1, tokens), W: n.head})
		}
	}
}

func BenchmarkModel(b *testing.B) {
	smol := shape{layers: 30, hidden: 576, heads: 9, kv: 3, d: 64, ffn: 1536, vocab: 49152, gated: true}
	mini := shape{layers: 6, hidden: 384, heads: 12, kv: 12, d: 32, ffn: 1536}
	for _, c := range []struct {
		name            string
		shape           shape
		tokens, context int
		right           int
	}{
		{"SmolLM2-135M decode at 256", smol, 1, 256, 0}, {"SmolLM2-135M decode at 1024", smol, 1, 1024, 0}, {"SmolLM2-135M prefill 256", smol, 256, 256, 0},
		{"MiniLM-L6 128 tokens", mini, 128, 128, -1},
	} {
		b.Run(c.name, func(b *testing.B) {
			d := open(b, 0)
			step := build(b, d, c.shape, c.context).step(b, d, c.tokens, c.context, c.right)
			for b.Loop() {
				step()
			}
			b.ReportMetric(float64(c.tokens)*float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}
