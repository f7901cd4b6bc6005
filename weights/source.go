package weights

// The bytes of one file: mapped where that is possible, read piece by piece
// where it is not.

import (
	"errors"
	"io"
	"io/fs"
	"math"
	"os"

	"github.com/godwit-ml/godwit/runtime"
)

// source is an open file. Either whole is set or at is.
type source struct {
	path   string
	size   int64
	whole  []byte // all bytes: mapped, or held in memory
	mapped bool
	at     io.ReaderAt
	file   fs.File
}

// newSource takes over an open file and closes it on error.
func newSource(file fs.File, path string) (*source, error) {
	s := &source{path: path, file: file}
	if err := s.open(); err != nil {
		_ = s.close()
		var own *Error
		if errors.As(err, &own) {
			own.File = path
			return nil, own
		}
		return nil, &Error{File: path, Reason: "cannot be read", Err: err}
	}
	return s, nil
}

func (s *source) open() error {
	info, err := s.file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return failf("", "not a regular file (%v)", info.Mode())
	}
	if s.size = info.Size(); s.size == 0 {
		return failf("", "the file is empty")
	}
	if s.size > math.MaxInt-1<<20 || s.size < 0 {
		return failf("", "%d bytes are more than this system can address", s.size)
	}
	if f, ok := s.file.(*os.File); ok {
		if whole, err := mapFile(f, int(s.size)); err == nil {
			s.whole, s.mapped = whole, true
			return nil
		} // not every file system maps; reading works on all
	}
	if at, ok := s.file.(io.ReaderAt); ok {
		s.at = at
		return nil
	}
	s.whole = runtime.AlignedBytes(s.size)
	_, err = io.ReadFull(s.file, s.whole)
	return err
}

// close ends all views into a mapped file.
func (s *source) close() error {
	var err error
	if s.mapped {
		err = unmapFile(s.whole)
	}
	s.whole, s.mapped, s.at = nil, false, nil
	return errors.Join(err, s.file.Close())
}

// front returns the first n bytes, to be read at once and not kept.
func (s *source) front(n int64) ([]byte, error) {
	if n = min(n, s.size); s.whole != nil {
		return s.whole[:n:n], nil
	}
	return s.read(0, n)
}

// read returns a copy of n bytes, aligned. A caller with a mapped source must
// be inside a guard.
func (s *source) read(offset, n int64) ([]byte, error) {
	b := runtime.AlignedBytes(n)
	if s.whole != nil {
		copy(b, s.whole[offset:offset+n])
		return b, nil
	}
	if got, err := s.at.ReadAt(b, offset); int64(got) < n {
		if errors.Is(err, io.EOF) {
			return nil, s.cut()
		}
		return nil, &Error{File: s.path, Reason: "cannot be read", Err: err}
	}
	return b, nil
}

// cut is the error of a file that has lost bytes since it was opened.
func (s *source) cut() *Error {
	return &Error{File: s.path, Reason: "the file was cut short or failed while it was in use; open it again"}
}

// intact compares the file's size with that at opening.
func (s *source) intact() error {
	if s.file == nil || !s.mapped {
		return nil
	}
	info, err := s.file.Stat()
	if err != nil {
		return &Error{File: s.path, Reason: "cannot be read", Err: err}
	}
	if info.Size() < s.size {
		return s.cut()
	}
	return nil
}
