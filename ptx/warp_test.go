package ptx_test

// Warps: shuffles, votes, divergence, barriers with a result, tensor cores.

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"testing"

	"github.com/godwit-ml/godwit/ptx"
)

// lanesOf runs text with one warp in every mode; %r20 of each lane comes back.
func lanesOf(t *testing.T, threads int, text string) []uint32 {
	t.Helper()
	var first []uint32
	for _, cfg := range ptx.Modes() {
		b, err := run(t, text+" st.global.u32 [%rd2], %r20;", threads, cfg)
		if err != nil {
			t.Fatalf("%s\n%v", text, err)
		}
		v := make([]uint32, threads)
		for i := range v {
			v[i] = binary.LittleEndian.Uint32(b[4*i:])
		}
		if first == nil {
			first = v
		}
		for i := range v {
			if v[i] != first[i] {
				t.Fatalf("%s\n%v eager %v: thread %d has %d, before %d", text, cfg.Order, cfg.Eager, i, v[i], first[i])
			}
		}
	}
	return first
}

func expect(t *testing.T, name string, got []uint32, want func(i int) uint32) {
	t.Helper()
	for i, v := range got {
		if w := want(i); v != w {
			t.Errorf("%s: thread %d has %#x, want %#x", name, i, v, w)
			return
		}
	}
}

func TestShuffle(t *testing.T) {
	for _, width := range []int{32, 16, 8, 4, 2, 1} {
		for _, n := range []int{0, 1, 2, 3, 5, 8, 13, 16, 31} {
			for _, mode := range []string{"up", "down", "bfly", "idx"} {
				clamp := 31
				if mode == "up" {
					clamp = 0
				}
				c := (32-width)<<8 | clamp
				text := fmt.Sprintf("mad.lo.u32 %%r10, %%r1, 7, 3; shfl.sync.%s.b32 %%r20|%%p1, %%r10, %d, %d, -1; @%%p1 add.u32 %%r20, %%r20, 1000;", mode, n, c)
				expect(t, text, lanesOf(t, 32, text), func(i int) uint32 {
					base := i / width * width
					from, ok := i, false
					switch mode { // __shfl_up_sync and so on, as the CUDA guide says
					case "up":
						from, ok = i-n, i-n >= base
					case "down":
						from, ok = i+n, i+n < base+width
					case "bfly":
						from = i ^ n
						ok = from < base+width
					case "idx":
						from, ok = base+n%width, true
					}
					if !ok {
						return uint32(i*7 + 3)
					}
					return uint32(from*7 + 3 + 1000)
				})
			}
		}
	}
}

