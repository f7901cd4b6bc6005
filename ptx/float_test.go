package ptx_test

// Floating-point instructions against arbitrary precision.

import (
	"math"
	"math/big"
	"strings"
	"testing"
)

// exact rounds a big.Float, computed without error, to float32.
func exact(x *big.Float, mode big.RoundingMode) float32 {
	if x.Sign() == 0 {
		r, _ := x.Float32()
		return r
	}
	prec := 24
	if e := x.MantExp(nil); e < -125 { // subnormal: fewer bits
		prec = 24 - (-125 - e)
	}
	if prec < 1 {
		// Below half of the smallest subnormal, or between it and the smallest.
		tiny := math.Float32frombits(1)
		up := false
		switch mode {
		case big.ToNearestEven:
			up = new(big.Float).Abs(x).Cmp(big.NewFloat(float64(tiny)/2)) > 0
		case big.ToPositiveInf:
			up = x.Sign() > 0
		case big.ToNegativeInf:
			up = x.Sign() < 0
		}
		if !up {
			tiny = 0
		}
		return float32(math.Copysign(float64(tiny), float64(x.Sign())))
	}
	y := new(big.Float).SetPrec(uint(prec)).SetMode(mode).Set(x)
	v, _ := y.Float64()
	if math.Abs(v) > math.MaxFloat32 {
		if mode == big.ToNearestEven || mode == big.ToPositiveInf && v > 0 || mode == big.ToNegativeInf && v < 0 {
			return float32(math.Inf(int(math.Copysign(1, v))))
		}
		return float32(math.Copysign(math.MaxFloat32, v))
	}
	return float32(v)
}

func bf(v float32) *big.Float { return new(big.Float).SetPrec(2000).SetFloat64(float64(v)) }

// bigFma is a·b + c with one rounding, by arbitrary precision.
func bigFma(a, b, c float32, mode big.RoundingMode) float32 {
	p := float64(a) * float64(b)
	if s := p + float64(c); s-s != 0 {
		return float32(s)
	}
	x := new(big.Float).SetPrec(2000).Mul(bf(a), bf(b))
	x.Add(x, bf(c))
	if x.Sign() == 0 { // the sign of a zero sum
		if mode == big.ToNegativeInf && (p != 0 || c != 0 || math.Signbit(p) != math.Signbit(float64(c))) {
			return float32(math.Copysign(0, -1))
		}
		return float32(p + float64(c))
	}
	return exact(x, mode)
}

