package devicetest

// What must be in the memory of each operand, and the comparison with what is.

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/godwit-ml/godwit/quant"
	"github.com/godwit-ml/godwit/runtime"
)

// kind is what the memory of an operand holds.
type kind uint8

const (
	plain  kind = iota // F32 or I32 rows
	weight             // what Load made; the layout is the device's
	cache              // a KV cache; the layout is the device's
)

// state is what the operations did with an element.
type state uint8

const (
	kept    state = iota // not written
	written              // must have the value
	free                 // written with a value that is not specified
)

// shadow is the expectation of one memory.
type shadow struct {
	kind   kind
	name   string // operation and operand that first used it
	mem    *runtime.Memory
	image  []byte         // what was uploaded; of a weight, the host's bytes
	tensor runtime.Tensor // the operand
	host   runtime.Tensor // of a weight
	cols   int            // of a weight or cache

	// An element for every four bytes of plain memory, or for every element of
	// the tensor.
	v     []float64
	state []state

	got []byte // what Verify saw
}

func (s *shadow) device(t Target) runtime.Device {
	if s.kind == cache {
		return t.Caches
	}
	return t.Device
}

// all is the whole memory as bytes.
func (s *shadow) all() runtime.Tensor {
	n := len(s.image)
	return runtime.Tensor{Mem: s.mem, DType: quant.U8, Rows: 1, Cols: n, Stride: n}
}

// matrix is an operand's expectation. The zero matrix is an absent operand.
type matrix struct {
	s          *shadow
	rows, cols int
	at, stride int
}

func (c *Case) of(t runtime.Tensor) matrix {
	if t.IsZero() {
		return matrix{}
	}
	s := c.shadow[t.Mem]
	if s.kind == plain {
		return matrix{s, t.Rows, t.Cols, int(t.Offset) / 4, t.Stride}
	}
	return matrix{s, t.Rows, t.Cols, 0, s.cols}
}

func (m matrix) present() bool { return m.s != nil }

func (m matrix) get(i, j int) float64 {
	if i < 0 || j < 0 || i >= m.rows || j >= m.cols {
		panic("devicetest: a row reads outside its operand")
	}
	return m.s.v[m.at+i*m.stride+j]
}

// flat is element i of an I32 operand, counted row by row.
func (m matrix) flat(i int) int { return int(m.get(i/m.cols, i%m.cols)) }

// broadcast is element j of row i of an operand with many rows, and of the only
// row of one with one.
func (m matrix) broadcast(i, j int) float64 {
	if m.rows == 1 {
		i = 0
	}
	return m.get(i, j)
}

func (m matrix) set(i, j int, v float64) { m.mark(i, j, v, written) }

func (m matrix) mark(i, j int, v float64, s state) {
	if i < 0 || j < 0 || i >= m.rows || j >= m.cols {
		panic("devicetest: a row writes outside its operand")
	}
	m.s.v[m.at+i*m.stride+j], m.s.state[m.at+i*m.stride+j] = v, s
}

// ints is an I32 operand, row by row.
func (m matrix) ints() []int {
	v := make([]int, 0, m.rows*m.cols)
	for i := range m.rows {
		for j := range m.cols {
			v = append(v, int(m.get(i, j)))
		}
	}
	return v
}

// Verify downloads everything and compares: outputs with the oracle, all else
// with what it was.
func (c *Case) Verify() error {
	for _, s := range c.order {
		if err := s.verify(c); err != nil {
			return fmt.Errorf("%w: %v: %s: %w", errMismatch, c.Row, s.name, err)
		}
	}
	for _, check := range c.ids {
		if err := check.verify(c); err != nil {
			return fmt.Errorf("%w: %v: %w", errMismatch, c.Row, err)
		}
	}
	return nil
}

