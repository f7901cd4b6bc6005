package cuda

// The self-test: on the first use of a GPU every kernel runs a few rows of
// devicetest against their float64 oracles, as no interpreter can speak for a
// driver's compiler and the silicon. A kernel that differs is taken out.

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/godwit-ml/godwit/kernels"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/runtime/devicetest"
)

const (
	selfTestRows = 3                      // rows a kernel, of those it takes the smallest
	selfTestTime = 800 * time.Millisecond // beyond it a kernel gets one row
)

// verdicts are the results of this process: what a kernel of a GPU is out for,
// or nil.
var verdicts sync.Map // of verdictKey → error

type verdictKey struct {
	gpu    string
	kernel *kernels.Kernel
}

// trial is a row that some kernel may take.
type trial struct {
	row  devicetest.Row
	ops  []runtime.Op
	size int64 // bytes of all operands
}

// trials are the plain rows of some operations, smallest first.
func trials(ops map[string]bool) ([]trial, error) {
	var list []trial
	null := &devicetest.Null{}
	for _, row := range devicetest.Rows() {
		if row.Views || !ops[row.Op] || row.DType != runtime.F32 && row.DType != runtime.F16 {
			continue
		}
		c, err := row.Bind(devicetest.On(null))
		if err != nil {
			return nil, err
		}
		t := trial{row: row, ops: c.Ops}
		for _, op := range c.Ops {
			for _, o := range op.Operands(nil) {
				t.size += o.Tensor.Span()
			}
		}
		list = append(list, t)
	}
	slices.SortStableFunc(list, func(a, b trial) int { return cmp.Compare(a.size, b.size) })
	return list, nil
}

// openTested opens a device and tests it. A kernel that ended the context is out
// when the device is opened again.
func openTested(open func() (*Device, error)) (*Device, error) {
	for {
		d, err := open()
		if err != nil {
			return nil, err
		}
		due := d.untested()
		if err = d.selfTest(true); err == nil {
			return d, nil
		}
		after := d.untested()
		if closeErr := d.Close(); closeErr != nil || !errors.Is(err, ErrLost) || after == due {
			return nil, errors.Join(err, closeErr)
		}
	}
}

// untested is the number of kernels without a verdict.
func (d *Device) untested() (n int) {
	for _, e := range d.entries {
		if _, ok := verdicts.Load(verdictKey{d.info.Detail, e.kernel}); !ok {
			n++
		}
	}
	return n
}

// selfTest checks all kernels that are not out. The error is of the device: a
// kernel that ended the context is taken out, and the device has to be opened
// again.
func (d *Device) selfTest(remember bool) error {
	due := map[string]bool{}
	for _, e := range d.entries {
		key := verdictKey{d.info.Detail, e.kernel}
		if verdict, ok := verdicts.Load(key); ok && remember && e.out == nil {
			e.out, _ = verdict.(error)
		} else if e.out == nil {
			due[e.kernel.Op] = true
		}
	}
	if len(due) == 0 {
		return nil
	}
	list, err := trials(due)
	if err != nil {
		return err
	}
	begin := time.Now()
	// Rows of the cache end with attention: they come when that is known to work.
	entries := slices.Clone(d.entries)
	slices.SortStableFunc(entries, func(a, b *entry) int { return cmp.Compare(a.rank(), b.rank()) })
	for _, e := range entries {
		key := verdictKey{d.info.Detail, e.kernel}
		if _, known := verdicts.Load(key); e.out != nil || known && remember {
			continue
		}
		err := d.try(e, list, begin)
		if errors.Is(err, ErrLost) {
			e.out = outOf(e.kernel, "self-test: "+err.Error())
		}
		if remember && (err == nil || e.out != nil) {
			verdicts.Store(key, verdict(e.out))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// rank orders kernels for the self-test.
func (e *entry) rank() int {
	switch e.kernel.Op {
	case "StoreKV":
		return 1
	case "CopyBlocks":
		return 2
	}
	return 0
}

// verdict keeps a nil error out of an interface that is not nil.
func verdict(out error) any {
	if out == nil {
		return struct{}{}
	}
	return out
}

// try runs the smallest rows that the kernel takes: of those with operations of
// its own alone, or where there are none, of those with others too.
func (d *Device) try(e *entry, list []trial, begin time.Time) error {
	if err := d.prepare(e); err != nil || e.out != nil {
		return err
	}
	rows := 0
	for _, alone := range []bool{true, false} {
		for _, t := range list {
			if rows > 0 && time.Since(begin) > selfTestTime || rows == selfTestRows {
				return nil
			}
			if t.row.Op != e.kernel.Op || t.alone() != alone || !e.takes(t.ops) {
				continue
			}
			err := d.tryRow(e, t.row)
			switch {
			case err == nil:
				rows++
			case errors.Is(err, runtime.ErrUnsupported): // it needs another kernel that is not there
			case errors.Is(err, ErrLost), errors.As(err, new(*MemoryError)):
				return err
			default:
				e.out = outOf(e.kernel, fmt.Sprintf("self-test %v: %v", t.row, err))
				return nil
			}
		}
		if rows > 0 {
			break
		}
	}
	return nil
}

// tryRow runs a row with one kernel for its operation.
func (d *Device) tryRow(e *entry, row devicetest.Row) error {
	return devicetest.Try(row, devicetest.Target{Device: d, Caches: d, Run: func(op runtime.Op) error { return d.runOn(e, op) }})
}

// alone reports whether all operations are of the row's kind.
func (t trial) alone() bool {
	for _, op := range t.ops {
		if op.Name() != t.row.Op {
			return false
		}
	}
	return true
}

// takes reports whether the kernel fits the operations that are its own, and
// that there is one.
func (e *entry) takes(ops []runtime.Op) bool {
	var l kernels.Launch
	found := false
	for _, op := range ops {
		if op.Name() != e.kernel.Op {
			continue
		}
		l.Reset()
		if e.kernel.Launch(op, &l) != nil {
			return false
		}
		found = true
	}
	return found
}

// runOn is Run with one kernel for its operation.
func (d *Device) runOn(e *entry, op runtime.Op) error {
	if op.Name() != e.kernel.Op {
		return d.Run(op)
	}
	if err := d.usable(); err != nil {
		return err
	}
	all := d.kernels[op.Name()]
	defer func() { d.kernels[op.Name()] = all }()
	d.kernels[op.Name()] = []*entry{e}
	return d.Run(op)
}