func TestVotes(t *testing.T) {
	const p = "and.b32 %r10, %r1, 3; setp.eq.u32 %p1, %r10, 1; setp.lt.u32 %p2, %r1, 16; "
	for _, c := range []struct {
		text string
		want func(i int) uint32
	}{
		{"vote.sync.ballot.b32 %r20, %p1, -1;", func(int) uint32 { return 0x22222222 }},
		{"vote.sync.ballot.b32 %r20, !%p1, -1;", func(int) uint32 { return 0xdddddddd }},
		{"vote.sync.any.pred %p3, %p1, -1; selp.u32 %r20, 1, 0, %p3;", func(int) uint32 { return 1 }},
		{"vote.sync.all.pred %p3, %p1, -1; selp.u32 %r20, 1, 0, %p3;", func(int) uint32 { return 0 }},
		{"vote.sync.uni.pred %p3, %p1, -1; selp.u32 %r20, 1, 0, %p3;", func(int) uint32 { return 0 }},
		{"@%p2 bra L; vote.sync.all.pred %p3, %p2, 0xffff0000; bra M; L: vote.sync.all.pred %p3, %p2, 0xffff; M: selp.u32 %r20, 1, 0, %p3;", func(i int) uint32 { return uint32(flag(i < 16)) }},
		{"mov.u32 %r20, 0; @%p1 activemask.b32 %r20;", func(i int) uint32 { return uint32(flag(i%4 == 1)) * 0x22222222 }},
		{"match.any.sync.b32 %r20, %r10, -1;", func(i int) uint32 { return 0x11111111 << (i % 4) }},
		{"match.all.sync.b32 %r20|%p3, %r10, -1; selp.u32 %r20, 1, %r20, %p3;", func(int) uint32 { return 0 }},
		{"mov.u32 %r11, 5; match.all.sync.b32 %r20|%p3, %r11, -1; @!%p3 mov.u32 %r20, 1;", func(int) uint32 { return 0xffffffff }},
		{"redux.sync.add.u32 %r20, %r1, -1;", func(int) uint32 { return 496 }},
		{"sub.s32 %r11, %r1, 10; redux.sync.min.s32 %r20, %r11, -1;", func(int) uint32 { return math.MaxUint32 - 9 }},
		{"redux.sync.max.u32 %r20, %r1, -1;", func(int) uint32 { return 31 }},
		{"redux.sync.xor.b32 %r20, %r1, -1;", func(int) uint32 { return 0 }},
		{"mov.u32 %r20, %lanemask_lt; popc.b32 %r20, %r20;", func(i int) uint32 { return uint32(i) }},
		{"mov.u32 %r20, %lanemask_ge;", func(i int) uint32 { return math.MaxUint32 << i }},
		{"mov.u32 %r20, %lanemask_le;", func(i int) uint32 { return uint32(uint64(2)<<i - 1) }},
		{"mov.u32 %r20, %lanemask_gt;", func(i int) uint32 { return ^uint32(uint64(2)<<i - 1) }},
		{"elect.sync %r20|%p3, -1; @%p3 mov.u32 %r20, 77;", func(i int) uint32 { return uint32(flag(i == 0)) * 77 }},
	} {
		expect(t, c.text, lanesOf(t, 32, p+c.text), c.want)
	}
}

