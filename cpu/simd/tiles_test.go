package simd

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"sync"
	"testing"
	"time"
)

// tilesHere skips a test where there is no path of tiles.
func tilesHere(t testing.TB) *Kernels {
	t.Helper()
	if !AMX.Available() {
		t.Skip("this build, processor or system has no path amx")
	}
	return For(AMX)
}

// tileFlush is x, zero of its sign if it is below the normal numbers.
func tileFlush(x float32) float32 {
	if math.Abs(float64(x)) < 0x1p-126 {
		return float32(math.Copysign(0, float64(x)))
	}
	return x
}

// flushingFMA is x·y + z as tiles have it: once rounded to 24 bits, then zero if
// that is below the normal numbers. Operands are at most 24 bits, products of two
// x and y at most 48: exact in float64.
func flushingFMA(x, y, z float32) float32 {
	p, c := float64(tileFlush(x))*float64(tileFlush(y)), float64(tileFlush(z))
	s := p + c
	// To odd, so that the next rounding sees on which side of a tie s lay.
	t := s - p
	if low := (p - (s - t)) + (c - t); low > 0 || low < 0 {
		if b := math.Float64bits(s); b&1 == 0 {
			if (low > 0) == (s > 0) {
				b++
			} else {
				b--
			}
			s = math.Float64frombits(b)
		}
	}
	if math.Abs(s) < 0x1p-126 { // is it less than that in 24 bits?
		if math.Abs(s) < 0x1p-126-0x1p-151 {
			return float32(math.Copysign(0, s))
		}
		return float32(math.Copysign(0x1p-126, s))
	}
	return float32(s)
}

func bf16At(b []byte, i int) float32 {
	return math.Float32frombits(uint32(b[2*i])<<16 | uint32(b[2*i+1])<<24)
}

func putBF16(b []byte, i int, bits uint16) { b[2*i], b[2*i+1] = byte(bits), byte(bits>>8) }

// tileProduct is random operands of a product of bf16.
type tileProduct struct {
	k, m, panels, step, ldc int
	a, b                    []byte
}

// newTileProduct draws elements with draw; beyond k are zeros.
func newTileProduct(r *rand.Rand, k, m, panels int, draw func() uint16) *tileProduct {
	whole := (k + 31) &^ 31
	p := &tileProduct{k: k, m: m, panels: panels, step: 2*whole + 2*r.IntN(40), ldc: panels*Panel + r.IntN(20)}
	p.a, p.b = make([]byte, (m-1)*p.step+2*whole), make([]byte, panels*whole*2*Panel)
	for i := range k {
		for row := range m {
			putBF16(p.a[row*p.step:], i, draw())
		}
		for q := range panels {
			for j := range Panel {
				putBF16(p.b[(q*whole+i&^1)*2*Panel:], 2*j+i&1, draw())
			}
		}
	}
	return p
}

// run multiplies rows from … from+m and checks what stands around the result.
func (p *tileProduct) run(t testing.TB, kernels *Kernels, from, m int) []float32 {
	c := make([]float32, m*p.ldc+9)
	for i := range c {
		c[i] = -12345.5
	}
	kernels.TilesBF16(c, p.ldc, p.a[from*p.step:], p.step, p.b, p.k, m, p.panels)
	for i, x := range c {
		if (i >= m*p.ldc || i%p.ldc >= p.panels*Panel) && x != -12345.5 {
			t.Fatalf("k=%d m=%d panels=%d: c[%d] beside the result is %v", p.k, m, p.panels, i, x)
		}
	}
	return c
}

// want is element (r, j) of the product.
func (p *tileProduct) want(r, j int) float32 {
	whole := (p.k + 31) &^ 31
	a, b := p.a[r*p.step:], p.b[j/Panel*whole*2*Panel:]
	sum := float32(0)
	for k := 0; k < whole; k += 32 {
		var s [2]float32
		for i := k; i < k+32; i++ {
			s[i&1] = flushingFMA(bf16At(a, i), bf16At(b[i/2*4*Panel:], 2*(j%Panel)+i&1), s[i&1])
		}
		sum = flushingFMA(1, flushingFMA(1, s[0], s[1]), sum)
	}
	return sum
}

func sameTileFloat(a, b float32) bool {
	return math.Float32bits(a) == math.Float32bits(b) || a != a && b != b
}

