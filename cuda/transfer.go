package cuda

// Copies between host and device, through page-locked staging buffers: the only
// host memory that a copy may use while Go runs.

import (
	"fmt"

	"github.com/godwit-ml/godwit/runtime"
)

// uploads is the staging of copies to the device: chunks in turn, each with an
// event that says when its copies have run.
type uploads struct {
	dev    *Device
	chunks [4]chunk
	at     int // the chunk being filled
	size   int // bytes of a chunk; 0: not yet allocated
}

type chunk struct {
	buf   []byte
	used  int // bytes filled
	event Event
	busy  bool // event is recorded behind its copies
}

// stageAlign keeps pieces on cache lines, and decoded floats aligned.
const stageAlign = 64

// prepare allocates the buffers on the first use.
func (u *uploads) prepare() error {
	if u.size > 0 {
		return nil
	}
	size := u.dev.cfg.Staging / len(u.chunks)
	err := u.dev.call(func(drv Driver) (err error) {
		for i := range u.chunks {
			c := &u.chunks[i]
			if c.buf == nil {
				if c.buf, err = drv.HostAlloc(size); err != nil {
					return err
				}
			}
			if c.event == 0 {
				if c.event, err = drv.EventCreate(); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err == nil {
		u.size = size
	}
	return err
}

// room gives page-locked bytes to fill: at least least of them, or else the next
// chunk's, as soon as its last copies have run. least is at most size.
func (u *uploads) room(least int) ([]byte, error) {
	c := &u.chunks[u.at]
	if len(c.buf)-c.used < least {
		u.dev.post(command{kind: doRecord, event: c.event})
		c.busy = true
		u.at = (u.at + 1) % len(u.chunks)
		c = &u.chunks[u.at]
		if c.busy {
			if err := u.dev.wait(command{kind: doWait, event: c.event}); err != nil {
				return nil, err
			}
		}
		c.busy, c.used = false, 0
	}
	return c.buf[c.used:], nil
}

// send copies the first n bytes of what room gave to the device: rows of width
// bytes, pitch apart.
func (u *uploads) send(to Address, pitch, width int64, n int) {
	c := &u.chunks[u.at]
	u.dev.post(command{kind: doUp, addr: to, pitch: pitch, width: width, host: c.buf[c.used:][:n:n]})
	c.used = min(len(c.buf), (c.used+n+stageAlign-1)&^(stageAlign-1))
}

// reset notes that all copies have run.
func (u *uploads) reset() {
	for i := range u.chunks {
		u.chunks[i].busy, u.chunks[i].used = false, 0
	}
}

func (u *uploads) release(drv Driver, keep func(error)) {
	for i := range u.chunks {
		c := &u.chunks[i]
		if c.event != 0 {
			keep(drv.EventDestroy(c.event))
		}
		if c.buf != nil {
			keep(drv.HostFree(c.buf))
		}
		*c = chunk{}
	}
	u.size = 0
}

// flat uploads bytes to consecutive addresses.
func (u *uploads) flat(to Address, src []byte) error {
	for len(src) > 0 {
		buf, err := u.room(min(len(src), stageAlign))
		if err != nil {
			return err
		}
		n := copy(buf, src)
		u.send(to, int64(n), int64(n), n)
		to, src = to+Address(n), src[n:]
	}
	return nil
}

// rows uploads packed rows of width bytes, as many a copy as fit.
func (u *uploads) rows(to Address, pitch, width int64, src []byte) error {
	if width > int64(u.size) {
		for ; len(src) > 0; to, src = to+Address(pitch), src[width:] {
			if err := u.flat(to, src[:width]); err != nil {
				return err
			}
		}
		return nil
	}
	for len(src) > 0 {
		buf, err := u.room(int(width))
		if err != nil {
			return err
		}
		n := int64(min(len(buf), len(src))) / width
		copy(buf, src[:n*width])
		u.send(to, pitch, width, int(n*width))
		to, src = to+Address(n*pitch), src[n*width:]
	}
	return nil
}

// Upload implements runtime.Device. src may be changed when it has returned.
func (d *Device) Upload(dst runtime.Tensor, src []byte) error {
	if err := d.transferable("upload", dst, len(src)); err != nil || len(src) == 0 {
		return err
	}
	if err := d.up.prepare(); err != nil {
		return err
	}
	to := Address(dst.Mem.Addr + uint64(dst.Offset))
	if dst.Contiguous() {
		return d.up.flat(to, src)
	}
	return d.up.rows(to, dst.StrideBytes(), dst.RowBytes(), src)
}

// downloads is the staging of copies to the host, which are handed out at the
// next Sync.
type downloads struct {
	dev     *Device
	buf     []byte
	used    int
	pending []delivery
}

// delivery is a part of the staging buffer and where it belongs.
type delivery struct{ dst, staged []byte }

// Download implements runtime.Device. dst is filled at the next Sync, at the
// latest.
func (d *Device) Download(dst []byte, src runtime.Tensor) error {
	if err := d.transferable("download", src, len(dst)); err != nil || len(dst) == 0 {
		return err
	}
	w := &d.down
	if w.buf == nil {
		err := d.call(func(drv Driver) (err error) {
			w.buf, err = drv.HostAlloc(d.cfg.Staging)
			return err
		})
		if err != nil {
			return err
		}
	}
	from := Address(src.Mem.Addr + uint64(src.Offset))
	if src.Contiguous() {
		return w.flat(dst, from)
	}
	return w.rows(dst, src.RowBytes(), from, src.StrideBytes())
}

// room makes room for at least least bytes, by a Sync if need be.
func (w *downloads) room(least int) ([]byte, error) {
	if len(w.buf)-w.used < least {
		if err := w.dev.Sync(); err != nil {
			return nil, err
		}
	}
	return w.buf[w.used:], nil
}

func (w *downloads) take(dst []byte, width int64, from Address, pitch int64) {
	staged := w.buf[w.used:][:len(dst):len(dst)]
	w.dev.post(command{kind: doDown, addr: from, pitch: pitch, width: width, host: staged})
	w.pending = append(w.pending, delivery{dst, staged})
	w.used = min(len(w.buf), (w.used+len(dst)+stageAlign-1)&^(stageAlign-1))
}

func (w *downloads) flat(dst []byte, from Address) error {
	for len(dst) > 0 {
		buf, err := w.room(min(len(dst), len(w.buf)))
		if err != nil {
			return err
		}
		n := min(len(buf), len(dst))
		w.take(dst[:n], int64(n), from, int64(n))
		dst, from = dst[n:], from+Address(n)
	}
	return nil
}

func (w *downloads) rows(dst []byte, width int64, from Address, pitch int64) error {
	if width > int64(len(w.buf)) {
		for ; len(dst) > 0; dst, from = dst[width:], from+Address(pitch) {
			if err := w.flat(dst[:width], from); err != nil {
				return err
			}
		}
		return nil
	}
	for len(dst) > 0 {
		buf, err := w.room(int(width))
		if err != nil {
			return err
		}
		n := int64(min(len(buf), len(dst))) / width
		w.take(dst[:n*width], width, from, pitch)
		dst, from = dst[n*width:], from+Address(n*pitch)
	}
	return nil
}

// deliver hands out what has arrived.
func (w *downloads) deliver() {
	for _, p := range w.pending {
		copy(p.dst, p.staged)
	}
	w.forget()
}

// forget drops what is under way.
func (w *downloads) forget() {
	clear(w.pending)
	w.pending, w.used = w.pending[:0], 0
}

func (w *downloads) release(drv Driver, keep func(error)) {
	if w.buf != nil {
		keep(drv.HostFree(w.buf))
	}
	w.buf = nil
	w.forget()
}

// transferable checks a copy of n bytes.
func (d *Device) transferable(verb string, t runtime.Tensor, n int) error {
	if err := d.usable(); err != nil {
		return err
	}
	if t.IsZero() || t.Mem.Owner != runtime.Device(d) || t.Mem.Addr == 0 {
		return fmt.Errorf("cuda: %s of %v: its memory is freed or another device's", verb, t)
	}
	if want := int64(t.Rows) * t.RowBytes(); int64(n) != want {
		return fmt.Errorf("cuda: %s of %v: %d bytes, want %d", verb, t, n, want)
	}
	if t.Offset < 0 || n > 0 && t.Offset+t.Span() > t.Mem.Size {
		return fmt.Errorf("cuda: %s of %v: it does not lie inside its memory", verb, t)
	}
	return nil
}