func TestDivergence(t *testing.T) {
	for _, c := range []struct {
		name, text string
		threads    int
		want       func(i int) uint32
	}{
		{"collatz", `mov.u32 %r20, 0; add.u32 %r10, %r1, 1;
			L: setp.eq.u32 %p1, %r10, 1; @%p1 bra E;
			and.b32 %r11, %r10, 1; setp.eq.u32 %p2, %r11, 1; @%p2 bra O;
			shr.u32 %r10, %r10, 1; bra N;
			O: mad.lo.u32 %r10, %r10, 3, 1;
			N: add.u32 %r20, %r20, 1; bra L;
			E:`, 200, func(i int) uint32 {
			n := uint32(0)
			for x := i + 1; x != 1; n++ {
				if x%2 == 1 {
					x = 3*x + 1
				} else {
					x /= 2
				}
			}
			return n
		}},
		{"early exit", `mov.u32 %r20, 9; st.global.u32 [%rd2], %r20; and.b32 %r10, %r1, 1; setp.eq.u32 %p1, %r10, 1; @%p1 ret; mov.u32 %r20, 8;`, 64, func(i int) uint32 { return 8 + uint32(i&1) }},
		{"guarded exit in a branch", `mov.u32 %r20, 1; st.global.u32 [%rd2], %r20; setp.gt.u32 %p1, %r1, 20; @%p1 bra X; setp.gt.u32 %p2, %r1, 10; @%p2 exit; mov.u32 %r20, 2; X:`, 32, func(i int) uint32 {
			return 1 + uint32(flag(i <= 10))
		}},
		{"converged shuffle after divergence", `setp.lt.u32 %p1, %r1, 7; mov.u32 %r10, 5; @%p1 bra A; mov.u32 %r10, 6; A: shfl.sync.bfly.b32 %r20, %r10, 31, 31, -1;`, 32, func(i int) uint32 { return 5 + uint32(flag(31-i >= 7)) }},
		{"loop with a shuffle that some leave", `mov.u32 %r20, 0; mov.u32 %r12, 0;
			L: setp.ge.u32 %p1, %r12, %r1; vote.sync.ballot.b32 %r11, %p1, -1; popc.b32 %r11, %r11; add.u32 %r20, %r20, %r11; add.u32 %r12, %r12, 1; setp.lt.u32 %p2, %r12, 32; @%p2 bra L;`, 32, func(int) uint32 { return 32 * 33 / 2 }},
		{"register that a guard keeps around a loop", `mov.u32 %r16, 100; mov.u32 %r10, 0;
			L: setp.eq.u32 %p1, %r10, %r1; @%p1 mov.u32 %r16, %r10;
			add.u32 %r11, %r16, 0; add.u32 %r12, %r10, 5; add.u32 %r13, %r12, 6; add.u32 %r14, %r13, 7; st.volatile.shared.u32 [%r5], %r14;
			add.u32 %r10, %r10, 1; setp.lt.u32 %p2, %r10, 8; @%p2 bra L; mov.u32 %r20, %r11;`, 32, func(i int) uint32 {
			if i < 8 {
				return uint32(i)
			}
			return 100
		}},
		{"lanes that take a lock one after another", `setp.eq.u32 %p1, %r1, 0; @%p1 st.volatile.shared.u32 [%r4], 0; @%p1 st.volatile.shared.u32 [%r4+4], 0; bar.sync 0;
			L: atom.shared.cas.b32 %r10, [%r4], 0, 1; setp.ne.u32 %p2, %r10, 0; @%p2 bra L;
			ld.volatile.shared.u32 %r20, [%r4+4]; add.u32 %r11, %r20, 1; st.volatile.shared.u32 [%r4+4], %r11; atom.shared.exch.b32 %r10, [%r4], 0;
			bar.sync 0; ld.volatile.shared.u32 %r20, [%r4+4];`, 40, func(int) uint32 { return 40 }},
		{"table", `.reg .b32 %q; and.b32 %q, %r1, 3; T: .branchtargets A, B, C, A;
			brx.idx %q, T; A: mov.u32 %r20, 10; bra E; B: mov.u32 %r20, 20; bra E; C: mov.u32 %r20, 30; E:`, 32, func(i int) uint32 { return []uint32{10, 20, 30, 10}[i%4] }},
		{"barrier counts", `and.b32 %r10, %r1, 1; setp.eq.u32 %p1, %r10, 1; bar.red.popc.u32 %r20, 0, %p1;`, 96, func(int) uint32 { return 48 }},
		{"barrier and", `setp.lt.u32 %p1, %r1, 95; bar.red.and.pred %p2, 0, %p1; bar.red.or.pred %p3, 0, !%p1; selp.u32 %r20, 1, 0, %p2; selp.u32 %r10, 2, 0, %p3; or.b32 %r20, %r20, %r10;`, 96, func(int) uint32 { return 2 }},
		{"producer and consumer", `setp.lt.u32 %p1, %r1, 32; @%p1 bra P; bar.sync 1, 64; xor.b32 %r10, %r2, 128; add.s32 %r10, %r10, %r4; ld.shared.u32 %r20, [%r10]; bra E; P: st.shared.u32 [%r5], %r1; bar.arrive 1, 64; mov.u32 %r20, 5; E:`, 64, func(i int) uint32 {
			if i < 32 {
				return 5
			}
			return uint32(i - 32)
		}},
		{"spin until another warp writes", `mov.u32 %r20, 0; setp.eq.u32 %p1, %r1, 0; @%p1 st.shared.u32 [%r4], 0; bar.sync 0; setp.ge.u32 %p2, %r1, 32; @%p2 bra W;
			L: ld.volatile.shared.u32 %r20, [%r4]; setp.eq.u32 %p1, %r20, 0; @%p1 bra L; bra E;
			W: mov.u32 %r20, 42; setp.eq.u32 %p1, %r1, 40; @%p1 st.volatile.shared.u32 [%r4], 42; E:`, 64, func(int) uint32 { return 42 }},
	} {
		t.Run(c.name, func(t *testing.T) { expect(t, c.name, lanesOf(t, c.threads, c.text), c.want) })
	}
}

