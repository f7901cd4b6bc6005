//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd) || portable

package weights

import (
	"errors"
	"os"
)

// mapFile declines: tensors are read one by one instead.
func mapFile(*os.File, int) ([]byte, error) { return nil, errors.ErrUnsupported }

// unmapFile is never called, as there are no mappings.
func unmapFile([]byte) error { return nil }
