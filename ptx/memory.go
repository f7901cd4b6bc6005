package ptx

// Global memory: allocations with unmapped gaps between, at addresses that
// are never used again, so that a stray or stale address is always seen.

import (
	"errors"
	"fmt"
	"sort"
	"sync"
	"unsafe"
)

// Where the windows of generic addresses lie. Global memory begins above all.
const (
	windowSize   = 1 << 32
	sharedWindow = 1 << 40
	localWindow  = 2 << 40
	paramWindow  = 3 << 40
	globalBase   = 1 << 44
	globalEnd    = 1 << 62
	allocAlign   = 256
	allocGap     = 64 << 10
	freedKept    = 1 << 14
)

// ErrOutOfMemory is wrapped by Alloc when the limit would be passed.
var ErrOutOfMemory = errors.New("out of memory")

// Memory is the global memory of an emulated device: allocations, and the
// variables of the modules whose kernels ran in it. It may be used by several
// goroutines; kernels see the allocations that existed when they started.
type Memory struct {
	mu     sync.Mutex
	limit  int64
	used   int64
	next   uint64
	blocks []*region // by address
	freed  []span    // by address
	vars   map[*variable]*region
	shot   *snapshot // of blocks and freed; nil after a change
}

// region is one allocation or variable.
type region struct {
	base     uint64
	data     []byte
	readOnly bool
	name     string // of a variable
}

type span struct{ base, end uint64 }

// snapshot is what a launch works on.
type snapshot struct {
	blocks []*region
	freed  []span
}

// NewMemory is an empty memory of that many bytes; 0 means no limit.
func NewMemory(limit int64) *Memory {
	return &Memory{limit: limit, next: globalBase, vars: map[*variable]*region{}}
}

// Alloc reserves size bytes, at least 1, at an address that is a multiple of
// 256. The memory is filled with 0xff, a NaN in every floating-point type,
// since a real device promises nothing about it. The error wraps
// ErrOutOfMemory if the limit would be passed.
func (m *Memory) Alloc(size int64) (addr uint64, err error) {
	if size <= 0 {
		return 0, fmt.Errorf("allocation of %d bytes", size)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	r, err := m.alloc(size)
	if err != nil {
		return 0, err
	}
	for i := range r.data {
		r.data[i] = 0xff
	}
	return r.base, nil
}

func (m *Memory) alloc(size int64) (*region, error) {
	if m.limit > 0 && size > m.limit-m.used || size > 1<<46 || m.next > globalEnd {
		return nil, fmt.Errorf("%d bytes asked, %d of %d in use: %w", size, m.used, m.limit, ErrOutOfMemory)
	}
	words := make([]uint64, (size+7)/8) // atomics need the alignment
	r := &region{base: m.next, data: unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), len(words)*8)[:size:size]}
	m.used += size
	m.next += (uint64(size)+allocGap+allocAlign-1)&^(allocAlign-1) + allocAlign
	m.blocks = append(m.blocks, r)
	m.shot = nil
	return r, nil
}

// Free gives an allocation back. Its addresses are not used again.
func (m *Memory) Free(addr uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := sort.Search(len(m.blocks), func(i int) bool { return m.blocks[i].base >= addr })
	if i == len(m.blocks) || m.blocks[i].base != addr || m.blocks[i].name != "" {
		return fmt.Errorf("free of address %#x, which is no allocation", addr)
	}
	r := m.blocks[i]
	m.used -= int64(len(r.data))
	m.blocks = append(m.blocks[:i], m.blocks[i+1:]...)
	m.shot = nil
	at := sort.Search(len(m.freed), func(i int) bool { return m.freed[i].base >= addr })
	m.freed = append(m.freed, span{})
	copy(m.freed[at+1:], m.freed[at:])
	m.freed[at] = span{addr, addr + uint64(len(r.data))}
	if len(m.freed) > freedKept {
		m.freed = append(m.freed[:0], m.freed[freedKept/4:]...)
	}
	return nil
}

