//go:build (darwin || dragonfly || freebsd || linux || netbsd || openbsd) && !portable

package weights

import (
	"os"
	"syscall"
)

// mapFile maps the first size bytes of a file for reading.
func mapFile(f *os.File, size int) ([]byte, error) {
	return syscall.Mmap(int(f.Fd()), 0, size, syscall.PROT_READ, syscall.MAP_SHARED)
}

// unmapFile ends a mapping.
func unmapFile(b []byte) error { return syscall.Munmap(b) }
