package ptx

// The decoder of cvt: conversions between all types.

import (
	"math"
	"math/bits"
)

// conversion is a decoded cvt.
type conversion struct {
	to, from    ptype
	mode        rounding
	integer     bool // rounding to an integer was asked: .rni and the like
	ftz, sat    bool
	relu        bool
	saturateFin bool // .satfinite
}

func decodeCvt(d *dec) {
	x := &conversion{}
	rounded := ""
	if r := d.opt("rni", "rzi", "rmi", "rpi", "rn", "rz", "rm", "rp", "rna"); r != "" {
		rounded = r
		x.integer = len(r) == 3 && r[2] == 'i'
		if x.integer {
			r = r[:2]
		}
		x.mode = roundings[r]
	}
	x.relu = d.has("relu")
	x.saturateFin = d.has("satfinite")
	x.ftz = d.has("ftz")
	x.sat = d.has("sat")
	if len(d.mods) > 0 && d.mods[0] == "pack" {
		d.fail("cvt.pack is not supported")
	}
	x.to, x.from = d.typ(), d.typ()
	if x.to.kind == 'b' || x.from.kind == 'b' || x.to.kind == 'p' || x.from.kind == 'p' || x.from.pair || x.from.kind == 't' {
		d.fail("conversion from .%s to .%s", x.from, x.to)
	}
	x.check(d, rounded)
	if x.to.pair {
		x.pair(d)
		return
	}
	d.operands(2, 2)
	a, _ := d.srcLoose(d.arg(1), x.from.bits)
	dst, keep := d.dstLoose(d.arg(0), x.to.bits)
	if exec := x.fast(dst, a, keep); exec != nil {
		d.in.exec = exec
		return
	}
	f := x.function()
	d.in.exec = lanes1(dst, a, func(a uint64) uint64 {
		v := f(a)
		if x.to.kind == 's' && keep > x.to.bits {
			v = low(uint64(signed(v, x.to.bits)), keep)
		}
		return v
	})
}

// check refuses roundings that are missing or senseless.
func (x *conversion) check(d *dec, rounded string) {
	ff := x.from.float() && x.to.float()
	size := func(t ptype) int {
		if t.pair {
			return 16
		}
		return t.bits
	}
	switch {
	case x.relu && !ff, x.saturateFin && (!ff || x.to.kind != 't' && size(x.to) != 16):
		d.fail("modifiers that this conversion does not have")
	case x.to.float() && x.integer && (!ff || x.to != x.from):
		d.fail("rounding .%s", rounded)
	case x.from.float() && !x.to.float() && !x.integer:
		d.fail("want .rni, .rzi, .rmi or .rpi")
	case !x.from.float() && x.to.float() && rounded == "":
		d.fail("want .rn, .rz, .rm or .rp")
	case !x.from.float() && !x.to.float() && rounded != "":
		d.fail("rounding between integers")
	case ff && (size(x.to) < size(x.from) || x.to.kind != x.from.kind && x.from.bits != 16) && (rounded == "" || x.integer):
		d.fail("want .rn, .rz, .rm or .rp")
	case x.mode == roundAway && x.to.kind != 't':
		d.fail("rounding .rna is for .tf32")
	case x.to.kind == 't' && x.from != types["f32"]:
		d.fail("conversion from .%s to .tf32", x.from)
	case x.to.pair && x.from != types["f32"] || x.to.pair && x.to.integer():
		d.fail("conversion from .%s to .%s", x.from, x.to)
	}
}

// pair is cvt.rn.f16x2.f32 d, a, b: a is the upper half.
func (x *conversion) pair(d *dec) {
	d.operands(3, 3)
	a, b := d.src(d.arg(1), x.from), d.src(d.arg(2), x.from)
	dst := d.dst(d.arg(0), x.to)
	one := *x
	one.to = ptype{x.to.kind, 16, false}
	f := one.function()
	d.in.exec = lanes2(dst, a, b, func(a, b uint64) uint64 { return f(b) | f(a)<<16 })
}

