//go:build !noasm && !portable

package simd

import (
	"sync"

	"golang.org/x/sys/cpu"
)

var best = sync.OnceValue(func() Path {
	x := &cpu.X86
	switch {
	case !(x.HasAVX2 && x.HasFMA && hasF16C()):
		return Portable
	case !(x.HasAVX512F && x.HasAVX512BW && x.HasAVX512DQ && x.HasAVX512VL):
		return AVX2
	case !(x.HasAVX512VNNI && x.HasAVX512BF16):
		return AVX512
	case !(x.HasAMXTile && x.HasAMXInt8 && x.HasAMXBF16 && tilesAllowed()):
		return VNNI
	}
	return AMX
})

// hasF16C asks CPUID, leaf 1, bit 29 of ECX. Its registers are those of AVX2.
func hasF16C() bool {
	_, _, c, _ := cpuid(1, 0)
	return c>>29&1 == 1
}
