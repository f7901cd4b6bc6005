package ptx

// What a launch did: instructions, bytes, 32-byte sectors, bank conflicts.

import (
	"math/bits"
	"sort"
	"strings"
)

// Access counts the memory requests of warps.
type Access struct {
	Requests int64 // instructions executed by a warp with at least one lane
	Bytes    int64 // that the lanes asked for, the same byte by two lanes counted twice

	// Sectors of 32 bytes that a request touches. As on the hardware a request
	// of more than 128 bytes is served in parts (64-bit accesses by half
	// warps, 128-bit ones by quarters) and each part counts its own.
	Sectors int64
}

func (a *Access) add(b Access) {
	a.Requests += b.Requests
	a.Bytes += b.Bytes
	a.Sectors += b.Sectors
}

// Shared counts the shared-memory requests of warps.
type Shared struct {
	Requests int64
	Bytes    int64

	// Wavefronts is the passes over the 32 banks of 4 bytes that the requests
	// took, Ideal what they would have taken without bank conflicts: one for
	// each part of a request (the whole warp, halves for 64-bit accesses,
	// quarters for 128-bit ones) in which a lane takes part.
	Wavefronts int64
	Ideal      int64
}

func (a *Shared) add(b Shared) {
	a.Requests += b.Requests
	a.Bytes += b.Bytes
	a.Wavefronts += b.Wavefronts
	a.Ideal += b.Ideal
}

// Work is what some of a kernel's instructions did.
type Work struct {
	Issues       int64 // instructions issued, one a warp: issue slots
	Threads      int64 // of them, by lane
	FLOPs        int64 // an fma counts two
	GlobalLoads  Access
	GlobalStores Access // atomics too
	SharedLoads  Shared // ldmatrix too
	SharedStores Shared // atomics and the destinations of cp.async too
	LocalIssues  int64  // accesses of local memory: spills and arrays
}

// Add adds what b did.
func (a *Work) Add(b *Work) {
	a.Issues += b.Issues
	a.Threads += b.Threads
	a.FLOPs += b.FLOPs
	a.GlobalLoads.add(b.GlobalLoads)
	a.GlobalStores.add(b.GlobalStores)
	a.SharedLoads.add(b.SharedLoads)
	a.SharedStores.add(b.SharedStores)
	a.LocalIssues += b.LocalIssues
}

// Wavefronts is those of loads and stores of shared memory.
func (a *Work) Wavefronts() int64 { return a.SharedLoads.Wavefronts + a.SharedStores.Wavefronts }

// IdealWavefronts is those that there would be without bank conflicts.
func (a *Work) IdealWavefronts() int64 { return a.SharedLoads.Ideal + a.SharedStores.Ideal }

// Line is what one instruction of the PTX did, or all of one source line.
type Line struct {
	Line   int    // of the PTX file; the first one if there are several
	Source string // "matmul.cu:41", empty without line information
	Op     string // with modifiers; empty if there are several
	Work
}

// Counts is what a launch did. It does not depend on the order of execution
// unless the kernel does; in random order, lanes that branched apart may meet
// again later than they could, which shows in Issues.
type Counts struct {
	Work                   // the whole launch
	CTAs  int64            // that ran
	Lines []Line           // instructions in the order of the PTX, those that never ran too
	Ops   map[string]int64 // issues by opcode with its modifiers
}

// Sources is the counts by source line, by file and number.
func (c *Counts) Sources() []Line {
	at := map[string]int{}
	var list []Line
	for i := range c.Lines {
		l := &c.Lines[i]
		j, ok := at[l.Source]
		if !ok {
			j = len(list)
			at[l.Source] = j
			list = append(list, Line{Line: l.Line, Source: l.Source})
		}
		list[j].Add(&l.Work)
	}
	sort.SliceStable(list, func(i, j int) bool {
		a, an := splitSource(list[i].Source)
		b, bn := splitSource(list[j].Source)
		if a != b {
			return a < b
		}
		return an < bn
	})
	return list
}

func splitSource(s string) (file string, line int) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return s, 0
	}
	for _, c := range s[i+1:] {
		line = line*10 + int(c-'0')
	}
	return s[:i], line
}

// Within is the work of the source lines from first to last of a file.
func (c *Counts) Within(file string, first, last int) Work {
	var sum Work
	for i := range c.Lines {
		if f, n := splitSource(c.Lines[i].Source); f == file && n >= first && n <= last {
			sum.Add(&c.Lines[i].Work)
		}
	}
	return sum
}

