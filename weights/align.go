package weights

// What views demand of memory: byte order and alignment.

import (
	"unsafe"

	"github.com/godwit-ml/godwit/runtime"
)

// aligned reports whether data may be viewed as elements of the type. Blocks
// are read byte by byte and may lie anywhere.
func aligned(data []byte, t runtime.DType) bool {
	if t.BlockSize() != 1 || len(data) == 0 {
		return true
	}
	return uintptr(unsafe.Pointer(unsafe.SliceData(data)))%uintptr(t.TypeSize()) == 0
}

// littleEndian reports whether this machine stores numbers as the files do.
func littleEndian() bool {
	one := uint16(1)
	return *(*byte)(unsafe.Pointer(&one)) == 1
}
