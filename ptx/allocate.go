package ptx

// Register allocation: compilers write PTX with a new register for every
// value. Packing them by liveness makes the register file of a warp ten times
// smaller, so that it stays in the cache. Writes are per lane, so liveness
// along each lane's own path is all that counts, divergence or not.

import "slices"

// flow is what one statement does to registers and where it goes.
type flow struct {
	uses, defs []int32
	guarded    bool // defs may not happen
}

// Passes over the blocks after which registers keep columns of their own.
const maxLiveRounds = 64

// note keeps the flow of the current statement.
func (d *dec) note() {
	d.flow = append(d.flow, &flow{slices.Clone(d.uses), slices.Clone(d.defs), d.st.guard >= 0})
}

// class is the register file that a type lies in: 0 32 bits, 1 64, 2 predicates.
func class(t ptype) int {
	switch {
	case t.kind == 'p':
		return 2
	case t.bits == 64:
		return 1
	}
	return 0
}

// allocate fills d.phys.
func (d *dec) allocate() {
	n := len(d.regs)
	first, last := make([]int32, n), make([]int32, n)
	for i := range first {
		first[i] = -1
	}
	touch := func(r, at int32) {
		if first[r] < 0 {
			first[r], last[r] = at, at
			return
		}
		first[r], last[r] = min(first[r], at), max(last[r], at)
	}
	for i, f := range d.flow {
		for _, r := range f.uses {
			touch(r, int32(i))
		}
		for _, r := range f.defs {
			touch(r, int32(i))
		}
	}
	packed := d.liveness(touch)
	order := make([]int32, 0, n)
	for r := range n {
		if first[r] >= 0 {
			order = append(order, int32(r))
		}
	}
	slices.SortFunc(order, func(a, b int32) int {
		if first[a] != first[b] {
			return int(first[a] - first[b])
		}
		return int(a - b)
	})
	d.phys = make([]int32, n)
	var count [3]int32
	var free [3][]int32
	var active [3]ends
	for _, r := range order {
		c := class(d.regs[r])
		// A register that ends where another begins is not shared: vector and
		// cross-lane instructions read after they write.
		for packed && c < 2 && len(active[c]) > 0 && active[c][0].at < first[r] {
			free[c] = append(free[c], active[c].pop())
		}
		if k := len(free[c]); k > 0 {
			d.phys[r] = free[c][k-1]
			free[c] = free[c][:k-1]
		} else {
			d.phys[r] = count[c]
			count[c]++
		}
		active[c].push(end{last[r], d.phys[r]})
	}
	d.n32, d.n64 = count[0], count[1]
	d.k.regs32, d.k.regs64, d.k.preds = int(count[0]), int(count[1]), int(count[2])
	d.flow = nil
}

// ends is a heap of live registers by where they end.
type end struct{ at, phys int32 }

type ends []end

func (h *ends) push(e end) {
	*h = append(*h, e)
	s := *h
	for i := len(s) - 1; i > 0; {
		up := (i - 1) / 2
		if s[up].at <= s[i].at {
			break
		}
		s[up], s[i] = s[i], s[up]
		i = up
	}
}

func (h *ends) pop() int32 {
	s := *h
	top := s[0].phys
	s[0] = s[len(s)-1]
	s = s[:len(s)-1]
	*h = s
	for i := 0; ; {
		c := 2*i + 1
		if c >= len(s) {
			return top
		}
		if c+1 < len(s) && s[c+1].at < s[c].at {
			c++
		}
		if s[i].at <= s[c].at {
			return top
		}
		s[i], s[c] = s[c], s[i]
		i = c
	}
}

// block is a basic block of statements [from, to).
type block struct {
	from, to int
	next     []int
}

// blocks cuts the statements at branches and their targets.
func (d *dec) blocks() []block {
	n := len(d.stmts)
	lead := make([]bool, n+1)
	lead[0], lead[n] = true, true
	ends := func(i int) bool {
		switch op := d.stmts[i].op; op {
		case "ret", "ret.uni", "exit", "trap":
			return true
		default:
			return d.stmts[i].targets != nil
		}
	}
	for i := range n {
		for _, t := range d.stmts[i].targets {
			lead[t] = true
		}
		if ends(i) {
			lead[i+1] = true
		}
	}
	var list []block
	number := make([]int, n+1)
	for i := range n {
		if lead[i] {
			list = append(list, block{from: i})
		}
		list[len(list)-1].to = i + 1
		number[i] = len(list) - 1
	}
	for b := range list {
		i := list[b].to - 1
		s := d.stmts[i]
		for _, t := range s.targets {
			if t < n {
				list[b].next = append(list[b].next, number[t])
			}
		}
		if (!ends(i) || s.guard >= 0) && i+1 < n {
			list[b].next = append(list[b].next, number[i+1])
		}
	}
	return list
}

// liveness touches registers wherever a block begins or ends with them live;
// false if the kernel is too large for it.
func (d *dec) liveness(touch func(r, at int32)) bool {
	if len(d.stmts) == 0 {
		return true
	}
	list := d.blocks()
	words := (len(d.regs) + 63) / 64
	if len(list)*words*8 > d.most {
		return false
	}
	var sets [3][]uint64
	for i := range sets {
		sets[i] = make([]uint64, len(list)*words)
	}
	row := func(kind, b int) []uint64 { return sets[kind][b*words:][:words] }
	const in, gen, kill = 0, 1, 2
	for b, bl := range list {
		g, k := row(gen, b), row(kill, b)
		for i := bl.from; i < bl.to; i++ {
			f := d.flow[i]
			for _, r := range f.uses {
				if k[r/64]>>(r%64)&1 == 0 {
					g[r/64] |= 1 << (r % 64)
				}
			}
			for _, r := range f.defs {
				if !f.guarded {
					k[r/64] |= 1 << (r % 64)
				}
			}
		}
	}
	out := make([]uint64, words)
	merge := func(b int) {
		clear(out)
		for _, s := range list[b].next {
			for w, v := range row(in, s) {
				out[w] |= v
			}
		}
	}
	changed := true
	for round := 0; changed; round++ {
		if round == maxLiveRounds {
			return false
		}
		changed = false
		for b := len(list) - 1; b >= 0; b-- {
			merge(b)
			i, g, k := row(in, b), row(gen, b), row(kill, b)
			for w := range i {
				if v := g[w] | out[w]&^k[w]; v != i[w] {
					i[w] = v
					changed = true
				}
			}
		}
	}
	each := func(set []uint64, at int) {
		for w, v := range set {
			for ; v != 0; v &= v - 1 {
				touch(int32(w*64+trailing(v)), int32(at))
			}
		}
	}
	for b, bl := range list {
		each(row(in, b), bl.from)
		merge(b)
		each(out, bl.to-1)
	}
	return true
}