// fast is the row loops of the commonest conversions, nil for others.
func (x *conversion) fast(dst, a col, keep int) func(w *warp, m uint32) {
	t := func(to, from string) bool { return x.to == types[to] && x.from == types[from] }
	switch {
	case x.sat || x.ftz:
	case (t("s64", "s32") || t("u64", "s32")) && dst.wide && !a.wide:
		return rows32to64(dst, a, func(d *row64, a *row32) {
			for i := range d {
				d[i] = uint64(int64(int32(a[i])))
			}
		})
	case (t("u64", "u32") || t("s64", "u32")) && dst.wide && !a.wide:
		return rows32to64(dst, a, func(d *row64, a *row32) {
			for i := range d {
				d[i] = uint64(a[i])
			}
		})
	case x.to.integer() && x.to.bits == 32 && x.from.integer() && x.from.bits == 64 && !dst.wide:
		return func(w *warp, m uint32) {
			from, to := w.c64(a.idx), &w.r32[dst.idx]
			for mm := m; mm != 0; mm &= mm - 1 {
				i := bits.TrailingZeros32(mm) & 31
				to[i] = uint32(from[i])
			}
		}
	case t("f32", "s32") && x.mode == roundNearest && !dst.wide && !a.wide:
		return rows1(dst, a, func(d, a *row32) {
			for i := range d {
				d[i] = b32(float32(int32(a[i])))
			}
		})
	case t("f32", "f16") && !dst.wide && !a.wide:
		return rows1(dst, a, func(d, a *row32) {
			for i := range d {
				d[i] = b32(halfToF32(a[i] & 0xffff))
			}
		})
	}
	return nil
}

func rows32to64(d, a col, f func(d *row64, a *row32)) func(w *warp, m uint32) {
	return func(w *warp, m uint32) {
		if m == allLanes {
			f(&w.r64[d.idx], w.c32(a.idx))
			return
		}
		f(&w.tmp6, w.c32(a.idx))
		scatter(w, d, m, &w.tmp6)
	}
}

// function converts one value.
func (x *conversion) function() fn1 {
	switch {
	case x.from.float() && x.to.float():
		return x.floats
	case x.from.float():
		return x.toInt
	case x.to.float():
		return x.fromInt
	}
	return func(a uint64) uint64 {
		v := x.from.extend(a)
		if !x.sat {
			return low(v, x.to.bits)
		}
		return clampInt(v, x.from.kind == 's', x.to)
	}
}

// clampInt saturates an integer to a type.
func clampInt(v uint64, sign bool, to ptype) uint64 {
	if to.kind == 's' {
		most := int64(1)<<(to.bits-1) - 1
		switch {
		case !sign && v > uint64(most):
			return uint64(most)
		case sign && int64(v) > most:
			return uint64(most)
		case sign && int64(v) < -most-1:
			return low(uint64(-most-1), to.bits)
		}
		return low(v, to.bits)
	}
	if sign && int64(v) < 0 {
		return 0
	}
	return min(v, low(^uint64(0), to.bits))
}

func (x *conversion) floats(a uint64) uint64 {
	if x.ftz {
		a = x.from.flush(a)
	}
	v := x.from.decode(a)
	if x.integer {
		v = roundInt(v, x.mode)
	}
	switch {
	case x.sat:
		v = saturate(v)
	case x.relu && v < 0:
		v = 0
	}
	if x.saturateFin {
		limit := map[byte]float64{'f': formatF16.max, 'h': formatBF16.max, 't': formatTF32.max}[x.to.kind]
		if v > limit {
			v = limit
		} else if v < -limit {
			v = -limit
		}
	}
	r := x.to.encode(v, x.mode)
	if x.ftz {
		r = x.to.flush(r)
	}
	return r
}

func roundInt(v float64, mode rounding) float64 {
	switch mode {
	case roundZero:
		return math.Trunc(v)
	case roundDown:
		return math.Floor(v)
	case roundUp:
		return math.Ceil(v)
	}
	return math.RoundToEven(v)
}

// toInt saturates; NaN is 0, or 1<<63 for 64-bit results.
func (x *conversion) toInt(a uint64) uint64 {
	if x.ftz {
		a = x.from.flush(a)
	}
	v := roundInt(x.from.decode(a), x.mode)
	to := x.to
	if v != v {
		if to.bits == 64 {
			return 1 << 63
		}
		return 0
	}
	if to.kind == 's' {
		limit := math.Ldexp(1, to.bits-1)
		switch {
		case v >= limit:
			return low(uint64(1)<<(to.bits-1)-1, to.bits)
		case v <= -limit:
			return 1 << (to.bits - 1)
		}
		return low(uint64(int64(v)), to.bits)
	}
	switch {
	case v <= 0:
		return 0
	case v >= math.Ldexp(1, to.bits):
		return low(^uint64(0), to.bits)
	}
	return uint64(v)
}

// fromInt rounds once: integers of 64 bits go through float64 rounded to odd.
func (x *conversion) fromInt(a uint64) uint64 {
	v := x.from.extend(a)
	neg := x.from.kind == 's' && int64(v) < 0
	if neg {
		v = -v
	}
	// Two halves, each exact in float64.
	hi, lo := float64(v>>32)*0x1p32, float64(v&allLanes)
	if neg {
		hi, lo = -hi, -lo
	}
	if x.to.bits == 64 {
		return b64(sum64(hi, lo, x.mode))
	}
	s := sumOdd(hi, lo)
	if x.sat {
		s = saturate(s)
	}
	return x.to.encode(s, x.mode)
}