func TestFloats(t *testing.T) {
	modes := map[string]big.RoundingMode{"rn": big.ToNearestEven, "rz": big.ToZero, "rm": big.ToNegativeInf, "rp": big.ToPositiveInf}
	var rows []instr
	add := func(text string, want func(a, b, c uint64) uint64) { rows = append(rows, instr{text, want}) }
	for name, mode := range modes {
		add("fma."+name+".f32 %f0, %f10, %f11, %f12;", func(a, b, c uint64) uint64 { return one32(bigFma(f(a), f(b), f(c), mode)) })
		add("mul."+name+".f32 %f0, %f10, %f11;", func(a, b, _ uint64) uint64 {
			if p := float64(f(a)) * float64(f(b)); p == 0 || p-p != 0 {
				return one32(float32(p))
			}
			return one32(exact(new(big.Float).SetPrec(2000).Mul(bf(f(a)), bf(f(b))), mode))
		})
		add("add."+name+".f32 %f0, %f10, %f11;", func(a, b, _ uint64) uint64 { return one32(bigFma(f(a), 1, f(b), mode)) })
		add("sub."+name+".f32 %f0, %f10, %f11;", func(a, b, _ uint64) uint64 { return one32(bigFma(f(a), 1, -f(b), mode)) })
		add("div."+name+".f32 %f0, %f10, %f11;", func(a, b, _ uint64) uint64 {
			if q := float64(f(a)) / float64(f(b)); q == 0 || q-q != 0 {
				return one32(float32(q))
			}
			return one32(exact(new(big.Float).SetPrec(2000).Quo(bf(f(a)), bf(f(b))), mode))
		})
		add("sqrt."+name+".f32 %f0, %f10;", func(a, _, _ uint64) uint64 {
			if q := math.Sqrt(float64(f(a))); q == 0 || q-q != 0 {
				return one32(float32(q))
			}
			return one32(exact(new(big.Float).SetPrec(2000).Sqrt(bf(f(a))), mode))
		})
		add("rcp."+name+".f32 %f0, %f10;", func(a, _, _ uint64) uint64 {
			if q := 1 / float64(f(a)); q == 0 || q-q != 0 {
				return one32(float32(q))
			}
			return one32(exact(new(big.Float).SetPrec(2000).Quo(bf(1), bf(f(a))), mode))
		})
		add("cvt."+name+".f32.f64 %f0, %d10;", func(a, _, _ uint64) uint64 {
			x := dbl(a)
			if x == 0 || x-x != 0 {
				return one32(float32(x))
			}
			return one32(exact(new(big.Float).SetPrec(2000).SetFloat64(x), mode))
		})
		add("cvt."+name+".f32.s64 %f0, %rd10;", func(a, _, _ uint64) uint64 {
			return one32(exact(new(big.Float).SetPrec(64).SetInt64(int64(a)), mode))
		})
		add("cvt."+name+".f32.u32 %f0, %r10;", func(a, _, _ uint64) uint64 {
			return one32(exact(new(big.Float).SetPrec(64).SetInt64(int64(u(a))), mode))
		})
		add("cvt."+name+".f64.u64 %d0, %rd10;", func(a, _, _ uint64) uint64 {
			v, _ := new(big.Float).SetPrec(53).SetMode(mode).SetUint64(a).Float64()
			return dblb(v)
		})
	}
	for name, mode := range modes {
		wide := func(g func(x, y *big.Float) *big.Float, near func(x, y float64) float64) func(a, b, c uint64) uint64 {
			return func(a, b, _ uint64) uint64 {
				x, y := dbl(a), dbl(b)
				// Results of zero or out of the range of normal numbers are the
				// business of other rows.
				if n := near(x, y); n-n != 0 || math.Abs(n) < 0x1p-900 {
					return dblb(n)
				}
				v, _ := new(big.Float).SetPrec(53).SetMode(mode).Set(g(new(big.Float).SetPrec(2500).SetFloat64(x), new(big.Float).SetPrec(2500).SetFloat64(y))).Float64()
				return dblb(v)
			}
		}
		// Away from overflow and cancellation: the inputs are brought to [1, 2).
		const scale = "and.b64 %rd20, %rd10, 0xfffffffffffff; or.b64 %rd20, %rd20, 0x3ff0000000000000; mov.b64 %d10, %rd20; and.b64 %rd20, %rd11, 0x800fffffffffffff; or.b64 %rd20, %rd20, 0x3fd0000000000000; mov.b64 %d11, %rd20; "
		bring := func(h func(a, b, c uint64) uint64) func(a, b, c uint64) uint64 {
			return func(a, b, c uint64) uint64 {
				return h(a&(1<<52-1)|0x3ff<<52, b&(1<<63|(1<<52-1))|0x3fd<<52, c)
			}
		}
		add(scale+"add."+name+".f64 %d0, %d10, %d11;", bring(wide(func(x, y *big.Float) *big.Float { return x.Add(x, y) }, func(x, y float64) float64 { return x + y })))
		add(scale+"mul."+name+".f64 %d0, %d10, %d11;", bring(wide(func(x, y *big.Float) *big.Float { return x.Mul(x, y) }, func(x, y float64) float64 { return x * y })))
	}
	ftz := func(v uint64) float32 {
		if x := f(v); math.Abs(float64(x)) < 0x1p-126 {
			return float32(math.Copysign(0, float64(x)))
		}
		return f(v)
	}
	add("fma.rn.ftz.f32 %f0, %f10, %f11, %f12;", func(a, b, c uint64) uint64 {
		return one32(ftz(one32(bigFma(ftz(a), ftz(b), ftz(c), big.ToNearestEven))))
	})
	sat := func(x float32) float32 {
		if !(x > 0) {
			return 0
		}
		return min(x, 1)
	}
	add("fma.rn.sat.f32 %f0, %f10, %f11, %f12;", func(a, b, c uint64) uint64 { return one32(sat(bigFma(f(a), f(b), f(c), big.ToNearestEven))) })
	add("add.sat.f32 %f0, %f10, %f11;", func(a, b, _ uint64) uint64 { return one32(sat(f(a) + f(b))) })
	add("cvt.sat.f32.f32 %f0, %f10;", func(a, _, _ uint64) uint64 { return one32(sat(f(a))) })
	add("add.f32 %f0, %f10, 0f40000000;", func(a, _, _ uint64) uint64 { return one32(f(a) + 2) })
	add("add.f32 %f0, %f10, 1.5;", func(a, _, _ uint64) uint64 { return one32(f(a) + 1.5) })
	add("neg.f32 %f0, %f10;", func(a, _, _ uint64) uint64 { return uint64(u(a) ^ 1<<31) })
	add("abs.f32 %f0, %f10;", func(a, _, _ uint64) uint64 { return uint64(u(a) &^ (1 << 31)) })
	add("abs.ftz.f32 %f0, %f10;", func(a, _, _ uint64) uint64 { return fb(ftz(a)) &^ (1 << 31) })
	add("copysign.f32 %f0, %f10, %f11;", func(a, b, _ uint64) uint64 { return uint64(u(a)&(1<<31) | u(b)&^(1<<31)) })
	minmax := func(less, nan bool) func(a, b, c uint64) uint64 {
		return func(a, b, _ uint64) uint64 {
			x, y := f(a), f(b)
			switch {
			case x != x && y != y, nan && (x != x || y != y):
				return 0x7fffffff
			case x != x:
				return uint64(u(b))
			case y != y:
				return uint64(u(a))
			case less:
				return fb(min(x, y))
			}
			return fb(max(x, y))
		}
	}
	add("min.f32 %f0, %f10, %f11;", minmax(true, false))
	add("max.f32 %f0, %f10, %f11;", minmax(false, false))
	add("max.NaN.f32 %f0, %f10, %f11;", minmax(false, true))
	add("min.NaN.f32 %f0, %f10, %f11;", minmax(true, true))
	compare := map[string]func(x, y float32) bool{
		"eq": func(x, y float32) bool { return x == y }, "ne": func(x, y float32) bool { return x < y || x > y },
		"lt": func(x, y float32) bool { return x < y }, "le": func(x, y float32) bool { return x <= y },
		"gt": func(x, y float32) bool { return x > y }, "ge": func(x, y float32) bool { return x >= y },
		"equ": func(x, y float32) bool { return !(x < y || x > y) }, "neu": func(x, y float32) bool { return x != y },
		"ltu": func(x, y float32) bool { return !(x >= y) }, "leu": func(x, y float32) bool { return !(x > y) },
		"gtu": func(x, y float32) bool { return !(x <= y) }, "geu": func(x, y float32) bool { return !(x < y) },
		"num": func(x, y float32) bool { return x == x && y == y }, "nan": func(x, y float32) bool { return x != x || y != y },
	}
	for name, c := range compare {
		add("setp."+name+".f32 %p0, %f10, %f11;", func(a, b, _ uint64) uint64 { return flag(c(f(a), f(b))) })
	}
	add("setp.lt.ftz.f32 %p0, %f10, %f11;", func(a, b, _ uint64) uint64 { return flag(ftz(a) < ftz(b)) })
	add("testp.subnormal.f32 %p0, %f10;", func(a, _, _ uint64) uint64 { return flag(u(a)&0x7f800000 == 0 && u(a)<<1 != 0) })
	add("testp.infinite.f32 %p0, %f10;", func(a, _, _ uint64) uint64 { return flag(u(a)&0x7fffffff == 0x7f800000) })
	add("testp.normal.f32 %p0, %f10;", func(a, _, _ uint64) uint64 {
		e := u(a) >> 23 & 255
		return flag(e > 0 && e < 255)
	})
	integer := map[string]func(float64) float64{"rni": math.RoundToEven, "rzi": math.Trunc, "rmi": math.Floor, "rpi": math.Ceil}
	for name, g := range integer {
		add("cvt."+name+".f32.f32 %f0, %f10;", func(a, _, _ uint64) uint64 { return one32(float32(g(float64(f(a))))) })
		add("cvt."+name+".s32.f32 %r0, %f10;", func(a, _, _ uint64) uint64 {
			x := g(float64(f(a)))
			if x != x {
				return 0
			}
			return uint64(uint32(int32(min(max(x, math.MinInt32), math.MaxInt32))))
		})
		add("cvt."+name+".u32.f64 %r0, %d10;", func(a, _, _ uint64) uint64 {
			x := g(dbl(a))
			if x != x {
				return 0
			}
			return uint64(uint32(min(max(x, 0), math.MaxUint32)))
		})
		add("cvt."+name+".u8.f32 %r0, %f10;", func(a, _, _ uint64) uint64 {
			x := g(float64(f(a)))
			if x != x {
				return 0
			}
			return uint64(min(max(x, 0), 255))
		})
	}
	add("cvt.rzi.s64.f32 %rd0, %f10;", func(a, _, _ uint64) uint64 {
		x := math.Trunc(float64(f(a)))
		switch {
		case x != x || x < -0x1p63:
			return 1 << 63
		case x >= 0x1p63:
			return math.MaxInt64
		}
		return uint64(int64(x))
	})
	add("add.f64 %d0, %d10, %d11;", func(a, b, _ uint64) uint64 { return dblb(dbl(a) + dbl(b)) })
	add("mul.rn.f64 %d0, %d10, %d11;", func(a, b, _ uint64) uint64 { return dblb(dbl(a) * dbl(b)) })
	add("fma.rn.f64 %d0, %d10, %d11, %d12;", func(a, b, c uint64) uint64 { return dblb(math.FMA(dbl(a), dbl(b), dbl(c))) })
	add("div.rn.f64 %d0, %d10, %d11;", func(a, b, _ uint64) uint64 { return dblb(dbl(a) / dbl(b)) })
	add("cvt.f64.f32 %d0, %f10;", func(a, _, _ uint64) uint64 { return dblb(float64(f(a))) })
	for name, g := range map[string]func(float64) float64{
		"rcp.approx": func(x float64) float64 { return 1 / x }, "rsqrt.approx": func(x float64) float64 { return 1 / math.Sqrt(x) }, "sqrt.approx": math.Sqrt,
		"ex2.approx": func(x float64) float64 { return math.Pow(2, x) }, "lg2.approx": math.Log2, "sin.approx": math.Sin, "cos.approx": math.Cos, "tanh.approx": math.Tanh,
	} {
		add(name+".f32 %f0, %f10;", func(a, _, _ uint64) uint64 { return one32(float32(g(float64(f(a))))) })
	}
	for _, row := range rows {
		t.Run(strings.Fields(row.text[strings.LastIndex(strings.TrimRight(row.text, "; "), ";")+1:])[0], func(t *testing.T) { runInstr(t, row) })
	}
}
