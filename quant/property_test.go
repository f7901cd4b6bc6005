package quant

// Properties: the floats over every bit pattern or against definitions written
// out in float64, encode and decode as inverses within the step of the block,
// and fuzzed lengths.

import (
	"encoding/binary"
	"math"
	"testing"

	"pgregory.net/rapid"
)

// f16Value is the definition of binary16 in float64.
func f16Value(h uint16) float64 {
	sign := 1.0
	if h>>15 != 0 {
		sign = -1
	}
	exponent, mantissa := int(h>>10&31), float64(h&1023)
	switch exponent {
	case 0:
		return sign * math.Ldexp(mantissa, -24)
	case 31:
		if mantissa != 0 {
			return math.NaN()
		}
		return math.Inf(int(sign))
	}
	return sign * math.Ldexp(1024+mantissa, exponent-25)
}

func TestF16AllValues(t *testing.T) {
	for i := range 1 << 16 {
		h := uint16(i)
		got, want := FromF16(h), f16Value(h)
		if math.IsNaN(want) {
			if got == got || math.Signbit(float64(got)) != (h>>15 != 0) {
				t.Fatalf("FromF16(%#04x) = %v, want a NaN of the same sign", h, got)
			}
			if back := ToF16(got); back != h|0x0200 {
				t.Fatalf("NaN %#04x comes back as %#04x", h, back)
			}
			continue
		}
		if float64(got) != want || math.Signbit(float64(got)) != math.Signbit(want) {
			t.Fatalf("FromF16(%#04x) = %v, want %v", h, got, want)
		}
		if back := ToF16(got); back != h {
			t.Fatalf("%#04x = %v comes back as %#04x", h, got, back)
		}
		b := FromBF16(h)
		if math.Float32bits(b) != uint32(h)<<16 {
			t.Fatalf("FromBF16(%#04x) = %v", h, b)
		}
		if back := ToBF16(b); back != h && (b == b || back != h|0x40) {
			t.Fatalf("bf16 %#04x comes back as %#04x", h, back)
		}
	}
}

// checkNearest checks that h is the even-tied nearest of value(h) and its two
// neighbours to x, which must lie between finite ones.
func checkNearest(t interface{ Fatalf(string, ...any) }, name string, x float32, h uint16, value func(uint16) float64) {
	v := float64(x)
	miss := math.Abs(value(h) - v)
	for _, other := range []uint16{h - 1, h + 1} {
		if other&0x8000 != h&0x8000 {
			continue // over zero or past infinity
		}
		d := math.Abs(value(other) - v)
		if d < miss || d == miss && h&1 != 0 {
			t.Fatalf("%s(%v) = %#04x (%v), but %#04x (%v) is as near", name, x, h, value(h), other, value(other))
		}
	}
}