func TestMemoryWidths(t *testing.T) {
	for _, c := range []struct {
		text string
		want func(i int) uint32
	}{
		{"st.shared.u32 [%r5], 0x8081fffe; ld.shared.s8 %r20, [%r5+2];", func(int) uint32 { return 0xffffff81 }},
		{"st.shared.u32 [%r5], 0x8081fffe; ld.shared.u8 %r20, [%r5+3];", func(int) uint32 { return 0x80 }},
		{"st.shared.u32 [%r5], 0x8081fffe; ld.shared.s16 %r20, [%r5];", func(int) uint32 { return 0xfffffffe }},
		{"st.shared.u32 [%r5], 0x8081fffe; ld.shared.u16 %h1, [%r5+2]; cvt.u32.u16 %r20, %h1;", func(int) uint32 { return 0x8081 }},
		{"st.shared.u32 [%r5], 0x8081fffe; ld.shared.s8 %h1, [%r5+2]; cvt.u32.u16 %r20, %h1;", func(int) uint32 { return 0xff81 }},
		{"st.shared.u32 [%r5], 0; mov.u32 %r10, 0x1234; st.shared.u8 [%r5+1], %r10; ld.shared.u32 %r20, [%r5];", func(int) uint32 { return 0x3400 }},
		{"mov.b64 %rd5, 0x1122334455667788; add.u32 %r10, %r5, %r2; st.shared.v2.b64 [buf+16], {%rd5, %rd5}; ld.shared.v2.u32 {%r20, %r11}, [buf+24]; add.u32 %r20, %r20, %r11;", func(int) uint32 { return 0x55667788 + 0x11223344 }},
		{"cvt.u64.u32 %rd5, %r5; cvta.shared.u64 %rd5, %rd5; st.u32 [%rd5], %r1; ld.u32 %r20, [%rd5]; isspacep.shared %p1, %rd5; @!%p1 mov.u32 %r20, 0; isspacep.global %p1, %rd5; @%p1 mov.u32 %r20, 0;", func(i int) uint32 { return uint32(i) }},
		{"mov.u64 %rd5, buf; cvta.shared.u64 %rd5, %rd5; cvta.to.shared.u64 %rd5, %rd5; add.u64 %rd5, %rd5, %rd3; st.shared.u32 [%rd5], %r1; ld.shared.u32 %r20, [%r5];", func(i int) uint32 { return uint32(i) }},
		{".local .align 8 .b8 depot[64]; mov.u64 %rd5, depot; add.u64 %rd6, %rd5, 8; st.local.u32 [%rd6], %r1; cvta.local.u64 %rd7, %rd6; ld.u32 %r20, [%rd7];", func(i int) uint32 { return uint32(i) }},
		{"mov.b64 %rd5, p; ld.param.u32 %r20, [%rd5+4]; ld.param.v2.u32 {%r10, %r11}, [p]; sub.u32 %r20, %r20, %r11;", func(int) uint32 { return 0 }},
		{"st.global.u32 [%rd2], 7; ld.global.nc.L1::no_allocate.L2::128B.v4.u32 {%r20, _, %r11, %r12}, [%rd1];", func(int) uint32 { return 7 }},
		{"st.global.u32 [%rd2], 7; fence.acq_rel.gpu; ld.relaxed.gpu.global.u32 %r20, [%rd2]; membar.gl; prefetch.global.L2 [%rd2];", func(int) uint32 { return 7 }},
		{"st.shared.u32 [%r5], -1; st.global.u32 [%rd2], 0x11112222; mov.u32 %r10, 2; cp.async.ca.shared.global [%r5], [%rd2], 4, %r10; cp.async.wait_all; ld.shared.u32 %r20, [%r5];", func(int) uint32 { return 0x2222 }},
		{"st.shared.u32 [%r5], -1; mov.u32 %r10, 0; cp.async.ca.shared.global [%r5], [%rd2+4096], 4, %r10; cp.async.wait_all; ld.shared.u32 %r20, [%r5];", func(int) uint32 { return 0 }},
		{"st.shared.u32 [%r5], %r1; atom.shared.cas.b32 %r20, [%r5], %r1, 99; ld.shared.u32 %r10, [%r5]; add.u32 %r20, %r20, %r10;", func(i int) uint32 { return uint32(i) + 99 }},
		{"st.global.u32 [%rd2], 5; red.global.max.u32 [%rd2], %r1; atom.global.inc.u32 %r10, [%rd2], 6; ld.global.u32 %r20, [%rd2];", func(i int) uint32 {
			if v := max(5, i); v < 6 {
				return uint32(v + 1)
			}
			return 0
		}},
		{"st.global.u32 [%rd2], 6; atom.global.inc.u32 %r10, [%rd2], 6; ld.global.u32 %r20, [%rd2]; mad.lo.u32 %r20, %r20, 100, %r10;", func(int) uint32 { return 6 }},
		{"st.global.u32 [%rd2], 0; atom.global.dec.u32 %r10, [%rd2], 6; ld.global.u32 %r20, [%rd2]; atom.global.dec.u32 %r10, [%rd2], 6; mad.lo.u32 %r20, %r20, 100, %r10;", func(int) uint32 { return 606 }},
		{"st.global.u32 [%rd2], 9; atom.global.dec.u32 %r10, [%rd2], 6; ld.global.u32 %r20, [%rd2];", func(int) uint32 { return 6 }},
		{"st.global.u32 [%rd2], 12; atom.global.xor.b32 %r10, [%rd2], 10; atom.global.exch.b32 %r20, [%rd2], 1; atom.global.and.b32 %r10, [%rd2], 3; add.u32 %r20, %r20, %r10;", func(int) uint32 { return 7 }},
		{"st.global.u32 [%rd2], -3; atom.global.min.s32 %r10, [%rd2], 2; atom.global.max.s32 %r11, [%rd2], 5; ld.global.u32 %r20, [%rd2]; sub.u32 %r20, %r20, %r11;", func(int) uint32 { return 8 }},
		{"st.global.f32 [%rd2], 0f3F800000; atom.global.add.f32 %f1, [%rd2], 0f40000000; add.f32 %f1, %f1, 0f40000000; ld.global.f32 %f2, [%rd2]; sub.f32 %f1, %f1, %f2; mov.b32 %r20, %f1;", func(int) uint32 { return 0 }},
		{"st.global.u32 [%rd2], 0; mov.b32 %r10, 0x3c003c00; atom.global.add.noftz.f16x2 %r11, [%rd2], %r10; atom.global.add.noftz.f16x2 %r11, [%rd2], %r10; ld.global.u32 %r20, [%rd2];", func(int) uint32 { return 0x40004000 }},
		{"st.global.u32 [%rd2], 0x11112222; mov.b16 %h1, 0x1111; mov.b16 %h2, 0x3333; atom.global.cas.b16 %h3, [%rd2+2], %h1, %h2; ld.global.u32 %r20, [%rd2];", func(int) uint32 { return 0x33332222 }},
	} {
		expect(t, c.text, lanesOf(t, 1, c.text), c.want)
	}
	expect(t, "counter", lanesOf(t, 128, "setp.eq.u32 %p1, %r1, 0; @%p1 st.shared.u32 [%r4], 0; bar.sync 0; atom.shared.add.u32 %r10, [%r4], %r1; bar.sync 0; ld.shared.u32 %r20, [%r4];"), func(int) uint32 { return 128 * 127 / 2 })
}