// bf16Draws are ways to draw elements of bf16.
func bf16Draws(r *rand.Rand) map[string]func() uint16 {
	some := func(list ...uint16) func() uint16 { return func() uint16 { return list[r.IntN(len(list))] } }
	return map[string]func() uint16{
		"normal":  func() uint16 { return uint16(math.Float32bits(float32(r.NormFloat64())) >> 16) },
		"bits":    func() uint16 { return uint16(r.Uint32()) },
		"finite":  func() uint16 { return uint16(r.Uint32())&0x807f | uint16(r.IntN(255))<<7 },
		"small":   func() uint16 { return uint16(r.Uint32())&0x807f | uint16(60+r.IntN(6))<<7 },
		"tiny":    func() uint16 { return uint16(r.Uint32())&0x807f | uint16(r.IntN(3))<<7 | uint16(r.IntN(2))<<13 },
		"special": some(0, 0x8000, 1, 0x8001, 0x7f, 0x80, 0x8080, 0x3f80, 0xbf80, 0x2000, 0xa001, 0x7f7f, 0x7f80),
		"infinite": some(0, 0x3f80, 0x7f80, 0xff80, 0x7fc0, 0x7f81, 0x1, 0xbf80, 0x4000, 0x3f00, 0x3f80, 0x3f80, 0x3f80, 0x3f80,
			0x3f80, 0x3f80, 0x3f80, 0x3f80, 0x3f80, 0x3f80, 0x3f80, 0x3f80, 0x3f80, 0x3f80, 0x3f80, 0x3f80, 0x3f80, 0x3f80),
	}
}

func TestTilesBF16(t *testing.T) {
	kernels := tilesHere(t)
	r := rand.New(rand.NewPCG(3, 4))
	for name, draw := range bf16Draws(r) {
		for _, k := range []int{1, 2, 31, 32, 33, 64, 95, 130} {
			for _, m := range []int{1, 2, 15, 16, 17, 31, 32, 33, 49, 70} {
				p := newTileProduct(r, k, m, 1+r.IntN(3), draw)
				c := p.run(t, kernels, 0, m)
				for i := range m {
					for j := range p.panels * Panel {
						if got, want := c[i*p.ldc+j], p.want(i, j); !sameTileFloat(got, want) {
							t.Fatalf("%s, k=%d m=%d: element (%d, %d) is %x, want %x", name, k, m, i, j, got, want)
						}
					}
				}
			}
		}
	}
}

// TestTilesBF16Rows asks whether a row has the same bits whatever rows are beside it.
func TestTilesBF16Rows(t *testing.T) {
	kernels := tilesHere(t)
	r := rand.New(rand.NewPCG(5, 6))
	for range 40 {
		p := newTileProduct(r, 1+r.IntN(700), 1+r.IntN(300), 1+r.IntN(4), bf16Draws(r)["normal"])
		all := p.run(t, kernels, 0, p.m)
		for range 8 {
			from := r.IntN(p.m)
			m := 1 + r.IntN(min(p.m-from, 40))
			part := p.run(t, kernels, from, m)
			for i := range m * p.ldc {
				if math.Float32bits(part[i]) != math.Float32bits(all[from*p.ldc+i]) {
					t.Fatalf("k=%d: rows %d to %d alone differ from the same of %d at %d", p.k, from, from+m, p.m, i)
				}
			}
		}
	}
}

// storm makes the system interrupt threads that compute: by the profiler's
// signals, by the garbage collector, and by goroutines that change threads.
func storm(t *testing.T, d time.Duration, work func()) {
	t.Helper()
	if testing.Short() {
		d /= 4
	}
	var profile bytes.Buffer
	profiling := pprof.StartCPUProfile(&profile) == nil // not if one runs already
	defer func() {
		if profiling {
			pprof.StopCPUProfile()
		}
	}()
	defer debug.SetGCPercent(debug.SetGCPercent(5))
	stop := make(chan struct{})
	var noise, workers sync.WaitGroup
	noise.Add(1)
	go func() {
		defer noise.Done()
		for {
			select {
			case <-stop:
				return
			default:
				runtime.GC()
				_ = make([]byte, 1<<20)
			}
		}
	}()
	end := time.Now().Add(d)
	for range 3 * runtime.GOMAXPROCS(0) {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for time.Now().Before(end) {
				work()
				runtime.Gosched()
			}
		}()
	}
	workers.Wait()
	close(stop)
	noise.Wait()
}

// TestTilesUnderSignals multiplies while threads are interrupted.
func TestTilesUnderSignals(t *testing.T) {
	kernels := tilesHere(t)
	r := rand.New(rand.NewPCG(7, 8))
	var products []func(c []float32)
	var want [][]float32
	add := func(n int, f func(c []float32)) {
		c := make([]float32, n)
		f(c)
		products, want = append(products, f), append(want, c)
	}
	for i := range 12 {
		p := newTileProduct(r, 64+r.IntN(1000), 1+r.IntN(120), 1+r.IntN(6), bf16Draws(r)["normal"])
		add(p.m*p.ldc, func(c []float32) { kernels.TilesBF16(c, p.ldc, p.a, p.step, p.b, p.k, p.m, p.panels) })
		kind, m, blocks, panels := &blockKinds[i%len(blockKinds)], TilesLeast+r.IntN(120), 1+r.IntN(40), 1+r.IntN(6)
		a, step := formed(r, m, 32*blocks)
		b := kind.panels(r, panels*blocks)
		add(m*panels*Panel, func(c []float32) {
			tilesBlocks(kernels, kind)(alignedBytes(kernels.TilesScratch(blocks)), c, panels*Panel, a, step, b, blocks, m, panels)
		})
	}
	var mu sync.Mutex
	counts, wrong := 0, ""
	storm(t, 2*time.Second, func() {
		for i := range products {
			c := make([]float32, len(want[i]))
			products[i](c)
			if err := bitsDiffer(c, want[i]); err != nil {
				mu.Lock()
				wrong = fmt.Sprintf("product %d: %v", i, err)
				mu.Unlock()
			}
		}
		mu.Lock()
		counts += len(products)
		mu.Unlock()
	})
	if wrong != "" {
		t.Error(wrong)
	}
	if counts < 100 {
		t.Errorf("%d products were made: too few to see anything", counts)
	}
	t.Logf("%d products", counts)
}

