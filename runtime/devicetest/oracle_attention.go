package devicetest

// The oracle of Attention: one query, one head, one key at a time.

import (
	"math"

	"github.com/godwit-ml/godwit/runtime"
)

func (c *Case) oracleAttention(o *runtime.Attention) {
	starts, lens := c.of(o.QStarts).ints(), c.of(o.KLens).ints()
	for n, keys := range lens {
		for row := starts[n]; row < starts[n+1]; row++ {
			position := keys - (starts[n+1] - starts[n]) + row - starts[n]
			for h := range o.Heads {
				c.attend(o, n, row, position, keys, h)
			}
		}
	}
}

// attend computes one head of one row of Out.
func (c *Case) attend(o *runtime.Attention, n, row, position, keys, h int) {
	out, v, probs := c.of(o.Out), c.of(o.V), c.of(o.Probs)
	d := out.cols / o.Heads
	kv := h / (o.Heads / o.KVHeads)
	var seen []int
	var scores []float64
	for j := range keys {
		if o.Left >= 0 && j < position-o.Left || o.Right >= 0 && j > position+o.Right {
			continue
		}
		seen = append(seen, j)
		scores = append(scores, c.score(o, n, row, position, j, h))
	}
	over := append([]float64(nil), scores...)
	if sinks := c.of(o.Sinks); sinks.present() {
		over = append(over, sinks.get(0, h))
	}
	total := logSumExp(over)
	sum := make([]float64, d)
	for i, j := range seen {
		p := math.Exp(scores[i] - total)
		if probs.present() {
			probs.set(row, h*(probs.cols/o.Heads)+j, p)
		}
		at := c.keyRow(o, n, j)
		for e := range sum {
			sum[e] += p * v.get(at, kv*d+e)
		}
	}
	for e, x := range sum {
		out.set(row, h*d+e, x)
	}
}

// keyRow is where key j of sequence n lies in K and V.
func (c *Case) keyRow(o *runtime.Attention, n, j int) int {
	if o.Blocks.IsZero() {
		return c.of(o.KStarts).flat(n) + j
	}
	block := int(c.of(o.Blocks).get(n, j/o.BlockSize))
	row := block*o.BlockSize + j%o.BlockSize
	if k := c.of(o.K); k.s.state[row*k.stride] != written {
		panic("devicetest: a row attends to a slot that nothing stored")
	}
	return row
}

// score is the scaled product of a query with key j, capped, with its biases.
func (c *Case) score(o *runtime.Attention, n, row, position, j, h int) float64 {
	q, k := c.of(o.Q), c.of(o.K)
	d, kv, at := q.cols/o.Heads, h/(o.Heads/o.KVHeads), c.keyRow(o, n, j)
	s := 0.0
	for e := range d {
		s += q.get(row, h*d+e) * k.get(at, kv*d+e)
	}
	s *= or1(o.Scale)
	if limit := float64(o.SoftCap); limit != 0 {
		s = limit * math.Tanh(s/limit)
	}
	distance := j - position
	if m := c.of(o.Slopes); m.present() {
		s += m.get(0, h) * float64(distance)
	}
	if m := c.of(o.KeyBias); m.present() {
		s += m.get(h, j)
	}
	if o.RelIndex.IsZero() {
		return s
	}
	index := c.of(o.RelIndex)
	reach := index.rows * index.cols / 2
	r := index.flat(min(max(distance, -reach), reach) + reach)
	if m := c.of(o.RelBias); m.present() {
		s += m.get(r, h)
	}
	if m := c.of(o.QRel); m.present() {
		s += m.get(row, h*(m.cols/o.Heads)+r)
	}
	if m := c.of(o.KRel); m.present() {
		s += m.get(at, h*(m.cols/o.Heads)+r)
	}
	return s
}