// CTAs on several goroutines share global atomics.
func TestAtomicsBetweenCTAs(t *testing.T) {
	m, err := ptx.Parse("atom.ptx", []byte(body("atom.global.add.u32 %r10, [%rd1], %r1; atom.global.add.f32 %f1, [%rd1+4], 0f3F800000; red.global.or.b32 [%rd1+8], %r1; mov.b64 %rd5, 1; atom.global.add.u64 %rd6, [%rd1+16], %rd5;")))
	if err != nil {
		t.Fatal(err)
	}
	d := device{t, ptx.NewMemory(0)}
	p := d.alloc(64)
	clear(d.bytes(p, 64))
	if _, err := ptx.Run(context.Background(), m.Kernels[0], d.mem, ptx.Launch{Grid: [3]int{50, 1, 1}, Block: [3]int{64, 1, 1}, Params: args(p)}, ptx.Config{Workers: 8}); err != nil {
		t.Fatal(err)
	}
	b := d.bytes(p, 64)
	if got := binary.LittleEndian.Uint32(b); got != 50*64*63/2 {
		t.Errorf("sum %d", got)
	}
	if got := d.read(p+4, 1)[0]; got != 3200 {
		t.Errorf("float sum %g", got)
	}
	if got := binary.LittleEndian.Uint32(b[8:]); got != 63 {
		t.Errorf("or %d", got)
	}
	if got := binary.LittleEndian.Uint64(b[16:]); got != 3200 {
		t.Errorf("wide sum %d", got)
	}
}

