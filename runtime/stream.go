package runtime

// Stream: runs operations on a device, in order, and keeps the first error.

import (
	"errors"
	"fmt"
	"slices"
	"sync"
)

// Stream runs the operations of a forward pass on a device. What the device
// answers with ErrUnsupported runs on the fallback and is counted. The first
// error sticks: later operations do nothing, and Err and Sync return it, so a
// forward pass has no error handling and loses no error. One goroutine uses it.
//
// The three operations on a cache are not split between devices, as the layout
// inside the cache is its owner's: they run where the cache was allocated.
type Stream struct {
	// OnLoad, if set, is called after each LoadWeight with the host tensor: to
	// show progress, or to stop loading with Fail.
	OnLoad func(host Tensor)

	dev, host Device
	arena     arena
	err       error
	lost      error
	counts    sync.Mutex // of falls: anybody may ask for them
	falls     map[fall]int64
	ops       int64
	operands  []Operand
	stage     staging

	// One slot an operation, so that passing one allocates nothing.
	gather    Gather
	matmul    MatMul
	norm      Norm
	pointwise Pointwise
	rope      RoPE
	store     StoreKV
	copies    CopyBlocks
	attention Attention
	topk      TopK
	combine   Combine
}

// fall is a reason to leave the device, for one operation.
type fall struct{ op, reason string }

// NewStream makes a stream on dev. What dev does not support runs on fallback,
// whose memory the host can read; nil: there is none, and it is an error.
func NewStream(dev, fallback Device) *Stream {
	if fallback == dev {
		fallback = nil
	}
	return &Stream{dev: dev, host: fallback, arena: arena{dev: dev}, falls: map[fall]int64{}}
}

// Device is the device of the stream.
func (s *Stream) Device() Device { return s.dev }

// CacheDevice is where KV caches are to be allocated: the device, or the
// fallback if the device does not run the three cache operations whole.
func (s *Stream) CacheDevice() Device {
	if s.host != nil && !s.dev.Info().Paged {
		return s.host
	}
	return s.dev
}

// Err is the first error.
func (s *Stream) Err() error { return s.err }

// Lost is the first error that wraps ErrLost: no operation will succeed any more,
// and Reset does not help. Nil: there was none.
func (s *Stream) Lost() error { return s.lost }

// Fail makes err the stream's error if it has none.
func (s *Stream) Fail(err error) {
	if s.err == nil {
		s.err = err
	}
	if s.lost == nil && errors.Is(err, ErrLost) {
		s.lost = err
	}
}

// Reset forgets the error and releases all scratch, to begin another step.
func (s *Stream) Reset() {
	s.err = nil
	s.arena.release(Mark{})
}

// Sync waits for the device and returns the first error.
func (s *Stream) Sync() error {
	if err := s.dev.Sync(); err != nil {
		s.Fail(err)
	}
	return s.err
}

// Ops is the number of operations run so far.
func (s *Stream) Ops() int64 { return s.ops }

// Fallbacks are the operations that ran on the fallback, counted by
// "operation: reason". Any goroutine may ask.
func (s *Stream) Fallbacks() map[string]int64 {
	s.counts.Lock()
	defer s.counts.Unlock()
	m := make(map[string]int64, len(s.falls))
	for f, n := range s.falls {
		m[f.op+": "+f.reason] += n
	}
	return m
}

// Gather runs the operation.
func (s *Stream) Gather(o Gather) { s.gather = o; s.run(&s.gather) }

// MatMul runs the operation.
func (s *Stream) MatMul(o MatMul) { s.matmul = o; s.run(&s.matmul) }

// Norm runs the operation.
func (s *Stream) Norm(o Norm) { s.norm = o; s.run(&s.norm) }

// Pointwise runs the operation.
func (s *Stream) Pointwise(o Pointwise) { s.pointwise = o; s.run(&s.pointwise) }

// RoPE runs the operation.
func (s *Stream) RoPE(o RoPE) { s.rope = o; s.run(&s.rope) }

// StoreKV runs the operation.
func (s *Stream) StoreKV(o StoreKV) { s.store = o; s.run(&s.store) }

// CopyBlocks runs the operation.
func (s *Stream) CopyBlocks(o CopyBlocks) { s.copies = o; s.run(&s.copies) }

// Attention runs the operation.
func (s *Stream) Attention(o Attention) { s.attention = o; s.run(&s.attention) }

// TopK runs the operation.
func (s *Stream) TopK(o TopK) { s.topk = o; s.run(&s.topk) }

// Combine runs the operation.
func (s *Stream) Combine(o Combine) { s.combine = o; s.run(&s.combine) }

