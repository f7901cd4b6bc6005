package ptx_test

// Half precision: every f16 and bf16, and arithmetic against big.Float.

import (
	"math"
	"math/big"
	"testing"
)

// halfValue is an f16 as a float64, by its definition.
func halfValue(h uint16) float64 {
	sign := 1.0
	if h>>15 != 0 {
		sign = -1
	}
	e, m := int(h>>10&31), float64(h&1023)
	switch e {
	case 31:
		if m != 0 {
			return math.NaN()
		}
		return math.Inf(int(sign))
	case 0:
		return sign * math.Ldexp(m, -24)
	}
	return sign * math.Ldexp(1024+m, e-25)
}

func bfloatValue(h uint16) float64 { return float64(math.Float32frombits(uint32(h) << 16)) }

// kind is a half-precision format: its values and how x rounds to it, found
// by search over all values, ties to the even encoding.
type kind struct {
	name  string
	value func(uint16) float64
	inf   uint16
}

var kinds = []kind{{"f16", halfValue, 0x7c00}, {"bf16", bfloatValue, 0x7f80}}

// nearest rounds an exact x.
func (k kind) nearest(x *big.Float, mode string) uint16 {
	neg := x.Signbit()
	a := new(big.Float).SetPrec(2000).Abs(x)
	lo, hi := 0, int(k.inf) // the largest value not above a, by bisection
	for hi-lo > 1 {
		mid := (lo + hi) / 2
		if new(big.Float).SetFloat64(k.value(uint16(mid))).Cmp(a) <= 0 {
			lo = mid
		} else {
			hi = mid
		}
	}
	v := uint16(lo)
	below := new(big.Float).SetPrec(2000).SetFloat64(k.value(v))
	if below.Cmp(a) != 0 {
		up := false
		switch mode {
		case "rn":
			next := k.value(v + 1)
			if v+1 == k.inf { // where the next value would be
				next = 2*k.value(v) - k.value(v-1)
			}
			mid := new(big.Float).SetPrec(2000).Add(below, new(big.Float).SetFloat64(next))
			mid.Quo(mid, big.NewFloat(2))
			c := a.Cmp(mid)
			up = c > 0 || c == 0 && v&1 == 1
		case "rp":
			up = !neg
		case "rm":
			up = neg
		}
		if up {
			v++
		}
	}
	if neg {
		v |= 0x8000
	}
	return v
}

func (k kind) round(x float64, mode string) uint64 {
	switch {
	case x != x:
		return 0x7fff
	case math.IsInf(x, 1):
		return uint64(k.inf)
	case math.IsInf(x, -1):
		return uint64(k.inf) | 0x8000
	}
	return uint64(k.nearest(new(big.Float).SetPrec(2000).SetFloat64(x), mode))
}

