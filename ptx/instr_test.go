package ptx_test

// Every instruction on awkward values, against what Go computes another way.

import (
	"context"
	"encoding/binary"
	"math"
	"math/big"
	"math/bits"
	"regexp"
	"testing"

	"github.com/godwit-ml/godwit/ptx"
)

const prologue = `.version 7.0
.target sm_80
.address_size 64
.visible .entry k(.param .u64 in, .param .u64 out)
{
	.reg .pred %p<16>;
	.reg .b16 %h<32>;
	.reg .b32 %r<64>;
	.reg .f32 %f<32>;
	.reg .b64 %rd<64>;
	.reg .f64 %d<32>;
	ld.param.u64 %rd1, [in];
	ld.param.u64 %rd2, [out];
	mov.u32 %r1, %tid.x;
	mov.u32 %r2, %ctaid.x;
	mov.u32 %r3, %ntid.x;
	mad.lo.u32 %r1, %r2, %r3, %r1;
	mul.wide.u32 %rd3, %r1, 32;
	add.s64 %rd1, %rd1, %rd3;
	mul.wide.u32 %rd3, %r1, 8;
	add.s64 %rd2, %rd2, %rd3;
	ld.global.v2.u64 {%rd10, %rd11}, [%rd1];
	ld.global.v2.u64 {%rd12, %rd13}, [%rd1+16];
	mov.b64 %d10, %rd10; mov.b64 %d11, %rd11; mov.b64 %d12, %rd12;
	mov.b64 {%r10, _}, %rd10; mov.b64 {%r11, _}, %rd11; mov.b64 {%r12, _}, %rd12; mov.b64 {%r13, _}, %rd13;
	mov.b32 %f10, %r10; mov.b32 %f11, %r11; mov.b32 %f12, %r12;
	mov.b32 {%h10, _}, %r10; mov.b32 {%h11, _}, %r11; mov.b32 {%h12, _}, %r12;
	setp.ne.u32 %p10, %r10, 0;
	setp.lt.s32 %p11, %r11, 0;
`

var epilogue = map[string]string{
	"r": "mov.b64 %rd50, {%r0, 0};", "f": "mov.b32 %r50, %f0; mov.b64 %rd50, {%r50, 0};",
	"h": "mov.b32 %r50, {%h0, 0}; mov.b64 %rd50, {%r50, 0};", "d": "mov.b64 %rd50, %d0;", "rd": "mov.b64 %rd50, %rd0;",
	"p": "selp.b64 %rd50, 1, 0, %p0;",
}

// result finds the register that holds the result: the one numbered 0.
var result = regexp.MustCompile(`%(rd|r|f|h|d|p)0\b`)

// instr is a row: the instruction, and its result from the inputs a, b, c.
type instr struct {
	text string
	want func(a, b, c uint64) uint64
}

var awkward32 = []uint32{
	0, 1, 2, 3, 31, 32, 33, 255, 0x7f, 0x80, 0x8000, 0xffff, 0x7fff, 0x7fffffff, 0x80000000, 0xffffffff, 0xfffffffe, 12345678,
	0x3f800000, 0xbf800000, 0x40000000, 0x3f000000, 0x7f800000, 0xff800000, 0x7fc00000, 0x00000001, 0x00400000, 0x80000001, 0x7f7fffff, 0xff7fffff, 0x00800000, 0x3f800001, 0x33800000, 0xb3800000,
	0x4f000000, 0xcf000000, 0x4effffff, 0x5f000000, 0x3fc00000, 0xc0200000, 0x477fe000, 0x477ff000, 0x38800000, 0x33000000, 0x33000001, 0x42b17218, 0x3f317218,
	0x3c003c00, 0x7c01fc00, 0x04010001, 0x7bff0400, 0xbc003555,
}

func inputs() []uint64 {
	var v []uint64
	s := uint64(99)
	next := func() uint64 {
		s ^= s << 13
		s ^= s >> 7
		s ^= s << 17
		return s
	}
	pick := func() uint64 {
		switch x := awkward32[next()%uint64(len(awkward32))]; next() % 6 {
		case 0:
			return uint64(x)
		case 1:
			return uint64(x)<<32 | uint64(awkward32[next()%uint64(len(awkward32))])
		case 2:
			return math.Float64bits(float64(math.Float32frombits(x)))
		case 3:
			return uint64(int64(int32(x)))
		case 4: // a float near 1, and a double of the same kind
			return uint64(0x3ff)<<52 | next()>>12&^0xffffffff | uint64(0x3f000000+next()%0x1000000)
		default:
			return next()
		}
	}
	for range 1024 * 4 {
		v = append(v, pick())
	}
	return v
}

