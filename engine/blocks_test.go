package engine

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// cacheModel runs a pool beside a cache of integers: every table must read back
// what was written through it, whatever was shared, copied and freed.
type cacheModel struct {
	pool   *BlockPool
	blocks int
	cache  []int // [slots]
	tables []BlockTable
	want   [][]int // contents of each table
	next   int
}

// step extends some tables, does the copies in any order, then writes.
func (m *cacheModel) step(t *rapid.T) {
	if len(m.tables) == 0 {
		m.tables, m.want = append(m.tables, BlockTable{}), append(m.want, nil)
	}
	r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "copies"), 1))
	var copies []BlockCopy
	type write struct{ table, from int }
	var writes []write
	for i := range m.tables {
		n := rapid.IntRange(0, 5).Draw(t, "tokens")
		before, free, need := slices.Clone(m.tables[i].Blocks), m.pool.Free(), m.pool.Need(&m.tables[i], n)
		from, had := m.tables[i].Len, len(copies)
		var err error
		copies, err = m.pool.Extend(&m.tables[i], n, copies)
		if need > free {
			var be *BlocksError
			if !errors.As(err, &be) || be.Need != need || be.Free != free {
				t.Fatalf("need %d of %d: %v", need, free, err)
			}
			if !slices.Equal(before, m.tables[i].Blocks) || m.tables[i].Len != from || m.pool.Free() != free || len(copies) != had {
				t.Fatal("a failed Extend changed something")
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if m.pool.Free() != free-need {
			t.Fatalf("took %d blocks, said %d", free-m.pool.Free(), need)
		}
		writes = append(writes, write{i, from})
	}
	r.Shuffle(len(copies), func(i, j int) { copies[i], copies[j] = copies[j], copies[i] })
	size := m.pool.BlockSize()
	for _, c := range copies {
		copy(m.cache[int(c.Dst)*size:][:size], m.cache[int(c.Src)*size:][:size])
	}
	for _, w := range writes {
		table := &m.tables[w.table]
		for _, slot := range m.pool.Slots(nil, table, w.from, table.Len) {
			m.next++
			m.cache[slot] = m.next
			m.want[w.table] = append(m.want[w.table], m.next)
		}
	}
}

func (m *cacheModel) fork(t *rapid.T) {
	if n := len(m.tables); n > 0 && n < 6 {
		i := rapid.IntRange(0, n-1).Draw(t, "table")
		m.tables = append(m.tables, m.pool.Fork(&m.tables[i]))
		m.want = append(m.want, slices.Clone(m.want[i]))
	}
}

func (m *cacheModel) truncate(t *rapid.T) {
	if len(m.tables) > 0 {
		i := rapid.IntRange(0, len(m.tables)-1).Draw(t, "table")
		n := rapid.IntRange(0, m.tables[i].Len).Draw(t, "length")
		m.pool.Truncate(&m.tables[i], n)
		m.want[i] = m.want[i][:n:n]
	}
}

func (m *cacheModel) release(t *rapid.T) {
	if len(m.tables) > 0 {
		i := rapid.IntRange(0, len(m.tables)-1).Draw(t, "table")
		m.pool.Release(&m.tables[i])
		if m.tables[i].Len != 0 || len(m.tables[i].Blocks) != 0 {
			t.Fatal("a released table is not empty")
		}
		m.pool.Release(&m.tables[i]) // of nothing
		m.tables, m.want = slices.Delete(m.tables, i, i+1), slices.Delete(m.want, i, i+1)
	}
}

func (m *cacheModel) reorder(t *rapid.T) {
	if len(m.tables) == 0 {
		return
	}
	parents := rapid.SliceOfN(rapid.IntRange(0, len(m.tables)-1), 0, 6).Draw(t, "parents")
	var want [][]int
	for _, p := range parents {
		want = append(want, slices.Clone(m.want[p]))
	}
	m.tables, m.want = m.pool.Reorder(m.tables, parents), want
}

// check compares the contents, and counts every reference anew.
func (m *cacheModel) check(t *rapid.T) {
	refs := make([]int32, m.blocks)
	for i := range m.tables {
		table := &m.tables[i]
		if table.Len != len(m.want[i]) || len(table.Blocks) != (table.Len+m.pool.BlockSize()-1)/m.pool.BlockSize() {
			t.Fatalf("table %d: %d positions in %d blocks, want %d", i, table.Len, len(table.Blocks), len(m.want[i]))
		}
		for j, slot := range m.pool.Slots(nil, table, 0, table.Len) {
			if m.cache[slot] != m.want[i][j] {
				t.Fatalf("table %d position %d: %d, want %d", i, j, m.cache[slot], m.want[i][j])
			}
		}
		for _, b := range table.Blocks {
			refs[b]++
		}
	}
	used := 0
	for b, n := range refs {
		if n != m.pool.refs[b] {
			t.Fatalf("block %d is held %d times, counted %d", b, n, m.pool.refs[b])
		}
		if n > 0 {
			used++
		}
	}
	free := slices.Sorted(slices.Values(m.pool.free))
	if used+m.pool.Free() != m.blocks || len(slices.Compact(free)) != m.pool.Free() {
		t.Fatalf("%d used and %d free of %d", used, m.pool.Free(), m.blocks)
	}
}

func TestBlockPoolModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		blocks, size := rapid.IntRange(1, 24).Draw(t, "blocks"), rapid.IntRange(1, 5).Draw(t, "size")
		pool, err := NewBlockPool(blocks, size)
		if err != nil {
			t.Fatal(err)
		}
		m := &cacheModel{pool: pool, blocks: blocks, cache: make([]int, blocks*size)}
		t.Repeat(map[string]func(*rapid.T){
			"step": m.step, "fork": m.fork, "truncate": m.truncate, "release": m.release, "reorder": m.reorder, "": m.check,
		})
		for i := range m.tables {
			pool.Release(&m.tables[i])
		}
		if pool.Free() != blocks {
			t.Fatalf("%d blocks leaked", blocks-pool.Free())
		}
	})
}