func (s *Stream) run(op Op) {
	if s.err != nil {
		return
	}
	if err := op.Check(); err != nil {
		s.err = err
		return
	}
	s.ops++
	if s.host != nil && s.onHostCache(op) {
		s.fallback(op, "the cache lies on the fallback")
		return
	}
	err := s.dev.Run(op)
	if err == nil {
		return
	}
	if s.host == nil || !errors.Is(err, ErrUnsupported) {
		s.Fail(fmt.Errorf("runtime: %s on %s: %w", op.Name(), s.dev.Info().Name, err))
		return
	}
	if s.onDeviceCache(op) {
		s.err = fmt.Errorf("runtime: %s on %s: a device that keeps caches must run it with every field: %w", op.Name(), s.dev.Info().Name, err)
		return
	}
	s.fallback(op, reason(err))
}

// cacheOf is the memory of the cache an operation works on; nil if none.
func cacheOf(op Op) *Memory {
	switch o := op.(type) {
	case *StoreKV:
		return o.CacheK.Mem
	case *CopyBlocks:
		return o.Cache.Mem
	case *Attention:
		if !o.Blocks.IsZero() {
			return o.K.Mem
		}
	}
	return nil
}

func (s *Stream) onHostCache(op Op) bool {
	m := cacheOf(op)
	return m != nil && m.Owner == s.host
}

func (s *Stream) onDeviceCache(op Op) bool {
	m := cacheOf(op)
	return m != nil && m.Owner == s.dev
}

// reason is the text of err without the words of ErrUnsupported.
func reason(err error) string {
	text := err.Error()
	for _, cut := range []string{": " + ErrUnsupported.Error(), ErrUnsupported.Error()} {
		if n := len(text) - len(cut); n > 0 && text[n:] == cut {
			return text[:n]
		}
	}
	return text
}

// LoadWeight loads a host tensor on the device. An error sticks to the stream.
func (s *Stream) LoadWeight(host Tensor, use Use) Tensor {
	if s.err != nil || host.IsZero() {
		return Tensor{}
	}
	t, err := s.dev.Load(host, use)
	if err != nil {
		s.Fail(err)
		return Tensor{}
	}
	if s.OnLoad != nil {
		s.OnLoad(host)
	}
	return t
}

// LoadRows is LoadWeight of tensors of one type and width whose rows lie one
// below the other. It stacks them where the device does not do so itself.
func (s *Stream) LoadRows(parts []Tensor, use Use) Tensor {
	dev, ok := s.dev.(RowLoader)
	if !ok || len(parts) < 2 {
		return s.LoadWeight(StackRows(parts), use)
	}
	if s.err != nil || slices.ContainsFunc(parts, Tensor.IsZero) {
		return Tensor{}
	}
	t, err := dev.LoadRows(parts, use)
	if err != nil {
		s.Fail(err)
		return Tensor{}
	}
	for _, part := range parts {
		if s.OnLoad != nil {
			s.OnLoad(part)
		}
	}
	return t
}

// UploadI32 copies v into dst, a contiguous I32 tensor of at least len(v)
// elements, of which it fills the first.
func (s *Stream) UploadI32(dst Tensor, v []int32) { s.upload(dst, I32, len(v), bytesOf(v)) }

// UploadF32 copies v into dst, a contiguous F32 tensor of at least len(v)
// elements, of which it fills the first.
func (s *Stream) UploadF32(dst Tensor, v []float32) { s.upload(dst, F32, len(v), bytesOf(v)) }

func (s *Stream) upload(dst Tensor, dtype DType, n int, src []byte) {
	if s.err != nil || n == 0 {
		return
	}
	if dst.DType != dtype || !dst.Contiguous() || dst.Rows*dst.Cols < n {
		s.err = &OpError{"Upload", "dst", fmt.Sprintf("%v cannot take %d elements of %v", dst, n, dtype)}
		return
	}
	dst.Rows, dst.Cols, dst.Stride = 1, n, n
	if err := s.dev.Upload(dst, src); err != nil {
		s.Fail(err)
	}
}

// DownloadF32 copies an F32 tensor, row by row without gaps, into dst, which
// has Rows·Cols elements; they are there after Sync.
func (s *Stream) DownloadF32(dst []float32, src Tensor) { s.download(bytesOf(dst), len(dst), src, F32) }

// DownloadI32 is DownloadF32 for I32.
func (s *Stream) DownloadI32(dst []int32, src Tensor) { s.download(bytesOf(dst), len(dst), src, I32) }

func (s *Stream) download(dst []byte, n int, src Tensor, dtype DType) {
	if s.err != nil {
		return
	}
	if src.DType != dtype || src.Rows*src.Cols != n {
		s.err = &OpError{"Download", "src", fmt.Sprintf("%v, want %d elements of %v", src, n, dtype)}
		return
	}
	if n == 0 {
		return
	}
	if err := s.dev.Download(dst, src); err != nil {
		s.Fail(err)
	}
}

// Close frees the scratch memory of the stream; the devices stay open.
func (s *Stream) Close() {
	s.arena.free()
	s.stage.free(s.host)
}