func BenchmarkTilesBF16(b *testing.B) {
	kernels := tilesHere(b)
	for _, c := range []struct{ m, k, panels int }{{1, 576, 48}, {1, 576, 1536}, {8, 576, 48}, {16, 576, 48}, {32, 576, 16}, {192, 384, 16}, {192, 576, 16}, {192, 1536, 16}} {
		b.Run(fmt.Sprintf("%dx%dx%d", c.m, c.k, c.panels*Panel), func(b *testing.B) {
			p := newTileProduct(rand.New(rand.NewPCG(1, 1)), c.k, c.m, c.panels, func() uint16 { return 0x3f80 })
			p.step = 2 * c.k
			p.a = make([]byte, c.m*p.step)
			out := make([]float32, c.m*Panel)
			for b.Loop() {
				for q := range c.panels {
					kernels.TilesBF16(out, Panel, p.a, p.step, p.b[q*64*c.k:], c.k, c.m, 1)
				}
			}
			seconds := b.Elapsed().Seconds() / float64(b.N)
			b.ReportMetric(2*float64(c.m*c.k*c.panels*Panel)/seconds/1e9, "GFLOP/s")
			b.ReportMetric(float64(len(p.b))/seconds/1e9, "GB/s")
		})
	}
}

// tilesBlocks is the product on tiles of a kind of blocks.
func tilesBlocks(k *Kernels, kind *blockKind) TilesBlocks {
	return map[int]TilesBlocks{SizeQ4x0: k.TilesQ4x0, SizeQ4x1: k.TilesQ4x1, SizeQ8x0: k.TilesQ8x0}[kind.size]
}

// TestTilesBlocks compares with the product in plain Go, bit for bit.
func TestTilesBlocks(t *testing.T) {
	kernels := tilesHere(t)
	rng := rand.New(rand.NewPCG(9, 10))
	for i := range blockKinds {
		kind := &blockKinds[i]
		for _, m := range []int{16, 17, 31, 32, 40, 64, 75} {
			for _, blocks := range []int{0, 1, 2, 3, 4, 5, 18} {
				panels := 1 + rng.IntN(3)
				a, step := formed(rng, m, 32*blocks)
				b := kind.panels(rng, panels*blocks)
				ldc := panels*Panel + rng.IntN(5)
				want, got := make([]float32, m*ldc+3), make([]float32, m*ldc+3)
				for i := range want {
					want[i], got[i] = sentinel, sentinel
				}
				scratch := alignedBytes(kernels.TilesScratch(blocks))
				plain := portableBlocks()
				kind.mul(&plain)(want, ldc, a, step, b, blocks, m, panels)
				tilesBlocks(kernels, kind)(scratch, got, ldc, a, step, b, blocks, m, panels)
				if err := bitsDiffer(got, want); err != nil {
					t.Fatalf("%s, %d rows, %d blocks, %d panels: %v", kind.name, m, blocks, panels, err)
				}
			}
		}
	}
}

func BenchmarkTilesBlocks(b *testing.B) {
	kernels := tilesHere(b)
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range blockKinds {
		kind := &blockKinds[i]
		for _, c := range []struct{ m, k, panels int }{{16, 576, 16}, {32, 576, 16}, {64, 576, 16}, {192, 384, 16}, {192, 576, 16}, {192, 1536, 16}} {
			blocks := c.k / 32
			a, step := formed(rng, c.m, c.k)
			w := kind.panels(rng, c.panels*blocks)
			out := make([]float32, c.m*Panel)
			scratch := alignedBytes(kernels.TilesScratch(blocks))
			for _, tiles := range []bool{false, true} {
				b.Run(fmt.Sprintf("%s/%dx%dx%d/tiles=%v", kind.name, c.m, c.k, c.panels*Panel, tiles), func(b *testing.B) {
					for b.Loop() {
						for q := range c.panels {
							panel := w[q*blocks*kind.size:]
							if tiles {
								tilesBlocks(kernels, kind)(scratch, out, Panel, a, step, panel, blocks, c.m, 1)
								continue
							}
							for r := 0; r < c.m; r += kernels.BlockHeight {
								kind.mul(&kernels.Blocks)(out[r*Panel:], Panel, a[r*step:], step, panel, blocks, min(kernels.BlockHeight, c.m-r), 1)
							}
						}
					}
					b.ReportMetric(2*float64(c.m*c.k*c.panels*Panel)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GOP/s")
				})
			}
		}
	}
}