func TestHalves(t *testing.T) {
	for _, k := range kinds {
		v := func(a uint64) float64 { return k.value(uint16(a)) }
		fma := func(a, b, c float64) uint64 {
			if s := a*b + c; s-s != 0 {
				return k.round(s, "rn")
			}
			x := new(big.Float).SetPrec(2000).SetFloat64(a)
			x.Mul(x, new(big.Float).SetFloat64(b))
			if x.Sign() == 0 || new(big.Float).Neg(x).Cmp(new(big.Float).SetFloat64(c)) == 0 {
				return k.round(a*b+c, "rn")
			}
			x.Add(x, new(big.Float).SetFloat64(c))
			return uint64(k.nearest(x, "rn"))
		}
		both := func(g func(a, b, c float64) uint64) func(a, b, c uint64) uint64 {
			return func(a, b, c uint64) uint64 {
				return g(v(a), v(b), v(c)) | g(v(a>>16), v(b>>16), v(c>>16))<<16
			}
		}
		runInstr(t, instr{"fma.rn." + k.name + " %h0, %h10, %h11, %h12;", func(a, b, c uint64) uint64 { return fma(v(a), v(b), v(c)) }})
		runInstr(t, instr{"add.rn." + k.name + " %h0, %h10, %h11;", func(a, b, _ uint64) uint64 { return fma(v(a), 1, v(b)) }})
		runInstr(t, instr{"sub.rn." + k.name + " %h0, %h10, %h11;", func(a, b, _ uint64) uint64 { return fma(v(a), 1, -v(b)) }})
		runInstr(t, instr{"mul.rn." + k.name + " %h0, %h10, %h11;", func(a, b, _ uint64) uint64 { return k.round(v(a)*v(b), "rn") }})
		runInstr(t, instr{"fma.rn." + k.name + "x2 %r0, %r10, %r11, %r12;", both(fma)})
		runInstr(t, instr{"max." + k.name + " %h0, %h10, %h11;", func(a, b, _ uint64) uint64 {
			x, y := v(a), v(b)
			switch {
			case x != x && y != y:
				return 0x7fff
			case x != x:
				return uint64(uint16(b))
			case y != y:
				return uint64(uint16(a))
			}
			return k.round(max(x, y), "rn")
		}})
		for _, mode := range []string{"rn", "rz"} {
			runInstr(t, instr{"cvt." + mode + "." + k.name + ".f32 %h0, %f10;", func(a, _, _ uint64) uint64 { return k.round(float64(f(a)), mode) }})
			runInstr(t, instr{"cvt." + mode + "." + k.name + "x2.f32 %r0, %f10, %f11;", func(a, b, _ uint64) uint64 {
				return k.round(float64(f(a)), mode)<<16 | k.round(float64(f(b)), mode)
			}})
		}
		runInstr(t, instr{"cvt.rn." + k.name + ".s32 %h0, %r10;", func(a, _, _ uint64) uint64 { return k.round(float64(s(a)), "rn") }})
		runInstr(t, instr{"cvt.f32." + k.name + " %f0, %h10;", func(a, _, _ uint64) uint64 { return one32(float32(v(a))) }})
		runInstr(t, instr{"setp.lt." + k.name + " %p0, %h10, %h11;", func(a, b, _ uint64) uint64 { return flag(v(a) < v(b)) }})
		runInstr(t, instr{"neg." + k.name + "x2 %r0, %r10;", func(a, _, _ uint64) uint64 { return uint64(u(a) ^ 0x80008000) }})
	}
	for _, k := range kinds {
		v := func(a uint64) float64 { return k.value(uint16(a)) }
		runInstr(t, instr{"setp.gt." + k.name + "x2 %p0|%p1, %r10, %r11;", func(a, b, _ uint64) uint64 { return flag(v(a) > v(b)) }})
		runInstr(t, instr{"setp.gtu.and." + k.name + "x2 %p1|%p0, %r10, %r11, %p11;", func(a, b, _ uint64) uint64 {
			return flag(!(v(a>>16) <= v(b>>16)) && s(b) < 0)
		}})
		runInstr(t, instr{"fma.rn.relu." + k.name + " %h0, %h10, %h11, %h11;", func(a, b, _ uint64) uint64 {
			x := v(a)*v(b) + v(b) // exact enough to know its sign
			if x < 0 {
				return 0
			}
			if x-x != 0 || x == 0 {
				return k.round(x, "rn")
			}
			q := new(big.Float).SetPrec(2000).SetFloat64(v(a))
			q.Mul(q, new(big.Float).SetFloat64(v(b)))
			return uint64(k.nearest(q.Add(q, new(big.Float).SetFloat64(v(b))), "rn"))
		}})
		runInstr(t, instr{"cvt.rn.relu." + k.name + ".f32 %h0, %f10;", func(a, _, _ uint64) uint64 {
			if x := float64(f(a)); !(x < 0) {
				return k.round(x, "rn")
			}
			return 0
		}})
		runInstr(t, instr{"min.NaN." + k.name + "x2 %r0, %r10, %r11;", func(a, b, _ uint64) uint64 {
			one := func(x, y uint64) uint64 { return k.round(min(v(x), v(y)), "rn") }
			return one(a, b) | one(a>>16, b>>16)<<16
		}})
	}
	runInstr(t, instr{"ex2.approx.f16 %h0, %h10;", func(a, _, _ uint64) uint64 { return kinds[0].round(math.Exp2(halfValue(uint16(a))), "rn") }})
	runInstr(t, instr{"tanh.approx.f16x2 %r0, %r10;", func(a, _, _ uint64) uint64 {
		one := func(x uint64) uint64 { return kinds[0].round(math.Tanh(halfValue(uint16(x))), "rn") }
		return one(a) | one(a>>16)<<16
	}})
	runInstr(t, instr{"set.lt.f16.f16 %h0, %h10, %h11;", func(a, b, _ uint64) uint64 { return flag(halfValue(uint16(a)) < halfValue(uint16(b))) * 0x3c00 }})
	runInstr(t, instr{"add.sat.f16 %h0, %h10, %h11;", func(a, b, _ uint64) uint64 {
		x := halfValue(uint16(a)) + halfValue(uint16(b))
		if !(x > 0) {
			return 0
		}
		return kinds[0].round(min(x, 1), "rn")
	}})
	runInstr(t, instr{"cvt.rna.tf32.f32 %r0, %f10;", func(a, _, _ uint64) uint64 {
		x := u(a)
		switch e := x >> 23 & 255; {
		case e == 255 && x<<9 != 0:
			return 0x7fffffff
		case e == 255:
			return uint64(x)
		}
		return uint64((x + 0x1000) &^ 0x1fff)
	}})
	runInstr(t, instr{"cvt.rn.f16.f64 %h0, %d10;", func(a, _, _ uint64) uint64 { return kinds[0].round(dbl(a), "rn") }})
	runInstr(t, instr{"cvt.rni.f16.f16 %h0, %h10;", func(a, _, _ uint64) uint64 {
		return kinds[0].round(math.RoundToEven(halfValue(uint16(a))), "rn")
	}})
	runInstr(t, instr{"cvt.rzi.s16.f16 %h0, %h10;", func(a, _, _ uint64) uint64 {
		x := math.Trunc(halfValue(uint16(a)))
		if x != x {
			return 0
		}
		return uint64(uint16(int16(min(max(x, -32768), 32767))))
	}})
}