// Repeat runs again and compares with what Verify saw, bit by bit: with the
// same operations, and with each change that must not change a bit.
func (c *Case) Repeat() error {
	for i := range len(c.same) + 1 {
		if i > 0 {
			c.same[i-1]()
		}
		if err := c.Reset(); err != nil {
			return err
		}
		if err := c.Run(); err != nil {
			return err
		}
		for _, s := range c.order {
			if s.kind == weight {
				continue
			}
			b := make([]byte, len(s.image))
			if err := s.download(c, b); err != nil {
				return err
			}
			if s.kind == plain && !bytes.Equal(b, s.got) {
				return fmt.Errorf("%w: %v: %s: run %d has other bits", errMismatch, c.Row, s.name, i+2)
			}
		}
	}
	return nil
}

func (s *shadow) download(c *Case, b []byte) error {
	dev := s.device(c.target)
	if err := dev.Download(b, s.all()); err != nil {
		return err
	}
	return dev.Sync()
}

func (s *shadow) verify(c *Case) error {
	if s.kind == weight {
		if !bytes.Equal(s.host.Mem.Bytes, s.image) {
			return fmt.Errorf("the checkpoint's bytes were changed")
		}
		return nil
	}
	s.got = make([]byte, len(s.image))
	if err := s.download(c, s.got); err != nil {
		return err
	}
	if s.kind == cache {
		lo, hi := s.tensor.Offset, s.tensor.Offset+s.tensor.Span()
		if !bytes.Equal(s.got[:lo], s.image[:lo]) || !bytes.Equal(s.got[hi:], s.image[hi:]) {
			return fmt.Errorf("memory beside the cache was changed")
		}
		return nil
	}
	return s.compare(c.target.limit(c.Row))
}

// compare is verify of plain memory.
func (s *shadow) compare(limit float64) error {
	var num, den, worst float64
	var at int
	for i, state := range s.state {
		got, was := binary.LittleEndian.Uint32(s.got[4*i:]), binary.LittleEndian.Uint32(s.image[4*i:])
		if state == kept {
			if got != was {
				return fmt.Errorf("%s was changed, from %#x to %#x", s.place(i), was, got)
			}
			continue
		}
		if state == free {
			continue
		}
		want := s.v[i]
		if s.tensor.DType == runtime.I32 {
			if int32(got) != int32(want) {
				return fmt.Errorf("%s is %d, want %v", s.place(i), int32(got), want)
			}
			continue
		}
		x := float64(math.Float32frombits(got))
		if math.IsNaN(want) || math.IsInf(want, 0) || math.IsNaN(x) || math.IsInf(x, 0) {
			if math.IsNaN(want) != math.IsNaN(x) || !math.IsNaN(want) && x != want {
				return fmt.Errorf("%s is %v, want %v", s.place(i), x, want)
			}
			continue
		}
		e := (x - want) * (x - want)
		num, den = num+e, den+want*want
		if e > worst {
			worst, at = e, i
		}
	}
	if num > limit*den {
		return fmt.Errorf("NMSE %.2g, limit %.2g; worst: %s is %v, want %v", num/den, limit, s.place(at),
			math.Float32frombits(binary.LittleEndian.Uint32(s.got[4*at:])), s.v[at])
	}
	return nil
}

// place says where element i of the memory lies.
func (s *shadow) place(i int) string {
	e := i - int(s.tensor.Offset)/4
	if e < 0 || s.tensor.Stride == 0 {
		return fmt.Sprintf("the guard before (%d)", e)
	}
	row, col := e/s.tensor.Stride, e%s.tensor.Stride
	if row >= s.tensor.Rows || col >= s.tensor.Cols {
		return fmt.Sprintf("the guard after row %d, column %d", row, col)
	}
	return fmt.Sprintf("element [%d %d]", row, col)
}

func (k idCheck) verify(c *Case) error {
	s := c.shadow[k.ids.Mem]
	for r := 0; r < k.ids.Rows*k.ids.Cols/max(k.k, 1); r++ {
		seen := map[int32]bool{}
		for i := range k.k {
			id := int32(binary.LittleEndian.Uint32(s.got[int(k.ids.Offset)+4*(r*k.k+i):]))
			if id < 0 || int(id) >= k.n || seen[id] {
				return fmt.Errorf("TopK.IDs: id %d of row %d is invalid or there twice", id, r)
			}
			seen[id] = true
		}
	}
	return nil
}
