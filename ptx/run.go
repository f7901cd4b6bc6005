package ptx

// Launches: checks, CTAs over goroutines, and which fault is told.

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
)

// Launch is a grid and its arguments.
type Launch struct {
	Grid   [3]int // CTAs
	Block  [3]int // threads of a CTA
	Shared int    // bytes of dynamic shared memory
	Params []byte // Kernel.ParamBytes of them, laid out as Kernel.Params says
}

// Order is the order in which CTAs and the warps of each are run.
type Order uint8

// The orders.
const (
	Forward  Order = iota
	Reversed       // last warp and CTA first
	Random         // by Config.Seed, with switches between warps at any instruction
)

func (o Order) String() string {
	return [...]string{"forward", "reversed", "random"}[min(int(o), 2)]
}

// Config says how to run a kernel. The zero value is sensible.
type Config struct {
	Order   Order
	Seed    uint64 // of Random
	Eager   bool   // cp.async completes at once; else as late as its wait allows
	Workers int    // CTAs that run at the same time; 0 means GOMAXPROCS
	Steps   int64  // instructions a warp may execute; 0 means DefaultSteps
	Count   bool   // fill Counts
}

// DefaultSteps is how many instructions a warp may execute if Config does not say.
const DefaultSteps = 1 << 26

// maxState is how many bytes the registers and local memory of all CTAs that
// run at the same time may take.
const maxState = 1 << 30

// Modes is the ways to run in which a kernel must give the same bits: every
// order, with asynchronous copies late and eager.
func Modes() []Config {
	return []Config{
		{Order: Forward}, {Order: Forward, Eager: true},
		{Order: Reversed}, {Order: Reversed, Eager: true},
		{Order: Random, Seed: 1}, {Order: Random, Seed: 2, Eager: true},
	}
}

// launch is what all CTAs of a launch share.
type launch struct {
	Launch
	k       *Kernel
	cfg     Config
	mem     *snapshot
	threads int // of a CTA
	shared  int // bytes, static and dynamic
	steps   int64
	state   int64 // bytes of the registers and local memory of a CTA
	addrs   map[*variable]uint64

	ctx  context.Context //nolint:containedctx // lives as long as Run
	next atomic.Int64    // the next CTA, in launch order
	stop atomic.Bool     // the context ended

	mu    sync.Mutex
	fault *Fault
	at    atomic.Int64 // of the CTA that faulted, in launch order; CTAs after it need not run
}

// Run executes a kernel and waits for it. What the kernel does wrong is a
// *Fault; a launch that the kernel does not allow is another error. With
// Config.Count the counts come back, else nil.
func Run(ctx context.Context, k *Kernel, mem *Memory, l Launch, cfg Config) (*Counts, error) {
	r := &launch{Launch: l, k: k, cfg: cfg, ctx: ctx, steps: cfg.Steps}
	if r.steps <= 0 {
		r.steps = DefaultSteps
	}
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("kernel %s: %w", k.Name, err)
	}
	if err := r.load(mem); err != nil {
		return nil, fmt.Errorf("kernel %s: %w", k.Name, err)
	}
	k.expand()
	total := int64(l.Grid[0]) * int64(l.Grid[1]) * int64(l.Grid[2])
	workers := cfg.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	workers = int(min(int64(workers), total, max(1, maxState/max(1, r.state))))
	r.at.Store(total)
	all := make([][]counter, workers)
	if workers == 1 {
		all[0] = r.work(total)
	} else {
		var wg sync.WaitGroup
		for i := range workers {
			wg.Go(func() { all[i] = r.work(total) })
		}
		wg.Wait()
	}
	if r.fault != nil {
		return nil, r.fault
	}
	if err := ctx.Err(); err != nil && r.stop.Load() {
		return nil, fmt.Errorf("kernel %s: %w", k.Name, err)
	}
	if !cfg.Count {
		return nil, nil
	}
	return merge(k, all, total), nil
}

// work runs CTAs until there are none left.
func (l *launch) work(total int64) []counter {
	c := newCTA(l)
	for {
		n := l.next.Add(1) - 1
		if n >= total || n > l.at.Load() || l.stopped() {
			break
		}
		id := n
		switch l.cfg.Order {
		case Reversed:
			id = total - 1 - n
		case Random:
			id = permute(n, total, l.cfg.Seed)
		}
		x, y := int64(l.Grid[0]), int64(l.Grid[1])
		seed := rng{l.cfg.Seed ^ uint64(id)*0xd1342543de82ef95}
		if f := c.run([3]int{int(id % x), int(id / x % y), int(id / x / y)}, seed.next()); f != nil {
			l.report(n, f)
		}
	}
	counts := c.warps[0].counts
	c.unbind()
	return counts
}