func TestBlockPool(t *testing.T) {
	p, err := NewBlockPool(6, 4)
	if err != nil {
		t.Fatal(err)
	}
	var a BlockTable
	if c, err := p.Extend(&a, 6, nil); err != nil || len(c) != 0 || !slices.Equal(a.Blocks, []int32{0, 1}) {
		t.Fatalf("a lone sequence lies in %v: %v, %v", a.Blocks, c, err)
	}
	if got := p.Slots([]int32{-1}, &a, 3, 6); !slices.Equal(got, []int32{-1, 3, 4, 5}) {
		t.Errorf("slots %v", got)
	}
	b := p.Fork(&a)
	if p.Free() != 4 || p.Need(&b, 0) != 0 || p.Need(&b, 1) != 1 || p.Need(&b, 3) != 2 {
		t.Errorf("free %d, need %d, %d, %d", p.Free(), p.Need(&b, 0), p.Need(&b, 1), p.Need(&b, 3))
	}
	c, err := p.Extend(&b, 1, []BlockCopy{{8, 9}})
	if err != nil || !slices.Equal(c, []BlockCopy{{8, 9}, {1, 2}}) || !slices.Equal(b.Blocks, []int32{0, 2}) {
		t.Errorf("copy on write: %v, %v, %v", c, b.Blocks, err)
	}
	if c, err = p.Extend(&a, 2, nil); err != nil || len(c) != 0 { // the last holder writes in place
		t.Errorf("last holder: %v, %v", c, err)
	}
	d := p.Fork(&a) // ends at a block's edge: nothing to copy
	if c, err = p.Extend(&d, 1, nil); err != nil || len(c) != 0 || !slices.Equal(d.Blocks, []int32{0, 1, 3}) {
		t.Errorf("at the edge: %v, %v, %v", c, d.Blocks, err)
	}
	var be *BlocksError
	if _, err = p.Extend(&d, 12, nil); !errors.As(err, &be) || be.Need != 3 || be.Free != 2 {
		t.Errorf("too much: %v", err)
	}
	if _, err = p.Extend(&d, math.MaxInt, nil); !errors.As(err, &be) {
		t.Errorf("far too much: %v", err)
	}
	p.Truncate(&d, 8)
	if p.Free() != 3 || d.Len != 8 || !slices.Equal(d.Blocks, []int32{0, 1}) {
		t.Errorf("truncated: %v, %d free", d, p.Free())
	}
}

func TestBlockPoolLimits(t *testing.T) {
	for _, tt := range []struct {
		blocks, size int
		field        string
	}{
		{1, 0, "BlockSize"}, {1, -1, "BlockSize"}, {-1, 16, "Blocks"}, {math.MaxInt32/16 + 1, 16, "Blocks"}, {math.MaxInt, math.MaxInt, "Blocks"},
	} {
		_, err := NewBlockPool(tt.blocks, tt.size)
		var pe *ParamError
		if !errors.As(err, &pe) || pe.Field != tt.field {
			t.Errorf("%d × %d: got %v, want a ParamError for %s", tt.blocks, tt.size, err, tt.field)
		}
	}
	p, err := NewBlockPool(0, 16)
	if err != nil || p.Free() != 0 || p.Blocks() != 0 {
		t.Errorf("an empty pool: %v", err)
	}
	for name, f := range map[string]func(p *BlockPool, a *BlockTable){
		"negative Extend":     func(p *BlockPool, a *BlockTable) { _, _ = p.Extend(a, -1, nil) },
		"Truncate beyond":     func(p *BlockPool, a *BlockTable) { p.Truncate(a, 4) },
		"Slot beyond":         func(p *BlockPool, a *BlockTable) { p.Slot(a, 3) },
		"Slot before":         func(p *BlockPool, a *BlockTable) { p.Slot(a, -1) },
		"a copy of the table": func(p *BlockPool, a *BlockTable) { b := *a; p.Release(a); p.Release(&b) },
	} {
		p, err := NewBlockPool(4, 2)
		if err != nil {
			t.Fatal(err)
		}
		var a BlockTable
		if _, err := p.Extend(&a, 3, nil); err != nil {
			t.Fatal(err)
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f(p, &a)
		}()
	}
}