// MainLoop is the work of the instructions that were issued at least half as
// often as the one issued most: the innermost loop that matters.
func (c *Counts) MainLoop() Work {
	var most int64
	for i := range c.Lines {
		most = max(most, c.Lines[i].Issues)
	}
	var sum Work
	for i := range c.Lines {
		if c.Lines[i].Issues*2 >= most {
			sum.Add(&c.Lines[i].Work)
		}
	}
	return sum
}

// counter is the counts of one instruction by one worker.
type counter struct {
	issues, lanes         int64
	loads, stores         Access
	sharedLoad, sharedPut Shared
	local                 int64
}

// merge sums the workers' counters: sums of integers have no order.
func merge(k *Kernel, all [][]counter, ctas int64) *Counts {
	c := &Counts{CTAs: ctas, Ops: map[string]int64{}}
	for pc := range k.code[:len(k.code)-1] {
		in := &k.code[pc]
		l := Line{Line: int(in.line), Source: k.sources[in.source], Op: in.op}
		for _, counts := range all {
			n := &counts[pc]
			l.Issues += n.issues
			l.Threads += n.lanes
			l.GlobalLoads.add(n.loads)
			l.GlobalStores.add(n.stores)
			l.SharedLoads.add(n.sharedLoad)
			l.SharedStores.add(n.sharedPut)
			l.LocalIssues += n.local
		}
		l.FLOPs = l.Threads * int64(in.flops)
		c.Lines = append(c.Lines, l)
		c.Add(&l.Work)
		if l.Issues > 0 {
			c.Ops[in.op] += l.Issues
		}
	}
	return c
}

// account counts one access by the lanes m.
func (x *access) account(w *warp, a *row64, m uint32) {
	if x.space != spaceGeneric {
		x.accountIn(x.space, w, a, m)
		return
	}
	var lanes [spaceConst + 1]uint32
	to := &w.t[3]
	for mm := m; mm != 0; mm &= mm - 1 {
		lane := bits.TrailingZeros32(mm) & 31
		s, o := window(a[lane])
		lanes[s] |= 1 << lane
		to[lane] = o
	}
	for s, mm := range lanes {
		if mm != 0 {
			x.accountIn(space(s), w, to, mm)
		}
	}
}

func (x *access) accountIn(s space, w *warp, a *row64, m uint32) {
	n := x.size()
	c := &w.counts[w.pc]
	part := uint32(allLanes)
	step := warpSize
	switch {
	case n >= 16:
		part, step = 0xff, 8
	case n == 8:
		part, step = 0xffff, 16
	}
	bytes := int64(bits.OnesCount32(m) * n)
	switch s {
	case spaceGlobal, spaceConst:
		t := Access{Requests: 1, Bytes: bytes}
		for at := 0; at < warpSize; at += step {
			t.Sectors += int64(sectors(a, m&(part<<at), n))
		}
		if x.write {
			c.stores.add(t)
		} else {
			c.loads.add(t)
		}
	case spaceShared:
		t := Shared{Requests: 1, Bytes: bytes}
		for at := 0; at < warpSize; at += step {
			if mm := m & (part << at); mm != 0 {
				t.Ideal++
				t.Wavefronts += int64(wavefronts(a, mm, n))
			}
		}
		if x.write {
			c.sharedPut.add(t)
		} else {
			c.sharedLoad.add(t)
		}
	case spaceLocal:
		c.local++
	}
}

// sectors is how many different 32-byte sectors the lanes m touch.
func sectors(a *row64, m uint32, n int) int {
	var seen [2 * warpSize]uint64
	count := 0
	for ; m != 0; m &= m - 1 {
		addr := a[bits.TrailingZeros32(m)&31]
	next:
		for s := addr / 32; s <= (addr+uint64(n)-1)/32; s++ {
			for i := count - 1; i >= 0; i-- {
				if seen[i] == s {
					continue next
				}
			}
			if count < len(seen) {
				seen[count] = s
				count++
			}
		}
	}
	return count
}

// wavefronts is the most different 4-byte words that the lanes m touch in one
// bank.
func wavefronts(a *row64, m uint32, n int) int {
	var seen [32][8]uint64 // words by bank
	var depth [32]int
	most := 0
	for ; m != 0; m &= m - 1 {
		addr := a[bits.TrailingZeros32(m)&31]
	next:
		for word := addr / 4; word <= (addr+uint64(n)-1)/4; word++ {
			b := word % 32
			for i := range min(depth[b], len(seen[b])) {
				if seen[b][i] == word {
					continue next
				}
			}
			if depth[b] < len(seen[b]) {
				seen[b][depth[b]] = word
			}
			depth[b]++
			most = max(most, depth[b])
		}
	}
	return most
}