// ldmatrix against the definition: thread l of matrix i gets elements
// (l/4, 2(l%4)) and the next, or the transposed ones.
func TestLdmatrix(t *testing.T) {
	fill := "add.u32 %r10, %r4, %r2; mul.lo.u32 %r11, %r1, 0x20002; add.u32 %r11, %r11, 0x10000; st.shared.u32 [%r10], %r11; st.shared.u32 [%r10+128], %r11; bar.sync 0; shl.b32 %r10, %r1, 4; and.b32 %r10, %r10, 127; add.u32 %r10, %r10, %r4;"
	// The matrix is 0, 1, 2, … in row order.
	expect(t, "plain", lanesOf(t, 32, fill+"ldmatrix.sync.aligned.m8n8.x1.shared.b16 %r20, [%r10];"), func(l int) uint32 {
		e := l/4*8 + 2*(l%4)
		return uint32(e | (e+1)<<16)
	})
	expect(t, "trans", lanesOf(t, 32, fill+"ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%r11, %r20}, [%r10];"), func(l int) uint32 {
		r, c := 2*(l%4), l/4
		return uint32(r*8 + c | ((r+1)*8+c)<<16)
	})
}

// mma against a product of matrices laid out by the PTX manual's formulas.
func TestMma(t *testing.T) {
	type shape struct {
		text     string
		k, bitsA int
		value    func(v uint32) float64
		half     bool
	}
	half := func(v uint32) float64 { return halfValue(uint16(v)) }
	brain := func(v uint32) float64 { return bfloatValue(uint16(v)) }
	tf := func(v uint32) float64 { return float64(math.Float32frombits(v &^ 0x1fff)) }
	for _, s := range []shape{
		{"m16n8k16.row.col.f32.f16.f16.f32", 16, 16, half, false},
		{"m16n8k16.row.col.f32.bf16.bf16.f32", 16, 16, brain, false},
		{"m16n8k8.row.col.f32.f16.f16.f32", 8, 16, half, false},
		{"m16n8k8.row.col.f32.bf16.bf16.f32", 8, 16, brain, false},
		{"m16n8k8.row.col.f32.tf32.tf32.f32", 8, 32, tf, false},
		{"m16n8k4.row.col.f32.tf32.tf32.f32", 4, 32, tf, false},
		{"m16n8k16.row.col.f16.f16.f16.f16", 16, 16, half, true},
	} {
		per := 32 / s.bitsA
		na, nb, nc := 16*s.k/32/per, 8*s.k/32/per, 4
		if s.half {
			nc = 2
		}
		a, b, c := make([][32]uint32, na), make([][32]uint32, nb), make([][32]uint32, nc)
		seed := uint32(7)
		next := func() uint32 { seed = seed*1664525 + 1013904223; return seed }
		fill := func(v [][32]uint32, bitsOf int, brain bool) {
			for i := range v {
				for l := range v[i] {
					for e := 0; e < 32; e += bitsOf {
						x := float32(int32(next())) / (1 << 31)
						w := math.Float32bits(x)
						switch {
						case bitsOf == 16 && brain:
							w >>= 16
						case bitsOf == 16:
							w = next()&0x8000 | 0x3800 + next()%0x400
						}
						v[i][l] |= w << e
					}
				}
			}
		}
		fill(a, s.bitsA, s.value(0x3f80) == 1)
		fill(b, s.bitsA, s.value(0x3f80) == 1)
		fill(c, map[bool]int{true: 16, false: 32}[s.half], false)
		src := ".version 7.0\n.target sm_80\n.address_size 64\n.visible .entry k(.param .u64 p, .param .u64 q)\n{\n.reg .b32 %r<20>; .reg .b32 %a<9>; .reg .b32 %b<9>; .reg .f32 %c<9>; .reg .b32 %h<9>; .reg .f32 %d<9>; .reg .b64 %rd<9>;\n" +
			"ld.param.u64 %rd1, [p]; ld.param.u64 %rd2, [q]; mov.u32 %r1, %tid.x; mul.wide.u32 %rd3, %r1, 4; add.u64 %rd1, %rd1, %rd3; add.u64 %rd2, %rd2, %rd3;\n"
		var data []float32
		at := 0
		load := func(v [][32]uint32, reg string) string {
			list := ""
			for i := range v {
				src += fmt.Sprintf("ld.global.b32 %s%d, [%%rd1+%d];\n", reg, i, at)
				at += 128
				for l := range v[i] {
					data = append(data, math.Float32frombits(v[i][l]))
				}
				list += fmt.Sprintf(",%s%d", reg, i)
			}
			return "{" + list[1:] + "}"
		}
		la, lb := load(a, "%a"), load(b, "%b")
		regC, regD := "%c", "%d"
		if s.half {
			regC, regD = "%h", "%r1"
		}
		lc := load(c, regC)
		ld := ""
		for i := range nc {
			ld += fmt.Sprintf(",%s%d", regD, i)
		}
		src += "mma.sync.aligned." + s.text + " {" + ld[1:] + "}, " + la + ", " + lb + ", " + lc + ";\n"
		for i := range nc {
			src += fmt.Sprintf("st.global.b32 [%%rd2+%d], %s%d;\n", 128*i, regD, i)
		}
		m, err := ptx.Parse("mma.ptx", []byte(src+"ret;\n}\n"))
		if err != nil {
			t.Fatal(err)
		}
		d := device{t, ptx.NewMemory(0)}
		p, q := d.floats(data), d.alloc(128*nc)
		if _, err := ptx.Run(context.Background(), m.Kernels[0], d.mem, ptx.Launch{Grid: [3]int{1, 1, 1}, Block: [3]int{32, 1, 1}, Params: args(p, q)}, ptx.Config{}); err != nil {
			t.Fatal(err)
		}
		out := d.bytes(q, 128*nc)
		part := func(v [][32]uint32, lane, e int) uint32 {
			return v[e/per][lane] >> (e % per * s.bitsA)
		}
		for lane := range 32 {
			group, in := lane/4, lane%4
			for e := range 4 {
				row, col := group+e/2*8, in*2+e%2
				var sum float64
				if s.half {
					sum = halfValue(uint16(c[e/2][lane] >> (e % 2 * 16)))
				} else {
					sum = float64(math.Float32frombits(c[e][lane]))
				}
				for k := range s.k {
					// Where A[row][k] and B[k][col] lie, by the manual.
					var ea, eb, laneA, laneB int
					if per == 2 {
						laneA, ea = row%8*4+k%8/2, k/8*4+row/8*2+k%2
						laneB, eb = col*4+k%8/2, k/8*2+k%2
					} else {
						laneA, ea = row%8*4+k%4, k/4*2+row/8
						laneB, eb = col*4+k%4, k/4
					}
					x, y := s.value(part(a, laneA, ea)), s.value(part(b, laneB, eb))
					sum += x * y
				}
				var got float64
				if s.half {
					got = halfValue(uint16(binary.LittleEndian.Uint32(out[128*(e/2)+4*lane:]) >> (e % 2 * 16)))
				} else {
					got = float64(math.Float32frombits(binary.LittleEndian.Uint32(out[128*e+4*lane:])))
				}
				tol := 1e-5
				if s.half {
					tol = 1e-2
				}
				if !(math.Abs(got-sum) <= tol) {
					t.Fatalf("%s: D[%d][%d] = %g, want %g", s.text, row, col, got, sum)
				}
			}
		}
	}
}
