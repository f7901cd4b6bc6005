//go:build !noasm && !portable

package simd

import "syscall"

// tilesAllowed asks the kernel for the registers of AMX, for all threads of the
// process. It is refused where a thread's signal stack could not hold them.
func tilesAllowed() bool {
	const (
		archReqXCompPerm = 0x1023
		xfeatureTileData = 18
	)
	_, _, errno := syscall.RawSyscall(syscall.SYS_ARCH_PRCTL, archReqXCompPerm, xfeatureTileData, 0)
	return errno == 0
}
