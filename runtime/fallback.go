package runtime

// Running one operation on the fallback: operands the host cannot read are
// copied there, run, and copied back.

import (
	"fmt"

	"github.com/godwit-ml/godwit/quant"
)

// staging is the host's copy of the operands of one operation.
type staging struct {
	bufs  []*Memory // reused from operation to operation
	spans []span
	loads map[*Memory]Tensor // weights loaded on the fallback, by their device memory
	was   []Tensor
}

// span is the part of one memory that an operation touches. Operands of one
// memory share a copy, as they may be views of the same elements.
type span struct {
	mem    *Memory
	lo, hi int64
	write  bool
}

// fallback runs op on the fallback and counts it.
func (s *Stream) fallback(op Op, why string) {
	s.counts.Lock()
	s.falls[fall{op.Name(), why}]++
	s.counts.Unlock()
	s.operands = op.Operands(s.operands[:0])
	st := &s.stage
	st.was = st.was[:0]
	for _, o := range s.operands {
		st.was = append(st.was, *o.Tensor)
	}
	err := s.runStaged(op)
	for i, o := range s.operands {
		*o.Tensor = st.was[i]
	}
	if err != nil {
		s.Fail(fmt.Errorf("runtime: %s on the fallback: %w", op.Name(), err))
	}
}

func (s *Stream) runStaged(op Op) error {
	if err := s.dev.Sync(); err != nil {
		return err
	}
	st := &s.stage
	st.gather(s.host, s.operands)
	for i := range st.spans {
		if err := st.download(s, i); err != nil {
			return err
		}
	}
	for _, o := range s.operands {
		if err := st.redirect(s.host, o.Tensor); err != nil {
			return err
		}
	}
	if err := s.host.Run(op); err != nil {
		return err
	}
	if err := s.host.Sync(); err != nil {
		return err
	}
	for i, sp := range st.spans {
		if !sp.write {
			continue
		}
		if err := s.dev.Upload(sp.tensor(), st.bufs[i].Bytes[:sp.hi-sp.lo]); err != nil {
			return err
		}
	}
	return s.dev.Sync()
}

// readable reports whether the fallback can use the memory as it is: its own, a
// checkpoint's, or what another device keeps in plain rows where it can read.
func readable(host Device, m *Memory) bool {
	return m.Owner == host || m.Owner == nil || m.Bytes != nil && m.Host == nil
}

// gather lists the memory that has to be copied.
func (st *staging) gather(host Device, operands []Operand) {
	st.spans = st.spans[:0]
next:
	for _, o := range operands {
		t := o.Tensor
		if readable(host, t.Mem) || t.Mem.Host != nil {
			continue
		}
		lo, hi := t.Offset, t.Offset+t.Span()
		for i := range st.spans {
			if sp := &st.spans[i]; sp.mem == t.Mem {
				sp.lo, sp.hi = min(sp.lo, lo), max(sp.hi, hi)
				sp.write = sp.write || o.Access&Write != 0
				continue next
			}
		}
		st.spans = append(st.spans, span{t.Mem, lo, hi, o.Access&Write != 0})
	}
}

// tensor is the span as bytes.
func (sp span) tensor() Tensor {
	n := int(sp.hi - sp.lo)
	return Tensor{Mem: sp.mem, DType: quant.U8, Rows: 1, Cols: n, Stride: n, Offset: sp.lo}
}

func (st *staging) download(s *Stream, i int) error {
	sp := st.spans[i]
	for len(st.bufs) <= i {
		st.bufs = append(st.bufs, nil)
	}
	n := sp.hi - sp.lo
	if b := st.bufs[i]; b == nil || b.Size < n {
		if b != nil {
			s.host.Free(b)
			st.bufs[i] = nil
		}
		m, err := s.host.Alloc(n)
		if err != nil {
			return err
		}
		st.bufs[i] = m
	}
	if err := s.dev.Download(st.bufs[i].Bytes[:n], sp.tensor()); err != nil {
		return err
	}
	return s.dev.Sync()
}

// redirect points an operand at its copy on the host.
func (st *staging) redirect(host Device, t *Tensor) error {
	if readable(host, t.Mem) {
		return nil
	}
	if t.Mem.Host != nil {
		if _, ok := st.loads[t.Mem]; !ok {
			w, err := host.Load(*t.Mem.Host, UseProduct|UseTable|UseVector)
			if err != nil {
				return err
			}
			if st.loads == nil {
				st.loads = map[*Memory]Tensor{}
			}
			st.loads[t.Mem] = w
		}
		*t = st.loads[t.Mem]
		return nil
	}
	for i, sp := range st.spans {
		if sp.mem == t.Mem {
			t.Mem, t.Offset = st.bufs[i], t.Offset-sp.lo
			return nil
		}
	}
	panic("runtime: an operand without a copy")
}

// free gives the copies back.
func (st *staging) free(host Device) {
	for _, b := range st.bufs {
		if b != nil {
			host.Free(b)
		}
	}
	for _, w := range st.loads {
		host.Free(w.Mem)
	}
	*st = staging{}
}
