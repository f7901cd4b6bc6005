package nn

import (
	"math"
	"testing"
)

// pressSlopes is the recursion of the paper's code, in float64.
func pressSlopes(n int) []float64 {
	if l := math.Log2(float64(n)); l == math.Floor(l) {
		start := math.Pow(2, -math.Pow(2, -(l-3)))
		out := make([]float64, n)
		for i := range out {
			out[i] = start * math.Pow(start, float64(i))
		}
		return out
	}
	near := int(math.Pow(2, math.Floor(math.Log2(float64(n)))))
	out := pressSlopes(near)
	for i, x := range pressSlopes(2 * near) {
		if i%2 == 0 && len(out) < n {
			out = append(out, x)
		}
	}
	return out
}

func TestAlibiSlopes(t *testing.T) {
	for heads := 1; heads <= 130; heads++ {
		want := pressSlopes(heads)
		got := AlibiSlopes(heads)
		if len(got) != heads {
			t.Fatalf("%d heads: %d slopes", heads, len(got))
		}
		for h := range want {
			if math.Abs(float64(got[h])-want[h]) > 1e-7*want[h] {
				t.Errorf("%d heads: slope %d is %v, want %v", heads, h, got[h], want[h])
			}
		}
	}
	// BLOOM-176B has 112 heads: 64 of a power of two, then 48 of those between.
	if s := AlibiSlopes(112); s[0] != float32(math.Exp2(-1.0/8)) || s[63] != 1.0/256 || s[64] != float32(math.Exp2(-1.0/16)) {
		t.Errorf("112 heads: %v %v %v", s[0], s[63], s[64])
	}
}

// nearestBF16 finds the bfloat16 nearest to x ≥ 0 among those around it, by
// distance, ties to the even mantissa.
func nearestBF16(x float64) float64 {
	if x == 0 {
		return 0
	}
	_, e := math.Frexp(x)
	unit := math.Ldexp(1, e-8) // the last of eight significant bits
	low := math.Floor(x/unit) * unit
	switch d := x - low; {
	case d < unit/2, d == unit/2 && math.Mod(low/unit, 2) == 0:
		return low
	}
	return low + unit
}

// TestFalconKeyBias compares bit by bit with arithmetic in float64. The product
// of two bfloat16 has at most 16 bits, so only the last rounding and the scale,
// a power of two here, could differ.
func TestFalconKeyBias(t *testing.T) {
	for _, heads := range []int{4, 12, 71} {
		const positions, scale = 2048, 0.125
		got := FalconKeyBias(heads, positions, scale)
		if got.Rows != heads || got.Cols != positions {
			t.Fatalf("%v", got)
		}
		exact := 0
		for h, slope := range AlibiSlopes(heads) {
			for j := range positions {
				want := nearestBF16(nearestBF16(float64(slope))*nearestBF16(float64(j))) * scale
				if x := got.F32Row(h)[j]; float64(x) != want {
					t.Fatalf("%d heads: head %d, key %d: %v, want %v", heads, h, j, x, want)
				}
				if want == float64(slope)*float64(j)*scale {
					exact++
				}
			}
		}
		if exact == heads*positions {
			t.Errorf("%d heads: nothing was rounded, so rounding was not tested", heads)
		}
	}
	// Positions: exact to 256, even numbers to 512, then multiples of four.
	bias := FalconKeyBias(8, 1024, 1).F32Row(0) // slope 1/2
	for j, want := range map[int]float32{255: 127.5, 256: 128, 257: 128, 258: 129, 259: 130, 513: 256, 514: 256, 515: 258, 518: 260} {
		if bias[j] != want {
			t.Errorf("key %d: %v, want %v", j, bias[j], want)
		}
	}
}