// runInstr executes an instruction on every input and compares.
func runInstr(t *testing.T, row instr) {
	t.Helper()
	dst := result.FindStringSubmatch(row.text)[1]
	src := prologue + "\t" + row.text + "\n\t" + epilogue[dst] + "\n\tst.global.u64 [%rd2], %rd50;\n\tret;\n}\n"
	m, err := ptx.Parse("row.ptx", []byte(src))
	if err != nil {
		t.Errorf("%s: %v", row.text, err)
		return
	}
	d := device{t, ptx.NewMemory(0)}
	in := inputs()
	n := len(in) / 4
	pin, pout := d.alloc(8*len(in)), d.alloc(8*n)
	b := d.bytes(pin, 8*len(in))
	for i, v := range in {
		binary.LittleEndian.PutUint64(b[8*i:], v)
	}
	if _, err := ptx.Run(context.Background(), m.Kernels[0], d.mem, ptx.Launch{Grid: [3]int{n / 128, 1, 1}, Block: [3]int{128, 1, 1}, Params: args(pin, pout)}, ptx.Config{}); err != nil {
		t.Errorf("%s: %v", row.text, err)
		return
	}
	out := d.bytes(pout, 8*n)
	bad := 0
	for i := range n {
		got := binary.LittleEndian.Uint64(out[8*i:])
		a, b, c := in[4*i], in[4*i+1], in[4*i+2]
		if want := row.want(a, b, c); got != want && !(dst == "d" && dbl(got) != dbl(got) && dbl(want) != dbl(want)) {
			if bad++; bad <= 3 {
				t.Errorf("%s of %#x, %#x, %#x: %#x, want %#x", row.text, a, b, c, got, want)
			}
		}
	}
}