// Bytes is the host's view of n bytes of an allocation. It is not a copy: it
// must not be used while a kernel that touches these bytes runs, nor after
// Free.
func (m *Memory) Bytes(addr uint64, n int64) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := find(m.blocks, addr)
	if r == nil || n < 0 || uint64(n) > uint64(len(r.data))-(addr-r.base) {
		return nil, fmt.Errorf("%d bytes at address %#x are not inside one allocation", n, addr)
	}
	o := addr - r.base
	return r.data[o : o+uint64(n) : o+uint64(n)], nil
}

// Used is how many bytes are allocated, module variables included.
func (m *Memory) Used() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used
}

// find is the region that holds addr, or nil.
func find(blocks []*region, addr uint64) *region {
	i := sort.Search(len(blocks), func(i int) bool { return blocks[i].base > addr })
	if i == 0 {
		return nil
	}
	if r := blocks[i-1]; addr-r.base < uint64(len(r.data)) {
		return r
	}
	return nil
}

// load places the variables of a module, once, and gives a snapshot.
func (m *Memory) load(mod *Module) (*snapshot, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var fresh []*variable
	for _, v := range mod.vars {
		if m.vars[v] != nil {
			continue
		}
		if v.extern {
			continue // only an error if the kernel names it
		}
		r, err := m.alloc(v.size)
		if err != nil {
			return nil, fmt.Errorf("variable %s: %w", v.name, err)
		}
		copy(r.data, v.init)
		r.name, r.readOnly = v.name, v.space == spaceConst
		m.vars[v] = r
		fresh = append(fresh, v)
	}
	for _, v := range fresh {
		for _, ref := range v.refs {
			t := m.vars[ref.target]
			if t == nil {
				return nil, fmt.Errorf("variable %s: %s is not defined in this module", v.name, ref.name)
			}
			put64(m.vars[v].data[ref.at:], t.base+uint64(ref.add))
		}
	}
	if m.shot == nil {
		m.shot = &snapshot{append([]*region(nil), m.blocks...), append([]span(nil), m.freed...)}
	}
	return m.shot, nil
}

// address is where a module variable lies.
func (m *Memory) address(v *variable) (uint64, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.vars[v]
	if r == nil {
		return 0, false
	}
	return r.base, true
}

// explain says why n bytes at addr could not be accessed: the kind of fault
// and what lies near.
func (s *snapshot) explain(addr uint64, n int64) (Kind, string) {
	i := sort.Search(len(s.freed), func(i int) bool { return s.freed[i].base > addr })
	if i > 0 && addr < s.freed[i-1].end {
		f := s.freed[i-1]
		return UseAfterFree, fmt.Sprintf("address %#x is byte %d of a freed allocation of %d bytes at %#x", addr, addr-f.base, f.end-f.base, f.base)
	}
	if addr < 4096 {
		return OutOfBounds, fmt.Sprintf("address %#x is null or near it", addr)
	}
	i = sort.Search(len(s.blocks), func(i int) bool { return s.blocks[i].base > addr })
	best, distance, side := (*region)(nil), ^uint64(0), ""
	if i > 0 {
		r := s.blocks[i-1]
		end := r.base + uint64(len(r.data))
		if addr < end {
			return OutOfBounds, fmt.Sprintf("%d bytes at %#x pass the end of %s", n, addr, r)
		}
		best, distance, side = r, addr-end, "after"
	}
	if i < len(s.blocks) && s.blocks[i].base-addr < distance {
		best, distance, side = s.blocks[i], s.blocks[i].base-addr, "before"
	}
	if best == nil {
		return OutOfBounds, fmt.Sprintf("address %#x, and nothing is allocated", addr)
	}
	return OutOfBounds, fmt.Sprintf("address %#x is %d bytes %s %s", addr, distance, side, best)
}

func (r *region) String() string {
	if r.name != "" {
		return fmt.Sprintf("variable %s of %d bytes at %#x", r.name, len(r.data), r.base)
	}
	return fmt.Sprintf("the allocation of %d bytes at %#x", len(r.data), r.base)
}