func TestRoundingBetweenNeighbours(t *testing.T) {
	// Every midpoint of two binary16 values and the float32s beside it.
	for i := range 0x7bff {
		mid := float32((f16Value(uint16(i)) + f16Value(uint16(i+1))) / 2)
		for _, x := range []float32{mid, math.Nextafter32(mid, -1), math.Nextafter32(mid, 1e9), -mid} {
			checkNearest(t, "ToF16", x, ToF16(x), f16Value)
		}
	}
	for _, c := range []struct {
		x    float32
		want uint16
	}{
		{65504, 0x7bff}, {65519.996, 0x7bff}, {65520, 0x7c00}, {1e30, 0x7c00}, {-65520, 0xfc00}, {float32(math.Inf(-1)), 0xfc00},
		{0x1p-24, 1}, {0x1p-25, 0}, {0x1.000002p-25, 1}, {1e-40, 0}, {float32(math.Copysign(0, -1)), 0x8000}, {0x1.ff8p-15, 0x03ff}, {0x1.ffbffep-15, 0x03ff}, {0x1.ffcp-15, 0x0400},
	} {
		if got := ToF16(c.x); got != c.want {
			t.Errorf("ToF16(%v) = %#04x, want %#04x", c.x, got, c.want)
		}
	}
	if got := ToBF16(math.MaxFloat32); got != 0x7f80 {
		t.Errorf("ToBF16(max) = %#04x, want infinity", got)
	}
	for i := range 0x7f7f { // and of two bfloat16 values
		mid := math.Float32frombits(uint32(i)<<16 | 0x8000)
		if got, want := ToBF16(mid), uint16(i+i&1); got != want {
			t.Fatalf("ToBF16(%v) = %#04x, want the even %#04x", mid, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		x := math.Float32frombits(rapid.Uint32().Draw(t, "bits"))
		if h := ToBF16(x); x == x && h&0x7fff < 0x7f80 {
			checkNearest(t, "ToBF16", x, h, func(h uint16) float64 {
				if h&0x7fff == 0x7f80 { // the next value had the exponent no end
					return math.Copysign(0x1p128, float64(math.Float32frombits(uint32(h)<<16)))
				}
				return float64(math.Float32frombits(uint32(h) << 16))
			})
		}
	})
}

func TestSliceConverters(t *testing.T) {
	bits := []uint16{0, 1, 0x3c00, 0x8400, 0x7c00}
	x, back := make([]float32, len(bits)), make([]uint16, len(bits))
	FromF16s(x, bits)
	if ToF16s(back, x); x[2] != 1 || back[1] != 1 || back[3] != 0x8400 || back[4] != 0x7c00 {
		t.Errorf("f16: %v, %#04x", x, back)
	}
	FromBF16s(x, bits)
	if ToBF16s(back, x); x[2] != 0x1p-7 || back[1] != 1 || back[3] != 0x8400 || back[4] != 0x7c00 {
		t.Errorf("bf16: %v, %#04x", x, back)
	}
	defer func() {
		if recover() == nil {
			t.Error("a short destination does not panic")
		}
	}()
	FromF16s(x[:1], bits)
}

// TestEncodeWithinStep: decoding gives back every element within half a step
// of its block, plus the rounding of the scale and the minimum to binary16.
func TestEncodeWithinStep(t *testing.T) {
	levels := map[Type]float64{Q4_0: 8, Q4_1: 15, Q5_0: 16, Q5_1: 31, Q8_0: 127}
	rapid.Check(t, func(t *rapid.T) {
		typ := rapid.SampledFrom([]Type{Q4_0, Q4_1, Q5_0, Q5_1, Q8_0}).Draw(t, "type")
		size := float64(rapid.SampledFrom([]float32{1e-3, 1, 100, 3e4}).Draw(t, "size"))
		x := rapid.SliceOfN(rapid.Float32Range(float32(-size), float32(size)), 64, 64).Draw(t, "x")
		b, y := make([]byte, typ.Bytes(64)), make([]float32, 64)
		if err := Encode(b, x, typ); err != nil {
			t.Fatal(err)
		}
		if err := Decode(y, b, typ); err != nil {
			t.Fatal(err)
		}
		for block := 0; block < 64; block += 32 {
			low, high := x[block], x[block]
			for _, v := range x[block : block+32] {
				low, high = min(low, v), max(high, v)
			}
			peak := math.Max(math.Abs(float64(low)), math.Abs(float64(high)))
			step, slack := peak/levels[typ], peak*0x1p-11+levels[typ]*0x1p-24
			if typ == Q4_1 || typ == Q5_1 {
				step = (float64(high) - float64(low)) / levels[typ]
				slack += (float64(high)-float64(low))*0x1p-11 + 0x1p-24
			}
			for i := block; i < block+32; i++ {
				miss := math.Abs(float64(x[i]) - float64(y[i]))
				limit := step/2*1.0001 + slack
				// The signed types have no level for minus the peak: -8 to 7.
				if typ == Q4_0 || typ == Q5_0 {
					limit = step*1.0001 + slack
				}
				if miss > limit {
					t.Fatalf("%v: element %d is %v, decodes to %v: off by %g, limit %g", typ, i, x[i], y[i], miss, limit)
				}
			}
		}
	})
}

// TestEncodeTies: values half-way between two levels go the way of the
// reference encoders.
func TestEncodeTies(t *testing.T) {
	for _, c := range []struct {
		typ                 Type
		first, second, x, y float32 // the elements that set the scale, a tie and its decoded value
	}{
		{Q8_0, 127, 0, 0.5, 1}, {Q8_0, 127, 0, -0.5, -1}, {Q8_0, 127, 0, 2.5, 3}, {Q8_0, -127, 0, -63.5, -64},
		{Q4_0, -8, 0, 0.5, 1}, {Q4_0, -8, 0, -0.5, 0}, {Q4_0, -8, 0, 8, 7}, {Q5_0, -16, 0, 2.5, 3}, {Q5_0, -16, 0, -2.5, -2},
		{Q4_1, 0, 15, 2.5, 3}, {Q4_1, -5, 10, -2.5, -2}, {Q5_1, 0, 31, 30.5, 31},
	} {
		x := make([]float32, 32)
		x[0], x[1], x[7], x[20] = c.first, c.second, c.x, c.x // 7 is a low nibble, 20 a high one
		b := make([]byte, c.typ.Bytes(32))
		if err := Encode(b, x, c.typ); err != nil {
			t.Fatal(err)
		}
		if err := Decode(x, b, c.typ); err != nil {
			t.Fatal(err)
		}
		if x[0] != c.first || x[7] != c.y || x[20] != c.y {
			t.Errorf("%v: %v is %v, %v is %v and %v, want %v", c.typ, c.first, x[0], c.x, x[7], x[20], c.y)
		}
	}
}

// TestEncodeIdempotent: what has been decoded encodes to the same values.
func TestEncodeIdempotent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := rapid.SliceOfN(rapid.Float32Range(-50, 50), 32, 32).Draw(t, "x")
		for _, typ := range []Type{F32, F64, F16, BF16} {
			b, y := make([]byte, typ.Bytes(32)), make([]float32, 32)
			for pass := range 2 {
				if err := Encode(b, x, typ); err != nil {
					t.Fatal(err)
				}
				if err := Decode(y, b, typ); err != nil {
					t.Fatal(err)
				}
				for i := range x {
					if pass == 1 && x[i] != y[i] {
						t.Fatalf("%v: %v became %v", typ, x[i], y[i])
					}
				}
				copy(x, y)
			}
		}
	})
}