func f(v uint64) float32    { return math.Float32frombits(uint32(v)) }
func fb(v float32) uint64   { return uint64(math.Float32bits(v)) }
func u(v uint64) uint32     { return uint32(v) }
func s(v uint64) int32      { return int32(v) }
func dbl(v uint64) float64  { return math.Float64frombits(v) }
func dblb(v float64) uint64 { return math.Float64bits(v) }
func flag(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// one32 is a float32 result with the hardware's NaN.
func one32(v float32) uint64 {
	if v != v {
		return 0x7fffffff
	}
	return fb(v)
}

func TestIntegers(t *testing.T) {
	hi := func(a, b uint64) uint64 { h, _ := bits.Mul64(a, b); return h }
	rows := []instr{
		{"add.s32 %r0, %r10, %r11;", func(a, b, _ uint64) uint64 { return uint64(u(a) + u(b)) }},
		{"add.s32 %r0, %r10, -5;", func(a, _, _ uint64) uint64 { return uint64(u(a) - 5) }},
		{"add.sat.s32 %r0, %r10, %r11;", func(a, b, _ uint64) uint64 {
			return uint64(uint32(min(max(int64(s(a))+int64(s(b)), math.MinInt32), math.MaxInt32)))
		}},
		{"sub.sat.s32 %r0, %r10, %r11;", func(a, b, _ uint64) uint64 {
			return uint64(uint32(min(max(int64(s(a))-int64(s(b)), math.MinInt32), math.MaxInt32)))
		}},
		{"sub.u32 %r0, %r10, %r11;", func(a, b, _ uint64) uint64 { return uint64(u(a) - u(b)) }},
		{"add.u64 %rd0, %rd10, %rd11;", func(a, b, _ uint64) uint64 { return a + b }},
		{"sub.s64 %rd0, %rd10, %rd11;", func(a, b, _ uint64) uint64 { return a - b }},
		{"add.u16 %h0, %h10, %h11;", func(a, b, _ uint64) uint64 { return uint64(uint16(a) + uint16(b)) }},
		{"sub.s16 %h0, %h10, %h11;", func(a, b, _ uint64) uint64 { return uint64(uint16(a) - uint16(b)) }},
		{"mul.lo.s32 %r0, %r10, %r11;", func(a, b, _ uint64) uint64 { return uint64(u(a) * u(b)) }},
		{"mul.hi.s32 %r0, %r10, %r11;", func(a, b, _ uint64) uint64 { return uint64(uint32(int64(s(a)) * int64(s(b)) >> 32)) }},
		{"mul.hi.u32 %r0, %r10, %r11;", func(a, b, _ uint64) uint64 { return uint64(u(a)) * uint64(u(b)) >> 32 }},
		{"mul.lo.s64 %rd0, %rd10, %rd11;", func(a, b, _ uint64) uint64 { return a * b }},
		{"mul.hi.u64 %rd0, %rd10, %rd11;", func(a, b, _ uint64) uint64 { return hi(a, b) }},
		{"mul.hi.s64 %rd0, %rd10, %rd11;", func(a, b, _ uint64) uint64 {
			p := new(big.Int).Mul(big.NewInt(int64(a)), big.NewInt(int64(b)))
			return uint64(p.Rsh(p, 64).Int64())
		}},
		{"mul.wide.s32 %rd0, %r10, %r11;", func(a, b, _ uint64) uint64 { return uint64(int64(s(a)) * int64(s(b))) }},
		{"mul.wide.u32 %rd0, %r10, %r11;", func(a, b, _ uint64) uint64 { return uint64(u(a)) * uint64(u(b)) }},
		{"mul.wide.s16 %r0, %h10, %h11;", func(a, b, _ uint64) uint64 { return uint64(uint32(int32(int16(a)) * int32(int16(b)))) }},
		{"mul.wide.u16 %r0, %h10, %h11;", func(a, b, _ uint64) uint64 { return uint64(uint32(uint16(a)) * uint32(uint16(b))) }},
		{"mul.lo.s16 %h0, %h10, %h11;", func(a, b, _ uint64) uint64 { return uint64(uint16(a) * uint16(b)) }},
		{"mul.hi.s16 %h0, %h10, %h11;", func(a, b, _ uint64) uint64 { return uint64(uint16(int32(int16(a)) * int32(int16(b)) >> 16)) }},
		{"mul.hi.u16 %h0, %h10, %h11;", func(a, b, _ uint64) uint64 { return uint64(uint16(uint32(uint16(a)) * uint32(uint16(b)) >> 16)) }},
		{"mad.lo.s32 %r0, %r10, %r11, %r12;", func(a, b, c uint64) uint64 { return uint64(u(a)*u(b) + u(c)) }},
		{"mad.hi.u32 %r0, %r10, %r11, %r12;", func(a, b, c uint64) uint64 { return uint64(uint32(uint64(u(a))*uint64(u(b))>>32) + u(c)) }},
		{"mad.hi.sat.s32 %r0, %r10, %r11, %r12;", func(a, b, c uint64) uint64 {
			return uint64(uint32(min(max(int64(s(a))*int64(s(b))>>32+int64(s(c)), math.MinInt32), math.MaxInt32)))
		}},
		{"mad.wide.s32 %rd0, %r10, %r11, %rd12;", func(a, b, c uint64) uint64 { return uint64(int64(s(a))*int64(s(b))) + c }},
		{"mad.wide.u32 %rd0, %r10, %r11, %rd12;", func(a, b, c uint64) uint64 { return uint64(u(a))*uint64(u(b)) + c }},
		{"mad.wide.u16 %r0, %h10, %h11, %r12;", func(a, b, c uint64) uint64 { return uint64(uint32(uint16(a))*uint32(uint16(b)) + u(c)) }},
		{"mad.lo.u64 %rd0, %rd10, %rd11, %rd12;", func(a, b, c uint64) uint64 { return a*b + c }},
		{"mad.hi.u64 %rd0, %rd10, %rd11, %rd12;", func(a, b, c uint64) uint64 { return hi(a, b) + c }},
		{"mad.lo.u16 %h0, %h10, %h11, %h12;", func(a, b, c uint64) uint64 { return uint64(uint16(a)*uint16(b) + uint16(c)) }},
		{"mul24.lo.u32 %r0, %r10, %r11;", func(a, b, _ uint64) uint64 { return uint64(uint32(uint64(u(a)&0xffffff) * uint64(u(b)&0xffffff))) }},
		{"mul24.hi.s32 %r0, %r10, %r11;", func(a, b, _ uint64) uint64 { return uint64(uint32(int64(s(a)<<8>>8) * int64(s(b)<<8>>8) >> 16)) }},
		{"mad24.lo.s32 %r0, %r10, %r11, %r12;", func(a, b, c uint64) uint64 { return uint64(uint32(int64(s(a)<<8>>8)*int64(s(b)<<8>>8)) + u(c)) }},
		{"div.u32 %r0, %r10, %r11;", func(a, b, _ uint64) uint64 {
			if u(b) == 0 {
				return math.MaxUint32
			}
			return uint64(u(a) / u(b))
		}},
		{"div.s32 %r0, %r10, %r11;", func(a, b, _ uint64) uint64 {
			if u(b) == 0 {
				return math.MaxUint32
			}
			return uint64(uint32(int64(s(a)) / int64(s(b))))
		}},
		{"rem.s32 %r0, %r10, %r11;", func(a, b, _ uint64) uint64 {
			if u(b) == 0 {
				return uint64(u(a))
			}
			return uint64(uint32(int64(s(a)) % int64(s(b))))
		}},
		{"div.u64 %rd0, %rd10, %rd11;", func(a, b, _ uint64) uint64 {
			if b == 0 {
				return math.MaxUint64
			}
			return a / b
		}},
		{"rem.u64 %rd0, %rd10, %rd11;", func(a, b, _ uint64) uint64 {
			if b == 0 {
				return a
			}
			return a % b
		}},
		{"div.s64 %rd0, %rd10, %rd11;", func(a, b, _ uint64) uint64 {
			if b == 0 {
				return math.MaxUint64
			}
			q := new(big.Int).Quo(big.NewInt(int64(a)), big.NewInt(int64(b)))
			return q.And(q, new(big.Int).SetUint64(math.MaxUint64)).Uint64()
		}},
		{"abs.s32 %r0, %r10;", func(a, _, _ uint64) uint64 { return uint64(uint32(max(int64(s(a)), -int64(s(a))))) }},
		{"neg.s32 %r0, %r10;", func(a, _, _ uint64) uint64 { return uint64(-u(a)) }},
		{"neg.s64 %rd0, %rd10;", func(a, _, _ uint64) uint64 { return -a }},
		{"abs.s16 %h0, %h10;", func(a, _, _ uint64) uint64 { return uint64(uint16(max(int32(int16(a)), -int32(int16(a))))) }},
		{"min.s32 %r0, %r10, %r11;", func(a, b, _ uint64) uint64 { return uint64(uint32(min(s(a), s(b)))) }},
		{"max.u32 %r0, %r10, %r11;", func(a, b, _ uint64) uint64 { return uint64(max(u(a), u(b))) }},
		{"max.s64 %rd0, %rd10, %rd11;", func(a, b, _ uint64) uint64 { return uint64(max(int64(a), int64(b))) }},
		{"min.u16 %h0, %h10, %h11;", func(a, b, _ uint64) uint64 { return uint64(min(uint16(a), uint16(b))) }},
		{"sad.s32 %r0, %r10, %r11, %r12;", func(a, b, c uint64) uint64 {
			return uint64(u(c) + uint32(max(int64(s(a))-int64(s(b)), int64(s(b))-int64(s(a)))))
		}},
		{"dp4a.s32.u32 %r0, %r10, %r11, %r12;", func(a, b, c uint64) uint64 {
			v := s(c)
			for i := range 4 {
				v += int32(int8(a>>(8*i))) * int32(uint8(b>>(8*i)))
			}
			return uint64(uint32(v))
		}},
		{"dp2a.hi.s32.s32 %r0, %r10, %r11, %r12;", func(a, b, c uint64) uint64 {
			v := s(c)
			for i := range 2 {
				v += int32(int16(a>>(16*i))) * int32(int8(b>>(16+8*i)))
			}
			return uint64(uint32(v))
		}},
		{"and.b32 %r0, %r10, %r11;", func(a, b, _ uint64) uint64 { return uint64(u(a) & u(b)) }},
		{"or.b64 %rd0, %rd10, %rd11;", func(a, b, _ uint64) uint64 { return a | b }},
		{"xor.b16 %h0, %h10, %h11;", func(a, b, _ uint64) uint64 { return uint64(uint16(a ^ b)) }},
		{"xor.b32 %r0, %r10, 0xFF;", func(a, _, _ uint64) uint64 { return uint64(u(a) ^ 0xff) }},
		{"not.b32 %r0, %r10;", func(a, _, _ uint64) uint64 { return uint64(^u(a)) }},
		{"not.b16 %h0, %h10;", func(a, _, _ uint64) uint64 { return uint64(^uint16(a)) }},
		{"cnot.b32 %r0, %r10;", func(a, _, _ uint64) uint64 { return flag(u(a) == 0) }},
		{"and.pred %p0, %p10, !%p11;", func(a, b, _ uint64) uint64 { return flag(u(a) != 0 && s(b) >= 0) }},
		{"or.pred %p0, %p10, %p11;", func(a, b, _ uint64) uint64 { return flag(u(a) != 0 || s(b) < 0) }},
		{"xor.pred %p0, %p10, %p11;", func(a, b, _ uint64) uint64 { return flag((u(a) != 0) != (s(b) < 0)) }},
		{"not.pred %p0, %p10;", func(a, _, _ uint64) uint64 { return flag(u(a) == 0) }},
		{"lop3.b32 %r0, %r10, %r11, %r12, 0xca;", func(a, b, c uint64) uint64 { return uint64(u(a)&u(b) | ^u(a)&u(c)) }},
		{"lop3.b32 %r0, %r10, %r11, %r12, 0xe8;", func(a, b, c uint64) uint64 { return uint64(u(a)&u(b) | u(a)&u(c) | u(b)&u(c)) }},
		{"shl.b32 %r0, %r10, %r11;", func(a, b, _ uint64) uint64 { return uint64(u(a) << min(u(b), 63)) }},
		{"shr.u32 %r0, %r10, %r11;", func(a, b, _ uint64) uint64 { return uint64(u(a) >> min(u(b), 63)) }},
		{"shr.s32 %r0, %r10, %r11;", func(a, b, _ uint64) uint64 { return uint64(uint32(s(a) >> min(u(b), 63))) }},
		{"shl.b64 %rd0, %rd10, %r11;", func(a, b, _ uint64) uint64 { return a << min(u(b), 99) }},
		{"shr.s64 %rd0, %rd10, %r11;", func(a, b, _ uint64) uint64 { return uint64(int64(a) >> min(u(b), 99)) }},
		{"shr.b16 %h0, %h10, %r11;", func(a, b, _ uint64) uint64 { return uint64(uint16(a) >> min(u(b), 99)) }},
		{"shr.s16 %h0, %h10, %r11;", func(a, b, _ uint64) uint64 { return uint64(uint16(int16(a) >> min(u(b), 99))) }},
		{"shl.b16 %h0, %h10, %r11;", func(a, b, _ uint64) uint64 { return uint64(uint16(a) << min(u(b), 99)) }},
		{"shf.l.wrap.b32 %r0, %r10, %r11, %r12;", func(a, b, c uint64) uint64 {
			return uint64(u(b)<<(u(c)&31) | uint32(uint64(u(a))>>(32-u(c)&31)))
		}},
		{"shf.r.clamp.b32 %r0, %r10, %r11, %r12;", func(a, b, c uint64) uint64 {
			n := min(u(c), 32)
			return uint64(u(a)>>n | uint32(uint64(u(b))<<(32-n)))
		}},
		{"popc.b32 %r0, %r10;", func(a, _, _ uint64) uint64 { return uint64(bits.OnesCount32(u(a))) }},
		{"popc.b64 %r0, %rd10;", func(a, _, _ uint64) uint64 { return uint64(bits.OnesCount64(a)) }},
		{"clz.b32 %r0, %r10;", func(a, _, _ uint64) uint64 { return uint64(bits.LeadingZeros32(u(a))) }},
		{"clz.b64 %r0, %rd10;", func(a, _, _ uint64) uint64 { return uint64(bits.LeadingZeros64(a)) }},
		{"brev.b32 %r0, %r10;", func(a, _, _ uint64) uint64 { return uint64(bits.Reverse32(u(a))) }},
		{"brev.b64 %rd0, %rd10;", func(a, _, _ uint64) uint64 { return bits.Reverse64(a) }},
		{"bfind.u32 %r0, %r10;", func(a, _, _ uint64) uint64 { return uint64(uint32(bits.Len32(u(a)) - 1)) }},
		{"bfind.shiftamt.u32 %r0, %r10;", func(a, _, _ uint64) uint64 {
			if u(a) == 0 {
				return math.MaxUint32
			}
			return uint64(bits.LeadingZeros32(u(a)))
		}},
		{"bfind.s32 %r0, %r10;", func(a, _, _ uint64) uint64 {
			x := s(a)
			return uint64(uint32(bits.Len32(uint32(x^x>>31)) - 1))
		}},
		{"bfe.u32 %r0, %r10, 5, 9;", func(a, _, _ uint64) uint64 { return uint64(u(a) >> 5 & 511) }},
		{"bfe.s32 %r0, %r10, 28, 9;", func(a, _, _ uint64) uint64 { return uint64(uint32(s(a) >> 28)) }},
		{"bfe.s64 %rd0, %rd10, 7, 30;", func(a, _, _ uint64) uint64 { return uint64(int64(a<<27) >> 34) }},
		{"bfe.u32 %r0, %r10, %r11, %r12;", func(a, b, c uint64) uint64 {
			var v uint64
			pos, n := b&255, c&255
			for i := uint64(0); i < n && pos+i < 32; i++ {
				v |= a >> (pos + i) & 1 << i
			}
			return uint64(uint32(v))
		}},
		{"bfe.s32 %r0, %r10, %r11, %r12;", func(a, b, c uint64) uint64 {
			var v uint32
			pos, n := b&255, c&255
			if n == 0 {
				return 0
			}
			for i := uint64(0); i < 32; i++ {
				at := min(pos+min(i, n-1), 31)
				v |= u(a) >> at & 1 << i
			}
			return uint64(v)
		}},
		{"bfi.b32 %r0, %r10, %r11, %r12, 11;", func(a, b, c uint64) uint64 {
			v := u(b)
			for i := uint64(0); i < 11; i++ {
				if at := c&255 + i; at < 32 {
					v = v&^(1<<at) | u(a)>>i&1<<at
				}
			}
			return uint64(v)
		}},
		{"bfi.b64 %rd0, %rd10, %rd11, 32, 32;", func(a, b, _ uint64) uint64 { return b&0xffffffff | a<<32 }},
		{"prmt.b32 %r0, %r10, %r11, 0x7531;", func(a, b, _ uint64) uint64 {
			return uint64(u(a)>>8&255 | u(a)>>24<<8 | u(b)>>8&255<<16 | u(b)>>24<<24)
		}},
		{"prmt.b32 %r0, %r10, %r11, 0x9BA0;", func(a, _, _ uint64) uint64 {
			sg := func(n int) uint32 { return uint32(int32(a<<(24-8*n))>>31) & 255 }
			return uint64(u(a)&255 | sg(2)<<8 | sg(3)<<16 | sg(1)<<24)
		}},
		{"selp.b32 %r0, %r10, %r11, %p11;", func(a, b, _ uint64) uint64 {
			if s(b) < 0 {
				return uint64(u(a))
			}
			return uint64(u(b))
		}},
		{"selp.b64 %rd0, %rd10, %rd11, !%p11;", func(a, b, _ uint64) uint64 {
			if s(b) >= 0 {
				return a
			}
			return b
		}},
		{"slct.u32.s32 %r0, %r10, %r11, %r12;", func(a, b, c uint64) uint64 {
			if s(c) >= 0 {
				return uint64(u(a))
			}
			return uint64(u(b))
		}},
		{"slct.b32.f32 %r0, %r10, %r11, %f12;", func(a, b, c uint64) uint64 {
			if f(c) >= 0 {
				return uint64(u(a))
			}
			return uint64(u(b))
		}},
		{"set.lt.u32.s32 %r0, %r10, %r11;", func(a, b, _ uint64) uint64 { return flag(s(a) < s(b)) * math.MaxUint32 }},
		{"set.ge.f32.u32 %f0, %r10, %r11;", func(a, b, _ uint64) uint64 { return flag(u(a) >= u(b)) * 0x3f800000 }},
		{"setp.lt.s32 %p0, %r10, %r11;", func(a, b, _ uint64) uint64 { return flag(s(a) < s(b)) }},
		{"setp.ge.u32 %p0, %r10, %r11;", func(a, b, _ uint64) uint64 { return flag(u(a) >= u(b)) }},
		{"setp.hi.u32 %p0, %r10, %r11;", func(a, b, _ uint64) uint64 { return flag(u(a) > u(b)) }},
		{"setp.ls.u32 %p0, %r10, %r11;", func(a, b, _ uint64) uint64 { return flag(u(a) <= u(b)) }},
		{"setp.le.s64 %p0, %rd10, %rd11;", func(a, b, _ uint64) uint64 { return flag(int64(a) <= int64(b)) }},
		{"setp.gt.u64 %p0, %rd10, %rd11;", func(a, b, _ uint64) uint64 { return flag(a > b) }},
		{"setp.lt.s16 %p0, %h10, %h11;", func(a, b, _ uint64) uint64 { return flag(int16(a) < int16(b)) }},
		{"setp.eq.b16 %p0, %h10, %h11;", func(a, b, _ uint64) uint64 { return flag(uint16(a) == uint16(b)) }},
		{"setp.ne.b64 %p0, %rd10, %rd11;", func(a, b, _ uint64) uint64 { return flag(a != b) }},
		{"setp.lt.and.s32 %p0|%p1, %r10, %r11, %p10;", func(a, b, _ uint64) uint64 { return flag(s(a) < s(b) && u(a) != 0) }},
		{"setp.lt.or.s32 %p1|%p0, %r10, %r11, !%p10;", func(a, b, _ uint64) uint64 { return flag(s(a) >= s(b) || u(a) == 0) }},
		{"setp.eq.xor.u32 %p0, %r10, %r11, %p10;", func(a, b, _ uint64) uint64 { return flag((u(a) == u(b)) != (u(a) != 0)) }},
		{"bmsk.clamp.b32 %r0, %r10, %r11;", func(a, b, _ uint64) uint64 {
			return uint64(uint32((uint64(1)<<min(u(b), 32) - 1) << min(u(a), 32)))
		}},
		{"bmsk.wrap.b32 %r0, %r10, %r11;", func(a, b, _ uint64) uint64 { return uint64((uint32(1)<<(b&31) - 1) << (a & 31)) }},
		{"szext.wrap.s32 %r0, %r10, %r11;", func(a, b, _ uint64) uint64 {
			if n := b & 31; n > 0 {
				return uint64(uint32(s(a<<(32-n)) >> (32 - n)))
			}
			return 0
		}},
		{"szext.clamp.u32 %r0, %r10, %r11;", func(a, b, _ uint64) uint64 { return uint64(uint32(a & (uint64(1)<<min(u(b), 32) - 1))) }},
		{"and.b32 %r20, %r12, 7; sub.s32 %r20, %r20, 3; fns.b32 %r0, %r10, %r11, %r20;", func(a, b, c uint64) uint64 {
			n, at := int(c&7)-3, int(b&31)
			if n == 0 {
				if a>>at&1 == 1 {
					return uint64(at)
				}
				return math.MaxUint32
			}
			var set []int // set bits from the base in the direction of n
			for i := at; i >= 0 && i < 32; i += max(min(n, 1), -1) {
				if a>>i&1 == 1 {
					set = append(set, i)
				}
			}
			if n = max(n, -n); n > len(set) {
				return math.MaxUint32
			}
			return uint64(set[n-1])
		}},
		{"prmt.b32.f4e %r0, %r10, %r11, %r12;", func(a, b, c uint64) uint64 { return uint64(uint32((b<<32 | a&0xffffffff) >> (c & 3 * 8))) }},
		{"prmt.b32.b4e %r0, %r10, %r11, %r12;", func(a, b, c uint64) uint64 {
			var v uint64
			for i := range uint64(4) {
				v |= (b<<32 | a&0xffffffff) >> ((c&3 - i) & 7 * 8) & 255 << (8 * i)
			}
			return v
		}},
		{"prmt.b32.rc8 %r0, %r10, %r11, %r12;", func(a, _, c uint64) uint64 { return a >> (c & 3 * 8) & 255 * 0x01010101 }},
		{"prmt.b32.rc16 %r0, %r10, %r11, %r12;", func(a, _, c uint64) uint64 { return a >> (c & 1 * 16) & 0xffff * 0x10001 }},
		{"prmt.b32.ecl %r0, %r10, %r11, %r12;", func(a, _, c uint64) uint64 {
			var v uint64
			for i := range uint64(4) {
				v |= a >> (max(c&3, i) * 8) & 255 << (8 * i)
			}
			return v
		}},
		{"prmt.b32.ecr %r0, %r10, %r11, %r12;", func(a, _, c uint64) uint64 {
			var v uint64
			for i := range uint64(4) {
				v |= a >> (min(c&3, i) * 8) & 255 << (8 * i)
			}
			return v
		}},
		{"mov.u32 %r20, %clock; mov.u64 %rd20, %clock64; nanosleep.u32 10; mov.u32 %r21, %clock; setp.gt.u32 %p0, %r21, %r20;", func(_, _, _ uint64) uint64 { return 1 }},
		{"min.s16x2 %r0, %r10, %r11;", func(a, b, _ uint64) uint64 {
			return uint64(uint16(min(int16(a), int16(b)))) | uint64(uint16(min(int16(a>>16), int16(b>>16))))<<16
		}},
		{"max.relu.s32 %r0, %r10, %r11;", func(a, b, _ uint64) uint64 { return uint64(max(s(a), s(b), 0)) }},
		{"add.u16x2 %r0, %r10, %r11;", func(a, b, _ uint64) uint64 {
			return uint64(uint16(a+b)) | uint64(uint16(a>>16+b>>16))<<16
		}},
		{"cnot.b64 %rd0, %rd10;", func(a, _, _ uint64) uint64 { return flag(a == 0) }},
		{"add.cc.u32 %r20, %r10, %r11; addc.u32 %r0, %r12, 0;", func(a, b, c uint64) uint64 {
			return uint64(u(c) + uint32((uint64(u(a))+uint64(u(b)))>>32))
		}},
		{"sub.cc.u32 %r20, %r10, %r11; subc.u32 %r0, %r12, 1;", func(a, b, c uint64) uint64 {
			return uint64(u(c) - 1 - uint32(flag(u(a) < u(b))))
		}},
		{"add.cc.u64 %rd20, %rd10, %rd11; addc.u64 %rd0, %rd12, %rd12;", func(a, b, c uint64) uint64 {
			return c + c + flag(a+b < a)
		}},
		{"mad.lo.cc.u32 %r20, %r10, %r11, %r12; madc.hi.u32 %r0, %r10, %r11, 7;", func(a, b, c uint64) uint64 {
			return uint64(uint32((uint64(u(a))*uint64(u(b))+uint64(u(c)))>>32) + 7)
		}},
		{"mov.b64 %rd0, {%r10, %r11};", func(a, b, _ uint64) uint64 { return uint64(u(a)) | b<<32 }},
		{"mov.b32 %r0, {%h11, %h10};", func(a, b, _ uint64) uint64 { return uint64(uint16(b)) | uint64(uint16(a))<<16 }},
		{"mov.b64 {_, %r0}, %rd10;", func(a, _, _ uint64) uint64 { return a >> 32 }},
		{"mov.u32 %r0, %laneid; mov.u32 %r20, %tid.x; and.b32 %r20, %r20, 31; sub.u32 %r0, %r0, %r20;", func(_, _, _ uint64) uint64 { return 0 }},
		{"cvt.u16.u32 %h0, %r10;", func(a, _, _ uint64) uint64 { return uint64(uint16(a)) }},
		{"cvt.s32.s16 %r0, %h10;", func(a, _, _ uint64) uint64 { return uint64(uint32(int16(a))) }},
		{"cvt.u32.u8 %r0, %r10;", func(a, _, _ uint64) uint64 { return a & 255 }},
		{"cvt.s32.s8 %r0, %r10;", func(a, _, _ uint64) uint64 { return uint64(uint32(int8(a))) }},
		{"cvt.s8.s32 %r0, %r10;", func(a, _, _ uint64) uint64 { return uint64(uint32(int8(a))) }},
		{"cvt.u64.u32 %rd0, %r10;", func(a, _, _ uint64) uint64 { return uint64(u(a)) }},
		{"cvt.s64.s32 %rd0, %r10;", func(a, _, _ uint64) uint64 { return uint64(int64(s(a))) }},
		{"cvt.u32.u64 %r0, %rd10;", func(a, _, _ uint64) uint64 { return uint64(u(a)) }},
		{"cvt.sat.s16.s32 %r0, %r10;", func(a, _, _ uint64) uint64 { return uint64(uint32(min(max(s(a), -32768), 32767))) }},
		{"cvt.sat.u8.s32 %r0, %r10;", func(a, _, _ uint64) uint64 { return uint64(min(max(s(a), 0), 255)) }},
		{"cvt.sat.s32.u64 %r0, %rd10;", func(a, _, _ uint64) uint64 { return min(a, math.MaxInt32) }},
		{"cvt.sat.u32.s64 %r0, %rd10;", func(a, _, _ uint64) uint64 { return uint64(min(max(int64(a), 0), math.MaxUint32)) }},
	}
	for _, row := range rows {
		runInstr(t, row)
	}
}