// report keeps the fault of the first CTA in launch order.
func (l *launch) report(n int64, f *Fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fault == nil || n < l.at.Load() {
		l.fault = f
		l.at.Store(n)
	}
}

func (l *launch) stopped() bool {
	if l.stop.Load() {
		return true
	}
	if l.ctx.Err() != nil {
		l.stop.Store(true)
		return true
	}
	return false
}

// permute maps n to another number below total, one to one: a Feistel network
// over the next power of four, walked until it falls below total.
func permute(n, total int64, seed uint64) int64 {
	half := 1
	for int64(1)<<(2*half) < total {
		half++
	}
	mask := uint64(1)<<half - 1
	for v := uint64(n); ; {
		l, r := v>>half, v&mask
		for i := range uint64(4) {
			g := rng{seed ^ r ^ i<<40}
			l, r = r, l^g.next()&mask
		}
		if v = l<<half | r; v < uint64(total) {
			return int64(v)
		}
	}
}

// check refuses what a driver would refuse.
func (l *launch) check() error {
	k := l.k
	most := [3]int{1<<31 - 1, 65535, 65535}
	block := [3]int{1024, 1024, 64}
	l.threads = 1
	for i := range 3 {
		if l.Grid[i] < 1 || l.Grid[i] > most[i] {
			return fmt.Errorf("grid %v: dimension %d must be 1 to %d", l.Grid, i, most[i])
		}
		if l.Block[i] < 1 || l.Block[i] > block[i] {
			return fmt.Errorf("block %v: dimension %d must be 1 to %d", l.Block, i, block[i])
		}
		l.threads *= l.Block[i]
	}
	if l.threads > 1024 {
		return fmt.Errorf("block %v has %d threads, at most 1024 are allowed", l.Block, l.threads)
	}
	if k.ReqThreads != [3]int{} && k.ReqThreads != l.Block {
		return fmt.Errorf("block %v, the kernel demands %v", l.Block, k.ReqThreads)
	}
	if k.MaxThreads > 0 && l.threads > k.MaxThreads {
		return fmt.Errorf("block %v has %d threads, the kernel allows %d", l.Block, l.threads, k.MaxThreads)
	}
	if len(l.Params) != k.ParamBytes() {
		return fmt.Errorf("%d bytes of parameters, want %d", len(l.Params), k.ParamBytes())
	}
	if l.Shared < 0 {
		return fmt.Errorf("%d bytes of dynamic shared memory", l.Shared)
	}
	l.shared = k.StaticShared
	if k.Dynamic {
		l.shared = k.dynamicAt
	}
	if l.Shared > maxShared-l.shared {
		return fmt.Errorf("%d bytes of shared memory and %d static, at most %d are allowed", l.Shared, k.StaticShared, maxShared)
	}
	l.shared += l.Shared
	warps := int64(l.threads+warpSize-1) / warpSize
	l.state = warps * (int64(k.regs32)*128 + int64(k.regs64)*256 + int64(k.Local)*warpSize)
	if l.state > maxState {
		return fmt.Errorf("registers and local memory of a CTA take %d bytes, more than the %d of this interpreter", l.state, maxState)
	}
	return nil
}

// load makes the module's variables and finds the addresses that slots need.
func (l *launch) load(mem *Memory) error {
	var err error
	if l.mem, err = mem.load(l.k.module); err != nil {
		return err
	}
	l.addrs = map[*variable]uint64{}
	for _, s := range l.k.slots {
		if s.v == nil {
			continue
		}
		a, ok := mem.address(s.v)
		if !ok {
			return fmt.Errorf("variable %s is declared .extern and defined nowhere", s.v.name)
		}
		l.addrs[s.v] = a
	}
	return nil
}

// expand turns literals into columns, once.
func (k *Kernel) expand() {
	k.once.Do(func() {
		k.consts32 = make([]row32, len(k.literals32))
		for i, v := range k.literals32 {
			for l := range k.consts32[i] {
				k.consts32[i][l] = v
			}
		}
		k.consts64 = make([]row64, len(k.literals64))
		for i, v := range k.literals64 {
			for l := range k.consts64[i] {
				k.consts64[i][l] = v
			}
		}
	})
}