func TestEncodeRefusesNonFinite(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for _, typ := range []Type{Q4_0, Q4_1, Q5_0, Q5_1, Q8_0} {
		for _, bad := range []float32{inf, -inf, nan, math.MaxFloat32, -1e8} {
			x := make([]float32, 64)
			for i := range x {
				x[i] = float32(i)
			}
			x[37] = bad
			if err := Encode(make([]byte, typ.Bytes(64)), x, typ); err == nil {
				t.Errorf("%v takes %v", typ, bad)
			}
			x[37] = 3
			if err := Encode(make([]byte, typ.Bytes(64)), x, typ); err != nil {
				t.Error(err)
			}
		}
		level := make([]float32, 32) // no range, but a minimum or a peak too large
		for i := range level {
			level[i] = 1e7
		}
		if err := Encode(make([]byte, typ.Bytes(32)), level, typ); err == nil {
			t.Errorf("%v takes 1e7 throughout", typ)
		}
		// Zeros and values whose inverse step overflows decode to nothing odd.
		for _, v := range []float32{0, math.SmallestNonzeroFloat32, -1e-39} {
			x, b := make([]float32, 32), make([]byte, typ.Bytes(32))
			x[5] = v
			if err := Encode(b, x, typ); err != nil {
				t.Errorf("%v of %v: %v", typ, v, err)
			}
			if err := Decode(x, b, typ); err != nil {
				t.Error(err)
			}
			for i, y := range x {
				if math.Abs(float64(y)) > 1e-7 {
					t.Errorf("%v of %v: element %d decodes to %v", typ, v, i, y)
				}
			}
		}
	}
}

func TestF64Rounds(t *testing.T) {
	want := []float64{1.0 / 3, -1e300, 5e-324, math.Inf(1)}
	b := make([]byte, 32)
	for i, v := range want {
		binary.LittleEndian.PutUint64(b[8*i:], math.Float64bits(v))
	}
	got := make([]float32, 4)
	if err := Decode(got, b, F64); err != nil {
		t.Fatal(err)
	}
	for i, v := range want {
		if got[i] != float32(v) {
			t.Errorf("%v decodes to %v", v, got[i])
		}
	}
}

// FuzzDecode: any type, any bytes, any length. Decode succeeds exactly when the
// lengths agree, and blocks decode alone as they decode together.
func FuzzDecode(f *testing.F) {
	for _, typ := range Types() {
		f.Add(uint32(typ), make([]byte, 3*typ.TypeSize()), 0)
		f.Add(uint32(typ), make([]byte, 1+typ.TypeSize()), 1)
	}
	f.Fuzz(func(t *testing.T, number uint32, src []byte, extra int) {
		typ := Type(number)
		n := 0
		if size := typ.TypeSize(); size != 0 {
			n = len(src) / size * typ.BlockSize()
		}
		n = max(0, min(n+extra%300, 1<<20))
		dst := make([]float32, n)
		err := Decode(dst, src, typ)
		if want := typ.Decodes() && typ.Bytes(n) == len(src); (err == nil) != want {
			t.Fatalf("Decode of %d bytes of %v to %d: %v", len(src), typ, n, err)
		}
		if err != nil || n == 0 {
			return
		}
		one := make([]float32, typ.BlockSize())
		last := n/len(one) - 1
		if err := Decode(one, src[last*typ.TypeSize():], typ); err != nil {
			t.Fatal(err)
		}
		for i, v := range one {
			if math.Float32bits(v) != math.Float32bits(dst[last*len(one)+i]) {
				t.Fatalf("%v: block %d alone differs at %d", typ, last, i)
			}
		}
	})
}
